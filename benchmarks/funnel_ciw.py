"""The benchmark funnel in Ciw: a node of thinking with infinitely many servers, and one of ten sellers.

python benchmarks/funnel_ciw.py --prospects 100000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import random
import time
from typing import Any

import ciw  # type: ignore[import-untyped]

ARRIVALS_A_DAY = 10.0
STAGES = 4
SELLERS = 10
MU, SIGMA = 0.8, 0.9
MEAN_EFFORT = 0.5
MEAN_PATIENCE = 2.0
GO_ON = 0.5

THINK, SELL, OUT = 1, 2, -1


class AfterTask(ciw.routing.NodeRouting):  # type: ignore[misc]
    """Half of those who were served go on to think; after the last stage they are won."""

    def __init__(self) -> None:
        self.wins = self.losses = 0

    def next_node(self, ind: Any) -> Any:
        if random.random() >= GO_ON:
            self.losses += 1
            return self.simulation.nodes[OUT]
        ind.stage = getattr(ind, "stage", 1) + 1
        if ind.stage > STAGES:
            self.wins += 1
            return self.simulation.nodes[OUT]
        return self.simulation.nodes[THINK]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--prospects", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    days = given.prospects / ARRIVALS_A_DAY

    ciw.seed(given.seed)
    after_task = AfterTask()
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=ARRIVALS_A_DAY), None],
        service_distributions=[ciw.dists.Lognormal(MU, SIGMA), ciw.dists.Exponential(rate=1 / MEAN_EFFORT)],
        number_of_servers=[float("inf"), SELLERS],
        reneging_time_distributions=[None, ciw.dists.Exponential(rate=1 / MEAN_PATIENCE)],
        routing=ciw.routing.NetworkRouting(routers=[ciw.routing.Direct(to=SELL), after_task]),
    )
    simulation = ciw.Simulation(network)
    start = time.perf_counter()
    simulation.simulate_until_max_time(days)
    seconds = time.perf_counter() - start

    records = simulation.get_all_records()
    waits = [record.waiting_time for record in records if record.node == SELL and record.record_type == "service"]
    result = {
        "seconds": seconds,
        "prospects": simulation.nodes[0].number_accepted_individuals,
        "wins": after_task.wins,
        "losses": after_task.losses,
        "reneges": sum(record.record_type == "renege" for record in records),
        "mean_wait": sum(waits) / len(waits),
        "utilisation": simulation.transitive_nodes[SELL - 1].server_utilisation,
        "events": None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
