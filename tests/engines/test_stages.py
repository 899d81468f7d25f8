"""Exits, routes, referrals and money: what happens in a stage, besides work."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simfunnel.errors import RunError
from simfunnel.scenario import Scenario, load_text
from tests import helpers
from tests.helpers import MONDAY, ends, lives, money, moves, path, run, tasks, toy


def one_list(size: int, **parts: Any) -> dict[str, Any]:
    return {"sources": {"list": {"at": MONDAY, "size": size}, **parts.pop("more", {})}, **parts}


# --- exits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chance", "customers"), [("0%", 0), ("100%", 500)])
def test_a_chance_of_nought_or_one_is_certain(chance: str, customers: int) -> None:
    stages = {"lead": {"exits": {"customer": {"chance": chance}, "lost": {}}}, "customer": {"books": 1}}
    found = ends(*run(toy(**one_list(500, stages=stages))))
    assert found == {"lead": 0, "customer": customers, "lost": 500 - customers}


def test_shares_of_exits_are_their_chances() -> None:
    """The rest takes what is left; the shares of 20,000 agree with the chances within their standard errors."""
    exits = {"quote": {"chance": "45%"}, "nursery": {"chance": "5%"}, "lost": {}}
    stages = {"lead": {"exits": exits}, "quote": {}, "nursery": {}}
    found = ends(*run(toy(**one_list(20_000, stages=stages))))
    for goal, chance in (("quote", 0.45), ("nursery", 0.05), ("lost", 0.5)):
        share = found[goal] / 20_000
        helpers.Estimate(share, math.sqrt(chance * (1 - chance) / 20_000), 20_000).check(chance, goal)


def test_each_exit_has_its_own_time() -> None:
    stages = {"lead": {"exits": {"won": {"chance": "50%", "after": "3 days"}, "lost": {"after": "36 h"}}}}
    table = moves(*run(toy(**one_list(50, stages=stages))))
    assert {(row.goal, row.time) for row in table[table.cause == "exit"].itertuples()} == {("won", 3.0), ("lost", 1.5)}


def test_exit_times_follow_their_distribution_whatever_the_chance() -> None:
    """The exit is chosen first and its time second (the mixture form): a rare exit is no slower."""
    exits = {"won": {"chance": "10%", "after": {"exponential": "8 days"}}, "lost": {"after": {"exponential": "2 days"}}}
    records, plan = run(toy(**one_list(20_000, horizon="2 years", stages={"lead": {"exits": exits}})))
    table = moves(records, plan)
    for goal, mean in (("won", 8.0), ("lost", 2.0)):
        helpers.mean_of(table[table.goal == goal].time).check(mean, f"time to {goal}", precision=0.03)


def test_each_visit_and_each_touch_has_draws_of_its_own() -> None:
    """One who comes round and round: no effort, gap, patience or time to leave comes twice."""
    work = {
        "team": "sellers",
        "effort": {"exponential": "1 h"},
        "touches": 3,
        "every": {"exponential": "5 h"},
    }
    stages = {"lead": {"work": work, "exits": {"lead": {"after": {"exponential": "1 day"}}}}}
    records, plan = run(toy(horizon="60 days", teams={"sellers": {"size": 1}}, stages=stages))
    table = tasks(records, plan)
    assert len(table) > 60
    efforts = (table.ended - table.begun).round(9)
    gaps = (table.asked.shift(-1) - table.ended).round(9)  # to the next touch, or to the next visit
    assert efforts.is_unique
    assert gaps.dropna().is_unique
    hurry = {"work": {"team": "nobody", "effort": "1 h", "patience": {"exponential": "1 day"}, "gives_up": "lead"}}
    table = tasks(*run(toy(horizon="60 days", teams={"nobody": {"size": 0}}, stages={"lead": hurry})))
    assert len(table) > 40
    assert (table.left - table.asked).dropna().round(9).is_unique


def test_the_share_that_stays_never_leaves_unless_a_limit_ends_it() -> None:
    stages = {"lead": {"exits": {"stays": {"chance": "100%"}, "lost": {}}}}
    scenario = toy(**one_list(20, horizon="20 years", stages=stages))
    assert ends(*run(scenario)) == {"lead": 20, "lost": 0}
    ended = scenario.override({"stages.lead.limit": {"after": "1 year", "to": "archive"}})
    table = moves(*run(ended))
    assert table[table.goal == "archive"].time.tolist() == [365.25] * 20


def test_a_stage_without_exits_keeps_all() -> None:
    assert ends(*run(toy(**one_list(5, stages={"lead": {}})))) == {"lead": 5}


def test_an_exit_sets_attributes_for_what_follows() -> None:
    stages = {
        "lead": {"exits": {"nursery": {"after": "1 day"}}, "route": [{"when": {"authority": "decides"}, "to": "won"}]},
        "nursery": {"exits": {"lead": {"after": "2 days", "set": {"authority": "decides", "seats": 30}}}},
        "won": {"route": [{"when": {"seats": 30}, "to": "big"}]},
    }
    attributes = {"authority": {"decides": "0%", "none": "100%"}, "seats": {"poisson": 2}}
    records, plan = run(toy(**one_list(3, attributes=attributes, stages=stages)))
    assert {path(life) for life in lives(records, plan).values()} == {("lead", "nursery", "lead", "won", "big")}
    assert records.prospects.attributes[:, 0].tolist() == [1.0] * 3  # as they were at birth


# --- routes -----------------------------------------------------------------------------------------------------------


def test_a_route_comes_before_work_and_before_any_exit() -> None:
    stages = {
        "lead": {
            "route": [{"when": {"source": "known"}, "to": "quote"}, {"when": {"source": "bad"}, "to": "lost"}],
            "work": {"team": "sellers", "effort": "24 h"},
            "books": 10,
            "exits": {"quote": {"after": "1 day"}},
        },
        "quote": {},
    }
    sources = {name: {"at": MONDAY, "size": 1} for name in ("known", "bad", "new")}
    records, plan = run(toy(sources=sources, teams={"sellers": {"size": 1}}, stages=stages))
    table = moves(records, plan)
    assert {(row.source, row.goal, row.cause, row.time) for row in table[table.origin.notna()].itertuples()} == {
        ("known", "quote", "routed", 0.0),
        ("bad", "lost", "routed", 0.0),
        ("new", "quote", "exit", 2.0),
    }
    assert tasks(records, plan).source.tolist() == ["new"]
    assert len(money(records, plan)) == 3  # what entering books is booked before


def test_the_first_rule_that_holds_is_taken() -> None:
    stages = {"lead": {"route": [{"when": {"source": "list"}, "to": "one"}, {"to": "two"}]}, "one": {}, "two": {}}
    found = ends(*run(toy(**one_list(2, more={"other": {"at": MONDAY, "size": 3}}, stages=stages))))
    assert (found["one"], found["two"]) == (2, 3)


PLUGIN = """
name: plug
start: 2026-01-05
horizon: 10 days
calendar: always
attributes: {segment: {small: 50%, big: 50%}, seats: {poisson: 3}}
sources: {list: {at: 2026-01-05, size: 40}}
value: {uniform: {low: 10, high: 20}}
stages:
  lead: {route: {python: "rule.py:decide"}, exits: {lost: {}}}
  quote: {}
