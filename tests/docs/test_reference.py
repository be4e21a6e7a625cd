"""The reference pages say what the code says."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from leverframe.model.checks import Build, Check
from leverframe.model.topology import (
    CanaryPlan,
    CanaryStep,
    GateRules,
    Infrastructure,
    Probe,
    Repository,
    RolloutPlan,
    RolloutStep,
    Service,
)
from leverframe.settings import Settings, load
from policies.schema import pages

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "leverframe.example.toml"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting of the machine that runs the tests."""
    monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def _names(section: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        yield (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, (*path, name))


def _uncommented(text: str) -> str:
    """The declared repository at the end, which is commented out as a whole."""
    declared = text[text.index("# [[repositories]]") :]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in declared.splitlines())


def test_the_command_line_page_is_current() -> None:
    command = [sys.executable, "-m", "typer", "leverframe.cli.main", "utils", "docs"]
    options = ["--name", "leverframe", "--title", "The command line"]
    page = subprocess.run([*command, *options], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert page.strip() == (ROOT / "docs/reference/cli.md").read_text().strip(), "run `make docs`"


def test_the_schemas_are_current() -> None:
    written = {path.name: path.read_text() for path in (ROOT / "docs/reference").glob("*.schema.json")}
    assert written == pages(), "run `make docs`"


@pytest.mark.parametrize("path", [".".join(path) for path in _names(Settings) if path != ("repositories",)])
def test_every_setting_stands_in_the_example_under_its_table(path: str) -> None:
    *tables, name = path.split(".")
    table, found = "", set()
    for line in EXAMPLE.read_text().splitlines():
        if header := re.match(r"^\[([a-z_.]+)\]$", line):
            table = header[1]
            found.add(table)
        elif key := re.match(r"^(?:# )?([a-z_]+) = ", line):
            found.add(f"{table}.{key[1]}".lstrip("."))
    known = ".".join((*tables, name))
    assert known in found or any(entry.startswith(f"{known}.") for entry in found)


def test_the_example_is_the_defaults(clean: pytest.MonkeyPatch) -> None:
    defaults = load()
    clean.setenv("LEVERFRAME_CONFIG", str(EXAMPLE))
    assert load() == defaults


def test_the_example_declares_a_repository_that_can_be_used(
    clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "declared.toml"
    config.write_text(_uncommented(EXAMPLE.read_text()))
    clean.setenv("LEVERFRAME_CONFIG", str(config))
    assert load().repository("shop").service.canary.steps[-1].percent == 100


def test_the_example_shows_what_the_gate_promises_unless_told() -> None:
    [repository] = tomllib.loads(_uncommented(EXAMPLE.read_text()))["repositories"]
    assert GateRules.model_validate(repository["service"]["canary"]["gate"]) == GateRules()


@pytest.mark.parametrize(
    "model",
    [
        Repository,
        Build,
        Check,
        Infrastructure,
        Service,
        Probe,
        CanaryPlan,
        CanaryStep,
        RolloutPlan,
        RolloutStep,
    ],
)
def test_the_declared_repository_shows_every_field(model: type[BaseModel]) -> None:
    declared = tomllib.loads(_uncommented(EXAMPLE.read_text()))
    shown: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            shown.update(value)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(declared)
    assert set(model.model_fields) <= shown
