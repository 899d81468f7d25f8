"""Visits to stages: from saves, fields, properties, dates of entry, snapshots and flat deals; and their troubles."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from simfunnel.crm import History, Trouble, read_crm
from simfunnel.crm.visits import stage_order
from simfunnel.errors import InputError
from tests import exports

STAGES = ("Prospecting", "Proposal", "Negotiation")


def table(text: str) -> pd.DataFrame:
    header, *rows = [line.strip().split(",") for line in text.strip().splitlines()]
    return pd.DataFrame([[cell or None for cell in row] for row in rows], columns=header)


def read(folder: Path, *texts: str, **more: object) -> History:
    files = {f"{k}.csv": table(text) for k, text in enumerate(texts)}
    return read_crm(*exports.write(folder, files), **more)  # type: ignore[arg-type]


def trouble(history: History, words: str) -> Trouble:
    found = [t for t in history.quality.troubles if words in t.name]
    assert len(found) == 1, [t.name for t in history.quality.troubles]
    return found[0]


def moves(history: History, deal: str) -> list[tuple[str, str, str]]:
    """A deal's visits: stage, day of entry, what came next."""
    row = history.deals.index[history.deals["id"] == deal][0]
    mine = history.visits[history.visits["deal"] == row]
    return [(v.stage, f"{v.entered:%m-%d}", v.next) for v in mine.itertuples()]


# --- what every history says alike ------------------------------------------------------------------------------------


def truth(world: exports.World) -> pd.DataFrame:
    """The visits that a world really had, by the stated rule for several closings."""
    rows = []
    for deal, changes in world.changes.groupby("id", sort=False):
        steps = list(changes[["time", "stage"]].itertuples(index=False))
        last_open = max(k for k, s in enumerate(steps) if s.stage not in exports.FLAGS)
        kept = [s for k, s in enumerate(steps) if s.stage not in exports.FLAGS or k > last_open]
        ends = [s for s in kept if s.stage in exports.FLAGS]
        kept = [s for s in kept if s not in ends[:-1]]
        kept = [s for k, s in enumerate(kept) if k == 0 or s.stage != kept[k - 1].stage]
        for here, after in zip(kept, [*kept[1:], None], strict=True):
            if here.stage not in exports.FLAGS:
                end = after and {"Closed Won": "won", "Closed Lost": "lost"}.get(after.stage, after.stage)
                rows.append((deal, here.stage, here.time, after.time if after else pd.NaT, end or ""))
    return pd.DataFrame(rows, columns=["id", "stage", "entered", "left", "next"])


@pytest.mark.parametrize("kind", exports.WITH_HISTORY)
def test_visits_are_those_that_there_were(tmp_path: Path, kind: str) -> None:
    world = exports.world()
    history = read_crm(*exports.write(tmp_path, exports.WITH_HISTORY[kind](world)))
    found = history.visits.assign(id=history.deals["id"].to_numpy()[history.visits["deal"]])
    found["stage"], found["next"] = (
        found[c].replace({s.lower().replace(" ", ""): s for s in exports.CHANCE}) for c in ("stage", "next")
    )
    expected = truth(world)
    key = ["id", "entered"]
    one = found[["id", "stage", "entered", "left", "next"]].sort_values(key, ignore_index=True)
    other = expected.sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(one, other.astype(one.dtypes.to_dict()))
    assert [s.lower() for s in history.stages] == [s.lower() for s in STAGES]


def test_saves_of_which_only_deal_time_and_stage_were_asked_for_are_no_deals(tmp_path: Path) -> None:
    files = exports.salesforce(exports.world())
    whole = read_crm(*exports.write(tmp_path, files))
    saves = files["OpportunityHistory.csv"][["OpportunityId", "CreatedDate", "StageName"]]
    found = read_crm(*exports.write(tmp_path, {**files, "OpportunityHistory.csv": saves}))
    columns = ["deal", "stage", "entered", "left", "next"]
    pd.testing.assert_frame_equal(found.visits[columns], whole.visits[columns])
    assert found.deals["id"].tolist() == whole.deals["id"].tolist()


