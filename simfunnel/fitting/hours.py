"""Hours of work as a distribution: some measured, some not ended yet, written as briefly as they allow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr

from simfunnel.fitting.figures import Z95, Estimate, Floats, QuantileTable, data_table, factor_estimate, quantile_table
from simfunnel.fitting.figures import sensible as rounded

_ALIKE = 0.02  # of the mean: hours that spread less are one number
_FITS = 0.9  # the largest gap between a family and the data, times the root of their number (Kolmogorov-Smirnov)


@dataclass(frozen=True)
class Hours:
    """A distribution of hours: its mean, its coefficient of variation, and how a scenario writes it."""

    mean: Estimate
    cv: float
    written: Any


def fit_hours(hours: Floats, done: NDArray[np.bool_], factor: float = 1.0) -> Hours:
    """The distribution of hours of work, each times `factor`; those not `done` had more to come (censored).

    At least one is done.
    """
    table = _censored(hours * factor, done) if not done.all() else data_table(hours * factor)
    sample = np.asarray(table.at((np.arange(2000) + 0.5) / 2000)) if not done.all() else hours * factor
    n = int(done.sum())
    mean = float(sample.mean())
    cv = float(sample.std(ddof=1)) / mean if mean > 0 else 0.0
    how = "hours of tasks on the calendar, shared among those in hand at once"
    estimate = factor_estimate(math.log(max(mean, 1e-6)), cv / math.sqrt(max(n, 1)), how, n)
    return Hours(estimate, cv, _written(np.sort(sample), n, estimate, cv, table))


def _censored(hours: Floats, done: NDArray[np.bool_]) -> QuantileTable:
    """The Kaplan-Meier curve as a table; what is left after the longest that ended is as long as that."""
    from scipy.stats import CensoredData, ecdf

    curve = ecdf(CensoredData(uncensored=hours[done], right=hours[~done])).cdf
    measured = curve.quantiles <= hours[done].max()
    shares = np.concatenate([[0.0], curve.probabilities[measured], [1.0]])
    values = curve.quantiles[measured]
    return quantile_table(shares, np.concatenate([values[:1], values, values[-1:]]))


def _written(sample: Floats, n: int, mean: Estimate, cv: float, table: QuantileTable) -> Any:
    """A number, a family where it fits, or the quantiles."""
    spread = float(np.quantile(sample, 0.9) - np.quantile(sample, 0.1))
    if spread <= _ALIKE * mean.value:
        return effort(mean.value)
    steps = np.arange(len(sample) + 1) / len(sample)
    gaps = {}
    for name, share_below in _families(mean.value, cv).items():
        below = share_below(sample)
        gaps[name] = float(np.maximum(steps[1:] - below, below - steps[:-1]).max())
    plain = gaps["exponential"] * math.sqrt(n) <= _FITS
    best = "exponential" if plain else min(gaps, key=lambda name: gaps[name])
    if gaps[best] * math.sqrt(n) > _FITS:
        return {"quantiles": {f"{s * 100:.4g}%": effort(x) for s, x in zip(table.shares, table.values, strict=True)}}
    low, high = effort(mean.low), effort(mean.high)
    said = low if low == high else f"{low} to {high}"
    return {best: said} if best == "exponential" else {best: {"mean": said, "cv": round(cv, 2)}}


def _families(mean: float, cv: float) -> dict[str, Callable[[Floats], Floats]]:
    """The share below, of each family with this mean and coefficient of variation."""
    sd = math.sqrt(math.log1p(cv**2))
    return {
        "exponential": lambda x: -np.expm1(-x / mean),
        "gamma": lambda x: gammainc(cv**-2, x / (mean * cv**2)),
        "lognormal": lambda x: ndtr((np.log(np.maximum(x, 1e-12) / mean) + sd**2 / 2) / sd),
    }


def effort(hours: float) -> str:
    """Work as the scenario writes it.

    >>> effort(0.4699), effort(2.51), effort(0.0)
    ('28.2 min', '2.51 h', '0 min')
    """
    return f"{rounded(hours):g} h" if hours >= 2 else f"{rounded(60 * max(hours, 0.0)):g} min"


def weekly(values: Floats, weights: Floats, when: Floats, how: str) -> Estimate:
    """The mean of values, each with a weight, and its interval from how weeks differ (neighbours share their luck)."""
    total = float(weights.sum())
    mean = float((values * weights).sum()) / total if total > 0 else 0.0
    week = np.floor(when / 7).astype(np.int64)
    week -= week.min(initial=0)
    by_week = np.bincount(week, weights * (values - mean))
    count = int((np.bincount(week, weights) > 0).sum())
    error = math.sqrt(float((by_week**2).sum()) * count / max(count - 1, 1)) / total if total > 0 else 0.0
    return Estimate(mean, max(mean - Z95 * error, 0.0), mean + Z95 * error, how, len(values))
