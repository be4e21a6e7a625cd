"""Backends are built here from the settings.

The only file that names a vendor. Backends are imported when they are built, so that a command loads only
what it uses.
"""

import functools
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

from activities.inbox import Inbox
from activities.ports import (
    AuditLog,
    Backend,
    Changes,
    Chat,
    Delivery,
    Errors,
    Flags,
    Kind,
    Metrics,
    PolicySource,
    Sandbox,
)
from activities.track_port import Track
from activities.train_ports import Terraform
from leverframe.model.errors import BadConfiguration
from leverframe.model.topology import Repository
from leverframe.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from activities.backends.git_process import HttpsLogin
    from activities.backends.github_account import GithubAccount
    from activities.backends.gitlab_account import GitlabAccount
    from activities.backends.refs_github import GithubRefs
    from activities.forms import Forms
    from activities.train_ports import ForgeChecks, NativeQueue
    from policies.documents import PolicySnapshot

ROOTS = ("leverframe", "agents", "workflows", "activities", "policies")
TREE = Path(__file__).resolve().parent.parent

BACKENDS: Mapping[tuple[Kind, str], str] = MappingProxyType(
    {
        ("changes", "store"): "activities.backends.changes_store",
        ("changes", "github"): "activities.backends.changes_github",
        ("changes", "gitlab"): "activities.backends.changes_gitlab",
        ("checks", "github"): "activities.backends.checks_github",
        ("queue", "github"): "activities.backends.queue_github",
        ("checks", "gitlab"): "activities.backends.checks_gitlab",
        ("queue", "gitlab"): "activities.backends.queue_gitlab",
        ("track", "git"): "activities.backends.track_git",
        ("flags", "flagd"): "activities.backends.flags_flagd",
        ("errors", "store"): "activities.backends.errors_store",
        ("delivery", "local"): "activities.backends.delivery_local",
        ("metrics", "http"): "activities.backends.metrics_http",
        ("chat", "terminal"): "activities.backends.chat_store",
        ("chat", "slack"): "activities.backends.chat_slack",
        ("sandbox", "jail"): "activities.backends.sandbox_jail",
        ("audit", "store"): "activities.backends.audit_store",
        ("policy_source", "directory"): "activities.backends.policy_directory",
        ("policy_source", "git"): "activities.backends.policy_git",
        ("terraform", "none"): "activities.backends.terraform_none",
        ("terraform", "command"): "activities.backends.terraform_command",
        ("terraform", "cloud"): "activities.backends.terraform_cloud",
    }
)
"""Kind and name of each backend → the module that declares it."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """One configured backend for each port."""

    changes: Changes
    track: Track
    flags: Flags
    errors: Errors
    delivery: Delivery
    metrics: Metrics
    chats: Mapping[str, Chat]
    """First choice first."""
    sandbox: Sandbox
    audit: AuditLog
    policy_source: PolicySource
    terraform: Terraform


def assert_own_roots() -> None:
    """Each root package is ours alone: other distributions install packages of the same names.

    Raises:
        BadConfiguration: a root was imported from elsewhere, or another distribution owns files in it.
    """
    owners = importlib.metadata.packages_distributions()
    for root in ROOTS:
        place = Path(inspect.getfile(importlib.import_module(root))).resolve()
        if not place.is_relative_to(TREE):
            raise BadConfiguration(f"the package {root!r} comes from {place.parent}, not from {TREE}")
        foreign = sorted({owner for owner in owners.get(root, ()) if owner.lower() != "leverframe"})
        if foreign:
            raise BadConfiguration(
                f"the package {root!r} is also installed by {', '.join(foreign)}: "
                "run Leverframe in an environment of its own"
            )


def backend(kind: Kind, name: str) -> Backend:
    """What a backend declares about itself. Raises BadConfiguration for one that there is not."""
    module = BACKENDS.get((kind, name))
    if module is None:
        known = ", ".join(known for of, known in BACKENDS if of == kind)
        raise BadConfiguration(f"there is no {kind} backend {name!r}; there are: {known}")
    return cast(Backend, importlib.import_module(module).BACKEND)


def build_ports(settings: Settings) -> Ports:
    """Every port: for the hands, and for what watches the whole.

    Raises:
        BadConfiguration: a backend can't be built from these settings.
        Unavailable: the store does not answer.
    """
    ports = {kind: build() for kind, build in port_builders(settings).items()}
    return Ports(**ports, chats=build_chats(settings))


def port_builders(settings: Settings) -> dict[str, Callable[[], Any]]:
    """Field of `Ports` → what builds it, so that one broken backend does not hide the others.

    The chats are several: `chat_builders` has them.
    """
    store = functools.cache(lambda: _store(settings))
    return {
        "changes": lambda: build_changes(settings, store()),
        "track": lambda: build_track(settings),
        "flags": lambda: build_flags(settings),
        "errors": lambda: _build("errors", "store", store()),
        "delivery": lambda: build_delivery(settings),
        "metrics": lambda: build_metrics(settings),
        "sandbox": lambda: build_sandbox(settings),
        "audit": lambda: _build("audit", "store", store()),
        "policy_source": lambda: build_policy_source(settings),
        "terraform": lambda: build_terraform(settings),
    }


def build_chats(settings: Settings) -> dict[str, Chat]:
    """Every configured chat, first choice first. Raises BadConfiguration, Unavailable."""
    return {name: build() for name, build in chat_builders(settings).items()}


def chat_builders(settings: Settings) -> dict[str, Callable[[], Chat]]:
    """Name of each configured chat → what builds it."""
    store = functools.cache(lambda: _store(settings))
    building: dict[str, Callable[[], Any]] = {
        "terminal": lambda: _build("chat", "terminal", store()),
        "slack": lambda: _slack(settings, store()),
    }
    return {name: building[name] for name in settings.chat.backends}


def build_forms(settings: Settings) -> "Forms | None":
    """The chat whose people answer in forms, for the gateway; None when people are asked elsewhere.

    Raises:
        BadConfiguration: answers could come in by no door, or a setting is missing.
    """
    slack = settings.chat.slack
    if "slack" not in settings.chat.backends or slack.mode != "act":
        return None
    if not (slack.signing_secret or slack.app_token):
        raise BadConfiguration("chat.slack: mode act needs signing_secret, or app_token for Socket Mode")
    return cast("Forms", _slack(settings, _store(settings)))


def build_changes(settings: Settings, store: "Engine | None" = None) -> Changes:
    """The record of changes, with a store that is open already or with one opened for it."""
    chosen = settings.changes
    if chosen.backend == "store":
        return cast(Changes, _build("changes", "store", store or _store(settings)))
    if chosen.backend == "gitlab":
        account, opened = _gitlab(settings), store or _store(settings)
        return cast(Changes, _build("changes", "gitlab", account, opened, **_on_gitlab(settings)))
    return cast(
        Changes,
        _build(
            "changes",
            chosen.backend,
            _github(settings),
            store or _store(settings),
            repositories=settings.repositories,
            owner_repo=chosen.github.owner_repo,
        ),
    )


def build_checks(settings: Settings) -> "ForgeChecks | None":
    """The forge's own CI; None where changes are kept in the store. Raises BadConfiguration."""
    return cast("ForgeChecks | None", _of_the_forge("checks", settings))


