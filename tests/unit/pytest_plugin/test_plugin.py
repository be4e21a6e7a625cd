"""The pytest plugin, in real runs of pytest."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leverframe_pytest.quarantine import PLACE, Entry, write
from leverframe_pytest.results import NotKnown, this_run

pytest_plugins = "pytester"

TODAY = datetime.now(UTC).date()
SUITE = """
    import itertools, os, pytest

    tries = itertools.count()

    def test_sound(): pass

    @pytest.mark.parametrize("currency", ["usd", "eur"])
    def test_total(currency):
        assert currency == "eur", f"no rate for {currency} after 12 ms"

    def test_second_time_lucky():
        if next(tries) % 2 == 0:
            raise TimeoutError("not yet")

    @pytest.fixture
    def broken(): raise OSError("no database at 127.0.0.1:5432")

    def test_needs_the_database(broken): pass

    @pytest.mark.skip
    def test_skipped(): pass
"""
PLUGIN = ("-p", "leverframe_pytest.plugin", "--leverframe-results=out.jsonl")
USD = "test_shop.py::test_total[usd]"
LUCKY = "test_shop.py::test_second_time_lucky"
DATABASE = "test_shop.py::test_needs_the_database"


@pytest.fixture(autouse=True)
def of_a_known_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SHA": "c0ffee", "BRANCH": "main", "RUN": "7", "JOB": "unit"}.items():
        monkeypatch.setenv(f"LEVERFRAME_{name}", value)


def ran(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:asyncio", *PLUGIN, *arguments)


def attempts(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (pytester.path / "out.jsonl").read_text().splitlines()]


def signatures(pytester: pytest.Pytester) -> dict[str, str]:
    return {row["test"]: row["signature"] for row in attempts(pytester) if row["signature"]}


def quarantine(
    pytester: pytest.Pytester, tests: dict[str, str], *, expires: date = TODAY + timedelta(days=30)
) -> None:
    entries = {
        test: Entry(
            test=test,
            signatures=(signature,),
            since=TODAY - timedelta(days=60),
            expires=expires,
            owner="@acme/shop",
            evidence="",
            tracking="https://git.example/7",
        )
        for test, signature in tests.items()
    }
    path = pytester.path / PLACE
    path.parent.mkdir(exist_ok=True)
    path.write_text(write(entries))


def known(pytester: pytest.Pytester) -> dict[str, str]:
    """Write the suite, run it once, and say what failed how."""
    pytester.makepyfile(test_shop=SUITE)
    ran(pytester)
    found = signatures(pytester)
    (pytester.path / "out.jsonl").unlink()
    return found


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


def test_a_quarantined_failure_is_forgiven_once_the_test_passes_and_every_attempt_is_told(
    pytester: pytest.Pytester,
) -> None:
    found = known(pytester)
    quarantine(pytester, {LUCKY: found[LUCKY]})
    result = ran(pytester, "--junitxml=junit.xml", "--deselect", USD, "--deselect", DATABASE)
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 3, "skipped": 1, "rerun": 1, "deselected": 2}
    result.stdout.fnmatch_lines([f"FORGIVEN {LUCKY} *@acme/shop, https://git.example/7"])
    assert "TimeoutError: not yet" in (pytester.path / "junit.xml").read_text()
    told = [(row["outcome"], row["quarantined"]) for row in attempts(pytester) if row["test"] == LUCKY]
    assert told == [("fail", True), ("pass", False)]


def test_a_quarantined_test_that_never_passes_is_broken_and_stays_red(pytester: pytest.Pytester) -> None:
    found = known(pytester)
    quarantine(pytester, {USD: found[USD], DATABASE: found[DATABASE]})
    result = ran(pytester, "--deselect", LUCKY)
    assert result.ret == 1
    assert result.parseoutcomes() == {
        "passed": 2, "skipped": 1, "failed": 1, "errors": 1, "rerun": 6, "deselected": 1,
    }  # fmt: skip
    result.stdout.fnmatch_lines(["COUNTED *test_total*: it never passed at this commit, executed 3 times*"])
    assert [row["quarantined"] for row in attempts(pytester) if row["test"] == USD] == [True] * 3 + [False]


def test_another_failure_than_the_quarantined_one_counts_at_once_and_also_on_the_way(
    pytester: pytest.Pytester,
) -> None:
    found = known(pytester)
    quarantine(pytester, {USD: found[USD], LUCKY: found[LUCKY]})
    pytester.makepyfile(
        test_shop=SUITE.replace("no rate for", "division by zero for").replace(
            "% 2 == 0:", "% 2 == 0:\n            if next(tries) > 1: raise KeyError('new')"
        )
    )
    result = ran(pytester, "--deselect", DATABASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["COUNTED test_shop.py::test_total*another one than it is quarantined for"])
    assert [row["test"] for row in attempts(pytester)].count(USD) == 1

    pytester.makepyfile(
        test_shop="""
            import itertools

            tries = itertools.count()

            def test_second_time_lucky():
                if next(tries) == 0:
                    raise TimeoutError("not yet")
                raise KeyError("new")
        """
    )
    result = ran(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["COUNTED *lucky: the failure * is another one than it is quarantined for"])


STATEFUL = """
    import pytest

    made = []

    @pytest.fixture(scope="module")
    def shelf():
        made.append(1)
        yield []
        if len(made) == {torn}: raise OSError("the shelf is stuck")

    class TestShelf:
        def test_before(self, shelf): shelf.append("leaked")

        def test_empty(self, shelf):
            kept, self.seen = getattr(self, "seen", 0), 1
            assert not kept
            assert shelf == []

        def test_after(self, shelf): pass