def test_a_history_as_hubspots_api_names_its_columns(tmp_path: Path) -> None:
    files = exports.hubspot(exports.world())
    whole = read_crm(*exports.write(tmp_path, files))
    names = {"deal_id": "objectId", "name": "propertyName", "value": "propertyValue"}
    told = files["deal_property_history.csv"].rename(columns=names).assign(sourceType="CRM_UI")
    found = read_crm(*exports.write(tmp_path, {**files, "deal_property_history.csv": told}))
    pd.testing.assert_frame_equal(found.visits, whole.visits)
    pd.testing.assert_frame_equal(found.deals, whole.deals)


@pytest.mark.parametrize("kind", ["salesforce", "field_history", "hubspot"])
def test_values_owners_and_categories_are_those_last_told(tmp_path: Path, kind: str) -> None:
    world, day = exports.world(), "2024-05-01"
    history = read_crm(*exports.write(tmp_path, exports.WITH_HISTORY[kind](world)), as_of=day)
    last = world.known(day).changes.drop_duplicates("id", keep="last").set_index("id")
    deals = history.deals.set_index("id")
    assert (deals["value"] == last["amount"].reindex(deals.index)).all()
    if kind != "salesforce":
        assert (deals["owner"] == last["owner"].reindex(deals.index)).all()
    else:
        stage = last["stage"].reindex(deals.index)
        assert set(deals.loc[stage == "Proposal", "category"]) == {"pipeline"}
        assert set(deals.loc[stage == "Closed Lost", "category"]) == {"omitted"}
        assert "category" not in history.attributes


def test_open_deals_are_in_their_stage_since_they_entered_it(tmp_path: Path) -> None:
    world = exports.world()
    history = read_crm(*exports.write(tmp_path, exports.salesforce(world)), as_of="2024-05-01")
    now = history.open_deals().set_index("id")
    last = truth(world.known("2024-05-01"))
    last = last[last["left"].isna()].set_index("id")
    age = (pd.Timestamp("2024-05-02") - last["entered"]).dt.total_seconds() / 86400
    assert now["stage"].to_dict() == last["stage"].to_dict()
    assert now["age"].to_dict() == pytest.approx(age.to_dict())
    as_one = history.open_deals(as_one_stage=True)
    assert set(as_one["stage"]) == {"open"}
    assert (as_one["age"].to_numpy() >= now["age"].to_numpy() - 1e-9).all()


def test_a_history_alone_makes_deals(tmp_path: Path) -> None:
    world = exports.world()
    files = exports.salesforce(world)
    both = read_crm(*exports.write(tmp_path, files))
    alone = read_crm(tmp_path / "OpportunityHistory.csv")
    merged = both.visits.merge(both.deals["id"], left_on="deal", right_index=True)
    mine = alone.visits.merge(alone.deals["id"], left_on="deal", right_index=True)
    columns = ["id", "stage", "entered", "left", "next"]
    pd.testing.assert_frame_equal(
        mine[columns].sort_values(["id", "entered"], ignore_index=True),
        merged[columns].sort_values(["id", "entered"], ignore_index=True),
    )


# --- several closes, skips, returns -----------------------------------------------------------------------------------

DEALS = """Id,CreatedDate,CloseDate,StageName
A,2024-01-01,2024-03-01,Closed Lost
B,2024-01-01,2024-02-20,Closed Won
C,2024-01-01,2024-01-09,Closed Won
D,2024-01-02,2024-12-31,Proposal"""
HISTORY = """Id,OpportunityId,CreatedDate,StageName
1,A,2024-01-01 10:00,Prospecting
2,A,2024-01-20 10:00,Closed Won
3,A,2024-03-01 10:00,Closed Lost
4,B,2024-01-01 09:00,Prospecting
5,B,2024-01-05 09:00,Closed Lost
6,B,2024-02-01 09:00,Negotiation
7,B,2024-02-20 09:00,Closed Won
8,C,2024-01-09 09:00,Closed Won
9,D,2024-01-02 09:00,Prospecting
10,D,2024-01-03 09:00,Negotiation
11,D,2024-01-04 09:00,Prospecting
12,D,2024-01-05 09:00,Negotiation
13,D,2024-01-05 09:00,Negotiation
14,X,2024-01-05 09:00,Negotiation"""


@pytest.mark.parametrize("words", ["moves that skip a stage", "moves back to an earlier stage"])
def test_odd_moves_are_told_with_what_they_may_bias(tmp_path: Path, words: str) -> None:
    history = read_crm(*exports.write(tmp_path, exports.salesforce(exports.world())))
    assert "chances" in trouble(history, words).bias


