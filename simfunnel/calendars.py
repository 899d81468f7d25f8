"""Working time: which hours of which days are open, as a map between clock time and hours of work.

A calendar never makes events: a task of h hours that begins at t ends where the map has risen by h.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from simfunnel.errors import not_among

if TYPE_CHECKING:
    from simfunnel.numerics import Floats, Maps

_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
LONGEST_NIGHT = 16  # hours; a range over midnight that lasts so long has its ends the wrong way round
DAYS = tuple(name[:3] for name in _DAY_NAMES)
MONTHS = tuple(name[:3] for name in _MONTH_NAMES)


@dataclass(frozen=True)
class Calendar:
    """Open hours, the same on every open day: pairs of clock hours such as (9.0, 17.0).

    Hours beyond 24 are those of the next day: a shift over midnight, (22.0, 30.0), belongs to the day of its begin.
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    hours: tuple[tuple[float, float], ...] = ((9.0, 17.0),)
    holidays: frozenset[date] = frozenset()

    def is_open(self, day: date) -> bool:
        """Whether anyone works on this day."""
        return day.weekday() in self.days and day not in self.holidays

    @property
    def hours_a_day(self) -> float:
        """Hours of an open day."""
        return sum(end - begin for begin, end in self.hours)

    @property
    def over_midnight(self) -> float:
        """Hours of the next day until which the work of an open day goes on."""
        return max((end - 24 for _, end in self.hours if end > 24), default=0.0)

    def clock(self) -> str:
        """The hours in words.

        >>> Calendar(hours=((9.0, 12.25), (22.0, 30.0))).clock()
        '09:00-12:15, 22:00-06:00'
        """
        return ", ".join(f"{_clock(begin)}-{_clock(end - 24 if end > 24 else end)}" for begin, end in self.hours)


ALWAYS = Calendar(days=tuple(range(7)), hours=((0.0, 24.0),))


def _clock(hour: float) -> str:
    minutes = round(60 * hour)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def read_days(text: object) -> tuple[int, ...]:
    """Weekdays (Monday is 0) from `Mon-Fri`, `Mon, Wed, Fri` or a list of names."""
    parts = text if isinstance(text, (list, tuple)) else re.split(r"\s*,\s*", str(text))
    days: set[int] = set()
    for part in parts:
        ends = [_day(name) for name in str(part).split("-")]
        if len(ends) > 2:
            raise ValueError(f"'{part}' is no range of days; write for example 'Mon-Fri'")
        first, last = ends[0], ends[-1]
        days.update((first + k) % 7 for k in range((last - first) % 7 + 1))
    return tuple(sorted(days))


def _day(name: str) -> int:
    return _position(name, "weekday", _DAY_NAMES)


def read_month(name: object) -> int:
    """A month's number (January is 1) from its English name, or the first three letters of it or more."""
    return _position(str(name), "month", _MONTH_NAMES) + 1


def _position(word: str, what: str, names: tuple[str, ...]) -> int:
    """Which of the names begins with this word, of three letters or more."""
    word = word.strip()
    for k, name in enumerate(names):
        if len(word) >= 3 and name.lower().startswith(word.lower()):
            return k
    raise ValueError(not_among(word, what, [name[:3] for name in names]))


