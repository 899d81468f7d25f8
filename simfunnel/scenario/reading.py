"""From files to scenarios: `extends` and `override`, data files named in a scenario, and every fault at once.

Precedence, weakest first: the file named by `extends`, the extending file's own keys, its `override`. Maps merge; lists
and distributions replace; members are found by name; an empty value (`key:` or null) in a variant takes the key away.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import typing
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from simfunnel.distributions import ALIASES, OWN
from simfunnel.errors import Fault, InputError, nearest, not_among
from simfunnel.scenario.checking import faults_of, warnings_of
from simfunnel.scenario.documents import Document, Path_, Place, dump, parse, read_text
from simfunnel.scenario.spec import ScenarioSpec

MAX_GENERATIONS = 8
VARIANT_KEYS = ("extends", "override")


@dataclass(frozen=True)
class Scenario:
    """A whole model, read and checked.

    `tree` is what the user wrote, after `extends` and `override`, with the contents of data files in place; `spec` is what
    it means. Make a changed copy with `override`.
    """

    spec: ScenarioSpec
    tree: dict[str, Any] = field(repr=False)
    folder: Path = Path()
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the scenario is called."""
        return self.spec.name

    @property
    def digest(self) -> str:
        """A hash of all that the scenario says; equal for equal scenarios, wherever they are stored."""
        said = {k: v for k, v in self.tree.items() if k not in ("name", "description")}
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def override(self, changes: Mapping[str | tuple[str, ...], Any], *, name: str | None = None) -> Scenario:
        """A copy with some values changed: `{"teams.closer.size": 6}`, or a nested tree under a section's name.

        A dotted path must lead to something that may exist; None takes a key away. Raises InputError.
        """
        tree = deepcopy(self.tree)
        for key, value in changes.items():
            path = key if isinstance(key, tuple) else _dotted(tree, key)
            nested: Any = value
            for part in reversed(path):
                nested = {part: nested}
            tree = merge(tree, nested)
        if name is not None:
            tree["name"] = name
        return from_tree(tree, self.folder)

    def to_yaml(self) -> str:
        """The scenario as a file that reads back to the same scenario."""
        return dump(self.tree)


def load(path: str | Path) -> Scenario:
    """Read a scenario file. Raises InputError with every fault in it."""
    path = Path(path)
    return _checked(_resolved(_read_document(path, ()), path.parent), path.parent)


def load_text(text: str, folder: str | Path = ".", file: str = "scenario") -> Scenario:
    """Read a scenario from a text; files that it names are looked for in `folder`."""
    folder = Path(folder)
    return _checked(_resolved(_flattened(parse(text, file), folder, ()), folder), folder)


def from_tree(tree: Mapping[str, Any], folder: str | Path = ".") -> Scenario:
    """A scenario from plain maps, lists, texts and numbers."""
    folder = Path(folder)
    return _checked(_resolved(_flattened(Document(deepcopy(dict(tree))), folder, ()), folder), folder)


# --- variants ---------------------------------------------------------------------------------------------------------


def _read_document(path: Path, above: tuple[Path, ...]) -> Document:
    return _flattened(parse(read_text(path), str(path)), path.parent, (*above, path.resolve()))


def _flattened(document: Document, folder: Path, above: tuple[Path, ...]) -> Document:
    """The document with what it extends under it and its override over it."""
    tree = dict(document.tree)
    base_name, over = tree.pop("extends", None), tree.pop("override", None)
    if over is not None and not isinstance(over, Mapping):
        raise InputError([document.fault(("override",), "override must hold keys, as the scenario itself does")])
    clash = sorted(set(tree) & set(over or {}))
    if clash:
        raise InputError(
            [document.fault((clash[0],), f"'{clash[0]}' stands both in the file and in override; keep one")]
        )
    result = Document(tree, dict(document.places))
    if base_name is not None:
        base_path = folder / str(base_name)
        if base_path.resolve() in above or len(above) > MAX_GENERATIONS:
            raise InputError([document.fault(("extends",), f"'{base_name}' extends this file in turn")])
        try:
            base = _read_document(base_path, above)
        except InputError as error:
            if any(f.file == str(base_path) and f.line == 0 for f in error.faults):
                raise InputError([document.fault(("extends",), str(f)) for f in error.faults]) from None
            raise
        result = Document(merge(base.tree, tree), {**base.places, **document.places})
    if over:
        lifted = {p[1:]: place for p, place in document.places.items() if p[:1] == ("override",)}
        result = Document(merge(result.tree, over), {**result.places, **lifted})
    return result


