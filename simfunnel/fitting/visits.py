"""A history as visits of deals to stages: who was where, from when to when, and where they went.

A flat export has one visit a deal. Moves that are rare in a stage are counted as a common one near them, so that every
exit has enough cases to tell its chance and its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfunnel.crm.importing import History
from simfunnel.fitting.figures import Floats

Ints = NDArray[np.int64]

WON, LOST, HERE = "won", "lost", ""
FEW_MOVES = 15  # an exit taken less often from a stage is counted as another one near it
RARE = 0.004  # and so is one taken by a smaller share of those who leave


@dataclass(frozen=True)
class Visits:
    """Visits of deals to open stages, one entry a visit in every array.

    Times are days since midnight of `origin`, the first day from which closings are seen: visits that ended before it
    are left out, and one begun before it has a negative `entered`. `left` is `end` (the end of the as-of day) for a
    visit under way, whose `goal` is ''; other goals are 'won', 'lost' or a stage. `deal` is the row in the history's
    deals, `stage` the number of the stage in `stages`.
    """

    deal: Ints
    stage: Ints
    entered: Floats
    left: Floats
    goal: NDArray[np.str_]
    stages: tuple[str, ...]
    origin: date
    end: float
    whole_days: bool

    def goals(self, stage: int) -> tuple[str, ...]:
        """Where deals went from a stage: won, the stages in order, lost; won and lost where nobody left.

        From the last stage deals can be won, though none may have been yet. A lone stage has lost as well while little
        is known; a history in which many were won and nothing was ever lost has no lost.
        """
        seen = set(self.goal[self.stage == stage].tolist()) - {HERE}
        if len(self.stages) == 1:
            few = int((self.goal == WON).sum()) < FEW_MOVES
            return (WON, LOST) if few or LOST in seen else (WON,)
        if stage == len(self.stages) - 1 or not seen:
            seen |= {WON} if seen else {WON, LOST}
        return tuple(g for g in (WON, *self.stages, LOST) if g in seen)

    def day(self, moment: object) -> float:
        """A date or moment in these days."""
        return float((pd.Timestamp(moment) - pd.Timestamp(self.origin)) / pd.Timedelta(days=1))  # type: ignore[arg-type]


def visits_of(history: History) -> Visits:
    """The visits of a history: its own table where it has one, else one visit a deal."""
    stages = _stages(history)
    table = getattr(history, "visits", None)
    if table is None or len(stages) == 1:
        table = _one_each(history)
    origin = pd.Timestamp(history.observed_from)
    noon = 0.5 if history.whole_days else 0.0
    end = float((history.end - origin) / pd.Timedelta(days=1))
    entered = _days(table["entered"], origin) + noon
    left = _days(table["left"], origin) + noon
    there = np.isnan(left)
    found = Visits(
        deal=table["deal"].to_numpy(dtype=np.int64),
        stage=pd.Index(stages).get_indexer(pd.Index(table["stage"])).astype(np.int64),
        entered=entered,
        left=np.maximum(np.where(there, end, left), entered),
        goal=np.where(there, HERE, table["next"].to_numpy(dtype=str)),
        stages=stages,
        origin=history.observed_from,
        end=end,
        whole_days=history.whole_days,
    )
    return only(found, (found.left > 0) & (found.stage >= 0))


def _stages(history: History) -> tuple[str, ...]:
    """The open stages in funnel order; one where the history knows no visits."""
    known: Sequence[str] = getattr(history, "stages", ()) or ()
    table = getattr(history, "visits", None)
    if table is None or len(known) < 2 or not len(table):
        return (history.open_stage,)
    return tuple(str(name) for name in known)


def _one_each(history: History) -> pd.DataFrame:
    """One visit a deal, from its creation to its closing."""
    deals = history.deals
    return pd.DataFrame(
        {
            "deal": np.arange(len(deals)),
            "stage": history.open_stage,
            "entered": deals["created"].to_numpy(),
            "left": deals["closed"].to_numpy(),
            "next": deals["outcome"].where(deals["outcome"] != "open", HERE).to_numpy(),
        }
    )


def _days(moments: pd.Series[pd.Timestamp], origin: pd.Timestamp) -> Floats:
    return np.asarray((moments - origin).dt.total_seconds() / 86400, dtype=np.float64)


def only(visits: Visits, keep: NDArray[np.bool_]) -> Visits:
    """Some of the visits."""
    return replace(
        visits,
        deal=visits.deal[keep],
        stage=visits.stage[keep],
        entered=visits.entered[keep],
        left=visits.left[keep],
        goal=visits.goal[keep],
    )


def pooled(visits: Visits) -> tuple[Visits, tuple[str, ...]]:
    """The visits without rare moves, and what became of these.

    A rare move is counted as the common one in its direction whose stage is nearest in the funnel, or where there is
    none as the commonest of the rare ones; a rare return, where no return is common, as staying (see `_staying`).
    Wins and losses are what a forecast is about: those that are rare stay, and no move becomes one.
    """
    if len(visits.stages) == 1:
        return visits, ()
    goal = visits.goal.copy()
    returns = np.zeros(len(goal), dtype=np.bool_)
    place = {name: k for k, name in enumerate(visits.stages)}
    said, stayed = [], []
    for s, name in enumerate(visits.stages):
        here = visits.stage == s
        counts = pd.Series(visits.goal[here & (visits.goal != HERE)]).value_counts()
        least = max(FEW_MOVES, RARE * int(counts.sum()))
        for back in (False, True):
            moves = [g for g in counts.index if g in place and (place[g] < s) == back]
            rare = [g for g in moves if counts[g] < least]
            common = [g for g in moves if g not in rare]
            if back and not common:
                returns |= here & np.isin(visits.goal, rare)
                stayed += [f"'{name}' -> '{g}' ({counts[g]})" for g in rare]
                continue
            if not common:
                common, rare = rare[:1], rare[1:]
            for g in rare:
                near = min(common, key=lambda other: (abs(place[other] - place[g]), -int(counts[other])))
                goal[here & (visits.goal == g)] = near
                said.append(f"'{name}' -> '{g}' ({counts[g]}) as '{near}'")
    words = []
    if said:
        words.append(f"rare moves are counted as common ones near them: {'; '.join(said)}")
    if stayed:
        words.append(f"rare returns are counted as staying until the deal went on: {'; '.join(stayed)}")
    return _staying(replace(visits, goal=goal), returns), tuple(words)


def _staying(visits: Visits, returns: NDArray[np.bool_]) -> Visits:
    """The visits; those that end in a return last until their deal is won or lost, or in a stage further ahead."""
    left, goal, keep = visits.left.copy(), visits.goal.copy(), np.ones(len(returns), dtype=np.bool_)
    order = np.lexsort((visits.entered, visits.deal))
    deals = visits.deal[order]
    for deal in np.unique(visits.deal[returns]):
        rows = order[np.searchsorted(deals, deal) : np.searchsorted(deals, deal, side="right")].tolist()
        for k, row in enumerate(rows):
            if not (returns[row] and keep[row]):
                continue
            s, last = visits.stage[row], row
            for later in rows[k + 1 :]:
                if visits.stage[later] > s:
                    left[row], goal[row] = visits.entered[later], visits.stages[visits.stage[later]]
                    break
                keep[later], last = False, later
            else:
                ended = goal[last] in (WON, LOST)
                left[row], goal[row] = (left[last], goal[last]) if ended else (visits.end, HERE)
    return only(replace(visits, left=left, goal=goal), keep)
