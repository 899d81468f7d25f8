"""Each kind of effect, by exact times and amounts, or by odds within four standard errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from simfunnel.engines.records import Records
from simfunnel.plan import Plan
from simfunnel.scenario import Scenario
from tests import helpers
from tests.helpers import MONDAY, moves, run, tasks, toy

N = 3000


def coin(effects: list[dict[str, Any]], **parts: Any) -> Scenario:
    """A list of prospects, each of whom is won or lost at even odds before any effect."""
    base: dict[str, Any] = {
        "sources": {"list": {"at": MONDAY, "size": N}},
        "stages": {"lead": {"exits": {"won": {"chance": "50%"}, "lost": {}}}, "won": {}},
    }
    return toy(**{**base, **parts, "effects": effects})


def won(scenario: Scenario) -> np.ndarray[Any, Any]:
    """Of each prospect, whether it was won."""
    return won_in(*run(scenario))


def won_in(records: Records, plan: Plan) -> np.ndarray[Any, Any]:
    """Of each prospect of a run, whether it was won."""
    found = np.zeros(len(records.prospects.key), dtype=bool)
    found[records.moves.prospect[records.moves.goal == plan.place_names.index("won")]] = True
    return found


def chance(odds: float) -> float:
    return odds / (1 + odds)


def check_share(hits: np.ndarray[Any, Any], expected: float, what: str) -> None:
    assert len(hits) > 500
    helpers.share_of(hits, expected).check(expected, what, precision=0.1)


# --- odds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "odds"), [("x3", 3.0), ("/4", 0.25), ("+50%", 1.5), (2, 2.0), ("x1", 1.0)], ids=str)
def test_a_factor_multiplies_the_odds(factor: Any, odds: float) -> None:
    check_share(won(coin([{"on": "lead -> won", "odds": factor}])), chance(odds), "won")


def test_on_a_stage_odds_mean_all_exits_forward() -> None:
    check_share(won(coin([{"on": "lead", "odds": "x3"}])), chance(3.0), "won")


def test_effects_multiply_each_other() -> None:
    check_share(won(coin([{"on": "lead -> won", "odds": "x3"}, {"on": "lead", "odds": "/2"}])), chance(1.5), "won")


def test_an_effect_on_one_exit_keeps_the_odds_among_the_others() -> None:
    exits = {"won": {"chance": "20%"}, "nursery": {"chance": "20%"}, "lost": {}}
    stages = {"lead": {"exits": exits}, "won": {}, "nursery": {}}
    found = helpers.ends(*run(coin([{"on": "lead -> won", "odds": "x4"}], stages=stages)))
    total = 0.8 + 0.2 + 0.6
    for goal, weight in (("won", 0.8), ("nursery", 0.2), ("lost", 0.6)):
        share = weight / total
        error = math.sqrt(share * (1 - share) / N)
        helpers.Estimate(found[goal] / N, error, N).check(share, goal)


def test_an_effect_holds_only_for_whom_it_is_meant() -> None:
    attributes = {"segment": {"small": "50%", "big": "50%"}, "seats": {"uniform": {"low": 0, "high": 10}}}
    effects = [{"when": {"segment": "big", "seats": "over 5"}, "on": "lead -> won", "odds": "x5"}]
    scenario = coin(effects, attributes=attributes)
    records, plan = run(scenario)
    segment, seats = records.prospects.attributes.T
    chosen = (segment == 1) & (seats > 5)
    hits = won_in(records, plan)
    assert (hits[~chosen] == won(coin([], attributes=attributes))[~chosen]).all()
    check_share(hits[chosen], chance(5.0), "of those meant")


def test_one_of_several_values_is_enough() -> None:
    attributes = {"segment": {"small": "40%", "mid": "30%", "big": "30%"}}
    scenario = coin([{"when": {"segment": ["mid", "big"]}, "on": "lead -> won", "odds": "x5"}], attributes=attributes)
    records, plan = run(scenario)
    segment, hits = records.prospects.attributes[:, 0], won_in(records, plan)
    check_share(hits[segment > 0], chance(5.0), "mid and big")
    check_share(hits[segment == 0], 0.5, "small")


def test_odds_by_source_and_by_value() -> None:
    sources = {"list": {"at": MONDAY, "size": N}, "fair": {"at": MONDAY, "size": N}}
    scenario = coin([{"when": {"source": "fair"}, "on": "lead -> won", "odds": "x3"}], sources=sources)
    records, plan = run(scenario)
    source, hits = records.prospects.source, won_in(records, plan)
    check_share(hits[source == 1], chance(3.0), "fair")
    check_share(hits[source == 0], 0.5, "list")
    scenario = coin(
        [{"when": {"value": "10k to 20k"}, "on": "lead -> won", "odds": "x3"}],
        value={"uniform": {"low": 0, "high": 20000}},
    )
    records, plan = run(scenario)
    value, hits = records.prospects.value, won_in(records, plan)
    check_share(hits[value >= 10_000], chance(3.0), "dear")
    check_share(hits[value < 10_000], 0.5, "cheap")


def test_odds_by_the_wait_for_the_first_touch() -> None:
    """One seller, an hour for each of a list: the k-th of them has waited k hours."""
    stages = {
        "lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"won": {"chance": "50%"}, "lost": {}}},
        "won": {},
    }
    scenario = coin(
        [{"when": {"waited": "100 h to 2000 h"}, "on": "lead -> won", "odds": "/7"}],
        sources={"list": {"at": MONDAY, "size": 4000}},
        stages=stages,
        teams={"sellers": {"size": 1}},
        horizon="1 year",
    )
    records, plan = run(scenario)
    table, hits = tasks(records, plan).sort_values("prospect"), won_in(records, plan)
    waited = np.rint((table.begun - table.asked).to_numpy() * 24)
    assert sorted(waited) == list(range(4000))
    inside = (waited >= 100) & (waited < 2000)
    check_share(hits[inside], chance(1 / 7), "after a wait")
    check_share(hits[~inside], 0.5, "the others")


def test_odds_for_each_touch_and_each_visit() -> None:
    work = {"team": "sellers", "effort": 0, "touches": 3}
    stages = {"lead": {"work": work, "exits": {"won": {"chance": "50%"}, "lost": {}}}, "won": {}}
    scenario = coin(
        [{"on": "lead -> won", "odds": "x0.5", "per": "touches"}], stages=stages, teams={"sellers": {"size": 9}}
    )
    check_share(won(scenario), chance(0.125), "after three touches")
    stages = {
        "lead": {"exits": {"won": {"chance": "25%", "after": "1 day"}, "rest": {"after": "1 day"}}},
        "won": {},
        "rest": {"exits": {"lead": {"after": "1 day"}}},
    }
    scenario = coin([{"on": "lead -> won", "odds": "x2", "per": "visits"}], stages=stages)
    table = moves(*run(scenario))
    closed = table[table.origin == "lead"]
    for visit, odds in enumerate((1 / 3, 2 / 3, 4 / 3, 8 / 3)):
        at = closed[closed.time == 1 + 2 * visit]
        check_share((at.goal == "won").to_numpy(), chance(odds), f"visit {visit}")


def test_odds_for_each_generation() -> None:
    refers = {"number": 1, "after": "1 day", "source": "friends"}
    stages = {
        "lead": {"refers": refers, "exits": {"won": {"chance": "50%", "after": "2 days"}, "lost": {"after": "2 days"}}},
        "won": {},
    }
    sources = {"list": {"at": MONDAY, "size": 1500}, "friends": {}}
    scenario = coin(
        [{"on": "lead -> won", "odds": "x0.5", "per": "generation"}], sources=sources, stages=stages, horizon="6 days"
    )
    records, plan = run(scenario)
    for g in range(3):
        check_share(won_in(records, plan)[records.prospects.generation == g], chance(0.5**g), f"generation {g}")


def test_odds_by_the_member_and_their_skill() -> None:
    stages = {
        "lead": {"work": {"team": "sellers", "effort": 0}, "exits": {"won": {"chance": "50%"}, "lost": {}}},
        "won": {},
    }
    members = [{"name": "Ana", "skill": 3}, {"name": "Ben"}, {"name": "Cyd"}]
    scenario = coin(
        [{"when": {"member": "Cyd"}, "on": "lead -> won", "odds": "x0.5"}],
        stages=stages,
        teams={"sellers": {"members": members}},
    )
    records, plan = run(scenario)
    member = tasks(records, plan).sort_values("prospect").member.to_numpy()
    for name, odds in (("Ana", 3.0), ("Ben", 1.0), ("Cyd", 0.5)):
        check_share(won_in(records, plan)[member == name], chance(odds), name)


def test_skill_counts_only_in_stages_with_work_of_the_members_team() -> None:
    stages = {
        "lead": {"work": {"team": "sellers", "effort": 0}, "exits": {"quote": {}}},
        "quote": {"exits": {"won": {"chance": "50%"}, "lost": {}}},
        "won": {},
    }
    scenario = coin([], stages=stages, teams={"sellers": {"size": 1, "skill": 9}})
    check_share(won(scenario), 0.5, "won where nobody worked")


# --- dates ------------------------------------------------------------------------------------------------------------


def daily(effects: list[dict[str, Any]], **parts: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Whether each of a stream of prospects was won, and the day on which that was decided."""
    scenario = coin(effects, sources={"in": {"rate": "60 per day"}}, **parts)
    records, plan = run(scenario)
    return won_in(records, plan), np.floor(records.prospects.born).astype(int)


