"""A repository on GitHub with its queue and one pull request, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.backends.queue_github import GithubQueue
from leverframe.model.changes import Change
from tests.fakes.git_world import GitWorld
from tests.fakes.github_setup import Key, new_key, queue_on
from tests.fakes.github_world import GithubWorld


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> GitWorld:
    """A repository with a branch `work`, for each test to copy."""
    world = GitWorld(tmp_path_factory.mktemp("begun"))
    world.commit("work", {"new.py": "x\n"})
    return world


@pytest.fixture(scope="module")
def key() -> Key:
    return new_key()


@pytest.fixture
def github(begun: GitWorld, tmp_path: Path) -> Iterator[GithubWorld]:
    made = GithubWorld(begun.copied(tmp_path))
    yield made
    assert made.problems == []


@pytest.fixture
def queue(github: GithubWorld) -> GithubQueue:
    return queue_on(github)


@pytest.fixture
def change(github: GithubWorld) -> Change:
    """Pull request 1, at the head that was vouched for."""
    head = github.git.git("rev-parse", "refs/heads/work")
    return github.git.change(head, number=github.person_opens("work", head))
