"""When what snapshots show came about: somewhere in the gap between two of them, for no more is told.

Put on the later snapshot's day, changes would make a rhythm of month ends or Mondays that a business has not. So each
is drawn evenly within its gap, by its deal's id and its snapshot alone: neither the order of rows nor what later
snapshots show moves it. Whenever it came about, it is known only from the snapshot on that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.evidence import Trouble

_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Sights:
    """Deals as snapshots show them, a row for each deal in each snapshot; every series has the rows' index.

    `born` is when the deal was created: as told, or drawn in the gap before the first snapshot that shows it. `last` is
    the snapshot that showed the deal before (NaT in its first). Where snapshots have dates alone (`whole_days`), each
    shows what was at the end of its day. `exact`: rows say since when they are true, so there are no gaps.
    """

    ids: pd.Series[Any]
    seen: pd.Series[Any]
    born: pd.Series[Any]
    last: pd.Series[Any]
    whole_days: bool
    exact: bool

    def changed(self, part: pd.Series[Any]) -> pd.Series[Any]:
        """Whether a part is not what it was in the deal's row before; so in its first."""
        now = part.fillna("")[self.seen.sort_values(kind="stable").index]
        return (self.last.isna() | (now != now.groupby(self.ids).shift())).reindex(part.index)

    def moments(self, ended: pd.Series[Any], closed: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
        """When what a row is the first to show came about, and the days of the gap that it is drawn from.

        The date of closing of a deal that has `ended` tells it (a gap of 0), unless the deal was seen since. What had
        ended by the first snapshot may have done so long before: its gap has no bound, and it stays on that day.
        """
        if self.exact:
            return self.seen, pd.Series(np.nan, index=self.seen.index)
        told = ended & (closed <= self.seen) & ~(closed < self.last)  # on its day: perhaps once the snapshot was taken
        earliest = self.born - _DAY if self.whole_days else self.born  # it may have come on the day of creation
        before = _before(self.seen)
        since = self.last.fillna(pd.concat([before, earliest], axis=1).max(axis=1))
        drawn = _drawn("change", self.ids, since, self.seen, whole_days=self.whole_days)
        gap = ((self.seen - since).dt.total_seconds() / 86400).where(~told, 0.0)
        at_first = ended & before.isna() & ~told
        return closed.where(told, drawn.where(~at_first, self.seen)), gap.where(~at_first, np.inf)


def sights_of(ids: pd.Series[Any], seen: pd.Series[Any], created: pd.Series[Any], *, exact: bool) -> Sights:
    """Read rows by deal, snapshot (each known) and day of creation (NaT where it isn't told)."""
    whole_days = bool((seen == seen.dt.normalize()).all())
    order = seen.sort_values(kind="stable").index
    by_deal = seen[order].groupby(ids)
    first = by_deal.transform("min").reindex(seen.index)
    told = created[order].groupby(ids).transform("last").reindex(seen.index)
    told = told.dt.normalize() if whole_days else told
    previous = _before(seen).where(seen == first).groupby(ids).transform("max")
    drawn = first if exact else _drawn("creation", ids, previous, first, whole_days=whole_days)
    return Sights(ids, seen, told.fillna(drawn), by_deal.shift().reindex(seen.index), whole_days, exact)


def _before(seen: pd.Series[Any]) -> pd.Series[Any]:
    """The snapshot before each row's; NaT in the first."""
    days = seen.drop_duplicates().sort_values()
    return days.shift().set_axis(days).reindex(seen).set_axis(seen.index)


def _drawn(
    of: str, ids: pd.Series[Any], since: pd.Series[Any], until: pd.Series[Any], *, whole_days: bool
) -> pd.Series[Any]:
    """A moment after `since` and by `until`, drawn evenly for each row; `until` itself where no span is left."""
    unit = 86400 if whole_days else 1
    keys = (of + "/" + ids + "/" + until.map(str)).to_numpy(dtype=object)
    share = 1.0 - pd.util.hash_array(keys, categorize=False) / 2.0**64  # over 0, up to 1
    steps = np.ceil((until - since).dt.total_seconds().fillna(0).to_numpy() / unit * share)
    drawn: pd.Series[Any] = since + pd.to_timedelta(steps * unit, unit="s")
    return drawn.where(since < until, until).astype(until.dtype)


def between_snapshots(facts: pd.DataFrame, looks: Sequence[date], silent: int) -> list[Trouble]:
    """The troubles of changes known only to the gap between two snapshots, and of days (`silent`) since the last."""
    rows = facts[(facts["part"] == "stage") & (facts["gap"] > 1) & np.isfinite(facts["gap"])]
    found = []
    if len(rows) and len(looks) != 1:
        name = f"changes of stage seen only between two snapshots (typically {rows['gap'].median():.0f} days apart)"
        action = (
            "each is drawn within its gap, any moment as likely; what a deal was before it is first seen counts as the "
            "first stage"
        )
        bias = (
            "times are known only to the gap, moves within one are not seen, and what weekdays and days of the month "
            "or quarter do can't be told: dates of creation and of closing in the rows are used where they are there"
        )
        shown = tuple(rows["id"].drop_duplicates().head(3))
        found.append(Trouble(name, len(rows), 0.0, shown, action, bias, "changes"))
    if looks and silent > 1:
        name, action = f"days since the last snapshot ({looks[-1]})", "nothing is taken to have happened on them"
        bias = f"too little is forecast: read it as of that day (--as-of {looks[-1]})"
        found.append(Trouble(name, silent, 0.0, (), action, bias, "days"))
    return found


def watched_from(stage: pd.DataFrame, ends: Mapping[str, str]) -> date | None:
    """The first day of which snapshots tell all closings: the one after the first.

    None where that isn't told by snapshots, or where the first has dates of closing, which say what it goes back to.
    """
    rows = stage[stage["gap"].notna()]
    first = rows["seen"].min()
    if rows.empty or stage["seen"].max() == first:
        return None
    closed = (rows["seen"] == first) & (rows["now"].map(dict(ends)).fillna("open") != "open")
    return None if (closed & (rows["gap"] == 0)).any() else (first + _DAY).date()


__all__ = ["Sights", "between_snapshots", "sights_of", "watched_from"]
