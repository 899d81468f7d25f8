"""Tables of tasks (Salesforce tasks and events, HubSpot engagements): who did what for which deal, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.facts import moments_of
from simfunnel.crm.history import MOST_LEVELS, TASKS
from simfunnel.crm.maps import Map
from simfunnel.crm.names import TASKS as ALIASES
from simfunnel.crm.names import truth
from simfunnel.crm.roles import Parts, columns_of
from simfunnel.crm.sources import Table
from simfunnel.crm.tables import read_numbers

_UNITS = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0}
_SPANS = {"end", *_UNITS}
_NOT_TOLD = " (no column has one: from when a task was created until it was completed is not how long someone worked)"


def read_tasks(
    parts: Parts, said: Map, until: pd.Timestamp | None, ids: pd.Series[Any], people: dict[str, str]
) -> tuple[pd.DataFrame | None, list[str]]:
    """The tasks of deals (`ids`: label -> id) whose start and end, or length, is known; and what was left out."""
    found, words = [], []
    labels = pd.Series(ids.index, index=ids)
    labels = labels[~labels.index.duplicated(keep="last")]
    for table in parts.get("tasks", ()):
        columns = columns_of(table.rows, ALIASES, said)
        rows = table.rows
        if "deleted" in columns:
            rows = rows[~rows[columns["deleted"]].map(truth).astype(bool)]
        start, end, known = _times(rows, columns, said, until)
        deal = rows[columns["id"]].str.strip().map(labels)
        member = (
            rows[columns["member"]].str.strip() if "member" in columns else pd.Series(index=rows.index, dtype="str")
        )
        kept = deal.notna() & known & start.notna()
        activity, kinds = _activities(rows, columns)
        tasks = pd.DataFrame(
            {
                "deal": deal[kept].astype(ids.index.dtype),
                "activity": activity[kept],
                "member": member[kept].map(lambda who: people.get(who, who), na_action="ignore").astype("str"),
                "start": start[kept],
                "end": end[kept],
            },
            columns=list(TASKS),
        )
        no_length = "" if columns.keys() & _SPANS else _NOT_TOLD
        words.append(
            f"tasks: {table.name}, {len(tasks):,} of {len(rows):,}; {int(deal.isna().sum()):,} belong to no deal here, "
            f"{int((deal.notna() & ~kept).sum()):,} tell no length{no_length}{kinds}"
        )
        found.append(tasks)
    tasks = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(TASKS))
    return (tasks if len(tasks) else None), words


def known_tasks(table: Table, said: Map, end: pd.Timestamp) -> Table:
    """The tasks that were known before a moment; those under way then without an end."""
    columns = columns_of(table.rows, ALIASES, said)
    start, finish, _ = _times(table.rows, columns, said, end)
    rows = table.rows.copy()
    if "end" in columns:
        rows.loc[finish >= end, columns["end"]] = float("nan")
    noted = moments_of(rows[columns["noted"]], said, end)[0] if "noted" in columns else finish
    first = start if "end" in columns else finish  # a length is known once it is over
    return Table(table.name, rows[first.fillna(start).fillna(finish).fillna(noted) < end])


def _times(
    rows: pd.DataFrame, columns: dict[str, str], said: Map, until: pd.Timestamp | None
) -> tuple[pd.Series[Any], pd.Series[Any], pd.Series[Any]]:
    """When each task began and ended, and whether that is known: by two times, or by one and a length."""
    nothing = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")
    begun, ended, noted = (
        moments_of(rows[columns[part]], said, until)[0] if part in columns else nothing
        for part in ("start", "end", "noted")
    )
    unit = next((unit for unit in _UNITS if unit in columns), None)
    if unit is None or "end" in columns:
        return begun, ended, pd.Series("end" in columns, index=rows.index)
    length = pd.to_timedelta(read_numbers(rows[columns[unit]])[0] * _UNITS[unit], unit="seconds")
    if "start" not in columns:  # a call is noted when it is over; a day alone says nothing of that
        begun = (noted - length).where(noted != noted.dt.normalize(), noted)
    return begun, begun + length, length.notna()


def _activities(rows: pd.DataFrame, columns: dict[str, str]) -> tuple[pd.Series[Any], str]:
    """What each task was: its type, or its subject where there are few of them; and words on subjects that are many."""
    told = [rows[columns[part]].str.strip() for part in ("activity", "subject") if part in columns]
    told = [column.where(column != "") for column in told]
    column = next((column for column in told if column.notna().any()), pd.Series(np.nan, rows.index, dtype="str"))
    n = column.nunique()
    if column.name == columns.get("subject", "") and n > min(MOST_LEVELS, len(rows) / 10):
        words = f"; all count as one activity: their {n:,} subjects are too many to be kinds of work"
        return pd.Series("task", index=rows.index), words
    return column.fillna("task").astype("str"), ""


__all__ = ["known_tasks", "read_tasks"]
