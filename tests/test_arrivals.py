"""New deals a day: the level, its interval, and the pattern of the week."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simfunnel.fitting.arrivals import WEEKDAYS, fit_arrivals
from simfunnel.fitting.figures import values_of
from simfunnel.fitting.states import AHEAD


def poisson(rate: float, days: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rate, days).astype(float)


def test_a_constant_rate_is_found() -> None:
    counts = poisson(20, 7 * 40, 1)
    rate = fit_arrivals(counts, 0).rate
    assert rate.low < 20 < rate.high
    assert rate.value == pytest.approx(counts.mean(), rel=0.03)


def test_more_weeks_make_the_interval_narrower_until_drift_bounds_it() -> None:
    widths = []
    for weeks in (8, 30, 120):
        rate = fit_arrivals(poisson(20, 7 * weeks, 2), 0).rate
        widths.append(rate.high / rate.low)
    assert widths[0] > widths[1] > widths[2] > 1.02


def test_weeks_that_scatter_more_than_independent_deals_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    steady, bursts = [], []
    for seed in range(10):
        steady.append(fit_arrivals(poisson(20, 280, seed), 0).rate)
        weekly = np.repeat(rng.gamma(4, 5, 40), 7)
        bursts.append(fit_arrivals(rng.poisson(weekly).astype(float), 0).rate)
    width = [np.mean([np.log(r.high / r.low) for r in rates]) for rates in (steady, bursts)]
    assert width[1] > 2 * width[0]


def test_after_a_lasting_change_the_new_level_is_found() -> None:
    counts = np.concatenate([poisson(10, 7 * 20, 4), poisson(30, 7 * 20, 5)])
    rate = fit_arrivals(counts, 0).rate
    assert rate.value == pytest.approx(30, rel=0.1)


def test_a_surge_of_two_weeks_is_not_taken_for_the_future() -> None:
    """In July 2017 of the Maven deals a surge doubled two weeks, and was gone the week after."""
    rng = np.random.default_rng(6)
    weekly = np.full(40, 25.0)
    weekly[[10, 11, 24, 25]] = 50  # surges came and went
    weekly[-2:] = 50
    counts = rng.poisson(np.repeat(weekly, 7)).astype(float)
    rate = fit_arrivals(counts, 0).rate
    assert rate.value < 40
    assert rate.low < 27


def test_days_before_the_first_whole_week_leave_the_level_alone() -> None:
    counts = poisson(20, 7 * 20, 7)
    more = np.concatenate([[500.0, 500.0, 500.0], counts])
    assert fit_arrivals(more, 4).rate == fit_arrivals(counts, 0).rate


def test_a_pattern_of_the_week_is_found_whatever_day_comes_first() -> None:
    pattern = np.array([1.3, 1.2, 1.2, 1.2, 1.1, 0.6, 0.4])
    rng = np.random.default_rng(8)
    for first in range(7):
        day = (first + np.arange(7 * 30)) % 7
        found = fit_arrivals(rng.poisson(15 * pattern[day]).astype(float), first).weekday
        found = values_of(found)
        assert list(found) == list(WEEKDAYS)
        assert np.mean(list(found.values())) == pytest.approx(1.0)
        error = pattern / np.sqrt(30 * 15 * pattern)
        assert np.all(np.abs(np.array(list(found.values())) - pattern) < 4.5 * error)


def test_where_weekdays_differ_by_chance_alone_factors_stay_near_one() -> None:
    none = 0
    for seed in range(40):
        arrivals = fit_arrivals(poisson(5, 7 * 20, 100 + seed), 0)
        none += not arrivals.weekday
        assert all(abs(f - 1) < 0.15 for f in values_of(arrivals.weekday).values())
    assert none >= 15


def test_intervals_of_weekdays_hold_what_is_true() -> None:
    pattern = np.array([1.3, 1.2, 1.2, 1.2, 1.1, 0.6, 0.4])
    rng = np.random.default_rng(9)
    held = []
    for _ in range(60):
        found = fit_arrivals(rng.poisson(np.tile(6 * pattern, 20)).astype(float), 0).weekday
        held += [one.low <= f <= one.high for one, f in zip(found.values(), pattern, strict=True)]
    assert 0.86 < np.mean(held) < 0.97  # 90%, more on quiet days: 420 intervals


def test_intervals_of_months_hold_what_is_true() -> None:
    pattern = np.array([0.8, 0.9, 1.2, 1.0, 1.1, 1.2, 0.8, 0.5, 1.1, 1.2, 1.3, 0.9])
    days = pd.date_range("2021-01-01", periods=3 * 365)
    rng = np.random.default_rng(10)
    held = []
    for _ in range(20):
        counts = rng.poisson(8 * pattern[days.month - 1]).astype(float)
        found = fit_arrivals(counts, days[0].day_of_week, first_day=days[0].date()).season
        held += [one.low <= f <= one.high for one, f in zip(found.values(), pattern / pattern.mean(), strict=True)]
    assert 0.84 < np.mean(held) < 0.97  # 240 intervals


def test_closed_on_sundays() -> None:
    counts = poisson(10, 7 * 20, 9)
    counts[6::7] = 0
    found = values_of(fit_arrivals(counts, 0).weekday)
    assert found["Sun"] < 0.03
    assert found["Mon"] > 1.0


@pytest.mark.parametrize(("days", "count"), [(1, 0), (1, 1), (3, 5), (20, 5), (200, 2)])
def test_little_data_give_a_wide_interval_and_say_so(days: int, count: int) -> None:
    counts = np.zeros(days)
    counts[: min(count, days)] = 1
    counts[0] += count - counts.sum()
    arrivals = fit_arrivals(counts, 2)
    assert 0 < arrivals.rate.low <= arrivals.rate.value <= arrivals.rate.high
    assert arrivals.rate.low <= max(count, 0.5) / days <= arrivals.rate.high
    assert arrivals.rate.high / arrivals.rate.low > 2.5
    assert "too little" in arrivals.assumptions[0]
    assert arrivals.weekday == {}


def test_no_days_is_an_error() -> None:
    with pytest.raises(ValueError, match="no days"):
        fit_arrivals(np.array([]), 0)


def test_a_long_silence_at_the_end_lowers_the_rate() -> None:
    counts = np.concatenate([poisson(10, 7 * 20, 4), np.zeros(7 * 6)])
    rate = fit_arrivals(counts, 0).rate
    assert rate.value < 3
    assert rate.low > 0


def drifting(rng: np.random.Generator, kind: str, weeks: int) -> np.ndarray:
    """Expected counts of each week: constant, in bursts, wandering off for good, or wandering and coming back."""
    if kind == "constant":
        return np.full(weeks, 140.0)
    if kind == "bursts":
        return rng.gamma(2, 70, weeks)
    shocks = 0.06 * rng.standard_normal(weeks)
    level = np.zeros(weeks)
    for t in range(1, weeks):
        level[t] = (1.0 if kind == "off" else 0.8) * level[t - 1] + shocks[t] * (1 if kind == "off" else 2)
    return 140 * np.exp(level)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("constant", 0.9), ("bursts", 0.9), ("back", 0.9), ("off", 0.82)])
def test_interval_covers_the_mean_of_the_coming_weeks(kind: str, least: float) -> None:
    """Nine times in ten; a level that wanders off for good is not always recognised in 40 weeks, so it falls short."""
    sets, hits = 300, 0
    for seed in range(sets):
        rng = np.random.default_rng(5000 + seed)
        weekly = drifting(rng, kind, 40 + AHEAD)
        counts = rng.poisson(np.repeat(weekly[:40] / 7, 7)).astype(float)
        rate = fit_arrivals(counts, 0, seed=seed).rate
        hits += rate.low <= weekly[40:].mean() / 7 <= rate.high
    error = (least * (1 - least) / sets) ** 0.5
    assert hits / sets > least - 3.5 * error, hits / sets
