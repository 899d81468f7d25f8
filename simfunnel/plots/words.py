"""Numbers and names as a picture shows them: `2.26M`, `45%`, `35 h`, `Win rate`."""

from __future__ import annotations

import math

from simfunnel.kpis import METRICS

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
    """A number in its unit, to three significant digits; or, on an axis, to as many decimals as its `step` asks for.

    >>> shown(2_264_000, "money", "USD"), shown(0.0683, "share"), shown(1116, "prospects"), shown(35.41, "hours")
    ('2.26M USD', '6.8%', '1,116', '35.4 h')
    >>> shown(999_999, "money"), shown(2_265_000, "money", step=5000)
    ('1M', '2.265M')
    >>> [shown(x, "share", step=0.025) for x in (0, 0.025)]
    ['0.0%', '2.5%']
    """
    if not math.isfinite(value):
        return "–"
    if unit == "share":
        decimals = _decimals(step * 100) if step else (0 if value == 0 or abs(value) >= 0.0995 else 1)
        return _minus(f"{100 * value:.{decimals}f}%")
    text = _scaled(value, step, from_=1e5 if unit in ("prospects", "hours", "days") else 1e3)
    suffix = {"money": currency, "hours": "h", "days": "d"}.get(unit, "")
    return _minus(f"{text} {suffix}".strip())


def in_most(low: float, high: float, replications: int, unit: str, currency: str = "") -> str:
    """What most replications say, for a title; `low` and `high` are P10 and P90.

    >>> in_most(1_764_000, 2_965_000, 60, "money", "USD")
    'in 8 of 10 replications between 1.76M and 2.97M USD'
    """
    if replications == 1:
        return f"{shown(low, unit, currency)} in the one replication"
    if low == high:
        return f"{shown(low, unit, currency)} in at least 8 of 10 replications"
    return f"in 8 of 10 replications between {shown(low, unit)} and {shown(high, unit, currency)}"


def signed(value: float, unit: str, currency: str = "") -> str:
    """A difference: `+120k USD`; of shares in percentage points.

    >>> signed(-0.0123, "share"), signed(0.12, "share"), signed(7, "prospects")
    ('−1.2 pp', '+12 pp', '+7')
    """
    if unit == "share" and math.isfinite(value):
        points = 100 * value
        text = _minus(f"{points:.0f}" if abs(points) >= 10 else f"{points:.2g}") + " pp"
    else:
        text = shown(value, unit, currency)
    return f"+{text}" if value > 0 else text


def chance(p: float) -> str:
    """An estimated chance, which is never known to be 0 or 1.

    >>> chance(0.004), chance(0.42), chance(1.0), chance(math.nan)
    ('<1%', '42%', '>99%', '–')
    """
    if not math.isfinite(p):
        return "–"
    return "<1%" if p < 0.01 else ">99%" if p > 0.99 else f"{p:.0%}"


def clipped(name: object, most: int = 32) -> str:
    r"""A user's name that fits its place: without characters that can't be drawn, cut where it is too long.

    >>> clipped("a\nvery long name of a stage", 12)
    'a very long…'
    """
    text = "".join(c for c in str(name).translate(_UNSEEN) if c.isprintable())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _scaled(value: float, step: float | None, from_: float) -> str:
    size = abs(value) if value == 0 or step else float(f"{abs(value):.3g}")
    if size >= 1e15:
        return f"{value:.3g}"
    scale, letter = next(((s, x) for s, x in SCALES if size >= max(s, from_)), (1.0, ""))
    if step:
        return f"{value / scale:,.{_decimals(step / scale)}f}{letter}"
    if 0 < size < 0.01:
        return f"{value:.2g}"
    digits = 0 if size == 0 else max(0, 2 - math.floor(math.log10(size / scale)))
    text = f"{value / scale:,.{min(digits, 3)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + letter


def _decimals(step: float) -> int:
    """How many decimals tell neighbours on an axis apart, and say 2.5 where it is not 2."""
    least = max(0, -math.floor(math.log10(step) + 1e-9))
    return next((d for d in range(least, 9) if abs(round(step, d) - step) < 0.01 * step), 9)


def _minus(text: str) -> str:
    return text.replace("-", "−") if text.startswith("-") else text
