"""Switching flags for an agent that holds a reservation, and looking whether a flip took effect."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import Flags
from activities.reserved import effect_of
from leverframe.model.errors import Refused
from leverframe.model.facts import FlagState
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.proposals import FlipFlag
from policies.decision import Reservation

_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.02


class FlipResult(Frozen):
    """What a flip did."""

    changed: bool
    """False when the flag had that value already, for example in a retry."""
    written_at: Instant


class FlagCheck(Frozen):
    """What a flag evaluates to, as the service sees it."""

    ok: bool
    value: bool
    waited_ms: int
    verified_at: Instant


class FlagActivities:
    """The activities on flags."""

    def __init__(self, flags: Flags, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._flags = flags
        self._wait_seconds = wait_seconds

    @activity.defn(name="flip")
    @typed_failures
    def flip(self, reservation: Reservation) -> FlipResult:
        """Switch exactly the flag that was reserved. Idempotent by reservation.

        Raises:
            Refused: the reservation is for another lever, or its effect was changed after it was granted.
                Or the flag was killed in the middle of a rollout: on would give it to everybody.
            NotFound: the backend knows no such flag.
        """
        effect = effect_of(reservation, FlipFlag)
        if effect.on:
            self._refuse_everybody(effect.flag)
        reason = f"{reservation.agent} on {reservation.subject}"
        changed = self._flags.set(effect.flag, effect.on, key=reservation.id, reason=reason)
        return FlipResult(changed=changed, written_at=datetime.now(UTC))

    def _refuse_everybody(self, flag: str) -> None:
        """Only a rollout, or a person, gives a flag to users who never had it."""
        state = next((state for state in self._flags.list() if state.flag == flag), None)
        if state is not None and state.killed_at_percent is not None:
            raise Refused(
                f"{flag} was killed when {state.killed_at_percent} % of the users had it, and on would give "
                f"it to everybody: roll it out again with `leverframe rollout start {flag}`"
            )

    @activity.defn(name="verify_flag")
    @typed_failures
    def verify_flag(self, flag: str, expected: bool) -> FlagCheck:
        """Evaluate until the flag has the expected value, at most five seconds. Raises NotFound."""
        return _wait_for(lambda: self._flags.evaluate(flag), expected, self._wait_seconds)

    @activity.defn(name="list_flags")
    @typed_failures
    def list_flags(self) -> list[FlagState]:
        """Every flag as the backend has it now."""
        return self._flags.list()


def _wait_for(evaluate: Callable[[], bool], expected: bool, seconds: float) -> FlagCheck:
    began = time.monotonic()
    while True:
        value = evaluate()
        waited = time.monotonic() - began
        if value == expected or waited >= seconds:
            return FlagCheck(
                ok=value == expected,
                value=value,
                waited_ms=round(waited * 1000),
                verified_at=datetime.now(UTC),
            )
        time.sleep(_POLL_SECONDS)
