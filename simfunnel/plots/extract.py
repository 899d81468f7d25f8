"""The tables behind the pictures: pure functions of results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from simfunnel import units
from simfunnel.errors import InputError, not_among
from simfunnel.kpis import METRICS
from simfunnel.periods import UNITS, Periods, periods
from simfunnel.scenario import Scenario

BANDS = (0.1, 0.25, 0.5, 0.75, 0.9)
STOCKS = ("open_deals", "pipeline_value", "customers")
"""Metrics that are counted at a period's end; a sum of them over periods means nothing."""
MOST_BINS = 40


class Measured(Protocol):
    """What a picture needs to know of runs; `results.Runs` is that."""

    @property
    def scenario(self) -> Scenario:
        """The scenario that was run."""

    @property
    def seed(self) -> int:
        """Its seed."""

    @property
    def replications(self) -> int:
        """How many replications there are."""

    @property
    def funnel(self) -> pd.DataFrame:
        """One row a stage and replication, as `kpi_tables.funnel` has it."""

    @property
    def queues(self) -> pd.DataFrame:
        """One row a team and replication, as `kpi_tables.queues` has it."""

    def values(self, metric: str, unit: str = "quarter") -> pd.DataFrame:
        """A metric: one row a replication, one column a period."""


def quantiles(table: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of each column over the rows, without those that are NaN: one row a column, columns `0.1` to `0.9`."""
    out = table.quantile(list(BANDS)).T
    out.columns = pd.Index([f"{q:g}" for q in BANDS])
    return out


def is_sum(metric: str) -> bool:
    """Whether the metric of a longer time is the sum of its parts'."""
    return METRICS[metric].unit in ("prospects", "money") and metric not in STOCKS


def is_whole(period: str) -> bool:
    """Whether a period isn't cut off by the run's start or end."""
    return not period.endswith("(part)")


def cut(runs: Measured, unit: str) -> Periods:
    """The periods of a run."""
    spec = runs.scenario.spec
    return periods(spec.start, spec.warm_up.days_from(spec.start), spec.days, unit, spec.fiscal_year_ends)


def dates(runs: Measured, days: object) -> pd.DatetimeIndex:
    """Days since the start as dates."""
    return pd.DatetimeIndex(pd.Timestamp(runs.scenario.spec.start) + pd.to_timedelta(np.asarray(days), unit="D"))


def fan(runs: Measured, metric: str, *, cumulative: bool, unit: str) -> pd.DataFrame:
    """A metric over time.

    Columns: period, begins, ends, at (dates; where the period's value is drawn), `0.1` … `0.9` (quantiles over the
    replications). Where `cumulative`, the first row is the start, with 0, and a row holds all up to its end. Otherwise
    periods that the run cuts off are left out if any is whole, but for what is counted at a period's end.
    """
    edges = dates(runs, cut(runs, unit).edges)
    values = runs.values(metric, unit)
    if cumulative and not is_sum(metric):
        raise InputError(f"{metric} can't be added up over time; ask for it with cumulative=False")
    table = quantiles(values.cumsum(axis=1) if cumulative else values).reset_index(names="period")
    table.insert(1, "begins", edges[0] if cumulative else edges[:-1])
    table.insert(2, "ends", edges[1:])
    at_end = cumulative or metric in STOCKS
    table.insert(3, "at", table["ends"] if at_end else table["begins"] + (table["ends"] - table["begins"]) / 2)
    whole = table["period"].map(is_whole)
    if not at_end and whole.any():
        table = table[whole].reset_index(drop=True)
    if cumulative:
        zero = {f"{q:g}": 0.0 for q in BANDS}
        first = {"period": "start", "begins": edges[0], "ends": edges[0], "at": edges[0], **zero}
        table = pd.concat([pd.DataFrame([first]), table], ignore_index=True)
    return table


def targets(runs: Measured) -> pd.DataFrame:
    """The target of each whole quarter: period, begins, ends, target, in_all.

    `in_all` adds up the targets since the run's start; it is NaN from a quarter on that is not simulated as a whole,
    for what was booked in the rest of that quarter is not known here.
    """
    quarters = cut(runs, "quarter")
    wanted = runs.scenario.spec.target
    whole = np.array([is_whole(label) for label in quarters.labels])
    edges = dates(runs, quarters.edges)
    target = np.where(whole, np.nan if wanted is None else units.middle(wanted), np.nan)
    table = pd.DataFrame({"period": quarters.labels, "begins": edges[:-1], "ends": edges[1:], "target": target})
    table["in_all"] = table["target"].cumsum(skipna=False)
    return table[whole & (wanted is not None)].reset_index(drop=True)


@dataclass(frozen=True)
class Distribution:
    """A metric in one period over the replications."""

    metric: str
    period: str
    bars: pd.DataFrame
    """Columns low, high, share: a histogram."""
    quantiles: dict[float, float]
    target: float | None = None
    reached: float | None = None
    """The share of replications that reach the target."""


def distribution(runs: Measured, metric: str, period: str | None = None) -> Distribution:
    """A metric in a period (any week, month or quarter by its name, or `all`; the first whole quarter unless said)."""
    if period is None:
        labels = cut(runs, "quarter").labels
        period = next((label for label in labels if is_whole(label)), labels[0])
    known = {label: unit for unit in ("all", *reversed(UNITS)) for label in cut(runs, unit).labels}
    if period not in known:
        raise InputError(not_among(period, "period", known))
    values = runs.values(metric, known[period])[period].to_numpy()
    target = None
    if metric == "bookings" and known[period] == "quarter" and is_whole(period):
        wanted = runs.scenario.spec.target
        target = None if wanted is None else units.middle(wanted)
    return spread_of(values, metric, period, target)


def spread_of(values: object, metric: str, period: str, target: float | None = None) -> Distribution:
    """The distribution of some values, one a replication; NaN are left out."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    found = dict(zip(BANDS, np.quantile(numbers, BANDS), strict=True)) if len(numbers) else {}
    reached = float((numbers >= target).mean()) if target is not None and len(numbers) else None
    is_count = metric in METRICS and METRICS[metric].unit == "prospects"
    return Distribution(metric, period, histogram(numbers, whole=is_count), found, target, reached)


def histogram(numbers: np.ndarray, *, whole: bool = False) -> pd.DataFrame:
    """Columns low, high, share. Bars of counts hold whole numbers; equal values make one bar; no values make none."""
    if not len(numbers):
        return pd.DataFrame({"low": [], "high": [], "share": []})
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        half = 0.5 if whole or low == 0 else abs(low) * 0.02
        edges = np.array([low - half, low + half])
    elif whole:
        step = max(1, int(np.ceil((high - low + 1) / _bins(numbers))))
        edges = np.arange(np.floor(low) - 0.5, high + 0.5 + step, step)
    else:
        edges = np.linspace(low, high, _bins(numbers) + 1)
    counts, edges = np.histogram(numbers, edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "share": counts / len(numbers)})


def _bins(numbers: np.ndarray) -> int:
    """How many bars: by Freedman and Diaconis, else by Sturges; few where there are few values, never too many."""
    span = float(numbers.max() - numbers.min())
    iqr = float(np.subtract(*np.quantile(numbers, [0.75, 0.25])))
    width = 2 * iqr / len(numbers) ** (1 / 3)
    wanted = span / width if width > 0 else np.log2(len(numbers)) + 1
    return int(np.clip(np.ceil(wanted), 1, MOST_BINS)) if np.isfinite(wanted) else MOST_BINS


def funnel(runs: Measured) -> pd.DataFrame:
    """One row a stage, in the funnel's order.

    Columns: stage; entered, forward, back, left, still_there (means over the replications; the last four add up to the
    first); low and high (P10 and P90 of entered); conversion and tired (who went forward, and who left while waiting
    for a seller, as shares of all who entered in all replications; NaN where that can't be); days (until they
    left) and wait_hours (for a seller), medians over the replications.
    """
    rows = runs.funnel.assign(back=lambda t: t.entered - t.forward - t.lost - t.still_there)
    groups = rows.groupby("stage", sort=False)
    table = groups[["entered", "forward", "back", "lost", "still_there"]].mean().rename(columns={"lost": "left"})
    table["low"], table["high"] = groups["entered"].quantile(0.1), groups["entered"].quantile(0.9)
    sums = groups[["entered", "forward", "reneged"]].sum()
    came = sums["entered"].where(sums["entered"] > 0)
    onward = pd.Series({stage: _leads_on(runs.scenario, stage) for stage in table.index}) | (sums["forward"] > 0)
    table["conversion"] = (sums["forward"] / came).where(onward)
    table["tired"] = (sums["reneged"] / came).where(
        np.array([_may_tire(runs.scenario, stage) for stage in table.index])
    )
    table["days"] = groups["mean_days"].median()
    table["wait_hours"] = groups["mean_wait_hours"].median()
    return table.reset_index(names="stage")


def _leads_on(scenario: Scenario, name: str) -> bool:
    """Whether a way leads from a stage to a later one."""
    stages = list(scenario.spec.stages)
    if name not in stages:
        return True
    stage = scenario.spec.stages[name]
    if not isinstance(stage.route, tuple):
        return name != stages[-1]
    goals = {*stage.exits, *(rule.to for rule in stage.route)}
    goals |= {stage.limit.to} if stage.limit else set()
    goals |= {stage.work.gives_up} if stage.work and stage.work.patience else set()
    return bool(goals & set(stages[stages.index(name) + 1 :]))


def _may_tire(scenario: Scenario, name: str) -> bool:
    """Whether those in a stage may leave while they wait for a seller."""
    stage = scenario.spec.stages.get(name)
    return stage is None or (stage.work is not None and stage.work.patience is not None)


def teams(runs: Measured) -> pd.DataFrame:
    """Quantiles over the replications of each team's figures, in long form: team, figure, `0.1` … `0.9`.

    Figures: utilisation (share), wait_hours (mean of the served, clock hours), reneged (share of the asked-for tasks).
    """
    rows = runs.queues.assign(wait_hours=lambda t: t.mean_wait * 24)
    parts = []
    for figure in ("utilisation", "wait_hours", "reneged"):
        wide = rows.pivot(index="replication", columns="team", values=figure)[list(dict.fromkeys(rows.team))]
        part = quantiles(wide).reset_index(names="team")
        part.insert(1, "figure", figure)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def forecast_totals(parts: pd.DataFrame) -> pd.DataFrame:
    """The sum of a forecast's parts: one row a replication, one column a period, in order of appearance.

    `parts` is long: replication, period, part, value; a part that a replication lacks counts as 0.
    """
    totals = parts.pivot_table(index="replication", columns="period", values="value", aggfunc="sum", fill_value=0.0)
    return totals[list(dict.fromkeys(parts["period"]))]


def forecast_bars(parts: pd.DataFrame) -> pd.DataFrame:
    """One row a period: the mean of each part (they add up to `mean`), and quantiles of the total."""
    totals = forecast_totals(parts)
    wide = parts.pivot_table(index="period", columns="part", values="value", aggfunc="sum", fill_value=0.0, sort=False)
    means = wide.reindex(index=totals.columns, columns=list(dict.fromkeys(parts["part"]))) / len(totals)
    return means.assign(mean=means.sum(axis=1)).join(quantiles(totals)).reset_index(names="period")
