"""From records to tables: every number that a user reads is a pure function here.

A metric is one small function in `METRICS`: it takes a `View` (the records of one replication, cut into periods and
groups) and returns an array (groups, periods). Words are those of the field: conversion rate is of a cohort entering a
stage, win rate is won / closed, churn is a customer leaving, reneged is having left while waiting for a seller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
)
from simfunnel.errors import InputError, not_among
from simfunnel.numerics import Floats, Ints
from simfunnel.periods import Periods, periods
from simfunnel.plan import LIST, NOWHERE, Plan

if TYPE_CHECKING:
    import pandas as pd

Flags = NDArray[np.bool_]
GROUPINGS = ("source", "member", "generation", "outcome")
"""How prospects can be grouped, besides by an attribute; member: the last one; outcome: where they stand at last."""


@dataclass(frozen=True)
class View:
    """One replication, cut into periods and groups of prospects."""

    records: Records
    plan: Plan
    periods: Periods
    groups: tuple[str, ...]
    group: Ints  # of each prospect
    by: str | None = None
    known: dict[str, Floats] = field(default_factory=dict)

    def metric(self, name: str) -> Floats:
        """A metric of this view, computed once."""
        if name not in self.known:
            self.known[name] = METRICS[name].of(self)
        return self.known[name]

    def sums(self, times: Floats, group: Ints, amounts: Floats | float = 1.0) -> Floats:
        """Amounts added by group and period of the time; what lies outside all periods, or in no group, is left out."""
        period = self.periods.of(times)
        inside = (period >= 0) & (times <= self.periods.edges[-1]) & (group >= 0)
        weights = np.broadcast_to(np.asarray(amounts, dtype=np.float64), times.shape)
        return self._added(group[inside], period[inside], weights[inside])

    def _added(self, group: Ints, period: Ints, amounts: Floats) -> Floats:
        shape = (len(self.groups), len(self.periods))
        cells = group * shape[1] + period
        return np.bincount(cells, amounts, shape[0] * shape[1]).reshape(shape).astype(np.float64)

    def spread(self, by_day: Floats, since: Floats, until: Floats, group: Ints) -> Floats:
        """Amounts a day that run from one time until another, added by group and period."""
        row, period, days = _pieces(self.periods.edges, since, until)
        return self._added(group[row], period, by_day[row] * days)

    def moved(self, which: Flags, amounts: Floats | float = 1.0) -> Floats:
        """Moves of a kind, counted (or their amounts added)."""
        moves = self.records.moves
        chosen = amounts if isinstance(amounts, float) else amounts[which]
        return self.sums(moves.time[which], self.group[moves.prospect[which]], chosen)

    def money(self, *kinds: int) -> Floats:
        """Amounts of some kinds of money."""
        rows = self.records.money
        which = np.isin(rows.kind, kinds)
        return self.sums(rows.time[which], self.group[rows.prospect[which]], rows.amount[which])

    def stock(self, places: Flags, amounts: Floats | float = 1.0) -> Floats:
        """How many prospects (or how much of an amount of each) are in these places at each period's end.

        What happens at the very instant between two periods belongs to the later one, here as in sums.
        """
        moves = self.records.moves
        change = places[moves.goal].astype(float) - np.where(moves.origin >= 0, places[moves.origin], 0)
        period = np.maximum(self.periods.of(moves.time), 0)
        which = (change != 0) & (moves.time <= self.periods.edges[-1])
        amount = np.broadcast_to(np.asarray(amounts, dtype=np.float64), self.group.shape)
        person = moves.prospect[which]
        by_period = self._added(self.group[person], period[which], change[which] * amount[person])
        return np.cumsum(by_period, axis=1)

    def share_out(self, amounts: Floats, source: int = NOWHERE) -> Floats:
        """Amounts by period that belong to no prospect; groups leave them out, unless a source is the cause."""
        out = np.zeros((len(self.groups), len(self.periods)))
        if self.by is None:
            out[0] = amounts
        elif self.by == "source" and source != NOWHERE:
            out[source] = amounts
        return out

    def overlap(self, since: float, until: float) -> Floats:
        """Days of each period that lie between two times."""
        edges = self.periods.edges
        days: Floats = np.minimum(edges[1:], until) - np.maximum(edges[:-1], since)
        return np.maximum(0.0, days)

    @cached_property
    def group_of_tasks(self) -> Ints:
        """The group of each task; a visit that finds prospects belongs to its source, else only to everyone."""
        tasks = self.records.tasks
        if self.by in (None, "source"):
            return tasks.source if self.by else np.zeros(len(tasks.source), dtype=np.int64)
        return np.where(tasks.prospect >= 0, self.group[tasks.prospect], NOWHERE) if len(self.group) else tasks.prospect

    @cached_property
    def hours_of_tasks(self) -> tuple[Floats, Floats, Ints]:
        """Of each task that was served: the member's hours of work at its begin and its end, and the member."""
        tasks = self.records.tasks
        served = tasks.outcome == SERVED
        member = tasks.member[served]
        begun, ended = tasks.begun[served].copy(), np.minimum(tasks.ended[served], self.plan.days)
        for m in np.unique(member):
            nodes, mine = _nodes(self.plan, int(m)), member == m
            begun[mine], ended[mine] = np.interp(begun[mine], *nodes), np.interp(ended[mine], *nodes)
        return begun, ended, member

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
        """By move: whether it leaves a customer stage."""
        origin = self.records.moves.origin
        known: Flags = origin >= 0
        known[known] = self.is_customer[origin[known]]
        return known

    @cached_property
    def won(self) -> Flags:
        """By move: whether someone becomes a customer by it."""
        moves = self.records.moves
        won: Flags = self.is_customer[moves.goal] & ~self.from_customer & (moves.cause != OPENED)
        return won

    @cached_property
    def lost(self) -> Flags:
        """By move: whether an open deal ends by it without a win."""
        moves = self.records.moves
        ended: Flags = (moves.origin >= 0) & (moves.goal >= self.plan.n_stages)
        return ended & ~self.from_customer


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
    return view.moved(view.records.moves.cause == STARTED)


