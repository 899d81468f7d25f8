"""Young and old deals in the phases of a quarter: where its first or last days move them in ways of their own.

After a quarter's end, what is old may rest while new deals still close; at the end, what is old may be pushed through.
The pace of the calendar (`pace`) knows one factor for all ages, so such a history shows it a mixture of both. Here the
deals are parted at an age, and each part has a window of the quarter and a factor of its own, found as the pace finds
its window: by what the other quarters forecast. The parting is taken only if both windows together forecast exits that
they were not fitted to better than the one window for all ages.

What is found acts on the hazard of an exit: the slower days are held against the faster ones, so that factors are 1 at
most, as a scenario's `hazard` wants them. Only where all deals have one stage is the age in it the deal's own age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from simfunnel.fitting.exposure import KINDS, Exposure, Kind
from simfunnel.fitting.figures import Estimate, Floats
from simfunnel.fitting.pace import (
    QUARTER,
    Counts,
    Days,
    Mask,
    Pace,
    fit_pace,
    in_window,
    pattern_words,
    quarter_window,
    window_in_words,
)

GAIN = 8.0  # log-likelihood that the parting must add to that of one window for all ages
_FEWEST = 40  # exits of each part
_ROUNDS = 3
_DIFFER = 0.15  # by how much, as a share, a factor may differ from quarter to quarter
_CLOSINGS: tuple[Kind, ...] = ("won", "lost")


@dataclass(frozen=True)
class Phase:
    """A factor of at most 1 on the hazard of deals of an age (low to high, days) on some days of a quarter.

    The days are those in the windows `inside` and not in the windows `outside`; a window counts days at the quarter's
    start, or (negative) at its end.
    """

    factor: Estimate
    low: float
    high: float
    inside: tuple[int, ...]
    outside: tuple[int, ...]

    def days(self, days: Days, fiscal_year_ends: int) -> Mask:
        """On which days it applies."""
        there: Mask = np.ones(len(days), dtype=bool)
        for window in self.inside + self.outside:
            there &= in_window(days, fiscal_year_ends, window) == (window in self.inside)
        return there

    @property
    def quarter_day(self) -> str:
        """Its days, as a condition names them."""
        windows = [*map(window_in_words, self.inside), *(f"not {window_in_words(w)}" for w in self.outside)]
        return ", ".join(windows)

    @property
    def age(self) -> str:
        """Its ages, as a condition names them."""
        return f"under {self.high:g} days" if self.low == 0 else f"at least {self.low:g} days"


@dataclass(frozen=True)
class Phases:
    """What was found, by kind of exit, and the age at which deals are parted; empty where nothing was."""

    of: Mapping[Kind, tuple[Phase, ...]]
    fiscal_year_ends: int = 12
    assumptions: tuple[str, ...] = ()

    @property
    def ages(self) -> tuple[float, ...]:
        """The ages at which deals are parted."""
        return tuple(sorted({p.low for phases in self.of.values() for p in phases if p.low > 0}
                            | {p.high for phases in self.of.values() for p in phases if p.high < np.inf}))  # fmt: skip

    @property
    def windows(self) -> tuple[int, ...]:
        """The windows that are looked at."""
        return tuple(sorted({w for phases in self.of.values() for p in phases for w in p.inside + p.outside}))

    def on(self, kind: Kind, ages: Floats, days: Days) -> Floats:
        """The factor at some ages on some days: an array (days, ages)."""
        factors = np.ones((len(days), len(ages)))
        for phase in self.of.get(kind, ()):
            there = (phase.low <= ages) & (ages < phase.high)
            factors[np.ix_(phase.days(days, self.fiscal_year_ends), there)] *= phase.factor.value
        return factors

    def of_exits(self, table: Exposure) -> Floats:
        """The factor of each exit on each day in each band of ages of the one stage: an array (exits, days, bands)."""
        if not self.of:
            return np.ones((len(table.kinds), len(table.days), 1))
        bands = table.risk.shape[2]
        ages = np.pad(table.edges[0], (0, bands - len(table.edges[0])), mode="edge")
        found = {kind: self.on(kind, ages, table.days) for kind in KINDS}
        return np.array([found[kind] for kind in table.kinds])


def fit_days(
    table: Exposure, holidays: frozenset[date], fiscal_year_ends: int, *, whole_days: bool
) -> tuple[Pace, Phases]:
    """The pace of the calendar, and what young and old deals do in the phases of a quarter where that says more."""
    pace, phases = fit_pace(table, holidays, fiscal_year_ends), Phases({}, fiscal_year_ends)
    if len(table.edges) > 1 or not table.events.sum():
        return pace, phases
    bare = {kind: tuple(e for e in effects if e.what != QUARTER) for kind, effects in pace.effects.items()}
    factors = replace(pace, effects=bare).of_exits(table)
    for _ in range(_ROUNDS):
        found = {}
        hazards = table.hazards(factors * phases.of_exits(table))
        for kind in (k for k in _CLOSINGS if table.of(k).any()):
            x = table.of(kind)
            due = np.einsum("xd,dxb,xb->db", factors[x, :, 0], table.risk[:, table.stage_of[x]], hazards[x])
            seen = table.events[:, x].sum(axis=1)
            as_known = due * phases.of_exits(table)[x][0]
            burst = Counts(seen.sum(axis=1), as_known.sum(axis=1)).burst
            found[kind] = _parted(seen, due, burst, table, fiscal_year_ends, half=0.5 if whole_days else 0.0)
        phases = Phases({kind: parts for kind, parts in found.items() if parts}, fiscal_year_ends)
    kept = {kind: bare[kind] if kind in phases.of else effects for kind, effects in pace.effects.items()}
    fitted = replace(pace, effects=kept)
    said = pattern_words(fitted, table, by_age=tuple(phases.of))
    return replace(fitted, assumptions=said), replace(phases, assumptions=_said(phases))


def _parted(
    seen: Floats, due: Floats, burst: float, table: Exposure, fiscal_year_ends: int, half: float
) -> tuple[Phase, ...]:
    """The phases of the best parting of one kind's exits (days, bands); () where none is better than none.

    `burst` is how much more weeks scatter than independent exits do; one for all partings, so that they compare.
    """
    edges, every = table.edges[0], seen.shape[1]

    def of(bands: slice) -> tuple[float, dict[int, Estimate]]:
        counts = Counts(seen[:, bands].sum(axis=1), due[:, bands].sum(axis=1))
        return _windows(counts, burst, table.days, fiscal_year_ends)

    found: tuple[Phase, ...] = ()
    most = of(slice(0, every))[0] + GAIN
    for k in range(1, len(edges) - 1):
        if min(seen[:, :k].sum(), seen[:, k:].sum()) < _FEWEST:
            continue
        (young_gain, young), (old_gain, old) = of(slice(0, k)), of(slice(k, every))
        if young_gain + old_gain > most:
            age, most = float(np.ceil(edges[k]) - half if half else edges[k]), young_gain + old_gain
            found = (*_slowed(young, 0.0, age), *_slowed(old, age, np.inf))
    return found


def _windows(due: Counts, burst: float, days: Days, fiscal_year_ends: int) -> tuple[float, dict[int, Estimate]]:
    """The windows at a quarter's start and end with their factors, found one after the other, and what they gain."""
    found: dict[int, Estimate] = {}
    gain, rest = 0.0, due
    for _ in range(2):
        here, effects = quarter_window(rest, days, fiscal_year_ends, beside=tuple(found), burst=burst)
        if not effects:
            break
        window = effects[0].which[0]
        found[window], gain = effects[0].factor, gain + here
        rest = rest.times(np.where(in_window(days, fiscal_year_ends, window), effects[0].factor.value, 1.0))
    both = {}
    for window in found:
        beside = due.times(_others(found, window, days, fiscal_year_ends))
        both[window] = _factor(beside, in_window(days, fiscal_year_ends, window), burst)
    return gain, both


