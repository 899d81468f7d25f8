"""One replication as a `View`: its records added up, cut into periods, for everyone or by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from simfunnel.engines.records import Records, joined
from simfunnel.errors import InputError, not_among
from simfunnel.kpis import View, Ways
from simfunnel.numerics import Flags, Ints
from simfunnel.periods import Cut, cut
from simfunnel.plan import NOWHERE, Plan
from simfunnel.tally import Tally, Totals, stacked

GROUPINGS = ("source", "member", "generation", "outcome")
"""How prospects can be grouped, besides by an attribute; member: the last one; outcome: where they stand at last."""
AT_LAST = ("member", "outcome")
"""Groupings that are known only when a replication has ended."""


@dataclass(frozen=True)
class Tallied:
    """One replication or several, added up: for everyone and, where asked, by group."""

    totals: Totals
    cut: Cut
    groups: tuple[str, ...] = ()
    by: str | None = None

    def is_like(self, other: Tallied) -> bool:
        """Whether the two can be measured together."""
        return (self.totals.axes, self.cut, self.groups) == (other.totals.axes, other.cut, other.groups)

    def view(self, *, grouped: bool = False) -> View:
        """For everyone, or by group."""
        return View(self.totals, self.cut, self.groups if grouped else ("",), self.by if grouped else None)


def tallied(loads: Iterable[Records], plan: Plan, units: tuple[str, ...], by: str | None = None) -> Tallied:
    """The loads of one replication, added up. `by` is one of `GROUPINGS` or an attribute of categories.

    A load is let go when it is added, unless the grouping is one of those that only the end tells: then all are kept
    until the last has come. Raises InputError where there is no such unit or grouping.
    """
    periods = cut(plan.start, plan.warm_up, plan.days, units, plan.fiscal_year_ends)
    tally = Tally(plan, periods.edges, by_source=by == "source")
    for load in [joined(loads)] if by in AT_LAST else loads:
        tally.add(load, None if by is None else groups_of(load, plan, by))
    if by is None:
        return Tallied(tally.finish(), periods)
    names = names_of(plan, by)
    totals = tally.finish(max(len(names), 1))
    return Tallied(totals, periods, names or tuple(map(str, range(tally.groups))), by)


def together(several: Sequence[Tallied]) -> Tallied:
    """Replications that are like each other as one, whose arrays have an axis for them before all others."""
    return replace(several[0], totals=stacked([one.totals for one in several]))


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
