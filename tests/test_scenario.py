"""Reading scenarios: variants, overrides, data files, YAML's rules, and the way back to a file."""

from __future__ import annotations

import copy
import pickle
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfunnel.distributions import Distribution
from simfunnel.errors import InputError
from simfunnel.plan import compile_plan
from simfunnel.scenario import Scenario, from_tree, load, load_text
from simfunnel.scenario.documents import dump, parse, plain
from simfunnel.scenario.fields import Shares
from simfunnel.scenario.variants import merge
from simfunnel.units import Span, Uncertain
from tests.helpers import toy

HERE = Path(__file__).parent
EXAMPLE = load(HERE / "example.yaml")
SMALL = """\
name: Small
start: 2026-10-01
horizon: 1 quarter
sources:
  web: {rate: 2 per day}
  referral: {}
value: {lognormal: {median: 10k, p90: 40k}}
teams:
  closer:
    selling_time: 50%
    members:
      - {name: Ana, skill: 1.2}
      - {name: Ben}
stages:
  quote:
    work: {team: closer, effort: 2 h}
    exits:
      customer: {chance: 30%, after: {gamma: {mean: 5 days, cv: 0.9}}}
      lost: {after: 20 days}
  customer:
    books: value
effects:
  - {when: {source: referral}, on: quote -> customer, odds: x1.5}
"""


