"""The fold of one test: its history and what it did in one run in, its history after it out.

The same fold runs on live reports, in a replay and in the bench. `seen` is always the number of the test's
counted runs before this one; runs that the infrastructure gate left out are not counted.
"""

from dataclasses import dataclass
from datetime import datetime

from agents.flaky_tests import healing, masking
from agents.flaky_tests.bounds import A_PAIR, Bounds, upper
from agents.flaky_tests.evidence import NONE, after_discordance, after_job, after_quiet, strength
from agents.flaky_tests.history import (
    MOST_COMMITS,
    MOST_SIGNATURES,
    History,
    Mask,
    Quarantine,
    Rate,
    Usual,
    Verdict,
)
from agents.flaky_tests.noise import ISOLATED
from agents.flaky_tests.observation import Attempts, Run

LIKELY_HEALTHY = 10
"""A test that is younger, in runs, is unknown."""
SUSPECT = 100
"""After a discordance without consequence a test is unknown for so many of its runs."""
_COMMITS_FORGOTTEN = 50
_STRETCH = 2_000
"""A discordance that is older, in runs of the test, belongs to another stretch."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was known before a run, and of the run as a whole."""

    noise: float
    """An upper bound on how often a healthy test fails and passes at one commit."""
    bounds: Bounds
    in_trouble: bool = False
    """The infrastructure gate tripped."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a test did at one commit, this run and earlier ones together."""

    attempts: Attempts
    both: bool
    signatures: tuple[str, ...]
    seen: int
    at: datetime


def observe(history: History, test: int, run: Run, seen: int, conditions: Conditions) -> History:
    """Fold what the test did in `run`. The same history is given back where nothing changes."""
    if not run.of(test).failures and _nothing_new(history, test, run, seen, conditions):
        return history
    sight = _sight(history, test, run, seen)
    history = _streak(history, run, sight.attempts, seen)
    if conditions.in_trouble:
        return history._replace(in_trouble=history.in_trouble + 1) if sight.both else history
    if history.quarantine is not None:
        return _in_quarantine(history, history.quarantine, sight, test in run.lacks_fix, conditions)
    if not sight.both:
        return history
    history = _discordant(history, sight, conditions.noise)
    return _judged(history, seen + 1, run.at, conditions.bounds)


def observe_probe(
    history: History,
    jobs: tuple[tuple[int, int], ...],
    seen: int,
    at: datetime,
    conditions: Conditions,
) -> History:
    """Fold fresh jobs at a commit where the test had been discordant: (executions, failures) of each.

    A job in which every execution failed had a machine or a commit against it, and says nothing.
    """
    evidence = after_quiet(history.evidence, seen - history.as_of)
    for executions, failures in jobs:
        if failures < executions:
            evidence = after_job(evidence, executions, conditions.noise, hit=failures > 0)
    hits = sum(0 < failures < executions for executions, failures in jobs)
    history = history._replace(
        evidence=evidence,
        as_of=seen,
        alone=history.alone and not hits,
        probes=history.probes + len(jobs),
        hits=history.hits + hits,
        rate=history.rate.after(sum(executions for executions, _ in jobs), hits),
    )
    return history if history.quarantine else _judged(history, seen, at, conditions.bounds)


def observe_executions(
    history: History, failed: tuple[int, int], seen: int, at: datetime, bounds: Bounds
) -> History:
    """Fold fresh executions of a quarantined test, each in an environment of its own, at one commit.

    `failed`: how many of how many. Where all of several failed, the commit or the machines may be to blame:
    that says nothing.
    """
    (failures, executions), quarantine = failed, history.quarantine
    if quarantine is None or failures == executions > 1:
        return history
    quarantine = caught_up(quarantine, seen)
    quarantine = healing.after_units(quarantine, executions, failures, history.quarantines, bounds)
    return _released(history._replace(quarantine=quarantine), at)


def verdict(history: History | None, seen: int) -> Verdict:
    """What the evidence says now."""
    if history is None:
        return Verdict.HEALTHY if seen >= LIKELY_HEALTHY else Verdict.UNKNOWN
    quarantine = history.quarantine
    if history.broken and (quarantine is None or quarantine.mask is not Mask.ON):
        return Verdict.BROKEN
    if quarantine is not None:
        return Verdict.FLAKY
    recent = history.last is not None and seen - history.last < SUSPECT
    if recent or seen < LIKELY_HEALTHY or _red_at_once(history) or alternates(history, seen):
        return Verdict.UNKNOWN
    return Verdict.HEALTHY


