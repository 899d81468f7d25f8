"""Metrics against figures worked out by hand, on a few deals whose fates are known to the hour."""

import numpy as np
import pytest

from simfunnel import kpi_tables, kpis, views
from simfunnel.describing import describe
from simfunnel.errors import InputError
from simfunnel.replicate import records_of, run
from simfunnel.results import summarise
from simfunnel.scenario import load_text

# Monday 5 January 2026. Ten come at 09:00 and are worked on for 3 h each by two sellers who earn 31 a day; the work of
# January ends on the 7th. Each is decided 30 days after; six tenths of nobody: chances are 0 or 1 by source.
SCENARIO = """
name: By hand
start: 2026-01-05
horizon: 60 days
calendar: {days: Mon-Fri, hours: "09:00-17:00"}
attributes: {size: {by: source, cases: {good: {small: 100%, large: 0%}, bad: {small: 0%, large: 100%}}}}
sources:
  good: {at: 2026-01-05, size: 6, cost: 10 each}
  bad:  {at: 2026-01-05, size: 4, cost: 500}
value: 1000
teams: {sellers: {size: 2, pay: 31 per day}}
stages:
  talk:
    work: {team: sellers, effort: 3 h, cost: 5}
    route: [{when: {source: bad}, to: junk}]
    exits: {customer: {after: 30 days}}
  junk:
    cost_per_day: 2
    exits: {lost: {after: 10 days}}
  customer:
    books: value
    term: 20 days
    cash: 50% of value
    cost: 7
    exits: {churned: {after: 12 days}}
"""


@pytest.fixture(scope="module")
def measured():
    """Each metric by month: January has 27 days of the run, February 28, March 5."""
    records, plan = records_of(load_text(SCENARIO))
    return kpis.measured(views.view_of(records, plan, "month")), records, plan


# Of six tasks two end at 12:00 and two at 15:00 on Monday; the last two begin at 15:00, run to 17:00 and go on until
# 10:00 on Tuesday. So wins come on 4 and 5 February, and those customers leave 12 days later.
@pytest.mark.parametrize(
    ("metric", "by_month"),
    [
        ("prospects", [10, 0, 0]),
        ("referrals", [0, 0, 0]),
        ("wins", [0, 6, 0]),
        ("lost", [4, 0, 0]),
        ("win_rate", [0, 1, np.nan]),
        ("bookings", [0, 6000, 0]),
        ("cash", [0, 3000, 0]),
        ("open_deals", [6, 0, 0]),
        ("pipeline_value", [6000, 0, 0]),
        ("customers", [0, 0, 0]),
        ("churned", [0, 6, 0]),
        ("reneged", [0, 0, 0]),
        ("wait", [(0 + 0 + 3 + 3 + 6 + 6) / 6, np.nan, np.nan]),
        ("utilisation", [18 / (2 * 20 * 8), 0, 0]),
        # January: 6 x 10 each + 500 once + 6 touches + 4 in junk for 10 days + two sellers for 27 days
        ("cost", [60 + 500 + 30 + 80 + 62 * 27, 42 + 62 * 28, 62 * 5]),
        ("revenue", [0, 6000, 0]),
    ],
)
def test_metrics_by_month(measured, metric, by_month):
    assert measured[0][metric][0] == pytest.approx(by_month, nan_ok=True)


def test_profit_is_revenue_less_cost(measured):
    assert measured[0]["profit"] == pytest.approx(measured[0]["revenue"] - measured[0]["cost"])


def test_revenue_is_spread_over_the_term_and_sums_to_the_bookings(measured):
    _, records, plan = measured
    weeks = kpis.measured(views.view_of(records, plan, "week"), ["revenue", "bookings"])
    assert weeks["revenue"].sum() == pytest.approx(6000)
    assert (weeks["revenue"] > 0).sum() == 4  # from Wednesday 4 February, 20 days
    assert (weeks["bookings"] > 0).sum() == 1


def test_groups_add_up_and_what_nobody_caused_is_left_out(measured):
    _, records, plan = measured
    table = kpi_tables.measure(records, plan, "all", by="source", metrics=["prospects", "wins", "cost"])
    found = table.set_index(["metric", "group"])["value"]
    assert (found["prospects", "good"], found["prospects", "bad"]) == (6, 4)
    assert (found["wins", "good"], found["wins", "bad"]) == (6, 0)
    assert found["cost", "good"] == pytest.approx(60 + 30 + 42)  # the sellers' pay belongs to no source
    assert found["cost", "bad"] == pytest.approx(500 + 80)
    by_size = kpi_tables.measure(records, plan, "all", by="size", metrics=["wins"]).set_index("group")["value"]
    assert (by_size["small"], by_size["large"]) == (6, 0)


