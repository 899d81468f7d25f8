"""Whether intervals hold as often as they say on the history itself, and by how much to widen them if not.

Spreads are compared on the scale of the square root: there the spread of a count, or of a sum of many values, hardly
depends on its size (Anscombe 1948), so that one factor serves windows of all lengths; nothing falls below zero, and
zero itself has a place, which it has not on the logarithm. Only what is still to come at the as-of date is widened:
what was won is known.

For each past outcome y there is a factor with which it just falls into the 80% interval:
c = |sqrt y - sqrt P50| / |sqrt P - sqrt P50|, P being P90 above the median and P10 below. The factor wanted is their
80% quantile, among them those of a few imagined dates on which the spread was right: from few dates a quantile is
mostly luck. Without them, raised as split conformal prediction would (Lei et al. 2018), the factor from four dates is
the greatest c of all; on fourteen histories that held 3% more outcomes and cost 5% of the CRPS. The factor's interval
comes from resampling whole dates, for outcomes foreseen on one date share their luck; dates near one another share
some too, so it is still a little narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from simfunnel.forecasting.scores import interval
from simfunnel.numerics import Floats

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.8
FEWEST_DATES = 4
_IMAGINED = 4.0  # dates on which the spread was right
_RIGHT = np.abs(ndtri((np.arange(200) + 0.5) / 200)) / ndtri((1 + LEVEL) / 2)  # their c
_MOST = 10.0  # a factor beyond that says that the forecast is wrong, not narrow
_DRAWS = 400


@dataclass(frozen=True)
class Spread:
    """How wide one metric's forecasts were, and how wide they should be.

    `covered` is the share of outcomes in the 80% interval; `wanted` the factor with which it would hold 80%, `low` and
    `high` its 90% interval; `factor` the one to apply; `covered_then` the share covered with factors that each date's
    outcomes had no part in.
    """

    metric: str
    dates: int
    outcomes: int
    covered: float
    wanted: float
    low: float
    high: float
    factor: float
    covered_then: float


@dataclass(frozen=True)
class Calibration:
    """The factors by which spreads are to be multiplied, one a metric."""

    spreads: tuple[Spread, ...]

    def factor(self, metric: str) -> float:
        """The factor of a metric; 1 where nothing is known of it."""
        return next((s.factor for s in self.spreads if s.metric == metric), 1.0)

    def sentences(self) -> tuple[str, ...]:
        """What was found and what is done, a sentence or two a metric."""
        return tuple(_in_words(spread) for spread in self.spreads)

    def to_frame(self) -> pd.DataFrame:
        """A row a metric; columns as in `Spread`."""
        import pandas as pd

        return pd.DataFrame([asdict(spread) for spread in self.spreads])


def stretch_needed(sample: Any, observed: Any) -> Floats:
    """The factor by which ensembles must be widened for their 80% interval to reach what came.

    Args:
        sample: draws along the last axis, shape (..., n); not below 0.
        observed: what came, shape (...).
    """
    root, came = np.sqrt(np.asarray(sample, dtype=np.float64)), np.sqrt(np.asarray(observed, dtype=np.float64))
    low, high = interval(root, LEVEL)
    middle = np.median(root, axis=-1)
    off = np.abs(came - middle)
    half = np.where(came > middle, high - middle, middle - low)
    return np.where(off <= 1e-9, 0.0, np.minimum(off / np.maximum(half, 1e-9), _MOST))


def widened(sample: Any, factor: float) -> Floats:
    """Ensembles with their spread around the median multiplied by a factor, on the scale of the square root.

    >>> widened([100.0, 121.0, 144.0], 2.0).tolist()
    [81.0, 121.0, 169.0]
    """
    root = np.sqrt(np.asarray(sample, dtype=np.float64))
    middle = np.median(root, axis=-1, keepdims=True)
    return np.asarray(np.maximum(middle + factor * (root - middle), 0.0) ** 2)


def calibrate(stretches: Mapping[str, tuple[Floats, Any]]) -> Calibration:
    """The calibration from past outcomes.

    Args:
        stretches: for each metric `stretch_needed` of every outcome, and the date from which it was forecast.
    """
    return Calibration(tuple(_spread(name, needed, np.asarray(dates)) for name, (needed, dates) in stretches.items()))


def _spread(metric: str, needed: Floats, dates: np.ndarray) -> Spread:
    names, which = np.unique(dates, return_inverse=True)
    groups = [needed[which == k] for k in range(len(names))]
    low, high = _ends(groups)
    others = [groups[:k] + groups[k + 1 :] for k in range(len(groups))]
    then = [group <= _decided(rest) for group, rest in zip(groups, others, strict=True)]
    return Spread(
        metric=metric,
        dates=len(groups),
        outcomes=len(needed),
        covered=float(np.mean(needed <= 1.0)),
        wanted=_wanted(groups),
        low=low,
        high=high,
        factor=_decided(groups),
        covered_then=float(np.mean(np.concatenate(then))),
    )


def _wanted(groups: Sequence[Floats]) -> float:
    """The factor with which the outcomes of these dates are covered as often as they should be."""
    needed = np.concatenate(groups)
    imagined = _IMAGINED / len(groups) * len(needed)  # outcomes, as many a date as there are
    both = np.concatenate([needed, _RIGHT])
    weights = np.concatenate([np.ones(len(needed)), np.full(len(_RIGHT), imagined / len(_RIGHT))])
    return float(np.quantile(both, LEVEL, weights=weights, method="inverted_cdf"))


def _ends(groups: Sequence[Floats]) -> tuple[float, float]:
    """The 90% interval of that factor, from dates drawn with replacement."""
    rng = np.random.default_rng(len(groups))
    draws = [_wanted([groups[k] for k in rng.integers(len(groups), size=len(groups))]) for _ in range(_DRAWS)]
    low, high = np.quantile(draws, [0.05, 0.95])
    return float(low), float(high)


def _decided(groups: Sequence[Floats]) -> float:
    """The factor to apply: none from too few dates; what widens as found; what narrows only so far as it is sure."""
    if len(groups) < FEWEST_DATES:
        return 1.0
    wanted = _wanted(groups)
    return wanted if wanted >= 1 else min(_ends(groups)[1], 1.0)


def _in_words(spread: Spread) -> str:
    said = (
        f"{spread.metric}: before it is widened or narrowed, the 80% interval held {spread.covered:.0%} of "
        f"{spread.outcomes} outcomes forecast from {spread.dates} dates"
    )
    if spread.dates < FEWEST_DATES:
        return f"{said}; that is too few dates to say whether intervals are right (at least {FEWEST_DATES})"
    sure = f"90% interval {spread.low:.2f} to {spread.high:.2f}"
    if spread.factor == 1:
        return f"{said}; {spread.wanted:.2f} times the spread would hold 80% ({sure}), so it is left as it is"
    what = "widen" if spread.factor > 1 else "narrow"
    return (
        f"{said}; to {what} it {spread.factor:.2f} times ({sure}) is the middle way between that and a right spread, "
        f"which counts for {_IMAGINED:.0f} dates; with a factor found so from the other dates it holds "
        f"{spread.covered_then:.0%}"
    )
