"""Where exports are read from: files of every kind, databases, several at once; and what is said of bad ones."""

from __future__ import annotations

import builtins
import gzip
import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from simfunnel.crm import History, read_crm, read_export
from simfunnel.crm.sources import read_table, read_tables
from simfunnel.errors import InputError
from tests import exports


@pytest.fixture(scope="module")
def world() -> exports.World:
    return exports.world(60)


@pytest.fixture
def from_csv(world: exports.World, tmp_path: Path) -> History:
    return read_crm(*exports.write(tmp_path / "csv", exports.salesforce(world)))


def same(one: History, other: History) -> None:
    pd.testing.assert_frame_equal(one.deals, other.deals)
    pd.testing.assert_frame_equal(one.visits, other.visits)


def refused(*sources: str | Path, mapping: object = None) -> str:
    with pytest.raises(InputError) as error:
        read_export(*sources, mapping=mapping)  # type: ignore[arg-type]
    return str(error.value)


def test_gzipped_csv(world: exports.World, from_csv: History, tmp_path: Path) -> None:
    paths = exports.write(tmp_path, exports.salesforce(world))
    zipped = []
    for path in paths:
        zipped.append(path.with_suffix(".csv.gz"))
        zipped[-1].write_bytes(gzip.compress(path.read_bytes()))
    same(read_crm(*zipped), from_csv)
    zipped[0].write_bytes(zipped[0].read_bytes()[:100])
    assert "can't be unpacked" in refused(*zipped)


def test_a_workbook_with_a_sheet_for_each_table(world: exports.World, from_csv: History, tmp_path: Path) -> None:
    file = tmp_path / "crm.xlsx"
    with pd.ExcelWriter(file) as book:
        for name, table in exports.salesforce(world).items():
            table.to_excel(book, sheet_name=name.removesuffix(".csv"), index=False)
        pd.DataFrame().to_excel(book, sheet_name="notes", index=False)
    same(read_crm(file), from_csv)
    same(read_crm(f"{file}#Opportunity", f"{file}#OpportunityHistory"), from_csv)
    assert "'Oportunity' is no sheet of this workbook" in refused(f"{file}#Oportunity")


def test_parquet(world: exports.World, from_csv: History, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    paths = exports.write(tmp_path, exports.salesforce(world))
    written = [path.with_suffix(".parquet") for path in paths]
    for path, to in zip(paths, written, strict=True):
        duckdb.connect().execute(f"COPY (SELECT * FROM read_csv('{path}')) TO '{to}' (FORMAT parquet)")
    same(read_crm(*written), from_csv)


# --- databases --------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(world: exports.World, tmp_path: Path) -> str:
    file = tmp_path / "crm.db"
    with sqlite3.connect(file) as connection:
        for name, table in exports.salesforce(world).items():
            table.to_sql(name.removesuffix(".csv"), connection, index=False)
    connection.close()
    return f"sqlite:///{file}"


def test_tables_of_a_database_are_named_behind_the_url_or_in_the_map(database: str, from_csv: History) -> None:
    same(read_crm(f"{database}#Opportunity,OpportunityHistory"), from_csv)
    same(read_crm(database, mapping={"tables": ["Opportunity", "OpportunityHistory"]}), from_csv)
    same(read_crm(database, mapping={"tables": ['SELECT * FROM "Opportunity"', "OpportunityHistory"]}), from_csv)


def test_a_query(database: str) -> None:
    history = read_crm(f"{database}#SELECT Id, CreatedDate, CloseDate, StageName, Amount FROM Opportunity")
    assert len(history.deals) == 60


def test_tables_that_are_not_named_or_not_there(database: str, tmp_path: Path) -> None:
    assert "which tables? it holds Opportunity, OpportunityHistory" in refused(database)
    said = refused(f"{database}#Oportunity,Nothing")
    assert "Did you mean 'Opportunity'?" in said
    assert len(said.splitlines()) == 2
    assert "there is no such file" in refused(f"sqlite:///{tmp_path}/none.db#deals")
    (tmp_path / "text.db").write_text("no database at all, but a text that is long enough")
    assert "file is not a database" in refused(f"sqlite:///{tmp_path}/text.db#deals")
    assert "no such column: absent" in refused(f"{database}#SELECT absent FROM Opportunity")


def test_a_locked_database(database: str) -> None:
    holder = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert "database is locked" in refused(f"{database}?timeout=0#Opportunity")
    finally:
        holder.close()


def test_a_driver_that_is_not_installed_is_named() -> None:
    said = refused("mysql+pymysql://me:secret@localhost/crm#deals")
    assert "pip install pymysql" in said
    assert "secret" not in said
    assert "no driver" in refused("nosuch://localhost/crm#deals")


@pytest.mark.parametrize(("module", "extra"), [("sqlalchemy", "sql"), ("openpyxl", "excel")])
def test_an_extra_that_is_not_installed_is_named(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: object, **more: object) -> object:
        if name.split(".")[0] == module:
            raise ImportError(name)
        return real(name, *arguments, **more)  # type: ignore[arg-type]

    source = "sqlite:///crm.db#deals"
    if module == "openpyxl":
        pd.DataFrame({"id": [1]}).to_excel(tmp_path / "book.xlsx")
        source = str(tmp_path / "book.xlsx")
    monkeypatch.setattr(builtins, "__import__", without)
    assert f"simfunnel[{extra}]" in refused(source)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of the test's own."""
    if not shutil.which("initdb") and not Path("/usr/lib/postgresql").is_dir():
        pytest.skip("no PostgreSQL server is installed")
    pytest.importorskip("psycopg")
    found = shutil.which("initdb") or str(next(Path("/usr/lib/postgresql").glob("*/bin/initdb")))
    programs = Path(found).resolve().parent
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    make = [programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **user,
    )  # fmt: skip
    url = f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    for attempt in range(100):
        try:
            with engine.connect():
                break
        except sa.exc.OperationalError:
            if attempt == 99:
                raise
            time.sleep(0.2)
    engine.dispose()


@pytest.mark.slow
def test_a_postgresql_server(postgres: str, world: exports.World, from_csv: History) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(postgres)
    for name, table in exports.salesforce(world).items():
        dates = {"CreatedDate": pd.to_datetime(table["CreatedDate"])}
        table.assign(**dates).to_sql(name.removesuffix(".csv"), engine, index=False)
    engine.dispose()
    same(read_crm(f"{postgres}#Opportunity,OpportunityHistory"), from_csv)
    same(read_crm(f"{postgres}#public.Opportunity,public.OpportunityHistory"), from_csv)
    assert "Did you mean 'Opportunity'?" in refused(f"{postgres}#Oportunity")
    assert "can't be read" in refused(postgres.replace("127.0.0.1:", "127.0.0.1:1") + "#deals")


# --- several files ----------------------------------------------------------------------------------------------------


def test_faults_of_several_files_come_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    said = refused(tmp_path / "empty.csv", tmp_path / "none.csv", f"sqlite:///{tmp_path}/none.db#deals")
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"<?xml version='1.0'?><log/>", "is XML"),
        (b'{"deals": []}', "is JSON"),
        (b"SQLite format 3\x00 and more", "write sqlite:///"),
        (b"a,b\n1,2\n", "no column was recognised"),
        ("名称,金额\n甲,1\n".encode(), "名称"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, raw: bytes, words: str) -> None:
    (tmp_path / "deals.csv").write_bytes(raw)
    assert words in refused(tmp_path / "deals.csv")


