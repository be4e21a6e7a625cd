"""The builders that the declared repositories need are built here from the settings."""

from collections.abc import Callable
from typing import Any

from activities.build_ports import Builder
from leverframe.backends import build
from leverframe.settings import Settings


def build_builders(settings: Settings) -> dict[str, Builder]:
    """What builds on the hands, by what `Build.by` calls it."""
    return {name: made() for name, made in builder_builders(settings).items()}


def builder_builders(settings: Settings) -> dict[str, Callable[[], Any]]:
    """What `Build.by` calls each builder that is declared → what builds it."""
    building: dict[str, Callable[[], Any]] = {"local": lambda: build("builder", "local")}
    wanted = {each.build.by for each in settings.repositories}
    return {name: made for name, made in building.items() if name in wanted}
