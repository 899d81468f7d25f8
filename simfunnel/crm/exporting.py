"""A simulated CRM export: what a flat deals file would hold of a simulated history.

The sample data that simfunnel ships is made so, and tests of truth recovery begin here: the scenario is the truth.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from simfunnel.engines.records import Records
from simfunnel.kpis import view_of
from simfunnel.plan import NOWHERE, Plan

WON, LOST = "Closed Won", "Closed Lost"


def as_export(records: Records, plan: Plan) -> pd.DataFrame:
    """The deals of one replication at its horizon, as a CRM would export them.

    One row a prospect: deal_id, owner, stage (its open stage, or Closed Won / Closed Lost), source, its attributes,
    created and closed (dates; closed is empty while open), amount (of won deals alone, as many teams fill it in late).
    Customers stay won, whatever they did later.
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
    return pd.DataFrame(table)


def _day(plan: Plan, time: float) -> str:
    return "" if np.isnan(time) else (plan.start + timedelta(days=int(time))).isoformat()
