"""What an analyst takes from a history: weekly totals, values of wins, how deals of each age close, and today's deals.

Only what the history holds is used, so nothing here can know more than was known on its as-of date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.numerics import Floats, Ints
from simfunnel.randomness import purpose

Draws = Callable[[str], np.random.Generator]
"""A generator for each name."""
WEEK = 7.0
LOOK_BACK = 13  # weeks over which rates are taken: a quarter, so that each part of one weighs the same
ENDS = ("won", "lost")


@dataclass(frozen=True)
class Past:
    """A history as arrays; times are in days before (negative) the first moment that is not known.

    Deals: `created`, `ended` (0 for open ones), `outcome`. Visits of deals (rows) to `stages` (numbers), in the order
    in which they were entered: `visitor`, `visited`, `entered`. `since` is when closings begin to be seen. `wins`,
    `bookings` and `news` are totals of whole weeks, the last one last. `values` are those of won deals. `open` are the
    rows of open deals, in the history's order, with their ages and values (NaN: unknown).
    """

    created: Floats
    ended: Floats
    outcome: np.ndarray
    stages: int
    visitor: Ints
    visited: Ints
    entered: Floats
    since: float
    wins: Floats
    bookings: Floats
    news: Floats
    values: Floats
    open: Ints
    open_ages: Floats
    open_values: Floats

    def stage_at(self, moment: float) -> Ints:
        """The stage of each deal at a moment: the last that it had entered."""
        stage = np.zeros(len(self.created), dtype=np.int64)
        before = self.entered <= moment
        stage[self.visitor[before]] = self.visited[before]  # the last of several counts
        return stage


def past_of(history: History) -> Past:
    """The past as a history has it."""
    deals = history.deals
    noon = 0.5 if history.whole_days else 0.0  # a day without a time stands for its noon
    created = _days(deals["created"], history.end, noon)
    outcome = deals["outcome"].to_numpy(dtype=str)
    is_open = outcome == "open"
    ended = np.where(is_open, 0.0, np.maximum(_days(deals["closed"], history.end, noon), created))
    since = float((pd.Timestamp(history.observed_from) - history.end).total_seconds()) / 86400
    won = outcome == "won"
    known = deals["value"].to_numpy(dtype=float)
    values = known[won & (known > 0)]
    amounts: Floats = np.where(np.isnan(known), values.mean() if len(values) else 1.0, known)
    weeks = max(int(-since // WEEK), 0)
    opened = history.open_deals()
    visitor, visited, entered = _visits(history, created, noon)
    return Past(
        created=created,
        ended=ended,
        outcome=outcome,
        stages=int(visited.max(initial=0)) + 1,
        visitor=visitor,
        visited=visited,
        entered=entered,
        since=since,
        wins=_by_week(ended[won], np.ones(int(won.sum())), weeks),
        bookings=_by_week(ended[won], amounts[won], weeks),
        news=_by_week(created, np.ones(len(created)), weeks),
        values=values if len(values) else np.ones(1),
        open=np.flatnonzero(is_open),
        open_ages=np.maximum(-created[is_open], 0.0),
        open_values=opened["value"].to_numpy(dtype=float),
    )


def _days(moments: pd.Series[Any], end: pd.Timestamp, noon: float) -> Floats:
    days = ((moments - end).dt.total_seconds() / 86400 + noon).clip(upper=0.0)
    return np.asarray(days, dtype=np.float64)


def _visits(history: History, created: Floats, noon: float) -> tuple[Ints, Ints, Floats]:
    """Deal, stage and time of each visit, by time; one a deal where the history knows no more."""
    table = getattr(history, "visits", None)
    if table is None or not len(table):
        return np.arange(len(created)), np.zeros(len(created), dtype=np.int64), created
    entered = _days(table["entered"], history.end, noon)
    order = np.argsort(entered, kind="stable")
    _, stage = np.unique(table["stage"].to_numpy(dtype=str), return_inverse=True)
    return table["deal"].to_numpy(dtype=np.int64)[order], stage.astype(np.int64)[order], entered[order]


def _by_week(times: Floats, amounts: Floats, weeks: int) -> Floats:
    """Amounts by week, weeks counted back from 0, the last week last."""
    back = np.ceil(-times / WEEK).astype(np.int64).clip(min=1) - 1
    here = back < weeks
    totals = np.bincount(back[here], amounts[here], minlength=weeks)[:weeks][::-1]
    return np.asarray(totals, dtype=np.float64)


def recent(weekly: Floats) -> Floats:
    """The weeks that tell today's rate."""
    return weekly[-LOOK_BACK:]


