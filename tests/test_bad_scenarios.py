"""Bad scenarios: one file for each way to go wrong, with the place and the words that its faults must have.

A file begins with a line for each fault that it must give, in order: `# expects: line:column | words | words`. The
place may be left out. What should not be stored (binary files, huge ones) is made here.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from simfunnel.describing import describe
from simfunnel.errors import Fault, InputError
from simfunnel.plan import compile_plan, settle
from simfunnel.scenario import from_tree, load, load_text
from simfunnel.scenario.documents import MAX_BYTES, MAX_DEPTH, parse

HERE = Path(__file__).parent
FILES = sorted((HERE / "bad_scenarios").glob("*.yaml"))
EXAMPLE = HERE / "example.yaml"


def faults_of(path: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        load(path)
    return caught.value.faults


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_bad_scenario_gives_exactly_its_faults(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [
        re.split(r"\s*\|\s*", line.partition(":")[2].strip()) for line in lines if line.startswith("# expects:")
    ]
    assert expected, f"{path.name} says not what it expects"
    faults = faults_of(path)
    assert len(faults) == len(expected), "\n".join(map(str, faults))
    for fault, words in zip(faults, expected, strict=True):
        if re.fullmatch(r"\d+(:\d+)?", words[0]):
            line, _, column = words.pop(0).partition(":")
            assert (fault.line, fault.column) == (int(line), int(column or fault.column)), str(fault)
        assert [word for word in words if word not in str(fault)] == [], str(fault)


def test_many_failure_modes_are_covered() -> None:
    assert len(FILES) >= 90


def test_the_files_are_bad_for_one_reason_only() -> None:
    """The example that the mutations below start from has no fault, so that each fault is the mutation's own."""
    assert load(EXAMPLE).name == "Example"


# --- files that are not worth storing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "1: is not UTF-8 text (byte 1)"),
        (b"name: x\nstart: caf\xe9\n", "2: is not UTF-8 text (byte 19)"),
        ("name: x\n".encode("utf-16"), "is not UTF-8 text"),
        (b"name: x\nstart: \x00\n", "2: is not valid YAML: unacceptable character #x0000"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"name: " + b"x" * MAX_BYTES, "is too large: 1,000,006 bytes, allowed are 1,000,000"),
        (b"a: " + b"[" * 100_000, f"1:67: is nested deeper than {MAX_DEPTH} levels"),
        (b"- " * 100_000, f"is nested deeper than {MAX_DEPTH} levels"),
        (b"a: [" + b"1," * 60_000 + b"]", "has more than 50,000 parts"),
        (b"name: '" + b"x" * 900_000 + b"\n", "is not valid YAML"),
        (b'name: "\\ud800"\n', "1:10: is not valid YAML"),
    ],
    ids=[
        "png",
        "latin-1",
        "utf-16",
        "zero byte",
        "empty",
        "blank",
        "over 1 MB",
        "deep flow",
        "deep lists",
        "many parts",
        "unclosed",
        "half a character",
    ],
)
def test_file_that_is_no_scenario_is_refused_at_once(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(content)
    begun = time.perf_counter()
    (fault,) = faults_of(path)
    assert words in str(fault)
    assert time.perf_counter() - begun < 5


def test_long_values_are_shortened_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(f"name: x\nstart: {'9' * 300_000}\nhorizon: 5 a{' ' * 300_000}b\nsources: {'s' * 99_000}\n")
    assert all(len(fault.message) < 600 for fault in faults_of(path))


@pytest.mark.parametrize("name", ["", ".", "no/such/folder/x.yaml", "x" * 5000, "a\0b"])
def test_name_of_no_file_is_a_fault(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(faults_of(Path(name))) == 1


def test_misspelt_file_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "baseline.yaml").write_text("name: x\n")
    (fault,) = faults_of(tmp_path / "basline.yaml")
    assert "no such file. Did you mean" in fault.message
    assert "baseline.yaml" in fault.message


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_file_that_may_not_be_read_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("name: x\n")
    path.chmod(0)
    (fault,) = faults_of(path)
    assert "can't be read" in fault.message


def test_long_chain_of_extends_ends(tmp_path: Path) -> None:
    for k in range(20):
        (tmp_path / f"{k}.yaml").write_text(f"extends: {k + 1}.yaml\n")
    (fault,) = faults_of(tmp_path / "0.yaml")
    assert "more than 8 files extend each other" in fault.message


def test_circle_of_extends_ends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    (fault,) = faults_of(tmp_path / "a.yaml")
    assert Path(fault.file).name == "b.yaml"
    assert "'a.yaml' extends this file in turn" in fault.message


@pytest.mark.parametrize("text", ["\ud800", "name: \ud800", "name: x\x00"])
def test_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        load_text(text)


# --- every fault at once, each where it stands ------------------------------------------------------------------------


def test_fault_of_shape_does_not_hide_a_fault_of_names() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("size: 3, selling_time: 35%", "size: many, selling_time: 35%")  # shape
    text = text.replace("team: closer, effort", "team: closr, effort")  # a name
    text = text.replace("on: quote -> customer, odds: x1.8", "on: quote -> custmer, odds: x1.8")  # a name in an effect
    with pytest.raises(InputError) as caught:
        load_text(text, HERE)
    assert [fault.path for fault in caught.value.faults] == [
        "teams.sdr.size",
        "stages.quote.work.team",
        "effects.0.on",
    ]


def test_one_fault_makes_no_others_of_its_own() -> None:
    """An attribute that can't be read is one fault, though conditions, cases and deals look at it."""
    text = EXAMPLE.read_text(encoding="utf-8").replace("segment: {smb: 70%,", "segment: {smb: 60%,")
    with pytest.raises(InputError) as caught:
        load_text(text, HERE)
    assert [fault.path for fault in caught.value.faults] == ["attributes.segment"]


def test_fault_deep_in_a_value_has_its_own_line() -> None:
    text = """\
name: x
start: 2026-10-01
horizon: 1 quarter
attributes:
  tier: {a: 50%, b: 50%}
sources:
  web:
    rate:
      2026-10-01: 2 per day
      2026-11-01: 3 per dya
value:
  by: tier
  cases:
    a: 10k
    b:
      lognormal:
        median: 10k
        p90: lots
stages:
  customer: {books: value}
"""
    with pytest.raises(InputError) as caught:
        load_text(text)
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [(10, 7), (18, 9)]


def test_fault_in_a_variant_is_placed_in_the_file_that_made_it(tmp_path: Path) -> None:
    example = EXAMPLE.read_text(encoding="utf-8")
    (tmp_path / "base.yaml").write_text(example, encoding="utf-8")
    variant = tmp_path / "variant.yaml"
    variant.write_text("extends: base.yaml\nname: V\nteams:\n  closer:\n    members:\n      Ana: {skill: -1}\n")
    (fault,) = faults_of(variant)
    assert (Path(fault.file).name, fault.line) == ("variant.yaml", 6)
    assert "skill must be above 0" in fault.message


def test_faults_come_in_the_order_of_the_file() -> None:
    lines = [fault.line for fault in faults_of(HERE / "bad_scenarios" / "several_at_once.yaml")]
    assert lines == sorted(lines)


# --- no input of any kind gives anything but an InputError ------------------------------------------------------------

TREE: dict[str, Any] = parse(EXAMPLE.read_text(encoding="utf-8"), "example").tree


def all_paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, child in children for found in all_paths(child, (*path, key)))]


