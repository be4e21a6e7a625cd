"""Who we are on GitLab: a personal, project or group access token or an OAuth token, and what it may do.

Plain httpx: every call has a timeout, and none is repeated or slept on here, because Temporal does that.
(python-gitlab would bring a second HTTP client that waits inside the call, and can't put a merge request
on a train.)
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from activities.backends.git_process import HttpsLogin
from activities.backends.gitlab_errors import failed, unanswered, words
from leverframe.model.errors import BadConfiguration, LeverframeError, Unavailable

SCOPE = "api"
"""The one scope that may write merge requests, notes, statuses and trains; git over HTTPS takes it, too."""

_HARMLESS = frozenset({SCOPE, "read_api", "read_user", "read_repository", "write_repository", "self_rotate"})
"""What `api` includes or what gives nothing beyond it."""

_API = "/api/v4"
_TIMEOUT = httpx.Timeout(20, connect=5)
_PAGE = 100
_MAX_PAGES = 50
_MAX_LOG = 8_000_000
"""Bytes of a job's log that are read for its last lines."""

Query = Mapping[str, str | int | bool | list[str] | list[int]]
M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status that the caller wanted to see, what came with it, and GitLab's words."""

    status: int
    body: Any
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Grants:
    """How what GitLab allows us differs from what we need."""

    told: str
    missing: tuple[str, ...] = ()
    excessive: tuple[str, ...] = ()


class Version(BaseModel):
    """`17.11.2-ee`."""

    version: str

    @property
    def number(self) -> tuple[int, int]:
        """`(17, 11)`; `(0, 0)` for something that is no version."""
        parts = self.version.partition("-")[0].split(".")
        numbers = [int(part) for part in parts[:2] if part.isascii() and part.isdigit() and len(part) < 6]
        return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


class _Me(BaseModel):
    id: int
    username: str


class _Token(BaseModel):
    name: str = ""
    scopes: tuple[str, ...] = ()


class _OauthToken(BaseModel):
    scope: tuple[str, ...] = ()


