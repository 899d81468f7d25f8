"""The compiled plan: a scenario as plain arrays, all that an engine knows of it.

A plan has no uncertain number left: `settle` draws those of one replication first. Names are kept for labels alone;
everything else is a number. Places are stages (0 .. number of stages - 1), then ends; NOWHERE is -1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import BaseModel

from simfunnel.calendars import Calendar, MapPacker, work_map
from simfunnel.distributions import Distribution, Packer, QuantileTable, discrete
from simfunnel.numerics import Conditions, Effects, Floats, Ints, Maps, Tables, holds
from simfunnel.randomness import purpose, root_key, uniform
from simfunnel.scenario.conditions import FACT, FACTS, Clause, Vocabulary, member_names, read_when, vocabulary
from simfunnel.scenario.spec import (
    ORDERS,
    STAYS,
    Drawn,
    EffectSpec,
    ExitSpec,
    PluginSpec,
    ScenarioSpec,
    Shares,
    SourceSpec,
    StageSpec,
    TeamSpec,
    Working,
)
from simfunnel.units import Rate, Uncertain, middle

NOWHERE = -1
NEVER = math.inf
OLDEST, NEWEST, DEAREST = range(3)


# --- uncertain numbers ------------------------------------------------------------------------------------------------


class Uncertainty:
    """The uncertain numbers of a scenario, each by its place, found once."""

    def __init__(self, spec: ScenarioSpec) -> None:
        self.spec = spec
        self.places: Any = _uncertain_in(spec) or {}

    def settled(self, seed: int, replication: int) -> ScenarioSpec:
        """The scenario of one replication: every uncertain number drawn, each from a stream named after its place."""

        def draw(number: Uncertain, path: str) -> float:
            return number.at(uniform(seed, replication, root_key("uncertain", path), purpose("uncertain"), 0))

        settled: ScenarioSpec = _changed(self.spec, self.places, draw, "")
        return settled


def settle(spec: ScenarioSpec, seed: int, replication: int) -> ScenarioSpec:
    """The scenario of one replication; see `Uncertainty`."""
    return Uncertainty(spec).settled(seed, replication)


def _parts_of(node: Any) -> dict[str, Any]:
    """The named parts of a node of a frozen tree; none for a leaf."""
    if isinstance(node, BaseModel):
        return {name: getattr(node, name) for name in type(node).model_fields}
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if isinstance(node, tuple) and node and not isinstance(node[0], float):
        return {str(k): value for k, value in enumerate(node)}
    if isinstance(node, Distribution):
        return {name: value for name, value in node.params if isinstance(value, Uncertain)}
    if isinstance(node, Rate):
        return {"per_day": node.per_day}
    return {}


def _uncertain_in(node: Any) -> dict[str, Any] | Uncertain | None:
    """The tree of places with uncertain numbers in them, or None."""
    if isinstance(node, Uncertain):
        return node
    found = {name: _uncertain_in(part) for name, part in _parts_of(node).items()}
    return {name: part for name, part in found.items() if part} or None


def _changed(node: Any, places: Any, change: Callable[[Uncertain, str], float], path: str) -> Any:
    """A copy of a node with the numbers at these places changed."""
    if isinstance(places, Uncertain):
        return change(places, path)
    parts = _parts_of(node)
    new = {name: _changed(parts[name], inner, change, f"{path}/{name}") for name, inner in places.items()}
    if isinstance(node, BaseModel):
        return node.model_copy(update=new)
    if isinstance(node, Mapping):
        return {key: new.get(str(key), value) for key, value in node.items()}
    if isinstance(node, Distribution):
        return replace(node, params=tuple((name, new.get(name, value)) for name, value in node.params))
    if isinstance(node, Rate):
        return replace(node, per_day=new["per_day"])
    return tuple(new.get(str(k), value) for k, value in enumerate(node))


# --- the parts of a plan ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnTable:
    """Attributes and the value, in the order in which they are drawn.

    Attribute a is drawn from distribution case[case_start[a] + code], code being the fact by[a] (0 where by[a] is NOWHERE),
    for purpose[a], and becomes fact[a].
    """

    fact: Ints
    by: Ints
    case_start: Ints
    case: Ints
    purpose: Ints


@dataclass(frozen=True)
class SourceTable:
    """Sources, one row each.

    Kind 0 waits for referrals; 1 arrives along map rate_map; 2 is a list of `size` at time `at`; 3 holds open deals.
    """

    kind: Ints
    key: Ints
    enters: Ints
    rate_map: Ints
    at: Floats
    size: Ints
    cost_each: Floats
    cost_once: Floats
    cost_per_day: Floats


REFERRED, RATE, LIST, DEALS = range(4)


@dataclass(frozen=True)
class DealTable:
    """Deals open at the start, one row each; NaN stands for what is not known."""

    names: tuple[str, ...]
    source: Ints
    key: Ints
    stage: Ints
    age: Floats
    value: Floats
    owner: Ints
    attributes: Floats


@dataclass(frozen=True)
class StageTable:
    """Stages, one row each; a distribution or team that a stage has not is NOWHERE."""

    team: Ints
    effort: Ints
    touches: Ints
    every: Ints
    patience: Ints
    gives_up: Ints
    touch_cost: Floats
    limit: Ints
    limit_to: Ints
    customer: Ints
    books: Floats  # (stages, 2): a fixed amount and a share of the value; likewise cash and cost
    has_books: Ints
    term: Floats
    cash: Floats
    cost: Floats
    cost_per_day: Floats
    exit_start: Ints
    route_start: Ints
    refers_start: Ints
    plugin: tuple[str, ...]


@dataclass(frozen=True)
class ExitTable:
    """Exits of all stages; those of stage s are exit_start[s] .. exit_start[s + 1]. `stays` goes to NOWHERE."""

    to: Ints
    chance: Floats
    after: Ints
    forward: Ints
    set_start: Ints
    set_fact: Ints
    set_value: Floats


@dataclass(frozen=True)
class RouteTable:
    """Routing rules of all stages: where predicate holds, go to place `to`."""

    predicate: Ints
    to: Ints


@dataclass(frozen=True)
class ReferralTable:
    """Referral rules of all stages; `every` is NOWHERE for those that act once."""

    number: Ints
    after: Ints
    every: Ints
    source: Ints
    reward: Floats


@dataclass(frozen=True)
class TeamTable:
    """Teams: members of team t are member_start[t] .. ; its priority predicates first_start[t] .. first_start[t + 1]."""

    member_start: Ints
    order: Ints
    first_start: Ints
    first: Ints
    owned: Ints


@dataclass(frozen=True)
class MemberTable:
    """Members of all teams: the map from clock time to hours of work, when they leave, whom they serve, skill, pay."""

    work_map: Ints
    leaves: Floats
    only: Ints
    skill: Floats
    pay_per_day: Floats
    hired: Floats


@dataclass(frozen=True)
class Purposes:
    """The purposes of draws, by stage, exit and referral rule."""

    effort: Ints
    patience: Ints
    every: Ints
    choice: Ints
    limit: Ints
    after: Ints
    number: Ints
    child: Ints
    child_after: Ints
    round: Ints


@dataclass(frozen=True)
class Plan:
    """One replication's scenario, compiled. See the module's text."""

    start: date
    days: float
    warm_up: float
    currency: str
    fiscal_year_ends: int
    source_names: tuple[str, ...]
    place_names: tuple[str, ...]
    team_names: tuple[str, ...]
    member_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    attribute_levels: tuple[tuple[str, ...] | None, ...]
    drawn: DrawnTable
    sources: SourceTable
    deals: DealTable
    stages: StageTable
    exits: ExitTable
    routes: RouteTable
    referrals: ReferralTable
    teams: TeamTable
    members: MemberTable
    purposes: Purposes
    tables: Tables
    maps: Maps
    conditions: Conditions
    effects: Effects
    day_facts: Floats  # (days, 4): quarter_day, quarter_days_left, weekday, month
    target: float = math.nan
    plugin_folder: str = "."

    @property
    def n_stages(self) -> int:
        """How many of the places are stages."""
        return len(self.stages.team)

    @property
    def n_facts(self) -> int:
        """The length of a prospect's array of facts."""
        return len(FACTS) + len(self.attribute_names)

    @cached_property
    def slots(self) -> Slots:
        """Where the effects on each exit and stage stand."""
        return Slots(len(self.exits.to), self.n_stages)


