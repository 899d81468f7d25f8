"""Fitted numbers as the parts of a scenario, in the words in which a person would write them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from simfunnel.calendars import DAYS, MONTHS, Calendar
from simfunnel.fitting.arrivals import Arrivals
from simfunnel.fitting.capacity import calendar_words
from simfunnel.fitting.dependence import SMALL, Dependence
from simfunnel.fitting.drift import Drift
from simfunnel.fitting.durations import Durations
from simfunnel.fitting.effort import StageWork
from simfunnel.fitting.exits import Exits
from simfunnel.fitting.exposure import KINDS, Kind, kind_of
from simfunnel.fitting.figures import Z95, Estimate, QuantileTable, percent, sensible, values_of
from simfunnel.fitting.pace import HOLIDAY, WEEKDAY, YEAR_END, DayEffect, Pace, weekdays, window_in_words
from simfunnel.fitting.phases import Phases
from simfunnel.fitting.queues import TeamWork
from simfunnel.fitting.slowness import Slowness
from simfunnel.fitting.values import OTHER, Values

WON, LOST, STAYS = "Won", "lost", "stays"
NEW, OPEN, TEAM = "new deals", "open deals", "sellers"
_ALL = 0.9999  # a share that is everybody: odds do nothing to it
_TOLD = 0.0005  # logarithms of factors below this would read as x1
_PERIODS = (("day", 1.0, 1.0), ("week", 7.0, 1.0), ("month", 365.25 / 12, 0.0))  # name, days, least count to say
_NEARLY_ALL = 0.9999  # the end of an interval of chances lies below 100%, and its beginning as far above 0%
_ALWAYS_HERE = 0.995  # share of open hours from which on nothing is said of absence
_MOST_LOST = 0.15  # a loss rarer than this is not the rest, which would have to take up all other exits' doubts

Effect = dict[str, Any]


def goal_name(goal: str) -> str:
    """The scenario's name for where an exit leads."""
    return WON if goal == "won" else goal


def shares(counts: dict[str, tuple[int, int]]) -> dict[str, str]:
    """Shares as percentages with one decimal that sum to 100% exactly (the largest remainders are rounded up)."""
    exact = {level: 1000 * n / total for level, (n, total) in counts.items()}
    whole = {level: int(x) for level, x in exact.items()}
    by_rest = sorted(exact, key=lambda level: whole[level] - exact[level])
    for level in by_rest[: 1000 - sum(whole.values())]:
        whole[level] += 1
    return {level: f"{tenths / 10:g}%" for level, tenths in whole.items()}


def between(low: float, high: float, write: Callable[[float], Any]) -> str:
    """`A to B`, or just A where they look alike."""
    a, b = write(low), write(high)
    return str(a) if a == b else f"{a} to {b}"


def sources(arrivals: Arrivals, stage: str, opened: Calendar | None = None) -> dict[str, Any]:
    """New deals at their rate, and a place for the deals that are open at the start."""
    return {
        NEW: source(arrivals.rate, values_of(arrivals.weekday), values_of(arrivals.season), stage, opened),
        OPEN: {"deals": []},
    }


def source(
    rate: Estimate, weekday: dict[str, float], season: dict[int, float], stage: str, opened: Calendar | None = None
) -> dict[str, Any]:
    """Deals that come at a rate a day, with factors by weekday and by month (1 to 12).

    Where they come in the open hours of a calendar alone, it is `opened`.
    """
    if opened is not None:
        rate, weekday = _while_open(rate, weekday, opened)
    unit, days = next((name, d) for name, d, least in _PERIODS if rate.value * d >= least)
    unit, days = ("working day", 1.0) if opened is not None else (unit, days)
    said = between(rate.low * days, rate.high * days, lambda x: f"{sensible(x):g}") + f" per {unit}"
    written: dict[str, Any] = {"rate": said}
    if weekday:
        written["weekday"] = {day: times(factor) for day, factor in weekday.items()}
    if season:
        written["season"] = {MONTHS[m - 1]: times(factor) for m, factor in season.items()}
    return {**written, "enters": stage}


