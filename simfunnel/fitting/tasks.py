"""Tasks of people, from a history's log: each with its times in days and the visit to whose stage it belongs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.capacity import FEW_TASKS, Tasks
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.visits import Ints, Visits

_AUTOMATIC = 1 / 86400  # days; who needs less for most tasks is no human


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
    if nobody:
        words = (*words, f"{nobody:,} tasks tell nobody who did them: they count as time that no seller spends")
    table = table[~table["member"].isin(machines)]
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
