"""`leverframe tests run` forgives quarantined failures of any runner, and nothing else."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leverframe.cli import tests_run
from leverframe.cli.main import app
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
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


def entry(
    *, test: str = "cart::pays", days: int = 30, signature: str = SIGNATURE, executions: int = 3
) -> Entry:
    today = datetime.now(UTC).date()
    return Entry(
        test=test, signatures=(signature,), since=today - timedelta(days=40),
        expires=today + timedelta(days=days), owner="@pay", evidence="", tracking="", executions=executions,
    )  # fmt: skip


def quarantined(here: Path, *, test: str = "cart::pays", days: int = 30, executions: int = 3) -> None:
    (here / ".leverframe").mkdir(exist_ok=True)
    (here / PLACE).write_text(write({test: entry(test=test, days=days, executions=executions)}))


def ran(report: str | None, code: int, *options: str) -> Result:
    """A runner that writes a report and ends with a code."""
    made = "" if report is None else f"open('junit.xml', 'w').write({report!r}); "
    command = [sys.executable, "-c", f"{made}raise SystemExit({code})"]
    return CliRunner().invoke(app, ["tests", "run", "--results", "*.xml", *options, "--", *command])


PASSES = '<testcase classname="cart" name="pays"/>'
BANG = FLAKY.replace("boom", "bang")
STRANGE = FLAKY.replace("pays", "other")


def again(here: Path, *executions: tuple[str | None, int], options: tuple[str, ...] = ()) -> Result:
    """A runner that does another thing each time, and writes down what it was asked for."""
    (here / "asked.txt").write_text("")
    script = f"""
import json, os, pathlib
asked = pathlib.Path("asked.txt")
reports = {executions!r}
number = len(asked.read_text().splitlines())
asked.write_text(asked.read_text() + os.environ.get("LEVERFRAME_ONLY", "all") + chr(10))
report, code = reports[number]
if report is not None:
    pathlib.Path("junit.xml").write_text(report)
