"""The track record of forecasts from a history: made now from a few past dates, or read from a backtest's folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from simfunnel.backtesting.backtest import backtest
from simfunnel.backtesting.dates import as_of_dates
from simfunnel.backtesting.tables import record_of
from simfunnel.crm.importing import Export, read_export
from simfunnel.crm.maps import Said
from simfunnel.errors import InputError
from simfunnel.fitting.fit import Fitted
from simfunnel.forecasting.forecast import model_of
from simfunnel.forecasting.pooling import Track
from simfunnel.replicate import Progress
from simfunnel.runs import read_table
from simfunnel.scenario import Scenario

STEP = "4 weeks"
DATES = 6
REPLICATIONS = 100


def read_record(folder: Path | str) -> Track:
    """The record that a backtest left in its folder. Raises InputError where there is none."""
    cases = read_table(folder, "cases")
    if "pool_needed" not in cases:
        raise InputError(f"{folder}: its table 'cases' is not that of a backtest")
    return record_of(cases)


def country_of(scenario: Scenario) -> str:
    """The country whose holidays a scenario's calendar keeps; none where it keeps no country's."""
    calendar = scenario.tree.get("calendar")
    holidays = calendar.get("holidays") if isinstance(calendar, dict) else None
    return holidays if isinstance(holidays, str) and not holidays[:1].isdigit() else ""


def track_record(
    scenario: Scenario | Fitted,
    *sources: str | Path,
    mapping: Said = None,
    as_of: date | str | None = None,
    dates: int = DATES,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Track:
    """How forecasts from the last few past dates turned out, for `forecast` to pool by, as the command does unasked.

    `forecast(model, history, record=track_record(model, "deals.csv", as_of=history.as_of))` gives the numbers of
    `simfunnel forecast model.yaml --deals deals.csv`, for the same date, seed and replications.

    Args:
        scenario: the model that is to forecast; the past dates have its fiscal year and its country's holidays.
        *sources: the export, as in `read_crm`.
        mapping: what the names in it mean, as in `read_crm`.
        as_of: the date on which the data ends; the export's own last day unless said.
        dates: how many past dates, four weeks apart (`--past`).
        seed: that of the forecast.
        workers: how many processes.
        progress: told after each date.

    Raises:
        InputError: the export can't be read, or the history is too short; the command then takes the simulation alone.
    """
    export = read_export(*sources, mapping=mapping)
    day = export.until(as_of).as_of
    return record_for(model_of(scenario), export, day, dates=dates, seed=seed, workers=workers, progress=progress)


def record_for(
    scenario: Scenario,
    export: Export,
    as_of: date,
    *,
    dates: int = DATES,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Track:
    """The record before a day, with the fiscal year and the country's holidays of a scenario (see `record_before`)."""
    return record_before(
        export,
        as_of,
        dates=dates,
        seed=seed,
        workers=workers,
        fiscal_year_ends=scenario.spec.fiscal_year_ends,
        country=country_of(scenario),
        progress=progress,
    )


def record_before(
    export: Export,
    as_of: date,
    *,
    dates: int = DATES,
    replications: int = REPLICATIONS,
    seed: int = 1,
    workers: int = 1,
    fiscal_year_ends: int = 12,
    country: str = "",
    busy: float | None = None,
    progress: Progress | None = None,
) -> Track:
    """The record of forecasts from the last few dates, four weeks apart, before a day; nothing after it is looked at.

    Each is fitted with this country and this `busy`, as in `fit`; to judge a model, give those that it was fitted with.
    Raises InputError where the history is too short for any.
    """
    known = replace(export, last=min(as_of, export.last))
    found = as_of_dates(known, known.until(known.last), STEP, None, fiscal_year_ends)[-dates:]
    past = backtest(
        known,
        every=STEP,
        first=found[0],
        replications=replications,
        seed=seed,
        workers=workers,
        fiscal_year_ends=fiscal_year_ends,
        country=country,
        busy=busy,
        progress=progress,
    )
    return past.record
