"""Exports of deals, as vendors write them, read as they were known on a date."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from simfunnel.crm import History, read_crm, read_export
from simfunnel.crm.names import outcome_named
from simfunnel.crm.tables import day_comes_first, read_dates, read_numbers
from simfunnel.errors import InputError

HEADER = "id,created,closed,stage,value,owner\n"


def write(folder: Path, text: str, name: str = "deals.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def export(n: int = 300, seed: int = 1) -> pd.DataFrame:
    """A whole file of deals over a year, values known for won deals alone."""
    rng = np.random.default_rng(seed)
    created = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D")
    closed = created + pd.to_timedelta(rng.integers(1, 90, n), unit="D")
    outcome = rng.choice(["Won", "Lost", "Open"], n, p=[0.5, 0.3, 0.2])
    is_open = (outcome == "Open") | (closed > pd.Timestamp("2024-12-31"))
    return pd.DataFrame(
        {
            "id": [f"D{i}" for i in range(n)],
            "created": created,
            "closed": closed.where(~is_open),
            "stage": np.where(is_open, "Talking", outcome),
            "value": np.where(is_open, np.nan, np.where(outcome == "Won", rng.integers(100, 900, n), np.nan)),
            "owner": rng.choice(["Ann", "Bob", "Cy"], n),
            "region": rng.choice(["North", "South"], n),
        }
    )


def known_on(deals: pd.DataFrame, day: str) -> pd.DataFrame:
    """The file as it would have been exported at the end of `day`."""
    deals = deals[deals["created"] <= day].copy()
    later = deals["closed"] > day
    deals.loc[later, "closed"] = pd.NaT
    deals.loc[later, "stage"] = "Talking"
    deals.loc[later, "value"] = np.nan
    return deals


def refuse(path: Path, mapping: Mapping[str, object] | str | None = None) -> str:
    """The message with which a file is refused."""
    with pytest.raises(InputError) as refused:
        read_crm(path, mapping=mapping)
    return str(refused.value)


# --- a real export ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maven(shared_data: Path) -> History:
    return read_crm(shared_data / "maven_crm_2017q3" / "sales_pipeline.csv")


def test_maven_is_recognised(maven: History) -> None:
    assert len(maven.deals) == 7135
    assert maven.deals["outcome"].value_counts().to_dict() == {"won": 3042, "open": 2409, "lost": 1684}
    assert maven.as_of == date(2017, 9, 30)
    assert maven.observed_from == date(2017, 3, 1)
    assert maven.attributes == ("product",)
    assert maven.open_stage == "Engaging"
    assert maven.whole_days
    assert maven.deals.loc[maven.deals["outcome"] != "won", "value"].isna().all()
    said = " ".join(maven.assumptions)
    for part in ("created is 'engage_date'", "owner is 'sales_agent'", "won: 'Won' (3,042)", "2017-09-30"):
        assert part in said


def test_maven_open_deals(maven: History) -> None:
    deals = maven.open_deals()
    assert list(deals.columns) == ["id", "stage", "age", "value", "member", "product"]
    assert len(deals) == 2409
    assert set(deals["stage"]) == {"Engaging"}
    assert deals["member"].nunique() == 30
    assert deals["value"].isna().all()
    assert deals["age"].min() == 0.5  # created on the as-of day: at noon, taken half a day ago
    assert deals["age"].max() == 331.5


@pytest.mark.parametrize("name", ["hubspot_fivetran/deal_data.csv", "salesforce_powerbi/Opportunity.csv"])
def test_vendors_column_names_are_recognised(shared_data: Path, name: str) -> None:
    history = read_crm(shared_data / "crm_exports" / name)
    assert len(history.deals) >= 10
    assert history.deals["created"].notna().all()


def test_deleted_rows_do_not_count(shared_data: Path) -> None:
    said = refuse(shared_data / "crm_exports" / "salesforce_fivetran" / "sf_opportunity_data.csv")
    assert (
        "sf_opportunity_data.csv: no deals: all 10 rows are marked as deleted in 'is_deleted' (such as 'true')" in said
    )
    assert "leave it out of the file" in said


def test_a_lone_deleted_row_and_no_row_at_all_are_told_apart(tmp_path: Path) -> None:
    header = HEADER.replace("owner", "deleted")
    assert "the only row is marked as deleted in 'deleted' (such as 'x')" in refuse(
        write(tmp_path, header + "1,2024-01-01,,Open,,x\n")
    )
    assert "deleted'" not in refuse(write(tmp_path, header))
    found = read_crm(write(tmp_path, header + "1,2024-01-01,,Open,,x\n2,2024-01-01,,Open,,\n"))
    assert found.deals["id"].tolist() == ["2"]


# --- what was known ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["2024-03-10", "2024-07-01", "2024-12-30", "2024-12-31"])
def test_a_whole_file_cut_at_a_date_is_the_file_of_that_date(tmp_path: Path, day: str) -> None:
    whole = export()
    whole.to_csv(tmp_path / "whole.csv", index=False)
    known_on(whole, day).to_csv(tmp_path / "then.csv", index=False)
    cut = read_crm(tmp_path / "whole.csv", as_of=day)
    then = read_crm(tmp_path / "then.csv", as_of=day)
    pd.testing.assert_frame_equal(cut.deals, then.deals)
    pd.testing.assert_frame_equal(cut.open_deals(), then.open_deals())
    assert (cut.observed_from, cut.attributes) == (then.observed_from, then.attributes)


def test_nothing_that_happened_later_changes_a_history(tmp_path: Path) -> None:
    whole, day = export(), "2024-07-01"
    whole.to_csv(tmp_path / "deals.csv", index=False)
    before = read_crm(tmp_path / "deals.csv", as_of=day)
    other = whole.copy()
    later = other["closed"] > day
    other.loc[later, "stage"] = "Lost"
    other.loc[later, "value"] *= 7
    other.loc[later, "closed"] += pd.Timedelta(days=30)
    other = other[(other["created"] <= day) | (other.index % 2 == 0)]
    other.to_csv(tmp_path / "deals.csv", index=False)
    pd.testing.assert_frame_equal(before.deals, read_crm(tmp_path / "deals.csv", as_of=day).deals)


def test_the_cut_is_said(tmp_path: Path) -> None:
    export().to_csv(tmp_path / "deals.csv", index=False)
    said = " ".join(read_crm(tmp_path / "deals.csv", as_of="2024-07-01").assumptions)
    assert "created later were left out" in said


def test_a_value_known_while_open_stays_known(tmp_path: Path) -> None:
    whole = export()
    whole["value"] = np.arange(len(whole)) + 1.0
    whole.to_csv(tmp_path / "deals.csv", index=False)
    assert read_crm(tmp_path / "deals.csv", as_of="2024-07-01").open_deals()["value"].notna().all()


def test_the_data_end_where_something_last_happened_not_where_a_close_is_expected(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        HEADER + "1,2024-01-05,2024-02-01,Won,10,Ann\n2,2024-01-20,2024-12-24,Proposal,20,Ann\n",
    )
    history = read_crm(path)
    assert history.as_of == date(2024, 2, 1)
    assert history.deals["closed"].isna().tolist() == [False, True]


def test_a_slip_of_the_pen_does_not_move_the_end(tmp_path: Path) -> None:
    whole = export(600)
    whole.loc[3, "created"] = pd.Timestamp("2042-05-01")
    whole.loc[3, "closed"] = pd.NaT
    whole.to_csv(tmp_path / "deals.csv", index=False)
    history = read_crm(tmp_path / "deals.csv")
    assert history.as_of.year == 2024
    assert "D3" not in set(history.deals["id"])
    assert any(t.name == "dates far in the future" for t in history.quality.troubles)


def test_one_export_serves_many_dates(tmp_path: Path) -> None:
    export().to_csv(tmp_path / "deals.csv", index=False)
    whole = read_export(tmp_path / "deals.csv")
    counts = [len(whole.until(f"2024-{month:02d}-01").deals) for month in range(2, 13)]
    assert counts == sorted(counts)
    assert len(whole.until().deals) == 300


def test_an_as_of_date_before_every_deal_is_refused(tmp_path: Path) -> None:
    export().to_csv(tmp_path / "deals.csv", index=False)
    with pytest.raises(InputError, match=r"no deals were created by 2020-01-01"):
        read_crm(tmp_path / "deals.csv", as_of="2020-01-01")
    with pytest.raises(InputError, match="write it as 2026-10-01"):
        read_crm(tmp_path / "deals.csv", as_of="yesterday")


def test_times_of_day_are_kept_and_dates_count_from_noon(tmp_path: Path) -> None:
    rows = "1,2024-01-05 09:00,2024-01-05 15:00,Won,10,Ann\n2,2024-01-06 12:00,,Open,20,Ann\n"
    history = read_crm(write(tmp_path, HEADER + rows), as_of="2024-01-07")
    assert not history.whole_days
    assert history.open_deals()["age"].tolist() == [1.5]
    rows = "1,2024-01-05 09:00,2024-01-06,Won,10,Ann\n2,2024-01-06 12:00,,Open,20,Ann\n"
    history = read_crm(write(tmp_path, HEADER + rows), as_of="2024-01-07")
    assert history.whole_days  # closings without a time: creations lose theirs
    assert history.open_deals()["age"].tolist() == [1.5]


# --- columns and outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "Id,CreatedDate,CloseDate,StageName,Amount,OwnerId",
        "deal_id,property_createdate,property_closedate,property_dealstage,property_amount,property_hubspot_owner_id",
        "Deal ID,Create Date,Close Date,Deal Stage,Amount,Deal owner",
        "opportunity_id,engage_date,close_date,deal_stage,close_value,sales_agent",
        "OPPORTUNITY ID,Created On,Actual Close Date,Sales Stage,Actual Value,Owner",
        "Potential Id,Created Time,Closing Date,Stage,Amount,Deal Owner",
    ],
)
def test_aliases(tmp_path: Path, header: str) -> None:
    rows = "\nA1,2024-01-05,2024-02-01,closedwon,10,Ann\nA2,2024-01-20,,contractsent,20,Bob\n"
    history = read_crm(write(tmp_path, header + rows))
    first = history.deals.iloc[0]
    assert (first["id"], first["outcome"], first["value"], first["owner"]) == ("A1", "won", 10.0, "Ann")
    assert history.open_stage == "contractsent"


def test_a_map_wins_over_aliases(tmp_path: Path) -> None:
    text = "id,created,born,closed,stage\n1,2024-01-05,2024-01-01,2024-02-01,won\n2,2024-01-05,2024-01-02,,new\n"
    path = write(tmp_path, text)
    assert read_crm(path).deals["created"].iloc[0] == pd.Timestamp("2024-01-05")
    mapped = read_crm(path, mapping={"created": "born"})
    assert mapped.deals["created"].iloc[0] == pd.Timestamp("2024-01-01")
    map_file = write(tmp_path, "created: born\n", "map.yaml")
    pd.testing.assert_frame_equal(read_crm(path, mapping=map_file).deals, mapped.deals)


def test_a_map_may_say_which_stages_are_won_and_lost(tmp_path: Path) -> None:
    text = HEADER + "1,2024-01-05,2024-02-01,Vertrag,,\n2,2024-01-05,2024-02-01,Aus,,\n3,2024-01-06,,Won soon,,\n"
    path = write(tmp_path, text)
    map_file = write(tmp_path, "stages: {won: [vertrag], lost: Aus}\n", "map.yaml")
    assert read_crm(path, mapping=map_file).deals["outcome"].tolist() == ["won", "lost", "open"]


def test_what_a_flat_file_does_not_tell_by_stage_is_said(tmp_path: Path) -> None:
    deals = export()
    is_open = ~deals["stage"].isin(["Won", "Lost"])
    deals.loc[is_open, "stage"] = np.where(np.arange(is_open.sum()) % 2, "Demo", "Offer")
    deals.to_csv(tmp_path / "deals.csv", index=False)
    said = read_crm(tmp_path / "deals.csv", mapping={"stages": {"order": ["Demo", "Offer"]}}).assumptions
    assert sum("open stages" in s and "Demo" in s and "count as one" in s for s in said) == 1
    assert sum("order of stages is not used" in s for s in said) == 1
    deals.loc[is_open, "stage"] = "Demo"
    deals.to_csv(tmp_path / "deals.csv", index=False)
    assert not any("open stages" in s or "order of stages" in s for s in read_crm(tmp_path / "deals.csv").assumptions)


def test_close_dates_without_any_outcome_are_refused_with_the_stages_found(tmp_path: Path) -> None:
    said = refuse(write(tmp_path, HEADER + "1,2024-01-05,2024-01-06,Vertrag,,\n2,2024-02-05,,Neu,,\n"))
    for part in ("Neu, Vertrag", "--map", "stages: {won:"):
        assert part in said


def test_missing_columns_are_named_with_what_was_found_and_how_to_say_it(tmp_path: Path) -> None:
    said = refuse(write(tmp_path, "id,open date,phase\n1,2024-01-01,x\n"))
    for part in ("deals.csv", "'closed'", "'stage'", "id, open date, phase", "created: open date", "--map map.yaml"):
        assert part in said


def test_faults_of_a_map_come_all_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "1,2024-01-05,,Open,,\n")
    assert "Did you mean 'created'?" in refuse(path, {"craeted": "x"})
    assert "Did you mean 'created'?" in refuse(path, {"created": "creatd"})
    assert len(refuse(path, {"created": "x", "value": "y"}).splitlines()) == 2
    assert "stages: write for example" in refuse(path, {"stages": {"maybe": ["x"]}})
    assert "no such file" in refuse(path, str(tmp_path / "nowhere.yaml"))


def test_flags_tell_more_than_names(tmp_path: Path) -> None:
    text = (
        "Id,CreatedDate,CloseDate,StageName,IsClosed,IsWon\n1,2024-01-05,2024-02-01,赢,TRUE,true\n"
        "2,2024-01-05,2024-02-01,Closed Won?,1,0\n3,2024-01-06,2024-09-01,Closed Won,FALSE,FALSE\n"
    )
    history = read_crm(write(tmp_path, text))
    assert history.deals["outcome"].tolist() == ["won", "lost", "open"]
    assert history.open_stage == "open"  # not the name of a win


def test_a_column_of_outcomes_comes_before_stage_names(tmp_path: Path) -> None:
    text = "id,created,closed,stage,status\n1,2024-01-05,2024-02-01,Demo,won\n2,2024-01-05,,Demo,open\n"
    history = read_crm(write(tmp_path, text))
    assert history.deals["outcome"].tolist() == ["won", "open"]
    assert history.open_stage == "Demo"


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("Closed Won", "won"), ("closedwon", "won"), ("Won", "won"), ("06-Closed/Won", "won"), ("成交", "won"),
        ("Closed - Lost (price)", "lost"), ("closed_lost", "lost"), ("Verloren", "lost"), ("Disqualified", "lost"),
        ("Qualification", "open"), ("Won't decide", "open"), ("Wonderful", "open"), ("", "open"), ("3", "open"),
    ],
)  # fmt: skip
def test_outcome_of_a_stage_name(name: str, outcome: str) -> None:
    assert outcome_named(name) == outcome


def test_attributes_are_columns_with_few_kinds(tmp_path: Path) -> None:
    whole = export()
    rng = np.random.default_rng(1)
    whole["note"] = [f"text {i}" for i in range(len(whole))]
    whole["same"] = "x"
    whole["score"] = rng.normal(size=len(whole)).round(3)
    whole["tier"] = rng.integers(1, 4, len(whole))
    whole["next call"] = "2025-01-01"
    whole.loc[::2, "next call"] = "2025-01-02"
    whole["month"] = rng.choice(["a", "b"], len(whole))
    whole.loc[::7, "region"] = np.nan
    whole.to_csv(tmp_path / "deals.csv", index=False)
    history = read_crm(tmp_path / "deals.csv")
    assert history.attributes == ("region", "tier", "crm month")  # `month` is a fact of every prospect
    assert set(history.deals["region"]) == {"North", "South", "unknown"}


# --- dates and numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-04", "2024-03-04"),
        ("2024-03-04T10:20:30Z", "2024-03-04 10:20:30"),
        ("2024-03-04 10:20:30.5+02:00", "2024-03-04 08:20:30.5"),
        ("2024/3/4", "2024-03-04"),
        ("03/04/24 08:55 PM", "2024-03-04 20:55"),
        ("03/04/2024 12:05 AM", "2024-03-04 00:05"),
        ("4 Mar 2024", "2024-03-04"),
        ("March 4, 2024", "2024-03-04"),
        ("04-Mar-24", "2024-03-04"),
        ("20240304", "2024-03-04"),
        ("2024/03/04 10:20:30.250", "2024-03-04 10:20:30.250"),
        ("2024Q1", "2024-03-31"),
        ("Q3 2024", "2024-09-30"),
        ("1709546400", "2024-03-04 10:00"),
        ("1709546400000", "2024-03-04 10:00"),
    ],
)
def test_dates(text: str, expected: str) -> None:
    found = read_dates(pd.Series([text], dtype="str"))
    assert found.values.iloc[0] == pd.Timestamp(expected)
    assert not found.faulty.any()


@pytest.mark.parametrize("text", ["soon", "2024-13-45", "31/31/2024", "1900-01-01", "9999-12-31", "12", "2024"])
def test_no_dates(text: str) -> None:
    found = read_dates(pd.Series([text, None], dtype="str"))
    assert found.values.isna().all()
    assert found.faulty.tolist() == [True, False]


@pytest.mark.parametrize(
    ("texts", "day_first", "said"),
    [
        (["31/12/2024", "03/04/2024"], True, "day first"),
        (["12/31/2024", "03/04/2024"], False, "month first"),
        (["03/04/2024"], False, "could be day or month first; taken as month first"),
        (["3.4.2024"], True, "could be day or month first; taken as day first"),
        (["2024-03-04", "2024/03/04"], False, ""),
        (["31/12/2024", "30/12/2024", "12/31/2024"], True, "1 date fits only the other order"),
    ],
)
def test_order_of_day_and_month(texts: list[str], day_first: bool, said: str) -> None:
    found, words = day_comes_first([pd.Series(texts, dtype="str")])
    assert found is day_first
    assert said in words
    assert (words == "") == (said == "")


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,234.50", "$ 99"], [1234.5, 99]),
        (["1.234,50 €", "99"], [1234.5, 99]),
        (["1234"], [1234]),
        (["1,234"], [1234]),
        (["(500)", "-3"], [-500, -3]),
        (["USD 12000", "n.a."], [12000, np.nan]),
        (["1e3"], [1000]),
        (["1.234,50 EUR", "$1,234.50", "7,5 EUR", "$7.5"], [1234.5, 1234.5, 7.5, 7.5]),
        (["1.234.567", "12,34,567"], [1234567, 1234567]),
        (["1.5", "1,234"], [1.5, 1234]),
        (["7,50", "1,234", "1.234"], [7.5, 1.234, 1234]),
        (["12.345", "0.5"], [12.345, 0.5]),
    ],
)
def test_numbers(texts: list[str], numbers: list[float]) -> None:
    found, _ = read_numbers(pd.Series(texts, dtype="str"))
    np.testing.assert_allclose(found, numbers)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1.200 EUR", "$1,200", "950 EUR"], [1200, 1200, 950]),
        (["-1.200", "12.000.000"], [-1200, 12e6]),
        (["12.345", "1200"], [12.345, 1200]),
        (["12.345", "0.125"], [12.345, 0.125]),
        (["12.345", "1200.500"], [12.345, 1200.5]),
    ],
)
def test_dots_between_thousands_are_told_from_decimal_ones(texts: list[str], numbers: list[float]) -> None:
    """As a German Excel shows whole sums; other numbers, such as chances with three decimals, keep their dots."""
    found, said = read_numbers(pd.Series(texts, dtype="str"), money=True)
    np.testing.assert_allclose(found, numbers)
    assert (said == "dots in {} part thousands") is (numbers[0] != 12.345)
    assert read_numbers(pd.Series(["10.000", "50.000"], dtype="str"))[0].tolist() == [10, 50]


# --- files ------------------------------------------------------------------------------------------------------------


def _zip(name: str) -> bytes:
    """An archive of one file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "")
    return made.getvalue()


