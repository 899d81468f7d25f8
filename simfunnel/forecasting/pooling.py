"""A forecast from several: each method's quantiles weigh as much as its past forecasts were good.

A simulation knows the deals, and can be wrong about the business; the run rate knows neither, and can't be far off in a
business that stays as it is. What is averaged are quantiles (Vincent 1912), for an average of distributions would grow
wide where they disagree. Weights begin at a prior and fall exponentially with what a method lost so far (Cesa-Bianchi
& Lugosi 2006, chapter 2), a loss being its CRPS over the mean of all methods' from the same date. Weights by inverse
squared errors (Bates & Granger 1969) were worse: the baselines err alike, and four of them outvote a good simulation.
Nothing that came after an as-of date has a say in its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from simfunnel.forecasting.calibration import calibrate
from simfunnel.numerics import Floats

ALONE = "simulation"
_PRIOR_ALONE = 0.85  # weight of the simulation before anything is known of it; the others share the rest alike
# How fast weights follow losses, and what a loss in another window counts. On fifteen histories rates of 0.1 to 0.4
# differed by 1% of the CRPS; so the quicker one, which finds out sooner that a simulation is wrong. One that is 15%
# worse than four others in four windows weighs a half after 12 dates and a quarter after 20.
_RATE, _ELSEWHERE = 0.4, 0.5


@dataclass(frozen=True)
class Scored:
    """A past forecast once its window was over: the first day after it, each method's CRPS, the pool's lack of spread.

    `needed` is the factor by which the pool had to be wider for its 80% interval to hold what came.
    """

    as_of: date
    after: date
    metric: str
    window: str
    crps: Mapping[str, float]
    needed: float

    @property
    def relative(self) -> dict[str, float]:
        """CRPS over the mean of all methods'."""
        mean = float(np.mean(list(self.crps.values())))
        return {name: score / mean if mean > 0 else 1.0 for name, score in self.crps.items()}


@dataclass
class Track:
    """The track record: all past forecasts whose windows are over, and what follows for the next one."""

    scored: list[Scored] = field(default_factory=list)

    def known(self, as_of: date, metric: str) -> list[Scored]:
        """Those whose outcome was known at the end of a day."""
        return [one for one in self.scored if one.metric == metric and (one.after - as_of).days <= 1]

    def weights(self, as_of: date, metric: str, window: str, methods: Sequence[str]) -> dict[str, float]:
        """Each method's weight; they sum to 1."""
        lost = dict.fromkeys(methods, 0.0)
        for one in self.known(as_of, metric):
            counts = 1.0 if one.window == window else _ELSEWHERE
            losses = one.relative
            for name in methods:
                lost[name] += counts * losses.get(name, 1.0)  # the mean loss, for one that made no forecast then
        least = min(lost.values())
        share = {name: _prior(name, methods) * math.exp(_RATE * (least - loss)) for name, loss in lost.items()}
        total = sum(share.values())
        return {name: one / total for name, one in share.items()}

    def factor(self, as_of: date, metric: str) -> float:
        """By how much the pool's spread is to be widened (see `simfunnel.forecasting.calibration`)."""
        known = self.known(as_of, metric)
        if not known:
            return 1.0
        needed = np.array([one.needed for one in known])
        return calibrate({metric: (needed, np.array([one.as_of.isoformat() for one in known]))}).factor(metric)


def _prior(name: str, methods: Sequence[str]) -> float:
    """The weight of a method before anything is known of it."""
    return _PRIOR_ALONE if name == ALONE else (1 - _PRIOR_ALONE) / max(len(methods) - 1, 1)


def pooled(samples: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The ensemble whose quantiles are the weighted means of the methods', in the order of the simulation's draws.

    Args:
        samples: each method's ensemble, all of one size; that of the simulation among them.
        weights: of each method; they sum to 1.
    """
    alone = samples[ALONE]
    mean = sum((weights[name] * np.sort(sample) for name, sample in samples.items()), np.zeros(len(alone)))
    found = np.empty(len(alone))
    found[np.argsort(alone, kind="stable")] = mean
    return found
