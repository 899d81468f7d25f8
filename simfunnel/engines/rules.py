"""Routing rules of the user's own, in Python."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simfunnel.engines.prospects import MEMBER, SOURCE, STAGE, Prospect
from simfunnel.errors import RunError
from simfunnel.plan import NOWHERE, Plan
from simfunnel.randomness import root_key
from simfunnel.scenario.conditions import FACT, FACTS


class Rule:
    """The function of one stage, `file.py:function`. Raises RunError where it can't be used or fails."""

    def __init__(self, plan: Plan, text: str) -> None:
        self.plan = plan
        self.text = text
        self.function = _function(Path(plan.plugin_folder), text)

    def place_for(self, prospect: Prospect) -> int:
        """Where the function sends a prospect, or NOWHERE."""
        names = self.plan.place_names
        try:
            name = self.function(self._view(prospect))
        except Exception as error:
            raise RunError(f"the routing rule {self.text} failed: {type(error).__name__}: {error}") from error
        if name is None:
            return NOWHERE
        if name not in names:
            raise RunError(f"the routing rule {self.text} returned {name!r}; allowed: {', '.join(names)}, or None")
        return names.index(str(name))

    def _view(self, prospect: Prospect) -> dict[str, Any]:
        """A prospect's facts by name, categories as their names."""
        plan, facts = self.plan, prospect.facts
        view: dict[str, Any] = {name: float(facts[k]) for name, k in FACT.items()}
        view["source"] = plan.source_names[int(facts[SOURCE])]
        view["stage"] = plan.place_names[int(facts[STAGE])]
        view["member"] = plan.member_names[int(facts[MEMBER])] if facts[MEMBER] != NOWHERE else None
        for k, (name, levels) in enumerate(zip(plan.attribute_names, plan.attribute_levels, strict=True)):
            code = float(facts[len(FACTS) + k])
            view[name] = levels[int(code)] if levels else code
        return view


def _function(folder: Path, text: str) -> Callable[[dict[str, Any]], object]:
    """The user's function."""
    file, _, name = text.partition(":")
    path = folder / file
    spec = importlib.util.spec_from_file_location(f"simfunnel_rule_{root_key(str(path))}", path)
    if spec is None or spec.loader is None:
        raise RunError(f"the routing rule {text} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RunError(f"the routing rule {text} can't be loaded: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise RunError(f"{file} has no function '{name}'")
    return function  # type: ignore[no-any-return]
