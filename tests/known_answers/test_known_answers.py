"""Models whose answers are known from theory or print: ../shared/oracles.csv says which, where from, and how much.

Each model is a scenario file beside this one. A check estimates a quantity as the mean over independent replications,
less what their luck with arrivals and efforts explains, and compares it with the exact value at four standard errors,
which must themselves be small beside it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simfunnel import kpis
from simfunnel.engines.records import GAVE_UP, SERVED, Records
from simfunnel.plan import Plan
from simfunnel.scenario import Scenario, load
from tests import helpers
from tests.helpers import Estimate

HERE = Path(__file__).parent
Measure = Callable[[Records, Plan], float]


@pytest.fixture(scope="session")
def oracles() -> dict[tuple[str, str], str]:
    """The exact values, by case and quantity."""
    file = HERE.parents[2] / "shared" / "oracles.csv"
    if not file.is_file():
        pytest.skip("needs the known answers in ../shared/oracles.csv, which is not here")
    with file.open(encoding="utf-8", newline="") as text:
        return {(row["case"], row["quantity"]): row["exact"] for row in csv.DictReader(text)}


# --- what is measured in one replication ------------------------------------------------------------------------------


def of_queue(column: str) -> Measure:
    """A column of the table of queues, of the only team."""
    return lambda records, plan: float(kpis.queues(records, plan)[column].iloc[0])


def time_in_system(records: Records, plan: Plan) -> float:
    return kpis.time_in_system(records, plan)


def time_of(source: str) -> Measure:
    """Mean time in system of those whom one source brought."""

    def measure(records: Records, plan: Plan) -> float:
        people, moves = records.prospects, records.moves
        gone = moves.goal >= plan.n_stages
        person = moves.prospect[gone]
        mine = (people.source[person] == plan.source_names.index(source)) & decided_after_warm_up(records, plan)[person]
        return float((moves.time[gone] - people.born[person])[mine].mean())

    return measure


def time_to_outcome(records: Records, plan: Plan) -> float:
    """Mean time until a lead is lost or a customer."""
    people, moves = records.prospects, records.moves
    decided = (moves.goal >= plan.n_stages) | (moves.goal == plan.place_names.index("customer"))
    person = moves.prospect[decided]
    spent = moves.time[decided] - people.born[person]
    return float(spent[decided_after_warm_up(records, plan)[person]].mean())


def share_delayed(records: Records, plan: Plan) -> float:
    """Share of those who asked and did not get a seller at once, those who gave up among them."""
    tasks = records.tasks
    asked = (tasks.asked >= plan.warm_up) & np.isin(tasks.outcome, (SERVED, GAVE_UP))
    at_once = (tasks.outcome == SERVED) & (tasks.begun - tasks.asked < 1e-9)
    return float(1 - at_once[asked].mean())


def decided_after_warm_up(records: Records, plan: Plan) -> np.ndarray:
    """Who came after the warm-up, early enough to be lost or a customer by the horizon."""
    born = records.prospects.born
    return (born >= plan.warm_up) & (born < plan.warm_up + 0.8 * (plan.days - plan.warm_up))


def visits(records: Records, plan: Plan) -> float:
    """Tasks a lead."""
    cohort = decided_after_warm_up(records, plan)
    return float(cohort[records.tasks.prospect].sum() / cohort.sum())


def win_rate_of_cohort(records: Records, plan: Plan) -> float:
    """Customers among the leads who came in a span of time."""
    cohort = decided_after_warm_up(records, plan)
    won = records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]
    return float(cohort[won].sum() / cohort.sum())


def metric(name: str) -> Measure:
    """A metric over the whole run."""
    return lambda records, plan: float(kpis.view_of(records, plan, "all").metric(name)[0, 0])


def wins_of_each_first(records: Records, plan: Plan) -> float:
    return metric("wins")(records, plan) / int(plan.sources.size[0])


def arrivals_after_the_jump(records: Records, plan: Plan) -> float:
    return float((records.prospects.born >= 60).sum())


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """How a quantity of a case is measured: `part` of its exact values, with a relative SE of at most `precision`."""

    case: str
    quantity: str
    measure: Measure
    part: int = 0
    precision: float = 0.03


CHECKS = (
    Check("mm1", "mean queue length", of_queue("queue_length")),
    Check("mm1", "mean time in system", time_in_system),
    Check("mm2", "P(wait)", of_queue("waited"), precision=0.01),
    Check("mm2", "mean wait", of_queue("mean_wait")),
    Check("mm3", "P(wait)", of_queue("waited"), precision=0.01),
    Check("mm3", "mean wait", of_queue("mean_wait")),
    Check("md1", "mean queue length", of_queue("queue_length")),
    Check("mg1", "mean queue length", of_queue("queue_length")),
    Check("mm1m", "share reneged", of_queue("reneged"), precision=0.01),
    Check("mm1m", "mean queue length", of_queue("queue_length"), precision=0.01),
    Check("erlang_a", "share reneged", of_queue("reneged")),
    Check("erlang_a", "mean queue length", of_queue("queue_length")),
    Check("erlang_a", "P(wait)", share_delayed, precision=0.01),
    Check("priority", "time in system high/low", time_of("urgent"), part=0),
    Check("priority", "time in system high/low", time_of("other"), part=1),
    Check("tandem", "mean time in system", time_in_system),
    Check("rework", "mean time in system", time_in_system),
    Check("funnel_bcmp", "mean time in system", time_to_outcome, precision=0.01),
    Check("funnel_bcmp", "P(wait)", share_delayed, precision=0.02),
    Check("funnel_bcmp", "mean wait a visit", of_queue("mean_wait"), precision=0.05),
    Check("funnel_bcmp", "visits a lead", visits, precision=0.01),
    Check("funnel_bcmp", "win rate", win_rate_of_cohort),
    Check("branching", "mean total wins per first winner", wins_of_each_first),
    Check("rule_8421", "win rate", metric("win_rate")),
    Check("thinning", "mean arrivals in the second 60 days", arrivals_after_the_jump),
)

REPLICATIONS = {
    "mm3": 40,
    "priority": 40,
    "tandem": 30,
    "funnel_bcmp": 20,
    "branching": 20,
    "rule_8421": 20,
    "thinning": 200,
}
USUALLY = 24

OF_THEIR_OWN = {("renege_tie", "reneged"), ("speed_to_lead", "odds of qualifying")}
"""Rows that no mean is compared with; they have tests below."""


def has_steady_state(plan: Plan) -> bool:
    """Whether this is a model of a queue that runs on, so that luck with arrivals and efforts explains its results."""
    return plan.warm_up > 0


def estimates(case: str, times: int = 1) -> Iterator[tuple[Check, Estimate]]:
    """Each check of a case with its estimate."""
    scenario = load(HERE / f"{case}.yaml")
    checks = [check for check in CHECKS if check.case == case]
    values: list[list[float]] = []
    luck: list[list[float]] = []
    for number in range(REPLICATIONS.get(case, USUALLY) * times):
        records, plan = helpers.run(scenario, number)
        values.append([check.measure(records, plan) for check in checks])
        if has_steady_state(plan):
            luck.append(helpers.luck_of(records, plan, scenario))
    for check, column in zip(checks, np.array(values).T, strict=True):
        yield check, helpers.mean_with_controls(column, luck) if luck else helpers.mean_of(column)


def exact_value(check: Check, oracles: dict[tuple[str, str], str]) -> float:
    return float(oracles[check.case, check.quantity].split("/")[check.part])


CASES = tuple(dict.fromkeys(check.case for check in CHECKS))


@pytest.mark.parametrize("case", CASES)
def test_estimates_agree_with_theory(case: str, oracles: dict[tuple[str, str], str]) -> None:
    for check, found in estimates(case):
        found.check(exact_value(check, oracles), f"{case}, {check.quantity}", precision=check.precision)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_estimates_agree_with_theory_at_half_the_error(case: str, oracles: dict[tuple[str, str], str]) -> None:
    for check, found in estimates(case, times=4):
        found.check(exact_value(check, oracles), f"{case}, {check.quantity}", precision=0.6 * check.precision)


def test_every_known_answer_is_checked(oracles: dict[tuple[str, str], str]) -> None:
    assert {(check.case, check.quantity) for check in CHECKS} | OF_THEIR_OWN == set(oracles)


@pytest.mark.parametrize("file", sorted(HERE.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_file_has_a_test(file: Path) -> None:
    assert file.stem in {*CASES, *(case for case, _ in OF_THEIR_OWN)}


# --- rows of their own ------------------------------------------------------------------------------------------------


def test_a_grant_beats_patience_in_the_same_instant(oracles: dict[tuple[str, str], str]) -> None:
    records, plan = helpers.run(load(HERE / "renege_tie.yaml"))
    tasks = helpers.tasks(records, plan)
    gave_up = tasks[tasks.outcome == "gave up"]
    assert len(gave_up) == float(oracles["renege_tie", "reneged"])
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
    scenario = load(HERE / "renege_tie.yaml").override({"stages.call.work.patience": "4319 min"})
    records, plan = helpers.run(scenario)
    tasks = helpers.tasks(records, plan)
    assert tasks[tasks.outcome == "served"].source.tolist() == ["day 0", "day 3"]
    assert (tasks.outcome == "gave up").sum() == 4


def test_wins_by_generation_fall_by_the_mean_number_of_winners_of_each() -> None:
    scenario = load(HERE / "branching.yaml")
    shares = []
    for number in range(20):
        records, plan = helpers.run(scenario, number)
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


def answered(scenario: Scenario, number: int) -> dict[str, tuple[int, int]]:
    """Of inquiries answered within an hour, within a day and later: how many qualified, of how many decided."""
    records, plan = helpers.run(scenario, number)
    tasks, moves = records.tasks, records.moves
    served = tasks.outcome == SERVED
    waited = np.full(len(records.prospects.key), np.nan)
    waited[tasks.prospect[served]] = (tasks.begun - tasks.asked)[served] * 24
    groups = {"hour": waited < 1, "day": (waited >= 1) & (waited < 24), "later": waited >= 24}
    won = moves.prospect[moves.goal == plan.place_names.index("qualified")]
    closed = moves.prospect[moves.origin == 0]
    return {name: (int(which[won].sum()), int(which[closed].sum())) for name, which in groups.items()}


def test_odds_of_qualifying_by_the_wait_for_an_answer(oracles: dict[tuple[str, str], str]) -> None:
    within_a_day, later = (float(part.strip(" x")) for part in _figures(oracles["speed_to_lead", "odds of qualifying"]))
    counts: dict[str, np.ndarray[Any, Any]] = {name: np.zeros(2, dtype=int) for name in ("hour", "day", "later")}
    scenario = load(HERE / "speed_to_lead.yaml")
    for number in range(2):
        for name, found in answered(scenario, number).items():
            counts[name] += found
    (hour, of_hour), (day, of_day), (late, of_late) = (map(int, counts[name]) for name in ("hour", "day", "later"))
    odds_ratio((hour, day), (of_hour, of_day)).check(math.log(within_a_day), "log odds, hour to day", precision=0.05)
    odds_ratio((hour, late), (of_hour, of_late)).check(math.log(later), "log odds, hour to later", precision=0.05)


def _figures(text: str) -> list[str]:
    """`7x` and `60x` from "about 7x and 60x"."""
    return [word for word in text.split() if word.endswith("x")]
