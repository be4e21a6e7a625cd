"""`docker-compose.yml` and `Dockerfile`, read as files: no engine runs in the tests."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from leverframe.cli.main import app
from leverframe.settings import Settings
from workflows import attributes

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {
    name
    for service in SERVICES.values()
    for name, depends in service.get("depends_on", {}).items()
    if depends["condition"] == "service_completed_successfully"
}
"""Services that run once; `up --wait` waits for their end."""
OURS = {name for name, service in SERVICES.items() if service["image"] == "leverframe:local"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_parts_of_the_fleet_are_all_there() -> None:
    assert set(SERVICES) - JOBS == {
        "postgres", "temporal", "temporal-ui", "gateway", "hands", "sandbox", "flagd",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(SERVICES) - JOBS))
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", sorted(OURS))
def test_python_in_a_health_check_compiles(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[1:3] == ["python", "-c"]
    compile(test[3], name, "exec")


@pytest.mark.parametrize("name", sorted(OURS - {"flagd"}))
def test_every_command_of_ours_is_one_of_the_command_line(name: str) -> None:
    word, *arguments = SERVICES[name]["command"]
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), word)  # type: ignore[attr-defined]
    assert command is not None
    context = command.make_context(word, list(arguments))
    if word == "worker":
        assert context.params["queue"] == name


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_have_no_capability_and_a_read_only_root(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["read_only"] is True
    assert "privileged" not in SERVICES[name]


def test_the_sandbox_has_no_credential_and_no_way_out() -> None:
    sandbox = SERVICES["sandbox"]
    assert set(sandbox["environment"]) == {
        "LEVERFRAME_CONFIG",
        "LEVERFRAME_TEMPORAL__ADDRESS",
        "LEVERFRAME_TEMPORAL__UI_URL",
        "LEVERFRAME_TELEMETRY__METRICS_PORT",
    }
    assert all(COMPOSE["networks"][network].get("internal") for network in sandbox["networks"])
    assert "postgres" not in {
        name for name in SERVICES if set(SERVICES[name]["networks"]) & set(sandbox["networks"])
    }
    assert sandbox["volumes"] == [
        "artifacts:/var/lib/leverframe/artifacts:ro",
        "reports:/var/lib/leverframe/reports",
    ]
    assert not {"secrets", "ports", "env_file"} & set(sandbox)
    assert "no-new-privileges:true" in sandbox["security_opt"]


def test_only_the_sandbox_gives_up_a_profile() -> None:
    assert [name for name, service in SERVICES.items() if "security_opt" in service] == ["sandbox"]


def test_ports_are_published_on_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", sorted(OURS - {"flagd"}))
def test_every_variable_is_a_setting(name: str) -> None:
    """A misspelt variable would be ignored or refused at start, far from here."""
    for variable in SERVICES[name]["environment"]:
        if variable == "LEVERFRAME_CONFIG":
            continue
        path = variable.removeprefix("LEVERFRAME_").lower().split("__")
        fields = Settings.model_fields
        for part in path:
            assert part in fields, variable
            fields = getattr(fields[part].annotation, "model_fields", {})


def test_the_search_attributes_that_are_registered_are_those_we_use() -> None:
    script = SERVICES["temporal-setup"]["command"][0]
    names = re.search(r"for name in ([A-Za-z ]+);", script)
    assert names is not None
    assert names[1].split() == [key.name for key in attributes.ALL]


def test_images_are_pinned_to_a_version() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"leverframe:local"}
    images |= set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert all(re.search(r":v?\d", image) for image in images), images


def test_the_image_runs_as_an_ordinary_user_with_hashed_requirements() -> None:
    instructions = re.sub(r"\\\n", " ", DOCKERFILE)
    assert re.findall(r"^USER (\w+)", instructions, re.MULTILINE)[-1] == "leverframe"
    for line in re.findall(r"^RUN .*pip install.*", instructions, re.MULTILINE):
        assert "--require-hashes" in line
    assert {"bubblewrap", "git"} <= set(re.findall(r"[a-z-]+", instructions))


def test_everything_the_image_copies_is_in_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in ignored


@pytest.mark.skipif("LEVERFRAME_TEST_COMPOSE" not in os.environ, reason="names no docker-compose binary")
def test_the_real_parser_accepts_the_file() -> None:
    """`LEVERFRAME_TEST_COMPOSE` is the path of a Docker Compose binary; it needs no engine for this."""
    done = subprocess.run(
        [os.environ["LEVERFRAME_TEST_COMPOSE"], "-f", str(ROOT / "docker-compose.yml"), "config", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
