"""Laws of what `leverframe tests run` forgives, whatever the executions of a command came to."""

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.test_reports import Attempt, Outcome
from leverframe.reports.forgiving import by_test, judged
from leverframe_pytest.quarantine import Entry

TODAY = date(2026, 11, 29)
NOW = datetime(2026, 11, 29, tzinfo=UTC)
KNOWN, OTHER = "a" * 16, "b" * 16
_outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["pass", "pass", "fail", "error", "skip"])


@st.composite
def _attempts(draw: st.DrawFn) -> Attempt:
    outcome = draw(_outcomes)
    failed = outcome in ("fail", "error")
    return Attempt(
        test=draw(st.sampled_from("tu")),
        attempt=1,
        outcome=outcome,
        fingerprint=draw(st.sampled_from([KNOWN, KNOWN, OTHER, ""])) if failed else "",
        at=NOW,
    )


@st.composite
def _entries(draw: st.DrawFn) -> dict[str, Entry]:
    return {
        test: Entry(
            test=test, signatures=(KNOWN,), since=date(2026, 1, 1), owner="@a", evidence="", tracking="",
            expires=draw(st.sampled_from([TODAY, date(2026, 12, 1), date(2026, 12, 1)])),
            executions=draw(st.integers(1, 3)),
        )
        for test in draw(st.sets(st.sampled_from("tu")))
    }  # fmt: skip


_executions = st.lists(st.lists(_attempts(), max_size=6), min_size=1, max_size=5)


@given(_executions, _entries(), st.booleans())
def test_each_test_that_failed_in_the_end_of_an_execution_is_told_once(
    executions: list[list[Attempt]], entries: dict[str, Entry], needs_pass: bool
) -> None:
    found = judged(executions, entries, TODAY, needs_pass=needs_pass)
    failed = {
        test
        for execution in executions
        for test, attempts in by_test(execution).items()
        if attempts[-1].outcome != "pass"
    }
    told = [one.test for part in (found.forgiven, found.counted, found.pending) for one in part]
    assert sorted(told) == sorted(failed)
    assert needs_pass or not found.pending


@given(_executions, _entries())
def test_what_is_forgiven_is_quarantined_for_all_that_it_failed_with_and_passed(
    executions: list[list[Attempt]], entries: dict[str, Entry]
) -> None:
    for one in judged(executions, entries, TODAY, needs_pass=True).forgiven:
        runs = [by_test(execution)[one.test] for execution in executions if one.test in by_test(execution)]
        assert any(attempts[-1].outcome == "pass" for attempts in runs)
        assert {attempt.fingerprint for attempts in runs for attempt in attempts} <= {KNOWN, ""}
        assert all(attempts[-1].fingerprint or attempts[-1].outcome == "pass" for attempts in runs)
        assert entries[one.test].expires > TODAY


@given(_executions, _entries())
def test_one_more_execution_takes_no_failure_back_that_counts(
    executions: list[list[Attempt]], entries: dict[str, Entry]
) -> None:
    before = judged(executions, entries, TODAY, needs_pass=True)
    passing = [Attempt(test, 1, "pass", "", NOW) for test in "tu"]
    after = judged([*executions, passing], entries, TODAY, needs_pass=True)
    never_passed = {one.test for one in before.counted if "never passed" in one.said}
    assert {one.test for one in before.counted} - never_passed == {one.test for one in after.counted}
    assert {one.test for one in before.pending} <= {one.test for one in after.forgiven}
