"""Changes of a repository's quarantine file. Runs on the hands queue.

What an agent does takes the `Reservation` for exactly that; branches are named by it, so that a retry finds
what it did before.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from temporalio import activity

from activities.entry_stories import amended
from activities.failures import typed_failures
from activities.issues_port import Issues
from activities.ports import Changes
from activities.pulse import with_pulse
from activities.repair_tracking import track
from activities.reserved import effect_of, patch_of, run_message
from activities.results_port import ChangeState, QuarantineNote
from activities.track_port import Track
from agents.flaky_tests.quarantine_file import edited, holds
from leverframe.model.changes import Author, Change, ChangeSpec
from leverframe.model.differences import TreeDifference
from leverframe.model.errors import LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import quarantine_branch
from leverframe.model.proposals import ChangeQuarantine
from leverframe.model.topology import Repository
from leverframe_pytest.quarantine import PLACE
from policies.decision import Reservation

MOST_BYTES = 8_000_000
PATIENCE = 8
"""Attempts at issues; with the retries' pauses that is a few minutes."""


class QuarantineRequest(Frozen):
    """When a reservation's `ChangeQuarantine` is carried out."""

    at: Instant


class Ended(Frozen):
    """How far a change of a quarantine file came, for whoever proposes the next one."""

    repository: Slug
    change: str
    """The merge request; the reservation's id where none was opened."""
    state: Literal["over", "rejected", "asked"]
    """`rejected`: by a person, so that nothing of it is ever proposed again. `asked`: people are about to be
    asked whether quarantines go on, and are not asked about the same days again, whatever comes of it."""
    effect: ChangeQuarantine
    at: Instant


class Remembers(Protocol):
    """Who remembers what changes do, or would have done, to a quarantine file."""

    def note(self, repository: str, notes: Sequence[QuarantineNote]) -> None:
        """As `activities.results_port.RunFolds` says."""
        ...

    def note_tracking(self, repository: str, change: str, *, tracked: bool) -> None:
        """As `activities.results_port.RunFolds` says."""
        ...

    def note_named(self, repository: str, named: Collection[str], at: datetime) -> None:
        """As `activities.results_port.RunFolds` says."""
        ...


class QuarantineActivities:
    """Changes of the declared repositories' quarantine files."""

    def __init__(
        self,
        changes: Changes,
        track: Track,
        repositories: Mapping[str, Repository],
        memory: Remembers,
        issues: Issues,
    ) -> None:
        self._changes = changes
        self._track = track
        self._repositories = repositories
        self._memory = memory
        self._issues = issues

    @activity.defn(name="change_quarantine")
    @typed_failures
    @with_pulse
    def change(self, reservation: Reservation, request: QuarantineRequest) -> Change:
        """Open the change that the reservation is for.

        Raises:
            Refused: the reservation is for something else, or for another difference than it is by now.
            Conflict: nothing is left to change, or more tests would be quarantined than policy looked at.
            BadInput: the file on the target can't be read.
        """
        effect = effect_of(reservation, ChangeQuarantine)
        repository = self._repository(effect, reservation.repository)
        branch = quarantine_branch(reservation.id)
        counts = (
            f"{len(effect.amend)} entries change."
            if effect.amend and not effect.enter and not effect.leave
            else f"{len(effect.enter)} tests enter, {len(effect.leave)} leave."
        )
        head = self._track.file_branch(
            repository,
            path=PLACE,
            edit=lambda text: edited(text, effect),
            branch=branch,
            message=run_message(effect.title, counts, reservation),
            at=request.at,
            patch=patch_of(reservation),
        )
        if head is None:  # `edited` raises before: the file would have to be empty
            raise Refused(f"{PLACE} would stay as it is")
        made = self._changes.open_change(
            ChangeSpec(
                repository=repository.name,
                branch=branch,
                head=head,
                title=effect.title,
                body=effect.body,
                author=Author(kind="agent", name=reservation.agent),
            )
        )
        self._note(repository.name, made.id, "open", effect, request.at)
        return made

    @activity.defn(name="quarantine_holds")
    @typed_failures
    @with_pulse
    def holds(self, repository: str, sha: str, effect: ChangeQuarantine) -> bool:
        """Whether the commit's file names every test that enters and none that leaves, and has the changes.

        Raises BadInput for a file that can't be read, which quarantines nothing.
        """
        declared = self._repository(effect, repository)
        try:
            text = self._track.read_text(declared, sha=sha, path=PLACE, most=MOST_BYTES)
        except NotFound:
            text = None
        return holds(text, effect)

    @activity.defn(name="quarantine_ended")
    @typed_failures
    def ended(self, ended: Ended) -> None:
        """Keep how it ended, and track the repair of what is quarantined now.

        That a forge takes no issues is told in the log, and housekeeping tries again: what has landed is in
        force without them. Raises NotFound, Unavailable.
        """
        repository, effect = self._repository(ended.effect, ended.repository).name, ended.effect
        self._note(repository, ended.change, ended.state, effect, ended.at)
        if ended.state != "over":
            return
        self._memory.note_tracking(repository, ended.change, tracked=False)
        self._memory.note_named(repository, [one.entry.test.stored() for one in effect.written], ended.at)
        entered = [one.entry for one in effect.written]
        try:
            track(self._issues, repository, ended.change, entered=entered, left=effect.leave)
        except LeverframeError as error:
            if isinstance(error, Unavailable) and activity.info().attempt < PATIENCE:
                raise
            activity.logger.warning("repairs of %s are not tracked yet: %s", ended.change, error)
            return
        self._memory.note_tracking(repository, ended.change, tracked=True)

    def _note(
        self, repository: str, change: str, state: ChangeState, effect: ChangeQuarantine, at: datetime
    ) -> None:
        note = QuarantineNote(
            change=change,
            state=state,
            enter=tuple(one.entry.test.stored() for one in effect.enter),
            leave=tuple(test.stored() for test in effect.leave),
            opened_at=at,
            amend=tuple(amended(one.was, one.entry) for one in effect.amend),
        )
        self._memory.note(repository, [note])

    def _repository(self, effect: ChangeQuarantine, name: str) -> Repository:
        if effect.repository != name:
            raise Refused(f"it is asked for {name}, but the effect is on {effect.repository}")
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]


def preview(
    track: Track, repository: Repository, effect: ChangeQuarantine, at: datetime
) -> TreeDifference | None:
    """What the effect would change now. Raises as `QuarantineActivities.change` does."""
    return track.preview_file(repository, path=PLACE, edit=lambda text: edited(text, effect), at=at)
