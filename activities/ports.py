"""Ports: what the activities need from the outside. Backends implement them, one file per vendor.

All methods are synchronous (activities run in threads), idempotent where they write, and raise only
`leverframe.model.errors`. A backend module also has `BACKEND = Backend(...)` for `bootstrap` and `doctor`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from leverframe.model.changes import (
    Change,
    ChangeSpec,
    CheckResult,
)
from leverframe.model.checks import Check
from leverframe.model.deployments import DeploymentHistory, DeploymentRecord, Repointing
from leverframe.model.facts import FlagObservation, FlagState, ReleaseObservation
from leverframe.model.flags import Audience, FlagHealthDocument, FlagReading
from leverframe.model.frozen import Instant
from leverframe.model.topology import Probe, Repository
from leverframe.model.untrusted import Untrusted
from policies.audit import Head, Record
from policies.documents import PolicySnapshot
from policies.people import Person
from policies.question import Ending, Question

Kind = Literal[
    "changes",
    "checks",
    "queue",
    "pages",
    "track",
    "flags",
    "flag_metrics",
    "errors",
    "delivery",
    "gitops",
    "metrics",
    "chat",
    "sandbox",
    "audit",
    "deployments",
    "eyes",
    "arms",
    "policy_source",
    "terraform",
    "builder",
    "builds",
    "permits",
    "notes",
    "issues",
    "reports",
    "results",
]


@dataclass(frozen=True, kw_only=True)
class Health:
    """What `doctor` prints for one configured backend."""

    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to provide a port."""

    kind: Kind
    name: str
    scopes: tuple[str, ...]
    """The permissions it needs, in the vendor's words; empty for local ones."""
    build: Callable[..., Any]


class Changes(Protocol):
    """The forge's record of changes: merge requests, their checks and comments."""

    def open_change(self, spec: ChangeSpec) -> Change:
        """Open a change, or return the open one of the same branch. A moved head updates it.

        Raises:
            Conflict: the branch name belongs to a change that has ended.
        """
        ...

    def change(self, change: str) -> Change:
        """Raises NotFound."""
        ...

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        """Newest first."""
        ...

    def mark_landed(self, change: str, sha: str) -> Change: ...

    def mark_ejected(self, change: str, detail: str) -> Change: ...

    def comment(self, change: str, *, key: str, body: str) -> None:
        """Write a Markdown comment; the same key again replaces its text."""
        ...

    def comments(self, change: str) -> list[tuple[str, str]]:
        """`(key, body)` in the order they were first written."""
        ...

    def record_check(self, change: str, result: CheckResult) -> None:
        """Keep the result for (sha, check); a later result replaces it."""
        ...

    def checks(self, sha: str) -> list[CheckResult]: ...

    def health(self) -> Health: ...


class Flags(Protocol):
    """The flag backend: writes through its own door, reads through OpenFeature."""

    def list(self) -> list[FlagState]: ...

    def set(self, flag: str, on: bool, *, key: str, reason: str) -> bool:
        """Switch a flag for everybody; True if it changed, False if it was so already.

        `key` (a reservation id, or a person's name and time) is recorded beside the flag, so that a
        retry finds what it did. Raises NotFound for an unknown flag.
        """
        ...

    def evaluate(
        self,
        flag: str,
        *,
        targeting_key: str = "leverframe-verify",
        attributes: Mapping[str, str] = MappingProxyType({}),
    ) -> bool:
        """Evaluate through the OpenFeature SDK, as the service does. Raises NotFound."""
        ...

    def read(self, flag: str) -> FlagReading:
        """Who has the flag now. Raises NotFound."""
        ...

    def expose(self, flag: str, audience: Audience, *, expected: str, key: str, reason: str) -> FlagReading:
        """Give the flag to an audience if it is at the revision `expected`; the same key again finds it done.

        Raises:
            Conflict: somebody else has changed the flag since; nothing is overwritten.
        """
        ...

    def health(self) -> Health: ...


class FlagMetrics(Protocol):
    """Where it is known what requests did under each variant of a flag."""

    def flag_health(self, service: str, flag: str) -> FlagHealthDocument:
        """Raises Unavailable: blind is not green and not red."""
        ...

    def health(self) -> Health: ...


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """What the error tracker knows about one group within a time span."""

    title: Untrusted
    exception: Untrusted
    trace: Untrusted
    route: Untrusted
    total: int
    sampled: int
    first_at: Instant
    frames: tuple[tuple[str, Untrusted, int], ...]
    """`(path as the event says, function, line)`, crash frame first, in-app only. Paths are hostile."""
    flags: tuple[FlagObservation, ...]
    """Every flag name in the sampled events, known or not."""
    releases: tuple[ReleaseObservation, ...]


