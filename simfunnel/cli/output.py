"""What every command says in the same way: its results, where they are, and what to know before it begins."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simfunnel.scenario import Scenario

INTERRUPTED = 130
"""The exit code after an interruption."""


def show(as_json: bool, data: Callable[[], dict[str, Any]], page: Callable[[], None]) -> None:
    """Print the results: one JSON object, or the page for people."""
    if as_json:
        print(json.dumps(data(), allow_nan=False))
    else:
        page()


def told(folder: Path, *, quiet: bool) -> None:
    """Say where the results are, and what can't be read in the pictures."""
    if not quiet:
        print(f"Tables and pictures: {folder}")
    style = sys.modules.get("simfunnel.plots.style")  # where none was drawn, there is no need to load it
    for words in style.boxes_in_words() if style else ():
        print(f"Note: {words}.", file=sys.stderr)


def warn(scenario: Scenario, engine: str | None = None) -> None:
    """What is doubtful in a scenario, and that the engine which is to run it must be compiled first."""
    from simfunnel.expectation import explosion
    from simfunnel.replicate import engine_for

    for warning in (*scenario.warnings, *explosion(scenario.spec)):
        print(f"Warning: {warning}", file=sys.stderr)
    say_if_cold(engine or engine_for(scenario))


@cache
def say_if_cold(engine: str) -> None:
    """Tell of the wait for the first run's compiling."""
    if engine == "compiled":
        from simfunnel.engines import compiled

        if compiled.is_cold():
            print("compiling the engine, once for this machine (about 12 s) ...", file=sys.stderr, flush=True)
