"""How many each one brings: the numbers of referrals, from a column that says who brought whom.

Counts are taken as Poisson, or as negative binomial where some bring far more than others (a gamma-distributed
inclination; Greenwood & Yule 1920), whichever has the better log score on counts left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.fitting.figures import Z95, Estimate, Floats, sensible

_FOLDS = 5
_MOST_EVEN = 1e4  # a shape beyond this is as good as Poisson


@dataclass(frozen=True)
class Referrals:
    """The mean number that one brings with its interval, the shape (infinity for Poisson), and how many were asked."""

    mean: Estimate
    shape: float
    assumptions: tuple[str, ...]

    def written(self) -> dict[str, Any]:
        """The number as a scenario writes it (`refers: {number: ...}`)."""
        if np.isinf(self.shape):
            return {"poisson": sensible(self.mean.value)}
        share = self.shape / (self.shape + self.mean.value)
        return {"nbinom": {"n": sensible(self.shape), "p": round(share, 4)}}


def brought(ids: pd.Series[Any], brought_by: pd.Series[Any]) -> Floats:
    """How many each of `ids` brought, by a column with the id of who brought each (empty for nobody)."""
    return np.asarray(ids.map(brought_by.dropna().value_counts()).fillna(0), dtype=np.float64)


def fit_referrals(counts: Floats) -> Referrals:
    """The distribution of how many one brings. Raises ValueError for no counts."""
    if not len(counts):
        raise ValueError("nobody who could bring anyone")
    fold = np.arange(len(counts)) % _FOLDS
    order = np.random.default_rng(1).permutation(len(counts))
    mixed = counts[order]
    gain = 0.0
    for k in range(_FOLDS):
        learn, test = mixed[fold != k], mixed[fold == k]
        if len(learn) and len(test) and learn.sum() > 0:
            mean = float(learn.mean())
            gain += _score(test, mean, _shape(learn)) - _score(test, mean, np.inf)
    shape = _shape(counts) if gain > 1.0 else np.inf
    mean, n = float(counts.mean()), len(counts)
    variance = mean if np.isinf(shape) else mean + mean**2 / shape
    error = Z95 * float(np.sqrt(max(variance, 1 / n) / n))
    how = "mean of those who could bring someone"
    kind = "as if by chance alone (Poisson)" if np.isinf(shape) else "some far more than others (negative binomial)"
    said = f"{n:,} prospects brought {int(counts.sum()):,}: {mean:.2f} each, {kind}"
    return Referrals(Estimate(mean, max(mean - error, 0.0), mean + error, how, n), float(shape), (said,))


def _shape(counts: Floats) -> float:
    """The shape of the negative binomial by moments; infinity where counts scatter no more than Poisson ones."""
    mean, variance = float(counts.mean()), float(counts.var(ddof=1)) if len(counts) > 1 else 0.0
    shape = mean**2 / (variance - mean) if variance > mean else np.inf
    return float(shape) if shape < _MOST_EVEN else float(np.inf)


def _score(counts: Floats, mean: float, shape: float) -> float:
    """The log score of counts."""
    from scipy.stats import nbinom, poisson

    if np.isinf(shape):
        return float(poisson.logpmf(counts, mean).sum())
    return float(nbinom.logpmf(counts, shape, shape / (shape + mean)).sum())
