"""The JSON Schema of scenario files, and the reference page that is made from it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

from simfunnel.scenario import fields, spec
from simfunnel.scenario.conditions import FACTS
from simfunnel.scenario.spec import ORDERS, ScenarioSpec

TITLE = "simfunnel scenario"
_VARIANT = {
    "extends": {
        "type": "string",
        "description": "Another scenario file, which this one changes.",
        "examples": ["base.yaml"],
    },
    "override": {
        "type": "object",
        "description": "Changes laid over everything else; an empty value takes a key away.",
    },
}
_SHORT: dict[tuple[str, str], dict[str, Any]] = {
    ("StageSpec", "refers"): {"$ref": "#/$defs/ReferralSpec"},
    ("StageSpec", "route"): {"$ref": "#/$defs/RouteSpec"},
    ("EffectSpec", "on"): {"type": "string", "examples": ["quote -> customer", "quote"]},
    ("TeamSpec", "serves"): {"type": "string", "enum": list(ORDERS)},
    ("SourceSpec", "deals"): {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
}
"""Shorter ways of writing a key than the one that the spec holds in the end."""

_EXAMPLES: dict[str, dict[str, str]] = {
    "file": {
        "override": "{teams: {closer: {size: 6}}}",
        "name": "B2B software",
        "description": "Two reps qualify leads, three closers win them.",
        "currency": "EUR",
        "sources": "{website: {rate: 12 per day}, referral: {}}",
        "teams": "{closer: {size: 3}}",
        "stages": "{quote: {exits: {customer: {chance: 30%}, lost: {}}}, customer: {books: value}}",
        "effects": "[{when: {source: referral}, on: quote -> customer, odds: x1.8}]",
    },
    "effect": {"per": "100 in customer", "fades": "{from: 2026-11-02, half_life: 30 days}"},
    "limit": {"to": "lost"},
    "member": {"name": "Ana", "count": "4"},
    "opendeal": {"id": "D-1041", "stage": "quote", "member": "Ana"},
    "plugin": {"python": "rules.py:by_size"},
    "referral": {"source": "referral"},
    "route": {"to": "key_account"},
    "send": {"source": "second_product"},
    "source": {
        "size": "300",
        "deals": "[{id: D-1041, stage: quote, age: 12 days}]",
        "worked": "{team: reps, effort: 20 min, yields: 8%}",
        "enters": "quote",
    },
    "stage": {
        "work": "{team: closer, effort: 2 h, touches: 3, every: 4 days}",
        "exits": "{customer: {chance: 30%, after: 20 days}, lost: {after: 10 days}}",
        "limit": "{after: 120 days, to: lost}",
        "route": "[{when: {value: over 50k}, to: key_account}]",
        "customer": "true",
        "refers": "{number: {poisson: 0.4}, after: 60 days, source: referral, reward: 500}",
        "sends": "{number: 1, after: 90 days, source: second_product}",
    },
    "team": {"size": "3", "members": "[{name: Ana, skill: 1.2}, {count: 4}]"},
    "work": {"team": "closer", "touches": "3", "gives_up": "nursery"},
    "worked": {"team": "reps"},
}
"""An example of each key whose schema shows none: a name, a part of its own, or a text."""

_PREFACE = """\
# Scenario reference

Made from the schema by `python -m simfunnel.scenario.schema`; do not edit it by hand.

Times are written with a unit (`30 min`, `2 h`, `5 days`, `2 weeks`, `3 months`, `1 quarter`, `2 years`), work in `min`
or `h`, chances as `45%` or `0.45`, money as `12000`, `12k` or `3M`, factors as `x1.8`, `/7` or `+20%`. `A to B` is an
uncertain number: a central 90% interval, from which each replication draws its own.