def read_hours(value: object) -> tuple[tuple[float, float], ...]:
    """Open hours from `09:00-17:00`, `09:00-12:00, 13:00-17:00`, `22:00-06:00` or a list of such ranges."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    ranges = []
    for part in parts:
        found = re.fullmatch(r"\s*(\d{1,2}):([0-5]\d)\s*-\s*(\d{1,2}):([0-5]\d)\s*", str(part))
        if not found:
            raise ValueError(f"'{part}' is no range of hours; write for example \"09:00-17:00\", in quotes")
        begin, end = int(found[1]) + int(found[2]) / 60, int(found[3]) + int(found[4]) / 60
        over = end < begin < 24 and end + 24 - begin < LONGEST_NIGHT
        if not over and not 0 <= begin < end <= 24:
            raise ValueError(
                f"'{part}': hours must rise and lie within 00:00 to 24:00, or go on over midnight for less than "
                f"{LONGEST_NIGHT} hours, as 22:00-06:00"
            )
        ranges.append((begin, end + 24 if over else end))
    ranges.sort()
    again = [(a + 24, b + 24) for a, b in ranges[:1]]  # the next day's first, after a shift over midnight
    if any(b[0] < a[1] for a, b in itertools.pairwise([*ranges, *again])):
        raise ValueError(f"'{value}': the ranges overlap")
    return tuple(ranges)


@lru_cache(maxsize=64)
def public_holidays(region: str, years: tuple[int, ...]) -> frozenset[date]:
    """The public holidays of a country (`US`) or a part of one (`DE-BY`). Raises ValueError where it is unknown."""
    import holidays

    country, _, part = region.partition("-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some countries' are known for some years only
        try:
            return frozenset(holidays.country_holidays(country, subdiv=part or None, years=years))
        except NotImplementedError:
            known = holidays.list_supported_countries(include_aliases=True)  # asked only now: it reads all countries
    if country not in known:
        raise ValueError(f"'{region}' is no country code that has holidays; write for example 'US', 'GB' or 'DE-BY'")
    raise ValueError(not_among(part, f"part of {country}", known[country]))


def work_map(calendar: Calendar, start: date, days: int, pace: Callable[[date], float]) -> tuple[Floats, Floats]:
    """Nodes of the map from clock time (days since `start`) to hours of work done, over so many days.

    `pace` tells the hours of work done in an open hour of a day (selling time, speed and ramp together).
    """
    if calendar == ALWAYS and days > 0 and len({pace(start + timedelta(days=d)) for d in range(days)}) == 1:
        return np.array([0.0, float(days)]), np.array([0.0, 24.0 * days * pace(start)])
    x, y = [0.0], [0.0]
    for d in range(-1 if calendar.over_midnight > 0 else 0, days):
        day = start + timedelta(days=d)
        speed = pace(day) if calendar.is_open(day) else 0.0
        if speed <= 0:
            continue
        for begin, end in calendar.hours:
            begin, end = max(begin, -24.0 * d), min(end, 24.0 * (days - d))  # what lies within
            if begin >= end:
                continue
            if d + begin / 24 > x[-1]:
                x.append(d + begin / 24)
                y.append(y[-1])
            x.append(d + end / 24)
            y.append(y[-1] + (end - begin) * speed)
    if x[-1] < days:
        x.append(float(days))
        y.append(y[-1])
    return np.array(x), np.array(y)


def quarter_of(day: date, fiscal_year_ends: int) -> tuple[date, date]:
    """The fiscal quarter of a day: its first day, and the first day of the next."""
    into = (day.month - fiscal_year_ends - 1) % 3
    months = day.year * 12 + day.month - 1 - into
    first = date(months // 12, months % 12 + 1, 1)
    return first, date((months + 3) // 12, (months + 3) % 12 + 1, 1)


class MapPacker:
    """Collects monotone maps and packs them for `numerics`; equal ones share a place."""

    def __init__(self) -> None:
        self._maps: list[tuple[Floats, Floats]] = []
        self._place: dict[bytes, int] = {}

    def add(self, x: Floats, y: Floats) -> int:
        """The number by which the engines know this map."""
        content = x.tobytes() + b"|" + y.tobytes()
        if content not in self._place:
            self._place[content] = len(self._maps)
            self._maps.append((x, y))
        return self._place[content]

    def pack(self) -> Maps:
        """All of them, in the order in which they were added."""
        from simfunnel.numerics import Maps

        sizes = [len(x) for x, _ in self._maps]
        return Maps(
            start=np.cumsum([0, *sizes])[:-1].astype(np.int64) if sizes else np.zeros(0, np.int64),
            size=np.array(sizes, dtype=np.int64),
            x=np.concatenate([x for x, _ in self._maps]) if sizes else np.zeros(0),
            y=np.concatenate([y for _, y in self._maps]) if sizes else np.zeros(0),
        )
