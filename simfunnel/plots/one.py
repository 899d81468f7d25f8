"""Pictures of one scenario's runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simfunnel.periods import UNITS
from simfunnel.plots import extract, over_time
from simfunnel.plots.distribution import draw_distribution
from simfunnel.plots.extract import Measured
from simfunnel.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    HEIGHT,
    INK,
    ORANGE,
    PALE,
    RED,
    ROW,
    SKY,
    Labels,
    canvas,
    drawing,
    empty,
    legend,
    limits,
    measure,
    names_down,
)
from simfunnel.plots.words import axis_name, clipped, in_most, name_of, shown, unit_of

MOST_PERIODS = 60  # points in the line of utilisation

# What became of those who came into a stage: column, words, colour.
FATES = (
    ("forward", "went on", GREEN),
    ("still_there", "still there at the end", SKY),
    ("back", "went back", ORANGE),
    ("left", "left the funnel", PALE),
)
# The columns of figures beside the funnel: column, heading, unit.
FIGURES = (
    ("entered", "came in", "prospects"),
    ("conversion", "go on", "share"),
    ("tired", "tired of\nwaiting", "share"),
    ("days", "days\nspent", ""),
    ("wait_hours", "wait for\na seller", "hours"),
)
# The panels of the teams: figure, words, unit.
TEAM_FIGURES = (
    ("utilisation", "Busy share of the hours on offer", "share"),
    ("wait_hours", "Mean wait for a seller (clock hours)", "hours"),
    ("reneged", "Tasks given up, tired of waiting", "share"),
)
LIMIT: dict[str, Any] = {"color": RED, "lw": 1.2, "ls": (0, (4, 3))}


@dataclass(frozen=True)
class Pictures:
    """The pictures of some runs; each method makes a new matplotlib Figure."""

    runs: Measured

    @property
    def currency(self) -> str:
        """The scenario's currency."""
        return self.runs.scenario.spec.currency

    @property
    def note(self) -> str:
        """What every picture says of where it comes from."""
        count = self.runs.replications
        times = "1 replication" if count == 1 else f"{count:,} replications"
        return f"{times}, seed {self.runs.seed} · {clipped(self.runs.scenario.name, 80)}"

    @drawing()
    def fan(self, metric: str = "bookings", cumulative: bool | None = None, unit: str = "week") -> Figure:
        """A metric over time: its median, the middle 50% and the middle 80% of the replications.

        Args:
            metric: any metric of `kpis.METRICS`.
            cumulative: whether to add up from the start; unless said, sums are and the others aren't.
            unit: how finely to cut time: `week`, `month` or `quarter`.

        Raises:
            InputError: for an unknown metric or unit, or a metric that can't be added up.
        """
        runs = self.runs
        runs.values(metric)  # an unknown metric is told first
        added = extract.is_sum(metric) if cumulative is None else cumulative
        table = extract.fan(runs, metric, cumulative=added, unit=unit)
        figure, axes = canvas(self._fan_title(metric, table, added, unit), self.note)
        ax = axes[0, 0]
        if table["0.5"].iloc[int(added) :].isna().all():
            empty(ax, "There is no value in any period.")
            return figure
        targets = self._targets(metric, unit, added=added)
        ax.set_ylim(*limits(np.append(table[[f"{q:g}" for q in extract.BANDS]], targets["wanted"])))
        several = runs.replications > 1
        if added or metric in extract.STOCKS or len(table) > over_time.MOST_BOXES:
            handles = over_time.bands(ax, table, several=several)
            over_time.end_labels(ax, table.iloc[-1], unit_of(metric), several=several)
        else:
            handles = over_time.boxes(ax, table, unit_of(metric), several=several)
        handles += over_time.target_lines(ax, targets, added=added)
        ax.set_ylabel(axis_name(metric, self.currency, ", added up from the start" if added else f" by {unit}"))
        over_time.time_axis(ax, table)
        measure(ax, "y", unit_of(metric))
        legend(figure, handles)
        return figure

    def _targets(self, metric: str, unit: str, *, added: bool) -> pd.DataFrame:
        """The lines to draw: begins, ends and what is wanted by then; none where no target can be compared."""
        targets = extract.targets(self.runs)
        targets = targets.assign(wanted=targets["in_all" if added else "target"]).dropna(subset="wanted")
        return targets if metric == "bookings" and (added or unit == "quarter") else targets.iloc[:0]

    def _fan_title(self, metric: str, table: pd.DataFrame, added: bool, unit: str) -> str:
        last, of = table.iloc[-1], unit_of(metric)
        if not added:
            what = f"{name_of(metric)} {'at the end of each' if metric in extract.STOCKS else 'by'} {unit}"
            banded = self.runs.replications > 1 and bool(table["0.5"].notna().any())
            return what + (": 8 of 10 replications lie within the pale blue" if banded else "")
        title = f"{name_of(metric)} to the end of {last['ends'] - pd.Timedelta(seconds=1):%Y-%m-%d}"
        if not np.isfinite(last["0.5"]):
            return title
        return f"{title}: {in_most(last['0.1'], last['0.9'], self.runs.replications, of, self.currency)}"

    @drawing()
    def distribution(self, metric: str = "bookings", period: str | None = None) -> Figure:
        """How often which value comes, with P10, P50, P90 and the target.

        Args:
            metric: any metric of `kpis.METRICS`.
            period: a week, month or quarter by its name, or `all`; the first whole quarter unless said.

        Raises:
            InputError: for an unknown metric or period.
        """
        self.runs.values(metric)
        found = extract.distribution(self.runs, metric, period)
        where = "the whole run" if found.period == "all" else found.period
        title = f"{name_of(metric)} in {where}"
        if found.quantiles:
            low, high = found.quantiles[0.1], found.quantiles[0.9]
            title += f": {in_most(low, high, self.runs.replications, unit_of(metric), self.currency)}"
        figure, axes = canvas(title, self.note)
        draw_distribution(axes[0, 0], found, self.currency)
        return figure

    @drawing()
    def funnel(self) -> Figure:
        """The stages from the top down: who came in, what became of them, and how long they took."""
        table = extract.funnel(self.runs)
        figure, axes = canvas(
            _funnel_title(table, several=self.runs.replications > 1),
            self.note,
            columns=2,
            height=max(HEIGHT, 2.2 + ROW * len(table)),
            width_ratios=[1.5, 1],
            sharey=True,
        )
        ax: Axes = axes[0, 0]
        rows = np.arange(len(table))
        left = np.zeros(len(table))
        for column, _, colour in FATES:
            ax.barh(rows, table[column], left=left, height=0.62, color=colour)
            left += table[column].to_numpy()
        if self.runs.replications > 1:
            ends = np.clip([left - table["low"], table["high"] - left], 0, None)
            ax.errorbar(left, rows, xerr=ends, fmt="none", ecolor=INK, elinewidth=1.4, capsize=3)
        names_down(ax, table["stage"])
        _figures_beside(axes[0, 1], table)
        ax.set_xlim(*limits(np.append(left, table["high"])))
        ax.set_xlabel("Prospects who came into the stage during the run (mean over the replications)")
        measure(ax, "x", "prospects")
        handles: list[Any] = [Patch(color=colour, label=words) for _, words, colour in FATES]
        if self.runs.replications > 1:
            handles.append(Line2D([], [], color=INK, label="P10 to P90 of those who came in"))
        legend(figure, handles)
        return figure

    @drawing()
    def teams(self) -> Figure:
        """How busy each team is, how long prospects wait for it, and how busy all are over time."""
        table = extract.teams(self.runs) if len(self.runs.queues) else pd.DataFrame({"team": [], "figure": []})
        names = list(dict.fromkeys(table["team"]))
        if not names:
            figure, axes = canvas("Teams", self.note)
            empty(axes[0, 0], "This scenario has no teams.")
            return figure
        several = self.runs.replications > 1
        heights = [max(2.4, 0.9 + ROW * len(names)), 2.6]
        height = max(HEIGHT, sum(heights) + 1.6)
        title = _teams_title(table)
        figure, axes = canvas(title, self.note, rows=2, columns=3, height=height, height_ratios=heights)
        for ax, (kind, title, unit) in zip(axes[0], TEAM_FIGURES, strict=True):
            _dots(ax, table[table["figure"] == kind], unit, several=several)
            ax.set_title(title)
            names_down(ax, names if ax is axes[0, 0] else [""] * len(names))
        axes[0, 0].axvline(1.0, **LIMIT)
        grid = axes[1, 0].get_gridspec()
        for ax in axes[1]:
            ax.remove()
        self._utilisation_over_time(figure.add_subplot(grid[1, :]), several=several)
        words = "median of the replications" if several else "the one replication"
        handles = [Line2D([], [], color=BLUE, marker="o", lw=0, label=words)]
        if several:
            handles.append(Line2D([], [], color=BLUE, lw=5, alpha=0.6, label="middle 50%"))
            handles.append(Line2D([], [], color=BLUE, lw=1.6, alpha=0.6, label="middle 80% (P10 to P90)"))
        legend(figure, [*handles, Line2D([], [], **LIMIT, label="every hour taken")])
        return figure

    def _utilisation_over_time(self, ax: Axes, *, several: bool) -> None:
        """The line of utilisation by week, or by longer periods in long runs."""
        counts = {unit: len(extract.cut(self.runs, unit)) for unit in UNITS}
        unit = next((u for u, n in counts.items() if n <= MOST_PERIODS), "quarter")
        table = extract.fan(self.runs, "utilisation", cumulative=False, unit=unit)
        over_time.bands(ax, table, several=several)
        over_time.time_axis(ax, table)
        ax.set_ylim(0, 1.05)
        measure(ax, "y", "share", ticks=5)
        ax.set_title(f"Busy share of all teams together, by {unit}")


