"""Why a task began no sooner: the queue and closed hours, or else something that no seller's time explains.

A case is ready for its next task some time after its last one ended. Had it been ready while a member was free, the
task would have begun; so it got ready after the last such moment, and before the task began. What lies between is a
delay of its own (the customer, deciding), known to lie within limits: none where nobody was free since, exact where
somebody was free just before (Chapela-Campos & Dumas 2022, "Modeling extraneous activity delays in business process
simulation", on what busy members and closed hours hide). Its distribution follows from such limits by self-consistency
(Turnbull 1976), and each case's own delay is drawn from it, within its limits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfunnel.fitting.capacity import MINUTE, Spans, Tasks, Team, last_free, less
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.visits import HERE, Ints, Visits, only

_SECOND = 1 / 86400  # days; what a log's clock may be off
_POINTS = 300  # of the distribution of delays
_MOST = 2000  # limits that tell it
_ROUNDS, _SETTLED = 200, 1e-5


def ready_from(tasks: Tasks, visits: Visits, created: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """When what went before each task ended or happened (its own start where nothing did), and whether anything did.

    `created` has the day of creation of each deal.
    """
    named = pd.MultiIndex.from_arrays([tasks.deal, tasks.start, np.array(tasks.activities)[tasks.activity]])
    begins = pd.MultiIndex.from_arrays([visits.deal, visits.entered, np.array(visits.stages)[visits.stage]])
    events = ~begins.isin(named)  # a visit that begins with its own task is no event before it
    first = np.full(len(created), np.inf)
    np.minimum.at(first, tasks.deal, tasks.start)
    came = np.flatnonzero(created < first)
    deal = np.concatenate([tasks.deal[tasks.done], visits.deal[events], came])
    time = np.concatenate([tasks.end[tasks.done], visits.entered[events], created[came]])
    if not len(deal):
        return tasks.start, np.zeros(len(tasks.start), dtype=bool)
    order = np.lexsort((time, deal))
    deal, time = deal[order], time[order]
    width = float(max(visits.end, np.max(time, initial=0.0))) + 1.0  # of one deal's times in a common order
    place = np.searchsorted(deal * width + time, tasks.deal * width + tasks.start + _SECOND, "right") - 1
    before = np.maximum(place, 0)
    known = (place >= 0) & (deal[before] == tasks.deal)
    return np.where(known, np.minimum(time[before], tasks.start), tasks.start), known


def drawn_delays(low: Floats, high: Floats, seed: int) -> Floats:
    """A delay for each pair of limits, from the distribution that agrees with all of them.

    The self-consistent distribution on a grid of the limits; each delay is then drawn from it within its own limits.
    """
    if not len(low):
        return low
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(low))[:_MOST]
    every = np.unique(np.concatenate([low[some], high[some]]))
    grid = np.unique(np.quantile(every, np.linspace(0, 1, _POINTS), method="nearest"))
    inside = (grid >= low[some, None] - _SECOND) & (grid <= high[some, None] + _SECOND)
    inside[np.arange(len(some)), np.abs(grid - ((low + high) / 2)[some, None]).argmin(axis=1)] |= ~inside.any(axis=1)
    inside = inside.astype(np.float64)
    mass = np.full(len(grid), 1 / len(grid))
    for _ in range(_ROUNDS):
        before = mass
        mass = mass * (inside.T @ (1 / np.maximum(inside @ mass, 1e-300))) / len(some)
        if np.abs(mass - before).sum() < _SETTLED:
            break
    total = np.concatenate([[0.0], np.cumsum(mass)])
    first = np.searchsorted(grid, low - _SECOND, "left")
    last = np.searchsorted(grid, high + _SECOND, "right")
    u = total[first] + rng.random(len(low)) * (total[last] - total[first])
    drawn = grid[np.clip(np.searchsorted(total, u, "right") - 1, 0, len(grid) - 1)]
    found: Floats = np.clip(np.where(total[last] > total[first], drawn, (low + high) / 2), low, high)
    return found


def ready_at(tasks: Tasks, teams: tuple[Team, ...], team_of: Ints, since: Floats, seed: int) -> Floats:
    """When each task's case was ready for it: its start less what the queue and closed hours explain.

    Args:
        tasks: all tasks.
        teams: who works.
        team_of: the team (a number) whose members could have done each task.
        since: when what went before each task ended (see `ready_from`).
        seed: of the draws.
    """
    ready = tasks.start.copy()
    for k, team in enumerate(teams):
        free = last_free(team.free, tasks.start)
        if team.owned:
            again = _again(tasks, team_of == k)
            for m, member in team.people.items():
                mine = again & (tasks.member == m)
                own = less(member.open, tasks.of(tasks.member == m))
                free[mine] = last_free(own, tasks.start[mine])
        for a in team.activities:
            mine = (team_of == k) & (tasks.activity == a)
            low = np.maximum(free[mine] - since[mine], 0.0)
            high = tasks.start[mine] - since[mine]
            ready[mine] = since[mine] + drawn_delays(np.minimum(low, high), high, seed + a)
    return ready


def _again(tasks: Tasks, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of some tasks are not the first on their deal."""
    rows = np.flatnonzero(which)
    rows = rows[np.lexsort((tasks.start[rows], tasks.deal[rows]))]
    again = np.zeros(len(tasks.deal), dtype=bool)
    again[rows[1:]] = np.diff(tasks.deal[rows]) == 0
    return again


def without_work(visits: Visits, deal: Ints, taken: Spans) -> Visits:
    """The visits less the queue and the work, which a simulation adds itself.

    Each keeps its length less the spans `taken` of its deal (`deal` says whose each is), and ends when it was ready to.
    """
    order = np.lexsort((taken[0], deal))
    begin, end, whose = taken[0][order], taken[1][order], deal[order]
    left, length = visits.left.copy(), np.zeros(len(visits.left))
    bounds = np.searchsorted(whose, np.arange(int(max(whose.max(initial=-1), visits.deal.max(initial=-1))) + 2))
    for v in range(len(left)):
        first, last = int(bounds[visits.deal[v]]), int(bounds[visits.deal[v] + 1])
        stop, inside, until = visits.left[v], 0.0, visits.entered[v]
        for a, b in zip(begin[first:last].tolist(), end[first:last].tolist(), strict=True):
            low, high = max(a, until), min(b, stop)
            if high > low:
                inside += high - low
                until = high
                if high >= stop - _SECOND and visits.goal[v] != HERE:
                    left[v] = low
        length[v] = stop - visits.entered[v] - inside
    length = np.where(length < MINUTE / 2, 0.0, length)
    return replace(visits, entered=left - length, left=left)


def until_known(bare: Visits, known: Floats) -> Visits:
    """The visits as they were known at a moment for each (`known`), those of no length then left out.

    Who waits in a queue at the end has left a stage, and is not seen to have: so nothing of the time since somebody was
    last free tells who leaves, for those who leave otherwise are seen.
    """
    later = bare.left > known
    left = np.where(later, np.maximum(known, bare.entered), bare.left)
    goal = np.where(later, HERE, bare.goal)
    return only(replace(bare, left=left, goal=goal), (goal != HERE) | (left > bare.entered))
