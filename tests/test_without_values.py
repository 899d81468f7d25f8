"""An export that tells no values: wins are forecast and scored, and nothing is said of money."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfunnel.backtesting import backtest as backtesting
from simfunnel.cli import main
from simfunnel.crm import read_crm
from simfunnel.errors import InputError
from simfunnel.fitting import fit
from simfunnel.forecasting.bridging import bridge
from simfunnel.forecasting.files import pictures, results_json, write_forecast
from simfunnel.forecasting.forecast import Forecast, forecast
from simfunnel.forecasting.windows import NO_VALUES, says_values
from simfunnel.kpis import METRICS
from simfunnel.scenario import from_tree, load_text
from simfunnel.scenario.worth import counts_ones

MONEY = {name for name, metric in METRICS.items() if metric.unit == "money"}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    created = pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(300) * 5 // 3, unit="D")
    closed = created + pd.to_timedelta(rng.exponential(45, 300).astype(int) + 1, unit="D")
    is_open = closed > pd.Timestamp("2026-05-15")
    table = pd.DataFrame({"id": [f"D{k}" for k in range(300)], "created": created, "closed": closed.where(~is_open)})
    table["status"] = np.where(is_open, "open", rng.choice(["won", "lost", "lost"], 300))
    file = tmp_path_factory.mktemp("export") / "deals.csv"
    table.to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def result(export: Path) -> Forecast:
    history = read_crm(export, as_of="2026-05-15")
    return forecast(from_tree(fit(history).tree), history, by="source", replications=20)


def test_a_forecast_tells_numbers_of_deals_and_why(result: Forecast) -> None:
    assert not result.valued
    for table in (result.parts, result.table, result.timeline, result.groups):
        assert table is not None
        assert set(table["metric"]) == {"wins", "open_deals"}
    assert result.total("wins").to_numpy().sum() > 0
    assert "value" not in result.deals
    assert not any(str(column).startswith("expected") for column in result.deals)
    assert result.deals.iloc[:, -5].is_monotonic_decreasing  # the likeliest in this quarter first
    assert [note for note in result.notes if "value" in note] == [NO_VALUES]


def test_neither_do_its_folder_and_its_json(result: Forecast, tmp_path: Path) -> None:
    assert not any(word in json.dumps(results_json(result)["results"]) for word in MONEY)
    folder = write_forecast(result, tmp_path / "out")
    for file in (folder / "tables").glob("*.csv"):
        table = pd.read_csv(file)
        if "metric" in table:
            assert not MONEY & set(table["metric"]), file.name
    assert set(pictures(result)) == {"forecast-wins"}


def test_a_target_in_money_is_refused(
    export: Path, result: Forecast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(result.scenario.to_yaml())
    assert main(["forecast", str(file), "--target", "3M", "--json"]) == 2
    said = capsys.readouterr()
    assert "the target is an amount of money" in said.err
    assert not said.out
    with pytest.raises(InputError, match="knows no values of deals"):
        forecast(result.scenario.override({"target": 1000}))


def test_a_scenario_says_values_by_value_or_by_what_a_stage_books(result: Forecast) -> None:
    assert says_values(result.scenario.override({"value": 2}).spec)
    assert says_values(result.scenario.override({"stages.Won.books": "12k"}).spec)
    assert says_values(result.scenario.override({"value": {"quantiles": {"0%": 1, "100%": 3}}}).spec)
    assert says_values(result.scenario.override({"effects": [{"value": "x5000"}]}).spec)
    deal = {"id": "D1", "stage": next(iter(result.scenario.spec.stages)), "value": 50_000}
    assert says_values(result.scenario.override({"sources.open deals.deals": [deal]}).spec)
    assert not says_values(result.scenario.spec)


def test_a_backtest_scores_wins_alone(export: Path) -> None:
    found = backtesting.backtest(str(export), every="quarter", replications=20)
    assert not found.valued
    assert set(found.cases["metric"]) == set(found.scores["metric"]) == set(found.by_weeks["metric"]) == {"wins"}
    assert NO_VALUES in found.notes
    assert not any("ookings" in sentence for sentence in found.calibration.sentences())


def test_a_bridge_says_that_its_bookings_are_wins(export: Path) -> None:
    then, now = (read_crm(export, as_of=day) for day in ("2026-05-01", "2026-05-15"))
    model = from_tree(fit(then).tree)
    found = bridge(model, None, then, now, replications=3)
    assert any("bookings are the number of wins" in note for note in found.notes)
    with pytest.raises(InputError, match="knows no values of deals"):
        bridge(model, None, then, now, replications=3, target=1e6)


# --- what is simulated and compared -----------------------------------------------------------------------------------

ONES = """
name: Ones
start: 2026-10-01
horizon: 2 quarters
sources: {web: {rate: 2 per day, cost: 3 each}}
value: 1
teams: {sellers: {size: 2}}
stages:
  open:
    work: {team: sellers, effort: 3 h}
    exits:
      won: {chance: 40%, after: {exponential: 10 days}}
      lost: {after: {exponential: 10 days}}
  won: {books: value}
"""
AMOUNTS = ("bookings", "revenue", "profit", "pipeline value")


@pytest.mark.parametrize(
    ("was", "now", "counts"),
    [
        ("", "", True),
        ("value: 1", "value: 2", False),
        ("value: 1", "value: {exponential: 5}", False),
        ("value: 1", "currency: USD", False),
        ("books: value", "books: 500", False),
    ],
    ids=["ones", "twos", "drawn", "unsaid", "booked as such"],
)
def test_a_scenario_that_counts_ones_is_told_from_others(was: str, now: str, counts: bool) -> None:
    assert counts_ones(load_text(ONES.replace(was, now) if was else ONES).spec) == counts


@pytest.fixture
def ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ones.yaml").write_text(ONES)
    (tmp_path / "more.yaml").write_text("extends: ones.yaml\nname: More\noverride: {teams: {sellers: {size: 3}}}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["run", "ones.yaml", "-n", "3", "--by", "source", "-o", "out"],
        ["compare", "ones.yaml", "more.yaml", "-n", "3", "-o", "out"],
    ],
    ids=["run", "compare"],
)
def test_a_run_and_a_comparison_leave_out_what_would_only_count_deals(
    ones: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "Deals have no values: of money only costs are told, in USD." in shown
    assert not [word for word in AMOUNTS if word in shown.lower()]
    assert "wins" in shown
    assert "cost" in shown.replace("only costs", "")
    pictures = " ".join(file.read_text().lower() for file in (ones / "out" / "pictures").glob("*.svg"))
    assert not [word for word in AMOUNTS if word in pictures]
    (ones / "ones.yaml").write_text(ONES.replace("value: 1", "value: 100"))
    assert main([*command[:-1], "other"]) == 0
    assert "bookings" in capsys.readouterr().out


def test_check_says_that_no_deal_has_a_value(ones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "ones.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "no deal has a value: each counts as 1" in shown
    assert "1 USD on average" not in shown
