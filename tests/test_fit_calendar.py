"""Pace, drift, dependence and several stages, found in histories whose truth is known."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfunnel.calendars import public_holidays
from simfunnel.crm import History, read_crm
from simfunnel.errors import InputError
from simfunnel.fitting import Fitted, fit
from simfunnel.fitting.arrivals import fit_arrivals
from simfunnel.fitting.course import Course
from simfunnel.fitting.dependence import fit_dependence
from simfunnel.fitting.drift import Drift, fit_drift
from simfunnel.fitting.exits import fit_exits
from simfunnel.fitting.exposure import KINDS, Exposure, exposure
from simfunnel.fitting.pace import YEAR_END, Counts, Pace, fit_pace, in_window, quarter_window, weekdays
from simfunnel.fitting.visits import Visits, pooled, visits_of
from simfunnel.fitting.writing import luck_effects
from simfunnel.forecasting.forecast import forecast
from simfunnel.replicate import run
from simfunnel.scenario import from_tree, load_text
from tests.histories import STAGES, World, flat, staged


def looked_at(history: History) -> tuple[Visits, Exposure, Pace]:
    visits, _ = pooled(visits_of(history))
    table = exposure(visits)
    return visits, table, fit_pace(table)


@pytest.fixture(scope="module")
def funnel() -> World:
    return staged(1)


@pytest.fixture(scope="module")
def fitted(funnel: World) -> Fitted:
    return fit(funnel.until(160))


# --- days under watch -------------------------------------------------------------------------------------------------


def test_days_under_watch_and_exits_add_up(funnel: World) -> None:
    visits, table, _ = looked_at(funnel.until(100))
    ages = visits.left - visits.entered
    assert table.risk.sum() == pytest.approx((ages - np.minimum(ages, 1 / 24)).sum(), rel=1e-6)
    gone = (visits.goal != "") & (ages > 1 / 24)
    assert table.events.sum() == gone.sum()


def test_deals_watched_since_later_count_from_then() -> None:
    history = flat(3, days=400).until(300)
    cut = date(2022, 4, 1)
    late = replace(history, observed_from=cut)
    kept = late.deals[~(late.deals["closed"] < pd.Timestamp(cut))]
    visits = visits_of(replace(late, deals=kept.reset_index(drop=True), visits=None))
    assert visits.entered.min() < 0
    table = exposure(visits)
    assert table.risk.sum() == pytest.approx((visits.left - np.maximum(visits.entered, 0.0)).sum())


# --- pace -------------------------------------------------------------------------------------------------------------


def test_weekends_and_christmas_are_found() -> None:
    _, table, pace = looked_at(flat(1).until(760))
    days = pd.date_range("2023-11-06", periods=7)  # an ordinary week, Monday first
    week = pace.by_day("won", days)
    truth = np.array([1.0] * 5 + [0.2] * 2)
    np.testing.assert_allclose(week, truth / truth.mean(), rtol=0.25)
    assert week.mean() == pytest.approx(1.0)
    found = next(e for e in pace.effects["won"] if e.what == YEAR_END).factor
    assert found.low < 0.3 < found.high * 1.2
    assert table.events.sum() > 1000


def test_where_days_are_alike_no_pattern_is_made_up() -> None:
    made_up = 0
    for seed in range(8):
        _, _, pace = looked_at(flat(seed, days=500, weekend=1.0, christmas=1.0).until(420))
        made_up += bool(pace.effects["won"])
        assert all(0.75 < e.factor.value < 1.3 for e in pace.effects["won"])
    assert made_up <= 2


def test_a_christmas_not_yet_seen_is_taken_from_the_weekends() -> None:
    _, _, pace = looked_at(flat(2).until(300))
    found = next(e for e in pace.effects["won"] if e.what == YEAR_END).factor
    assert found.n == 0
    assert 0.3 < found.value < 0.9
    assert any("assumed from the weekends" in said for said in pace.assumptions)
    _, _, always = looked_at(flat(2, weekend=1.0).until(300))
    assert not always.effects["won"]


def test_the_year_end_is_told_beside_the_quarters_end() -> None:
    """Where each quarter ends with a rush, that of the last one is nothing of Christmas's own."""
    table = exposure(visits_of(flat(7, weekend=1.0, christmas=1.0).until(760)))
    rush = np.where(in_window(table.days, 12, -10), 3.0, 1.0)
    pace = fit_pace(replace(table, events=table.events * rush[:, None, None]))
    rushed, ordinary = (pace.by_day("won", pd.DatetimeIndex([day]))[0] for day in ("2023-12-28", "2023-11-15"))
    assert 2.0 < rushed / ordinary < 4.0
    assert not any("are slow" in said for said in pace.assumptions)


