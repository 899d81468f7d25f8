"""Runs that are interrupted, killed, resumed, or done on workers that die: always the same bytes in the end."""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from simfunnel import replicate
from simfunnel.cli import main
from simfunnel.errors import InputError, RunError
from simfunnel.replicate import Request
from simfunnel.scenario import load
from simfunnel.unfinished import Unfinished

ROOT = Path(__file__).resolve().parents[1]
TINY = """\
name: tiny
start: 2026-10-01
horizon: 1 quarter
attributes: {segment: {small: 70%, "大": 30%}}
value: {lognormal: {median: 5000, p90: 9000}}
sources: {web: {rate: 3 to 5 per day}}
teams: {reps: {size: 2}}
stages:
  lead:
    work: {team: reps, effort: 2 h, patience: {exponential: 3 days}}
    exits: {customer: {chance: 30%, after: 5 days}, lost: {after: 9 days}}
  customer: {books: value}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    others = sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return names == others and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)


def simulate(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "simfunnel", "run", *map(str, arguments)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT, start_new_session=True
    )


def killed_again_and_again(scenario: Path, tmp_path: Path, kills: int) -> None:
    """Kill a run and its workers at random moments, resume it each time, and compare it with one left alone."""
    size = ("-n", 120, "--by", "segment", "--log", tmp_path / "moves.csv")
    assert main(["run", str(scenario), *map(str, size), "-o", str(tmp_path / "whole")]) == 0
    whole_log = (tmp_path / "moves.csv").read_bytes()
    folder, moments = tmp_path / "killed", random.Random(6)
    arguments: tuple[object, ...] = (scenario, *size, "-o", folder)
    kept = 0
    for _ in range(kills):
        process = simulate(*arguments, "--workers", 2)
        deadline = time.monotonic() + 60
        while not (folder / "unfinished/request.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 5.0))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if (folder / "manifest.json").exists():
            break  # it was faster than we
        now = len(Unfinished(folder).done())
        assert now >= kept, "batches that were done are lost"
        kept = now
        arguments = ("--resume", folder, "--log", tmp_path / "moves.csv")
    if not (folder / "manifest.json").exists():
        assert main(["run", "--resume", str(folder), "--log", str(tmp_path / "moves.csv")]) == 0
    assert same_files(tmp_path / "whole", folder)
    assert (tmp_path / "moves.csv").read_bytes() == whole_log


def test_killed_and_resumed_gives_the_same_bytes(scenario: Path, tmp_path: Path) -> None:
    killed_again_and_again(scenario, tmp_path, 2)


@pytest.mark.slow
def test_killed_twenty_times_gives_the_same_bytes(scenario: Path, tmp_path: Path) -> None:
    killed_again_and_again(scenario, tmp_path, 20)


def test_what_was_kept_is_what_was_done(scenario: Path, tmp_path: Path) -> None:
    """Outcomes on disk make the same tables as those in memory, and are not run again."""
    model = load(scenario)
    whole = replicate.run(model, 12, by="segment", log=True)
    keeper = Unfinished.begun(tmp_path / "run", model, 1, 12, Request(by="segment", log=True))
    replicate.run(model, 8, by="segment", log=True, keeper=keeper)
    before = {path: path.stat().st_mtime_ns for path in keeper.folder.glob("*.npz")}
    resumed = replicate.run(model, 12, by="segment", log=True, keeper=Unfinished(tmp_path / "run"))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for name in ("kpis", "grouped", "funnel", "queues", "log"):
        assert getattr(resumed, name).equals(getattr(whole, name)), name
        assert (getattr(resumed, name).dtypes == getattr(whole, name).dtypes).all(), name


def begun(scenario: Path, tmp_path: Path) -> Path:
    """A run of which some batches are done."""
    model = load(scenario)
    keeper = Unfinished.begun(tmp_path / "run", model, 1, 12, Request())
    replicate.run(model, 4, keeper=keeper)
    return tmp_path / "run"


def test_resuming_another_scenario_is_refused(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begun(scenario, tmp_path)
    scenario.write_text(TINY.replace("30%, after", "31%, after"), encoding="utf-8")
    assert main(["run", str(scenario), "--resume", str(folder)]) == 2
    assert "the scenario is not that of the unfinished run" in capsys.readouterr().err
    scenario.write_text(TINY + "# a remark\n", encoding="utf-8")
    assert main(["run", str(scenario), "--resume", str(folder)]) == 0
    assert not (folder / "unfinished").exists()
    assert json.loads((folder / "manifest.json").read_text())["replications"] == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "0.0.0"}, "the version of simfunnel is not that of the unfinished run (0.0.0 then"),
        ({"code": "0123"}, "the code of simfunnel is not that of the unfinished run (0123 then"),
        ({"libraries": {"numpy": "1.0"}}, "a library's version is not that of the unfinished run (numpy 1.0 then"),
        ({"log": True}, "this run kept a log: name its file with --log"),
        ({"strange": 1}, "request.json is damaged"),
    ],
)
def test_resuming_under_other_conditions_is_refused(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    request = begun(scenario, tmp_path) / "unfinished/request.json"
    request.write_text(json.dumps({**json.loads(request.read_text()), **change}))
    assert main(["run", "--resume", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err


def test_what_was_begun_before_code_was_told_is_not_resumed(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = begun(scenario, tmp_path) / "unfinished/request.json"
    said = json.loads(request.read_text())
    del said["code"]
    request.write_text(json.dumps(said))
    assert main(["run", "--resume", str(tmp_path / "run")]) == 2
    assert "the code of simfunnel is not that of the unfinished run (not told then" in capsys.readouterr().err


def test_a_damaged_batch_is_told(scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = begun(scenario, tmp_path)
    part = next((folder / "unfinished").glob("*.npz"))
    part.write_bytes(part.read_bytes()[:100])
    assert main(["run", "--resume", str(folder)]) == 2
    assert f"{part} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run"], ["run", "--resume", "nothing"]])
def test_nothing_to_run_or_resume(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(("name a scenario file", "nothing holds no unfinished run"))


# --- workers that die -------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced(scenario: Path) -> None:
    model = load(scenario)
    alone = replicate.run(model, 80)

    def kill_one() -> None:
        from joblib.externals.loky import reusable_executor

        time.sleep(0.3)
        os.kill(next(iter(reusable_executor._executor._processes)), signal.SIGKILL)

    replicate.run(model, 8, workers=2)  # the workers are there
    killer = threading.Thread(target=kill_one)
    killer.start()
    together = replicate.run(model, 80, workers=2)
    killer.join()
    assert together.kpis.equals(alone.kpis)


def test_workers_that_always_die_are_told(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicate, "_batch", _die)
    with pytest.raises(RunError, match="workers were killed 4 times"):
        replicate.run(load(scenario), 8, workers=2)


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
def test_a_cluster_gives_the_same_though_one_of_its_workers_is_killed(scenario: Path) -> None:
    import joblib
    from distributed import Client, LocalCluster

    model = load(scenario)
    alone = replicate.run(model, 200)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        victim = next(iter(client.run(os.getpid).values()))
        threading.Timer(1.5, os.kill, (victim, signal.SIGKILL)).start()
        together = replicate.run(model, 200, workers=2)
    assert together.kpis.equals(alone.kpis)
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)


def test_no_cluster_there_is_told(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "-n", "2", "--json", "--cluster", "nonsense://x"]) == 2
    assert "no Dask scheduler answers at nonsense://x" in capsys.readouterr().err


def test_a_keeper_of_a_run_that_never_was(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no unfinished run"):
        _ = Unfinished(tmp_path).asked
