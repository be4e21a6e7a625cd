"""The lines that our pytest plugin writes become attempts of one run."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leverframe.model.errors import BadInput
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
from leverframe_pytest.signatures import fingerprint

pytest_plugins = "pytester"

NOW = datetime(2026, 11, 29, 18, tzinfo=UTC)
NOTHING_SAID = Facts(repository="shop", source="upload")

ROW: dict[str, Any] = {
    "run": "77",
    "sha": "1f0c" * 10,
    "branch": "main",
    "job": "unit",
    "test": "tests/test_a.py::test_x",
    "attempt": 1,
    "at": "2026-11-29T17:00:00+00:00",
    "outcome": "fail",
    "signature": "ab" * 8,
    "duration_ms": 7,
    "quarantined": False,
}


def lines(*changes: dict[str, Any]) -> bytes:
    return "".join(json.dumps(ROW | change) + "\n" for change in changes).encode()


def test_lines_say_their_run_and_a_forgiven_failure_has_failed() -> None:
    again = {"attempt": 2, "outcome": "pass", "signature": None, "at": "2026-11-29T17:00:01+00:00"}
    report = read(gzip.compress(lines({"quarantined": True}, again)), NOTHING_SAID, now=NOW)
    assert (report.run, report.sha, report.branch, report.job) == ("77", "1f0c" * 10, "main", "unit")
    assert [(one.attempt, one.outcome, one.fingerprint) for one in report.attempts] == [
        (1, "fail", "ab" * 8),
        (2, "pass", ""),
    ]
    assert report.attempts[0].path == "tests/test_a.py"
    assert report.complaints == ()


def test_no_marks_and_marks_that_nobody_told_are_two_things() -> None:
    told = [["slow", "security", "slow"], [], None, ["m" * 101], ["x"] * 51, [f"m{n}" for n in range(51)]]
    body = lines(
        {"test": "never.py::told"}, *({"test": str(n), "markers": one} for n, one in enumerate(told))
    )
    found = [attempt.markers for attempt in read(body, NOTHING_SAID, now=NOW).attempts]
    assert found == [None, ("security", "slow"), (), None, None, None, None]
    odd = read(lines({}, {"markers": "slow"}, {"markers": [1]}), NOTHING_SAID, now=NOW)
    assert odd.complaints == tuple(f"line {n}: markers must be a list of texts or null" for n in (2, 3))


def test_a_line_may_say_the_file_of_its_test_or_that_none_is_known() -> None:
    body = lines({"test": "com.acme.CartTest::pays", "path": ""}, {"test": "Cart pays", "path": "a_spec.rb"})
    report = read(body, NOTHING_SAID, now=NOW)
    assert [one.path for one in report.attempts] == ["", "a_spec.rb"]
    odd = read(lines({}, {"path": 7}), NOTHING_SAID, now=NOW)
    assert odd.complaints == ("line 2: path must be a text or null",)


def test_a_text_as_signature_becomes_its_fingerprint() -> None:
    report = read(lines({"signature": "boom at 0x7f00"}), NOTHING_SAID, now=NOW)
    assert report.attempts[0].fingerprint == fingerprint("boom at 0x7f11")


def test_a_line_that_comes_twice_counts_once_and_a_second_start_of_the_suite_counts_on() -> None:
    later = {"at": "2026-11-29T17:05:00Z"}
    report = read(lines({}, {}, later), NOTHING_SAID, now=NOW)
    assert [attempt.attempt for attempt in report.attempts] == [1, 2]


def test_sound_lines_are_kept_and_the_others_told_with_their_numbers() -> None:
    body = lines({}, {"outcome": "green"}, {"run": "78"}, {"test": 7}, {"at": "noon"}, {"test": "\ud800"})
    report = read(body + b'\xff\n\n[1]\n{"test": "cut', NOTHING_SAID, now=NOW)
    assert len(report.attempts) == 1
    assert [complaint.partition(":")[0] for complaint in report.complaints] == [
        "1 attempts of tests with characters in their names that can't be stored were left out",
        "line 2",
        "line 4",
        "line 5",
        "line 7",
        "line 9",
        "line 10",
        "1 lines are of another run or commit than 77 and were left out, the first is line 3",
    ]


def test_the_run_that_the_sender_names_goes_before_the_first_lines() -> None:
    facts = Facts(repository="shop", source="upload", run="78")
    report = read(lines({}, {"run": "78"}, {"run": "", "test": "b"}), facts, now=NOW)
    assert (report.run, len(report.attempts)) == ("78", 2)


def test_lines_without_a_run_need_one() -> None:
    with pytest.raises(BadInput, match="no run is named"):
        read(lines({"run": ""}), NOTHING_SAID, now=NOW)


SUITE = """
import pytest
runs = []

class TestPay:
    @pytest.mark.parametrize("how", ["a.b/c::d"])
    def test_flaky(self, how):
        runs.append(1)
        assert len(runs) == 2, "first\\nsecond"

def test_broken(): assert 1 == 2

@pytest.fixture
def left(): yield; raise RuntimeError("left")

def test_teardown(left): assert 0
def test_skipped(): pytest.skip("no")
"""


def test_pytests_own_file_and_our_lines_tell_the_same_tests_and_the_same_last_failures(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(**{"tests/test_pay": SUITE})
    pytester.syspathinsert(Path(__file__).parents[3])
    monkeypatch.setenv("LEVERFRAME_SHA", "abc")
    monkeypatch.setenv("LEVERFRAME_RUN", "1")
    told_to = ("-p", "leverframe_pytest.plugin", "--reruns=1", "-o", "junit_family=xunit1")
    pytester.runpytest(*told_to, "--junitxml=junit.xml", "--leverframe-results=lines.jsonl")
    facts = Facts(repository="shop", source="upload", run="1", sha="abc")
    ours, theirs = (
        read((pytester.path / name).read_bytes(), facts, now=datetime.now(UTC))
        for name in ("lines.jsonl", "junit.xml")
    )
    assert [one[:3] for one in ours.attempts] == [one[:3] for one in theirs.attempts]
    assert len(ours.attempts) == 7
    failures = {one.test: one.fingerprint for one in theirs.attempts if one.fingerprint}
    assert len(failures) == 2
    assert failures.items() <= {one.test: one.fingerprint for one in ours.attempts if one.fingerprint}.items()
