"""What `doctor` looks at before a release leans on Argo Rollouts: rights, Rollouts, steps like the plan's."""

from collections.abc import Iterator, Mapping

from activities.backends.argo_answers import Rollout, read
from activities.backends.argo_ladder import rungs
from activities.backends.kubernetes_api import KubernetesApi, Place
from activities.backends.kubernetes_places import Places
from activities.ports import Health
from leverframe.model.errors import LeverframeError, NotFound
from leverframe.model.releases import Environment
from leverframe.model.topology import CanaryPlan


def examined(
    api: KubernetesApi,
    places: Places,
    plans: Mapping[str, CanaryPlan],
    deployments: frozenset[Environment],
) -> Health:
    """The first thing that is wrong, or that all is well."""
    try:
        version = api.version()
        for service in sorted(places.services):
            for problem, remedy in _problems(api, places, service, plans[service], deployments):
                return Health(ok=False, detail=f"{service}: {problem}", remedy=remedy)
    except LeverframeError as error:
        return Health(ok=False, detail=str(error), remedy="check delivery.kubernetes")
    return Health(ok=True, detail=f"Kubernetes {version} at {api.server}, {len(places.services)} service(s)")


def _problems(
    api: KubernetesApi,
    places: Places,
    service: str,
    plan: CanaryPlan,
    deployments: frozenset[Environment],
) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do about it."""
    yield from _rights(api, places, service, deployments)
    for environment in sorted(places.namespaces):
        try:
            if environment in deployments:
                api.get(places.deployment(service, environment))
                continue
            rollout = read(Rollout, api.get(places.rollout(service, environment)))
        except NotFound as error:
            yield str(error), f"let the overlay of {environment} make it"
            continue
        if rollout.spec.template.of(places.container_of(service)) is None:
            yield (
                f"the Rollout of {environment} has no container {places.container_of(service)!r}",
                "set delivery.kubernetes.container; a template by workloadRef can't be read",
            )
        if environment == "production":
            yield from _unlike(rollout, plan)


def _rights(
    api: KubernetesApi, places: Places, service: str, deployments: frozenset[Environment]
) -> Iterator[tuple[str, str]]:
    remedy = "apply deploy/kubernetes, or bind a role with these rights"
    for environment in sorted(places.namespaces):
        workload = places.rollout(service, environment)
        needed: list[tuple[str, Place, str]] = [
            ("get", workload, ""), ("watch", workload, ""),
            ("list", places.replica_sets(service, environment), ""),
        ]  # fmt: skip
        if environment in deployments:
            needed = [("get", places.deployment(service, environment), "")]
        elif environment == "production":
            needed.append(("patch", workload, "status"))
        for verb, place, subresource in needed:
            if not api.may(verb, place, subresource):
                what = f"{place.plural}/{subresource}" if subresource else place.plural
                yield f"our account may not {verb} {what} in {place.namespace}", remedy


def _unlike(rollout: Rollout, plan: CanaryPlan) -> Iterator[tuple[str, str]]:
    """In what the Rollout is not what the release will ask of it."""
    canary = rollout.spec.strategy.canary
    if canary is None:
        yield "the Rollout has no canary strategy", "give it spec.strategy.canary"
        return
    held = [rung.weight for rung in rungs(canary) if rung.weight]
    wanted = [step.percent for step in plan.steps]
    if held != wanted:
        yield (
            f"the Rollout holds at {held} %, and the declared canary has {wanted} %",
            "write a setWeight and a pause {} for each step of the plan",
        )
    if canary.dynamic_stable_scale:
        yield "dynamicStableScale makes an abort wait for pods", "set it to false"
    if canary.traffic_routing is None:
        impossible = [weight for weight in wanted if weight * rollout.spec.replicas % 100]
        if impossible:
            yield (
                f"without a traffic router {rollout.spec.replicas} pods can't make {impossible} %",
                "use a traffic router, or steps that the pods can make",
            )
    if not rollout.spec.rollback_window.revisions:
        yield (
            "going back to an earlier release would climb all the steps",
            "set spec.rollbackWindow.revisions, such as 3",
        )