raise SystemExit(code)
"""
    arguments = ["--again", "--results", "junit.xml", "--out", "results.jsonl", *options]
    return CliRunner().invoke(app, ["tests", "run", *arguments, "--", sys.executable, "-c", script])


def asked(here: Path) -> list[str]:
    return (here / "asked.txt").read_text().splitlines()


def suite(*cases: str, declared: str = "") -> str:
    return f"<testsuites {declared}><testsuite>{''.join(cases)}</testsuite></testsuites>"


def test_failures_that_are_all_quarantined_let_the_command_pass(here: Path) -> None:
    result = ran(suite(PASSED, FLAKY), 1)
    assert result.exit_code == 0, result.output
    assert f"FORGIVEN cart::pays [{SIGNATURE}] without a pass, until" in result.output


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


def test_again_forgives_a_failure_once_its_test_passes(here: Path) -> None:
    result = again(here, (suite(PASSED, FLAKY), 1), (suite(FLAKY), 1), (suite(PASSED, PASSES), 0))
    assert result.exit_code == 0, result.output
    assert f"FORGIVEN cart::pays [{SIGNATURE}] until" in result.output
    assert asked(here) == ["all", '["cart::pays"]', '["cart::pays"]']


def test_all_attempts_of_all_executions_are_lines_that_can_be_sent(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERFRAME_RUN", "88.1")
    monkeypatch.setenv("LEVERFRAME_SHA", "abc")
    (here / "results.jsonl").write_text("of an earlier run")
    again(here, (suite(PASSED, FLAKY), 1), (suite(PASSES), 0), options=("--variant", "linux"))
    assert asked(here) == ["all"], "nothing is known of the test's variant"
    again(here, (suite(PASSED, FLAKY), 1), (suite(PASSES), 0))
    facts = Facts(repository="shop", source="upload", variant="linux")
    report = read((here / "results.jsonl").read_bytes(), facts, now=datetime.now(UTC))
    assert (report.run, report.sha, report.complaints) == ("88.1", "abc", ())
    assert [(one.test, one.attempt, one.outcome, one.fingerprint, one.path) for one in report.attempts] == [
        ("cart::adds (linux)", 1, "pass", "", ""),
        ("cart::pays (linux)", 1, "fail", SIGNATURE, ""),
        ("cart::pays (linux)", 2, "pass", "", ""),
    ]


def test_a_variant_is_asked_for_by_the_name_that_the_command_knows(here: Path) -> None:
    quarantined(here, test="cart::pays (linux)")
    result = again(here, (suite(FLAKY), 1), (suite(PASSES), 0), options=("--variant", "linux"))
    assert result.exit_code == 0, result.output
    assert asked(here) == ["all", '["cart::pays"]']


def test_again_a_test_that_never_passes_is_red_after_as_many_executions_as_its_entry_says(here: Path) -> None:
    quarantined(here, executions=2)
    result = again(here, *[(suite(FLAKY), 1)] * 9)
    assert result.exit_code == 1
    assert (
        f"cart::pays [{SIGNATURE}]: it never passed at this commit, executed 2 times again" in result.output
    )
    assert len(asked(here)) == 3


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ((suite(BANG), 1), "another one than it is quarantined for"),
        ((suite(BANG, PASSES), 0), "another one than it is quarantined for"),
        ((suite(PASSES, STRANGE), 1), "cart::other"),
        ((suite(PASSES, STRANGE), 0), "cart::other"),
        ((suite(PASSES), 2), "ended with 2, which says more"),
        ((suite(PASSES), 1), "lies outside of tests"),
        ((None, 0), "the command wrote no report"),
        ((suite(PASSES)[:-30], 0), "are kept"),
        (("no xml", 0), "neither JUnit XML nor JSON lines"),
    ],
    ids=["another failure", "another failure, then a pass", "another test", "another test, ignored",
         "exit code", "outside", "no report", "cut off", "no xml"],
)  # fmt: skip
def test_what_is_wrong_with_a_later_execution_counts(
    here: Path, second: tuple[str | None, int], why: str
) -> None:
    result = again(here, (suite(PASSED, FLAKY), 1), second)
    assert result.exit_code == 1
    assert why in result.output
    assert len(asked(here)) == 2


def test_nothing_is_executed_again_once_a_failure_counts(here: Path) -> None:
    result = again(here, (suite(FLAKY, STRANGE), 1))
    assert result.exit_code == 1
    assert f"COUNTED cart::pays [{SIGNATURE}]: it has not passed at this commit" in result.output
    assert "FORGIVEN" not in result.output
    assert asked(here) == ["all"]


def test_a_quarantined_test_that_fails_later_has_passed_at_this_commit_already(here: Path) -> None:
    other = STRANGE.replace("other", "ships")
    entries = {name: entry(test=name) for name in ("cart::pays", "cart::ships")}
    (here / PLACE).write_text(write(entries))
    ships = PASSES.replace("pays", "ships")
    result = again(here, (suite(FLAKY, ships), 1), (suite(PASSES, other), 1))
    assert result.exit_code == 0, result.output
    assert result.output.count("FORGIVEN") == 2


def test_a_skip_is_no_pass(here: Path) -> None:
    quarantined(here, executions=1)
    skipped = '<testcase classname="cart" name="pays"><skipped/></testcase>'
    result = again(here, (suite(FLAKY), 1), (suite(skipped), 0))
    assert result.exit_code == 1
    assert "it never passed at this commit, executed 1 times again" in result.output


def test_again_a_quarantined_failure_must_pass_even_where_the_command_ignores_failures(here: Path) -> None:
    assert again(here, (suite(FLAKY), 0), (suite(PASSES), 0)).exit_code == 0
    quarantined(here, executions=1)
    assert again(here, (suite(FLAKY), 0), (suite(FLAKY), 0)).exit_code == 1


def test_no_further_execution_begins_when_the_time_is_over(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests_run, "LONGEST_SECONDS", 0)
    result = again(here, (suite(FLAKY), 1))
    assert result.exit_code == 1
    assert "no further execution begins after" in result.output
    assert asked(here) == ["all"]


def test_a_run_of_single_tests_forgives_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERFRAME_ONLY", '["cart::pays"]')
    result = again(here, (suite(FLAKY), 1))
    assert result.exit_code == 1
    assert asked(here) == ['["cart::pays"]']


def test_more_names_than_a_variable_holds_let_the_whole_command_run(here: Path) -> None:
    names = [f"cart::{'x' * 1_000}{number}" for number in range(200)]
    (here / PLACE).write_text(write({name: entry(test=name) for name in names}))
    failed, passed = (
        suite(*(case.replace("pays", name.removeprefix("cart::")) for name in names))
        for case in (FLAKY, PASSES)
    )
    (here / "failed.xml").write_text(failed)
    (here / "passed.xml").write_text(passed)
    script = """
import os, pathlib, shutil
first = not pathlib.Path("junit.xml").exists()
shutil.copy("failed.xml" if first else "passed.xml", "junit.xml")
raise SystemExit(1 if first else 3 * ("LEVERFRAME_ONLY" in os.environ))
"""
    arguments = ["--again", "--results", "junit.xml", "--out", "results.jsonl"]
    result = CliRunner().invoke(app, ["tests", "run", *arguments, "--", sys.executable, "-c", script])
    assert result.exit_code == 0, result.output
    assert result.output.count("FORGIVEN") == 200


def test_again_without_a_place_for_the_attempts_is_bad_input(here: Path) -> None:
    result = CliRunner().invoke(app, ["tests", "run", "--again", "--results", "x", "--", "true"])
    assert result.exit_code != 0
    assert "--again needs --out FILE" in str(result.output) + str(result.exception)


def test_a_report_is_not_overwritten_by_the_attempts(here: Path) -> None:
    (here / "junit.xml").write_text("a report")
    result = ran(suite(FLAKY), 1, "--out", "junit.xml")
    assert "is one of --results" in str(result.output) + str(result.exception)
    assert (here / "junit.xml").read_text() == "a report"


def test_without_again_the_last_attempt_alone_is_looked_at(here: Path) -> None:
    assert ran(suite(BANG, FLAKY), 1).exit_code == 0
