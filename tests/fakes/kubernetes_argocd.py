"""A controller of Argo CD for the fake of Kubernetes: Applications, refreshed and synced as documented.

https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/ and `…/operator-manual/health/`. Git is a
function. Automatic sync tries each revision once; only `selfHeal` syncs again when the cluster drifts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_kinds import Json, Kind, kind_of, kinds
from tests.fakes.kubernetes_store import Problem, stamp

REFRESH = "argocd.argoproj.io/refresh"
SKIP = "argocd.argoproj.io/skip-reconcile"

Git = Callable[[], tuple[str, list[Json]]]
"""What the tracked branch is at, and the manifests there. Raises OSError when git does not answer."""


@dataclass
class FakeArgoCd:
    """The controller. It looks at git when it is asked to, and at the cluster all the time."""

    cluster: FakeKubernetes
    git: dict[str, Git]
    """By the name of the Application."""
    asleep: bool = False
    _seen: dict[str, tuple[str, list[Json]]] = field(default_factory=dict)
    """What git said at the last look."""

    def __post_init__(self) -> None:
        self.cluster.store.changed.append(self.reconcile)

    def poll(self) -> None:
        """The three minutes are over: it looks at git by itself."""
        for document in self.cluster.store.list(_kind("Application"), ""):
            self._look(document)
        self.cluster.store.settle()

    def wake(self) -> None:
        """See what has happened."""
        self.asleep = False
        self.cluster.store.settle()

    def reconcile(self) -> None:
        """One look at every Application."""
        if self.asleep:
            return
        for document in self.cluster.store.list(_kind("Application"), ""):
            annotations = document["metadata"].get("annotations", {})
            if annotations.get(SKIP) == "true":
                continue
            if REFRESH in annotations or "sync" not in document.get("status", {}):
                self._look(document)
            else:
                self._compare(document)

    def _look(self, document: Json) -> None:
        """Read git. The annotation is gone when that is done."""
        store, metadata = self.cluster.store, document["metadata"]
        status = {**document.get("status", {}), "reconciledAt": stamp(store.now())}
        try:
            revision, manifests = self._seen[metadata["name"]] = self.git[metadata["name"]]()
        except OSError as error:
            self._seen.pop(metadata["name"], None)
            problem = {"type": "ComparisonError", "message": str(error)}
            status |= {"conditions": [problem], "sync": {"status": "Unknown"}}
        else:
            status.pop("conditions", None)
            status["sync"] = {"status": self._status(manifests), "revision": revision}
        store.patch(
            _kind("Application"),
            metadata["namespace"],
            metadata["name"],
            {
                "metadata": {"annotations": {REFRESH: None}},
                "status": {**status, "conditions": status.get("conditions")},
            },
        )

    def _compare(self, document: Json) -> None:
        """What git said last, against the cluster: sync if that is due, and tell how it looks."""
        store, status = self.cluster.store, dict(document["status"])
        if document["metadata"]["name"] not in self._seen:
            return
        revision, manifests = self._seen[document["metadata"]["name"]]
        asked = document.get("operation", {}).get("sync")
        last = status.get("operationState", {}).get("syncResult", {}).get("revision")
        out = self._status(manifests) == "OutOfSync"
        automated = document["spec"].get("syncPolicy", {}).get("automated")
        due = automated is not None and automated.get("enabled", True) and out
        if asked is not None or (due and (last != revision or automated.get("selfHeal"))):
            status["operationState"] = self._sync(revision, manifests)
        status["sync"] = {"status": self._status(manifests), "revision": revision}
        status["health"] = self._health(manifests)
        patch: Json = {"operation": None} if asked is not None else {}
        if status != document["status"] or patch:
            metadata = document["metadata"]
            store.patch(
                _kind("Application"), metadata["namespace"], metadata["name"], {**patch, "status": status}
            )

    def _sync(self, revision: str, manifests: list[Json]) -> Json:
        started = stamp(self.cluster.store.now())
        state: Json = {"operation": {"sync": {"revision": revision}}, "startedAt": started,
                       "syncResult": {"revision": revision}}  # fmt: skip
        try:
            for manifest in manifests:
                self.cluster.store.apply(manifest)
        except Problem as problem:
            return {**state, "phase": "Failed", "message": problem.message, "finishedAt": started}
        return {**state, "phase": "Succeeded", "message": "successfully synced", "finishedAt": started}

    def _status(self, manifests: list[Json]) -> str:
        return "Synced" if all(self._is_live(each) for each in manifests) else "OutOfSync"

    def _is_live(self, manifest: Json) -> bool:
        live = self._live(manifest)
        return live is not None and _within(manifest["spec"], live["spec"])

    def _live(self, manifest: Json) -> Json | None:
        metadata = manifest["metadata"]
        try:
            return self.cluster.store.get(kind_of(manifest), metadata["namespace"], metadata["name"])
        except Problem:
            return None

    def _health(self, manifests: list[Json]) -> Json:
        """The worst of all; of a Rollout, Argo CD shows the phase, and a paused one as suspended."""
        order = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded")
        worst = "Healthy"
        for manifest in manifests:
            live = self._live(manifest)
            if live is None:
                found = "Missing"
            elif live["kind"] == "Rollout":
                phase = live.get("status", {}).get("phase", "Progressing")
                found = {"Paused": "Suspended"}.get(phase, phase)
            else:
                found = "Healthy"
            worst = max(worst, found, key=order.index)
        return {"status": worst}


def _within(part: object, whole: object) -> bool:
    """Whether all that a manifest says is so."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and _within(value, whole[name]) for name, value in part.items())
    return part == whole


def _kind(name: str) -> Kind:
    return next(each for each in kinds() if each.kind == name)


def application(name: str, *, namespace: str = "argocd", **automated: bool) -> Json:
    """An Application that syncs by itself with these settings."""
    source = {"repoURL": "https://git.example/acme/shop.git", "targetRevision": "main",
              "path": "deploy/overlays/production"}  # fmt: skip
    document = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "project": "default",
            "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "production"},
            "syncPolicy": {"automated": automated},
        },
    }
    assert not kind_of(document).faults(document)
    return document
