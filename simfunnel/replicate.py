"""Many replications of a scenario, on one or several workers.

Replication k depends on the scenario, the seed and k alone: asking for more, or for more workers, leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from simfunnel import kpis
from simfunnel.engines.records import CAUSES, OPENED, Records
from simfunnel.errors import InputError, RunError, not_among
from simfunnel.numerics import Floats
from simfunnel.periods import periods
from simfunnel.plan import NOWHERE, Plan, Uncertainty, compile_plan
from simfunnel.randomness import MAX_SEED
from simfunnel.scenario import Scenario
from simfunnel.scenario.spec import PluginSpec, ScenarioSpec

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("week", "month", "quarter", "all")
QUANTILES = (0.1, 0.5, 0.9)
ENGINES = ("compiled", "simpy")
"""The engines there are; `auto` takes the first that can run the scenario: rules in Python need SimPy."""
ATTEMPTS = 4
"""How often a batch is tried whose workers are killed."""
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


@dataclass(frozen=True)
class Outcome:
    """One replication, measured. Arrays of metrics are (metrics, groups, periods), by unit of period."""

    number: int
    metrics: dict[str, Floats]
    grouped: dict[str, Floats]
    groups: tuple[str, ...]
    funnel: pd.DataFrame
    queues: pd.DataFrame
    log: pd.DataFrame | None
    deals: pd.DataFrame | None
    events: int


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
    wanted = list(numbers)
    size = max(1, min(16, len(wanted) // (4 * workers)))
    todo = {k: wanted[k : k + size] for k in range(0, len(wanted), size)}
    if workers == 1 or len(wanted) < 2:
        planner = _Planner(scenario, seed)
        for here in todo.values():
            yield from _until_an_error(*_done(planner, here, request))
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if request.engine == "compiled":
        from simfunnel.engines import compiled

        compiled.warm_up()  # once here, so that the workers find it done
    for attempt in range(1, ATTEMPTS + 1):
        jobs = (delayed(_batch)(k, scenario, seed, batch, request) for k, batch in list(todo.items()))
        try:
            for k, batch, error in Parallel(n_jobs=workers, return_as="generator_unordered")(jobs):
                del todo[k]
                yield from _until_an_error(batch, error)
        except BrokenProcessPool as broken:
            if attempt == ATTEMPTS:
                raise RunError(f"workers were killed {ATTEMPTS} times; is there enough memory?") from broken
        else:
            return


_KEPT: dict[tuple[str, str, int], _Planner] = {}


_Batch = tuple[int, list[Outcome], RunError | None]


def _batch(name: int, scenario: Scenario, seed: int, numbers: list[int], request: Request) -> _Batch:
    """One batch in a worker, which keeps its last planner for the batches to come; with the batch's name."""
    key = (scenario.digest, str(scenario.folder), seed)
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = _Planner(scenario, seed)
    planner = _KEPT[key]
    return name, *_done(planner, numbers, request)


def _done(planner: _Planner, numbers: list[int], request: Request) -> tuple[list[Outcome], RunError | None]:
    """The outcomes of a batch, up to the first replication that can't go on, and why it can't."""
    done = []
    for number in numbers:
        try:
            done.append(_replication(planner, number, request))
        except RunError as error:
            return done, error
    return done, None


def _until_an_error(batch: list[Outcome], error: RunError | None) -> Iterator[list[Outcome]]:
    """A batch; then its error, if there is one."""
    if batch:
        yield batch
    if error:
        raise error


def _replication(planner: _Planner, number: int, request: Request) -> Outcome:
    plan = planner.plan(number)
    try:
        records = simulate(plan, planner.seed, number, request.engine)
    except RunError as error:
        raise RunError(f"replication {number} stopped: {error}") from None
    metrics = {unit: _stacked(kpis.view_of(records, plan, unit)) for unit in UNITS}
    grouped: dict[str, Floats] = {}
    groups: tuple[str, ...] = ()
    if request.by is not None:
        views = {unit: kpis.view_of(records, plan, unit, request.by) for unit in UNITS}
        groups = views["all"].groups
        grouped = {unit: _stacked(view) for unit, view in views.items()}
    return Outcome(
        number=number,
        metrics=metrics,
        grouped=grouped,
        groups=groups,
        funnel=kpis.funnel(records, plan),
        queues=kpis.queues(records, plan),
        log=moves_log(records, plan, number) if request.log else None,
        deals=deal_ends(records, plan) if request.deals else None,
        events=records.events,
    )


def _stacked(view: kpis.View) -> Floats:
    return np.stack(list(kpis.measured(view).values()))


def moves_log(records: Records, plan: Plan, number: int) -> pd.DataFrame:
    """Every move of a replication: replication, time (days), prospect, from, to, cause, member, value."""
    import pandas as pd

    moves = records.moves
    places = np.array([*plan.place_names, ""], dtype=object)
    members = np.array([*plan.member_names, ""], dtype=object)
    return pd.DataFrame(
        {
            "replication": number,
            "time": moves.time,
            "prospect": moves.prospect,
            "from": places[moves.origin],
            "to": places[moves.goal],
            "cause": np.array(CAUSES, dtype=object)[moves.cause],
            "member": members[moves.member],
            "value": records.prospects.value[moves.prospect],
        }
    )


