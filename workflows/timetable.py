"""The housekeeping's timetable: which chores there are, and when each is due. Pure; all times are UTC."""

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant

RECONCILE_EVERY = timedelta(minutes=1)
SCORE_EVERY = timedelta(hours=1)
RESULTS_EVERY = timedelta(minutes=10)
FETCH_EVERY = timedelta(minutes=15)
SOON = timedelta(minutes=5)
"""A chore that failed is tried again after this, or when it is due anyway."""

_DAY = timedelta(days=1)
_MONDAY = 0


class Chore(StrEnum):
    """What housekeeping does, in the order in which it does it."""

    RELOAD = "reload"
    """Look whether the policy files have changed."""
    RECONCILE = "reconcile"
    """Look how the effects ended whose runs can't say it any more."""
    SCORE = "score"
    """Look whether people did what agents in observe mode would have done."""
    FETCH = "fetch"
    """Have the test reports fetched of runs of the forge's CI that no webhook told of."""
    RESULTS = "results"
    """Fold the results of tests that nobody has asked for, have executed again what is worth it, and forget
    what is old."""
    DIGEST = "digest"
    """Show people the questions that are beyond their attention, and quarantines that expired, once a day."""
    REPORT = "report"
    """Suggest, once a week, which agents have earned more, or less."""


class Rhythm(Frozen):
    """How often. It comes from the settings of the worker that started last."""

    reload_every: timedelta = Field(default=timedelta(minutes=1), gt=timedelta(0))
    digest_hour: int = Field(default=8, ge=0, le=23)


class Done(Frozen):
    """The last time that a chore was done."""

    at: Instant
    said: str
    """What came of it, in a sentence."""
    failed: bool = False


def next_time(chore: Chore, rhythm: Rhythm, last: Done | None, now: datetime) -> datetime:
    """When the chore is due: `now` or earlier means at once.

    A digest that was missed is made up for. A report is not: it looks back over a week, and one comes soon.
    """
    due = _due(chore, rhythm, last.at if last else None, now)
    if last is None or not last.failed:
        return due
    return min(due, last.at + SOON)


def _due(chore: Chore, rhythm: Rhythm, last: datetime | None, now: datetime) -> datetime:
    match chore:
        case Chore.RELOAD:
            return now if last is None else last + rhythm.reload_every
        case Chore.RECONCILE:
            return now if last is None else last + RECONCILE_EVERY
        case Chore.SCORE:
            return now if last is None else last + SCORE_EVERY
        case Chore.FETCH:
            return now if last is None else last + FETCH_EVERY
        case Chore.RESULTS:
            return now if last is None else last + RESULTS_EVERY
        case Chore.DIGEST:
            return _hour_after(last or now - _DAY, rhythm.digest_hour)
        case Chore.REPORT:
            return _monday_after(last or now, rhythm.digest_hour)


def _hour_after(moment: datetime, hour: int) -> datetime:
    """The first `hour` o'clock after the moment."""
    at = moment.replace(hour=hour, minute=0, second=0, microsecond=0)
    return at if at > moment else at + _DAY


def _monday_after(moment: datetime, hour: int) -> datetime:
    """The first Monday at `hour` o'clock after the moment."""
    at = _hour_after(moment, hour)
    return at + _DAY * ((_MONDAY - at.weekday()) % 7)
