"""Who works when, told by a log of tasks: calendars, teams, absences, and when somebody was free.

All times are days since midnight of the history's first day (`Visits.origin`); spans of time are pairs of arrays, their
begins and their ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simfunnel.calendars import ALWAYS, DAYS, LONGEST_NIGHT, Calendar
from simfunnel.crm.absences import GONE_FOR
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.visits import Ints

MINUTE = 1 / 1440  # days; somebody who is free for less has only changed tasks
FEW_TASKS = 30  # below so many, nothing is told of a team's work
_OWN_CALENDAR = 100  # tasks of a member from which their own days and hours show
_WEEKS_TELL = 21.0  # days before which nobody can tell that a weekday from Mon to Fri is closed
_RARE_DAY = 0.1  # of the busiest weekday's tasks; a weekday with a smaller share is closed
_STRAY = 0.005  # of tasks at either end of the day that may lie outside the hours
_QUARTERS = 4  # hours are told to a quarter of an hour
_SLACK = 0.02  # of such a quarter: seconds that are lost in rounding
_NIGHT = 8.5  # hours of the clock without tasks that tell when a day of work ends, where that is not at midnight
_ALL_DAY = 23.0  # hours from the first to the last task beyond which the clock's round is open
_OTHER_HOURS = 1.0  # a member's hours are their own where they differ by so much
_SURELY_AWAY = 6.9  # tasks missed: chance alone does so once in a thousand
_AROUND = 28  # days before and after from which a day's tasks are told
_IDLE = 0.1  # of the mean of tasks missed; a day with fewer had no work
_DIVIDED = 0.2  # of a member's tasks, and of a team's, from which on the member belongs to it
_SAME_PEOPLE = 0.5  # share of the work done by the same people that makes one team of two activities

Spans = tuple[Floats, Floats]


@dataclass(frozen=True)
class Tasks:
    """Tasks of people, one entry a task in every array; `end` is the history's end for one that is not `done`.

    `visit` is the visit to whose stage it belongs (a row of `Visits`), -1 for none; `untold` has the visits with tasks
    that are left out, for their length is not known.
    """

    deal: Ints
    activity: Ints
    member: Ints
    start: Floats
    end: Floats
    done: NDArray[np.bool_]
    visit: Ints
    untold: Ints
    activities: tuple[str, ...]
    members: tuple[str, ...]
    origin: date
    until: float

    def of(self, which: NDArray[np.bool_]) -> Spans:
        """The spans of some tasks."""
        return self.start[which], self.end[which]


@dataclass(frozen=True)
class Member:
    """A member's calendar, the spans in which they were at work, and whether they still are there.

    `here` is the share of their open days on which they were at work; `since` the day of their first task, where that
    came so late that they must have been hired.
    """

    name: str
    calendar: Calendar
    open: Spans
    here: float
    active: bool
    since: date | None


@dataclass(frozen=True)
class Team:
    """People who do the same activities (numbers in `Tasks`), when nobody worked, and when somebody was free."""

    name: str
    activities: tuple[int, ...]
    people: Mapping[int, Member]
    calendar: Calendar
    closed: frozenset[date]
    free: Spans
    owned: bool

    @property
    def active(self) -> list[Member]:
        """Those who still work, by name."""
        return sorted((m for m in self.people.values() if m.active), key=lambda m: m.name)


# --- spans ------------------------------------------------------------------------------------------------------------


def _counts(spans: Spans, points: Floats) -> Ints:
    """How many of the spans hold between each point and the next."""
    begins, ends = np.sort(spans[0]), np.sort(spans[1])
    inside: Ints = np.searchsorted(begins, points, "right") - np.searchsorted(ends, points, "right")
    return inside


def _where(points: Floats, holds: NDArray[np.bool_]) -> Spans:
    """The spans between points for which something holds, neighbours made one."""
    edge = np.diff(np.concatenate([[False], holds, [False]]).astype(np.int64))
    return points[np.flatnonzero(edge == 1)], points[np.minimum(np.flatnonzero(edge == -1), len(points) - 1)]


def less(spans: Spans, taken: Spans) -> Spans:
    """What of some spans lies in none of others, if it lasts for a minute."""
    points = np.unique(np.concatenate([*spans, *taken]))
    if not len(points):
        return spans
    begin, end = _where(points, (_counts(spans, points) > 0) & (_counts(taken, points) == 0))
    lasts = end - begin > MINUTE
    return begin[lasts], end[lasts]


def union(parts: Sequence[Spans]) -> Spans:
    """What lies in any of several sets of spans."""
    begins, ends = (np.concatenate([part[k] for part in parts]) if parts else np.empty(0) for k in (0, 1))
    points = np.unique(np.concatenate([begins, ends]))
    return _where(points, _counts((begins, ends), points) > 0) if len(points) else (begins, ends)


def shared_hours(open_: Spans, tasks: Spans) -> tuple[Floats, Floats]:
    """Nodes of the hours of work that each task in hand gets until a moment.

    With k tasks in hand at once, each gets 1/k of the open time (Estrada-Torres, Camargo, Dumas, Garcia-Banuelos,
    Mahdi & Yerokhin 2021, "Discovering business process simulation models in the presence of multitasking").
    """
    points = np.unique(np.concatenate([*open_, *tasks, [0.0]]))
    at_once = _counts(tasks, points)
    pace = np.where((_counts(open_, points) > 0) & (at_once > 0), 1 / np.maximum(at_once, 1), 0.0)
    return points, np.concatenate([[0.0], np.cumsum(24 * np.diff(points) * pace[:-1])])


def last_free(free: Spans, moments: Floats) -> Floats:
    """The last moment until then at which somebody was free; minus infinity where nobody ever was."""
    begins, ends = free
    place = np.searchsorted(begins, moments - MINUTE, "right") - 1
    last = np.where(place >= 0, ends[np.maximum(place, 0)] if len(ends) else -np.inf, -np.inf)
    found: Floats = np.minimum(last, moments)
    return found


# --- calendars --------------------------------------------------------------------------------------------------------


def calendar_of(starts: Floats, ends: Floats, origin: date) -> Calendar:
    """The days and hours in which tasks are begun and ended, a few strays aside, to a quarter of an hour.

    Who works over midnight has days that end later: a shift belongs to the day on which it begins.
    """
    later = _end_of_day(np.concatenate([starts, ends]))
    starts, ends = starts - later / 24, ends - later / 24
    day_of = (origin.weekday() + np.floor(starts).astype(np.int64)) % 7
    counts = np.bincount(day_of, minlength=7)
    seen = np.flatnonzero(counts >= max(_RARE_DAY * counts.max(initial=0), 1)).tolist()
    short = np.ptp(starts) < _WEEKS_TELL
    days = tuple(sorted({*seen, *range(5)} if short else seen))
    begin = 24 * (starts % 1)[np.isin(day_of, days)]
    end_days = (origin.weekday() + np.floor(ends).astype(np.int64)) % 7
    end = np.concatenate([begin, 24 * (ends % 1)[np.isin(end_days, days)]])
    first = math.floor(float(np.quantile(begin, _STRAY, method="lower")) * _QUARTERS + _SLACK) / _QUARTERS
    last = math.ceil(float(np.quantile(end, 1 - _STRAY, method="higher")) * _QUARTERS - _SLACK) / _QUARTERS
    if last - first >= (LONGEST_NIGHT if later else _ALL_DAY) or last <= first:
        first, last, later = 0.0, 24.0, 0
    found = Calendar(days, ((min(first + later, 23.75), min(last, 24.0) + later),))
    return ALWAYS if found == ALWAYS else found


def _end_of_day(moments: Floats) -> int:
    """The full hour of the clock at which days of work end: midnight, unless work goes on over it and rests later."""
    counts = np.bincount(np.floor(24 * _QUARTERS * (moments % 1)).astype(np.int64), minlength=24 * _QUARTERS)
    few = 2 * _STRAY * len(moments)
    busy = np.concatenate([[0], np.cumsum(np.tile(counts, 2))])
    rests = np.searchsorted(busy, busy[: len(counts)] + few, "right") - 1 - np.arange(len(counts))
    begin = int(rests.argmax())
    hours = min(int(rests[begin]), len(counts)) / _QUARTERS
    first = begin / _QUARTERS
    if hours < _NIGHT or first == 0 or first + hours >= 24:
        return 0
    return round(first + hours / 2)


def calendar_words(calendar: Calendar) -> Any:
    """A calendar as a scenario writes it.

    >>> calendar_words(Calendar()), calendar_words(Calendar(days=(0, 2), hours=((7.25, 12.0), (13.0, 16.0))))
    ({'days': 'Mon-Fri', 'hours': '09:00-17:00'}, {'days': 'Mon, Wed', 'hours': '07:15-12:00, 13:00-16:00'})
    """
    if calendar == ALWAYS:
        return "always"
    runs: list[list[int]] = []
    for day in calendar.days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    days = [f"{DAYS[r[0]]}-{DAYS[r[-1]]}" if len(r) > 2 else ", ".join(DAYS[d] for d in r) for r in runs]
    return {"days": ", ".join(days), "hours": calendar.clock()}


def open_spans(calendar: Calendar, origin: date, first: int, last: int) -> Spans:
    """The open spans of a calendar from day number `first` on until before day `last`."""
    days = [d for d in range(first, last) if calendar.is_open(origin + timedelta(days=d))]
    begins = [d + a / 24 for d in days for a, _ in calendar.hours]
    ends = [d + b / 24 for d in days for _, b in calendar.hours]
    return np.array(begins, dtype=np.float64), np.array(ends, dtype=np.float64)


def day_of_work(moments: Floats, calendar: Calendar) -> Ints:
    """The day to which moments belong: what is done after midnight, to that on which the shift began.

    Days then end in the middle of the closed hours, so that who stays a little longer is not there on the next.
    """
    over = calendar.over_midnight
    until = (over + calendar.hours[0][0]) / 2 if over else 0.0
    found: Ints = np.floor(moments - until / 24).astype(np.int64)
    return found


def days_away(calendar: Calendar, tasks: Spans, due: Floats, origin: date, first: int, last: int) -> frozenset[date]:
    """Open days without a task, in runs in which so many were `due` (by day) that chance does not explain them.

    Of the last run nothing is known.
    """
    days = [d for d in range(first, last) if calendar.is_open(origin + timedelta(days=d))]
    if not days:
        return frozenset()
    seen = np.zeros(last - first + 1, dtype=np.int64)
    begin, end = (np.clip(day_of_work(x, calendar) - first, 0, last - first) for x in tasks)
    np.add.at(seen, begin, 1)  # a task that lasts over a day does not show that anybody came
    np.add.at(seen, end[end > begin], 1)
    worked = seen[np.array(days) - first] > 0
    away: list[int] = []
    run: list[int] = []
    for day, there in zip(days, worked, strict=True):
        if not there:
            run.append(day)
            continue
        missed = {d: float(due[d - first]) for d in run}
        total = sum(missed.values())
        away += [d for d in run if missed[d] >= _IDLE * total / len(run)] if total >= _SURELY_AWAY else []
        run = []
    return frozenset(origin + timedelta(days=d) for d in away)


def due_by_day(begun: Ints, asked: Ints, calendar: Calendar, origin: date, first: int, last: int) -> Floats:
    """How many tasks one expects a team to begin on each day from the first, had it come.

    Args:
        begun: the day on which each task was begun.
        asked: the day since when it waited, -1 where that is not known.
        calendar: the team's.
        origin: the date of day 0.
        first: the first day.
        last: the day after the last.

    Of those that wait, the same share as on the days on which any is begun; of those that are not seen to wait, as many
    as on the same weekday of the weeks around.
    """
    days, known = last - first, asked >= 0
    is_open = np.array([calendar.is_open(origin + timedelta(days=d)) for d in range(first, last)], dtype=bool)
    place, since = np.clip(begun - first, 0, days), np.clip(asked - first, 0, days)
    came, gone = np.bincount(since[known], minlength=days + 1), np.bincount(place[known] + 1, minlength=days + 2)
    waiting = np.cumsum(came - gone[: days + 1])[:days]
    done, others = (np.bincount(place[which], minlength=days + 1)[:days] for which in (known, ~known))
    busy = is_open & (done > 0)
    share = done[busy].sum() / max(waiting[busy].sum(), 1)
    weeks = np.array([float(k % 7 == 0 and k != 0) for k in range(-_AROUND, _AROUND + 1)])
    usual, count = (np.convolve(x, weeks)[_AROUND : _AROUND + days] for x in (others, np.ones(days)))
    found: Floats = share * waiting + usual / np.maximum(count, 1)
    return found


# --- teams ------------------------------------------------------------------------------------------------------------


def teams_of(tasks: Tasks, end: float, since: Floats) -> tuple[Team, ...]:
    """The teams: activities done mostly by the same people, and those who do them most.

    Activities with few tasks each are taken together, and so are those of teams between which somebody is divided.
    `since` is when each task's case had come (NaN where that is not known): so much may have waited.
    """
    counts = np.zeros((len(tasks.activities), len(tasks.members)))
    np.add.at(counts, (tasks.activity, tasks.member), 1.0)
    few = counts.sum(axis=1) < FEW_TASKS
    kind = np.where(few, 0, np.cumsum(~few))
    kind = np.unique(kind, return_inverse=True)[1]
    by_kind = np.zeros((kind.max() + 1, len(tasks.members)))
    np.add.at(by_kind, kind, counts)
    cluster = _with_the_divided(_clusters(by_kind), by_kind)[kind]
    by_cluster = np.array([counts[cluster == c].sum(axis=0) for c in range(cluster.max() + 1)])
    home = by_cluster.argmax(axis=0)
    found: list[Team] = []
    for c in range(cluster.max() + 1):
        people = np.flatnonzero(home == c)
        if len(people):
            alone = len(np.unique(home)) == 1
            taken = [team.name for team in found]
            activities = np.flatnonzero(cluster == c)
            first = tasks.activities[int(activities[counts[activities].sum(axis=1).argmax()])]
            name = _name([tasks.members[m] for m in people], first, taken, alone=alone)
            found.append(_team(name, tuple(activities.tolist()), people, tasks, end, since))
    return tuple(found)


def _clusters(counts: Floats) -> Ints:
    """A number for each activity, equal for those whose shares of work by member mostly agree."""
    if len(counts) == 1:
        return np.zeros(1, dtype=np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage

    shares = counts / counts.sum(axis=1, keepdims=True)
    apart = np.array(
        [1 - np.minimum(shares[i], shares[j]).sum() for i in range(len(shares)) for j in range(i + 1, len(shares))]
    )
    found = fcluster(linkage(np.maximum(apart, 0.0), "average"), 1 - _SAME_PEOPLE, "distance")
    _, order = np.unique(found, return_index=True)
    rank = {int(found[k]): place for place, k in enumerate(np.sort(order))}
    return np.array([rank[int(c)] for c in found], dtype=np.int64)


def _with_the_divided(cluster: Ints, counts: Floats) -> Ints:
    """The clusters with those made one between which a member is divided who does much of the work of either."""
    from scipy.sparse.csgraph import connected_components

    total = np.array([counts[cluster == c].sum(axis=0) for c in range(cluster.max() + 1)])
    of_member = total / total.sum(axis=0)
    of_cluster = total / total.sum(axis=1, keepdims=True)
    much = (of_member >= _DIVIDED).astype(float)
    tied = (much * (of_cluster >= _DIVIDED)) @ much.T
    found: Ints = connected_components(tied + tied.T, directed=False)[1].astype(np.int64)
    return found[cluster]


def _name(members: Sequence[str], activity: str, taken: Sequence[str], *, alone: bool) -> str:
    """What a team is called: what its members' names begin with (`Clerk-01`, `Clerk-02`), or what it does."""
    words = {re.sub(r"[\s\d_\-.#:]+$", "", name) for name in members}
    if len(words) == 1 and len(next(iter(words))) >= 3 and (len(members) > 1 or words != set(members)):
        name = words.pop()
    else:
        name = "sellers" if alone else f"{activity} team"
    while name in taken:
        name += " too"
    return name


