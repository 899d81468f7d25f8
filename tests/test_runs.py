"""The run folder: what is in it, that it is the same again, and that nothing is ever half-written."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfunnel import runs as folders
from simfunnel.errors import InputError, RunError
from simfunnel.replicate import run
from simfunnel.results import Runs
from simfunnel.scenario import from_tree, load
from simfunnel.sourcecode import code, digest_of

ROOT = Path(__file__).resolve().parents[1]
TREE: dict[str, Any] = {
    "name": "Kleine Übung",
    "start": "2026-10-01",
    "horizon": "5 weeks",
    "currency": "EUR",
    "attributes": {"size": {"small": "60%", "large": "40%"}},
    "sources": {"web": {"rate": "2 per day"}, "open": {"deals": [{"id": "D1", "stage": "lead", "value": 50}]}},
    "value": {"exponential": 100},
    "teams": {"sales": {"size": 1}},
    "stages": {
        "lead": {
            "work": {"team": "sales", "effort": "2 h", "patience": {"exponential": "2 days"}},
            "exits": {"won": {"chance": "50%", "after": {"exponential": "3 days"}}, "lost": {}},
        },
        "won": {"books": "value"},
    },
}


@pytest.fixture(scope="module")
def runs() -> Runs:
    return run(from_tree(TREE), 3, seed=5, by="size", log=True, deals=True)


@pytest.fixture(scope="module")
def folder(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.write_run(runs, tmp_path_factory.mktemp("out") / "a" / "run", command="run klein.yaml -n 3")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table() -> pd.DataFrame:
    return pd.DataFrame({"name": ["a", "it's"], "value": [0.1, np.nan]})


def write(folder: Path, **more: Any) -> Path:
    return folders.write_tables_and_pictures(folder, **({"tables": {"t": table()}, "manifest": {"n": 1}} | more))


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_folder_holds_what_its_manifest_lists(folder: Path) -> None:
    tables = ("deals", "funnel", "grouped", "kpis", "summary", "teams")
    pictures = ("distribution", "fan", "funnel", "teams")
    expected = {f"tables/{t}.{kind}" for t in tables for kind in ("csv", "parquet")}
    expected |= {f"pictures/{p}.{kind}" for p in pictures for kind in ("png", "svg")} | {"scenario.yaml"}
    found = contents(folder)
    listed = folders.read_manifest(folder)["files"]
    assert set(listed) == expected == set(found) - {"manifest.json"}
    for name, entry in listed.items():
        assert entry == {"sha256": hashlib.sha256(found[name]).hexdigest(), "bytes": len(found[name])}


def test_manifest_says_what_was_run(folder: Path, runs: Runs) -> None:
    said = folders.read_manifest(folder)
    assert said["scenario"] == "Kleine Übung"
    assert said["digest"] == runs.scenario.digest
    assert (said["seed"], said["replications"], said["days"]) == (5, 3, 35)
    assert (said["start"], said["currency"], said["command"]) == ("2026-10-01", "EUR", "run klein.yaml -n 3")
    assert said["version"] == folders.version()
    assert said["code"] == code()
    assert said["libraries"]["numpy"] == np.__version__
    assert str(folder.parent) not in (folder / "manifest.json").read_text(encoding="utf-8")


def test_the_code_s_digest_is_that_of_its_files_and_their_names(tmp_path: Path) -> None:
    def digest(**files: str) -> str:
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
        for name, text in {"a.py": "1", "b/c.py": "2", "b/__pycache__/c.py": "3", "d.txt": "4", **files}.items():
            (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "p" / name).write_text(text)
        return digest_of(tmp_path / "p")

    same = [digest(), digest(), digest(**{"b/__pycache__/c.py": "x"}), digest(**{"d.txt": "x"})]
    others = [digest(**{"a.py": "x"}), digest(**{"b/c.py": "x"}), digest(**{"b/e.py": "2"}), digest(**{"a.py": "12"})]
    assert len(set(same)) == 1
    assert len({*same, *others}) == 5


def test_scenario_in_the_folder_is_the_one_that_was_run(folder: Path, runs: Runs) -> None:
    assert load(folder / "scenario.yaml").digest == runs.scenario.digest


def test_tables_hold_every_number_to_its_last_digit(folder: Path, runs: Runs) -> None:
    for name, frame in folders.tables_of(runs).items():
        parquet = folders.read_table(folder, name)
        csv = pd.read_csv(folder / "tables" / f"{name}.csv")
        assert list(parquet.columns) == list(csv.columns) == list(frame.columns)
        for column in frame.columns:
            if frame[column].dtype.kind in "if":
                exact = frame[column].to_numpy(dtype=float)
                np.testing.assert_array_equal(parquet[column].to_numpy(dtype=float), exact)
                np.testing.assert_array_equal(csv[column].to_numpy(dtype=float), exact)
            else:
                assert (
                    list(parquet[column].astype(str))
                    == list(csv[column].astype(str))
                    == list(frame[column].astype(str))
                )


def test_summary_has_all_units_of_periods(folder: Path, runs: Runs) -> None:
    summary = folders.read_table(folder, "summary").set_index(["unit", "metric", "period"])
    assert set(summary.index.get_level_values("unit")) == {"week", "month", "quarter", "all"}
    wins = runs.values("wins", "all")["all"]
    row = summary.loc[("all", "wins", "all")]
    assert row[["mean", "sd", "0.5"]].tolist() == pytest.approx([wins.mean(), wins.std(), wins.median()])


def test_same_scenario_and_seed_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = run(from_tree(TREE), 3, seed=5, by="size", log=True, deals=True)
    other = folders.write_run(again, tmp_path / "elsewhere", command="run klein.yaml -n 3")
    assert contents(other) == contents(folder)


def test_scenario_without_teams_has_neither_table_nor_picture_of_them(tmp_path: Path) -> None:
    idle = TREE | {
        "teams": {},
        "attributes": {},
        "stages": {"lead": {"exits": {"won": {"chance": "50%"}, "lost": {}}}, "won": {"books": "value"}},
    }
    found = contents(folders.write_run(run(from_tree(idle), 1), tmp_path / "run"))
    assert "tables/kpis.csv" in found
    assert not [name for name in found if "teams" in name or "grouped" in name or "deals" in name]


def test_an_empty_table_is_written_with_its_columns(tmp_path: Path) -> None:
    where = write(tmp_path / "run", tables={"t": table().iloc[:0]})
    assert list(folders.read_table(where, "t").columns) == ["name", "value"]
    assert (where / "tables" / "t.csv").read_text() == "name,value\n"


def test_results_are_strictly_valid_json_by_quarter(runs: Runs) -> None:
    found = folders.results_json(runs)
    assert list(found) == ["scenario", "seed", "replications", "version", "results"]
    json.dumps(found, allow_nan=False)
    by_metric = {r["metric"]: r for r in found["results"]}
    wins = runs.values("wins")["2026Q4 (part)"]
    assert by_metric["wins"]["period"] == "2026Q4 (part)"
    assert by_metric["wins"]["mean"] == pytest.approx(wins.mean())
    assert by_metric["wins"]["sd"] == pytest.approx(wins.std())
    assert by_metric["wins"]["quantiles"] == pytest.approx({str(q): wins.quantile(q) for q in (0.1, 0.5, 0.9)})


def test_what_has_no_value_is_null(runs: Runs) -> None:
    nothing = dataclasses.replace(runs, kpis=runs.kpis.assign(value=np.nan))
    first = folders.results_json(nothing)["results"][0]
    assert (first["mean"], first["sd"], first["quantiles"]) == (None, None, {"0.1": None, "0.5": None, "0.9": None})
    assert folders.plain({"a": [np.float64(1.5), np.int64(2), np.inf, Path("x")]}) == {"a": [1.5, 2, None, "x"]}


# --- the log ----------------------------------------------------------------------------------------------------------


def test_log_holds_every_move_with_exact_times(runs: Runs, tmp_path: Path) -> None:
    path = folders.write_log(runs, tmp_path / "new" / "moves.csv")
    assert path.read_text().splitlines()[0] == "replication,time,prospect,from,to,member,value"
    assert runs.log is not None
    read = pd.read_csv(path, keep_default_na=False)
    assert list(read["time"]) == list(runs.log["time"])
    assert list(read["from"]) == list(runs.log["from"])
    assert "\r" not in path.read_bytes().decode()


def test_log_needs_runs_that_kept_one_and_a_file_to_go_to(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="log=True"):
        folders.write_log(dataclasses.replace(runs, log=None), tmp_path / "moves.csv")
    with pytest.raises(InputError, match="is a folder"):
        folders.write_log(runs, tmp_path)


def test_log_that_fails_leaves_the_old_one(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "moves.csv"
    path.write_text("old")
    monkeypatch.setattr(folders, "write_csv", disk_full)
    with pytest.raises(RunError, match=r"moves.csv can't be written: no space left on device; nothing was changed"):
        folders.write_log(runs, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# --- where it may go --------------------------------------------------------------------------------------------------


def test_earlier_run_is_replaced_whole(tmp_path: Path) -> None:
    where = write(tmp_path / "run", texts={"only_in_the_first.txt": "x"})
    write(where)
    assert set(contents(where)) == {"manifest.json", "tables/t.csv", "tables/t.parquet"}
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert folders.read_manifest(write(tmp_path / "run"))["n"] == 1


def test_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", manifest={"n": 2})
    assert (tmp_path / "link").is_symlink()
    assert folders.read_manifest(tmp_path / "real")["n"] == 2


def test_awkward_names_of_folders(tmp_path: Path) -> None:
    where = write(tmp_path / "it's a 'run' — 試し")
    assert folders.read_table(where, "t")["name"].tolist() == ["a", "it's"]


def test_csv_is_as_pandas_writes_it_whoever_writes_it(tmp_path: Path) -> None:
    """Plain tables are written by duckdb, the others by pandas: numbers to the last digit, nothing for no value."""
    rng = np.random.default_rng(1)
    odd = [0.0, -0.0, 1e15, 1e16, 1e22, 1e23, 1e-4, 1e-5, 0.1, np.nan, np.inf, -np.inf, 5e-324, 2.0**53 + 2, 1.0, 2.5]
    value = np.concatenate([odd, rng.normal(size=4000) * 10.0 ** rng.integers(-300, 300, 4000)])
    names = ["a", "it's", 'a "quote"', "a, comma", "", " ", "NULL", "nan", "1.0", "two\nlines", "試し", "é;", "-", "\\"]
    text = (names * len(value))[: len(value)]
    plain = pd.DataFrame({'a "b", c': np.arange(len(value)), "text": text, "value": value})
    for table in (plain, plain.assign(day=date(2026, 1, 5)), plain.iloc[:0]):
        folders.write_csv(table, tmp_path / "ours.csv")
        table.to_csv(tmp_path / "theirs.csv", index=False, lineterminator="\n")
        assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def a_file(tmp_path: Path) -> Path:
    (tmp_path / "x").write_text("mine")
    return tmp_path / "x"


def in_a_file(tmp_path: Path) -> Path:
    return a_file(tmp_path) / "run"


def with_other_things(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.doc").write_text("mine")
    return tmp_path / "x"


def the_present_folder(tmp_path: Path) -> Path:
    return Path()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (a_file, "is a file; name a folder"),
        (in_a_file, "is a file, not a folder"),
        (with_other_things, "holds files that are not a run's"),
        (the_present_folder, "is the folder you are in"),
        (lambda tmp_path: tmp_path / "a\0b", "is no name of a folder"),
    ],
    ids=["file", "in a file", "other things", "present folder", "zero byte"],
)
def test_nothing_of_the_users_is_overwritten(tmp_path: Path, where: Callable[[Path], Path], said: str) -> None:
    place = where(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=said):
        write(place)
    assert contents(tmp_path) == before


def test_reading_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        folders.read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(InputError, match="lists no files"):
        folders.read_manifest(tmp_path)
    where = write(tmp_path / "run")
    with pytest.raises(InputError, match="'tt' is no table; allowed: t"):
        folders.read_table(where, "tt")
    (where / "tables" / "t.parquet").write_bytes(b"damaged")
    with pytest.raises(InputError, match="the table 't' can't be read"):
        folders.read_table(where, "t")


# --- nothing half-written ---------------------------------------------------------------------------------------------


def disk_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["write_csv", "write_parquet", "to_json", "sync", "_put_in_place"])
@pytest.mark.parametrize(("fail", "error"), [(disk_full, RunError), (interrupt, KeyboardInterrupt)])
def test_failure_on_the_way_leaves_the_earlier_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, fail: Callable[..., None], error: type[BaseException]
) -> None:
    where = write(tmp_path / "run")
    before = contents(tmp_path)
    monkeypatch.setattr(folders, step, fail)
    with pytest.raises(error):
        write(where, tables={"t": table().assign(value=9.0)})
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_earlier_run_comes_back_when_the_new_one_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = write(tmp_path / "run")
    before = contents(tmp_path)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            disk_full()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(RunError, match="no space left on device; nothing was changed"):
        write(where)
    assert contents(tmp_path) == before


def test_failure_where_nothing_was_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "write_parquet", disk_full)
    with pytest.raises(RunError, match="no space left on device"):
        write(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunError) as caught:
        write(tmp_path / "run")
    assert str(caught.value) == f"{tmp_path / 'run'} can't be written: permission denied; nothing was changed"


def test_folder_filled_by_someone_else_meanwhile_is_kept(tmp_path: Path) -> None:
    def meddle(path: Path) -> None:
        path.write_text("x")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "theirs").write_text("y")

    with pytest.raises(InputError, match="not a run's"):
        folders.write_folder(tmp_path / "run", {"x": meddle}, {})
    assert contents(tmp_path) == {"run/theirs": b"y"}


def test_fault_in_our_own_code_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    def wrong(path: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        folders.write_folder(tmp_path / "run", {"x": wrong}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_disk_that_is_truly_full_is_told_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    code = f"""
import resource, signal, sys
from datetime import date
from pathlib import Path
import numpy as np, pandas as pd
from simfunnel import runs
from simfunnel.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
table = pd.DataFrame({{"x": np.random.default_rng(1).random(200_000)}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write = getattr(runs, "write_{kind}")
try:
    runs.write_folder(sys.argv[1], {{"t": lambda path: write(table, path)}}, {{}})
except RunError as error:
    print(error)
"""
    place = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"{place} can't be written: "), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_that_is_killed_leaves_the_earlier_one(tmp_path: Path) -> None:
    where = write(tmp_path / "run")
    before = contents(where)
    code = """
import os, signal, sys
from simfunnel import runs
def die(path):
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
runs.write_folder(sys.argv[1], {"tables/t.csv": die}, {})
"""
    done = subprocess.run([sys.executable, "-c", code, str(where)], cwd=ROOT, check=False)
    assert done.returncode != 0
    assert contents(where) == before
    write(where, manifest={"n": 2})  # and what it left is in nobody's way
    assert folders.read_manifest(where)["n"] == 2