def build_queue(settings: Settings) -> "NativeQueue | None":
    """The forge's own queue; None where changes are kept in the store. Raises BadConfiguration."""
    return cast("NativeQueue | None", _of_the_forge("queue", settings))


def _of_the_forge(kind: Literal["checks", "queue"], settings: Settings) -> Any:
    match settings.changes.backend:
        case "gitlab":
            return _build(kind, "gitlab", _gitlab(settings), **_on_gitlab(settings))
        case "github":
            places = settings.changes.github.owner_repo
            declared = settings.repositories
            return _build(kind, "github", _github(settings), repositories=declared, owner_repo=places)
        case _:
            return None


def build_track(settings: Settings) -> Track:
    """Git, with mirrors below the home. The credential of a forge serves the remotes there, too."""
    return cast(
        Track,
        _build(
            "track",
            "git",
            mirrors=settings.home / "mirrors",
            artifacts=settings.artifacts,
            repositories=settings.repositories,
            login=_git_login(settings),
            moves=_moved_by_github(settings),
        ),
    )


def build_flags(settings: Settings) -> Flags:
    """The flag backend."""
    path = Path(settings.place(settings.flags.path))
    return cast(Flags, _build("flags", settings.flags.backend, path))


def build_delivery(settings: Settings) -> Delivery:
    """The environments."""
    chosen = settings.delivery
    ports = {"production": chosen.production_port, "dev": chosen.dev_port}
    return cast(Delivery, _build("delivery", chosen.backend, admin_url=chosen.admin_url, ports=ports))


def build_metrics(settings: Settings) -> Metrics:
    """Where health documents come from."""
    template = settings.delivery.admin_url.rstrip("/") + "/health/release/{service}"
    return cast(Metrics, _build("metrics", "http", url_template=template))


def build_inbox(settings: Settings) -> Inbox:
    """Where the gateway keeps what it accepted. Raises BadConfiguration, Unavailable."""
    return cast(Inbox, _build("errors", "store", _store(settings)))


def build_audit(settings: Settings) -> AuditLog:
    """What the ledger decided, for the commands that read it. Raises BadConfiguration, Unavailable."""
    return cast(AuditLog, _build("audit", "store", _store(settings)))


