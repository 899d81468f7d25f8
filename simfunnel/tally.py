"""Records added up as they come: all that a metric needs to know of a replication, in small cubes.

A cube counts by group of prospects, by elementary interval of time (`periods.Cut`) and mostly by kind of row: a kind of
move is a way from one place to another with its cause. So every metric, in every unit of period, is a sum over parts of
cubes (`kpis`). Records come in loads of any size, always in the order of their rows, and each cell is added to by rows
of one table alone: how they are cut into loads changes no result, not even its last bit. Kinds stand in the order of
what they are, whatever came first; those that only came up in an earlier replication of the plan add nothing.

Of groups, row 0 is for everyone and the others are for the groups. Column 0 is the time before the first edge and the
last column that after the last edge; nothing that runs on for some time is spread over these two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from simfunnel.engines import records
from simfunnel.engines.records import BOOKED, CAUSES, MONEY, OPENED, SERVED, STILL_WAITING, Records
from simfunnel.jit import compiled, inner
from simfunnel.numerics import Floats, Ints, Maps, Rows, forward, forward_twice
from simfunnel.plan import NOWHERE, Plan

OUTCOMES = STILL_WAITING + 1


PERSON = np.dtype(
    [
        ("value", np.float64),
        ("since", np.float64),  # when it came to its place
        ("group", np.int32),  # its row of the cubes, 0 where it is in no group
        ("generation", np.int32),
        ("place", np.int16),  # 1 + its place, 0 before its first move
        ("cohort", np.int16),  # 1 + its stage if its coming there counts among those whose fate the funnel tells, or 0
    ],
    align=True,
)
"""What later rows ask of a prospect. It lies side by side, for prospects turn up in any order."""


class TaskRows(NamedTuple):
    """The columns of `records.Tasks` that are read."""

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


class Numbers(NamedTuple):
    """The numbers of kinds by their codes, and the sizes that a code is made with."""

    by_code: Ints
    second: int
    third: int


class Cubes(NamedTuple):
    """What is added up; (kinds, groups, intervals), (groups, intervals) or as said."""

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
    fates: Floats  # (1 + stages, places, causes): moves that ended the stay; the first row is all others' moves
    days: Floats  # (1 + stages): of the stays that ended; the first is of all others
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


@inner
def code_of(numbers: Numbers, a: int, b: int, c: int) -> int:
    """The code of a kind with these parts."""
    return ((a + 1) * numbers.second + b + 1) * numbers.third + c + 1


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
        people[p].since, people[p].place, people[p].cohort = born[row], 0, 0
        if mother >= 0 and people[p].generation > people[mother].generation:
            k = find(edges, born[row], k)
            cube[0, k] += 1.0
            if people[p].group > 0:
                cube[people[p].group, k] += 1.0


@compiled
def add_moves(
    edges: Floats, cubes: Cubes, people: Rows, staying: Floats, numbers: Numbers, time: Floats, prospect: Ints,
    origin: Ints, goal: Ints, cause: Ints, first: int,
) -> int:  # fmt: skip
    """Moves: themselves, what the stay that each ends has cost, and the fate of who came into a stage.

    From row `first` on, up to one of a kind that has no number; returns the row after the last that was added.
    """
    k, stages = 0, len(cubes.days) - 1
    for row in range(first, len(time)):
        t, p, to, why = time[row], prospect[row], goal[row], cause[row]
        kind = numbers.by_code[code_of(numbers, origin[row], to, why)]
        if kind < 0:
            return row
        k = find(edges, t, k)
        group, value = people[p].group, people[p].value
        cubes.moves[kind, 0, k] += 1.0
        cubes.values[kind, 0, k] += value
        if group > 0:
            cubes.moves[kind, group, k] += 1.0
            cubes.values[kind, group, k] += value
        place, since, cohort = people[p].place, people[p].since, people[p].cohort
        cubes.fates[cohort, to, why] += 1.0
        cubes.days[cohort] += t - since
        if staying[place] > 0.0:
            spread(cubes.stays, edges, since, t, staying[place], group, k)
        counts = (to < stages) & (t >= edges[0]) & (why != OPENED)
        people[p].place, people[p].since, people[p].cohort = to + 1, t, (to + 1) * counts
    return len(time)


@compiled
def add_last_stays(edges: Floats, cube: Floats, people: Rows, staying: Floats, count: int, end: float) -> None:
    """What the stays that the run's end cuts off have cost."""
    for p in range(count):
        place = people[p].place
        if staying[place] > 0.0:
            spread(cube, edges, people[p].since, end, staying[place], people[p].group, 1)


