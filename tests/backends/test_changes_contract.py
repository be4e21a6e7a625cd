"""What every record of changes promises: on the store, on GitHub with a token and as an App, on GitLab."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.backends.changes_store import ChangesStore
from activities.ports import Changes
from leverframe.model.changes import Author, ChangeSpec, CheckResult, Priority
from leverframe.model.errors import Conflict, NotFound
from tests.fakes.github import FakeGithub
from tests.fakes.github_setup import Key, an_app, new_key, on_github
from tests.fakes.gitlab import FakeGitlab
from tests.fakes.gitlab_setup import on_gitlab
from tests.fakes.stores import store_at

ADA = Author(kind="person", name="ada")
HEAD, NEXT, LANDED = "a" * 40, "b" * 40, "c" * 40


@dataclass
class World:
    """A record, and the git remote that it is about as far as the record can see it."""

    changes: Changes
    github: FakeGithub | None = None
    gitlab: FakeGitlab | None = None

    def push(self, branch: str, head: str = HEAD, repository: str = "shop") -> None:
        if self.github:
            self.github.push(branch, head, repository)
        if self.gitlab:
            self.gitlab.push(branch, head, f"acme/{repository}")

    def land(self, head: str = HEAD) -> None:
        if self.github:
            self.github.land(head, LANDED)
        if self.gitlab:
            self.gitlab.land(head, LANDED)

    def open(self, branch: str = "work", head: str = HEAD, repository: str = "shop") -> str:
        self.push(branch, head, repository)
        return self.changes.open_change(spec(branch, head, repository)).id


def spec(
    branch: str = "work", head: str = HEAD, repository: str = "shop", title: str = "Do it"
) -> ChangeSpec:
    return ChangeSpec(repository=repository, branch=branch, head=head, title=title, author=ADA)


def result(outcome: str = "passed", check: str = "unit", sha: str = HEAD) -> CheckResult:
    return CheckResult.model_validate(
        {"check": check, "sha": sha, "outcome": outcome, "seconds": 1.5, "summary": "ok", "log": "a\nb"}
    )


@pytest.fixture(scope="module")
def app_key() -> Key:
    return new_key()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = store_at(tmp_path / "store.db")
    yield engine
    engine.dispose()


@pytest.fixture(params=["store", "github with a token", "github as an App", "gitlab"])
def world(request: pytest.FixtureRequest, store: Engine) -> World:
    if request.param == "store":
        return World(ChangesStore(store))
    if request.param == "gitlab":
        gitlab = FakeGitlab()
        return World(on_gitlab(gitlab, store), gitlab=gitlab)
    if request.param == "github with a token":
        github = FakeGithub()
        return World(on_github(github, store), github)
    key = request.getfixturevalue("app_key")
    github = FakeGithub(public_key=key.public)
    return World(on_github(github, store, an_app(key.private)), github)


def test_numbers_count_up_within_each_repository(world: World) -> None:
    ids = [world.open(branch) for branch in ("one", "two")]
    assert [*ids, world.open(repository="till")] == ["shop/1", "shop/2", "till/1"]


def test_the_same_branch_is_the_same_change_and_a_moved_head_updates_it(world: World) -> None:
    world.push("work")
    first = world.changes.open_change(spec())
    assert world.changes.open_change(spec()) == first
    world.push("work", NEXT)
    moved = world.changes.open_change(spec(head=NEXT, title="Do it better"))
    assert (moved.id, moved.head, moved.title, moved.opened_at, moved.author) == (
        first.id, NEXT, "Do it better", first.opened_at, ADA,
    )  # fmt: skip
    assert world.changes.change(first.id) == moved


def test_a_change_keeps_everything_it_was_opened_with(world: World) -> None:
    wanted = ChangeSpec(
        repository="shop",
        branch="leverframe/revert-1",
        head=HEAD,
        title="Undo 'it' \u202e",
        body="**why**\0",
        author=Author(kind="agent", name="sentry_spike"),
        priority=Priority.HOTFIX,
    )
    world.push(wanted.branch)
    change = world.changes.change(world.changes.open_change(wanted).id)
    assert change.body == "**why**\N{REPLACEMENT CHARACTER}"
    assert (change.title, change.author, change.priority) == (wanted.title, wanted.author, wanted.priority)
    assert (change.branch, change.state, change.landed_as) == (wanted.branch, "open", None)


def test_a_branch_whose_change_has_landed_cannot_be_opened_again(world: World) -> None:
    change = world.open()
    world.land()
    world.changes.mark_landed(change, LANDED)
    world.push("work", NEXT)
    with pytest.raises(Conflict, match="has landed"):
        world.changes.open_change(spec(head=NEXT))


def test_a_change_that_was_taken_off_opens_again(world: World) -> None:
    change = world.open()
    assert world.changes.mark_ejected(change, "red").state == "ejected"
    world.push("work", NEXT)
    assert world.changes.open_change(spec(head=NEXT)).state == "open"


@pytest.mark.parametrize("landed_first", [True, False])
def test_a_landing_wins_over_an_ejection_whichever_comes_first(world: World, landed_first: bool) -> None:
    change = world.open()
    world.land()
    if not landed_first:
        world.changes.mark_ejected(change, "red")
    world.changes.mark_landed(change, LANDED)
    world.changes.mark_ejected(change, "late")
    settled = world.changes.change(change)
    assert (settled.state, settled.landed_as) == ("landed", LANDED)


def test_changes_are_listed_newest_first(world: World) -> None:
    for branch in ("one", "two", "three"):
        world.open(branch)
    world.open(repository="till")
    listed = world.changes.list_changes("shop", limit=2)
    assert [change.branch for change in listed] == ["three", "two"]
    assert [change.author for change in listed] == [ADA, ADA]


def test_a_comments_key_names_it_so_that_writing_again_replaces_it_in_its_place(world: World) -> None:
    change = world.open()
    for key, body in (("train", "queued"), ("a key --> with <b>", "why\nin two lines"), ("train", "landed")):
        world.changes.comment(change, key=key, body=body)
    assert world.changes.comments(change) == [
        ("train", "landed"),
        ("a key --> with <b>", "why\nin two lines"),
    ]


def test_a_later_result_replaces_the_one_of_the_same_check_and_commit(world: World) -> None:
    change = world.open()
    world.push("work", NEXT)
    for said in (result("failed"), result(), result(check="lint"), result(sha=NEXT)):
        world.changes.record_check(change, said)
    assert world.changes.checks(HEAD) == [result(check="lint"), result()]
    assert world.changes.checks(LANDED) == []


@pytest.mark.parametrize("name", ["shop/9", "shop/../1", "nosuch/1", "shop"])
def test_an_unknown_change_is_not_found(world: World, name: str) -> None:
    for act in (
        lambda: world.changes.change(name),
        lambda: world.changes.mark_landed(name, LANDED),
        lambda: world.changes.mark_ejected(name, "x"),
        lambda: world.changes.comment(name, key="k", body="b"),
    ):
        with pytest.raises(NotFound):
            act()


def test_health_is_good(world: World) -> None:
    assert world.changes.health().ok