def isolated(before: History | None, after: History) -> int:
    """What the run adds to the discordances that count as noise: 1, 0, or -1 for one that found company."""
    if before is None:
        return int(after.alone)
    return int(after.alone) - int(before.alone) if before.last != after.last else 0


def alternates(history: History, seen: int) -> bool:
    """Red again and again at single commits of main, never executed twice there: nobody can tell."""
    return history.lone_reds >= 2 and seen - history.lone_red_as_of < SUSPECT


def _red_at_once(history: History) -> bool:
    """It only failed at the last commit of the branch that everybody's work is based on."""
    return bool(history.streak) and history.streak[-1][2]


def _nothing_new(history: History, test: int, run: Run, seen: int, conditions: Conditions) -> bool:
    """Whether a pass at once only adds to what is counted on the shelf."""
    if history.streak or (history.failed_at and seen - history.failed_as_of > _COMMITS_FORGOTTEN):
        return False
    if not history.passed_once or any(sha == run.sha for sha, _ in history.failed_at):
        return False
    quarantine = history.quarantine
    if quarantine is None or conditions.in_trouble:
        return True
    if quarantine.mask is not Mask.ON or test in run.lacks_fix:
        return False
    return quarantine.rate.clean + seen + 1 - quarantine.as_of < quarantine.needed


def _sight(history: History, test: int, run: Run, seen: int) -> _Sight:
    """A test may also have failed at the commit in one run and passed in another."""
    attempts = run.of(test)
    before = [signatures for sha, signatures in history.failed_at if sha == run.sha]
    crossed = bool(before) if attempts.passes else not before and test in run.passed_before
    signatures = attempts.signatures
    if attempts.passes and before:
        signatures = tuple(sorted({*before[0], *signatures}))
    return _Sight(attempts, attempts.both or crossed, signatures, seen, run.at)


def _streak(history: History, run: Run, attempts: Attempts, seen: int) -> History:
    """What the test only failed at, and since when."""
    if not attempts.failures:
        kept = history.failed_at if seen - history.failed_as_of <= _COMMITS_FORGOTTEN else ()
        kept = tuple(one for one in kept if one[0] != run.sha)
        if len(history.streak) == 1 and history.streak[0][2] and history.passed_once:
            history = history._replace(lone_reds=history.lone_reds + 1, lone_red_as_of=seen)
        return history._replace(streak=(), streak_began=None, failed_at=kept, passed_once=True)
    if attempts.passes:
        kept = tuple(one for one in history.failed_at if one[0] != run.sha)
        return history._replace(streak=(), streak_began=None, failed_at=kept, passed_once=True)
    known = any(sha == run.sha for sha, _, _ in history.streak)
    streak = history.streak if known else (*history.streak, (run.sha, run.branch, run.main))
    failed_at = tuple(one for one in history.failed_at if one[0] != run.sha)
    # The first commit stays: it tells the branches apart, and where the trouble began.
    return history._replace(
        streak=(*streak[:1], *streak[1:][-(MOST_COMMITS - 1) :]),
        streak_began=history.streak_began or run.at,
        failed_at=(*failed_at, (run.sha, attempts.signatures[-MOST_SIGNATURES:]))[-MOST_COMMITS:],
        failed_as_of=seen,
    )


def _discordant(history: History, sight: _Sight, noise: float) -> History:
    """Evidence of one more discordance."""
    seen = sight.seen
    evidence = after_discordance(after_quiet(history.evidence, seen - history.as_of), noise)
    since_last = None if history.last is None else seen - history.last
    fresh = since_last is None or since_last > _STRETCH
    return history._replace(
        evidence=evidence,
        as_of=seen + 1,
        hits=1 if fresh else history.hits + 1,
        discordant=history.discordant + 1,
        last=seen,
        alone=since_last is None or since_last > ISOLATED,
        rate=Rate() if fresh else history.rate.after(max(since_last or 0, 1), 1),
        signatures=masking.with_signatures(() if fresh else history.signatures, sight.signatures),
        probes=0,
    )


def _enough(history: History, bounds: Bounds) -> bool:
    """Once the evidence passes A, of a pair of discordances A_PAIR; never on a single one."""
    needed = bounds.runs_to_false_quarantine
    if history.hits == 2:
        needed = max(needed, A_PAIR)
    return history.hits >= 2 and strength(history.evidence) >= needed