@compiled
def add_money(
    edges: Floats, cubes: Cubes, people: Rows, terms: Floats, numbers: Numbers, time: Floats, prospect: Ints,
    stage: Ints, what: Ints, amount: Floats, first: int,
) -> int:  # fmt: skip
    """Money, and bookings once more over the terms of their stages; the rows as in `add_moves`."""
    k = 0
    for row in range(first, len(time)):
        kind = numbers.by_code[code_of(numbers, 0, what[row], stage[row])]
        if kind < 0:
            return row
        k = find(edges, time[row], k)
        group = people[prospect[row]].group
        cubes.money[kind, 0, k] += amount[row]
        if group > 0:
            cubes.money[kind, group, k] += amount[row]
        if what[row] == BOOKED:
            term = terms[stage[row]]
            if term > 0.0:
                by_day = amount[row] / term
                spread(cubes.earned, edges, time[row], time[row] + term, by_day, group, k)
            else:
                cubes.earned[0, k] += amount[row]
                if group > 0:
                    cubes.earned[group, k] += amount[row]
    return len(time)


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
    days: float, numbers: Numbers, rows: TaskRows, first: int,
) -> int:  # fmt: skip
    """Tasks: how their waits ended and how long they were, and the hours of work; the rows as in `add_moves`."""
    k, begin = 0, edges[0]
    for row in range(first, len(rows.asked)):
        p, team, stage, outcome = rows.prospect[row], rows.team[row], rows.stage[row], rows.outcome[row]
        kind = numbers.by_code[code_of(numbers, outcome, stage, team)]
        if kind < 0:
            return row
        asked, begun = rows.asked[row], rows.begun[row]
        group = 0
        if p >= 0:
            group = people[p].group
        elif by_source:
            group = rows.source[row] + 1
        until = rows.left[row] if np.isnan(begun) else begun
        if not np.isnan(until):
            k = find(edges, until, k)
            cubes.tasks[kind, 0, k] += 1.0
            if group > 0:
                cubes.tasks[kind, group, k] += 1.0
        if p >= 0:
            cubes.queued[team] += max(0.0, min(days if np.isnan(until) else until, days) - max(asked, begin))
        if asked >= begin:
            cubes.asked[team, stage + 1, outcome] += 1.0
        if outcome != SERVED:
            continue
        wait = begun - asked
        cubes.waits[kind, 0, k] += wait * 24
        if group > 0:
            cubes.waits[kind, group, k] += wait * 24
        if asked >= begin:
            cubes.waited[team, stage + 1] += wait
            cubes.delayed[team, stage + 1] += 1.0 if wait > 1e-9 else 0.0
        m = rows.member[row]
        start, end = forward_twice(maps, work_maps[m], begun, min(rows.ended[row], days))
        add_work(edges, cubes, at_edges, m, start, end, group, k)
    return len(rows.asked)


# --- the tally --------------------------------------------------------------------------------------------------------


@compiled
def mark_new(numbers: Numbers, a: Ints, b: Ints, c: Ints) -> None:
    """Give the number 0 to each kind of these rows that has none."""
    for row in range(len(a)):
        code = code_of(numbers, a[row], b[row], c[row])
        numbers.by_code[code] = max(numbers.by_code[code], 0)


@dataclass(frozen=True, eq=False)
class Moves:
    """What the kinds of moves are: from where (NOWHERE: from outside), to where, and why."""

    origin: Ints
    goal: Ints
    cause: Ints


@dataclass(frozen=True, eq=False)
class Money:
    """What the kinds of amounts are: of `records.MONEY`, at which stage (NOWHERE: none)."""

    nothing: Ints  # kinds have three parts
    kind: Ints
    stage: Ints


@dataclass(frozen=True, eq=False)
class Tasks:
    """What the kinds of tasks are: how the wait ended, in which stage (NOWHERE: a visit that finds), for which team."""

    outcome: Ints
    stage: Ints
    team: Ints


PartsT = TypeVar("PartsT", Moves, Money, Tasks)


