"""Where an engine could fall over: circles without time, endless chains, horizons of a moment, emptiness."""

from __future__ import annotations

from typing import Any

import pytest

from simfunnel import kpi_tables, replicate
from simfunnel.engines import bounds
from simfunnel.errors import RunError
from tests.helpers import MONDAY, ends, lives, moves, run, tasks, toy

LIST = {"list": {"at": MONDAY, "size": 1}}

BACK = {"chance": "99.9999%"}  # the reading of a scenario finds those circles that nobody can leave
CIRCLES: dict[str, dict[str, Any]] = {
    "to itself": {"one": {"exits": {"one": BACK, "lost": {}}}},
    "there and back": {"one": {"exits": {"two": BACK, "lost": {}}}, "two": {"exits": {"one": {}}}},
    "by route": {"one": {"route": [{"to": "two"}]}, "two": {"route": [{"when": {"source": "list"}, "to": "one"}]}},
    "by limit": {"one": {"limit": {"after": 0, "to": "one"}}},
    "by work without effort": {"one": {"work": {"team": "sellers", "effort": 0}, "exits": {"one": BACK, "lost": {}}}},
    "by impatience": {"one": {"work": {"team": "nobody", "effort": 0, "patience": 0, "gives_up": "one"}}},
    "in less than a moment": {"one": {"exits": {"two": {"after": "1e-300 days"}}}, "two": {"exits": {"one": {}}}},
}


