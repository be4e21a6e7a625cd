"""Sentry spike: an error group suddenly errs more than it should; find the cause and take it away."""

from datetime import UTC, datetime, timedelta
from math import ceil

from agents.contract import Due, Nothing, RunContext, Wait, of_kind
from agents.sentry_spike import detector, report
from agents.sentry_spike.baseline import DAY
from agents.sentry_spike.detector import MIN_EXCESS, MIN_RATIO, WINDOW, Reading, Stream, Tuning
from agents.sentry_spike.origins import lineage, requesters, step_requesters
from agents.sentry_spike.suspects import Suspects, is_first, made_by_agent, rank, short
from leverframe.model.facts import ErrorFacts, ErrorFactsRequest, Facts, FactsRequest
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.proposals import (
    FlipFlag,
    Lever,
    Measurement,
    NoAction,
    Proposal,
    RevertChange,
    RollBack,
    Step,
)
from leverframe.model.signals import ErrorBatch, Signal

MIN_SAMPLED = 5
"""Fewer events than this name no suspect."""
_BEFORE_ESCALATION = timedelta(hours=1)
"""The tracker's word comes late: its errors are older."""


class SpikeState(Frozen):
    """One error group, as the agent remembers it."""

    tuning: Tuning
    stream: Stream | None = None
    escalating: bool = False
    """The error tracker itself said so since the last run."""
    escalating_since: Instant | None = None
    cooldown_until: Instant | None = None


class SentrySpike:
    """Watches the events of one error group; proposes a flag kill, then a roll-back, then a revert."""

    name = "sentry_spike"
    watches = ErrorBatch
    may_propose = frozenset({Lever.FLIP_FLAG, Lever.ROLL_BACK, Lever.OPEN_MERGE_REQUEST})
    state_type = SpikeState

    def initial(self, tuning: dict[str, int]) -> SpikeState:
        """Raises BadConfiguration for tuning that can't be used."""
        return SpikeState(tuning=Tuning.of(tuning))

    def observe(self, state: SpikeState, signal: Signal) -> SpikeState:
        """Count the batch's events in the ticks they came in; none may lie after the batch itself."""
        batch = of_kind(signal, ErrorBatch)
        now = _second(batch.received_at)
        counts = [(min(max(c.second, now - DAY), now), c.count) for c in batch.counts]
        stream = state.stream or detector.begin(min(second for second, _ in counts), state.tuning)
        stream = detector.advance(detector.add(stream, counts, state.tuning), now, state.tuning)
        escalating = state.escalating or signal.escalating
        return SpikeState(
            tuning=state.tuning,
            stream=stream,
            escalating=escalating,
            escalating_since=state.escalating_since or (signal.received_at if signal.escalating else None),
            cooldown_until=state.cooldown_until,
        )

    def decide(self, state: SpikeState, now: datetime) -> tuple[SpikeState, Due | Wait | Nothing]:
        """Due when the evidence passes the threshold and no run has settled just now.

        Silence only lowers the evidence, so there is nothing to wait for but a cooldown.
        """
        if state.stream is None:
            return state, Nothing()
        stream = detector.advance(state.stream, _second(now), state.tuning)
        state = state.model_copy(update={"stream": stream})
        reading = detector.read(stream, _second(now), state.tuning)
        if not (reading.alarm or state.escalating):
            return state, Nothing()
        if state.cooldown_until and now < state.cooldown_until:
            return state, Wait(until=state.cooldown_until)
        return state, _due(state, reading)

    def settled(self, state: SpikeState, now: datetime) -> SpikeState:
        """Evidence starts afresh and a cooldown begins; what was learned of the stream stays."""
        stream = state.stream and detector.rearm(state.stream, _second(now), state.tuning)
        return SpikeState(
            tuning=state.tuning,
            stream=stream,
            cooldown_until=now + timedelta(seconds=state.tuning.cooldown_seconds),
        )

    def needs(self, due: Due, context: RunContext) -> FactsRequest:
        """The events since the spike began, and the commits that may have brought it."""
        return ErrorFactsRequest(
            repository=context.repository, service=context.service, subject=context.subject, since=due.since
        )

    def propose(self, due: Due, facts: Facts, context: RunContext) -> Proposal | NoAction:
        """Stop the harm with each lever that has a strong suspect, fastest first; undo the suspect commit."""
        facts = of_kind(facts, ErrorFacts)
        if facts.sampled < MIN_SAMPLED:
            return NoAction(why=f"only {facts.sampled} events to look at; {MIN_SAMPLED} are needed")
        suspects = rank(facts)
        mitigations = _mitigate(facts, suspects, context)
        first = mitigations[0] if mitigations else None
        repair = _repair(due, facts, suspects, mitigations, context)
        steps = tuple(step for step in (*mitigations, repair, _restore(first, repair)) if step)
        if not steps:
            return NoAction(why=_thin(facts, suspects))
        return Proposal(
            id=context.run,
            agent=self.name,
            repository=context.repository,
            service=context.service,
            subject=context.subject,
            summary=_summary(due, mitigations, repair),
            title=facts.title,
            evidence=due.evidence,
            suspects=suspects.all,
            steps=steps,
            lineage=lineage(facts, suspects, first.effect if first else None),
            requesters=requesters(facts, suspects),
            flag_under_test=suspects.flag.name if suspects.flag else None,
        )


