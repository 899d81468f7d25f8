"""The compiled engine's loop: the meaning of `simpy_engine`, step by step, over arrays.

Every prospect is a row of `ints` and one of `floats` (a slot, used again when it has left for good). An event is a
time, an order within its instant, and a payload. One step at a time is done, each with room for what it may add; where
room is short the loop returns and the caller makes more. What SimPy would schedule is scheduled here in the same order,
so that ties are broken alike; but for two short ways. Where nothing else is due at an instant, who asks for work while
somebody is free is served at once, and who asks while nobody is begins to wait at once: by the same rule, but without
the team's event, and the one who is served without the queue and the grant. And the timer of a wait that is over is
taken off, where SimPy lets it ring in vain.

It is one long function on purpose: numba compiles a step that stands once, in one loop, in a fraction of the time that
it takes for many functions which hand these arrays to each other, and it runs faster. What few scenarios ask of a step
is a step of its own, off the way of all others: a question there costs them little, but its answer's code much.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from simfunnel.engines.agenda import (
    AGENDA_COUNTS,
    RING_HEAD,
    RING_TAIL,
    RINGED,
    SCHEDULED,
    Agenda,
    bits,
    is_last,
    leave_place,
    next_order,
    put,
    put_at_once,
    replay,
    schedule,
    set_event,
    take_off,
    take_place,
)
from simfunnel.engines.prospects import (
    AGE,
    DATE,
    GENERATION,
    MEMBER,
    SOURCE,
    STAGE,
    TOUCHES,
    VALUE,
    VISITS,
    WAITED,
)
from simfunnel.engines.records import (
    BOOKED,
    EXITED,
    GAVE_UP,
    LIMITED,
    OPENED,
    OUT_OF_TIME,
    PAID,
    RENEGED,
    REWARD,
    ROUTED,
    SERVED,
    SOURCE_COST,
    STAGE_COST,
    STARTED,
    STILL_WAITING,
    TOUCH_COST,
)
from simfunnel.grid import CONSTANT
from simfunnel.jit import compiled, inlined, inner
from simfunnel.numerics import (
    AGAIN,
    MISSES,
    MOST_MISSES,
    PASSED,
    TAKES_PLACE,
    Floats,
    Ints,
    Maps,
    Rows,
    Tables,
    backward,
    child_key,
    effect,
    holds,
    opening_near,
    pace_since,
    pace_wait,
    pick,
    quantile,
    quantile_beyond,
    rounded,
    still_there,
    time_left,
    two_uniforms,
    uniform,
    uniform_and_key,
    unit_exponential,
    work_end_near,
)
from simfunnel.plan import DEALS, DEAREST, LIST, NEWEST, NOWHERE, RATE
from simfunnel.scenario.conditions import FACT, FACTS
from simfunnel.units import MINUTE

N_FACTS = len(FACTS)
DAY_FACTS = FACT["quarter_day"]
VISIT = 1024  # draws of one visit to a stage have indices VISIT * visit + touch

# Columns of a slot's row of ints; then come visits by stage, owners by team and children by referral rule.
(
    KEY, NUMBER, PLACE, PHASE, TURN, TOUCH, EXIT, CAUSE, SERVING, OUTCOME, LATE, SERIAL, RANK, TIMER, HOPS, REFS, ENDED,
    NEXT,
) = range(18)  # fmt: skip
PER_SLOT = 18
# Columns of a slot's row of floats; then come the facts.
SINCE, OWED, ASKED_AT, DEADLINE, WITHIN, HOP_SINCE, AGED, UNTIL, CHOICE = range(9)
FACTS_AT = 9
NOT_DRAWN = -1.0  # the random number of a choice that is yet to be drawn

# What a run counts behind its agenda, and the registers that must outlive a return for more room.
(
    STEP, WHO, HOLE, URGENCY, WHAT, EVENTS, SLOTS, FREE_SLOT, BRINGS, FREE_BRING, PEOPLE, MOVES, TASKS, MONEY,
    ROWS_PEOPLE, NEED, CURSOR, B_SOURCE, B_KEY, B_PARENT, B_SAME, B_DEAL, B_THEN, B_FINDER, B_CHAIN, R_RULE, R_LAST,
    R_ROUND, R_FAST, R_THEN, REFERRED, AT_ONCE_COUNT, TEAM, FOUND, ERROR_AT, MISSED,
) = range(AGENDA_COUNTS, AGENDA_COUNTS + 36)  # fmt: skip
COUNTS = AGENDA_COUNTS + 36
NOW, DUE, B_REWARD, R_ENTERED, AT_ONCE_SINCE, HOURS, SPAN, DUE_AT, DUE_AGE = range(9)
CLOCKS = 9

# Where each table of the records begins among the columns of rows_i and rows_f, and how many columns there are.
PEOPLE_I, MOVES_I, TASKS_I, MONEY_I, ROWS_I = 0, 5, 10, 17, 20
PEOPLE_F, MOVES_F, TASKS_F, MONEY_F, ROWS_F = 0, 2, 3, 7, 9

STEP_BITS = 6  # of an event's payload: the step that follows; above them a slot, a team, a source or a row of brings
STEPS = 1 << STEP_BITS

# Steps: first those before which there must be room, then those that follow one of them within the room that it had.
(
    WAIT, COME, NEXT_OF_STREAM, NEXT_OF_LIST, NEXT_DEAL, NEXT_FOUND, BORN, CLOSE, LEAVE, REFER, HAND_OUT, ENTER, BEGIN,
    TOUCHING, ASK, READY, WORK, WORKED, GAP_OVER, LIMIT_OVER, CHOOSE, EXIT_OVER, VISIT_START, VISIT_READY, TOUCHED,
    QUIT, WAKE, BRING, STREAM, LISTED, OPEN_SOURCE, OPEN, ENTERED, EFFORT_CHANGED, WEIGH, STAY,
) = range(36)  # fmt: skip

# Why the loop returns.
DONE, FLUSH, GROW, CIRCLE, ENDLESS_ROUNDS, CHAIN_AT_ONCE, CHAIN_WITHOUT_END = range(7)

# Columns of a team's row.
HEAD, TAIL, ASKED, CALLED, FRESH, IDLE = range(6)
PER_TEAM = 6

ARRIVAL, PROSPECT_OF, THINNED, EFFORT_OF, YIELDS_OF, FOUND_BY = range(6)
"""Places in the array of purposes that have no table of their own."""

MARGIN = 16  # rows that one step may add to the records; events that it may schedule


class World(NamedTuple):
    """What effects and conditions look at besides a prospect."""

    effects: Rows
    conditions: Rows
    day_facts: Floats
    stocks: Ints
    stock: Floats


class Parts(NamedTuple):
    """The plan's tables with a record a row: what is asked of a row lies side by side, and one array is handed over."""

    drawn: Rows
    sources: Rows
    deals: Rows
    known_of: Floats  # (deals, attributes): those of open deals, NaN where they are not known
    stages: Rows
    exits: Rows
    routes: Rows
    referrals: Rows
    teams: Rows
    members: Rows
    purposes: Rows
    chances: Floats  # of the exits


