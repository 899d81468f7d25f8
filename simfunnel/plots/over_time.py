"""What lies along a time axis: bands, boxes, targets and the values at the right end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simfunnel.plots.style import BLUE, DASHES, RED, date_axis, spread
from simfunnel.plots.words import shown

MOST_BOXES = 15  # periods that are drawn as boxes: a band between two points says more than is known
MOST_NAMED = 8  # quarters whose targets are named one by one
LAYERS = (("0.1", "0.9", 0.2, "middle 80% of replications (P10 to P90)"), ("0.25", "0.75", 0.35, "middle 50%"))


def bands(ax: Axes, table: pd.DataFrame, *, several: bool) -> list[Any]:
    """The two bands and the median as a line; `several`: there is more than one replication."""
    for low, high, alpha, _ in LAYERS if several else ():
        ax.fill_between(table["at"], table[low], table[high], color=BLUE, alpha=alpha, lw=0)
    marker = "o" if len(table) <= MOST_BOXES else None
    line = ax.plot(table["at"], table["0.5"], color=BLUE, lw=2.2, marker=marker, ms=5, label=_middle(several))
    return [*_patches(several), *line]


def boxes(ax: Axes, table: pd.DataFrame, unit: str, *, several: bool) -> list[Any]:
    """Each period by itself: a box over most of its time, with a dash at the median and its value."""
    width = (table["ends"] - table["begins"]) * 0.7
    left = table["at"] - width / 2
    for low, high, alpha, _ in LAYERS if several else ():
        ax.bar(left, table[high] - table[low], width, table[low], align="edge", color=BLUE, alpha=alpha, lw=0)
    ax.hlines(table["0.5"], left, left + width, color=BLUE, lw=2.4)
    for row in table.to_dict("records"):
        if np.isfinite(row["0.5"]):
            ax.annotate(
                shown(row["0.5"], unit),
                (row["at"], row["0.5"]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontweight="bold",
                fontsize=10 if len(table) <= MOST_NAMED else 8,
            )
    return [*_patches(several), Line2D([], [], color=BLUE, lw=2.4, label=_middle(several))]


def time_axis(ax: Axes, table: pd.DataFrame) -> None:
    """Dates along the horizontal axis, from the first period's begin to the last one's end, values or not."""
    first, last = table["begins"].min(), table["ends"].max()
    room = (last - first) * 0.01
    ax.set_xlim(first - room, last + room)
    date_axis(ax)


def _middle(several: bool) -> str:
    return "median" if several else "the one replication"


def _patches(several: bool) -> list[Any]:
    return [Patch(color=BLUE, alpha=alpha + 0.05, label=words) for _, _, alpha, words in LAYERS if several]


def target_lines(ax: Axes, targets: pd.DataFrame, *, added: bool) -> list[Any]:
    """A line over each quarter at what is `wanted` by its end, or in it; named where there is room for it."""
    for number, row in enumerate(targets.to_dict("records")):
        wanted = row["wanted"]
        ax.hlines(wanted, row["begins"], row["ends"], color=RED, lw=1.6, ls=DASHES)
        if added and len(targets) <= MOST_NAMED:
            ax.annotate(
                f"target {row['period']}{' so far' if number else ''}: {shown(wanted, 'money')}",
                (row["begins"], wanted),
                xytext=(4, 4),
                textcoords="offset points",
                color=RED,
                fontsize=10,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
            )
    if targets.empty:
        return []
    words = "target of each whole quarter" + ("" if added else f": {shown(targets['wanted'].iloc[0], 'money')}")
    return [Line2D([], [], color=RED, lw=1.6, ls=DASHES, label=words)]


def end_labels(ax: Axes, last: pd.Series, unit: str, *, several: bool) -> None:
    """The values at the right end, beside the picture."""
    names = {"0.1": "P10 ", "0.5": "P50 ", "0.9": "P90 "} if several else {"0.5": ""}
    values = [float(last[q]) for q in names]
    if not np.isfinite(values).all():
        return
    bottom, top = ax.get_ylim()
    places = spread(values, 0.045 * (top - bottom))
    up = max(0.0, bottom - min(places))
    for q, place in zip(names, places, strict=True):
        ax.annotate(
            f"{names[q]}{shown(last[q], unit)}",
            (1.0, place + up),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if q == "0.5" else "normal",
            color=BLUE,
            annotation_clip=False,
        )
