"""Changes of a quarantine file: the activities over real git, and what they remember and track."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.forge import ForgeActivities
from activities.ports import Health
from activities.quarantining import Ended, QuarantineActivities, QuarantineRequest
from activities.results_port import QuarantineNote
from activities.undo import Undoable, UndoActivities, UndoLook
from agents.flaky_tests.quarantine_file import read
from leverframe.model.errors import LeverframeError
from leverframe.model.proposals import ChangeQuarantine
from leverframe_pytest.quarantine import PLACE
from policies.decision import Allowed, Reservation
from tests.backends.test_look import World
from tests.fakes.asks import ask
from tests.fakes.git_world import AT, GitWorld

RUN = "run/flaky_tests/shop/SUITE/1"
REQUEST = QuarantineRequest(at=AT)


@dataclass
class Memory:
    """Remembers the last word on each change."""

    known: dict[str, str] = field(default_factory=dict)
    untracked: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)

    def note(self, repository: str, notes: Sequence[QuarantineNote]) -> None:
        for one in notes:
            self.known[one.change] = f"{one.state} {','.join(one.enter)} {','.join(one.leave)}".strip()

    def note_named(self, repository: str, named: Collection[str], at: datetime) -> None:
        self.named |= set(named)

    def note_tracking(self, repository: str, change: str, *, tracked: bool) -> None:
        (self.untracked.discard if tracked else self.untracked.add)(change)


@dataclass
class Issues:
    """Issues as people see them, by their keys."""

    open: dict[str, tuple[str, str]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    error: LeverframeError | None = None

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        if self.error is not None:
            raise self.error
        self.open[key] = (title, body)
        return f"https://git.example/{key}"

    def address(self, repository: str, *, key: str) -> str:
        return f"https://git.example/?q={key}"

    def resolve(self, repository: str, *, key: str, body: str) -> None:
        if self.error is not None:
            raise self.error
        self.open.pop(key, None)
        self.closed[key] = body

    def health(self) -> Health:
        return Health(ok=True, detail="")


class Yard:
    """The activities, and what they act on."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.git: GitWorld = self.world.git
        declared = {"shop": self.world.repository}
        self.memory = Memory()
        self.issues = Issues()
        self.acts = QuarantineActivities(
            self.world.changes, self.world.track, declared, self.memory, self.issues
        )
        self.forge = ForgeActivities(self.world.changes, self.world.track, declared)

    def reserved(self, effect: ChangeQuarantine, *, step: int = 0) -> Reservation:
        """What the ledger grants for the difference that it would make now."""
        request = ask(
            f"{RUN}/{step}",
            effect,
            agent="flaky_tests",
            subject="SUITE",
            difference=self.forge.preview("shop", effect, AT),
        )
        lapses = AT + timedelta(minutes=5)
        return Allowed.grant(request, policy_digest="p", now=AT, lapses_at=lapses).reservation

    def on(self, commit: str) -> list[str]:
        """The tests that the commit's file names."""
        entries = read(self.git.git("show", f"{commit}:{PLACE}") + "\n").entries
        return [one.test.stored().rpartition("::")[2] for one in entries]


def failure(act: Callable[[], object], match: str) -> str:
    with pytest.raises(ApplicationError, match=match) as caught:
        act()
    assert caught.value.non_retryable
    return str(caught.value.type)


def ended(effect: ChangeQuarantine, state: str = "over") -> Ended:
    return Ended.model_validate(
        {"repository": "shop", "change": "shop/7", "state": state, "effect": effect, "at": AT}
    )


def undoable(yard: Yard, made: str, did: ChangeQuarantine) -> Undoable:
    acts = UndoActivities(yard.world.changes, yard.world.track, {"shop": yard.world.repository})
    return acts.undoable(UndoLook(repository="shop", change=made, quarantine=did))