def test_odds_by_date_both_days_taken_in() -> None:
    hits, day = daily([{"when": {"date": "2026-01-15 to 2026-02-05"}, "on": "lead -> won", "odds": "x4"}])
    inside = (day >= 10) & (day <= 31)
    check_share(hits[inside], chance(4.0), "inside")
    check_share(hits[~inside], 0.5, "outside")


def test_odds_by_weekday_and_month() -> None:
    hits, day = daily([{"when": {"weekday": "Sat, Sun", "month": "Feb"}, "on": "lead -> won", "odds": "x4"}])
    inside = (day % 7 >= 5) & (day >= 27) & (day < 55)
    check_share(hits[~inside], 0.5, "outside")
    helpers.share_of(hits[inside], 0.8).check(0.8, "weekends of February")


@pytest.mark.parametrize(
    ("which", "ends", "first", "last"),
    [
        ("last 14", "December", 72, 85),  # 18 to 31 March
        ("first 7", "December", 86, 92),  # 1 to 7 April (the run starts on the fifth day of the quarter)
        ("last 14", "January", 13, 26),  # 18 to 31 January
        ("first 7", "January", 27, 33),  # 1 to 7 February
    ],
)
def test_odds_by_the_day_of_the_fiscal_quarter(which: str, ends: str, first: int, last: int) -> None:
    effects = [{"when": {"quarter_day": which}, "on": "lead -> won", "odds": "x4"}]
    hits, day = daily(effects, fiscal_year_ends=ends, horizon="95 days")
    inside = (day >= first) & (day <= last)
    helpers.share_of(hits[inside], 0.8).check(0.8, "inside")
    opening_days = (day < 3) & (which == "first 7") & (ends == "December")
    at_the_end = (day >= 116) & (which == "last 14")
    check_share(hits[~inside & ~opening_days & ~at_the_end], 0.5, "outside")


