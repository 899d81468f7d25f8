"""How busy a team is and how long cases wait for it, told by its tasks, and whether its hours explain that."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from simfunnel.calendars import Calendar
from simfunnel.fitting.capacity import Member, Spans, Tasks, Team, open_spans
from simfunnel.fitting.figures import Estimate, Floats
from simfunnel.fitting.hours import weekly
from simfunnel.fitting.visits import Ints

MOST_LOADED = 0.95  # of a team's hours; beyond, queues would grow without end
_LEAST_PART = 0.5  # of the time at work, below which waits are not explained by less of it
_MOST_PLAYED = 5000  # tasks, the latest, that are played again
_HALVINGS = 7
_NO_WAIT = 1 / 60  # hours; a shorter wait is the clock's roundness, and nothing to explain
_ROUNDING = 1e-6  # hours


@dataclass(frozen=True)
class Load:
    """What the tasks take: hours of each, which of them belong to a stage's work, and each stage's team (or -1)."""

    hours: Floats
    modelled: NDArray[np.bool_]
    team_of: Ints
    stage_team: Ints


@dataclass(frozen=True)
class TeamWork:
    """A team: its people, its hours, and how much of them the work takes.

    `selling_time` is the share of open hours that its members are at work and not on tasks that no stage holds, nor
    (where waits are longer than the log's work explains) on work that the log doesn't show; `utilisation` the share of
    that time in which they work on the stages' tasks; `wait` the mean wait (open hours) for a member that other work
    explains, and `played` the same where the log is played again with these members and hours.
    """

    name: str
    calendar: Calendar
    members: tuple[Member, ...]
    owned: bool
    selling_time: Estimate
    utilisation: Estimate
    wait: Estimate
    played: float


def team_work(
    team: Team, k: int, tasks: Tasks, load: Load, ready: Floats, end: float, holidays: frozenset[date] = frozenset()
) -> TeamWork:
    """How much of a team's time its work takes, and how long cases waited for it.

    `k` is its number in `load`; `ready` is when each task's case was ready for it, NaN where that is not known; the
    history ends at `end`. Days on which the whole team was away lower its time, but for `holidays`, which are in the
    scenario's calendar.
    """
    work, by = load.modelled & (load.team_of == k), done_by(tasks, team)
    first = math.floor(tasks.start[work | by].min())
    days = np.arange(first, math.floor(end))
    there = np.zeros(len(days))
    for member in team.people.values():
        there += [hours_within(member.open, d, d + 1.0) for d in days]
    elsewhere = _by_day(tasks, load.hours, by & ~work, days)
    share = 1 - min(float(elsewhere.sum() / there.sum()), 0.9)
    here = float(np.mean([m.here for m in team.active])) * _open_share(team, tasks.origin, days, holidays)
    used = there > 0
    free = there[used] * share
    done = _by_day(tasks, load.hours, work, days)[used]
    busy = weekly(done / free, free, days[used].astype(float), "hours of its tasks over hours at work")
    shut = Calendar(team.calendar.days, team.calendar.hours, team.closed)
    hours = run_of(open_spans(shut, tasks.origin, first, math.ceil(end) + 1))
    asked, known = np.where(np.isnan(ready), tasks.start, ready)[work], ~np.isnan(ready)[work]
    waits = _between(hours, asked, tasks.start[work])[known]
    how = "from when a case was ready, the least that leaves nobody free, to its start, in open hours"
    wait = weekly(waits, np.ones(len(waits)), tasks.start[work][known], how)

    def played(part: float) -> float:
        begun = played_again(asked, load.hours[work] / (share * part), [m.open for m in team.people.values()])
        again = known & np.isfinite(begun)
        return float(_between(hours, asked, begun)[again].mean()) if again.any() else 0.0

    part, foreseen = (1.0, wait.value) if team.owned else explaining(played, wait, busy.value)
    told = "days at work over open days, less the hours of tasks that no stage holds"
    told = told if part == 1 else f"{told}; and as much less as explains the waits"
    return TeamWork(
        name=team.name,
        calendar=team.calendar,
        members=tuple(team.active),
        owned=team.owned,
        selling_time=_selling_time(
            here * share * part, there - elsewhere, _usual_hours(team, tasks.origin, days), days, told
        ),
        utilisation=replace(busy, value=busy.value / part, low=busy.low / part, high=busy.high / part),
        wait=wait,
        played=foreseen,
    )


def _usual_hours(team: Team, origin: date, days: Ints) -> Floats:
    """The hours on each day that a team would have worked if nobody had been away, and no day closed."""
    hours = np.zeros(len(days))
    for member in team.people.values():
        first, last = (math.floor(spans.take(k)) for spans, k in zip(member.open, (0, -1), strict=True))
        spans = open_spans(member.calendar, origin, first, last + 1)
        hours += [hours_within(spans, d, d + 1.0) for d in days]
    return hours


def _selling_time(value: float, worked: Floats, usual: Floats, days: Ints, how: str) -> Estimate:
    """The share of selling time, with an interval from how the share of worked hours differs from week to week."""
    open_ = usual > 0
    weeks = weekly(worked[open_] / usual[open_], usual[open_], days[open_].astype(float), how)
    low, high = (value * end / weeks.value if weeks.value > 0 else value for end in (weeks.low, weeks.high))
    return Estimate(value, low, min(high, 1.0), how, int(open_.sum()))


def _open_share(team: Team, origin: date, days: Ints, holidays: frozenset[date]) -> float:
    """The share of a team's days, but for holidays, on which anybody came."""
    usual = [day for d in days.tolist() if team.calendar.is_open(day := origin + timedelta(days=d))]
    usual = [day for day in usual if day not in holidays]
    return 1 - sum(day in team.closed for day in usual) / len(usual) if usual else 1.0


def explaining(played: Callable[[float], float], wait: Estimate, busy: float) -> tuple[float, float]:
    """The part of the time at work that explains the waits seen, and the waits with it.

    All of it, unless the waits played again then fall short of what is seen; never so little that the team is loaded
    beyond its limit.
    """
    found = played(1.0)
    low = max(_LEAST_PART, busy / MOST_LOADED)
    if found >= wait.low or low >= 1 or wait.value < _NO_WAIT:
        return 1.0, found
    high = 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = played(middle)
        low, high = (middle, high) if found > wait.value else (low, middle)
    return high, played(high)


def played_again(asked: Floats, hours: Floats, shifts: list[Spans]) -> Floats:
    """When tasks begin (days) that are asked for at some moments, served in turn by whoever can begin first.

    Each takes `hours` of the shifts of the member who does it. Infinity beyond the shifts' end; the latest tasks alone
    are played where there are many, and the others are NaN.
    """
    begun = np.full(len(asked), np.nan)
    order = np.argsort(asked, kind="stable")[-_MOST_PLAYED:]
    starts = [spans[0].tolist() for spans in shifts]
    ends = [spans[1].tolist() for spans in shifts]
    free = [float(asked[order[0]]) if len(order) else 0.0] * len(shifts)
    for task in order.tolist():
        moment = float(asked[task])
        opens = [_opening(starts[m], ends[m], max(moment, free[m])) for m in range(len(shifts))]
        m = min(range(len(shifts)), key=lambda m: (opens[m], free[m]))
        begun[task] = opens[m]
        free[m] = _after(starts[m], ends[m], opens[m], float(hours[task]) / 24)
    return begun


def _opening(starts: list[float], ends: list[float], moment: float) -> float:
    """The first moment in a shift, from one on."""
    k = bisect_right(ends, moment)
    return max(moment, starts[k]) if k < len(starts) else math.inf


def _after(starts: list[float], ends: list[float], begun: float, days: float) -> float:
    """When so much time in shifts has passed since a moment."""
    k = bisect_right(ends, begun)
    while k < len(starts):
        begin = max(begun, starts[k])
        if ends[k] - begin >= days:
            return begin + days
        days -= ends[k] - begin
        k += 1
    return math.inf


def run_of(spans: Spans) -> tuple[Floats, Floats]:
    """Nodes of the map from moments to the hours of some spans that have passed."""
    begins, ends = spans
    passed = np.concatenate([[0.0], 24 * np.cumsum(ends - begins)])
    return np.column_stack(spans).ravel(), np.column_stack([passed[:-1], passed[1:]]).ravel()


def _between(run: tuple[Floats, Floats], begin: Floats, end: Floats) -> Floats:
    passed = np.interp(end, *run) - np.interp(begin, *run)
    found: Floats = np.where(np.abs(passed) < _ROUNDING, 0.0, passed)
    return found


def hours_within(spans: Spans, begin: float, end: float) -> float:
    """How many hours of some spans lie between two moments (days)."""
    return 24 * float(np.maximum(np.minimum(spans[1], end) - np.maximum(spans[0], begin), 0.0).sum())


def done_by(tasks: Tasks, team: Team) -> NDArray[np.bool_]:
    """Which tasks the members of a team did."""
    return np.isin(tasks.member, list(team.people))


def _by_day(tasks: Tasks, hours: Floats, which: NDArray[np.bool_], days: Ints) -> Floats:
    """Hours of some tasks by the day on which they began."""
    day = np.floor(tasks.start[which]).astype(np.int64) - days[0]
    return np.bincount(day, hours[which], len(days))[: len(days)].astype(np.float64)
