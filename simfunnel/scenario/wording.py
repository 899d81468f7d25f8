"""Pydantic's findings in our own words, with the place, what is allowed, and what was probably meant."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from simfunnel.errors import Fault, not_among
from simfunnel.scenario.documents import Document
from simfunnel.units import shown

_SCALARS = ("string_type", "int_type", "int_parsing", "float_type", "float_parsing")


def shape_faults(error: ValidationError, document: Document, model: type[BaseModel]) -> Iterator[Fault]:
    """The faults of a document's form against a model, placed and in our own words.

    A value that fits none of several kinds is told once, as not being of the first.
    """
    told: set[str] = set()
    for detail in error.errors(include_url=False):
        inside = getattr(detail.get("ctx", {}).get("error"), "inside", ())
        fault = document.fault((*detail["loc"], *inside), _in_words(dict(detail), model))
        if detail["type"] in _SCALARS and fault.path in told:
            continue
        told |= {fault.path} if detail["type"] in _SCALARS else set()
        yield fault


def _in_words(detail: dict[str, Any], root: type[BaseModel]) -> str:
    kind, value, loc = detail["type"], detail.get("input"), detail["loc"]
    context = detail.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return key_fault(root, loc)
        case "missing":
            return f"'{loc[-1]}' is missing"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"{shown(value)} is not allowed; allowed: {context['expected']}"
        case "string_pattern_mismatch" if loc[-1] == "currency":
            return f"{shown(value)} is no currency code; write three capital letters, such as USD"
        case "string_pattern_mismatch" if loc[-1] == "python":
            return f"{shown(value)} is no function in a file; write for example 'routing.py:choose'"
        case "model_type" | "dict_type" | "model_attributes_type":
            keys = keys_at(root, loc)
            return f"{shown(value)} must hold keys" + (f": {', '.join(keys)}" if keys else " with values")
        case "tuple_type" | "list_type":
            return f"{shown(value)} is no list; write for example [first, second], or a line with a dash for each"
        case "string_type":
            return f"{shown(value)} is no text; put it in quotes if it is meant as one"
        case "bool_type" | "bool_parsing":
            return f"{shown(value)} is neither true nor false"
        case "greater_than_equal":
            return f"{shown(value)} is too small; the least is {context['ge']:,}"
        case "less_than_equal":
            return f"{shown(value)} is too large; the most is {context['le']:,}"
        case "too_short" | "string_too_short":
            return "is empty; at least one is needed" if kind == "too_short" else "is empty"
    return f"{shown(value)}: {detail['msg'].removeprefix('Input ')}"


def key_fault(root: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    """What to say of a key that does not exist where it stands."""
    return not_among(loc[-1], "key here", keys_at(root, loc[:-1]))


def keys_at(root: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that a file may have at this place."""
    here: Any = root
    for part in loc:
        here = _inside(here, part)
    model = next((kind for kind in _kinds(here) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    top = getattr(root, "VARIANT_KEYS", ()) if not loc else ()
    return [*(f.alias or n for n, f in model.model_fields.items()), *top] if model else []


def _inside(annotation: Any, part: str | int) -> Any:
    """What stands under a key or in a list of what an annotation means; itself for pydantic's own parts of a path."""
    for kind in _kinds(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            named = {f.alias or n: f for n, f in kind.model_fields.items()}
            if part in named:
                return named[str(part)].annotation
        elif typing.get_origin(kind) is dict:
            return typing.get_args(kind)[1]
        elif typing.get_origin(kind) in (tuple, list) and isinstance(part, int):
            return typing.get_args(kind)[0]
    return annotation


def _kinds(annotation: Any) -> Iterator[Any]:
    """Every kind that an annotation allows, looking through Annotated and unions."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield from _kinds(typing.get_args(annotation)[0])
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for each in typing.get_args(annotation):
            yield from _kinds(each)
    else:
        yield annotation
