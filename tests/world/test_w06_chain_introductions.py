"""W6: total wins for each first buyer are 1 / (1 - mp), and m follows the reward and how surely it is paid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.engines.records import REWARD
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
PAYER, LATE, NONE = (WORLD / f"w06_{name}.yaml" for name in ("chain_introductions", "late_payer", "no_reward"))
N, SIZE = 3, 1000
P = 0.4
TO_THE_END = {
    "sources.visitors": {"rate": None, "at": "2026-01-05", "size": SIZE},
    "horizon": "20 years",
    "teams.seller.size": 9,
}
"""A list of visitors, and so long a time that all chains have died out."""


def brought(reward: float, on_time: float) -> float:
    """Introductions by one buyer, m, as the file's comment works it out."""
    factor = min(1.1 ** (reward / 10), 3.0)
    return 0.35 * factor * (1 + on_time) + 0.05 * (1 - on_time)


def trees(scenario: sf.Scenario) -> pd.DataFrame:
    """For each first buyer among the visitors: wins of each generation, introductions and rewards of the whole tree."""
    parts = []
    for k in range(N):
        records, plan = helpers.run(scenario.override(TO_THE_END), k)
        people, moves = records.prospects, records.moves
        root = np.arange(len(people.key))
        for row, parent in enumerate(people.parent.tolist()):  # parents come first
            root[row] = root[parent] if parent >= 0 else row
            assert people.generation[row] == (people.generation[parent] + 1 if parent >= 0 else 0)
        won = np.zeros(len(root), dtype=bool)
        won[moves.prospect[moves.goal == plan.place_names.index("buyer")]] = True
        rewards = np.zeros(len(root))
        paid = records.money.kind == REWARD
        np.add.at(rewards, records.money.prospect[paid], records.money.amount[paid])
        table = pd.DataFrame({"root": root, "generation": people.generation, "won": won, "rewards": rewards, "came": 1})
        first = won & (people.source == plan.source_names.index("visitors"))
        table = table[first[root]]
        by_generation = table.pivot_table(index="root", columns="generation", values="won", aggfunc="sum", fill_value=0)
        parts.append(by_generation.join(table.groupby("root")[["won", "rewards", "came"]].sum()))
    return pd.concat(parts).fillna(0)


@pytest.fixture(scope="module")
def payer() -> pd.DataFrame:
    return trees(sf.load(PAYER))


def check_total(found: pd.DataFrame, m: float, what: str) -> None:
    helpers.mean_of(found.won).check(1 / (1 - m * P), what, precision=0.06)


def test_each_first_buyer_stands_for_one_over_one_less_mp(payer: pd.DataFrame) -> None:
    check_total(payer, brought(50, 0.95), "wins for a first buyer")
    assert 1 / (1 - brought(50, 0.95) * P) == pytest.approx(1.79, abs=0.005)  # what the comment says


def test_of_those_introduced_four_in_ten_buy(payer: pd.DataFrame) -> None:
    came, won = payer.came.sum() - len(payer), payer.won.sum() - len(payer)
    helpers.Estimate(won / came, np.sqrt(P * (1 - P) / came), came).check(P, "introduced who buy", precision=0.05)
    helpers.mean_of((payer.came - 1) - brought(50, 0.95) * payer.won).check(0, "introductions beyond m for each win")


def test_generations_shrink_by_mp(payer: pd.DataFrame) -> None:
    growth = brought(50, 0.95) * P
    assert (payer[0] == 1).all()
    for generation in (1, 2, 3):
        helpers.mean_of(payer[generation]).check(growth**generation, f"generation {generation}", precision=0.25)


def test_an_unreliable_payer_gets_fewer(payer: pd.DataFrame) -> None:
    late = trees(sf.load(LATE))
    check_total(late, brought(50, 0.3), "wins of a late payer")
    fewer = (payer.came.mean() - late.came.mean()) / np.hypot(payer.came.sem(), late.came.sem())
    assert fewer > 4


@pytest.mark.parametrize("reward", [0, 70, 1000])
def test_introductions_grow_with_the_reward_and_cost_it(reward: int) -> None:
    """Each 10 of reward adds a tenth, up to three times; every introduced buyer costs the reward, and nobody else."""
    if reward == 1000:  # a reward past the bound; fewer introductions to start with, for mp must stay below 1
        numbers = {f"stages.{stage}.refers.number": {"poisson": 0.175} for stage in ("buyer", "paid_on_time")}
        m = brought(1000, 0.95) / 2 + 0.00125
    else:
        numbers, m = {}, brought(reward, 0.95)
    paid = {f"stages.{stage}.refers.reward": reward for stage in ("buyer", "paid_on_time", "let_down", "post")}
    found = trees(sf.load(NONE).override({**numbers, **paid, "attributes.reward": reward}))
    check_total(found, m, f"wins at a reward of {reward}")
    assert (found.rewards == reward * (found.won - 1)).all()
