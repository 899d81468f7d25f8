"""Classes of customers by money: the pyramid, ABC, and the quadrants of value and strategic fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.errors import InputError, not_among
from simfunnel.segments.ledger import YEAR, Ledger, Moment, ledger_of, positive, ranked
from simfunnel.segments.shares import class_table

PYRAMID = {"top": 0.01, "big": 0.05, "medium": 0.20, "small": 1.0}
"""The classes of the customer pyramid and the share of customers down to the end of each."""
INACTIVE = "inactive"
QUADRANTS = ("strategic", "profitable", "potential", "ordinary")
LETTERS = "ABCDEFGHIJ"


def pyramid_classes(orders: pd.DataFrame, as_of: Moment | None = None, window: float = YEAR) -> pd.DataFrame:
    """The class of each customer in the pyramid, the best first: customer, money and purchases in the window, class.

    Customers with an order (or credit note) in the window are ranked by their money in it: the first 1% are `top`, the
    next 4% `big`, the next 15% `medium`, the others `small`; those who bought before the window alone are `inactive`.
    Parts of a customer count up: of 85 customers 1 is top, 4 are big, 12 medium. Ties go by more purchases, then the
    later one, then the name. Classes after J. and A. Curry, The Customer Marketing Method (Free Press, 2000).

    Raises InputError where the table is no order table, or the window isn't over 0 days.
    """
    ledger = ledger_of(orders, as_of)
    rows = ledger.within(positive(window, "a window"))
    active = ranked(Ledger(rows, ledger.dated, ledger.end).customers())
    ends = [math.ceil(round(level * len(active), 9)) for level in PYRAMID.values()]
    names = np.array(list(PYRAMID), dtype=object)
    active["class"] = names[np.searchsorted(ends, np.arange(len(active)), side="right")]
    gone = ledger.customers().drop(index=active.index).assign(money=0.0, frequency=0)
    gone = ranked(gone).assign(**{"class": INACTIVE})
    both = pd.concat([active, gone]) if len(gone) else active
    return both[["money", "frequency", "class"]].rename_axis("customer").reset_index()


def pyramid(orders: pd.DataFrame, as_of: Moment | None = None, window: float = YEAR) -> pd.DataFrame:
    """The customer pyramid: a row a class of `pyramid_classes`, as `class_table` has it; shares are of all, the
    inactive included.
    """  # noqa: D205
    return class_table(pyramid_classes(orders, as_of, window), [*PYRAMID, INACTIVE])


def pyramid_grade(orders: pd.DataFrame, as_of: Moment, window: float = YEAR) -> pd.Series[Any]:
    """Each customer's class in the pyramid, by customer."""
    return pyramid_classes(orders, as_of, window).set_index("customer")["class"]


def abc(orders: pd.DataFrame, cuts: Sequence[float] = (0.8, 0.95), as_of: Moment | None = None) -> pd.DataFrame:
    """The ABC class of each customer by all money so far, the best first: customer, money, share, before, class.

    `share` is of the money of all whose money is over 0, `before` the share of those who have more than this
    customer. A are all with `before` under the first cut, B under the second, and so on; so the customer who crosses a
    cut belongs above it, those who tie share a class, and who has no money is in the last.

    Raises InputError unless the cuts rise within 0 and 1 (nine at most) and the table is an order table.
    """
    cuts = [float(cut) for cut in cuts]
    rising = all(low < high for low, high in zip([0.0, *cuts], [*cuts, 1.0], strict=True))
    if not cuts or not rising or len(cuts) >= len(LETTERS):
        raise InputError(f"cuts must rise between 0 and 1, such as (0.8, 0.95), not {tuple(cuts)}")
    customers = ranked(ledger_of(orders, as_of).customers())
    table = customers[["money"]].rename_axis("customer").reset_index()
    positive = table["money"].clip(lower=0.0)
    total = positive.sum()
    table["share"] = positive / total if total > 0 else 0.0
    ahead = positive.cumsum() - positive
    before = ahead.groupby(positive).transform("min")
    table["before"] = (before / total).round(12).where(positive > 0, 1.0) if total > 0 else 1.0
    table["class"] = np.array(list(LETTERS), dtype=object)[np.searchsorted(cuts, table["before"], side="right")]
    return table


def value_fit(
    customers: pd.DataFrame, value: str, fit: str, value_cut: float | None = None, fit_cut: float | None = None
) -> pd.DataFrame:
    """Customers with their quadrant of value and strategic fit, as a column `class`.

    High is at least the cut; the cuts are the medians unless said. High value and high fit is `strategic`, high value
    alone `profitable`, high fit alone `potential`, neither `ordinary`.

    Args:
        customers: a row a customer.
        value: the column of what a customer is worth, in money.
        fit: the column of how well the customer fits the strategy, on any scale on which more is better.
        value_cut: from which value on it is high.
        fit_cut: from which fit on it is high.

    Raises:
        InputError: a column isn't there, or holds something other than numbers.
    """
    is_high = []
    for name, cut in ((value, value_cut), (fit, fit_cut)):
        if name not in customers.columns:
            raise InputError(not_among(name, "column", map(str, customers.columns)))
        column = pd.to_numeric(customers[name], errors="coerce").astype("float64")
        if column.isna().any():
            raise InputError(
                f"{column.isna().sum():,} customers have no number in '{name}'; give one, or leave them out"
            )
        is_high.append((column >= (column.median() if cut is None else cut)).to_numpy())
    number = 2 * ~is_high[0] + ~is_high[1]
    return customers.assign(**{"class": np.array(QUADRANTS, dtype=object)[number]})
