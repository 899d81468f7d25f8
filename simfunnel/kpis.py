"""From records to tables: every number that a user reads is a pure function here.

Records are added up once (`tally`), load by load as an engine hands them over. A metric is then one small function in
`METRICS`: it takes a `View` (the sums of one replication, for everyone or by group, with the periods to be told) and
returns an array (groups, periods). Words are those of the field: conversion rate is of a cohort entering a stage, win
rate is won / closed, churn is a customer leaving, reneged is having left while waiting for a seller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from simfunnel.engines.records import (
    BOOKED,
    GAVE_UP,
    LIMITED,
    OPENED,
    PAID,
    RENEGED,
    REWARD,
    SERVED,
    SOURCE_COST,
    STAGE_COST,
    STARTED,
    TOUCH_COST,
    Records,
    joined,
)
from simfunnel.errors import InputError, not_among
from simfunnel.numerics import Flags, Floats, Ints
from simfunnel.periods import Cut, Periods, cut
from simfunnel.plan import LIST, NOWHERE, Plan
from simfunnel.tally import Tally, Totals

if TYPE_CHECKING:
    import pandas as pd

GROUPINGS = ("source", "member", "generation", "outcome")
"""How prospects can be grouped, besides by an attribute; member: the last one; outcome: where they stand at last."""
AT_LAST = ("member", "outcome")
"""Groupings that are known only when a replication has ended."""


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
    """One replication's sums, for everyone or by group, with the periods to be told."""

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

    @cached_property
    def ways(self) -> Ways:
        """The kinds of moves."""
        return Ways(self.plan, *self.totals.moves)

    def metric(self, name: str) -> Floats:
        """A metric of this view, computed once."""
        if name not in self.known:
            self.known[name] = METRICS[name].of(self)
        return self.known[name]

    def mine(self, cube: Floats) -> Floats:
        """This view's rows of a cube: the first one for everyone, or the groups'."""
        return cube[:1] if self.by is None else cube[1:]

    def sums(self, cube: Floats, kinds: Flags | None = None) -> Floats:
        """A cube (some of its kinds together) by group and period; what lies outside all periods is left out."""
        rows = self.mine(cube)
        return self.cut.sums(rows if kinds is None else rows[:, :, kinds].sum(axis=2))

    def moved(self, kinds: Flags) -> Floats:
        """Moves of these kinds of `ways`, counted."""
        return self.sums(self.totals.cubes.moves, kinds)

    def money(self, *kinds: int) -> Floats:
        """Amounts of some kinds of money."""
        return self.sums(self.totals.cubes.money, np.isin(self.totals.money.kind, kinds))

    def tasks(self, cube: Floats, outcome: int) -> Floats:
        """A cube of tasks, of those tasks for prospects whose waits ended so."""
        return self.sums(cube, (self.totals.tasks.outcome == outcome) & (self.totals.tasks.stage >= 0))

    def stock(self, places: Flags, cube: Floats | None = None) -> Floats:
        """How many prospects (or what of another cube of moves) are in these places at each period's end.

        What happens at the very instant between two periods belongs to the later one, here as in sums.
        """
        rows = self.mine(self.totals.cubes.moves if cube is None else cube)
        goal, origin = places[self.ways.goal], places[self.ways.origin] & (self.ways.origin >= 0)
        change = rows[:, :, goal & ~origin].sum(axis=2) - rows[:, :, origin & ~goal].sum(axis=2)
        return self.cut.ends(np.cumsum(change, axis=1))


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


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


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
    return _share(won, won + view.metric("lost"))


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
    return spent + view.cut.sums(_standing(view))


