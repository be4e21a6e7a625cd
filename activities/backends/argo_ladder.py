"""A Rollout and its ReplicaSets as an environment with a canary: what runs, and what is missing. Pure.

The ladder is made of the indefinite pauses among the steps: on each the Rollout holds the weight of the last
`setWeight` before it, until somebody takes the pause away.
"""

from dataclasses import dataclass
from functools import cached_property

from activities.backends.argo_answers import HASH_LABEL, Canary, ReplicaSet, Rollout
from leverframe.model.releases import DeliveryState, Environment

PAUSED = "CanaryPauseStep"


@dataclass(frozen=True)
class Rung:
    """A pause without a duration, and the weight there."""

    step: int
    weight: int


def rungs(canary: Canary) -> tuple[Rung, ...]:
    """Where the Rollout waits for somebody, in the order of its steps."""
    found, weight = [], 0
    for number, step in enumerate(canary.steps):
        if step.set_weight is not None:
            weight = step.set_weight
        elif step.pause is not None and step.pause.duration is None:
            found.append(Rung(number, weight))
    return tuple(found)


@dataclass(frozen=True)
class Sight:
    """One look at a Rollout."""

    rollout: Rollout
    sets: tuple[ReplicaSet, ...]
    container: str

    @property
    def version(self) -> str:
        """The Rollout's resource version."""
        return self.rollout.metadata.resource_version

    @cached_property
    def canary_strategy(self) -> Canary:
        """Empty for a Rollout that has none."""
        return self.rollout.spec.strategy.canary or Canary()

    @property
    def routed(self) -> bool:
        """Whether a traffic router makes the weights; without one, the pods do."""
        return self.canary_strategy.traffic_routing is not None

    @property
    def observed(self) -> bool:
        """Whether the status speaks of the template that stands in the spec."""
        return self.rollout.status.observed_generation == str(self.rollout.metadata.generation)

    @property
    def promoted(self) -> bool:
        """Whether what runs is one template only, and the controller calls it stable."""
        status = self.rollout.status
        return bool(status.stable_hash) and status.stable_hash == status.current_pod_hash

    @property
    def wanted(self) -> str | None:
        """The commit of the template."""
        return self.rollout.spec.template.sha(self.container)

    @property
    def stable(self) -> str | None:
        """The commit of the stable ReplicaSet."""
        return self._sha(self.rollout.status.stable_hash)

    @property
    def current(self) -> str | None:
        """The commit that the controller brings in, or has brought in."""
        return self._sha(self.rollout.status.current_pod_hash)

    @property
    def canary(self) -> str | None:
        """The commit beside stable, as long as it is tried or still gets requests.

        A template that changed in something else than the commit is no release of ours.
        """
        if self.promoted or not self.rollout.status.stable_hash or self.current == self.stable:
            return None
        return None if self.rollout.status.abort and self.percent == 0 else self.current

    @cached_property
    def percent(self) -> int:
        """The share of the requests that really goes to the new ReplicaSet."""
        status = self.rollout.status
        if self.promoted or not status.stable_hash:
            return 0
        if self.routed:
            weights = status.canary.weights
            return weights.canary.weight if weights is not None else 0
        serving = sum(each.status.available_replicas for each in self.sets)
        return round(100 * self._available(status.current_pod_hash) / serving) if serving else 0

    @property
    def rung(self) -> Rung | None:
        """Where it stands and waits; None while it is on its way, or when it waits for something else."""
        status = self.rollout.status
        waits = [condition.reason for condition in status.pause_conditions]
        if not self.observed or status.abort or self.rollout.spec.paused or waits != [PAUSED]:
            return None
        return next(
            (rung for rung in rungs(self.canary_strategy) if rung.step == status.current_step_index), None
        )

    def trouble(self) -> list[str]:
        """What is missing until this is a state to rely on, in words."""
        rollout, status = self.rollout, self.rollout.status
        if not self.observed:
            return [f"the controller has not seen generation {rollout.metadata.generation} yet"]
        found = []
        if rollout.spec.paused:
            found.append("somebody has paused the Rollout (spec.paused)")
        if self.promoted and status.abort:
            found.append("it is still marked as aborted")
        if status.phase == "Degraded" and not status.abort:
            found.append(status.message or "it is degraded")
        if (short := self.short_of_stable()) is not None:
            found.append(short)
        if self.canary is not None and not status.abort:
            found += self._canary_trouble()
        elif not self.promoted and self.current == self.stable:
            found.append(f"another template of the same commit is at {self.percent} %: promote it by hand")
        return found

    def _canary_trouble(self) -> list[str]:
        new = self._set(self.rollout.status.current_pod_hash)
        wanted = new.spec.replicas if new else 0
        serving = self._available(self.rollout.status.current_pod_hash)
        if serving < wanted or not wanted:
            return [f"the canary has {serving} of {max(wanted, 1)} pods"]
        if self.rung is None:
            reasons = ", ".join(each.reason for each in self.rollout.status.pause_conditions)
            return [f"it waits for {reasons}" if reasons else "it is on its way to the next step"]
        return []

    def short_of_stable(self) -> str | None:
        """What stable lacks to take what is not the canary's."""
        stable = self._set(self.rollout.status.stable_hash)
        if stable is None:
            return "there is no stable ReplicaSet yet"
        wanted = self.rollout.spec.replicas if self.routed or self.promoted else stable.spec.replicas
        if self.canary_strategy.dynamic_stable_scale and not self.promoted:
            wanted = stable.spec.replicas
        serving = stable.status.available_replicas
        return None if serving >= wanted else f"stable has {serving} of {wanted} pods"

    def state(self, environment: Environment) -> DeliveryState:
        """The same in the words of the port."""
        trouble = self.trouble()
        return DeliveryState(
            environment=environment,
            wanted=self.wanted,
            stable=self.stable,
            canary=self.canary,
            canary_percent=self.percent if self.canary is not None else 0,
            ready=not trouble,
            detail="; ".join(trouble),
        )

    def _set(self, digest: str) -> ReplicaSet | None:
        return next((each for each in self.sets if each.metadata.labels.get(HASH_LABEL) == digest), None)

    def _sha(self, digest: str) -> str | None:
        found = self._set(digest) if digest else None
        return found.spec.template.sha(self.container) if found else None

    def _available(self, digest: str) -> int:
        found = self._set(digest)
        return found.status.available_replicas if found else 0
