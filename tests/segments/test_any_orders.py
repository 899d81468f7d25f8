"""What holds of any orders: of random ones, of none, of one customer, of every kind of date."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfunnel.errors import InputError
from simfunnel.segments import (
    GRADINGS,
    INACTIVE,
    abc,
    class_table,
    foretells,
    grade_shares,
    lifetime_value,
    pyramid,
    pyramid_classes,
    pyramid_grade,
    rfm,
    rfm_table,
)
from tests.orders import FIVE, by_customer, orders

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
