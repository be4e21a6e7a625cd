"""The forge: changes from the forge's record, overlays and artifacts from git. Runs on the hands queue.

Every method is safe to run again: branches are named by what they are for. What an agent does takes the
`Reservation` for exactly that. Cars and landings are in `activities.train`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from pydantic import Field
from temporalio import activity

from activities.build_ports import Builds
from activities.car_jobs import keep_car_job
from activities.deployments import repointing
from activities.failures import typed_failures
from activities.jobs_port import JobAttempts
from activities.ports import Changes, Deployments
from activities.pulse import with_pulse
from activities.quarantining import preview as preview_quarantine
from activities.reserved import effect_of, patch_of, run_message
from activities.track_port import Track
from leverframe.model.changes import (
    Author,
    CarEjected,
    CarLanded,
    CarOutcome,
    Change,
    ChangeSpec,
    CheckResult,
    Conflicted,
    Priority,
    Receipt,
)
from leverframe.model.differences import TreeDifference
from leverframe.model.errors import Conflict, NotFound, Refused
from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.ids import overlay_branch, revert_branch
from leverframe.model.proposals import ChangeQuarantine, Effect, RevertChange, RollBack
from leverframe.model.releases import Artifact, Environment
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted
from policies.decision import Reservation

RELEASE_MACHINERY = Author(kind="release", name="leverframe")

MadeT = TypeVar("MadeT", TreeDifference, str)


_RECENT_CHANGES = 200


class OverlayRequest(Frozen):
    """Point an environment's overlay at a SHA."""

    repository: Slug
    environment: Environment
    sha: Sha
    priority: Priority = Priority.PROMOTION
    reason: str = Field(min_length=1, max_length=500)
    """One sentence of ours; it becomes the change's body."""
    key: str = Field(min_length=1)
    """Names the act. Forward, back and forward again are three acts with three keys."""
    at: Instant


class RevertRequest(Frozen):
    """When a reservation's `RevertChange` is carried out."""

    at: Instant


class RollBackRequest(Frozen):
    """When a reservation's `RollBack` is carried out, and why in words."""

    at: Instant
    reason: str = "an agent rolls production back"