def _while_open(rate: Estimate, weekday: dict[str, float], opened: Calendar) -> tuple[Estimate, dict[str, float]]:
    """The rate by working day, and the weekdays' factors on it."""
    days = [DAYS[d] for d in opened.days]
    some = weekday or dict.fromkeys(DAYS, 1.0)
    each = sum(some[day] for day in days) / len(days)
    share = each * len(days) / sum(some[day] for day in DAYS)
    scale = 7 / len(days) * share
    per_day = replace(rate, value=rate.value * scale, low=rate.low * scale, high=rate.high * scale)
    return per_day, {day: some[day] / each for day in days} if weekday else {}


def value(values: Values | None, levels_of: dict[str, Any]) -> Any:
    """What a deal is worth: one distribution, or one for each level of an attribute; 1 where no value is known."""
    if values is None:
        return 1
    tables = {name: {"quantiles": points(table, amount)} for name, table in values.cases.items()}
    if values.by is None:
        return tables[OTHER]
    levels = levels_of[values.by]
    cases = {level: tables[level] for level in levels if level in tables}
    if len(cases) < len(levels):
        cases[OTHER] = tables[OTHER]
    return {"by": values.by, "cases": cases}


def amount(number: float) -> float:
    """An amount with four significant digits, without a needless `.0`."""
    rounded = sensible(number, 4)
    return int(rounded) if rounded.is_integer() else rounded


def points(table: QuantileTable, write: Callable[[float], Any]) -> dict[str, Any]:
    """A quantile table as a scenario writes it."""
    return {f"{share * 100:.4g}%": write(x) for share, x in zip(table.shares, table.values, strict=True)}


def duration(days: float) -> str:
    """A time as the scenario writes it.

    >>> duration(46.52), duration(1), duration(0.25), duration(0)
    ('46.5 days', '1 day', '6 h', '0 days')
    """
    if 0 < days < 1:
        return f"{sensible(days * 24):g} h"
    return f"{round(days, 1):g} day" + ("" if round(days, 1) == 1 else "s")


def times(factor: float) -> str:
    """A factor as the scenario writes it.

    >>> times(1.349), times(0.0052)
    ('x1.35', 'x0.005')
    """
    return f"x{round(factor, 2):g}" if factor >= 0.095 else f"x{max(sensible(factor, 1), 0.001):g}"


# --- stages -----------------------------------------------------------------------------------------------------------


def stages(
    found: Exits, works: Mapping[str, Effect], delay: dict[str, float], share: Estimate | None = None
) -> dict[str, Any]:
    """The open stages with their exits, and what is won.

    Args:
        found: the fitted exits.
        works: the work of those stages in which sellers work (see `assumed_work`, `work`).
        delay: days that this work takes, which come off the times of those stages.
        share: of its value that a win books; all of it unless known.
    """
    written = {}
    for name, fitted in found.stages.items():
        work = {"work": works[name]} if name in works else {}
        written[name] = {**work, "exits": _exits(fitted, delay.get(name, 0.0))}
    books = f"{between(share.low, share.high, percent)} of value" if share else "value"
    return {**written, WON: {"books": books}}


def assumed_work(hours: float) -> dict[str, Any]:
    """Work of so many hours, by the only team."""
    return {"team": TEAM, "effort": f"{sensible(hours, 2):g} h"}


def work(found: StageWork) -> dict[str, Any]:
    """A stage's work as the tasks tell it."""
    touches = {"touches": found.touches} if found.touches > 1 else {}
    return {"team": found.team, "effort": found.hours.written, **touches}


def teams(found: Mapping[str, TeamWork], common: Calendar | None, holidays: dict[str, str]) -> dict[str, Any]:
    """Teams with their members, and calendars where they differ from the common one."""
    written = {}
    for name, team in found.items():
        own = {} if team.calendar == common else {"calendar": calendar(team.calendar, holidays)}
        share = team.selling_time.value
        here = {"selling_time": percent(share)} if share < _ALWAYS_HERE else {}
        kept = {"ownership": "owner"} if team.owned else {}
        members = []
        for one in team.members:
            differs = {} if one.calendar == team.calendar else {"calendar": calendar(one.calendar, holidays)}
            since = {"hired": one.since.isoformat()} if one.since else {}
            members.append({"name": one.name, **differs, **since})
        written[name] = {**own, **here, **kept, "members": members}
    return written