class Kinds(Generic[PartsT]):
    """Kinds of rows, numbered in the order of their parts: of many that could be, few are.

    A kind has three parts, places on axes of these sizes, or NOWHERE. What the kinds are stays one object until another
    comes up.
    """

    def __init__(self, parts: type[PartsT], *sizes: int) -> None:
        self._parts: type[PartsT] = parts
        self._sizes = tuple(size + 1 for size in sizes)
        self.numbers = Numbers(np.full(math.prod(self._sizes), -1, dtype=np.int64), *self._sizes[1:])
        self._number()

    def learn(self, a: Ints, b: Ints, c: Ints) -> None:
        """Number the kinds of these rows too."""
        mark_new(self.numbers, a, b, c)
        self._number()

    def _number(self) -> None:
        self.codes = np.flatnonzero(self.numbers.by_code >= 0)
        self.numbers.by_code[self.codes] = np.arange(len(self.codes))
        self.known: PartsT = self._parts(*(part - 1 for part in np.unravel_index(self.codes, self._sizes)))


class Room(NamedTuple):
    """For how many groups, and for the kinds of which codes, there is room in the cubes."""

    groups: int
    moves: Ints
    money: Ints
    tasks: Ints

    @property
    def size(self) -> tuple[int, ...]:
        """Kinds only become more, so their numbers tell them."""
        return self.groups, len(self.moves), len(self.money), len(self.tasks)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each cube stands among the numbers of a replication, which all lie in one array."""

    parts: tuple[tuple[slice, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return int(self.parts[-1][0].stop)

    def cubes(self, numbers: Floats) -> Cubes:
        """The cubes of (..., all numbers)."""
        several = numbers.shape[:-1]
        return Cubes._make(numbers[..., part].reshape(several + shape) for part, shape in self.parts)


class Sizes(NamedTuple):
    """What the axes of cubes count."""

    members: int
    teams: int
    stages: int
    places: int
    columns: int

    @classmethod
    def of(cls, plan: Plan, edges: Floats) -> Sizes:
        """The sizes of a plan's cubes."""
        return cls(len(plan.member_names), len(plan.team_names), plan.n_stages, len(plan.place_names), len(edges) + 1)


@dataclass(frozen=True, eq=False)
class Axes:
    """What the cubes of a scenario's replications have in common, also where each has a plan of its own.

    They know the kinds of rows that have come up in earlier replications, so the next one finds room for them.
    """

    sizes: Sizes

    @cached_property
    def moves(self) -> Kinds[Moves]:
        """The kinds of moves."""
        return Kinds(Moves, self.sizes.places, self.sizes.places, len(CAUSES))

    @cached_property
    def money(self) -> Kinds[Money]:
        """The kinds of amounts."""
        return Kinds(Money, 1, len(MONEY), self.sizes.stages)

    @cached_property
    def tasks(self) -> Kinds[Tasks]:
        """The kinds of tasks."""
        return Kinds(Tasks, OUTCOMES, self.sizes.stages, max(self.sizes.teams, 1))

    def room(self, groups: int) -> Room:
        """What there has to be room for, with so many groups."""
        return Room(groups, self.moves.codes, self.money.codes, self.tasks.codes)

    def layout(self, room: Room) -> Layout:
        """The numbers for which there is room."""
        if room.size not in self._layouts:
            self._layouts[room.size] = _layout(self.sizes, room)
        return self._layouts[room.size]

    @cached_property
    def _layouts(self) -> dict[tuple[int, ...], Layout]:
        return {}


@dataclass(frozen=True, eq=False)
class Frame:
    """A plan and the edges of its elementary intervals, with what they tell before anything has happened."""

    plan: Plan
    edges: Floats
    axes: Axes

    @cached_property
    def staying(self) -> Floats:
        """The cost of a day outside, and in each place."""
        costs = self.plan.stages.cost_per_day
        return np.concatenate([[0.0], costs, np.zeros(len(self.plan.place_names) - len(costs))])

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
        sizes = Sizes.of(plan, edges)
        axes = _LATEST[0].axes if _LATEST and _LATEST[0].axes.sizes == sizes else Axes(sizes)
        _LATEST[:] = [Frame(plan, edges, axes)]
    return _LATEST[0]