@metric("referrals", "prospects")
def referrals(view: View) -> Floats:
    """Prospects who were brought by others."""
    people = view.records.prospects
    which = people.parent >= 0
    which[which] = people.generation[which] > people.generation[people.parent[which]]
    return view.sums(people.born[which], view.group[which])


@metric("wins", "prospects")
def wins(view: View) -> Floats:
    """Prospects who became customers."""
    return view.moved(view.won)


@metric("lost", "prospects", better=-1)
def lost(view: View) -> Floats:
    """Open deals that ended without a win."""
    return view.moved(view.lost)


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
    rows = view.records.money
    which = rows.kind == BOOKED
    term = view.plan.stages.term[rows.stage]
    at_once, later = which & (term == 0), which & (term > 0)
    since, by_day = rows.time[later], rows.amount[later] / term[later]
    group = view.group[rows.prospect]
    spread = view.spread(by_day, since, since + term[later], group[later])
    return view.sums(rows.time[at_once], group[at_once], rows.amount[at_once]) + spread


@metric("cash", "money")
def cash(view: View) -> Floats:
    """What was paid to us."""
    return view.money(PAID)


@metric("cost", "money", better=-1)
def cost(view: View) -> Floats:
    """All that was spent: sources, touches, stages, rewards, and members' pay."""
    plan = view.plan
    total = view.money(STAGE_COST, TOUCH_COST, REWARD, SOURCE_COST) + _cost_of_staying(view)
    for k in range(len(plan.source_names)):
        amounts = float(plan.sources.cost_per_day[k]) * view.overlap(0.0, plan.days)
        time = float(plan.sources.at[k]) if plan.sources.kind[k] == LIST else 0.0
        if view.periods.edges[0] <= time < view.periods.edges[-1]:
            amounts[view.periods.of(np.array([time]))[0]] += float(plan.sources.cost_once[k])
        total += view.share_out(amounts, k)
    for m in range(len(plan.member_names)):
        days = view.overlap(float(plan.members.hired[m]), float(plan.members.leaves[m]))
        total += view.share_out(float(plan.members.pay_per_day[m]) * days)
    return total


def _cost_of_staying(view: View) -> Floats:
    """What each day in a stage costs, for stages that say so."""
    plan, moves = view.plan, view.records.moves
    if not plan.stages.cost_per_day.any() or not len(moves.time):
        return np.zeros((len(view.groups), len(view.periods)))
    rates = np.concatenate([plan.stages.cost_per_day, np.zeros(len(plan.place_names) - plan.n_stages)])
    order = np.lexsort((np.arange(len(moves.time)), moves.prospect))
    person, time, goal = moves.prospect[order], moves.time[order], moves.goal[order]
    last = np.append(person[1:] != person[:-1], True)
    until = np.where(last, plan.days, np.append(time[1:], plan.days))
    here = rates[goal] > 0
    return view.spread(rates[goal][here], time[here], until[here], view.group[person[here]])


@metric("profit", "money")
def profit(view: View) -> Floats:
    """Revenue less cost."""
    return view.metric("revenue") - view.metric("cost")


@metric("open_deals", "prospects", better=0)
def open_deals(view: View) -> Floats:
    """Deals open at the period's end."""
    return view.stock(view.is_open)


@metric("pipeline_value", "money", better=0)
def pipeline_value(view: View) -> Floats:
    """The value of the deals open at the period's end."""
    value = view.stock(view.is_open, view.records.prospects.value)
    return np.where(view.metric("open_deals") > 0, value, 0.0)  # adding and taking away may leave a rounding


