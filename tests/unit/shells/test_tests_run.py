"""`leverframe tests run` forgives quarantined failures of any runner, and nothing else."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leverframe.cli.main import app
from leverframe_pytest.quarantine import PLACE, Entry, write
from leverframe_pytest.signatures import fingerprint

BOOM = '<failure type="Error" message="boom">boom at a.js:3</failure>'
SIGNATURE = fingerprint("Error\nboom\nboom at a.js:3")
PASSED = '<testcase classname="cart" name="adds"/>'
FLAKY = f'<testcase classname="cart" name="pays">{BOOM}</testcase>'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    quarantined(tmp_path)
    return tmp_path


def quarantined(here: Path, days: int = 30, signature: str = SIGNATURE) -> None:
    today = datetime.now(UTC).date()
    entry = Entry(
        test="cart::pays", signatures=(signature,), since=today - timedelta(days=40),
        expires=today + timedelta(days=days), owner="@pay", evidence="", tracking="",
    )  # fmt: skip
    (here / ".leverframe").mkdir(exist_ok=True)
    (here / PLACE).write_text(write({entry.test: entry}))


def ran(report: str | None, code: int, *options: str) -> Result:
    """A runner that writes a report and ends with a code."""
    made = "" if report is None else f"open('junit.xml', 'w').write({report!r}); "
    command = [sys.executable, "-c", f"{made}raise SystemExit({code})"]
    return CliRunner().invoke(app, ["tests", "run", "--results", "*.xml", *options, "--", *command])


def suite(*cases: str, declared: str = "") -> str:
    return f"<testsuites {declared}><testsuite>{''.join(cases)}</testsuite></testsuites>"


def test_failures_that_are_all_quarantined_let_the_command_pass(here: Path) -> None:
    result = ran(suite(PASSED, FLAKY), 1)
    assert result.exit_code == 0, result.output
    assert f"FORGIVEN cart::pays [{SIGNATURE}] until" in result.output


def test_a_command_that_passes_passes_without_any_report(here: Path) -> None:
    assert ran(None, 0).exit_code == 0


@pytest.mark.parametrize(
    ("report", "code", "why"),
    [
        (suite(FLAKY, FLAKY.replace("pays", "other")), 1, f"cart::other [{SIGNATURE}]: it is not"),
        (suite(FLAKY.replace("boom", "bang")), 1, "another one than it is quarantined for"),
        (suite(FLAKY), 2, "ended with 2, which says more"),
        (None, 1, "the command wrote no report"),
        (suite(PASSED), 1, "lies outside of tests"),
        (suite(PASSED, FLAKY)[:-30], 1, "are kept"),
        (suite(FLAKY, declared='errors="1" failures="1"'), 1, "1 failures are counted"),
        ("no xml", 1, "neither JUnit XML nor JSON lines"),
        (suite(FLAKY.replace(BOOM, "<failure/>")), 1, "does not say what failed"),
    ],
    ids=["another test", "another failure", "exit code", "no report", "outside", "cut off", "suite",
         "no xml", "unknown"],
)  # fmt: skip
def test_all_else_stays_as_red_as_it_was(here: Path, report: str | None, code: int, why: str) -> None:
    result = ran(report, code)
    assert result.exit_code == code
    assert why in result.output


def test_a_report_of_an_earlier_run_forgives_nothing(here: Path) -> None:
    (here / "junit.xml").write_text(suite(FLAKY))
    result = ran(None, 1)
    assert result.exit_code == 1
    assert "wrote no report" in result.output


def test_a_failure_counts_even_where_the_command_ignores_failures(here: Path) -> None:
    assert ran(suite(FLAKY), 0).exit_code == 0
    assert ran(suite(FLAKY.replace("pays", "other")), 0).exit_code == 1


def test_an_expired_quarantine_forgives_nothing(here: Path) -> None:
    quarantined(here, days=0)
    result = ran(suite(FLAKY), 1)
    assert result.exit_code == 1
    assert "its quarantine expired on" in result.output


@pytest.mark.parametrize("content", ["tests: {}\n", "version: 1\ntests:\n  - test: 7\n", "\udcff"])
def test_a_quarantine_file_that_can_not_be_read_forgives_nothing(here: Path, content: str) -> None:
    (here / PLACE).write_bytes(content.encode("utf-8", "surrogateescape"))
    result = ran(suite(FLAKY), 1)
    assert result.exit_code == 1
    assert "every failure counts" in result.output


def test_a_test_that_passed_in_the_end_did_not_fail(here: Path) -> None:
    lines = [
        {"run": "1", "sha": "abc", "test": "cart::other", "at": "2026-11-29T17:00:00Z", "attempt": number,
         "outcome": outcome, "signature": "x" if outcome == "fail" else None}
        for number, outcome in ((1, "fail"), (2, "pass"))
    ]  # fmt: skip
    report = "".join(json.dumps(line) + "\n" for line in lines)
    result = ran(report, 1)
    assert result.exit_code == 1
    assert "nothing is forgiven: no test of the reports failed" in result.output
    assert ran(report, 0).exit_code == 0


def test_the_runners_own_code_for_failed_tests_can_be_named(here: Path) -> None:
    assert ran(suite(FLAKY), 100).exit_code == 100
    assert ran(suite(FLAKY), 100, "--failed-exit", "100").exit_code == 0


def test_a_variant_is_part_of_the_name(here: Path) -> None:
    result = ran(suite(FLAKY), 1, "--variant", "windows")
    assert result.exit_code == 1
    assert f"cart::pays (windows) [{SIGNATURE}]: it is not quarantined" in result.output


def test_a_command_that_is_not_there_is_bad_input(here: Path) -> None:
    result = CliRunner().invoke(app, ["tests", "run", "--results", "x", "--", "./no-such-command"])
    assert "can't be run" in str(result.output) + str(result.exception)
    assert result.exit_code != 0
