"""Both engines leave the same records, to the bit: on all that is shipped, on a fitted model, on random scenarios."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import simfunnel as sf
from simfunnel import replicate
from simfunnel.cli import main
from simfunnel.engines import compiled, kernel
from simfunnel.engines.records import joined
from simfunnel.errors import RunError
from simfunnel.scenario import Scenario, load
from tests import helpers
from tests.strategies import scenarios

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted([*ROOT.glob("scenarios/**/*.yaml"), *ROOT.glob("simfunnel/**/*.yaml"), ROOT / "tests/example.yaml"])


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_both_engines_agree_on_what_is_shipped(file: Path) -> None:
    helpers.run(load(file), SHIPPED.index(file))


def test_both_engines_agree_on_a_fitted_model(shared_data: Path) -> None:
    history = sf.read_crm(shared_data / "maven_crm_2017q3/sales_pipeline.csv", as_of=date(2017, 9, 30))
    model = sf.from_today(sf.from_tree(sf.fit(history).tree), history)
    records, _ = helpers.run(model, 3)
    assert len(records.moves.time) > 10_000


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_both_engines_write_the_same_log(tmp_path: Path, seed: int) -> None:
    for engine in replicate.ENGINES:
        arguments = ["-n", "2", "--seed", str(seed), "--engine", engine, "--log", str(tmp_path / engine), "--json"]
        assert main(["run", str(ROOT / "scenarios/quickstart.yaml"), *arguments]) == 0
    assert (tmp_path / "compiled").read_bytes() == (tmp_path / "simpy").read_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenario=scenarios(everything=True), replication=st.integers(0, 1000))
def test_both_engines_agree_on_random_scenarios(scenario: Scenario, replication: int) -> None:
    try:
        helpers.run(scenario, replication)
    except RunError:  # told alike by both
        return


def test_the_loop_is_compiled_once_for_all_scenarios() -> None:
    """Another type of array would compile it again, for 15 s."""
    for file in SHIPPED[:10]:
        replicate.records_of(load(file), engine="compiled")
    assert len(kernel.advance.signatures) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("chunk", [64, 1000])
def test_chunks_make_no_difference(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that leave in many small loads, from little room at the beginning, are the same; and so the next ones."""
    plan = replicate.records_of(load(ROOT / "scenarios/quickstart.yaml"))[1]
    whole = [compiled.run(plan, 1, number) for number in range(2)]
    helpers.little_room(monkeypatch, CHUNK=chunk, SLOTS=2, EVENTS=32, WAITING=2)
    for number in (0, 1, 0):  # then in a room that has grown
        loads = [joined([load]) for load in compiled.chunks(plan, 1, number)]
        assert len(loads) > 3
        helpers.assert_same(whole[number], joined(loads))


def test_replications_that_take_turns_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one plan or of two: each works in a room of its own."""
    one, other = (replicate.records_of(load(ROOT / "scenarios/quickstart.yaml"))[1] for _ in range(2))
    whole = compiled.run(one, 1, 0)
    helpers.little_room(monkeypatch, CHUNK=1000)
    turns = zip(*(compiled.chunks(plan, 1, 0) for plan in (one, one, other)), strict=True)
    copies = [[joined([part]) for part in parts] for parts in turns]
    assert len(copies) > 3
    for loads in zip(*copies, strict=True):
        helpers.assert_same(whole, joined(loads))


def test_memory_follows_the_open_prospects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are used again: a steady funnel of many prospects needs few."""
    scenario = helpers.toy(
        horizon="3 years",
        sources={"web": {"rate": "20 per day"}},
        stages={
            "lead": {"exits": {"won": {"chance": "20%", "after": "2 days"}, "lost": {"after": "1 day"}}},
            "won": {},
        },
    )
    plan = replicate.records_of(scenario)[1]
    grown: list[int] = []
    more_room = compiled._with_more_room

    def noted(state: kernel.State) -> kernel.State:
        state = more_room(state)
        grown.append(len(state.ints))
        return state

    monkeypatch.setattr(compiled, "_with_more_room", noted)
    helpers.little_room(monkeypatch, SLOTS=8)
    came = sum(len(part.prospects.key) for part in compiled.chunks(plan, 1, 0))
    assert came > 20_000
    assert max(grown) < 200  # 26 are open on average