A distribution is a plain quantity (always that), `{{exponential: 3 days}}`, any distribution of `scipy.stats` with its
own parameters or with figures (`{{lognormal: {{mean: 30 min, cv: 0.8}}}}`, `{{gamma: {{mean: 5 days, sd: 2 days}}}}`),
`{{empirical: [1 day, 3 days]}}` or `{{empirical: {{file: times.csv, column: days, unit: days}}}}`, or
`{{quantiles: {{0%: 1 day, 50%: 9 days, 100%: 60 days}}}}`.

A condition (`when`, `only`, `first`) names facts and the values that they may have: {facts}, any attribute, or
`in STAGE` (how many prospects are in that stage, or have come to that end, at the moment). A value is a name, a list of
names, or a range: `1 h to 24 h` (the end left out), `over 5`, `at least 3`, `under 3 days`, `up to 4`. `quarter_day`
takes `first 7`, `last 14` or `not first 7, not last 14`; `date` takes `2026-11-01 to 2026-12-15`, `from …` or
`until …`; `holiday` takes yes or no, by the scenario's `calendar`. An effect on `pace` lets the times of exits run
slower or faster on such days: `{{when: {{weekday: "Sat, Sun"}}, pace: x0.2}}`. One on `hazard` lets exits that fall due
on such days, or at such ages, not take place: `{{when: {{quarter_day: first 30, age: over 14 days}}, hazard: x0.1}}`.

Who is served next: {orders}."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of scenario files, `extends` and `override` included.

    One schema serves bases and variants: a file that extends another may leave out what the other says, take parts away
    with an empty value, and change items of a list by name or number. So only `simfunnel check` asks for inner keys.
    """
    found = _whole()
    return {**_loosened(found), "if": found["if"], "then": found["then"]}


def _loosened(node: Any) -> Any:
    """A schema that accepts variants too: no key required, lists also as maps, and everything also empty."""
    if isinstance(node, list):
        return [_loosened(child) for child in node]
    if not isinstance(node, Mapping):
        return node
    made = {key: _loosened(child) for key, child in node.items() if key != "required"}
    if "properties" in made:
        made["properties"] = {name: _or(part, {"type": "null"}) for name, part in made["properties"].items()}
    if isinstance(made.get("additionalProperties"), Mapping):
        made["additionalProperties"] = _or(made["additionalProperties"], {"type": "null"})
    return _or(made, {"type": "object"}) if "items" in made else made


def _or(part: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that accepts this or the other, told in the same words."""
    told = {key: part[key] for key in ("description", "default") if key in part}
    return {**told, "anyOf": [{key: child for key, child in part.items() if key not in told}, other]}


def _whole() -> dict[str, Any]:
    """The schema of a scenario that stands alone, each key told as a person writes it."""
    found = _documented(ScenarioSpec.model_json_schema(by_alias=True))
    required = found.pop("required", [])
    properties = {**_VARIANT, **found.pop("properties")}
    for (part, key), short in _SHORT.items():
        whole = found["$defs"][part]["properties"][key]
        told = {k: whole.pop(k) for k in ("description", "default") if k in whole}
        found["$defs"][part]["properties"][key] = {"anyOf": [short, *whole.get("anyOf", [whole])], **told}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **{k: v for k, v in found.items() if k not in ("title", "$defs")},
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
        "properties": properties,
        "$defs": found.get("$defs", {}),
    }


def _documented(found: dict[str, Any]) -> dict[str, Any]:
    """The schema with each field's documentation: the text under it in the source.

    Pydantic can do that for each class as it is made, but then every start of the program would wait for it.
    """
    for name, part in (("ScenarioSpec", found), *found.get("$defs", {}).items()):
        told = _told(name)
        for key, value in part.get("properties", {}).items():
            if key in told:
                part["properties"][key] = dict(sorted({**value, "description": told[key]}.items()))
    return found


