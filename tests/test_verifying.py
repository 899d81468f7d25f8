"""`simfunnel verify`: the engine passes from the outside, and engines that are broken in known ways are found."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simfunnel import verifying
from simfunnel.cli import main
from simfunnel.engines.records import Records
from simfunnel.known_answers import CASES, CHECKS, Estimate, scenario_of
from simfunnel.plan import Plan, compile_plan
from simfunnel.verifying import Answer, Control, Effort, SetTest, Verification, coverage_of

LITTLE = Effort(steady=40, longer=1, other=40, precision=1.5)


@pytest.fixture(scope="module", autouse=True)
def little() -> Iterator[None]:
    """Much less to run than --quick asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifying, "QUICK", LITTLE)
        yield


@pytest.fixture(scope="module")
def found() -> Verification:
    """What the compiled engine gives."""
    return verifying.verify(engine="compiled", quick=True)


# --- a right engine ---------------------------------------------------------------------------------------------------


def test_a_right_engine_passes(found: Verification) -> None:
    assert found.faults == []
    assert found.passed
    assert [(a.check.case, a.check.what) for a in found.answers] == [(c.case, c.what) for c in CHECKS]
    assert found.set_test.n == len(CASES) - 1  # each case but the tie, in which there is no luck
    assert verifying.words_of(found)[-1] == "PASSED"


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--quick"], []], ids=["quick", "full"])
def test_the_command_passes_from_the_outside(tmp_path: Path, how: list[str]) -> None:
    command = [sys.executable, "-m", "simfunnel", "verify", *how, "--engine", "compiled"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("PASSED")
    assert "Erlang" not in done.stdout
    for check in CHECKS:
        assert f"{check.exact:.6f}" in done.stdout
    assert "checking known answers: " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_and_the_same_every_time(found: Verification, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--quick", "--engine", "compiled", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == verifying.results_json(found)
    assert (printed["engine"], printed["seed"], printed["passed"], printed["faults"]) == ("compiled", 1, True, [])
    first = printed["answers"][0]
    assert first["z"] == pytest.approx((first["estimate"] - first["exact"]) / first["se"])


def test_both_engines_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Effort(steady=20, longer=1, other=20, precision=math.inf)
    monkeypatch.setattr(verifying, "QUICK", tiny)
    monkeypatch.setattr(verifying, "CASES", ("renege_tie", "rework", "branching", "thinning"))
    one, other = (
        verifying.results_json(verifying.verify(engine=engine, quick=True)) for engine in ("compiled", "simpy")
    )
    assert one.pop("engine") == "compiled"
    assert other.pop("engine") == "simpy"
    assert one == other


def test_cases_share_no_replications() -> None:
    most = max(getattr(effort, name) for effort in (verifying.QUICK, verifying.FULL) for name in ("steady", "other"))
    assert most <= verifying.APART


def test_a_seed_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--quick", "--seed", "-1"]) == 2
    assert "seed" in capsys.readouterr().err


# --- broken engines ---------------------------------------------------------------------------------------------------


def test_an_answer_eight_standard_errors_off_fails_the_command(
    found: Verification, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    k = next(k for k, check in enumerate(CHECKS) if (check.case, check.quantity) == ("mm3", "mean wait"))
    off = dataclasses.replace(CHECKS[k], exact=CHECKS[k].exact + 8 * found.answers[k].estimate.se)
    monkeypatch.setattr(verifying, "CHECKS", (*CHECKS[:k], off, *CHECKS[k + 1 :]))
    assert main(["verify", "--quick", "--engine", "compiled"]) == 1
    out = capsys.readouterr().out
    assert "Fault: mm3, mean wait: exact" in out
    assert out.rstrip().endswith("FAILED")


@pytest.mark.parametrize(
    ("case", "changes", "said"),
    [
        ("rule_8421", {"stages.quotation.exits.customer.chance": "55%"}, "rule_8421, win rate"),
        ("erlang_a", {"stages.call.work.patience": {"exponential": "3 days"}}, "erlang_a, share reneged"),
        ("priority", {"teams.sellers.serves": None}, "priority, time in system high/low: high"),
        ("mm1", {"sources.calls.rate": "1.1 per day"}, "mm1, arrivals from calls: +"),
        ("mm2", {"stages.call.work.effort": {"exponential": "23 h"}}, "mm2, effort at call: -"),
        ("renege_tie", {"stages.call.work.patience": "4319 min"}, "renege_tie, begin of the third call"),
        ("speed_to_lead", {"effects": []}, "log ratio, within an hour to later"),
    ],
    ids=["chance", "patience", "priority", "arrivals", "effort", "tie", "effects"],
)
def test_an_engine_that_runs_something_else_is_found(
    monkeypatch: pytest.MonkeyPatch, case: str, changes: dict[str, Any], said: str
) -> None:
    simulate = verifying.simulate
    wrong = compile_plan(scenario_of(case).override(changes).spec)

    def wrongly(plan: Plan, *how: Any) -> Records:
        return simulate(wrong if plan.source_names == wrong.source_names else plan, *how)

    monkeypatch.setattr(verifying, "simulate", wrongly)
    monkeypatch.setattr(verifying, "CASES", ("renege_tie", "thinning" if case == "renege_tie" else case))
    faults = verifying.verify(engine="compiled", quick=True).faults
    assert any(said in fault for fault in faults), faults


def test_an_engine_without_luck_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = verifying.simulate
    monkeypatch.setattr(verifying, "simulate", lambda plan, seed, _, engine: simulate(plan, seed, 0, engine))
    monkeypatch.setattr(verifying, "CASES", ("renege_tie", "rule_8421"))
    assert not verifying.verify(engine="compiled", quick=True).passed


# --- verdicts ---------------------------------------------------------------------------------------------------------


def answer(case: str, mean: float, se: float, widest: float = math.inf) -> Answer:
    check = next(check for check in CHECKS if check.case == case)
    return Answer(check, Estimate(check.exact + mean, se, 40), widest)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (answer("mm1", 0.39, 0.1), None),
        (answer("mm1", -0.41, 0.1), "z = -4.1"),
        (answer("mm1", 0.1, 0.2, widest=0.1), "standard error of 0.2"),
        (answer("mm1", 0.0, 0.0, widest=0.1), "standard error of 0"),
        (answer("mm1", math.nan, math.nan), "estimate nan, z = +nan"),
        (answer("renege_tie", 0.0, 0.0), None),
        (answer("renege_tie", 1.0, 0.0), "z = +inf"),
        (answer("renege_tie", 0.5, 0.5), "replications differ"),
    ],
)
def test_a_single_answer(one: Answer, said: str | None) -> None:
    if said is None:
        assert one.fault is None
    else:
        assert said in (one.fault or "")


def test_a_control_off_its_mean_is_a_fault() -> None:
    assert Control("mm1", "arrivals", Estimate(0.03, 0.01, 40)).fault is None
    assert "mm1, arrivals: +5.00%" in (Control("mm1", "arrivals", Estimate(0.05, 0.01, 40)).fault or "")


@pytest.mark.parametrize(
    ("zs", "said"),
    [
        ([1.0, -1.0] * 7, []),
        ([0.1, -0.1] * 7, ["too small"]),
        ([2.5, -2.5] * 7, ["too large"]),
        ([1.2] * 14, ["lean to one side"]),
        ([math.nan] * 14, ["too large", "lean to one side"]),
    ],
)
def test_a_set_of_zs(zs: list[float], said: list[str]) -> None:
    faults = SetTest.of(zs).faults
    assert len(faults) == len(said)
    assert all(words in fault for words, fault in zip(said, faults, strict=True)), faults


def test_the_set_test_fails_standard_normal_numbers_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "LEVEL", 0.1)
    draws = np.random.default_rng(1).standard_normal((2000, 15))
    tests = [SetTest.of(list(row)) for row in draws]
    for failed in (
        [not t.lowest <= t.squares <= t.highest for t in tests],
        [abs(t.shift) > t.furthest for t in tests],
    ):
        assert np.mean(failed) == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / 2000))


def test_coverage_of_intervals() -> None:
    draws = np.random.default_rng(1).normal(5.0, 2.0, 8010)
    right = coverage_of({"right": (5.0, draws)})
    assert right.intervals == {"right": 400}
    assert right.faults == []
    off = coverage_of({"off": (5.5, draws), "right": (5.0, draws[:40])})
    assert off.intervals == {"off": 400, "right": 2}
    assert "intervals cover" in off.faults[0]
    assert coverage_of({"wide": (5.0, np.repeat(5.0, 800) + np.tile([1, -1], 400))}).z > 2  # all of them


def test_all_that_is_wrong_is_told(found: Verification) -> None:
    tiny = SetTest.of([0.01] * 15)
    wrong = dataclasses.replace(
        found, set_test=tiny, coverage=coverage_of({"off": (9.0, np.random.default_rng(1).normal(size=800))})
    )
    assert len(wrong.faults) == 2
    assert verifying.words_of(wrong)[-1] == "FAILED"
    off = dataclasses.replace(found, answers=(answer("renege_tie", 1.0, 0.0), *found.answers[1:]))
    json.dumps(verifying.results_json(off), allow_nan=False)
