"""Effects by how many are somewhere, visits that find prospects, further deals, and touches that take nobody's time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simfunnel.engines.records import SERVED
from tests.helpers import MONDAY, ends, mean_of, money, moves, run, share_of, tasks, toy

LIST = {"at": MONDAY, "size": 1}


def test_a_stock_is_how_many_are_there_at_the_moment() -> None:
    """The first of four goes to `early`: nobody is in `pond` yet; the later ones find those who came before."""
    scenario = toy(
        sources={f"s{k}": {"at": f"2026-01-{5 + k:02d}", "size": 1} for k in range(4)},
        stages={
            "lead": {"route": [{"when": {"in pond": "under 2"}, "to": "pond"}], "exits": {"lost": {}}},
            "pond": {"exits": {"left": {"after": "2.5 days"}}},
        },
    )
    records, plan = run(scenario)
    found = moves(records, plan)
    # Days 0, 1, 2, 3: two fill the pond, the third finds it full, the fourth finds that the first has left.
    assert found[found.origin == "lead"].goal.tolist() == ["pond", "pond", "lost", "pond"]
    assert ends(records, plan) == {"lead": 0, "pond": 0, "lost": 1, "left": 3}


def test_an_end_has_a_stock_too() -> None:
    scenario = toy(
        sources={"first": {"at": MONDAY, "size": 3}, "later": {"at": "2026-01-06", "size": 1}},
        stages={"lead": {"route": [{"when": {"in lost": "at least 3"}, "to": "avoided"}], "exits": {"lost": {}}}},
    )
    assert ends(*run(scenario)) == {"lead": 0, "avoided": 1, "lost": 3}


@pytest.mark.parametrize(
    ("effect", "share"),
    [
        ({"odds": "x2", "per": "in pond"}, 8 / 9),  # 2 to the power of 3 against 1
        ({"odds": "x2", "per": "3 in pond"}, 2 / 3),
        ({"odds": "x2", "per": "in pond", "most": "x4"}, 4 / 5),
        ({"odds": "/2", "per": "in pond", "most": "/4"}, 1 / 5),
        ({"odds": "x2", "per": "2 seats"}, 4 / 5),
        ({"odds": "x2", "when": {"in pond": "3 to 4"}}, 2 / 3),
        ({"odds": "x2", "when": {"in pond": "under 3"}}, 1 / 2),
    ],
)
def test_the_odds_by_a_stock(effect: dict[str, Any], share: float) -> None:
    scenario = toy(
        attributes={"seats": 4},
        sources={"fish": {"at": MONDAY, "size": 3, "enters": "pond"}, "list": {"at": "2026-01-06", "size": 4000}},
        stages={
            "lead": {"exits": {"won": {"chance": "50%"}, "lost": {}}},
            "won": {},
            "pond": {},
        },
        effects=[{"on": "lead -> won", **effect}],
    )
    records, plan = run(scenario)
    found = moves(records, plan)
    share_of(found[found.origin == "lead"].goal == "won", share).check(share, str(effect))


def _arrivals(effects: list[dict[str, Any]], fish: int = 10) -> tuple[list[int], list[float]]:
    scenario = toy(
        horizon="400 days",
        sources={"web": {"rate": "10 per day"}, "pool": {"at": MONDAY, "size": fish, "enters": "pond"}},
        stages={"lead": {"exits": {"lost": {}}}, "pond": {}},
        effects=effects,
    )
    records, plan = run(scenario)
    web = records.prospects.source == list(plan.source_names).index("web")
    return records.prospects.key[web].tolist(), records.prospects.born[web].tolist()


@pytest.mark.parametrize(
    ("effect", "factor"),
    [
        ({"arrivals": "x0.9", "per": "in pond"}, 0.9**10),
        ({"arrivals": "x0.9", "per": "in pond", "most": "/2"}, 0.5),
        ({"arrivals": "x1.1", "per": "in pond", "most": "x5"}, 1.1**10),
        ({"arrivals": "x1.1", "per": "in pond", "most": "x2"}, 2.0),
        ({"arrivals": "x3", "when": {"in pond": "over 9"}}, 3.0),
        ({"arrivals": "x3", "when": {"in pond": "over 10"}}, 1.0),
        ({"arrivals": "x0.5", "when": {"in pond": "over 9", "date": "from 2026-07-24"}}, 0.75),  # half of 400 days
    ],
)
def test_arrivals_by_a_stock_are_thinned_exactly(effect: dict[str, Any], factor: float) -> None:
    came = len(_arrivals([{"on": "web", **effect}])[0])
    expected = 4000 * factor
    assert abs(came - expected) <= 4 * np.sqrt(expected)


def test_thinning_leaves_the_others_as_they_were() -> None:
    """Under one ceiling, a lower chance of being kept takes prospects away and moves nobody."""
    some = dict(zip(*_arrivals([{"on": "web", "arrivals": "x1.05", "per": "in pond", "most": "x5"}]), strict=True))
    more = dict(zip(*_arrivals([{"on": "web", "arrivals": "x1.1", "per": "in pond", "most": "x5"}]), strict=True))
    assert len(some) < len(more)
    assert some.items() <= more.items()


# --- visits -----------------------------------------------------------------------------------------------------------


def worked(size: int = 2, visits: int = 200, **source: Any) -> dict[str, Any]:
    return {
        "sources": {"doors": {"at": MONDAY, "size": visits, "worked": source, "cost": "3 each"}},
        "teams": {"reps": {"size": size, "ownership": "owner"}},
        "stages": {"lead": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"lost": {}}}},
    }


def test_visits_take_hours_and_find_prospects_one_by_one() -> None:
    scenario = toy(horizon="10 days", **worked(team="reps", effort="12 h", yields=1))
    records, plan = run(scenario)
    found = tasks(records, plan)
    visits = found[found.prospect < 0]
    assert (visits.stage.isna() & (visits.source == "doors")).all()
    served = visits[visits.outcome == "served"]
    # Each of two members makes a visit in half a day; what they find waits behind the visits planned before it.
    assert served.ended.tolist() == sorted([0.5 + k / 2 for k in range(20)] * 2)
    assert sorted(records.prospects.born) == sorted(served.ended[served.ended < 10])
    assert sum(amount for _, kind, amount in money(records, plan) if kind == "source cost") == 3 * len(served[:-2])


def test_the_finder_owns_what_was_found() -> None:
    scenario = toy(**worked(visits=40, team="reps", effort="12 h", yields=1))
    records, plan = run(scenario)
    found = tasks(records, plan)
    finder = dict(zip(found[found.prospect < 0].ended, found[found.prospect < 0].member, strict=True))
    leads = found[found.prospect >= 0]
    assert len(leads) == 40
    assert set(leads.member) == {"reps 1", "reps 2"}
    started = moves(records, plan).query("cause == 'came'")
    by_time = started.groupby("time").member.agg(set)
    assert all(finder[time] in members for time, members in by_time.items())
    first = started.set_index("prospect").member
    assert (leads.member.to_numpy() == first[leads.prospect].to_numpy()).all()


def test_the_yield_is_a_chance() -> None:
    records, _ = run(toy(**worked(size=50, visits=5000, team="reps", effort="1 min", yields="8%")))
    assert (records.tasks.outcome[records.tasks.prospect < 0] == SERVED).all()
    share_of(np.arange(5000) < len(records.prospects.key), 0.08).check(0.08, "yield")


def test_no_member_no_prospect() -> None:
    records, _ = run(toy(**worked(size=0, team="reps", effort="1 min", yields=3)))
    assert len(records.prospects.key) == 0
    assert np.isnan(records.tasks.begun).all()


def test_nothing_is_known_of_one_to_be_visited() -> None:
    """A member who serves only one segment visits nobody, for nobody's segment is known yet."""
    parts = worked(team="reps", effort="1 h", yields=1)
    parts["teams"] = {"reps": {"members": [{"name": "Ana", "only": {"segment": ["a", "b"]}}]}}
    records, _ = run(toy(attributes={"segment": {"a": "50%", "b": "50%"}}, **parts))
    assert len(records.prospects.key) == 0


