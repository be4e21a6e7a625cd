"""Terraform Cloud's API as far as `terraform_cloud` uses it, with a memory. Written from the API's reference.

Runs of one workspace wait for each other; each look at a run lets it go one step further. What a run applies
is the tree that was uploaded: a dev that has that very tree already has nothing to change.
"""

import hashlib
import io
import json
import re
import tarfile
from dataclasses import dataclass, field
from typing import Any

import httpx

URL = "https://tfc.example"
TOKEN = "team.atlasv1.token-of-dev"
ORGANISATION = "acme"
ARCHIVIST = "https://archivist.example"

Json = dict[str, Any]

ENDED = ("applied", "planned_and_finished", "errored", "discarded", "canceled", "policy_soft_failed")


@dataclass
class Fault:
    """What happens to the next request that matches."""

    method: str
    path: str
    """A regular expression, found anywhere in the path."""
    status: int = 0
    """0: the connection breaks."""
    headers: dict[str, str] = field(default_factory=dict)
    applied: bool = False
    """Whether the server does what it was asked to before the answer is lost."""


@dataclass
class Workspace:
    id: str = "ws-dev"
    name: str = "dev"
    directory: str | None = "infra"
    mode: str = "remote"
    locked_by: str = ""
    """`users`: a person holds the lock."""
    may: bool = True
    tree: str = ""
    """Digest of what dev has."""


@dataclass
class Configuration:
    id: str
    speculative: bool
    looks: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    digest: str = ""


@dataclass
class Run:
    id: str
    message: str
    plan_only: bool
    configuration: Configuration
    number: int
    status: str = "pending"
    plan_errored: bool = False
    log: str = ""


