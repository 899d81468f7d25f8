"""Every stage's exits: chances and times as competing risks, each exit's time at the pace of its own days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.drift import Drift
from simfunnel.fitting.durations import Durations, fit_durations
from simfunnel.fitting.exposure import KINDS, Kind, kind_of
from simfunnel.fitting.figures import Floats
from simfunnel.fitting.pace import Pace
from simfunnel.fitting.phases import Phases
from simfunnel.fitting.visits import LOST, WON, Visits
from simfunnel.fitting.watching import groups, month_weights, spans

_DRAWS, _DRAWS_EACH = 400, 200  # behind the intervals: of a lone stage, and of each of several


@dataclass(frozen=True)
class Exits:
    """Chances and times of every stage by its name, and how often a day each was entered of late."""

    stages: Mapping[str, Durations]
    entries: Mapping[str, float]
    assumptions: tuple[str, ...] = field(default=())


def fit_exits(
    history: History, visits: Visits, pace: Pace, drift: Drift, *, phases: Phases | None = None, seed: int = 1
) -> Exits:
    """The exits of every stage that was ever visited."""
    months, said = month_weights(visits, pace.fiscal_year_ends)
    luck = groups(history)
    clocks = {kind: _clock(visits, pace, kind) for kind in KINDS if pace.effects.get(kind)}
    several = len(visits.stages) > 1
    words = list(said)
    found = {}
    for s, name in enumerate(visits.stages):
        if not (visits.stage == s).any():
            continue
        plain = spans(visits, s, months, luck, half_life=drift.half_life, phases=phases)
        own = {
            goal: spans(visits, s, months, luck, half_life=drift.half_life, time=clocks[kind_of(goal)], phases=phases)
            for goal in plain.ends
            if kind_of(goal) in clocks
        }
        fitted = fit_durations(
            plain,
            whole_days=history.whole_days,
            seed=seed + s,
            own_time=own,
            draws=_DRAWS_EACH if several else _DRAWS,
        )
        found[name] = fitted
        words += [f"'{name}': {text}" if several else text for text in fitted.assumptions]
    if not (visits.goal == LOST).any() and (visits.goal == WON).any():
        words.append("nothing was ever lost in the history: a deal is won, or stays")
    since = max(visits.end - 91.0, 0.0)
    late = visits.entered >= since
    entries = {
        name: float((late & (visits.stage == s)).sum()) / max(visits.end - since, 1.0)
        for s, name in enumerate(visits.stages)
    }
    return Exits(found, entries, tuple(words))


def _clock(visits: Visits, pace: Pace, kind: Kind) -> tuple[Floats, Floats]:
    """Nodes of the map from days to the time of a kind of exit."""
    first = int(np.floor(min(float(visits.entered.min(initial=0.0)), 0.0)))
    last = int(np.ceil(visits.end))
    days = pd.date_range(pd.Timestamp(visits.origin) + pd.Timedelta(days=first), periods=last - first)
    return np.arange(first, last + 1, dtype=float), np.concatenate([[0.0], np.cumsum(pace.by_day(kind, days))])
