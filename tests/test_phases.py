"""Young and old deals in the phases of a quarter: found where they are, and only there."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfunnel.calendars import quarter_of
from simfunnel.crm import read_crm
from simfunnel.crm.importing import History
from simfunnel.errors import InputError
from simfunnel.fitting import fit
from simfunnel.fitting.exposure import exposure
from simfunnel.fitting.figures import Estimate
from simfunnel.fitting.pace import QUARTER, YEAR_END, DayEffect
from simfunnel.fitting.phases import Phases, fit_days
from simfunnel.fitting.visits import pooled, visits_of
from simfunnel.fitting.writing import when
from simfunnel.replicate import run
from simfunnel.scenario import from_tree
from tests.histories import World, flat

DAYS, TURN, REST = 730, 20, 0.1  # from the age TURN on, a deal rests in a quarter's first 30 days
WON, LOST = 0.012, 0.02  # a day, of deals up to a year old


def resting(seed: int, rest: float, days: int = DAYS + 91, turn: int = TURN) -> World:
    """Deals of one stage, whose old ones close at a share of their hazard in the first 30 days of a quarter."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2023-01-01")
    born = np.sort(rng.integers(0, days, 9 * days))
    left, goal = np.full(len(born), np.inf), np.full(len(born), "lost", dtype=object)
    for day in range(days):
        age = day - born
        moment = (start + pd.Timedelta(days=day)).date()
        slow = (moment - quarter_of(moment, 12)[0]).days < 30
        factor = np.where(slow & (age >= turn), rest, 1.0)
        u = rng.random(len(born))
        open_ = (age > 0) & ~np.isfinite(left) & (age <= 365)
        goes = open_ & (u < (WON + LOST) * factor)
        left[goes] = day + 0.5
        goal[goes & (u < WON * factor)] = "won"
    deals = pd.DataFrame({"born": born + 0.5, "value": 1000.0, "owner": rng.choice(list("AB"), len(born))})
    visits = pd.DataFrame({"deal": np.arange(len(born)), "stage": "open", "entered": born + 0.5, "left": left})
    return World(start, days, deals.assign(channel="a"), visits.assign(next=goal), ("open",), True)


def phases_of(history: History) -> Phases:
    visits, _ = pooled(visits_of(history))
    return fit_days(exposure(visits), frozenset(), 12, whole_days=visits.whole_days)[1]


@pytest.fixture(scope="module")
def world() -> World:
    return resting(1, REST)


@pytest.fixture(scope="module")
def history(world: World) -> History:
    return world.until(DAYS)


def test_old_deals_that_rest_are_found(history: History) -> None:
    found = phases_of(history)
    assert set(found.of) == {"won", "lost"}
    for phases in found.of.values():
        (old,) = [p for p in phases if p.low > 0]
        assert (old.inside, old.outside, old.high) == ((30,), (), np.inf)
        assert abs(old.low - TURN) < 8  # ages are looked at in bands
        assert old.factor.low < 1.5 * REST
        assert old.factor.high > REST
        assert old.factor.high < 0.3


def test_the_file_says_so_and_its_chances_are_those_of_ordinary_days(history: History) -> None:
    """Without a rest, 37.5% of those who close are won; the base is that law, and never what the resting days show."""
    fitted = fit(history)
    effects = [e for e in fitted.tree["effects"] if "hazard" in e]
    assert {e["on"] for e in effects if e["when"]["quarter_day"] == "first 30"} == {"open -> Won", "open -> lost"}
    assert any("first 30" in words and "wins of deals" in words for words in fitted.assumptions)
    won = fitted.table.set_index("what").loc["stages.open.exits.Won.chance"]
    assert won["low"] < WON / (WON + LOST) < won["high"]
    median = fitted.table.set_index("what").loc["stages.open.exits.Won.after (median)"]
    assert median["low"] * 0.9 < np.log(2) / (WON + LOST) < median["high"] * 1.1


