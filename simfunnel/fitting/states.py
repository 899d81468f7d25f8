"""A level that grows and wanders, as many linear state-space models at once.

What a week shows is `level + wander`, and from week to week

    level_t = level_(t-1) + slope_(t-1)
    slope_t = psi slope_(t-1) + turn_t
    wander_t = phi wander_(t-1) + shock_t

With no slope and phi = 1 this is the local level model, whose best forecast is exponential smoothing; with phi < 1 a
surge fades, and with no shocks the level is constant (Harvey 1989, chapter 4; Durbin & Koopman 2012, chapter 3). The
slope is a damped trend (Gardner & McKenzie 1985): growth goes on for a while, not for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfunnel.numerics import Floats

AHEAD = 13  # weeks that a forecast of the level is for: a quarter
PHIS = (0.5, 0.8, 0.9, 0.97, 1.0)
SEEN = np.array([1.0, 0.0, 1.0])  # what a week shows of the state (level, slope, wander)
_PSI = 0.97  # of a week's slope that is left in the next: half is gone after 23 weeks
_TREND = 0.25  # the belief in a slope before anything is seen


@dataclass(frozen=True)
class Models:
    """Of each model: the matrix of a week's step, the variances of a week's shocks, those before the first week."""

    step: Floats  # (models, 3, 3), as are the others
    shocks: Floats
    before: Floats

    def after(self, state: Floats, spread: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of each model's state a week later."""
        moved = np.einsum("mij,mj->mi", self.step, state)
        return moved, self.step @ spread @ self.step.transpose(0, 2, 1) + self.shocks

    def mean_ahead(self, state: Floats, spread: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the mean of what the weeks ahead show, but for their noise."""
        reach = [np.tile(SEEN, (len(state), 1))]  # of the state, in what a week shows so many weeks later
        for _ in range(AHEAD):
            reach.append(np.einsum("mi,mij->mj", reach[-1], self.step))
        whole = np.sum(reach[1:], axis=0) / AHEAD
        mean = np.einsum("mi,mi->m", whole, state)
        variance = np.einsum("mi,mij,mj->m", whole, spread, whole)
        for week in range(AHEAD):  # a week's shock is in all weeks from it on
            left = np.sum(reach[: AHEAD - week], axis=0) / AHEAD
            variance = variance + np.einsum("mi,mij,mj->m", left, self.shocks, left)
        return mean, variance


def models(phi: Floats, shock: Floats, slope: Floats, vague: float) -> Models:
    """Models by their phi, variance of a shock and variance of the slope; the first level has the variance `vague`."""
    step, shocks, before = (np.zeros((len(phi), 3, 3)) for _ in range(3))
    step[:, 0, 0] = step[:, 0, 1] = 1.0
    step[:, 1, 1], step[:, 2, 2] = _PSI, phi
    shocks[:, 1, 1], shocks[:, 2, 2] = slope * (1 - _PSI**2), shock
    before[:, 0, 0], before[:, 1, 1] = vague, slope
    before[:, 2, 2] = np.where(phi < 1, shock / np.maximum(1 - phi**2, 1e-9), 0.0)
    return Models(step, shocks, before)


def beliefs(slope: Floats) -> Floats:
    """How likely each model is held to be before anything is seen, by the variance of its slope; they sum to 1."""
    sloped = slope > 0
    found: Floats = np.where(sloped, _TREND / sloped.sum(), (1 - _TREND) / (~sloped).sum())
    return found
