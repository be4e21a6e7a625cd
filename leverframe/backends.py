"""Which backends there are, and how one is found by its kind and name.

Vendors are named here and in `bootstrap` and `forges`, nowhere else. A module is imported when its backend
is built, so that a command loads only what it uses.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from activities.ports import Backend, Kind
from leverframe.model.errors import BadConfiguration
from leverframe.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

BACKENDS: Mapping[tuple[Kind, str], str] = MappingProxyType(
    {
        ("changes", "store"): "activities.backends.changes_store",
        ("changes", "github"): "activities.backends.changes_github",
        ("changes", "gitlab"): "activities.backends.changes_gitlab",
        ("checks", "github"): "activities.backends.checks_github",
        ("queue", "github"): "activities.backends.queue_github",
        ("checks", "gitlab"): "activities.backends.checks_gitlab",
        ("queue", "gitlab"): "activities.backends.queue_gitlab",
        ("pages", "github"): "activities.backends.pages_github",
        ("pages", "gitlab"): "activities.backends.pages_gitlab",
        ("track", "git"): "activities.backends.track_git",
        ("flags", "flagd"): "activities.backends.flags_flagd",
        ("flag_metrics", "http"): "activities.backends.flag_metrics_http",
        ("errors", "store"): "activities.backends.errors_store",
        ("delivery", "local"): "activities.backends.delivery_local",
        ("delivery", "flagger"): "activities.backends.delivery_flagger",
        ("gitops", "flux"): "activities.backends.gitops_flux",
        ("delivery", "argo_rollouts"): "activities.backends.delivery_argo_rollouts",
        ("gitops", "argocd"): "activities.backends.gitops_argocd",
        ("gitops", "local"): "activities.backends.gitops_local",
        ("metrics", "http"): "activities.backends.metrics_http",
        ("metrics", "prometheus"): "activities.backends.metrics_prometheus",
        ("metrics", "joined"): "activities.backends.metrics_joined",
        ("chat", "terminal"): "activities.backends.chat_store",
        ("chat", "slack"): "activities.backends.chat_slack",
        ("sandbox", "jail"): "activities.backends.sandbox_jail",
        ("audit", "store"): "activities.backends.audit_store",
        ("deployments", "store"): "activities.backends.deployments_store",
        ("eyes", "none"): "activities.backends.eyes_none",
        ("eyes", "chromium"): "activities.backends.eyes_chromium",
        ("arms", "local"): "activities.backends.arms_local",
        ("arms", "urls"): "activities.backends.arms_urls",
        ("policy_source", "directory"): "activities.backends.policy_directory",
        ("policy_source", "git"): "activities.backends.policy_git",
        ("builder", "local"): "activities.backends.builder_local",
        ("builder", "command"): "activities.backends.builder_command",
        ("builder", "forge"): "activities.backends.builder_forge",
        ("reports", "github"): "activities.backends.reports_github",
        ("reports", "gitlab"): "activities.backends.reports_gitlab",
        ("notes", "store"): "activities.backends.notes_store",
        ("builds", "store"): "activities.backends.builds_store",
        ("results", "store"): "activities.backends.results_store",
        ("permits", "store"): "activities.backends.permits_store",
        ("issues", "none"): "activities.backends.issues_none",
        ("issues", "github"): "activities.backends.issues_github",
        ("issues", "gitlab"): "activities.backends.issues_gitlab",
        ("terraform", "none"): "activities.backends.terraform_none",
        ("terraform", "command"): "activities.backends.terraform_command",
        ("terraform", "cloud"): "activities.backends.terraform_cloud",
    }
)
"""Kind and name of each backend → the module that declares it."""


def backend(kind: Kind, name: str) -> Backend:
    """What a backend declares about itself. Raises BadConfiguration for one that there is not."""
    module = BACKENDS.get((kind, name))
    if module is None:
        known = ", ".join(known for of, known in BACKENDS if of == kind)
        raise BadConfiguration(f"there is no {kind} backend {name!r}; there are: {known}")
    return cast(Backend, importlib.import_module(module).BACKEND)


def build(kind: Kind, name: str, *arguments: object, **options: object) -> Any:
    """One backend, built from what its module asks for. Raises BadConfiguration, Unavailable."""
    return backend(kind, name).build(*arguments, **options)


def open_the_store(settings: Settings) -> "Engine":
    """The store of the settings, with its tables. Raises BadConfiguration, Unavailable."""
    from activities.backends.store_sql import open_store  # noqa: PLC0415 - SQLAlchemy loads when it is used

    return open_store(settings.place(settings.store.url))
