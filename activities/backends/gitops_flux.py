"""Reconciliation by Flux: one Kustomization for each service and environment, and the GitRepository it reads.

Flux is asked by an annotation and answers by repeating its value in `lastHandledReconcileAt`. It may answer
with the artifact of the look before, so nothing is settled until the Kustomization has attempted what its
source holds. It is suspended by `spec.suspend`, with a note of ours, and only what we have suspended is
resumed.
https://fluxcd.io/flux/components/kustomize/kustomizations/ and …/components/source/gitrepositories/
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from activities.backends.argo_answers import Answer, Metadata, read
from activities.backends.kubernetes_api import KubernetesApi, Place
from activities.ports import Backend, Health
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.releases import Environment, Reconciliation

REQUESTED = "reconcile.fluxcd.io/requestedAt"
SUSPENDED = "leverframe.dev/suspended"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
SOURCE = "source.toolkit.fluxcd.io/v1"
TRIES = 5
"""How often a write is tried anew when somebody else was faster: Flux writes all the time."""

_REVISION = re.compile(r"(?:^|[@/:])(?:sha1:)?([0-9a-f]{40})$")


class _Condition(Answer):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _Status(Answer):
    observed_generation: int = -1
    last_handled_reconcile_at: str = ""
    conditions: tuple[_Condition, ...] = ()

    def condition(self, kind: str) -> _Condition | None:
        return next((each for each in self.conditions if each.type == kind), None)

    def says(self, kind: str) -> bool:
        found = self.condition(kind)
        return found is not None and found.status == "True"


class _Artifact(Answer):
    revision: str = ""


class _SourceStatus(_Status):
    artifact: _Artifact = _Artifact()


class _SourceSpec(Answer):
    suspend: bool = False


class _Source(Answer):
    metadata: Metadata
    spec: _SourceSpec = _SourceSpec()
    status: _SourceStatus = _SourceStatus()


class _SourceRef(Answer):
    kind: str
    name: str
    namespace: str = ""


class _KustomizationSpec(Answer):
    suspend: bool = False
    source_ref: _SourceRef = Field(alias="sourceRef")


class _KustomizationStatus(_Status):
    last_applied_revision: str = ""
    last_attempted_revision: str = ""


class _Kustomization(Answer):
    metadata: Metadata
    spec: _KustomizationSpec
    status: _KustomizationStatus = _KustomizationStatus()


class FluxGitops:
    """The port `Gitops`. Safe to share between threads."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        namespace: str,
        kustomizations: Mapping[Environment, str],
        services: frozenset[str],
    ) -> None:
        """`kustomizations`: the name in each environment, with `{service}` in it."""
        self._api = api
        self._namespace = namespace
        self._kustomizations = kustomizations
        self._services = services

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        place = self._place(service, environment)
        found = read(_Kustomization, self._api.get(place))
        source = self._source(found)
        attempted = found.status.last_attempted_revision
        commit = _REVISION.search(attempted)
        return Reconciliation(
            environment=environment,
            revision=commit[1] if commit else None,
            pending=_is_blind(source) or _is_behind(found, source),
            synced=found.status.last_applied_revision == source.status.artifact.revision and _is_ready(found),
            automatic=not (found.spec.suspend or source.spec.suspend),
            healthy=_is_ready(found),
            detail="; ".join(_trouble(found, source)),
        )

    def request(self, service: str, environment: Environment) -> None:
        """Ask the source to look at git, and the Kustomization to apply what it holds."""
        place = self._place(service, environment)
        found = read(_Kustomization, self._api.get(place))
        asked = {"metadata": {"annotations": {REQUESTED: datetime.now(UTC).isoformat()}}}
        self._api.patch(self._source_place(found), asked)
        self._api.patch(place, asked)

    def suspend(self, service: str, environment: Environment, *, reason: str) -> None:
        """Set `spec.suspend`, and read back that it stays. One that is suspended already is left alone.

        Raises:
            Unavailable: something takes it back, such as a Kustomization that applies this one.
        """
        place = self._place(service, environment)
        for _ in range(TRIES):
            found = read(_Kustomization, self._api.get(place))
            if found.spec.suspend:
                return
            note = {"annotations": {SUSPENDED: reason[:500]}}
            if self._patched(place, found, note, {"suspend": True}) and self._is_suspended(place):
                return
        raise Unavailable(f"{place} is made to reconcile from somewhere: it is not suspended")

    def resume(self, service: str, environment: Environment) -> None:
        place = self._place(service, environment)
        for _ in range(TRIES):
            found = read(_Kustomization, self._api.get(place))
            if SUSPENDED not in found.metadata.annotations:
                return
            if self._patched(place, found, {"annotations": {SUSPENDED: None}}, {"suspend": False}):
                return
        raise Unavailable(f"{place} changes all the time: it is not resumed yet")

    def health(self) -> Health:
        """Whether every Kustomization is there, may be changed by us, and reconciles."""
        names = []
        try:
            for service in sorted(self._services):
                for environment in sorted(self._kustomizations):
                    place = self._place(service, environment)
                    names.append(place.name)
                    if (lacking := self._lacks(place)) is not None:
                        return lacking
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check delivery.flux")
        return Health(ok=True, detail=f"Flux reconciles {', '.join(names)} in {self._namespace}")

    def _lacks(self, place: Place) -> Health | None:
        found = read(_Kustomization, self._api.get(place))
        source = self._source_place(found)
        for each in (place, source):
            for verb in ("get", "patch"):
                if not self._api.may(verb, each):
                    remedy = "apply deploy/kubernetes, or widen the role"
                    return Health(ok=False, detail=f"we may not {verb} {each}", remedy=remedy)
        if found.spec.suspend:
            remedy = "the next release that goes back resumes it; or `flux resume kustomization`"
            return Health(ok=False, detail=f"{place} is suspended", remedy=remedy)
        trouble = _trouble(found, self._source(found))
        if trouble:
            return Health(ok=False, detail="; ".join(trouble), remedy="see `flux get all`")
        return None

    def _is_suspended(self, place: Place) -> bool:
        return read(_Kustomization, self._api.get(place)).spec.suspend

    def _patched(
        self, place: Place, found: _Kustomization, metadata: dict[str, Any], spec: dict[str, Any]
    ) -> bool:
        """False when somebody else has written since it was read."""
        version = {"resourceVersion": found.metadata.resource_version}
        try:
            self._api.patch(place, {"metadata": {**metadata, **version}, "spec": spec})
        except Conflict:
            return False
        return True

    def _source(self, found: _Kustomization) -> _Source:
        return read(_Source, self._api.get(self._source_place(found)))

    def _source_place(self, found: _Kustomization) -> Place:
        ref = found.spec.source_ref
        if ref.kind != "GitRepository":
            raise Refused(
                f"Kustomization {found.metadata.name} reads a {ref.kind}: only a GitRepository says what it "
                "has seen of git"
            )
        return Place(SOURCE, "gitrepositories", ref.namespace or self._namespace, ref.name)

    def _place(self, service: str, environment: Environment) -> Place:
        if service not in self._services:
            raise NotFound(f"no service {service!r} is declared")
        if environment not in self._kustomizations:
            raise NotFound(f"delivery.flux.kustomizations names none for {environment}")
        name = self._kustomizations[environment].format(service=service)
        return Place(KUSTOMIZE, "kustomizations", self._namespace, name)


