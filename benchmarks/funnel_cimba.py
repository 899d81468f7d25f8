"""The benchmark funnel in Cimba's Python package: a model that is spawned for each prospect, compiled by numba.

python benchmarks/funnel_cimba.py --prospects 100000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import time

import cimba as cb
from cimba import inputs

ARRIVALS_A_DAY = 10.0
STAGES = 4
SELLERS = 10
MU, SIGMA = 0.8, 0.9
MEAN_EFFORT = 0.5
MEAN_PATIENCE = 2.0
GO_ON = 0.5

TIRED = 1  # the signal of the timer that ends a prospect's patience


class Prospect(cb.Model):
    """One prospect: thinks, asks for a seller, and goes on or not."""

    funnel: cb.Ref[Funnel]

    @cb.process
    def live(self):  # type: ignore[no-untyped-def]
        me = cb.this_process()
        funnel = self.funnel
        won = True
        for _ in range(STAGES):
            cb.hold(cb.random.lognormal(MU, SIGMA))
            asked = cb.now()
            me.timer_set(cb.random.exponential(MEAN_PATIENCE), TIRED)
            if funnel.sellers.acquire() == TIRED:
                funnel.reneged += 1
                won = False
                break
            me.timers_clear()
            funnel.served += 1
            funnel.waited += cb.now() - asked
            cb.hold(cb.random.exponential(MEAN_EFFORT))
            funnel.sellers.release()
            if not cb.random.bernoulli(GO_ON):
                funnel.lost += 1
                won = False
                break
        if won:
            funnel.won += 1
        cb.release(self)


class Funnel(cb.Model):
    """The sellers, where prospects come from, and what is counted."""

    gap: cb.Input[float] = inputs.dist.exponential(mean=1 / ARRIVALS_A_DAY)
    sellers: cb.Resource = cb.Resource(capacity=SELLERS)
    came: int = 0
    won: int = 0
    lost: int = 0
    reneged: int = 0
    served: int = 0
    waited: float = 0.0
    prospects: cb.Output[int]
    wins: cb.Output[int]
    losses: cb.Output[int]
    reneges: cb.Output[int]
    mean_wait: cb.Output[float]
    utilisation: cb.Output[float]

    @cb.process
    def arrivals(self):  # type: ignore[no-untyped-def]
        while True:
            cb.hold(self.gap.next())
            self.came += 1
            cb.spawn(Prospect, funnel=self)

    @cb.on_end
    def count(self):  # type: ignore[no-untyped-def]
        self.prospects = self.came
        self.wins = self.won
        self.losses = self.lost
        self.reneges = self.reneged
        self.mean_wait = self.waited / self.served
        self.utilisation = self.sellers.utilization()


def run(days: float, seed: int) -> dict[str, float]:
    """One trial on this core; its results, with the time that it took."""
    funnel = Funnel()
    experiment = cb.Experiment(funnel, window=cb.Window(duration=days), seed=seed)
    start = time.perf_counter()
    results = experiment.run(workers=1)
    seconds = time.perf_counter() - start
    if results.failed.any():
        raise RuntimeError(f"the trial failed: {results.failure_reasons}")
    counts = ("prospects", "wins", "losses", "reneges", "mean_wait", "utilisation")
    return {"seconds": seconds, **{name: float(getattr(results[funnel], name).values[0, 0]) for name in counts}}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--prospects", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    run(10.0, given.seed)  # compiles
    print(json.dumps({**run(given.prospects / ARRIVALS_A_DAY, given.seed), "events": None}))


if __name__ == "__main__":
    main()
