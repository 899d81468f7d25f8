"""The benchmark funnel in SimPy, as its documentation shows reneging: one process for each prospect.

python benchmarks/funnel_simpy.py --prospects 100000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Generator

import numpy as np
import simpy

ARRIVALS_A_DAY = 10.0
STAGES = 4
SELLERS = 10
MU, SIGMA = 0.8, 0.9
MEAN_EFFORT = 0.5
MEAN_PATIENCE = 2.0
GO_ON = 0.5

Life = Generator[simpy.Event, object, None]


class Funnel:
    """The sellers, the luck, and what is counted."""

    def __init__(self, days: float, seed: int) -> None:
        self.env = simpy.Environment()
        self.sellers = simpy.Resource(self.env, capacity=SELLERS)
        self.rng = np.random.default_rng(seed)
        self.days = days
        self.prospects = self.wins = self.losses = self.reneges = self.served = 0
        self.waited = self.busy = 0.0

    def run(self) -> None:
        self.env.process(self.arrivals())
        self.env.run(until=self.days)

    def arrivals(self) -> Life:
        while True:
            yield self.env.timeout(self.rng.exponential(1 / ARRIVALS_A_DAY))
            self.prospects += 1
            self.env.process(self.prospect())

    def prospect(self) -> Life:
        env, rng = self.env, self.rng
        for _ in range(STAGES):
            yield env.timeout(rng.lognormal(MU, SIGMA))
            asked = env.now
            with self.sellers.request() as seller:
                yield seller | env.timeout(rng.exponential(MEAN_PATIENCE))
                if not seller.triggered:
                    self.reneges += 1
                    return
                self.served += 1
                self.waited += env.now - asked
                effort = rng.exponential(MEAN_EFFORT)
                self.busy += min(effort, self.days - env.now)
                yield env.timeout(effort)
            if rng.random() >= GO_ON:
                self.losses += 1
                return
        self.wins += 1


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--prospects", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    days = given.prospects / ARRIVALS_A_DAY
    funnel = Funnel(days, given.seed)
    start = time.perf_counter()
    funnel.run()
    seconds = time.perf_counter() - start
    result = {
        "seconds": seconds,
        "prospects": funnel.prospects,
        "wins": funnel.wins,
        "losses": funnel.losses,
        "reneges": funnel.reneges,
        "mean_wait": funnel.waited / funnel.served,
        "utilisation": funnel.busy / (SELLERS * days),
        "events": None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
