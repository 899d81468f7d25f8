"""W19: cash never exceeds bookings, bad debt follows credit standing, and the bonus follows the cash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.engines.records import BOOKED, MONEY, PAID, STAGE_COST
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE = WORLD / "w19_credit_and_collection.yaml"
NO_CREDIT, PAYS_FIRST = WORLD / "w19_no_credit_to_poor.yaml", WORLD / "w19_poor_standing_pays_first.yaml"
N = 24
OVERDUE = {"good": 4.0, "fair": 16.0, "poor": 400.0}  # to 96 who pay in time
WRITTEN_OFF = {"good": 30.0, "fair": 30.0, "poor": 90.0}  # to 70 who pay late


def ledger(scenario: sf.Scenario, n: int = N) -> pd.DataFrame:
    """Every amount in order of time: replication, prospect, value, standing, stage, kind and amount."""
    parts = []
    for k in range(n):
        records, plan = helpers.run(scenario, k)
        rows, people = records.money, records.prospects
        table = pd.DataFrame({"prospect": rows.prospect, "amount": rows.amount, "time": rows.time, "left": plan.days})
        table["kind"] = np.array(MONEY)[rows.kind]
        table["stage"] = np.array(plan.place_names)[rows.stage]
        table["standing"] = np.array(plan.attribute_levels[0])[people.attributes[rows.prospect, 0].astype(int)]
        table["value"] = people.value[rows.prospect]
        parts.append(table.assign(replication=k).sort_values("time", kind="stable"))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return ledger(sf.load(BASE))


def beyond_bookings(table: pd.DataFrame) -> int:
    """How many times a customer has paid more than was booked with them so far."""
    signed = table.amount.where(table.kind == MONEY[BOOKED], 0.0) - table.amount.where(table.kind == MONEY[PAID], 0.0)
    owed = signed.groupby([table.replication, table.prospect]).cumsum()
    last = ~table.duplicated(["replication", "prospect", "time"], keep="last")
    return int((owed[last] < -1e-9 * table.value[last]).sum())


@pytest.mark.parametrize("file", [BASE, NO_CREDIT, PAYS_FIRST], ids=lambda f: f.stem)
def test_nobody_has_ever_paid_more_than_was_booked(file: Path) -> None:
    assert beyond_bookings(ledger(sf.load(file), 3)) == 0


def test_two_payments_of_more_than_the_whole_would_be_seen() -> None:
    assert beyond_bookings(ledger(sf.load(BASE).override({"stages.paid.cash": "80% of value"}), 1)) > 100


@pytest.mark.parametrize("standing", list(OVERDUE))
def test_bad_debt_follows_credit_standing(standing: str, base: pd.DataFrame) -> None:
    check_bad_debt(base, standing, OVERDUE[standing], WRITTEN_OFF[standing], precision=0.15)


def test_without_the_effects_all_standings_pay_alike() -> None:
    table = ledger(sf.load(BASE).override({"effects": []}))
    for standing in OVERDUE:
        check_bad_debt(table, standing, OVERDUE["good"], WRITTEN_OFF["good"], precision=0.5)


def check_bad_debt(table: pd.DataFrame, standing: str, overdue: float, off: float, precision: float) -> None:
    mine = table[table.standing == standing]
    signed, unpaid = (mine.stage == "signed") & (mine.kind == "books"), mine.stage == "bad_debt"
    settled = (mine.stage == "paid") & (mine.kind == "cash")
    assert signed.sum() == unpaid.sum() + settled.sum()
    share = overdue / (overdue + 96) * off / (off + 70)
    hits = np.repeat([True, False], [unpaid.sum(), settled.sum()])
    helpers.share_of(hits, share).check(share, standing, precision=precision)


def test_the_bonus_is_paid_on_cash(base: pd.DataFrame) -> None:
    """4% of each payment, at the same moment."""
    rows = base[base.stage.isin(["signed", "paid"])]
    cash, bonus = rows[rows.kind == MONEY[PAID]], rows[rows.kind == MONEY[STAGE_COST]]
    keys = ["replication", "prospect", "time"]
    both = cash.merge(bonus, on=keys, suffixes=("", "_bonus"))
    assert len(both) == len(cash) == len(bonus)
    assert both.amount_bonus.to_numpy() == pytest.approx(0.04 * both.amount.to_numpy())


def earned(table: pd.DataFrame) -> pd.Series:
    """Cash less cost of each customer of poor standing, as a share of the value; what is written off is no payment."""
    mine = table[(table.standing == "poor") & (table.stage != "bad_debt")]
    sign = mine.kind.map({"books": 0.0, "cash": 1.0, "stage cost": -1.0})
    return (sign * mine.amount / mine.value).groupby([mine.replication, mine.prospect]).sum()


def test_a_credit_rule_costs_bookings_and_gains_money(base: pd.DataFrame) -> None:
    late, unpaid = 400 / 496, 400 / 496 * 90 / 160
    exact = (1 - 0.04) * (0.3 + 0.7 * (1 - unpaid)) - 0.78
    assert late > unpaid > 0.4
    assert exact < -0.1
    helpers.mean_of(earned(base)).check(exact, "credit to poor standing", precision=0.2)
    assert earned(ledger(sf.load(NO_CREDIT), 3)).empty
    assert earned(ledger(sf.load(PAYS_FIRST), 3)).to_numpy() == pytest.approx(1 - 0.82)
