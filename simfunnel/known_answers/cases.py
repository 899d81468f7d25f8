"""The table of known answers: of each scenario beside this file, what is measured and what it must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from simfunnel.engines.records import Records
from simfunnel.known_answers import measures, theory
from simfunnel.known_answers.estimates import Estimate, luck_of, mean_of, mean_with_controls
from simfunnel.known_answers.measures import Measure
from simfunnel.numerics import Floats
from simfunnel.plan import Plan
from simfunnel.scenario import Scenario, load_text


@dataclass(frozen=True)
class Check:
    """One quantity of a case: its exact value, where that comes from, and how it is measured in one replication."""

    case: str
    quantity: str
    exact: float
    source: str
    measure: Measure
    part: str = ""
    """Which part of the quantity this is, where it has several."""
    per: str = ""
    """The source, where this is a mean or a share of those who came from one and moves with how many came."""
    precision: float = 0.03
    """The largest standard error, as a share of the exact value, with which two dozen replications tell something."""

    @property
    def what(self) -> str:
        """The quantity and its part."""
        return f"{self.quantity}: {self.part}" if self.part else self.quantity


_QUEUE = measures.of_queue("queue_length")
_WAITED = measures.of_queue("waited")
_WAIT = measures.of_queue("mean_wait")
_RENEGED = measures.of_queue("reneged")

_MM1M = theory.impatient(1, 1.2, 1.0, 0.5)
_ERLANG_A = theory.impatient(10, 18.0, 2.0, 0.5)
_URGENT, _OTHER = theory.with_priority([0.2, 0.6], 1.0)
_VISITS = 1 + 1 / 2 + 1 / 4 + 1 / 8  # of a lead to the four stages of the funnel
_THINKING = math.exp(0.8 + 0.9**2 / 2)  # the mean of the lognormal time before each
_TASKS = 9.0 * _VISITS  # a day

CHECKS = (
    Check("mm1", "mean queue length", theory.queue_of_one(1.0, 0.8, 1.0), "M/M/1", _QUEUE),
    Check(
        "mm1",
        "mean time in system",
        theory.time_in_system(1, 1.0, 1.25),
        "M/M/1",
        measures.time_of("calls"),
        per="calls",
    ),
    Check("mm2", "P(wait)", theory.erlang_c(2, 1.5), "Erlang C", _WAITED, precision=0.01, per="calls"),
    Check("mm2", "mean wait", theory.mean_wait(2, 1.5, 1.0), "Erlang C", _WAIT, per="calls"),
    Check("mm3", "P(wait)", theory.erlang_c(3, 2.4), "Erlang C", _WAITED, precision=0.01, per="calls"),
    Check("mm3", "mean wait", theory.mean_wait(3, 2.4, 1.0), "Erlang C", _WAIT, per="calls"),
    Check("md1", "mean queue length", theory.queue_of_one(1.0, 0.8, 0.0), "Pollaczek-Khinchine", _QUEUE),
    Check("mg1", "mean queue length", theory.queue_of_one(1.0, 0.8, 0.5), "Pollaczek-Khinchine", _QUEUE),
    Check("mm1m", "share reneged", _MM1M[0], "birth-death balance", _RENEGED, precision=0.01, per="calls"),
    Check("mm1m", "mean queue length", _MM1M[1], "birth-death balance", _QUEUE, precision=0.01),
    Check("erlang_a", "share reneged", _ERLANG_A[0], "Erlang A", _RENEGED, per="calls"),
    Check("erlang_a", "mean queue length", _ERLANG_A[1], "Erlang A", _QUEUE),
    Check("erlang_a", "P(wait)", _ERLANG_A[2], "Erlang A", measures.share_delayed, precision=0.01, per="calls"),
    Check("priority", "time in system high/low", _URGENT, "Cobham", measures.time_of("urgent"), "high", per="urgent"),
    Check("priority", "time in system high/low", _OTHER, "Cobham", measures.time_of("other"), "low", per="other"),
    Check(
        "tandem",
        "mean time in system",
        theory.jackson([1, 0], [[0, 1], [0, 0]], [1, 1], [1.5, 1.25]),
        "Jackson",
        measures.time_of("calls"),
        per="calls",
    ),
    Check(
        "rework",
        "mean time in system",
        theory.jackson([1, 0, 0], [[0, 0.6, 0.4], [0, 0, 0.5], [0.2, 0, 0]], [1, 2, 2], [1.65, 0.5, 0.55]),
        "Jackson",
        measures.time_of("orders"),
        per="orders",
    ),
    Check(
        "funnel_bcmp",
        "mean time in system",
        _VISITS * (_THINKING + theory.time_in_system(10, _TASKS, 2.0)),
        "BCMP product form",
        measures.time_to_outcome,
        per="leads",
        precision=0.01,
    ),
    Check(
        "funnel_bcmp",
        "P(wait)",
        theory.erlang_c(10, _TASKS / 2.0),
        "BCMP product form",
        measures.share_delayed,
        per="leads",
        precision=0.02,
    ),
    Check(
        "funnel_bcmp",
        "mean wait a visit",
        theory.mean_wait(10, _TASKS, 2.0),
        "BCMP product form",
        _WAIT,
        per="leads",
        precision=0.05,
    ),
    Check("funnel_bcmp", "visits a lead", _VISITS, "absorbing chain", measures.visits, precision=0.01),
    Check("funnel_bcmp", "win rate", 1 / 2**4, "absorbing chain", measures.win_rate_of_cohort),
    Check(
        "branching",
        "mean total wins per first winner",
        theory.wins_of_one(1.2 / 2),
        "branching process",
        measures.wins_of_each_first,
    ),
    Check("rule_8421", "win rate", 1 / 2**3, "absorbing chain", measures.metric("win_rate")),
    Check(
        "thinning",
        "mean arrivals in the second 60 days",
        60 * 1.0,
        "integral of the rate",
        measures.arrivals_after_the_jump,
    ),
    Check(
        "speed_to_lead",
        "odds of qualifying",
        math.log(7),
        "Oldroyd et al. 2011",
        measures.log_odds_ratio("hour", "day"),
        "log ratio, within an hour to a day",
        precision=0.05,
    ),
    Check(
        "speed_to_lead",
        "odds of qualifying",
        math.log(60),
        "Oldroyd et al. 2011",
        measures.log_odds_ratio("hour", "later"),
        "log ratio, within an hour to later",
        precision=0.05,
    ),
    Check("renege_tie", "reneged", 4, "by hand", measures.gave_up),
    Check("renege_tie", "begin of the third call", 5, "by hand", measures.begin_of("day 2")),
)

CASES = tuple(dict.fromkeys(check.case for check in CHECKS))
CERTAIN = frozenset({"renege_tie"})
"""Cases without luck: each replication must give the exact value."""
UNLISTED = frozenset({("renege_tie", "begin of the third call")})
"""Rows that were added to the list of known answers, to tell apart what its rows can't."""


