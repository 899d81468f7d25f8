"""Sellers' work from a log of tasks: hours by stage, teams with their calendars, how busy they are, and their queues.

A stage's work is the tasks of the team that works in most of its visits. What that work and its queue take comes off
the times of the stages, for the simulation adds it itself (see `waits`). Hours are those of the calendar: whoever is
slowed by other work while a task is in hand shows as one whose tasks are longer, not as one who has less time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfunnel.calendars import Calendar
from simfunnel.crm.importing import History
from simfunnel.fitting.capacity import (
    FEW_TASKS,
    Tasks,
    Team,
    last_free,
    open_spans,
    shared_hours,
    teams_of,
)
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.hours import Hours, fit_hours
from simfunnel.fitting.queues import MOST_LOADED, Load, TeamWork, done_by, hours_within, team_work
from simfunnel.fitting.tasks import days_since, tasks_of
from simfunnel.fitting.visits import HERE, Ints, Visits, visits_of
from simfunnel.fitting.waits import ready_at, ready_from, until_known, without_work

_WORKED = 0.5  # share of a stage's visits with a task of the team from which on the stage has work
_MOST_WORKED = 0.95  # share of a stage's visits below which it is worth saying that the others had no task
_SEVERAL = 1.5  # tasks a visit from which on they are touches
_SECOND = 1 / 86400  # days; what a log's clock may be off
_NOT_THEIRS = 1.1  # of a team's hours: who did so much more than they had, did other things meanwhile
_SECOND_TEAM = 0.1  # of a stage's hours, from which on it is worth saying that another team does them
_NOTHING = 0.01  # hours of all tasks of a stage: they lie outside the calendar
_MOST_NAMED = 10  # days without anybody that are told one by one
_ALONGSIDE = 0.1  # share of work done alongside other work on the same deal that is worth saying


@dataclass(frozen=True)
class StageWork:
    """The work of one touch in a stage, by a team, and how many touches a visit takes.

    Where but a `share` of the visits had work, its hours are spread over all, for a simulation works on all.
    """

    team: str
    hours: Hours
    touches: int
    share: float


@dataclass(frozen=True)
class Effort:
    """Sellers' work; `visits` are the history's without it (see `waits.without_work`).

    Of visits under way it has those that were watched beside the work.
    """

    stages: Mapping[str, StageWork]
    teams: Mapping[str, TeamWork]
    visits: Visits

    @property
    def common(self) -> Calendar | None:
        """The calendar that all teams share, if they do."""
        every = {team.calendar for team in self.teams.values()}
        return every.pop() if len(every) == 1 else None


def fit_effort(
    history: History,
    visits: Visits,
    *,
    growth: float = 1.0,
    holidays: frozenset[date] = frozenset(),
    seed: int = 1,
) -> tuple[Effort | None, tuple[str, ...]]:
    """Sellers' work, and what to say about it; None where the history knows no tasks that tell.

    Args:
        history: the history; its `tasks` tell.
        visits: its visits.
        growth: how many times as many new deals as in the whole history are to be carried.
        holidays: public holidays, which the scenario's calendar holds.
        seed: of the draws of delays (see `waits.drawn_delays`).
    """
    told, words = _told(history, visits, growth, seed)
    if told is None:
        return None, words
    teams, tasks, load, ready = told.teams, told.tasks, told.load, told.ready
    work = {
        team.name: team_work(team, k, tasks, load, ready, visits.end, holidays)
        for k, team in enumerate(teams)
        if k in load.stage_team
    }
    stages = {
        name: _stage_work(tasks, teams, visits, load, s)
        for s, name in enumerate(visits.stages)
        if load.stage_team[s] >= 0
    }
    watched = until_known(told.bare, _free_until(visits, teams, load.stage_team))
    said = (*words, *_said(tasks, load, work, teams), *_spread(stages)) if work else words
    return Effort(stages, work, watched), said


def open_ages(history: History) -> pd.Series[float] | None:
    """How long each open deal has been decided on in its stage, less work and queue (days, by row of `deals`).

    0 where work is under way or yet to begin, or where it must be waiting in the next queue (no such visit took so
    long); None where the history's tasks tell no work. A simulation of the fitted scenario does the work of a deal of
    age 0 anew.
    """
    visits = visits_of(history)
    told, _ = _told(history, visits, 1.0, 1)
    if told is None:
        return None
    bare, queues = told.bare, told.load.stage_team >= 0
    here, length = bare.goal == HERE, bare.left - bare.entered
    longest = np.zeros(len(bare.stages))
    np.maximum.at(longest, bare.stage[~here], length[~here])
    before = np.array([queues[s] or any(queues[n] for n in _nexts(bare, s)) for s in range(len(bare.stages))])
    waits = before[bare.stage] & (length >= longest[bare.stage]) | _untouched(told, visits)
    return pd.Series(np.where(waits, 0.0, length)[here], index=bare.deal[here])


def _untouched(told: _Told, visits: Visits) -> NDArray[np.bool_]:
    """Which visits under way wait for their first task, in a stage with work.

    Where some visits never have a task, it is those that are no older than any was at its first.
    """
    tasks, which = told.tasks, told.load.modelled
    first = np.full(len(visits.deal), np.inf)
    np.minimum.at(first, tasks.visit[which], tasks.start[which])
    worked, left = np.isfinite(first), visits.goal != HERE
    found = np.zeros(len(visits.deal), dtype=bool)
    for s in np.flatnonzero(told.load.stage_team >= 0):
        here, ended = visits.stage == s, (visits.stage == s) & left
        delays = (first - visits.entered)[ended & worked]
        all_work = worked[ended].mean() >= _MOST_WORKED if ended.any() else False
        age = visits.end - visits.entered
        found |= here & ~left & ~worked & (all_work | (age <= delays.max(initial=0.0)))
    return found


@dataclass(frozen=True)
class _Told:
    """What the tasks tell: who works, what it takes, when cases were ready (NaN: unknown), visits without the work."""

    tasks: Tasks
    teams: tuple[Team, ...]
    load: Load
    ready: Floats
    bare: Visits


def _told(history: History, visits: Visits, growth: float, seed: int) -> tuple[_Told | None, tuple[str, ...]]:
    """What the tasks tell, and what to say about it; None where they are too few."""
    if history.tasks is None:
        return None, ()
    tasks, words = tasks_of(history, visits)
    if tasks is None or visits.whole_days:
        return None, (*words, "the tasks of the history are too few, or known by day alone, to tell hours of work")
    since, known = ready_from(tasks, visits, days_since(history.deals["created"], visits))
    teams = teams_of(tasks, visits.end, np.where(known, since, np.nan))
    load = _load(tasks, teams, visits)
    words = (*words, *_little_work(visits, tasks, load), *_by_others(visits, tasks, teams, load))
    if (load.stage_team < 0).all():
        return None, (*words, "the tasks of the history cover too few visits to any stage to tell hours of work")
    carried, too_much = _carried(tasks, teams, load, growth, visits.end)
    stage_team = np.where(np.isin(load.stage_team, carried), load.stage_team, -1)
    load = replace(load, modelled=_modelled(tasks, visits, load.team_of, stage_team), stage_team=stage_team)
    ready = ready_at(tasks, teams, np.where(load.modelled, load.team_of, -1), since, seed)
    taken = ready[load.modelled], tasks.end[load.modelled]
    bare = without_work(visits, tasks.deal[load.modelled], taken)
    return _Told(tasks, teams, load, np.where(known, ready, np.nan), bare), (*words, *too_much)


# --- load -------------------------------------------------------------------------------------------------------------


def _load(tasks: Tasks, teams: tuple[Team, ...], visits: Visits) -> Load:
    """Hours of each task, and whose work each stage is."""
    of_activity = np.full(len(tasks.activities), -1, dtype=np.int64)
    for k, team in enumerate(teams):
        of_activity[list(team.activities)] = k
    team_of = of_activity[tasks.activity]
    hours = np.zeros(len(tasks.deal))
    for team in teams:
        for m, member in team.people.items():
            mine = tasks.member == m
            at, run = shared_hours(member.open, tasks.of(mine))
            hours[mine] = np.interp(tasks.end[mine], at, run) - np.interp(tasks.start[mine], at, run)
    stage_team = np.full(len(visits.stages), -1, dtype=np.int64)
    left = visits.goal != HERE
    for s in range(len(visits.stages)):
        ended = left & (visits.stage == s)
        mine = (tasks.visit >= 0) & (team_of >= 0) & ended[np.maximum(tasks.visit, 0)]
        pairs = np.unique(np.column_stack([team_of[mine], tasks.visit[mine]]), axis=0)
        enough = np.bincount(pairs[:, 0], minlength=len(teams)) >= max(_WORKED * ended.sum(), FEW_TASKS)
        if enough.any():
            work = np.bincount(team_of[mine], hours[mine], len(teams))
            stage_team[s] = np.where(enough, work, -1.0).argmax() if work[enough].max() > _NOTHING else -1
    return Load(hours, _modelled(tasks, visits, team_of, stage_team), team_of, stage_team)


def _little_work(visits: Visits, tasks: Tasks, load: Load) -> Iterator[str]:
    """What to say of stages some of whose visits have tasks, but too few for their work to be told."""
    worked = np.zeros(len(visits.stage), dtype=bool)
    worked[tasks.visit[(tasks.visit >= 0) & (load.team_of >= 0)]] = True
    for s, name in enumerate(visits.stages):
        here = (visits.stage == s) & (visits.goal != HERE)
        n = int((worked & here).sum())
        if load.stage_team[s] < 0 and n >= FEW_TASKS:
            yield (
                f"{n:,} of {int(here.sum()):,} visits to '{name}' have a task of somebody whose hours are known, too "
                "few of one team to tell its work: nobody's time limits that stage"
            )


def _by_others(visits: Visits, tasks: Tasks, teams: tuple[Team, ...], load: Load) -> Iterator[str]:
    """What to say of stages in which a second team does much of the work: a stage has but one team."""
    stage = np.where(tasks.visit >= 0, visits.stage[np.maximum(tasks.visit, 0)], -1)
    for s, name in enumerate(visits.stages):
        mine = (stage == s) & (load.team_of >= 0)
        work = np.bincount(load.team_of[mine], load.hours[mine], len(teams))
        kept, total = int(load.stage_team[s]), float(work.sum())
        others = [k for k in range(len(teams)) if k != kept and work[k] >= _SECOND_TEAM * total]
        if kept >= 0 and others:
            names = ", ".join(f"'{teams[k].name}' ({work[k] / total:.0%})" for k in others)
            yield (
                f"'{name}': its hours are those of '{teams[kept].name}'; the work in it of {names} lowers their time "
                "for other stages, and how long it takes is in the times to leave, which don't change with their number"
            )


def _modelled(tasks: Tasks, visits: Visits, team_of: Ints, stage_team: Ints) -> NDArray[np.bool_]:
    """Which tasks are the work of their stage."""
    stage = visits.stage[np.maximum(tasks.visit, 0)]
    found: NDArray[np.bool_] = (tasks.visit >= 0) & (team_of >= 0) & (stage_team[stage] == team_of)
    return found


def _carried(
    tasks: Tasks, teams: tuple[Team, ...], load: Load, growth: float, end: float
) -> tuple[list[int], tuple[str, ...]]:
    """The teams whose members have hours enough for the work that they did, and what to say of the others."""
    carried, words = [], []
    for k, team in enumerate(teams):
        by = done_by(tasks, team)
        begin = float(tasks.start[by].min())
        all_there = sum(hours_within(member.open, begin, end) for member in team.people.values())
        shut = Calendar(team.calendar.days, team.calendar.hours, team.closed)
        opened = hours_within(open_spans(shut, tasks.origin, math.floor(begin), math.ceil(end)), begin, end)
        there = opened * sum(member.here for member in team.active)
        work = load.modelled & (load.team_of == k)
        other = float(load.hours[by & ~work].sum()) * there / max(all_there, 1e-9)
        needed, has = float(load.hours[work].sum()), max(there - other, 1e-9)
        if not team.active:
            words.append(f"nobody of '{team.name}' works any more, so nobody's time limits its stages")
        elif needed > _NOT_THEIRS * has:
            words.append(
                f"the tasks of '{team.name}' took {needed / has:.0%} of its members' hours, which can't have been all "
                "their work: nobody's time limits its stages"
            )
        else:
            carried.append(k)
            if needed * growth > MOST_LOADED * has:
                words.append(
                    f"as many deals as now come would take {needed * growth / has:.0%} of the hours of '{team.name}': "
                    "its queue grows as long as they do"
                )
    return carried, tuple(words)


def _stage_work(tasks: Tasks, teams: tuple[Team, ...], visits: Visits, load: Load, stage: int) -> StageWork:
    """The work of a stage: of one touch, or of several where visits have several tasks."""
    mine = load.modelled & (visits.stage[np.maximum(tasks.visit, 0)] == stage)
    visit, done, hours = tasks.visit[mine], tasks.done[mine], load.hours[mine]
    seen, place = np.unique(visit, return_inverse=True)
    each = len(visit) / len(seen)
    left = (visits.stage == stage) & (visits.goal != HERE)
    left[tasks.untold] = False
    share = float(left[seen].sum() / left.sum()) if left[seen].any() else 1.0
    name = teams[load.stage_team[stage]].name
    if each >= _SEVERAL:
        touches = round(each)
        return StageWork(name, fit_hours(hours, done, each * share / touches), touches, share)
    ended = np.bincount(place, ~done) == 0
    return StageWork(name, fit_hours(np.bincount(place, hours).astype(np.float64), ended, share), 1, share)


def _free_until(visits: Visits, teams: tuple[Team, ...], stage_team: Ints) -> Floats:
    """For each visit, the last moment at which all teams that may come next had somebody free."""
    latest = [float(last_free(team.free, np.array([visits.end]))[0]) for team in teams]
    by_stage = np.full(len(visits.stages), visits.end)
    for s in range(len(visits.stages)):
        known = [latest[stage_team[n]] for n in _nexts(visits, s) if stage_team[n] >= 0]
        by_stage[s] = min(known, default=visits.end)
    found: Floats = by_stage[visits.stage]
    return found


def _nexts(visits: Visits, stage: int) -> list[int]:
    """The stages to which a stage leads."""
    goals = visits.goals(stage)
    return [s for s, name in enumerate(visits.stages) if name in goals]


# --- words ------------------------------------------------------------------------------------------------------------


def _said(tasks: Tasks, load: Load, found: Mapping[str, TeamWork], teams: tuple[Team, ...]) -> tuple[str, ...]:
    """How the work was told, and what could not be."""
    said = [
        f"hours of work, calendars and queues are those of {int(load.modelled.sum()):,} of {len(tasks.deal):,} tasks "
        "(so --busy is not used); a member with several in hand shares the time among them; times of the stages begin "
        "after the work and leave out the wait for the next",
        "what members do beside the tasks of the log is not seen: a wait while somebody seemed free is taken to be the "
        "customer's, and does not change with the number of members",
    ]
    for team in teams:
        if team.name not in found:
            continue
        one = found[team.name]
        days = [day.isoformat() for day in sorted(team.closed)]
        more = f" and {len(days) - _MOST_NAMED} days more" if len(days) > _MOST_NAMED else ""
        shut = f"; nobody came on {', '.join(days[:_MOST_NAMED])}{more}" if days else ""
        gone = sorted(m.name for m in team.people.values() if not m.active)
        left = f"; without {', '.join(gone)}, silent for weeks" if gone else ""
        said.append(
            f"'{one.name}': {len(one.members)} members, busy {one.utilisation.value:.0%} of their time; cases waited "
            f"{one.wait.value:.2g} open hours for one of them ({one.played:.2g} where the log is played again with "
            f"these members and hours){shut}{left}"
        )
    share = _alongside(tasks, load)
    if share > _ALONGSIDE:
        said.append(
            f"{share:.0%} of the work was done while others worked on the same deal; the simulation does one thing "
            "after the other on each deal, so its deals take a little longer"
        )
    return tuple(said)


def _spread(stages: Mapping[str, StageWork]) -> tuple[str, ...]:
    """Which stages' work is spread over visits that had none."""
    few = [f"'{name}' ({work.share:.0%})" for name, work in stages.items() if work.share < _MOST_WORKED]
    said = f"of the visits to {', '.join(few)} only these shares had a task: its hours are spread over all visits"
    return (said,) if few else ()


def _alongside(tasks: Tasks, load: Load) -> float:
    """The share of the stages' work that began while another task of the same deal was under way."""
    rows = np.flatnonzero(load.modelled)
    rows = rows[np.lexsort((tasks.end[rows], tasks.start[rows], tasks.deal[rows]))]
    deal, start = tasks.deal[rows], tasks.start[rows]
    until = pd.Series(tasks.end[rows]).groupby(deal).cummax().to_numpy()
    beside = np.zeros(len(rows), dtype=bool)
    beside[1:] = (deal[1:] == deal[:-1]) & (start[1:] < until[:-1] - _SECOND)
    total = float(load.hours[rows].sum())
    return float(load.hours[rows][beside].sum()) / total if total > 0 else 0.0
