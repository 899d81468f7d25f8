"""Which columns give the outcome away: those that are set or cleared as a deal ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

_LEAK = 0.2  # a difference in how often a cell is empty, or has a value, that gives an outcome away
_SURE = 4.0  # standard errors of such a difference
_FEWEST = 20  # deals of a group from which on its values are compared with those of others
_RIPE = 0.75  # of closings come before the age of deals that are compared with younger ones
_OLDEST = 0.75  # of open deals are younger than the oldest of them
_HALF_A_DAY = 43200.0  # seconds: one that ends on the day of its creation was open for some time
_MOST_LEVELS = 40  # of a column, the most frequent, that are compared


def leaks(deals: pd.DataFrame, others: Iterable[str]) -> dict[str, str]:
    """The columns that give the outcome away, and how that is seen.

    Either they are empty much more often (20 points, beyond chance) for one of open and closed, or of won and lost;
    or they have a value that only won, or only lost, deals have (less likely by chance than 1 in 10,000); or open deals
    have a value that those open earlier, and those that have ended, did not have nearly so often, or the reverse.
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
            or _changed_at_the_end(deals, column, closed)
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


def _changed_at_the_end(deals: pd.DataFrame, column: pd.Series[Any], closed: pd.Series[Any]) -> str:
    """Words on a value that open deals have much more, or much less often than deals of their age had, or ''.

    Open deals differ honestly from those that ended, for some values take longer. So the young among them are compared
    with all that were as young some time ago. A value that came into use since, or goes out of use, differs so as well;
    but then the oldest open deals, or the youngest that ended, do not. What is set as a deal ends is found on open
    deals of all ages, and on none that ended.
    """
    found = _alike(deals, closed) if {"created", "closed"} <= set(deals) and closed.any() else None
    if found is None:
        return ""
    seconds, groups = found
    worth = float(seconds.sum() ** 2 / (seconds**2).sum())
    for level in column.value_counts().index[:_MOST_LEVELS]:
        mine = column == level
        usual = float((seconds * mine[seconds.index]).sum() / seconds.sum())
        here, old, ended = (float(mine[group].mean()) for group in groups)
        error = math.sqrt(max(usual * (1 - usual), 0.01) * (1 / worth + 1 / int(groups[0].sum())))
        sign = 1 if here > usual else -1
        apart = min(sign * (share - other) for share in (here, old) for other in (usual, ended))
        if apart > max(_LEAK, _SURE * error) and abs(old - here) < apart / 2 and abs(ended - usual) < apart / 2:
            return f"'{level}' is found on {here:.0%} of young open deals, on {usual:.0%} of those that were so earlier"
    return ""


def _alike(deals: pd.DataFrame, closed: pd.Series[Any]) -> tuple[pd.Series[float], tuple[pd.Series[Any], ...]] | None:
    """How long (seconds) each of earlier deals was young and open; and the young and old open ones, and the late ended.

    None where any of them are too few.
    """
    lives, age = deals["closed"] - deals["created"], deals[["created", "closed"]].max().max() - deals["created"]
    young, ripe = lives[closed].median(), lives[closed].quantile(_RIPE)
    before = deals.loc[(age > ripe) & (deals["created"] >= deals["closed"].min()), "created"]
    earlier = before[before >= before.median()].index
    oldest = ~closed & (age >= age[~closed].quantile(_OLDEST))
    groups = ~closed & (age <= young), oldest, closed & (age <= ripe)
    if min(closed[earlier].sum(), *(group.sum() for group in groups)) < _FEWEST:
        return None
    seconds = lives.where(closed, young).clip(upper=young)[earlier].dt.total_seconds().clip(lower=0).fillna(0)
    return seconds + _HALF_A_DAY, groups


__all__ = ["leaks", "one_sided"]
