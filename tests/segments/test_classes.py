"""The pyramid, ABC, and value and fit, worked out by hand."""

import math

import pandas as pd
import pytest

from simfunnel import segments
from simfunnel.errors import InputError
from simfunnel.segments import INACTIVE, PYRAMID, abc, class_table, pyramid, pyramid_classes, value_fit
from tests.orders import FIVE, by_customer, orders

CLASSES = [*PYRAMID, INACTIVE]


def test_the_pyramid_of_a_hundred_customers_has_1_4_15_and_80():
    table = pyramid(orders(*[(k, 400, 1000 - k) for k in range(100)], ("gone", 10, 5000)), as_of=400)
    assert table["class"].tolist() == CLASSES
    assert table["customers"].tolist() == [1, 4, 15, 80, 1]
    assert table["money"].tolist() == [1000, 999 + 998 + 997 + 996, sum(range(981, 996)), sum(range(901, 981)), 0]
    assert table["customer_share"].sum() == pytest.approx(1)
    assert table["money_share"].sum() == pytest.approx(1)
    assert table["money_per_customer"][1] == 997.5
    assert table["customer_share"][4] == pytest.approx(1 / 101)


def test_the_window_holds_the_days_after_its_beginning_up_to_its_end():
    found = by_customer(pyramid_classes(orders(("a", 35, 1), ("b", 36, 1), ("c", 401, 1)), as_of=400), "class")
    assert found == {"a": INACTIVE, "b": "top"}


def test_of_equal_customers_one_who_bought_more_often_and_later_stands_higher():
    table = pyramid_classes(orders(("x", 5, 10), ("w", 7, 10), ("y", 1, 4), ("y", 2, 6), ("v", 7, 10)), as_of=7)
    assert table["customer"].tolist() == ["y", "v", "w", "x"]


def test_abc_counts_who_crosses_a_cut_above_it():
    table = abc(orders(("a", 1, 80), ("b", 1, 10), ("c", 1, 5), ("d", 1, 5), ("e", 1, -20)))
    # before: 0, 80%, 90% for both c and d, who tie; e has no money
    assert by_customer(table, "class") == {"a": "A", "b": "B", "c": "B", "d": "B", "e": "C"}
    assert by_customer(table, "before") == {"a": 0, "b": 0.8, "c": 0.9, "d": 0.9, "e": 1}
    assert table["share"].sum() == pytest.approx(1)


def test_abc_of_equal_customers_is_all_a_and_cuts_are_the_users():
    equal = orders(*[(k, 1, 7) for k in range(30)])
    assert set(abc(equal)["class"]) == {"A"}
    split = abc(orders(("a", 1, 60), ("b", 1, 30), ("c", 1, 10)), cuts=(0.5,))
    assert by_customer(split, "class") == {"a": "A", "b": "B", "c": "B"}


@pytest.mark.parametrize("cuts", [(), (0.9, 0.8), (0.0, 0.5), (0.8, 1.0), (80, 95)])
def test_cuts_that_do_not_rise_within_0_and_1_are_refused(cuts):
    with pytest.raises(InputError, match="cuts must rise between 0 and 1"):
        abc(FIVE, cuts=cuts)


def test_value_and_fit_make_four_quadrants():
    customers = pd.DataFrame({"worth": [9, 8, 2, 1], "fit": [5, 1, 5, 1]}, index=["s", "p", "t", "o"])
    found = value_fit(customers, "worth", "fit", value_cut=8, fit_cut=5)
    assert found["class"].tolist() == list(segments.QUADRANTS) == ["strategic", "profitable", "potential", "ordinary"]
    assert value_fit(customers, "worth", "fit")["class"].tolist() == found["class"].tolist()  # medians 5 and 3
    assert class_table(found, segments.QUADRANTS, amount="worth")["money_share"].tolist() == [0.45, 0.4, 0.1, 0.05]


def test_value_and_fit_say_what_is_missing():
    customers = pd.DataFrame({"worth": [9.0, math.nan], "fit": ["high", "low"]})
    with pytest.raises(InputError, match=r"'wort' is no column; allowed: worth, fit\. Did you mean 'worth'\?"):
        value_fit(customers, "wort", "fit")
    with pytest.raises(InputError, match="1 customers have no number in 'worth'"):
        value_fit(customers, "worth", "fit")