@dataclass(frozen=True)
class Slots:
    """Effects are filed by what they act on: odds and time of each exit, effort and patience of each stage, value."""

    exits: int
    stages: int

    def odds(self, e: int) -> int:
        """Odds of exit e."""
        return e

    def time(self, e: int) -> int:
        """Time of exit e."""
        return self.exits + e

    def effort(self, s: int) -> int:
        """Effort in stage s."""
        return 2 * self.exits + s

    def patience(self, s: int) -> int:
        """Patience in stage s."""
        return 2 * self.exits + self.stages + s

    @property
    def value(self) -> int:
        """A prospect's value."""
        return 2 * self.exits + 2 * self.stages

    @property
    def count(self) -> int:
        """How many there are."""
        return self.value + 1


# --- compiling --------------------------------------------------------------------------------------------------------


def compile_plan(spec: ScenarioSpec, *, folder: str = ".") -> Plan:
    """Compile a settled scenario (uncertain numbers that are left are taken at their median)."""
    return _Compiler(spec, folder).plan()


class _ConditionPacker:
    """Collects predicates."""

    def __init__(self) -> None:
        self.clause_start = [0]
        self.fact: list[int] = []
        self.interval_start = [0]
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, clauses: tuple[Clause, ...]) -> int:
        for fact, intervals in clauses:
            self.fact.append(fact)
            self.low += [interval.low for interval in intervals]
            self.high += [interval.high for interval in intervals]
            self.interval_start.append(len(self.low))
        self.clause_start.append(len(self.fact))
        return len(self.clause_start) - 2

    def pack(self) -> Conditions:
        return Conditions(
            _ints(self.clause_start), _ints(self.fact), _ints(self.interval_start), _floats(self.low), _floats(self.high)
        )


