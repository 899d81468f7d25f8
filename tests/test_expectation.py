"""What to expect without simulating: numbers worked out by hand, and one against many simulated replications."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simfunnel.expectation import Expectation, Load, expect
from simfunnel.scenario import load
from tests.helpers import MONDAY, moves, run, toy


def expected(**parts: Any) -> Expectation:
    return expect(toy(**parts).spec)


FUNNEL = {
    "lead": {"exits": {"quote": {"chance": 0.5, "after": "10 days"}, "lost": {"after": "5 days"}}},
    "quote": {"exits": {"customer": {"chance": 0.4, "after": "20 days"}, "lead": {"chance": 0.2}, "lost": {}}},
    "customer": {"books": 100},
}


# --- visits in the end ------------------------------------------------------------------------------------------------


def test_visits_of_a_funnel_with_a_way_back() -> None:
    """lead = 1 + 0.2 quote, quote = 0.5 lead: lead 1/0.9, quote 0.5/0.9, customer 0.4 x 0.5/0.9."""
    found = expected(stages=FUNNEL)
    assert found.visits[0] == pytest.approx([1 / 0.9, 0.5 / 0.9, 0.2 / 0.9])


def test_visits_from_a_later_stage_and_from_open_deals() -> None:
    found = expected(
        stages=FUNNEL,
        sources={
            "list": {"at": MONDAY, "size": 1, "enters": "quote"},
            "open": {"deals": [{"id": "a", "stage": "quote"}, {"id": "b", "stage": "lead", "age": "3 days"}]},
        },
    )
    from_quote = np.array([0.2 / 0.9, 1 / 0.9, 0.4 / 0.9])
    from_lead = np.array([1 / 0.9, 0.5 / 0.9, 0.2 / 0.9])
    assert found.visits[0] == pytest.approx(from_quote)
    assert found.visits[1] == pytest.approx((from_quote + from_lead) / 2)


def test_those_who_stay_go_nowhere() -> None:
    found = expected(
        stages={"lead": {"exits": {"stays": {"chance": 0.7}, "won": {"chance": 0.3}}}, "won": {"customer": True}}
    )
    assert found.visits[0] == pytest.approx([1, 0.3])


def test_a_circle_without_an_end_is_visited_without_number() -> None:
    """A tenth is lost on the way in; the rest goes to and fro between two pools for ever."""
    found = expected(
        stages={
            "lead": {"exits": {"ours": {"chance": 0.9}, "lost": {}}},
            "ours": {"exits": {"theirs": {"after": "10 days"}}},
            "theirs": {"exits": {"ours": {"after": "30 days"}}},
        },
        horizon="100 days",
    )
    assert list(found.visits[0]) == [1, math.inf, math.inf]
    assert found.entries == pytest.approx({"lead": 1, "ours": 0.9 * 3, "theirs": 0.9 * 3})  # days 0, 40, 80; 10, 50, 90


def test_limit_takes_those_who_would_come_later() -> None:
    """Half would take 10 days and half 30; the limit is 20."""
    found = expected(
        stages={
            "lead": {
                "limit": {"after": "20 days", "to": "late"},
                "exits": {"soon": {"chance": 0.5, "after": "10 days"}, "late_too": {"after": "30 days"}},
            },
            "soon": {},
            "late": {},
            "late_too": {},
        }
    )
    assert found.visits[0] == pytest.approx([1, 0.5, 0.5, 0])
    assert found.entries == pytest.approx({"lead": 1, "soon": 0.5, "late": 0.5, "late_too": 0})


def test_exit_at_the_very_time_of_the_limit_comes_first() -> None:
    stages = {
        "lead": {"limit": {"after": "20 days", "to": "late"}, "exits": {"soon": {"after": "20 days"}}},
        "soon": {},
        "late": {},
    }
    found = expected(stages=stages)
    assert found.entries == pytest.approx({"lead": 1, "soon": 1, "late": 0})
    assert found.visits[0] == pytest.approx([1, 1, 0])


def test_everyone_may_be_sent_on_before_any_work() -> None:
    found = expected(
        teams={"reps": {"size": 1}},
        stages={
            "lead": {"route": {"to": "quote"}, "work": {"team": "reps", "effort": "2 h"}, "exits": {"lost": {}}},
            "quote": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"lost": {}}},
        },
        sources={"list": {"at": MONDAY, "size": 70}},
        horizon="10 weeks",
    )
    assert found.visits[0] == pytest.approx([1, 1])
    assert found.loads[0].asked == pytest.approx(7.0)  # 70 quotes, an hour each, in ten weeks


# --- within the horizon -----------------------------------------------------------------------------------------------


def test_entries_follow_the_times() -> None:
    """Ten a day for 100 days; those who come in the last 10 are quoted too late, in the last 30 buy too late."""
    found = expected(
        sources={"web": {"rate": "10 per day"}},
        stages={
            "lead": {"exits": {"quote": {"after": "10 days"}}},
            "quote": {"exits": {"customer": {"after": "20 days"}}},
            "customer": {},
        },
    )
    assert found.arrivals["web"] == pytest.approx(1000)
    assert found.entries == pytest.approx({"lead": 1000, "quote": 900, "customer": 700}, rel=0.01)


def test_touches_take_the_time_between_them() -> None:
    found = expected(
        sources={"web": {"rate": "10 per day"}},
        teams={"reps": {"size": 1}},
        stages={
            "lead": {
                "work": {"team": "reps", "effort": "6 min", "touches": 3, "every": "10 days"},
                "exits": {"quote": {"after": "5 days"}},
            },
            "quote": {},
        },
    )
    assert found.entries["quote"] == pytest.approx(750, rel=0.01)  # 25 days later
    assert found.loads[0].asked == pytest.approx(1000 * 3 * 0.1 / (100 / 7))


def test_rate_counts_weekdays_seasons_steps_and_working_days() -> None:
    """January 2026 from Monday the 5th: 27 days, of which 19 are working days but for one holiday; February has 28."""
    found = expected(
        horizon="55 days",  # to the end of February
        calendar={"days": "Mon-Fri", "hours": "09:00-17:00", "holidays": ["2026-01-19"]},
        sources={
            "a": {"rate": "2 per day", "season": {"Feb": "x3"}},
            "b": {"rate": "5 per working day"},
            "c": {"rate": "1 per day", "weekday": {"Sat": 0, "Sun": 0}},
            "d": {"rate": {"2026-02-01": "4 per day"}},
        },
    )
    assert found.arrivals == pytest.approx({"a": 2 * 27 + 6 * 28, "b": 5 * (19 + 20), "c": 40, "d": 4 * 28})


def test_list_after_the_horizon_brings_nobody() -> None:
    found = expected(sources={"late": {"at": "2027-01-05", "size": 50}, "list": {"at": "2026-02-05", "size": 7}})
    assert found.arrivals == {"late": 0, "list": 7}


def test_work_on_an_aged_deal_is_done() -> None:
    """Two fresh deals need an hour in their stage; the aged one needs it only in the next."""
    found = expected(
        horizon="10 weeks",
        teams={"reps": {"size": 1}},
        sources={
            "open": {
                "deals": [
                    {"id": "a", "stage": "lead", "age": "5 days"},
                    {"id": "b", "stage": "lead"},
                    {"id": "c", "stage": "quote"},
                ]
            }
        },
        stages={
            "lead": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"quote": {"after": "3 days"}}},
            "quote": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"lost": {}}},
        },
    )
    assert found.arrivals == {"open": 3}
    assert found.entries == pytest.approx({"lead": 1, "quote": 3})
    assert found.loads[0].asked == pytest.approx(0.4)


# --- teams ------------------------------------------------------------------------------------------------------------


def test_load_against_capacity_by_hand() -> None:
    """Two weeks, 80 open hours less a holiday's 8; Ana half time, Ben from the second Monday, Cid until then."""
    found = expected(
        horizon="2 weeks",
        calendar={"days": "Mon-Fri", "hours": "09:00-17:00", "holidays": ["2026-01-07"]},
        sources={"list": {"at": MONDAY, "size": 20}},
        teams={
            "reps": {
                "members": [
                    {"name": "Ana", "selling_time": "50%"},
                    {"name": "Ben", "hired": "2026-01-12"},
                    {"name": "Cid", "leaves": "2026-01-12", "speed": 2},
                ]
            }
        },
        stages={"lead": {"work": {"team": "reps", "effort": "3 h", "touches": 2}, "exits": {"lost": {}}}},
    )
    (load_,) = found.loads
    assert load_.asked == pytest.approx(20 * 6 / 2)
    assert load_.offered == pytest.approx((0.5 * 72 + 40 + 2 * 32) / 2)
    assert load_.share == pytest.approx(60 / 70)


