"""Lifetime value, worked out by hand."""

import pytest

from simfunnel.errors import InputError
from simfunnel.segments import lifetime_value, pyramid_grade
from tests.orders import FIVE, by_customer, orders


def test_realised_value_is_discounted_to_the_first_order():
    table = lifetime_value(orders(("a", 0, 100), ("a", 365, 110), ("a", 730, 121), ("b", 365, -50)), as_of=730)
    assert by_customer(table, "realised") == pytest.approx({"a": 300, "b": -50})
    half = lifetime_value(orders(("a", 0, 100), ("a", 365, 110)), as_of=730, margin=0.5)
    assert by_customer(half, "realised") == pytest.approx({"a": 100})


def test_expected_value_follows_gupta_and_lehmann_2003():
    table = lifetime_value(orders(("a", 10, 100), ("b", 0, 30)), as_of=370, retention=0.8, margin=0.5)
    # m r / (1 + i - r) = 50 * 0.8 / 0.3; b last bought before the year that ends on day 370
    assert by_customer(table, "expected") == pytest.approx({"a": 50 * 0.8 / 0.3, "b": 0})
    series = sum(50 * 0.8**t / 1.1**t for t in range(1, 400))
    assert by_customer(table, "expected")["a"] == pytest.approx(series)


def test_retention_is_the_share_of_a_classs_buyers_who_bought_again():
    table = orders(
        *[(k, 100, 10) for k in "abcd"], *[(k, 500, 10) for k in "abc"], ("e", 600, 10), ("d", 700, -1), ("f", 110, 5)
    ).assign(kind=["x", "x", "y", "y", "x", "x", "y", "x", "y", "z"])
    whole = lifetime_value(table, as_of=730)
    assert set(whole["retention"]) == {3 / 5}  # d's credit note is no purchase
    split = lifetime_value(table, as_of=730, by="kind").set_index("customer")
    assert split["retention"].to_dict() == {"a": 1, "b": 1, "c": 0.5, "d": 0.5, "e": 1, "f": 0}
    assert split.loc["a", "expected"] == pytest.approx(10 / 0.1)
    assert split.loc["c", "expected"] == pytest.approx(10 * 0.5 / 0.6)
    quarter = lifetime_value(table, as_of=730, period=365 / 4, retention=0.5)
    interest = 1.1**0.25 - 1
    assert by_customer(quarter, "expected")["e"] == 0
    late = lifetime_value(table, as_of=650, period=365 / 4, retention=0.5)
    assert by_customer(late, "expected")["e"] == pytest.approx(10 * 0.5 / (0.5 + interest))


def test_being_retained_does_not_make_the_class_whose_retention_it_is():
    """Of two that were top a year ago one left; he is inactive now, and yet the top's retention is his too."""
    table = orders(
        *[(k, 100, 10) for k in range(198)], ("stayed", 100, 99), ("left", 100, 98), ("stayed", 500, 1), (0, 500, 2)
    )
    values = lifetime_value(table, as_of=730, by=pyramid_grade).set_index("customer")
    assert pyramid_grade(table, 365)[["stayed", "left"]].tolist() == ["top", "top"]
    assert values.loc[0, ["class", "retention"]].tolist() == ["top", 0.5]


def test_without_two_periods_there_is_no_retention():
    table = lifetime_value(orders(("a", 1, 5), ("b", 9, 5)), as_of=10)
    assert table[["retention", "expected"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"margin": 1.5}, "a margin must be a share over 0 and up to 1, not 1.5"),
        ({"discount": 0}, "a discount must be a number over 0, not 0"),
        ({"retention": -0.1}, "retention must be a share from 0 to 1"),
        ({"period": 0}, "a period must be a number over 0"),
        ({"by": "siez"}, "'siez' is no attribute of these orders; allowed: size. Did you mean 'size'?"),
    ],
)
def test_figures_out_of_range_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        lifetime_value(FIVE.assign(size="s"), **wrong)
