"""Who is served, by whom and in which order; who gives up, and what a limit does to those who wait; all by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simfunnel.engines.records import GAVE_UP
from simfunnel.scenario import Scenario
from tests.helpers import MONDAY, lives, moves, run, tasks, toy

HOUR = 1 / 24


def lists(*days: int) -> dict[str, Any]:
    """A source of one prospect for each of these days of January 2026 (5 is the start), in their order."""
    return {f"day {day}": {"at": f"2026-01-{day:02d}", "size": 1} for day in days}


def one_stage(work: dict[str, Any], **parts: Any) -> Scenario:
    """Prospects who are worked on once and then lost."""
    stages = {"lead": {"work": {"team": "sellers", **work}, "exits": {"lost": {}}}}
    return toy(**{"teams": {"sellers": {"size": 1}}, "stages": stages, **parts})


def served(scenario: Scenario) -> list[str]:
    """The sources of those served, in the order in which they were."""
    table = tasks(*run(scenario))
    return table[table.outcome == "served"].sort_values("begun").source.tolist()


# --- the order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serves", "order"),
    [
        ("oldest first", ["day 5", "day 6", "day 7", "day 8"]),
        ("newest first", ["day 5", "day 8", "day 7", "day 6"]),
        ({"first": [{"source": "day 8"}, {"source": "day 7"}]}, ["day 5", "day 8", "day 7", "day 6"]),
        ({"first": [{"source": ["day 7", "day 8"]}], "then": "newest first"}, ["day 5", "day 8", "day 7", "day 6"]),
        ({"first": [{"source": ["day 7", "day 8"]}]}, ["day 5", "day 7", "day 8", "day 6"]),
        ({"first": [{}]}, ["day 5", "day 6", "day 7", "day 8"]),
    ],
    ids=str,
)
def test_order_of_service(serves: Any, order: list[str]) -> None:
    """The first is taken at once; the others wait while it is worked on for 96 hours."""
    scenario = one_stage(
        {"effort": "96 h"}, sources=lists(5, 6, 7, 8), teams={"sellers": {"size": 1, "serves": serves}}
    )
    assert served(scenario) == order


@pytest.mark.parametrize("serves", ["newest first", "highest value first", {"first": [{"source": "late"}]}], ids=str)
def test_all_who_come_at_one_instant_are_there_before_anyone_is_served(serves: Any) -> None:
    """The later source's prospect is the newest, the dearest and the first by rule, and so it is served first."""
    scenario = one_stage(
        {"effort": "24 h"},
        sources={"early": {"at": "2026-01-07", "size": 1}, "late": {"at": "2026-01-07", "size": 1}},
        value={"by": "source", "cases": {"early": 10, "late": 20}},
        teams={"sellers": {"size": 1, "serves": serves}},
    )
    assert served(scenario) == ["late", "early"]


@pytest.mark.parametrize("others", [0, 1, 2, 6, 40])
def test_all_who_have_thought_until_one_instant_are_there_before_anyone_is_served(others: int) -> None:
    """Nobody is served at once, though a seller is free, before the other one has asked as well.

    Those who think longer stand between the two on the agenda.
    """
    at = {"at": "2026-01-07", "size": 1}
    scenario = toy(
        sources={"early": at, "slow": {**at, "size": max(others, 1), "enters": "ponder"}, "late": at},
        teams={"sellers": {"size": 1, "serves": "newest first"}},
        stages={
            "think": {"exits": {"lead": {"after": "1 day"}}},
            "lead": {"work": {"team": "sellers", "effort": "24 h"}, "exits": {"lost": {}}},
            "ponder": {"exits": {"lost": {"after": "20 days" if others else "1 h"}}},
        },
    )
    assert served(scenario) == ["late", "early"]