class FakeCloud:
    """One organisation with the workspace `dev`. `requests` are those that were answered or lost."""

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.configurations: dict[str, Configuration] = {}
        self.runs: dict[str, Run] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.stuck_at = ""
        """The status that no run leaves by itself."""
        self.fails = ""
        """`plan`, `apply`, `policy`: what does not end well, and its log."""
        self.log = ""
        self.may_read_plans = True
        self.drifted: tuple[str, ...] = ()

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def queue(self, message: str, status: str = "pending") -> Run:
        """A run that somebody has queued before us."""
        configuration = Configuration(id=f"cv-{len(self.configurations)}", speculative=False, digest="other")
        self.configurations[configuration.id] = configuration
        return self._new_run(message, configuration, plan_only=False, status=status)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append((request.method, path))
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, path):
                self.faults.remove(fault)
                if fault.applied:
                    self._served(request, path)
                if not fault.status:
                    raise httpx.ReadError("the connection broke", request=request)
                return _problem(fault.status, "fault", headers=fault.headers)
        return self._served(request, path)

    def _served(self, request: httpx.Request, path: str) -> httpx.Response:
        if str(request.url).startswith(ARCHIVIST):
            return self._object(request, path.rpartition("/")[2])
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _problem(401, "unauthorized")
        path = path.removeprefix("/api/v2")
        body: Json = json.loads(request.content) if request.content else {}
        parts = path.strip("/").split("/")
        match (request.method, *parts):
            case ("GET", "organizations", organisation, "workspaces", name):
                known = (organisation, name) == (ORGANISATION, self.workspace.name)
                return self._shown_workspace() if known else _problem(404, "not found")
            case ("POST", "workspaces", self.workspace.id, "configuration-versions"):
                return self._new_configuration(body)
            case ("GET", "configuration-versions", identity):
                return self._configuration(identity)
            case ("GET", "workspaces", self.workspace.id, "runs"):
                listed = [_run_document(run) for run in reversed(self.runs.values())]
                return httpx.Response(200, json={"data": listed})
            case ("POST", "runs"):
                return self._queued(body)
            case ("GET", "runs", identity):
                return self._look(self.runs[identity])
            case ("POST", "runs", identity, "actions", action):
                return self._act(self.runs[identity], action)
            case ("GET", "plans" | "applies" as kind, identity):
                return self._step(kind, self.runs[identity.partition("-of-")[2]])
            case ("GET", "plans", identity, "json-output"):
                if not self.may_read_plans:
                    return _problem(404, "not found")
                return httpx.Response(307, headers={"location": f"{ARCHIVIST}/v1/object/json-{identity}"})
        return _problem(404, "not found")

    def _object(self, request: httpx.Request, name: str) -> httpx.Response:
        """Uploads, logs and plans lie elsewhere; a token there is a token given away."""
        assert "authorization" not in request.headers
        if request.method == "PUT":
            configuration = self.configurations[name.removeprefix("up-")]
            with tarfile.open(fileobj=io.BytesIO(request.content), mode="r:gz") as tar:
                for member in tar.getmembers():
                    if (file := tar.extractfile(member)) is not None:
                        configuration.files[member.name] = file.read()
            configuration.digest = hashlib.sha256(request.content).hexdigest()
            return httpx.Response(200)
        if name.startswith("json-"):
            changes = [
                {"address": address, "mode": "managed", "change": {"actions": ["update"]}}
                for address in self.drifted
            ]
            return httpx.Response(200, json={"format_version": "1.2", "resource_changes": changes})
        return httpx.Response(200, text=f"\x02{self.log}\x03")

    def _shown_workspace(self) -> httpx.Response:
        workspace = self.workspace
        locker = workspace.locked_by or ("runs" if self._holder() else "")
        attributes = {
            "name": workspace.name,
            "locked": bool(locker),
            "execution-mode": workspace.mode,
            "working-directory": workspace.directory,
            "permissions": {"can-queue-run": True, "can-queue-apply": workspace.may},
        }
        held = {"locked-by": {"data": {"type": locker, "id": "x"}}} if locker else {}
        data = {"id": workspace.id, "type": "workspaces", "attributes": attributes, "relationships": held}
        return httpx.Response(200, json={"data": data})

    def _new_configuration(self, body: Json) -> httpx.Response:
        attributes = body["data"]["attributes"]
        assert attributes["auto-queue-runs"] is False
        configuration = Configuration(
            id=f"cv-{len(self.configurations)}", speculative=attributes["speculative"]
        )
        self.configurations[configuration.id] = configuration
        shown = {"status": "pending", "upload-url": f"{ARCHIVIST}/v1/object/up-{configuration.id}"}
        data = {"id": configuration.id, "type": "configuration-versions", "attributes": shown}
        return httpx.Response(201, json={"data": data})

    def _configuration(self, identity: str) -> httpx.Response:
        """A tree that was uploaded is worked on for one look."""
        configuration = self.configurations[identity]
        configuration.looks += 1
        ready = bool(configuration.digest) and configuration.looks > 1
        shown = {"status": "uploaded" if ready else "pending"}
        data = {"id": identity, "type": "configuration-versions", "attributes": shown}
        return httpx.Response(200, json={"data": data})

    def _queued(self, body: Json) -> httpx.Response:
        data = body["data"]
        configuration = self.configurations[data["relationships"]["configuration-version"]["data"]["id"]]
        if not configuration.digest:
            return _problem(422, "the configuration version is pending")
        assert data["attributes"]["auto-apply"] is False
        plan_only = data["attributes"]["plan-only"] or configuration.speculative
        run = self._new_run(data["attributes"]["message"], configuration, plan_only=plan_only)
        return httpx.Response(201, json={"data": _run_document(run)})

    def _new_run(
        self, message: str, configuration: Configuration, *, plan_only: bool, status: str = "pending"
    ) -> Run:
        number = len(self.runs)
        run = Run(f"run-{number}", message, plan_only, configuration, number, status)
        self.runs[run.id] = run
        return run

    def _holder(self) -> Run | None:
        """The run that has the workspace: the first that has not ended. Speculative runs don't wait."""
        going = (run for run in self.runs.values() if run.status not in ENDED and not run.plan_only)
        return next(going, None)

    def _look(self, run: Run) -> httpx.Response:
        if run.status != self.stuck_at:
            run.status = self._next(run)
        return httpx.Response(200, json={"data": _run_document(run)})

    def _next(self, run: Run) -> str:
        waits = not run.plan_only and (self._holder() is not run or self.workspace.locked_by)
        if run.status == "pending":
            return "pending" if waits else "planning"
        if run.status == "planning":
            return self._planned(run)
        if run.status == "confirmed":
            return "applying"
        if run.status == "applying":
            if self.fails == "apply":
                return "errored"
            self.workspace.tree = run.configuration.digest
            return "applied"
        return run.status

    def _planned(self, run: Run) -> str:
        if self.fails == "plan":
            run.plan_errored = True
            return "errored"
        if run.plan_only:
            return "planned_and_finished"
        if run.configuration.digest == self.workspace.tree:
            return "planned_and_finished"
        return "policy_override" if self.fails == "policy" else "planned"

    def _act(self, run: Run, action: str) -> httpx.Response:
        actions = _actions(run)
        needed = {"apply": "is-confirmable", "discard": "is-discardable", "cancel": "is-cancelable"}[action]
        if not actions[needed]:
            return _problem(409, "transition not allowed")
        run.status = {"apply": "confirmed", "discard": "discarded", "cancel": "canceled"}[action]
        return httpx.Response(202)

    def _step(self, kind: str, run: Run) -> httpx.Response:
        errored = run.status == "errored" and (run.plan_errored == (kind == "plans"))
        attributes = {
            "status": "errored" if errored else "finished",
            "log-read-url": f"{ARCHIVIST}/v1/object/log-{run.id}",
            "resource-additions": 2,
            "resource-changes": len(self.drifted),
            "resource-destructions": 1,
        }
        return httpx.Response(200, json={"data": {"id": run.id, "type": kind, "attributes": attributes}})


def _actions(run: Run) -> dict[str, bool]:
    """What the reference says may be done at each point."""
    return {
        "is-confirmable": run.status == "planned" and not run.plan_only,
        "is-discardable": run.status in ("pending", "planned", "policy_override"),
        "is-cancelable": run.status in ("planning", "applying"),
        "is-force-cancelable": False,
    }


def _run_document(run: Run) -> Json:
    attributes = {
        "status": run.status,
        "message": run.message,
        "plan-only": run.plan_only,
        "auto-apply": False,
        "created-at": f"2026-03-01T12:00:{run.number:02d}.000Z",
        "actions": _actions(run),
    }
    relationships = {
        "plan": {"data": {"id": f"plan-of-{run.id}", "type": "plans"}},
        "apply": {"data": {"id": f"apply-of-{run.id}", "type": "applies"}},
    }
    return {"id": run.id, "type": "runs", "attributes": attributes, "relationships": relationships}


def _problem(status: int, title: str, headers: dict[str, str] | None = None) -> httpx.Response:
    error = {"status": str(status), "title": title}
    return httpx.Response(status, json={"errors": [error]}, headers=headers)
