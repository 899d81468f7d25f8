"""W18: forecasts from weekly as-of dates narrow and tell the truth; a seller's commitments that are too high show."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import kpis
from simfunnel.crm.exporting import as_export
from simfunnel.crm.importing import Export, read_export
from simfunnel.views import view_of
from tests import helpers

WORLD = Path(__file__).parents[2] / "scenarios" / "world"
BASE, SAID = WORLD / "w18_weekly_review.yaml", WORLD / "w18_as_the_sellers_say.yaml"
QUARTER_ENDS = date(2026, 12, 31)
TRUTHS, TRIES = 16, 4
SELLERS = ("Ana", "Bo", "Dan")

Truth = tuple[pd.DataFrame, Export]


def friday(week: int) -> date:
    """The Friday after so many weeks of the quarter."""
    return date(2026, 10, 2) + timedelta(days=7 * week)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Truth]:
    """What happens in one replication of the world, as its CRM would export it in the end."""
    folder = tmp_path_factory.mktemp("truths")
    known: dict[int, Truth] = {}

    def tell(k: int) -> Truth:
        if k not in known:
            table = as_export(*helpers.run(sf.load(BASE), k, seed=2))
            table.to_csv(folder / f"{k}.csv", index=False)
            known[k] = table, read_export(folder / f"{k}.csv")
        return known[k]

    return tell


def forecasts(scenario: sf.Scenario, export: Export, day: date, tries: int) -> list[kpis.View]:
    """What may happen from the day after to the end of the quarter."""
    today = sf.from_today(scenario, export.until(day), as_of=day, quarters=1)
    return [view_of(*helpers.run(today, k), "all", "member") for k in range(tries)]


def wins_of(views: list[kpis.View]) -> pd.Series[float]:
    """Mean wins by seller."""
    table = [dict(zip(view.groups, view.metric("wins")[:, 0], strict=True)) for view in views]
    return pd.DataFrame(table).mean()[list(SELLERS)]


def test_the_forecast_narrows_towards_the_end_of_the_quarter(truth: Callable[[int], Truth]) -> None:
    """The logarithm of a standard deviation of n about normal values has the standard error 1 / sqrt(2 (n - 1))."""
    _, export = truth(0)
    n, widths = 40, []
    for week in (0, 8, 12):
        views = forecasts(sf.load(BASE), export, friday(week), n)
        widths.append(np.std([view.metric("wins").sum() for view in views], ddof=1))
    error = math.sqrt(2 / (2 * (n - 1)))
    assert math.log(widths[0] / widths[2]) > 4 * error
    assert widths[0] > widths[1] > widths[2]


def test_what_is_already_won_is_part_of_the_forecast(truth: Callable[[int], Truth]) -> None:
    table, export = truth(0)
    day = friday(8)
    result = sf.forecast(sf.load(BASE), export.until(day), quarters=1, replications=3)
    closed = pd.to_datetime(table.closed)
    won = table[(table.stage == "Closed Won") & (closed >= "2026-10-01") & (closed <= pd.Timestamp(day))]
    to_come = [view.metric("bookings").sum() for view in forecasts(sf.load(BASE), export, day, 3)]
    assert result.total().to_numpy()[:, 0] == pytest.approx(won.amount.astype(float).sum() + np.array(to_come))


@pytest.fixture(scope="module")
def errors(truth: Callable[[int], Truth]) -> pd.DataFrame:
    """A row a truth, in the third week: wins still to come by seller, as forecast, and as they came."""
    day, rows = friday(2), []
    for k in range(TRUTHS):
        table, export = truth(k)
        honest = wins_of(forecasts(sf.load(BASE), export, day, TRIES))
        said = wins_of(forecasts(sf.load(SAID), export, day, TRIES))
        closed = pd.to_datetime(table.closed)
        won = (table.stage == "Closed Won") & (closed > pd.Timestamp(day)) & (closed <= pd.Timestamp(QUARTER_ENDS))
        came = table[won].owner.value_counts().reindex(list(SELLERS), fill_value=0)
        parts = {"honest": honest, "said": said, "came": came}
        rows.append({(what, name): part[name] for what, part in parts.items() for name in SELLERS})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seller", SELLERS)
def test_the_honest_forecast_is_right_on_average(seller: str, errors: pd.DataFrame) -> None:
    off = helpers.mean_of(errors["honest", seller] - errors["came", seller])
    assert abs(off.z(0.0)) < 4
    assert off.se < 0.15 * errors["came", seller].mean()


def z(difference: pd.Series[float]) -> float:
    """The mean in standard errors; 0 where nothing differs."""
    found = helpers.mean_of(difference)
    return found.z(0.0) if found.se else 0.0


def test_commitments_that_are_too_high_show_in_one_sellers_deals_alone(errors: pd.DataFrame) -> None:
    for seller in ("Ana", "Bo"):
        assert (errors["said", seller] == errors["honest", seller]).all()
    assert z(errors["said", "Dan"] - errors["honest", "Dan"]) > 4
    assert z(errors["said", "Dan"] - errors["came", "Dan"]) > 4
