"""The benchmark funnel in simfunnel: the scenario `funnel.yaml` under one of its engines, by the name of its module.

python benchmarks/funnel_simfunnel.py --engine simpy --prospects 100000 --seed 1
python benchmarks/funnel_simfunnel.py --engine simpy --prospects 100000 --seed 1 --kpis

Without `--kpis`: one long run of a compiled plan, from the first event to the records. With it: what `simfunnel run`
does, for replications of two years until the prospects are spent. The scenario is read and a plan made of it; then
come, for each replication, the run and every table of the KPIs. With `--chunks` the one long run lets its records go as
they come; with both, they are added up to the KPIs first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from simfunnel import kpi_tables, kpis, views
from simfunnel.plan import Plan, compile_plan
from simfunnel.results import UNITS
from simfunnel.scenario import load
from simfunnel.scenario.spec import ScenarioSpec
from simfunnel.tally import Totals
from simfunnel.units import Span

SCENARIO = Path(__file__).with_name("funnel.yaml")
ARRIVALS_A_DAY = 10.0
DAYS_OF_A_REPLICATION = 730
CANNOT = 3
"""The exit code where the engine isn't there."""


def spec_of(days: float) -> ScenarioSpec:
    """The scenario with another horizon, which may be longer than a file may ask for."""
    return load(SCENARIO).spec.model_copy(update={"horizon": Span(days, "day")})


def tables(loads: Iterable[Any], plan: Plan) -> tuple[Totals, dict[str, float]]:
    """Every figure that a replication leaves, as in `simfunnel.replicate`; and those of the whole run."""
    tallied = views.tallied(loads, plan, UNITS)
    view = tallied.view()
    measured = kpis.measured(view)
    kpi_tables.funnel_of(tallied.totals)
    kpi_tables.queues_of(tallied.totals)
    whole = view.cut.by_unit(np.stack([values[0] for values in measured.values()]))["all"][:, 0]
    return tallied.totals, dict(zip(measured, whole.tolist(), strict=True))


def figures(records: Any, plan: Plan) -> dict[str, float]:
    """What every program of the benchmark prints."""
    names = ("prospects", "wins", "lost", "reneged", "wait", "utilisation")
    whole = {name: float(v[0, 0]) for name, v in kpis.measured(views.view_of(records, plan, "all"), names).items()}
    return {
        "prospects": whole["prospects"],
        "wins": whole["wins"],
        "losses": whole["lost"] - whole["reneged"],
        "reneges": whole["reneged"],
        "mean_wait": whole["wait"] / 24,
        "utilisation": whole["utilisation"],
    }


def megabytes() -> float:
    """The most memory that this process has had, in millions of bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def one_run(engine: Any, prospects: int, seed: int) -> dict[str, float]:
    """One long run."""
    begin = time.perf_counter()
    plan = compile_plan(spec_of(prospects / ARRIVALS_A_DAY))
    start, before = time.perf_counter(), megabytes()
    records = engine.run(plan, seed, 0)
    seconds, after = time.perf_counter() - start, megabytes()
    extra = {"events": records.events, "plan_seconds": start - begin, "megabytes_before": before, "megabytes": after}
    return {"seconds": seconds, **figures(records, plan), **extra}


def loads(engine: Any, plan: Plan, seed: int, number: int) -> Iterable[Any]:
    """The records of a replication as they come."""
    if hasattr(engine, "chunks"):
        return engine.chunks(plan, seed, number)
    return [engine.run(plan, seed, number)]


def streamed(engine: Any, prospects: int, seed: int) -> dict[str, float]:
    """One long run whose records are taken away in chunks and let go."""
    begin = time.perf_counter()
    plan = compile_plan(spec_of(prospects / ARRIVALS_A_DAY))
    start, before = time.perf_counter(), megabytes()
    came, events, most = 0, 0, 0
    for part in engine.chunks(plan, seed, 0):
        came, events, most = came + len(part.prospects.key), part.events, max(most, len(part.moves.time))
    seconds, after = time.perf_counter() - start, megabytes()
    extra = {"events": events, "plan_seconds": start - begin, "megabytes_before": before, "megabytes": after}
    return {"seconds": seconds, "prospects": came, "most_moves_at_once": most, **extra}


def streamed_to_kpis(engine: Any, prospects: int, seed: int) -> dict[str, float]:
    """One long run whose records are added up as they come, to every table of the KPIs."""
    begin = time.perf_counter()
    plan = compile_plan(spec_of(prospects / ARRIVALS_A_DAY))
    start, before = time.perf_counter(), megabytes()
    totals, whole = tables(loads(engine, plan, seed, 0), plan)
    seconds, after = time.perf_counter() - start, megabytes()
    extra = {"events": totals.events, "plan_seconds": start - begin, "megabytes_before": before, "megabytes": after}
    return {"seconds": seconds, "prospects": whole["prospects"], **extra}


def replications(engine: Any, prospects: int, seed: int) -> dict[str, float]:
    """From the file to the tables of many replications."""
    start = time.perf_counter()
    plan = compile_plan(spec_of(DAYS_OF_A_REPLICATION))
    number = events = came = 0
    while came < prospects:
        totals, whole = tables(loads(engine, plan, seed, number), plan)
        came += int(whole["prospects"])
        events += totals.events
        number += 1
    return {"seconds": time.perf_counter() - start, "prospects": came, "events": events, "replications": number}


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--engine", default="simpy")
    options.add_argument("--prospects", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--kpis", action="store_true")
    options.add_argument("--chunks", action="store_true")
    given = options.parse_args()
    name = "simpy_engine" if given.engine == "simpy" else given.engine
    try:
        engine = importlib.import_module(f"simfunnel.engines.{name}")
    except ImportError as error:
        print(error, file=sys.stderr)
        return CANNOT
    replications(engine, 1, given.seed)  # whatever is compiled or imported at first use
    measure = {
        (False, False): one_run,
        (True, False): replications,
        (False, True): streamed,
        (True, True): streamed_to_kpis,
    }[given.kpis, given.chunks]
    print(json.dumps(measure(engine, given.prospects, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
