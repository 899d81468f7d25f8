"""What replications leave, and the tables that are gathered of many: `Outcome`, `Runs`.

An outcome is arrays alone, which are quick to send and to keep; a table is made once, of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simfunnel import kpi_tables, kpis, views
from simfunnel.engines.records import CAUSES, OPENED, Records
from simfunnel.errors import InputError, not_among
from simfunnel.numerics import Floats, Ints
from simfunnel.periods import cut
from simfunnel.plan import NOWHERE, Plan
from simfunnel.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

UNITS = ("week", "month", "quarter", "all")
QUANTILES = (0.1, 0.5, 0.9)
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """One replication, measured, as arrays alone; tables are made of many at once (`gather`)."""

    number: int
    metrics: Floats
    """(metrics, periods of all `UNITS`, one unit after the other)."""
    grouped: Floats
    """(metrics, groups, periods); empty where no groups were asked for."""
    groups: tuple[str, ...]
    funnel: Floats
    """(stages, columns of `kpi_tables.FUNNEL`)."""
    queues: Floats
    """(teams, columns of `kpi_tables.QUEUES`)."""
    log: Columns | None
    """As `moves_log` has it."""
    deals: Columns | None
    """As `deal_ends` has it."""
    events: int


def moves_log(records: Records, plan: Plan) -> Columns:
    """Every move of a replication: time (days), prospect, origin, goal, cause, member, value; and the names of numbers.

    The names are `places` and `members`, each with an empty one at the end, for -1.
    """
    moves = records.moves
    small = {name: getattr(moves, name).astype(np.int32) for name in ("prospect", "origin", "goal", "cause", "member")}
    names = {"places": np.array([*plan.place_names, ""]), "members": np.array([*plan.member_names, ""])}
    return {"time": moves.time, **small, "value": records.prospects.value[moves.prospect], **names}


def deal_ends(records: Records, plan: Plan) -> Columns:
    """When each deal that was open at the start was won, and when it was lost (days, NaN: not yet), by deal row."""
    ways, people, moves = views.ways_of(records, plan), records.prospects, records.moves
    ends = {}
    for what, which in (("won", ways.won), ("lost", ways.lost)):
        times = np.full(len(plan.deal_names), np.nan)
        deal = people.deal[moves.prospect[which]]
        times[deal[deal != NOWHERE]] = moves.time[which][deal != NOWHERE]
        ends[what] = times
    started = people.deal[moves.prospect[moves.cause == OPENED]]
    value = np.full(len(plan.deal_names), np.nan)
    value[started] = people.value[moves.prospect[moves.cause == OPENED]]
    return {"deal": np.array(plan.deal_names, dtype=str), **ends, "value": value}


@dataclass(frozen=True)
class Runs:
    """The measured replications of one scenario.

    `kpis` is long: replication, metric, unit (of the period), period, value; `grouped` has a group besides. `funnel`
    and `queues` have one row a stage or team and replication.
    """

    scenario: Scenario
    seed: int
    replications: int
    kpis: pd.DataFrame
    grouped: pd.DataFrame | None
    funnel: pd.DataFrame
    queues: pd.DataFrame
    log: pd.DataFrame | None
    deals: pd.DataFrame | None
    events: int

    def values(self, metric: str, unit: str = "quarter") -> pd.DataFrame:
        """One metric as a table: a row a replication, a column a period."""
        known = list(kpis.METRICS)
        if metric not in known:
            raise InputError(not_among(metric, "metric", known))
        rows = self.kpis.iloc[self._rows.get((metric, unit), [])]
        table: pd.DataFrame = rows.pivot(index="replication", columns="period", values="value")
        return table[list(dict.fromkeys(rows.period))]

    @cached_property
    def _rows(self) -> Mapping[Any, Any]:
        """Where each metric in each unit stands in `kpis`: the search is as long as for one of them."""
        return self.kpis.groupby(["metric", "unit"], sort=False).indices

    def summary(self, unit: str = "quarter", quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
        """Mean, its 90% interval, standard deviation and quantiles over the replications, by metric and period."""
        return summarise(self.kpis[self.kpis.unit == unit], ["metric", "period"], quantiles)

    def quantiles(self, unit: str = "quarter", quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
        """The quantiles alone, by metric and period."""
        wanted = list(quantiles)
        return self.summary(unit, wanted)[["metric", "period", *(f"{q:g}" for q in wanted)]]

    def to_excel(self, path: Path | str) -> Path:
        """Write a workbook: what was run, and the metrics by quarter, month and week. Returns its path.

        Raises:
            InputError: where the name doesn't end in .xlsx, or openpyxl is missing (the extra `excel`).
            RunError: where it can't be written.
        """
        from simfunnel.spreadsheets import runs_book

        return runs_book(self, path)

    @property
    def plot(self) -> Any:
        """Pictures: `.plot.fan("bookings")`, `.distribution("bookings")`, `.funnel()`, `.teams()`."""
        from simfunnel.plots import Pictures

        return Pictures(self)


def summarise(rows: pd.DataFrame, keys: list[str], quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
    """Mean, 90% interval of the mean (Student), standard deviation and quantiles of `value`, in order of appearance."""
    from scipy.special import stdtrit

    groups = rows.groupby(keys, sort=False, observed=True)["value"]
    table = groups.agg(mean="mean", sd="std", n="count")
    half = stdtrit(np.maximum(table["n"] - 1, 1), 0.95) * table["sd"] / np.sqrt(table["n"])
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    wanted = list(quantiles)
    found = groups.quantile(np.array(wanted)).unstack()
    for q in wanted:
        table[f"{q:g}"] = found[q]
    return table.reset_index()


def gather(scenario: Scenario, seed: int, done: list[Outcome]) -> Runs:
    """One table from many outcomes."""
    import pandas as pd

    spec, numbers = scenario.spec, [o.number for o in done]
    funnel = kpi_tables.funnel_table(tuple(spec.stages), np.stack([o.funnel for o in done]))
    queues = kpi_tables.queues_table(tuple(spec.teams), np.stack([o.queues for o in done]))
    for table, rows in ((funnel, len(spec.stages)), (queues, len(spec.teams))):
        table.insert(0, "replication", np.repeat(numbers, rows))
    deals = None
    if done[0].deals is not None:
        found = [o.deals for o in done if o.deals is not None]
        columns = {name: np.concatenate([deals[name] for deals in found]) for name in found[0]}
        deals = pd.DataFrame({"replication": np.repeat(numbers, [len(d["deal"]) for d in found]), **columns})
    return Runs(
        scenario=scenario,
        seed=seed,
        replications=len(done),
        kpis=_long(scenario, done, grouped=False),
        grouped=_long(scenario, done, grouped=True) if done[0].grouped.size else None,
        funnel=funnel,
        queues=queues,
        log=None if done[0].log is None else _whole_log(done),
        deals=deals,
        events=sum(o.events for o in done),
    )


def _whole_log(done: list[Outcome]) -> pd.DataFrame:
    """Every move of all outcomes: replication, time (days), prospect, from, to, cause, member, value."""
    import pandas as pd

    logs = {o.number: o.log for o in done if o.log is not None}
    first = next(iter(logs.values()))
    whole = {name: np.concatenate([log[name] for log in logs.values()]) for name in first if name not in _NAMES}
    places, members, causes = (pd.array(list(n), dtype="str") for n in (first["places"], first["members"], CAUSES))
    return pd.DataFrame(
        {
            "replication": np.repeat(list(logs), [len(log["time"]) for log in logs.values()]),
            "time": whole["time"],
            "prospect": whole["prospect"].astype(np.int64),
            "from": places.take(whole["origin"]),
            "to": places.take(whole["goal"]),
            "cause": causes.take(whole["cause"]),
            "member": members.take(whole["member"]),
            "value": whole["value"],
        }
    )


_NAMES = ("places", "members")


def _long(scenario: Scenario, done: list[Outcome], *, grouped: bool) -> pd.DataFrame:
    """The arrays of metrics of all outcomes as one long table."""
    import pandas as pd

    spec = scenario.spec
    periods = cut(spec.start, spec.warm_up.days_from(spec.start), spec.days, UNITS, spec.fiscal_year_ends)
    groups = sorted({g for o in done for g in o.groups}, key=_first_seen(done)) if grouped else [""]
    arrays = np.stack([_aligned(o, groups) if grouped else o.metrics[:, np.newaxis] for o in done])
    labels = [label for unit in periods.units for label in unit.labels]
    texts = {"metric": kpis.METRICS, "unit": UNITS, "group": groups, "period": labels}
    names: dict[str, Any] = {"replication": np.array([o.number for o in done])}
    names |= {name: pd.array(list(words), dtype="str") for name, words in texts.items()}
    codes: dict[str, list[Ints]] = {name: [] for name in names}
    begun, values = 0, periods.by_unit(arrays)
    for k, of_unit in enumerate(values.values()):
        shape = of_unit.shape
        along = [np.arange(n).reshape([n if axis == a else 1 for a in range(4)]) for axis, n in enumerate(shape)]
        axes = {"replication": along[0], "metric": along[1], "group": along[2], "period": along[3] + begun}
        for name, code in {**axes, "unit": np.array(k)}.items():
            codes[name].append(np.broadcast_to(code, shape).reshape(-1))
        begun += shape[3]
    columns = {name: names[name].take(np.concatenate(found)) for name, found in codes.items()}
    table = pd.DataFrame({**columns, "value": np.concatenate([array.reshape(-1) for array in values.values()])})
    return table if grouped else table.drop(columns="group")


def _first_seen(done: list[Outcome]) -> Callable[[str], int]:
    order: dict[str, int] = {}
    for outcome in done:
        for group in outcome.groups:
            order.setdefault(group, len(order))
    return order.__getitem__


def _aligned(outcome: Outcome, names: list[str]) -> Floats:
    """The grouped metrics of one outcome with the groups of all (a generation may be missing in one)."""
    array = outcome.grouped
    out = np.zeros((array.shape[0], len(names), array.shape[2]))
    for k, group in enumerate(outcome.groups):
        out[:, names.index(group)] = array[:, k]
    return out
