"""Past rollouts judged again: a trace of polls in, the first verdict that decides out. Pure."""

from collections.abc import Iterable, Mapping
from typing import Literal

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.gate_state import Judgement, Poll
from workflows.release.judge import begin, observe


class BackTest(Frozen):
    """What the gate would have said of a whole rollout.

    Red from the first red poll on. Green when the last step was cleared and nothing was red. Inconclusive
    when the trace ends before the gate could tell.
    """

    verdict: Literal["green", "red", "inconclusive"]
    decided_at: Instant | None
    decided_line: int | None
    """Counted from 1."""
    weight: float | None
    """Percent of the traffic on the canary then; of an inconclusive one, at the end."""
    evidence: float
    """For harm: see `Judgement.evidence`."""
    explanation: str


def back_test(
    rules: GateRules,
    polls: Iterable[tuple[int, Poll]],
    signals: Mapping[str, SignalRules],
    *,
    steps: int,
    excludes: float,
) -> BackTest:
    """Judge numbered polls in the order of time.

    `signals` are all that the trace names, with what each counts for; `steps` is how often its weight
    changes, the first one included; `excludes` the level of the rules that makes a step green.
    """
    state = begin(rules, signals, steps=steps)
    cleared: tuple[int, Poll, Judgement] | None = None
    last: tuple[int, Poll, Judgement] | None = None
    for line, poll in polls:
        if poll.weight != state.weight and not _without_control(poll):
            cleared = None
        state, judgement = observe(rules, state, poll, excludes)
        last = line, poll, judgement
        if judgement.finding == "red":
            return _decided("red", last)
        if judgement.finding == "cleared" and cleared is None:
            cleared = last
    if cleared is not None:
        return _decided("green", cleared)
    if last is None:
        return BackTest(
            verdict="inconclusive",
            decided_at=None,
            decided_line=None,
            weight=None,
            evidence=1.0,
            explanation="there is nothing in the trace",
        )
    _, poll, judgement = last
    return BackTest(
        verdict="inconclusive",
        decided_at=None,
        decided_line=None,
        weight=poll.weight,
        evidence=judgement.evidence,
        explanation=judgement.explanation,
    )


def _without_control(poll: Poll) -> bool:
    """All traffic is on the canary: there is nothing to compare with, so what was cleared before stays so."""
    return poll.weight >= 100 or not any(seen.stable.total for seen in poll.signals.values())


def _decided(verdict: Literal["green", "red"], deciding: tuple[int, Poll, Judgement]) -> BackTest:
    line, poll, judgement = deciding
    return BackTest(
        verdict=verdict,
        decided_at=poll.at,
        decided_line=line,
        weight=poll.weight,
        evidence=judgement.evidence,
        explanation=judgement.explanation,
    )
