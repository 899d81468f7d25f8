"""How all pictures look, and how they are saved: fonts, colours, axes, notes."""

from __future__ import annotations

import re
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator

from simfunnel.formatting import counted
from simfunnel.plots.words import clipped, shown

if TYPE_CHECKING:
    import pandas as pd

WIDTH, HEIGHT, DPI = 12.0, 7.0, 100  # 1200 x 700 pixels
FOOT, LINE, ROW = 0.32, 0.25, 0.36  # inches: the note at the foot, a line of the legend, a row of a long list
DASHES = (0, (5, 3))  # of a line that marks what is wanted
# Colours that the colour-blind tell apart: seaborn's palette `colorblind`, after Wong, Nature Methods 8, 441 (2011).
BLUE, ORANGE, GREEN, RED, PURPLE = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
BROWN, GREY, SKY = "#ca9161", "#949494", "#56b4e9"
INK, FAINT, PALE, BAR = "#222222", "#5f6770", "#d9dde2", "#5ba3cc"

# Names of users may be in any script. These fonts, where the machine has them, fill what the first one lacks.
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans CJK TC",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "PingFang HK",
    "Heiti SC",
    "Hiragino Sans",
    "Hiragino Sans GB",
    "Yu Gothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "Droid Sans Fallback",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Arial Unicode MS",
)
# How Unicode calls a script -> how people do, and a font that has it.
_SCRIPTS = {
    "CJK": ("Chinese or Japanese", "Noto Sans CJK"),
    "HIRAGANA": ("Japanese", "Noto Sans CJK"),
    "KATAKANA": ("Japanese", "Noto Sans CJK"),
    "HANGUL": ("Korean", "Noto Sans CJK"),
    **{
        name.upper(): (name, f"Noto Sans {name}")
        for name in ("Arabic", "Bengali", "Devanagari", "Hebrew", "Tamil", "Thai")
    },
}
_GLYPH = re.compile(r"Glyph (\d+) .*missing from font")
_missing: set[str] = set()  # letters of pictures saved by this process that no font here has
_told: set[str] = set()  # scripts of which `boxes_in_words` has told

# A white ground, ticks outside and no frame of its own, whatever the user's own settings are.
_PLAIN: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.facecolor": "white",
    "axes.grid": False,
    "axes.spines.bottom": True,
    "axes.spines.left": True,
    "figure.facecolor": "white",
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"],
    "grid.linestyle": "-",
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "xtick.bottom": True,
    "xtick.color": ".15",
    "xtick.direction": "out",
    "xtick.top": False,
    "ytick.color": ".15",
    "ytick.direction": "out",
    "ytick.left": True,
    "ytick.right": False,
}


