"""When housekeeping does what: pure, so that a year takes no time."""

from datetime import UTC, datetime, timedelta

import pytest

from workflows.timetable import SOON, Chore, Done, Rhythm, next_time

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday."""
RHYTHM = Rhythm(reload_every=timedelta(seconds=30), digest_hour=8)


def after(chore: Chore, last: datetime | None, *, failed: bool = False, now: datetime = NOON) -> datetime:
    done = None if last is None else Done(at=last, said="", failed=failed)
    return next_time(chore, RHYTHM, done, now)


@pytest.mark.parametrize("chore", [Chore.RELOAD, Chore.RECONCILE, Chore.SCORE, Chore.FETCH, Chore.RESULTS])
def test_what_has_never_been_done_is_due_at_once(chore: Chore) -> None:
    assert after(chore, None) == NOON


def test_the_policy_is_looked_at_in_the_rhythm_of_the_settings() -> None:
    assert after(Chore.RELOAD, NOON) == NOON + timedelta(seconds=30)


def test_a_digest_comes_once_a_day_at_its_hour() -> None:
    today = datetime(2026, 11, 25, 8, tzinfo=UTC)
    assert after(Chore.DIGEST, today - timedelta(hours=1)) == today
    assert after(Chore.DIGEST, today) == today + timedelta(days=1)
    assert after(Chore.DIGEST, NOON) == today + timedelta(days=1)


def test_a_digest_that_was_missed_is_due_at_once() -> None:
    assert after(Chore.DIGEST, NOON - timedelta(days=3)) < NOON
    assert after(Chore.DIGEST, None) <= NOON


def test_a_report_comes_on_mondays_and_is_not_made_up_for() -> None:
    monday = datetime(2026, 11, 30, 8, tzinfo=UTC)
    assert after(Chore.REPORT, None) == monday
    assert after(Chore.REPORT, monday) == monday + timedelta(days=7)
    assert after(Chore.REPORT, monday - timedelta(seconds=1)) == monday


def test_a_chore_that_failed_is_tried_again_soon_and_never_later_than_it_is_due() -> None:
    assert after(Chore.DIGEST, NOON, failed=True) == NOON + SOON
    assert after(Chore.RELOAD, NOON, failed=True) == NOON + timedelta(seconds=30)
