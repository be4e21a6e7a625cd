"""A world for runs of the agent that quarantines: nothing errs or is released, and a no is remembered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from temporalio import activity

from activities.entry_stories import amended, entry_stories
from activities.quarantining import Ended, QuarantineRequest
from activities.results_port import QuarantineNote
from activities.undo import Undoable, UndoLook
from agents.flaky_tests.quarantine_file import edited, read, rendered
from leverframe.model.changes import CarEjected, Change, Enqueue, Priority
from leverframe.model.differences import TreeDifference
from leverframe.model.facts import FactsRequest, FlakyFactsRequest
from leverframe.model.ids import digest
from leverframe.model.proposals import ChangeQuarantine, Effect
from leverframe.model.quarantine import FlakyFacts
from policies.decision import Reservation
from tests.fakes.asks import QUARANTINED
from tests.fakes.remediation_world import LANDED, World
from tests.unit.agents.flaky_tests.proposals import facts, flaky


@dataclass
class QuarantineWorld(World):
    """The dials of `World`, and what is known of tests in the place of errors."""

    suite: FlakyFacts = field(default_factory=lambda: facts(flaky("pays")))
    closed: bool = False
    """A person closes the merge request while it rides."""
    holds: bool = True
    """Whether the landed file is as it should be."""
    opened: list[ChangeQuarantine] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    """Changes, and what is remembered of them."""
    notes: list[QuarantineNote] = field(default_factory=list)
    """Of entries that change."""

    @property
    def hands(self) -> Sequence[Callable[..., Any]]:
        """The activities of the hands queue."""
        ours = (self.change_quarantine, self.quarantine_holds, self.quarantine_ended, self.undoable)
        return (*super().hands, *ours)

    @activity.defn
    async def gather(self, request: FactsRequest) -> FlakyFacts:
        assert isinstance(request, FlakyFactsRequest)
        assert request.agent == "flaky_tests"
        return self.suite

    @activity.defn
    async def preview(self, repository: str, effect: Effect, at: datetime) -> TreeDifference:
        assert isinstance(effect, ChangeQuarantine)
        return QUARANTINED

    @activity.defn
    async def change_quarantine(self, reservation: Reservation, request: QuarantineRequest) -> Change:
        effect = reservation.effect
        assert isinstance(effect, ChangeQuarantine)
        assert digest(effect) == reservation.effect_digest
        self.opened.append(effect)
        return self._change(reservation, title=effect.title, body=effect.body)

    @activity.defn
    async def quarantine_holds(self, repository: str, sha: str, effect: ChangeQuarantine) -> bool:
        assert (repository, sha) == ("shop", LANDED)
        return self.holds

    @activity.defn
    async def quarantine_ended(self, ended: Ended) -> None:
        """What a store remembers, and what has landed: it is in the facts of the next run."""
        self.ended.append((ended.change, ended.state))
        effect, suite = ended.effect, self.suite
        if ended.state == "rejected":
            tests = tuple(one.entry.test for one in effect.enter)
            suite = suite.model_copy(update={"rejected": (*suite.rejected, *tests)})
        if ended.state == "over":
            suite = suite.model_copy(update={"file": read(edited(rendered(suite.file), effect))})
        amend = tuple(amended(one.was, one.entry) for one in effect.amend)
        self.notes.append(
            QuarantineNote(
                change=ended.change, state=ended.state, enter=(), leave=(), opened_at=ended.at, amend=amend
            )
        )
        self.suite = suite.model_copy(update={"stories": entry_stories(suite.file, self.notes)})

    @activity.defn
    async def undoable(self, look: UndoLook) -> Undoable:
        """As it is when nobody has touched the file since."""
        assert look.quarantine is not None
        did = look.quarantine
        return Undoable(
            landed=LANDED,
            lifted=tuple(one.entry.test for one in did.enter),
            restored=tuple(one.model_copy(update={"was": one.entry, "entry": one.was}) for one in did.amend),
            staying=len(did.amend),
        )

    @activity.defn
    async def get_change(self, change: str) -> Change:
        found = await super().get_change(change)
        return found.model_copy(update={"state": "closed"}) if self.closed else found

    @activity.defn
    async def enqueue(self, repository: str, target: str, request: Enqueue) -> None:
        """A quarantine is no hotfix; its car ends at once, and no release ever speaks."""
        assert request.priority == Priority.NORMAL
        ended = self._settled(request)
        if self.closed:
            ended = CarEjected(change=request.change, reason="withdrawn", detail="it was closed")
        for waiting in request.notify:
            await self.client.get_workflow_handle(waiting).signal("car_settled", ended)
