"""Two baselines that look at totals alone: the run rate, and exponential smoothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np

from simfunnel.forecasting.baselines.past import WEEK, Draws, Past, bursts, counts, rates, recent, worth
from simfunnel.forecasting.windows import Foreseen, Window
from simfunnel.numerics import Floats

QUARTER, YEAR = 13, 52  # weeks
_FEWEST_WEEKS = 8  # with fewer, weekly totals tell a mean and a spread, no smoothing


def run_rate(past: Past, as_of: date, windows: Sequence[Window], n: int, draws: Draws) -> Foreseen:
    """The run rate: wins go on as in the last 13 weeks, with the bursts of those weeks; each is worth what wins were.

    Drawn are the rate (gamma, by the wins seen), the wins (a gamma mixture of Poisson) and each value.
    """
    totals = {}
    burst = bursts(recent(past.wins))
    for window in windows:
        begin, after = window.days(as_of)
        rng = draws(window.name)
        number = counts(rates(past.wins, n, rng) / WEEK * (after - begin), burst, rng)
        totals[window.name, "wins"] = number.astype(np.float64)
        totals[window.name, "bookings"] = worth(number, past.values, rng)
    return Foreseen(totals, {})


def smoothing(past: Past, as_of: date, windows: Sequence[Window], n: int, draws: Draws) -> Foreseen:
    """Exponential smoothing (ETS) of weekly wins and bookings, with simulated paths.

    Of the level alone, with a damped trend, and with a season of a quarter (from 39 weeks on) or a year (from 130), the
    model with the least corrected AIC. Errors are additive; each path's spread is drawn as badly as it is known.
    """
    weeks = int(max(window.days(as_of)[1] for window in windows) // WEEK) + 1
    totals = {}
    for metric, weekly in (("wins", past.wins), ("bookings", past.bookings)):
        paths = np.maximum(_paths(weekly, weeks, n, draws(metric)), 0.0)
        so_far = np.concatenate([np.zeros((1, n)), np.cumsum(paths, axis=0)])
        for window in windows:
            begin, after = (_at(so_far, day / WEEK) for day in window.days(as_of))
            totals[window.name, metric] = after - begin
    return Foreseen(totals, {})


def _at(so_far: Floats, weeks: float) -> Floats:
    """Running totals after so many weeks, linear within a week."""
    whole = min(int(weeks), len(so_far) - 2)
    part: Floats = so_far[whole] + (weeks - whole) * (so_far[whole + 1] - so_far[whole])
    return part


def _paths(weekly: Floats, weeks: int, n: int, rng: np.random.Generator) -> Floats:
    """Simulated weekly totals, shape (weeks, n); of fewer weeks, they are the first of these."""
    seen = len(weekly)
    if seen < _FEWEST_WEEKS or np.ptp(weekly) == 0:
        if not seen:
            return np.zeros((weeks, n))
        spread = float(weekly.std(ddof=1)) if seen > 1 else float(weekly[0])
        level = weekly.mean() + spread / np.sqrt(seen) * rng.standard_t(max(seen - 1, 1), n)
        return np.asarray(level + spread * rng.standard_normal((weeks, n)))
    scale = float(weekly.std())
    with warnings.catch_warnings():  # a search that stops early gives a model all the same, and the criterion judges it
        warnings.simplefilter("ignore")
        fits = [(fit, parameters) for fit, parameters in _fits(weekly / scale) if np.isfinite(fit.aicc)]
        best, parameters = min(fits, key=lambda pair: pair[0].aicc)
        # Errors of its own, as many as a state-space path needs, with a variance that is itself drawn.
        freedom = max(seen - parameters, 1)
        sd = np.sqrt(float((np.asarray(best.resid) ** 2).sum()) / rng.chisquare(freedom, n))
        errors = rng.standard_normal((weeks, n)) * sd
        paths = best.simulate(weeks, anchor="end", repetitions=n, random_errors=errors)
    return np.asarray(paths, dtype=np.float64).reshape(weeks, n) * scale


def _fits(weekly: Floats) -> Iterator[tuple[Any, int]]:
    """The fitted models, each with the number of its parameters."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    kinds: list[dict[str, Any]] = [{}, {"trend": "add", "damped_trend": True}]
    kinds += [
        {"seasonal": "add", "seasonal_periods": season}
        for season, least in ((QUARTER, 3 * QUARTER), (YEAR, 130))
        if len(weekly) >= least
    ]
    for kind in kinds:
        model = ETSModel(weekly, error="add", **kind)
        fitted = model.fit(disp=False)
        yield fitted, len(fitted.params)
