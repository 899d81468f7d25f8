"""Two baselines that look at each open deal: the stage-weighted pipeline, and win rates by stage and week of age.

Deals not yet created come at the rate of the last 13 weeks and are won as the life table says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from simfunnel.forecasting.baselines.past import (
    WEEK,
    Draws,
    LifeTable,
    Past,
    bursts,
    life_table,
    rates,
    recent,
    worth,
)
from simfunnel.forecasting.windows import Foreseen, Window
from simfunnel.numerics import Floats

_LEAN = 10.0  # closings with which a stage's win rate leans on that of all
_CELL_LEAN = 30.0  # deals with which a cell's rates lean on those of the age alone


def stage_weighted(past: Past, as_of: date, windows: Sequence[Window], n: int, draws: Draws) -> Foreseen:
    """The stage-weighted pipeline, as a careful analyst keeps it.

    An open deal is won in a window with the win rate of its stage (won / closed of the past deals that were in it,
    shrunk) times the chance to close in that window at its age (life table: so a stale deal counts for little). New
    deals come at their recent rate and are won as the life table says: where most are lost at once, wins take longer.
    """
    table = life_table(past)
    closed, won = np.isin(past.outcome, ("won", "lost")), past.outcome == "won"
    overall = (won.sum() + 0.5) / (closed.sum() + 1.0)
    been = np.unique(past.visitor * past.stages + past.visited)  # a deal counts once in a stage
    deal, stage = been // past.stages, been % past.stages
    won_there, closed_there = (np.bincount(stage, which[deal], past.stages) for which in (won, closed))
    rate = ((won_there + _LEAN * overall) / (closed_there + _LEAN))[past.stage_at(0.0)[past.open]]
    chances = {window.name: rate * table.closed_between(past.open_ages, *window.days(as_of)) for window in windows}
    return _drawn(past, as_of, windows, chances, table, n, draws)


def stage_by_week(past: Past, as_of: date, windows: Sequence[Window], n: int, draws: Draws) -> Foreseen:
    """Win rates by stage and week of age: what became of deals that stood where each open deal stands now.

    On every past week's end each deal then open is looked at, in its stage and week of age; how many of them were won
    and lost in each week that followed gives the chance to be won by then (Aalen-Johansen: those still open count
    while they were followed). A cell's weekly rates lean on those of all deals of the age. New deals come at their
    recent rate and are won as the life table says.
    """
    table = life_table(past)
    spans = {window.name: window.days(as_of) for window in windows}
    ahead = int(max(after for _, after in spans.values()) // WEEK) + 2
    ages = int((past.ended - past.created).max(initial=0.0) // WEEK) + 1
    won, lost, at_risk = _looked_back(past, ages, ahead)
    cell = past.stage_at(0.0)[past.open] * ages + np.minimum(past.open_ages // WEEK, ages - 1).astype(np.int64)
    week_won, week_lost = _of_age(table, ages, ahead)
    age = np.arange(len(won)) % ages
    both = at_risk + _CELL_LEAN
    hazard_won = (won + _CELL_LEAN * week_won[age]) / both
    hazard_lost = (lost + _CELL_LEAN * week_lost[age]) / both
    still = np.cumprod(1 - np.minimum(hazard_won + hazard_lost, 1.0), axis=1)
    before = np.concatenate([np.ones((len(still), 1)), still[:, :-1]], axis=1)
    by_then = np.concatenate([np.zeros((len(still), 1)), np.cumsum(before * hazard_won, axis=1)], axis=1)
    chances = {
        name: (_between_weeks(by_then, after) - _between_weeks(by_then, begin))[cell]
        for name, (begin, after) in spans.items()
    }
    return _drawn(past, as_of, windows, chances, table, n, draws)


def _looked_back(past: Past, ages: int, ahead: int) -> tuple[Floats, Floats, Floats]:
    """By cell (stage and week of age, on every past week's end) and week ahead: won, lost, and followed into it."""
    shape = (past.stages * ages, ahead)
    won, lost, at_risk = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for back in range(1, int(-past.since // WEEK) + 1):
        then = -WEEK * back
        there = (past.created <= then) & (past.ended > then)
        if not there.any():
            continue
        cell = past.stage_at(then)[there] * ages + np.minimum((then - past.created[there]) // WEEK, ages - 1).astype(
            np.int64
        )
        lead = np.minimum((past.ended[there] - then) // WEEK, ahead).astype(np.int64)
        outcome = past.outcome[there]
        for counted, end in ((won, "won"), (lost, "lost")):
            here = (outcome == end) & (lead < min(back, ahead))
            np.add.at(counted, (cell[here], lead[here]), 1.0)
        last = np.bincount(cell * (ahead + 1) + lead, minlength=shape[0] * (ahead + 1)).reshape(shape[0], ahead + 1)
        alive = last[:, ::-1].cumsum(axis=1)[:, ::-1][:, :ahead]
        followed = min(back, ahead)  # a week that the history doesn't hold tells nothing
        at_risk[:, :followed] += alive[:, :followed]
    return won, lost, at_risk


def _of_age(table: LifeTable, ages: int, ahead: int) -> tuple[Floats, Floats]:
    """The chances to be won and lost in a week, given open before it: by week of age now (rows) and week ahead."""
    middle = (np.arange(ages)[:, None] + np.arange(ahead)[None, :] + 0.5) * WEEK
    begin, after = middle - WEEK / 2, middle + WEEK / 2
    still = np.maximum(table.at(table.open, begin), 1e-12)
    won = (table.at(table.won, after) - table.at(table.won, begin)) / still
    closed = (table.at(table.open, begin) - table.at(table.open, after)) / still
    return won, np.maximum(closed - won, 0.0)


def _between_weeks(by_then: Floats, days: float) -> Floats:
    """A curve by weeks ahead at some days, linear within a week."""
    week = min(int(days // WEEK), by_then.shape[1] - 2)
    part = days / WEEK - week
    curve: Floats = (1 - part) * by_then[:, week] + part * by_then[:, week + 1]
    return curve


def _drawn(
    past: Past,
    as_of: date,
    windows: Sequence[Window],
    chances: dict[str, Floats],
    new: LifeTable,
    n: int,
    draws: Draws,
) -> Foreseen:
    """Ensembles from the chances of open deals and the life table of new ones.

    All chances of a draw share a factor, gamma with mean 1, so that totals vary as much more than chance alone as
    past weeks' wins did (see `bursts`).
    """
    totals = {}
    burst = bursts(recent(past.wins))
    known = ~np.isnan(past.open_values)
    sure = np.where(known, past.open_values, 0.0)
    for window in windows:
        begin, after = window.days(as_of)
        rng = draws(window.name)
        chance = chances[window.name]
        coming = rates(past.news, n, rng) / WEEK * _days_of_winning(new, begin, after)
        expected = max(float(chance.sum() + coming.mean()), 1e-9)
        luck = rng.gamma(expected / (burst - 1), (burst - 1) / expected, n) if burst > 1 else np.ones(n)
        won = rng.random((n, len(chance))) < np.minimum(chance * luck[:, None], 1.0)
        fresh = rng.poisson(coming * luck)
        unknown = won[:, ~known].sum(axis=1) + fresh
        totals[window.name, "wins"] = (won.sum(axis=1) + fresh).astype(np.float64)
        totals[window.name, "bookings"] = won @ sure + worth(unknown, past.values, rng)
    return Foreseen(totals, chances)


def _days_of_winning(table: LifeTable, begin: float, after: float) -> float:
    """Wins between two days by deals created from day 0 on, one a day."""
    born = np.arange(0.5, max(after, 0.5))
    won = table.at(table.won, np.maximum(after - born, 0.0)) - table.at(table.won, np.maximum(begin - born, 0.0))
    return float(won.sum())
