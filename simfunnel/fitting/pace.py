"""The pace of the calendar: on which days deals move and close faster or slower than on ordinary ones.

A day's factor multiplies the hazard of an exit, so that time runs slower on a Sunday or a holiday and deals wait until
after it. Factors are exits over what the deals under watch on those days lead one to expect (`exposure`), in turn with
the hazards by age until they agree: main effects of a log-linear Poisson model, fitted by iterative proportions. They
are shrunk toward a prior as a gamma-Poisson mixture does: a factor is (O + a) / (E + a / m) for a prior of mean m that
weighs as much as `a` exits (Clayton & Kaldor 1987, model of relative risks). A pattern of the week or of the quarter
must forecast exits that it was not fitted to. Factors of weekdays have mean 1, so that times read as ordinary days.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfunnel.calendars import DAYS
from simfunnel.fitting.exposure import KINDS, Exposure, Kind
from simfunnel.fitting.figures import Z95, Estimate, Floats, factor_estimate

GAIN = 2.0  # log-likelihood that a pattern must add on exits that it was not fitted to
FEW = 60  # with fewer exits of a kind, all kinds share one pattern of the week
_ROUNDS = 4
_ALIKE = 2.5  # weekdays that differ by fewer standard errors share a factor
_NEAR = 30  # days on either side that tell what would be ordinary on a special day
_SPECIAL_WEIGHT = 3.0  # exits that the prior of a holiday weighs
_ORDINARY_WEIGHT = 30.0  # and of one where even weekends are ordinary
_SMALL = 0.05  # effects on the logarithm of a pace below this are not written
_CHRISTMAS = 24  # of December; from then on the year ends
_DIP = 0.5  # of what a weekend takes off, a day between Christmas and New Year is first taken to take off
_BEST_OF_SEVERAL = 2.0  # how much more the best of several windows is shrunk than a lone one would be
_WINDOW_GAIN = 4.0  # as GAIN, for the best of several windows
_FEW_QUARTERS = 4  # with fewer a window must gain so much, and its interval must leave out 1: two ends agree by chance
_FEW_GAIN = 6.0
_WINDOWS = (-7, -14, -30, 14, 30)  # days at a quarter's end (negative) or its start that may differ
HOLIDAY, YEAR_END, QUARTER, WEEKDAY = "holiday", "year end", "quarter", "weekday"

Days = pd.DatetimeIndex
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DayEffect:
    """A factor on some days: `what` kind of days, and `which` of them.

    Weekdays are 0 to 6; of a quarter they are so many days at its start, or (negative) at its end.
    """

    what: str
    factor: Estimate
    which: tuple[int, ...] = ()

    def mask(self, days: Days, holidays: frozenset[date], fiscal_year_ends: int) -> Mask:
        """On which of these days it applies."""
        if self.what == WEEKDAY:
            return np.isin(days.day_of_week, self.which)
        if self.what == HOLIDAY:
            return among(days, holidays)
        if self.what == YEAR_END:
            return at_year_end(days)
        return in_window(days, fiscal_year_ends, self.which[0])


@dataclass(frozen=True)
class Pace:
    """Effects of the calendar by kind of exit, and how they were found."""

    effects: Mapping[Kind, tuple[DayEffect, ...]]
    holidays: frozenset[date] = frozenset()
    fiscal_year_ends: int = 12
    assumptions: tuple[str, ...] = field(default=())

    def by_day(self, kind: Kind, days: Days) -> Floats:
        """The factor on each of these days."""
        factors = np.ones(len(days))
        for effect in self.effects.get(kind, ()):
            factors[effect.mask(days, self.holidays, self.fiscal_year_ends)] *= effect.factor.value
        return factors

    def of_exits(self, table: Exposure) -> Floats:
        """The factor of each exit on each day of an exposure, whatever the age: an array (exits, days, 1)."""
        found = {kind: self.by_day(kind, table.days) for kind in KINDS}
        return np.array([found[kind] for kind in table.kinds])[:, :, np.newaxis]


def at_year_end(days: Days) -> Mask:
    """Christmas Eve to the last day of the year."""
    mask: Mask = np.asarray((days.month == 12) & (days.day >= _CHRISTMAS))
    return mask


def among(days: Days, holidays: frozenset[date]) -> Mask:
    """Which of the days are holidays."""
    return np.array([day in holidays for day in days.date], dtype=bool)


def in_window(days: Days, fiscal_year_ends: int, window: int) -> Mask:
    """Which days are among the first so many of a fiscal quarter, or (negative) among its last."""
    into, left = _of_quarter(days, fiscal_year_ends)
    there: Mask = (into if window > 0 else left) < abs(window)
    return there


def _of_quarter(days: Days, fiscal_year_ends: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many days of its fiscal quarter lie before each day, and how many after it."""
    day, month = (days.to_numpy().astype(f"datetime64[{unit}]") for unit in "DM")
    first = month - (np.asarray(days.month) - fiscal_year_ends - 1) % 3
    bounds = [bound.astype("datetime64[D]") for bound in (first, first + 3)]
    return (day - bounds[0]).astype(np.int64), (bounds[1] - day).astype(np.int64) - 1


