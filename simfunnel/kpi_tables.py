"""Tables of one replication: its metrics, its stages (`funnel`) and its teams (`queues`).

Words are those of the field: conversion rate is of a cohort entering a stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from simfunnel.engines.records import GAVE_UP, LIMITED, RENEGED, SERVED, Records
from simfunnel.kpis import measured, share
from simfunnel.numerics import Flags, Floats
from simfunnel.plan import Plan
from simfunnel.tally import Frame, Totals
from simfunnel.views import tallied, view_of

if TYPE_CHECKING:
    import pandas as pd

FUNNEL = (
    "entered", "forward", "lost", "reneged", "given_up", "still_there", "conversion", "mean_days", "mean_wait_hours",
)  # fmt: skip
QUEUES = ("utilisation", "tasks", "waited", "mean_wait", "queue_length", "reneged")


def measure(
    records: Records, plan: Plan, unit: str = "quarter", by: str | None = None, metrics: Iterable[str] | None = None
) -> pd.DataFrame:
    """Metrics of one replication as a long table: metric, period, group (empty without `by`), value."""
    import pandas as pd

    view = view_of(records, plan, unit, by)
    parts = [
        pd.DataFrame(
            {
                "metric": name,
                "period": np.tile(view.periods.labels, len(view.groups)),
                "group": np.repeat(view.groups, len(view.periods)),
                "value": values.ravel(),
            }
        )
        for name, values in measured(view, metrics).items()
    ]
    return pd.concat(parts, ignore_index=True)


def funnel(records: Records, plan: Plan) -> pd.DataFrame:
    """One row a stage: who entered after the warm-up, what became of them, and how long they took and waited.

    Columns: stage, entered, forward, lost, reneged, given_up, still_there (counts), conversion (forward / entered),
    mean_days (of those who have left), mean_wait_hours (for a seller).
    """
    return funnel_table(plan.place_names[: plan.n_stages], funnel_of(tallied([records], plan, ("all",)).totals))


def queues(records: Records, plan: Plan) -> pd.DataFrame:
    """One row a team, from the warm-up to the horizon.

    Columns: team, utilisation, tasks (asked for), waited (share of the served who waited at all), mean_wait (days, of
    the served), queue_length (mean over time), reneged (share of those asked for who gave up).
    """
    return queues_table(plan.team_names, queues_of(tallied([records], plan, ("all",)).totals))


def funnel_of(totals: Totals) -> Floats:
    """The figures of `funnel`: (stages, columns of `FUNNEL`), after an axis of replications where there are several."""
    cubes, stages = totals.cubes, totals.plan.n_stages
    came, fates = totals.came, cubes.fates[..., 1:, :, :]
    by_goal, by_cause = fates.sum(axis=-1), fates.sum(axis=-2)
    gone = by_goal.sum(axis=-1)
    forward = by_goal[..., :stages].sum(axis=-1, where=_later(stages))
    served, waited = cubes.asked[..., 1:, SERVED].sum(axis=-2), cubes.waited[..., 1:].sum(axis=-2)
    columns = {
        "entered": came,
        "forward": forward,
        "lost": by_goal[..., stages:].sum(axis=-1),
        "reneged": by_cause[..., RENEGED],
        "given_up": by_cause[..., LIMITED],
        "still_there": came - gone,
        "conversion": share(forward, came),
        "mean_days": share(cubes.days[..., 1:], gone),
        "mean_wait_hours": share(waited * 24, served),
    }
    return np.stack([columns[name] for name in FUNNEL], axis=-1)


@lru_cache(maxsize=4)
def _later(stages: int) -> Flags:
    """Of each stage (a row), whether each stage is a later one."""
    later: Flags = np.triu(np.ones((stages, stages), dtype=bool), 1)
    return later


def queues_of(totals: Totals) -> Floats:
    """The figures of `queues`: (teams, columns of `QUEUES`), after an axis of replications where there are several."""
    cubes, plan = totals.cubes, totals.plan
    asked = cubes.asked[..., 1:, :].sum(axis=-2)
    tasks = asked.sum(axis=-1)
    columns = {
        "utilisation": share(_by_team(cubes.busy, plan), totals.by_frame(_offered)),
        "tasks": tasks,
        "waited": share(cubes.delayed[..., 1:].sum(axis=-1), asked[..., SERVED]),
        "mean_wait": share(cubes.waited[..., 1:].sum(axis=-1), asked[..., SERVED]),
        "queue_length": cubes.queued / (plan.days - plan.warm_up),
        "reneged": share(asked[..., GAVE_UP], tasks),
    }
    return np.stack([columns[name] for name in QUEUES], axis=-1)


def _by_team(hours: Floats, plan: Plan) -> Floats:
    """Hours from the first edge to the last by team, of (..., members, columns of a cube)."""
    by_member, found = hours[..., 1:-1].sum(axis=-1), np.empty((*hours.shape[:-2], len(plan.team_names)))
    for team, (first, after) in enumerate(pairwise(plan.teams.member_start.tolist())):
        found[..., team] = by_member[..., first:after].sum(axis=-1)
    return found


@lru_cache(maxsize=4)
def _offered(frame: Frame) -> Floats:
    """Hours on offer by team."""
    return _by_team(frame.offered, frame.plan)


def funnel_table(stages: Sequence[str], figures: Floats) -> pd.DataFrame:
    """The table of `funnel` from its figures, of one replication or of several: (stages, columns) last."""
    return _table("stage", stages, FUNNEL, figures, FUNNEL[: FUNNEL.index("conversion")])


def queues_table(teams: Sequence[str], figures: Floats) -> pd.DataFrame:
    """The table of `queues` from its figures, of one replication or of several: (teams, columns) last."""
    return _table("team", teams, QUEUES, figures, ("tasks",))


def _table(
    label: str, names: Sequence[str], columns: Sequence[str], figures: Floats, counts: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    flat = figures.reshape(-1, len(columns))
    found = {c: flat[:, k].astype(np.int64) if c in counts else flat[:, k] for k, c in enumerate(columns)}
    times = len(flat) // max(len(names), 1)
    return pd.DataFrame({label: np.array([*names] * times, dtype=object), **found})


def time_in_system(records: Records, plan: Plan) -> float:
    """Mean days from coming to leaving for good, of those who came after the warm-up and have left."""
    people, moves = records.prospects, records.moves
    gone = moves.goal >= plan.n_stages
    born = people.born[moves.prospect[gone]]
    spent = (moves.time[gone] - born)[born >= plan.warm_up]
    return float(spent.mean()) if len(spent) else float("nan")
