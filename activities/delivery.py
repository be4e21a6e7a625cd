"""The environments and the gate's health document, as activities. Runs on the hands queue."""

import time
from collections.abc import Callable, Mapping

from pydantic import Field
from temporalio import activity

from activities.delivery_ports import Delivery, Gitops, Metrics
from activities.failures import typed_failures
from activities.pulse import with_pulse
from leverframe.model.errors import CanaryBusy, Conflict, NotFound, Refused, Unavailable
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.releases import Artifact, DeliveryState, Environment, HealthDocument
from leverframe.model.topology import Repository

POLL_SECONDS = 0.3


class WaitRequest(Frozen):
    """Wait until an environment runs a SHA, as stable or as canary."""

    repository: Slug
    environment: Environment
    sha: Sha
    limit_seconds: float = Field(default=120, gt=0)


class SlotRequest(Frozen):
    """Ask whether a SHA may become the canary."""

    repository: Slug
    sha: Sha
    named: Sha | None
    """What the asker last saw in production's overlay: it is told as soon as that changes."""


class DeliveryActivities:
    """Artifacts, weights and health of the declared services."""

    def __init__(
        self,
        delivery: Delivery,
        gitops: Gitops,
        metrics: Metrics,
        repositories: Mapping[str, Repository],
        overlay_sha: Callable[[Repository, Environment], str | None],
    ) -> None:
        """`overlay_sha`: what git says, whatever the reconciler has seen of it."""
        self._delivery = delivery
        self._gitops = gitops
        self._overlay_sha = overlay_sha
        self._metrics = metrics
        self._repositories = repositories

    @activity.defn(name="deploy_artifact")
    @typed_failures
    @with_pulse
    def deploy_artifact(self, repository: str, artifact: Artifact) -> None:
        """Make a built artifact available to the environments. Idempotent."""
        self._delivery.deploy_artifact(self._repository(repository), artifact)

    @activity.defn(name="delivery_state")
    @typed_failures
    def delivery_state(self, service: str, environment: Environment) -> DeliveryState:
        """What an environment runs now."""
        return self._delivery.state(service, environment)

    @activity.defn(name="canary_slot")
    @typed_failures
    def canary_slot(self, request: SlotRequest) -> DeliveryState:
        """Production's state, when the SHA may go on or the overlay names something new.

        Raises:
            CanaryBusy: another release is in canary; retried by the engine until it is not.
        """
        repository = self._repository(request.repository)
        service = repository.service.name
        state = self._delivery.state(service, "production")
        if state.wanted != request.named:
            return state
        if state.canary not in (None, request.sha):
            raise CanaryBusy(f"{state.canary[:12]} is in canary at {state.canary_percent} %")
        if state.stable is not None and state.wanted not in (None, state.stable, request.sha):
            if self._overlay_sha(repository, "production") != state.wanted:
                # Taken back and put back since, maybe by hand: nothing may hold the reconciler any more.
                self._gitops.resume(service, "production")
                self._gitops.request(service, "production")
            raise CanaryBusy(f"production's overlay names {state.wanted[:12]}, which is not stable yet")
        return state

    @activity.defn(name="wait_reconciled")
    @typed_failures
    def wait_reconciled(self, request: WaitRequest) -> DeliveryState:
        """Have the reconciler look, then poll, heartbeating, until the environment runs the SHA and is ready.

        Raises:
            Refused: it was not ready within the limit; the detail says why.
            Conflict: the overlay names another SHA: somebody moved it.
            Unavailable: the delivery does not answer, or this worker stops.
        """
        return self._waited(request, lambda state: request.sha in (state.stable, state.canary))

    @activity.defn(name="wait_back")
    @typed_failures
    def wait_back(self, request: WaitRequest) -> DeliveryState:
        """The same for an overlay that was put back: until it is stable alone, and nothing else is tried.

        Raises:
            Refused, Conflict, Unavailable: as `wait_reconciled`.
        """

        service = self._service(request.repository)

        def is_back(state: DeliveryState) -> bool:
            alone = state.wanted == state.stable == request.sha and state.canary is None
            if alone and not state.ready and request.environment == "production":
                self._delivery.promote(service, sha=request.sha)  # whatever is left of the abort goes
            return alone

        return self._waited(request, is_back)

    def _waited(self, request: WaitRequest, there: Callable[[DeliveryState], bool]) -> DeliveryState:
        service, environment = self._service(request.repository), request.environment
        began = time.monotonic()
        noticed = False
        self._gitops.resume(service, environment)
        self._gitops.request(service, environment)
        while True:
            state = self._delivery.state(service, environment)
            if there(state) and state.ready:
                return state
            noticed = noticed or state.wanted == request.sha
            if state.wanted != request.sha:
                seen = self._gitops.reconciliation(service, environment)
                # What was synced between the two looks must not pass for another overlay.
                if noticed or (
                    seen.settled and self._delivery.state(service, environment).wanted == state.wanted
                ):
                    named = state.wanted[:12] if state.wanted else "no commit"
                    raise Conflict(f"the overlay of {environment} names {named}, not {request.sha[:12]}")
                state = state.model_copy(update={"detail": seen.detail or state.detail})
            if time.monotonic() - began > request.limit_seconds:
                raise Refused(
                    f"{environment} did not run {request.sha[:12]} within {request.limit_seconds:g} seconds: "
                    f"{state.detail or 'no reason given'}"
                )
            _pause(state)

    @activity.defn(name="set_weight")
    @typed_failures
    def set_weight(self, service: str, sha: str, percent: int) -> DeliveryState:
        """Give the canary its share. Raises Conflict, Unavailable."""
        return self._delivery.set_weight(service, sha=sha, percent=percent)

    @activity.defn(name="promote")
    @typed_failures
    def promote(self, service: str, sha: str) -> DeliveryState:
        """The canary becomes stable. Raises Conflict."""
        return self._delivery.promote(service, sha=sha)

    @activity.defn(name="abort")
    @typed_failures
    def abort(self, service: str, sha: str) -> DeliveryState:
        """All requests back to stable, and read back that they are.

        Raises:
            Unavailable: the delivery still reports a share for the canary; asked again.
        """
        state = self._delivery.abort(service, sha=sha)
        if state.canary == sha and state.canary_percent:
            raise Unavailable(f"{sha[:12]} still gets {state.canary_percent} % of the requests")
        return state

    @activity.defn(name="probe")
    @typed_failures
    def probe(self, repository: str, environment: Environment) -> list[str]:
        """Send the declared smoke requests; one sentence for each that failed."""
        service = self._repository(repository).service
        return self._delivery.probe(service.name, environment, service.probes)

    @activity.defn(name="release_health")
    @typed_failures
    def release_health(self, service: str) -> HealthDocument:
        """What real traffic did to each SHA. Raises Unavailable: the gate is blind."""
        watched = {
            repository.service.name: repository.service.canary.signals
            for repository in self._repositories.values()
        }
        return self._metrics.release_health(service).only(watched.get(service, ()))

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]

    def _service(self, repository: str) -> str:
        return self._repository(repository).service.name


def _pause(state: DeliveryState) -> None:
    """Heartbeat and wait for the next look; a stopping worker hands the wait to another."""
    activity.heartbeat(state.detail)
    activity.wait_for_worker_shutdown_sync(POLL_SECONDS)
    if activity.is_worker_shutdown():
        raise Unavailable("this worker is stopping; the wait goes on elsewhere")