def test_a_task_that_straddles_a_periods_end_is_shared_between_both():
    text = SCENARIO.replace("effort: 3 h", "effort: 60 h").replace("size: 6,", "size: 1,")
    records, plan = records_of(load_text(text))
    view = views.view_of(records, plan, "week")
    busy, offered = kpis.work_hours(view)
    assert busy.sum(axis=0)[:3] == pytest.approx([40, 20, 0])
    assert offered.sum(axis=0)[:2].tolist() == [80, 80]


def test_the_funnel_counts_a_cohort(measured):
    _, records, plan = measured
    table = kpi_tables.funnel(records, plan).set_index("stage")
    assert table.loc["talk", ["entered", "forward", "lost", "still_there"]].tolist() == [10, 10, 0, 0]
    assert table.loc["junk", ["entered", "lost", "mean_days"]].tolist() == [4, 4, 10]
    assert table.loc["talk", "mean_wait_hours"] == pytest.approx(3)


def test_nothing_happened_at_all():
    records, plan = records_of(load_text(SCENARIO.replace("size: 6,", "size: 0,").replace("size: 4,", "size: 0,")))
    found = kpis.measured(views.view_of(records, plan, "quarter"))
    assert found["wins"].sum() == 0
    assert np.isnan(found["win_rate"]).all()
    assert np.isnan(kpi_tables.time_in_system(records, plan))
    assert kpi_tables.funnel(records, plan)["entered"].sum() == 0


@pytest.mark.parametrize(("what", "words"), [("sise", "Did you mean 'size'"), ("value", "is no grouping")])
def test_an_unknown_grouping_is_refused(measured, what, words):
    _, records, plan = measured
    with pytest.raises(InputError, match=words):
        views.view_of(records, plan, "all", what)


def test_a_summary_has_students_interval_and_quantiles():
    from scipy import stats

    runs = run(load_text(SCENARIO.replace("good: {at: 2026-01-05, size: 6", "good: {rate: 2 per day")), 8)
    wins = runs.values("wins", "all")["all"].to_numpy()
    row = runs.summary("all").set_index("metric").loc["wins"]
    low, high = stats.t.interval(0.90, 7, wins.mean(), wins.std(ddof=1) / np.sqrt(8))
    assert (row["mean"], row["low"], row["high"]) == (
        pytest.approx(wins.mean()),
        pytest.approx(low),
        pytest.approx(high),
    )
    assert row["0.5"] == np.median(wins)


@pytest.mark.slow
def test_the_90_percent_interval_of_a_mean_covers_it_nine_times_in_ten():
    """Over 1,000 repetitions the interval of mean wins covers the truth in 88% to 92% (z = 2.1 for 90%)."""
    import pandas as pd

    funnel = load_text(
        "{name: Small, start: 2026-01-05, horizon: 30 days, calendar: always, sources: {web: {rate: 1 per day}}, "
        "stages: {open: {exits: {won: {chance: 50%}, lost: {}}}, won: {books: 1}}}"
    )
    truth, repetitions, size = 30 * 0.5, 1000, 20
    values = run(funnel, repetitions * size, workers=2).values("wins", "all")["all"].to_numpy()
    rows = pd.DataFrame({"repetition": np.repeat(np.arange(repetitions), size), "value": values})
    table = summarise(rows, ["repetition"])
    covered = ((table["low"] <= truth) & (truth <= table["high"])).mean()
    assert 0.88 <= covered <= 0.92, f"{covered:.1%} of {repetitions} intervals of {size} replications cover the mean"


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_a_booking_may_be_more_than_the_value(engine):
    """Six deals of 1,000 each, booked with an uplift of a tenth."""
    records, plan = records_of(load_text(SCENARIO.replace("books: value", "books: 110% of value")), engine=engine)
    assert kpis.measured(views.view_of(records, plan, "all"))["bookings"].sum() == pytest.approx(6600)


def test_an_uplift_is_described():
    said = describe(load_text(SCENARIO.replace("books: value", "books: 105% to 115% of value")).spec)
    assert "105% to 115% of its value" in said
