"""The likely cause of a flake, by which kinds of fresh jobs fail and which do not.

Each kind is compared with all the others by Fisher's exact test over whole jobs, since what fails by its
machine fails in all executions of a job. Five comparisons at 1 in 1,000 after each of at most fourteen
batches: of flaky tests whose jobs all fail alike, at most 7 in 100 have a cause named by mistake.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import comb
from typing import NamedTuple

from leverframe.model.executions import Kind

LEVEL = 1e-3
"""So seldom would jobs that all fail alike differ so much."""
MOST_NAMING = 32
"""Jobs that only look for the cause of a test that is quarantined already: four batches."""
_NAMING = (Kind.SHUFFLED, Kind.ALONE, Kind.PARALLEL, Kind.CLOCK_AND_SEED)
_MACHINES = 3
"""Jobs that failed wholly, and that passed wholly, before the machine is suspected."""
_MOST = 10_000


class Cause(StrEnum):
    """What makes a test fail at times."""

    UNKNOWN = "unknown"
    ORDER = "order"
    CONCURRENCY = "concurrency"
    TIME_OR_RANDOMNESS = "time_or_randomness"
    ENVIRONMENT = "environment"


class Jobs(NamedTuple):
    """Fresh jobs of one kind that said something."""

    jobs: int = 0
    failed: int = 0
    """With a failure at least."""
    wholly: int = 0
    """Of several executions, in which each failed."""


Tally = Mapping[Kind, Jobs]


class Named(NamedTuple):
    """A cause and what speaks for it."""

    cause: Cause
    why: str
    """A sentence of ours; empty for one that is not known."""


def tallied(tally: Tally, jobs: Iterable[tuple[Kind, int, int]]) -> dict[Kind, Jobs]:
    """With these, too: kind, executions and failures of each. One without executions says nothing."""
    found = dict(tally)
    for kind, executions, failures in jobs:
        if executions <= 0:
            continue
        known = found.get(kind, Jobs())
        if known.jobs < _MOST:
            found[kind] = Jobs(
                known.jobs + 1, known.failed + (failures > 0), known.wholly + (failures == executions > 1)
            )
    return found


def named(tally: Tally) -> Named:
    """The likely cause, or that it is not known."""
    suspects = [
        (_more(tally, Kind.SHUFFLED), Cause.ORDER, Kind.SHUFFLED, "in another order"),
        (_more(tally, Kind.ALONE), Cause.ORDER, Kind.ALONE, "alone"),
        (_less(tally, Kind.ALONE), Cause.ORDER, Kind.ALONE, "alone"),
        (_more(tally, Kind.PARALLEL), Cause.CONCURRENCY, Kind.PARALLEL, "beside others"),
        (
            _more(tally, Kind.CLOCK_AND_SEED),
            Cause.TIME_OR_RANDOMNESS,
            Kind.CLOCK_AND_SEED,
            "with another clock and seed",
        ),
    ]
    chance, cause, kind, how = min(suspects, key=lambda suspect: suspect[0])
    if chance <= LEVEL:
        own, others = tally[kind], _others(tally, kind)
        return Named(
            cause,
            f"it failed in {own.failed:,} of {_jobs(own.jobs)} {how} and in {others.failed:,} of "
            f"{others.jobs:,} others",
        )
    every = [*tally.values()]
    wholly, failed = sum(one.wholly for one in every), sum(one.failed for one in every)
    clean = sum(one.jobs for one in every) - failed
    if wholly == failed and wholly >= _MACHINES and clean >= _MACHINES:
        return Named(
            Cause.ENVIRONMENT, f"{_jobs(wholly)} failed in each execution, and {clean:,} others in none"
        )
    return Named(Cause.UNKNOWN, "")


def naming(tally: Tally, asked: int) -> tuple[Kind, ...]:
    """Jobs that would tell the cause of a quarantined test; none once it is named or was looked for enough.

    `asked`: such jobs that were asked for before.
    """
    if asked >= MOST_NAMING or named(tally).cause is not Cause.UNKNOWN:
        return ()
    return _NAMING * 2


def _more(tally: Tally, kind: Kind) -> float:
    """How likely the jobs of the kind fail so often by chance."""
    own, others = tally.get(kind, Jobs()), _others(tally, kind)
    return _tail(own.failed, own.jobs, others.failed, others.jobs)


def _less(tally: Tally, kind: Kind) -> float:
    """How likely they fail so seldom by chance."""
    own, others = tally.get(kind, Jobs()), _others(tally, kind)
    return _tail(own.jobs - own.failed, own.jobs, others.jobs - others.failed, others.jobs)


def _others(tally: Tally, kind: Kind) -> Jobs:
    others = [one for name, one in tally.items() if name is not kind]
    return Jobs(*(sum(one[column] for one in others) for column in range(3)))


def _tail(hits: int, jobs: int, other_hits: int, other_jobs: int) -> float:
    """Of all ways to spread the hits over the jobs, the share with so many or more among the first."""
    every, all_hits = jobs + other_jobs, hits + other_hits
    ways = sum(
        comb(jobs, count) * comb(other_jobs, all_hits - count)
        for count in range(hits, min(jobs, all_hits) + 1)
    )
    return ways / comb(every, all_hits)


def _jobs(count: int) -> str:
    return f"{count:,} job" if count == 1 else f"{count:,} jobs"