def test_odds_fade_from_a_day_on() -> None:
    """The logarithm of the factor halves with each half-life: x16 on the day, x4 after one, x2 after two."""
    effects = [{"on": "lead -> won", "odds": "x16", "fades": {"from": "2026-01-15", "half_life": "10 days"}}]
    sources = {f"list {day}": {"at": f"2026-{day}", "size": 1000} for day in ("01-14", "01-15", "01-25", "02-04")}
    scenario = coin(effects, sources=sources)
    records, plan = run(scenario)
    for k, odds in enumerate((1.0, 16.0, 4.0, 2.0)):
        check_share(won_in(records, plan)[records.prospects.source == k], chance(odds), f"list {k}")


def test_odds_by_age() -> None:
    stages = {
        "new": {"exits": {"lead": {"after": {"uniform": {"low": "0 days", "high": "10 days"}}}}},
        "lead": {"exits": {"won": {"chance": "50%"}, "lost": {}}},
        "won": {},
    }
    scenario = coin([{"when": {"age": "over 5 days"}, "on": "lead -> won", "odds": "x4"}], stages=stages)
    table = moves(*run(scenario))
    closed = table[table.origin == "lead"]
    old = closed.time > 5
    check_share((closed[old].goal == "won").to_numpy(), chance(4.0), "old")
    check_share((closed[~old].goal == "won").to_numpy(), 0.5, "young")


