"""From any export to a history: which deals there were, how they ended, and what was known on a date.

`read_export` reads files and databases whole and tells what they are. `Export.until` first writes the tables as they
would have read at the end of a day; whatever is then decided (how dates are read, which columns give the outcome away,
which activities end a case) is decided from those. `read_crm` does both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

from simfunnel.crm.event_log import EventLog
from simfunnel.crm.flat import Flat
from simfunnel.crm.history import Draft, History, history_of
from simfunnel.crm.maps import Map, Said, read_map
from simfunnel.crm.roles import Parts, in_roles
from simfunnel.crm.sources import Table, is_url, read_tables
from simfunnel.crm.stage_history import StageHistory
from simfunnel.errors import Fault, InputError, not_among


class Importer(Protocol):
    """One kind of export, read as it is.

    `looks` are the days on which snapshots were taken, between which nothing is known; () for exports that always tell.
    """

    looks: tuple[date, ...]

    def __init__(self, parts: Parts, said: Map, until: pd.Timestamp | None = None) -> None:
        """Read the tables; `until` is the first moment that isn't known, and bounds what decides how they are read."""

    @property
    def last(self) -> date:
        """The last day on which the export shows something happen."""

    @property
    def beyond(self) -> pd.DataFrame:
        """Rows with dates so far after all others that they must be slips."""

    def at(self, day: date) -> tuple[Importer, list[str]]:
        """The export as it would have read at the end of a day, and what that took away.

        Raises InputError where there was nothing yet.
        """

    def draft(self) -> Draft:
        """The deals, before checks."""


# Roles of which an export must have one -> who reads it; the first that fits.
IMPORTERS: tuple[tuple[frozenset[str], type[Importer]], ...] = (
    (frozenset({"events"}), EventLog),
    (frozenset({"stage history", "field history", "property history", "snapshots", "entries"}), StageHistory),
    (frozenset({"deals"}), Flat),
)


@dataclass(frozen=True)
class Export:
    """An export, read and recognised, before anything is cut away.

    `last` is the last day that it tells of; `said` is what was assumed to read its files.
    """

    whole: Importer = field(repr=False)
    name: str
    last: date
    said: tuple[str, ...] = ()

    def known_by(self, day: date) -> date:
        """The last day by then up to which the export tells all: that of the last snapshot, where it has them."""
        return max((look for look in self.whole.looks if look <= day), default=day)

    def until(self, as_of: date | str | None = None) -> History:
        """The history as it was known at the end of a day; the export's last day unless said. Raises InputError."""
        day = _read_day(as_of) if as_of is not None else self.last
        words = []
        if as_of is None:
            words.append(f"the data end on {day}, the last day on which the file shows something happen")
        elif day > self.last:
            words.append(f"the file's last day is {self.last}; nothing is taken to have happened from then to {day}")
        then, cut = self.whole.at(day)
        draft = then.draft()
        beyond = self.whole.beyond if day >= self.last else self.whole.beyond.iloc[:0]
        return history_of(draft, day, self.name, (*self.said, *draft.said, *words, *cut), beyond)


def read_crm(*sources: str | Path, mapping: Said = None, as_of: date | str | None = None) -> History:
    """Read an export as it was known on a date.

    Args:
        *sources: files (CSV, also gzipped; Excel; Parquet) and database URLs (`sqlite:///crm.db#deals`): deals; or
            deals and their histories, accounts, people, stages, tasks; or leads and their wins; or a log of events.
        mapping: what the names in it mean (`{created: "Start of deal"}`), or a YAML file that says so; see `crm.maps`.
        as_of: the last day that is known; the export's own last day unless said.

    Raises:
        InputError: a column is missing or unknown, a file can't be read, or no deal is left.
    """
    return read_export(*sources, mapping=mapping).until(as_of)


def read_export(*sources: str | Path, mapping: Said = None) -> Export:
    """Read and recognise whole files and databases (see `read_crm`). Raises InputError with every fault."""
    said = read_map(mapping)
    if not sources:
        raise InputError("name the export: one or more files or database URLs")
    tables, faults = _all_tables(sources, said)
    known = list(dict.fromkeys(column for table in tables for column in table.rows.columns))
    faults += [
        Fault(f"the map says {part}: {not_among(column, 'column', known)}", file=_shown(sources))
        for part, column in said.columns.items()
        if column not in known and tables
    ]
    if faults:
        raise InputError(faults)
    parts = in_roles(tables, said)
    reader = next((kind for roles, kind in IMPORTERS if roles & parts.keys()), None)
    if reader is None:
        found = "; ".join(
            f"{t.name} ({role}): {', '.join(t.rows.columns[:12])}" for role, ts in parts.items() for t in ts
        )
        raise InputError(f"none of these tables has deals, their histories or events: {found}")
    whole = reader(parts, said)
    name = ", ".join(dict.fromkeys(t.name for role, ts in parts.items() if role != "others" for t in ts))
    return Export(whole=whole, name=name, last=whole.last, said=tuple(t.said for t in tables if t.said))


def _all_tables(sources: Iterable[str | Path], said: Map) -> tuple[list[Table], list[Fault]]:
    """The tables of all sources, and the faults of those that can't be read."""
    tables: list[Table] = []
    faults: list[Fault] = []
    for source in sources:
        try:
            tables += read_tables(source, said.tables if is_url(source) else ())
        except InputError as error:
            faults += error.faults
    return tables, faults


def _shown(sources: Iterable[str | Path]) -> str:
    return ", ".join(str(source) for source in sources if not is_url(source))


def _read_day(value: date | str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InputError(f"'{value}' is no date; write it as 2026-10-01") from None


__all__ = ["IMPORTERS", "Export", "History", "Importer", "read_crm", "read_export"]
