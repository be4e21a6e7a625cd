"""What tests of a train's faults have in common."""

from pathlib import Path

import pytest

from leverframe.model.changes import CarLanded, Change
from leverframe.model.checks import Check
from tests.fakes.git_world import GitWorld
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import MAIN, GitGround, Ground

CHECKS = (Check(name="fast", phase="fast", command=("true",)), Check(name="slow", command=("true",)))
EXTRA = Check(name="extra", command=("true",))


class OnGit:
    """Tests whose remote is a bare repository."""

    @pytest.fixture
    def ground(self, template: GitWorld, tmp_path: Path) -> Ground:
        return GitGround(template, tmp_path)


def red_with(depot: Depot, *names: str) -> None:
    """Every commit that has all of these files is red."""
    depot.red = lambda sha, check: set(names) <= depot.ground.paths(sha)


def enqueued(train: Controller, *names: str) -> list[Change]:
    changes = [train.depot.open(name, {f"{name}.py": f"{name}\n"}) for name in names]
    for change in changes:
        train.enqueue(change)
    return changes


def until(train: Controller, call: str, *, answered: bool) -> None:
    """Up to this call, before it is made or before its answer arrives."""
    for _ in range(200):
        if train.pause and (train.pause.name, train.pause.answered) == (call, answered):
            return
        assert train.advance(), f"the train rests before {call}"
    raise AssertionError(f"{call} is never made")


def ended(train: Controller, change: Change) -> str:
    outcome = train.outcome(change)
    assert outcome is not None, f"{change.id} has not ended"
    return outcome.kind if isinstance(outcome, CarLanded) else outcome.reason


def tip(depot: Depot) -> str:
    return depot.ground.refs()[MAIN]
