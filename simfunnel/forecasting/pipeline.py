"""What today's open pipeline is worth: each deal's chance and date, the coverage a target needs, and categories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel.forecasting.parts import PARTS, cut
from simfunnel.formatting import money, share
from simfunnel.numerics import Floats
from simfunnel.results import QUANTILES, Runs
from simfunnel.units import middle

if TYPE_CHECKING:
    import pandas as pd

    from simfunnel.scenario.spec import ScenarioSpec

SOON = 28  # days
CATEGORIES = ("closed", "commit", "most likely", "best case", "upside", "pipeline", "omitted")
"""Sellers' forecast categories, from the surest on; others follow in order of value."""


# --- each deal --------------------------------------------------------------------------------------------------------


def chances(runs: Runs, *, valued: bool = True) -> pd.DataFrame:
    """Each open deal: its chance to be won in 4 weeks and by each quarter's end, its date, and what to expect of it.

    Columns: deal, stage, age (days), value (mean over the replications where it is drawn), member; `expected in Q`
    (what of its value a win books, times the chance to be won by that quarter's end, Q being the current one);
    `won in 4 weeks`, `won by end of Q`; `date P10`, `P50`, `P90` (of the replications in which it is won before the
    forecast ends; None without any). The largest expected comes first. Where deals have no values (`valued`), value and
    what to expect are left out.
    """
    import pandas as pd

    spec = runs.scenario.spec
    listed = [deal for source in spec.sources.values() for deal in source.deals or ()]
    if not listed or runs.deals is None:
        return pd.DataFrame(columns=["deal", "stage", "age", "value", "member"])
    won, value = (runs.deals[what].to_numpy().reshape(runs.replications, len(listed)) for what in ("won", "value"))
    quarters = cut(spec, "quarter")
    names = [label.removesuffix(" (part)") for label in quarters.labels]
    table = pd.DataFrame(
        {
            "deal": [d.id for d in listed],
            "stage": [d.stage for d in listed],
            "age": [float(middle(d.age)) for d in listed],
            "value": value.mean(axis=0),
            "member": [d.member or "" for d in listed],
            f"expected in {names[0]}": np.where(won < quarters.edges[1], value * booked_share(spec), 0.0).mean(axis=0),
            "won in 4 weeks": (won < SOON).mean(axis=0) if spec.days >= SOON else np.nan,
        }
    )
    for edge, name in zip(quarters.edges[1:], names, strict=True):
        table[f"won by end of {name}"] = (won < edge).mean(axis=0)
    ordered = np.sort(won, axis=0)  # NaN, not won, come last
    times = np.sum(~np.isnan(won), axis=0)
    for q in QUANTILES:
        table[f"date P{q * 100:.0f}"] = [
            spec.start + timedelta(days=int(np.quantile(ordered[:n, k], q))) if n else None for k, n in enumerate(times)
        ]
    table = table.sort_values(table.columns[5], ascending=False, kind="stable").reset_index(drop=True)
    return table if valued else table.drop(columns=["value", table.columns[5]])


def booked_share(spec: ScenarioSpec) -> float:
    """The share of its value that a deal books when it is won; 1 where it may book in several stages, or other sums."""
    booking = [stage.books for stage in spec.stages.values() if stage.books]
    alone = len(booking) == 1 and booking[0].share and not booking[0].fixed
    return float(middle(booking[0].share)) if alone else 1.0


# --- coverage ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """How much open pipeline a quarter's target needs, and how much there is.

    `needed` is the pipeline (in value, of the present mix) at which the chance of the target is `confidence`, None
    where no size would do; `factor` is it over the present one. A coverage ratio is a pipeline over what is still to
    be won. `open` and `new` are what today's open deals and those not yet created are expected to bring; `sure` is what
    the quarter's bookings reach with the chance `confidence`.
    """

    period: str
    target: float
    won: float
    pipeline: float
    chance: float
    confidence: float
    factor: float | None
    open: float
    new: float
    sure: float

    @property
    def gap(self) -> float:
        """What is still to be won for the target, 0 where it is reached."""
        return max(0.0, self.target - self.won)

    @property
    def ratio(self) -> float | None:
        """The present coverage."""
        return self.pipeline / self.gap if self.gap else None

    @property
    def needed(self) -> float | None:
        """The pipeline that the confidence asks for."""
        return None if self.factor is None else self.factor * self.pipeline

    @property
    def needed_ratio(self) -> float | None:
        """The coverage that the confidence asks for."""
        return self.needed / self.gap if self.needed is not None and self.gap else None

    @property
    def hangs_on_pipeline(self) -> bool:
        """Whether today's open deals bring most of what is still to come, so that their coverage decides."""
        return self.open >= self.new

    def words(self, currency: str) -> str:
        """The same in a few sentences, of the coverage only where it decides."""
        if not self.gap:
            return f"{self.period}: what is already won reaches the target"
        said = f"{self.period}: {money(self.gap, currency)} of {money(self.target)} are still to be won"
        return said + (self._covered(currency) if self.hangs_on_pipeline else self._by_new_deals(currency))

    def _covered(self, currency: str) -> str:
        said = (
            f"; the open pipeline of {money(self.pipeline)} covers that {self.ratio:.1f} times, and deals not yet "
            f"created are expected to bring {money(self.new)}. "
        )
        aim = f"For a chance of {share(self.confidence)} to reach the target"
        if self.needed is None or self.needed_ratio is None:
            return said + f"{aim} no size of today's pipeline is enough in this quarter"
        if self.needed == 0:
            return said + f"{aim} none of it is needed: deals not yet created bring that alone"
        more = f"{self.needed_ratio:.1f} times would be needed, {money(self.needed, currency)}"
        return said + f"{aim} {more} ({_beside(self.needed - self.pipeline, 'than there is')})"

    def _by_new_deals(self, currency: str) -> str:
        bring = f"deals not yet created are expected to bring {money(self.new)}, today's open deals {money(self.open)}"
        held = f"with a chance of {share(self.confidence)} bookings come to {money(self.sure, currency)} or more"
        return f"; {bring}. So new deals decide, and {held} ({_beside(self.sure - self.target, 'than the target')})"


