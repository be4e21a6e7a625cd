"""What undoing an effect of a run comes to by now: the opposite effect, or why there is nothing to undo.

Runs on the hands queue and only looks. The effect itself is carried out by `activities.forge`, under a
reservation of its own.
"""

from collections.abc import Mapping

from temporalio import activity

from activities.endings import RECENT_RECEIPTS
from activities.failures import typed_failures
from activities.ports import Changes
from activities.pulse import with_pulse
from activities.track_port import Track
from leverframe.model.changes import Receipt
from leverframe.model.errors import NotFound, Refused
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.proposals import RollBack
from leverframe.model.topology import Repository


class UndoLook(Frozen):
    """One effect that is to be undone."""

    repository: Slug
    change: str
    """The change that it opened."""
    back_to: Sha | None = None
    """Of a roll-back: what it put production back to. None for any other change: it is reverted."""


class Undoable(Frozen):
    """What has to be undone, as of now."""

    landed: Sha
    """What the effect landed as."""
    forward: RollBack | None = None
    """Of a roll-back: production on what it was rolled back from."""


class UndoActivities:
    """Looks whether what an agent did can still be undone."""

    def __init__(self, changes: Changes, track: Track, repositories: Mapping[str, Repository]) -> None:
        self._changes = changes
        self._track = track
        self._repositories = repositories

    @activity.defn(name="undoable")
    @typed_failures
    @with_pulse
    def undoable(self, look: UndoLook) -> Undoable:
        """What has to be undone.

        Raises:
            Refused: it never landed, somebody has changed the same thing since, or it was undone already.
            NotFound: the repository or the change is not known.
        """
        if look.repository not in self._repositories:
            raise NotFound(f"repository {look.repository!r} is not declared")
        repository = self._repositories[look.repository]
        receipt = self._landing(repository, look.change)
        if look.back_to is not None:
            return Undoable(landed=receipt.sha, forward=self._forward(repository, receipt, look.back_to))
        undone = self._track.reverted_in(repository, commit=receipt.sha, since=receipt.landed_at)
        if undone is not None:
            raise Refused(
                f"{look.change}, landed as {receipt.sha[:12]}, was reverted already by {undone[:12]}"
            )
        return Undoable(landed=receipt.sha)

    def _landing(self, repository: Repository, change: str) -> Receipt:
        found = self._changes.change(change)
        if found.landed_as is None:
            still = ": close it, and nothing follows from it" if found.state == "open" else ""
            raise Refused(f"{change} never landed, it is {found.state}: there is nothing to undo{still}")
        recent = self._track.receipts(repository, limit=RECENT_RECEIPTS)
        receipt = next((one for one in recent if one.sha == found.landed_as), None)
        if receipt is None:
            raise Refused(
                f"{change} landed too long ago: its receipt is not among the {RECENT_RECEIPTS} newest"
            )
        return receipt

    def _forward(self, repository: Repository, receipt: Receipt, back_to: str) -> RollBack:
        """Production on what its overlay named before the roll-back landed."""
        before = self._track.overlay_at(repository, "production", sha=receipt.base)
        named = self._track.overlay_sha(repository, "production")
        if before is None:
            raise Refused(f"production's overlay named no commit before {receipt.change} landed")
        if named == before:
            raise Refused(f"production's overlay names {before[:12]} again: it was undone already")
        if named != back_to:
            now = named[:12] if named else "no commit"
            raise Refused(
                f"production's overlay names {now} by now, not {back_to[:12]}, which the roll-back put "
                "there: somebody has decided since"
            )
        return RollBack(service=repository.service.name, to=before)