def _standing(view: View) -> Floats:
    """What sources and members cost by themselves, by interval; groups leave it out, unless the source is the group."""
    plan, sources, members, edges = view.plan, view.plan.sources, view.plan.members, view.cut.edges
    out = np.zeros((len(view.groups), len(edges) + 1))
    by_source = np.zeros((len(plan.source_names), out.shape[1]))
    by_source[:, 1:-1] = np.outer(sources.cost_per_day, np.diff(np.clip(edges, 0.0, plan.days)))
    time = np.where(sources.kind == LIST, sources.at, 0.0)
    by_source[np.arange(len(time)), np.searchsorted(edges, time, side="right")] += sources.cost_once
    if view.by is None:
        until, since = members.leaves[:, np.newaxis], members.hired[:, np.newaxis]
        here = np.maximum(0.0, np.minimum(edges[1:], until) - np.maximum(edges[:-1], since))
        out[0] = by_source.sum(axis=0)
        out[0, 1:-1] += (members.pay_per_day[:, np.newaxis] * here).sum(axis=0)
    elif view.by == "source":
        out[:] = by_source
    return out


@metric("profit", "money")
def profit(view: View) -> Floats:
    """Revenue less cost."""
    return view.metric("revenue") - view.metric("cost")


@metric("open_deals", "prospects", better=0)
def open_deals(view: View) -> Floats:
    """Deals open at the period's end."""
    return view.stock(view.ways.is_open)


@metric("pipeline_value", "money", better=0)
def pipeline_value(view: View) -> Floats:
    """The value of the deals open at the period's end."""
    value = view.stock(view.ways.is_open, view.totals.cubes.values)
    return np.where(view.metric("open_deals") > 0, value, 0.0)  # adding and taking away may leave a rounding


@metric("customers", "prospects")
def customers(view: View) -> Floats:
    """Customers at the period's end."""
    return view.stock(view.ways.is_customer)


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
    return _share(view.tasks(cubes.waits, SERVED), view.tasks(cubes.tasks, SERVED))


@metric("hours", "hours", better=0)
def hours(view: View) -> Floats:
    """Hours of work that members did on prospects and on finding them."""
    return view.sums(view.totals.cubes.hours)


@metric("utilisation", "share", better=0)
def utilisation(view: View) -> Floats:
    """Hours worked as a share of all members' hours on offer; for everyone, whatever the grouping."""
    busy, offered = work_hours(view)
    total = _share(busy.sum(axis=0), offered.sum(axis=0))
    return np.tile(total, (len(view.groups), 1))


def work_hours(view: View) -> tuple[Floats, Floats]:
    """Hours of effort done and hours on offer: two arrays (members, periods)."""
    return view.cut.sums(view.totals.cubes.busy), view.cut.sums(view.totals.offered)


# --- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tallied:
    """One replication, added up: for everyone and, where asked, by group."""

    totals: Totals
    cut: Cut
    groups: tuple[str, ...] = ()
    by: str | None = None

    def view(self, *, grouped: bool = False) -> View:
        """For everyone, or by group."""
        return View(self.totals, self.cut, self.groups if grouped else ("",), self.by if grouped else None)


def tallied(loads: Iterable[Records], plan: Plan, units: tuple[str, ...], by: str | None = None) -> Tallied:
    """The loads of one replication, added up. `by` is one of `GROUPINGS` or an attribute of categories.

    A load is let go when it is added, unless the grouping is one of those that only the end tells: then all are kept
    until the last has come. Raises InputError where there is no such unit or grouping.
    """
    periods = cut(plan.start, plan.warm_up, plan.days, units, plan.fiscal_year_ends)
    tally = Tally(plan, periods.edges, grouped=by is not None, by_source=by == "source")
    for load in [joined(list(loads))] if by in AT_LAST else loads:
        tally.add(load, None if by is None else groups_of(load, plan, by))
    if by is None:
        return Tallied(tally.finish(), periods)
    names = names_of(plan, by)
    totals = tally.finish(max(len(names), 1))
    return Tallied(totals, periods, names or tuple(map(str, range(tally.groups))), by)


