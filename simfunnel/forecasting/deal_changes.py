"""Which deals were won, lost, new, moved or changed between two looks at the same deals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from simfunnel.calendars import quarter_of
from simfunnel.crm import History
from simfunnel.errors import InputError
from simfunnel.forecasting.forecast import open_deals_for
from simfunnel.forecasting.windows import worth
from simfunnel.scenario import Scenario

Rows = dict[str, dict[str, Any]]
"""Open deals by name, each as `History.open_deals` has it."""
MOST_QUARTERS = 40


@dataclass(frozen=True)
class Span:
    """The quarter that is forecast: from day `first` to the day before `end`."""

    name: str
    first: date
    end: date
    fiscal_year_ends: int

    def quarters_from(self, start: date) -> int:
        """How many quarters a forecast that begins on `start` needs to reach the end."""
        day, count = start, 0
        while day < self.end:
            day, count = quarter_of(day, self.fiscal_year_ends)[1], count + 1
        if count > MOST_QUARTERS:
            raise InputError(f"the earlier forecast's date lies more than {MOST_QUARTERS} quarters before {self.name}")
        return count


class Change:
    """What changed for the deals of a quarter between two histories; each attribute lists or holds deals by name.

    `then` and `now` are the open deals of both, `sure_then` and `sure_now` what is already won in the quarter. `came`
    are those of the new deals of which something is or may still be booked in it.
    """

    def __init__(self, before: History, after: History, span: Span, notes: list[str], *models: Scenario) -> None:
        self.span, self.since, self.until = span, before.as_of, after.as_of
        self.then, self.now = _open(before, models), _open(after, models)
        self.sure_then, self.sure_now = _booked(before, span), _booked(after, span)
        won_now = set(_names(after.deals[after.deals["outcome"] == "won"]))
        there_now = set(_names(after.deals))
        self.won = [i for i in self.then if i in won_now]
        self.lost = [i for i in self.then if i not in won_now and i not in self.now]
        self.undone = [i for i in self.sure_then if i not in self.sure_now]
        self.kept = [i for i in self.then if i in self.now]
        earlier = set(self.then) | set(self.sure_then)
        self.came = [i for i in (*self.now, *self.sure_now) if i not in earlier] + [
            i for i in self.undone if i in self.now
        ]
        days = (self.until - self.since).days
        self.new = set(self.came) | (there_now - set(_names(before.deals)))
        self.moved = {i for i in self.kept if _has_moved(self.then[i], self.now[i], days)}
        self.valued = {i for i in self.kept if _differs(self.then[i].get("value"), self.now[i].get("value"))}
        self.valued |= {i for i in self.sure_then if i in self.sure_now and self.sure_then[i] != self.sure_now[i]}
        self.changed = {i for i in self.kept if _others(self.then[i]) != _others(self.now[i])} - self.valued
        self.ids = list(dict.fromkeys((*self.then, *self.sure_then, *self.now, *self.sure_now)))
        gone = [i for i in self.lost if i not in there_now]
        if gone:
            notes.append(f"{len(gone):,} deals are gone from the later export, such as {gone[0]}; they count as lost")
        if self.undone:
            notes.append(
                f"{len(self.undone):,} deals that were won in {span.name} by {self.since} are not so in the later "
                "export (another outcome, or another date); they count as lost"
            )

    def fate(self, deal: str) -> str:
        """What became of a deal, in a word or two."""
        fates = (
            ("new", set(self.came) - set(self.undone)),
            ("won", set(self.won)),
            ("lost", set(self.lost) | set(self.undone)),
            ("moved", self.moved),
            ("value changed", self.valued),
            ("owner or segment changed", self.changed),
        )
        known = next((name for name, deals in fates if deal in deals), "")
        return known or ("won before" if deal in self.sure_then else "open as before")


def _names(deals: pd.DataFrame) -> list[str]:
    return [str(name) for name in deals["id"]]


def _open(history: History, models: tuple[Scenario, ...]) -> Rows:
    rows = open_deals_for(history, *models).to_dict("records")
    return {str(row["id"]): {str(k): v for k, v in row.items()} for row in rows}


def _booked(history: History, span: Span) -> dict[str, float]:
    """What is already won in the quarter, by deal, as in a forecast (see `windows.worth`)."""
    deals = history.deals
    here = (deals["closed"] >= pd.Timestamp(span.first)) & (deals["closed"] < pd.Timestamp(span.end))
    rows = deals[(deals["outcome"] == "won") & here]
    return dict(zip(_names(rows), worth(deals)[rows.index].tolist(), strict=True))


def _has_moved(then: dict[str, Any], now: dict[str, Any], days: int) -> bool:
    """Whether a deal stands elsewhere, or anew in the same stage, and not only `days` longer where it stood."""
    return bool(then["stage"] != now["stage"] or abs(now["age"] - then["age"] - days) > 1.5)


def _differs(then: Any, now: Any) -> bool:
    known = [v is not None and v == v for v in (then, now)]
    return known[0] != known[1] or (known[0] and bool(abs(then - now) > 0.005))


def _others(row: dict[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in row.items() if k not in ("id", "stage", "age", "value")}
