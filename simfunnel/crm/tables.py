"""From a file to columns of text, and from text to dates and numbers."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from simfunnel.errors import Fault, InputError

EMPTY = ["", "null", "NULL", "NaN", "nan", "NaT", "None", "N/A", "n/a", "#N/A"]  # not `NA`: North America
_YEARS = (1970, 2100)  # a date outside is a placeholder (1900-01-01, 9999-12-31) or a slip
_CLOCK = r"(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?\s*([AaPp])?\.?[Mm]?\.?)?"
_NUMERIC_DATE = rf"^(\d{{1,4}})[/.\-](\d{{1,2}})[/.\-](\d{{1,4}}){_CLOCK}$"
_NAMED_MONTHS = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y")


def read_table(path: str | Path) -> pd.DataFrame:
    """A file's columns as text, missing cells as NaN; the header stripped of blanks.

    Takes CSV (comma, semicolon, tab or bar), Parquet, and Excel where openpyxl is installed. Raises InputError where
    the file isn't there, isn't what its name says, isn't UTF-8, or has no header.
    """
    file = Path(path)
    readers = {".parquet": _parquet, ".pq": _parquet, ".xlsx": _excel, ".xlsm": _excel}
    try:
        table = readers.get(file.suffix.lower(), _csv)(file)
    except FileNotFoundError:
        raise _fault(file, "there is no such file") from None
    except OSError as error:
        raise _fault(file, f"can't be read: {error.strerror or error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    twice = table.columns[table.columns.duplicated()].unique()
    if len(twice):
        raise _fault(file, f"two columns have the same name: {', '.join(twice)}. Rename one of them")
    return table


def _fault(file: Path, message: str, line: int = 0) -> InputError:
    return InputError([Fault(message, file=str(file), line=line)])


def _parquet(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise FileNotFoundError(file)
    try:
        table = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(file)]).df()
    except duckdb.Error as error:
        raise _fault(file, f"is no Parquet file that can be read ({str(error).splitlines()[0]})") from error
    return _as_text(table)


def _excel(file: Path) -> pd.DataFrame:
    try:
        return _as_text(pd.read_excel(file))
    except ImportError:
        message = "to read Excel files, install openpyxl (pip install openpyxl), or save the sheet as CSV UTF-8"
        raise _fault(file, message) from None
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _fault(file, f"is no Excel workbook that can be read ({error})") from error


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Typed columns as the text that a CSV would have held."""
    text = {}
    for name, column in table.items():
        written = column.map(str, na_action="ignore")
        text[name] = written.astype("str").where(column.notna() & ~written.isin(EMPTY))
    return pd.DataFrame(text, index=table.index, dtype="str")


def _csv(file: Path) -> pd.DataFrame:
    raw = file.read_bytes()
    if not raw.strip():
        raise _fault(file, "the file is empty: an export has a header and one row for each deal")
    if raw.startswith(b"PK\x03\x04"):
        raise _fault(file, "is an Excel workbook (or a zip), not CSV: name it .xlsx, or save the sheet as CSV UTF-8")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _fault(file, "is UTF-16, not UTF-8: save it as 'CSV UTF-8'")
    if raw.startswith(b"PAR1"):
        raise _fault(file, "is a Parquet file, not CSV: name it .parquet")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (byte 0x{raw[error.start]:02x}): save it as 'CSV UTF-8'"
        raise _fault(file, message, line) from error
    if "\0" in text:
        raise _fault(file, "holds binary data, not CSV")
    separator = _separator(text)
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype="str",
            keep_default_na=False,
            na_values=EMPTY,
            skipinitialspace=True,
            index_col=False,
        )
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        raise _fault(file, f"is no regular CSV: {str(error).strip()}") from error


def _separator(text: str) -> str:
    """The separator that the header line uses most."""
    header = text.lstrip().split("\n", 1)[0]
    return max(",;\t|", key=header.count)


@dataclass(frozen=True)
class Dates:
    """Dates read from text: `values` (NaT where there is none), where text was no date, and what was assumed."""

    values: pd.Series[Any]
    faulty: pd.Series[Any]
    assumptions: tuple[str, ...] = ()


def read_dates(text: pd.Series[Any], *, day_first: bool = False) -> Dates:
    """Dates from a column of text: ISO, else day, month and year in some order, named months, or Unix seconds.

    `day_first` decides where a column leaves the order of day and month open (`03/04/2017`): see `day_comes_first`. A
    time zone is turned into UTC. Years outside 1970 to 2100 count as no date.
    """
    clean = text.str.strip()
    values = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    said = []
    iso = clean.str.match(r"^\d{4}-\d{1,2}-\d{1,2}").fillna(False).astype(bool)
    zoned = iso & clean.str.contains(r"\d{2}:\d{2}.*(?:Z|UTC|[+-]\d{2}:?\d{2})$", na=False)
    if iso.any():
        plain = clean[iso].str.replace(r"\s*UTC$", "Z", regex=True)
        parsed = pd.to_datetime(plain, format="ISO8601", errors="coerce", utc=True)
        values[iso] = parsed.dt.tz_localize(None).astype("datetime64[us]")
    if zoned.any():
        said.append("times with a time zone were turned into UTC")
    rest = clean[values.isna() & clean.notna()]
    for read in (_unix, _numeric, _named):
        if len(rest):
            found = read(rest, day_first)
            values[found.index] = found
            rest = rest.drop(found.index)
    outside = values.notna() & ~values.dt.year.between(*_YEARS)
    values[outside] = pd.NaT
    return Dates(values, clean.notna() & values.isna(), tuple(said))


