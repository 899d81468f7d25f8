"""Who is served, by whom and when: the members of a team and the queue before them.

At one instant a team hands out work after everything that ends or arrives then, and before the patience of those who
still wait runs out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from simfunnel.engines.prospects import VALUE, Prospect
from simfunnel.engines.records import SERVED, STILL_WAITING
from simfunnel.numerics import holds, opening
from simfunnel.plan import DEAREST, NEWEST, NOWHERE, Plan

AT_ONCE, HANDING_OUT, RUNNING_OUT = 1, 2, 3
"""The order within one instant."""


class Clock(Protocol):
    """What a team needs of the run that it belongs to."""

    plan: Plan
    work_map: list[int]
    leaves: list[float]

    @property
    def now(self) -> float:
        """The time."""

    def wake(self, delay: float, order: int, then: Callable[[], None]) -> None:
        """Call `then` after a delay, at a place in the order of its instant."""

    def look(self, prospect: Prospect) -> None:
        """Bring up to date the facts that change with time."""


class Ready(Protocol):
    """An event that can be made to happen."""

    def succeed(self) -> Any:
        """Make it happen."""


class Ticket:
    """A prospect's request for one touch of a team's work; `late` is the outcome if nobody serves by the deadline."""

    __slots__ = ("asked", "deadline", "late", "member", "outcome", "place", "prospect", "ready")

    def __init__(self, prospect: Prospect, ready: Ready, asked: float, deadline: float, late: int) -> None:
        self.prospect = prospect
        self.ready = ready
        self.asked = asked
        self.deadline = deadline
        self.late = late
        self.outcome = STILL_WAITING
        self.member = NOWHERE
        self.place: tuple[float, ...] = ()

    def end(self, outcome: int) -> None:
        """The wait is over."""
        self.outcome = outcome
        self.ready.succeed()


class Team:
    """Members and the queue before them."""

    def __init__(self, run: Clock, t: int) -> None:
        plan = run.plan
        self.run = run
        self.number = t
        self.order = int(plan.teams.order[t])
        self.first = plan.teams.first[plan.teams.first_start[t] : plan.teams.first_start[t + 1]].tolist()
        self.owned = bool(plan.teams.owned[t])
        self.members = range(plan.teams.member_start[t], plan.teams.member_start[t + 1])
        self.free = list(self.members)
        self.only = plan.members.only.tolist()
        self.some_only = any(self.only[m] != NOWHERE for m in self.members)
        self.waiting: list[tuple[Any, ...]] = []
        self.fresh: list[Ticket] = []
        self.asked = 0
        self.called = False
        self.wake_at = math.inf

    def ask(self, ticket: Ticket) -> None:
        """Queue a ticket in the team's order; its event tells when the wait has ended."""
        run, facts = self.run, ticket.prospect.facts
        if self.first:
            run.look(ticket.prospect)
        rank = next((k for k, p in enumerate(self.first) if holds(run.plan.conditions, p, facts)), len(self.first))
        self.asked += 1
        within = {NEWEST: -self.asked, DEAREST: -float(facts[VALUE])}.get(self.order, 0)
        ticket.place = (rank, within, self.asked)
        insort(self.waiting, (*ticket.place, ticket))
        self.fresh.append(ticket)
        self.call()

    def release(self, member: int) -> None:
        """A member has ended a task."""
        self.free.append(member)
        if self.waiting:
            self.call()

    def call(self) -> None:
        """Hand out work at the end of this instant."""
        if not self.called:
            self.called = True
            self.run.wake(0.0, HANDING_OUT, self.hand_out)

    def hand_out(self) -> None:
        """Give waiting tickets, in their order, to free members within their hours; longest idle first."""
        self.called = False
        now = self.run.now
        opens = self._openings(now) if self.waiting else {}
        able = [m for m in self.free if opens.get(m) == now]
        k = 0
        while able and k < len(self.waiting):
            ticket: Ticket = self.waiting[k][-1]
            member = self._member_for(ticket.prospect, able)
            if member == NOWHERE:
                k += 1
                continue
            del self.waiting[k]
            able.remove(member)
            self.free.remove(member)
            ticket.member = member
            ticket.end(SERVED)
        for ticket in self.fresh:
            if ticket.outcome == STILL_WAITING and ticket.deadline < math.inf:
                self.run.wake(max(0.0, ticket.deadline - now), RUNNING_OUT, partial(self._run_out, ticket))
        self.fresh.clear()
        self._wake_when_someone_can(opens, now)

    def _openings(self, now: float) -> dict[int, float]:
        """When each free member next works; never after leaving."""
        run = self.run
        by_map = {k: float(opening(run.plan.maps, k, now)) for k in {run.work_map[m] for m in self.free}}
        begins = ((m, by_map[run.work_map[m]]) for m in self.free)
        return {m: t if t < run.leaves[m] else math.inf for m, t in begins}

    def _member_for(self, prospect: Prospect, able: list[int]) -> int:
        """The member of those able who may serve this prospect: its owner, or anyone whom it suits."""
        owner = prospect.owners.get(self.number, NOWHERE) if self.owned else NOWHERE
        if owner != NOWHERE and self.run.leaves[owner] > self.run.now:
            return owner if owner in able else NOWHERE
        if not self.some_only:
            return able[0]
        self.run.look(prospect)
        return next((m for m in able if self._suits(m, prospect)), NOWHERE)

    def _suits(self, member: int, prospect: Prospect) -> bool:
        rule = self.only[member]
        return rule == NOWHERE or bool(holds(self.run.plan.conditions, rule, prospect.facts))

    def _wake_when_someone_can(self, opens: dict[int, float], now: float) -> None:
        """Where someone waits, hand out again when a member comes on duty, or when an owner leaves whose deals wait."""
        if not self.waiting:
            return
        times = list(opens.values())
        if self.owned:
            times += [self.run.leaves[m] for m in self.members]
        change = min((t for t in times if t > now), default=math.inf)
        if change < math.inf and not now < self.wake_at <= change:
            self.wake_at = change
            self.run.wake(change - now, AT_ONCE, self.call)

    def _run_out(self, ticket: Ticket) -> None:
        """The patience of one who still waits, or its time in the stage, is over."""
        if ticket.outcome == STILL_WAITING:
            del self.waiting[bisect_left(self.waiting, ticket.place, key=lambda entry: entry[:-1])]
            ticket.end(ticket.late)
