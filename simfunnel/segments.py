"""Grades of customers from their orders: who is worth how much, and which grading foretells the year to come.

An order table is a DataFrame with a row an order: `customer`, `date` (dates, or days as numbers), `amount`, and columns
of attributes. `orders_of` makes one of a simulation, `read_orders` of a file; every table is a pure function of one.

- Dates count by the day: an order belongs to the as-of day or to one before it, else it is not looked at.
- The window, or period, of w days that ends on day t holds the days after t - w, up to t.
- A negative amount is a credit note: it lowers a customer's money and is no purchase.
- Customers are told apart by what stands in `customer`; two spellings are two customers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.names import ALIASES, normal, outcome_named, truth
from simfunnel.crm.sources import read_table
from simfunnel.crm.tables import day_comes_first, read_dates, read_numbers
from simfunnel.engines.records import BOOKED, Records
from simfunnel.errors import Fault, InputError, nearest, not_among
from simfunnel.fitting.figures import data_table, sensible
from simfunnel.formatting import count, money, share
from simfunnel.numerics import Floats
from simfunnel.plan import NOWHERE, Plan
from simfunnel.randomness import MAX_SEED
from simfunnel.replicate import Progress, records_of
from simfunnel.runs import plain, version, write_tables_and_pictures
from simfunnel.scenario import Scenario, load
from simfunnel.scenario.documents import dump, parse, read_text
from simfunnel.scenario.fields import read_date

YEAR = 365.0
DISCOUNT = 0.10
NEEDED = ("customer", "date", "amount")
PYRAMID = {"top": 0.01, "big": 0.05, "medium": 0.20, "small": 1.0}
"""The classes of the customer pyramid and the share of customers down to the end of each."""
INACTIVE = "inactive"
QUADRANTS = ("strategic", "profitable", "potential", "ordinary")
LETTERS = "ABCDEFGHIJ"
_EPOCH = date(1970, 1, 1).toordinal()
_MOST_ROWS_NAMED = 8  # in a message

Moment = date | str | float
"""A day: a date (or its text, as 2026-10-01) where orders have dates, a number where they have days."""
Grading = Callable[[pd.DataFrame, Moment], "pd.Series[Any]"]
"""Takes an order table and its last day; gives each customer's grade, by customer."""


# --- orders of a simulation -------------------------------------------------------------------------------------------


def orders_of(records: Records, plan: Plan) -> pd.DataFrame:
    """The order table of one replication: every amount booked, in order of time.

    Columns: customer (the prospect's row), date (a time stamp: the plan's start and the time), amount, source,
    generation, member (who worked last on the prospect before the booking, '' if nobody did), and each attribute. An
    attribute named like one of these columns has `attribute ` before its name.
    """
    rows, people = records.money, records.prospects
    booked = rows.kind == BOOKED
    who, time = rows.prospect[booked], rows.time[booked]
    start = np.datetime64(plan.start, "us")
    table: dict[str, Any] = {
        "customer": who,
        "date": start + (time * 86400e6).astype("int64").astype("timedelta64[us]"),
        "amount": rows.amount[booked],
        "source": np.array(plan.source_names, dtype=object)[people.source[who]],
        "generation": people.generation[who],
        "member": np.array([*plan.member_names, ""], dtype=object)[_winners(records, booked)],
    }
    for k, (name, levels) in enumerate(zip(plan.attribute_names, plan.attribute_levels, strict=True)):
        column = people.attributes[who, k]
        key = f"attribute {name}" if name in table else name
        table[key] = np.array(levels, dtype=object)[column.astype(int)] if levels else column
    return pd.DataFrame(table).sort_values("date", kind="stable", ignore_index=True)


def _winners(records: Records, booked: np.ndarray) -> np.ndarray:
    """The member named by the move into the stage that booked, or -1."""
    moves, rows = records.moves, records.money
    member = dict(zip(zip(moves.prospect, moves.goal, moves.time, strict=True), moves.member, strict=True))
    entries = zip(rows.prospect[booked], rows.stage[booked], rows.time[booked], strict=True)
    return np.array([member.get(entry, NOWHERE) for entry in entries], dtype=np.int64)


# --- orders of a file -------------------------------------------------------------------------------------------------

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
    table = read_table(file)
    known = _recognised(table, file, _read_columns(columns))
    said = ["columns: " + ", ".join(f"{name} is '{column}'" for name, column in known.items())]
    kept = _won(table, known, said)
    customers = table[known["customer"]].str.strip()
    empty = customers[kept].isna() | (customers[kept] == "")
    if empty.any():
        said.append(f"{empty.sum():,} rows without a customer were left out")
        kept = kept & customers.notna() & (customers != "")
    table, customers = table[kept], customers[kept]
    if table.empty:
        raise _fault(file, "no orders: the file has a header, and no row that counts" + _because(said[1:]))
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


def _fault(file: Path, message: str) -> InputError:
    return InputError([Fault(message, file=str(file))])


def _because(said: Sequence[str]) -> str:
    return f" ({'; '.join(said)})" if said else ""


def _read_columns(columns: Mapping[str, str] | str | Path | None) -> dict[str, str]:
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


