"""Who we are on GitHub: a token, or one installation of an App, and what it may do.

Every call has a timeout, none is retried here (Temporal retries), and nothing is cached: githubkit's
own retries would repeat writes.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import httpx
from githubkit import GitHub
from githubkit.auth import AppInstallationAuthStrategy, TokenAuthStrategy
from githubkit.cache import MemCacheStrategy
from pydantic import BaseModel, SecretStr

from activities.backends.git_process import HttpsLogin
from activities.backends.github_answers import Comment, Issue
from activities.backends.github_errors import answering
from activities.backends.github_pace import SpacedWrites
from leverframe.model.errors import BadConfiguration

NEEDED: Mapping[str, str] = MappingProxyType(
    {"metadata": "read", "contents": "write", "pull_requests": "write", "checks": "write"}
)
"""Permissions of the App. Contents: cars, receipts and the landing are pushed."""

NEEDED_BY_QUEUE: Mapping[str, str] = MappingProxyType({"merge_queues": "write"})
"""Beside `NEEDED`, to put changes into GitHub's own merge queue, to take them out and to hear of it."""

NEEDED_BY_CHECKS: Mapping[str, str] = MappingProxyType({"statuses": "read", "actions": "write"})
"""Beside `NEEDED`, to read commit statuses, and to run workflows again or stop them."""

NEEDED_BY_ISSUES: Mapping[str, str] = MappingProxyType({"issues": "write"})
"""Beside `NEEDED`, to track repairs in issues."""

_OPTIONAL = frozenset({"workflows", *NEEDED_BY_QUEUE, *NEEDED_BY_CHECKS, *NEEDED_BY_ISSUES})
"""`workflows`: only to land changes below `.github/workflows`, which GitHub guards by a permission of its
own. The others are asked for by the backends that need them."""

_TOKEN_SCOPES = frozenset({"repo", "public_repo", "workflow"})

_TIMEOUT = httpx.Timeout(20, connect=5)
_RENEW_BEFORE = timedelta(minutes=10)
"""A token for git must outlive the command that it is given to."""

_PAUSE = 1.0
"""https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api"""

_LEVELS = ("read", "write", "admin")


@dataclass(frozen=True, kw_only=True)
class App:
    """One installation of a GitHub App. `private_key` is PEM."""

    app_id: int
    installation_id: int
    private_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Grants:
    """How what GitHub allows us differs from what we need."""

    told: str
    missing: tuple[str, ...] = ()
    excessive: tuple[str, ...] = ()


class _Installation(BaseModel):
    permissions: dict[str, str]
    suspended_at: datetime | None = None


class _Token(BaseModel):
    token: str
    expires_at: datetime


class _Me(BaseModel):
    id: int
    login: str


class GithubAccount:
    """The client and the identity of one credential. Safe for threads."""

    def __init__(
        self,
        credential: SecretStr | App,
        *,
        names: Sequence[str],
        api_url: str = "https://api.github.com",
        transport: httpx.BaseTransport | None = None,
        pause: float = 0,
    ) -> None:
        """
        Args:
            credential: a token or an App.
            names: the repositories (`acme/shop`) that an installation's tokens are narrowed to.
            api_url: of the REST API.
            transport: takes the requests, for tests.
            pause: seconds between the starts of two writes of this process; GitHub asks for one.
        """
        self.app = credential if isinstance(credential, App) else None
        self.host = _host_of(api_url)
        self.graphql_url = _graphql_of(api_url)
        self._names = sorted({name.partition("/")[2] for name in names})
        self._secret = credential if isinstance(credential, SecretStr) else None
        self._token: _Token | None = None
        self._me: _Me | None = None
        self._lock = threading.Lock()
        self.client = GitHub(
            self._auth(credential),
            base_url=api_url,
            user_agent="leverframe",
            timeout=_TIMEOUT,
            auto_retry=False,
            http_cache=False,
            cache_strategy=MemCacheStrategy(),
            transport=transport,
            throttler=SpacedWrites(pause),
        )

    def git_login(self) -> HttpsLogin:
        """The same credential for git over HTTPS, for this host only."""
        return HttpsLogin(address=f"https://{self.host}/", token=self._git_token)

    def me(self) -> int:
        """The id of the token's user, asked for once. An App's installation has none."""
        if self._me is None:
            with answering("ask GitHub who the token belongs to"):
                self._me = _Me.model_validate(self.client.rest.users.get_authenticated().json())
        return self._me.id

    def wrote(self, text: Comment | Issue) -> bool:
        """Whether a comment or an issue is ours. An App's own name alone could be somebody's user name."""
        if self.app is None:
            return text.user is not None and text.user.id == self.me()
        via = text.performed_via_github_app
        by_bot = text.user is not None and text.user.type == "Bot"
        return by_bot and via is not None and via.id == self.app.app_id

    def grants(self, needed: Mapping[str, str] = NEEDED) -> Grants:
        """What GitHub says that we may do, compared with what is needed. Raises the errors of `answering`."""
        with answering("ask GitHub what we may do"):
            if self.app is None:
                answer = self.client.rest.users.get_authenticated()
                login = _Me.model_validate(answer.json()).login
                return _of_scopes(login, answer.headers.get("x-oauth-scopes"))
            answer_of_app = self.client.rest.apps.get_installation(self.app.installation_id)
            return _of_permissions(self.app, _Installation.model_validate(answer_of_app.json()), needed)

    def _auth(self, credential: SecretStr | App) -> TokenAuthStrategy | AppInstallationAuthStrategy:
        if isinstance(credential, SecretStr):
            return TokenAuthStrategy(credential.get_secret_value())
        return AppInstallationAuthStrategy(
            credential.app_id,
            credential.private_key,
            credential.installation_id,
            repositories=self._names,
        )

    def _git_token(self) -> str:
        if self._secret is not None:
            return self._secret.get_secret_value()
        with self._lock:
            if self._token is None or self._token.expires_at - _RENEW_BEFORE < datetime.now(UTC):
                self._token = self._new_token()
            return self._token.token

    def _new_token(self) -> _Token:
        assert self.app is not None  # noqa: S101 - a credential is a token or an App
        with answering("ask GitHub for a token for git"):
            answer = self.client.rest.apps.create_installation_access_token(
                self.app.installation_id, data={"repositories": self._names}
            )
            return _Token.model_validate(answer.json())


