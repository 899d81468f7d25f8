"""Data files named in a scenario (`empirical: {file: …}`, `deals: {file: …}`), read into its tree."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simfunnel.distributions import Distribution
from simfunnel.errors import Fault, InputError, not_among
from simfunnel.scenario.documents import Document, Path_, read_text

MAX_DATA_BYTES = 50_000_000
_KEYS = {"empirical": ("file", "column", "unit"), "deals": ("file",)}
_DEAL_COLUMNS = ("id", "stage", "age", "value", "member")


def with_data(document: Document, folder: Path, faults: list[Fault]) -> Document:
    """The document with the contents of its data files; for what can't be read, a fault, and a stand-in in the tree."""

    def walk(node: Any, path: Path_) -> Any:
        if isinstance(node, Mapping):
            if path and set(node) == {"empirical"} and _names_a_file(node["empirical"]):
                values = contents(node["empirical"], (*path, "empirical"))
                return Distribution.constant(0.0) if values is None else {"empirical": values}
            if path[-1:] == ("deals",) and _names_a_file(node):
                return contents(node, path) or []
            return {k: walk(v, (*path, k)) for k, v in node.items()}
        if isinstance(node, list):
            return [walk(v, (*path, k)) for k, v in enumerate(node)]
        return node

    def contents(node: Mapping[str, Any], path: Path_) -> list[Any] | None:
        kind = str(path[-1])
        try:
            strange = [key for key in node if key not in _KEYS[kind]]
            if strange:
                raise ValueError(not_among(strange[0], "key here", _KEYS[kind]))
            rows, names = _rows(folder / str(node["file"]))
            return _column(node, rows, names) if kind == "empirical" else _deals(node, rows, names)
        except ValueError as error:
            faults.append(document.fault((*path, "file"), str(error)))
        except InputError as error:
            faults.extend(document.fault((*path, "file"), str(fault)) for fault in error.faults)
        return None

    return Document(walk(document.tree, ()), document.places)


def _names_a_file(node: Any) -> bool:
    return isinstance(node, Mapping) and "file" in node


def _rows(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a CSV file and the names of its columns, separated by whichever of , ; tab its header has most."""
    text = read_text(path, MAX_DATA_BYTES)
    header = text.partition("\n")[0]
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
        return list(reader), list(reader.fieldnames or [])
    except csv.Error as error:
        raise ValueError(f"{path.name} is no CSV file: {error}") from None


def _column(node: Mapping[str, Any], rows: list[dict[str, str]], names: list[str]) -> list[Any]:
    """The values of one column, with `unit` added to each where it is given."""
    if "column" not in node:
        raise ValueError(f"column: is missing; {node['file']} has {', '.join(names)}")
    column = str(node["column"])
    if column not in names:
        raise ValueError(f"{node['file']}: {not_among(column, 'column', names)}")
    unit = node.get("unit")
    texts = [row[column] for row in rows if row[column] not in ("", None)]
    if not texts:
        raise ValueError(f"{node['file']}: column '{column}' is empty")
    return [f"{text} {unit}" if unit else _number(text) for text in texts]


def _number(text: str) -> int | float | str:
    """The number that a text is, if it is written as we would write it (so that `007` stays a name)."""
    for read in (int, float):
        try:
            if str(read(text)) == text:
                return read(text)
        except ValueError:
            continue
    return text


def _deals(node: Mapping[str, Any], rows: list[dict[str, str]], names: list[str]) -> list[dict[str, Any]]:
    """Open deals from a CSV with columns id, stage, age (days), value, member; any other is an attribute."""
    if "stage" not in names:
        raise ValueError(f"{node['file']}: needs a column 'stage'; found {', '.join(names) or 'nothing'}")
    deals = []
    for k, row in enumerate(rows):
        deal: dict[str, Any] = {"id": row.get("id") or f"row {k + 1}", "stage": row["stage"]}
        if row.get("age"):
            deal["age"] = row["age"] if any(c.isalpha() for c in row["age"]) else f"{row['age']} days"
        if row.get("value"):
            deal["value"] = row["value"]
        if row.get("member"):
            deal["member"] = row["member"]
        others = {n: _number(row[n]) for n in names if n not in _DEAL_COLUMNS and row.get(n)}
        deals.append(deal | ({"attributes": others} if others else {}))
    return deals