@dataclass(frozen=True)
class WholeView(View):
    """The view of a replication whose records are all there."""

    records: Records = field(kw_only=True)

    @property
    def won(self) -> Flags:
        """By move: whether someone becomes a customer by it."""
        return ways_of(self.records, self.plan).won

    @property
    def lost(self) -> Flags:
        """By move: whether an open deal ends by it without a win."""
        return ways_of(self.records, self.plan).lost


def ways_of(records: Records, plan: Plan) -> Ways:
    """The moves of a replication, one by one."""
    return Ways(plan, records.moves.origin, records.moves.goal, records.moves.cause)


def view_of(records: Records, plan: Plan, unit: str = "quarter", by: str | None = None) -> WholeView:
    """The records of one replication, cut. `by` is one of `GROUPINGS` or an attribute of categories."""
    view = tallied([records], plan, (unit,), by).view(grouped=by is not None)
    return WholeView(view.totals, view.cut, view.groups, view.by, records=records)


def names_of(plan: Plan, by: str) -> tuple[str, ...]:
    """The names of the groups; none for generations, whose number only the end tells.

    Raises InputError where there is no such grouping.
    """
    fixed = {"source": plan.source_names, "generation": (), "member": ("nobody", *plan.member_names)}
    fixed |= {"outcome": plan.place_names}
    known = {n: levels for n, levels in zip(plan.attribute_names, plan.attribute_levels, strict=True) if levels}
    if by not in fixed and by not in known:
        raise InputError(not_among(by, "grouping", [*GROUPINGS, *known]))
    return fixed[by] if by in fixed else known[by]


def groups_of(records: Records, plan: Plan, by: str) -> Ints:
    """The group of each prospect. Raises InputError where there is no such grouping."""
    names_of(plan, by)
    people = records.prospects
    if by == "source":
        return people.source
    if by == "generation":
        return people.generation
    if by in AT_LAST:
        last = np.full(len(people.key), NOWHERE if by == "member" else 0, dtype=np.int64)
        # of several moves of one prospect the last stays
        last[records.moves.prospect] = records.moves.member if by == "member" else records.moves.goal
        return last + 1 if by == "member" else last
    return people.attributes[:, plan.attribute_names.index(by)].astype(np.int64)


def measure(
    records: Records, plan: Plan, unit: str = "quarter", by: str | None = None, metrics: Iterable[str] | None = None
) -> pd.DataFrame:
    """Metrics of one replication as a long table: metric, period, group (empty without `by`), value."""
    import pandas as pd

    view = view_of(records, plan, unit, by)
    parts = [
        pd.DataFrame(
            {
                "metric": name,
                "period": np.tile(view.periods.labels, len(view.groups)),
                "group": np.repeat(view.groups, len(view.periods)),
                "value": values.ravel(),
            }
        )
        for name, values in measured(view, metrics).items()
    ]
    return pd.concat(parts, ignore_index=True)


def measured(view: View, metrics: Iterable[str] | None = None) -> dict[str, Floats]:
    """Each metric as an array (groups, periods). Raises InputError for one that does not exist."""
    names = list(METRICS) if metrics is None else list(metrics)
    for name in names:
        if name not in METRICS:
            raise InputError(not_among(name, "metric", METRICS))
    return {name: view.metric(name) for name in names}


def funnel(records: Records, plan: Plan) -> pd.DataFrame:
    """One row a stage: who entered after the warm-up, what became of them, and how long they took and waited.

    Columns: stage, entered, forward, lost, reneged, given_up, still_there (counts), conversion (forward / entered),
    mean_days (of those who have left), mean_wait_hours (for a seller).
    """
    return funnel_table(plan.place_names[: plan.n_stages], funnel_of(tallied([records], plan, ("all",)).totals))


def queues(records: Records, plan: Plan) -> pd.DataFrame:
    """One row a team, from the warm-up to the horizon.

    Columns: team, utilisation, tasks (asked for), waited (share of the served who waited at all), mean_wait (days, of
    the served), queue_length (mean over time), reneged (share of those asked for who gave up).
    """
    return queues_table(plan.team_names, queues_of(tallied([records], plan, ("all",)).totals))


