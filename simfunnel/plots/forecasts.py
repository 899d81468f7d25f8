"""Pictures of a forecast's quarter, of its open deals, and of the bridge between two forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simfunnel.plots import over_time
from simfunnel.plots.style import (
    BLUE,
    DASHES,
    FAINT,
    GREEN,
    HEIGHT,
    INK,
    ORANGE,
    PALE,
    RED,
    ROW,
    canvas,
    date_axis,
    drawing,
    empty,
    legend,
    limits,
    measure,
    names_down,
)
from simfunnel.plots.words import axis_name, chance, clipped, in_most, shown


@drawing()
def quarter(
    added_up: pd.DataFrame,
    *,
    period: str,
    replications: int,
    target: float | None = None,
    currency: str = "",
    note: str = "",
) -> Figure:
    """A quarter's bookings from its first day to its last: what is won, then the fan of what may come.

    Args:
        added_up: columns at (a date), known (whether it has happened), and quantiles `0.1` … `0.9`.
        period: the quarter's name.
        replications: how many replications the quantiles are of.
        target: what is wanted by its end.
        currency: the currency of the values.
        note: what else the reader should know; it stands under the picture.
    """
    past, future = added_up[added_up["known"]], added_up[~added_up["known"]]
    last = future.iloc[-1]
    title = f"Bookings in {period}, added up: {in_most(last['0.1'], last['0.9'], replications, 'money', currency)}"
    figure, axes = canvas(title, note)
    ax: Axes = axes[0, 0]
    several = replications > 1
    values = np.append(added_up[["0.1", "0.5", "0.9"]].to_numpy().ravel(), [0.0 if target is None else target])
    ax.set_ylim(*limits(values))
    handles: list[Any] = []
    if len(past):
        won = f"already won: {shown(float(past['0.5'].iloc[-1]), 'money')}"
        handles += ax.plot(past["at"], past["0.5"], color=INK, lw=2.4, label=won)
    handles += over_time.bands(ax, future, several=several)
    over_time.end_labels(ax, last, "money", several=several)
    if target is not None:
        handles.append(ax.axhline(target, color=RED, lw=1.6, ls=DASHES, label="target"))
        where = (added_up["at"].iloc[0], target)
        said = f"target {shown(target, 'money')}"
        ax.annotate(said, where, (4, 4), textcoords="offset points", color=RED)
    ax.set_ylabel(axis_name("bookings", currency, ", added up from the quarter's first day"))
    first, end = added_up["at"].iloc[0], last["at"]
    ax.set_xlim(first - (end - first) * 0.01, end + (end - first) * 0.01)
    date_axis(ax)
    measure(ax, "y", "money")
    legend(figure, handles)
    return figure


@drawing()
def deals(table: pd.DataFrame, *, currency: str = "", note: str = "") -> Figure:
    """The open deals of which most is expected: value and expected part of it, chance, and when.

    Args:
        table: the first rows of a forecast's `deals`.
        currency: the currency of the values.
        note: what else the reader should know; it stands under the picture.
    """
    expected = str(table.columns[5])
    period = expected.removeprefix("expected in ")
    total = shown(float(table[expected].sum()), "money", currency)
    title = f"The {len(table)} open deals of which most is expected in {period}: {total} together"
    height = max(HEIGHT, 2.2 + ROW * len(table))
    figure, axes = canvas(title, note, columns=2, height=height, width_ratios=[1.35, 1], sharey=True)
    bars, when = axes[0]
    rows = np.arange(len(table))
    bars.barh(rows, table["value"], height=0.62, color=PALE)
    bars.barh(rows, table[expected], height=0.62, color=BLUE)
    for row, p in enumerate(table[f"won by end of {period}"]):
        bars.annotate(
            chance(float(p)), (float(table["value"].iloc[row]), row), (5, 0), textcoords="offset points", va="center"
        )
    names_down(bars, [f"{d}{f' ({m})' if m else ''}" for d, m in zip(table["deal"], table["member"], strict=True)])
    bars.set_xlim(*limits(table["value"], padding=0.14))
    measure(bars, "x", "money", ticks=5)
    bars.set_xlabel(f"Value ({currency}) and the chance to be won by the end of {period}")
    _dates(when, table)
    handles = [
        Patch(color=PALE, label="value"),
        Patch(color=BLUE, label=f"expected in {period}: what a win books times its chance"),
        Line2D([], [], color=GREEN, marker="o", lw=3, label="date if it is won: P10, P50, P90"),
    ]
    legend(figure, handles)
    return figure


def _dates(ax: Axes, table: pd.DataFrame) -> None:
    """For each deal a line from P10 to P90 of its date, with a dot at P50."""
    known = table["date P50"].notna()
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if not known.any():
        empty(ax, "None of them is won in any replication.")
        return
    low, middle, high = (pd.to_datetime(table.loc[known, f"date P{q}"]) for q in (10, 50, 90))
    rows = np.flatnonzero(known)
    ax.hlines(rows, low, high, color=GREEN, lw=3, alpha=0.6)
    ax.plot(middle, rows, "o", color=GREEN, ms=7)
    ax.set_xlabel("When, if it is won")
    date_axis(ax, fewest=3, most=6)
    ax.grid(axis="x")


@drawing()
def bridge(
    table: pd.DataFrame,
    rounded: list[float],
    *,
    period: str,
    names: tuple[str, str],
    currency: str = "",
    note: str = "",
) -> Figure:
    """A waterfall from one forecast's expected bookings to a later one's.

    Args:
        table: a bridge's table.
        rounded: its numbers as they are to be shown; they add up.
        period: the quarter.
        names: what to call the two forecasts.
        currency: the currency of the values.
        note: what else the reader should know; it stands under the picture.
    """
    frame = table.assign(rounded=rounded)
    ends = frame["step"].isin(["before", "after"])
    frame = frame[ends | (frame["change"].abs() > 0)].reset_index(drop=True)
    total = rounded[-1] - rounded[0]
    title = f"Expected bookings in {period}: {_whole(total, rounded, '+')} {currency} from {names[0]} to {names[1]}"
    figure, axes = canvas(title, note)
    ax: Axes = axes[0, 0]
    at = np.arange(len(frame))
    last = len(frame) - 1
    base = frame["expected"].shift(1).fillna(0.0)
    tops: list[float] = []
    for k, row in enumerate(frame.to_dict("records")):
        whole = k in (0, last)
        size = row["expected"] if whole else row["change"]
        colour = INK if whole else (GREEN if size > 0 else ORANGE)
        ax.bar(k, size, bottom=0.0 if whole else base[k], width=0.62, color=colour, edgecolor=colour, linewidth=1.2)
        open_by = 2 * row["se"] if np.isfinite(row["se"]) and not whole else 0.0
        top = row["expected"] if whole else max(row["expected"] + open_by, base[k])
        said = _whole(row["rounded"], rounded, "" if whole else "+")
        ax.annotate(said, (k, top), (0, 4), textcoords="offset points", ha="center", fontweight="bold")
        tops.append(top)
        if open_by:
            ax.vlines(k, row["expected"] - open_by, row["expected"] + open_by, color=INK, lw=1.4)
        if k < last:
            ax.hlines(row["expected"], k + 0.31, k + 0.69, color=FAINT, lw=1)
    ends_of_axis, cut = _axis(frame["expected"], max(tops))
    ax.set_ylim(*ends_of_axis)
    ax.set_xticks(
        at, [f"forecast\n{names[0]}", *(_two_lines(s) for s in frame["step"].iloc[1:-1]), f"forecast\n{names[1]}"]
    )
    more = "; the axis does not begin at 0" if cut else ""
    ax.set_ylabel(axis_name("bookings", currency, f" expected in {period}") + more)
    measure(ax, "y", "money")
    legend(
        figure,
        [
            Patch(color=INK, label="a forecast's mean"),
            Patch(color=GREEN, label="brings more"),
            Patch(color=ORANGE, label="brings less"),
            Line2D([], [], color=INK, lw=1.4, label="what the simulation leaves open: two standard errors each way"),
        ],
    )
    return figure


def _axis(reached: pd.Series[Any], top: float) -> tuple[tuple[float, float], bool]:
    """The ends of the waterfall's axis, and whether it is cut: so that small steps can be seen beside large ends."""
    low, high = float(reached.min()), float(reached.max())
    room = high - low
    if low <= 0 or not 0 < room < 0.2 * high:
        return limits([*reached, top, 0.0]), False
    return (low - room, max(high + 0.3 * room, top + 0.1 * room)), True


def _whole(amount: float, rounded: list[float], plus: str) -> str:
    """An amount of a rounded bridge with all its figures, so that a reader can add them up: `3,616k`, `−279k`."""
    scale, mark = (1e3, "k") if all(abs(x - 1e3 * round(x / 1e3)) < 1e-6 for x in rounded) else (1.0, "")
    text = f"{amount / scale:{plus},.0f}{mark}"
    return text.replace("-", "−")


def _two_lines(step: str) -> str:
    return clipped(step).replace(" ", "\n", 1)
