"""Delivery by Flagger, which is never patched: it asks, and the gateway answers by the release's last word.

Each method leaves a permit for one commit in the store and reports what is observed; Flagger acts at its next
interval, and whoever called asks again until it has. Nothing moves without a permit: not the first pod, not
the next weight, not the promotion. A commit that was stable before has a permit for good, so that an overlay
that goes back needs no release.
https://docs.flagger.app/usage/webhooks
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from activities.backends.argo_answers import Deployment, read
from activities.backends.flagger_answers import (
    GATES,
    LEAST_INTERVAL,
    FlaggerCanary,
    Sight,
    interval_of,
    steps_of,
)
from activities.backends.kubernetes_api import KubernetesApi, Place
from activities.backends.kubernetes_deployment import deployment_state, nothing_there
from activities.backends.kubernetes_places import Places
from activities.backends.kubernetes_settling import settled
from activities.backends.probes import sent
from activities.permit_ports import Permits
from activities.ports import Backend, Health
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.permits import Permit
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import CanaryPlan, Probe, Repository

SETTLE_SECONDS = 12.0
"""How long one call waits for Flagger; the engine asks again after that."""


SLOWEST_INTERVAL = 60.0
"""Seconds. After so long people are paged that the requests of an aborted release are not back."""


class FlaggerDelivery:
    """The port `Delivery`. Safe to share between threads."""

    def __init__(
        self,
        api: KubernetesApi,
        permits: Permits,
        *,
        places: Places,
        plans: Mapping[str, CanaryPlan],
        deployments: frozenset[Environment] = frozenset(),
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        """`deployments`: environments that run a Deployment without a Canary."""
        self._api = api
        self._permits = permits
        self._places = places
        self._plans = plans
        self._deployments = deployments
        self._settle_seconds = settle_seconds

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None:
        """Let its pods start, at 0 %: a commit that no release has built does not get so far.

        The cluster pulls images from their registry, so there is nothing to hand over.

        Raises:
            Refused: the artifact is no image.
        """
        if not artifact.image:
            raise Refused(f"{artifact.path} is no image, and a cluster runs nothing else: set builds.backend")
        self._permits.begin(self._permit(repository.service.name, artifact.sha, "weigh"))

    def state(self, service: str, environment: Environment) -> DeliveryState:
        try:
            if environment in self._deployments:
                return deployment_state(self._api, self._places, service, environment)
            state = self._sight(service, environment).state(environment)
        except NotFound as error:
            return nothing_there(self._places, service, environment, error)
        permit = self._permits.find(service, state.canary) if state.canary else None
        if permit is None or permit.kind != "proven":
            return state
        coming = "Flagger brings it back step by step: it was stable before"
        return state.model_copy(
            update={"canary": None, "canary_percent": 0, "ready": False, "detail": coming}
        )

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        """Let it in, or up to this weight, and see that it has it.

        Raises:
            Conflict: `sha` is not the canary.
            Refused: Flagger has no step at this weight, or is beyond it.
            Unavailable: Flagger has not moved yet.
        """
        sight = self._sight(service, "production")
        _require_canary(sight, sha)
        steps = steps_of(sight.object)
        if percent not in steps:
            raise Refused(f"the Canary stops at {steps} %, not at {percent} %: set analysis.stepWeights")
        if sight.percent > percent:
            raise Refused(f"it gets {sight.percent} % already, and Flagger does not go down: abort it")
        if sight.stable is not None:
            self._permits.begin(self._permit(service, sight.stable, "proven"))
        self._permits.grant(self._permit(service, sha, "weigh", percent))

        def weighed(sight: Sight) -> bool:
            _require_canary(sight, sha)
            return sight.percent == percent and not sight.trouble()

        return self._settled(service, weighed, f"{sha[:12]} does not get {percent} % yet").state("production")

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        """Let it become stable; done when Flagger has made it so and scaled the canary down.

        Raises:
            Conflict: `sha` is neither canary nor stable; Unavailable: it is on its way.
        """
        sight = self._sight(service, "production")
        if sight.stable != sha:
            _require_canary(sight, sha)
            self._permits.grant(self._permit(service, sha, "promote"))

        def promoted(sight: Sight) -> bool:
            if sight.stable != sha:
                _require_canary(sight, sha)
            return sight.promoted and sight.stable == sha

        found = self._settled(service, promoted, f"{sha[:12]} is not stable yet")
        self._permits.grant(self._permit(service, sha, "proven"))
        return found.state("production")

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        """Have Flagger roll it back at its next interval, and read back that stable has all requests.

        Raises:
            Conflict: `sha` is stable already.
            Refused: its pods are not ready, and until its own deadline Flagger asks nothing about such a
                canary. An overlay that is put back gives its share to pods of the commit before at once.
            Unavailable: some requests still go to it: asked again until it is so.
        """
        sight = self._sight(service, "production")
        if sight.stable == sha:
            raise Conflict(f"{sha[:12]} is stable: point the overlay at another commit to take it back")
        self._permits.grant(self._permit(service, sha, "abort"))

        def aborted(sight: Sight) -> bool:
            if sight.stable == sha:
                raise Conflict(f"{sha[:12]} became stable before it could be taken back")
            return sight.canary != sha or not sight.percent

        try:
            return self._settled(service, aborted, f"{sha[:12]} is not taken back yet").state("production")
        except Unavailable as error:
            if not self._sight(service, "production").unasked:
                raise
            raise Refused("Flagger asks nothing about a canary whose pods are not ready") from error

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        """Each declared request must be answered with a status below 400."""
        return sent(self._places.origin(service, environment), probes)

    def health(self) -> Health:
        """Whether the cluster answers, and has Canaries that ask and step as the plans do."""
        try:
            version = self._api.version()
            for service in sorted(self._places.services):
                for problem, remedy in self._problems(service):
                    return Health(ok=False, detail=f"{service}: {problem}", remedy=remedy)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check delivery.kubernetes")
        return Health(ok=True, detail=f"Flagger on Kubernetes {version} at {self._api.server}")

    def _problems(self, service: str) -> Iterator[tuple[str, str]]:
        place = self._canary(service, "production")
        for verb, each in (("get", place), ("get", self._places.deployment(service, "production"))):
            if not self._api.may(verb, each):
                yield f"we may not {verb} {each}", "apply deploy/kubernetes, or widen the role"
        canary = read(FlaggerCanary, self._api.get(place))
        analysis = canary.spec.analysis
        if missing := sorted(set(GATES) - {each.type for each in analysis.webhooks}):
            yield f"the Canary has no {missing[0]} hook", "see docs/how-to/deliver-with-flagger.md"
        if canary.spec.skip_analysis or analysis.iterations or analysis.mirror:
            yield "the Canary skips its steps", "take skipAnalysis, iterations and mirror away"
        if canary.spec.suspend:
            yield "the Canary is suspended", "set spec.suspend to false"
        if (seconds := interval_of(canary)) > SLOWEST_INTERVAL:
            yield (
                f"Flagger looks every {seconds:g} seconds, and takes nothing back in between",
                f"set analysis.interval to {LEAST_INTERVAL:g}s up to {SLOWEST_INTERVAL:g}s",
            )
        planned = [step.percent for step in self._plans[service].steps]
        if list(steps_of(canary)) != planned:
            remedy = f"set analysis.stepWeights to {planned}"
            yield f"the Canary steps {list(steps_of(canary))}, the plan {planned}", remedy

    def _permit(
        self, service: str, sha: str, kind: Literal["weigh", "promote", "abort", "proven"], percent: int = 0
    ) -> Permit:
        now = datetime.now(UTC)
        return Permit(service=service, sha=sha, kind=kind, percent=percent, decided_at=now)

    def _settled(self, service: str, there: Callable[[Sight], bool], what: str) -> Sight:
        """Look again whenever the Canary has changed. Raises Unavailable in time."""
        return settled(
            self._api,
            self._canary(service, "production"),
            lambda: self._sight(service, "production"),
            there,
            seconds=self._settle_seconds,
            what=what,
            idle="Flagger asks at its next interval",
        )

    def _sight(self, service: str, environment: Environment) -> Sight:
        target = self._places.deployment(service, environment)
        primary = Place(target.api_version, target.plural, target.namespace, f"{target.name}-primary")
        canary = read(FlaggerCanary, self._api.get(self._canary(service, environment)))
        try:
            copy = read(Deployment, self._api.get(primary))
        except NotFound:
            copy = None
        return Sight(
            canary, read(Deployment, self._api.get(target)), copy, self._places.container_of(service)
        )

    def _canary(self, service: str, environment: Environment) -> Place:
        target = self._places.deployment(service, environment)
        return Place("flagger.app/v1beta1", "canaries", target.namespace, target.name)


def _require_canary(sight: Sight, sha: str) -> None:
    """Raises Conflict when another commit, or none, is the canary."""
    if sight.canary != sha:
        none = f"there is no canary, Flagger is {sight.phase or 'new'}"
        now = f"the canary is {sight.canary[:12]}" if sight.canary else none
        raise Conflict(f"{sha[:12]} can't be moved: {now}")


BACKEND = Backend(
    kind="delivery",
    name="flagger",
    scopes=("get, watch canaries.flagger.app; get deployments.apps",),
    build=FlaggerDelivery,
)