def _others(found: Mapping[int, Estimate], window: int, days: Days, fiscal_year_ends: int) -> Floats:
    """The product of the factors of all other windows on each day."""
    product = np.ones(len(days))
    for other, factor in found.items():
        if other != window:
            product[in_window(days, fiscal_year_ends, other)] *= factor.value
    return product


def _factor(due: Counts, inside: Mask, burst: float) -> Estimate:
    """The factor of the days in a window over the others, with a gamma posterior's interval."""
    from scipy.stats import gamma

    (seen, expected), (others, others_due) = due.on(inside), due.on(~inside)
    value = (seen + burst / 2) / (expected + burst / 2) * (others_due + burst / 2) / (others + burst / 2)
    shape = 1 / (burst / (seen + burst / 2) + burst / (others + burst / 2) + _DIFFER**2)
    low, high = (value * float(gamma.ppf(q, shape)) / shape for q in (0.05, 0.95))
    how = "exits over what is expected, against the quarter's other days"
    return Estimate(value, min(max(low, high / 50), value), max(high, value), how, int(seen))


def _slowed(windows: Mapping[int, Estimate], low: float, high: float) -> tuple[Phase, ...]:
    """Factors of windows over all other days, as factors of at most 1 over the fastest days."""
    if not windows:
        return ()
    fastest = max(windows, key=lambda w: windows[w].value)
    most = windows[fastest].value
    phases = [Phase(_over(f, most), low, high, (w,), ()) for w, f in windows.items() if most <= 1 or w != fastest]
    if most > 1:
        phases.append(Phase(_over(windows[fastest], most, inverse=True), low, high, (), tuple(windows)))
    return tuple(phases)


def _over(factor: Estimate, most: float, *, inverse: bool = False) -> Estimate:
    """A factor over the largest one (or 1 over it), at most 1."""
    if inverse:
        return replace(factor, value=1 / factor.value, low=1 / factor.high, high=min(1 / factor.low, 1.0))
    top = max(most, 1.0)
    return replace(factor, value=factor.value / top, low=factor.low / top, high=min(factor.high / top, 1.0))


def _said(phases: Phases) -> tuple[str, ...]:
    """What was found, in words."""
    names = {"won": "wins", "lost": "losses"}
    return tuple(
        f"{names[kind]} of deals {p.age} old: x{p.factor.value:.2g} on days of a quarter that are {p.quarter_day}"
        for kind, found in phases.of.items()
        for p in found
    )
