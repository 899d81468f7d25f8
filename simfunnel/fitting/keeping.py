"""What a user wrote by hand into a scenario, laid over what is fitted anew.

It is told as parts of a scenario, or by a file that `fit` wrote and the user has edited since. Such a file ends with
marks, short hashes of each fitted value and of its place: what has no mark of its own was written by hand, and a place
that has a mark and no value was taken away by hand. What counts as one value is what makes sense alone: a
distribution, an attribute's shares, an effect.
"""

from __future__ import annotations

import base64
import hashlib
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simfunnel.errors import Fault, InputError
from simfunnel.scenario import Scenario, load
from simfunnel.scenario.documents import parse, read_text
from simfunnel.scenario.spec import FACTORS
from simfunnel.scenario.variants import is_drawn, merge

Place = tuple[str, ...]
Named = dict[str, Any]

_SAID = "By these marks `simfunnel fit --keep` tells what was fitted here, and so what you change by hand:"
_WHOLE = ("start", "sources", "stages")  # a file with these is more than parts of a scenario
_START = "<start>"  # stands for the first day, which is another in each fit
_HASH = 8  # letters, of six bytes


@dataclass(frozen=True)
class Laid:
    """A fitted scenario with the parts written by hand laid over it: where these are, and what was taken away.

    `lost` are places of hand-written parts that have nowhere to go: what they changed is no longer there.
    """

    tree: dict[str, Any]
    kept: tuple[Place, ...] = ()
    taken: tuple[Place, ...] = ()
    lost: tuple[Place, ...] = ()

    @property
    def by_section(self) -> dict[str, str]:
        """The places in words, by the section in which they are."""
        words = [*((place, _said(place)) for place in self.kept)]
        words += [(place, f"{_said(place)} (taken away)") for place in self.taken]
        sections = dict.fromkeys(place[0] for place, _ in words)
        return {section: ", ".join(text for place, text in words if place[0] == section) for section in sections}


@dataclass(frozen=True)
class Parts:
    """Parts of a scenario, all of them written by hand."""

    tree: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Whether it is among them."""
        return key in self.tree

    def over(self, fitted: dict[str, Any]) -> Laid:
        """As a variant is laid over what it extends."""
        places = dict(_ends(self.tree))
        taken = tuple(place for place, value in places.items() if value is None)
        return Laid(dict(merge(fitted, dict(self.tree))), tuple(p for p in places if p not in taken), taken)


@dataclass(frozen=True)
class Edited:
    """A scenario that was fitted and then edited; `marks` has each fitted value's hash by the hash of its place."""

    named: Named
    marks: Mapping[str, str]

    def has(self, key: str) -> bool:
        """Whether something there was changed."""
        return any(place[0] == key for place in self._changed())

    def over(self, fitted: dict[str, Any]) -> Laid:
        """What was changed, where it stands now."""
        start = str(fitted["start"])
        tree = _by_name(fitted, start)
        places = dict(_values(tree))
        taken = tuple(dict.fromkeys(place for place in map(self._taken, places) if place))
        changed = self._changed()
        lost = tuple(place for place in changed if self._is_lost(place, tree))
        kept = tuple(place for place in changed if place not in lost)
        for place in taken:
            _take(tree, place)
        for place in kept:
            tree = _put(tree, self.named, place, set(places))
        return Laid(_as_written(tree, start), kept, taken, lost)

    def sections(self) -> tuple[str, ...]:
        """The sections in which something was changed; `parts taken away` where a fitted one is not there any more."""
        missing = self.marks.keys() - {_hash(place) for place, _ in _values(self.named)}
        found = dict.fromkeys(place[0] for place in self._changed())
        return (*found, "parts taken away") if missing else tuple(found)

    def _changed(self) -> list[Place]:
        return [place for place, value in _values(self.named) if not self._is_fitted(place, value)]

    def _is_fitted(self, place: Place, value: Any) -> bool:
        return self.marks.get(_hash(place)) == _hash(value)

    def _taken(self, place: Place) -> Place:
        """The part around a fitted place that was taken away; empty where none was."""
        if _hash(place) not in self.marks:
            return ()
        here: Any = self.named
        for n, name in enumerate(place, 1):
            if not isinstance(here, Mapping) or (n > 1 and _is_one(place[: n - 1], here)):
                return ()  # something else stands here
            if name not in here:
                return place[:n]
            here = here[name]
        return ()

    def _is_lost(self, place: Place, tree: Named) -> bool:
        """Whether what this was written into had been fitted, and is not now: a seller who has left, for one."""
        # What stands in a section of its own right needs no other part of it.
        around = next((place[:n] for n in range(2, len(place)) if _at(tree, place[:n]) is None), None)
        if around is None or _at(self.named, around) is None:
            return False
        return any(self._is_fitted(p, value) for p, value in _values(_at(self.named, around), around))


