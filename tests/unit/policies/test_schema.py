"""JSON Schemas: they take what we take, so that an editor helps and does not mislead."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from policies.schema import pages, schemas

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = ROOT / "policies" / "defaults"


def complaints(name: str, data: object) -> list[str]:
    """What the schema has against the data."""
    return [error.json_path for error in Draft202012Validator(schemas()[name]).iter_errors(data)]


def plain(text: str) -> Any:
    """YAML as an editor hands it to a schema."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))


@pytest.mark.parametrize("name", ["policy", "people", "proposal", "usage"])
def test_each_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schemas()[name])
    assert json.loads(pages()[f"{name}.schema.json"]) == schemas()[name]


@pytest.mark.parametrize("file", sorted(DEFAULTS.rglob("*.yaml")), ids=lambda file: file.name)
def test_the_shipped_files_satisfy_the_schema_that_they_name(file: Path) -> None:
    first, *_ = file.read_text().splitlines()
    _, _, target = first.partition("$schema=")
    named = (file.parent / target).resolve()
    assert named.is_relative_to(ROOT / "docs" / "reference")
    assert named.is_file()
    assert complaints(named.name.partition(".")[0], plain(file.read_text())) == []


HEAD = {"version": 1, "layer": "org", "autonomy": "act", "kill_switch": False}


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"kill_switch": "no"}, "$.kill_switch"),
        ({"limts": []}, "$"),
        ({"limits": [{"id": "a", "max": -1, "window": "1h"}]}, "$.limits[0].max"),
        ({"limits": [{"id": "a", "max": 1, "window": "1 hour"}]}, "$.limits[0].window"),
        ({"levers": {"rm_rf": {}}}, "$.levers"),
        ({"autonomy": "full"}, "$.autonomy"),
    ],
)
def test_a_mistake_is_marked_where_it_stands(more: dict[str, object], place: str) -> None:
    assert complaints("policy", HEAD) == []
    assert complaints("policy", HEAD | more) == [place]


def test_what_is_left_out_is_shown_as_a_file_would_write_it() -> None:
    escalation = schemas()["policy"]["$defs"]["Escalation"]["properties"]
    assert (escalation["remind_after"]["default"], escalation["escalate_after"]["default"]) == ("15m", "1h")


def test_an_editor_shows_what_a_key_means() -> None:
    limit = schemas()["policy"]["$defs"]["Limit"]["properties"]
    assert "Effects, money" in limit["unit"]["description"]
