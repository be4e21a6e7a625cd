"""Freezes: times in which nothing happens, by calendar.

A recurring freeze begins when its `cron` says so on the clock of its time zone and lasts its `duration` of
elapsed time: over a change of the clocks it ends an hour earlier or later by the wall. A beginning that the
clocks skip comes right after the gap; one that they repeat comes once, the first time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.rules import Freeze

MAX_OCCURRENCES = 500
"""Occurrences that are followed to find the end; a freeze that goes on for longer has no known end."""

_CLOCK_CHANGE = timedelta(hours=3)
"""More than any change of the clocks: the search begins so much earlier and skips what is too early."""


def findings(document: PolicyDocument, intent: Intent, now: datetime) -> Iterator[Finding]:
    """Each freeze of the file that is in force now and is about the lever."""
    for position, freeze in enumerate(document.rules.freeze):
        if intent.lever in freeze.except_levers or not frozen(freeze, now):
            continue
        until = thaw(freeze, now)
        place = document.source("freeze", position)
        wait = f"Wait until {until:%Y-%m-%d %H:%M:%S %Z}" if until else "Let a person do it"
        yield Finding(
            rule=f"{document.name}.freeze.{freeze.id}",
            verdict=Verdict.DENY,
            observed=f"frozen: {freeze.reason}",
            limit="outside the freeze",
            retry_at=until,
            remedy=f"{wait}, or except the lever at {place}.",
            source=place,
        )


def frozen(freeze: Freeze, now: datetime) -> bool:
    """Whether the freeze is in force: from its beginning on, and no more at its end."""
    if freeze.since is not None and freeze.until is not None:
        return freeze.since <= now < freeze.until
    return next(_beginnings(freeze, now)) <= now


def thaw(freeze: Freeze, now: datetime) -> datetime | None:
    """When a freeze that is in force ends, occurrences that touch or overlap taken together; UTC.

    None when it goes on for longer than anybody would look, or for ever.
    """
    if freeze.until is not None:
        return freeze.until.astimezone(UTC)
    end = now
    for number, begins in enumerate(_beginnings(freeze, now)):
        if begins > end:
            return end
        if number == MAX_OCCURRENCES:
            return None
        end = begins + _lasts(freeze)
    return end


def _beginnings(freeze: Freeze, now: datetime) -> Iterator[datetime]:
    """The occurrences that are not over yet and all later ones, oldest first; UTC.

    There is one: an expression whose time never comes is refused.
    """
    earliest = now.astimezone(UTC) - _lasts(freeze)
    zone = ZoneInfo(freeze.tz)
    for begins in CronSim(str(freeze.cron), (earliest - _CLOCK_CHANGE).astimezone(zone)):
        # In UTC, because Python compares two times of one zone by the wall.
        if (instant := begins.astimezone(UTC)) > earliest:
            yield instant


def _lasts(freeze: Freeze) -> timedelta:
    return freeze.duration or timedelta()
