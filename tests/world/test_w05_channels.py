"""W5: worked channels make prospects in proportion to the hours spent on them; the others come whoever works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.engines.records import SERVED
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
FILE, CALLS = WORLD / "w05_channels.yaml", WORLD / "w05_calls_for_doors.yaml"
N = 4
WORKED = {"doors": (15 / 60, 0.05), "telephone": (6 / 60, 0.03), "fair": (10 / 60, 0.12), "competitors": (45 / 60, 0.1)}
"""As in the file's comment: hours of a visit, prospects that it finds."""


def channels(scenario: sf.Scenario) -> pd.DataFrame:
    """Hours of finding done, and prospects found or come, by channel and replication."""
    parts = []
    for k in range(N):
        records, plan = helpers.run(scenario, k)
        begun, ended = helpers.hours_of_tasks(records, plan)
        tasks = records.tasks
        finding = tasks.prospect[tasks.outcome == SERVED] < 0
        done = np.maximum(0, ended - begun)[finding]
        hours = np.bincount(tasks.source[tasks.outcome == SERVED][finding], done, len(plan.source_names))
        came = np.bincount(records.prospects.source, minlength=len(plan.source_names))
        parts.append(pd.DataFrame({"channel": plan.source_names, "hours": hours, "came": came}))
    return pd.concat(parts)


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return channels(sf.load(FILE))


@pytest.fixture(scope="module")
def short_of_hours() -> pd.DataFrame:
    """One seller in place of two: the visits planned can't all be made."""
    return channels(sf.load(FILE).override({"teams.sellers.size": 1}))


@pytest.mark.parametrize("channel", WORKED)
def test_a_worked_channel_finds_as_many_an_hour_as_the_file_says(channel: str, base: pd.DataFrame) -> None:
    hours, found = WORKED[channel]
    mine = base[base.channel == channel]
    visits = mine.hours.sum() / hours
    assert visits == pytest.approx(round(visits), abs=2 * N)  # whole visits, but for those in hand at the end
    se = np.sqrt(visits * found * (1 - found))
    helpers.Estimate(mine.came.sum(), se, N).check(visits * found, channel, precision=0.3)


def test_fewer_hours_find_proportionally_fewer(base: pd.DataFrame, short_of_hours: pd.DataFrame) -> None:
    few, many = (t[t.channel.isin(WORKED)].groupby("channel").sum() for t in (short_of_hours, base))
    assert few.hours.sum() < 0.7 * many.hours.sum()
    expected = sum(few.hours[c] / hours * found for c, (hours, found) in WORKED.items())
    spread = sum(few.hours[c] / hours * found * (1 - found) for c, (hours, found) in WORKED.items())
    helpers.Estimate(few.came.sum(), np.sqrt(spread), N).check(expected, "found", precision=0.15)


def test_without_sellers_only_bought_channels_bring_anyone(base: pd.DataFrame) -> None:
    """And those that are bought bring the very same."""
    nobody = channels(sf.load(FILE).override({"teams.sellers.size": 0, "teams.sellers.pay": None}))
    assert nobody.hours.sum() == 0
    for channel in WORKED:
        assert nobody[nobody.channel == channel].came.sum() == 0
    for channel in ("letters", "internet", "scouts", "friends"):
        assert nobody[nobody.channel == channel].came.tolist() == base[base.channel == channel].came.tolist()


def test_the_finder_talks_to_whom_they_found() -> None:
    """Each prospect of a worked channel is served by the member in whose name it came; friends come in nobody's."""
    records, plan = helpers.run(sf.load(FILE))
    came = helpers.moves(records, plan).query("cause == 'came'").set_index("prospect").member
    served = helpers.tasks(records, plan).query("stage == 'talk' and outcome == 'served'")
    found = served[served.source.isin(WORKED)]
    assert len(found) > 20
    assert (found.member == came[found.prospect].to_numpy()).all()
    assert came[served[served.source == "friends"].prospect].isna().all()


def test_calls_in_place_of_doors_find_more_who_buy_less_often(base: pd.DataFrame) -> None:
    """The hours of 40 doors are those of 100 calls, which find 3 prospects in place of 2, at half the odds."""
    scenario = sf.load(CALLS)
    calls = channels(scenario)
    more = calls[calls.channel == "telephone"].came.to_numpy() - sum(
        base[base.channel == c].came.to_numpy() for c in ("doors", "telephone")
    )
    helpers.mean_of(more).check((100 * 0.03 - 40 * 0.05) * scenario.spec.days / 7, "prospects more")
    assert more.sum() > 0