def test_of_several_closings_the_last_counts_and_one_taken_back_is_none(tmp_path: Path) -> None:
    history = read(tmp_path, DEALS, HISTORY)
    assert moves(history, "A") == [("Prospecting", "01-01", "lost")]
    assert history.deals.set_index("id").loc["A", "closed"] == pd.Timestamp("2024-03-01 10:00")
    assert moves(history, "B") == [("Prospecting", "01-01", "Negotiation"), ("Negotiation", "02-01", "won")]
    assert trouble(history, "several closings").examples == ("A",)
    assert trouble(history, "opened again").examples == ("B",)
    before = read_crm(tmp_path / "0.csv", tmp_path / "1.csv", as_of="2024-01-25").deals.set_index("id")["outcome"]
    assert before.to_dict() == {"A": "won", "B": "lost", "C": "won", "D": "open"}


def test_troubles_of_a_history_are_told(tmp_path: Path) -> None:
    history = read(tmp_path, DEALS, HISTORY)
    assert moves(history, "C") == [("Prospecting", "01-01", "won")]
    assert trouble(history, "seen in no open stage").examples == ("C",)
    assert trouble(history, "moves back").examples == ("D",)
    assert trouble(history, "the table of deals has not").examples == ("X",)
    assert history.stages == ("Prospecting", "Negotiation")
    assert history.observed_from == date(2024, 1, 1)


def test_changes_before_the_creation_are_told(tmp_path: Path) -> None:
    deals = "Id,CreatedDate,CloseDate,StageName\nA,2024-02-01,2024-12-31,Proposal"
    found = read(tmp_path, deals, "Id,OpportunityId,CreatedDate,StageName\n1,A,2024-01-01 10:00,Proposal")
    assert trouble(found, "changes before the deal was created").count == 1
    assert found.deals["created"].iloc[0] == pd.Timestamp("2024-01-01 10:00")


