"""Values in several currencies, turned into one by rates that the user gives; never added up without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from simfunnel.crm.evidence import Trouble
from simfunnel.crm.tables import read_numbers

_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW"}


@dataclass(frozen=True)
class Money:
    """Values in one currency (NaN where unknown), its name ('' where nothing tells), and what was done for that."""

    values: pd.Series[float]
    currency: str
    assumptions: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def in_one_currency(text: pd.Series[Any], codes: pd.Series[Any], rates: Mapping[str, float]) -> Money:
    """Values from text, in one currency.

    A value's currency is in `codes`, or a sign or a code of three letters beside the number. With `rates` (what one of
    each is worth) values are turned; one without a rate is unknown. Without rates, where there are several currencies,
    values in any but the most frequent are unknown, for sums of them would mean nothing.
    """
    values, assumed = read_numbers(text, money=True)
    said = [assumed.format("values")] if assumed else []
    codes = codes.str.strip().str.upper()
    if codes.isna().all():
        beside = text.str.extract(r"([A-Z]{3}|[€$£¥₹₽₩])", expand=False)
        codes = beside.replace(_SIGNS)
    known = codes.where(values.notna())
    counts = known.value_counts()
    found = sorted(counts.index, key=lambda code: (-counts[code], code))
    if rates:
        base = next((code for code, rate in rates.items() if rate == 1), "")
        strange = known.notna() & ~known.isin(rates)
        factors = known.map(dict(rates)).astype("float64").where(known.notna(), 1.0)
        used = ", ".join(f"{code} x {rates[code]:g}" for code in found if code in rates)
        said.append(f"values are turned into {base or 'one currency'} by the map's rates ({used or 'none was needed'})")
        names = ", ".join(code for code in found if code not in rates)
        trouble = _unknown(strange, text, f"values in a currency without a rate ({names})", names.split(", ")[0])
        return Money((values * factors).where(~strange), base, tuple(said), trouble)
    if len(found) < 2:
        return Money(values, found[0] if found else "", tuple(said))
    main = found[0]
    other = known.notna() & (known != main)
    shown = ", ".join(f"{code}: {counts[code]:,}" for code in found[:6])
    said.append(f"values are in {main}")
    trouble = _unknown(other, text, f"values in several currencies ({shown})", found[1])
    return Money(values.where(~other), main, tuple(said), trouble)


def _unknown(rows: pd.Series[Any], text: pd.Series[Any], name: str, code: str) -> tuple[Trouble, ...]:
    if not rows.any():
        return ()
    action = (
        f"these are taken as unknown; to turn them, say their rates in the map, such as currencies: {{{code}: 1.1}}"
    )
    bias = "bookings lack what the rates of exchange would make of these deals"
    examples = tuple(text[rows].str.strip().head(3))
    return (Trouble(name, int(rows.sum()), float(rows.mean()), examples, action, bias),)


__all__ = ["Money", "in_one_currency"]
