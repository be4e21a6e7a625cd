"""Where the arms answer on a cluster: one address for stable, one for the canary.

Nobody checks which commit answers there: that is the reconciler's promise.
"""

from activities.eyes_port import Arm
from activities.ports import Backend, Health
from leverframe.model.errors import BadConfiguration


class UrlArms:
    """The port `ArmAddresses` by two templates with `{service}`."""

    def __init__(self, *, stable_url: str, canary_url: str) -> None:
        if not (stable_url and canary_url):
            raise BadConfiguration("eyes.stable_url and eyes.canary_url are given together, or neither")
        self._urls: dict[Arm, str] = {"stable": stable_url.rstrip("/"), "canary": canary_url.rstrip("/")}

    def origin(self, service: str, arm: Arm, sha: str) -> str:
        """The address of the arm."""
        return self._urls[arm].replace("{service}", service)

    def health(self) -> Health:
        """Nothing to ask: the pages themselves say whether they come."""
        return Health(ok=True, detail=f"stable at {self._urls['stable']}, canary at {self._urls['canary']}")


BACKEND = Backend(kind="arms", name="urls", scopes=(), build=UrlArms)