PATHS = all_paths(TREE)[1:]
TEXTS = [
    "", " ", "5 days", "45%", "-3 h", "a to b", "2 to 1", "0 to 1", " to ", "x1.8", "/0", "/", "+", "1e400",
    "1 per day", "1 per", " each", "% of value", "value", "2026-10-01", "9999-12-31", "0001-01-01", "stays", "lost",
    "quote", "->", "quote -> customer", "first ²", "last 0", "Mon-Fri-Sun", "over 3", "under ", "until x", "\0",
    "1e-300 to 1e300",
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**30), 0, -1])
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(max_size=12)
)
FIGURES = st.sampled_from(
    ["mean", "sd", "cv", "median", "p90", "low", "high", "scale", "loc", "a", "c", "n", "p", "mu"]
)
NAMES = st.sampled_from(["gamma", "expon", "norm", "t", "poisson", "nbinom", "uniform", "triangular", "quantiles"])
DISTRIBUTIONS = st.dictionaries(NAMES, st.dictionaries(FIGURES, SCALARS, max_size=3) | SCALARS, min_size=1, max_size=1)
KEYS = st.sampled_from(
    ["by", "cases", "file", "column", "python", "empirical", "deals", "first", "name", "extends", "<<"]
)
JUNK = st.recursive(
    SCALARS | DISTRIBUTIONS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(PATHS), junk=JUNK)
def test_junk_anywhere_gives_input_errors_only(path: tuple[Any, ...], junk: Any) -> None:
    tree = copy.deepcopy(TREE)
    node: Any = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = junk
    try:
        scenario = from_tree(tree, HERE)
    except InputError:
        return
    assert load_text(scenario.to_yaml(), HERE).spec == scenario.spec
    compile_plan(settle(scenario.spec, 1, 0))  # whatever passes the checks can be run and told
    assert describe(scenario.spec, scenario.warnings)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    at=st.integers(0, 10_000),
    cut=st.integers(0, 30),
    put=st.text(alphabet=st.sampled_from("{}[]:,-#&*!|>'\"%@` \n\tx1")),
)
def test_damaged_text_gives_input_errors_only(at: int, cut: int, put: str) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    at %= len(text)
    with contextlib.suppress(InputError):
        load_text(text[:at] + put + text[at + cut :], HERE)


@settings(max_examples=100)
@given(junk=JUNK)
@example(junk={"empirical": {"file": None}})
def test_junk_instead_of_a_scenario_gives_input_errors_only(junk: Any) -> None:
    with pytest.raises(InputError):
        from_tree({"name": junk} if not isinstance(junk, dict) else junk, HERE)


@pytest.mark.parametrize("junk", [b"x", {1, 2}, object(), 1j])
def test_what_has_no_place_in_a_file_is_refused(junk: Any) -> None:
    with pytest.raises(InputError, match="has no place in a scenario"):
        from_tree({**TREE, "name": junk})


def test_tree_that_holds_itself_is_refused() -> None:
    tree = copy.deepcopy(TREE)
    tree["sources"]["inbound"]["rate"] = tree
    with pytest.raises(InputError, match="nested deeper"):
        from_tree(tree)
