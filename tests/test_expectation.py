"""What `check` says of a model, against answers worked out by hand."""

import numpy as np
import pytest

from simfunnel.describing import describe
from simfunnel.expectation import expect
from simfunnel.scenario import load, load_text

MODEL = """
name: Model
start: 2026-01-05
horizon: 4 weeks
calendar: {days: Mon-Fri, hours: "09:00-17:00"}
sources:
  web: {rate: 10 per week}
  fair: {at: 2026-01-12, size: 20}
  friends: {}
teams:
  sellers: {size: 2, selling_time: 50%}
stages:
  talk:
    work: {team: sellers, effort: 2 h, touches: 3, every: 1 day}
    exits:
      offer: {chance: 40%}
      lost: {after: 3 days}
  offer:
    exits:
      won: {chance: 50%}
      talk: {chance: 10%}
      lost: {}
  won:
    books: 100
    refers: {number: 2, after: 5 days, source: friends, reward: 30}
"""


@pytest.fixture(scope="module")
def expected():
    return expect(load_text(MODEL).spec)


def test_visits_solve_the_absorbing_chain(expected):
    talk = 1 / (1 - 0.4 * 0.1)  # once, and again after each offer that goes back
    assert expected.visits[0] == pytest.approx([talk, 0.4 * talk, 0.2 * talk])


def test_referrals_grow_by_the_mean_number_of_a_generation(expected):
    assert expected.growth == pytest.approx(2 * 0.2 / 0.96)


def test_arrivals_count_all_generations_of_referrals(expected):
    assert expected.arrivals["web"] == pytest.approx(40)
    assert expected.arrivals["fair"] == 20
    growth = 2 * 0.2 / 0.96
    assert expected.arrivals["friends"] == pytest.approx(60 * growth / (1 - growth))


def test_a_teams_load_is_hours_asked_of_hours_offered(expected):
    growth = 2 * 0.2 / 0.96
    entering = 60 / (1 - growth) / 0.96
    load = expected.loads[0]
    assert load.offered == pytest.approx(2 * 40 * 0.5)
    assert load.asked == pytest.approx(entering * 6 / 4)
    assert load.share == pytest.approx(load.asked / load.offered)


def test_members_who_come_late_or_leave_offer_less():
    spec = load_text(
        MODEL.replace(
            "{size: 2, selling_time: 50%}", "{members: [{name: A, hired: 2026-01-19}, {name: B, leaves: 2026-01-12}]}"
        )
    ).spec
    assert expect(spec).loads[0].offered == pytest.approx((80 + 40) / 4)


def test_an_explosion_of_referrals_is_told():
    spec = load_text(MODEL.replace("number: 2", "number: 6")).spec
    assert expect(spec).growth == pytest.approx(6 * 0.2 / 0.96)
    assert "Referral chains explode: each generation is 1.25 times" in describe(spec)


def test_a_team_without_members_is_asked_for_infinitely_more_than_it_has():
    spec = load_text(MODEL.replace("{size: 2, selling_time: 50%}", "{size: 0}")).spec
    assert np.isinf(expect(spec).loads[0].share)
    assert "far over 100%" in describe(spec)


def test_the_model_is_told_in_words(expected):
    text = describe(load_text(MODEL).spec, ("something odd",))
    for words in (
        "sellers: 2 h of work, 3 times, 1 day apart",
        "40% to offer",
        "the rest, 60% to lost, after 3 days on average",
        "brings 2 prospects to friends after 5 days; 30 USD for each who buys",
        "sellers (2 members): asked 161 of 40, 402%; is asked for more than it has",
        "Warning: something odd.",
    ):
        assert words in text


def test_the_quickstart_can_be_described(request):
    scenario = load(request.config.rootpath / "scenarios" / "quickstart.yaml")
    text = describe(scenario.spec, scenario.warnings)
    assert "reps (2 members)" in text
    assert "odds x1.8, when source is referral" in text
