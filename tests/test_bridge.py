"""The bridge between two forecasts: each planted change shows up in its own step, and the steps add up."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from simfunnel.crm import History
from simfunnel.errors import InputError
from simfunnel.forecasting.bridge_files import results_json, write_bridge
from simfunnel.forecasting.bridging import STEPS, bridge, rounded_steps
from simfunnel.forecasting.forecast import forecast
from simfunnel.scenario import load_text

# With 200 sellers nobody waits for one, so that a deal changes nothing for the others.
MODEL = """
name: Model
start: 2026-10-01
horizon: 2 quarters
sources:
  web: {rate: 1 per day}
  open deals: {deals: []}
attributes: {size: {small: 50%, large: 50%}}
value: 1000
teams: {sellers: {size: 200}}
stages:
  open:
    work: {team: sellers, effort: 1 h}
    exits:
      late: {chance: 60%, after: {exponential: 20 days}}
      lost: {after: {exponential: 30 days}}
  late:
    exits:
      won: {chance: 80%, after: {exponential: 10 days}}
      lost: {after: {exponential: 10 days}}
  won: {books: value}
"""


def history(as_of, rows):
    """A history of deals, each given as what differs from a small open one of age 20 days."""
    usual = {"stage": "open", "age": 20.0, "value": 500.0, "outcome": "open", "size": "small"}
    deals = pd.DataFrame([usual | {"id": name} | row for name, row in rows.items()])
    return Listed(pd.Timestamp(as_of).date(), deals)


class Listed(History):
    """A history that says itself which deals are open, and in which stage."""

    def __init__(self, as_of, listed):
        closed = [pd.Timestamp(row["closed"]) if "closed" in row else pd.NaT for row in listed.to_dict("records")]
        born = pd.Timestamp(as_of) - pd.to_timedelta(listed["age"], unit="D")
        deals = listed.assign(closed=pd.to_datetime(pd.Series(closed)), owner=None, created=born)
        said = {
            "as_of": as_of,
            "deals": deals,
            "attributes": ("size",),
            "open_stage": "open",
            "stages": ("open", "late"),
            "visits": pd.DataFrame({"entered": born}),
        }
        for name, value in said.items():
            object.__setattr__(self, name, value)

    def open_deals(self, *, as_one_stage=False):
        here = self.deals[self.deals["outcome"] == "open"]
        return here[["id", "stage", "age", "value", "size"]].assign(member=None).reset_index(drop=True)


DEALS = {f"d{k:02}": {} for k in range(12)}
DAY = "2026-11-15"


@pytest.fixture(scope="module")
def model():
    return load_text(MODEL)


def built(model, before, after, days=(DAY, DAY), other=None, **options):
    options = {"replications": 20} | options
    return bridge(model, other, history(days[0], before), history(days[1], after), **options)


def steps(result):
    changes = result.table.set_index("step")["change"]
    return changes.drop(["before", "after"])


def test_the_same_forecast_twice_has_an_empty_bridge(model):
    result = built(model, DEALS, DEALS)
    assert list(steps(result).index) == list(STEPS)
    assert (steps(result) == 0).all()


@pytest.mark.parametrize(
    ("step", "deal", "row"),
    [
        ("won", "d03", {"outcome": "won", "closed": "2026-11-10", "value": 700.0}),
        ("lost", "d03", {"outcome": "lost", "closed": "2026-11-10"}),
        ("pulled in", "d03", {"stage": "late", "age": 1.0}),
        ("new deals", "d99", {"age": 1.0}),
        ("value changes", "d03", {"value": 900.0}),
        ("other changes", "d03", {"size": "large"}),
    ],
)
def test_a_planted_change_of_a_deal_shows_in_its_step_alone(model, step, deal, row):
    dear = model.override({"effects": [{"when": {"size": "large"}, "on": "open -> late", "odds": "x3"}]})
    result = built(dear, DEALS, DEALS | {deal: row})
    changes = steps(result)
    assert changes[step] != 0
    assert (changes.drop(step) == 0).all()
    mine = result.deals.set_index("deal").loc[deal]
    assert mine["change"] == pytest.approx(changes[step], rel=1e-12)
    assert mine[step] == pytest.approx(changes[step], rel=1e-12)


def test_new_deals_are_counted_that_are_lost_already(model):
    since = {"d98": {"age": 1.0}, "d99": {"age": 3.0, "outcome": "lost", "closed": "2026-11-14"}}
    result = built(model, DEALS, DEALS | since, days=("2026-11-11", DAY))
    assert result.table.set_index("step").loc["new deals", "deals"] == 2


def test_a_deal_that_goes_back_is_pushed_out(model):
    before = DEALS | {"d03": {"stage": "late", "age": 1.0}}
    changes = steps(built(model, before, DEALS))
    assert changes["pushed out"] < 0
    assert (changes.drop("pushed out") == 0).all()


def test_a_won_deal_counts_what_it_booked_less_what_was_expected(model):
    result = built(model, DEALS, DEALS | {"d03": {"outcome": "won", "closed": "2026-11-10", "value": 700.0}})
    mine = result.deals.set_index("deal").loc["d03"]
    assert mine["expected_after"] == 700
    assert steps(result)["won"] == pytest.approx(700 - mine["expected_before"], rel=1e-12)
    assert 0 < mine["expected_before"] < 500


def test_rates_and_capacity_are_told_apart(model):
    odds = model.override({"stages.late.exits.won.chance": "90%"})
    changes = steps(built(model, DEALS, DEALS, other=odds))
    assert changes["rates"] > 0
    assert (changes.drop("rates") == 0).all()
    slow = model.override({"teams.sellers.size": 1, "stages.open.work.effort": "6 h"})
    fast = slow.override({"teams.sellers.size": 50})
    changes = steps(built(slow, DEALS, DEALS, other=fast))
    assert changes["capacity"] > 0
    assert (changes.drop("capacity") == 0).all()


def everything(model, **options):
    """A bridge over three weeks in which something of every kind happened."""
    after = {name: row | {"age": 41.0} for name, row in DEALS.items()} | {
        "d00": {"outcome": "won", "closed": "2026-11-20", "value": 650.0},
        "d01": {"outcome": "lost", "closed": "2026-11-20"},
        "d02": {"stage": "late", "age": 4.0},
        "d03": {"age": 41.0, "value": 900.0},
        "n1": {"age": 4.0},
        "n2": {"outcome": "won", "closed": "2026-12-01", "value": 300.0},
        "w1": {"outcome": "won", "closed": "2026-10-20", "value": 400.0},
    }
    del after["d04"]
    other = model.override({"stages.late.exits.won.chance": "70%", "teams.sellers.size": 3})
    before = DEALS | {"w1": {"outcome": "won", "closed": "2026-10-20", "value": 400.0}}
    return built(model, before, after, (DAY, "2026-12-06"), other, target=15_000, **options)


def test_the_steps_add_up_to_the_difference_and_the_deals_to_the_steps(model):
    result = everything(model)
    ends = result.table.set_index("step")
    whole = ends.loc["after", "expected"] - ends.loc["before", "expected"]
    assert steps(result).sum() == pytest.approx(whole, rel=1e-9)
    assert ends["p50_change"].sum() == pytest.approx(ends.loc["after", "p50"] - ends.loc["before", "p50"], rel=1e-9)
    chances = ends["chance"]
    assert ends["chance_change"].sum() == pytest.approx(chances["after"] - chances["before"], abs=1e-12)
    by_deal = result.deals.set_index("deal")
    assert by_deal[list(STEPS)].sum().to_numpy() == pytest.approx(steps(result).to_numpy(), rel=1e-9, abs=1e-9)
    first, *changes, last = rounded_steps(result.table)
    assert first + sum(changes) == pytest.approx(last, rel=1e-12)
    assert any("1 deals are gone from the later export, such as d04" in note for note in result.notes)


def test_both_ends_are_what_forecast_says(model):
    result = everything(model)
    rows = DEALS | {"w1": {"outcome": "won", "closed": "2026-10-20", "value": 400.0}}
    alone = forecast(model, history(DAY, rows), quarters=2, replications=20)
    assert result.totals["before"].to_numpy() == pytest.approx(alone.total()["2026Q4"].to_numpy(), rel=1e-12)


def test_a_standard_error_is_that_of_the_paired_difference(model):
    result = everything(model)
    paired = result.totals["won"] - result.totals["before"]
    row = result.table.set_index("step").loc["won"]
    assert row["change"] == pytest.approx(paired.mean(), rel=1e-9)
    assert row["se"] == pytest.approx(paired.std(ddof=1) / np.sqrt(20), rel=1e-9)


def test_workers_change_nothing(model):
    one, two = (everything(model, workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.totals, two.totals)


def test_deals_that_only_wait_lose_by_the_time_that_passed(model):
    later = {name: {"age": 41.0} for name in DEALS}
    changes = steps(built(model, DEALS, later, (DAY, "2026-12-06"), replications=100))
    assert changes["time passed"] < 0
    assert (changes.drop(["time passed", "new deals"]) == 0).all()


def test_a_later_quarter_can_be_asked_for(model):
    result = built(model, DEALS, DEALS, period="2027Q1")
    assert result.period == "2027Q1"
    assert result.table["expected"].iloc[0] > 0
    with pytest.raises(InputError, match="'2026Q3' is no quarter that both forecasts see; allowed: 2026Q4, 2027Q1"):
        built(model, DEALS, DEALS, period="2026Q3")


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(InputError, match="2026-11-01, lies before the earlier one's, 2026-11-15"):
        built(model, DEALS, DEALS, (DAY, "2026-11-01"))
    with pytest.raises(InputError, match="differ in currency"):
        built(model, DEALS, DEALS, other=model.override({"currency": "EUR"}))


def test_a_later_model_that_needs_its_own_teams_has_one_step_for_both(model):
    other = model.override({"teams": {"closers": {"size": 5}, "sellers": None}, "stages.open.work.team": "closers"})
    result = built(model, DEALS, DEALS, other=other)
    assert "capacity" not in set(result.table["step"])
    assert any("holds capacity as well" in note for note in result.notes)


def test_the_folder_and_the_json_hold_every_step(model, tmp_path):
    result = everything(model)
    folder = write_bridge(result, tmp_path / "out")
    assert (folder / "pictures" / "bridge.png").is_file()
    table = pd.read_csv(folder / "tables" / "bridge.csv")
    assert list(table["step"]) == ["before", *STEPS, "after"]
    said = json.loads(json.dumps(results_json(result), allow_nan=False))
    assert said["period"] == "2026Q4"
    assert said["from"] == date(2026, 11, 15).isoformat()
    assert [step["step"] for step in said["steps"]] == ["before", *STEPS, "after"]


def test_the_public_name_is_the_function_each_time():
    import simfunnel as sf

    assert sf.bridge is bridge
    assert sf.bridge is bridge  # importing its module has not put the module in its place
