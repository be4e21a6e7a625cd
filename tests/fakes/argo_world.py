"""A cluster with Argo Rollouts and Argo CD, a git that names one commit, and our backends on top of them."""

import ssl
from collections.abc import Mapping
from typing import Any

from activities.backends.argo_answers import ReplicaSet, Rollout, read
from activities.backends.argo_ladder import Sight
from activities.backends.argocd_doors import ByKubernetes
from activities.backends.delivery_argo_rollouts import ArgoRolloutsDelivery
from activities.backends.gitops_argocd import ArgoCdGitops
from activities.backends.kubernetes_api import KubernetesApi
from activities.backends.kubernetes_config import Access
from activities.backends.kubernetes_places import Places
from leverframe.delivery.arms import Arms
from leverframe.model.releases import Environment
from leverframe.model.topology import CanaryPlan, CanaryStep
from tests.fakes.kubernetes import TOKEN, FakeKubernetes
from tests.fakes.kubernetes_argocd import FakeArgoCd, application
from tests.fakes.kubernetes_http import URL, transport
from tests.fakes.kubernetes_kinds import Json, Kind, kinds
from tests.fakes.kubernetes_rollouts import FakeRollouts, rollout

A, B, C = "a" * 40, "b" * 40, "c" * 40
NAMESPACES: Mapping[Environment, str] = {"production": "production", "dev": "dev"}
APPLICATIONS: Mapping[Environment, str] = {"production": "{service}-production", "dev": "{service}-dev"}
SERVICES = frozenset({"shop"})


def ladder(*percents: int) -> list[Json]:
    """Steps that hold at 0 % with one pod, and then at each weight."""
    foot: list[Json] = [{"setCanaryScale": {"replicas": 1}}, {"pause": {}}]
    follow: Json = {"setCanaryScale": {"matchTrafficWeight": True}}
    climb: list[Json] = [step for each in percents for step in ({"setWeight": each}, {"pause": {}})]
    return [*foot, follow, *climb]


def plan(*percents: int) -> CanaryPlan:
    """A declared canary with these steps."""
    return CanaryPlan(
        steps=tuple(
            CanaryStep(percent=percent, min_requests=50, min_seconds=1, max_seconds=600)
            for percent in percents
        )
    )


class ArgoWorld:
    """Production of one service; `tag` is what its overlay names in git, `canary` goes over the strategy."""

    def __init__(self, *percents: int, **canary: Any) -> None:
        self.percents = percents or (1, 25, 100)
        self.tags: dict[str, str] = {"production": A, "dev": A}
        self.canary: Json = {"steps": ladder(*self.percents), **canary}
        self.spec: Json = {}
        """Goes over the Rollout's spec."""
        self.cluster = FakeKubernetes()
        self.rollouts = FakeRollouts(self.cluster)
        self.argo = FakeArgoCd(
            self.cluster,
            {"shop-production": lambda: self.git("production"), "shop-dev": lambda: self.git("dev")},
        )
        for name in ("shop-production", "shop-dev"):
            self.cluster.store.create(
                kind("Application"), "argocd", application(name, prune=True, selfHeal=True)
            )
        access = Access(URL, ssl.create_default_context(), lambda: TOKEN)
        self.api = KubernetesApi(access, transport=transport(self.cluster))
        self.gitops = ArgoCdGitops(
            ByKubernetes(self.api, namespace="argocd"), applications=APPLICATIONS, services=SERVICES
        )
        self.places = Places(
            namespaces=NAMESPACES,
            workload="{service}",
            container="{service}",
            origins={"production": "http://127.0.0.1:9", "dev": "http://127.0.0.1:9"},
            services=SERVICES,
        )
        self.delivery = self.delivering(60)
        """Waits for the controllers, which are done at once unless they sleep."""
        self.hasty = self.delivering(0)
        """Looks once: for what would be waited for in vain."""

    def delivering(self, settle_seconds: float, *deployments: Environment) -> ArgoRolloutsDelivery:
        """Our backend; `deployments` are environments without a Rollout."""
        return ArgoRolloutsDelivery(
            self.api,
            self.gitops,
            places=self.places,
            plans={"shop": plan(*self.percents)},
            deployments=frozenset(deployments),
            settle_seconds=settle_seconds,
        )

    def git(self, environment: str) -> tuple[str, list[Json]]:
        """The tip, and what the overlay of an environment makes there."""
        steps = {} if environment == "production" else {"steps": []}
        document = rollout(self.tags[environment], namespace=environment, **{**self.canary, **steps})
        document["spec"] |= self.spec
        revision = f"{sum(map(ord, str((self.tags, self.canary, self.spec)))):040x}"
        return revision, [document]

    def point(self, tag: str, environment: str = "production") -> None:
        """Land an overlay that names a commit. Argo CD has not looked yet."""
        self.tags[environment] = tag

    def synced(self, tag: str, environment: str = "production") -> None:
        """The same, and Argo CD has looked."""
        self.point(tag, environment)
        self.argo.poll()

    def live(self, environment: str = "production") -> Json:
        """The Rollout."""
        return self.cluster.store.get(kind("Rollout"), environment, "shop")

    def arms(self) -> Arms:
        """What production's requests meet, whether or not the API answers."""
        sets = self.cluster.store.list(kind("ReplicaSet"), "production")
        sight = Sight(read(Rollout, self.live()), tuple(read(ReplicaSet, each) for each in sets), "shop")
        return Arms(stables=(sight.stable,), canary=sight.canary, percent=sight.percent)

    @property
    def weight(self) -> int:
        """What the traffic router gives the canary."""
        weight: int = self.live()["status"]["canary"]["weights"]["canary"]["weight"]
        return weight

    def tell(self, **status: object) -> None:
        """Somebody writes the status of production's Rollout."""
        self.cluster.store.patch(kind("Rollout"), "production", "shop", {"status": status}, "status")


def kind(name: str) -> Kind:
    return next(each for each in kinds() if each.kind == name)
