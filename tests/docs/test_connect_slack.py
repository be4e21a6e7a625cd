"""The page about Slack and the app's manifest say what the code does."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from activities.backends.slack_api import NEEDED
from leverframe.settings import Settings, load
from policies.documents import People, read_people

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/connect-slack.md").read_text()
MANIFEST = YAML(typ="safe").load((ROOT / "deploy/slack-app.yml").read_text())


def block(language: str) -> str:
    """The page's only code block in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The page's settings, and nothing of the machine's."""
    (tmp_path / "slack.toml").write_text(block("toml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(tmp_path / "slack.toml"))
    return load()


def test_the_settings_can_be_used_and_are_about_the_people_of_the_page(declared: Settings) -> None:
    people = read_people(block("yaml"))
    assert isinstance(people, People)
    (group,) = people.groups
    assert declared.chat.backends == ("slack", "terminal")
    assert set(declared.chat.slack.channels) == {group.name}
    assert {account.team for person in group.members for account in person.slack} == {
        declared.chat.slack.team
    }


def test_the_variables_of_the_secrets_are_settings(
    declared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = re.findall(r"\| `(LEVERFRAME_\w+)` \|", PAGE)
    assert len(named) == 3
    for variable in named:
        monkeypatch.setenv(variable, "xoxb-1")
    slack = load().chat.slack
    secrets = (slack.bot_token, slack.signing_secret, slack.app_token)
    assert [each.get_secret_value() for each in secrets if each] == ["xoxb-1"] * 3


def test_the_app_asks_for_what_the_backend_needs_and_no_more() -> None:
    assert MANIFEST["oauth_config"] == {"scopes": {"bot": sorted(NEEDED)}}
    assert "event_subscriptions" not in MANIFEST["settings"]
    assert all(f"| {scope} |" in PAGE for scope in NEEDED)


def test_the_app_sends_interactions_where_the_gateway_takes_them() -> None:
    interactivity = MANIFEST["settings"]["interactivity"]
    assert interactivity["is_enabled"]
    assert interactivity["request_url"].endswith("/slack/interactions")