"""


def plugged(folder: Path, code: str) -> Scenario:
    """A scenario with this rule; it is put in place after the scenario is read, which looks at it too."""
    (folder / "rule.py").write_text("def decide(prospect): return None", encoding="utf-8")
    scenario = load_text(PLUGIN, folder)
    (folder / "rule.py").write_text(code, encoding="utf-8")
    return scenario


def test_a_rule_in_python_sees_the_facts_and_sends_prospects(tmp_path: Path) -> None:
    code = """
def decide(prospect):
    assert prospect["stage"] == "lead" and prospect["source"] == "list" and prospect["member"] is None
    assert prospect["weekday"] == 0 and prospect["month"] == 1
    big = prospect["segment"] == "big" and prospect["value"] >= 15 and prospect["seats"] >= 2
    return "quote" if big else None
"""
    records, plan = run(plugged(tmp_path, code))
    segment, seats = records.prospects.attributes.T
    expected = (segment == 1) & (records.prospects.value >= 15) & (seats >= 2)
    went = np.zeros(40, dtype=bool)
    went[records.moves.prospect[records.moves.goal == plan.place_names.index("quote")]] = True
    assert 0 < expected.sum() < 40
    assert (went == expected).all()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def decide(prospect): return 'nowhere'", "returned 'nowhere'; allowed: lead, quote, lost, or None"),
        ("def decide(prospect): return 3", "returned 3"),
        ("def decide(prospect): return prospect['nose']", "rule.py:decide failed: KeyError: 'nose'"),
        ("def decide(): return None", "rule.py:decide failed: TypeError"),
        ("def other(prospect): return None", "rule.py has no function 'decide'"),
        ("decide = 3", "rule.py has no function 'decide'"),
        ("def decide(", "can't be loaded: SyntaxError"),
        ("import no_such_module_at_all", "can't be loaded: ModuleNotFoundError"),
        ("def decide(prospect): return 'lead'", "a circle that takes no time"),
    ],
    ids=["unknown place", "a number", "error", "arguments", "missing", "no function", "syntax", "import", "circle"],
)
def test_a_bad_rule_in_python_stops_the_run_with_its_name(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(RunError) as caught:
        run(plugged(tmp_path, code))
    assert said in str(caught.value)


# --- referrals --------------------------------------------------------------------------------------------------------


def referring(rule: dict[str, Any], leaves_after: str = "1 year", **parts: Any) -> Scenario:
    """One customer from day 0, who leaves after a while; those referred are leads, half of whom become customers."""
    stages = {
        "lead": {"exits": {"customer": {"chance": "50%", "after": "1 day"}, "lost": {"after": "2 days"}}},
        "customer": {
            "books": 10,
            "refers": {"source": "friends", **rule},
            "exits": {"churned": {"after": leaves_after}},
        },
    }
    sources = {
        "list": {"at": MONDAY, "size": 1, "enters": "customer"},
        "friends": parts.pop("friends", {"enters": "end"}),
    }
    return toy(**{"sources": sources, "stages": {**stages, "end": {}}, **parts})


def came(scenario: Scenario) -> list[float]:
    """When those who were referred came."""
    records, _ = run(scenario)
    return [float(t) for t in records.prospects.born[records.prospects.generation > 0]]


def test_a_customer_refers_once() -> None:
    assert came(referring({"number": 2, "after": "3 days"})) == [3.0, 3.0]


def test_a_customer_refers_again_and_again_while_a_customer() -> None:
    rule = {"number": 1, "after": "1 day", "every": "10 days"}
    assert came(referring(rule, "25 days")) == [1.0, 11.0, 21.0]
    assert came(referring(rule, "35 days")) == [1.0, 11.0, 21.0, 31.0]


def test_a_round_of_an_earlier_visit_does_not_go_on() -> None:
    """A customer from day 0 to 5 and from day 8 on: rounds at 0, 8 and 18, and none at 10."""
    refers = {"number": 1, "source": "friends", "every": "10 days"}
    stages = {
        "customer": {"refers": refers, "exits": {"lapsed": {"chance": "100%", "after": "5 days"}}},
        "lapsed": {"exits": {"again": {"after": "3 days"}}},
        "again": {"route": [{"to": "customer"}]},
        "end": {},
    }
    sources = {"list": {"at": MONDAY, "size": 1, "enters": "customer"}, "friends": {"enters": "end"}}
    scenario = toy(horizon="25 days", sources=sources, stages=stages).override(
        {"effects": [{"when": {"visits": "at least 1"}, "on": "customer", "time": "x100"}]}
    )
    assert came(scenario) == [0.0, 8.0, 18.0]


def test_those_on_their_way_come_though_the_customer_has_left() -> None:
    assert came(referring({"number": 1, "after": "9 days", "every": "10 days"}, "15 days")) == [9.0, 19.0]


def test_several_rules_act_side_by_side() -> None:
    rules = [{"number": 1, "after": "1 day"}, {"number": 2, "after": "2 days"}]
    scenario = referring({"number": 1}).override(
        {"stages.customer.refers": [{"source": "friends", **rule} for rule in rules]}
    )
    assert came(scenario) == [1.0, 2.0, 2.0]


def test_a_customer_who_comes_back_refers_others_than_before() -> None:
    """Each visit to the stage brings new people: their keys differ, so do their draws."""
    stages = {
        "customer": {
            "refers": {"number": 3, "source": "friends"},
            "books": 1,
            "exits": {"lapsed": {"after": "5 days"}},
        },
        "lapsed": {"exits": {"customer": {"after": "5 days"}}},
        "end": {},
    }
    sources = {"list": {"at": MONDAY, "size": 1, "enters": "customer"}, "friends": {"enters": "end"}}
    records, _ = run(toy(horizon="21 days", sources=sources, stages=stages, value={"exponential": 100}))
    assert len(records.prospects.key) == 1 + 9
    assert len(set(records.prospects.key.tolist())) == 10
    assert len(set(records.prospects.value.tolist())) == 10


def test_parents_and_generations_are_known() -> None:
    scenario = referring({"number": 1, "after": "10 days"}, friends={"enters": "customer"}, horizon="35 days")
    people = run(scenario)[0].prospects
    assert people.parent.tolist() == [-1, 0, 1, 2]
    assert people.generation.tolist() == [0, 1, 2, 3]
    assert people.born.tolist() == [0.0, 10.0, 20.0, 30.0]


@pytest.mark.parametrize("customer", [{"books": 10}, {"customer": True}])
def test_a_reward_is_paid_once_when_the_referred_one_becomes_a_customer(customer: dict[str, Any]) -> None:
    """Forty are referred; each who becomes a customer costs the reward on that day, though some come back later."""
    stages = {
        "lead": {"exits": {"customer": {"chance": "50%", "after": "1 day"}, "lost": {"after": "2 days"}}},
        "customer": {**customer, "exits": {"lead": {"after": "7 days"}}},
        "champion": {"refers": {"number": 40, "after": "3 days", "source": "friends", "reward": 500}},
    }
    sources = {"list": {"at": MONDAY, "size": 1, "enters": "champion"}, "friends": {}}
    scenario = toy(horizon="5 days", sources=sources, stages=stages)
    records, plan = run(scenario)
    won = (records.moves.goal == plan.place_names.index("customer")) & (records.moves.prospect > 0)
    paid = [(t, amount) for t, kind, amount in money(records, plan) if kind == "reward"]
    assert paid == [(4.0, 500.0)] * int(won.sum())
    assert 10 < len(paid) < 30
    longer, longer_plan = run(scenario.override({"horizon": "30 days"}))
    first = longer.money.kind == 4
    people = longer.money.prospect[first]
    assert len(set(people.tolist())) == len(people)
    assert (longer.moves.goal == longer_plan.place_names.index("customer")).sum() > len(people) + 1


def test_there_is_no_reward_for_one_whom_nobody_referred() -> None:
    records, plan = run(referring({"number": 0, "reward": 500}))
    assert [kind for _, kind, _ in money(records, plan)] == ["books"]


# --- money ------------------------------------------------------------------------------------------------------------


def test_amounts_are_exact() -> None:
    stages = {
        "lead": {
            "work": {"team": "sellers", "effort": "24 h", "touches": 2, "every": "24 h", "cost": 7},
            "cost": 3,
            "exits": {"customer": {"after": "1 day"}},
        },
        "customer": {
            "books": "value",
            "cash": "20% of value",
            "cost": "5% of value",
            "exits": {"lost": {"after": "1 day"}},
        },
    }
    scenario = toy(
        sources={"list": {"at": MONDAY, "size": 1, "cost": "85 each"}},
        value=1000,
        teams={"sellers": {"size": 1}},
        stages=stages,
    )
    assert sorted(money(*run(scenario))) == [
        (0.0, "source cost", 85.0),
        (0.0, "stage cost", 3.0),
        (0.0, "touch cost", 7.0),
        (2.0, "touch cost", 7.0),
        (4.0, "books", 1000.0),
        (4.0, "cash", 200.0),
        (4.0, "stage cost", 50.0),
    ]


def test_a_stage_entered_again_books_again() -> None:
    stages = {"customer": {"books": 10, "exits": {"customer": {"after": "10 days"}}}}
    found = money(*run(toy(horizon="25 days", stages=stages)))
    assert found == [(0.0, "books", 10.0), (10.0, "books", 10.0), (20.0, "books", 10.0)]


def test_value_by_segment_and_effects_on_value() -> None:
    scenario = toy(
        **one_list(
            400,
            attributes={"segment": {"small": "50%", "big": "50%"}},
            value={"by": "segment", "cases": {"small": 10, "other": 100}},
            effects=[{"when": {"segment": "big"}, "value": "x3"}],
        )
    )
    records, _ = run(scenario)
    segment = records.prospects.attributes[:, 0]
    assert set(records.prospects.value[segment == 0]) == {10.0}
    assert set(records.prospects.value[segment == 1]) == {300.0}
