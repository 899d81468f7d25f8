"""The orders of a simulation: every amount that a replication books."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simfunnel.engines.records import BOOKED, Records
from simfunnel.plan import NOWHERE, Plan


def orders_of(records: Records, plan: Plan) -> pd.DataFrame:
    """The order table of one replication: every amount booked, in order of time.

    Columns: customer (the prospect's row), date (a time stamp: the plan's start and the time), amount, source,
    generation, member (who worked last on the prospect before the booking, '' if nobody did), and each attribute. An
    attribute named like one of these columns has `attribute ` before its name.
    """
    rows, people = records.money, records.prospects
    booked = rows.kind == BOOKED
    who, time = rows.prospect[booked], rows.time[booked]
    start = np.datetime64(plan.start, "us")
    table: dict[str, Any] = {
        "customer": who,
        "date": start + (time * 86400e6).astype("int64").astype("timedelta64[us]"),
        "amount": rows.amount[booked],
        "source": np.array(plan.source_names, dtype=object)[people.source[who]],
        "generation": people.generation[who],
        "member": np.array([*plan.member_names, ""], dtype=object)[_winners(records, booked)],
    }
    for k, (name, levels) in enumerate(zip(plan.attribute_names, plan.attribute_levels, strict=True)):
        column = people.attributes[who, k]
        key = f"attribute {name}" if name in table else name
        table[key] = np.array(levels, dtype=object)[column.astype(int)] if levels else column
    return pd.DataFrame(table).sort_values("date", kind="stable", ignore_index=True)


def _winners(records: Records, booked: np.ndarray) -> np.ndarray:
    """The member named by the move into the stage that booked, or -1."""
    moves, rows = records.moves, records.money
    member = dict(zip(zip(moves.prospect, moves.goal, moves.time, strict=True), moves.member, strict=True))
    entries = zip(rows.prospect[booked], rows.stage[booked], rows.time[booked], strict=True)
    return np.array([member.get(entry, NOWHERE) for entry in entries], dtype=np.int64)
