"""Grades of customers: figures worked out by hand, what holds of any orders, files as users have them, the command."""

import json
import math
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simfunnel as sf
from simfunnel import segments
from simfunnel.cli import main
from simfunnel.engines.records import BOOKED
from simfunnel.errors import InputError
from simfunnel.scenario import from_tree, load_text
from simfunnel.scenario.documents import dump
from simfunnel.segments import (
    GRADINGS,
    INACTIVE,
    PYRAMID,
    Choices,
    abc,
    class_table,
    foretells,
    grade_shares,
    lifetime_value,
    orders_of,
    pyramid,
    pyramid_classes,
    pyramid_grade,
    read_orders,
    rfm,
    rfm_table,
    value_fit,
)
from tests.helpers import PLAIN, mean_of, run, toy

ROOT = Path(__file__).parents[1]
CLASSES = [*PYRAMID, INACTIVE]

# Everyone buys on the tenth day and, two in three, again after each 50 days; large ones for ten times as much.
REPEATING = """
name: Repeating
start: 2026-01-01
horizon: 700 days
calendar: always
attributes: {size: {small: 80%, large: 20%}}
sources: {web: {rate: 1 per week}}
value: {by: size, cases: {small: 100, large: 1000}}
stages:
  open: {exits: {customer: {after: 10 days}}}
  customer: {books: value, exits: {again: {chance: 67%, after: 50 days}, churned: {after: 50 days}}}
  again: {books: value, exits: {customer: {chance: 67%, after: 50 days}, churned: {after: 50 days}}}
"""


def orders(*rows):
    """An order table of (customer, day, amount)."""
    table = pd.DataFrame(rows, columns=["customer", "date", "amount"])
    return table.astype({"date": "float64", "amount": "float64"}) if not rows else table


def by_customer(table, column):
    return table.set_index("customer")[column].to_dict()


# --- recency, frequency, money ----------------------------------------------------------------------------------------

FIVE = orders(
    ("a", 100, 10),
    ("b", 90, 20),
    ("b", 50, 30),
    ("c", 80, 5),
    ("c", 70, 5),
    ("c", 60, 5),
    ("d", 10, 400),
    ("e", 95, 1),
)


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


# --- pyramid and ABC --------------------------------------------------------------------------------------------------


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


# --- value and fit ----------------------------------------------------------------------------------------------------


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


# --- lifetime value ---------------------------------------------------------------------------------------------------


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


# --- which grading foretells ------------------------------------------------------------------------------------------


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


# --- what must hold of any orders -------------------------------------------------------------------------------------

FEW = settings(max_examples=30)  # each makes many tables
NAMES = st.sampled_from([*"abcdefgh", "华为", "Ünal & Söhne"])
ROWS = st.lists(st.tuples(NAMES, st.integers(0, 1500), st.integers(-50, 1000)), min_size=1, max_size=60)
LARGE_ROWS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1500), st.integers(-50, 1000)), max_size=400)


@FEW
@given(ROWS | LARGE_ROWS)
def test_classes_part_the_customers_and_shares_sum_to_one(rows):
    table = orders(*rows)
    everyone = set(table["customer"])
    classes, letters, scores = pyramid_classes(table), abc(table), rfm(table)
    for found in (classes, letters, scores, lifetime_value(table, by=pyramid_grade)):
        assert len(found) == len(everyone)
        assert set(found["customer"]) == everyone
    counted = pyramid(table)
    assert counted["customers"].sum() == len(everyone)
    active = len(everyone) - counted["customers"].iloc[-1]
    down_to = counted["customers"].cumsum().iloc[:4].to_numpy()
    assert (down_to == np.ceil(np.array([0.01, 0.05, 0.2, 1]) * active - 1e-9)).all()
    for shares in (counted, class_table(letters, "ABC")):
        assert shares["customer_share"].sum() == pytest.approx(1.0 if everyone else 0.0)
        if shares["money"].sum() > 0:
            assert shares["money_share"].sum() == pytest.approx(1)
    assert class_table(letters, "ABC")["money"].sum() == pytest.approx(table["amount"].sum())
    window = table[table["date"] > table["date"].max() - 365]
    assert counted["money"].sum() == pytest.approx(window["amount"].sum())
    inside = classes[classes["class"] != INACTIVE]
    assert inside["money"].is_monotonic_decreasing
    assert letters["class"].is_monotonic_increasing


