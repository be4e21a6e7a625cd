"""A repository of a shop and a track on it, for every test of a part of the track."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.topology import Repository
from tests.fakes.git_world import GitWorld
from tests.fakes.tracks import track_at


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
