"""The readable engine: one SimPy process for each prospect.

This file is the meaning of a scenario. At one instant everything that ends or arrives happens first, in the order in which
it was scheduled; then teams hand out work; then patience and limits of those who still wait run out.
"""

from __future__ import annotations

import importlib.util
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import simpy

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
    MoneyRows,
    Moves,
    Prospects,
    Records,
    Tasks,
    columns,
)
from simfunnel.errors import RunError
from simfunnel.numerics import (
    Floats,
    backward,
    choose,
    effect,
    holds,
    opening,
    quantile,
    quantile_beyond,
    survival,
    unit_exponential,
    work_end,
)
from simfunnel.plan import DEALS, DEAREST, LIST, NEWEST, NOWHERE, RATE, Plan
from simfunnel.randomness import child_key, purpose, root_key, uniform
from simfunnel.scenario.conditions import FACT, FACTS

AT_ONCE, HANDING_OUT, RUNNING_OUT = 1, 2, 3  # priorities within one instant; SimPy's NORMAL is 1
MAX_MOVES = 100_000  # of one prospect: more means a circle that takes no time
VISIT = 1024  # draws of one visit to a stage have indices VISIT * visit + touch

SOURCE, STAGE, MEMBER, GENERATION, VALUE, WAITED, TOUCHES, VISITS, AGE, DATE = range(10)
DATED = slice(FACT["quarter_day"], FACT["month"] + 1)
Life = Generator[simpy.Event, Any, None]
Leaving = tuple[int, int]


class Wake(simpy.Event):
    """An event of its own at a later time, with a place in the order of its instant."""

    def __init__(
        self, env: simpy.Environment, delay: float, order: int, then: Callable[[], None] | None = None
    ) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        if then is not None:
            self.callbacks.append(lambda _: then())  # type: ignore[union-attr]
        env.schedule(self, priority=order, delay=delay)  # type: ignore[arg-type]


class Prospect:
    """One who flows through the funnel; `facts` is what conditions may look at."""

    __slots__ = ("born", "children", "facts", "key", "number", "owners", "reward", "visits")

    def __init__(self, number: int, key: int, facts: Floats, born: float, stages: int, reward: float) -> None:
        self.number = number
        self.key = key
        self.facts = facts
        self.born = born
        self.visits = [0] * stages
        self.owners: dict[int, int] = {}
        self.children: dict[int, int] = {}
        self.reward = reward


class Ticket:
    """A prospect's request for one touch of a team's work."""

    __slots__ = ("asked", "deadline", "granted", "late", "member", "outcome", "place", "prospect", "ready")

    def __init__(self, prospect: Prospect, ready: simpy.Event, asked: float, deadline: float, late: int) -> None:
        self.prospect = prospect
        self.ready = ready
        self.asked = asked
        self.deadline = deadline
        self.late = late
        self.outcome = STILL_WAITING
        self.member = NOWHERE
        self.place: tuple[float, ...] = ()