@pytest.mark.parametrize("others", [0, 1, 2, 6, 40])
def test_who_is_served_in_time_is_not_reached_by_patience(others: int) -> None:
    """One asks a day, for 10 days of the one seller; who has waited for 23.5 days leaves, which 3 to 6 do."""
    scenario = toy(
        horizon="60 days",
        sources={
            "slow": {"at": "2026-01-05", "size": max(others, 1), "enters": "ponder"},
            **{f"{k}": {"at": f"2026-01-{6 + k:02}", "size": 1} for k in range(8)},
        },
        teams={"sellers": {"size": 1}},
        stages={
            "lead": {
                "work": {"team": "sellers", "effort": "240 h", "patience": "23.5 days", "gives_up": "lost"},
                "exits": {"lost": {}},
            },
            "ponder": {"exits": {"lost": {"after": "50 days" if others else "1 h"}}},
        },
    )
    assert served(scenario) == ["0", "1", "2", "7"]


def test_who_asked_at_one_instant_leave_in_the_order_of_their_teams() -> None:
    """Timers of equal patience are set when a team looks at its queue, and not as each of its prospects asks."""
    works = {f"for {team}": {"team": team, "effort": "240 h", "patience": "1 day", "gives_up": "lost"} for team in "xy"}
    before, then = ({"at": f"2026-01-{day:02}", "size": 1} for day in (5, 6))
    scenario = toy(
        sources={
            "busy x": {**before, "enters": "for x"},
            "busy y": {**before, "enters": "for y"},
            "first": {**then, "enters": "for x"},
            "second": {**then, "enters": "for y"},
            "third": {**then, "enters": "for x"},
        },
        teams={"x": {"size": 1}, "y": {"size": 1}},
        stages={stage: {"work": work, "exits": {"lost": {}}} for stage, work in works.items()},
    )
    records, plan = run(scenario)
    sources = np.array(plan.source_names)[records.prospects.source]
    gave_up = records.tasks.prospect[records.tasks.outcome == GAVE_UP]
    assert sources[gave_up].tolist() == ["first", "third", "second"]


def test_ten_thousand_at_one_instant_are_served_by_value() -> None:
    scenario = one_stage(
        {"effort": "1 min"},
        sources={"list": {"at": MONDAY, "size": 10_000}},
        value={"lognormal": {"median": 1000, "p90": 9000}},
        teams={"sellers": {"size": 3, "serves": "highest value first"}},
    )
    records, _ = run(scenario)
    begun = np.full(10_000, np.nan)
    begun[records.tasks.prospect] = records.tasks.begun
    in_order = np.argsort(-records.prospects.value, kind="stable")
    assert (np.diff(begun[in_order]) >= 0).all()
    assert begun[in_order[0]] == 0.0
    assert begun[in_order[-1]] == pytest.approx(3333 / 1440)


def test_equal_values_are_served_in_the_order_in_which_they_asked() -> None:
    teams = {"sellers": {"size": 1, "serves": "highest value first"}}
    scenario = one_stage({"effort": "96 h"}, sources=lists(5, 6, 7, 8), value=100, teams=teams)
    assert served(scenario) == ["day 5", "day 6", "day 7", "day 8"]


def test_work_goes_to_the_member_who_has_been_idle_longest() -> None:
    scenario = one_stage({"effort": "6 h"}, sources=lists(5, 6, 7, 8, 9), teams={"sellers": {"size": 3}})
    assert tasks(*run(scenario)).member.tolist() == ["sellers 1", "sellers 2", "sellers 3", "sellers 1", "sellers 2"]


def test_release_comes_before_seize_at_one_instant() -> None:
    """The seller who ends a task at midnight takes who comes at that very midnight."""
    scenario = one_stage({"effort": "24 h", "patience": 0}, sources=lists(5, 6, 7))
    table = tasks(*run(scenario))
    assert table.outcome.tolist() == ["served"] * 3
    assert table.begun.tolist() == [0.0, 1.0, 2.0]


# --- who may serve whom -----------------------------------------------------------------------------------------------