def _ints(values: Any) -> Ints:
    return np.array(values, dtype=np.int64)


def _floats(values: Any) -> Floats:
    return np.array(values, dtype=np.float64)


def _number(value: float | Uncertain | None, default: float = 0.0) -> float:
    return default if value is None else float(middle(value))


class _Compiler:
    """Builds each part of a plan from its part of the scenario; the packers collect what the parts share."""

    def __init__(self, spec: ScenarioSpec, folder: str) -> None:
        self.spec = spec
        self.folder = folder
        self.words: Vocabulary = vocabulary(spec)
        self.distributions = Packer()
        self.maps = MapPacker()
        self.conditions = _ConditionPacker()
        self.places = (*spec.stages, *spec.ends)
        self.days = spec.days
        self.whole_days = max(1, math.ceil(self.days - 1e-9))
        self.day_facts = _day_facts(spec.start, self.whole_days + 1, spec.fiscal_year_ends)

    def plan(self) -> Plan:
        spec = self.spec
        exits = [(s, goal, way) for s, stage in enumerate(spec.stages.values()) for goal, way in stage.exits.items()]
        parts: dict[str, Any] = {
            "drawn": self._drawn(),
            "sources": self._sources(),
            "deals": self._deals(),
            "stages": self._stages(),
            "exits": self._exits(exits),
            "routes": self._routes(),
            "referrals": self._referrals(),
            "teams": self._teams(),
            "members": self._members(),
            "purposes": self._purposes(exits),
            "effects": self._effects(exits),
        }
        return Plan(
            start=spec.start,
            days=self.days,
            warm_up=spec.warm_up.days_from(spec.start),
            currency=spec.currency,
            fiscal_year_ends=spec.fiscal_year_ends,
            source_names=tuple(spec.sources),
            place_names=self.places,
            team_names=tuple(spec.teams),
            member_names=self.words.members,
            attribute_names=tuple(spec.attributes),
            attribute_levels=tuple(drawn.levels for drawn in spec.attributes.values()),
            tables=self.distributions.pack(),
            maps=self.maps.pack(),
            conditions=self.conditions.pack(),
            day_facts=self.day_facts,
            target=_number(spec.target, math.nan),
            plugin_folder=self.folder,
            **parts,
        )

    def _place(self, name: str) -> int:
        return NOWHERE if name == STAYS else self.places.index(name)

    def _maybe(self, distribution: Distribution | None) -> int:
        return NOWHERE if distribution is None else self.distributions.add(distribution.settled())

    # --- who comes ---

    def _drawn(self) -> DrawnTable:
        everything = [*self.spec.attributes.items(), ("value", self.spec.value)]
        by, start, cases = [], [0], []
        for _, drawn in everything:
            by.append(NOWHERE if drawn.by is None else self.words.fact(drawn.by))
            cases += self._cases(drawn)
            start.append(len(cases))
        return DrawnTable(
            fact=_ints([self.words.fact(name) for name, _ in everything]),
            by=_ints(by),
            case_start=_ints(start[:-1]),
            case=_ints(cases),
            purpose=_ints([purpose("attribute", name) for name, _ in everything]),
        )

    def _cases(self, drawn: Drawn) -> list[int]:
        """The distribution for each code of `by`, or the one for everyone."""
        if drawn.by is None:
            return [self._case(drawn.cases["other"], drawn)]
        codes = self.words.sources if drawn.by == "source" else self.words.attributes[drawn.by] or ()
        return [self._case(drawn.cases[code] if code in drawn.cases else drawn.cases["other"], drawn) for code in codes]

    def _case(self, case: Shares | Distribution, drawn: Drawn) -> int:
        if isinstance(case, Distribution):
            return self.distributions.add(case.settled())
        levels = drawn.levels or ()
        return self.distributions.add(_shares_table(case, levels))

    def _sources(self) -> SourceTable:
        rows = list(self.spec.sources.items())
        kinds = [RATE if s.rate else LIST if s.at else DEALS if s.deals is not None else REFERRED for _, s in rows]
        opens = min((begin for begin, _ in self.spec.calendar.hours), default=0.0) / 24
        first = next(iter(self.spec.stages))
        return SourceTable(
            kind=_ints(kinds),
            key=_ints([root_key("source", name) for name, _ in rows]),
            enters=_ints([self._place(s.enters or first) for _, s in rows]),
            rate_map=_ints([self._arrivals(name, s) if s.rate else NOWHERE for name, s in rows]),
            at=_floats([(s.at - self.spec.start).days + opens if s.at else NEVER for _, s in rows]),
            size=_ints([s.size or 0 for _, s in rows]),
            cost_each=_floats([_number(s.cost.each) for _, s in rows]),
            cost_once=_floats([_number(s.cost.once) for _, s in rows]),
            cost_per_day=_floats([_number(s.cost.per_day) for _, s in rows]),
        )

    def _arrivals(self, name: str, source: SourceSpec) -> int:
        """The cumulative rate of a source as a map from time to expected arrivals."""
        spec = self.spec
        x, y = [0.0], [0.0]
        calendar = spec.calendar
        factors = self._arrival_effects(name)
        for d in range(self.whole_days):
            day = spec.start + timedelta(days=d)
            rate = _rate_on(source, day)
            per_day = 0.0 if rate is None else _number(rate.per_day)
            per_day *= _number(source.weekday.get(day.weekday()), 1.0) * _number(source.season.get(day.month), 1.0)
            per_day *= math.prod(factor(d) for factor in factors)
            hours = calendar.hours if rate is not None and rate.working else ((0.0, 24.0),)
            if rate is not None and rate.working and not calendar.is_open(day):
                per_day = 0.0
            for begin, end in hours if per_day > 0 else ():
                if d + begin / 24 > x[-1]:
                    x.append(d + begin / 24)
                    y.append(y[-1])
                x.append(d + end / 24)
                y.append(y[-1] + per_day * (end - begin) / sum(b - a for a, b in hours))
        if len(x) == 1:
            x, y = [0.0, float(self.whole_days)], [0.0, 0.0]
        return self.maps.add(*_thinned_out(_floats(x), _floats(y)))

    def _arrival_effects(self, name: str) -> list[Callable[[int], float]]:
        """The factor of each effect on a source's arrivals, by day."""
        found = [e for e in self.spec.effects if e.arrivals is not None and (not e.on or name in e.on)]
        return [self._factor_by_day(effect) for effect in found]

    def _factor_by_day(self, effect: EffectSpec) -> Callable[[int], float]:
        packer = _ConditionPacker()
        packer.add(read_when(effect.when, self.words))
        conditions = packer.pack()
        facts = np.zeros(len(FACTS) + len(self.words.attributes))

        def factor(d: int) -> float:
            facts[FACT["date"]] = d
            facts[FACT["quarter_day"] : FACT["month"] + 1] = self.day_facts[d]
            if not holds(conditions, 0, facts):
                return 1.0
            strength = 1.0
            if effect.fades:
                since = (effect.fades.from_ - self.spec.start).days
                strength = 0.0 if d < since else 0.5 ** ((d - since) / _number(effect.fades.half_life))
            return float(_number(effect.arrivals, 1.0) ** strength)

        return factor

    def _deals(self) -> DealTable:
        rows = [(k, d) for k, s in enumerate(self.spec.sources.values()) for d in s.deals or ()]
        attributes = np.full((len(rows), len(self.spec.attributes)), math.nan)
        for r, (_, deal) in enumerate(rows):
            for name, value in deal.attributes.items():
                levels = self.words.attributes[name]
                attributes[r, list(self.spec.attributes).index(name)] = levels.index(str(value)) if levels else value
        members = {name: k for k, name in enumerate(self.words.members)}
        keys = [root_key("deal", list(self.spec.sources)[k], deal.id) for k, deal in rows]
        return DealTable(
            names=tuple(deal.id for _, deal in rows),
            source=_ints([k for k, _ in rows]),
            key=_ints(keys),
            stage=_ints([self._place(deal.stage) for _, deal in rows]),
            age=_floats([_number(deal.age) for _, deal in rows]),
            value=_floats([_number(deal.value, math.nan) for _, deal in rows]),
            owner=_ints([members.get(deal.member or "", NOWHERE) for _, deal in rows]),
            attributes=attributes,
        )

    # --- where they go ---

    def _stages(self) -> StageTable:
        stages = list(self.spec.stages.values())
        teams = list(self.spec.teams)
        works = [stage.work for stage in stages]
        routes = [stage.route if isinstance(stage.route, tuple) else () for stage in stages]
        return StageTable(
            team=_ints([teams.index(w.team) if w else NOWHERE for w in works]),
            effort=_ints([self._maybe(w.effort if w else None) for w in works]),
            touches=_ints([w.touches if w else 0 for w in works]),
            every=_ints([self._maybe(w.every if w else None) for w in works]),
            patience=_ints([self._maybe(w.patience if w else None) for w in works]),
            gives_up=_ints([self._place(w.gives_up) if w and w.patience else NOWHERE for w in works]),
            touch_cost=_floats([_number(w.cost) if w else 0.0 for w in works]),
            limit=_ints([self._maybe(s.limit.after if s.limit else None) for s in stages]),
            limit_to=_ints([self._place(s.limit.to) if s.limit else NOWHERE for s in stages]),
            customer=_ints([s.is_customer for s in stages]),
            books=_amounts(stages, "books"),
            has_books=_ints([s.books is not None for s in stages]),
            term=_floats([_number(s.term) for s in stages]),
            cash=_amounts(stages, "cash"),
            cost=_amounts(stages, "cost"),
            cost_per_day=_floats([_number(s.cost_per_day) for s in stages]),
            exit_start=_starts([len(s.exits) for s in stages]),
            route_start=_starts([len(r) for r in routes]),
            refers_start=_starts([len(s.refers) for s in stages]),
            plugin=tuple(s.route.python if isinstance(s.route, PluginSpec) else "" for s in stages),
        )

    def _exits(self, exits: list[tuple[int, str, ExitSpec]]) -> ExitTable:
        chances = [_number(way.chance) for _, _, way in exits]
        for k, (s, _, way) in enumerate(exits):
            if way.chance is None:
                others = sum(c for c, (other, _, w) in zip(chances, exits, strict=True) if other == s and w is not way)
                chances[k] = max(0.0, 1.0 - others)
        to = [self._place(goal) for _, goal, _ in exits]
        sets = [list(way.set.items()) for _, _, way in exits]
        return ExitTable(
            to=_ints(to),
            chance=_floats(chances),
            after=_ints([self._maybe(way.after) for _, _, way in exits]),
            forward=_ints([s < place < len(self.spec.stages) for (s, _, _), place in zip(exits, to, strict=True)]),
            set_start=_starts([len(changes) for changes in sets]),
            set_fact=_ints([self.words.fact(name) for changes in sets for name, _ in changes]),
            set_value=_floats([self._code(name, value) for changes in sets for name, value in changes]),
        )

    def _code(self, attribute: str, value: str | float) -> float:
        levels = self.words.attributes[attribute]
        return float(levels.index(str(value)) if levels else value)

    def _routes(self) -> RouteTable:
        rules = [r for s in self.spec.stages.values() if isinstance(s.route, tuple) for r in s.route]
        return RouteTable(
            predicate=_ints([self.conditions.add(read_when(r.when, self.words)) for r in rules]),
            to=_ints([self._place(r.to) for r in rules]),
        )

    def _referrals(self) -> ReferralTable:
        rules = [rule for stage in self.spec.stages.values() for rule in stage.refers]
        return ReferralTable(
            number=_ints([self._maybe(r.number) for r in rules]),
            after=_ints([self._maybe(r.after) for r in rules]),
            every=_ints([self._maybe(r.every) for r in rules]),
            source=_ints([self.words.sources.index(r.source) for r in rules]),
            reward=_floats([_number(r.reward) for r in rules]),
        )

    # --- who works ---

    def _teams(self) -> TeamTable:
        teams = list(self.spec.teams.items())
        return TeamTable(
            member_start=_starts([len(member_names(name, self.spec)) for name, _ in teams]),
            order=_ints([ORDERS.index(team.serves.then) for _, team in teams]),
            first_start=_starts([len(team.serves.first) for _, team in teams]),
            first=_ints([self.conditions.add(read_when(w, self.words)) for _, t in teams for w in t.serves.first]),
            owned=_ints([team.ownership == "owner" for _, team in teams]),
        )

    def _members(self) -> MemberTable:
        rows: list[tuple[Working, TeamSpec, int]] = []
        for team in self.spec.teams.values():
            for member in team.members if team.members is not None else ():
                only = self.conditions.add(read_when(member.only, self.words)) if member.only else NOWHERE
                rows += [(member, team, only)] * member.count
            rows += [(team, team, NOWHERE)] * (team.size or 0)
        days = [(self._since_start(_said(m, t, "hired"), 0.0), self._since_start(_said(m, t, "leaves"), NEVER)) for m, t, _ in rows]
        return MemberTable(
            work_map=_ints([self._work_map(m, t) for m, t, _ in rows]),
            leaves=_floats([leaves for _, leaves in days]),
            only=_ints([only for _, _, only in rows]),
            skill=_floats([_number(_said(m, t, "skill"), 1.0) for m, t, _ in rows]),
            pay_per_day=_floats([_number(_said(m, t, "pay")) for m, t, _ in rows]),
            hired=_floats([hired for hired, _ in days]),
        )

    def _since_start(self, day: date | None, default: float) -> float:
        return default if day is None else float((day - self.spec.start).days)

    def _work_map(self, member: Working, team: TeamSpec) -> int:
        """The member's own map; it goes on after they leave, so that the task in hand can be ended."""
        calendar: Calendar = _said(member, team, "calendar") or self.spec.calendar
        pace = _number(_said(member, team, "selling_time"), 1.0) * _number(_said(member, team, "speed"), 1.0)
        hired: date | None = _said(member, team, "hired")
        ramp = _number(_said(member, team, "ramp"))

        def on(day: date) -> float:
            if hired is None:
                return pace
            worked = (day - hired).days
            if worked < 0:
                return 0.0
            return pace * (min(1.0, (worked + 0.5) / ramp) if ramp > 0 else 1.0)

        return self.maps.add(*work_map(calendar, self.spec.start, self.whole_days, on))

    # --- what they depend on ---

    def _purposes(self, exits: list[tuple[int, str, ExitSpec]]) -> Purposes:
        stages = list(self.spec.stages)
        rules = [(name, *twin) for name, stage in self.spec.stages.items() for twin in _numbered(stage)]

        def by_stage(what: str) -> Ints:
            return _ints([purpose("stage", name, what) for name in stages])

        def by_rule(what: str) -> Ints:
            return _ints([purpose("stage", name, "refers", source, str(twin), what) for name, source, twin in rules])

        return Purposes(
            effort=by_stage("effort"),
            patience=by_stage("patience"),
            every=by_stage("every"),
            choice=by_stage("exit"),
            limit=by_stage("limit"),
            after=_ints([purpose("stage", stages[s], "exit", goal) for s, goal, _ in exits]),
            number=by_rule("number"),
            child=by_rule("child"),
            child_after=by_rule("after"),
            round=by_rule("every"),
        )

    def _effects(self, exits: list[tuple[int, str, ExitSpec]]) -> Effects:
        slots = Slots(len(exits), len(self.spec.stages))
        filed: list[list[tuple[EffectSpec, float, int]]] = [[] for _ in range(slots.count)]
        for effect in self.spec.effects:
            predicate = self.conditions.add(read_when(effect.when, self.words))
            for slot, factor in self._slots_of(effect, exits, slots):
                filed[slot].append((effect, factor, predicate))
        flat = [one for slot in filed for one in slot]
        fades = [effect.fades for effect, _, _ in flat]
        return Effects(
            slot_start=_starts([len(slot) for slot in filed]),
            predicate=_ints([predicate for _, _, predicate in flat]),
            factor=_floats([factor for _, factor, _ in flat]),
            power=_ints([FACT[effect.per] if effect.per else NOWHERE for effect, _, _ in flat]),
            since=_floats([(f.from_ - self.spec.start).days if f else 0.0 for f in fades]),
            half_life=_floats([_number(f.half_life) if f else 0.0 for f in fades]),
        )

    def _slots_of(
        self, effect: EffectSpec, exits: list[tuple[int, str, ExitSpec]], slots: Slots
    ) -> list[tuple[int, float]]:
        """Where an effect is filed, with its factor there."""
        stages = list(self.spec.stages)
        on_stages = [stages.index(p) for p in effect.on if p in stages] if effect.on else list(range(len(stages)))
        named = {tuple(part.strip() for part in p.split("->")) for p in effect.on if "->" in p}
        on_exits = [e for e, (s, goal, _) in enumerate(exits) if (stages[s], goal) in named]
        places = self.places
        whole = [e for e, (s, goal, _) in enumerate(exits) if s in on_stages and goal != STAYS]
        forward = [e for e in whole if exits[e][0] < places.index(exits[e][1]) < len(stages)]
        filed: list[tuple[int, float]] = []
        if effect.odds is not None:
            filed += [(slots.odds(e), _number(effect.odds)) for e in sorted({*on_exits, *forward})]
        if effect.time is not None:
            filed += [(slots.time(e), _number(effect.time)) for e in sorted({*on_exits, *whole})]
        if effect.effort is not None:
            filed += [(slots.effort(s), _number(effect.effort)) for s in on_stages]
        if effect.patience is not None:
            filed += [(slots.patience(s), _number(effect.patience)) for s in on_stages]
        if effect.value is not None:
            filed.append((slots.value, _number(effect.value)))
        return filed


