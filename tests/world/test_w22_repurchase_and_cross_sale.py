"""W22: the call in the right month wins more owners back than one that is early or late; each sale begins others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import simfunnel as sf
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE = WORLD / "w22_repurchase_and_cross_sale.yaml"
FILES = {8: WORLD / "w22_call_after_8_months.yaml", 11: BASE, 14: WORLD / "w22_call_after_14_months.yaml"}
WEARS_OUT = stats.gamma(36, scale=1 / 3)  # a mean of 12 months and a standard deviation of 2
OPEN, CONTENT, ALONE = 0.6, 1 / 16, 0.3
N = 6


def won_back(month: int) -> float:
    """The share of owners whose next machine is ours, where they are called after so many months."""
    worn, content = WEARS_OUT.cdf(month), WEARS_OUT.sf(month + 2)
    said_yes = {OPEN: 1 - worn - content, CONTENT: content}
    return float(worn * ALONE + sum(share * (yes + (1 - yes) * ALONE) for yes, share in said_yes.items()))


def second_machines(scenario: sf.Scenario, n: int = N) -> np.ndarray[Any, Any]:
    """Of each who bought a machine, whether there was a second one of ours; all first clocks have run down."""
    parts = []
    for k in range(n):
        records, plan = helpers.run(scenario, k)
        owners = records.moves.prospect[records.moves.goal == plan.place_names.index("owner")]
        machines = np.bincount(owners, minlength=len(records.prospects.key))
        parts.append(machines[records.prospects.source == plan.source_names.index("first")] > 1)
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def by_month() -> dict[int, np.ndarray[Any, Any]]:
    return {month: second_machines(sf.load(file)) for month, file in FILES.items()}


@pytest.mark.parametrize("month", list(FILES))
def test_the_months_owners_are_won_back_as_the_clock_says(
    month: int, by_month: dict[int, np.ndarray[Any, Any]]
) -> None:
    share = won_back(month)
    helpers.share_of(by_month[month], share).check(share, f"call after {month} months", precision=0.03)


def z(difference: np.ndarray[Any, Any]) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


@pytest.mark.parametrize("month", [8, 14])
def test_a_call_too_early_or_too_late_wins_fewer_back(month: int, by_month: dict[int, np.ndarray[Any, Any]]) -> None:
    """The same owners, called in two months."""
    assert z(by_month[11].astype(float) - by_month[month]) > 4


def test_where_nothing_wears_out_no_month_is_better_than_another() -> None:
    share = OPEN + (1 - OPEN) * ALONE
    for file in FILES.values():
        timeless = sf.load(file).override({"stages.call.route": None, "effects": []})
        helpers.share_of(second_machines(timeless, 2), share).check(share, file.stem, precision=0.03)


def test_each_sale_begins_a_deal_on_the_second_brand_with_the_same_owner() -> None:
    begun, parts = [], []
    for k in range(N):
        records, plan = helpers.run(sf.load(BASE), k)
        people, moves = records.prospects, records.moves
        second = np.flatnonzero(people.source == plan.source_names.index("second_brand"))
        parents = people.parent[second]
        assert (people.attributes[second] == people.attributes[parents]).all()
        assert (people.generation[second] == people.generation[parents]).all()
        assert (people.value[second] != people.value[parents]).all()
        owner = moves.goal == plan.place_names.index("owner")
        settled = owner & (moves.time < plan.days - 365)  # the offer comes after 60 days, give or take 30
        machines = np.bincount(moves.prospect[settled], minlength=len(people.key))
        offers = np.bincount(parents[people.born[second] < plan.days], minlength=len(people.key))
        alone = (machines > 0) & (np.bincount(moves.prospect[owner], minlength=len(people.key)) == machines)
        begun.append(offers[alone] - 0.35 * machines[alone])
        parts.append(machines[alone])
    assert np.concatenate(parts).sum() > 1000
    surplus = helpers.mean_of(np.concatenate(begun))
    assert abs(surplus.z(0.0)) < 4
    assert surplus.se < 0.02


def test_a_seller_keeps_the_owner_for_both_brands() -> None:
    """Two sellers: whoever called an owner first makes the offers of the second brand that come later."""
    records, plan = helpers.run(sf.load(BASE).override({"teams.sellers.size": 2}))
    table = helpers.tasks(records, plan)
    first_call = table[table.stage == "call"].groupby("prospect").first()
    offers = table[(table.stage == "offer") & (table.outcome == "served")].copy()
    offers["parent"] = records.prospects.parent[offers.prospect]
    offers["born"] = records.prospects.born[offers.prospect]
    both = offers.merge(first_call, left_on="parent", right_index=True, suffixes=("", "_call"))
    later = both[both.born > both.begun_call]
    assert len(later) > 30
    assert (later.member == later.member_call).all()
    assert later.member.nunique() == 2
