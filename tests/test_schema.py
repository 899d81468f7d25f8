import json
from pathlib import Path

import jsonschema
import pytest

from simfunnel.scenario import schema as schema_module
from simfunnel.scenario.documents import parse
from simfunnel.scenario.schema import reference, schema

ROOT = Path(__file__).parents[1]
SHIPPED = sorted([*ROOT.glob("scenarios/**/*.yaml"), *ROOT.glob("simfunnel/templates/*.yaml")])


def test_the_shipped_schema_and_reference_are_those_of_the_code():
    assert json.loads((ROOT / "docs/scenario.schema.json").read_text()) == json.loads(json.dumps(schema()))
    assert (ROOT / "docs/scenario.md").read_text() == reference()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_the_schema_accepts_what_is_shipped(file):
    jsonschema.validate(parse(file.read_text(), file.name).tree, schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [(("stages", "inquiry", "wrok"), {}), (("teams", "reps", "size"), -1), (("horizon",), 3), (("sources",), {})],
)
def test_the_schema_refuses_what_an_editor_should_mark(path, value):
    tree = parse((ROOT / "scenarios/quickstart.yaml").read_text(), "quickstart").tree
    here = tree
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, schema())


def _without_words(node, path=""):
    """Every property that has no description."""
    for name, told in node.get("properties", {}).items():
        if "description" not in told:
            yield f"{path}{name}"
    for name, part in node.get("$defs", {}).items():
        yield from _without_words(part, f"{name}.")


def test_every_key_is_documented():
    assert list(_without_words(schema())) == []


def test_shipped_scenarios_name_the_schema_for_editors():
    for file in ROOT.glob("scenarios/**/*.yaml"):
        assert "yaml-language-server: $schema=" in file.read_text().splitlines()[0], file.name


def test_every_key_has_an_example():
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row[0] for row in rows if "`" not in row[-1]] == []


def test_the_examples_of_keys_are_of_keys_that_exist():
    whole = schema()
    parts = {name.removesuffix("Spec").lower(): part for name, part in whole["$defs"].items()} | {"file": whole}
    for part, examples in schema_module._EXAMPLES.items():
        assert set(examples) <= set(parts[part]["properties"]), part


def test_without_its_sources_the_schema_lacks_only_words(monkeypatch):
    def no_source(_):
        raise OSError("could not get source code")

    whole = schema()
    schema_module._texts_under_fields.cache_clear()
    monkeypatch.setattr(schema_module.inspect, "getsource", no_source)
    bare = schema()
    schema_module._texts_under_fields.cache_clear()
    assert bare["properties"].keys() == whole["properties"].keys()
    assert bare["$defs"].keys() == whole["$defs"].keys()
