"""Backtests: nothing of the future gets in, the same bytes however they are run, and words for what can't be."""

from __future__ import annotations

import contextlib
import filecmp
import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel.backtesting import tables
from simfunnel.backtesting.backtest import backtest, results_json, write_backtest
from simfunnel.backtesting.dates import as_of_dates, seen
from simfunnel.backtesting.kept import Kept
from simfunnel.backtesting.record import read_record
from simfunnel.backtesting.replay import METHODS, Fitting, replay
from simfunnel.backtesting.tables import record_of
from simfunnel.cli import main
from simfunnel.crm.exporting import as_export
from simfunnel.crm.importing import read_export
from simfunnel.crm.visits import one_visit_each
from simfunnel.errors import InputError
from simfunnel.fitting.fit import fit
from simfunnel.forecasting.windows import THIS_QUARTER, windows_after
from simfunnel.replicate import records_of
from simfunnel.scenario import from_tree, load_text

ROOT = Path(__file__).resolve().parents[1]
TRUTH = """
name: Truth
start: 2025-01-01
horizon: 300 days
attributes: {size: {small: 70%, large: 30%}}
sources: {web: {rate: 3 per day}}
value: {lognormal: {median: 1000, p90: 3000}}
stages:
  open: {exits: {won: {chance: 40%, after: {exponential: 30 days}}, lost: {after: {exponential: 30 days}}}}
  won: {books: value}
"""
DAY = date(2025, 7, 20)


@pytest.fixture(scope="module")
def deals() -> pd.DataFrame:
    """An export of ten months of about 900 deals, as text; their values are filled in when they are won."""
    records, plan = records_of(load_text(TRUTH), seed=3)
    table = as_export(records, plan).astype("str")
    return table.drop(columns=["owner", "source"])


