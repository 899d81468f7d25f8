"""The order of the modules: each imports only from below, without circles; start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "simfunnel"

# From the ground up. A name is a module or package right under simfunnel/ and may import the names before it.
# Inside a package the order is free, as long as there is no circle.
LAYERS = (
    # ground: knows nothing of scenarios
    "errors",
    "units",
    "grid",
    "jit",
    "numerics",
    "randomness",
    "families",
    "distributions",
    "calendars",
    # a scenario and what comes of running it
    "scenario",
    "plan",
    "engines",
    "periods",
    "expectation",
    "tally",
    "kpis",
    "views",
    "kpi_tables",
    "formatting",
    "describing",
    "plots",
    "files",
    "sourcecode",
    "spreadsheets",
    "results",
    "replicate",
    "workers",
    "runs",
    "unfinished",
    # from data to a scenario
    "crm",
    "fitting",
    # what is asked of many runs
    "comparison",
    "experiments",
    "forecasting",
    "segments",
    "backtesting",
    # what is known beforehand, and whether an engine says so
    "known_answers",
    "verifying",
    # what a person sees
    "starter",
    "cli",
)

# Libraries that only a few files may know: name -> how many files at most, and where.
CONFINED = {
    "simpy": (1, "engines/simpy_engine.py"),
    "yaml": (1, "scenario/*.py"),
    "numba": (2, "*.py"),
}

HEAVY = {"matplotlib", "numba", "pandas", "scipy", "statsmodels"}  # 1 to 2 s each to import


class Module(NamedTuple):
    """One file of a package, read."""

    file: Path
    tree: ast.Module


def read_package(package: Path) -> dict[str, Module]:
    """Each module of `package`, by its dotted name."""
    modules = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if file.name == "__init__.py" else parts)
        modules[name] = Module(file, ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
    return modules


def imports(name: str, modules: Mapping[str, Module]) -> Iterator[str]:
    """The dotted names that module `name` imports anywhere in it, also inside its functions."""
    home = name.split(".") if modules[name].file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(modules[name].tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = home[: len(home) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{origin}.{alias.name}"
                yield deeper if deeper in modules or alias.name == "__version__" else origin


def layer_faults(package: Path, layers: Sequence[str]) -> list[str]:
    """Every import inside `package` that breaks the order of `layers`, and every module in no layer."""
    modules = read_package(package)
    top = package.name
    height = {layer: number for number, layer in enumerate(layers)}
    faults = []
    graph: dict[str, set[str]] = {}
    for name in modules.keys() - {top, f"{top}.__main__"}:  # the public face stands above all layers
        layer = name.split(".")[1]
        if layer not in height:
            place = "above all it imports"
            faults.append(f"{name} is in no layer: add '{layer}' to LAYERS in tests/test_layers.py, {place}")
            continue
        own = {target for target in imports(name, modules) if target.split(".")[0] == top}
        for target in own - {f"{top}.__version__"}:
            if target == top:
                faults.append(f"{name} imports {top} itself, which stands above it: name the module instead")
            elif height.get(target.split(".")[1], -1) > height[layer]:
                faults.append(f"{name} imports {target}, which stands above it")
        graph[name] = own & modules.keys()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append("circle: " + " <- ".join(error.args[1]))
    return sorted(faults)


def importers(package: Path, library: str) -> list[str]:
    """The files of `package`, relative to it, that import `library`."""
    modules = read_package(package)
    return [
        module.file.relative_to(package).as_posix()
        for name, module in modules.items()
        if library in {target.split(".")[0] for target in imports(name, modules)}
    ]


def test_each_module_imports_only_from_below() -> None:
    assert layer_faults(PACKAGE, LAYERS) == []


@pytest.mark.parametrize("library", CONFINED)
def test_library_stays_in_few_files(library: str) -> None:
    at_most, where = CONFINED[library]
    files = importers(PACKAGE, library)
    assert len(files) <= at_most, f"{library} is imported by {files}, allowed: {at_most}"
    assert [file for file in files if not Path(file).match(where)] == [], f"{library} belongs in {where}"


@pytest.mark.parametrize("module", ["simfunnel", "simfunnel.cli"])
def test_start_up_loads_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_a_scenario_is_read_without_the_engines() -> None:
    """So that what is wrong with a file is told before they could have been loaded."""
    code = "import sys; from simfunnel.scenario import load; load('tests/example.yaml'); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write a small package `toy` and return its folder."""
    for name, text in {"__init__.py": "", **files}.items():
        file = root / "toy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root / "toy"


@pytest.mark.parametrize(
    "files",
    [
        {"low.py": "import os", "high.py": "from toy.low import x\nfrom toy import low, __version__"},
        {
            "mid/__init__.py": "from . import a",
            "mid/a.py": "from .b import y",
            "mid/b.py": "from ..low import x",
        },
        {"__init__.py": "from toy.high import x", "high.py": "from toy.low import x", "low.py": ""},
    ],
    ids=["absolute", "relative", "public face"],
)
def test_imports_from_below_pass(tmp_path: Path, files: dict[str, str]) -> None:
    assert layer_faults(write_tree(tmp_path, files), ["low", "mid", "high"]) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"low.py": "import toy.high", "high.py": ""}, "toy.low imports toy.high, which stands above it"),
        (
            {"low.py": "from toy import high", "high.py": ""},
            "toy.low imports toy.high, which stands above it",
        ),
        ({"low.py": "from .high import x", "high.py": ""}, "toy.low imports toy.high, which stands above it"),
        (
            {"low.py": "def f():\n    from toy.mid.a import x", "mid/__init__.py": "", "mid/a.py": ""},
            "toy.low imports toy.mid.a, which stands above it",
        ),
        (
            {"mid/__init__.py": "", "mid/a.py": "from .. import high", "high.py": ""},
            "toy.mid.a imports toy.high, which stands above it",
        ),
        ({"low.py": "from toy import load"}, "toy.low imports toy itself"),
        ({"new.py": ""}, "toy.new is in no layer: add 'new' to LAYERS"),
        (
            {"mid/__init__.py": "", "mid/a.py": "from . import b", "mid/b.py": "import toy.mid.a"},
            "circle: toy.mid.",
        ),
    ],
    ids=[
        "import",
        "from package",
        "relative",
        "inside a function",
        "two up",
        "public face",
        "unlisted",
        "circle",
    ],
)
def test_broken_order_is_found(tmp_path: Path, files: dict[str, str], said: str) -> None:
    (fault,) = layer_faults(write_tree(tmp_path, files), ["low", "mid", "high"])
    assert said in fault


def test_importers_are_found(tmp_path: Path) -> None:
    toy = write_tree(
        tmp_path,
        {
            "low.py": "import yaml.nodes",
            "mid/__init__.py": "from yaml import nodes",
            "high.py": "from .yaml import x",
        },
    )
    assert importers(toy, "yaml") == ["low.py", "mid/__init__.py"]
