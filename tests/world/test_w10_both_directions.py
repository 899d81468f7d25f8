"""W10: firms flow both ways, none is lost or made, and each place holds the share that its flows keep up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpi_tables
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
HOLD, BACK = WORLD / "w10_both_directions.yaml", WORLD / "w10_win_back.yaml"
PLACES = ("pool", "ours", "dissatisfied", "theirs")
YEAR, MONTH = 365.25, 365.25 / 12
HOUR = 1 / 24
AFTER = np.array([6 * MONTH, YEAR, MONTH, YEAR])


def shares(hold: bool) -> np.ndarray:
    """The share of time in each place, from the file's figures: visits that balance, times the mean stay."""
    goes = np.array(
        [
            [0.73, 0.15, 0.00, 0.12],
            [0.00, 0.78, 0.22, 0.00],
            [0.20, 0.45, 0.00, 0.35] if hold else [0.30, 0.15, 0.00, 0.55],
            [0.12, 0.03, 0.00, 0.85] if hold else [0.12, 0.09, 0.00, 0.79],
        ]
    )
    stay = AFTER + HOUR * np.array([1, 0, 2, 0] if hold else [1, 0, 0, 1.5])
    values, vectors = np.linalg.eig(goes.T)
    visits = np.real(vectors[:, np.argmax(np.real(values))])
    return visits * stay / (visits @ stay)


def stays(scenario: sf.Scenario, k: int = 0) -> pd.DataFrame:
    """Every stay of every firm: prospect, goal (the place), and from when until when."""
    records, plan = helpers.run(scenario, k)
    table = helpers.moves(records, plan).sort_values(["prospect", "time"], kind="stable")
    same = table.prospect.eq(table.prospect.shift(-1))
    table["until"] = table.time.shift(-1).where(same, plan.days)
    table["next"] = table.origin.shift(-1).where(same, table.goal)
    return table


@pytest.mark.parametrize("path", [HOLD, BACK], ids=["hold on", "win back"])
def test_people_are_conserved(path: Path) -> None:
    """Everyone is in one place at a time, leaves the place where they are, and the places hold 400 at every moment."""
    table = stays(sf.load(path))
    assert (table.next == table.goal).all()
    assert (table.until >= table.time).all()
    at = table.sort_values("time", kind="stable")
    counts = pd.DataFrame({p: ((at.goal == p).astype(int) - (at.origin == p)).cumsum() for p in PLACES})
    assert (counts >= 0).all(axis=None)
    after_the_start = counts[(at.time > at.time.min()).to_numpy()]
    assert len(after_the_start) > 1000
    assert (after_the_start.sum(axis=1) == 400).all()
    for one_way in (("pool", "ours"), ("ours", "dissatisfied"), ("dissatisfied", "pool"), ("theirs", "ours")):
        assert ((at.origin == one_way[0]) & (at.goal == one_way[1])).sum() > 0


@pytest.mark.parametrize("hold", [True, False], ids=["hold on", "win back"])
def test_in_the_long_run_each_place_holds_what_its_flows_keep_up(hold: bool) -> None:
    """With sellers enough, round the clock, firms are independent; each one's last 20 years of 40 are looked at."""
    scenario = sf.load(HOLD if hold else BACK)
    endless = {"horizon": "40 years", "calendar": "always", "teams.sellers.size": 100, "teams.sellers.selling_time": 1}
    table = stays(scenario.override(endless))
    first, last = 20 * YEAR, scenario.override(endless).spec.days
    inside = np.clip(table["until"], first, last) - np.clip(table.time, first, last)
    spent = inside.groupby([table.prospect, table.goal]).sum().unstack(fill_value=0) / (last - first)
    for place, share in zip(PLACES, shares(hold), strict=True):
        helpers.mean_of(spent[place]).check(share, place, precision=0.08)


def test_holding_on_earns_more_for_a_sellers_hour_than_winning_back() -> None:
    def an_hour(path: Path, k: int) -> float:
        found = kpi_tables.measure(*helpers.run(sf.load(path), k), "all", metrics=["revenue", "hours"])
        return float(found.value[0] / found.value[1])

    gain = helpers.mean_of([an_hour(HOLD, k) - an_hour(BACK, k) for k in range(8)])
    assert gain.mean > 4 * gain.se
