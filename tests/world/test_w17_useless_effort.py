"""W17: four fifths of the hours end in nothing; triage saves its share of visits, and loses its share of buyers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import views
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE, TRIAGE = WORLD / "w17_useless_effort.yaml", WORLD / "w17_triage.yaml"
DECIDED = {"sources.inquiry.rate": {"2026-01-01": "14 per week", "2026-10-01": "0 per week"}, "warm_up": 0}
"""Nobody comes in the last half year, so that all are decided at the end."""
AMPLE = {**DECIDED, "teams.sellers.size": 60}
THERE = 0.38
LACKING = 0.38 / 0.62 / 30 / (1 + 0.38 / 0.62 / 30)
BUYERS = (THERE + LACKING) / 2
POOR = (0.15 + 0.75) / 2
BUYERS_WHO_LOOK_POOR = (0.15 * THERE + 0.75 * LACKING) / 2 / BUYERS
N = 9


def hours_by_outcome(scenario: sf.Scenario) -> pd.DataFrame:
    """Hours of work by what became of those who got them: a row a replication."""
    rows = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        view = views.view_of(records, plan, "all", "outcome")
        rows.append(dict(zip(view.groups, view.metric("hours")[:, 0], strict=True)))
    return pd.DataFrame(rows)


def test_four_fifths_of_the_hours_yield_nothing() -> None:
    """All get the same visits, so the share of hours that buy nothing is the share of those visited who don't buy."""
    assert abs(BUYERS - 0.2) < 0.0005
    hours = hours_by_outcome(sf.load(BASE).override(DECIDED))
    total = hours.sum(axis=1)
    assert hours[["call", "visits"]].to_numpy().sum() == 0
    useless = helpers.mean_of((hours["lost"] - (1 - BUYERS) * total) / total.mean())
    assert abs(useless.z(0.0)) < 4
    assert useless.se < 0.015


def people(scenario: sf.Scenario) -> pd.DataFrame:
    """A row a prospect: a poor impression, hours of visits, and whether it bought."""
    parts = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        impression = plan.attribute_names.index("impression")
        poor = records.prospects.attributes[:, impression] == plan.attribute_levels[impression].index("poor")
        bought = np.zeros(len(poor), dtype=bool)
        bought[records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]] = True
        visits = records.tasks.stage == plan.place_names.index("visits")
        begun, ended = records.tasks.begun[visits], records.tasks.ended[visits]
        days = np.bincount(records.tasks.prospect[visits], ended - begun, len(poor))
        parts.append(pd.DataFrame({"poor": poor, "days": days, "bought": bought}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def alike() -> pd.DataFrame:
    return people(sf.load(BASE).override(AMPLE))


def test_triage_saves_the_visits_of_those_who_look_poor_and_loses_the_buyers_among_them(alike: pd.DataFrame) -> None:
    """With sellers enough nothing else changes, for each prospect has its own luck."""
    triage = people(sf.load(TRIAGE).override(AMPLE))
    pd.testing.assert_frame_equal(
        triage, alike.assign(days=alike.days * ~alike.poor, bought=alike.bought & ~alike.poor)
    )
    helpers.share_of(alike.poor, POOR).check(POOR, "visits saved", precision=0.03)
    buyers = alike[alike.bought]
    helpers.share_of(buyers.poor, BUYERS_WHO_LOOK_POOR).check(BUYERS_WHO_LOOK_POOR, "buyers lost", precision=0.1)


def test_an_impression_that_tells_nothing_loses_as_much_as_it_saves() -> None:
    blind = {"good": "55%", "poor": "45%"}
    table = people(sf.load(BASE).override({**AMPLE, "attributes.impression": blind}))
    buyers = table[table.bought]
    helpers.share_of(buyers.poor, POOR).check(POOR, "buyers lost", precision=0.1)


def z(difference: np.ndarray[Any, Any]) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_with_few_sellers_the_hours_saved_win_more_than_is_lost() -> None:
    base, triage = sf.run(sf.load(BASE), 6), sf.run(sf.load(TRIAGE), 6)

    def gain(metric: str) -> float:
        return z((triage.values(metric, "all") - base.values(metric, "all")).to_numpy()[:, 0])

    assert gain("reneged") < -4
    assert gain("hours") < -4
    assert gain("wins") > 4