def _told(name: str) -> dict[str, str]:
    """The documentation of a model's fields by key, those that it inherits included."""
    model: type[fields.Spec] = getattr(spec, name, None) or getattr(fields, name)
    told = {}
    for part in reversed(model.__mro__):
        for field, text in _texts_under_fields(inspect.getmodule(part)).get(part.__name__, {}).items():
            if field in model.model_fields:
                told[model.model_fields[field].alias or field] = text
    return told


@cache
def _texts_under_fields(module: ModuleType) -> dict[str, dict[str, str]]:
    """Class -> field -> the text under it in a module of scenario parts; nothing for others, or without sources."""
    if module not in (spec, fields):
        return {}
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:  # installed without its sources
        return {}
    return {
        node.name: {
            field.target.id: inspect.cleandoc(text.value.value)
            for field, text in pairwise(node.body)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def reference() -> str:
    """The scenario reference as a Markdown page: every key with its meaning and examples."""
    whole = _whole()
    needed = whole["then"]["required"]
    facts = ", ".join(f"`{fact}`" for fact in FACTS if fact != "quarter_days_left")
    lines = [
        *_PREFACE.format(facts=facts, orders=", ".join(f"`{order}`" for order in ORDERS)).splitlines(),
        "",
        "## The file",
        "",
        *_table("file", whole["properties"], needed),
    ]
    for name, part in whole["$defs"].items():
        if part.get("properties"):
            lines += ["", f"## {_heading(name)}", "", part.get("description", "").strip(), ""]
            lines += _table(_heading(name), part["properties"], part.get("required", []))
    return "\n".join(lines).rstrip() + "\n"


def _heading(name: str) -> str:
    return name.removesuffix("Spec").lower()


def _table(part: str, properties: Mapping[str, Any], required: list[str]) -> Iterator[str]:
    yield "| key | meaning | written |"
    yield "| --- | --- | --- |"
    for key, told in properties.items():
        must = " (required)" if key in required else ""
        meaning = " ".join(str(told.get("description", "")).split()).replace("|", "\\|")
        example = _EXAMPLES.get(part, {}).get(key)
        written = f"`{example}`" if example else _form(told)
        link = _link(told)
        yield f"| `{key}`{must} | {meaning} | {written}{f'; see {link}' if link else ''} |"


def _form(told: Mapping[str, Any]) -> str:
    """How a key is written: examples of it."""
    examples = [e for e in _found(told, "examples") for e in e]
    choices = [c for found in _found(told, "enum") for c in found]
    shown = [f"`{_plain(x)}`" for x in [*choices, *examples][:4]]
    kind = next(iter(_found(told, "type")), "")
    kinds = {"integer": "a whole number", "boolean": "true or false", "string": "a text"}
    return ", ".join(shown) or ("a name" if isinstance(kind, list) else kinds.get(str(kind), ""))


def _link(told: Mapping[str, Any]) -> str:
    """Where the part that a key holds is told; nothing where it shows itself."""
    link = next(_links(told), None)
    if not link or _found_first(told, "enum"):
        return ""
    name = _heading(link.rpartition("/")[2])
    return f"[{name}](#{name})"


def _found_first(node: Any, key: str) -> Any:
    return next(_found(node, key), None)


def _plain(example: object) -> str:
    if isinstance(example, Mapping):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in example.items()) + "}"
    return str(example)


def _found(node: Any, key: str) -> Iterator[Any]:
    """Every value of a key in a tree."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            if name == key:
                yield child
            else:
                yield from _found(child, key)
    elif isinstance(node, list):
        for child in node:
            yield from _found(child, key)


def _links(node: Any) -> Iterator[str]:
    yield from (str(link) for link in _found(node, "$ref"))


def main() -> None:
    """Write docs/scenario.md and docs/scenario.schema.json."""
    import json
    from pathlib import Path

    Path("docs").mkdir(exist_ok=True)
    Path("docs/scenario.md").write_text(reference(), encoding="utf-8")
    Path("docs/scenario.schema.json").write_text(
        json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
