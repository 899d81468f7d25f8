"""What past forecasts teach reaches the totals, and all sums still hold."""

import re
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from simfunnel.backtesting.record import country_of, read_record, record_before
from simfunnel.cli import main
from simfunnel.crm import read_export
from simfunnel.errors import InputError
from simfunnel.fitting.fit import fit
from simfunnel.forecasting.baselines import BASELINES
from simfunnel.forecasting.corrections import by_record
from simfunnel.forecasting.forecast import forecast
from simfunnel.forecasting.pooling import ALONE, Scored, Track
from simfunnel.periods import periods
from simfunnel.runs import write_tables_and_pictures
from simfunnel.scenario import from_tree, load_text
from simfunnel.starter import write_starter

DAY = date(2026, 7, 31)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "here"
    write_starter(folder)
    return folder / "deals.csv"


@pytest.fixture(scope="module")
def history(sample):
    return read_export(sample).until(DAY)


def trusting(method, needed=1.0):
    """A record in which one method was always right."""
    crps = {name: 0.0 if name == method else 10.0 for name in (ALONE, *BASELINES)}
    days = [date(2025, 1, 3) + timedelta(weeks=4 * k) for k in range(400)]
    return Track(
        [
            Scored(day, day + timedelta(weeks=4), metric, window, crps, needed)
            for day in days
            for metric in ("wins", "bookings")
            for window in ("this quarter", "next quarter")
            if day < DAY - timedelta(weeks=5)
        ]
    )


def coming(n=200, seed=1):
    rng = np.random.default_rng(seed)
    return {"wins": rng.poisson([50, 80], (n, 2)).astype(float), "bookings": rng.gamma(9, [5e3, 8e3], (n, 2))}


def test_a_simulation_that_was_always_right_stays_nearly_as_it_is(history):
    quarters = periods(DAY + timedelta(days=1), 0.0, 153.0, "quarter")
    found = by_record(coming(), trusting(ALONE), history, quarters, DAY + timedelta(days=1), 1)
    other = by_record(coming(), trusting("run rate"), history, quarters, DAY + timedelta(days=1), 1)
    off = {m: abs(np.median(c.ratios["wins"]) - 1) for m, c in (("alone", found), ("rate", other))}
    assert off["alone"] < off["rate"] / 3
    shares = [int(share) for words in found.words for share in re.findall(r"from simulation (\d+)%", words)]
    assert shares
    assert min(shares) >= 80


def test_a_record_of_too_narrow_intervals_widens_them(history):
    quarters = periods(DAY + timedelta(days=1), 0.0, 153.0, "quarter")
    sums = coming()
    one, two = (
        by_record(sums, trusting(ALONE, needed), history, quarters, DAY + timedelta(days=1), 1).ratios["wins"]
        for needed in (1.0, 2.0)
    )
    root = [np.sqrt(sums["wins"] * ratio) for ratio in (one, two)]
    assert root[1].std(axis=0) / root[0].std(axis=0) == pytest.approx([2, 2], rel=0.05)


def test_months_add_up_to_the_corrected_quarters(history):
    model = fit(history)
    plain = forecast(model, history, replications=20)
    found = forecast(model, history, replications=20, record=trusting("run rate"))
    assert any("pooled from run rate" in note for note in found.notes)
    assert any("need not add up to the totals" in note for note in found.notes)
    coming = found.timeline[found.timeline["part"].isin(["open deals", "not yet created"])]
    sums = coming.groupby(["metric", "unit"])["mean"].sum().unstack("unit")
    for metric in ("wins", "bookings"):
        assert sums.loc[metric, "month"] == pytest.approx(sums.loc[metric, "quarter"])
        assert not np.allclose(found.total(metric).to_numpy(), plain.total(metric).to_numpy())
    known = found.parts[found.parts["part"] == "already won"]
    pd.testing.assert_frame_equal(known, plain.parts[plain.parts["part"] == "already won"])


def test_a_forecast_too_narrow_in_the_past_is_widened_and_says_so(history):
    model = from_tree(fit(history).tree)
    found, wider = (forecast(model, history, replications=20, record=trusting(ALONE, n)) for n in (1.0, 2.0))
    note = next(note for note in wider.notes if note.startswith("wins: the spread of what is still to come is"))
    assert "times as wide, as past forecasts needed it" in note
    assert not any("times as wide" in note for note in found.notes)
    assert (wider.total("wins").std() > 1.8 * found.total("wins").std()).all()


