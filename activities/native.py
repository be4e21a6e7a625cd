"""The forge's own merge queue, as a train drives it. Runs on the hands queue.

We hand changes over at exactly their heads and look again and again how they fare. Whatever the forge lands
is audited and gets a receipt, as if our own train had landed it.
"""

from collections.abc import Mapping

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import Changes
from activities.pulse import with_pulse
from activities.track_port import Track
from activities.train_ports import NativeQueue
from leverframe.model.changes import Author, Change, Receipt
from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.topology import Repository
from leverframe.model.trains import AuditReport, Capability, NativeEnding, NativeEntry


class HandOver(Frozen):
    """One change for the forge's queue, or out of it."""

    repository: Slug
    change: str
    head: Sha
    hotfix: bool = False


class NativeLook(Frozen):
    """How do these changes fare?"""

    repository: Slug
    handed: tuple[HandOver, ...]


class NativeSight(Frozen):
    """What the forge's queue says."""

    entries: tuple[NativeEntry, ...]
    endings: tuple[NativeEnding, ...]
    missing: tuple[str, ...] = ()
    """Changes that are neither in the queue nor have left it: the forge never took them, or forgot them."""


class Receive(Frozen):
    """Audit what the forge landed, and write its receipt."""

    repository: Slug
    change: str
    head: Sha
    sha: Sha
    author: Author
    at: Instant


class Received(Frozen):
    """The receipt, and whether the landed commit is the change and nothing else."""

    receipt: Receipt
    report: AuditReport


class NativeActivities:
    """Drives the forge's queue. Without one everything but the question whether there is one is refused."""

    def __init__(
        self,
        changes: Changes,
        track: Track,
        repositories: Mapping[str, Repository],
        *,
        queue: NativeQueue | None = None,
    ) -> None:
        self._changes = changes
        self._track = track
        self._repositories = repositories
        self._queue = queue

    @activity.defn(name="native_capability")
    @typed_failures
    @with_pulse
    def capability(self, repository: str) -> Capability:
        """Whether the forge's own queue can carry the repository's changes."""
        declared = self._repository(repository)
        if self._queue is None:
            return Capability(native=False, why="There is no forge with a queue of its own.")
        return kept_by_the_forge(declared, self._queue.capability(declared))

    @activity.defn(name="native_enqueue")
    @typed_failures
    @with_pulse
    def enqueue(self, asked: HandOver) -> None:
        """Hand the change over at exactly this head. Raises Conflict, Refused."""
        repository = self._repository(asked.repository)
        self._driven().enqueue(repository, self._at_head(asked), hotfix=asked.hotfix)

    @activity.defn(name="native_dequeue")
    @typed_failures
    @with_pulse
    def dequeue(self, asked: HandOver) -> None:
        """Take the change back; one that is not in the queue is a success."""
        self._driven().dequeue(self._repository(asked.repository), self._at_head(asked))

    @activity.defn(name="native_look")
    @typed_failures
    @with_pulse
    def look(self, asked: NativeLook) -> NativeSight:
        """What is in the queue, and how the changes that are not in it any more left it."""
        repository, queue = self._repository(asked.repository), self._driven()
        entries = queue.entries(repository)
        present = {(entry.change, entry.head) for entry in entries}
        endings, missing = list[NativeEnding](), list[str]()
        for one in asked.handed:
            if (one.change, one.head) in present:
                continue
            ending = queue.ending(repository, self._at_head(one))
            if ending is None:
                missing.append(one.change)
            else:
                endings.append(ending)
        return NativeSight(entries=tuple(entries), endings=tuple(endings), missing=tuple(missing))

    @activity.defn(name="native_receive")
    @typed_failures
    @with_pulse
    def receive(self, landed: Receive) -> Received:
        """Audit the landed commit, then write its receipt. Idempotent."""
        repository = self._repository(landed.repository)
        report = self._track.audit_native(repository, change=landed.change, head=landed.head, sha=landed.sha)
        receipt = self._track.receive(
            repository,
            change=landed.change,
            head=landed.head,
            sha=landed.sha,
            author=landed.author,
            at=landed.at,
        )
        return Received(receipt=receipt, report=report)

    def _driven(self) -> NativeQueue:
        if self._queue is None:
            raise BadConfiguration("the train is set to the forge's own queue, and [changes] names no forge")
        return self._queue

    def _at_head(self, asked: HandOver) -> Change:
        return self._changes.change(asked.change).model_copy(update={"head": asked.head})

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]


def kept_by_the_forge(repository: Repository, told: Capability) -> Capability:
    """The capability where the rules leave the choice to us: without what the forge's queue can't prove."""
    if repository.train.track != "auto" or not told.native:
        return told
    if by_us := [check.name for check in repository.checks if check.runs_on == "sandbox"]:
        why = f"The forge's own queue does not run {', '.join(by_us)}, which the sandbox runs."
        return told.model_copy(update={"native": False, "why": why})
    if repository.infrastructure is not None:
        why = "The forge's own queue applies no infrastructure to dev before it lands."
        return told.model_copy(update={"native": False, "why": why})
    return told