@metric("customers", "prospects")
def customers(view: View) -> Floats:
    """Customers at the period's end."""
    return view.stock(view.is_customer)


@metric("churned", "prospects", better=-1)
def churned(view: View) -> Floats:
    """Customers who left."""
    return view.moved(view.from_customer & ~view.is_customer[view.records.moves.goal])


@metric("reneged", "prospects", better=-1)
def reneged(view: View) -> Floats:
    """Prospects who left while waiting for a seller, tired of it."""
    tasks = view.records.tasks
    which = tasks.outcome == GAVE_UP
    return view.sums(tasks.left[which], view.group_of_tasks[which])


@metric("wait", "hours", better=-1)
def wait(view: View) -> Floats:
    """Mean wait for a seller, in clock hours, over the touches begun in the period."""
    tasks = view.records.tasks
    served = (tasks.outcome == SERVED) & (tasks.prospect >= 0)
    begun, group = tasks.begun[served], view.group_of_tasks[served]
    waited = (begun - tasks.asked[served]) * 24
    return _share(view.sums(begun, group, waited), view.sums(begun, group))


@metric("hours", "hours", better=0)
def hours(view: View) -> Floats:
    """Hours of work that members did on prospects and on finding them."""
    total = np.zeros((len(view.groups), len(view.periods)))
    group = view.group_of_tasks[view.records.tasks.outcome == SERVED]
    begun, ended, member = view.hours_of_tasks
    for m in np.unique(member):
        mine = np.flatnonzero((member == m) & (group >= 0))
        at_edge = np.interp(view.periods.edges, *_nodes(view.plan, int(m)))
        row, period, done = _pieces(at_edge, begun[mine], ended[mine])
        total += view._added(group[mine][row], period, done)
    return total


@metric("utilisation", "share", better=0)
def utilisation(view: View) -> Floats:
    """Hours worked as a share of all members' hours on offer; for everyone, whatever the grouping."""
    busy, offered = work_hours(view)
    total = _share(busy.sum(axis=0), offered.sum(axis=0))
    return np.tile(total, (len(view.groups), 1))


def work_hours(view: View) -> tuple[Floats, Floats]:
    """Hours of effort done and hours on offer: two arrays (members, periods)."""
    plan, edges = view.plan, view.periods.edges
    offered = np.zeros((len(plan.member_names), len(view.periods)))
    busy = np.zeros_like(offered)
    begun, ended, member = view.hours_of_tasks
    for m in range(len(plan.member_names)):
        x, y = _nodes(plan, m)
        offered[m] = np.diff(np.interp(np.minimum(edges, plan.members.leaves[m]), x, y))
        at_edge = np.interp(edges, x, y)
        mine = member == m
        _, period, done = _pieces(at_edge, begun[mine], ended[mine])
        busy[m] = np.bincount(period, done, len(view.periods))
    return busy, offered


def _pieces(edges: Floats, since: Floats, until: Floats) -> tuple[Ints, Ints, Floats]:
    """Stretches cut at the edges of periods: of each piece the row of its stretch, its period and its length."""
    first = np.maximum(np.searchsorted(edges, since, side="right") - 1, 0)
    after = np.minimum(np.searchsorted(edges, until, side="left"), len(edges) - 1)
    counts = np.maximum(after - first, 0)
    row = np.repeat(np.arange(len(since)), counts)
    period = first[row] + np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    return row, period, np.minimum(until[row], edges[period + 1]) - np.maximum(since[row], edges[period])


def _nodes(plan: Plan, member: int) -> tuple[Floats, Floats]:
    """The nodes of a member's map from clock time to hours of work."""
    m = plan.members.work_map[member]
    part = slice(plan.maps.start[m], plan.maps.start[m] + plan.maps.size[m])
    return plan.maps.x[part], plan.maps.y[part]


# --- tables -----------------------------------------------------------------------------------------------------------


def view_of(records: Records, plan: Plan, unit: str = "quarter", by: str | None = None) -> View:
    """The records of one replication, cut. `by` is one of `GROUPINGS` or an attribute of categories."""
    names, codes = groups_of(records, plan, by)
    cut = periods(plan.start, plan.warm_up, plan.days, unit, plan.fiscal_year_ends)
    return View(records, plan, cut, names, codes, by)


