"""Facts and effects that depend on the date alone, day by day."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from simfunnel.calendars import quarter_of
from simfunnel.numerics import Floats
from simfunnel.scenario.conditions import DATED, FACT, Vocabulary, read_when
from simfunnel.scenario.spec import EffectSpec, ScenarioSpec
from simfunnel.units import Uncertain, middle


def day_facts(spec: ScenarioSpec, first: int, count: int) -> Floats:
    """A row for each of so many days from day `first` on (0 is the start): the facts `DATED` behind the date itself."""
    return _day_facts(spec.start + timedelta(days=first), count, spec.fiscal_year_ends, spec.calendar.holidays)


@lru_cache(maxsize=16)
def _day_facts(first: date, count: int, fiscal_year_ends: int, holidays: frozenset[date]) -> Floats:
    rows = np.empty((count, len(DATED) - 1))
    for d in range(count):
        day = first + timedelta(days=d)
        begin, after = quarter_of(day, fiscal_year_ends)
        rows[d] = ((day - begin).days, (after - day).days - 1, day.weekday(), day.month, day in holidays)
    rows.setflags(write=False)
    return rows


def by_day(
    spec: ScenarioSpec, words: Vocabulary, effect: EffectSpec, factor: float | Uncertain, first: int, count: int
) -> Floats:
    """What an effect of the date multiplies by on each of so many days from day `first` on."""
    facts = np.column_stack([np.arange(first, first + count, dtype=np.float64), day_facts(spec, first, count)])
    applies = np.ones(count, dtype=bool)
    for fact, intervals in read_when(effect.when, words):
        of = facts[:, fact - FACT["date"]]
        applies &= np.any([(interval.low <= of) & (of < interval.high) for interval in intervals], axis=0)
    strength = applies.astype(np.float64)
    if effect.fades:
        since = facts[:, 0] - (effect.fades.from_ - spec.start).days
        strength *= np.where(since < 0, 0.0, 0.5 ** (np.maximum(since, 0.0) / float(middle(effect.fades.half_life))))
    changed: Floats = float(middle(factor)) ** strength
    return changed


def thinned_out(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The same map without the nodes that lie on a straight line between their neighbours."""
    slope = np.diff(y) / np.diff(x)
    keep = np.concatenate([[True], ~np.isclose(slope[1:], slope[:-1], rtol=1e-12, atol=0.0), [True]])
    return x[keep], y[keep]
