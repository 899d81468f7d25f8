"""What can't be trusted in an export: each trouble planted in a clean file is found, said and mended."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfunnel.crm import History, Trouble, read_crm
from simfunnel.crm.leaks import leaks
from simfunnel.crm.quality import CHECKS, first_watched, spellings
from simfunnel.errors import InputError


def clean(n: int = 400, seed: int = 1) -> pd.DataFrame:
    """A file without any trouble: every deal closes within 90 days or is younger than that."""
    rng = np.random.default_rng(seed)
    created = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D")
    closed = created + pd.to_timedelta(rng.integers(1, 90, n), unit="D")
    is_open = closed > pd.Timestamp("2024-12-31")
    return pd.DataFrame(
        {
            "id": [f"D{i}" for i in range(n)],
            "created": created.astype("str"),
            "closed": closed.astype("str").where(~is_open),
            "stage": np.where(is_open, "Talking", rng.choice(["Won", "Lost"], n)),
            "value": rng.integers(100, 900, n).astype(float),
            "owner": rng.choice(["Ann", "Bob", "Cy"], n),
            "region": rng.choice(["North", "South"], n),
        }
    )


def read(folder: Path, deals: pd.DataFrame) -> History:
    deals.to_csv(folder / "deals.csv", index=False)
    return read_crm(folder / "deals.csv")


def trouble(history: History, words: str) -> Trouble:
    """The one trouble whose name has these words."""
    found = [t for t in history.quality.troubles if words in t.name]
    assert len(found) == 1, [t.name for t in history.quality.troubles]
    return found[0]


def test_a_clean_file_has_no_trouble(tmp_path: Path) -> None:
    history = read(tmp_path, clean())
    assert history.quality.troubles == ()
    assert history.quality.to_text() == "Data quality: no trouble found in 400 deals."
    assert len(history.quality.to_frame()) == 0
    assert len(history.deals) == 400


def test_no_deal_closes_after_its_last_change(tmp_path: Path) -> None:
    """As where a deal that is lost early keeps the day that was planned, perhaps one that is still to come."""
    deals = clean()
    lost = deals.index[deals["stage"] == "Lost"][:20]
    deals["Last Modified Date"] = deals["closed"].fillna("2024-12-31") + "T10:00:00.000+0000"
    deals.loc[lost, "closed"] = "2025-06-30"
    history = read(tmp_path, deals)
    assert history.as_of <= date(2024, 12, 31)
    assert trouble(history, "after the deal was last changed").count == 20
    found = history.deals.set_index("id")["closed"].loc[deals.loc[lost, "id"]]
    assert (found.astype(str) == deals.loc[lost, "Last Modified Date"].str[:10].to_numpy()).all()
    early = read_crm(tmp_path / "deals.csv", as_of="2024-09-30").deals.set_index("id")
    known = early.reindex(deals.loc[lost, "id"])["outcome"]
    before = deals.loc[lost, "Last Modified Date"] < "2024-10-01"
    assert (known[before.to_numpy()].dropna() == "lost").all()
    assert before.any()


def test_a_column_of_changes_that_most_closings_contradict_means_something_else(tmp_path: Path) -> None:
    deals = clean()
    deals["modified at"] = "2024-01-01"
    history = read(tmp_path, deals)
    assert history.quality.troubles == ()
    assert history.as_of > date(2024, 12, 25)


def test_every_check_is_named_once() -> None:
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS) >= 15


@pytest.mark.parametrize(("n", "until", "said"), [(2000, "2024-11-30", True), (40, "2024-11-30", False)])
def test_new_deals_that_end_before_the_data_do(n: int, until: str, said: bool, tmp_path: Path) -> None:
    """As where an export was chosen by date of creation; where few come, a month without one may be chance."""
    deals = clean(n)
    found = read(tmp_path, deals[deals["created"] <= until]).quality.troubles
    lately = ((deals["created"] <= until) & (deals["created"] >= "2024-10-05")).sum() / 56
    name = f"days without a new deal since 2024-11-30, where {lately:.3g} a day came before"
    assert [t.name for t in found if "without a new deal" in t.name] == ([name] if said else [])
    assert not any("without a new deal" in t.name for t in read(tmp_path, deals).quality.troubles)


def test_report_as_text_and_as_a_table(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[5, "value"] = -3
    report = read(tmp_path, deals).quality
    assert report.to_text().splitlines() == [
        "Data quality: 1 trouble in 400 deals",
        "- negative values: 1 (0.2% of deals), for example -3.0",
        "    done: taken as unknown",
        "    mind: credits and refunds are no deals: bookings are before them",
    ]
    frame = report.to_frame()
    assert frame.loc[0, ["trouble", "count", "share"]].tolist() == ["negative values", 1, 1 / 400]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_creation_dates_that_are_missing_or_no_dates(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[:3, "created"] = [np.nan, "soon", "later", "1900-01-01"]
    history = read(tmp_path, deals)
    found = trouble(history, "no creation date")
    assert found.count == 4
    assert "3 can't be read, such as 'soon'" in found.name
    assert len(history.deals) == 396


def test_creation_dates_that_are_no_dates_are_told_of_an_earlier_day_too(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[::3, "created"] = "TBD soon"
    deals.to_csv(tmp_path / "deals.csv", index=False)
    history = read_crm(tmp_path / "deals.csv", as_of="2024-07-31")
    found = trouble(history, "no creation date; 134 can't be read, such as 'TBD soon'")
    assert (found.count, found.share, found.of) == (134, 134 / 400, "all deals in the file")
    assert found.examples == ("D0", "D3", "D6")
    assert history.quality.to_text().splitlines()[1].endswith("for example D0, D3, D6")
    changes = pd.DataFrame({"deal_id": ["D1", "D2"], "changed_at": ["2024-12-01"] * 2, "stage": ["Talking", "Talking"]})
    changes.to_csv(tmp_path / "stages.csv", index=False)
    both = read_crm(tmp_path / "deals.csv", tmp_path / "stages.csv", as_of="2024-07-31")
    assert trouble(both, "no creation date").count == 134


def _mixed(share: float) -> pd.DataFrame:
    """The clean file with American dates, but for a share of rows with European ones."""
    deals = clean()
    odd = np.random.default_rng(2).random(len(deals)) < share
    for name in ("created", "closed"):
        days = pd.to_datetime(deals[name])
        deals[name] = days.dt.strftime("%m/%d/%Y").where(~odd, days.dt.strftime("%d/%m/%Y"))
    return deals


@pytest.mark.parametrize("as_of", [None, "2024-10-31"])
def test_dates_in_two_orders_are_a_trouble_with_what_it_biases(tmp_path: Path, as_of: str | None) -> None:
    deals = _mixed(0.4)
    deals.to_csv(tmp_path / "deals.csv", index=False)
    found = trouble(read_crm(tmp_path / "deals.csv", as_of=as_of), "dates in two orders: read month first")
    closed = deals.loc[deals["stage"] != "Talking", "closed"]
    days = pd.concat([deals["created"], closed])
    if as_of is None:  # the last day is told by dates some of which are misread, so one may lie beyond it
        assert 0 <= int((days.str[:2].astype("int64") > 12).sum()) - found.count <= 2
    assert found.count > 50
    assert "may be read as another day" in found.bias
    assert "don't trust a fit or a forecast" in found.bias


def test_few_dates_in_the_other_order_are_told_more_calmly(tmp_path: Path) -> None:
    found = trouble(read(tmp_path, _mixed(0.01)), "fit only day first")
    assert 0 < found.count < 20
    assert "don't trust" not in found.bias


def test_one_order_of_dates_is_no_trouble(tmp_path: Path) -> None:
    assert read(tmp_path, _mixed(0.0)).quality.troubles == ()
    assert read(tmp_path, _mixed(1.0)).quality.troubles == ()


@pytest.mark.parametrize("as_of", [None, "2024-06-30"])
def test_most_deals_closed_before_they_were_created(tmp_path: Path, as_of: str | None) -> None:
    deals = clean()
    ended = deals["closed"].notna()
    deals.loc[ended, ["created", "closed"]] = deals.loc[ended, ["closed", "created"]].to_numpy()
    deals.to_csv(tmp_path / "deals.csv", index=False)
    with pytest.raises(InputError, match=r"are 'created' and 'closed' swapped\?"):
        read_crm(tmp_path / "deals.csv", as_of=as_of)
    deals.loc[~ended, ["created", "closed"]] = deals.loc[~ended, ["closed", "created"]].to_numpy()
    deals.to_csv(tmp_path / "deals.csv", index=False)
    with pytest.raises(InputError, match=r"map\.yaml:\n  created: closed\n  closed: created"):
        read_crm(tmp_path / "deals.csv", as_of=as_of)
    swapped = read_crm(tmp_path / "deals.csv", mapping={"created": "closed", "closed": "created"})
    assert swapped.quality.troubles == ()


def test_created_by_an_import_after_most_closings_is_no_swap(tmp_path: Path) -> None:
    deals = clean()
    deals["created"] = "2024-12-20"
    assert trouble(read(tmp_path, deals), "closed before created").count > 200


def test_closed_without_a_date(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[deals["closed"].notna().to_numpy().nonzero()[0][:2], "closed"] = [np.nan, "?"]
    history = read(tmp_path, deals)
    assert trouble(history, "closed with no closing date; 1 can't be read, such as '?'").count == 2
    assert len(history.deals) == 398


def test_closed_before_created(tmp_path: Path) -> None:
    deals = clean()
    row = int(deals["closed"].first_valid_index())
    deals.loc[row, "closed"] = "2023-12-01"
    deals.loc[row, "created"] = "2024-05-01"
    history = read(tmp_path, deals)
    assert trouble(history, "closed before created").examples == (f"D{row}",)
    assert history.deals["closed"].min() >= pd.Timestamp("2024-01-01")


def test_ids_that_come_again(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[1, "id"] = "D0"
    deals.loc[1, "value"] = 12345
    history = read(tmp_path, deals)
    assert trouble(history, "ids that come again").count == 1
    assert history.deals.loc[history.deals["id"] == "D0", "value"].tolist() == [12345]


def test_deals_without_an_id_are_named_after_their_row(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[[2, 5], "id"] = np.nan
    history = read(tmp_path, deals)
    assert trouble(history, "deals without an id").count == 2
    assert {"row 4", "row 7"} <= set(history.deals["id"])
    assert history.deals["id"].is_unique


def test_one_creation_date_for_all(tmp_path: Path) -> None:
    deals = clean()
    deals["created"] = "2024-01-01"
    assert "import" in trouble(read(tmp_path, deals), "one creation date for all").bias


def loaded(days: int = 3, *, share: float = 1.0) -> pd.DataFrame:
    """The clean file, a share of whose deals count as created within a few days in the middle of the year."""
    deals = clean()
    rows = deals.index < share * len(deals)
    day = pd.Timestamp("2024-06-01") + pd.to_timedelta(deals.index % days, unit="D")
    deals["created"] = deals["created"].where(~rows, day.astype("str"))
    early = deals["closed"] < deals["created"]
    return deals.assign(closed=deals["closed"].where(~early, deals["created"]))


@pytest.mark.parametrize(("days", "share", "dates"), [(1, 0.85, "2024-06-01"), (3, 1.0, "2024-06-01 to 2024-06-03")])
def test_deals_loaded_within_a_few_days_tell_no_rate(tmp_path: Path, days: int, share: float, dates: str) -> None:
    history = read(tmp_path, loaded(days, share=share))
    found = trouble(history, "created within")
    assert (found.count / 400, found.examples) == (pytest.approx(share, abs=0.03), (dates,))
    assert "import" in found.bias
    assert history.loaded.sum() == found.count
    assert not any("without a new deal" in t.name for t in history.quality.troubles)


def test_deals_loaded_after_they_closed_are_told_by_those_left_out(tmp_path: Path) -> None:
    deals = clean()
    deals["created"] = np.where(deals.index % 2, "2024-12-20", "2024-12-21")
    history = read(tmp_path, deals)
    assert trouble(history, "created within 2 days").share == 1.0
    assert history.loaded.all()


@pytest.mark.parametrize("export", ["a trade fair", "the first three days of leads", "few deals"])
def test_honest_days_with_many_new_deals_are_no_load(tmp_path: Path, export: str) -> None:
    deals = loaded(share=0.7)
    if export == "the first three days of leads":  # expected to close over the coming months
        deals = loaded()
        expected = pd.Timestamp("2024-06-02") + pd.to_timedelta(deals.index % 100, unit="D")
        deals = deals.assign(stage="Talking", closed=expected.astype("str"))
        deals.loc[:2, ["stage", "closed"]] = ["Lost", "2024-06-03"]
    history = read(tmp_path, deals if export != "few deals" else loaded()[:9])
    assert history.loaded_on is None
    assert not history.loaded.any()
    assert not any("created within" in t.name for t in history.quality.troubles)


# --- values -----------------------------------------------------------------------------------------------------------


def test_lost_deals_worth_nothing_have_no_known_value(tmp_path: Path) -> None:
    deals = clean()
    deals.loc[deals["stage"] == "Lost", "value"] = 0
    history = read(tmp_path, deals)
    assert trouble(history, "lost deals worth 0").count == (deals["stage"] == "Lost").sum()
    assert history.deals.loc[history.deals["outcome"] == "lost", "value"].isna().all()


def test_won_deals_with_no_value(tmp_path: Path) -> None:
    deals = clean()
    won = deals.index[deals["stage"] == "Won"]
    deals.loc[won[0], "value"] = 0
    deals.loc[won[1], "value"] = np.nan
    assert trouble(read(tmp_path, deals), "won deals with no value").count == 2


def test_values_that_are_no_number(tmp_path: Path) -> None:
    deals = clean().astype({"value": "str"})
    deals.loc[deals.index[deals["stage"] == "Lost"][0], "value"] = "tbd"
    found = trouble(read(tmp_path, deals), "values that are no number")
    assert found.examples == ("tbd",)
    assert "bookings" in found.bias


# --- open deals -------------------------------------------------------------------------------------------------------


def test_open_deals_older_than_any_closed_one(tmp_path: Path) -> None:
    deals = clean()
    old = deals.index[deals["created"] < "2024-05-01"][:7]
    deals.loc[old, "stage"] = "Talking"
    deals.loc[old, "closed"] = np.nan
    history = read(tmp_path, deals)
    assert trouble(history, "open deals older than any closed one").count == 7
    assert len(history.deals) == 400  # they are kept: they show that some never close


def test_open_with_a_close_date_in_the_past(tmp_path: Path) -> None:
    deals = clean()
    is_open = deals.index[deals["stage"] == "Talking"]
    deals.loc[is_open[:3], "closed"] = "2024-12-30"
    deals.loc[is_open[3:6], "closed"] = "2025-06-30"
    assert trouble(read(tmp_path, deals), "open with a close date in the past").count == 3


def test_expected_dates_say_nothing_of_an_earlier_day(tmp_path: Path) -> None:
    """They may have been moved since."""
    deals = clean()
    deals.loc[deals["stage"] == "Talking", "closed"] = "2024-12-30"
    deals.to_csv(tmp_path / "deals.csv", index=False)
    for as_of, found in (("2024-12-31", True), ("2024-12-30", False)):
        names = [t.name for t in read_crm(tmp_path / "deals.csv", as_of=as_of).quality.troubles]
        assert ("open with a close date in the past" in names) is found


# --- what is missing --------------------------------------------------------------------------------------------------


def test_an_export_of_closed_deals_alone(tmp_path: Path) -> None:
    deals = clean()
    assert "export them too" in trouble(read(tmp_path, deals[deals["closed"].notna()]), "no open deals").bias


def test_an_export_without_lost_deals(tmp_path: Path) -> None:
    deals = clean()
    found = trouble(read(tmp_path, deals[deals["stage"] != "Lost"]), "all closed deals are won")
    assert "lost deals are deleted or left out" in found.bias


def test_closings_that_begin_late_are_seen_as_truncation(tmp_path: Path) -> None:
    deals = clean(1500)
    hidden = deals["closed"] < "2024-04-01"
    history = read(tmp_path, deals[~hidden])
    assert history.observed_from == date(2024, 4, 1)
    assert trouble(history, "created before closings are seen (2024-04-01)").count > 50


@pytest.mark.parametrize("seed", range(20))
def test_a_young_business_is_not_taken_for_truncation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    born = np.sort(rng.uniform(0, 200, 150))
    closed = born + rng.gamma(3, 15, 150)
    day = pd.Timestamp("2024-01-01")
    deals = pd.DataFrame(
        {
            "created": day + pd.to_timedelta(born.round(), unit="D"),
            "closed": (day + pd.to_timedelta(closed.round(), unit="D")).where(closed < 200),
            "outcome": np.where(closed < 200, "won", "open"),
        }
    )
    assert first_watched(deals, date(2024, 7, 18)) == deals["created"].min().date()


# --- columns ----------------------------------------------------------------------------------------------------------


def test_a_column_filled_in_at_the_end_is_no_attribute(tmp_path: Path) -> None:
    deals = clean()
    deals["account"] = np.random.default_rng(1).choice(["Acme", "Bolt", "Core"], len(deals))
    deals.loc[deals.index[deals["stage"] == "Talking"][::2], "account"] = np.nan
    history = read(tmp_path, deals)
    found = trouble(history, "give the outcome away")
    assert found.examples == ("account (empty for 50% of open deals, 0% of closed ones)",)
    assert history.attributes == ("region",)


def test_a_column_that_leaks_in_the_whole_file_is_not_used_at_an_earlier_date(tmp_path: Path) -> None:
    deals = clean()
    deals["account"] = np.where(
        deals["stage"] == "Talking", None, np.random.default_rng(1).choice(["A", "B"], len(deals))
    )
    deals.to_csv(tmp_path / "deals.csv", index=False)
    history = read_crm(tmp_path / "deals.csv", as_of="2024-03-01")
    assert history.attributes == ("region",)
    assert "account" in trouble(history, "give the outcome away").action


def test_a_reason_that_only_lost_deals_have_is_no_attribute(tmp_path: Path) -> None:
    deals = clean()
    deals["why"] = np.where((deals["stage"] == "Lost") & (deals.index % 3 > 0), "price", "none")
    history = read(tmp_path, deals)
    assert "'price' is found on lost deals alone" in trouble(history, "give the outcome away").examples[0]
    assert history.attributes == ("region",)


def test_columns_empty_at_random_or_rarely_used_do_not_leak() -> None:
    flagged = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n = 300
        outcome = rng.choice(["won", "lost", "open"], n)
        column = pd.Series(rng.choice(["a", "b", "c", None], n, p=[0.4, 0.27, 0.03, 0.3]), dtype="str")
        flagged += bool(leaks(pd.DataFrame({"outcome": outcome, "x": column}), ["x"]))
    assert flagged <= 1


def of_three_kinds(kind: str, seed: int, n: int = 2500, days: int = 730) -> pd.DataFrame:
    """Deals of two years of a `kind`; where it is an honest one, A is four times as slow as B and C twice as quick."""
    rng = np.random.default_rng(seed)
    born = rng.uniform(0, days, n)
    level = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    pace = np.array([1.3, 1, 0.8] if kind.endswith("at the end") else [4, 1, 0.5])
    since = {"came up": born > 500, "went out": born < 600}.get(kind)
    if since is not None:
        level = np.where(since & (rng.random(n) < 0.6), 0, rng.choice([1, 2], n))
    never = rng.random(n) < np.where((kind == "never ends") & (level == 0), 0.98, 0.08)
    closed = born + np.where(never, np.inf, rng.gamma(1.5, 20 * pace[level], n))
    is_open = closed >= days
    names = np.array(["A", "B", "C"], dtype=object)[level]
    if kind == "set at the end":
        names[is_open] = rng.choice(["B", "C"], n)[is_open]
    elif kind == "filled in at the end":
        names[is_open & (rng.random(n) < 0.6)] = "to be said"
    won = rng.random(n) < np.array([0.6, 0.3, 0.2])[level]
    start = pd.Timestamp("2023-01-01")
    deals = pd.DataFrame({"created": start + pd.to_timedelta(np.floor(born), unit="D")})
    ends = pd.Series(start + pd.to_timedelta(np.where(is_open, 0, np.floor(closed)), unit="D"))
    return deals.assign(
        closed=ends.where(~is_open), outcome=np.where(is_open, "open", np.where(won, "won", "lost")), x=names
    )


@pytest.mark.parametrize("kind", ["set at the end", "filled in at the end"])
def test_a_column_that_changes_as_deals_end_is_no_attribute(kind: str) -> None:
    for seed in range(5):
        assert "those that were so earlier" in leaks(of_three_kinds(kind, seed), ["x"])["x"]


@pytest.mark.parametrize("kind", ["slow and quick", "came up", "went out", "never ends"])
def test_honest_columns_may_differ_between_open_and_ended_deals(kind: str) -> None:
    """Of slow kinds more are open, new kinds have hardly ended, and a kind that never ends is found on open deals."""
    deals = [of_three_kinds(kind, seed) for seed in range(10)]
    of_a = [(d["x"] == "A").groupby(d["outcome"]).mean() for d in deals]
    apart = np.mean([share["open"] - share["lost"] for share in of_a])
    assert abs(apart) > 0.2 or kind == "went out"  # which is slow, but no more begun
    assert [leaks(d, ["x"]) for d in deals] == [{}] * 10


def test_spellings_of_one_name_become_the_more_frequent(tmp_path: Path) -> None:
    deals = clean()
    deals["product"] = np.random.default_rng(1).choice(["GTX Pro", "technology"], len(deals))
    deals.loc[[0, 1, 2], "product"] = ["GTXPro", "gtx  pro", "technolgy"]
    deals.loc[3, "owner"] = "ann"
    history = read(tmp_path, deals)
    found = trouble(history, "names that nearly match")
    assert found.count == 4
    assert "product: technolgy -> technology" in found.action
    assert set(history.deals["product"]) == {"GTX Pro", "technology"}
    assert set(history.deals["owner"]) == {"Ann", "Bob", "Cy"}


@pytest.mark.parametrize(
    "counts",
    [
        {"Tier 1": 90, "Tier 2": 3},
        {"Model A": 90, "Model B": 3},
        {"Daniel Fox": 90, "Danielle Fox": 3},
        {"North": 90, "South": 3},
        {"retail": 90, "detail": 3},
        {"technology": 90, "technolgy": 80},
        {"2023 Q1": 90, "2024 Q1": 3},
        {"谈判": 90, "议价": 3},
    ],
)
def test_names_that_differ_are_left_alone(counts: dict[str, int]) -> None:
    assert spellings(counts) == {}


@pytest.mark.parametrize("slip", ["technolgy", "technologgy", "technolegy", "tehcnology", "TECHNOLGY"])
def test_one_slip_of_the_pen_is_found(slip: str) -> None:
    assert spellings({"technology": 100, slip: 3}) == {slip: "technology"}
    assert spellings({"technology": 100, slip: 3}, typos=False) == {}


def test_two_spellings_never_stand_for_each_other() -> None:
    found = spellings({"Größe A": 5, "grösse-a": 5, "GRÖSSE A": 5})
    assert len(found) == 2
    assert len(set(found.values())) == 1
    assert not set(found) & set(found.values())


# --- a real export ----------------------------------------------------------------------------------------------------


def test_troubles_of_the_maven_export(shared_data: Path) -> None:
    history = read_crm(shared_data / "maven_crm_2017q3" / "sales_pipeline.csv")
    counts = {t.name: t.count for t in history.quality.troubles}
    assert counts == {
        "lost deals worth 0": 1684,
        "open deals older than any closed one (138 days)": 530,
        "deals created before closings are seen (2017-03-01)": 1185,
        "columns that give the outcome away": 1,
    }
    assert "account (empty for 42% of open deals, 0% of closed ones)" in history.quality.to_text()
