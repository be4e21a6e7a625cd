"""What a reservation allows, read from it with nothing added."""

from typing import TypeVar

from leverframe.model.errors import Refused
from leverframe.model.ids import digest
from leverframe.model.proposals import ChangeQuarantine, FlipFlag, RevertChange, RollBack
from policies.decision import Reservation

RUN_TRAILER = "Leverframe-Run"
"""The commit trailer that names the agent run behind a change."""

EffectT = TypeVar("EffectT", FlipFlag, RollBack, RevertChange, ChangeQuarantine)


def effect_of(reservation: Reservation, kind: type[EffectT]) -> EffectT:
    """The reserved effect, if it is of this kind and untouched. Raises Refused."""
    effect = reservation.effect
    if not isinstance(effect, kind):
        raise Refused(
            f"the reservation {reservation.id} is for {effect.lever.value}, not for {kind.__name__}"
        )
    if digest(effect) != reservation.effect_digest:
        raise Refused(f"the effect of reservation {reservation.id} is not the one that policy allowed")
    return effect


def patch_of(reservation: Reservation) -> str:
    """The `patch` of what policy looked at. A difference that it never saw matches nothing."""
    return reservation.patch or ""


def run_message(title: str, body: str, reservation: Reservation | None) -> str:
    """A commit message; an agent's ends in the trailer that names its run."""
    text = f"{title}\n\n{body}\n"
    if reservation is None:
        return text
    return f"{text}\n{RUN_TRAILER}: {reservation.run}\n"