def test_new_hire_ramps_up() -> None:
    """Full speed after ten days, counted at the middle of each day: 0.05, 0.15, …, over Mon-Fri of two weeks."""
    found = expected(
        horizon="2 weeks",
        calendar={},
        teams={"reps": {"size": 1, "hired": MONDAY, "ramp": "10 days"}},
        stages={"lead": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"lost": {}}}},
    )
    paces = [min(1.0, (day + 0.5) / 10) for day in range(14) if day % 7 < 5]
    assert found.loads[0].offered == pytest.approx(8 * sum(paces) / 2)


def test_member_who_never_comes_offers_nothing() -> None:
    found = expected(
        teams={"reps": {"members": [{"leaves": "2025-01-01"}, {"hired": "2030-01-01"}]}, "idle": {"size": 0}},
        stages={"lead": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"lost": {}}}},
    )
    assert [one.offered for one in found.loads] == [0, 0]
    assert [one.share for one in found.loads] == [math.inf, 0]


def test_share_of_a_team() -> None:
    assert Load("a", 30, 20).share == 1.5


# --- referral chains --------------------------------------------------------------------------------------------------

CHAIN: dict[str, Any] = {
    "sources": {"list": {"at": MONDAY, "size": 100}, "referral": {}},
    "stages": {
        "lead": {"exits": {"customer": {"chance": 0.5, "after": "1 day"}, "lost": {}}},
        "customer": {"books": 1, "refers": {"number": {"poisson": 0.6}, "after": "4 days", "source": "referral"}},
    },
}


