"""Whatever happens to a train, and in whatever order, what it promises holds."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fakes.git_world import GitWorld
from tests.fakes.stores import store_at
from tests.fakes.train_grounds import GitGround, Ground, MemoryGround, quick_root
from tests.fakes.train_machine import TrainMachine

DEEPER = int(os.environ.get("LEVERFRAME_TEST_TRAIN_LIVES", "0"))
"""So many lives instead of the few that every run of the tests has time for."""


@pytest.fixture
def root() -> Iterator[Path]:
    root = quick_root()
    yield root
    shutil.rmtree(root)


def lives(machine: type[TrainMachine], number: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=DEEPER or number,
            stateful_step_count=steps,
            deadline=None,
            # Every run of the tests tries the same lives, quickly; a long one looks for new ones.
            derandomize=not DEEPER,
            database=None,
            phases=[Phase.generate, *([Phase.shrink] if DEEPER else [])],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_train_keeps_its_promises_in_any_order_of_events(root: Path) -> None:
    class InMemory(TrainMachine):
        engine = store_at(root / "store.db")

        @staticmethod
        def make_ground() -> Ground:
            return MemoryGround()

    lives(InMemory, 20, 30)


def test_a_train_keeps_its_promises_on_a_real_repository(root: Path) -> None:
    (root / "template").mkdir()
    template = GitWorld(root / "template")

    class OnGit(TrainMachine):
        engine = store_at(root / "store.db")

        @staticmethod
        def make_ground() -> Ground:
            shutil.rmtree(root / "life", ignore_errors=True)
            return GitGround(template, root / "life")

    lives(OnGit, 4, 15)