RAGGED = (
    "deals.csv:4: has 7 cells where the lines before have 6; a cell with a comma in it must stand in quotation marks"
)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (HEADER.encode(), "no deals"),
        (
            HEADER.encode() + b"1,2024-01-01,,Open,,Jos\xe9 \x81\n",
            "deals.csv:2: is neither UTF-8 nor Windows-1252 (byte 0x81)",
        ),
        (
            HEADER.encode() + "1,2024-01-01,,Open,,Jos\u00e9 P\u00e9rez\n2,2024-01-01,,Open,,Ren\u00e9".encode()[:-1],
            "deals.csv:3: is UTF-8 with a damaged letter (byte 0xc3)",
        ),
        ((HEADER + "1,2024-01-01,,Open,,A\n").encode("utf-16-le"), "binary data (or UTF-16 without its mark)"),
        ((HEADER + "1,2024-01-01,,Open,,A\n").encode("utf-16")[:-1], "begins as UTF-16 and does not go on so"),
        ("\ufeff \n".encode("utf-16-le"), "the file is empty"),
        (HEADER.encode() + b"1,2024-01-01,,Open,,\x02\xe9\xff\x05\n", "binary"),
        (b"PK\x03\x04rest of a workbook", "Excel workbook"),
        (_zip("xl/workbook.xml"), "is an Excel workbook, not a CSV file: name it .xlsx"),
        (_zip("word/document.xml"), "is an office document, not a CSV file"),
        (_zip("deals.csv"), "is a ZIP archive, not a CSV file: unpack it and name the file inside (deals.csv)"),
        (b"\x89PNG\r\n\x1a\n rest", "deals.csv: is a PNG picture, not a CSV file"),
        (b"%PDF-1.7 rest", "is a PDF document, not a CSV file"),
        (b"\xff\xd8\xff\xe0 rest", "is a JPEG picture, not a CSV file"),
        (b"\xd0\xcf\x11\xe0 rest", "is an old Excel workbook (.xls)"),
        (b"SQLite format 3\x00", "deals.csv#TABLE"),
        (b"PAR1 rest", "Parquet"),
        (HEADER.encode() + b"1,2024-01-01,,Open,,A\n" * 2 + b"2,2024-01-01,,Open,1,250,Ann\n", RAGGED),
        (
            HEADER.encode() + b'1,2024-01-01,,Open,,A\n2,"2024-01-01,,Open,,A\n',
            "opens in row 3 (the header is row 1) is never closed",
        ),
        (b"id,created\x00,closed\n", "binary"),
        (HEADER.encode() + b"1,soon,,Open,,A\n", "no date in column 'created' can be read (such as 'soon')"),
    ],
)
def test_files_that_are_no_export_are_refused_in_words(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "deals.csv"
    path.write_bytes(raw)
    assert said in refuse(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "no such file" in refuse(tmp_path / "none.csv")
    assert "can't be read" in refuse(tmp_path)
    for name in ("deals.xlsx", "deals.parquet"):
        (tmp_path / name).write_bytes(b"no workbook")
        assert name in refuse(tmp_path / name)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_and_a_byte_order_mark(tmp_path: Path, separator: str) -> None:
    text = (HEADER + "1,2024-01-05,2024-02-01,Won,10,Ann\n2,2024-01-20,,New,20,Bob\n").replace(",", separator)
    path = tmp_path / "deals.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_crm(path).deals["id"].tolist() == ["1", "2"]


GERMAN = (
    "id;created;closed;stage;value;owner\n1;05.01.2024;01.02.2024;Won;1.200,50 \u20ac;J\u00fcrgen Gro\u00df\n"
    "2;20.01.2024;;New;99,90 \u20ac;Bob\n"
)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("encoding", "told"),
    [("cp1252", True), ("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("utf-16-be", False)],
)
def test_letters_of_other_encodings_are_read_and_a_guess_is_told(
    tmp_path: Path, encoding: str, told: bool, packed: bool
) -> None:
    raw = ("\ufeff" * (encoding == "utf-16-be") + GERMAN).encode(encoding)
    path = tmp_path / "deals.csv"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    found = read_crm(path)
    assert found.deals["owner"].tolist() == ["J\u00fcrgen Gro\u00df", "Bob"]
    assert found.deals["value"].tolist() == [1200.5, 99.9]
    assert found.currency == "EUR"
    said = [s for s in found.assumptions if "Windows-1252" in s]
    assert [s.startswith("deals.csv is no UTF-8") and "'J\u00fcrgen'" in s for s in said] == [True] * told


def test_parquet_tells_the_same_as_csv(tmp_path: Path) -> None:
    whole = export()
    whole.to_csv(tmp_path / "deals.csv", index=False)
    duckdb.connect().execute(
        "COPY (SELECT * FROM read_csv(?)) TO '" + str(tmp_path / "deals.parquet") + "' (FORMAT parquet)",
        [str(tmp_path / "deals.csv")],
    )
    a, b = read_crm(tmp_path / "deals.csv"), read_crm(tmp_path / "deals.parquet")
    pd.testing.assert_frame_equal(a.deals, b.deals)


@pytest.mark.parametrize("n", [1, 5])
def test_a_handful_of_deals(tmp_path: Path, n: int) -> None:
    rows = "".join(f"{i},2024-01-0{i + 1},,New,,Ann\n" for i in range(n))
    history = read_crm(write(tmp_path, HEADER + rows))
    assert len(history.open_deals()) == n
    assert history.attributes == ()


def test_north_america_is_no_missing_value(tmp_path: Path) -> None:
    whole = export()
    whole["region"] = np.where(whole["region"] == "North", "NA", "EU")
    whole.to_csv(tmp_path / "deals.csv", index=False)
    assert set(read_crm(tmp_path / "deals.csv").deals["region"]) == {"NA", "EU"}
