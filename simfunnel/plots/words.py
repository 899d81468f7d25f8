"""Numbers and names as a picture shows them: `2.26M`, `45%`, `35 h`, `Win rate`."""

from __future__ import annotations

import math

from simfunnel.kpis import METRICS

SCALES = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
_UNSEEN = str.maketrans({"\n": " ", "\t": " ", "\r": " "})
_NAMES = {"wait": "Wait for a seller", "lost": "Lost deals", "churned": "Churned customers", "reneged": "Tired of waiting"}


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
    """
    if not math.isfinite(value):
        return "–"
    if unit == "share":
        decimals = _decimals(step * 100) if step else (0 if value == 0 or abs(value) >= 0.0995 else 1)
        return _minus(f"{100 * value:.{decimals}f}%")
    text = _scaled(value, step, from_=1e5 if unit in ("prospects", "hours", "days") else 1e3)
    suffix = {"money": currency, "hours": "h", "days": "d"}.get(unit, "")
    return _minus(f"{text} {suffix}".strip())


def between(low: float, high: float, unit: str, currency: str = "") -> str:
    """A range in words: `between 1.6M and 3M USD`."""
    return f"between {shown(low, unit)} and {shown(high, unit, currency)}"


def signed(value: float, unit: str, currency: str = "") -> str:
    """A difference: `+120k USD`, `−1.2%`."""
    text = shown(value, unit, currency)
    return f"+{text}" if value > 0 else text


def clipped(name: object, most: int = 32) -> str:
    """A user's name that fits its place: without characters that can't be drawn, cut where it is too long.

    >>> clipped("a\\nvery long name of a stage", 12)
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
    if value != 0 and size < 0.01:
        return f"{value:.2g}"
    digits = 0 if size == 0 else max(0, 2 - math.floor(math.log10(size / scale)))
    text = f"{value / scale:,.{min(digits, 3)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + letter


def _decimals(step: float) -> int:
    """How many decimals tell neighbours on an axis apart."""
    return min(9, max(0, -math.floor(math.log10(abs(step)) + 1e-9))) if step else 0


def _minus(text: str) -> str:
    return text.replace("-", "−") if text.startswith("-") else text
