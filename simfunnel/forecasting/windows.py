"""Windows of time after an as-of date, what was won in them, and what replications of a scenario win in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel import kpis, views
from simfunnel.calendars import quarter_of
from simfunnel.engines.records import BOOKED
from simfunnel.numerics import Floats
from simfunnel.plan import NOWHERE, Uncertainty, compile_plan
from simfunnel.replicate import engine_for, simulate
from simfunnel.scenario import Scenario
from simfunnel.scenario.worth import says_values as says_values

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("bookings", "wins")
NEXT_4, NEXT_13, THIS_QUARTER, NEXT_QUARTER = "next 4 weeks", "next 13 weeks", "this quarter", "next quarter"
WINDOWS = (NEXT_4, NEXT_13, THIS_QUARTER, NEXT_QUARTER)
NO_VALUES = "no value of a won deal is known, so money is left out: all figures are numbers of deals"


@dataclass(frozen=True)
class Window:
    """A span of days to forecast: from `begin` until `after`, the first day that no longer belongs to it.

    What was won from `counts_from` until the as-of date belongs to it too: it is known, and added. `begin` is the
    first day after the as-of date, or later.
    """

    name: str
    begin: date
    after: date
    counts_from: date

    def days(self, as_of: date) -> tuple[float, float]:
        """Its two ends in days since the first moment that is not known: midnight after the as-of day."""
        start = as_of + timedelta(days=1)
        return float((self.begin - start).days), float((self.after - start).days)

    def weeks_to_end(self, as_of: date) -> int:
        """Weeks from the as-of date to its end, begun ones counted."""
        return -(-(self.after - as_of).days // 7)


def windows_after(as_of: date, fiscal_year_ends: int = 12) -> tuple[Window, ...]:
    """The next 4 and 13 weeks, the rest of the running fiscal quarter, and the whole quarter after it."""
    start = as_of + timedelta(days=1)
    first, after = quarter_of(start, fiscal_year_ends)
    _, after_next = quarter_of(after, fiscal_year_ends)
    return (
        Window(NEXT_4, start, start + timedelta(weeks=4), start),
        Window(NEXT_13, start, start + timedelta(weeks=13), start),
        Window(THIS_QUARTER, start, after, first),
        Window(NEXT_QUARTER, after, after_next, after),
    )


def worth(deals: pd.DataFrame) -> pd.Series[float]:
    """What each of a history's deals counts as if it is won: its value, or else the mean of the won deals'.

    1 where no won deal's value is known, as in what is fitted to such a history.
    """
    mean = float(deals.loc[deals["outcome"] == "won", "value"].mean())
    values: pd.Series[float] = deals["value"].fillna(1.0 if np.isnan(mean) else mean)
    return values


def has_values(deals: pd.DataFrame) -> bool:
    """Whether a history tells what a won deal was worth."""
    return bool((deals.loc[deals["outcome"] == "won", "value"] > 0).any())


def is_told(metric: str, *, valued: bool) -> bool:
    """Whether a metric means anything: one in money needs values (see `has_values`, `says_values`)."""
    return valued or kpis.METRICS[metric].unit != "money"


def told(table: pd.DataFrame, *, valued: bool) -> pd.DataFrame:
    """The rows of a table whose metric means anything."""
    if valued or "metric" not in table:
        return table
    return table[[is_told(metric, valued=valued) for metric in table["metric"]]].reset_index(drop=True)


def won_between(deals: pd.DataFrame, first: date, after: date) -> dict[str, float]:
    """Bookings and wins of a history's deals from day `first` until day `after`; see `worth`."""
    import pandas as pd

    closed = deals["closed"]
    here = (deals["outcome"] == "won") & (closed >= pd.Timestamp(first)) & (closed < pd.Timestamp(after))
    return {"bookings": float(worth(deals)[here].sum()), "wins": float(here.sum())}


@dataclass(frozen=True)
class Foreseen:
    """What one method foresees after an as-of date.

    `totals` has for each window and metric an ensemble of totals, without what was won before. `chances` has for each
    window the chance of each open deal (in the history's order) to be won in it; {} from a method that knows no deals.
    """

    totals: dict[tuple[str, str], Floats]
    chances: dict[str, Floats]


def foreseen(scenario: Scenario, as_of: date, windows: Sequence[Window], replications: int, seed: int) -> Foreseen:
    """What replications of a scenario that begins on the day after `as_of` win in each window.

    The same replications as those of `replicate.run`; only wins and bookings are taken of them, which is quicker than
    all metrics. The scenario must reach the end of every window.
    """
    spec = scenario.spec
    uncertainty = Uncertainty(spec)
    engine = engine_for(scenario)
    fixed = None if uncertainty.places else compile_plan(spec, folder=str(scenario.folder))
    spans = {window.name: window.days(as_of) for window in windows}
    totals = {(name, metric): np.zeros(replications) for name in spans for metric in METRICS}
    chances: dict[str, Any] = dict.fromkeys(spans, 0.0)
    for k in range(replications):
        plan = fixed or compile_plan(uncertainty.settled(seed, k), folder=str(scenario.folder))
        records = simulate(plan, seed, k, engine)
        won = views.view_of(records, plan, "all").won
        when, who = records.moves.time[won], records.moves.prospect[won]
        money = records.money.kind == BOOKED
        booked, amounts = records.money.time[money], records.money.amount[money]
        deal = records.prospects.deal[who]
        for name, (begin, after) in spans.items():
            here = (when >= begin) & (when < after)
            totals[name, "wins"][k] = here.sum()
            totals[name, "bookings"][k] = amounts[(booked >= begin) & (booked < after)].sum()
            listed = deal[here & (deal != NOWHERE)]
            chances[name] = chances[name] + np.bincount(listed, minlength=len(plan.deal_names)) / replications
    return Foreseen(totals, chances)
