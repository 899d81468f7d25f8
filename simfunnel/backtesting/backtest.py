"""Backtest: forecasts as they would have been made on past dates, scored by what came, beside four baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfunnel.backtesting.dates import as_of_dates, seen
from simfunnel.backtesting.kept import Kept, digest_of
from simfunnel.backtesting.replay import METHODS, OURS, Fitter, Fitting, Replay, replay
from simfunnel.crm.importing import Export, read_export
from simfunnel.errors import InputError, RunError
from simfunnel.forecasting.calibration import Calibration
from simfunnel.forecasting.pooling import Track
from simfunnel.forecasting.windows import NO_VALUES, has_values
from simfunnel.replicate import Progress, warm_up
from simfunnel.runs import check_folder, plain, version, write_tables_and_pictures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_REPLICATIONS = 10_000


@dataclass(frozen=True)
class Backtest:
    """The result of a backtest; see `backtesting.tables` for the columns.

    `cases` has a row a date, window, metric and method; `scores` sums them up by window, `by_weeks` by the weeks to a
    quarter's end; `deals` has a row an open deal, date and window, which `brier` and `reliability` sum up;
    `calibration` says by how much the forecasts' spreads are off; `country` and `busy` are what was said to `fit`.
    """

    name: str
    dates: tuple[date, ...]
    last: date
    replications: int
    seed: int
    currency: str
    cases: pd.DataFrame = field(repr=False)
    scores: pd.DataFrame = field(repr=False)
    by_weeks: pd.DataFrame = field(repr=False)
    deals: pd.DataFrame = field(repr=False)
    brier: pd.DataFrame = field(repr=False)
    reliability: pd.DataFrame = field(repr=False)
    calibration: Calibration
    notes: tuple[str, ...]
    country: str = ""
    busy: float | None = None

    @property
    def valued(self) -> bool:
        """Whether it is known what deals were worth; if not, nothing here is of money."""
        return NO_VALUES not in self.notes

    @property
    def record(self) -> Track:
        """How each method did, for forecasts to come (see `simfunnel.forecasting.pooling`)."""
        from simfunnel.backtesting.tables import record_of

        return record_of(self.cases)


def backtest(
    export: Export | str | Path,
    *more: str | Path,
    mapping: Any = None,
    every: str = "month",
    first: date | None = None,
    last: date | None = None,
    replications: int = 300,
    seed: int = 1,
    workers: int = 1,
    currency: str = "USD",
    fiscal_year_ends: int = 12,
    country: str = "",
    busy: float | None = None,
    fitter: Fitter | None = None,
    folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Backtest:
    """Forecast on dates through a history, each with what was known then, and score what came.

    Args:
        export: a CRM export, or its file or database URL.
        more: further files or URLs of the export.
        mapping: of files, which column is which (see `crm.importing.read_export`).
        every: the step between dates: week, 4 weeks, month or quarter.
        first: the first date; a third into the history, once 60 deals had closed, unless given.
        last: the last day that is known: nothing after it is looked at, not even as what came; the export's own
            last day unless given.
        replications: the size of each ensemble.
        seed: of the simulation and the baselines' draws.
        workers: processes, each of which does one date at a time; the result is the same for any number.
        currency: of the values.
        fiscal_year_ends: the month in which the fiscal year ends, 1 to 12.
        country: whose public holidays are kept, such as US or DE-BY, as in `fit`; none unless said.
        busy: the share of their selling hours that the sellers are taken to be busy, as in `fit`.
        fitter: what makes a scenario from a history; `fit` with the options above unless given.
        folder: where dates that are done are kept, so that an interrupted backtest can go on.
        resume: go on with those in `folder`.
        progress: told after each date how many are done, of how many.

    Raises:
        InputError: the history is too short, an argument can't be, or there is nothing to resume.
        RunError: a date's model can't go on, or workers were killed.
    """
    if not 2 <= replications <= MOST_REPLICATIONS:
        raise InputError(f"replications must be 2 to {MOST_REPLICATIONS:,}, not {replications}")
    files = () if isinstance(export, Export) else (export, *more)
    read = export if isinstance(export, Export) else read_export(*files, mapping=mapping)
    if last is not None and last < read.last:
        read = replace(read, last=last)
    whole = read.until(read.last)
    dates = as_of_dates(read, whole, every, first, fiscal_year_ends)
    fitting = Fitting(currency, fiscal_year_ends, country, busy)
    kept = None
    if folder is not None:
        asked = {
            "export": read.name,
            "digest": digest_of((*files, mapping) if isinstance(mapping, (str, Path)) else files),
            "mapping": str(mapping),
            "dates": list(dates),
            "replications": replications,
            "seed": seed,
            **vars(fitting),
        }
        kept = Kept(folder, asked)
        kept.resume() if resume else kept.begin()
    plan = _Plan(read, fitter or fitting, replications, seed, fiscal_year_ends)
    found: dict[date, Replay] = {}
    for day in dates if kept else ():
        done = kept.done(day) if kept else None
        if done:
            found[day] = done
    for one in _replays(plan, [day for day in dates if day not in found], workers):
        found[one.as_of] = one
        if kept:
            kept.keep(one)
        if progress:
            progress(len(found), len(dates))
    return _result(read, whole.deals, [found[day] for day in dates], plan, fitting)


@dataclass(frozen=True)
class _Plan:
    """What every date needs."""

    export: Export
    fitter: Fitter
    replications: int
    seed: int
    fiscal_year_ends: int

    def arguments(self, day: date) -> tuple[Any, ...]:
        """What one replay is given: the history cut at its date, and nothing that came later."""
        windows = seen(day, self.export, self.fiscal_year_ends)
        return self.export.until(day), windows, self.fitter, self.replications, self.seed


def _replays(plan: _Plan, dates: Sequence[date], workers: int) -> Iterator[Replay]:
    """The replays of these dates, in whatever order they are done."""
    if workers == 1 or len(dates) < 2:
        yield from (replay(*plan.arguments(day)) for day in dates)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    warm_up()  # once here, so that the workers find it done
    jobs = (delayed(replay)(*plan.arguments(day)) for day in dates)
    try:
        yield from Parallel(n_jobs=min(workers, len(dates)), return_as="generator_unordered")(jobs)
    except BrokenProcessPool as broken:
        raise RunError("a worker was killed; is there enough memory? What is done is kept: --resume") from broken


def _result(read: Export, whole: pd.DataFrame, replays: list[Replay], plan: _Plan, fitting: Fitting) -> Backtest:
    from simfunnel.backtesting import tables

    cases = tables.cases_of(replays, whole)
    deals = tables.deals_of(replays, whole)
    return Backtest(
        name=read.name,
        dates=tuple(found.as_of for found in replays),
        last=read.last,
        replications=plan.replications,
        seed=plan.seed,
        currency=fitting.currency,
        cases=cases,
        scores=tables.scores_of(cases),
        by_weeks=tables.scores_by_weeks(cases),
        deals=deals,
        brier=tables.brier_of(deals),
        reliability=tables.reliability_of(deals),
        calibration=tables.calibration_of(cases),
        notes=_notes(replays, whole),
        country=fitting.country,
        busy=fitting.busy,
    )


def _notes(replays: list[Replay], whole: pd.DataFrame) -> tuple[str, ...]:
    """What the reader must mind."""
    said = [] if has_values(whole) else [NO_VALUES]
    gaps = [(b.as_of - a.as_of).days for a, b in pairwise(replays)]
    if gaps and min(gaps) < 91:
        said.append(
            "windows of neighbouring dates overlap and share their luck, so the dates count for fewer than they are"
        )
    if len(replays) < 8:
        said.append(f"{len(replays)} dates tell little: a coverage may be 15 to 30 points off by chance alone")
    said.append("the best baseline is chosen by the same outcomes, which favours it")
    return tuple(said)


# --- results ----------------------------------------------------------------------------------------------------------


def results_json(found: Backtest) -> dict[str, Any]:
    """What `backtest --json` prints: the scores by window and by weeks, single deals' chances, the calibration."""
    said = {
        "export": found.name,
        "dates": [day.isoformat() for day in found.dates],
        "seed": found.seed,
        "replications": found.replications,
        "version": version(),
        "currency": found.currency,
        "methods": list(METHODS),
        "scores": found.scores.to_dict("records"),
        "by_weeks": found.by_weeks.to_dict("records"),
        "deals": found.brier.to_dict("records"),
        "calibration": found.calibration.to_frame().to_dict("records"),
        "notes": [*found.calibration.sentences(), *found.notes],
    }
    return dict(plain(said))


