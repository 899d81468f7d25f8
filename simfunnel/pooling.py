"""A forecast from several: each method's quantiles weigh as much as its past forecasts were good.

A simulation knows the deals, and can be wrong about the business; the run rate knows neither, and can't be far off in a
business that stays as it is. What is averaged are quantiles (Vincent 1912), for an average of distributions would grow
wide where they disagree. Weights go by the inverse of mean squared errors (Bates & Granger 1969), errors being CRPS
relative to the mean of all methods from the same date; a few imagined past dates keep them near the prior while there
are few real ones. Nothing that came after an as-of date has a say in its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from simfunnel.calibration import calibrate
from simfunnel.numerics import Floats

ALONE = "simulation"
# Squared relative error of the simulation before anything is known of it; that of others is 1. With four others it so
# weighs two thirds. On six histories (a reseller's, two of leads, three logs) 0.06 to 0.25 differed by 1% of the CRPS.
_PRIOR_ALONE = 0.12
# Past dates that the prior counts for, and for one window those of all windows together. On thirteen histories 4 were
# 1% worse than 12 or 16, in wins and bookings and in every window: few dates make weights noisy.
_IMAGINED = 12.0


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
        known = [one.relative for one in self.known(as_of, metric)]
        here = [one.relative for one in self.known(as_of, metric) if one.window == window]
        error = {}
        for name in methods:
            prior = _PRIOR_ALONE if name == ALONE else 1.0
            overall = _mean_square([one[name] for one in known if name in one], prior)
            error[name] = _mean_square([one[name] for one in here if name in one], overall)
        total = sum(1 / e for e in error.values())
        return {name: 1 / e / total for name, e in error.items()}

    def factor(self, as_of: date, metric: str) -> float:
        """By how much the pool's spread is to be widened (see `simfunnel.calibration`)."""
        known = self.known(as_of, metric)
        if not known:
            return 1.0
        needed = np.array([one.needed for one in known])
        return calibrate({metric: (needed, np.array([one.as_of.isoformat() for one in known]))}).factor(metric)


def _mean_square(errors: Sequence[float], prior: float) -> float:
    """The mean square of errors, of which a few more are imagined at a prior mean square."""
    return (float(np.sum(np.square(errors))) + _IMAGINED * prior) / (len(errors) + _IMAGINED)


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
