"""A document as it was probably meant: misspelt keys under the names that they resemble.

So one slip of the pen makes one fault. Without this, a section called `temas` would be followed by a fault for everyone
who names a team; and what is wrong inside it would be told only once it has its right name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from simfunnel.errors import Fault, nearest
from simfunnel.scenario.documents import Document, Path_
from simfunnel.scenario.spec import ScenarioSpec
from simfunnel.scenario.wording import key_fault, keys_at, shape_faults

Slip = tuple[Path_, str, str]  # where something misspelt stands, which name was meant, the fault's message

_ROUNDS = 8  # a misspelt key may hold misspelt keys, so many deep


def as_meant(document: Document) -> tuple[Document, ScenarioSpec | None, list[Fault]]:
    """The document with its slips mended, what it means if its form is right, and the faults of form and spelling."""
    faults: list[Fault] = []
    spec: ScenarioSpec | None = None
    for _ in range(_ROUNDS):
        try:
            spec = ScenarioSpec.model_validate(document.tree)
        except ValidationError as error:
            slips = list(_misspelt_keys(error, document))
            if not slips:
                faults += shape_faults(error, document, ScenarioSpec)
                break
            document = _mended(document, slips, faults)
            if "extends" in document.tree:
                return Document({}), None, faults  # of what is not known nothing can be said
        else:
            break
    return document, spec, faults


def _misspelt_keys(error: ValidationError, document: Document) -> Iterator[Slip]:
    """Keys that don't exist where they stand, but resemble one that is not there yet."""
    taken: set[Path_] = set()
    for detail in error.errors(include_url=False):
        if detail["type"] != "extra_forbidden":
            continue
        *around, key = detail["loc"]
        parent = document.known(tuple(around))
        meant = nearest(key, keys_at(ScenarioSpec, tuple(around)))
        if meant is None or meant in _at(document.tree, parent) or (*parent, meant) in taken:
            continue
        taken.add((*parent, meant))
        yield (*parent, key), meant, key_fault(ScenarioSpec, detail["loc"])


def _at(tree: Any, path: Path_) -> Any:
    """What stands at a path that the tree has."""
    for part in path:
        tree = tree[part]
    return tree


def _mended(document: Document, slips: list[Slip], faults: list[Fault]) -> Document:
    """The document with its slips under the names that were meant, each told."""
    faults += [document.fault(path, message) for path, _, message in slips]
    for path, meant, _ in slips:
        right = (*path[:-1], meant)
        places = {(*right, *p[len(path) :]): place for p, place in document.places.items() if p[: len(path)] == path}
        document = Document(_renamed(document.tree, path, meant), document.places | places)
    document.tree.pop("override", None)
    return document


def _renamed(tree: Any, path: Path_, name: str) -> Any:
    """The tree with the key at the end of a path called otherwise, in its place."""
    key, *rest = path
    if isinstance(tree, list):
        return [_renamed(item, tuple(rest), name) if k == key else item for k, item in enumerate(tree)]
    if not isinstance(tree, Mapping):
        return tree
    if not rest:
        return {name if k == key else k: value for k, value in tree.items()}
    return {k: _renamed(value, tuple(rest), name) if k == key else value for k, value in tree.items()}
