"""Which kinds of fresh jobs fail says what makes a test fail, and only where chance would hardly do that."""

import random

import pytest

from agents.flaky_tests.causes import LEVEL, MOST_NAMING, Cause, Jobs, named, naming, tallied
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.probes import ORDER
from agents.flaky_tests.words import explained
from leverframe.model.executions import Kind
from tests.unit.agents.flaky_tests.lives import PERSON, Lives


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
        (Cause.ORDER, tally(as_it_ran=(0, 12), shuffled=(5, 6), alone=(0, 6), parallel=(0, 3))),
        (Cause.ORDER, tally(as_it_ran=(12, 12), shuffled=(0, 3), alone=(0, 8), parallel=(3, 3))),
        (Cause.RESOURCE_LEAK, tally(as_it_ran=(12, 12), shuffled=(3, 3), alone=(0, 3), parallel=(3, 3))),
        (Cause.RESOURCE_LEAK, tally(as_it_ran=(7, 12), shuffled=(3, 5), alone=(0, 12), parallel=(2, 3))),
        (Cause.ORDER, tally(as_it_ran=(0, 12), shuffled=(0, 3), alone=(3, 3), parallel=(0, 3))),
        (Cause.CONCURRENCY, tally(as_it_ran=(0, 12), shuffled=(0, 3), alone=(0, 3), parallel=(3, 3))),
        (Cause.TIME, tally(as_it_ran=(1, 20), clock=(5, 5), alone=(0, 5))),
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
    jobs = [(kind, 3, 3 if place % 3 == 0 else 0) for place, kind in enumerate((ORDER * 2)[:16])]
    found = named(tallied({}, jobs))
    assert (found.cause, found.why) == (
        Cause.ENVIRONMENT,
        "6 jobs failed in each execution, and 10 others in none",
    )
    assert named(tallied({}, [*jobs, (Kind.ALONE, 3, 1)])).cause is Cause.UNKNOWN


def test_executions_that_agree_wherever_they_have_one_seed_point_at_randomness() -> None:
    """Each execution fails at 40 %, and those of a job with one seed are one draw."""
    mixed = [(kind, 3, int(job < 2)) for kind in ORDER if kind is not Kind.SEED for job in range(4)][:28]
    seeded = [(Kind.SEED, 3, 3 if job < 4 else 0) for job in range(10)]
    found = named(tallied({}, [*mixed, *seeded]))
    assert (found.cause, found.why) == (
        Cause.RANDOMNESS,
        "with one seed for a job all executions agreed in 4 of 4 that failed, and else in 0 of 14",
    )
    one_disagrees = [*mixed, *seeded[1:], (Kind.SEED, 3, 2)]
    assert named(tallied({}, one_disagrees)).cause is Cause.UNKNOWN


def test_what_fails_in_every_jail_lacks_something_there() -> None:
    jobs = [(kind, 3, 3) for kind in ORDER[:8]]
    found = named(tallied({}, jobs))
    assert found.cause is Cause.NETWORK
    assert found.why.startswith("all 8 jobs failed in each execution in the sandbox, which has no network")
    assert named(tallied({}, jobs[1:])).cause is Cause.UNKNOWN
    assert named(tallied({}, [*jobs, (Kind.ALONE, 3, 2)])).cause is Cause.UNKNOWN


def test_a_job_that_said_nothing_is_not_counted() -> None:
    assert tallied({}, [(Kind.ALONE, 0, 0)]) == {}


def test_it_is_looked_for_until_it_is_named_or_for_long_enough() -> None:
    assert {*naming({}, 0), Kind.AS_IT_RAN} == set(Kind)
    assert naming({}, MOST_NAMING) == ()
    assert naming(tally(as_it_ran=(0, 12), shuffled=(4, 4)), 0) == ()


def test_jobs_that_all_fail_alike_seldom_get_a_cause() -> None:
    """Fourteen looks of six comparisons each are wrong in at most 84 LEVEL of all tests."""
    chance, wrong, trials = random.Random(7), 0, 300  # noqa: S311  reproducible, not secret
    for _ in range(trials):
        rate, seen = chance.choice([0.1, 0.3, 0.5, 0.8]), dict[Kind, Jobs]()
        for _ in range(14):
            batch = [(kind, 3, int(chance.random() < rate)) for kind in ORDER]
            seen = tallied(seen, batch)
            if named(seen).cause is not Cause.UNKNOWN:
                wrong += 1
                break
    assert wrong / trials <= 84 * LEVEL


def test_a_broken_test_is_told_no_cause_of_a_flake() -> None:
    network = named(tallied({}, [(kind, 3, 3) for kind in ORDER[:8]]))
    flaky, broken = Lives(PERSON).tell("....B..B.B"), Lives(PERSON).tell("....B....FF")
    told = [
        explained(lives.shelf.history(0), lives.shelf.seen(0), PERSON, network) for lives in (flaky, broken)
    ]
    assert ["its likely cause is the network" in one for one in told] == [True, False]
    assert broken.verdict() is Verdict.BROKEN
