"""Options that several commands share: their names on the command line, and the reading of their values.

A command with many options has them in a frozen dataclass, whose docstring is their help (`Flat`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from simfunnel.errors import Fault, InputError

if TYPE_CHECKING:
    from simfunnel.scenario import Scenario

Flat = Parameter(name="*")  # the fields are options of the command itself
Replications = Annotated[int, Parameter(name=["--replications", "-n"])]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]
Json = Annotated[bool, Parameter(name="--json", negative="")]
Period = Literal["week", "month", "quarter", "all"]
Workers = Annotated[int, Parameter(name="--workers")]
Deals = Annotated[list[str] | None, Parameter(name="--deals", consume_multiple=True, negative="")]
Map = Annotated[Path | None, Parameter(name="--map")]
MOST_REPLICATIONS = 1_000_000
Engine = Literal["auto", "compiled", "simpy"]


def all_cores(workers: int) -> int:
    """How many workers to use: as many as were named, or one a core."""
    return workers or min(os.cpu_count() or 1, 8)


def crew(workers: int, replications: int, engine: str = "simpy") -> int:
    """How many workers to use: all cores where none are named and the work is worth their start, some seconds each."""
    worth = {"simpy": 40, "compiled": 400}[engine]
    return all_cores(workers) if replications >= worth else workers or 1


def folder_for(output: Path | None, source: Path, *, quiet: bool) -> Path | None:
    """Where results go: the folder named, or runs/<file's name>; nowhere for --json alone."""
    return output or (None if quiet else Path("runs") / source.stem)


def all_loaded(files: list[Path]) -> list[Scenario]:
    """All scenarios, or the faults of all files at once."""
    from simfunnel.scenario import load

    found: list[Scenario] = []
    faults: list[Fault] = []
    for file in files:
        try:
            found.append(load(file))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return found


def read(reader: Callable[[object], Any], text: str, option: str) -> Any:
    """An option's value, or a fault that names the option."""
    try:
        return reader(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


class Faults:
    """The faults of a command's options, told together: `with faults: ...` keeps those raised inside for `tell`."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def __enter__(self) -> None:
        """Begin to read one option."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Keep a fault of the user's; all else goes on its way."""
        if isinstance(error, InputError):
            self.found += error.faults
        return isinstance(error, InputError)

    def tell(self) -> None:
        """Raise InputError with every fault found."""
        if self.found:
            raise InputError(self.found)


def within(number: int, low: int, high: int, option: str) -> None:
    """Raise InputError where a number is not from `low` to `high`."""
    if not low <= number <= high:
        raise InputError(f"{option}: must be {low:,} to {high:,}, not {number:,}")


def day(text: str | None, option: str = "--as-of") -> date | None:
    """A date; none where none is said."""
    from simfunnel.scenario.fields import read_date

    return None if text is None else read(read_date, text, option)


def amount(text: str | None, option: str = "--target") -> float | None:
    """An amount of money above 0; none where none is said."""
    from simfunnel.units import middle, read_amount

    if text is None:
        return None
    found = float(middle(read(read_amount, text, option)))
    if found <= 0:
        raise InputError(f"{option}: must be above 0, not {text}")
    return found


def chance(text: str, option: str) -> float:
    """A chance or a share."""
    from simfunnel.units import middle, read_chance

    return float(middle(read(read_chance, text, option)))
