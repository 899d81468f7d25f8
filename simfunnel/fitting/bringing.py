"""Who brings whom, from which stage on, how many and when: the referrals of a history.

Each entry to the stage begins a time of bringing: a number that is Poisson (or mixed by a gamma inclination) with mean
m, each after a time of its own with distribution F. Watched from age a to b, an entry has brought m (F(b) - F(a)) on
the average so far, and its referrals at ages t have the likelihood

    product of m f(t) times exp(-m (F(b) - F(a))),   or with a gamma mixture of shape r
    product of m f(t) times Gamma(r + n) / Gamma(r) r^r / (r + m (F(b) - F(a)))^(r + n)

(a Poisson process watched for a time; Lawless 1987, "Regression methods for Poisson process data"). m, the mean and the
spread of F are its maximum; the interval of m is that of its profile, which grows as less of F has been seen. F is a
gamma distribution, or a lognormal one where that is clearly likelier. Times are known to the day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import gammainc, gammaln, ndtr

from simfunnel.crm.bringers import BROUGHT_BY
from simfunnel.crm.importing import History
from simfunnel.fitting.figures import Estimate, Floats, sensible
from simfunnel.fitting.referrals import Referrals, fit_referrals
from simfunnel.fitting.visits import WON, Ints

FEWEST = 20  # referrals below which nothing is fitted
GAIN = 3.0  # log likelihood that a lognormal must gain over a gamma distribution
_FROM_HERE = 0.9  # share of referrals that must come after the entry to a stage, for it to be where they come from
_PROFILE = 2.7055 / 2  # the loss of log likelihood at the ends of a central 90% interval
_SPREADS = (math.log(0.2), math.log(3.0))  # of F's standard deviation over its mean
_STEPS = 5  # towards each end of an interval
_WIDEST = 5.0  # how far the logarithm of the mean may lie from its estimate
_MONTH = 365.25 / 12
_MONTHS = 12  # for which what earlier ones still bring is told


@dataclass(frozen=True)
class Timing:
    """How long after entering the stage each referral comes: `gamma` or `lognormal`, its mean (days) and spread."""

    kind: str
    mean: Estimate
    cv: Estimate

    def share(self, age: Floats) -> Floats:
        """The share that has come by an age in days."""
        return _share(self.kind, np.asarray(age, dtype=float), self.mean.value, self.cv.value)


@dataclass(frozen=True)
class Bringing:
    """Referrals: from which stage ('won' or an open one), how many, when.

    `brought` has 1 for each deal of the history that another brought, else 0. `coming` is how many a day those who
    left the stage before the end still bring, in each of the next months (first day, number).
    """

    stage: str
    referrals: Referrals
    timing: Timing
    brought: Floats = field(repr=False)
    coming: tuple[tuple[int, float], ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Watch:
    """Entries to a stage, each watched from one age to another (days), and the referrals: whose, and at what age."""

    first: Floats
    last: Floats
    by: Ints
    age: Floats

    @property
    def counts(self) -> Floats:
        """How many each entry has brought."""
        return np.bincount(self.by, minlength=len(self.last)).astype(float)


def fit_bringing(history: History) -> tuple[Bringing | None, tuple[str, ...]]:
    """The referrals of a history, and what to say of them; None where it doesn't tell them, or too few."""
    if BROUGHT_BY not in history.deals or not history.deals[BROUGHT_BY].notna().any():
        return None, ()
    told = int(history.deals[BROUGHT_BY].notna().sum())
    stage, entries, by = _stage(history)
    brought = (by >= 0).astype(float)
    watch, inside = _watched(history, entries, by)
    if inside < FEWEST:
        return None, (f"only {told:,} deals were brought by another, too few to fit: they count as ordinary new ones",)
    timing, referrals = _fitted(watch)
    place = "they are won" if stage == WON else f"they enter '{stage}'"
    value, low, high = (f"{x:.2g}" for x in (referrals.mean.value, referrals.mean.low, referrals.mean.high))
    said = [
        f"referrals: {int(brought.sum()):,} deals were brought after {place}; each such deal brings {value} in the "
        f"end ({low} to {high}), after {timing.mean.value:.3g} days on the average; they are not among the new deals "
        "of other sources"
    ]
    if told > brought.sum():
        said.append(f"{told - int(brought.sum()):,} that came before that count as ordinary new deals")
    seen = float(timing.share(watch.last).mean())
    if seen < 0.5:
        said.append(f"referrals have had little time: only {seen:.0%} of them are seen, the rest is the fitted curve's")
    gone = entries["gone"].to_numpy()
    coming = _coming(watch, timing, referrals, gone)
    return Bringing(stage, referrals, timing, brought, coming, tuple(said)), ()


