"""Sellers' work from logs of tasks: hours, calendars, teams, absences and queues, where the truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfunnel.calendars import ALWAYS, Calendar
from simfunnel.crm import History, read_crm
from simfunnel.crm.exporting import as_task_log
from simfunnel.fitting import Fitted, fit
from simfunnel.fitting.capacity import calendar_of, last_free, less, shared_hours, union
from simfunnel.fitting.effort import fit_effort, open_ages
from simfunnel.fitting.figures import Z95, Estimate
from simfunnel.fitting.hours import fit_hours
from simfunnel.fitting.queues import explaining, played_again
from simfunnel.fitting.visits import visits_of
from simfunnel.fitting.waits import drawn_delays
from simfunnel.forecasting.forecast import from_today
from simfunnel.replicate import records_of
from simfunnel.scenario import from_tree, load_text
from simfunnel.units import middle

TO_BE_FILLED = ("source 'open deals' lists no open deals; with --deals EXPORT, forecast and compare fill it",)
LOAN = "loan_app/LoanApp.csv.gz"
TRUTH = """
name: Limited sellers
start: 2024-01-01
horizon: 270 days
calendar: {days: Mon-Fri, hours: "09:00-17:00"}
sources:
  inbound: {rate: 8 per working day}
value: 1
teams:
  qualifiers: {members: [{name: Ann}, {name: Bob}, {name: Cem}, {name: Don}]}
  closers: {members: [{name: Eva}, {name: Fay}]}
stages:
  Qualify:
    work: {team: qualifiers, effort: {exponential: 2.4 h}}
    exits:
      Propose: {chance: 55%, after: {gamma: {mean: 4 days, cv: 0.8}}}
      lost: {after: {exponential: 2 days}}
  Propose:
    work: {team: closers, effort: {gamma: {mean: 2.5 h, cv: 0.7}}}
    exits:
      Won: {chance: 45%, after: {gamma: {mean: 6 days, cv: 0.7}}}
      lost: {after: {exponential: 8 days}}
  Won: {books: value}
"""
QUALIFY, PROPOSE = "Qualify team", "Propose team"
TO_WARM_UP = 60.0  # days


def history_of(log: pd.DataFrame, folder: Path, as_of: str | None = None) -> History:
    log.to_csv(folder / "log.csv", index=False)
    return read_crm(folder / "log.csv", as_of=as_of)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    records, plan = records_of(load_text(TRUTH), seed=1)
    return history_of(as_task_log(records, plan), tmp_path_factory.mktemp("effort"))


@pytest.fixture(scope="module")
def fitted(history: History) -> Fitted:
    return fit(history)


# --- recovery ---------------------------------------------------------------------------------------------------------


def test_the_hours_of_work_are_found(fitted: Fitted) -> None:
    table = fitted.table.set_index("what")
    for stage, truth in (("Qualify", 2.4), ("Propose", 2.5)):
        row = table.loc[f"stages.{stage}.work.effort (mean)"]
        error = math.log(row["high"] / row["low"]) / (2 * Z95)
        assert abs(math.log(row["estimate"] / truth)) < 3.3 * error < 0.15
    assert set(fitted.tree["stages"]["Qualify"]["work"]["effort"]) == {"exponential"}
    assert fitted.tree["stages"]["Propose"]["work"]["effort"]["gamma"]["cv"] == pytest.approx(0.7, abs=0.06)


@pytest.mark.slow
def test_hours_lie_within_their_intervals_as_often_as_they_say(tmp_path: Path) -> None:
    """Over ten histories: squared z's of 20 means sum to a chi-square of 20 degrees of freedom (5 to 45: 99.9%)."""
    squares = 0.0
    for seed in range(2, 12):
        records, plan = records_of(load_text(TRUTH), seed=seed)
        found = fit(history_of(as_task_log(records, plan), tmp_path))
        assert found.tree["calendar"] == {"days": "Mon-Fri", "hours": "09:00-17:00"}
        table = found.table.set_index("what")
        for stage, truth in (("Qualify", 2.4), ("Propose", 2.5)):
            row = table.loc[f"stages.{stage}.work.effort (mean)"]
            squares += (math.log(row["estimate"] / truth) / (math.log(row["high"] / row["low"]) / (2 * Z95))) ** 2
    print(f"sum of 20 squared z's: {squares:.1f}")
    assert 5 < squares < 45


