"""What all parts of a plan are made with: the scenario, its words, and packers for what the parts share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simfunnel.calendars import MapPacker
from simfunnel.distributions import Distribution, Packer
from simfunnel.numerics import Conditions, Floats, Ints, Rows, rows_of
from simfunnel.plan.dates import day_facts
from simfunnel.plan.tables import NOWHERE
from simfunnel.scenario.conditions import Clause, vocabulary
from simfunnel.scenario.fields import STAYS
from simfunnel.scenario.spec import ExitSpec, ScenarioSpec
from simfunnel.units import Uncertain, middle


def ints(values: Any) -> Ints:
    """A column of whole numbers."""
    return np.array(values, dtype=np.int64)


def floats(values: Any) -> Floats:
    """A column of numbers."""
    return np.array(values, dtype=np.float64)


def number(value: float | Uncertain | None, default: float = 0.0) -> float:
    """A number of the scenario: the default where it is not said, the median where it is uncertain."""
    return default if value is None else float(middle(value))


def starts(sizes: list[int]) -> Ints:
    """Where each of many runs of rows begins, and where the last ends."""
    return np.cumsum([0, *sizes], dtype=np.int64)


class ConditionPacker:
    """Collects predicates."""

    def __init__(self) -> None:
        self.clause_start = [0]
        self.fact: list[int] = []
        self.interval_start = [0]
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, clauses: tuple[Clause, ...]) -> int:
        """The number by which the engines know this predicate."""
        for fact, intervals in clauses:
            self.fact.append(fact)
            self.low += [interval.low for interval in intervals]
            self.high += [interval.high for interval in intervals]
            self.interval_start.append(len(self.low))
        self.clause_start.append(len(self.fact))
        return len(self.clause_start) - 2

    def pack(self) -> Rows:
        """All of them, in the order in which they were added."""
        return rows_of(
            Conditions(
                ints(self.clause_start), ints(self.fact), ints(self.interval_start), floats(self.low), floats(self.high)
            )
        )


class Workshop:
    """One scenario on its way to a plan."""

    def __init__(self, spec: ScenarioSpec) -> None:
        self.spec = spec
        self.words = vocabulary(spec)
        self.distributions = Packer()
        self.maps = MapPacker()
        self.conditions = ConditionPacker()
        self.places = (*spec.stages, *spec.ends)
        self.whole_days = max(1, math.ceil(spec.days - 1e-9))
        self.day_facts = day_facts(spec, 0, self.whole_days + 1)
        self.exits: list[tuple[int, str, ExitSpec]] = [
            (s, goal, way) for s, stage in enumerate(spec.stages.values()) for goal, way in stage.exits.items()
        ]

    def place(self, name: str) -> int:
        """The number of a stage or an end."""
        return NOWHERE if name == STAYS else self.places.index(name)

    def maybe(self, distribution: Distribution | None) -> int:
        """The number of a distribution; NOWHERE for none."""
        return NOWHERE if distribution is None else self.distributions.add(distribution.settled())
