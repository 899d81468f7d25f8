"""Records added up as they come: all that a metric needs to know of a replication, in small cubes.

A cube counts by group of prospects, by elementary interval of time (`periods.Cut`) and mostly by kind of row: a kind of
move is a way from one place to another with its cause. So every metric, in every unit of period, is a sum over parts of
cubes (`kpis`). Records come in loads of any size, always in the order of their rows, and each cell is added to by rows
of one table alone: how they are cut into loads changes no result, not even its last bit.

Row 0 of a cube is for everyone, the others for the groups. Column 0 is the time before the first edge and the last
column that after the last edge; nothing that runs on for some time is spread over these two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simfunnel.engines.records import BOOKED, CAUSES, MONEY, OPENED, SERVED, STILL_WAITING, Records
from simfunnel.numerics import Flags, Floats, Ints, Maps, compiled, forward, inner
from simfunnel.plan import NOWHERE, Plan

OUTCOMES = STILL_WAITING + 1
Smalls = NDArray[np.int32]


class People(NamedTuple):
    """What later rows ask of a prospect, by its row; there is room for more than have come."""

    group: Smalls  # its row of the cubes, 0 where it is in no group; empty where there are no groups
    generation: Smalls
    value: Floats
    place: NDArray[np.int16]  # NOWHERE before its first move
    since: Floats  # when it came there
    counts: Flags  # whether that coming counts among those whose fate the funnel tells


class TaskRows(NamedTuple):
    """The columns of `records.Tasks` that are read, and the kind of each row."""

    prospect: Ints
    source: Ints
    stage: Ints
    team: Ints
    member: Ints
    outcome: Ints
    asked: Floats
    begun: Floats
    ended: Floats
    left: Floats
    kind: Ints


class Cubes(NamedTuple):
    """What is added up; (groups, intervals, kinds), (groups, intervals) or as said."""

    moves: Floats
    values: Floats  # of the prospects who moved
    money: Floats
    earned: Floats  # bookings, each spread over its stage's term
    stays: Floats  # the cost of days in stages
    brought: Floats  # prospects who were brought by others
    tasks: Floats  # by when they were begun or given up
    waits: Floats  # clock hours before tasks were begun
    hours: Floats  # of work
    busy: Floats  # (members, intervals): hours of work
    # Of those who came into a stage, or asked for a task, from the first edge on:
    came: Floats  # (stages)
    fates: Floats  # (stages, places, causes): moves that ended the stay
    days: Floats  # (stages): of the stays that ended
    asked: Floats  # (teams, stages + 1, outcomes); the first stage is none: visits that find prospects
    waited: Floats  # (teams, stages + 1): days before the tasks that were begun
    delayed: Floats  # (teams, stages + 1): how many of these waited at all
    queued: Floats  # (teams): days of waiting within the edges


# --- the compiled loops -----------------------------------------------------------------------------------------------


@inner
def find(edges: Floats, t: float, near: int) -> int:
    """The column of a time, sought from column `near` on; the very end belongs to the last interval."""
    k, last = near, len(edges) - 1
    while k <= last and t >= edges[k]:
        k += 1
    while k > 0 and t < edges[k - 1]:
        k -= 1
    return last if k > last and t == edges[last] else k


@inner
def spread(cube: Floats, edges: Floats, since: float, until: float, by_day: float, group: int, near: int) -> None:
    """Add an amount a day from one time until another; sought from column `near` on."""
    k = max(find(edges, since, near), 1)
    while k < len(edges) and edges[k - 1] < until:
        amount = by_day * (min(until, edges[k]) - max(since, edges[k - 1]))
        cube[0, k] += amount
        if group > 0:
            cube[group, k] += amount
        k += 1


@compiled
def hours_at(maps: Maps, work_maps: Ints, edges: Floats, until: Floats, out: Floats) -> None:
    """Each member's hours of work up to each edge, or until the member is gone: (members, edges)."""
    for m in range(len(work_maps)):
        for k in range(len(edges)):
            out[m, k] = forward(maps, work_maps[m], min(edges[k], until[m]))


@compiled
def add_people(edges: Floats, cube: Floats, people: People, first: int, parent: Ints, born: Floats) -> None:
    """Prospects from row `first` on, whom `people` knows already: those whom others brought."""
    k = 0
    for row in range(len(born)):
        p, mother = first + row, parent[row]
        if mother >= 0 and people.generation[p] > people.generation[mother]:
            k = find(edges, born[row], k)
            cube[0, k] += 1.0
            if len(people.group) and people.group[p] > 0:
                cube[people.group[p], k] += 1.0


