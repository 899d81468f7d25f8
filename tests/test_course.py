"""The course of shared hazards: its filter against an exact answer, growth, and how often intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from simfunnel.fitting import course as by_course
from simfunnel.fitting.course import Course, course
from simfunnel.fitting.states import AHEAD

WEEKS = 52
DUE = 20.0


def found(path: np.ndarray, seed: int, due: float = DUE) -> tuple[Course, float]:
    """The course of counts whose hazards follow `path`, and the true logarithm over the weeks ahead."""
    counts = np.random.default_rng(seed).poisson(due * np.exp(path[:WEEKS])).astype(float)
    return course(counts, np.full(WEEKS, due)), float(np.log(np.exp(path[WEEKS : WEEKS + AHEAD]).mean()))


def wandering(kind: str, rng: np.random.Generator) -> np.ndarray:
    """The logarithm by week of a hazard that stays, grows, jumps, wanders, or fades back."""
    weeks = np.arange(WEEKS + AHEAD)
    if kind == "steady":
        return np.zeros(len(weeks))
    if kind == "grows":
        return 0.01 * (weeks - WEEKS / 2)
    if kind == "jumps":
        return 0.5 * (weeks > rng.integers(10, 45))
    steps = rng.standard_normal(len(weeks)) * 0.05
    if kind == "wanders":
        return np.cumsum(steps)
    surge = np.zeros(len(weeks))
    for t in range(1, len(weeks)):
        surge[t] = 0.8 * surge[t - 1] + 2 * steps[t]
    return surge


def test_one_model_with_a_constant_level_is_the_gamma_of_all_weeks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no slope, shocks or weekly luck, the posterior of the rate is known exactly."""
    counts = np.random.default_rng(3).poisson(DUE, WEEKS).astype(float)
    alone = (by_course._SHOCK == 0) & (by_course._SLOPE == 0) & (by_course._ALONE == 0)
    monkeypatch.setattr(by_course, "_BELIEFS", np.where(alone, 1.0, 1e-300))
    got = course(counts, np.full(WEEKS, DUE))
    before = 1 / by_course._VAGUE
    shape, rate = before + counts.sum(), np.exp(digamma(before)) + DUE * WEEKS
    assert got.level == pytest.approx(digamma(shape) - np.log(rate), abs=1e-9)
    assert got.luck == pytest.approx(shape**-0.5, rel=1e-9)


@pytest.mark.parametrize("kind", ["steady", "grows", "jumps", "wanders", "fades"])
def test_intervals_hold_about_as_often_as_they_say(kind: str) -> None:
    """80% intervals: too wide for what stays, a little narrow for what wanders fast, for one belief serves all."""
    held = 0
    seeds = 150
    for seed in range(seeds):
        got, truth = found(wandering(kind, np.random.default_rng(1000 + seed)), seed)
        held += abs(truth - got.level) <= 1.2816 * got.luck
    least = {"steady": 0.95, "grows": 0.72, "jumps": 0.85, "wanders": 0.66, "fades": 0.66}[kind]
    assert held >= least * seeds


def test_weeks_with_luck_of_their_own_do_not_pull_the_level_down() -> None:
    """The mean of what the weeks ahead bring is the mean of what the weeks brought."""
    means, luck = [], 0.3
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rates = DUE * rng.lognormal(-(luck**2) / 2, luck, 104)
        counts = rng.poisson(rates).astype(float)
        got = course(counts, np.full(104, DUE))
        means.append(np.exp(got.level + got.luck**2 / 2))
    assert np.mean(means) == pytest.approx(1.0, abs=4 * np.std(means) / len(means) ** 0.5 + 0.01)


def test_one_odd_week_changes_little() -> None:
    counts = np.random.default_rng(5).poisson(10.0, 104).astype(float)
    plain = course(counts, np.full(104, 10.0))
    counts[-2] = 200.0
    odd = course(counts, np.full(104, 10.0))
    assert odd.level - plain.level < 0.15
    assert odd.sloped < 0.5


@pytest.mark.parametrize("share", [0.015, -0.015])
def test_growth_is_carried_on(share: float) -> None:
    """The level ahead lies beyond that of the last quarter, on the side to which it grows."""
    path = share * (np.arange(WEEKS + AHEAD) - WEEKS / 2)
    last = path[WEEKS - AHEAD : WEEKS].mean()
    ahead = [found(path, seed)[0] for seed in range(20)]
    assert np.sign(share) * (np.mean([one.level for one in ahead]) - last) > 0
    assert 1 / 3 < np.mean([one.growth for one in ahead]) / share < 1.2  # chance with few exits is held against it


def test_what_stays_gets_no_growth() -> None:
    ahead = [found(np.zeros(WEEKS + AHEAD), seed)[0] for seed in range(40)]
    assert sum(one.sloped > 0.5 for one in ahead) <= 3
    assert np.mean([one.luck for one in ahead]) < 0.1


def test_few_exits_say_little() -> None:
    """A week in which nothing was due changes nothing; small counts leave more doubt than large ones."""
    path = np.zeros(WEEKS + AHEAD)
    counts, due = np.full(WEEKS, 20.0), np.full(WEEKS, 20.0)
    idle = np.concatenate([counts, [0.0]]), np.concatenate([due, [0.0]])
    assert course(*idle).level == pytest.approx(course(counts, due).level, abs=0.01)
    assert found(path, 1, due=1.0)[0].luck > found(path, 1, due=50.0)[0].luck
