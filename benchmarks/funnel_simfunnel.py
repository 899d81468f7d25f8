"""The benchmark funnel in simfunnel: the scenario `funnel.yaml` under one of its engines.

python benchmarks/funnel_simfunnel.py --engine simpy --prospects 100000 --seed 1
python benchmarks/funnel_simfunnel.py --engine simpy --prospects 100000 --seed 1 --kpis

Without `--kpis`: one long run of a compiled plan, from the first event to the records. With it: what `simfunnel run`
does, for as many replications of two years as these prospects need. The scenario is read and a plan made of it; then
come the replications, in batches, with every table of the KPIs. With `--chunks` the one long run lets its records go as
they come; with both, they are added up to the KPIs as in the replications.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from simfunnel import kpis, replicate, views
from simfunnel.plan import Plan, compile_plan
from simfunnel.scenario import Scenario, load
from simfunnel.units import Span

SCENARIO = Path(__file__).with_name("funnel.yaml")
ARRIVALS_A_DAY = 10.0
DAYS_OF_A_REPLICATION = 730


def scenario_of(days: float) -> Scenario:
    """The scenario with another horizon, which may be longer than a file may ask for."""
    scenario = load(SCENARIO)
    return replace(scenario, spec=scenario.spec.model_copy(update={"horizon": Span(days, "day")}))


def plan_of(prospects: int) -> Plan:
    """The plan of one long run."""
    return compile_plan(scenario_of(prospects / ARRIVALS_A_DAY).spec)


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


def one_run(engine: str, prospects: int, seed: int) -> dict[str, float]:
    """One long run."""
    begin = time.perf_counter()
    plan = plan_of(prospects)
    start, before = time.perf_counter(), megabytes()
    records = replicate.simulate(plan, seed, 0, engine)
    seconds, after = time.perf_counter() - start, megabytes()
    extra = {"events": records.events, "plan_seconds": start - begin, "megabytes_before": before, "megabytes": after}
    return {"seconds": seconds, **figures(records, plan), **extra}


def streamed(engine: str, prospects: int, seed: int) -> dict[str, float]:
    """One long run whose records are taken away in chunks and let go."""
    begin = time.perf_counter()
    plan = plan_of(prospects)
    start, before = time.perf_counter(), megabytes()
    came, events, most = 0, 0, 0
    for part in replicate.loads(plan, seed, 0, engine):
        came, events, most = came + len(part.prospects.key), part.events, max(most, len(part.moves.time))
    seconds, after = time.perf_counter() - start, megabytes()
    extra = {"events": events, "plan_seconds": start - begin, "megabytes_before": before, "megabytes": after}
    return {"seconds": seconds, "prospects": came, "most_moves_at_once": most, **extra}


def measured(engine: str, days: float, count: int, seed: int) -> dict[str, float]:
    """From the file to the tables of so many replications."""
    start, before = time.perf_counter(), megabytes()
    batches = replicate.batches(scenario_of(days), range(count), seed=seed, engine=engine)
    done = [outcome for batch in batches for outcome in batch]
    seconds, after = time.perf_counter() - start, megabytes()
    metric, whole = list(kpis.METRICS).index("prospects"), -1  # the last period is all of a replication
    return {
        "seconds": seconds,
        "prospects": sum(float(outcome.metrics[metric, whole]) for outcome in done),
        "events": sum(outcome.events for outcome in done),
        "replications": count,
        "megabytes_before": before,
        "megabytes": after,
    }


def one_run_measured(engine: str, prospects: int, seed: int) -> dict[str, float]:
    """One long run, from the file to the tables."""
    return measured(engine, prospects / ARRIVALS_A_DAY, 1, seed)


def replications(engine: str, prospects: int, seed: int) -> dict[str, float]:
    """Replications of two years, from the file to the tables."""
    count = math.ceil(prospects / ARRIVALS_A_DAY / DAYS_OF_A_REPLICATION)
    return measured(engine, DAYS_OF_A_REPLICATION, count, seed)


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--engine", choices=replicate.ENGINES, default="simpy")
    options.add_argument("--prospects", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--kpis", action="store_true")
    options.add_argument("--chunks", action="store_true")
    given = options.parse_args()
    replications(given.engine, 1, given.seed)  # whatever is compiled or imported at first use
    measure = {
        (False, False): one_run,
        (True, False): replications,
        (False, True): streamed,
        (True, True): one_run_measured,
    }[given.kpis, given.chunks]
    print(json.dumps(measure(given.engine, given.prospects, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
