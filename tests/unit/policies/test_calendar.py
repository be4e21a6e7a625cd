"""Freezes: when they are in force, over changes of the clocks too, and when they end."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.calendar import findings, frozen, thaw
from policies.decision import Verdict
from policies.documents import parse
from policies.intent import Intent
from policies.rules import Freeze
from tests.fakes.asks import BACK, OFF, ask

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = {"cron": "0 18 * * FRI", "duration": "62h", "tz": "Europe/Berlin"}
MINUTE = timedelta(minutes=1)


def freeze(**fields: object) -> Freeze:
    """A freeze with these fields."""
    lasts = fields.pop("duration", None)
    if isinstance(lasts, str):
        fields["duration"] = timedelta(hours=int(lasts.removesuffix("h")))
    return Freeze(id="quiet", reason="nobody is there", **fields)  # type: ignore[arg-type]


def berlin(*parts: int, fold: int = 0) -> datetime:
    """A time on Berlin's clocks."""
    return datetime(*parts, tzinfo=BERLIN, fold=fold)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (berlin(2026, 3, 6, 17, 59, 59), False),
        (berlin(2026, 3, 6, 18), True),
        (berlin(2026, 3, 8, 12), True),
        (berlin(2026, 3, 9, 7, 59, 59), True),
        (berlin(2026, 3, 9, 8), False),
        (datetime(2026, 3, 6, 17, tzinfo=UTC), True),
        (datetime(2026, 3, 6, 16, 59, 59, 999_999, tzinfo=UTC), False),
    ],
)
def test_a_weekend_begins_by_the_clock_of_its_zone_and_ends_after_its_hours(
    now: datetime, expected: bool
) -> None:
    assert frozen(freeze(**WEEKEND), now) is expected


def test_hours_are_elapsed_time_over_a_change_of_the_clocks() -> None:
    spring, autumn = berlin(2026, 3, 28, 12), berlin(2026, 10, 24, 12)
    assert thaw(freeze(**WEEKEND), spring) == berlin(2026, 3, 30, 9)
    assert thaw(freeze(**WEEKEND), autumn) == berlin(2026, 10, 26, 7)


def test_a_beginning_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    nightly = freeze(cron="30 2 * * *", duration="1h", tz="Europe/Berlin")
    assert not frozen(nightly, berlin(2026, 3, 29, 1, 59, 59))
    assert frozen(nightly, berlin(2026, 3, 29, 3))
    assert not frozen(nightly, berlin(2026, 3, 29, 4))


def test_a_beginning_that_the_clocks_repeat_comes_once() -> None:
    nightly = freeze(cron="30 2 * * *", duration="1h", tz="Europe/Berlin")
    assert frozen(nightly, berlin(2026, 10, 25, 2, 30))
    assert frozen(nightly, berlin(2026, 10, 25, 2, 29, fold=1))
    assert not frozen(nightly, berlin(2026, 10, 25, 2, 30, fold=1))


