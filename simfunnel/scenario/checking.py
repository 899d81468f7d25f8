"""What a scenario's parts must be to each other: names that must exist, chances that must sum, things that can't apply.

Each check is one small function in a table, works on the tree as it was written, and passes over parts whose form is
wrong (those are faults already), so that every fault of a file is told at once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from simfunnel import units
from simfunnel.distributions import Distribution, read_distribution
from simfunnel.errors import InputError, nearest, not_among
from simfunnel.scenario.conditions import (
    COUNTED,
    DATED,
    FACTS,
    STOCK,
    Vocabulary,
    member_names,
    read_clause,
    read_per,
)
from simfunnel.scenario.documents import Path_, read_text
from simfunnel.scenario.fields import LOST, STAYS, AttributeSpec, Drawn
from simfunnel.scenario.spec import ScenarioSpec, StageSpec, TeamSpec
from simfunnel.units import Uncertain

Finding = tuple[Path_, str]
Tree = Mapping[str, Any]
MAX_PROSPECTS = 100_000_000  # that one source may bring


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


def _items(node: Any) -> list[tuple[str, Any]]:
    return list(node.items()) if isinstance(node, Mapping) else []


def _is_broken(tree: Tree, part: str) -> bool:
    """Whether a part holds no keys where it should, so that nothing can be said of the names in it."""
    return tree.get(part) is not None and not isinstance(tree[part], Mapping)


def _drawn(tree: Tree) -> dict[str, Drawn | None]:
    """The attributes, None for those that can't be read."""
    return {name: _parsed_drawn(node) for name, node in _items(tree.get("attributes"))}


def _parsed_drawn(node: Any) -> Drawn | None:
    try:
        found: Drawn = TypeAdapter(AttributeSpec).validate_python(node)
    except ValidationError:
        return None
    return found


def _teams(tree: Tree) -> dict[str, TeamSpec | None]:
    """The teams, None for those that can't be read."""
    found: dict[str, TeamSpec | None] = {}
    for name, node in _items(tree.get("teams")):
        try:
            found[name] = TeamSpec.model_validate(node)
        except ValidationError:
            found[name] = None
    return found


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
            if isinstance(name, (str, int, float)) and str(name) not in names and not _is_broken(tree, part):
                yield path, not_among(name, what, names)


def _goals(tree: Tree) -> list[tuple[Path_, Any]]:
    """Every stage or end that is named as a goal."""
    goals = [(path, path[-1]) for path, _ in _at(tree, "stages", "*", "exits", "*")]
    return goals + [found for pattern in _GOALS for found in _at(tree, *pattern)]


def _ends(tree: Tree) -> tuple[str, ...]:
    """The ends: goals that are no stages, and `lost` where a limit or impatience leads there unsaid."""
    goals = [str(goal) for _, goal in _goals(tree)]
    for pattern, said in ((("stages", "*", "limit"), "to"), (("stages", "*", "work"), "gives_up")):
        parts = [part for _, part in _at(tree, *pattern) if isinstance(part, Mapping)]
        goals += [LOST for part in parts if said not in part and (said == "to" or "patience" in part)]
    return tuple(dict.fromkeys(goal for goal in goals if goal not in (*_names(tree, "stages"), STAYS)))


def _goals_are_meant(tree: Tree) -> Iterator[Finding]:
    """A goal that is no stage is an end, unless it looks like a misspelt stage."""
    stages = _names(tree, "stages")
    for path, goal in _goals(tree):
        if not isinstance(goal, str) or goal in stages or goal in (STAYS, LOST):
            continue
        meant = nearest(goal, [stage for stage in stages if abs(len(stage) - len(goal)) <= 1], cutoff=0.8)
        if meant:  # a stage may be `qualified` and an end `disqualified`
            yield path, f"'{goal}' is no stage. Did you mean '{meant}'? (An end needs a name that no stage resembles)"


def _names_are_allowed(tree: Tree) -> Iterator[Finding]:
    for name in _names(tree, "stages"):
        if name in (STAYS, LOST) or "->" in name:
            yield ("stages", name), f"'{name}' can't be a stage's name: it has a meaning of its own"
    for name in _names(tree, "attributes"):
        if name in FACTS:
            yield ("attributes", name), f"'{name}' can't be an attribute's name: every prospect has it already"
    for part in ("attributes", "sources", "teams", "stages"):
        for name in _names(tree, part):
            if not name or name != name.strip():
                yield (part, name), f"'{name}' can't be a name: it is empty, or has blanks around it"


