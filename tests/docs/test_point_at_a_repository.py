"""The page for platform teams says what the code does."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from activities.backends.github_account import NEEDED, NEEDED_BY_CHECKS, NEEDED_BY_ISSUES, NEEDED_BY_QUEUE
from leverframe.gateway.github import EVENTS
from leverframe.settings import Settings, load

ALL = {**NEEDED, **NEEDED_BY_QUEUE, **NEEDED_BY_CHECKS, **NEEDED_BY_ISSUES}
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/point-at-a-repository.md").read_text()
BLOCKS = [re.sub(r"(?m)^ {3}", "", block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def _settings(clean: pytest.MonkeyPatch, path: Path, *blocks: str) -> Settings:
    path.write_text("\n".join(blocks))
    clean.setenv("LEVERFRAME_CONFIG", str(path))
    return load()


def test_the_declared_repository_can_be_used(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _settings(clean, tmp_path / "plain.toml", BLOCKS[0]).repository("shop").target == "main"


def test_the_settings_for_github_can_be_used(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    declared = BLOCKS[1][BLOCKS[1].index("[changes]") :]
    settings = _settings(clean, tmp_path / "github.toml", BLOCKS[0], declared)
    assert settings.changes.backend == "github"
    assert settings.changes.github.owner_repo == {"shop": "acme/shop"}
    assert tomllib.loads(BLOCKS[1])["repositories"][0]["url"].startswith("https://github.com/")


def test_the_app_asks_for_what_the_backend_needs_and_no_more() -> None:
    manifest = YAML(typ="safe").load((ROOT / "deploy/github-app.yml").read_text())
    assert manifest["default_permissions"] == ALL


def test_the_app_hears_of_what_the_gateway_knows_and_no_more() -> None:
    manifest = YAML(typ="safe").load((ROOT / "deploy/github-app.yml").read_text())
    assert sorted(manifest["default_events"]) == sorted(EVENTS)


@pytest.mark.parametrize("permission", sorted(ALL))
def test_each_permission_is_explained(permission: str) -> None:
    assert f"| {permission.replace('_', ' ')}: {ALL[permission]} |" in PAGE