class State(NamedTuple):
    """All that changes while a replication runs."""

    agenda: Agenda
    clock: Floats
    ints: Ints  # (slots, columns)
    floats: Floats
    brings: Ints  # (room, 5): prospects and rounds to come: parent, rule, child or -1, visit, next free
    rounds: Floats  # (room, 2): of rounds to come: since when, and which one
    streams: Floats  # (sources,): the cumulative rate at the last arrival
    numbers: Ints  # (sources,): how many have come of each
    keys: Ints  # (sources,): the key of the prospect who comes next
    teams: Ints
    wakes: Floats
    queues: Ints  # (teams, room): slots that wait, in the order of service
    fresh: Ints  # (teams, room): slots that have asked in this instant
    free: Ints  # members, team by team: those who are idle, longest first
    able: Ints
    marks: Ints  # by map: where in it the clock was when it was last looked at
    candidate: Floats  # facts of one of whom nothing is known
    weights: Floats
    rows_i: Ints  # (columns, room): the numbers of the records, column by column
    rows_f: Floats
    attributes: Floats


@inner
def sample(tables: Tables, d: int, seed: int, replication: int, key: int, purpose: int, index: int) -> float:
    """A draw from distribution d; none is needed for a constant."""
    if tables[3 * d] == CONSTANT:
        return float(tables[int(tables[3 * d + 1])])
    return quantile(tables, d, uniform(seed, replication, key, purpose, index))


@inner
def look(world: World, facts: Floats, since: float, now: float) -> None:
    """Bring up to date the facts that change with time."""
    facts[AGE] = now - since
    facts[DATE] = now
    day = int(now)
    for k in range(world.day_facts.shape[1]):
        facts[DAY_FACTS + k] = world.day_facts[day, k]
    first = len(facts) - len(world.stocks)
    for k in range(len(world.stocks)):
        facts[first + k] = world.stock[world.stocks[k]]


@inner
def factor(world: World, slot: int, facts: Floats, since: float, now: float) -> float:
    """The product of the effects that apply to this prospect now; to be asked only where there are any."""
    look(world, facts, since, now)
    return effect(world.effects, world.conditions, slot, facts, now)


@inner
def pay(
    count: Ints, rows_i: Ints, rows_f: Floats, now: float, number: int, stage: int, kind: int, amount: float
) -> None:
    """Note an amount, if there is any."""
    if amount != 0.0:
        row = count[MONEY]
        count[MONEY] = row + 1
        rows_i[MONEY_I, row] = number
        rows_i[MONEY_I + 1, row] = stage
        rows_i[MONEY_I + 2, row] = kind
        rows_f[MONEY_F, row] = now
        rows_f[MONEY_F + 1, row] = amount


@inner
def note_task(
    count: Ints, rows_i: Ints, rows_f: Floats, ints: Ints, floats: Floats, p: int, team: int, begun: float,
    ended: float, left: float,
) -> None:  # fmt: skip
    """Note a touch when it begins, or when its prospect stops waiting."""
    row = count[TASKS]
    count[TASKS] = row + 1
    rows_i[TASKS_I, row] = ints[p, NUMBER]
    rows_i[TASKS_I + 1, row] = int(floats[p, FACTS_AT + SOURCE])
    rows_i[TASKS_I + 2, row] = int(floats[p, FACTS_AT + STAGE])
    rows_i[TASKS_I + 3, row] = team
    rows_i[TASKS_I + 4, row] = ints[p, SERVING]
    rows_i[TASKS_I + 5, row] = int(floats[p, FACTS_AT + TOUCHES])
    rows_i[TASKS_I + 6, row] = ints[p, OUTCOME]
    rows_f[TASKS_F, row] = floats[p, ASKED_AT]
    rows_f[TASKS_F + 1, row] = begun
    rows_f[TASKS_F + 2, row] = ended
    rows_f[TASKS_F + 3, row] = left


@inner
def comes_before(ints: Ints, floats: Floats, p: int, q: int) -> bool:
    """Whether slot p is served before slot q, both waiting for one team."""
    if ints[p, RANK] != ints[q, RANK]:
        return bool(ints[p, RANK] < ints[q, RANK])
    if floats[p, WITHIN] != floats[q, WITHIN]:
        return bool(floats[p, WITHIN] < floats[q, WITHIN])
    return bool(ints[p, SERIAL] < ints[q, SERIAL])


@inner
def place_in(queue: Ints, head: int, tail: int, ints: Ints, floats: Floats, p: int) -> int:
    """Where slot p stands or would stand in a queue."""
    if tail == head or comes_before(ints, floats, queue[tail - 1], p):
        return tail
    low, high = head, tail - 1
    while low < high:
        middle = (low + high) // 2
        if comes_before(ints, floats, queue[middle], p):
            low = middle + 1
        else:
            high = middle
    return low


@inner
def take_out(queue: Ints, team: Ints, k: int) -> bool:
    """Take place k out of a queue; whether those before it moved up by one (else those behind moved down)."""
    head, tail = team[HEAD], team[TAIL]
    if k - head <= tail - 1 - k:
        for j in range(k, head, -1):
            queue[j] = queue[j - 1]
        team[HEAD] = head + 1
        return True
    for j in range(k, tail - 1):
        queue[j] = queue[j + 1]
    team[TAIL] = tail - 1
    return False


@inner
def centre(queue: Ints, team: Ints) -> None:
    """Move a queue to the middle of its room."""
    head, tail = team[HEAD], team[TAIL]
    first = (len(queue) - (tail - head)) // 2
    if first < head:
        for k in range(tail - head):
            queue[first + k] = queue[head + k]
    else:
        for k in range(tail - head - 1, -1, -1):
            queue[first + k] = queue[head + k]
    team[HEAD], team[TAIL] = first, first + tail - head


@inlined
def able_from(maps: Maps, marks: Ints, members: Rows, m: int, now: float) -> float:
    """From when on a member can take work; infinity if never again."""
    at = opening_near(maps, marks, members[m].work_map, now)
    return at if at < members[m].leaves else math.inf


@inner
def let_go(count: Ints, ints: Ints, p: int) -> None:
    """Free the slot of one who acts no more, once nothing refers to it."""
    if ints[p, ENDED] == 1 and ints[p, REFS] == 0:
        ints[p, ENDED] = 2
        ints[p, NEXT] = count[FREE_SLOT]
        count[FREE_SLOT] = p