def test_what_was_written_by_hand_is_not_pooled_away(history):
    """Simple forecasts would bring back what the user took from the model, or weaken what was put in."""
    fitted = fit(history)
    text = fitted.to_yaml()
    model = load_text(text)
    (source,) = [name for name, said in model.tree["sources"].items() if "rate" in said]
    edited = load_text(text.replace(str(model.tree["sources"][source]["rate"]), "0.001 per day"))
    aimed = load_text(text.replace("\nstart:", "\ntarget: 90k\nstart:"))
    options = {"replications": 20, "record": trusting("run rate")}
    found, same, other = (forecast(one, history, **options) for one in (edited, aimed, model.override({"target": 1})))
    assert any("written by hand: sources; so the simulation counts alone" in note for note in found.notes)
    pd.testing.assert_frame_equal(found.parts, forecast(edited, history, replications=20).parts)
    assert any("pooled from run rate" in note for note in same.notes)
    assert any("not as it was fitted" in note for note in other.notes)


def test_without_a_history_a_record_has_no_say(history):
    model = from_tree(fit(history).tree)
    plain, found = (forecast(model, replications=5, record=record) for record in (None, trusting("run rate")))
    pd.testing.assert_frame_equal(found.parts, plain.parts)
    assert found.notes == plain.notes


def test_a_folder_that_is_no_backtests_holds_no_record(tmp_path):
    write_tables_and_pictures(tmp_path / "other", tables={"cases": pd.DataFrame({"metric": ["wins"]})}, manifest={})
    with pytest.raises(InputError, match="not that of a backtest"):
        read_record(tmp_path / "other")


def test_a_record_is_made_from_past_dates_alone(sample, tmp_path):
    export = read_export(sample)
    table = pd.read_csv(sample, dtype="str", keep_default_na=False)
    known = table[table["created"] <= DAY.isoformat()].copy()
    later = (known["closed"] == "") | (known["closed"] > DAY.isoformat())
    known.loc[later, ["closed", "amount"]] = ""
    known.loc[later, "stage"] = table.loc[table["closed"] == "", "stage"].iloc[0]
    known.to_csv(tmp_path / "deals.csv", index=False)
    one = record_before(export, DAY, dates=2, replications=10)
    other = record_before(read_export(tmp_path / "deals.csv"), DAY, dates=2, replications=10)
    assert one == other
    assert {score.as_of for score in one.scored} < {DAY - timedelta(days=k) for k in range(200)}
    assert all(score.after <= DAY + timedelta(days=1) for score in one.scored)


def test_past_dates_keep_the_holidays_of_the_file(sample, tmp_path, monkeypatch):
    asked = []

    def spy(*args, **options):
        asked.append(options["country"])
        return trusting(ALONE)

    monkeypatch.setattr("simfunnel.backtesting.record.record_before", spy)
    monkeypatch.chdir(tmp_path)
    for name, country in (("plain", []), ("us", ["--country", "US"])):
        assert main(["fit", str(sample), "-o", f"{name}.yaml", "--as-of", str(DAY), *country]) == 0
        deals = ["--deals", str(sample), "--as-of", str(DAY)]
        assert main(["forecast", f"{name}.yaml", *deals, "-n", "3", "--workers", "1", "-o", name]) == 0
    assert asked == ["", "US"]


def test_a_record_is_made_with_the_country_that_is_said(sample):
    export = read_export(sample)
    plain, kept = (record_before(export, DAY, dates=1, replications=20, country=c) for c in ("", "US"))
    assert plain != kept


@pytest.mark.parametrize(
    ("calendar", "country"),
    [
        ("always", ""),
        ({"holidays": ["2026-12-25"]}, ""),
        ({"holidays": "2026-12-25"}, ""),
        ({"holidays": "DE-BY"}, "DE-BY"),
    ],
)
def test_the_country_is_that_of_the_calendar(history, calendar, country):
    assert country_of(from_tree(fit(history).tree | {"calendar": calendar})) == country


def test_the_command_pools_unless_told_not_to(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", str(sample), "-o", "model.yaml", "--as-of", str(DAY)]) == 0
    asked = ["forecast", "model.yaml", "--deals", str(sample), "--as-of", str(DAY), "-n", "5", "--workers", "1"]
    capsys.readouterr()
    assert main([*asked, "--past", "1"]) == 0
    assert "pooled from" in " ".join(capsys.readouterr().out.split())
    assert main([*asked, "--past", "0"]) == 0
    assert "pooled from" not in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InputError, match="nowhere"):
        read_record(tmp_path / "nowhere")