def _recognised(table: pd.DataFrame, file: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Part of an order -> the file's column."""
    found = {normal(column): column for column in reversed(table.columns)}
    known: dict[str, str] = {}
    for name, aliases in COLUMNS.items():
        if name in columns:
            if columns[name] not in table.columns:
                wrong = not_among(columns[name], "column", table.columns)
                raise _fault(file, f"the map says {name}: {wrong}")
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
        raise _fault(
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
    first = bad.iloc[:_MOST_ROWS_NAMED]
    told = zip(first.index.to_numpy() + 2, first, strict=True)  # row 1 is the header
    shown = ", ".join(f"row {row} ({'empty' if pd.isna(cell) else repr(str(cell)[:40])})" for row, cell in told)
    more = f" and {len(bad) - _MOST_ROWS_NAMED:,} more" if len(bad) > _MOST_ROWS_NAMED else ""
    raise _fault(file, f"{len(bad):,} rows have no {what} that can be read in '{text.name}': {shown}{more}; {advice}")


def _amounts(table: pd.DataFrame, known: Mapping[str, str], file: Path, said: list[str]) -> pd.Series[float]:
    if "amount" in known:
        return _numbers(table[known["amount"]], file, said)
    said.append(f"amounts are '{known['quantity']}' times '{known['price']}'")
    return _numbers(table[known["quantity"]], file, said) * _numbers(table[known["price"]], file, said)


def _numbers(text: pd.Series[Any], file: Path, said: list[str]) -> pd.Series[float]:
    """Numbers with currency signs and thousands marks; what can't be read for certain is a fault."""
    numbers, comma = read_numbers(text.str.replace("\N{MINUS SIGN}", "-", regex=False))
    short = text.str.contains(_ABBREVIATED, na=False)
    _all_read(text, numbers.notna() & ~short, file, "amount", "write amounts as 1234.50, and 0 where there is none")
    if comma:
        said.append(f"commas in '{text.name}' are decimal")
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


# --- what all gradings begin with -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ledger:
    """An order table, checked: rows (customer, day, amount) up to the day `end`, and whether days are dates."""

    rows: pd.DataFrame
    dated: bool
    end: float

    def moment(self, day: float) -> Moment:
        """A day in the table's own terms."""
        return date.fromordinal(math.floor(day) + _EPOCH) if self.dated else day

    def customers(self) -> pd.DataFrame:
        """By customer, in order of appearance: first and last purchase (NaN: none), frequency, money."""
        rows = self.rows.assign(bought=self.rows["day"].where(self.rows["amount"] >= 0))
        groups = rows.groupby("customer", sort=False)
        return groups.agg(
            first=("bought", "min"), last=("bought", "max"), frequency=("bought", "count"), money=("amount", "sum")
        )

    def within(self, window: float, end: float | None = None) -> pd.DataFrame:
        """The rows of the window that ends on a day; the last unless said."""
        end = self.end if end is None else end
        day = self.rows["day"]
        return self.rows[(day > end - window) & (day <= end)]


def _ledger(orders: pd.DataFrame, as_of: Moment | None = None) -> _Ledger:
    """The orders up to a day; the last day of the table unless said. Raises InputError where it is no order table."""
    missing = [name for name in NEEDED if name not in orders.columns]
    if missing:
        meant = nearest(missing[0], map(str, orders.columns))
        hint = f". Did you mean '{meant}'?" if meant else ""
        raise InputError(
            f"an order table has columns customer, date and amount; there is no {' and no '.join(missing)}, only "
            f"{', '.join(map(str, orders.columns)) or 'nothing'}{hint}"
        )
    day, dated = _days(orders["date"])
    amount = pd.to_numeric(orders["amount"], errors="coerce").astype("float64")
    for name, bad in (
        ("customer", orders["customer"].isna()),
        ("date", ~np.isfinite(day)),
        ("amount", ~np.isfinite(amount)),
    ):
        if bad.any():
            where = ", ".join(map(str, np.flatnonzero(bad)[:_MOST_ROWS_NAMED]))
            raise InputError(f"{bad.sum():,} orders have no {name}, or none that can be read (rows from 0: {where})")
    last = float(day.max()) if len(day) else 0.0
    end = last if as_of is None or orders.empty else _day_of(as_of, dated)
    known = day <= end
    rows = pd.DataFrame({"customer": orders["customer"], "day": day, "amount": amount})[known]
    return _Ledger(rows.reset_index(drop=True), dated, end)


def _days(dates: pd.Series[Any]) -> tuple[pd.Series[float], bool]:
    """Dates as whole days since 1970, or numbers as they are; and whether they are dates."""
    if pd.api.types.is_numeric_dtype(dates) and not pd.api.types.is_bool_dtype(dates):
        return dates.astype("float64"), False
    try:
        stamps = pd.to_datetime(dates, utc=True, format=None if dates.empty else "ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the dates of these orders can't be read ({error}); read_orders reads them from text"
        ) from None
    whole = np.floor(stamps.dt.tz_localize(None).to_numpy("datetime64[us]").astype("int64") / 86400e6)
    return pd.Series(whole, index=dates.index).where(stamps.notna()), True


def _day_of(moment: Moment, dated: bool) -> float:
    """A moment as a day of the table. Raises InputError where it isn't of the table's kind."""
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        if dated:
            raise InputError(f"these orders have dates, so the day must be a date such as 2026-10-01, not {moment}")
        if not math.isfinite(moment):
            raise InputError(f"a day must be a finite number, not {moment}")
        return float(moment)
    if not dated:
        raise InputError(f"the dates of these orders are numbers of days, so the day must be one, not {moment!r}")
    try:
        return float(read_date(moment).toordinal() - _EPOCH)
    except ValueError as error:
        raise InputError(str(error)) from None


def _positive(value: float, what: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{what} must be a number over 0, not {value}")
    return value


def _ranked(customers: pd.DataFrame) -> pd.DataFrame:
    """Customers by money, the best first; ties by frequency, then the later purchase, then the name."""
    keys = pd.DataFrame(
        {
            "money": -customers["money"],
            "frequency": -customers["frequency"],
            "last": -customers["last"].fillna(-np.inf),
            "name": customers.index.astype(str),
        },
        index=customers.index,
    )
    return customers.loc[keys.sort_values(list(keys.columns), kind="stable").index]


# --- gradings ---------------------------------------------------------------------------------------------------------


def rfm(orders: pd.DataFrame, as_of: Moment | None = None, bins: int = 5) -> pd.DataFrame:
    """Recency, frequency and money of each customer, with scores from 1 (worst) to `bins` (best).

    Columns: customer, recency (days from the last purchase to the as-of day), frequency (purchases), money (credit
    notes taken off), r, f, m (scores), code (such as '543'), score (their sum); the best score first.

    A score is the part of the customers, cut into `bins` equal parts by rank, in which the customer stands: that of
    rank k among n has the score ceil(bins (k - 1/2) / n), the worst being rank 1. Customers who tie share their mean
    rank and so their score; where all tie they get the middle one. One with credit notes alone has no recency, and
    ranks last in it. Hughes, Strategic Database Marketing (1994) has the three measures in fifths; he cuts frequency
    within recency, and money within both, while here each is cut for itself.

    Raises InputError unless bins is 2 to 9 and the table is an order table.
    """
    if not 2 <= bins <= 9:
        raise InputError(f"bins must be 2 to 9, not {bins}")
    ledger = _ledger(orders, as_of)
    customers = ledger.customers()
    table = customers[["frequency", "money"]].copy()
    table.insert(0, "recency", ledger.end - customers["last"])
    table["r"] = _scores(-table["recency"].fillna(np.inf), bins)
    table["f"] = _scores(table["frequency"], bins)
    table["m"] = _scores(table["money"], bins)
    table["code"] = table["r"].astype(str) + table["f"].astype(str) + table["m"].astype(str)
    table["score"] = table["r"] + table["f"] + table["m"]
    best = _ranked(customers).index
    return table.loc[best].sort_values("score", ascending=False, kind="stable").reset_index()


def _scores(values: pd.Series[Any], bins: int) -> pd.Series[int]:
    """1 .. bins by mid-rank, in whole numbers so that nothing is lost to rounding: twice the rank is one."""
    twice = (2 * values.rank(method="average") - 1).round().astype("int64")
    scores: pd.Series[int] = -(-(bins * twice) // max(2 * len(values), 1))
    return scores


def rfm_table(scores: pd.DataFrame) -> pd.DataFrame:
    """What each score of `rfm` stands for: measure, score, low and high (the least and the most of it), and as in
    `class_table` the customers and the money of those who have it.
    """  # noqa: D205
    parts = []
    for measure, key in (("recency", "r"), ("frequency", "f"), ("money", "m")):
        groups = scores.groupby(key)
        part = pd.DataFrame(
            {
                "customers": groups.size(),
                "low": groups[measure].min(),
                "high": groups[measure].max(),
                "money": groups["money"].sum(),
            }
        )
        part = part.sort_index(ascending=False).rename_axis("score").reset_index()
        part.insert(0, "measure", measure)
        parts.append(part)
    return _with_ratios(pd.concat(parts, ignore_index=True), within="measure")


def pyramid_classes(orders: pd.DataFrame, as_of: Moment | None = None, window: float = YEAR) -> pd.DataFrame:
    """The class of each customer in the pyramid, the best first: customer, money and purchases in the window, class.

    Customers with an order (or credit note) in the window are ranked by their money in it: the first 1% are `top`, the
    next 4% `big`, the next 15% `medium`, the others `small`; those who bought before the window alone are `inactive`.
    Parts of a customer count up: of 85 customers 1 is top, 4 are big, 12 medium. Ties go by more purchases, then the
    later one, then the name. Classes after J. and A. Curry, The Customer Marketing Method (Free Press, 2000).

    Raises InputError where the table is no order table, or the window isn't over 0 days.
    """
    ledger = _ledger(orders, as_of)
    rows = ledger.within(_positive(window, "a window"))
    active = _ranked(_Ledger(rows, ledger.dated, ledger.end).customers())
    ends = [math.ceil(round(level * len(active), 9)) for level in PYRAMID.values()]
    names = np.array(list(PYRAMID), dtype=object)
    active["class"] = names[np.searchsorted(ends, np.arange(len(active)), side="right")]
    gone = ledger.customers().drop(index=active.index).assign(money=0.0, frequency=0)
    gone = _ranked(gone).assign(**{"class": INACTIVE})
    both = pd.concat([active, gone]) if len(gone) else active
    return both[["money", "frequency", "class"]].rename_axis("customer").reset_index()


def pyramid(orders: pd.DataFrame, as_of: Moment | None = None, window: float = YEAR) -> pd.DataFrame:
    """The customer pyramid: a row a class of `pyramid_classes`, as `class_table` has it; shares are of all, the
    inactive included.
    """  # noqa: D205
    return class_table(pyramid_classes(orders, as_of, window), [*PYRAMID, INACTIVE])


def abc(orders: pd.DataFrame, cuts: Sequence[float] = (0.8, 0.95), as_of: Moment | None = None) -> pd.DataFrame:
    """The ABC class of each customer by all money so far, the best first: customer, money, share, before, class.

    `share` is of the money of all whose money is over 0, `before` the share of those who have more than this
    customer. A are all with `before` under the first cut, B under the second, and so on; so the customer who crosses a
    cut belongs above it, those who tie share a class, and who has no money is in the last.

    Raises InputError unless the cuts rise within 0 and 1 (nine at most) and the table is an order table.
    """
    cuts = [float(cut) for cut in cuts]
    rising = all(low < high for low, high in zip([0.0, *cuts], [*cuts, 1.0], strict=True))
    if not cuts or not rising or len(cuts) >= len(LETTERS):
        raise InputError(f"cuts must rise between 0 and 1, such as (0.8, 0.95), not {tuple(cuts)}")
    customers = _ranked(_ledger(orders, as_of).customers())
    table = customers[["money"]].rename_axis("customer").reset_index()
    positive = table["money"].clip(lower=0.0)
    total = positive.sum()
    table["share"] = positive / total if total > 0 else 0.0
    ahead = positive.cumsum() - positive
    before = ahead.groupby(positive).transform("min")
    table["before"] = (before / total).round(12).where(positive > 0, 1.0) if total > 0 else 1.0
    table["class"] = np.array(list(LETTERS), dtype=object)[np.searchsorted(cuts, table["before"], side="right")]
    return table


def value_fit(
    customers: pd.DataFrame, value: str, fit: str, value_cut: float | None = None, fit_cut: float | None = None
) -> pd.DataFrame:
    """Customers with their quadrant of value and strategic fit, as a column `class`.

    High is at least the cut; the cuts are the medians unless said. High value and high fit is `strategic`, high value
    alone `profitable`, high fit alone `potential`, neither `ordinary`.

    Args:
        customers: a row a customer.
        value: the column of what a customer is worth, in money.
        fit: the column of how well the customer fits the strategy, on any scale on which more is better.
        value_cut: from which value on it is high.
        fit_cut: from which fit on it is high.

    Raises:
        InputError: a column isn't there, or holds something other than numbers.
    """
    is_high = []
    for name, cut in ((value, value_cut), (fit, fit_cut)):
        if name not in customers.columns:
            raise InputError(not_among(name, "column", map(str, customers.columns)))
        column = pd.to_numeric(customers[name], errors="coerce").astype("float64")
        if column.isna().any():
            raise InputError(
                f"{column.isna().sum():,} customers have no number in '{name}'; give one, or leave them out"
            )
        is_high.append((column >= (column.median() if cut is None else cut)).to_numpy())
    number = 2 * ~is_high[0] + ~is_high[1]
    return customers.assign(**{"class": np.array(QUADRANTS, dtype=object)[number]})


def class_table(
    customers: pd.DataFrame, classes: Iterable[str] = (), *, by: str = "class", amount: str = "money"
) -> pd.DataFrame:
    """A row a class: class, customers, customer_share, money, money_share, money_per_customer.

    Args:
        customers: a row a customer.
        classes: the classes in their order, those without customers included; in order of appearance unless said.
        by: the column of classes.
        amount: the column that is added up as money.
    """
    groups = customers.groupby(by, sort=False)
    table = pd.DataFrame({"customers": groups.size(), "money": groups[amount].sum()})
    wanted = list(classes)
    if wanted:
        table = table.reindex(wanted, fill_value=0)
    return _with_ratios(table.rename_axis("class").reset_index())


def _with_ratios(table: pd.DataFrame, within: str = "") -> pd.DataFrame:
    """A table of classes with its shares and money per customer made of its counts and sums, NaN of nothing."""
    table = table.astype({"customers": "float64", "money": "float64"})

    def share_of_all(name: str) -> pd.Series[float]:
        whole: Any = table.groupby(within)[name].transform("sum") if within else table[name].sum()
        whole = pd.Series(whole, index=table.index, dtype="float64")
        part: pd.Series[float] = table[name] / whole.where(whole > 0)
        return part

    table["customer_share"], table["money_share"] = share_of_all("customers"), share_of_all("money")
    table["money_per_customer"] = table["money"] / table["customers"].where(table["customers"] > 0)
    table["customers"] = (
        table["customers"].astype("int64") if (table["customers"] % 1 == 0).all() else table["customers"]
    )
    last = ["customers", "customer_share", "money", "money_share", "money_per_customer"]
    return table[[*(c for c in table.columns if c not in last), *last]]


# --- lifetime value ---------------------------------------------------------------------------------------------------


def lifetime_value(
    orders: pd.DataFrame,
    as_of: Moment | None = None,
    *,
    margin: float = 1.0,
    discount: float = DISCOUNT,
    period: float = YEAR,
    retention: float | None = None,
    by: str | Grading | None = None,
) -> pd.DataFrame:
    """What each customer has brought and is expected to bring: a row a customer, in order of appearance.

    Columns: customer, class, realised, margin, buyers, again, retention, expected.

    - `realised` is margin x amount summed over all orders so far, each discounted to the customer's first.
    - `margin` is m: margin x amount summed over the last period.
    - `retention` is r of the customer's class: of its customers who bought in the period before the last (`buyers`),
      the share that bought again in the last (`again`). Classes are those of the day before the last period begins, so
      that being retained doesn't make the class. A class without buyers then takes the rate of all; where nobody
      bought then, there is none.
    - `expected` is m r / (1 + i - r), i being the discount of one period: the value of all periods to come, with the
      same margin and retention in each and the first margin a period from now. Gupta and Lehmann, Customers as Assets,
      Journal of Interactive Marketing 17(1), 2003. Someone who didn't buy in the last period has m = 0.

    Args:
        orders: the order table.
        as_of: the last day that counts; the last in the table unless said.
        margin: the share of an amount that is earned.
        discount: a year's interest.
        period: in days.
        retention: the rate for all, instead of an estimate.
        by: an attribute's column (a customer's last entry counts) or a grading that gives classes, such as
            `pyramid_grade`; one class unless said.

    Raises:
        InputError: a figure is out of its range, there is no such column, or the table is no order table.
    """
    if not 0 < margin <= 1:
        raise InputError(f"a margin must be a share over 0 and up to 1, not {margin}")
    if retention is not None and not 0 <= retention <= 1:
        raise InputError(f"retention must be a share from 0 to 1, not {retention}")
    _positive(discount, "a discount")
    _positive(period, "a period")
    ledger = _ledger(orders, as_of)
    customers = ledger.customers()
    rows = ledger.rows
    first = rows["customer"].map(rows.groupby("customer")["day"].min())
    worth = margin * rows["amount"] * (1 + discount) ** (-(rows["day"] - first) / YEAR)
    table = pd.DataFrame(index=customers.index)
    table["class"] = _classes(orders, ledger, ledger.end, by).reindex(table.index)
    table["realised"] = worth.groupby(rows["customer"]).sum()
    last = ledger.within(period).groupby("customer")["amount"].sum()
    table["margin"] = margin * last.reindex(table.index, fill_value=0.0)
    then = ledger.end - period
    buyers, again = (_bought(ledger.within(period, end)) for end in (then, ledger.end))
    before = pd.Series(0.0, index=buyers)
    before[buyers.isin(again)] = 1.0
    kept = before.groupby(_classes(orders, ledger, then, by).reindex(buyers)).agg(["count", "sum"])
    table["buyers"] = table["class"].map(kept["count"]).fillna(0).astype("int64")
    table["again"] = table["class"].map(kept["sum"]).fillna(0).astype("int64")
    rate = table["again"] / table["buyers"].where(table["buyers"] > 0)
    overall = float(before.mean()) if len(before) else math.nan
    table["retention"] = rate.fillna(overall) if retention is None else float(retention)
    table["expected"] = _expected(table, discount, period)
    return table.rename_axis("customer").reset_index()


def _expected(table: pd.DataFrame, discount: float, period: float) -> pd.Series[float]:
    """The value m r / (1 + i - r) of each row, i being the interest of one period; 0 where m is, whatever r may be."""
    interest = (1 + discount) ** (period / YEAR) - 1
    multiple = table["retention"] / (1 + interest - table["retention"])
    worth: pd.Series[float] = (table["margin"] * multiple).where(table["margin"] != 0, 0.0)
    return worth


def _bought(rows: pd.DataFrame) -> pd.Index[Any]:
    """Who bought (a credit note is no purchase)."""
    who: pd.Index[Any] = pd.Index(rows.loc[rows["amount"] >= 0, "customer"].unique())
    return who


def _classes(orders: pd.DataFrame, ledger: _Ledger, day: float, by: str | Grading | None) -> pd.Series[Any]:
    """Each customer's class as it was on a day, by customer."""
    known = orders[(_days(orders["date"])[0] <= day).to_numpy()]
    if callable(by):
        return by(known, ledger.moment(day))
    if by is None:
        return pd.Series("all", index=pd.Index(known["customer"].unique()), dtype=object)
    if by not in orders.columns or by in NEEDED:
        raise InputError(not_among(by, "attribute of these orders", (c for c in orders.columns if c not in NEEDED)))
    return known.set_index("customer")[by].groupby(level=0, sort=False).last()


def lifetime_table(values: pd.DataFrame, classes: Iterable[str] = ()) -> pd.DataFrame:
    """A row a class of `lifetime_value`: customers, sums of realised, margin and expected, retention and its counts."""
    groups = values.groupby("class", sort=False)
    table = groups[["realised", "margin", "expected"]].sum(skipna=False)
    table.insert(0, "customers", groups.size())
    table = table.join(groups[["buyers", "again", "retention"]].first())
    wanted = list(classes)
    if wanted:
        table = table.reindex(wanted)
        table["customers"] = table["customers"].fillna(0).astype("int64")
        sums = ["realised", "margin", "expected", "buyers", "again"]
        table[sums] = table[sums].where(table["customers"] > 0, 0.0)
    return _with_means(table.rename_axis("class").reset_index())


def _with_means(table: pd.DataFrame) -> pd.DataFrame:
    for name in ("realised", "expected"):
        table[f"{name}_per_customer"] = table[name] / table["customers"].where(table["customers"] > 0)
    return table


# --- which grading foretells ------------------------------------------------------------------------------------------


def pyramid_grade(orders: pd.DataFrame, as_of: Moment, window: float = YEAR) -> pd.Series[Any]:
    """Each customer's class in the pyramid, by customer."""
    return pyramid_classes(orders, as_of, window).set_index("customer")["class"]


def gradings_of(window: float = YEAR) -> dict[str, Grading]:
    """The gradings made here, as functions that give each customer a number, of which more is better.

    `recent money`, `pyramid class` and `expected value` look at the window before the last day, the others at all
    orders. Where nothing tells the retention, the expected value goes by the margin, as it would with any one rate.
    """

    def scored(column: str, orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return rfm(orders, as_of).set_index("customer")[column]

    def recent(orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return pyramid_classes(orders, as_of, window).set_index("customer")["money"]

    def class_number(orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return -pyramid_grade(orders, as_of, window).map([*PYRAMID, INACTIVE].index)

    def letter(orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        return -abc(orders, as_of=as_of).set_index("customer")["class"].map(LETTERS.index)

    def lifetime(column: str, orders: pd.DataFrame, as_of: Moment) -> pd.Series[Any]:
        grade = partial(pyramid_grade, window=window)
        values = lifetime_value(orders, as_of, period=window, by=grade).set_index("customer")
        return values[column].fillna(values["margin"])

    return {
        "recency": lambda orders, as_of: -scored("recency", orders, as_of),
        "frequency": partial(scored, "frequency"),
        "money": partial(scored, "money"),
        "recent money": recent,
        "RFM score": partial(scored, "score"),
        "pyramid class": class_number,
        "ABC class": letter,
        "realised value": partial(lifetime, "realised"),
        "expected value": partial(lifetime, "expected"),
    }


GRADINGS: dict[str, Grading] = gradings_of()


def foretells(
    orders: pd.DataFrame,
    split: Moment,
    gradings: Mapping[str, Grading] | Iterable[str] = GRADINGS,
    ahead: float = YEAR,
) -> pd.DataFrame:
    """Which grading, made of the orders before a day, best foretells the money of the year that begins on it.

    A row a grading, the best first, with two to hold them against: `perfect`, which knows that money, and `random`.
    Columns: grading; customers (those known before the split); best (a fifth of them, rounded up); captured, the share
    of the year's money of all these customers that the best fifth by the grading brings, where customers who tie at
    the edge count as if drawn by lot; z, how far that is above what a fifth drawn at random brings on average, in
    standard deviations of such draws (under 2 it may well be luck); rank_correlation (Spearman's, with mean ranks) of
    grade and money. They are NaN where there is nothing to share or to rank. Customers who come after the split are no
    grading's to foretell.

    Args:
        orders: the order table; what comes later than the year is not looked at.
        split: the first day of the year to be foretold. Gradings are given the orders before it alone.
        gradings: names of `GRADINGS`, or functions by name that give a number for each customer, more being better; a
            customer without one ranks last.
        ahead: the length of the year in days.

    Raises:
        InputError: no order comes before the split or none after it, a grading is unknown, or the table is no order
            table.
    """
    _positive(ahead, "the time ahead")
    ledger = _ledger(orders)
    day = _day_of(split, ledger.dated)
    days = ledger.rows["day"]
    is_before, is_after = days < day, (days >= day) & (days < day + ahead)
    if not is_before.any() or not is_after.any():
        span = f"; they run from {ledger.moment(days.min())} to {ledger.moment(days.max())}" if len(days) else ""
        side = f"in the {ahead:g} days from {split} on" if is_before.any() else f"before {split}"
        raise InputError(f"there are no orders {side}{span}")
    known = orders[is_before.to_numpy()].reset_index(drop=True)
    last = ledger.moment(day - 1 if ledger.dated else day)
    customers = pd.Index(known["customer"].unique())
    year = ledger.rows[is_after].groupby("customer")["amount"].sum().reindex(customers, fill_value=0.0)
    best = math.ceil(len(customers) / 5)
    rows: list[dict[str, Any]] = [
        {"grading": "perfect", "captured": _captured(year, year, best), "rank_correlation": _spearman(year, year)},
        {
            "grading": "random",
            "captured": best / len(customers) if year.sum() > 0 else math.nan,
            "rank_correlation": 0.0,
        },
    ]
    for name, grading in _functions(gradings).items():
        grades = grading(known.copy(), last).reindex(customers).astype("float64").fillna(-np.inf)
        captured, correlation = _captured(grades, year, best), _spearman(grades, year)
        rows.append({"grading": name, "captured": captured, "rank_correlation": correlation})
    table = pd.DataFrame(rows)
    table.insert(1, "customers", len(customers))
    table.insert(2, "best", best)
    luck = _luck(year, best)
    z = (table["captured"] - best / len(customers)) / (luck if luck > 0 else math.nan)
    table.insert(4, "z", z)
    return _best_first(table)


def _luck(amounts: pd.Series[float], best: int) -> float:
    """The standard deviation of the share that so many customers bring, drawn at random without putting back.

    Cochran, Sampling Techniques (1977), theorem 2.2, for a total.
    """
    n, total = len(amounts), float(amounts.sum())
    if n < 2 or not total > 0:
        return math.nan
    return math.sqrt(best * (1 - best / n)) * float(amounts.std(ddof=1)) / total


def _best_first(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted by what is captured, then the correlation; the perfect ranking stands first even where others tie."""
    keys = table[["captured", "rank_correlation"]].round(12).assign(perfect=table["grading"] == "perfect")
    order = keys.sort_values(["perfect", "captured", "rank_correlation"], ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _functions(gradings: Mapping[str, Grading] | Iterable[str]) -> dict[str, Grading]:
    if isinstance(gradings, Mapping):
        return dict(gradings)
    names = list(gradings)
    for name in names:
        if name not in GRADINGS:
            raise InputError(not_among(name, "grading", GRADINGS))
    return {name: GRADINGS[name] for name in names}


def _captured(grades: pd.Series[Any], amounts: pd.Series[float], best: int) -> float:
    """The share of all amounts that the best by grade bring; ties at the edge bring their part, as on average."""
    total = float(amounts.sum())
    if not total > 0:
        return math.nan
    groups = amounts.groupby(grades).agg(["size", "sum"]).sort_index(ascending=False)
    ahead = groups["size"].cumsum() - groups["size"]
    part = (best - ahead).clip(lower=0).clip(upper=groups["size"]) / groups["size"]
    return float((part * groups["sum"]).sum()) / total


def _spearman(left: pd.Series[Any], right: pd.Series[Any]) -> float:
    """Spearman's rank correlation with mean ranks for ties, NaN where either side is all tied."""
    a, b = left.rank().to_numpy(), right.rank().to_numpy()
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


# --- grades as attributes of a scenario -------------------------------------------------------------------------------


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
    rows = _ledger(orders).rows
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


# --- all tables of a file or a scenario -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segments:
    """The tables of one order history, or of many simulated ones, and what is to be known about them.

    `tables`: customers, rfm, pyramid, abc, lifetime, and foretells where a split was given. Of a scenario, all are
    means over the replications (shares of the mean sums), but `customers` and `grades` are of replication 0.
    """

    name: str
    as_of: date
    currency: str
    replications: int
    """0 of a file."""
    seed: int | None
    tables: dict[str, pd.DataFrame] = field(repr=False)
    grades: dict[str, dict[str, Any]] = field(repr=False)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """What is asked of an order history; `window` in days, `margin` and `discount` (a year's) as shares."""

    as_of: date | None = None
    split: date | None = None
    window: float = YEAR
    margin: float = 1.0
    discount: float = DISCOUNT


def segment_file(path: str | Path, choices: Choices | None = None, *, columns: str | Path | None = None) -> Segments:
    """All tables of a file of orders, as `read_orders` takes it. Raises InputError."""
    choices = choices or Choices()
    orders = read_orders(path, columns)
    first, last = orders["date"].min().date(), orders["date"].max().date()
    as_of = choices.as_of or last
    if as_of < first:
        raise _fault(Path(path), f"there are no orders by {as_of}; the first is on {first}, the last on {last}")
    known = orders[orders["date"] < pd.Timestamp(as_of + timedelta(days=1))].reset_index(drop=True)
    notes = [*orders.attrs["said"], *_doubts(choices, as_of, first, min(as_of, last))]
    if len(known) < len(orders):
        notes.append(f"{len(orders) - len(known):,} orders after {as_of} were not looked at")
    tables = _tables(known, as_of, choices)
    notes += _all_stayed(tables["lifetime"])
    return Segments(Path(path).name, as_of, "", 0, None, tables, _grades(known, as_of, choices), tuple(notes))


def segment_scenario(
    scenario: Scenario,
    choices: Choices | None = None,
    *,
    replications: int = 20,
    seed: int = 1,
    progress: Progress | None = None,
) -> Segments:
    """All tables of a scenario's simulated orders: those of each replication, then their means.

    A customer is a prospect that booked something; orders of the warm-up count. Raises InputError where a figure is
    out of its range or nothing is ever booked, RunError where the model can't go on.
    """
    choices = choices or Choices()
    if not 1 <= replications <= 1_000_000:
        raise InputError(f"replications must be 1 to 1,000,000, not {replications}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"a seed must be 0 to {MAX_SEED}, not {seed}")
    start = scenario.spec.start
    last = start + timedelta(days=math.ceil(scenario.spec.days) - 1)
    as_of = choices.as_of or last
    for name, day in (("as-of day", as_of), ("split", choices.split)):
        if day and not start <= day <= last:
            raise InputError(f"the {name} {day} is outside the scenario, which runs from {start} to {last}")
    if choices.split and not start < choices.split <= as_of:
        raise InputError(f"the split {choices.split} must come after {start} and not after {as_of}")
    found: list[dict[str, pd.DataFrame]] = []
    example: pd.DataFrame | None = None
    unsplit = booked = 0
    for number in range(replications):
        orders = orders_of(*records_of(scenario, number, seed=seed))
        orders = orders[orders["date"] < pd.Timestamp(as_of + timedelta(days=1))].reset_index(drop=True)
        booked += len(orders)
        example = orders if example is None else example
        try:
            found.append(_tables(orders, as_of, choices))
        except InputError:  # no orders on one side of the split
            found.append(_tables(orders, as_of, replace(choices, split=None)))
            unsplit += 1
        if progress:
            progress(number + 1, replications)
    if not booked or example is None:
        raise InputError(f"{scenario.name}: nothing was booked by {as_of} in {replications} replications (see `books`)")
    notes = [*scenario.warnings, *_doubts(choices, as_of, start, as_of)]
    if replications > 1:
        notes.append(
            f"tables are means over {replications} replications (shares are of the mean sums); customers.csv and "
            "grades.yaml are of replication 0"
        )
    if unsplit:
        notes.append(
            f"in {unsplit:,} replications there were no orders before or after the split; these don't count in it"
        )
    if found[0]["customers"]["frequency"].max() < 2:
        notes.append(
            "no customer of replication 0 ordered twice: retention and foretelling need a stage that books again"
        )
    tables = _averaged(found, choices)
    notes += _all_stayed(tables["lifetime"])
    grades = _grades(example, as_of, choices) if len(example) else {}
    return Segments(scenario.name, as_of, scenario.spec.currency, replications, seed, tables, grades, tuple(notes))


def segment(
    path: str | Path,
    choices: Choices | None = None,
    *,
    columns: str | Path | None = None,
    replications: int = 20,
    seed: int = 1,
    progress: Progress | None = None,
) -> Segments:
    """All tables of a file: a scenario's where it is YAML, else those of its orders. Raises InputError, RunError."""
    if Path(path).suffix.lower() in (".yaml", ".yml"):
        return segment_scenario(load(path), choices, replications=replications, seed=seed, progress=progress)
    return segment_file(path, choices, columns=columns)


def _tables(orders: pd.DataFrame, as_of: date, choices: Choices) -> dict[str, pd.DataFrame]:
    """The tables of one history."""
    grade = partial(pyramid_grade, window=choices.window)
    scores, classes, letters = (
        rfm(orders, as_of),
        pyramid_classes(orders, as_of, choices.window),
        abc(orders, as_of=as_of),
    )
    values = lifetime_value(
        orders, as_of, margin=choices.margin, discount=choices.discount, period=choices.window, by=grade
    )
    customers = scores.merge(classes[["customer", "class"]].rename(columns={"class": "pyramid"}), on="customer")
    customers = customers.merge(letters[["customer", "class"]].rename(columns={"class": "abc"}), on="customer")
    customers = customers.merge(values[["customer", "realised", "expected"]], on="customer")
    tables = {
        "customers": customers,
        "rfm": rfm_table(scores),
        "pyramid": class_table(classes, [*PYRAMID, INACTIVE]),
        "abc": class_table(letters, LETTERS[:3]),
        "lifetime": lifetime_table(values, [*PYRAMID, INACTIVE]),
    }
    if choices.split:
        tables["foretells"] = foretells(orders, choices.split, gradings_of(choices.window))
    return tables


def _grades(orders: pd.DataFrame, as_of: date, choices: Choices) -> dict[str, dict[str, Any]]:
    return grade_shares(pyramid_grade(orders, as_of, choices.window), orders, name="class")


def _doubts(choices: Choices, as_of: date, first: date, last: date) -> Iterable[str]:
    """What the span of the data leaves in doubt."""
    window = timedelta(days=choices.window)
    yield (
        f"the window is the {choices.window:g} days up to {as_of}; lifetime values at {share(choices.margin)} margin "
        f"and {share(choices.discount)} interest a year"
    )
    if first > as_of - 2 * window:
        known = (as_of - first).days + 1
        yield (
            f"orders begin on {first}: {known:,} days, while retention looks at two windows; take a shorter window, or "
            "read retention and expected values with care"
        )
    if choices.split and last < choices.split + timedelta(days=YEAR - 1):
        days = (last - choices.split).days + 1
        yield f"the year after the split is {days:,} days long, as the orders end on {last}"


def _all_stayed(lifetime: pd.DataFrame) -> Iterable[str]:
    """A warning where nobody was seen to leave, for then expected values have nothing but the interest to end them."""
    classes = lifetime.loc[(lifetime["retention"] == 1) & (lifetime["customers"] > 0), "class"]
    if len(classes):
        yield (
            f"everyone who bought in the window before the last bought again ({', '.join(classes)}), so retention is "
            "taken as 100% and the expected value is margin / interest: more than it can be; a longer window or a "
            "longer history tells more"
        )


def _averaged(found: Sequence[dict[str, pd.DataFrame]], choices: Choices) -> dict[str, pd.DataFrame]:
    """The means of many histories' tables, by their keys; ratios are those of the means.

    So is retention, and expected value follows from it: the mean of what few buyers make of it in each history would
    be too high, for the formula rises ever faster with retention.
    """
    if len(found) == 1:
        return found[0]
    keys = {"rfm": ["measure", "score"], "pyramid": ["class"], "abc": ["class"], "lifetime": ["class"]}
    tables = {"customers": found[0]["customers"]}
    for name, key in keys.items():
        joint = pd.concat([one[name] for one in found if len(one[name])], ignore_index=True)
        mean = joint.groupby(key, sort=False).mean().reset_index()
        if name == "rfm":
            sums = joint.groupby(key, sort=False)[["customers", "money"]].sum() / len(found)  # some lack a score
            mean[["customers", "money"]] = sums.to_numpy()
            place = mean["measure"].map([*dict.fromkeys(joint["measure"])].index)
            mean = mean.assign(place=place).sort_values(["place", "score"], ascending=[True, False])
            tables[name] = _with_ratios(mean.drop(columns="place").reset_index(drop=True), within="measure")
        elif name == "lifetime":
            pooled = mean["again"] / mean["buyers"].where(mean["buyers"] > 0)
            mean["retention"] = pooled.fillna(mean["retention"])
            mean["expected"] = _expected(mean, choices.discount, choices.window)
            tables[name] = _with_means(mean)
        else:
            tables[name] = _with_ratios(mean)
    split = [one["foretells"] for one in found if "foretells" in one]
    if split:
        groups = pd.concat(split, ignore_index=True).groupby("grading", sort=False)
        table = groups.mean()
        table["captured_se"] = groups["captured"].std(ddof=1) / np.sqrt(groups["captured"].count())
        tables["foretells"] = _best_first(table.reset_index())
    return tables


# --- what a person gets -----------------------------------------------------------------------------------------------

_TITLES = {
    "rfm": "Recency (days), frequency (orders), money: what each score stands for",
    "pyramid": "Customer pyramid (money of the window)",
    "abc": "ABC (all money so far)",
    "lifetime": "Lifetime value by class of the pyramid (margin: of the window)",
    "foretells": "Which grading foretells the year after the split: what its best fifth of customers brings",
}
_SHARES = ("customer_share", "money_share", "retention", "captured", "captured_se")
_COUNTS = ("customers", "buyers", "again", "best")
_TEXTS = ("class", "measure", "grading")


def shown(segments: Segments) -> list[tuple[str, pd.DataFrame]]:
    """The tables as texts for the screen, each with its title."""
    return [(title, _as_text(segments.tables[name])) for name, title in _TITLES.items() if name in segments.tables]


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    def write(name: str, row: Mapping[Any, Any]) -> str:
        value = row[name]
        if name in _TEXTS:
            return str(value)
        if name in _SHARES:
            return share(value)
        if name in ("z", "rank_correlation"):
            return "–" if math.isnan(value) else f"{value:.{1 if name == 'z' else 2}f}"
        is_count = name in (*_COUNTS, "score") or (name in ("low", "high") and row["measure"] != "money")
        return count(value) if is_count else money(value)

    rows = [[write(name, row) for name in table.columns] for row in table.to_dict("records")]
    return pd.DataFrame(rows, columns=[str(name).replace("_", " ") for name in table.columns])


def results_json(segments: Segments) -> dict[str, Any]:
    """What `segments --json` prints: every table but that of the customers; what has no value is None."""
    said = {
        "name": segments.name,
        "as_of": segments.as_of,
        "currency": segments.currency,
        "replications": segments.replications,
        "seed": segments.seed,
        "version": version(),
        "tables": {name: t.to_dict("records") for name, t in segments.tables.items() if name != "customers"},
        "grades": segments.grades,
        "notes": segments.notes,
    }
    return dict(plain(said))


def write_segments(segments: Segments, folder: Path | str) -> Path:
    """Write the tables as `tables/NAME.csv` (and Parquet), and `grades.yaml` for a scenario. Raises as `write_run`."""
    manifest = {
        "name": segments.name,
        "as_of": segments.as_of.isoformat(),
        "replications": segments.replications,
        "seed": segments.seed,
        "command": "segments",
        "notes": segments.notes,
    }
    texts = {"grades.yaml": dump(segments.grades)} if segments.grades else {}
    return write_tables_and_pictures(folder, tables=segments.tables, manifest=manifest, texts=texts)
