"""Waiting until a controller has done what it was asked for: look, and again when its object has changed."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from activities.backends.kubernetes_api import KubernetesApi, Place
from leverframe.model.errors import Unavailable


class Look(Protocol):
    """What one look at a controller's object shows."""

    @property
    def version(self) -> str:
        """The object's resource version."""
        ...

    def trouble(self) -> list[str]:
        """Why it is not as it should be."""
        ...


LookT = TypeVar("LookT", bound=Look)


def settled(
    api: KubernetesApi,
    place: Place,
    look: Callable[[], LookT],
    there: Callable[[LookT], bool],
    *,
    seconds: float,
    what: str,
    idle: str,
) -> LookT:
    """The first look that is `there`, which may act, too, on the way.

    Raises Unavailable after `seconds`: `what` is missing, with the look's trouble, or `idle` without any.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if there(seen):
            return seen
        if time.monotonic() >= deadline:
            raise Unavailable(f"{what}: {'; '.join(seen.trouble()) or idle}")

        def moved(document: dict[str, Any], version: str = seen.version) -> bool:
            return bool(document["metadata"]["resourceVersion"] != version)

        api.until(place, moved, seconds=max(deadline - time.monotonic(), 0))