class Errors(Protocol):
    """The error tracker."""

    def group(self, *, service: str, subject: str, since: datetime, max_events: int) -> ErrorGroup:
        """Raises NotFound."""
        ...

    def count(self, *, service: str, subject: str, since: datetime) -> int:
        """Events accepted at or after `since`."""
        ...

    def health(self) -> Health: ...


class Chat(Protocol):
    """Where people are asked. Answers come back through the approval's Update, never through here."""

    def ask(self, question: Question, group: str) -> str:
        """Show the question to a group, once each; returns where (a permalink or a hint)."""
        ...

    def remind(self, approval: str, group: str, *, missing: Sequence[Person], text: str) -> None:
        """Say beside the question that it still waits, and for whom. NotFound: it was never shown here."""
        ...

    def close(self, approval: str, ending: Ending) -> None:
        """Say how it ended wherever it was shown, and take the buttons away. The first ending stands."""
        ...

    def hold(self, question: Question, group: str) -> None:
        """Keep the question for the group's next digest. Idempotent."""
        ...

    def digest(self, day: str) -> int:
        """Show everything that is held and still open, one message a group; returns how many questions.

        `day` (`2026-11-22`) makes it idempotent.
        """
        ...

    def tell(self, key: str, *, text: str) -> None:
        """A notice that asks nothing. The same key is told once."""
        ...

    def health(self) -> Health: ...


class AuditLog(Protocol):
    """Keeps what the ledger wrote. It adds nothing and changes nothing."""

    def append(self, organisation: str, records: Sequence[Record]) -> None:
        """Idempotent. Raises Conflict when another record has the same number, or one is left out."""
        ...

    def read(self, organisation: str, *, after: int = 0, limit: int = 1000) -> list[Record]:
        """The records that follow, oldest first."""
        ...

    def head(self, organisation: str) -> Head: ...

    def keep_snapshot(self, organisation: str, snapshot: PolicySnapshot) -> None:
        """Keep a policy by its digest, for explaining decisions made under it. Idempotent."""
        ...

    def snapshot(self, organisation: str, policy_digest: str) -> PolicySnapshot:
        """Raises NotFound."""
        ...

    def health(self) -> Health: ...


class Deployments(Protocol):
    """Keeps what became of each release, for longer than the engine does."""

    def keep(self, record: DeploymentRecord) -> None:
        """Keep a release by its service and commit. One whose end is kept stays as it is."""
        ...

    def keep_repointing(self, moved: Repointing) -> None:
        """Keep that somebody moved production's overlay. Idempotent."""
        ...

    def history(self) -> DeploymentHistory:
        """All of it."""
        ...

    def health(self) -> Health: ...


@dataclass(frozen=True, kw_only=True)
class PolicyFiles:
    """The policy files of one revision."""

    revision: str
    """A commit, or the directory."""
    files: dict[str, str]
    """Path relative to the policy directory → text."""


class PolicySource(Protocol):
    """Where policies come from: never the branch that is being changed."""

    def read(self) -> PolicyFiles:
        """Raises BadConfiguration: there is no such directory or file; Unavailable: it can't be read now."""
        ...

    def health(self) -> Health: ...


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What one declared request did to one commit inside the sandbox."""

    probe: str
    status: int
    """HTTP status, or 0 when no response came."""
    detail: str


@dataclass(frozen=True, kw_only=True)
class ReportsPlace:
    """Where the test reports of a check go, and what the command is told of the run."""

    into: Path
    """A file that is written whole or not at all: a tar of the reports, named by numbers."""
    environment: Mapping[str, str]


class Sandbox(Protocol):
    """Runs repository code in a jail: no network, no credentials, bounded in every resource."""

    def run_check(
        self,
        check: Check,
        *,
        artifact: Path,
        sha: str,
        heartbeat: Callable[[], None],
        reports: ReportsPlace | None = None,
    ) -> CheckResult:
        """Unpack the tar in a fresh root and run the check's command there.

        Its test reports are brought to `reports`, if it leaves some; that changes nothing of the result.
        """
        ...

    def run_probes(
        self,
        repository: Repository,
        probes: Sequence[Probe],
        *,
        artifact: Path,
        sha: str,
        flags: dict[str, bool],
        heartbeat: Callable[[], None],
    ) -> list[ProbeResult]:
        """Start the service from the tar inside the jail with these flag values and send the probes."""
        ...

    def health(self) -> Health: ...
