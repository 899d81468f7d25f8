"""W3: each cell of money, authority and need goes its own way; the empty one uses no hours once stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpi_tables
from simfunnel.engines.records import Records
from simfunnel.plan import Plan
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
SORTED, ALIKE = WORLD / "w03_money_authority_need.yaml", WORLD / "w03_everyone_alike.yaml"
N = 8
CELLS = {  # money, authority, need: where it goes after the sorting
    (1, 1, 1): "pitch",
    (0, 1, 1): "arrange_credit",
    (1, 0, 1): "find_who_decides",
    (1, 1, 0): "sell_harder",
    (1, 0, 0): "await_need",
    (0, 1, 0): "await_need",
    (0, 0, 1): "await_contact",
    (0, 0, 0): "stopped",
}
Run = tuple[Records, Plan]


@pytest.fixture(scope="module")
def triage() -> list[Run]:
    return [helpers.run(sf.load(SORTED), k) for k in range(N)]


@pytest.fixture(scope="module")
def alike() -> list[Run]:
    return [helpers.run(sf.load(ALIKE), k) for k in range(N)]


def cells(records: Records) -> np.ndarray:
    """Money, authority and need of each prospect at birth, 1 where present (the first level)."""
    return (records.prospects.attributes == 0).astype(int)


def lives(run: Run) -> dict[int, list[str]]:
    """The places of each prospect, in order, by row."""
    table = helpers.moves(*run)
    return table.groupby("prospect").goal.apply(list).to_dict()


def hours_after_the_talk(run: Run, which: np.ndarray) -> int:
    """How many tasks of a seller the chosen prospects got after the first talk."""
    table = helpers.tasks(*run)
    return int(((table.outcome == "served") & (table.stage != "first_talk") & which[table.prospect]).sum())


def test_the_cell_decides_what_follows_the_first_talk(triage: list[Run]) -> None:
    seen = set()
    for run in triage:
        cell = cells(run[0])
        for row, places in lives(run).items():
            if "sort" in places[:-1]:
                assert places[places.index("sort") + 1] == CELLS[tuple(cell[row])]
                seen.add(tuple(cell[row]))
    assert seen == set(CELLS)


def test_the_empty_cell_uses_no_hours_once_stopped(triage: list[Run], alike: list[Run]) -> None:
    for run, other in zip(triage, alike, strict=True):
        assert (cells(run[0]).sum(axis=1) == 0).sum() > 30
        assert hours_after_the_talk(run, cells(run[0]).sum(axis=1) == 0) == 0
        assert hours_after_the_talk(other, cells(other[0]).sum(axis=1) == 0) > 0


def test_stopping_on_the_empty_cell_costs_what_three_divisions_by_twelve_leave(alike: list[Run]) -> None:
    """Where all get the pitch, each thing missing divides even odds by twelve: the empty cell hardly ever buys."""
    pitched, bought = np.zeros(4), np.zeros(4)
    for run in alike:
        missing = 3 - cells(run[0]).sum(axis=1)
        for row, places in lives(run).items():
            if "pitch" in places[:-1] and run[0].moves.cause[run[0].moves.prospect == row][-1] != 3:
                pitched[missing[row]] += 1
                bought[missing[row]] += places[-1] == "customer"
    for k in range(4):
        chance = 12.0**-k / (1 + 12.0**-k)
        se = np.sqrt(chance * (1 - chance) / pitched[k])
        helpers.Estimate(bought[k] / pitched[k], se, int(pitched[k])).check(chance, f"{k} missing")


def test_cultivation_turns_an_absent_need_into_a_present_one(triage: list[Run]) -> None:
    """One in five wakes; who had money then lacks authority alone, and who had authority lacks money alone."""
    woken = []
    for run in triage:
        cell = cells(run[0])
        for row, places in lives(run).items():
            if "await_need" in places[:-1]:
                after = places[places.index("await_need") + 1 :]
                woken.append(after[0] == "sort")
                if after[0] == "sort":
                    assert after[1] == ("find_who_decides" if cell[row][0] else "arrange_credit")
    helpers.share_of(woken, 0.2).check(0.2, "woken", precision=0.15)


def an_hour(run: Run) -> float:
    """Wins for an hour of the sellers'."""
    found = kpi_tables.measure(*run, "all", metrics=["wins", "hours"]).set_index("metric").value
    return float(found.wins / found.hours)


def test_sorting_wins_more_for_a_sellers_hour(triage: list[Run], alike: list[Run]) -> None:
    gain = helpers.mean_of([an_hour(a) - an_hour(b) for a, b in zip(triage, alike, strict=True)])
    assert gain.mean > 4 * gain.se


def test_sorting_is_no_use_where_nothing_missing_lowers_the_odds() -> None:
    pairs = [[helpers.run(sf.load(f).override({"effects": []}), k) for f in (SORTED, ALIKE)] for k in range(N)]
    gain = helpers.mean_of([an_hour(a) - an_hour(b) for a, b in pairs])
    assert gain.mean < -4 * gain.se


def test_touches_of_cultivation_take_no_hours(triage: list[Run]) -> None:
    tables = pd.concat([helpers.tasks(*run) for run in triage])
    assert not set(tables.stage) & {"await_need", "await_contact"}
    paid = sum(amount for run in triage for _, kind, amount in helpers.money(*run) if kind == "touch cost")
    assert paid > 0