def small(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(SMALL)
    return tmp_path


def variant(tmp_path: Path, text: str, name: str = "variant.yaml") -> Scenario:
    (small(tmp_path) / name).write_text("extends: base.yaml\n" + text)
    return load(tmp_path / name)


# --- variants ---------------------------------------------------------------------------------------------------------


def test_variant_changes_what_it_says_and_keeps_the_rest(tmp_path: Path) -> None:
    found = variant(tmp_path, "name: Faster\nstages:\n  quote:\n    work: {effort: 1 h}\n").spec
    base = load(tmp_path / "base.yaml").spec
    assert found.name == "Faster"
    assert found.stages["quote"].work is not None
    assert found.stages["quote"].work.effort == Distribution("constant", (("value", 1.0),), (), 0.0)
    assert found.stages["quote"].exits == base.stages["quote"].exits
    assert found.teams == base.teams


def test_precedence_is_base_then_file_then_override(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\nhorizon: 2 quarters\ncurrency: EUR\n")
    (tmp_path / "top.yaml").write_text("extends: middle.yaml\nname: Top\noverride: {horizon: 3 quarters}\n")
    found = load(tmp_path / "top.yaml").spec
    assert (found.name, found.currency, found.horizon) == ("Top", "EUR", Span(3.0, "quarter"))


def test_override_of_a_base_lies_under_the_variant(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\noverride: {horizon: 2 quarters}\n")
    (tmp_path / "top.yaml").write_text("extends: middle.yaml\nhorizon: 3 quarters\n")
    assert load(tmp_path / "top.yaml").spec.horizon == Span(3.0, "quarter")


def test_members_are_found_by_name(tmp_path: Path) -> None:
    text = "teams:\n  closer:\n    members:\n      Ana: {skill: 2}\n      Ben:\n      Cleo: {speed: 0.5}\n"
    members = variant(tmp_path, text).spec.teams["closer"].members or ()
    assert [(m.name, m.skill, m.speed) for m in members] == [("Ana", 2.0, None), ("Cleo", None, 0.5)]


def test_items_of_any_list_are_found_by_number(tmp_path: Path) -> None:
    found = variant(tmp_path, "effects:\n  0: {odds: x3}\n").spec.effects
    assert [(e.odds, e.on) for e in found] == [(3.0, ("quote -> customer",))]


def test_lists_replace(tmp_path: Path) -> None:
    assert variant(tmp_path, "effects: [{on: quote, effort: /2}]\n").spec.effects[0].odds is None
    assert variant(tmp_path, "effects: []\n").spec.effects == ()


def test_distributions_replace_and_do_not_mix(tmp_path: Path) -> None:
    found = variant(
        tmp_path,
        "value: {pareto: {b: 3, scale: 1000}}\n"
        "stages:\n  quote:\n    exits:\n      customer: {after: {gamma: {mean: 9 days, sd: 3 days}}}\n",
    ).spec
    assert found.value.cases["other"].name == "pareto"  # type: ignore[union-attr]
    assert dict(found.stages["quote"].exits["customer"].after.params) == {"mean": 9.0, "sd": 3.0}


def test_cases_and_distributions_replace_each_other() -> None:
    drawn, cases = {"lognormal": {"mean": 1, "cv": 1}}, {"by": "source", "cases": {"web": 5, "other": 6}}
    assert merge({"value": drawn}, {"value": cases}) == {"value": cases}
    assert merge({"value": cases}, {"value": drawn}) == {"value": drawn}
    changed = merge({"value": cases}, {"value": {"cases": {"web": 7}}})
    assert changed == {"value": {"by": "source", "cases": {"web": 7, "other": 6}}}


def test_names_that_are_distributions_elsewhere_are_plain_names() -> None:
    """A source or a stage may be called alpha or beta; only where a distribution can stand are they one."""
    base = {"sources": {"alpha": {"rate": "1 per day", "cost": 5}}}
    assert merge(base, {"sources": {"alpha": {"cost": 6}}}) == {"sources": {"alpha": {"rate": "1 per day", "cost": 6}}}


def test_empty_value_takes_away(tmp_path: Path) -> None:
    found = variant(tmp_path, "stages:\n  quote:\n    work:\n").spec
    assert found.stages["quote"].work is None


def test_empty_value_of_something_new_is_empty(tmp_path: Path) -> None:
    """`partner:` with nothing behind it is a source that referrals fill, in a variant as in a base."""
    assert "partner" in variant(tmp_path, "sources:\n  partner:\n").spec.sources


def test_merging_leaves_the_base_as_it_was() -> None:
    base = parse(SMALL, "x").tree
    kept = copy.deepcopy(base)
    merged = merge(base, {"teams": {"closer": {"members": {"Ana": {"skill": 2}}}}, "value": None})
    assert base == kept
    assert merged["teams"]["closer"]["members"][0]["skill"] == 2


def test_files_that_a_base_names_lie_beside_the_base(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "days.csv").write_text("days\n3\n5\n")
    text = SMALL.replace(
        "lost: {after: 20 days}", "lost: {after: {empirical: {file: days.csv, column: days, unit: days}}}"
    )
    (tmp_path / "bases" / "base.yaml").write_text(text)
    (tmp_path / "variant.yaml").write_text("extends: bases/base.yaml\nname: V\n")
    assert load(tmp_path / "variant.yaml").spec.stages["quote"].exits["lost"].after.values == (3.0, 5.0)


# --- override in Python -----------------------------------------------------------------------------------------------


def test_override_by_dotted_path() -> None:
    base = load_text(SMALL)
    found = base.override({"stages.quote.work.effort": "1 h", "horizon": "2 quarters"}, name="Faster")
    assert found.spec.name == "Faster"
    assert found.spec.stages["quote"].work is not None
    assert found.spec.stages["quote"].work.effort.mean() == 1.0
    assert found.spec.horizon == Span(2.0, "quarter")
    assert base.spec.horizon == Span(1.0, "quarter")


@pytest.mark.parametrize(
    ("path", "value", "seen"),
    [
        ("teams.closer.members.Ana.skill", 3, lambda s: s.teams["closer"].members[0].skill),
        ("teams.closer.members.1.skill", 3, lambda s: s.teams["closer"].members[1].skill),
        ("effects.0.odds", 3, lambda s: s.effects[0].odds),
        (("effects", "0", "odds"), 3, lambda s: s.effects[0].odds),
        ("stages.quote.exits.customer.chance", 0.2, lambda s: s.stages["quote"].exits["customer"].chance),
    ],
)
def test_override_reaches_everywhere(path: Any, value: Any, seen: Any) -> None:
    assert seen(load_text(SMALL).override({path: value}).spec) == value


def test_override_with_a_tree_and_with_nothing() -> None:
    base = load_text(SMALL)
    assert base.override({"teams": {"closer": {"members": {"Ben": None}}}}).spec.teams["closer"].members == (
        (base.spec.teams["closer"].members or ())[0],
    )
    assert base.override({"stages.quote.work": None}).spec.stages["quote"].work is None
    assert base.override({}).digest == base.digest


def test_override_adds_what_may_be_there() -> None:
    found = load_text(SMALL).override(
        {"stages.quote.limit": {"after": "90 days"}, "teams.closer.size": 3, "teams.closer.members": None}
    )
    assert found.spec.stages["quote"].limit is not None
    assert found.spec.teams["closer"].size == 3


def test_names_with_dots_are_found_whole() -> None:
    base = load_text(SMALL.replace("  web: {", "  acme.com: {"))
    found = base.override({"sources.acme.com.rate": "5 per day"}).spec.sources["acme.com"].rate
    assert found is not None
    assert found.steps[0][1].per_day == 5.0


def test_override_may_add_what_resembles_something() -> None:
    """`target` is not `start` misspelt, nor a second closer the first; to take away a misspelt one is a fault."""
    found = load_text(SMALL).override({"target": "3M", "teams.closer2": {"size": 1}})
    assert (found.spec.target, list(found.spec.teams)) == (3e6, ["closer", "closer2"])
    with pytest.raises(InputError, match="Did you mean 'closer'"):
        load_text(SMALL).override({"teams.closr": None})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("teams.closr.size", "'closr' is no part of teams; allowed: closer. Did you mean 'closer'?"),
        ("horizn.length", "'horizn' is no part of the scenario"),
        ("horizn", "'horizn' is no key here"),
        ("stages.quote.exits.custmer.chance", "Did you mean 'customer'?"),
        ("teams.closer.members.Anna.skill", "Did you mean 'Ana'?"),
        ("effects.7.odds", "'7' is no part of effects; allowed: 0"),
        ("horizon.length", "'length'"),
        ("", "an override needs the path"),
        ((), "an override needs the path"),
    ],
)
def test_override_that_leads_nowhere(path: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_text(SMALL).override({path: 3})
    assert words in str(caught.value)


def test_override_takes_numpys_numbers_and_dates() -> None:
    found = load_text(SMALL).override(
        {"teams.closer.members.Ana.skill": np.float64(1.5), "start": date(2026, 11, 1), "target": np.int64(7)}
    )
    assert found.spec.start == date(2026, 11, 1)
    assert load_text(found.to_yaml()).spec == found.spec


# --- data files -------------------------------------------------------------------------------------------------------


def with_after(tmp_path: Path, written: str) -> Distribution:
    (tmp_path / "s.yaml").write_text(SMALL.replace("lost: {after: 20 days}", f"lost: {{after: {written}}}"))
    return load(tmp_path / "s.yaml").spec.stages["quote"].exits["lost"].after


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_column_of_a_file_is_data(tmp_path: Path, separator: str) -> None:
    rows = [["id", "days"], ["a", "3"], ["b", ""], ["c", "1.5"], ["d", "3"]]
    (tmp_path / "times.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(separator.join, rows)).encode())
    found = with_after(tmp_path, "{empirical: {file: times.csv, column: days, unit: days}}")
    assert found.values == (1.5, 3.0, 3.0)


def test_column_may_hold_its_units(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("time\n3 days\n12 h\n")
    assert with_after(tmp_path, "{empirical: {file: times.csv, column: time}}").values == (0.5, 3.0)


def test_deals_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "deals.csv").write_text(
        "id,stage,age,value,member,tier,seats\nD1,quote,12,40000,Ana,1,30.5\n17,quote,36 h,,,2,\n,customer,,1e3,,1,7\n"
    )
    text = SMALL.replace("web: {rate: 2 per day}", "open: {deals: {file: deals.csv}}").replace(
        "value:", "attributes: {tier: {1: 40%, 2: 60%}, seats: {poisson: 9}}\nvalue:", 1
    )
    (tmp_path / "s.yaml").write_text(text)
    scenario = load(tmp_path / "s.yaml")
    first, second, third = scenario.spec.sources["open"].deals or ()
    assert (first.id, first.stage, first.age, first.value, first.member) == ("D1", "quote", 12.0, 40000.0, "Ana")
    assert (second.id, second.age, second.value, second.member) == ("17", 1.5, None, None)
    assert (third.id, third.age, third.value) == ("row 3", 0.0, 1000.0)
    assert [str(deal.attributes["tier"]) for deal in (first, second, third)] == ["1", "2", "1"]
    assert first.attributes["seats"] == 30.5
    assert load_text(scenario.to_yaml(), tmp_path).spec == scenario.spec


def test_names_in_a_file_that_look_like_numbers_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "deals.csv").write_text("stage,zip\nquote,007\n")
    text = SMALL.replace("web: {rate: 2 per day}", "open: {deals: {file: deals.csv}}").replace(
        "value:", "attributes: {zip: {007: 40%, 123: 60%}}\nvalue:", 1
    )
    (tmp_path / "s.yaml").write_text(text)
    (deal,) = load(tmp_path / "s.yaml").spec.sources["open"].deals or ()
    assert deal.attributes == {"zip": "007"}


@pytest.mark.parametrize("content", [b"days\n\x00\n", b"\x89PNG\r\n", b"days\n" + b"x" * 200_000, b"", b"days\n"])
def test_file_that_is_no_data_is_one_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "times.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        with_after(tmp_path, "{empirical: {file: times.csv, column: days, unit: days}}")
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].line == 19


def test_faults_of_data_come_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        SMALL.replace("lost: {after: 20 days}", "lost: {after: {empirical: {file: no.csv, column: days}}}").replace(
            "team: closer", "team: closr"
        )
    )
    with pytest.raises(InputError) as caught:
        load(tmp_path / "s.yaml")
    assert [fault.line for fault in caught.value.faults] == [16, 19]