@compiled
def add_moves(
    edges: Floats, cubes: Cubes, people: People, staying: Floats, time: Floats, prospect: Ints, goal: Ints, cause: Ints,
    kind: Ints,
) -> None:  # fmt: skip
    """Moves: themselves, what the stay that each ends has cost, and the fate of who came into a stage."""
    k = 0
    for row in range(len(time)):
        t, p, to = time[row], prospect[row], goal[row]
        k = find(edges, t, k)
        group = people.group[p] if len(people.group) else 0
        cubes.moves[0, k, kind[row]] += 1.0
        cubes.values[0, k, kind[row]] += people.value[p]
        if group > 0:
            cubes.moves[group, k, kind[row]] += 1.0
            cubes.values[group, k, kind[row]] += people.value[p]
        place, since = people.place[p], people.since[p]
        if people.counts[p]:
            cubes.fates[place, to, cause[row]] += 1.0
            cubes.days[place] += t - since
        if place >= 0 and staying[place] > 0.0:
            spread(cubes.stays, edges, since, t, staying[place], group, k)
        counts = to < len(cubes.came) and t >= edges[0] and cause[row] != OPENED
        people.place[p], people.since[p], people.counts[p] = to, t, counts
        if counts:
            cubes.came[to] += 1.0


@compiled
def add_last_stays(edges: Floats, cube: Floats, people: People, staying: Floats, count: int, end: float) -> None:
    """What the stays that the run's end cuts off have cost."""
    for p in range(count):
        place = people.place[p]
        if place >= 0 and staying[place] > 0.0:
            group = people.group[p] if len(people.group) else 0
            spread(cube, edges, people.since[p], end, staying[place], group, 1)


@compiled
def add_money(
    edges: Floats, cubes: Cubes, people: People, terms: Floats, time: Floats, prospect: Ints, stage: Ints, what: Ints,
    amount: Floats, kind: Ints,
) -> None:  # fmt: skip
    """Money, and bookings once more over the terms of their stages."""
    k = 0
    for row in range(len(time)):
        k = find(edges, time[row], k)
        group = people.group[prospect[row]] if len(people.group) else 0
        cubes.money[0, k, kind[row]] += amount[row]
        if group > 0:
            cubes.money[group, k, kind[row]] += amount[row]
        if what[row] == BOOKED:
            term = terms[stage[row]]
            if term > 0.0:
                by_day = amount[row] / term
                spread(cubes.earned, edges, time[row], time[row] + term, by_day, group, k)
            else:
                cubes.earned[0, k] += amount[row]
                if group > 0:
                    cubes.earned[group, k] += amount[row]


@inner
def add_work(
    edges: Floats, cubes: Cubes, at_edges: Floats, m: int, begun: float, ended: float, group: int, k: int
) -> None:
    """A member's hours of work, from so many until so many, by interval from column k on."""
    k = max(k, 1)
    while k < len(edges) and at_edges[m, k - 1] < ended:
        done = min(ended, at_edges[m, k]) - max(begun, at_edges[m, k - 1])
        if done > 0.0:
            cubes.busy[m, k] += done
            cubes.hours[0, k] += done
            if group > 0:
                cubes.hours[group, k] += done
        k += 1


@compiled
def add_tasks(
    edges: Floats, cubes: Cubes, people: People, by_source: bool, maps: Maps, work_maps: Ints, at_edges: Floats,
    days: float, rows: TaskRows,
) -> None:  # fmt: skip
    """Tasks: how their waits ended and how long they were, and the hours of work."""
    k, first = 0, edges[0]
    for row in range(len(rows.asked)):
        p, team, slot, kind = rows.prospect[row], rows.team[row], rows.stage[row] + 1, rows.kind[row]
        outcome, asked, begun = rows.outcome[row], rows.asked[row], rows.begun[row]
        group = 0
        if len(people.group):
            if p >= 0:
                group = people.group[p]
            elif by_source:
                group = rows.source[row] + 1
        until = rows.left[row] if np.isnan(begun) else begun
        if not np.isnan(until):
            k = find(edges, until, k)
            cubes.tasks[0, k, kind] += 1.0
            if group > 0:
                cubes.tasks[group, k, kind] += 1.0
        if p >= 0:
            cubes.queued[team] += max(0.0, min(days if np.isnan(until) else until, days) - max(asked, first))
        if asked >= first:
            cubes.asked[team, slot, outcome] += 1.0
        if outcome != SERVED:
            continue
        wait = begun - asked
        cubes.waits[0, k, kind] += wait * 24
        if group > 0:
            cubes.waits[group, k, kind] += wait * 24
        if asked >= first:
            cubes.waited[team, slot] += wait
            cubes.delayed[team, slot] += 1.0 if wait > 1e-9 else 0.0
        m = rows.member[row]
        start, end = forward(maps, work_maps[m], begun), forward(maps, work_maps[m], min(rows.ended[row], days))
        add_work(edges, cubes, at_edges, m, start, end, group, k)