# --- further deals, and how many are brought --------------------------------------------------------------------------


def test_a_further_deal_is_with_the_same_one() -> None:
    scenario = toy(
        attributes={
            "segment": {"a": "50%", "b": "50%"},
            "product": {"by": "source", "cases": {"again": {"second": "100%"}, "other": {"first": "100%"}}},
            "size": {"by": "product", "cases": {"first": 1, "second": 2}},
        },
        value={"uniform": {"low": 100, "high": 200}},
        sources={"list": {"at": MONDAY, "size": 200}, "again": {"enters": "end"}, "friend": {"enters": "end"}},
        stages={
            "customer": {
                "books": "value",
                "sends": {"number": 1, "after": "3 days", "source": "again"},
                "refers": {"number": 1, "after": "3 days", "source": "friend"},
            },
            "end": {},
        },
    )
    records, plan = run(scenario)
    people = records.prospects
    again = people.source == list(plan.source_names).index("again")
    friend = people.source == list(plan.source_names).index("friend")
    segment, product, size = people.attributes.T
    assert (segment[again] == segment[people.parent[again]]).all()
    assert (segment[friend] != segment[people.parent[friend]]).any()
    assert [plan.attribute_levels[1][int(code)] for code in product[again]] == ["second"] * 200  # type: ignore[index]
    assert (size[again] == 2).all()
    assert (people.value[again] != people.value[people.parent[again]]).all()
    assert set(people.generation[again]) == {0}
    assert set(people.generation[friend]) == {1}


