"""Releases: one landed SHA on its way to 100 % of real traffic."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from leverframe.model.changes import Receipt
from leverframe.model.frozen import Frozen, Instant, Sha, Slug

Environment = Literal["dev", "production"]

SignalName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9 _.-]{0,62}$")]
"""One thing that the gate watches, as verdicts name it: `errors`, `slower than 250 ms`, `restarts`."""

ERRORS = "errors"
"""Failed requests of all requests. Every source has it."""

RESTARTS = "restarts"
"""Seconds in which a process died although nobody wanted it to, of all instance-seconds."""

LATENCY_EDGES_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
"""Upper bounds of the latency histogram's buckets in the local router."""

MOST = 10**15
"""Events in one count."""

MOST_SIGNALS = 100
"""In one document, and in one rollout."""


def slower_than(edge_ms: int) -> SignalName:
    """The signal of the requests that took longer than one edge of the histogram."""
    return f"slower than {edge_ms} ms"


class Artifact(Frozen):
    """What was built, once, from one SHA."""

    service: Slug
    sha: Sha
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    path: str = ""
    """Of a tar: where it lies, relative to the artifact directory."""
    image: str = ""
    """Of an OCI image: its name in its registry, without tag and digest: `ghcr.io/acme/shop`."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.path) == bool(self.image):
            raise ValueError("an artifact is a tar with a path, or an image in a registry")
        return self

    @property
    def reference(self) -> str:
        """How people and clusters name it: `ghcr.io/acme/shop:<sha>@sha256:…`, or the tar's path."""
        return f"{self.image}:{self.sha}@{self.digest}" if self.image else self.path


class Count(Frozen):
    """Bad events out of exposure: errors of requests, slow ones of requests, abandoned of started flows."""

    bad: int = Field(default=0, ge=0, le=MOST)
    total: int = Field(default=0, ge=0, le=MOST)

    @model_validator(mode="after")
    def _no_more_bad_than_all(self) -> Self:
        if self.bad > self.total:
            raise ValueError(f"{self.bad} bad events can't be among {self.total}")
        return self

    def __add__(self, other: "Count") -> "Count":
        return Count(bad=self.bad + other.bad, total=self.total + other.total)


class SignalCounts(Frozen):
    """What one source has counted of one signal."""

    since: Instant
    """When the count began. Counts are comparable only between documents with the same beginning."""
    arms: dict[Sha, Count] = Field(max_length=20)
    """Cumulative, by SHA. A SHA that is not named has shown nothing yet."""


class HealthDocument(Frozen):
    """The one document that the gate reads: what happened on each SHA, signal by signal."""

    service: Slug
    taken_at: Instant
    stable: Sha
    canary: Sha | None
    canary_percent: int = Field(ge=0, le=100)
    signals: dict[SignalName, SignalCounts] = Field(default={}, max_length=MOST_SIGNALS)
    blind: dict[SignalName, Annotated[str, StringConstraints(max_length=500)]] = Field(
        default={}, max_length=MOST_SIGNALS
    )
    """Signals that can't be read now, and why. What is unsure is here, never a zero."""

    @model_validator(mode="after")
    def _read_or_blind(self) -> Self:
        if both := sorted(self.signals.keys() & self.blind.keys()):
            raise ValueError(f"{both[0]} can't be both read and blind")
        return self

    def only(self, names: Collection[str]) -> Self:
        """The document without the signals that nobody asks for."""
        return self.model_copy(
            update={
                "signals": {name: seen for name, seen in self.signals.items() if name in names},
                "blind": {name: why for name, why in self.blind.items() if name in names},
            }
        )


class DeliveryState(Frozen):
    """What the environment really runs, as its reconciler reports it."""

    environment: Environment
    wanted: Sha | None
    """What the overlay on the target branch names, as far as the reconciler has looked."""
    stable: Sha | None
    canary: Sha | None
    canary_percent: int = 0
    ready: bool
    """Every instance that should run answers its health path."""
    detail: str = ""


class Reconciliation(Frozen):
    """How far an environment's reconciler has taken over what git says."""

    environment: Environment
    revision: Sha | None
    """The commit that it has looked at last."""
    pending: bool
    """It was asked to look at git, and has not done so yet."""
    synced: bool
    """What it has applied is what the revision says."""
    automatic: bool
    """It takes over new commits by itself."""
    healthy: bool
    """What it has applied works, as far as it knows."""
    detail: str = ""

    @property
    def settled(self) -> bool:
        """Whether what runs can be taken for what git says: there is nothing that it has yet to do."""
        return self.synced and not self.pending


class GateVerdict(Frozen):
    """What the judge says at one poll. No data is never green."""

    colour: Literal["green", "red", "hold"]
    percent: int
    reason: str
    """A sentence with the counts in it."""
    evidence: float = 1.0
    """For harm: a good release shows so much by chance at most once in this number of rollouts."""
    excluded: float | None = None
    """The smallest harm, in multiples of stable's rate, that the step has excluded."""
    canary_requests: int
    canary_errors: int
    stable_requests: int
    stable_errors: int


class ReleaseRequest(Frozen):
    """A landed commit that should reach production."""

    receipt: Receipt
    notify: tuple[str, ...] = ()


class ReleaseOutcome(Frozen):
    """How a release ended."""

    service: Slug
    sha: Sha
    outcome: Literal["landed", "rolled_back", "superseded", "failed"]
    """`landed`: at 100 % and marked."""
    reached_percent: int
    detail: str
    marker: str | None = None
    verdicts: tuple[GateVerdict, ...] = ()
    """The deciding verdict of each step."""
