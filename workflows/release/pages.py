"""What people are paged with: what was seen, what it means, what was done, and what they can do. Pure."""

import math
from datetime import timedelta

from leverframe.model.changes import Receipt
from leverframe.model.eyes import EyesReport
from leverframe.model.frozen import Instant
from leverframe.model.releases import ERRORS, ReleaseOutcome
from workflows.release.canary import Ladder
from workflows.release.foresight import Traffic, outlook
from workflows.release.standstill import Standstill
from workflows.release.state import ReleaseState
from workflows.release.story import Progress


def standing_still(progress: Progress, ladder: Ladder, standstill: Standstill, *, reminder: int) -> str:
    """A step that the gate can't decide. `reminder`: 0 for the first page."""
    service, short = progress.service, progress.sha[:12]
    seen = progress.verdict.reason if progress.verdict else "nothing yet"
    again = f"Reminder {reminder}: " if reminder else ""
    lines = [f"{again}{service} {short} has been {standstill.words()}."]
    if standstill.kind == "blind":
        lines.append(f"The gate says: {seen}. Nothing is taken back for what it can't see.")
    else:
        lines += [f"Seen: {seen}.", f"Needed: {needed(ladder)}."]
    if progress.newer:
        lines.append(f"{progress.newer[:12]}, which is newer, waits for the canary.")
    named = f"{service} --sha {short}"
    return "\n".join(
        [
            *lines,
            "Red takes it back at once. To decide:",
            f'leverframe release abort {named} --reason "…"',
            f'leverframe release promote {named} --reason "…" (two people, neither of them the author)',
            f"leverframe release explain {named}",
        ]
    )


def pages_differ(progress: Progress, report: EyesReport, *, hold_seconds: float) -> str:
    """Pages look different on the canary: people have to look at the pictures."""
    service, short = progress.service, progress.sha[:12]
    named = f"{service} --sha {short}"
    pictures = [path for look in report.differing for path in look.pictures]
    hold = _length(timedelta(seconds=hold_seconds))
    return "\n".join(
        [
            f"{service} {short} looks different from what is stable: {report.words()}.",
            "Stable, canary and difference, where the sandbox worker runs:",
            *pictures,
            f"It stays on its first step until people have looked, and goes back by itself after {hold}.",
            f'leverframe release promote {named} --reason "…" (two people, neither of them the author)',
            f'leverframe release abort {named} --reason "…"',
        ]
    )


def needed(ladder: Ladder) -> str:
    """What the step still needs, and how long that takes at the traffic that it has had."""
    counted, latest, step = ladder.counting_since, ladder.latest, ladder.step
    seen = ladder.gate.signals[ERRORS].seen
    seconds = (latest.taken_at - counted).total_seconds() if latest and counted else 0.0
    if not seconds or not seen.canary.total:
        return "requests: the canary has had none, and without any it can never be decided"
    per_second = seen.canary.total / seconds
    wanted = max(step.min_requests, 1)
    if step.excludes != "nothing" and step.percent < 100 and seen.stable.total:
        traffic = Traffic(
            rps=(seen.canary.total + seen.stable.total) / seconds,
            base_error=min(seen.stable.bad / seen.stable.total, 0.99),
            weights=(step.percent,),
            poll_seconds=ladder.plan.poll_seconds,
        )
        sights = outlook(ladder.plan.gate, traffic, excludes=step.excludes).steps[0].green
        sight = next(sight for sight in sights if sight.ratio == step.excludes)
        if sight.canary_requests is None:
            return f"more than this share can show: {step.excludes:g} times stable's rate is out of its reach"
        wanted = max(wanted, sight.canary_requests)
    if wanted <= seen.canary.total:
        return (
            f"{wanted:,} canary requests clear nine good releases in ten, and it has had "
            f"{seen.canary.total:,}: it may be a little worse than stable"
        )
    left = timedelta(seconds=math.ceil((wanted - seen.canary.total) / per_second))
    return (
        f"about {wanted:,} canary requests, of which it has had {seen.canary.total:,}; at this traffic the "
        f"rest takes {_length(left)}"
    )


def ended_badly(receipt: Receipt, outcome: ReleaseOutcome, told: tuple[str, ...]) -> str:
    """A release that was taken back or has failed. `told`: the workflows that wait for its end."""
    verdict = outcome.verdicts[-1] if outcome.verdicts else None
    how = "was taken back" if outcome.outcome == "rolled_back" else "has failed"
    colour = f", {verdict.colour}" if verdict and verdict.colour == "red" else ""
    reached = f" It had reached {outcome.reached_percent} % of production." if outcome.reached_percent else ""
    landed = f"{receipt.change} by {receipt.author.name}, landed at {receipt.landed_at:%F %H:%M} UTC"
    waiting = f" Told: {', '.join(told)}." if told else ""
    return "\n".join(
        [
            f"{outcome.service} {outcome.sha[:12]} {how}{colour}: {outcome.detail}{reached}",
            f"It is {landed}.{waiting}",
            f"leverframe release show {outcome.sha}",
        ]
    )


def requests_not_back(state: ReleaseState, why: str, now: Instant) -> str:
    """The requests could not be sent back to stable so far."""
    progress, stable = state.progress, (state.last_good or "the release before it")[:12]
    return "\n".join(
        [
            f"{progress.service} {progress.sha[:12]} is to be taken back, and the delivery does not do it: "
            f"up to {progress.percent} % of production's requests still go to it at {now:%F %H:%M} UTC.",
            f"Why it goes back: {why}.",
            f"The delivery is asked again until it does. By hand: send all requests to {stable}.",
        ]
    )


def overlay_not_back(state: ReleaseState, why: str) -> str:
    """The train has not put the overlay back so far."""
    progress, stable = state.progress, (state.last_good or "the release before it")[:12]
    return "\n".join(
        [
            f"{progress.service} {progress.sha[:12]} gets no requests any more, but the overlay of "
            "production still names it: the train has not landed the change that puts it back.",
            f"Why it goes back: {why}.",
            f"leverframe train status. By hand: point the overlay at {stable}.",
        ]
    )


def _length(span: timedelta) -> str:
    minutes = math.ceil(span / timedelta(minutes=1))
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} hours"