def test_nothing_at_all() -> None:
    assert "name the export" in refused()


@pytest.mark.parametrize("titles", [1, 3])
def test_titles_above_the_header_of_a_sheet_are_left_out_and_that_is_told(tmp_path: Path, titles: int) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    deals = pd.DataFrame(
        {
            "Deal ID": [f"D{k}" for k in range(12)],
            "Created": pd.Timestamp("2024-01-01") + pd.to_timedelta(range(12), unit="D"),
            "Closed": [pd.Timestamp("2024-03-01")] * 11 + [pd.NaT],
            "Stage": ["Won", "Lost"] * 5 + ["Won", "Talking"],
            "Amount": range(100, 112),
        }
    )
    deals.to_excel(tmp_path / "plain.xlsx", index=False)
    deals.to_excel(tmp_path / "titled.xlsx", index=False, startrow=titles)
    book = openpyxl.load_workbook(tmp_path / "titled.xlsx")
    book.active["A1"] = "Pipeline report"
    book.save(tmp_path / "titled.xlsx")
    plain, titled = read_crm(tmp_path / "plain.xlsx"), read_crm(tmp_path / "titled.xlsx")
    pd.testing.assert_frame_equal(titled.deals, plain.deals)
    said = [s for s in titled.assumptions if f"row {titles + 1} is taken for the header" in s]
    assert len(said) == 1
    assert not any("header" in s for s in plain.assumptions)
    assert read_table(tmp_path / "titled.xlsx").rows.equals(read_table(tmp_path / "plain.xlsx").rows)


def test_whole_numbers_of_a_workbook_are_no_fractions(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1001, None, 1003], "share": [0.5, 1.0, None]}).to_excel(tmp_path / "t.xlsx", index=False)
    table = read_tables(tmp_path / "t.xlsx")[0].rows
    assert table["id"].tolist()[::2] == ["1001", "1003"]
    assert table["share"].tolist()[:2] == ["0.5", "1"]


def test_a_url_shows_no_password() -> None:
    said = refused("postgresql+psycopg://me:topsecret@127.0.0.1:1/crm#deals")
    assert "topsecret" not in said
    assert "can't be read" in said