def groups_of(records: Records, plan: Plan, by: str | None) -> tuple[tuple[str, ...], Ints]:
    """The names of the groups, and the group of each prospect. Raises InputError where there is no such grouping."""
    people = records.prospects
    if by is None:
        return ("",), np.zeros(len(people.key), dtype=np.int64)
    if by == "source":
        return plan.source_names, people.source
    if by == "generation":
        top = int(people.generation.max(initial=0))
        return tuple(str(g) for g in range(top + 1)), people.generation
    if by == "member":
        last = np.full(len(people.key), NOWHERE, dtype=np.int64)
        last[records.moves.prospect] = records.moves.member  # the last move of each prospect stays
        return ("nobody", *plan.member_names), last + 1
    if by == "outcome":
        end = np.zeros(len(people.key), dtype=np.int64)
        end[records.moves.prospect] = records.moves.goal  # the last move of each prospect stays
        return plan.place_names, end
    if by in plan.attribute_names and plan.attribute_levels[plan.attribute_names.index(by)] is not None:
        k = plan.attribute_names.index(by)
        return plan.attribute_levels[k] or (), people.attributes[:, k].astype(np.int64)
    known = [n for n, levels in zip(plan.attribute_names, plan.attribute_levels, strict=True) if levels]
    raise InputError(not_among(by, "grouping", [*GROUPINGS, *known]))


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

    Columns: stage, entered, forward, lost, reneged, still_there (counts), conversion (forward / entered), mean_days (of
    those who have left), mean_wait_hours (for a seller).
    """
    import pandas as pd

    moves = records.moves
    order = np.lexsort((np.arange(len(moves.time)), moves.prospect))
    person, time, goal, cause = (column[order] for column in (moves.prospect, moves.time, moves.goal, moves.cause))
    same = np.append(person[1:] == person[:-1], False)
    next_goal = np.where(same, np.append(goal[1:], 0), NOWHERE)
    next_cause = np.where(same, np.append(cause[1:], 0), NOWHERE)
    stayed = np.append(time[1:], 0.0) - time
    rows = []
    for s in range(plan.n_stages):
        here = (goal == s) & (time >= plan.warm_up) & (cause != OPENED)
        gone = here & (next_goal != NOWHERE)
        onward = gone & (next_goal > s) & (next_goal < plan.n_stages)
        tasks = (records.tasks.stage == s) & (records.tasks.outcome == SERVED) & (records.tasks.asked >= plan.warm_up)
        waits = (records.tasks.begun - records.tasks.asked)[tasks] * 24
        rows.append(
            {
                "stage": plan.place_names[s],
                "entered": int(here.sum()),
                "forward": int(onward.sum()),
                "lost": int((gone & (next_goal >= plan.n_stages)).sum()),
                "reneged": int((gone & (next_cause == RENEGED)).sum()),
                "given_up": int((gone & (next_cause == LIMITED)).sum()),
                "still_there": int((here & (next_goal == NOWHERE)).sum()),
                "conversion": onward.sum() / here.sum() if here.any() else np.nan,
                "mean_days": stayed[gone].mean() if gone.any() else np.nan,
                "mean_wait_hours": waits.mean() if len(waits) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def queues(records: Records, plan: Plan) -> pd.DataFrame:
    """One row a team, from the warm-up to the horizon.

    Columns: team, utilisation, tasks (asked for), waited (share of the served who waited at all), mean_wait (days, of
    the served), queue_length (mean over time), reneged (share of those asked for who gave up).
    """
    import pandas as pd

    view = view_of(records, plan, "all")
    busy, offered = work_hours(view)
    tasks, span = records.tasks, plan.days - plan.warm_up
    rows = []
    for t, name in enumerate(plan.team_names):
        members = slice(plan.teams.member_start[t], plan.teams.member_start[t + 1])
        mine = (tasks.team == t) & (tasks.prospect >= 0)
        until = np.where(np.isnan(tasks.begun), np.where(np.isnan(tasks.left), plan.days, tasks.left), tasks.begun)
        waiting = np.maximum(0.0, np.minimum(until, plan.days) - np.maximum(tasks.asked, plan.warm_up))[mine]
        counted = mine & (tasks.asked >= plan.warm_up)
        served = counted & (tasks.outcome == SERVED)
        waits = (tasks.begun - tasks.asked)[served]
        rows.append(
            {
                "team": name,
                "utilisation": float(busy[members].sum() / offered[members].sum())
                if offered[members].sum()
                else np.nan,
                "tasks": int(counted.sum()),
                "waited": float((waits > 1e-9).mean()) if len(waits) else np.nan,
                "mean_wait": float(waits.mean()) if len(waits) else np.nan,
                "queue_length": float(waiting.sum() / span),
                "reneged": float((tasks.outcome[counted] == GAVE_UP).mean()) if counted.any() else np.nan,
            }
        )
    return pd.DataFrame(rows)


def time_in_system(records: Records, plan: Plan) -> float:
    """Mean days from coming to leaving for good, of those who came after the warm-up and have left."""
    people, moves = records.prospects, records.moves
    gone = moves.goal >= plan.n_stages
    born = people.born[moves.prospect[gone]]
    spent = (moves.time[gone] - born)[born >= plan.warm_up]
    return float(spent.mean()) if len(spent) else float("nan")
