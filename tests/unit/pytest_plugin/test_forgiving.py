"""A quarantined failure is forgiven by a pass alone, in real runs of pytest."""

from datetime import UTC, datetime

import pytest

from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
from leverframe_pytest import forgiving
from tests.unit.pytest_plugin.suites import (
    DATABASE,
    LUCKY,
    SUITE,
    USD,
    attempts,
    known,
    quarantine,
    ran,
    signatures,
)

pytest_plugins = "pytester"


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


def test_a_junit_file_tells_the_same_attempts_with_the_same_signatures_as_our_lines(
    pytester: pytest.Pytester,
) -> None:
    found = known(pytester)
    quarantine(pytester, {LUCKY: found[LUCKY], USD: found[USD]})
    # One passes when it is executed again, one fails in another way, and one is not quarantined.
    pytester.makepyfile(
        test_shop=SUITE.replace("tries =", "rates = itertools.count()\n    tries =").replace(
            'f"no rate for {currency} after 12 ms"',
            'f"no rate for {currency} after 12 ms" if next(rates) == 0 else "no rates"',
        )
    )
    ran(pytester, "--junitxml=junit.xml", "-o", "junit_family=xunit1")
    facts = Facts(repository="shop", source="upload", run="7", sha="c0ffee")
    lines, junit = (
        read((pytester.path / name).read_bytes(), facts, now=datetime.now(UTC))
        for name in ("out.jsonl", "junit.xml")
    )
    told = [(one.test, one.attempt, one.outcome == "pass", one.fingerprint) for one in lines.attempts]
    assert {(LUCKY, 2, True, ""), (USD, 1, False, found[USD])} < set(told)
    assert [(one.test, one.attempt, one.outcome == "pass", one.fingerprint) for one in junit.attempts] == told


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


def test_a_test_that_takes_too_long_is_not_executed_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = known(pytester)
    quarantine(pytester, {LUCKY: found[LUCKY]})
    monkeypatch.setattr(forgiving, "LONGEST_SECONDS", 0)
    result = ran(pytester, "--deselect", USD, "--deselect", DATABASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["COUNTED *lucky: it did not pass within*"])


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


def test_another_failure_that_a_rerun_plugin_ran_over_counts_where_one_is_forgiven(
    pytester: pytest.Pytester,
) -> None:
    suite = """
        import itertools

        tries = itertools.count()

        def test_odd():
            if (now := next(tries)) < 3:
                raise {}("not yet")
    """
    pytester.makepyfile(test_shop=suite.format("TimeoutError"))
    assert ran(pytester).ret == 1
    quarantine(pytester, signatures(pytester))
    assert ran(pytester, "--reruns=1").ret == 0
    pytester.makepyfile(test_shop=suite.format("(TimeoutError if now != 2 else KeyError)"))
    result = ran(pytester, "--reruns=1")
    assert result.ret == 1
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["COUNTED *test_odd: the failure * is another one than *"])
    assert "FORGIVEN" not in result.stdout.str()


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
