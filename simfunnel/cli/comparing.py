"""Commands that set scenarios side by side, on the same luck: compare, experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simfunnel.cli.options import (
    Deals,
    Flat,
    Json,
    Map,
    Output,
    Period,
    Replications,
    Workers,
    all_loaded,
    chance,
    crew,
    day,
    folder_for,
)
from simfunnel.cli.output import say_if_cold, show, told, warn

if TYPE_CHECKING:
    from simfunnel.comparison import Comparison


@dataclass(frozen=True)
class CompareOptions:
    """What can be said to `compare`.

    Args:
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

    replications: Replications = 100
    seed: int = 1
    workers: Workers = 0
    precision: str | None = None
    period: Period = "quarter"
    deals: Deals = None
    as_of: str | None = None
    map_: Map = None
    quarters: int = 2
    output: Output = None
    json_: Json = False


_UNSAID = CompareOptions()


def compare(baseline: Path, alternatives: list[Path], /, *, asked: Annotated[CompareOptions, Flat] = _UNSAID) -> None:
    """Compare scenarios with a baseline on the same luck: differences, their intervals, and the chance to be better.

    Args:
        baseline: The scenario file to compare with.
        alternatives: The scenario files to compare.
        asked: The options.
    """
    from simfunnel import comparison, runs
    from simfunnel.cli.screens import progress
    from simfunnel.crm import read_crm
    from simfunnel.forecasting.forecast import from_today

    base, *others = all_loaded([baseline, *alternatives])
    folder = folder_for(asked.output, baseline.with_name(f"{baseline.stem}-compared"), quiet=asked.json_)
    precision = None if asked.precision is None else chance(asked.precision, "--precision")
    if folder:
        runs.check_folder(folder)
    if asked.deals:
        history = read_crm(*asked.deals, mapping=asked.map_, as_of=day(asked.as_of))
        base, *others = (from_today(model, history, quarters=asked.quarters) for model in (base, *others))
    for model in (base, *others):
        warn(model)
    with progress("comparing") as tell:
        result = comparison.compare(
            base,
            *others,
            replications=asked.replications,
            seed=asked.seed,
            workers=crew(asked.workers, asked.replications),
            precision=precision,
            unit=asked.period,
            progress=tell,
        )
    _finish(result, folder, "compare", None, json_=asked.json_)


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
    from simfunnel import experiments, runs
    from simfunnel.cli.screens import progress

    found = experiments.load_experiment(file)
    folder = folder_for(output, file, quiet=json_)
    if folder:
        runs.check_folder(folder)
    team = crew(workers, replications or found.spec.replications)
    say_if_cold("compiled")
    with progress(found.spec.name) as tell:
        result = experiments.run_experiment(found, replications=replications, seed=seed, workers=team, progress=tell)
    measures = list(found.spec.measures)
    _finish(result, folder, "experiment", measures, json_=json_)


def _finish(result: Comparison, folder: Path | None, command: str, measures: list[str] | None, *, json_: bool) -> None:
    """Show a comparison and write its folder."""
    from simfunnel import comparison
    from simfunnel.cli.screens import show_comparison

    show(json_, lambda: comparison.results_json(result), lambda: show_comparison(result, measures))
    if folder:
        told(comparison.write_comparison(result, folder, command=command, metrics=measures), quiet=json_)
