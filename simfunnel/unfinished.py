"""A run that is under way: its finished batches on disk, so that it can go on after an interruption.

Layout, in the run folder: `unfinished/request.json` (what was asked for), `unfinished/scenario.yaml` and a file of
arrays for each batch. Each file is written under another name, forced to disk and renamed, so that a kill loses at most
the batch in hand. The finished run replaces all of it.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from simfunnel.errors import InputError
from simfunnel.files import write_file, write_text
from simfunnel.replicate import Request
from simfunnel.results import Outcome
from simfunnel.runs import UNFINISHED, libraries, to_json, version
from simfunnel.scenario import Scenario, load
from simfunnel.sourcecode import code

REQUEST, SCENARIO = "request.json", "scenario.yaml"


@dataclass(frozen=True)
class Asked:
    """What a run was asked for, and what its numbers depend on."""

    scenario: str
    digest: str
    seed: int
    replications: int
    by: str | None
    log: bool
    version: str
    libraries: dict[str, str]
    code: str = "not told"

    @classmethod
    def of(cls, scenario: Scenario, seed: int, replications: int, request: Request) -> Asked:
        """What is asked for now."""
        made_by = version(), libraries(), code()
        return cls(scenario.name, scenario.digest, seed, replications, request.by, request.log, *made_by)


class Unfinished:
    """The batches of one run in its folder; what `replicate.run` keeps its outcomes with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / UNFINISHED
        self.made: list[Path] = []

    @classmethod
    def begun(cls, folder: Path, scenario: Scenario, seed: int, replications: int, request: Request) -> Unfinished:
        """A new one; an earlier unfinished run of something else in this folder is given up.

        Raises InputError where the same run lies there unfinished: to begin anew would lose what is done.
        """
        new = cls(folder)
        new._refuse_loss(Asked.of(scenario, seed, replications, request))
        new.made = [path for path in (new.folder, *new.folder.parents) if not path.exists()]
        shutil.rmtree(new.folder, ignore_errors=True)
        write_text(new.folder / SCENARIO, scenario.to_yaml())
        asked = Asked.of(scenario, seed, replications, request)
        write_text(new.folder / REQUEST, to_json(asdict(asked)) + "\n")
        return new

    def _refuse_loss(self, now: Asked) -> None:
        """Raise InputError where this folder has finished batches of the run that is to begin."""
        done = len(list(self.folder.glob("*.npz")))
        if not done:
            return
        try:
            was = self.asked
        except InputError:
            return
        if (was.digest, was.seed, was.by, was.log) == (now.digest, now.seed, now.by, now.log):
            here = self.folder.parent
            raise InputError(
                f"{here} holds an unfinished run of this scenario ({was.replications:,} replications were asked for); "
                f"to go on: simfunnel run --resume {here}; to begin anew, remove that folder, or name another with -o"
            )

    @cached_property
    def asked(self) -> Asked:
        """What was asked for. Raises InputError where there is nothing to resume."""
        try:
            found = json.loads((self.folder / REQUEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(f"{self.folder.parent} holds no unfinished run") from None
        try:
            return Asked(**found)
        except TypeError:
            raise InputError(f"{self.folder / REQUEST} is damaged; run again without --resume") from None

    def resumed(self, file: Path | None = None, *, log: bool = False) -> Scenario:
        """The scenario to go on with: that of `file`, or the one that was kept.

        Raises InputError where it, or what else could change a number, is not as it was.
        """
        asked, scenario = self.asked, load(file or self.folder / SCENARIO)
        if log != asked.log:
            raise InputError("this run kept a log: name its file with --log" if asked.log else "this run kept no log")
        now = Asked.of(scenario, asked.seed, asked.replications, Request(by=asked.by, log=log))
        for what, then, today in (
            ("the scenario", asked.digest[:12], now.digest[:12]),
            ("the version of simfunnel", asked.version, now.version),
            ("the code of simfunnel", asked.code, now.code),
            ("a library's version", _listed(asked.libraries), _listed(now.libraries)),
        ):
            if then != today:
                raise InputError(
                    f"{self.folder.parent} can't be resumed: {what} is not that of the unfinished run "
                    f"({then} then, {today} now); run again without --resume"
                )
        return scenario

    def done(self) -> list[Outcome]:
        """The outcomes of all batches that were kept, in order."""
        found: dict[int, Outcome] = {}
        for part in sorted(self.folder.glob("*.npz")):
            found |= {outcome.number: outcome for outcome in _read(part)}
        return [found[number] for number in sorted(found)]

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """Write a batch that is done."""
        name = f"{outcomes[0].number:08d}-{outcomes[-1].number:08d}.npz"
        write_file(self.folder / name, partial(_write_bytes, _packed(outcomes)))

    def give_up(self) -> None:
        """Leave no trace, where nothing is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in self.made[1:]:
            with suppress(OSError):
                path.rmdir()

    def files(self) -> Iterator[Path]:
        """All that is needed to resume."""
        return (path for path in sorted(self.folder.iterdir()) if not path.name.startswith("."))


def _listed(libraries: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in libraries.items())


# --- outcomes as arrays -----------------------------------------------------------------------------------------------


def _packed(outcomes: Sequence[Outcome]) -> bytes:
    """Outcomes as few arrays, for each array of a file takes its time: those of one name and type end to end."""
    found: dict[str, list[Any]] = {}
    for outcome in outcomes:
        for field in fields(outcome):
            value = getattr(outcome, field.name)
            inside = value if isinstance(value, dict) else {} if value is None else {"": value}
            for name, array in inside.items():
                found.setdefault(f"{field.name}/{name}", []).append(np.asarray(array))
    arrays: dict[str, Any] = {}
    for key, parts in found.items():
        arrays[f"shapes/{key}"] = np.array([part.shape for part in parts], dtype=np.int64)
        arrays[f"values/{key}"] = np.concatenate([part.reshape(-1) for part in parts])
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _read(part: Path) -> list[Outcome]:
    """The outcomes of one file. Raises InputError where it is damaged."""
    try:
        with np.load(io.BytesIO(part.read_bytes()), allow_pickle=False) as arrays:
            found: dict[str, dict[str, list[Any]]] = {}
            for key in arrays.files:
                what, name, inner = key.split("/", 2)
                if what == "values":
                    shapes = arrays[f"shapes/{name}/{inner}"]
                    bounds = np.cumsum(shapes.prod(axis=1, dtype=np.int64))[:-1]
                    parts = np.split(arrays[key], bounds)
                    found.setdefault(name, {})[inner] = [
                        array.reshape(shape) for array, shape in zip(parts, shapes, strict=True)
                    ]
            return [_outcome(found, k) for k in range(len(found["number"][""]))]
    except Exception as error:
        raise InputError(f"{part} is damaged ({error}); delete it and resume again") from None


def _outcome(found: dict[str, dict[str, list[Any]]], k: int) -> Outcome:
    """The k-th outcome of a file."""
    whole = {name: {inner: arrays[k] for inner, arrays in columns.items()} for name, columns in found.items()}
    return Outcome(
        number=int(whole["number"][""]),
        metrics=whole["metrics"][""],
        grouped=whole["grouped"][""],
        groups=tuple(str(group) for group in whole["groups"][""]),
        funnel=whole["funnel"][""],
        queues=whole["queues"][""],
        log=whole.get("log"),
        deals=whole.get("deals"),
        events=int(whole["events"][""]),
    )


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)
