"""Many replications of a scenario, on one or several workers; `results` has what they leave.

Replication k depends on the scenario, the seed and k alone: asking for more, or for more workers, leaves it as it was.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np

from simfunnel import kpi_tables, kpis, views
from simfunnel.engines.records import Records, joined
from simfunnel.errors import InputError, RunError, not_among
from simfunnel.numerics import Floats
from simfunnel.plan import Plan, Uncertainty, compile_plan
from simfunnel.randomness import MAX_SEED
from simfunnel.results import UNITS, Columns, Outcome, Runs, deal_ends, gather, moves_log
from simfunnel.scenario import Scenario, from_tree
from simfunnel.scenario.spec import PluginSpec, ScenarioSpec

ENGINES = ("compiled", "simpy")
"""The engines there are; `auto` takes the first that can run the scenario: rules in Python need SimPy."""
ATTEMPTS = 4
"""How often a batch is tried whose workers are killed."""
TOGETHER, NUMBERS = 16, 1 << 17
"""How many replications are held until they are measured, each with its plan, and how many numbers in their sums."""
SECONDS_OF_A_BATCH = 0.25
"""How long a batch takes, about: what a kill may lose, against what it costs to hand a batch over and to keep it."""
Progress = Callable[[int, int], None]
"""Told after each replication how many are done, of how many."""


@dataclass(frozen=True)
class Request:
    """What to keep of each replication."""

    by: str | None = None
    """A grouping for a second table of metrics."""
    log: bool = False
    """Whether to keep every move."""
    deals: bool = False
    """Whether to keep when each open deal was won or lost."""
    engine: str = "compiled"
    """On which engine."""


class _Planner:
    """Makes the plan of each replication; one plan serves all where nothing is uncertain."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.uncertainty = Uncertainty(scenario.spec)
        self.fixed = None if self.uncertainty.places else self._compiled(scenario.spec)

    def _compiled(self, spec: ScenarioSpec) -> Plan:
        try:
            return compile_plan(spec, folder=str(self.scenario.folder))
        except ValueError as error:  # uncertain figures that contradict each other, as drawn
            raise RunError(f"the scenario can't be compiled with the numbers drawn: {error}") from None

    def plan(self, replication: int) -> Plan:
        return self.fixed or self._compiled(self.uncertainty.settled(self.seed, replication))


def engine_for(scenario: Scenario, engine: str = "auto") -> str:
    """The engine that runs a scenario. Raises InputError for one that does not exist or can't run it."""
    if engine not in ("auto", *ENGINES):
        raise InputError(not_among(engine, "engine", ("auto", *ENGINES)))
    rules = [name for name, stage in scenario.spec.stages.items() if isinstance(stage.route, PluginSpec)]
    if engine == "compiled" and rules:
        raise InputError(f"the compiled engine can't run the rule in Python of '{rules[0]}'; use simpy, or auto")
    return ("simpy" if rules else "compiled") if engine == "auto" else engine


def simulate(plan: Plan, seed: int, replication: int, engine: str) -> Records:
    """One replication of a plan on an engine."""
    if engine == "simpy":
        from simfunnel.engines import simpy_engine

        return simpy_engine.run(plan, seed, replication)
    from simfunnel.engines import compiled

    return compiled.run(plan, seed, replication)


def loads(plan: Plan, seed: int, replication: int, engine: str) -> Iterator[Records]:
    """The same, its rows handed over as they come, good until the next are; memory then follows the open prospects."""
    if engine == "simpy":
        yield simulate(plan, seed, replication, engine)
        return
    from simfunnel.engines import compiled

    yield from compiled.chunks(plan, seed, replication)


@cache
def warm_up(engine: str = "compiled") -> None:
    """Compile all that a run compiles, or load it from disk, by a day on which a few come to a team without time.

    What adds up records is compiled by another process meanwhile, where there is a processor for it.
    """
    lead = {"work": {"team": "team", "effort": "90 h"}, "cost_per_day": 1, "exits": {"lost": {}}}
    tree = {
        "name": "warm-up",
        "start": "2026-01-01",
        "horizon": "1 day",
        "sources": {"some": {"rate": "9 per day"}},
        "teams": {"team": {"size": 1}},
        "stages": {"lead": lead},
    }
    with ExitStack() as ends:
        if engine == "compiled":
            _have_the_rest_compiled(ends)
        _done(_Planner(from_tree(tree), 0), [0], Request(engine=engine))


