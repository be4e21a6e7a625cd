"""What the agent knows of a test, in a sentence of ours: numbers and times, no text from outside."""

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.causes import Cause, Named
from agents.flaky_tests.detector import alternates, caught_up, verdict
from agents.flaky_tests.evidence import after_quiet, strength
from agents.flaky_tests.history import MOST_COMMITS, History, Mask, Quarantine, Verdict

CAUSES = {
    Cause.UNKNOWN: "not known",
    Cause.ORDER: "the order of tests, or what others leave behind",
    Cause.CONCURRENCY: "what runs beside it",
    Cause.TIME: "the time or its zone",
    Cause.RANDOMNESS: "randomness",
    Cause.NETWORK: "the network, or something else that the sandbox lacks",
    Cause.RESOURCE_LEAK: "what the tests before it use up, whichever they are",
    Cause.ENVIRONMENT: "the machine or a resource of it",
}


def explained(history: History | None, seen: int, bounds: Bounds, cause: Named | None = None) -> str:
    """The evidence for the verdict. `seen`: the test's counted runs."""
    if history is None:
        return f"passed in all of {_runs(seen)}" if seen else "no run counts"
    parts = [_seen(history, seen)]
    said = verdict(history, seen)
    match said:
        case Verdict.BROKEN:
            since = f" since {history.streak_began:%Y-%m-%d %H:%M} UTC" if history.streak_began else ""
            most = " or more" if len(history.streak) >= MOST_COMMITS else ""
            parts.append(
                f"has only failed{since}, at {len(history.streak)} commits{most}, so it is broken, not flaky"
            )
        case Verdict.FLAKY:
            parts.append(
                f"a healthy test shows this at most once in {bounds.runs_to_false_quarantine:,.0f} runs"
            )
        case Verdict.UNKNOWN:
            parts.append(_undecided(history, seen, bounds))
        case Verdict.HEALTHY if history.streak:
            parts.append("only failed at the last commit of one branch, whose own change may be the cause")
    if history.quarantine is not None:
        parts.append(_quarantined(caught_up(history.quarantine, seen)))
    elif history.quarantines and history.released_at:
        parts.append(f"quarantined {_times(history.quarantines)}, released {history.released_at:%Y-%m-%d}")
    if history.in_trouble:
        parts.append(f"not counting {_runs(history.in_trouble)} in which the infrastructure was in trouble")
    if cause is not None and cause.cause is not Cause.UNKNOWN and said is not Verdict.BROKEN:
        parts.append(f"its likely cause is {CAUSES[cause.cause]}: {cause.why}")
    return "; ".join(part for part in parts if part)


def _seen(history: History, seen: int) -> str:
    if history.discordant:
        return f"failed and passed on the same commit in {history.discordant:,} of {_runs(seen)}"
    return f"never failed and passed on the same commit in {_runs(seen)}"


def _undecided(history: History, seen: int, bounds: Bounds) -> str:
    evidence = strength(after_quiet(history.evidence, seen - history.as_of))
    if history.last is not None:
        return (
            f"that is {evidence:,.0f} of the {bounds.runs_to_false_quarantine:,.0f} that a quarantine needs"
        )
    if alternates(history, seen):
        return (
            f"it only failed at {history.lone_reds:,} commits of main and passed at those around: a second "
            "execution at such a commit would tell whether it is flaky"
        )
    if history.streak:
        return "it only failed at the last commit: the next one, or another run of it, will tell"
    return "it is too young to tell"


def _quarantined(quarantine: Quarantine) -> str:
    clean, needed = quarantine.rate.clean, quarantine.needed
    healing = f"{clean:,} clean runs of the {needed:,} that heal it"
    match quarantine.mask:
        case Mask.ON:
            return healing
        case Mask.STUCK:
            return (
                f"it fails in whole runs far more often than it did, so its failures count again; {healing}"
            )
        case Mask.SHIFTED:
            return (
                "it fails far more often than it did and a regression may hide in it, so its failures "
                f"count again; {healing}"
            )


def _runs(count: int) -> str:
    return f"{count:,} run" if count == 1 else f"{count:,} runs"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