def open_account(
    *,
    owner_repo: Mapping[str, str],
    token: SecretStr | None,
    app_id: int | None,
    installation_id: int | None,
    private_key_file: Path | None,
    api_url: str,
) -> GithubAccount:
    """The account that the settings name.

    Raises:
        BadConfiguration: neither a token nor a whole App, both, an unreadable key, or repositories of
            several owners for one installation.
    """
    parts = (app_id, installation_id, private_key_file)
    names = tuple(owner_repo.values())
    if token is not None:
        if any(part is not None for part in parts):
            raise BadConfiguration("changes.github: give a token or an App, not both")
        return GithubAccount(token, names=names, api_url=api_url, pause=_PAUSE)
    if app_id is None or installation_id is None or private_key_file is None:
        raise BadConfiguration(
            "changes.github: give a token, or all of app_id, installation_id and private_key_file"
        )
    if len({name.partition("/")[0].lower() for name in names}) > 1:
        raise BadConfiguration(
            "changes.github.owner_repo names several owners; an App's installation has one"
        )
    try:
        key = private_key_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"changes.github.private_key_file: {error}") from error
    app = App(app_id=app_id, installation_id=installation_id, private_key=key)
    return GithubAccount(app, names=names, api_url=api_url, pause=_PAUSE)


def _host_of(api_url: str) -> str:
    """Where git goes: `api.github.com` → `github.com`, `git.acme.com/api/v3` → `git.acme.com`."""
    url = httpx.URL(api_url)
    if url.scheme != "https" or not url.host or url.userinfo:
        raise BadConfiguration(f"changes.github.api_url must be an https address: {url.host or 'no host'}")
    return url.netloc.decode().removeprefix("api.")


def _graphql_of(api_url: str) -> str:
    """`https://api.github.com` → `…/graphql`, `https://git.acme.com/api/v3` → `https://git.acme.com/api/graphql`."""
    return api_url.rstrip("/").removesuffix("/v3") + "/graphql"


def _of_permissions(app: App, installation: _Installation, needed: Mapping[str, str]) -> Grants:
    who = f"installation {app.installation_id} of App {app.app_id}"
    if installation.suspended_at is not None:
        return Grants(told=f"{who} is suspended", missing=tuple(needed))
    granted = installation.permissions
    return Grants(
        told=who,
        missing=tuple(
            f"{name}: {level}" for name, level in needed.items() if _level(granted.get(name)) < _level(level)
        ),
        excessive=tuple(
            f"{name}: {level}"
            for name, level in sorted(granted.items())
            if name not in _OPTIONAL and _level(level) > _level({**NEEDED, **needed}.get(name))
        ),
    )


def _of_scopes(login: str, header: str | None) -> Grants:
    """A classic token tells its scopes in a header; a fine-grained one tells nothing."""
    if header is None:
        return Grants(told=f"token of {login}, whose permissions GitHub does not tell")
    scopes = {scope.strip() for scope in header.split(",")} - {""}
    return Grants(
        told=f"token of {login} with {', '.join(sorted(scopes)) or 'no scope'}",
        missing=() if scopes & {"repo", "public_repo"} else ("repo",),
        excessive=tuple(sorted(scopes - _TOKEN_SCOPES)),
    )


def _level(name: str | None) -> int:
    return _LEVELS.index(name) + 1 if name in _LEVELS else 0