def _summary(due: Due, mitigations: tuple[Step, ...], repair: Step | None) -> str:
    """What was seen, and the ladder in words."""
    stops = ", or if errors go on ".join(step.why for step in mitigations)
    return f"{due.reason}; " + ", then ".join(part for part in (stops, repair.why if repair else "") if part)


def _due(state: SpikeState, reading: Reading) -> Due:
    """The reading in words and numbers."""
    span = _span(WINDOW * state.tuning.tick_seconds)
    expected = f"{reading.expected:.1f}"
    reason = f"{reading.events:,} errors in the last {span}, where {expected} were expected"
    evidence = _measured(state.tuning, reading, span)
    if reading.new_group:
        reason = f"a new error group: {reason}"
    if state.escalating:
        evidence.append(
            Measurement(name="the error tracker says it escalates", observed=1, threshold=1, unit="verdicts")
        )
    since = datetime.fromtimestamp(reading.onset, UTC)
    if not reading.alarm and state.escalating_since:
        since = min(since, state.escalating_since - _BEFORE_ESCALATION)
    return Due(reason=reason, evidence=tuple(evidence), since=since)


def _measured(tuning: Tuning, reading: Reading, span: str) -> list[Measurement]:
    """What was seen and what was needed, by the rule that applies to the stream."""
    errors = Measurement(
        name=f"errors in the last {span}",
        observed=reading.events,
        threshold=max(ceil(MIN_RATIO * reading.expected), ceil(reading.expected) + MIN_EXCESS),
        unit="errors",
    )
    change = Measurement(
        name="evidence of a change",
        observed=int(reading.evidence * 1000),
        threshold=int(reading.threshold * 1000),
        unit="nats / 1000",
    )
    if reading.storm:
        return [errors.model_copy(update={"threshold": tuning.new_group_storm_events}), change]
    if not reading.new_group:
        return [change, errors]
    ticks = Measurement(
        name=f"ticks of {_span(tuning.tick_seconds)} with errors",
        observed=reading.active_ticks,
        threshold=tuning.new_group_active_ticks,
        unit="ticks",
    )
    return [change, ticks]


def _mitigate(facts: ErrorFacts, suspects: Suspects, context: RunContext) -> tuple[Step, ...]:
    """The rungs that stop the harm, fastest first: the flag if one is strong, and the release if it is."""
    steps = []
    if flag := suspects.flag:
        state = next((state for state in facts.flag_states if state.flag == flag.name), None)
        steps.append(
            Step(
                purpose="mitigate",
                effect=FlipFlag(flag=flag.name, on=False),
                why=f"switch the flag {flag.name} off ({flag.why})",
                restore_after_minutes=state.restore_after_minutes if state else None,
            )
        )
    release = suspects.bad_release
    if release and facts.previous and facts.previous != facts.live:
        back = RollBack(service=context.service, to=facts.previous)
        steps.append(
            Step(
                purpose="mitigate",
                effect=back,
                why=f"put production back to {facts.previous[:12]} ({release.why})",
                lineage=lineage(facts, suspects, back),
                requesters=step_requesters(facts, suspects, back),
            )
        )
    return tuple(steps)


def _repair(
    due: Due, facts: ErrorFacts, suspects: Suspects, mitigations: tuple[Step, ...], context: RunContext
) -> Step | None:
    """The revert of the suspect commit. What an agent made, only a person undoes: agents must not duel."""
    commit = suspects.commit
    if commit is None or made_by_agent(facts, commit.name) or is_first(facts, commit.name):
        return None
    return Step(
        purpose="repair",
        effect=RevertChange(
            repository=context.repository,
            commit=commit.name,
            title=report.title(commit.name, context.subject),
            body=report.body(
                due=due,
                facts=facts,
                suspects=suspects,
                commit=commit,
                mitigations=tuple(step.effect for step in mitigations),
                context=context,
            ),
        ),
        why=f"undo {commit.name[:12]} ({commit.why})",
    )


def _restore(mitigation: Step | None, repair: Step | None) -> Step | None:
    """The killed flag back on, for when the repair is proven."""
    if mitigation is None or repair is None or not isinstance(mitigation.effect, FlipFlag):
        return None
    flag = mitigation.effect.flag
    return Step(
        purpose="restore",
        effect=FlipFlag(flag=flag, on=True),
        why=f"switch the flag {flag} back on: the commit behind it is undone and checked",
    )


def _thin(facts: ErrorFacts, suspects: Suspects) -> str:
    """Why nothing is proposed."""
    commit = suspects.commit
    if commit and made_by_agent(facts, commit.name):
        return f"the suspect commit {commit.name[:12]} was made by an agent: a person should look"
    if commit and is_first(facts, commit.name):
        return (
            f"the suspect commit {commit.name[:12]} is the repository's first, with nothing before it to go "
            "back to: a person should mend it"
        )
    best = next(iter(suspects.all), None)
    if best is None:
        return f"none of {facts.sampled} sampled errors names a flag, a release or a commit of ours"
    return f"no suspect is strong enough; the best is the {best.kind} {short(best)}: {best.why}"


def _second(instant: datetime) -> int:
    return int(instant.timestamp())


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
