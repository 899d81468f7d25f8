"""Models whose answers are known from theory or print: `simfunnel.known_answers` says which, where from, and how much.

A check estimates a quantity as the mean over independent replications, less what their luck with arrivals and efforts
explains, and compares it with the exact value at four standard errors, which must themselves be small beside it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simfunnel.known_answers import CASES, CHECKS, UNLISTED, Check, Sample, scenario_of
from simfunnel.known_answers.measures import answered
from simfunnel.kpi_tables import time_in_system
from simfunnel.replicate import records_of
from tests import helpers
from tests.helpers import Estimate

SHARED = Path(__file__).parents[3] / "shared" / "oracles.csv"


@pytest.fixture(scope="session")
def oracles() -> dict[tuple[str, str], str]:
    """The list of known answers beside the project, by case and quantity."""
    if not SHARED.is_file():
        pytest.skip("needs the known answers in ../shared/oracles.csv, which is not here")
    with SHARED.open(encoding="utf-8", newline="") as text:
        return {(row["case"], row["quantity"]): row["exact"] for row in csv.DictReader(text)}


# --- the exact values -------------------------------------------------------------------------------------------------

NOT_SIMULATIONS: dict[tuple[str, str], str] = {}
"""Rows of the list that no scenario answers, and why: none.

renege_tie has no luck and must come out exactly. The odds of speed_to_lead are put into its scenario as effects, and
must come out of the simulated answers and wins.
"""


def listed(check: Check, text: str) -> tuple[float, float]:
    """The value that the list gives for a check, and half a unit of its last decimal; odds as logarithms."""
    mine = [c for c in CHECKS if (c.case, c.quantity) == (check.case, check.quantity)]
    if text.startswith("about"):
        part = [word.rstrip("x") for word in text.split() if word.endswith("x")][mine.index(check)]
        return math.log(float(part)), 1e-12
    part = text.split("/")[mine.index(check)]
    return float(part), 0.5 * 10.0 ** -len(part.partition(".")[2]) + 1e-12


def test_exact_values_are_those_of_the_list(oracles: dict[tuple[str, str], str]) -> None:
    for check in CHECKS:
        if (check.case, check.quantity) not in UNLISTED:
            value, rounding = listed(check, oracles[check.case, check.quantity])
            assert check.exact == pytest.approx(value, rel=0, abs=rounding), f"{check.case}, {check.what}"


def test_every_known_answer_is_checked(oracles: dict[tuple[str, str], str]) -> None:
    assert {(check.case, check.quantity) for check in CHECKS} - UNLISTED == set(oracles) - set(NOT_SIMULATIONS)


def test_each_file_is_a_case() -> None:
    folder = files("simfunnel") / "known_answers"
    assert {file.name for file in folder.iterdir() if file.name.endswith(".yaml")} == {f"{case}.yaml" for case in CASES}


# --- estimates --------------------------------------------------------------------------------------------------------

REPLICATIONS = {
    "mm3": 40,
    "priority": 40,
    "tandem": 40,
    "funnel_bcmp": 20,
    "branching": 20,
    "rule_8421": 20,
    "thinning": 200,
}
USUALLY = 24

OF_THEIR_OWN = ("renege_tie", "speed_to_lead")
"""Cases with tests of their own below."""
WITH_LUCK = [case for case in CASES if case not in OF_THEIR_OWN]


def is_time(check: Check) -> bool:
    """Whether `time_in_system` measures it, too: of those who have left, which is less by some thousandths."""
    return check.quantity == "mean time in system" and check.case != "funnel_bcmp"


def estimates(case: str, times: int = 1) -> Iterator[tuple[Check, Estimate]]:
    """Each check of a case with its estimate; arrivals and efforts, whose luck is taken out of it, are checked here."""
    scenario = scenario_of(case)
    checks = [check for check in CHECKS if check.case == case]
    checks += [replace(c, part="as tables have it", measure=time_in_system, per="") for c in checks if is_time(c)]
    count = REPLICATIONS.get(case, USUALLY) * times
    sample = Sample.of(checks, scenario, (records_of(scenario, number) for number in range(count)))
    for what, found in sample.luck_estimates().items():
        Estimate(**vars(found)).check(0.0, f"{case}, {what}")
    for column, check in enumerate(checks):
        yield check, Estimate(**vars(sample.estimate(column, check.per)))


@pytest.mark.parametrize("case", WITH_LUCK)
def test_estimates_agree_with_theory(case: str) -> None:
    for check, found in estimates(case):
        found.check(check.exact, f"{case}, {check.what}", precision=check.precision)


@pytest.mark.slow
@pytest.mark.parametrize("case", WITH_LUCK)
def test_estimates_agree_with_theory_at_half_the_error(case: str) -> None:
    for check, found in estimates(case, times=4):
        found.check(check.exact, f"{case}, {check.what}", precision=0.6 * check.precision)


# --- rows of their own ------------------------------------------------------------------------------------------------


def test_a_grant_beats_patience_in_the_same_instant() -> None:
    records, plan = helpers.run(scenario_of("renege_tie"))
    tasks = helpers.tasks(records, plan)
    gave_up = tasks[tasks.outcome == "gave up"]
    assert len(gave_up) == 4
    assert list(zip(gave_up.source, gave_up.left, strict=True)) == [
        ("day 1", 4.0),
        ("day 3", 6.0),
        ("day 4", 7.0),
        ("day 5", 8.0),
    ]
    served = tasks[tasks.outcome == "served"]
    assert served.source.tolist() == ["day 0", "day 2"]
    assert served.begun.tolist() == [0.0, 5.0]
    assert served.ended.tolist() == [5.0, 10.0]


def test_patience_a_moment_shorter_than_the_wait_wins() -> None:
    scenario = scenario_of("renege_tie").override({"stages.call.work.patience": "4319 min"})
    records, plan = helpers.run(scenario)
    tasks = helpers.tasks(records, plan)
    assert tasks[tasks.outcome == "served"].source.tolist() == ["day 0", "day 3"]
    assert (tasks.outcome == "gave up").sum() == 4


def test_wins_by_generation_fall_by_the_mean_number_of_winners_of_each() -> None:
    scenario = scenario_of("branching")
    shares = []
    for number in range(20):
        records, plan = records_of(scenario, number)
        won = records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]
        generation = records.prospects.generation[won]
        shares.append(np.bincount(generation, minlength=5)[:5] / 400)
        assert (generation == 0).sum() == 400
    for g in range(1, 5):
        helpers.mean_of([s[g] for s in shares]).check(0.6**g, f"wins in generation {g}", precision=0.06)


def odds_ratio(won: tuple[int, int], of: tuple[int, int]) -> Estimate:
    """The logarithm of an odds ratio of two groups, with its usual standard error."""
    (a, b), (n, m) = won, of
    log_ratio = math.log(a / (n - a)) - math.log(b / (m - b))
    return Estimate(log_ratio, math.sqrt(1 / a + 1 / (n - a) + 1 / b + 1 / (m - b)), n + m)


def test_odds_of_qualifying_by_the_wait_for_an_answer() -> None:
    within_a_day, later = 7, 60  # Oldroyd et al. 2011
    counts: dict[str, np.ndarray[Any, Any]] = {name: np.zeros(2, dtype=int) for name in ("hour", "day", "later")}
    scenario = scenario_of("speed_to_lead")
    for number in range(2):
        for name, found in answered(*records_of(scenario, number)).items():
            counts[name] += found
    (hour, of_hour), (day, of_day), (late, of_late) = (map(int, counts[name]) for name in ("hour", "day", "later"))
    odds_ratio((hour, day), (of_hour, of_day)).check(math.log(within_a_day), "log odds, hour to day", precision=0.05)
    odds_ratio((hour, late), (of_hour, of_late)).check(math.log(later), "log odds, hour to later", precision=0.05)