def ends_of_quarters(a_day: float, factors: list[float]) -> list[tuple[int, float]]:
    """The window found, and its factor, where each quarter's last 30 days bring so many times what the others do."""
    days = pd.date_range("2025-01-01", pd.Timestamp("2025-01-01") + pd.offsets.QuarterEnd(len(factors)), freq="D")
    factor = np.where(in_window(days, 12, -30), np.array(factors)[(days.quarter - 1) + 4 * (days.year - 2025)], 1.0)
    counts = Counts(np.round(a_day * factor, 2), np.full(len(days), a_day))
    _, found = quarter_window(counts, days, 12)
    return [(effect.which[0], effect.factor.value) for effect in found]


def test_a_quarters_end_must_be_seen_in_two_quarters() -> None:
    assert ends_of_quarters(8.0, [1.5]) == []
    assert ends_of_quarters(8.0, [1.0, 2.0]) == []
    ((window, factor),) = ends_of_quarters(8.0, [1.5, 1.5])
    assert window == -30
    assert factor == pytest.approx(1.5, rel=0.1)


def test_what_two_small_quarters_share_may_be_chance_and_what_five_share_is_not() -> None:
    assert ends_of_quarters(0.5, [1.6] * 2) == []
    assert [window for window, _ in ends_of_quarters(0.5, [1.6] * 5)] == [-30]


def test_holidays_need_a_country() -> None:
    world = flat(4)
    us = public_holidays("US", (2022, 2023))
    table = exposure(visits_of(world.until(700)))
    open_for_business = np.array([day not in us for day in table.days.date])
    closed = replace(table, events=table.events * open_for_business[:, None, None])
    holiday = next(e for e in fit_pace(closed, us).effects["won"] if e.what == "holiday").factor
    assert holiday.value < 0.3
    assert fit(world.until(200), country="US").tree["calendar"]["holidays"] == "US"
    with pytest.raises(InputError, match="country"):
        fit(world.until(200), country="Atlantis")


def test_days_are_named_as_a_person_would() -> None:
    assert weekdays((0, 1, 2, 3, 4)) == "Mon-Fri"
    assert weekdays((0, 5, 6)) == "Mon, Sat, Sun"


# --- drift ------------------------------------------------------------------------------------------------------------


def test_history_is_forgotten_only_where_it_misleads() -> None:
    tables = [looked_at(flat(5, later=later).until(760))[1:] for later in (0.0, -1.0)]
    steady, moving = (fit_drift(table, pace.of_exits(table)) for table, pace in tables)
    assert math.isinf(steady.half_life)
    assert steady.courses["won"].luck < 0.08
    assert abs(steady.courses["won"].level) < 2 * steady.courses["won"].luck
    assert moving.half_life < 400 or moving.courses["won"].level < -0.05
    assert "all history counts alike" in steady.assumptions[0]


def test_who_leaves_on_the_day_of_coming_was_there_for_half_a_day() -> None:
    """Such stays take no days: without that half day no rate would be too high for them."""
    _, table, pace = looked_at(flat(5).until(760))
    risk = table.risk.copy()
    risk[:200] = 0.0
    drift = fit_drift(replace(table, risk=risk), pace.of_exits(table))
    gained = re.search(r"log score \+(\d+)", drift.assumptions[0])
    assert gained is None or int(gained[1]) < table.events.sum()
    assert 0.8 < math.exp(drift.courses["won"].level) < 1.25


def test_a_steady_business_with_rare_wins_has_no_course() -> None:
    """The hazards that the course is held against lean on usual ones: that must not read as a fall of the market."""
    levels = []
    for seed in range(16):
        history = flat(40 + seed, days=500).until(400)
        deals = history.deals
        rare = (deals["outcome"] == "won") & (np.random.default_rng(seed).random(len(deals)) < 0.98)
        deals = deals.assign(outcome=deals["outcome"].mask(rare, "lost"))
        _, table, pace = looked_at(replace(history, deals=deals, visits=None))
        assert 5 < table.events[:, table.of("won")].sum() < 60
        levels.append(fit_drift(table, pace.of_exits(table)).courses["won"].level)
    assert abs(np.mean(levels)) < 0.05


