"""Laws that every run obeys, whatever the scenario: nobody gets lost or waits beside an idle member, luck stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfunnel import kpi_tables, kpis, replicate, views
from simfunnel.engines.records import GAVE_UP, OPENED, SERVED, STARTED, Records
from simfunnel.numerics import forward, opening, work_end
from simfunnel.plan import NOWHERE, Plan
from simfunnel.scenario import Scenario
from tests import helpers, strategies
from tests.helpers import Life, lives, run, toy

many = settings(max_examples=60)


# --- laws of every run ------------------------------------------------------------------------------------------------


@many
@given(strategies.scenarios())
def test_a_life_is_unbroken(scenario: Scenario) -> None:
    """It begins once, goes on from where it was, never back in time, and nothing follows an end."""
    records, plan = run(scenario)
    place = np.full(len(records.prospects.key), NOWHERE, dtype=np.int64)
    time = np.full(len(records.prospects.key), math.nan)
    rows = records.moves
    assert (np.diff(rows.time) >= 0).all()
    for t, person, origin, goal, cause in zip(
        rows.time, rows.prospect, rows.origin, rows.goal, rows.cause, strict=True
    ):
        assert origin == place[person]
        assert (cause in (STARTED, OPENED)) == (origin == NOWHERE)
        assert origin != NOWHERE or t == records.prospects.born[person]
        assert origin < plan.n_stages
        assert not t < time[person]
        place[person], time[person] = goal, t
    assert (place != NOWHERE).all()
    assert (records.moves.time < plan.days).all()


@many
@given(strategies.scenarios())
def test_prospects_are_conserved_at_every_time(scenario: Scenario) -> None:
    """As many have been born as are in all stages and ends together."""
    records, plan = run(scenario)
    view = views.view_of(records, plan, "week")
    everywhere = np.ones(len(plan.place_names), dtype=bool)
    places = view.ways.passages
    by_stage = sum(view.stock(places(np.arange(len(everywhere)) == place)) for place in range(len(everywhere)))
    born = records.prospects.born
    ends = view.periods.edges[1:]
    expected = [(born < end).sum() if end < plan.days else len(born) for end in ends]
    assert view.stock(places(everywhere))[0].tolist() == expected
    assert by_stage[0].tolist() == expected
    assert sum(helpers.ends(records, plan).values()) == len(born)


@many
@given(strategies.scenarios())
def test_members_do_one_task_at_a_time_within_their_hours(scenario: Scenario) -> None:
    """A task begins while its member works, is employed and free, and ends when its hours are done."""
    records, plan = run(scenario)
    rows = records.tasks
    for m in range(len(plan.member_names)):
        mine = np.flatnonzero((rows.outcome == SERVED) & (rows.member == m))
        mine = mine[np.argsort(rows.begun[mine], kind="stable")]
        begun, ended = rows.begun[mine], rows.ended[mine]
        assert (begun[1:] >= ended[:-1]).all()
        assert (begun < plan.members.leaves[m]).all()
        if (plan.members.hired[m]) > 0:
            assert (begun >= plan.members.hired[m]).all()
        for begin in begun:
            assert opening(plan.maps, plan.members.work_map[m], begin) == begin
    served = rows.outcome == SERVED
    assert (rows.begun[served] >= rows.asked[served]).all()
    assert (rows.ended[served] >= rows.begun[served]).all()
    assert (rows.member[~served] == NOWHERE).all()
    assert np.isnan(rows.begun[~served]).all()
    assert (rows.left[rows.outcome == GAVE_UP] >= rows.asked[rows.outcome == GAVE_UP]).all()


def pools(plan: Plan) -> list[int]:
    """Teams whose members may serve anyone."""
    starts = plan.teams.member_start
    return [
        t
        for t in range(len(plan.team_names))
        if not plan.teams.owned[t] and (plan.members.only[starts[t] : starts[t + 1]] == NOWHERE).all()
    ]


@many
@given(strategies.scenarios())
def test_nobody_waits_while_someone_could_work(scenario: Scenario) -> None:
    """While a prospect waits, every member of the pool is busy in all of its hours."""
    records, plan = run(scenario)
    rows = records.tasks
    until = np.where(rows.outcome == SERVED, rows.begun, np.where(np.isnan(rows.left), plan.days, rows.left))
    for team in pools(plan):
        for m in range(plan.teams.member_start[team], plan.teams.member_start[team + 1]):
            work_map = int(plan.members.work_map[m])
            mine = (rows.outcome == SERVED) & (rows.member == m)
            for k in np.flatnonzero((rows.team == team) & (until > rows.asked)):
                end = min(until[k], plan.members.leaves[m])
                if end <= rows.asked[k]:
                    continue
                hours = forward(plan.maps, work_map, end) - forward(plan.maps, work_map, rows.asked[k])
                busy = 0.0
                for begin, finish in zip(rows.begun[mine], rows.ended[mine], strict=True):
                    low, high = max(begin, rows.asked[k]), min(finish, end)
                    if high > low:
                        busy += forward(plan.maps, work_map, high) - forward(plan.maps, work_map, low)
                assert busy == pytest.approx(hours, abs=1e-6)


@many
@given(strategies.scenarios())
def test_little_holds_as_an_identity(scenario: Scenario) -> None:
    """The mean number waiting times the length of the run is the sum of all waits, those that its end cuts off too."""
    records, plan = run(scenario)
    rows = records.tasks
    until = np.where(rows.outcome == SERVED, rows.begun, np.where(np.isnan(rows.left), plan.days, rows.left))
    table = kpi_tables.queues(records, plan)
    for t, length in enumerate(table.queue_length):
        assert length * plan.days == pytest.approx((until - rows.asked)[rows.team == t].sum(), abs=1e-9)


@many
@given(strategies.scenarios())
def test_metrics_stay_within_reason(scenario: Scenario) -> None:
    """Counts and amounts are not negative, shares lie between 0 and 1, and weeks add up to the whole."""
    records, plan = run(scenario)
    whole, weeks = views.view_of(records, plan, "all"), views.view_of(records, plan, "week")
    for name, metric in kpis.METRICS.items():
        values = whole.metric(name)
        known = values[~np.isnan(values)]
        if name != "profit":
            assert (known >= 0).all(), name
        if metric.unit == "share" and name != "utilisation":
            assert (known <= 1).all(), name
        if name in (
            "prospects",
            "referrals",
            "wins",
            "lost",
            "bookings",
            "revenue",
            "cash",
            "cost",
            "churned",
            "reneged",
        ):
            assert weeks.metric(name).sum() == pytest.approx(values.sum(), rel=1e-9, abs=1e-6), name


@settings(max_examples=15)
@given(strategies.scenarios(), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_bytes(scenario: Scenario, replication: int, seed: int) -> None:
    first, second = (run(scenario, replication, seed=seed)[0] for _ in range(2))
    assert fingerprint(first) == fingerprint(second)


def fingerprint(records: Records) -> bytes:
    parts = (records.prospects, records.moves, records.tasks, records.money)
    return (
        b"|".join(column.tobytes() for part in parts for column in vars(part).values()) + str(records.events).encode()
    )


# --- luck belongs to the prospect -------------------------------------------------------------------------------------

FUNNEL: dict[str, Any] = {
    "attributes": {"segment": {"smb": "70%", "big": "30%"}, "seats": {"poisson": 5}},
    "value": {"lognormal": {"median": 1000, "p90": 5000}},
    "sources": {
        "inbound": {"rate": "5 per day"},
        "fair": {"at": "2026-01-12", "size": 40},
        "open": {"deals": [{"id": "D1", "stage": "quote", "age": "3 days"}, {"id": "D2", "stage": "inquiry"}]},
        "referral": {},
    },
    "teams": {"sellers": {"size": 400}},
    "stages": {
        "inquiry": {
            "work": {"team": "sellers", "effort": {"exponential": "3 h"}},
            "exits": {"quote": {"chance": "50%", "after": {"exponential": "4 days"}}, "lost": {}},
        },
        "quote": {
            "work": {"team": "sellers", "effort": {"exponential": "5 h"}, "touches": 2, "every": "2 days"},
            "limit": {"after": {"exponential": "40 days"}},
            "exits": {
                "customer": {"chance": "40%", "after": {"gamma": {"mean": "9 days", "cv": 0.7}}},
                "lost": {"after": {"exponential": "9 days"}},
            },
        },
        "customer": {
            "books": "value",
            "refers": {"number": {"poisson": 0.7}, "after": {"exponential": "9 days"}, "source": "referral"},
            "exits": {"churned": {"after": {"exponential": "60 days"}}},
        },
    },
}  # fmt: skip
FEW = {"teams.sellers.size": 2}


def funnel(**changes: Any) -> Scenario:
    return toy(**FUNNEL).override({key.replace("__", "."): value for key, value in changes.items()})


def people(records: Records) -> dict[int, tuple[Any, ...]]:
    """What is drawn for each prospect at birth, by its key."""
    rows = records.prospects
    return {
        int(key): (int(rows.source[k]), float(rows.born[k]), float(rows.value[k]), *rows.attributes[k])
        for k, key in enumerate(rows.key)
    }


def efforts(records: Records, plan: Plan) -> dict[tuple[int, int, int], float]:
    """Hours of each touch that was served to its end, by prospect, stage and touch."""
    rows = records.tasks
    done = np.flatnonzero((rows.outcome == SERVED) & np.isfinite(rows.ended))
    return {
        (int(records.prospects.key[rows.prospect[k]]), int(rows.stage[k]), int(rows.touch[k])): 24
        * float(rows.ended[k] - rows.begun[k])
        for k in done
    }


def agree_where_both(one: dict[Any, Any], other: dict[Any, Any]) -> int:
    """How many keys are in both; their values must agree, times up to rounding."""
    common = one.keys() & other.keys()
    for key in common:
        assert one[key] == pytest.approx(other[key], abs=1e-9)
    return len(common)


ONE_MORE: dict[str, Callable[[Scenario], Scenario]] = {
    "a prospect on a list": lambda s: s.override({"sources.fair.size": 41}),
    "an open deal": lambda s: s.override(
        {"sources.open.deals": [{"id": "D0", "stage": "inquiry"}, *s.tree["sources"]["open"]["deals"]]}
    ),
    "a source": lambda s: s.override({"sources.extra": {"rate": "3 per day"}}),
    "a list": lambda s: s.override({"sources.extra": {"at": "2026-01-12", "size": 40}}),
    "an attribute": lambda s: s.override({"attributes.extra": {"poisson": 4}}),
    "an effect on others": lambda s: s.override(
        {"effects": [{"when": {"seats": "over 1000"}, "on": "quote -> customer", "odds": "x2"}]}
    ),
    "a stage that none enters": lambda s: s.override({"stages.extra": {"exits": {"lost": {"after": "3 days"}}}}),
}


@pytest.mark.parametrize("more", ONE_MORE)
def test_one_more_changes_nobody_elses_life(more: str) -> None:
    """With sellers enough for all, each life is the same to the last time of it."""
    base, changed = funnel(), ONE_MORE[more](funnel())
    (records, plan), (others, other_plan) = run(base), run(changed)
    before, after = lives(records, plan), lives(others, other_plan)
    assert before.items() <= after.items()
    assert len(before) > 300
    width = len(plan.attribute_names)
    was, now = people(records), people(others)
    assert {key: row[1 : 3 + width] for key, row in was.items()} == {key: now[key][1 : 3 + width] for key in was}


@pytest.mark.parametrize("more", ["a prospect on a list", "an open deal", "a source", "a list"])
def test_one_more_in_a_busy_queue_changes_nobody_elses_luck(more: str) -> None:
    """With two sellers the others wait longer, but each one's value, efforts and choices stay."""
    base = funnel().override(FEW)
    (records, plan), (others, other_plan) = run(base), run(ONE_MORE[more](base))
    roots = {int(key) for key in records.prospects.key[records.prospects.generation == 0]}
    before, after = people(records), people(others)
    assert {key: before[key] for key in roots} == {key: (before[key][0], *after[key][1:]) for key in roots}
    waited = agree_where_both(efforts(records, plan), efforts(others, other_plan))
    assert waited > 50
    chosen, chosen_after = choices(records, plan), choices(others, other_plan)
    common = chosen.keys() & chosen_after.keys()
    assert {key: chosen[key] for key in common} == {key: chosen_after[key] for key in common}
    assert len(common) > 40


