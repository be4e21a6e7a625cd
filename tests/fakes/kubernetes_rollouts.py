"""A controller of Argo Rollouts for the fake of Kubernetes: canaries with steps, as its documentation says.

https://argo-rollouts.readthedocs.io/en/stable/features/canary/ and `…/features/specification/`. Pods are
there and ready at once, unless their image's tag is in `unready`. Not modelled: analysis, experiments, header
and mirror routes, surge, the delay after which the pods of an aborted canary are stopped.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_kinds import Json, copied, kind_of, kinds
from tests.fakes.kubernetes_store import stamp

HASH = "rollouts-pod-template-hash"
REVISION = "rollout.argoproj.io/revision"
PAUSED = "CanaryPauseStep"


@dataclass
class FakeRollouts:
    """The controller. While it is `asleep` it sees nothing, as a real one is always a little behind."""

    cluster: FakeKubernetes
    unready: set[str] = field(default_factory=set)
    asleep: bool = False

    def __post_init__(self) -> None:
        self.cluster.store.changed.append(self.reconcile)

    def wake(self) -> None:
        """See what has happened."""
        self.asleep = False
        self.cluster.store.settle()

    def reconcile(self) -> None:
        """One look at every Rollout."""
        if self.asleep:
            return
        kind = next(each for each in kinds() if each.kind == "Rollout")
        for rollout in self.cluster.store.list(kind, ""):
            status = _Look(self, rollout).status()
            if status != rollout.get("status"):
                self.cluster.store.set_status(rollout, status)


class _Look:
    """One reconciliation of one Rollout: scales ReplicaSets, and says what the status is to be."""

    def __init__(self, controller: FakeRollouts, rollout: Json) -> None:
        self._store, self._unready = controller.cluster.store, controller.unready
        self._rollout, self._spec = rollout, rollout["spec"]
        self._canary: Json = self._spec["strategy"]["canary"]
        self._steps: list[Json] = self._canary.get("steps", [])
        self._replicas: int = self._spec.get("replicas", 1)
        self._before: Json = rollout.get("status", {})
        self._hash = _digest(self._spec["template"])
        self._routed = "trafficRouting" in self._canary
        self._kind = next(each for each in kinds() if each.kind == "ReplicaSet")
        self._sets = self._replica_sets()

    def status(self) -> Json:
        status = {
            name: self._before[name]
            for name in (
                "abort",
                "abortedAt",
                "pauseConditions",
                "controllerPause",
                "stableRS",
                "promoteFull",
            )
            if name in self._before
        }
        status["currentStepIndex"] = self._before.get("currentStepIndex", 0)
        status["currentPodHash"] = self._hash
        status["currentStepHash"] = _digest(self._steps)
        changed = any(
            status[name] != self._before.get(name) for name in ("currentPodHash", "currentStepHash")
        )
        if changed:
            self._begin(status)
        elif self._before.get("promoteFull"):
            status["currentStepIndex"] = len(self._steps)
            for name in ("abort", "abortedAt", "pauseConditions", "controllerPause"):
                status.pop(name, None)
        weight = self._scaled(status)
        if not changed:
            self._go_on(status)
        return self._told(status, weight)

    def _begin(self, status: Json) -> None:
        """The template or the steps are others than before: all begins anew, and an abort is over."""
        for name in ("abort", "abortedAt", "pauseConditions", "controllerPause", "promoteFull"):
            status.pop(name, None)
        back = self._hash == status.get("stableRS") or self._within_window(status)
        status["currentStepIndex"] = len(self._steps) if back or "stableRS" not in status else 0

    def _within_window(self, status: Json) -> bool:
        """A ReplicaSet that is older than stable's, with few enough others between them."""
        allowed = self._spec.get("rollbackWindow", {}).get("revisions", 0)
        if (stable := self._sets.get(status.get("stableRS", ""))) is None:
            return False
        born = sorted(each["metadata"]["creationTimestamp"] for each in self._sets.values())
        new = self._sets[self._hash]["metadata"]["creationTimestamp"]
        between = born.index(stable["metadata"]["creationTimestamp"]) - born.index(new) - 1
        return 0 <= between < allowed

    def _go_on(self, status: Json) -> None:
        """Finish the step if it is done; make the new ReplicaSet stable after the last one."""
        aborted, index = bool(status.get("abort")), status["currentStepIndex"]
        if aborted:
            status.setdefault("abortedAt", stamp(self._store.now()))
            for name in ("pauseConditions", "controllerPause"):
                status.pop(name, None)
            status["currentStepIndex"] = len(self._steps) if self._hash == status["stableRS"] else 0
            return
        status.pop("abort", None)
        status.pop("abortedAt", None)
        if "stableRS" not in status or (
            index >= len(self._steps) and self._available(self._hash) >= self._replicas
        ):
            status["stableRS"] = self._hash
            status["currentStepIndex"] = len(self._steps)
            status.pop("promoteFull", None)
            return
        if index >= len(self._steps) or self._spec.get("paused"):
            return
        if "pause" in self._steps[index]:
            self._pause(status)
        elif self._at_desired(status):
            status["currentStepIndex"] += 1

    def _pause(self, status: Json) -> None:
        """A pause is over when somebody has taken the condition away that the controller had set."""
        if status.get("pauseConditions"):
            return
        if status.pop("controllerPause", False):
            status.pop("pauseConditions", None)
            status["currentStepIndex"] += 1
        else:
            status["pauseConditions"] = [{"reason": PAUSED, "startTime": stamp(self._store.now())}]
            status["controllerPause"] = True

    # pods and weights

    def _wanted_weight(self, status: Json) -> int:
        """What the steps so far ask for."""
        if status.get("abort") or status.get("stableRS", self._hash) == self._hash:
            return 0
        done = self._steps[: status["currentStepIndex"] + 1]
        if status["currentStepIndex"] >= len(self._steps):
            return 100
        return next((step["setWeight"] for step in reversed(done) if "setWeight" in step), 0)

    def _desired(self, status: Json) -> tuple[int, int]:
        """How many pods the new and the stable ReplicaSet should have."""
        weight, replicas = self._wanted_weight(status), self._replicas
        if self._hash == status.get("stableRS") or "stableRS" not in status:
            return replicas, replicas
        if not self._routed:
            new = 0 if not weight else max(1, min(round(replicas * weight / 100), replicas - (weight < 100)))
            return (replicas, 0) if weight == 100 else (new, replicas - (new if replicas > 1 else 0))
        done = self._steps[: status["currentStepIndex"] + 1]
        scale = next((step["setCanaryScale"] for step in reversed(done) if "setCanaryScale" in step), {})
        new = int(scale.get("replicas", math.ceil(replicas * scale.get("weight", weight) / 100)))
        if status.get("abort"):
            new = self._size(self._hash)  # they are stopped after abortScaleDownDelaySeconds only
        dynamic = self._canary.get("dynamicStableScale") and not status.get("abort")
        shifted = self._weights_before() if dynamic else 0
        return new, math.ceil(replicas * (100 - shifted) / 100)

    def _scaled(self, status: Json) -> int:
        """Give the ReplicaSets their size; the weight that the traffic router then has."""
        new, stable = self._desired(status)
        for digest in self._sets:
            if digest == self._hash:
                self._scale(digest, new)
            elif digest == status.get("stableRS"):
                self._scale(digest, stable)
            elif not (self._routed and status.get("abort")):
                self._scale(digest, 0)
        wanted = self._wanted_weight(status)
        at_once = wanted == 0 or self._at_desired(status)
        weight = wanted if at_once else min(self._weights_before(), wanted)
        enough = self._available(status.get("stableRS", "")) >= (100 - weight) * self._replicas // 100
        return weight if enough or "stableRS" not in status else self._weights_before()

    def _at_desired(self, status: Json) -> bool:
        new, stable = self._desired(status)
        stable_is_there = self._canary.get("dynamicStableScale") or self._size(status["stableRS"]) == stable
        return self._available(self._hash) == new and bool(stable_is_there)

    def _weights_before(self) -> int:
        weights = self._before.get("canary", {}).get("weights", {})
        return int(weights.get("canary", {}).get("weight", 0))

    def _size(self, digest: str) -> int:
        return int(self._sets[digest]["spec"]["replicas"]) if digest in self._sets else 0

    def _available(self, digest: str) -> int:
        return (
            int(self._sets[digest].get("status", {}).get("availableReplicas", 0))
            if digest in self._sets
            else 0
        )

    def _scale(self, digest: str, size: int) -> None:
        found = self._sets[digest]
        tag = found["spec"]["template"]["spec"]["containers"][0]["image"].partition("@")[0].rpartition(":")[2]
        ready = 0 if tag in self._unready else size
        wanted = {"replicas": size, "readyReplicas": ready, "availableReplicas": ready,
                  "observedGeneration": found["metadata"]["generation"]}  # fmt: skip
        if found["spec"]["replicas"] != size:
            place = found["metadata"]
            self._store.patch(self._kind, place["namespace"], place["name"], {"spec": {"replicas": size}})
        if found.get("status") != wanted:
            self._store.set_status(found, wanted)
        found["spec"]["replicas"], found["status"] = size, wanted

    def _replica_sets(self) -> dict[str, Json]:
        """Those of this Rollout by hash; the one of the template is made."""
        metadata = self._rollout["metadata"]
        owned = {
            each["metadata"]["labels"][HASH]: each
            for each in self._store.list(self._kind, metadata["namespace"])
            if each["metadata"].get("ownerReferences", [{}])[0].get("uid") == metadata["uid"]
        }
        if self._hash not in owned:
            revision = 1 + max(
                (int(each["metadata"]["annotations"][REVISION]) for each in owned.values()), default=0
            )
            owned[self._hash] = self._store.create(
                self._kind, metadata["namespace"], self._new_replica_set(metadata, revision)
            )
        return owned

    def _new_replica_set(self, metadata: Json, revision: int) -> Json:
        template = copied(self._spec["template"])
        labels = {**template.get("metadata", {}).get("labels", {}), HASH: self._hash}
        template.setdefault("metadata", {})["labels"] = labels
        owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": metadata["name"],
                 "uid": metadata["uid"], "controller": True}  # fmt: skip
        named = {"name": f"{metadata['name']}-{self._hash}", "labels": labels}
        return {
            "metadata": {**named, "ownerReferences": [owner], "annotations": {REVISION: str(revision)}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {HASH: self._hash}}, "template": template},
        }

    # what is told

    def _told(self, status: Json, weight: int) -> Json:
        sizes = [self._size(digest) for digest in self._sets]
        available = [self._available(digest) for digest in self._sets]
        status |= {
            "observedGeneration": str(self._rollout["metadata"]["generation"]),
            "replicas": sum(sizes),
            "HPAReplicas": sum(sizes),
            "availableReplicas": sum(available),
            "readyReplicas": sum(available),
            "updatedReplicas": self._size(self._hash),
            "canary": {},
        }
        if self._routed:
            stable = status.get("stableRS", "")
            full = self._hash == stable
            status["canary"] = {"weights": {
                "canary": {"weight": 0 if full else weight, "podTemplateHash": self._hash,
                           "serviceName": self._canary.get("canaryService", "")},
                "stable": {"weight": 100 if full else 100 - weight, "podTemplateHash": stable,
                           "serviceName": self._canary.get("stableService", "")},
            }}  # fmt: skip
        status["phase"], status["message"] = self._phase(status)
        return status

    def _phase(self, status: Json) -> tuple[str, str]:
        if status.get("abort"):
            return "Degraded", "RolloutAborted: Rollout aborted update"
        if self._spec.get("paused"):
            return "Paused", "manually paused"
        if status.get("pauseConditions"):
            return "Paused", PAUSED
        if self._available(self._hash) < self._size(self._hash):
            return "Progressing", "updated replicas are still becoming available"
        if status.get("stableRS") != self._hash:
            return "Progressing", "waiting for all steps to complete"
        if self._available(self._hash) < self._replicas:
            return "Progressing", "more replicas need to be updated"
        return "Healthy", ""


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:10]


def rollout(tag: str, *steps: Json, name: str = "shop", namespace: str = "production", **canary: Any) -> Json:
    """A Rollout of a service whose image has that tag; behind a traffic router unless `canary` says no."""
    routing = {"trafficRouting": {"nginx": {"stableIngress": name}}, "canaryService": f"{name}-canary",
               "stableService": f"{name}-stable"}  # fmt: skip
    strategy = {"steps": list(steps), **routing, **canary}
    container = {"name": name, "image": f"registry.example/{name}:{tag}"}
    document = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 10,
            "rollbackWindow": {"revisions": 3},
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            "strategy": {"canary": {key: value for key, value in strategy.items() if value is not None}},
        },
    }
    assert not kind_of(document).faults(document)
    return document