def _team(name: str, activities: tuple[int, ...], people: Ints, tasks: Tasks, end: float, since: Floats) -> Team:
    """A team with its calendar, its members and when any of them was free."""
    mine = np.isin(tasks.member, people)
    calendar = calendar_of(tasks.start[mine], tasks.end[mine & tasks.done], tasks.origin)
    first, last = int(day_of_work(tasks.start[mine], calendar).min()), math.floor(end)
    begun = day_of_work(tasks.start[mine], calendar)
    asked = day_of_work(np.where(np.isnan(since[mine]), -1.0, np.maximum(since[mine], 0.0)), calendar)
    due = due_by_day(begun, asked, calendar, tasks.origin, first, last)
    closed = days_away(calendar, tasks.of(mine), due, tasks.origin, first, last)
    by_all = np.bincount(begun - first, minlength=last - first + 1)
    members = {int(m): _member(int(m), tasks, calendar, closed, by_all, first, last) for m in people}
    free = [less(member.open, tasks.of(tasks.member == m)) for m, member in members.items()]
    own = _owned(tasks, np.isin(tasks.activity, activities)) and len(people) > 1
    return Team(name, activities, members, calendar, closed, union(free), own)


def _member(
    m: int, tasks: Tasks, calendar: Calendar, closed: frozenset[date], by_all: Ints, first: int, last: int
) -> Member:
    """One member: their own calendar where it clearly differs, their absences, whether they left or came late.

    `by_all` has the tasks that the team began on each day: of these everybody does a share when they are there.
    """
    mine = tasks.member == m
    start, end = tasks.of(mine)
    own = calendar
    if mine.sum() >= _OWN_CALENDAR:
        seen = calendar_of(start, tasks.end[mine & tasks.done], tasks.origin)
        few = set(seen.days) < set(calendar.days)
        other = max(abs(a - b) for a, b in zip(seen.hours[0], calendar.hours[0], strict=True)) >= _OTHER_HOURS
        nights = (seen.over_midnight > 0) != (calendar.over_midnight > 0)  # a weekday means another span of time
        own = Calendar(seen.days if few or nights else calendar.days, seen.hours if other else calendar.hours)
    begun, ended = int(day_of_work(start, own).min()), min(int(day_of_work(end, own).max()), last - 1)
    span = max(ended + 1 - begun, 1)
    silent = last - 1 - ended
    left = silent > GONE_FOR and silent * int(mine.sum()) / span >= _SURELY_AWAY
    late = begun - first
    hired = late > GONE_FOR and late * int(mine.sum()) / span >= _SURELY_AWAY
    begin = begun if hired or begun > first else first
    stop = ended + 1 if left else last
    shut = Calendar(own.days, own.hours, closed)
    theirs = by_all[begin - first : stop - first] * float(mine.sum()) / max(int(by_all[begin - first :].sum()), 1)
    away = days_away(shut, (start, end), theirs, tasks.origin, begin, stop)
    there = Calendar(own.days, own.hours, closed | away)
    days = sum(shut.is_open(tasks.origin + timedelta(days=d)) for d in range(begin, stop))
    here = 1 - len(away) / days if days else 1.0
    since = tasks.origin + timedelta(days=begun) if hired else None
    return Member(tasks.members[m], own, open_spans(there, tasks.origin, begin, stop), here, not left, since)


def _owned(tasks: Tasks, which: NDArray[np.bool_]) -> bool:
    """Whether one member does all of a team's work on a deal, where that is more than once."""
    deal, member = tasks.deal[which], tasks.member[which]
    order = np.lexsort((tasks.start[which], deal))
    again = np.diff(deal[order]) == 0
    if again.sum() < FEW_TASKS:
        return False
    share = np.bincount(member) / len(member)
    same = float((np.diff(member[order]) == 0)[again].mean())
    return same >= 0.8 and same > 2 * float((share**2).sum())
