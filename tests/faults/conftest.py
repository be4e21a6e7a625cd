"""A train of its own for each test, and a referee who watches it."""

import shutil
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from leverframe.model.topology import TrainRules
from tests.fakes.git_world import GitWorld
from tests.fakes.stores import store_at
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import Ground, MemoryGround, declared, quick_root
from tests.fakes.train_referee import Referee
from tests.fakes.train_stage import CHECKS
from tests.workflows.conftest import env, skipping

__all__ = ["env", "skipping"]


@pytest.fixture(scope="module")
def template() -> Iterator[GitWorld]:
    root = quick_root()
    yield GitWorld(root)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return store_at(tmp_path_factory.mktemp("store") / "store.db")


@pytest.fixture
def ground() -> Ground:
    return MemoryGround()


@pytest.fixture
def depot(ground: Ground, engine: Engine) -> Depot:
    depot = Depot(ground, engine, declared(ground.url, CHECKS, train=TrainRules(track="built_in")))
    depot.red = lambda sha, check: "bad.py" in ground.paths(sha) and "mended.py" not in ground.paths(sha)
    return depot


@pytest.fixture
def referee(depot: Depot) -> Referee:
    return Referee(depot)


@pytest.fixture
def train(depot: Depot, referee: Referee) -> Iterator[Controller]:
    train = Controller(depot, watcher=referee)
    yield train
    if not train.failed:
        referee.looks(train)
    train.close()
