"""The compiled engine: the same meaning as `simpy_engine`, and the same records to the bit, by one loop over arrays.

This file makes room for the loop (`kernel`) and takes its records away in chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from simfunnel.engines import bounds, kernel
from simfunnel.engines.agenda import EVENT, FREE_PLACE, NEVER, RING_TAIL, SCHEDULED, Agenda
from simfunnel.engines.prospects import GENERATION, MEMBER, STAGE, TOUCHES, VALUE
from simfunnel.engines.records import MoneyRows, Moves, Prospects, Records, Tasks, joined
from simfunnel.errors import RunError
from simfunnel.jit import CACHE
from simfunnel.numerics import Floats, Ints, rows_of
from simfunnel.plan import NOWHERE, Plan
from simfunnel.randomness import purpose

ArrayT = TypeVar("ArrayT", Ints, Floats)
CHUNK = 1 << 15  # rows of records that are taken away at once
SLOTS, EVENTS, WAITING = 512, 1 << 11, 1024  # room at the beginning; for events it is always a power of 2

_LATEST: list[Prepared] = []
"""The plan that was run last: most replications have the plan of the one before."""
_SPARE: list[tuple[Ints, Floats]] = []
"""Rows for records that no run is using; to get new ones from the system takes longer than to fill them."""
_COMMON = np.array([purpose(name) for name in ("arrival", "prospect", "thinned", "effort", "yields", "found")])


def run(plan: Plan, seed: int, replication: int) -> Records:
    """Run one replication of a plan. Raises RunError where the model can't go on."""
    return joined(chunks(plan, seed, replication))


def chunks(plan: Plan, seed: int, replication: int) -> Iterator[Records]:
    """Run one replication and hand over its records as they come, some thirty thousand rows at a time.

    Memory follows the open prospects, not all that ever came. Records are good only until the next are asked for.
    Raises RunError where the model can't go on.
    """
    if any(plan.plugins):
        raise ValueError("a rule in Python needs the other engine")
    prepared = _prepared(plan)
    room = prepared.idle.pop() if prepared.idle else _room(plan)
    room.clean()
    yield from _loads(prepared, room, seed, replication)
    prepared.idle.append(room)


def _loads(prepared: Prepared, room: Room, seed: int, replication: int) -> Iterator[Records]:
    """The records of a replication from its clean state on, as views of the room's own arrays."""
    plan = prepared.plan
    most = np.array([bounds.MAX_MOVES, bounds.MAX_AT_ONCE, bounds.MAX_REFERRED, bounds.CHAINED], dtype=np.float64)
    parts = (plan.tables, plan.maps, room.world, prepared.sizes, prepared.parts)
    while True:
        why = kernel.advance(seed, replication, plan.days, most, _COMMON, *parts, room.state)
        if why == kernel.GROW:
            room.state = _with_more_room(room.state)
        elif why == kernel.FLUSH:
            yield _taken(room.state)
        elif why == kernel.DONE:
            break
        else:
            raise _fault(plan, why, int(room.state.agenda.counts[kernel.ERROR_AT]))
    yield _taken(room.state)


def _fault(plan: Plan, why: int, at: int) -> RunError:
    """Why the model can't go on."""
    if why == kernel.CIRCLE:
        return bounds.circle(plan.place_names[at])
    if why == kernel.ENDLESS_ROUNDS:
        return bounds.endless_rounds(plan.place_names[at])
    if why == kernel.CHAIN_AT_ONCE:
        return bounds.chain_at_once(plan.source_names[at])
    return bounds.chain_without_end(plan.source_names[at])


# --- compiling --------------------------------------------------------------------------------------------------------


def is_cold() -> bool:
    """Whether the engine has yet to be compiled on this machine."""
    return not any(Path(CACHE).rglob("kernel.advance*.nbi"))


# --- room -------------------------------------------------------------------------------------------------------------


@dataclass
class Room:
    """What the loop works on: made for a plan, and at the beginning of each replication as clean as it was then."""

    state: kernel.State
    world: kernel.World

    def __post_init__(self) -> None:
        """Remember how it was."""
        self._first = [array.copy() for array in self._changing()]

    def _changing(self) -> Iterator[Ints | Floats]:
        """What a replication must find clean; it may grow, but none of this moves in it."""
        state = self.state
        yield from (state.agenda.counts, state.agenda.events[:1], state.agenda.winners[:2])
        yield from (state.clock, state.streams, state.numbers, state.keys)
        yield from (state.teams, state.wakes, state.free, state.marks, state.candidate, self.world.stock)

    def clean(self) -> None:
        """Put all back to how it was."""
        for array, first in zip(self._changing(), self._first, strict=True):
            array[...] = first


@dataclass
class Prepared:
    """A plan in the form that the loop reads, and rooms that no run is using."""

    plan: Plan
    sizes: Ints
    parts: kernel.Parts
    idle: list[Room] = field(default_factory=list)


