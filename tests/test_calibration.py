"""By how much spreads are off: found where the truth is known, and told in words."""

import numpy as np
import pytest

from simfunnel.forecasting.calibration import Calibration, Spread, calibrate, stretch_needed, widened


def outcomes(factor, dates=60, each=3, seed=1):
    """Forecasts whose spread on the root's scale is `factor` times too small, and the factors that they needed."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(20, 1, (dates * each, 2000)) ** 2
    came = rng.normal(20, factor, dates * each) ** 2
    return stretch_needed(samples, came), np.repeat(np.arange(dates), each)


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.5])
def test_the_factor_is_found_and_then_covers_what_it_should(factor):
    (spread,) = calibrate({"wins": outcomes(factor)}).spreads
    assert spread.low <= factor <= spread.high
    assert spread.wanted == pytest.approx(factor, rel=0.2)
    assert spread.covered_then == pytest.approx(0.8, abs=0.1)
    assert spread.dates == 60
    assert spread.outcomes == 180


def test_too_wide_a_spread_is_narrowed_only_as_far_as_it_is_sure():
    sure = calibrate({"wins": outcomes(0.4)}).spreads[0]
    assert sure.factor == sure.high < 1
    unsure = calibrate({"wins": outcomes(0.85, dates=6, each=1)}).spreads[0]
    assert unsure.high > 1
    assert unsure.factor >= 1


def test_too_few_dates_change_nothing_and_say_so():
    found = calibrate({"wins": outcomes(3.0, dates=3)})
    assert found.factor("wins") == 1
    assert "too few dates" in found.sentences()[0]
    assert found.factor("bookings") == 1


def test_one_wild_outcome_of_few_does_not_decide():
    needed = np.array([0.2, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0, 1.1, 0.3, 0.8, 0.1, 6.0])
    assert 0.9 < calibrate({"wins": (needed, np.repeat(np.arange(4), 3))}).factor("wins") < 1.3


def test_what_is_needed_by_hand():
    sample = np.linspace(19, 21, 101) ** 2  # roots from 19 to 21: P10 19.2, P50 20, P90 20.8
    assert stretch_needed(sample, 20.8**2) == pytest.approx(1.0)
    assert stretch_needed(sample, 18.4**2) == pytest.approx(2.0)
    assert stretch_needed(sample, 400.0) == 0
    assert stretch_needed([0.0, 0.0, 0.0], 0.0) == 0
    assert stretch_needed([0.0, 0.0, 0.0], 5.0) == 10  # as much as is ever said


def test_widening_keeps_the_median_and_never_goes_below_zero():
    sample = np.array([0.0, 1.0, 4.0, 9.0, 100.0])
    wide = widened(sample, 3.0)
    assert np.median(wide) == pytest.approx(4)
    assert (wide >= 0).all()
    assert wide.max() == pytest.approx((2 + 3 * 8) ** 2)
    assert widened(sample, 1.0) == pytest.approx(sample)


def test_the_words_say_what_was_held_and_what_is_done():
    spread = Spread("wins", 12, 40, 0.55, 1.6, 1.2, 2.1, 1.6, 0.79)
    said = Calibration((spread,)).sentences()[0]
    assert "held 55% of 40 outcomes forecast from 12 dates" in said
    assert "widen it 1.60 times (90% interval 1.20 to 2.10)" in said
    assert "holds 79%" in said
