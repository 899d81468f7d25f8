"""Files as users have them, and real ones."""

import pandas as pd
import pytest

from simfunnel.errors import InputError
from simfunnel.segments import abc, class_table, foretells, pyramid, read_orders, rfm


def written(tmp_path, text, name="orders.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "customer,date,amount\nAcme,2026-01-05,1200.5\n华为,2026-02-01,-30\n",
        "Client Name;Order Date;Revenue\nAcme;05.01.2026;1.200,50 €\n华为;01.02.2026;-30,00 €\n",
        'ACCOUNT_ID\tInvoice-Date\tTotal\tnote\n Acme \t2026/01/05\t"$1,200.50"\tx\n华为\t2026/02/01\t($30)\ty\n',
        "客户,日期,金额\nAcme,2026-01-05,¥1200.50\n华为,2026-02-01,\N{MINUS SIGN}30\n",
        "buyer,purchase date,total amount\n华为,1 Feb 2026,-30.00\nAcme,5 Jan 2026,1200.50\n",
    ],
    ids=["plain", "German", "tabs", "Chinese", "named months"],
)
def test_files_as_users_have_them_are_recognised(tmp_path, text):
    table = read_orders(written(tmp_path, text))
    assert table["customer"].tolist() == ["Acme", "华为"]
    assert table["date"].tolist() == [pd.Timestamp("2026-01-05"), pd.Timestamp("2026-02-01")]
    assert table["amount"].tolist() == [1200.5, -30]
    assert "1 amounts are negative (-30 in all): they are kept as credit notes" in " ".join(table.attrs["said"])


