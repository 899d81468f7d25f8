"""Commands that read a history: fit a scenario to it, backtest forecasts on it, grade its customers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simfunnel.cli.options import (
    Flat,
    Json,
    Map,
    Output,
    Replications,
    Workers,
    all_cores,
    chance,
    day,
    folder_for,
    read,
)
from simfunnel.cli.output import say_if_cold, show, told
from simfunnel.errors import Fault, InputError

if TYPE_CHECKING:
    from simfunnel.segments import Segments


def fit(
    exports: list[str],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    as_of: str | None = None,
    map_: Map = None,
    currency: str | None = None,
    busy: str | None = None,
    country: str = "",
    fiscal_year_ends: str = "December",
    seed: int = 1,
    keep: Path | None = None,
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
        busy: The share of the sellers' time that new deals are assumed to take, where no log of tasks tells it; 80%
            unless said, or less where as many deals as may come would else be more than they could carry.
        country: Whose public holidays slow deals down, such as US or DE-BY; none unless said.
        fiscal_year_ends: The month in which the fiscal year ends, for deals may follow its quarters.
        seed: The seed of the intervals' resampling.
        keep: An earlier fitted file that you have edited: what you wrote by hand stays and is marked, all else is
            fitted anew. Or a file that holds nothing but parts of a scenario, to keep. It may be --output itself, which
            then loses comments of yours. Give the other options again.
        replace: Overwrite the scenario file where it exists already, with all that you wrote into it.
    """
    from simfunnel.calendars import read_month
    from simfunnel.cli.screens import show_frame
    from simfunnel.crm import read_crm
    from simfunnel.files import check_file, write_text
    from simfunnel.fitting.fit import fit as fit_history
    from simfunnel.fitting.keeping import read_hand

    if output.exists() and not replace and not (keep and keep.exists() and keep.samefile(output)):
        raise InputError(
            f"{output} exists already, perhaps with changes of yours. To keep these and fit all else anew, add "
            f"--keep {output} (with the same -o, or another); to lose them, add --replace"
        )
    check_file(output)
    mine = read_hand(keep) if keep else None
    year_ends = read(read_month, fiscal_year_ends, "--fiscal-year-ends")
    history = read_crm(*exports, mapping=map_, as_of=day(as_of))
    print(history.quality.to_text())
    money = currency or history.currency or "USD"
    model = fit_history(
        history,
        busy=chance(busy, "--busy") if busy else None,
        seed=seed,
        currency=money,
        country=country,
        fiscal_year_ends=year_ends,
        keep=mine,
    )
    text = model.to_yaml()
    _check_fitted(text, output, keep)
    write_text(output, text)
    show_frame(model.table, f"Fitted from {history.name}")
    print("Assumed:", *(f"- {assumption}" for assumption in model.assumptions), sep="\n")
    said = f" --map {map_}" if map_ else ""
    deals = shlex.join(exports)
    print(f"\nWritten: {output}. Next: simfunnel forecast {output} --deals {deals} --as-of {history.as_of}{said}")


def _check_fitted(text: str, output: Path, keep: Path | None) -> None:
    """Raise InputError where what was kept by hand does not go with what was fitted."""
    from simfunnel.scenario import load_text

    try:
        load_text(text, output.parent, str(output))
    except InputError as error:
        if keep is None:
            raise
        first = Fault("what it keeps does not go with what was fitted anew, so nothing was written:", file=str(keep))
        raise InputError([first, *(Fault(one.message, one.path) for one in error.faults)]) from None


