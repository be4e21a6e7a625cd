"""Ports of delivery: what reconciles the environments, what runs in them, and what the gate reads of it."""

from collections.abc import Sequence
from typing import Protocol

from activities.ports import Health
from leverframe.model.releases import Artifact, DeliveryState, Environment, HealthDocument, Reconciliation
from leverframe.model.topology import Probe, Repository


class Gitops(Protocol):
    """The reconciler of the environments: takes over what the overlays in git say."""

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        """How far it is, as observed. Raises NotFound, Unavailable."""
        ...

    def request(self, service: str, environment: Environment) -> None:
        """Have it look at git now. `Reconciliation.pending` until it has done so; asking again is harmless.

        Raises:
            NotFound: it knows no such environment; Unavailable: it, or git, does not answer.
        """
        ...

    def suspend(self, service: str, environment: Environment, *, reason: str) -> None:
        """Keep what runs, whatever git says from now on. Idempotent."""
        ...

    def resume(self, service: str, environment: Environment) -> None:
        """Take over what git says again, where `suspend` has stopped it; else nothing. Idempotent."""
        ...

    def health(self) -> Health: ...


class Delivery(Protocol):
    """What runs in the environments, and the weights of the canary. The overlay in git says what should."""

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None:
        """Make a built artifact available to the environments. Idempotent."""
        ...

    def state(self, service: str, environment: Environment) -> DeliveryState: ...

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        """Send `percent` of production's requests to the canary `sha`. Idempotent.

        Raises:
            Conflict: `sha` is not the canary that the overlay asks for.
            Unavailable: the canary is not ready yet.
        """
        ...

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        """The canary becomes stable. Idempotent."""
        ...

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        """All requests back to stable at once, whatever the overlay says. Idempotent."""
        ...

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        """Send the declared smoke requests; one sentence for each that failed."""
        ...

    def health(self) -> Health: ...


class Metrics(Protocol):
    """Where the gate's one health document comes from."""

    def release_health(self, service: str) -> HealthDocument:
        """Raises Unavailable: blind is not green and not red."""
        ...

    def health(self) -> Health: ...