def _unix(text: pd.Series[Any], _: bool) -> pd.Series[Any]:
    """Seconds (10 digits) or milliseconds (13 digits) since 1970."""
    digits = text[text.str.fullmatch(r"\d{10}|\d{13}")]
    seconds: pd.Series[Any] = digits.astype("int64") / np.where(digits.str.len() == 13, 1000, 1)
    stamps: pd.Series[Any] = pd.to_datetime(seconds, unit="s")
    return stamps.astype("datetime64[us]")


def _numeric(text: pd.Series[Any], day_first: bool) -> pd.Series[Any]:
    """`31/12/2017`, `12-31-17 08:55 PM`, `2017/12/31`: the year is the part of four digits, or the last."""
    parts = text.str.extract(_NUMERIC_DATE).dropna(subset=[0])
    year_first = parts[0].str.len() == 4
    first, second, third = (parts[i].astype("int64") for i in range(3))
    day_at = np.where(year_first, third, np.where(day_first, first, second))
    month = np.where(year_first, second, np.where(day_first, second, first))
    year = np.where(year_first, first, third)
    hour = parts[3].fillna("0").astype("int64")
    half = parts[6].str.lower()
    hour = hour.where(half.isna(), hour % 12 + 12 * (half == "p"))
    stamps = pd.to_datetime(
        pd.DataFrame(
            {
                "year": np.where(year < 100, year + 2000, year),
                "month": month,
                "day": day_at,
                "hour": hour.to_numpy(),
                "minute": parts[4].fillna("0").astype("int64").to_numpy(),
                "second": parts[5].fillna("0").astype("int64").to_numpy(),
            },
            index=parts.index,
        ),
        errors="coerce",
    )
    return stamps.dropna().astype("datetime64[us]")


def _named(text: pd.Series[Any], _: bool) -> pd.Series[Any]:
    """`3 Mar 2017`, `March 3, 2017`, with or without a time behind."""
    bare = text.str.replace(r"[ T]+\d{1,2}:\d{2}(:\d{2})?(\.\d+)?( ?[AaPp][Mm])?$", "", regex=True).str.replace(",", "")
    values = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    for form in _NAMED_MONTHS:
        left = bare[values.isna()]
        values = values.fillna(pd.to_datetime(left, format=form, errors="coerce").astype("datetime64[us]"))
    return values.dropna()


def day_comes_first(columns: list[pd.Series[Any]]) -> tuple[bool, str]:
    """Whether `03/04/2017` is 3 April in these columns, and a sentence where that had to be decided ('' if not).

    A part above 12 must be the day; the majority of such dates decides. With none, dots mean day first (3.4.2017),
    and slashes and dashes month first.
    """
    text = pd.concat([column.dropna().str.strip() for column in columns])
    parts = text.str.extract(_NUMERIC_DATE).dropna(subset=[0])
    parts = parts[parts[0].str.len() <= 2]
    if parts.empty:
        return False, ""
    shown = str(text[parts.index[0]] if text.index.is_unique else text[text.str.match(_NUMERIC_DATE)].iloc[0])
    day_first = int((parts[0].astype(int) > 12).sum())
    month_first = int((parts[1].astype(int) > 12).sum())
    if day_first != month_first:
        first = day_first > month_first
        doubt = (
            f"; {min(day_first, month_first):,} dates fit only the other order" if min(day_first, month_first) else ""
        )
        return first, f"dates such as '{shown}' are read {'day' if first else 'month'} first{doubt}"
    first = bool(re.match(r"^\d{1,2}\.", shown))
    return first, f"dates such as '{shown}' could be day or month first; taken as {'day' if first else 'month'} first"


def read_numbers(text: pd.Series[Any]) -> tuple[pd.Series[float], bool]:
    """Numbers from text with currency signs and thousands marks (else NaN), and whether commas are decimal.

    Commas are taken as decimal where some number has one followed by one or two digits at its end and no number has a
    dot there.
    """
    clean = text.str.replace(r"[^\d.,()\-eE]", "", regex=True).str.replace(r"^[eE]+|[eE]+$", "", regex=True)
    negative = clean.str.match(r"^\(.*\)$").fillna(False).astype(bool)
    clean = clean.str.strip("()")
    comma = bool(
        clean.str.contains(r",\d{1,2}$", na=False).any() and not clean.str.contains(r"\.\d{1,2}$", na=False).any()
    )
    clean = clean.str.replace("." if comma else ",", "", regex=False)
    numbers = pd.to_numeric(clean.str.replace(",", ".", regex=False), errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers)).where(~negative, -numbers), comma
