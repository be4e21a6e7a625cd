"""What people and other workflows say to a train, and what it answers."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from leverframe.model.changes import CarOutcome
from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.trains import Freeze, FreezeMode
from workflows.merge_train.state import TrainState


class TrainStart(Frozen):
    """Input of `MergeTrainWorkflow`, and what it carries into its next run."""

    repository: Slug
    state: TrainState = TrainState()


class QueuePlace(Frozen):
    """The answer to an enqueue."""

    state: Literal["waiting", "riding", "settled"]
    ahead: int = 0
    """How many changes come first."""
    outcome: CarOutcome | None = None
    """For `settled`: this ride has ended already."""


class FreezeRequest(Frozen):
    """Stop the train in one of three ways."""

    mode: FreezeMode
    owner: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)
    until: Instant | None = None

    def at(self, now: datetime) -> Freeze:
        """The freeze as it begins now."""
        return Freeze(mode=self.mode, owner=self.owner, reason=self.reason, since=now, until=self.until)


class ThawRequest(Frozen):
    """Let the train go on."""

    owner: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)


class Vouch(Frozen):
    """One person wants a change landed with fewer checks than are required."""

    change: str
    head: Sha
    person: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)
    checks: tuple[Slug, ...] = ()
    """The checks that it still has to pass. Both people have to name the same ones."""