def _members_have_names_of_their_own(tree: Tree) -> Iterator[Finding]:
    """No two members of all teams may share a name; the numbered names are ours to choose, so only given ones count."""
    seen: set[str] = set()
    for path, name in _at(tree, "teams", "*", "members", "*", "name"):
        if str(name) in seen:
            yield path, f"two members are called '{name}'"
        seen.add(str(name))


def _by_is_known(tree: Tree) -> Iterator[Finding]:
    """`by` looks at the source or an attribute drawn before, and its cases name values of it."""
    before: dict[str, tuple[str, ...] | None] = {"source": tuple(_names(tree, "sources"))}
    drawn = _drawn(tree)
    unread = {name for name, found in drawn.items() if found is None}
    unread |= {"source"} if _is_broken(tree, "sources") else set()
    parts = [(("attributes", name), node) for name, node in _items(tree.get("attributes"))]
    for path, node in [*parts, (("value",), tree.get("value"))]:
        by = str(node["by"]) if isinstance(node, Mapping) and "by" in node else None
        if by is not None and by not in unread and not _is_broken(tree, "attributes"):
            yield from _cases_are_known(path, node, by, before)
        found = drawn.get(path[-1])
        if found is not None:
            before[path[-1]] = found.levels


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
    cases = _names(node, "cases")
    for case in cases:
        if case not in levels and case != "other":
            yield (*path, "cases", case), not_among(case, by, levels)
    missing = [level for level in levels if level not in cases]
    if missing and "other" not in cases:
        yield (*path, "cases"), f"no case for {', '.join(missing)}; add it, or other:"


# --- conditions and effects -------------------------------------------------------------------------------------------


def _words_of(tree: Tree) -> tuple[Vocabulary, set[str]]:
    """What conditions may name, as far as the tree can be read, and the facts of which too little is known."""
    teams, drawn = _teams(tree), _drawn(tree)
    read = {name: team for name, team in teams.items() if team is not None}
    try:
        start = date.fromisoformat(str(tree.get("start")))
    except ValueError:
        start = date(2000, 1, 1)
    words = Vocabulary(
        sources=tuple(_names(tree, "sources")),
        stages=tuple(_names(tree, "stages")),
        members=tuple(n for name in read for n in member_names(name, ScenarioSpec.model_construct(teams=read))),
        attributes={name: found.levels if found else None for name, found in drawn.items()},
        start=start,
        ends=_ends(tree),
    )
    unread = {name for name, found in drawn.items() if found is None}
    unread |= {fact for fact, part in (("source", "sources"), ("stage", "stages")) if _is_broken(tree, part)}
    if len(read) < len(teams) or _is_broken(tree, "teams"):
        unread.add("member")
    return words, unread


_CONDITIONS = (
    ("effects", "*", "when"),
    ("teams", "*", "serves", "first", "*"),
    ("teams", "*", "members", "*", "only"),
    ("stages", "*", "route", "*", "when"),
    ("stages", "*", "route", "when"),
)


def _conditions_can_be_read(tree: Tree) -> Iterator[Finding]:
    words, unread = _words_of(tree)
    for pattern in _CONDITIONS:
        for path, when in _at(tree, *pattern):
            for name, wanted in _items(when):
                if name in unread or (_is_broken(tree, "attributes") and name not in FACTS):
                    continue
                try:
                    read_clause(name, wanted, words)
                except ValueError as error:
                    yield (*path, name), str(error)


def _effects_can_apply(tree: Tree) -> Iterator[Finding]:
    if _is_broken(tree, "stages") or _is_broken(tree, "sources"):
        return
    words, _ = _words_of(tree)
    for path, effect in _at(tree, "effects", "*"):
        if not isinstance(effect, Mapping):
            continue
        places = effect.get("on", [])
        for place in [places] if isinstance(places, str) else places if isinstance(places, list) else []:
            problem = _place_problem(str(place), effect, tree)
            if problem:
                yield (*path, "on"), problem
        if "arrivals" in effect:
            yield from _arrivals_problems(path, effect, words)
        if "pace" in effect:
            yield from _pace_problems(path, effect, words)
        if isinstance(effect.get("per"), str):
            problem = _per_problem(effect["per"], effect, words)
            if problem:
                yield (*path, "per"), problem