def _judged(history: History, seen: int, at: datetime, bounds: Bounds) -> History:
    """Quarantined once the evidence is enough."""
    if not _enough(history, bounds):
        return history
    times = history.quarantines + 1
    rate = history.rate if history.rate.failures else Rate(failures=1, units=max(history.rate.clean, 1))
    most = upper(rate.failures, rate.units + rate.clean)
    return history._replace(
        quarantine=Quarantine(
            at=at,
            masked=history.signatures,
            rate=rate,
            needed=healing.needed(rate, times, bounds),
            as_of=seen,
            evidence=history.evidence,
            evidence_as_of=history.as_of,
            proven=strength(history.evidence),
            # How often its first execution fails is not known: what fails by its machine often only fails.
            usual=Usual(most_only_failed=min(most, 0.95)),
        ),
        quarantines=times,
        quarantined_at=at,
        released_at=None,
        evidence=NONE,
        hits=0,
        signatures=(),
        alone=False,
    )


def _in_quarantine(
    history: History, quarantine: Quarantine, sight: _Sight, lacks_fix: bool, conditions: Conditions
) -> History:
    """One more run of a quarantined test: is it as flaky as it was, and does it heal?"""
    seen, bounds = sight.seen, conditions.bounds
    was, quarantine = quarantine.mask, caught_up(quarantine, seen)
    quarantine = quarantine._replace(as_of=seen + 1)
    if quarantine.fix_claimed and lacks_fix:
        return history._replace(quarantine=quarantine)
    quarantine = masking.after_run(quarantine, sight.attempts, bounds)
    if sight.both or sight.attempts.passes:
        quarantine = healing.after_units(quarantine, 1, int(sight.both), history.quarantines, bounds)
    if quarantine.mask is not was:
        lifted = None if quarantine.mask is Mask.ON else sight.at
        quarantine = quarantine._replace(lifted_at=lifted)
        history = history._replace(released_at=lifted)
    history = history._replace(quarantine=quarantine)
    if sight.both:
        quarantine = _proven(quarantine, seen, conditions.noise)
        history = history._replace(quarantine=quarantine, discordant=history.discordant + 1, last=seen)
        if new := masking.unmasked(quarantine, sight.signatures):
            history = _widened(history, quarantine, new, seen, conditions)
    return _released(history, sight.at)


def _proven(quarantine: Quarantine, seen: int, noise: float) -> Quarantine:
    """One more discordance of a quarantined test is evidence, too."""
    quiet = after_quiet(quarantine.evidence, seen - quarantine.evidence_as_of)
    evidence = after_discordance(quiet, noise)
    return quarantine._replace(
        evidence=evidence, evidence_as_of=seen + 1, proven=max(quarantine.proven, strength(evidence))
    )


def caught_up(quarantine: Quarantine, seen: int) -> Quarantine:
    """The quarantine as it is after the passes that were only counted so far."""
    passes = seen - quarantine.as_of
    if passes <= 0:
        return quarantine
    quarantine = masking.after_passes(quarantine, passes)
    return quarantine._replace(as_of=seen, rate=quarantine.rate.after(passes, 0))


def _widened(
    history: History, quarantine: Quarantine, new: tuple[str, ...], seen: int, conditions: Conditions
) -> History:
    """A failure that is not masked needs as much evidence of its own as a quarantine before it is."""
    since_last = seen - history.as_of
    fresh = since_last > _STRETCH
    history = history._replace(
        evidence=after_discordance(after_quiet(history.evidence, since_last), conditions.noise),
        as_of=seen + 1,
        hits=1 if fresh else history.hits + 1,
        signatures=masking.with_signatures(() if fresh else history.signatures, new),
        quarantine=quarantine,
    )
    if not _enough(history, conditions.bounds):
        return history
    masked = masking.with_signatures(quarantine.masked, history.signatures)
    return history._replace(
        evidence=NONE, hits=0, signatures=(), quarantine=quarantine._replace(masked=masked)
    )


def _released(history: History, at: datetime) -> History:
    if history.quarantine is None or not healing.healed(history.quarantine):
        return history
    return history._replace(
        quarantine=None,
        released_at=history.quarantine.lifted_at or at,
        evidence=NONE,
        last=None,
        hits=0,
        rate=Rate(),
        signatures=(),
    )
