"""Grades as parts of a scenario: an attribute with the share of each, and order values by grade."""

from __future__ import annotations

from typing import Any

import pandas as pd

from simfunnel.errors import InputError
from simfunnel.fitting.figures import data_table, sensible
from simfunnel.numerics import Floats
from simfunnel.segments.ledger import ledger_of


def grade_shares(
    grades: pd.Series[Any], orders: pd.DataFrame | None = None, *, name: str = "grade"
) -> dict[str, dict[str, Any]]:
    """Grades as parts of a scenario: `attributes` with the share of each grade, and `value` by grade.

    Shares sum to 100% exactly (largest remainders), with two decimals, or more where a grade is rarer. `value`, given
    where orders are, is the distribution of one order's amount (those over 0) by the customer's grade, as quantiles
    with the mean of the data. Write it with `scenario.documents.dump`, or put it into a scenario's tree.

    Args:
        grades: by customer, as `rfm(...).set_index("customer")["code"]` or `pyramid_grade` gives them.
        orders: the orders of these customers.
        name: what the attribute is to be called.

    Raises:
        InputError: there are no grades, or some customer has none.
    """
    if grades.empty or grades.isna().any():
        raise InputError("there are no grades" if grades.empty else f"{grades.isna().sum():,} customers have no grade")
    named = grades.astype(str).str.strip()
    counts = named.value_counts(sort=False)
    tree: dict[str, dict[str, Any]] = {"attributes": {name: _percentages(counts)}}
    if orders is None:
        return tree
    rows = ledger_of(orders).rows
    rows = rows[rows["amount"] > 0]
    grade = rows["customer"].map(named)
    cases: dict[str, Any] = {
        str(level): _quantiles(amounts.to_numpy(dtype=float))
        for level in counts.index
        if len(amounts := rows["amount"][grade == level])
    }
    if cases and len(cases) < len(counts):
        cases["other"] = _quantiles(rows["amount"].to_numpy(dtype=float))
    return tree | ({"value": {"by": name, "cases": cases}} if cases else {})


def _percentages(counts: pd.Series[int]) -> dict[str, str]:
    """Shares that sum to 100%: what rounding down leaves goes to the largest remainders."""
    total = int(counts.sum())
    places = 2
    while counts.min() * 10 ** (places + 2) < total:
        places += 1
    whole = 10 ** (places + 2)
    parts = {str(level): divmod(int(n) * whole, total) for level, n in counts.items()}
    left = whole - sum(quotient for quotient, _ in parts.values())
    more = sorted(parts, key=lambda level: -parts[level][1])[:left]
    units = {level: quotient + (level in more) for level, (quotient, _) in parts.items()}
    return {level: f"{n / 10**places:.{places}f}".rstrip("0").rstrip(".") + "%" for level, n in units.items()}


def _quantiles(amounts: Floats) -> Any:
    """A sample's distribution as a scenario has it."""
    table = data_table(amounts)
    if amounts.min() == amounts.max():
        return float(amounts[0])
    points = zip(table.shares, table.values, strict=True)
    return {"quantiles": {f"{100 * share:g}%": sensible(value, 4) for share, value in points}}