def _arrivals_problems(path: Path_, effect: Tree, words: Vocabulary) -> Iterator[Finding]:
    """Arrivals know the date and the stocks, for there is no prospect yet; what grows with a stock needs a bound."""
    for name, _ in _items(effect.get("when")):
        if name not in DATED and not words.is_stock(name) and _is_known(name, words):
            allowed = ", ".join(n for n in DATED if n != "quarter_days_left")
            yield (
                (*path, "when", name),
                f"an effect on arrivals can look at the date ({allowed}) and at 'in STAGE' only, not {name}",
            )
    per = effect.get("per")
    if per is None:
        return
    if not words.is_stock(_per_fact(str(per))):
        yield (*path, "per"), f"an effect on arrivals can grow with 'in STAGE' only, not with '{per}'"
    try:
        factor = units.middle(units.read_factor(effect["arrivals"]))
    except ValueError:
        return
    if factor > 1 and "most" not in effect:
        yield path, "arrivals that grow with a stock need a ceiling; add for example most: x3"


def _pace_problems(path: Path_, effect: Tree, words: Vocabulary) -> Iterator[Finding]:
    """The pace of time is the same for everyone."""
    for name, _ in _items(effect.get("when")):
        if name not in DATED and _is_known(name, words):
            allowed = ", ".join(n for n in DATED if n != "quarter_days_left")
            yield (*path, "when", name), f"an effect on pace can look at the date ({allowed}) only, not {name}"
    if "per" in effect:
        yield (*path, "per"), "an effect on pace is the same for everyone, so it has no per"


def _is_known(name: str, words: Vocabulary) -> bool:
    """Whether there is such a fact or attribute; where there is none, that has been said."""
    return name in FACTS or name in words.attributes or words.is_stock(name)


def _per_fact(text: str) -> str:
    try:
        return read_per(text)[1]
    except ValueError:
        return ""


def _per_problem(text: str, effect: Tree, words: Vocabulary) -> str:
    """What is wrong with what an effect counts, or an empty text."""
    try:
        _, name = read_per(text)
    except ValueError as error:
        return str(error)
    if words.is_stock(name):
        place = name.removeprefix(STOCK)
        places = (*words.stages, *words.ends)
        return "" if place in places else not_among(place, "stage or end", places)
    if words.attributes.get(name, ()) is not None and name in words.attributes:
        return f"'{name}' is a category, which can't be counted; say which in when:"
    if name not in COUNTED and name not in words.attributes:
        numbers = [attribute for attribute, levels in words.attributes.items() if levels is None]
        return not_among(name, "amount", [*COUNTED, *numbers, "in STAGE"])
    if name in ("touches", "visits", "waited", "age", "value") and "value" in effect:
        return "a value is drawn at birth, before any touch, visit or wait"
    return ""


def _is_by_stock(effect: Tree) -> bool:
    """Whether an effect looks at how many are somewhere."""
    per = effect.get("per")
    names = [*(name for name, _ in _items(effect.get("when"))), *([_per_fact(per)] if isinstance(per, str) else [])]
    return any(str(name).startswith(STOCK) for name in names)