def merge(base: Any, over: Any) -> Any:
    """`over` laid on `base`: maps merge key by key, named lists by name, all else replaces; None takes a key away."""
    if isinstance(base, list) and isinstance(over, Mapping):
        return _merge_named(base, over)
    if not isinstance(base, Mapping) or not isinstance(over, Mapping) or (_is_drawn(base) and _is_drawn(over)):
        return deepcopy(over)
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(base[key], value) if key in base else deepcopy(value)
    return result


def _merge_named(base: list[Any], over: Mapping[str, Any]) -> list[Any]:
    """A list whose items have names, with the named ones changed, taken away or added."""
    result = list(base)
    for name, change in over.items():
        found = next(
            (k for k, item in enumerate(result) if isinstance(item, Mapping) and item.get("name") == name), None
        )
        if found is None:
            result += [] if change is None else [{"name": name, **change}]
        elif change is None:
            del result[found]
        else:
            result[found] = merge(result[found], change)
    return result


def _is_drawn(tree: Mapping[str, Any]) -> bool:
    """Whether a map is a distribution, which a variant replaces as a whole."""
    if len(tree) != 1:
        return False
    name = next(iter(tree))
    return name in ALIASES or name in OWN or name in ("gamma", "uniform", "poisson", "beta", "pareto")