def fit_pace(
    table: Exposure,
    holidays: frozenset[date] = frozenset(),
    fiscal_year_ends: int = 12,
) -> Pace:
    """The pace of each kind of exit.

    Args:
        table: days under watch and exits.
        holidays: the country's public holidays; none where no country was said.
        fiscal_year_ends: the month in which the fiscal year ends.
    """
    pace, days = Pace({}, holidays, fiscal_year_ends), table.days
    for _ in range(_ROUNDS):
        hazards = table.hazards(pace.of_exits(table))
        expected, observed = table.expected(hazards), table.events.sum(axis=2).T
        counts = {k: Counts(observed[table.of(k)].sum(axis=0), expected[table.of(k)].sum(axis=0)) for k in KINDS}
        week = {kind: _weekdays(counts, kind, days, pace) for kind in KINDS}
        found = {}
        for kind in KINDS:
            effects = week[kind]
            quarter = _quarter_effect(counts[kind], effects, table.days, pace) if kind != "move" else ()
            usual = counts[kind].times(Pace({"won": effects + quarter}, holidays, fiscal_year_ends).by_day("won", days))
            found[kind] = effects + special_days(usual, weekend_factor(effects), days, holidays) + quarter
        pace = Pace(found, holidays, fiscal_year_ends)
    return Pace(found, holidays, fiscal_year_ends, pattern_words(pace, table))


@dataclass(frozen=True)
class Counts:
    """What was seen on each day (exits of a kind, or new deals), and what was expected if every day were ordinary."""

    seen: Floats
    expected: Floats

    def on(self, mask: Mask) -> tuple[float, float]:
        """Seen and expected on some days."""
        return float(self.seen[mask].sum()), float(self.expected[mask].sum())

    def times(self, factors: Floats) -> Counts:
        """With the expected of each day multiplied."""
        return Counts(self.seen, self.expected * factors)

    def only(self, mask: Mask) -> Counts:
        """Those of some days, with nothing on the others."""
        return Counts(np.where(mask, self.seen, 0.0), np.where(mask, self.expected, 0.0))

    def levelled(self, ordinary: Mask) -> Counts:
        """With the expected at the level of the ordinary days near each day, so that drift is no pattern."""
        day, count = np.arange(len(self.seen)), len(self.seen)
        first, last = np.maximum(day - _NEAR, 0), np.minimum(day + _NEAR + 1, count)
        sums = [np.concatenate([[0.0], np.cumsum(np.where(ordinary, x, 0.0))]) for x in (self.seen, self.expected)]
        near = [total[last] - total[first] for total in sums]
        return self.times((near[0] + 10) / (near[1] + 10))

    @property
    def burst(self) -> float:
        """How much more weeks scatter than independent exits do (variance over mean, at least 1)."""
        weeks = len(self.seen) // 7
        if weeks < 4:
            return 1.0
        seen, due = (x[len(x) - 7 * weeks :].reshape(weeks, 7).sum(axis=1) for x in (self.seen, self.expected))
        used = due > 0.5
        squares = (seen[used] - due[used]) ** 2 / due[used]
        return max(1.0, float(np.median(squares)) / 0.455) if used.sum() >= 4 else 1.0


