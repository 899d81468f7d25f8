"""How many each one brings: the numbers of referrals, from a column that says who brought whom.

Counts are taken as Poisson, or as negative binomial where some bring far more than others (a gamma-distributed
inclination; Greenwood & Yule 1920), whichever has the better log score on counts left out. Who has had less time has
brought fewer so far: each count then has the mean times the share that comes within its time.
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
        return {"nbinom": {"n": sensible(self.shape), "p": round(self._share(self.mean.value), 4)}}

    def written_with_doubt(self) -> dict[str, Any]:
        """The same with the mean's interval in it, so that each replication draws its own."""
        low, high = max(self.mean.low, self.mean.high / 100), self.mean.high
        if np.isinf(self.shape):
            return {"poisson": f"{sensible(low):g} to {sensible(high):g}"}
        p = f"{self._share(high):.4f} to {self._share(low):.4f}"
        return {"nbinom": {"n": sensible(self.shape), "p": p}}

    def _share(self, mean: float) -> float:
        """The negative binomial's p at a mean."""
        return float(self.shape / (self.shape + mean))


def brought(ids: pd.Series[Any], brought_by: pd.Series[Any]) -> Floats:
    """How many each of `ids` brought, by a column with the id of who brought each (empty for nobody)."""
    return np.asarray(ids.map(brought_by.dropna().value_counts()).fillna(0), dtype=np.float64)


def fit_referrals(counts: Floats, share: Floats | None = None) -> Referrals:
    """The distribution of how many one brings.

    Args:
        counts: how many each has brought.
        share: the share of them that comes within the time that each was watched (0 to 1); all unless given.

    Raises ValueError for no counts, or where nobody was watched.
    """
    if not len(counts):
        raise ValueError("nobody who could bring anyone")
    due: Floats = np.ones(len(counts)) if share is None else share
    if due.sum() <= 0:
        raise ValueError("nobody was watched")
    fold = np.arange(len(counts)) % _FOLDS
    order = np.random.default_rng(1).permutation(len(counts))
    mixed, weights = counts[order], due[order]
    gain = 0.0
    for k in range(_FOLDS):
        learn, test = mixed[fold != k], mixed[fold == k]
        watched, ahead = weights[fold != k], weights[fold == k]
        if len(learn) and len(test) and learn.sum() > 0 and watched.sum() > 0:
            expected = ahead * float(learn.sum() / watched.sum())
            gain += _score(test, expected, _shape(learn, watched)) - _score(test, expected, np.inf)
    shape = _shape(counts, due) if gain > 1.0 else np.inf
    mean, n = float(counts.sum() / due.sum()), len(counts)
    variance = mean if np.isinf(shape) else mean + mean**2 * float((due**2).sum() / due.sum()) / shape
    error = Z95 * float(np.sqrt(max(variance, 1 / n) / due.sum()))
    how = "mean of those who could bring someone"
    kind = "as if by chance alone (Poisson)" if np.isinf(shape) else "some far more than others (negative binomial)"
    said = f"{n:,} prospects brought {int(counts.sum()):,}: {mean:.2f} each, {kind}"
    return Referrals(Estimate(mean, max(mean - error, 0.0), mean + error, how, n), float(shape), (said,))


def _shape(counts: Floats, share: Floats) -> float:
    """The shape of the negative binomial by moments; infinity where counts scatter no more than Poisson ones."""
    expected: Floats = share * (counts.sum() / share.sum())
    n = len(counts)
    beyond = float(((counts - expected) ** 2).sum()) * n / (n - 1) - float(expected.sum()) if n > 1 else 0.0
    shape = float((expected**2).sum()) / beyond if beyond > 0 else np.inf
    return float(shape) if shape < _MOST_EVEN else float(np.inf)


def _score(counts: Floats, mean: Floats, shape: float) -> float:
    """The log score of counts with these means."""
    from scipy.stats import nbinom, poisson

    mean = np.maximum(mean, 1e-9)
    if np.isinf(shape):
        return float(np.sum(poisson.logpmf(counts, mean)))
    return float(np.sum(nbinom.logpmf(counts, shape, shape / (shape + mean))))
