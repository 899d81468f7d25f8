"""From files to scenarios: `extends` and `override`, data files named in a scenario, and every fault at once.

Precedence, weakest first: the file named by `extends`, the extending file's own keys, its `override`. `variants` says
how one is laid on another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simfunnel.errors import Fault, InputError
from simfunnel.scenario.checking import faults_of
from simfunnel.scenario.datafiles import with_data
from simfunnel.scenario.documents import Document, dump, parse, plain, read_text
from simfunnel.scenario.doubts import warnings_of
from simfunnel.scenario.meant import as_meant
from simfunnel.scenario.spec import ScenarioSpec
from simfunnel.scenario.variants import changed, lifted_places, merge
from simfunnel.units import shown

MAX_GENERATIONS = 8


@dataclass(frozen=True)
class Scenario:
    """A whole model, read and checked.

    `tree` is what the user wrote, after `extends` and `override`, with the contents of data files in place; `spec` is
    what it means. `text` is that of the file, comments and all; empty where it was read from none. Make a changed copy
    with `override`.
    """

    spec: ScenarioSpec
    tree: dict[str, Any] = field(repr=False)
    folder: Path = Path()
    warnings: tuple[str, ...] = ()
    text: str = field(default="", repr=False, compare=False)

    @property
    def name(self) -> str:
        """What the scenario is called."""
        return self.spec.name

    @property
    def digest(self) -> str:
        """A hash of all that the scenario says, the order of stages and attributes included; its name apart."""
        said = {k: v for k, v in self.tree.items() if k not in ("name", "description")}
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def override(
        self, changes: Mapping[str, Any] | Mapping[tuple[str, ...], Any], *, name: str | None = None
    ) -> Scenario:
        """A copy with some values changed: `{"teams.closer.size": 6}`, or a nested tree under a section's name.

        A dotted path must lead to something that may exist; None takes a key away. Raises InputError.
        """
        tree = self.tree
        for key, value in changes.items():
            tree = changed(tree, key, plain(value))
        return from_tree(tree if name is None else {**tree, "name": name}, self.folder)

    def to_yaml(self) -> str:
        """The scenario as a file that reads back to the same scenario."""
        return dump(self.tree)


def load(path: str | Path) -> Scenario:
    """Read a scenario file. Raises InputError with every fault in it."""
    path = Path(path)
    faults: list[Fault] = []
    text = read_text(path)
    document = _flattened(parse(text, str(path)), path.parent, (path.resolve(),), faults)
    return replace(_checked(document, path.parent, faults), text=text)


def load_text(text: str, folder: str | Path = ".", file: str = "scenario") -> Scenario:
    """Read a scenario from a text; files that it names are looked for in `folder`."""
    faults: list[Fault] = []
    return replace(_checked(_flattened(parse(text, file), Path(folder), (), faults), Path(folder), faults), text=text)


def from_tree(tree: Mapping[str, Any], folder: str | Path = ".") -> Scenario:
    """A scenario from plain maps, lists, texts and numbers. Raises InputError with every fault in it."""
    faults: list[Fault] = []
    return _checked(_flattened(Document(dict(plain(tree))), Path(folder), (), faults), Path(folder), faults)


# --- variants ---------------------------------------------------------------------------------------------------------


def _read_document(path: Path, above: tuple[Path, ...], faults: list[Fault]) -> Document:
    return _flattened(parse(read_text(path), str(path)), path.parent, (*above, path.resolve()), faults)


def _flattened(document: Document, folder: Path, above: tuple[Path, ...], faults: list[Fault]) -> Document:
    """The document with its data in it, what it extends under it and its override over it."""
    document = with_data(document, folder, faults)
    tree = dict(document.tree)
    base_name, over = tree.pop("extends", None), tree.pop("override", None)
    if over is not None and not isinstance(over, Mapping):
        faults.append(document.fault(("override",), "override must hold keys, as the scenario itself does"))
        over = None
    clashes = [key for key in over or {} if key in tree]
    faults += [document.fault((k,), f"'{k}' stands both in the file and in override; keep one") for k in clashes]
    result = Document(tree, document.places)
    if base_name is not None:
        base = _base(document, base_name, folder, above, faults)
        result = Document(merge(base.tree, tree), dict(base.places))
        result.places.update(lifted_places(document.places, result.tree))
    if over:
        lifted = {p[1:]: place for p, place in document.places.items() if p[:1] == ("override",) and p[1:]}
        result = Document(merge(result.tree, over), dict(result.places))
        result.places.update(lifted_places(lifted, result.tree))
    return result


def _base(document: Document, name: Any, folder: Path, above: tuple[Path, ...], faults: list[Fault]) -> Document:
    """The document that another extends."""

    def refused(message: str) -> InputError:
        return InputError([*faults, document.fault(("extends",), message)])

    if not isinstance(name, str) or "\0" in name:
        raise refused(f"{shown(name)} is no file's name; write for example base.yaml")
    path = folder / name
    if path.resolve() in above:
        raise refused(f"'{name}' extends this file in turn")
    if len(above) >= MAX_GENERATIONS:
        raise refused(f"more than {MAX_GENERATIONS} files extend each other")
    try:
        return _read_document(path, above, faults)
    except InputError as error:
        if any(fault.file == str(path) and fault.line == 0 for fault in error.faults):
            raise refused(str(error)) from None
        raise


# --- checking ---------------------------------------------------------------------------------------------------------


def _checked(document: Document, folder: Path, faults: list[Fault]) -> Scenario:
    """A scenario from a flat document, or all of its faults."""
    document, spec, found = as_meant(document)
    faults += found
    faults += [document.fault(path, message) for path, message in faults_of(document.tree, spec, folder)]
    if faults or spec is None:
        raise InputError(sorted(set(faults), key=lambda f: (f.file, f.line, f.column, f.message)))
    return Scenario(spec, document.tree, folder, tuple(warnings_of(spec)))
