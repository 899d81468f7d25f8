"""Quantities as people write them: `30 min`, `45%`, `12 per day`, `3M`, `x1.8`, `45% to 55%`.

Inside simfunnel a time is in days, work is in hours, a chance is between 0 and 1 and money is in the scenario's
currency. Every reader here takes what YAML gave (a number or a text) and raises ValueError with words for the user.
"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist
from typing import Any

from simfunnel.errors import nearest

MINUTE = 1 / 1440
HOUR = 1 / 24
DAYS_PER_YEAR = 365.25

DAYS_IN = {
    "min": MINUTE,
    "h": HOUR,
    "day": 1.0,
    "week": 7.0,
    "month": DAYS_PER_YEAR / 12,
    "quarter": DAYS_PER_YEAR / 4,
    "year": DAYS_PER_YEAR,
}
_ALSO = {
    "minute": "min",
    "mins": "min",
    "hour": "h",
    "hr": "h",
    "hrs": "h",
    "d": "day",
    "w": "week",
    "y": "year",
}
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
MOST_SHARE = 10.0  # of an amount; what is more is most likely a slip
_THOUSANDS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "bn": 1e9, "B": 1e9}


@dataclass(frozen=True)
class Uncertain:
    """A number known only as a central 90% interval; each replication draws its own.

    `shape` says what lies between: `chance` is normal on the log-odds, `positive` on the logarithm, `real` as it is.
    """

    low: float
    high: float
    shape: str

    def at(self, u: float) -> float:
        """The u-quantile; `low` at 5% and `high` at 95%."""
        to, back = _SCALES[self.shape]
        a, b = to(self.low), to(self.high)
        spread = (b - a) / (2 * _Z95)
        return back((a + b) / 2 + spread * NormalDist().inv_cdf(u))

    @property
    def middle(self) -> float:
        """The median."""
        return self.at(0.5)


_Z95 = NormalDist().inv_cdf(0.95)
_SCALES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "chance": (lambda p: math.log(p / (1 - p)), lambda x: 1 / (1 + math.exp(-x))),
    "positive": (math.log, math.exp),
    "real": (float, float),
}

Number = float | Uncertain
MAX_SPAN_YEARS = 50
WIDEST = 1e6  # the ratio of the two ends of an uncertain number
LARGEST = 1e100  # of anything: far beyond what is meant, far below where products overflow


def middle(number: Number) -> float:
    """The number itself, or the median of an uncertain one."""
    return number.middle if isinstance(number, Uncertain) else number


def scaled(number: Number, factor: float) -> Number:
    """The number times a factor above 0, uncertain as it was."""
    if isinstance(number, Uncertain):
        return Uncertain(number.low * factor, number.high * factor, number.shape)
    return number * factor


def _ends(text: str) -> tuple[str, str] | None:
    """The two sides of `A to B`, or None; where only B has a unit, or an x, A shares it."""
    low, to, high = (part.strip() for part in text.partition(" to "))
    if not to:
        return None
    if re.fullmatch(_NUMBER, low):
        found = re.fullmatch(rf"(x?)\s*{_NUMBER}(.*)", high)
        low = f"{found[1]}{low}{found[2]}" if found else low
    return low, high


def _between(text: str, read_one: Callable[[str], float], shape: str) -> Number:
    """Read `A`, or the uncertain `A to B`."""
    ends = _ends(text)
    if not ends:
        return read_one(text)
    high = read_one(ends[1])
    low_text = ends[0]
    low = read_one(low_text)
    if low > high:
        raise ValueError(f"'{text}' runs backwards: write the smaller number first")
    if low == high:
        return low
    if shape == "chance" and not (low > 0 and high < 1):
        raise ValueError(f"'{text}': both ends of an uncertain chance must lie inside 0% to 100%")
    if shape == "positive" and low <= 0:
        raise ValueError(f"'{text}': the lower end of an uncertain number must be above 0")
    if shape == "positive" and high > WIDEST * low:
        raise ValueError(f"'{text}': the ends of an uncertain number can't be a million times apart")
    return Uncertain(low, high, shape)


def _plain(text: object, what: str, example: str) -> float:
    """A bare finite number, in words or as YAML's own."""
    is_number = isinstance(text, (int, float)) and not isinstance(text, bool)
    if not is_number and not (isinstance(text, str) and re.fullmatch(_NUMBER, text.strip())):
        raise ValueError(f"{shown(text)} is no {what}; write for example {example}")
    return _finite(text)


def _finite(text: Any) -> float:
    """A number that arithmetic can bear."""
    try:
        value = float(text)
    except OverflowError:
        value = math.inf
    if not abs(value) <= LARGEST:
        raise ValueError(f"{shown(text)} is too large a number, or none at all")
    return value


