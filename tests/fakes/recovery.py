"""A world in which what a run did is undone: production as its overlay says, and what landed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from activities.delivery import WaitRequest
from activities.undo import Undoable, UndoActivities, UndoLook
from leverframe.model.releases import DeliveryState
from policies.documents import PolicySnapshot, parse
from tests.fakes.asks import ESCALATION, PEOPLE, document
from tests.fakes.landings import Landings
from tests.fakes.remediation_world import LANDED, LIVE, PREVIOUS, SHOP, World


def undo_policy() -> PolicySnapshot:
    """A permissive one, under which people are asked about what is undone."""
    agent = document("agent")
    asking = agent.replace("autonomy: act", "autonomy: act_with_approval", 1)
    files = {"org.yaml": document("org") + ESCALATION + "\n", "people.yaml": PEOPLE}
    return parse(files | {"agents/sentry_spike.yaml": agent, "agents/undo.yaml": asking})


@dataclass
class Recovering(World):
    """Production as its overlay says, and what landed, for whoever wants something undone."""

    landings: Landings = field(default_factory=Landings)
    promoted: list[str] = field(default_factory=list)

    @activity.defn
    async def undoable(self, look: UndoLook) -> Undoable:
        for change in self.changes.values():
            self.landings.land(change.id, LANDED, overlay={LIVE: PREVIOUS} if look.back_to else {})
        looking = UndoActivities(self.landings, self.landings, {"shop": SHOP})  # type: ignore[arg-type]
        return looking.undoable(look)

    @activity.defn
    async def wait_reconciled(self, request: WaitRequest) -> DeliveryState:
        return self._state(request.sha)

    @activity.defn
    async def promote(self, service: str, sha: str) -> DeliveryState:
        self.promoted.append(sha)
        self.landings.overlay = sha
        return self._state(sha)

    def _state(self, sha: str) -> DeliveryState:
        return DeliveryState(environment="production", wanted=sha, stable=sha, canary=None, ready=True)

    @property
    def hands(self) -> Sequence[Callable[..., Any]]:
        return (*super().hands, self.undoable, self.wait_reconciled, self.promote)
