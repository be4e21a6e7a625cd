"""Which kinds of fresh jobs fail says what makes a test fail, and only where chance would hardly do that."""

import random

import pytest

from agents.flaky_tests.causes import LEVEL, MOST_NAMING, Cause, Jobs, named, naming, tallied
from agents.flaky_tests.probes import ORDER
from leverframe.model.executions import Kind


def tally(**failed: tuple[int, int]) -> dict[Kind, Jobs]:
    """By kind: so many of so many jobs failed, each in one of its three executions."""
    return tallied(
        {},
        [
            (Kind(kind), 3, int(job < failures))
            for kind, (failures, jobs) in failed.items()
            for job in range(jobs)
        ],
    )


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        (Cause.ORDER, tally(as_it_ran=(0, 12), shuffled=(3, 3), alone=(0, 3), parallel=(0, 3))),
        (Cause.ORDER, tally(as_it_ran=(12, 12), shuffled=(3, 3), alone=(0, 3), parallel=(3, 3))),
        (Cause.ORDER, tally(as_it_ran=(0, 12), shuffled=(0, 3), alone=(3, 3), parallel=(0, 3))),
        (Cause.CONCURRENCY, tally(as_it_ran=(0, 12), shuffled=(0, 3), alone=(0, 3), parallel=(3, 3))),
        (Cause.TIME_OR_RANDOMNESS, tally(as_it_ran=(1, 20), clock_and_seed=(5, 5), alone=(0, 5))),
        (Cause.UNKNOWN, tally(as_it_ran=(0, 4), shuffled=(1, 1), alone=(0, 1), parallel=(0, 1))),
        (Cause.UNKNOWN, tally(as_it_ran=(6, 12), shuffled=(2, 3), alone=(1, 3), parallel=(2, 3))),
        (Cause.UNKNOWN, {}),
    ],
)
def test_a_cause_has_a_name_once_chance_would_hardly_do_that(cause: Cause, seen: dict[Kind, Jobs]) -> None:
    assert named(seen).cause is cause


def test_the_words_say_what_was_seen() -> None:
    seen = tally(as_it_ran=(0, 12), shuffled=(3, 3), alone=(0, 3), parallel=(0, 3))
    assert named(seen).why == "it failed in 3 of 3 jobs in another order and in 0 of 18 others"


def test_jobs_that_fail_wholly_or_not_at_all_point_at_the_machine() -> None:
    jobs = [(kind, 3, 3 if place % 3 == 0 else 0) for place, kind in enumerate(ORDER * 2)]
    found = named(tallied({}, jobs))
    assert (found.cause, found.why) == (
        Cause.ENVIRONMENT,
        "6 jobs failed in each execution, and 10 others in none",
    )
    assert named(tallied({}, [*jobs, (Kind.ALONE, 3, 1)])).cause is Cause.UNKNOWN


def test_a_job_that_said_nothing_is_not_counted() -> None:
    assert tallied({}, [(Kind.ALONE, 0, 0)]) == {}


def test_it_is_looked_for_until_it_is_named_or_for_long_enough() -> None:
    assert set(naming({}, 0)) == {Kind.SHUFFLED, Kind.ALONE, Kind.PARALLEL, Kind.CLOCK_AND_SEED}
    assert naming({}, MOST_NAMING) == ()
    assert naming(tally(as_it_ran=(0, 12), shuffled=(4, 4)), 0) == ()


def test_jobs_that_all_fail_alike_seldom_get_a_cause() -> None:
    """Fourteen looks of five comparisons each are wrong in at most 70 LEVEL of all tests."""
    chance, wrong, trials = random.Random(7), 0, 300  # noqa: S311  reproducible, not secret
    for _ in range(trials):
        rate, seen = chance.choice([0.1, 0.3, 0.5, 0.8]), dict[Kind, Jobs]()
        for _ in range(14):
            batch = [(kind, 3, int(chance.random() < rate)) for kind in ORDER]
            seen = tallied(seen, batch)
            if named(seen).cause is not Cause.UNKNOWN:
                wrong += 1
                break
    assert wrong / trials <= 70 * LEVEL