# --- who and when -----------------------------------------------------------------------------------------------------


def _stage(history: History) -> tuple[str, pd.DataFrame, Ints]:
    """The last stage after whose entry nearly all referrals come; its entries, and whose entry brought each deal.

    A deal that no entry before it explains has -1.
    """
    best: tuple[str, pd.DataFrame, Ints] | None = None
    told = int(history.deals[BROUGHT_BY].notna().sum())
    for stage in (WON, *reversed(history.stages)):
        entries = _entries(history, stage)
        by = _brought(history, entries)
        found = int((by >= 0).sum())
        if best is None or found > int((best[2] >= 0).sum()):
            best = stage, entries, by
        if found >= _FROM_HERE * told:
            return stage, entries, by
    assert best is not None
    return best


def _entries(history: History, stage: str) -> pd.DataFrame:
    """The entries to a stage: the deal's id, when, and whether it is no open deal there any more."""
    deals = history.deals
    if stage == WON:
        won = deals[deals["outcome"] == "won"]
        table = pd.DataFrame({"id": won["id"], "at": won["closed"], "gone": True})
    else:
        visits = history.visits[history.visits["stage"] == stage]
        ids = deals["id"].to_numpy()[visits["deal"]]
        table = pd.DataFrame({"id": ids, "at": visits["entered"].to_numpy(), "gone": visits["left"].notna().to_numpy()})
    return table.sort_values("at", kind="stable", ignore_index=True)


def _brought(history: History, entries: pd.DataFrame) -> Ints:
    """The entry (a row) that brought each deal, the last before it, or -1."""
    deals = history.deals
    left = pd.DataFrame({"row": np.arange(len(deals)), "id": deals[BROUGHT_BY], "at": deals["created"]}).dropna()
    by = np.full(len(deals), -1, dtype=np.int64)
    if left.empty or entries.empty:
        return by
    right = entries.assign(entry=np.arange(len(entries)))
    left, right = (t.astype({"id": "str", "at": "datetime64[us]"}) for t in (left, right))
    if history.whole_days:
        left["at"], right["at"] = left["at"].dt.normalize(), right["at"].dt.normalize()
    found = pd.merge_asof(left.sort_values("at", kind="stable"), right[["id", "at", "entry"]], on="at", by="id")
    known = found[found["entry"].notna()]
    by[known["row"].to_numpy()] = known["entry"].to_numpy().astype(np.int64)
    return by


def _watched(history: History, entries: pd.DataFrame, by: Ints) -> tuple[_Watch, int]:
    """The entries as they were watched, and how many referrals came while they were."""
    at = entries["at"]
    half = 0.5 if history.whole_days else 0.0  # an entry on a day counts from its noon
    last = ((history.end - at).dt.total_seconds() / 86400 - half).to_numpy()
    first = ((pd.Timestamp(history.observed_from) - at).dt.total_seconds() / 86400 - half).to_numpy()
    born = history.deals["created"]
    mine = (by >= 0) & (born >= pd.Timestamp(history.observed_from)).to_numpy()
    rows = by[mine]
    age = (born[mine].to_numpy() - at.to_numpy()[rows]) / np.timedelta64(1, "D")
    watch = _Watch(np.maximum(first, 0.0), np.maximum(last, 1e-3), rows, np.asarray(age, dtype=float))
    return watch, len(rows)


# --- the fit ----------------------------------------------------------------------------------------------------------


def _share(kind: str, age: Floats, mean: float, cv: float) -> Floats:
    """The distribution function of a gamma or lognormal distribution with a mean and a spread over it."""
    x = np.maximum(age, 0.0)
    if kind == "gamma":
        found: Floats = np.asarray(gammainc(1 / cv**2, x / (mean * cv**2)), dtype=np.float64)
        return found
    variance = math.log1p(cv**2)
    with np.errstate(divide="ignore"):
        logs = np.log(x)
    below: Floats = ndtr((logs - math.log(mean) + variance / 2) / math.sqrt(variance))
    return below


def _loss(watch: _Watch, kind: str, shape: float, log_number: float, log_mean: float, log_cv: float) -> float:
    """Minus the log likelihood."""
    mean, cv = math.exp(log_mean), math.exp(log_cv)
    due = math.exp(log_number) * (_share(kind, watch.last, mean, cv) - _share(kind, watch.first, mean, cv))
    day = _share(kind, watch.age + 0.5, mean, cv) - _share(kind, watch.age - 0.5, mean, cv)
    when = len(watch.age) * log_number + float(np.log(np.maximum(day, 1e-12)).sum())
    if math.isinf(shape):
        return float(due.sum()) - when
    n = watch.counts
    mixed = gammaln(shape + n) - gammaln(shape) + shape * math.log(shape) - (shape + n) * np.log(shape + due)
    return -float(mixed.sum()) - when