def test_growth_of_a_chain_is_wins_times_referrals() -> None:
    found = expected(**CHAIN)
    assert found.growth == pytest.approx(0.3)
    assert found.brought == pytest.approx(np.array([[0, 0.3], [0, 0.3]]))


def test_chain_within_the_horizon_is_a_geometric_series() -> None:
    """Each generation comes 5 days after the one before: in 100 days all that matter, in 12 days two of them."""
    assert expected(**CHAIN).arrivals["referral"] == pytest.approx(100 * 0.3 / 0.7, rel=1e-4)
    assert expected(**CHAIN, horizon="12 days").arrivals["referral"] == pytest.approx(100 * (0.3 + 0.09), rel=1e-9)


def test_growth_of_two_sources_that_feed_each_other() -> None:
    """a brings 0.5 of b, b brings 0.32 of a: two generations make 0.16, one its root."""
    found = expected(
        sources={"a": {"rate": "1 per day", "enters": "x"}, "b": {"enters": "y"}},
        stages={
            "x": {"refers": {"number": {"poisson": 0.5}, "source": "b"}, "exits": {"lost": {}}},
            "y": {"refers": {"number": {"poisson": 0.32}, "source": "a"}, "exits": {"lost": {}}},
        },
    )
    assert found.growth == pytest.approx(0.4)


def test_chain_that_explodes() -> None:
    stages = {**CHAIN["stages"]}
    stages["customer"] = {"books": 1, "refers": {"number": 3, "after": "4 days", "source": "referral"}}
    found = expected(sources=CHAIN["sources"], stages=stages, horizon="12 days")
    assert found.growth == pytest.approx(1.5)
    assert found.arrivals["referral"] == pytest.approx(100 * (1.5 + 2.25))


def test_rounds_go_on_for_the_stay() -> None:
    """One round on entry and one every 10 days of a stay of 35 days: days 0, 10, 20, 30."""
    found = expected(
        sources=CHAIN["sources"],
        stages={
            "lead": {
                "refers": {"number": {"poisson": 0.1}, "every": "10 days", "source": "referral"},
                "exits": {"lost": {"after": "35 days"}},
            }
        },
        horizon="300 days",
    )
    assert found.growth == pytest.approx(0.1 * (1 + 3.5), rel=0.01)  # a stay of 35 days, on average 3.5 rounds more
    exact = 100 * 0.1 * 4 / (1 - 0.4)
    assert found.arrivals["referral"] == pytest.approx(exact, rel=1e-3)


def test_nobody_brings_anybody() -> None:
    found = expected(stages=FUNNEL)
    assert found.growth == 0.0


def test_referring_on_a_circle_without_an_end() -> None:
    """Whoever refers at every turn of an endless circle brings prospects without number, in the end."""
    found = expected(
        sources=CHAIN["sources"],
        stages={
            "a": {"refers": {"number": {"poisson": 0.1}, "source": "referral"}, "exits": {"b": {"after": "9 days"}}},
            "b": {"exits": {"a": {"after": "9 days"}}},
        },
    )
    assert found.growth == math.inf
    assert found.arrivals["referral"] < math.inf


# --- against simulation -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flows_are_the_means_of_many_replications() -> None:
    """The quickstart without effects and impatience and with people enough: entries within 4 standard errors and 1%."""
    base = load(Path(__file__).parents[1] / "scenarios" / "quickstart.yaml")
    free = base.override(
        {
            "effects": None,
            "stages.inquiry.work.patience": None,
            "stages.inquiry.exits.qualified.chance": "44%",
            "stages.proposal.exits.customer.chance": "46%",
            "sources.website.rate": "44 per week",
            "calendar": "always",
            "teams.reps.size": 200,
            "teams.closers.members": None,
            "teams.closers.size": 500,
        }
    )
    found = expect(free.spec)
    counts: dict[str, list[int]] = {name: [] for name in found.entries}
    for replication in range(40):
        table = moves(*run(free, replication))
        came = table["goal"].value_counts()
        for name, per in counts.items():
            per.append(int(came.get(name, 0)))
    for name, per in counts.items():
        error = np.std(per, ddof=1) / math.sqrt(len(per))
        assert abs(np.mean(per) - found.entries[name]) < 4 * error + 0.01 * found.entries[name], name
