"""Working time: open hours as a map, and what the engines ask of it. Day 0 is Monday 5 October 2026."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfunnel.calendars import (
    ALWAYS,
    Calendar,
    MapPacker,
    public_holidays,
    read_days,
    read_hours,
    read_month,
    work_map,
)
from simfunnel.numerics import Maps, backward, forward, opening, work_end

MONDAY = date(2026, 10, 5)
OFFICE = Calendar()
LUNCH = Calendar(hours=((9.0, 12.0), (13.0, 17.0)))


def full_pace(_: date) -> float:
    return 1.0


def packed(calendar: Calendar, days: int = 28, pace: float = 1.0) -> Maps:
    packer = MapPacker()
    packer.add(*work_map(calendar, MONDAY, days, lambda _: pace))
    return packer.pack()


def at(day: int, hour: float) -> float:
    return day + hour / 24


# --- the map ----------------------------------------------------------------------------------------------------------


def test_a_week_of_nights_from_monday_to_friday() -> None:
    """The last ends on Saturday morning, and a holiday's is the one that begins on it."""
    nights = Calendar(hours=((22.0, 30.0),), holidays=frozenset({date(2026, 10, 7)}))
    maps = packed(nights, 7)
    ends = {at(0, 22): 0.0, at(1, 2): 4.0, at(1, 22): 8.0, at(2, 6): 16.0, at(3, 22): 16.0, at(5, 6): 32.0, 7.0: 32.0}
    assert {moment: forward(maps, 0, moment) for moment in ends} == pytest.approx(ends)
    every = Calendar(days=tuple(range(7)), hours=((22.0, 30.0),))
    assert forward(packed(every, 7), 0, 1.0) == pytest.approx(6.0 + 2.0)  # also of the shift before the start
    assert forward(packed(every, 7), 0, 7.0) == pytest.approx(7 * 8.0)
    assert forward(packed(nights, 7), 0, 0.25) == 0.0  # Sunday's is closed


def test_a_week_of_office_hours() -> None:
    x, y = work_map(OFFICE, MONDAY, 7, full_pace)
    assert y[-1] == 40.0
    assert x[0] == 0.0
    assert x[-1] == 7.0
    assert np.all(np.diff(x) > 0)
    assert np.all(np.diff(y) >= 0)


def test_holidays_and_weekends_are_closed() -> None:
    closed = Calendar(holidays=frozenset({MONDAY, MONDAY + timedelta(days=3)}))
    maps = packed(closed, 7)
    assert forward(maps, 0, 7.0) == 24.0
    assert forward(maps, 0, 1.0) == 0.0
    assert forward(maps, 0, 4.0) == forward(maps, 0, 3.0)


def test_lunch_stands_still() -> None:
    maps = packed(LUNCH)
    assert forward(maps, 0, at(0, 12)) == pytest.approx(3.0)
    assert forward(maps, 0, at(0, 12.5)) == pytest.approx(3.0)
    assert forward(maps, 0, at(0, 13)) == pytest.approx(3.0)
    assert forward(maps, 0, at(0, 14)) == pytest.approx(4.0)


def test_pace_of_each_day_is_asked() -> None:
    """A new hire at half pace on Tuesday, none on Monday."""
    pace = {MONDAY: 0.0, MONDAY + timedelta(days=1): 0.5}
    x, y = work_map(OFFICE, MONDAY, 3, lambda day: pace.get(day, 1.0))
    assert list(y) == [0.0, 0.0, 4.0, 4.0, 12.0, 12.0]
    assert x[1] == pytest.approx(at(1, 9))


def test_always_open_is_one_straight_line() -> None:
    x, y = work_map(ALWAYS, MONDAY, 10, lambda _: 0.5)
    assert list(x) == [0.0, 10.0]
    assert list(y) == [0.0, 120.0]


def test_always_open_with_a_changing_pace_has_a_node_a_day() -> None:
    x, y = work_map(ALWAYS, MONDAY, 3, lambda day: 1.0 if day > MONDAY else 0.5)
    assert list(x) == [0.0, 1.0, 2.0, 3.0]
    assert list(y) == [0.0, 12.0, 36.0, 60.0]


def test_no_day_and_no_open_day() -> None:
    assert [list(part) for part in work_map(OFFICE, MONDAY, 0, full_pace)] == [[0.0], [0.0]]
    closed = packed(Calendar(days=()), 5)
    assert forward(closed, 0, 5.0) == 0.0
    assert work_end(closed, 0, 0.0, 1.0) == math.inf
    assert opening(closed, 0, 0.0) == math.inf


