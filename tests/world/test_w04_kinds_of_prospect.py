"""W4: what a win costs by kind of prospect follows from a name's price, the talk's hours and the chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpi_tables
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
FILE = WORLD / "w04_kinds_of_prospect.yaml"
N = 12
WAGE = 40
KINDS = {"new": (12, 1.5, 0.08), "lapsed": (1, 0.75, 0.18), "unwilling": (1, 1.5, 0.03), "customers": (0, 0.5, 0.25)}
"""As in the file's comment: the price of a name, the hours of a talk, the chance."""


def totals(scenario: sf.Scenario) -> pd.DataFrame:
    """Prospects, wins, hours and money spent by kind and replication, where everyone is decided before the end."""
    scenario = scenario.override(
        {"sources.new.rate": {"2026-01-01": "6 per week", "2026-06-01": "0 per week"}, "teams.sellers.size": 5}
    )
    parts = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        assert helpers.ends(records, plan)["talk"] == 0
        table = kpi_tables.measure(records, plan, "all", by="source", metrics=["prospects", "wins", "hours", "cost"])
        parts.append(table.pivot(index="group", columns="metric", values="value").assign(replication=k))
    return pd.concat(parts).reset_index()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return totals(sf.load(FILE))


@pytest.mark.parametrize("kind", KINDS)
def test_cost_of_a_win_by_kind(kind: str, table: pd.DataFrame) -> None:
    """Spent less (cost of a win) x wins is nothing on average; so the ratio is right without being one of means."""
    name, hours, chance = KINDS[kind]
    mine = table[table.group == kind]
    assert mine.cost.to_numpy() == pytest.approx(name * mine.prospects)
    assert mine.hours.to_numpy() == pytest.approx(hours * mine.prospects)
    a_win = (name + WAGE * hours) / chance
    spent = mine.cost + WAGE * mine.hours
    each = helpers.mean_of((spent - a_win * mine.wins) / mine.prospects)
    assert abs(each.mean) <= 4 * each.se
    assert each.se < 0.25 * (name + WAGE * hours)


def test_reviving_lapsed_customers_costs_less_a_win_than_new_ones(table: pd.DataFrame) -> None:
    """By so much that the wins of the lapsed would cost more at the price of new ones, by four standard errors."""
    name, hours, chance = KINDS["new"]
    lapsed = table[table.group == "lapsed"]
    saved = helpers.mean_of((name + WAGE * hours) / chance * lapsed.wins - (lapsed.cost + WAGE * lapsed.hours))
    assert saved.mean > 4 * saved.se


def test_without_effects_only_the_price_of_a_name_tells_the_kinds_apart() -> None:
    table = totals(sf.load(FILE).override({"effects": []}))
    for kind in KINDS:
        mine = table[table.group == kind]
        assert mine.hours.to_numpy() == pytest.approx(1.5 * mine.prospects)
        helpers.share_of(
            np.repeat([1, 0], [int(mine.wins.sum()), int((mine.prospects - mine.wins).sum())]), 0.08
        ).check(0.08, kind, precision=0.15)
