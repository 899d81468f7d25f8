"""YAML files as plain trees, with the line and column of everything in them.

YAML 1.2's core rules, not PyYAML's older ones: `NO` is a text, `12:30` is a text, `1e3` is a number, a key given twice is a
fault. Files are refused before anything in them expands: aliases, more than 1 MB, 50,000 nodes or a depth of 64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from simfunnel.errors import Fault, InputError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 1_000_000, 50_000, 64
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
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
        """A fault at a path, placed as exactly as is known."""
        known: Path_ = ()
        for part in path:
            if (*known, part) in self.places:
                known = (*known, part)
        place = self.places.get(known, Place("", 0, 0))
        return Fault(message, ".".join(str(p) for p in known), place.file, place.line, place.column)


def read_text(path: Path) -> str:
    """The text of a user's file; raises InputError where it is missing, too large, or no UTF-8 text."""
    try:
        if path.is_dir():
            raise InputError([Fault("is a folder, not a file", file=str(path))])
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError([Fault(f"is too large: {size:,} bytes, allowed are {MAX_BYTES:,}", file=str(path))])
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = _neighbour(path)
        raise InputError(
            [Fault("no such file" + (f". Did you mean '{near}'?" if near else ""), file=str(path))]
        ) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8"
        raise InputError([Fault(message, file=str(path))]) from None
    except OSError as error:
        raise InputError([Fault(f"can't be read: {error.strerror}", file=str(path))]) from None


def _neighbour(path: Path) -> str | None:
    from simfunnel.errors import nearest

    found = nearest(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else None
    return str(path.parent / found) if found else None


def parse(text: str, file: str) -> Document:
    """Read one YAML document; raises InputError with every fault of its form."""
    _refuse_bombs(text, file)
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise InputError([_syntax_fault(error, file)]) from None
    if node is None:
        raise InputError([Fault("is empty", file=file)])
    if not isinstance(node, yaml.MappingNode):
        raise InputError(
            [Fault("is no scenario: it must begin with keys such as name:, start:, sources:, stages:", file=file)]
        )
    faults: list[Fault] = []
    document = Document({})
    document.tree = _build(node, (), document.places, file, faults)
    if faults:
        raise InputError(faults)
    return document


def _syntax_fault(error: yaml.YAMLError, file: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    message = getattr(error, "problem", None) or str(error).splitlines()[0]
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if "expected a single document" in message or "expected '<document start>'" in message:
        message = "holds more than one document, or no YAML"
    return Fault(f"is not valid YAML: {message}", file=file, line=line, column=column)


def _refuse_bombs(text: str, file: str) -> None:
    """Look at the bare events first, so that nothing large is ever built."""
    depth = nodes = 0
    if len(text.encode()) > MAX_BYTES:
        raise InputError([Fault(f"is too large: allowed are {MAX_BYTES:,} bytes", file=file)])
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            mark = event.start_mark
            problem = ""
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                problem = "anchors (&) and aliases (*) are not allowed; write the part out, or use extends:"
            if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
                nodes += 1
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if nodes > MAX_NODES:
                problem = f"has more than {MAX_NODES:,} parts"
            if depth > MAX_DEPTH:
                problem = f"is nested deeper than {MAX_DEPTH} levels"
            if problem:
                raise InputError([Fault(problem, file=file, line=mark.line + 1, column=mark.column + 1)])
    except yaml.YAMLError as error:
        raise InputError([_syntax_fault(error, file)]) from None


def _build(node: yaml.Node, path: Path_, places: dict[Path_, Place], file: str, faults: list[Fault]) -> Any:
    place = Place(file, node.start_mark.line + 1, node.start_mark.column + 1)
    places.setdefault(path, place)
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        faults.append(Fault(f"the tag {node.tag} is not allowed", file=file, line=place.line, column=place.column))
        return None
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, k), places, file, faults) for k, child in enumerate(node.value)]
    tree: dict[str, Any] = {}
    for key_node, value_node in node.value:
        at = key_node.start_mark
        if not isinstance(key_node, yaml.ScalarNode):
            faults.append(Fault("a key must be a plain word", file=file, line=at.line + 1, column=at.column + 1))
            continue
        key = str(key_node.value)
        if key == "<<" or key in tree:
            problem = "merge keys (<<) are not allowed; use extends:" if key == "<<" else f"'{key}' is given twice"
            faults.append(Fault(problem, file=file, line=at.line + 1, column=at.column + 1))
            continue
        places[(*path, key)] = Place(file, at.line + 1, at.column + 1)
        tree[key] = _build(value_node, (*path, key), places, file, faults)
    return tree


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in ('"', "'", "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 19:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes small maps on one line, and leaves texts bare where our own reader takes them for texts."""


def dump(tree: Mapping[str, Any]) -> str:
    """A tree as YAML that `parse` reads back to the same tree."""
    return yaml.dump(
        dict(tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
