"""Where they go: stages, exits, routes and referral rules, and the purposes of their draws."""

from __future__ import annotations

import math

import numpy as np

from simfunnel.numerics import Floats, Ints
from simfunnel.plan.dates import by_day, thinned_out
from simfunnel.plan.deals import Deals
from simfunnel.plan.effects import exits_named
from simfunnel.plan.tables import NOWHERE, ExitTable, Purposes, ReferralTable, RouteTable, StageTable
from simfunnel.plan.workshop import Workshop, floats, ints, number, starts
from simfunnel.randomness import purpose
from simfunnel.scenario.conditions import read_when
from simfunnel.scenario.fields import STAYS
from simfunnel.scenario.spec import ReferralSpec, SendSpec, StageSpec


def stage_table(shop: Workshop) -> StageTable:
    """All stages, in the order of the file."""
    stages = list(shop.spec.stages.values())
    teams = list(shop.spec.teams)
    works = [stage.work for stage in stages]
    routes = [stage.route if isinstance(stage.route, tuple) else () for stage in stages]
    return StageTable(
        team=ints([teams.index(w.team) if w and w.team else NOWHERE for w in works]),
        effort=ints([shop.maybe(w.effort if w else None) for w in works]),
        touches=ints([w.touches if w else 0 for w in works]),
        every=ints([shop.maybe(w.every if w else None) for w in works]),
        patience=ints([shop.maybe(w.patience if w else None) for w in works]),
        gives_up=ints([shop.place(w.gives_up) if w and w.patience else NOWHERE for w in works]),
        touch_cost=floats([number(w.cost) if w else 0.0 for w in works]),
        limit=ints([shop.maybe(s.limit.after if s.limit else None) for s in stages]),
        limit_to=ints([shop.place(s.limit.to) if s.limit else NOWHERE for s in stages]),
        customer=ints([s.is_customer for s in stages]),
        books=_amounts(stages, "books"),
        has_books=ints([s.books is not None for s in stages]),
        term=floats([number(s.term) for s in stages]),
        cash=_amounts(stages, "cash"),
        cost=_amounts(stages, "cost"),
        cost_per_day=floats([number(s.cost_per_day) for s in stages]),
        exit_start=starts([len(s.exits) for s in stages]),
        route_start=starts([len(r) for r in routes]),
        refers_start=starts([len(_bringing(s)) for s in stages]),
    )


def _amounts(stages: list[StageSpec], what: str) -> Floats:
    amounts = [getattr(stage, what) for stage in stages]
    return floats([(number(a.fixed), number(a.share)) if a else (0.0, 0.0) for a in amounts]).reshape(-1, 2)


def exit_table(shop: Workshop, deals: Deals) -> ExitTable:
    """All exits; one that says no chance has what the others of its stage leave."""
    exits = shop.exits
    chances = [number(way.chance) for _, _, way in exits]
    for k, (s, _, way) in enumerate(exits):
        if way.chance is None:
            others = sum(c for c, (other, _, w) in zip(chances, exits, strict=True) if other == s and w is not way)
            chances[k] = max(0.0, 1.0 - others)
    to = [shop.place(goal) for _, goal, _ in exits]
    sets = [list(way.set.items()) for _, _, way in exits]
    return ExitTable(
        to=ints(to),
        chance=floats(chances),
        after=ints([shop.maybe(way.after) for _, _, way in exits]),
        pace=ints(_paces(shop, deals)),
        forward=ints([s < place < len(shop.spec.stages) for (s, _, _), place in zip(exits, to, strict=True)]),
        set_start=starts([len(changes) for changes in sets]),
        set_fact=ints([shop.words.fact(name) for changes in sets for name, _ in changes]),
        set_value=floats([_code(shop, name, value) for changes in sets for name, value in changes]),
    )


def _paces(shop: Workshop, deals: Deals) -> list[int]:
    """The map of each exit's time; it begins when the oldest open deal came to where it is."""
    effects = [effect for effect in shop.spec.effects if effect.pace is not None]
    before = math.ceil(deals.table.age.max(initial=0.0)) if effects else 0
    count = before + shop.whole_days
    stages, found = list(shop.spec.stages), []
    for s, goal, _ in shop.exits:
        mine = [e for e in effects if not e.on or stages[s] in e.on or (stages[s], goal) in exits_named(e)]
        if not mine or goal == STAYS:
            found.append(NOWHERE)
            continue
        pace = np.ones(count)
        for effect in mine:
            pace *= by_day(shop.spec, shop.words, effect, number(effect.pace), -before, count)
        y = np.concatenate([[0.0], np.cumsum(pace)])
        found.append(shop.maps.add(*thinned_out(np.arange(-before, shop.whole_days + 1, dtype=np.float64), y)))
    return found


def _code(shop: Workshop, attribute: str, value: str | float) -> float:
    levels = shop.words.attributes[attribute]
    return float(levels.index(str(value)) if levels else value)


def route_table(shop: Workshop) -> RouteTable:
    """All routing rules."""
    rules = [r for s in shop.spec.stages.values() if isinstance(s.route, tuple) for r in s.route]
    return RouteTable(
        predicate=ints([shop.conditions.add(read_when(r.when, shop.words)) for r in rules]),
        to=ints([shop.place(r.to) for r in rules]),
    )


def referral_table(shop: Workshop) -> ReferralTable:
    """All referral and sending rules."""
    rules = [rule for stage in shop.spec.stages.values() for rule in _bringing(stage)]
    return ReferralTable(
        number=ints([shop.maybe(r.number) for r in rules]),
        after=ints([shop.maybe(r.after) for r in rules]),
        every=ints([shop.maybe(r.every) for r in rules]),
        source=ints([shop.words.sources.index(r.source) for r in rules]),
        reward=floats([number(r.reward) if isinstance(r, ReferralSpec) else 0.0 for r in rules]),
        same=ints([not isinstance(r, ReferralSpec) for r in rules]),
    )


def _bringing(stage: StageSpec) -> tuple[SendSpec, ...]:
    """The rules by which those in a stage bring others, then those by which they come once more."""
    return (*stage.refers, *stage.sends)


def purposes(shop: Workshop) -> Purposes:
    """Purposes made of names alone, so that a stage or a rule more leaves all others as they were."""
    exits = shop.exits
    stages = list(shop.spec.stages)
    rules = [(name, *twin) for name, stage in shop.spec.stages.items() for twin in _numbered(stage)]

    def by_stage(what: str) -> Ints:
        return ints([purpose("stage", name, what) for name in stages])

    def by_rule(what: str) -> Ints:
        return ints([purpose("stage", name, how, source, str(twin), what) for name, how, source, twin in rules])

    return Purposes(
        effort=by_stage("effort"),
        patience=by_stage("patience"),
        every=by_stage("every"),
        choice=by_stage("exit"),
        limit=by_stage("limit"),
        after=ints([purpose("stage", stages[s], "exit", goal) for s, goal, _ in exits]),
        number=by_rule("number"),
        rounding=by_rule("rounding"),
        child=by_rule("child"),
        child_after=by_rule("after"),
        round=by_rule("every"),
    )


def _numbered(stage: StageSpec) -> list[tuple[str, str, int]]:
    """What each rule of a stage does and its goal, with how many rules before it do the same."""
    rules = [("refers" if isinstance(rule, ReferralSpec) else "sends", rule.source) for rule in _bringing(stage)]
    return [(*rule, rules[:k].count(rule)) for k, rule in enumerate(rules)]
