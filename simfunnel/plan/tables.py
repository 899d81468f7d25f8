"""The compiled plan: a scenario as plain arrays, all that an engine knows of it.

A plan has no uncertain number left. Names are kept for labels alone; everything else is a number. Places are stages
(0 .. number of stages - 1), then ends; NOWHERE is -1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

from simfunnel.numerics import Floats, Ints, Maps, Rows, Tables
from simfunnel.scenario.conditions import FACTS

NOWHERE = -1
NEVER = math.inf
OLDEST, NEWEST, DEAREST = range(3)
"""Orders of service, as in `scenario.spec.ORDERS`."""
REFERRED, RATE, LIST, DEALS = range(4)
"""Kinds of sources."""


class DrawnTable(NamedTuple):
    """Attributes and the value, in the order in which they are drawn.

    Attribute a is drawn from distribution case[case_start[a] + code], code being the fact by[a] (0 where by[a] is
    NOWHERE), for purpose[a], and becomes fact[a].
    """

    fact: Ints
    by: Ints
    case_start: Ints
    case: Ints
    purpose: Ints
    anew: Ints  # whether a further deal with the same one draws it again: the value, and what depends on the source


class SourceTable(NamedTuple):
    """Sources, one row each.

    Kind 0 waits for referrals; 1 arrives along map rate_map; 2 is a list of `size` at time `at`; 3 holds open deals.
    Those of a source with a `ceiling` above 0 come at the rate times it, and each is kept by chance (its slot of
    effects tells the share of the ceiling). Where there is a `team`, each is a task of effort `effort` for it, which
    finds `yields` prospects.
    """

    kind: Ints
    key: Ints
    enters: Ints
    rate_map: Ints
    at: Floats
    size: Ints
    ceiling: Floats
    team: Ints
    effort: Ints
    yields: Ints
    cost_each: Floats
    cost_once: Floats
    cost_per_day: Floats


class DealTable(NamedTuple):
    """Deals open at the start, one row each; NaN stands for what is not known."""

    source: Ints
    key: Ints
    stage: Ints
    age: Floats
    value: Floats
    owner: Ints


class StageTable(NamedTuple):
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


class ExitTable(NamedTuple):
    """Exits of all stages; those of stage s are exit_start[s] .. exit_start[s + 1]. `stays` goes to NOWHERE."""

    to: Ints
    chance: Floats
    after: Ints
    pace: Ints  # the map from clock time to the time of the exit; NOWHERE where they are the same
    forward: Ints
    set_start: Ints
    set_fact: Ints
    set_value: Floats


class RouteTable(NamedTuple):
    """Routing rules of all stages: where predicate holds, go to place `to`."""

    predicate: Ints
    to: Ints


class ReferralTable(NamedTuple):
    """Referral and sending rules of all stages; `every` is NOWHERE for those that act once.

    `same` tells whether those who come are further deals with the same one.
    """

    number: Ints
    after: Ints
    every: Ints
    source: Ints
    reward: Floats
    same: Ints


class TeamTable(NamedTuple):
    """Teams: members of team t are member_start[t] .. ; its priorities are predicates first[first_start[t] ..]."""

    member_start: Ints
    order: Ints
    first_start: Ints
    first: Ints
    owned: Ints
    choosy: Ints  # whether some member serves only some prospects


class MemberTable(NamedTuple):
    """Members of all teams: the map from clock time to hours of work, when they leave, whom they serve, skill, pay."""

    work_map: Ints
    leaves: Floats
    only: Ints
    skill: Floats
    pay_per_day: Floats
    hired: Floats


class Purposes(NamedTuple):
    """The purposes of draws, by stage, exit and referral rule."""

    effort: Ints
    patience: Ints
    every: Ints
    choice: Ints
    limit: Ints
    after: Ints
    number: Ints
    rounding: Ints
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
    deal_names: tuple[str, ...]
    plugins: tuple[str, ...]  # of each stage: its routing rule in Python, or an empty text
    drawn: DrawnTable
    sources: SourceTable
    deals: DealTable
    known_of: Floats  # (deals, attributes): those of open deals, NaN where they are not known
    stages: StageTable
    exits: ExitTable
    routes: RouteTable
    referrals: ReferralTable
    teams: TeamTable
    members: MemberTable
    purposes: Purposes
    tables: Tables
    maps: Maps
    conditions: Rows
    effects: Rows
    stocks: Ints  # the places whose stocks are facts, in the order of the last facts
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
        return len(FACTS) + len(self.attribute_names) + len(self.stocks)

    @cached_property
    def slots(self) -> Slots:
        """Where the effects on each exit and stage stand."""
        return Slots(len(self.exits.to), self.n_stages, len(self.source_names))


@dataclass(frozen=True)
class Slots:
    """Effects are filed by what they act on.

    Odds, time and hazard of each exit; effort, patience and referrals of each stage; arrivals of each source; value.
    """

    exits: int
    stages: int
    sources: int

    def odds(self, e: int) -> int:
        """Odds of exit e."""
        return e

    def time(self, e: int) -> int:
        """Time of exit e."""
        return self.exits + e

    def hazard(self, e: int) -> int:
        """Hazard of exit e."""
        return 2 * self.exits + e

    def effort(self, s: int) -> int:
        """Effort in stage s."""
        return 3 * self.exits + s

    def patience(self, s: int) -> int:
        """Patience in stage s."""
        return 3 * self.exits + self.stages + s

    def referrals(self, s: int) -> int:
        """How many those in stage s bring."""
        return 3 * self.exits + 2 * self.stages + s

    def arrivals(self, source: int) -> int:
        """Arrivals of a source, as a share of its ceiling."""
        return 3 * self.exits + 3 * self.stages + source

    @property
    def value(self) -> int:
        """A prospect's value."""
        return 3 * self.exits + 3 * self.stages + self.sources

    @property
    def count(self) -> int:
        """How many there are."""
        return self.value + 1