def test_equal_maps_share_a_place() -> None:
    packer = MapPacker()
    first = packer.add(*work_map(OFFICE, MONDAY, 5, full_pace))
    other = packer.add(*work_map(LUNCH, MONDAY, 5, full_pace))
    again = packer.add(*work_map(OFFICE, MONDAY, 5, full_pace))
    assert (first, other, again) == (0, 1, 0)
    assert list(packer.pack().size) == [len(work_map(c, MONDAY, 5, full_pace)[0]) for c in (OFFICE, LUNCH)]


# --- tasks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "begin", "hours", "end"),
    [
        (OFFICE, at(0, 10), 2.0, at(0, 12)),
        (OFFICE, at(0, 9), 8.0, at(0, 17)),  # ends at closing time, not the next morning
        (OFFICE, at(0, 16), 2.0, at(1, 10)),
        (OFFICE, at(4, 16), 2.0, at(7, 10)),  # over the weekend
        (OFFICE, at(0, 3), 1.0, at(0, 10)),  # begun before opening
        (OFFICE, at(0, 17), 1.0, at(1, 10)),  # begun at closing time
        (OFFICE, at(5, 12), 8.0, at(7, 17)),  # begun on a Saturday
        (LUNCH, at(0, 11), 2.0, at(0, 14)),
        (LUNCH, at(0, 11), 1.0, at(0, 12)),  # ends as lunch begins
        (ALWAYS, at(0, 20), 30.0, at(2, 2)),
        (OFFICE, at(2, 3), 0.0, at(2, 3)),  # no work takes no time, also at night
    ],
)
def test_task_ends_when_its_hours_are_done(calendar: Calendar, begin: float, hours: float, end: float) -> None:
    assert work_end(packed(calendar), 0, begin, hours) == pytest.approx(end, abs=1e-9)


def test_half_pace_takes_twice_as_long() -> None:
    assert work_end(packed(OFFICE, pace=0.5), 0, at(0, 9), 4.0) == pytest.approx(at(0, 17))


def test_task_longer_than_the_map_never_ends() -> None:
    maps = packed(OFFICE, 7)
    assert work_end(maps, 0, 0.0, 40.0) == pytest.approx(at(4, 17))
    assert work_end(maps, 0, 0.0, 40.1) == math.inf
    assert work_end(maps, 0, 9.0, 0.1) == math.inf


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        (at(0, 3), at(0, 9)),
        (at(0, 9), at(0, 9)),
        (at(0, 10), at(0, 10)),
        (at(0, 12), at(0, 13)),  # lunch begins
        (at(0, 12.5), at(0, 13)),
        (at(0, 17), at(1, 9)),  # closing time
        (at(4, 17), at(7, 9)),
        (at(6, 0), at(7, 9)),
    ],
)
def test_opening(moment: float, opens: float) -> None:
    assert opening(packed(LUNCH), 0, moment) == pytest.approx(opens, abs=1e-9)


def test_opening_after_the_last_day() -> None:
    assert opening(packed(OFFICE, 5), 0, at(4, 17)) == math.inf


def test_the_instant_a_task_ends_at_closing_time_is_closed() -> None:
    """Rounding may not leave a sliver of an open day: whoever ends at closing time begins next morning."""
    for calendar in (OFFICE, LUNCH):
        maps = packed(calendar)
        for begin in np.linspace(at(0, 9), at(0, 16.9), 80):
            rest = forward(maps, 0, at(0, 17)) - forward(maps, 0, begin)
            end = work_end(maps, 0, begin, rest)
            assert opening(maps, 0, end) == pytest.approx(at(1, 9), abs=1e-9)


HALF_HOURS = st.lists(st.integers(0, 48), min_size=2, max_size=6, unique=True).map(sorted)
CALENDARS = st.builds(
    lambda days, marks, off: Calendar(
        tuple(sorted(days)),
        tuple((a / 2, b / 2) for a, b in zip(marks[::2], marks[1::2], strict=False)),
        frozenset(MONDAY + timedelta(days=d) for d in off),
    ),
    st.sets(st.integers(0, 6), min_size=1),
    HALF_HOURS,
    st.sets(st.integers(0, 6), max_size=3),
)
TIMES = st.floats(0, 60)


@given(calendar=CALENDARS, begin=TIMES, hours=st.floats(0.01, 100), pace=st.floats(0.05, 2))
def test_the_hours_of_a_task_are_the_hours_of_the_map(
    calendar: Calendar, begin: float, hours: float, pace: float
) -> None:
    maps = packed(calendar, 400, pace)
    end = work_end(maps, 0, begin, hours)
    if end < math.inf:
        assert end >= begin
        assert forward(maps, 0, end) - forward(maps, 0, begin) == pytest.approx(hours, abs=1e-8)


