"""Workbooks: tables as the sheets of one Excel file, with formats of their own and a header that stays in sight.

The file holds no time of its making: the same tables give the same cells. It needs openpyxl (the extra `excel`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from simfunnel.errors import InputError
from simfunnel.files import check_file, manifest_of, write_file

if TYPE_CHECKING:
    import pandas as pd
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

    from simfunnel.plots.extract import Measured

    class Summed(Measured, Protocol):
        """Runs that can be summed up; `results.Runs` is that."""

        def summary(self, unit: str = "quarter") -> pd.DataFrame:
            """Mean, its interval, standard deviation and quantiles over the replications, by metric and period."""


WIDEST = 60  # characters
MOST_ROWS = 1_048_575  # what a sheet holds under its header
MADE = datetime(2000, 1, 1)
_FORBIDDEN = str.maketrans(dict.fromkeys("[]:*?/\\", " "))


@dataclass(frozen=True)
class Sheet:
    """A sheet: a table, the unit of each column that has one (`money`, `share`, `count`), and lines above it.

    `units` may also name a unit for each row (a sequence) where a column mixes them.
    """

    name: str
    table: pd.DataFrame
    units: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def check_book(path: Path | str) -> None:
    """Raise InputError, or RunError where the disk refuses, if a workbook can't be written there; before the work."""
    if Path(path).suffix.lower() != ".xlsx":
        raise InputError(f"{path}: name an Excel file that ends in .xlsx")
    try:
        import openpyxl  # noqa: F401 (whether it is there)
    except ImportError:
        raise InputError("an Excel file needs openpyxl: pip install 'simfunnel[excel]'") from None
    check_file(path)


def write_book(sheets: Sequence[Sheet], path: Path | str, currency: str = "") -> Path:
    """Write the sheets, in their order, whole or not at all.

    Raises:
        InputError: where the name is no Excel file's, openpyxl is missing, or a table is too long for a sheet.
        RunError: where the disk refuses.
    """
    check_book(path)
    for sheet in sheets:
        if len(sheet.table) > MOST_ROWS:
            raise InputError(f"the table '{sheet.name}' has {len(sheet.table):,} rows, more than an Excel sheet holds")
    return write_file(path, partial(_write, sheets, currency))


def runs_book(runs: Summed, path: Path | str) -> Path:
    """Write some runs as a workbook: what was run, and the metrics by quarter, month and week; as `write_book`."""
    import pandas as pd

    from simfunnel.kpis import METRICS

    said = pd.DataFrame([{"what": k.replace("_", " "), "value": str(v)} for k, v in manifest_of(runs).items() if v])
    sheets = [Sheet("summary", said)]
    for unit in ("quarter", "month", "week"):
        table = runs.summary(unit).drop(columns=["n"])
        kinds = [{"prospects": "count", "hours": "count"}.get(u, u) for u in (METRICS[m].unit for m in table["metric"])]
        sheets.append(Sheet(f"by {unit}", readable(table), dict.fromkeys(readable(table).columns[2:], kinds)))
    return write_book(sheets, path, runs.scenario.spec.currency)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of results with headers for people: `0.1` is P10, `low` and `high` the interval of the mean."""
    names = {"0.1": "P10 (low)", "0.5": "P50 (median)", "0.9": "P90 (high)", "sd": "standard deviation"}
    names |= {"low": "mean, 90% interval from", "high": "to"}
    return table.rename(columns=names)


# --- cells ------------------------------------------------------------------------------------------------------------


def _write(sheets: Sequence[Sheet], currency: str, path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.properties.created = book.properties.modified = MADE
    book.remove(book.worksheets[0])
    for sheet in sheets:
        _fill(book.create_sheet(sheet.name.translate(_FORBIDDEN)[:31]), sheet, currency)
    with path.open("wb") as stream:
        book.save(stream)


def _fill(place: Worksheet, sheet: Sheet, currency: str) -> None:
    """The lines, the header in bold, and the rows, each cell in its format."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for line in sheet.lines:
        place.append([line])
    top = len(sheet.lines) + 1
    header = [str(column).capitalize() if str(column).islower() else str(column) for column in sheet.table.columns]
    place.append(header)
    for k in range(1, len(header) + 1):
        cell = place.cell(row=top, column=k)
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="D9DDE2")
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    place.freeze_panes = f"B{top + 1}"
    widths = [max(10, min(18, len(name))) for name in header]
    formats = [_formats(sheet.units.get(str(c), ""), len(sheet.table), currency) for c in sheet.table.columns]
    for number, row in enumerate(sheet.table.itertuples(index=False)):
        place.append([_plain(value) for value in row])
        for k in range(len(header)):
            filled = place.cell(row=top + number + 1, column=k + 1)
            _dress(filled, formats[k][number])
            if isinstance(filled.value, str):
                widths[k] = min(WIDEST, max(widths[k], len(filled.value) + 1))
    for k, width in enumerate(widths, start=1):
        place.column_dimensions[get_column_letter(k)].width = width
    if len(sheet.table):
        place.auto_filter.ref = f"A{top}:{get_column_letter(len(header))}{top + len(sheet.table)}"


def _dress(cell: Cell | Any, number_format: str) -> None:
    if isinstance(cell.value, (int, float)) and number_format:
        cell.number_format = number_format
    elif isinstance(cell.value, (date, datetime)):
        cell.number_format = "yyyy-mm-dd"
    elif isinstance(cell.value, str):
        cell.data_type = "s"  # a name that begins with = is a name, no formula


def _formats(units: str | Sequence[str], rows: int, currency: str) -> list[str]:
    """The number format of each row of a column."""
    known = {"money": f'#,##0 "{currency}"' if currency else "#,##0", "share": "0.0%", "count": "#,##0.0", "days": "0"}
    named = [units] * rows if isinstance(units, str) else units
    return [known.get(unit, "") for unit in named]


def _plain(value: Any) -> Any:
    """A value as a cell takes it; what is missing or infinite is an empty cell."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    if isinstance(value, (bool, int, float, date, datetime)):
        return value
    return "".join(c for c in str(value) if c.isprintable())
