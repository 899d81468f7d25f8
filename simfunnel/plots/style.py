"""How all pictures look, and how they are saved: fonts, colours, axes, notes."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator

from simfunnel.plots.words import shown

WIDTH, HEIGHT, DPI = 12.0, 7.0, 100  # 1200 x 700 pixels
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, _, GREY, _, SKY = sns.color_palette("colorblind").as_hex()
INK, FAINT, PALE = "#222222", "#5f6770", "#d9dde2"

# Names of users may be in any script. These fonts, where the machine has them, fill what the first one lacks.
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Arial Unicode MS",
)


@cache
def _fonts() -> list[str]:
    """The fonts to use, in the order in which they are asked for a letter; only those that are there."""
    there = set(font_manager.get_font_names())
    return ["sans-serif", *(name for name in _OTHER_SCRIPTS if name in there)]


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which pictures are made and saved; those of the user's own pictures stay as they are."""
    settings: dict[str, Any] = {
        **sns.axes_style("ticks"),
        "font.family": _fonts(),
        "font.size": 11,
        "text.color": INK,
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11.5,
        "axes.unicode_minus": True,
        "grid.color": PALE,
        "legend.frameon": False,
        "svg.fonttype": "none",  # letters stay letters: they can be searched, and a browser has fonts for all scripts
        "svg.hashsalt": "simfunnel",  # the same picture has the same bytes
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # No font here may have a letter of a user's name. The PNG then shows a box in its place, which the reader sees
        # and can't mend in a run; it is no reason to warn for each letter, nor to fail where warnings are errors.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        yield


def canvas(title: str, note: str, *, rows: int = 1, columns: int = 1, height: float = HEIGHT, **grid: Any) -> Any:
    """A figure with its title and a note under it, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, hspace=0.06, wspace=0.04)  # type: ignore[union-attr]
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    figure.suptitle(textwrap.fill(title, 100), x=0.012, ha="left", fontsize=15, fontweight="bold")
    figure.supxlabel(textwrap.fill(note, 170), x=0.012, ha="left", fontsize=9, color=FAINT)
    return figure, axes


def legend(figure: Figure, handles: Sequence[Any], columns: int | None = None) -> None:
    """One legend for the whole figure, under it."""
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns or min(len(handles), 5), fontsize=10)


def empty(axes: Axes, text: str) -> None:
    """Say in an empty picture why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=13, color=FAINT)


class Labels(Formatter):
    """Labels of an axis in a unit, all with the decimals that its steps need."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label at `x`, alone."""
        return shown(float(x), self.unit)

    def format_ticks(self, values: Any) -> list[str]:
        """The labels of all ticks."""
        places = np.unique(np.asarray(values, dtype=float))
        step = float(np.diff(places).min()) if len(places) > 1 else None
        return [shown(float(x), self.unit, step=step) for x in values]


def label_axis(axis: Any, unit: str, *, ticks: int = 7) -> None:
    """Ticks in a unit; counts have whole ticks only."""
    axis.set_major_locator(MaxNLocator(ticks, integer=unit == "prospects", steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(Labels(unit))


def limits(values: Any, *, padding: float = 0.08) -> tuple[float, float]:
    """Ends of an axis that holds these values with some room, from 0 where none is far below; always apart."""
    numbers = np.asarray(values, dtype=float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return 0.0, 1.0
    low, high = min(0.0, float(numbers.min())), max(0.0, float(numbers.max()))
    if low == high:
        return 0.0, 1.0
    room = padding * (high - low)
    return (low - room if low < 0 else 0.0), (high + room if high > 0 else 0.0)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Places in the same order, each at least `gap` above the one below it, and no further moved than that needs.

    >>> spread([1.0, 1.0, 5.0], 0.5)
    [0.75, 1.25, 5.0]
    """
    order = np.argsort(places, kind="stable")
    blocks: list[list[float]] = []  # of [wanted places less their rank's offset, ...]: each block shares one mean
    for rank, k in enumerate(order):
        blocks.append([places[k] - rank * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    moved = [float(np.mean(block)) for block in blocks for _ in block]
    out = [0.0] * len(places)
    for rank, k in enumerate(order):
        out[int(k)] = moved[rank] + rank * gap
    return out


def save(figure: Figure, stem: Path | str) -> tuple[Path, Path]:
    """Write a picture as `stem.png` and `stem.svg`; the same picture gives the same bytes. Returns both paths."""
    stem = Path(stem)
    png, svg = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
    with drawing():
        figure.savefig(png, dpi=DPI, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None})
    return png, svg