@given(calendar=CALENDARS, a=TIMES, b=TIMES, short=st.floats(0, 50), long=st.floats(0, 50))
def test_later_or_longer_tasks_end_no_earlier(
    calendar: Calendar, a: float, b: float, short: float, long: float
) -> None:
    maps = packed(calendar, 100)
    (a, b), (short, long) = sorted((a, b)), sorted((short, long))
    assert work_end(maps, 0, a, short) <= work_end(maps, 0, b, short) + 1e-9
    assert work_end(maps, 0, a, short) <= work_end(maps, 0, a, long)


@given(calendar=CALENDARS, moment=TIMES)
def test_opening_is_the_first_instant_of_work(calendar: Calendar, moment: float) -> None:
    maps = packed(calendar, 100)
    opens = opening(maps, 0, moment)
    if opens < math.inf:
        assert opens >= moment
        assert forward(maps, 0, opens) == pytest.approx(forward(maps, 0, moment), abs=1e-6)
        assert forward(maps, 0, opens + 1 / 96) > forward(maps, 0, opens)  # a quarter of an hour on, work has been done


@given(calendar=CALENDARS, moment=TIMES)
def test_there_and_back(calendar: Calendar, moment: float) -> None:
    maps = packed(calendar, 100)
    done = forward(maps, 0, moment)
    assert backward(maps, 0, done) <= moment + 1e-9
    assert forward(maps, 0, backward(maps, 0, done)) == pytest.approx(done, abs=1e-9)


@given(calendar=CALENDARS, days=st.integers(1, 60))
def test_open_hours_are_counted_day_by_day(calendar: Calendar, days: int) -> None:
    open_days = sum(calendar.is_open(MONDAY + timedelta(days=d)) for d in range(days))
    assert forward(packed(calendar, days), 0, float(days)) == pytest.approx(open_days * calendar.hours_a_day)


# --- as people write them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon-Fri", (0, 1, 2, 3, 4)),
        ("Mon, Wed, Fri", (0, 2, 4)),
        ("Mon-Wed,Sat", (0, 1, 2, 5)),
        ("Sat-Mon", (0, 5, 6)),
        (["Tue", "thursday"], (1, 3)),
        ("Sun", (6,)),
        ("Tues", (1,)),
    ],
)
def test_days(text: object, days: tuple[int, ...]) -> None:
    assert read_days(text) == days


@pytest.mark.parametrize("text", ["Mondi", "Mo", "", "Mon-Wed-Fri", "Mon;Tue", 5])
def test_days_that_are_none(text: object) -> None:
    with pytest.raises(ValueError, match="is no"):
        read_days(text)


@pytest.mark.parametrize(("text", "month"), [("Dec", 12), ("december", 12), ("Sept", 9), ("Jan", 1)])
def test_month(text: str, month: int) -> None:
    assert read_month(text) == month


@pytest.mark.parametrize("text", ["Janitor", "Jan-Mar", "De", "13", ""])
def test_months_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no month"):
        read_month(text)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("09:00-17:00", ((9.0, 17.0),)),
        ("9:00 - 17:30", ((9.0, 17.5),)),
        ("13:00-17:00, 08:00-12:00", ((8.0, 12.0), (13.0, 17.0))),
        (["00:00-24:00"], ((0.0, 24.0),)),
        ("09:00-12:00,12:00-17:00", ((9.0, 12.0), (12.0, 17.0))),
        ("22:00-06:00", ((22.0, 30.0),)),
        ("18:30-00:00, 06:00-10:00", ((6.0, 10.0), (18.5, 24.0))),
    ],
)
def test_hours(text: object, hours: tuple[tuple[float, float], ...]) -> None:
    assert read_hours(text) == hours


@pytest.mark.parametrize(
    "text",
    [
        "9-17",
        "17:00-09:00",
        "09:00-25:00",
        "09:00-12:00, 11:00-17:00",
        "",
        540,
        "09:75-12:00",
        "22:00-06:00, 05:00-07:00",
        "09:00-09:00",
        "24:00-06:00",
    ],
)
def test_hours_that_are_none(text: object) -> None:
    with pytest.raises(ValueError, match=r"hours|overlap"):
        read_hours(text)


def test_public_holidays() -> None:
    assert date(2026, 12, 25) in public_holidays("US", (2026,))
    assert date(2026, 11, 26) in public_holidays("US", (2026,))  # the fourth Thursday of November
    assert date(2026, 1, 6) in public_holidays("DE-BY", (2026,))
    assert date(2026, 1, 6) not in public_holidays("DE", (2026,))
    with pytest.raises(ValueError, match="no country code"):
        public_holidays("Utopia", (2026,))
    with pytest.raises(ValueError, match="no part of DE"):
        public_holidays("DE-XX", (2026,))
