"""Flagger's controller for the fake of Kubernetes, one interval at a time, and pods for every Deployment.

https://docs.flagger.app/usage/how-it-works and …/usage/webhooks. The target Deployment is the canary, its
copy `<name>-primary` is stable. What is easily taken for a bug is as the real one does it: the status says
weight 0 while it waits for its promotion, and a spec that was promoted before the last one is let in anew.
"""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_kinds import Json, Kind, kinds

REPLICAS = 3

Ask = Callable[[str, Json], bool]
"""A webhook's URL and the payload → whether it was answered with 200."""


@dataclass
class FakeFlagger:
    """The controller. `routes` is what the traffic router really gives each canary."""

    cluster: FakeKubernetes
    ask: Ask
    unready: set[str] = field(default_factory=set)
    """Image tags whose pods never get ready."""
    routes: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Hook and answer, in order."""

    def __post_init__(self) -> None:
        self.cluster.store.changed.append(self._pods)

    def tick(self) -> None:
        """The interval of every Canary is over."""
        for document in self.cluster.store.list(kind("Canary"), ""):
            self._advance(document)
            self.cluster.store.settle()

    def _pods(self) -> None:
        """Every Deployment has its pods at once, unless they never get ready."""
        store = self.cluster.store
        for document in store.list(kind("Deployment"), ""):
            size, ready = document["spec"].get("replicas", 1), _tag(document) not in self.unready
            status = {
                "observedGeneration": document["metadata"]["generation"],
                "replicas": size,
                "updatedReplicas": size,
                "availableReplicas": size if ready else 0,
            }
            if document.get("status") != status:
                store.set_status(document, status)

    def _advance(self, canary: Json) -> None:
        status = canary.get("status", {})
        phase, place = status.get("phase", ""), canary["metadata"]
        target = self._deployment(place, place["name"])
        digest = _digest(target["spec"]["template"])
        if phase == "":
            primary = copy.deepcopy(target)
            primary["spec"]["replicas"] = REPLICAS
            primary["metadata"] = {"name": f"{place['name']}-primary", "namespace": place["namespace"]}
            self.cluster.store.create(kind("Deployment"), place["namespace"], primary)
            self._scale(target, 0)
            self._tell(canary, phase="Initialized", lastAppliedSpec=digest, lastPromotedSpec=digest)
            return
        changed = digest not in (status["lastAppliedSpec"], status["lastPromotedSpec"])
        if phase in ("Initialized", "Succeeded", "Failed", "Waiting"):
            if changed or phase == "Waiting":
                self._let_in(canary, target, digest)
            elif phase == "Failed":
                self._tell(canary, lastAppliedSpec=digest)
            return
        if phase in ("Progressing", "WaitingPromotion") and changed:
            self.routes[place["name"]] = 0
            self._tell(canary, phase="Progressing", lastAppliedSpec=digest, canaryWeight=0)
            return
        self._go_on(canary, target)

    def _let_in(self, canary: Json, target: Json, digest: str) -> None:
        canary = self._tell(canary, phase="Progressing", lastAppliedSpec=digest, canaryWeight=0)
        if not self._says_yes(canary, "confirm-rollout"):
            self._tell(canary, phase="Waiting")
            return
        self._scale(target, REPLICAS)

    def _go_on(self, canary: Json, target: Json) -> None:
        phase, name = canary["status"]["phase"], canary["metadata"]["name"]
        if target["status"]["availableReplicas"] != target["spec"]["replicas"]:
            return
        if phase in ("Progressing", "WaitingPromotion") and self._says_yes(canary, "rollback"):
            self.routes[name] = 0
            self._scale(target, 0)
            self._tell(canary, phase="Failed", canaryWeight=0)
        elif phase == "Promoting":
            self.routes[name] = 0
            self._tell(canary, phase="Finalising", canaryWeight=0)
        elif phase == "Finalising":
            self._scale(target, 0)
            promoted = canary["status"]["lastAppliedSpec"]
            self._tell(canary, phase="Succeeded", canaryWeight=0, lastPromotedSpec=promoted)
        elif phase == "WaitingPromotion" or self._says_yes(canary, "confirm-traffic-increase"):
            self._step(canary, target)

    def _step(self, canary: Json, target: Json) -> None:
        name, steps = canary["metadata"]["name"], canary["spec"]["analysis"]["stepWeights"]
        weight = self.routes.get(name, 0)
        if weight < steps[-1]:
            self.routes[name] = next(each for each in steps if each > weight)
            self._tell(canary, canaryWeight=self.routes[name])
        elif self._says_yes(canary, "confirm-promotion"):
            primary = self._deployment(canary["metadata"], "-primary")
            patch = {"spec": {"template": target["spec"]["template"]}}
            where = canary["metadata"]["namespace"], primary["metadata"]["name"]
            self.cluster.store.patch(kind("Deployment"), *where, patch)
            self._tell(canary, phase="Promoting")
        elif canary["status"]["phase"] != "WaitingPromotion":
            self._tell(canary, phase="WaitingPromotion", canaryWeight=0)

    def _says_yes(self, canary: Json, hook: str) -> bool:
        place, status = canary["metadata"], canary["status"]
        payload = {
            "name": place["name"],
            "namespace": place["namespace"],
            "phase": status["phase"],
            "checksum": _digest([status.get("trackedConfigs"), status["lastAppliedSpec"]]),
            "metadata": {},
        }
        hooks = [each for each in canary["spec"]["analysis"]["webhooks"] if each["type"] == hook]
        yes = all(self.ask(each["url"], payload) for each in hooks)
        if hook == "rollback":
            yes = bool(hooks) and yes
        self.asked.append((hook, "yes" if yes else "no"))
        return yes

    def _tell(self, canary: Json, **status: object) -> Json:
        return self.cluster.store.set_status(canary, {**canary.get("status", {}), **status})

    def _scale(self, deployment: Json, size: int) -> None:
        place = deployment["metadata"]
        store = self.cluster.store
        store.patch(kind("Deployment"), place["namespace"], place["name"], {"spec": {"replicas": size}})

    def _deployment(self, place: Json, name: str) -> Json:
        name = f"{place['name']}{name}" if name.startswith("-") else name
        return self.cluster.store.get(kind("Deployment"), place["namespace"], name)


def deployment(tag: str, *, name: str = "shop", namespace: str = "production", cpu: str = "1") -> Json:
    """The target as the overlay makes it: its replicas are Flagger's."""
    container = {
        "name": name,
        "image": f"registry.example/{name}:{tag}",
        "resources": {"requests": {"cpu": cpu}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def canary(*steps: int, url: str, name: str = "shop", namespace: str = "production") -> Json:
    """A Canary whose every move is asked for at `<url>/<hook>`."""
    hooks = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"port": 80},
            "analysis": {
                "interval": "15s",
                "threshold": 1,
                "stepWeights": list(steps),
                "webhooks": [{"name": hook, "type": hook, "url": f"{url}/{hook}"} for hook in hooks],
            },
        },
    }


def _tag(document: Json) -> str:
    image: str = document["spec"]["template"]["spec"]["containers"][0]["image"]
    return image.rpartition(":")[2]


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def kind(name: str) -> Kind:
    return next(each for each in kinds() if each.kind == name)
