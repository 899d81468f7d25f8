"""The commands from the outside: what they print, what they leave behind, and their exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len

from simfunnel import __version__
from simfunnel.cli import main
from simfunnel.formatting import count

ROOT = Path(__file__).parents[1]
TINY = """
name: Tiny
start: 2026-10-01
horizon: 2 quarters
attributes: {size: {small: 80%, large: 20%}}
sources: {web: {rate: 2 per day}}
value: 1000
teams: {sellers: {size: 2}}
stages:
  open:
    work: {team: sellers, effort: 3 h}
    exits:
      won: {chance: 40%, after: {exponential: 10 days}}
      lost: {after: {exponential: 10 days}}
  won: {books: value}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a scenario and a variant of it, in which commands run."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("more.yaml").write_text("extends: tiny.yaml\nname: More\noverride: {teams: {sellers: {size: 3}}}\n")
    return tmp_path


def outside(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "simfunnel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, **options)


def test_run_prints_a_table_and_writes_a_folder(folder, capsys):
    assert main(["run", "tiny.yaml", "-n", "3"]) == 0
    shown = capsys.readouterr().out
    assert "2026Q4" in shown
    assert "bookings" in shown
    written = Path("runs/tiny")
    assert {p.name for p in (written / "pictures").iterdir()} >= {"fan.png", "fan.svg", "funnel.png", "teams.png"}
    manifest = json.loads((written / "manifest.json").read_text())
    assert manifest["seed"] == 1
    assert manifest["replications"] == 3
    kpis = pd.read_csv(written / "tables" / "kpis.csv")
    assert set(kpis["replication"]) == {0, 1, 2}


def test_run_prints_one_json_object_and_then_writes_nothing(folder, capsys):
    assert main(["run", "tiny.yaml", "-n", "3", "--seed", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["scenario"], found["seed"], found["replications"]) == ("Tiny", 7, 3)
    first = found["results"][0]
    assert set(first) == {"metric", "period", "mean", "sd", "quantiles"}
    assert set(first["quantiles"]) == {"0.1", "0.5", "0.9"}
    assert not Path("runs").exists()


def test_the_log_holds_every_move_the_same_bytes_with_one_and_two_workers(folder):
    assert main(["run", "tiny.yaml", "-n", "8", "--workers", "1", "--log", "one.csv", "--json"]) == 0
    assert main(["run", "tiny.yaml", "-n", "8", "--workers", "2", "--log", "two.csv", "--json"]) == 0
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()
    log = pd.read_csv("one.csv")
    assert list(log.columns) == ["replication", "time", "prospect", "from", "to", "member", "value"]
    assert set(log["to"]) == {"open", "won", "lost"}


def test_run_groups_by_an_attribute(folder, capsys):
    assert main(["run", "tiny.yaml", "-n", "2", "--by", "size", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "By size, all periods together: mean (P10 – P90)" in shown
    wins = pd.read_csv("out/tables/grouped.csv").query("metric == 'wins' and unit == 'all' and group == 'small'")
    assert f" {count(wins['value'].mean())} (" in next(line for line in shown.splitlines() if "│ small" in line)
    grouped = pd.read_csv("out/tables/grouped.csv")
    assert set(grouped["group"]) == {"small", "large"}
    total = pd.read_csv("out/tables/kpis.csv").query("metric == 'wins' and unit == 'all'")["value"].sum()
    assert grouped.query("metric == 'wins' and unit == 'all'")["value"].sum() == total


def test_groups_with_names_in_any_script_stand_in_line(folder, capsys):
    Path("wide.yaml").write_text(TINY.replace("small: 80%", "制造业: 80%").replace("size:", "行业:", 1))
    assert main(["run", "wide.yaml", "-n", "2", "--by", "行业", "-o", "out"]) == 0
    lines = capsys.readouterr().out.partition("By 行业")[2].splitlines()[1:7]
    assert lines[3].startswith("│ 制造业 │ ")
    assert len({cell_len(line) for line in lines}) == 1


def test_of_many_groups_those_with_most_are_shown(folder, capsys):
    names = ", ".join(f"g{k}: {6 if k == 29 else 94 / 29}%" for k in range(30))
    Path("many.yaml").write_text(TINY.replace("small: 80%, large: 20%", names))
    assert main(["run", "many.yaml", "-n", "2", "--by", "size", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "20 of 30 groups, those with most bookings" in " ".join(shown.split())
    assert sum(line.startswith("│ g") for line in shown.splitlines()) == 20
    assert "│ g29 " in shown


def test_compare_gives_differences_and_a_picture(folder, capsys):
    assert main(["compare", "tiny.yaml", "more.yaml", "-n", "3"]) == 0
    assert "P(better)" in capsys.readouterr().out
    assert Path("runs/tiny-compared/pictures/comparison.png").is_file()
    assert main(["compare", "tiny.yaml", "more.yaml", "-n", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"][0]
    assert {"baseline", "alternative", "difference", "low", "high", "prob_better"} <= set(found)


def test_an_experiment_shows_every_strategy(folder, capsys):
    Path("strategies.yaml").write_text(
        "name: Which?\nbaseline: tiny.yaml\nreplications: 3\nmeasures: [wins, wait]\n"
        "strategies:\n  three: {teams: {sellers: {size: 3}}}\n  one: {teams: {sellers: {size: 1}}}\n"
    )
    assert main(["experiment", "strategies.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "three" in shown
    assert "wait" in shown
    assert "bookings" not in shown
    assert Path("runs/strategies/pictures/comparison.svg").is_file()


def test_every_fault_of_an_experiment_is_told(folder, capsys):
    Path("bad.yaml").write_text(
        "name: Bad\nbaseline: tiny.yaml\nmeasures: [winz]\nreplication: 3\n"
        "strategies:\n  a: {teams: {sellers: {sise: 3}}}\n  b: {stages: {open: {work: {effort: 2 days}}}}\n"
    )
    assert main(["experiment", "bad.yaml"]) == 2
    said = capsys.readouterr().err
    assert "bad.yaml:3:12" in said
    assert "Did you mean 'wins'?" in said
    assert "bad.yaml:4:1" in said


def test_init_fit_forecast_and_compare_follow_one_another(folder, capsys):
    assert main(["init", "mine"]) == 0
    assert main(["check", "mine/scenario.yaml", "mine/truth.yaml"]) == 0
    assert main(["fit", "mine/deals.csv", "--as-of", "2026-09-30", "-o", "mine/model.yaml"]) == 0
    assert "nan" not in capsys.readouterr().out.split()  # hours of work are assumed, without an interval
    forecast = ["forecast", "mine/model.yaml", "--deals", "mine/deals.csv", "--as-of", "2026-09-30"]
    assert main([*forecast, "-n", "5", "--target", "500k", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["as_of"] == "2026-09-30"
    assert set(found["prob_target"]) == {"2026Q4", "2027Q1"}
    assert {r["part"] for r in found["results"]} == {"open deals", "not yet created", "total"}
    assert main([*forecast, "-n", "3"]) == 0
    deals = pd.read_csv("runs/model-forecast/tables/deals.csv")
    assert len(deals) == (pd.read_csv("mine/deals.csv")["stage"] == "Open").sum()
    more = "extends: model.yaml\nname: Two more\noverride: {teams: {sellers: {members: {Eva: {}, Finn: {}}}}}\n"
    Path("mine/more.yaml").write_text(more)
    assert main(["compare", "mine/model.yaml", "mine/more.yaml", "-n", "2", "--json"]) == 0


def test_a_forecast_by_month_and_size_also_goes_to_excel(folder, capsys):
    deals = ["id,created,closed,stage,amount,owner,size,forecast category"]
    deals += [f"o{k},2026-11-0{k + 1},,open,{k + 1}000,Ana,small,Commit" for k in range(5)]
    deals += [f"w{k},2026-10-0{k + 1},2026-11-0{k + 1},won,900,Ana,large,Closed" for k in range(5)]
    Path("deals.csv").write_text("\n".join(deals))
    forecast = ["forecast", "tiny.yaml", "--deals", "deals.csv", "--as-of", "2026-11-10", "-n", "3", "--target", "90k"]
    assert main([*forecast, "--period", "month", "--by", "size", "--excel", "f.xlsx", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    for words in ("2026-12", "By size", "Open deals of which most is expected", "P(2026Q4 bookings reach 90.0k USD)"):
        assert words in shown
    assert "So new deals decide, and with a chance of 80% bookings come to" in " ".join(shown.split())
    assert Path("f.xlsx").read_bytes()[:2] == b"PK"
    pictures = {p.name for p in Path("out/pictures").iterdir()}
    assert pictures >= {"forecast-quarter.png", "forecast-deals.png", "forecast-pipeline_value.png"}
    assert "funnel.png" not in pictures  # it would leave out today's open deals
    bridge = ["bridge", "tiny.yaml", "more.yaml", "--deals", "deals.csv", "--from", "2026-11-03", "--to", "2026-11-10"]
    assert main([*bridge, "-n", "3", "--target", "90k", "-o", "between"]) == 0
    shown = capsys.readouterr().out
    for words in ("forecast as of 2026-11-03", "won", "capacity", "Deals that changed it most"):
        assert words in shown
    assert Path("between/pictures/bridge.png").is_file()
    assert main([*bridge, "-n", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ends = {step["step"]: step["expected"] for step in found["steps"]}
    changes = [step["change"] for step in found["steps"] if step["change"] is not None]
    assert sum(changes) == pytest.approx(ends["after"] - ends["before"])


def test_faults_of_a_forecasts_options_are_told_together_before_any_work(folder, capsys):
    asked = [
        "-n",
        "0",
        "--quarters",
        "0",
        "--target",
        "lots",
        "--confidence",
        "120%",
        "--past",
        "-1",
        "--as-of",
        "soon",
    ]
    assert main(["forecast", "tiny.yaml", "--deals", "none.csv", *asked]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said if line.startswith("--")] == [
        "--replications", "--quarters", "--target", "--confidence", "--past", "--as-of",
    ]  # fmt: skip
    assert "--replications: must be 1 to 1,000,000, not 0" in said
    assert len(said) == 6
    bridge = ["bridge", "tiny.yaml", "--deals", "none.csv", "--from", "2026-11-03", "-n", "0", "--target", "-5"]
    assert main(bridge) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == ["--replications", "--target"]


@pytest.mark.parametrize("target", ["0", "-5"])
def test_a_target_of_nothing_is_refused(folder, capsys, target):
    assert main(["forecast", "tiny.yaml", "-n", "2", f"--target={target}"]) == 2
    assert f"--target: must be above 0, not {target}" in capsys.readouterr().err
    Path("aim.yaml").write_text(f"extends: tiny.yaml\noverride: {{target: {target}}}\n")
    assert main(["check", "aim.yaml"]) == 2
    assert "target: bookings wanted in a quarter must be above 0" in capsys.readouterr().err


def test_a_forecast_long_after_the_data_end_says_so(folder, capsys):
    rows = ["id,created,closed,stage,amount", "a,2026-09-01,,open,1000", "b,2026-09-02,2026-09-20,won,900"]
    Path("deals.csv").write_text("\n".join(rows))
    asked = ["forecast", "tiny.yaml", "--deals", "deals.csv", "-n", "2", "--past", "0", "--json"]
    assert main([*asked, "--as-of", "2026-10-10"]) == 0
    assert not any("the data end" in note for note in json.loads(capsys.readouterr().out)["notes"])
    assert main([*asked, "--as-of", "2028-01-01"]) == 0
    (note,) = [note for note in json.loads(capsys.readouterr().out)["notes"] if "the data end" in note]
    assert note.startswith("the data end on 2026-09-20, 468 days before 2028-01-01")


@pytest.mark.parametrize(
    "command",
    [
        ["forecast", "tiny.yaml", "--deals", "none.csv", "-o", "there/out"],
        ["forecast", "tiny.yaml", "--deals", "none.csv", "--excel", "there/out.xlsx"],
        ["bridge", "tiny.yaml", "--deals", "none.csv", "--from", "2026-11-03", "-o", "there/out"],
        ["compare", "tiny.yaml", "more.yaml", "--deals", "none.csv", "-o", "there/out"],
        ["fit", "none.csv", "-o", "there/out.yaml"],
        ["run", "tiny.yaml", "-n", "1", "--log", "there/log.csv"],
        ["run", "tiny.yaml", "-n", "1", "-o", "there/out"],
    ],
    ids=lambda command: f"{command[0]} {command[-2]}",
)
def test_what_cannot_be_written_is_found_before_the_work(folder, capsys, monkeypatch, command):
    Path("there").mkdir()
    make = Path.mkdir

    def refused(self, *arguments, **options):
        if self.parent.name == "there":
            raise PermissionError(13, "Permission denied", str(self))
        make(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    assert main(command) == 1
    place = command[-1]
    assert f"{place} can't be written: permission denied; nothing was changed" in capsys.readouterr().err
    assert not list(Path("there").iterdir())
    assert not Path("runs").exists()


def test_init_overwrites_nothing(folder, capsys):
    assert main(["init", "mine"]) == 0
    before = Path("mine/deals.csv").read_bytes()
    assert main(["init", "mine"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert Path("mine/deals.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "missing.yaml"], "no such file"),
        (["run", "tiny.yaml", "-n", "0"], "replications must be"),
        (["run", "tiny.yaml", "--seed", "-1"], "a seed must be"),
        (["run", "tiny.yaml", "-n", "1", "--by", "sise"], "Did you mean 'size'?"),
        (["run", "tiny.yaml", "-o", "tiny.yaml"], "is a file"),
        (["compare", "tiny.yaml", "gone.yaml"], "no such file"),
        (["compare", "tiny.yaml", "more.yaml", "--precision", "two"], "--precision: 'two' is no chance"),
        (["forecast", "tiny.yaml", "--target", "lots"], "--target: 'lots' is no amount"),
        (["forecast", "tiny.yaml", "--quarters", "0"], "--quarters: must be"),
        (["forecast", "tiny.yaml", "--by", "sise"], "--by: 'sise' is no grouping of a forecast"),
        (["forecast", "tiny.yaml", "--confidence", "two"], "--confidence: 'two' is no chance"),
        (["forecast", "tiny.yaml", "--excel", "f.csv"], "name an Excel file that ends in .xlsx"),
        (["bridge", "tiny.yaml", "--deals", "gone.csv", "--from", "2026-10-05"], "gone.csv"),
        (["bridge", "tiny.yaml", "--deals", "gone.csv"], "--from"),
        (["bridge", "tiny.yaml", "--deals", "gone.csv", "--from", "May"], "--from: 'May' is no date"),
        (["fit", "missing.csv", "-o", "model.yaml"], "missing.csv"),
        (["fit", "tiny.yaml", "-o", "model.yaml"], "tiny.yaml"),
        (["check", "more.yaml", "gone.yaml"], "no such file"),
        (["forecats", "tiny.yaml"], "forecast"),
        (["run", "tiny.yaml", "--replicatons", "3"], "--replicat"),
    ],
)
def test_bad_input_ends_with_2_one_message_and_nothing_written(folder, capsys, arguments, words):
    before = {p.name for p in folder.iterdir()}
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert words in out + err
    assert "Traceback" not in out + err
    assert {p.name for p in folder.iterdir()} == before


def test_a_circle_that_takes_no_time_ends_with_1_and_says_so(folder, capsys):
    Path("rule.py").write_text("def back_and_forth(facts):\n    return 'b' if facts['stage'] == 'a' else 'a'\n")
    stage = "{route: {python: rule.py:back_and_forth}}"
    head = TINY.partition("teams:")[0]
    Path("circle.yaml").write_text(f"{head}stages:\n  a: {stage}\n  b: {stage}\n")
    assert main(["run", "circle.yaml", "-n", "1"]) == 1
    assert "a circle that takes no time" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_schema_is_json(folder, capsys):
    assert main(["schema"]) == 0
    assert "stages" in json.loads(capsys.readouterr().out)["properties"]


def test_the_module_is_the_command():
    done = outside("run", "no.yaml")
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_package_of_commands_is_the_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "simfunnel.cli", "--version"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def interruptible():
    """A job in the background is started with SIGINT ignored; ours must hear it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_keeps_the_replications_that_are_done(folder):
    scenario = str(folder / "tiny.yaml")
    command = [
        sys.executable,
        "-m",
        "simfunnel",
        "run",
        scenario,
        "-n",
        "600",
        "--workers",
        "1",
        "-o",
        str(folder / "out"),
    ]
    process = subprocess.Popen(
        command, preexec_fn=interruptible, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    assert any("of 600" in line for line in process.stderr)  # the first tenth is done
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted after" in err
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert 60 <= manifest["replications"] < 600
    assert f"{manifest['replications']} replications" in out
    again = outside("run", scenario, "-n", "600", "-o", str(folder / "out"))  # would lose what is done
    assert again.returncode == 2
    assert f"to go on: simfunnel run --resume {folder / 'out'}" in again.stderr
    assert json.loads((folder / "out" / "manifest.json").read_text()) == manifest


def test_help_is_quick_to_read_and_names_every_command():
    done = outside("--help")
    assert done.returncode == 0
    for command in ("init", "check", "run", "compare", "experiment", "fit", "forecast", "bridge", "schema"):
        assert command in done.stdout


def test_fit_keeps_a_scenario_that_is_there(folder, capsys):
    Path("deals.csv").write_text(
        "id,created,closed,stage,amount\na,2026-01-05,2026-02-01,won,100\nb,2026-01-08,,open,\n"
    )
    Path("model.yaml").write_text("mine")
    assert main(["fit", "deals.csv", "-o", "model.yaml"]) == 2
    assert "add --replace" in capsys.readouterr().err
    assert Path("model.yaml").read_text() == "mine"
    assert main(["fit", "deals.csv", "-o", "model.yaml", "--replace"]) == 0
    assert "Fitted from deals.csv" in Path("model.yaml").read_text()


def test_fit_anew_keeps_what_was_written_by_hand(folder, capsys):
    Path("deals.csv").write_text(
        "id,created,closed,stage,amount\na,2026-01-05,2026-02-01,won,100\nb,2026-01-08,,open,\n"
    )
    fit = ["fit", "deals.csv", "-o", "model.yaml"]
    assert main(fit) == 0
    mine = Path("model.yaml").read_text().replace("horizon: 2 quarters", "horizon: 3 quarters")
    Path("model.yaml").write_text(mine)
    capsys.readouterr()
    assert main(fit) == 2
    assert "To keep these and fit all else anew, add --keep model.yaml" in capsys.readouterr().err
    assert main([*fit, "--keep", "model.yaml"]) == 0  # in its place
    assert "written by hand, and kept: horizon" in capsys.readouterr().out
    assert "# Written by hand: horizon.\nhorizon: 3 quarters" in Path("model.yaml").read_text()
    assert main(["fit", "deals.csv", "-o", "tiny.yaml", "--keep", "model.yaml"]) == 2  # another one is not overwritten
    assert Path("tiny.yaml").read_text() == TINY


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (None, "kept.yaml: no such file"),
        ("teams: [", ": is not valid YAML"),
        (
            "temas: {sellers: {size: 3}}",
            "kept.yaml: what it keeps does not go with what was fitted anew, so nothing was",
        ),
        (TINY, "kept.yaml: does not tell what in it was fitted"),
    ],
    ids=["missing", "broken", "misspelt", "whole"],
)
def test_what_cannot_be_kept_is_told_and_nothing_is_written(folder, capsys, kept, words):
    Path("deals.csv").write_text(
        "id,created,closed,stage,amount\na,2026-01-05,2026-02-01,won,100\nb,2026-01-08,,open,\n"
    )
    if kept:
        Path("kept.yaml").write_text(kept)
    before = set(folder.iterdir())
    assert main(["fit", "deals.csv", "-o", "new.yaml", "--keep", "kept.yaml"]) == 2
    assert words in capsys.readouterr().err
    assert set(folder.iterdir()) == before


def test_a_date_that_is_none_is_told_how_to_be_written(folder, capsys):
    assert main(["forecast", "tiny.yaml", "--as-of", "30/09/2026"]) == 2
    assert "--as-of: '30/09/2026' is no date; write it as 2026-10-01" in capsys.readouterr().err


def test_names_in_brackets_are_names_and_no_markup(folder, capsys):
    odd = TINY.replace("name: Tiny", 'name: "[/x] [red]"').replace("sellers", '"[/y]"')
    Path("odd.yaml").write_text(odd)
    assert main(["run", "odd.yaml", "-n", "2", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "[/x] [red]" in shown
    assert "[/y]" in shown


def test_fit_and_forecast_take_several_files_and_urls(folder, capsys):
    import sqlite3

    from tests import exports

    files = exports.salesforce(exports.world())
    paths = [str(path) for path in exports.write(folder, files)]
    assert main(["fit", *paths, "-o", "model.yaml", "--as-of", "2024-06-15"]) == 0
    shown = capsys.readouterr().out
    assert "several closings of one deal" in shown
    assert f"--deals {paths[0]} {paths[1]} --as-of 2024-06-15" in shown
    assert main(["forecast", "model.yaml", "--deals", *paths, "--as-of", "2024-06-15", "-n", "5", "--json"]) == 0
    by_file = json.loads(capsys.readouterr().out)
    with sqlite3.connect("crm.db") as database:
        for name, table in files.items():
            table.to_sql(name.removesuffix(".csv"), database, index=False)
    database.close()
    Path("map.yaml").write_text("tables: [Opportunity, OpportunityHistory]\n")
    rest = ["--map", "map.yaml", "--as-of", "2024-06-15", "-n", "5", "--json"]
    assert main(["forecast", "model.yaml", "--deals", "sqlite:///crm.db", *rest]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == by_file["results"]


def test_that_nothing_is_won_is_said(folder, capsys):
    """With nobody to sell, no wins and no bookings are the answer, and the empty team is why."""
    Path("nobody.yaml").write_text(TINY.replace("{size: 2}", "{size: 0}"))
    assert main(["run", "nobody.yaml", "-n", "2", "-o", "out"]) == 0
    shown = capsys.readouterr().out
    assert "bookings" in shown
    assert "wins" in shown
    assert "Nobody works in sellers" in shown
