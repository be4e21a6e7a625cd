"""What the plugin is told of the run that it is in."""

import pytest


@pytest.fixture(autouse=True)
def of_a_known_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SHA": "c0ffee", "BRANCH": "main", "RUN": "7", "JOB": "unit"}.items():
        monkeypatch.setenv(f"LEVERFRAME_{name}", value)
