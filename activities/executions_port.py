"""The port of fresh executions: what is worth asking for is asked once, and folded once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from agents.flaky_tests.bounds import Bounds
from leverframe.model.executions import Executed, ExecutionOrder, ExecutionPurpose

PATIENCE: dict[ExecutionPurpose, timedelta] = {
    "recheck": timedelta(minutes=30),
    "probe": timedelta(hours=6),
    "night": timedelta(hours=20),
}
"""An order that nobody has answered for so long is given up. A run waits for its rechecks no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What may be asked in a repository. By default nothing."""

    a_day: int = 0
    """Executions in one UTC day, by policy."""
    checks: tuple[str, ...] = ()
    """The declared checks that select tests."""


NOTHING = Asking()


@dataclass(frozen=True, slots=True, kw_only=True)
class TookIn:
    """What answers did."""

    answered: int = 0
    """Orders that had none yet."""
    asked: int = 0
    """Orders that are worth it by now."""
    quarantined: int = 0
    released: int = 0


class Executions(Protocol):
    """Synchronous; several processes may share one."""

    def open_orders(self, repository: str, *, limit: int) -> list[ExecutionOrder]:
        """What is asked and has no answer: rechecks first, since a run waits, then what was asked first."""
        ...

    def take_in(
        self,
        repository: str,
        done: Sequence[Executed],
        *,
        unfit: Sequence[str] = (),
        at: datetime,
        bounds: Bounds,
        asking: Asking,
    ) -> TookIn:
        """Keep answers, fold each series that is complete, and ask for what is worth it then. In one
        transaction: all of it or nothing, and the same answers again change nothing.

        `unfit`: orders whose commit can't be had; it is not asked of again. Rechecks are folded with
        their run.

        Raises:
            Unavailable: the store did not answer; nothing was done.
            BadInput: what is stored of a test is of another release.
        """
        ...

    def plan_night(
        self,
        repository: str,
        *,
        tip: str,
        at: datetime,
        asking: Asking,
        contains: Callable[[str, str], bool],
    ) -> int:
        """Ask for the first executions of quarantined tests of this UTC day; how many. Once a day.

        A test whose claimed fix the tip lacks is left out.
        """
        ...

    def night_due(self, repository: str, *, at: datetime) -> bool:
        """Whether tests are quarantined, and no night was planned yet on this UTC day."""
        ...

    def has_work(self, repository: str, *, at: datetime, asking: Asking) -> bool:
        """Whether an order is open, an answer not folded, or a night to be planned, and something allowed."""
        ...

    def read_to(self, repository: str) -> str:
        """The commit of the target up to which claims of fixes were read; empty for none."""
        ...

    def note_read_to(self, repository: str, sha: str) -> None: ...
