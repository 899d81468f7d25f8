"""W14: each grade orders again at its own odds, so that orders and their money follow; and grading foretells."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import segments
from tests import helpers

FILE = Path(__file__).parents[2] / "scenarios" / "world" / "w14_customer_grades.yaml"
ODDS = {"top": 24.0, "big": 16.0, "medium": 8.0, "small": 4.0}  # four to one for small ones, and the file's factors
CLOSE = 1.5
WORTH = {"top": 40_000, "big": 12_000, "medium": 4_000, "small": 800}
SPLIT = "2027-01-01"


def lives(scenario: sf.Scenario) -> pd.DataFrame:
    """A row a customer: grade, fit, orders and money, where the next order comes so soon that all have left."""
    soon = {"stages.customer.exits.customer.after": "2 days", "stages.customer.exits.lapsed.after": "2 days"}
    rate = {"2025-01-01": "40 per day", "2025-03-02": "0 per day"}
    brief = scenario.override({**soon, "sources.old.rate": rate, "sources.new.rate": 0, "attributes.grade": EVEN})
    records, plan = helpers.run(brief)
    assert helpers.ends(records, plan)["customer"] == 0
    orders = segments.orders_of(records, plan)
    table = orders.groupby("customer").agg(
        grade=("grade", "first"), fit=("fit", "first"), n=("amount", "size"), money=("amount", "sum")
    )
    return table.reset_index()


EVEN = {"top": "25%", "big": "25%", "medium": "25%", "small": "25%"}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return lives(sf.load(FILE))


@pytest.mark.parametrize("grade", list(ODDS))
@pytest.mark.parametrize("fit", ["close", "loose"])
def test_each_grade_orders_again_at_its_own_odds(grade: str, fit: str, table: pd.DataFrame) -> None:
    """n orders are n - 1 times yes and once no: the number is geometric, with mean 1 + odds."""
    odds = ODDS[grade] * (CLOSE if fit == "close" else 1.0)
    mine = table[(table.grade == grade) & (table.fit == fit)]
    helpers.mean_of(mine.n).check(1 + odds, f"{grade}, {fit}", precision=0.1)


@pytest.mark.parametrize("grade", list(ODDS))
def test_a_customers_money_is_the_size_of_an_order_times_their_number(grade: str, table: pd.DataFrame) -> None:
    mine = table[table.grade == grade]
    orders = 0.3 * (1 + CLOSE * ODDS[grade]) + 0.7 * (1 + ODDS[grade])
    helpers.mean_of(mine.money).check(WORTH[grade] * orders, grade, precision=0.06)


def captured(scenario: sf.Scenario, n: int) -> pd.DataFrame:
    """By replication: what the best fifth by some gradings of two years brings of the third year's money."""
    names = ("recent money", "recency", "expected value")
    rows = []
    for k in range(n):
        orders = segments.orders_of(*helpers.run(scenario, k))
        table = segments.foretells(orders, SPLIT, names).set_index("grading")["captured"]
        assert table["perfect"] >= table.drop("perfect").max() - 1e-12
        rows.append(table)
    return pd.DataFrame(rows).reset_index(drop=True)


def z(difference: pd.Series) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_past_orders_foretell_the_next_year_where_grades_differ() -> None:
    """Without grades there is still recency to go by; size and loyalty make the money foretell more than that."""
    base = sf.load(FILE)
    alike = base.override({"attributes.grade": {"top": 0, "big": 0, "medium": 0, "small": "100%"}})
    graded, flat = captured(base, 6), captured(alike, 6)
    for name in ("recent money", "expected value"):
        assert z(graded[name] - graded["random"]) > 4
        assert z(graded[name] - flat[name]) > 4, name
    assert z(graded["recent money"] - graded["recency"]) > 4