# --- YAML 1.2 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("12:30", "12:30"), ("2026-10-01", "2026-10-01"), ("1_000", "1_000"), ("0x1F", "0x1F"), ("0o17", "0o17"),
        ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("-3", -3), ("+3", 3), ("007", 7), ("-0", 0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("Null", None), ("nil", "nil"),
        ("'true'", "true"), ('"1e3"', "1e3"), (".inf", ".inf"), (".nan", ".nan"), ("=", "="), ("tRue", "tRue"),
    ],
)  # fmt: skip
def test_scalars_are_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = parse(f"x: {text}\n", "f").tree["x"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_texts() -> None:
    assert parse("1: a\non: b\n1.50: c\ntrue: d\n2026-10-01: e\n", "f").tree == {
        "1": "a", "on": "b", "1.50": "c", "true": "d", "2026-10-01": "e",
    }  # fmt: skip


def test_places_are_those_of_keys_and_items() -> None:
    places = parse("a:\n  b: [x, {c: 1}]\n", "f").places
    assert [(places[p].line, places[p].column) for p in [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1, "c")]] == [
        (1, 1),
        (2, 3),
        (2, 7),
        (2, 11),
    ]


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        ["NO", "12:30", "1e3", "null", "~", "", "on", "2026-10-01", ".inf", "1_0", "a: b", "# x", "- x", "'"]
    )
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda name: name != "<<")