def _have_the_rest_compiled(ends: ExitStack) -> None:
    """Have another process compile what a run needs besides the engine, if that is yet to be done.

    What it has compiled is found on disk; if it fails or is late, this process compiles all.
    """
    import joblib

    from simfunnel.engines import compiled

    if compiled.is_cold() and joblib.cpu_count() > 1:
        code = f"from {__name__} import warm_up; warm_up('simpy')"
        quiet = subprocess.DEVNULL
        with suppress(OSError):
            other = subprocess.Popen([sys.executable, "-c", code], stdin=quiet, stdout=quiet, stderr=quiet)
            ends.callback(ends.enter_context(other).terminate)


def records_of(
    scenario: Scenario, replication: int = 0, *, seed: int = 1, engine: str = "auto"
) -> tuple[Records, Plan]:
    """All that happened in one replication, with the plan that explains its numbers."""
    plan = _Planner(scenario, seed).plan(replication)
    return simulate(plan, seed, replication, engine_for(scenario, engine)), plan


def outcomes(
    scenario: Scenario,
    numbers: Iterable[int],
    *,
    seed: int,
    workers: int = 1,
    request: Request | None = None,
    engine: str = "auto",
) -> Iterator[Outcome]:
    """The outcomes of these replications, in their order."""
    early: dict[int, Outcome] = {}
    wanted = list(numbers)
    following = iter(wanted)
    due = next(following, None)
    for batch in batches(scenario, wanted, seed=seed, workers=workers, request=request, engine=engine):
        early |= {outcome.number: outcome for outcome in batch}
        while due is not None and due in early:
            yield early.pop(due)
            due = next(following, None)


def batches(
    scenario: Scenario,
    numbers: Iterable[int],
    *,
    seed: int,
    workers: int = 1,
    request: Request | None = None,
    engine: str = "auto",
) -> Iterator[list[Outcome]]:
    """The outcomes of these replications, batch by batch, in whatever order they are done.

    With more than one worker they go to joblib's workers: processes, or a cluster where one is configured
    (`joblib.parallel_config("dask")`). A batch whose worker was killed is done again.
    """
    request = replace(request or Request(), engine=engine_for(scenario, engine))
    cutter = _Cutter(list(numbers), workers)
    warm_up(request.engine)  # once here, so that workers find it done
    if workers == 1 or len(cutter.left) < 2:
        planner = _Planner(scenario, seed)
        for _, here in cutter:
            batch = _done(planner, here, request)
            cutter.took(batch)
            yield from _until_an_error(batch)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    packed = pickle.dumps(scenario)  # once, and not with each batch
    todo: dict[int, list[int]] = {}
    for attempt in range(1, ATTEMPTS + 1):
        given = chain(list(todo.items()), cutter)
        jobs = (delayed(_batch)(packed, seed, todo.setdefault(k, here), request) for k, here in given)
        try:
            for batch in Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")(jobs):
                del todo[batch.first]
                cutter.took(batch)
                yield from _until_an_error(batch)
        except BrokenProcessPool as broken:
            if attempt == ATTEMPTS:
                raise RunError(f"workers were killed {ATTEMPTS} times; is there enough memory?") from broken
        else:
            return


_KEPT: dict[tuple[bytes, int], _Planner] = {}


class _Batch(NamedTuple):
    """What became of a batch: up to the first replication that can't go on, and why it can't."""

    first: int
    outcomes: list[Outcome]
    error: RunError | None
    seconds: float


class _Cutter:
    """Cuts replications into batches, the next one when it is asked for: each with its first number.

    A batch holds as many as shall take `SECONDS_OF_A_BATCH`, by what the one that was done last took; towards the end
    fewer, so that workers are all done at once. Which batch a replication is in changes nothing about it.
    """

    def __init__(self, numbers: list[int], workers: int) -> None:
        self.left = numbers[::-1]
        self._workers = workers
        self._size = 1.0

    def took(self, batch: _Batch) -> None:
        """Hear how long a batch has taken."""
        self._size = SECONDS_OF_A_BATCH * len(batch.outcomes) / max(batch.seconds, 1e-6)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        while self.left:
            most = len(self.left) // (4 * self._workers) if self._workers > 1 else len(self.left)
            size = max(1, min(int(self._size), most))
            here = [self.left.pop() for _ in range(size)]
            yield here[0], here


def _batch(packed: bytes, seed: int, numbers: list[int], request: Request) -> _Batch:
    """One batch of a pickled scenario in a worker, which keeps its last planner."""
    key = packed, seed
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = _Planner(pickle.loads(packed), seed)
    return _done(_KEPT[key], numbers, request)