@cache
def _fonts() -> list[str]:
    """The fonts to use, in the order in which they are asked for a letter; only those that are there."""
    there = set(font_manager.get_font_names())
    return ["sans-serif", *(name for name in _OTHER_SCRIPTS if name in there)]


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which pictures are made and saved; those of the user's own pictures stay as they are."""
    settings: dict[Any, Any] = {
        **_PLAIN,
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
        # No font here may have a letter of a user's name. The PNG then shows a box in its place; it is no reason to
        # warn for each letter, nor to fail where warnings are errors. `save` keeps such letters for `boxes_in_words`.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        yield


def canvas(
    title: str, note: str, *, rows: int = 1, columns: int = 1, height: float = HEIGHT, **grid: Any
) -> tuple[Figure, Any]:
    """A figure with its title above, room for a legend below, and a note at the foot; its axes as an array."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    figure.suptitle(textwrap.fill(title, 100), x=0.012, ha="left", fontsize=15, fontweight="bold")
    figure.text(0.012, 0.09 / height, clipped(note, 170), ha="left", va="bottom", fontsize=9, color=FAINT)
    _room_below(figure, FOOT)
    return figure, axes


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend for the whole figure, between the axes and the note, in as many rows as its words need."""
    widths = [0.65 + 0.078 * len(str(h.get_label())) for h in handles]  # inches
    columns = len(handles) if sum(widths) < WIDTH - 0.4 else max(1, int((WIDTH - 0.4) / max(widths)))
    lines = -(-len(handles) // columns)
    _room_below(figure, FOOT + 0.1 + LINE * lines)
    figure.legend(
        handles=list(handles),
        loc="lower center",
        bbox_to_anchor=(0.5, FOOT / figure.get_figheight()),
        ncols=columns,
        fontsize=10,
        borderaxespad=0,
    )


def _room_below(figure: Figure, inches: float) -> None:
    """Keep the axes this far above the figure's lower end."""
    share = inches / figure.get_figheight()
    figure.set_layout_engine(
        "constrained", w_pad=0.12, h_pad=0.1, wspace=0.04, hspace=0.06, rect=(0, share, 1, 1 - share)
    )


def empty(axes: Axes, text: str) -> None:
    """Say in an empty picture why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=13, color=FAINT)


class Labels(Formatter):
    """Labels of an axis in a unit, all with the decimals that its steps need."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 (the base's arguments)
        """The label at `x`, alone."""
        return shown(float(x), self.unit)

    def format_ticks(self, values: Any) -> list[str]:
        """The labels of all ticks."""
        places = np.unique(np.asarray(values, dtype=float))
        step = float(np.diff(places).min()) if len(places) > 1 else None
        return [shown(float(x), self.unit, step=step) for x in values]


class Dates(Formatter):
    """Dates along an axis: the day and month, and the year where it begins."""

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 (the base's arguments)
        """The date at `x`, alone."""
        return f"{_date(x):%Y-%m-%d}"

    def format_ticks(self, values: Any) -> list[str]:
        """The labels of all ticks."""
        times = [_date(x) for x in values]
        if all(t.month == t.day == 1 and t.hour == 0 for t in times) and len(times) > 1:
            return [f"{t:%Y}" for t in times]
        form = "%d %b %H:%M" if any(t.hour or t.minute for t in times) else "%d %b"
        form = "%b" if all(t.day == 1 and t.hour == 0 for t in times) else form
        new = [k == 0 or t.year != times[k - 1].year for k, t in enumerate(times)]
        return [t.strftime(form + ("\n%Y" if first else "")) for t, first in zip(times, new, strict=True)]


def _date(x: float) -> datetime:
    """The date at a place on an axis of dates."""
    when: datetime = num2date(x)  # type: ignore[no-untyped-call]
    return when


_LABEL = 0.6  # inches that the label of a date takes


class _Apart(AutoDateLocator):
    """Ticks without those so near the first of a month, or so many, that their labels would overlap."""

    def __call__(self) -> Any:
        """The ticks in view."""
        ticks = np.asarray(super().__call__())  # type: ignore[no-untyped-call]
        axes: Any = self.axis
        first, last = axes.get_view_interval()
        inches = axes.axes.bbox.width / axes.get_figure().dpi / (last - first)
        if len(ticks) > 2:
            gaps = np.diff(ticks)
            ticks = ticks[np.append(gaps > 0.6 * np.median(gaps), True)]
        while len(ticks) > 2 and np.diff(ticks).min() * inches < _LABEL:
            ticks = ticks[::2]
        return ticks


def date_axis(ax: Axes, *, fewest: int = 4, most: int = 10) -> None:
    """Dates along the horizontal axis, with about so many ticks."""
    ax.xaxis.set_major_locator(_Apart(minticks=fewest, maxticks=most))  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_formatter(Dates())


def label_axis(axis: Any, unit: str, *, ticks: int = 7) -> None:
    """Ticks in a unit; counts have whole ticks only."""
    axis.set_major_locator(MaxNLocator(ticks, integer=unit == "prospects", steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(Labels(unit))


def measure(ax: Axes, which: Literal["x", "y"], unit: str, *, ticks: int = 7) -> None:
    """An axis along which amounts are read: its ticks in a unit, and a line across the picture from each."""
    label_axis(ax.xaxis if which == "x" else ax.yaxis, unit, ticks=ticks)
    ax.grid(axis=which)


def names_down(ax: Axes, names: Sequence[str] | pd.Series) -> None:
    """Rows named from the top down along the vertical axis."""
    ax.set_yticks(range(len(names)), [clipped(name, 36) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


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
    with drawing(), _noting_missing():
        layout, shown_on = figure.get_layout_engine(), figure.canvas
        if layout is not None:
            layout.execute(figure)
        figure.set_layout_engine("none")  # what is laid out stays so
        for ax in figure.axes:  # the solver of the layout may differ in the last bit, and names in the file hang on it
            ax.set_position(tuple(round(edge, 6) for edge in ax.get_position().bounds))
        # By the canvas of each kind, which draws once; `savefig` would draw a second time to lay out.
        agg: Any = FigureCanvasAgg(figure)
        agg.print_png(png, metadata={"Software": None})
        vector: Any = FigureCanvasSVG(figure)
        vector.print_svg(svg, metadata={"Date": None})
        figure.set_layout_engine(layout)
        figure.set_canvas(shown_on)
    return png, svg


@contextmanager
def _noting_missing() -> Iterator[None]:
    """Keep the letters that matplotlib can't find in any font, and pass on all other warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_GLYPH.pattern, category=UserWarning)
        yield
    for warning in caught:
        found = _GLYPH.search(str(warning.message))
        if found:
            _missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def letters_missing() -> str:
    """The letters of pictures saved by this process that no font here has."""
    return "".join(sorted(_missing))


def add_missing(letters: str) -> None:
    """Let `boxes_in_words` tell of letters in pictures that another process saved."""
    _missing.update(letters)


def boxes_in_words() -> list[str]:
    """Sentences on the letters of saved pictures that no font here has, one a script, and each once in a process."""
    letters: dict[tuple[str, str], list[str]] = {}
    for letter in sorted(_missing):
        script = unicodedata.name(letter, "").partition(" ")[0]
        letters.setdefault(_SCRIPTS.get(script, ("other", "Noto Sans")), []).append(letter)
    said = []
    for (script, font), found in letters.items():
        if script not in _told:
            _told.add(script)
            which = f"{counted(len(found), f'{script} character')}, such as '{found[0]}'"
            said.append(
                f"no font here has {which}: boxes stand for them in the PNG pictures. A font such as {font} would show "
                "them; the SVG pictures hold them as text"
            )
    return said
