"""What each open deal, and each group of prospects, contributes: read from the records of replications, one by one.

`run` measures a scenario as a whole; here a question of one's own is put to the same replications: the same scenario,
seed and number give the same records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from simfunnel import views
from simfunnel.engines.records import BOOKED, Records
from simfunnel.errors import InputError, not_among
from simfunnel.numerics import Floats, Ints
from simfunnel.periods import Periods, periods
from simfunnel.plan import NOWHERE, Plan
from simfunnel.replicate import Progress, records_of
from simfunnel.scenario import Scenario

T = TypeVar("T")
Reader = Callable[[Records, Plan], T]
"""Takes what is wanted out of one replication's records; it goes to worker processes, so it must be a named function
(or a `functools.partial` of one)."""

GROUPINGS = ("source", "member")
"""How a forecast can be grouped, besides by an attribute of categories."""
NOBODY = "nobody"


def read_replications(
    read: Reader[T],
    scenario: Scenario,
    replications: int,
    *,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[T]:
    """What `read` finds in each of the replications 0 .. replications - 1, in their order.

    Raises InputError for arguments that can't be, RunError where the model can't go on.
    """
    if not 1 <= replications <= 1_000_000:
        raise InputError(f"replications must be 1 to 1,000,000, not {replications}")
    done = [_one(read, scenario, 0, seed)]  # the first one here: it compiles what the workers then find compiled
    if workers == 1 or replications < 8:
        for number in range(1, replications):
            done.append(_one(read, scenario, number, seed))
            if progress:
                progress(len(done), replications)
        return done
    from joblib import Parallel, delayed

    jobs = (delayed(_one)(read, scenario, number, seed) for number in range(1, replications))
    for found in Parallel(n_jobs=workers, return_as="generator", batch_size=8)(jobs):
        done.append(found)
        if progress:
            progress(len(done), replications)
    return done


def _one(read: Reader[T], scenario: Scenario, number: int, seed: int) -> T:
    records, plan = records_of(scenario, number, seed=seed)
    return read(records, plan)


# --- by deal ----------------------------------------------------------------------------------------------------------


def booked_by_deal(records: Records, plan: Plan, since: float, until: float) -> Floats:
    """Bookings from day `since` to day `until` (days since the start): of each open deal by its row, then all others.

    Shape (deals + 1,). What a deal books itself is its own; what those whom it refers book is the others'.
    """
    rows = records.money
    here = (rows.kind == BOOKED) & (rows.time >= since) & (rows.time <= until)
    count = len(plan.deal_names)
    deal = records.prospects.deal[rows.prospect[here]]
    cell = np.where(deal == NOWHERE, count, deal)
    return np.bincount(cell, rows.amount[here], count + 1).astype(np.float64)


# --- by part and group ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shares:
    """One replication's metrics by part and group, for one unit of period.

    `values` has the shape (metrics, parts, groups, periods): metrics bookings, wins, pipeline_value, open_deals; parts
    open deals, not yet created.
    """

    groups: tuple[str, ...]
    values: Floats


METRICS = ("bookings", "wins", "pipeline_value", "open_deals")


def shares(records: Records, plan: Plan, by: str, units: tuple[str, ...]) -> dict[str, Shares]:
    """One replication's metrics by part and group, for each unit of period. Raises InputError for a strange `by`."""
    names, group = groups_of(records, plan, by)
    part = (records.prospects.deal == NOWHERE).astype(np.int64)
    cell = part * len(names) + group
    out = {}
    for unit in units:
        cut = periods(plan.start, plan.warm_up, plan.days, unit, plan.fiscal_year_ends)
        values = np.stack(_metrics(records, plan, cut, cell, 2 * len(names)))
        out[unit] = Shares(names, values.reshape(len(METRICS), 2, len(names), len(cut)))
    return out


def _metrics(records: Records, plan: Plan, cut: Periods, cell: Ints, cells: int) -> list[Floats]:
    """Bookings, wins, and the value and number of open deals at each period's end, each (cells, periods)."""
    money, moves, value = records.money, records.moves, records.prospects.value
    booked = money.kind == BOOKED
    won = views.view_of(records, plan, "all").won
    is_open = np.zeros(len(plan.place_names))
    is_open[: plan.n_stages] = plan.stages.customer == 0
    change = is_open[moves.goal] - np.where(moves.origin >= 0, is_open[moves.origin], 0.0)

    def added(times: Floats, prospect: Ints, amounts: Floats) -> Floats:
        period = cut.of(times)
        inside = (period >= 0) & (times <= cut.edges[-1])
        flat = cell[prospect[inside]] * len(cut) + period[inside]
        found: Floats = np.bincount(flat, amounts[inside], cells * len(cut)).reshape(cells, len(cut)).astype(float)
        return found

    count = np.cumsum(added(moves.time, moves.prospect, change), axis=1)
    worth = np.cumsum(added(moves.time, moves.prospect, change * value[moves.prospect]), axis=1)
    return [
        added(money.time[booked], money.prospect[booked], money.amount[booked]),
        added(moves.time[won], moves.prospect[won], np.ones(int(won.sum()))),
        np.where(count > 0.5, worth, 0.0),  # adding and taking away may leave a rounding
        count,
    ]


def groups_of(records: Records, plan: Plan, by: str) -> tuple[tuple[str, ...], Ints]:
    """The names of the groups, and the group of each prospect; a member's are those on whom he worked last."""
    people, moves = records.prospects, records.moves
    if by == "source":
        return plan.source_names, people.source
    if by == "member":
        last = np.full(len(people.key), NOWHERE, dtype=np.int64)
        last[moves.prospect] = moves.member  # the last move of each prospect stays
        return (NOBODY, *plan.member_names), last + 1
    levels = dict(zip(plan.attribute_names, plan.attribute_levels, strict=True))
    if levels.get(by):
        column = people.attributes[:, plan.attribute_names.index(by)]
        return tuple(levels[by] or ()), column.astype(np.int64)
    raise InputError(not_among(by, "grouping of a forecast", groupings(levels)))


def groupings(levels: dict[str, tuple[str, ...] | None]) -> list[str]:
    """All that a forecast can be grouped by, given each attribute's levels (None: a number)."""
    return [*GROUPINGS, *(name for name, found in levels.items() if found)]
