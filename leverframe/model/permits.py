"""Permits: what a release allows a controller that asks before each move, commit by commit. Pure."""

from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.releases import DeliveryState

Hook = Literal["confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback"]
"""What Flagger asks: https://docs.flagger.app/usage/webhooks"""


class Permit(Frozen):
    """The last word on one commit. The controller's next question finds it, whoever answers."""

    service: Slug
    sha: Sha
    kind: Literal["weigh", "promote", "abort", "proven"]
    """`proven`: it was stable before, so it may come back without a canary."""
    percent: int = Field(default=0, ge=0, le=100)
    """With `weigh`: the weight up to which it may go; at 0 its pods may start."""
    checksum: str = Field(default="", max_length=128)
    """What the controller calls the revision that was let in; empty until it is."""
    decided_at: Instant


def refusal(hook: Hook, permit: Permit | None, state: DeliveryState) -> str | None:
    """Why the answer is no; None for yes. Whatever is not known is no.

    `permit` is that of the commit which the environment wants now, and `state` what it is seen to run.
    """
    if permit is None or permit.sha != state.wanted:
        return "no release has decided about this commit"
    if hook == "rollback":
        taken_back = permit.kind == "abort" and state.canary == permit.sha
        return None if taken_back else "nobody has taken it back"
    if permit.kind == "abort":
        return "it was taken back"
    if hook == "confirm-rollout" or permit.kind == "proven":
        return None
    if state.canary != permit.sha:
        return "it is not the canary"
    if permit.kind == "promote":
        return None
    if hook == "confirm-promotion":
        return "the release has not come so far"
    if state.canary_percent < permit.percent:
        return None
    return f"it may have {permit.percent} %, and has {state.canary_percent} % already"
