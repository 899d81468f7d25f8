"""A backtest that is under way: its finished dates on disk, so that it can go on after an interruption.

Layout, in its folder: `unfinished/request.json` (what was asked for) and a file of arrays for each date. Each file is
written under another name, forced to disk and renamed. The finished backtest replaces all of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simfunnel.backtesting.replay import Replay
from simfunnel.errors import InputError
from simfunnel.files import write_file, write_text
from simfunnel.forecasting.windows import Window
from simfunnel.runs import UNFINISHED, libraries, plain, to_json, version
from simfunnel.sourcecode import code

REQUEST = "request.json"


class Kept:
    """The dates of one backtest that are done, in its folder."""

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.folder = folder / UNFINISHED
        made_by = {"version": version(), "code": code(), "libraries": libraries()}
        self.asked: dict[str, Any] = plain({**asked, **made_by})

    def begin(self) -> None:
        """Begin anew; what an earlier one left unfinished in this folder is given up."""
        shutil.rmtree(self.folder, ignore_errors=True)
        write_text(self.folder / REQUEST, to_json(self.asked) + "\n")

    def resume(self) -> None:
        """Go on with what is there. Raises InputError where there is nothing, or where something else was asked for."""
        try:
            then = json.loads((self.folder / REQUEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(f"{self.folder.parent} holds no unfinished backtest") from None
        for key, now in self.asked.items():
            was = then.get(key)
            if was != now:
                said = f"{'none' if was in (None, '') else was} then, {'none' if now in (None, '') else now} now"
                raise InputError(
                    f"{self.folder.parent} can't be resumed: '{key}' is not that of the unfinished backtest ({said}); "
                    "run again without --resume"
                )

    def done(self, day: date) -> Replay | None:
        """A date that is done, or None. Raises InputError where its file is damaged."""
        part = self.folder / f"{day}.npz"
        if not part.exists():
            return None
        try:
            return _read(part.read_bytes())
        except Exception as error:
            raise InputError(f"{part} is damaged ({error}); delete it and resume again") from None

    def keep(self, found: Replay) -> None:
        """Write a date that is done."""
        write_file(self.folder / f"{found.as_of}.npz", partial(_write, _packed(found)))


def digest_of(files: tuple[str | Path, ...]) -> str:
    """A hash of the contents of some files (of a folder: of all in it), in their order; of what is no file its name."""
    whole = hashlib.sha256()
    for path in map(Path, files):
        if not path.exists():
            whole.update(str(path).encode())
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _packed(found: Replay) -> bytes:
    """A replay as a file of arrays; what is not an array stands in a text of JSON."""
    said = {
        "as_of": found.as_of,
        "windows": [asdict(window) for window in found.windows],
        "already": [[*key, amount] for key, amount in found.already.items()],
        "samples": list(found.samples),
        "chances": list(found.chances),
        "deals": found.deals,
    }
    arrays = {f"sample {k}": sample for k, sample in enumerate(found.samples.values())}
    arrays |= {f"chance {k}": chances for k, chances in enumerate(found.chances.values())}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, said=np.asarray(json.dumps(said, default=str)), **arrays)
    return file.getvalue()


def _read(content: bytes) -> Replay:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        said = json.loads(str(arrays["said"]))
        return Replay(
            date.fromisoformat(said["as_of"]),
            tuple(
                Window(w["name"], *(date.fromisoformat(w[key]) for key in ("begin", "after", "counts_from")))
                for w in said["windows"]
            ),
            {(name, metric): amount for name, metric, amount in said["already"]},
            {(m, w, metric): arrays[f"sample {k}"] for k, (m, w, metric) in enumerate(said["samples"])},
            tuple(said["deals"]),
            {(m, w): arrays[f"chance {k}"] for k, (m, w) in enumerate(said["chances"])},
        )


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)
