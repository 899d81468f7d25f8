"""At which ages deals close, told by snapshots alone: each shows only that a deal closed since the one before.

The chance of each outcome at each age is found by expectation and maximisation (Turnbull 1976): where in its gap each
closing may lie follows from the chances, and these follow from where the closings lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
OUTCOMES = ("lost", "won")
_FINE = 8  # steps of age in a gap between snapshots
_FINE_GAPS = 2  # gaps of age that have such steps; later ones grow
_GROWTH = 1.3
_IMAGINED = 5.0  # deals at each age that close as all do: they keep an age of few deals from a chance of 0 or 1
_ROUNDS = 100
_MORE = 1.2  # times as many closings, from which on the ages are looked at anew


@dataclass(frozen=True)
class Ages:
    """The share of all deals that have closed by each of some ages, from 0 on, by outcome."""

    ages: Floats
    closed: Mapping[str, Floats]

    def by(self, age: Floats, outcome: str) -> Floats:
        """The share that has closed so by an age."""
        return np.interp(age, self.ages, self.closed[outcome])

    def open_at(self, age: Floats) -> Floats:
        """The share still open at an age."""
        return 1 - sum((self.by(age, outcome) for outcome in self.closed), np.zeros_like(age))

    def at(self, low: Floats, high: Floats, share: Floats, outcome: str) -> Floats:
        """The age by which a share of those that close so between two ages has done it; even where none is known to."""
        begin, stop = self.by(low, outcome), self.by(high, outcome)
        found = np.interp(begin + share * (stop - begin), self.closed[outcome], self.ages)
        known = (stop - begin > 1e-9) & (high <= self.ages[-1])
        return np.where(known, np.clip(found, low, high), low + share * (high - low))


@dataclass(frozen=True)
class Lives:
    """Deals as snapshots show them, all in days, with the outcome (one of `OUTCOMES`) of those that closed.

    A deal is shown from `shown` on, and watched from `since` on. It was open at `last`, where it was not closed when it
    was first shown, and closed at `seen` (infinity for one still open).
    """

    shown: Floats
    born: Floats
    since: Floats
    last: Floats
    seen: Floats
    outcome: NDArray[np.str_]

    def until(self, day: float) -> Lives:
        """The same as they were known on a day."""
        here = self.shown <= day
        return Lives(
            shown=self.shown[here],
            born=self.born[here],
            since=self.since[here],
            last=np.minimum(self.last[here], day),
            seen=np.where(self.seen[here] <= day, self.seen[here], np.inf),
            outcome=self.outcome[here],
        )

    def ages(self, gap: float) -> Ages | None:
        """At which ages they close, for snapshots so far apart; None where none has."""
        closed = np.isfinite(self.seen)
        if not closed.any():
            return None
        entry, low = np.maximum(self.since - self.born, 0.0), np.maximum(self.last - self.born, 0.0)
        high = np.where(closed, self.seen - self.born, low)
        edges = _edges(gap, float(high.max()))
        middles = (edges[1:] + edges[:-1]) / 2
        begin, start = np.searchsorted(middles, entry), np.searchsorted(middles, low)
        start = np.minimum(start, len(middles) - 1)
        stop = np.maximum(np.searchsorted(middles, high), start + 1)
        kind = np.searchsorted(OUTCOMES, self.outcome)
        steps = np.arange(len(middles))
        watched = ((begin[:, None] <= steps) & (steps < start[:, None])).sum(axis=0)
        spans, count = np.unique(np.column_stack([kind, start, stop])[closed], axis=0, return_counts=True)
        chances = _chances(watched.astype(float), spans, count.astype(float))
        there = np.cumprod(np.concatenate([[1.0], 1 - chances.sum(axis=0)]))[:-1]
        sums = np.pad(np.cumsum(there * chances, axis=1), ((0, 0), (1, 0)))
        return Ages(edges, dict(zip(OUTCOMES, sums, strict=True)))


def _chances(watched: Floats, spans: NDArray[np.int64], count: Floats) -> Floats:
    """The chance of each outcome in each step of age, of the deals that reach it: an array (outcomes, steps).

    `watched` deals were open throughout a step. `spans` have an outcome, and the first step and the one after the last
    in which so many (`count`) came to it.
    """
    kind, first, last = spans.T
    steps = np.arange(len(watched))
    within = (steps >= first[:, None]) & (steps < last[:, None])
    is_kind = kind == np.arange(len(OUTCOMES))[:, None]
    mean = (is_kind * count).sum(axis=1) / (watched.sum() + (count * (last - first)).sum() / 2 + count.sum())
    chance = np.repeat(mean[:, None], len(steps), axis=1)
    for _ in range(_ROUNDS):
        there = np.cumprod(np.concatenate([[1.0], 1 - chance.sum(axis=0)]))[:-1]
        each = within * (there * chance)[kind] + 1e-300 * within
        each *= (count / each.sum(axis=1))[:, None]
        at_risk = watched + np.cumsum(each[:, ::-1], axis=1)[:, ::-1].sum(axis=0, where=within)
        chance = (is_kind @ each + _IMAGINED * mean[:, None]) / (at_risk + _IMAGINED)
    return chance


def _edges(gap: float, oldest: float) -> Floats:
    """Bounds of steps of age: fine up to two gaps, then wider and wider."""
    edges = list(np.arange(_FINE * _FINE_GAPS + 1) * gap / _FINE)
    while edges[-1] < oldest:
        edges.append(edges[-1] + (edges[-1] - edges[-2]) * _GROWTH)
    return np.array(edges)


def as_known(snapshots: Floats, lives: Lives) -> Iterator[tuple[float, Ages | None]]:
    """The ages at each snapshot, from what it and those before it show; found anew where they show a fifth more."""
    found, enough = None, 1.0
    for place, day in enumerate(snapshots):
        closed = int((lives.seen <= day).sum())
        if place and closed >= enough:
            found = lives.until(day).ages(gap=float(np.median(np.diff(snapshots[: place + 1]))))
            enough = _MORE * closed
        yield float(day), found


__all__ = ["OUTCOMES", "Ages", "Floats", "Lives", "as_known"]
