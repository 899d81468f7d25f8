"""Scores against answers known in closed form or by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from simfunnel.forecasting import scores


def crps_of_a_normal(mean: float, sd: float, came: float) -> float:
    """Gneiting & Raftery (2007), equation 5."""
    z = (came - mean) / sd
    return sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))


def test_crps_of_a_normal_ensemble_is_the_closed_form_of_gneiting_and_raftery():
    rng = np.random.default_rng(1)
    for came in (-3.0, 0.0, 11.0, 14.5):
        each = scores.crps(rng.normal(10, 2, (4000, 20)), np.full(4000, came))
        error = each.std(ddof=1) / math.sqrt(len(each))
        assert abs(each.mean() - crps_of_a_normal(10, 2, came)) < 4 * error


@pytest.mark.parametrize("n", [2, 5, 50])
def test_fair_crps_has_the_same_mean_whatever_the_ensembles_size(n):
    each = scores.crps(np.random.default_rng(2).normal(0, 1, (60_000, n)), np.zeros(60_000))
    error = each.std(ddof=1) / math.sqrt(len(each))
    assert abs(each.mean() - crps_of_a_normal(0, 1, 0)) < 4 * error


def test_crps_by_hand():
    # draws 1, 2, 6 and 3 came: mean distance (2 + 1 + 3) / 3 = 2; pairs differ by 1, 5, 4: 10 / (3 * 2) = 5/3
    assert scores.crps([6.0, 1.0, 2.0], 3.0) == pytest.approx(2 - 10 / 6)
    assert scores.crps([4.0], 7.0) == 3.0
    assert scores.crps([[1.0, 1.0], [5.0, 5.0]], [1.0, 3.0]) == pytest.approx([0.0, 2.0])


def test_crps_from_the_sorted_sample_is_the_double_sum():
    rng = np.random.default_rng(3)
    draws = rng.gamma(2, 5, 37)
    double = np.abs(draws[:, None] - draws).sum() / (2 * 37 * 36)
    assert scores.crps(draws, 8.0) == pytest.approx(np.abs(draws - 8).mean() - double)


def test_crps_is_twice_the_pinball_loss_over_all_shares():
    draws = np.random.default_rng(4).normal(0, 1, 20_000)
    shares = (np.arange(500) + 0.5) / 500
    losses = [float(scores.pinball(q, 0.7, share)) for share, q in zip(shares, np.quantile(draws, shares), strict=True)]
    assert 2 * np.mean(losses) == pytest.approx(float(scores.crps(draws, 0.7)), rel=0.01)


def test_calibrated_forecasts_are_covered_as_often_as_they_say():
    rng = np.random.default_rng(5)
    sample, came = rng.normal(0, 1, (4000, 400)), rng.normal(0, 1, 4000)
    for level in (0.5, 0.8, 0.9):
        hits = scores.covered(sample, came, level).mean()
        assert abs(hits - level) < 4 * math.sqrt(level * (1 - level) / 4000) + 0.004
    assert stats.kstest(scores.pit(sample, came), "uniform").pvalue > 0.001


def test_pit_counts_ties_half_and_is_never_0_or_1():
    assert scores.pit([1, 2, 2, 3], 2) == pytest.approx((1 + 1 + 0.5) / 5)
    assert scores.pit([1, 2, 3], 9) == pytest.approx(3.5 / 4)
    assert scores.pit([1, 2, 3], 0) == pytest.approx(0.5 / 4)


def test_wilson_interval_is_that_of_newcombe_1998():
    assert scores.wilson(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # his example (a), method 3
    assert scores.wilson(0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=5e-5)  # his example (c)
    assert scores.wilson(0, 0) == (0.0, 1.0)


def test_bias_and_wape_by_hand():
    assert scores.bias([90, 90], [100, 100]) == pytest.approx(-0.1)
    assert scores.wape([90, 130], [100, 100]) == pytest.approx(0.2)
    assert math.isnan(scores.bias([1], [0]))
    assert math.isnan(scores.wape([1], [0]))
    assert scores.skill(150, 100) == -0.5


def test_briers_parts_by_hand_and_their_sum():
    chances, came = [0.1, 0.1, 0.1, 0.1, 0.9, 0.9], [0, 0, 0, 1, 1, 1]
    found = scores.brier(chances, came, bins=(0.0, 0.5, 1.0))
    assert found.score == pytest.approx((3 * 0.01 + 0.81 + 2 * 0.01) / 6)
    assert found.reliability == pytest.approx((4 * 0.15**2 + 2 * 0.1**2) / 6)
    assert found.resolution == pytest.approx((4 * 0.25**2 + 2 * 0.5**2) / 6)
    assert found.uncertainty == 0.25
    assert found.within == pytest.approx(0.0)
    rng = np.random.default_rng(6)
    p = rng.random(500)
    mixed = scores.brier(p, rng.random(500) < p)
    assert mixed.score == pytest.approx(mixed.reliability - mixed.resolution + mixed.uncertainty + mixed.within)
    assert abs(mixed.within) < 0.01
    assert mixed.skill > 0.2
    with pytest.raises(ValueError, match="no chances"):
        scores.brier([], [])


def test_reliability_table_counts_every_case_once():
    rng = np.random.default_rng(7)
    p = np.r_[0.0, 1.0, rng.random(5000)]
    table = scores.reliability_table(p, rng.random(5002) < p)
    assert table["cases"].sum() == 5002
    assert ((table["low"] <= table["said"]) & (table["said"] <= table["high"])).all()
    assert ((table["seen_low"] <= table["said"]) & (table["said"] <= table["seen_high"])).mean() > 0.6
