"""A store of each dialect, and a repository of a shop with a track on it."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from activities.backends.sandbox_jail import JailKind, JailSandbox
from activities.backends.store_sql import open_store
from activities.backends.store_tables import metadata
from activities.backends.track_git import GitTrack
from leverframe.model.topology import Repository
from tests.fakes import jails
from tests.fakes.git_world import GitWorld
from tests.fakes.stores import store_at
from tests.fakes.tracks import track_at

POSTGRES = os.environ.get("LEVERFRAME_TEST_POSTGRES_URL", "")


KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The store on SQLite always, and on PostgreSQL when LEVERFRAME_TEST_POSTGRES_URL names one."""
    yield from _opened(request.param, tmp_path)


@pytest.fixture(scope="module", params=KINDS)
def one_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same, one for all tests of a module: they only read, or each has a repository of its own."""
    yield from _opened(request.param, tmp_path_factory.mktemp("store"))


def _opened(kind: str, home: Path) -> Iterator[Engine]:
    if kind == "postgres" and not POSTGRES:
        pytest.skip("LEVERFRAME_TEST_POSTGRES_URL is not set")
    opened = open_store(POSTGRES) if kind == "postgres" else store_at(home / "store.db")
    yield opened
    if kind == "postgres":
        with opened.begin() as connection:
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE alembic_version"))
    opened.dispose()


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path)


@pytest.fixture
def shop(world: GitWorld) -> Repository:
    return world.repository


@pytest.fixture
def make_track(tmp_path: Path) -> Callable[..., GitTrack]:
    """Each name is a machine of its own."""
    return partial(track_at, tmp_path)


@pytest.fixture
def track(make_track: Callable[..., GitTrack]) -> GitTrack:
    return make_track()


@pytest.fixture(params=jails.KINDS, scope="module")
def jail(request: pytest.FixtureRequest) -> JailSandbox:
    """Each kind of jail that this machine has."""
    kind: JailKind = request.param
    if why := jails.why_not(kind):
        pytest.skip(f"no {kind} jail here: {why}")
    return JailSandbox(kind)
