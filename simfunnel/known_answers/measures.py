"""What is measured in one replication of a known answer: from records to a number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from simfunnel import kpi_tables, views
from simfunnel.engines.records import GAVE_UP, SERVED, Records
from simfunnel.numerics import Flags
from simfunnel.plan import Plan

Measure = Callable[[Records, Plan], float]


def of_queue(column: str) -> Measure:
    """A column of the table of queues, of the only team."""
    return lambda records, plan: float(kpi_tables.queues(records, plan)[column].iloc[0])


def metric(name: str) -> Measure:
    """A metric over the whole run."""
    return lambda records, plan: float(views.view_of(records, plan, "all").metric(name)[0, 0])


def decided_after_warm_up(records: Records, plan: Plan) -> Flags:
    """Who came after the warm-up, early enough to be lost or a customer by the horizon."""
    born = records.prospects.born
    return (born >= plan.warm_up) & (born < plan.warm_up + 0.8 * (plan.days - plan.warm_up))


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


def visits(records: Records, plan: Plan) -> float:
    """Tasks a lead."""
    cohort = decided_after_warm_up(records, plan)
    return float(cohort[records.tasks.prospect].sum() / cohort.sum())


def win_rate_of_cohort(records: Records, plan: Plan) -> float:
    """Customers among the leads who came in a span of time."""
    cohort = decided_after_warm_up(records, plan)
    won = records.moves.prospect[records.moves.goal == plan.place_names.index("customer")]
    return float(cohort[won].sum() / cohort.sum())


def wins_of_each_first(records: Records, plan: Plan) -> float:
    """All wins, for each customer with whom the run began."""
    return metric("wins")(records, plan) / int(plan.sources.size[0])


def arrivals_after_the_jump(records: Records, _: Plan) -> float:
    """Prospects who came from day 60 on."""
    return float((records.prospects.born >= 60).sum())


def gave_up(records: Records, _: Plan) -> float:
    """How many gave up."""
    return float((records.tasks.outcome == GAVE_UP).sum())


def begin_of(source: str) -> Measure:
    """When the only prospect of a source was served, or NaN."""
    return lambda records, plan: float(records.tasks.begun[records.tasks.source == plan.source_names.index(source)][0])


def answered(records: Records, plan: Plan) -> dict[str, tuple[int, int]]:
    """Of inquiries answered within an hour, within a day and later: how many qualified, of how many decided."""
    tasks, moves = records.tasks, records.moves
    served = tasks.outcome == SERVED
    waited = np.full(len(records.prospects.key), np.nan)
    waited[tasks.prospect[served]] = (tasks.begun - tasks.asked)[served] * 24
    groups = {"hour": waited < 1, "day": (waited >= 1) & (waited < 24), "later": waited >= 24}
    won = moves.prospect[moves.goal == plan.place_names.index("qualified")]
    closed = moves.prospect[moves.origin == 0]
    return {name: (int(which[won].sum()), int(which[closed].sum())) for name, which in groups.items()}


def log_odds_ratio(one: str, other: str) -> Measure:
    """The logarithm of the ratio of the odds to qualify of two groups of `answered`.

    Half a case is added to each count, which takes out the first term of the logarithm's bias (Haldane 1956, Anscombe
    1956).
    """

    def measure(records: Records, plan: Plan) -> float:
        groups = answered(records, plan)
        (a, n), (b, m) = groups[one], groups[other]
        return math.log((a + 0.5) / (n - a + 0.5)) - math.log((b + 0.5) / (m - b + 0.5))

    return measure
