"""The pace of an exit's time: slow on some days, fast on others, the same for everyone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from simfunnel.scenario import Scenario
from tests.helpers import MONDAY, moves, run, toy

N = 4000
WEEKEND = {"when": {"weekday": "Sat, Sun"}, "on": "lead", "pace": "x0"}


def exits(effects: list[dict[str, Any]], after: Any, **parts: Any) -> Scenario:
    """So many prospects who leave a stage by one exit."""
    stages = {"lead": {"exits": {"lost": {"after": after}}}}
    sources = {"list": {"at": MONDAY, "size": N}}
    return toy(**{"stages": stages, "sources": sources, "effects": effects, **parts})


def times(scenario: Scenario) -> np.ndarray[Any, Any]:
    table = moves(*run(scenario))
    return table[table.goal == "lost"].time.to_numpy()


def test_a_constant_time_stands_still_on_weekends() -> None:
    """Seven working days from a Monday's midnight end on the Wednesday of the week after."""
    assert set(times(exits([WEEKEND], "7 days"))) == {9.0}
    assert set(times(exits([WEEKEND | {"on": "lead -> lost", "pace": "x0.5"}], "7 days"))) == {8.0}


def test_the_time_of_each_exit_has_a_pace_of_its_own() -> None:
    stages = {
        "lead": {"exits": {"won": {"chance": "50%", "after": "7 days"}, "lost": {"after": "7 days"}}},
        "won": {},
    }
    table = moves(*run(exits([WEEKEND | {"on": "lead -> won"}], 0, stages=stages)))
    left = table[table.origin == "lead"].groupby("goal").time.agg(set)
    assert left["won"] == {9.0}
    assert left["lost"] == {7.0}


def test_holidays_are_those_of_the_calendar() -> None:
    calendar = {"days": "Mon-Fri", "hours": "09:00-17:00", "holidays": ["2026-01-06", "2026-01-07"]}
    effects = [{"when": {"holiday": True}, "pace": "x0"}]
    assert set(times(exits(effects, "7 days", calendar=calendar))) == {9.375}  # a list comes at nine
    assert set(times(exits([{"when": {"holiday": "no"}, "pace": "x7"}], "7 days"))) == {1.0}


def test_arrivals_know_holidays() -> None:
    calendar = {"days": "Mon-Fri", "hours": "09:00-17:00", "holidays": ["2026-01-06"]}
    effects = [{"when": {"holiday": "yes"}, "arrivals": "x0"}]
    records, _ = run(toy(sources={"web": {"rate": "50 per day"}}, calendar=calendar, effects=effects, horizon="3 days"))
    day = np.floor(records.prospects.born)
    assert (day == 0).sum() > 0
    assert (day == 1).sum() == 0
    assert (day == 2).sum() > 0


def test_the_law_in_the_exits_own_time_stays() -> None:
    """Twice the pace for ten days, then the plain one: the time that has run is exponential."""
    found = times(exits([{"when": {"date": "until 2026-01-14"}, "pace": "x2"}], {"exponential": "12 days"}))
    own = np.where(found < 10, 2 * found, found + 10)
    assert stats.kstest(own, stats.expon(scale=12).cdf).pvalue > 1e-4
    assert stats.kstest(found, stats.expon(scale=12).cdf).pvalue < 1e-9


@pytest.mark.parametrize("age", [3, 10])
def test_an_open_deal_is_as_old_as_its_own_time_says(age: int) -> None:
    """The run begins on a Monday; weekends before it count in the age no more than those after it."""
    rows = [{"id": f"D{k}", "stage": "lead", "age": f"{age} days"} for k in range(N)]
    law = {"uniform": {"low": "0 days", "high": "10 days"}}
    found = times(exits([WEEKEND], law, sources={"open": {"deals": rows}}))
    lived = {3: 1, 10: 6}[age]  # Friday; Friday and the five days of the week before
    working = found - 2 * np.floor(found / 7)
    assert stats.kstest(working, stats.uniform(0, 10 - lived).cdf).pvalue > 1e-4


def test_what_no_time_is_left_for_does_not_come() -> None:
    """A time that never runs, with a limit and without one."""
    never = {"when": {"date": "from 2026-01-08"}, "pace": "x0"}
    assert len(times(exits([never], "7 days"))) == 0
    stages = {"lead": {"limit": {"after": "20 days"}, "exits": {"lost": {"after": "7 days"}}}}
    assert set(times(exits([never], 0, stages=stages))) == {20.0}


def test_one_open_deal_more_changes_no_other_time() -> None:
    """The map reaches back to the oldest deal; the times of the others must not follow it, beyond rounding."""
    rows = [{"id": f"D{k}", "stage": "lead", "age": "3 days"} for k in range(50)]
    old = {"id": "old", "stage": "lead", "age": "900 days"}
    after = {"exponential": "12 days"}
    one, more = (
        moves(*run(exits([WEEKEND], after, sources={"open": {"deals": deals}}))) for deals in (rows, [*rows, old])
    )
    one, more = (table[table.goal == "lost"].set_index("key").time for table in (one, more))
    assert np.allclose(one, more[one.index], rtol=0, atol=1e-9)
