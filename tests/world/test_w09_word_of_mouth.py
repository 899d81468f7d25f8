"""W9: arrivals follow how many are loyal and how many are disappointed, moment by moment."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import simfunnel as sf
from simfunnel.engines.records import Records
from simfunnel.plan import Plan
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE, BETTER = WORLD / "w09_word_of_mouth.yaml", WORLD / "w09_better_service.yaml"
N = 8
A_DAY = 12 / 7
Run = tuple[Records, Plan]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [helpers.run(sf.load(BASE), k) for k in range(N)]


def stock(records: Records, plan: Plan, place: str) -> np.ndarray:
    """How many are in a place after each move."""
    moves, p = records.moves, plan.place_names.index(place)
    return np.cumsum((moves.goal == p).astype(int) - (moves.origin == p))


def arrivals(runs: list[Run]) -> np.ndarray:
    """How many came in each replication."""
    return np.array([len(records.prospects.key) for records, _ in runs])


def test_as_many_come_as_the_loyal_and_the_disappointed_let(runs: list[Run]) -> None:
    """The count less the rate that held at each moment, added up, is nothing on average (it is a martingale)."""
    beyond, without = [], []
    for records, plan in runs:
        lasted = np.diff(np.append(records.moves.time, plan.days))
        good = np.minimum(1.02 ** (stock(records, plan, "loyal") / 10), 1.5)
        bad = 1.15 ** (-stock(records, plan, "disappointed") / 10)
        came = len(records.prospects.key)
        until_first_move = records.moves.time[0]
        beyond.append(came - A_DAY * (until_first_move + float((lasted * good * bad).sum())))
        without.append(came - A_DAY * plan.days)
    helpers.mean_of(beyond).check(0, "arrivals beyond those expected")
    assert abs(helpers.mean_of(without).mean) > 4 * helpers.mean_of(without).se  # so word of mouth does matter


@pytest.mark.parametrize("disappointed", [0, 10, 40])
def test_each_disappointed_one_keeps_a_share_away(disappointed: int) -> None:
    """Where their number stands still, arrivals are Poisson with 1.15 ** (-number / 10) of the rate."""
    changes = {
        "sources.past": {"deals": [{"id": str(k), "stage": "disappointed"} for k in range(disappointed)]},
        "stages.disappointed.exits": {"stays": {}, "forgotten": {"chance": "0%"}},
        "stages.talk.exits.customer.chance": "0%",
        "horizon": "4 years",
    }
    scenario = sf.load(BASE).override(changes)
    expected = A_DAY * scenario.spec.days * 1.15 ** (-disappointed / 10)
    came = len(helpers.run(scenario)[0].prospects.key) - disappointed
    helpers.Estimate(came, math.sqrt(expected), 1).check(expected, "arrivals", precision=0.05)


def test_a_service_that_disappoints_fewer_brings_more(runs: list[Run]) -> None:
    better = [helpers.run(sf.load(BETTER), k) for k in range(N)]
    gain = helpers.mean_of(arrivals(better) - arrivals(runs))
    assert gain.mean > 4 * gain.se


def test_where_nobody_talks_the_service_brings_nobody() -> None:
    """Without the effects on arrivals the very same people come, however many are disappointed."""
    silent = {"effects": sf.load(BASE).tree["effects"][2:]}
    for k in range(3):
        many, few = (helpers.run(sf.load(path).override(silent), k)[0].prospects for path in (BASE, BETTER))
        assert many.key.tolist() == few.key.tolist()
        assert many.born.tolist() == few.born.tolist()
