import json
import sys
from datetime import date

import numpy as np
import pandas as pd
import pytest

from simfunnel.comparison import compare
from simfunnel.crm import read_crm
from simfunnel.errors import InputError
from simfunnel.fitting import fit
from simfunnel.forecasting.files import results_json, write_forecast_book
from simfunnel.forecasting.forecast import forecast, from_today
from simfunnel.forecasting.pipeline import coverage_table
from simfunnel.forecasting.windows import won_between
from simfunnel.scenario import load_text
from simfunnel.spreadsheets import Sheet, runs_book, write_book

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


# --- periods, groups, coverage, categories ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Deals of two sellers until 2026-11-11, a Wednesday: five won in the quarter, two of them in November."""
    rows = ["id,created,closed,stage,amount,owner,size"]
    rows += [f"o{k},2026-10-{k + 10},,open,{100 * k},{'Ana' if k % 2 else 'Bo'},small" for k in range(10)]
    days = ["2026-09-20", "2026-10-05", "2026-10-06", "2026-10-30", "2026-11-02", "2026-11-10"]
    rows += [f"w{k},2026-09-01,{day},won,700,Ana,{'small' if k % 2 else 'large'}" for k, day in enumerate(days)]
    rows += [f"l{k},2026-09-01,2026-10-1{k},lost,0,Bo,large" for k in range(4)]
    file = tmp_path_factory.mktemp("export") / "deals.csv"
    file.write_text("\n".join(rows))
    from simfunnel.crm.importing import read_crm

    return read_crm(file, as_of="2026-11-11")


@pytest.fixture(scope="module")
def whole(model, history):
    return forecast(model, history, replications=30, target=40_000, by="member")


def test_what_is_already_won_belongs_to_the_week_month_and_quarter_that_the_date_cuts(whole):
    won = whole.timeline[(whole.timeline.part == "already won") & (whole.timeline.metric == "bookings")]
    assert dict(zip(won["period"], won["mean"], strict=True)) == {
        "2026-W46": 700.0,  # that of Tuesday 10 November
        "2026-11": 1400.0,
        "2026Q4": 3500.0,
    }


def test_sums_of_months_are_the_quarters_and_stocks_are_those_at_the_end(whole):
    means = whole.timeline[whole.timeline.part == "total"].set_index(["unit", "metric", "period"])["mean"]
    by_month = sum(means["month", "bookings", month] for month in ("2026-11", "2026-12"))
    october = 3 * 700  # won before the month that the forecast begins in
    assert by_month + october == pytest.approx(means["quarter", "bookings", "2026Q4"])
    for metric in ("pipeline_value", "open_deals"):
        assert means["month", metric, "2026-12"] == means["quarter", metric, "2026Q4"]
    run = whole.runs.summary("quarter").set_index(["metric", "period"])["mean"]
    assert means["quarter", "pipeline_value", "2027Q1"] == pytest.approx(run["pipeline_value", "2027Q1"])


@pytest.mark.parametrize("by", ["member", "source", "size"])
def test_groups_add_up_to_the_whole(model, history, by):
    result = forecast(model, history, replications=4, by=by)
    keys = ["unit", "metric", "period"]
    summed = result.groups[result.groups.part == "total"].groupby(keys)["mean"].sum()
    total = result.timeline[result.timeline.part == "total"].set_index(keys)["mean"]
    pd.testing.assert_series_equal(summed.sort_index(), total[summed.index].sort_index(), check_names=False)
    by_part = result.groups.groupby([*keys, "part"])["mean"].sum()
    parts = result.timeline.set_index([*keys, "part"])["mean"].reindex(by_part.index)
    assert by_part.to_numpy() == pytest.approx(parts.to_numpy())


def test_members_have_what_they_won(whole):
    won = whole.groups[(whole.groups.part == "already won") & (whole.groups.period == "2026Q4")]
    assert won.set_index(["group", "metric"])["mean"].to_dict() == {("Ana", "bookings"): 3500.0, ("Ana", "wins"): 5.0}


def test_a_strange_grouping_is_refused(model):
    with pytest.raises(InputError, match="'sise' is no grouping of a forecast; allowed: source, member, size"):
        forecast(model, deals(3), as_of=date(2026, 9, 30), replications=2, by="sise")


def test_the_coverage_needed_gives_the_chance_that_was_asked_for(model):
    quiet = model.override({"sources.web.rate": 0})
    options = {"as_of": date(2026, 9, 30), "quarters": 1, "replications": 200, "target": 60_000}
    small = forecast(quiet, deals(200), confidence=0.9, **options)
    (coverage,) = small.coverage
    assert coverage.ratio == pytest.approx(200 * 500 / 60_000)
    assert coverage.chance < 0.1
    bookings = small.total()["2026Q4"].to_numpy()
    assert (coverage.factor * bookings >= 60_000 - 1e-6).mean() >= 0.9
    assert (0.999 * coverage.factor * bookings >= 60_000).mean() < 0.9
    # a pipeline so much larger by deals of larger value reaches the target as often as was asked for
    large = forecast(quiet, deals(200, value=500.0 * coverage.factor * (1 + 1e-9)), confidence=0.9, **options)
    assert large.coverage[0].chance == pytest.approx(0.9, abs=0.011)
    assert "For a chance of 90% to reach the target" in coverage.words("USD")


