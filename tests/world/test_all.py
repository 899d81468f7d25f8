"""All systems of sales practice, by their keys: each has a file that checks, runs, and is listed in the README."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from simfunnel import replicate
from simfunnel.cli import main
from simfunnel.scenario import load

ROOT = Path(__file__).resolve().parents[2]
WORLD = ROOT / "scenarios/world"
KEYS = [f"W{k}" for k in range(1, 24)]
README = (WORLD / "README.md").read_text(encoding="utf-8")
MAIN = {key: WORLD / file for key, file in re.findall(r"^\| (W\d+) \| \[\w+\]\((\w+\.yaml)\)", README, re.MULTILINE)}
VARIANTS = sorted(set(WORLD.glob("*.yaml")) - set(MAIN.values()))


def test_every_key_has_its_file_and_its_test() -> None:
    assert list(MAIN) == KEYS
    for key, file in MAIN.items():
        assert file.name.startswith(f"w{int(key[1:]):02d}_")
        assert (Path(__file__).parent / f"test_{file.stem}.py").is_file()


@pytest.mark.parametrize("key", KEYS)
def test_each_system_checks_and_runs(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(MAIN[key])]) == 0
    told = capsys.readouterr().out
    assert load(MAIN[key]).name in told
    assert "Warning" not in told
    runs = replicate.run(load(MAIN[key]), 20)
    assert runs.replications == 20
    assert (runs.values("wins", "all") > 0).any().any()
    assert np.isfinite(runs.values("profit", "all")).all().all()


@pytest.mark.parametrize("file", VARIANTS, ids=lambda file: file.stem)
def test_each_variant_extends_the_file_of_its_key_and_is_listed(file: Path) -> None:
    key = f"W{int(file.name[1:3])}"
    row = next(line for line in README.splitlines() if line.startswith(f"| {key} |"))
    assert file.stem.split("_", 1)[1] in re.split(r"[\s,|]+", row)
    assert "extends:" in file.read_text(encoding="utf-8")
    replicate.run(load(file), 1)
