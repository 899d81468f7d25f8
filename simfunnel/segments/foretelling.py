"""Which grading foretells: the gradings made here and others, held against the year that followed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.errors import InputError, not_among
from simfunnel.segments.classes import INACTIVE, LETTERS, PYRAMID, abc, pyramid_classes, pyramid_grade
from simfunnel.segments.ledger import YEAR, Grading, Moment, day_of, ledger_of, positive
from simfunnel.segments.lifetime import lifetime_value
from simfunnel.segments.recency import rfm


def gradings_of(window: float = YEAR) -> dict[str, Grading]:
    """The gradings made here, as functions that give each customer a number, of which more is better.

    `recent money`, `pyramid class` and `expected value` look at the window before the last day, the others at all
    orders. Where nothing tells the retention, the expected value goes by the margin, as it would with any one rate.
    """

    def scored(column: str, orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return rfm(orders, as_of).set_index("customer")[column]

    def recent(orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return pyramid_classes(orders, as_of, window).set_index("customer")["money"]

    def class_number(orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return -pyramid_grade(orders, as_of, window).map([*PYRAMID, INACTIVE].index)

    def letter(orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return -abc(orders, as_of=as_of).set_index("customer")["class"].map(LETTERS.index)

    def lifetime(column: str, orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        grade = partial(pyramid_grade, window=window)
        values = lifetime_value(orders, as_of, period=window, by=grade).set_index("customer")
        return values[column].fillna(values["margin"])

    return {
        "recency": lambda orders, as_of: -scored("recency", orders, as_of),
        "frequency": partial(scored, "frequency"),
        "money": partial(scored, "money"),
        "recent money": recent,
        "RFM score": partial(scored, "score"),
        "pyramid class": class_number,
        "ABC class": letter,
        "realised value": partial(lifetime, "realised"),
        "expected value": partial(lifetime, "expected"),
    }


GRADINGS: dict[str, Grading] = gradings_of()


def foretells(
    orders: pd.DataFrame,
    split: Moment,
    gradings: Mapping[str, Grading] | Iterable[str] = GRADINGS,
    ahead: float = YEAR,
) -> pd.DataFrame:
    """Which grading, made of the orders before a day, best foretells the money of the year that begins on it.

    A row a grading, the best first, with two to hold them against: `perfect`, which knows that money, and `random`.
    Columns: grading; customers (those known before the split); best (a fifth of them, rounded up); captured, the share
    of the year's money of all these customers that the best fifth by the grading brings, where customers who tie at
    the edge count as if drawn by lot; z, how far that is above what a fifth drawn at random brings on average, in
    standard deviations of such draws (under 2 it may well be luck); rank_correlation (Spearman's, with mean ranks) of
    grade and money. They are NaN where there is nothing to share or to rank. Customers who come after the split are no
    grading's to foretell.

    Args:
        orders: the order table; what comes later than the year is not looked at.
        split: the first day of the year to be foretold. Gradings are given the orders before it alone.
        gradings: names of `GRADINGS`, or functions by name that give a number for each customer, more being better; a
            customer without one ranks last.
        ahead: the length of the year in days.

    Raises:
        InputError: no order comes before the split or none after it, a grading is unknown, or the table is no order
            table.
    """
    positive(ahead, "the time ahead")
    ledger = ledger_of(orders)
    day = day_of(split, ledger.dated)
    days = ledger.rows["day"]
    is_before, is_after = days < day, (days >= day) & (days < day + ahead)
    if not is_before.any() or not is_after.any():
        span = f"; they run from {ledger.moment(days.min())} to {ledger.moment(days.max())}" if len(days) else ""
        side = f"in the {ahead:g} days from {split} on" if is_before.any() else f"before {split}"
        raise InputError(f"there are no orders {side}{span}")
    known = orders[is_before.to_numpy()].reset_index(drop=True)
    last = ledger.moment(day - 1 if ledger.dated else day)
    customers = pd.Index(known["customer"].unique())
    year = ledger.rows[is_after].groupby("customer")["amount"].sum().reindex(customers, fill_value=0.0)
    best = math.ceil(len(customers) / 5)
    rows: list[dict[str, Any]] = [
        {"grading": "perfect", "captured": _captured(year, year, best), "rank_correlation": _spearman(year, year)},
        {
            "grading": "random",
            "captured": best / len(customers) if year.sum() > 0 else math.nan,
            "rank_correlation": 0.0,
        },
    ]
    for name, grading in _functions(gradings).items():
        grades = grading(known.copy(), last).reindex(customers).astype("float64").fillna(-np.inf)
        captured, correlation = _captured(grades, year, best), _spearman(grades, year)
        rows.append({"grading": name, "captured": captured, "rank_correlation": correlation})
    table = pd.DataFrame(rows)
    table.insert(1, "customers", len(customers))
    table.insert(2, "best", best)
    luck = _luck(year, best)
    z = (table["captured"] - best / len(customers)) / (luck if luck > 0 else math.nan)
    table.insert(4, "z", z)
    return best_first(table)


def _luck(amounts: pd.Series[float], best: int) -> float:
    """The standard deviation of the share that so many customers bring, drawn at random without putting back.

    Cochran, Sampling Techniques (1977), theorem 2.2, for a total.
    """
    n, total = len(amounts), float(amounts.sum())
    if n < 2 or not total > 0:
        return math.nan
    return math.sqrt(best * (1 - best / n)) * float(amounts.std(ddof=1)) / total


def best_first(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted by what is captured, then the correlation; the perfect ranking stands first even where others tie."""
    keys = table[["captured", "rank_correlation"]].round(12).assign(perfect=table["grading"] == "perfect")
    order = keys.sort_values(["perfect", "captured", "rank_correlation"], ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _functions(gradings: Mapping[str, Grading] | Iterable[str]) -> dict[str, Grading]:
    if isinstance(gradings, Mapping):
        return dict(gradings)
    names = list(gradings)
    for name in names:
        if name not in GRADINGS:
            raise InputError(not_among(name, "grading", GRADINGS))
    return {name: GRADINGS[name] for name in names}


def _captured(grades: pd.Series[Any], amounts: pd.Series[float], best: int) -> float:
    """The share of all amounts that the best by grade bring; ties at the edge bring their part, as on average."""
    total = float(amounts.sum())
    if not total > 0:
        return math.nan
    groups = amounts.groupby(grades).agg(["size", "sum"]).sort_index(ascending=False)
    ahead = groups["size"].cumsum() - groups["size"]
    part = (best - ahead).clip(lower=0).clip(upper=groups["size"]) / groups["size"]
    return float((part * groups["sum"]).sum()) / total


def _spearman(left: pd.Series[Any], right: pd.Series[Any]) -> float:
    """Spearman's rank correlation with mean ranks for ties, NaN where either side is all tied."""
    a, b = left.rank().to_numpy(), right.rank().to_numpy()
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan
