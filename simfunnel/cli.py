"""The command line: each command reads, calls the library, and shows.

Exit codes: 0 done, 1 the run failed, 2 the user's input is at fault; then clear messages, and nothing half-written.
"""

from __future__ import annotations

import gc
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from simfunnel import __version__
from simfunnel.errors import Fault, InputError, SimfunnelError

if TYPE_CHECKING:
    from simfunnel.crm import Export
    from simfunnel.pooling import Track
    from simfunnel.scenario import Scenario

app = App(
    name="simfunnel",
    help="Simulate and forecast a sales pipeline, from today's open deals and with sellers' limited time.",
    version=__version__,
)

Replications = Annotated[int, Parameter(name=["--replications", "-n"])]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]
Json = Annotated[bool, Parameter(name="--json", negative="")]
Period = Literal["week", "month", "quarter", "all"]
Workers = Annotated[int, Parameter(name="--workers")]
Deals = Annotated[list[str] | None, Parameter(name="--deals", consume_multiple=True, negative="")]
Engine = Literal["auto", "compiled", "simpy"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    gc.set_threshold(50_000, 20, 50)  # start-up makes many objects that stay: to go through them often is a tenth of it
    try:
        result = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        return result if isinstance(result, int) else 0
    except CycloptsError:
        return 2
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except SimfunnelError as error:
        print(f"simfunnel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("simfunnel: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"simfunnel: {error or 'out of memory'}", file=sys.stderr)
        return 1


def _crew(workers: int, replications: int, engine: str = "simpy") -> int:
    """How many workers to use: all cores where none are named and the work is worth their start, some seconds each."""
    worth = {"simpy": 40, "compiled": 400}[engine]
    return workers or (min(os.cpu_count() or 1, 8) if replications >= worth else 1)


def _folder(output: Path | None, source: Path, *, quiet: bool) -> Path | None:
    """Where results go: the folder named, or runs/<file's name>; nowhere for --json alone."""
    return output or (None if quiet else Path("runs") / source.stem)


@app.command
def init(folder: Path = Path()) -> None:
    """Write a starter scenario, a sample CRM export, and the truth from which the sample was simulated.

    Args:
        folder: Where to write them; the folder you are in unless said.
    """
    from simfunnel.starter import write_starter

    for path in write_starter(folder):
        print(path)
    print(f"Next: simfunnel check {folder / 'scenario.yaml'}")


@app.command
def check(files: list[Path], /) -> int:
    """Tell every fault of scenario files; then each model in words.

    Args:
        files: The scenario files.
    """
    from simfunnel.describing import describe
    from simfunnel.scenario import load

    faults: list[Fault] = []
    for file in files:
        try:
            scenario = load(file)
        except InputError as error:
            faults += error.faults
            continue
        print(describe(scenario.spec, scenario.warnings))
    if faults:
        raise InputError(faults)
    return 0


@app.command
def run(
    scenario: Path | None = None,
    /,
    *,
    replications: Replications = 100,
    seed: int = 1,
    engine: Engine = "auto",
    workers: Workers = 0,
    cluster: str | None = None,
    period: Period = "quarter",
    by: str | None = None,
    log: Path | None = None,
    output: Output = None,
    resume: Path | None = None,
    json_: Json = False,
) -> None:
    """Simulate a scenario and write its tables and pictures into a folder.

    Args:
        scenario: The scenario file.
        replications: How many replications.
        seed: The seed; the same seed gives the same results.
        engine: Which engine; `auto` takes the compiled one unless a rule in Python needs SimPy. Results are the same.
        workers: How many processes; all cores unless said.
        cluster: The address of a Dask scheduler whose workers to use, such as tcp://host:8786.
        period: The periods of the table shown.
        by: Group the metrics by source, member, generation, outcome or an attribute as well.
        log: Write every move to this CSV file.
        output: The folder for results; runs/NAME unless said, NAME being the file's.
        resume: The folder of an interrupted run, which goes on as it was asked for.
        json_: Print one JSON object instead of tables.
    """
    from simfunnel import replicate, runs
    from simfunnel.scenario import load
    from simfunnel.screens import progress, show_runs
    from simfunnel.unfinished import Unfinished

    keeper = Unfinished(resume) if resume else None
    if keeper:
        model = keeper.resumed(scenario, log=log is not None)
        folder, seed, by, replications = resume, keeper.asked.seed, keeper.asked.by, keeper.asked.replications
    elif scenario:
        model, folder = load(scenario), _folder(output, scenario, quiet=json_)
    else:
        raise InputError("name a scenario file, or with --resume the folder of an interrupted run")
    if folder:
        runs.check_folder(folder)
    chosen = replicate.engine_for(model, engine)
    _warn(model, chosen)
    if folder and not keeper:
        request = replicate.Request(by=by, log=log is not None)
        keeper = Unfinished.begun(folder, model, seed, replications, request)
    stopped = None
    crew = _crew(workers, replications, chosen)
    try:
        with _on(cluster), progress(f"simulating {model.name} ({chosen} engine)") as tell:
            result = replicate.run(
                model,
                replications,
                seed=seed,
                workers=max(crew, 2) if cluster else crew,
                by=by,
                log=log is not None,
                engine=chosen,
                progress=tell,
                keeper=keeper,
            )
    except replicate.RunStoppedError as error:
        stopped, result = error, error.done
    except (SimfunnelError, KeyboardInterrupt):
        if keeper and not resume:
            keeper.give_up()
        raise
    interrupted = result.replications < replications and not stopped
    if result.replications < replications:
        how = f"; to go on: simfunnel run --resume {folder}" if interrupted and folder else ""
        why = "stopped" if stopped else "interrupted"
        print(f"{why} after {result.replications} of {replications} replications; these are kept{how}", file=sys.stderr)
    if log:
        runs.write_log(result, log)
    _show(json_, lambda: runs.results_json(result), lambda: show_runs(result, period))
    if folder:
        kept = list(keeper.files()) if keeper and interrupted else []
        _told(runs.write_run(result, folder, command="run", unfinished=kept), quiet=json_)
    if stopped:
        raise stopped


@app.command
def warmup() -> None:
    """Compile the engine now, once for this machine, so that the first run need not wait for it."""
    from simfunnel.replicate import warm_up

    _say_if_cold("compiled")
    begun = time.monotonic()
    warm_up()
    print(f"The compiled engine is ready ({time.monotonic() - begun:.1f} s).")


@app.command
def compare(
    baseline: Path,
    alternatives: list[Path],
    /,
    *,
    replications: Replications = 100,
    seed: int = 1,
    workers: Workers = 0,
    precision: str | None = None,
    period: Period = "quarter",
    deals: Deals = None,
    as_of: str | None = None,
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    quarters: int = 2,
    output: Output = None,
    json_: Json = False,
) -> None:
    """Compare scenarios with a baseline on the same luck: differences, their intervals, and the chance to be better.

    Args:
        baseline: The scenario file to compare with.
        alternatives: The scenario files to compare.
        replications: How many replications of each; with --precision, of each batch.
        seed: The seed that all share.
        workers: How many processes; all cores unless said.
        precision: Go on until the difference in bookings is known so well, such as 2%.
        period: The periods of the table.
        deals: A CRM export (files or database URLs, as in fit) whose open deals all scenarios begin with, on the day
            after --as-of, as in forecast.
        as_of: The date on which the export ends, as 2026-09-30; the last date in it unless said.
        map_: A YAML file that says what the names in the export mean.
        quarters: With --deals, how many fiscal quarters, the current one counted as the first.
        output: The folder for results; runs/NAME-compared unless said, NAME being the baseline's.
        json_: Print one JSON object instead of tables.
    """
    from simfunnel import comparison
    from simfunnel.crm import read_crm
    from simfunnel.forecasting import from_today
    from simfunnel.scenario import load
    from simfunnel.screens import progress

    base, *others = _all_loaded([baseline, *alternatives], load)
    if deals:
        history = read_crm(*deals, mapping=map_, as_of=_day(as_of))
        base, *others = (from_today(model, history, quarters=quarters) for model in (base, *others))
    for model in (base, *others):
        _warn(model)
    folder = _folder(output, baseline.with_name(f"{baseline.stem}-compared"), quiet=json_)
    wanted = _precision(precision)
    with progress("comparing") as tell:
        result = comparison.compare(
            base,
            *others,
            replications=replications,
            seed=seed,
            workers=_crew(workers, replications),
            precision=wanted,
            unit=period,
            progress=tell,
        )
    _finish_comparison(result, folder, "compare", None, json_=json_)


@app.command
def experiment(
    file: Path,
    /,
    *,
    replications: Annotated[int | None, Parameter(name=["--replications", "-n"])] = None,
    seed: int | None = None,
    workers: Workers = 0,
    output: Output = None,
    json_: Json = False,
) -> None:
    """Run an experiment: a baseline and named strategies in one table and one picture.

    Args:
        file: The experiment file.
        replications: How many replications of each; what the file says unless given.
        seed: The seed that all share; what the file says unless given.
        workers: How many processes; all cores unless said.
        output: The folder for results; runs/NAME unless said, NAME being the file's.
        json_: Print one JSON object instead of tables.
    """
    from simfunnel import experiments
    from simfunnel.screens import progress

    found = experiments.load_experiment(file)
    crew = _crew(workers, replications or found.spec.replications)
    _say_if_cold("compiled")
    with progress(found.spec.name) as tell:
        result = experiments.run_experiment(found, replications=replications, seed=seed, workers=crew, progress=tell)
    measures = list(found.spec.measures)
    _finish_comparison(result, _folder(output, file, quiet=json_), "experiment", measures, json_=json_)


@app.command
def fit(
    exports: list[str],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    as_of: str | None = None,
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    currency: str | None = None,
    busy: str = "80%",
    country: str = "",
    seed: int = 1,
    replace: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Fit a scenario to deals or a log of events: what was found, what was assumed, and a file to read and edit.

    Args:
        exports: Files (CSV, also .gz; Excel; Parquet) or database URLs (sqlite:///crm.db#deals): deals; or deals with
            their stage or field history, accounts, people, tasks; or leads and their wins; or a log of events.
        output: The scenario file to write.
        as_of: The date on which the data ends, as 2026-09-30; the last date in the file unless said.
        map_: A YAML file that says what names mean: columns {created: "Open date", stage: Phase}, stages
            {won: [Signed], lost: [Dead], order: [...]}, currencies {EUR: 1.1}, dates (day first), timezone, tables.
        currency: The currency of the values; the export's own, or USD where nothing tells it, unless said.
        busy: The share of the sellers' time that new deals are assumed to take (an export can't tell it).
        country: Whose public holidays slow deals down, such as US or DE-BY; none unless said.
        seed: The seed of the intervals' resampling.
        replace: Overwrite the scenario file where it exists already.
    """
    from simfunnel.crm import read_crm
    from simfunnel.fitting.fit import fit as fit_history
    from simfunnel.runs import write_text
    from simfunnel.scenario import load_text
    from simfunnel.screens import show_frame
    from simfunnel.units import middle, read_chance

    if output.exists() and not replace:
        raise InputError(f"{output} exists already, perhaps with changes of yours; name another file, or add --replace")
    history = read_crm(*exports, mapping=map_, as_of=_day(as_of))
    print(history.quality.to_text())
    money = currency or history.currency or "USD"
    share = float(middle(_read(read_chance, busy, "--busy")))
    model = fit_history(history, busy=share, seed=seed, currency=money, country=country)
    text = model.to_yaml()
    load_text(text, output.parent, str(output))
    write_text(output, text)
    show_frame(model.table, f"Fitted from {history.name}")
    print("Assumed:")
    for assumption in model.assumptions:
        print(f"- {assumption}")
    said = f" --map {map_}" if map_ else ""
    deals = shlex.join(exports)
    print(f"\nWritten: {output}. Next: simfunnel forecast {output} --deals {deals} --as-of {history.as_of}{said}")


@app.command
def forecast(
    scenario: Path,
    /,
    *,
    deals: Deals = None,
    as_of: str | None = None,
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    quarters: int = 2,
    target: str | None = None,
    confidence: str = "80%",
    period: Literal["week", "month", "quarter"] = "quarter",
    by: str | None = None,
    excel: Path | None = None,
    replications: Replications = 300,
    seed: int = 1,
    workers: Workers = 0,
    past: int = 6,
    calibrated: Path | None = None,
    output: Output = None,
    json_: Json = False,
) -> None:
    """Forecast bookings, wins and pipeline from today's open deals and those not yet created.

    Bookings and wins are what is already won, what open deals bring, and what deals not yet created bring; pipeline and
    open deals are those at each period's end. Each open deal has its chance to be won, and the dates between which it
    is won in 8 of 10 cases, if it is. Where the export has sellers' categories (commit, best case, ...), their sums
    stand beside.

    With a target, the coverage needed is told: how many times the open pipeline would have to cover what is still to be
    won, for the chance wanted. It assumes that a pipeline f times as large, of the same mix, books f times as much on
    the same luck, and that sellers have the time for it.

    Args:
        scenario: The scenario file, as `fit` writes it.
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
            forecasts and widened by how these turned out. 0 for the simulation alone.
        calibrated: The folder of a backtest, whose record is taken instead.
        output: The folder for results; runs/NAME-forecast unless said, NAME being the file's.
        json_: Print one JSON object instead of tables.
    """
    from simfunnel import forecast_files, forecasting, runs, spreadsheets
    from simfunnel.backtesting.record import read_record
    from simfunnel.crm import read_export
    from simfunnel.forecast_screens import show_forecast
    from simfunnel.replicate import engine_for
    from simfunnel.scenario import load
    from simfunnel.screens import progress

    model = load(scenario)
    folder = _folder(output, scenario.with_name(f"{scenario.stem}-forecast"), quiet=json_)
    wanted = _chance(confidence, "--confidence")
    aim = _amount(target)
    if folder:
        runs.check_folder(folder)
    if excel:
        spreadsheets.check_book(excel)
    export = read_export(*deals, mapping=map_) if deals else None
    history = export.until(_day(as_of)) if export else None
    _say_if_cold(engine_for(model))
    record = read_record(calibrated) if calibrated else None
    if record is None and export and history and past > 0:
        record = _record(export, history.as_of, past, seed, workers, model.spec.fiscal_year_ends)
    with progress("forecasting") as tell:
        result = forecasting.forecast(
            model,
            history,
            as_of=_day(as_of),
            quarters=quarters,
            target=aim,
            confidence=wanted,
            by=by,
            replications=replications,
            seed=seed,
            workers=_crew(workers, replications),
            record=record,
            progress=tell,
        )
    _show(json_, lambda: forecast_files.results_json(result, period), lambda: show_forecast(result, period))
    if folder:
        _told(forecast_files.write_forecast(result, folder), quiet=json_)
    if excel:
        forecast_files.write_forecast_book(result, excel)
        if not json_:
            print(f"Excel file: {excel}")


@app.command
def bridge(
    before: Path,
    after: Path | None = None,
    /,
    *,
    deals: Annotated[list[str], Parameter(consume_multiple=True)],
    deals_after: Deals = None,
    from_: Annotated[str, Parameter(name="--from")],
    to: str | None = None,
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    period: str | None = None,
    target: str | None = None,
    replications: Replications = 200,
    seed: int = 1,
    workers: Workers = 0,
    output: Output = None,
    json_: Json = False,
) -> None:
    """Tell what changed a quarter's forecast from one date to another: won, lost, moved and new deals, rates, capacity.

    Both forecasts are those of `forecast` with the same seed and replications. Between them lie forecasts that change
    one thing each, in this order, on the same draws, so that the steps add up to the whole difference:
    won (deals won since: what they booked less what was expected of them); lost (deals lost since);
    time passed (deals that stand where they stood: days have gone in which they did not close);
    pulled in, pushed out (deals that moved to another stage, and now bring more, or less, to the quarter);
    new deals (those that came, less the fall in what is expected of deals not yet created);
    value changes; other changes (another owner or segment);
    rates (the model's figures, but its teams and calendar); capacity (these).

    Args:
        before: The scenario file of the earlier forecast.
        after: The one of the later forecast; the same unless said.
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
    from simfunnel import bridge_files, runs
    from simfunnel.bridging import bridge as bridge_of
    from simfunnel.crm import read_crm
    from simfunnel.forecast_screens import show_bridge
    from simfunnel.replicate import engine_for
    from simfunnel.scenario import load
    from simfunnel.screens import progress

    first, *rest = _all_loaded([before, after] if after else [before], load)
    folder = _folder(output, before.with_name(f"{before.stem}-bridge"), quiet=json_)
    aim = _amount(target)
    if folder:
        runs.check_folder(folder)
    then = read_crm(*deals, mapping=map_, as_of=_day(from_, "--from"))
    now = read_crm(*(deals_after or deals), mapping=map_, as_of=_day(to, "--to"))
    _say_if_cold(engine_for(first))
    with progress("building the bridge") as tell:
        result = bridge_of(
            first,
            rest[0] if rest else None,
            then,
            now,
            period=period,
            target=aim,
            replications=replications,
            seed=seed,
            workers=workers or min(os.cpu_count() or 1, 8),
            progress=tell,
        )
    _show(json_, lambda: bridge_files.results_json(result), lambda: show_bridge(result))
    if folder:
        _told(bridge_files.write_bridge(result, folder), quiet=json_)


@app.command
def backtest(
    exports: list[str],
    /,
    *,
    every: str = "month",
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    currency: str = "USD",
    fiscal_year_ends: str = "December",
    replications: Replications = 300,
    seed: int = 1,
    workers: Workers = 0,
    output: Output = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
) -> int:
    """Forecast on past dates with what was known then, and score it by what came, beside four baselines.

    Args:
        exports: The CRM export: files or database URLs, as for `fit`.
        every: The step between dates: week, 4 weeks, month or quarter.
        from_: The first date; a third into the history, once 60 deals had closed, unless said.
        map_: A YAML file that names the columns.
        currency: The currency of the values.
        fiscal_year_ends: The month in which the fiscal year ends.
        replications: How many replications of each forecast.
        seed: The seed; the same seed gives the same results.
        workers: How many processes; all cores unless said.
        output: The folder for results; runs/NAME-backtest unless said, NAME being the export's.
        resume: Go on with an interrupted backtest in that folder.
        json_: Print one JSON object instead of tables.
    """
    from simfunnel.backtesting import backtest as backtesting
    from simfunnel.calendars import read_month
    from simfunnel.screens import progress, show_backtest

    name = Path(exports[0].partition("#")[0]).name.split(".")[0]
    folder = _folder(output, Path(f"{name}-backtest"), quiet=json_)
    if folder:
        backtesting.check_folder(folder)
    elif resume:
        raise InputError("with --resume and --json, name the folder with --output")
    _say_if_cold("compiled")
    try:
        with progress("backtesting") as tell:
            result = backtesting.backtest(
                *exports,
                mapping=map_,
                every=every,
                first=_day(from_, "--from"),
                replications=replications,
                seed=seed,
                workers=workers or min(os.cpu_count() or 1, 8),
                currency=currency,
                fiscal_year_ends=_read(read_month, fiscal_year_ends, "--fiscal-year-ends"),
                folder=folder,
                resume=resume,
                progress=tell,
            )
    except KeyboardInterrupt:
        if not folder:
            raise
        print(f"interrupted; the dates that are done are kept; to go on, add --resume -o {folder}", file=sys.stderr)
        return 130
    _show(json_, lambda: backtesting.results_json(result), lambda: show_backtest(result))
    if folder:
        _told(backtesting.write_backtest(result, folder), quiet=json_)
    return 0


@app.command
def segments(
    file: Path,
    /,
    *,
    as_of: str | None = None,
    split: str | None = None,
    window: str = "1 year",
    margin: str = "100%",
    discount: str = "10%",
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    replications: Replications = 20,
    seed: int = 1,
    output: Output = None,
    json_: Json = False,
) -> None:
    """Grade customers: recency, frequency and money; customer pyramid; ABC; lifetime value; what foretells best.

    Args:
        file: Orders as CSV, Excel or Parquet (a CRM's won deals will do), or a scenario whose orders are simulated.
        as_of: The last day that counts, as 2026-09-30; the last in the file, or the scenario's last, unless said.
        split: Also tell which grading of the customers known before this day best foretells the year from it on.
        window: How far back the pyramid looks, and the period of retention, in whole days.
        margin: The share of an order's money that is earned, for lifetime values.
        discount: A year's interest, for lifetime values.
        map_: A YAML file that names the columns, such as {customer: "Bought by", date: Day}.
        replications: Of a scenario, how many replications.
        seed: Of a scenario, the seed.
        output: The folder for the tables; nothing is written unless said.
        json_: Print one JSON object instead of tables.
    """
    from simfunnel import runs, segments
    from simfunnel.screens import progress, show_frame
    from simfunnel.units import middle, read_chance, read_duration

    choices = segments.Choices(
        as_of=_day(as_of),
        split=_day(split, "--split"),
        window=round(middle(_read(read_duration, window, "--window"))),
        margin=middle(_read(read_chance, margin, "--margin")),
        discount=middle(_read(read_chance, discount, "--discount")),
    )
    if output:
        runs.check_folder(output)
    with progress("simulating") as tell:
        result = segments.segment(file, choices, columns=map_, replications=replications, seed=seed, progress=tell)

    def show() -> None:
        print(f"{result.name} as of {result.as_of}" + (f", money in {result.currency}" if result.currency else ""))
        for title, table in segments.shown(result):
            show_frame(table, title)
        for note in result.notes:
            print(f"Note: {note}.")

    _show(json_, lambda: segments.results_json(result), show)
    if output:
        _told(segments.write_segments(result, output), quiet=json_)


@app.command
def verify(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    engine: Engine = "auto",
    seed: int = 1,
    json_: Json = False,
) -> int:
    """Check an engine against answers known from theory and print: exact, estimate, standard error, z.

    It fails (exit code 1) where an estimate is more than four standard errors off, where the z's as a set are not those
    of a standard normal distribution, or where intervals cover less or more often than they say.

    Args:
        quick: Run less: about 15 s instead of 90 s, and standard errors three times as wide.
        engine: Which engine; simpy takes some 40 times as long.
        seed: The seed; the same seed gives the same results.
        json_: Print one JSON object instead of the table.
    """
    from simfunnel import verifying
    from simfunnel.screens import progress, show_verification

    if engine != "simpy":
        _say_if_cold("compiled")
    with progress("checking known answers") as tell:
        found = verifying.verify(engine=engine, seed=seed, quick=quick, progress=tell)
    _show(json_, lambda: verifying.results_json(found), lambda: show_verification(found))
    return 0 if found.passed else 1


@app.command
def schema() -> None:
    """Print the JSON Schema of scenario files, with which editors complete and check them."""
    from simfunnel.scenario.schema import schema as scenario_schema

    print(json.dumps(scenario_schema(), indent=2))


# --- what several commands share --------------------------------------------------------------------------------------


def _all_loaded(files: list[Path], load: Callable[[Path], Scenario]) -> list[Scenario]:
    """All scenarios, or the faults of all files at once."""
    found: list[Scenario] = []
    faults: list[Fault] = []
    for file in files:
        try:
            found.append(load(file))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return found


@cache
def _say_if_cold(engine: str) -> None:
    """Tell of the wait for the first run's compiling."""
    if engine == "compiled":
        from simfunnel.engines import compiled

        if compiled.is_cold():
            print("compiling the engine, once for this machine (about 20 s) ...", file=sys.stderr, flush=True)


@contextmanager
def _on(cluster: str | None) -> Iterator[None]:
    """Send the work to a Dask cluster, where one is named."""
    if cluster is None:
        yield
        return
    try:
        import distributed
    except ImportError:
        raise InputError("--cluster needs Dask: pip install 'simfunnel[dask]'") from None
    import joblib

    try:
        connect: Any = distributed.Client
        client = connect(cluster, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"--cluster: no Dask scheduler answers at {cluster} ({error})") from None
    with client, joblib.parallel_config("dask"):
        yield


def _record(export: Export, as_of: date, dates: int, seed: int, workers: int, fiscal_year_ends: int) -> Track | None:
    """How forecasts from a few past dates turned out; none, and a word, where the history is too short for that."""
    from simfunnel.backtesting.record import record_before
    from simfunnel.screens import progress

    crew = workers or min(os.cpu_count() or 1, 8)
    try:
        with progress("forecasting from past dates") as tell:
            return record_before(
                export, as_of, dates=dates, seed=seed, workers=crew, fiscal_year_ends=fiscal_year_ends, progress=tell
            )
    except InputError as short:
        print(f"the simulation alone: {short}", file=sys.stderr)
        return None


def _warn(scenario: Scenario, engine: str | None = None) -> None:
    """What is doubtful in a scenario, and that the engine which is to run it must be compiled first."""
    from simfunnel.expectation import explosion
    from simfunnel.replicate import engine_for

    for warning in (*scenario.warnings, *explosion(scenario.spec)):
        print(f"Warning: {warning}", file=sys.stderr)
    _say_if_cold(engine or engine_for(scenario))


def _read(reader: Callable[[object], Any], text: str, option: str) -> Any:
    """An option's value, or a fault that names the option."""
    try:
        return reader(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def _day(text: str | None, option: str = "--as-of") -> date | None:
    from simfunnel.scenario.fields import read_date

    return None if text is None else _read(read_date, text, option)


def _amount(text: str | None, option: str = "--target") -> float | None:
    from simfunnel.units import middle, read_amount

    return None if text is None else float(middle(_read(read_amount, text, option)))


def _chance(text: str, option: str) -> float:
    from simfunnel.units import middle, read_chance

    return float(middle(_read(read_chance, text, option)))


def _precision(text: str | None) -> float | None:
    from simfunnel.units import middle, read_chance

    return None if text is None else float(middle(_read(read_chance, text, "--precision")))


def _show(as_json: bool, data: Callable[[], dict[str, Any]], show: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(data(), allow_nan=False))
    else:
        show()


def _told(folder: Path, *, quiet: bool) -> None:
    if not quiet:
        print(f"Tables and pictures: {folder}")


def _finish_comparison(
    result: Any, folder: Path | None, command: str, measures: list[str] | None, *, json_: bool
) -> None:
    from simfunnel import comparison
    from simfunnel.screens import show_comparison

    _show(json_, lambda: comparison.results_json(result), lambda: show_comparison(result, measures))
    if folder:
        _told(comparison.write_comparison(result, folder, command=command, metrics=measures), quiet=json_)


if __name__ == "__main__":
    sys.exit(main())