Hand = Parts | Edited


def hand_of(keep: Hand | Mapping[str, Any] | str | Path | None) -> Hand:
    """What is to be kept: parts of a scenario, or what was written by hand into a file. Raises InputError."""
    if isinstance(keep, (Parts, Edited)):
        return keep
    return read_hand(Path(keep)) if isinstance(keep, (str, Path)) else Parts(keep or {})


def read_hand(path: Path) -> Hand:
    """What was written by hand into a file: into one that `fit` wrote, or all of one that holds parts of a scenario.

    Raises InputError where it can't be read, and where it can't be told what in it was written by hand.
    """
    text = read_text(path)
    tree = parse(text, str(path)).tree
    if "extends" in tree or "override" in tree:
        raise _refused(path, "is a variant and stays as it is; it need not be kept when what it extends is fitted anew")
    start, marks = _read_marks(text)
    if marks:
        load(path)  # tells all that is wrong with it
        return Edited(_by_name(tree, start), marks)
    if all(key in tree for key in _WHOLE):
        raise _refused(
            path,
            "does not tell what in it was fitted and what was written by hand (it lacks the last lines that fit "
            "writes); keep a file that holds nothing but what you wrote, such as teams: {sellers: {selling_time: 50%}}",
        )
    return Parts(tree)


def _refused(path: Path, message: str) -> InputError:
    return InputError([Fault(message, file=str(path))])


_IDLE = ("name", "description", "currency", "target", "start", "horizon")  # say nothing of what becomes of deals


def by_hand(scenario: Scenario) -> tuple[str, ...]:
    """What of a scenario's file is not as it was fitted, by section, as far as it bears on what becomes of deals.

    All of it, where the file doesn't end with the marks that fit writes, or the scenario has none.
    """
    start, marks = _read_marks(scenario.text)
    if not marks:
        return ("all",)
    found = Edited(_by_name(scenario.tree, start), marks).sections()
    return tuple(section for section in found if section not in _IDLE)


# --- marks ------------------------------------------------------------------------------------------------------------


def marks_of(fitted: Mapping[str, Any], laid: Laid) -> list[str]:
    """Lines that tell what was fitted and not written by hand, to stand at the end of the file."""
    start = str(fitted["start"])
    marks = [
        _hash(place) + _hash(value)
        for place, value in _values(_by_name(fitted, start))
        if not any(place[: len(mine)] == mine[: len(place)] for mine in laid.kept)
    ]
    return [_SAID, *textwrap.wrap(" ".join([start, *marks]), 110, break_on_hyphens=False)]


def _read_marks(text: str) -> tuple[str, dict[str, str]]:
    """The first day when the file was fitted, and the marks; none where it has none."""
    _, _, after = text.partition(_SAID)
    words: list[str] = []
    for line in after.splitlines()[1:]:
        if not line.startswith("#"):
            break
        words += line.lstrip("#").split()
    marks = [word for word in words if len(word) == 2 * _HASH]
    return words[0] if words else "", {mark[:_HASH]: mark[_HASH:] for mark in marks}


def _hash(value: Any) -> str:
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:_HASH].decode()


# --- places -----------------------------------------------------------------------------------------------------------


