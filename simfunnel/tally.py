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
from functools import cached_property
from typing import NamedTuple

import numpy as np

from simfunnel.engines.records import BOOKED, CAUSES, MONEY, OPENED, SERVED, STILL_WAITING, Records
from simfunnel.jit import compiled, inner
from simfunnel.numerics import Floats, Ints, Maps, Rows, forward
from simfunnel.plan import NOWHERE, Plan

OUTCOMES = STILL_WAITING + 1


PERSON = np.dtype(
    [
        ("value", np.float64),
        ("since", np.float64),  # when it came to its place
        ("group", np.int32),  # its row of the cubes, 0 where it is in no group
        ("generation", np.int32),
        ("place", np.int16),  # NOWHERE before its first move
        ("counts", np.bool_),  # whether its coming there counts among those whose fate the funnel tells
    ],
    align=True,
)
"""What later rows ask of a prospect. It lies side by side, for prospects turn up in any order."""


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
def add_people(
    edges: Floats, cube: Floats, people: Rows, first: int, group: Ints, generation: Ints, value: Floats, parent: Ints,
    born: Floats,
) -> None:  # fmt: skip
    """Prospects, from row `first` on; those whom others brought are counted. `group` is empty where there are none."""
    k = 0
    for row in range(len(born)):
        p, mother = first + row, parent[row]
        people[p].value, people[p].generation = value[row], generation[row]
        people[p].group = group[row] + 1 if len(group) else 0
        people[p].place, people[p].counts = NOWHERE, False
        if mother >= 0 and people[p].generation > people[mother].generation:
            k = find(edges, born[row], k)
            cube[0, k] += 1.0
            if people[p].group > 0:
                cube[people[p].group, k] += 1.0


@compiled
def add_moves(
    edges: Floats, cubes: Cubes, people: Rows, staying: Floats, time: Floats, prospect: Ints, goal: Ints, cause: Ints,
    kind: Ints,
) -> None:  # fmt: skip
    """Moves: themselves, what the stay that each ends has cost, and the fate of who came into a stage."""
    k = 0
    for row in range(len(time)):
        t, p, to = time[row], prospect[row], goal[row]
        k = find(edges, t, k)
        group, value = people[p].group, people[p].value
        cubes.moves[0, k, kind[row]] += 1.0
        cubes.values[0, k, kind[row]] += value
        if group > 0:
            cubes.moves[group, k, kind[row]] += 1.0
            cubes.values[group, k, kind[row]] += value
        place, since = people[p].place, people[p].since
        if people[p].counts:
            cubes.fates[place, to, cause[row]] += 1.0
            cubes.days[place] += t - since
        if place >= 0 and staying[place] > 0.0:
            spread(cubes.stays, edges, since, t, staying[place], group, k)
        counts = to < len(cubes.came) and t >= edges[0] and cause[row] != OPENED
        people[p].place, people[p].since, people[p].counts = to, t, counts
        if counts:
            cubes.came[to] += 1.0


@compiled
def add_last_stays(edges: Floats, cube: Floats, people: Rows, staying: Floats, count: int, end: float) -> None:
    """What the stays that the run's end cuts off have cost."""
    for p in range(count):
        place = people[p].place
        if place >= 0 and staying[place] > 0.0:
            spread(cube, edges, people[p].since, end, staying[place], people[p].group, 1)


@compiled
def add_money(
    edges: Floats, cubes: Cubes, people: Rows, terms: Floats, time: Floats, prospect: Ints, stage: Ints, what: Ints,
    amount: Floats, kind: Ints,
) -> None:  # fmt: skip
    """Money, and bookings once more over the terms of their stages."""
    k = 0
    for row in range(len(time)):
        k = find(edges, time[row], k)
        group = people[prospect[row]].group
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
    edges: Floats, cubes: Cubes, people: Rows, by_source: bool, maps: Maps, work_maps: Ints, at_edges: Floats,
    days: float, rows: TaskRows,
) -> None:  # fmt: skip
    """Tasks: how their waits ended and how long they were, and the hours of work."""
    k, first = 0, edges[0]
    for row in range(len(rows.asked)):
        p, team, slot, kind = rows.prospect[row], rows.team[row], rows.stage[row] + 1, rows.kind[row]
        outcome, asked, begun = rows.outcome[row], rows.asked[row], rows.begun[row]
        group = 0
        if p >= 0:
            group = people[p].group
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
        code = ((a[row] + 1) * sizes[1] + b[row] + 1) * sizes[2] + c[row] + 1
        if number[code] < 0:
            number[code] = known
            known += 1
        out[row] = number[code]
    return known


class Kinds:
    """Kinds of rows, numbered as they first come up: of many that could be, few are.

    A kind has three parts, places on axes of these sizes, or NOWHERE.
    """

    def __init__(self, *sizes: int) -> None:
        self.sizes = np.array(sizes) + 1
        self.number = np.full(int(self.sizes.prod()), -1, dtype=np.int64)
        self.known = 0

    def of(self, a: Ints, b: Ints, c: Ints) -> Ints:
        """The kind of each row, from its parts."""
        out = np.empty(len(a), dtype=np.int64)
        self.known = number_kinds(self.number, self.known, self.sizes, a, b, c, out)
        return out

    def ordered(self) -> tuple[Ints, tuple[Ints, ...]]:
        """The kinds in an order that does not depend on how rows were cut into loads, and their parts."""
        codes = np.flatnonzero(self.number >= 0)
        return self.number[codes], tuple(part - 1 for part in np.unravel_index(codes, tuple(self.sizes.tolist())))


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


