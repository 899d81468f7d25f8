"""The level of a series of weekly counts, and how far it may go in the weeks ahead.

Weekly counts y are turned into z = 2 sqrt(y + 3/8), whose noise has variance 1 if deals come independently
(Anscombe 1948) and more if they come in bursts. z scatters around a level that grows and wanders (`states`). Which
model of that holds is not chosen but weighed: each set of phi, shock variance and slope variance on a grid counts by
the likelihood of its one-step-ahead forecasts of the history, and those with a slope start with a quarter of belief.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfunnel.fitting.states import AHEAD, PHIS, SEEN, beliefs, models
from simfunnel.numerics import Floats

_RATIOS = (0.03, 0.1, 0.3, 1.0, 3.0)  # variance of a shock over that of the noise
_SLOPES = (0.03, 0.1)  # standard deviation of the weekly slope over that of the noise
_VAGUE = 1e4  # variance of the level before any week is seen
_WANDERS = ((0.0, 0.0), *((phi, q) for phi in PHIS for q in _RATIOS))
_PHI, _SHOCK, _SLOPE = np.array([(phi, q, s**2) for s in (0.0, *_SLOPES) for phi, q in _WANDERS]).T
_MODELS = models(_PHI, _SHOCK, _SLOPE, _VAGUE)
_BELIEFS = beliefs(_SLOPE)


@dataclass(frozen=True)
class Ahead:
    """Draws of the mean number of a week over the weeks ahead, and of the trend.

    Attributes:
        means: of the counts of a week, one a draw.
        growth: of a week over the week before, as a share, one a draw; 0 where the draw has no trend.
    """

    means: Floats
    growth: Floats


def ahead(weeks: Floats, rng: np.random.Generator, draws: int) -> Ahead:
    """What the weekly counts so far (oldest first, at least three) say of the next `AHEAD` weeks."""
    z = 2 * np.sqrt(weeks + 0.375)
    found = _filter(z)
    weights = np.exp(found.score - found.score.max())
    pick = rng.choice(len(weights), draws, p=weights / weights.sum())
    freedom = len(weeks) - 1
    noise = np.maximum(found.noise[pick] * freedom / rng.chisquare(freedom, draws), 1.0)
    spread = noise * found.variance[pick] + (noise - 1) / AHEAD
    reached = np.maximum(found.mean[pick] + rng.standard_normal(draws) * np.sqrt(spread), 0.0)
    slope = found.slope[pick] + rng.standard_normal(draws) * np.sqrt(noise * found.slope_variance[pick])
    return Ahead(np.maximum((reached**2 + noise) / 4 - 0.375, 0.0), 2 * slope / z.mean())


@dataclass(frozen=True)
class _Found:
    """For each model on the grid: the mean of the weeks ahead, the slope now, the noise, and the score.

    Variances of the first two are over the noise's.
    """

    mean: Floats
    variance: Floats
    slope: Floats
    slope_variance: Floats
    noise: Floats
    score: Floats


def _filter(z: Floats) -> _Found:
    """The Kalman filter of every model on the grid at once, and what it says of the mean over the weeks ahead.

    The noise variance of each model is the one that makes its one-step-ahead errors likeliest, at least 1; the score is
    their log-likelihood at it and the model's prior belief. The first week only starts the filter.
    """
    state, spread = np.zeros((len(_BELIEFS), 3)), _MODELS.before
    state[:, 0] = z[0]
    squares, logs = np.zeros(len(_BELIEFS)), np.zeros(len(_BELIEFS))
    for t, value in enumerate(z):
        if t:
            state, spread = _MODELS.after(state, spread)
        seen = spread @ SEEN
        variance = seen @ SEEN + 1
        error = value - state @ SEEN
        if t:
            squares, logs = squares + error**2 / variance, logs + np.log(variance)
        gain = seen / variance[:, np.newaxis]
        state = state + gain * error[:, np.newaxis]
        spread = spread - gain[:, :, np.newaxis] * seen[:, np.newaxis, :]
    n = len(z) - 1
    noise = np.maximum(squares / n, 1.0)
    score = np.log(_BELIEFS) - 0.5 * (n * np.log(noise) + logs + squares / noise)
    mean, variance = _MODELS.mean_ahead(state, spread)
    return _Found(mean, variance, state[:, 1], np.maximum(spread[:, 1, 1], 0.0), noise, score)