def shown(value: object) -> str:
    """A short picture of a value in a message."""
    if value is None or isinstance(value, bool):
        return {True: "yes/true", False: "no/false", None: "nothing"}[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unit(word: str, allowed: dict[str, float], text: str) -> float:
    """The size of a unit, singular or plural, with a suggestion where it is unknown."""
    name = word.strip()
    for candidate in (name, name.removesuffix("s")):
        candidate = _ALSO.get(candidate, candidate)
        if candidate in allowed:
            return allowed[candidate]
    meant = nearest(name, [*allowed, *(u + "s" for u in allowed if u not in ("min", "h"))])
    hint = f". Did you mean '{meant}'?" if meant else ""
    raise ValueError(f"'{text}': unknown unit '{name}'; allowed: {', '.join(allowed)}{hint}")


def _with_unit(text: str, allowed: dict[str, float], what: str, example: str) -> float:
    text = text.strip()
    if re.fullmatch(_NUMBER, text):
        raise ValueError(f"{text} has no unit; write for example {example}")
    found = re.fullmatch(rf"({_NUMBER})\s*([A-Za-z].*)", text)
    if not found:
        raise ValueError(f"'{text}' is no {what}; write for example {example}")
    value = _finite(found[1]) * _unit(found[2], allowed, text)
    if value < 0:
        raise ValueError(f"'{text}': a {what} can't be negative")
    return value


def read_duration(value: object) -> Number:
    """A time in days from `30 min`, `2 h`, `5 days`, `1.5 weeks`, `2 months`, `3 to 5 days`; 0 needs no unit."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; write for example '{value} days'")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no time; write for example '5 days'")
    return _between(value, lambda t: _with_unit(t, DAYS_IN, "time", "'5 days'"), "positive")


def read_effort(value: object) -> Number:
    """Work in hours from `30 min` or `2 h`; days are refused, for a day of work means different things."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; write for example '{value} h'")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no effort; write for example '2 h'")
    hours = {"min": 1 / 60, "h": 1.0}
    try:
        return _between(value, lambda t: _with_unit(t, hours, "effort", "'30 min' or '2 h'"), "positive")
    except ValueError as error:
        if "unknown unit" in str(error) and re.search(r"\b(days?|weeks?)\b", value):
            raise ValueError(f"'{value}': say work in min or h (a working day differs from team to team)") from None
        raise


def read_chance(value: object) -> Number:
    """A chance between 0 and 1 from `45%`, `0.45` or `45% to 55%`."""
    if isinstance(value, str):
        number = _between(value, _one_chance, "chance")
    else:
        number = _plain(value, "chance", "'45%' or 0.45")
        _check_chance(number, str(value))
    return number


def _one_chance(text: str) -> float:
    number = _fraction(text, "chance")
    _check_chance(number, text.strip())
    return number


def _fraction(text: str, what: str) -> float:
    """A number that may be written as a percentage."""
    percent = text.strip().endswith("%")
    if not re.fullmatch(rf"\s*{_NUMBER}\s*", text.strip().removesuffix("%")):
        raise ValueError(f"'{text.strip()}' is no {what}; write for example '45%', 0.45 or '30% to 40%'")
    return _plain(text.strip().removesuffix("%"), what, "'45%' or 0.45") / (100 if percent else 1)


def _check_chance(number: float, text: str) -> None:
    if 1 < number <= 100 and "%" not in text:
        raise ValueError(f"{text} is above 1; a chance lies between 0 and 1. Did you mean '{text}%'?")
    if not 0 <= number <= 1:
        raise ValueError(f"{text} is no chance: allowed are 0% to 100%")


def read_share(text: str) -> Number:
    """A share of an amount, which may be more than the whole: `5%`, `110%`, `105% to 115%`.

    An uncertain one stays below 100% where both its ends do, as a chance does.
    """
    inside = all(_one_share(end) < 1 for end in _ends(text) or (text,))
    return _between(text, _one_share, "chance" if inside else "positive")


def _one_share(text: str) -> float:
    number = _fraction(text, "share")
    if not 0 <= number <= MOST_SHARE:
        raise ValueError(f"{text.strip()} is no share of an amount: allowed are 0% to {MOST_SHARE:,.0%}")
    return number


def read_amount(value: object) -> Number:
    """A number, mostly of money: `12000`, `12k`, `3M`, `10k to 15k`."""
    if isinstance(value, str):
        return _between(value, _one_amount, "positive")
    return _plain(value, "amount", "12000, '12k' or '3M'")


def _one_amount(text: str) -> float:
    found = re.fullmatch(rf"({_NUMBER})\s*(k|K|M|bn|B)?", text.strip())
    if not found:
        comma = " (write thousands without commas: 12000 or 12k)" if re.search(r"\d[,_' ]\d{3}", text) else ""
        raise ValueError(f"'{text}' is no amount; write for example 12000, '12k' or '3M'{comma}")
    return _finite(found[1]) * _THOUSANDS[found[2] or ""]


def read_number(value: object) -> Number:
    """A plain number, or two joined by `to`."""
    if isinstance(value, str):
        return _between(value, lambda t: _plain(t, "number", "3 or '2 to 4'"), "positive")
    return _plain(value, "number", "3 or '2 to 4'")