def _prepared(plan: Plan) -> Prepared:
    """The plan for the loop."""
    for latest in _LATEST:
        if latest.plan is plan:
            return latest
        _SPARE[:] = [(room.state.rows_i, room.state.rows_f) for room in latest.idle[:1]]
    counted = (plan.stages.team, plan.exits.to, plan.sources.kind, plan.teams.order, plan.drawn.fact, plan.deals.key)
    known, columns = _known_beforehand(plan), {"known_of": plan.known_of, "chances": plan.exits.chance}
    tables = {
        name: rows_of(getattr(plan, name), **known.get(name, {}))
        for name in kernel.Parts._fields
        if name not in columns
    }
    prepared = Prepared(plan, np.array([len(column) for column in counted]), kernel.Parts(**tables, **columns))
    _LATEST[:] = [prepared]
    return prepared


def _known_beforehand(plan: Plan) -> dict[str, dict[str, Ints | Floats]]:
    """What the loop would find out again and again, told beforehand: more columns of the plan's tables.

    Where there are effects on an exit (`odds_change`, `time_changes`, `may_miss`) or a stage (`effort_changes`,
    `patience_changes`); of a stage the sum of its exits' chances (`total`), whether its exits and their times are alike
    for all who are there (`alike`), whether entering it is more than to be there (`does_more`), and with which step of
    the loop being there `begins`.
    """
    slots, stages, exits, acts = plan.slots, plan.stages, plan.exits, np.diff(plan.effects["slot_start"])
    on_exits = {"odds_change": slots.odds(0), "time_changes": slots.time(0), "may_miss": slots.hazard(0)}
    on_stages = {"effort_changes": slots.effort(0), "patience_changes": slots.patience(0)}
    of_exits: dict[str, Ints | Floats] = {name: acts[first : first + slots.exits] for name, first in on_exits.items()}
    of_stages: dict[str, Ints | Floats] = {
        name: acts[first : first + slots.stages] for name, first in on_stages.items()
    }
    changes = np.sum([*of_exits.values()], axis=0) + exits.forward * np.any(plan.members.skill != 1.0)
    ways = [slice(*ends) for ends in pairwise(stages.exit_start.tolist())]
    of_stages["total"] = np.array([reduce(add, exits.chance[way].tolist(), 0.0) for way in ways])  # as the loop adds
    of_stages["alike"] = np.array([not changes[way].any() for way in ways], dtype=np.int64)
    money = [column.any(axis=1) for column in (stages.books, stages.cash, stages.cost)]
    rules = [np.diff(column) > 0 for column in (stages.route_start, stages.refers_start)]
    does_more = np.any([*money, *rules, stages.customer, stages.limit != NOWHERE], axis=0)
    of_stages["does_more"] = does_more.astype(np.int64)
    touching = np.where(stages.team == NOWHERE, kernel.TOUCHING, kernel.ASK)
    of_stages["begins"] = np.where(stages.touches > 0, touching, kernel.CHOOSE)
    return {"exits": of_exits, "stages": of_stages}


def _room(plan: Plan) -> Room:
    """A clean room, at the beginning of a run."""
    n_stages, n_teams, n_rules = plan.n_stages, len(plan.team_names), len(plan.referrals.number)
    teams = np.zeros((n_teams, kernel.PER_TEAM), dtype=np.int64)
    teams[:, kernel.HEAD] = teams[:, kernel.TAIL] = WAITING // 2
    teams[:, kernel.IDLE] = np.diff(plan.teams.member_start)
    candidate = np.full(plan.n_facts, math.nan)
    candidate[[STAGE, MEMBER]] = NOWHERE
    candidate[[VALUE, GENERATION, TOUCHES]] = 0.0
    n_members = len(plan.member_names)
    rows = _SPARE.pop() if _SPARE else (np.empty((kernel.ROWS_I, CHUNK), np.int64), np.empty((kernel.ROWS_F, CHUNK)))
    state = kernel.State(
        agenda=Agenda(
            counts=np.zeros(kernel.COUNTS, dtype=np.int64),
            events=np.empty(EVENT * EVENTS, dtype=np.int64),
            winners=np.empty(EVENTS, dtype=np.int64),
            rings=np.empty((3, EVENTS + len(plan.source_names), 2), dtype=np.int64),
        ),
        clock=np.zeros(kernel.CLOCKS),
        ints=np.empty((SLOTS, kernel.PER_SLOT + n_stages + n_teams + n_rules), dtype=np.int64),
        floats=np.empty((SLOTS, kernel.FACTS_AT + plan.n_facts)),
        brings=np.empty((WAITING, 5), dtype=np.int64),
        rounds=np.empty((WAITING, 2)),
        streams=np.zeros(len(plan.source_names)),
        numbers=np.zeros(len(plan.source_names), dtype=np.int64),
        keys=np.zeros(len(plan.source_names), dtype=np.int64),
        teams=teams,
        wakes=np.full(n_teams, math.inf),
        queues=np.empty((n_teams, WAITING), dtype=np.int64),
        fresh=np.empty((n_teams, WAITING), dtype=np.int64),
        free=np.arange(n_members),
        able=np.empty(n_members, dtype=np.int64),
        marks=plan.maps.start.copy(),
        candidate=candidate,
        weights=np.zeros(len(plan.exits.to)),
        rows_i=rows[0],
        rows_f=rows[1],
        attributes=np.empty((CHUNK, len(plan.attribute_names))),
    )
    state.agenda.counts[kernel.STEP] = kernel.OPEN
    state.agenda.counts[[kernel.FREE_SLOT, kernel.FREE_BRING, FREE_PLACE, kernel.HOLE, kernel.URGENCY]] = NOWHERE
    state.agenda.events[0], state.agenda.winners[1] = NEVER, 0
    stock = np.zeros(len(plan.place_names))
    return Room(state, kernel.World(plan.effects, plan.conditions, plan.day_facts, plan.stocks, stock))


