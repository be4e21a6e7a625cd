"""The train's board: what a person sees of it, as Markdown. Pure."""

from collections import Counter

from leverframe.model.changes import CarLanded
from leverframe.model.untrusted import Untrusted
from workflows.merge_train.planner import Ride, Settled, TrainState
from workflows.merge_train.queue import Queued

SHOWN = 10


def markdown(repository: str, state: TrainState) -> str:
    """Who rides, who waits and how the last rides ended; no text from outside has a meaning in it."""
    lines = [f"## Train of {repository}"]
    rides = {ride.sequence: ride for ride in state.rides}
    riding = [item for item in state.queue.items if item.sequence in rides]
    waiting = [item for item in state.queue.items if item.sequence not in rides]
    lines += [_riding(item, rides[item.sequence]) for item in riding] or ["Nothing rides."]
    if waiting:
        lines += ["", "| | waiting | head | class | by |", "|---|---|---|---|---|"]
        lines += [_row(at, item) for at, item in enumerate(waiting[:SHOWN], start=1)]
        if len(waiting) > SHOWN:
            lines.append(f"| … | {len(waiting) - SHOWN} more | | | |")
    if state.settled:
        lines += ["", "**Last rides**", ""]
        lines += [_ended(settled) for settled in reversed(state.settled[-SHOWN:])]
    return "\n".join(lines)


def _riding(item: Queued, ride: Ride) -> str:
    who = f"**{_name(item)}** at `{item.head[:12]}`"
    if ride.car is None:
        return f"{who}: being composed"
    passed = {run.check for run in ride.results if run.outcome == "passed" and run.sha == ride.car.sha}
    runs = Counter(run.check for run in ride.results if run.sha == ride.car.sha)
    checks = ", ".join(
        f"{check.name} {'passed' if check.name in passed else f'run {runs[check.name] + 1}'}"
        for check in ride.required
    )
    again = f", composed {ride.compositions} times" if ride.compositions > 1 else ""
    return f"{who}: car `{ride.car.sha[:12]}` on `{ride.car.base[:12]}`{again}; {checks or 'no check needed'}"


def _row(at: int, item: Queued) -> str:
    by = f"{Untrusted(item.author.name).for_markdown(60)} ({item.author.kind})"
    return f"| {at} | {_name(item)} | `{item.head[:12]}` | {item.priority.name.lower()} | {by} |"


def _ended(settled: Settled) -> str:
    outcome = settled.outcome
    name = Untrusted(outcome.change).for_markdown(80)
    if isinstance(outcome, CarLanded):
        return f"- {name} landed as `{outcome.receipt.sha[:12]}` (receipt {outcome.receipt.sequence})"
    # The detail is Markdown of ours; only its first line fits here.
    return f"- {name} left ({outcome.reason}): {outcome.detail.splitlines()[0]}"


def _name(item: Queued) -> str:
    return Untrusted(item.change).for_markdown(80)