def test_orders_saved_by_a_european_excel_are_read_and_told(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes("Kunde;Datum;Betrag\nMüller;05.01.2026;1.200,50 €\n".encode("cp1252"))
    table = read_orders(path, {"customer": "Kunde", "date": "Datum", "amount": "Betrag"})
    assert table["customer"].tolist() == ["Müller"]
    assert "letters are read as Windows-1252 (such as 'Müller')" in " ".join(table.attrs["said"])


def test_a_parquet_file_and_numbered_customers_are_read(tmp_path):
    table = pd.DataFrame({"customer": [17850.0, 9.0], "date": pd.to_datetime(["2026-01-05"] * 2), "amount": [1, 2.5]})
    from simfunnel.runs import write_parquet

    write_parquet(table, tmp_path / "orders.parquet")
    found = read_orders(tmp_path / "orders.parquet")
    assert found["customer"].tolist() == ["17850", "9"]
    assert found["amount"].tolist() == [1, 2.5]


def test_an_excel_file_is_read(tmp_path):
    pytest.importorskip("openpyxl")
    table = pd.DataFrame({"Customer": ["a"], "Date": pd.to_datetime(["2026-01-05"]), "Amount": [3]})
    table.to_excel(tmp_path / "orders.xlsx", index=False)
    assert read_orders(tmp_path / "orders.xlsx")[["customer", "amount"]].values.tolist() == [["a", 3]]


def test_lines_of_one_order_are_one_order(tmp_path):
    text = (
        "InvoiceNo,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "1,mug,2,2026-01-05 08:26,2.5,a,UK\n1,hat,1,2026-01-05 08:27,5,a,UK\n2,mug,4,2026-01-06 09:00,2.5,b,FR\n"
        "C3,mug,-1,2026-01-07 09:00,2.5,b,FR\n4,mug,1,2026-01-08 09:00,2.5,,FR\n"
    )
    table = read_orders(written(tmp_path, text))
    assert table[["customer", "order", "amount", "Country"]].values.tolist() == [
        ["a", "1", 10, "UK"],
        ["b", "2", 10, "FR"],
        ["b", "C3", -2.5, "FR"],
    ]
    said = "\n".join(table.attrs["said"])
    assert "amounts are 'Quantity' times 'UnitPrice'" in said
    assert "4 lines are 3 orders; columns in which they differ were left out: Description" in said
    assert "1 rows without a customer were left out" in said


def test_a_map_wins_over_the_names(tmp_path):
    path = written(tmp_path, "customer,shop,date,amount\na,north,2026-01-05,1\na,south,2026-01-05,2\n")
    assert read_orders(path, {"customer": "shop"})["customer"].tolist() == ["north", "south"]
    table = read_orders(path, written(tmp_path, "customer: shop\n", "map.yaml"))
    assert table["customer (file)"].tolist() == ["a", "a"]
    with pytest.raises(InputError, match=r"'shp' is no column; allowed: .*Did you mean 'shop'"):
        read_orders(path, {"customer": "shp"})
    with pytest.raises(InputError, match="'buyer' is no part of an order in a column map"):
        read_orders(path, {"buyer": "shop"})


def test_only_won_deals_and_orders_not_called_off_count(tmp_path):
    deals = "account,stage,close_date,amount\na,Won,2026-01-05,1\nb,Lost,2026-01-05,0\nc,Open,,\n"
    table = read_orders(written(tmp_path, deals))
    assert table["customer"].tolist() == ["a"]
    assert "only deals that were won are orders ('stage'): 1 of 3 rows" in table.attrs["said"]
    shop = "customer,status,date,amount\na,shipped,2026-01-05,1\nb,Cancelled,2026-01-05,9\nc,,2026-01-06,2\n"
    assert read_orders(written(tmp_path, shop))["customer"].tolist() == ["a", "c"]


BAD = {
    "empty": ("", "the file is empty"),
    "header alone": ("customer,date,amount\n", "no orders: the file has a header, and no row that counts"),
    "no customer": ("custommer,date,amount\na,2026-01-05,1\n", "did you mean 'custommer'?"),
    "no amount": ("customer,date,note\na,2026-01-05,1\n", "recognised for 'amount' (its money, or a quantity"),
    "a date": (
        "customer,date,amount\na,2026-01-05,1\nb,yesterday,2\nc,,3\n",
        "2 rows have no date that can be read in 'date': row 3 ('yesterday'), row 4 (empty); write dates as",
    ),
    "an amount": ("customer,date,amount\na,2026-01-05,1\nb,2026-01-05,much\n", "row 3 ('much'); write amounts as"),
    "short amounts": ("customer,date,amount\na,2026-01-05,1\nb,2026-01-05,1.5k\n", "row 3 ('1.5k')"),
    "Chinese amounts": ("customer,date,amount\na,2026-01-05,1.5万\n", "row 2 ('1.5万')"),
    "nobody": ("customer,date,amount\n,2026-01-05,1\n", "no row that counts (1 rows without a customer were left out)"),
    "binary": ("customer\0,date", "binary"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_error(tmp_path, name):
    text, said = BAD[name]
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_orders(path)
    assert len(caught.value.faults) == 1
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_maven_won_deals_are_an_order_history(shared_data):
    """Held against a plain count of the file; 85 accounts, 3,042 won deals from March to September 2017."""
    path = shared_data / "maven_crm_2017q3" / "sales_pipeline.csv"
    table = read_orders(path)
    plain = pd.read_csv(path).query("deal_stage == 'Won'")
    assert len(table) == len(plain) == 3042
    assert table["amount"].sum() == plain["close_value"].sum()
    scores = rfm(table, "2017-09-30").set_index("customer")
    accounts = plain.groupby("account")
    assert scores["frequency"].to_dict() == accounts.size().to_dict()
    assert scores["money"].to_dict() == accounts["close_value"].sum().to_dict()
    last = pd.to_datetime(accounts["close_date"].max())
    assert scores["recency"].to_dict() == (pd.Timestamp("2017-09-30") - last).dt.days.to_dict()
    assert pyramid(table)["customers"].tolist() == [1, 4, 12, 68, 0]
    top = accounts["close_value"].sum().nlargest(17)
    share = pyramid(table)["money_share"].iloc[:3].sum()
    assert share == pytest.approx(top.sum() / plain["close_value"].sum())
    assert 0.3 < share < 0.35  # far from four fifths: these accounts are much alike
    letters = class_table(abc(table), "ABC")
    assert letters["customers"].sum() == 85
    assert letters["money_share"].iloc[0] >= 0.8


def test_maven_spring_foretells_the_summer_better_than_chance(shared_data):
    table = read_orders(shared_data / "maven_crm_2017q3" / "sales_pipeline.csv")
    found = foretells(table, "2017-07-01").set_index("grading")
    assert found["customers"].unique().tolist() == [85]
    assert found["best"].unique().tolist() == [17]
    assert found.loc["random", "captured"] == pytest.approx(0.2)
    assert (found["captured"] <= found.loc["perfect", "captured"] + 1e-12).all()
    assert found.loc["money", "z"] > 3
    # Spearman as scipy has it
    from scipy.stats import spearmanr

    before, after = table[table["date"] < "2017-07-01"], table[table["date"] >= "2017-07-01"]
    money = before.groupby("customer")["amount"].sum()
    year = after.groupby("customer")["amount"].sum().reindex(money.index, fill_value=0)
    assert found.loc["money", "rank_correlation"] == pytest.approx(spearmanr(money, year).statistic)
