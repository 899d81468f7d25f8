"""Sums over records: they agree with the plain definitions, however the records are cut into loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simfunnel import kpis, replicate, tally, views
from simfunnel.engines.records import MoneyRows, Moves, Prospects, Records, Tasks
from simfunnel.periods import cut
from simfunnel.plan import Plan
from simfunnel.replicate import Request
from simfunnel.results import UNITS, Outcome
from simfunnel.scenario import Scenario, load
from tests import helpers, strategies
from tests.plain import Plain

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "scenarios/quickstart.yaml"
GROUPINGS = (None, *views.GROUPINGS, "segment")


def group_names(records: Records, plan: Plan, by: str | None) -> list[str] | None:
    """The name of each prospect's group, found by looking at each."""
    if by is None:
        return None
    people, moves = records.prospects, records.moves
    names = []
    for p in range(len(people.key)):
        last = np.flatnonzero(moves.prospect == p)[-1]
        names.append(
            {
                "source": plan.source_names[people.source[p]],
                "generation": str(people.generation[p]),
                "member": [*plan.member_names, "nobody"][moves.member[last]],
                "outcome": plan.place_names[moves.goal[last]],
                "segment": (plan.attribute_levels[0] or ())[int(people.attributes[p, 0])],
            }[by]
        )
    return names


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenario=strategies.scenarios(everything=True), by=st.sampled_from(GROUPINGS), unit=st.sampled_from(UNITS))
def test_every_metric_is_as_said_plainly(scenario: Scenario, by: str | None, unit: str) -> None:
    try:
        records, plan = replicate.records_of(scenario)
    except replicate.RunError:
        return
    if len(records.moves.time) > 3000:
        return
    view = views.view_of(records, plan, unit, by)
    plain = Plain(records, plan, unit, group_names(records, plan, by), by)
    for g, name in enumerate(view.groups):
        for k in range(len(view.periods)):
            found = plain.metrics(name, k)
            assert set(found) == set(kpis.METRICS)
            for metric, value in found.items():
                got = float(view.metric(metric)[g, k])
                if kpis.METRICS[metric].unit == "prospects":
                    assert got == value, metric
                else:
                    assert got == pytest.approx(value, rel=1e-9, abs=1e-6, nan_ok=True), metric


# --- loads ------------------------------------------------------------------------------------------------------------


def alone(planner: replicate._Planner, number: int, request: Request) -> Outcome:
    """The outcome of one replication by itself."""
    (outcome,) = replicate._done(planner, [number], request).outcomes
    return outcome


