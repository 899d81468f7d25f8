"""Days under watch and what happened on them, by stage, age and calendar day.

The hazard of an exit is taken as constant within a band of ages: exits over days under watch (the piecewise
exponential model: Holford 1980; Laird & Olivier 1981). So a whole history becomes two tables, from which what is
expected on any day follows by multiplication: the base for the pace of the calendar, for drift, and for how far the
luck of a month goes beyond chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfunnel.fitting.figures import Floats
from simfunnel.fitting.visits import HERE, LOST, WON, Ints, Visits

Kind = Literal["won", "lost", "move"]
KINDS: tuple[Kind, ...] = ("won", "lost", "move")
AT_ONCE = 1 / 24  # days; exits this soon after entry happen by themselves, whatever the day
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)  # of exits, at which bands of ages end
_BANDS = len(_SHARES) + 2


def kind_of(goal: str) -> Kind:
    """What an exit to a goal is: a win, a loss, or a move."""
    return "won" if goal == WON else "lost" if goal == LOST else "move"


@dataclass(frozen=True)
class Exposure:
    """Counts by day: `risk` (days, stages, bands) of deal-days watched, `events` (days, exits, bands) of exits taken.

    `exits` are pairs (stage number, goal) and `kinds` says of each whether it wins, loses or moves on. `edges` has the
    ages (days) at which the bands of each stage begin; days are counted from `visits.origin`.
    """

    risk: Floats
    events: Floats
    exits: tuple[tuple[int, str], ...]
    kinds: tuple[Kind, ...]
    edges: tuple[Floats, ...]
    days: pd.DatetimeIndex
    least: float = 0.0
    """Days for which whoever left a band was there at least, though days alone may tell none."""

    @property
    def stage_of(self) -> Ints:
        """The stage of each exit."""
        return np.array([s for s, _ in self.exits], dtype=np.int64)

    def of(self, kind: Kind) -> NDArray[np.bool_]:
        """Which exits are of a kind."""
        return np.array([k == kind for k in self.kinds], dtype=bool)

    def hazards(self, factors: Floats) -> Floats:
        """Exits a deal-day by exit and band, where a day of a band counts factors[exit, day, band] times.

        `factors` may have one band, which then is that of all.
        """
        sure = (factors * self.risk[:, self.stage_of].transpose(1, 0, 2)).sum(axis=1)
        hazards: Floats = self.events.sum(axis=0) / np.where(sure > 0, sure, 1.0)
        return hazards

    def expected(self, hazards: Floats) -> Floats:
        """Exits to expect (exits, days) at these hazards (exits, bands)."""
        expected: Floats = np.einsum("dxb,xb->xd", self.risk[:, self.stage_of], hazards)
        return expected


def exposure(visits: Visits) -> Exposure:
    """The tables of a history's visits."""
    count = round(visits.end)
    edges = tuple(_edges(visits, s) for s in range(len(visits.stages)))
    exits = tuple((s, g) for s in range(len(visits.stages)) for g in visits.goals(s))
    risk = np.zeros((count, len(visits.stages), _BANDS))
    events = np.zeros((count, len(exits), _BANDS))
    age = visits.left - visits.entered
    for s, starts in enumerate(edges):
        mine = visits.stage == s
        ends = np.append(starts[1:], np.inf)
        for b, (low, high) in enumerate(zip(starts, ends, strict=True)):
            begin = np.maximum(visits.entered[mine] + low, 0.0)
            stop = np.minimum(visits.entered[mine] + high, visits.left[mine])
            risk[:, s, b] = _overlaps(begin, stop, count)
        band = np.searchsorted(starts, age, side="right") - 1
        for x, (stage, goal) in enumerate(exits):
            if stage != s:
                continue
            here = mine & (visits.goal == goal) & ((age > AT_ONCE) | visits.whole_days)
            day = np.minimum(np.floor(visits.left[here]).astype(np.int64), count - 1)
            np.add.at(events, (day, x, np.maximum(band[here], 0)), 1.0)
    kinds = [kind_of(goal) for _, goal in exits]
    days = pd.date_range(visits.origin, visits.origin + timedelta(days=count - 1), freq="D")
    return Exposure(risk, events, exits, tuple(kinds), edges, days, least=0.5 if visits.whole_days else 0.0)


def _edges(visits: Visits, stage: int) -> Floats:
    """The ages at which bands begin: shares of all exits, and the oldest exit, beyond which those who stay remain."""
    mine = (visits.stage == stage) & (visits.goal != HERE)
    ages = visits.left[mine] - visits.entered[mine]
    ages = ages[ages > AT_ONCE] if not visits.whole_days else ages
    shares = _SHARES if len(ages) >= 2 * _BANDS else (0.5,)
    inner = np.quantile(ages, shares) if len(ages) else np.empty(0)
    first = 0.0 if visits.whole_days else AT_ONCE
    edges: Floats = np.unique(np.concatenate([[first], inner, ages.max(initial=first, keepdims=True) + 1e-6]))
    return np.concatenate([edges[:1], edges[edges > first + AT_ONCE]])


def _overlaps(begin: Floats, stop: Floats, count: int) -> Floats:
    """How long spans from `begin` to `stop` lie in each of so many days, all spans summed."""
    keep = (stop > begin) & (begin < count)
    begin, stop = begin[keep], np.minimum(stop[keep], float(count))
    first, last = np.floor(begin).astype(np.int64), np.floor(stop).astype(np.int64)
    size = count + 2
    same = first == last
    parts: Floats = np.bincount(first, np.where(same, stop - begin, first + 1 - begin), size).astype(np.float64)
    parts += np.bincount(last[~same], (stop - last)[~same], size)
    changes = np.bincount(first[~same] + 1, minlength=size) - np.bincount(last[~same], minlength=size)
    total: Floats = (parts + np.cumsum(changes))[:count]
    return total