@compiled
def advance(
    seed: int,
    replication: int,
    days: float,
    bounds: Floats,
    common: Ints,
    tables: Tables,
    maps: Maps,
    world: World,
    sizes: Ints,
    parts: Parts,
    st: State,
) -> int:
    """Go on until the horizon, or until the caller must make room or has a full load of records to take away."""
    able, attributes, brings, candidate = st.able, st.attributes, st.brings, st.candidate
    agenda, clock, floats, idle_members = st.agenda, st.clock, st.floats, st.free
    count, events, winners, rings = agenda.counts, agenda.events, agenda.winners, agenda.rings
    fresh, ints, rows_f, rows_i = st.fresh, st.ints, st.rows_f, st.rows_i
    keys, marks, numbers = st.keys, st.marks, st.numbers
    queues, rounds = st.queues, st.rounds
    stock, streams, crews = world.stock, st.streams, st.teams
    wakes, weights = st.wakes, st.weights
    acts, conditions = world.effects, world.conditions
    drawn, sources, deals, known_of, stages = parts.drawn, parts.sources, parts.deals, parts.known_of, parts.stages
    exits, routes, referrals, teams, members = parts.exits, parts.routes, parts.referrals, parts.teams, parts.members
    purposes, chances = parts.purposes, parts.chances
    n_stages, n_exits, n_sources = sizes[0], sizes[1], sizes[2]
    n_teams, n_drawn, n_deals = sizes[3], sizes[4], sizes[5]
    n_attributes = attributes.shape[1]
    owners_at = PER_SLOT + n_stages
    children_at = owners_at + n_teams
    hazard_slot, effort_slot, patience_slot = 2 * n_exits, 3 * n_exits, 3 * n_exits + n_stages
    referral_slot, arrival_slot = 3 * n_exits + 2 * n_stages, 3 * n_exits + 3 * n_stages
    value_slot = arrival_slot + n_sources
    most_rows = rows_f.shape[1] - MARGIN
    now = clock[NOW]
    step, p = count[STEP], count[WHO]
    safe = 0  # for so many steps there is room, whatever they do
    hole = count[HOLE]  # the place of an event that has happened and is yet to be taken off
    due, urgency, what = clock[DUE], count[URGENCY], count[WHAT]  # the event that a step schedules before the next one
    while True:
        # --- room for the steps until the next check ---
        if step <= HAND_OUT:
            safe -= 1
            if safe < 0:
                room = MARGIN + count[NEED]
                most_ring = max(count[RING_TAIL], count[RING_TAIL + 1], count[RING_TAIL + 2])
                rings_left = rings.shape[1] - most_ring
                events_left = len(winners) - count[SCHEDULED]
                slots_left = ints.shape[0] - count[SLOTS]
                brings_left = len(brings) - count[BRINGS]
                rows = max(count[MOVES], count[TASKS], count[MONEY], count[ROWS_PEOPLE])
                is_short = (
                    events_left <= room
                    or rings_left < room
                    or (count[FREE_SLOT] < 0 and slots_left < 2)
                    or brings_left < room
                )
                if is_short or rows > most_rows:
                    count[STEP], count[WHO], count[HOLE] = step, p, hole
                    clock[DUE], count[URGENCY], count[WHAT] = due, urgency, what
                    return GROW if is_short else FLUSH
                left = min(events_left - 1, rings_left, brings_left, most_rows - rows) // MARGIN
                safe = min(left, slots_left // 2) - 1

        # --- the next event ---
        if step == WAIT:
            time = 0
            if urgency != NOWHERE and due > now:
                if hole == NOWHERE:
                    hole = take_place(count, events, winners)
                time = bits(due)
                set_event(events, hole, time, next_order(count, urgency), what)
                urgency = NOWHERE
            elif hole != NOWHERE:
                time = leave_place(count, events, hole)
            if hole != NOWHERE:
                replay(count, events, winners, hole, time)
                hole = NOWHERE
            top = winners[1]
            is_alone = count[RINGED] == 0 and events[top] != bits(now)
            if urgency != NOWHERE and is_alone:  # what the last step scheduled for this instant comes next
                event = what
            else:
                if urgency != NOWHERE:
                    put_at_once(count, rings, urgency, what)
                ring = 0 if count[RINGED] > 0 else 3
                while ring < 3 and count[RING_HEAD + ring] == count[RING_TAIL + ring]:
                    ring += 1
                if ring == 3 or (
                    events[top] == bits(now) and events[top + 1] < rings[ring, count[RING_HEAD + ring], 0]
                ):
                    if events[top] >= bits(days):
                        step, count[TEAM] = CLOSE, 0
                        continue
                    now = np.int64(events[top]).view(np.float64)
                    clock[NOW] = now
                    event, hole = events[top + 2], top
                else:
                    count[RINGED] -= 1
                    head = count[RING_HEAD + ring]
                    event = rings[ring, head, 1]
                    head += 1
                    if head == count[RING_TAIL + ring]:
                        count[RING_HEAD + ring] = 0
                        count[RING_TAIL + ring] = 0
                    else:
                        count[RING_HEAD + ring] = head
            urgency = NOWHERE
            count[EVENTS] += 1
            step, p = event & (STEPS - 1), event >> STEP_BITS

        # --- the beginning and the end of a run ---
        if step == OPEN:
            for source in range(n_sources):
                if sources[source].kind in (RATE, LIST, DEALS):
                    put_at_once(count, rings, 0, source << STEP_BITS | OPEN_SOURCE)
            step = WAIT
        elif step == CLOSE:  # who is still waiting is noted, one at a step
            t = count[TEAM]
            if t == n_teams:
                return DONE
            if crews[t, HEAD] < crews[t, TAIL]:
                p = queues[t, crews[t, HEAD]]
                note_task(count, rows_i, rows_f, ints, floats, p, t, math.nan, math.nan, math.nan)
                crews[t, HEAD] += 1
            else:
                count[TEAM] = t + 1

        # --- what other events do ---
        elif step == WAKE:
            step = WAIT
            if crews[p, CALLED] == 0:
                crews[p, CALLED] = 1
                due, urgency, what = now, 2, p << STEP_BITS | HAND_OUT
        elif step == BRING:
            number = p
            p = brings[number, 0]
            rule, child, visit = brings[number, 1], brings[number, 2], brings[number, 3]
            brings[number, 4] = count[FREE_BRING]
            count[FREE_BRING] = number
            ints[p, REFS] -= 1
            if child >= 0:
                source = referrals[rule].source
                count[B_SOURCE] = source
                count[B_KEY] = child_key(ints[p, KEY], purposes[rule].child, child)
                count[B_PARENT], count[B_SAME], count[B_DEAL] = p, referrals[rule].same, NOWHERE
                count[B_FINDER], count[B_CHAIN], count[B_THEN] = NOWHERE, 1, WAIT
                clock[B_REWARD] = referrals[rule].reward
                step = BORN
            elif (
                ints[p, PLACE] < n_stages
                and ints[p, TURN] == visit
                and stages[ints[p, PLACE]].refers_start <= rule < stages[ints[p, PLACE] + 1].refers_start
            ):
                count[R_RULE], count[R_LAST] = rule, rule + 1
                count[R_ROUND], count[R_FAST], count[R_THEN] = int(rounds[number, 1]), 0, WAIT
                clock[R_ENTERED] = rounds[number, 0]
                step = REFER
            else:
                let_go(count, ints, p)
                step = WAIT
        elif step == STREAM:
            count[B_SOURCE] = p
            count[B_THEN] = NEXT_OF_STREAM
            step = COME
        elif step == LISTED:
            count[B_SOURCE] = p
            step = NEXT_OF_LIST
        elif step == OPEN_SOURCE:
            count[B_SOURCE] = p
            step = WAIT
            if sources[p].kind == RATE:
                step = NEXT_OF_STREAM
            elif sources[p].kind == LIST:
                due, urgency, what = now + max(0.0, sources[p].at), 1, p << STEP_BITS | LISTED
            elif sources[p].kind == DEALS:
                count[CURSOR] = 0
                step = NEXT_DEAL

        # --- arrivals ---
        elif step == NEXT_OF_STREAM:
            source = count[B_SOURCE]
            ceiling = sources[source].ceiling if sources[source].ceiling != 0.0 else 1.0
            u, keys[source] = uniform_and_key(
                seed, replication, sources[source].key, common[ARRIVAL], common[PROSPECT_OF], numbers[source]
            )
            streams[source] += unit_exponential(u)
            at = backward(maps, sources[source].rate_map, streams[source] / ceiling)
            if at < days:
                due, urgency, what = now + max(0.0, at - now), 1, source << STEP_BITS | STREAM
            step = WAIT
        elif step == NEXT_OF_LIST:
            source = count[B_SOURCE]
            if numbers[source] < sources[source].size:
                count[B_THEN] = NEXT_OF_LIST
                step = COME
            else:
                step = WAIT
        elif step == COME:
            source = count[B_SOURCE]
            key = keys[source]
            if sources[source].kind != RATE:
                key = child_key(sources[source].key, common[PROSPECT_OF], numbers[source])
            numbers[source] += 1
            step = count[B_THEN]
            kept = True
            if sources[source].ceiling != 0.0:
                facts = candidate
                facts[SOURCE] = source
                share = factor(world, arrival_slot + source, facts, now, now)
                share /= sources[source].ceiling
                kept = uniform(seed, replication, key, common[THINNED], 0) < share
            if kept:
                count[B_KEY], count[B_PARENT], count[B_SAME], count[B_DEAL] = key, NOWHERE, 0, NOWHERE
                count[B_FINDER], count[B_CHAIN] = NOWHERE, 0
                clock[B_REWARD] = 0.0
                step = BORN
        elif step == NEXT_DEAL:
            row = count[CURSOR]
            while row < n_deals and deals[row].source != count[B_SOURCE]:
                row += 1
            if row < n_deals:
                count[CURSOR] = row + 1
                count[B_KEY], count[B_PARENT], count[B_SAME], count[B_DEAL] = deals[row].key, NOWHERE, 0, row
                count[B_FINDER], count[B_CHAIN], count[B_THEN] = NOWHERE, 0, NEXT_DEAL
                clock[B_REWARD] = 0.0
                step = BORN
            else:
                step = WAIT
        elif step == NEXT_FOUND:
            if count[CURSOR] < count[FOUND]:
                count[B_SOURCE] = int(floats[p, FACTS_AT + SOURCE])
                count[B_KEY] = child_key(ints[p, KEY], common[FOUND_BY], count[CURSOR])
                count[CURSOR] += 1
                count[B_PARENT], count[B_SAME], count[B_DEAL] = NOWHERE, 0, NOWHERE
                count[B_FINDER], count[B_CHAIN], count[B_THEN] = ints[p, SERVING], 0, NEXT_FOUND
                clock[B_REWARD] = 0.0
                step = BORN
            else:
                ints[p, ENDED] = 1
                let_go(count, ints, p)
                step = WAIT
        elif step == BORN:
            source, parent, deal = count[B_SOURCE], count[B_PARENT], count[B_DEAL]
            visited = sources[source].team != NOWHERE and count[B_FINDER] == NOWHERE and count[B_CHAIN] == 0
            if count[FREE_SLOT] >= 0:
                q = count[FREE_SLOT]
                count[FREE_SLOT] = ints[q, NEXT]
            else:
                q = count[SLOTS]
                count[SLOTS] += 1
            for k in range(PER_SLOT):
                ints[q, k] = 0
            for k in range(PER_SLOT, ints.shape[1]):
                ints[q, k] = 0
            for k in range(owners_at, children_at):
                ints[q, k] = NOWHERE
            ints[q, KEY] = count[B_KEY]
            ints[q, TIMER] = ints[q, SERVING] = NOWHERE
            floats[q, OWED] = clock[B_REWARD]
            floats[q, AGED] = 0.0
            facts = floats[q, FACTS_AT:]
            for k in range(len(facts)):
                facts[k] = math.nan if visited else 0.0
            if visited:
                facts[SOURCE], facts[STAGE], facts[MEMBER] = source, NOWHERE, NOWHERE
                facts[VALUE] = facts[GENERATION] = facts[TOUCHES] = 0.0
                ints[q, NUMBER] = NOWHERE
                floats[q, SINCE] = now
            else:
                facts[SOURCE], facts[MEMBER] = source, NOWHERE
                floats[q, SINCE] = now - (deals[deal].age if deal != NOWHERE else 0.0)
                if parent != NOWHERE:
                    facts[GENERATION] = floats[parent, FACTS_AT + GENERATION] + (1 - count[B_SAME])
                    if count[B_SAME]:
                        facts[MEMBER] = floats[parent, FACTS_AT + MEMBER]
                        for k in range(owners_at, children_at):
                            ints[q, k] = ints[parent, k]
                for a in range(n_drawn):
                    place = drawn[a].fact
                    known = math.nan
                    if count[B_SAME] and not drawn[a].anew:
                        known = floats[parent, FACTS_AT + place]
                    if deal != NOWHERE:
                        known = deals[deal].value if place == VALUE else known_of[deal, place - N_FACTS]
                    if not math.isnan(known):
                        facts[place] = known
                        continue
                    code = 0 if drawn[a].by == NOWHERE else int(facts[drawn[a].by])
                    case = drawn[drawn[a].case_start + code].case
                    facts[place] = sample(tables, case, seed, replication, ints[q, KEY], drawn[a].purpose, 0)
                    if place == VALUE and acts[value_slot + 1].slot_start > acts[value_slot].slot_start:
                        facts[VALUE] *= factor(world, value_slot, facts, floats[q, SINCE], now)
                ints[q, NUMBER] = count[PEOPLE]
                count[PEOPLE] += 1
                row = count[ROWS_PEOPLE]
                count[ROWS_PEOPLE] = row + 1
                rows_i[PEOPLE_I, row] = ints[q, KEY]
                rows_i[PEOPLE_I + 1, row] = source
                rows_i[PEOPLE_I + 2, row] = ints[parent, NUMBER] if parent != NOWHERE else NOWHERE
                rows_i[PEOPLE_I + 3, row] = int(facts[GENERATION])
                rows_i[PEOPLE_I + 4, row] = deal
                rows_f[PEOPLE_F, row] = now
                rows_f[PEOPLE_F + 1, row] = facts[VALUE]
                for a in range(n_attributes):
                    attributes[row, a] = facts[N_FACTS + a]
                pay(count, rows_i, rows_f, now, ints[q, NUMBER], NOWHERE, SOURCE_COST, sources[source].cost_each)
                ints[q, PLACE], ints[q, EXIT], ints[q, CAUSE] = NOWHERE, sources[source].enters, STARTED
                floats[q, HOP_SINCE] = now
                if deal != NOWHERE:
                    ints[q, EXIT] = deals[deal].stage
                    ints[q, CAUSE] = OPENED
                    floats[q, AGED] = deals[deal].age
                    owner = deals[deal].owner
                    for t in range(n_teams):
                        if teams[t].member_start <= owner < teams[t + 1].member_start:
                            ints[q, owners_at + t] = owner
                            facts[MEMBER] = owner
                if count[B_FINDER] != NOWHERE:
                    ints[q, owners_at + sources[source].team] = count[B_FINDER]
                    facts[MEMBER] = count[B_FINDER]
                if count[B_CHAIN]:
                    if clock[AT_ONCE_SINCE] == now:
                        count[AT_ONCE_COUNT] += 1
                    else:
                        clock[AT_ONCE_SINCE] = now
                        count[AT_ONCE_COUNT] = 1
                    count[REFERRED] += 1
                    if not count[REFERRED] < bounds[3] * count[PEOPLE]:
                        count[ERROR_AT] = source
                        if count[AT_ONCE_COUNT] > bounds[1]:
                            return CHAIN_AT_ONCE
                        if count[REFERRED] > bounds[2]:
                            return CHAIN_WITHOUT_END
                    let_go(count, ints, parent)
            put_at_once(count, rings, 0, q << STEP_BITS | (VISIT_START if visited else ENTER))
            step = count[B_THEN]

        # --- the life of a prospect ---
        elif step == LEAVE:  # to place EXIT, for a CAUSE
            floats[p, AGED] = 0.0
            if now - floats[p, HOP_SINCE] < MINUTE:
                ints[p, HOPS] += 1
            else:
                ints[p, HOPS] = 0
                floats[p, HOP_SINCE] = now
            if ints[p, HOPS] > bounds[0]:
                count[ERROR_AT] = ints[p, PLACE]
                return CIRCLE
            step = ENTER
        elif step == ENTER:
            origin, s, cause = ints[p, PLACE], ints[p, EXIT], ints[p, CAUSE]
            facts = floats[p, FACTS_AT:]
            row = count[MOVES]
            count[MOVES] = row + 1
            rows_i[MOVES_I, row] = ints[p, NUMBER]
            rows_i[MOVES_I + 1, row] = origin
            rows_i[MOVES_I + 2, row] = s
            rows_i[MOVES_I + 3, row] = cause
            rows_i[MOVES_I + 4, row] = int(facts[MEMBER])
            rows_f[MOVES_F, row] = now
            stock[s] += 1.0
            if origin != NOWHERE:
                stock[origin] -= 1.0
            ints[p, PLACE] = s
            facts[STAGE] = s
            if s >= n_stages:
                ints[p, ENDED] = 1
                let_go(count, ints, p)
                step = WAIT
                continue
            visit = ints[p, PER_SLOT + s]
            ints[p, PER_SLOT + s] = visit + 1
            ints[p, TURN] = visit
            facts[VISITS] = visit
            facts[TOUCHES] = 0.0
            facts[WAITED] = 0.0
            floats[p, DEADLINE], floats[p, CHOICE] = math.inf, NOT_DRAWN
            ints[p, PHASE], ints[p, TOUCH], count[TEAM] = READY, 0, stages[s].team
            step = stages[s].begins if floats[p, AGED] == 0.0 else CHOOSE
            if stages[s].does_more:
                step = ENTERED
        elif step == ENTERED:  # what some stages do with those who enter: a limit of time, money, routes, referrals
            s, visit, age = ints[p, PLACE], ints[p, TURN], floats[p, AGED]
            facts = floats[p, FACTS_AT:]
            step = BEGIN
            if stages[s].limit != NOWHERE:
                u = uniform(seed, replication, ints[p, KEY], purposes[s].limit, visit)
                if age != 0.0:
                    floats[p, DEADLINE] = now - age + quantile_beyond(tables, stages[s].limit, age, u)
                else:
                    floats[p, DEADLINE] = now + quantile(tables, stages[s].limit, u)
            if ints[p, CAUSE] != OPENED:
                who = ints[p, NUMBER]
                value = facts[VALUE]
                if stages[s].books_fixed != 0.0 or stages[s].books_share != 0.0:
                    amount = stages[s].books_fixed + stages[s].books_share * value
                    pay(count, rows_i, rows_f, now, who, s, BOOKED, amount)
                if stages[s].cash_fixed != 0.0 or stages[s].cash_share != 0.0:
                    amount = stages[s].cash_fixed + stages[s].cash_share * value
                    pay(count, rows_i, rows_f, now, who, s, PAID, amount)
                if stages[s].cost_fixed != 0.0 or stages[s].cost_share != 0.0:
                    amount = stages[s].cost_fixed + stages[s].cost_share * value
                    pay(count, rows_i, rows_f, now, who, s, STAGE_COST, amount)
                if stages[s].customer:
                    pay(count, rows_i, rows_f, now, who, s, REWARD, floats[p, OWED])
                    floats[p, OWED] = 0.0
                if stages[s].route_start < stages[s + 1].route_start:
                    look(world, facts, floats[p, SINCE], now)
                    for r in range(stages[s].route_start, stages[s + 1].route_start):
                        if holds(conditions, routes[r].predicate, facts):
                            ints[p, EXIT], ints[p, CAUSE] = routes[r].to, ROUTED
                            step = LEAVE
                            break
            if step == BEGIN and stages[s].refers_start < stages[s + 1].refers_start:
                count[R_RULE], count[R_LAST] = stages[s].refers_start, stages[s + 1].refers_start
                count[R_ROUND], count[R_FAST], count[R_THEN] = 0, 0, BEGIN
                clock[R_ENTERED] = now - age
                step = REFER
        elif step == REFER:  # one round of one rule
            rule = count[R_RULE]
            if rule == count[R_LAST]:
                step = count[R_THEN]
                continue
            s, visit = ints[p, PLACE], ints[p, TURN]
            index = VISIT * visit + count[R_ROUND]
            key = ints[p, KEY]
            amount = sample(tables, referrals[rule].number, seed, replication, key, purposes[rule].number, index)
            changed = amount
            if acts[referral_slot + s + 1].slot_start > acts[referral_slot + s].slot_start:
                changed *= factor(world, referral_slot + s, floats[p, FACTS_AT:], floats[p, SINCE], now)
            if changed != amount:
                amount = rounded(changed, uniform(seed, replication, key, purposes[rule].rounding, index))
            many = int(amount)
            if many + 2 > count[NEED] and many > MARGIN // 2:
                count[NEED], safe = many + 2, 0
                continue
            count[NEED] = 0
            entered = clock[R_ENTERED]
            for _ in range(many):
                child = ints[p, children_at + rule]
                ints[p, children_at + rule] = child + 1
                at = entered + sample(
                    tables, referrals[rule].after, seed, replication, key, purposes[rule].child_after, child
                )
                if at >= now:
                    if count[FREE_BRING] >= 0:
                        k = count[FREE_BRING]
                        count[FREE_BRING] = brings[k, 4]
                    else:
                        k = count[BRINGS]
                        count[BRINGS] += 1
                    brings[k, 0], brings[k, 1], brings[k, 2], brings[k, 3] = p, rule, child, visit
                    ints[p, REFS] += 1
                    put(agenda, now, now + (at - now), 1, k << STEP_BITS | BRING)
            over = referrals[rule].every == NOWHERE
            if not over:
                gap = sample(tables, referrals[rule].every, seed, replication, key, purposes[rule].round, index)
                entered += gap
                clock[R_ENTERED] = entered
                count[R_ROUND] += 1
                if entered > now:
                    over = True
                    if count[FREE_BRING] >= 0:
                        k = count[FREE_BRING]
                        count[FREE_BRING] = brings[k, 4]
                    else:
                        k = count[BRINGS]
                        count[BRINGS] += 1
                    brings[k, 0], brings[k, 1], brings[k, 2], brings[k, 3] = p, rule, -1, visit
                    rounds[k, 0], rounds[k, 1] = entered, count[R_ROUND]
                    ints[p, REFS] += 1
                    put(agenda, now, now + (entered - now), 1, k << STEP_BITS | BRING)
                else:
                    count[R_FAST] = count[R_FAST] + 1 if gap < MINUTE else 0
                    if count[R_FAST] > bounds[0]:
                        count[ERROR_AT] = s
                        return ENDLESS_ROUNDS
            if over:
                count[R_RULE] = rule + 1
                count[R_ROUND], count[R_FAST] = 0, 0
                clock[R_ENTERED] = now - floats[p, AGED]
        elif step == BEGIN:
            s = ints[p, PLACE]
            count[TEAM] = stages[s].team
            step = stages[s].begins if floats[p, AGED] == 0.0 else CHOOSE
        elif step == TOUCHING:
            s = ints[p, PLACE]
            if stages[s].team == NOWHERE:
                pay(count, rows_i, rows_f, now, ints[p, NUMBER], s, TOUCH_COST, stages[s].touch_cost)
                step = TOUCHED
            else:
                ints[p, PHASE] = READY
                count[TEAM] = stages[s].team
                step = ASK
        elif step == VISIT_START:
            ints[p, PHASE] = VISIT_READY
            count[TEAM] = sources[int(floats[p, FACTS_AT + SOURCE])].team
            step = ASK
        elif step == ASK:
            t = count[TEAM]
            team, queue = crews[t], queues[t]
            ints[p, OUTCOME], ints[p, SERVING] = STILL_WAITING, NOWHERE
            floats[p, ASKED_AT] = now
            is_short_way = not teams[t].owned and is_last(count, events, winners, hole, now)
            if is_short_way and team[IDLE] > 0 and team[HEAD] == team[TAIL] and not teams[t].choosy:
                base, idle, k = teams[t].member_start, team[IDLE], 0
                while k < idle and able_from(maps, marks, members, idle_members[base + k], now) != now:
                    k += 1
                if k < idle:  # serves at once: what the team would do in this instant, with nothing in between
                    ints[p, SERVING], ints[p, OUTCOME] = idle_members[base + k], SERVED
                    team[ASKED] += 1
                    team[IDLE] = idle - 1
                    for j in range(base + k, base + idle - 1):
                        idle_members[j] = idle_members[j + 1]
                    step = ints[p, PHASE]
                    continue
            if (team[HEAD] == 0 or team[TAIL] == len(queue)) and 2 * (team[TAIL] - team[HEAD]) < len(queue):
                centre(queue, team)
            if team[HEAD] == 0 or team[TAIL] == len(queue) or team[FRESH] == fresh.shape[1]:
                count[STEP], count[WHO], count[HOLE], count[URGENCY] = step, p, hole, NOWHERE
                return GROW
            facts = floats[p, FACTS_AT:]
            first, last = teams[t].first_start, teams[t + 1].first_start
            if first < last:
                look(world, facts, floats[p, SINCE], now)
            rank = 0
            while first + rank < last and not holds(conditions, teams[first + rank].first, facts):
                rank += 1
            team[ASKED] += 1
            ints[p, RANK], ints[p, SERIAL] = rank, team[ASKED]
            floats[p, WITHIN] = 0.0
            if teams[t].order == NEWEST:
                floats[p, WITHIN] = -float(team[ASKED])
            elif teams[t].order == DEAREST:
                floats[p, WITHIN] = -facts[VALUE]
            until, late = math.inf, STILL_WAITING
            if ints[p, PHASE] == READY:
                s, until, late = ints[p, PLACE], floats[p, DEADLINE], OUT_OF_TIME
                if stages[s].patience != NOWHERE:
                    index = VISIT * ints[p, TURN] + ints[p, TOUCH]
                    patience = sample(
                        tables, stages[s].patience, seed, replication, ints[p, KEY], purposes[s].patience, index
                    )
                    if stages[s].patience_changes:
                        patience *= factor(world, patience_slot + s, facts, floats[p, SINCE], now)
                    if now + patience <= until:
                        until, late = now + patience, GAVE_UP
            floats[p, UNTIL], ints[p, LATE] = until, late
            head, tail = team[HEAD], team[TAIL]
            k = place_in(queue, head, tail, ints, floats, p)
            if tail - k <= k - head:
                for j in range(tail, k, -1):
                    queue[j] = queue[j - 1]
                queue[k] = p
                team[TAIL] = tail + 1
            else:
                for j in range(head - 1, k - 1):
                    queue[j] = queue[j + 1]
                queue[k - 1] = p
                team[HEAD] = head - 1
            step, at = WAIT, now + max(0.0, until - now)
            if (
                is_short_way and team[IDLE] == 0 and at > now
            ):  # waits at once: all that the team could do is set the timer
                if at < math.inf:
                    if hole == NOWHERE:
                        hole = take_place(count, events, winners)
                    due, urgency, what = at, 3, p << STEP_BITS | QUIT
                    ints[p, TIMER] = hole
                continue
            fresh[t, team[FRESH]] = p
            team[FRESH] += 1
            if team[CALLED] == 0:
                team[CALLED] = 1
                due, urgency, what = now, 2, t << STEP_BITS | HAND_OUT
        elif step == QUIT:  # patience, or the time in the stage, is over
            t = stages[ints[p, PLACE]].team
            k = place_in(queues[t], crews[t, HEAD], crews[t, TAIL], ints, floats, p)
            take_out(queues[t], crews[t], k)
            ints[p, OUTCOME], ints[p, TIMER] = ints[p, LATE], NOWHERE
            due, urgency, what = now, 1, p << STEP_BITS | READY
            step = WAIT
        elif step == READY:
            s = ints[p, PLACE]
            t = stages[s].team
            if ints[p, OUTCOME] != SERVED:
                note_task(count, rows_i, rows_f, ints, floats, p, t, math.nan, math.nan, now)
                gave_up = ints[p, OUTCOME] == GAVE_UP
                ints[p, EXIT] = stages[s].gives_up if gave_up else stages[s].limit_to
                ints[p, CAUSE] = RENEGED if gave_up else LIMITED
                step = LEAVE
                continue
            facts, member = floats[p, FACTS_AT:], ints[p, SERVING]
            if facts[TOUCHES] == 0.0:
                facts[WAITED] = now - floats[p, ASKED_AT]
            facts[MEMBER] = member
            if ints[p, owners_at + t] == NOWHERE:
                ints[p, owners_at + t] = member
            if teams[t].owned and members[ints[p, owners_at + t]].leaves <= now:
                ints[p, owners_at + t] = member
            index = VISIT * ints[p, TURN] + ints[p, TOUCH]
            u, floats[p, CHOICE] = two_uniforms(
                seed, replication, ints[p, KEY], purposes[s].effort, index, purposes[s].choice, ints[p, TURN]
            )
            clock[HOURS] = quantile(tables, stages[s].effort, u)
            pay(count, rows_i, rows_f, now, ints[p, NUMBER], s, TOUCH_COST, stages[s].touch_cost)
            count[TEAM] = t
            if stages[s].effort_changes:
                step = EFFORT_CHANGED
                continue
            took = work_end_near(maps, marks, members[member].work_map, now, clock[HOURS]) - now
            note_task(count, rows_i, rows_f, ints, floats, p, t, now, now + took, math.nan)
            due, urgency, what = now + took, 1, p << STEP_BITS | WORKED
            step = WAIT
        elif step == EFFORT_CHANGED:
            s = ints[p, PLACE]
            clock[HOURS] *= factor(world, effort_slot + s, floats[p, FACTS_AT:], floats[p, SINCE], now)
            step = WORK
        elif step == VISIT_READY:
            source = int(floats[p, FACTS_AT + SOURCE])
            clock[HOURS] = sample(tables, sources[source].effort, seed, replication, ints[p, KEY], common[EFFORT_OF], 0)
            count[TEAM] = sources[source].team
            step = WORK
        elif step == WORK:
            took = work_end_near(maps, marks, members[ints[p, SERVING]].work_map, now, clock[HOURS]) - now
            note_task(count, rows_i, rows_f, ints, floats, p, count[TEAM], now, now + took, math.nan)
            due, urgency, what = now + took, 1, p << STEP_BITS | WORKED
            step = WAIT
        elif step == WORKED:
            is_visit = ints[p, NUMBER] == NOWHERE
            source = int(floats[p, FACTS_AT + SOURCE])
            t = sources[source].team if is_visit else stages[ints[p, PLACE]].team
            team = crews[t]
            idle_members[teams[t].member_start + team[IDLE]] = ints[p, SERVING]
            team[IDLE] += 1
            if team[HEAD] < team[TAIL] and team[CALLED] == 0:
                team[CALLED] = 1
                put_at_once(count, rings, 2, t << STEP_BITS | HAND_OUT)
            step = TOUCHED
            if is_visit:
                found = sample(tables, sources[source].yields, seed, replication, ints[p, KEY], common[YIELDS_OF], 0)
                count[FOUND], count[CURSOR] = int(found), 0
                step = NEXT_FOUND
        elif step == TOUCHED:
            s, visit, touch, deadline = ints[p, PLACE], ints[p, TURN], ints[p, TOUCH], floats[p, DEADLINE]
            floats[p, FACTS_AT + TOUCHES] += 1.0
            step = WAIT
            if now >= deadline:
                ints[p, EXIT], ints[p, CAUSE] = stages[s].limit_to, LIMITED
                step = LEAVE
            elif touch < stages[s].touches - 1:
                gap = sample(
                    tables, stages[s].every, seed, replication, ints[p, KEY], purposes[s].every, VISIT * visit + touch
                )
                if now + gap > deadline:
                    due, urgency, what = now + (deadline - now), 1, p << STEP_BITS | LIMIT_OVER
                else:
                    due, urgency, what = now + gap, 1, p << STEP_BITS | GAP_OVER
            else:
                step = CHOOSE
        elif step == GAP_OVER:
            ints[p, TOUCH] += 1
            step = TOUCHING
        elif step == LIMIT_OVER:
            ints[p, EXIT], ints[p, CAUSE] = stages[ints[p, PLACE]].limit_to, LIMITED
            step = LEAVE
        elif step == CHOOSE:
            s, deadline = ints[p, PLACE], floats[p, DEADLINE]
            if not stages[s].alike or floats[p, AGED] != 0.0:
                step = WEIGH
                continue
            first, last = stages[s].exit_start, stages[s + 1].exit_start
            if last - first == 1:
                e = first if stages[s].total > 0.0 else NOWHERE
            else:
                u = floats[p, CHOICE]
                if u == NOT_DRAWN:
                    u = uniform(seed, replication, ints[p, KEY], purposes[s].choice, ints[p, TURN])
                e = pick(chances, first, last, stages[s].total, u)
            wait = math.inf
            if e != NOWHERE and exits[e].to != NOWHERE:
                ints[p, EXIT] = e
                wait = sample(tables, exits[e].after, seed, replication, ints[p, KEY], purposes[e].after, ints[p, TURN])
                wait = pace_wait(maps, exits[e].pace, now, wait)
            if now + wait <= deadline and wait < math.inf:
                due, urgency, what = now + wait, 1, p << STEP_BITS | EXIT_OVER
                step = WAIT
            else:
                clock[SPAN] = wait
                step = STAY
        elif step == WEIGH:  # the same where it depends on who chooses, and for how long they have been there
            s, visit, deadline = ints[p, PLACE], ints[p, TURN], floats[p, DEADLINE]
            facts, since = floats[p, FACTS_AT:], floats[p, SINCE]
            first, last = stages[s].exit_start, stages[s + 1].exit_start
            skill, t, member = 1.0, stages[s].team, int(facts[MEMBER])
            if t != NOWHERE and teams[t].member_start <= member < teams[t + 1].member_start:
                skill = members[member].skill
            at, age, missed, again, passed, index = now, floats[p, AGED], count[MISSED], 0, 0.0, visit
            if missed > 0:  # what fell due did not take place: all is drawn again, as of one so old
                at, age, again, passed, index = clock[DUE_AT], clock[DUE_AGE], AGAIN, PASSED, visit << MISSES | missed
                count[MISSED] = 0
            total = 0.0
            for e in range(first, last):
                weight = exits[e].chance
                if exits[e].odds_change:
                    weight *= factor(world, e, facts, since, at)
                if exits[e].forward:
                    weight *= skill
                if age != 0.0 and exits[e].to != NOWHERE:
                    stretch = 1.0
                    if exits[e].time_changes:
                        stretch = factor(world, n_exits + e, facts, since, at)
                    old = pace_since(maps, exits[e].pace, at, age)
                    weight *= still_there(tables, exits[e].after, old + passed, stretch)
                weights[e] = weight
                total += weight
            if last - first == 1:
                e = first if total > 0.0 else NOWHERE
            else:
                u = floats[p, CHOICE]
                if u == NOT_DRAWN or missed > 0:
                    u = uniform(seed, replication, ints[p, KEY], purposes[s].choice ^ again, index)
                e = pick(weights, first, last, total, u)
            wait = math.inf
            if e != NOWHERE and exits[e].to != NOWHERE:
                ints[p, EXIT] = e
                stretch = 1.0
                if exits[e].time_changes:
                    stretch = factor(world, n_exits + e, facts, since, at)
                if age != 0.0:
                    u = uniform(seed, replication, ints[p, KEY], purposes[e].after ^ again, index)
                    old = pace_since(maps, exits[e].pace, at, age)
                    wait = time_left(tables, exits[e].after, old, passed, stretch, u)
                else:
                    wait = stretch * sample(
                        tables, exits[e].after, seed, replication, ints[p, KEY], purposes[e].after, visit
                    )
                wait = pace_wait(maps, exits[e].pace, at, wait)
                falls_due = at + wait
                if exits[e].may_miss and (
                    wait > 0.0 and falls_due <= deadline and falls_due < days and missed < MOST_MISSES
                ):
                    index, purpose = visit << MISSES | missed, purposes[e].after ^ TAKES_PLACE
                    u = uniform(seed, replication, ints[p, KEY], purpose, index)
                    if u >= factor(world, hazard_slot + e, facts, since, falls_due):
                        clock[DUE_AT], clock[DUE_AGE], count[MISSED] = falls_due, age + wait, missed + 1
                        continue
                wait += at - now
            clock[SPAN] = wait
            step = STAY
        elif step == STAY:  # until the exit, or the end of the time in the stage, or for ever
            wait, deadline = clock[SPAN], floats[p, DEADLINE]
            step = WAIT
            if now + wait <= deadline and wait < math.inf:
                due, urgency, what = now + wait, 1, p << STEP_BITS | EXIT_OVER
            elif deadline < math.inf:
                due, urgency, what = now + max(0.0, deadline - now), 1, p << STEP_BITS | LIMIT_OVER
            else:
                ints[p, ENDED] = 1
                let_go(count, ints, p)
        elif step == EXIT_OVER:
            e = ints[p, EXIT]
            for k in range(exits[e].set_start, exits[e + 1].set_start):
                floats[p, FACTS_AT + exits[k].set_fact] = exits[k].set_value
            ints[p, EXIT], ints[p, CAUSE] = exits[e].to, EXITED
            floats[p, AGED] = 0.0
            step = ENTER
            if now - floats[p, HOP_SINCE] < MINUTE:
                step = LEAVE
            else:
                ints[p, HOPS] = 0
                floats[p, HOP_SINCE] = now

        # --- a team hands out work ---
        else:
            t = p
            team, queue = crews[t], queues[t]
            base, idle = teams[t].member_start, team[IDLE]
            many = team[FRESH] + idle
            if many + 2 > count[NEED] and many > MARGIN // 2:
                count[NEED], safe = many + 2, 0
                continue
            count[NEED] = 0
            team[CALLED] = 0
            change, served = math.inf, NOWHERE
            if team[HEAD] < team[TAIL]:
                n_able = 0
                for k in range(idle):
                    m = idle_members[base + k]
                    at = able_from(maps, marks, members, m, now)
                    if at == now:
                        able[n_able] = m
                        n_able += 1
                    elif at > now:
                        change = min(change, at)
                k = team[HEAD]
                while n_able > 0 and k < team[TAIL]:
                    q = queue[k]
                    facts = floats[q, FACTS_AT:]
                    owner = ints[q, owners_at + t] if teams[t].owned else NOWHERE
                    found = NOWHERE
                    if owner != NOWHERE and members[owner].leaves > now:
                        for j in range(n_able):
                            if able[j] == owner:
                                found = j
                    elif not teams[t].choosy:
                        found = 0
                    else:
                        look(world, facts, floats[q, SINCE], now)
                        for j in range(n_able):
                            only = members[able[j]].only
                            if only == NOWHERE or holds(conditions, only, facts):
                                found = j
                                break
                    if found == NOWHERE:
                        k += 1
                        continue
                    if take_out(queue, team, k):
                        k += 1
                    member = able[found]
                    n_able -= 1
                    for j in range(found, n_able):
                        able[j] = able[j + 1]
                    j = base
                    while idle_members[j] != member:
                        j += 1
                    team[IDLE] -= 1
                    for i in range(j, base + team[IDLE]):
                        idle_members[i] = idle_members[i + 1]
                    ints[q, SERVING], ints[q, OUTCOME] = member, SERVED
                    if ints[q, TIMER] != NOWHERE:
                        take_off(count, events, winners, ints[q, TIMER])
                        ints[q, TIMER] = NOWHERE
                    if served != NOWHERE:
                        put_at_once(count, rings, 1, served << STEP_BITS | ints[served, PHASE])
                    served = q
            for k in range(team[FRESH]):
                q = fresh[t, k]
                until = floats[q, UNTIL]
                if ints[q, OUTCOME] == STILL_WAITING and until < math.inf:
                    at = now + max(0.0, until - now)
                    order = next_order(count, 3)
                    ints[q, TIMER] = schedule(count, events, winners, bits(at), order, q << STEP_BITS | QUIT)
            team[FRESH] = 0
            if team[HEAD] < team[TAIL]:
                if teams[t].owned:
                    for m in range(base, teams[t + 1].member_start):
                        if members[m].leaves > now:
                            change = min(change, members[m].leaves)
                if change < math.inf and not now < wakes[t] <= change:
                    wakes[t] = change
                    put(agenda, now, now + (change - now), 1, t << STEP_BITS | WAKE)
            if served != NOWHERE:  # the last one, who for the most part is the only one, may be spared the ring
                due, urgency, what = now, 1, served << STEP_BITS | ints[served, PHASE]
            step = WAIT