def test_the_order_of_stages_is_that_of_most_deals() -> None:
    rows = [
        (0, "b", 1),
        (0, "a", 0),
        (1, "a", 0),
        (1, "b", 1),
        (1, "c", 2),
        (2, "c", 0),
        (2, "a", 1),
        (3, "b", 0),
        (3, "c", 1),
    ]
    visits = pd.DataFrame(rows, columns=["deal", "stage", "entered"]).sort_values(["deal", "entered"])
    visits["entered"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(visits["entered"], unit="D")
    assert stage_order(visits) == ("a", "b", "c")
    assert stage_order(visits, ["c", "a"]) == ("c", "a", "b")
    assert stage_order(visits.iloc[:0]) == ()


# --- names ------------------------------------------------------------------------------------------------------------


def test_flags_teach_what_stages_are_called_in_any_language(tmp_path: Path) -> None:
    world = exports.world()
    names = {"Closed Won": "Abschluss +", "Closed Lost": "Abschluss -"}
    files = {name: t.replace(names) for name, t in exports.field_history(world).items()}
    found = read_crm(*exports.write(tmp_path / "own", files))
    usual = read_crm(*exports.write(tmp_path / "usual", exports.field_history(world)))
    pd.testing.assert_frame_equal(found.visits, usual.visits)


def test_chance_and_category_of_a_save_tell_an_end_too(tmp_path: Path) -> None:
    world = exports.world()
    names = {"Closed Won": "Fertig", "Closed Lost": "Weg"}
    files = {name: t.replace(names) for name, t in exports.salesforce(world).items()}
    del files["Opportunity.csv"]
    found = read_crm(*exports.write(tmp_path, files))
    assert set(found.stages) == set(STAGES)


def test_a_table_of_stages_and_one_of_people_give_names(tmp_path: Path) -> None:
    deals = "deal_id,dealstage,createdate,closedate,hubspot_owner_id\n1,77,2024-01-01,,9\n2,78,2024-01-01,2024-01-08,9"
    stages = "stage_id,label,is_closed,closed_won,display_order\n77,Angebot,false,false,1\n78,Ja!,true,true,2"
    people = "owner_id,email,first_name,last_name\n9,a@b.c,Ana,Ruiz"
    changes = (
        "deal_id,name,value,timestamp\n2,dealstage,77,2024-01-01\n2,dealstage,78,2024-01-08\n1,dealstage,77,2024-01-01"
    )
    found = read(tmp_path, deals, stages, people, changes)
    assert found.stages == ("Angebot",)
    assert found.deals["outcome"].tolist() == ["open", "won"]
    assert set(found.deals["owner"]) == {"Ana Ruiz"}


def test_a_map_names_columns_stages_and_their_order(tmp_path: Path) -> None:
    deals = "Nummer;Erstellt am;Stufe\nA;01.02.2024;Vertrag\nB;02.02.2024;1093\nC;03.02.2024;Absage".replace(";", ",")
    changes = (
        "deal_id,date_entered,value\nA,01.02.2024,1093\nA,05.02.2024,1094\nA,09.02.2024,Vertrag\nB,02.02.2024,1093"
    )
    said = {
        "id": "Nummer", "created": "Erstellt am", "stage": "Stufe", "dates": "day first",
        "stages": {"won": "Vertrag", "lost": ["Absage"], "names": {"1093": "Anfrage", "1094": "Angebot"}},
    }  # fmt: skip
    found = read(tmp_path, deals, changes.replace("deal_id", "deal_id"), mapping=said)
    assert moves(found, "A") == [("Anfrage", "02-01", "Angebot"), ("Angebot", "02-05", "won")]
    assert found.open_deals()["stage"].tolist() == ["Anfrage"]


# --- snapshots --------------------------------------------------------------------------------------------------------


def snapshots(world: exports.World) -> pd.DataFrame:
    """The open pipeline and what closed, at each month's end."""
    taken = []
    for day in pd.date_range("2024-01-31", "2024-12-31", freq="ME"):
        known = world.known(str(day.date()))
        deals = exports.flat(known)["deals.csv"]
        taken.append(deals.assign(**{"Snapshot Date": str(day.date())}).rename(columns={"Id": "Opportunity ID"}))
    return pd.concat(taken)


def test_snapshots_tell_how_deals_changed(tmp_path: Path) -> None:
    world = exports.world()
    snapshots(world).to_csv(tmp_path / "snapshots.csv", index=False)
    found = read_crm(tmp_path / "snapshots.csv")
    last = world.changes.drop_duplicates("id", keep="last")
    assert len(found.deals) == 120
    assert (found.deals["outcome"] == "won").sum() == (last["stage"] == "Closed Won").sum()
    assert set(found.stages) == set(STAGES)
    assert "between two snapshots" in " ".join(found.assumptions)
    then = snapshots(world)
    then[then["Snapshot Date"] <= "2024-05-01"].to_csv(tmp_path / "then.csv", index=False)
    one, other = (read_crm(tmp_path / f"{name}.csv", as_of="2024-05-01") for name in ("snapshots", "then"))
    pd.testing.assert_frame_equal(one.deals, other.deals)
    pd.testing.assert_frame_equal(one.visits, other.visits)


# --- flat deals -------------------------------------------------------------------------------------------------------


def test_deals_that_vanish_from_the_snapshots_are_told(tmp_path: Path) -> None:
    rows = "Deal ID,Snapshot,Stage\nA,2024Q1,Lead\nA,2024Q2,Won\nB,2024Q1,Lead\nC,2024Q1,Lead\nC,2024Q2,Lead"
    found = read(tmp_path, rows)
    assert found.deals.set_index("id")["outcome"].to_dict() == {"A": "won", "B": "open", "C": "open"}
    assert trouble(found, "the last snapshot has no more").examples == ("B",)
    assert moves(found, "A") == [("Lead", "03-31", "won")]


def test_a_flat_deal_has_one_visit(tmp_path: Path) -> None:
    found = read(tmp_path, "id,created,closed,stage\n1,2024-01-05,2024-02-01,Won\n2,2024-01-20,,New")
    assert moves(found, "1") == [("New", "01-05", "won")]
    assert moves(found, "2") == [("New", "01-20", "")]
    assert found.stages == ("New",)
    assert found.tasks is None


def test_accounts_and_teams_add_columns(shared_data: Path) -> None:
    folder = shared_data / "maven_crm_2017q3"
    found = read_crm(*(folder / f"{n}.csv" for n in ("sales_pipeline", "accounts", "products", "sales_teams")))
    assert found.attributes == ("product", "series", "sales_price", "manager", "regional_office")
    assert "sector" in trouble(found, "give the outcome away").action
    assert len(found.deals) == 7135
    near = trouble(found, "'product' nearly matches products.csv")
    assert (near.count, near.examples) == (1205, ("GTXPro -> GTX Pro",))
    assert set(found.deals.loc[found.deals["product"] == "GTXPro", "series"]) == {"GTX"}


def test_names_that_another_table_spells_otherwise_or_lacks(tmp_path: Path) -> None:
    """Ids are joined as they are: in some systems they differ by their letters' case alone."""
    deals = "id,created,closed,stage,product,AccountId\n" + "".join(
        f"{k},2024-01-05,{'2024-02-01' if k > 8 else ''},{('New', 'Won', 'Lost')[min(k // 9, 2)]},{product},{account}\n"
        for k, (product, account) in enumerate(
            [
                ("GTXPro", "a1"),
                *[("GTX Pro", "A1")] * 4,
                *((name, "a1") for name in ("Half-Size", "half size", "XL", "Mini")),
            ]
            * 5
        )
    )
    products = "product,series\nGTX Pro,one\nHalf Size,two\nHALF SIZE,three\nMini,four\n"
    accounts = "Id,AccountName,region\na1,Acme,North\n"
    found = read(tmp_path, deals, products, accounts)
    near, absent = trouble(found, "nearly matches 1.csv"), trouble(found, "'product' is not in 1.csv")
    assert (near.count, near.share, near.action) == (5, 1 / 9, "joined as spelt there: GTXPro -> GTX Pro")
    assert "different things" in near.bias
    assert (absent.count, absent.examples) == (15, ("Half-Size", "half size", "XL"))
    assert trouble(found, "'AccountId' is not in 2.csv").examples == ("A1",)
    assert found.deals["series"].value_counts().to_dict() == {"one": 25, "unknown": 15, "four": 5}


def test_currencies_are_turned_by_rates_and_never_added_up_without(tmp_path: Path) -> None:
    deals = (
        "id,created,closed,stage,value,currency\n1,2024-01-05,2024-02-01,Won,100,EUR\n"
        "2,2024-01-06,2024-02-01,Won,100,USD\n3,2024-01-06,2024-02-01,Lost,50,eur\n4,2024-01-06,,New,7,CHF"
    )
    found = read(tmp_path, deals)
    assert found.deals["value"].isna().tolist() == [False, True, False, True]
    assert found.currency == "EUR"
    assert "say their rates in the map" in trouble(found, "values in several currencies").action
    turned = read(tmp_path, deals, mapping={"currencies": {"EUR": 1.1, "USD": 1}})
    assert turned.deals["value"].tolist()[:3] == pytest.approx([110, 100, 55])
    assert turned.currency == "USD"
    assert trouble(turned, "without a rate (CHF)").count == 1


def test_signs_beside_values_are_currencies_too(tmp_path: Path) -> None:
    deals = (
        "id,created,closed,stage,value\n1,2024-01-05,2024-02-01,Won,€ 100\n2,2024-01-06,2024-02-01,Won,$ 90\n"
        "3,2024-01-06,,New,€7"
    )
    assert trouble(read(tmp_path, deals), "several currencies (EUR: 2, USD: 1)").count == 1


MIXED = (
    "id,created,closed,stage,value\n1,2024-01-05,2024-02-01,Won,1.200 EUR\n2,2024-01-06,2024-02-01,Won,950 EUR\n"
    "3,2024-01-06,2024-02-01,Won,$900\n4,2024-01-06,,New,tbd\n5,2024-01-07,2024-02-01,Won,0"
)


@pytest.mark.parametrize(("rates", "unknown"), [({}, "in several currencies"), ({"EUR": 1}, "without a rate (USD)")])
def test_values_in_other_currencies_are_told_once(tmp_path: Path, rates: dict[str, float], unknown: str) -> None:
    """They are numbers, and no deals worth nothing: neither check of these tells of them again."""
    found = read(tmp_path, MIXED, mapping={"currencies": rates} if rates else None)
    assert found.deals["value"].tolist()[:2] == [1200, 950]
    assert found.deals["value"].isna().tolist() == [False, False, True, True, True]
    examples = {words: trouble(found, words).examples for words in (unknown, "no number", "won deals with no value")}
    assert examples == {unknown: ("$900",), "no number": ("tbd",), "won deals with no value": ("5",)}


def test_currencies_in_a_history_are_told(tmp_path: Path) -> None:
    """Of snapshots, or saves, without a table of deals."""
    rows = "".join(
        f"{d},{day},{s},{v}\n"
        for d, v in (("A", "100 EUR"), ("B", "50 EUR"), ("C", "$70"))
        for day, s in (("2024-01-31", "Lead"), ("2024-02-29", "Won"))
    )
    found = read(tmp_path, "deal_id,snapshot_date,stage,amount\n" + rows)
    assert trouble(found, "several currencies (EUR: 2, USD: 1)").examples == ("$70",)
    assert found.currency == "EUR"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"currencies": {"EUR": "1,1"}}, "is no rate"),
        ({"currencies": [1]}, "write for example {EUR: 1.1"),
        ({"dates": "backwards"}, "dates: 'backwards' is none of"),
        ({"timezone": "Berlin"}, "write one as Europe/Berlin"),
        ({"stages": {"won": ["x"], "lost": ["X"]}}, "can't be both won and lost"),
        ({"stages": {"names": ["x"]}}, "names: write for example"),
        ({"created": ["a", "b"]}, "name one column"),
    ],
)
def test_a_wrong_map_is_told(tmp_path: Path, said: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("{", r"\{")):
        read(tmp_path, DEALS, mapping=said)