# --- the tally --------------------------------------------------------------------------------------------------------


@compiled
def number_kinds(number: Ints, known: int, sizes: Ints, a: Ints, b: Ints, c: Ints, out: Ints) -> int:
    """The kind of each row into `out`, from its three parts; returns how many kinds are known by now."""
    for row in range(len(a)):
        code = (a[row] * sizes[1] + b[row]) * sizes[2] + c[row]
        if number[code] < 0:
            number[code] = known
            known += 1
        out[row] = number[code]
    return known


class Kinds:
    """Kinds of rows, numbered as they first come up: of many that could be, few are."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = np.array(sizes)
        self.number = np.full(int(self.sizes.prod()), -1, dtype=np.int64)
        self.known = 0

    def of(self, a: Ints, b: Ints, c: Ints) -> Ints:
        """The kind of each row, from its parts: places on the three axes."""
        out = np.empty(len(a), dtype=np.int64)
        self.known = number_kinds(self.number, self.known, self.sizes, a, b, c, out)
        return out

    def ordered(self) -> tuple[Ints, tuple[Ints, ...]]:
        """The kinds in an order that does not depend on how rows were cut into loads, and their parts."""
        codes = np.flatnonzero(self.number >= 0)
        return self.number[codes], np.unravel_index(codes, tuple(self.sizes.tolist()))


class Moves(NamedTuple):
    """What the kinds of moves are: from where (NOWHERE: from outside), to where, and why."""

    origin: Ints
    goal: Ints
    cause: Ints


class Money(NamedTuple):
    """What the kinds of amounts are: of `records.MONEY`, at which stage (NOWHERE: none)."""

    kind: Ints
    stage: Ints


class Tasks(NamedTuple):
    """What the kinds of tasks are: how the wait ended, in which stage (NOWHERE: a visit that finds), for which team."""

    outcome: Ints
    stage: Ints
    team: Ints


@dataclass(frozen=True)
class Totals:
    """One replication, added up."""

    plan: Plan
    cubes: Cubes
    offered: Floats  # (members, intervals): hours of work on offer
    moves: Moves
    money: Money
    tasks: Tasks
    events: int


class Tally:
    """Adds up one replication's records, in a plan's elementary intervals."""

    def __init__(self, plan: Plan, edges: Floats, *, grouped: bool = False, by_source: bool = False) -> None:
        """Begin; `grouped` where each load comes with groups, `by_source` where these are the sources."""
        places, stages, teams, members = (
            len(plan.place_names), plan.n_stages, len(plan.team_names), len(plan.member_names),
        )  # fmt: skip
        self.plan, self.edges, self.grouped, self.by_source = plan, edges, grouped, by_source
        self.count = self.events = 0
        self.groups = len(plan.source_names) if by_source else 0  # the others show with the prospects who are in them
        self._moves = Kinds(places + 1, places, len(CAUSES))
        self._money = Kinds(1, len(MONEY), stages + 1)
        self._tasks = Kinds(OUTCOMES, stages + 1, max(teams, 1))
        self._staying = np.concatenate([plan.stages.cost_per_day, np.zeros(places - stages)])
        self._at_edges = self._hours(np.full(members, np.inf))
        kinds: tuple[Any, ...] = (np.int32, np.int32, np.float64, np.int16, np.float64, np.bool_)
        self.people = self._room(People._make(np.empty(0, dtype=kind) for kind in kinds), 1)
        flat, deep, by_stage = (1, len(edges) + 1), (1, len(edges) + 1, 0), (teams, stages + 1)
        self._cubes_for: tuple[int, ...] = ()  # so many groups and kinds there is room
        self.cubes = Cubes(
            moves=np.zeros(deep),
            values=np.zeros(deep),
            money=np.zeros(deep),
            earned=np.zeros(flat),
            stays=np.zeros(flat),
            brought=np.zeros(flat),
            tasks=np.zeros(deep),
            waits=np.zeros(deep),
            hours=np.zeros(flat),
            busy=np.zeros((members, len(edges) + 1)),
            came=np.zeros(stages),
            fates=np.zeros((stages, places, len(CAUSES))),
            days=np.zeros(stages),
            asked=np.zeros((*by_stage, OUTCOMES)),
            waited=np.zeros(by_stage),
            delayed=np.zeros(by_stage),
            queued=np.zeros(teams),
        )

    def _hours(self, until: Floats) -> Floats:
        out = np.empty((len(until), len(self.edges)))
        hours_at(self.plan.maps, self.plan.members.work_map, self.edges, until, out)
        return out

    def add(self, load: Records, group: Ints | None = None) -> None:
        """Add the next rows; `group` is the group of each new prospect, NOWHERE for one in none."""
        edges, plan = self.edges, self.plan
        new, moves, money, tasks = load.prospects, load.moves, load.money, load.tasks
        first = self._know(load, group)
        move = self._moves.of(moves.origin + 1, moves.goal, moves.cause)
        amount = self._money.of(np.zeros_like(money.kind), money.kind, money.stage + 1)
        task = self._tasks.of(tasks.outcome, tasks.stage + 1, tasks.team)
        self._make_room()
        cubes, people = self.cubes, self.people
        add_people(edges, cubes.brought, people, first, new.parent, new.born)
        columns = (moves.time, moves.prospect, moves.goal, moves.cause)
        add_moves(edges, cubes, people, self._staying, *columns, move)
        paid = (money.time, money.prospect, money.stage, money.kind, money.amount)
        add_money(edges, cubes, people, plan.stages.term, *paid, amount)
        rows = TaskRows._make([*(getattr(tasks, name) for name in TaskRows._fields[:-1]), task])
        maps = (plan.maps, plan.members.work_map, self._at_edges)
        add_tasks(edges, cubes, people, self.by_source, *maps, plan.days, rows)

    def _know(self, load: Records, group: Ints | None) -> int:
        """Note who is new; returns the row of the first."""
        new = load.prospects
        first, last = self.count, self.count + len(new.key)
        if last > len(self.people.value):
            self.people = self._room(self.people, last + last // 4)
        people = self.people
        if group is not None:
            people.group[first:last] = group + 1
            self.groups = max(self.groups, int(group.max(initial=NOWHERE)) + 1)
        people.generation[first:last] = new.generation
        people.value[first:last] = new.value
        people.place[first:last] = NOWHERE
        people.counts[first:last] = False
        self.count, self.events = last, load.events
        return first

    def _room(self, people: People, room: int) -> People:
        """The same with room for so many; the column of groups stays empty where there are none."""
        longer = People(*(_longer(column, room) for column in people))
        return longer if self.grouped else longer._replace(group=people.group)

    def _make_room(self) -> None:
        """Cubes for all groups and kinds that have come up."""
        known = (self.groups, self._moves.known, self._money.known, self._tasks.known)
        if known == self._cubes_for:
            return
        self._cubes_for = known
        kinds = dict.fromkeys(("moves", "values"), self._moves.known) | {"money": self._money.known}
        kinds |= dict.fromkeys(("tasks", "waits"), self._tasks.known)
        grown = {}
        for name in ("moves", "values", "money", "earned", "stays", "brought", "tasks", "waits", "hours"):
            cube = getattr(self.cubes, name)
            shape = (1 + self.groups, cube.shape[1], *((kinds[name],) if name in kinds else ()))
            if shape != cube.shape:
                grown[name] = _grown(cube, shape)
        self.cubes = self.cubes._replace(**grown)

    def finish(self, groups: int = 0) -> Totals:
        """The sums, once all rows are there; with room for at least so many groups."""
        self.groups = max(self.groups, groups)
        self._make_room()
        if self._staying.any():
            add_last_stays(self.edges, self.cubes.stays, self.people, self._staying, self.count, self.plan.days)
        order, (place, goal, cause) = self._moves.ordered()
        moves, values = self.cubes.moves[:, :, order], self.cubes.values[:, :, order]
        order, (_, what, stage) = self._money.ordered()
        money = self.cubes.money[:, :, order]
        order, (outcome, at, team) = self._tasks.ordered()
        tasks, waits = self.cubes.tasks[:, :, order], self.cubes.waits[:, :, order]
        cubes = self.cubes._replace(moves=moves, values=values, money=money, tasks=tasks, waits=waits)
        offered = np.zeros_like(cubes.busy)
        offered[:, 1:-1] = np.diff(self._hours(self.plan.members.leaves), axis=1)
        return Totals(
            self.plan,
            cubes,
            offered,
            Moves(place - 1, goal, cause),
            Money(what, stage - 1),
            Tasks(outcome, at - 1, team),
            self.events,
        )


def _longer(column: Any, room: int) -> Any:
    longer = np.empty(room, dtype=column.dtype)
    longer[: len(column)] = column
    return longer


def _grown(cube: Floats, shape: tuple[int, ...]) -> Floats:
    grown = np.zeros(shape)
    grown[tuple(slice(0, size) for size in cube.shape)] = cube
    return grown