"""
EMPTY = "test_shop.py::TestShelf::test_empty"


def test_another_execution_has_fixtures_and_an_object_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop=STATEFUL.format(torn=9))
    assert ran(pytester).ret == 1
    quarantine(pytester, signatures(pytester))
    result = ran(pytester)
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 3, "rerun": 1}

    pytester.makepyfile(test_shop=STATEFUL.format(torn=1))
    result = ran(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["COUNTED *test_empty: what it shares * can't be torn down: OSError"])


@pytest.mark.parametrize("then", ["pytest.skip('no')", "pytest.xfail('no')", "raise SystemExit(3)"])
def test_only_a_pass_forgives(pytester: pytest.Pytester, then: str) -> None:
    suite = """
        import itertools, pytest

        tries = itertools.count()

        def test_odd():
            if next(tries) == 0:
                raise TimeoutError("not yet")
            {}
    """
    pytester.makepyfile(test_shop=suite.format("pass"))
    ran(pytester)
    quarantine(pytester, signatures(pytester))
    assert ran(pytester).ret == 0
    pytester.makepyfile(test_shop=suite.format(then))
    (pytester.path / "out.jsonl").unlink()
    result = ran(pytester)
    assert result.ret == 1
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["COUNTED test_shop.py::test_odd*"])
    assert len(attempts(pytester)) == 2


def test_rerun_plugins_go_first_and_theirs_are_counted_among_the_executions(
    pytester: pytest.Pytester,
) -> None:
    found = known(pytester)
    quarantine(pytester, {USD: found[USD], LUCKY: found[LUCKY]})
    result = ran(pytester, "--reruns=1", "--deselect", DATABASE)
    assert result.ret == 1
    told = [row["outcome"] for row in attempts(pytester) if row["test"] == USD]
    assert told == ["fail"] * 6
    assert [row["outcome"] for row in attempts(pytester) if row["test"] == LUCKY] == ["fail", "pass"]
    assert result.parseoutcomes() == {
        "passed": 3, "skipped": 1, "failed": 1, "rerun": 6, "deselected": 1,
    }  # fmt: skip


def test_a_subtest_belongs_to_the_attempt_of_its_test_and_is_never_forgiven(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        test_shop="""
            def test_parts(subtests):
                for part in range(3):
                    with subtests.test(part=part):
                        assert part != 1
        """
    )
    assert ran(pytester).ret == 1
    assert [row["outcome"] for row in attempts(pytester)] == ["fail"]
    quarantine(pytester, signatures(pytester))
    result = ran(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["COUNTED *test_parts: a part of it failed*"])


def test_other_tests_fail_the_build_as_ever(pytester: pytest.Pytester) -> None:
    found = known(pytester)
    quarantine(pytester, {"test_shop.py::test_renamed": found[LUCKY]})
    result = ran(pytester)
    assert result.ret == 1
    result.assert_outcomes(passed=2, skipped=1, failed=2, errors=1)


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
