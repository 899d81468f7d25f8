"""A simulated CRM export: what a flat deals file would hold of a simulated history.

The sample data that simfunnel ships is made so, and tests of truth recovery begin here: the scenario is the truth.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.engines.records import Prospects, Records
from simfunnel.plan import NOWHERE, Plan
from simfunnel.views import view_of

WON, LOST = "Closed Won", "Closed Lost"


def as_export(records: Records, plan: Plan) -> pd.DataFrame:
    """The deals of one replication at its horizon, as a CRM would export them.

    One row a prospect: deal_id, owner, stage (its open stage, or Closed Won / Closed Lost), source, its attributes,
    created and closed (dates; closed is empty while open), amount (of won deals alone, as many teams fill it in late);
    and, where people refer others, brought_by (the deal_id of who did, empty for nobody). Customers stay won, whatever
    they did later.
    """
    people, moves = records.prospects, records.moves
    view = view_of(records, plan, "all")
    n = len(people.key)
    stage = np.full(n, "", dtype=object)
    stage[moves.prospect] = np.array(plan.place_names, dtype=object)[moves.goal]
    closed = np.full(n, np.nan)
    for which, name in ((view.lost, LOST), (view.won, WON)):
        closed[moves.prospect[which]] = moves.time[which]
        stage[moves.prospect[which]] = name
    owner = np.full(n, NOWHERE)
    owner[moves.prospect] = moves.member
    names = np.array([*plan.member_names, ""], dtype=object)
    table = {
        "deal_id": [f"D{k + 1:05d}" for k in range(n)],
        "owner": names[owner],
        "stage": stage,
        "source": np.array(plan.source_names, dtype=object)[people.source],
    }
    for k, (name, levels) in enumerate(zip(plan.attribute_names, plan.attribute_levels, strict=True)):
        column = people.attributes[:, k]
        table[name] = np.array(levels, dtype=object)[column.astype(int)] if levels else column
    table["created"] = [_day(plan, t) for t in people.born]
    table["closed"] = [_day(plan, t) for t in closed]
    table["amount"] = [f"{value:.0f}" if s == WON else "" for value, s in zip(people.value, stage, strict=True)]
    if len(plan.referrals.same) > plan.referrals.same.sum():
        table["brought_by"] = _bringers(people)
    return pd.DataFrame(table)


def _bringers(people: Prospects) -> list[str]:
    """The deal_id of who brought each prospect; a further deal with the same one is of its parent's generation."""
    by = people.parent
    brought = (by >= 0) & (people.generation > people.generation[np.maximum(by, 0)])
    return [f"D{k + 1:05d}" if new else "" for k, new in zip(by, brought, strict=True)]


def known_at(records: Records, day: float) -> Records:
    """What was known of a replication so many days after its start: later moves, tasks and prospects are left out.

    So the same replication gives an export as of one day, and what came after it.
    """
    people, moves, tasks, money = records.prospects, records.moves, records.tasks, records.money
    asked = tasks.asked < day
    begun = np.where(tasks.begun < day, tasks.begun, np.nan)
    ended = np.where(tasks.begun < day, tasks.ended, np.nan)
    known = replace(_rows(tasks, asked), begun=begun[asked], ended=ended[asked])
    return Records(
        _rows(people, people.born < day),
        _rows(moves, moves.time < day),
        known,
        _rows(money, money.time < day),
        records.events,
    )


def _rows(table: Any, which: np.ndarray) -> Any:
    """Some rows of a table of records."""
    return type(table)(**{name: column[which] for name, column in vars(table).items()})


def as_stage_history(records: Records, plan: Plan) -> pd.DataFrame:
    """Every passage of every deal, as a CRM's stage history or an event log tells it.

    One row a passage: case (the deal's id), activity (the stage or the end that it came to), resource (who worked on it
    last; empty where nobody has), time (to the second), amount (the deal's value).
    """
    moves = records.moves
    start = datetime.combine(plan.start, time())
    stamps = pd.Timestamp(start) + pd.to_timedelta(np.round(moves.time * 86400), unit="s")
    members = np.array([*plan.member_names, ""], dtype=object)
    return pd.DataFrame(
        {
            "case": [f"D{k + 1:05d}" for k in moves.prospect],
            "activity": np.array(plan.place_names, dtype=object)[moves.goal],
            "resource": members[moves.member],
            "time": stamps,
            "amount": np.round(records.prospects.value[moves.prospect], 2),
        }
    )


def as_task_log(records: Records, plan: Plan) -> pd.DataFrame:
    """What was done on every deal, as a log of tasks tells it.

    One row a task that was begun, and one for each prospect's coming (activity `New`) and end, which take no time: case
    (the deal's id), activity (the stage worked in, or the end reached), resource, start and end (to the millisecond;
    empty for a task still in hand at the horizon).
    """
    tasks, moves, places = records.tasks, records.moves, np.array(plan.place_names, dtype=object)
    members = np.array([*plan.member_names, ""], dtype=object)
    begun = ~np.isnan(tasks.begun) & (tasks.prospect != NOWHERE)
    shut = (moves.goal >= plan.n_stages) | view_of(records, plan, "all").won
    born = records.prospects.born
    time = np.concatenate([born, tasks.begun[begun], moves.time[shut]])
    end = np.concatenate([born, tasks.ended[begun], moves.time[shut]])
    nobody, came = "", ["New"] * len(born)  # of one instant, the coming is first
    table = pd.DataFrame(
        {
            "case": np.concatenate([np.arange(len(born)), tasks.prospect[begun], moves.prospect[shut]]),
            "activity": np.concatenate([came, places[tasks.stage[begun]], places[moves.goal[shut]]]),
            "resource": np.concatenate(
                [[nobody] * len(born), members[tasks.member[begun]], [nobody] * int(shut.sum())]
            ),
            "start": _stamps(plan, time),
            "end": _stamps(plan, np.where(end <= plan.days, end, np.nan)),
        }
    )
    table["case"] = [f"D{k + 1:05d}" for k in table["case"]]
    return table.iloc[np.argsort(time, kind="stable")].reset_index(drop=True)


def _stamps(plan: Plan, time: np.ndarray) -> pd.Series[Any]:
    """Days since the start as moments."""
    start = pd.Timestamp(datetime.combine(plan.start, datetime.min.time()))
    return pd.Series(start + pd.to_timedelta(np.round(time * 86400e3), unit="ms"))


def _day(plan: Plan, time: float) -> str:
    return "" if np.isnan(time) else (plan.start + timedelta(days=int(time))).isoformat()
