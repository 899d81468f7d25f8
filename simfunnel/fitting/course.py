"""The course of the hazards that all deals share: how it grew and wandered, and where it may go in the weeks ahead.

In a week in which the deals under watch lead one to expect d exits, y come: Poisson with mean d exp(x). The logarithm x
is a level that grows and wanders (`states`), and each week has luck of its own besides. The filter is that of dynamic
generalised linear models: what is known of a week's rate before it, a gamma distribution, is updated by its count, and
the state follows by linear Bayes (West, Harrison & Migon 1985). So weeks with few exits count for what they are worth.
A count beyond what chance can bring (a clean-up, a bulk booking) counts as the largest or smallest that it can.

Which model holds is not chosen but weighed: each set of phi, shock, slope and weekly luck on a grid counts by the
likelihood of its forecasts of the weeks one by one (negative binomial), and those with a slope start with a quarter of
the belief.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln

from simfunnel.fitting.states import AHEAD, PHIS, SEEN, beliefs, models
from simfunnel.numerics import Floats

_SPREADS = (0.02, 0.05, 0.1, 0.2)  # standard deviations of a wandering logarithm
_STEPS = 0.5  # a weekly step of one that never fades, in these
_SLOPES = (0.0, 0.005, 0.015)  # standard deviations of its weekly growth
_LUCK = (0.0, 0.15, 0.3, 0.5)  # of one week alone
_VAGUE = 1.0  # variance of the level before any week is seen
_LEARN = 8  # weeks that only teach the filter
_LEAST = 0.02  # luck that there always is
_ODD = 4.0  # standard deviations beyond which a count is not chance


def _grid() -> tuple[Floats, Floats, Floats, Floats]:
    """Of each model: phi, the variance of a shock, of the slope, of a week's own luck."""
    wanders = [(0.0, 0.0)]
    wanders += [(phi, sd**2 * (1 - phi**2 if phi < 1 else _STEPS**2)) for phi in PHIS for sd in _SPREADS]
    rows = [(*w, slope**2, luck**2) for slope, luck, w in itertools.product(_SLOPES, _LUCK, wanders)]
    phi, shock, slope, luck = np.array(rows).T
    return phi, shock, slope, luck


_PHI, _SHOCK, _SLOPE, _ALONE = _grid()
_MODELS = models(_PHI, _SHOCK, _SLOPE, _VAGUE)
_BELIEFS = beliefs(_SLOPE)


@dataclass(frozen=True)
class Course:
    """The logarithm of what multiplies a hazard over the weeks ahead, as a normal distribution, and its growth now.

    Attributes:
        level: its mean.
        luck: its standard deviation.
        growth: a week's, as a share: the mean over the models, by how likely each is.
        sloped: how likely it is that there is growth at all.
        weeks: how many weeks told this; 0 if it is assumed.
    """

    level: float
    luck: float
    growth: float
    sloped: float
    weeks: int = 0


def course(seen: Floats, due: Floats, known: float = math.inf) -> Course:
    """What weekly exits seen and expected (oldest first) say of the next `states.AHEAD` weeks.

    `known` is how many exits the expected ones rest on: the doubt that this leaves is that of the chances, and no luck.
    """
    state, spread = np.zeros((len(_BELIEFS), 3)), _MODELS.before
    score = np.log(_BELIEFS)
    told = 0
    for t, (count, d) in enumerate(zip(seen.tolist(), due.tolist(), strict=True)):
        if t:
            state, spread = _MODELS.after(state, spread)
        if d <= 0:
            continue
        told += 1
        reach = spread @ SEEN
        variance, middle = reach @ SEEN + _ALONE, state @ SEEN
        shape = 1 / variance
        rate = np.exp(digamma(shape) - middle)
        y = count
        if told > _LEARN:
            y = _chance(count, d * shape / rate, variance, _shares(score))
            score += gammaln(shape + y) - gammaln(shape) - math.lgamma(y + 1)
            score += shape * np.log(rate / (rate + d)) + y * np.log(d / (rate + d))
        error = digamma(shape + y) - np.log(rate + d) - middle
        taken = 1 - shape / (shape + y)  # of the variance, by this week's count
        gain = reach / variance[:, np.newaxis]
        state = state + gain * error[:, np.newaxis]
        spread = spread - (taken / variance)[:, np.newaxis, np.newaxis] * reach[:, :, np.newaxis] * reach[:, np.newaxis]
    weight = _shares(score)
    mean, variance = _MODELS.mean_ahead(state, spread)
    mean = mean + _ALONE / 2  # weeks' own luck, whose middle is 1, is more in the mean
    level = float(weight @ mean)
    of_all = float(weight @ (variance + _ALONE / AHEAD + (mean - level) ** 2))
    growth = math.expm1(float(weight @ state[:, 1]))
    return Course(level, math.sqrt(max(of_all - 1 / known, _LEAST**2)), growth, float(weight[_SLOPE > 0].sum()), told)


def _shares(score: Floats) -> Floats:
    """How likely each model is, from the logarithms."""
    weight: Floats = np.exp(np.maximum(score - score.max(), -700.0))
    weight /= weight.sum()
    return weight


def _chance(count: float, mean: Floats, variance: Floats, weight: Floats) -> float:
    """A count, or what chance can bring at most or at least, by the models' means and variances of the logarithm."""
    middle = float(weight @ mean)
    spread = math.sqrt(float(weight @ (mean + mean**2 * variance + (mean - middle) ** 2)))
    return min(max(count, middle - _ODD * spread), middle + _ODD * spread)
