"""W13: a fifth of the customers bring four fifths; served first they wait less and the others more."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import views
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE = WORLD / "w13_key_accounts.yaml"
FIRST, MANAGER = WORLD / "w13_key_accounts_first.yaml", WORLD / "w13_key_account_managers.yaml"
N = 12


def figures(scenario: sf.Scenario, n: int = N) -> pd.DataFrame:
    """A row a replication: by tier the mean wait in hours, bookings, and the number of orders."""
    rows = []
    for k in range(n):
        records, plan = helpers.run(scenario, k)
        view = views.view_of(records, plan, "all", "tier")
        orders = view.moved(view.ways.goal == plan.place_names.index("customer"))
        found = {"wait": view.metric("wait"), "bookings": view.metric("bookings"), "orders": orders}
        rows.append({f"{tier} {name}": a[t, 0] for name, a in found.items() for t, tier in enumerate(view.groups)})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return figures(sf.load(BASE))


@pytest.fixture(scope="module")
def first() -> pd.DataFrame:
    return figures(sf.load(FIRST))


def z(difference: pd.Series) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_a_fifth_of_the_customers_are_worth_four_fifths() -> None:
    spec = sf.load(BASE).spec
    share = spec.attributes["tier"].cases["other"].of
    worth = {tier: share[tier] * spec.value.cases[tier].mean() for tier in share}
    assert share["key"] == 0.2
    assert worth["key"] / sum(worth.values()) == pytest.approx(0.8)


def test_a_fifth_of_the_customers_bring_four_fifths_of_the_bookings() -> None:
    """Where nobody waits, tiers differ in the size of orders alone: key less four fifths of all is 0 on average."""
    calm = sf.load(BASE).override({"teams.sellers.size": 40})
    found = figures(calm, 6)
    total = found["key bookings"] + found["other bookings"]
    off = helpers.mean_of((found["key bookings"] - 0.8 * total) / total.mean())
    assert abs(off.z(0.0)) < 4
    assert off.se < 0.04


def test_served_first_the_large_wait_less_and_the_others_more(base: pd.DataFrame, first: pd.DataFrame) -> None:
    assert abs(z(base["key wait"] - base["other wait"])) < 4  # in turn all wait alike
    assert z(first["key wait"] - base["key wait"]) < -4
    assert z(first["other wait"] - base["other wait"]) > 4


def test_what_the_top_earns_more_is_worth_what_is_lost_below(base: pd.DataFrame, first: pd.DataFrame) -> None:
    """Orders at their mean value, for the values' own luck is great."""
    assert z(first["key orders"] - base["key orders"]) > 4
    assert z(first["other orders"] - base["other orders"]) < -4
    assert z(16 * (first["key orders"] - base["key orders"]) + first["other orders"] - base["other orders"]) > 4


def test_managers_of_their_own_serve_them_alone(base: pd.DataFrame) -> None:
    scenario = sf.load(MANAGER)
    records, plan = helpers.run(scenario)
    tier = records.prospects.attributes[:, 0]
    table = helpers.tasks(records, plan)
    theirs = table[table.member.isin(["manager 1", "manager 2"])]
    assert len(theirs) > 100
    assert (tier[theirs.prospect] == plan.attribute_levels[0].index("key")).all()
    found = figures(scenario, 6)
    assert z(found["key wait"] - base["key wait"][:6]) < -4
    assert z(found["other wait"] - base["other wait"][:6]) > 4


def test_without_the_order_of_service_nothing_changes(base: pd.DataFrame) -> None:
    in_turn = sf.load(FIRST).override({"teams.sellers.serves": "oldest first"})
    assert figures(in_turn, 2).equals(base[:2])
