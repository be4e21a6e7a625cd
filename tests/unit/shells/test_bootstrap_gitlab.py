"""GitLab is put together from the settings, and its token goes to its own host only."""

from base64 import b64decode
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from activities.backends.changes_gitlab import GitlabChanges
from activities.backends.checks_gitlab import GitlabChecks
from activities.backends.gitlab_account import GitlabAccount
from activities.backends.queue_gitlab import GitlabQueue
from leverframe import backends, forges
from leverframe.model.errors import BadConfiguration
from leverframe.settings import ChangesSettings, GithubSettings, GitlabSettings, Settings
from tests.fakes.gitlab_setup import declared

GITLAB = GitlabSettings(projects={"shop": "acme/platform/shop"}, token=SecretStr("glpat-x"))


def settings_with(home: Path, **changes: object) -> Settings:
    chosen = ChangesSettings.model_validate({"gitlab": GITLAB} | changes)
    return Settings(home=home, changes=chosen, repositories=(declared("shop"),))


def test_every_port_of_gitlab_is_built_from_one_section(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, backend="gitlab")
    assert isinstance(forges.build_changes(settings), GitlabChanges)
    assert isinstance(forges.build_checks(settings), GitlabChecks)
    assert isinstance(forges.build_queue(settings), GitlabQueue)
    for kind in ("changes", "checks", "queue"):
        assert backends.backend(kind, "gitlab").scopes == ("api",)


def test_a_forge_that_keeps_no_changes_has_no_checks_and_no_queue(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, backend="store")
    assert (forges.build_checks(settings), forges.build_queue(settings)) == (None, None)


@pytest.mark.parametrize(
    ("gitlab", "said"),
    [
        (GitlabSettings(projects=GITLAB.projects), "give a token with the scope api"),
        (GitlabSettings(token=GITLAB.token), "no entry for the repository 'shop'"),
        (GITLAB.model_copy(update={"api_url": "http://gitlab.com/api/v4"}), "must be https"),
        (GITLAB.model_copy(update={"api_url": "https://gitlab.com"}), "must be https"),
        (GITLAB.model_copy(update={"api_url": "https://glpat-x@gitlab.com/api/v4"}), "must be https"),
    ],
)
def test_settings_that_can_not_be_used_are_named_without_the_token(
    tmp_path: Path, gitlab: GitlabSettings, said: str
) -> None:
    with pytest.raises(BadConfiguration, match=said) as caught:
        forges.build_changes(settings_with(tmp_path, backend="gitlab", gitlab=gitlab))
    assert "glpat-x" not in str(caught.value)


@pytest.mark.parametrize("path", ["shop", "/acme/shop", "acme/", "acme/../shop", "acme/shop?x", "acme//shop"])
def test_a_project_is_named_by_its_path_with_its_groups(path: str) -> None:
    with pytest.raises(ValidationError):
        GitlabSettings(projects={"shop": path})


@pytest.mark.parametrize(
    ("api_url", "address"),
    [
        ("https://gitlab.com/api/v4", "https://gitlab.com/"),
        ("https://git.acme.com:8443/gitlab/api/v4/", "https://git.acme.com:8443/gitlab/"),
    ],
)
def test_git_gets_the_token_for_the_place_of_the_api_only(api_url: str, address: str) -> None:
    login = GitlabAccount(SecretStr("glpat-x"), api_url=api_url).git_login()
    [(name, value)] = login.settings().items()
    assert (login.address, name) == (address, f"http.{address}.extraHeader")
    assert b64decode(value.rpartition(" ")[2]) == b"oauth2:glpat-x"
    assert "glpat-x" not in repr(login)


def test_git_uses_the_login_of_the_forge_that_keeps_the_changes(tmp_path: Path) -> None:
    github = GithubSettings(token=SecretStr("ghp_x"))
    for backend, address in (("gitlab", "https://gitlab.com/"), ("store", "https://github.com/")):
        login = forges._git_login(settings_with(tmp_path, backend=backend, github=github))
        assert login is not None
        assert login.address == address
