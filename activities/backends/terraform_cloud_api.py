"""The part of Terraform Cloud's API that we call, and what its refusals mean.

Documents are JSON:API (https://developer.hashicorp.com/terraform/cloud-docs/api-docs). Nothing is retried: a
write whose answer was lost may have been done, so whoever asks again looks first.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from leverframe.model.untrusted import Untrusted

_MEDIA = "application/vnd.api+json"
_SECONDS = 30
_UPLOAD_SECONDS = 300
_MOST_BYTES = 64_000_000
_LONGEST_WAIT = timedelta(hours=1)
_SHORTEST_WAIT = timedelta(seconds=1)

_ERRORS: dict[int, type[LeverframeError]] = {
    401: BadConfiguration,
    403: Refused,
    404: NotFound,
    409: Conflict,
    422: BadInput,
}

Json = dict[str, Any]
ModelT = TypeVar("ModelT", bound=BaseModel)


class _Attributes(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True)


class Permissions(_Attributes):
    """What the token may do in a workspace."""

    can_queue_run: bool = False
    can_queue_apply: bool = False


class Workspace(_Attributes):
    """One workspace."""

    id: str = ""
    name: str
    locked: bool = False
    locked_by_run: bool = False
    execution_mode: str = "remote"
    working_directory: str | None = None
    permissions: Permissions = Permissions()


class Actions(_Attributes):
    """What may be done with a run now."""

    is_cancelable: bool = False
    is_confirmable: bool = False
    is_discardable: bool = False


class Run(_Attributes):
    """One run."""

    id: str = ""
    status: str
    message: str | None = None
    created_at: str = ""
    plan_only: bool = False
    actions: Actions = Actions()
    plan: str = ""
    apply: str = ""


class Step(_Attributes):
    """The plan or the apply of a run."""

    status: str = ""
    log_read_url: str | None = None
    resource_additions: int | None = Field(default=None, ge=0)
    resource_changes: int | None = Field(default=None, ge=0)
    resource_destructions: int | None = Field(default=None, ge=0)


class CloudApi:
    """One organisation's API. Safe for threads. Every method raises the errors of `_error`."""

    def __init__(self, *, url: str, token: SecretStr, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {token.get_secret_value()}", "Content-Type": _MEDIA}
        base = f"{url.rstrip('/')}/api/v2"
        self._api = httpx.Client(base_url=base, headers=headers, timeout=_SECONDS, transport=transport)
        # What the API points to lies elsewhere, with its key in the address: our token is not for it.
        self._elsewhere = httpx.Client(timeout=_UPLOAD_SECONDS, transport=transport)

    def workspace(self, organisation: str, name: str) -> Workspace:
        """Raises NotFound, which is also said of one that the token may not see."""
        data = self._data("GET", f"/organizations/{organisation}/workspaces/{name}")
        holder = _related(data, "locked-by", "type")
        return _read(Workspace, data, locked_by_run=holder == "runs")

    def runs(self, workspace: str) -> list[Run]:
        """The newest runs, newest first."""
        listed = self._json("GET", f"/workspaces/{workspace}/runs", params={"page[size]": "50"}).get("data")
        if not isinstance(listed, list):
            raise Unavailable("Terraform Cloud answered with something else than a list of runs")
        return sorted(map(_run, listed), key=lambda run: run.created_at, reverse=True)

    def run(self, run: str) -> Run:
        """One run as it is now."""
        return _run(self._data("GET", f"/runs/{run}"))

    def new_configuration(self, workspace: str, *, speculative: bool) -> tuple[str, str]:
        """An empty configuration version that starts no run: its id, and where it is uploaded to."""
        attributes = {"auto-queue-runs": False, "speculative": speculative}
        body = {"data": {"type": "configuration-versions", "attributes": attributes}}
        data = self._data("POST", f"/workspaces/{workspace}/configuration-versions", body)
        return str(data.get("id", "")), str(_attributes(data).get("upload-url", ""))

    def upload(self, address: str, slug: Path) -> None:
        """Send a tar.gz to where a configuration version is uploaded to."""
        with slug.open("rb") as file:
            self._answered(
                self._elsewhere,
                "PUT",
                address,
                content=file.read(),
                headers={"Content-Type": "application/octet-stream"},
            )

    def configuration_status(self, configuration: str) -> str:
        """`pending`, `uploaded`, `errored` …"""
        return str(_attributes(self._data("GET", f"/configuration-versions/{configuration}")).get("status"))

    def new_run(self, workspace: str, configuration: str, *, message: str, plan_only: bool) -> Run:
        """Queue a run that nobody but us confirms. Twice created is two runs: there is no key for that."""
        body = {
            "data": {
                "type": "runs",
                "attributes": {"message": message, "auto-apply": False, "plan-only": plan_only},
                "relationships": {
                    "workspace": {"data": {"type": "workspaces", "id": workspace}},
                    "configuration-version": {
                        "data": {"type": "configuration-versions", "id": configuration}
                    },
                },
            }
        }
        return _run(self._data("POST", "/runs", body))

    def act(self, run: str, action: str, comment: str) -> None:
        """`apply`, `discard` or `cancel` a run. Raises Conflict when it is not at the point for that."""
        self._answered(self._api, "POST", f"/runs/{run}/actions/{action}", json={"comment": comment})

    def step(self, kind: str, step: str) -> Step:
        """A plan (`plans`) or an apply (`applies`)."""
        return _read(Step, self._data("GET", f"/{kind}/{step}"))

    def plan_json(self, plan: str) -> bytes:
        """The plan as `terraform show -json` has it. Needs more rights than a run; Refused or NotFound."""
        answer = self._answered(self._api, "GET", f"/plans/{plan}/json-output")
        if answer.status_code == 204:
            raise Unavailable("the plan is not ready as JSON yet")
        if answer.is_redirect:
            return self.elsewhere(answer.headers.get("location", ""))
        return answer.content

    def elsewhere(self, address: str) -> bytes:
        """What the API points to, a log for example; its beginning is left out when it is too long."""
        return self._answered(self._elsewhere, "GET", address).content[-_MOST_BYTES:]

    def _data(self, method: str, path: str, body: Json | None = None) -> Json:
        data = self._json(method, path, body=body).get("data")
        if not isinstance(data, dict):
            raise Unavailable(f"Terraform Cloud answered {method} with something else than a document")
        return data

    def _json(
        self, method: str, path: str, *, body: Json | None = None, params: dict[str, str] | None = None
    ) -> Json:
        answer = self._answered(self._api, method, path, json=body, params=params)
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Unavailable(f"Terraform Cloud answered {method} with something else than JSON")
        return document

    def _answered(self, client: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, if it is one. Raises `_error`'s errors."""
        try:
            answer = client.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"Terraform Cloud does not answer: {type(error).__name__}") from error
        if answer.is_success or answer.is_redirect:
            return answer
        raise _error(answer)


def _error(answer: httpx.Response) -> LeverframeError:
    """Unavailable (429 with its wait, 5xx, anything unknown), or what the status says for good."""
    status = answer.status_code
    if status == 429:
        return Unavailable("Terraform Cloud asks for patience", wait=_wait(answer.headers.get("retry-after")))
    said = f"Terraform Cloud answered {status}{_detail(answer)}"
    if status == 401:
        said += ": check terraform.cloud.token"
    return _ERRORS.get(status, Unavailable)(said)


def _detail(answer: httpx.Response) -> str:
    """The first error object, as printable text."""
    try:
        first = answer.json()["errors"][0]
        told = f"{first.get('title', '')}: {first.get('detail', '')}" if isinstance(first, dict) else first
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return f" ({Untrusted(str(told)).for_terminal(200)})"


def _wait(said: str | None) -> timedelta:
    try:
        seconds = timedelta(seconds=float(said or ""))
    except (ValueError, OverflowError):
        return _SHORTEST_WAIT
    return max(_SHORTEST_WAIT, min(seconds, _LONGEST_WAIT))


def _attributes(data: Json) -> Json:
    found = data.get("attributes")
    return found if isinstance(found, dict) else {}


def _related(data: Json, name: str, key: str = "id") -> str:
    try:
        return str(data["relationships"][name]["data"][key])
    except (KeyError, TypeError):
        return ""


def _run(data: Json) -> Run:
    return _read(Run, data, plan=_related(data, "plan"), apply=_related(data, "apply"))


def _read(model: type[ModelT], data: Json, **more: object) -> ModelT:
    known = _attributes(data)
    try:
        return model.model_validate({**known, "id": data.get("id", ""), **more})
    except ValidationError as error:
        raise Unavailable(f"Terraform Cloud's {model.__name__.lower()} is not as documented") from error