@FEW
@given(ROWS)
def test_a_score_never_falls_where_its_measure_is_better(rows):
    scores = rfm(orders(*rows))
    for measure, score, sign in (("recency", "r", -1), ("frequency", "f", 1), ("money", "m", 1)):
        ordered = (sign * scores.set_index(score)[measure]).fillna(-np.inf).sort_values(kind="stable")
        pairs = pd.DataFrame({"value": ordered.to_numpy(), "score": ordered.index})
        assert pairs.groupby("value")["score"].nunique().max() == 1
        assert pairs["score"].is_monotonic_increasing
    assert scores[["r", "f", "m"]].isin(range(1, 6)).all(axis=None)


@FEW
@given(ROWS, st.sampled_from([0.25, 4, 1024]))
def test_the_currency_does_not_matter_to_classes(rows, factor):
    table = orders(*rows)
    other = table.assign(amount=table["amount"] * factor)
    assert by_customer(rfm(table), "code") == by_customer(rfm(other), "code")
    assert by_customer(pyramid_classes(table), "class") == by_customer(pyramid_classes(other), "class")
    assert by_customer(abc(table), "class") == by_customer(abc(other), "class")


@FEW
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, chance):
    mixed = list(rows)
    chance.shuffle(mixed)
    for grade, column in ((rfm, "code"), (pyramid_classes, "class"), (abc, "class")):
        assert by_customer(grade(orders(*rows)), column) == by_customer(grade(orders(*mixed)), column)


@FEW
@given(ROWS, ROWS, st.integers(0, 1500))
def test_orders_after_the_as_of_day_change_nothing(rows, later, day):
    known = [row for row in rows if row[1] <= day] or [("a", day, 1)]
    future = [(name, day + 1 + late, amount) for name, late, amount in later]
    alone, both = orders(*known), orders(*future, *known)
    by_letter = {"by": lambda table, as_of: abc(table, as_of=as_of).set_index("customer")["class"]}
    for grade, options in ((rfm, {}), (pyramid_classes, {}), (abc, {}), (lifetime_value, by_letter)):
        left, right = grade(alone, as_of=day, **options), grade(both, as_of=day, **options)
        pd.testing.assert_frame_equal(*(t.sort_values("customer", ignore_index=True) for t in (left, right)))


@settings(max_examples=12)  # each makes all gradings twice
@given(ROWS, ROWS, st.integers(1, 1500))
def test_grades_that_foretell_know_nothing_after_the_split(rows, later, split):
    """What comes later changes whom the year proves right, never the grades that are tried."""
    past = [row for row in rows if row[1] < split] or [("a", split - 1, 1)]

    def seen_with(future):
        seen = {}

        def watched(name):
            def grading(known, last):
                seen[name] = GRADINGS[name](known, last)
                return seen[name]

            return grading

        foretells(orders(*past, *future), split, {name: watched(name) for name in GRADINGS})
        return seen

    one = seen_with([("a", split, 1)])
    two = seen_with([("z", split, 5), *[(name, split + late, amount) for name, late, amount in later]])
    assert one.keys() == GRADINGS.keys()
    for name, grades in one.items():
        pd.testing.assert_series_equal(grades.sort_index(), two[name].sort_index())


# --- edges ------------------------------------------------------------------------------------------------------------


def test_no_orders_make_empty_tables():
    none = orders()
    assert rfm(none).empty
    assert rfm_table(rfm(none)).empty
    assert abc(none).empty
    assert lifetime_value(none, by=pyramid_grade).empty
    assert pyramid(none)["customers"].tolist() == [0] * 5
    assert pyramid(none)["money_share"].isna().all()
    with pytest.raises(InputError, match="there are no orders before 10"):
        foretells(none, 10)
    with pytest.raises(InputError, match="there are no grades"):
        grade_shares(pyramid_grade(none, 0))


def test_one_customer_is_at_the_top_and_in_the_middle():
    one = orders(("only", 3, 10))
    assert rfm(one)["code"].tolist() == ["333"]
    assert pyramid_classes(one)["class"].tolist() == ["top"]
    assert abc(one)["class"].tolist() == ["A"]


def test_equal_customers_have_equal_scores():
    assert set(rfm(orders(*[(k, 5, 10) for k in range(7)]))["code"]) == {"333"}


