"""Pictures of several runs side by side: comparisons and forecasts."""

from __future__ import annotations

import math
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simfunnel.kpis import METRICS
from simfunnel.plots import extract
from simfunnel.plots.distribution import draw_distribution
from simfunnel.plots.style import (
    BLUE,
    BROWN,
    DASHES,
    FAINT,
    GREEN,
    GREY,
    HEIGHT,
    INK,
    ORANGE,
    PURPLE,
    RED,
    ROW,
    canvas,
    drawing,
    empty,
    legend,
    limits,
    measure,
    names_down,
)
from simfunnel.plots.words import axis_name, chance, clipped, in_most, name_of, signed, unit_of

MOST_COLUMNS = 2
MOST_ROWS = 60
# Dark for what is sure, paler the further off: the same part has the same colour in every forecast.
PARTS = {"already won": INK, "open deals": BLUE, "not yet created": "#a6cee3"}
OTHER_PARTS = (ORANGE, GREEN, PURPLE, BROWN)


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
    periods = list(dict.fromkeys(table["period"]))
    when = f" in {periods[0]}" if len(periods) == 1 and periods[0] != "all" else ""
    title = f"What changes against {clipped(baseline, 50)}{when}"
    metrics = list(dict.fromkeys(table["metric"]))
    if not metrics:
        figure, axes = canvas(title, note)
        empty(axes[0, 0], "Nothing was compared.")
        return figure
    rows = _row_names(table)
    if len(rows) > MOST_ROWS:
        note = f"the first {MOST_ROWS} of {len(rows)} rows · {note}"
        rows = rows[:MOST_ROWS]
    columns = min(MOST_COLUMNS, len(metrics))
    deep = math.ceil(len(metrics) / columns)
    height = max(HEIGHT, 1.4 + deep * (1.2 + ROW * len(rows)))
    figure, axes = canvas(title, note, rows=deep, columns=columns, height=height)
    for k, ax in enumerate(axes.ravel()):
        if k >= len(metrics):
            ax.remove()
            continue
        _differences(ax, table[table["metric"] == metrics[k]], rows, currency, first=k % columns == 0)
    handles = [
        Line2D([], [], color=colour, marker="o", lw=2, label=label)
        for colour, label in (
            (BLUE, f"better: so says the {100 * interval:g}% interval"),
            (ORANGE, "worse"),
            (GREY, "not told apart, or neither is better"),
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
    """One metric: a dot and an interval a row, with its number and P(better) beside it."""
    metric = str(table["metric"].iloc[0])
    unit = unit_of(metric)
    better = METRICS[metric].better if metric in METRICS else 1
    found = {(row["strategy"], row["period"]): row for row in table.to_dict("records")}
    ax.axvline(0, color=INK, lw=1)
    for place, key in enumerate(rows):
        if key not in found or not np.isfinite(found[key]["difference"]):
            ax.annotate("no value", (0, place), xytext=(6, 0), textcoords="offset points", va="center", color=FAINT)
            continue
        row = found[key]
        colour = _colour(row["low"], row["high"], better)
        ax.hlines(place, row["low"], row["high"], color=colour, lw=2.4)
        ax.plot(row["difference"], place, "o", color=colour, ms=8)
        for words, inches, shade in (
            (signed(row["difference"], unit), 0.95, INK),
            (chance(row["prob_better"]), 1.65, FAINT),
        ):
            _beside(ax, words, place, inches, shade)
    _beside(ax, "difference", -0.8, 0.95, FAINT)
    _beside(ax, "P(better)", -0.8, 1.65, FAINT)
    numbers = table[["difference", "low", "high"]].to_numpy(dtype=float)
    ends = limits(numbers, padding=0.15)
    ax.set_xlim(min(ends[0], -0.08 * ends[1]), max(ends[1], -0.08 * ends[0]))
    several = len({period for _, period in rows}) > 1
    names_down(ax, [f"{clipped(s, 24)}, {p}" if several else s for s, p in rows] if first else [""] * len(rows))
    ax.set_title(f"{name_of(metric)} (percentage points)" if unit == "share" else axis_name(metric, currency), pad=20)
    measure(ax, "x", unit, ticks=4)


def _beside(ax: Axes, words: str, place: float, inches: float, colour: str) -> None:
    """Words at a row, that end so far to the right of the panel."""
    ax.annotate(
        words,
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(72 * inches, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=10,
        color=colour,
        annotation_clip=False,
    )


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
    title = f"{name_of(metric)} {'at the end of' if metric in extract.STOCKS else 'in'} {first.period}"
    if first.quantiles:
        low, high = first.quantiles[0.1], first.quantiles[0.9]
        title += f": {in_most(low, high, parts['replication'].nunique(), unit, currency)}"
    figure, axes = canvas(title, note, columns=2, width_ratios=[1, 1.25])
    handles = _stacked(axes[0, 0], bars, list(dict.fromkeys(parts["part"])), target)
    axes[0, 0].set_ylabel(axis_name(metric, currency))
    measure(axes[0, 0], "y", unit)
    draw_distribution(axes[0, 1], first, currency)
    legend(figure, handles)
    return figure


def _stacked(ax: Axes, bars: pd.DataFrame, names: list[str], target: float | None) -> list[Any]:
    """A bar a period, of the means of its parts, and beside its middle the P10 to P90 of the total."""
    at = np.arange(len(bars))
    others = cycle(OTHER_PARTS)
    colours = {name: PARTS[name] if name in PARTS else next(others) for name in names}
    handles: list[Any] = []
    base = np.zeros(len(bars))
    for name, colour in colours.items():
        ax.bar(at, bars[name], bottom=base, width=0.56, color=colour)
        base += bars[name].to_numpy()
        handles.append(Patch(color=colour, label=clipped(name)))
    if not np.array_equal(bars["0.1"], bars["0.9"]):
        ax.vlines(at, bars["0.1"], bars["0.9"], color="white", lw=5)
        ax.vlines(at, bars["0.1"], bars["0.9"], color=INK, lw=2)
        handles.append(Line2D([], [], color=INK, lw=2, label="P10 to P90 of the total"))
    handles += ax.plot(
        at, bars["0.5"], "D", color="white", mec=INK, ms=7, lw=0, clip_on=False, label="P50 of the total"
    )
    if target is not None:
        handles.append(ax.axhline(target, color=RED, lw=1.6, ls=DASHES, label="target"))
    ax.set_xticks(at, [clipped(p, 14) for p in bars["period"]])
    ax.set_xlim(-0.6, len(bars) - 0.4)
    ax.set_ylim(*limits(np.concatenate([base, bars["0.9"], [0.0 if target is None else target]])))
    ax.set_title("By period: the mean of each part")
    return handles
