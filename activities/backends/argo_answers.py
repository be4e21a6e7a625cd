"""What Argo Rollouts and Argo CD say in their objects, checked as far as we read it.

https://argo-rollouts.readthedocs.io/en/stable/features/specification/ and
https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
"""

import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from leverframe.model.errors import Unavailable

HASH_LABEL = "rollouts-pod-template-hash"

_SHA = re.compile(r"[0-9a-f]{40}")


class Answer(BaseModel):
    """A part of an object; what we do not read is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


M = TypeVar("M", bound=Answer)


class Metadata(Answer):
    """Of every object."""

    name: str
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Container(Answer):
    """Of a pod."""

    name: str
    image: str = ""


class PodSpec(Answer):
    """Of a pod template."""

    containers: tuple[Container, ...] = ()


class Template(Answer):
    """What pods are made of."""

    spec: PodSpec = PodSpec()

    def of(self, container: str) -> Container | None:
        """The container of that name, or the only one."""
        found = [each for each in self.spec.containers if each.name == container]
        if not found and len(self.spec.containers) == 1:
            found = list(self.spec.containers)
        return found[0] if found else None

    def sha(self, container: str) -> str | None:
        """The commit that the tag of the container's image names; None for a tag that is no commit."""
        if (found := self.of(container)) is None:
            return None
        tag = found.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        return tag if _SHA.fullmatch(tag) else None


class Pause(Answer):
    """A step that waits: for a duration, or for ever."""

    duration: int | str | None = None


class Step(Answer):
    """One step of a canary. Other kinds than these two go on by themselves."""

    set_weight: int | None = None
    pause: Pause | None = None


class Canary(Answer):
    """The strategy."""

    steps: tuple[Step, ...] = ()
    traffic_routing: dict[str, Any] | None = None
    dynamic_stable_scale: bool = False


class Strategy(Answer):
    """How a Rollout is updated; blue-green is nothing that we drive."""

    canary: Canary | None = None


class RollbackWindow(Answer):
    """How many revisions back need no steps."""

    revisions: int = 0


class RolloutSpec(Answer):
    """What is wanted."""

    replicas: int = 1
    paused: bool = False
    template: Template = Template()
    strategy: Strategy = Strategy()
    rollback_window: RollbackWindow = RollbackWindow()


class PauseCondition(Answer):
    """Why the controller waits."""

    reason: str


class Destination(Answer):
    """One side of the traffic router."""

    weight: int
    pod_template_hash: str = ""


class Weights(Answer):
    """What the traffic router was told, and whether it did so."""

    canary: Destination
    stable: Destination
    verified: bool | None = None


class CanaryStatus(Answer):
    """Where the canary is."""

    weights: Weights | None = None


class RolloutStatus(Answer):
    """What is so. `observed_generation` is a string, and lags behind."""

    observed_generation: str = ""
    current_step_index: int | None = None
    current_pod_hash: str = ""
    stable_hash: str = Field(default="", alias="stableRS")
    pause_conditions: tuple[PauseCondition, ...] = ()
    controller_pause: bool = False
    abort: bool = False
    phase: str = ""
    message: str = ""
    canary: CanaryStatus = CanaryStatus()


class Rollout(Answer):
    """A Rollout of Argo Rollouts."""

    metadata: Metadata
    spec: RolloutSpec
    status: RolloutStatus = RolloutStatus()


class ReplicaSetSpec(Answer):
    """Its size, and what its pods are made of."""

    replicas: int = 1
    template: Template = Template()


class ReplicaSetStatus(Answer):
    """How many of its pods serve."""

    available_replicas: int = 0


class ReplicaSet(Answer):
    """The pods of one template."""

    metadata: Metadata
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class DeploymentStatus(Answer):
    """How far a Deployment is."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0


class DeploymentSpec(Answer):
    """What is wanted."""

    replicas: int = 1
    template: Template = Template()


class Deployment(Answer):
    """A Deployment: what an environment without a canary may run."""

    metadata: Metadata
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()

    @property
    def rolled_out(self) -> bool:
        """Whether its pods are all there and of its template."""
        status, wanted = self.status, self.spec.replicas
        sizes = {status.replicas, status.updated_replicas, status.available_replicas}
        return status.observed_generation >= self.metadata.generation and sizes == {wanted}


class Automated(Answer):
    """Automatic sync, where there is any."""

    enabled: bool = True


class SyncPolicy(Answer):
    """When an Application syncs."""

    automated: Automated | None = None


class ApplicationSpec(Answer):
    """What is wanted."""

    sync_policy: SyncPolicy = SyncPolicy()


class Sync(Answer):
    """What was compared with the cluster, and how it came out."""

    status: Literal["Synced", "OutOfSync", "Unknown"] = "Unknown"
    revision: str = ""


class AppHealth(Answer):
    """The worst health of its resources."""

    status: str = "Unknown"
    message: str = ""


class Operation(Answer):
    """The last sync."""

    phase: str = ""
    message: str = ""


class Condition(Answer):
    """Something that is wrong with the Application."""

    type: str
    message: str = ""


class ApplicationStatus(Answer):
    """What is so."""

    sync: Sync = Sync()
    health: AppHealth = AppHealth()
    operation_state: Operation = Operation()
    conditions: tuple[Condition, ...] = ()


class Application(Answer):
    """An Application of Argo CD."""

    metadata: Metadata
    spec: ApplicationSpec = ApplicationSpec()
    operation: dict[str, Any] | None = None
    status: ApplicationStatus = ApplicationStatus()


def read(model: type[M], document: dict[str, Any]) -> M:
    """An object of the cluster. Raises Unavailable for one that is not what its kind says."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unavailable(f"the {model.__name__} can't be understood: {where}: {first['msg']}") from error