def _rate_on(source: SourceSpec, day: date) -> Rate | None:
    """The rate that holds on a day, or None before the first."""
    steps = source.rate.steps if source.rate else ()
    return next((rate for since, rate in reversed(steps) if since is None or since <= day), None)


def _said(member: Working, team: TeamSpec, what: str) -> Any:
    """What the member says, or else the team."""
    own = getattr(member, what)
    return getattr(team, what) if own is None else own


def _amounts(stages: list[StageSpec], what: str) -> Floats:
    amounts = [getattr(stage, what) for stage in stages]
    return _floats([(_number(a.fixed), _number(a.share)) if a else (0.0, 0.0) for a in amounts]).reshape(-1, 2)


def _starts(sizes: list[int]) -> Ints:
    return np.cumsum([0, *sizes], dtype=np.int64)


def _numbered(stage: StageSpec) -> list[tuple[str, int]]:
    """The goals of a stage's referral rules, each with how many rules before it have the same."""
    goals = [rule.source for rule in stage.refers]
    return [(goal, goals[:k].count(goal)) for k, goal in enumerate(goals)]


_SHARES: dict[tuple[tuple[float, ...], int], QuantileTable] = {}


def _shares_table(case: Shares, levels: tuple[str, ...]) -> QuantileTable:
    """The table of a category's codes; kept, so that equal ones are packed once."""
    chances = tuple(_number(case.of.get(level, 0.0)) for level in levels)
    key = (chances, len(levels))
    if key not in _SHARES:
        _SHARES[key] = discrete(chances, range(len(levels)))
    return _SHARES[key]


def _thinned_out(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The same map without the nodes that lie on a straight line between their neighbours."""
    slope = np.diff(y) / np.diff(x)
    keep = np.concatenate([[True], ~np.isclose(slope[1:], slope[:-1], rtol=1e-12, atol=0.0), [True]])
    return x[keep], y[keep]


def _day_facts(start: date, days: int, fiscal_year_ends: int) -> Floats:
    """For each day: its number in the fiscal quarter, the days left in it, weekday (Monday 0) and month."""
    rows = np.empty((days, 4))
    for d in range(days):
        day = start + timedelta(days=d)
        first, after = quarter_of(day, fiscal_year_ends)
        rows[d] = ((day - first).days, (after - day).days - 1, day.weekday(), day.month)
    return rows


def quarter_of(day: date, fiscal_year_ends: int) -> tuple[date, date]:
    """The fiscal quarter of a day: its first day, and the first day of the next."""
    into = (day.month - fiscal_year_ends - 1) % 3
    months = day.year * 12 + day.month - 1 - into
    first = date(months // 12, months % 12 + 1, 1)
    return first, date((months + 3) // 12, (months + 3) % 12 + 1, 1)

