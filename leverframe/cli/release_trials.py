"""`leverframe release plan` and `release replay`: what the gate can see, and what it would have said."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import given, lines_of
from leverframe.gateway.documents import parse_as
from leverframe.model.errors import BadInput
from leverframe.model.releases import ERRORS
from leverframe.model.topology import HARMS, GateRules, SignalRules
from workflows.release.gate_state import Poll

if TYPE_CHECKING:
    from workflows.release.foresight import Sight

LONGEST = 1_000_000
"""Bytes of one line of a trace."""

MOST_POLLS = 1_000_000

Alpha = Annotated[float, typer.Option(help="How often a good release may be taken back, 0 to 1.")]
Beta = Annotated[float, typer.Option(help="How often a harm may pass a step as excluded, 0 to 1.")]
R0 = Annotated[float, typer.Option("--r0", help="So many times stable's rate is tolerated.")]
Excludes = Annotated[float, typer.Option(help="A step is green when so many times is excluded.")]
WarmUp = Annotated[int, typer.Option(help="Polls that don't count after a change of the weight.")]
ColdSeconds = Annotated[float, typer.Option(help="How long instances get warm after such a change.")]
BurstSeconds = Annotated[float, typer.Option(help="How long one bad moment of a good release may last.")]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="NAME=N",
        help="What a signal counts for, as in canary.signals; repeat it. Default: 1.",
    ),
]


def plan(
    *,
    rps: Annotated[float, typer.Option(help="Requests a second to the whole service.")],
    base_error: Annotated[float, typer.Option(help="The share of them that fails today, 0 to 1.")],
    step: Annotated[
        list[float] | None, typer.Option(help="Percent of the traffic; repeat it. Default: 1 5 25 50.")
    ] = None,
    poll_seconds: Annotated[float, typer.Option(help="How often the gate looks.")] = 15.0,
    alpha: Alpha = 0.02,
    beta: Beta = 0.05,
    r0: R0 = 1.0,
    excludes: Excludes = 2.0,
    warm_up: WarmUp = 0,
    cold_seconds: ColdSeconds = 120,
    burst_seconds: BurstSeconds = 60,
    weight: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Say before a rollout what the gate can see at this traffic, and how long each step needs.

    The times are those within which nine of ten rollouts are decided, by errors alone: `--weight` names the
    other signals, beside which errors have a smaller share in the evidence for harm.
    """
    from workflows.release.foresight import Traffic, outlook  # noqa: PLC0415 - loads when it is used

    rules = _rules(
        excludes,
        alpha=alpha,
        beta=beta,
        r0=r0,
        warm_up=warm_up,
        cold_seconds=cold_seconds,
        burst_seconds=burst_seconds,
    )
    weights = tuple(step or (1.0, 5.0, 25.0, 50.0))
    traffic = given(Traffic, rps=rps, base_error=base_error, weights=weights, poll_seconds=poll_seconds)
    signals = {ERRORS: SignalRules()} | _weighed(weight or ())
    share = signals[ERRORS].weight / math.fsum(each.weight for each in signals.values())
    found = outlook(rules, traffic, excludes=excludes, share=share)
    if as_json:
        print_json(found)
        return
    whole = f"{_time(found.minutes)} in nine of ten rollouts" if found.minutes is not None else "never surely"
    print_fields({"a good release is through": whole})
    red = [f"{sight.ratio:g}x RED IN" for sight in found.steps[0].red]
    green = [f"{sight.ratio:g}x EXCLUDED IN" for sight in found.steps[0].green]
    print_table(
        ("STEP", "CANARY RPS", *red, *green),
        [
            (f"{one.weight:g} %", f"{one.canary_rps:g}", *_times(one.red), *_times(one.green))
            for one in found.steps
        ],
        empty="",
    )
    for line in found.advice:
        say(line)


def replay(
    trace: Annotated[
        Path,
        typer.Argument(help="JSON lines in the order of time: at, weight, signals. Counts are per line."),
    ],
    *,
    alpha: Alpha = 0.02,
    beta: Beta = 0.05,
    r0: R0 = 1.0,
    excludes: Excludes = 2.0,
    warm_up: WarmUp = 0,
    cold_seconds: ColdSeconds = 120,
    burst_seconds: BurstSeconds = 60,
    weight: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Judge a past rollout again: where the gate would have decided, how, and why.

    Each line holds what happened since the line before: `{"at": "2026-11-22T18:00:00Z", "weight": 5,
    "signals": {"errors": {"canary": {"bad": 1, "total": 300}, "stable": {"bad": 9, "total": 5700}}}}`.
    """
    from workflows.release.back_test import back_test  # noqa: PLC0415 - loads when it is used

    rules = _rules(
        excludes,
        alpha=alpha,
        beta=beta,
        r0=r0,
        warm_up=warm_up,
        cold_seconds=cold_seconds,
        burst_seconds=burst_seconds,
    )
    weighed = _weighed(weight or ())
    names, steps = _outline(trace)
    if unknown := sorted(weighed.keys() - set(names)):
        raise BadInput(f"--weight: {trace} names no signal {unknown[0]!r}; there are: {', '.join(names)}")
    signals = dict.fromkeys(names, SignalRules()) | weighed
    found = back_test(rules, _polls(trace), signals, steps=steps, excludes=excludes)
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "verdict": found.verdict,
            "decided at": found.decided_at,
            "line": found.decided_line,
            "weight": f"{found.weight:g} %" if found.weight is not None else None,
            "evidence": f"{found.evidence:g}",
            "because": found.explanation,
        }
    )


def _rules(excludes: float, **said: float) -> GateRules:
    levels = tuple(sorted({*HARMS, excludes}, reverse=True))
    return given(GateRules, levels=levels, **said)


def _weighed(weights: Sequence[str]) -> dict[str, SignalRules]:
    """The signals of `NAME=N`. Raises BadInput."""
    found = dict[str, SignalRules]()
    for said in weights:
        name, equals, weight = said.rpartition("=")
        if not equals or not name:
            raise BadInput(f"--weight: {said!r} is not NAME=N, such as errors=2")
        if name in found:
            raise BadInput(f"--weight: {name!r} has two")
        found[name] = given(SignalRules, weight=weight)
    return found


def _outline(trace: Path) -> tuple[tuple[str, ...], int]:
    """The signals of a trace and its number of steps. Raises BadInput."""
    signals, steps, weight = set[str](), 0, None
    for _, poll in _polls(trace):
        signals.update(poll.signals)
        steps, weight = steps + (poll.weight != weight), poll.weight
    if not signals:
        raise BadInput(f"{trace} names no signal: nothing could ever be seen")
    return tuple(sorted(signals)), steps


def _polls(trace: Path) -> Iterator[tuple[int, Poll]]:
    """The numbered polls. Raises BadInput with the number of a line that is unusable or out of order."""
    before: datetime | None = None
    for number, line in lines_of(trace, longest=LONGEST):
        where = f"{trace}:{number}"
        if number > MOST_POLLS:
            raise BadInput(f"{where}: more than {MOST_POLLS} polls; give a part of the trace")
        poll = parse_as(Poll, line, where)
        if before is not None and poll.at < before:
            raise BadInput(f"{where}: at is before that of the line above; sort the lines by it")
        before = poll.at
        yield number, poll


def _times(sights: "tuple[Sight, ...]") -> list[str]:
    return [_time(sight.minutes) for sight in sights]


def _time(minutes: float | None) -> str:
    if minutes is None:
        return "never"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"
