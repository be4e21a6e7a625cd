"""Changes and cars: a change is what somebody wants to land, a car is that change as it will land."""

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.trains import Evidence, Method, Override


class Priority(IntEnum):
    """Lower rides first; first come, first served within a class."""

    HOTFIX = 0
    PROMOTION = 1
    NORMAL = 2


class Author(Frozen):
    """Who wants a change: a person, an agent or Leverframe's own release machinery."""

    kind: Literal["person", "agent", "release"]
    name: str = Field(min_length=1, max_length=100)


class ChangeSpec(Frozen):
    """What is needed to open a change. The branch exists already; its name is the idempotency key."""

    repository: Slug
    branch: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")
    head: Sha
    title: str = Field(min_length=1, max_length=200)
    body: str = ""
    author: Author
    priority: Priority = Priority.NORMAL


class Change(Frozen):
    """A merge request (GitLab) or pull request (GitHub)."""

    id: str
    """`shop/7`: the repository and a number."""
    repository: Slug
    branch: str
    head: Sha
    title: str
    body: str
    author: Author
    priority: Priority
    state: Literal["open", "landed", "ejected", "closed"]
    landed_as: Sha | None = None
    opened_at: Instant


class CheckResult(Frozen):
    """What one check said of one commit. Only `passed` is green."""

    check: Slug
    sha: Sha
    outcome: Literal["passed", "failed", "inconclusive"]
    """`inconclusive`: a time limit, a lost runner: neither the change's fault nor a proof."""
    seconds: float
    summary: str
    """One line in our own words."""
    log: str = ""
    """The tail of the output, scrubbed of control characters; data, never a command."""


class Car(Frozen):
    """One change composed onto one base: exactly what will land."""

    change: str
    sha: Sha
    base: Sha
    tree: Sha
    head: Sha
    paths: tuple[str, ...]
    """Paths that differ between base and car."""
    method: Method = "merge"


class Conflicted(Frozen):
    """The change does not apply to the base."""

    change: str
    base: Sha
    paths: tuple[str, ...]


class Receipt(Frozen):
    """The proof of landing, pushed as a ref in the same atomic push as the target."""

    repository: Slug
    target: str
    sequence: int = Field(ge=1)
    change: str
    sha: Sha
    base: Sha
    tree: Sha
    head: Sha
    checks: tuple[CheckResult, ...]
    author: Author
    paths: tuple[str, ...]
    landed_at: Instant
    method: Method = "merge"
    evidence: Evidence = "exact"
    covered_by: Sha | None = None
    """With `covered`: the commit of the batch that was tested. With `composed`: the car that was tested."""
    override: Override | None = None


Reason = Literal[
    "conflict",
    "check_failed",
    "incompatible",
    "check_inconclusive",
    "withdrawn",
    "head_moved",
    "refused",
    "empty",
]
"""Why a change left the train. `incompatible`: green by itself, red together with what landed before it."""

NextAction = Literal["merge_target", "push_fix", "enqueue_again", "mend_refusal", "close", "nothing"]

_NEXT: dict[Reason, NextAction] = {
    "conflict": "merge_target",
    "check_failed": "push_fix",
    "incompatible": "merge_target",
    "check_inconclusive": "enqueue_again",
    "withdrawn": "enqueue_again",
    "head_moved": "nothing",
    "refused": "mend_refusal",
    "empty": "close",
}


class CarLanded(Frozen):
    """The car came in: the tested commit is the tip of the target."""

    kind: Literal["landed"] = "landed"
    change: str
    receipt: Receipt


class CarEjected(Frozen):
    """The car was taken off; the train goes on."""

    kind: Literal["ejected"] = "ejected"
    change: str
    reason: Reason
    detail: str
    """What happened and what the author can do next, in words."""
    conflicts_with: tuple[str, ...] = ()
    """With `incompatible` and `conflict`: the changes that it does not go together with, where known."""

    @property
    def next_action(self) -> NextAction:
        """What the author, or the agent behind the change, can do."""
        return _NEXT[self.reason]


CarOutcome = Annotated[CarLanded | CarEjected, Field(discriminator="kind")]


class Enqueue(Frozen):
    """Ask the train to carry a change at exactly this head."""

    change: str
    head: Sha
    priority: Priority
    author: Author
    notify: tuple[str, ...] = ()
    """Workflow ids that get a `car_settled` signal, and `release_settled` if a release follows."""
    solo: bool = False
    """Never tested as a part of a batch."""
    title: str = ""
    """Shown to people, and nothing else; text from outside."""
