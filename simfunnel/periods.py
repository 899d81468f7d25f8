"""Weeks, months and fiscal quarters of a run: their edges in days and their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from simfunnel.calendars import quarter_of
from simfunnel.errors import InputError, not_among
from simfunnel.numerics import Floats, Ints

UNITS = ("week", "month", "quarter")


@dataclass(frozen=True)
class Periods:
    """Consecutive periods: period k reaches from edges[k] to edges[k + 1] (days since the start), named labels[k]."""

    unit: str
    edges: Floats
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, times: Floats) -> Ints:
        """The period of each time; -1 before the first."""
        found = np.searchsorted(self.edges, times, side="right") - 1
        return np.minimum(found, len(self) - 1)


@dataclass(frozen=True, eq=False)
class Cut:
    """The periods of several units of one run, and the elementary intervals between the edges of all of them.

    So a sum by period of any unit is a sum over intervals.
    """

    units: tuple[Periods, ...]
    edges: Floats
    _parts: Ints  # of each period, unit by unit: its first interval's column in a cube, and the one after its last

    def __len__(self) -> int:
        return sum(len(unit) for unit in self.units)

    def sums(self, by_interval: Floats) -> Floats:
        """Sums by period, unit by unit, of (..., columns); a column before all intervals, and one after them."""
        found: Floats = np.add.reduceat(by_interval, self._parts, axis=-1)[..., ::2]
        return found

    def ends(self, by_interval: Floats) -> Floats:
        """What stands at each period's end, unit by unit, of (..., columns)."""
        found: Floats = by_interval[..., self._parts[1::2] - 1]
        return found

    def by_unit(self, by_period: Floats) -> dict[str, Floats]:
        """An array whose last axis holds the periods of all units, as one for each unit."""
        bounds = np.cumsum([len(unit) for unit in self.units])[:-1]
        return {unit.unit: part for unit, part in zip(self.units, np.split(by_period, bounds, axis=-1), strict=True)}


@lru_cache(maxsize=64)
def cut(start: date, first: float, last: float, units: tuple[str, ...], fiscal_year_ends: int = 12) -> Cut:
    """The periods of these units, as `periods` makes them."""
    made = tuple(periods(start, first, last, unit, fiscal_year_ends) for unit in units)
    edges = np.unique(np.concatenate([unit.edges for unit in made]))
    at = [np.searchsorted(edges, unit.edges) + 1 for unit in made]
    parts = np.concatenate([np.stack([columns[:-1], columns[1:]], axis=1).reshape(-1) for columns in at])
    return Cut(made, edges, parts)


def periods(start: date, first: float, last: float, unit: str, fiscal_year_ends: int = 12) -> Periods:
    """The periods from day `first` to day `last` of a run that starts on `start`; unit `all` is one period.

    A period cut off by either end is called so: its name ends in `(part)`. Raises InputError for an unknown unit.
    """
    if unit == "all":
        return Periods(unit, np.array([first, last]), ("all",))
    if unit not in UNITS:
        raise InputError(not_among(unit, "period", (*UNITS, "all")))
    bounds = _BOUNDS[unit]
    edges, labels = [first], []
    while edges[-1] < last - 1e-9:
        day = start + timedelta(days=int(np.floor(edges[-1] + 1e-9)))
        begin, after, name = bounds(day, fiscal_year_ends)
        end = min(float((after - start).days), last)
        whole = edges[-1] <= (begin - start).days and end >= (after - start).days
        labels.append(name if whole else f"{name} (part)")
        edges.append(end)
    return Periods(unit, np.array(edges), tuple(labels))


def first_day(day: date, unit: str, fiscal_year_ends: int = 12) -> date:
    """The first day of the week, month or fiscal quarter in which a day lies."""
    return _BOUNDS[unit](day, fiscal_year_ends)[0]


def quarter_name(first: date, fiscal_year_ends: int) -> str:
    """`2026Q4` for calendar years, `FY27 Q1` (the fiscal year named by its end) otherwise."""
    months_in = (first.month - fiscal_year_ends - 1) % 12
    number = months_in // 3 + 1
    if fiscal_year_ends == 12:
        return f"{first.year}Q{number}"
    ends = first.year + (first.month > fiscal_year_ends)
    return f"FY{ends % 100:02d} Q{number}"


def _quarter(day: date, fiscal_year_ends: int) -> tuple[date, date, str]:
    first, after = quarter_of(day, fiscal_year_ends)
    return first, after, quarter_name(first, fiscal_year_ends)


def _month(day: date, _: int) -> tuple[date, date, str]:
    first = day.replace(day=1)
    after = (first + timedelta(days=31)).replace(day=1)
    return first, after, f"{first:%Y-%m}"


def _week(day: date, _: int) -> tuple[date, date, str]:
    first = day - timedelta(days=day.weekday())
    year, week, _weekday = day.isocalendar()
    return first, first + timedelta(days=7), f"{year}-W{week:02d}"


_BOUNDS: dict[str, Callable[[date, int], tuple[date, date, str]]] = {
    "quarter": _quarter,
    "month": _month,
    "week": _week,
}
