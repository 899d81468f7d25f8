"""W20: the backlog is a queue; too few hands leave complaints unanswered, and churn feeds on itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpi_tables
from simfunnel.expectation import expect
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
FILES = {2: WORLD / "w20_one_hand_fewer.yaml", 3: WORLD / "w20_complaints.yaml", 4: WORLD / "w20_one_hand_more.yaml"}
N = 6


def figures(scenario: sf.Scenario, n: int = N) -> pd.DataFrame:
    """A row a replication: who left, who came, complaints of customers, those unanswered, and calls in all."""
    rows = []
    for k in range(n):
        records, plan = helpers.run(scenario, k)
        moves = helpers.moves(records, plan)
        calls = moves[moves.goal == "trouble"]
        rows.append(
            {
                "churned": (moves.goal == "churned").sum(),
                "new": (records.prospects.source == plan.source_names.index("new")).sum(),
                "troubles": (calls.origin == "customer").sum(),
                "again": (calls.origin == "unanswered").sum(),
                "calls": len(records.tasks.asked),
                "unanswered": (moves.goal == "unanswered").sum(),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def by_hands() -> dict[int, pd.DataFrame]:
    return {hands: figures(sf.load(file)) for hands, file in FILES.items()}


def z(difference: pd.Series) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_the_backlog_is_a_queue_by_littles_law() -> None:
    """How many are in trouble on average is how many come a day times how long each stays.

    The first is told by the passages between stages, the second by the team's tasks, both cut off at the horizon.
    """
    records, plan = helpers.run(sf.load(FILES[3]))
    moves, tasks, end = helpers.moves(records, plan), records.tasks, plan.days
    here = (moves.goal == "trouble").astype(int) - (moves.origin == "trouble").astype(int)
    mean_number = (here * (end - moves.time)).sum() / end
    left = np.where(np.isnan(tasks.begun), tasks.left, tasks.ended)
    stays = np.minimum(np.where(np.isnan(left), end, left), end) - tasks.asked
    assert mean_number == pytest.approx(len(stays) / end * stays.mean())
    assert mean_number > 1
    begun = np.where(np.isnan(tasks.begun), np.where(np.isnan(tasks.left), end, tasks.left), tasks.begun)
    queue = kpi_tables.queues(records, plan).set_index("team").loc["service", "queue_length"]
    assert queue == pytest.approx(len(stays) / end * (begun - tasks.asked).mean())


def test_a_backlog_seen_at_moments_is_as_long_as_littles_law_says() -> None:
    """Moments drawn evenly over the year, apart from the run: their mean number is the mean over time."""
    scenario, rng = sf.load(FILES[3]), np.random.default_rng(20)
    off = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        tasks = records.tasks
        until = np.where(np.isnan(tasks.begun), np.where(np.isnan(tasks.left), plan.days, tasks.left), tasks.begun)
        moments = rng.uniform(0, plan.days, 400)
        seen = ((tasks.asked <= moments[:, None]) & (moments[:, None] < until)).sum(axis=1)
        off.append(seen - len(until) / plan.days * (until - tasks.asked).mean())
    found = helpers.mean_of(np.concatenate(off))
    assert abs(found.z(0.0)) < 4


def test_every_call_is_of_a_trouble_or_of_one_who_was_not_answered(by_hands: dict[int, pd.DataFrame]) -> None:
    for table in by_hands.values():
        assert (table.calls == table.troubles + table.again).all()


def test_too_few_hands_leave_more_unanswered_and_lose_more(by_hands: dict[int, pd.DataFrame]) -> None:
    for few, many in ((2, 3), (3, 4)):
        assert z(by_hands[few].unanswered - by_hands[many].unanswered) > 4
        assert z(by_hands[few].churned - by_hands[many].churned) > 4


def test_churn_feeds_on_itself(by_hands: dict[int, pd.DataFrame]) -> None:
    """Who isn't answered calls again, which makes more calls of each trouble; and who has left keeps others away."""
    few, many = by_hands[2], by_hands[3]
    assert z(few.calls / few.troubles - many.calls / many.troubles) > 4
    assert z(few.new - many.new) < -4
    loads = {hands: expect(sf.load(file).spec).loads[0].share for hands, file in FILES.items()}
    assert loads[2] > 1 > loads[3] > loads[4]  # so many hands are needed


def test_where_nobody_minds_waiting_hands_change_nothing_for_the_worse() -> None:
    calm = {"stages.trouble.work.patience": None, "stages.trouble.work.gives_up": None, "effects": []}
    few, many = (figures(sf.load(FILES[hands]).override(calm)) for hands in (2, 3))
    assert z(few.churned - many.churned) < 4
    assert (few.new == many.new).all()
