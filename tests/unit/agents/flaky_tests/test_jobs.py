"""Jobs that failed and passed at one commit: counted by run, whatever order their attempts come in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.flaky_tests.bounds import lower
from agents.flaky_tests.jobs import FlakyJob, Job, JobRuns, cost_of, flaky_job, flaky_jobs, how_often
from leverframe.model.jobs import JobAttempt, JobConclusion, is_wanted
from leverframe.model.test_reports import MOST_NAME
from leverframe.model.untrusted import Untrusted

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UNIT = Job("github", "CI / unit")
NONE: frozenset[str] = frozenset()


def attempt(
    run: str,
    number: int,
    conclusion: JobConclusion,
    *,
    at: int = 0,
    took: int = 1,
    sha: str = "a",
    job: str = UNIT.name,
    id_: str = "",
) -> JobAttempt:
    """One that begins `at` minutes after the beginning."""
    return JobAttempt(
        repository="shop",
        source="github",
        id=id_ or f"{run}-{number}-{at}",
        run=run,
        job=Untrusted(job),
        sha=sha * 40,
        branch=Untrusted("work"),
        attempt=number,
        conclusion=conclusion,
        began=BEGAN + at * MINUTE,
        ended=BEGAN + (at + took) * MINUTE,
    )


def judged(
    attempts: Sequence[JobAttempt], *, runs: int = 10, reported: frozenset[str] = NONE
) -> FlakyJob | None:
    return flaky_job(UNIT, JobRuns(runs=runs, failed=3), attempts, reported=reported)


def test_what_failed_before_it_passed_is_lost_and_people_waited_until_then() -> None:
    told = [
        attempt("9", 1, "fail", at=0, took=5),
        attempt("9", 2, "fail", at=10, took=4),
        attempt("9", 3, "pass", at=20, took=6),
        attempt("8", 1, "fail", at=0),
        attempt("8", 2, "pass", at=3, sha="a"),
    ]
    flaky = judged(told, runs=40)
    assert flaky is not None
    assert (flaky.flaky_runs, flaky.commits, flaky.runs) == (2, 1, 40)
    assert (flaky.lost_ms, flaky.waited_ms) == ((5 + 4 + 1) * 60_000, (21 + 3) * 60_000)
    assert (flaky.last.run, flaky.last.at) == ("9", BEGAN + 26 * MINUTE)
    assert flaky.at_least_ppm == int(lower(2, 40) * 1_000_000) < 50_000
    assert how_often(flaky) == "2 of 40 runs, at least 1.3 %"


def test_one_that_fails_when_all_is_run_again_is_flaky_and_nobody_waited() -> None:
    flaky = judged([attempt("9", 1, "pass"), attempt("9", 2, "fail", at=5)])
    assert flaky is not None
    assert (flaky.flaky_runs, flaky.lost_ms, flaky.waited_ms) == (1, 0, 0)


@pytest.mark.parametrize(
    "told",
    [
        [],
        [attempt("9", 1, "fail"), attempt("9", 2, "fail", at=5)],
        [attempt("9", 1, "fail"), attempt("8", 1, "pass", at=5)],
        [attempt("9", 1, "fail", sha="a"), attempt("9", 2, "pass", at=5, sha="b")],
        [attempt("9", 1, "fail", id_="a"), attempt("9", 1, "pass", at=5, id_="b")],
        [attempt("9", 1, "fail", took=5), attempt("9", 2, "pass", at=4)],
    ],
    ids=["nothing", "broken", "another run", "another commit", "one attempt", "beside each other"],
)
def test_what_is_no_repetition_is_no_flake(told: list[JobAttempt]) -> None:
    assert judged(told) is None


def test_runs_that_test_reports_came_of_are_counted_by_any_of_their_attempts() -> None:
    told = [
        attempt(run, number, conclusion, at=number * 5)
        for run in ("8", "9")
        for number, conclusion in ((1, "fail"), (2, "pass"))
    ]
    flaky = judged(told, reported=frozenset({"9.2", "7.1"}))
    assert flaky is not None
    assert (flaky.flaky_runs, flaky.reported_runs) == (2, 1)


def test_those_that_cost_most_are_first_and_their_costs_are_summed() -> None:
    told = [
        attempt("9", number, conclusion, at=number * 20, took=took, job=job)
        for job, took in (("cheap", 1), ("dear", 9))
        for number, conclusion in ((1, "fail"), (2, "pass"))
    ]
    standing = {Job("github", name): JobRuns(runs=5, failed=1) for name in ("cheap", "dear", "calm")}
    found = flaky_jobs(standing, told, reported=NONE)
    assert [one.job for one in found] == ["dear", "cheap"]
    cost = cost_of(found)
    assert (cost.jobs, cost.flaky_runs, cost.lost) == (2, 2, 10 * MINUTE)
    assert cost_of([]).lost_ms == 0


ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.sampled_from(["7", "8"]),
        st.integers(1, 4),
        st.sampled_from(["pass", "fail"]),
        at=st.integers(0, 30),
        took=st.integers(0, 8),
        sha=st.sampled_from(["a", "b"]),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)


@given(ATTEMPTS, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_changes_what_is_said(told: list[JobAttempt], chance: object) -> None:
    shuffled = [*told, *told[: len(told) // 2]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert judged(shuffled) == judged(told)


@given(ATTEMPTS)
def test_a_flaky_job_has_both_outcomes_and_never_more_flaky_runs_than_runs(told: list[JobAttempt]) -> None:
    runs = {one.run for one in told}
    flaky = judged(told, runs=len(runs) or 1)
    if flaky is not None:
        assert {one.conclusion for one in told if one.run == flaky.last.run} == {"pass", "fail"}
        assert flaky.flaky_runs <= len(runs)
        assert 0 < flaky.at_least_ppm <= 1_000_000
        assert flaky.lost_ms <= sum(one.took // timedelta(milliseconds=1) for one in told)


def test_globs_cross_slashes_and_names_are_bounded() -> None:
    assert is_wanted("CI / unit (a/b)", ("CI*",))
    assert is_wanted("x", ("a", "?"))
    assert not is_wanted("CI / unit", ("unit*",))
    assert is_wanted("e2e/web/deploy", ("*/deploy", "x"))
    assert not is_wanted("deploy", ("*/deploy",)), "the slash has to be there"
    with pytest.raises(ValidationError):
        attempt("9", 1, "pass", job="x" * (MOST_NAME + 1))
    with pytest.raises(ValidationError):
        attempt("9 or so", 1, "pass")