class Team:
    """Members and the queue before them."""

    def __init__(self, run: Replication, t: int) -> None:
        plan = run.plan
        self.run = run
        self.number = t
        self.order = int(plan.teams.order[t])
        self.first = plan.teams.first[plan.teams.first_start[t] : plan.teams.first_start[t + 1]].tolist()
        self.owned = bool(plan.teams.owned[t])
        self.free = list(range(plan.teams.member_start[t], plan.teams.member_start[t + 1]))
        self.maps = sorted({int(plan.members.work_map[m]) for m in self.free})
        self.only = plan.members.only.tolist()
        self.picky = self.owned or any(self.only[m] != NOWHERE for m in self.free)
        self.waiting: list[tuple[Any, ...]] = []
        self.fresh: list[Ticket] = []
        self.asked = 0
        self.called = False
        self.wake_at = math.inf

    def ask(self, ticket: Ticket) -> simpy.Event:
        """Queue a ticket in the team's order; its event tells how the wait ended."""
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
        return ticket.ready

    def release(self, member: int) -> None:
        """A member has ended a task."""
        self.free.append(member)
        if self.waiting:
            self.call()

    def call(self) -> None:
        """Hand out work at the end of this instant."""
        if not self.called:
            self.called = True
            Wake(self.run.env, 0.0, HANDING_OUT, self.hand_out)

    def hand_out(self) -> None:
        """Give waiting tickets, in their order, to free members within their hours; longest idle first."""
        self.called = False
        run, now = self.run, self.run.env.now
        opens = {k: float(opening(run.plan.maps, k, now)) for k in self.maps} if self.waiting else {}
        able = [m for m in self.free if opens.get(run.work_map[m]) == now and now < run.leaves[m]]
        k = 0
        while able and k < len(self.waiting):
            ticket: Ticket = self.waiting[k][-1]
            member = self._member_for(ticket.prospect, able) if self.picky else able[0]
            if member == NOWHERE:
                k += 1
                continue
            del self.waiting[k]
            able.remove(member)
            self.free.remove(member)
            ticket.member = member
            self._end(ticket, SERVED)
        for ticket in self.fresh:
            if ticket.outcome == STILL_WAITING and ticket.deadline < math.inf:
                Wake(run.env, max(0.0, ticket.deadline - now), RUNNING_OUT, lambda t=ticket: self._give_up(t))
        self.fresh.clear()
        self._wake_at_opening(opens, now)

    def _member_for(self, prospect: Prospect, able: list[int]) -> int:
        """The member of those able who may serve this prospect: its owner, or anyone whom it suits."""
        owner = prospect.owners.get(self.number, NOWHERE)
        if self.owned and owner != NOWHERE and self.run.leaves[owner] > self.run.env.now:
            return owner if owner in able else NOWHERE
        self.run.look(prospect)
        fitting = (m for m in able if self._suits(m, prospect))
        return next(fitting, NOWHERE)

    def _suits(self, member: int, prospect: Prospect) -> bool:
        rule = self.only[member]
        return rule == NOWHERE or bool(holds(self.run.plan.conditions, rule, prospect.facts))

    def _wake_at_opening(self, opens: dict[int, float], now: float) -> None:
        """Where someone waits while members are off duty, hand out work again when the first of them is back."""
        if not self.waiting or all(opens[k] == now for k in self.maps):
            return
        leaves, work_map = self.run.leaves, self.run.work_map
        off_duty = (opens[work_map[m]] for m in self.free if now < opens[work_map[m]] < leaves[m])
        next_opening = min(off_duty, default=math.inf)
        if next_opening < math.inf and not now < self.wake_at <= next_opening:
            self.wake_at = next_opening
            Wake(self.run.env, next_opening - now, AT_ONCE, self.call)

    def _give_up(self, ticket: Ticket) -> None:
        if ticket.outcome == STILL_WAITING:
            del self.waiting[bisect_left(self.waiting, ticket.place, key=lambda entry: entry[:-1])]
            self._end(ticket, ticket.late)

    @staticmethod
    def _end(ticket: Ticket, outcome: int) -> None:
        ticket.outcome = outcome
        ticket.ready.succeed()