def _by_name(tree: Mapping[str, Any], start: str) -> Named:
    """The scenario with members and effects by name instead of in lists, and a word for its first day in effects."""
    named: Named = deepcopy(dict(tree))
    for team in _maps(named.get("teams")):
        if isinstance(team.get("members"), list):
            team["members"] = _numbered((_member(one), one) for one in team["members"])
    if isinstance(named.get("effects"), list):
        effects = json.loads(json.dumps(named["effects"]).replace(start, _START))
        named["effects"] = _numbered((_effect(one), one) for one in effects)
    return named


def _as_written(named: Named, start: str) -> dict[str, Any]:
    """The scenario again, of its parts by name."""
    tree = deepcopy(named)
    for team in _maps(tree.get("teams")):
        if isinstance(team.get("members"), Mapping):
            team["members"] = list(team["members"].values())
    if isinstance(tree.get("effects"), Mapping):
        tree["effects"] = json.loads(json.dumps(list(tree["effects"].values())).replace(_START, start))
    return tree


def _maps(node: Any) -> list[dict[str, Any]]:
    return [one for one in node.values() if isinstance(one, dict)] if isinstance(node, Mapping) else []


def _numbered(items: Iterable[tuple[str, Any]]) -> Named:
    """Items by name; of those with the same name, the second has a number."""
    found: Named = {}
    for name, item in items:
        same = sum(1 for other in found if other == name or other.startswith(f"{name} #"))
        found[f"{name} #{same + 1}" if same else name] = item
    return found


def _member(member: Any) -> str:
    return str(member.get("name", "")) if isinstance(member, Mapping) else str(member)


def _effect(effect: Any) -> str:
    """What tells an effect from others: on what it acts, what it changes there, and when."""
    if not isinstance(effect, Mapping):
        return str(effect)
    places = effect.get("on", "all")
    what = ", ".join([str(p) for p in places] if isinstance(places, list) else [str(places)])
    rest = {key: value for key, value in effect.items() if key not in (*FACTORS, "on")}
    when = f", {json.dumps(rest, sort_keys=True)}" if rest else ""
    return f"{'/'.join(key for key in effect if key in FACTORS)} on {what}{when}"


def _ends(tree: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The places where a tree ends, and what stands there."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _ends(value, (*place, str(key)))
        else:
            yield (*place, str(key)), value


def _values(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each value that is fitted, or written, as one."""
    if isinstance(node, Mapping) and node and not _is_one(place, node):
        for key, value in node.items():
            yield from _values(value, (*place, str(key)))
    else:
        yield place, node


def _is_one(place: Place, node: Any) -> bool:
    """Whether what stands here can be changed only as a whole."""
    if place[:1] == ("effects",):
        return len(place) > 1
    return is_drawn(place) and not (isinstance(node, Mapping) and "cases" in node)


def _at(node: Any, place: Place) -> Any:
    """What stands at a place; None where nothing does."""
    for name in place:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _take(tree: Named, place: Place) -> None:
    around = _at(tree, place[:-1])
    if isinstance(around, dict):
        around.pop(place[-1], None)


def _put(tree: Named, mine: Named, place: Place, ends: set[Place], n: int = 1) -> Named:
    """The tree with what stands in `mine` at a place; what is new comes after what it came after in `mine`."""
    key = place[n - 1]
    here, value = tree.get(key), mine[key]
    if n < len(place):
        inside = here if isinstance(here, dict) and place[:n] not in ends else {}
        value = _put(inside, mine[key], place, ends, n + 1)
    if key in tree:
        return {**tree, key: value}
    before = list(mine)[: list(mine).index(key)]
    after = 1 + max((k for k, name in enumerate(tree) if name in before), default=-1)
    items = list(tree.items())
    return dict([*items[:after], (key, value), *items[after:]])


def _said(place: Place) -> str:
    """A place in words."""
    if place[:1] == ("effects",) and len(place) > 1:
        return f"effects ({place[1].replace(_START, 'the start')})"
    return ".".join(place)