def calendar(found: Calendar, holidays: dict[str, str]) -> Any:
    """A calendar with the country's holidays."""
    words = calendar_words(found)
    return words if isinstance(words, str) else {**words, **holidays}


def _exits(fitted: Durations, delay: float) -> dict[str, Any]:
    rest = _rest(fitted)
    exits: dict[str, Any] = {}
    for goal, chance in fitted.chances.items():
        said = {} if goal == rest else {"chance": _chance(chance)}
        exits[goal_name(goal)] = {**said, "after": _after(fitted.times[goal], delay)}
    if rest == STAYS:
        exits[STAYS] = {}
    elif fitted.never.value > 5e-4:
        exits[STAYS] = {"chance": _chance(fitted.never)}
    return exits


def _chance(found: Estimate) -> str:
    """A chance with its interval, whose ends lie inside 0% and 100%."""
    low, high = percent(found.low), percent(found.high)
    if low == high:
        return low
    low = f"{(1 - _NEARLY_ALL) * 100:.2g}%" if low == "0%" else low
    return f"{low} to {f'{_NEARLY_ALL * 100:g}%' if high == '100%' else high}"


def _rest(fitted: Durations) -> str:
    """The exit that takes what the others leave: lost, unless it is rare; then the commonest that is no win."""
    if fitted.chances.get("lost") and (fitted.chances["lost"].value >= _MOST_LOST or len(fitted.chances) == 2):
        return "lost"
    others = {goal: chance.value for goal, chance in fitted.chances.items() if goal != "won"}
    others[STAYS] = fitted.never.value
    if max(others.values()) < _MOST_LOST and len(fitted.chances) > 1:
        others["won"] = fitted.chances["won"].value if "won" in fitted.chances else 0.0
    return max(others, key=lambda goal: others[goal])


def _after(table: QuantileTable, delay: float) -> Any:
    values = tuple(np.maximum.accumulate([max(v - delay, 0.0) for v in table.values]).tolist())
    if values[-1] < 1 / 1440:
        return "0 days"
    return {"quantiles": points(QuantileTable(table.shares, values), duration)}


# --- effects ----------------------------------------------------------------------------------------------------------


def exit_names(found: Exits, kinds: Iterable[Kind]) -> list[str]:
    """The exits of some kinds as effects name them."""
    return [
        f"{stage} -> {goal_name(goal)}"
        for stage, fitted in found.stages.items()
        for goal in fitted.chances
        if kind_of(goal) in kinds
    ]


def pace_effects(found: Exits, pace: Pace) -> list[Effect]:
    """The pace of the calendar, one line for each kind of day and exits that share it."""
    lines: dict[str, tuple[Effect, list[Kind]]] = {}
    for kind in KINDS:
        if not exit_names(found, [kind]):
            continue
        for effect in pace.effects.get(kind, ()):
            line = {"when": when(effect, pace.fiscal_year_ends), "pace": _factor(effect)}
            lines.setdefault(repr(line), (line, []))[1].append(kind)
    every = len(exit_names(found, KINDS))
    written = []
    for line, kinds in lines.values():
        names = exit_names(found, kinds)
        on = {} if len(names) == every else {"on": names[0] if len(names) == 1 else names}
        written.append({"when": line["when"], **on, "pace": line["pace"]})
    return written


def phase_effects(found: Exits, phases: Phases) -> list[Effect]:
    """What young and old deals do in the phases of a quarter."""
    written = []
    for kind, parts in phases.of.items():
        names = exit_names(found, [kind])
        for part in parts:
            when_ = {"quarter_day": part.quarter_day, "age": part.age}
            factor = between(part.factor.low, part.factor.high, times)
            written.append({"when": when_, "on": names[0] if len(names) == 1 else names, "hazard": factor})
    return written