FUNNEL = (
    "entered", "forward", "lost", "reneged", "given_up", "still_there", "conversion", "mean_days", "mean_wait_hours",
)  # fmt: skip
QUEUES = ("utilisation", "tasks", "waited", "mean_wait", "queue_length", "reneged")


def funnel_of(totals: Totals) -> Floats:
    """The figures of `funnel`: (stages, columns of `FUNNEL`)."""
    cubes, stages = totals.cubes, totals.plan.n_stages
    by_goal, by_cause = cubes.fates.sum(axis=2), cubes.fates.sum(axis=1)
    gone = by_goal.sum(axis=1)
    forward = np.triu(by_goal[:, :stages], 1).sum(axis=1)
    served, waited = cubes.asked[:, 1:, SERVED].sum(axis=0), cubes.waited[:, 1:].sum(axis=0)
    columns = {
        "entered": cubes.came,
        "forward": forward,
        "lost": by_goal[:, stages:].sum(axis=1),
        "reneged": by_cause[:, RENEGED],
        "given_up": by_cause[:, LIMITED],
        "still_there": cubes.came - gone,
        "conversion": _share(forward, cubes.came),
        "mean_days": _share(cubes.days, gone),
        "mean_wait_hours": _share(waited * 24, served),
    }
    return np.stack([columns[name] for name in FUNNEL], axis=1)


def queues_of(totals: Totals) -> Floats:
    """The figures of `queues`: (teams, columns of `QUEUES`)."""
    cubes, plan = totals.cubes, totals.plan
    teams = list(pairwise(plan.teams.member_start.tolist()))
    busy, offered = (
        np.array([hours[first:after, 1:-1].sum() for first, after in teams]) for hours in (cubes.busy, totals.offered)
    )
    asked = cubes.asked[:, 1:].sum(axis=1)
    columns = {
        "utilisation": _share(busy, offered),
        "tasks": asked.sum(axis=1),
        "waited": _share(cubes.delayed[:, 1:].sum(axis=1), asked[:, SERVED]),
        "mean_wait": _share(cubes.waited[:, 1:].sum(axis=1), asked[:, SERVED]),
        "queue_length": cubes.queued / (plan.days - plan.warm_up),
        "reneged": _share(asked[:, GAVE_UP], asked.sum(axis=1)),
    }
    return np.stack([columns[name] for name in QUEUES], axis=1)


def funnel_table(stages: Sequence[str], figures: Floats) -> pd.DataFrame:
    """The table of `funnel` from its figures, of one replication or of several: (stages, columns) last."""
    return _table("stage", stages, FUNNEL, figures, FUNNEL[: FUNNEL.index("conversion")])


def queues_table(teams: Sequence[str], figures: Floats) -> pd.DataFrame:
    """The table of `queues` from its figures, of one replication or of several: (teams, columns) last."""
    return _table("team", teams, QUEUES, figures, ("tasks",))


def _table(
    label: str, names: Sequence[str], columns: Sequence[str], figures: Floats, counts: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    flat = figures.reshape(-1, len(columns))
    found = {c: flat[:, k].astype(np.int64) if c in counts else flat[:, k] for k, c in enumerate(columns)}
    times = len(flat) // max(len(names), 1)
    return pd.DataFrame({label: np.array([*names] * times, dtype=object), **found})


def time_in_system(records: Records, plan: Plan) -> float:
    """Mean days from coming to leaving for good, of those who came after the warm-up and have left."""
    people, moves = records.prospects, records.moves
    gone = moves.goal >= plan.n_stages
    born = people.born[moves.prospect[gone]]
    spent = (moves.time[gone] - born)[born >= plan.warm_up]
    return float(spent.mean()) if len(spent) else float("nan")
