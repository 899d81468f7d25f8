"""A scenario laid on another: what a variant changes, what it leaves, what it takes away.

Maps merge key by key; lists and distributions replace; the items of `members` and `deals` are found by name, those of
any list by their number, from 0; an empty value (`key:` or null) takes away what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from simfunnel.distributions import is_known
from simfunnel.errors import InputError, nearest, not_among
from simfunnel.scenario.documents import Path_, Place

_NAMED_BY = {"members": "name", "deals": "id"}
_DRAWN_AT = ("after", "effort", "every", "number", "patience", "value")
_DRAWN_IN = ("attributes", "cases")


def merge(base: Any, over: Any, path: Path_ = ()) -> Any:
    """`over` laid on `base`, both standing at `path`."""
    if isinstance(base, list) and isinstance(over, Mapping):
        places = items_by_name(base, path)
        if path[-1:] in (("members",), ("deals",)) or (over and all(name in places for name in over)):
            return _merge_items(base, over, path, places)
    if not isinstance(base, Mapping) or not isinstance(over, Mapping) or _is_another(base, over, path):
        return deepcopy(over)
    result = dict(base)
    for key, value in over.items():
        if key not in base:
            result[key] = deepcopy(value)
        elif value is None:
            del result[key]
        else:
            result[key] = merge(base[key], value, (*path, key))
    return result


def items_by_name(items: list[Any], path: Path_) -> dict[str, int]:
    """Where each item of a list stands, by its number and by its name where such items have names."""
    key = _NAMED_BY.get(str(path[-1])) if path else None
    numbers = {str(k): k for k in range(len(items))}
    return numbers | {str(item[key]): k for k, item in enumerate(items) if isinstance(item, Mapping) and key in item}


def _merge_items(base: list[Any], over: Mapping[str, Any], path: Path_, places: dict[str, int]) -> list[Any]:
    """A list with the named items changed, taken away or added."""
    result = list(base)
    key = _NAMED_BY.get(str(path[-1]), "")
    for name, change in over.items():
        if name in places:
            k = places[name]
            result[k] = None if change is None else merge(result[k], change, (*path, k))
        elif change is not None:
            result.append({key: name, **change} if isinstance(change, Mapping) else change)
    gone = {places[name] for name, change in over.items() if change is None and name in places}
    return [item for k, item in enumerate(result) if k not in gone]


def _is_another(base: Mapping[str, Any], over: Mapping[str, Any], path: Path_) -> bool:
    """Whether a variant's map is a distribution (or cases) of its own rather than a change to the base's."""
    if not is_drawn(path):
        return False
    return _is_distribution(base) or _is_distribution(over) or _has_cases(base) != _has_cases(over)


def is_drawn(path: Path_) -> bool:
    """Whether what stands here is drawn from: a distribution, shares, or one of them for each case."""
    return path[-1:] != () and (path[-1] in _DRAWN_AT or (path[-2:-1] != () and path[-2] in _DRAWN_IN))


def _is_distribution(tree: Mapping[str, Any]) -> bool:
    return len(tree) == 1 and is_known(next(iter(tree)))


def _has_cases(tree: Mapping[str, Any]) -> bool:
    return "by" in tree or "cases" in tree


def lifted_places(places: Mapping[Path_, Place], tree: Mapping[str, Any]) -> dict[Path_, Place]:
    """The places of a variant's parts, by the paths that they have in the merged tree."""
    return {_lifted(path, tree): place for path, place in places.items()}


def _lifted(path: Path_, tree: Any) -> Path_:
    """A path of a variant in the merged tree: an item's name becomes its number."""
    found: Path_ = ()
    for part in path:
        if isinstance(tree, list) and isinstance(part, str):
            part = items_by_name(tree, found).get(part, part)
        found = (*found, part)
        inside = part in tree if isinstance(tree, Mapping) else isinstance(tree, list) and part in range(len(tree))
        tree = tree[part] if inside else None
    return found


def changed(tree: dict[str, Any], key: str | tuple[str, ...], value: Any) -> dict[str, Any]:
    """The tree with the part at a dotted path changed. Raises InputError where the path leads nowhere."""
    path = tuple(map(str, key)) if isinstance(key, tuple) else _dotted(tree, str(key), is_gone=value is None)
    if not path:
        raise InputError("an override needs the path of what it changes, such as 'teams.closer.size'")
    nested: Any = value
    for part in reversed(path):
        nested = {part: nested}
    return dict(merge(tree, nested))


def _dotted(tree: Mapping[str, Any], key: str, *, is_gone: bool) -> tuple[str, ...]:
    """A dotted path, followed as far as the tree goes; names that hold dots are found whole.

    Only its last part may be new; not so where something is to be taken away (`is_gone`) that a name resembles.
    """
    path: list[str] = []
    here: Any = tree
    rest = key
    while rest:
        if isinstance(here, list):
            here = {name: here[k] for name, k in items_by_name(here, tuple(path)).items()}
        names = [n for n in here if rest == n or rest.startswith(f"{n}.")] if isinstance(here, Mapping) else []
        name = max(names, key=len) if names else rest.partition(".")[0]
        is_last = len(rest) == len(name)
        known = list(here) if isinstance(here, Mapping) else []
        if not names and (not is_last or (is_gone and len(path) == 1 and nearest(name, known))):
            where = f"part of {'.'.join(path) or 'the scenario'}"
            raise InputError(f"override '{key}': {not_among(name, where, known)}")
        path.append(name)
        here = here.get(name) if isinstance(here, Mapping) else None
        rest = rest[len(name) + 1 :]
    return tuple(path)
