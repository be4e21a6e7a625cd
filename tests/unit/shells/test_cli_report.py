"""`leverframe report dora`, as a script and as a person meet it."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from activities.backends.deployments_store import DeploymentsStore
from activities.backends.store_sql import open_store
from leverframe.cli.main import app
from leverframe.model.errors import BadInput, NotFound
from tests.fakes.deployment_history import HISTORY, MONDAY, at

TEN_DAYS = ("--since", MONDAY.isoformat(), "--until", at(10).isoformat())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "leverframe.toml").write_text('home = "home"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
    return tmp_path


def dora(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", "dora", *arguments])


def kept(home: Path) -> None:
    engine = open_store(f"sqlite:///{home}/home/store.db")
    book = DeploymentsStore(engine)
    for record in HISTORY.deployments:
        book.keep(record)
    for moved in HISTORY.repointings:
        book.keep_repointing(moved)
    engine.dispose()


def test_an_empty_store_is_no_error_and_no_zero(home: Path) -> None:
    found = json.loads(dora("--json").stdout)
    assert found["services"] == []
    assert found["total"]["change_failure_rate"]["all"]["ppm"] is None
    told = dora()
    assert told.exit_code == 0
    assert "not enough data" in told.stdout


def test_the_figures_are_printed_for_a_script_and_for_a_person(home: Path) -> None:
    kept(home)
    found = json.loads(dora(*TEN_DAYS, "--json").stdout)
    shop, till = found["services"]
    assert (shop["service"], till["service"]) == ("shop", "till")
    assert shop["deployment_frequency"]["per_day"] == "0.600"
    assert shop["lead_time"]["from_commit"]["median"] == "PT1H20M"
    assert shop["change_failure_rate"]["all"]["ppm"] == 428_571
    assert [each["figure"] for each in found["definitions"]] == [
        name for name in shop if name not in ("service", "known_from", "weeks")
    ][:5]
    assert all(each["source"].startswith("https://dora.dev/") for each in found["definitions"])
    told = dora(*TEN_DAYS, "--service", "shop").stdout
    assert "42.9 %" in told
    assert "till" not in told


def test_the_days_count_back_from_the_end(home: Path) -> None:
    kept(home)
    found = json.loads(dora("--until", at(10).isoformat(), "--days", "2", "--json").stdout)
    assert found["since"] == (at(10) - timedelta(days=2)).isoformat().replace("+00:00", "Z")
    assert found["total"]["deployment_frequency"]["deployments"] == 1


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("--since", "yesterday"), BadInput, "is not a time"),
        (("--since", "2026-11-02T00:00:00"), BadInput, "has no time zone"),
        (("--since", at(9).isoformat(), "--until", at(8).isoformat()), BadInput, "nothing lies between"),
        (("--service", "nosuch"), NotFound, "no service 'nosuch'"),
    ],
)
def test_what_a_person_typed_wrong_is_named(
    home: Path, arguments: tuple[str, ...], error: type[Exception], said: str
) -> None:
    done = dora(*arguments)
    assert isinstance(done.exception, error)
    assert said in str(done.exception)