def _place_problem(place: str, effect: Tree, tree: Tree) -> str:
    """What is wrong with the place of an effect, or an empty text."""
    stages, sources = _names(tree, "stages"), _names(tree, "sources")
    if "arrivals" in effect:
        source = tree["sources"][place] if place in sources else {}
        without = isinstance(source, Mapping) and source and not {"rate", "at"} & set(source)
        by_date = isinstance(source, Mapping) and "at" in source and not _is_by_stock(effect)
        missing = f"{place} has no rate, so this effect can never apply" if without or by_date else ""
        return missing if place in sources else not_among(place, "source", sources)
    if "value" in effect:
        return "an effect on value acts at birth; say who in when:, and leave out on:"
    if "referrals" in effect and place in stages:
        node = tree["stages"][place] or {}
        brings = not isinstance(node, Mapping) or {"refers", "sends"} & set(node)
        return "" if brings else f"{place} neither refers nor sends anyone, so this effect can never apply"
    stage, arrow, goal = (part.strip() for part in place.partition("->"))
    if stage not in stages:
        return not_among(stage, "stage", stages)
    node = tree["stages"][stage] or {}
    if not isinstance(node, Mapping) or _is_broken(node, "exits"):
        return ""
    exits = [e for e in _names(node, "exits") if e != STAYS]
    if arrow and goal not in exits:
        return not_among(goal, f"exit of {stage}", exits)
    if arrow and ("effort" in effect or "patience" in effect):
        return f"effort and patience belong to a stage; write on: {stage}"
    if not arrow and "odds" in effect and not any(e in stages and stages.index(e) > stages.index(stage) for e in exits):
        return f"{stage} has no exit forward whose odds could change; name an exit: {', '.join(exits) or 'it has none'}"
    if arrow and "referrals" in effect:
        return f"referrals belong to a stage; write on: {stage}"
    work = node.get("work", {})
    if ("effort" in effect or "patience" in effect) and not (isinstance(work, Mapping) and work.get("team")):
        return f"{stage} has no work of a team, so this effect can never apply"
    problem = _never_applies(effect, work)
    if problem:
        return problem
    if "patience" in effect and isinstance(work, Mapping) and "patience" not in work:
        return f"nobody loses patience in {stage} (its work has none), so this effect can never apply"
    return ""


def _never_applies(effect: Tree, work: Any) -> str:
    """Why a condition on the work of a stage can never hold, or an empty text."""
    when = dict(_items(effect.get("when")))
    per = _per_fact(str(effect["per"])) if isinstance(effect.get("per"), str) else ""
    if per == "touches" and not work:
        return "there is no work here, so nobody is touched and this effect can never apply"
    if isinstance(work, Mapping) and work.get("team"):
        return ""
    if per == "waited" or ("waited" in when and not _takes_zero(when["waited"])):
        return "nobody waits for a team here, so an effect of waiting can never apply"
    return ""


def _takes_zero(waited: Any) -> bool:
    """Whether a condition on waiting holds for those who have not waited."""
    try:
        found = [
            units.read_interval(x, units.read_duration) for x in (waited if isinstance(waited, list) else [waited])
        ]
    except ValueError:
        return True  # a fault already
    return any(interval.low <= 0 < interval.high for interval in found)


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


def _nobody_goes_round_for_ever(tree: Tree) -> Iterator[Finding]:
    """No stages may hand a prospect round and round in no time; each such stage is named."""
    instant: dict[str, set[str]] = {}
    for name, node in _items(tree.get("stages")):
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
        for path, every in _at(tree, *pattern):
            try:
                found = read_distribution(every, units.read_duration, floor=0.0)
            except ValueError:
                continue
            if found.mean() <= 0:
                yield path, "rounds that follow each other at once would never end; give a time above 0"


def _set_is_known(tree: Tree) -> Iterator[Finding]:
    drawn = _drawn(tree)
    for path, changes in _at(tree, "stages", "*", "exits", "*", "set"):
        for name, value in _items(changes):
            problem = _level_problem(name, value, drawn)
            if problem and not _is_broken(tree, "attributes"):
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
    drawn = _drawn(tree)
    words, unread = _words_of(tree)
    for source, deals in _at(tree, "sources", "*", "deals"):
        seen: set[str] = set()
        for k, deal in enumerate(deals if isinstance(deals, list) else []):
            if not isinstance(deal, Mapping):
                continue
            name, member = str(deal.get("id")), deal.get("member")
            if name in seen:
                yield (*source, k, "id"), f"two deals are called '{name}'"
            seen.add(name)
            if member is not None and "member" not in unread and str(member) not in words.members:
                yield (*source, k, "member"), f"deal {name}: {not_among(member, 'member', words.members)}"
            for attribute, value in _items(deal.get("attributes")):
                problem = _level_problem(attribute, value, drawn)
                if problem and not _is_broken(tree, "attributes"):
                    yield (*source, k, "attributes", attribute), f"deal {name}: {problem}"


# --- the rest ---------------------------------------------------------------------------------------------------------


def _plugins_exist(tree: Tree, folder: Path) -> Iterator[Finding]:
    for path, text in _at(tree, "stages", "*", "route", "python"):
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
    _conditions_can_be_read,
    _effects_can_apply,
    _chances_sum,
    _nobody_goes_round_for_ever,
    _rounds_take_time,
    _set_is_known,
    _deals_are_known,
)