@pytest.mark.parametrize("stages", CIRCLES.values(), ids=CIRCLES)
def test_a_circle_that_takes_no_time_is_told(stages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_MOVES", 200)
    scenario = toy(teams={"sellers": {"size": 1}, "nobody": {"size": 0}}, stages=stages)
    with pytest.raises(RunError, match=r"last from '(one|two)': a circle that takes no time"):
        run(scenario)


def test_a_long_life_is_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """One who comes round every hour for 90 days moves more often than a circle may within a minute."""
    monkeypatch.setattr(bounds, "MAX_MOVES", 200)
    records, _ = run(toy(horizon="90 days", stages={"one": {"exits": {"one": {"after": "1 h"}}}}))
    assert len(records.moves.time) == 90 * 24


def chain(number: float, after: str | int) -> dict[str, Any]:
    refers = {"number": number, "after": after, "source": "friends"}
    return {"sources": {**LIST, "friends": {}}, "stages": {"customer": {"books": 1, "refers": refers}}}


def test_a_circle_of_one_among_many_is_told_at_once() -> None:
    """The others stand still when one is found going round."""
    scenario = toy(sources={"list": {"at": MONDAY, "size": 200}}, stages=CIRCLES["to itself"])
    with pytest.raises(RunError, match="a circle that takes no time"):
        run(scenario)


def test_a_chain_that_takes_no_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_AT_ONCE", 500)
    for number in (1, 3):
        with pytest.raises(RunError, match="'friends' brought 500 prospects in one instant"):
            run(toy(**chain(number, 0)))


def test_a_chain_that_fills_the_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_REFERRED", 2000)
    with pytest.raises(RunError, match="'friends' brought 2,000 prospects: each brings more than one"):
        run(toy(**chain(2, "1 day")))


def test_many_referred_by_many_at_one_instant_are_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_AT_ONCE", 500)
    monkeypatch.setattr(bounds, "MAX_REFERRED", 500)
    scenario = toy(**chain(1, 0)).override(
        {"sources.list.size": 2000, "sources.friends.enters": "end", "stages.end": {}}
    )
    assert len(run(scenario)[0].prospects.key) == 4000


def test_referring_again_in_no_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_MOVES", 200)
    scenario = toy(**chain(0, 0)).override({"stages.customer.refers.every": {"empirical": [*[0] * 9999, "1 day"]}})
    with pytest.raises(RunError, match="refers without end in no time"):
        run(scenario)


def test_referring_every_hour_for_years_is_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_MOVES", 200)
    scenario = toy(**chain(0, 0)).override({"stages.customer.refers.every": "1 h"})
    run(scenario)
    deal = {"deals": [{"id": "D1", "stage": "customer", "age": "1 year"}]}
    assert len(run(scenario.override({"sources.list": None, "sources.open": deal}))[0].prospects.key) == 1


# --- horizons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", ["10 min", "6 h", "1 day", "1.5 days", "0.01 weeks"])
def test_a_horizon_may_be_shorter_than_a_day_or_end_within_one(horizon: str) -> None:
    lead = {
        "work": {"team": "sellers", "effort": "5 min"},
        "exits": {"customer": {"chance": "50%"}, "lost": {}},
    }
    scenario = toy(
        horizon=horizon,
        sources={**LIST, "inbound": {"rate": "2000 per day"}},
        teams={"sellers": {"size": 2}},
        stages={"lead": lead, "customer": {"books": 5}},
    )
    records, plan = run(scenario)
    assert (records.moves.time < plan.days).all()
    assert len(records.prospects.key) == pytest.approx(2000 * plan.days, abs=4 * (2000 * plan.days) ** 0.5 + 1)
    runs = replicate.run(scenario, 2)
    assert not runs.kpis.empty
    assert kpi_tables.queues(records, plan).utilisation[0] == pytest.approx(1.0, abs=0.4)


def test_what_falls_on_the_horizon_does_not_happen() -> None:
    scenario = toy(horizon="3 days", stages={"lead": {"exits": {"lost": {"after": "3 days"}}}})
    assert ends(*run(scenario)) == {"lead": 1, "lost": 0}
    assert ends(*run(scenario.override({"horizon": "3.0001 days"}))) == {"lead": 0, "lost": 1}


def test_a_longer_horizon_only_adds() -> None:
    stages = {
        "lead": {
            "work": {"team": "sellers", "effort": "5 h", "patience": "2 days"},
            "exits": {"lost": {"after": "1 day"}},
        }
    }
    short = toy(
        horizon="20 days", sources={"inbound": {"rate": "6 per day"}}, teams={"sellers": {"size": 1}}, stages=stages
    )
    (few, few_plan), (many, many_plan) = run(short), run(short.override({"horizon": "200 days"}))
    before, after = lives(few, few_plan), lives(many, many_plan)
    assert len(after) > len(before) > 50
    for key, life in before.items():
        for move, same in zip(life, after[key], strict=False):
            assert move == (pytest.approx(same[0], rel=1e-12), *same[1:])
        assert all(time >= 20 for time, _, _ in after[key][len(life) :])


# --- empty everything -------------------------------------------------------------------------------------------------

WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EMPTY: dict[str, dict[str, Any]] = {
    "rate of nought": {"inbound": {"rate": "0 per day"}},
    "empty list": {"list": {"at": MONDAY, "size": 0}},
    "no deals": {"open": {"deals": []}},
    "filled by nobody": {"friends": {}},
    "list after the horizon": {"list": {"at": "2036-01-01", "size": 5}},
    "rate from a day after the horizon": {"inbound": {"rate": {"2036-01-01": "5 per day"}}},
    "closed on all days": {"inbound": {"rate": "5 per day", "weekday": dict.fromkeys(WEEK, "x0")}},
}


@pytest.mark.parametrize("sources", EMPTY.values(), ids=EMPTY)
def test_empty_sources_give_empty_results(sources: dict[str, Any]) -> None:
    scenario = toy(
        sources=sources,
        teams={"sellers": {"size": 1}},
        stages={
            "lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"customer": {}}},
            "customer": {"books": 1},
        },
    )
    records, plan = run(scenario)
    assert len(records.prospects.key) == len(records.moves.time) == len(records.tasks.prospect) == 0
    runs = replicate.run(scenario, 2, by="source", log=True, deals=True)
    by_metric = runs.kpis.groupby("metric")["value"].sum()
    assert by_metric["prospects"] == by_metric["bookings"] == by_metric["open_deals"] == 0
    assert len(kpi_tables.funnel(records, plan)) == 2


def test_nobody_in_a_team_of_members_with_count_nought() -> None:
    scenario = toy(
        teams={"sellers": {"members": [{"count": 0}]}},
        stages={"lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"lost": {}}}},
    )
    assert tasks(*run(scenario)).outcome.tolist() == ["still waiting"]


# --- odd but allowed --------------------------------------------------------------------------------------------------


def test_a_time_stretched_to_nothing_is_no_time() -> None:
    stages = {"lead": {"exits": {"lost": {"after": {"exponential": "5 days"}}}}}
    scenario = toy(stages=stages, effects=[{"on": "lead", "time": "x0"}])
    assert moves(*run(scenario)).time.tolist() == [0.0, 0.0]


def test_an_open_deal_whose_exits_take_no_time_by_an_effect_stays() -> None:
    """It would have left at once, but it is still there: no exit can explain it, so it stays (until a limit)."""
    deals = {"open": {"deals": [{"id": "D1", "stage": "lead", "age": "5 days"}]}}
    stages = {"lead": {"exits": {"lost": {"after": {"exponential": "5 days"}}}}}
    scenario = toy(sources=deals, stages=stages, effects=[{"on": "lead", "time": "x0"}])
    assert ends(*run(scenario)) == {"lead": 1, "lost": 0}


def test_odds_of_nought_close_every_exit() -> None:
    stages = {"lead": {"exits": {"lost": {}}}}
    scenario = toy(stages=stages, effects=[{"on": "lead -> lost", "odds": "x0"}])
    assert ends(*run(scenario)) == {"lead": 1, "lost": 0}


def test_many_members_and_touches() -> None:
    scenario = toy(
        horizon="400 days",
        sources={"list": {"at": MONDAY, "size": 30}},
        teams={"sellers": {"size": 2000}},
        stages={
            "lead": {
                "work": {"team": "sellers", "effort": "1 h", "touches": 1000, "every": "1 h"},
                "exits": {"lost": {}},
            }
        },
    )
    records, plan = run(scenario)
    assert len(records.tasks.prospect) == 30_000
    assert ends(records, plan)["lost"] == 30


def test_a_replication_that_explodes_loses_nothing_already_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 0.5 to 2 brought by each, some replications die out and some explode: those before the first are kept."""
    monkeypatch.setattr(bounds, "MAX_REFERRED", 500)
    scenario = toy(**chain(1, "1 day")).override(
        {"sources.list.size": 10, "stages.customer.refers.number": {"poisson": "0.5 to 2"}}
    )
    with pytest.raises(replicate.RunStoppedError, match=r"replication \d+ stopped: 'friends' brought 500") as stopped:
        replicate.run(scenario, 30)
    done = stopped.value.done
    assert 1 <= done.replications < 30
    again = replicate.run(scenario, done.replications)
    assert done.kpis.equals(again.kpis)