def test_a_member_serves_only_whom_they_may() -> None:
    """Ana takes big ones alone: she stays idle beside a small one, and big ones overtake it."""
    members = [{"name": "Ana", "only": {"source": "big"}}, {"name": "Ben", "hired": "2026-01-07"}]
    scenario = one_stage(
        {"effort": "24 h"},
        sources={"small": {"at": MONDAY, "size": 1}, "big": {"at": "2026-01-06", "size": 1}},
        teams={"sellers": {"members": members}},
    )
    table = tasks(*run(scenario)).set_index("source")
    assert table.member.to_dict() == {"small": "Ben", "big": "Ana"}
    assert table.begun.to_dict() == {"small": 2.0, "big": 1.0}


def test_nobody_serves_whom_nobody_may() -> None:
    members = [{"count": 2, "only": {"source": "big"}}]
    sources = {"small": {"at": MONDAY, "size": 1}, "big": {"at": MONDAY, "size": 1}}
    table = tasks(*run(one_stage({"effort": "1 h"}, sources=sources, teams={"sellers": {"members": members}})))
    assert dict(zip(table.source, table.outcome, strict=True)) == {"small": "still waiting", "big": "served"}


# --- ownership --------------------------------------------------------------------------------------------------------

OWNED: dict[str, Any] = {
    "teams": {"sellers": {"size": 2, "ownership": "owner"}},
    "stages": {
        "lead": {
            "work": {"team": "sellers", "effort": "24 h", "touches": 2, "every": "24 h"},
            "exits": {"quote": {"after": "1 day"}},
        },
        "quote": {"work": {"team": "sellers", "effort": "24 h"}, "exits": {"lost": {}}},
    },
}


def test_all_later_work_is_the_owners() -> None:
    table = tasks(*run(toy(**OWNED, sources=lists(*range(5, 25, 2)))))
    assert len(table) == 30
    assert (table.groupby("prospect").member.nunique() == 1).all()
    assert table.member.nunique() == 2


def test_in_a_pool_it_is_anyones() -> None:
    scenario = toy(**OWNED, sources=lists(*range(5, 25, 2))).override({"teams.sellers.ownership": "pool"})
    assert (tasks(*run(scenario)).groupby("prospect").member.nunique() == 2).any()


def test_a_deal_waits_for_its_owner_beside_an_idle_member() -> None:
    """The owner of the first one is given the second as well, then ends it; the other member stays idle meanwhile."""
    members = [{"name": "Ana"}, {"name": "Ben", "hired": "2026-01-07"}]
    scenario = toy(
        sources={"first": {"at": MONDAY, "size": 1}, "second": {"at": "2026-01-06", "size": 1}},
        teams={"sellers": {"members": members, "ownership": "owner"}},
        stages={
            "lead": {
                "work": {"team": "sellers", "effort": "24 h", "touches": 2, "every": "36 h"},
                "exits": {"lost": {}},
            }
        },
    ).override({"effects": [{"when": {"source": "second"}, "on": "lead", "effort": "x3"}]})
    table = tasks(*run(scenario))
    first = table[table.source == "first"]
    assert first.member.tolist() == ["Ana", "Ana"]
    assert first.asked.tolist() == [0.0, 2.5]
    assert first.begun.tolist() == [0.0, 4.0]  # Ana works on the second from day 1 to day 4


def leaving_owner(leaves: str, **ana: Any) -> Scenario:
    """Ana owns the only deal from day 0 on; its second touch is asked for on day 3."""
    members = [{"name": "Ana", "leaves": leaves, **ana}, {"name": "Ben", "hired": "2026-01-06"}]
    return toy(
        teams={"sellers": {"members": members, "ownership": "owner"}},
        stages={
            "lead": {
                "work": {"team": "sellers", "effort": "24 h", "touches": 3, "every": "48 h"},
                "exits": {"lost": {}},
            }
        },
    )


def test_deals_of_one_who_has_left_go_back_to_the_pool() -> None:
    table = tasks(*run(leaving_owner("2026-01-07")))
    assert table.member.tolist() == ["Ana", "Ben", "Ben"]
    assert table.begun.tolist() == [0.0, 3.0, 6.0]


