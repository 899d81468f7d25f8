"""Drift: how much more recent history should weigh, and where the hazards that all deals share may go.

The history is forecast from within: from many past dates, the exits of the next four weeks are forecast from the deals
then under watch and the hazards of the time before, in which a week that lies so many half-lives back counts half each
time (exponential forgetting). The half-life with the best log score of what came is taken, if it beats remembering
everything; this is Dawid's (1984) prequential choice. What is left of the weeks' exits against the hazards so found is
the market's course (`course`): it moves all deals of a stage at once, and so does not average out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from simfunnel.fitting.course import Course, course
from simfunnel.fitting.exposure import KINDS, Exposure, Kind
from simfunnel.fitting.figures import Z95, Floats
from simfunnel.formatting import counted

HALF_LIVES = (math.inf, 730.0, 365.0, 182.0, 91.0, 45.0)
AHEAD = 4  # weeks that are forecast from each past date
_FIRST = 8  # weeks of history before the first such date
_GAIN = 3.0  # log score that forgetting must gain
_LEAN = 5.0  # exits' worth of all history behind each hazard
_FEW = 3.0  # exits expected in a block below which it does not tell how bursty exits are
_UNKNOWN = Course(0.0, 0.07, 0.0, 0.0)  # where too little is seen to tell
_SLOPED = 0.5  # of belief in growth from which on it is told


@dataclass(frozen=True)
class Drift:
    """The half-life in days (infinity: all history counts alike) and the market's course by kind of exit."""

    half_life: float
    courses: Mapping[Kind, Course]
    assumptions: tuple[str, ...] = field(default=())


def fit_drift(table: Exposure, factors: Floats) -> Drift:
    """The half-life and the market's course of a history.

    Args:
        table: days under watch and exits.
        factors: of each exit on each day in each band of ages (or in all bands): what the calendar does.
    """
    weeks = len(table.days) // 7
    blocks = list(range(_FIRST, weeks - AHEAD + 1, AHEAD))
    offset = (weeks - _FIRST) % AHEAD
    starts = [b + offset for b in blocks if b + offset + AHEAD <= weeks]
    if not starts or not table.events.sum():
        return Drift(math.inf, dict.fromkeys(KINDS, _UNKNOWN), _said(math.inf, 0.0, _UNKNOWN))
    events, risk = _weekly(table, factors, weeks)
    risk = np.maximum(risk, table.least * events)
    scores, forecasts = zip(*(_prequential(events, risk, starts, h / 7) for h in HALF_LIVES), strict=True)
    off = _off(_rows(table, forecasts[0], "won"))
    burst = 1 + off * float(events.sum()) / max(len(starts), 1) / 4
    gains = [(score - scores[0]) / max(burst, 1.0) for score in scores]
    best = int(np.argmax(gains))
    if gains[best] < _GAIN:
        best = 0
    due = risk * _hazards(events, risk, HALF_LIVES[best] / 7)
    behind, weight = _behind(events, HALF_LIVES[best] / 7), _weights(weeks, HALF_LIVES[best] / 7)
    courses = {
        kind: _course(events[:, mine], due[:, mine], weight, float(behind[mine].sum()))
        for kind in KINDS
        for mine in [table.of(kind)]
    }
    return Drift(HALF_LIVES[best], courses, _said(HALF_LIVES[best], gains[best], courses["won"]))


def _course(seen: Floats, due: Floats, weight: Floats, known: float) -> Course:
    """The course of exits of one kind, by week.

    The hazards behind `due` lean on usual ones, and chances do not; so what is due is made as much as was seen, in
    weeks that count as they do for the chances.
    """
    if not seen.any():
        return _UNKNOWN
    came, expected = seen.sum(axis=(1, 2)), due.sum(axis=(1, 2))
    return course(came, expected * (weight @ came) / (weight @ expected), known)


def _weekly(table: Exposure, factors: Floats, weeks: int) -> tuple[Floats, Floats]:
    """Exits and paced deal-days by week (the last week ends with the history): arrays (weeks, exits, bands)."""
    last = len(table.days)
    events = table.events[last - 7 * weeks :]
    risk = table.risk[last - 7 * weeks :][:, table.stage_of] * factors.transpose(1, 0, 2)[last - 7 * weeks :]
    shape = (weeks, 7, *events.shape[1:])
    return events.reshape(shape).sum(axis=1), risk.reshape(shape).sum(axis=1)