def _beside(more: float, than: str) -> str:
    return f"{money(abs(more))} {'more' if more >= 0 else 'less'} {than}"


def coverage(parts: pd.DataFrame, pipeline: float, target: float, confidence: float) -> list[Coverage]:
    """The coverage of each quarter's target.

    `parts` are a forecast's, by quarter. Assumed: a pipeline f times as large in value books f times as much in each
    replication, with the same mix, luck and selling time, while what is already won and what is not yet created stay.
    So a replication reaches the target from its own least f on, and the wanted quantile of these is the answer.
    """
    rows = parts[parts["metric"] == "bookings"]
    found = []
    for period, mine in rows.groupby("period", sort=False):
        wide = mine.pivot(index="replication", columns="part", values="value").reindex(columns=list(PARTS)).fillna(0.0)
        won, open_, new = (wide[part].to_numpy() for part in PARTS)
        least = least_factor(target - won - new, open_, confidence)
        chance = float((won + open_ + new >= target).mean())
        before = float(won[0])
        total = np.sort(won + open_ + new)
        sure = float(total[min(int((1 - confidence) * len(total) + 1e-9), len(total) - 1)])
        brought = (float(open_.mean()), float(new.mean()), sure)
        found.append(Coverage(str(period), target, before, pipeline, chance, confidence, least, *brought))
    return found


def least_factor(gap: Floats, booked: Floats, confidence: float) -> float | None:
    """The least f for which f * booked >= gap in this share of the replications; None where there is none.

    >>> least_factor(np.array([10.0, 20.0, 30.0, -5.0]), np.array([10.0, 10.0, 10.0, 0.0]), 0.75)
    2.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(gap <= 0, 0.0, np.where(booked > 0, gap / booked, np.inf))
    rank = int(np.ceil(confidence * len(least) - 1e-9)) - 1
    found = float(np.sort(least)[max(rank, 0)])
    return found if np.isfinite(found) else None


def coverage_table(found: list[Coverage]) -> pd.DataFrame:
    """One row a quarter, every figure of its coverage; what is needed is told where it hangs on today's pipeline."""
    import pandas as pd

    rows = [
        {
            "period": c.period,
            "target": c.target,
            "already won": c.won,
            "still to be won": c.gap,
            "open pipeline": c.pipeline,
            "coverage": c.ratio,
            "chance of the target": c.chance,
            "wanted chance": c.confidence,
            "coverage needed": c.needed_ratio if c.gap and c.hangs_on_pipeline else None,
            "pipeline needed": c.needed if c.gap and c.hangs_on_pipeline else None,
            "expected of open deals": c.open,
            "expected of new deals": c.new,
            "reached with the wanted chance": c.sure,
        }
        for c in found
    ]
    numbers = {name: float for name in (rows[0] if rows else {}) if name != "period"}
    return pd.DataFrame(rows).astype(numbers)


# --- categories -------------------------------------------------------------------------------------------------------


def categories(open_deals: pd.DataFrame, deals: pd.DataFrame, won: float) -> pd.DataFrame | None:
    """The sellers' own forecast: open value by category, surest first, beside what the simulation expects of the same.

    `open_deals` has id, value and category; `deals` is what `chances` found. Columns: category, deals, value (as in the
    export; where a value is not known, the mean of those drawn), `with what is won` (added up from the surest on, what
    is already won included), and `expected in Q` by the simulation. None where the deals have no category.
    """
    if "category" not in open_deals or not len(deals) or open_deals["category"].isna().all():
        return None
    expected = str(deals.columns[5])
    named = open_deals.assign(id=open_deals["id"].astype(str)).set_index("id")["category"]
    rows = deals.assign(category=deals["deal"].map(named).fillna("none"))
    table = rows.groupby("category").agg(deals=("deal", "size"), value=("value", "sum"), expected=(expected, "sum"))
    worth = dict(zip(map(str, table.index), table["value"].tolist(), strict=True))
    table = table.loc[sorted(worth, key=lambda name: _rank(name, worth[name]))]
    table.insert(2, "with what is won", won + table["value"].cumsum())
    return table.rename(columns={"expected": expected}).reset_index()


def _rank(name: str, value: float) -> tuple[Any, ...]:
    plain = name.lower().replace("_", " ").replace("bestcase", "best case").removesuffix("ted").strip()
    order = [known.removesuffix("ted") for known in CATEGORIES]
    return (order.index(plain), 0.0) if plain in order else (len(order) if plain != "none" else len(order) + 1, -value)
