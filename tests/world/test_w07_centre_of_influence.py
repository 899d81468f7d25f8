"""W7: a few who bring many give the same mean and a far heavier tail; each centre won raises the others' odds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import simfunnel as sf
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
CENTRES, ALIKE = WORLD / "w07_centre_of_influence.yaml", WORLD / "w07_no_centres.yaml"
N, SIZE = 3, 1000
P = 0.375 / 1.375  # odds of 20%, times 1.5
GROWTH = 1.475 * P


def at_once(size: int) -> dict[str, object]:
    """A list in place of the stream, sellers enough, and time for all chains to die out."""
    market = {"rate": None, "at": "2026-01-05", "size": size}
    return {"sources.market": market, "teams.sellers.size": 40, "horizon": "10 years"}


def totals(path: Path) -> np.ndarray:
    """Total wins of the tree of each first buyer, where introductions are all that centres do."""
    scenario = sf.load(path)
    scenario = scenario.override(
        {**at_once(SIZE), "sources.market.enters": "customer", "effects": scenario.tree["effects"][:1]}
    )
    found = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        root = np.arange(len(records.prospects.key))
        for row, parent in enumerate(records.prospects.parent.tolist()):  # parents come first
            root[row] = root[parent] if parent >= 0 else row
        won = np.zeros(len(root))
        won[records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]] = 1
        wins = np.bincount(root, won, len(root))
        found.append(wins[(records.prospects.generation == 0) & (won == 1)])
    return np.concatenate(found)


@pytest.fixture(scope="module")
def with_centres() -> np.ndarray:
    return totals(CENTRES)


@pytest.fixture(scope="module")
def alike() -> np.ndarray:
    return totals(ALIKE)


def test_the_mean_is_the_same_with_centres_and_without(with_centres: np.ndarray, alike: np.ndarray) -> None:
    for found, what in ((with_centres, "with centres"), (alike, "without")):
        helpers.mean_of(found).check(1 / (1 - GROWTH), what, precision=0.1)


def test_the_spread_is_that_of_a_branching_process(with_centres: np.ndarray, alike: np.ndarray) -> None:
    """A tree is a win and the trees it brings: V = growth V + s2 mean^2 with s2 the variance of the wins brought."""
    mean = 1 / (1 - GROWTH)
    among = 0.05 * (20 * P) ** 2 + 0.95 * (0.5 * P) ** 2 - GROWTH**2  # of the means of the two kinds
    for found, s2, what in ((with_centres, GROWTH + among, "with centres"), (alike, GROWTH, "without")):
        helpers.mean_of((found - mean) ** 2).check(s2 / (1 - GROWTH) ** 3, what, precision=0.25)


def test_the_tail_is_heavier_with_centres(with_centres: np.ndarray, alike: np.ndarray) -> None:
    """Ten wins or more from one first buyer come by far more often; so does no other win at all."""
    for low, high in ((10, np.inf), (1, 2)):
        a, b = ((found >= low) & (found < high) for found in (with_centres, alike))
        share = np.concatenate([a, b]).mean()
        assert (a.mean() - b.mean()) / np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b))) > 4


@pytest.mark.parametrize(("centres", "factor"), [(0, 1.0), (3, 1.15**3), (9, 2.0)])
def test_each_centre_won_raises_the_odds_of_all_others(centres: int, factor: float) -> None:
    changes = {
        **at_once(2500),
        "attributes.influence": {"ordinary": "100%", "centre": "0%"},
        "sources.circle": {"deals": [{"id": f"centre {k}", "stage": "centre"} for k in range(centres)]},
        "stages.centre.refers": None,
        "stages.customer.refers": None,
    }
    records, plan = helpers.run(sf.load(CENTRES).override(changes))
    chance = 0.25 * factor / (1 + 0.25 * factor)
    won = helpers.ends(records, plan)["customer"]
    helpers.share_of(np.repeat([1, 0], [won, 2500 - won]), chance).check(chance, f"{centres} centres", precision=0.05)
