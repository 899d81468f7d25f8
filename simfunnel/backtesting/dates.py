"""The as-of dates of a backtest: through the history, where enough is known before and something comes after."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np

from simfunnel.calendars import quarter_of
from simfunnel.crm.importing import Export, History
from simfunnel.errors import InputError
from simfunnel.forecasting.windows import Window, windows_after

FEWEST_CLOSINGS = 60
"""Won and lost deals that must be known before the first date, unless it is named."""
_AT_LEAST = 10  # closings below which no date is fitted, named or not
_EVERY = re.compile(r"(?:(\d+)\s+)?(week|month|quarter)s?")


def as_of_dates(
    export: Export, whole: History, every: str, first: date | None, fiscal_year_ends: int
) -> tuple[date, ...]:
    """The dates on which forecasts are made, each with at least one window whose whole end is in the data.

    They begin a third into the time in which closings are seen, or once 60 deals had closed, whichever is later; or on
    `first`. Weeks are counted from there; months and quarters end on their last days. Where an export has snapshots,
    each date is that of the last one by then.

    Raises InputError where `every` can't be read, or the history is too short for even one date.
    """
    closed = whole.deals["closed"].dropna().sort_values()
    if first is None:
        if len(closed) < FEWEST_CLOSINGS:
            raise InputError(
                f"{export.name}: only {len(closed)} deals have closed, too few for a backtest; it needs "
                f"{FEWEST_CLOSINGS} before the first date (name the date with --from to try with fewer)"
            )
        enough = closed.iloc[FEWEST_CLOSINGS - 1].date()
        third = whole.observed_from + (export.last - whole.observed_from) / 3
        begin = max(enough, third)
    else:
        begin = first
        known = int((closed.dt.date <= first).sum())
        if known < _AT_LEAST:
            raise InputError(f"{export.name}: by {first} only {known} deals had closed; name a later date")
    stepped = dict.fromkeys(export.known_by(d) for d in _stepped(begin, export.last, every, fiscal_year_ends))
    dates = tuple(d for d in stepped if seen(d, export, fiscal_year_ends))
    if not dates:
        raise InputError(
            f"{export.name}: too short a history for a backtest: the first date would be {begin}, and the data end on "
            f"{export.last}, before four weeks or the quarter are over; name an earlier date with --from"
        )
    return dates


def seen(as_of: date, export: Export, fiscal_year_ends: int) -> tuple[Window, ...]:
    """The windows after a date whose whole length is in the data."""
    end = export.last + timedelta(days=1)
    return tuple(window for window in windows_after(as_of, fiscal_year_ends) if window.after <= end)


def _stepped(begin: date, last: date, every: str, fiscal_year_ends: int) -> list[date]:
    """Every so often from `begin` to `last`."""
    read = _EVERY.fullmatch(every.strip().lower())
    number = int(read[1] or 1) if read else 0
    if not read or not number:
        raise InputError(f"'{every}' is no step between dates; write week, 4 weeks, month or quarter")
    if read[2] == "week":
        return [begin + timedelta(weeks=int(k)) for k in np.arange(0, (last - begin).days // 7 + 1, number)]
    ends = []
    day = begin
    while day <= last:
        after = quarter_of(day, fiscal_year_ends)[1] if read[2] == "quarter" else _next_month(day)
        if after - timedelta(days=1) <= last:
            ends.append(after - timedelta(days=1))
        day = after
    return ends[::number]


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
