"""Recency, frequency and money, worked out by hand."""

import math

import pytest

from simfunnel.errors import InputError
from simfunnel.segments import rfm, rfm_table
from tests.orders import FIVE, by_customer, orders


def test_rfm_of_five_customers_is_as_worked_out_by_hand():
    table = rfm(FIVE, as_of=100)
    assert by_customer(table, "recency") == {"a": 0, "b": 10, "c": 20, "d": 90, "e": 5}
    assert by_customer(table, "frequency") == {"a": 1, "b": 2, "c": 3, "d": 1, "e": 1}
    assert by_customer(table, "money") == {"a": 10, "b": 50, "c": 15, "d": 400, "e": 1}
    # frequency: a, d and e share the ranks 1 to 3, so each has 2 and ceil(5 (2 - 1/2) / 5) = 2
    assert by_customer(table, "code") == {"a": "522", "b": "344", "c": "253", "d": "125", "e": "421"}
    assert list(table["score"]) == [11, 10, 9, 8, 7]


def test_ten_different_customers_fall_into_five_pairs():
    table = rfm(orders(*[(f"c{k}", k, 10 * k) for k in range(1, 11)]), as_of=10)
    assert by_customer(table, "m") == {f"c{k}": (k + 1) // 2 for k in range(1, 11)}
    assert (table["m"] == table["r"]).all()
    assert set(table["f"]) == {3}  # all tie: the middle


def test_a_table_of_scores_tells_their_ranges():
    table = rfm_table(rfm(FIVE, as_of=100))
    row = table[(table.measure == "frequency") & (table.score == 2)].iloc[0]
    assert (row["customers"], row["low"], row["high"], row["money"]) == (3, 1, 1, 411)
    assert row["money_share"] == pytest.approx(411 / 476)
    for _, part in table.groupby("measure"):
        assert part["customers"].sum() == 5
        assert part["money_share"].sum() == pytest.approx(1)


def test_a_credit_note_lowers_money_and_is_no_purchase():
    table = rfm(orders(("a", 1, 100), ("a", 9, -30), ("b", 2, 50), ("c", 5, -5)), as_of=10).set_index("customer")
    assert list(table.loc["a", ["recency", "frequency", "money"]]) == [9, 1, 70]
    assert table.loc["c", "frequency"] == 0
    assert math.isnan(table.loc["c", "recency"])
    assert table.loc["c", "r"] == table["r"].min()


@pytest.mark.parametrize("bins", [1, 10])
def test_bins_out_of_range_are_refused(bins):
    with pytest.raises(InputError, match=f"bins must be 2 to 9, not {bins}"):
        rfm(FIVE, bins=bins)
