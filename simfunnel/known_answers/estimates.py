"""Estimates from independent replications, with their standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfunnel.engines.records import Records
from simfunnel.numerics import forward
from simfunnel.plan import Plan
from simfunnel.scenario import Scenario


@dataclass(frozen=True)
class Estimate:
    """A mean over independent repetitions and its standard error."""

    mean: float
    se: float
    n: int

    def z(self, exact: float) -> float:
        """How many standard errors the mean lies above a known value."""
        return (self.mean - exact) / self.se


def mean_of(values: Any) -> Estimate:
    """The mean of independent values."""
    values = np.asarray(values, dtype=np.float64)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values))


def mean_with_controls(values: Any, controls: Any) -> Estimate:
    """The mean of independent values, with what is explained by controls (whose true mean is 0) taken out.

    The intercept of a least-squares line. Control variates: A. M. Law, Simulation Modeling and Analysis, chapter 11.
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    design = np.column_stack([np.ones(len(y)), x])
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ coefficients
    variance = float(residual @ residual) / (len(y) - design.shape[1])
    return Estimate(float(coefficients[0]), math.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]), len(y))


def luck_of(records: Records, plan: Plan, scenario: Scenario) -> dict[str, float]:
    """Controls for a model of queues: how far arrivals by source and mean effort by stage were from what is expected.

    Each as a share of what is expected, so that 0 is its true mean.

    Looked at from the warm-up to 30 mean efforts before the horizon, so that no task counted is cut off by it.
    Needs sources with a rate and members who work round the clock at the usual pace.
    """
    works = [stage.work for stage in scenario.spec.stages.values()]
    efforts = {s: work.effort for s, work in enumerate(works) if work and work.effort}
    longest = max(effort.mean() / 24 for effort in efforts.values())
    first, last = plan.warm_up, plan.days - 30 * longest
    people, rows = records.prospects, records.tasks
    found = {}
    for k, rate_map in enumerate(plan.sources.rate_map):
        expected = forward(plan.maps, rate_map, last) - forward(plan.maps, rate_map, first)
        came = (people.source == k) & (people.born >= first) & (people.born < last)
        found[f"arrivals from {plan.source_names[k]}"] = float(came.sum() / expected - 1)
    for s, effort in efforts.items():
        if not effort.is_constant:
            mine = (rows.stage == s) & (rows.begun >= first) & (rows.begun < last)
            spent = 24 * (rows.ended - rows.begun)[mine].mean()
            found[f"effort at {plan.place_names[s]}"] = float(spent / effort.mean() - 1)
    return found