def test_dates_may_be_dates_stamps_or_texts_and_count_by_the_day():
    days = ["2026-01-01", "2026-03-01"]
    stamps = pd.to_datetime(["2026-01-01 23:59", "2026-03-01 00:00"])
    for dates in (days, stamps, [date.fromisoformat(day) for day in days], stamps.tz_localize("UTC")):
        table = orders(("a", 0, 5), ("b", 0, 7)).assign(date=dates)
        for as_of in ("2026-02-28", date(2026, 2, 28), pd.Timestamp("2026-02-28 12:00")):
            assert by_customer(rfm(table, as_of), "recency") == {"a": 58}
        assert by_customer(rfm(table, "2026-03-01"), "recency") == {"a": 59, "b": 0}


def test_a_table_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"there is no customer, only custmer, date, amount\. Did you mean"):
        rfm(FIVE.rename(columns={"customer": "custmer"}))
    with pytest.raises(InputError, match=r"1 orders have no amount.*rows from 0: 2"):
        rfm(FIVE.astype({"amount": float}).assign(amount=lambda t: t["amount"].where(t.index != 2)))
    with pytest.raises(InputError, match="numbers of days, so the day must be one, not '2026-01-01'"):
        rfm(FIVE, "2026-01-01")
    with pytest.raises(InputError, match="these orders have dates, so the day must be a date"):
        rfm(FIVE.assign(date=pd.Timestamp("2026-01-01")), 5)
    with pytest.raises(InputError, match="dates of these orders can't be read"):
        rfm(FIVE.assign(date="yesterday"))


# --- grades as attributes ---------------------------------------------------------------------------------------------


def test_shares_of_grades_sum_to_100_and_a_scenario_reads_them():
    table = orders(("a", 1, 30), ("b", 1, 20), ("c", 1, 10), ("c", 2, 12))
    tree = grade_shares(pd.Series({"a": "gold", "b": "大客户", "c": "大客户"}), table)
    assert tree["attributes"] == {"grade": {"gold": "33.33%", "大客户": "66.67%"}}
    assert tree["value"]["cases"]["gold"] == 30
    model = from_tree({**PLAIN, **tree, "sources": {"list": {"at": "2026-01-05", "size": 3000}}})
    records, plan = run(model)
    values = pd.Series(records.prospects.value).groupby(records.prospects.attributes[:, 0])
    assert plan.attribute_levels == (("gold", "大客户"),)
    assert set(values.get_group(0)) == {30}
    mean_of(values.get_group(1)).check(14, "mean order of 20, 10 and 12")
    assert load_text(dump(model.tree)).tree == model.tree


@FEW
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_percentages_sum_to_100_and_none_vanishes(counts):
    grades = pd.Series(np.repeat([f"g{k}" for k in range(len(counts))], np.array(counts) % 5000 + 1))
    shares = grade_shares(grades)["attributes"]["grade"]
    parts = [float(text.removesuffix("%")) for text in shares.values()]
    assert sum(parts) == pytest.approx(100, abs=1e-9)
    assert min(parts) > 0


def test_grades_without_orders_of_their_own_take_the_values_of_all():
    tree = grade_shares(pd.Series({"a": 1, "b": 2}), orders(("a", 1, 30)))
    assert tree["value"] == {"by": "grade", "cases": {"1": 30, "other": 30}}


# --- orders of a simulation -------------------------------------------------------------------------------------------


def test_every_booking_of_a_simulation_is_an_order_with_its_seller():
    model = toy(
        attributes={"size": {"small": "50%", "large": "50%"}, "amount": {"uniform": {"low": 1, "high": 2}}},
        sources={"list": {"at": "2026-01-05", "size": 40}, "web": {"rate": "1 per day"}},
        value={"by": "size", "cases": {"small": 10, "large": 100}},
        teams={"sellers": {"members": [{"name": "Ana"}, {"name": "Ben"}]}},
        stages={
            "lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"won": {"chance": "60%"}, "lost": {}}},
            "won": {"books": "value", "exits": {"again": {"after": "20 days"}}},
            "again": {"books": 5},
        },
    )
    records, plan = run(model)
    table = orders_of(records, plan)
    assert table["amount"].sum() == pytest.approx(records.money.amount[records.money.kind == BOOKED].sum())
    assert len(table) > 40
    columns = ["customer", "date", "amount", "source", "generation", "member", "size", "attribute amount"]
    assert list(table.columns) == columns
    first = table[table["amount"] != 5]
    assert (first["amount"] == first["size"].map({"small": 10, "large": 100})).all()
    assert set(table["member"]) == {"Ana", "Ben"}
    moves, won = records.moves, list(plan.place_names).index("won")
    mine = moves.prospect[(moves.goal == won) & (moves.member == list(plan.member_names).index("Ana"))]
    assert set(first.loc[first["member"] == "Ana", "customer"]) == set(mine)
    assert table["date"].min() >= pd.Timestamp("2026-01-05")
    days = (table["date"] - pd.Timestamp("2026-01-05")) / pd.Timedelta(days=1)
    assert np.sort(records.money.time[records.money.kind == BOOKED]) == pytest.approx(days.to_numpy(), abs=1e-6)
    assert set(table["source"]) == {"list", "web"}


