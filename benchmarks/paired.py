"""What common luck is worth: the variance of a difference, on the same draws and on draws of their own.

Draws belong to the prospect and a purpose, so that a change touches only those whom it concerns. On the benchmark
funnel, 10 against 11 sellers, wins of a year: replication k under one seed shares its draws, under two seeds it does
not. Prints the ratio of the variances of the paired difference, with a 90% interval by bootstrap.

    python benchmarks/paired.py [--replications 400]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import simfunnel as sf

FUNNEL = Path(__file__).with_name("funnel.yaml")


def wins(sellers: int, replications: int, seed: int) -> np.ndarray:
    """The wins of each replication of a year."""
    scenario = sf.load(FUNNEL).override({"horizon": "365 days", "teams.sellers.size": sellers})
    values = sf.run(scenario, replications, seed=seed, workers=2).values("wins", "all")
    return values.to_numpy()[:, 0]


def main() -> None:
    """Print the comparison."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--replications", type=int, default=400)
    n = options.parse_args().replications
    ten, eleven, other = wins(10, n, 1), wins(11, n, 1), wins(11, n, 2)
    same, apart = eleven - ten, other - ten
    luck = np.random.default_rng(1)
    rows = luck.integers(0, n, (2000, n))
    ratios = np.var(apart[rows], axis=1, ddof=1) / np.var(same[rows], axis=1, ddof=1)
    low, high = np.quantile(ratios, [0.05, 0.95])
    for name, found in (("the same draws", same), ("draws of their own", apart)):
        error = found.std(ddof=1) / np.sqrt(n)
        print(f"{name}: {found.mean():+.2f} wins (standard error {error:.2f}), variance {found.var(ddof=1):.1f}")
    print(f"the variance is {apart.var(ddof=1) / same.var(ddof=1):.1f} times smaller (90%: {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