def test_lines_that_would_do_nothing_are_not_written() -> None:
    """Where nobody is won, a win has no pace; where all who leave are won, odds change nothing."""
    history = flat(31, days=400).until(300)
    drift = Drift(math.inf, dict.fromkeys(KINDS, Course(-0.1, 0.1, 0.0, 0.0, 40)))
    for share, kept in ((1e-9, {"odds"}), (0.4, {"odds", "pace"}), (1.0, {"pace"})):
        found = fit_exits(history, *_seen(history), drift)
        won = next(iter(found.stages.values()))
        alone = replace(won, chances=won.chances | {"won": replace(won.chances["won"], value=share)})
        written = luck_effects(replace(found, stages={"open": alone}), drift, date(2025, 1, 1))
        assert {key for line in written for key in line if key in ("odds", "pace")} == kept


def _seen(history: History) -> tuple[Visits, Pace]:
    """A history's visits and the pace of its days."""
    visits, _, pace = looked_at(history)
    return visits, pace


# --- dependence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [True, False])
def test_the_channel_that_wins_more_is_found(*, lost: bool) -> None:
    history = flat(6, lost=lost).until(700)
    visits, table, _ = looked_at(history)
    found = fit_dependence(history, visits, table, ["A", "B"])
    assert [d.attribute for d in found] == ["channel"]
    ratio = found[0].levels["a"].value / found[0].levels["b"].value
    assert ratio == pytest.approx(2.0, rel=0.25)


def test_what_does_not_matter_is_left_out() -> None:
    left_out = 0
    for seed in range(6):
        history = flat(20 + seed).until(500)
        history = replace(
            history, deals=history.deals.assign(channel=history.deals["channel"].sample(frac=1).to_numpy())
        )
        visits, table, _ = looked_at(history)
        left_out += not fit_dependence(history, visits, table, ["A", "B"])
    assert left_out >= 5


# --- arrivals ---------------------------------------------------------------------------------------------------------


def test_christmas_lowers_arrivals_and_leaves_the_level() -> None:
    rng = np.random.default_rng(1)
    days = pd.date_range("2022-09-05", periods=7 * 20)
    slow = (days >= "2022-12-24") & (days <= "2023-01-01")
    mean = np.where(days.day_of_week >= 5, 5.0, 20.0) * np.where(slow, 0.25, 1.0)
    found = fit_arrivals(rng.poisson(mean).astype(float), 0, first_day=days[0].date())
    assert found.special[0].factor.low < 0.25 < found.special[0].factor.high * 1.1
    assert found.rate.low < 110 / 7 < found.rate.high


def test_a_season_needs_two_years() -> None:
    rng = np.random.default_rng(2)
    days = pd.date_range("2021-01-01", periods=3 * 365)
    counts = rng.poisson(np.where(days.month == 8, 5.0, 20.0)).astype(float)
    found = fit_arrivals(counts, days[0].day_of_week, first_day=days[0].date())
    assert found.season[8].high < 0.4
    assert not fit_arrivals(counts[:400], days[0].day_of_week, first_day=days[0].date()).season
    plain = fit_arrivals(rng.poisson(20, 3 * 365).astype(float), 4, first_day=days[0].date())
    assert not plain.season


# --- several stages ---------------------------------------------------------------------------------------------------


def test_a_funnel_of_several_stages_is_found(fitted: Fitted) -> None:
    text = fitted.to_yaml()
    scenario = load_text(text)
    assert all("lists no open deals" in said for said in scenario.warnings)
    assert list(scenario.spec.stages) == [*STAGES, "Won"]
    table = fitted.table.set_index("what")
    for what, truth in (("App.exits.Offer", 0.7), ("Offer.exits.Review", 0.65), ("Offer.exits.lost", 0.35)):
        row = table.loc[f"stages.{what}.chance"]
        half = (row["high"] - row["low"]) / 2
        assert row["low"] - half < truth < row["high"] + half, what
    assert table.loc["effects.odds (Review, channel a)", "estimate"] > 1.2
    assert any("Sat" in str(effect.get("when")) for effect in fitted.tree["effects"])


def test_both_engines_run_it_alike(fitted: Fitted) -> None:
    scenario = from_tree({**fitted.tree, "horizon": "14 days"})
    one, other = (run(scenario, 1, seed=1, engine=engine).kpis for engine in ("compiled", "simpy"))
    pd.testing.assert_frame_equal(one, other)