def test_a_simulation_without_bookings_is_an_empty_table():
    table = orders_of(*run(toy()))
    assert table.empty
    assert pyramid(table)["customers"].sum() == 0
    with pytest.raises(InputError, match="toy: nothing was booked"):
        segments.segment_scenario(toy(), replications=2)


def test_in_a_simulation_the_retention_is_the_scenarios():
    """Who bought on day t buys again 50 days later with chance 67%; a window of 50 days sees each customer once."""
    model = load_text(REPEATING)
    found = segments.segment_scenario(model, Choices(window=50), replications=30)
    table = found.tables["lifetime"]
    buyers, again = 30 * table["buyers"].sum(), 30 * table["again"].sum()
    assert abs(again / buyers - 0.67) < 4 * math.sqrt(0.67 * 0.33 / buyers)
    small = table.set_index("class").loc["small"]
    rate, interest = small["again"] / small["buyers"], 1.1 ** (50 / 365) - 1
    assert small["expected"] == pytest.approx(small["margin"] * rate / (1 + interest - rate))
    assert found.tables["pyramid"]["customer_share"].sum() == pytest.approx(1)


def test_means_over_replications_are_those_of_the_single_ones():
    model = load_text(REPEATING)
    day = date(2027, 1, 1)
    together = segments.segment_scenario(model, Choices(split=day), replications=3)
    single = [orders_of(*sf.records_of(model, k)) for k in range(3)]
    as_of = date(2027, 12, 1)
    assert together.as_of == as_of
    counts = [pyramid(one, as_of)["customers"].to_numpy() for one in single]
    assert together.tables["pyramid"]["customers"].to_numpy() == pytest.approx(np.mean(counts, axis=0))
    captured = [foretells(one, day).set_index("grading")["captured"]["money"] for one in single]
    row = together.tables["foretells"].set_index("grading").loc["money"]
    assert row["captured"] == pytest.approx(np.mean(captured))
    assert row["captured_se"] == pytest.approx(np.std(captured, ddof=1) / math.sqrt(3))
    money = [one.groupby("customer")["amount"].sum().sum() for one in single]
    assert together.tables["abc"]["money"].sum() == pytest.approx(np.mean(money))
    per_measure = together.tables["rfm"].groupby("measure")["customers"].sum()
    assert per_measure.to_numpy() == pytest.approx(np.mean([one["customer"].nunique() for one in single]))


def test_a_score_that_some_replications_lack_counts_as_nobody_there():
    different = [rfm_table(rfm(FIVE, as_of=100)), rfm_table(rfm(orders(("a", 1, 10), ("b", 1, 10))))]
    others = {"pyramid": pyramid(FIVE), "abc": class_table(abc(FIVE), "ABC"), "customers": FIVE}
    others["lifetime"] = segments.lifetime_table(lifetime_value(FIVE))
    found = segments._averaged([{**others, "rfm": table} for table in different], Choices())["rfm"]
    money = found[found["measure"] == "money"]
    assert money["score"].tolist() == [5, 4, 3, 2, 1]
    assert money["customers"].tolist() == [0.5, 0.5, 1.5, 0.5, 0.5]
    assert money["money"].tolist() == [200, 25, (15 + 20) / 2, 5, 0.5]


# --- files ------------------------------------------------------------------------------------------------------------


