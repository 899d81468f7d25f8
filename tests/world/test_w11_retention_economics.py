"""W11: five points more kept raise profit by 25% to 85% in some industries, from first principles; not in others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpi_tables
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE, MORE = WORLD / "w11_retention_economics.yaml", WORLD / "w11_five_points_more.yaml"
N = 8
INDUSTRIES = {  # won for, kept for, margin, share kept, and whether the rise of profit lies in the band
    "banks": (100, 20, 60, 0.85, True),
    "magazines": (100, 20, 65, 0.70, True),
    "corner_shops": (8, 1.6, 40, 0.45, False),
    "mobile_phones": (100, 20, 62, 0.60, False),
}


def payments(kept: float) -> float:
    """How often a customer pays in ten years."""
    return (1 - kept**10) / (1 - kept)


def seen(scenario: sf.Scenario) -> pd.DataFrame:
    """Each customer's source and payments, and the profit of the source a customer in that replication."""
    parts = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        count = np.bincount(records.moves.prospect[records.moves.goal < plan.n_stages])
        source = np.array(plan.source_names)[records.prospects.source]
        table = kpi_tables.measure(records, plan, "all", by="source", metrics=["profit"])
        profit = table.set_index("group").value / 250
        parts.append(pd.DataFrame({"source": source, "payments": count, "profit": profit[source].to_numpy()}))
    return pd.concat(parts)


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return seen(sf.load(BASE))


@pytest.fixture(scope="module")
def more() -> pd.DataFrame:
    return seen(sf.load(MORE))


@pytest.mark.parametrize("industry", INDUSTRIES)
def test_payments_follow_from_the_share_kept(industry: str, base: pd.DataFrame, more: pd.DataFrame) -> None:
    kept = INDUSTRIES[industry][3]
    for table, share in ((base, kept), (more, kept + 0.05)):
        helpers.mean_of(table[table.source == industry].payments).check(payments(share), industry, precision=0.03)


@pytest.mark.parametrize("industry", INDUSTRIES)
def test_profit_is_payments_less_keeping_and_winning(industry: str, base: pd.DataFrame, more: pd.DataFrame) -> None:
    """Exactly, in each replication; and so the gain of five points is the gain in payments, known in advance."""
    won_for, kept_for, margin, kept, _ = INDUSTRIES[industry]
    for table in (base, more):
        mine = table[table.source == industry]
        paid = mine.payments.to_numpy().reshape(N, -1).mean(axis=1)
        assert mine.profit.to_numpy().reshape(N, -1)[:, 0] == pytest.approx((margin - kept_for) * paid - won_for)
    gain = (margin - kept_for) * (more.payments - base.payments)[base.source == industry]
    exact = (margin - kept_for) * (payments(kept + 0.05) - payments(kept))
    helpers.mean_of(gain).check(exact, f"{industry}: gain", precision=0.15)


@pytest.mark.parametrize("industry", INDUSTRIES)
def test_the_band_of_25_to_85_percent_and_where_it_fails(industry: str, base: pd.DataFrame, more: pd.DataFrame) -> None:
    """The rise in the run lies on the same side of both ends of the band as the exact one, by four standard errors."""
    won_for, kept_for, margin, kept, in_band = INDUSTRIES[industry]
    first = (margin - kept_for) * base.payments[base.source == industry] - won_for
    then = (margin - kept_for) * more.payments[more.source == industry] - won_for
    above_least, below_most = helpers.mean_of(then - 1.25 * first), helpers.mean_of(1.85 * first - then)
    exact = ((margin - kept_for) * payments(kept + 0.05) - won_for) / ((margin - kept_for) * payments(kept) - won_for)
    assert (1.25 <= exact <= 1.85) == in_band
    for side, is_inside in ((above_least, exact >= 1.25), (below_most, exact <= 1.85)):
        assert (side.mean > 0) == is_inside
        assert abs(side.mean) > 4 * side.se


def test_a_gain_that_costs_as_much_as_it_brings_is_none(base: pd.DataFrame) -> None:
    """At 7.12 more a year and customer the bank's five points earn nothing, and at 14 they lose."""
    for dearer, gains in ((40 * (1 - payments(0.85) / payments(0.90)), 0), (14, -1)):
        dear = seen(sf.load(MORE).override({"stages.bank.cost": 20 + dearer}))
        gain = helpers.mean_of([profit_of(dear, k) - profit_of(base, k) for k in range(N)])
        assert abs(gain.mean) <= 4 * gain.se if gains == 0 else gain.mean < -4 * gain.se


def profit_of(table: pd.DataFrame, replication: int) -> float:
    """What a customer of the bank left in one replication."""
    return float(table[table.source == "banks"].profit.to_numpy().reshape(N, -1)[replication, 0])