def test_a_forecast_starts_every_deal_in_its_stage(funnel: World, fitted: Fitted) -> None:
    history = funnel.until(160)
    found = forecast(from_tree(fitted.tree), history, quarters=1, replications=40)
    assert set(found.deals["stage"]) == set(STAGES)
    assert (history.open_deals()["stage"].isin(STAGES)).all()
    wins = found.total("wins").iloc[:, 0]
    assert wins.std() > 0


def test_nothing_after_the_date_is_used(funnel: World) -> None:
    known = funnel.until(160)
    later = funnel.visits["left"] >= 160
    other = replace(funnel, visits=funnel.visits.assign(next=funnel.visits["next"].where(~later, "lost")))
    assert fit(other.until(160)).to_yaml() == fit(known).to_yaml()


def test_rare_moves_are_counted_as_common_ones(funnel: World) -> None:
    history: Any = funnel.until(160)
    moved = history.visits.copy()
    rare = moved.index[(moved["stage"] == "App") & (moved["next"] == "Offer")][:3]
    moved.loc[rare, "next"] = "Review"
    visits, said = pooled(visits_of(replace(history, visits=moved)))
    assert "'App' -> 'Review' (3) as 'Offer'" in said[0]
    assert visits.goals(0) == ("Offer", "lost")


# --- exports of which only wins have dates ----------------------------------------------------------------------------


def test_without_a_single_loss_deals_win_or_stay() -> None:
    found = fit(flat(7, lost=False).until(500))
    assert list(found.tree["stages"]["open"]["exits"]) == ["Won", "stays"]
    chance = found.table.set_index("what").loc["stages.open.exits.Won.chance"]
    assert chance["low"] < 0.385 < chance["high"]
    assert any("nothing was ever lost" in said for said in found.assumptions)
    assert load_text(found.to_yaml())


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_what_is_written_by_hand_wins_and_is_marked() -> None:
    kept = {"teams": {"sellers": {"selling_time": "50%"}}, "target": "1M"}
    found = fit(flat(8).until(300), keep=kept)
    assert found.tree["teams"]["sellers"]["selling_time"] == "50%"
    assert len(found.tree["teams"]["sellers"]["members"]) == 2
    text = found.to_yaml()
    assert "# Written by hand: teams.sellers.selling_time." in text
    assert "written by hand, and kept: teams.sellers.selling_time, target" in text
    assert load_text(text).spec.target == 1e6


# --- how often it is right --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_intervals_of_four_weeks_cover() -> None:
    """The 80% interval of the wins of four weeks covers 80% of the time, Christmas or not, within three errors."""
    inside = total = 0
    for seed in range(8):
        world = flat(100 + seed)
        for day in (330, 352, 460, 600, 717):
            history = world.until(day)
            tree = {**fit(history).tree, "horizon": "28 days"}
            ready = from_tree(tree).override({"sources": {"open deals": {"deals": _rows(history)}}})
            kpis = run(ready, 100, seed=1).kpis
            wins = kpis.loc[(kpis["metric"] == "wins") & (kpis["unit"] == "all"), "value"]
            low, high = wins.quantile([0.1, 0.9])
            inside += low <= world.wins(day, 28) <= high
            total += 1
    assert abs(inside / total - 0.8) < 3 * (0.16 / total) ** 0.5, inside / total


def _rows(history: History) -> list[dict[str, Any]]:
    return [
        {
            "id": d["id"],
            "stage": d["stage"],
            "age": f"{d['age']:g} days",
            "member": d["member"],
            "attributes": {"channel": d["channel"]},
        }
        for d in history.open_deals().to_dict("records")
    ]


def test_cases_as_regular_as_clockwork_are_fitted(tmp_path: Path) -> None:
    """Nothing is due on most days, so no quarter's end can be held against them."""
    rows = []
    for k in range(200):
        at = pd.Timestamp("2024-01-01 09:00") + pd.Timedelta(days=k)
        for step, name in enumerate(("Lead", "Offer", "Won" if k % 2 else "Lost")):
            rows.append((f"C{k}", name, at + pd.Timedelta(hours=30 * step)))
    pd.DataFrame(rows, columns=["case", "activity", "time"]).to_csv(tmp_path / "log.csv", index=False)
    assert set(fit(read_crm(tmp_path / "log.csv")).tree["stages"]) == {"Lead", "Offer", "Won"}
