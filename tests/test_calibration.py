"""By how much spreads are off: found where the truth is known, applied to a forecast, and read back."""

from datetime import date

import numpy as np
import pytest

from simfunnel.calibration import TABLE, Calibration, Spread, calibrate, read_calibration, stretch_needed, widened
from simfunnel.crm.importing import read_crm
from simfunnel.errors import InputError
from simfunnel.forecasting import forecast
from simfunnel.runs import write_tables_and_pictures
from simfunnel.scenario import load_text

MODEL = """
name: Model
start: 2026-10-01
horizon: 2 quarters
sources: {web: {rate: 1 per day}, open deals: {deals: []}}
value: 1000
stages:
  open: {exits: {won: {chance: 40%, after: {exponential: 30 days}}, lost: {after: {exponential: 30 days}}}}
  won: {books: value}
"""


def outcomes(factor, dates=60, each=3, seed=1):
    """Forecasts whose spread on the root's scale is `factor` times too small, and the factors that they needed."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(20, 1, (dates * each, 2000)) ** 2
    came = rng.normal(20, factor, dates * each) ** 2
    return stretch_needed(samples, came), np.repeat(np.arange(dates), each)


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.5])
def test_the_factor_is_found_and_then_covers_what_it_should(factor):
    (spread,) = calibrate({"wins": outcomes(factor)}).spreads
    assert spread.low <= factor <= spread.high
    assert spread.wanted == pytest.approx(factor, rel=0.2)
    assert spread.covered_then == pytest.approx(0.8, abs=0.1)
    assert spread.dates == 60
    assert spread.outcomes == 180


def test_too_wide_a_spread_is_narrowed_only_as_far_as_it_is_sure():
    sure = calibrate({"wins": outcomes(0.4)}).spreads[0]
    assert sure.factor == sure.high < 1
    unsure = calibrate({"wins": outcomes(0.85, dates=6, each=1)}).spreads[0]
    assert unsure.high > 1
    assert unsure.factor >= 1


def test_too_few_dates_change_nothing_and_say_so():
    found = calibrate({"wins": outcomes(3.0, dates=3)})
    assert found.factor("wins") == 1
    assert "too few dates" in found.sentences()[0]
    assert found.factor("bookings") == 1


def test_what_is_needed_by_hand():
    sample = np.linspace(19, 21, 101) ** 2  # roots from 19 to 21: P10 19.2, P50 20, P90 20.8
    assert stretch_needed(sample, 20.8**2) == pytest.approx(1.0)
    assert stretch_needed(sample, 18.4**2) == pytest.approx(2.0)
    assert stretch_needed(sample, 400.0) == 0
    assert stretch_needed([0.0, 0.0, 0.0], 0.0) == 0
    assert stretch_needed([0.0, 0.0, 0.0], 5.0) == 10  # as much as is ever said


def test_widening_keeps_the_median_and_never_goes_below_zero():
    sample = np.array([0.0, 1.0, 4.0, 9.0, 100.0])
    wide = widened(sample, 3.0)
    assert np.median(wide) == pytest.approx(4)
    assert (wide >= 0).all()
    assert wide.max() == pytest.approx((2 + 3 * 8) ** 2)
    assert widened(sample, 1.0) == pytest.approx(sample)


def test_the_words_say_what_was_held_and_what_is_done():
    spread = Spread("wins", 12, 40, 0.55, 1.6, 1.2, 2.1, 1.6, 0.79)
    said = Calibration((spread,)).sentences()[0]
    assert "held 55% of 40 outcomes forecast from 12 dates" in said
    assert "widen it 1.60 times (90% interval 1.20 to 2.10)" in said
    assert "holds 79%" in said


def test_a_forecast_is_widened_in_what_is_still_to_come_alone(tmp_path):
    file = tmp_path / "deals.csv"
    rows = ["id,created,closed,stage,amount"]
    rows += [f"o{k},2026-10-0{k % 9 + 1},,open," for k in range(60)]
    rows += [f"w{k},2026-09-0{k + 1},2026-10-1{k},won,1000" for k in range(9)]
    rows += [f"l{k},2026-09-0{k + 1},2026-10-1{k},lost,0" for k in range(4)]
    file.write_text("\n".join(rows))
    history = read_crm(file, as_of="2026-10-31")
    model = load_text(MODEL)
    wider = Calibration((Spread("wins", 9, 20, 0.5, 2.0, 1.5, 2.5, 2.0, 0.8),))
    plain = forecast(model, history, replications=60)
    found = forecast(model, history, replications=60, calibration=wider)
    assert found.total("bookings").equals(plain.total("bookings"))
    before, after = plain.total("wins")["2026Q4"] - 9, found.total("wins")["2026Q4"] - 9
    assert after.to_numpy() == pytest.approx(widened(before.to_numpy(), 2.0))
    already = found.parts[(found.parts.part == "already won") & (found.parts.metric == "wins")]
    assert (already["value"] == 9).all()
    assert after.std() == pytest.approx(2 * before.std(), rel=0.1)
    assert any("wins: the spread of what is still to come is 2.00 times" in note for note in found.notes)
    assert list(found.parts.index) == list(plain.parts.index)


def test_a_calibration_is_read_back_from_its_folder(tmp_path):
    found = calibrate({"wins": outcomes(1.5), "bookings": outcomes(1.2)})
    folder = tmp_path / "out"
    write_tables_and_pictures(folder, tables={TABLE: found.to_frame()}, manifest={})
    assert read_calibration(folder) == found
    with pytest.raises(InputError, match="no run folder"):
        read_calibration(tmp_path / "nowhere")
    other = tmp_path / "other"
    write_tables_and_pictures(other, tables={TABLE: found.to_frame()[["metric"]]}, manifest={})
    with pytest.raises(InputError, match="not that of a backtest"):
        read_calibration(other)


def test_as_of_a_date_without_history_nothing_is_already_won():
    found = forecast(
        load_text(MODEL),
        as_of=date(2026, 9, 30),
        replications=5,
        calibration=Calibration((Spread("wins", 9, 20, 0.5, 2.0, 1.5, 2.5, 2.0, 0.8),)),
    )
    assert (found.parts["value"] >= 0).all()