def bursts(weekly: Floats) -> float:
    """How many times the variance of a Poisson count the weekly totals have; at least 1.

    From the differences of neighbouring weeks, so that a slow trend is not taken for bursts.
    """
    if len(weekly) < 3 or weekly.mean() <= 0:
        return 1.0
    return max(1.0, float((np.diff(weekly) ** 2).mean()) / 2 / float(weekly.mean()))


def draws_of(*seed: int) -> Draws:
    """Generators by name, from one seed."""
    return lambda name: np.random.default_rng([*seed, purpose(name)])


def rates(weekly: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Draws of the mean of a week, gamma by the total of the recent weeks and their bursts."""
    seen, burst = recent(weekly), bursts(recent(weekly))
    return rng.gamma((seen.sum() + 0.5) / burst, burst / max(len(seen), 1), n)


def counts(means: Floats, burst: float, rng: np.random.Generator) -> Ints:
    """Whole numbers with these means and `burst` times a Poisson number's variance: a gamma mixture of Poisson."""
    if burst > 1:
        shape = np.maximum(means, 1e-9) / (burst - 1)
        means = np.asarray(rng.gamma(shape, burst - 1), dtype=np.float64)
    return np.asarray(rng.poisson(means), dtype=np.int64)


def worth(number: Ints, values: Floats, rng: np.random.Generator) -> Floats:
    """The sum of so many values, each drawn from those of past wins."""
    ends = np.cumsum(number)
    sums = np.concatenate([[0.0], np.cumsum(rng.choice(values, int(ends[-1]) if len(ends) else 0))])
    total: Floats = sums[ends] - sums[ends - number]
    return total


# --- how deals of each age close --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LifeTable:
    """By age: the share still open, and the shares won and lost, at the end of each week of age from 0 on.

    Rates of closing are constant within a week of age: closings over the days that deals of that age were under watch.
    So open deals count while they are open (censoring), and deals created before closings are seen count from their
    age on that day (delayed entry).
    """

    open: Floats
    won: Floats

    def at(self, curve: Floats, ages: Any) -> Floats:
        """A curve at any ages, linear within a week; flat beyond its end."""
        values: Floats = np.interp(ages, np.arange(len(curve)) * WEEK, curve)
        return values

    def won_between(self, ages: Floats, begin: float, after: float) -> Floats:
        """The chance of deals open at these ages to be won between so many days from now."""
        share = self.at(self.won, ages + after) - self.at(self.won, ages + begin)
        return share / np.maximum(self.at(self.open, ages), 1e-12)

    def closed_between(self, ages: Floats, begin: float, after: float) -> Floats:
        """The chance of deals open at these ages to close either way between so many days from now."""
        share = self.at(self.open, ages + begin) - self.at(self.open, ages + after)
        return share / np.maximum(self.at(self.open, ages), 1e-12)


def life_table(past: Past, lean: float = 20.0) -> LifeTable:
    """The life table of all deals; the rates of each week of age lean on the overall ones with `lean` deal-days."""
    since = np.maximum(past.since - past.created, 0.0)  # age at which it came under watch
    until = past.ended - past.created
    weeks = int(until.max(initial=0.0) // WEEK) + 1
    watched = np.array(
        [(np.minimum(until, WEEK * (w + 1)) - np.maximum(since, WEEK * w)).clip(min=0).sum() for w in range(weeks)]
    )
    seen = until >= since
    by_end = {}
    for end in ENDS:
        rows = seen & (past.outcome == end)
        closings = np.bincount((until[rows] // WEEK).astype(np.int64), minlength=weeks).astype(np.float64)
        overall = closings.sum() / max(float(watched.sum()), 1.0)
        by_end[end] = (closings + lean * overall) / (watched + lean)
    return _table(by_end["won"], by_end["lost"])


def _table(won: Floats, lost: Floats) -> LifeTable:
    """The life table of daily rates by week."""
    both = won + lost
    still = np.concatenate([[1.0], np.exp(-WEEK * np.cumsum(both))])
    ending = still[:-1] - still[1:]
    share = np.divide(won, both, out=np.zeros_like(won), where=both > 0)
    return LifeTable(still, np.concatenate([[0.0], np.cumsum(ending * share)]))
