"""Deals that were loaded at once: the days of an import, which tell neither ages nor how many new deals come.

Nearly all deals were created within a few days, though what became of them reaches over a much longer time. A young
business has such days too, but no longer time behind it; a trade fair's leads are not nearly all deals of a history.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.evidence import Evidence, Found, Trouble
from simfunnel.formatting import counted

_FEWEST = 10  # deals; fewer may come together by chance
_NEARLY_ALL = 0.8  # of all deals
_FEW_DAYS = 3  # within which a load ends
_LONGER = 4  # times those few days, over which closings reach where the deals were not new
_STRAY = 0.05  # of closings at either end, which may be slips
_ACTION = "not counted as new deals: only those created on other days tell how many come"
_BIAS = (
    "probably the {days} of an import: ages and the rate of new deals can't be seen; where none came on other days, "
    "none are forecast (write a rate into the scenario if you know it)"
)


def created_at_once(evidence: Evidence) -> Found:
    """Deals that all have one creation date, or nearly all a few, as after a migration."""
    days = evidence.deals["created"].dropna().dt.normalize()
    if len(days) < _FEWEST:
        return None
    first, last, count = _fullest(days)
    alone = days.nunique() == 1
    if not alone and (count < max(_NEARLY_ALL * len(days), _FEWEST) or not _reaches_beyond(evidence)):
        return None
    span = "one day" if first == last else counted((last - first).days + 1, "day")
    dates = str(first) if first == last else f"{first} to {last}"
    name = "one creation date for all" if alone else f"created within {span}, though closings reach over a longer time"
    bias = _BIAS.format(days="day" if first == last else "days")
    trouble = Trouble(name, count, count / len(evidence.deals), (dates,), _ACTION, bias)
    return trouble, replace(evidence, loaded_on=(first, last))


def _fullest(days: pd.Series[Any]) -> tuple[date, date, int]:
    """The first and the last of the few days on which most deals were created, and how many were."""
    every = np.sort(days.to_numpy().astype("datetime64[D]"))
    until = np.searchsorted(every, every + np.timedelta64(_FEW_DAYS, "D"))
    begin = int((until - np.arange(len(every))).argmax())
    first, last = every[begin], every[until[begin] - 1]
    return first.item(), last.item(), int(until[begin]) - begin


def _reaches_beyond(evidence: Evidence) -> bool:
    """Whether closings, and those expected until now, reach over a much longer time than those few days."""
    deals = evidence.deals
    passed = deals["expected"].where(deals["expected"] <= pd.Timestamp(evidence.as_of))
    known = deals["closed"].fillna(passed).dropna()
    if len(known) < max(1.0, _STRAY * len(deals)):
        return False
    last = known.quantile(1 - _STRAY)
    long = pd.Timedelta(days=_LONGER * _FEW_DAYS)
    return bool(last - known.quantile(_STRAY) > long or last - deals["created"].median() > long)


__all__ = ["created_at_once"]
