"""Deals that are open at the start: they go on from where they are, given that they have lasted so long.

For a stage whose exits have chances p, survival functions S and times T, a deal of age a leaves by exit k with a chance
proportional to p_k S_k(a), after a time distributed as T_k - a given T_k > a (the mixture form of competing risks).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from simfunnel import views
from simfunnel.scenario import Scenario
from tests import helpers
from tests.helpers import MONDAY, ends, lives, money, moves, run, tasks, toy

N = 4000


def deals(stages: dict[str, Any], n: int = 1, parts: dict[str, Any] | None = None, **deal: Any) -> Scenario:
    """So many deals of one kind in the first stage, which is called `lead`; `friends` are there to be referred."""
    rows = [{"id": f"D{k}", "stage": "lead", **deal} for k in range(n)]
    sources = {"open": {"deals": rows}, "friends": {"enters": "end"}}
    return toy(**{"horizon": "10 years", "sources": sources, "stages": {**stages, "end": {}}, **(parts or {})})


TWO_EXITS = {
    "lead": {
        "exits": {
            "won": {"chance": "30%", "after": {"gamma": {"a": 2, "scale": "10 days"}}},
            "lost": {"after": {"exponential": "50 days"}},
        }
    },
    "won": {},
}
WON, LOST = stats.gamma(2, scale=10), stats.expon(scale=50)


def first_exits(scenario: Scenario) -> dict[str, np.ndarray[Any, Any]]:
    """By goal: when deals left the first stage."""
    table = moves(*run(scenario))
    table = table[table.origin == "lead"]
    return {goal: rows.time.to_numpy() for goal, rows in table.groupby("goal")}


@pytest.mark.parametrize("age", [0, 5, 20, 40])
def test_shares_and_times_of_exits_are_those_given_the_age(age: float) -> None:
    found = first_exits(deals(TWO_EXITS, N, age=f"{age} days"))
    weights = 0.3 * WON.sf(age), 0.7 * LOST.sf(age)
    share = weights[0] / sum(weights)
    assert len(found["won"]) + len(found["lost"]) == N
    helpers.Estimate(len(found["won"]) / N, math.sqrt(share * (1 - share) / N), N).check(
        share, "share won", precision=0.1
    )
    for goal, law in (("won", WON), ("lost", LOST)):
        left = law.sf(age)
        for t in (2.0, 10.0, 40.0):
            expected = 1 - law.sf(age + t) / left
            error = math.sqrt(expected * (1 - expected) / len(found[goal]))
            helpers.Estimate(float((found[goal] <= t).mean()), error, N).check(expected, f"{goal} within {t} days")


def test_an_exponential_time_forgets_the_age() -> None:
    stages = {"lead": {"exits": {"lost": {"after": {"exponential": "20 days"}}}}}
    found = first_exits(deals(stages, N, age="300 days"))["lost"]
    helpers.mean_of(found).check(20.0, "remaining time", precision=0.02)


def test_effects_on_time_and_odds_count_in_what_is_left() -> None:
    """Times twice as long: a deal of age 20 is as far as one of age 10, and what is left is doubled."""
    effects = {"effects": [{"on": "lead -> won", "time": "x2", "odds": "x3"}]}
    found = first_exits(deals(TWO_EXITS, N, effects, age="20 days"))
    weights = 0.9 * WON.sf(10), 0.7 * LOST.sf(20)
    share = weights[0] / sum(weights)
    helpers.Estimate(len(found["won"]) / N, math.sqrt(share * (1 - share) / N), N).check(
        share, "share won", precision=0.1
    )
    expected = 1 - WON.sf(15) / WON.sf(10)
    error = math.sqrt(expected * (1 - expected) / len(found["won"]))
    helpers.Estimate(float((found["won"] <= 10).mean()), error, N).check(expected, "won within 10 days")


def test_a_time_known_exactly_leaves_what_is_left_of_it() -> None:
    stages = {"lead": {"exits": {"lost": {"after": "10 days"}}}}
    assert first_exits(deals(stages, age="4 days"))["lost"].tolist() == [6.0]


def test_an_exit_whose_time_has_passed_is_not_taken_any_more() -> None:
    stages = {"lead": {"exits": {"won": {"chance": "99%", "after": "3 days"}, "lost": {"after": "10 days"}}}}
    assert list(first_exits(deals(stages, 50, age="4 days"))) == ["lost"]


def test_a_deal_older_than_any_exit_stays_until_the_limit() -> None:
    stages = {"lead": {"exits": {"lost": {"after": "3 days"}}}}
    assert ends(*run(deals(stages, age="4 days")))["lead"] == 1
    limited = {"lead": {**stages["lead"], "limit": {"after": "10 days", "to": "archive"}}}
    assert first_exits(deals(limited, age="4 days"))["archive"].tolist() == [6.0]


def test_the_share_that_never_leaves_grows_with_age() -> None:
    exits = {"stays": {"chance": "20%"}, "lost": {"after": {"exponential": "10 days"}}}
    found = ends(*run(deals({"lead": {"exits": exits}}, N, age="20 days")))
    share = 0.2 / (0.2 + 0.8 * math.exp(-2))
    helpers.Estimate(found["lead"] / N, math.sqrt(share * (1 - share) / N), N).check(share, "stay", precision=0.1)


def test_a_limit_counts_from_entry() -> None:
    stages = {"lead": {"limit": {"after": "30 days", "to": "archive"}, "exits": {"lost": {"after": "1 year"}}}}
    assert first_exits(deals(stages, age="12 days"))["archive"].tolist() == [18.0]
    assert first_exits(deals(stages, age="40 days"))["archive"].tolist() == [0.0]


def test_a_random_limit_is_drawn_given_the_age() -> None:
    limit = {"after": {"gamma": {"a": 2, "scale": "10 days"}}, "to": "archive"}
    found = first_exits(deals({"lead": {"limit": limit}}, N, age="20 days"))["archive"]
    for t in (5.0, 20.0):
        expected = 1 - WON.sf(20 + t) / WON.sf(20)
        helpers.share_of(found <= t, expected).check(expected, f"within {t} days", precision=0.1)


def test_an_open_deal_books_nothing_where_it_stands_and_all_where_it_goes() -> None:
    stages = {
        "lead": {"books": 7, "cost": 5, "cash": 3, "exits": {"customer": {"after": "10 days"}}},
        "customer": {"books": "value"},
    }
    assert money(*run(deals(stages, age="4 days", value=900))) == [(6.0, "books", 900.0)]


def test_known_values_and_attributes_are_kept_and_the_others_drawn() -> None:
    parts = {
        "attributes": {"segment": {"small": "50%", "big": "50%"}, "seats": {"poisson": 5}},
        "value": {
            "by": "segment",
            "cases": {"small": {"uniform": {"low": 1, "high": 2}}, "big": {"uniform": {"low": 10, "high": 20}}},
        },
        "effects": [{"value": "x100"}],
    }
    stages = {"lead": {"exits": {"lost": {}}}}
    known = run(deals(stages, 20, parts, value=77, attributes={"segment": "big", "seats": 3}))[0].prospects
    assert set(known.value) == {77.0}
    assert set(map(tuple, known.attributes)) == {(1.0, 3.0)}
    drawn = run(deals(stages, 200, parts))[0].prospects
    assert set(drawn.attributes[:, 0]) == {0.0, 1.0}
    big = drawn.attributes[:, 0] == 1
    assert ((drawn.value[big] >= 1000) & (drawn.value[big] <= 2000)).all()
    assert ((drawn.value[~big] >= 100) & (drawn.value[~big] <= 200)).all()


def test_a_deals_luck_belongs_to_its_name() -> None:
    records, plan = run(deals(TWO_EXITS, 40, age="5 days"))
    rows = [{"id": f"D{k}", "stage": "lead", "age": "5 days"} for k in reversed(range(40))]
    scenario = deals(TWO_EXITS, 1).override({"sources.open.deals": rows})
    assert lives(*run(scenario)) == lives(records, plan)


# --- owners and work --------------------------------------------------------------------------------------------------

TEAM = {"teams": {"sellers": {"members": [{"name": "Ana"}, {"name": "Ben"}], "ownership": "owner"}}}
WORK = {
    "lead": {"exits": {"quote": {"after": "10 days"}}},
    "quote": {"work": {"team": "sellers", "effort": "24 h"}, "exits": {"lost": {}}},
}


@pytest.mark.parametrize("owner", ["Ana", "Ben"])
def test_the_owner_of_an_open_deal_does_its_later_work(owner: str) -> None:
    table = tasks(*run(deals(WORK, 3, TEAM, age="4 days", member=owner)))
    assert table.member.tolist() == [owner] * 3
    assert table.begun.tolist() == [6.0, 7.0, 8.0]


def test_in_a_pool_an_owner_means_nothing() -> None:
    pool = {"teams": {"sellers": {"members": [{"name": "Ana"}, {"name": "Ben"}]}}}
    assert tasks(*run(deals(WORK, 2, pool, age="4 days", member="Ben"))).member.tolist() == ["Ana", "Ben"]


def test_the_skill_of_the_owner_counts_where_they_have_worked() -> None:
    stages = {
        "lead": {
            "work": {"team": "sellers", "effort": "1 h"},
            "exits": {
                "won": {"chance": "50%", "after": {"exponential": "10 days"}},
                "lost": {"after": {"exponential": "10 days"}},
            },
        },
        "won": {},
    }
    parts = {
        "teams": {
            "sellers": {"members": [{"name": "Ana", "skill": 4}]},
            "others": {"members": [{"name": "Oda", "skill": 4}]},
        }
    }
    for owner, share in (("Ana", 0.8), ("Oda", 0.5)):
        found = first_exits(deals(stages, N, parts, age="3 days", member=owner))
        error = math.sqrt(share * (1 - share) / N)
        helpers.Estimate(len(found["won"]) / N, error, N).check(share, f"won by {owner}", precision=0.05)


def test_a_deal_just_come_is_worked_on_and_an_older_one_has_been() -> None:
    """Where the age is not said, or nought, the deal has just come and its work is still to do."""
    stages = {"lead": {"work": {"team": "sellers", "effort": "24 h"}, "exits": {"lost": {"after": "10 days"}}}}
    fresh = deals(stages, 1, TEAM)
    assert tasks(*run(fresh)).begun.tolist() == [0.0]
    assert first_exits(fresh)["lost"].tolist() == [11.0]
    older = deals(stages, 1, TEAM, age="4 days")
    assert tasks(*run(older)).empty
    assert first_exits(older)["lost"].tolist() == [6.0]


def test_the_age_of_an_open_deal_counts_from_its_entry() -> None:
    stages = {
        "lead": {"exits": {"won": {"chance": "0%", "after": "100 days"}, "lost": {"after": "100 days"}}},
        "won": {},
    }
    effects = {"effects": [{"when": {"age": "over 30 days"}, "on": "lead -> lost", "odds": "x0"}]}
    assert ends(*run(deals(stages, 1, effects, age="20 days")))["lost"] == 1
    assert ends(*run(deals(stages, 1, effects, age="40 days")))["lost"] == 0


def test_an_open_customer_goes_on_referring() -> None:
    """Rounds are every 10 days from entry, 24 days before the start: the next ones fall on days 6 and 16."""
    stages = {
        "lead": {"customer": True, "refers": {"number": 1, "after": "1 day", "every": "10 days", "source": "friends"}},
    }
    scenario = deals(stages, 1, {"horizon": "20 days"}, age="24 days")
    records, _ = run(scenario)
    assert records.prospects.born.tolist() == [0.0, 7.0, 17.0]


def test_one_on_the_way_from_before_the_start_still_comes() -> None:
    stages = {"lead": {"refers": {"number": 2, "after": "30 days", "source": "friends"}}}
    scenario = deals(stages, 1, age="24 days")
    assert run(scenario)[0].prospects.born.tolist() == [0.0, 6.0, 6.0]
    older = deals(stages, 1, age="31 days")
    assert run(older)[0].prospects.born.tolist() == [0.0]


def test_an_open_deal_is_no_arrival_and_an_open_customer_no_win() -> None:
    stages = {
        "lead": {"exits": {"customer": {"after": "1 day"}}},
        "customer": {"books": 1, "exits": {"lost": {"after": "9 days"}}},
    }
    scenario = deals(stages, 2, {"horizon": "5 days"}).override(
        {
            "sources.old": {"deals": [{"id": "C1", "stage": "customer", "age": "2 days"}]},
            "sources.list": {"at": MONDAY, "size": 1},
        }
    )
    view = views.view_of(*run(scenario), "all")
    assert {name: float(view.metric(name)[0, 0]) for name in ("prospects", "wins", "customers", "bookings")} == {
        "prospects": 1.0,
        "wins": 3.0,
        "customers": 4.0,
        "bookings": 3.0,
    }


def test_scenarios_that_share_their_deals_but_not_their_names_keep_their_own_numbers() -> None:
    """The deals' table is kept from one plan to the next; a variant may number stages, members and levels otherwise."""
    base = deals(
        {"lead": {"work": {"team": "us", "effort": "1 h"}, "exits": {"end": {}}}},
        3,
        {"teams": {"us": {"members": [{"name": "Bo"}]}}, "attributes": {"size": {"big": "50%", "small": "50%"}}},
        member="Bo",
        attributes={"size": "small"},
    )
    changes = {
        "teams": {"us": {"members": [{"name": "Ana"}, {"name": "Bo"}]}},
        "attributes": {"size": {"big": None, "tiny": "50%"}},
    }
    for scenario, owner, level in ((base, 0, 1), (base.override(changes), 1, 0), (base, 0, 1)):
        _, plan = run(scenario)
        assert plan.deals.owner.tolist() == [owner] * 3
        assert plan.known_of.tolist() == [[level]] * 3