def scenario_text(case: str) -> str:
    """The scenario file of a case."""
    return (files("simfunnel") / "known_answers" / f"{case}.yaml").read_text("utf-8")


def scenario_of(case: str) -> Scenario:
    """The scenario of a case."""
    return load_text(scenario_text(case), file=f"{case}.yaml")


def has_steady_state(plan: Plan) -> bool:
    """Whether this is a model of a queue that runs on, so that luck with arrivals and efforts explains its results."""
    return plan.warm_up > 0


@dataclass(frozen=True)
class Sample:
    """What some replications of a case gave: a row a replication; a column a check, and a control."""

    values: Floats
    luck: Floats
    controls: tuple[str, ...] = ()
    """What the columns of `luck` are."""

    @classmethod
    def of(cls, checks: Sequence[Check], scenario: Scenario, runs: Iterable[tuple[Records, Plan]]) -> Sample:
        """Measure runs of a scenario."""
        values: list[list[float]] = []
        luck: list[dict[str, float]] = []
        for records, plan in runs:
            values.append([check.measure(records, plan) for check in checks])
            luck.append(luck_of(records, plan, scenario) if has_steady_state(plan) else {})
        return cls(np.array(values), np.array([list(row.values()) for row in luck]), tuple(luck[0]))

    def estimate(self, column: int, per: str = "") -> Estimate:
        """The mean of a check's values, less what their luck explains.

        With `per`, a source, each value counts for as many as came from it: the mean is then of all who came, and not
        of replications, in which those with many arrivals and long queues would weigh too little.
        """
        values = self.values[:, column]
        if not np.isfinite(self.luck).all() or not np.isfinite(values).all():
            return Estimate(math.nan, math.nan, len(values))
        if per:
            values = values * (1 + self.luck[:, self.controls.index(f"arrivals from {per}")])
        return mean_with_controls(values, self.luck) if self.controls else mean_of(values)

    def luck_estimates(self) -> dict[str, Estimate]:
        """The mean of each control, which must be 0: else what it explains is no luck, and is taken out wrongly."""
        return {name: mean_of(column) for name, column in zip(self.controls, self.luck.T, strict=True)}