def _teams_title(table: pd.DataFrame) -> str:
    busy = table[table["figure"] == "utilisation"].dropna(subset="0.5")
    if busy.empty:
        return "Teams: nobody had an hour to offer"
    most = busy.iloc[int(busy["0.5"].argmax())]
    return f"Teams: busiest is {clipped(most['team'])}, with {shown(most['0.5'], 'share')} of its hours taken"


def _funnel_title(table: pd.DataFrame, *, several: bool) -> str:
    if len(table) < 2:
        return "The funnel: who came in and what became of them"
    ends = (table.iloc[0], table.iloc[-1])
    came = [f"{shown(end['entered'], 'prospects')} came into {clipped(end['stage'])}" for end in ends]
    return f"The funnel: {'on average ' if several else ''}{came[0]}, {came[1].replace(' came', '', 1)}"


def _figures_beside(ax: Axes, table: pd.DataFrame) -> None:
    """Columns of figures beside the rows, so that no bar is too short for its number."""
    ax.set_axis_off()
    ax.set_xlim(0, len(FIGURES))
    for k, (column, heading, unit) in enumerate(FIGURES, start=1):
        ax.annotate(
            heading,
            (k, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=10,
            color=FAINT,
            annotation_clip=False,
        )
        for row, value in enumerate(table[column]):
            ax.text(k, row, shown(float(value), unit), ha="right", va="center")


def _dots(ax: Axes, table: pd.DataFrame, unit: str, *, several: bool) -> None:
    """One row a team: a dot at the median, a thick line over the middle 50%, a thin one over the middle 80%."""
    rows = np.arange(len(table))
    if several:
        ax.hlines(rows, table["0.1"], table["0.9"], color=BLUE, lw=1.6, alpha=0.6)
        ax.hlines(rows, table["0.25"], table["0.75"], color=BLUE, lw=5, alpha=0.6)
    ax.plot(table["0.5"], rows, "o", color=BLUE, ms=8, clip_on=False)
    for row, value in enumerate(table["0.5"]):
        text = shown(float(value), unit) if np.isfinite(value) else "none"
        ax.annotate(
            text,
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    ax.set_xlim(
        *limits(np.append(table["0.9"], [1.0] if unit == "share" and table["figure"].eq("utilisation").any() else []))
    )
    ax.xaxis.set_major_formatter(Labels(unit))
    measure(ax, "x", unit, ticks=4)
