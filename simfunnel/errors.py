"""What can go wrong, said so that the reader can mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class SimfunnelError(Exception):
    """The base of every error that simfunnel raises on purpose."""


class RunError(SimfunnelError):
    """A run that could not go on (exit code 1)."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in something a user gave us.

    `line` and `column` count from 1, as editors do; 0 means that there is no such place.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)]).strip(":")
        return ": ".join(part for part in (place, self.path, self.message) if part)


class InputError(SimfunnelError):
    """The user's input is at fault (exit code 2); carries every fault found, in file order."""

    def __init__(self, faults: Iterable[Fault] | str) -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Fault, ...]]]:
        """Survive the way back from a worker process."""
        return (InputError, (self.faults,))


class PlacedError(ValueError):
    """What is wrong with a value, and where inside the value: keys and numbers of items, from the outside in."""

    def __init__(self, message: str, inside: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.inside = inside


@contextmanager
def within(*parts: str | int) -> Iterator[None]:
    """Say of a ValueError raised in here that it lies in this part of the value that is being read."""
    try:
        yield
    except ValueError as error:
        raise PlacedError(str(error), (*parts, *getattr(error, "inside", ()))) from None


def nearest(word: object, allowed: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The allowed word that `word` was probably meant to be, or None; `cutoff` is how alike they must be, up to 1."""
    by_lower = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def not_among(word: object, what: str, allowed: Iterable[str]) -> str:
    """Say that `word` is not one of the allowed names of `what`, and which was probably meant."""
    names = list(allowed)
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    said = f"'{word}' is no {what}; allowed: {shown or 'none is defined'}"
    meant = nearest(word, names)
    return said + (f". Did you mean '{meant}'?" if meant else "")