def test_a_deal_that_waits_for_an_owner_goes_to_the_pool_at_the_instant_when_the_owner_leaves() -> None:
    """Ana works on Mondays alone: the deal waits from Thursday, and Ben has it when she leaves on Saturday."""
    table = tasks(*run(leaving_owner("2026-01-10", calendar={"days": "Mon", "hours": "00:00-24:00"})))
    assert table.member.tolist() == ["Ana", "Ben", "Ben"]
    assert table.asked.tolist() == [0.0, 3.0, 8.0]
    assert table.begun.tolist() == [0.0, 5.0, 8.0]


def test_a_deal_goes_to_the_pool_while_its_leaving_owner_still_works_on_another() -> None:
    """Ana takes the second one on day 1 for 20 days and leaves on day 6 with it in hand; Ben has the first then."""
    scenario = leaving_owner("2026-01-11").override(
        {
            "sources.long": {"at": "2026-01-06", "size": 1},
            "effects": [{"when": {"source": "long"}, "on": "lead", "effort": "x20"}],
            "teams.sellers.members.Ben.only": {"source": "list"},
        }
    )
    table = tasks(*run(scenario))
    mine = table[table.source == "list"]
    assert mine.member.tolist() == ["Ana", "Ben", "Ben"]
    assert mine.begun.tolist() == [0.0, 6.0, 9.0]
    assert table[table.source == "long"].ended.tolist()[0] == 21.0


# --- patience and limits ----------------------------------------------------------------------------------------------


def test_without_sellers_everyone_waits_for_ever() -> None:
    scenario = one_stage({"effort": "1 h"}, sources=lists(5, 6), teams={"sellers": {"size": 0}})
    records, plan = run(scenario)
    table = tasks(records, plan)
    assert table.outcome.tolist() == ["still waiting"] * 2
    assert table[["begun", "ended", "left"]].isna().all().all()
    assert all(len(life) == 1 for life in lives(records, plan).values())


def test_without_sellers_patience_or_the_limit_ends_the_wait() -> None:
    scenario = one_stage(
        {"effort": "1 h", "patience": "2 days", "gives_up": "rival"},
        sources=lists(5, 6),
        teams={"sellers": {"size": 0}},
    )
    table = moves(*run(scenario))
    assert [*zip(table.time, table.goal, table.cause, strict=True)][2:] == [
        (2.0, "rival", "reneged"),
        (3.0, "rival", "reneged"),
    ]
    limited = scenario.override({"stages.lead.limit": {"after": "36 h", "to": "archive"}})
    table = moves(*run(limited))
    assert [*zip(table.time, table.goal, table.cause, strict=True)][2:] == [
        (1.5, "archive", "limit"),
        (2.5, "archive", "limit"),
    ]


def test_patience_counts_anew_at_each_touch() -> None:
    """The first touch waits two days of three; the second is asked for while another is worked on, and gives up."""
    scenario = one_stage(
        {"effort": "48 h", "patience": "3 days", "touches": 2, "every": 0, "gives_up": "rival"},
        sources=lists(5, 6),
    ).override({"effects": [{"when": {"source": "day 6"}, "on": "lead", "effort": "x4"}]})
    table = tasks(*run(scenario))
    first = table[table.source == "day 5"]
    # Day 0 to 2 for the first; then the second, which asked on day 1, has the seller until day 10.
    assert first.outcome.tolist() == ["served", "gave up"]
    assert first.left.tolist()[1] == 5.0
    assert first.touch.tolist() == [0, 1]


def test_with_patience_nought_one_is_served_and_the_other_gone_at_once() -> None:
    scenario = one_stage({"effort": "24 h", "patience": 0}, sources={"list": {"at": MONDAY, "size": 2}})
    table = tasks(*run(scenario))
    assert table.outcome.tolist() == ["served", "gave up"]
    assert table.left.tolist()[1] == 0.0


