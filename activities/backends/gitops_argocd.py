"""Reconciliation by Argo CD: what its Applications say, read and asked through the Kubernetes API or its own.

Nothing is believed because it was asked for: a refresh is over when Argo CD has taken its annotation away, a
sync when its operation has ended. Automatic sync is suspended by taking `syncPolicy.automated` away, and kept
in an annotation until it is put back, which works with every version of Argo CD.
https://argo-cd.readthedocs.io/en/stable/user-guide/annotations-and-labels/ and `…/user-guide/auto_sync/`
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from activities.backends.argo_answers import Application, read
from activities.backends.argocd_doors import ApplicationDoor
from activities.ports import Backend, Health
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.releases import Environment, Reconciliation

REFRESH = "argocd.argoproj.io/refresh"
SUSPENDED = "leverframe.dev/suspended"
TRIES = 5
"""How often a write is tried anew when somebody else was faster: Argo CD itself writes all the time."""

_SHA = re.compile(r"[0-9a-f]{40}")


class ArgoCdGitops:
    """The port `Gitops`: one Application for each service and environment. Safe to share between threads."""

    def __init__(
        self,
        door: ApplicationDoor,
        *,
        applications: Mapping[Environment, str],
        services: frozenset[str],
    ) -> None:
        self._door = door
        self._applications = applications
        self._services = services

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        name = self._name(service, environment)
        application = self._read(name)
        status = application.status
        revision = status.sync.revision
        return Reconciliation(
            environment=environment,
            revision=revision if _SHA.fullmatch(revision) else None,
            pending=_is_pending(application),
            synced=status.sync.status == "Synced",
            automatic=_is_automatic(application),
            healthy=status.health.status in ("Healthy", "Suspended"),
            detail="; ".join(_trouble(application)),
        )

    def request(self, service: str, environment: Environment) -> None:
        """The annotation for a refresh: Argo CD takes it away when it has compared git with the cluster."""
        name = self._name(service, environment)
        self._door.patch(name, {"metadata": {"annotations": {REFRESH: "normal"}}})

    def suspend(self, service: str, environment: Environment, *, reason: str) -> None:
        """Take automatic sync away, and read back that it is gone.

        Raises:
            Unavailable: something puts it back, such as an Application that manages this one.
        """
        name = self._name(service, environment)
        for _ in range(TRIES):
            document = self._door.get(name)
            application = read(Application, document)
            automated = document.get("spec", {}).get("syncPolicy", {}).get("automated")
            if automated is None:
                return
            note = json.dumps({"reason": reason[:500], "automated": automated}, sort_keys=True)
            patch = _upon(
                application,
                {
                    "metadata": {"annotations": {SUSPENDED: note}},
                    "spec": {"syncPolicy": {"automated": None}},
                },
            )
            if self._patched(name, patch) and not _is_automatic(self._read(name)):
                return
        raise Unavailable(
            f"Application {name} gets its automatic sync back from somewhere: it is not suspended"
        )

    def resume(self, service: str, environment: Environment) -> None:
        name = self._name(service, environment)
        for _ in range(TRIES):
            document = self._door.get(name)
            application = read(Application, document)
            note = application.metadata.annotations.get(SUSPENDED)
            if note is None:
                return
            patch: dict[str, Any] = {"metadata": {"annotations": {SUSPENDED: None}}}
            if application.spec.sync_policy.automated is None:
                patch["spec"] = {"syncPolicy": {"automated": _kept(name, note)}}
            if self._patched(name, _upon(application, patch)):
                return
        raise Unavailable(f"Application {name} changes all the time: its automatic sync is not back yet")

    def health(self) -> Health:
        """Whether every Application is there, may be changed by us, and syncs by itself."""
        names = [
            self._name(service, environment)
            for service in sorted(self._services)
            for environment in sorted(self._applications)
        ]
        try:
            if (missing := self._door.missing_rights()) is not None:
                return Health(ok=False, detail=missing, remedy="apply deploy/kubernetes, or widen the role")
            for name in names:
                if (found := _not_automatic(self._read(name))) is not None:
                    return Health(ok=False, detail=found[0], remedy=found[1])
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check delivery.argocd")
        return Health(ok=True, detail=f"{', '.join(names)} at {self._door.where}")

    def _read(self, name: str) -> Application:
        return read(Application, self._door.get(name))

    def _patched(self, name: str, patch: dict[str, Any]) -> bool:
        """False when somebody else has written since the Application was read."""
        try:
            self._door.patch(name, patch)
        except Conflict:
            return False
        return True

    def _name(self, service: str, environment: Environment) -> str:
        if service not in self._services:
            raise NotFound(f"no service {service!r} is declared")
        if environment not in self._applications:
            raise NotFound(f"delivery.argocd.applications names none for {environment}")
        return self._applications[environment].format(service=service)


def _upon(application: Application, patch: dict[str, Any]) -> dict[str, Any]:
    """The patch, to be refused unless the Application is as it was read."""
    metadata = {**patch.get("metadata", {}), "resourceVersion": application.metadata.resource_version}
    return {**patch, "metadata": metadata}


def _is_automatic(application: Application) -> bool:
    automated = application.spec.sync_policy.automated
    return automated is not None and automated.enabled


def _is_pending(application: Application) -> bool:
    """A refresh that was asked for, or a sync that goes on or is about to."""
    running = application.status.operation_state.phase in ("Running", "Terminating")
    return REFRESH in application.metadata.annotations or application.operation is not None or running


def _trouble(application: Application) -> list[str]:
    name, status = application.metadata.name, application.status
    found = [f"{each.type}: {each.message}" for each in status.conditions if each.type.endswith("Error")]
    if status.operation_state.phase in ("Failed", "Error"):
        found.append(f"the last sync failed: {status.operation_state.message}")
    if SUSPENDED in application.metadata.annotations:
        found.append(f"the automatic sync of {name} is suspended by Leverframe")
    elif status.sync.status != "Synced" and not _is_automatic(application):
        found.append(f"{name} is {status.sync.status} and has no automatic sync: somebody must sync it")
    if status.health.status in ("Degraded", "Missing"):
        found.append(f"{name} is {status.health.status} {status.health.message}".rstrip())
    return found


def _not_automatic(application: Application) -> tuple[str, str] | None:
    """Why an Application does not sync by itself, and what to do; None when it does."""
    name, note = application.metadata.name, application.metadata.annotations.get(SUSPENDED)
    if note is not None:
        return (
            f"the automatic sync of {name} is suspended by Leverframe{_reason(note)}",
            "the release that goes back resumes it, and the next one does; or switch it on in Argo CD",
        )
    if not _is_automatic(application):
        return (
            f"Application {name} has no automatic sync",
            "give it syncPolicy.automated: releases wait for git to be applied",
        )
    return None


def _reason(note: str) -> str:
    """Why, as far as the annotation still says so."""
    try:
        return f": {json.loads(note)['reason']}"
    except (ValueError, KeyError, TypeError):
        return ""


def _kept(name: str, note: str) -> dict[str, Any]:
    """The automatic sync as it was. Raises Refused when somebody has overwritten what we kept."""
    try:
        kept = json.loads(note)["automated"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"Application {name}: somebody has changed the annotation {SUSPENDED}: set syncPolicy.automated, "
            "and remove it"
        ) from error
    return dict(kept)


BACKEND = Backend(
    kind="gitops",
    name="argocd",
    scopes=("get and patch applications.argoproj.io, or applications: get, update in Argo CD's own RBAC",),
    build=ArgoCdGitops,
)
