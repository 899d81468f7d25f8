"""The orders of a file: which rows are orders, their dates and amounts, and lines of one order added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simfunnel.crm.names import ALIASES, normal, outcome_named, truth
from simfunnel.crm.sources import read_table
from simfunnel.crm.tables import day_comes_first, read_dates, read_numbers
from simfunnel.segments.columns import file_fault, read_columns, recognised
from simfunnel.segments.ledger import MOST_ROWS_NAMED, NEEDED

_ABBREVIATED = r"(?i)\d\s*(?:k|m|mn|mio|bn|b|tsd|[千万亿])\.?\s*$"


def read_orders(path: str | Path, columns: Mapping[str, str] | str | Path | None = None) -> pd.DataFrame:
    """The order table of a file (CSV, Parquet, or Excel where openpyxl is installed), in order of date.

    Columns: customer, date, amount, `order` where lines of one order were added up, and all others as text. What was
    assumed or left out is told in `.attrs["said"]`, a list of sentences. Of a CRM's export of deals only those that
    were won count. Lines with one order number, customer and day are one order; columns in which they differ are left
    out.

    Args:
        path: the file, a row for each order, or for each line of one.
        columns: part -> the file's column, such as {customer: "Bought by"}, or a YAML file of such a map; it wins
            over the names that are recognised. The parts: customer, date, amount, order, quantity, price.

    Raises:
        InputError: the file or the map can't be read, a column is missing, a date or an amount can't be read (with
            the rows, the header being row 1), or no order is left.
    """
    file = Path(path)
    source = read_table(file)
    table = source.rows
    known = recognised(table, file, read_columns(columns))
    said = ["columns: " + ", ".join(f"{name} is '{column}'" for name, column in known.items())]
    said += [source.said] if source.said else []
    kept = _won(table, known, said)
    customers = table[known["customer"]].str.strip()
    empty = customers[kept].isna() | (customers[kept] == "")
    if empty.any():
        said.append(f"{empty.sum():,} rows without a customer were left out")
        kept = kept & customers.notna() & (customers != "")
    table, customers = table[kept], customers[kept]
    if table.empty:
        raise file_fault(file, "no orders: the file has a header, and no row that counts" + _because(said[1:]))
    day_first, order = day_comes_first([table[known["date"]]])
    dates = read_dates(table[known["date"]], day_first=day_first)
    _all_read(table[known["date"]], dates.values.notna(), file, "date", "write dates as 2026-10-01")
    amounts = _amounts(table, known, file, said)
    said += [*([order] if order else []), *dates.assumptions]
    if customers.str.fullmatch(r"\d+\.0").all():  # as spreadsheets write whole numbers
        customers = customers.str.removesuffix(".0")
    mine = {"customer": customers, "date": dates.values, "amount": amounts}
    if "order" in known:
        mine["order"] = table[known["order"]].str.strip()
    rest = [c for c in table.columns if c not in known.values() and not c.startswith(("_", "Unnamed:"))]
    renamed = {c: f"{c} (file)" for c in rest if c in mine}
    orders = pd.DataFrame(mine).join(table[rest].rename(columns=renamed))
    orders = _joined_lines(orders, said) if "order" in known else orders
    notes = orders["amount"] < 0
    if notes.any():
        said.append(
            f"{notes.sum():,} amounts are negative ({orders['amount'][notes].sum():,.0f} in all): they are kept as "
            "credit notes, which lower a customer's money and are no purchases"
        )
    orders = orders.sort_values("date", kind="stable", ignore_index=True)
    orders.attrs["said"] = said
    return orders


def _because(said: Sequence[str]) -> str:
    return f" ({'; '.join(said)})" if said else ""


def _won(table: pd.DataFrame, known: Mapping[str, str], said: list[str]) -> pd.Series[bool]:
    """Which rows are orders: of a CRM's deals those that were won; else all that aren't called off or deleted."""
    kept = pd.Series(True, index=table.index)
    found = {normal(column): column for column in reversed(table.columns) if column not in known.values()}

    def first(part: str) -> str | None:
        return next((found[alias] for alias in ALIASES[part] if alias in found), None)

    gone = first("deleted")
    if gone:
        kept &= ~table[gone].map(truth).astype(bool)
    flag = first("is_won")
    if flag:
        kept &= table[flag].map(truth).astype(bool)
        said.append(f"only deals that were won are orders ('{flag}'): {kept.sum():,} of {len(table):,} rows")
        return kept
    for column in (first("outcome"), first("stage")):
        told = {name: outcome_named(name) for name in table[column].unique()} if column else {}
        outcomes = table[column].map(told) if column else pd.Series(dtype=object)
        if (outcomes == "won").any():
            kept &= outcomes == "won"
            said.append(f"only deals that were won are orders ('{column}'): {kept.sum():,} of {len(table):,} rows")
            return kept
        if (outcomes == "lost").any():
            names = ", ".join(sorted(set(table[column][outcomes == "lost"])))
            said.append(f"{(outcomes == 'lost').sum():,} rows were left out as called off ('{column}': {names})")
            kept &= outcomes != "lost"
    return kept


def _all_read(text: pd.Series[Any], is_read: pd.Series[bool], file: Path, what: str, advice: str) -> None:
    """Raise InputError naming the rows that hold no date or amount."""
    bad = text[~is_read]
    if bad.empty:
        return
    first = bad.iloc[:MOST_ROWS_NAMED]
    told = zip(first.index.to_numpy() + 2, first, strict=True)  # row 1 is the header
    shown = ", ".join(f"row {row} ({'empty' if pd.isna(cell) else repr(str(cell)[:40])})" for row, cell in told)
    more = f" and {len(bad) - MOST_ROWS_NAMED:,} more" if len(bad) > MOST_ROWS_NAMED else ""
    raise file_fault(
        file, f"{len(bad):,} rows have no {what} that can be read in '{text.name}': {shown}{more}; {advice}"
    )


def _amounts(table: pd.DataFrame, known: Mapping[str, str], file: Path, said: list[str]) -> pd.Series[float]:
    if "amount" in known:
        return _numbers(table[known["amount"]], file, said, money=True)
    said.append(f"amounts are '{known['quantity']}' times '{known['price']}'")
    return _numbers(table[known["quantity"]], file, said) * _numbers(table[known["price"]], file, said)


def _numbers(text: pd.Series[Any], file: Path, said: list[str], *, money: bool = False) -> pd.Series[float]:
    """Numbers with currency signs and thousands marks; what can't be read for certain is a fault."""
    numbers, assumed = read_numbers(text.str.replace("\N{MINUS SIGN}", "-", regex=False), money=money)
    short = text.str.contains(_ABBREVIATED, na=False)
    _all_read(text, numbers.notna() & ~short, file, "amount", "write amounts as 1234.50, and 0 where there is none")
    if assumed:
        said.append(assumed.format(f"'{text.name}'"))
    return numbers


def _joined_lines(orders: pd.DataFrame, said: list[str]) -> pd.DataFrame:
    """Lines of one order (the same number, customer and day) as one row."""
    keys = ["customer", "order", orders["date"].dt.normalize().rename("day")]
    numbered = orders["order"].notna() & (orders["order"] != "")
    if not orders[numbered].assign(day=keys[2]).duplicated(["customer", "order", "day"]).any():
        return orders
    groups = orders[numbered].groupby(["customer", "order", keys[2][numbered]], sort=False)
    others = [c for c in orders.columns if c not in (*NEEDED, "order")]
    differing = [c for c in others if bool((groups[c].nunique(dropna=False) > 1).any())]
    same = [c for c in others if c not in differing]
    joined = groups.agg({"date": "min", "amount": "sum", **dict.fromkeys(same, "first")})
    joined = joined.reset_index(level=["customer", "order"]).reset_index(drop=True)
    lines = int(numbered.sum())
    left = f"; columns in which they differ were left out: {', '.join(differing)}" if differing else ""
    said.append(f"{lines:,} lines are {len(joined):,} orders{left}")
    return pd.concat([joined, orders[~numbered].drop(columns=differing)], ignore_index=True)[list(joined.columns)]
