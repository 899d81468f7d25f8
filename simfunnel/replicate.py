"""Many replications of a scenario, on one or several workers.

Replication k depends on the scenario, the seed and k alone: asking for more, or for more workers, leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simfunnel import kpis
from simfunnel.engines.records import CAUSES, OPENED, Records, joined
from simfunnel.errors import InputError, RunError, not_among
from simfunnel.numerics import Floats, Ints
from simfunnel.periods import cut
from simfunnel.plan import NOWHERE, Plan, Uncertainty, compile_plan
from simfunnel.randomness import MAX_SEED
from simfunnel.scenario import Scenario, from_tree
from simfunnel.scenario.spec import PluginSpec, ScenarioSpec

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

UNITS = ("week", "month", "quarter", "all")
QUANTILES = (0.1, 0.5, 0.9)
ENGINES = ("compiled", "simpy")
"""The engines there are; `auto` takes the first that can run the scenario: rules in Python need SimPy."""
ATTEMPTS = 4
"""How often a batch is tried whose workers are killed."""
Columns = dict[str, NDArray[Any]]
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
    """One replication, measured, as arrays alone; tables are made of many at once (`gather`)."""

    number: int
    metrics: Floats
    """(metrics, periods of all `UNITS`, one unit after the other)."""
    grouped: Floats
    """(metrics, groups, periods); empty where no groups were asked for."""
    groups: tuple[str, ...]
    funnel: Floats
    """(stages, columns of `kpis.FUNNEL`)."""
    queues: Floats
    """(teams, columns of `kpis.QUEUES`)."""
    log: Columns | None
    """As `moves_log` has it."""
    deals: Columns | None
    """As `deal_ends` has it."""
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


def loads(plan: Plan, seed: int, replication: int, engine: str, *, lent: bool = False) -> Iterator[Records]:
    """The same, its rows handed over as they come; memory then follows the open prospects.

    `lent` loads are good only until the next is asked for.
    """
    if engine == "simpy":
        yield simulate(plan, seed, replication, engine)
        return
    from simfunnel.engines import compiled

    yield from compiled.chunks(plan, seed, replication, lent=lent)


@cache
def warm_up(engine: str = "compiled") -> None:
    """Compile all that is compiled, or load it from disk, by a replication of almost nothing."""
    stages = {"lead": {"cost_per_day": 1, "exits": {"lost": {}}}}
    tree = {"name": "warm-up", "start": "2026-01-01", "horizon": "1 day", "sources": {"none": {}}, "stages": stages}
    _replication(_Planner(from_tree(tree), 0), 0, Request(engine=engine))


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

    warm_up(request.engine)  # once here, so that the workers find it done
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
    keeps = request.log or request.deals
    lent = not keeps and request.by not in kpis.AT_LAST
    coming: Iterable[Records] = loads(plan, planner.seed, number, request.engine, lent=lent)
    try:
        whole = joined(list(coming)) if keeps else None
        tallied = kpis.tallied(coming if whole is None else [whole], plan, UNITS, request.by)
    except RunError as error:
        raise RunError(f"replication {number} stopped: {error}") from None
    return Outcome(
        number=number,
        metrics=_stacked(tallied.view())[:, 0],
        grouped=_stacked(tallied.view(grouped=True)) if request.by else np.zeros((0, 0, 0)),
        groups=tallied.groups,
        funnel=kpis.funnel_of(tallied.totals),
        queues=kpis.queues_of(tallied.totals),
        log=moves_log(whole, plan) if whole and request.log else None,
        deals=deal_ends(whole, plan) if whole and request.deals else None,
        events=tallied.totals.events,
    )


def _stacked(view: kpis.View) -> Floats:
    return np.stack(list(kpis.measured(view).values()))


def moves_log(records: Records, plan: Plan) -> Columns:
    """Every move of a replication: time (days), prospect, origin, goal, cause, member, value; and the names of numbers.

    The names are `places` and `members`, each with an empty one at the end, for -1.
    """
    moves = records.moves
    small = {name: getattr(moves, name).astype(np.int32) for name in ("prospect", "origin", "goal", "cause", "member")}
    names = {"places": np.array([*plan.place_names, ""]), "members": np.array([*plan.member_names, ""])}
    return {"time": moves.time, **small, "value": records.prospects.value[moves.prospect], **names}


def deal_ends(records: Records, plan: Plan) -> Columns:
    """When each deal that was open at the start was won, and when it was lost (days, NaN: not yet), by deal row."""
    ways, people, moves = kpis.ways_of(records, plan), records.prospects, records.moves
    ends = {}
    for what, which in (("won", ways.won), ("lost", ways.lost)):
        times = np.full(len(plan.deal_names), np.nan)
        deal = people.deal[moves.prospect[which]]
        times[deal[deal != NOWHERE]] = moves.time[which][deal != NOWHERE]
        ends[what] = times
    started = people.deal[moves.prospect[moves.cause == OPENED]]
    value = np.full(len(plan.deal_names), np.nan)
    value[started] = people.value[moves.prospect[moves.cause == OPENED]]
    return {"deal": np.array(plan.deal_names, dtype=str), **ends, "value": value}


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
        rows = self.kpis.iloc[self._rows.get((metric, unit), [])]
        table: pd.DataFrame = rows.pivot(index="replication", columns="period", values="value")
        return table[list(dict.fromkeys(rows.period))]

    @cached_property
    def _rows(self) -> Mapping[Any, Any]:
        """Where each metric in each unit stands in `kpis`: the search is as long as for one of them."""
        return self.kpis.groupby(["metric", "unit"], sort=False).indices

    def summary(self, unit: str = "quarter", quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
        """Mean, its 90% interval, standard deviation and quantiles over the replications, by metric and period."""
        return summarise(self.kpis[self.kpis.unit == unit], ["metric", "period"], quantiles)

    def quantiles(self, unit: str = "quarter", quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
        """The quantiles alone, by metric and period."""
        wanted = list(quantiles)
        return self.summary(unit, wanted)[["metric", "period", *(f"{q:g}" for q in wanted)]]

    def to_excel(self, path: Path | str) -> Path:
        """Write a workbook: what was run, and the metrics by quarter, month and week. Returns its path.

        Raises:
            InputError: where the name doesn't end in .xlsx, or openpyxl is missing (the extra `excel`).
            RunError: where it can't be written.
        """
        from simfunnel.spreadsheets import runs_book

        return runs_book(self, path)

    @property
    def plot(self) -> Any:
        """Pictures: `.plot.fan("bookings")`, `.distribution("bookings")`, `.funnel()`, `.teams()`."""
        from simfunnel.plots import Pictures

        return Pictures(self)


def summarise(rows: pd.DataFrame, keys: list[str], quantiles: Iterable[float] = QUANTILES) -> pd.DataFrame:
    """Mean, 90% interval of the mean (Student), standard deviation and quantiles of `value`, in order of appearance."""
    from scipy.special import stdtrit

    groups = rows.groupby(keys, sort=False, observed=True)["value"]
    table = groups.agg(mean="mean", sd="std", n="count")
    half = stdtrit(np.maximum(table["n"] - 1, 1), 0.95) * table["sd"] / np.sqrt(table["n"])
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    wanted = list(quantiles)
    found = groups.quantile(np.array(wanted)).unstack()
    for q in wanted:
        table[f"{q:g}"] = found[q]
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

    spec, numbers = scenario.spec, [o.number for o in done]
    funnel = kpis.funnel_table(tuple(spec.stages), np.stack([o.funnel for o in done]))
    queues = kpis.queues_table(tuple(spec.teams), np.stack([o.queues for o in done]))
    for table, rows in ((funnel, len(spec.stages)), (queues, len(spec.teams))):
        table.insert(0, "replication", np.repeat(numbers, rows))
    deals = None
    if done[0].deals is not None:
        found = [o.deals for o in done if o.deals is not None]
        columns = {name: np.concatenate([deals[name] for deals in found]) for name in found[0]}
        deals = pd.DataFrame({"replication": np.repeat(numbers, [len(d["deal"]) for d in found]), **columns})
    return Runs(
        scenario=scenario,
        seed=seed,
        replications=len(done),
        kpis=_long(scenario, done, grouped=False),
        grouped=_long(scenario, done, grouped=True) if done[0].grouped.size else None,
        funnel=funnel,
        queues=queues,
        log=None if done[0].log is None else _whole_log(done),
        deals=deals,
        events=sum(o.events for o in done),
    )


def _whole_log(done: list[Outcome]) -> pd.DataFrame:
    """Every move of all outcomes: replication, time (days), prospect, from, to, cause, member, value."""
    import pandas as pd

    logs = {o.number: o.log for o in done if o.log is not None}
    first = next(iter(logs.values()))
    whole = {name: np.concatenate([log[name] for log in logs.values()]) for name in first if name not in _NAMES}
    places, members, causes = (pd.array(list(n), dtype="str") for n in (first["places"], first["members"], CAUSES))
    return pd.DataFrame(
        {
            "replication": np.repeat(list(logs), [len(log["time"]) for log in logs.values()]),
            "time": whole["time"],
            "prospect": whole["prospect"].astype(np.int64),
            "from": places.take(whole["origin"]),
            "to": places.take(whole["goal"]),
            "cause": causes.take(whole["cause"]),
            "member": members.take(whole["member"]),
            "value": whole["value"],
        }
    )


_NAMES = ("places", "members")


def _long(scenario: Scenario, done: list[Outcome], *, grouped: bool) -> pd.DataFrame:
    """The arrays of metrics of all outcomes as one long table."""
    import pandas as pd

    spec = scenario.spec
    periods = cut(spec.start, spec.warm_up.days_from(spec.start), spec.days, UNITS, spec.fiscal_year_ends)
    groups = sorted({g for o in done for g in o.groups}, key=_first_seen(done)) if grouped else [""]
    arrays = np.stack([_aligned(o, groups) if grouped else o.metrics[:, np.newaxis] for o in done])
    labels = [label for unit in periods.units for label in unit.labels]
    texts = {"metric": kpis.METRICS, "unit": UNITS, "group": groups, "period": labels}
    names: dict[str, Any] = {"replication": np.array([o.number for o in done])}
    names |= {name: pd.array(list(words), dtype="str") for name, words in texts.items()}
    codes: dict[str, list[Ints]] = {name: [] for name in names}
    begun, values = 0, periods.by_unit(arrays)
    for k, of_unit in enumerate(values.values()):
        shape = of_unit.shape
        along = [np.arange(n).reshape([n if axis == a else 1 for a in range(4)]) for axis, n in enumerate(shape)]
        axes = {"replication": along[0], "metric": along[1], "group": along[2], "period": along[3] + begun}
        for name, code in {**axes, "unit": np.array(k)}.items():
            codes[name].append(np.broadcast_to(code, shape).reshape(-1))
        begun += shape[3]
    columns = {name: names[name].take(np.concatenate(found)) for name, found in codes.items()}
    table = pd.DataFrame({**columns, "value": np.concatenate([array.reshape(-1) for array in values.values()])})
    return table if grouped else table.drop(columns="group")


def _first_seen(done: list[Outcome]) -> Callable[[str], int]:
    order: dict[str, int] = {}
    for outcome in done:
        for group in outcome.groups:
            order.setdefault(group, len(order))
    return order.__getitem__


def _aligned(outcome: Outcome, names: list[str]) -> Floats:
    """The grouped metrics of one outcome with the groups of all (a generation may be missing in one)."""
    array = outcome.grouped
    out = np.zeros((array.shape[0], len(names), array.shape[2]))
    for k, group in enumerate(outcome.groups):
        out[:, names.index(group)] = array[:, k]
    return out
