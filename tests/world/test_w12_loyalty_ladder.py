"""W12: what a customer on each rung still brings, and so what a step up is worth, solves linear equations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.engines.records import BOOKED
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
FILE = WORLD / "w12_loyalty_ladder.yaml"
RUNGS = ("potential", "friend", "new", "regular", "old", "loyal")
SIZES = {"potential": 3000, "new": 1500, "regular": 600, "old": 1200, "loyal": 500}
"""How many begin on each rung: more below, for the few of them who become loyal count for most."""
Lists = dict[str, pd.DataFrame]


def worth(*, second: float = 0.45, loyal: float = 0.12, friends: bool = True) -> np.ndarray:
    """What one on each rung brings in the end: worth = purchase + climbs x worth + friends x worth of a friend."""
    climbs = np.zeros((6, 6))
    climbs[0, 2], climbs[1, 2] = 0.2, 0.4 / 1.4  # odds of 1/4, and 1.6 times these
    climbs[2, 3] = second
    climbs[3, 3], climbs[3, 4] = 0.55, 0.15
    climbs[4, 4], climbs[4, 5] = 0.82 - loyal, loyal
    climbs[5, 5] = 0.92
    brings = np.zeros((6, 6))
    brings[3:, 1] = (0.05, 0.1, 0.2) if friends else 0
    return np.linalg.solve(np.eye(6) - climbs - brings, [0, 0, 200, 200, 220, 250])


def followed(scenario: sf.Scenario, *rungs: str) -> Lists:
    """For each of a list on each rung, followed until all have left: what they brought, friends of friends included;
    how many purchases they made as loyal ones; how many friends they brought; and whether they ever bought as new ones.
    """
    lists = {name: {"at": "2026-01-01", "size": SIZES[name], "enters": name} for name in rungs}
    gone = {name: None for name in scenario.spec.sources if name != "friends"}
    changes = {"horizon": "40 years", "teams.sellers.size": 20, "sources": {**gone, **lists}}
    records, plan = helpers.run(scenario.override(changes))
    assert helpers.ends(records, plan)["left"] == len(records.prospects.key)
    people, moves = records.prospects, records.moves
    root = np.arange(len(people.key))
    for row, parent in enumerate(people.parent.tolist()):  # parents come first
        root[row] = root[parent] if parent >= 0 else row
    booked = records.money.kind == BOOKED
    brought = np.bincount(root[records.money.prospect[booked]], records.money.amount[booked], len(root))
    loyal = np.bincount(moves.prospect[moves.goal == plan.place_names.index("loyal")], minlength=len(root))
    friends = np.bincount(people.parent[people.parent >= 0], minlength=len(root))
    bought = np.isin(np.arange(len(root)), moves.prospect[moves.goal == plan.place_names.index("new")])
    table = pd.DataFrame({"brought": brought, "loyal": loyal, "friends": friends, "bought": bought})
    return {name: table[people.source == plan.source_names.index(name)] for name in (*lists, "friends")}


@pytest.fixture(scope="module")
def base() -> Lists:
    return followed(sf.load(FILE), *SIZES)


@pytest.mark.parametrize("rung", SIZES)
def test_what_one_on_each_rung_brings(rung: str, base: Lists) -> None:
    helpers.mean_of(base[rung].brought).check(worth()[RUNGS.index(rung)], rung, precision=0.12)


def test_the_file_says_what_the_rungs_are_worth() -> None:
    said = next(line for line in FILE.read_text().splitlines() if "stranger 150" in line)
    for number in worth():
        assert f"{number:,.0f}" in said


def test_each_step_up_is_worth_something(base: Lists) -> None:
    for lower, upper in pairwise(helpers.mean_of(base[rung].brought) for rung in SIZES):
        assert upper.mean - lower.mean > 4 * np.hypot(upper.se, lower.se)


@pytest.mark.parametrize(
    ("file", "rung", "change"),
    [("w12_second_purchase.yaml", "new", {"second": 0.55}), ("w12_loyal_sooner.yaml", "old", {"loyal": 0.22})],
)
def test_what_ten_points_more_at_a_step_are_worth(file: str, rung: str, change: dict[str, float], base: Lists) -> None:
    """On the same luck, for one on the rung before it: the difference of two solutions."""
    then = followed(sf.load(WORLD / file), rung)[rung]
    k = RUNGS.index(rung)
    gain = helpers.mean_of(then.brought.to_numpy() - base[rung].brought.to_numpy())
    gain.check(worth(**change)[k] - worth()[k], file, precision=0.3)
    if rung == "old":  # of those who climb or leave, those who climb
        helpers.share_of(then.loyal > 0, 0.22 / 0.40).check(0.22 / 0.40, "ever loyal", precision=0.05)
        helpers.share_of(base["old"].loyal > 0, 0.12 / 0.30).check(0.12 / 0.30, "ever loyal", precision=0.05)


def test_loyal_ones_bring_friends_who_buy_more_readily(base: Lists) -> None:
    loyal = base["loyal"]
    helpers.mean_of(loyal.friends - 0.2 * loyal.loyal).check(0, "friends beyond a fifth of the purchases")
    helpers.mean_of(loyal.loyal).check(1 / 0.08, "purchases", precision=0.06)
    for kind, chance in (("potential", 0.2), ("friends", 0.4 / 1.4)):
        helpers.share_of(base[kind].bought, chance).check(chance, f"{kind} who buy", precision=0.06)


def test_friends_are_worth_what_the_equations_say(base: Lists) -> None:
    """On the same luck without friends, a rung is worth its own purchases alone."""
    scenario = sf.load(FILE)
    alone = {f"stages.{rung}.refers": None for rung in scenario.spec.stages if scenario.spec.stages[rung].refers}
    loyal = followed(scenario.override(alone), "loyal")["loyal"]
    assert worth(friends=False)[5] == pytest.approx(250 / 0.08)
    gain = helpers.mean_of(base["loyal"].brought.to_numpy() - loyal.brought.to_numpy())
    gain.check(worth()[5] - 250 / 0.08, "friends of a loyal one", precision=0.2)
