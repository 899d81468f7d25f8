"""The metrics: every number that is told by period is a pure function here.

Records are added up once (`tally`), load by load as an engine hands them over (`views`). A metric is then one small
function in `METRICS`: it takes a `View` (the sums of one replication, for everyone or by group, with the periods to be
told) and returns an array (groups, periods). Of replications that are measured at once (`tally.stacked`), each array
has an axis before all others. Words are those of the field: win rate is won / closed, churn is a customer leaving,
reneged is having left while waiting for a seller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from simfunnel.engines.records import (
    BOOKED,
    GAVE_UP,
    OPENED,
    PAID,
    REWARD,
    SERVED,
    SOURCE_COST,
    STAGE_COST,
    STARTED,
    TOUCH_COST,
)
from simfunnel.errors import InputError, not_among
from simfunnel.numerics import Flags, Floats, Ints
from simfunnel.periods import Cut, Periods
from simfunnel.plan import LIST, Plan
from simfunnel.tally import Frame, Money, Moves, Tasks, Totals


class Passages(NamedTuple):
    """Those of some moves, or kinds of moves, that lead into some places and those that lead out of them."""

    into: Flags
    out: Flags


@dataclass(frozen=True)
class Ways:
    """Moves, or kinds of moves, as from where to where and why; so that each rule about them stands once."""

    plan: Plan
    origin: Ints
    goal: Ints
    cause: Ints

    @cached_property
    def is_customer(self) -> Flags:
        """By place: whether those there are customers."""
        ends = len(self.plan.place_names) - self.plan.n_stages
        return np.concatenate([self.plan.stages.customer.astype(bool), np.zeros(ends, dtype=bool)])

    @cached_property
    def is_open(self) -> Flags:
        """By place: whether those there are open deals."""
        places = np.arange(len(self.plan.place_names))
        return (places < self.plan.n_stages) & ~self.is_customer

    @cached_property
    def open_deals(self) -> Passages:
        """Into and out of the open deals."""
        return self.passages(self.is_open)

    @cached_property
    def customers(self) -> Passages:
        """Into and out of the customers."""
        return self.passages(self.is_customer)

    def passages(self, places: Flags) -> Passages:
        """Into and out of these places, told by place."""
        goal, origin = places[self.goal], places[self.origin] & (self.origin >= 0)
        return Passages(goal & ~origin, origin & ~goal)

    @cached_property
    def from_customer(self) -> Flags:
        """Whether it leaves a customer stage."""
        leaves: Flags = (self.origin >= 0) & self.is_customer[self.origin]
        return leaves

    @cached_property
    def won(self) -> Flags:
        """Whether someone becomes a customer by it."""
        won: Flags = self.is_customer[self.goal] & ~self.from_customer & (self.cause != OPENED)
        return won

    @cached_property
    def lost(self) -> Flags:
        """Whether an open deal ends by it without a win."""
        return (self.origin >= 0) & (self.goal >= self.plan.n_stages) & ~self.from_customer

    @cached_property
    def churned(self) -> Flags:
        """Whether a customer leaves by it."""
        return self.from_customer & ~self.is_customer[self.goal]


@dataclass(frozen=True)
class View:
    """The sums of one replication or of several, for everyone or by group, with the periods to be told."""

    totals: Totals
    cut: Cut
    groups: tuple[str, ...]
    by: str | None = None
    known: dict[str, Floats] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The plan that was run."""
        return self.totals.plan

    @property
    def periods(self) -> Periods:
        """The periods, of the first unit where there are several."""
        return self.cut.units[0]

    @property
    def ways(self) -> Ways:
        """The kinds of moves."""
        return _ways(self.totals.frames[0], self.totals.moves)

    def metric(self, name: str) -> Floats:
        """A metric of this view, computed once."""
        if name not in self.known:
            self.known[name] = METRICS[name].of(self)
        return self.known[name]

    def mine(self, cube: Floats) -> Floats:
        """This view's rows of a cube: the first one for everyone, or the groups'."""
        return cube[..., :1, :] if self.by is None else cube[..., 1:, :]

    def sums(self, cube: Floats, kinds: Flags | None = None) -> Floats:
        """A cube (some of its kinds together) by group and period; what lies outside all periods is left out."""
        rows = self.mine(cube)
        return self.cut.sums(rows if kinds is None else _together(rows, kinds))

    def moved(self, kinds: Flags) -> Floats:
        """Moves of these kinds of `ways`, counted."""
        return self.sums(self.totals.cubes.moves, kinds)

    def money(self, *kinds: int) -> Floats:
        """Amounts of some kinds of money."""
        return self.sums(self.totals.cubes.money, _of_kinds(self.totals.money, kinds))

    def tasks(self, cube: Floats, outcome: int) -> Floats:
        """A cube of tasks, of those tasks for prospects whose waits ended so."""
        return self.sums(cube, _for_prospects(self.totals.tasks, outcome))

    def stock(self, passages: Passages, cube: Floats | None = None) -> Floats:
        """How many prospects (or what of another cube of moves) came in and are not out again at each period's end.

        What happens at the very instant between two periods belongs to the later one, here as in sums.
        """
        rows = self.mine(self.totals.cubes.moves if cube is None else cube)
        change = _together(rows, passages.into) - _together(rows, passages.out)
        return self.cut.ends(np.cumsum(change, axis=-1))


