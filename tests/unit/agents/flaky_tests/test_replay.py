"""A replay is the live fold, whatever the order of tests, however often a row comes."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.flaky_tests import replay as replays
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.observation import Run, attempts
from agents.flaky_tests.replay import IDLE, LEAST_OPEN, MOST_OPEN, Judged, Replay, Row
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.suite import Suite, fold
from leverframe.model.errors import BadInput
from leverframe_pytest.signatures import fingerprint
from tests.unit.agents.flaky_tests.lives import AT

SENSITIVE = Bounds(runs_to_false_quarantine=100)
"""Short histories reach every state."""

Outcomes = list[str]
RUNS = st.lists(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(st.sampled_from(["pass", "pass", "fail", "error", "skip"]), min_size=1, max_size=3),
        min_size=1,
    ),
    min_size=1,
    max_size=25,
)


def rows_of(runs: list[dict[str, Outcomes]]) -> list[Row]:
    """Runs an hour apart, three in four on changes, every fifth at the commit before."""
    return [
        Row(
            test=test,
            run=f"run {number}",
            sha=f"{number - (number % 5 == 4):040x}",
            branch=f"change {number}" if number % 4 else "main",
            attempt=attempt,
            at=AT + timedelta(hours=3 * number),
            outcome=outcome,
            signature=f"boom {attempt % 2}",
        )
        for number, run in enumerate(runs)
        for test, outcomes in run.items()
        for attempt, outcome in enumerate(outcomes, start=1)
    ]


def judged(rows: list[Row]) -> dict[str, Judged]:
    replay = Replay(SENSITIVE)
    for row in rows:
        replay.add(row)
    replay.finish()
    return dict(replay.verdicts())


@settings(max_examples=40, deadline=None)
@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_of_tests_and_attempts_in_a_run_does_not_matter(runs, dice) -> None:  # type: ignore[no-untyped-def]
    rows = rows_of(runs)
    mixed = sorted(rows, key=lambda row: (row.at, dice.random()))
    assert judged(mixed) == judged(rows)


@settings(max_examples=40, deadline=None)
@given(RUNS, st.data())
def test_a_row_that_comes_again_changes_nothing(runs: list[dict[str, Outcomes]], data: st.DataObject) -> None:
    rows = rows_of(runs)
    again = data.draw(st.lists(st.sampled_from(rows), max_size=10))
    at = data.draw(st.integers(0, len(rows)))
    before = {(row.run, row.test, row.attempt) for row in rows[:at]}
    repeated = [row for row in again if (row.run, row.test, row.attempt) in before]
    assert judged([*rows[:at], *repeated, *rows[at:], *rows]) == judged(rows)


@settings(max_examples=40, deadline=None)
@given(RUNS)
def test_a_replay_is_the_live_fold(runs: list[dict[str, Outcomes]]) -> None:
    replay = Replay(SENSITIVE)
    for row in rows_of(runs):
        replay.add(row)
    replay.finish()
    suite, shelf = Suite(), MemoryShelf()
    numbers: dict[str, int] = {}
    passed_at: dict[str, set[int]] = {}
    for number, told in enumerate(runs):
        sha = f"{number - (number % 5 == 4):040x}"
        seen = {}
        for test, outcomes in told.items():
            rows = {
                attempt: (outcome, "" if outcome == "pass" else fingerprint(f"boom {attempt % 2}"))
                for attempt, outcome in enumerate(outcomes, start=1)
            }
            seen[numbers.setdefault(test, len(numbers))] = attempts(rows)
        executed = {test: one for test, one in seen.items() if one is not None}
        others = {test: one for test, one in executed.items() if one.failures or one.passes > 1}
        before = passed_at.setdefault(sha, set())
        run = Run(
            sha=sha,
            branch=f"change {number}" if number % 4 else "main",
            main=number % 4 == 0,
            at=AT + timedelta(hours=3 * number),
            passed=executed.keys() - others.keys(),
            others=others,
            passed_before=frozenset(test for test, one in others.items() if one.only_failed) & before,
        )
        folded = fold(suite, run, shelf, SENSITIVE)
        suite = folded.suite
        if not folded.in_trouble:
            before |= {test for test, one in executed.items() if one.passes}
    assert suite == replay.suite
    for number in numbers.values():
        assert shelf.history(number) == replay.shelf.history(number)
        assert shelf.seen(number) == replay.shelf.seen(number)


@pytest.mark.parametrize(("marks", "most"), [(2**24, MOST_OPEN), (0, LEAST_OPEN), (200, 100)])
def test_runs_may_be_mixed_and_end_when_they_are_idle_or_too_many(
    monkeypatch: pytest.MonkeyPatch, marks: int, most: int
) -> None:
    monkeypatch.setattr(replays, "MARKS", marks)
    replay = Replay(SENSITIVE)
    for number in range(most + 3):
        replay.add(Row("t", f"run {number}", "a" * 40, "main", 1, AT, "pass"))
    assert replay.runs == 3
    replay.add(Row("t", "late", "b" * 40, "main", 1, AT + IDLE + timedelta(seconds=1), "pass"))
    assert replay.runs == most + 3
    replay.add(Row("t", "run 0", "a" * 40, "main", 2, AT, "fail"))
    assert replay.late == 1
    replay.add(Row("t", "run 0", "c" * 40, "main", 2, AT, "fail"))
    assert replay.late == 1
    replay.finish()
    assert replay.runs == most + 5


def test_attempts_may_be_numbered_from_zero() -> None:
    rows = [
        Row("t", f"run {number}", f"{number:040x}", "main", attempt, AT + timedelta(hours=number), outcome)
        for number in range(20)
        for attempt, outcome in enumerate(("fail", "pass") if number % 2 else ("pass",))
    ]
    assert judged(rows)["t"].verdict is Verdict.FLAKY


def test_too_many_tests_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "MOST_TESTS", 2)
    replay = Replay(SENSITIVE)
    for test in ("one", "two"):
        replay.add(Row(test, "r", "a" * 40, "main", 1, AT, "pass"))
    with pytest.raises(BadInput, match="more than 2 tests: give a part of the history"):
        replay.add(Row("three", "r", "a" * 40, "main", 1, AT, "pass"))
