"""No browser: the default. The eyes-on check is off, and says so."""

from collections.abc import Sequence
from typing import NoReturn

from activities.ports import Backend, Health
from leverframe.model.errors import Unavailable
from leverframe.model.eyes import Viewport


class NoEyes:
    """The port `Eyes` of an installation without a browser. `declared`: services that name pages."""

    on = False

    def __init__(self, *, declared: Sequence[str] = ()) -> None:
        self._declared = tuple(declared)

    def picture(self, origin: str, path: str, viewport: Viewport) -> NoReturn:
        """Raises Unavailable."""
        raise Unavailable("no browser is configured: eyes.backend is none")

    def health(self) -> Health:
        """Off is well, also where pages are declared: it is said, and nobody waits for it."""
        if self._declared:
            named = ", ".join(self._declared)
            return Health(ok=True, detail=f"off, although {named} declares pages: set eyes.backend")
        return Health(ok=True, detail="off: no service declares pages")


BACKEND = Backend(kind="eyes", name="none", scopes=(), build=NoEyes)