def _weekdays(counts: Mapping[Kind, Counts], kind: Kind, days: Days, pace: Pace) -> tuple[DayEffect, ...]:
    """The pattern of the week of one kind, or of all kinds together where that forecasts as well; () for none."""
    special = at_year_end(days) | among(days, pace.holidays)
    levelled = {k: c.levelled(~special) for k, c in counts.items()}
    every = Counts(sum(c.seen for c in levelled.values()), sum(c.expected for c in levelled.values()))  # type: ignore[arg-type]
    mine, weekday = levelled[kind], np.asarray(days.day_of_week)
    candidates = {"none": 0.0, "all": 0.0, "own": 0.0}
    half = (np.arange(len(days)) // 14) % 2  # of every four weeks, two fit and two test
    for test in (0, 1):
        learn = ~special & (half != test)
        held = ~special & (half == test)
        for name, source in (("all", every), ("own", mine)):
            factors = _week_of(source, weekday, learn)[weekday]
            f, seen, due = factors[held], mine.seen[held], mine.expected[held]
            candidates[name] += float((seen * np.log(f) - due * (f - 1)).sum()) / mine.burst
    enough = mine.seen.sum() >= FEW
    if enough and candidates["own"] > max(candidates["all"], GAIN):
        return _week_effects(mine, weekday, ~special)
    if candidates["all"] > (GAIN if enough else -GAIN) and every.seen.sum() >= FEW:
        both = _week_effects(every, weekday, ~special)
        overall = _week_of(every, weekday, ~special)
        return both if float(np.ptp(overall)) > 0.1 else ()
    return ()


def _week_of(counts: Counts, weekday: NDArray[Any], mask: Mask) -> Floats:
    """The factor of each weekday on some days, shrunk toward 1 as far as chance explains their differences."""
    seen = np.bincount(weekday[mask], counts.seen[mask], 7)
    due = np.bincount(weekday[mask], counts.expected[mask], 7)
    if due.sum() <= 0 or seen.sum() <= 0:
        return np.ones(7)
    due *= seen.sum() / due.sum()
    real = max(float(((seen - due) ** 2 - due).sum() / (due**2).sum()), 1e-4)
    factors = (seen + 1 / real) / (due + 1 / real)
    shrunk: Floats = factors / factors.mean()
    return np.maximum(shrunk, 0.005)


def _week_effects(counts: Counts, weekday: NDArray[Any], mask: Mask) -> tuple[DayEffect, ...]:
    """Factors of the weekdays, those put together that differ by no more than chance."""
    factors = _week_of(counts, weekday, mask)
    seen = np.bincount(weekday[mask], counts.seen[mask], 7) + 0.5
    parts = [[k] for k in np.argsort(factors, kind="stable")]

    def mean(part: list[int]) -> float:
        return float(np.average(factors[part], weights=seen[part] / factors[part]))

    while len(parts) > 1:
        gaps = [
            (np.log(mean(b)) - np.log(mean(a))) / np.sqrt(counts.burst * (1 / seen[a].sum() + 1 / seen[b].sum()))
            for a, b in itertools.pairwise(parts)
        ]
        k = int(np.argmin(gaps))
        if gaps[k] > _ALIKE:
            break
        parts[k : k + 2] = [parts[k] + parts[k + 1]]
    total = sum(mean(p) * len(p) for p in parts) / 7
    effects = []
    for part in sorted(parts, key=min):
        value, error = mean(part) / total, float(np.sqrt(counts.burst / seen[part].sum()))
        how = "exits over what is expected, shrunk toward 1; mean 1 over the week"
        found = Estimate(value, value * np.exp(-Z95 * error), value * np.exp(Z95 * error), how, int(seen[part].sum()))
        effects.append(DayEffect(WEEKDAY, found, tuple(sorted(int(k) for k in part))))
    return tuple(effects) if len(effects) > 1 else ()


def special_days(counts: Counts, weekend: float, days: Days, holidays: frozenset[date]) -> tuple[DayEffect, ...]:
    """Holidays, and the days from Christmas to New Year: a prior from the weekend, and what the history shows.

    `counts` are expected as far as the week and the quarter tell; `weekend` is the slower weekend day's factor.
    """
    is_holiday, year_end = among(days, holidays), at_year_end(days)
    level = counts.levelled(~is_holiday & ~year_end)
    effects = []
    if holidays:
        effects.append(_gamma(level, is_holiday, min(weekend, 1.0), HOLIDAY))
    effects.append(_gamma(level, year_end & ~is_holiday, 1 - _DIP * max(1 - weekend, 0.0), YEAR_END))
    doubted = [e for e in effects if weekend >= 1 and e.factor.low < 1 < e.factor.high]
    return tuple(e for e in effects if e not in doubted and abs(np.log(e.factor.value)) > _SMALL)


def weekend_factor(week: tuple[DayEffect, ...]) -> float:
    """The factor of the slower weekend day; 1 where the days of the week are alike."""
    return min((e.factor.value for e in week if set(e.which) & {5, 6}), default=1.0)


def _gamma(counts: Counts, mask: Mask, prior: float, what: str) -> DayEffect:
    """The factor on some days, with a gamma prior of this mean; its interval is the posterior's."""
    from scipy.stats import gamma

    seen, due = (x / counts.burst for x in counts.on(mask))
    weight = _SPECIAL_WEIGHT if prior < 1 else _ORDINARY_WEIGHT
    shape, rate = seen + weight, due + weight / max(prior, 0.02)
    low, high = (float(gamma.ppf(q, shape, scale=1 / rate)) for q in (0.05, 0.95))
    value = shape / rate
    how = (
        "exits over what is expected, leaning on a weekend's factor" if due > 0 else "assumed from the weekend's factor"
    )
    return DayEffect(what, Estimate(value, min(low, value), max(high, value), how, int(counts.on(mask)[0])))


def _quarter_effect(counts: Counts, week: tuple[DayEffect, ...], days: Days, pace: Pace) -> tuple[DayEffect, ...]:
    """The factor at a quarter's end or start beside the pattern of the week, told by days that are not special."""
    by_week = counts.times(Pace({"won": week}).by_day("won", days))
    ordinary = ~(at_year_end(days) | among(days, pace.holidays))
    return quarter_window(by_week.only(ordinary), days, pace.fiscal_year_ends)[1]


def quarter_window(
    due: Counts, days: Days, fiscal_year_ends: int, *, beside: tuple[int, ...] = (), burst: float | None = None
) -> tuple[float, tuple[DayEffect, ...]]:
    """The factor at a quarter's end or start, if each quarter is forecast better by those of the others.

    Returns what that gains (log-likelihood; 0 where nothing is) and the effect, or (). `beside` are windows that are
    known already, at whose side of the quarter none is looked for. `burst` is that of the counts unless given.
    """
    burst = due.burst if burst is None else burst
    quarter = days.to_numpy().astype("datetime64[D]").astype(np.int64) - _of_quarter(days, fiscal_year_ends)[0]
    best: tuple[DayEffect, ...] = ()
    best_gain = 0.0
    for window in (w for w in _WINDOWS if all((w > 0) != (other > 0) for other in beside)):
        inside = in_window(days, fiscal_year_ends, window)
        pairs = []
        for q in np.unique(quarter):
            here, other = (quarter == q) & inside, (quarter == q) & ~inside
            seen, expected = due.on(here)
            other_seen, other_due = due.on(other)
            whole = here.sum() == abs(window) and other.sum() >= _NEAR
            if whole and other_seen >= 10 and other_due > 0 and expected > 3:
                pairs.append((seen, expected * other_seen / other_due))
        gain, found = _held_out(np.array(pairs), burst)
        if found is not None and gain > best_gain and _is_sure(found, gain, len(pairs)):
            best, best_gain = (DayEffect(QUARTER, found, (window,)),), gain
    return best_gain, best


def _is_sure(found: Estimate, gain: float, quarters: int) -> bool:
    """Whether a window's factor, and what it gains on quarters left out, is more than chance gives the best of several.

    Those of a small history, with two or three quarters, may agree by chance.
    """
    if quarters >= _FEW_QUARTERS:
        return gain > _WINDOW_GAIN
    return gain > _FEW_GAIN and not found.low <= 1 <= found.high


def _held_out(ends: Floats, burst: float) -> tuple[float, Estimate | None]:
    """What the factor of the other quarters' ends gains on each, and the factor shrunk by its scatter among them."""
    if len(ends) < 2:
        return 0.0, None
    seen, due = ends.T
    logs = np.log((seen + 1) / (due + 1))
    chance = burst * (1 / (seen + 1) + 1 / (due + 1) / 3)
    between = max(0.0, float(logs.var(ddof=1) - chance.mean()))
    others = (seen.sum() - seen + 5) / (due.sum() - due + 5)
    gain = float((seen * np.log(others) - due * (others - 1)).sum()) / burst
    centre, error = float(logs.mean()), float(np.sqrt((between + chance.mean()) / len(logs)))
    if centre == 0 or gain <= GAIN:
        return gain, None
    value = centre * max(0.0, 1 - _BEST_OF_SEVERAL * (error / centre) ** 2)
    if abs(value) < _SMALL:
        return gain, None
    how = f"over the rest of {len(ends)} quarters, shrunk by their scatter"
    return gain, factor_estimate(value, error, how, int(seen.sum()))


def pattern_words(pace: Pace, table: Exposure, by_age: tuple[Kind, ...] = ()) -> tuple[str, ...]:
    """What the calendar does, in words; nothing of the kinds whose quarter goes by age, where that is all."""
    said = []
    names = {"won": "wins", "lost": "losses", "move": "moves"}
    for kind in KINDS:
        if not table.events[:, table.of(kind)].sum() or (kind in by_age and not pace.effects[kind]):
            continue
        parts = [f"{_days_in_words(e)} x{e.factor.value:.2g}" for e in pace.effects[kind]]
        said.append(f"{names[kind]} by the calendar: {', '.join(parts) if parts else 'no pattern beyond chance'}")
    year_end = [e.factor.value for effects in pace.effects.values() for e in effects if e.what == YEAR_END]
    if year_end:
        seen = int(at_year_end(table.days).sum())
        how = "slow" if max(year_end) < 1 else "fast" if min(year_end) > 1 else "not as others"
        said.append(
            f"the days from Christmas to New Year are {how}: {seen} such days are in the history"
            + ("" if seen else ", so how slow is assumed from the weekends")
        )
    if not pace.holidays:
        said.append("no country was said, so public holidays are not known (--country)")
    return tuple(said)


def _days_in_words(effect: DayEffect) -> str:
    if effect.what == WEEKDAY:
        return weekdays(effect.which)
    return f"{window_in_words(effect.which[0])} days of a quarter" if effect.what == QUARTER else effect.what


def window_in_words(window: int) -> str:
    """`last 14` or `first 30`, as conditions name them."""
    return f"{'first' if window > 0 else 'last'} {abs(window)}"


def weekdays(which: tuple[int, ...]) -> str:
    """Weekdays as a scenario names them: three or more in a row as a range.

    >>> weekdays((0, 1, 2, 4, 5)), weekdays((5, 6))
    ('Mon-Wed, Fri, Sat', 'Sat, Sun')
    """
    runs: list[list[int]] = []
    for k in which:
        if runs and runs[-1][-1] == k - 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return ", ".join(f"{DAYS[r[0]]}-{DAYS[r[-1]]}" if len(r) > 2 else ", ".join(DAYS[k] for k in r) for r in runs)
