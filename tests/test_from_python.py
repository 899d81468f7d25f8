"""The library as a user writes it in Python: the lines of the design and of the README, in one session."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.cli import main
from simfunnel.forecasting.files import results_json
from simfunnel.starter import write_starter

B2B = """
name: B2B
start: 2026-10-01
horizon: 2 quarters
sources: {web: {rate: 3 per day}}
value: 1000
teams: {closer: {size: 5}}
stages:
  open:
    work: {team: closer, effort: 3 h}
    exits:
      won: {chance: 40%, after: {exponential: 10 days}}
      lost: {after: {exponential: 10 days}}
  won: {books: value}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with scenarios/b2b.yaml and deals.csv, in which the session is."""
    write_starter(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "b2b.yaml").write_text(B2B)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_scenario_is_run_looked_at_and_compared(folder):
    base = sf.load("scenarios/b2b.yaml")
    runs = sf.run(base, replications=10, seed=1)
    assert set(runs.kpis["replication"]) == set(range(10))
    quantiles = runs.quantiles().set_index(["metric", "period"])
    assert quantiles.loc[("bookings", "2026Q4"), "0.5"] == runs.values("bookings")["2026Q4"].median()
    assert runs.plot.fan("bookings").get_suptitle().startswith("Bookings")
    table = sf.compare(base, base.override({"teams.closer.size": 6}), replications=10).table
    assert {"alternative", "metric", "period", "difference", "low", "high", "prob_better"} <= set(table.columns)
    assert set(table["n"]) == {10}


def test_runs_are_written_to_excel_and_read_back(folder, monkeypatch):
    pytest.importorskip("openpyxl")
    runs = sf.run(sf.load("scenarios/b2b.yaml"), replications=10)
    read = pd.read_excel(runs.to_excel("runs.xlsx"), sheet_name="by quarter")
    assert list(read["P50 (median)"]) == pytest.approx(list(runs.summary("quarter")["0.5"]), nan_ok=True)
    assert list(read["Metric"]) == list(runs.summary("quarter")["metric"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(sf.InputError, match=r"pip install 'simfunnel\[excel\]'"):
        runs.to_excel("runs.xlsx")


def test_what_was_fitted_is_forecast_as_it_is_and_as_its_file(folder):
    history = sf.read_crm("deals.csv")
    model = sf.fit(history)
    found = sf.forecast(model, history.open_deals(), replications=5)
    assert len(found.deals) == len(history.open_deals())
    assert (found.total("bookings")["2026Q4"] > 0).all()
    model.to_yaml("model.yaml")
    read = sf.forecast(sf.load(Path("model.yaml")), history.open_deals(), replications=5)
    pd.testing.assert_frame_equal(found.parts, read.parts, check_exact=True)
    assert sf.from_today(model, history).tree == sf.from_today(sf.load("model.yaml"), history).tree


@pytest.mark.parametrize("as_of", ["2026-06-15", None])
def test_a_forecast_with_its_track_record_has_the_numbers_of_the_command(folder, capsys, as_of):
    """From a model with a fiscal year and holidays of its own, which the past dates are to have too."""
    dated = ["--as-of", as_of] if as_of else []
    assert main(["fit", "deals.csv", "-o", "m.yaml", "--country", "US", "--fiscal-year-ends", "January", *dated]) == 0
    capsys.readouterr()
    assert main(["forecast", "m.yaml", "--deals", "deals.csv", *dated, "-n", "20", "--past", "2", "--json"]) == 0
    command = json.loads(capsys.readouterr().out)

    model, history = sf.load("m.yaml"), sf.read_crm("deals.csv", as_of=as_of)
    record = sf.track_record(model, "deals.csv", as_of=history.as_of, dates=2)
    found = sf.forecast(model, history, replications=20, record=record)
    assert json.loads(json.dumps(results_json(found, "quarter"))) == command
    alone = sf.forecast(model, history, replications=20)
    assert json.loads(json.dumps(results_json(alone, "quarter")))["results"] != command["results"]
    assert "as `simfunnel forecast --past 0` has it" in str(sf.forecast.__doc__)


def test_a_history_too_short_for_a_track_record_is_told(folder):
    model = sf.fit(sf.read_crm("deals.csv"))
    with pytest.raises(sf.InputError):
        sf.track_record(model, "deals.csv", as_of="2025-05-01")
