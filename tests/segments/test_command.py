"""The command `segments`."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import segments
from simfunnel.cli import main
from simfunnel.scenario.documents import dump
from tests.helpers import PLAIN
from tests.orders import REPEATING

ROOT = Path(__file__).parents[2]


HISTORY = "customer,date,amount\n" + "".join(
    f"{name},{2024 + year}-0{1 + k}-15,{100 * (1 + k) + year}\n"
    for year in range(3)
    for k, name in enumerate(["Acme", "华为", "Betasoloin", "Dan", "Eve", "[b]Fin[/b]"])
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text(HISTORY, encoding="utf-8")
    Path("repeating.yaml").write_text(REPEATING)
    return tmp_path


def test_the_command_prints_tables_and_writes_them_where_asked(folder, capsys):
    assert main(["segments", "orders.csv", "--split", "2026-01-01", "-o", "out"]) == 0
    said = capsys.readouterr().out
    for words in ("Customer pyramid", "inactive", "ABC", "retention", "Which grading foretells", "perfect"):
        assert words in said
    assert "the year after the split is 166 days long" in said
    tables = Path("out/tables")
    names = {"customers.csv", "rfm.csv", "pyramid.csv", "abc.csv", "lifetime.csv", "foretells.csv"}
    assert {p.name for p in tables.glob("*.csv")} == names
    customers = pd.read_csv(tables / "customers.csv")
    assert set(customers["customer"]) == {"Acme", "华为", "Betasoloin", "Dan", "Eve", "[b]Fin[/b]"}
    model = sf.load_text(dump(PLAIN) + Path("out/grades.yaml").read_text(encoding="utf-8"))
    assert model.spec.attributes.keys() == {"class"}
    assert main(["segments", "orders.csv", "-o", "out"]) == 0  # an earlier folder is replaced
    assert not (tables / "foretells.csv").exists()


def test_the_command_takes_a_day_a_window_and_a_map(folder, capsys):
    Path("map.yaml").write_text("customer: customer\n")
    line = ["segments", "orders.csv", "--as-of", "2025-06-30", "--window", "30 days", "--map", "map.yaml", "--json"]
    assert main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["as_of"] == "2025-06-30"
    rows = {row["class"]: row["customers"] for row in found["tables"]["pyramid"]}
    assert rows == {"top": 1, "big": 0, "medium": 0, "small": 0, "inactive": 5}
    assert "6 orders after 2025-06-30 were not looked at" in found["notes"]
    assert not list(folder.glob("runs*"))


def test_a_scenario_is_graded_by_its_simulated_orders(folder, capsys):
    line = ["segments", "repeating.yaml", "-n", "2", "--seed", "3", "--split", "2027-01-01", "--json"]
    assert main([*line, "-o", "out"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["replications"] == 2
    assert first["currency"] == "USD"
    assert any("means over 2 replications" in note for note in first["notes"])
    assert first["tables"]["foretells"][0]["grading"] == "perfect"
    assert Path("out/tables/customers.csv").is_file()
    assert main([*line[:-1]]) == 0
    assert "Repeating as of 2027-12-01, money in USD" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["nothing.csv"], "nothing.csv: there is no such file"),
        (["nothing.yaml"], "nothing.yaml"),
        (["orders.csv", "--as-of", "soon"], "--as-of: 'soon' is no date"),
        (["orders.csv", "--as-of", "2020-01-01"], "there are no orders by 2020-01-01; the first is on 2024-01-15"),
        (["orders.csv", "--split", "yesterday"], "--split: 'yesterday' is no date"),
        (["orders.csv", "--split", "2030-01-01"], "there are no orders in the 365 days from 2030-01-01 on"),
        (["orders.csv", "--split", "2020-01-01"], "there are no orders before 2020-01-01; they run from 2024-01-15"),
        (["orders.csv", "--window", "1 yaer"], "--window: '1 yaer': unknown unit 'yaer'"),
        (["orders.csv", "--window", "1 h"], "a window must be a number over 0"),
        (["orders.csv", "--margin", "0%"], "a margin must be a share over 0"),
        (["orders.csv", "--map", "nothing.yaml"], "nothing.yaml"),
        (["orders.csv", "-o", "orders.csv"], "orders.csv is a file"),
        (["repeating.yaml", "-n", "0"], "replications must be 1 to 1,000,000, not 0"),
        (["repeating.yaml", "--seed", "-1"], "a seed must be 0 to"),
        (["repeating.yaml", "--as-of", "2030-01-01"], "outside the scenario, which runs from 2026-01-01 to 2027-12-01"),
        (["repeating.yaml", "--split", "2026-01-01"], "the split 2026-01-01 must come after 2026-01-01"),
    ],
)
def test_bad_input_to_the_command_is_told_with_code_2(folder, capsys, line, said):
    assert main(["segments", *line]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_the_command_from_the_outside(folder):
    Path("bad.csv").write_text("customer,date,amount\na,tomorrow,1\n")
    for file, code in (("orders.csv", 0), ("bad.csv", 2)):
        command = [sys.executable, "-m", "simfunnel", "segments", str(folder / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
    assert "row 2 ('tomorrow')" in done.stderr


def test_the_module_is_there_from_the_package():
    assert sf.segments is segments
    assert "segments" in dir(sf)