class GitlabAccount:
    """The client and the identity of one token. Safe for threads."""

    def __init__(
        self,
        token: SecretStr,
        *,
        api_url: str = "https://gitlab.com/api/v4",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises BadConfiguration for an address that is not `https://<host>/api/v4`."""
        self.root = _root_of(api_url)
        self.host = self.root.removeprefix("https://").rstrip("/")
        self._token = token
        self._me: _Me | None = None
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token.get_secret_value()}", "User-Agent": "leverframe"},
            timeout=_TIMEOUT,
            transport=transport,
        )

    def git_login(self) -> HttpsLogin:
        """The same token for git over HTTPS, for this host only. `oauth2` suits every kind of token."""
        return HttpsLogin(address=self.root, token=self._token.get_secret_value, user="oauth2")

    def me(self) -> int:
        """The id of the token's user, asked for once. A project's or group's token has a bot user."""
        if self._me is None:
            self._me = self.read(_Me, "/user", "ask GitLab who the token belongs to")
        return self._me.id

    def version(self) -> Version:
        """What GitLab runs there."""
        return self.read(Version, "/version", "ask GitLab for its version")

    def grants(self) -> Grants:
        """What GitLab says that the token may do. Raises the errors of `gitlab_errors`."""
        user = self.read(_Me, "/user", "ask GitLab who the token belongs to")
        scopes = self._scopes()
        told = f"token of {user.username} with {', '.join(sorted(scopes)) or 'no scope'}"
        return Grants(
            told=told,
            missing=() if SCOPE in scopes else (SCOPE,),
            excessive=tuple(sorted(scopes - _HARMLESS)),
        )

    def read(self, model: type[M], path: str, doing: str, query: Query | None = None) -> M:
        """One document. A failed call raises the errors of `gitlab_errors`."""
        return parsed(model, self.send("GET", path, doing, query=query).body, doing)

    def pages(
        self, model: type[M], path: str, doing: str, query: Query | None = None, *, size: int = _PAGE
    ) -> Iterator[M]:
        """The documents of every page (offset-based pagination), at the most 50 pages."""
        page: str = "1"
        for _ in range(_MAX_PAGES):
            asked = {**(query or {}), "per_page": size, "page": page}
            response = self._ask("GET", path, doing, query=asked)
            if not response.is_success:
                raise failed(doing, response)
            yield from parsed(list[model], _body(response, doing), doing)  # type: ignore[valid-type]
            page = response.headers.get("x-next-page", "")
            if not page.isascii() or not page.isdigit():
                return

    def send(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Query | None = None,
        data: Mapping[str, object] | None = None,
        allow: Collection[int] = (),
    ) -> Answer:
        """One call, never repeated: whoever asks again after a lost answer looks first.

        `allow` are statuses that are no errors for the caller.
        """
        response = self._ask(method, path, doing, query=query, data=data)
        if response.status_code in allow and not response.is_success:
            return Answer(status=response.status_code, body=None, words=words(response))
        if not response.is_success:
            raise failed(doing, response)
        return Answer(status=response.status_code, body=_body(response, doing))

    def tail(self, path: str, doing: str, *, limit: int) -> str:
        """The last `limit` characters of a text that may be huge; of its first 8 MB."""
        kept: deque[bytes] = deque()
        read = held = 0
        try:
            with self._client.stream("GET", self._at(path)) as response:
                if not response.is_success:
                    response.read()
                    raise failed(doing, response)
                for chunk in response.iter_bytes():
                    kept.append(chunk)
                    read, held = read + len(chunk), held + len(chunk)
                    while held - len(kept[0]) >= 4 * limit:
                        held -= len(kept.popleft())
                    if read >= _MAX_LOG:
                        break
        except httpx.HTTPError as error:
            raise unanswered(doing, error) from error
        return b"".join(kept).decode(errors="replace")[-limit:]

    def content(self, path: str, doing: str, *, limit: int) -> bytes | None:
        """A file, which may lie in a store elsewhere, where the token does not go. None when it is larger."""
        content = bytearray()
        try:
            with self._client.stream("GET", self._at(path), follow_redirects=True) as response:
                if not response.is_success:
                    response.read()
                    raise failed(doing, response)
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > limit:
                        return None
        except httpx.HTTPError as error:
            raise unanswered(doing, error) from error
        return bytes(content)

    def _scopes(self) -> set[str]:
        """Access tokens tell of themselves; for one of OAuth its own endpoint does."""
        doing = "ask GitLab what the token may do"
        answer = self.send("GET", "/personal_access_tokens/self", doing, allow=(400, 401, 403, 404))
        if answer.body is not None:
            return set(parsed(_Token, answer.body, doing).scopes)
        response = self._ask("GET", f"{self.root}oauth/token/info", doing)
        if not response.is_success:
            raise failed(doing, response)
        return set(parsed(_OauthToken, _body(response, doing), doing).scope)

    def _at(self, path: str) -> str:
        return path if path.startswith("https://") else f"{self.root.rstrip('/')}{_API}{path}"

    def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Query | None = None,
        data: Mapping[str, object] | None = None,
    ) -> httpx.Response:
        try:
            return self._client.request(method, self._at(path), params=query, json=data)
        except httpx.HTTPError as error:
            raise unanswered(doing, error) from error


def parsed(model: type[M], body: Any, doing: str) -> M:
    """A document as the model has it. Raises Unavailable: a proxy's page, or an API that is not GitLab's."""
    try:
        return TypeAdapter(model).validate_python(body)
    except ValidationError as error:
        raise Unavailable(f"{doing}: the answer is not one of GitLab's API") from error


def open_account(*, token: SecretStr | None, api_url: str) -> GitlabAccount:
    """The account that the settings name. Raises BadConfiguration: no token, or a wrong address."""
    if token is None or not token.get_secret_value():
        raise BadConfiguration("changes.gitlab: give a token with the scope api")
    return GitlabAccount(token, api_url=api_url)


def _root_of(api_url: str) -> str:
    """`https://gitlab.com/api/v4` → `https://gitlab.com/`, below which git's remotes lie, too."""
    url = httpx.URL(api_url.rstrip("/"))
    if url.scheme != "https" or not url.host or url.userinfo or not url.path.endswith(_API) or url.query:
        raise BadConfiguration(
            f"changes.gitlab.api_url must be https://<host>{_API}, which it is not: {url.host or 'no host'}"
        )
    return str(url).removesuffix(_API) + "/"


def _body(response: httpx.Response, doing: str) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise Unavailable(f"{doing}: the answer is not one of GitLab's API") from error


def explain(error: LeverframeError) -> str:
    """What to look at when a call of the health check fails."""
    return "check changes.gitlab.token" if isinstance(error, BadConfiguration) else "check changes.gitlab"
