"""What tests share: small scenarios, records as tables with names, and estimates with their standard errors."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfunnel import replicate
from simfunnel.engines import compiled
from simfunnel.engines.records import CAUSES, MONEY, SERVED, Records
from simfunnel.errors import RunError
from simfunnel.known_answers import estimates
from simfunnel.numerics import forward
from simfunnel.plan import Plan
from simfunnel.scenario import Scenario, from_tree

OUTCOMES = ("served", "gave up", "out of time", "still waiting")

# --- scenarios --------------------------------------------------------------------------------------------------------

MONDAY = "2026-01-05"
PLAIN: dict[str, Any] = {
    "name": "toy",
    "start": MONDAY,
    "horizon": "100 days",
    "calendar": "always",
    "sources": {"list": {"at": MONDAY, "size": 1}},
    "stages": {"lead": {"exits": {"lost": {}}}},
}


def toy(**parts: Any) -> Scenario:
    """A scenario of one prospect who is lost at once, always open from Monday 5 January 2026, with parts replaced."""
    return from_tree(copy.deepcopy({**PLAIN, **parts}))


def run(scenario: Scenario, replication: int = 0, *, seed: int = 1) -> tuple[Records, Plan]:
    """The records of one replication, and its plan: of the readable engine, from which no other may differ."""
    if replicate.engine_for(scenario) == "simpy":
        return replicate.records_of(scenario, replication, seed=seed)
    try:
        records, plan = replicate.records_of(scenario, replication, seed=seed, engine="simpy")
    except RunError as error:
        with pytest.raises(RunError, match=f"^{re.escape(str(error))}$"):
            replicate.records_of(scenario, replication, seed=seed, engine="compiled")
        raise
    for _ in range(2):  # at first, and where the engine works again on what it has used
        assert_same(records, replicate.simulate(plan, seed, replication, "compiled"))
    return records, plan


def little_room(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Let the compiled engine begin in rooms of these sizes, and in none that it has kept from before."""
    for name, value in {**sizes, "_LATEST": [], "_SPARE": []}.items():
        monkeypatch.setattr(compiled, name, value)


def assert_same(one: Records, other: Records) -> None:
    """Two runs left the same records, to the bit."""
    for part in ("prospects", "moves", "tasks", "money"):
        columns, others = vars(getattr(one, part)), vars(getattr(other, part))
        for name, column in columns.items():
            assert column.dtype == others[name].dtype, f"{part}.{name}"
            assert column.tobytes() == others[name].tobytes(), f"{part}.{name}: {len(column)} and {len(others[name])}"


# --- records with names -----------------------------------------------------------------------------------------------


def _names(codes: Any, names: Sequence[str]) -> list[str | None]:
    """Names for numbers; None for -1."""
    return [names[code] if code >= 0 else None for code in codes]


def moves(records: Records, plan: Plan) -> pd.DataFrame:
    """Moves: time, prospect (row), key, source, origin, goal, cause, member."""
    rows = records.moves
    return pd.DataFrame(
        {
            "time": rows.time,
            "prospect": rows.prospect,
            "key": records.prospects.key[rows.prospect],
            "source": _names(records.prospects.source[rows.prospect], plan.source_names),
            "origin": _names(rows.origin, plan.place_names),
            "goal": _names(rows.goal, plan.place_names),
            "cause": _names(rows.cause, CAUSES),
            "member": _names(rows.member, plan.member_names),
        }
    )


def tasks(records: Records, plan: Plan) -> pd.DataFrame:
    """Tasks in the order in which they were asked for: prospect, source, stage, member, touch, outcome, four times."""
    rows = records.tasks
    table = pd.DataFrame(
        {
            "prospect": rows.prospect,
            "key": records.prospects.key[rows.prospect],
            "source": _names(records.prospects.source[rows.prospect], plan.source_names),
            "stage": _names(rows.stage, plan.place_names),
            "member": _names(rows.member, plan.member_names),
            "touch": rows.touch,
            "outcome": _names(rows.outcome, OUTCOMES),
            "asked": rows.asked,
            "begun": rows.begun,
            "ended": rows.ended,
            "left": rows.left,
        }
    )
    return table.sort_values(["asked", "prospect", "touch"], kind="stable", ignore_index=True)


def money(records: Records, plan: Plan) -> list[tuple[float, str, float]]:
    """Money as (time, kind, amount), in order."""
    rows = records.money
    kinds = _names(rows.kind, MONEY)
    return [(float(t), str(kind), float(amount)) for t, kind, amount in zip(rows.time, kinds, rows.amount, strict=True)]


def hours_of_tasks(records: Records, plan: Plan) -> tuple[Any, Any]:
    """Of each task that was served: its member's hours of work at its begin and its end (or the horizon)."""
    rows = records.tasks
    served = rows.outcome == SERVED
    maps = plan.members.work_map[rows.member[served]]
    ended = np.minimum(rows.ended[served], plan.days)
    begun, ended = (
        np.array([forward(plan.maps, m, t) for m, t in zip(maps, times, strict=True)])
        for times in (rows.begun[served], ended)
    )
    return begun, ended


Life = tuple[tuple[float, str, str], ...]


def lives(records: Records, plan: Plan) -> dict[int, Life]:
    """Each prospect's moves, by its key: (time, goal, cause)."""
    found: dict[int, list[tuple[float, str, str]]] = {int(key): [] for key in records.prospects.key}
    keys = records.prospects.key[records.moves.prospect]
    places, rows = plan.place_names, records.moves
    for key, time, goal, cause in zip(keys, rows.time, rows.goal, rows.cause, strict=True):
        found[int(key)].append((float(time), places[goal], CAUSES[cause]))
    return {key: tuple(life) for key, life in found.items()}


def path(life: Life) -> tuple[str, ...]:
    """The places of a life, without their times."""
    return tuple(goal for _, goal, _ in life)


def ends(records: Records, plan: Plan) -> dict[str, int]:
    """How many prospects are in each place at the horizon."""
    last = np.full(len(records.prospects.key), -1, dtype=np.int64)
    last[records.moves.prospect] = records.moves.goal
    counts = np.bincount(last, minlength=len(plan.place_names))
    return dict(zip(plan.place_names, counts.tolist(), strict=True))


# --- estimates --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate(estimates.Estimate):
    """A mean over independent repetitions and its standard error."""

    def check(self, exact: float, what: str = "", *, precision: float | None = None, most: float = 4.0) -> None:
        """Assert that a known value is within `most` standard errors, and that these are small beside it.

        The chance that a right model fails is 6e-5 for a normal mean. `precision` is the largest standard error, as a
        share of the known value, with which the check would still find a mistake worth finding.
        """
        said = f"{what}: exact {exact:g}, estimate {self.mean:.6g} with standard error {self.se:.3g}, n = {self.n}"
        assert abs(self.mean - exact) <= most * self.se, f"{said}, z = {self.z(exact):.2f}"
        if precision is not None:
            assert self.se <= precision * abs(exact), f"{said}: too wide to find a mistake (wanted {precision:.1%})"


def mean_of(values: Any) -> Estimate:
    """The mean of independent values."""
    return Estimate(**vars(estimates.mean_of(values)))


def share_of(hits: Any, expected: float) -> Estimate:
    """The share of independent yes/no values, with the standard error that the expected share implies."""
    hits = np.asarray(hits, dtype=bool)
    return Estimate(float(hits.mean()), math.sqrt(expected * (1 - expected) / len(hits)), len(hits))
