"""New deals: how many a day will come, how sure that is, and the pattern of the week.

The level of the weekly counts may grow, wander and burst (see `level`). The interval is for the mean rate over the
coming weeks: it holds how badly the level is known, how far it may go, and the bursts that don't average out. What is
left, independent arrivals, is for the simulation.

Holidays, the days from Christmas to New Year and, with two years or more, months have factors of their own; the level
is that of ordinary days.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from simfunnel.fitting import level
from simfunnel.fitting.figures import Estimate, Floats, shrunk_factor, values_of
from simfunnel.fitting.pace import GAIN, Counts, DayEffect, Pace, among, at_year_end, special_days
from simfunnel.fitting.states import AHEAD

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FEWEST_WEEKS = 6  # with fewer, the level is taken as constant
_DRAWS = 4000


@dataclass(frozen=True)
class Arrivals:
    """New deals a day (mean over the week), factors by weekday ({} where all are alike), and how that was found.

    `weeks` are the weekly counts used, oldest first; `special` has the factors of holidays and the year's end, `season`
    those of months (1 to 12).
    """

    rate: Estimate
    weekday: dict[str, Estimate]
    weeks: tuple[int, ...]
    assumptions: tuple[str, ...] = field(default=())
    special: tuple[DayEffect, ...] = ()
    season: dict[int, Estimate] = field(default_factory=dict)


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
    by_week = np.array([*values_of(weekday).values()] or [1.0] * 7)[(first_weekday + np.arange(len(daily))) % 7]
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


def unseen_arrivals(loaded_on: tuple[date, date]) -> Arrivals:
    """No new deals, where all that are known were loaded at once: nothing tells how many come."""
    first, last = loaded_on
    days = f"on {first}" if first == last else f"from {first} to {last}"
    said = (
        f"new deals: all were loaded {days}, so how many come can't be seen and none are expected: the forecast is of "
        "the open deals alone (write their rate into the scenario if you know it)"
    )
    return Arrivals(Estimate(0.0, 0.0, 0.0, "not seen: all deals were loaded at once", 0), {}, (), (said,))


# --- the level --------------------------------------------------------------------------------------------------------


def _wandering(weeks: Floats, rng: np.random.Generator) -> tuple[Estimate, str]:
    """The rate over the coming weeks where the level may go up, down and to and fro."""
    found = level.ahead(weeks, rng, _DRAWS)
    low, middle, high = (float(v) for v in np.quantile(found.means / 7, [0.05, 0.5, 0.95]))
    said = (
        f"new deals: {len(weeks)} whole weeks tell the level, which may wander; a day brought {weeks.mean() / 7:.3g} "
        f"in all of them, {weeks[-4:].mean() / 7:.3g} in the last four; {_trend(found.growth)}the interval is for the "
        f"mean of the next {AHEAD} weeks"
    )
    how = f"level and trend of weekly counts, for the mean of the next {AHEAD} weeks"
    return Estimate(middle, max(low, high / 50), high, how, int(weeks.sum())), said


def _trend(growth: Floats) -> str:
    """What to say of a trend, where it is likelier than not that there is one."""
    if np.mean(growth != 0.0) <= 0.5:
        return ""
    low, middle, high = np.quantile(growth, [0.05, 0.5, 0.95])
    return f"lately they changed by {middle:+.1%} a week ({low:+.1%} to {high:+.1%}), which is taken to fade; "


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
) -> tuple[dict[str, Estimate], tuple[str, ...]]:
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
    error = np.sqrt(chance * real / (real + chance))
    total = np.bincount(day, daily, minlength=7)
    return {
        name: shrunk_factor(float(f / shrunk.mean()), float(e), "mean of that day, shrunk", int(n))
        for name, f, e, n in zip(WEEKDAYS, shrunk, error, total, strict=True)
    }, ()


# --- dates ------------------------------------------------------------------------------------------------------------


def _dated(
    daily: Floats, by_week: Floats, days: pd.DatetimeIndex, holidays: frozenset[date]
) -> tuple[tuple[DayEffect, ...], dict[int, Estimate], Floats]:
    """Factors of special days and of months, and the product of all factors on each day."""
    counts = Counts(daily, by_week * daily.sum() / by_week.sum()) if daily.sum() else Counts(daily, by_week)
    week = np.array([by_week[days.day_of_week == k].mean() if (days.day_of_week == k).any() else 1.0 for k in range(7)])
    special = special_days(counts, float(min(week[5:])), days, holidays)
    factors = by_week * Pace({"won": special}, holidays).by_day("won", days)
    season = _season(daily, factors, days)
    if season:
        factors = factors * np.array([season[int(m)].value for m in days.month])
    return special, season, factors


def _season(daily: Floats, factors: Floats, days: pd.DatetimeIndex) -> dict[int, Estimate]:
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
    if gain <= GAIN:
        return {}
    found = of(np.ones(len(days), dtype=bool))
    seen = np.bincount(month, daily, 13)[1:]
    error = found * np.sqrt(counts.times(found[month - 1]).burst / np.maximum(seen, 1.0))
    how, each = "over the year around it, shrunk", zip(found, error, seen, strict=True)
    return {m: shrunk_factor(float(f), float(e), how, int(n)) for m, (f, e, n) in enumerate(each, 1)}
