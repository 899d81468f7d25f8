"""What a scenario's parts must be to each other: names that must exist, chances that must sum, things that can't apply.

Each check is one small function in a table, works on the tree as it was written, and passes over parts whose form is
wrong (those are faults already), so that every fault of a file is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simfunnel import units
from simfunnel.errors import nearest, not_among
from simfunnel.scenario.conditions import DATED, FACTS, Vocabulary, member_names, read_clause
from simfunnel.scenario.documents import Path_
from simfunnel.scenario.spec import LOST, STAYS, AttributeSpec, Drawn, ScenarioSpec, StageSpec
from simfunnel.units import Uncertain

Finding = tuple[Path_, str]
Tree = Mapping[str, Any]
MAX_YEARS = 50


def faults_of(tree: Tree, spec: ScenarioSpec | None, folder: Path) -> Iterator[Finding]:
    """Every fault between the parts of a scenario: (path, message)."""
    for check in _TREE_CHECKS:
        yield from check(tree)
    yield from _plugins_exist(tree, folder)
    if spec is not None:
        yield from _times_fit(spec)


def _at(node: Any, *pattern: str) -> Iterator[tuple[Path_, Any]]:
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
        for path, found in _at(child, *rest):
            yield (key, *path), found


def _names(tree: Tree, part: str) -> list[str]:
    found = tree.get(part)
    return [str(name) for name in found] if isinstance(found, Mapping) else []


# --- names ------------------------------------------------------------------------------------------------------------

_REFERENCES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("stages", "*", "work", "team"), "team", "teams"),
    (("sources", "*", "enters"), "stage", "stages"),
    (("sources", "*", "deals", "*", "stage"), "stage", "stages"),
    (("stages", "*", "refers", "source"), "source", "sources"),
    (("stages", "*", "refers", "*", "source"), "source", "sources"),
)
"""Where a name stands, what it names, and under which key that is defined."""

_GOALS = (
    ("stages", "*", "limit", "to"),
    ("stages", "*", "work", "gives_up"),
    ("stages", "*", "route", "*", "to"),
    ("stages", "*", "route", "to"),
)
"""Where a stage or an end is named; a name that is no stage is an end."""


def _names_exist(tree: Tree) -> Iterator[Finding]:
    for pattern, what, part in _REFERENCES:
        names = _names(tree, part)
        for path, name in _at(tree, *pattern):
            if isinstance(name, (str, int, float)) and str(name) not in names:
                yield path, not_among(name, what, names)


def _goals_are_meant(tree: Tree) -> Iterator[Finding]:
    """A goal that is no stage is an end, unless it looks like a misspelt stage."""
    stages = _names(tree, "stages")
    goals = [(path, path[-1]) for path, _ in _at(tree, "stages", "*", "exits", "*")]
    goals += [found for pattern in _GOALS for found in _at(tree, *pattern)]
    for path, goal in goals:
        if not isinstance(goal, str) or goal in stages or goal in (STAYS, LOST):
            continue
        meant = nearest(goal, stages)
        if meant:
            yield path, f"'{goal}' is no stage. Did you mean '{meant}'? (An end needs a name that no stage resembles)"


def _stage_names_are_allowed(tree: Tree) -> Iterator[Finding]:
    for name in _names(tree, "stages"):
        if name in (STAYS, LOST) or "->" in name or not name.strip():
            yield ("stages", name), f"'{name}' can't be a stage's name: it has a meaning of its own"
    for name in _names(tree, "attributes"):
        if name in FACTS:
            yield ("attributes", name), f"'{name}' can't be an attribute's name: every prospect has it already"


def _by_is_known(tree: Tree) -> Iterator[Finding]:
    """`by` looks at the source or an attribute drawn before, and its cases name values of it."""
    before: dict[str, tuple[str, ...] | None] = {"source": tuple(_names(tree, "sources"))}
    parts = [(("attributes", name), node) for name, node in _items(tree.get("attributes"))]
    for path, node in [*parts, (("value",), tree.get("value"))]:
        if isinstance(node, Mapping) and "by" in node:
            by = str(node["by"])
            if by not in before:
                yield (*path, "by"), not_among(by, "source or attribute written above", list(before))
            elif before[by] is None:
                yield (*path, "by"), f"'{by}' is a number; only categories can choose a case"
            else:
                cases = _names(node, "cases")
                levels = before[by] or ()
                for case in cases:
                    if case not in levels and case != "other":
                        yield (*path, "cases", case), not_among(case, by, levels)
                missing = [level for level in levels if level not in cases]
                if missing and "other" not in cases:
                    yield (*path, "cases"), f"no case for {', '.join(missing)}; add it, or other:"
        before[str(path[-1])] = _levels(node)


def _items(node: Any) -> list[tuple[str, Any]]:
    return list(node.items()) if isinstance(node, Mapping) else []


def _levels(node: Any) -> tuple[str, ...] | None:
    """The categories of an attribute as it was written, or None for a number (or a form that can't be read)."""
    drawn = _parsed_drawn(node)
    return drawn.levels if drawn else None


def _parsed_drawn(node: Any) -> Drawn | None:
    from pydantic import TypeAdapter

    try:
        found: Drawn = TypeAdapter(AttributeSpec).validate_python(node)
    except (ValidationError, ValueError, TypeError):
        return None
    return found


# --- conditions and effects -------------------------------------------------------------------------------------------


def _words_of(tree: Tree) -> Vocabulary:
    """What conditions may name, as far as the tree can be read."""
    from simfunnel.scenario.spec import TeamSpec

    members: list[str] = []
    for name, node in _items(tree.get("teams")):
        try:
            team = TeamSpec.model_validate(node)
        except ValidationError:
            continue
        members += member_names(name, ScenarioSpec.model_construct(teams={name: team}))
    try:
        start = date.fromisoformat(str(tree.get("start")))
    except ValueError:
        start = date(2000, 1, 1)
    return Vocabulary(
        sources=tuple(_names(tree, "sources")),
        stages=tuple(_names(tree, "stages")),
        members=tuple(members),
        attributes={name: _levels(node) for name, node in _items(tree.get("attributes"))},
        start=start,
    )


_CONDITIONS = (
    ("effects", "*", "when"),
    ("teams", "*", "serves", "first", "*"),
    ("teams", "*", "members", "*", "only"),
    ("stages", "*", "route", "*", "when"),
    ("stages", "*", "route", "when"),
)


def _conditions_can_be_read(tree: Tree) -> Iterator[Finding]:
    words = _words_of(tree)
    for pattern in _CONDITIONS:
        for path, when in _at(tree, *pattern):
            for name, wanted in _items(when):
                try:
                    read_clause(name, wanted, words)
                except ValueError as error:
                    yield (*path, name), str(error)


def _effects_can_apply(tree: Tree) -> Iterator[Finding]:
    stages, sources = _names(tree, "stages"), _names(tree, "sources")
    for path, effect in _at(tree, "effects", "*"):
        if not isinstance(effect, Mapping):
            continue
        places = effect.get("on", [])
        for place in [places] if isinstance(places, str) else places if isinstance(places, list) else []:
            problem = _place_problem(str(place), effect, tree, stages, sources)
            if problem:
                yield (*path, "on"), problem
        if "arrivals" in effect:
            for name, _ in _items(effect.get("when")):
                if name not in DATED:
                    yield (
                        (*path, "when", name),
                        f"an effect on arrivals can look at the date only ({', '.join(DATED)}), not at {name}",
                    )
        if effect.get("per") in ("touches", "visits") and "value" in effect:
            yield (*path, "per"), "a value is drawn at birth, before any touch or visit"


def _place_problem(place: str, effect: Tree, tree: Tree, stages: list[str], sources: list[str]) -> str:
    """What is wrong with the place of an effect, or an empty text."""
    stage, arrow, goal = (part.strip() for part in place.partition("->"))
    if "arrivals" in effect:
        return "" if place in sources else not_among(place, "source", sources)
    if "value" in effect:
        return "an effect on value acts at birth; say who in when:, and leave out on:"
    if stage not in stages:
        return not_among(stage, "stage", stages)
    node = tree["stages"][stage]
    exits = [e for e in _names(node, "exits") if e != STAYS] if isinstance(node, Mapping) else []
    if arrow and goal not in exits:
        return not_among(goal, f"exit of {stage}", exits)
    if arrow and ("effort" in effect or "patience" in effect):
        return f"effort and patience belong to a stage; write on: {stage}"
    if not arrow and "odds" in effect and not any(e in stages and stages.index(e) > stages.index(stage) for e in exits):
        return f"{stage} has no exit forward whose odds could change; name an exit: {', '.join(exits) or 'it has none'}"
    if ("effort" in effect or "patience" in effect) and isinstance(node, Mapping) and "work" not in node:
        return f"{stage} has no work, so this effect can never apply"
    return ""


# --- stages -----------------------------------------------------------------------------------------------------------


def _chances_sum(tree: Tree) -> Iterator[Finding]:
    for name, node in _items(tree.get("stages")):
        try:
            stage = StageSpec.model_validate(node if node is not None else {})
        except (ValidationError, TypeError):
            continue
        path = ("stages", name, "exits")
        if not stage.exits:
            continue
        rest = [goal for goal, way in stage.exits.items() if way.chance is None]
        said = [way.chance for way in stage.exits.values() if way.chance is not None]
        total = sum(units.middle(c) for c in said)
        if len(rest) > 1:
            yield path, f"{' and '.join(rest)} leave out their chance; only one exit can be the rest"
        elif total > 1 + 1e-9 and (rest or not any(isinstance(c, Uncertain) for c in said)):
            yield path, f"the chances sum to {total:.6g} ({total:.1%}), which is more than 100%"
        elif not rest and abs(total - 1) > 0.005 and not any(isinstance(c, Uncertain) for c in said):
            yield (
                path,
                (
                    f"the chances sum to {total:.1%}, not to 100%; leave one chance out to make it the rest, "
                    f"or add {STAYS}: {{chance: {1 - total:.1%}}} for those who never leave"
                ),
            )
        way = stage.exits.get(STAYS)
        if way and not (way.after.is_constant and way.after.mean() == 0):
            yield (*path, STAYS, "after"), f"'{STAYS}' means never leaving, so it has no time"


def _set_is_known(tree: Tree) -> Iterator[Finding]:
    attributes = dict(_items(tree.get("attributes")))
    for path, changes in _at(tree, "stages", "*", "exits", "*", "set"):
        for name, value in _items(changes):
            if name not in attributes:
                yield (*path, name), not_among(name, "attribute", attributes)
                continue
            levels = _levels(attributes[name])
            if levels is not None and str(value) not in levels:
                yield (*path, name), not_among(value, f"value of {name}", levels)
            elif levels is None and not isinstance(value, (int, float)):
                yield (*path, name), f"{name} is a number, '{value}' is none"


def _deals_are_known(tree: Tree) -> Iterator[Finding]:
    """Deals have names of their own, and attributes that exist."""
    attributes = {name: _levels(node) for name, node in _items(tree.get("attributes"))}
    for source, deals in _at(tree, "sources", "*", "deals"):
        seen: set[str] = set()
        for k, deal in enumerate(deals if isinstance(deals, list) else []):
            if not isinstance(deal, Mapping):
                continue
            name = str(deal.get("id"))
            if name in seen:
                yield (*source, k, "id"), f"two deals are called '{name}'"
            seen.add(name)
            for attribute, value in _items(deal.get("attributes")):
                path = (*source, k, "attributes", attribute)
                if attribute not in attributes:
                    yield path, not_among(attribute, "attribute", attributes)
                elif attributes[attribute] and str(value) not in (attributes[attribute] or ()):
                    yield path, not_among(value, f"value of {attribute}", attributes[attribute] or ())


# --- the rest ---------------------------------------------------------------------------------------------------------


def _plugins_exist(tree: Tree, folder: Path) -> Iterator[Finding]:
    for path, text in _at(tree, "stages", "*", "route", "python"):
        file = folder / str(text).partition(":")[0]
        if not file.is_file():
            yield path, f"there is no Python file {file.name} beside the scenario"


def _times_fit(spec: ScenarioSpec) -> Iterator[Finding]:
    days, warm_up = spec.days, spec.warm_up.days_from(spec.start)
    if not 1950 <= spec.start.year <= 2100:
        yield ("start",), f"{spec.start} is too far away; allowed are the years 1950 to 2100"
    if days <= 0:
        yield ("horizon",), "the horizon must be longer than nothing"
    if days > MAX_YEARS * units.DAYS_PER_YEAR:
        yield ("horizon",), f"the horizon is {days / units.DAYS_PER_YEAR:.0f} years; allowed are {MAX_YEARS}"
    if 0 < days <= warm_up:
        yield ("warm_up",), f"the warm-up ({warm_up:g} days) leaves nothing of the horizon ({days:g} days)"
    for name, source in spec.sources.items():
        if source.at and source.at < spec.start:
            yield ("sources", name, "at"), f"{source.at} is before the start, {spec.start}"


_TREE_CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    _names_exist,
    _goals_are_meant,
    _stage_names_are_allowed,
    _by_is_known,
    _conditions_can_be_read,
    _effects_can_apply,
    _chances_sum,
    _set_is_known,
    _deals_are_known,
)