@given(
    st.dictionaries(
        NAMES,
        st.recursive(VALUES, lambda x: st.lists(x, max_size=3) | st.dictionaries(NAMES, x, max_size=3), max_leaves=6),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_dumped_is_read_back(tree: dict[str, Any]) -> None:
    found = parse(dump(tree), "f").tree
    assert found == tree
    assert str(found) == str(tree)  # 1 and True, 1 and 1.0 are not the same


def test_dates_words_and_times_need_no_quotes() -> None:
    text = dump({"start": "2026-10-01", "on": "quote -> customer", "answer": "NO", "number": "1e3"})
    assert text == "{start: 2026-10-01, on: quote -> customer, answer: NO, number: '1e3'}\n"


def test_plain_makes_what_a_file_could_have_held() -> None:
    made = plain({1: (np.float64(0.5), np.int64(3), np.bool_(True)), "day": datetime(2026, 10, 1, 12), "n": 10**30})
    assert made == {"1": [0.5, 3, True], "day": "2026-10-01", "n": 1e30}
    assert [type(x) for x in made["1"]] == [float, int, bool]
    assert plain(10**400) == ".inf"


# --- there and back ---------------------------------------------------------------------------------------------------


def test_scenario_survives_the_way_through_a_file() -> None:
    again = load_text(EXAMPLE.to_yaml(), HERE)
    assert again.spec == EXAMPLE.spec
    assert again.digest == EXAMPLE.digest
    assert again.to_yaml() == EXAMPLE.to_yaml()


def test_scenario_survives_the_way_to_a_worker() -> None:
    assert pickle.loads(pickle.dumps(EXAMPLE)).spec == EXAMPLE.spec


def test_digest_is_that_of_what_is_said() -> None:
    """The same on every machine: stored results name it."""
    base = load_text(SMALL)
    assert base.digest == "b6e07587227a57de"
    assert base.override({}, name="Another").digest == base.digest
    assert base.override({"horizon": "2 quarters"}).digest != base.digest
    assert load_text(SMALL.replace("horizon: 1 quarter", "horizon: 1 quarter  # a comment")).digest == base.digest


def test_digest_knows_the_order_of_stages() -> None:
    """A stage later in the file is forward, so the order is part of what is said."""
    stages = load_text(SMALL).tree["stages"]
    turned = {**load_text(SMALL).tree, "stages": dict(reversed(list(stages.items())))}
    turned["sources"]["web"]["enters"] = "quote"
    base = {**load_text(SMALL).tree}
    base["sources"] = turned["sources"]
    assert from_tree(base).digest != from_tree(turned).digest


# --- what is meant ----------------------------------------------------------------------------------------------------


def test_uncertain_numbers_stay_uncertain_everywhere() -> None:
    spec = load_text(
        SMALL.replace("selling_time: 50%", "selling_time: 30% to 40%\n    pay: 4000 to 6000 per month").replace(
            "web: {rate: 2 per day}", "web: {rate: 2 to 3 per day, cost: 1000 to 2000 per month}"
        )
    ).spec
    month = 365.25 / 12
    pay, cost = spec.teams["closer"].pay, spec.sources["web"].cost.per_day
    assert isinstance(pay, Uncertain)
    assert isinstance(cost, Uncertain)
    assert (pay.low, pay.high) == pytest.approx((4000 / month, 6000 / month))
    assert (cost.low, cost.high) == pytest.approx((1000 / month, 2000 / month))
    assert spec.teams["closer"].selling_time == Uncertain(0.3, 0.4, "chance")


def test_weekdays_may_be_ranges() -> None:
    spec = load_text(SMALL.replace("2 per day", "2 per day, weekday: {Mon-Thu: x2, Sat: 0}")).spec
    assert spec.sources["web"].weekday == {0: 2.0, 1: 2.0, 2: 2.0, 3: 2.0, 5: 0.0}


def test_names_may_look_like_numbers() -> None:
    text = SMALL.replace("quote", "1").replace("value: {log", "attributes: {tier: {1: 50%, 2: 50%}}\nvalue: {log")
    text = text.replace("lost: {after: 20 days}", "lost: {after: 20 days, set: {tier: 2}}")
    text = text.replace("{when: {source: referral}", "{when: {tier: 1}")
    spec = load_text(text).spec
    assert isinstance(spec.attributes["tier"].cases["other"], Shares)
    assert str(spec.stages["1"].exits["lost"].set["tier"]) == "2"


def test_end_may_resemble_a_stage_by_meaning() -> None:
    """`disqualified` is an end beside the stage `qualified`, though one is in the other."""
    text = SMALL.replace("quote", "qualified").replace("lost: {", "disqualified: {")
    assert load_text(text).spec.ends == ("disqualified",)


def test_warnings_are_no_faults() -> None:
    found = load_text(SMALL.replace("    books: value\n", "    exits: {}\n")).warnings
    assert any("no stage books anything" in text for text in found)
    assert any("'referral' brings nobody" in text for text in found)


def test_the_stock_of_an_end_that_is_not_named() -> None:
    """A limit leads to `lost` unless it says otherwise; so how many are lost can be looked at."""
    scenario = toy(
        stages={"lead": {"limit": {"after": "9 days"}}},
        effects=[{"on": "lead", "time": "x2", "when": {"in lost": "over 5"}}],
    )
    assert compile_plan(scenario.spec).stocks.tolist() == [1]


def test_what_stands_twice_in_a_tree_is_written_twice() -> None:
    part = {"after": {"quantiles": {"0%": 1, "100%": 2}}}
    tree = {"one": part, "other": part}
    assert parse(dump(tree), "file").tree == tree