def _factor(effect: DayEffect) -> str:
    """A weekday's factor is well known; the others are written with their doubt."""
    f = effect.factor
    return times(f.value) if effect.what == WEEKDAY else between(f.low, f.high, times)


def when(effect: DayEffect, fiscal_year_ends: int) -> dict[str, Any]:
    """The days of an effect as a condition."""
    if effect.what == WEEKDAY:
        return {"weekday": weekdays(effect.which)}
    if effect.what == HOLIDAY:
        return {"holiday": "yes"}
    if effect.what == YEAR_END:
        if fiscal_year_ends % 3 == 0:
            return {"month": "Dec", "quarter_day": "last 8"}
        return {"month": "Dec", "quarter_day": f"not first {53 if fiscal_year_ends % 3 == 1 else 23}"}  # from the 24th
    return {"quarter_day": window_in_words(effect.which[0])}


def arrival_effects(arrivals: Arrivals, fiscal_year_ends: int, on: str | list[str] = NEW) -> list[Effect]:
    """Holidays and the year's end on new deals, which come from one source or several."""
    return [{"when": when(e, fiscal_year_ends), "on": on, "arrivals": _factor(e)} for e in arrivals.special]


def luck_effects(found: Exits, drift: Drift, start: date) -> list[Effect]:
    """The market's course: what multiplies the hazards that all deals in a stage share, drawn once.

    A hazard c times as high, where a share p goes that way, is odds c times as high and exits 1 - p + p c times as
    fast: at first c times as many go, and of all who ever go, as many more as the odds say. The two are drawn apart,
    each a little wider, so that soon they spread as one would.
    """
    written: list[Effect] = []
    order = list(found.stages)
    for s, (stage, fitted) in enumerate(found.stages.items()):
        for kind in ("won", "move"):
            later = {"won"} if kind == "won" else set(order[s + 1 :])
            goals = [goal for goal in fitted.chances if goal in later]
            if not goals:
                continue
            course = drift.courses[kind]
            names = [f"{stage} -> {goal_name(goal)}" for goal in goals]
            on = names[0] if len(names) == 1 else names
            share = min(sum(fitted.chances[goal].value for goal in goals), 1.0)
            luck = course.luck / math.hypot(share, 1 - share)
            faster = math.log1p(share * math.expm1(course.level))
            if share < _ALL:
                written.append({"on": on, "odds": _around(course.level, luck)})
            if max(abs(faster), luck * share) >= _TOLD:
                pace = _around(faster, luck * share)
                written.append({"when": {"date": f"from {start.isoformat()}"}, "on": on, "pace": pace})
    return written


def _around(level: float, sd: float) -> str:
    return f"x{math.exp(level - Z95 * sd):.3g} to x{math.exp(level + Z95 * sd):.3g}"


def odds_effects(dependences: Sequence[Dependence], *, alone: bool, members: Sequence[str]) -> list[Effect]:
    """What the odds depend on; `alone` where there is one stage, whose only way forward is to be won."""
    written = []
    for found in dependences:
        on = f"{found.stage} -> {WON}" if alone else found.stage
        for level, factor in found.levels.items():
            if abs(math.log(factor.value)) < SMALL or (found.attribute == "member" and level not in members):
                continue
            written.append(
                {"when": {found.attribute: level}, "on": on, "odds": between(factor.low, factor.high, times)}
            )
    return written


def time_effects(found: Exits, slowness: Slowness) -> list[Effect]:
    """How much longer deals of a value take to be won."""
    names = exit_names(found, ["won"])
    on = names[0] if len(names) == 1 else names
    return [
        {"when": {"value": band}, "on": on, "time": between(factor.low, factor.high, times)}
        for band, factor in slowness.items()
        if names and abs(math.log(factor.value)) >= SMALL
    ]


def days_of(effect: DayEffect) -> str:
    """The days of an effect, for the table of fitted numbers."""
    if effect.what == WEEKDAY:
        return ", ".join(DAYS[k] for k in effect.which)
    return f"{window_in_words(effect.which[0])} days of a quarter" if effect.which else effect.what
