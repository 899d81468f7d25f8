"""Baselines on made-up pasts whose truth is known: right on average, and right as often as they say."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from simfunnel.forecasting import scores
from simfunnel.forecasting.baselines import BASELINES, Past, draws_of
from simfunnel.forecasting.baselines.past import bursts, counts, life_table
from simfunnel.forecasting.baselines.pipeline import stage_by_week, stage_weighted
from simfunnel.forecasting.baselines.totals import run_rate, smoothing
from simfunnel.forecasting.windows import NEXT_4, NEXT_13, windows_after

DAY = date(2026, 9, 30)
WINDOWS = windows_after(DAY)
HAZARD, WON = 1 / 40, 0.4  # deals close at this rate a day, and so many of them are won


def past(*, days=400, since=300, per_day=5.0, seed=1, slow_stage=False):
    """Deals that come evenly and close at a constant rate; those that closed before `since` days ago are hidden.

    With `slow_stage` every deal moves after 20 days, if it is still open, to a stage where it is never won.
    """
    rng = np.random.default_rng(seed)
    created = -days * rng.random(rng.poisson(per_day * days))
    closing = created + rng.exponential(1 / HAZARD, len(created))
    won = rng.random(len(created)) < WON
    moves = created + 20.0
    if slow_stage:
        won &= closing < moves
    seen = closing > -since
    created, closing, won, moves = created[seen], closing[seen], won[seen], moves[seen]
    outcome = np.where(closing > 0, "open", np.where(won, "won", "lost"))
    ended = np.minimum(closing, 0.0)
    late = np.flatnonzero(slow_stage & (moves < ended))
    visitor = np.concatenate([np.arange(len(created)), late])
    visited = np.concatenate([np.zeros(len(created)), np.ones(len(late))]).astype(np.int64)
    entered = np.concatenate([created, moves[late]])
    order = np.argsort(entered, kind="stable")
    back = np.floor(-ended / 7).astype(int)
    weeks = since // 7
    mine = (outcome == "won") & (back < weeks)
    wins = np.bincount(back[mine], minlength=weeks)[::-1].astype(float)
    fresh = np.floor(-created / 7).astype(int)
    news = np.bincount(fresh[fresh < weeks], minlength=weeks)[::-1].astype(float)
    is_open = outcome == "open"
    return Past(
        created=created,
        ended=ended,
        outcome=outcome,
        stages=1 + slow_stage,
        visitor=visitor[order],
        visited=visited[order],
        entered=entered[order],
        since=-float(since),
        wins=wins,
        bookings=100 * wins,
        news=news,
        values=np.full(50, 100.0),
        open=np.flatnonzero(is_open),
        open_ages=-created[is_open],
        open_values=np.full(int(is_open.sum()), np.nan),
    )


def of_totals(weekly, per_win=100.0):
    """A past of which weekly wins alone are known."""
    none = np.zeros(0)
    return Past(
        created=none,
        ended=none,
        outcome=none.astype(str),
        stages=1,
        visitor=none.astype(int),
        visited=none.astype(int),
        entered=none,
        since=-7.0 * len(weekly),
        wins=np.asarray(weekly, dtype=float),
        bookings=per_win * np.asarray(weekly, dtype=float),
        news=np.zeros(len(weekly)),
        values=np.full(10, per_win),
        open=none.astype(int),
        open_ages=none,
        open_values=none,
    )


def test_the_life_table_of_constant_rates_is_exponential_though_early_closings_are_hidden():
    table = life_table(past(days=800, since=300, per_day=10))
    ages = np.array([7.0, 28.0, 70.0])
    assert table.at(table.open, ages) == pytest.approx(np.exp(-HAZARD * ages), rel=0.05)
    assert table.at(table.won, ages) == pytest.approx(WON * (1 - np.exp(-HAZARD * ages)), rel=0.06)


@pytest.mark.parametrize("baseline", [stage_weighted, stage_by_week])
def test_open_deals_have_the_chance_that_constant_rates_give_them(baseline):
    known = past(days=700, since=500, per_day=10)
    found = baseline(known, DAY, WINDOWS, 400, draws_of(1))
    for name, days in ((NEXT_4, 28), (NEXT_13, 91)):
        exact = WON * (1 - math.exp(-HAZARD * days))
        assert found.chances[name].mean() == pytest.approx(exact, rel=0.08)
        new = 10 * WON * (days - (1 - math.exp(-HAZARD * days)) / HAZARD)
        mean = found.totals[name, "wins"].mean()
        assert mean == pytest.approx(exact * len(known.open) + new, rel=0.1)
        assert found.totals[name, "bookings"].mean() == pytest.approx(100 * mean)


def test_a_stage_in_which_nothing_is_won_has_next_to_no_chance():
    known = past(days=700, since=500, per_day=10, slow_stage=True)
    late = known.stage_at(0.0)[known.open] == 1
    assert 0.3 < late.mean() < 0.9
    for baseline in (stage_weighted, stage_by_week):
        chances = baseline(known, DAY, WINDOWS, 2, draws_of(1)).chances[NEXT_4]
        assert chances[late].mean() < 0.5 * chances[~late].mean()
    assert chances[late].max() < 0.05  # by stage and week; the win rate alone counts deals that passed through


@pytest.mark.parametrize(("baseline", "cases"), [(run_rate, 600), (smoothing, 40)])
def test_steady_wins_are_foreseen_as_often_as_the_interval_says(baseline, cases):
    """The 80% interval of Poisson wins, to four standard errors of so many cases."""
    rng = np.random.default_rng(3)
    samples, came = [], []
    for _ in range(cases):
        weekly = rng.poisson(30, 30)
        samples.append(baseline(of_totals(weekly), DAY, WINDOWS[:1], 200, lambda _: rng).totals[NEXT_4, "wins"])
        came.append(rng.poisson(120))
    held = scores.covered(samples, came, 0.8).mean()
    assert abs(held - 0.8) < 4 * math.sqrt(0.8 * 0.2 / cases)
    assert np.mean(samples) == pytest.approx(120, rel=0.03)


def test_run_rate_spreads_bursts():
    rng = np.random.default_rng(4)
    calm, burst = rng.poisson(30, 300), counts(np.full(300, 30.0), 5.0, rng)
    assert bursts(calm) == pytest.approx(1.0, abs=0.25)
    assert bursts(burst) == pytest.approx(5.0, rel=0.35)
    wide, narrow = (
        run_rate(of_totals(w), DAY, WINDOWS, 2000, lambda _: rng).totals[NEXT_4, "wins"].std()
        for w in (burst[:26], calm[:26])
    )
    assert wide > 1.4 * narrow


def test_smoothing_sees_the_season_of_a_quarter():
    season = np.tile([10.0] * 9 + [50.0] * 4, 5)
    noise = np.random.default_rng(5).normal(0, 2, len(season))
    found = smoothing(of_totals(np.maximum(season + noise, 0)), DAY, WINDOWS, 300, draws_of(6))
    assert np.median(found.totals[NEXT_4, "wins"]) == pytest.approx(40, rel=0.15)
    assert np.median(found.totals[NEXT_13, "wins"]) == pytest.approx(290, rel=0.1)


@pytest.mark.parametrize("name", BASELINES)
def test_a_window_is_foreseen_alike_whichever_others_are_asked_for(name):
    """So that a past date is scored alike once more of what came after it is known."""
    known = past()
    one, all_of_them = (BASELINES[name](known, DAY, windows, 50, draws_of(1)) for windows in (WINDOWS[:1], WINDOWS))
    for metric in ("wins", "bookings"):
        np.testing.assert_array_equal(one.totals[NEXT_4, metric], all_of_them.totals[NEXT_4, metric])


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_lives_with_a_past_of_nothing(name):
    found = BASELINES[name](of_totals([]), DAY, WINDOWS, 20, draws_of(1))
    for sample in found.totals.values():
        assert sample.shape == (20,)
        assert np.isfinite(sample).all()
    again = BASELINES[name](of_totals([]), DAY, WINDOWS, 20, draws_of(1))
    assert all((again.totals[key] == sample).all() for key, sample in found.totals.items())
