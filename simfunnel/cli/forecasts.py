"""Commands that forecast from today's open deals: forecast, bridge."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from simfunnel.cli.options import (
    MOST_REPLICATIONS,
    Deals,
    Faults,
    Flat,
    Json,
    Map,
    Output,
    Replications,
    Workers,
    all_cores,
    all_loaded,
    amount,
    chance,
    crew,
    day,
    folder_for,
    within,
)
from simfunnel.cli.output import say_if_cold, show, told
from simfunnel.errors import InputError

if TYPE_CHECKING:
    from simfunnel.crm import Export
    from simfunnel.forecasting.pooling import Track
    from simfunnel.scenario import Scenario


@dataclass(frozen=True)
class ForecastOptions:
    """What can be said to `forecast`.

    Args:
        deals: The CRM export whose open deals are forecast: files or database URLs, as in fit.
        as_of: The date on which the data ends, as 2026-09-30; the last date in the export unless said.
        map_: A YAML file that says what the names in the export mean.
        quarters: How many fiscal quarters, the current one counted as the first.
        target: Bookings wanted in each quarter, such as 3M.
        confidence: The wanted chance of the target, for the coverage needed.
        period: The periods of the tables shown; the folder and the Excel file have all three.
        by: Show the parts by source, member or an attribute (such as segment) as well; takes twice as long.
        excel: Write the tables to this Excel file (.xlsx) as well.
        replications: How many replications.
        seed: The seed; the same seed gives the same results.
        workers: How many processes; all cores unless said.
        past: From how many past dates, four weeks apart, to forecast first: totals are then pooled with simple
            forecasts and widened by how these turned out. 0 for the simulation alone. Each is fitted anew, with the
            country of the file's holidays; where the file was fitted with --busy, take a backtest with the same.
        calibrated: The folder of a backtest, whose record is taken instead.
        output: The folder for results; runs/NAME-forecast unless said, NAME being the file's.
        json_: Print one JSON object instead of tables.
    """

    deals: Deals = None
    as_of: str | None = None
    map_: Map = None
    quarters: int = 2
    target: str | None = None
    confidence: str = "80%"
    period: Literal["week", "month", "quarter"] = "quarter"
    by: str | None = None
    excel: Path | None = None
    replications: Replications = 300
    seed: int = 1
    workers: Workers = 0
    past: int = 6
    calibrated: Path | None = None
    output: Output = None
    json_: Json = False


_UNSAID = ForecastOptions()


def forecast(scenario: Path, /, *, asked: Annotated[ForecastOptions, Flat] = _UNSAID) -> None:
    """Forecast bookings, wins and pipeline from today's open deals and those not yet created.

    Bookings and wins are what is already won, what open deals bring, and what deals not yet created bring; pipeline and
    open deals are those at each period's end. Each open deal has its chance to be won, and the dates between which it
    is won in 8 of 10 cases, if it is. Where the export has sellers' categories (commit, best case, ...), their sums
    stand beside.

    With a target, the coverage needed is told: how many times the open pipeline would have to cover what is still to be
    won, for the chance wanted. It assumes that a pipeline f times as large, of the same mix, books f times as much on
    the same luck, and that sellers have the time for it. Of a quarter to which deals not yet created bring more than
    today's, it is told instead what its bookings reach with that chance.

    Args:
        scenario: The scenario file, as `fit` writes it.
        asked: The options.
    """
    from simfunnel import runs, spreadsheets
    from simfunnel.cli.forecast_screens import show_forecast
    from simfunnel.cli.screens import progress
    from simfunnel.crm import read_export
    from simfunnel.forecasting import files
    from simfunnel.forecasting.forecast import check_target
    from simfunnel.forecasting.forecast import forecast as forecast_of
    from simfunnel.replicate import engine_for
    from simfunnel.scenario import load

    as_of, aim, wanted = _checked(asked)
    model = load(scenario)
    check_target(model, aim)
    folder = folder_for(asked.output, scenario.with_name(f"{scenario.stem}-forecast"), quiet=asked.json_)
    if folder:
        runs.check_folder(folder)
    if asked.excel:
        spreadsheets.check_book(asked.excel)
    export = read_export(*asked.deals, mapping=asked.map_) if asked.deals else None
    history = export.until(as_of) if export else None
    say_if_cold(engine_for(model))
    record = _record(export, history.as_of if history else None, model, asked)
    with progress("forecasting") as tell:
        result = forecast_of(
            model,
            history,
            as_of=as_of,
            quarters=asked.quarters,
            target=aim,
            confidence=wanted,
            by=asked.by,
            replications=asked.replications,
            seed=asked.seed,
            workers=crew(asked.workers, asked.replications),
            record=record,
            progress=tell,
        )
    show(
        asked.json_,
        lambda: files.results_json(result, asked.period),
        lambda: show_forecast(result, asked.period),
    )
    if folder:
        told(files.write_forecast(result, folder), quiet=asked.json_)
    if asked.excel:
        files.write_forecast_book(result, asked.excel)
        if not asked.json_:
            print(f"Excel file: {asked.excel}")


def _confidence(text: str) -> float:
    """The wanted chance of a target."""
    wanted = chance(text, "--confidence")
    if not 0 < wanted < 1:
        raise InputError(f"--confidence: must lie between 0% and 100%, not {text}")
    return wanted


def _checked(asked: ForecastOptions) -> tuple[date | None, float | None, float]:
    """The date, the target and the wanted chance, with all options found right. Raises InputError with all faults."""
    faults = Faults()
    with faults:
        within(asked.replications, 1, MOST_REPLICATIONS, "--replications")
    with faults:
        within(asked.quarters, 1, 40, "--quarters")
    with faults:
        aim = amount(asked.target)
    with faults:
        wanted = _confidence(asked.confidence)
    with faults:
        within(asked.past, 0, 1000, "--past")
    with faults:
        as_of = day(asked.as_of)
    if asked.calibrated and not asked.deals:
        with faults:
            raise InputError("--calibrated corrects a forecast from open deals; name their export: --deals")
    faults.tell()
    return as_of, aim, wanted


def _record(export: Export | None, as_of: date | None, model: Scenario, asked: ForecastOptions) -> Track | None:
    """How past forecasts turned out: those of a backtest, or from a few past dates of this history.

    None where there is no history, where none is wanted, and, with a word, where the history is too short.
    """
    from simfunnel.backtesting.record import read_record, record_for
    from simfunnel.cli.screens import progress

    if asked.calibrated:
        return read_record(asked.calibrated)
    if export is None or as_of is None or asked.past <= 0:
        return None
    try:
        with progress("forecasting from past dates") as tell:
            workers = all_cores(asked.workers)
            return record_for(model, export, as_of, dates=asked.past, seed=asked.seed, workers=workers, progress=tell)
    except InputError as short:
        print(f"the simulation alone: {short}", file=sys.stderr)
        return None


@dataclass(frozen=True, kw_only=True)
class BridgeOptions:
    """What can be said to `bridge`.

    Args:
        deals: The CRM export (files or database URLs, as in fit): one that holds both dates, or that of the earlier.
        deals_after: The export of the later date, where it is another one.
        from_: The date of the earlier forecast, as 2026-10-31.
        to: The date of the later one; the last date in its export unless said.
        map_: A YAML file that names the columns.
        period: The fiscal quarter that both forecast, such as 2026Q4; the one after --to unless said.
        target: Bookings wanted in it, such as 3M, to see how their chance changed.
        replications: How many replications of each forecast on the way.
        seed: The seed; the same seed gives the same results.
        workers: How many processes; all cores unless said.
        output: The folder for results; runs/NAME-bridge unless said, NAME being the earlier file's.
        json_: Print one JSON object instead of tables.
    """

    deals: Annotated[list[str], Parameter(consume_multiple=True)]
    deals_after: Deals = None
    from_: Annotated[str, Parameter(name="--from")]
    to: str | None = None
    map_: Map = None
    period: str | None = None
    target: str | None = None
    replications: Replications = 200
    seed: int = 1
    workers: Workers = 0
    output: Output = None
    json_: Json = False


def bridge(before: Path, after: Path | None = None, /, *, asked: Annotated[BridgeOptions, Flat]) -> None:
    """Tell what changed a quarter's forecast from one date to another: won, lost, moved and new deals, rates, capacity.

    Both forecasts are those of `forecast --past 0` with the same seed and replications: of the simulation alone, not
    pooled with what past dates teach. Between them lie forecasts that change one thing each, in this order, on the same
    draws, so that the steps add up to the whole difference:
    won (deals won since: what they booked less what was expected of them); lost (deals lost since);
    time passed (deals that stand where they stood: days have gone in which they did not close);
    pulled in, pushed out (deals that moved to another stage, and now bring more, or less, to the quarter);
    new deals (those that came, less the fall in what is expected of deals not yet created);
    value changes; other changes (another owner or segment);
    rates (the model's figures, but its teams and calendar); capacity (these).

    Args:
        before: The scenario file of the earlier forecast.
        after: The one of the later forecast; the same unless said.
        asked: The options.
    """
    from simfunnel import runs
    from simfunnel.cli.forecast_screens import show_bridge
    from simfunnel.cli.screens import progress
    from simfunnel.crm import read_crm
    from simfunnel.forecasting import bridge_files
    from simfunnel.forecasting.bridging import bridge as bridge_of
    from simfunnel.replicate import engine_for

    faults = Faults()
    with faults:
        within(asked.replications, 1, MOST_REPLICATIONS, "--replications")
    with faults:
        aim = amount(asked.target)
    with faults:
        since = day(asked.from_, "--from")
    with faults:
        to = day(asked.to, "--to")
    faults.tell()
    first, *rest = all_loaded([before, after] if after else [before])
    folder = folder_for(asked.output, before.with_name(f"{before.stem}-bridge"), quiet=asked.json_)
    if folder:
        runs.check_folder(folder)
    then = read_crm(*asked.deals, mapping=asked.map_, as_of=since)
    now = read_crm(*(asked.deals_after or asked.deals), mapping=asked.map_, as_of=to)
    say_if_cold(engine_for(first))
    with progress("building the bridge") as tell:
        result = bridge_of(
            first,
            rest[0] if rest else None,
            then,
            now,
            period=asked.period,
            target=aim,
            replications=asked.replications,
            seed=asked.seed,
            workers=all_cores(asked.workers),
            progress=tell,
        )
    show(asked.json_, lambda: bridge_files.results_json(result), lambda: show_bridge(result))
    if folder:
        told(bridge_files.write_bridge(result, folder), quiet=asked.json_)