def write_backtest(found: Backtest, folder: Path) -> Path:
    """Write a backtest's folder: its tables, pictures, and what it says of calibration."""
    tables = {
        "cases": found.cases,
        "scores": found.scores,
        "by_weeks": found.by_weeks,
        "deals": found.deals,
        "brier": found.brier,
        "reliability": found.reliability,
        "calibration": found.calibration.to_frame(),
    }
    return write_tables_and_pictures(
        folder,
        tables={name: table for name, table in tables.items() if len(table.columns)},
        figures=_figures(found),
        manifest={
            "command": "backtest",
            "export": found.name,
            "dates": [day.isoformat() for day in found.dates],
            "seed": found.seed,
            "replications": found.replications,
            "currency": found.currency,
            "country": found.country,
            "busy": found.busy,
            "notes": [*found.calibration.sentences(), *found.notes],
        },
    )


def _figures(found: Backtest) -> dict[str, Figure]:
    from simfunnel.plots import backtests

    note = (
        f"{found.name} · {len(found.dates)} dates from {found.dates[0]} to {found.dates[-1]} · "
        f"{found.replications} replications, seed {found.seed}"
    )
    figures = {}
    for metric in dict.fromkeys(found.cases["metric"]):
        cases = found.cases[(found.cases["metric"] == metric) & (found.cases["method"] == OURS)]
        summed = found.scores[found.scores["metric"] == metric]
        figures[f"fan-{metric}"] = backtests.fans(cases, metric=metric, currency=found.currency, note=note)
        figures[f"crps-{metric}"] = backtests.bars(summed, metric=metric, currency=found.currency, note=note)
    ours = found.cases[found.cases["method"] == OURS]
    figures["calibration"] = backtests.calibration(ours, note=note)
    if len(found.reliability):
        figures["deals"] = backtests.reliability(found.reliability, note=note)
    return figures


__all__ = ["Backtest", "backtest", "check_folder", "results_json", "write_backtest"]
