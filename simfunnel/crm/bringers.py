"""Who brought whom: whether a column with the id of who referred a deal can be trusted, and what was done about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.evidence import Check, Evidence, Found, among

BROUGHT_BY = "brought_by"
ORIGIN = "brought"  # the attribute that says whether another brought a deal
REFERRED, NOT_REFERRED = "referred", "not referred"  # its levels
_MOST_UNKNOWN = 0.5  # share of ids beyond which the column must mean something else
_LATE = 0.2  # points by which open deals' cells are empty more often, if they are filled in as a deal ends
_NEVER_LOST = 0.1  # of the share of won deals that have one: if lost deals have fewer, it is filled in with the win
_FEWEST = 20
_ORDINARY = "these deals count as ordinary new ones"


def ids_of(column: pd.Series[Any]) -> pd.Series[Any]:
    """The ids in a column of text, NaN where there is none."""
    ids: pd.Series[Any] = column.str.strip()
    return ids.where(ids != "")


def with_origin(deals: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The deals with an attribute that says whether another brought them, and its name; none where few were."""
    if BROUGHT_BY not in deals or ORIGIN in deals:
        return deals, ()
    told = deals[BROUGHT_BY].notna()
    if min(told.sum(), (~told).sum()) < _FEWEST:
        return deals, ()
    return deals.assign(**{ORIGIN: np.where(told, REFERRED, NOT_REFERRED)}).astype({ORIGIN: "str"}), (ORIGIN,)


def filled_late(deals: pd.DataFrame) -> bool:
    """Whether who brought a deal is filled in only as it ends, so that it tells that it did."""
    if BROUGHT_BY not in deals:
        return False
    known = deals[BROUGHT_BY].notna()
    share = known.groupby(deals["outcome"]).mean()
    count = deals["outcome"].value_counts()
    ended = deals["outcome"] != "open"
    if count.get("open", 0) >= _FEWEST and ended.sum() >= _FEWEST:
        here, there = float(share["open"]), float(known[ended].mean())
        error = (there * (1 - there) * (1 / count["open"] + 1 / int(ended.sum()))) ** 0.5
        if there - here > max(_LATE, 4 * error):
            return True
    lost, won = float(share.get("lost", 0.0)), float(share.get("won", 0.0))
    return bool(min(count.get("won", 0), count.get("lost", 0)) >= _FEWEST and won > _LATE and lost < _NEVER_LOST * won)


def bringers_filled_late(evidence: Evidence) -> Found:
    """A column of bringers that gives the outcome away."""
    if not filled_late(evidence.deals):
        return None
    rows = evidence.deals[BROUGHT_BY].notna()
    bias = "it is set when a deal ends, so a forecast may not look at it; referrals count as ordinary new deals"
    trouble = among(evidence, rows, "who brought a deal is told only once it has ended", "not used", bias, BROUGHT_BY)
    return trouble, evidence.changed(**{BROUGHT_BY: np.nan})


def unknown_bringers(evidence: Evidence) -> Found:
    """Deals brought by an id that no deal has."""
    told = _told(evidence)
    rows = told & ~evidence.deals.get(BROUGHT_BY, evidence.deals["id"]).isin(evidence.deals["id"])
    if not rows.any():
        return None
    share = float(rows.sum() / told.sum())
    if share > _MOST_UNKNOWN:
        action = f"the column is not used: {share:.0%} of its ids are those of no deal"
        rows, bias = told, "if they are ids of accounts or people, give the id of the deal that brought each"
    else:
        action, bias = _ORDINARY, "each one brings more than is counted, if those who brought them are missing"
    trouble = among(evidence, rows, "brought by an id that no deal has", action, bias, BROUGHT_BY)
    return trouble, _forgotten(evidence, rows)


def brought_before(evidence: Evidence) -> Found:
    """Deals created before the deal that brought them."""
    deals = evidence.deals
    rows = _told(evidence)
    if rows.any():
        born = deals.drop_duplicates("id").set_index("id")["created"]
        rows &= deals["created"] < deals[BROUGHT_BY].map(born)
    if not rows.any():
        return None
    bias = "if the column means who is to be brought, it is the wrong way round"
    return among(evidence, rows, "brought before the bringer was created", _ORDINARY, bias), _forgotten(evidence, rows)


def circles(evidence: Evidence) -> Found:
    """Deals that brought themselves, by a chain of any length."""
    told = _told(evidence)
    if not told.any():
        return None
    by: dict[str, str] = dict(evidence.deals.loc[told, ["id", BROUGHT_BY]].astype("str").itertuples(index=False))
    rows = told & evidence.deals["id"].isin(_in_circles(by))
    if not rows.any():
        return None
    return among(evidence, rows, "brought by themselves, in a circle", _ORDINARY, ""), _forgotten(evidence, rows)


def _in_circles(by: dict[str, str]) -> set[str]:
    """The ids on a circle of who was brought by whom."""
    found: set[str] = set()
    done: set[str] = set()
    for start in by:
        path: dict[str, int] = {}
        here: str | None = start
        while here is not None and here not in done and here not in path:
            path[here] = len(path)
            here = by.get(here)
        if here in path:
            found |= {name for name, k in path.items() if k >= path[str(here)]}
        done |= path.keys()
    return found


def _told(evidence: Evidence) -> pd.Series[Any]:
    """Which deals have a bringer."""
    if BROUGHT_BY not in evidence.deals:
        return pd.Series(False, index=evidence.deals.index)
    return evidence.deals[BROUGHT_BY].notna()


def _forgotten(evidence: Evidence, rows: pd.Series[Any]) -> Evidence:
    """The same with the bringer of some deals forgotten."""
    return evidence.changed(**{BROUGHT_BY: evidence.deals[BROUGHT_BY].where(~rows)})


BRINGER_CHECKS: tuple[Check, ...] = (bringers_filled_late, unknown_bringers, brought_before, circles)

__all__ = [
    "BRINGER_CHECKS",
    "BROUGHT_BY",
    "NOT_REFERRED",
    "ORIGIN",
    "REFERRED",
    "filled_late",
    "ids_of",
    "with_origin",
]
