"""Tasks of people, from a history's log: each with its times in days and the visit to whose stage it belongs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.capacity import FEW_TASKS, Tasks
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.visits import Ints, Visits

_AUTOMATIC = 1 / 86400  # days; who needs less for most tasks is no human
_RUN = 30  # tasks in a row that tell when somebody rests, where they lie within a week
_LEAST_REST = 5.0  # hours of the clock; who is busy around it but for less is no human, or several under one name


_SET_ASIDE = 3  # other tasks begun while one is open for over a day: it was not worked on all along
_MOSTLY = 0.5  # of an activity's tasks set aside, from which on nothing tells how long they take


def tasks_of(history: History, visits: Visits) -> tuple[Tasks | None, tuple[str, ...]]:
    """The tasks of people, each with the visit to which it belongs; None where there are too few."""
    table = history.tasks
    assert table is not None
    table = table[table["start"].notna() & ~(table["end"] < table["start"])]
    by_nobody = table["member"].isna() | (table["member"] == "")
    nobody = int((by_nobody & (table["end"] > table["start"])).sum())
    table = table[~by_nobody].reset_index(drop=True)
    length = (table["end"] - table["start"]).dt.total_seconds() / 86400
    quick = (length[length.notna()] < _AUTOMATIC).groupby(table["member"]).mean()
    machines = sorted(str(name) for name in quick.index[quick > 0.5])
    words = (f"no people, for their tasks take no time: {', '.join(machines)}",) if machines else ()
    starts = days_since(table["start"], visits)
    restless = sorted({str(who) for who, rows in table.groupby("member").indices.items() if _restless(starts[rows])})
    restless = [who for who in restless if who not in machines]
    if restless:
        words = (*words, f"no single people, for they begin tasks at all hours of day and night: {', '.join(restless)}")
        machines += restless
    if nobody:
        words = (*words, f"{nobody:,} tasks tell nobody who did them: they count as time that no seller spends")
    table = table[~table["member"].isin(machines)]
    if len(table) < FEW_TASKS:
        return None, words
    table, more = _worked_on(table)
    words = (*words, *more)
    if len(table) < FEW_TASKS:
        return None, words
    in_hand = _in_hand(table, history, visits)
    told = table["end"].notna() | in_hand
    untold = _visits_of(table[~told], visits)
    if len(untold):
        words = (
            *words,
            f"{len(untold):,} tasks have no end, though their case or its owner went on: they are left out",
        )
    table = table[told].reset_index(drop=True)
    if len(table) < FEW_TASKS:
        return None, words
    start, end = days_since(table["start"], visits), days_since(table["end"], visits)
    done = ~np.isnan(end) & (end <= visits.end)
    activity, activities = pd.factorize(table["activity"])
    member, members = pd.factorize(table["member"], sort=True)
    deal = table["deal"].to_numpy(dtype=np.int64)
    return Tasks(
        deal=deal,
        activity=activity.astype(np.int64),
        member=member.astype(np.int64),
        start=start,
        end=np.where(done, end, visits.end),
        done=done,
        visit=_visits_of(table, visits),
        untold=untold[untold >= 0],
        activities=tuple(str(name) for name in activities),
        members=tuple(str(name) for name in members),
        origin=visits.origin,
        until=visits.end,
    ), words


def _worked_on(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The tasks without the days for which they only lay open, and what to say of them.

    One that its member set aside counts for as long as half of the activity's others take; what is left of its time is
    the customer's. Where most are set aside nothing tells how long they take, and they are left out.
    """
    aside = _set_aside(table)
    share = aside.groupby(table["activity"]).mean()
    untold = sorted(str(name) for name in share.index[share > _MOSTLY])
    words = (
        [f"no work is told of {', '.join(untold)}: most of its tasks lie open while others are done"] if untold else []
    )
    out = table["activity"].isin(untold)
    usual = (table["end"] - table["start"])[~aside].groupby(table["activity"]).median()
    cut = table["start"] + table["activity"].map(usual)
    shorter = aside & ~out & (cut < table["end"])
    if shorter.any():
        words.append(
            f"{int(shorter.sum()):,} tasks lay open for over a day while their member did others: each counts for the "
            "median time of its activity, the rest of it as the customer's"
        )
    return table.assign(end=table["end"].where(~shorter, cut))[~out].reset_index(drop=True), tuple(words)


