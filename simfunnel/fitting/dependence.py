"""On what the chance to go forward depends: source, segment, owner, value.

Among the deals that leave a stage at an age, the share that goes forward is known from the hazards at that age; a level
of an attribute multiplies its odds by exp(b). Each b is found with a normal prior around 0 whose variance is what the
levels differ by beyond chance (moments; a penalised likelihood, in which small levels lean on the whole). Where nothing
is ever lost, so that every exit goes forward, b multiplies the hazard instead. An attribute is taken only if what was
found on earlier exits forecasts later ones better, in each case on top of the attributes taken before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfunnel.crm.importing import History
from simfunnel.fitting.exposure import Exposure
from simfunnel.fitting.figures import Z95, Estimate, Floats
from simfunnel.fitting.slowness import band_names
from simfunnel.fitting.visits import HERE, WON, Ints, Visits

GAIN = 3.0  # log score that an attribute must gain on later exits
FEWEST = 80  # exits of a stage below which nothing is looked for
MOST = 3  # attributes taken in one stage
SMALL = 0.04  # effects on the logarithm of odds below this are not written
OWNER, VALUE = "member", "value"
_BLOCKS = 5  # spans of time with as many exits each; each but the first is forecast from those before it
_BANDS = (0.2, 0.4, 0.6, 0.8)  # of values
_HANDED_ON = 0.05  # share of deals with several owners above which the last one is no cause
_KNOWN = 0.9  # of values, in every outcome, that must be known for value to be looked at


@dataclass(frozen=True)
class Dependence:
    """Factors on the odds of going forward from `stage` for deals of a level of an attribute (or member, or value)."""

    stage: str
    attribute: str
    levels: dict[str, Estimate]
    gain: float


@dataclass(frozen=True)
class _Leavings:
    """Spans of visits to one stage, cut into blocks of time: did it go forward, what was to be expected.

    `binary` says whether each span is a draw between forward and not (its exit), or a count (no exit is not forward).
    """

    deal: Ints
    block: Ints
    forward: Floats
    base: Floats  # log-odds of going forward, or logarithm of the expected number
    binary: bool

    def mean(self, shift: Floats) -> Floats:
        """What to expect with the logarithm shifted."""
        mean: Floats = 1 / (1 + np.exp(-(self.base + shift))) if self.binary else np.exp(self.base + shift)
        return mean

    def score(self, shift: Floats) -> Floats:
        """The log score of each span."""
        mean = self.mean(shift)
        if self.binary:
            score: Floats = np.where(self.forward > 0, np.log(mean), np.log1p(-mean))
            return score
        counted: Floats = self.forward * (self.base + shift) - mean
        return counted


def fit_dependence(history: History, visits: Visits, table: Exposure, members: list[str]) -> tuple[Dependence, ...]:
    """What the odds depend on, stage by stage; empty where nothing forecasts better."""
    kinds = _attributes(history, members)
    found: list[Dependence] = []
    for s, name in enumerate(visits.stages):
        leavings = _leavings(visits, table, s)
        if leavings is None or leavings.forward.sum() < FEWEST / 4:
            continue
        shift = np.zeros(len(leavings.deal))
        left = dict(kinds)
        for _ in range(MOST):
            gains = {a: _gain(leavings, shift, codes[leavings.deal], len(n)) for a, (codes, n) in left.items()}
            best = max(gains, key=lambda a: gains[a], default="")
            if not best or gains[best] < GAIN:
                break
            codes, levels = left.pop(best)
            mine = codes[leavings.deal]
            effect, error = _effects(leavings, shift, mine, len(levels), np.ones(len(mine), dtype=bool))
            shift = shift + np.append(effect, 0.0)[mine]
            counts = np.bincount(mine[mine >= 0], minlength=len(levels))
            how = "odds of going forward against the whole, shrunk; forecasts later exits better"
            share = 0.0 if leavings.binary else _share_gone(visits, s)
            factors = {}
            for k, level in enumerate(levels):
                value, low, high = (_as_odds(effect[k] + z * error[k], share) for z in (0.0, -Z95, Z95))
                factors[level] = Estimate(value, low, high, how, int(counts[k]))
            found.append(Dependence(name, best, factors, gains[best]))
    return tuple(found)


def _share_gone(visits: Visits, stage: int) -> float:
    """The share of visits to a stage, begun in the first half of the history, that have ended."""
    mine = (visits.stage == stage) & (visits.entered < visits.end / 2)
    return float((visits.goal[mine] != HERE).mean()) if mine.any() else 0.5


def _as_odds(log: float, share: float) -> float:
    """The factor on odds that multiplies a chance of `share` by exp(log); exp(log) itself on odds (share 0)."""
    ratio = float(np.exp(log))
    chance = min(ratio * share, 0.95)
    return ratio if share <= 0 else max(ratio * (1 - share) / (1 - chance), 1e-3)


def _attributes(history: History, members: list[str]) -> dict[str, tuple[Ints, list[str]]]:
    """Each attribute's level of each deal as a number (-1 for none), and the levels' names."""
    deals = history.deals
    found = {}
    for name in history.attributes:
        levels = sorted(deals[name].unique())
        found[name] = (pd.Index(levels).get_indexer(pd.Index(deals[name])).astype(np.int64), [str(v) for v in levels])
    if len(members) > 1 and _owners_stay(history):
        found[OWNER] = (pd.Index(members).get_indexer(pd.Index(deals["owner"])).astype(np.int64), members)
    bands = _value_bands(deals)
    if bands is not None:
        found[VALUE] = bands
    return found


def _owners_stay(history: History) -> bool:
    """Whether who has a deal says nothing of how far it came.

    In a log of events it is who did the last task, which gives away where the deal went; so it does wherever deals are
    handed on.
    """
    if history.tasks is not None:
        return False
    owners = history.visits.groupby("deal")["owner"].nunique()
    return float((owners > 1).mean()) <= _HANDED_ON


def _value_bands(deals: pd.DataFrame) -> tuple[Ints, list[str]] | None:
    """Bands of values, as conditions name them; None where values are not known alike for all outcomes."""
    known = (deals["value"] > 0).groupby(deals["outcome"]).mean()
    if not len(known) or known.min() < _KNOWN:
        return None
    value = deals["value"].to_numpy(dtype=float)
    edges = np.unique([float(f"{x:.2g}") for x in np.nanquantile(value, _BANDS)])
    if len(edges) < 2:
        return None
    codes = np.where(value > 0, np.searchsorted(edges, value, side="right"), -1).astype(np.int64)
    return codes, band_names([f"{edge:g}" for edge in edges])


def _leavings(visits: Visits, table: Exposure, stage: int) -> _Leavings | None:
    """The spans of one stage; None where too few left it, or all went forward at once."""
    mine = np.flatnonzero(visits.stage == stage)
    goal, left, entered = visits.goal[mine], visits.left[mine], visits.entered[mine]
    gone = goal != HERE
    if gone.sum() < FEWEST:
        return None
    later = set(visits.stages[stage + 1 :]) | {WON}
    forward = np.isin(goal, list(later))
    exits = [x for x, (s, _) in enumerate(table.exits) if s == stage]
    ahead = np.array([table.exits[x][1] in later for x in exits])
    factors = np.ones((len(table.exits), len(table.days), 1))
    hazards, edges = table.hazards(factors)[exits], table.edges[stage]
    rising, falling = hazards[ahead].sum(axis=0), hazards[~ahead].sum(axis=0)
    cuts = np.quantile(left[gone], np.linspace(0, 1, _BLOCKS + 1)[1:-1])
    if (gone & ~forward).sum() >= FEWEST / 8:
        band = np.clip(np.searchsorted(edges, (left - entered)[gone], side="right") - 1, 0, None)
        whole = forward[gone].mean()
        share = (rising[band] + 1e-9 * whole) / (rising[band] + falling[band] + 1e-9)
        # so few left in the band of an age that its share leans on that of all
        share = np.clip(0.98 * share + 0.02 * whole, 1e-3, 1 - 1e-3)
        block = np.searchsorted(cuts, left[gone])
        logit = np.log(share / (1 - share))
        return _Leavings(visits.deal[mine][gone], block, forward[gone].astype(float), logit, True)
    return _counted(visits, mine, forward, rising, edges, cuts)


def _counted(
    visits: Visits, mine: Ints, forward: NDArray[np.bool_], rising: Floats, edges: Floats, cuts: Floats
) -> _Leavings:
    """Spans as counts: a visit in each block of time with the exits forward to expect of it."""
    entered, left = visits.entered[mine], visits.left[mine]
    area = np.concatenate([[0.0], np.cumsum(np.diff(edges) * rising[: len(edges) - 1])])

    def summed(age: Floats) -> Floats:
        inside: Floats = np.interp(age, edges, area) + np.maximum(age - edges[-1], 0.0) * rising[len(edges) - 1]
        return inside

    parts = []
    for b, (low, high) in enumerate(zip((0.0, *cuts), (*cuts, visits.end), strict=True)):
        begin, stop = np.maximum(entered, low), np.minimum(left, high)
        here = stop > begin
        due = summed((stop - entered)[here]) - summed((begin - entered)[here])
        came = (forward & (left > low) & (left <= high))[here].astype(float)
        parts.append((visits.deal[mine][here], np.full(here.sum(), b), came, np.log(np.maximum(due, 1e-6))))
    deal, block, came, base = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Leavings(deal, block, came, base, False)


def _effects(
    leavings: _Leavings, shift: Floats, level: Ints, count: int, learn: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Each level's effect on the logarithm and its standard error, from some of the spans."""
    used = learn & (level >= 0)
    mine, effect = level[used], np.zeros(count)
    variance = 0.0
    for step in range(6):
        mean = leavings.mean(shift + np.append(effect, 0.0)[level])[used]
        pull = np.bincount(mine, leavings.forward[used] - mean, count)
        spread = np.bincount(mine, mean * (1 - mean) if leavings.binary else mean, count)
        if step == 0:
            overall = pull.sum() / max(spread.sum(), 1e-9)
            centred = pull - overall * spread  # the whole being off is no difference between levels
            variance = float((centred**2 - spread).sum() / max(float((spread**2).sum()), 1e-9))
            if variance <= 1e-4:
                return np.zeros(count), np.full(count, 0.01)
        effect = effect + np.clip((pull - effect / variance) / (spread + 1 / variance), -1, 1)
    weights = spread + 1e-9
    return effect - np.average(effect, weights=weights), 1 / np.sqrt(spread + 1 / variance)


def _gain(leavings: _Leavings, shift: Floats, level: Ints, count: int) -> float:
    """What effects found on earlier exits gain on later ones, in log score."""
    gain = 0.0
    for b in range(1, _BLOCKS):
        learn, test = leavings.block < b, leavings.block == b
        effect, _ = _effects(leavings, shift, level, count, learn)
        with_it = leavings.score(shift + np.append(effect, 0.0)[level])
        gain += float((with_it - leavings.score(shift))[test].sum())
    return gain


def dependence_words(found: tuple[Dependence, ...]) -> tuple[str, ...]:
    """What was found, in words."""
    if not found:
        return ("no attribute, owner or value forecasts better who goes forward, so chances are the same for all",)
    names = {OWNER: "owner"}
    parts = [f"{names.get(d.attribute, d.attribute)} in '{d.stage}' (log score +{d.gain:.0f})" for d in found]
    return (f"chances depend on {', '.join(parts)}: what earlier exits showed forecast later ones",)
