"""The ports are built here from the settings; those that a forge has a part in, in `forges`."""

import functools
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from activities.build_ports import Builds
from activities.delivery_ports import Delivery, Gitops, Metrics
from activities.eyes_port import ArmAddresses, Eyes
from activities.inbox import Inbox
from activities.notes_port import Notes
from activities.ports import (
    AuditLog,
    Changes,
    Chat,
    Deployments,
    Errors,
    FlagMetrics,
    Flags,
    PolicySource,
    Sandbox,
)
from activities.results_port import Results
from activities.track_port import Track
from activities.train_ports import Terraform
from leverframe.backends import build, open_the_store
from leverframe.clusters import build_cluster_delivery, build_cluster_gitops
from leverframe.forges import build_changes, build_track
from leverframe.model.errors import BadConfiguration
from leverframe.model.topology import Repository
from leverframe.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from activities.forms import Forms
    from policies.documents import PolicySnapshot

ROOTS = ("leverframe", "agents", "workflows", "activities", "policies")
TREE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Ports:
    """One configured backend for each port."""

    changes: Changes
    track: Track
    flags: Flags
    flag_metrics: FlagMetrics
    errors: Errors
    delivery: Delivery
    gitops: Gitops
    metrics: Metrics
    chats: Mapping[str, Chat]
    """First choice first."""
    sandbox: Sandbox
    audit: AuditLog
    builds: Builds
    notes: Notes
    results: Results
    deployments: Deployments
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


def build_ports(settings: Settings) -> Ports:
    """Every port: for the hands, and for what watches the whole.

    Raises:
        BadConfiguration: a backend can't be built from these settings.
        Unavailable: the store does not answer.
    """
    ports = {kind: make() for kind, make in port_builders(settings).items()}
    return Ports(**ports, chats=build_chats(settings))


def port_builders(settings: Settings) -> dict[str, Callable[[], Any]]:
    """Field of `Ports` → what builds it, so that one broken backend does not hide the others.

    The chats are several: `chat_builders` has them.
    """
    store = functools.cache(lambda: open_the_store(settings))
    return {
        "changes": lambda: build_changes(settings, store()),
        "track": lambda: build_track(settings),
        "flags": lambda: build_flags(settings),
        "flag_metrics": lambda: build_flag_metrics(settings),
        "errors": lambda: build("errors", "store", store()),
        "delivery": lambda: build_delivery(settings),
        "gitops": lambda: build_gitops(settings),
        "metrics": lambda: build_metrics(settings),
        "sandbox": lambda: build_sandbox(settings),
        "audit": lambda: build("audit", "store", store()),
        "builds": lambda: build("builds", "store", store()),
        "notes": lambda: build("notes", "store", store()),
        "results": lambda: build("results", "store", store(), _targets(settings)),
        "deployments": lambda: build("deployments", "store", store()),
        "policy_source": lambda: build_policy_source(settings),
        "terraform": lambda: build_terraform(settings),
    }


def build_chats(settings: Settings) -> dict[str, Chat]:
    """Every configured chat, first choice first. Raises BadConfiguration, Unavailable."""
    return {name: make() for name, make in chat_builders(settings).items()}


