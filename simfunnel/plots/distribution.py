"""How often which value comes: a histogram with lines that are named above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from simfunnel.plots.extract import Distribution
from simfunnel.plots.style import BAR, DASHES, INK, RED, SKY, empty, label_axis, limits, measure
from simfunnel.plots.words import axis_name, how_many, shown, unit_of

FAR = 2.0  # a target further off than so many widths of the bars is named, not drawn: it would press them into a corner


@dataclass(frozen=True)
class Mark:
    """A line at a value. Each has a row of its own, or grows away from the middle, so that no name covers another."""

    value: float
    words: str
    side: str = "center"
    row: int = 1
    colour: str = INK
    dashes: Any = "-"


def draw_distribution(ax: Axes, found: Distribution, currency: str) -> None:
    """A histogram with P10, P50, P90 and the target."""
    unit = unit_of(found.metric)
    if not found.quantiles:
        empty(ax, "There is no value in this period.")
        return
    low, mid, high = (found.quantiles[q] for q in (0.1, 0.5, 0.9))
    marks = [Mark(mid, f"P50 (middle) {shown(mid, unit)}")]
    if low < high:
        dotted = (0, (2, 2))
        marks.append(Mark(low, f"P10 (low) {shown(low, unit)}", "right", 0, dashes=dotted))
        marks.append(Mark(high, f"P90 (high) {shown(high, unit)}", "left", 0, dashes=dotted))
        ax.axvspan(low, high, color=SKY, alpha=0.18, lw=0, zorder=0)
    near = _is_near(found)
    _bars(ax, found, [found.target] if found.target is not None and near else [])
    if found.target is not None and found.reached is not None:
        words = f"target {shown(found.target, unit)}: reached in {how_many(found.reached)} of the replications"
        if near:
            marks.append(Mark(found.target, words, row=2, colour=RED, dashes=DASHES))
        else:
            _point_at(ax, words, right=found.target > high)
    for mark in marks:
        _draw(ax, mark)
    where = "the whole run" if found.period == "all" else found.period
    ax.set_xlabel(axis_name(found.metric, currency, f" in {where}"))
    ax.set_ylabel("Share of the replications")
    label_axis(ax.xaxis, unit)
    measure(ax, "y", "share")


def _bars(ax: Axes, found: Distribution, also: list[float]) -> None:
    """The bars, on an axis that holds these values also."""
    bars = found.bars
    if len(bars) > 1:
        ends = [bars["low"].min(), bars["high"].max(), *also]
        room = 0.06 * (max(ends) - min(ends))
        ax.set_xlim(min(ends) - room, max(ends) + room)
        ax.bar(bars["low"], bars["share"], bars["high"] - bars["low"], align="edge", color=BAR, ec="white", lw=0.6)
    else:  # one value alone
        value = found.quantiles[0.5]
        left, right = limits([value, *also], padding=0.3)
        ax.set_xlim(left - 0.05 * (right - left), right + 0.05 * (right - left))
        ax.bar(value, 1.0, 0.03 * (right - left), color=BAR)
    ax.set_ylim(0, None)


def _is_near(found: Distribution) -> bool:
    if found.target is None or len(found.bars) < 2:
        return True
    low, high = found.bars["low"].min(), found.bars["high"].max()
    return bool(low - FAR * (high - low) <= found.target <= high + FAR * (high - low))


def _draw(ax: Axes, mark: Mark) -> None:
    ax.axvline(mark.value, color=mark.colour, lw=1.6, ls=mark.dashes)
    ax.annotate(
        mark.words,
        (mark.value, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=({"right": -2, "center": 0, "left": 2}[mark.side], 5 + 18 * mark.row),
        textcoords="offset points",
        ha=mark.side,
        color=mark.colour,
        annotation_clip=False,
    )


def _point_at(ax: Axes, words: str, *, right: bool) -> None:
    """Name a target that lies outside the picture, and on which side."""
    ax.annotate(
        f"{words} →" if right else f"← {words}",
        (float(right), 1.0),
        xycoords="axes fraction",
        xytext=(0, 41),
        textcoords="offset points",
        ha="right" if right else "left",
        color=RED,
        annotation_clip=False,
    )
