"""The page for people on GitLab says what the code does."""

import re
import typing
from pathlib import Path

import pytest

from activities.backends.gitlab_account import SCOPE
from leverframe.model.checks import Check
from leverframe.model.trains import NativeRemoved
from leverframe.settings import load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/point-at-gitlab.md").read_text()
FIRST = (ROOT / "docs/how-to/point-at-a-repository.md").read_text()


def blocks(page: str) -> list[str]:
    return [re.sub(r"(?m)^ {3}", "", block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]


def test_the_settings_can_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, check = blocks(PAGE)
    path = tmp_path / "gitlab.toml"
    path.write_text("\n".join((blocks(FIRST)[0], told[told.index("[changes]") :])))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(path))
    changes = load().changes
    assert (changes.backend, changes.gitlab.projects) == ("gitlab", {"shop": "acme/platform/shop"})
    fields = dict(re.findall(r'(?m)^(\w+) = "([^"]*)"', check))
    assert Check.model_validate(fields).context == "rspec"


def test_the_scope_and_every_reason_are_explained() -> None:
    assert f"| {SCOPE} |" in PAGE
    reasons = typing.get_args(NativeRemoved.model_fields["reason"].annotation)
    assert [reason for reason in reasons if f"| `{reason}` |" not in PAGE] == []
