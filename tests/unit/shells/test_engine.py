"""The embedded engine's command line."""

from itertools import pairwise
from pathlib import Path

import pytest

from leverframe.engine import server_command
from leverframe.model.errors import BadConfiguration
from leverframe.settings import Settings, TemporalSettings
from workflows.attributes import ALL


def _settings(home: Path, **temporal: str) -> Settings:
    return Settings(home=home, temporal=TemporalSettings(**temporal))  # type: ignore[arg-type]


def _given(command: tuple[str, ...], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]


def test_the_engine_listens_on_loopback_at_the_ports_of_the_settings(tmp_path: Path) -> None:
    command = server_command(
        _settings(tmp_path, address="localhost:7300", ui_url="http://127.0.0.1:7301", namespace="fleet")
    )
    assert _given(command, "--ip") == ["127.0.0.1"]
    assert _given(command, "--port") == ["7300"]
    assert _given(command, "--ui-port") == ["7301"]
    assert _given(command, "--namespace") == ["fleet"]


def test_the_engine_keeps_its_data_on_a_file_in_the_home(tmp_path: Path) -> None:
    command = server_command(_settings(tmp_path))
    assert _given(command, "--db-filename") == [str(tmp_path / "temporal.db")]
    assert "journal_mode=wal" in _given(command, "--sqlite-pragma")


def test_the_engine_starts_with_every_search_attribute(tmp_path: Path) -> None:
    registered = _given(server_command(_settings(tmp_path)), "--search-attribute")
    assert registered == [f"{key.name}=Keyword" for key in ALL]


@pytest.mark.parametrize("address", ["temporal.example:7233", "10.0.0.1:7233", "127.0.0.1", "127.0.0.1:x"])
def test_an_engine_elsewhere_is_never_started_here(tmp_path: Path, address: str) -> None:
    with pytest.raises(BadConfiguration, match="starts its own engine"):
        server_command(_settings(tmp_path, address=address))
