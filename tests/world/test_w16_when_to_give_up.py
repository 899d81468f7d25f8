"""W16: a limit takes away the visits beyond it and no others, and freed hours go to those who would have left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE = WORLD / "w16_when_to_give_up.yaml"
FOUR, DAYS, COST = (WORLD / f"w16_give_up_{name}.yaml" for name in ("after_four", "after_60_days", "below_cost"))
AMPLE = {"teams.sellers.size": 60}
"""So many sellers that nobody waits for one, and one prospect's visits change nothing for another."""
SETTLED = 60
"""Days before the horizon by which a visit's outcome is known (14 days on average, at 0.3 of variation)."""


def chance(visit: int) -> float:
    odds = 0.12 / 1.35**visit
    return odds / (odds + 0.88)


def visits(scenario: sf.Scenario, replications: int = 1) -> pd.DataFrame:
    """Visits made: prospect, value and age, how many visits came before, begin and end, and where the prospect went."""
    parts = []
    for k in range(replications):
        records, plan = helpers.run(scenario, k)
        moves = helpers.moves(records, plan)
        moves["next"] = moves.groupby("prospect").goal.shift(-1)
        moves = moves[moves.goal == "visit"]
        moves = moves.assign(before=moves.groupby("prospect").cumcount())
        moves["value"] = records.prospects.value[moves.prospect]
        moves["age"] = moves.time - records.prospects.born[moves.prospect]
        table = helpers.tasks(records, plan)
        table = table[table.stage == "visit"].assign(before=lambda t: t.groupby("prospect").cumcount())
        done = moves.merge(table[["prospect", "before", "begun", "ended"]], on=["prospect", "before"])
        parts.append(done.assign(replication=k, left=plan.days - done.time))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def ample() -> pd.DataFrame:
    return visits(sf.load(BASE).override(AMPLE), 8)


def check_wins(table: pd.DataFrame, visit: int, share: float) -> None:
    mine = table[(table.before == visit) & (table.left > SETTLED)]
    assert mine.next.notna().all()
    helpers.share_of(mine.next == "customer", share).check(share, f"visit {visit}", precision=0.2)


@pytest.mark.parametrize("visit", range(5))
def test_each_visit_wins_less_than_the_one_before(visit: int, ample: pd.DataFrame) -> None:
    check_wins(ample, visit, chance(visit))


def test_without_the_effect_each_visit_wins_alike() -> None:
    table = visits(sf.load(BASE).override({**AMPLE, "effects": []}), 6)
    for visit in range(4):
        check_wins(table, visit, 0.12)


@pytest.mark.parametrize("file", [FOUR, DAYS, COST], ids=lambda f: f.stem)
def test_a_limit_takes_away_the_visits_beyond_it_and_no_others(file: Path, ample: pd.DataFrame) -> None:
    """With sellers enough all other lives stay as they were: what is saved is what the limit forbids, to the minute."""
    floors = np.array([5600, 7300, 9600, 12800, 17000, 22800, 30500])
    base = ample[ample.replication == 0]
    over = base.before >= 7
    forbidden = {
        FOUR: base.before >= 4,
        DAYS: base.age > 60,
        COST: over | (base.value < floors[np.minimum(base.before, 6)]),
    }[file]
    barred = forbidden.groupby(base.prospect).cummax()  # one who is dropped doesn't come again
    limited = visits(sf.load(file).override(AMPLE))
    columns = ["prospect", "before", "begun", "ended"]
    assert 50 < barred.sum() < len(base)
    pd.testing.assert_frame_equal(
        limited[columns].reset_index(drop=True), base[columns][~barred].reset_index(drop=True)
    )


def test_the_table_of_the_third_limit_is_where_return_meets_cost() -> None:
    spec = sf.load(COST).spec
    visit, sellers = spec.stages["visit"], spec.teams["sellers"]
    hour = sellers.pay * 7 / (40 * sellers.selling_time)
    cost = visit.work.cost + hour * visit.work.effort.mean()
    margin = 1 - spec.stages["customer"].cost.share
    for before, rule in enumerate(visit.route[:-1]):
        floor = float(rule.when["value"].removeprefix("under ").replace("k", "e3"))
        assert floor == pytest.approx(cost / (margin * chance(before)), rel=0.005), before


def z(difference: np.ndarray[Any, Any]) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_freed_hours_go_to_inquiries_that_would_have_gone_cold() -> None:
    base, four = sf.run(sf.load(BASE), 10), sf.run(sf.load(FOUR), 10)

    def gain(metric: str) -> float:
        return z((four.values(metric, "all") - base.values(metric, "all")).to_numpy()[:, 0])

    assert gain("reneged") < -4
    assert gain("wins") > 4
    unlimited = sf.load(FOUR).override({"stages.visit.route": None})
    assert sf.run(unlimited, 2).values("wins").equals(base.values("wins")[:2])
