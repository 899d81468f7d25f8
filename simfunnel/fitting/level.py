"""The level of a series of weekly counts, and how far it may go in the weeks ahead.

Weekly counts y are turned into z = 2 sqrt(y + 3/8), whose noise has variance 1 if deals come independently
(Anscombe 1948) and more if they come in bursts. z scatters around a level that grows and wanders:

    z_t = level_t + wander_t + noise_t
    level_t = level_(t-1) + slope_(t-1)
    slope_t = psi slope_(t-1) + turn_t
    wander_t = phi wander_(t-1) + shock_t

With no slope and phi = 1 this is the local level model, whose best forecast is exponential smoothing; with phi < 1 a
surge fades, and with no shocks the level is constant (Harvey 1989, chapter 4; Durbin & Koopman 2012, chapter 3). The
slope is a damped trend (Gardner & McKenzie 1985): growth goes on for a while, not for ever. Which of these holds is not
chosen but weighed: each set of phi, shock variance and slope variance on a grid counts by the likelihood of its
one-step-ahead forecasts of the history, and those with a slope start with a quarter of the belief.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfunnel.numerics import Floats

AHEAD = 13  # weeks that the forecast is for: a quarter
_PHIS = (0.5, 0.8, 0.9, 0.97, 1.0)
_RATIOS = (0.03, 0.1, 0.3, 1.0, 3.0)  # variance of a shock over that of the noise
_SLOPES = (0.03, 0.1)  # standard deviation of the weekly slope over that of the noise
_PSI = 0.97  # of a week's slope that is left in the next: half is gone after 23 weeks
_TREND = 0.25  # the belief in a slope before anything is seen
_VAGUE = 1e4  # variance of the level before any week is seen
_WANDERS = ((0.0, 0.0), *((phi, q) for phi in _PHIS for q in _RATIOS))
_GRID = np.array([(phi, q, s) for s in (0.0, *_SLOPES) for phi, q in _WANDERS])
_SEEN = np.array([1.0, 0.0, 1.0])  # what a week shows of the state (level, slope, wander)


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
    step, shocks, spread = _models()
    state = np.zeros((len(_GRID), 3))
    state[:, 0] = z[0]
    squares, logs = np.zeros(len(_GRID)), np.zeros(len(_GRID))
    for t, value in enumerate(z):
        if t:
            state = np.einsum("mij,mj->mi", step, state)
            spread = step @ spread @ step.transpose(0, 2, 1) + shocks
        seen = spread @ _SEEN
        variance = seen @ _SEEN + 1
        error = value - state @ _SEEN
        if t:
            squares, logs = squares + error**2 / variance, logs + np.log(variance)
        gain = seen / variance[:, np.newaxis]
        state = state + gain * error[:, np.newaxis]
        spread = spread - gain[:, :, np.newaxis] * seen[:, np.newaxis, :]
    n = len(z) - 1
    noise = np.maximum(squares / n, 1.0)
    score = np.log(_beliefs()) - 0.5 * (n * np.log(noise) + logs + squares / noise)
    mean, variance = _mean_ahead(state, spread, step, shocks)
    return _Found(mean, variance, state[:, 1], np.maximum(spread[:, 1, 1], 0.0), noise, score)


def _beliefs() -> Floats:
    """How likely each model is held to be before anything is seen; they sum to 1."""
    sloped = _GRID[:, 2] > 0
    beliefs: Floats = np.where(sloped, _TREND / sloped.sum(), (1 - _TREND) / (~sloped).sum())
    return beliefs


def _models() -> tuple[Floats, Floats, Floats]:
    """Of each model: the matrix of a week's step, the variances of a week's shocks, those before the first week."""
    phi, q, s = _GRID.T
    step, shocks, before = (np.zeros((len(_GRID), 3, 3)) for _ in range(3))
    step[:, 0, 0] = step[:, 0, 1] = 1.0
    step[:, 1, 1], step[:, 2, 2] = _PSI, phi
    shocks[:, 1, 1], shocks[:, 2, 2] = s**2 * (1 - _PSI**2), q
    before[:, 0, 0], before[:, 1, 1] = _VAGUE, s**2
    before[:, 2, 2] = np.where(phi < 1, q / np.maximum(1 - phi**2, 1e-9), 0.0)
    return step, shocks, before


def _mean_ahead(state: Floats, spread: Floats, step: Floats, shocks: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the mean of what the weeks ahead show, but for their noise."""
    reach = [np.tile(_SEEN, (len(state), 1))]  # of the state, in what a week shows so many weeks later
    for _ in range(AHEAD):
        reach.append(np.einsum("mi,mij->mj", reach[-1], step))
    whole = np.sum(reach[1:], axis=0) / AHEAD
    mean = np.einsum("mi,mi->m", whole, state)
    variance = np.einsum("mi,mij,mj->m", whole, spread, whole)
    for week in range(AHEAD):  # a week's shock is in all weeks from it on
        left = np.sum(reach[: AHEAD - week], axis=0) / AHEAD
        variance = variance + np.einsum("mi,mij,mj->m", left, shocks, left)
    return mean, variance
