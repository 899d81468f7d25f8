"""What is to happen in the compiled engine: a tournament of events, and rings for those of this very instant.

An event is a time, an order within its instant, and a payload. Each event of a later instant stands at a place; places
are matched two by two, then their winners, and so on up to the one that comes first of all (a tournament tree: Knuth,
"The Art of Computer Programming", volume 3, section 5.4.1). One event more or less is a replay of the matches above its
place: as many steps for each, none of which the processor must guess, as it must in a heap. And an event can be taken
off, wherever it stands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simfunnel.jit import inlined, inner
from simfunnel.numerics import Ints
from simfunnel.plan import NOWHERE

EVENT = 4  # numbers of an event: time, order, payload, and the next free place where there is none
FEWEST_PLACES = 16
NEVER = 0x7FF0_0000_0000_0001  # the bits of a time after infinity; each free place has one of its own
FIRST_ORDER = 1 << 58

# What is counted of an agenda; the loop counts more behind it.
(
    SEQUENCE, SCHEDULED, PLACES, FREE_PLACE, RINGED, RING_HEAD, RING_HEAD_1, RING_HEAD_2, RING_TAIL, RING_TAIL_1,
    RING_TAIL_2,
) = range(11)  # fmt: skip
AGENDA_COUNTS = 11


class Agenda(NamedTuple):
    """What is to happen."""

    counts: Ints
    events: Ints  # EVENT numbers each: time (its bits, which rise with it, for none is negative), order there, payload
    winners: (
        Ints  # by node: the place of the first of the events below it; node 1 is the top, below n are 2n and 2n + 1
    )
    rings: Ints  # (3, room, 2): by urgency: order and payload


@inner
def bits(time: float) -> int:
    """A time's bits as a whole number: for times from 0 on, the order of the one is that of the other."""
    return int(np.float64(time).view(np.int64))


# --- later instants ---------------------------------------------------------------------------------------------------


@inner
def comes_first(events: Ints, one: int, other: int) -> bool:
    """Whether the event at one place is due before that at another."""
    if events[one] == events[other]:
        return bool(events[one + 1] < events[other + 1])
    return bool(events[one] < events[other])


@inner
def add_places(count: Ints, events: Ints, winners: Ints) -> None:
    """Take twice as many places into play, all that are new without an event, and match all anew."""
    before = count[PLACES]
    count[PLACES] = end = max(2 * before, EVENT * FEWEST_PLACES)
    for place in range(end - EVENT, before - 1, -EVENT):
        events[place] = NEVER + place
        events[place + 3] = count[FREE_PLACE]
        count[FREE_PLACE] = place
    for node in range(end // EVENT - 1, 0, -1):
        one, other = 2 * EVENT * node - end, 2 * EVENT * node - end + EVENT
        if one < 0:
            one, other = winners[2 * node], winners[2 * node + 1]
        winners[node] = other if comes_first(events, other, one) else one


@inner
def take_place(count: Ints, events: Ints, winners: Ints) -> int:
    """A place for an event, at which there is none so far."""
    if count[FREE_PLACE] == NOWHERE:
        add_places(count, events, winners)
    place = count[FREE_PLACE]
    count[FREE_PLACE] = events[place + 3]
    count[SCHEDULED] += 1
    return int(place)


@inner
def leave_place(count: Ints, events: Ints, place: int) -> int:
    """Give a place back; returns the time of nothing that stands there."""
    time = NEVER + place
    events[place] = time
    events[place + 3] = count[FREE_PLACE]
    count[FREE_PLACE] = place
    count[SCHEDULED] -= 1
    return time


@inner
def set_event(events: Ints, place: int, time: int, order: int, what: int) -> None:
    """Write an event at a place."""
    events[place], events[place + 1], events[place + 2] = time, order, what


@inlined
def replay(count: Ints, events: Ints, winners: Ints, place: int, time: int) -> None:
    """Play the matches above a place again, at which something has changed that is due at this time."""
    other, first = place ^ EVENT, place
    node = (count[PLACES] + place) // (2 * EVENT)
    while True:
        due = events[other]
        if due == time and events[other + 1] < events[first + 1]:  # rare: a branch of its own, which costs nothing
            time += 1
        first = other if due < time else first
        time = due if due < time else time
        winners[node] = first
        if node == 1:
            break
        other = winners[node ^ 1]
        node >>= 1


@inner
def schedule(count: Ints, events: Ints, winners: Ints, time: int, order: int, what: int) -> int:
    """Schedule an event; returns its place."""
    place = take_place(count, events, winners)
    set_event(events, place, time, order, what)
    replay(count, events, winners, place, time)
    return place


@inner
def take_off(count: Ints, events: Ints, winners: Ints, place: int) -> None:
    """Take an event off its place."""
    replay(count, events, winners, place, leave_place(count, events, place))


# --- this instant -----------------------------------------------------------------------------------------------------


@inner
def next_order(count: Ints, urgency: int) -> int:
    """The order within its instant of the event that is scheduled now."""
    count[SEQUENCE] += 1
    return int(urgency * FIRST_ORDER + count[SEQUENCE])


@inner
def put_at_once(count: Ints, rings: Ints, urgency: int, what: int) -> None:
    """Schedule an event for this very instant."""
    tail = count[RING_TAIL + urgency]
    rings[urgency, tail, 0] = next_order(count, urgency)
    rings[urgency, tail, 1] = what
    count[RING_TAIL + urgency] = tail + 1
    count[RINGED] += 1


@inner
def put(agenda: Agenda, now: float, time: float, urgency: int, what: int) -> None:
    """Schedule an event for this instant or a later one."""
    count = agenda.counts
    if time == now and urgency < 3:
        put_at_once(count, agenda.rings, urgency, what)
    else:
        schedule(count, agenda.events, agenda.winners, bits(time), next_order(count, urgency), what)


@inner
def is_last(count: Ints, events: Ints, winners: Ints, hole: int, now: float) -> bool:
    """Whether nothing else is due at this instant; what stands at place `hole` (if any) has happened."""
    due = bits(now)
    if count[RINGED] > 0:
        return False
    if hole == NOWHERE:
        return bool(events[winners[1]] != due)
    other, node = hole ^ EVENT, (count[PLACES] + hole) // (2 * EVENT)
    while events[other] != due and node > 1:
        other = winners[node ^ 1]
        node >>= 1
    return bool(events[other] != due)
