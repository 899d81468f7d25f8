"""What a scenario's parts must be to each other: names that must exist, chances that must sum, things that can't apply.

Each check is one small function in a table, works on the tree as it was written, and passes over parts whose form is
wrong (those are faults already), so that every fault of a file is told at once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simfunnel import units
from simfunnel.distributions import Distribution, read_distribution
from simfunnel.errors import InputError, nearest, not_among
from simfunnel.scenario.conditions import FACTS
from simfunnel.scenario.documents import Path_, read_text
from simfunnel.scenario.effect_checks import conditions_can_be_read, effects_can_apply
from simfunnel.scenario.fields import LOST, STAYS, Drawn
from simfunnel.scenario.spec import ScenarioSpec, StageSpec
from simfunnel.scenario.trees import (
    Finding,
    Tree,
    at,
    drawn_in,
    goals_in,
    is_broken,
    items_of,
    meant_stage,
    names_in,
    words_of,
)
from simfunnel.units import Uncertain

OTHER = "other"  # the case of all whom no case names
MAX_PROSPECTS = 100_000_000  # that one source may bring


def faults_of(tree: Tree, spec: ScenarioSpec | None, folder: Path) -> Iterator[Finding]:
    """Every fault between the parts of a scenario: (path, message)."""
    for check in _TREE_CHECKS:
        yield from check(tree)
    yield from _plugins_exist(tree, folder)
    if spec is not None:
        yield from _times_fit(spec)


# --- names ------------------------------------------------------------------------------------------------------------

_REFERENCES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("stages", "*", "work", "team"), "team", "teams"),
    (("sources", "*", "enters"), "stage", "stages"),
    (("sources", "*", "deals", "*", "stage"), "stage", "stages"),
    (("stages", "*", "refers", "source"), "source", "sources"),
    (("stages", "*", "refers", "*", "source"), "source", "sources"),
    (("stages", "*", "sends", "source"), "source", "sources"),
    (("stages", "*", "sends", "*", "source"), "source", "sources"),
    (("sources", "*", "worked", "team"), "team", "teams"),
)
"""Where a name stands, what it names, and under which key that is defined."""


def _names_exist(tree: Tree) -> Iterator[Finding]:
    for pattern, what, part in _REFERENCES:
        names = names_in(tree, part)
        for path, name in at(tree, *pattern):
            if isinstance(name, (str, int, float)) and str(name) not in names and not is_broken(tree, part):
                yield path, not_among(name, what, names)


def _goals_are_meant(tree: Tree) -> Iterator[Finding]:
    """A goal that is no stage is an end, unless it looks like a misspelt stage."""
    for path, goal in goals_in(tree):
        meant = meant_stage(goal, tree)
        if meant:
            yield path, f"'{goal}' is no stage. Did you mean '{meant}'? (An end needs a name that no stage resembles)"


def _names_are_allowed(tree: Tree) -> Iterator[Finding]:
    for name in names_in(tree, "stages"):
        if name in (STAYS, LOST) or "->" in name:
            yield ("stages", name), f"'{name}' can't be a stage's name: it has a meaning of its own"
    for name in names_in(tree, "attributes"):
        if name in FACTS:
            yield ("attributes", name), f"'{name}' can't be an attribute's name: every prospect has it already"
    for part in ("attributes", "sources", "teams", "stages"):
        for name in names_in(tree, part):
            if not name or name != name.strip():
                yield (part, name), f"'{name}' can't be a name: it is empty, or has blanks around it"


def _members_have_names_of_their_own(tree: Tree) -> Iterator[Finding]:
    """No two members of all teams may share a name; the numbered names are ours to choose, so only given ones count."""
    seen: set[str] = set()
    for path, name in at(tree, "teams", "*", "members", "*", "name"):
        if str(name) in seen:
            yield path, f"two members are called '{name}'"
        seen.add(str(name))


def _by_is_known(tree: Tree) -> Iterator[Finding]:
    """`by` looks at the source or an attribute drawn before, and its cases name values of it."""
    before: dict[str, tuple[str, ...] | None] = {"source": tuple(names_in(tree, "sources"))}
    drawn = drawn_in(tree)
    unread = {name for name, found in drawn.items() if found is None}
    unread |= {"source"} if is_broken(tree, "sources") else set()
    parts = [(("attributes", name), node) for name, node in items_of(tree.get("attributes"))]
    for path, node in [*parts, (("value",), tree.get("value"))]:
        by = str(node["by"]) if isinstance(node, Mapping) and "by" in node and _has_cases(node) else None
        if by is not None and by not in unread and not is_broken(tree, "attributes"):
            yield from _cases_are_known(path, node, by, before)
        found = drawn.get(path[-1])
        if found is not None:
            before[path[-1]] = found.levels


def _has_cases(node: Tree) -> bool:
    return isinstance(node.get("cases"), Mapping)


def _cases_are_known(
    path: Path_, node: Tree, by: str, before: Mapping[str, tuple[str, ...] | None]
) -> Iterator[Finding]:
    if by not in before:
        yield (*path, "by"), not_among(by, "source or attribute written above", list(before))
        return
    levels = before[by]
    if levels is None:
        yield (*path, "by"), f"'{by}' is a number; only categories can choose a case"
        return
    cases = names_in(node, "cases")
    for case in cases:
        if case not in levels and case != OTHER:
            yield (*path, "cases", case), not_among(case, by, [*levels, OTHER])
    meant = {nearest(case, [*levels, OTHER]) for case in cases if case not in levels}
    missing = [level for level in levels if level not in cases and level not in meant]
    if missing and OTHER not in (*cases, *meant):
        yield (*path, "cases"), f"no case for {', '.join(missing)}; add it, or other:"


# --- stages -----------------------------------------------------------------------------------------------------------


def _chances_sum(tree: Tree) -> Iterator[Finding]:
    for name, node in items_of(tree.get("stages")):
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


def _nobody_goes_round_for_ever(tree: Tree) -> Iterator[Finding]:
    """No stages may hand a prospect round and round in no time; each such stage is named."""
    instant: dict[str, set[str]] = {}
    for name, node in items_of(tree.get("stages")):
        try:
            stage = StageSpec.model_validate(node if node is not None else {})
        except ValidationError:
            return
        ways = [way for way in stage.exits.values() if way.chance != 0]
        always = [rule.to for rule in stage.route if not rule.when] if isinstance(stage.route, tuple) else []
        if always:
            instant[name] = set(always[:1])
        elif (
            ways
            and all(_is_nothing(way.after) for way in ways)
            and (not stage.work or _is_nothing(stage.work.effort or stage.work.every))
        ):
            instant[name] = {goal for goal, way in stage.exits.items() if way in ways}
    while leaving := [name for name, goals in instant.items() if not goals <= set(instant)]:
        for name in leaving:
            del instant[name]
    for name in instant:
        round_ = " and ".join(instant)
        yield (
            ("stages", name),
            f"a prospect would go round for ever, in no time, in {round_}; give an exit a time (after:)",
        )


def _is_nothing(distribution: Distribution) -> bool:
    return distribution.is_constant and distribution.mean() == 0


def _rounds_take_time(tree: Tree) -> Iterator[Finding]:
    patterns = [("stages", "*", key, *item, "every") for key in ("refers", "sends") for item in ((), ("*",))]
    for pattern in patterns:
        for path, every in at(tree, *pattern):
            try:
                found = read_distribution(every, units.read_duration, floor=0.0)
            except ValueError:
                continue
            if found.mean() <= 0:
                yield path, "rounds that follow each other at once would never end; give a time above 0"


def _set_is_known(tree: Tree) -> Iterator[Finding]:
    drawn = drawn_in(tree)
    for path, changes in at(tree, "stages", "*", "exits", "*", "set"):
        for name, value in items_of(changes):
            problem = _level_problem(name, value, drawn)
            if problem and not is_broken(tree, "attributes"):
                yield (*path, name), problem


def _level_problem(name: str, value: Any, drawn: Mapping[str, Drawn | None]) -> str:
    """What is wrong with a value for an attribute, or an empty text."""
    if name not in drawn:
        return not_among(name, "attribute", drawn)
    attribute = drawn[name]
    if attribute is None or isinstance(value, (list, Mapping)) or value is None:
        return ""  # a fault already
    if attribute.levels is None:
        try:
            is_number = isinstance(units.read_number(value), float)
        except ValueError:
            is_number = False
        return "" if is_number else f"{name} is a number, '{value}' is none"
    return "" if str(value) in attribute.levels else not_among(value, f"value of {name}", attribute.levels)


def _deals_are_known(tree: Tree) -> Iterator[Finding]:
    """Deals have names of their own, owners who exist, and attributes that exist."""
    drawn = drawn_in(tree)
    words, unread = words_of(tree)
    for source, deals in at(tree, "sources", "*", "deals"):
        seen: set[str] = set()
        for k, deal in enumerate(deals if isinstance(deals, list) else []):
            if not isinstance(deal, Mapping):
                continue
            name, member = str(deal.get("id")), deal.get("member")
            if name in seen:
                yield (*source, k, "id"), f"two deals are called '{name}'"
            seen.add(name)
            is_name = isinstance(member, (str, int, float))
            if is_name and "member" not in unread and str(member) not in words.members:
                yield (*source, k, "member"), f"deal {name}: {not_among(member, 'member', words.members)}"
            for attribute, value in items_of(deal.get("attributes")):
                problem = _level_problem(attribute, value, drawn)
                if problem and not is_broken(tree, "attributes"):
                    yield (*source, k, "attributes", attribute), f"deal {name}: {problem}"


# --- the rest ---------------------------------------------------------------------------------------------------------


def _plugins_exist(tree: Tree, folder: Path) -> Iterator[Finding]:
    for path, text in at(tree, "stages", "*", "route", "python"):
        file, _, function = str(text).partition(":")
        try:
            body = ast.parse(read_text(folder / file)).body
        except InputError as error:
            yield path, str(error)
            continue
        except (SyntaxError, ValueError) as error:
            yield path, f"{file} is no Python file: {error}"
            continue
        names = [one.name for one in body if isinstance(one, ast.FunctionDef)]
        if function and function not in names:
            yield path, not_among(function, f"function in {file}", names)


def _times_fit(spec: ScenarioSpec) -> Iterator[Finding]:
    days, warm_up = spec.days, spec.warm_up.days_from(spec.start)
    if spec.target is not None and units.middle(spec.target) <= 0:
        yield ("target",), "bookings wanted in a quarter must be above 0; leave the key out where none are wanted"
    if days <= 0:
        yield ("horizon",), "the horizon must be longer than nothing"
    if 0 < days <= warm_up:
        yield ("warm_up",), f"the warm-up ({warm_up:g} days) leaves nothing of the horizon ({days:g} days)"
    for name, source in spec.sources.items():
        if source.at and source.at < spec.start:
            yield ("sources", name, "at"), f"{source.at} is before the start, {spec.start}"
        rates = [units.middle(rate.per_day) for _, rate in source.rate.steps] if source.rate else []
        if days * max(rates, default=0.0) > MAX_PROSPECTS:
            many = f"{days * max(rates):,.0f} prospects over the horizon; allowed are {MAX_PROSPECTS:,}"
            yield ("sources", name, "rate"), f"that would be {many}"


_TREE_CHECKS: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    _names_exist,
    _goals_are_meant,
    _names_are_allowed,
    _members_have_names_of_their_own,
    _by_is_known,
    conditions_can_be_read,
    effects_can_apply,
    _chances_sum,
    _nobody_goes_round_for_ever,
    _rounds_take_time,
    _set_is_known,
    _deals_are_known,
)
