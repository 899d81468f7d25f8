"""Windows after a date, and that what is foreseen in them is what the forecast says."""

from datetime import date

import pandas as pd
import pytest

from simfunnel.forecasting.forecast import forecast, from_today
from simfunnel.forecasting.windows import (
    NEXT_4,
    NEXT_13,
    NEXT_QUARTER,
    THIS_QUARTER,
    foreseen,
    windows_after,
    won_between,
)
from simfunnel.scenario import load_text

MODEL = """
name: Model
start: 2026-10-01
horizon: 2 quarters
sources:
  web: {rate: 2 to 4 per day}
  open deals: {deals: []}
value: {lognormal: {median: 1000, p90: 3000}}
stages:
  open:
    exits:
      won: {chance: 30% to 50%, after: {exponential: 30 days}}
      lost: {after: {exponential: 30 days}}
  won: {books: value}
"""


def deals(count):
    return pd.DataFrame({"id": [f"d{k}" for k in range(count)], "stage": "open", "age": 10.0, "value": 500.0})


def test_windows_begin_after_the_date_and_end_with_it_or_the_quarter():
    four, thirteen, this, following = windows_after(date(2026, 11, 15))
    assert (four.name, four.days(date(2026, 11, 15))) == (NEXT_4, (0.0, 28.0))
    assert (thirteen.name, thirteen.days(date(2026, 11, 15))) == (NEXT_13, (0.0, 91.0))
    assert (this.name, this.begin, this.after) == (THIS_QUARTER, date(2026, 11, 16), date(2027, 1, 1))
    assert this.counts_from == date(2026, 10, 1)
    assert (following.name, following.begin, following.after) == (NEXT_QUARTER, date(2027, 1, 1), date(2027, 4, 1))
    assert this.weeks_to_end(date(2026, 11, 15)) == 7
    assert this.weeks_to_end(date(2026, 12, 31)) == 1


def test_on_a_quarters_last_day_the_running_quarter_is_the_next():
    this = windows_after(date(2026, 12, 31))[2]
    assert (this.begin, this.after, this.counts_from) == (date(2027, 1, 1), date(2027, 4, 1), date(2027, 1, 1))


def test_quarters_are_those_of_the_fiscal_year():
    this = windows_after(date(2026, 11, 15), fiscal_year_ends=1)[2]
    assert (this.after, this.counts_from) == (date(2027, 2, 1), date(2026, 11, 1))


def test_what_was_won_counts_whole_days_and_takes_unknown_values_for_the_mean():
    table = pd.DataFrame(
        {
            "outcome": ["won", "won", "won", "lost", "won"],
            "closed": pd.to_datetime(
                ["2026-10-01", "2026-10-31 23:00", "2026-11-01", "2026-10-05", "2026-09-30"], format="ISO8601"
            ),
            "value": [100.0, None, 500.0, 900.0, 300.0],
        }
    )
    assert won_between(table, date(2026, 10, 1), date(2026, 11, 1)) == {"bookings": 400.0, "wins": 2.0}
    nothing = table.assign(value=float("nan"))
    assert won_between(nothing, date(2026, 10, 1), date(2026, 11, 1)) == {"bookings": 2.0, "wins": 2.0}


def test_what_is_foreseen_is_what_the_forecast_says():
    day, model = date(2026, 11, 15), load_text(MODEL)
    said = forecast(model, deals(40), as_of=day, replications=12, seed=5)
    windows = windows_after(day)
    found = foreseen(from_today(model, deals(40), as_of=day), day, windows, 12, 5)
    for metric in ("wins", "bookings"):
        both = pd.DataFrame({k: found.totals[k, metric] for k in (THIS_QUARTER, NEXT_QUARTER)}).to_numpy()
        assert both == pytest.approx(said.total(metric).to_numpy())
    chances = said.deals.set_index("deal")["won by end of 2026Q4"].reindex([f"d{k}" for k in range(40)])
    assert found.chances[THIS_QUARTER] == pytest.approx(chances.to_numpy())
    assert (found.totals[NEXT_13, "wins"] >= found.totals[NEXT_4, "wins"]).all()
