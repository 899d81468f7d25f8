"""Which column of a file is which part of an order: by a map, or by the names that files have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from simfunnel.crm.names import ALIASES, normal
from simfunnel.errors import Fault, InputError, nearest, not_among
from simfunnel.scenario.documents import parse, read_text
from simfunnel.segments.ledger import NEEDED

# fmt: off
# What an order is made of -> names seen in files, in normal form (see crm/names.py), the most telling first.
COLUMNS: dict[str, tuple[str, ...]] = {
    "customer": (
        "customerid", "customerno", "customernumber", "customercode", "customer", "customername", "clientid", "client",
        "clientname", "accountid", "account", "accountname", "buyerid", "buyer", "companyid", "company", "companyname",
        "userid", "user", "customeremail", "email", "kundennummer", "kunde", "cliente", "客户编号", "客户", "客户名称",
        "顧客",
    ),
    "date": (
        "orderdate", "orderedat", "orderedon", "dateordered", "ordertime", "invoicedate", "purchasedate",
        "purchasedat", "transactiondate", "saledate", "salesdate", "bookingdate", "bookeddate", "date", "orderday",
        "bestelldatum", "datum", "fecha", "订单日期", "下单日期", "日期", *ALIASES["closed"], "datetime", "timestamp",
        "createdat",
    ),
    "amount": (
        "orderamount", "ordervalue", "ordertotal", "totalamount", "totalprice", "totalvalue", "netamount", "linetotal",
        "invoiceamount", "saleamount", "salesamount", "amount", "total", "revenue", "sales", "turnover", "spend",
        "bookings", "betrag", "umsatz", "importe", "订单金额", "金额", "销售额", *ALIASES["value"],
    ),
    "order": (
        "orderid", "orderno", "ordernumber", "invoiceid", "invoiceno", "invoicenumber", "invoice", "transactionid",
        "订单编号", "订单号",
    ),
    "quantity": ("quantity", "qty", "units", "menge", "数量"),
    "price": ("unitprice", "priceperunit", "priceeach", "price", "einzelpreis", "单价"),
}
_MEANING = {
    "customer": "who bought",
    "date": "the day of the order",
    "amount": "its money, or a quantity and a unit price",
}
# fmt: on


def file_fault(file: Path, message: str) -> InputError:
    """A fault of a file, to be raised."""
    return InputError([Fault(message, file=str(file))])


def read_columns(columns: Mapping[str, str] | str | Path | None) -> dict[str, str]:
    """The map as a dict, its keys checked."""
    if columns is None:
        return {}
    where = str(columns) if isinstance(columns, (str, Path)) else ""
    tree: Mapping[str, Any] = parse(read_text(Path(where)), where).tree if where else dict(columns)  # type: ignore[arg-type]
    strange = [
        Fault(not_among(k, "part of an order in a column map", COLUMNS), file=where) for k in tree if k not in COLUMNS
    ]
    if strange:
        raise InputError(strange)
    return {name: str(column) for name, column in tree.items()}


def recognised(table: pd.DataFrame, file: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Part of an order -> the file's column."""
    found = {normal(column): column for column in reversed(table.columns)}
    known: dict[str, str] = {}
    for name, aliases in COLUMNS.items():
        if name in columns:
            if columns[name] not in table.columns:
                wrong = not_among(columns[name], "column", table.columns)
                raise file_fault(file, f"the map says {name}: {wrong}")
            known[name] = columns[name]
            continue
        taken = [*columns.values(), *known.values()]
        column = next((found[a] for a in aliases if a in found and found[a] not in taken), None)
        if column is not None:
            known[name] = column
    by_piece = "amount" not in known and {"quantity", "price"} <= known.keys()
    if not by_piece:
        known = {name: column for name, column in known.items() if name not in ("quantity", "price")}
    missing = [name for name in NEEDED if name not in known and not (name == "amount" and by_piece)]
    if missing:
        need = "; ".join(f"'{name}' ({_MEANING[name]}){_meant(name, found, known)}" for name in missing)
        raise file_fault(
            file,
            f"no column was recognised for {need}. The file's columns: {', '.join(table.columns)}. Rename one, or name "
            f"it in a file map.yaml, given with --map map.yaml:\n" + "\n".join(f"  {n}: <its column>" for n in missing),
        )
    return known


def _meant(name: str, found: Mapping[str, str], known: Mapping[str, str]) -> str:
    """The column that may be meant: like a name we know, and not known to be something else."""
    other = {alias for part, aliases in ALIASES.items() if part not in ("closed", "value") for alias in aliases}
    free = [n for n, column in found.items() if column not in known.values() and n not in other]
    for alias in COLUMNS[name]:
        meant = nearest(alias, free, cutoff=0.8)
        if meant:
            return f": did you mean '{found[meant]}'?"
    return ""
