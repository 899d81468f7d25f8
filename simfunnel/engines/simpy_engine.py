"""The readable engine: one SimPy process for each prospect.

This file is the meaning of a scenario. At one instant everything that ends or arrives happens first, in the order in
which it was scheduled; then teams hand out work (`teams`); then patience and limits of those who still wait run out.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import simpy

from simfunnel.engines import bounds
from simfunnel.engines.prospects import (
    AGE,
    DATE,
    DATED,
    GENERATION,
    MEMBER,
    SOURCE,
    STAGE,
    TOUCHES,
    VALUE,
    VISITS,
    WAITED,
    Prospect,
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
    Collector,
    Records,
)
from simfunnel.engines.rules import Rule
from simfunnel.engines.teams import AT_ONCE, Team, Ticket
from simfunnel.errors import RunError
from simfunnel.numerics import (
    AGAIN,
    MISSES,
    MOST_MISSES,
    PASSED,
    TAKES_PLACE,
    backward,
    choose,
    effect,
    holds,
    pace_since,
    pace_wait,
    quantile,
    quantile_beyond,
    rounded,
    still_there,
    time_left,
    unit_exponential,
    work_end,
)
from simfunnel.plan import DEALS, LIST, NOWHERE, RATE, Plan
from simfunnel.randomness import child_key, purpose, uniform
from simfunnel.scenario.conditions import FACTS
from simfunnel.units import MINUTE

VISIT = 1024  # draws of one visit to a stage have indices VISIT * visit + touch

Life = Generator[simpy.Event, Any, None]
Leaving = tuple[int, int]


class Wake(simpy.Event):
    """An event of its own at a later time, with a place in the order of its instant."""

    def __init__(self, env: simpy.Environment, delay: float, order: int, then: Callable[[], None]) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        self.callbacks.append(lambda _: then())
        env.schedule(self, priority=order, delay=delay)  # type: ignore[arg-type]


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
        self.stages, self.exits, self.sources, self.drawn, self.referrals, self.purposes = map(
            _listed, (plan.stages, plan.exits, plan.sources, plan.drawn, plan.referrals, plan.purposes)
        )
        self.has_effects = (np.diff(plan.effects["slot_start"]) > 0).tolist()
        self.on_entry = [_money_on_entry(plan, s) for s in range(plan.n_stages)]
        self.rules = [Rule(plan, text) if text else None for text in plan.plugins]
        self.log = Collector(len(plan.attribute_names))
        self.stock = np.zeros(len(plan.place_names))
        self.stock_facts = slice(plan.n_facts - len(plan.stocks), plan.n_facts)
        self.has_stocks = bool(len(plan.stocks))
        self.stopped = False
        self.referred_in_all = 0
        self.referred_at_once = (0.0, 0)

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
        return self.log.records(_count_of_events(self.env))

    @property
    def now(self) -> float:
        """The time."""
        return float(self.env.now)

    def wake(self, delay: float, order: int, then: Callable[[], None]) -> None:
        """Call `then` after a delay, at a place in the order of its instant."""
        Wake(self.env, delay, order, then)

    def stop(self, error: RunError) -> NoReturn:
        """Raise an error. SimPy passes it on at the end of the instant; all others stand still until then."""
        self.stopped = True
        raise error

    # --- draws ---

    def draw(self, prospect: Prospect, what: int, index: int) -> float:
        """The prospect's own random number for a purpose."""
        return float(uniform(self.seed, self.replication, prospect.key, what, index))

    def sample(self, distribution: int, prospect: Prospect, what: int, index: int) -> float:
        """A draw from a distribution."""
        return float(quantile(self.plan.tables, distribution, self.draw(prospect, what, index)))

    def look(self, prospect: Prospect, at: float | None = None) -> None:
        """Bring the facts that change with time to a time; now, unless one is said."""
        now = self.env.now if at is None else at
        facts = prospect.facts
        facts[AGE] = now - prospect.since
        facts[DATE] = now
        facts[DATED] = self.plan.day_facts[int(now)]
        if self.has_stocks:
            facts[self.stock_facts] = self.stock[self.plan.stocks]

    def factor(self, slot: int, prospect: Prospect, at: float | None = None) -> float:
        """The product of the effects that apply to this prospect at a time; now, unless one is said."""
        if not self.has_effects[slot]:
            return 1.0
        self.look(prospect, at)
        now = self.env.now if at is None else at
        return float(effect(self.plan.effects, self.plan.conditions, slot, prospect.facts, now))

    # --- arrivals ---

    def stream(self, source: int) -> Life:
        """Prospects along a rate: unit exponential gaps through the inverse of the cumulative rate."""
        plan = self.plan
        key, what = self.sources.key[source], purpose("arrival")
        ceiling = self.sources.ceiling[source] or 1.0
        total, number = 0.0, 0
        while True:
            total += unit_exponential(uniform(self.seed, self.replication, key, what, number))
            time = backward(plan.maps, self.sources.rate_map[source], total / ceiling)
            if time >= plan.days:
                return
            yield self.env.timeout(max(0.0, time - self.env.now))
            self.comes(source, number)
            number += 1

    def whole_list(self, source: int) -> Life:
        """A list of prospects, all at one instant."""
        yield self.env.timeout(max(0.0, self.sources.at[source]))
        for number in range(self.sources.size[source]):
            self.comes(source, number)

    def comes(self, source: int, number: int) -> None:
        """The `number`-th prospect of a source comes, or the `number`-th one whom a team is to visit."""
        sources = self.sources
        key = int(child_key(int(sources.key[source]), purpose("prospect"), number))
        if sources.ceiling[source] and not self.is_kept(source, key):
            return
        if sources.team[source] != NOWHERE:
            self.env.process(self.visit(self.nobody(source, key)))
        else:
            self.env.process(self.live(self.born(source, key), sources.enters[source]))

    def nobody(self, source: int, key: int) -> Prospect:
        """One of whom nothing is known but the source; no condition on anything else can hold."""
        facts = np.full(self.plan.n_facts, math.nan)
        facts[SOURCE], facts[STAGE], facts[MEMBER] = source, NOWHERE, NOWHERE
        facts[VALUE] = facts[GENERATION] = facts[TOUCHES] = 0.0
        return Prospect(NOWHERE, key, facts, self.env.now, self.plan.n_stages, 0.0)

    def is_kept(self, source: int, key: int) -> bool:
        """Whether a candidate of a source whose arrivals depend on stocks comes, by a draw of its own."""
        candidate = self.nobody(source, key)
        share = self.factor(self.plan.slots.arrivals(source), candidate) / self.sources.ceiling[source]
        return bool(self.draw(candidate, purpose("thinned"), 0) < share)

    def visit(self, visited: Prospect) -> Life:
        """A task that finds prospects; the member who found them keeps them where deals are owned."""
        source = int(visited.facts[SOURCE])
        team = self.teams[self.sources.team[source]]
        ready = self.env.event()
        ticket = Ticket(visited, ready, self.env.now, math.inf, STILL_WAITING)
        team.ask(ticket)
        yield ready
        hours = self.sample(self.sources.effort[source], visited, purpose("effort"), 0)
        yield from self.work(ticket, team, hours)
        number = self.sample(self.sources.yields[source], visited, purpose("yields"), 0)
        for k in range(int(number)):
            prospect = self.born(source, child_key(visited.key, purpose("found"), k))
            prospect.owners[team.number] = ticket.member
            prospect.facts[MEMBER] = ticket.member
            self.env.process(self.live(prospect, self.sources.enters[source]))

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
        self,
        source: int,
        key: int,
        *,
        parent: Prospect | None = None,
        reward: float = 0.0,
        same: bool = False,
        deal: int = NOWHERE,
    ) -> Prospect:
        """A new prospect with its attributes and value drawn; the `same` one as its parent keeps its own."""
        plan = self.plan
        facts = np.zeros(plan.n_facts)
        facts[SOURCE] = source
        facts[MEMBER] = NOWHERE
        facts[GENERATION] = parent.facts[GENERATION] + (not same) if parent else 0
        since = self.env.now - (float(plan.deals.age[deal]) if deal != NOWHERE else 0.0)
        prospect = Prospect(len(self.log.prospects), int(key), facts, since, plan.n_stages, reward)
        if parent and same:
            facts[MEMBER] = parent.facts[MEMBER]
            prospect.owners.update(parent.owners)
        self._draw_attributes(prospect, deal, parent if same else None)
        number = parent.number if parent else NOWHERE
        row = (key, source, number, int(facts[GENERATION]), self.env.now, float(facts[VALUE]), deal)
        self.log.prospects.append(row)
        self.log.attributes.append(facts[len(FACTS) : len(FACTS) + len(plan.attribute_names)].copy())
        self.pay(prospect, NOWHERE, SOURCE_COST, self.sources.cost_each[source])
        return prospect

    def _draw_attributes(self, prospect: Prospect, deal: int, same: Prospect | None) -> None:
        plan, facts = self.plan, prospect.facts
        drawn, deals = self.drawn, plan.deals
        for a in range(len(drawn.fact)):
            place = int(drawn.fact[a])
            is_value = place == VALUE
            known = float(same.facts[place]) if same and not drawn.anew[a] else math.nan
            if deal != NOWHERE:
                known = float(deals.value[deal]) if is_value else float(plan.known_of[deal, place - len(FACTS)])
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
        origin, moves, since = NOWHERE, 0, self.env.now
        while not self.stopped:
            self.note_move(prospect, origin, place, cause)
            if place >= self.plan.n_stages:
                prospect.facts[STAGE] = place
                return
            origin = place
            place, cause = yield from self.stay(prospect, place, age, opened=cause == OPENED)
            age = 0.0
            moves, since = (moves + 1, since) if self.env.now - since < MINUTE else (0, self.env.now)
            if moves > bounds.MAX_MOVES:
                self.stop(bounds.circle(self.plan.place_names[origin]))

    def stay(self, p: Prospect, s: int, age: float, *, opened: bool) -> Generator[simpy.Event, Any, Leaving]:
        """One stay in a stage: the goal and the cause of leaving. `age` is how long a deal has been there already."""
        stages, now = self.stages, self.env.now
        visit = p.visits[s]
        p.visits[s] += 1
        p.facts[STAGE], p.facts[VISITS] = s, visit
        p.facts[TOUCHES] = p.facts[WAITED] = 0.0
        if not opened:
            self.enter(p, s)
            goal = self.routed(p, s)
            if goal != NOWHERE:
                return goal, ROUTED
        for rule in range(stages.refers_start[s], stages.refers_start[s + 1]):
            self.refer(p, s, rule, visit, now - age, 0)
        deadline = math.inf
        if stages.limit[s] != NOWHERE:
            u = self.draw(p, self.purposes.limit[s], visit)
            deadline = now - age + quantile_beyond(self.plan.tables, stages.limit[s], age, u) if age else (
                now + quantile(self.plan.tables, stages.limit[s], u)
            )  # fmt: skip
        if stages.touches[s] and age == 0.0:
            left = yield from self.be_worked_on(p, s, visit, deadline)
            if left is not None:
                return left
        return (yield from self.leave(p, s, visit, age, deadline))

    def leave(
        self, p: Prospect, s: int, visit: int, age: float, deadline: float
    ) -> Generator[simpy.Event, Any, Leaving]:
        """Choose the exit by odds, then its time; the limit may come first."""
        now = self.env.now
        e, wait = self.choose_exit(p, s, visit, age, deadline)
        if now + wait <= deadline and wait < math.inf:
            yield self.env.timeout(wait)
            for k in range(self.exits.set_start[e], self.exits.set_start[e + 1]):
                p.facts[self.exits.set_fact[k]] = self.exits.set_value[k]
            return self.exits.to[e], EXITED
        if deadline < math.inf:
            yield self.env.timeout(max(0.0, deadline - now))
            return self.stages.limit_to[s], LIMITED
        yield self.env.event()  # for ever
        raise AssertionError("nobody comes back from here")

    def choose_exit(self, p: Prospect, s: int, visit: int, age: float, deadline: float) -> tuple[int, float]:
        """The exit taken, and the time until then; infinity for one who never leaves.

        An exit that falls due takes place as its hazard then tells. If it does not, the prospect is one who has stayed
        so long, and all is drawn again.
        """
        now = at = self.env.now
        for missed in range(MOST_MISSES + 1):
            e, wait = self.next_exit(p, s, visit, age, at, missed)
            due = at + wait
            slot = self.plan.slots.hazard(e) if e != NOWHERE else NOWHERE
            if slot == NOWHERE or not self.has_effects[slot] or wait == 0.0 or due > deadline or due >= self.plan.days:
                break
            u = self.draw(p, int(self.purposes.after[e]) ^ TAKES_PLACE, visit << MISSES | missed)
            if missed == MOST_MISSES or u < self.factor(slot, p, due):
                break
            at, age = due, age + wait
        return e, wait + (at - now)

    def next_exit(self, p: Prospect, s: int, visit: int, age: float, at: float, missed: int) -> tuple[int, float]:
        """The exit that falls due next at a time, and how long until then.

        A deal of known age has survived so long: each exit's odds are weighed by the chance that its time exceeds the
        age, and the time is drawn from what is beyond it.
        """
        plan, slots = self.plan, self.plan.slots
        first, last = self.stages.exit_start[s], self.stages.exit_start[s + 1]
        again, index, passed = (AGAIN, visit << MISSES | missed, PASSED) if missed else (0, visit, 0.0)
        skill = self.skill(p, s)
        weights = np.empty(last - first)
        for e in range(first, last):
            weight = self.exits.chance[e] * self.factor(slots.odds(e), p, at)
            if self.exits.forward[e]:
                weight *= skill
            if age and self.exits.to[e] != NOWHERE:
                stretch, old = self.factor(slots.time(e), p, at), self.old(e, age, at)
                weight *= still_there(plan.tables, self.exits.after[e], old + passed, stretch)
            weights[e - first] = weight
        k = choose(weights, self.draw(p, int(self.purposes.choice[s]) ^ again, index))
        if k < 0 or self.exits.to[first + k] == NOWHERE:
            return NOWHERE, math.inf
        e = first + k
        u, stretch = self.draw(p, int(self.purposes.after[e]) ^ again, index), self.factor(slots.time(e), p, at)
        if age:
            span = time_left(plan.tables, self.exits.after[e], self.old(e, age, at), passed, stretch, u)
        else:
            span = quantile(plan.tables, self.exits.after[e], u) * stretch
        return e, pace_wait(plan.maps, self.exits.pace[e], at, span)

    def old(self, e: int, age: float, at: float) -> float:
        """The age of a deal in the time of an exit, which may run faster or slower than the clock."""
        return float(pace_since(self.plan.maps, self.exits.pace[e], at, age))

    def skill(self, p: Prospect, s: int) -> float:
        """The skill of the member who has worked on a prospect in this stage; 1 where nobody has."""
        plan, team, member = self.plan, self.stages.team[s], int(p.facts[MEMBER])
        if team == NOWHERE or not plan.teams.member_start[team] <= member < plan.teams.member_start[team + 1]:
            return 1.0
        return float(plan.members.skill[member])

    def be_worked_on(
        self, p: Prospect, s: int, visit: int, deadline: float
    ) -> Generator[simpy.Event, Any, Leaving | None]:
        """All touches of a stage; the goal and the cause where the prospect leaves before they are done."""
        stages, purposes = self.stages, self.purposes
        touches = int(stages.touches[s])
        for touch in range(touches):
            index = VISIT * visit + touch
            if stages.team[s] == NOWHERE:
                self.pay(p, s, TOUCH_COST, stages.touch_cost[s])
            else:
                left = yield from self.be_served(p, s, index, deadline)
                if left is not None:
                    return left
            p.facts[TOUCHES] += 1.0
            if self.env.now >= deadline:
                return int(stages.limit_to[s]), LIMITED
            if touch < touches - 1:
                gap = self.sample(stages.every[s], p, purposes.every[s], index)
                if self.env.now + gap > deadline:
                    yield self.env.timeout(deadline - self.env.now)
                    return int(stages.limit_to[s]), LIMITED
                yield self.env.timeout(gap)
        return None

    def be_served(
        self, p: Prospect, s: int, index: int, deadline: float
    ) -> Generator[simpy.Event, Any, Leaving | None]:
        """One touch of a team: a wait and a task; the goal and the cause where the wait is too long."""
        team = self.teams[self.stages.team[s]]
        ready = self.env.event()
        ticket = Ticket(p, ready, self.env.now, *self.patience(p, s, index, deadline))
        team.ask(ticket)
        yield ready
        if ticket.outcome == GAVE_UP:
            self._note_task(ticket, team.number, self.env.now)
            return int(self.stages.gives_up[s]), RENEGED
        if ticket.outcome == OUT_OF_TIME:
            self._note_task(ticket, team.number, self.env.now)
            return int(self.stages.limit_to[s]), LIMITED
        if p.facts[TOUCHES] == 0.0:
            p.facts[WAITED] = self.env.now - ticket.asked
        p.facts[MEMBER] = ticket.member
        p.owners.setdefault(team.number, ticket.member)
        if team.owned and self.leaves[p.owners[team.number]] <= self.env.now:
            p.owners[team.number] = ticket.member
        hours = self.sample(self.stages.effort[s], p, self.purposes.effort[s], index)
        hours *= self.factor(self.plan.slots.effort(s), p)
        self.pay(p, s, TOUCH_COST, self.stages.touch_cost[s])
        yield from self.work(ticket, team, hours)
        return None

    def patience(self, p: Prospect, s: int, index: int, deadline: float) -> tuple[float, int]:
        """Until when a prospect waits for a member, and what it means when that time runs out."""
        distribution = self.stages.patience[s]
        if distribution == NOWHERE:
            return deadline, OUT_OF_TIME
        patience = self.sample(distribution, p, self.purposes.patience[s], index)
        until = self.env.now + patience * self.factor(self.plan.slots.patience(s), p)
        return (until, GAVE_UP) if until <= deadline else (deadline, OUT_OF_TIME)

    def work(self, ticket: Ticket, team: Team, hours: float) -> Life:
        """One task: effort on the member's calendar."""
        now, member = self.env.now, ticket.member
        took = work_end(self.plan.maps, self.work_map[member], now, hours) - now
        self._note_task(ticket, team.number, now, now + took)
        yield self.env.timeout(took)
        team.release(member)

    # --- what happens on entry ---

    def enter(self, p: Prospect, s: int) -> None:
        """Book, receive and spend; pay the reward of one who becomes a customer."""
        for kind, fixed, share in self.on_entry[s]:
            self.pay(p, s, kind, fixed + share * float(p.facts[VALUE]))
        if p.reward and self.stages.customer[s]:
            self.pay(p, s, REWARD, p.reward)
            p.reward = 0.0

    def pay(self, p: Prospect, s: int, kind: int, amount: float) -> None:
        """Note an amount, if there is any."""
        if amount:
            self.log.money.append((self.env.now, p.number, s, kind, amount))

    def routed(self, p: Prospect, s: int) -> int:
        """Where a rule of the stage sends the prospect at once, or NOWHERE."""
        plan = self.plan
        rule = self.rules[s]
        if rule is not None:
            self.look(p)
            return rule.place_for(p)
        for r in range(self.stages.route_start[s], self.stages.route_start[s + 1]):
            self.look(p)
            if holds(plan.conditions, plan.routes.predicate[r], p.facts):
                return int(plan.routes.to[r])
        return NOWHERE

    def refer(self, p: Prospect, s: int, rule: int, visit: int, entered: float, round_: int) -> None:
        """Bring the new prospects of one round, which began at `entered`; rounds go on while the prospect stays."""
        plan, purposes, now = self.plan, self.purposes, self.env.now
        referrals, here, in_no_time = self.referrals, p.visits[s], 0
        while True:
            index = VISIT * visit + round_
            number = self.sample(referrals.number[rule], p, purposes.number[rule], index)
            changed = number * self.factor(plan.slots.referrals(s), p)
            if changed != number:
                number = rounded(changed, self.draw(p, purposes.rounding[rule], index))
            for _ in range(int(number)):
                child = p.children.get(rule, 0)
                p.children[rule] = child + 1
                comes = entered + self.sample(referrals.after[rule], p, purposes.child_after[rule], child)
                if comes >= now:
                    self.wake(comes - now, AT_ONCE, partial(self.referred, p, rule, child))
            if referrals.every[rule] == NOWHERE:
                return
            gap = self.sample(referrals.every[rule], p, purposes.round[rule], VISIT * visit + round_)
            entered += gap
            round_ += 1
            if entered > now:
                break
            in_no_time = in_no_time + 1 if gap < MINUTE else 0
            if in_no_time > bounds.MAX_MOVES:
                self.stop(bounds.endless_rounds(plan.place_names[s]))

        def again() -> None:
            if p.facts[STAGE] == s and p.visits[s] == here:
                self.refer(p, s, rule, visit, entered, round_)

        self.wake(entered - now, AT_ONCE, again)

    def referred(self, parent: Prospect, rule: int, child: int) -> None:
        """One referred prospect comes."""
        source = self.referrals.source[rule]
        key = child_key(parent.key, self.purposes.child[rule], child)
        same = bool(self.referrals.same[rule])
        prospect = self.born(source, key, parent=parent, reward=self.referrals.reward[rule], same=same)
        self._check_chain(source)
        self.env.process(self.live(prospect, self.sources.enters[source]))

    def _check_chain(self, source: int) -> None:
        """Stop a chain of referrals that fills the memory."""
        since, number = self.referred_at_once
        self.referred_at_once = (since, number + 1) if since == self.env.now else (self.env.now, 1)
        self.referred_in_all += 1
        if self.referred_in_all < bounds.CHAINED * len(self.log.prospects):
            return
        name = self.plan.source_names[source]
        if self.referred_at_once[1] > bounds.MAX_AT_ONCE:
            raise bounds.chain_at_once(name)
        if self.referred_in_all > bounds.MAX_REFERRED:
            raise bounds.chain_without_end(name)

    # --- records ---

    def note_move(self, p: Prospect, origin: int, goal: int, cause: int) -> None:
        """Note a passage from place to place."""
        self.stock[goal] += 1.0
        if origin != NOWHERE:
            self.stock[origin] -= 1.0
        self.log.moves.append((self.env.now, p.number, origin, goal, cause, int(p.facts[MEMBER])))

    def _note_task(self, ticket: Ticket, team: int, time: float, ends: float = math.nan) -> None:
        """Note a touch when it begins, or when its prospect stops waiting."""
        p = ticket.prospect
        served = ticket.outcome == SERVED
        begun, left = (time, math.nan) if served else (math.nan, time)
        source, stage, touch = int(p.facts[SOURCE]), int(p.facts[STAGE]), int(p.facts[TOUCHES])
        self.log.tasks.append(
            (p.number, source, stage, team, ticket.member, touch, ticket.outcome, ticket.asked, begun, ends, left)
        )


def _listed(table: Any) -> Any:
    """A table of a plan with lists for arrays, which plain Python reads faster."""
    return SimpleNamespace(**{name: column.tolist() for name, column in table._asdict().items()})


def _money_on_entry(plan: Plan, s: int) -> list[tuple[int, float, float]]:
    """What entering a stage books, brings and costs: kind, fixed amount, share of the value."""
    kinds = ((BOOKED, plan.stages.books), (PAID, plan.stages.cash), (STAGE_COST, plan.stages.cost))
    return [(kind, float(of[s][0]), float(of[s][1])) for kind, of in kinds if of[s].any()]


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Look for circles of garbage rarely: events are freed without it, and looking took a third of a run."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def run(plan: Plan, seed: int, replication: int) -> Records:
    """Run one replication of a plan. Raises RunError where the model can't go on."""
    with _rare_garbage_collection():
        return Replication(plan, seed, replication).run()


def _count_of_events(env: simpy.Environment) -> int:
    """How many events SimPy has scheduled."""
    return int(next(env._eid))
