"""Fitted numbers with their intervals, and quantile tables that a person can read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
KeyT = TypeVar("KeyT")
Z95 = 1.6448536269514722  # the standard normal's 95% quantile
_GRID = np.linspace(0, 1, 21)
_CANDIDATES = np.unique(np.concatenate([np.linspace(0, 1, 201), [0.001, 0.002, 0.998, 0.999]]).round(4))
_FINE = 2001  # points at which a table is held against what it stands for
_MOST_POINTS = 41
_CLOSE = 0.002  # stop adding points once no share of the mean is further off
_LEAST_CHANCE = 1e-4


@dataclass(frozen=True)
class Estimate:
    """A number, the ends of its central 90% interval, how it was obtained, and from how many cases."""

    value: float
    low: float
    high: float
    how: str = ""
    n: int = 0


Row = tuple[str, float, float, float, str, str, int]
"""A row of the table of fitted numbers: what, estimate, low, high, unit, how, n."""


def as_row(what: str, unit: str, found: Estimate) -> Row:
    """A fitted number as a row of the table."""
    return (what, found.value, found.low, found.high, unit, found.how, found.n)


def chance_estimate(value: float, draws: Floats, how: str, n: int, stretch: float = 1.0) -> Estimate:
    """A chance with its interval from draws, symmetric on the log-odds, so that its median is the chance itself.

    `stretch` multiplies the interval's width, for draws known to be too close together (see `few_groups`).
    """
    low, high = (_logit(float(q)) for q in np.quantile(draws, [0.05, 0.95]))
    middle, half = _logit(value), (high - low) / 2 * stretch
    return Estimate(_expit(middle), _expit(middle - half), _expit(middle + half), how, n)


def factor_estimate(log: float, error: float, how: str, n: int) -> Estimate:
    """A factor from its logarithm and the standard error of that."""
    low, value, high = (math.exp(log + z * error) for z in (-Z95, 0.0, Z95))
    return Estimate(value, low, high, how, n)


def shrunk_factor(value: float, error: float, how: str, n: int) -> Estimate:
    """A factor that may be 0, from the standard error of what is left of its doubt after shrinking."""
    return Estimate(value, max(0.0, value - Z95 * error), value + Z95 * error, how, n)


def values_of(found: Mapping[KeyT, Estimate]) -> dict[KeyT, float]:
    """The numbers themselves."""
    return {key: one.value for key, one in found.items()}


def few_groups(groups: int) -> float:
    """How much wider a 90% interval must be than exponential reweighting of so many groups makes it.

    Exponential weights, scaled to their sum, give a mean the variance s^2 / (g + 1), s^2 with divisor g; unbiased is
    s^2 / (g - 1). And a deviation in terms of an estimated s follows Student's t with g - 1 degrees of freedom.
    """
    return math.sqrt((groups + 1) / (groups - 1)) * float(stdtrit(groups - 1, 0.95)) / Z95


def _logit(chance: float) -> float:
    inside = min(max(chance, _LEAST_CHANCE), 1 - _LEAST_CHANCE)
    return math.log(inside / (1 - inside))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@dataclass(frozen=True)
class QuantileTable:
    """A distribution as quantiles at some shares, linear between them; shares from 0 to 1, values rising."""

    shares: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the piecewise linear quantile function."""
        return float(np.trapezoid(self.values, self.shares))

    def at(self, u: Any) -> Floats:
        """The quantiles at shares u (0 to 1)."""
        quantiles: Floats = np.interp(u, self.shares, self.values)
        return quantiles

    def share_below(self, x: Any) -> Floats:
        """The share of the distribution at or below x."""
        values = np.asarray(self.values)
        inside = np.interp(x, values, np.asarray(self.shares))
        return np.where(np.asarray(x) < values[0], 0.0, np.where(np.asarray(x) >= values[-1], 1.0, inside))

    def scaled(self, factor: float) -> QuantileTable:
        """The distribution of a multiple."""
        return QuantileTable(self.shares, tuple(v * factor for v in self.values))


def quantile_table(shares: Floats, values: Floats) -> QuantileTable:
    """A readable table of 21 to 41 points for a quantile function given at many shares, linear between.

    Starts from every 5%, then adds the share where the table is furthest off, weighted by how wide the gap is,
    until the area between the two is under 0.2% of the mean, or 41 points are reached.
    """
    fine = np.linspace(0, 1, _FINE)
    exact = np.interp(fine, shares, values)
    size = float(np.abs(exact).mean()) or 1.0
    chosen = list(_GRID)
    while len(chosen) < _MOST_POINTS:
        gap = np.abs(exact - np.interp(fine, chosen, np.interp(chosen, shares, values)))
        if float(gap.mean()) < _CLOSE * size:
            break
        pieces = np.searchsorted(chosen, fine, side="right")
        area = np.bincount(pieces, gap, minlength=len(chosen) + 1)
        worst = int(np.argmax(area))
        inside = _CANDIDATES[(chosen[worst - 1] + 1e-9 < _CANDIDATES) & (chosen[worst] - 1e-9 > _CANDIDATES)]
        if not len(inside):
            break
        off = np.interp(inside, fine, gap)
        chosen.append(float(inside[np.argmax(off)]))
        chosen.sort()
    return QuantileTable(tuple(chosen), tuple(float(v) for v in np.interp(chosen, shares, values)))


def data_table(values: Floats) -> QuantileTable:
    """The readable table of a sample, with the sample's own mean.

    Each value stands for an equal share; the sample quantile function is linear between the middles of those shares.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    middles = (np.arange(len(ordered)) + 0.5) / len(ordered)
    table = quantile_table(np.concatenate([[0.0], middles, [1.0]]), ordered[np.r_[0, 0 : len(ordered), -1]])
    factor = float(ordered.mean()) / table.mean if table.mean > 0 else 1.0
    return table.scaled(factor) if abs(factor - 1) > _CLOSE / 2 else table


def sensible(number: float, digits: int = 3) -> float:
    """A number rounded to some significant digits; whole from there on.

    >>> sensible(0.123456), sensible(1234.56), sensible(98765.4, 4)
    (0.123, 1235.0, 98765.0)
    """
    if number == 0 or not math.isfinite(number):
        return number
    places = digits - 1 - math.floor(math.log10(abs(number)))
    return round(number, max(places, 0))


def percent(share: float) -> str:
    """A share as a percentage of three significant digits at most, and at least one decimal where it is small.

    >>> percent(0.5691), percent(0.0123), percent(0.00042), percent(1.0)
    ('56.9%', '1.2%', '0.04%', '100%')
    """
    number = share * 100
    places = 1 if number >= 1 else 2
    return f"{round(number, places):g}%"
