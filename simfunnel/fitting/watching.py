"""A history as the estimators need it: how long each deal was watched, and how many new ones came on each day.

Closings often follow the quarter: many in its last month, few in its first. A window of four months holds one end
of a quarter more than its share, and would make every deal look likelier to close. So each deal's time under watch
is split by calendar month, and counts such that first, second and third months of a quarter weigh the same in all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.durations import Watched
from simfunnel.fitting.figures import Floats

_FEWEST_GROUPS = 8  # months, or weeks, that share luck; with fewer, each deal has its own
_FEWEST_DAYS = 15  # of each month of a quarter that must have been seen, to weigh them alike
_WORTH_SAYING = 1.1  # ratio of weights


def watched(history: History) -> tuple[Watched, tuple[str, ...]]:
    """The deals as they were watched, split by calendar month and weighted (see above), and what to say about that.

    Ages are in days. Deals of one month of creation share luck (are one group) if there are at least 8 such months,
    else those of one week, else each deal has its own.
    """
    deals = history.deals
    end = (
        _days(deals["closed"] - deals["created"]).fillna(history.age(history.end)).clip(lower=0.0).to_numpy(dtype=float)
    )
    first = history.age(pd.Timestamp(history.observed_from)).to_numpy(dtype=float)
    entry = np.where(first > 0, first, -1.0)
    weights, said = _month_weights(history)
    outcome = deals["outcome"].to_numpy(dtype=str)
    parts = []
    for month in pd.period_range(history.observed_from, history.as_of, freq="M"):
        low = history.age(month.start_time).to_numpy(dtype=float)
        high = history.age((month + 1).start_time).to_numpy(dtype=float)
        here = np.flatnonzero((end > low) & (entry < high) & (high > 0))
        parts.append(
            (
                np.where(low > entry, np.maximum(low, -1.0), entry)[here],
                np.minimum(end, high)[here],
                np.where(end <= high, outcome, "open")[here],
                here,
                np.full(len(here), weights[(month.month - 1) % 3]),
            )
        )
    starts, ends, outcomes, deal, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = ends > starts
    return Watched(
        starts[keep], ends[keep], outcomes[keep], _groups(history)[deal[keep]], deal[keep], weight[keep]
    ), said


def _days(spans: pd.Series[pd.Timedelta]) -> pd.Series[float]:
    days: pd.Series[float] = spans.dt.total_seconds() / 86400
    return days


def _groups(history: History) -> np.ndarray:
    """A number for each deal, equal for those that share luck."""
    for period in ("M", "W"):
        codes = history.deals["created"].dt.to_period(period).astype("category").cat.codes.to_numpy()
        if codes.max() + 1 >= _FEWEST_GROUPS:
            return np.asarray(codes, dtype=np.int64)
    return np.arange(len(history.deals))


def _month_weights(history: History) -> tuple[Floats, tuple[str, ...]]:
    """Weights of the first, second and third month of a quarter that make up for how many days of each were seen."""
    days = pd.date_range(history.observed_from, history.as_of, freq="D")
    seen = np.bincount((days.month - 1) % 3, minlength=3)
    if seen.min() < _FEWEST_DAYS:
        return np.ones(3), ()
    weights: Floats = seen.sum() / 3 / seen
    if weights.max() / weights.min() < _WORTH_SAYING:
        return weights, ()
    counts = ", ".join(f"{n}" for n in seen)
    said = (
        f"closings may follow the quarter: the days seen in its first, second and third months ({counts}) are weighted "
        "to count alike"
    )
    return weights, (said,)


def daily_counts(history: History) -> tuple[Floats, int]:
    """New deals on each day from the first that can be trusted to the as-of day, and the first one's weekday.

    Of deals created before closings are seen, those that closed early are missing, so they are not counted.
    """
    days = pd.date_range(history.observed_from, history.as_of, freq="D")
    created = history.deals["created"].dt.normalize().value_counts()
    counts = created.reindex(days, fill_value=0).to_numpy(dtype=float)
    return counts, history.observed_from.weekday()