def test_a_target_that_is_reached_or_out_of_reach_needs_no_ratio(model, history):
    reached = forecast(model, history, replications=3, target=3000, quarters=1).coverage[0]
    assert reached.ratio is None
    assert reached.words("USD") == "2026Q4: what is already won reaches the target"
    quiet = model.override({"sources.web.rate": 0})
    nobody = forecast(quiet, deals(0), as_of=date(2026, 9, 30), quarters=1, replications=3, target=1e6).coverage[0]
    assert nobody.needed is None
    assert "no size of today's pipeline is enough" in nobody.words("USD")


def test_a_quarter_that_hangs_on_new_deals_is_told_by_what_it_reaches(model):
    told = forecast(model, deals(300), as_of=date(2026, 9, 30), replications=100, target=40_000, confidence=0.9)
    now, later = told.coverage
    assert now.hangs_on_pipeline
    assert not later.hangs_on_pipeline
    table = coverage_table([now, later]).set_index("period")
    for column in ("coverage needed", "pipeline needed"):
        assert table[column].notna().tolist() == [True, False]
    assert "covers that" in now.words("USD")
    assert "covers" not in later.words("USD")
    assert "So new deals decide, and with a chance of 90% bookings come to " in later.words("USD")
    for entry, total in zip(told.coverage, told.total().to_numpy().T, strict=True):
        assert (total >= entry.sure).mean() >= 0.9
        assert (total > entry.sure).mean() < 0.9
        assert entry.won + entry.open + entry.new == pytest.approx(total.mean())
    assert ("more than the target" in later.words("USD")) == (later.chance >= 0.9)


def test_a_wanted_chance_must_be_one(model):
    with pytest.raises(InputError, match="must lie between 0 and 1, not 1"):
        forecast(model, deals(1), as_of=date(2026, 9, 30), replications=2, confidence=1.0)


@pytest.mark.parametrize("known", ["Commit", None])
def test_categories_that_no_open_deal_has_are_said_to_be_left_out(model, known):
    table = deals(3, category=[known] * 3, value=[1.0] * 3)
    result = forecast(model, table, as_of=date(2026, 9, 30), replications=2)
    said = [note for note in result.notes if "own categories are left out" in note]
    assert (result.categories is None, len(said)) == ((True, 1) if known is None else (False, 0))
    assert all("2026-09-30" in note for note in said)
    bare = forecast(model, deals(3), as_of=date(2026, 9, 30), replications=2)
    assert not any("categories" in note for note in bare.notes)


def test_categories_are_summed_from_the_surest_on(model):
    table = deals(9, category=["Pipeline", "Commit", "Best Case"] * 3, value=[100.0, 20.0, 3.0] * 3)
    result = forecast(model, table, as_of=date(2026, 9, 30), replications=10)
    assert list(result.categories["category"]) == ["Commit", "Best Case", "Pipeline"]
    assert list(result.categories["value"]) == [60.0, 9.0, 300.0]
    assert list(result.categories["with what is won"]) == [60.0, 69.0, 369.0]
    expected = result.deals["expected in 2026Q4"].sum()
    assert result.categories["expected in 2026Q4"].sum() == pytest.approx(expected)
    assert forecast(model, deals(3), as_of=date(2026, 9, 30), replications=2).categories is None


def test_deals_come_in_the_order_of_what_to_expect(whole):
    expected = whole.deals["expected in 2026Q4"]
    assert expected.is_monotonic_decreasing
    own = whole.parts[(whole.parts.metric == "bookings") & (whole.parts.part == "open deals")]
    assert expected.sum() == pytest.approx(own[own.period == "2026Q4"]["value"].mean())
    soon, later = whole.deals["won in 4 weeks"], whole.deals["won by end of 2026Q4"]
    assert (soon <= later).all()


def test_the_quarter_is_added_up_from_its_first_day(whole):
    table = whole.added_up
    known = table[table.known]
    assert (str(known["at"].iloc[0].date()), known["0.5"].iloc[0]) == ("2026-10-01", 0.0)
    assert (str(known["at"].iloc[-1].date()), known["0.5"].iloc[-1]) == ("2026-11-12", 3500.0)
    assert str(table["at"].iloc[-1].date()) == "2027-01-01"
    assert table["0.9"].iloc[-1] == pytest.approx(whole.total()["2026Q4"].quantile(0.9))


