"""New deals: how many a day will come, how sure that is, and the pattern of the week.

Weekly counts y are turned into z = 2 sqrt(y + 3/8), whose noise has variance 1 if deals come independently
(Anscombe 1948) and more if they come in bursts. z scatters around a level that wanders around a mean:

    z_t = mean + wander_t + noise_t,   wander_t = phi wander_(t-1) + shock_t

With phi = 1 this is the local level model, whose best forecast is exponential smoothing; with phi < 1 a surge
fades, and with no shocks the level is constant (Harvey 1989, chapter 4; Durbin & Koopman 2012, chapter 3). Which of
these holds is not chosen but weighed: each pair of phi and shock variance on a grid counts by the likelihood of its
one-step-ahead forecasts of the history. The interval is for the mean rate over the coming weeks: it holds how badly
the level is known, how far it may wander, and the bursts that don't average out. What is left, independent
arrivals, is for the simulation.

Holidays, the days from Christmas to New Year and, with two years or more, months have factors of their own; the level
is that of ordinary days.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from simfunnel.fitting.figures import Estimate, Floats
from simfunnel.fitting.pace import GAIN, Counts, DayEffect, Pace, among, at_year_end, special_days

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
AHEAD = 13  # weeks that the interval is for: a quarter
FEWEST_WEEKS = 6  # with fewer, the level is taken as constant
_PHIS = (0.5, 0.8, 0.9, 0.97, 1.0)
_RATIOS = (0.03, 0.1, 0.3, 1.0, 3.0)  # variance of a shock over that of the noise
_GRID = np.array([(0.0, 0.0), *((phi, q) for phi in _PHIS for q in _RATIOS)])
_VAGUE = 1e4  # variance of the mean before any week is seen
_DRAWS = 4000


@dataclass(frozen=True)
class Arrivals:
    """New deals a day (mean over the week), factors by weekday ({} where all are alike), and how that was found.

    `weeks` are the weekly counts used, oldest first; `special` has the factors of holidays and the year's end, `season`
    those of months (1 to 12).
    """

    rate: Estimate
    weekday: dict[str, float]
    weeks: tuple[int, ...]
    assumptions: tuple[str, ...] = field(default=())
    special: tuple[DayEffect, ...] = ()
    season: dict[int, float] = field(default_factory=dict)


def fit_arrivals(
    daily: Floats,
    first_weekday: int,
    *,
    seed: int = 1,
    first_day: date | None = None,
    holidays: frozenset[date] = frozenset(),
) -> Arrivals:
    """The rate and the weekly pattern from counts of new deals on consecutive days.

    Args:
        daily: new deals on each day that can be trusted, the last day last; at least one day.
        first_weekday: the weekday of the first (0 is Monday).
        seed: of the draws behind the interval.
        first_day: the date of the first; without it nothing is said of holidays, the year's end and months.
        holidays: public holidays, where the country is known.

    Weeks are counted back from the last day, so that each is whole; days before the first whole week serve the weekly
    pattern alone. Raises ValueError for no days.
    """
    if not len(daily):
        raise ValueError("no days")
    full = len(daily) // 7
    days = pd.date_range(first_day, periods=len(daily)) if first_day is not None else None
    ordinary = np.ones(len(daily), dtype=bool) if days is None else ~at_year_end(days) & ~among(days, holidays)
    weekday, words = _weekday_factors(daily, first_weekday, ordinary)
    by_week = np.array([*weekday.values()] or [1.0] * 7)[(first_weekday + np.arange(len(daily))) % 7]
    special, season, factors = _dated(daily, by_week, days, holidays) if days is not None else ((), {}, by_week)
    words += (f"new deals follow the season: {len(season)} months have factors of their own",) if season else ()
    as_seen = daily[len(daily) - 7 * full :].reshape(full, 7).sum(axis=1)
    due = (factors / by_week.mean())[len(daily) - 7 * full :].reshape(full, 7).mean(axis=1)
    weeks = as_seen / np.maximum(due, 0.1) if special or season else as_seen
    rng = np.random.default_rng(seed)
    if full < FEWEST_WEEKS or weeks.sum() < 5:
        rate, said = _constant(daily, rng), _little(full, int(daily.sum()))
    else:
        rate, said = _wandering(weeks, rng)
    return Arrivals(rate, weekday, tuple(int(w) for w in as_seen), (said, *words), special, season)


# --- the level --------------------------------------------------------------------------------------------------------


def _wandering(weeks: Floats, rng: np.random.Generator) -> tuple[Estimate, str]:
    """The rate over the coming weeks where the level may wander."""
    ahead = _filter(2 * np.sqrt(weeks + 0.375))
    weights = np.exp(ahead.score - ahead.score.max())
    pick = rng.choice(len(weights), _DRAWS, p=weights / weights.sum())
    freedom = len(weeks) - 1
    noise = np.maximum(ahead.noise[pick] * freedom / rng.chisquare(freedom, _DRAWS), 1.0)
    spread = noise * ahead.variance[pick] + (noise - 1) / AHEAD
    z = np.maximum(ahead.level[pick] + rng.standard_normal(_DRAWS) * np.sqrt(spread), 0.0)
    rates = np.maximum((z**2 + noise) / 4 - 0.375, 0.0) / 7
    low, middle, high = (float(v) for v in np.quantile(rates, [0.05, 0.5, 0.95]))
    said = (
        f"new deals: {len(weeks)} whole weeks tell the level, which may wander; a day brought {weeks.mean() / 7:.3g} "
        f"in all of them, {weeks[-4:].mean() / 7:.3g} in the last four; the interval is for the mean of the next "
        f"{AHEAD} weeks"
    )
    how = f"wandering level of weekly counts, for the mean of the next {AHEAD} weeks"
    return Estimate(middle, max(low, high / 50), high, how, int(weeks.sum())), said


@dataclass(frozen=True)
class _Ahead:
    """For each model on the grid: mean and variance (over the noise's) of the level ahead, the noise, the score."""

    level: Floats
    variance: Floats
    noise: Floats
    score: Floats


def _filter(z: Floats) -> _Ahead:
    """The Kalman filter of every model on the grid at once, and what it says of the mean level over the weeks ahead.

    The state is (mean, wander). The noise variance of each model is the one that makes its one-step-ahead errors
    likeliest, at least 1; the score is their log-likelihood at it. The first week only starts the filter.
    """
    phi, q = _GRID.T
    steady = np.where(phi < 1, q / np.maximum(1 - phi**2, 1e-9), 0.0)
    mean, wander = np.full(len(phi), float(z[0])), np.zeros(len(phi))
    p_mean, p_both, p_wander = np.full(len(phi), _VAGUE), np.zeros(len(phi)), steady.copy()
    squares, logs = np.zeros(len(phi)), np.zeros(len(phi))
    for t, value in enumerate(z):
        if t:
            wander, p_both, p_wander = phi * wander, phi * p_both, phi**2 * p_wander + q
        spread = p_mean + 2 * p_both + p_wander + 1
        error = value - mean - wander
        if t:
            squares, logs = squares + error**2 / spread, logs + np.log(spread)
        g_mean, g_wander = (p_mean + p_both) / spread, (p_both + p_wander) / spread
        mean, wander = mean + g_mean * error, wander + g_wander * error
        p_mean, p_both, p_wander = (
            p_mean - g_mean**2 * spread,
            p_both - g_mean * g_wander * spread,
            p_wander - g_wander**2 * spread,
        )
    n = len(z) - 1
    noise = np.maximum(squares / n, 1.0)
    score = -0.5 * (n * np.log(noise) + logs + squares / noise)
    weeks = np.arange(AHEAD)
    left = np.array(
        [float(np.mean(f ** (weeks + 1))) for f in phi]
    )  # of today's wander, in the mean of the weeks ahead
    reach = np.array([[float((f ** np.arange(AHEAD - w)).sum()) / AHEAD for w in weeks] for f in phi])  # of each shock
    variance = p_mean + 2 * left * p_both + left**2 * p_wander + q * (reach**2).sum(axis=1)
    return _Ahead(mean + left * wander, variance, noise, score)


def _constant(daily: Floats, rng: np.random.Generator) -> Estimate:
    """The rate where there is too little to see a drift: a constant, its gamma posterior, and half as much again."""
    count, days = float(daily.sum()), len(daily)
    rates = rng.standard_gamma(count + 0.5, _DRAWS) / days * np.exp(0.25 * rng.standard_normal(_DRAWS))
    low, high = (float(v) for v in np.quantile(rates, [0.05, 0.95]))
    middle = (count + 0.5) / days
    return Estimate(
        middle, min(low, middle), max(high, middle), "constant rate; a quarter more or less for drift", int(count)
    )


def _little(weeks: int, count: int) -> str:
    return (
        f"new deals: only {count:,} in {weeks} whole weeks, too little to see a trend; a constant rate, which may be a "
        "quarter off beyond chance"
    )


# --- the week ---------------------------------------------------------------------------------------------------------


def _weekday_factors(
    every: Floats, first_weekday: int, ordinary: np.ndarray
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Factors by weekday with mean 1, shrunk to 1 as far as chance explains their differences; {} if all of it.

    A weekday's factor is its mean count over the mean of all. Its variance by chance is the variance of one day's
    count around its weekday's mean over the number of such days (in units of the mean squared); what the seven
    differ by beyond that is real.
    """
    daily = every[ordinary]
    day = ((first_weekday + np.arange(len(every))) % 7)[ordinary]
    days = np.bincount(day, minlength=7)
    if len(daily) < 14 or daily.sum() < 30 or days.min() < 1:
        return {}, ("new deals: too few to see a pattern of the week",)
    means = np.bincount(day, daily, minlength=7) / days
    average = float(means.mean())
    within = float(((daily - means[day]) ** 2).sum()) / max(len(daily) - 7, 1)
    chance = within / days / average**2
    factors = means / average
    real = max(0.0, float(((factors - 1) ** 2).sum()) / 6 - float(chance.mean()))
    if real <= 0.0:
        return {}, ("new deals: weekdays differ by no more than chance",)
    shrunk = 1 + (factors - 1) * real / (real + chance)
    shrunk /= shrunk.mean()
    return {name: float(f) for name, f in zip(WEEKDAYS, shrunk, strict=True)}, ()


# --- dates ------------------------------------------------------------------------------------------------------------


def _dated(
    daily: Floats, by_week: Floats, days: pd.DatetimeIndex, holidays: frozenset[date]
) -> tuple[tuple[DayEffect, ...], dict[int, float], Floats]:
    """Factors of special days and of months, and the product of all factors on each day."""
    counts = Counts(daily, by_week * daily.sum() / by_week.sum()) if daily.sum() else Counts(daily, by_week)
    week = np.array([by_week[days.day_of_week == k].mean() if (days.day_of_week == k).any() else 1.0 for k in range(7)])
    special = special_days(counts, float(min(week[5:])), days, holidays)
    factors = by_week * Pace({"won": special}, holidays).by_day("won", days)
    season = _season(daily, factors, days)
    if season:
        factors = factors * np.array([season[int(m)] for m in days.month])
    return special, season, factors


def _season(daily: Floats, factors: Floats, days: pd.DatetimeIndex) -> dict[int, float]:
    """Factors of the months with mean 1, if those of other years forecast each year better; {} if not.

    A month is held against the level of the twelve months around it, so that growth is no season.
    """
    if len(days) < 2 * 365:
        return {}
    year = np.ones(365) / 365
    padded = [np.convolve(np.pad(x, 182, mode="reflect"), year, "valid") for x in (daily, factors)]
    due = factors * padded[0] / np.maximum(padded[1], 1e-9)
    counts = Counts(daily, due)
    years, month = np.asarray(days.year), np.asarray(days.month)

    def of(mask: np.ndarray) -> Floats:
        seen, expected = (np.bincount(month[mask], x[mask], 13)[1:] for x in (daily, due))
        real = max(float(((seen - expected) ** 2 - counts.burst * expected).sum() / (expected**2).sum()), 1e-4)
        weight = counts.burst / real
        shrunk: Floats = (seen + weight) / (expected + weight)
        factors_of: Floats = shrunk / shrunk.mean()
        return factors_of

    gain = 0.0
    for k in np.unique(years):
        f = of(years != k)[month - 1][years == k]
        gain += float((daily[years == k] * np.log(f) - due[years == k] * (f - 1)).sum()) / counts.burst
    return {m + 1: float(f) for m, f in enumerate(of(np.ones(len(days), dtype=bool)))} if gain > GAIN else {}
