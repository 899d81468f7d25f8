"""Exports made of snapshots: when the changes between two of them came, and what is forecast from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma

import simfunnel as sf
from simfunnel.backtesting.dates import as_of_dates
from simfunnel.crm import History, read_crm, read_export
from simfunnel.crm.ages import Lives, as_known
from tests import exports

START, DAYS = pd.Timestamp("2023-01-01"), 1096  # until the end of 2025
FIRST = {"QE": "2023-03-31", "ME": "2024-01-31", "W": "2024-01-07"}
GAP = {"QE": 92, "ME": 31, "W": 7}


def steady(seed: int, n: int = 600, p: float = 0.7) -> exports.World:
    """Deals that come, move on (each time with chance p) and end at the same rates on every day of three years."""
    rng = np.random.default_rng(seed)
    end = START + pd.Timedelta(days=DAYS)
    born = (START + pd.to_timedelta(np.sort(rng.integers(0, DAYS * 86400, n)), unit="s")).to_series(index=range(n))
    ids = pd.Series([f"D{k:04d}" for k in range(n)])
    time, going, changes = born.copy(), np.ones(n, dtype=bool), []
    for stage, after in (("Prospecting", 15), ("Proposal", 15), ("Negotiation", 15), ("Closed Won", 0)):
        changes.append(pd.DataFrame({"id": ids, "time": time, "stage": stage})[going])
        time = time + pd.to_timedelta(np.ceil(rng.exponential(after, n) * 86400), unit="s")
        lost = going & (rng.random(n) > p) & (after > 0)
        changes.append(pd.DataFrame({"id": ids, "time": time, "stage": "Closed Lost"})[lost])
        going &= ~lost
    every = pd.concat(changes).sort_values(["id", "time"], kind="stable", ignore_index=True)
    every = every[every["time"] < end].assign(amount=1000, owner="U1")
    return exports.World(pd.DataFrame({"id": ids, "created": born, "source": "web"}), every)


def shown(world: exports.World, freq: str, *, created: bool = True, closed: bool = False) -> pd.DataFrame:
    """What was open at the end of each quarter, month or week, and what had closed since the one before."""
    rows = []
    born = world.deals.set_index("id")["created"]
    days = pd.date_range(FIRST[freq], "2025-12-31", freq=freq)
    for day, before in zip(days, [days[0] - pd.Timedelta(days=GAP[freq]), *days], strict=False):
        last = world.known(str(day.date())).changes.drop_duplicates("id", keep="last")
        ended = last["stage"].isin(list(exports.FLAGS))
        last, ended = (part[~ended | (last["time"] >= before + pd.Timedelta(days=1))] for part in (last, ended))
        row = pd.DataFrame({"Snapshot Date": str(day.date()), "Deal ID": last["id"], "Stage": last["stage"]})
        if created:
            row["Created"] = last["id"].map(born).dt.strftime("%Y-%m-%d")
        if closed:
            row["Close Date"] = last["time"].dt.strftime("%Y-%m-%d").where(ended)
        rows.append(row)
    return pd.concat(rows, ignore_index=True)


def read(folder: Path, table: pd.DataFrame, as_of: str | None = None) -> History:
    return read_crm(*exports.write(folder, {"snapshots.csv": table}), as_of=as_of)


def wins_a_quarter(history: History) -> float:
    """The mean wins forecast for the first whole quarter, by a fit that finds no calendar: these worlds have none."""
    model = sf.fit(history)
    assert "wins by the calendar: no pattern beyond chance" in model.assumptions
    table = sf.forecast(model, history, replications=100).table
    rows = table[(table["metric"] == "wins") & (table["part"] == "total") & (table["period"] == "2026Q1")]
    return float(rows["mean"].iloc[0])


@pytest.mark.parametrize("freq", ["ME", "W"])
@pytest.mark.parametrize("created", [True, False])
def test_changes_come_at_any_time_between_two_snapshots(tmp_path: Path, freq: str, created: bool) -> None:
    world = steady(1)
    table = shown(world, freq, created=created)
    found = read(tmp_path, table)
    watched = found.deals[found.deals["closed"] >= pd.Timestamp(found.observed_from)]
    for moments in (watched["closed"], found.visits.loc[found.visits["left"] >= watched["closed"].min(), "left"]):
        assert moments.dt.day_of_week.value_counts(normalize=True).max() < 0.2
        assert moments.dt.day.value_counts(normalize=True).max() < 0.07
    ended = table[table["Stage"].isin(list(exports.FLAGS))].drop_duplicates("Deal ID").set_index("Deal ID")
    late = pd.to_datetime(ended["Snapshot Date"]) - found.deals.set_index("id")["closed"].reindex(ended.index)
    assert late.min() >= pd.Timedelta(0)
    assert late.max() < pd.Timedelta(days=GAP[freq])
    assert (found.visits["left"] >= found.visits["entered"]).sum() == found.visits["left"].notna().sum()
    assert (found.deals["closed"] >= found.deals["created"]).sum() == found.deals["closed"].notna().sum()
    assert set(found.stages) == {"Prospecting", "Proposal", "Negotiation"}
    (trouble,) = [t for t in found.quality.troubles if "between two snapshots" in t.name]
    assert trouble.count > len(ended)
    assert "weekdays" in trouble.bias


@pytest.mark.parametrize("created", [True, False])
def test_quarterly_snapshots_make_no_rhythm_of_the_quarter(tmp_path: Path, created: bool) -> None:
    """A third of wins and losses in each month of a quarter, within three standard errors of a third of 400 and more.

    Drawn evenly since the creation, 52% to 58% of losses came in the last month, and were fitted as its pattern.
    """
    found = read(tmp_path, shown(steady(1, 1300), "QE", created=created))
    watched = found.deals[found.deals["closed"] >= pd.Timestamp(found.observed_from)]
    for outcome in ("won", "lost"):
        months = (watched.loc[watched["outcome"] == outcome, "closed"].dt.month - 1) % 3
        assert len(months) > 300
        assert np.bincount(months, minlength=3) / len(months) == pytest.approx([1 / 3] * 3, abs=0.07)
    assert "losses by the calendar: no pattern beyond chance" in sf.fit(found).assumptions


@pytest.mark.parametrize("gap", [7, 91])
def test_ages_at_closing_are_told_by_snapshots(gap: int) -> None:
    """Wins after a gamma, losses after an exponential, some never: shares by age within 0.05, three standard errors."""
    rng = np.random.default_rng(3)
    n, last = 3000, 12 * 91
    born, won, stays = rng.uniform(0, last, n), rng.random(n) < 0.4, rng.random(n) < 0.1
    closed = born + np.where(stays, np.inf, np.where(won, rng.gamma(4, 15, n), rng.exponential(30, n)))
    seen = np.where(closed <= last, np.ceil(closed / gap) * gap, np.inf)
    before = np.where(np.isfinite(seen), seen - gap, last)
    lives = Lives(
        shown=np.ceil(born / gap) * gap,
        born=born,
        since=born,
        last=np.maximum(before, born),
        seen=np.where(seen <= last, seen, np.inf),
        outcome=np.where(won, "won", "lost"),
    )
    (*_, (_, ages)) = as_known(np.arange(0.0, last + 1, gap), lives)
    assert ages is not None
    at = np.array([15.0, 30.0, 60.0, 120.0])
    assert ages.by(at, "won") == pytest.approx(0.36 * gamma.cdf(at, 4, scale=15), abs=0.05)
    assert ages.by(at, "lost") == pytest.approx(0.54 * (1 - np.exp(-at / 30)), abs=0.05)
    assert ages.open_at(np.array([200.0])) == pytest.approx(0.1, abs=0.05)
    assert (np.diff(ages.at(np.zeros(9), np.full(9, 80.0), np.linspace(0.1, 0.9, 9), "won")) > 0).all()


@pytest.mark.parametrize("as_of", ["2025-05-31", "2025-06-17"])
def test_a_drawn_moment_is_known_from_its_snapshot_on(tmp_path: Path, as_of: str) -> None:
    """Neither the order of rows nor later snapshots move it; between two, a deal is as the earlier one shows it."""
    table = shown(steady(2, 300), "ME")
    whole = read(tmp_path / "whole", table.sample(frac=1, random_state=1), as_of)
    cut = read(tmp_path / "cut", table[table["Snapshot Date"] <= as_of], as_of)
    order = whole.deals.sort_values("id")
    pd.testing.assert_frame_equal(order.reset_index(drop=True), cut.deals.sort_values("id", ignore_index=True))
    sides = [
        h.visits.assign(deal=h.deals["id"].reindex(h.visits["deal"]).to_numpy()).sort_values(["deal", "entered"])
        for h in (whole, cut)
    ]
    pd.testing.assert_frame_equal(*(side.reset_index(drop=True) for side in sides))
    later = read(tmp_path / "later", table).deals.set_index("id")["closed"]
    known = cut.deals.set_index("id")["closed"].dropna()
    pd.testing.assert_series_equal(later.reindex(known.index), known)
    last = table[table["Snapshot Date"] <= as_of]["Snapshot Date"].max()
    assert any(f"since the last snapshot ({last})" in t.name for t in whole.quality.troubles) == (last < as_of)
    here = table[(table["Snapshot Date"] == last) & ~table["Stage"].isin(list(exports.FLAGS))]
    assert set(cut.deals.loc[cut.deals["outcome"] == "open", "id"]) == set(here["Deal ID"])


def test_dates_that_the_rows_tell_are_used(tmp_path: Path) -> None:
    world = steady(3, 300)
    found = read(tmp_path, shown(world, "ME", closed=True)).deals.set_index("id")
    ends = world.changes[world.changes["stage"].isin(list(exports.FLAGS))].set_index("id")["time"].dt.normalize()
    closed = found["closed"].dropna()
    assert (closed == ends.reindex(closed.index)).all()
    born = world.deals.set_index("id")["created"].dt.normalize()
    assert (found["created"] == born.reindex(found.index)).all()


def test_a_deal_is_born_before_the_day_that_is_told_for_its_closing(tmp_path: Path) -> None:
    history = read(tmp_path, shown(steady(3, 300), "QE", created=False, closed=True))
    assert not any("before the deal was created" in t.name for t in history.quality.troubles)
    deals = history.deals.dropna(subset="closed")
    assert len(deals) > 100
    assert (deals["created"] <= deals["closed"]).all()


def test_a_date_of_closing_on_which_the_deal_was_seen_open_is_not_used(tmp_path: Path) -> None:
    rows = [
        ("2024-01-31", "A", "Lead", None),
        ("2024-02-29", "A", "Lead", None),
        ("2024-03-31", "A", "Won", "2024-02-10"),
    ]
    table = pd.DataFrame(rows, columns=["Snapshot Date", "Deal ID", "Stage", "Close Date"])
    closed = read(tmp_path, table).deals["closed"].iloc[0]
    assert pd.Timestamp("2024-03-01") <= closed <= pd.Timestamp("2024-03-31")


def test_one_snapshot_tells_what_is_open(tmp_path: Path) -> None:
    table = shown(steady(3, 150), "ME")
    first = table["Snapshot Date"].min()
    alone = read(tmp_path / "alone", table[table["Snapshot Date"] == first])
    then = read(tmp_path / "then", table, first)
    pd.testing.assert_frame_equal(alone.deals, then.deals)
    ended = (table["Snapshot Date"] == first) & table["Stage"].isin(list(exports.FLAGS))
    assert set(alone.deals.loc[alone.deals["closed"].notna(), "id"]) == set(table.loc[ended, "Deal ID"])


def test_a_file_for_each_snapshot_reads_as_one_of_all(tmp_path: Path) -> None:
    table = shown(steady(4, 150), "ME")
    files = {f"{day}.csv": rows for day, rows in table.groupby("Snapshot Date")}
    one, many = read(tmp_path / "one", table), read_crm(*exports.write(tmp_path / "many", files))
    pd.testing.assert_frame_equal(one.deals, many.deals)
    pd.testing.assert_frame_equal(one.visits, many.visits)


def test_past_forecasts_are_made_on_the_days_of_snapshots(tmp_path: Path) -> None:
    table = shown(steady(6, 300), "ME")
    export = read_export(*exports.write(tmp_path, {"snapshots.csv": table}))
    dates = as_of_dates(export, export.until(), "2 weeks", None, 12)
    assert len(dates) > 6
    assert len(set(dates)) == len(dates)
    assert {str(day) for day in dates} <= set(table["Snapshot Date"])


def test_rows_that_say_since_when_they_are_true_have_no_gaps(tmp_path: Path) -> None:
    text = [("A", "2024-01-03", "Lead"), ("A", "2024-02-20", "Won"), ("B", "2024-02-01", "Lead")]
    found = read(tmp_path, pd.DataFrame(text, columns=["deal_id", "dbt_valid_from", "stage"]))
    assert str(found.deals["closed"].dropna().iloc[0].date()) == "2024-02-20"
    assert not [t for t in found.quality.troubles if "snapshots (typically" in t.name]


@pytest.fixture(scope="module")
def told_exactly(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The wins forecast from a flat export."""
    flat = exports.flat(steady(5, 1300))
    return wins_a_quarter(read_crm(*exports.write(tmp_path_factory.mktemp("flat"), flat), as_of="2025-12-31"))


@pytest.mark.parametrize("freq", ["QE", "ME", "W"])
def test_snapshots_forecast_what_a_flat_export_of_the_same_deals_does(
    tmp_path: Path, freq: str, told_exactly: float
) -> None:
    """Within 15%, some two standard errors of the two years of wins that snapshots tell of, and with no calendar.

    With changes put on the snapshots' days, months gave half the wins, and weeks a weekday with all closings.
    """
    found = wins_a_quarter(read(tmp_path, shown(steady(5, 1300), freq), "2025-12-31"))
    assert found == pytest.approx(told_exactly, rel=0.15)