def chat_builders(settings: Settings) -> dict[str, Callable[[], Chat]]:
    """Name of each configured chat → what builds it."""
    store = functools.cache(lambda: open_the_store(settings))
    building: dict[str, Callable[[], Any]] = {
        "terminal": lambda: build("chat", "terminal", store()),
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
    return cast("Forms", _slack(settings, open_the_store(settings)))


def build_flags(settings: Settings) -> Flags:
    """The flag backend."""
    path = Path(settings.place(settings.flags.path))
    return cast(Flags, build("flags", settings.flags.backend, path, internal=settings.flags.internal))


def build_flag_metrics(settings: Settings) -> FlagMetrics:
    """Where the health documents of flags come from."""
    template, remedy = _documents(
        settings, settings.flags.metrics_url, "/health/flag/{service}/{flag}", "set flags.metrics_url"
    )
    return cast(FlagMetrics, build("flag_metrics", "http", url_template=template, remedy=remedy))


def build_delivery(settings: Settings) -> Delivery:
    """The environments."""
    chosen = settings.delivery
    if chosen.backend != "local":
        return build_cluster_delivery(settings)
    ports = {"production": chosen.production_port, "dev": chosen.dev_port}
    return cast(Delivery, build("delivery", chosen.backend, admin_url=chosen.admin_url, ports=ports))


def build_eyes(settings: Settings) -> Eyes:
    """The browser of the eyes-on check. Raises BadConfiguration when a setting is missing."""
    chosen = settings.eyes
    if chosen.backend == "none":
        declared = [each.service.name for each in settings.repositories if each.service.eyes]
        return cast(Eyes, build("eyes", "none", declared=declared))
    told = {"program": chosen.chromium, "sandbox": chosen.browser_sandbox, "seconds": chosen.seconds}
    return cast(Eyes, build("eyes", chosen.backend, **told))


def build_arms(settings: Settings) -> ArmAddresses:
    """Where the eyes-on check finds stable and canary. Raises BadConfiguration."""
    chosen = settings.eyes
    if not (chosen.stable_url or chosen.canary_url):
        return cast(ArmAddresses, build("arms", "local", admin_url=settings.delivery.admin_url))
    urls = {"stable_url": chosen.stable_url, "canary_url": chosen.canary_url}
    return cast(ArmAddresses, build("arms", "urls", **urls))


def build_gitops(settings: Settings) -> Gitops:
    """What reconciles the environments with git."""
    if settings.delivery.gitops != "local":
        return build_cluster_gitops(settings)
    return cast(Gitops, build("gitops", "local", admin_url=settings.delivery.admin_url))


def build_metrics(settings: Settings) -> Metrics:
    """Where health documents come from. Raises BadConfiguration."""
    chosen = settings.metrics
    building: dict[str, Callable[[], Any]] = {
        "http": lambda: _health_documents(settings),
        "prometheus": lambda: _prometheus(settings),
        "flows": lambda: _flow_counts(settings),
    }
    sources = {name: building[name]() for name in chosen.backends}
    if len(sources) == 1:
        return cast(Metrics, next(iter(sources.values())))
    declared = {each.service.name: frozenset(each.service.canary.signals) for each in settings.repositories}
    return cast(Metrics, build("metrics", "joined", sources, declared))


def _health_documents(settings: Settings) -> Any:
    template, remedy = _documents(
        settings,
        settings.metrics.url,
        "/health/release/{service}",
        'set metrics.backends = ["prometheus"], or metrics.url',
    )
    return build("metrics", "http", url_template=template, remedy=remedy)


def _documents(settings: Settings, url: str, of_router: str, in_a_cluster: str) -> tuple[str, str]:
    """Where health documents are, by default the router's; and what to do when nothing answers."""
    if url:
        return url, "see that it answers"
    delivery = settings.delivery
    remedy = "start it: leverframe router"
    if delivery.backend != "local":
        remedy = f"no router runs beside delivery.backend {delivery.backend!r}: {in_a_cluster}"
    return delivery.admin_url.rstrip("/") + of_router, remedy


def _flow_counts(settings: Settings) -> Any:
    gateway = settings.gateway
    own = f"http://{gateway.host}:{gateway.port}/health/flows/{{service}}"
    remedy = "start the gateway, or check metrics.flows_url"
    return build("metrics", "http", url_template=settings.metrics.flows_url or own, remedy=remedy)


def _prometheus(settings: Settings) -> Any:
    chosen = settings.metrics.prometheus
    known = {repository.service.name for repository in settings.repositories}
    if unknown := sorted(chosen.services.keys() - known):
        raise BadConfiguration(
            f"metrics.prometheus.services: no declared repository builds the service {unknown[0]!r}"
        )
    account = {name: getattr(chosen, name) for name in ("url", "token", "username", "password", "ca_file")}
    delivery = build_delivery(settings)
    return build("metrics", "prometheus", delivery=delivery, services=chosen.services, **account)


def build_inbox(settings: Settings) -> Inbox:
    """Where the gateway keeps what it accepted. Raises BadConfiguration, Unavailable."""
    return cast(Inbox, build("errors", "store", open_the_store(settings)))


def build_audit(settings: Settings) -> AuditLog:
    """What the ledger decided, for the commands that read it. Raises BadConfiguration, Unavailable."""
    return cast(AuditLog, build("audit", "store", open_the_store(settings)))


def build_deployments(settings: Settings) -> Deployments:
    """What became of each release. Raises BadConfiguration, Unavailable."""
    return cast(Deployments, build("deployments", "store", open_the_store(settings)))


def build_builds(settings: Settings) -> Builds:
    """What commits were built as. Raises BadConfiguration, Unavailable."""
    return cast(Builds, build("builds", "store", open_the_store(settings)))


def build_notes(settings: Settings) -> Notes:
    """The notes of releases. Raises BadConfiguration, Unavailable."""
    return cast(Notes, build("notes", "store", open_the_store(settings)))


def build_results(settings: Settings) -> Results:
    """What the tests did. Raises BadConfiguration, Unavailable."""
    return cast(Results, build("results", "store", open_the_store(settings), _targets(settings)))


def _targets(settings: Settings) -> dict[str, str]:
    """Declared repository → its target branch."""
    return {repository.name: repository.target for repository in settings.repositories}


def build_sandbox(settings: Settings) -> Sandbox:
    """The jail, with its limits."""
    limits = settings.sandbox
    return cast(
        Sandbox,
        build(
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
        return cast(Terraform, build("terraform", "none", declared=declared))
    rules = {"providers": chosen.providers, "modules": chosen.modules}
    if chosen.backend == "cloud":
        account = dict(chosen.cloud)
        return cast(Terraform, build("terraform", "cloud", **rules, **account, declared=declared))
    return cast(
        Terraform,
        build(
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
        return cast(PolicySource, build("policy_source", chosen.backend, directory))
    repository = settings.repository(chosen.repository)
    return cast(
        PolicySource,
        build("policy_source", chosen.backend, build_track(settings), repository, folder=chosen.folder),
    )


def load_policy(settings: Settings) -> "PolicySnapshot":
    """The policy of the configured source. Raises BadConfiguration with every problem found, Unavailable."""
    from activities.policy_files import snapshot_of  # noqa: PLC0415 - YAML loads when it is used

    return snapshot_of(build_policy_source(settings).read())


def _slack(settings: Settings, store: "Engine") -> Any:
    slack = settings.chat.slack
    return build(
        "chat",
        "slack",
        store,
        token=slack.bot_token,
        **slack.model_dump(include={"team", "mode", "channels", "notices", "batch_seconds", "api_url"}),
    )


def by_name(settings: Settings) -> Mapping[str, Repository]:
    return {repository.name: repository for repository in settings.repositories}
