"""Whether a change can still ride at a head, by its record, its branch and the receipts of what landed."""

from collections.abc import Mapping

from activities.track_port import Track
from leverframe.model.changes import CarEjected, CarLanded, Change, Receipt
from leverframe.model.topology import Repository

RECENT_RECEIPTS = 200
"""How far back a change that has landed before is looked for."""


class Endings:
    """Why changes can't ride any more."""

    def __init__(self, track: Track) -> None:
        self._track = track

    def of(
        self, repository: Repository, change: Change, head: str, tips: Mapping[str, str]
    ) -> CarEjected | CarLanded | None:
        """Why the change can't ride at `head`, if so. `tips` are the branches as just seen.

        A landing comes first: whoever pushes, closes or deletes between the push and its record does not
        take back what the target has.
        """
        if change.state == "landed":
            if receipt := self.receipt(repository, change.id, head):
                return CarLanded(change=change.id, receipt=receipt)
            detail = f"The change has landed as {change.landed_as}; open a new one for what is left."
            return CarEjected(change=change.id, reason="empty", detail=detail)
        left = _left(change, head, tips)
        return (self.landed(repository, change.id, head) or left) if left else None

    def landed(self, repository: Repository, change: str, head: str) -> CarLanded | None:
        """The landing of the change at this head that the target still contains."""
        receipt = self.receipt(repository, change, head)
        if receipt is None:
            return None
        tip = self._track.tip(repository)
        if not self._track.is_ancestor(repository, ancestor=receipt.sha, descendant=tip):
            return None
        return CarLanded(change=change, receipt=receipt)

    def receipt(self, repository: Repository, change: str, head: str) -> Receipt | None:
        """The newest receipt of the change at this head."""
        recent = self._track.receipts(repository, limit=RECENT_RECEIPTS)
        return next((one for one in recent if (one.change, one.head) == (change, head)), None)


def _left(change: Change, head: str, tips: Mapping[str, str]) -> CarEjected | None:
    if change.state == "closed":
        detail = "The change was closed; open it again to land it."
        return CarEjected(change=change.id, reason="withdrawn", detail=detail)
    tip = tips.get(change.branch)
    if tip is None:
        detail = f"The branch {change.branch} is gone; push it and enqueue the change again."
        return CarEjected(change=change.id, reason="withdrawn", detail=detail)
    if tip != head:
        detail = (
            f"The change was enqueued at {head[:12]} and is at {tip[:12]} now; "
            "enqueue the new head when it is ready."
        )
        return CarEjected(change=change.id, reason="head_moved", detail=detail)
    return None
