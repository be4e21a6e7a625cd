"""Pull requests as changes on a fake GitHub, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.backends.changes_github import GithubChanges
from tests.fakes.github import FakeGithub
from tests.fakes.github_asks import HEAD
from tests.fakes.github_setup import Key, an_app, new_key, on_github
from tests.fakes.stores import store_at


@pytest.fixture(scope="module")
def key() -> Key:
    return new_key()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = store_at(tmp_path / "store.db")
    yield engine
    engine.dispose()


@pytest.fixture
def github(key: Key) -> Iterator[FakeGithub]:
    made = FakeGithub(public_key=key.public)
    yield made
    assert made.problems == []


@pytest.fixture
def changes(github: FakeGithub, store: Engine, key: Key) -> GithubChanges:
    github.push("work", HEAD)
    return on_github(github, store, an_app(key.private))
