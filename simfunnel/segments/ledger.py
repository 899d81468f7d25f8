"""An order table, checked, and what every grading begins with: days, windows and the order of customers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.errors import InputError, nearest
from simfunnel.scenario.fields import read_date

YEAR = 365.0
NEEDED = ("customer", "date", "amount")
MOST_ROWS_NAMED = 8
"""In a message about rows that can't be read."""
_EPOCH = date(1970, 1, 1).toordinal()

Moment = date | str | float
"""A day: a date (or its text, as 2026-10-01) where orders have dates, a number where they have days."""
Grading = Callable[[pd.DataFrame, Moment], "pd.Series[Any]"]
"""Takes an order table and its last day; gives each customer's grade, by customer."""


@dataclass(frozen=True)
class Ledger:
    """An order table, checked: rows (customer, day, amount) up to the day `end`, and whether days are dates."""

    rows: pd.DataFrame
    dated: bool
    end: float

    def moment(self, day: float) -> Moment:
        """A day in the table's own terms."""
        return date.fromordinal(math.floor(day) + _EPOCH) if self.dated else day

    def customers(self) -> pd.DataFrame:
        """By customer, in order of appearance: first and last purchase (NaN: none), frequency, money."""
        rows = self.rows.assign(bought=self.rows["day"].where(self.rows["amount"] >= 0))
        groups = rows.groupby("customer", sort=False)
        return groups.agg(
            first=("bought", "min"), last=("bought", "max"), frequency=("bought", "count"), money=("amount", "sum")
        )

    def within(self, window: float, end: float | None = None) -> pd.DataFrame:
        """The rows of the window that ends on a day; the last unless said."""
        end = self.end if end is None else end
        day = self.rows["day"]
        return self.rows[(day > end - window) & (day <= end)]


def ledger_of(orders: pd.DataFrame, as_of: Moment | None = None) -> Ledger:
    """The orders up to a day; the last day of the table unless said. Raises InputError where it is no order table."""
    missing = [name for name in NEEDED if name not in orders.columns]
    if missing:
        meant = nearest(missing[0], map(str, orders.columns))
        hint = f". Did you mean '{meant}'?" if meant else ""
        raise InputError(
            f"an order table has columns customer, date and amount; there is no {' and no '.join(missing)}, only "
            f"{', '.join(map(str, orders.columns)) or 'nothing'}{hint}"
        )
    day, dated = days_of(orders["date"])
    amount = pd.to_numeric(orders["amount"], errors="coerce").astype("float64")
    for name, bad in (
        ("customer", orders["customer"].isna()),
        ("date", ~np.isfinite(day)),
        ("amount", ~np.isfinite(amount)),
    ):
        if bad.any():
            where = ", ".join(map(str, np.flatnonzero(bad)[:MOST_ROWS_NAMED]))
            raise InputError(f"{bad.sum():,} orders have no {name}, or none that can be read (rows from 0: {where})")
    last = float(day.max()) if len(day) else 0.0
    end = last if as_of is None or orders.empty else day_of(as_of, dated)
    known = day <= end
    rows = pd.DataFrame({"customer": orders["customer"], "day": day, "amount": amount})[known]
    return Ledger(rows.reset_index(drop=True), dated, end)


def days_of(dates: pd.Series[Any]) -> tuple[pd.Series[float], bool]:
    """Dates as whole days since 1970, or numbers as they are; and whether they are dates."""
    if pd.api.types.is_numeric_dtype(dates) and not pd.api.types.is_bool_dtype(dates):
        return dates.astype("float64"), False
    try:
        stamps = pd.to_datetime(dates, utc=True, format=None if dates.empty else "ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the dates of these orders can't be read ({error}); read_orders reads them from text"
        ) from None
    whole = np.floor(stamps.dt.tz_localize(None).to_numpy("datetime64[us]").astype("int64") / 86400e6)
    return pd.Series(whole, index=dates.index).where(stamps.notna()), True


def day_of(moment: Moment, dated: bool) -> float:
    """A moment as a day of the table. Raises InputError where it isn't of the table's kind."""
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        if dated:
            raise InputError(f"these orders have dates, so the day must be a date such as 2026-10-01, not {moment}")
        if not math.isfinite(moment):
            raise InputError(f"a day must be a finite number, not {moment}")
        return float(moment)
    if not dated:
        raise InputError(f"the dates of these orders are numbers of days, so the day must be one, not {moment!r}")
    try:
        return float(read_date(moment).toordinal() - _EPOCH)
    except ValueError as error:
        raise InputError(str(error)) from None


def positive(value: float, what: str) -> float:
    """The value itself. Raises InputError unless it is over 0 and finite."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{what} must be a number over 0, not {value}")
    return value


def ranked(customers: pd.DataFrame) -> pd.DataFrame:
    """Customers by money, the best first; ties by frequency, then the later purchase, then the name."""
    keys = pd.DataFrame(
        {
            "money": -customers["money"],
            "frequency": -customers["frequency"],
            "last": -customers["last"].fillna(-np.inf),
            "name": customers.index.astype(str),
        },
        index=customers.index,
    )
    return customers.loc[keys.sort_values(list(keys.columns), kind="stable").index]