@pytest.fixture(scope="module")
def export(deals: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(deals, tmp_path_factory.mktemp("export"))


def written(deals: pd.DataFrame, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    deals.to_csv(folder / "deals.csv", index=False)
    return folder / "deals.csv"


def cut_at(deals: pd.DataFrame, day: date, *, stage: str, created: str, closed: str, blank: list[str]) -> pd.DataFrame:
    """The export as it would have read at the end of a day: later deals gone, later closings undone."""
    there = deals[deals[created] <= day.isoformat()].copy()
    undone = there[closed].fillna("") > day.isoformat()
    there.loc[undone, [closed, *blank]] = ""
    there.loc[undone, stage[0]] = stage[1]
    return there


def cut_sample(deals: pd.DataFrame, day: date = DAY) -> pd.DataFrame:
    return cut_at(deals, day, stage=("stage", "open"), created="created", closed="closed", blank=["amount"])


def fitted(history) -> tuple[dict, str]:
    """All numbers of a fit."""
    found = fit(history)
    return found.tree, found.table.to_csv()


def replayed(history) -> dict[str, bytes]:
    """All that is foreseen from a history, to the bit."""
    found = replay(history, windows_after(history.as_of), Fitting(), 8, 1)
    said = {f"sample {key}": sample.tobytes() for key, sample in found.samples.items()}
    said |= {f"chance {key}": chances.tobytes() for key, chances in found.chances.items()}
    return said | {"already": repr(found.already).encode(), "deals": repr(found.deals).encode()}


# --- strictly without the future --------------------------------------------------------------------------------------


def test_the_fit_on_a_file_cut_at_the_date_is_that_of_the_whole_file_as_of_the_date(deals, export, tmp_path):
    whole, known = read_export(export), read_export(written(cut_sample(deals), tmp_path))
    assert fitted(whole.until(DAY)) == fitted(known.until(DAY))
    assert replayed(whole.until(DAY)) == replayed(known.until(DAY))


@pytest.mark.parametrize("day", [date(2017, 5, 20), date(2017, 7, 31)])
def test_the_same_on_a_real_export_with_columns_that_leak(shared_data, tmp_path, day):
    file = shared_data / "maven_crm_2017q3" / "sales_pipeline.csv"
    table = pd.read_csv(file, dtype="str", keep_default_na=False)
    blank = ["close_value", "account"]  # both are filled in when a deal closes
    kinds = {"stage": ("deal_stage", "Engaging"), "created": "engage_date", "closed": "close_date"}
    known = written(cut_at(table, day, **kinds, blank=blank), tmp_path)
    then = read_export(known.rename(tmp_path / file.name)).until(day)
    now = read_export(file).until(day)
    assert fitted(now) == fitted(then)
    assert replayed(now) == replayed(then)


def test_a_column_that_gives_the_outcome_away_changes_nothing(deals, export, tmp_path):
    reason = deals["stage"].map({"Closed Won": "price", "Closed Lost": "rival"}).fillna("")
    planted = deals.assign(reason=reason, verdict=deals["stage"].str.upper())
    found = read_export(written(planted, tmp_path)).until(DAY)
    assert found.attributes == ("size",)
    assert fitted(found) == fitted(read_export(export).until(DAY))
    assert replayed(found) == replayed(read_export(export).until(DAY))


@pytest.mark.parametrize("leak", ["outcomes", "newcomers", "values"])
def test_a_leak_of_the_future_is_caught(deals, export, tmp_path, leak):
    """A history with something of the future in it differs from that of the file cut at the date."""
    whole = read_export(export)
    honest, future = whole.until(DAY), whole.until(whole.last).deals.set_index("id")
    table = honest.deals.set_index("id")
    later = future.reindex(table.index)
    if leak == "outcomes":
        table = table.assign(outcome=later["outcome"], closed=later["closed"])
    elif leak == "newcomers":
        table = pd.concat([table, future[future["created"] > honest.end].assign(outcome="open", closed=pd.NaT)])
    else:
        table = table.assign(value=table["value"].fillna(later["value"]))
    planted = table.reset_index()[list(honest.deals.columns)]
    leaking = replace(honest, deals=planted, visits=one_visit_each(planted, honest.open_stage))
    then = read_export(written(cut_sample(deals), tmp_path)).until(DAY)
    assert replayed(leaking) != replayed(then)
    assert replayed(honest) == replayed(then)


def test_a_replay_is_given_the_history_cut_at_its_date(export):
    given = []

    def spy(history):
        given.append(history)
        return Fitting()(history)

    found = backtest(export, every="8 weeks", replications=3, fitter=spy)
    assert [history.as_of for history in given] == list(found.dates)
    for history in given:
        assert history.deals["created"].max() < history.end
        assert not (history.deals["closed"] >= history.end).any()
        assert not history.deals.loc[history.deals["outcome"] == "open", "value"].notna().any()


# --- dates ------------------------------------------------------------------------------------------------------------


def test_dates_begin_a_third_in_and_have_a_window_that_is_seen(export):
    read = read_export(export)
    whole = read.until(read.last)
    dates = as_of_dates(read, whole, "week", None, 12)
    assert dates[0] == whole.observed_from + (read.last - whole.observed_from) / 3
    assert {(b - a).days for a, b in pairwise(dates)} == {7}
    for day in dates:
        assert seen(day, read, 12)
        assert all(window.after <= date(2025, 10, 28) for window in seen(day, read, 12))
    months = as_of_dates(read, whole, "month", None, 12)
    assert months[0] == date(2025, 4, 30)
    assert all((day + pd.Timedelta(days=1)).day == 1 for day in months)
    assert as_of_dates(read, whole, "quarter", None, 12) == (date(2025, 6, 30),)


def test_a_window_counts_only_where_all_of_it_is_seen(export):
    found = backtest(export, every="month", replications=3, first=date(2025, 6, 1))
    ends = pd.to_datetime(found.cases["after"])
    assert (ends <= pd.Timestamp(found.last) + pd.Timedelta(days=1)).all()
    assert found.last == date(2025, 10, 27)  # a day too early for four weeks from the end of September
    assert found.dates[-1] == date(2025, 8, 31)
    assert set(found.cases.loc[found.cases["as_of"] == "2025-08-31", "window"]) == {"next 4 weeks", "this quarter"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": "fortnight"}, "'fortnight' is no step between dates; write week, 4 weeks, month or quarter"),
        ({"every": "0 weeks"}, "'0 weeks' is no step"),
        ({"first": date(2025, 1, 3)}, "by 2025-01-03 only . deals had closed; name a later date"),
        ({"first": date(2025, 10, 20)}, "too short a history for a backtest: the first date would be 2025-10-20"),
        ({"replications": 1}, "replications must be 2 to 10,000"),
    ],
)
def test_what_can_not_be_is_refused_in_words(export, options, said):
    with pytest.raises(InputError, match=said):
        backtest(export, **{"replications": 3, **options})


def test_too_few_closings_are_refused_in_words(deals, tmp_path):
    with pytest.raises(InputError, match=r"only .* deals have closed, too few for a backtest; it needs 60"):
        backtest(written(cut_sample(deals, date(2025, 1, 31)), tmp_path))


@pytest.mark.parametrize("option", [{"country": "US"}, {"busy": 0.3}])
def test_a_backtest_is_fitted_with_the_options_of_fit(deals, tmp_path, option):
    owned = written(deals.assign(owner="Ann"), tmp_path)
    asked = {"every": "quarter", "first": date(2025, 6, 1), "replications": 20}
    mine = backtest(owned, **asked, fitter=lambda history: from_tree(fit(history, **option).tree))
    found, plain = backtest(owned, **asked, **option), backtest(owned, **asked)
    pd.testing.assert_frame_equal(found.cases, mine.cases)
    assert not found.cases["crps"].equals(plain.cases["crps"])


@pytest.mark.parametrize(
    ("option", "said"),
    [({"country": "Atlantis"}, "^country: 'Atlantis' is no country code"), ({"busy": 1.2}, "^busy is a share")],
)
def test_options_that_fit_would_refuse_are_refused_before_any_date(export, tmp_path, option, said):
    with pytest.raises(InputError, match=said):
        backtest(export, replications=3, folder=tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_one_date_is_enough(export):
    found = backtest(export, every="quarter", first=date(2025, 6, 1), replications=10)
    assert len(found.dates) == 1
    assert set(found.scores["dates"]) == {1}
    assert "too few dates" in found.calibration.sentences()[0]
    json.dumps(results_json(found), allow_nan=False)


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(export):
    return backtest(export, every="4 weeks", replications=40, seed=2)


def test_what_came_is_what_the_export_says(found, export):
    table = pd.read_csv(export)
    won = table[table["stage"] == "Closed Won"]
    for row in found.cases[found.cases["method"] == "ETS"].to_dict("records"):
        first = (
            row["begin"]
            if row["window"] != THIS_QUARTER
            else f"2025-{3 * ((int(row['as_of'][5:7]) - 1) // 3) + 1:02d}-01"
        )
        here = won[(won["closed"] >= first) & (won["closed"] < row["after"])]
        assert row["observed"] == pytest.approx(len(here) if row["metric"] == "wins" else here["amount"].sum())


def test_scores_are_the_means_of_the_cases_and_the_best_baseline_is_none_of_ours(found):
    assert set(found.cases["method"]) == set(METHODS)
    for row in found.scores.to_dict("records"):
        mine = found.cases[
            (found.cases["window"] == row["window"])
            & (found.cases["metric"] == row["metric"])
            & (found.cases["method"] == row["method"])
        ]
        assert row["crps"] == pytest.approx(mine["crps"].mean())
        assert row["cover_80"] == pytest.approx(
            ((mine["0.1"] <= mine["observed"]) & (mine["observed"] <= mine["0.9"])).mean()
        )
    best = found.scores[found.scores["method"] == found.scores["best"]]
    assert (best[["skill", "skill_low", "skill_high"]] == 0).all(axis=None)
    assert (found.scores["skill_low"] <= found.scores["skill"]).all()
    assert (found.scores["skill"] <= found.scores["skill_high"]).all()
    assert "simfunnel" not in set(found.scores["best"])
    by_weeks = found.by_weeks[found.by_weeks["method"] == "simfunnel"]
    quarters = found.cases[found.cases["window"].str.contains("quarter") & (found.cases["method"] == "simfunnel")]
    assert by_weeks["dates"].sum() == len(quarters)


def test_our_pool_on_a_date_knows_nothing_of_what_came_after_it(found):
    """Its weights follow from the cases whose windows were over by then, and from no others."""
    ours = found.cases[found.cases["method"] == "simfunnel"]
    theirs = found.cases[found.cases["method"] != "simfunnel"]
    learnt = set()
    for row in ours.to_dict("records"):
        day = date.fromisoformat(row["as_of"])
        over = found.cases[pd.to_datetime(found.cases["after"]) <= pd.Timestamp(day + timedelta(days=1))]
        track = record_of(over)
        same = ["as_of", "metric", "window"]
        here = theirs[(theirs[same] == [row[name] for name in same]).all(axis=1)].set_index("method")["weight"]
        assert track.weights(day, row["metric"], row["window"], list(here.index)) == pytest.approx(here.to_dict())
        learnt.add(round(here["run rate"], 9))
    assert len(learnt) > 4


def test_with_a_last_day_nothing_after_it_is_looked_at(found, export, deals, tmp_path):
    """A backtest of the whole file to a day is that of the file as it read on that day."""
    known = read_export(written(cut_sample(deals), tmp_path))
    one = backtest(export, every="4 weeks", replications=10, last=DAY)
    other = backtest(known, every="4 weeks", replications=10, last=DAY)
    assert one.last == DAY
    pd.testing.assert_frame_equal(one.cases, other.cases)


def test_single_deals_are_those_open_on_each_date_and_their_wins_come_later(found, export):
    table = pd.read_csv(export)
    first = found.dates[0].isoformat()
    there = table[(table["created"] <= first) & ~(table["closed"] <= first)]
    mine = found.deals[(found.deals["as_of"] == first) & (found.deals["window"] == "next 4 weeks")]
    assert set(mine["deal"]) == set(there["deal_id"])
    won = there[
        (there["stage"] == "Closed Won") & (there["closed"] <= (found.dates[0] + pd.Timedelta(days=28)).isoformat())
    ]
    assert set(mine.loc[mine["won"] == 1, "deal"]) == set(won["deal_id"])
    assert found.brier.set_index(["window", "method"]).loc[("next 4 weeks", "simulation"), "cases"] == len(
        found.deals[found.deals["window"] == "next 4 weeks"]
    )


def test_a_steady_history_is_foreseen_without_much_bias(found):
    ours = found.scores[found.scores["method"] == "simfunnel"].set_index(["metric", "window"])
    assert abs(ours.loc[("wins", "this quarter"), "bias"]) < 0.15
    assert found.brier.set_index(["window", "method"]).loc[("this quarter", "simulation"), "reliability"] < 0.02


def test_the_same_numbers_on_one_worker_and_on_two(found, export):
    again = backtest(export, every="4 weeks", replications=40, seed=2, workers=2)
    pd.testing.assert_frame_equal(again.cases, found.cases, check_exact=True)
    pd.testing.assert_frame_equal(again.deals, found.deals, check_exact=True)
    assert again.calibration == found.calibration
    other = backtest(export, every="4 weeks", replications=40, seed=3)
    assert not other.cases["crps"].equals(found.cases["crps"])


def test_the_folder_has_tables_pictures_and_the_calibration(found, tmp_path):
    folder = write_backtest(found, tmp_path / "out")
    names = {path.name for path in (folder / "pictures").glob("*.png")}
    assert names == {
        "fan-wins.png",
        "fan-bookings.png",
        "crps-wins.png",
        "crps-bookings.png",
        "calibration.png",
        "deals.png",
    }
    assert len(pd.read_csv(folder / "tables" / "cases.csv")) == len(found.cases)
    factors = pd.read_csv(folder / "tables" / "calibration.csv").set_index("metric")["factor"]
    assert factors.to_dict() == {spread.metric: spread.factor for spread in found.calibration.spreads}
    assert read_record(folder).scored == found.record.scored


def test_no_open_deals_leave_the_deals_tables_empty():
    assert tables.deals_of([], pd.DataFrame({"outcome": [], "id": [], "closed": []})).empty
    assert tables.brier_of(tables.deals_of([], pd.DataFrame({"outcome": [], "id": [], "closed": []}))).empty


# --- interrupted ------------------------------------------------------------------------------------------------------


def stopped_after(count: int):
    def tell(done: int, of: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return tell


def test_an_interrupted_backtest_goes_on_for_the_same_numbers(found, export, tmp_path):
    options = {"every": "4 weeks", "replications": 40, "seed": 2, "folder": tmp_path / "out"}
    with contextlib.suppress(KeyboardInterrupt):
        backtest(export, **options, progress=stopped_after(2))
    assert len(list((tmp_path / "out" / "unfinished").glob("*.npz"))) == 2
    told = []
    resumed = backtest(export, **options, resume=True, progress=lambda done, of: told.append(done))
    assert told[0] == 3
    pd.testing.assert_frame_equal(resumed.cases, found.cases, check_exact=True)
    one, other = write_backtest(resumed, tmp_path / "out"), write_backtest(found, tmp_path / "whole")
    assert not (one / "unfinished").exists()
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert filecmp.cmpfiles(one, other, [str(path) for path in files], shallow=False)[1:] == ([], [])


def test_what_was_asked_for_differently_is_not_resumed(export, tmp_path, monkeypatch):
    options = {"every": "8 weeks", "replications": 3, "folder": tmp_path}
    with contextlib.suppress(KeyboardInterrupt):
        backtest(export, **options, progress=stopped_after(1))
    with pytest.raises(InputError, match="'seed' is not that of the unfinished backtest \\(1 then, 9 now\\)"):
        backtest(export, **options, seed=9, resume=True)
    with pytest.raises(InputError, match="'country' is not that of the unfinished backtest \\(none then, US now\\)"):
        backtest(export, **options, country="US", resume=True)
    with pytest.raises(InputError, match=r"'busy' is not that of the unfinished backtest \(none then, 0.5 now\)"):
        backtest(export, **options, busy=0.5, resume=True)
    monkeypatch.setattr("simfunnel.backtesting.kept.code", lambda: "0123")  # another state of the same version
    with pytest.raises(InputError, match=r"'code' is not that of .* \([0-9a-f]{16} then, 0123 now"):
        backtest(export, **options, resume=True)
    monkeypatch.undo()
    part = next((tmp_path / "unfinished").glob("*.npz"))
    part.write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged"):
        backtest(export, **options, resume=True)
    with pytest.raises(InputError, match="holds no unfinished backtest"):
        backtest(export, every="8 weeks", replications=3, folder=tmp_path / "new", resume=True)


def test_a_replay_is_the_same_after_the_disk(export, tmp_path):
    one = replay(read_export(export).until(DAY), windows_after(DAY), Fitting(), 5, 1)
    kept = Kept(tmp_path, {})
    kept.begin()
    kept.keep(one)
    again = kept.done(DAY)
    assert again is not None
    assert (again.as_of, again.windows, again.already, again.deals) == (one.as_of, one.windows, one.already, one.deals)
    assert all(np.array_equal(again.samples[key], sample) for key, sample in one.samples.items())
    assert all(np.array_equal(again.chances[key], chances) for key, chances in one.chances.items())
    assert kept.done(date(2020, 1, 1)) is None


# --- from the outside -------------------------------------------------------------------------------------------------


def test_the_command_prints_a_page_and_a_forecast_takes_its_calibration(export, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["backtest", str(export), "--every", "4 weeks", "-n", "10", "--workers", "1", "-o", "bt"]) == 0
    page = capsys.readouterr().out
    for words in (
        "CRPS by method",
        "stage by week",
        "80% held",
        "weeks to the quarter's end",
        "Brier",
        "80% interval held",
    ):
        assert words in page
    assert main(["fit", str(export), "-o", "model.yaml"]) == 0
    forecast = ["forecast", "model.yaml", "--deals", str(export), "-n", "5", "--calibrated", "bt", "-o", "fc"]
    assert main(forecast) == 0
    factors = pd.read_csv("bt/tables/calibration.csv").set_index("metric")["factor"]
    said = capsys.readouterr().out
    words = " ".join(said.split())
    assert "pooled from" in words
    assert ("times as wide" in words) == (factors != 1).any()


def test_the_command_hands_on_the_options_of_fit(export, tmp_path):
    asked = ["--every", "quarter", "--from", "2025-06-01", "-n", "3", "--workers", "1", "-o", str(tmp_path / "bt")]
    assert main(["backtest", str(export), *asked, "--country", "DE-BY", "--busy", "70%"]) == 0
    manifest = json.loads((tmp_path / "bt" / "manifest.json").read_text())
    assert (manifest["country"], manifest["busy"]) == ("DE-BY", 0.7)


def test_the_command_prints_one_json_object(export, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["backtest", str(export), "--every", "8 weeks", "-n", "5", "--workers", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"dates", "scores", "by_weeks", "deals", "calibration", "notes"} <= set(said)
    assert not list(tmp_path.iterdir())


def test_faults_end_with_exit_code_2_and_a_message(export, deals, tmp_path):
    short = written(cut_sample(deals, date(2025, 1, 31)), tmp_path)
    command = [sys.executable, "-m", "simfunnel", "backtest", str(short), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "too few for a backtest" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert main(["backtest", str(export), "--resume", "-o", str(tmp_path / "none")]) == 2


def test_python_has_it_too(export):
    assert sf.backtest is backtest
