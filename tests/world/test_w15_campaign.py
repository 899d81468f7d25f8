"""W15: what a campaign does to inquiries and odds fades, half of its logarithm being gone after each half-life."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simfunnel as sf
from simfunnel.numerics import forward
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE = WORLD / "w15_campaign.yaml"
BEGINS = date(2026, 4, 6)
RATE, LIFT, HALF_LIFE = 16 / 7, 2.5, 30
CHANCE, ODDS, ODDS_HALF_LIFE = 0.35, 1.6, 60


def day_of(scenario: sf.Scenario) -> int:
    """The campaign's first day, counted from the start."""
    return (BEGINS - scenario.spec.start).days


def test_the_rate_is_as_it_was_before_and_its_logarithm_halves_exactly() -> None:
    scenario = sf.load(BASE)
    _, plan = helpers.run(scenario.override({"sources.inquiry.rate": "16 per week", "stages.talk.work": None}))
    first = day_of(scenario)
    source = int(plan.sources.rate_map[plan.source_names.index("inquiry")])
    came = np.array([float(forward(plan.maps, source, day)) for day in range(366)])
    lift = np.diff(came) / RATE
    assert lift[:first] == pytest.approx(np.ones(first))
    assert lift[first] == pytest.approx(LIFT)
    logs = np.log(lift[first:])
    assert logs[HALF_LIFE:] == pytest.approx(logs[:-HALF_LIFE] / 2)


def test_so_many_inquire_in_each_half_life() -> None:
    """A Poisson number with the rate's sum for a mean, so that its square root is its error."""
    scenario = sf.load(BASE).override({"stages.talk.work": None, "stages.talk.exits.offer.chance": 0})
    first = day_of(scenario)
    n = 40
    born = np.concatenate([helpers.run(scenario, k)[0].prospects.born for k in range(n)])
    for k in range(-1, 5):
        days = np.arange(k * HALF_LIFE, (k + 1) * HALF_LIFE)
        factor = LIFT ** (0.5 ** (days / HALF_LIFE)) if k >= 0 else np.ones(HALF_LIFE)
        mean = n * RATE * factor.sum()
        came = np.count_nonzero((born >= first + days[0]) & (born < first + days[-1] + 1))
        helpers.Estimate(came, math.sqrt(mean), n).check(mean, f"half-life {k}", precision=0.03)


def offers_won(effects: dict[str, Any]) -> list[tuple[float, np.ndarray[Any, Any]]]:
    """Offers on the first day of the campaign and at each half-life around: that day, and who became customers."""
    scenario = sf.load(BASE).override({"sources.inquiry.rate": 0, "stages.offer.work": None, **effects})
    days = [BEGINS + timedelta(days=k * ODDS_HALF_LIFE) for k in range(-1, 4)]
    lists = {f"list {k}": {"at": day.isoformat(), "size": 4000, "enters": "offer"} for k, day in enumerate(days)}
    chosen = {"sources": lists, "attributes.segment": {"chosen": "100%", "other": 0}}
    records, plan = helpers.run(scenario.override(chosen))
    won = np.zeros(len(records.prospects.key), dtype=bool)
    won[records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]] = True
    found = []
    for k in range(len(days)):
        mine = records.prospects.source == plan.source_names.index(f"list {k}")
        found.append((float(records.prospects.born[mine][0]) - day_of(scenario), won[mine]))
    return found


def test_the_odds_of_the_chosen_segment_fade_alike() -> None:
    for day, won in offers_won({}):
        factor = ODDS ** (0.5 ** (day / ODDS_HALF_LIFE)) if day >= 0 else 1.0
        odds = CHANCE / (1 - CHANCE) * factor
        helpers.share_of(won, odds / (1 + odds)).check(odds / (1 + odds), f"day {day:.0f}", precision=0.03)


def test_without_the_effect_every_day_is_like_the_others() -> None:
    for day, won in offers_won({"effects.1": None}):
        helpers.share_of(won, CHANCE).check(CHANCE, f"day {day:.0f}", precision=0.03)


def z(difference: np.ndarray[Any, Any]) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_in_the_wrong_order_more_inquiries_grow_cold() -> None:
    """In the quarter of the campaign; later on the seller who came late serves inquiries that come anyway."""
    right, late = sf.load(WORLD / "w15_half_and_half.yaml"), sf.load(WORLD / "w15_seller_too_late.yaml")

    def reneged(scenario: sf.Scenario) -> np.ndarray[Any, Any]:
        return sf.run(scenario, 8).values("reneged")["2026Q2"].to_numpy()

    assert z(reneged(late) - reneged(right)) > 4
