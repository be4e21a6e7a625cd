"""A world in memory for releases: a forge whose train lands at once, environments, real traffic's counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.forge import RELEASE_MACHINERY, OverlayRequest
from activities.marking import MarkRequest
from activities.ports import Health
from leverframe.delivery import arms as transitions
from leverframe.delivery.arms import Arms, reconcile
from leverframe.model.changes import Author, CarEjected, CarLanded, Change, Enqueue, Priority, Receipt
from leverframe.model.checks import Check
from leverframe.model.deployments import ReleaseEntry
from leverframe.model.errors import Unavailable
from leverframe.model.release_notes import LandedChange, Marked, ReleaseNotes
from leverframe.model.releases import (
    ERRORS,
    Artifact,
    Count,
    DeliveryState,
    Environment,
    HealthDocument,
    Reconciliation,
    SignalCounts,
)
from leverframe.model.topology import CanaryPlan, CanaryStep, GateRules, Probe, Repository, Service
from tests.fakes.approval_world import NotedChat
from tests.fakes.release_faults import Faults

T0 = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, NEWER = "a" * 40, "b" * 40, "c" * 40
HISTORY = (OLD, NEW, NEWER)
"""Commits of the target, oldest first: a later one contains the earlier ones."""


QUICK = GateRules(alpha=1e-6, at_once=0.5, cold_seconds=0, burst_seconds=0)
"""A gate that asks for strong evidence and so may decide after few looks."""


def repository(
    *,
    percents: Sequence[int] = (1, 25, 100),
    poll: float = 0.02,
    limit: float = 60,
    hold: float = 86_400,
    gives_way: float | Literal["never"] = "never",
) -> Repository:
    """A declared service with a ladder."""
    steps = tuple(
        CanaryStep(percent=percent, min_requests=50, min_seconds=1, max_seconds=limit) for percent in percents
    )
    service = Service(
        name="shop",
        command=("serve",),
        overlays={"dev": "dev.yaml", "production": "production.yaml"},
        image="shop",
        probes=(Probe(name="home", path="/"),),
        canary=CanaryPlan(
            steps=steps, poll_seconds=poll, gate=QUICK, hold_seconds=hold, gives_way_after_seconds=gives_way
        ),
    )
    return Repository(
        name="shop", url="shop.git", checks=(Check(name="unit", command=("true",)),), service=service
    )


@dataclass
class World:
    """Everything outside of the release, in one place that tests turn and look at."""

    repository: Repository = field(default_factory=repository)
    overlays: dict[Environment, str | None] = field(default_factory=dict)
    arms: dict[Environment, Arms] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    failing_probes: list[str] = field(default_factory=list)
    error_ppm: Callable[[str, int], int] = lambda sha, percent: 1000
    """A SHA's error rate, given the canary's share."""
    blind_polls: int = 0
    quiet_from: int = 101
    """No request comes while the canary has at least this share."""
    weights: list[int] = field(default_factory=list)
    overlay_log: list[tuple[Environment, str, Priority]] = field(default_factory=list)
    built: dict[str, Artifact] = field(default_factory=dict)
    """What is recorded of images, by commit."""
    markers: dict[str, ReleaseNotes] = field(default_factory=dict)
    """Tags and the notes that they carry."""
    marks_that_fail: int = 0
    """So often the marker is pushed and the answer lost."""
    told: list[str] = field(default_factory=list)
    """Markers that changes were told of."""
    deaf: bool = False
    """Whether no change can be told."""
    ejections: list[str] = field(default_factory=list)
    """Reasons with which the next cars are ejected."""
    on_ejection: Callable[["World"], None] = lambda world: None
    on_weight: Callable[["World"], None] = lambda world: None
    on_landing: Callable[["World"], None] = lambda world: None
    book: list[ReleaseEntry] = field(default_factory=list)
    """What releases told of themselves."""
    book_closed: bool = False
    """The store that keeps it is away."""
    silent_train: bool = False
    """The train lands, but its signal is lost."""
    router_started_at: datetime = T0
    """When this changes, the router has lost its counts."""
    faults: Faults = field(default_factory=Faults)
    chat: NotedChat = field(default_factory=NotedChat)
    documents: list[HealthDocument] = field(default_factory=list)
    """What the gate was shown."""

    @property
    def pages(self) -> list[str]:
        """What people were paged for, in order."""
        return [key.split("/", 4)[-1] for key in self.chat.told]

    @classmethod
    def with_stable(cls, **given: object) -> "World":
        """OLD is live everywhere."""
        world = cls(**given)  # type: ignore[arg-type] - the fields' own names
        for environment in ("dev", "production"):
            world.overlays[environment] = OLD
            world.arms[environment] = Arms(stables=(OLD,))
        return world


class FakeForge:
    """Git, the forge and the train. Names and shapes are those of the real activities."""

    def __init__(self, world: World, client: Client) -> None:
        self._world, self._client = world, client
        self._wanted: dict[str, OverlayRequest] = {}
        self._changes: dict[str, Change] = {}
        self._bases: dict[str, str | None] = {}
        """Change → what its overlay named when it was made: it edits that line."""
        self._ridden: dict[str, CarLanded | CarEjected] = {}

    @activity.defn(name="describe")
    async def describe(self, repository: str) -> Repository:
        return self._world.repository

    @activity.defn(name="build")
    async def build(self, repository: str, sha: str) -> Artifact:
        if image := self._world.repository.build.image:
            return Artifact(service="shop", sha=sha, digest=f"sha256:{'1' * 64}", image=image)
        return Artifact(service="shop", sha=sha, digest=f"sha256:{'0' * 64}", path=f"{sha}.tar")

    @activity.defn(name="recorded_build")
    async def recorded_build(self, repository: str, sha: str) -> Artifact | None:
        return self._world.built.get(sha)

    @activity.defn(name="export")
    async def export(self, repository: str, sha: str) -> Artifact:
        return Artifact(service="shop", sha=sha, digest=f"sha256:{'0' * 64}", path=f"{sha}.tar")

    @activity.defn(name="record_build")
    async def record_build(self, repository: str, artifact: Artifact) -> Artifact:
        return self._world.built.setdefault(artifact.sha, artifact)

    @activity.defn(name="overlay_sha")
    async def overlay_sha(self, repository: str, environment: Environment) -> str | None:
        return self._world.overlays.get(environment)

    @activity.defn(name="is_ancestor")
    async def is_ancestor(self, repository: str, ancestor: str, descendant: str) -> bool:
        if not {ancestor, descendant} <= set(HISTORY):
            raise ApplicationError("no such commit", type="NotFound", non_retryable=True)
        return HISTORY.index(ancestor) <= HISTORY.index(descendant)

    @activity.defn(name="overlay_change")
    async def overlay_change(self, request: OverlayRequest) -> Change | None:
        named = self._world.overlays.get(request.environment)
        if named == request.sha:
            return None
        if (
            request.priority is Priority.PROMOTION
            and named in HISTORY
            and HISTORY.index(request.sha) < HISTORY.index(named)
        ):
            raise ApplicationError(f"the overlay names {named}", type="Conflict", non_retryable=True)
        for known in self._changes.values():
            if known.branch == request.key and known.state != "open":
                raise ApplicationError("the branch has ended", type="Conflict", non_retryable=True)
            if known.branch == request.key:
                return known
        change = Change(
            id=f"shop/{len(self._changes) + 1}",
            repository="shop",
            branch=request.key,
            head=f"{len(self._changes) + 1:040x}",
            title="overlay",
            body=request.reason,
            author=RELEASE_MACHINERY,
            priority=request.priority,
            state="open",
            opened_at=request.at,
        )
        self._changes[change.id], self._wanted[change.id] = change, request
        self._bases[change.id] = self._world.overlays.get(request.environment)
        return change

    @activity.defn(name="get_change")
    async def get_change(self, change: str) -> Change:
        return self._changes[change]

    @activity.defn(name="enqueue")
    async def enqueue(self, repository: str, target: str, request: Enqueue) -> None:
        outcome = self._ridden.get(request.change) or self._ride(request)
        self._ridden[request.change] = outcome
        state = "landed" if isinstance(outcome, CarLanded) else "ejected"
        self._changes[request.change] = self._changes[request.change].model_copy(update={"state": state})
        for listener in () if self._world.silent_train else request.notify:
            await self._client.get_workflow_handle(listener).signal("car_settled", outcome)

    @activity.defn(name="record_deployment")
    async def record_deployment(self, entry: ReleaseEntry) -> None:
        if self._world.book_closed:
            raise ApplicationError("the store is away", type="Refused", non_retryable=True)
        self._world.book.append(entry)

    @activity.defn(name="mark_release")
    async def mark(self, request: MarkRequest) -> Marked:
        world = self._world
        landed = LandedChange.of(receipt(request.sha), "Take cards")
        notes = ReleaseNotes(
            service="shop",
            landed=(landed,),
            **{name: getattr(request, name) for name in MarkRequest.model_fields},
        )
        assert notes.marker is not None
        world.markers[notes.marker] = notes
        if world.marks_that_fail:
            world.marks_that_fail -= 1
            raise Unavailable("the answer is lost")
        return Marked(name=notes.marker, signed=True, notes=notes)

    @activity.defn(name="tell_live")
    async def tell_live(self, marked: Marked) -> None:
        if self._world.deaf:
            raise ApplicationError("there is no such change", type="NotFound", non_retryable=True)
        self._world.told.append(marked.name)

    def _ride(self, request: Enqueue) -> CarLanded | CarEjected:
        world, wanted = self._world, self._wanted[request.change]
        if world.ejections:
            why = world.ejections.pop(0)
            world.on_ejection(world)
            return CarEjected.model_validate(
                {"change": request.change, "reason": why, "detail": f"ejected: {why}"}
            )
        if world.overlays.get(wanted.environment) != self._bases[request.change]:
            return CarEjected(change=request.change, reason="conflict", detail="the line has changed")
        world.overlays[wanted.environment] = wanted.sha
        world.overlay_log.append((wanted.environment, wanted.sha, request.priority))
        world.on_landing(world)
        return CarLanded(change=request.change, receipt=receipt(request.head, request.change))


class FakeEnvironments:
    """The ports Delivery and Gitops over the real transitions; whatever is not sick is healthy at once."""

    def __init__(self, world: World) -> None:
        self._world = world

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None: ...

    def state(self, service: str, environment: Environment) -> DeliveryState:
        world = self._world
        wanted = world.overlays.get(environment)
        healthy = frozenset(HISTORY) - world.sick
        for _ in range(2):  # the first look starts instances, the second finds them healthy
            before = world.arms.get(environment, Arms())
            plan = reconcile(environment, wanted, before, running=frozenset(HISTORY), healthy=healthy)
            world.arms[environment] = plan.arms
        arms = world.arms[environment]
        unwell = {wanted, arms.stable, arms.canary} & world.sick
        return DeliveryState(
            environment=environment,
            wanted=wanted,
            stable=arms.stable,
            canary=arms.canary,
            canary_percent=arms.percent,
            ready=arms.stable is not None and not unwell,
            detail="it has a fever" if unwell else "",
        )

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        self._world.on_weight(self._world)
        state = self.state(service, "production")
        self._world.arms["production"] = transitions.weigh(self._world.arms["production"], sha, percent)
        self._world.weights.append(percent)
        return state

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        self._world.arms["production"] = transitions.promote(self._world.arms["production"], sha)
        return self.state(service, "production")

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        self._world.arms["production"] = transitions.abort(self._world.arms["production"], sha)
        self._world.weights.append(0)
        return self.state(service, "production")

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        """Git is followed at once, and no commit of it has a name here."""
        state = self.state(service, environment)
        return Reconciliation(environment=environment, revision=None, pending=False, synced=True,
                              automatic=True, healthy=state.ready)  # fmt: skip

    def request(self, service: str, environment: Environment) -> None: ...

    def suspend(self, service: str, environment: Environment, *, reason: str) -> None: ...

    def resume(self, service: str, environment: Environment) -> None: ...

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        return list(self._world.failing_probes)

    def health(self) -> Health:
        return Health(ok=True, detail="fake")


class FakeTraffic:
    """The port Metrics: between two looks ten seconds pass and ten thousand requests come."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._looks = 0
        self._started_at = world.router_started_at
        self._counts = dict.fromkeys(HISTORY, (0, 0))
        """Requests, and failed ones in millionths, so that small rates don't vanish."""

    def release_health(self, service: str) -> HealthDocument:
        world, arms = self._world, self._world.arms["production"]
        self._looks += 1
        if world.router_started_at != self._started_at:
            self._started_at, self._counts = world.router_started_at, dict.fromkeys(HISTORY, (0, 0))
        if world.blind_polls:
            world.blind_polls -= 1
            raise Unavailable("the metrics are gone")
        assert arms.stable is not None
        if arms.percent < world.quiet_from:
            self._add(arms.stable, 100 * (100 - arms.percent), arms.percent)
            if arms.canary:
                self._add(arms.canary, 100 * arms.percent, arms.percent)
        counts = {
            sha: Count(bad=millionths // 1_000_000, total=requests)
            for sha, (requests, millionths) in self._counts.items()
        }
        document = HealthDocument(
            service=service,
            taken_at=T0 + timedelta(seconds=10 * self._looks),
            stable=arms.stable,
            canary=arms.canary,
            canary_percent=arms.percent,
            signals={ERRORS: SignalCounts(since=self._started_at, arms=counts)},
        )
        world.documents.append(document)
        return document

    def _add(self, sha: str, requests: int, percent: int) -> None:
        before, failed = self._counts[sha], requests * self._world.error_ppm(sha, percent)
        self._counts[sha] = (before[0] + requests, before[1] + failed)

    def health(self) -> Health:
        return Health(ok=True, detail="fake")


def fails_from(share: int, sha: str = NEW, *, rate: int = 150_000) -> Callable[[str, int], int]:
    """A commit that fails so many of a million requests once the canary has this share; others fail 0.1 %."""
    return lambda asked, percent: rate if asked == sha and percent >= share else 1000


def receipt(sha: str, change: str = "shop/1") -> Receipt:
    """The proof that a commit landed."""
    return Receipt(
        repository="shop",
        target="main",
        sequence=1,
        change=change,
        sha=sha,
        base=OLD,
        tree=OLD,
        head=sha,
        checks=(),
        author=Author(kind="person", name="ada"),
        paths=("shop/app.py",),
        landed_at=T0,
    )
