"""Nothing that came after the as-of date decides anything: an export cut at a date is the export of that date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simfunnel.crm import History, read_crm, read_export
from tests import exports

DAYS = ("2024-02-10", "2024-04-01", "2024-06-15")


def same(one: History, other: History) -> None:
    """Two histories tell the same."""
    pd.testing.assert_frame_equal(one.deals, other.deals)
    pd.testing.assert_frame_equal(one.visits, other.visits)
    pd.testing.assert_frame_equal(one.open_deals(), other.open_deals())
    assert (one.stages, one.attributes, one.observed_from) == (other.stages, other.attributes, other.observed_from)
    assert (one.whole_days, one.open_stage, one.as_of) == (other.whole_days, other.open_stage, other.as_of)
    assert (one.tasks is None) == (other.tasks is None)
    if one.tasks is not None and other.tasks is not None:
        pd.testing.assert_frame_equal(one.tasks, other.tasks)
    assert (one.amounts is None) == (other.amounts is None)
    if one.amounts is not None and other.amounts is not None:
        pd.testing.assert_frame_equal(one.amounts, other.amounts)


@pytest.mark.parametrize("kind", exports.WITH_HISTORY)
@pytest.mark.parametrize("day", DAYS)
def test_a_history_cut_at_a_date_is_the_export_of_that_date(tmp_path: Path, kind: str, day: str) -> None:
    world = exports.world(owners_change=kind != "salesforce")  # its history doesn't tell who owned a deal when
    make = exports.WITH_HISTORY[kind]
    whole = read_crm(*exports.write(tmp_path / "whole", make(world)), as_of=day)
    then = read_crm(*exports.write(tmp_path / "then", make(world.known(day))), as_of=day)
    same(whole, then)


def test_dates_of_entry_are_cut_too(tmp_path: Path) -> None:
    world, day = exports.world(owners_change=False), "2024-04-01"
    again = world.changes.groupby("id")["stage"].transform(lambda stages: stages.duplicated().any() or "Lost" in stages)
    simple = ~again.astype(bool) & ~world.changes["id"].isin(
        world.changes.loc[world.changes["stage"] == "Closed Lost", "id"]
    )
    amounts = world.changes.groupby("id")["amount"].transform("first")  # of which no history is kept
    kept = world.changes[simple].assign(amount=amounts)
    world = exports.World(world.deals[world.deals["id"].isin(kept["id"])], kept)
    whole = read_crm(*exports.write(tmp_path / "whole", exports.hubspot_entries(world)), as_of=day)
    then = read_crm(*exports.write(tmp_path / "then", exports.hubspot_entries(world.known(day))), as_of=day)
    same(whole, then)


@settings(max_examples=15)
@example(seed=4, day=20, kind="field_history")  # the only closed deals were closed again later, and otherwise
@given(seed=st.integers(0, 10_000), day=st.integers(20, 250), kind=st.sampled_from(sorted(exports.WITH_HISTORY)))
def test_any_history_cut_on_any_day(tmp_path_factory: pytest.TempPathFactory, seed: int, day: int, kind: str) -> None:
    folder = tmp_path_factory.mktemp("cut")
    world = exports.world(60, seed, owners_change=kind != "salesforce")
    on = str((pd.Timestamp("2024-01-02") + pd.Timedelta(days=day)).date())
    make = exports.WITH_HISTORY[kind]
    told = []
    for name, known in (("whole", world), ("then", world.known(on))):
        try:
            told.append(read_crm(*exports.write(folder / name, make(known)), as_of=on))
        except ValueError as error:  # pragma: no cover
            raise AssertionError from error
        except Exception as error:  # too early to tell an end: both say so
            told.append(type(error))
    assert (told[0] is told[1]) if isinstance(told[0], type) else same(told[0], told[1]) is None


def test_one_export_of_a_log_serves_many_dates(tmp_path: Path) -> None:
    whole = read_export(*exports.write(tmp_path, exports.event_log(exports.world())))
    counts = [len(whole.until(f"2024-{month:02d}-20").visits) for month in range(3, 12)]
    assert counts == sorted(counts)
    assert whole.until("2024-05-20").visits.equals(whole.until("2024-05-20").visits)


# --- flat files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["2017-04-15", "2017-07-01", "2017-09-29"])
def test_maven_cut_at_a_date_is_the_file_of_that_date(shared_data: Path, tmp_path: Path, day: str) -> None:
    file = shared_data / "maven_crm_2017q3" / "sales_pipeline.csv"
    then = pd.read_csv(file, dtype=str)
    then = then[then["engage_date"] <= day]
    later = then["close_date"] > day
    then.loc[later, ["close_date", "close_value"]] = np.nan
    then.loc[later, "deal_stage"] = "Engaging"
    then.to_csv(tmp_path / "then.csv", index=False)
    same(read_crm(file, as_of=day), read_crm(tmp_path / "then.csv", as_of=day))


def deals(n: int = 300) -> pd.DataFrame:
    """A flat file of a year."""
    rng = np.random.default_rng(5)
    created = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 365, n)), unit="D")
    closed = created + pd.to_timedelta(rng.integers(1, 90, n), unit="D")
    is_open = (closed > pd.Timestamp("2024-12-31")) | (np.arange(n) % 9 == 0)  # some never close
    return pd.DataFrame(
        {
            "id": [f"D{i}" for i in range(n)],
            "created": created,
            "closed": closed.where(~is_open),
            "stage": np.where(is_open, "Talking", rng.choice(["Won", "Lost"], n)),
            "value": rng.integers(100, 900, n).astype(float),
            "region": rng.choice(["North", "South"], n),
        }
    )


def known_on(table: pd.DataFrame, day: str) -> pd.DataFrame:
    """The file as it would have been exported at the end of `day`."""
    then = table[table["created"] <= day].copy()
    later = then["closed"] > day
    then.loc[later, "closed"] = pd.NaT
    then.loc[later, "stage"] = "Talking"
    return then


def read(folder: Path, name: str, table: pd.DataFrame, as_of: str | None = None) -> History:
    table.to_csv(folder / f"{name}.csv", index=False)
    return read_crm(folder / f"{name}.csv", as_of=as_of)


@pytest.mark.parametrize("day", ["2024-02-15", "2024-04-01", "2024-10-01"])
def test_a_column_filled_in_only_at_the_end_is_empty_before(tmp_path: Path, day: str) -> None:
    """The planted leak: who is named as decider says which of the open deals will close."""
    table = deals()
    table["decider"] = np.where(table["stage"] == "Talking", None, np.where(table.index % 2, "CEO", "CFO"))
    then = known_on(table, day)
    then.loc[then["stage"] == "Talking", "decider"] = None
    whole = read(tmp_path, "whole", table, day)
    assert "decider" not in whole.attributes
    same(whole, read(tmp_path, "then", then, day))


def test_a_leak_that_is_seen_on_the_date_alone_is_caught(tmp_path: Path) -> None:
    """Later rows hide it: from summer on the column is filled in for everyone."""
    table, day = deals(), "2024-06-01"
    ended = (table["closed"] <= day) | (table["created"] > day)
    table["decider"] = np.where(ended, np.where(table.index % 2, "CEO", "CFO"), None)
    assert "decider" not in read(tmp_path, "whole", table, day).attributes


def test_a_stage_named_later_is_not_known_before(tmp_path: Path) -> None:
    table, day = deals(), "2024-06-01"
    other = table.copy()
    other.loc[(other["stage"] == "Talking") & (other["created"] > day), "stage"] = "Trial (new)"
    other.loc[(other["stage"] == "Won") & (other["closed"] > day), "stage"] = "Closed Won (new)"
    assert set(read(tmp_path, "other", other).deals["stage"]) > {"Trial (new)"}
    same(read(tmp_path, "whole", table, day), read(tmp_path, "other", other, day))


@pytest.mark.parametrize("later", ["%d/%m/%Y", "%m/%d/%Y"])
def test_how_later_dates_are_written_does_not_decide_how_earlier_ones_are_read(tmp_path: Path, later: str) -> None:
    """The planted leak: rows of the second half have another order of day and month, and they are the majority."""
    table, day = deals(), "2024-04-30"
    first = "%m/%d/%Y" if later == "%d/%m/%Y" else "%d/%m/%Y"
    written, early = table.copy(), table["created"] <= day
    written["created"] = table["created"].dt.strftime(first).where(early, table["created"].dt.strftime(later))
    whole = read(tmp_path, "whole", written, day).deals.set_index("id")["created"]
    truth = table[early].set_index("id")["created"].astype(whole.dtype)
    assert whole.reindex(truth.index).equals(truth)


def test_dates_that_only_the_outcome_colours(tmp_path: Path) -> None:
    """The planted leak: the closing dates of later wins are written with dots; before, nothing tells wins apart."""
    table, day = deals(), "2024-06-01"
    coloured = table.copy()
    won = (table["stage"] == "Won") & (table["closed"] > day)
    coloured["closed"] = table["closed"].dt.strftime("%Y-%m-%d").where(~won, table["closed"].dt.strftime("%d.%m.%Y"))
    same(read(tmp_path, "whole", table, day), read(tmp_path, "coloured", coloured, day))


@settings(max_examples=15)
@given(data=st.data())
def test_whatever_came_later_a_flat_history_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flat")
    table = deals(120)
    day = str(pd.Timestamp("2024-03-01") + pd.Timedelta(days=data.draw(st.integers(0, 250))))[:10]
    other = table.copy()
    later = other["closed"] > day
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    other.loc[later, "stage"] = rng.choice(["Won", "Lost"], later.sum())
    other.loc[later, "closed"] += pd.to_timedelta(rng.integers(0, 200, later.sum()), unit="D")
    other = other[(other["created"] <= day) | (rng.random(len(other)) < 0.5)]
    same(read(folder, "whole", table, day), read(folder, "other", other, day))


def test_leads_and_wins_are_cut_in_both_tables(tmp_path: Path) -> None:
    table, day = deals(), "2024-06-01"
    won = table["stage"] == "Won"
    leads = table[["id", "created", "region"]].set_axis(["mql_id", "first_contact_date", "origin"], axis=1)
    wins = table.loc[won, ["id", "closed"]].set_axis(["mql_id", "won_date"], axis=1).assign(segment="pets")
    files = {"leads.csv": leads, "wins.csv": wins}
    known = {"leads.csv": leads[leads["first_contact_date"] <= day], "wins.csv": wins[wins["won_date"] <= day]}
    whole = read_crm(*exports.write(tmp_path / "whole", files), as_of=day)
    same(whole, read_crm(*exports.write(tmp_path / "then", known), as_of=day))
    assert whole.attributes == ("origin",)
    assert set(whole.deals["outcome"]) == {"won", "open"}
