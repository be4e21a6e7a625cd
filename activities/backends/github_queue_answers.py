"""What GitHub's GraphQL API is asked about a merge queue, and the few fields of its answers.

Every field is read leniently: a state or a reason that GitHub adds is kept as text.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from leverframe.model.changes import Change
from leverframe.model.errors import Unavailable
from leverframe.model.frozen import Instant, Sha
from leverframe.model.trains import NativeEnding, NativeEntry, NativeLanded, NativeRemoved
from leverframe.model.untrusted import Untrusted

CONFIGURATION = """
query Configuration($owner: String!, $name: String!, $branch: String!) {
  repository(owner: $owner, name: $name) {
    isInOrganization
    visibility
    mergeQueue(branch: $branch) {
      configuration {
        mergeMethod mergingStrategy checkResponseTimeout maximumEntriesToBuild maximumEntriesToMerge
      }
    }
  }
}"""

ENTRIES = """
query Entries($owner: String!, $name: String!, $branch: String!, $cursor: String) {
  repository(owner: $owner, name: $name) {
    mergeQueue(branch: $branch) {
      entries(first: 100, after: $cursor) {
        nodes { position state baseCommit { oid } headCommit { oid } pullRequest { number headRefOid } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}"""

RIDE = """
query Ride($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      id state isDraft baseRefName headRefOid updatedAt isInMergeQueue
      headRef { target { oid } }
      mergeCommit { oid }
      timelineItems(last: 20, itemTypes: [ADDED_TO_MERGE_QUEUE_EVENT, REMOVED_FROM_MERGE_QUEUE_EVENT]) {
        nodes {
          kind: __typename
          ... on AddedToMergeQueueEvent { createdAt }
          ... on RemovedFromMergeQueueEvent { createdAt reason }
        }
      }
    }
  }
}"""

ENQUEUE = """
mutation Enqueue($pull: ID!, $head: GitObjectID!, $jump: Boolean!) {
  enqueuePullRequest(input: {pullRequestId: $pull, expectedHeadOid: $head, jump: $jump}) {
    mergeQueueEntry { id }
  }
}"""

DEQUEUE = """
mutation Dequeue($pull: ID!) {
  dequeuePullRequest(input: {id: $pull}) { mergeQueueEntry { id } }
}"""

QUESTIONS = (CONFIGURATION, ENTRIES, RIDE, ENQUEUE, DEQUEUE)

_Removal = Literal["conflict", "check_failed", "check_inconclusive", "withdrawn", "refused"]

_REMOVALS: Mapping[str, tuple[_Removal, str]] = {
    "MERGE_CONFLICT": ("conflict", "it does not apply to what is before it in the queue"),
    "CI_FAILURE": ("check_failed", "a required check failed on its merge group"),
    "FAILED_CHECKS": ("check_failed", "a required check failed on its merge group"),
    "CI_TIMEOUT": ("check_inconclusive", "a required check did not answer in the queue's time"),
    "CHECKS_TIMED_OUT": ("check_inconclusive", "a required check did not answer in the queue's time"),
    "MANUAL": ("withdrawn", "somebody took it out"),
    "QUEUE_CLEARED": ("withdrawn", "somebody cleared the queue"),
    "BRANCH_PROTECTIONS": ("refused", "a rule of the branch does not let it in"),
    "GIT_TREE_INVALID": ("refused", "GitHub could not make its tree"),
    "INVALID_MERGE_COMMIT": ("refused", "GitHub could not make its merge commit"),
    "ROLL_BACK": ("refused", "GitHub rolled it back"),
}
"""Reasons as webhooks name them (CI_FAILURE) and as the timeline does (failed_checks)."""

_MERGED = frozenset({"MERGE", "MERGED", "ALREADY_MERGED"})

_STATES: Mapping[str, Literal["queued", "testing", "mergeable", "blocked"]] = {
    "QUEUED": "queued",
    "AWAITING_CHECKS": "testing",
    "MERGEABLE": "mergeable",
    "LOCKED": "mergeable",
    "UNMERGEABLE": "blocked",
}

_SETTLED = timedelta(minutes=2)
"""GitHub takes an entry out a moment before it says that the change is merged, or why it is not."""


class _Oid(BaseModel):
    oid: Sha


class _Target(BaseModel):
    target: _Oid | None = None


class _Item(BaseModel):
    kind: str
    reason: str | None = None


class _Items(BaseModel):
    nodes: list[_Item | None] | None = None


class Configuration(BaseModel):
    """How a queue is set up."""

    merge_method: str = Field(default="", alias="mergeMethod")
    strategy: str = Field(default="", alias="mergingStrategy")
    check_minutes: int | None = Field(default=None, alias="checkResponseTimeout")
    builds: int | None = Field(default=None, alias="maximumEntriesToBuild")
    merges: int | None = Field(default=None, alias="maximumEntriesToMerge")


class Queue(BaseModel):
    """A branch's queue."""

    configuration: Configuration | None = None


class QueuedRepository(BaseModel):
    """A repository, and the queue of its target if there is one."""

    in_organisation: bool = Field(alias="isInOrganization")
    visibility: str = ""
    queue: Queue | None = Field(default=None, alias="mergeQueue")


class _QueuedPull(BaseModel):
    number: int
    head: Sha = Field(alias="headRefOid")


class _Entry(BaseModel):
    position: int = 0
    state: str = ""
    base: _Oid | None = Field(default=None, alias="baseCommit")
    car: _Oid | None = Field(default=None, alias="headCommit")
    pull: _QueuedPull | None = Field(default=None, alias="pullRequest")

    def native(self, repository: str) -> NativeEntry | None:
        """None for an entry whose pull request can't be seen."""
        if self.pull is None:
            return None
        car = self.car.oid if self.car else None
        return NativeEntry(
            change=f"{repository}/{self.pull.number}",
            head=self.pull.head,
            state=_STATES.get(self.state, "queued"),
            position=max(0, self.position),
            # Before its group is made an entry's head is the pull request's own.
            car=None if car == self.pull.head else car,
            base=self.base.oid if self.base else None,
        )


class _Page(BaseModel):
    more: bool = Field(alias="hasNextPage")
    cursor: str | None = Field(default=None, alias="endCursor")


class EntryPage(BaseModel):
    """One page of a queue's entries."""

    nodes: list[_Entry | None] | None = None
    page: _Page = Field(alias="pageInfo")

    def native(self, repository: str) -> list[NativeEntry]:
        """Those that can be seen."""
        found = (each.native(repository) for each in self.nodes or [] if each)
        return [each for each in found if each]


class Ride(BaseModel):
    """One pull request as its way through the queue needs it."""

    id: str
    state: str
    draft: bool = Field(default=False, alias="isDraft")
    base: str = Field(default="", alias="baseRefName")
    head: Sha = Field(alias="headRefOid")
    updated_at: Instant = Field(alias="updatedAt")
    queued: bool = Field(alias="isInMergeQueue")
    branch: _Target | None = Field(default=None, alias="headRef")
    merge_commit: _Oid | None = Field(default=None, alias="mergeCommit")
    timeline: _Items | None = Field(default=None, alias="timelineItems")

    @property
    def merged(self) -> bool:
        return self.state == "MERGED"

    def lags(self, head: str) -> bool:
        """Whether the branch is at `head` already and the pull request has yet to notice."""
        tip = self.branch.target if self.branch else None
        return self.head != head and tip is not None and tip.oid == head

    def ending(self, change: Change, *, at: datetime) -> NativeEnding | None:
        """How the change at its head left the queue; `at` is the time by GitHub's own clock.

        Raises:
            Unavailable: it is merged, and GitHub does not say as what yet.
        """
        events = [each for each in (self.timeline.nodes or [] if self.timeline else []) if each]
        if self.lags(change.head):
            return None
        if self.head != change.head:
            gone = f"it is at {self.head[:12]}, not at {change.head[:12]}"
            return _removed(change, "head_moved", gone) if events or self.merged else None
        if self.merged:
            if self.merge_commit is None:
                raise Unavailable(f"{change.id} is merged, and GitHub does not say as what yet")
            return NativeLanded(change=change.id, head=change.head, sha=self.merge_commit.oid)
        if self.queued or not events:
            return None
        last = events[-1]
        reason = _name(last.reason or "") if last.kind == "RemovedFromMergeQueueEvent" else ""
        if reason and reason not in _MERGED:
            return _because(change, last.reason or "")
        if at - self.updated_at < _SETTLED:
            return None
        return self._vanished(change, reason)

    def _vanished(self, change: Change, reason: str) -> NativeRemoved:
        if self.state == "CLOSED":
            return _removed(change, "withdrawn", "it was closed while it was in the queue")
        said = "says that it was merged, which it is not" if reason else "does not say why"
        return _removed(change, "refused", f"it is not in the queue any more, and GitHub {said}")


def _because(change: Change, told: str) -> NativeRemoved:
    """The reason as one of ours; one that we don't know is a refusal that keeps GitHub's word."""
    kind, words = _REMOVALS.get(_name(told), ("refused", "GitHub took it out of the queue"))
    return _removed(change, kind, f"{words} ({Untrusted(told).for_terminal(100)})")


def _removed(change: Change, reason: _Removal | Literal["head_moved"], detail: str) -> NativeRemoved:
    return NativeRemoved(change=change.id, reason=reason, detail=detail)


def _name(told: str) -> str:
    """`failed checks` and `failed_checks` are one reason."""
    return re.sub(r"[^A-Z0-9]+", "_", told[:100].upper()).strip("_")