def read_factor(value: object) -> Number:
    """A factor from `x1.8`, `/7`, `+20%`, `-10%`, `1.8` or `x1.5 to x2.1`; always 0 or more."""
    if isinstance(value, str):
        return _between(value, _one_factor, "positive")
    factor = _plain(value, "factor", "'x1.8' or '/7'")
    if factor < 0:
        raise ValueError(
            f"{value} is no factor: it would make a chance or a time negative; write '/{abs(factor):g}' to divide"
        )
    return factor


def _one_factor(text: str) -> float:
    text = text.strip()
    signed = re.fullmatch(r"([+-])\s*([0-9.]+)\s*%", text)
    if signed:
        change = _plain(signed[2], "factor", "'+20%' or '-10%'") / 100
        factor = 1 - change if signed[1] == "-" else 1 + change
    elif text.startswith("/"):
        divisor = _plain(text[1:], "factor", "'x1.8' or '/7'")
        if divisor <= 0:
            raise ValueError(f"'{text}': can't divide by {divisor:g}")
        factor = 1 / divisor
    else:
        factor = _plain(text.removeprefix("x"), "factor", "'x1.8', '/7' or '+20%'")
    if factor < 0:
        raise ValueError(f"'{text}' is no factor: it would make a chance or a time negative")
    return factor


@dataclass(frozen=True)
class Rate:
    """So many a day; `working` where it counts only while the calendar is open (a day then is a working day)."""

    per_day: Number
    working: bool = False


def read_rate(value: object) -> Rate:
    """A rate from `12 per day`, `60 per week`, `8 to 10 per working day`."""
    if value == 0 and not isinstance(value, bool):
        return Rate(0.0)
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no rate; write for example '12 per day'")
    number_text, per, unit = value.partition(" per ")
    if not per:
        raise ValueError(f"'{value}' is no rate; write for example '12 per day' or '60 per week'")
    working = unit.strip() == "working day"
    days = 1.0 if working else _unit(unit, DAYS_IN, value)
    number = read_number(number_text.strip())
    if not isinstance(number, Uncertain) and number < 0:
        raise ValueError(f"'{value}': a rate can't be negative")
    return Rate(scaled(number, 1 / days), working)


@dataclass(frozen=True)
class Span:
    """A length of calendar time that starts somewhere: `2 quarters` from 1 October ends on 1 April."""

    count: float
    unit: str

    def days_from(self, start: date) -> float:
        """Its length in days when it begins on `start`."""
        months = {"month": 1, "quarter": 3, "year": 12}.get(self.unit)
        if months is None or self.count != int(self.count):
            return self.count * DAYS_IN[self.unit]
        return float((add_months(start, int(self.count) * months) - start).days)


def add_months(day: date, months: int) -> date:
    """The same day so many months on, or the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def read_span(value: object) -> Span:
    """A length such as `2 quarters` or `90 days`; 0 needs no unit."""
    if value == 0 and not isinstance(value, bool):
        return Span(0.0, "day")
    found = re.fullmatch(rf"({_NUMBER})\s*([A-Za-z]+)", value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{shown(value)} is no length of time; write for example '2 quarters' or '90 days'")
    size = _unit(found[2], DAYS_IN, str(value))
    count = _finite(found[1])
    if count < 0:
        raise ValueError(f"'{value}': a length of time can't be negative")
    if count * size > MAX_SPAN_YEARS * DAYS_PER_YEAR:
        raise ValueError(f"'{value}' is too long; allowed are {MAX_SPAN_YEARS} years")
    return Span(count, next(unit for unit, days in DAYS_IN.items() if days == size))


@dataclass(frozen=True)
class Interval:
    """low <= x < high."""

    low: float
    high: float


def read_interval(value: object, read: Callable[[object], Number]) -> Interval:
    """A range of a quantity: `1 h to 24 h`, `over 5`, `at least 3`, `under 3 days`, `up to 4`, or one value.

    `over` and `up to` are strict and inclusive as in speech: `over 5` leaves 5 out, `up to 5` takes it in.
    """
    if isinstance(value, str):
        for word, above, strict in (
            ("over ", True, True),
            ("at least ", True, False),
            ("under ", False, True),
            ("up to ", False, False),
        ):
            if value.startswith(word):
                edge = middle(read(value.removeprefix(word).strip()))
                if above:
                    return Interval(math.nextafter(edge, math.inf) if strict else edge, math.inf)
                return Interval(-math.inf, edge if strict else math.nextafter(edge, math.inf))
        ends = _ends(value)
        if ends:
            low, high = (middle(read(end)) for end in ends)
            if low >= high:
                raise ValueError(f"'{value}' runs backwards: write the smaller number first")
            return Interval(low, high)
    number = middle(read(value))
    return Interval(number, math.nextafter(number, math.inf))
