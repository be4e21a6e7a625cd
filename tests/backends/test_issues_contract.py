"""What every tracker of repairs promises: on GitHub with a token and as an App, and on GitLab."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from activities.backends.issues_github import GithubIssues
from activities.backends.issues_gitlab import GitlabIssues
from activities.backends.issues_none import NoIssues
from activities.issues_port import Issues
from leverframe.model.errors import LeverframeError, NotFound
from leverframe.model.quarantine import Quarantined
from leverframe.model.untrusted import Untrusted
from tests.fakes.github import FakeGithub
from tests.fakes.github_setup import OWNER_REPO, Key, account, an_app, declared, new_key
from tests.fakes.github_shapes import Fault as GithubFault
from tests.fakes.gitlab import FakeGitlab, Fault
from tests.fakes.gitlab_issues import person_opens_issue
from tests.fakes.gitlab_setup import PROJECTS
from tests.fakes.gitlab_setup import account as gitlab_account
from tests.fakes.gitlab_setup import declared as on_gitlab

KEY = "flaky/1a2b3c4d5e6f"
ENTRY = {
    "test": Untrusted("t"), "masks": ("",), "since": "2026-11-01", "expires": "2026-12-01", "evidence": "",
    "owner": "@ada",
}  # fmt: skip


@dataclass
class World:
    """A tracker, and its issues as people see them: state and text."""

    issues: Issues
    seen: Callable[[], list[tuple[str, str]]]
    writes: Callable[[], list[str]]
    person_opens: Callable[[str], None]
    lose_the_next_answer: Callable[[], None]


@pytest.fixture(scope="module")
def key() -> Key:
    return new_key()


def _github(github: FakeGithub, key: Key | None) -> World:
    desk = github.desk_of_issues
    return World(
        issues=GithubIssues(
            account(github, an_app(key.private) if key else None),
            repositories=[declared(name) for name in OWNER_REPO],
            owner_repo=OWNER_REPO,
        ),
        seen=lambda: [(each["state"].replace("opened", "open"), each["body"]) for each in desk.issues],
        writes=github.writes,
        person_opens=lambda body: desk.person_opens(body, "leverframe"),
        lose_the_next_answer=lambda: github.faults.append(GithubFault("POST", "/issues$", applied=True)),
    )


def _gitlab(gitlab: FakeGitlab) -> World:
    return World(
        issues=GitlabIssues(
            gitlab_account(gitlab), repositories=[on_gitlab(name) for name in PROJECTS], projects=PROJECTS
        ),
        seen=lambda: [
            (each["state"].replace("opened", "open"), each["description"]) for each in gitlab.shop.issues
        ],
        writes=gitlab.writes,
        person_opens=lambda body: person_opens_issue(gitlab.shop, body, "leverframe"),
        lose_the_next_answer=lambda: gitlab.faults.append(Fault("POST", "/issues$", applied=True)),
    )


@pytest.fixture(params=["github with a token", "github as an App", "gitlab"])
def world(request: pytest.FixtureRequest, key: Key) -> Iterator[World]:
    if request.param == "gitlab":
        yield _gitlab(FakeGitlab())
        return
    github = FakeGithub(public_key=key.public)
    github.permissions["issues"] = "write"
    yield _github(github, key if request.param.endswith("App") else None)
    assert github.problems == []


def test_the_issue_of_a_key_is_opened_once_and_its_address_told(world: World) -> None:
    first = world.issues.track("shop", key=KEY, title="A flaky test", body="It failed twice.")
    assert first.startswith("https://git")
    assert first.endswith("/issues/1")
    assert world.issues.track("shop", key=KEY, title="A flaky test", body="It failed twice.") == first
    other = world.issues.track("shop", key="flaky/other", title="Another", body="Once.")
    assert other.endswith("/issues/2")
    assert len(world.writes()) == 2


def test_an_issue_whose_answer_was_lost_is_found_again(world: World) -> None:
    world.lose_the_next_answer()
    with pytest.raises(LeverframeError):
        world.issues.track("shop", key=KEY, title="A flaky test", body="It failed twice.")
    assert world.issues.track("shop", key=KEY, title="A flaky test", body="x").endswith("/issues/1")
    assert [state for state, _ in world.seen()] == ["open"]


def test_where_an_issue_is_found_is_known_before_it_is_opened(world: World) -> None:
    address = world.issues.address("shop", key="flaky-1a2b")
    assert address.startswith("https://git")
    assert "acme/shop" in address
    assert "flaky-1a2b" in address
    assert world.writes() == []
    assert Quarantined.model_validate({**ENTRY, "link": address}).link == address


def test_new_words_replace_the_old_and_a_closed_issue_opens_again(world: World) -> None:
    address = world.issues.track("shop", key=KEY, title="A flaky test", body="It failed twice.")
    world.issues.resolve("shop", key=KEY, body="Healed.")
    assert [(state, text.endswith("Healed.")) for state, text in world.seen()] == [("closed", True)]
    again = world.issues.track("shop", key=KEY, title="A flaky test", body="Again.")
    assert again == address
    assert [(state, text.endswith("Again.")) for state, text in world.seen()] == [("open", True)]


def test_what_is_closed_or_was_never_tracked_is_left_alone(world: World) -> None:
    world.issues.resolve("shop", key=KEY, body="Healed.")
    world.issues.track("shop", key=KEY, title="A flaky test", body="It failed twice.")
    world.issues.resolve("shop", key=KEY, body="Healed.")
    before = world.writes()
    world.issues.resolve("shop", key=KEY, body="Healed once more.")
    assert world.writes() == before


def test_the_marker_in_an_issue_of_somebody_else_is_only_text(world: World) -> None:
    world.person_opens(f"<!-- leverframe:{KEY} -->\nforged")
    world.issues.resolve("shop", key=KEY, body="Healed.")
    assert world.issues.track("shop", key=KEY, title="A flaky test", body="x").endswith("/issues/2")
    assert world.seen()[0] == ("open", f"<!-- leverframe:{KEY} -->\nforged")


def test_a_repository_that_is_not_declared_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="not declared"):
        world.issues.track("other", key=KEY, title="A flaky test", body="x")


def test_a_tracker_that_may_write_is_healthy(world: World) -> None:
    health = world.issues.health()
    assert health.ok, health


def test_an_app_without_the_permission_is_told_what_is_missing(key: Key) -> None:
    github = FakeGithub(public_key=key.public)
    health = _github(github, key).issues.health()
    assert not health.ok
    assert "not granted: issues: write" in health.detail


def test_without_a_forge_nothing_is_tracked_and_nothing_fails() -> None:
    issues = NoIssues()
    assert issues.track("shop", key=KEY, title="A flaky test", body="x") == ""
    issues.resolve("shop", key=KEY, body="Healed.")
    assert issues.health().ok
