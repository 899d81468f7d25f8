"""W23: a programme that costs hours makes large shops of medium ones, which earns the units between the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.engines.records import BOOKED, TOUCH_COST
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE, WITHOUT = WORLD / "w23_upgrading.yaml", WORLD / "w23_no_programme.yaml"
MEDIUM, LARGE, EARNED = 946, 1449, 4
BEGINS, SUCCEEDS, FALLS, CLOSES = 0.20, 0.60, 0.08, 0.03
N = 10


def test_books_are_the_units_of_each_class_and_the_programme_costs_what_its_visits_do() -> None:
    records, plan = helpers.run(sf.load(BASE))
    stages = helpers.moves(records, plan).goal.value_counts()
    money = records.money
    units = MEDIUM * (stages["medium"] + stages["programme"]) + LARGE * stages["large"]
    assert money.amount[money.kind == BOOKED].sum() == pytest.approx(EARNED * units)
    visits = helpers.tasks(records, plan)
    assert money.amount[money.kind == TOUCH_COST].sum() == 30 * (visits.outcome == "served").sum()
    assert visits.groupby("prospect").touch.max().max() == 12


def test_six_programmes_of_ten_succeed_within_about_a_quarter() -> None:
    parts = []
    for k in range(N):
        moves = helpers.moves(*helpers.run(sf.load(BASE).override({"teams.advisers.size": 30}), k))
        moves["next"], moves["until"] = (moves.groupby("prospect")[c].shift(-1) for c in ("goal", "time"))
        parts.append(moves[(moves.goal == "programme") & (moves.time < 900)])
    begun = pd.concat(parts)
    assert begun.next.notna().all()
    helpers.share_of(begun.next == "large", SUCCEEDS).check(SUCCEEDS, "succeed", precision=0.05)
    assert (begun.until - begun.time).between(84, 95).all()


def units_by_quarter(scenario: sf.Scenario) -> np.ndarray:
    """Units of each of a list of medium shops by quarter, where the programme takes a quarter to the day."""
    exact = {
        "stages.programme": {
            "work": None,
            "exits": {"large": {"after": "1 quarter"}, "medium": {"after": "1 quarter"}},
        },
        "sources": {"medium_shops": {"size": 4000}, "large_shops": None},
    }
    records, _ = helpers.run(scenario.override(exact))
    rows = records.money
    units = np.zeros((4000, 12))
    booked = rows.kind == BOOKED
    quarter = np.rint((rows.time[booked] - rows.time[0]) / (365.25 / 4)).astype(int)
    inside = quarter < 12
    np.add.at(units, (rows.prospect[booked][inside], quarter[inside]), rows.amount[booked][inside] / EARNED)
    return units


def expected_units() -> np.ndarray:
    """Mean units of a shop by quarter: the classes as a chain of medium, programme and large."""
    chain = np.array([[1 - BEGINS - CLOSES, BEGINS, 0.0], [1 - SUCCEEDS, 0.0, SUCCEEDS], [FALLS, 0.0, 1 - FALLS]])
    share, means = np.array([1.0, 0.0, 0.0]), []
    for _ in range(12):
        means.append(share @ [MEDIUM, MEDIUM, LARGE])
        share = share @ chain
    return np.array(means)


def test_classes_move_as_a_chain_and_units_follow() -> None:
    units, means = units_by_quarter(sf.load(BASE)), expected_units()
    for quarter in range(1, 12):
        helpers.mean_of(units[:, quarter]).check(means[quarter], f"quarter {quarter}", precision=0.01)
    assert (units[:, 0] == MEDIUM).all()
    helpers.mean_of(units.sum(axis=1)).check(means.sum(), "three years", precision=0.01)


def gain(changes: dict[str, object]) -> pd.DataFrame:
    """What the programme changes in three years: replications by metric."""
    runs = [sf.run(sf.load(file).override(changes), N) for file in (WITHOUT, BASE)]
    names = ("bookings", "cost", "profit")
    return pd.DataFrame(
        {name: np.subtract(*[r.values(name, "all").to_numpy()[:, 0] for r in runs[::-1]]) for name in names}
    )


def z(difference: pd.Series) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_the_gain_of_three_years_exceeds_the_cost() -> None:
    found = gain({})
    assert z(found["bookings"]) > 4
    assert z(found["profit"]) > 4


def test_where_a_large_shop_sells_no_more_the_programme_only_costs() -> None:
    found = gain({"stages.large.books": MEDIUM * EARNED})
    assert z(found["profit"]) < -4