def same_bytes(one: Outcome, other: Outcome) -> None:
    """Two outcomes are the same, to the last bit."""
    assert one.groups == other.groups
    for name in ("metrics", "grouped", "funnel", "queues"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    for name in ("log", "deals"):
        first, second = getattr(one, name), getattr(other, name)
        for column in first or {}:
            assert first[column].tobytes() == second[column].tobytes(), f"{name} {column}"


@pytest.mark.parametrize("chunk", [64, 1000])
@pytest.mark.parametrize("file", ["quickstart.yaml", "world/w19_credit_and_collection.yaml", "world/w05_channels.yaml"])
def test_the_size_of_loads_changes_no_outcome(chunk: int, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load(ROOT / "scenarios" / file)
    attribute = [name for name, drawn in scenario.spec.attributes.items() if drawn.levels][:1]
    asked = [Request(by=by) for by in (None, *views.GROUPINGS, *attribute)] + [Request(log=True, deals=True)]
    planner = replicate._Planner(scenario, 1)
    whole = [alone(planner, 0, request) for request in asked]
    helpers.little_room(monkeypatch, CHUNK=chunk)
    parts = len(list(replicate.loads(planner.plan(0), 1, 0, "compiled")))
    assert parts > 2
    for request, outcome in zip(asked, whole, strict=True):
        same_bytes(outcome, alone(planner, 0, request))


def test_the_engine_changes_no_outcome() -> None:
    planner = replicate._Planner(load(QUICKSTART), 1)
    one, other = (
        alone(planner, 3, Request(by="generation", log=True, deals=True, engine=engine)) for engine in replicate.ENGINES
    )
    same_bytes(one, other)


def test_groups_change_nothing_for_everyone() -> None:
    records, plan = replicate.records_of(load(QUICKSTART))
    alone = views.tallied([records], plan, UNITS)
    for by in GROUPINGS[1:]:
        both = views.tallied([records], plan, UNITS, by)
        for name, values in kpis.measured(both.view()).items():
            assert values.tobytes() == alone.view().metric(name).tobytes(), (by, name)


def test_hours_spent_on_finding_nobody_are_their_sources() -> None:
    """A source whose visits have not found anyone yet has done hours all the same, and no prospect is in any group."""
    worked = {"worked": {"team": "sellers", "effort": "2 h", "yields": 0}}
    scenario = helpers.toy(
        horizon="1 day",
        sources={"none": {}, "doors": {"rate": "24 per day", **worked}},
        teams={"sellers": {"size": 1}},
    )
    records, plan = helpers.run(scenario)
    assert len(records.prospects.key) == 0
    hours = views.view_of(records, plan, "all", "source").metric("hours")[:, 0]
    assert hours[0] == 0
    assert hours[1] == pytest.approx(views.view_of(records, plan, "all").metric("hours")[0, 0])
    assert hours[1] > 10


def test_the_loops_are_compiled_once() -> None:
    """Another type of array would compile them again, for some seconds."""
    for file in (QUICKSTART, ROOT / "scenarios/world/w05_channels.yaml"):
        records, plan = helpers.run(load(file))
        for by in (None, "source", "member"):
            views.view_of(records, plan, "week", by)
    for loop in (tally.add_people, tally.add_moves, tally.add_money, tally.add_tasks, tally.add_last_stays):
        assert len(loop.signatures) <= 1, loop  # type: ignore[attr-defined]


def test_little_is_kept_of_a_prospect() -> None:
    """Memory follows the prospects that have come by some bytes each, and not their moves."""
    records, plan = replicate.records_of(load(QUICKSTART))
    edges = cut(plan.start, plan.warm_up, plan.days, UNITS, plan.fiscal_year_ends).edges
    sums = tally.Tally(plan, edges)
    sums.add(records)
    assert sums.people.itemsize <= 32
    assert len(sums.people) <= 1.25 * len(records.prospects.key)


# --- kinds and edges --------------------------------------------------------------------------------------------------


def test_kinds_are_numbered_in_order_whatever_comes_first() -> None:
    kinds = tally.Kinds(tally.Moves, 3, 5, 2)
    kinds.learn(np.array([2, 0, 2]), np.array([4, 3, 4]), np.array([1, 0, 1]))
    assert kinds.codes.tolist() == sorted(kinds.codes)
    assert kinds.numbers.by_code[kinds.codes].tolist() == [0, 1]
    kinds.learn(np.array([0, 1, 2]), np.array([3, tally.NOWHERE, 4]), np.array([0, 1, 1]))
    assert kinds.numbers.by_code[kinds.codes].tolist() == [0, 1, 2]
    parts = (kinds.known.origin, kinds.known.goal, kinds.known.cause)
    assert list(zip(*(part.tolist() for part in parts), strict=True)) == [(0, 3, 0), (1, tally.NOWHERE, 1), (2, 4, 1)]


@pytest.mark.parametrize("by", [None, *views.GROUPINGS])
def test_what_ran_before_changes_no_outcome(by: str | None) -> None:
    """Kinds that came up in earlier replications of a plan are known in the next."""
    scenario = load(ROOT / "scenarios/world/w19_credit_and_collection.yaml")
    first = alone(replicate._Planner(scenario, 1), 0, Request(by=by))
    planner = replicate._Planner(scenario, 1)
    for number in range(1, 6):
        alone(planner, number, Request(by=by))
    same_bytes(first, alone(planner, 0, Request(by=by)))


CROWD: dict[str, Any] = {
    "teams": {f"team {k}": {"size": 2, "pay": "1.1 per h"} for k in range(12)},
    "sources": {"web": {"rate": "9.7 per day", "cost": 1.3}},
    "horizon": "40 days",
    "stages": {
        f"stage {k}": {
            "work": {"team": f"team {k}", "effort": {"exponential": "3 h"}},
            "cost_per_day": 0.1,
            "exits": {f"stage {k + 1}" if k < 11 else "lost": {"after": {"exponential": "1 day"}}},
        }
        for k in range(12)
    },
}
"""So many stages and teams that a sum over them could be added up in another order."""


@pytest.mark.parametrize("by", [None, *views.GROUPINGS])
@pytest.mark.parametrize("named", ["quickstart.yaml", "world/w19_credit_and_collection.yaml", "crowd", "uncertain"])
def test_replications_that_are_measured_together_are_as_alone(named: str, by: str | None) -> None:
    teams = {name: {"size": 2, "pay": "1 to 3 per h"} for name in CROWD["teams"]}
    uncertain = {**CROWD, "sources": {"web": {"rate": "5 to 9 per day"}}, "teams": teams}
    made = {"crowd": CROWD, "uncertain": uncertain}
    scenario = helpers.toy(**made[named]) if named in made else load(ROOT / "scenarios" / named)
    request = Request(by=by, log=True)
    several = replicate._done(replicate._Planner(scenario, 1), [*range(5), 2], request).outcomes
    assert [outcome.number for outcome in several] == [*range(5), 2]
    for outcome in several:
        same_bytes(outcome, alone(replicate._Planner(scenario, 1), outcome.number, request))


@pytest.mark.parametrize(("together", "numbers", "most"), [(3, 1 << 30, 3), (16, 1, 1)])
def test_few_are_held_until_they_are_measured(
    together: int, numbers: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have a plan of its own, of megabytes."""
    sizes, measured = list[int](), replicate._measured
    monkeypatch.setattr(replicate, "TOGETHER", together)
    monkeypatch.setattr(replicate, "NUMBERS", numbers)
    monkeypatch.setattr(replicate, "_measured", lambda several: sizes.append(len(several)) or measured(several))
    batch = replicate._done(replicate._Planner(load(QUICKSTART), 1), list(range(7)), Request())
    assert [outcome.number for outcome in batch.outcomes] == list(range(7))
    assert sum(sizes) == 7
    assert max(sizes) == most


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenario=strategies.scenarios(everything=True), by=st.sampled_from(GROUPINGS))
def test_of_any_scenario_too(scenario: Scenario, by: str | None) -> None:
    planner, request = replicate._Planner(scenario, 1), Request(by=by)
    batch = replicate._done(planner, [0, 1, 2], request)
    for outcome in batch.outcomes:
        same_bytes(outcome, alone(planner, outcome.number, request))
    assert batch.error or len(batch.outcomes) == 3


def test_kinds_that_come_up_elsewhere_meanwhile_change_nothing() -> None:
    """Two replications of a plan that are added up at the same time share what is known of kinds."""
    plan = replicate._Planner(load(QUICKSTART), 1).plan(0)
    edges = cut(plan.start, plan.warm_up, plan.days, UNITS, plan.fiscal_year_ends).edges
    one, other = (replicate.simulate(plan, 1, number, "compiled") for number in (0, 1))
    sums = tally.Tally(plan, edges)
    sums.add(one)
    tally.Tally(plan, edges).add(other)
    together = sums.finish()
    alone = tally.Tally(replicate._Planner(load(QUICKSTART), 1).plan(0), edges)
    alone.add(one)
    for name, cube in alone.finish().cubes._asdict().items():
        other_cube = getattr(together.cubes, name)
        assert cube[cube != 0].tobytes() == other_cube[other_cube != 0].tobytes(), name


@pytest.mark.parametrize(("t", "column"), [(-1, 0), (0, 1), (9.5, 1), (10, 2), (30, 2), (30.5, 3)])
def test_a_time_at_an_edge_belongs_to_the_later_interval_but_at_the_very_end(t: float, column: int) -> None:
    """A single move, without anything before or after it, found by the column in which it is counted."""
    records, plan = replicate.records_of(helpers.toy())
    one = Records(
        Prospects(*(column[:1] for column in vars(records.prospects).values())),
        Moves(*(column[:1] for column in vars(replace(records.moves, time=np.array([t, t]))).values())),
        Tasks(*(column[:0] for column in vars(records.tasks).values())),
        MoneyRows(*(column[:0] for column in vars(records.money).values())),
        1,
    )
    sums = tally.Tally(plan, np.array([0.0, 10.0, 30.0]))
    sums.add(one)
    assert np.flatnonzero(sums.finish().cubes.moves.sum(axis=(0, 1))).tolist() == [column]