@dataclass(frozen=True, eq=False)
class Frame:
    """A plan and the edges of its elementary intervals, with what they tell before anything has happened."""

    plan: Plan
    edges: Floats

    @cached_property
    def staying(self) -> Floats:
        """The cost of a day in each place."""
        costs = self.plan.stages.cost_per_day
        return np.concatenate([costs, np.zeros(len(self.plan.place_names) - len(costs))])

    @cached_property
    def at_edges(self) -> Floats:
        """Each member's hours of work up to each edge, whether hired or not: (members, edges)."""
        return self._hours(np.full(len(self.plan.member_names), np.inf))

    @cached_property
    def offered(self) -> Floats:
        """Hours of work on offer: (members, intervals)."""
        return np.pad(np.diff(self._hours(self.plan.members.leaves), axis=1), ((0, 0), (1, 1)))

    def _hours(self, until: Floats) -> Floats:
        out = np.empty((len(until), len(self.edges)))
        hours_at(self.plan.maps, self.plan.members.work_map, self.edges, until, out)
        return out


_LATEST: list[Frame] = []
"""The frame that was asked for last: most replications have that of the one before."""


def frame_of(plan: Plan, edges: Floats) -> Frame:
    """The frame of a plan and edges."""
    if not (_LATEST and _LATEST[0].plan is plan and _LATEST[0].edges is edges):
        _LATEST[:] = [Frame(plan, edges)]
    return _LATEST[0]


@dataclass(frozen=True)
class Totals:
    """One replication, added up."""

    frame: Frame
    cubes: Cubes
    moves: Moves
    money: Money
    tasks: Tasks
    events: int

    @property
    def plan(self) -> Plan:
        """The plan that was run."""
        return self.frame.plan


_NO_GROUPS = np.empty(0, dtype=np.int64)


class Tally:
    """Adds up one replication's records, in a plan's elementary intervals."""

    def __init__(self, plan: Plan, edges: Floats, *, by_source: bool = False) -> None:
        """Begin; `by_source` where the groups of prospects are their sources."""
        places, stages, teams, members = (
            len(plan.place_names), plan.n_stages, len(plan.team_names), len(plan.member_names),
        )  # fmt: skip
        self.plan, self.edges, self.frame, self.by_source = plan, edges, frame_of(plan, edges), by_source
        self.count = self.events = 0
        self.groups = len(plan.source_names) if by_source else 0  # the others show with the prospects who are in them
        self._moves = Kinds(places, places, len(CAUSES))
        self._money = Kinds(1, len(MONEY), stages)
        self._tasks = Kinds(OUTCOMES, stages, max(teams, 1))
        self.people: Rows = np.empty(0, dtype=PERSON)
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

    def add(self, load: Records, group: Ints | None = None) -> None:
        """Add the next rows; `group` is the group of each new prospect, NOWHERE for one in none."""
        edges, plan = self.edges, self.plan
        new, moves, money, tasks = load.prospects, load.moves, load.money, load.tasks
        groups = _NO_GROUPS if group is None else group
        first = self._know(load, groups)
        move = self._moves.of(moves.origin, moves.goal, moves.cause)
        amount = self._money.of(np.zeros_like(money.kind), money.kind, money.stage)
        task = self._tasks.of(tasks.outcome, tasks.stage, tasks.team)
        self._make_room()
        cubes, people = self.cubes, self.people
        add_people(edges, cubes.brought, people, first, groups, new.generation, new.value, new.parent, new.born)
        columns = (moves.time, moves.prospect, moves.goal, moves.cause)
        add_moves(edges, cubes, people, self.frame.staying, *columns, move)
        paid = (money.time, money.prospect, money.stage, money.kind, money.amount)
        add_money(edges, cubes, people, plan.stages.term, *paid, amount)
        rows = TaskRows._make([*(getattr(tasks, name) for name in TaskRows._fields[:-1]), task])
        maps = (plan.maps, plan.members.work_map, self.frame.at_edges)
        add_tasks(edges, cubes, people, self.by_source, *maps, plan.days, rows)

    def _know(self, load: Records, group: Ints) -> int:
        """Make room for who is new; returns the row of the first."""
        first, last = self.count, self.count + len(load.prospects.key)
        if last > len(self.people):
            longer = np.empty(last + last // 4, dtype=PERSON)
            longer.view(np.uint8)[: first * PERSON.itemsize] = self.people.view(np.uint8)[: first * PERSON.itemsize]
            self.people = longer
        self.groups = max(self.groups, int(group.max(initial=NOWHERE)) + 1)
        self.count, self.events = last, load.events
        return first

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
        staying = self.frame.staying
        if staying.any():
            add_last_stays(self.edges, self.cubes.stays, self.people, staying, self.count, self.plan.days)
        order, (place, goal, cause) = self._moves.ordered()
        moves, values = self.cubes.moves[:, :, order], self.cubes.values[:, :, order]
        order, (_, what, stage) = self._money.ordered()
        money = self.cubes.money[:, :, order]
        order, (outcome, at, team) = self._tasks.ordered()
        tasks, waits = self.cubes.tasks[:, :, order], self.cubes.waits[:, :, order]
        cubes = self.cubes._replace(moves=moves, values=values, money=money, tasks=tasks, waits=waits)
        return Totals(
            self.frame,
            cubes,
            Moves(place, goal, cause),
            Money(what, stage),
            Tasks(outcome, at, team),
            self.events,
        )


def _grown(cube: Floats, shape: tuple[int, ...]) -> Floats:
    grown = np.zeros(shape)
    grown[tuple(slice(0, size) for size in cube.shape)] = cube
    return grown
