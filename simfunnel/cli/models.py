"""Commands about scenario files themselves: init, check, schema."""

from __future__ import annotations

import json
from pathlib import Path

from simfunnel.errors import Fault, InputError


def init(folder: Path = Path()) -> None:
    """Write a starter scenario, a sample CRM export, and the truth from which the sample was simulated.

    Args:
        folder: Where to write them; the folder you are in unless said.
    """
    from simfunnel.starter import write_starter

    for path in write_starter(folder):
        print(path)
    print(f"Next: simfunnel check {folder / 'scenario.yaml'}")


def check(files: list[Path], /) -> int:
    """Tell every fault of scenario files; then each model in words.

    Args:
        files: The scenario files.
    """
    from simfunnel.describing import describe
    from simfunnel.scenario import load

    faults: list[Fault] = []
    for file in files:
        try:
            scenario = load(file)
        except InputError as error:
            faults += error.faults
            continue
        print(describe(scenario.spec, scenario.warnings))
    if faults:
        raise InputError(faults)
    return 0


def schema() -> None:
    """Print the JSON Schema of scenario files, with which editors complete and check them."""
    from simfunnel.scenario.schema import schema as scenario_schema

    print(json.dumps(scenario_schema(), indent=2))
