"""A scenario in words: whatever a sales manager must be able to read and contradict is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from simfunnel.describing import describe, effect
from simfunnel.scenario import load
from simfunnel.scenario.spec import EffectSpec
from tests.helpers import MONDAY, toy

EXAMPLE = load(Path(__file__).parent / "example.yaml")
TOLD = describe(EXAMPLE.spec, EXAMPLE.warnings)


@pytest.mark.parametrize(
    "words",
    [
        "Example: Every key once.",
        "from 2026-10-01 for 182 days, of which the first 7 are not counted",
        "work on Mon, Tue, Wed, Thu, Fri 09:00-12:00, 13:00-17:00; money in EUR",
        "segment (smb, mid, enterprise)",
        "seats (a number)",
        "a prospect is worth, on average by segment: enterprise",
        "4 numbers are uncertain",
        "inbound: about 1,263 in all, 48.6 a week on average; the rate changes; costs 85 EUR each",
        "expo: a list of 300 on 2026-11-02, into quote; costs 40.0k EUR once",
        "open: 2 deals already open",
        "referral: those whom others bring",
        "those whose seats is under 2 go straight to lost",
        "sdr: 30 min of work",
        "each time costs 2 EUR",
        "waits 3 days on average for someone, then goes to nursery",
        "45% to 55% to quote, after 5 days on average",
        "the rest, 50%, to lost",
        "costs 0.1 EUR a day for each who is here",
        "40% never leave",
        "; authority becomes decides and seats becomes 20",
        "closer: 2 h of work, 3 times, 4 days apart",
        "after 120 days on average, if nothing comes before, to nursery",
        "books its value, earned over 1 year",
        "is paid 20% of its value",
        "costs 3% of its value",
        "brings 0.4 prospects to referral after 60 days, again every 1 year; 500 EUR for each who buys",
        "partner (nobody comes): a customer",
        "the end is lost or churned",
        "closer (5 members): asked",
        "inquiry -> quote: odds /7, when waited is 1 h to 24 h",
        "quote -> customer: odds x1.3 to x1.6, when quarter_day is last 14 and segment is smb or mid",
        "Referral chains die out",
        "without effects, waiting and giving up",
        "Warning: stage 'partner' can't be reached from any source.",
    ],
)
def test_it_is_told(words: str) -> None:
    assert words in TOLD, TOLD


def test_every_source_stage_and_team_has_its_line() -> None:
    lines = [line.strip() for line in TOLD.splitlines()]
    for name in [*EXAMPLE.spec.sources, *EXAMPLE.spec.stages, *EXAMPLE.spec.teams]:
        assert any(line.startswith((f"{name}:", f"{name} (")) for line in lines), name


WORK = {"lead": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"lost": {}}}}


@pytest.mark.parametrize(
    ("leads", "verdict"),
    [
        (10, "33%; has time to spare"),
        (27, "90%; is close to its limit"),
        (60, "200%; is asked for more than it has: its queue grows without end"),
    ],
)
def test_verdict_on_a_team(leads: int, verdict: str) -> None:
    """One member, thirty hours a week, in one week."""
    scenario = toy(
        horizon="1 week",
        calendar={"days": "Mon-Fri", "hours": "09:00-15:00"},
        sources={"list": {"at": MONDAY, "size": leads}},
        teams={"reps": {"size": 1}},
        stages=WORK,
    )
    assert verdict in describe(scenario.spec)


def test_team_of_nobody_and_stage_visited_for_ever() -> None:
    told = describe(
        toy(
            teams={"reps": {"size": 0}},
            stages={
                "a": {"work": {"team": "reps", "effort": "1 h"}, "exits": {"b": {"after": "9 days"}}},
                "b": {"exits": {"a": {}}},
            },
        ).spec
    )
    assert "reps (0 members): asked" in told
    assert "far over 100%" in told
    assert "again and again" in told


def test_chain_that_explodes_is_told() -> None:
    scenario = toy(
        sources={"list": {"at": MONDAY, "size": 1}, "referral": {}},
        stages={"lead": {"refers": {"number": 2, "after": "30 days", "source": "referral"}}},
    )
    assert "Warning: chains of referrals explode: each generation is 2 times the one before" in describe(scenario.spec)


def test_small_scenario_says_no_more_than_it_has() -> None:
    told = describe(toy().spec)
    assert "everyone works round the clock" in told
    for absent in ("Who works", "What changes", "Referral", "Warning", "uncertain", "each prospect has", "worth"):
        assert absent not in told


def test_factor_is_told_as_people_write_it() -> None:
    assert effect(EffectSpec(on=("a -> b",), odds="/7")).endswith("odds /7")
    assert effect(EffectSpec(on=("a",), effort="-10%")).endswith("effort x0.9")
    assert effect(EffectSpec(value="x0")).startswith("everywhere: value x0")
