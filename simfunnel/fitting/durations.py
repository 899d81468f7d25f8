"""How deals end and how long it takes: censored, left-truncated competing risks.

A deal is watched from the age it had when closings began to be seen (0 for one created later: delayed entry) to its
closing, or to its age at the as-of date if it is still open (censoring). The Aalen-Johansen estimator then gives,
for each way to end, the chance to have ended that way by each age (the cumulative incidence F_k); S is the share
still open.

The mixture form that a scenario takes: a deal leaves by exit k with chance p_k = F_k(end), and if so, after a time
with distribution F_k / p_k; with chance S(end) it never closes.

**Is the never-closing share known?** Only if deals were watched well beyond the oldest closing. Let E be the days
so watched, by all deals, with none closing; h the rate of closing in the last part of the curve. The rate beyond is
then exponential with mean 1 / (1 / h + E) (one closing's worth of prior weight on h, none seen in E). What would
close within another such span at that rate is moved from "never" to the exits, in proportion to late closings; if E
is small the interval widens accordingly.

Sources: Aalen & Johansen (1978); delayed entry as in Andersen, Borgan, Gill & Keiding (1993), section IV.1; the
first ages with very few deals at risk are passed over as in Lai & Ying (1991).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simfunnel.fitting.figures import Estimate, Floats, QuantileTable, chance_estimate, few_groups, quantile_table
from simfunnel.formatting import counted

ENDS = ("won", "lost")
NEVER = "never"
PRIOR_WEIGHT = 2.0  # of a deal with each end equally likely; matters where few have ended
FEW_CLOSINGS = 20  # below so many of one kind, its times lean on those of all closings
_FIRST_AT_RISK = 5  # ages with fewer deals at risk are passed over while more are still to enter
_LATE = 0.75  # the last quarter of all closings tells how fast they still come
_WIDE = 1.0  # sd of the logarithm of a time that no closing tells
_TAIL_MATTERS = 0.005  # a share to close beyond the oldest closing below this leaves the times alone
_DRAWS = 400
_NOBODY = 1e-9  # share still open that is none
_LEAST_EXPOSED = 0.1  # of those at risk, however slow their days are


@dataclass(frozen=True)
class Watched:
    """Spans of time for which deals were watched, one or several a deal: all arrays have one entry a span.

    `entry` and `end` are ages in days (entry -1 for a deal watched from its birth), `outcome` is how the span ended
    ('open' if the deal didn't end with it), `group` numbers deals that share luck, `deal` says whose span it is, and it
    counts `weight` times. `ends` are the ways to end. `hazard` has, by way to end, what the hazard of each span is
    multiplied by; 1 where nothing is said.
    """

    entry: Floats
    end: Floats
    outcome: NDArray[np.str_]
    group: NDArray[np.int64]
    deal: NDArray[np.int64]
    weight: Floats
    ends: tuple[str, ...] = ENDS
    hazard: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def whole(cls, entry: Floats, end: Floats, outcome: NDArray[np.str_]) -> Watched:
        """Each deal watched for one span, each for itself, each counting once."""
        number = np.arange(len(end))
        return cls(entry, end, outcome, number, number, np.ones(len(end)))

    @property
    def deals(self) -> int:
        """How many deals there are."""
        return len(np.unique(self.deal))


@dataclass(frozen=True)
class Curves:
    """Aalen-Johansen curves at the ages where something closed."""

    ages: Floats
    at_risk: Floats
    open_share: Floats
    ended: Mapping[str, Floats]

    @property
    def never(self) -> float:
        """The share still open after the oldest closing."""
        return float(self.open_share[-1]) if len(self.ages) else 1.0

    def chance(self, end: str) -> float:
        """The share that ended so."""
        return float(self.ended[end][-1]) if len(self.ages) else 0.0


@dataclass(frozen=True)
class Durations:
    """Chances of each end and of never closing, and the time of each end in days."""

    chances: dict[str, Estimate]
    never: Estimate
    times: dict[str, QuantileTable]
    medians: dict[str, Estimate]
    assumptions: tuple[str, ...] = field(default=())


class _Layout:
    """The deals sorted once, so that curves for many sets of weights are quick."""

    def __init__(self, watched: Watched) -> None:
        closed = watched.outcome != "open"
        self.ages = np.unique(watched.end[closed])
        self.by_entry = np.argsort(watched.entry, kind="stable")
        self.by_end = np.argsort(watched.end, kind="stable")
        self.entered = np.searchsorted(watched.entry[self.by_entry], self.ages, "left")
        self.left = np.searchsorted(watched.end[self.by_end], self.ages, "left")
        self.closings = {k: np.flatnonzero(watched.outcome == k) for k in watched.ends}
        self.at = {k: np.searchsorted(self.ages, watched.end[rows]) for k, rows in self.closings.items()}
        self.hazard = watched.hazard
        plain = self._at_risk(np.ones(len(watched.end)))
        later = np.maximum.accumulate(plain[::-1])[::-1]
        self.used = ~((plain < min(_FIRST_AT_RISK, later.max(initial=0) / 10)) & (later > plain))

    def _at_risk(self, weights: Floats) -> Floats:
        """Weight of the deals that had entered before each age and had not ended before it."""
        entered = np.concatenate([[0.0], np.cumsum(weights[self.by_entry])])
        ended = np.concatenate([[0.0], np.cumsum(weights[self.by_end])])
        at_risk: Floats = entered[self.entered] - ended[self.left]
        return at_risk

    def curves(self, weights: Floats) -> Curves:
        """The curves where span i counts `weights[i]` times."""
        at_risk = self._at_risk(weights)
        hazards = {}
        for k, at in self.at.items():
            exposed = at_risk
            if k in self.hazard:  # a few deals whose exits rest must not stand for all of their age
                exposed = np.maximum(self._at_risk(weights * self.hazard[k]), _LEAST_EXPOSED * at_risk)
            sure = np.where(exposed > 1e-12, exposed, 1.0)
            hazards[k] = np.where(self.used, np.bincount(at, weights[self.closings[k]], len(self.ages)) / sure, 0.0)
        every = np.sum(list(hazards.values()), axis=0)
        total = np.minimum(every, 1.0)
        hazards = {k: hazard * np.where(every > 1.0, 1 / np.maximum(every, 1.0), 1.0) for k, hazard in hazards.items()}
        open_share: Floats = np.cumprod(1 - total)
        before = np.concatenate([[1.0], open_share[:-1]])
        ended = {k: np.cumsum(before * hazard) for k, hazard in hazards.items()}
        return Curves(self.ages, at_risk, open_share, ended)


def aalen_johansen(watched: Watched) -> Curves:
    """The cumulative incidence of each end and the share still open, at each age of a closing.

    At an age, a deal is at risk if it entered before it and did not end before it; at ties closings come before
    censoring.
    """
    return _Layout(watched).curves(watched.weight)


@dataclass(frozen=True)
class _Beyond:
    """Beyond the oldest closing: the days watched there, and how fast and how deals closed just before."""

    oldest: float
    watched_days: float
    late_rate: float
    shares: dict[str, float]
    followed: int

    def closing_share(self, rate: float | Floats) -> Floats:
        """The share of what is left that closes within another span as long, at a rate a day."""
        return np.asarray(1 - np.exp(-np.asarray(rate) * self.oldest))

    @property
    def expected(self) -> float:
        """The mean of `closing_share` over the rate, which is exponential with mean 1 / (1 / h + E)."""
        weight = 1 / self.late_rate + self.watched_days
        return self.oldest / (self.oldest + weight)


def _beyond(watched: Watched, curves: Curves) -> _Beyond:
    closed = watched.outcome != "open"
    oldest = max(float(curves.ages[-1]), 0.5)
    start = float(np.quantile(watched.end[closed], _LATE))
    late = closed & (watched.end >= start)
    days = np.clip(np.minimum(watched.end, oldest) - np.maximum(watched.entry, start), 0, None).sum()
    rate = float(late.sum()) / max(float(days), 0.5)
    counts = {k: float((late & (watched.outcome == k)).sum()) + 0.5 for k in watched.ends}
    total = sum(counts.values())
    past: Floats = np.clip(watched.end - np.maximum(watched.entry, oldest), 0, None)
    followed = len(np.unique(watched.deal[past > 0]))
    return _Beyond(oldest, float(past.sum()), rate, {k: c / total for k, c in counts.items()}, followed)


def fit_durations(
    watched: Watched,
    *,
    whole_days: bool = True,
    seed: int = 1,
    own_time: Mapping[str, Watched] | None = None,
    draws: int = _DRAWS,
) -> Durations:
    """Chances and times of each end, with central 90% intervals.

    Intervals come from `draws` draws: groups of deals weighted at random (a Bayesian bootstrap: exponential weights),
    the rate of closing beyond the oldest one drawn, and a weak prior (a Dirichlet of total weight 2, every end
    equally likely) added. `whole_days` spreads a closing on day d evenly from d - 0.5 to d + 0.5. `own_time` has the
    same deals with ages in the time of an end that runs at a pace of its own. Raises ValueError for no deals.
    """
    if not len(watched.end):
        raise ValueError("no deals")
    closings = int((watched.outcome != "open").sum())
    rng = np.random.default_rng(seed)
    if not closings:
        return _nothing_closed(watched, rng)
    layout = _Layout(watched)
    curves = layout.curves(watched.weight)
    beyond = _beyond(watched, curves)
    known = closings + beyond.followed
    ends, sorts = watched.ends, len(watched.ends) + 1
    point = _shrunk(_completed(curves, beyond, beyond.expected), known, np.full(sorts, PRIOR_WEIGHT / sorts))
    chances: list[Floats] = []
    medians: dict[str, list[float]] = {k: [] for k in ends}
    groups, member = np.unique(watched.group, return_inverse=True)
    for _ in range(draws):
        weights = rng.standard_exponential(len(groups))[member]
        drawn = layout.curves(watched.weight * weights)
        rate = rng.standard_exponential() / (1 / beyond.late_rate + beyond.watched_days)
        prior = rng.standard_gamma(PRIOR_WEIGHT / sorts, sorts)
        chances.append(_shrunk(_completed(drawn, beyond, float(beyond.closing_share(rate))), known, prior))
        for k in ends:
            if drawn.chance(k) > 0:
                medians[k].append(float(np.interp(0.5, drawn.ended[k] / drawn.chance(k), drawn.ages)))
    drawn_chances = np.array(chances)
    stretch = few_groups(len(groups)) if 1 < len(groups) < watched.deals else 1.0
    how = f"Aalen-Johansen with delayed entry; {counted(len(groups), 'group')} of deals reweighted"
    found = {
        name: chance_estimate(float(point[i]), drawn_chances[:, i], how, watched.deals, stretch)
        for i, name in enumerate((*ends, NEVER))
    }
    times = _times(watched, curves, beyond, whole_days=whole_days)
    for k, own in (own_time or {}).items():
        its_curves = _Layout(own).curves(own.weight)
        times[k] = _time(own, its_curves, _beyond(own, its_curves), k, whole_days=whole_days)
    counts = {k: len(layout.closings[k]) for k in ends}
    return Durations(
        chances={k: found[k] for k in ends},
        never=found[NEVER],
        times=times,
        medians={k: _median(times[k], medians[k], counts[k]) for k in ends},
        assumptions=_said(curves, beyond, counts),
    )


def _completed(curves: Curves, beyond: _Beyond, closing: float) -> Floats:
    """Chances of won, lost and never, with a share of what is left after the oldest closing closing later."""
    extra = curves.never * closing
    return np.array([*(curves.chance(k) + extra * share for k, share in beyond.shares.items()), curves.never - extra])


def _shrunk(chances: Floats, known: int, prior: Floats) -> Floats:
    """Chances from so many deals of known end, with prior weights added."""
    weight = chances * known + prior
    shares: Floats = weight / weight.sum()
    return shares


def _median(table: QuantileTable, draws: list[float], n: int) -> Estimate:
    middle = float(table.at(0.5))
    if n < FEW_CLOSINGS or not draws:
        low, high = float(table.at(0.05)), float(table.at(0.95))
        return Estimate(middle, low, high, "from very few closings: the interval is that of a single deal's time", n)
    low, high = np.quantile(draws, [0.05, 0.95])
    return Estimate(middle, min(float(low), middle), max(float(high), middle), "Aalen-Johansen, deals reweighted", n)


# --- times ------------------------------------------------------------------------------------------------------------


def _times(watched: Watched, curves: Curves, beyond: _Beyond, *, whole_days: bool) -> dict[str, QuantileTable]:
    """The time of each end as a quantile table."""
    return {k: _time(watched, curves, beyond, k, whole_days=whole_days) for k in watched.ends}


def _time(watched: Watched, curves: Curves, beyond: _Beyond, k: str, *, whole_days: bool) -> QuantileTable:
    """The time of one end as a quantile table."""
    half = 0.5 if whole_days else 0.0
    masses = {end: np.diff(curves.ended[end], prepend=0.0) for end in watched.ends}
    pooled = np.asarray(sum(masses.values()))
    tail = beyond.expected * curves.never
    closed = np.log(np.maximum(watched.end[watched.outcome != "open"], 0.5))
    n = int((watched.outcome == k).sum())
    mass = masses[k] / masses[k].sum() if masses[k].sum() > 0 else 0 * pooled
    lean = max(0.0, 1 - n / FEW_CLOSINGS)
    mass = mass * (1 - lean) + pooled / pooled.sum() * lean if pooled.sum() > 0 else pooled
    parts = [_spread(curves.ages, mass, half)]
    weights = [1.0]
    if tail > _TAIL_MATTERS * (1 - curves.never):
        later = beyond.oldest * (1 + (np.arange(10) + 0.5) / 10)
        share = tail * beyond.shares[k] / max(curves.chance(k), 1e-9)
        parts.append(_spread(later, np.full(10, 0.1), beyond.oldest / 20))
        weights.append(min(share, 1.0))
    if len(closed) < FEW_CLOSINGS:
        parts.append(_lognormal(float(closed.mean()), max(float(closed.std()), _WIDE)))
        weights.append(PRIOR_WEIGHT / len(closed))
    return quantile_table(*_mixed(parts, weights))


def _spread(ages: Floats, mass: Floats, half: float) -> tuple[Floats, Floats]:
    """A distribution function (ages, shares) with each mass spread evenly over `half` a day to both sides.

    With `half` 0 it is linear between the ages.
    """
    kept = mass > 0
    if half == 0:
        first = ages[kept][:1]
        return np.concatenate([first, ages[kept]]), np.concatenate([[0.0], np.cumsum(mass[kept]) / mass.sum()])
    low, high = np.maximum(ages[kept] - half, 0.0), ages[kept] + half
    after = np.cumsum(mass[kept]) / mass.sum()
    before = np.concatenate([[0.0], after[:-1]])
    return np.column_stack([low, high]).ravel(), np.column_stack([before, after]).ravel()


def _lognormal(mean: float, sd: float) -> tuple[Floats, Floats]:
    """A lognormal's distribution function between its 0.5% and 99.5% quantiles, by the logarithm's mean and sd."""
    from scipy.special import ndtri

    shares = np.linspace(0.005, 0.995, 199)
    return np.exp(mean + sd * ndtri(shares)), (shares - 0.005) / 0.99


def _mixed(parts: list[tuple[Floats, Floats]], weights: list[float]) -> tuple[Floats, Floats]:
    """The quantile function (shares, ages) of a weighted mixture of distribution functions."""
    if len(parts) == 1:
        return parts[0][1], parts[0][0]
    ages = np.unique(np.concatenate([np.concatenate([a, np.nextafter(a, -np.inf)]) for a, _ in parts]))
    ages = ages[ages >= 0]
    total = sum(weights)
    shares = sum(
        w / total * np.interp(ages, a, s, left=0.0, right=1.0) for w, (a, s) in zip(weights, parts, strict=True)
    )
    return np.maximum.accumulate(np.asarray(shares)), ages


# --- words and weak answers -------------------------------------------------------------------------------------------


def _said(curves: Curves, beyond: _Beyond, counts: dict[str, int]) -> tuple[str, ...]:
    """What the reader should know about how far the data carry."""
    said = []
    due = beyond.late_rate * beyond.watched_days
    if due >= 3:
        said.append(
            f"a deal older than {beyond.oldest:.0f} days never closes: {beyond.followed:,} deals were watched beyond "
            f"that age, {beyond.watched_days:,.0f} days in all, and none closed, where the pace just before would have "
            f"closed {due:,.0f}"
        )
    elif curves.never < _NOBODY:
        total = sum(counts.values())
        said.append(
            f"every deal had left by the age of {beyond.oldest:.3g} days ({counted(total, 'exit')}): that some might "
            "stay for good is a weak prior's doubt, not seen in the history"
        )
    else:
        said.append(
            f"deals were hardly watched beyond the oldest closing ({beyond.oldest:.0f} days), so how many never close "
            f"is not well known: of the {curves.never:.0%} open at that age, {beyond.expected:.0%} are "
            "taken to close later, and the intervals are widened"
        )
    few = [f"{n} {k}" for k, n in counts.items() if n < FEW_CLOSINGS]
    if few:
        said.append(
            f"few closings ({', '.join(few)}): times lean on those of all closings, and chances on a weak prior "
            f"(weight of {PRIOR_WEIGHT:g} deals, won, lost and never equally likely)"
        )
    return tuple(said)


def _nothing_closed(watched: Watched, rng: np.random.Generator) -> Durations:
    """Where no deal has closed: the prior alone, and times of about the oldest open age."""
    ends, sorts = watched.ends, len(watched.ends) + 1
    oldest = max(float(watched.end.max()), 1.0)
    table = quantile_table(*_lognormal(np.log(oldest), _WIDE)[::-1])
    draws = rng.dirichlet(np.full(sorts, PRIOR_WEIGHT / sorts), 10_000)
    how = "no deal has closed: a weak prior, every end equally likely"
    found = [chance_estimate(1 / sorts, draws[:, i], how, 0) for i in range(sorts)]
    median = Estimate(float(table.at(0.5)), float(table.at(0.05)), float(table.at(0.95)), how, 0)
    said = (
        f"no deal has closed, so the data say nothing of chances: won, lost and never are equally likely, within wide "
        f"intervals; a closing takes about as long as the oldest open deal is old ({oldest:.0f} days), give or take a "
        "factor of 5. Replace these numbers by what you know",
    )
    return Durations(
        chances=dict(zip(ends, found[:-1], strict=True)),
        never=found[-1],
        times=dict.fromkeys(ends, table),
        medians=dict.fromkeys(ends, median),
        assumptions=said,
    )
