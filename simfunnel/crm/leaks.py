"""Which columns give the outcome away: those that are set or cleared as a deal ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

_LEAK = 0.2  # a difference in how often a cell is empty that gives an outcome away


def leaks(deals: pd.DataFrame, others: Iterable[str]) -> dict[str, str]:
    """The columns that give the outcome away, and how that is seen.

    Either they are empty much more often (20 points, beyond chance) for one of open and closed, or of won and lost;
    or they have a value that only won, or only lost, deals have (less likely by chance than 1 in 10,000).
    """
    closed = deals["outcome"] != "open"
    won = deals["outcome"] == "won"
    found = {}
    for name in others:
        column = deals[name]
        said = (
            _emptier(column, closed, "open deals", "closed ones")
            or _emptier(column[closed], won[closed], "lost deals", "won ones")
            or one_sided(column[closed], won[closed])
        )
        if said:
            found[name] = said
    return found


def _emptier(column: pd.Series[Any], group: pd.Series[Any], outside: str, inside: str) -> str:
    """Words on how much more often cells are empty outside a group than inside, or '' where it may be chance."""
    n_in, n_out = int(group.sum()), int((~group).sum())
    if min(n_in, n_out) < 5:
        return ""
    empty = column.isna()
    a, b, both = float(empty[~group].mean()), float(empty[group].mean()), float(empty.mean())
    error = math.sqrt(max(both * (1 - both), 1e-12) * (1 / n_in + 1 / n_out))
    if abs(a - b) < _LEAK or abs(a - b) < 4 * error:
        return ""
    return f"empty for {a:.0%} of {outside}, {b:.0%} of {inside}"


def one_sided(column: pd.Series[Any], won: pd.Series[Any]) -> str:
    """Words on a value that only won or only lost deals have, or ''."""
    base = float(won.mean()) if len(won) else 0.0
    if not 0 < base < 1:
        return ""
    counts = pd.crosstab(column, won).reindex(columns=[False, True], fill_value=0)
    pure = counts[(counts.min(axis=1) == 0)].sum(axis=1)
    if pure.empty or pure.max() < 10:
        return ""
    level = str(pure.idxmax())
    is_won = bool(counts[True][level])
    chance = (base if is_won else 1 - base) ** float(pure.max()) * len(counts)
    return f"'{level}' is found on {'won' if is_won else 'lost'} deals alone" if chance < 1e-4 else ""


__all__ = ["leaks", "one_sided"]