# --- the others -------------------------------------------------------------------------------------------------------


def test_time_stretches_the_time_of_an_exit_alone() -> None:
    stages = {"lead": {"exits": {"won": {"chance": "50%", "after": "2 days"}, "lost": {"after": "3 days"}}}, "won": {}}
    table = moves(*run(coin([{"on": "lead -> won", "time": "x2.5"}], stages=stages)))
    assert {(row.goal, row.time) for row in table[table.time > 0].itertuples()} == {("won", 5.0), ("lost", 3.0)}
    table = moves(*run(coin([{"on": "lead", "time": "x2"}], stages=stages)))
    assert {(row.goal, row.time) for row in table[table.time > 0].itertuples()} == {("won", 4.0), ("lost", 6.0)}


def test_an_effect_on_no_place_is_on_every_place() -> None:
    stages = {"lead": {"exits": {"quote": {"after": "2 days"}}}, "quote": {"exits": {"lost": {"after": "3 days"}}}}
    table = moves(*run(coin([{"time": "x2"}], stages=stages, sources={"list": {"at": MONDAY, "size": 1}})))
    assert table.time.tolist() == [0.0, 4.0, 10.0]


WORKED = {
    "teams": {"sellers": {"size": 1}},
    "sources": {"a": {"at": MONDAY, "size": 1}, "b": {"at": MONDAY, "size": 1}},
    "stages": {"lead": {"work": {"team": "sellers", "effort": "10 h", "patience": "8 h"}, "exits": {"lost": {}}}},
}


def test_effort_is_multiplied() -> None:
    scenario = toy(**WORKED, effects=[{"when": {"source": "a"}, "on": "lead", "effort": "-70%"}])
    table = tasks(*run(scenario))
    assert (table.ended - table.begun).tolist() == pytest.approx([3 / 24, 10 / 24])


def test_patience_is_multiplied() -> None:
    scenario = toy(**WORKED, effects=[{"when": {"source": "b"}, "on": "lead", "patience": "x1.125"}])
    table = tasks(*run(scenario))
    assert table.outcome.tolist() == ["served", "gave up"]
    assert table.left.tolist()[1] == pytest.approx(9 / 24)


def test_effort_for_each_touch_and_a_fading_one() -> None:
    work = {"team": "sellers", "effort": "8 h", "touches": 3, "every": "16 h"}
    scenario = toy(
        teams={"sellers": {"size": 1}},
        stages={"lead": {"work": work, "exits": {"lost": {}}}},
        effects=[{"on": "lead", "effort": "x0.5", "per": "touches"}],
    )
    table = tasks(*run(scenario))
    assert ((table.ended - table.begun) * 24).tolist() == pytest.approx([8, 4, 2])
    fading = [{"on": "lead", "effort": "x4", "fades": {"from": "2026-01-06", "half_life": "1 day"}}]
    table = tasks(*run(scenario.override({"effects": fading})))
    assert table.begun.tolist() == pytest.approx([0.0, 1.0, 1 + 2])  # the second takes four times 8 hours
    assert ((table.ended - table.begun) * 24).tolist() == pytest.approx([8, 32, 8 * 4**0.25])


