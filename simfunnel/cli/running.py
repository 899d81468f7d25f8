"""The command that simulates a scenario: run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from simfunnel.cli.options import Engine, Flat, Json, Output, Period, Replications, Workers, crew, folder_for
from simfunnel.cli.output import INTERRUPTED, show, told, warn
from simfunnel.errors import InputError, SimfunnelError

if TYPE_CHECKING:
    from simfunnel.replicate import RunStoppedError
    from simfunnel.results import Runs
    from simfunnel.runs import Drawn
    from simfunnel.scenario import Scenario
    from simfunnel.unfinished import Unfinished


@dataclass(frozen=True)
class RunOptions:
    """What can be said to `run`.

    Args:
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

    replications: Replications = 100
    seed: int = 1
    engine: Engine = "auto"
    workers: Workers = 0
    cluster: str | None = None
    period: Period = "quarter"
    by: str | None = None
    log: Path | None = None
    output: Output = None
    resume: Path | None = None
    json_: Json = False


_UNSAID = RunOptions()
MOST_EARLY = 64
"""More workers are not begun before it is known that all that was asked for can be."""


class _Job(NamedTuple):
    """A run as it is to be done: what, with which engine, where results go, and what keeps its replications."""

    asked: RunOptions
    model: Scenario
    engine: str
    folder: Path | None
    keeper: Unfinished | None


def run(scenario: Path | None = None, /, *, asked: Annotated[RunOptions, Flat] = _UNSAID) -> int:
    """Simulate a scenario and write its tables and pictures into a folder.

    Args:
        scenario: The scenario file.
        asked: The options.
    """
    with _workers_begun(scenario, asked) as wait_for_them:  # before all imports, which take as long as their start
        job = _prepared(scenario, asked)
        from simfunnel import runs
        from simfunnel.cli.screens import show_runs

        wait_for_them()
    asked, folder, keeper = job.asked, job.folder, job.keeper
    result, stopped = _simulated(job)
    missing = result.replications < asked.replications
    drawn = _drawn_meanwhile(job, result) if folder and not missing else None
    interrupted = missing and not stopped
    if missing:
        how = f"; to go on: simfunnel run --resume {folder}" if interrupted and folder else ""
        done = f"{result.replications} of {asked.replications} replications"
        print(f"{'stopped' if stopped else 'interrupted'} after {done}; these are kept{how}", file=sys.stderr)
    if asked.log:
        runs.write_log(result, asked.log)
    show(asked.json_, lambda: runs.results_json(result), lambda: show_runs(result, asked.period, asked.by))
    if folder:
        kept = list(keeper.files()) if keeper and interrupted else []
        written = runs.write_run(result, folder, command="run", unfinished=kept, drawn=drawn)
        told(written, quiet=asked.json_)
    if stopped:
        raise stopped
    return INTERRUPTED if interrupted else 0


def _workers_begun(scenario: Path | None, asked: RunOptions) -> AbstractContextManager[Callable[[], None]]:
    """Workers that start meanwhile, where some will be needed for sure; what they would run may still be faulty."""
    workers = crew(asked.workers, asked.replications, "compiled")
    is_there = scenario is not None and scenario.is_file()
    if not 1 < workers <= MOST_EARLY or asked.cluster or asked.resume or not is_there:
        return nullcontext(lambda: None)
    from simfunnel.workers import begun

    return begun(workers)


def _drawn_meanwhile(job: _Job, result: Runs) -> Callable[[], Drawn] | None:
    """The pictures, drawn by a worker while the tables are made; none where there is no other process to do it."""
    from simfunnel.runs import draw
    from simfunnel.workers import meanwhile

    workers = _workers_of(job)
    return None if workers == 1 or job.asked.cluster else meanwhile(workers, draw, result)


def _workers_of(job: _Job) -> int:
    """How many processes to use."""
    workers = crew(job.asked.workers, job.asked.replications, job.engine)
    return max(workers, 2) if job.asked.cluster else workers


def _prepared(scenario: Path | None, asked: RunOptions) -> _Job:
    """The run that was asked for, or the interrupted one as it was asked for then; its folder is ready."""
    from simfunnel.scenario import load

    read = load(scenario) if scenario and not asked.resume else None  # before the long imports: it may be faulty
    from simfunnel import replicate, runs
    from simfunnel.files import check_file
    from simfunnel.unfinished import Unfinished

    keeper = Unfinished(asked.resume) if asked.resume else None
    if keeper:
        model = keeper.resumed(scenario, log=asked.log is not None)
        folder, was = asked.resume, keeper.asked
        asked = replace(asked, seed=was.seed, by=was.by, replications=was.replications)
    elif scenario and read:
        model, folder = read, folder_for(asked.output, scenario, quiet=asked.json_)
    else:
        raise InputError("name a scenario file, or with --resume the folder of an interrupted run")
    if folder:
        runs.check_folder(folder)
    if asked.log:
        check_file(asked.log)
    engine = replicate.engine_for(model, asked.engine)
    warn(model, engine)
    if folder and not keeper:
        request = replicate.Request(by=asked.by, log=asked.log is not None)
        keeper = Unfinished.begun(folder, model, asked.seed, asked.replications, request)
    return _Job(asked, model, engine, folder, keeper)


def _simulated(job: _Job) -> tuple[Runs, RunStoppedError | None]:
    """The replications that were done, and what stopped the others."""
    from simfunnel import replicate
    from simfunnel.cli.screens import progress

    asked = job.asked
    try:
        with _on(asked.cluster), progress(f"simulating {job.model.name} ({job.engine} engine)") as tell:
            result = replicate.run(
                job.model,
                asked.replications,
                seed=asked.seed,
                workers=_workers_of(job),
                by=asked.by,
                log=asked.log is not None,
                engine=job.engine,
                progress=tell,
                keeper=job.keeper,
            )
    except replicate.RunStoppedError as error:
        return error.done, error
    except (SimfunnelError, KeyboardInterrupt):
        if job.keeper and not asked.resume:
            job.keeper.give_up()
        raise
    return result, None


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
