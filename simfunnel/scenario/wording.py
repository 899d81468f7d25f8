"""Pydantic's findings in our own words, with the place, what is allowed, and what was probably meant."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from simfunnel.errors import Fault, not_among
from simfunnel.scenario.documents import Document


def shape_faults(error: ValidationError, document: Document, model: type[BaseModel]) -> Iterator[Fault]:
    """The faults of a document's form against a model, placed and in our own words."""
    for detail in error.errors(include_url=False):
        yield document.fault(detail["loc"], _in_words(dict(detail), model))


def _in_words(detail: dict[str, Any], root: type[BaseModel]) -> str:
    kind, value, loc = detail["type"], detail.get("input"), detail["loc"]
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if kind == "extra_forbidden":
        return not_among(loc[-1], "key here", _keys_at(root, loc[:-1]))
    if kind == "missing":
        return f"'{loc[-1]}' is missing"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "literal_error":
        return f"{shown} is not allowed; allowed: {detail['ctx']['expected']}"
    if kind == "string_pattern_mismatch" and loc[-1] == "currency":
        return f"{shown} is no currency code; write three capital letters, such as USD"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown} must hold keys" + (f": {', '.join(_keys_at(root, loc)[:12])}" if _keys_at(root, loc) else "")
    return f"{shown}: {detail['msg'].removeprefix('Input ')}"


def _keys_at(root: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that a file may have at this place."""
    here: Any = root
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