def test_value_is_multiplied_at_birth_for_those_meant() -> None:
    scenario = coin([{"when": {"source": "list", "month": "Jan"}, "value": "x3"}], value=100)
    assert set(run(scenario)[0].prospects.value) == {300.0}


def test_arrivals_are_multiplied_by_date() -> None:
    """The rate doubles from 15 to 24 January: days 10 to 19."""
    effects = [{"when": {"date": "2026-01-15 to 2026-01-24"}, "on": "in", "arrivals": "x2"}]
    sources = {"in": {"rate": "100 per day"}, "other": {"rate": "100 per day"}}
    scenario = toy(horizon="30 days", sources=sources, effects=effects)
    records, _ = run(scenario)
    born, source = records.prospects.born, records.prospects.source
    inside = (born >= 10) & (born < 20)
    for which, expected in (
        (inside & (source == 0), 2000),
        (~inside & (source == 0), 2000),
        (inside & (source == 1), 1000),
    ):
        helpers.Estimate(float(which.sum()), math.sqrt(expected), 1).check(expected, "arrivals")


def test_arrivals_fade_day_by_day() -> None:
    """From day 10 on the rate is 100 times 4 ** (0.5 ** days): 400, 200 and 141 in the first three days."""
    effects = [{"on": "in", "arrivals": "x4", "fades": {"from": "2026-01-15", "half_life": "1 day"}}]
    scenario = toy(horizon="13 days", sources={"in": {"rate": "100 per day"}}, effects=effects)
    counts = np.array([np.bincount(run(scenario, k)[0].prospects.born.astype(int), minlength=13) for k in range(30)])
    for day, expected in ((9, 100.0), (10, 400.0), (11, 200.0), (12, 100 * 4**0.25)):
        helpers.mean_of(counts[:, day]).check(expected, f"day {day}", precision=0.03)


def test_season_weekday_and_working_days_shape_the_rate() -> None:
    sources = {
        "in": {"rate": "50 per day", "weekday": {"Sat": "x0.2", "Sun": "x0"}, "season": {"Feb": "x2"}},
        "office": {"rate": "40 per working day"},
    }
    calendar = {"days": "Mon-Fri", "hours": "09:00-12:00, 13:00-17:00", "holidays": ["2026-01-07"]}
    scenario = toy(horizon="55 days", calendar=calendar, sources=sources)  # to 28 February
    counts = np.zeros((2, 20, 55))
    hours: set[int] = set()
    for k in range(20):
        people = run(scenario, k)[0].prospects
        for source in (0, 1):
            born = people.born[people.source == source]
            counts[source, k] = np.bincount(born.astype(int), minlength=55)
        hours |= set(np.floor(born % 1 * 24).astype(int).tolist())
    day = np.arange(55)
    expected = 50 * np.where(day % 7 == 5, 0.2, np.where(day % 7 == 6, 0.0, 1.0)) * np.where(day >= 27, 2, 1)
    open_ = 40.0 * ((day % 7 < 5) & (day != 2))
    for found, wanted in ((counts[0], expected), (counts[1], open_)):
        assert (found[:, wanted == 0] == 0).all()
        some = wanted > 0
        z = (found[:, some].mean(axis=0) - wanted[some]) / np.sqrt(wanted[some] / 20)
        assert np.abs(z).max() < 4.5
        assert abs(found.sum() - 20 * wanted.sum()) < 4 * math.sqrt(20 * wanted.sum())
    assert hours == {9, 10, 11, 13, 14, 15, 16}
