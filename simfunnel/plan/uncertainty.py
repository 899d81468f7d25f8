"""Uncertain numbers: found once in a scenario, drawn once for each replication."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from simfunnel.distributions import Distribution
from simfunnel.randomness import purpose, root_key, uniform
from simfunnel.scenario.spec import ScenarioSpec
from simfunnel.units import Rate, Uncertain


class Uncertainty:
    """The uncertain numbers of a scenario, each by its place, found once."""

    def __init__(self, spec: ScenarioSpec) -> None:
        self.spec = spec
        self.places: Any = _uncertain_in(spec) or {}

    def settled(self, seed: int, replication: int) -> ScenarioSpec:
        """The scenario of one replication: every uncertain number drawn, each from a stream named after its place."""

        def draw(number: Uncertain, path: str) -> float:
            return number.at(uniform(seed, replication, root_key("uncertain", path), purpose("uncertain"), 0))

        settled: ScenarioSpec = _changed(self.spec, self.places, draw, "")
        return settled


def settle(spec: ScenarioSpec, seed: int, replication: int) -> ScenarioSpec:
    """The scenario of one replication; see `Uncertainty`."""
    return Uncertainty(spec).settled(seed, replication)


def _parts_of(node: Any) -> dict[str, Any]:
    """The named parts of a node of a frozen tree; none for a leaf."""
    if isinstance(node, BaseModel):
        return {name: getattr(node, name) for name in type(node).model_fields}
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if isinstance(node, tuple) and node and not isinstance(node[0], float):
        return {str(k): value for k, value in enumerate(node)}
    if isinstance(node, Distribution):
        return {name: value for name, value in node.params if isinstance(value, Uncertain)}
    if isinstance(node, Rate):
        return {"per_day": node.per_day}
    return {}


def _uncertain_in(node: Any) -> dict[str, Any] | Uncertain | None:
    """The tree of places with uncertain numbers in them, or None."""
    if isinstance(node, Uncertain):
        return node
    found = {name: _uncertain_in(part) for name, part in _parts_of(node).items()}
    return {name: part for name, part in found.items() if part} or None


def _changed(node: Any, places: Any, change: Callable[[Uncertain, str], float], path: str) -> Any:
    """A copy of a node with the numbers at these places changed."""
    if isinstance(places, Uncertain):
        return change(places, path)
    parts = _parts_of(node)
    new = {name: _changed(parts[name], inner, change, f"{path}/{name}") for name, inner in places.items()}
    if isinstance(node, BaseModel):
        return node.model_copy(update=new)
    if isinstance(node, Mapping):
        return {key: new.get(str(key), value) for key, value in node.items()}
    if isinstance(node, Distribution):
        return replace(node, params=tuple((name, new.get(name, value)) for name, value in node.params))
    if isinstance(node, Rate):
        return replace(node, per_day=new["per_day"])
    return tuple(new.get(str(k), value) for k, value in enumerate(node))