@dataclass(frozen=True)
class Totals:
    """One replication, added up; or several (`stacked`), with an axis for them before the others of each cube.

    `moves`, `money` and `tasks` tell what the kinds are. There is one frame, or one for each of several replications.
    """

    frames: tuple[Frame, ...]
    room: Room
    numbers: Floats
    moves: Moves
    money: Money
    tasks: Tasks
    events: int

    @property
    def plan(self) -> Plan:
        """The plan that was run, or the first one."""
        return self.frames[0].plan

    @property
    def axes(self) -> Axes:
        """What the cubes of all have in common."""
        return self.frames[0].axes

    def by_frame(self, tell: Callable[[Frame], Floats]) -> Floats:
        """What a frame tells; with an axis for the replications where each has its own."""
        return tell(self.frames[0]) if len(self.frames) == 1 else np.stack([tell(frame) for frame in self.frames])

    @cached_property
    def cubes(self) -> Cubes:
        """The sums."""
        return self.axes.layout(self.room).cubes(self.numbers)

    @property
    def came(self) -> Floats:
        """By stage: how many came into it from the first edge on."""
        into = (self.moves.goal < self.plan.n_stages) & (self.moves.cause != OPENED)
        leads_to = self.moves.goal[into, np.newaxis] == np.arange(self.plan.n_stages)
        came: Floats = self.cubes.moves[..., into, 0, 1:].sum(axis=-1) @ leads_to.astype(np.float64)
        return came


def stacked(several: Sequence[Totals]) -> Totals:
    """Replications with the same axes and as many groups as one, so that what costs the same for each is done once."""
    axes = several[0].axes
    room = axes.room(several[0].room.groups)
    numbers = np.stack([_with_room(axes, one.numbers, one.room, room) for one in several])
    frames = tuple(frame for one in several for frame in one.frames)
    alike = all(frame is frames[0] for frame in frames)
    return _totals(frames[:1] if alike else frames, room, numbers, sum(one.events for one in several))


def _totals(frames: tuple[Frame, ...], room: Room, numbers: Floats, events: int) -> Totals:
    """Totals with room for the kinds that are known by now."""
    axes = frames[0].axes
    return Totals(frames, room, numbers, axes.moves.known, axes.money.known, axes.tasks.known, events)


_NO_GROUPS = np.empty(0, dtype=np.int64)


