"""The zone and the moment at which the executions of a `clock` job begin, all at the same one.

A job's environment is one: a test that fails on the last day of a month, or by any zone but its own, fails in
each execution of such a job, which is no evidence of flakiness, or in none. So a moment is only taken where
no date and no offset changes as long as an execution may take; it is always ahead, so that commits,
certificates and files that are made now are not of the future.
"""

from calendar import isleap
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONES = (
    *("Pacific/Kiritimati", "Pacific/Marquesas", "Asia/Kathmandu"),
    *("America/St_Johns", "Europe/Berlin"),
)
"""At most times of the day one of them has another date than UTC; three are no whole hours from it; two have
summer time, by America's and by Europe's rules."""
STEADY = timedelta(hours=2)
"""From the moment on, dates and offsets stay: no order of executions takes longer."""
_HOURS = (time(0, 30), time(9, 30), time(21, 30))
"""An hour ago it was yesterday; an ordinary one; in three hours it is tomorrow."""
_DAY = timedelta(days=1)
_AHEAD = 8 * 366 + 1
"""Days in which there is always a 29 February, also around 2100."""
_SUNDAY = 6


class OtherTime(NamedTuple):
    """When and where a run believes to be."""

    zone: str
    """For TZ."""
    at: datetime
    """In that zone, in whole minutes."""


def other_time(seed: int, now: datetime) -> OtherTime:
    """One of the zones, and in it one of the moments at which tests fail that forgot them."""
    # Where the clock can't be moved, the zone alone is another one: then its own midnight must be far, too.
    zones = [zone for zone in map(ZoneInfo, ZONES) if _steady(now.astimezone(zone))]
    zone = zones[seed % len(zones)]
    moments = _moments(now.astimezone(zone).date(), zone)
    return OtherTime(zone.key, moments[seed // len(zones) % len(moments)])


@lru_cache(maxsize=len(ZONES))
def _moments(today: date, zone: ZoneInfo) -> tuple[datetime, ...]:
    return tuple(
        moment
        for day in sorted(set(_days(today, zone)))
        for hour in _HOURS
        if _steady(moment := datetime.combine(day, hour, zone)) and _steady(moment.astimezone(UTC))
    )


def _days(today: date, zone: ZoneInfo) -> Iterator[date]:
    """The next day of each sort that is easily forgotten."""
    sorts: tuple[Callable[[date], bool], ...] = (
        lambda day: day.weekday() == _SUNDAY,
        lambda day: day.day == 1,
        lambda day: (day + _DAY).day == 1,
        lambda day: (day.month, day.day) == (1, 1),
        lambda day: (day.month, day.day) == (12, 31),
        lambda day: isleap(day.year) and (day.month, day.day) == (2, 29),
        lambda day: _offset(day, zone) != _offset(day - _DAY, zone),
        lambda day: _offset(day, zone) != _offset(day + _DAY, zone),
    )
    ahead = [today + number * _DAY for number in range(1, _AHEAD)]
    for sort in sorts:
        yield from islice(filter(sort, ahead), 1)


def _offset(day: date, zone: ZoneInfo) -> timedelta | None:
    return datetime.combine(day, time(12), zone).utcoffset()


def _steady(moment: datetime) -> bool:
    """Whether it stays the same day there, by one offset."""
    later = (moment.astimezone(UTC) + STEADY).astimezone(moment.tzinfo)
    return (later.date(), later.utcoffset()) == (moment.date(), moment.utcoffset())
