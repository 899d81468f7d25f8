"""W2: sellers short of hours earn most by serving first who promises most for an hour, not the largest deal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpi_tables
from simfunnel.engines.records import SERVED
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BEST_HOUR, LARGEST = WORLD / "w02_customer_funnel.yaml", WORLD / "w02_largest_deal_first.yaml"
N = 5
DECIDED = 4 * 25
"""Days after which even a factory has said yes or no."""
Seen = tuple[np.ndarray, pd.DataFrame, pd.DataFrame]


def seen(scenario: sf.Scenario) -> Seen:
    """The profit of each replication; everyone's segment and value; the visits and what came of them.

    Only visits are looked at that were made so early that all was decided.
    """
    profits, people, visits = [], [], []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        profits.append(kpi_tables.measure(records, plan, "all", metrics=["profit"]).value.iloc[0])
        segment = np.array(plan.attribute_levels[0])[records.prospects.attributes[:, 0].astype(int)]
        people.append(pd.DataFrame({"segment": segment, "value": records.prospects.value}))
        served = records.tasks.outcome == SERVED
        begun, ended = helpers.hours_of_tasks(records, plan)
        signed = np.zeros(len(segment), dtype=bool)
        signed[records.money.prospect] = True
        who = records.tasks.prospect[served]
        table = pd.DataFrame({"segment": segment[who], "hours": ended - begun, "signed": signed[who]})
        visits.append(table[records.tasks.ended[served] < plan.days - DECIDED])
    return np.array(profits), pd.concat(people), pd.concat(visits)


@pytest.fixture(scope="module")
def best_hour() -> Seen:
    return seen(sf.load(BEST_HOUR))


@pytest.fixture(scope="module")
def largest() -> Seen:
    return seen(sf.load(LARGEST))


@pytest.mark.parametrize(
    ("segment", "value", "chance", "hours"),
    [("shop", 3e3, 0.35, 2), ("workshop", 9e3, 0.3, 3), ("factory", 6e4, 0.06, 20)],
)
def test_each_segment_promises_for_an_hour_what_the_file_says(
    segment: str, value: float, chance: float, hours: float, best_hour: Seen, largest: Seen
) -> None:
    """Chance x profit / hours, each by itself; neither chance nor hours depend on the order of service."""
    visits = pd.concat([best_hour[2], largest[2]]).query("segment == @segment")
    assert visits.hours.to_numpy() == pytest.approx(hours)
    helpers.share_of(visits.signed, chance).check(chance, f"{segment} signs", precision=0.2)
    helpers.mean_of(best_hour[1].query("segment == @segment").value).check(value, f"{segment}'s profit", precision=0.03)


def test_the_best_hour_first_earns_more_than_the_largest_deal_first(best_hour: Seen, largest: Seen) -> None:
    gain = helpers.mean_of(best_hour[0] - largest[0])
    assert gain.mean > 4 * gain.se


def test_the_largest_deal_first_wins_where_factories_pay_best_for_an_hour() -> None:
    """At a chance of 40% a factory brings 60,000 x 40% / 20 = 1,200 for an hour, more than a workshop's 900."""
    scenario = sf.load(BEST_HOUR)
    effects = [
        *scenario.tree["effects"][:3],
        {"when": {"segment": "factory"}, "on": "target -> signed", "odds": "x1.238"},
    ]
    ours, theirs = (seen(s.override({"effects": effects}))[0] for s in (scenario, sf.load(LARGEST)))
    gain = helpers.mean_of(ours - theirs)
    assert gain.mean < -4 * gain.se
