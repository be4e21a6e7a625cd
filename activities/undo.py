"""What undoing an effect of a run comes to by now: the opposite effect, or why there is nothing to undo.

Runs on the hands queue and only looks. The effect itself is carried out by `activities.forge`, under a
reservation of its own.
"""

from collections.abc import Mapping

from pydantic import Field
from temporalio import activity

from activities.endings import RECENT_RECEIPTS
from activities.failures import typed_failures
from activities.ports import Changes
from activities.pulse import with_pulse
from activities.track_port import Track
from agents.flaky_tests.quarantine_file import read
from leverframe.model.changes import Receipt
from leverframe.model.errors import NotFound, Refused
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.proposals import Amending, ChangeQuarantine, RollBack
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import LARGEST, PLACE


class UndoLook(Frozen):
    """One effect that is to be undone."""

    repository: Slug
    change: str
    """The change that it opened."""
    back_to: Sha | None = None
    """Of a roll-back: what it put production back to. None for any other change."""
    quarantine: ChangeQuarantine | None = None
    """Of a change of the quarantine file: what it did. None for any other change: it is reverted."""


class Undoable(Frozen):
    """What has to be undone, as of now."""

    landed: Sha
    """What the effect landed as."""
    forward: RollBack | None = None
    """Of a roll-back: production on what it was rolled back from."""
    lifted: tuple[Untrusted, ...] = ()
    """Of a quarantine: the tests that it let in and that the target's file still names, as it named them."""
    restored: tuple[Amending, ...] = ()
    """Of entries that it changed and that say so still: as they were before."""
    staying: int = Field(default=0, ge=0)
    """Entries of that file besides those that are lifted."""


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
            BadInput: the quarantine file can't be read.
        """
        if look.repository not in self._repositories:
            raise NotFound(f"repository {look.repository!r} is not declared")
        repository = self._repositories[look.repository]
        if look.quarantine is not None:
            return self._lifting(repository, look.change, look.quarantine)
        receipt = self._landing(repository, look.change)
        if look.back_to is not None:
            return Undoable(landed=receipt.sha, forward=self._forward(repository, receipt, look.back_to))
        undone = self._track.reverted_in(repository, commit=receipt.sha, since=receipt.landed_at)
        if undone is not None:
            raise Refused(
                f"{look.change}, landed as {receipt.sha[:12]}, was reverted already by {undone[:12]}"
            )
        return Undoable(landed=receipt.sha)

    def _lifting(self, repository: Repository, change: str, did: ChangeQuarantine) -> Undoable:
        """The tests that it let in, out again, and entries as they were before it changed them.

        Those that it released need evidence to enter.
        """
        landed = self._landed_as(change)
        try:
            text = self._track.read_text(
                repository, sha=self._track.tip(repository), path=PLACE, most=LARGEST
            )
        except NotFound:
            text = None
        there = {entry.test: entry for entry in read(text).entries} if text is not None else {}
        still = [one.entry for one in did.written if one.entry.test in there]
        if not still:
            why = f"{PLACE} names none of them" if did.enter or did.amend else "it only released some"
            what = "let in" if did.enter or not did.amend else "renewed or changed"
            raise Refused(f"no test that {change} {what} is quarantined any more, {why}: nothing to undo")
        if changed := [entry.test for entry in still if there[entry.test] != entry]:
            names = ", ".join(test.for_terminal(120) for test in changed[:3])
            raise Refused(
                f"somebody has changed what {PLACE} says of {names} since {change} landed"
                + (f", and of {len(changed) - 3} more" if len(changed) > 3 else "")
                + (": take them out by a merge request" if did.enter else ": change them by a merge request")
            )
        lifted = tuple(one.entry.test for one in did.enter if one.entry.test in there)
        restored = tuple(
            one.model_copy(update={"was": one.entry, "entry": one.was})
            for one in did.amend
            if one.entry.test in there
        )
        return Undoable(landed=landed, lifted=lifted, restored=restored, staying=len(there) - len(lifted))

    def _landed_as(self, change: str) -> str:
        found = self._changes.change(change)
        if found.landed_as is None:
            still = ": close it, and nothing follows from it" if found.state == "open" else ""
            raise Refused(f"{change} never landed, it is {found.state}: there is nothing to undo{still}")
        return found.landed_as

    def _landing(self, repository: Repository, change: str) -> Receipt:
        landed = self._landed_as(change)
        recent = self._track.receipts(repository, limit=RECENT_RECEIPTS)
        receipt = next((one for one in recent if one.sha == landed), None)
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
