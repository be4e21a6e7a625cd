"""Delivery by Argo Rollouts: its steps hold at indefinite pauses, and the release's workflow is their clock.

What is reported is observed, never configured: the weights that the traffic router has, or without one the
share of the pods. Every write is to `/status` (elsewhere the server ignores it) and upon the version that was
read, so that a pause is never left twice. Argo Rollouts writes nothing to git, and a sync that touches the
template or the steps lets an aborted Rollout begin anew: so an abort suspends the reconciler, which is
resumed once the overlay has been put back.
https://argo-rollouts.readthedocs.io/en/stable/features/canary/
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.backends.argo_answers import ReplicaSet, Rollout, read
from activities.backends.argo_health import examined
from activities.backends.argo_ladder import Sight, rungs
from activities.backends.kubernetes_api import KubernetesApi
from activities.backends.kubernetes_deployment import deployment_state, nothing_there
from activities.backends.kubernetes_places import Places
from activities.backends.kubernetes_settling import settled
from activities.backends.probes import sent
from activities.delivery_ports import Gitops
from activities.ports import Backend, Health
from leverframe.model.errors import Conflict, NotFound, Refused, Unavailable
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import CanaryPlan, Probe, Repository

SETTLE_SECONDS = 12.0
"""How long one call waits for the controller; the engine asks again after that."""

LEAVE_PAUSE = {"status": {"pauseConditions": None}}
ABORT = {"status": {"abort": True}}
FORGET_ABORT = {"status": {"abort": False}}


class ArgoRolloutsDelivery:
    """The port `Delivery`. Safe to share between threads."""

    def __init__(
        self,
        api: KubernetesApi,
        gitops: Gitops,
        *,
        places: Places,
        plans: Mapping[str, CanaryPlan],
        deployments: frozenset[Environment] = frozenset(),
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        """`deployments`: environments that run a Deployment; `plans`: the declared canary of each service."""
        self._api = api
        self._gitops = gitops
        self._places = places
        self._plans = plans
        self._deployments = deployments
        self._settle_seconds = settle_seconds

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None:
        """The cluster pulls images from their registry, so there is nothing to hand over.

        Raises:
            Refused: the artifact is no image.
        """
        if not artifact.image:
            raise Refused(
                f"{artifact.path} is no image, and a cluster runs nothing else: declare how the repository "
                "builds one"
            )

    def state(self, service: str, environment: Environment) -> DeliveryState:
        try:
            if environment in self._deployments:
                return deployment_state(self._api, self._places, service, environment)
            return self._sight(service, environment).state(environment)
        except NotFound as error:
            return nothing_there(self._places, service, environment, error)

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        """Leave one pause after the other until the Rollout holds at this weight, and really has it.

        Raises:
            Conflict: `sha` is not the canary.
            Refused: the Rollout can't have this weight, or could not be taken back from it.
            Unavailable: it is on its way, or its pods are not ready.
        """

        def weighed(sight: Sight) -> bool:
            _require_canary(sight, sha)
            _require_rung(sight, percent)
            rung = sight.rung
            if rung is None or sight.trouble():
                return False
            if rung.weight == percent:
                return _has_weight(sight, percent)
            if rung.weight > percent:
                raise Refused(f"it gets {rung.weight} % already, and a Rollout does not go down: abort it")
            self._write(service, sight, LEAVE_PAUSE)
            return False

        return self._settled(service, weighed, f"{sha[:12]} does not get {percent} % yet").state("production")

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        """Leave the last pause; done when the controller calls it stable, and nothing is marked as aborted.

        Raises:
            Conflict: `sha` is neither canary nor stable; Unavailable: it is on its way.
        """

        def promoted(sight: Sight) -> bool:
            if sight.promoted and sight.stable == sha and sight.observed:
                if not sight.rollout.status.abort:
                    return True
                self._write(service, sight, FORGET_ABORT)
                return False
            _require_canary(sight, sha)
            if sight.rung is not None and not sight.trouble():
                self._write(service, sight, LEAVE_PAUSE)
            return False

        return self._settled(service, promoted, f"{sha[:12]} is not stable yet").state("production")

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        """Abort the Rollout, suspend the reconciler, and read back that stable has all requests.

        Raises:
            Conflict: `sha` is stable already.
            Unavailable: some requests still go to it, or we may not do it: asked again until it is so.
        """

        def aborted(sight: Sight) -> bool:
            if sight.promoted and sight.stable == sha and sight.wanted == sha:
                raise Conflict(f"{sha[:12]} is stable: point the overlay at another commit to take it back")
            if sha not in (sight.wanted, sight.current):
                return True
            if not sight.observed:
                return False  # what begins with the new template would forget the abort
            if not sight.rollout.status.abort and not sight.promoted:
                self._write(service, sight, ABORT)
                return False
            return sight.percent == 0

        what = f"{sha[:12]} is not taken back yet"
        try:
            sight = self._settled(service, aborted, what)
            self._gitops.suspend(service, "production", reason=f"{sha} was taken back")
            if sha not in (sight.wanted, sight.current):
                if self._gitops.reconciliation(service, "production").pending:
                    raise Unavailable(f"{what}: a sync that has begun may still bring it in")
                sight = self._settled(service, aborted, what)
        except Refused as error:
            raise Unavailable(f"{error}; the requests stay where they are until that is allowed") from error
        return sight.state("production")

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        """Each declared request must be answered with a status below 400."""
        return sent(self._places.origin(service, environment), probes)

    def health(self) -> Health:
        """Whether the cluster answers, lets us do what we must, and has Rollouts that match the plans."""
        return examined(self._api, self._places, self._plans, self._deployments)

    def _settled(self, service: str, there: Callable[[Sight], bool], what: str) -> Sight:
        """Look, act (in `there`), and look again when the Rollout has changed. Raises Unavailable in time."""
        return settled(
            self._api,
            self._places.rollout(service, "production"),
            lambda: self._sight(service, "production"),
            there,
            seconds=self._settle_seconds,
            what=what,
            idle="the controller has not moved",
        )

    def _write(self, service: str, sight: Sight, patch: dict[str, Any]) -> None:
        """Patch the status upon the version that was looked at. Somebody who was faster is looked at next."""
        version = {"resourceVersion": sight.rollout.metadata.resource_version}
        try:
            self._api.patch_status(
                self._places.rollout(service, "production"), {**patch, "metadata": version}
            )
        except Conflict:
            return

    def _sight(self, service: str, environment: Environment) -> Sight:
        document = self._api.get(self._places.rollout(service, environment))
        owner = document.get("metadata", {}).get("uid")
        owned = [
            each
            for each in self._api.list(self._places.replica_sets(service, environment))
            if owner in [of.get("uid") for of in each.get("metadata", {}).get("ownerReferences", [])]
        ]
        sets = tuple(read(ReplicaSet, each) for each in owned)
        return Sight(read(Rollout, document), sets, self._places.container_of(service))


def _require_canary(sight: Sight, sha: str) -> None:
    """Raises Conflict when another commit, or none, is the canary; not while the controller is behind."""
    if not sight.observed and sight.wanted == sha:
        return
    if sight.canary == sha and not sight.rollout.status.abort:
        return
    now = f"the canary is {sight.canary[:12]}" if sight.canary else "there is no canary"
    if sight.rollout.status.abort:
        now = "the Rollout was aborted"
    raise Conflict(f"{sha[:12]} can't be moved: {now}")


def _require_rung(sight: Sight, percent: int) -> None:
    """Raises Refused for a weight that it can't hold, or from which there would be no quick way back."""
    held = sorted({rung.weight for rung in rungs(sight.canary_strategy)})
    if percent not in held:
        raise Refused(f"the Rollout holds at {held} %, not at {percent} %: give it setWeight and pause {{}}")
    if sight.routed and sight.canary_strategy.dynamic_stable_scale:
        raise Refused(
            "dynamicStableScale takes stable's pods away while the canary grows, so that an abort would have "
            "to wait for new ones: set it to false"
        )


def _has_weight(sight: Sight, percent: int) -> bool:
    """Raises Refused when the pods can't make the weight."""
    if sight.routed:
        weights = sight.rollout.status.canary.weights
        return sight.percent == percent and (weights is None or weights.verified is not False)
    if sight.percent != percent:
        raise Refused(
            f"without a traffic router the pods are the weight: they make {sight.percent} %, not {percent} "
            "%; use a router, more pods or other steps"
        )
    return True


BACKEND = Backend(
    kind="delivery",
    name="argo_rollouts",
    scopes=(
        "get, watch rollouts.argoproj.io; patch rollouts/status; list replicasets.apps; get deployments.apps",
    ),
    build=ArgoRolloutsDelivery,
)
