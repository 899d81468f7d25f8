"""A pool of forecasts: weights by the record, quantiles averaged, nothing learnt from what was not over yet."""

from datetime import date, timedelta

import numpy as np
import pytest

from simfunnel.forecasting.pooling import ALONE, Scored, Track, pooled

DAY = date(2026, 6, 30)
METHODS = (ALONE, "run rate", "ETS")


def record(count, good, *, window="next 4 weeks", metric="wins", first=date(2025, 1, 1), needed=1.0):
    """So many past forecasts, four weeks apart, in which one method was four times as good as the others."""
    crps = {name: 1.0 if name == good else 4.0 for name in METHODS}
    days = [first + timedelta(weeks=4 * k) for k in range(count)]
    return [Scored(day, day + timedelta(weeks=4), metric, window, crps, needed) for day in days]


def test_without_a_record_the_simulation_weighs_most():
    weights = Track().weights(DAY, "wins", "next 4 weeks", METHODS)
    assert weights == pytest.approx({ALONE: 0.85, "run rate": 0.075, "ETS": 0.075})


@pytest.mark.parametrize("good", METHODS)
def test_the_method_with_the_best_record_comes_to_weigh_most(good):
    share = [Track(record(n, good)).weights(DAY, "wins", "next 4 weeks", METHODS)[good] for n in (0, 2, 5, 15)]
    assert share == sorted(share)
    assert share[-1] > 0.7
    assert Track(record(15, good)).weights(DAY, "bookings", "next 4 weeks", METHODS) == Track().weights(
        DAY, "bookings", "next 4 weeks", METHODS
    )


def test_other_windows_tell_less_than_this_one():
    here = Track(record(6, "ETS")).weights(DAY, "wins", "next 4 weeks", METHODS)["ETS"]
    elsewhere = Track(record(6, "ETS", window="this quarter")).weights(DAY, "wins", "next 4 weeks", METHODS)["ETS"]
    assert Track().weights(DAY, "wins", "next 4 weeks", METHODS)["ETS"] < elsewhere < here


def test_a_method_that_was_not_there_has_lost_as_much_as_the_mean():
    track = Track(record(10, "ETS"))
    weights = track.weights(DAY, "wins", "next 4 weeks", [*METHODS, "new"])
    assert weights["new"] < weights["ETS"]


def test_what_was_not_over_has_no_say():
    track = Track(record(8, "ETS", needed=3.0))
    early = date(2025, 1, 10)
    assert track.weights(early, "wins", "next 4 weeks", METHODS) == Track().weights(
        early, "wins", "next 4 weeks", METHODS
    )
    assert track.factor(early, "wins") == 1
    just_over = date(2025, 1, 28)  # the first window's last day
    assert len(track.known(just_over, "wins")) == 1
    assert len(track.known(just_over - timedelta(days=1), "wins")) == 0


def test_a_pool_that_was_too_narrow_is_widened():
    assert Track(record(12, "ETS", needed=2.0)).factor(DAY, "wins") == pytest.approx(2.0)


def test_quantiles_are_averaged_in_the_order_of_the_simulation():
    alone = np.array([30.0, 10.0, 20.0])
    found = pooled({ALONE: alone, "run rate": np.array([100.0, 120.0, 110.0])}, {ALONE: 0.75, "run rate": 0.25})
    assert found.tolist() == pytest.approx([0.75 * 30 + 30, 0.75 * 10 + 25, 0.75 * 20 + 27.5])
