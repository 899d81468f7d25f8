"""When what snapshots show came about: somewhere in the gap between two of them, for no more is told.

Put on the later snapshot's day, changes would make a rhythm of month ends or Mondays that a business has not. So each
is drawn within its gap, by its deal's id, its snapshot and what snapshots up to it show: neither the order of rows nor
what later snapshots show moves it. Whenever it came about, it is known only from the snapshot on that shows it.

Closings are drawn by the ages at which deals close. Drawn evenly from a deal's creation to the snapshot they would come
late in the gap for the deals created in it, and make the rhythm that was to be kept out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.ages import OUTCOMES, Ages, Floats, Lives, as_known
from simfunnel.crm.evidence import Trouble

_DAY, _MOMENT = pd.Timedelta(days=1), pd.Timedelta(seconds=1)
_STEPS = 64  # of a gap between snapshots, in which births are drawn


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
    closings: Mapping[Any, Ages | None] = field(default_factory=dict, repr=False)

    def changed(self, part: pd.Series[Any]) -> pd.Series[Any]:
        """Whether a part is not what it was in the deal's row before; so in its first."""
        now = part.fillna("")[self.seen.sort_values(kind="stable").index]
        return (self.last.isna() | (now != now.groupby(self.ids).shift())).reindex(part.index)

    def moments(self, end: pd.Series[Any], closed: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
        """When what a row is the first to show came about, and the days of the gap that it is drawn from.

        The date of closing of a deal that has an `end` tells it (a gap of 0), unless the deal was seen since. What had
        ended by the first snapshot may have done so long before: its gap has no bound, and it stays on that day.
        """
        if self.exact:
            return self.seen, pd.Series(np.nan, index=self.seen.index)
        ended = end.notna()
        told = _told(ended, closed, self.seen, self.last)
        earliest = _earliest(self.born, whole_days=self.whole_days)
        before = _before(self.seen)
        since = self.last.fillna(pd.concat([before, earliest], axis=1).max(axis=1))
        share = _share("change", self.ids, self.seen)
        low, span = _days(since - earliest), _days(self.seen - since).clip(lower=0)
        for outcome in OUTCOMES:
            for day, rows in self.seen.groupby(self.seen.where(end == outcome)).groups.items():
                ages = self.closings.get(day)
                if ages is not None:
                    start, more = _floats(low[rows]), _floats(span[rows])
                    by_age = ages.at(start, start + more, _floats(share[rows]), outcome) - start
                    share[rows] = np.clip(by_age / np.where(more > 0, more, 1), 0, 1)
        drawn = _drawn(share, since, self.seen, whole_days=self.whole_days)
        gap = _days(self.seen - since).where(~told, 0.0)
        at_first = ended & before.isna() & ~told
        return closed.where(told, drawn.where(~at_first, self.seen)), gap.where(~at_first, np.inf)


def sights_of(
    ids: pd.Series[Any],
    seen: pd.Series[Any],
    created: pd.Series[Any],
    end: pd.Series[Any],
    closed: pd.Series[Any],
    *,
    exact: bool,
) -> Sights:
    """Read rows by deal, snapshot (each known), day of creation (NaT where it isn't told), and what they say of an end.

    `end` is 'won', 'lost' or missing; `closed` is the day that is told for it, or NaT.
    """
    whole_days = bool((seen == seen.dt.normalize()).all())
    order = seen.sort_values(kind="stable").index
    by_deal = seen[order].groupby(ids)
    first = by_deal.transform("min").reindex(seen.index)
    told = created[order].groupby(ids).transform("last").reindex(seen.index)
    told = told.dt.normalize() if whole_days else told
    last = by_deal.shift().reindex(seen.index)
    found = Sights(ids, seen, told.fillna(first), last, whole_days, exact)
    if exact:
        return found
    previous = _before(seen).where(seen == first).groupby(ids).transform("max")
    closing = closed.where(end.notna() & (seen == first)).groupby(ids).transform("first")
    latest = first.where(~(closing < first), closing)  # a deal is there before the day that is told for its closing
    share = _share("creation", ids, first)
    found = replace(found, born=told.fillna(_drawn(share, previous, latest, whole_days=whole_days)))
    found = replace(found, closings=_closings(found, end, closed))
    if told.notna().all():
        return found
    # Ages are told from births drawn evenly, and births once more from these ages: to go on so would end in a circle.
    at_once = end.where(seen == first).groupby(ids).transform("first")
    share = _births(share, previous, first, at_once, found.closings)
    return replace(found, born=told.fillna(_drawn(share, previous, latest, whole_days=whole_days)))


def _closings(sights: Sights, end: pd.Series[Any], closed: pd.Series[Any]) -> dict[Any, Ages | None]:
    """By snapshot, the ages at which deals close as known by then."""
    ended = end.notna()
    told = _told(ended, closed, sights.seen, sights.last)
    born = _earliest(sights.born, whole_days=sights.whole_days)
    start = sights.seen.min()
    rows = pd.DataFrame({
        "id": sights.ids,
        "shown": sights.seen,
        "born": born,
        "open": sights.seen.where(~ended),
        "before": sights.last.where(~told, closed - _DAY).where(ended),
        "ended": sights.seen.where(~told, closed.where(~(closed <= sights.last), sights.last + _MOMENT)).where(ended),
        "end": end,
    }).sort_values("shown", kind="stable")  # fmt: skip
    deals = rows.groupby("id").agg(
        {"shown": "min", "born": "min", "open": "max", "before": "min", "ended": "min", "end": "first"}
    )
    deals = deals[~((deals["shown"] == start) & deals["ended"].notna() & deals["open"].isna())]
    days = {name: _days(deals[name] - start) for name in ("shown", "born", "open", "before", "ended")}
    since = days["born"].where(deals["shown"] > start, 0.0)
    last = days["before"].where(days["ended"].notna(), days["open"]).fillna(days["born"])
    lives = Lives(
        shown=_floats(days["shown"]),
        born=_floats(days["born"]),
        since=_floats(since),
        last=_floats(last),
        seen=_floats(days["ended"].fillna(np.inf)),
        outcome=deals["end"].fillna(OUTCOMES[0]).to_numpy(dtype=str),
    )
    snapshots = sights.seen.drop_duplicates().sort_values()
    known = as_known(_floats(_days(snapshots - start)), lives)
    return {day: ages for day, (_, ages) in zip(snapshots, known, strict=True)}


def _births(
    share: pd.Series[Any],
    since: pd.Series[Any],
    until: pd.Series[Any],
    closed: pd.Series[Any],
    closings: Mapping[Any, Ages | None],
) -> pd.Series[Any]:
    """How far into its gap each deal is born: early for what has `closed` by its end, late for what is still open."""
    drawn = share.copy()
    into = np.linspace(0, 1, _STEPS + 1)
    left = 1 - (into[1:] + into[:-1]) / 2
    for outcome in (*OUTCOMES, ""):
        mine = (closed.fillna("") == outcome) & since.notna()
        for day, rows in until.groupby(until.where(mine)).groups.items():
            ages = closings.get(day)
            if ages is not None:
                spans = left * float(_days(until[rows] - since[rows]).iloc[0])
                chance = ages.by(spans, outcome) if outcome else ages.open_at(spans)
                sums = np.concatenate([[0.0], np.cumsum(chance + 1e-12)])
                drawn[rows] = np.interp(_floats(share[rows]), sums / sums[-1], into)
    return drawn


def _told(ended: pd.Series[Any], closed: pd.Series[Any], seen: pd.Series[Any], last: pd.Series[Any]) -> pd.Series[Any]:
    """Whether the date of closing tells when a deal ended: on its day, so perhaps once the snapshot was taken."""
    return ended & (closed <= seen) & ~(closed < last)


def _earliest(born: pd.Series[Any], *, whole_days: bool) -> pd.Series[Any]:
    """The moment after which a deal may close: where days are told alone, it may be on the day of creation."""
    return born - _DAY if whole_days else born


def _floats(column: pd.Series[Any]) -> Floats:
    return column.to_numpy(dtype=np.float64)


def _days(spans: pd.Series[Any]) -> pd.Series[float]:
    days: pd.Series[float] = spans.dt.total_seconds() / 86400
    return days


def _before(seen: pd.Series[Any]) -> pd.Series[Any]:
    """The snapshot before each row's; NaT in the first."""
    days = seen.drop_duplicates().sort_values()
    return days.shift().set_axis(days).reindex(seen).set_axis(seen.index)


def _share(of: str, ids: pd.Series[Any], until: pd.Series[Any]) -> pd.Series[Any]:
    """A number for each row, over 0 and up to 1, by its deal and snapshot."""
    keys = (of + "/" + ids + "/" + until.map(str)).to_numpy(dtype=object)
    return pd.Series(1.0 - pd.util.hash_array(keys, categorize=False) / 2.0**64, index=ids.index)


def _drawn(share: pd.Series[Any], since: pd.Series[Any], until: pd.Series[Any], *, whole_days: bool) -> pd.Series[Any]:
    """A moment after `since` and by `until`, a share of the way, for each row; `until` where no span is left."""
    unit = 86400 if whole_days else 1
    steps = np.ceil((until - since).dt.total_seconds().fillna(0).to_numpy() / unit * share.to_numpy())
    drawn: pd.Series[Any] = since + pd.to_timedelta(np.maximum(steps, 1) * unit, unit="s")
    return drawn.where(since < until, until).astype(until.dtype)


def between_snapshots(facts: pd.DataFrame, looks: Sequence[date], silent: int) -> list[Trouble]:
    """The troubles of changes known only to the gap between two snapshots, and of days (`silent`) since the last."""
    rows = facts[(facts["part"] == "stage") & (facts["gap"] > 1) & np.isfinite(facts["gap"])]
    found = []
    if len(rows) and len(looks) != 1:
        name = f"changes of stage seen only between two snapshots (typically {rows['gap'].median():.0f} days apart)"
        action = (
            "each is drawn within its gap: a closing by the ages at which deals close, else any moment as likely; what "
            "a deal was before it is first seen counts as the first stage"
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