def test_the_json_holds_parts_groups_and_coverage(whole):
    said = json.loads(json.dumps(results_json(whole, "month"), allow_nan=False))
    assert {row["period"] for row in said["results"]} >= {"2026-11", "2026-12", "2027-03"}
    assert {row.get("group") for row in said["results"]} == {None, "nobody", "Ana", "Bo"}
    assert said["coverage"][0]["wanted_chance"] == 0.8


# --- Excel ------------------------------------------------------------------------------------------------------------


def test_a_workbook_has_a_summary_first_and_money_in_its_currency(whole, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    path = write_forecast_book(whole, tmp_path / "f.xlsx")
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == [
        "summary", "by quarter", "by month", "by week", "by member", "coverage", "open deals",
    ]  # fmt: skip
    sheet = book["by quarter"]
    header = [cell.value for cell in sheet[1]]
    assert header[:4] == ["Metric", "Period", "Part", "Mean"]
    assert sheet.freeze_panes == "B2"
    first = sheet[2]
    assert [cell.value for cell in first[:4]] == ["bookings", "2026Q4", "already won", 3500]
    assert first[3].number_format == '#,##0 "USD"'
    deal = book["open deals"]
    dates = [cell for cell in deal[2] if cell.is_date]
    assert {cell.number_format for cell in dates} <= {"yyyy-mm-dd"}
    assert any(cell.number_format == "0.0%" for cell in deal[2])
    assert "Forecast of Model as of 2026-11-11" in str(book["summary"]["A1"].value)


def test_a_name_is_never_a_formula_and_missing_numbers_are_empty_cells(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    table = pd.DataFrame({"name": ['=HYPERLINK("x")', "a\x07b"], "value": [np.nan, np.inf]})
    sheet = openpyxl.load_workbook(write_book([Sheet("a/b", table, {"value": "money"})], tmp_path / "t.xlsx"))["a b"]
    assert (sheet["A2"].value, sheet["A2"].data_type) == ('=HYPERLINK("x")', "s")
    assert (sheet["A3"].value, sheet["B2"].value, sheet["B3"].value) == ("ab", None, None)


def test_runs_make_a_workbook(whole, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(runs_book(whole.runs, tmp_path / "r.xlsx"))
    assert book.sheetnames == ["summary", "by quarter", "by month", "by week"]


def test_without_openpyxl_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"pip install 'simfunnel\[excel\]'"):
        write_book([], tmp_path / "f.xlsx")
    with pytest.raises(InputError, match=r"ends in \.xlsx"):
        write_book([], tmp_path / "f.xls")


def test_deals_won_already_are_worth_what_a_backtest_scores(tmp_path):
    """An unknown value counts as the mean, or as 1 like every win of a history that knows none: never as nothing."""
    for amounts, each in ((["300", "", "500"], 400.0), (["", "", ""], 1.0)):
        rows = [f"d{k},2026-09-0{k + 1},2026-10-1{k},won,{amount}" for k, amount in enumerate(amounts)]
        rows += [f"o{k},2026-10-0{k + 1},,open," for k in range(5)]
        (tmp_path / "deals.csv").write_text("\n".join(["id,created,closed,stage,amount", *rows]))
        known = read_crm(tmp_path / "deals.csv", as_of="2026-11-15")
        total = forecast(fit(known), known, replications=3).table.set_index(["metric", "period", "part"])["mean"]
        scored = won_between(known.deals, date(2026, 10, 1), date(2026, 11, 16))
        assert scored["bookings"] == pytest.approx(3 * each)
        booked = total.to_dict().get(("bookings", "2026Q4", "already won"))  # not told where no value is known
        assert booked == (None if each == 1 else pytest.approx(3 * each))
        assert total["wins", "2026Q4", "already won"] == 3


def test_a_flat_history_is_forecast_on_dates_when_its_open_deals_shared_another_stage(tmp_path):
    rows = [
        (f"d{k}", f"2026-0{1 + k % 8}-1{k % 9}", "Won" if k % 3 else "Lost", f"2026-0{2 + k % 8}-20") for k in range(90)
    ]
    rows += [("early", "2026-03-01", "Demo", ""), ("late", "2026-09-01", "Offer", "")]
    path = tmp_path / "deals.csv"
    pd.DataFrame(rows, columns=["id", "created", "stage", "closed"]).to_csv(path, index=False)
    names = {day: read_crm(path, as_of=date(2026, *day)).open_stage for day in ((9, 25), (3, 25))}
    assert names[9, 25] == "open"
    fitted = fit(read_crm(path, as_of=date(2026, 9, 25)))
    earlier = read_crm(path, as_of=date(2026, 3, 25))
    found = forecast(fitted, earlier, quarters=1, replications=10)
    assert set(found.deals["stage"]) == {"open"}
    assert len(found.deals) == len(earlier.open_deals())
