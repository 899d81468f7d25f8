"""W1: the win rate is the product of the steps, and so is what ten points more at a step are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simfunnel as sf
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE = WORLD / "w01_eight_four_two_one.yaml"
FIRST, LAST = WORLD / "w01_ten_points_first.yaml", WORLD / "w01_ten_points_last.yaml"
N = 10
Table = dict[str, np.ndarray[Any, Any]]


def decided(scenario: sf.Scenario) -> Table:
    """For each prospect, whether they came to each stage, and their seller's hours; nobody comes in the last half."""
    rates = {"2026-01-01": "16 per week", "2026-07-01": "0 per week"}
    scenario = scenario.override({"sources.market.rate": rates, "teams.sellers.size": 20})
    found: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in (*scenario.spec.stages, "hours")}
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        assert helpers.ends(records, plan)["lost"] + helpers.ends(records, plan)["customer"] == len(
            records.prospects.key
        )
        for s, name in enumerate(plan.place_names[: plan.n_stages]):
            came = np.zeros(len(records.prospects.key))
            came[records.moves.prospect[records.moves.goal == s]] = 1
            found[name].append(came)
        effort = np.array([stage.work.effort.mean() if stage.work else 0 for stage in scenario.spec.stages.values()])
        hours = np.bincount(records.tasks.prospect, effort[records.tasks.stage], len(came))
        found["hours"].append(hours)
    return {name: np.concatenate(parts) for name, parts in found.items()}


@pytest.fixture(scope="module")
def base() -> Table:
    return decided(sf.load(BASE))


def test_of_eight_four_inquire_two_get_a_quotation_one_buys(base: Table) -> None:
    for stage, share in (("inquiry", 1 / 2), ("quotation", 1 / 4), ("customer", 1 / 8)):
        helpers.share_of(base[stage], share).check(share, stage, precision=0.05)
    helpers.mean_of(base["hours"]).check(0.5 * 1 + 0.25 * 4, "hours a prospect", precision=0.03)


@pytest.fixture(scope="module")
def better() -> dict[str, Table]:
    middle = sf.load(BASE).override({"stages.inquiry.exits.quotation.chance": "60%"})
    return {"first": decided(sf.load(FIRST)), "middle": decided(middle), "last": decided(sf.load(LAST))}


@pytest.mark.parametrize("step", ["first", "middle", "last"])
def test_ten_points_more_at_any_step_win_equally_many(step: str, base: Table, better: dict[str, Table]) -> None:
    gain = helpers.mean_of(better[step]["customer"] - base["customer"])
    gain.check(0.6 * 0.5 * 0.5 - 0.125, step, precision=0.12)


def test_they_cost_hours_at_the_first_step_and_none_at_the_last(base: Table, better: dict[str, Table]) -> None:
    for step, hours in (("first", 0.1 * 1 + 0.05 * 4), ("middle", 0.05 * 4)):
        helpers.mean_of(better[step]["hours"] - base["hours"]).check(hours, step, precision=0.1)
    assert (better["last"]["hours"] == base["hours"]).all()
