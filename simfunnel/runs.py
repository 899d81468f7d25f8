"""The run folder: what a run leaves behind, whole or not at all.

A folder is written beside its place under another name, forced to disk, and then renamed into place; a run that fails
on the way leaves what was there before. (One that is killed also leaves a hidden `.simfunnel-*.part` beside it, to be
deleted.) The manifest holds no time and no path of the machine, and the same scenario, seed and version give the same
bytes.

Layout: `manifest.json`, `scenario.yaml`, `tables/NAME.csv` and `tables/NAME.parquet`, `pictures/NAME.png` and `.svg`;
and `unfinished/` (see that module) while a run is under way or after it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from simfunnel.errors import InputError, RunError, not_among
from simfunnel.files import Writer, disk, first_line, manifest_of, put_text, reason, sync, try_out, write_file
from simfunnel.results import QUANTILES, Runs, summarise
from simfunnel.scenario.worth import counts_ones
from simfunnel.sourcecode import code

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection
    from matplotlib.figure import Figure

MANIFEST = "manifest.json"
TABLES, PICTURES = "tables", "pictures"
UNFINISHED = "unfinished"
SUMMARY_QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LOG_COLUMNS = ("replication", "time", "prospect", "from", "to", "member", "value")
# Those whose version may change a number or a picture.
LIBRARIES = ("duckdb", "matplotlib", "numba", "numpy", "pandas", "scipy", "simpy")

# --- a run ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """The pictures of some runs as files."""

    files: dict[str, bytes]
    """By name."""
    missing: str
    """The letters that no font here has."""


def write_run(
    runs: Runs,
    folder: Path | str,
    *,
    command: str = "",
    unfinished: Iterable[Path] = (),
    drawn: Callable[[], Drawn] | None = None,
) -> Path:
    """Write the run folder of some runs: manifest, scenario, tables and pictures. Returns the folder.

    Args:
        runs: what to write.
        folder: a new folder, an empty one, or an earlier run folder, which is replaced.
        command: the words of the command that asked for it, for the manifest.
        unfinished: files that a run which was interrupted needs to go on; they stay.
        drawn: gives the pictures when the tables are written, where another process draws them (`draw`).

    Raises:
        InputError: where `folder` is a file, or holds something that is not a run.
        RunError: where it can't be written; nothing is left half-written.
    """
    check_folder(folder)  # before the work of drawing
    return write_tables_and_pictures(
        folder,
        tables=tables_of(runs),
        figures=None if drawn else figures_of(runs),
        drawn=drawn,
        manifest=manifest_of(runs, command),
        texts={"scenario.yaml": runs.scenario.to_yaml()},
        copies={f"{UNFINISHED}/{path.name}": path for path in unfinished},
    )


def tables_of(runs: Runs) -> dict[str, pd.DataFrame]:
    """The tables of a run folder, by name; `grouped` and `deals` only where they were asked for."""
    tables = {
        "kpis": runs.kpis,
        "summary": summarise(runs.kpis, ["unit", "metric", "period"], SUMMARY_QUANTILES),
        "funnel": runs.funnel,
        "teams": runs.queues if runs.scenario.spec.teams else None,
        "grouped": runs.grouped,
        "deals": runs.deals,
    }
    return {name: table for name, table in tables.items() if table is not None}


def figures_of(runs: Runs) -> dict[str, Figure]:
    """The pictures of a run folder, by name; of wins where bookings would only count them."""
    pictures, what = runs.plot, "wins" if counts_ones(runs.scenario.spec) else "bookings"
    figures = {"fan": pictures.fan(what), "distribution": pictures.distribution(what), "funnel": pictures.funnel()}
    return figures | ({"teams": pictures.teams()} if runs.scenario.spec.teams else {})


def draw(runs: Runs) -> Drawn:
    """The pictures of a run folder as files, drawn in a process that does not write the folder."""
    from simfunnel.plots.style import letters_missing

    with TemporaryDirectory() as folder:
        for name, figure in figures_of(runs).items():
            _write_picture(figure, Path(folder) / name)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return Drawn(files, letters_missing())


def results_json(runs: Runs) -> dict[str, Any]:
    """What `run --json` prints: the scenario, the seed, and each metric by quarter; what has no value is None."""
    table = runs.summary("quarter", QUANTILES)
    results = [
        {
            "metric": row["metric"],
            "period": row["period"],
            "mean": row["mean"],
            "sd": row["sd"],
            "quantiles": {f"{q:g}": row[f"{q:g}"] for q in QUANTILES},
        }
        for row in table.to_dict("records")
    ]
    found: dict[str, Any] = plain(
        {
            "scenario": runs.scenario.name,
            "seed": runs.seed,
            "replications": runs.replications,
            "version": version(),
            "results": results,
        }
    )
    return found


def write_log(runs: Runs, path: Path | str) -> Path:
    """Write every move as CSV: replication, time (days since the start, exact), prospect, from, to, member, value.

    Raises:
        InputError: where the runs have no log, or `path` is a folder.
        RunError: where it can't be written; what was there before stays.
    """
    if runs.log is None:
        raise InputError("these runs kept no log of their moves; run again with log=True")
    log = runs.log[list(LOG_COLUMNS)]
    return write_file(path, partial(write_csv, log))


def version() -> str:
    """The version of simfunnel."""
    try:
        from simfunnel import __version__
    except ImportError:  # not said there
        return metadata.version("simfunnel")
    return str(__version__)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """The manifest of a run folder. Raises InputError where there is none."""
    path = Path(folder) / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{folder} is no run folder: it has no readable {MANIFEST}") from None
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise InputError(f"{folder} is no run folder: its {MANIFEST} lists no files")
    return found


def read_table(folder: Path | str, name: str) -> pd.DataFrame:
    """A table of a run folder by its name. Raises InputError where there is none."""
    import duckdb

    files = read_manifest(folder)["files"]
    names = [Path(file).stem for file in files if file.startswith(f"{TABLES}/") and file.endswith(".parquet")]
    if name not in names:
        raise InputError(f"{folder}: {not_among(name, 'table', names)}")
    with duckdb.connect() as connection:
        try:
            table: pd.DataFrame = connection.read_parquet(str(Path(folder) / TABLES / f"{name}.parquet")).df()
        except duckdb.Error as error:
            raise InputError(f"{folder}: the table '{name}' can't be read: {first_line(error)}") from None
    return table


# --- any folder of tables and pictures --------------------------------------------------------------------------------


def write_tables_and_pictures(
    folder: Path | str,
    *,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Figure] | None = None,
    manifest: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
    copies: Mapping[str, Path] | None = None,
    drawn: Callable[[], Drawn] | None = None,
) -> Path:
    """Write a folder of tables (as CSV and Parquet), pictures (PNG and SVG) and texts, whole or not at all.

    Args:
        folder: a new folder, an empty one, or an earlier run folder, which is replaced.
        tables: by name; they are found again under `tables/`.
        figures: by name; they are found again under `pictures/`.
        manifest: what the manifest says, besides versions and files.
        texts: by path in the folder, such as `scenario.yaml`.
        copies: files to copy, by path in the folder.
        drawn: gives pictures that are drawn elsewhere; asked for when all else is written.

    Raises:
        InputError: where `folder` is a file, or holds something that is not a run.
        RunError: where it can't be written.
    """
    writers: dict[str, Writer] = {}
    for path, text in (texts or {}).items():
        writers[path] = partial(put_text, text)
    for path, copied in (copies or {}).items():
        writers[path] = partial(shutil.copyfile, copied)
    for name, table in tables.items():
        writers[f"{TABLES}/{name}.csv"] = partial(write_csv, table)
        writers[f"{TABLES}/{name}.parquet"] = partial(write_parquet, table)
    for name, figure in (figures or {}).items():
        writers[f"{PICTURES}/{name}"] = partial(_write_picture, figure)
    if drawn:
        writers[f"{PICTURES}/all"] = partial(_write_drawn, drawn)
    return write_folder(folder, writers, manifest)


def write_folder(folder: Path | str, writers: Mapping[str, Writer], manifest: Mapping[str, Any]) -> Path:
    """Write a folder by writers of files (paths in it -> what writes them), with its manifest; whole or not at all."""
    with replacing(folder) as part:
        for path, write in writers.items():
            target = part / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target)
        files = sorted(file for file in part.rglob("*") if file.is_file())
        listed = {file.relative_to(part).as_posix(): _described(file) for file in files}
        made_by = {"version": version(), "code": code(), "python": platform.python_version(), "libraries": libraries()}
        said = {**manifest, **made_by}
        put_text(to_json({**said, "files": listed}) + "\n", part / MANIFEST)
    return Path(folder)


@contextmanager
def replacing(folder: Path | str) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends, or is gone if the block fails.

    Raises:
        InputError: where `folder` may not be replaced.
        RunError: where the disk refuses.
    """
    target = check_folder(folder)
    part = target.parent / f".simfunnel-{secrets.token_hex(6)}.part"
    try:
        with disk(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            part.mkdir()
            yield part
            _sync_all(part)
            check_folder(folder)  # it may have been filled meanwhile
            _put_in_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_folder(folder: Path | str) -> Path:
    """Where a run folder is to be, resolved.

    Raises:
        InputError: where it may not be put there.
        RunError: where the disk refuses to have anything put there.
    """
    try:
        target = Path(folder).resolve()
        here = Path.cwd()
        if target == here or target in here.parents:
            raise InputError(f"{folder} is the folder you are in, or above it; name another for the results")
        above = next((p for p in target.parents if p.exists()), target.anchor)
        if not Path(above).is_dir():
            raise InputError(f"{folder}: {above} is a file, not a folder")
        if target.exists() and not target.is_dir():
            raise InputError(f"{folder} is a file; name a folder for the results")
        inside = {path.name for path in target.iterdir()} if target.is_dir() else set()
        if inside and not inside & {MANIFEST, UNFINISHED}:
            raise InputError(f"{folder} holds files that are not a run's; name another folder, or empty it")
    except OSError as error:
        raise RunError(f"{folder} can't be looked at: {reason(error)}") from None
    except ValueError as error:  # a zero byte in the name
        raise InputError(f"{str(folder)!r} is no name of a folder: {error}") from None
    try_out(Path(above), folder)
    return target


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """A table as CSV: UTF-8, numbers to their last digit, nothing where there is no value."""
    if {str(dtype) for dtype in table.dtypes} <= _PLAIN:  # the same text, four times as fast
        columns = [f'"{name}"' for name in (str(name).replace('"', '""') for name in table.columns)]
        texts = [str(dtype) == "str" for dtype in table.dtypes]
        said = [f"nullif({c}, '') AS {c}" if text else c for c, text in zip(columns, texts, strict=True)]
        _copy(table, path, ", ".join(said), "FORMAT csv, HEADER")
    else:
        table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


_PLAIN = {"int64", "float64", "str"}


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """A table as Parquet, in its order."""
    _copy(table, path, "*", "FORMAT parquet, COMPRESSION zstd")


def _copy(table: pd.DataFrame, path: Path, columns: str, form: str) -> None:
    """Write columns of a table by duckdb."""
    quoted = str(path).replace("'", "''")
    with _duckdb().cursor() as connection:
        connection.register("this_table", table)
        connection.execute(f"COPY (SELECT {columns} FROM this_table) TO '{quoted}' ({form})")


@cache
def _duckdb() -> DuckDBPyConnection:
    """The one duckdb that writes all tables of this process: to begin one takes longer than to write a small table."""
    import duckdb

    return duckdb.connect(config={"threads": 1})  # the same bytes whatever the machine's cores


def to_json(value: object) -> str:
    """Strictly valid JSON, readable, whatever numbers it holds: NaN and infinities become null."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The same in plain maps, lists, texts, numbers and None, as JSON knows them."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


# --- the disk ---------------------------------------------------------------------------------------------------------


def _write_picture(figure: Figure, stem: Path) -> None:
    from simfunnel.plots import save

    save(figure, stem)


def _write_drawn(drawn: Callable[[], Drawn], stem: Path) -> None:
    """Write the pictures that were drawn elsewhere into the folder of `stem`."""
    found = drawn()
    for name, content in found.files.items():
        stem.with_name(name).write_bytes(content)
    if found.missing:
        from simfunnel.plots.style import add_missing

        add_missing(found.missing)


def _put_in_place(part: Path, target: Path) -> None:
    """Rename `part` to `target`. An earlier folder steps aside first, and comes back if that fails."""
    old = target.parent / f"{part.stem}.old"
    had_one = target.exists()
    if had_one:
        target.rename(old)
    try:
        part.rename(target)
    except BaseException:
        if had_one:
            old.rename(target)
        raise
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def _described(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": file.stat().st_size}


@cache
def libraries() -> dict[str, str]:
    """The versions of all libraries that may change a number or a picture."""
    return {name: metadata.version(name) for name in LIBRARIES}
