"""Quantities as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, timedelta
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfunnel import units
from simfunnel.units import Interval, Rate, Span, Uncertain


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("30 min", 30 / 1440),
        ("2 h", 2 / 24),
        ("1 hour", 1 / 24),
        ("5 days", 5.0),
        ("1 day", 1.0),
        ("5days", 5.0),
        (" 1.5 weeks ", 10.5),
        ("3d", 3.0),
        ("2 months", 365.25 / 6),
        ("1 quarter", 365.25 / 4),
        ("3 years", 3 * 365.25),
        (".5 day", 0.5),
        ("1e2 days", 100.0),
        (0, 0.0),
        (0.0, 0.0),
        ("0 days", 0.0),
    ],
)
def test_duration(text: object, days: float) -> None:
    assert units.read_duration(text) == pytest.approx(days, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "hours"), [("30 min", 0.5), ("2 h", 2.0), ("1.5 hours", 1.5), (0, 0.0), ("90 minutes", 1.5)]
)
def test_effort(text: object, hours: float) -> None:
    assert units.read_effort(text) == pytest.approx(hours, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "chance"),
    [("45%", 0.45), (0.45, 0.45), ("0.45", 0.45), (1, 1.0), (0, 0.0), ("100%", 1.0), ("2.5 %", 0.025)],
)
def test_chance(text: object, chance: float) -> None:
    assert units.read_chance(text) == pytest.approx(chance, rel=1e-12)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("100%", 1.0), ("110%", 1.1), ("0%", 0.0)])
def test_share_of_an_amount(text: str, share: float) -> None:
    assert units.read_share(text) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        (12000, 12e3),
        ("12k", 12e3),
        ("12K", 12e3),
        ("3M", 3e6),
        ("1.5 M", 1.5e6),
        ("2bn", 2e9),
        ("-5", -5.0),
        (-5, -5.0),
    ],
)
def test_amount(text: object, amount: float) -> None:
    assert units.read_amount(text) == amount


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("x1.8", 1.8),
        ("1.8", 1.8),
        (1.8, 1.8),
        ("/7", 1 / 7),
        ("+20%", 1.2),
        ("-10%", 0.9),
        ("+ 20 %", 1.2),
        ("x0", 0.0),
    ],
)
def test_factor(text: object, factor: float) -> None:
    assert units.read_factor(text) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("12 per day", Rate(12.0)),
        ("70 per week", Rate(10.0)),
        ("8 per working day", Rate(8.0, working=True)),
        ("8 to 10 per working day", Rate(Uncertain(8.0, 10.0, "positive"), working=True)),
        (0, Rate(0.0)),
    ],
)
def test_rate(text: object, rate: Rate) -> None:
    assert units.read_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "low", "high", "shape", "read"),
    [
        ("45% to 55%", 0.45, 0.55, "chance", units.read_chance),
        ("45 to 55%", 0.45, 0.55, "chance", units.read_chance),
        ("45% to 55%", 0.45, 0.55, "chance", units.read_share),
        ("105 to 115%", 1.05, 1.15, "positive", units.read_share),
        ("90% to 110%", 0.9, 1.1, "positive", units.read_share),
        ("3 to 5 days", 3.0, 5.0, "positive", units.read_duration),
        ("12 h to 2 days", 0.5, 2.0, "positive", units.read_duration),
        ("30 to 60 min", 0.5, 1.0, "positive", units.read_effort),
        ("10k to 15k", 10e3, 15e3, "positive", units.read_amount),
        ("x1.5 to x2", 1.5, 2.0, "positive", units.read_factor),
        ("1.5 to x2", 1.5, 2.0, "positive", units.read_factor),
        ("+5% to +20%", 1.05, 1.2, "positive", units.read_factor),
        ("2 to 4", 2.0, 4.0, "positive", units.read_number),
    ],
)
def test_uncertain(text: str, low: float, high: float, shape: str, read: Callable[[object], Any]) -> None:
    found = read(text)
    assert isinstance(found, Uncertain)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert found.shape == shape


def test_uncertain_number_between_equal_ends_is_certain() -> None:
    assert units.read_number("3 to 3") == 3.0


@pytest.mark.parametrize(
    ("text", "read", "words"),
    [
        ("5", units.read_duration, "5 has no unit"),
        (5, units.read_duration, "5 has no unit; write for example '5 days'"),
        ("5 fortnights", units.read_duration, "unknown unit 'fortnights'; allowed: min, h, day"),
        ("5 m", units.read_duration, "unknown unit 'm'"),  # minutes or months?
        ("5 wek", units.read_duration, "Did you mean 'week'?"),
        ("-5 days", units.read_duration, "can't be negative"),
        ("5 days to 3 days", units.read_duration, "runs backwards"),
        ("0 to 3 days", units.read_duration, "the lower end of an uncertain number must be above 0"),
        ("soon", units.read_duration, "'soon' is no time"),
        (True, units.read_duration, "yes/true is no time"),
        (None, units.read_duration, "nothing is no time"),
        ("1e999 days", units.read_duration, "too large"),
        ("1e400", units.read_duration, "has no unit"),
        ("2 days", units.read_effort, "say work in min or h"),
        ("2", units.read_effort, "has no unit"),
        (45, units.read_chance, "45 is above 1; a chance lies between 0 and 1. Did you mean '45%'?"),
        ("45", units.read_chance, "Did you mean '45%'?"),
        ("145%", units.read_chance, "145% is no chance"),
        ("-5%", units.read_chance, "is no chance"),
        (math.nan, units.read_chance, "too large a number, or none at all"),
        ("0% to 5%", units.read_chance, "inside 0% to 100%"),
        ("55% to 45%", units.read_chance, "runs backwards"),
        ("-5%", units.read_share, "no share of an amount: allowed are 0% to 1,000%"),
        ("1100%", units.read_share, "no share of an amount"),
        ("0% to 110%", units.read_share, "must be above 0"),
        ("ten%", units.read_share, "'ten%' is no share"),
        ("12,000", units.read_amount, "write thousands without commas"),
        ("$12", units.read_amount, "'$12' is no amount"),
        (math.inf, units.read_amount, "too large a number"),
        (10**400, units.read_amount, "too large a number"),
        ("x-2", units.read_factor, "is no factor"),
        (-2, units.read_factor, "write '/2' to divide"),
        ("/0", units.read_factor, "can't divide by 0"),
        ("-120%", units.read_factor, "negative"),
        ("+2.%.%", units.read_factor, "is no factor"),
        (12, units.read_rate, "12 is no rate"),
        ("12", units.read_rate, "'12' is no rate"),
        ("-2 per day", units.read_rate, "can't be negative"),
        ("2 per weak", units.read_rate, "Did you mean 'week'?"),
        ("1e-3 to 1e4", units.read_number, "a million times apart"),
        ([1], units.read_number, "[1] is no number"),
        ("2 quarters and a bit", units.read_span, "is no length of time"),
        ("60 years", units.read_span, "too long; allowed are 50 years"),
        ("-1 day", units.read_span, "can't be negative"),
    ],
)
def test_refused(text: object, read: Callable[[object], Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read(text)


READERS = [
    units.read_duration,
    units.read_effort,
    units.read_chance,
    units.read_amount,
    units.read_number,
    units.read_factor,
    units.read_rate,
    units.read_span,
]


@given(
    text=st.text()
    | st.from_regex(r"[-+x/]?\d{1,3}(\.\d)?(e\d)?%?( to \d+)?( ?(k|M|h|days?|min|per week|each))?", fullmatch=True)
    | st.floats()
    | st.integers()
    | st.booleans()
    | st.none()
    | st.lists(st.integers(), max_size=2),
    read=st.sampled_from(READERS),
)
def test_any_value_is_read_as_a_finite_number_or_refused(text: object, read: Callable[[object], Any]) -> None:
    try:
        found = read(text)
    except ValueError:
        return
    for number in (found.per_day if isinstance(found, Rate) else found.count if isinstance(found, Span) else found,):
        assert math.isfinite(units.middle(number))


# --- uncertain numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["chance", "positive", "real"])
def test_uncertain_number_lies_between_its_ends_nine_times_in_ten(shape: str) -> None:
    number = Uncertain(0.2, 0.4, shape)
    assert number.at(0.05) == pytest.approx(0.2, rel=1e-12)
    assert number.at(0.95) == pytest.approx(0.4, rel=1e-12)


def test_middle_of_an_uncertain_number() -> None:
    assert Uncertain(2, 8, "positive").middle == pytest.approx(4.0)  # geometric mean
    assert Uncertain(2, 8, "real").middle == pytest.approx(5.0)
    assert Uncertain(0.2, 0.8, "chance").middle == pytest.approx(0.5)  # log-odds are symmetric
    assert units.middle(3.5) == 3.5


@given(u=st.floats(1e-12, 1 - 1e-12), v=st.floats(1e-12, 1 - 1e-12))
def test_uncertain_chance_stays_inside_and_rises(u: float, v: float) -> None:
    number = Uncertain(0.45, 0.55, "chance")
    assert 0 < number.at(u) < 1
    assert (number.at(u) <= number.at(v)) == (u <= v) or number.at(u) == number.at(v)


def test_uncertain_positive_number_is_lognormal() -> None:
    sigma = math.log(4) / (2 * NormalDist().inv_cdf(0.95))
    assert Uncertain(2, 8, "positive").at(0.8) == pytest.approx(4 * math.exp(sigma * NormalDist().inv_cdf(0.8)))


def test_scaled_keeps_what_is_not_known() -> None:
    assert units.scaled(Uncertain(2, 8, "positive"), 0.5) == Uncertain(1, 4, "positive")
    assert units.scaled(3.0, 0.5) == 1.5


# --- spans and intervals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2 quarters", date(2026, 10, 1), date(2027, 4, 1)),
        ("1 month", date(2026, 1, 31), date(2026, 2, 28)),
        ("1 month", date(2028, 1, 31), date(2028, 2, 29)),
        ("1 year", date(2028, 2, 29), date(2029, 2, 28)),
        ("90 days", date(2026, 10, 1), date(2026, 12, 30)),
        ("2 weeks", date(2026, 10, 1), date(2026, 10, 15)),
        (0, date(2026, 10, 1), date(2026, 10, 1)),
    ],
)
def test_span_ends_where_a_calendar_says(text: object, start: date, end: date) -> None:
    assert units.read_span(text).days_from(start) == (end - start).days


def test_broken_span_is_counted_in_mean_months() -> None:
    assert units.read_span("1.5 months").days_from(date(2026, 2, 1)) == pytest.approx(1.5 * 365.25 / 12)


@given(day=st.dates(date(1950, 1, 1), date(2100, 12, 31)), months=st.integers(0, 600))
def test_months_are_added_as_the_calendar_has_them(day: date, months: int) -> None:
    later = units.add_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later + timedelta(days=1)).day == 1


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1 h to 24 h", [1 / 24, 0.5], [0.04, 1.0]),
        ("1 to 24 h", [1 / 24, 0.5], [0.04, 1.0]),
        ("over 5 days", [5.0001], [5.0, 4.0]),
        ("at least 5 days", [5.0, 6.0], [4.9999]),
        ("under 5 days", [4.9999, 0.0], [5.0]),
        ("up to 5 days", [5.0, 0.0], [5.0001]),
        ("5 days", [5.0], [4.9999, 5.0001]),
    ],
)
def test_interval(text: str, inside: list[float], outside: list[float]) -> None:
    found = units.read_interval(text, units.read_duration)
    assert all(found.low <= x < found.high for x in inside)
    assert not any(found.low <= x < found.high for x in outside)


def test_interval_of_one_number_and_backwards() -> None:
    assert units.read_interval(3, units.read_number) == Interval(3.0, math.nextafter(3.0, math.inf))
    with pytest.raises(ValueError, match="runs backwards"):
        units.read_interval("5 to 3", units.read_number)
