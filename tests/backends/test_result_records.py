"""What people ask of test results: on SQLite always, on PostgreSQL when there is one."""

from datetime import date, timedelta

import pytest
from sqlalchemy import Engine

from activities.backends.results_store import ResultsStore
from activities.records_port import QuarantineSeen
from agents.flaky_tests import detector
from agents.flaky_tests.history import Verdict
from tests.fakes.result_reports import BEGAN, SIGNATURE, fold_all, report, tell

FLAKY, BROKEN, ONCE = (
    "tests/test_a.py::test_flaky",
    "tests/test_b.py::test_broken",
    "tests/test_c.py::test_once",
)
CALM = "tests/test_d.py::test_calm"
DAY = timedelta(days=1)
RUNS = 14


LATER = BEGAN + 7 * DAY


@pytest.fixture(scope="module")
def store(one_engine: Engine) -> ResultsStore:
    """A flaky test, one that breaks in the end, one that failed once at first, and one that always passes.

    A week later the flaky one runs once more, on a branch.
    """
    store = ResultsStore(one_engine)
    tell(
        store,
        [
            {
                FLAKY: "F." if number % 2 else ".",
                BROKEN: "FFF" if number >= RUNS - 3 else ".",
                ONCE: "F." if number == 0 else ".",
                CALM: ".",
            }
            for number in range(RUNS)
        ],
    )
    told = report({FLAKY: "F.F", CALM: "."}, run="x", sha="b2", branch="topic", job="mac", at=LATER)
    store.keep(told, at=LATER)
    fold_all(store, now=LATER + DAY)
    return store


