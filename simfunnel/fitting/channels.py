"""New deals by channel: a rate for each, whose sum is as sure, and as unsure, as the rate of all.

The rate of all comes from `arrivals`. A channel's share of it is its share of what came lately: older weeks count less
only where shares so found forecast later weeks better (multinomial log score). How far shares wander beyond chance is
what the forecasts of past weeks were off by (moments), alike for all channels.

A channel's rate is written with the doubt that is its own: that of its count and of its wandering share. Such doubts
are drawn independently, so that their sum would be too narrow; what they lack is a factor that all channels share,
drawn once. The sum of the channels is taken as lognormal with the mean and variance that it has (Fenton 1960), and the
factor has the variance that is left to that of the total.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.arrivals import FEWEST_WEEKS, WEEKDAYS, Arrivals
from simfunnel.fitting.figures import Z95, Estimate, Floats, factor_estimate, shrunk_factor, values_of
from simfunnel.fitting.states import AHEAD

FEWEST = 30  # new deals that a channel must have had to be a source of its own
MOST = 20  # sources of their own
POOLED = "other channels"
GAIN = 3.0  # log score that forgetting, or patterns of their own, must gain
_HALF_LIVES = (math.inf, 104.0, 52.0, 26.0, 13.0, 6.0)  # weeks
_WANDERS = 0.25  # standard deviation of a share's logarithm where there are too few weeks to see it, as for the total
_SEEN = 0.5  # added to each count, so that no share is 0 (Jeffreys)


@dataclass(frozen=True)
class Channel:
    """New deals of one channel, or of several pooled: a day's rate, with the doubt of its own, and factors by weekday.

    `levels` has how many new deals each of its channels brought; one, unless it is a pool.
    """

    rate: Estimate
    weekday: dict[str, Estimate]
    levels: dict[str, int]


@dataclass(frozen=True)
class Channels:
    """New deals by channel: `attribute` is the column that tells it, `common` the factor that all rates share."""

    attribute: str
    sources: dict[str, Channel]
    common: Estimate
    assumptions: tuple[str, ...] = field(default=())


def fit_channels(history: History, arrivals: Arrivals, brought: Floats | None = None) -> Channels | None:
    """The channels as sources; None where no column tells them, or too few are large enough.

    Args:
        history: the deals; `history.channel` names the column.
        arrivals: the rate of all new deals that nobody brought.
        brought: 1 for each deal that another brought (it is not counted here), else 0; none unless given.
    """
    if not history.channel:
        return None
    deals = history.deals[~history.loaded if brought is None else ~history.loaded & (brought == 0)]
    fresh = deals[deals["created"] >= pd.Timestamp(history.observed_from)]
    counts = fresh[history.channel].value_counts()
    large = [str(name) for name, n in counts.items() if n >= FEWEST][:MOST]
    small = [str(name) for name in counts.index if str(name) not in large]
    if not large or len(large) + bool(small) < 2 or arrivals.rate.low <= 0:
        return None
    pool = unlike(POOLED, large)
    names = [*large, *([pool] if small else [])]
    which = fresh[history.channel].map({name: k for k, name in enumerate(large)}).fillna(len(large)).astype(int)
    days = (fresh["created"].dt.normalize() - pd.Timestamp(history.observed_from)).dt.days
    daily = np.zeros(((history.as_of - history.observed_from).days + 1, len(names)))
    np.add.at(daily, (days.to_numpy(), which.to_numpy()), 1.0)
    shares = _shares(daily)
    rates, common, doubt = _rates(arrivals.rate, shares)
    weekday, own = _weekdays(daily, history.observed_from.weekday(), arrivals.weekday, shares.share)
    totals = daily.sum(axis=0)
    found = {}
    for k, name in enumerate(names):
        low, high = rates[k] * math.exp(-Z95 * doubt[k]), rates[k] * math.exp(Z95 * doubt[k])
        rate = Estimate(rates[k], low, high, "its share of all new deals, with the doubt of its own", int(totals[k]))
        levels = {level: int(counts[level]) for level in (small if k == len(large) else [name])}
        found[name] = Channel(rate, weekday[k], levels)
    return Channels(history.channel, found, common, (_in_words(history.channel, large, counts, shares, own),))


def unlike(name: str, others: Collection[str]) -> str:
    """The name, with ` (channel)` appended until none of the others is called so.

    >>> unlike("web", ["fair"]), unlike("web", ["web", "web (channel)"])
    ('web', 'web (channel) (channel)')
    """
    while name in others:
        name = f"{name} (channel)"
    return name


def _in_words(attribute: str, large: list[str], counts: pd.Series[int], shares: _Shares, own: bool) -> str:
    """What was found."""
    left = counts.drop(large)
    few = int((left < FEWEST).sum())
    beyond = f"{len(left) - few} beyond the {MOST} largest" if len(left) > few else ""
    why = [beyond, f"{few} with fewer than {FEWEST} deals" if few else ""]
    pooled = f"; {' and '.join(filter(None, why))} are pooled" if len(left) else ""
    half = shares.half_life
    recent = "" if math.isinf(half) else f"; weeks count half after {half:.0f}, which forecast later shares better"
    week = "; their weekdays differ" if own else ""
    return f"new deals are told by {attribute}: {len(large)} channels are sources of their own{pooled}{recent}{week}"


# --- shares -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shares:
    """Each channel's share of new deals, the number of deals that it rests on, and how far shares wander (variance)."""

    share: Floats
    deals: float
    wanders: float
    half_life: float