class Tally:
    """Adds up one replication's records, in a plan's elementary intervals."""

    def __init__(self, plan: Plan, edges: Floats, *, by_source: bool = False) -> None:
        """Begin; `by_source` where the groups of prospects are their sources."""
        self.plan, self.edges, self.frame, self.by_source = plan, edges, frame_of(plan, edges), by_source
        self.count = self.events = 0
        self.groups = len(plan.source_names) if by_source else 0  # the others show with the prospects who are in them
        self.people: Rows = np.empty(0, dtype=PERSON)
        self._axes = self.frame.axes
        self._room = self._axes.room(self.groups)
        self._numbers = np.zeros(self._axes.layout(self._room).size)
        self.cubes = self._axes.layout(self._room).cubes(self._numbers)

    def add(self, load: Records, group: Ints | None = None) -> None:
        """Add the next rows; `group` is the group of each new prospect, NOWHERE for one in none."""
        self._add_people(load, _NO_GROUPS if group is None else group)
        self._add_moves(load.moves)
        self._add_money(load.money)
        self._add_tasks(load.tasks)
        self.events = load.events

    def _add_people(self, load: Records, group: Ints) -> None:
        new, first = load.prospects, self._know(load, group)
        self._make_room()
        columns = (group, new.generation, new.value, new.parent, new.born)
        add_people(self.edges, self.cubes.brought, self.people, first, *columns)

    def _add_moves(self, moves: records.Moves) -> None:
        kinds, row = self._axes.moves, 0
        columns = (moves.time, moves.prospect, moves.origin, moves.goal, moves.cause)
        fixed = (self.people, self.frame.staying, kinds.numbers, *columns)
        while (row := add_moves(self.edges, self.cubes, *fixed, row)) < len(moves.time):
            self._learn(kinds, moves.origin, moves.goal, moves.cause)

    def _add_money(self, money: records.MoneyRows) -> None:
        kinds, row = self._axes.money, 0
        columns = (money.time, money.prospect, money.stage, money.kind, money.amount)
        fixed = (self.people, self.plan.stages.term, kinds.numbers, *columns)
        while (row := add_money(self.edges, self.cubes, *fixed, row)) < len(money.time):
            self._learn(kinds, np.zeros_like(money.kind), money.kind, money.stage)

    def _add_tasks(self, tasks: records.Tasks) -> None:
        kinds, row = self._axes.tasks, 0
        rows = TaskRows._make(getattr(tasks, name) for name in TaskRows._fields)
        hours = (self.plan.maps, self.plan.members.work_map, self.frame.at_edges, self.plan.days)
        fixed = (self.people, self.by_source, *hours, kinds.numbers, rows)
        while (row := add_tasks(self.edges, self.cubes, *fixed, row)) < len(tasks.asked):
            self._learn(kinds, tasks.outcome, tasks.stage, tasks.team)

    def _learn(self, kinds: Kinds[PartsT], a: Ints, b: Ints, c: Ints) -> None:
        """Have numbers and room for the kinds of these rows."""
        kinds.learn(a, b, c)
        self._make_room()

    def _know(self, load: Records, group: Ints) -> int:
        """Make room for who is new; returns the row of the first."""
        first, last = self.count, self.count + len(load.prospects.key)
        if last > len(self.people):
            longer = np.empty(last + last // 4, dtype=PERSON)
            longer.view(np.uint8)[: first * PERSON.itemsize] = self.people.view(np.uint8)[: first * PERSON.itemsize]
            self.people = longer
        self.groups = max(self.groups, int(group.max(initial=NOWHERE)) + 1)
        self.count = last
        return first

    def _make_room(self) -> None:
        """Cubes for all groups and kinds that are known by now."""
        room = self._axes.room(self.groups)
        if room.size != self._room.size:
            self._numbers, self._room = _with_room(self._axes, self._numbers, self._room, room), room
            self.cubes = self._axes.layout(room).cubes(self._numbers)

    def finish(self, groups: int = 0) -> Totals:
        """The sums, once all rows are there; with room for at least so many groups."""
        self.groups = max(self.groups, groups)
        self._make_room()
        frame = self.frame
        if frame.staying.any():
            add_last_stays(self.edges, self.cubes.stays, self.people, frame.staying, self.count, self.plan.days)
        return _totals((frame,), self._room, self._numbers, self.events)


# --- room -------------------------------------------------------------------------------------------------------------


_BY_KIND = {"moves": "moves", "values": "moves", "money": "money", "tasks": "tasks", "waits": "tasks"}
"""The cubes that have an axis of kinds, and of which."""
_BY_GROUP = ("earned", "stays", "brought", "hours")


def _layout(sizes: Sizes, room: Room) -> Layout:
    """Where each cube stands, and its shape."""
    members, teams, stages, places, columns = sizes
    rows = 1 + room.groups
    shapes: dict[str, tuple[int, ...]] = {
        name: (len(getattr(room, kinds)), rows, columns) for name, kinds in _BY_KIND.items()
    }
    shapes |= dict.fromkeys(_BY_GROUP, (rows, columns)) | {"busy": (members, columns)}
    shapes |= {"fates": (1 + stages, places, len(CAUSES)), "days": (1 + stages,)}
    shapes |= dict.fromkeys(("waited", "delayed"), (teams, 1 + stages))
    shapes |= {"asked": (teams, 1 + stages, OUTCOMES), "queued": (teams,)}
    ends = [0, *accumulate(math.prod(shapes[name]) for name in Cubes._fields)]
    parts = [slice(*both) for both in pairwise(ends)]
    return Layout(tuple((part, shapes[name]) for part, name in zip(parts, Cubes._fields, strict=True)))


def _with_room(axes: Axes, numbers: Floats, before: Room, room: Room) -> Floats:
    """The same sums among numbers with so much room, if it is more."""
    if before.size == room.size:
        return numbers
    old = axes.layout(before).cubes(numbers)
    layout = axes.layout(room)
    grown = np.zeros(layout.size)
    for name, cube in layout.cubes(grown)._asdict().items():
        if kinds := _BY_KIND.get(name):
            places = np.searchsorted(getattr(room, kinds), getattr(before, kinds))
            cube[places, : 1 + before.groups] = getattr(old, name)
        else:
            cube[tuple(map(slice, getattr(old, name).shape))] = getattr(old, name)
    return grown
