"""Grades as attributes of a scenario."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfunnel.scenario import from_tree, load_text
from simfunnel.scenario.documents import dump
from simfunnel.segments import grade_shares
from tests.helpers import PLAIN, mean_of, run
from tests.orders import orders

FEW = settings(max_examples=30)  # each makes many tables


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