def limited(after: str, touches: int = 2, **parts: Any) -> list[tuple[float, str, str]]:
    """The last moves under a limit: two touches of a day each with a gap of two days, then an exit after three days."""
    scenario = toy(
        teams={"sellers": {"size": 1}},
        stages={
            "lead": {
                "work": {"team": "sellers", "effort": "24 h", "touches": touches, "every": "48 h"},
                "limit": {"after": after, "to": "archive"},
                "exits": {"lost": {"after": "3 days"}},
            }
        },
        **parts,
    )
    records, plan = run(scenario)
    return [life[-1] for life in lives(records, plan).values()]


@pytest.mark.parametrize(
    ("after", "time", "goal"),
    [
        ("12 h", 1.0, "archive"),  # in the first touch: at its end
        ("24 h", 1.0, "archive"),
        ("2 days", 2.0, "archive"),  # in the gap
        ("3 days", 4.0, "archive"),  # as the second touch begins: at its end
        ("84 h", 4.0, "archive"),
        ("5 days", 5.0, "archive"),  # while the exit's time runs
        ("7 days", 7.0, "lost"),  # at the same instant the exit wins
        ("8 days", 7.0, "lost"),
    ],
)
def test_a_limit_during_work_gap_and_exit(after: str, time: float, goal: str) -> None:
    assert limited(after) == [(time, goal, "exit" if goal == "lost" else "limit")]


def test_a_limit_while_waiting() -> None:
    """The second one waits from day 0 for the seller, who is on the first one's second touch until day 4."""
    found = limited("60 h", touches=1, sources={"list": {"at": MONDAY, "size": 4}})
    assert found == [
        (2.5, "archive", "limit"),
        (2.5, "archive", "limit"),
        (3.0, "archive", "limit"),
        (2.5, "archive", "limit"),
    ]


def test_a_limit_of_nought_lets_work_that_begins_at_once_end() -> None:
    found = limited("0 days", touches=1, sources={"list": {"at": MONDAY, "size": 2}})
    assert found == [(1.0, "archive", "limit"), (0.0, "archive", "limit")]


def test_patience_before_the_limit_is_giving_up_and_after_it_the_limit() -> None:
    for patience, expected in (
        ("1 day", (1.0, "rival", "reneged")),
        ("2 days", (2.0, "rival", "reneged")),
        ("3 days", (2.0, "lost", "limit")),
    ):
        scenario = one_stage(
            {"effort": "1 h", "patience": patience, "gives_up": "rival"}, teams={"sellers": {"size": 0}}
        )
        scenario = scenario.override({"stages.lead.limit": {"after": "2 days"}})
        assert [life[-1] for life in lives(*run(scenario)).values()] == [expected]


def test_a_grant_beats_patience_and_the_limit_in_the_same_instant() -> None:
    """The second one's two days end on day 2, when the seller is free again; the third one's end on day 3."""
    work = {"effort": "48 h", "patience": "2 days"}
    scenario = one_stage(work, sources={"list": {"at": MONDAY, "size": 2}, "day 6": {"at": "2026-01-06", "size": 1}})
    table = tasks(*run(scenario))
    assert table.outcome.tolist() == ["served", "served", "gave up"]
    assert table.begun.tolist()[:2] == [0.0, 2.0]
    assert table.left.tolist()[2] == 3.0
    limited_too = one_stage({"effort": "48 h"}, sources=scenario.tree["sources"]).override(
        {"stages.lead.limit": {"after": "2 days", "to": "archive"}}
    )
    assert tasks(*run(limited_too)).outcome.tolist() == ["served", "served", "out of time"]


def test_one_who_gave_up_leaves_the_queue_to_the_others() -> None:
    """Of three with patience of three, one and five days the second leaves and the third is next."""
    scenario = one_stage({"effort": "48 h", "patience": "5 days"}, sources=lists(5, 6, 7)).override(
        {"effects": [{"when": {"source": "day 6"}, "on": "lead", "patience": "x0.1"}]}
    )
    table = tasks(*run(scenario))
    assert table.outcome.tolist() == ["served", "gave up", "served"]
    assert table.left.tolist()[1] == 1.5
    assert table.begun.tolist()[2] == 2.0