def test_tests_that_failed_are_listed_with_their_verdicts_as_they_are_now(store: ResultsStore) -> None:
    lines, count = store.listed("shop", order="test")
    assert count == 3
    assert [(line.test, line.verdict) for line in lines] == [
        (FLAKY, Verdict.FLAKY),
        (BROKEN, Verdict.BROKEN),
        (ONCE, Verdict.UNKNOWN),
    ]
    assert "failed and passed on the same commit in" in lines[0].evidence
    assert (lines[0].seen, lines[0].discordant, lines[0].path) == (RUNS + 1, RUNS // 2 + 1, "tests/test_a.py")
    assert store.listed("till") == ([], 0)


def test_a_list_is_narrowed_sorted_and_cut(store: ResultsStore) -> None:
    assert [line.test for line in store.listed("shop", quarantined=True)[0]] == [FLAKY]
    assert [line.test for line in store.listed("shop", verdict=Verdict.BROKEN)[0]] == [BROKEN]
    assert store.listed("shop", verdict=Verdict.FLAKY, quarantined=False) == ([], 0)
    assert [line.test for line in store.listed("shop", order="flaky")[0]] == [FLAKY, ONCE, BROKEN]
    changed, count = store.listed("shop", order="changed", limit=1, offset=2)
    assert ([line.test for line in changed], count) == ([ONCE], 3)


def test_a_test_that_has_passed_for_long_since_it_changed_is_listed_as_healthy(
    store: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "SUSPECT", RUNS - 1)
    assert [line.test for line in store.listed("shop", verdict=Verdict.HEALTHY)[0]] == [ONCE]
    assert store.listed("shop", verdict=Verdict.UNKNOWN) == ([], 0)


def test_a_story_tells_causes_attempts_weeks_and_quarantines(store: ResultsStore) -> None:
    story = store.story("shop", FLAKY)
    assert story is not None
    assert [(one.fingerprint, one.failures, one.tests) for one in story.signatures] == [
        (SIGNATURE, RUNS // 2 + 2, 1)
    ]
    newest = story.attempts[0]
    assert (newest.run, newest.sha, newest.branch, newest.job) == ("x", "b2", "topic", "mac")
    assert (newest.attempt, newest.outcome, newest.milliseconds) == (3, "fail", 300)
    first, second = story.weeks
    assert (first.monday, first.runs, first.passes, first.failures) == (
        date(2026, 3, 2),
        RUNS,
        RUNS,
        RUNS // 2,
    )
    assert (second.monday, second.runs, second.failures, second.milliseconds) == (date(2026, 3, 9), 1, 2, 600)
    assert [what for what, _ in story.events] == ["quarantined"]
    assert story.events[0][1] == story.line.quarantined_at
    assert story.rerun_milliseconds == RUNS // 2 * 200 + 200 + 300
    assert (story.first_at, story.last_at) == (BEGAN + timedelta(hours=1), LATER)


def test_first_and_last_are_the_times_of_a_tests_attempts_whenever_their_reports_came(
    store: ResultsStore,
) -> None:
    before = BEGAN - 9 * DAY
    for run, at in (("new", BEGAN), ("old", before)):
        told = report({FLAKY: "F."}, run=run, sha=run, at=at, repository="moved")
        store.keep(told, at=LATER)
        fold_all(store, now=LATER + DAY, repository="moved")
    story = store.story("moved", FLAKY)
    assert story is not None
    assert (story.first_at, story.last_at) == (before, BEGAN)


def test_a_test_that_is_not_known_or_only_passed_has_no_story(store: ResultsStore) -> None:
    assert store.story("shop", CALM) is None
    assert store.story("shop", "tests/unheard_of.py::test_x") is None
    assert store.story("till", FLAKY) is None


def test_figures_count_flakiness_what_it_costs_and_how_old_quarantines_are(store: ResultsStore) -> None:
    now = BEGAN + 3 * DAY
    figures = store.figures("shop", since=BEGAN, now=now)
    assert (figures.tests, figures.runs, figures.in_trouble) == (4, RUNS, 0)
    flaky = RUNS // 2 + 1
    assert (figures.flaky_runs, figures.flaky_ppm) == (flaky, flaky * 1_000_000 // (4 * RUNS))
    assert figures.executions == 4 * RUNS + flaky + 3 * 2
    assert [(one.test, one.reruns, one.rerun_milliseconds) for one in figures.costs] == [
        (BROKEN, 6, 3 * 500),
        (FLAKY, RUNS // 2, RUNS // 2 * 200),
        (ONCE, 1, 200),
    ]
    assert figures.rerun_milliseconds == sum(one.rerun_milliseconds for one in figures.costs)
    assert [(one.fingerprint, one.tests) for one in figures.signatures] == [(SIGNATURE, 3)]
    assert dict(figures.verdicts) == {
        Verdict.FLAKY: 1,
        Verdict.BROKEN: 1,
        Verdict.UNKNOWN: 1,
        Verdict.HEALTHY: 1,
    }
    assert figures.quarantine_days == (2,)
    nothing = store.figures("shop", since=now, now=now + DAY)
    assert (nothing.runs, nothing.flaky_ppm, nothing.costs) == (0, 0, ())


def test_weeks_of_a_suite_are_counted_from_its_mondays(store: ResultsStore) -> None:
    first, second = store.by_week("shop", since=BEGAN, now=LATER + DAY)
    assert (first.monday, second.monday) == (date(2026, 3, 2), date(2026, 3, 9))
    flaky = RUNS // 2 + 1
    assert (first.runs, first.in_trouble, first.flaky_runs) == (RUNS, 0, flaky)
    assert first.flaky_ppm == flaky * 1_000_000 // (4 * RUNS)
    assert (second.runs, second.flaky_runs, second.rerun_milliseconds) == (1, 1, 200 + 300)
    assert store.by_week("shop", since=BEGAN, now=BEGAN + DAY) == [first]
    assert store.by_week("till", since=BEGAN, now=LATER) == []


def test_what_happened_to_quarantines_in_a_time_is_told_by_test(store: ResultsStore) -> None:
    (one,) = store.happened("shop", since=BEGAN, now=LATER)
    assert (one.test, one.what) == (FLAKY, "quarantined")
    assert store.happened("shop", since=one.at + timedelta(seconds=1), now=LATER) == []


def test_the_quarantine_file_is_kept_as_it_was_last_seen(store: ResultsStore) -> None:
    assert store.quarantine_seen("elsewhere") is None
    for sha, content in (("a1", "version: 1\ntests: []\n"), ("b2", "")):
        seen = QuarantineSeen(sha=sha, content=content, read_at=LATER)
        store.see_quarantine("elsewhere", seen)
        store.see_quarantine("elsewhere", seen)
        assert store.quarantine_seen("elsewhere") == seen