def _shares(daily: Floats) -> _Shares:
    """The shares over the coming weeks."""
    full = len(daily) // 7
    if full < 2 * FEWEST_WEEKS:
        share, n = _weighted(daily, math.inf)
        return _Shares(share, n, _WANDERS**2, math.inf)
    weeks = daily[len(daily) - 7 * full :].reshape(full, 7, -1).sum(axis=1)
    ahead = min(AHEAD, full // 4)
    starts = range(full - ahead, max(full // 3, 1) - 1, -ahead)
    scores = {half: sum(_score(weeks, t, ahead, half) for t in starts) for half in _HALF_LIVES}
    best = max(scores, key=lambda half: scores[half])
    half_life = best if scores[best] > scores[math.inf] + GAIN else math.inf
    beyond = size = 0.0
    for t in starts:
        share, n = _weighted(weeks[:t], half_life)
        came = weeks[t : t + ahead].sum(axis=0)
        total = came.sum()
        chance = total * share * (1 - share) * (1 + total / n)
        beyond += float(((came - total * share) ** 2 - chance).sum())
        size += float((total * share * (1 - share)) @ (total * share))
    share, n = _weighted(weeks, half_life)
    wanders = max(beyond / max(size, 1e-9), 0.0) * AHEAD / ahead  # a random walk's variance grows with the time ahead
    return _Shares(share, n, min(wanders, 1.0), half_life)


def _weighted(counts: Floats, half_life: float) -> tuple[Floats, float]:
    """The shares with older rows counting less, and how many deals they are worth."""
    weight = 0.5 ** (np.arange(len(counts))[::-1] / half_life)
    totals = counts.sum(axis=1)
    seen = weight @ counts + _SEEN
    deals = float((weight @ totals) ** 2 / max(float(weight**2 @ totals), 1e-9))
    share: Floats = seen / seen.sum()
    return share, max(deals, 1.0)


def _score(weeks: Floats, t: int, ahead: int, half_life: float) -> float:
    """The log score of the weeks from t on, with the shares found before."""
    share, _ = _weighted(weeks[:t], half_life)
    return float(weeks[t : t + ahead].sum(axis=0) @ np.log(share))


# --- rates ------------------------------------------------------------------------------------------------------------


def _rates(total: Estimate, shares: _Shares) -> tuple[Floats, Estimate, Floats]:
    """Each channel's rate, the factor that all share, and the standard deviation of each one's own logarithm.

    Where own doubts alone would exceed the total's, they are lessened: the total is known at least so well.
    """
    share = shares.share
    middle = math.sqrt(total.low * total.high)  # the median of what a scenario draws between the two ends
    wanted = (math.log(total.high / total.low) / (2 * Z95)) ** 2
    own = 1 / (shares.deals * share) + shares.wanders * (1 - share)
    while _sum_of(share, own)[1] > wanted:
        own = own * 0.95
    median, variance = _sum_of(share, own)
    spread = math.sqrt(max(wanted - variance, 0.0))
    how = "the doubt of the rate of all new deals beyond those of its channels"
    return middle * share / median, factor_estimate(0.0, spread, how, total.n), np.sqrt(own)


def _sum_of(share: Floats, own: Floats) -> tuple[float, float]:
    """Median and variance of the logarithm of a sum of lognormals with these medians and variances (Fenton 1960)."""
    means = share * np.exp(own / 2)
    mean = float(means.sum())
    variance = math.log1p(float(means**2 @ np.expm1(own)) / mean**2)
    return mean * math.exp(-variance / 2), variance


# --- weekdays ---------------------------------------------------------------------------------------------------------


def _weekdays(
    daily: Floats, first_weekday: int, whole: dict[str, Estimate], share: Floats
) -> tuple[list[dict[str, Estimate]], bool]:
    """Each channel's factors by weekday, and whether they are its own.

    They are where those of the first half of the history forecast the second half better than those of the whole.
    Channels are held against what their share of each weekday's deals would be, and shrunk to it as far as chance
    explains the difference. In the sum they leave the weekdays as they are for all.
    """
    day = (first_weekday + np.arange(len(daily))) % 7
    half = len(daily) // 2
    f, _ = _against_whole(daily[:half], day[:half])
    seen, due = _by_weekday(daily[half:], day[half:])
    if len(daily) < 4 * 7 or float((seen * np.log(f) - due * (f - 1)).sum()) <= GAIN:
        return [whole] * daily.shape[1], False
    base = np.array([*values_of(whole).values()] or [1.0] * 7)
    against, doubt = _against_whole(daily, day)
    mine = against * base
    mine = mine / mine.mean(axis=1, keepdims=True)
    mine = mine * (base / np.maximum(share @ mine, 1e-9))
    mine = mine / mine.mean(axis=1, keepdims=True)
    of_all = np.array([(one.high - one.value) / Z95 for one in whole.values()] or [0.0] * 7)
    errors = np.sqrt((mine * doubt) ** 2 + (mine / np.maximum(base, 1e-9) * of_all) ** 2)
    how, seen = "mean of that day, shrunk to that of all channels", _by_weekday(daily, day)[0]
    return [
        {
            name: shrunk_factor(float(x), float(e), how, int(n))
            for name, x, e, n in zip(WEEKDAYS, *of_channel, strict=True)
        }
        for of_channel in zip(mine, errors, seen, strict=True)
    ], True


def _by_weekday(daily: Floats, day: np.ndarray) -> tuple[Floats, Floats]:
    """The deals of each channel on each weekday, and what its share of that weekday's deals would be."""
    seen: Floats = np.stack([np.bincount(day, column, minlength=7) for column in daily.T]).astype(float)
    due: Floats = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0) / max(seen.sum(), 1.0)
    return seen, due


def _against_whole(daily: Floats, day: np.ndarray) -> tuple[Floats, Floats]:
    """Factors on each channel's weekdays against the whole, shrunk to 1 (gamma), and their relative standard errors."""
    seen, due = _by_weekday(daily, day)
    real = max(float(((seen - due) ** 2 - due).sum() / max(float((due**2).sum()), 1e-9)), 1e-4)
    return (seen + 1 / real) / (due + 1 / real), 1 / np.sqrt(seen + 1 / real)


__all__ = ["FEWEST", "POOLED", "Channel", "Channels", "fit_channels", "unlike"]