def test_date_formats_and_time_zones_of_a_map(tmp_path: Path) -> None:
    text = "id,created,closed,stage\n1,24.05.01 10h,24.06.01 10h,Won\n2,24.05.02 11h,,New"
    found = read(tmp_path, text, mapping={"dates": "%y.%m.%d %Hh"})
    assert found.deals["created"].tolist() == [pd.Timestamp("2024-05-01 10:00"), pd.Timestamp("2024-05-02 11:00")]
    text = "id,created,closed,stage\n1,2024-05-01T10:00:00Z,2024-06-01T10:00:00Z,Won\n2,2024-05-02T11:00:00Z,,New"
    found = read(tmp_path, text, mapping={"timezone": "Europe/Berlin"})
    assert found.deals["created"].iloc[0] == pd.Timestamp("2024-05-01 12:00")


# --- tasks, real exports ----------------------------------------------------------------------------------------------


def test_tasks_beside_deals(tmp_path: Path) -> None:
    tasks = (
        "WhatId,OwnerId,Subject,CreatedDate,CallDurationInSeconds,IsDeleted\nA,U1,Call,2024-01-05 10:00,600,false\n"
        "B,U1,Mail,2024-01-06 10:00,,false\nX,U1,Call,2024-01-05 10:00,60,false\nA,U2,Call,2024-02-05 10:00,60,true"
    )
    found = read(tmp_path, DEALS, HISTORY, tasks)
    assert found.tasks is not None
    assert found.tasks["start"].tolist() == [pd.Timestamp("2024-01-05 09:50")]
    assert found.tasks["member"].tolist() == ["U1"]
    assert read_crm(*(tmp_path / f"{k}.csv" for k in range(3)), as_of="2024-01-04").tasks is None


