"""Scores of forecasts that are distributions: how near they came, and whether they are right as often as they say.

A forecast is an ensemble: equally likely draws along the last axis of `sample`. Lower is better for every score here.

Sources: Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and estimation"; Ferro (2014), "Fair
scores for ensemble forecasts"; Wilson (1927) for the interval of a share; Murphy (1973) for the parts of Brier's score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel.numerics import Floats

if TYPE_CHECKING:
    import pandas as pd

BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Edges of the bins of chances; narrow where the chances of single deals are many and small."""


# --- of a distribution ------------------------------------------------------------------------------------------------


def crps(sample: Any, observed: Any) -> Floats:
    """The continuous ranked probability score of ensembles, in the unit of what is forecast.

    The fair estimator, whose mean does not depend on the size n of the ensemble (Ferro 2014; Gneiting & Raftery 2007,
    equation 21, with n (n - 1) in place of n^2):

        mean |x_i - y| - sum_ij |x_i - x_j| / (2 n (n - 1))

    The double sum is taken from the sorted ensemble, in O(n log n). Of a single draw it is the absolute error.

    Args:
        sample: draws along the last axis, shape (..., n).
        observed: what came, shape (...).
    """
    ordered = np.sort(np.asarray(sample, dtype=np.float64), axis=-1)
    n = ordered.shape[-1]
    near = np.abs(ordered - np.asarray(observed, dtype=np.float64)[..., None]).mean(axis=-1)
    ranks = 2.0 * np.arange(1, n + 1) - n - 1
    spread: Floats = (ordered * ranks).sum(axis=-1) / max(n * (n - 1), 1)
    return np.asarray(near - spread)


def pinball(forecast: Any, observed: Any, share: float) -> Floats:
    """The pinball loss of a quantile forecast at `share` (0 to 1), in the unit of what is forecast.

    >>> float(pinball(10.0, 14.0, 0.9)), float(pinball(10.0, 6.0, 0.9))
    (3.6, 0.4)
    """
    above = np.asarray(observed, dtype=np.float64) - np.asarray(forecast, dtype=np.float64)
    return np.maximum(share * above, (share - 1) * above)


def interval(sample: Any, level: float) -> tuple[Floats, Floats]:
    """The central interval of ensembles that holds a share `level` of the draws: its low and high ends."""
    low, high = np.quantile(np.asarray(sample, dtype=np.float64), [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


def covered(sample: Any, observed: Any, level: float) -> np.ndarray:
    """Whether what came lies in the central interval, ends included."""
    low, high = interval(sample, level)
    came = np.asarray(observed, dtype=np.float64)
    return np.asarray((low <= came) & (came <= high))


def pit(sample: Any, observed: Any) -> Floats:
    """The share of the draws below what came, those equal to it counted half (probability integral transform).

    Evenly spread over 0 to 1 where forecasts are calibrated. Never 0 or 1: (below + equal / 2 + 1/2) / (n + 1).
    """
    draws, came = np.asarray(sample, dtype=np.float64), np.asarray(observed, dtype=np.float64)[..., None]
    below, equal = (draws < came).sum(axis=-1), (draws == came).sum(axis=-1)
    return np.asarray((below + equal / 2 + 0.5) / (draws.shape[-1] + 1))


# --- of many forecasts ------------------------------------------------------------------------------------------------


def wilson(hits: float, of: float, level: float = 0.9) -> tuple[float, float]:
    """The interval of a share seen `hits` times in `of` independent cases (Wilson 1927); 0 to 1 where there is none.

    >>> [round(end, 3) for end in wilson(8, 10, 0.95)]
    [0.49, 0.943]
    """
    if of <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = hits / of, z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * float(np.sqrt(share * (1 - share) / of + weight / (4 * of)))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def bias(means: Any, observed: Any) -> float:
    """How far the forecasts' means lie above what came, in all, as a share of it; NaN where nothing came.

    >>> round(bias([11, 22], [10, 20]), 3)
    0.1
    """
    came = float(np.sum(observed))
    return float(np.sum(means) - came) / came if came else float("nan")


def wape(medians: Any, observed: Any) -> float:
    """The weighted absolute percentage error: the sum of |median - what came| over the sum of what came.

    >>> wape([8, 22], [10, 20])
    0.13
    """
    came = float(np.sum(np.abs(observed)))
    missed = float(np.abs(np.asarray(medians, dtype=np.float64) - np.asarray(observed, dtype=np.float64)).sum())
    return missed / came if came else float("nan")


def skill(score: float, reference: float) -> float:
    """The share of a reference's score that is saved: 1 is perfect, 0 no better, below 0 worse.

    >>> skill(75.0, 100.0)
    0.25
    """
    return 1 - score / reference if reference else float("nan")


# --- of chances -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Brier:
    """The mean squared error of chances and its parts: score = reliability - resolution + uncertainty + within.

    `reliability` is how far chances lie from how often it came (0 is best), `resolution` how far the bins lie apart
    (more is better), `uncertainty` what the base rate alone would score, `within` the rest, from chances that differ
    inside a bin. `skill` is against the base rate, known only afterwards.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    cases: int

    @property
    def skill(self) -> float:
        """The share of the base rate's score that is saved."""
        return skill(self.score, self.uncertainty)


def brier(chances: Any, came: Any, bins: Sequence[float] = BINS) -> Brier:
    """Brier's score of chances of things that came (1) or didn't (0), with Murphy's parts by bins.

    Raises ValueError for no cases.
    """
    p, y = np.asarray(chances, dtype=np.float64), np.asarray(came, dtype=np.float64)
    if not len(p):
        raise ValueError("no chances to score")
    where = _bin_of(p, bins)
    counts = np.bincount(where, minlength=len(bins) - 1)
    sure = np.maximum(counts, 1)
    said, seen = (np.bincount(where, x, len(counts)) / sure for x in (p, y))
    base = float(y.mean())
    score = float(((p - y) ** 2).mean())
    reliability = float((counts * (said - seen) ** 2).sum()) / len(p)
    resolution = float((counts * (seen - base) ** 2).sum()) / len(p)
    uncertainty = base * (1 - base)
    within = score - (reliability - resolution + uncertainty)
    return Brier(score, reliability, resolution, uncertainty, within, len(p))


def reliability_table(chances: Any, came: Any, bins: Sequence[float] = BINS) -> pd.DataFrame:
    """How often it came where the chance was said to be so: a row a bin that has cases.

    Columns: low, high (the bin), cases, said (mean chance), seen (share that came), seen_low, seen_high (its 90%
    interval, Wilson; cases of one date share luck, so it is too narrow where there are few dates).
    """
    import pandas as pd

    p, y = np.asarray(chances, dtype=np.float64), np.asarray(came, dtype=np.float64)
    where = _bin_of(p, bins)
    rows = []
    for k in np.unique(where):
        here = where == k
        n, hits = int(here.sum()), float(y[here].sum())
        rows.append((bins[k], bins[k + 1], n, float(p[here].mean()), hits / n, *wilson(hits, n)))
    return pd.DataFrame(rows, columns=["low", "high", "cases", "said", "seen", "seen_low", "seen_high"])


def _bin_of(chances: Floats, bins: Sequence[float]) -> np.ndarray:
    """The bin of each chance; the last holds its upper end too."""
    return np.minimum(np.searchsorted(np.asarray(bins), chances, side="right") - 1, len(bins) - 2)