def choices(records: Records, plan: Plan) -> dict[tuple[int, str], str]:
    """Which exit each prospect took from each stage that it left by an exit (no stage is visited twice here)."""
    table = helpers.moves(records, plan)
    table = table[table.cause == "exit"]
    return {(row.key, row.origin): row.goal for row in table.itertuples()}


def test_a_stage_more_shifts_nobodys_luck() -> None:
    """A stage put before all, through which everyone passes in no time, leaves every other move as it was."""
    base = funnel()
    enters = {f"sources.{name}.enters": "welcome" for name in ("inbound", "fair", "referral")}
    changed = base.override({"stages.welcome": {"exits": {"inquiry": {}}}, **enters})
    before, after = lives(*run(base)), lives(*run(changed))
    assert after != before

    def without_welcome(life: Life) -> list[tuple[float, str]]:
        return [(time, goal) for time, goal, _ in life if goal != "welcome"]

    assert {key: without_welcome(life) for key, life in after.items()} == {
        key: without_welcome(life) for key, life in before.items()
    }


# --- monotone response ------------------------------------------------------------------------------------------------


def winners(scenario: Scenario, number: int = 0) -> set[int]:
    records, plan = run(scenario, number)
    won = records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]
    return {int(key) for key in records.prospects.key[won]}


