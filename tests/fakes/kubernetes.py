"""The API of a Kubernetes cluster with a memory, for our clients and for a real `kubectl`.

`kubernetes_http` has the ways in. Controllers are test doubles that listen to `store.changed`:
`kubernetes_rollouts`, `kubernetes_argocd`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.fakes.kubernetes_discovery import discovery
from tests.fakes.kubernetes_kinds import Json, Kind, kinds
from tests.fakes.kubernetes_rules import Account, Rule, review
from tests.fakes.kubernetes_store import Problem, Store

TOKEN = "token-of-leverframe"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
MERGE_PATCH = "application/merge-patch+json"

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PLACE = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>status|scale))?/?$"
)


@dataclass
class Fault:
    """What happens to the next request that matches."""

    method: str
    path: str
    """A regular expression, found anywhere in the path or the query."""
    status: int = 0
    """0: the connection breaks."""
    headers: dict[str, str] = field(default_factory=dict)
    applied: bool = False
    """Whether the server does what it was asked to before the answer is lost."""
    slow: bool = False
    """No answer comes before the client gives up."""


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""
    user: str = ""
    """The name in the client's certificate."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def asked(self, parameter: str, default: str = "") -> str:
        """A parameter of the query."""
        return parse_qs(urlsplit(self.target).query).get(parameter, [default])[0]

    def document(self) -> Json:
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise Problem(400, "BadRequest", "the object provided is unrecognized") from error
        if not isinstance(document, dict):
            raise Problem(400, "BadRequest", "json: cannot unmarshal into an object")
        return document


@dataclass
class Answer:
    status: int
    body: Json
    headers: dict[str, str] = field(default_factory=dict)
    events: Iterator[Json] | None = None
    """Of a watch."""


@dataclass(frozen=True)
class _Place:
    """What a path names."""

    kind: Kind
    namespace: str
    name: str
    subresource: str


class FakeKubernetes:
    """One cluster. `requests` are the methods and targets that came, in order."""

    def __init__(self) -> None:
        self.store = Store()
        self.accounts = {TOKEN: Account("leverframe", (Rule(("*",), ("*",), ("*",)),))}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.gone = False
        """No connection is taken."""
        self.idle_seconds = 0.05
        """A watch ends when nothing has happened for so long: nobody in a test waits for nothing."""

    def allow(self, *rules: Rule, token: str = TOKEN, name: str = "leverframe") -> None:
        """What the holder of a token, or of a certificate with that name, may do from now on."""
        self.accounts[token] = Account(name, rules)

    def expire(self, token: str = TOKEN) -> None:
        """The token is good for nothing any more."""
        del self.accounts[token]

    def answer(self, request: Request) -> Answer:
        """One request.

        Raises:
            ConnectionError: the connection breaks, or none is taken.
            TimeoutError: no answer comes.
        """
        if self.gone:
            raise ConnectionError
        self.requests.append((request.method, request.target))
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.target):
                self.faults.remove(fault)
                if fault.applied:
                    self._served(request)
                if fault.slow:
                    raise TimeoutError
                if not fault.status:
                    raise ConnectionError
                return Answer(fault.status, Problem(fault.status, "", "fault").document(), fault.headers)
        return self._served(request)

    def _served(self, request: Request) -> Answer:
        try:
            account = self._account(request)
            if request.path == REVIEWS and request.method == "POST":
                return Answer(201, review(account, request.document()))
            if (found := discovery(request.path)) is not None:
                return Answer(200, found)
            return self._resource(account, request)
        except Problem as problem:
            return Answer(problem.code, problem.document())

    def _account(self, request: Request) -> Account:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token in self.accounts:
            return self.accounts[token]
        by_name = {account.name: account for account in self.accounts.values()}
        if not token and request.user in by_name:
            return by_name[request.user]
        raise Problem(401, "Unauthorized", "Unauthorized")

    def _resource(self, account: Account, request: Request) -> Answer:
        place = _place(request.path)
        watching = request.asked("watch").lower() in ("true", "1")
        reads = "get" if place.name else "watch" if watching else "list"
        verb = _VERBS.get(request.method, reads)
        account.require(verb, place.kind, place.namespace, place.name, place.subresource)
        match verb:
            case "get":
                return Answer(200, self.store.get(place.kind, place.namespace, place.name))
            case "list" | "watch":
                return self._listed(place, request, watching=watching)
            case "delete":
                return Answer(200, self.store.delete(place.kind, place.namespace, place.name))
        return self._written(place, request)

    def _listed(self, place: _Place, request: Request, *, watching: bool) -> Answer:
        kind, called = place.kind, request.asked("fieldSelector").removeprefix("metadata.name=")
        with self.store.lock:
            items = self.store.list(kind, place.namespace, request.asked("labelSelector"))
            version = self.store.version
        items = [each for each in items if called in ("", each["metadata"]["name"])]
        if not watching:
            return Answer(200, {"kind": f"{kind.kind}List", "apiVersion": kind.api_version,
                                "metadata": {"resourceVersion": str(version)}, "items": items})  # fmt: skip
        since = int(request.asked("resourceVersion", "0") or 0)
        first = [] if since else [{"type": "ADDED", "object": each} for each in items]
        idle = min(float(request.asked("timeoutSeconds", "60")), self.idle_seconds)
        later = self.store.watch(kind, place.namespace, called, since or version, idle)
        return Answer(200, {}, events=_chained(first, later))

    def _written(self, place: _Place, request: Request) -> Answer:
        kind, document = place.kind, request.document()
        if request.asked("fieldValidation") == "Strict" and (unknown := kind.unknown_fields(document)):
            fields = ", ".join(f'unknown field "{each}"' for each in unknown)
            raise Problem(400, "BadRequest", f"strict decoding error: {fields}")
        where = (kind, place.namespace, place.name)
        if request.method == "POST":
            return Answer(201, self.store.create(kind, place.namespace, document))
        if request.method == "PUT":
            return Answer(200, self.store.replace(*where, document, place.subresource))
        if request.headers.get("content-type", "").partition(";")[0] != MERGE_PATCH:
            raise Problem(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: "
                f"application/json-patch+json, {MERGE_PATCH}, application/apply-patch+yaml",
            )
        return Answer(200, self.store.patch(*where, document, place.subresource))


def _place(path: str) -> _Place:
    """Raises Problem 404."""
    found = _PLACE.match(path)
    if found is not None:
        named = (found["group"] or "", found["version"], found["plural"])
        for kind in kinds():
            inside = found["subresource"] or ""
            if (kind.group, kind.version, kind.plural) == named and inside in ("", *kind.subresources):
                return _Place(kind, found["namespace"] or "", found["name"] or "", inside)
    raise Problem(404, "NotFound", "the server could not find the requested resource")


def _chained(first: Iterable[Json], later: Iterator[Json]) -> Iterator[Json]:
    yield from first
    yield from later