@pytest.mark.parametrize(
    ("columns", "cells", "start", "end"),
    [
        ("StartDateTime,EndDateTime", "2024-01-05 10:00,2024-01-05 10:30", "10:00", "10:30"),
        (
            "StartDateTime,EndDateTime,CreatedDate",
            "2024-01-05 10:00,2024-01-05 10:30,2024-01-03 08:00",
            "10:00",
            "10:30",
        ),
        ("ActivityDateTime,DurationInMinutes,CreatedDate", "2024-01-05 10:00,30,2024-01-03 08:00", "10:00", "10:30"),
        ("CallDurationInSeconds,CreatedDate", "1800,2024-01-05 10:30", "10:00", "10:30"),
        ("CallDurationInSeconds,CreatedDate,ActivityDate", "1800,2024-01-05 10:30,2024-01-09", "10:00", "10:30"),
        (
            "CallDurationInSeconds,CreatedDate,CompletedDateTime",
            "600,2024-01-02 10:30,2024-01-05 10:30",
            "10:20",
            "10:30",
        ),
        ("hs_call_duration,hs_timestamp,hs_createdate", "1800000,2024-01-05 10:00,2024-01-05 11:00", "10:00", "10:30"),
        ("hs_meeting_start_time,hs_meeting_end_time", "2024-01-05 10:00,2024-01-05 10:30", "10:00", "10:30"),
        ("ActivityDate,DurationInMinutes", "2024-01-05,30", "00:00", "00:30"),
    ],
)
def test_when_a_task_was_worked_on(tmp_path: Path, columns: str, cells: str, start: str, end: str) -> None:
    found = read(tmp_path, DEALS, HISTORY, f"WhatId,OwnerId,Type,{columns}\nA,U1,Call,{cells}\n")
    assert found.tasks is not None
    assert found.tasks[["start", "end"]].iloc[0].tolist() == [pd.Timestamp(f"2024-01-05 {at}") for at in (start, end)]
    assert found.tasks["activity"].tolist() == ["Call"]
    assert read_crm(*(tmp_path / f"{k}.csv" for k in range(3)), as_of="2024-01-04").tasks is None


