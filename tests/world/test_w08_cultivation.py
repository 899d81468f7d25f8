"""W8: the odds of the talk rise with the cards before it, and no card takes an hour of a seller's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simfunnel as sf
from simfunnel.engines.records import Records
from simfunnel.plan import Plan
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
FILE = WORLD / "w08_cultivation.yaml"
HANDED_OVER = {5: FILE, 2: WORLD / "w08_after_two_cards.yaml", 10: WORLD / "w08_after_ten_cards.yaml"}
SIZE = 2500
MONTH, YEAR = 365.25 / 12, 365.25


def run(path: Path, **changes: Any) -> tuple[Records, Plan]:
    """A longer list than the file's, and sellers enough for it to be talked to in time."""
    many = {"sources.likely_buyers.size": SIZE, "teams.sellers.size": 30}
    return helpers.run(sf.load(path).override({**many, **changes}))


@pytest.fixture(scope="module")
def runs() -> dict[int, tuple[Records, Plan]]:
    return {cards: run(path) for cards, path in HANDED_OVER.items()}


def talks(records: Records, plan: Plan) -> int:
    return int((records.moves.goal == plan.place_names.index("talk")).sum())


def check_wins(records: Records, plan: Plan, odds: float, what: str) -> None:
    """Of those talked to, the share who bought."""
    won, met = helpers.ends(records, plan)["customer"], talks(records, plan)
    assert helpers.ends(records, plan)["talk"] == 0
    chance = odds / (1 + odds)
    helpers.share_of(np.repeat([1, 0], [won, met - won]), chance).check(chance, what, precision=0.2)


@pytest.mark.parametrize("cards", HANDED_OVER)
def test_the_odds_of_the_talk_rise_with_the_cards(cards: int, runs: dict[int, tuple[Records, Plan]]) -> None:
    factor = min(1.8**cards, 20.0)
    check_wins(*runs[cards], 2 / 98 * factor, f"after {cards} cards")


def test_without_the_effect_cards_are_no_use() -> None:
    check_wins(*run(FILE, effects=[]), 2 / 98, "after five useless cards")


@pytest.mark.parametrize("cards", HANDED_OVER)
def test_cards_take_money_and_months_but_no_hour_of_a_sellers(
    cards: int, runs: dict[int, tuple[Records, Plan]]
) -> None:
    records, plan = runs[cards]
    table = helpers.tasks(records, plan)
    assert set(table.stage) == {"talk"}
    assert len(table) == talks(records, plan)
    sent = [time for time, kind, amount in helpers.money(records, plan) if kind == "touch cost" and amount == 1.5]
    months = (np.array(sent) - min(sent)) / MONTH
    assert months == pytest.approx(np.rint(months))
    assert months.max() == pytest.approx(cards - 1)
    assert len(sent) < cards * SIZE  # for some are gone before the last


@pytest.mark.parametrize("cards", HANDED_OVER)
def test_waiting_loses_names(cards: int, runs: dict[int, tuple[Records, Plan]]) -> None:
    """They go at a rate of a quarter a year in the months between the first card and the last."""
    left = math.exp(-(cards - 1) * MONTH / (4 * YEAR))
    met = talks(*runs[cards])
    helpers.share_of(np.repeat([1, 0], [met, SIZE - met]), left).check(left, f"still there after {cards} cards")
