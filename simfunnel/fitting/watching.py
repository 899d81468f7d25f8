"""A history as the estimators need it: how long each deal was watched, and how many new ones came on each day.

Closings often follow the quarter: many in its last month, few in its first. A window of four months holds one end
of a quarter more than its share, and would make every deal look likelier to close. So each deal's time under watch
is split by calendar month, and counts such that first, second and third months of a quarter weigh the same in all;
where recent months forecast better, older ones count less.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.durations import Watched
from simfunnel.fitting.exposure import kind_of
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.pace import in_window
from simfunnel.fitting.phases import Phases
from simfunnel.fitting.visits import HERE, Ints, Visits

_FEWEST_GROUPS = 8  # months, or weeks, that share luck; with fewer, each deal has its own
_FEWEST_DAYS = 15  # of each month of a quarter that must have been seen, to weigh them alike
_WORTH_SAYING = 1.1  # ratio of weights


def spans(
    visits: Visits,
    stage: int,
    months: Floats,
    luck: Ints,
    *,
    half_life: float = math.inf,
    time: tuple[Floats, Floats] | None = None,
    phases: Phases | None = None,
) -> Watched:
    """The visits to one stage as they were watched, split by calendar month and weighted (see above).

    Args:
        visits: all visits.
        stage: the number of the stage.
        months: weights of the twelve months (see `month_weights`).
        luck: a number for each deal, equal for those that share luck (see `groups`).
        half_life: days after which a span of time counts half.
        time: nodes of a map from days to the time in which ages are counted; the clock's unless given.
        phases: what young and old deals do in the phases of a quarter; spans are split where that changes.
    """
    mine = np.flatnonzero(visits.stage == stage)
    entered, left, deal = visits.entered[mine], visits.left[mine], visits.deal[mine]
    goal = np.where(visits.goal[mine] == HERE, "open", visits.goal[mine])
    phases = phases or Phases({})
    parts = []
    for low, high, month, day in _periods(visits, phases):
        middle = (max(low, 0.0) + min(high, visits.end)) / 2
        weight = months[month - 1] * 0.5 ** ((visits.end - middle) / half_life)
        for young, old in itertools.pairwise((0.0, *phases.ages, math.inf)):
            begin, stop, here = _within(entered, left, (low, high), (young, old))
            outcome = np.where(left <= stop, goal, "open")
            hazard = [float(phases.on(kind_of(k), np.array([young]), day)[0, 0]) for k in visits.goals(stage)]
            fixed = np.full(len(here), weight), np.tile(hazard, (len(here), 1))
            parts.append((begin[here], stop[here], outcome[here], here, *fixed))
    starts, ends, outcomes, row, weights, hazards = (np.concatenate(column) for column in zip(*parts, strict=True))
    since = entered[row]
    born = (starts <= since) & (since >= 0)
    starts = np.maximum(starts, 0.0)
    if time is not None:
        starts, ends, since = (np.interp(x, *time) for x in (starts, ends, since))
    entry = np.where(born, -1.0, starts - since)
    stop = ends - since
    keep = stop > entry
    return Watched(
        entry=entry[keep],
        end=stop[keep],
        outcome=outcomes[keep].astype(str),
        group=luck[deal[row]][keep],
        deal=deal[row][keep],
        weight=weights[keep],
        ends=visits.goals(stage),
        hazard={k: hazards[keep, c] for c, k in enumerate(visits.goals(stage))} if phases.of else {},
    )


def _within(
    entered: Floats, left: Floats, days: tuple[float, float], ages: tuple[float, float]
) -> tuple[Floats, Floats, Ints]:
    """From when until when each visit lies within some days and ages, and which ones do."""
    (low, high), (young, old) = days, ages
    begin, stop = np.maximum(low, entered + young), np.minimum(np.minimum(left, high), entered + old)
    stays = (left > begin) & (np.maximum(begin, 0.0) < np.minimum(high, entered + old))
    at_once = (left == entered) & (low <= left) & (left < high) & (young == 0.0)
    return begin, stop, np.flatnonzero(stays | at_once)


def _periods(visits: Visits, phases: Phases) -> Iterator[tuple[float, float, int, pd.DatetimeIndex]]:
    """The history's months, cut where a window of the quarter begins or ends: from, to (days), month, a day in it."""
    first = pd.Timestamp(visits.origin).normalize()
    days = pd.date_range(first, first + pd.Timedelta(days=visits.end - 0.5), freq="D")
    inside = [in_window(days, phases.fiscal_year_ends, window) for window in phases.windows]
    kinds = np.column_stack([days.year * 12 + days.month, *inside])
    cuts = np.flatnonzero((kinds[1:] != kinds[:-1]).any(axis=1)) + 1
    bounds = [first.replace(day=1), *days[cuts], (days[-1] + pd.offsets.MonthBegin(1)).normalize()]
    for low, high in itertools.pairwise(bounds):
        here = max(low, first)
        yield visits.day(low), visits.day(high), here.month, pd.DatetimeIndex([here])


def groups(history: History) -> Ints:
    """A number for each deal, equal for those that share luck.

    Deals of one month of creation share luck if there are at least 8 such months, else those of one week, else each
    deal has its own.
    """
    for period in ("M", "W"):
        codes = history.deals["created"].dt.to_period(period).astype("category").cat.codes.to_numpy()
        if codes.max() + 1 >= _FEWEST_GROUPS:
            return np.asarray(codes, dtype=np.int64)
    return np.arange(len(history.deals))


def month_weights(visits: Visits, fiscal_year_ends: int) -> tuple[Floats, tuple[str, ...]]:
    """Weights of the twelve months, so that a quarter's first, second and third count alike, however often seen."""
    days = pd.date_range(visits.origin, periods=round(visits.end), freq="D")
    third = (np.arange(12) - fiscal_year_ends) % 3  # of its quarter that each month is
    seen = np.bincount(third[days.month - 1], minlength=3)
    if seen.min() < _FEWEST_DAYS:
        return np.ones(12), ()
    weights = seen.sum() / 3 / seen
    if weights.max() / weights.min() < _WORTH_SAYING:
        return weights[third], ()
    counts = ", ".join(f"{n}" for n in seen)
    said = (
        f"closings may follow the quarter: the days seen in its first, second and third months ({counts}) are weighted "
        "to count alike"
    )
    return weights[third], (said,)


def daily_counts(history: History, left_out: Floats | None = None) -> tuple[Floats, int]:
    """New deals on each day from the first that can be trusted to the as-of day, and the first one's weekday.

    Of deals created before closings are seen, those that closed early are missing, so they are not counted; nor are
    deals that were loaded at once, of which nobody knows when they came.
    `left_out` has 1 for each deal that is not to be counted, such as one that another brought, else 0.
    """
    days = pd.date_range(history.observed_from, history.as_of, freq="D")
    kept = ~history.loaded if left_out is None else ~history.loaded & (left_out == 0)
    created = history.deals.loc[kept, "created"].dt.normalize().value_counts()
    counts = created.reindex(days, fill_value=0).to_numpy(dtype=float)
    return counts, history.observed_from.weekday()
