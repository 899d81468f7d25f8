"""YAML files as plain trees, with the line and column of everything in them.

YAML 1.2's core rules, not PyYAML's older ones: `NO` is a text, `12:30` is a text, `1e3` is a number, a key given twice
is a fault. Files are refused before anything in them expands: aliases, tags, more than 1 MB, 50,000 nodes or a depth of
64.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from simfunnel.errors import Fault, InputError, nearest

MAX_BYTES, MAX_NODES, MAX_DEPTH = 1_000_000, 50_000, 64
MAX_MESSAGE = 500
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_LARGEST = sys.float_info.max
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where something stands: file, line and column, counted from 1."""

    file: str
    line: int
    column: int


@dataclass
class Document:
    """A tree of maps, lists, texts and numbers, and the place of each of its parts by path."""

    tree: dict[str, Any]
    places: dict[Path_, Place] = field(default_factory=dict)

    def fault(self, path: Path_, message: str) -> Fault:
        """A fault at a path, placed as exactly as is known; parts of the path that the tree has not are left out."""
        known = self.known(path)
        place = next((self.places[known[:n]] for n in range(len(known), -1, -1) if known[:n] in self.places), _NOWHERE)
        said = (
            message
            if len(message) <= MAX_MESSAGE
            else f"{message[: MAX_MESSAGE // 2]} … {message[-MAX_MESSAGE // 2 :]}"
        )
        return Fault(said, ".".join(map(str, known)), place.file, place.line, place.column)

    def known(self, path: Path_) -> Path_:
        """The parts of a path that the tree has."""
        known: Path_ = ()
        here: Any = self.tree
        for part in path:
            inside = part in here if isinstance(here, Mapping) else isinstance(here, list) and part in range(len(here))
            if inside or (*known, part) in self.places:
                known = (*known, part)
                here = here[part] if inside else None
        return known


_NOWHERE = Place("", 0, 0)


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a user's file; raises InputError where it is missing, has more than `most` bytes, or is no text."""
    try:
        if path.is_dir():
            raise InputError([Fault("is a folder, not a file", file=str(path))])
        size = path.stat().st_size
        if size > most:
            raise InputError([Fault(f"is too large: {size:,} bytes, allowed are {most:,}", file=str(path))])
        content = path.read_bytes()
    except FileNotFoundError:
        near = _neighbour(path)
        raise InputError(
            [Fault("no such file" + (f". Did you mean '{near}'?" if near else ""), file=str(path))]
        ) from None
    except OSError as error:
        raise InputError([Fault(f"can't be read: {error.strerror}", file=str(path))]) from None
    except ValueError:
        raise InputError(f"{str(path)!r} can't be the name of a file") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8"
        raise InputError([Fault(message, file=str(path), line=line)]) from None


def _neighbour(path: Path) -> str | None:
    found = nearest(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else None
    return str(path.parent / found) if found else None


def parse(text: str, file: str) -> Document:
    """Read one YAML document; raises InputError with every fault of its form."""
    try:
        _refuse_bombs(text, file)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise InputError([_syntax_fault(error, text, file)]) from None
    if node is None:
        raise InputError([Fault("is empty", file=file)])
    if not isinstance(node, yaml.MappingNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else "a single text"
        raise InputError([Fault(f"holds {what}, not keys with values such as name: and start:", file=file, line=1)])
    faults: list[Fault] = []
    document = Document({})
    document.tree = _build(node, (), document.places, file, faults)
    if faults:
        raise InputError(faults)
    return document


def _syntax_fault(error: Any, text: str, file: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    message = getattr(error, "problem", None) or str(error).splitlines()[0]
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.encode().count(b"\n", 0, error.position) + 1
    if mark and "\t" in "".join(text.split("\n")[mark.line : mark.line + 1])[: mark.column + 1]:
        message = "a tab; indent with spaces"
    elif "another document" in message:
        message = "it holds more than one document (---); write one to a file"
    elif getattr(error, "context_mark", None):
        message += f" {error.context}, which begins on line {error.context_mark.line + 1}"
    return Fault(f"is not valid YAML: {message}", file=file, line=line, column=column)


def _refuse_bombs(text: str, file: str) -> None:
    """Look at the bare events first, so that nothing large is ever built."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InputError([Fault("is not text: it holds halves of characters", file=file)]) from None
    if size > MAX_BYTES:
        raise InputError([Fault(f"is too large: allowed are {MAX_BYTES:,} bytes", file=file)])
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_LOADER):
        tag = getattr(event, "tag", None)
        problem = ""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem = "anchors (&) and aliases (*) are not allowed; write the part out, or use extends:"
        elif tag:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"tags ({tag}) are not allowed; write the value alone, a text in quotes"
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            nodes += 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if nodes > MAX_NODES:
            problem = f"has more than {MAX_NODES:,} parts"
        if depth > MAX_DEPTH:
            problem = f"is nested deeper than {MAX_DEPTH} levels"
        if problem:
            place = _place(event, file)
            raise InputError([Fault(problem, file=file, line=place.line, column=place.column)])


def _place(part: yaml.Event | yaml.Node, file: str) -> Place:
    mark = part.start_mark
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 0, 0)


def _build(node: yaml.Node, path: Path_, places: dict[Path_, Place], file: str, faults: list[Fault]) -> Any:
    places.setdefault(path, _place(node, file))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, k), places, file, faults) for k, child in enumerate(node.value)]
    tree: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = _place(key_node, file)
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
        problem = ""
        if key is None:
            problem = "a key must be a plain word"
        elif key == "<<":
            problem = "merge keys (<<) are not allowed; use extends:"
        elif key in tree:
            problem = f"'{key}' is given twice"
        if key is None or problem:
            faults.append(Fault(problem, file=file, line=place.line, column=place.column))
            continue
        places[(*path, key)] = place
        tree[key] = _build(value_node, (*path, key), places, file, faults)
    return tree


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in ('"', "'", "|", ">"):
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


_LOST_NUMBER = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
"""What a file can't hold as a number, as the text that stands there."""


def plain(value: Any, path: Path_ = ()) -> Any:
    """A copy of nested maps, lists and values as `parse` could have given it: dates are texts, keys are texts.

    Raises InputError where something has no place in a file.
    """
    if len(path) > MAX_DEPTH:
        raise InputError(f"{path[0]}: is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {str(key): plain(child, (*path, str(key))) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(child, (*path, k)) for k, child in enumerate(value)]
    if hasattr(value, "item") and not getattr(value, "ndim", 1):
        value = value.item()  # one of numpy's numbers
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) < 10**18:
            return int(value)
        return float(value) if abs(value) < _LARGEST else _LOST_NUMBER["inf" if value > 0 else "-inf"]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _LOST_NUMBER[str(float(value))]
    if isinstance(value, date):
        return (value.date() if isinstance(value, datetime) else value).isoformat()
    raise InputError([Fault(f"a {type(value).__name__} has no place in a scenario", ".".join(map(str, path)))])


class _Dumper(yaml.SafeDumper):
    """Leaves texts bare where our own reader takes them for texts, and quotes them where it does not."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 (so yaml wants it)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        """What stands twice is written twice: our reader takes no anchors."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """A text; in double quotes, which escape it, where it holds what YAML takes for the end of a line."""
    unusual = "\x85" in text or "\u2028" in text or "\u2029" in text or "\r" in text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if unusual else None)


_Dumper.add_representer(str, _text)
for _kind, _pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern.pattern})\\Z"), None)


def dump(tree: Mapping[str, Any]) -> str:
    """A tree as YAML that `parse` reads back to the same tree."""
    return yaml.dump(
        dict(tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