def _with_more_room(state: kernel.State) -> kernel.State:
    """The same state with room for the next step in whatever was short of it."""
    agenda, count = state.agenda, state.agenda.counts
    room = 2 * (kernel.MARGIN + int(count[kernel.NEED]))
    while count[SCHEDULED] + room >= len(agenda.winners):
        agenda = agenda._replace(events=_longer(agenda.events, 0), winners=_longer(agenda.winners, 0))
    if count[RING_TAIL : RING_TAIL + 3].max() + room > agenda.rings.shape[1]:
        agenda = agenda._replace(rings=_longer(agenda.rings, room, axis=1))
    state = state._replace(agenda=agenda)
    if count[kernel.SLOTS] + 2 > len(state.ints):
        state = state._replace(ints=_longer(state.ints, room), floats=_longer(state.floats, room))
    if count[kernel.BRINGS] + room > len(state.brings):
        state = state._replace(brings=_longer(state.brings, room), rounds=_longer(state.rounds, room))
    heads, ends = state.teams[:, kernel.HEAD], state.teams[:, kernel.TAIL]
    if len(heads) and (heads.min() == 0 or ends.max() == state.queues.shape[1]):
        state = state._replace(queues=_centred(state))
    if len(heads) and state.teams[:, kernel.FRESH].max() == state.fresh.shape[1]:
        state = state._replace(fresh=_longer(state.fresh, 0, axis=1))
    return state


def _longer(array: ArrayT, room: int, *, axis: int = 0) -> ArrayT:
    """An array of twice the length or more, the old one at its beginning."""
    shape = list(array.shape)
    shape[axis] += room
    return cast("ArrayT", np.concatenate([array, np.zeros(shape, dtype=array.dtype)], axis=axis))


def _centred(state: kernel.State) -> Ints:
    """The queues in the middle of arrays that leave as much room before and behind them as the longest is long."""
    heads, tails = state.teams[:, kernel.HEAD], state.teams[:, kernel.TAIL]
    longest = int((tails - heads).max())
    width = max(state.queues.shape[1], 4 * longest)
    queues = np.zeros((len(heads), width), dtype=np.int64)
    for team, (head, tail) in enumerate(zip(heads.tolist(), tails.tolist(), strict=True)):
        first = (width - (tail - head)) // 2
        queues[team, first : first + tail - head] = state.queues[team, head:tail]
        state.teams[team, kernel.HEAD], state.teams[team, kernel.TAIL] = first, first + tail - head
    return queues


# --- records ----------------------------------------------------------------------------------------------------------


def _taken(state: kernel.State) -> Records:
    """The rows that have gathered, as records in the state's own room; the state begins to gather anew."""
    count = state.agenda.counts
    people, moves, tasks, money = (
        int(count[k]) for k in (kernel.ROWS_PEOPLE, kernel.MOVES, kernel.TASKS, kernel.MONEY)
    )
    count[[kernel.ROWS_PEOPLE, kernel.MOVES, kernel.TASKS, kernel.MONEY]] = 0
    ints, floats = state.rows_i, state.rows_f
    who, born = ints[kernel.PEOPLE_I : kernel.MOVES_I, :people], floats[: kernel.MOVES_F, :people]
    passage, moved = ints[kernel.MOVES_I : kernel.TASKS_I, :moves], floats[kernel.MOVES_F, :moves]
    task, times = ints[kernel.TASKS_I : kernel.MONEY_I, :tasks], floats[kernel.TASKS_F : kernel.MONEY_F, :tasks]
    amount, paid = ints[kernel.MONEY_I :, :money], floats[kernel.MONEY_F :, :money]
    return Records(
        Prospects(who[0], who[1], who[2], who[3], born[0], born[1], who[4], state.attributes[:people]),
        Moves(moved, *passage),
        Tasks(task[0], task[1], task[2], task[3], task[4], task[5], task[6], *times),
        MoneyRows(paid[0], amount[0], amount[1], amount[2], paid[1]),
        int(count[kernel.EVENTS]),
    )
