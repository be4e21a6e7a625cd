"""The builders that the declared repositories need are built here from the settings."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from activities.build_ports import Builder
from leverframe.backends import build
from leverframe.forges import build_checks
from leverframe.settings import Settings

if TYPE_CHECKING:
    from activities.backends.oci_registry import Registries

APART = frozenset({"command"})
"""Builders that run repository code: not for the hands."""


def build_builders(settings: Settings, *, apart: bool) -> dict[str, Builder]:
    """What builds on the hands, or `apart` on a build worker, by what `Build.by` calls it."""
    found = builder_builders(settings)
    return {name: made() for name, made in found.items() if (name in APART) == apart}


def builder_builders(settings: Settings) -> dict[str, Callable[[], Any]]:
    """What `Build.by` calls each builder that is declared → what builds it."""
    declared = settings.repositories
    building: dict[str, Callable[[], Any]] = {
        "local": lambda: build("builder", "local"),
        "command": lambda: build(
            "builder",
            "command",
            artifacts=settings.artifacts,
            home=settings.home / "builds",
            repositories=declared,
            pass_environment=settings.builder.pass_environment,
        ),
        "forge": lambda: build(
            "builder", "forge", build_checks(settings), _registries(settings), repositories=declared
        ),
    }
    wanted = {each.build.by for each in declared}
    return {name: made for name, made in building.items() if name in wanted}


def builds_apart(settings: Settings) -> bool:
    """Whether a declared repository needs a build worker."""
    return any(each.build.by in APART for each in settings.repositories)


def _registries(settings: Settings) -> "Registries":
    from activities.backends.oci_registry import Registries  # noqa: PLC0415 - loads when it is used

    logins = {host: (login.username, login.password) for host, login in settings.builder.registries.items()}
    return Registries(logins=logins, plain_http=settings.builder.plain_http)
