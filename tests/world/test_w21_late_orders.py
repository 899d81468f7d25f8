"""W21: orders come along a long tail and a share never decides; without late orders a forecast falls short."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import simfunnel as sf
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE, STRUCK = WORLD / "w21_late_orders.yaml", WORLD / "w21_struck_off.yaml"
ORDER, NO, NEVER = 0.20, 0.45, 0.35
LATE = stats.lognorm(math.log(300 / 60) / stats.norm.ppf(0.9), scale=60)
LIMIT = 91
A_LIST = {"sources.inquiry": None, "sources.all": {"at": "2025-01-01", "size": 8000}}
OPENS = 9 / 24


def still_open(age: float) -> float:
    """The share of those who asked who have neither ordered nor said no at an age of so many days."""
    return float(ORDER * LATE.sf(age) + NO * math.exp(-age / 30) + NEVER)


@pytest.fixture(scope="module")
def asked() -> pd.DataFrame:
    """Of each on a list, when and where it went; NaN where it never did within the two years."""
    records, plan = helpers.run(sf.load(BASE).override(A_LIST))
    moves = helpers.moves(records, plan)
    left = moves[moves.origin == "asked"].set_index("prospect")
    table = pd.DataFrame({"goal": left.goal, "days": left.time - OPENS})
    return table.reindex(range(len(records.prospects.key)))


@pytest.mark.parametrize("age", [30, 91, 182, 365, 700])
def test_orders_come_late_and_a_third_never_decide(age: int, asked: pd.DataFrame) -> None:
    ordered, gone = (asked.goal == "customer") & (asked.days <= age), asked.days <= age
    helpers.share_of(ordered, ORDER * LATE.cdf(age)).check(ORDER * LATE.cdf(age), f"ordered by {age}", precision=0.05)
    helpers.share_of(~gone, still_open(age)).check(still_open(age), f"open at {age}", precision=0.05)


def test_whoever_strikes_off_old_inquiries_misses_all_later_orders(asked: pd.DataFrame) -> None:
    """The same people order on the same day, or not at all."""
    records, plan = helpers.run(sf.load(STRUCK).override(A_LIST))
    moves = helpers.moves(records, plan)
    ordered = np.sort(moves[moves.goal == "customer"].prospect)
    early = asked[(asked.goal == "customer") & (asked.days <= LIMIT)]
    assert (ordered == early.index).all()
    missed = (asked[asked.goal == "customer"].days > LIMIT).to_numpy()
    helpers.share_of(missed, LATE.sf(LIMIT) - LATE.sf(730)).check(
        LATE.sf(LIMIT) - LATE.sf(730), "missed", precision=0.05
    )


def wins_ahead(file: Path, age: float) -> float:
    """Of inquiries that are still open at an age, the share that order within the quarter to come."""
    quiet = sf.load(file).override({"sources.inquiry.rate": 0})
    deals = pd.DataFrame({"id": [f"d{k}" for k in range(6000)], "stage": "asked", "age": age})
    today = sf.from_today(quiet, deals, as_of=date(2025, 12, 31), quarters=1)
    records, plan = helpers.run(today)
    return float((records.moves.goal == plan.place_names.index("customer")).sum() / len(deals))


@pytest.mark.parametrize("age", [45.0, 182.0, 365.0])
def test_an_old_inquiry_still_has_a_chance_and_the_forecast_without_it_has_none(age: float) -> None:
    days = (date(2026, 4, 1) - date(2026, 1, 1)).days
    chance = ORDER * (LATE.cdf(age + days) - LATE.cdf(age)) / still_open(age)
    found = wins_ahead(BASE, age)
    helpers.Estimate(found, math.sqrt(chance * (1 - chance) / 6000), 6000).check(chance, f"age {age}", precision=0.15)
    if age > LIMIT:
        assert wins_ahead(STRUCK, age) == 0.0


def test_what_a_quarter_misses_without_late_orders() -> None:
    """Wins of the last quarter against the rate of inquiries through the tail, which is cut off or not."""
    rate, until, days = 20 / 7, 730, (date(2027, 1, 1) - date(2026, 10, 1)).days
    since = np.arange(0, until, 0.25) + 0.125

    def expected(most: float) -> float:
        def came(t: float) -> np.ndarray:
            return LATE.cdf(np.clip(t - since, 0, most))

        return float(rate * ORDER * 0.25 * (came(until) - came(until - days)).sum())

    base, struck = (sf.run(sf.load(file), 12).values("wins")["2026Q4"].to_numpy() for file in (BASE, STRUCK))
    for wins, most in ((base, math.inf), (struck, LIMIT)):
        mean = expected(most)
        helpers.Estimate(wins.mean(), math.sqrt(mean / len(wins)), len(wins)).check(mean, str(most), precision=0.06)
    assert helpers.mean_of(base - struck).z(0.0) > 4