def _hazards(events: Floats, risk: Floats, half_life: float) -> Floats:
    """Exits a deal-day by exit and band, from weeks that count half each half-life (weeks) back."""
    weight = _weights(len(events), half_life)
    past, watch = events.sum(axis=0), risk.sum(axis=0)
    base = (past + 0.5) / (watch + 0.5 / max(float(past.sum() / max(watch.sum(), 1e-9)), 1e-9))
    days = np.tensordot(weight, risk, 1)
    hazards: Floats = (np.tensordot(weight, events, 1) + _LEAN) / (days + _LEAN / np.maximum(base, 1e-12))
    return hazards


def _behind(events: Floats, half_life: float) -> Floats:
    """The weight behind the hazards of each exit: as of so many exits that count alike."""
    weight = _weights(len(events), half_life)
    mine = np.tensordot(weight, events.sum(axis=2), 1)
    return np.asarray(mine**2 / np.maximum(np.tensordot(weight**2, events.sum(axis=2), 1), 1e-9))


def _weights(weeks: int, half_life: float) -> Floats:
    """What each week counts."""
    weights: Floats = 0.5 ** ((weeks - 1 - np.arange(weeks)) / half_life)
    return weights


Forecasts = list[tuple[Floats, Floats, Floats]]


def _prequential(events: Floats, risk: Floats, starts: list[int], half_life: float) -> tuple[float, Forecasts]:
    """The log score of four weeks from each start, and for each: exits seen, expected, and the weight behind them."""
    score, forecasts = 0.0, []
    for t in starts:
        hazard = _hazards(events[:t], risk[:t], half_life)
        seen, ahead = events[t : t + AHEAD].sum(axis=0), risk[t : t + AHEAD].sum(axis=0)
        due = hazard * ahead
        score += float((seen * np.log(np.maximum(due, 1e-12)) - due).sum())
        forecasts.append((seen.sum(axis=1), due.sum(axis=1), _behind(events[:t], half_life)))
    return score, forecasts


def _rows(table: Exposure, forecasts: Forecasts, kind: Kind) -> Floats:
    """For each block of a kind: exits seen, expected, and the weight behind that; an array (blocks, 3)."""
    mine = table.of(kind)
    return np.array([(s[mine].sum(), d[mine].sum(), n[mine].sum()) for s, d, n in forecasts], dtype=float)


def _off(rows: Floats) -> float:
    """The variance of the logarithm by which blocks were off beyond chance: by so much gains in score are discounted.

    The squared error of a count y forecast as m has mean m (chance) + m^2 / n (the hazards rest on n exits) + m^2 v.
    """
    seen, due, behind = rows[rows[:, 1] > _FEW].T
    beyond = (seen - due) ** 2 - due - due**2 / (behind + 1)
    return max(float(beyond.sum() / max((due**2).sum(), 1e-9)), 0.0)


def _said(half_life: float, gain: float, won: Course) -> tuple[str, ...]:
    """What was chosen, in words."""
    if math.isinf(half_life):
        first = "all history counts alike: forgetting did not forecast better"
    else:
        first = (
            f"chances and times of {half_life:.0f} days ago count half: that forecast better (log score +{gain:.0f})"
        )
    if not won.weeks:
        return (f"{first}; too little is seen to follow wins by week: luck of {won.luck:.0%} is assumed for all deals",)
    low, middle, high = (math.exp(won.level + z * won.luck) for z in (-Z95, 0.0, Z95))
    said = [
        f"{first}; by the course of {counted(won.weeks, 'week')}, deals are won from now on {middle:.2f} times as "
        f"fast as history tells ({low:.2f} to {high:.2f}): this luck, common to all deals, is in the forecast"
    ]
    if won.sloped > _SLOPED:
        said.append(f"that pace of wins changes by {won.growth:+.1%} a week, which is carried on, fading slowly")
    return tuple(said)
