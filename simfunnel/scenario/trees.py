"""A scenario's tree as it was written: what is found in it by a pattern of keys, whatever else may be wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pydantic import TypeAdapter, ValidationError

from simfunnel.errors import nearest
from simfunnel.scenario.conditions import Vocabulary, member_names
from simfunnel.scenario.documents import Path_
from simfunnel.scenario.fields import LOST, STAYS, AttributeSpec, Drawn
from simfunnel.scenario.spec import ScenarioSpec, TeamSpec

Finding = tuple[Path_, str]
Tree = Mapping[str, Any]

_GOALS = (
    ("stages", "*", "limit", "to"),
    ("stages", "*", "work", "gives_up"),
    ("stages", "*", "route", "*", "to"),
    ("stages", "*", "route", "to"),
)
"""Where a stage or an end is named; a name that is no stage is an end."""
_NEEDED = ("sources", "stages")
"""The parts without which there is no scenario: that they are missing has been said."""


def at(node: Any, *pattern: str) -> Iterator[tuple[Path_, Any]]:
    """Everything that matches a pattern of keys, `*` for any; parts of another form are passed over."""
    if not pattern:
        yield (), node
        return
    first, rest = pattern[0], pattern[1:]
    items: list[tuple[Any, Any]] = []
    if isinstance(node, Mapping):
        items = list(node.items()) if first == "*" else [(first, node[first])] if first in node else []
    elif isinstance(node, list) and first == "*":
        items = list(enumerate(node))
    for key, child in items:
        for path, found in at(child, *rest):
            yield (key, *path), found


def names_in(tree: Tree, part: str) -> list[str]:
    """The names that a part defines."""
    found = tree.get(part)
    return [str(name) for name in found] if isinstance(found, Mapping) else []


def items_of(node: Any) -> list[tuple[str, Any]]:
    """The keys of a node with what they hold; none where it is of another form."""
    return list(node.items()) if isinstance(node, Mapping) else []


def is_broken(tree: Tree, part: str) -> bool:
    """Whether a part holds no keys where it should, so that nothing can be said of the names in it."""
    if tree.get(part) is None:
        return part in _NEEDED
    return not isinstance(tree[part], Mapping)


def drawn_in(tree: Tree) -> dict[str, Drawn | None]:
    """The attributes, None for those that can't be read."""
    return {name: parsed_drawn(node) for name, node in items_of(tree.get("attributes"))}


def parsed_drawn(node: Any) -> Drawn | None:
    """An attribute, None where it can't be read."""
    try:
        found: Drawn = TypeAdapter(AttributeSpec).validate_python(node)
    except ValidationError:
        return None
    return found


def teams_in(tree: Tree) -> dict[str, TeamSpec | None]:
    """The teams, None for those that can't be read."""
    found: dict[str, TeamSpec | None] = {}
    for name, node in items_of(tree.get("teams")):
        try:
            found[name] = TeamSpec.model_validate(node)
        except ValidationError:
            found[name] = None
    return found


def ends_in(tree: Tree) -> tuple[str, ...]:
    """The ends: goals that are no stages, and `lost` where a limit or impatience leads there unsaid."""
    goals = [str(goal) for _, goal in goals_in(tree)]
    for pattern, said in ((("stages", "*", "limit"), "to"), (("stages", "*", "work"), "gives_up")):
        parts = [part for _, part in at(tree, *pattern) if isinstance(part, Mapping)]
        goals += [LOST for part in parts if said not in part and (said == "to" or "patience" in part)]
    return tuple(dict.fromkeys(goal for goal in goals if goal not in (*names_in(tree, "stages"), STAYS)))


def goals_in(tree: Tree) -> list[tuple[Path_, Any]]:
    """Every stage or end that is named as a goal."""
    goals = [(path, path[-1]) for path, _ in at(tree, "stages", "*", "exits", "*")]
    return goals + [found for pattern in _GOALS for found in at(tree, *pattern)]


def meant_stage(goal: Any, tree: Tree) -> str | None:
    """The stage that a goal was probably meant to be; None where it is one, or an end: a goal that is no stage."""
    stages = names_in(tree, "stages")
    if not isinstance(goal, str) or goal in stages or goal in (STAYS, LOST):
        return None
    # A stage may be `qualified` and an end `disqualified`.
    return nearest(goal, [stage for stage in stages if abs(len(stage) - len(goal)) <= 1], cutoff=0.8)


def words_of(tree: Tree) -> tuple[Vocabulary, set[str]]:
    """What conditions may name, as far as the tree can be read, and the facts of which too little is known."""
    teams, drawn = teams_in(tree), drawn_in(tree)
    read = {name: team for name, team in teams.items() if team is not None}
    try:
        start = date.fromisoformat(str(tree.get("start")))
    except ValueError:
        start = date(2000, 1, 1)
    words = Vocabulary(
        sources=tuple(names_in(tree, "sources")),
        stages=tuple(names_in(tree, "stages")),
        members=tuple(n for name in read for n in member_names(name, ScenarioSpec.model_construct(teams=read))),
        attributes={name: found.levels if found else None for name, found in drawn.items()},
        start=start,
        ends=ends_in(tree),
    )
    unread = {name for name, found in drawn.items() if found is None}
    unread |= {fact for fact, part in (("source", "sources"), ("stage", "stages")) if is_broken(tree, part)}
    if len(read) < len(teams) or is_broken(tree, "teams"):
        unread.add("member")
    return words, unread
