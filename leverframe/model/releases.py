"""Releases: one landed SHA on its way to 100 % of real traffic."""

from typing import Literal, Self

from pydantic import Field, model_validator

from leverframe.model.changes import Receipt
from leverframe.model.frozen import Frozen, Instant, Sha, Slug

Environment = Literal["dev", "production"]

LATENCY_EDGES_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
"""Upper bounds of the latency histogram's buckets; the last bucket is everything slower."""


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


class ArmCounts(Frozen):
    """Cumulative counts of one SHA since the router started; they reset when it does."""

    sha: Sha
    requests: int = Field(ge=0)
    errors: int = Field(ge=0)
    """Responses 500 to 599 and broken connections."""
    latency: tuple[int, ...] = Field(default=(0,) * (len(LATENCY_EDGES_MS) + 1), min_length=11, max_length=11)
    """Requests per bucket of `LATENCY_EDGES_MS`."""


class HealthDocument(Frozen):
    """The one document that the gate reads: what real traffic did to each SHA."""

    service: Slug
    router_started_at: Instant
    """Counts are comparable only between documents of the same start."""
    taken_at: Instant
    stable: Sha
    canary: Sha | None
    canary_percent: int = Field(ge=0, le=100)
    arms: tuple[ArmCounts, ...]


class DeliveryState(Frozen):
    """What the environment really runs, as its reconciler reports it."""

    environment: Environment
    wanted: Sha | None
    """What the overlay on the target branch names."""
    stable: Sha | None
    canary: Sha | None
    canary_percent: int = 0
    ready: bool
    """Every instance that should run answers its health path."""
    detail: str = ""


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
