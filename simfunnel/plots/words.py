"""Numbers and names as a picture shows them: `2.26M`, `45%`, `35 h`, `Win rate`."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from unicodedata import east_asian_width

from simfunnel import formatting
from simfunnel.kpis import METRICS

HUGE = 1e15  # more than that is a slip, and must not fill a picture with digits
SCALES = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
_UNSEEN = str.maketrans({"\n": " ", "\t": " ", "\r": " "})
_NAMES = {
    "wait": "Wait for a seller",
    "lost": "Lost deals",
    "churned": "Churned customers",
    "reneged": "Tired of waiting",
}


def name_of(metric: str) -> str:
    """A metric's name with a capital letter, as a title begins with it."""
    return _NAMES.get(metric, metric.replace("_", " ").capitalize())


def unit_of(metric: str) -> str:
    """The unit of a metric: `prospects`, `money`, `share` or `hours`; of an unknown one the plain number's, ''."""
    return METRICS[metric].unit if metric in METRICS else ""


def axis_name(metric: str, currency: str, more: str = "") -> str:
    """What stands along an axis: the metric and its unit."""
    unit = {"money": currency, "share": "%", "hours": "clock hours"}.get(unit_of(metric), "")
    return f"{name_of(metric)}{more}" + (f" ({unit})" if unit else "")


def shown(value: float, unit: str, currency: str = "", *, step: float | None = None) -> str:
    """A number in its unit, as in every table; or, on an axis, with as many decimals as its `step` asks for.

    Hours stay hours here, since those of a column or an axis are to be compared.

    >>> shown(2_264_000, "money", "USD"), shown(0.0683, "share"), shown(1116, "prospects"), shown(62.34, "hours")
    ('2.26M USD', '6.8%', '1,116', '62 h')
    >>> shown(2_265_000, "money", step=5000), [shown(x, "share", step=0.025) for x in (0, 0.025)]
    ('2.265M', ['0.0%', '2.5%'])
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) >= HUGE:
        return _minus(f"{value:.3g}")
    if unit == "hours":
        text = f"{_stepped(value, step, 1e5) if step else formatting.count(value)} h"
    elif step:
        text = (
            f"{100 * value:.{_decimals(100 * step)}f}%"
            if unit == "share"
            else _stepped(value, step, 1e3 if unit == "money" else 1e5)
        )
    else:
        text = formatting.figure(value, unit, currency)
    return _minus(text)


def in_most(low: float, high: float, replications: int, unit: str, currency: str = "") -> str:
    """What most replications say, for a title; `low` and `high` are P10 and P90.

    >>> in_most(1_764_000, 2_966_000, 60, "money", "USD")
    'in 8 of 10 replications between 1.76M and 2.97M USD'
    """
    if replications == 1:
        return f"{shown(low, unit, currency)} in the one replication"
    if low == high:
        return f"{shown(low, unit, currency)} in at least 8 of 10 replications"
    return f"in 8 of 10 replications between {shown(low, unit)} and {shown(high, unit, currency)}"


def signed(value: float, unit: str) -> str:
    """A difference: `+120k`; of shares in percentage points.

    >>> signed(-0.0123, "share"), signed(7, "prospects"), signed(62.34, "hours")
    ('−1.2 points', '+7', '+62 h')
    """
    if unit == "hours" or abs(value) >= HUGE:
        text = shown(value, unit)
        return f"+{text}" if value >= 0 else text
    return _minus(formatting.signed(value, unit))


def chance(p: float) -> str:
    """An estimated chance, which is never known to be 0 or 1.

    >>> chance(0.004), chance(0.42), chance(1.0), chance(math.nan)
    ('<1%', '42%', '>99%', '–')
    """
    if not math.isfinite(p):
        return "–"
    return "<1%" if p < 0.01 else ">99%" if p > 0.99 else f"{p:.0%}"


def how_many(part: float) -> str:
    """A share of the replications in words: `none`, `42%`, `all`."""
    return "none" if part == 0 else "all" if part == 1 else chance(part)


def clipped(name: object, most: int = 32) -> str:
    r"""A user's name that fits its place: without characters that can't be drawn, cut where it is too wide.

    `most` counts letters; one of a script as wide as Chinese counts as two.

    >>> clipped("a\nvery long name of a stage", 12), clipped("\u5ba2\u6237\u6210\u529f", 6)
    ('a very long…', '\u5ba2\u6237…')
    """
    text = "".join(c for c in str(name).translate(_UNSEEN) if c.isprintable())
    ends = list(accumulate(2 if east_asian_width(c) in "WF" else 1 for c in text))
    if not ends or ends[-1] <= most:
        return text
    return text[: bisect_right(ends, most - 1)].rstrip() + "…"


def _stepped(value: float, step: float, least: float) -> str:
    """A number on an axis; from `least` on with k, M or bn."""
    scale, letter = next(((s, x) for s, x in SCALES if abs(value) >= max(s, least)), (1.0, ""))
    return f"{value / scale:,.{_decimals(step / scale)}f}{letter}"


def _decimals(step: float) -> int:
    """How many decimals tell neighbours on an axis apart, and say 2.5 where it is not 2."""
    least = max(0, -math.floor(math.log10(step) + 1e-9))
    return next((d for d in range(least, 9) if abs(round(step, d) - step) < 0.01 * step), 9)


def _minus(text: str) -> str:
    return text.replace("-", "−") if text.startswith("-") else text
