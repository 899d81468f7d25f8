"""The hazard of an exit: what falls due takes place with a chance of its own; who misses it goes on as one so old."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from simfunnel.scenario import Scenario
from tests.helpers import MONDAY, Estimate, moves, run, toy

N = 4000
BEFORE, AFTER = {"date": "until 2026-01-14"}, {"date": "from 2026-01-15"}  # the first ten days, and those after


def exits(effects: list[dict[str, Any]], ways: Any, **parts: Any) -> Scenario:
    """So many prospects who leave a stage by some exits."""
    stages = {"lead": {"exits": ways}, "won": {}}
    return toy(**{"stages": stages, "sources": {"list": {"at": MONDAY, "size": N}}, "effects": effects, **parts})


def left(scenario: Scenario) -> dict[str, np.ndarray[Any, Any]]:
    """When prospects left the stage, by where they went."""
    table = moves(*run(scenario))
    table = table[table.origin == "lead"]
    return {goal: rows.time.to_numpy() for goal, rows in table.groupby("goal")}


def test_half_the_hazard_makes_an_exponential_time_twice_as_long() -> None:
    found = left(exits([{"on": "lead", "hazard": "x0.5"}], {"lost": {"after": {"exponential": "4 days"}}}))["lost"]
    assert stats.kstest(found, stats.expon(scale=8).cdf).pvalue > 1e-4


def test_a_hazard_by_the_date() -> None:
    """None at all for ten days, then the plain one."""
    effect = {"on": "lead", "hazard": "x0", "when": BEFORE}
    found = left(exits([effect], {"lost": {"after": {"exponential": "4 days"}}}))["lost"]
    assert found.min() >= 10
    assert stats.kstest(found - 10, stats.expon(scale=4).cdf).pvalue > 1e-4


def test_a_hazard_by_age_looks_at_the_age_when_the_exit_falls_due() -> None:
    """From the fifth day on a third of the hazard: the law of a piecewise constant hazard."""
    effect = {"on": "lead", "hazard": "/3", "when": {"age": "at least 5 days"}}
    found = left(exits([effect], {"lost": {"after": {"exponential": "6 days"}}}))["lost"]

    def law(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        run_so_far: np.ndarray[Any, Any] = np.minimum(t, 5) / 6 + np.maximum(t - 5, 0) / 18
        return 1 - np.exp(-run_so_far)

    assert stats.kstest(found, law).pvalue > 1e-4


def test_exits_compete_for_those_who_missed_one() -> None:
    """Two exits of the same exponential law have half its hazard each: without the one, the other takes all in time."""
    ways = {"won": {"chance": "50%", "after": {"exponential": "4 days"}}, "lost": {"after": {"exponential": "4 days"}}}
    found = left(exits([{"on": "lead -> won", "hazard": "x0"}], ways))
    assert set(found) == {"lost"}
    assert stats.kstest(found["lost"], stats.expon(scale=8).cdf).pvalue > 1e-4
    shares = left(exits([{"on": "lead -> won", "hazard": "x0.25"}], ways))
    error = math.sqrt(0.2 * 0.8 / N)
    Estimate(len(shares["won"]) / N, error, N).check(0.2, "share won", precision=0.1)


def test_who_misses_the_last_moment_stays() -> None:
    """A time between 0 and 10 days that never takes place is over then; with a limit the limit comes."""
    law = {"uniform": {"low": "0 days", "high": "10 days"}}
    never = {"on": "lead -> won", "hazard": "x0"}
    ways = {"won": {"chance": "50%", "after": law}, "stays": {}}
    assert left(exits([never], ways)) == {}
    half = left(exits([{"on": "lead -> won", "hazard": "x0", "when": AFTER}], {"won": {"after": law}}))
    assert len(half["won"]) == N
    stages = {"lead": {"limit": {"after": "20 days", "to": "lost"}, "exits": ways}, "won": {}}
    limited = left(exits([never], ways, stages=stages))
    assert set(limited["lost"]) == {20.0}


def test_an_open_deal_misses_as_one_of_its_age() -> None:
    """A uniform time up to 20 days, no hazard for ten days: of deals of age 5, those due later leave, and no others."""
    rows = [{"id": f"D{k}", "stage": "lead", "age": "5 days"} for k in range(N)]
    law = {"uniform": {"low": "0 days", "high": "20 days"}}
    effect = {"on": "lead", "hazard": "x0", "when": {"age": "over 5 days"} | BEFORE}
    found = left(exits([effect], {"lost": {"after": law}}, sources={"open": {"deals": rows}}))["lost"]
    assert found.min() >= 10
    assert stats.kstest(found, stats.uniform(10, 5).cdf).pvalue > 1e-4


@pytest.mark.parametrize("after", [0, "6 days"])
def test_a_time_of_no_spread_comes_once(after: Any) -> None:
    """What happens at once is no matter of hazard; what falls due on one day takes place then or never."""
    found = left(exits([{"on": "lead", "hazard": "x0.5"}], {"lost": {"after": after}}))["lost"]
    if after == 0:
        assert len(found) == N
    else:
        Estimate(len(found) / N, math.sqrt(0.25 / N), N).check(0.5, "share that takes place", precision=0.1)


def test_pace_and_hazard_work_together() -> None:
    """Time stands still on weekends, and half of what falls due takes place."""
    effects = [
        {"when": {"weekday": "Sat, Sun"}, "on": "lead", "pace": "x0"},
        {"on": "lead", "hazard": "x0.5"},
    ]
    found = left(exits(effects, {"lost": {"after": {"exponential": "4 days"}}}))["lost"]
    working = found - 2 * np.floor(found / 7)
    assert stats.kstest(working, stats.expon(scale=8).cdf).pvalue > 1e-4


def test_who_missed_for_long_can_still_leave() -> None:
    """A time of an hour on average, and a weekend without it: 48 hours are more than any table of quantiles reaches."""
    weekend = {"on": "lead", "hazard": "x0", "when": {"weekday": "Sat, Sun"}}
    saturday = {"list": {"at": "2026-01-10", "size": N}}
    found = left(exits([weekend], {"lost": {"after": {"exponential": "1 h"}}}, sources=saturday))["lost"]
    monday = 7.0  # days after the start, a Monday
    assert found.min() >= monday
    assert stats.kstest(found - monday, stats.expon(scale=1 / 24).cdf).pvalue > 1e-4


@pytest.mark.parametrize(("after", "share"), [("6.1 days", 0.5), ({"empirical": ["1 h", "5 h", "7 h"]}, None)])
def test_a_moment_that_was_missed_does_not_come_again(after: Any, share: float | None) -> None:
    """With a pace, ages are differences of running sums; rounding must not bring the same moment twice."""
    effects = [{"on": "lead", "hazard": "x0.5"}, {"when": {"weekday": "Sat, Sun"}, "pace": "x0.3"}]
    stages = {"lead": {"exits": {"lost": {"after": after}}}}
    records, _ = run(toy(stages=stages, sources={"web": {"rate": "40 per day"}}, effects=effects, horizon="100 days"))
    early = np.flatnonzero(records.prospects.born < 80)
    gone = np.isin(early, records.moves.prospect[records.moves.goal != 0]).mean()
    expected = share if share is not None else _of_three()
    Estimate(float(gone), math.sqrt(expected * (1 - expected) / len(early)), len(early)).check(expected, "share gone")


def _of_three() -> float:
    """The share that leaves at one of three moments with hazards 1/3, 1/2 and 1, each halved."""
    stays = (1 - 1 / 6) * (1 - 1 / 4) * (1 - 1 / 2)
    return 1 - stays
