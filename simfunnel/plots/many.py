"""Pictures of several runs side by side: comparisons and forecasts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simfunnel.kpis import METRICS
from simfunnel.plots import extract
from simfunnel.plots.one import ROW, draw_distribution, names_down
from simfunnel.plots.style import BLUE, FAINT, GREEN, GREY, HEIGHT, INK, ORANGE, RED, canvas, drawing, empty, label_axis, legend, limits
from simfunnel.plots.words import axis_name, between, clipped, name_of, shown, signed, unit_of

MOST_COLUMNS = 3
PARTS = (INK, BLUE, "#a6cee3", ORANGE, GREEN)  # dark for what is sure, paler the further off


@drawing()
def comparison(
    table: pd.DataFrame,
    *,
    currency: str = "",
    baseline: str = "the baseline",
    interval: float = 0.9,
    note: str = "",
) -> Figure:
    """Differences of strategies from a baseline, one panel a metric.

    Args:
        table: columns strategy, metric, period, difference, low, high, prob_better (NaN where neither is better).
        currency: the currency of the money in it.
        baseline: the name of what is compared against.
        interval: the coverage of `low` to `high`.
        note: what else the reader should know; it stands under the picture.
    """
    title = f"What changes against {clipped(baseline, 50)}"
    metrics = list(dict.fromkeys(table["metric"]))
    if not metrics:
        figure, axes = canvas(title, note)
        empty(axes[0, 0], "Nothing was compared.")
        return figure
    rows = _row_names(table)
    columns = min(MOST_COLUMNS, len(metrics))
    deep = math.ceil(len(metrics) / columns)
    height = max(HEIGHT, 1.6 + deep * (1.1 + ROW * 1.2 * len(rows)))
    figure, axes = canvas(title, note, rows=deep, columns=columns, height=height)
    for k, ax in enumerate(axes.ravel()):
        if k >= len(metrics):
            ax.remove()
            continue
        _differences(ax, table[table["metric"] == metrics[k]], rows, currency, first=k % columns == 0)
    words = f"{100 * interval:g}% interval"
    handles = [
        Line2D([], [], color=colour, marker="o", lw=2, label=label)
        for colour, label in (
            (BLUE, f"better: the {words} lies on the better side"),
            (ORANGE, "worse"),
            (GREY, "can't be told apart, or neither is better"),
        )
    ]
    legend(figure, handles)
    return figure


def _row_names(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The rows of each panel: (strategy, period), strategies together."""
    pairs = dict.fromkeys(zip(table["strategy"], table["period"], strict=True))
    strategies = list(dict.fromkeys(table["strategy"]))
    return sorted(pairs, key=lambda pair: strategies.index(pair[0]))


