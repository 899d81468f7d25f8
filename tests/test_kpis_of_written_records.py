"""Metrics of records that are written here row by row, with the figures worked out by hand beside them.

180 days from 1 January 2026: day 90 begins the second quarter. Ana and Ben work round the clock; Ben leaves on day 100.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simfunnel import kpi_tables, kpis, views
from simfunnel.engines.records import (
    BOOKED,
    EXITED,
    GAVE_UP,
    LIMITED,
    OPENED,
    OUT_OF_TIME,
    PAID,
    RENEGED,
    REWARD,
    SERVED,
    SOURCE_COST,
    STAGE_COST,
    STARTED,
    STILL_WAITING,
    TOUCH_COST,
    MoneyRows,
    Moves,
    Prospects,
    Records,
    Tasks,
    columns,
)
from simfunnel.plan import Plan, compile_plan
from simfunnel.scenario import from_tree

TREE: dict[str, Any] = {
    "name": "by hand",
    "start": "2026-01-01",
    "horizon": "180 days",
    "calendar": "always",
    "attributes": {"segment": {"small": "50%", "big": "50%"}},
    "sources": {
        "inbound": {"rate": "1 per day", "cost": "2 per day"},
        "fair": {"at": "2026-04-01", "size": 1, "cost": 900},
        "referral": {},
        "open": {"deals": []},
    },
    "teams": {
        "sellers": {
            "members": [
                {"name": "Ana", "pay": "3 per day"},
                {"name": "Ben", "pay": "4 per day", "leaves": "2026-04-11"},
            ]
        }
    },
    "stages": {
        "lead": {
            "work": {"team": "sellers", "effort": "1 h", "patience": "10 days"},
            "exits": {"quote": {}, "lost": {"chance": "50%"}},
        },
        "quote": {
            "cost_per_day": 1,
            "limit": {"after": "50 days"},
            "exits": {"customer": {}, "lost": {"chance": "50%"}},
        },
        "customer": {"books": "value", "term": "120 days", "exits": {"loyal": {"chance": "50%"}, "churned": {}}},
        "loyal": {"customer": True, "exits": {"quote": {"chance": "50%"}, "churned": {}}},
    },
}
NAN = float("nan")
LEAD, QUOTE, CUSTOMER, LOYAL, LOST, CHURNED = range(6)
ANA, BEN, NOBODY = 0, 1, -1
INBOUND, FAIR, REFERRAL, OPEN = range(4)

PEOPLE: list[tuple[float, ...]] = [  # key, source, parent, generation, born, value, deal
    (1, INBOUND, -1, 0, 5.0, 100.0, -1),
    (2, INBOUND, -1, 0, 10.0, 200.0, -1),
    (3, REFERRAL, 0, 1, 40.0, 300.0, -1),
    (4, OPEN, -1, 0, 0.0, 400.0, 0),
    (5, FAIR, -1, 0, 90.0, 500.0, -1),
]
SEGMENT = [0.0, 1.0, 0.0, 1.0, 0.0]
MOVES: list[tuple[float, ...]] = [  # time, prospect, origin, goal, cause, member
    (0.0, 3, -1, QUOTE, OPENED, BEN),
    (5.0, 0, -1, LEAD, STARTED, NOBODY),
    (10.0, 1, -1, LEAD, STARTED, NOBODY),
    (12.0, 0, LEAD, QUOTE, EXITED, ANA),
    (20.0, 1, LEAD, LOST, RENEGED, NOBODY),
    (30.0, 0, QUOTE, CUSTOMER, EXITED, ANA),
    (40.0, 2, -1, LEAD, STARTED, NOBODY),
    (50.0, 3, QUOTE, LOST, LIMITED, BEN),
    (60.0, 2, LEAD, QUOTE, EXITED, BEN),
    (90.0, 4, -1, LEAD, STARTED, NOBODY),  # at the very end of the first quarter: it belongs to the second
    (100.0, 2, QUOTE, CUSTOMER, EXITED, BEN),
    (110.0, 2, CUSTOMER, LOYAL, EXITED, BEN),
    (120.0, 0, CUSTOMER, CHURNED, EXITED, ANA),
    (130.0, 4, LEAD, QUOTE, EXITED, ANA),
]
TASKS: list[tuple[float, ...]] = [  # prospect, source, stage, team, member, touch, outcome, asked, begun, ended, left
    (0, INBOUND, LEAD, 0, ANA, 0, SERVED, 5.0, 6.0, 8.0, NAN),
    (1, INBOUND, LEAD, 0, NOBODY, 0, GAVE_UP, 10.0, NAN, NAN, 20.0),
    (2, REFERRAL, LEAD, 0, BEN, 0, SERVED, 40.0, 40.0, 41.0, NAN),
    (2, REFERRAL, QUOTE, 0, BEN, 0, SERVED, 86.0, 89.0, 92.0, NAN),  # straddles the end of the quarter
    (4, FAIR, LEAD, 0, ANA, 0, SERVED, 90.0, 93.0, 96.0, NAN),
    (4, FAIR, QUOTE, 0, NOBODY, 0, OUT_OF_TIME, 131.0, NAN, NAN, 133.0),
    (4, FAIR, QUOTE, 0, ANA, 1, SERVED, 178.0, 179.0, np.inf, NAN),  # in hand at the horizon
    (0, INBOUND, QUOTE, 0, NOBODY, 1, STILL_WAITING, 175.0, NAN, NAN, NAN),
]
MONEY: list[tuple[float, ...]] = [  # time, prospect, stage, kind, amount
    (5.0, 0, -1, SOURCE_COST, 85.0),
    (6.0, 0, LEAD, TOUCH_COST, 5.0),
    (30.0, 0, CUSTOMER, BOOKED, 100.0),
    (30.0, 0, CUSTOMER, PAID, 20.0),
    (100.0, 2, CUSTOMER, BOOKED, 300.0),
    (100.0, 2, CUSTOMER, REWARD, 50.0),
    (100.0, 2, CUSTOMER, STAGE_COST, 11.0),
]


def written(**changes: Any) -> tuple[Records, Plan]:
    plan = compile_plan(from_tree({**TREE, **changes}).spec)
    records = Records(
        Prospects(*columns(PEOPLE, "iiiiffi"), attributes=np.array(SEGMENT).reshape(-1, 1)),  # type: ignore[arg-type,misc]
        Moves(*columns(MOVES, "fiiiii")),
        Tasks(*columns(TASKS, "iiiiiiiffff")),
        MoneyRows(*columns(MONEY, "fiiif")),
        events=0,
    )
    assert plan.place_names == ("lead", "quote", "customer", "loyal", "lost", "churned")
    return records, plan


@pytest.mark.parametrize(
    ("metric", "by_quarter"),
    [
        ("prospects", [3, 1]),  # the open deal did not come
        ("referrals", [1, 0]),
        ("wins", [1, 1]),  # becoming loyal is no win
        ("lost", [2, 0]),  # a customer who leaves is not lost
        ("win_rate", [1 / 3, 1]),
        ("bookings", [100, 300]),
        ("revenue", [100 * 60 / 120, 100 * 60 / 120 + 300 * 80 / 120]),
        ("cash", [20, 0]),
        ("open_deals", [1, 1]),
        ("pipeline_value", [300, 500]),
        ("customers", [1, 1]),
        ("churned", [0, 1]),
        ("reneged", [1, 0]),
        ("wait", [(24 + 0 + 72) / 3, (72 + 24) / 2]),
        # Ana 90 and 90 days, Ben 90 and 10; the task begun on day 89 has a day in the first quarter, two in the second
        ("utilisation", [(2 + 1 + 1) / 180, (2 + 3 + 1) / 100]),
        # days in quote: 18 + 30 + 50, then 10 + 50; the source 2 a day; pay; the fair on day 90
        ("hours", [48 + 24 + 24, 48 + 72 + 24]),  # clock hours, for everyone is always at work
        ("cost", [85 + 5 + 98 + 2 * 90 + 7 * 90, 50 + 11 + 60 + 2 * 90 + 3 * 90 + 4 * 10 + 900]),
    ],
)
def test_each_metric_by_quarter(metric: str, by_quarter: list[float]) -> None:
    records, plan = written()
    view = views.view_of(records, plan, "quarter")
    assert view.periods.labels == ("2026Q1", "2026Q2 (part)")
    assert view.metric(metric)[0] == pytest.approx(by_quarter)


def test_every_metric_has_a_figure_above() -> None:
    tested = {case[0] for case in test_each_metric_by_quarter.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    assert tested | {"profit"} == set(kpis.METRICS)


def test_open_deals_follow_from_what_came_and_went() -> None:
    """Open at the end = open before + came + back from customers - won - lost, in every week."""
    records, plan = written()
    view = views.view_of(records, plan, "week")
    came, wins, lost = (view.metric(name)[0] for name in ("prospects", "wins", "lost"))
    assert view.metric("open_deals")[0] == pytest.approx(1 + np.cumsum(came - wins - lost))


def test_what_was_before_the_warm_up_is_left_out_but_stocks_know_of_it() -> None:
    records, plan = written(warm_up="35 days")
    view = views.view_of(records, plan, "all")
    found = {name: float(view.metric(name)[0, 0]) for name in ("prospects", "wins", "lost", "bookings", "churned")}
    assert found == {"prospects": 2.0, "wins": 1.0, "lost": 1.0, "bookings": 300.0, "churned": 1.0}
    assert view.metric("open_deals")[0, 0] == 1
    assert view.metric("revenue")[0, 0] == pytest.approx(100 * (150 - 35) / 120 + 300 * 80 / 120)
    assert view.metric("cost")[0, 0] == pytest.approx(50 + 11 + 30 + 15 + 10 + 50 + 2 * 145 + 3 * 145 + 4 * 65 + 900)


@pytest.mark.parametrize(
    ("by", "groups", "wins", "customers"),
    [
        ("source", ("inbound", "fair", "referral", "open"), [1, 0, 1, 0], [0, 0, 1, 0]),
        ("generation", ("0", "1"), [1, 1], [0, 1]),
        ("member", ("nobody", "Ana", "Ben"), [0, 1, 1], [0, 0, 1]),
        ("segment", ("small", "big"), [2, 0], [1, 0]),
    ],
)
def test_groups(by: str, groups: tuple[str, ...], wins: list[int], customers: list[int]) -> None:
    records, plan = written()
    view = views.view_of(records, plan, "all", by)
    assert view.groups == groups
    assert view.metric("wins")[:, 0].tolist() == wins
    assert view.metric("customers")[:, 0].tolist() == customers


def test_costs_by_source_are_those_that_the_source_caused() -> None:
    records, plan = written()
    costs = views.view_of(records, plan, "all", "source").metric("cost")[:, 0]
    assert costs == pytest.approx([85 + 5 + 18 + 360, 900 + 50, 50 + 11 + 40, 50])


def test_the_funnel_table() -> None:
    table = kpi_tables.funnel(*written()).set_index("stage")
    assert table.loc["lead", ["entered", "forward", "lost", "reneged", "given_up", "still_there"]].tolist() == [
        4,
        3,
        1,
        1,
        0,
        0,
    ]
    assert table.loc["lead", "conversion"] == 0.75
    assert table.loc["lead", "mean_days"] == (7 + 10 + 20 + 40) / 4
    assert table.loc["lead", "mean_wait_hours"] == (24 + 0 + 72) / 3
    # the open deal did not enter the stage of quotes in the run
    assert table.loc["quote", ["entered", "forward", "lost", "given_up", "still_there"]].tolist() == [3, 2, 0, 0, 1]
    assert table.loc["customer", ["entered", "forward", "lost", "still_there"]].tolist() == [2, 1, 1, 0]


def test_the_queue_table() -> None:
    row = kpi_tables.queues(*written()).iloc[0]
    assert row.tasks == 8
    assert row.waited == 4 / 5
    assert row.mean_wait == (1 + 0 + 3 + 3 + 1) / 5
    assert row.queue_length == (1 + 10 + 0 + 3 + 3 + 2 + 1 + 5) / 180
    assert row.reneged == 1 / 8
    assert row.utilisation == pytest.approx((2 + 1 + 3 + 3 + 1) / (180 + 100))


def test_the_queue_table_after_a_warm_up() -> None:
    """One has waited since day 10 and left on day 20: of these days five count after a warm-up of 15."""
    row = kpi_tables.queues(*written(warm_up="15 days")).iloc[0]
    assert row.tasks == 6
    assert row.queue_length == (5 + 0 + 3 + 3 + 2 + 1 + 5) / 165


def test_time_in_system() -> None:
    assert kpi_tables.time_in_system(*written()) == ((120 - 5) + (20 - 10) + (50 - 0)) / 3


def test_hours_worked_over_a_weekend_count_in_the_week_in_which_they_are_worked() -> None:
    """From Friday 16:00 to Monday 11:00 with open hours 09:00 to 17:00: one hour, then two."""
    office = {
        **TREE,
        "start": "2026-01-05",
        "horizon": "14 days",
        "calendar": {"days": "Mon-Fri", "hours": "09:00-17:00"},
        "sources": {"inbound": {"rate": "1 per day"}},
        "teams": {"sellers": {"size": 1, "selling_time": "50%"}},
    }
    plan = compile_plan(from_tree(office).spec)
    task = (0, 0, LEAD, 0, 0, 0, SERVED, 4.0, 4 + 16 / 24, 7 + 11 / 24, NAN)
    records = Records(
        Prospects(*columns([(1, 0, -1, 0, 4.0, 1.0, -1)], "iiiiffi"), attributes=np.zeros((1, 1))),  # type: ignore[arg-type,misc]
        Moves(*columns([(4.0, 0, -1, LEAD, STARTED, NOBODY)], "fiiiii")),
        Tasks(*columns([task], "iiiiiiiffff")),
        MoneyRows(*columns([], "fiiif")),
        events=0,
    )
    busy, offered = kpis.work_hours(views.view_of(records, plan, "week"))
    assert busy[0] == pytest.approx([0.5, 1.0])
    assert offered[0] == pytest.approx([20.0, 20.0])
    assert views.view_of(records, plan, "week").metric("utilisation")[0] == pytest.approx([1 / 40, 2 / 40])


def test_no_records_at_all() -> None:
    plan = compile_plan(from_tree(TREE).spec)
    records = Records(
        Prospects(*columns([], "iiiiffi"), attributes=np.zeros((0, 1))),  # type: ignore[arg-type,misc]
        Moves(*columns([], "fiiiii")),
        Tasks(*columns([], "iiiiiiiffff")),
        MoneyRows(*columns([], "fiiif")),
        events=0,
    )
    for by in (None, "source", "generation", "member", "outcome", "segment"):
        for name, values in kpis.measured(views.view_of(records, plan, "month", by)).items():
            if name not in ("cost", "profit", "utilisation"):
                assert (np.isnan(values) | (values == 0)).all(), name
    whole = views.view_of(records, plan, "all")
    assert whole.metric("cost")[0, 0] == pytest.approx(2 * 180 + 900 + 3 * 180 + 4 * 100)
    assert whole.metric("utilisation")[0, 0] == 0
    assert np.isnan(kpi_tables.time_in_system(records, plan))
    assert kpi_tables.funnel(records, plan).entered.sum() == 0
    assert kpi_tables.queues(records, plan).tasks.tolist() == [0]