@pytest.mark.parametrize("column", ["CreatedDate", "ActivityDate"])
def test_the_life_of_a_task_is_no_work(tmp_path: Path, column: str) -> None:
    tasks = f"WhatId,OwnerId,TaskSubtype,{column},CompletedDateTime\nA,U1,Task,2024-01-05 10:00,2024-01-08 10:00\n"
    found = read(tmp_path, DEALS, HISTORY, tasks)
    assert found.tasks is None
    assert any("1 tell no length (no column has one" in said for said in found.assumptions)


@pytest.mark.parametrize(
    ("columns", "cells", "activities"),
    [
        ("Subject", ["Call {}"], {"task"}),
        ("Subject", ["Call"], {"Call"}),
        ("Subject,TaskSubtype", ["About {},Email", "About {},Call"], {"Email", "Call"}),
        ("Subject,Type", ["About {},", "About {},Meeting"], {"task", "Meeting"}),
        ("Subject,Type", ["Visit,", "Demo,"], {"Visit", "Demo"}),
        ("hs_activity_type,Subject", ["Demo,About {}"], {"Demo"}),
    ],
)
def test_subjects_in_free_text_are_no_activities(
    tmp_path: Path, columns: str, cells: list[str], activities: set[str]
) -> None:
    begin = pd.date_range("2024-01-05 08:00", periods=60, freq="h").astype("str")
    rows = [f"A,U1,{at},{at[:14]}30:00,{cells[k % len(cells)].format(k)}" for k, at in enumerate(begin)]
    found = read(tmp_path, DEALS, HISTORY, f"WhatId,OwnerId,StartDateTime,EndDateTime,{columns}\n" + "\n".join(rows))
    assert found.tasks is not None
    assert set(found.tasks["activity"]) == activities
    many = any("60 subjects are too many to be kinds of work" in said for said in found.assumptions)
    assert many == (activities == {"task"})


POWERBI = ("Opportunity.csv", "OpportunityHistory.csv", "Account.csv")


def test_salesforce_with_its_history(shared_data: Path) -> None:
    folder = shared_data / "crm_exports" / "salesforce_powerbi"
    found = read_crm(*(folder / name for name in POWERBI))
    assert found.deals["outcome"].value_counts().to_dict() == {"open": 16, "won": 12, "lost": 8}
    assert found.stages[0] == "Prospecting"
    assert found.stages[-1] == "Negotiation/Review"
    assert trouble(found, "several closings of one deal").count == 7
    assert found.deals["category"].value_counts().to_dict() == {"pipeline": 16, "closed": 12, "omitted": 8}
    assert len(found.visits) == 39


def test_hubspot_with_its_stages_owners_and_properties(shared_data: Path) -> None:
    folder = shared_data / "crm_exports" / "hubspot_fivetran"
    found = read_crm(*sorted(folder.glob("*.csv")))
    assert len(found.deals) == 44
    assert trouble(found, "the table of deals has not").count == 14  # the fixture's tables are of other deals
    alone = read_crm(folder / "deal_stage_data.csv")
    assert len(alone.visits) == 14
    assert len(alone.stages) == 3


def test_salesforce_versions_of_deleted_deals(shared_data: Path) -> None:
    folder = shared_data / "crm_exports" / "salesforce_fivetran"
    with pytest.raises(InputError, match="no deals"):
        read_crm(*sorted(folder.glob("*.csv")))
