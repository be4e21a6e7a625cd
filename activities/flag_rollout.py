"""A flag on its way to everybody: written, verified by evaluations, and looked at. Runs on the hands queue.

A rollout is a person's act, and its writes take no reservation; the workflow asks policy before anybody who
is not internal gets the flag. No write overwrites what somebody else made of the flag: each names the
revision that it expects.
"""

import time
from datetime import UTC, datetime

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import FlagMetrics, Flags
from leverframe.model.errors import Unavailable
from leverframe.model.flags import Audience, FlagHealthDocument, FlagReading, InternalUsers, Part, Whole
from leverframe.model.frozen import Frozen, Instant, Slug

USERS = 1000
"""Made-up users that are evaluated for, to see the share that really gets the flag."""
SPREAD = 5
"""Standard deviations of a fair draw within which the share must be."""
WAIT_SECONDS = 5.0
POLL_SECONDS = 0.05


class ExposeRequest(Frozen):
    """Give a flag to an audience."""

    flag: str
    audience: Audience
    expected: str
    """The revision that the flag must still have."""
    key: str
    reason: str


class Exposed(Frozen):
    """What a write left."""

    reading: FlagReading
    written_at: Instant


class AudienceCheck(Frozen):
    """Whether evaluations agree with what was written."""

    ok: bool
    detail: str
    """One sentence."""
    verified_at: Instant


class FlagLook(Frozen):
    """A flag and what it did, as of now; None for what can't be known now."""

    reading: FlagReading | None
    document: FlagHealthDocument | None
    blind: str = ""
    """Why something is not known."""


class FlagRolloutActivities:
    """The activities of rollouts."""

    def __init__(
        self,
        flags: Flags,
        metrics: FlagMetrics,
        internal: InternalUsers,
        *,
        wait_seconds: float = WAIT_SECONDS,
        users: int = USERS,
    ) -> None:
        self._flags = flags
        self._metrics = metrics
        self._internal = internal
        self._wait_seconds = wait_seconds
        self._users = [f"leverframe-user-{number}" for number in range(users)]

    @activity.defn(name="read_flag")
    @typed_failures
    def read_flag(self, flag: str) -> FlagReading:
        """Who has it now. Raises NotFound, BadConfiguration, Unavailable."""
        return self._flags.read(flag)

    @activity.defn(name="expose_flag")
    @typed_failures
    def expose_flag(self, request: ExposeRequest) -> Exposed:
        """Write it, idempotently by key. Raises Conflict: somebody else has changed the flag."""
        reading = self._flags.expose(
            request.flag, request.audience, expected=request.expected, key=request.key, reason=request.reason
        )
        return Exposed(reading=reading, written_at=datetime.now(UTC))

    @activity.defn(name="verify_audience")
    @typed_failures
    def verify_audience(self, flag: str, audience: Audience) -> AudienceCheck:
        """Evaluate as the service does, until it is so, at most five seconds."""
        began = time.monotonic()
        while True:
            wrong = self._wrong(flag, audience)
            if wrong is None or time.monotonic() - began >= self._wait_seconds:
                detail = wrong or f"{flag} is {audience.words()}, verified by evaluations"
                return AudienceCheck(ok=wrong is None, detail=detail, verified_at=datetime.now(UTC))
            time.sleep(POLL_SECONDS)

    @activity.defn(name="look_at_flag")
    @typed_failures
    def look_at_flag(self, service: Slug, flag: str) -> FlagLook:
        """The flag first: counts that are read after it are at least as new. Raises NotFound."""
        reading, document, blind = None, None, []
        try:
            reading = self._flags.read(flag)
        except Unavailable as error:
            blind.append(str(error))
        try:
            document = self._metrics.flag_health(service, flag)
        except Unavailable as error:
            blind.append(str(error))
        return FlagLook(reading=reading, document=document, blind="; ".join(blind))

    def _wrong(self, flag: str, audience: Audience) -> str | None:
        """How evaluations differ from the audience; None when they don't."""
        if self._internal.declared:
            key, attributes = self._internal.example()
            inside = self._flags.evaluate(flag, targeting_key=key, attributes=attributes)
            if inside != (not isinstance(audience, Whole) or audience.on):
                return f"{flag} still evaluates to {'on' if inside else 'off'} for an internal user"
        got = sum(self._flags.evaluate(flag, targeting_key=user) for user in self._users)
        low, high = bounds(audience, len(self._users))
        if low <= got <= high:
            return None
        return f"{got:,} of {len(self._users):,} made-up users get {flag}; {low:,} to {high:,} should"


def bounds(audience: Audience, users: int) -> tuple[int, int]:
    """How many of so many users may have the flag by a fair draw of the audience's share."""
    percent = audience.percent if isinstance(audience, Part) else 100 * audience.on
    if percent in (0, 100):
        return users * percent // 100, users * percent // 100
    middle, spread = users * percent / 100, SPREAD * (users * percent * (100 - percent)) ** 0.5 / 100
    return max(0, int(middle - spread)), min(users, int(middle + spread) + 1)
