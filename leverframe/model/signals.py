"""Signals: observed facts with an idempotency key. A gateway makes them, a watch folds them."""

from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.untrusted import Untrusted


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

    @property
    def total(self) -> int:
        """Events in the batch."""
        return sum(bin_.count for bin_ in self.counts)


Signal = ErrorBatch
"""Every kind of signal; a union discriminated by `kind` as kinds are added."""
