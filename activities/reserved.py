"""What a reservation allows, read from it with nothing added."""

from typing import TypeVar

from leverframe.model.errors import Refused
from leverframe.model.ids import digest
from leverframe.model.proposals import FlipFlag, RevertChange, RollBack
from policies.decision import Reservation

EffectT = TypeVar("EffectT", FlipFlag, RollBack, RevertChange)


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
