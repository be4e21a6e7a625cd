"""What becomes of each release is kept for good, with what git and the forge say of its change.

Runs on the hands queue. The figures of delivery are counted from what is kept here.
"""

from collections.abc import Mapping
from contextlib import suppress

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import Changes, Deployments
from activities.pulse import with_pulse
from activities.track_port import Track
from agents.registry import agent
from leverframe.model.changes import Author, Change, Priority, Receipt
from leverframe.model.deployments import (
    ChangeOrigin,
    DeploymentRecord,
    ReleaseEntry,
    Repointing,
    Rework,
)
from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.model.signals import ErrorBatch
from leverframe.model.topology import Repository


class DeploymentActivities:
    """The book of deployments of the declared repositories."""

    def __init__(
        self,
        book: Deployments,
        changes: Changes,
        track: Track,
        repositories: Mapping[str, Repository],
    ) -> None:
        self._book = book
        self._changes = changes
        self._track = track
        self._repositories = repositories

    @activity.defn(name="record_deployment")
    @typed_failures
    @with_pulse
    def record(self, entry: ReleaseEntry) -> None:
        """Keep how far a release is. Idempotent; what comes after its end changes nothing."""
        receipt = entry.receipt
        repository = self._repositories.get(receipt.repository)
        if repository is None:
            raise NotFound(f"repository {receipt.repository!r} is not declared")
        change = self._change(receipt)
        origin = self._origin(repository, receipt)
        self._book.keep(
            DeploymentRecord(
                repository=repository.name,
                service=repository.service.name,
                sha=receipt.sha,
                sequence=receipt.sequence,
                change=receipt.change,
                author=receipt.author,
                committed_at=origin.committed_at,
                opened_at=change.opened_at if change else None,
                landed_at=receipt.landed_at,
                rework=rework(receipt.author, change, origin),
                reverts=origin.reverts,
                began_at=entry.moments.began_at or receipt.landed_at,
                entered_at=entry.moments.entered_at,
                live_at=entry.moments.live_at,
                recovered_at=entry.moments.recovered_at,
                **entry.model_dump(exclude={"receipt", "moments"}),
            )
        )

    def _change(self, receipt: Receipt) -> Change | None:
        with suppress(NotFound):
            return self._changes.change(receipt.change)
        return None

    def _origin(self, repository: Repository, receipt: Receipt) -> ChangeOrigin:
        """Of the change's own commits; of the landed one where the forge has dropped them."""
        for head in (receipt.head, receipt.sha):
            with suppress(NotFound):
                return self._track.origin(repository, base=receipt.base, head=head)
        return ChangeOrigin()


def rework(author: Author, change: Change | None, origin: ChangeOrigin) -> Rework | None:
    """Why a change is no planned one, as far as its own record says; None when nothing says so."""
    if origin.reverts is not None:
        return "revert"
    if change is not None and change.priority is Priority.HOTFIX:
        return "hotfix"
    return "repair" if _repairs(author) else None


def _repairs(author: Author) -> bool:
    """Whether an agent that watches what users meet made it. One that is gone from here did not."""
    if author.kind != "agent":
        return False
    try:
        return agent(author.name).watches is ErrorBatch
    except BadConfiguration:
        return False


def repointing(track: Track, repository: Repository, receipt: Receipt) -> Repointing | None:
    """What a landing did to production's overlay, when the release machinery did not do it.

    None for any other landing, and for one after which the overlay names no commit.
    """
    overlay = repository.service.overlays.get("production")
    if receipt.author.kind == "release" or overlay is None or overlay not in receipt.paths:
        return None
    named = track.overlay_at(repository, "production", sha=receipt.sha)
    if named is None:
        return None
    return Repointing(
        service=repository.service.name,
        landed_as=receipt.sha,
        named=named,
        change=receipt.change,
        author=receipt.author,
        landed_at=receipt.landed_at,
    )