def _together(rows: Floats, kinds: Flags) -> Floats:
    """Some kinds of (..., kinds, groups, columns) added up."""
    found: Floats = rows.compress(kinds, axis=-3).sum(axis=-3)
    return found


# --- what kinds are; most replications have those of the one before ---------------------------------------------------


@lru_cache(maxsize=4)
def _ways(frame: Frame, kinds: Moves) -> Ways:
    """The kinds of moves."""
    return Ways(frame.plan, kinds.origin, kinds.goal, kinds.cause)


@lru_cache(maxsize=16)
def _of_kinds(amounts: Money, wanted: tuple[int, ...]) -> Flags:
    """Which of the kinds of amounts are of some kinds of money."""
    return np.isin(amounts.kind, wanted)


@lru_cache(maxsize=16)
def _for_prospects(tasks: Tasks, outcome: int) -> Flags:
    """Which of the kinds of tasks are those for prospects whose waits ended so."""
    found: Flags = (tasks.outcome == outcome) & (tasks.stage >= 0)
    return found


# --- metrics ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A number that is reported by period."""

    name: str
    unit: str
    """`prospects`, `money`, `share` or `hours`."""
    meaning: str
    of: Callable[[View], Floats]
    better: int = 1
    """1 where more is better, -1 where less is."""


METRICS: dict[str, Metric] = {}


def metric(name: str, unit: str, better: int = 1) -> Callable[[Callable[[View], Floats]], Callable[[View], Floats]]:
    """Register a metric; its docstring is its meaning."""

    def register(function: Callable[[View], Floats]) -> Callable[[View], Floats]:
        METRICS[name] = Metric(name, unit, (function.__doc__ or "").strip(), function, better)
        return function

    return register


def share(part: Floats, whole: Floats) -> Floats:
    """What part of the whole it is, NaN where there is nothing."""
    found = np.empty(part.shape)
    found.fill(np.nan)  # in half the time of `full`, a dozen times a replication
    np.divide(part, whole, out=found, where=whole > 0)
    return found


OF_VALUES = ("bookings", "revenue", "profit", "pipeline_value")
"""The metrics that add up what deals are worth; where nobody knows that, they only count deals."""


@metric("prospects", "prospects")
def prospects(view: View) -> Floats:
    """Prospects who came (deals that were open at the start are not counted)."""
    return view.moved(view.ways.cause == STARTED)


@metric("referrals", "prospects")
def referrals(view: View) -> Floats:
    """Prospects who were brought by others."""
    return view.sums(view.totals.cubes.brought)


@metric("wins", "prospects")
def wins(view: View) -> Floats:
    """Prospects who became customers."""
    return view.moved(view.ways.won)


@metric("lost", "prospects", better=-1)
def lost(view: View) -> Floats:
    """Open deals that ended without a win."""
    return view.moved(view.ways.lost)


@metric("win_rate", "share")
def win_rate(view: View) -> Floats:
    """Won / closed: wins among the deals that were won or lost in the period."""
    won = view.metric("wins")
    return share(won, won + view.metric("lost"))


@metric("bookings", "money")
def bookings(view: View) -> Floats:
    """What was booked."""
    return view.money(BOOKED)


@metric("revenue", "money")
def revenue(view: View) -> Floats:
    """Bookings, each spread evenly over its stage's term."""
    return view.sums(view.totals.cubes.earned)


@metric("cash", "money")
def cash(view: View) -> Floats:
    """What was paid to us."""
    return view.money(PAID)


