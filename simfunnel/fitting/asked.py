"""What share of the amount that a deal had while it was open is booked when it is won.

An export shows open deals with what is asked for them; discounts, or what is added, change that until the win. Where a
history tells the amounts that won deals had while they were open, each one's final value over its open amount (the
geometric mean over the days on which it was open, for an open deal may be seen on any of them) tells that share. What
counts is the sum of what is booked, so it is the final values' sum over that of the open amounts (a ratio estimator:
Cochran 1977, chapter 6), in which large deals weigh as much as they bring. It is taken only if it is not 1 beyond
chance, and if it foretells the final values of other deals better than their open amounts do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.fitting.figures import Estimate, Floats, factor_estimate

FEWEST = 30  # won deals with both amounts
_SURE = 2.6  # standard errors by which the mean must differ from 1: chance does that once in a hundred times
_SMALL = 0.02  # on the logarithm
_PLACEHOLDER = 10.0  # an amount so many times larger or smaller than the final one was none
_FOLDS = 5


def fit_share(history: History) -> Estimate | None:
    """The share of their open amount that won deals bring; None where none is known, or it is no better than 1."""
    final, asked = final_and_asked(history)
    if len(final) < FEWEST:
        return None
    share = float(final.sum() / asked.sum())
    doubt = float(np.sqrt(((final - share * asked) ** 2).sum() / (len(final) - 1) / len(final)) / final.mean())
    log = float(np.log(share))
    if abs(log) < _SMALL or abs(log) < _SURE * doubt or not _foretells(final, asked):
        return None
    shrunk = log * (1 - (doubt / log) ** 2)
    how = "sum of final values over that of the amounts while open, of won deals, shrunk toward 1"
    return factor_estimate(shrunk, doubt, how, len(final))


def final_and_asked(history: History) -> tuple[Floats, Floats]:
    """The final value and the amount while open of each won deal that tells both, in order of closing."""
    deals, amounts = history.deals, history.amounts
    won = deals[(deals["outcome"] == "won") & (deals["value"] > 0)].sort_values("closed", kind="stable")
    if amounts is None or won.empty:
        return np.empty(0), np.empty(0)
    rows = amounts[amounts["deal"].isin(won.index)]
    born, closed = (won[name].reindex(rows["deal"]).set_axis(rows.index) for name in ("created", "closed"))
    since = rows["at"].clip(lower=born)
    until = since.groupby(rows["deal"]).shift(-1).fillna(closed).clip(upper=closed)
    days = (until - since).dt.total_seconds() / 86400
    used = (days > 0) & (rows["value"] > 0)
    logs = np.log(rows.loc[used, "value"].astype(float))
    weighted = pd.DataFrame({"deal": rows.loc[used, "deal"], "sum": logs * days[used], "days": days[used]})
    of_deal = weighted.groupby("deal")[["sum", "days"]].sum().reindex(won.index)
    asked = np.exp((of_deal["sum"] / of_deal["days"]).to_numpy(dtype=float))
    final = won["value"].to_numpy(dtype=float)
    meant = np.abs(np.log(final / asked)) < np.log(_PLACEHOLDER)  # and not NaN
    return final[meant], asked[meant]


def _foretells(final: Floats, asked: Floats) -> bool:
    """Whether the share of the others foretells the values of each fifth in time better than the open amounts do."""
    fold = np.arange(len(final)) * _FOLDS // len(final)
    others = np.array([final[fold != k].sum() / asked[fold != k].sum() for k in range(_FOLDS)])[fold]
    return bool(np.abs(final - others * asked).sum() < np.abs(final - asked).sum())


def as_asked(history: History, share: Estimate | None) -> History:
    """The history with won deals' values as they were while open, so that they compare with those of open deals."""
    if share is None:
        return history
    deals = history.deals
    asked = deals["value"].where(deals["outcome"] != "won", deals["value"] / share.value)
    return replace(history, deals=deals.assign(value=asked))


def share_words(share: Estimate) -> str:
    """A sentence on it."""
    return (
        f"a win books {share.value:.1%} ({share.low:.1%} to {share.high:.1%}) of the amount that a deal has while it "
        f"is open, by the history of {share.n:,} won deals; values are amounts while open, those of won deals their "
        "final values over this share"
    )
