"""Which grading foretells, worked out by hand."""

import math
from datetime import date

import pandas as pd
import pytest

from simfunnel.errors import InputError
from simfunnel.segments import foretells
from tests.orders import FIVE, orders


def test_gradings_are_ranked_by_what_their_best_fifth_brings():
    # e spent most before; a bought last; in the year after, a brings 60, b 40, e nothing
    table = orders(
        ("a", 99, 1), ("b", 90, 2), ("c", 80, 3), ("d", 70, 4), ("e", 60, 5), ("a", 100, 60), ("b", 464, 40),
        ("new", 101, 999), ("e", 465, 999),
    )  # fmt: skip
    found = foretells(table, 100, ["money", "recency", "frequency"])
    assert found["grading"].tolist() == ["perfect", "recency", "random", "frequency", "money"]
    assert found["captured"].tolist() == pytest.approx([0.6, 0.6, 0.2, 0.2, 0])  # frequency ties: a fifth of all
    assert found["customers"].tolist() == [5] * 5
    assert found["best"].tolist() == [1] * 5
    ranks = found.set_index("grading")["rank_correlation"]
    money_ranks = pd.Series([5, 4, 2, 2, 2])
    assert ranks["recency"] == pytest.approx(money_ranks.corr(pd.Series([5, 4, 3, 2, 1])))
    assert ranks["money"] == -ranks["recency"]
    assert ranks["perfect"] == pytest.approx(1)
    assert math.isnan(ranks["frequency"])
    # one of five at random: mean 20, variance (60 - 20)^2 + (40 - 20)^2 + 3 * 20^2 over 5
    sd = math.sqrt((40**2 + 20**2 + 3 * 20**2) / 5) / 100
    assert found.set_index("grading")["z"]["recency"] == pytest.approx(0.4 / sd)


def test_gradings_of_ones_own_are_compared_too():
    def backwards(known, last):
        assert last == date(2025, 12, 31)
        assert known["date"].max() < pd.Timestamp("2026-01-01")
        return -known.groupby("customer")["amount"].sum().drop("a")  # who has no grade ranks last

    table = orders(*[(k, 0, 1 + n) for n, k in enumerate("abcdef")], ("b", 1, 7), ("f", 1, 3))
    table["date"] = pd.to_datetime(table["date"].map({0: "2025-12-31", 1: "2026-01-01"}))
    found = foretells(table, "2026-01-01", {"mine": backwards}).set_index("grading")
    assert found.loc["mine", "captured"] == pytest.approx(0.7)  # two of six: b and c


def test_a_split_outside_the_orders_is_refused():
    for split, said in ((5, "no orders before 5; they run from 10"), (101, "no orders in the 365 days from 101 on")):
        with pytest.raises(InputError, match=said):
            foretells(FIVE, split)
    with pytest.raises(InputError, match=r"'mony' is no grading.*Did you mean 'money'"):
        foretells(FIVE, 60, ["mony"])
