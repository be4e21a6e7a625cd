"""The likely cause of a flake, by which kinds of fresh jobs fail and which do not.

Each kind is compared with all the others by Fisher's exact test over whole jobs, since what fails by its
machine fails in all executions of a job. Six comparisons at 1 in 1,000 after each of at most fourteen
batches: of flaky tests whose jobs all fail alike, at most 9 in 100 have a cause named by mistake.
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
_NAMING = (
    *(Kind.SHUFFLED, Kind.ALONE, Kind.PARALLEL, Kind.CLOCK),
    *(Kind.SEED, Kind.ALONE, Kind.PARALLEL, Kind.SEED),
)
_MACHINES = 3
"""Jobs that failed wholly, and that passed wholly, before the machine is suspected."""
_ALIKE = 0.05
"""Orders that differ in no way that chance would make so seldom."""
_LACKING = 8
"""Jobs that all failed wholly before it is said that the sandbox lacks something."""
_MOST = 10_000


class Cause(StrEnum):
    """What makes a test fail at times."""

    UNKNOWN = "unknown"
    ORDER = "order"
    CONCURRENCY = "concurrency"
    RESOURCE_LEAK = "resource_leak"
    TIME = "time"
    RANDOMNESS = "randomness"
    NETWORK = "network"
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
        (_more(tally, Kind.SHUFFLED), Cause.ORDER, Kind.SHUFFLED),
        (_more(tally, Kind.ALONE), Cause.ORDER, Kind.ALONE),
        (_less(tally, Kind.ALONE), _of_what_is_left(tally), Kind.ALONE),
        (_more(tally, Kind.PARALLEL), Cause.CONCURRENCY, Kind.PARALLEL),
        (_more(tally, Kind.CLOCK), Cause.TIME, Kind.CLOCK),
    ]
    chance, cause, kind = min(suspects, key=lambda suspect: suspect[0])
    if chance <= LEVEL:
        own, others = tally[kind], _others(tally, kind)
        return Named(
            cause,
            f"it failed in {own.failed:,} of {_jobs(own.jobs)} {kind.how} and in {others.failed:,} of "
            f"{others.jobs:,} others",
        )
    return _by_agreement(tally)


def _of_what_is_left(tally: Tally) -> Cause:
    """Of a test that hardly fails alone: a leak where those before it matter, and their order does not."""
    as_it_ran, shuffled = tally.get(Kind.AS_IT_RAN, Jobs()), tally.get(Kind.SHUFFLED, Jobs())
    alike = as_it_ran.failed and shuffled.failed and _more(tally, Kind.SHUFFLED) > _ALIKE
    return Cause.RESOURCE_LEAK if alike else Cause.ORDER


def _by_agreement(tally: Tally) -> Named:
    """Where no kind fails more: whether the executions of one job agree, and in which jobs they do."""
    every = Jobs(*(sum(column) for column in zip(*tally.values(), strict=True))) if tally else Jobs()
    seeded, clean = tally.get(Kind.SEED, Jobs()), every.jobs - every.failed
    if every.wholly == every.jobs >= _LACKING:
        return Named(
            Cause.NETWORK,
            f"all {_jobs(every.jobs)} failed in each execution in the sandbox, which has no network, and "
            "elsewhere it passed at the same commit",
        )
    others = _others(tally, Kind.SEED)
    if _tail(seeded.wholly, seeded.failed, others.wholly, others.failed) <= LEVEL:
        return Named(
            Cause.RANDOMNESS,
            f"with one seed for a job all executions agreed in {seeded.wholly:,} of {seeded.failed:,} that "
            f"failed, and else in {others.wholly:,} of {others.failed:,}",
        )
    if every.wholly == every.failed and every.wholly >= _MACHINES and clean >= _MACHINES:
        return Named(
            Cause.ENVIRONMENT,
            f"{_jobs(every.wholly)} failed in each execution, and {clean:,} others in none",
        )
    return Named(Cause.UNKNOWN, "")


def naming(tally: Tally, asked: int) -> tuple[Kind, ...]:
    """Jobs that would tell the cause of a quarantined test; none once it is named or was looked for enough.

    `asked`: such jobs that were asked for before.
    """
    if asked >= MOST_NAMING or named(tally).cause is not Cause.UNKNOWN:
        return ()
    return _NAMING


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