def build_sandbox(settings: Settings) -> Sandbox:
    """The jail, with its limits."""
    limits = settings.sandbox
    return cast(
        Sandbox,
        _build(
            "sandbox",
            "jail",
            limits.backend,
            memory_mb=limits.memory_mb,
            processes=limits.processes,
            output_bytes=limits.output_bytes,
            disk_mb=limits.disk_mb,
        ),
    )


def build_terraform(settings: Settings) -> Terraform:
    """What applies infrastructure to dev. Raises BadConfiguration when a setting is missing."""
    chosen = settings.terraform
    declared = {each.name: each.infrastructure for each in settings.repositories if each.infrastructure}
    if chosen.backend == "none":
        return cast(Terraform, _build("terraform", "none", declared=declared))
    rules = {"providers": chosen.providers, "modules": chosen.modules}
    if chosen.backend == "cloud":
        account = dict(chosen.cloud)
        return cast(Terraform, _build("terraform", "cloud", **rules, **account, declared=declared))
    return cast(
        Terraform,
        _build(
            "terraform",
            "command",
            **rules,
            plugins=settings.home / "terraform" / "providers",
            backend_config={name: settings.place(text) for name, text in chosen.backend_config.items()},
            **chosen.model_dump(
                include={"binary", "state_backend", "pass_environment", "lock_seconds", "stop_seconds"}
            ),
        ),
    )


def build_policy_source(settings: Settings) -> PolicySource:
    """Where the policies come from. Raises BadConfiguration for a repository that is not declared."""
    chosen = settings.policies
    if chosen.backend == "directory":
        directory = Path(settings.place(chosen.directory))
        return cast(PolicySource, _build("policy_source", chosen.backend, directory))
    repository = settings.repository(chosen.repository)
    return cast(
        PolicySource,
        _build("policy_source", chosen.backend, build_track(settings), repository, folder=chosen.folder),
    )


def load_policy(settings: Settings) -> "PolicySnapshot":
    """The policy of the configured source. Raises BadConfiguration with every problem found, Unavailable."""
    from activities.policy_files import snapshot_of  # noqa: PLC0415 - YAML loads when it is used

    return snapshot_of(build_policy_source(settings).read())


def _store(settings: Settings) -> "Engine":
    from activities.backends.store_sql import open_store  # noqa: PLC0415 - SQLAlchemy loads when it is used

    return open_store(settings.place(settings.store.url))


def _slack(settings: Settings, store: "Engine") -> Any:
    slack = settings.chat.slack
    return _build(
        "chat",
        "slack",
        store,
        token=slack.bot_token,
        **slack.model_dump(include={"team", "mode", "channels", "notices", "batch_seconds", "api_url"}),
    )


def _github(settings: Settings) -> "GithubAccount":
    from activities.backends.github_account import open_account  # noqa: PLC0415 - loads when it is used

    github = settings.changes.github
    return open_account(
        owner_repo=github.owner_repo,
        token=github.token,
        app_id=github.app_id,
        installation_id=github.installation_id,
        private_key_file=github.private_key_file,
        api_url=github.api_url,
    )


def _gitlab(settings: Settings) -> "GitlabAccount":
    from activities.backends.gitlab_account import open_account  # noqa: PLC0415 - loads when it is used

    gitlab = settings.changes.gitlab
    return open_account(token=gitlab.token, api_url=gitlab.api_url)


def _moved_by_github(settings: Settings) -> "GithubRefs | None":
    """What lands cars by GitHub's API, where the settings say so."""
    github = settings.changes.github
    if github.land_by == "push":
        return None
    from activities.backends.refs_github import GithubRefs  # noqa: PLC0415 - loads when it is used

    if settings.changes.backend != "github":
        raise BadConfiguration('changes.github.land_by = "api" needs changes.backend = "github"')
    return GithubRefs(_github(settings), repositories=settings.repositories, owner_repo=github.owner_repo)


def _on_gitlab(settings: Settings) -> dict[str, object]:
    return {"repositories": settings.repositories, "projects": settings.changes.gitlab.projects}


def _git_login(settings: Settings) -> "HttpsLogin | None":
    """The login of the forge that keeps the changes, else of the one that there is a credential for."""
    changes = settings.changes
    if changes.gitlab.configured and (changes.backend == "gitlab" or not changes.github.configured):
        return _gitlab(settings).git_login()
    return _github(settings).git_login() if changes.github.configured else None


def _build(kind: Kind, name: str, *arguments: object, **options: object) -> Any:
    return backend(kind, name).build(*arguments, **options)


def by_name(settings: Settings) -> Mapping[str, Repository]:
    return {repository.name: repository for repository in settings.repositories}
