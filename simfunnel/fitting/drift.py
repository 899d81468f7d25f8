"""Drift: how much more recent history should weigh, and how far the coming weeks may differ from all of it.

The history is forecast from within: from many past dates, the exits of the next four weeks are forecast from the deals
then under watch and the hazards of the time before, in which a week that lies so many half-lives back counts half each
time (exponential forgetting). The half-life with the best log score of what came is taken, if it beats remembering
everything; this is Dawid's (1984) prequential choice. How far counts were off beyond chance, at that half-life, is the
market's luck: it moves all deals of a stage at once, and so does not average out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from simfunnel.fitting.exposure import KINDS, Exposure, Kind
from simfunnel.fitting.figures import Floats
from simfunnel.formatting import counted

HALF_LIVES = (math.inf, 730.0, 365.0, 182.0, 91.0, 45.0)
AHEAD = 4  # weeks that are forecast from each past date
_FIRST = 8  # weeks of history before the first such date
_GAIN = 3.0  # log score that forgetting must gain
_LEAN = 5.0  # exits' worth of all history behind each hazard
_SPREAD, _SPREAD_WEIGHT = (
    0.07,
    3.0,
)  # the market's luck where nothing is known (sd of a logarithm), worth so many blocks
_MOST_SPREAD = 0.4
_SMOOTHINGS = (0.25, 0.5)  # shares of a block's error that are taken to last
_LEVEL_GAIN = 1.0  # log score that following the errors must gain
_LEVEL_LEAN = 20.0  # exits expected in a block for half of that


@dataclass(frozen=True)
class Drift:
    """The half-life in days (infinity: all history counts alike) and the market's luck by kind of exit.

    `luck` is the standard deviation of the logarithm of what multiplies the hazard of all deals over some weeks, and
    `level` the middle of that logarithm: what was lately off and is taken to last. `blocks` is how many periods of
    four weeks told them.
    """

    half_life: float
    luck: Mapping[Kind, float]
    level: Mapping[Kind, float]
    blocks: int
    assumptions: tuple[str, ...] = field(default=())


def fit_drift(table: Exposure, factors: Floats) -> Drift:
    """The half-life and the market's luck of a history.

    Args:
        table: days under watch and exits.
        factors: of each exit on each day in each band of ages (or in all bands): what the calendar does.
    """
    weeks = len(table.days) // 7
    blocks = list(range(_FIRST, weeks - AHEAD + 1, AHEAD))
    offset = (weeks - _FIRST) % AHEAD
    starts = [b + offset for b in blocks if b + offset + AHEAD <= weeks]
    if not starts or not table.events.sum():
        luck, level = dict.fromkeys(KINDS, _SPREAD), dict.fromkeys(KINDS, 0.0)
        return Drift(math.inf, luck, level, 0, _said(math.inf, 0.0, 0, _SPREAD, 0.0))
    events, risk = _weekly(table, factors, weeks)
    scores, forecasts = zip(*(_prequential(events, risk, starts, h / 7) for h in HALF_LIVES), strict=True)
    luck_of = [{kind: _luck(_rows(table, f, kind)) for kind in KINDS} for f in forecasts]
    burst = 1 + luck_of[0]["won"] ** 2 * float(events.sum()) / max(len(starts), 1) / 4
    gains = [(score - scores[0]) / max(burst, 1.0) for score in scores]
    best = int(np.argmax(gains))
    if gains[best] < _GAIN:
        best = 0
    luck, level = dict(luck_of[best]), dict.fromkeys(KINDS, 0.0)
    for kind in KINDS:
        level[kind], luck[kind] = _level(_rows(table, forecasts[best], kind), luck_of[best][kind])
    said = _said(HALF_LIVES[best], gains[best], len(starts), luck["won"], level["won"])
    return Drift(HALF_LIVES[best], luck, level, len(starts), said)


def _weekly(table: Exposure, factors: Floats, weeks: int) -> tuple[Floats, Floats]:
    """Exits and paced deal-days by week (the last week ends with the history): arrays (weeks, exits, bands)."""
    last = len(table.days)
    events = table.events[last - 7 * weeks :]
    risk = table.risk[last - 7 * weeks :][:, table.stage_of] * factors.transpose(1, 0, 2)[last - 7 * weeks :]
    shape = (weeks, 7, *events.shape[1:])
    return events.reshape(shape).sum(axis=1), risk.reshape(shape).sum(axis=1)


Forecasts = list[tuple[Floats, Floats, Floats]]


def _prequential(events: Floats, risk: Floats, starts: list[int], half_life: float) -> tuple[float, Forecasts]:
    """The log score of four weeks from each start, and for each: exits seen, expected, and the weight behind them."""
    score, forecasts = 0.0, []
    for t in starts:
        weight = 0.5 ** ((t - 1 - np.arange(t)) / half_life)
        past, watch = events[:t].sum(axis=0), risk[:t].sum(axis=0)
        base = (past + 0.5) / (watch + 0.5 / max(float(past.sum() / max(watch.sum(), 1e-9)), 1e-9))
        mine = np.tensordot(weight, events[:t], 1)
        days = np.tensordot(weight, risk[:t], 1)
        hazard = (mine + _LEAN * base / np.maximum(base, 1e-12)) / (days + _LEAN / np.maximum(base, 1e-12))
        seen, ahead = events[t : t + AHEAD].sum(axis=0), risk[t : t + AHEAD].sum(axis=0)
        due = hazard * ahead
        score += float((seen * np.log(np.maximum(due, 1e-12)) - due).sum())
        behind = mine.sum(axis=1) ** 2 / np.maximum(np.tensordot(weight**2, events[:t], 1).sum(axis=1), 1e-9)
        forecasts.append((seen.sum(axis=1), due.sum(axis=1), behind))
    return score, forecasts


def _rows(table: Exposure, forecasts: Forecasts, kind: Kind) -> Floats:
    """For each block of a kind: exits seen, expected, and the weight behind that; an array (blocks, 3)."""
    mine = table.of(kind)
    return np.array([(s[mine].sum(), d[mine].sum(), n[mine].sum()) for s, d, n in forecasts], dtype=float)


def _luck(rows: Floats) -> float:
    """How far counts were off beyond chance: a standard deviation of the logarithm, shrunk.

    The squared error of a count y forecast as m has mean m (chance) + m^2 / n (the hazards rest on n exits) + m^2 v;
    v is found by moments over all blocks, and leans on a usual value as if that had been seen in three blocks more.
    """
    seen, due, behind = rows[rows[:, 1] > 3].T
    if not len(seen):
        return _SPREAD
    beyond = (seen - due) ** 2 - due - due**2 / (behind + 1)
    variance = max(float(beyond.sum() / (due**2).sum()), 0.0)
    leaned = (len(seen) * variance + _SPREAD_WEIGHT * _SPREAD**2) / (len(seen) + _SPREAD_WEIGHT)
    return min(math.sqrt(leaned), _MOST_SPREAD)


def _level(rows: Floats, luck: float) -> tuple[float, float]:
    """What was lately off, as a logarithm, and the luck beyond it; 0 unless it forecasts the next blocks better.

    An exponential smoothing of the blocks' errors; each counts by how far it stands out of chance.
    """
    best, best_gain, best_luck = 0.0, _LEVEL_GAIN, luck
    burst = 1 + luck**2 * float(rows[:, 1].mean())
    for share in _SMOOTHINGS:
        level, gain, levelled = 0.0, 0.0, rows.copy()
        for k, (seen, due, _) in enumerate(rows):
            gain += (seen * level - due * math.expm1(level)) / burst
            levelled[k, 1] = due * math.exp(level)
            error = math.log((seen + 5) / (due + 5)) - level
            level += share * due / (due + _LEVEL_LEAN) * error
        if gain > best_gain:
            best, best_gain, best_luck = level, gain, _luck(levelled)
    return best, best_luck


def _said(half_life: float, gain: float, blocks: int, luck: float, level: float) -> tuple[str, ...]:
    """What was chosen, in words."""
    if not blocks:
        return (
            f"the history is too short to see drift: all of it counts alike, and all deals' luck may be {luck:.0%} off",
        )
    if math.isinf(half_life):
        first = "all history counts alike: forgetting did not forecast better"
    else:
        first = (
            f"chances and times of {half_life:.0f} days ago count half: that forecast better (log score +{gain:.0f})"
        )
    said = [
        f"{first}; in {counted(blocks, 'period')} of four weeks, wins were {luck:.0%} off what the "
        "deals led one to expect, "
        "beyond chance: this luck, common to all deals, is in the forecast",
    ]
    if level:
        off = math.expm1(level)
        said.append(f"wins were lately {off:+.0%} off what the deals led one to expect, and are taken to stay so")
    return tuple(said)