def _done(planner: _Planner, numbers: list[int], request: Request) -> _Batch:
    """Do a batch."""
    begin, stopped = time.perf_counter(), None
    done, held = list[Outcome](), list[_Simulated]()
    for number in numbers:
        try:
            one = _simulated(planner, number, request)
        except RunError as error:
            stopped = error
            break
        if held and not one.tallied.is_like(held[0].tallied):
            done += _measured(held)
            held.clear()
        held.append(one)
        if len(held) == TOGETHER or len(held) * one.tallied.totals.numbers.size >= NUMBERS:
            done += _measured(held)
            held.clear()
    done += _measured(held) if held else []
    return _Batch(numbers[0], done, stopped, time.perf_counter() - begin)


def _until_an_error(batch: _Batch) -> Iterator[list[Outcome]]:
    """The outcomes of a batch; then its error, if there is one."""
    if batch.outcomes:
        yield batch.outcomes
    if batch.error:
        raise batch.error


class _Simulated(NamedTuple):
    """A replication that is yet to be measured."""

    number: int
    tallied: views.Tallied
    log: Columns | None
    deals: Columns | None


def _simulated(planner: _Planner, number: int, request: Request) -> _Simulated:
    """Run a replication and add it up."""
    plan = planner.plan(number)
    coming = loads(plan, planner.seed, number, request.engine)
    try:
        whole = joined(coming) if request.log or request.deals else None
        tallied = views.tallied(coming if whole is None else [whole], plan, UNITS, request.by)
    except RunError as error:
        raise RunError(f"replication {number} stopped: {error}") from None
    log = moves_log(whole, plan) if whole and request.log else None
    return _Simulated(number, tallied, log, deal_ends(whole, plan) if whole and request.deals else None)


def _measured(several: Sequence[_Simulated]) -> Iterator[Outcome]:
    """Measure replications that are like each other, all at once: to do it one by one would take several times as long.

    Each number comes out as it would alone, to the bit.
    """
    tallied = views.together([one.tallied for one in several])
    metrics = _stacked(tallied.view())[:, :, 0]
    by_group = tallied.by is not None
    grouped = _stacked(tallied.view(grouped=True)) if by_group else np.zeros((len(several), 0, 0, 0))
    funnel, queues = kpi_tables.funnel_of(tallied.totals), kpi_tables.queues_of(tallied.totals)
    for k, one in enumerate(several):
        yield Outcome(
            number=one.number,
            metrics=metrics[k],
            grouped=grouped[k],
            groups=tallied.groups,
            funnel=funnel[k],
            queues=queues[k],
            log=one.log,
            deals=one.deals,
            events=one.tallied.totals.events,
        )


def _stacked(view: kpis.View) -> Floats:
    """Every metric: (replications, metrics, groups, periods)."""
    return np.stack(list(kpis.measured(view).values()), axis=1)


class Keeper(Protocol):
    """Holds the outcomes of a run as they are done."""

    def done(self) -> list[Outcome]:
        """The outcomes that it has already."""

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """Keep a batch."""


class RunStoppedError(RunError):
    """A replication could not go on; `done` holds those that were finished before it."""

    def __init__(self, why: str, done: Runs) -> None:
        super().__init__(why)
        self.done = done


def run(
    scenario: Scenario,
    replications: int = 100,
    *,
    seed: int = 1,
    workers: int = 1,
    by: str | None = None,
    log: bool = False,
    deals: bool = False,
    engine: str = "auto",
    progress: Progress | None = None,
    keeper: Keeper | None = None,
) -> Runs:
    """Run replications 0 .. replications - 1 of a scenario and measure them.

    A `keeper` holds what is done: replications that it has are not run again, and each batch is given to it.

    Interrupted from the keyboard, it returns those that are done (at least one), and raises KeyboardInterrupt where
    none is. Raises InputError for arguments that can't be, RunError where the model can't go on: as RunStoppedError,
    which holds the replications that are done, where there are any.
    """
    if not 1 <= replications <= 1_000_000:
        raise InputError(f"replications must be 1 to 1,000,000, not {replications}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"a seed must be 0 to {MAX_SEED}, not {seed}")
    if not 1 <= workers <= 1024:
        raise InputError(f"workers must be 1 to 1024, not {workers}")
    done = {outcome.number: outcome for outcome in keeper.done()} if keeper else {}
    request = Request(by, log, deals)
    numbers = [number for number in range(replications) if number not in done]

    def gathered() -> Runs:
        return gather(scenario, seed, [done[number] for number in sorted(done)])

    try:
        for batch in batches(scenario, numbers, seed=seed, workers=workers, request=request, engine=engine):
            done |= {outcome.number: outcome for outcome in batch}
            if keeper:
                keeper.keep(batch)
            if progress:
                progress(len(done), replications)
    except KeyboardInterrupt:
        if not done:
            raise
    except RunError as error:
        if not done:
            raise
        raise RunStoppedError(str(error), gathered()) from error
    return gathered()
