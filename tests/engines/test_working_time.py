"""When tasks begin and end: open hours, nights, weekends, holidays, pace, hire, ramp and leave; all times by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfunnel.replicate import records_of
from tests.helpers import MONDAY, run, tasks, toy

OFFICE = {"days": "Mon-Fri", "hours": "09:00-17:00"}


def clock(day: int, hour: float) -> float:
    """Days since the start, a Monday, at an hour of day `day` (0 is Monday 5 January 2026)."""
    return day + hour / 24


def work(
    effort: Any, calendar: Any = OFFICE, at: str = MONDAY, size: int = 1, **team: Any
) -> list[tuple[float, float]]:
    """Begin and end of each task of a list of prospects, in the order in which they were begun."""
    scenario = toy(
        calendar=calendar,
        sources={"list": {"at": at, "size": size}},
        teams={"sellers": {"size": 1, **team} if "members" not in team else team},
        stages={"lead": {"work": {"team": "sellers", "effort": effort}, "exits": {"lost": {}}}},
    )
    table = tasks(*run(scenario)).sort_values("begun")
    return list(zip(table.begun, table.ended, strict=True))


def about(*times: tuple[float, float]) -> Any:
    return [pytest.approx(pair, abs=1e-12) for pair in times]


def test_a_task_within_the_day() -> None:
    assert work("2 h") == about((clock(0, 9), clock(0, 11)))


def test_a_task_pauses_overnight() -> None:
    assert work("10 h") == about((clock(0, 9), clock(1, 11)))


def test_a_task_pauses_over_the_weekend() -> None:
    assert work("10 h", at="2026-01-09") == about((clock(4, 9), clock(7, 11)))


def test_a_task_pauses_over_a_holiday() -> None:
    assert work("10 h", {**OFFICE, "holidays": ["2026-01-06"]}) == about((clock(0, 9), clock(2, 11)))


def test_a_task_pauses_over_lunch() -> None:
    assert work("4 h", {**OFFICE, "hours": "09:00-12:00, 13:00-17:00"}) == about((clock(0, 9), clock(0, 14)))


def test_a_list_that_comes_on_a_closed_day_waits_for_monday() -> None:
    assert work("1 h", at="2026-01-10") == about((clock(7, 9), clock(7, 10)))


def test_a_task_that_ends_at_closing_time_ends_then_and_the_next_begins_in_the_morning() -> None:
    assert work("8 h", size=2) == about((clock(0, 9), clock(0, 17)), (clock(1, 9), clock(1, 17)))


def test_a_task_that_ends_at_lunch_ends_then_and_the_next_begins_after_it() -> None:
    found = work("3 h", {**OFFICE, "hours": "09:00-12:00, 13:00-17:00"}, size=2)
    assert found == about((clock(0, 9), clock(0, 12)), (clock(0, 13), clock(0, 16)))


def test_shifts_that_touch_are_one() -> None:
    assert work("4 h", {**OFFICE, "hours": "09:00-12:00, 12:00-17:00"}, size=2) == about(
        (clock(0, 9), clock(0, 13)), (clock(0, 13), clock(0, 17))
    )


def test_a_shift_over_midnight_is_one_and_ends_in_the_morning() -> None:
    found = work("4 h", {**OFFICE, "hours": "22:00-06:00"}, size=3)
    assert found == about((clock(0, 22), clock(1, 2)), (clock(1, 2), clock(1, 6)), (clock(1, 22), clock(2, 2)))


def test_round_the_clock_work_goes_on_through_midnight() -> None:
    assert work("30 h", "always") == about((0.0, clock(1, 6)))


@pytest.mark.parametrize(
    ("pace", "hours"),
    [({"selling_time": "50%"}, 4), ({"speed": 2}, 1), ({"selling_time": "50%", "speed": 2}, 2), ({"speed": 0.25}, 8)],
    ids=str,
)
def test_selling_time_and_speed_stretch_a_task_of_two_hours(pace: dict[str, Any], hours: float) -> None:
    assert work("2 h", **pace) == about((clock(0, 9), clock(0, 9 + hours)))


def test_a_member_works_at_their_own_pace_and_the_team_says_the_rest() -> None:
    members = [{"name": "Ana", "speed": 2}, {"name": "Ben"}]
    assert work("4 h", size=2, members=members, selling_time="50%") == about(
        (clock(0, 9), clock(0, 13)), (clock(0, 9), clock(0, 17))
    )


def test_nobody_begins_before_the_day_of_hire() -> None:
    assert work("1 h", hired="2026-01-08") == about((clock(3, 9), clock(3, 10)))


def test_a_ramp_grows_evenly_from_the_day_of_hire() -> None:
    """Over four days the pace is 1/8, 3/8, 5/8 and 7/8: 1, 3, 5 and 7 hours of work in days of 8 hours."""
    ramp = {"hired": MONDAY, "ramp": "4 days"}
    assert work("4 h", **ramp) == about((clock(0, 9), clock(1, 17)))
    assert work("12.5 h", **ramp) == about((clock(0, 9), clock(3, 13)))
    assert work("24 h", **ramp) == about((clock(0, 9), clock(4, 17)))


def test_a_ramp_begun_before_the_start_goes_on() -> None:
    """Hired on Saturday with a ramp of four days, Monday has a pace of 5/8 and Tuesday of 7/8."""
    assert work("12 h", hired="2026-01-03", ramp="4 days") == about((clock(0, 9), clock(1, 17)))


def test_a_leaver_finishes_the_task_in_hand_and_takes_no_new_one() -> None:
    members = [{"name": "Ana", "leaves": "2026-01-06"}, {"name": "Ben", "hired": "2026-01-12"}]
    found = work("10 h", size=2, members=members)
    assert found == about((clock(0, 9), clock(1, 11)), (clock(7, 9), clock(8, 11)))


def test_whoever_leaves_on_the_day_begins_nothing_on_it() -> None:
    members = [{"name": "Ana", "leaves": MONDAY}, {"name": "Ben", "hired": "2026-01-07"}]
    assert work("1 h", members=members) == about((clock(2, 9), clock(2, 10)))


def test_the_night_shift_takes_what_comes_at_night() -> None:
    members = [{"name": "Day"}, {"name": "Night", "calendar": {"days": "Mon-Sun", "hours": "17:00-24:00"}}]
    scenario = toy(
        calendar=OFFICE,
        teams={"sellers": {"members": members}},
        stages={
            "new": {"exits": {"lead": {"after": "11 h"}}},
            "lead": {"work": {"team": "sellers", "effort": "5 h"}, "exits": {"lost": {}}},
        },
    )
    table = tasks(*run(scenario))
    assert table.member.tolist() == ["Night"]
    assert table.begun[0] == pytest.approx(clock(0, 20))
    assert table.ended[0] == pytest.approx(clock(1, 18))


def test_who_comes_after_hours_is_served_in_the_morning() -> None:
    scenario = toy(
        calendar=OFFICE,
        teams={"sellers": {"size": 1}},
        stages={
            "new": {"exits": {"lead": {"after": "8 h"}}},
            "lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"lost": {}}},
        },
    )
    table = tasks(*run(scenario))
    assert table.asked[0] == pytest.approx(clock(0, 17))
    assert table.begun[0] == pytest.approx(clock(1, 9))


def test_a_task_without_effort_takes_no_time_but_needs_open_hours() -> None:
    assert work(0, at="2026-01-10", size=3) == about(*[(clock(7, 9), clock(7, 9))] * 3)


def test_a_task_that_the_horizon_cuts_off_ends_beyond_it() -> None:
    scenario = toy(
        horizon="1 day",
        teams={"sellers": {"size": 1}},
        stages={"lead": {"work": {"team": "sellers", "effort": "30 h"}, "exits": {"lost": {}}}},
    )
    table = tasks(*run(scenario))
    assert table.outcome.tolist() == ["served"]
    assert table.ended[0] > 1.0


def test_a_team_whose_members_never_work_serves_nobody() -> None:
    scenario = toy(
        teams={"sellers": {"size": 2, "selling_time": "0%"}},
        stages={"lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"lost": {}}}},
    )
    assert tasks(*run(scenario)).outcome.tolist() == ["still waiting"]


def test_the_start_may_be_a_closed_day() -> None:
    scenario = toy(
        start="2026-01-03",
        calendar=OFFICE,
        sources={"list": {"at": "2026-01-03", "size": 1}},
        teams={"sellers": {"size": 1}},
        stages={"lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"lost": {}}}},
    )
    records, plan = run(scenario)
    assert records.prospects.born[0] == pytest.approx(clock(0, 9))
    assert tasks(records, plan).begun[0] == pytest.approx(clock(2, 9))


def test_a_leap_day_is_worked() -> None:
    scenario = toy(
        start="2028-02-28",
        calendar=OFFICE,
        sources={"list": {"at": "2028-02-28", "size": 1}},
        teams={"sellers": {"size": 1}},
        stages={"lead": {"work": {"team": "sellers", "effort": "17 h"}, "exits": {"lost": {}}}},
    )
    assert tasks(*run(scenario)).ended[0] == pytest.approx(clock(2, 10))


# --- against counting minutes -----------------------------------------------------------------------------------------


@st.composite
def open_minutes(draw: st.DrawFn) -> tuple[dict[str, Any], list[int]]:
    """A calendar of odd hours, and the minutes of eight weeks in which it is open."""
    cuts = sorted(draw(st.lists(st.integers(0, 1440), min_size=2, max_size=4, unique=True)))
    ranges = list(zip(cuts[::2], cuts[1::2], strict=False))
    days = draw(st.lists(st.sampled_from(range(7)), min_size=1, unique=True))
    closed = draw(st.lists(st.integers(0, 20), max_size=2, unique=True))
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    calendar = {
        "days": [names[day] for day in days],
        "hours": [f"{a // 60:02d}:{a % 60:02d}-{b // 60:02d}:{b % 60:02d}" for a, b in ranges],
        "holidays": [f"2026-01-{5 + day:02d}" for day in closed],
    }
    minutes = [
        1440 * day + minute
        for day in range(56)
        if day % 7 in days and day not in closed
        for begin, end in ranges
        for minute in range(begin, end)
    ]
    return calendar, minutes


@settings(max_examples=60)
@given(open_minutes(), st.integers(1, 700), st.integers(1, 6))
def test_tasks_use_up_the_open_minutes_one_by_one(
    opened: tuple[dict[str, Any], list[int]], effort: int, size: int
) -> None:
    """Task k has the k-th so many open minutes for itself, whatever the hours, days and holidays."""
    calendar, minutes = opened
    scenario = toy(
        horizon="56 days",
        calendar=calendar,
        sources={"list": {"at": MONDAY, "size": size}},
        teams={"sellers": {"size": 1}},
        stages={"lead": {"work": {"team": "sellers", "effort": f"{effort} min"}, "exits": {"lost": {}}}},
    )
    table = tasks(*run(scenario)).sort_values("prospect")
    came = table.asked.iloc[0] * 1440
    minutes = [minute for minute in minutes if minute >= came - 1e-6]
    for k, (begun, ended) in enumerate(zip(table.begun, table.ended, strict=True)):
        mine = minutes[k * effort : (k + 1) * effort]
        if len(mine) == effort:
            assert begun * 1440 == pytest.approx(mine[0], abs=1e-6)
            assert ended * 1440 == pytest.approx(mine[-1] + 1, abs=1e-6)


def test_a_task_that_fills_an_opening_ends_with_it() -> None:
    """One minute a week: rounding must not carry a task of one minute into the next week."""
    scenario = toy(
        calendar={"days": "Mon", "hours": "00:39-00:40"},
        teams={"sellers": {"size": 1}},
        stages={"lead": {"work": {"team": "sellers", "effort": "1 min"}, "exits": {"lost": {}}}},
    )
    records, _ = run(scenario)
    assert records.tasks.ended[0] * 1440 == pytest.approx(40)


@pytest.mark.parametrize(("start", "mean"), [("2026-01-10", 18.0), ("2026-01-06", 24.0), ("2026-01-05", 6.0)])
def test_prospects_come_in_the_shift_that_began_the_evening_before(start: str, mean: float) -> None:
    """24 a night from Monday to Friday: a Saturday has the end of Friday's, a Monday only the beginning of its own."""
    source = {"rate": "24 per working day"}
    parts = {"calendar": {"days": "Mon-Fri", "hours": "22:00-06:00"}, "start": start, "horizon": "1 day"}
    scenario = toy(sources={"web": source}, **parts)
    came = [len(records_of(scenario, k)[0].prospects.born) for k in range(40)]
    assert abs(np.mean(came) - mean) < 4 * (mean / 40) ** 0.5


def test_a_night_shift_and_the_plain_rate_after_it_come_side_by_side() -> None:
    """From Tuesday on 2,400 come a day; until six those of Monday's shift come as well."""
    rate = {"2026-01-05": "240 per working day", "2026-01-06": "2400 per day"}
    calendar = {"days": "Mon-Fri", "hours": "22:00-06:00"}
    scenario = toy(sources={"web": {"rate": rate}}, calendar=calendar, start="2026-01-05", horizon="2 days")
    hours = [records_of(scenario, k)[0].prospects.born * 24 for k in range(10)]
    counts = np.mean([np.histogram(h, [0, 22, 24, 30, 48])[0] for h in hours], axis=0)
    wanted = np.array([0, 60, 600 + 180, 1800])
    assert np.all(np.abs(counts - wanted) <= 4 * np.sqrt(wanted / 10))
