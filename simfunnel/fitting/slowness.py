"""Whether deals of higher value take longer to be won, so that a win's value depends on its age.

Wins are put into bands of value; a band's factor is the geometric mean of its times to win over that of all. Looked at
are deals that came early enough for nearly all wins to be seen: of those that came lately only quick ones are. It is
taken if the bands foretell the times of wins that were left out.
"""

from __future__ import annotations

import itertools

import numpy as np

from simfunnel.crm.importing import History
from simfunnel.fitting.figures import Estimate, Floats, factor_estimate
from simfunnel.fitting.values import explained_share
from simfunnel.fitting.visits import WON, Visits

Slowness = dict[str, Estimate]
"""By band of values, as a condition names it, the factor on the time to win; empty where none is found."""

_BANDS = (1 / 3, 2 / 3)  # of wins
_FEWEST = 120  # wins of known value below which nothing is looked for
_MATURE = 0.9  # of times to win, by which a deal must have come before the end
_WORTH = 0.02  # share of the variance of log times that bands must explain out of sample,
_GAIN = 8.0  # and what that must gain in log score


def fit_slowness(history: History, visits: Visits) -> Slowness:
    """The factor on the time to win, by band of values."""
    value = history.deals["value"].to_numpy(dtype=float)[visits.deal]
    least = 0.5 if visits.whole_days else 1 / 24
    age = np.maximum(visits.left - visits.entered, least)
    wins = (visits.goal == WON) & (value > 0) & (visits.entered >= 0)
    if not wins.any():
        return {}
    wins &= visits.entered <= visits.end - np.quantile(age[wins], _MATURE)
    if wins.sum() < _FEWEST:
        return {}
    edges = np.unique([float(f"{x:.2g}") for x in np.quantile(value[wins], _BANDS)])
    band = np.searchsorted(edges, value[wins], side="right")
    logs = _beside_stages(np.log(age[wins]), visits.stage[wins])
    explained = explained_share(logs, band)
    if explained < _WORTH or -0.5 * len(logs) * np.log1p(-explained) < _GAIN:
        return {}
    how = "times to win in the band over those of all, by geometric means"
    factors = {}
    for k, name in enumerate(band_names([f"{edge:g}" for edge in edges])):
        mine = logs[band == k]
        if len(mine) > 1:
            error = float(logs.std() / np.sqrt(len(mine)))
            factors[name] = factor_estimate(float(mine.mean() - logs.mean()), error, how, len(mine))
    return factors


def _beside_stages(logs: Floats, stage: np.ndarray) -> Floats:
    """Logarithms of times less their stage's mean."""
    count = np.maximum(np.bincount(stage), 1)
    centred: Floats = logs - (np.bincount(stage, logs) / count)[stage]
    return centred


def band_names(edges: list[str]) -> list[str]:
    """Bands of values between these edges, as conditions name them."""
    between = [f"{a} to {b}" for a, b in itertools.pairwise(edges)]
    return [f"under {edges[0]}", *between, f"at least {edges[-1]}"]


def slowness_words(found: Slowness) -> tuple[str, ...]:
    """What was found, in words; nothing where nothing was."""
    if not found:
        return ()
    parts = ", ".join(f"{band} x{factor.value:.2f}" for band, factor in found.items())
    return (f"the time to win depends on the value ({parts}), so what a win is worth depends on its age",)
