"""Tables of tasks (Salesforce tasks and events, HubSpot engagements): who did what for which deal, and when."""

from __future__ import annotations

from typing import Any

import pandas as pd

from simfunnel.crm.facts import moments_of
from simfunnel.crm.history import TASKS
from simfunnel.crm.maps import Map
from simfunnel.crm.names import TASKS as ALIASES
from simfunnel.crm.names import truth
from simfunnel.crm.roles import Parts, columns_of
from simfunnel.crm.sources import Table
from simfunnel.crm.tables import read_numbers


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
        activity = rows[columns["activity"]] if "activity" in columns else pd.Series("task", index=rows.index)
        tasks = pd.DataFrame(
            {
                "deal": deal[kept].astype(ids.index.dtype),
                "activity": activity[kept].fillna("task").astype("str"),
                "member": member[kept].map(lambda who: people.get(who, who), na_action="ignore").astype("str"),
                "start": start[kept],
                "end": end[kept],
            },
            columns=list(TASKS),
        )
        words.append(
            f"tasks: {table.name}, {len(tasks):,} of {len(rows):,}; {int(deal.isna().sum()):,} belong to no deal here, "
            f"{int((deal.notna() & ~kept).sum()):,} tell no length"
        )
        found.append(tasks)
    tasks = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(TASKS))
    return (tasks if len(tasks) else None), words


def known_tasks(table: Table, said: Map, end: pd.Timestamp) -> Table:
    """The tasks begun before a moment; those under way then without an end."""
    columns = columns_of(table.rows, ALIASES, said)
    start, finish, _ = _times(table.rows, columns, said, end)
    rows = table.rows.copy()
    if "end" in columns:
        rows.loc[finish >= end, columns["end"]] = float("nan")
    return Table(table.name, rows[start.fillna(finish) < end])


def _times(
    rows: pd.DataFrame, columns: dict[str, str], said: Map, until: pd.Timestamp | None
) -> tuple[pd.Series[Any], pd.Series[Any], pd.Series[Any]]:
    """When each task began and ended, and whether that is known: by two times, or by one and a length."""
    nothing = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")
    begun = moments_of(rows[columns["start"]], said, until)[0] if "start" in columns else nothing
    ended = moments_of(rows[columns["end"]], said, until)[0] if "end" in columns else nothing
    for unit in ("seconds", "minutes"):
        if unit in columns and "end" not in columns:  # a call is noted when it is over
            length = pd.to_timedelta(read_numbers(rows[columns[unit]])[0], unit=unit)
            return begun - length, begun, length.notna()
    return begun, ended, pd.Series("end" in columns, index=rows.index)


__all__ = ["known_tasks", "read_tasks"]