@dataclass(frozen=True)
class BacktestOptions:
    """What can be said to `backtest`.

    Args:
        every: The step between dates: week, 4 weeks, month or quarter.
        from_: The first date; a third into the history, once 60 deals had closed, unless said.
        map_: A YAML file that names the columns.
        currency: The currency of the values.
        busy: The share of the sellers' time that new deals are assumed to take, as in fit; give what you gave there.
        country: Whose public holidays slow deals down, as in fit; give what you gave there.
        fiscal_year_ends: The month in which the fiscal year ends.
        replications: How many replications of each forecast.
        seed: The seed; the same seed gives the same results.
        workers: How many processes; all cores unless said.
        output: The folder for results; runs/NAME-backtest unless said, NAME being the export's.
        resume: Go on with an interrupted backtest in that folder.
        json_: Print one JSON object instead of tables.
    """

    every: str = "month"
    from_: Annotated[str | None, Parameter(name="--from")] = None
    map_: Map = None
    currency: str = "USD"
    busy: str | None = None
    country: str = ""
    fiscal_year_ends: str = "December"
    replications: Replications = 300
    seed: int = 1
    workers: Workers = 0
    output: Output = None
    resume: Annotated[bool, Parameter(negative="")] = False
    json_: Json = False


_UNSAID = BacktestOptions()


def backtest(exports: list[str], /, *, asked: Annotated[BacktestOptions, Flat] = _UNSAID) -> int:
    """Forecast on past dates with what was known then, and score it by what came, beside four baselines.

    Args:
        exports: The CRM export: files or database URLs, as for `fit`.
        asked: The options.
    """
    from simfunnel.backtesting import backtest as backtesting
    from simfunnel.calendars import read_month
    from simfunnel.cli.screens import progress, show_backtest

    name = Path(exports[0].partition("#")[0]).name.split(".")[0]
    folder = folder_for(asked.output, Path(f"{name}-backtest"), quiet=asked.json_)
    if folder:
        backtesting.check_folder(folder)
    elif asked.resume:
        raise InputError("with --resume and --json, name the folder with --output")
    say_if_cold("compiled")
    try:
        with progress("backtesting") as tell:
            result = backtesting.backtest(
                *exports,
                mapping=asked.map_,
                every=asked.every,
                first=day(asked.from_, "--from"),
                replications=asked.replications,
                seed=asked.seed,
                workers=all_cores(asked.workers),
                currency=asked.currency,
                busy=chance(asked.busy, "--busy") if asked.busy else None,
                country=asked.country,
                fiscal_year_ends=read(read_month, asked.fiscal_year_ends, "--fiscal-year-ends"),
                folder=folder,
                resume=asked.resume,
                progress=tell,
            )
    except KeyboardInterrupt:
        if not folder:
            raise
        print(f"interrupted; the dates that are done are kept; to go on, add --resume -o {folder}", file=sys.stderr)
        return 130
    show(asked.json_, lambda: backtesting.results_json(result), lambda: show_backtest(result))
    if folder:
        told(backtesting.write_backtest(result, folder), quiet=asked.json_)
    return 0


def segments(
    file: Path,
    /,
    *,
    as_of: str | None = None,
    split: str | None = None,
    window: str = "1 year",
    margin: str = "100%",
    discount: str = "10%",
    map_: Map = None,
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
    from simfunnel.cli.screens import progress
    from simfunnel.units import middle, read_duration

    choices = segments.Choices(
        as_of=day(as_of),
        split=day(split, "--split"),
        window=round(middle(read(read_duration, window, "--window"))),
        margin=chance(margin, "--margin"),
        discount=chance(discount, "--discount"),
    )
    if output:
        runs.check_folder(output)
    with progress("simulating") as tell:
        result = segments.segment(file, choices, columns=map_, replications=replications, seed=seed, progress=tell)
    show(json_, lambda: segments.results_json(result), lambda: _show_segments(result))
    if output:
        told(segments.write_segments(result, output), quiet=json_)


def _show_segments(result: Segments) -> None:
    from simfunnel.cli.screens import show_frame
    from simfunnel.segments import shown

    print(f"{result.name} as of {result.as_of}" + (f", money in {result.currency}" if result.currency else ""))
    for title, table in shown(result):
        show_frame(table, title)
    for note in result.notes:
        print(f"Note: {note}.")