def test_every_figure_has_an_interval_around_it(fitted: Fitted) -> None:
    table = fitted.table
    assert (table["low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["high"]).all()
    time = table[table["what"].str.endswith("selling_time")]
    assert len(time) == 2
    assert (time["high"] <= 1.0).all()


def test_calendar_and_teams_are_found(fitted: Fitted) -> None:
    tree = fitted.tree
    assert tree["calendar"] == {"days": "Mon-Fri", "hours": "09:00-17:00"}
    names = {team: [m["name"] for m in said["members"]] for team, said in tree["teams"].items()}
    assert names == {QUALIFY: ["Ann", "Bob", "Cem", "Don"], PROPOSE: ["Eva", "Fay"]}
    assert all(set(said) == {"members"} for said in tree["teams"].values())  # always there, a pool
    assert {stage: said["work"]["team"] for stage, said in tree["stages"].items() if "work" in said} == {
        "Qualify": QUALIFY,
        "Propose": PROPOSE,
    }
    assert "per working day" in tree["sources"]["new deals"]["rate"]


def test_how_busy_the_teams_are_is_found(fitted: Fitted) -> None:
    table = fitted.table.set_index("what")
    for team, truth in ((QUALIFY, 8 * 2.4 / 32), (PROPOSE, 8 * 0.55 * 2.5 / 16)):
        row = table.loc[f"teams.{team} (utilisation)"]
        assert abs(row["estimate"] - truth) < 3.3 * (row["high"] - row["low"]) / (2 * Z95) < 0.15


def test_the_fitted_scenario_loads_and_says_where_its_hours_come_from(fitted: Fitted) -> None:
    text = fitted.to_yaml()
    assert load_text(text).warnings == TO_BE_FILLED
    assert from_tree(fitted.tree).tree == fitted.tree
    head = text[: text.index("name:")]
    assert "--busy is not used" in head
    assert "80% busy" not in head
    assert f"'{PROPOSE}': 2 members, busy" in head


@dataclass(frozen=True)
class Measured:
    """Mean waits for a team and mean days to win, one row a replication."""

    table: pd.DataFrame

    @property
    def mean(self) -> pd.Series:
        return self.table.mean()

    @property
    def se(self) -> pd.Series:
        return self.table.std() / math.sqrt(len(self.table))


def measured(tree: dict[str, Any], teams: tuple[str, str], replications: int) -> Measured:
    rows = []
    for k in range(replications):
        records, plan = records_of(from_tree(tree), seed=50 + k)
        tasks, moves, born = records.tasks, records.moves, records.prospects.born
        begun = ~np.isnan(tasks.begun) & (tasks.begun > TO_WARM_UP)
        won = (moves.goal == plan.place_names.index("Won")) & (moves.time > TO_WARM_UP)
        row = {"cycle": float((moves.time - born[moves.prospect])[won].mean())}
        for name, team in zip(("first", "second"), teams, strict=True):
            mine = begun & (tasks.team == plan.team_names.index(team))
            row[name] = float((tasks.begun - tasks.asked)[mine].mean())
        rows.append(row)
    return Measured(pd.DataFrame(rows))


def changed(tree: dict[str, Any], change: str, teams: tuple[str, str]) -> dict[str, Any]:
    """The scenario over the truth's days: as it is, with one of the first team fewer, or the second away for a week."""
    tree = {**tree, "start": "2024-01-01", "horizon": "270 days"}
    first, second = (tree["teams"][name] for name in teams)
    if change == "one fewer":
        return {**tree, "teams": {**tree["teams"], teams[0]: {**first, "members": first["members"][1:]}}}
    if change == "a week away":
        away = [f"2024-{month}-{day:02d}" for month in ("04", "06", "07") for day in range(8, 13)]
        shut = {"days": "Mon-Fri", "hours": "09:00-17:00", "holidays": away}
        return {**tree, "teams": {**tree["teams"], teams[1]: {**second, "calendar": shut}}}
    return tree


def test_a_simulation_of_the_fit_waits_and_wins_as_the_truth_does(fitted: Fitted) -> None:
    """Also with a seller fewer or away for weeks.

    The fit knows one history, which differs from the truth's mean as one replication does: by its standard deviation.
    """
    truth = load_text(TRUTH).tree
    names, found = ("qualifiers", "closers"), (QUALIFY, PROPOSE)
    true = {c: measured(changed(truth, c, names), names, 12) for c in ("", "one fewer", "a week away")}
    refit = {c: measured(changed(fitted.tree, c, found), found, 12) for c in true}
    for what in ("cycle", "first", "second"):
        error = math.sqrt(true[""].table[what].var() + refit[""].se[what] ** 2 + true[""].se[what] ** 2)
        z = (refit[""].mean[what] - true[""].mean[what]) / error
        print(f"{what}: {true[''].mean[what]:.2f} days, refitted {refit[''].mean[what]:.2f}, z {z:.1f}")
        assert abs(z) < 3, what
    for change, what in (("one fewer", "first"), ("one fewer", "cycle"), ("a week away", "cycle")):
        by_truth, by_fit = (m[change].table[what] - m[""].table[what] for m in (true, refit))
        error = math.sqrt(by_truth.var() + by_truth.var() / 12 + by_fit.var() / 12)
        z = (by_fit.mean() - by_truth.mean()) / error
        print(f"{change}, {what}: {by_truth.mean():+.2f} days, refitted {by_fit.mean():+.2f}, z {z:.1f}")
        assert abs(z) < 3, change
        assert by_fit.mean() > 0.3 * by_truth.mean() > 0, change


def test_what_is_written_by_hand_wins(history: History) -> None:
    mine = fit(history, keep={"teams": {PROPOSE: {"selling_time": "50%"}}})
    assert mine.tree["teams"][PROPOSE]["selling_time"] == "50%"
    assert load_text(mine.to_yaml())


# --- open deals -------------------------------------------------------------------------------------------------------


def test_open_deals_are_as_old_as_their_delay(history: History, fitted: Fitted) -> None:
    """Work and queues come off their ages: no deal is older than any that left, and would stay for ever."""
    ready = from_today(from_tree(fitted.tree), history)
    deals = {d.id: d for d in ready.spec.sources["open deals"].deals or ()}
    known = history.open_deals().set_index("id")
    assert len(deals) == len(known) > 20
    ages = pd.Series({name: float(middle(deal.age)) for name, deal in deals.items()})
    assert (ages <= known["age"] + 1e-9).all()
    assert (ages < known["age"] - 0.01).any()
    records, _ = records_of(ready, seed=3)
    opened = np.flatnonzero(records.prospects.deal >= 0)
    left = np.isin(opened, records.moves.prospect[records.moves.origin >= 0])
    assert left.mean() > 0.9


# --- single figures ---------------------------------------------------------------------------------------------------


def tasks_log(rows: list[tuple[str, str, str, pd.Timestamp, pd.Timestamp]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["case", "activity", "resource", "start", "end"])


def worked(together: bool, *, who: tuple[str, ...] = ("Ann", "Bob"), days: int = 60) -> pd.DataFrame:
    """Each working day each member does two tasks of an hour: one after the other, or both at once in two hours."""
    rows = []
    hour = pd.Timedelta(hours=1)
    for d, day in enumerate(pd.bdate_range("2024-01-01", periods=days)):
        for m, name in enumerate(who):
            for k in range(4):
                at = day + pd.Timedelta(hours=9 + (k // 2) * 4 + (0 if together else k % 2))
                end = at + hour * (2 if together else 1)
                case = f"C{d}-{m}-{k}"
                rows += [(case, "Call", name, at, end), (case, "Won" if (d + k) % 2 else "Lost", "", end, end)]
    return tasks_log(rows)


@pytest.mark.parametrize("together", [False, True])
def test_a_member_with_two_tasks_in_hand_shares_the_time(together: bool, tmp_path: Path) -> None:
    found = fit(history_of(worked(together), tmp_path))
    assert found.tree["stages"]["Call"]["work"] == {"team": "sellers", "effort": "60 min"}
    use = found.table.set_index("what").loc["teams.sellers (utilisation)", "estimate"]
    span = 6.0  # from 9 to 15 o'clock
    assert use == pytest.approx(4 / span, abs=0.01)


def test_several_tasks_a_visit_are_touches_and_some_visits_need_none(tmp_path: Path) -> None:
    """Of visits to Talk three in four have two calls of 30 min; the work of all together stays what it was."""
    rows = []
    for d, day in enumerate(pd.bdate_range("2024-01-01", periods=100)):
        for k in range(4):
            at, case = day + pd.Timedelta(hours=9 + 2 * k), f"C{d}-{k}"
            rows.append((case, "Talk", "", at, at))
            for call in range(2 if k else 0):
                begin = at + pd.Timedelta(minutes=45 * call)
                rows.append((case, "Call", "Ann", begin, begin + pd.Timedelta(minutes=30)))
            end = at + pd.Timedelta(minutes=80)
            rows += [(case, "Offer", "", end, end), (case, "Won" if (d + k) % 2 else "Lost", "", end, end)]
    found = fit(history_of(tasks_log(rows), tmp_path))
    work = found.tree["stages"]["Talk"]["work"]
    assert work == {"team": "sellers", "effort": "22.5 min", "touches": 2}
    assert any("'Talk' (75%)" in said for said in found.assumptions)


def test_who_is_away_or_has_left_or_came_late_shows(tmp_path: Path) -> None:
    log = worked(False, who=("Ann", "Bob", "Cem"), days=120)
    fortnight = (log["start"] >= "2024-03-04") & (log["start"] < "2024-03-16")
    shut = (log["start"] >= "2024-02-12") & (log["start"] < "2024-02-17")
    bob = log["case"].str.contains("-1-")
    cem = log["case"].str.contains("-2-")
    late = log["case"].str.contains("-0-3") & (log["start"] > "2024-05-01")
    gone = (bob & fortnight) | shut | (cem & (log["start"] >= "2024-04-01"))
    log = log[~gone].copy()
    log.loc[late[log.index] & (log["resource"] == "Ann"), "resource"] = "Dan"
    found = fit(history_of(log, tmp_path))
    members = {m["name"]: m for m in found.tree["teams"]["sellers"]["members"]}
    assert set(members) == {"Ann", "Bob", "Dan"}
    assert members["Dan"].get("hired") == "2024-05-01"
    said = next(text for text in found.assumptions if text.startswith("'sellers'"))
    assert "nobody came on 2024-02-12, 2024-02-13" in said
    assert "without Cem" in said
    share = float(found.tree["teams"]["sellers"]["selling_time"].removesuffix("%")) / 100
    assert share == pytest.approx((1 - 10 / 115 / 3) * (1 - 5 / 120), abs=0.01)  # Bob's fortnight, and the shut week


def nights_and_days(weeks: int = 16) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
    """Two who call from 22:00 to 06:00, from Sunday's night to Thursday's, and two who visit from 9 to 17 o'clock.

    Each does five tasks a shift of an hour; Ann is away for a week, and all at night are for one night.
    """
    rows, rng = [], np.random.default_rng(1)
    teams = (("Call", ("Ann", "Bob"), 22, 6), ("Visit", ("Cem", "Don"), 9, 0))
    shut = [pd.Timestamp("2024-02-14")]
    for d, day in enumerate(pd.date_range("2024-01-01", periods=7 * weeks)):
        for activity, names, begin, first in teams:
            for name in names:
                away = name == "Ann" and pd.Timestamp("2024-03-03") <= day < pd.Timestamp("2024-03-10")
                if day.weekday() not in [(first + k) % 7 for k in range(5)] or away or (begin == 22 and day in shut):
                    continue
                for k in range(5):
                    at = day + pd.Timedelta(hours=begin + 1.6 * k + 0.5 * rng.random() * (0 < k < 4) + 0.6 * (k == 4))
                    end, case = at + pd.Timedelta(hours=1), f"{activity}{d}-{name}-{k}"
                    rows += [(case, activity, name, at, end), (case, "Won" if (d + k) % 2 else "Lost", "", end, end)]
    return tasks_log(rows), shut


def test_who_works_over_midnight_has_a_calendar_that_says_so(tmp_path: Path) -> None:
    log, shut = nights_and_days()
    found = fit(history_of(log, tmp_path))
    teams = {tuple(m["name"] for m in said["members"]): (name, said) for name, said in found.tree["teams"].items()}
    name, night = teams["Ann", "Bob"]
    assert night["calendar"] == {"days": "Mon-Thu, Sun", "hours": "22:00-06:00"}
    assert teams["Cem", "Don"][1]["calendar"] == {"days": "Mon-Fri", "hours": "09:00-17:00"}
    said = next(text for text in found.assumptions if text.startswith(f"'{name}'"))
    assert f"nobody came on {shut[0].date()}" in said
    assert "2024-03" not in said
    shifts = 5 * 16
    share = float(night["selling_time"].removesuffix("%")) / 100
    assert share == pytest.approx((1 - 5 / (shifts - 1) / 2) * (1 - 1 / shifts), abs=0.01)
    use = found.table.set_index("what").loc[f"teams.{name} (utilisation)", "estimate"]
    assert use == pytest.approx(5 / 8, abs=0.01)
    scenario = load_text(found.to_yaml())
    assert all(member.calendar is None for member in scenario.spec.teams[name].members or ())


def test_days_without_work_are_no_days_away(tmp_path: Path) -> None:
    """Cases come in one week of two, but for one in which they wait until Thursday: only then was somebody missed."""
    rows, hour = [], pd.Timedelta(hours=1)
    for d, day in enumerate(pd.bdate_range("2024-01-01", periods=100)):
        if (d // 5) % 2:
            continue
        for k in range(6):
            at, case = day + pd.Timedelta(hours=9 + k), f"C{d}-{k}"
            begin = at + pd.Timedelta(minutes=5)
            if d in (50, 51, 52):
                begin = day.normalize() + pd.Timedelta(days=53 - d, hours=9) + 0.4 * hour * (k + 6 * (d - 50))
            end = begin + 0.4 * hour
            rows += [(case, "Talk", "", at, at), (case, "Call", ("Ann", "Bob")[k % 2], begin, end)]
            rows += [(case, "Offer", "", end, end), (case, "Won" if (d + k) % 2 else "Lost", "", end, end)]
    found = fit(history_of(tasks_log(rows), tmp_path))
    said = next(text for text in found.assumptions if text.startswith("'sellers'"))
    missed = ", ".join(day.date().isoformat() for day in pd.bdate_range("2024-03-11", periods=3))
    assert said.endswith(f"; nobody came on {missed}")


def test_machines_are_nobody(tmp_path: Path) -> None:
    log = worked(False)
    at = log.loc[log["activity"] == "Call", ["case", "start"]]
    scored = at.assign(activity="Score", resource="robot", end=at["start"])
    found = fit(history_of(pd.concat([scored, log]), tmp_path))
    assert [m["name"] for m in found.tree["teams"]["sellers"]["members"]] == ["Ann", "Bob"]


def test_who_never_rests_is_nobody(tmp_path: Path) -> None:
    """A robot takes seconds, at all hours of all days; whoever works by turns in the day or at night is somebody."""
    log = worked(False)
    rng = np.random.default_rng(1)
    calls = log.loc[log["activity"] == "Call"]
    at = calls["start"].dt.normalize() + pd.to_timedelta(rng.uniform(0, 24, len(calls)), unit="h")
    scored = calls.assign(activity="Score", resource="robot", start=at, end=at + pd.Timedelta(seconds=20))
    turn = log["resource"].eq("Bob") & (log["start"].dt.isocalendar().week % 2 == 0)
    log.loc[turn, ["start", "end"]] += pd.Timedelta(hours=7)
    found = fit(history_of(pd.concat([scored, log]), tmp_path))
    assert [m["name"] for m in found.tree["teams"]["sellers"]["members"]] == ["Ann", "Bob"]
    assert any("at all hours of day and night: robot" in said for said in found.assumptions)


def test_work_that_nobody_could_carry_sets_no_limit(tmp_path: Path) -> None:
    """Three of four members have left, and as many deals as ever come."""
    log = worked(False, who=("Ann", "Bob", "Cem", "Dan"), days=150)
    day = pd.Timestamp("2024-05-01")
    late = log["start"] >= day
    log.loc[late & (log["resource"] != ""), "resource"] = "Ann"
    found = fit(history_of(log, tmp_path))
    assert "teams" not in found.tree
    assert "work" not in found.tree["stages"]["Call"]
    assert any("nobody's time limits its stages" in said for said in found.assumptions)
    assert load_text(found.to_yaml())


def test_too_few_tasks_change_nothing(history: History) -> None:
    none = fit(replace(history, tasks=None))
    few = fit(replace(history, tasks=history.tasks.iloc[:12] if history.tasks is not None else None))
    assert none.tree == few.tree
    assert any("effort can't be seen" in said for said in none.assumptions)
    assert any("too few" in said for said in few.assumptions)


def test_a_log_of_tasks_reads_back(history: History) -> None:
    records, plan = records_of(load_text(TRUTH), seed=1)
    begun = ~np.isnan(records.tasks.begun)
    assert history.tasks is not None
    assert len(history.tasks) == int(begun.sum())
    assert list(history.stages) == ["New", "Qualify", "Propose"]
    assert (history.deals["outcome"] == "won").sum() == (records.moves.goal == plan.place_names.index("Won")).sum()


# --- parts ------------------------------------------------------------------------------------------------------------


def test_calendars_are_told_from_moments() -> None:
    rng = np.random.default_rng(1)
    day = np.repeat(np.flatnonzero(np.arange(90) % 7 < 5), 20)
    start = day + (7.5 + rng.random(len(day)) * 7) / 24
    stray = np.array([5.6, 12.99])  # a Saturday, a night
    calendar = calendar_of(np.append(start, stray), np.append(start, stray) + 0.5 / 24, date(2024, 1, 1))
    assert calendar == Calendar((0, 1, 2, 3, 4), ((7.5, 15.0),))
    night = np.floor(start) + (22 + rng.random(len(start)) * 7.5) / 24
    nights = calendar_of(night, night + 0.5 / 24, date(2024, 1, 1))
    assert nights == Calendar((0, 1, 2, 3, 4), ((22.0, 30.0),))
    clock = np.arange(2000) * 0.1537
    assert calendar_of(clock, clock + 0.01, date(2024, 1, 1)) == ALWAYS


def test_spans_by_hand() -> None:
    open_ = np.array([0.0, 1.0]), np.array([0.5, 1.5])
    taken = np.array([0.1, 0.2, 1.4]), np.array([0.3, 0.4, 2.0])
    free = less(open_, taken)
    assert np.allclose(free, [[0.0, 0.4, 1.0], [0.1, 0.5, 1.4]])
    assert np.allclose(union([free, (np.array([0.05]), np.array([0.45]))]), [[0.0, 1.0], [0.5, 1.4]])
    assert np.allclose(last_free(free, np.array([0.3, 0.45, 0.8, 1.45])), [0.1, 0.45, 0.5, 1.4])
    at, run = shared_hours(open_, taken)
    assert np.interp(0.3, at, run) - np.interp(0.1, at, run) == pytest.approx(24 * (0.1 + 0.05))


def test_delays_within_limits_follow_their_distribution() -> None:
    """Half of exponential delays known exactly, half to within the shift break in which they end."""
    rng = np.random.default_rng(2)
    true = rng.exponential(3.0, 4000)
    known = rng.random(4000) < 0.5
    low, high = np.where(known, true, np.floor(true)), np.where(known, true, np.floor(true) + 1)
    found = drawn_delays(low, high, 1)
    assert ((found >= low) & (found <= high)).all()
    assert found.mean() == pytest.approx(3.0, abs=3 * 3.0 / math.sqrt(4000))
    assert np.quantile(found, 0.5) == pytest.approx(3.0 * math.log(2), abs=0.2)


def test_a_queue_played_by_hand() -> None:
    shifts = [(np.array([0.0, 1.0]), np.array([0.5, 1.5]))]
    asked, hours = np.array([0.0, 0.1, 0.45, 0.6]), np.array([6.0, 6.0, 3.0, 24.0])
    assert np.allclose(played_again(asked, hours, shifts), [0.0, 0.25, 1.0, 1.125])
    two = played_again(asked, hours, shifts * 2)
    assert np.allclose(two, [0.0, 0.1, 0.45, 1.0])


def test_less_time_at_work_explains_longer_waits_up_to_a_limit() -> None:
    def seen(wait: float) -> Estimate:
        return Estimate(wait, 0.9 * wait, 1.1 * wait)

    def played(part: float) -> float:
        return 1 / part

    assert explaining(played, seen(1.05), 0.3) == (1.0, 1.0)
    part, wait = explaining(played, seen(1.5), 0.3)
    assert part == pytest.approx(1 / 1.5, abs=0.01)
    assert wait == pytest.approx(1.5, rel=0.01)
    assert explaining(played, seen(3.0), 0.3)[0] == pytest.approx(0.5, abs=0.01)  # never less than half of it
    assert explaining(lambda part: 0.0, seen(0.001), 0.3) == (1.0, 0.0)  # seconds, which nobody waits for
    assert explaining(played, seen(3.0), 0.76)[0] == pytest.approx(0.8, abs=0.01)  # nor loaded beyond 95%


def test_tasks_under_way_have_more_to_come() -> None:
    rng = np.random.default_rng(3)
    hours, seen = rng.exponential(2.0, 3000), rng.exponential(6.0, 3000)
    found = fit_hours(np.minimum(hours, seen), hours <= seen)
    assert found.mean.value == pytest.approx(2.0, rel=0.08)
    assert fit_hours(np.full(40, 0.5), np.ones(40, dtype=bool)).written == "30 min"


# --- a log that others simulated --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loan(shared_data: Path) -> History:
    return read_crm(shared_data / LOAN)


def test_loan_applications_are_worked_on_as_their_makers_say(loan: History) -> None:
    """The log is itself simulated: exponential and fixed times, six roles, Mon-Fri 07:00 to 15:00 in UTC."""
    found = fit(loan)
    assert found.tree["calendar"] == {"days": "Mon-Fri", "hours": "07:00-15:00"}
    sizes = {name: len(team["members"]) for name, team in found.tree["teams"].items()}
    assert sizes == {
        "Clerk": 8,
        "AML Investigator": 2,
        "Appraiser": 2,
        "Loan Officer": 4,
        "Senior Officer": 2,
        "Applicant": 1,
    }
    work = {stage: said["work"] for stage, said in found.tree["stages"].items() if "work" in said}
    assert work["Assess loan risk"] == {"team": "Loan Officer", "effort": "20 min"}
    assert work["Approve loan offer"] == {"team": "Senior Officer", "effort": "20 min"}
    assert work["Return application back to applicant"] == {"team": "Clerk", "effort": "5 min"}
    table = found.table.set_index("what")
    for stage, minutes in (("Check application form completeness", 20), ("AML check", 30), ("Design loan offer", 10)):
        row = table.loc[f"stages.{stage}.work.effort (mean)"]
        error = math.log(row["high"] / row["low"]) / (2 * Z95)
        assert abs(math.log(row["estimate"] * 60 / minutes)) < 3 * error, stage
    assert visits_of(loan).stages == loan.stages


def test_loan_applications_take_as_long_in_a_simulation(loan: History) -> None:
    """In open hours from the first task to the closing, where what was done side by side comes one after the other."""
    found = fit(loan)
    tree = {**found.tree, "start": "2023-02-09", "horizon": "90 days"}
    deals = loan.deals
    seen = open_hours(deals["created"]), open_hours(deals["closed"])
    was = (seen[1] - seen[0])[deals["closed"].notna()]
    assert loan.tasks is not None
    in_a_row = (open_hours(loan.tasks["end"]) - open_hours(loan.tasks["start"])).groupby(loan.tasks["deal"]).sum()
    records, plan = records_of(from_tree(tree), seed=1)
    begun = pd.Series(records.tasks.begun).groupby(records.tasks.prospect).min().rename(0)
    ends = (records.moves.goal >= plan.n_stages) | (records.moves.goal == plan.place_names.index("Won"))
    closed = pd.Series(records.moves.time[ends], index=records.moves.prospect[ends], name=1)
    both = pd.concat([begun, closed], axis=1).dropna()
    spent = [open_hours(pd.Timestamp("2023-02-09") + pd.to_timedelta(both[k], unit="D")) for k in (0, 1)]
    now = (spent[1] - spent[0]).to_numpy()
    for q in (0.1, 0.5, 0.9):
        print(f"{q:.0%}: {np.quantile(was, q):.2f} h, simulated {np.quantile(now, q):.2f} h")
    print(f"mean: {was.mean():.2f} h, simulated {now.mean():.2f} h; of its work alone {in_a_row.mean():.2f} h")
    assert in_a_row.mean() < now.mean() < in_a_row.mean() + 0.6  # waits for a member


def open_hours(moments: pd.Series) -> pd.Series:
    """Hours of Mon-Fri 07:00 to 15:00 that have passed until some moments, since Thursday 2023-02-09."""
    days = (moments - pd.Timestamp("2023-02-06")).dt.total_seconds() / 86400
    week, rest = np.divmod(days, 7)
    day, part = np.divmod(rest, 1)
    today = np.clip(24 * part - 7, 0, 8) * (day < 5)
    return 40 * week + 8 * np.minimum(day, 5) + today


# --- logs with holes, and teams at their limit ------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.2, 1.0])
def test_tasks_of_closed_cases_that_lack_their_end_are_left_out(share: float, tmp_path: Path) -> None:
    """They are not in hand: else each would take a part of its member's time until today."""
    log = worked(False)
    calls = log.index[log["activity"] == "Call"]
    lost = np.random.default_rng(1).permutation(calls)[: round(share * len(calls))]
    log["end"] = log["end"].where(~log.index.isin(lost))
    found = fit(history_of(log, tmp_path))
    load_text(found.to_yaml())
    if share < 1:
        assert found.tree["stages"]["Call"]["work"]["effort"] == "60 min"
        assert any(f"{len(lost):,} tasks have no end" in said for said in found.assumptions)
        use = found.table.set_index("what").loc["teams.sellers (utilisation)", "estimate"]
        assert use == pytest.approx(4 / 6 * (1 - share), abs=0.02)


def test_one_long_task_in_hand_does_not_lengthen_the_others() -> None:
    """How long it has been in hand is no length that was measured."""
    hours = np.random.default_rng(1).exponential(1.0, 300)
    alone = fit_hours(hours, np.ones(300, dtype=bool)).mean.value
    with_it = fit_hours(np.append(hours, 136.0), np.append(np.ones(300, dtype=bool), False)).mean.value
    assert with_it == pytest.approx(alone, rel=0.05)


def talked(days: int = 100, *, waiting: int = 0) -> pd.DataFrame:
    """Four cases a day: talked, ten minutes later called for 30 min by Ann, decided two days on; the last ones wait."""
    rows = []
    for d, day in enumerate(pd.bdate_range("2024-01-01", periods=days)):
        for k in range(4):
            at, case = day + pd.Timedelta(hours=9 + k), f"C{d}-{k}"
            rows.append((case, "Talk", "", at, at))
            if d == days - 1 and k >= 4 - waiting:
                continue
            begin = at + pd.Timedelta(minutes=10)
            rows.append((case, "Call", "Ann", begin, begin + pd.Timedelta(minutes=30)))
            if d < days - 2:
                end = at + pd.Timedelta(days=2)
                rows += [(case, "Offer", "", end, end), (case, "Won" if (d + k) % 2 else "Lost", "", end, end)]
    return tasks_log(rows)


def test_an_open_deal_that_waits_for_its_first_task_has_all_its_work_before_it(tmp_path: Path) -> None:
    """A simulation does the work of a deal of age 0; that of an older one it takes as done."""
    history = history_of(talked(waiting=3), tmp_path)
    ages = open_ages(history)
    assert ages is not None
    assert len(ages) == 8
    waits = history.deals["id"].isin(["C99-1", "C99-2", "C99-3"])
    for deal, age in ages.items():
        assert (age == 0.0) == bool(waits.iloc[int(deal)])


def test_a_team_that_more_deals_would_overload_keeps_its_limit(tmp_path: Path) -> None:
    """Where capacity binds it must count: its queue grows, and that is said."""
    history = history_of(worked(False), tmp_path)
    found, said = fit_effort(history, visits_of(history), growth=2.0)
    assert found is not None
    assert set(found.teams) == {"sellers"}
    assert any("its queue grows as long as they do" in text for text in said)


def test_who_is_divided_between_two_activities_makes_them_one_team(tmp_path: Path) -> None:
    log = worked(False, who=("Ann", "Bob", "Cem"))
    mine = log["activity"] == "Call"
    half = log["case"].str.endswith(("0", "1"))
    log.loc[mine & ((log["resource"] == "Cem") | ((log["resource"] == "Bob") & half)), "activity"] = "Visit"
    teams = fit(history_of(log, tmp_path)).tree["teams"]
    assert {name: [m["name"] for m in team["members"]] for name, team in teams.items()} == {
        "sellers": ["Ann", "Bob", "Cem"]
    }


def laid_open(share: float, days: int = 100) -> pd.DataFrame:
    """Ten calls a day by Ann, of half an hour each; some she leaves open until the same time three days later."""
    rows, rng = [], np.random.default_rng(1)
    for d, day in enumerate(pd.bdate_range("2024-01-01", periods=days)):
        for k in range(10):
            at, case = day + pd.Timedelta(hours=9 + 0.75 * k), f"C{d}-{k}"
            end = at + pd.Timedelta(minutes=30) + pd.Timedelta(days=3 * int(rng.random() < share))
            decided = end + pd.Timedelta(hours=20)
            rows += [(case, "Talk", "", at - pd.Timedelta(minutes=5), at - pd.Timedelta(minutes=5))]
            rows += [(case, "Call", "Ann", at, end), (case, "Offer", "", end, end)]
            rows += [(case, "Won" if (d + k) % 2 else "Lost", "", decided, decided)]
    return tasks_log(rows)


def days_in_a_simulation(found: Fitted) -> np.ndarray:
    records, plan = records_of(from_tree({**found.tree, "start": "2024-01-01", "horizon": "200 days"}), seed=1)
    ends = (records.moves.goal >= plan.n_stages) | (records.moves.goal == plan.place_names.index("Won"))
    ends &= records.prospects.born[records.moves.prospect] < 150
    found_days: np.ndarray = records.moves.time[ends] - records.prospects.born[records.moves.prospect[ends]]
    return found_days


def test_tasks_that_lie_open_for_days_take_no_more_than_the_others(tmp_path: Path) -> None:
    """Their days are the customer's: work stays half an hour each, and cases take so much longer as these lay open."""
    none, some = (fit(history_of(laid_open(share), tmp_path)) for share in (0.0, 0.05))
    table = some.table.set_index("what")["estimate"]
    # on the last day none is begun later, so nothing shows that the tasks lie open
    assert table["stages.Talk.work.effort (mean)"] == pytest.approx(0.5, rel=0.02)
    assert table["teams.sellers (utilisation)"] == pytest.approx(10 * 0.5 / 7.25, abs=0.02)
    assert any("lay open for over a day" in said for said in some.assumptions)
    before, now = days_in_a_simulation(none), days_in_a_simulation(some)
    error = math.hypot(before.std() / math.sqrt(len(before)), now.std() / math.sqrt(len(now)))
    print(f"days {before.mean():.3f}, with tasks that lie open {now.mean():.3f}, standard error {error:.3f}")
    log = laid_open(0.05)
    length = (log["end"] - log["start"])[log["activity"] == "Call"].dt.total_seconds() / 86400
    assert abs(now.mean() - before.mean() - (length.mean() - 0.5 / 24)) < 2 * error


def test_tasks_most_of_which_lie_open_tell_no_work(tmp_path: Path) -> None:
    found = fit(history_of(laid_open(0.9), tmp_path))
    assert not found.table["what"].str.contains("utilisation").any()
    assert any("no work is told of Call" in said for said in found.assumptions)


def test_a_second_team_in_a_stage_is_told_and_its_time_stays_in_the_stages(tmp_path: Path) -> None:
    """Ann calls for an hour, then Zoe checks for half an hour: the stage's work is Ann's, and cases take as long."""
    rows, hour = [], pd.Timedelta(hours=1)
    for d, day in enumerate(pd.bdate_range("2024-01-01", periods=80)):
        for k in range(4):
            at, case = day + (9 + 1.5 * k) * hour, f"C{d}-{k}"
            end = at + 2 * hour
            rows += [(case, "Talk", "", at, at), (case, "Call", "Ann", at, at + hour)]
            rows += [(case, "Check", "Zoe", end - 0.5 * hour, end), (case, "Offer", "", end, end)]
            rows += [(case, "Won" if (d + k) % 2 else "Lost", "", end, end)]
    found = fit(history_of(tasks_log(rows), tmp_path))
    assert found.tree["stages"]["Talk"]["work"]["effort"] == "60 min"
    assert any("the work in it of 'Check team' (33%)" in said for said in found.assumptions)
    after = list(found.tree["stages"]["Talk"]["exits"]["Offer"]["after"]["quantiles"].values())
    assert after == ["1 h"] * len(after)
