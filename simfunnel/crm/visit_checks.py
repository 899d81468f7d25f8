"""Checks of visits to stages and of tasks: what is odd in them, what was done, what may still be off.

Each is a function of the evidence, as in `quality`; those of an export without a history find nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from simfunnel.crm.absences import long_absences
from simfunnel.crm.evidence import Check, Evidence, Found, Trouble

_WORTH_SAYING = 0.01  # share of tasks at once with another of the same member that may be roundings
_SILENT = 0.99  # a case silent for longer than this share of all waits between its events is said to be silent


def _of(rows: pd.Series[Any], table: pd.DataFrame, evidence: Evidence) -> tuple[int, float, tuple[str, ...]]:
    """Count, share, and examples by id, of some rows of visits or tasks."""
    deals = table.loc[rows, "deal"].drop_duplicates().head(3)
    return int(rows.sum()), float(rows.mean()), tuple(str(evidence.deals["id"].get(deal, deal)) for deal in deals)


def _places(evidence: Evidence) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Where each visit's stage and its next one stand in the order of stages; NaN for an end or none."""
    order = {stage: place for place, stage in enumerate(evidence.stages)}
    return evidence.visits["stage"].map(order), evidence.visits["next"].map(order)


def in_no_stage(evidence: Evidence) -> Found:
    """Deals of which no open stage is told."""
    if evidence.visits.empty:
        return None
    rows = ~evidence.deals.index.isin(evidence.visits["deal"])
    if not rows.any():
        return None
    shown = tuple(str(i) for i in evidence.deals.loc[rows, "id"].head(3))
    action = f"they count as in the first stage, '{evidence.stages[0]}', from their creation on"
    bias = "the first stage's chances and times hold what these deals did elsewhere"
    return Trouble("deals seen in no open stage", int(rows.sum()), float(rows.mean()), shown, action, bias), evidence


def skipped_stages(evidence: Evidence) -> Found:
    """Moves past at least one stage."""
    if len(evidence.stages) < 3 or evidence.visits.empty:
        return None
    here, there = _places(evidence)
    rows = there > here + 1
    if not rows.any():
        return None
    count, share, shown = _of(rows, evidence.visits, evidence)
    action = "kept as they are: a move may lead anywhere"
    bias = "where a stage was passed without a note, its chances and times are those of the other deals alone"
    return Trouble("moves that skip a stage", count, share, shown, action, bias, "visits"), evidence


def returns(evidence: Evidence) -> Found:
    """Moves back to an earlier stage."""
    if evidence.visits.empty:
        return None
    here, there = _places(evidence)
    rows = there < here
    if not rows.any():
        return None
    count, share, shown = _of(rows, evidence.visits, evidence)
    action = "kept as they are: a deal may visit a stage several times"
    bias = "where a move only corrects a slip, visits are too many and too short, and chances to go on too low"
    return Trouble("moves back to an earlier stage", count, share, shown, action, bias, "visits"), evidence


def no_time_in_stage(evidence: Evidence) -> Found:
    """Visits that end when they begin."""
    rows = evidence.visits["left"] == evidence.visits["entered"]
    if evidence.visits.empty or not rows.any():
        return None
    count, share, shown = _of(rows, evidence.visits, evidence)
    action = "kept as they are"
    bias = "stages that are set together, after the fact, have no times of their own"
    return Trouble("visits that take no time", count, share, shown, action, bias, "visits"), evidence


def silent_cases(evidence: Evidence) -> Found:
    """Open deals whose last change is longer ago than nearly all waits between changes."""
    visits = evidence.visits
    waits = (visits["left"] - visits["entered"]).dropna() if len(visits) else pd.Series(dtype="timedelta64[us]")
    if len(waits) < 100:
        return None
    long = pd.Timedelta(seconds=float(waits.dt.total_seconds().quantile(_SILENT)))
    rows = visits["left"].isna() & (pd.Timestamp(evidence.as_of) - visits["entered"] > long)
    if not rows.any():
        return None
    count, _, shown = _of(rows, visits, evidence)
    name = f"open deals silent for longer than 99% of waits in a stage ({long.total_seconds() / 86400:.0f} days)"
    action = "taken as open: silence is no closing"
    bias = "if they were given up without a note, fewer deals are open than it seems"
    return Trouble(name, count, count / len(evidence.deals), shown, action, bias), evidence


# --- tasks ------------------------------------------------------------------------------------------------------------


def reversed_tasks(evidence: Evidence) -> Found:
    """Tasks that end before they start."""
    tasks = evidence.tasks
    if tasks.empty:
        return None
    rows = tasks["end"] < tasks["start"]
    if not rows.any():
        return None
    count, share, shown = _of(rows, tasks, evidence)
    bias = "their work is missing: teams seem less busy than they are"
    trouble = Trouble("tasks that end before they start", count, share, shown, "left out", bias, "tasks")
    return trouble, replace(evidence, tasks=tasks[~rows])


def nobodys_tasks(evidence: Evidence) -> Found:
    """Tasks of which nobody is known to have done them."""
    tasks = evidence.tasks
    if tasks.empty:
        return None
    rows = tasks["member"].isna()
    if not rows.any():
        return None
    count, share, shown = _of(rows, tasks, evidence)
    action, bias = "kept, with nobody's name", "who is how busy can't be told from these"
    return Trouble("tasks without a member", count, share, shown, action, bias, "tasks"), evidence


def tasks_at_once(evidence: Evidence) -> Found:
    """Tasks begun while the same member was at another."""
    tasks = evidence.tasks
    if tasks.empty:
        return None
    mine = tasks[tasks["member"].notna() & tasks["start"].notna()].sort_values(["member", "start"], kind="stable")
    busy_until = mine.groupby("member")["end"].cummax().groupby(mine["member"]).shift()
    rows = mine["start"] < busy_until
    if rows.empty or rows.mean() < _WORTH_SAYING:
        return None
    count, share, shown = _of(rows, mine, evidence)
    action = "kept as they are"
    bias = "time at two tasks counts for both: hours of work are fewer than the sum of the tasks' times"
    return Trouble("tasks of one member at the same time", count, share, shown, action, bias, "tasks"), evidence


def tasks_under_way(evidence: Evidence) -> Found:
    """Tasks begun and not ended, though the same member has done others since."""
    tasks = evidence.tasks
    if tasks.empty:
        return None
    last = tasks.groupby("member")["start"].transform("max")
    rows = tasks["end"].isna() & (last - tasks["start"] > pd.Timedelta(days=30))
    if not rows.any():
        return None
    count, share, shown = _of(rows, tasks, evidence)
    action, bias = "taken as under way", "if they ended without a note, their times are not known"
    return Trouble("tasks without an end for over 30 days", count, share, shown, action, bias, "tasks"), evidence


VISIT_CHECKS: tuple[Check, ...] = (
    in_no_stage,
    skipped_stages,
    returns,
    no_time_in_stage,
    silent_cases,
    reversed_tasks,
    nobodys_tasks,
    tasks_at_once,
    tasks_under_way,
    long_absences,
)

__all__ = ["VISIT_CHECKS"]
