"""What checks of an export look at, and what they find: troubles, and the report of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pandas as pd

from simfunnel.formatting import counted

__all__ = ["VISITS", "Check", "Evidence", "Found", "QualityReport", "Trouble", "among", "created_on"]

VISITS = ("deal", "stage", "entered", "left", "next", "owner")


@dataclass(frozen=True)
class Trouble:
    """One thing that can't be trusted: how often, for example where, what was done, what may still be off."""

    name: str
    count: int
    share: float
    examples: tuple[str, ...]
    action: str
    bias: str
    of: str = "deals"


@dataclass(frozen=True)
class QualityReport:
    """All troubles found in an export of so many deals."""

    troubles: tuple[Trouble, ...]
    deals: int

    def to_frame(self) -> pd.DataFrame:
        """One row a trouble: trouble, count, share (0 to 1), examples, action, bias."""
        names = ["trouble", "count", "share", "examples", "action", "bias"]
        rows = [(t.name, t.count, t.share, ", ".join(t.examples), t.action, t.bias) for t in self.troubles]
        return pd.DataFrame(rows, columns=names)

    def to_text(self) -> str:
        """The report as a person reads it."""
        deals = counted(self.deals, "deal")
        if not self.troubles:
            return f"Data quality: no trouble found in {deals}."
        lines = [f"Data quality: {counted(len(self.troubles), 'trouble')} in {deals}"]
        for trouble in self.troubles:
            shown = f" ({trouble.share:.1%} of {trouble.of})" if 0 < trouble.share < 1 else ""
            examples = f", for example {', '.join(trouble.examples)}" if trouble.examples else ""
            lines += [f"- {trouble.name}: {trouble.count:,}{shown}{examples}", f"    done: {trouble.action}"]
            lines += [f"    mind: {trouble.bias}"] if trouble.bias else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Evidence:
    """What the checks look at: deals, visits and tasks as known on a date.

    `deals` has canonical columns (see `history.Draft`); `others` names its further columns. `visits` and `tasks` name a
    deal by its label in the index of `deals`; they are empty where the export has none. `beyond` has the rows whose
    dates must be slips; `complete` means that every deal is seen from its first moment on; `watched_from` is the
    first day whose closings are in the export, where it tells that. `loaded_on` are the first and the last of the days
    on which nearly all deals were loaded at once, where such are found.
    """

    deals: pd.DataFrame = field(repr=False)
    as_of: date
    others: tuple[str, ...] = ()
    beyond: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    visits: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(VISITS)), repr=False)
    tasks: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    stages: tuple[str, ...] = ()
    complete: bool = False
    watched_from: date | None = None
    loaded_on: tuple[date, date] | None = None

    def without(self, rows: pd.Series[Any]) -> Evidence:
        """The same without some deals, and what belongs to them."""
        deals = self.deals[~rows]
        visits, tasks = (t[t["deal"].isin(deals.index)] if len(t) else t for t in (self.visits, self.tasks))
        return replace(self, deals=deals, visits=visits, tasks=tasks)

    def changed(self, **columns: Any) -> Evidence:
        """The same with some columns of the deals replaced."""
        return replace(self, deals=self.deals.assign(**columns))

    @property
    def loaded(self) -> pd.Series[bool]:
        """Which deals were loaded at once (see `loaded_on`)."""
        return created_on(self.deals["created"], self.loaded_on)

    def is_(self, *outcomes: str) -> pd.Series[Any]:
        """Which deals have one of these outcomes."""
        return self.deals["outcome"].isin(outcomes)


def created_on(created: pd.Series[Any], days: tuple[date, date] | None) -> pd.Series[bool]:
    """Which deals were created from the first to the last of some days; none where there are no such days."""
    if days is None:
        return pd.Series(False, index=created.index)
    found: pd.Series[bool] = created.dt.normalize().between(pd.Timestamp(days[0]), pd.Timestamp(days[1]))
    return found


Found = tuple[Trouble, Evidence] | None
Check = Callable[[Evidence], Found]


def among(evidence: Evidence, rows: pd.Series[Any], name: str, action: str, bias: str, show: str = "id") -> Trouble:
    """A trouble that some deals have, with the first of them as examples."""
    shown = evidence.deals.loc[rows, show].dropna().head(3)
    examples = tuple(str(value.date() if isinstance(value, pd.Timestamp) else value) for value in shown)
    return Trouble(name, int(rows.sum()), float(rows.mean()), examples, action, bias)
