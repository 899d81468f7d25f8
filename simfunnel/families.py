"""The usual families of distributions without `scipy.stats`, whose import alone takes most of a second.

Each answers what `distributions` asks of a family of scipy's, by the same functions of `scipy.special`, so that every
number is the same to the last bit (`tests/test_families.py`). All other families come from scipy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

Of = Callable[..., Any]


@dataclass(frozen=True)
class Family:
    """A family with at most one shape; each function takes its argument, if it has one, and then the shape."""

    shapes: str | None
    a: float
    """The lower end."""
    ppf_of: Of
    isf_of: Of
    """The inverse of the survival function."""
    moments: Of
    """Mean and variance."""
    cdf_of: Of | None = None
    sf_of: Of | None = None
    is_discrete: bool = False

    def mean(self, **shape: float) -> float:
        """The mean of the standard member."""
        return float(self.moments(**shape)[0]) if _is_right(shape) else math.nan

    def std(self, **shape: float) -> float:
        """The standard deviation of the standard member."""
        return float(np.sqrt(self.moments(**shape)[1])) if _is_right(shape) else math.nan

    def ppf(self, q: Any, **shape: float) -> Any:
        """The quantile of the standard member."""
        return self(**shape).ppf(q)

    def __call__(self, loc: float = 0.0, scale: float = 1.0, **shape: float) -> Member:
        """A member of the family."""
        return Member(self, loc, scale, shape)


@dataclass(frozen=True)
class Member:
    """A distribution, as scipy has it when its parameters are frozen."""

    dist: Family
    loc: float
    scale: float
    shape: dict[str, float]

    def support(self) -> tuple[float, float]:
        """Its two ends; the upper one is not asked for."""
        return self.dist.a * self.scale + self.loc, math.nan

    def ppf(self, q: Any) -> Any:
        """The quantile; NaN where there is no such distribution."""
        return self._at(self.dist.ppf_of, q)

    def isf(self, q: Any) -> Any:
        """The value that is exceeded with chance q."""
        return self._at(self.dist.isf_of, q)

    def cdf(self, x: Any) -> Any:
        """The chance of at most x."""
        assert self.dist.cdf_of is not None
        return self.dist.cdf_of((x - self.loc) / self.scale, *self.shape.values())

    def sf(self, x: Any) -> Any:
        """The chance of more than x."""
        assert self.dist.sf_of is not None
        return self.dist.sf_of((x - self.loc) / self.scale, *self.shape.values())

    def _at(self, function: Of, q: Any) -> Any:
        q = np.asarray(q, dtype=np.float64)
        if not _is_right(self.shape):
            return np.full(q.shape, math.nan)[()]
        found = function(q, *self.shape.values())
        return (found + self.loc if self.dist.is_discrete else found * self.scale + self.loc)[()]


def _is_right(shape: dict[str, float]) -> bool:
    return all(value > 0 for value in shape.values())


@cache
def usual() -> dict[str, Family]:
    """The families that are here, by scipy's names."""
    from scipy import special as sc

    def lognormal(s: float) -> tuple[Any, Any]:
        p = np.exp(s * s)
        return np.sqrt(p), p * (p - 1)

    def weibull(c: float) -> tuple[Any, Any]:
        mean = sc.gamma(1.0 + 1 * 1.0 / c)
        return mean, sc.gamma(1.0 + 2 * 1.0 / c) - mean * mean

    def poisson(q: Any, mu: float) -> Any:
        above = np.ceil(sc.pdtrik(q, mu))
        below = np.maximum(above - 1, 0)
        return np.where(sc.pdtr(below, mu) >= q, below, above)

    return {
        "expon": Family(None, 0.0, lambda q: -sc.log1p(-q), lambda q: -np.log(q), lambda: (1.0, 1.0)),
        "gamma": Family(
            "a", 0.0, lambda q, a: sc.gammaincinv(a, q), lambda q, a: sc.gammainccinv(a, q), lambda a: (a, a)
        ),
        "lognorm": Family(
            "s", 0.0, lambda q, s: np.exp(s * sc.ndtri(q)), lambda q, s: np.exp(s * -sc.ndtri(q)), lognormal
        ),
        "norm": Family(None, -math.inf, sc.ndtri, lambda q: -sc.ndtri(q), lambda: (0.0, 1.0), sc.ndtr),
        "uniform": Family(None, 0.0, lambda q: q, lambda q: 1.0 - q, lambda: (0.5, 1.0 / 12)),
        "weibull_min": Family(
            "c", 0.0, lambda q, c: pow(-sc.log1p(-q), 1.0 / c), lambda q, c: (-np.log(q)) ** (1 / c), weibull
        ),
        "poisson": Family(
            "mu",
            0.0,
            poisson,
            lambda q, mu: poisson(1.0 - q, mu),
            lambda mu: (mu, mu),
            lambda x, mu: sc.pdtr(np.floor(x), mu),
            lambda x, mu: sc.pdtrc(np.floor(x), mu),
            is_discrete=True,
        ),
    }


NAMES = ("expon", "gamma", "lognorm", "norm", "uniform", "weibull_min", "poisson")


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes its sign between two places is 0, to 13 digits: Brent's method.

    Raises RuntimeError where it takes more than 100 steps.

    Source: Brent, "Algorithms for Minimization without Derivatives", 1973, chapter 4, in the form of scipy's `brentq`.
    """
    tolerance = 1e-13
    before, now, f_before, f_now = low, high, function(low), function(high)
    block, f_block, step, last = before, f_before, 0.0, 0.0
    if f_before == 0:
        return before
    for _ in range(100):
        if f_now == 0:
            return now
        if f_before != 0 and (f_before < 0) != (f_now < 0):
            block, f_block, step = before, f_before, now - before
            last = step
        if abs(f_block) < abs(f_now):
            before, now, block = now, block, now
            f_before, f_now, f_block = f_now, f_block, f_now
        least, half = (tolerance + tolerance * abs(now)) / 2, (block - now) / 2
        if abs(half) < least:
            return now
        last, step = _next_step(before, now, block, (f_before, f_now, f_block), (last, step), least)
        before, f_before = now, f_now
        now += step if abs(step) > least else math.copysign(least, half)
        f_now = function(now)
    raise RuntimeError("no root was found")


def _next_step(
    before: float,
    now: float,
    block: float,
    values: tuple[float, float, float],
    steps: tuple[float, float],
    least: float,
) -> tuple[float, float]:
    """The last step and the next one: by interpolation where it is short, else half of the way."""
    (f_before, f_now, f_block), (last, step), half = values, steps, (block - now) / 2
    if abs(last) <= least or abs(f_now) >= abs(f_before):
        return half, half
    if before == block:
        tried = -f_now * (now - before) / (f_now - f_before)
    else:
        to_before, to_block = (f_before - f_now) / (before - now), (f_block - f_now) / (block - now)
        tried = -f_now * (f_block * to_block - f_before * to_before) / (to_block * to_before * (f_block - f_before))
    if 2 * abs(tried) < min(abs(last), 3 * abs(half) - least):
        return step, tried
    return half, half
