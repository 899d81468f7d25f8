"""Numbers as people read them: `1.25M USD`, `46%`, `3.2 h`. Rounding happens here and nowhere earlier."""

from __future__ import annotations

import math


def money(amount: float, currency: str = "") -> str:
    """An amount in three figures with k, M or bn: `1.25M USD`."""
    if math.isnan(amount):
        return "–"
    for size, mark in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(amount) >= 0.9995 * size:
            text = _figures(amount / size) + mark
            break
    else:
        text = f"{amount:,.0f}"
    return f"{text} {currency}".strip()


def _figures(x: float) -> str:
    """Three figures: 1.25, 12.5, 125."""
    digits = 2 if abs(x) < 9.995 else 1 if abs(x) < 99.95 else 0
    return f"{x:,.{digits}f}"


def share(x: float) -> str:
    """A share of one as a percentage."""
    if math.isnan(x):
        return "–"
    return f"{x:.1%}" if abs(x) < 0.0995 else f"{x:.0%}"


def count(x: float) -> str:
    """A count; means of counts with one decimal where they are small."""
    if math.isnan(x):
        return "–"
    return f"{x:,.0f}" if abs(x) >= 20 or x == int(x) else f"{x:,.1f}"


def counted(number: int, thing: str, things: str = "") -> str:
    """So many of a thing, in the singular where it is one; the plural is `things`, or ends in s.

    >>> counted(1, "deal"), counted(1200, "deal"), counted(0, "category", "categories")
    ('1 deal', '1,200 deals', '0 categories')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def hours(x: float) -> str:
    """A time given in hours; it stays in hours, so that a column can be compared."""
    if math.isnan(x):
        return "–"
    if abs(x) < 1:
        return f"{x * 60:.0f} min"
    return f"{x:,.1f} h"


def figure(x: float, unit: str, currency: str = "") -> str:
    """A number of a metric's unit: `money`, `share`, `hours` or `prospects`."""
    if unit == "money":
        return money(x, currency)
    return {"share": share, "hours": hours}.get(unit, count)(x)


def signed(x: float, unit: str, currency: str = "") -> str:
    """The same with its sign, for differences; a difference of shares is in points."""
    if math.isnan(x):
        return "–"
    if unit == "share":
        return f"{100 * x:+.1f} points"
    text = figure(x, unit, currency)
    return text if x < 0 else f"+{text}"