def test_a_single_freeze_ends_before_its_last_instant() -> None:
    since, until = berlin(2026, 12, 24), berlin(2026, 12, 27)
    once = freeze(since=since, until=until)
    assert [frozen(once, at) for at in (since - MINUTE, since, until - MINUTE, until)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert thaw(once, since) == until


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is New York's."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
def test_an_end_is_said_in_utc_whatever_the_clock_of_the_machine() -> None:
    once = freeze(since=berlin(2026, 12, 24), until=berlin(2026, 12, 27))
    for rule, now in ((once, berlin(2026, 12, 25)), (freeze(**WEEKEND), berlin(2026, 3, 7))):
        end = thaw(rule, now)
        assert end is not None
        assert f"{end:%Z}" == "UTC"


def test_occurrences_that_touch_or_overlap_end_together() -> None:
    office = freeze(cron="0 9-16 * * MON-FRI", duration="1h")
    assert thaw(office, datetime(2026, 3, 2, 10, 30, tzinfo=UTC)) == datetime(2026, 3, 2, 17, tzinfo=UTC)


def test_a_freeze_without_an_end_in_sight_names_none() -> None:
    always = freeze(cron="0 * * * *", duration="2h")
    assert frozen(always, datetime(2026, 3, 2, 10, 30, tzinfo=UTC))
    assert thaw(always, datetime(2026, 3, 2, 10, 30, tzinfo=UTC)) is None


@settings(deadline=None, max_examples=60)
@given(
    cron=st.sampled_from(
        [
            "0 18 * * FRI",
            "30 2 * * *",
            "15 1-3 * * *",
            "0 3 * * SUN",
            "*/20 2 * * *",
            "0 0 1 * *",
            "0 * * * *",
        ]
    ),
    hours=st.integers(1, 200),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    seconds=st.integers(0, 270 * 24 * 3600),
)
def test_the_end_is_honest(cron: str, hours: int, zone: str, seconds: int) -> None:
    """Frozen until one tick before the end, and free at the end."""
    now = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    rule = freeze(cron=cron, duration=f"{hours}h", tz=zone)
    if not frozen(rule, now):
        return
    end = thaw(rule, now)
    if end is not None:
        assert end > now
        assert frozen(rule, end - timedelta(microseconds=1))
        assert not frozen(rule, end)


@settings(deadline=None, max_examples=40)
@given(
    minutes=st.integers(0, 3 * 24 * 60),
    clock=st.sampled_from([datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)]),
    begins=st.sampled_from(["0 1", "30 2", "0 3", "59 23"]),
)
def test_a_nightly_freeze_is_in_force_exactly_when_it_began_within_its_duration(
    minutes: int, clock: datetime, begins: str
) -> None:
    """Compared with the nights one by one, by the zone's own arithmetic."""
    now = clock + timedelta(minutes=minutes)
    minute, hour = map(int, begins.split())
    began = [
        _once(datetime(day.year, day.month, day.day, hour, minute, tzinfo=BERLIN))
        for day in (clock.date() + timedelta(days=offset) for offset in range(-2, 5))
    ]
    expected = any(start <= now < start + timedelta(hours=5) for start in began)
    assert frozen(freeze(cron=f"{begins} * * *", duration="5h", tz="Europe/Berlin"), now) is expected


def _once(wall: datetime) -> datetime:
    """The instant of a time on the wall; one in a gap comes right after the gap."""
    instant = wall.astimezone(UTC)
    in_gap = instant.astimezone(BERLIN).replace(tzinfo=None) != wall.replace(tzinfo=None)
    return instant.replace(minute=0) if in_gap else instant


FILE = """version: 1
layer: org
autonomy: act
kill_switch: false
freeze:
  - id: weekend
    reason: nobody is there
    cron: "0 18 * * FRI"
    duration: 62h
    tz: Europe/Berlin
    except_levers: [flip_flag]
  - {id: party, reason: party, since: 2026-03-07T00:00:00Z, until: 2026-03-08T00:00:00Z}
"""


def test_each_freeze_in_force_is_a_finding_unless_it_excepts_the_lever() -> None:
    document = parse({"org.yaml": FILE}).documents[0]
    saturday = datetime(2026, 3, 7, 12, tzinfo=UTC)
    back, off = Intent.of(ask(effect=BACK)), Intent.of(ask(effect=OFF))
    weekend, party = findings(document, back, saturday)
    assert (weekend.rule, weekend.verdict, weekend.source) == (
        "org.freeze.weekend",
        Verdict.DENY,
        "org.yaml:6",
    )
    assert (weekend.observed, weekend.limit) == ("frozen: nobody is there", "outside the freeze")
    assert weekend.retry_at == datetime(2026, 3, 9, 7, tzinfo=UTC)
    assert weekend.remedy == "Wait until 2026-03-09 07:00:00 UTC, or except the lever at org.yaml:6."
    assert (party.rule, party.source) == ("org.freeze.party", "org.yaml:12")
    assert [finding.rule for finding in findings(document, off, saturday)] == ["org.freeze.party"]
    assert list(findings(document, back, datetime(2026, 3, 11, tzinfo=UTC))) == []


def test_a_freeze_without_an_end_in_sight_is_for_people() -> None:
    always = FILE.replace("0 18 * * FRI", "0 * * * *")
    document = parse({"org.yaml": always}).documents[0]
    (found,) = findings(document, Intent.of(ask(effect=BACK)), datetime(2026, 3, 11, tzinfo=UTC))
    assert found.retry_at is None
    assert found.remedy.startswith("Let a person do it")
