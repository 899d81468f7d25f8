"""Pictures of a backtest: forecasts against what came, scores by method, and whether chances hold what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simfunnel.plots.style import (
    BLUE,
    BROWN,
    DASHES,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    RED,
    canvas,
    date_axis,
    drawing,
    empty,
    legend,
    limits,
    measure,
)
from simfunnel.plots.words import axis_name, name_of, shown, unit_of

OURS, ALONE = "simfunnel", "simulation"
COLOURS = {OURS: BLUE, ALONE: BLUE, "stage-weighted": ORANGE, "stage by week": GREEN, "run rate": PURPLE, "ETS": BROWN}
WINDOW_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
_HEIGHT = 8.2
_BARRED = (OURS, ALONE)  # methods whose points have bars


@drawing()
def fans(cases: pd.DataFrame, *, metric: str, currency: str = "", note: str = "") -> Figure:
    """Forecasts of one metric on each date, and what came: a panel a window.

    Args:
        cases: our rows of `Backtest.cases` for one metric.
        metric: which one.
        currency: the currency of the values.
        note: what else the reader should know; it stands under the picture.
    """
    windows = list(dict.fromkeys(cases["window"]))
    held, of = int(cases["in_80"].sum()), len(cases)
    title = f"{name_of(metric)}: what was forecast and what came; {held} of {of} fell between P10 and P90"
    figure, axes = _panels(title, note, len(windows))
    for ax, window in zip(axes, windows, strict=False):
        _fan(ax, cases[cases["window"] == window], metric)
        ax.set_title(window)
        ax.set_ylabel(axis_name(metric, currency))
    handles = [
        Patch(color=BLUE, alpha=0.25, label="middle 80% of the forecast (P10 to P90)"),
        Patch(color=BLUE, alpha=0.55, label="middle 50%"),
        Line2D([], [], color=BLUE, lw=2.4, label="median"),
        Line2D([], [], color=INK, marker="o", lw=0, ms=7, label="what came, inside P10 to P90"),
        Line2D([], [], color=RED, marker="o", lw=0, ms=7, label="what came, outside"),
    ]
    if (cases["already"] > 0).any():
        handles.append(Line2D([], [], color=GREY, lw=2.4, label="won already on the date"))
    legend(figure, handles)
    return figure


def _fan(ax: Axes, cases: pd.DataFrame, metric: str) -> None:
    """A box a date over the date on which the forecast was made."""
    at: Any = date2num(pd.to_datetime(cases["as_of"]))  # type: ignore[no-untyped-call]
    width = 0.55 * float(np.diff(at).min(initial=28.0) if len(at) > 1 else 20.0)
    for low, high, alpha in (("0.1", "0.9", 0.22), ("0.25", "0.75", 0.4)):
        ax.bar(at - width / 2, cases[high] - cases[low], width, cases[low], align="edge", color=BLUE, alpha=alpha, lw=0)
    ax.hlines(cases["0.5"], at - width / 2, at + width / 2, color=BLUE, lw=2.2)
    if (cases["already"] > 0).any():
        ax.hlines(cases["already"], at - width / 2, at + width / 2, color=GREY, lw=2.2)
    inside = cases["in_80"].to_numpy() > 0
    for which, colour in ((inside, INK), (~inside, RED)):
        ax.plot(at[which], cases.loc[which, "observed"], "o", color=colour, ms=6, zorder=3)
    ax.set_ylim(*limits(cases[["0.1", "0.9", "observed"]].to_numpy(dtype=float)))
    room = width + 2
    ax.set_xlim(at.min() - room, at.max() + room)
    ax.set_xlabel("date of the forecast")
    date_axis(ax)
    measure(ax, "y", unit_of(metric), ticks=5)


@drawing()
def bars(summed: pd.DataFrame, *, metric: str, currency: str = "", note: str = "") -> Figure:
    """The CRPS of each method, a panel a window; the shorter the bar, the nearer the forecasts came.

    Args:
        summed: the rows of `Backtest.scores` for one metric.
        metric: which one.
        currency: the currency of the values.
        note: what else the reader should know; it stands under the picture.
    """
    windows = list(dict.fromkeys(summed["window"]))
    ours = summed[summed["method"] == OURS]
    won = int((ours["skill"] > 0).sum())
    title = f"{name_of(metric)}: simfunnel is nearer than every baseline in {won} of {len(windows)} windows"
    figure, axes = _panels(title, note, len(windows))
    for k, (ax, window) in enumerate(zip(axes, windows, strict=False)):
        rows = summed[summed["window"] == window]
        places = np.arange(len(rows))
        colours = [BLUE if method == OURS else "#b7bdc4" for method in rows["method"]]
        ax.barh(places, rows["crps"], color=colours, height=0.66)
        for place, row in zip(places, rows.to_dict("records"), strict=True):
            best = " · best baseline" if row["method"] == row["best"] else ""
            words = f" {shown(row['crps'], unit_of(metric))}{best}"
            ax.annotate(words, (row["crps"], place), xytext=(3, 0), textcoords="offset points", va="center")
        ax.set_yticks(places, rows["method"] if k % 2 == 0 or len(windows) < 2 else [""] * len(rows))
        ax.invert_yaxis()
        ax.set_xlim(0, 1.35 * float(rows["crps"].max()) or 1.0)
        first = rows.iloc[0]
        skill = f"{abs(first['skill']):.0%} {'less' if first['skill'] > 0 else 'more'} than the best baseline"
        ax.set_title(f"{window}: {skill} ({int(first['dates'])} dates)")
        ax.set_xlabel(axis_name(metric, currency).replace(name_of(metric), "CRPS, mean over the dates"))
        measure(ax, "x", unit_of(metric), ticks=5)
    return figure


@drawing()
def calibration(cases: pd.DataFrame, *, note: str = "") -> Figure:
    """How often intervals held what came, against how often they say: a panel a metric, a line a window.

    Args:
        cases: our rows of `Backtest.cases`.
        note: what else the reader should know; it stands under the picture.
    """
    metrics = list(dict.fromkeys(cases["metric"]))
    figure, axes = canvas("Do intervals hold what came as often as they say?", note, columns=max(len(metrics), 1))
    levels = np.linspace(0.0, 1.0, 41)
    windows = list(dict.fromkeys(cases["window"]))
    handles: list[Any] = []
    for ax, metric in zip(axes[0], metrics, strict=False):
        rows = cases[cases["metric"] == metric]
        handles = []
        for colour, window in zip(WINDOW_COLOURS, windows, strict=False):
            mine = rows[rows["window"] == window]
            handles += ax.plot(
                levels, _held(mine["pit"], levels), color=colour, lw=1.6, label=f"{window} ({len(mine)} dates)"
            )
        handles += ax.plot(levels, _held(rows["pit"], levels), color=INK, lw=3, label="all together")
        handles += ax.plot([0, 1], [0, 1], color=FAINT, lw=1.4, ls=DASHES, label="as often as they say")
        ax.annotate("too wide", (0.07, 0.93), color=FAINT)
        ax.annotate("too narrow, or off the mark", (0.93, 0.05), color=FAINT, ha="right")
        ax.axvline(0.8, color=FAINT, lw=1, ls=":")
        ax.set_title(f"{name_of(metric)}: the 80% interval held {rows['in_80'].mean():.0%}")
        ax.set_xlabel("Share that the central interval is to hold")
        ax.set_ylabel("Share of outcomes that it held")
        _unit_square(ax, 1.0)
    if handles:
        legend(figure, handles)
    return figure


def _held(pits: pd.Series[float], levels: np.ndarray) -> np.ndarray:
    """The share of outcomes inside the central interval of each level."""
    off = np.abs(2 * pits.to_numpy(dtype=float) - 1)
    held: np.ndarray = (off[:, None] <= levels).mean(axis=0)
    return held


@drawing()
def reliability(table: pd.DataFrame, *, note: str = "") -> Figure:
    """Single deals' chances against how often they came, a panel a window.

    Args:
        table: `Backtest.reliability`.
        note: what else the reader should know; it stands under the picture.
    """
    windows = list(dict.fromkeys(table["window"]))
    figure, axes = canvas(
        "Single deals: how often those with such a chance were won", note, columns=max(len(windows), 1)
    )
    if not windows:
        empty(axes[0, 0], "There were no open deals.")
        return figure
    handles: list[Any] = []
    for ax, window in zip(axes[0], windows, strict=False):
        rows = table[table["window"] == window]
        most = _reach(rows)
        handles = []
        for method in dict.fromkeys(rows["method"]):
            mine = rows[rows["method"] == method]
            ours = method in _BARRED
            style = {"lw": 2.2, "marker": "o", "ms": 7} if ours else {"lw": 1.3, "marker": "s", "ms": 4, "alpha": 0.8}
            handles += ax.plot(
                mine["said"], mine["seen"], color=COLOURS.get(method, GREY), label=method, **style, clip_on=False
            )
            if ours:
                ax.vlines(mine["said"], mine["seen_low"], mine["seen_high"], color=BLUE, lw=1.2, clip_on=False)
                _counts(ax, mine, most)
        handles += ax.plot([0, 1], [0, 1], color=FAINT, lw=1.4, ls=DASHES, label="as often as said")
        deals = int(rows.loc[rows["method"] == ALONE, "cases"].sum())
        ax.set_title(f"Won in {'the ' if window.startswith('next') else ''}{window}")
        ax.set_xlabel(f"Chance said ({deals:,} chances; how many in a bin stands below, where there is room)")
        ax.set_ylabel("Share that was won (bars: 90% interval)")
        _unit_square(ax, most)
    legend(figure, handles)
    return figure


def _reach(rows: pd.DataFrame) -> float:
    """How far both axes reach: beyond every point and bar, never beyond 100%."""
    bars = rows.loc[rows["method"].isin(_BARRED), "seen_high"]
    return min(1.0, 1.06 * float(max(0.1, *rows["said"], *rows["seen"], *bars)))


def _counts(ax: Axes, rows: pd.DataFrame, most: float) -> None:
    """How many chances a bin has, along the lower edge, where bins lie far enough apart."""
    last = -0.045 * most  # room for half a number at the left end
    for row in rows.to_dict("records"):
        if row["said"] - last > 0.085 * most and row["said"] <= most:
            ax.annotate(f"{row['cases']:,}", (row["said"], 0.012 * most), ha="center", fontsize=9, color=FAINT)
            last = row["said"]


def _unit_square(ax: Axes, most: float) -> None:
    ax.set_xlim(0, most)
    ax.set_ylim(0, most)
    measure(ax, "x", "share")
    measure(ax, "y", "share")


def _panels(title: str, note: str, count: int) -> tuple[Figure, list[Axes]]:
    """Up to four panels, two in a row; none is left empty."""
    columns = min(count, 2) or 1
    rows = -(-count // columns) or 1
    figure, grid = canvas(title, note, rows=rows, columns=columns, height=_HEIGHT if rows > 1 else 5.6)
    axes = list(grid.ravel())
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]
