"""Where new deals come from, as a scenario writes it: one source, or one for each channel, and those that others bring.

A channel stays an attribute as well, which its source sets: so what depends on the channel holds alike for new deals
and for open ones, of which it is known whatever source they are listed under.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.calendars import Calendar
from simfunnel.crm.bringers import NOT_REFERRED as NOT_BROUGHT
from simfunnel.crm.bringers import ORIGIN
from simfunnel.crm.bringers import REFERRED as BROUGHT
from simfunnel.crm.importing import History
from simfunnel.fitting import writing
from simfunnel.fitting.arrivals import Arrivals
from simfunnel.fitting.bringing import Bringing, dated
from simfunnel.fitting.channels import POOLED, Channels, unlike
from simfunnel.fitting.figures import Estimate, Row, as_row, sensible, values_of
from simfunnel.fitting.writing import NEW, OPEN, Effect, goal_name

REFERRED, EARLIER = "referrals", "referrals of earlier deals"
_CHANCE = 1e-4  # below it, deals that others bring are taken to be of other kinds
_OTHER = "other"  # the case of a source that no case names
_TAKEN = {NEW, OPEN, REFERRED, EARLIER, _OTHER, POOLED}


@dataclass(frozen=True)
class Coming:
    """All new deals: how many in all that nobody brought, by channel where there are any, and whom deals bring."""

    arrivals: Arrivals
    channels: Channels | None
    bringing: Bringing | None

    @cached_property
    def names(self) -> dict[str, str]:
        """Each channel -> its source's name, which no other source has."""
        found = self.channels.sources if self.channels else {}
        names = {name: name for name in found if name not in _TAKEN - {POOLED} and "->" not in name}
        for name in found:
            if name not in names:
                names[name] = unlike(f"{name} (channel)", {*_TAKEN, *names.values()})
        return {name: names[name] for name in found}

    @property
    def everyone(self) -> Arrivals:
        """The arrivals with those that others brought: what the sellers have been busy with."""
        if self.bringing is None:
            return self.arrivals
        others = float((self.bringing.brought == 0).sum())
        more = len(self.bringing.brought) / max(others, 1.0)
        rate = self.arrivals.rate
        return replace(
            self.arrivals, rate=replace(rate, value=rate.value * more, low=rate.low * more, high=rate.high * more)
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted."""
        parts = (self.arrivals, self.channels, self.bringing)
        return tuple(said for part in parts if part is not None for said in part.assumptions)

    @property
    def comment(self) -> str:
        """What to say above the sources besides."""
        if self.channels is None:
            return ""
        return (
            "Each channel's interval is its own doubt; what all of them share is one effect on arrivals, below: so "
            "their sum is as sure as that of all.\n"
        )

    # --- the parts of the scenario ---

    def sources(self, stage: str, start: date, opened: Calendar | None = None) -> dict[str, Any]:
        """New deals at their rates, those that others bring, and a place for the deals that are open at the start.

        Where deals come in the open hours of a calendar alone, it is `opened`.
        """
        written = writing.sources(self.arrivals, stage, opened)
        if self.channels is not None:
            season = values_of(self.arrivals.season)
            mine = {
                self.names[name]: writing.source(one.rate, values_of(one.weekday), season, stage, opened)
                for name, one in self.channels.sources.items()
            }
            written = {**mine, OPEN: written[OPEN]}
        if self.bringing is None:
            return written
        more: dict[str, Any] = {REFERRED: {"enters": stage}}
        if self._earlier:
            more[EARLIER] = {"rate": dated(self.bringing.coming, start), "enters": stage}
        here = written.pop(OPEN)
        return {**written, **more, OPEN: here}

    @property
    def _earlier(self) -> bool:
        """Whether deals that have left still bring others, so many that it can be written."""
        return self.bringing is not None and any(rate > 1e-4 for _, rate in self.bringing.coming)

    def effects(self, fiscal_year_ends: int) -> list[Effect]:
        """What raises and lowers arrivals: days, and what isn't known of all channels together."""
        mine = list(self.names.values())
        written = writing.arrival_effects(self.arrivals, fiscal_year_ends, mine or NEW)
        if self.channels is not None:
            common = self.channels.common
            if common.high > 1.0005:
                written.append({"on": mine, "arrivals": f"x{common.low:.4g} to x{common.high:.4g}"})
        if self._earlier and self.bringing is not None:
            mean = self.bringing.referrals.mean
            doubt = f"x{mean.low / mean.value:.3g} to x{mean.high / mean.value:.3g}"
            written.append({"on": EARLIER, "arrivals": doubt})
        return written

    def with_referrals(self, stages: dict[str, Any]) -> dict[str, Any]:
        """The stages with the one from which people refer."""
        if self.bringing is None:
            return stages
        name, timing = goal_name(self.bringing.stage), self.bringing.timing
        after = {timing.kind: {"mean": writing.duration(timing.mean.value), "cv": sensible(timing.cv.value)}}
        rule = {"number": self.bringing.referrals.written_with_doubt(), "after": after, "source": REFERRED}
        return {**stages, name: {**stages[name], "refers": rule}}

    def attribute(self, history: History, name: str, counts: dict[str, tuple[int, int]]) -> dict[str, Any]:
        """An attribute's shares; by source those of the channel, and of what differs with who brought a deal."""
        whole: dict[str, Any] = dict(writing.shares(counts))
        by_others = (REFERRED, *([EARLIER] if self._earlier else []))
        if self.bringing is not None and name == ORIGIN and set(counts) == {BROUGHT, NOT_BROUGHT}:
            cases = dict.fromkeys(by_others, _shares({BROUGHT: 1}))
            return {"by": "source", "cases": {**cases, _OTHER: _shares({NOT_BROUGHT: 1})}}
        brought, others = self._levels(history, name)
        if self.channels is not None and name == self.channels.attribute:
            cases = {self.names[k]: _shares(one.levels) for k, one in self.channels.sources.items()}
            cases |= dict.fromkeys(by_others, _shares(brought)) if brought else {}
            return {"by": "source", "cases": {**cases, _OTHER: whole}}
        if brought and _differ(brought, others):
            cases = dict.fromkeys(by_others, _shares(brought))
            return {"by": "source", "cases": {**cases, _OTHER: _shares(others)}}
        return whole

    def _levels(self, history: History, name: str) -> tuple[dict[str, int], dict[str, int]]:
        """How many new deals have each level of an attribute: those that another brought, and the others."""
        fresh = (history.deals["created"] >= pd.Timestamp(history.observed_from)).to_numpy()
        mine = np.zeros(len(fresh)) if self.bringing is None else self.bringing.brought
        counts = [history.deals.loc[fresh & (mine == k), name].value_counts() for k in (1, 0)]
        brought, others = ({str(level): int(n) for level, n in count.items()} for count in counts)
        return brought, others

    # --- the table ---

    def rows(self) -> Iterator[Row]:
        """A row for each number."""
        if self.channels is None:
            yield from _rate_rows(NEW, self.arrivals.rate, self.arrivals.weekday, self.arrivals.season)
        else:
            for name, one in self.channels.sources.items():
                yield from _rate_rows(self.names[name], one.rate, one.weekday, self.arrivals.season)
            yield as_row("effects.arrivals (all channels together)", "factor", self.channels.common)
            yield as_row("sources, all channels together.rate", "per day", self.arrivals.rate)
        if self.bringing is None:
            return
        at, found = f"stages.{goal_name(self.bringing.stage)}.refers", self.bringing.referrals
        yield as_row(f"{at}.number (mean)", "deals", found.mean)
        if not np.isinf(found.shape):
            how = "by moments; the smaller, the more some bring than others"
            yield (f"{at}.number (shape)", found.shape, np.nan, np.nan, "", how, found.mean.n)
        yield as_row(f"{at}.after (mean)", "days", self.bringing.timing.mean)
        yield as_row(f"{at}.after (cv)", "", self.bringing.timing.cv)
        if self._earlier:
            how = "what those who have left the stage still bring, in the first month"
            mean, rate = found.mean, self.bringing.coming[0][1]
            doubt = (mean.low / mean.value, mean.high / mean.value)
            first = Estimate(rate, rate * doubt[0], rate * doubt[1], how, mean.n)
            yield as_row(f"sources.{EARLIER}.rate", "per day", first)


def _shares(counts: dict[str, int]) -> dict[str, str]:
    """Shares as a scenario writes them."""
    total = max(sum(counts.values()), 1)
    return dict(writing.shares({level: (n, total) for level, n in counts.items()}))


def _differ(some: dict[str, int], others: dict[str, int]) -> bool:
    """Whether two counts by level differ by far more than chance."""
    from scipy.stats import chi2_contingency

    levels = sorted({*some, *others})
    table = [[counts.get(level, 0) for level in levels] for counts in (some, others)]
    return len(levels) > 1 and all(map(any, table)) and float(chi2_contingency(table).pvalue) < _CHANCE


def _rate_rows(source: str, rate: Estimate, weekday: dict[str, Estimate], season: dict[int, Estimate]) -> Iterator[Row]:
    """The numbers of one source."""
    yield as_row(f"sources.{source}.rate", "per day", rate)
    for part, factors in (("weekday", weekday), ("season", season)):
        for which, factor in factors.items():
            yield as_row(f"sources.{source}.{part}.{which}", "factor", factor)


__all__ = ["EARLIER", "REFERRED", "Coming"]
