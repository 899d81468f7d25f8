from datetime import date

import numpy as np
import pandas as pd
import pytest

from simfunnel.comparison import compare
from simfunnel.errors import InputError
from simfunnel.forecasting import forecast, from_today
from simfunnel.scenario import load_text

MODEL = """
name: Model
start: 2026-10-01
horizon: 2 quarters
sources:
  web: {rate: 1 per day}
  open deals: {deals: []}
attributes: {size: {small: 50%, large: 50%}}
value: 1000
teams: {sellers: {members: [{name: Ana}, {name: Bo}]}}
stages:
  open:
    work: {team: sellers, effort: 1 h}
    exits:
      won: {chance: 40%, after: {exponential: 30 days}}
      lost: {after: {exponential: 30 days}}
  won: {books: value}
"""


def deals(count, **columns):
    table = {"id": [f"d{k}" for k in range(count)], "stage": "open", "age": 10.0, "value": 500.0, "member": "Ana"}
    return pd.DataFrame(table | columns)


@pytest.fixture(scope="module")
def model():
    return load_text(MODEL)


def test_open_deals_close_as_their_age_and_the_odds_say(model):
    quiet = model.override({"sources.web.rate": 0})
    result = forecast(quiet, deals(400), as_of=date(2026, 9, 30), quarters=1, replications=20)
    wins = result.total("wins").to_numpy()
    chance = 0.4 * (1 - np.exp(-92 / 30))  # exponential times forget the age, and 92 days are left
    error = wins.std(ddof=1) / np.sqrt(len(wins))
    assert abs(wins.mean() - 400 * chance) < 4 * error
    assert set(result.parts.part) == {"open deals", "not yet created"}
    assert result.total("bookings").to_numpy() == pytest.approx(500 * wins)


def test_parts_add_up_to_all_bookings_of_the_run(model):
    result = forecast(model, deals(20), as_of=date(2026, 9, 30), replications=5)
    assert result.total("bookings").to_numpy() == pytest.approx(result.runs.values("bookings").to_numpy())


def test_the_current_quarter_counts_as_the_first(model):
    result = forecast(model, deals(5), as_of=date(2026, 11, 15), quarters=2, replications=2)
    assert result.scenario.spec.start == date(2026, 11, 16)
    assert result.scenario.spec.days == (date(2027, 4, 1) - date(2026, 11, 16)).days


def test_each_deal_has_its_chance_and_date(model):
    result = forecast(model, deals(3, age=[1.0, 40.0, 90.0]), as_of=date(2026, 9, 30), replications=200)
    table = result.deals.set_index("deal")
    chance = 0.4 * (1 - np.exp(-92 / 30))
    error = np.sqrt(chance * (1 - chance) / 200)
    assert (abs(table["won by end of 2026Q4"] - chance) < 4 * error).all()
    assert (table["won by end of 2027Q1"] >= table["won by end of 2026Q4"]).all()
    assert (table["date P10"] <= table["date P90"]).all()


def test_the_chance_of_a_target_is_the_share_of_replications_that_reach_it(model):
    result = forecast(model, deals(50), as_of=date(2026, 9, 30), replications=20, target=25_000)
    reached = (result.total()["2026Q4"] >= 25_000).mean()
    assert result.prob_target()["2026Q4"] == reached
    assert 0 < reached < 1


def test_one_deal_more_changes_no_other_deals_luck(model):
    few = forecast(model, deals(10), as_of=date(2026, 9, 30), replications=10)
    more = forecast(model, deals(11), as_of=date(2026, 9, 30), replications=10)
    ours = more.deals[more.deals.deal != "d10"].sort_values("deal").reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, few.deals.sort_values("deal").reset_index(drop=True))


def test_what_the_scenario_does_not_know_is_noted(model):
    table = deals(3, member=["Ana", "Nobody", None], size=["small", "tiny", None])
    result = forecast(model, table, as_of=date(2026, 9, 30), replications=2)
    assert any("1 open deals are owned by nobody" in note for note in result.notes)
    assert any("1 open deals have a size" in note for note in result.notes)


def test_deals_in_a_stage_that_the_scenario_has_not_are_refused(model):
    with pytest.raises(
        InputError, match=r"'opne' is no stage of the scenario; allowed: open, won. Did you mean 'open'"
    ):
        forecast(model, deals(1, stage="opne"), as_of=date(2026, 9, 30), replications=2)


def test_no_open_deals_at_all(model):
    result = forecast(model, deals(0), as_of=date(2026, 9, 30), replications=3)
    assert result.deals.empty
    assert set(result.parts.part) == {"open deals", "not yet created"} or set(result.parts.part) == {"not yet created"}


def test_a_history_gives_what_is_already_won(model, tmp_path):
    from simfunnel.crm.importing import read_crm

    file = tmp_path / "deals.csv"
    rows = ["id,created,closed,stage,amount,owner"]
    rows += [f"o{k},2026-10-0{k + 1},,open,,Ana" for k in range(5)]
    rows += [f"w{k},2026-09-0{k + 1},2026-10-1{k},won,700,Ana" for k in range(3)]
    rows += [f"l{k},2026-09-0{k + 1},2026-10-1{k},lost,0,Bo" for k in range(4)]
    rows += ["w9,2026-08-01,2026-09-20,won,999,Ana", "late,2026-10-01,2026-11-20,won,5000,Ana"]
    file.write_text("\n".join(rows))
    history = read_crm(file, as_of="2026-10-31")
    result = forecast(model, history, replications=3)
    won = result.table[(result.table.part == "already won")].set_index("metric")["mean"]
    assert won["wins"] == 3
    assert won["bookings"] == 2100
    assert "late" in set(result.deals.deal)  # won after the as-of date, so it is open still


def test_without_open_deals_the_forecast_says_what_it_lacks(model):
    result = forecast(model, as_of=date(2026, 9, 30), replications=2)
    assert any("no open deals were given" in note for note in result.notes)


def test_a_comparison_can_begin_from_today(model):
    base = from_today(model, deals(30), as_of=date(2026, 9, 30))
    more = base.override({"teams.sellers.members": {"Cy": {}}}, name="one more")
    result = compare(base, more, replications=3)
    same = forecast(model, deals(30), as_of=date(2026, 9, 30), replications=3)
    assert result.baseline.values("wins").equals(same.runs.values("wins"))
    assert len(more.spec.teams["sellers"].members or ()) == 3