def _differences(ax: Axes, table: pd.DataFrame, rows: list[tuple[str, str]], currency: str, *, first: bool) -> None:
    """One metric: a dot and an interval a row, its number above it and P(better) beside it."""
    metric = str(table["metric"].iloc[0])
    unit = unit_of(metric)
    better = METRICS[metric].better if metric in METRICS else 1
    found = {(row.strategy, row.period): row for row in table.itertuples(index=False)}
    ax.axvline(0, color=INK, lw=1)
    for place, key in enumerate(rows):
        if key not in found or not np.isfinite(found[key].difference):
            ax.annotate("no value", (0, place), xytext=(6, 0), textcoords="offset points", va="center", color=FAINT)
            continue
        row = found[key]
        colour = _colour(row.low, row.high, better)
        ax.hlines(place, row.low, row.high, color=colour, lw=2.4)
        ax.plot(row.difference, place, "o", color=colour, ms=8)
        ax.annotate(
            signed(row.difference, unit),
            (row.difference, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=10,
        )
        sure = f"P(better) {shown(row.prob_better, 'share')}" if np.isfinite(row.prob_better) else ""
        ax.annotate(
            sure,
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=10,
            color=FAINT,
            annotation_clip=False,
        )
    numbers = table[["difference", "low", "high"]].to_numpy(dtype=float)
    ends = limits(numbers, padding=0.15)
    ax.set_xlim(min(ends[0], -0.08 * ends[1]), max(ends[1], -0.08 * ends[0]))
    several = len({period for _, period in rows}) > 1
    names_down(ax, [f"{clipped(s, 18)}, {p}" if several else s for s, p in rows] if first else [""] * len(rows))
    ax.set_title(axis_name(metric, currency, "" if several else f" in {rows[0][1]}" if rows[0][1] != "all" else ""))
    label_axis(ax.xaxis, unit, ticks=5)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def _colour(low: float, high: float, better: int) -> Any:
    """Blue on the better side, orange on the worse, grey where the interval holds 0 or neither side is better."""
    if better == 0 or not (low > 0 or high < 0):
        return GREY
    return BLUE if (low > 0) == (better > 0) else ORANGE


@drawing()
def forecast(
    parts: pd.DataFrame,
    *,
    target: float | None = None,
    currency: str = "",
    metric: str = "bookings",
    note: str = "",
) -> Figure:
    """A forecast by period and what it is made of; at the right, the whole distribution of the first period.

    Args:
        parts: long: replication, period, part, value; parts in the order in which they are to be stacked, such as
            `already won`, `open deals`, `not yet created`.
        target: what is wanted in each period.
        currency: the currency of the values.
        metric: what the values are.
        note: what else the reader should know; it stands under the picture.
    """
    unit = unit_of(metric)
    if parts.empty:
        figure, axes = canvas(f"Forecast of {name_of(metric).lower()}", note)
        empty(axes[0, 0], "There is no period to forecast.")
        return figure
    bars = extract.forecast_bars(parts)
    first = extract.spread_of(extract.forecast_totals(parts).iloc[:, 0], metric, str(bars["period"].iloc[0]), target)
    title = f"{name_of(metric)} in {first.period}"
    if first.quantiles:
        title += f": in 8 of 10 cases {between(first.quantiles[0.1], first.quantiles[0.9], unit, currency)}"
    figure, axes = canvas(title, note, columns=2, width_ratios=[1, 1.25])
    handles = _stacked(axes[0, 0], bars, list(dict.fromkeys(parts["part"])), target)
    axes[0, 0].set_ylabel(axis_name(metric, currency))
    label_axis(axes[0, 0].yaxis, unit)
    draw_distribution(axes[0, 1], first, currency)
    legend(figure, handles)
    return figure


def _stacked(ax: Axes, bars: pd.DataFrame, names: list[str], target: float | None) -> list[Any]:
    """A bar a period, of the means of its parts, and beside its middle the P10 to P90 of the total."""
    at = np.arange(len(bars))
    palette = [*PARTS, *sns.color_palette("colorblind", max(0, len(names) - len(PARTS)))]
    handles: list[Any] = []
    base = np.zeros(len(bars))
    for colour, name in zip(palette, names, strict=False):
        ax.bar(at, bars[name], bottom=base, width=0.56, color=colour)
        base += bars[name].to_numpy()
        handles.append(Patch(color=colour, label=clipped(name)))
    if not np.array_equal(bars["0.1"], bars["0.9"]):
        ax.vlines(at, bars["0.1"], bars["0.9"], color=INK, lw=2)
        handles.append(Line2D([], [], color=INK, lw=2, label="P10 to P90 of the total"))
    handles += ax.plot(at, bars["0.5"], "D", color="white", mec=INK, ms=7, lw=0, label="P50 of the total")
    if target is not None:
        handles.append(ax.axhline(target, color=RED, lw=1.6, ls=(0, (5, 3)), label="target"))
    ax.set_xticks(at, [clipped(p, 14) for p in bars["period"]])
    ax.set_xlim(-0.6, len(bars) - 0.4)
    ax.set_ylim(*limits(np.concatenate([base, bars["0.9"], [0.0 if target is None else target]])))
    ax.set_title("By period: the mean of each part")
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    return handles