@pytest.mark.parametrize("factor", [0, 0.3, 1, 1.7, 3])
def test_a_factor_on_referrals_is_exact_in_the_mean(factor: float) -> None:
    scenario = toy(
        sources={"list": {"at": MONDAY, "size": 2000}, "friend": {"enters": "end"}},
        stages={"customer": {"refers": {"number": 2, "source": "friend"}}, "end": {}},
        effects=[{"on": "customer", "referrals": factor}],
    )
    records, _ = run(scenario)
    parents = records.prospects.parent[records.prospects.parent >= 0]
    counts = np.bincount(parents, minlength=2000)
    assert set(counts) <= {int(2 * factor), int(2 * factor) + 1}
    if 2 * factor % 1:
        mean_of(counts).check(2 * factor, "referrals")
    else:
        assert set(counts) == {2 * factor}


# --- touches that take nobody's time ----------------------------------------------------------------------------------


def test_touches_of_nobody() -> None:
    scenario = toy(
        stages={
            "cards": {
                "work": {"touches": 5, "every": "10 days", "cost": 2},
                "exits": {"lead": {"after": "1 day"}},
            },
            "lead": {"exits": {"lost": {}}},
        },
        effects=[{"on": "cards -> lead", "time": "x2", "per": "touches"}],
    )
    records, plan = run(scenario)
    assert money(records, plan) == [(10.0 * k, "touch cost", 2.0) for k in range(5)]
    assert len(records.tasks.asked) == 0
    assert moves(records, plan).query("origin == 'cards'").time.tolist() == [40 + 2.0**5]


def test_a_limit_ends_touches_of_nobody() -> None:
    scenario = toy(
        stages={
            "cards": {
                "work": {"touches": 5, "every": "10 days", "cost": 2},
                "limit": {"after": "25 days", "to": "late"},
                "exits": {"lost": {}},
            }
        }
    )
    records, plan = run(scenario)
    assert ends(records, plan)["late"] == 1
    assert len(money(records, plan)) == 3
