"""Runs that begin at another time, by the real time-machine in real runs of pytest."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from time import time
from typing import Any

import pytest
from _pytest import timing

pytest_plugins = "pytester"

LEAP_DAY = datetime(2096, 2, 29, 9, 30, tzinfo=UTC)
PLUGIN = ("-p", "no:asyncio", "-p", "leverframe_pytest.plugin", "--leverframe-results=out.jsonl")
CONFTEST = """
    from datetime import date
    from time import monotonic, time

    LOADED, TICKED = time(), monotonic()
    TODAY = date.today()
"""
SHOP = """
    import asyncio, queue, threading, time, uuid
    from conftest import LOADED, TICKED, TODAY
    from datetime import date, datetime, timezone
    from time import time as named_before

    import freezegun, pytest, time_machine

    def test_dates():
        leap = date(2096, 2, 29)
        assert TODAY == date.today() == datetime.now().date() == leap
        assert datetime.now(timezone.utc).date() == date.fromtimestamp(named_before()) == leap
        assert time.localtime()[:3] == time.gmtime()[:3] == (2096, 2, 29)
        assert time.strftime("%d.%m.%Y") == "29.02.2096"
        ticks_of_100ns = uuid.uuid1().time - 0x01B21DD213814000
        assert date.fromtimestamp(ticks_of_100ns / 1e7) == leap

    def test_waits():
        assert time.monotonic() - TICKED < 86_400
        time.sleep(0.01)
        assert not threading.Event().wait(0.01)
        with pytest.raises(queue.Empty):
            queue.Queue().get(timeout=0.01)
        asyncio.run(asyncio.wait_for(asyncio.sleep(0.01), 60))
        assert LOADED < time.time(), "it goes on"

    @pytest.fixture
    def frozen():
        with freezegun.freeze_time("2001-01-01") as clock:
            yield clock

    def test_freezes(frozen):
        assert date.today().year == datetime.now().year == time.localtime().tm_year == 2001
        frozen.tick(86_400)
        assert date.today().day == 2

    @time_machine.travel(datetime(2002, 1, 1, tzinfo=timezone.utc), tick=False)
    def test_travels():
        assert date.today().year == time.gmtime().tm_year == 2002

    def test_is_back(time_machine):
        assert date.today() == TODAY
        time_machine.move_to(datetime(2003, 1, 1, tzinfo=timezone.utc))
        time_machine.shift(86_400)
        assert datetime.now(timezone.utc).timetuple()[:3] == (2003, 1, 2)

    def test_is_back_again():
        assert date.today() == TODAY

    def test_never_comes_back():
        time_machine.travel(datetime(2001, 1, 1, tzinfo=timezone.utc)).start()

    def test_after_it():
        assert date.today().year == 2001
"""


class House:
    """A repository whose tests depend on the clock."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self._monkeypatch = pytester, monkeypatch
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(test_shop=SHOP)
        for name, value in (("KIND", "clock"), ("CLOCK", str(int(LEAP_DAY.timestamp())))):
            monkeypatch.setenv(f"LEVERFRAME_{name}", value)

    def run(self, *tests: str, apart: bool = True, arguments: tuple[str, ...] = ()) -> pytest.RunResult:
        """`apart`: in a process of its own."""
        named = [f"test_shop.py::{test}" for test in tests]
        self._monkeypatch.setenv("LEVERFRAME_ONLY", json.dumps(named))
        (self.pytester.path / "out.jsonl").unlink(missing_ok=True)
        pytester = self.pytester
        run = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return run(*PLUGIN, *arguments)

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.pytester.path / "out.jsonl").read_text().splitlines()]


@pytest.fixture
def house(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(pytester, monkeypatch)


def test_a_run_begins_at_the_moment_before_anything_is_loaded_and_goes_on_from_there(house: House) -> None:
    result = house.run("test_dates", "test_waits")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["LEVERFRAME_CLOCK: the clock began at 2096-02-29 09:30:00 UTC"])


def test_tests_may_move_the_clock_once_more(house: House) -> None:
    result = house.run("test_freezes", "test_travels", "test_is_back", "test_is_back_again")
    result.assert_outcomes(passed=6)


def test_when_tests_ran_is_told_as_it_really_was_whatever_they_do_to_the_clock(house: House) -> None:
    began = time()
    house.run(
        "test_dates",
        "test_freezes",
        "test_never_comes_back",
        "test_after_it",
        arguments=("--junitxml=out.xml",),
    )
    ended = time()
    assert [attempt["outcome"] for attempt in house.attempts] == ["pass"] * 4
    for attempt in house.attempts:
        assert began <= datetime.fromisoformat(attempt["at"]).timestamp() <= ended
        assert 0 <= attempt["duration_ms"] <= 1000 * (ended - began)
    [suite] = ET.parse(house.pytester.path / "out.xml").getroot()  # noqa: S314  our own
    assert began <= datetime.fromisoformat(suite.attrib["timestamp"]).timestamp() <= ended


def test_after_the_run_the_clock_is_right_again(house: House) -> None:
    own = timing.time
    result = house.run("test_dates", apart=False)
    result.assert_outcomes(passed=1)
    assert (datetime.now(UTC) < LEAP_DAY, timing.time) == (True, own)


@pytest.mark.parametrize("library", ["raise ImportError('no such library')", "def travel(moment): 1 / 0"])
def test_without_time_machine_or_with_one_that_moves_what_waits_it_says_so_and_runs_all_the_same(
    house: House, library: str
) -> None:
    house.pytester.makepyfile(
        time_machine=library,
        test_shop="import time\ndef test_now(): assert time.gmtime()[:3] != (2096, 2, 29)",
    )
    result = house.run("test_now", arguments=("-q", "-p", "no:time_machine"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["LEVERFRAME_CLOCK: time-machine 3 is not installed, so only the time zone *"]
    )


def test_a_malformed_moment_runs_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERFRAME_CLOCK", "tomorrow")
    result = house.run("test_dates")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*LEVERFRAME_CLOCK must be whole seconds since 1970*"])
    assert not (house.pytester.path / "out.jsonl").exists()