@pytest.mark.parametrize(
    "better",
    [
        {"stages.quote.exits.customer.chance": "45%"},
        {"stages.inquiry.exits.quote.chance": "60%"},
        {"effects": [{"on": "quote -> customer", "odds": "x1.3"}]},
        {"effects": [{"when": {"segment": "big"}, "on": "inquiry", "odds": "x2"}]},
        {"teams.sellers.skill": 1.5},
    ],
    ids=["chance", "an earlier chance", "odds", "odds of some", "skill"],
)
def test_a_better_chance_turns_only_losers_into_winners(better: dict[str, Any]) -> None:
    base = funnel()
    before, after = winners(base), winners(base.override(better))
    assert before < after
    assert len(before) > 30


@settings(max_examples=20)
@given(st.integers(1, 98), st.integers(1, 99), st.integers(0, 3))
def test_winners_grow_with_the_chance(low: int, step: int, number: int) -> None:
    high = min(99, low + step)
    few, many_ = (
        winners(
            toy(
                sources={"list": {"at": helpers.MONDAY, "size": 60}},
                stages={
                    "lead": {"exits": {"customer": {"chance": f"{chance}%"}, "lost": {}}},
                    "customer": {"books": 1},
                },
            ),
            number,
        )
        for chance in (low, high)
    )
    assert few <= many_


