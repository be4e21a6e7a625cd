"""Signals: observed facts with an idempotency key. A gateway makes them, a watch folds them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.untrusted import Untrusted

SUITE: Literal["SUITE"] = "SUITE"
"""The one subject of a repository's tests: they share one file, and so one run at a time."""


class SecondCount(Frozen):
    """How many events were accepted in one second of wall-clock time."""

    second: int = Field(ge=0)
    """Unix time, whole seconds, UTC: when the gateway accepted them (event clocks can lie)."""
    count: int = Field(gt=0)


class ErrorBatch(Frozen):
    """Many events of one error group, coalesced by the gateway into one signal."""

    kind: Literal["errors"] = "errors"
    id: str
    """Idempotency key: the same batch, delivered twice, is counted once."""
    repository: Slug
    service: Slug
    subject: str = Field(pattern=r"^[A-Z0-9][A-Z0-9_.-]{0,80}$")
    """The error group, for example `SHOP-1A2B3C4D5E6F`."""
    title: Untrusted
    counts: tuple[SecondCount, ...] = Field(min_length=1, max_length=600)
    escalating: bool = False
    """The error tracker itself says that the group escalates."""
    received_at: Instant

    noun: ClassVar[str] = "event"
    """What `total` counts, for people."""

    @property
    def total(self) -> int:
        """Events in the batch."""
        return sum(bin_.count for bin_ in self.counts)


class ReportArrived(Frozen):
    """One report of a repository's tests is in the store; what it says stays there."""

    kind: Literal["test_report"] = "test_report"
    id: str = Field(min_length=1, max_length=200)
    """Idempotency key: the same report, announced twice, is one."""
    repository: Slug
    service: Slug
    subject: Literal["SUITE"] = SUITE
    title: Untrusted
    """Which job told it, and of which branch."""
    received_at: Instant

    noun: ClassVar[str] = "test report"

    @property
    def total(self) -> int:
        """Each is one."""
        return 1

    @property
    def escalating(self) -> bool:
        """A report says nothing of urgency."""
        return False


Signal = Annotated[ErrorBatch | ReportArrived, Field(discriminator="kind")]
"""Every kind of signal. All have an id, a repository, a service, a subject, a title, a total and a time."""
