"""Who brought whom: whether a column with the id of who referred a deal can be trusted, and what was done about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.evidence import Check, Evidence, Found, among
from simfunnel.crm.leaks import one_sided

BROUGHT_BY = "brought_by"
ORIGIN = "brought"  # the attribute that says whether another brought a deal
REFERRED, NOT_REFERRED = "referred", "not referred"  # its levels
_MOST_UNKNOWN = 0.5  # share of ids beyond which the column must mean something else
_LATE = 0.2  # points by which open deals' cells are empty more often, if they are filled in as a deal ends
_SURE, _LIKELY = 4.0, 1.64  # standard errors that leave no doubt, and those that add to what else is seen
_STILL_OPEN = 0.1  # share of open deals that are older than those they are compared with
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
    """Whether who brought a deal is often filled in only as it ends, or is won, so that it tells that it did.

    Referred deals may truly be won more often; but then they are found among open deals as among those that ended.
    """
    if BROUGHT_BY not in deals:
        return False
    known = deals[BROUGHT_BY].notna()
    won, lost, ended = deals["outcome"] == "won", deals["outcome"] == "lost", deals["outcome"] != "open"
    if min(ended.sum(), (~ended).sum()) >= _FEWEST:
        here, n = _share(known[~ended]), int((~ended).sum())
        usual, worth, alike = _usual_among_open(deals, known, ended)
        short = _short(here, n, usual, worth)
        rarer = here < min(usual, alike) / 2
        if short > _SURE and (rarer or min(usual, alike) - here > _LATE):
            return True
        if rarer and short > _LIKELY and _won_alone(known, won, lost, 0.5):
            return True
    if _won_alone(known, won, lost, _NEVER_LOST) and _share(known[won]) > _LATE:
        return True
    return bool(one_sided(known.map({True: REFERRED, False: NOT_REFERRED})[ended], won[ended]))


def _usual_among_open(deals: pd.DataFrame, known: pd.Series[Any], ended: pd.Series[Any]) -> tuple[float, float, float]:
    """The share of referred deals among those that were open earlier, its number of cases, and a share of like dates.

    It is that of the days that deals were open, until most of those that still are were created: it holds however soon
    referred deals end. The share of like dates is that of deals that have ended and were created since then.
    """
    until = deals.loc[~ended, "created"].quantile(_STILL_OPEN)
    since = until - (until - deals["created"].min()) / 2
    closed, created = deals["closed"], deals["created"]
    days = (closed.where(closed < until, until) - created.where(created > since, since)).dt.total_seconds()
    days = days.clip(lower=0.0).fillna(0.0) / 86400
    alike = _share(known[ended & (deals["created"] >= until)])
    if not days.any():
        return 0.0, 0.0, alike
    return float((days * known).sum() / days.sum()), float(days.sum() ** 2 / (days**2).sum()), alike


def _won_alone(known: pd.Series[Any], won: pd.Series[Any], lost: pd.Series[Any], most: float) -> bool:
    """Whether lost deals surely have a bringer less often than won ones: less than `most` of their share."""
    n = int(lost.sum()), int(won.sum())
    some, many = _share(known[lost]), _share(known[won])
    return min(n) >= _FEWEST and some < most * many and _short(some, n[0], many, n[1]) > _SURE


def _short(share: float, n: float, usual: float, of: float) -> float:
    """By how many standard errors a share falls short of another."""
    error = (usual * (1 - usual) * (1 / max(n, 1) + 1 / max(of, 1))) ** 0.5
    return float((usual - share) / max(error, 1e-9))


def _share(known: pd.Series[Any]) -> float:
    return float(known.mean()) if len(known) else 0.0


def bringers_filled_late(evidence: Evidence) -> Found:
    """A column of bringers that gives the outcome away."""
    if not filled_late(evidence.deals):
        return None
    rows = evidence.deals[BROUGHT_BY].notna()
    bias = (
        "it is set when a deal ends or is won, so a forecast may not look at it; referrals count as ordinary new deals"
    )
    trouble = among(
        evidence, rows, "who brought a deal is often told only once it has ended", "not used", bias, BROUGHT_BY
    )
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
    bias = "fewer deals bring others than did, if only one link of a circle is wrong"
    return among(evidence, rows, "brought by themselves, in a circle", _ORDINARY, bias), _forgotten(evidence, rows)


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