# --- warnings ---------------------------------------------------------------------------------------------------------


def warnings_of(spec: ScenarioSpec) -> Iterator[str]:
    """What is allowed but probably not meant."""
    for name in unreachable(spec):
        yield f"stage '{name}' can't be reached from any source"
    busy = {stage.work.team for stage in spec.stages.values() if stage.work}
    for name, team in spec.teams.items():
        if name not in busy:
            yield f"team '{name}' has no work in any stage"
        if not member_names(name, spec):
            yield f"team '{name}' has no members: whoever needs it waits until patience or a limit ends it"
        if team.ramp is not None and not team.hired and not any(m.hired for m in team.members or ()):
            yield f"team '{name}' has a ramp but nobody's day of hire (hired:), so it changes nothing"
    filled = {rule.source for stage in spec.stages.values() for rule in stage.refers}
    for name, source in spec.sources.items():
        if source.rate is None and source.at is None and source.deals is None and name not in filled:
            yield f"source '{name}' brings nobody: it has no rate, list or deals, and no stage refers to it"
        if source.at and source.at >= spec.start + timedelta(days=spec.days):
            yield f"source '{name}' comes on {source.at}, after the horizon ends"
    if not any(stage.is_customer for stage in spec.stages.values()):
        yield "no stage books anything, so there are no wins; give one books: value, or customer: true"


def unreachable(spec: ScenarioSpec) -> list[str]:
    """The stages that no prospect can come to."""
    first = next(iter(spec.stages))
    todo = [source.enters or first for source in spec.sources.values()]
    todo += [deal.stage for source in spec.sources.values() for deal in source.deals or ()]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name not in spec.stages:
            continue
        seen.add(name)
        stage = spec.stages[name]
        todo += stage.exits
        todo += [stage.limit.to] if stage.limit else []
        todo += [stage.work.gives_up] if stage.work and stage.work.patience else []
        if isinstance(stage.route, tuple):
            todo += [rule.to for rule in stage.route]
        else:
            todo += spec.stages
    return [name for name in spec.stages if name not in seen]