def written(tmp_path, text, name="orders.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "customer,date,amount\nAcme,2026-01-05,1200.5\n华为,2026-02-01,-30\n",
        "Client Name;Order Date;Revenue\nAcme;05.01.2026;1.200,50 €\n华为;01.02.2026;-30,00 €\n",
        'ACCOUNT_ID\tInvoice-Date\tTotal\tnote\n Acme \t2026/01/05\t"$1,200.50"\tx\n华为\t2026/02/01\t($30)\ty\n',
        "客户,日期,金额\nAcme,2026-01-05,¥1200.50\n华为,2026-02-01,\N{MINUS SIGN}30\n",
        "buyer,purchase date,total amount\n华为,1 Feb 2026,-30.00\nAcme,5 Jan 2026,1200.50\n",
    ],
    ids=["plain", "German", "tabs", "Chinese", "named months"],
)
def test_files_as_users_have_them_are_recognised(tmp_path, text):
    table = read_orders(written(tmp_path, text))
    assert table["customer"].tolist() == ["Acme", "华为"]
    assert table["date"].tolist() == [pd.Timestamp("2026-01-05"), pd.Timestamp("2026-02-01")]
    assert table["amount"].tolist() == [1200.5, -30]
    assert "1 amounts are negative (-30 in all): they are kept as credit notes" in " ".join(table.attrs["said"])


def test_a_parquet_file_and_numbered_customers_are_read(tmp_path):
    table = pd.DataFrame({"customer": [17850.0, 9.0], "date": pd.to_datetime(["2026-01-05"] * 2), "amount": [1, 2.5]})
    from simfunnel.runs import write_parquet

    write_parquet(table, tmp_path / "orders.parquet")
    found = read_orders(tmp_path / "orders.parquet")
    assert found["customer"].tolist() == ["17850", "9"]
    assert found["amount"].tolist() == [1, 2.5]


def test_an_excel_file_is_read(tmp_path):
    pytest.importorskip("openpyxl")
    table = pd.DataFrame({"Customer": ["a"], "Date": pd.to_datetime(["2026-01-05"]), "Amount": [3]})
    table.to_excel(tmp_path / "orders.xlsx", index=False)
    assert read_orders(tmp_path / "orders.xlsx")[["customer", "amount"]].values.tolist() == [["a", 3]]


def test_lines_of_one_order_are_one_order(tmp_path):
    text = (
        "InvoiceNo,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "1,mug,2,2026-01-05 08:26,2.5,a,UK\n1,hat,1,2026-01-05 08:27,5,a,UK\n2,mug,4,2026-01-06 09:00,2.5,b,FR\n"
        "C3,mug,-1,2026-01-07 09:00,2.5,b,FR\n4,mug,1,2026-01-08 09:00,2.5,,FR\n"
    )
    table = read_orders(written(tmp_path, text))
    assert table[["customer", "order", "amount", "Country"]].values.tolist() == [
        ["a", "1", 10, "UK"],
        ["b", "2", 10, "FR"],
        ["b", "C3", -2.5, "FR"],
    ]
    said = "\n".join(table.attrs["said"])
    assert "amounts are 'Quantity' times 'UnitPrice'" in said
    assert "4 lines are 3 orders; columns in which they differ were left out: Description" in said
    assert "1 rows without a customer were left out" in said


def test_a_map_wins_over_the_names(tmp_path):
    path = written(tmp_path, "customer,shop,date,amount\na,north,2026-01-05,1\na,south,2026-01-05,2\n")
    assert read_orders(path, {"customer": "shop"})["customer"].tolist() == ["north", "south"]
    table = read_orders(path, written(tmp_path, "customer: shop\n", "map.yaml"))
    assert table["customer (file)"].tolist() == ["a", "a"]
    with pytest.raises(InputError, match=r"'shp' is no column; allowed: .*Did you mean 'shop'"):
        read_orders(path, {"customer": "shp"})
    with pytest.raises(InputError, match="'buyer' is no part of an order in a column map"):
        read_orders(path, {"buyer": "shop"})


def test_only_won_deals_and_orders_not_called_off_count(tmp_path):
    deals = "account,stage,close_date,amount\na,Won,2026-01-05,1\nb,Lost,2026-01-05,0\nc,Open,,\n"
    table = read_orders(written(tmp_path, deals))
    assert table["customer"].tolist() == ["a"]
    assert "only deals that were won are orders ('stage'): 1 of 3 rows" in table.attrs["said"]
    shop = "customer,status,date,amount\na,shipped,2026-01-05,1\nb,Cancelled,2026-01-05,9\nc,,2026-01-06,2\n"
    assert read_orders(written(tmp_path, shop))["customer"].tolist() == ["a", "c"]


