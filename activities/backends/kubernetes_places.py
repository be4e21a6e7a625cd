"""Where in a cluster the environments of the services are: names by a pattern, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass

from activities.backends.kubernetes_api import Place
from leverframe.model.errors import NotFound
from leverframe.model.releases import Environment

ARGOPROJ = "argoproj.io/v1alpha1"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Patterns may hold `{service}`."""

    namespaces: Mapping[Environment, str]
    workload: str
    """The name of the Rollout, Deployment or Canary."""
    container: str
    """The container whose image's tag is the commit."""
    origins: Mapping[Environment, str]
    """Where probes are sent."""
    services: frozenset[str]
    """What is declared."""

    def namespace(self, service: str, environment: Environment) -> str:
        """Raises NotFound."""
        return self._of(self.namespaces, "namespace", service, environment)

    def origin(self, service: str, environment: Environment) -> str:
        """Raises NotFound."""
        return self._of(self.origins, "origin", service, environment)

    def rollout(self, service: str, environment: Environment) -> Place:
        """The Rollout of Argo Rollouts. Raises NotFound."""
        return self._workload(ARGOPROJ, "rollouts", service, environment)

    def deployment(self, service: str, environment: Environment) -> Place:
        """The Deployment. Raises NotFound."""
        return self._workload("apps/v1", "deployments", service, environment)

    def replica_sets(self, service: str, environment: Environment) -> Place:
        """All ReplicaSets of the namespace. Raises NotFound."""
        return Place("apps/v1", "replicasets", self.namespace(service, environment))

    def container_of(self, service: str) -> str:
        """The container's name."""
        return self.container.format(service=service)

    def _workload(self, version: str, plural: str, service: str, environment: Environment) -> Place:
        name = self.workload.format(service=service)
        return Place(version, plural, self.namespace(service, environment), name)

    def _of(
        self, patterns: Mapping[Environment, str], what: str, service: str, environment: Environment
    ) -> str:
        if service not in self.services:
            raise NotFound(f"no service {service!r} is declared")
        if environment not in patterns:
            raise NotFound(f"delivery.kubernetes names no {what} for {environment}")
        return patterns[environment].format(service=service)