class ForgeActivities:
    """Changes, overlays and artifacts of the declared repositories."""

    def __init__(
        self,
        changes: Changes,
        track: Track,
        repositories: Mapping[str, Repository],
        builds: Builds | None = None,
        book: Deployments | None = None,
        *,
        jobs: JobAttempts | None = None,
    ) -> None:
        """Without `builds` nothing is known of what commits were built as; without a `book` nobody keeps who
        moved production's overlay, and without `jobs` nobody how often the train's checks failed and passed.
        """
        self._changes = changes
        self._track = track
        self._repositories = repositories
        self._builds = builds
        self._book = book
        self._jobs = jobs

    @activity.defn(name="describe")
    @typed_failures
    def describe(self, repository: str) -> Repository:
        """What the platform team declared. Raises NotFound."""
        return self._repository(repository)

    @activity.defn(name="open_change")
    @typed_failures
    def open_change(self, spec: ChangeSpec) -> Change:
        """Open a change for a branch that exists. Idempotent by branch."""
        self._repository(spec.repository)
        return self._changes.open_change(spec)

    @activity.defn(name="get_change")
    @typed_failures
    def get_change(self, change: str) -> Change:
        """Raises NotFound."""
        return self._changes.change(change)

    @activity.defn(name="record_check")
    @typed_failures
    @with_pulse
    def record_check(self, change: str, result: CheckResult) -> None:
        """Keep a check's result for its commit."""
        self._changes.record_check(change, result)
        if self._jobs is not None:
            info = activity.info()
            test, at = info.workflow_id or "", info.scheduled_time
            keep_car_job(self._jobs, self._repositories, result, test=test, at=at)

    @activity.defn(name="checks")
    @typed_failures
    def checks(self, sha: str) -> list[CheckResult]:
        """What is known of a commit."""
        return self._changes.checks(sha)

    @activity.defn(name="settle_change")
    @typed_failures
    def settle_change(self, outcome: CarOutcome) -> None:
        """Tell the change how its ride ended: its state and one comment."""
        if isinstance(outcome, CarLanded):
            receipt = outcome.receipt
            self._changes.mark_landed(outcome.change, receipt.sha)
            self._keep_repointing(receipt)
            passed = ", ".join(result.check for result in receipt.checks) or "none needed"
            body = (
                f"Landed on {receipt.target} as {receipt.sha}, the commit that was tested ({passed}), "
                f"with this change at {receipt.head[:12]}."
            )
        else:
            if self._left(outcome).state == "landed":
                return
            body = f"Taken off the train ({outcome.reason}): {outcome.detail}"
        self._changes.comment(outcome.change, key="train", body=body)

    @activity.defn(name="export")
    @typed_failures
    @with_pulse
    def export(self, repository: str, sha: str) -> Artifact:
        """The one artifact of a commit."""
        return self._track.export(self._repository(repository), sha)

    @activity.defn(name="overlay_change")
    @typed_failures
    @with_pulse
    def overlay_change(self, request: OverlayRequest) -> Change | None:
        """A change that re-points an overlay; None when it names the SHA already.

        Raises:
            Conflict: a promotion would take the overlay back from a newer commit, which has overtaken it.
        """
        return self._point_overlay(request, RELEASE_MACHINERY)

    @activity.defn(name="overlay_sha")
    @typed_failures
    def overlay_sha(self, repository: str, environment: Environment) -> str | None:
        """What the overlay on the target's tip names.

        Raises:
            Refused: it pins another digest than the one that the commit was built as.
        """
        named = self._track.overlay(self._repository(repository), environment)
        build = self._build(repository, named.sha) if named.sha else None
        if build and named.digest not in (None, build.digest):
            raise Refused(
                f"the overlay of {environment} names {build.sha[:12]} with the digest {named.digest}, but"
                f" that commit was built as {build.digest}: point the overlay at one build, not at two"
            )
        return named.sha

    @activity.defn(name="overlay_history")
    @typed_failures
    def overlay_history(self, repository: str, environment: Environment) -> list[str]:
        """The distinct SHAs the overlay has named, newest first."""
        return self._track.overlay_history(self._repository(repository), environment)

    @activity.defn(name="is_ancestor")
    @typed_failures
    def is_ancestor(self, repository: str, ancestor: str, descendant: str) -> bool:
        """Whether one commit is contained in another."""
        return self._track.is_ancestor(self._repository(repository), ancestor=ancestor, descendant=descendant)

    @activity.defn(name="preview")
    @typed_failures
    @with_pulse
    def preview(self, repository: str, effect: Effect, at: datetime) -> TreeDifference | None:
        """What the effect would change in the repository now; None when it changes no file. Pushes nothing.

        Raises:
            Conflict: the commit no longer reverts cleanly, or is undone already.
            NotFound, Refused, BadInput: it can't be done at all, and pulling the lever would say the same.
        """
        declared = self._repository(repository)
        if isinstance(effect, RevertChange):
            _same_repository(effect, repository)
            return _clean(self._track.preview_revert(declared, commit=effect.commit, at=at), effect)
        if isinstance(effect, RollBack):
            _same_service(effect, declared)
            build = self._build(repository, effect.to)
            return self._track.preview_overlay(
                declared, environment="production", sha=effect.to, at=at, build=build
            )
        if isinstance(effect, ChangeQuarantine):
            _same_repository(effect, repository)
            return preview_quarantine(self._track, declared, effect, at)
        return None

    @activity.defn(name="revert")
    @typed_failures
    def revert(self, reservation: Reservation, request: RevertRequest) -> Change:
        """Open the change that undoes a landed commit.

        Raises:
            Refused: the reservation is for something else, or for another difference than it is by now.
            Conflict: the commit no longer reverts cleanly, or is undone already.
        """
        effect = effect_of(reservation, RevertChange)
        _same_repository(effect, reservation.repository)
        repository = self._repository(effect.repository)
        branch = revert_branch(effect.commit, reservation.id)
        pushed = self._track.revert_branch(
            repository,
            commit=effect.commit,
            branch=branch,
            message=run_message(effect.title, f"This reverts commit {effect.commit}.", reservation),
            at=request.at,
            patch=patch_of(reservation),
        )
        head = _clean(pushed, effect)
        return self._changes.open_change(
            ChangeSpec(
                repository=repository.name,
                branch=branch,
                head=head,
                title=effect.title,
                body=effect.body,
                author=Author(kind="agent", name=reservation.agent),
            )
        )

    @activity.defn(name="roll_back")
    @typed_failures
    def roll_back(self, reservation: Reservation, request: RollBackRequest) -> Change | None:
        """Open the hotfix that puts production's overlay back; None when it is back already.

        Raises:
            Refused: the reservation is for something else, or for another difference than it is by now.
        """
        effect = effect_of(reservation, RollBack)
        repository = self._repository(reservation.repository)
        _same_service(effect, repository)
        overlay = OverlayRequest(
            repository=repository.name,
            environment="production",
            sha=effect.to,
            priority=Priority.HOTFIX,
            reason=request.reason,
            key=reservation.id,
            at=request.at,
        )
        return self._point_overlay(overlay, Author(kind="agent", name=reservation.agent), reservation)

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]

    def _build(self, repository: str, sha: str) -> Artifact | None:
        """What the commit is recorded to be built as."""
        return self._builds.find(repository, sha) if self._builds else None

    def _left(self, outcome: CarEjected) -> Change:
        """The change after it left the train. One whose head moved is open: its new head may ride."""
        if outcome.reason == "head_moved":
            return self._changes.change(outcome.change)
        return self._changes.mark_ejected(outcome.change, outcome.detail)

    def _keep_repointing(self, receipt: Receipt) -> None:
        if self._book is None:
            return
        moved = repointing(self._track, self._repository(receipt.repository), receipt)
        if moved is not None:
            self._book.keep_repointing(moved)

    def _point_overlay(
        self, request: OverlayRequest, author: Author, reservation: Reservation | None = None
    ) -> Change | None:
        repository = self._repository(request.repository)
        branch = overlay_branch(request.environment, request.sha, request.key)
        title = f"Point {repository.service.name} in {request.environment} at {request.sha[:12]}"
        head = self._track.overlay_branch(
            repository,
            environment=request.environment,
            sha=request.sha,
            branch=branch,
            message=run_message(title, request.reason, reservation),
            at=request.at,
            patch=patch_of(reservation) if reservation else None,
            build=self._build(repository.name, request.sha),
        )
        if head is None:
            return None
        if request.priority is Priority.PROMOTION:
            self._see_that_it_goes_forward(repository, request, branch)
        return self._changes.open_change(
            ChangeSpec(
                repository=repository.name,
                branch=branch,
                head=head,
                title=title,
                body=request.reason,
                author=author,
                priority=request.priority,
            )
        )

    def _see_that_it_goes_forward(self, repository: Repository, request: OverlayRequest, branch: str) -> None:
        """Asked once the branch is there: what lands from here on, the train sees as a conflict with it.

        So it does for a change that an earlier attempt has opened, which must not stay open for nobody.
        """
        named = self._track.overlay(repository, request.environment).sha
        if named is None or named == request.sha:
            return
        try:
            newer = self._track.is_ancestor(repository, ancestor=request.sha, descendant=named)
        except NotFound:
            return
        recent = self._changes.list_changes(repository.name, limit=_RECENT_CHANGES) if newer else []
        if newer and not any(one.branch == branch for one in recent):
            raise Conflict(
                f"the overlay of {request.environment} names {named[:12]}, which is newer than "
                f"{request.sha[:12]}"
            )


def _same_repository(effect: RevertChange | ChangeQuarantine, repository: str) -> None:
    if effect.repository != repository:
        raise Refused(f"it is asked for {repository}, but the effect is on {effect.repository}")


def _same_service(effect: RollBack, repository: Repository) -> None:
    if repository.service.name != effect.service:
        raise Refused(f"{repository.name} builds {repository.service.name}, not {effect.service}")


def _clean(made: MadeT | Conflicted, effect: RevertChange) -> MadeT:
    """What was made. Raises Conflict when there was nothing to make."""
    if isinstance(made, Conflicted):
        named = Untrusted(", ".join(made.paths[:5])).for_terminal()
        raise Conflict(f"{effect.commit[:12]} no longer reverts cleanly: later changes touch {named}")
    return made
