"""What share of the amount that a deal had while it was open is booked when it is won.

An export shows open deals with what is asked for them; discounts, or what is added, change that until the win. Where a
history tells the amounts that won deals had while they were open, each one's final value over its open amount (the
geometric mean over the days on which it was open, for an open deal may be seen on any of them) is a draw of that
share. Its mean is what open amounts are worth. It is taken only if it is not 1 beyond chance, and if it foretells the
final values of other deals better than their open amounts do.
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
    shares = final_shares(history)
    if len(shares) < FEWEST:
        return None
    mean, error = float(shares.mean()), float(shares.std(ddof=1)) / len(shares) ** 0.5
    log, doubt = float(np.log(mean)), error / mean
    if abs(log) < _SMALL or abs(log) < _SURE * doubt or not _foretells(shares):
        return None
    shrunk = log * (1 - (doubt / log) ** 2)
    how = "final value over the amount while open, mean of won deals, shrunk toward 1"
    return factor_estimate(shrunk, doubt, how, len(shares))


def final_shares(history: History) -> Floats:
    """Of each won deal whose amounts are known the final value over that while it was open, in order of closing."""
    deals, amounts = history.deals, history.amounts
    won = deals[(deals["outcome"] == "won") & (deals["value"] > 0)].sort_values("closed", kind="stable")
    if amounts is None or won.empty:
        return np.empty(0)
    rows = amounts[amounts["deal"].isin(won.index)]
    born, closed = (won[name].reindex(rows["deal"]).set_axis(rows.index) for name in ("created", "closed"))
    since = rows["at"].clip(lower=born)
    until = since.groupby(rows["deal"]).shift(-1).fillna(closed).clip(upper=closed)
    days = (until - since).dt.total_seconds() / 86400
    used = (days > 0) & (rows["value"] > 0)
    logs = np.log(won["value"].reindex(rows.loc[used, "deal"]).to_numpy() / rows.loc[used, "value"].to_numpy())
    weighted = pd.DataFrame({"deal": rows.loc[used, "deal"], "sum": logs * days[used], "days": days[used]})
    of_deal = weighted.groupby("deal")[["sum", "days"]].sum().reindex(won.index).dropna()
    mean = (of_deal["sum"] / of_deal["days"]).to_numpy(dtype=float)
    shares: Floats = np.exp(mean[np.abs(mean) < np.log(_PLACEHOLDER)])
    return shares


def _foretells(shares: Floats) -> bool:
    """Whether the mean of the others foretells the shares of each fifth in time better than 1 does."""
    fold = np.arange(len(shares)) * _FOLDS // len(shares)
    others = np.array([shares[fold != k].mean() for k in range(_FOLDS)])[fold]
    return bool(((shares - others) ** 2).sum() < ((shares - 1) ** 2).sum())


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