@metric("cost", "money", better=-1)
def cost(view: View) -> Floats:
    """All that was spent: sources, touches, stages, rewards, and members' pay."""
    spent = view.money(STAGE_COST, TOUCH_COST, REWARD, SOURCE_COST) + view.sums(view.totals.cubes.stays)
    if view.by not in (None, "source"):
        return spent
    by_source = view.by is not None
    return spent + view.totals.by_frame(lambda frame: _standing(frame, view.cut, by_source=by_source))


@lru_cache(maxsize=4)
def _standing(frame: Frame, cut: Cut, *, by_source: bool) -> Floats:
    """What sources and members cost by themselves, by period: for everyone, or each source by itself."""
    plan, sources, members, edges = frame.plan, frame.plan.sources, frame.plan.members, frame.edges
    each = np.zeros((len(plan.source_names), len(edges) + 1))
    each[:, 1:-1] = np.outer(sources.cost_per_day, np.diff(np.clip(edges, 0.0, plan.days)))
    time = np.where(sources.kind == LIST, sources.at, 0.0)
    each[np.arange(len(time)), np.searchsorted(edges, time, side="right")] += sources.cost_once
    if by_source:
        return cut.sums(each)
    together: Floats = each.sum(axis=0, keepdims=True)
    until, since = members.leaves[:, np.newaxis], members.hired[:, np.newaxis]
    here = np.maximum(0.0, np.minimum(edges[1:], until) - np.maximum(edges[:-1], since))
    together[0, 1:-1] += (members.pay_per_day[:, np.newaxis] * here).sum(axis=0)
    return cut.sums(together)


@metric("profit", "money")
def profit(view: View) -> Floats:
    """Revenue less cost."""
    return view.metric("revenue") - view.metric("cost")


@metric("open_deals", "prospects", better=0)
def open_deals(view: View) -> Floats:
    """Deals open at the period's end."""
    return view.stock(view.ways.open_deals)


@metric("pipeline_value", "money", better=0)
def pipeline_value(view: View) -> Floats:
    """The value of the deals open at the period's end."""
    value = view.stock(view.ways.open_deals, view.totals.cubes.values)
    return np.where(view.metric("open_deals") > 0, value, 0.0)  # adding and taking away may leave a rounding


@metric("customers", "prospects")
def customers(view: View) -> Floats:
    """Customers at the period's end."""
    return view.stock(view.ways.customers)


@metric("churned", "prospects", better=-1)
def churned(view: View) -> Floats:
    """Customers who left."""
    return view.moved(view.ways.churned)


@metric("reneged", "prospects", better=-1)
def reneged(view: View) -> Floats:
    """Prospects who left while waiting for a seller, tired of it."""
    return view.tasks(view.totals.cubes.tasks, GAVE_UP)


@metric("wait", "hours", better=-1)
def wait(view: View) -> Floats:
    """Mean wait for a seller, in clock hours, over the touches begun in the period."""
    cubes = view.totals.cubes
    return share(view.tasks(cubes.waits, SERVED), view.tasks(cubes.tasks, SERVED))


@metric("hours", "hours", better=0)
def hours(view: View) -> Floats:
    """Hours of work that members did on prospects and on finding them."""
    return view.sums(view.totals.cubes.hours)


@metric("utilisation", "share", better=0)
def utilisation(view: View) -> Floats:
    """Hours worked as a share of all members' hours on offer; for everyone, whatever the grouping."""
    busy, offered = work_hours(view)
    total = share(busy.sum(axis=-2), offered.sum(axis=-2))
    return np.repeat(total[..., np.newaxis, :], len(view.groups), axis=-2)


def work_hours(view: View) -> tuple[Floats, Floats]:
    """Hours of effort done, and hours on offer, by member and period: both (members, periods)."""
    offered = view.totals.by_frame(lambda frame: _offered(frame, view.cut))
    return view.cut.sums(view.totals.cubes.busy), offered


@lru_cache(maxsize=4)
def _offered(frame: Frame, cut: Cut) -> Floats:
    """Hours on offer: (members, periods)."""
    return cut.sums(frame.offered)


def measured(view: View, metrics: Iterable[str] | None = None) -> dict[str, Floats]:
    """Each metric as an array (groups, periods). Raises InputError for one that does not exist."""
    names = list(METRICS) if metrics is None else list(metrics)
    for name in names:
        if name not in METRICS:
            raise InputError(not_among(name, "metric", METRICS))
    return {name: view.metric(name) for name in names}
