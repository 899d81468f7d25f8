"""Tasks of people, from a history's log: each with its times in days and the visit to whose stage it belongs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        visit=_visit_of(deal, table["activity"].to_numpy(dtype=object), start, visits),
        activities=tuple(str(name) for name in activities),
        members=tuple(str(name) for name in members),
        origin=visits.origin,
        until=visits.end,
    ), words


def _visit_of(deal: Ints, activity: NDArray[np.object_], start: Floats, visits: Visits) -> Ints:
    """The visit to which each task belongs: its deal's latest to the stage of its name, or to any where it has none."""
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
