"""What each part of the embedded fleet inherits."""

import sys
from pathlib import Path

import pytest

from leverframe.embedded import Part, environment

NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/ours",
    "LEVERFRAME_CONFIG": "/etc/leverframe.toml",
    "LEVERFRAME_HOME": "/srv/leverframe",
    "LEVERFRAME_TELEMETRY__LOG_LEVEL": "debug",
}
SECRET = {
    "LEVERFRAME_CHANGES__GITHUB__TOKEN": "s1",
    "leverframe_changes__github__token": "s2",
    "LEVERFRAME_CHANGES": '{"github": {"token": "s3"}}',
    "LEVERFRAME_STORE__URL": "postgresql+psycopg://me:s4@db/leverframe",
    "LEVERFRAME_GATEWAY__SENTRY_WEBHOOK_SECRET": "s5",
    "LEVERFRAME_GATEWAY__SENTRY_KEYS__1": "s6",
    "LEVERFRAME_TELEMETRY__SENTRY_DSN": "https://s7@sentry.example/1",
    "LEVERFRAME_TELEMETRY": '{"sentry_dsn": "https://s8@sentry.example/1"}',
    "GITHUB_TOKEN": "s9",
    "AWS_SECRET_ACCESS_KEY": "s10",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s11",
    "A_SECRET_THAT_NOBODY_HAS_HEARD_OF": "s12",
}
ENGINE = {"LEVERFRAME_TEMPORAL__API_KEY": "k", "leverframe_temporal__address": "127.0.0.1:7300"}
DELIVERY = {"LEVERFRAME_DELIVERY__PRODUCTION_PORT": "9411", "SSH_AUTH_SOCK": "/run/agent"}
ALL = NEEDED | SECRET | ENGINE | DELIVERY


@pytest.mark.parametrize(("part", "own"), [("sandbox", ENGINE), ("router", DELIVERY)])
def test_a_part_near_repository_code_inherits_what_it_needs_and_no_secret(
    part: str, own: dict[str, str]
) -> None:
    assert environment(part, ALL) == NEEDED | own


def test_the_part_that_runs_build_commands_inherits_what_is_named_for_them_besides() -> None:
    ours = ALL | {"DOCKER_CONFIG": "/etc/docker", "LEVERFRAME_BUILDER__REGISTRIES": "s13"}
    named = {"DOCKER_CONFIG": "/etc/docker"}
    assert environment("build", ours, named=["DOCKER_CONFIG"]) == NEEDED | ENGINE | named


@pytest.mark.parametrize("part", ["hands", "gateway", "temporal"])
def test_a_part_that_holds_credentials_inherits_all(part: str) -> None:
    assert environment(part, ALL) == ALL


async def test_a_part_runs_with_its_own_variables_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s")
    command = (sys.executable, "-c", "import os; print('GITHUB_TOKEN' in os.environ, os.environ['HOME'])")
    part = Part("sandbox", command, tmp_path / "log", environment={"HOME": "/home/me"})
    assert await (await part.start()).wait() == 0
    assert part.tail() == "False /home/me"