def _dotted(tree: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A dotted path, followed as far as the tree goes; names that hold dots are found whole."""
    path: list[str] = []
    here: Any = tree
    rest = key
    while rest:
        if isinstance(here, list):
            here = {x["name"]: x for x in here if isinstance(x, Mapping) and "name" in x}
        names = [n for n in here if rest == n or rest.startswith(f"{n}.")] if isinstance(here, Mapping) else []
        name = max(names, key=len) if names else rest.partition(".")[0]
        is_last = len(rest) == len(name)
        if not names and not is_last:
            known = list(here) if isinstance(here, Mapping) else []
            raise InputError(
                f"override '{key}': {not_among(name, 'part of ' + ('.'.join(path) or 'the scenario'), known)}"
            )
        if not names and is_last and isinstance(here, Mapping):
            meant = nearest(name, here)
            if meant and len(path) <= 1:
                raise InputError(
                    f"override '{key}': {not_among(name, 'part of ' + ('.'.join(path) or 'the scenario'), here)}"
                )
        path.append(name)
        here = here.get(name) if isinstance(here, Mapping) else None
        rest = rest[len(name) + 1 :]
    return tuple(path)


# --- data files -------------------------------------------------------------------------------------------------------


def _resolved(document: Document, folder: Path) -> Document:
    """The document with the contents of the data files that it names: columns of values, and lists of deals."""
    faults: list[Fault] = []

    def walk(node: Any, path: Path_) -> Any:
        if isinstance(node, Mapping):
            if path[-1:] == ("empirical",) and "file" in node:
                return _contents(node, path, _column)
            if path[-1:] == ("deals",) and "file" in node:
                return _contents(node, path, _deals)
            return {k: walk(v, (*path, k)) for k, v in node.items()}
        if isinstance(node, list):
            return [walk(v, (*path, k)) for k, v in enumerate(node)]
        return node

    def _contents(node: Mapping[str, Any], path: Path_, take: Any) -> Any:
        try:
            rows = csv.DictReader(io.StringIO(read_text(folder / str(node["file"]))))
            return take(node, list(rows), rows.fieldnames or [])
        except ValueError as error:
            faults.append(document.fault((*path, "file"), str(error)))
        except InputError as error:
            faults.extend(document.fault((*path, "file"), str(fault)) for fault in error.faults)
        return []

    tree = walk(document.tree, ())
    if faults:
        raise InputError(faults)
    return Document(tree, document.places)


def _column(node: Mapping[str, Any], rows: list[dict[str, str]], names: list[str]) -> list[Any]:
    """The values of one column, with `unit` added to each where it is given."""
    column = str(node.get("column", ""))
    if column not in names:
        raise ValueError(f"{node['file']}: {not_among(column, 'column', names)}")
    unit = node.get("unit")
    texts = [row[column] for row in rows if row[column] not in ("", None)]
    if not texts:
        raise ValueError(f"{node['file']}: column '{column}' is empty")
    return [f"{text} {unit}" if unit else _number(text) for text in texts]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _deals(node: Mapping[str, Any], rows: list[dict[str, str]], names: list[str]) -> list[dict[str, Any]]:
    """Open deals from a CSV with columns id, stage, age (days), value, member; any other is an attribute."""
    if "stage" not in names:
        raise ValueError(f"{node['file']}: needs a column 'stage'; found {', '.join(names)}")
    deals = []
    for k, row in enumerate(rows):
        deal: dict[str, Any] = {"id": row.get("id") or f"row {k + 1}", "stage": row["stage"]}
        if row.get("age"):
            deal["age"] = row["age"] if any(c.isalpha() for c in row["age"]) else f"{row['age']} days"
        if row.get("value"):
            deal["value"] = _number(row["value"])
        if row.get("member"):
            deal["member"] = row["member"]
        others = {
            n: _number(row[n]) for n in names if n not in ("id", "stage", "age", "value", "member") and row.get(n)
        }
        deals.append(deal | ({"attributes": others} if others else {}))
    return deals


# --- checking ---------------------------------------------------------------------------------------------------------


def _checked(document: Document, folder: Path) -> Scenario:
    """A scenario from a flat document, or all of its faults."""
    faults: list[Fault] = []
    spec: ScenarioSpec | None = None
    try:
        spec = ScenarioSpec.model_validate(document.tree)
    except ValidationError as error:
        faults += _shape_faults(error, document)
    faults += [document.fault(path, message) for path, message in faults_of(document.tree, spec, folder)]
    if faults or spec is None:
        raise InputError(sorted(set(faults), key=lambda f: (f.file, f.line, f.column, f.message)))
    return Scenario(spec, document.tree, folder, tuple(warnings_of(spec)))


def _shape_faults(error: ValidationError, document: Document) -> Iterator[Fault]:
    for detail in error.errors(include_url=False):
        yield document.fault(detail["loc"], _in_words(dict(detail)))


def _in_words(detail: dict[str, Any]) -> str:
    kind, value, loc = detail["type"], detail.get("input"), detail["loc"]
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if kind == "extra_forbidden":
        return not_among(loc[-1], "key here", _keys_at(loc[:-1]))
    if kind == "missing":
        return f"'{loc[-1]}' is missing"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "literal_error":
        return f"{shown} is not allowed; allowed: {detail['ctx']['expected']}"
    if kind == "string_pattern_mismatch" and loc[-1] == "currency":
        return f"{shown} is no currency code; write three capital letters, such as USD"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown} must hold keys" + (f": {', '.join(_keys_at(loc)[:12])}" if _keys_at(loc) else "")
    return f"{shown}: {detail['msg'].removeprefix('Input ')}"


def _keys_at(loc: tuple[str | int, ...]) -> list[str]:
    """The keys that a scenario may have at this place."""
    here: Any = ScenarioSpec
    for part in loc:
        model = _model_in(here)
        if model is not None:
            named = {f.alias or n: f for n, f in model.model_fields.items()}
            if part not in named:
                continue
            here = named[str(part)].annotation
        else:
            arguments = typing.get_args(here)
            here = (
                arguments[-1] if arguments and arguments[-1] is not Ellipsis else (arguments[0] if arguments else None)
            )
    model = _model_in(here)
    return [f.alias or n for n, f in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation means, looking through Annotated and Optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (dict, tuple, list):
        return None
    return next((m for m in map(_model_in, typing.get_args(annotation)) if m), None)


__all__ = ["Place", "Scenario", "from_tree", "load", "load_text", "merge"]