def test_the_next_quarters_first_days_are_forecast_as_they_come(world: World) -> None:
    """From the end of a quarter: wins in its next 30 and in the 60 days after, against what came."""
    cut = (date(2024, 10, 1) - date(2023, 1, 1)).days
    fitted = fit(world.until(cut))
    tree = {**fitted.tree, "horizon": "1 quarter"}
    tree["sources"] = {**tree["sources"], "open deals": {"deals": _open(world, cut)}}
    kpis = run(from_tree(tree), 60).kpis
    wins = kpis[(kpis.metric == "wins") & (kpis.unit == "month")].groupby("period").value
    for (_, found), first, count in zip(wins, (cut, cut + 31, cut + 61), (31, 30, 31), strict=True):
        came = world.wins(first, count)
        assert abs(found.mean() - came) < 3.5 * np.hypot(found.std(), came**0.5)
        assert found.std() < 0.35 * found.mean()


def _open(world: World, cut: int) -> list[dict[str, object]]:
    """The deals that were open at the end of a day, as a scenario lists them."""
    visits = world.visits
    there = visits[(visits.entered < cut) & (visits.left >= cut)]
    return [
        {"id": f"D{k}", "stage": "open", "age": f"{cut - entered:g} days", "value": 1000}
        for k, entered in zip(there.deal, there.entered, strict=True)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_where_all_ages_are_alike_nothing_is_parted(seed: int) -> None:
    assert phases_of(flat(20 + seed).until(760)).of == {}
    assert phases_of(resting(30 + seed, 1.0, 500).until(480)).of == {}


def test_what_all_ages_do_stays_a_matter_of_pace() -> None:
    """Where deals of all ages rest in a quarter's first days, none are parted, and the pace tells it."""
    visits, _ = pooled(visits_of(resting(8, 0.4, turn=0).until(DAYS)))
    pace, phases = fit_days(exposure(visits), frozenset(), 12, whole_days=visits.whole_days)
    assert phases.of == {}
    for kind in ("won", "lost"):
        (effect,) = [e for e in pace.effects[kind] if e.what == QUARTER]
        assert effect.which == (30,)
        assert effect.factor.low < 0.4 < effect.factor.high


def test_with_one_quarter_seen_nothing_can_be_told() -> None:
    assert phases_of(resting(7, REST, 150).until(140)).of == {}


def test_quarters_are_those_of_the_fiscal_year(shared_data: Path, tmp_path: Path) -> None:
    """A reseller's deals a month later, in a fiscal year that ends a month later, show the same phases."""
    known = pd.read_csv(shared_data / "maven_crm_2017q3" / "sales_pipeline.csv")
    later = tmp_path / "later.csv"
    moved = {c: pd.to_datetime(known[c]) + pd.DateOffset(months=1) for c in ("engage_date", "close_date")}
    known.assign(**moved).to_csv(later, index=False)
    history = read_crm(later)
    right, wrong = (fit(history, fiscal_year_ends=month).tree for month in (1, 12))
    assert right["fiscal_year_ends"] == "January"
    first = {e["when"]["quarter_day"] for e in right["effects"] if "hazard" in e}
    assert first == {"first 30", "not first 30"}
    assert first != {e["when"]["quarter_day"] for e in wrong["effects"] if "hazard" in e}


@pytest.mark.parametrize("fiscal_year_ends", range(1, 13))
def test_the_year_end_is_written_on_its_own_days(fiscal_year_ends: int) -> None:
    days = pd.date_range("2023-11-01", "2025-03-31", freq="D")
    effect = DayEffect(YEAR_END, Estimate(0.5, 0.4, 0.6), ())
    said = when(effect, fiscal_year_ends)
    inside = [
        date.month == 12 and _holds(said["quarter_day"], date.date(), fiscal_year_ends) for date in days.to_pydatetime()
    ]
    np.testing.assert_array_equal(inside, effect.mask(days, frozenset(), fiscal_year_ends))


def _holds(words: str, day: date, fiscal_year_ends: int) -> bool:
    """Whether a day is `last N`, or `not first N`, of its quarter."""
    first, after = quarter_of(day, fiscal_year_ends)
    number = int(words.split()[-1])
    return (after - day).days <= number if words.startswith("last") else (day - first).days >= number


def test_a_fiscal_year_is_said_in_one_way_and_is_a_month(shared_data: Path) -> None:
    history = read_crm(shared_data / "maven_crm_2017q3" / "sales_pipeline.csv")
    for wrong in (0, 13, 12.0, True):
        with pytest.raises(InputError, match="fiscal_year_ends is a month"):
            fit(history, fiscal_year_ends=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give it to fit"):
        fit(history, keep={"fiscal_year_ends": "January"})
