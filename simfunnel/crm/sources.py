"""From files and databases to tables of text: CSV (also gzipped), Excel, Parquet, any SQLAlchemy URL."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from simfunnel.crm.encodings import NoTextError, text_of
from simfunnel.errors import Fault, InputError, not_among
from simfunnel.formatting import counted

EMPTY = ["", "null", "NULL", "NaN", "nan", "NaT", "None", "N/A", "n/a", "#N/A"]  # not `NA`: North America
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+_.-]+://")
_SIGNATURES = {  # the first bytes of files that are often taken for CSV -> what they are
    b"\x89PNG": "a PNG picture, not a CSV file",
    b"\xff\xd8\xff": "a JPEG picture, not a CSV file",
    b"GIF8": "a GIF picture, not a CSV file",
    b"%PDF": "a PDF document, not a CSV file: export the table as CSV UTF-8",
    b"{\\rtf": "an RTF document, not a CSV file: export the table as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls) or Office document, not a CSV file: save the sheet as CSV UTF-8",
    b"PAR1": "a Parquet file, not a CSV file: name it .parquet",
    b"SQLite format 3": "an SQLite database, not a CSV file: write sqlite:///{file}#TABLE",
    b"7z\xbc\xaf": "a 7z archive, not a CSV file: unpack it",
}
_MOST_TITLES = 20  # rows above the header of a sheet
_QUERY = re.compile(r"^\s*(?:select|with)\s", re.IGNORECASE)
_DRIVERS = {
    "psycopg2": "psycopg[binary] (and write postgresql+psycopg://...)",
    "psycopg": "psycopg[binary]",
    "MySQLdb": "pymysql (and write mysql+pymysql://...)",
    "pymysql": "pymysql",
    "oracledb": "oracledb",
    "pyodbc": "pyodbc",
}


@dataclass(frozen=True)
class Table:
    """A table as it was found: its name for messages, its cells as text, missing ones as NaN, and what was assumed."""

    name: str
    rows: pd.DataFrame = field(repr=False)
    said: str = ""

    def among(self, kept: pd.Series[bool]) -> Table:
        """The same with some of its rows."""
        return Table(self.name, self.rows[kept], self.said)


def is_url(source: str | Path) -> bool:
    """Whether a source is a database's URL and no file.

    >>> is_url("sqlite:///crm.db#deals"), is_url("deals.csv"), is_url("C:/deals.csv")
    (True, False, False)
    """
    return isinstance(source, str) and bool(_URL.match(source))


def read_tables(source: str | Path, asked: Sequence[str] = ()) -> list[Table]:
    """All tables of one source: one of a CSV or Parquet file, a workbook's sheets, the tables named of a database.

    `URL#one,two` or `asked` names the tables of a database, or holds queries (`SELECT ...`). `book.xlsx#Sheet` takes
    one sheet. Raises InputError where the source can't be read.
    """
    if is_url(source):
        return _database(str(source), asked)
    file, _, sheet = str(source).partition("#") if not Path(source).exists() else (str(source), "", "")
    if Path(file).suffix.lower() in (".xlsx", ".xlsm"):
        return [
            _named(f"{Path(file).name}#{name}", table, file, said and f"{Path(file).name}#{name}: {said}")
            for name, (table, said) in _sheets(Path(file), sheet).items()
        ]
    return [read_table(source)]


def read_table(path: str | Path) -> Table:
    """A file's columns as text, missing cells as NaN; the header stripped of blanks.

    Takes CSV (comma, semicolon, tab or bar; also gzipped), Parquet, and the first filled sheet of an Excel workbook
    where openpyxl is installed. Raises InputError where the file isn't there, isn't what its name says, isn't text, or
    has no header.
    """
    file = Path(path)
    readers = {".parquet": _parquet, ".pq": _parquet, ".xlsx": _first_sheet, ".xlsm": _first_sheet}
    reader = readers.get(file.suffix.lower(), _csv)
    try:
        return reader(file)
    except FileNotFoundError:
        raise _fault(file, "there is no such file") from None
    except OSError as error:
        raise _fault(file, f"can't be read: {error.strerror or error}") from error


def _named(name: str, table: pd.DataFrame, source: str, said: str = "") -> Table:
    table.columns = [str(column).strip() for column in table.columns]
    twice = table.columns[table.columns.duplicated()].unique()
    if len(twice):
        raise _fault(source, f"two columns have the same name: {', '.join(twice)}. Rename one of them")
    return Table(name, table, said)


def _fault(source: str | Path, message: str, line: int = 0) -> InputError:
    return InputError([Fault(message, file=str(source), line=line)])


def _parquet(file: Path) -> Table:
    if not file.is_file():
        raise FileNotFoundError(file)
    try:
        table = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(file)]).df()
    except duckdb.Error as error:
        raise _fault(file, f"is no Parquet file that can be read ({str(error).splitlines()[0]})") from error
    return _named(file.name, _as_text(table), str(file))


# --- Excel ------------------------------------------------------------------------------------------------------------


def _first_sheet(file: Path) -> Table:
    table, said = next(iter(_sheets(file, "").values()))
    return _named(file.name, table, str(file), said and f"{file.name}: {said}")


def _sheets(file: Path, wanted: str) -> dict[str, tuple[pd.DataFrame, str]]:
    """The filled sheets of a workbook by name, and what was assumed; only the one that is wanted, where one is."""
    if not file.exists():
        raise _fault(file, "there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's remarks on styles and extensions that it leaves aside
            found: dict[str, pd.DataFrame] = {str(n): t for n, t in pd.read_excel(file, sheet_name=None).items()}
    except ImportError:
        message = "to read Excel files: pip install 'simfunnel[excel]', or save the sheet as CSV UTF-8"
        raise _fault(file, message) from None
    except OSError as error:
        raise _fault(file, f"can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _fault(file, f"is no Excel workbook that can be read ({error})") from error
    if wanted and wanted not in found:
        raise _fault(file, not_among(wanted, "sheet of this workbook", found))
    untitled = {name: _below_titles(table) for name, table in found.items() if len(table.columns)}
    filled = {name: (_as_text(table), said) for name, (table, said) in untitled.items()}
    if not filled:
        raise _fault(file, "the workbook is empty: an export has a header and one row for each deal")
    return {wanted: filled[wanted]} if wanted else filled


def _below_titles(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table below its header where rows of titles stand above that, and what was assumed.

    Most columns then have no name. The header is the first row with a text of its own above every filled column.
    """
    if 2 * sum(str(name).startswith("Unnamed: ") for name in table.columns) <= len(table.columns):
        return table, ""
    for k in range(min(len(table) - 1, _MOST_TITLES)):
        filled = table.iloc[k + 1 :].notna().any()
        names = table.iloc[k][filled]
        if len(names) > 1 and names.map(lambda cell: isinstance(cell, str)).all() and names.is_unique:
            below = table.iloc[k + 1 :].loc[:, filled].set_axis(list(names), axis=1).reset_index(drop=True)
            return below, f"row {k + 2} is taken for the header; the rows above it, which are titles, are left out"
    return table, ""


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Typed columns as the text that a CSV would have held; whole numbers without a needless `.0`."""
    text = {}
    for name, column in table.items():
        written = column.map(_cell, na_action="ignore")
        known = column.notna()
        text[name] = written.where(known).astype("str").where(known & ~written.isin(EMPTY))
    return pd.DataFrame(text, index=table.index, dtype="str")


def _cell(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv(file: Path) -> Table:
    text, said = _text(file)
    separator = _separator(text)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype="str",
            keep_default_na=False,
            na_values=EMPTY,
            skipinitialspace=True,
            index_col=False,
        )
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        message, line = _irregular(str(error).strip(), separator)
        raise _fault(file, message, line) from error
    return _named(file.name, table, str(file), f"{file.name} {said}" if said else "")


def _text(file: Path) -> tuple[str, str]:
    """The text of a file, unpacked where it is gzipped, and what was assumed of its letters."""
    raw = file.read_bytes()
    if raw.startswith(b"\x1f\x8b"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise _fault(file, f"is a gzip file that can't be unpacked ({error})") from error
    for sign, kind in _SIGNATURES.items():
        if raw.startswith(sign):
            raise _fault(file, f"is {kind}".format(file=file))
    if raw.startswith(b"PK\x03\x04"):
        raise _fault(file, f"is {_zipped(raw)}")
    try:
        text, said = text_of(raw)
    except NoTextError as error:
        raise _fault(file, str(error), error.line) from error
    begin = text.lstrip()[:200].lower()
    if not begin:
        raise _fault(file, "the file is empty: an export has a header and one row for each deal")
    if begin.startswith(("<?xml", "<log", "<html", "<!doctype")):
        raise _fault(file, "is XML or HTML, not CSV: export the table as CSV UTF-8 (an XES log: a row for each event)")
    if begin.startswith(("{", "[")):
        raise _fault(file, "is JSON, not CSV: export the table as CSV UTF-8")
    return text, said


def _zipped(raw: bytes) -> str:
    """What kind of zip a file is, and what to do about it."""
    try:
        names = zipfile.ZipFile(io.BytesIO(raw)).namelist()
    except zipfile.BadZipFile:
        names = []
    if not names:
        return "an Excel workbook or another ZIP archive that can't be opened, not a CSV file"
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook, not a CSV file: name it .xlsx, or save the sheet as CSV UTF-8"
    if any(name.startswith(("word/", "ppt/")) for name in names) or "mimetype" in names:
        return "an office document, not a CSV file: save its table as CSV UTF-8"
    return f"a ZIP archive, not a CSV file: unpack it and name the file inside ({', '.join(names[:3])})"


def _irregular(said: str, separator: str) -> tuple[str, int]:
    """What makes a file no regular CSV, from what the reader said of it, and the line where."""
    uneven = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said)
    if uneven:
        expected, line, cells = map(int, uneven.groups())
        mark = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[separator]
        mend = f'a cell with a {mark} in it must stand in quotation marks: "..."'
        return f"has {counted(cells, 'cell')} where the lines before have {expected}; {mend}", line
    unclosed = re.search(r"EOF inside string starting at row (\d+)", said)
    if unclosed:
        return f"a quotation mark that opens in row {int(unclosed[1]) + 1} (the header is row 1) is never closed", 0
    return f"is no regular CSV: {said}", 0


def _separator(text: str) -> str:
    """The separator that the header line uses most."""
    header = text.lstrip().split("\n", 1)[0]
    return max(",;\t|", key=header.count)


# --- databases --------------------------------------------------------------------------------------------------------


def _database(source: str, asked: Sequence[str]) -> list[Table]:
    """The tables that the URL's last part, or the map, names; each may be a query."""
    try:
        import sqlalchemy as sa
    except ImportError:
        raise InputError(f"{_hidden(source)}: to read databases: pip install 'simfunnel[sql]'") from None
    url, _, fragment = source.partition("#")
    wanted = ([fragment] if _QUERY.match(fragment) else [n for n in fragment.split(",") if n]) or list(asked)
    shown = _hidden(url)
    try:
        made = sa.make_url(url)
        if made.drivername.startswith("sqlite") and made.database and not Path(made.database).is_file():
            raise _fault(shown, "there is no such file")
        engine = sa.create_engine(made, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return _selected(connection, wanted, shown)
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        name = getattr(error, "name", None)
        driver = _DRIVERS.get(str(name), str(name or "the driver that SQLAlchemy's page on this database names"))
        raise _fault(shown, f"no driver for this database is installed ({error}): pip install {driver}") from error
    except sa.exc.ArgumentError as error:
        raise _fault(
            shown, "is no database URL: write for example postgresql+psycopg://user@host/name#table"
        ) from error
    except (sa.exc.SQLAlchemyError, UnicodeDecodeError) as error:
        why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise _fault(shown, f"can't be read: {why}") from error


def _selected(connection: Any, wanted: Sequence[str], shown: str) -> list[Table]:
    """The tables wanted, all missing names told at once; the only table there is where none is named."""
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    there = [*inspector.get_table_names(), *inspector.get_view_names()]
    if not wanted:
        if len(there) != 1:
            which = f"it holds {', '.join(there[:30])}" if there else "it holds none"
            raise _fault(shown, f"which tables? {which}. Write URL#one,two or, in the map, tables: [one, two]")
        wanted = there
    missing = [n for n in wanted if not _QUERY.match(n) and not _is_there(inspector, n, there)]
    if missing:
        raise InputError([Fault(not_among(n, "table of this database", there), file=shown) for n in missing])
    found = []
    for name in wanted:
        if _QUERY.match(name):
            label, statement = "query", sa.text(name)
        else:
            schema, _, bare = name.rpartition(".") if name not in there else ("", "", name)
            label, statement = name, sa.text(f"SELECT * FROM {_quoted(connection, bare, schema)}")
        result = connection.execute(statement)
        rows = pd.DataFrame(result.fetchall(), columns=list(result.keys()), dtype=object)
        found.append(_named(label, _as_text(rows), f"{shown}#{label}"))
    return found


def _is_there(inspector: Any, name: str, there: Sequence[str]) -> bool:
    schema, _, bare = name.rpartition(".")
    return name in there or bool(
        schema and schema in inspector.get_schema_names() and inspector.has_table(bare, schema)
    )


def _quoted(connection: Any, table: str, schema: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in (schema, table) if part)


def _hidden(url: str) -> str:
    """A URL as it may be shown: without its password and the tables behind it."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url.partition("#")[0])


__all__ = ["EMPTY", "Table", "is_url", "read_table", "read_tables"]