def test_a_doubled_rate_brings_the_same_people_sooner() -> None:
    base = toy(sources={"inbound": {"rate": "3 per day", "weekday": {"Sat": "x0.2", "Sun": "x0"}}})
    (slow, _), (fast, _) = run(base), run(base.override({"sources.inbound.rate": "6 per day"}))
    n = len(slow.prospects.key)
    assert n > 150
    assert (fast.prospects.key[:n] == slow.prospects.key).all()
    assert (fast.prospects.born[:n] < slow.prospects.born).all()
    steady = toy(sources={"inbound": {"rate": "3 per day"}})
    (slow, _), (fast, _) = run(steady), run(steady.override({"sources.inbound.rate": "6 per day"}))
    n = len(slow.prospects.key)
    assert fast.prospects.born[:n] == pytest.approx(slow.prospects.born / 2, rel=1e-12)


def test_an_hour_more_of_effort_is_an_hour_later() -> None:
    """Of one task, with sellers enough."""
    base = toy(
        teams={"sellers": {"size": 500}},
        sources={"list": {"at": helpers.MONDAY, "size": 500}},
        stages={"lead": {"work": {"team": "sellers", "effort": {"exponential": "3 h"}}, "exits": {"lost": {}}}},
    )
    (records, plan), (others, _) = run(base), run(base.override({"effects": [{"on": "lead", "effort": "x2"}]}))
    assert others.tasks.ended == pytest.approx(2 * records.tasks.ended, rel=1e-12)
    assert plan.n_stages == 1


