"""From changes of stage to visits: when each deal entered and left each stage, where it went, and the stages' order.

Stages are a partial order: deals skip some, go back, or are seen only when they close. Of several closings of one deal,
the last counts: a closing after which the deal is in an open stage again is taken back (the time until then belongs to
the stage before it), and of several closings in a row the outcome that was said last counts, from when it was first
said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.evidence import VISITS, Trouble

ENDS = ("won", "lost")
_MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Passage:
    """What became of deals: their visits, and a row for each closed one (index: deal; outcome, closed, stage)."""

    visits: pd.DataFrame
    closings: pd.DataFrame
    troubles: tuple[Trouble, ...] = ()


def passages(changes: pd.DataFrame, ends: Mapping[str, str], ids: pd.Series[Any]) -> Passage:
    """Visits from changes (`deal`, `time`, `stage`, `owner`), each the stage that a deal is in from then on.

    `ends` says which stages are won or lost; `ids` names deals (index: as in `changes`) for examples. A deal that is
    seen closed alone has no visit here.
    """
    rows = changes[changes["time"].notna() & changes["stage"].notna()]
    end = rows["stage"].map(dict(ends)).fillna("open")
    rows = rows.assign(end=end, state=end.where(end != "open", "=" + rows["stage"]), last=end != "open")
    rows = _collapsed(rows.sort_values(["deal", "time", "last"], kind="stable", ignore_index=True))
    position = pd.Series(np.arange(len(rows)), index=rows.index)
    last_open = position.where(~rows["last"]).groupby(rows["deal"]).transform("max")
    taken_back = rows["last"] & (position < last_open)
    again = rows.loc[taken_back, "deal"].unique()
    rows = _collapsed(rows[~taken_back])
    final = rows["deal"] != rows["deal"].shift(-1)
    earlier = rows["last"] & ~final
    several = rows.loc[earlier, "deal"].unique()
    rows = rows[~earlier].reset_index(drop=True)
    follows = rows["deal"] == rows["deal"].shift(-1)
    named = rows["end"].where(rows["last"], rows["stage"])
    visits = rows.assign(
        entered=rows["time"],
        left=rows["time"].shift(-1).where(follows),
        next=named.shift(-1).where(follows, "").astype("str"),
    )
    closed = rows[rows["last"]].set_index("deal")
    closings = pd.DataFrame({"outcome": closed["end"], "closed": closed["time"], "stage": closed["stage"]})
    return Passage(
        visits=visits.loc[~visits["last"], list(VISITS)].reset_index(drop=True),
        closings=closings,
        troubles=tuple(_closed_often(again, several, ids)),
    )


def _collapsed(rows: pd.DataFrame) -> pd.DataFrame:
    """Without rows that say what the row before them said."""
    same = (rows["deal"] == rows["deal"].shift()) & (rows["state"] == rows["state"].shift())
    return rows[~same].reset_index(drop=True)


def _closed_often(again: Any, several: Any, ids: pd.Series[Any]) -> list[Trouble]:
    n = max(1, len(ids))
    found = []
    if len(again):
        action = "the closing was taken back: its time counts as time in the stage before, and the last closing counts"
        bias = "times in that stage include the time while the deal seemed closed"
        found.append(
            Trouble("deals opened again after a closing", len(again), len(again) / n, _shown(again, ids), action, bias)
        )
    if len(several):
        action = "the outcome that was said last counts, from when it was first said"
        bias = "a sale that fell through counts as lost, at that later time; what it had booked until then is not seen"
        found.append(
            Trouble("several closings of one deal", len(several), len(several) / n, _shown(several, ids), action, bias)
        )
    return found


def _shown(deals: Any, ids: pd.Series[Any]) -> tuple[str, ...]:
    return tuple(str(ids.get(deal, deal)) for deal in deals[:_MOST_EXAMPLES])


def one_visit_each(deals: pd.DataFrame, stage: str) -> pd.DataFrame:
    """A visit for each deal of a flat export: from its creation to its closing."""
    is_open = deals["outcome"] == "open"
    return pd.DataFrame(
        {
            "deal": deals.index,
            "stage": pd.Series(stage, index=deals.index, dtype="str"),
            "entered": deals["created"],
            "left": deals["closed"],
            "next": deals["outcome"].where(~is_open, "").astype("str"),
            "owner": deals["owner"],
        },
        columns=list(VISITS),
    ).reset_index(drop=True)


def with_unseen(visits: pd.DataFrame, deals: pd.DataFrame, first: str) -> pd.DataFrame:
    """The visits, and one of the first stage for each deal that has none."""
    unseen = deals[~deals.index.isin(visits["deal"])]
    if unseen.empty:
        return visits
    return pd.concat([visits, one_visit_each(unseen, first)], ignore_index=True)


def stage_order(visits: pd.DataFrame, said: Sequence[str] = ()) -> tuple[str, ...]:
    """The stages from the first to the last: as said, the others by what more often comes before what.

    For each two stages that some deals visit both, the one that more of them enter first comes before the other; where
    such pairs contradict each other, those with the larger majority win (ranked pairs). Ties: the stage that deals
    enter at a younger age, then the name.
    """
    first = visits.drop_duplicates(["deal", "stage"]).copy()
    names = sorted(first["stage"].unique())
    if not names:
        return ()
    first["age"] = (first["entered"] - first.groupby("deal")["entered"].transform("min")).dt.total_seconds()
    # Stages entered at one instant are in the order of their rows.
    first["rank"] = first.groupby("deal").cumcount()
    grid = first.pivot(index="deal", columns="stage", values="rank").reindex(columns=names).to_numpy(dtype=float)
    before = np.array([(grid[:, [k]] < grid).sum(axis=0) for k in range(len(names))], dtype=float)
    ages = first.groupby("stage")["age"].mean()
    young = sorted(range(len(names)), key=lambda k: (float(ages[names[k]]), names[k]))
    fixed = {name: place for place, name in enumerate(said)}
    after = _ranked_pairs(before, [fixed.get(name) for name in names])
    done: list[int] = []
    left = young
    while left:
        k = next((k for k in left if not any(after[j, k] for j in left)), left[0])
        done.append(k)
        left = [j for j in left if j != k]
    return tuple(names[k] for k in done)


def _ranked_pairs(before: Any, fixed: Sequence[int | None]) -> Any:
    """Whether stage i comes before stage j: first as said, then majorities, the largest first, without circles."""
    n = len(before)
    after = np.zeros((n, n), dtype=bool)  # closed under "before what is before"
    margin = before - before.T
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    said = [(i, j) for i, j in pairs if fixed[i] is not None and fixed[j] is not None and fixed[i] < fixed[j]]  # type: ignore[operator]
    seen = sorted((p for p in pairs if margin[p] > 0), key=lambda p: (-margin[p], p))
    for i, j in [*said, *seen]:
        if after[j, i] or after[i, j]:
            continue
        above, below = after[:, i].copy(), after[j].copy()
        above[i], below[j] = True, True
        after |= np.outer(above, below)
    return after


__all__ = ["ENDS", "Passage", "one_visit_each", "passages", "stage_order", "with_unseen"]