@dataclass(frozen=True)
class _Best:
    """The likeliest logarithms of number, mean and spread, and minus the log likelihood there."""

    at: tuple[float, float, float]
    loss: float


def _best(watch: _Watch, kind: str, shape: float, fixed: dict[int, float], start: tuple[float, float, float]) -> _Best:
    """The likeliest numbers, some of them fixed. A mean beyond the longest watch can't be told from it."""
    longest = math.log(max(float(watch.last.max()), 2.0))
    bounds = [(-12.0, 6.0), (math.log(0.2), longest), _SPREADS]
    free = [k for k in range(3) if k not in fixed]

    def full(x: Floats) -> tuple[float, float, float]:
        """All three logarithms."""
        values = {**dict(enumerate(start)), **fixed, **{k: float(v) for k, v in zip(free, x, strict=True)}}
        return values[0], values[1], values[2]

    begin = np.array([min(max(start[k], bounds[k][0]), bounds[k][1]) for k in free])
    limits = [bounds[k] for k in free]

    def loss(x: Floats) -> float:
        return _loss(watch, kind, shape, *full(x))

    found = minimize(loss, begin, method="L-BFGS-B", bounds=limits)
    return _Best(full(found.x), float(found.fun))


def _fitted(watch: _Watch) -> tuple[Timing, Referrals]:
    """When and how many."""
    rough = max(float(watch.age.mean()), 1.0)
    start = (math.log(max(len(watch.age) / len(watch.last), 1e-3)), math.log(rough), 0.0)
    tried = {kind: _best(watch, kind, math.inf, {}, start) for kind in ("gamma", "lognormal")}
    kind = "lognormal" if tried["lognormal"].loss < tried["gamma"].loss - GAIN else "gamma"
    best, shape = tried[kind], math.inf
    share = _share(kind, watch.last, *np.exp(best.at[1:])) - _share(kind, watch.first, *np.exp(best.at[1:]))
    counted = fit_referrals(watch.counts, share)
    if not math.isinf(counted.shape):
        shape = counted.shape
        best = _best(watch, kind, shape, {}, best.at)
    number, mean, cv = (_profile(watch, kind, shape, best, k) for k in (0, 1, 2))
    n = len(watch.last)
    how = "likeliest, counting the time that each has had"
    timing = Timing(kind, *(replace(one, how=how, n=len(watch.age)) for one in (mean, cv)))
    return timing, replace(counted, mean=replace(number, how=how, n=n), shape=shape)


def _profile(watch: _Watch, kind: str, shape: float, best: _Best, which: int) -> Estimate:
    """One of the numbers with the ends of its central 90% interval, where the likeliest others lose so much."""

    def lost(log: float) -> float:
        return _best(watch, kind, shape, {which: log}, best.at).loss - best.loss

    ends = []
    for side in (-1.0, 1.0):
        step = 0.1
        for _ in range(_STEPS):  # the loss grows about as the square of the distance
            step = min(
                step * min(max(math.sqrt(_PROFILE / max(lost(best.at[which] + side * step), 1e-9)), 0.3), 3.0), _WIDEST
            )
        ends.append(math.exp(best.at[which] + side * step))
    return Estimate(math.exp(best.at[which]), ends[0], ends[1])


# --- what is still to come --------------------------------------------------------------------------------------------


def _coming(watch: _Watch, timing: Timing, found: Referrals, gone: np.ndarray) -> tuple[tuple[int, float], ...]:
    """How many a day those who left the stage still bring, month by month: (first day from now, number a day).

    Who has brought more than others brings more (the gamma mixture's mean given the count); those still in the stage
    are open deals, of which the simulation knows.
    """
    due = found.mean.value * (timing.share(watch.last) - timing.share(watch.first))
    number = np.full(len(due), found.mean.value)
    if not math.isinf(found.shape):
        number = number * (found.shape + watch.counts) / (found.shape + due)
    steps = []
    for k in range(_MONTHS):
        first, last = round(k * _MONTH), round((k + 1) * _MONTH)
        share = timing.share(watch.last + last) - timing.share(watch.last + first)
        steps.append((first, float((number * share)[gone].sum()) / (last - first)))
    return (*steps, (round(_MONTHS * _MONTH), 0.0))


def dated(coming: tuple[tuple[int, float], ...], start: date) -> dict[str, str]:
    """The rates of what is still to come, by date, as a scenario writes them."""
    return {(start + timedelta(days=day)).isoformat(): f"{sensible(_MONTH * rate):g} per month" for day, rate in coming}


__all__ = ["FEWEST", "Bringing", "Timing", "dated", "fit_bringing"]