def _asked(metadata: Metadata, status: _Status) -> bool:
    """Somebody asks, and is not answered yet."""
    asked = metadata.annotations.get(REQUESTED)
    return asked is not None and asked != status.last_handled_reconcile_at


def _is_blind(source: _Source) -> bool:
    """It was asked to look at git and has not, or could not: what it holds may be old."""
    return _asked(source.metadata, source.status) or not source.status.says("Ready")


def _is_behind(found: _Kustomization, source: _Source) -> bool:
    """It has something to do. A suspended one does nothing, whatever it is asked."""
    status = found.status
    if found.spec.suspend:
        return False
    return (
        _asked(found.metadata, status)
        or status.observed_generation < found.metadata.generation
        or status.last_attempted_revision != source.status.artifact.revision
        or status.says("Reconciling")
    )


def _is_ready(found: _Kustomization) -> bool:
    return found.status.says("Ready") and found.status.observed_generation >= found.metadata.generation


def _trouble(found: _Kustomization, source: _Source) -> list[str]:
    said = []
    for kind, name, status in (
        ("GitRepository", source.metadata.name, source.status),
        ("Kustomization", found.metadata.name, found.status),
    ):
        ready = status.condition("Ready")
        if ready is not None and ready.status == "False":
            said.append(f"{kind} {name} is not ready: {ready.reason}: {ready.message}"[:500])
    if SUSPENDED in found.metadata.annotations:
        said.append(f"Kustomization {found.metadata.name} is suspended by Leverframe")
    elif found.spec.suspend or source.spec.suspend:
        said.append(f"{found.metadata.name} is suspended: somebody must resume it")
    return said


BACKEND = Backend(
    kind="gitops",
    name="flux",
    scopes=(
        "get and patch kustomizations.kustomize.toolkit.fluxcd.io, gitrepositories.source.toolkit.fluxcd.io",
    ),
    build=FluxGitops,
)
