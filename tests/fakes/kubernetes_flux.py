"""Flux's two controllers for the fake of Kubernetes: git becomes an artifact, an artifact is applied.

https://fluxcd.io/flux/components/source/gitrepositories/ and …/components/kustomize/kustomizations/. Git is a
function. The source looks at git when it is asked to or its interval is over; the Kustomization acts on a new
artifact, a new generation and when it is asked to. Either does nothing while it is suspended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_kinds import Json, Kind, kind_of, kinds
from tests.fakes.kubernetes_store import Problem, stamp

REQUESTED = "reconcile.fluxcd.io/requestedAt"
NAMESPACE = "flux-system"

Git = Callable[[], tuple[str, list[Json]]]
"""What the tracked branch is at, and the manifests there. Raises OSError when git does not answer."""


@dataclass
class FakeFlux:
    """Both controllers over one cluster."""

    cluster: FakeKubernetes
    git: dict[str, Git]
    """By the name of the Kustomization; its source has the same name."""
    source_asleep: bool = False
    kustomize_asleep: bool = False
    _fetched: dict[str, list[Json]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster.store.changed.append(self.reconcile)
        for name in self.git:
            self.cluster.store.create(kind("GitRepository"), NAMESPACE, git_repository(name))
            self.cluster.store.create(kind("Kustomization"), NAMESPACE, kustomization(name))
        self.cluster.store.settle()

    def poll(self) -> None:
        """The interval of the sources is over."""
        for document in self.cluster.store.list(kind("GitRepository"), NAMESPACE):
            self._fetch(document)
        self.cluster.store.settle()

    def wake(self) -> None:
        """Both controllers see what has happened."""
        self.source_asleep = self.kustomize_asleep = False
        self.cluster.store.settle()

    def reconcile(self) -> None:
        """One look at every object."""
        if not self.source_asleep:
            for document in self.cluster.store.list(kind("GitRepository"), NAMESPACE):
                status = document.get("status", {})
                if not document["spec"].get("suspend") and (_asked(document) or "artifact" not in status):
                    self._fetch(document)
        if not self.kustomize_asleep:
            for document in self.cluster.store.list(kind("Kustomization"), NAMESPACE):
                reads_git = document["spec"]["sourceRef"]["kind"] == "GitRepository"
                if reads_git and not document["spec"].get("suspend"):
                    self._apply(document)

    def _fetch(self, document: Json) -> None:
        name, status = document["metadata"]["name"], dict(document.get("status", {}))
        try:
            commit, self._fetched[name] = self.git[name]()
        except OSError as error:
            status["conditions"] = [self._ready("False", "GitOperationFailed", str(error), document)]
        else:
            revision = f"main@sha1:{commit}"
            status["conditions"] = [self._ready("True", "Succeeded", f"stored {revision}", document)]
            status["artifact"] = {
                "revision": revision,
                "digest": f"sha256:{commit}{commit[:24]}",
                "lastUpdateTime": stamp(self.cluster.store.now()),
                "path": f"gitrepository/{NAMESPACE}/{name}/{commit}.tar.gz",
                "url": f"http://source-controller/{name}/{commit}.tar.gz",
            }
        self.cluster.store.set_status(document, _handled(document, status))

    def _apply(self, document: Json) -> None:
        store, name = self.cluster.store, document["metadata"]["name"]
        status = dict(document.get("status", {}))
        source = store.get(kind("GitRepository"), NAMESPACE, document["spec"]["sourceRef"]["name"])
        revision = source.get("status", {}).get("artifact", {}).get("revision")
        due = (
            status.get("lastAttemptedRevision") != revision
            or status.get("observedGeneration") != document["metadata"]["generation"]
            or _asked(document)
        )
        if revision is None or not due:
            return
        status["lastAttemptedRevision"] = revision
        try:
            for manifest in self._fetched[name]:
                self._made(manifest)
        except Problem as problem:
            status["conditions"] = [self._ready("False", "ReconciliationFailed", problem.message, document)]
        else:
            status["lastAppliedRevision"] = revision
            said = f"Applied revision: {revision}"
            status["conditions"] = [self._ready("True", "ReconciliationSucceeded", said, document)]
        store.set_status(document, _handled(document, status))

    def _made(self, manifest: Json) -> None:
        """By server-side apply: what the manifest does not say stays as another controller has it."""
        store, place = self.cluster.store, manifest["metadata"]
        where = kind_of(manifest), place["namespace"], place["name"]
        try:
            store.get(*where)
        except Problem:
            store.create(*where[:2], manifest)
        else:
            store.patch(*where, {"spec": manifest["spec"]})

    def _ready(self, status: str, reason: str, message: str, document: Json) -> Json:
        return {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": stamp(self.cluster.store.now()),
            "observedGeneration": document["metadata"]["generation"],
        }


def _asked(document: Json) -> bool:
    asked = document["metadata"].get("annotations", {}).get(REQUESTED)
    return asked is not None and asked != document.get("status", {}).get("lastHandledReconcileAt")


def _handled(document: Json, status: Json) -> Json:
    asked = document["metadata"].get("annotations", {}).get(REQUESTED)
    handled = {} if asked is None else {"lastHandledReconcileAt": asked}
    return {**status, **handled, "observedGeneration": document["metadata"]["generation"]}


def git_repository(name: str) -> Json:
    """The source of a Kustomization."""
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"interval": "1m", "url": "https://git.example/acme/shop", "ref": {"branch": "main"}},
    }


def kustomization(name: str) -> Json:
    """What applies one environment's overlay."""
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "interval": "10m",
            "path": f"./deploy/overlays/{name}",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": name},
        },
    }


def kind(name: str) -> Kind:
    return next(each for each in kinds() if each.kind == name)
