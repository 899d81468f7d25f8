"""What conditions may name, and which effects can apply to what they are put on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simfunnel import units
from simfunnel.errors import not_among
from simfunnel.scenario.conditions import COUNTED, DATED, FACTS, STOCK, Vocabulary, read_clauses, read_per
from simfunnel.scenario.documents import Path_
from simfunnel.scenario.fields import STAYS
from simfunnel.scenario.spec import FACTORS
from simfunnel.scenario.trees import Finding, Tree, at, is_broken, items_of, meant_stage, names_in, words_of

_CONDITIONS = (
    ("effects", "*", "when"),
    ("teams", "*", "serves", "first", "*"),
    ("teams", "*", "members", "*", "only"),
    ("stages", "*", "route", "*", "when"),
    ("stages", "*", "route", "when"),
)


_OF_ARRIVALS = {"rate", "at", "weekday", "season"}
"""What a source has that brings prospects; that the last two need a rate is said elsewhere."""


def conditions_can_be_read(tree: Tree) -> Iterator[Finding]:
    """What a condition names exists, and is asked for something that it can be."""
    words, unread = words_of(tree)
    for pattern in _CONDITIONS:
        for path, when in at(tree, *pattern):
            for name, wanted in items_of(when):
                if name in unread or (is_broken(tree, "attributes") and name not in FACTS):
                    continue
                try:
                    read_clauses(name, wanted, words)
                except ValueError as error:
                    yield (*path, name), str(error)


def effects_can_apply(tree: Tree) -> Iterator[Finding]:
    """An effect is put on something that it can change, and goes by what is known there."""
    if is_broken(tree, "stages") or is_broken(tree, "sources"):
        return
    words, _ = words_of(tree)
    for path, effect in at(tree, "effects", "*"):
        if not isinstance(effect, Mapping):
            continue
        places, changes = effect.get("on", []), set(FACTORS) & set(effect)
        for place in [places] if isinstance(places, str) else places if isinstance(places, list) else []:
            problem = _place_problem(place, effect, tree) if isinstance(place, str) and changes else ""
            if problem:
                yield (*path, "on"), problem
        if "arrivals" in effect:
            yield from _arrivals_problems(path, effect, words)
        if "pace" in effect:
            yield from _pace_problems(path, effect, words)
        if "hazard" in effect and _is_by_stock(effect):
            yield (
                path,
                "an effect on hazard looks ahead to when an exit falls due, and can't know 'in STAGE' then",
            )
        if isinstance(effect.get("per"), str):
            problem = _per_problem(effect["per"], effect, words)
            if problem:
                yield (*path, "per"), problem


def _arrivals_problems(path: Path_, effect: Tree, words: Vocabulary) -> Iterator[Finding]:
    """Arrivals know the date and the stocks, for there is no prospect yet; what grows with a stock needs a bound."""
    for name, _ in items_of(effect.get("when")):
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
    for name, _ in items_of(effect.get("when")):
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
    names = [*(name for name, _ in items_of(effect.get("when"))), *([_per_fact(per)] if isinstance(per, str) else [])]
    return any(str(name).startswith(STOCK) for name in names)


def _place_problem(place: str, effect: Tree, tree: Tree) -> str:
    """What is wrong with the place of an effect, or an empty text."""
    stages, sources = names_in(tree, "stages"), names_in(tree, "sources")
    if "arrivals" in effect:
        source = tree["sources"][place] if place in sources else {}
        without = isinstance(source, Mapping) and source and not _OF_ARRIVALS & set(source)
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
    if not isinstance(node, Mapping) or is_broken(node, "exits"):
        return ""
    written = [e for e in names_in(node, "exits") if e != STAYS]
    exits = [meant_stage(e, tree) or e for e in written]  # of a misspelt one that is said elsewhere
    if arrow and goal not in (*written, *exits):
        return not_among(goal, f"exit of {stage}", exits)
    if arrow and ("effort" in effect or "patience" in effect):
        return f"effort and patience belong to a stage; write on: {stage}"
    forward = stages[stages.index(stage) + 1 :]
    if not arrow and "odds" in effect and not set(forward) & set(exits):
        return f"{stage} has no exit forward whose odds could change; name an exit: {', '.join(exits) or 'it has none'}"
    if arrow and "referrals" in effect:
        return f"referrals belong to a stage; write on: {stage}"
    work = node.get("work", {})
    if _is_unclear(work):
        return ""
    if ("effort" in effect or "patience" in effect) and not (isinstance(work, Mapping) and work.get("team")):
        return f"{stage} has no work of a team, so this effect can never apply"
    problem = _never_applies(effect, work)
    if problem:
        return problem
    if "patience" in effect and isinstance(work, Mapping) and "patience" not in work:
        return f"nobody loses patience in {stage} (its work has none), so this effect can never apply"
    return ""


def _is_unclear(work: Any) -> bool:
    """Whether it has been said that this is no work, or that it lacks its team."""
    if isinstance(work, Mapping):
        return not work.get("team") and bool({"effort", "patience"} & set(work))
    return work is not None


def _never_applies(effect: Tree, work: Any) -> str:
    """Why a condition on the work of a stage can never hold, or an empty text."""
    when = dict(items_of(effect.get("when")))
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
