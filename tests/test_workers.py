"""Worker processes beside the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simfunnel import runs as folders
from simfunnel.cli import main
from simfunnel.replicate import SECONDS_OF_A_BATCH, _Batch, _Cutter, run
from simfunnel.scenario import from_tree
from simfunnel.workers import meanwhile

ROOT = Path(__file__).resolve().parents[1]
TREE = {
    "name": "small",
    "start": "2026-10-01",
    "horizon": "5 weeks",
    "sources": {"web": {"rate": "2 per day"}},
    "stages": {"lead": {"exits": {"won": {"chance": "50%"}, "lost": {}}}, "won": {"books": 100}},
}


def _dies_elsewhere(here: int) -> str:
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done here"


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("seconds", [1e-4, 0.01, 0.3])
def test_batches_take_their_time_and_hold_each_replication_once(workers: int, seconds: float) -> None:
    """After the first one, as many as last as long as a batch shall; at the end there is something for each worker."""
    numbers = [*range(3, 900), *range(1000, 1500)]
    cutter, batches = _Cutter(list(numbers), workers), []
    for first, batch in cutter:
        assert first == batch[0]
        batches.append(batch)
        cutter.took(_Batch(first, [None] * len(batch), None, seconds * len(batch)))  # type: ignore[list-item]
    assert [number for batch in batches for number in batch] == numbers
    assert len(batches[0]) == 1
    assert all(len(batch) * seconds <= max(SECONDS_OF_A_BATCH, seconds) for batch in batches)
    assert workers == 1 or all(len(batch) == 1 for batch in batches[-workers:])
    left = len(numbers) - 1
    at_most = left // (4 * workers) if workers > 1 else left
    assert len(batches[1]) in (max(1, int(SECONDS_OF_A_BATCH / seconds)), at_most)


def test_what_a_killed_worker_was_to_compute_is_computed_here() -> None:
    assert meanwhile(2, _dies_elsewhere, os.getpid())() == "done here"


def test_a_folder_whose_pictures_a_worker_drew_has_the_same_bytes(tmp_path: Path) -> None:
    done = run(from_tree(TREE), 3)
    here = folders.write_run(done, tmp_path / "here")
    there = folders.write_run(done, tmp_path / "there", drawn=meanwhile(2, folders.draw, done))
    names = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(there) for path in there.rglob("*") if path.is_file())
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)


def test_workers_that_begin_early_leave_ctrl_c_to_the_command() -> None:
    code = (
        "import signal; from simfunnel.workers import begun, meanwhile\nwith begun(2) as wait: wait()\n"
        "print(meanwhile(2, signal.getsignal, signal.SIGINT)() is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_command_that_fails_before_its_workers_are_ready_ends_them_without_a_word(tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("a text")
    command = [sys.executable, "-m", "simfunnel", "run", str(faulty), "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{faulty}:1: holds a single text, not keys with values such as name: and start:"
    ]


def test_for_a_file_that_is_not_there_no_workers_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would take the cores that are to look for what was meant."""
    monkeypatch.setattr("simfunnel.workers.begun", lambda workers: pytest.fail(f"{workers} workers have begun"))
    assert main(["run", str(tmp_path / "nowhere.yaml"), "--workers", "2"]) == 2