def deal_ends(records: Records, plan: Plan) -> pd.DataFrame:
    """When each deal that was open at the start was won, and when it was lost (days, NaN: not yet), by deal row."""
    import pandas as pd

    view = kpis.view_of(records, plan, "all")
    people, moves = records.prospects, records.moves
    ends = {}
    for what, which in (("won", view.won), ("lost", view.lost)):
        times = np.full(len(plan.deal_names), np.nan)
        deal = people.deal[moves.prospect[which]]
        times[deal[deal != NOWHERE]] = moves.time[which][deal != NOWHERE]
        ends[what] = times
    started = people.deal[moves.prospect[moves.cause == OPENED]]
    value = np.full(len(plan.deal_names), np.nan)
    value[started] = people.value[moves.prospect[moves.cause == OPENED]]
    return pd.DataFrame({"deal": plan.deal_names, **ends, "value": value})


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
        rows = self.kpis[(self.kpis.metric == metric) & (self.kpis.unit == unit)]
        return rows.pivot(index="replication", columns="period", values="value")[list(dict.fromkeys(rows.period))]

    def summary(self, unit: str = "quarter", quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
        """Mean, its 90% interval, standard deviation and quantiles over the replications, by metric and period."""
        return summarise(self.kpis[self.kpis.unit == unit], ["metric", "period"], quantiles)

    def quantiles(self, unit: str = "quarter", quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
        """The quantiles alone, by metric and period."""
        wanted = list(quantiles)
        return self.summary(unit, wanted)[["metric", "period", *(f"{q:g}" for q in wanted)]]

    @property
    def plot(self) -> Any:
        """Pictures: `.plot.fan("bookings")`, `.distribution("bookings")`, `.funnel()`, `.teams()`."""
        from simfunnel.plots import Pictures

        return Pictures(self)


def summarise(rows: pd.DataFrame, keys: list[str], quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
    """Mean, 90% interval of the mean (Student), standard deviation and quantiles of `value`, in order of appearance."""
    from scipy import stats

    groups = rows.groupby(keys, sort=False, observed=True)["value"]
    table = groups.agg(mean="mean", sd="std", n="count")
    half = stats.t.ppf(0.95, np.maximum(table["n"] - 1, 1)) * table["sd"] / np.sqrt(table["n"])
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    for q in quantiles:
        table[f"{q:g}"] = groups.quantile(q)
    return table.reset_index()


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


def gather(scenario: Scenario, seed: int, done: list[Outcome]) -> Runs:
    """One table from many outcomes."""
    import pandas as pd

    def joined(what: str) -> pd.DataFrame | None:
        frames = [getattr(o, what) for o in done]
        if frames[0] is None:
            return None
        numbers = [o.number for o in done]
        joint: pd.DataFrame = pd.concat(frames, keys=numbers, names=["replication"]).reset_index(level=0)
        return joint.loc[:, ~joint.columns.duplicated()].reset_index(drop=True)

    queues, funnel = joined("queues"), joined("funnel")
    assert funnel is not None
    assert queues is not None
    grouped = _long(scenario, done, grouped=True) if done[0].grouped else None
    logs = pd.concat([o.log for o in done], ignore_index=True) if done[0].log is not None else None
    return Runs(
        scenario=scenario,
        seed=seed,
        replications=len(done),
        kpis=_long(scenario, done, grouped=False),
        grouped=grouped,
        funnel=funnel,
        queues=queues,
        log=logs,
        deals=joined("deals"),
        events=sum(o.events for o in done),
    )


def _long(scenario: Scenario, done: list[Outcome], *, grouped: bool) -> pd.DataFrame:
    """The arrays of metrics of all outcomes as one long table."""
    import pandas as pd

    spec = scenario.spec
    warm_up = spec.warm_up.days_from(spec.start)
    parts = []
    for unit in UNITS:
        labels = periods(spec.start, warm_up, spec.days, unit, spec.fiscal_year_ends).labels
        names = sorted({g for o in done for g in o.groups}, key=_first_seen(done)) if grouped else [""]
        arrays = np.stack([_aligned(o, names, unit) if grouped else o.metrics[unit] for o in done])
        shape = arrays.shape  # replications, metrics, groups, periods
        index = pd.MultiIndex.from_product(
            [[o.number for o in done], list(kpis.METRICS), names, labels],
            names=["replication", "metric", "group", "period"],
        )
        frame = pd.DataFrame({"value": arrays.reshape(-1)}, index=index).reset_index()
        frame.insert(2, "unit", unit)
        parts.append(frame if grouped else frame.drop(columns="group"))
        assert shape[3] == len(labels)
    return pd.concat(parts, ignore_index=True)


def _first_seen(done: list[Outcome]) -> Callable[[str], int]:
    order: dict[str, int] = {}
    for outcome in done:
        for group in outcome.groups:
            order.setdefault(group, len(order))
    return order.__getitem__


def _aligned(outcome: Outcome, names: list[str], unit: str) -> Floats:
    """The grouped metrics of one outcome with the groups of all (a generation may be missing in one)."""
    array = outcome.grouped[unit]
    out = np.zeros((array.shape[0], len(names), array.shape[2]))
    for k, group in enumerate(outcome.groups):
        out[:, names.index(group)] = array[:, k]
    return out