class Replication:
    """One run of a plan under one seed and replication number."""

    def __init__(self, plan: Plan, seed: int, replication: int) -> None:
        self.plan = plan
        self.seed = seed
        self.replication = replication
        self.env = simpy.Environment()
        self.work_map = plan.members.work_map.tolist()
        self.leaves = plan.members.leaves.tolist()
        self.teams = [Team(self, t) for t in range(len(plan.team_names))]
        self.has_effects = (np.diff(plan.effects.slot_start) > 0).tolist()
        self.plugins = [_plugin(plan.plugin_folder, text) if text else None for text in plan.stages.plugin]
        self.prospects: list[tuple[float, ...]] = []
        self.attributes: list[Floats] = []
        self.moves: list[tuple[float, ...]] = []
        self.tasks: list[tuple[float, ...]] = []
        self.money: list[tuple[float, ...]] = []

    def run(self) -> Records:
        """Run to the horizon and hand over the records."""
        starters = {RATE: self.stream, LIST: self.whole_list, DEALS: self.open_deals}
        for source, kind in enumerate(self.plan.sources.kind.tolist()):
            if kind in starters:
                self.env.process(starters[kind](source))
        self.env.run(until=self.plan.days)
        for team in self.teams:
            for entry in team.waiting:
                self._note_task(entry[-1], team.number, math.nan)
        return Records(
            Prospects(*columns(self.prospects, "iiiiffi"), self._attributes()),
            Moves(*columns(self.moves, "fiiiii")),
            Tasks(*columns(self.tasks, "iiiiiiffff")),
            MoneyRows(*columns(self.money, "fiiif")),
            events=_count_of_events(self.env),
        )

    def _attributes(self) -> Floats:
        shape = (len(self.attributes), len(self.plan.attribute_names))
        return np.array(self.attributes, dtype=np.float64).reshape(shape)

    # --- draws ---

    def draw(self, prospect: Prospect, what: int, index: int) -> float:
        """The prospect's own random number for a purpose."""
        return float(uniform(self.seed, self.replication, prospect.key, what, index))

    def sample(self, distribution: int, prospect: Prospect, what: int, index: int) -> float:
        """A draw from a distribution."""
        return float(quantile(self.plan.tables, distribution, self.draw(prospect, what, index)))

    def look(self, prospect: Prospect) -> None:
        """Bring up to date the facts that change with time."""
        now = self.env.now
        facts = prospect.facts
        facts[AGE] = now - prospect.born
        facts[DATE] = now
        facts[DATED] = self.plan.day_facts[int(now)]

    def factor(self, slot: int, prospect: Prospect) -> float:
        """The product of the effects that apply to this prospect now."""
        if not self.has_effects[slot]:
            return 1.0
        self.look(prospect)
        return float(effect(self.plan.effects, self.plan.conditions, slot, prospect.facts, self.env.now))

    # --- arrivals ---

    def stream(self, source: int) -> Life:
        """Prospects along a rate: unit exponential gaps through the inverse of the cumulative rate."""
        plan = self.plan
        key, what = int(plan.sources.key[source]), purpose("arrival")
        total, number = 0.0, 0
        while True:
            total += unit_exponential(uniform(self.seed, self.replication, key, what, number))
            time = backward(plan.maps, plan.sources.rate_map[source], total)
            if time >= plan.days:
                return
            yield self.env.timeout(max(0.0, time - self.env.now))
            self.comes(source, number)
            number += 1

    def whole_list(self, source: int) -> Life:
        """A list of prospects, all at one instant."""
        yield self.env.timeout(max(0.0, float(self.plan.sources.at[source])))
        for number in range(int(self.plan.sources.size[source])):
            self.comes(source, number)

    def comes(self, source: int, number: int) -> None:
        """The `number`-th prospect of a source comes."""
        sources = self.plan.sources
        prospect = self.born(source, child_key(int(sources.key[source]), purpose("prospect"), number))
        self.env.process(self.live(prospect, int(sources.enters[source])))

    def open_deals(self, source: int) -> Life:
        """Deals that are under way at the start, each where it stands."""
        plan = self.plan
        for row in np.flatnonzero(plan.deals.source == source).tolist():
            prospect = self.born(source, int(plan.deals.key[row]), deal=row)
            owner = int(plan.deals.owner[row])
            stage = int(plan.deals.stage[row])
            for team in self.teams:
                if plan.teams.member_start[team.number] <= owner < plan.teams.member_start[team.number + 1]:
                    prospect.owners[team.number] = owner
                    prospect.facts[MEMBER] = owner
            self.env.process(self.live(prospect, stage, float(plan.deals.age[row]), OPENED))
        yield self.env.timeout(0.0)

    def born(
        self, source: int, key: int, *, parent: Prospect | None = None, reward: float = 0.0, deal: int = NOWHERE
    ) -> Prospect:
        """A new prospect with its attributes and value drawn."""
        plan = self.plan
        facts = np.zeros(plan.n_facts)
        facts[SOURCE] = source
        facts[MEMBER] = NOWHERE
        facts[GENERATION] = parent.facts[GENERATION] + 1 if parent else 0
        prospect = Prospect(len(self.prospects), int(key), facts, self.env.now, plan.n_stages, reward)
        self._draw_attributes(prospect, deal)
        number = parent.number if parent else NOWHERE
        row = (key, source, number, int(facts[GENERATION]), self.env.now, float(facts[VALUE]), deal)
        self.prospects.append(row)
        self.attributes.append(facts[len(FACTS) :].copy())
        self.pay(prospect, NOWHERE, SOURCE_COST, float(plan.sources.cost_each[source]))
        return prospect

    def _draw_attributes(self, prospect: Prospect, deal: int) -> None:
        plan, facts = self.plan, prospect.facts
        drawn, deals = plan.drawn, plan.deals
        for a in range(len(drawn.fact)):
            place = int(drawn.fact[a])
            is_value = place == VALUE
            known = math.nan
            if deal != NOWHERE:
                known = float(deals.value[deal]) if is_value else float(deals.attributes[deal, place - len(FACTS)])
            if not math.isnan(known):
                facts[place] = known
                continue
            code = 0 if drawn.by[a] == NOWHERE else int(facts[drawn.by[a]])
            case = drawn.case[drawn.case_start[a] + code]
            facts[place] = self.sample(case, prospect, int(drawn.purpose[a]), 0)
            if is_value:
                facts[VALUE] *= self.factor(plan.slots.value, prospect)

    # --- the life of a prospect ---

    def live(self, prospect: Prospect, place: int, age: float = 0.0, cause: int = STARTED) -> Life:
        """From stage to stage until an end, or for ever."""
        origin, moves = NOWHERE, 0
        while True:
            self.note_move(prospect, origin, place, cause)
            if place >= self.plan.n_stages:
                prospect.facts[STAGE] = place
                return
            origin = place
            place, cause = yield from self.stay(prospect, place, age, origin_known=cause == OPENED)
            age = 0.0
            moves += 1
            if moves > MAX_MOVES:
                name = self.plan.place_names[origin]
                raise RunError(f"a prospect moved {MAX_MOVES:,} times, last from '{name}': a circle that takes no time")

    def stay(self, p: Prospect, s: int, age: float, *, origin_known: bool) -> Generator[simpy.Event, Any, Leaving]:
        """One stay in a stage: the goal and the cause of leaving. `age` is how long a deal has been there already."""
        stages, now = self.plan.stages, self.env.now
        visit = p.visits[s]
        p.visits[s] += 1
        p.facts[STAGE], p.facts[VISITS] = s, visit
        p.facts[TOUCHES] = p.facts[WAITED] = 0.0
        if not origin_known:
            self.enter(p, s)
            goal = self.routed(p, s)
            if goal != NOWHERE:
                return goal, ROUTED
        for rule in range(stages.refers_start[s], stages.refers_start[s + 1]):
            self.refer(p, s, rule, visit, now - age, 0)
        deadline = math.inf
        if stages.limit[s] != NOWHERE:
            u = self.draw(p, int(self.plan.purposes.limit[s]), visit)
            deadline = now - age + quantile_beyond(self.plan.tables, stages.limit[s], age, u) if age else (
                now + quantile(self.plan.tables, stages.limit[s], u)
            )  # fmt: skip
        if stages.team[s] != NOWHERE and age == 0.0:
            left = yield from self.be_worked_on(p, s, visit, deadline)
            if left is not None:
                return left
        return (yield from self.leave(p, s, visit, age, deadline))

    def leave(
        self, p: Prospect, s: int, visit: int, age: float, deadline: float
    ) -> Generator[simpy.Event, Any, Leaving]:
        """Choose the exit by odds, then its time; the limit may come first."""
        plan, now = self.plan, self.env.now
        e, wait = self.choose_exit(p, s, visit, age)
        if now + wait <= deadline and wait < math.inf:
            yield self.env.timeout(wait)
            for k in range(plan.exits.set_start[e], plan.exits.set_start[e + 1]):
                p.facts[plan.exits.set_fact[k]] = plan.exits.set_value[k]
            return int(plan.exits.to[e]), EXITED
        if deadline < math.inf:
            yield self.env.timeout(max(0.0, deadline - now))
            return int(plan.stages.limit_to[s]), LIMITED
        yield self.env.event()  # for ever
        raise AssertionError("nobody comes back from here")

    def choose_exit(self, p: Prospect, s: int, visit: int, age: float) -> tuple[int, float]:
        """The exit taken, and the time until then; infinity for one who never leaves.

        A deal of known age has survived so long: each exit's odds are weighed by the chance that its time exceeds the
        age, and the time is drawn from what is beyond it.
        """
        plan, slots = self.plan, self.plan.slots
        first, last = int(plan.stages.exit_start[s]), int(plan.stages.exit_start[s + 1])
        member = int(p.facts[MEMBER])
        skill = float(plan.members.skill[member]) if member != NOWHERE else 1.0
        weights = np.empty(last - first)
        for e in range(first, last):
            weight = float(plan.exits.chance[e]) * self.factor(slots.odds(e), p)
            if plan.exits.forward[e] and plan.stages.team[s] != NOWHERE:
                weight *= skill
            if age and plan.exits.to[e] != NOWHERE:
                weight *= survival(plan.tables, plan.exits.after[e], age / self.factor(slots.time(e), p))
            weights[e - first] = weight
        k = choose(weights, self.draw(p, int(plan.purposes.choice[s]), visit))
        if k < 0 or plan.exits.to[first + k] == NOWHERE:
            return NOWHERE, math.inf
        e = first + k
        u, stretch = self.draw(p, int(plan.purposes.after[e]), visit), self.factor(slots.time(e), p)
        if age:
            return e, max(0.0, quantile_beyond(plan.tables, plan.exits.after[e], age / stretch, u) * stretch - age)
        return e, quantile(plan.tables, plan.exits.after[e], u) * stretch

    def be_worked_on(
        self, p: Prospect, s: int, visit: int, deadline: float
    ) -> Generator[simpy.Event, Any, Leaving | None]:
        """All touches of a stage; the goal and the cause where the prospect leaves before they are done."""
        plan, stages, purposes = self.plan, self.plan.stages, self.plan.purposes
        team = self.teams[stages.team[s]]
        touches = int(stages.touches[s])
        for touch in range(touches):
            index = VISIT * visit + touch
            ticket = Ticket(p, self.env.event(), self.env.now, *self.patience(p, s, index, deadline))
            yield team.ask(ticket)
            if ticket.outcome != SERVED:
                self._note_task(ticket, team.number, self.env.now)
                return (
                    (int(stages.gives_up[s]), RENEGED)
                    if ticket.outcome == GAVE_UP
                    else (int(stages.limit_to[s]), LIMITED)
                )
            yield from self.touch(p, s, team, ticket, index)
            if self.env.now >= deadline:
                return int(stages.limit_to[s]), LIMITED
            if touch < touches - 1:
                gap = self.sample(stages.every[s], p, int(purposes.every[s]), index)
                if self.env.now + gap > deadline:
                    yield self.env.timeout(deadline - self.env.now)
                    return int(stages.limit_to[s]), LIMITED
                yield self.env.timeout(gap)
        return None

    def patience(self, p: Prospect, s: int, index: int, deadline: float) -> tuple[float, int]:
        """Until when a prospect waits for a member, and what it means when that time runs out."""
        distribution = int(self.plan.stages.patience[s])
        if distribution == NOWHERE:
            return deadline, OUT_OF_TIME
        patience = self.sample(distribution, p, int(self.plan.purposes.patience[s]), index)
        until = self.env.now + patience * self.factor(self.plan.slots.patience(s), p)
        return (until, GAVE_UP) if until <= deadline else (deadline, OUT_OF_TIME)

    def touch(self, p: Prospect, s: int, team: Team, ticket: Ticket, index: int) -> Life:
        """One task: effort on the member's calendar."""
        plan, now, member = self.plan, self.env.now, ticket.member
        if p.facts[TOUCHES] == 0.0:
            p.facts[WAITED] = now - ticket.asked
        p.facts[MEMBER] = member
        p.owners.setdefault(team.number, member)
        if team.owned and self.leaves[p.owners[team.number]] <= now:
            p.owners[team.number] = member
        hours = self.sample(plan.stages.effort[s], p, int(plan.purposes.effort[s]), index)
        hours *= self.factor(plan.slots.effort(s), p)
        ends = work_end(plan.maps, self.work_map[member], now, hours)
        self._note_task(ticket, team.number, now, ends)
        self.pay(p, s, TOUCH_COST, float(plan.stages.touch_cost[s]))
        yield self.env.timeout(ends - now)
        p.facts[TOUCHES] += 1.0
        team.release(member)

    # --- what happens on entry ---

    def enter(self, p: Prospect, s: int) -> None:
        """Book, receive and spend; pay the reward of one who becomes a customer."""
        stages, value = self.plan.stages, float(p.facts[VALUE])
        for kind, amounts in ((BOOKED, stages.books), (PAID, stages.cash), (STAGE_COST, stages.cost)):
            fixed, share = amounts[s]
            self.pay(p, s, kind, float(fixed + share * value))
        if stages.customer[s] and p.reward:
            self.pay(p, s, REWARD, p.reward)
            p.reward = 0.0

    def pay(self, p: Prospect, s: int, kind: int, amount: float) -> None:
        """Note an amount, if there is any."""
        if amount:
            self.money.append((self.env.now, p.number, s, kind, amount))

    def routed(self, p: Prospect, s: int) -> int:
        """Where a rule of the stage sends the prospect at once, or NOWHERE."""
        plan = self.plan
        plugin = self.plugins[s]
        if plugin is not None:
            self.look(p)
            return self._place_of(plugin(self._view(p)), plan.stages.plugin[s])
        for r in range(plan.stages.route_start[s], plan.stages.route_start[s + 1]):
            self.look(p)
            if holds(plan.conditions, plan.routes.predicate[r], p.facts):
                return int(plan.routes.to[r])
        return NOWHERE

    def _place_of(self, name: object, rule: str) -> int:
        names = self.plan.place_names
        if name is None:
            return NOWHERE
        if name not in names:
            raise RunError(f"the routing rule {rule} returned {name!r}; allowed: {', '.join(names)}, or None")
        return names.index(str(name))

    def _view(self, p: Prospect) -> dict[str, Any]:
        """A prospect's facts by name, categories as their names: what a rule in Python sees."""
        plan, view = self.plan, {name: float(p.facts[k]) for name, k in FACT.items()}
        named: dict[str, Any] = dict(view)
        named["source"] = plan.source_names[int(p.facts[SOURCE])]
        named["stage"] = plan.place_names[int(p.facts[STAGE])]
        named["member"] = plan.member_names[int(p.facts[MEMBER])] if p.facts[MEMBER] != NOWHERE else None
        for k, (name, levels) in enumerate(zip(plan.attribute_names, plan.attribute_levels, strict=True)):
            code = float(p.facts[len(FACTS) + k])
            named[name] = levels[int(code)] if levels else code
        return named

    def refer(self, p: Prospect, s: int, rule: int, visit: int, entered: float, round_: int) -> None:
        """Bring the new prospects of one round, which began at `entered`; rounds go on while the prospect stays."""
        plan, purposes, now = self.plan, self.plan.purposes, self.env.now
        referrals, here = plan.referrals, p.visits[s]
        while True:
            number = self.sample(referrals.number[rule], p, int(purposes.number[rule]), VISIT * visit + round_)
            for _ in range(int(number)):
                child = p.children.get(rule, 0)
                p.children[rule] = child + 1
                comes = entered + self.sample(referrals.after[rule], p, int(purposes.child_after[rule]), child)
                if comes >= now:
                    Wake(self.env, comes - now, AT_ONCE, lambda k=child: self.referred(p, rule, k))
            if referrals.every[rule] == NOWHERE:
                return
            entered += self.sample(referrals.every[rule], p, int(purposes.round[rule]), VISIT * visit + round_)
            round_ += 1
            if entered > now:
                break
            if round_ > MAX_MOVES:
                raise RunError(f"'{plan.place_names[s]}' refers without end in no time; give every: a time above 0")

        def again() -> None:
            if p.facts[STAGE] == s and p.visits[s] == here:
                self.refer(p, s, rule, visit, entered, round_)

        Wake(self.env, entered - now, AT_ONCE, again)

    def referred(self, parent: Prospect, rule: int, child: int) -> None:
        """One referred prospect comes."""
        plan = self.plan
        source = int(plan.referrals.source[rule])
        key = child_key(parent.key, int(plan.purposes.child[rule]), child)
        prospect = self.born(source, key, parent=parent, reward=float(plan.referrals.reward[rule]))
        self.env.process(self.live(prospect, int(plan.sources.enters[source])))

    # --- records ---

    def note_move(self, p: Prospect, origin: int, goal: int, cause: int) -> None:
        """Note a passage from place to place."""
        self.moves.append((self.env.now, p.number, origin, goal, cause, int(p.facts[MEMBER])))

    def _note_task(self, ticket: Ticket, team: int, time: float, ends: float = math.nan) -> None:
        """Note a touch when it begins, or when its prospect stops waiting."""
        p = ticket.prospect
        served = ticket.outcome == SERVED
        begun, left = (time, math.nan) if served else (math.nan, time)
        stage, touch = int(p.facts[STAGE]), int(p.facts[TOUCHES])
        self.tasks.append(
            (p.number, stage, team, ticket.member, touch, ticket.outcome, ticket.asked, begun, ends, left)
        )


def run(plan: Plan, seed: int, replication: int) -> Records:
    """Run one replication of a plan. Raises RunError where the model can't go on."""
    return Replication(plan, seed, replication).run()


def _count_of_events(env: simpy.Environment) -> int:
    """How many events SimPy has scheduled."""
    return int(next(env._eid))


def _plugin(folder: str, text: str) -> Callable[[dict[str, Any]], object]:
    """The user's routing function from `file.py:function`."""
    file, _, name = text.partition(":")
    path = Path(folder) / file
    spec = importlib.util.spec_from_file_location(f"simfunnel_rule_{root_key(str(path))}", path)
    if spec is None or spec.loader is None:
        raise RunError(f"the routing rule {text} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise RunError(f"{file} has no function '{name}'")
    return function  # type: ignore[no-any-return]