BAD = {
    "empty": ("", "the file is empty"),
    "header alone": ("customer,date,amount\n", "no orders: the file has a header, and no row that counts"),
    "no customer": ("custommer,date,amount\na,2026-01-05,1\n", "did you mean 'custommer'?"),
    "no amount": ("customer,date,note\na,2026-01-05,1\n", "recognised for 'amount' (its money, or a quantity"),
    "a date": (
        "customer,date,amount\na,2026-01-05,1\nb,yesterday,2\nc,,3\n",
        "2 rows have no date that can be read in 'date': row 3 ('yesterday'), row 4 (empty); write dates as",
    ),
    "an amount": ("customer,date,amount\na,2026-01-05,1\nb,2026-01-05,much\n", "row 3 ('much'); write amounts as"),
    "short amounts": ("customer,date,amount\na,2026-01-05,1\nb,2026-01-05,1.5k\n", "row 3 ('1.5k')"),
    "Chinese amounts": ("customer,date,amount\na,2026-01-05,1.5万\n", "row 2 ('1.5万')"),
    "nobody": ("customer,date,amount\n,2026-01-05,1\n", "no row that counts (1 rows without a customer were left out)"),
    "binary": ("customer\0,date", "binary"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_error(tmp_path, name):
    text, said = BAD[name]
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_orders(path)
    assert len(caught.value.faults) == 1
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


# --- real data --------------------------------------------------------------------------------------------------------


def test_maven_won_deals_are_an_order_history(shared_data):
    """Held against a plain count of the file; 85 accounts, 3,042 won deals from March to September 2017."""
    path = shared_data / "maven_crm_2017q3" / "sales_pipeline.csv"
    table = read_orders(path)
    plain = pd.read_csv(path).query("deal_stage == 'Won'")
    assert len(table) == len(plain) == 3042
    assert table["amount"].sum() == plain["close_value"].sum()
    scores = rfm(table, "2017-09-30").set_index("customer")
    accounts = plain.groupby("account")
    assert scores["frequency"].to_dict() == accounts.size().to_dict()
    assert scores["money"].to_dict() == accounts["close_value"].sum().to_dict()
    last = pd.to_datetime(accounts["close_date"].max())
    assert scores["recency"].to_dict() == (pd.Timestamp("2017-09-30") - last).dt.days.to_dict()
    assert pyramid(table)["customers"].tolist() == [1, 4, 12, 68, 0]
    top = accounts["close_value"].sum().nlargest(17)
    share = pyramid(table)["money_share"].iloc[:3].sum()
    assert share == pytest.approx(top.sum() / plain["close_value"].sum())
    assert 0.3 < share < 0.35  # far from four fifths: these accounts are much alike
    letters = class_table(abc(table), "ABC")
    assert letters["customers"].sum() == 85
    assert letters["money_share"].iloc[0] >= 0.8


def test_maven_spring_foretells_the_summer_better_than_chance(shared_data):
    table = read_orders(shared_data / "maven_crm_2017q3" / "sales_pipeline.csv")
    found = foretells(table, "2017-07-01").set_index("grading")
    assert found["customers"].unique().tolist() == [85]
    assert found["best"].unique().tolist() == [17]
    assert found.loc["random", "captured"] == pytest.approx(0.2)
    assert (found["captured"] <= found.loc["perfect", "captured"] + 1e-12).all()
    assert found.loc["money", "z"] > 3
    # Spearman as scipy has it
    from scipy.stats import spearmanr

    before, after = table[table["date"] < "2017-07-01"], table[table["date"] >= "2017-07-01"]
    money = before.groupby("customer")["amount"].sum()
    year = after.groupby("customer")["amount"].sum().reindex(money.index, fill_value=0)
    assert found.loc["money", "rank_correlation"] == pytest.approx(spearmanr(money, year).statistic)


# --- the command ------------------------------------------------------------------------------------------------------

HISTORY = "customer,date,amount\n" + "".join(
    f"{name},{2024 + year}-0{1 + k}-15,{100 * (1 + k) + year}\n"
    for year in range(3)
    for k, name in enumerate(["Acme", "华为", "Betasoloin", "Dan", "Eve", "[b]Fin[/b]"])
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text(HISTORY, encoding="utf-8")
    Path("repeating.yaml").write_text(REPEATING)
    return tmp_path


def test_the_command_prints_tables_and_writes_them_where_asked(folder, capsys):
    assert main(["segments", "orders.csv", "--split", "2026-01-01", "-o", "out"]) == 0
    said = capsys.readouterr().out
    for words in ("Customer pyramid", "inactive", "ABC", "retention", "Which grading foretells", "perfect"):
        assert words in said
    assert "the year after the split is 166 days long" in said
    tables = Path("out/tables")
    names = {"customers.csv", "rfm.csv", "pyramid.csv", "abc.csv", "lifetime.csv", "foretells.csv"}
    assert {p.name for p in tables.glob("*.csv")} == names
    customers = pd.read_csv(tables / "customers.csv")
    assert set(customers["customer"]) == {"Acme", "华为", "Betasoloin", "Dan", "Eve", "[b]Fin[/b]"}
    model = sf.load_text(dump(PLAIN) + Path("out/grades.yaml").read_text(encoding="utf-8"))
    assert model.spec.attributes.keys() == {"class"}
    assert main(["segments", "orders.csv", "-o", "out"]) == 0  # an earlier folder is replaced
    assert not (tables / "foretells.csv").exists()


def test_the_command_takes_a_day_a_window_and_a_map(folder, capsys):
    Path("map.yaml").write_text("customer: customer\n")
    line = ["segments", "orders.csv", "--as-of", "2025-06-30", "--window", "30 days", "--map", "map.yaml", "--json"]
    assert main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["as_of"] == "2025-06-30"
    rows = {row["class"]: row["customers"] for row in found["tables"]["pyramid"]}
    assert rows == {"top": 1, "big": 0, "medium": 0, "small": 0, "inactive": 5}
    assert "6 orders after 2025-06-30 were not looked at" in found["notes"]
    assert not list(folder.glob("runs*"))


def test_a_scenario_is_graded_by_its_simulated_orders(folder, capsys):
    line = ["segments", "repeating.yaml", "-n", "2", "--seed", "3", "--split", "2027-01-01", "--json"]
    assert main([*line, "-o", "out"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["replications"] == 2
    assert first["currency"] == "USD"
    assert any("means over 2 replications" in note for note in first["notes"])
    assert first["tables"]["foretells"][0]["grading"] == "perfect"
    assert Path("out/tables/customers.csv").is_file()
    assert main([*line[:-1]]) == 0
    assert "Repeating as of 2027-12-01, money in USD" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["nothing.csv"], "nothing.csv: there is no such file"),
        (["nothing.yaml"], "nothing.yaml"),
        (["orders.csv", "--as-of", "soon"], "--as-of: 'soon' is no date"),
        (["orders.csv", "--as-of", "2020-01-01"], "there are no orders by 2020-01-01; the first is on 2024-01-15"),
        (["orders.csv", "--split", "yesterday"], "--split: 'yesterday' is no date"),
        (["orders.csv", "--split", "2030-01-01"], "there are no orders in the 365 days from 2030-01-01 on"),
        (["orders.csv", "--split", "2020-01-01"], "there are no orders before 2020-01-01; they run from 2024-01-15"),
        (["orders.csv", "--window", "1 yaer"], "--window: '1 yaer': unknown unit 'yaer'"),
        (["orders.csv", "--window", "1 h"], "a window must be a number over 0"),
        (["orders.csv", "--margin", "0%"], "a margin must be a share over 0"),
        (["orders.csv", "--map", "nothing.yaml"], "nothing.yaml"),
        (["orders.csv", "-o", "orders.csv"], "orders.csv is a file"),
        (["repeating.yaml", "-n", "0"], "replications must be 1 to 1,000,000, not 0"),
        (["repeating.yaml", "--seed", "-1"], "a seed must be 0 to"),
        (["repeating.yaml", "--as-of", "2030-01-01"], "outside the scenario, which runs from 2026-01-01 to 2027-12-01"),
        (["repeating.yaml", "--split", "2026-01-01"], "the split 2026-01-01 must come after 2026-01-01"),
    ],
)
def test_bad_input_to_the_command_is_told_with_code_2(folder, capsys, line, said):
    assert main(["segments", *line]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_the_command_from_the_outside(folder):
    Path("bad.csv").write_text("customer,date,amount\na,tomorrow,1\n")
    for file, code in (("orders.csv", 0), ("bad.csv", 2)):
        command = [sys.executable, "-m", "simfunnel", "segments", str(folder / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
    assert "row 2 ('tomorrow')" in done.stderr


def test_the_module_is_there_from_the_package():
    assert sf.segments is segments
    assert "segments" in dir(sf)
