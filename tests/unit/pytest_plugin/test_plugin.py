"""The pytest plugin, in real runs of pytest."""

from pathlib import Path

import pytest

from leverframe_pytest.quarantine import PLACE
from leverframe_pytest.results import NotKnown, this_run
from tests.unit.pytest_plugin.suites import (
    DATABASE,
    LUCKY,
    PLUGIN,
    SUITE,
    TODAY,
    USD,
    attempts,
    known,
    quarantine,
    ran,
    signatures,
)

pytest_plugins = "pytester"


def test_each_attempt_is_one_line_also_when_it_runs_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop=SUITE)
    ran(pytester, "--reruns=2")
    told = [(row["test"], row["attempt"], row["outcome"]) for row in attempts(pytester)]
    assert told == [
        ("test_shop.py::test_sound", 1, "pass"),
        (USD, 1, "fail"),
        (USD, 2, "fail"),
        (USD, 3, "fail"),
        ("test_shop.py::test_total[eur]", 1, "pass"),
        (LUCKY, 1, "fail"),
        (LUCKY, 2, "pass"),
        (DATABASE, 1, "error"),
        (DATABASE, 2, "error"),
        (DATABASE, 3, "error"),
        ("test_shop.py::test_skipped", 1, "skip"),
    ]
    first = attempts(pytester)[0]
    assert {field: first[field] for field in ("run", "sha", "branch", "job")} == {
        "run": "7",
        "sha": "c0ffee",
        "branch": "main",
        "job": "unit",
    }


def test_each_line_tells_the_marks_of_its_test_also_from_a_worker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_marks="""
        import pytest

        pytestmark = pytest.mark.slow

        @pytest.mark.security("any argument")
        class TestLogin:
            @pytest.mark.parametrize("n", [1])
            def test_in(self, n): assert n != 1

        def test_plain(): pass

        def many(test):
            for number in range(60):
                test = getattr(pytest.mark, f"m{number}")(test)
            return test

        @many
        def test_with_more_than_is_told(): pass
        """
    )
    ran(pytester, "-p", "xdist", "-n", "1", "--disable-warnings")
    assert {row["test"].partition("::")[2]: row["markers"] for row in attempts(pytester)} == {
        "TestLogin::test_in[1]": ["parametrize", "security", "slow"],
        "test_plain": ["slow"],
        "test_with_more_than_is_told": None,
    }


def test_attempts_of_one_cause_share_a_signature(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop=SUITE)
    ran(pytester, "--reruns=2")
    pytester.makepyfile(
        test_shop="# one line more, and another duration\n" + SUITE.replace("12 ms", "800 ms")
    )
    ran(pytester)
    assert len({row["signature"] for row in attempts(pytester) if row["test"] == USD}) == 1
    assert len(set(signatures(pytester).values())) == 3


def test_an_expired_quarantine_forgives_nothing(pytester: pytest.Pytester) -> None:
    found = known(pytester)
    quarantine(pytester, {USD: found[USD]}, expires=TODAY)
    result = ran(pytester)
    result.stdout.fnmatch_lines([f"COUNTED *: its quarantine expired on {TODAY}"])
    result.assert_outcomes(passed=2, skipped=1, failed=2, errors=1)


@pytest.mark.parametrize("text", ["tests: [", "version: 1\ntests:\n  - test: 7\n", "\0\xff"])
def test_a_file_that_cannot_be_read_forgives_nothing_and_says_so(
    pytester: pytest.Pytester, text: str
) -> None:
    known(pytester)
    path = pytester.path / PLACE
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    result = ran(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"{PLACE} can't be read, so nothing is quarantined: *"])


def test_workers_forgive_the_same_and_the_main_process_writes(pytester: pytest.Pytester) -> None:
    found = known(pytester)
    quarantine(pytester, {USD: found[USD], LUCKY: found[LUCKY]})
    result = pytester.runpytest_subprocess("-n1", "--reruns=1", *PLUGIN, "--deselect", DATABASE)
    assert result.ret == 1
    assert [row["outcome"] for row in attempts(pytester) if row["test"] == USD] == ["fail"] * 6
    result.stdout.fnmatch_lines(["COUNTED *test_total*: it never passed at this commit, executed 3 times*"])
    (pytester.path / "out.jsonl").unlink()
    result = pytester.runpytest_subprocess("-n1", *PLUGIN, "--deselect", DATABASE, "--deselect", USD)
    assert result.ret == 0
    assert [row["outcome"] for row in attempts(pytester) if row["test"] == LUCKY] == ["fail", "pass"]
    result.stdout.fnmatch_lines([f"FORGIVEN {LUCKY} *"])


DEADLY = """
    import os, time, pytest

    def test_deadly(): os._exit(3)

    @pytest.mark.timeout(0.1)
    def test_slow(): time.sleep(5)
"""


def test_a_dead_process_and_a_timeout_stay_red(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop=DEADLY)
    arguments = ("-n1", "--max-worker-restart=1", *PLUGIN)
    pytester.runpytest_subprocess(*arguments)
    found = signatures(pytester)
    assert len(found) == 2
    quarantine(pytester, found)
    result = pytester.runpytest_subprocess(*arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines_random(
        ["COUNTED *test_deadly: its process died", "COUNTED *test_slow: it timed out"]
    )


def test_a_module_that_cannot_be_collected_stays_red(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop="import nothing_of_this_name")
    quarantine(pytester, {"test_shop.py": ""})
    assert ran(pytester).ret == 2


def test_without_a_commit_no_attempt_is_written_under_a_wrong_one(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LEVERFRAME_SHA", "GITHUB_SHA", "CI_COMMIT_SHA"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile("def test_sound(): pass")
    result = ran(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*set LEVERFRAME_SHA*"])


def test_what_forges_say_of_the_run_is_understood(tmp_path: Path) -> None:
    github = {"GITHUB_SHA": "a", "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}
    assert this_run(github, tmp_path).run == "7.2"
    gitlab = {
        "CI_COMMIT_SHA": "b",
        "CI_COMMIT_REF_NAME": "main",
        "CI_PIPELINE_ID": "9",
        "CI_JOB_NAME": "unit",
    }
    assert this_run(gitlab, tmp_path).job == "unit"
    with pytest.raises(NotKnown, match="LEVERFRAME_RUN"):
        this_run({"GITHUB_SHA": "a"}, tmp_path)
