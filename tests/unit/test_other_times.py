"""Times at which a job's executions begin: ahead, steady while it lasts, and on the days that matter."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.other_times import STEADY, ZONES, other_time
from workflows.executions import LONGEST

SEEDS = range(1_000)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANY_NOW = st.integers(1_700_000_000, 4_400_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
"""From 2023 to 2109."""


def days(now: datetime) -> set[date]:
    return {other_time(seed, now).at.date() for seed in SEEDS}


def test_no_order_of_executions_lasts_longer_than_a_moment_is_steady() -> None:
    assert STEADY >= LONGEST


@given(seed=st.integers(0, 2**31 - 1), now=ANY_NOW)
def test_nor_does_the_date_in_the_zone_change_where_the_clock_can_not_be_moved(
    seed: int, now: datetime
) -> None:
    zone = ZoneInfo(other_time(seed, now).zone)
    assert (now + STEADY).astimezone(zone).date() == now.astimezone(zone).date()


@given(seed=st.integers(0, 2**31 - 1), now=ANY_NOW)
def test_it_is_ahead_and_no_date_and_no_offset_changes_while_a_job_may_last(seed: int, now: datetime) -> None:
    zone, at = other_time(seed, now)
    assert at.tzinfo == ZoneInfo(zone)
    assert at > now
    assert at.timestamp() % 60 == 0
    begins = at.astimezone(UTC)
    for minutes in range(0, STEADY // timedelta(minutes=1) + 1, 15):
        then = begins + timedelta(minutes=minutes)
        there = then.astimezone(at.tzinfo)
        assert (then.date(), there.date()) == (begins.date(), at.date())
        assert there.utcoffset() == at.utcoffset()


def test_seeds_lead_to_each_zone_and_each_day_that_is_easily_forgotten() -> None:
    assert {other_time(seed, NOW).zone for seed in SEEDS} == set(ZONES)
    assert days(NOW) == {
        *(date(2026, 12, 1), date(2026, 12, 6), date(2026, 12, 31), date(2027, 1, 1), date(2028, 2, 29)),
        *(date(2027, 3, 13), date(2027, 3, 14), date(2027, 3, 27), date(2027, 3, 28)),
    }


@pytest.mark.parametrize("now", [datetime(2028, 2, 28, 1, tzinfo=UTC), datetime(2096, 3, 1, 1, tzinfo=UTC)])
def test_there_is_always_a_leap_day_ahead(now: datetime) -> None:
    assert {day.year for day in days(now) if (day.month, day.day) == (2, 29)} <= {2028, 2032, 2104}
    assert any((day.month, day.day) == (2, 29) for day in days(now))


def test_at_some_it_is_another_day_by_utc_or_an_hour_ago_or_soon() -> None:
    moments = [other_time(seed, NOW).at for seed in SEEDS]
    assert any(at.date() != at.astimezone(UTC).date() for at in moments)
    assert any((at - timedelta(hours=1)).date() != at.date() for at in moments)
    assert any((at + timedelta(hours=3)).date() != at.date() for at in moments)
