"""Recency, frequency and money: three measures of each customer, with scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simfunnel.errors import InputError
from simfunnel.segments.ledger import Moment, ledger_of, ranked
from simfunnel.segments.shares import with_ratios


def rfm(orders: pd.DataFrame, as_of: Moment | None = None, bins: int = 5) -> pd.DataFrame:
    """Recency, frequency and money of each customer, with scores from 1 (worst) to `bins` (best).

    Columns: customer, recency (days from the last purchase to the as-of day), frequency (purchases), money (credit
    notes taken off), r, f, m (scores), code (such as '543'), score (their sum); the best score first.

    A score is the part of the customers, cut into `bins` equal parts by rank, in which the customer stands: that of
    rank k among n has the score ceil(bins (k - 1/2) / n), the worst being rank 1. Customers who tie share their mean
    rank and so their score; where all tie they get the middle one. One with credit notes alone has no recency, and
    ranks last in it. Hughes, Strategic Database Marketing (1994) has the three measures in fifths; he cuts frequency
    within recency, and money within both, while here each is cut for itself.

    Raises InputError unless bins is 2 to 9 and the table is an order table.
    """
    if not 2 <= bins <= 9:
        raise InputError(f"bins must be 2 to 9, not {bins}")
    ledger = ledger_of(orders, as_of)
    customers = ledger.customers()
    table = customers[["frequency", "money"]].copy()
    table.insert(0, "recency", ledger.end - customers["last"])
    table["r"] = _scores(-table["recency"].fillna(np.inf), bins)
    table["f"] = _scores(table["frequency"], bins)
    table["m"] = _scores(table["money"], bins)
    table["code"] = table["r"].astype(str) + table["f"].astype(str) + table["m"].astype(str)
    table["score"] = table["r"] + table["f"] + table["m"]
    best = ranked(customers).index
    return table.loc[best].sort_values("score", ascending=False, kind="stable").reset_index()


def _scores(values: pd.Series[Any], bins: int) -> pd.Series[int]:
    """1 .. bins by mid-rank, in whole numbers so that nothing is lost to rounding: twice the rank is one."""
    twice = (2 * values.rank(method="average") - 1).round().astype("int64")
    scores: pd.Series[int] = -(-(bins * twice) // max(2 * len(values), 1))
    return scores


def rfm_table(scores: pd.DataFrame) -> pd.DataFrame:
    """What each score of `rfm` stands for: measure, score, low and high (the least and the most of it), and as in
    `class_table` the customers and the money of those who have it.
    """  # noqa: D205
    parts = []
    for measure, key in (("recency", "r"), ("frequency", "f"), ("money", "m")):
        groups = scores.groupby(key)
        part = pd.DataFrame(
            {
                "customers": groups.size(),
                "low": groups[measure].min(),
                "high": groups[measure].max(),
                "money": groups["money"].sum(),
            }
        )
        part = part.sort_index(ascending=False).rename_axis("score").reset_index()
        part.insert(0, "measure", measure)
        parts.append(part)
    return with_ratios(pd.concat(parts, ignore_index=True), within="measure")
