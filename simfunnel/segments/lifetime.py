"""Lifetime value: what each customer has brought, and is expected to bring."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from simfunnel.errors import InputError, not_among
from simfunnel.segments.ledger import NEEDED, YEAR, Grading, Ledger, Moment, days_of, ledger_of, positive

DISCOUNT = 0.10


def lifetime_value(
    orders: pd.DataFrame,
    as_of: Moment | None = None,
    *,
    margin: float = 1.0,
    discount: float = DISCOUNT,
    period: float = YEAR,
    retention: float | None = None,
    by: str | Grading | None = None,
) -> pd.DataFrame:
    """What each customer has brought and is expected to bring: a row a customer, in order of appearance.

    Columns: customer, class, realised, margin, buyers, again, retention, expected.

    - `realised` is margin x amount summed over all orders so far, each discounted to the customer's first.
    - `margin` is m: margin x amount summed over the last period.
    - `retention` is r of the customer's class: of its customers who bought in the period before the last (`buyers`),
      the share that bought again in the last (`again`). Classes are those of the day before the last period begins, so
      that being retained doesn't make the class. A class without buyers then takes the rate of all; where nobody
      bought then, there is none.
    - `expected` is m r / (1 + i - r), i being the discount of one period: the value of all periods to come, with the
      same margin and retention in each and the first margin a period from now. Gupta and Lehmann, Customers as Assets,
      Journal of Interactive Marketing 17(1), 2003. Someone who didn't buy in the last period has m = 0.

    Args:
        orders: the order table.
        as_of: the last day that counts; the last in the table unless said.
        margin: the share of an amount that is earned.
        discount: a year's interest.
        period: in days.
        retention: the rate for all, instead of an estimate.
        by: an attribute's column (a customer's last entry counts) or a grading that gives classes, such as
            `pyramid_grade`; one class unless said.

    Raises:
        InputError: a figure is out of its range, there is no such column, or the table is no order table.
    """
    if not 0 < margin <= 1:
        raise InputError(f"a margin must be a share over 0 and up to 1, not {margin}")
    if retention is not None and not 0 <= retention <= 1:
        raise InputError(f"retention must be a share from 0 to 1, not {retention}")
    positive(discount, "a discount")
    positive(period, "a period")
    ledger = ledger_of(orders, as_of)
    customers = ledger.customers()
    rows = ledger.rows
    first = rows["customer"].map(rows.groupby("customer")["day"].min())
    worth = margin * rows["amount"] * (1 + discount) ** (-(rows["day"] - first) / YEAR)
    table = pd.DataFrame(index=customers.index)
    table["class"] = _classes(orders, ledger, ledger.end, by).reindex(table.index)
    table["realised"] = worth.groupby(rows["customer"]).sum()
    last = ledger.within(period).groupby("customer")["amount"].sum()
    table["margin"] = margin * last.reindex(table.index, fill_value=0.0)
    then = ledger.end - period
    buyers, again = (_bought(ledger.within(period, end)) for end in (then, ledger.end))
    before = pd.Series(0.0, index=buyers)
    before[buyers.isin(again)] = 1.0
    kept = before.groupby(_classes(orders, ledger, then, by).reindex(buyers)).agg(["count", "sum"])
    table["buyers"] = table["class"].map(kept["count"]).fillna(0).astype("int64")
    table["again"] = table["class"].map(kept["sum"]).fillna(0).astype("int64")
    rate = table["again"] / table["buyers"].where(table["buyers"] > 0)
    overall = float(before.mean()) if len(before) else math.nan
    table["retention"] = rate.fillna(overall) if retention is None else float(retention)
    table["expected"] = expected_value(table, discount, period)
    return table.rename_axis("customer").reset_index()


def expected_value(table: pd.DataFrame, discount: float, period: float) -> pd.Series[float]:
    """The value m r / (1 + i - r) of each row, i being the interest of one period; 0 where m is, whatever r may be."""
    interest = (1 + discount) ** (period / YEAR) - 1
    multiple = table["retention"] / (1 + interest - table["retention"])
    worth: pd.Series[float] = (table["margin"] * multiple).where(table["margin"] != 0, 0.0)
    return worth


def _bought(rows: pd.DataFrame) -> pd.Index[Any]:
    """Who bought (a credit note is no purchase)."""
    who: pd.Index[Any] = pd.Index(rows.loc[rows["amount"] >= 0, "customer"].unique())
    return who


def _classes(orders: pd.DataFrame, ledger: Ledger, day: float, by: str | Grading | None) -> pd.Series[Any]:
    """Each customer's class as it was on a day, by customer."""
    known = orders[(days_of(orders["date"])[0] <= day).to_numpy()]
    if callable(by):
        return by(known, ledger.moment(day))
    if by is None:
        return pd.Series("all", index=pd.Index(known["customer"].unique()), dtype=object)
    if by not in orders.columns or by in NEEDED:
        raise InputError(not_among(by, "attribute of these orders", (c for c in orders.columns if c not in NEEDED)))
    return known.set_index("customer")[by].groupby(level=0, sort=False).last()


def lifetime_table(values: pd.DataFrame, classes: Iterable[str] = ()) -> pd.DataFrame:
    """A row a class of `lifetime_value`: customers, sums of realised, margin and expected, retention and its counts."""
    groups = values.groupby("class", sort=False)
    table = groups[["realised", "margin", "expected"]].sum(skipna=False)
    table.insert(0, "customers", groups.size())
    table = table.join(groups[["buyers", "again", "retention"]].first())
    wanted = list(classes)
    if wanted:
        table = table.reindex(wanted)
        table["customers"] = table["customers"].fillna(0).astype("int64")
        sums = ["realised", "margin", "expected", "buyers", "again"]
        table[sums] = table[sums].where(table["customers"] > 0, 0.0)
    return with_means(table.rename_axis("class").reset_index())


def with_means(table: pd.DataFrame) -> pd.DataFrame:
    """A table of classes with realised and expected value per customer, NaN where there is nobody."""
    for name in ("realised", "expected"):
        table[f"{name}_per_customer"] = table[name] / table["customers"].where(table["customers"] > 0)
    return table
