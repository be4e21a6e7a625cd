"""Words of the merge train that cross a process boundary: freezes, overrides, native queues, findings."""

from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Sha

Method = Literal["merge", "squash", "rebase"]
"""How a change becomes a car: two parents; one commit with all of it; each of its commits again."""

Evidence = Literal["exact", "covered", "composed", "override", "native"]
"""What a receipt proves.

- `exact`: every required check passed on the landed commit itself.
- `covered`: it landed below a commit of the same batch on which every required check passed.
- `composed`: it was restacked past another lane; each declared target has the tree that was tested.
- `override`: two people landed it with fewer checks, which the receipt names.
- `native`: the forge's own queue landed it, and the audit saw the landed tree and patch.
"""

FreezeMode = Literal["drain", "hold_landing", "hotfix_only"]
"""`drain`: what is queued lands, nothing new is taken. `hold_landing`: cars are tested, none lands.
`hotfix_only`: only hotfixes are tested and land. A train without a freeze is open."""


class Freeze(Frozen):
    """A train that is not open: since when, by whom, why and until when."""

    mode: FreezeMode
    owner: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)
    since: Instant
    until: Instant | None = None
    """When it ends by itself; None when a person has to thaw."""


class Look(Frozen):
    """Something may have changed: ask the forge again. It says nothing that anybody has to believe."""

    reason: str = Field(min_length=1, max_length=200)
    """In our own words, for the history."""


class Override(Frozen):
    """Two people want a change landed with fewer checks than are required."""

    people: tuple[str, str]
    reason: str = Field(min_length=1, max_length=500)
    checks: tuple[str, ...] = ()
    """The checks that it still has to pass."""


class NativeEntry(Frozen):
    """One change in the forge's own queue, as the forge tells it."""

    change: str
    head: Sha
    state: Literal["queued", "testing", "mergeable", "blocked"]
    position: int = Field(ge=0)
    car: Sha | None = None
    """The commit that the forge tests, where it says so."""
    base: Sha | None = None


class NativeLanded(Frozen):
    """The forge's queue landed the change."""

    kind: Literal["landed"] = "landed"
    change: str
    head: Sha
    sha: Sha
    """The commit of the target that has it."""


class NativeRemoved(Frozen):
    """The change left the forge's queue without landing."""

    kind: Literal["removed"] = "removed"
    change: str
    reason: Literal["conflict", "check_failed", "check_inconclusive", "withdrawn", "head_moved", "refused"]
    detail: str


NativeEnding = Annotated[NativeLanded | NativeRemoved, Field(discriminator="kind")]


class Capability(Frozen):
    """Whether the forge's own queue can carry a repository's changes, and why (not)."""

    native: bool
    why: str
    facts: dict[str, str] = Field(default_factory=dict)
    """What was looked at: the edition, the ruleset, the merge method, the strategy …"""


class Rehearsal(Frozen):
    """What git and a remote say of a landing that moves nothing."""

    git: str
    """The version, as it is told."""
    tip: Sha
    pushed: bool
    """Whether refs were really pushed and taken away again, so that the remote's rules were asked."""
    rewinds: Literal["refused", "taken", "unknown"]
    """Whether the target can be moved or deleted by force; known of a repository on this disk."""


class AuditFinding(Frozen):
    """One thing on the target that no receipt proves."""

    kind: Literal[
        "foreign_commit",
        "rewound",
        "tree_differs",
        "patch_differs",
        "receipt_gap",
        "receipt_without_commit",
    ]
    sha: Sha
    change: str | None = None
    detail: str
    """In words: what was expected, what is there."""
    difference: str = ""
    """The difference as a stat, bounded; data from outside."""


class AuditReport(Frozen):
    """What an audit of the target saw."""

    repository: str
    target: str
    tip: Sha
    since: Sha | None
    """The commit that an earlier audit vouched for; None when all of it was read."""
    commits: int = Field(ge=0)
    receipts: int = Field(ge=0)
    findings: tuple[AuditFinding, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every commit is what a receipt says."""
        return not self.findings