# --- replications, seeds and workers ----------------------------------------------------------------------------------


def test_a_replication_does_not_depend_on_how_many_there_are() -> None:
    few = replicate.run(funnel(), 2, log=True)
    many_ = replicate.run(funnel(), 4, log=True)
    assert few.log is not None
    assert many_.log is not None
    pd.testing.assert_frame_equal(few.log, many_.log[many_.log.replication < 2])
    pd.testing.assert_frame_equal(few.values("bookings"), many_.values("bookings").loc[[0, 1]])


def test_two_workers_give_the_bytes_of_one() -> None:
    scenario = funnel(stages__quote__exits__customer__chance="30% to 50%").override(FEW)
    one = replicate.run(scenario, 6, workers=1, log=True, by="source", deals=True)
    two = replicate.run(scenario, 6, workers=2, log=True, by="source", deals=True)
    for name in ("kpis", "grouped", "funnel", "queues", "log", "deals"):
        first, second = getattr(one, name), getattr(two, name)
        assert first.to_csv(float_format="%.17g") == second.to_csv(float_format="%.17g"), name
    assert one.events == two.events


def test_seeds_and_replications_differ() -> None:
    born = [run(funnel(), number, seed=seed)[0].prospects.born.tobytes() for seed in (1, 2) for number in (0, 1)]
    assert len(set(born)) == 4


def test_uncertain_numbers_are_drawn_once_for_each_replication() -> None:
    """In 90% of replications within the interval, half below the middle, the same for everyone in a replication."""
    stages = {
        "lead": {"exits": {"customer": {"chance": "40% to 60%", "after": "1 to 9 days"}, "lost": {}}},
        "customer": {"books": "10 to 20"},
    }
    scenario = toy(horizon="400 days", sources={"list": {"at": helpers.MONDAY, "size": 30}}, stages=stages)
    spans, amounts = [], []
    for number in range(400):
        records, plan = run(scenario, number)
        won = records.moves.goal == plan.place_names.index("customer")
        assert np.ptp(records.moves.time[won]) == 0
        assert np.ptp(records.money.amount) == 0
        spans.append(records.moves.time[won][0])
        amounts.append(records.money.amount[0])
    for values, low, high in ((np.array(spans), 1, 9), (np.array(amounts), 10, 20)):
        helpers.share_of((values >= low) & (values <= high), 0.9).check(0.9, "within the interval", precision=0.02)
        helpers.share_of(values < math.sqrt(low * high), 0.5).check(0.5, "below the middle", precision=0.06)
    assert abs(np.corrcoef(spans, amounts)[0, 1]) < 4 / math.sqrt(400)


def test_an_uncertain_rate_and_chance_move_the_result() -> None:
    """The spread over replications is that of the uncertain number and of luck together."""
    scenario = toy(horizon="200 days", sources={"inbound": {"rate": "1 to 4 per day"}})
    counts = np.array([len(run(scenario, number)[0].prospects.key) for number in range(200)])
    sigma = math.log(4) / (2 * 1.6448536269514722)
    mean = 200 * 2 * math.exp(sigma**2 / 2)
    helpers.mean_of(counts).check(mean, "arrivals", precision=0.06)
    assert counts.std() > 5 * math.sqrt(mean)


# --- the ends of the working time -------------------------------------------------------------------------------------


@many
@given(strategies.scenarios())
def test_a_task_ends_when_its_hours_are_done(scenario: Scenario) -> None:
    """The end is where the member's map of hours has risen by the effort: constant efforts can be told from outside."""
    records, plan = run(scenario)
    rows = records.tasks
    for k in np.flatnonzero(rows.outcome == SERVED):
        effort = scenario.spec.stages[plan.place_names[rows.stage[k]]].work.effort  # type: ignore[union-attr]
        if effort.is_constant and not scenario.spec.effects:
            work_map = int(plan.members.work_map[rows.member[k]])
            expected = work_end(plan.maps, work_map, rows.begun[k], effort.mean())
            assert rows.ended[k] == pytest.approx(expected, abs=1e-12)