def _set_aside(table: pd.DataFrame) -> pd.Series[bool]:
    """Which tasks last over a day, while their member begins several others."""
    found = pd.Series(False, index=table.index)
    begin, end = (table[name].to_numpy().astype("datetime64[us]") for name in ("start", "end"))
    for rows in table.groupby("member").indices.values():
        known = rows[~np.isnat(end[rows])]
        known = known[np.argsort(begin[known], kind="stable")]
        first, last = (np.searchsorted(begin[known], times[known], "right") for times in (begin, end))
        long = end[known] - begin[known] > np.timedelta64(1, "D")
        found.iloc[known] = long & (last - first >= _SET_ASIDE)
    return found


def _restless(starts: Floats) -> bool:
    """Whether tasks begin at all hours: most runs of some within a week leave no gap of the clock to sleep in."""
    starts = np.sort(starts)
    runs = starts[: len(starts) // _RUN * _RUN].reshape(-1, _RUN)
    runs = runs[runs[:, -1] - runs[:, 0] <= 7]
    if not len(runs):
        return False
    clock = np.sort(24 * (runs % 1), axis=1)
    gaps = np.diff(clock, axis=1, append=clock[:, :1] + 24)
    return float(np.median(gaps.max(axis=1))) < _LEAST_REST


def _in_hand(table: pd.DataFrame, history: History, visits: Visits) -> pd.Series[bool]:
    """Which tasks may still be under way: without an end, of a deal that is open and was in no other stage since.

    Nor do they last longer than the longest that ended: logs lose ends.
    """
    deal = table["deal"].to_numpy(dtype=np.int64)
    is_open = (history.deals["outcome"] == "open").to_numpy()[deal]
    entered = np.full(len(history.deals), -np.inf)
    np.maximum.at(entered, visits.deal, visits.entered)
    start = days_since(table["start"], visits)
    length = days_since(table["end"], visits) - start
    longest = float(np.nanmax(length, initial=0.0))
    may = is_open & (start >= entered[deal] - _AUTOMATIC) & (visits.end - start <= longest)
    in_hand: pd.Series[bool] = table["end"].isna() & may
    return in_hand


def _visits_of(table: pd.DataFrame, visits: Visits) -> Ints:
    """The visit to which each task belongs: its deal's latest to the stage of its name, or to any where it has none."""
    deal, start = table["deal"].to_numpy(dtype=np.int64), days_since(table["start"], visits)
    activity = table["activity"].to_numpy(dtype=object)
    rows = pd.DataFrame({"deal": deal, "start": start, "row": np.arange(len(deal))})
    rows["stage"] = pd.Index(visits.stages).get_indexer(pd.Index(activity))
    at = pd.DataFrame({"deal": visits.deal, "stage": visits.stage, "entered": visits.entered, "left": visits.left})
    at["visit"] = np.arange(len(at))
    at = at.sort_values("entered", kind="stable")
    rows = rows.sort_values("start", kind="stable")
    named = pd.merge_asof(rows, at, left_on="start", right_on="entered", by=["deal", "stage"])
    any_ = pd.merge_asof(rows, at.drop(columns="stage"), left_on="start", right_on="entered", by="deal")
    inside = any_["visit"].where(any_["start"] <= any_["left"])
    visit = named["visit"].where(named["stage"] >= 0).fillna(inside).fillna(-1)
    found = np.full(len(deal), -1, dtype=np.int64)
    found[named["row"].to_numpy()] = visit.to_numpy(dtype=np.int64)
    return found


def days_since(moments: pd.Series[pd.Timestamp], visits: Visits) -> Floats:
    """Moments as days since midnight of the history's first day."""
    return (moments - pd.Timestamp(visits.origin)).dt.total_seconds().to_numpy(dtype=np.float64) / 86400
