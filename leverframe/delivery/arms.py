"""The arms of an environment: which SHA is stable, which is canary, at what share. Pure.

`reconcile` says what the overlay's SHA means for what runs now; `weigh`, `promote` and `abort` are what
the gate may ask for. The shell (`deployment.py`) starts and stops processes accordingly.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from leverframe.model.errors import Conflict
from leverframe.model.frozen import Frozen, Sha
from leverframe.model.releases import Environment

REMEMBERED = 10
"""How many former stable SHAs an environment can go back to without a canary."""


class Arms(Frozen):
    """What should answer requests."""

    stables: tuple[Sha, ...] = ()
    """Every SHA that has been stable, oldest first and bounded; the last one is stable now."""
    canary: Sha | None = None
    percent: int = Field(default=0, ge=0, le=100)
    """The canary's share of the requests."""
    aborted: Sha | None = None
    """The SHA that the gate took back while the overlay still named it."""

    @property
    def stable(self) -> Sha | None:
        """The SHA that is stable now."""
        return self.stables[-1] if self.stables else None

    def with_stable(self, sha: Sha) -> "Arms":
        """`sha` is stable and there is no canary. Going back forgets what came after it."""
        older = self.stables[: self.stables.index(sha)] if sha in self.stables else self.stables
        return Arms(stables=(*older, sha)[-REMEMBERED:])


@dataclass(frozen=True)
class Plan:
    """What to do now: the arms to route by, and the instances to start and to stop."""

    arms: Arms
    start: tuple[Sha, ...] = ()
    stop: tuple[Sha, ...] = ()


def reconcile(
    environment: Environment,
    wanted: Sha | None,
    arms: Arms,
    *,
    running: frozenset[Sha],
    healthy: frozenset[Sha],
) -> Plan:
    """What the overlay's SHA means for an environment.

    In dev the wanted SHA takes over as soon as it is healthy. In production so does the first one ever
    and one that was stable before (going back needs no proof); any other SHA becomes the canary at 0 %
    and waits for the gate. An overlay that names no SHA (`wanted` is None) changes nothing.
    """
    after = arms if wanted is None else _arms(environment, wanted, arms, healthy)
    needed = {sha for sha in (after.stable, after.canary) if sha is not None}
    if wanted is not None and _takes_over(environment, wanted, after):
        needed.add(wanted)
    return Plan(arms=after, start=tuple(sorted(needed - running)), stop=tuple(sorted(running - needed)))


def _arms(environment: Environment, wanted: Sha, arms: Arms, healthy: frozenset[Sha]) -> Arms:
    if wanted == arms.stable:
        return Arms(stables=arms.stables)
    if _takes_over(environment, wanted, arms):
        return arms.with_stable(wanted) if wanted in healthy else Arms(stables=arms.stables)
    if wanted == arms.aborted:
        return Arms(stables=arms.stables, aborted=wanted)
    if wanted == arms.canary:
        return arms
    return Arms(stables=arms.stables, canary=wanted)


def _takes_over(environment: Environment, wanted: Sha, arms: Arms) -> bool:
    """Whether `wanted` becomes stable without a canary, once it is healthy."""
    if wanted == arms.stable:
        return False
    return environment == "dev" or arms.stable is None or wanted in arms.stables


def weigh(arms: Arms, sha: Sha, percent: int) -> Arms:
    """The canary's new share. Raises Conflict when `sha` is not the canary."""
    _require_canary(arms, sha, "weighed")
    return arms.model_copy(update={"percent": percent})


def promote(arms: Arms, sha: Sha) -> Arms:
    """The canary becomes stable; again changes nothing. Raises Conflict when `sha` is neither."""
    if arms.stable == sha:
        return arms
    _require_canary(arms, sha, "promoted")
    return arms.with_stable(sha)


def abort(arms: Arms, sha: Sha) -> Arms:
    """All requests go to stable and `sha` is not tried again until the overlay has named another.

    Raises:
        Conflict: `sha` is stable already; going back needs another SHA in the overlay.
    """
    if arms.stable == sha:
        raise Conflict(f"{sha[:12]} is stable: point the overlay at another commit to take it back")
    if arms.canary not in (sha, None):
        return arms
    return Arms(stables=arms.stables, aborted=sha)


def _require_canary(arms: Arms, sha: Sha, verb: Literal["weighed", "promoted"]) -> None:
    if arms.canary != sha:
        now = f"the canary is {arms.canary[:12]}" if arms.canary else "there is no canary"
        raise Conflict(f"{sha[:12]} can't be {verb}: {now}")
