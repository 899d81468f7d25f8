"""Files that are written whole or not at all, and what they say of the run that they come from."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfunnel.errors import InputError, RunError

if TYPE_CHECKING:
    from simfunnel.plots.extract import Measured

Writer = Callable[[Path], object]
"""Writes one file at the path that it is given (or, for a picture, beside it)."""


def write_file(path: Path | str, write: Writer) -> Path:
    """Write one file whole or not at all.

    Raises:
        InputError: where `path` is a folder.
        RunError: where the disk refuses.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    part = target.parent / f".simfunnel-{secrets.token_hex(6)}.part"
    try:
        with disk(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            write(part)
            sync(part)
            os.replace(part, target)  # noqa: PTH105 (the word for it: atomic)
            sync(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return Path(path)


def write_text(path: Path | str, text: str) -> Path:
    """Write a text, as `write_file` does."""
    return write_file(path, partial(put_text, text))


def put_text(text: str, path: Path) -> None:
    """A writer of a text, the same bytes on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def check_file(path: Path | str) -> None:
    """Find out before the work whether a file can be written there; nothing is left behind.

    Raises:
        InputError: where `path` is a folder, or would lie in a file.
        RunError: where the disk refuses.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    above = next(folder for folder in target.parents if folder.exists())
    if not above.is_dir():
        raise InputError(f"{path}: {above} is a file, not a folder")
    try_out(above, path)


def try_out(above: Path, place: Path | str) -> None:
    """Raise RunError where nothing can be made in the folder `above`, as must be done to write `place`."""
    trial = above / f".simfunnel-{secrets.token_hex(6)}.part"
    with disk(place):
        trial.mkdir()
        trial.rmdir()


@contextmanager
def disk(place: Path | str) -> Iterator[None]:
    """What the disk refuses, as one sentence for the user."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{place} can't be written: {reason(error)}; nothing was changed") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
            raise
        raise RunError(f"{place} can't be written: {first_line(error)}; nothing was changed") from error


def reason(error: OSError) -> str:
    """Why the disk refused, as the system says it."""
    return (error.strerror or str(error)).lower()


def first_line(error: Exception) -> str:
    """The first line of what a library says of a fault."""
    return str(error).partition("\n")[0]


def sync(path: Path) -> None:
    """Force a file or folder to disk; Windows can't do that for folders."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def manifest_of(runs: Measured, command: str = "") -> dict[str, Any]:
    """What a run folder's manifest says of the run."""
    spec = runs.scenario.spec
    return {
        "scenario": runs.scenario.name,
        "digest": runs.scenario.digest,
        "seed": runs.seed,
        "replications": runs.replications,
        "start": spec.start.isoformat(),
        "days": spec.days,
        "warm_up_days": spec.warm_up.days_from(spec.start),
        "currency": spec.currency,
        "command": command,
    }
