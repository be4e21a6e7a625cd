"""The embedded fleet, whole: it comes up, survives the death of a part, and stops without a trace."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leverframe.demo.stage import Stage
from leverframe.embedded import check_ports
from leverframe.model.errors import Conflict
from leverframe.settings import Settings

PARTS = {"temporal", "router", "gateway", "hands", "sandbox"}
SECONDS = 150


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    before = os.environ.get("LEVERFRAME_CONFIG")
    stage = Stage(home=tmp_path / "home")
    stage.prepare()
    yield stage
    if before is None:
        del os.environ["LEVERFRAME_CONFIG"]


@pytest.fixture
def fleet(stage: Stage) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "leverframe", "up"], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _ready(fleet: subprocess.Popen[str]) -> list[str]:
    """The lines printed until everything is ready."""
    assert fleet.stdout is not None
    lines = []
    for line in fleet.stdout:
        lines.append(line.strip())
        if line.startswith("Ready"):
            break
    return lines


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _doctor(stage: Stage) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "leverframe", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    return {finding["part"]: finding["colour"] for finding in json.loads(done.stdout)}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_fleet_comes_up_heals_and_stops(stage: Stage, fleet: subprocess.Popen[str]) -> None:
    """Only what its settings leave out is yellow, a killed worker is replaced, a second fleet is refused,
    nothing stays."""
    assert any(stage.ui_url in line for line in _ready(fleet))
    first = stage.pids()
    assert set(first) == PARTS
    assert {part: colour for part, colour in _doctor(stage).items() if colour != "green"} == {
        "marker": "yellow",
        "single tests": "yellow",
    }

    killed = stage.kill("hands")
    _until(lambda: stage.pids().get("hands") not in (killed, None))

    second = subprocess.run(
        [sys.executable, "-m", "leverframe", "up"], capture_output=True, text=True, check=False
    )
    assert second.returncode == 5
    assert "another `leverframe up` runs" in second.stderr

    last = stage.pids()
    fleet.send_signal(signal.SIGTERM)
    assert fleet.wait(SECONDS) == 0
    assert not any(_alive(pid) for pid in last.values())
    assert stage.pids() == {}
    check_ports(stage.settings)


def test_a_port_that_is_taken_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gateway = settings.gateway.model_copy(update={"port": port})
        with pytest.raises(Conflict, match=rf"port {port} is in use: .* set gateway\.port"):
            check_ports(settings.model_copy(update={"gateway": gateway}))
