"""The ledger's book: what its events, applied one after the other, make of it.

Nothing is decided here. The ledger applies what it decided; replay and simulation apply what was recorded.
What a command asks for is found by key or bisection, however much is in the book.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from datetime import datetime
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import TypeVar

from policies import events
from policies.documents import PolicySnapshot
from policies.events import Event
from policies.intent import Intent
from policies.layering import is_about
from policies.reservations import (
    Deferral,
    EndedQuestion,
    Entry,
    LedgerState,
    ParkedRun,
    PauseRequest,
    Phase,
    SpentApproval,
)
from policies.retention import (
    MAX_ENTRIES,
    MAX_PARKED,
    MAX_SHADOWS,
    MEMORY,
    OUTCOMES,
    PARKED_MEMORY,
    ended,
    horizon,
    question_memory,
    run_of,
    shadow_use,
    slim,
    subjects_full,
    use_of,
)
from policies.usage import Pause, Rejection, Sighting, Usage, UsageDocument

MAX_DEFERRALS = 1000
"""More questions than this wait for no digest: the oldest is asked about again."""

K = TypeVar("K")
T = TypeVar("T")


class Book:
    """Mutable and deterministic: the same events at the same times make the same book in any process."""

    def __init__(self, state: LedgerState) -> None:
        self._open(state)

    def _open(self, state: LedgerState) -> None:
        self.entries = {entry.id: entry for entry in state.entries}
        """In the order of their reservation."""
        self.shadow = {entry.id: entry for entry in state.shadow}
        self.spent = {spent.approval: spent for spent in state.spent_approvals}
        self.deferrals = {(each.question.approval, each.question.group): each for each in state.deferrals}
        self.questions = {(asking.approval, asking.group): asking for asking in state.questions}
        self.ended_questions = {each.approval: each for each in state.ended_questions}
        self.parked = {run.run: run for run in state.parked}
        self.refused_policy = state.refused_policy
        self.began_anew = state.began_anew
        self.files = sum(_files(entry) for entry in state.entries)
        """How many files of differences the entries list together."""
        self._index(
            state.snapshot,
            UsageDocument(
                rejections=state.rejections,
                sightings=state.sightings,
                questions=state.questions,
                pauses=state.pauses,
                demotions=state.demotions,
            ),
        )

    def state(self) -> LedgerState:
        """Everything but the audit chain. Its order does not depend on when what is old was swept away."""
        known = self.usage.document()
        return LedgerState(
            snapshot=self.snapshot,
            entries=tuple(self.entries.values()),
            shadow=tuple(self.shadow.values()),
            spent_approvals=_sorted(self.spent.values(), "expires_at", "approval"),
            rejections=_sorted(known.rejections, "at", "repository", "service", "subject", "lever"),
            sightings=_sorted(known.sightings, "at", "repository", "service", "subject"),
            questions=_sorted(self.questions.values(), "at", "approval", "group"),
            deferrals=_sorted(self.deferrals.values(), "question.at", "question.approval", "question.group"),
            ended_questions=_sorted(self.ended_questions.values(), "at", "approval"),
            pauses=self.usage.pauses,
            demotions=self.usage.demotions,
            parked=tuple(self.parked.values()),
            refused_policy=self.refused_policy,
            began_anew=self.began_anew,
        )

    def _index(self, snapshot: PolicySnapshot, known: UsageDocument) -> None:
        """Build everything that is derived from the snapshot and the entries."""
        self.snapshot = snapshot
        self._horizon = horizon(snapshot)
        used = {
            entry.id: use_of(entry) for entry in self.entries.values() if entry.phase is not Phase.RELEASED
        }
        self.usage = Usage(snapshot, known.model_copy(update={"uses": tuple(used.values())}), tuple(used))
        self.shadow_usage = Usage(snapshot, known.model_copy(update={"uses": ()}))
        for shadow in self.shadow.values():
            if shadow.would == "allow":
                self.shadow_usage.add(shadow.id, shadow_use(shadow))
        self._leases = [(e.lapses_at, e.id) for e in self.entries.values() if e.phase is Phase.RESERVED]
        self._released = [(ended(e), e.id) for e in self.entries.values() if e.phase is Phase.RELEASED]
        self._settled = [(ended(e), e.id) for e in self.entries.values() if e.phase is Phase.SETTLED]
        self._breakers = [document for document in snapshot.documents if document.rules.breaker]
        self._outcomes: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
        self._overdue: dict[str, None] = {}
        for heap in (self._leases, self._released, self._settled):
            heapify(heap)
        for at, name in sorted(self._settled):
            self._remember_outcome(at, self.entries[name])

    # What time does.

    def due(self, now: datetime) -> list[str]:
        """Reservations that nobody committed in time, in the order of their leases."""
        names = []
        while (lease := self.next_lapse()) is not None and lease <= now:
            names.append(heappop(self._leases)[1])
        return names

    def next_lapse(self) -> datetime | None:
        """When the next lease runs out."""
        while self._leases:
            at, name = self._leases[0]
            entry = self.entries.get(name)
            if entry is not None and entry.phase is Phase.RESERVED:
                return at
            heappop(self._leases)
        return None

    def forget(self, now: datetime) -> None:
        """Drop the ended entries that no rule can see any more; a late retry finds them no longer."""
        while self._released and self._released[0][0] <= now - MEMORY:
            self._drop(heappop(self._released)[1])
        while self._settled and self._settled[0][0] <= now - self._horizon:
            at, name = heappop(self._settled)
            if self._for_breakers(at, self.entries[name]):
                self._overdue[name] = None
            else:
                self._drop(name)
        while (
            oldest := next(iter(self.shadow.values()), None)
        ) and oldest.at <= now - self._horizon - MEMORY:
            self._drop_shadow(oldest.id)

    def sweep(self, now: datetime) -> None:
        """Drop everything else that is too old to change an answer. It only saves room."""
        self.forget(now)
        self.usage.forget(now)
        self.shadow_usage.forget(now)
        memory = question_memory(self.snapshot)
        _keep(self.questions, lambda question: question.at + memory > now)
        _keep(self.spent, lambda spent: spent.expires_at > now)
        _keep(self.deferrals, lambda deferral: deferral.question.at + MEMORY > now)
        _keep(self.ended_questions, lambda question: question.at + MEMORY > now)
        _keep(self.parked, lambda run: run.asked_at + PARKED_MEMORY > now)

    def _drop(self, name: str) -> None:
        entry = self.entries.pop(name)
        self._overdue.pop(name, None)
        if entry.phase is not Phase.RELEASED:
            self.usage.drop(name)

    def _drop_shadow(self, name: str) -> None:
        if self.shadow.pop(name).would == "allow":
            self.shadow_usage.drop(name)

    @property
    def overdue(self) -> int:
        """How many outcomes are kept for breakers alone. They go, oldest first, when there is no room."""
        return len(self._overdue)

    def _remember_outcome(self, at: datetime, entry: Entry) -> None:
        """The newest outcomes of an agent are kept for each breaker, however old they are."""
        for record in self._records(entry):
            newest = self._outcomes.setdefault(record, [])
            insort(newest, (at, entry.id))
            if len(newest) > OUTCOMES:
                before, name = newest.pop(0)
                if name in self._overdue and not self._for_breakers(before, self.entries[name]):
                    self._drop(name)

    def _for_breakers(self, at: datetime, entry: Entry) -> bool:
        """Whether a breaker can read the outcome, which was known at `at`."""
        return any((at, entry.id) in self._outcomes[record] for record in self._records(entry))

    def _records(self, entry: Entry) -> list[tuple[str, str]]:
        """The breakers that look at the effect, each by its file, and the agent."""
        agent = entry.intent.agent
        return [(each.file, agent) for each in self._breakers if is_about(each, entry.intent)]

    # What events do.

    def apply(self, event: Event, at: datetime, snapshot: PolicySnapshot | None = None) -> None:
        """One event. `snapshot` comes with `installed`, whose record only names it."""
        match event:
            case events.Granted() | events.EscalatedEvent() | events.DeniedEvent() | events.Shadowed():
                self._answer(event, at)
            case events.CommittedEvent():
                self._change(event.reservation, phase=Phase.COMMITTED)
            case events.Lapsed():
                self._change(event.reservation, phase=Phase.LAPSED)
            case events.Released() | events.WithdrawnEvent(gives_back=True):
                self._give_back(event.reservation, at)
            case events.Settled():
                self._settle(event, at)
            case events.Scored():
                self._score(event, at)
            case events.InstalledEvent():
                self._install(snapshot, at)
            case events.Paused() | events.Resumed() | events.Demoted() | events.PromotedEvent():
                self._switch(event, at)
            case events.PolicyRefused():
                self.refused_policy = event.refused
            case events.Asked() | events.DeferredEvent() | events.Answered():
                self._people(event)
            case events.Began():
                self._open(LedgerState(began_anew=at))

    def _answer(
        self,
        event: "events.Granted | events.EscalatedEvent | events.DeniedEvent | events.Shadowed",
        at: datetime,
    ) -> None:
        match event:
            case events.Granted():
                run, intent = run_of(event.entry.id), event.entry.intent
                self._grant(event)
            case events.Shadowed():
                run, intent = run_of(event.entry.id), event.entry.intent
                self._cast_shadow(event)
            case _:
                run, intent = run_of(event.reservation), event.intent
        if isinstance(event, events.DeniedEvent) and event.parked:
            self._park(run, event.words, at)
        else:
            self.parked.pop(run, None)
        self._see(intent, at)

    def _grant(self, event: events.Granted) -> None:
        entry = event.entry
        while len(self.entries) >= MAX_ENTRIES and self._overdue:
            self._drop(next(iter(self._overdue)))
        self.entries[entry.id] = entry
        self.files += _files(entry)
        self.usage.add(entry.id, use_of(entry))
        heappush(self._leases, (entry.lapses_at, entry.id))
        if event.approval is not None:
            spent = SpentApproval(approval=event.approval.approval, expires_at=event.approval.expires_at)
            self.spent[spent.approval] = spent

    def _cast_shadow(self, event: events.Shadowed) -> None:
        if len(self.shadow) >= MAX_SHADOWS:
            self._drop_shadow(next(iter(self.shadow)))
        shadow = event.entry.model_copy(update={"intent": slim(event.entry.intent)})
        self.shadow[shadow.id] = shadow
        if shadow.would == "allow":
            self.shadow_usage.add(shadow.id, shadow_use(shadow))

    def _park(self, run: str, words: str, at: datetime) -> None:
        before = self.parked.pop(run, None)
        since = before.since if before and before.asked_at + PARKED_MEMORY > at else at
        if len(self.parked) >= MAX_PARKED:
            del self.parked[next(iter(self.parked))]
        self.parked[run] = ParkedRun(run=run, words=words, since=since, asked_at=at)

    def _see(self, intent: Intent, at: datetime) -> None:
        if subjects_full(self.usage, intent, at):
            return
        sighting = Sighting(
            repository=intent.repository, service=intent.service, subject=intent.subject, at=at
        )
        self.usage.see(sighting)
        self.shadow_usage.see(sighting)

    def _change(self, name: str, **changes: object) -> Entry:
        """A reservation that is not waiting for its commit any more needs less of what it asked for."""
        before = self.entries[name]
        after = before.model_copy(update={"intent": slim(before.intent), **changes})
        self.files += _files(after) - _files(before)
        self.entries[name] = after
        return after

    def _give_back(self, name: str, at: datetime) -> None:
        self._change(name, phase=Phase.RELEASED, lifted=(), ended_at=at)
        self.usage.drop(name)
        heappush(self._released, (at, name))

    def _settle(self, event: events.Settled, at: datetime) -> None:
        said = event.settlement
        entry = self._change(
            said.reservation,
            phase=Phase.SETTLED,
            lifted=(),
            ended_at=at,
            outcome=said.outcome,
            actual=said.actual,
            settled_by=said.settled_by,
        )
        self.usage.add(entry.id, use_of(entry))
        heappush(self._settled, (at, entry.id))
        self._remember_outcome(at, entry)

    def _score(self, event: events.Scored, at: datetime) -> None:
        shadow = self.shadow[event.score.id].model_copy(
            update={"matched": event.score.matched, "scored_at": at}
        )
        self.shadow[shadow.id] = shadow
        if shadow.would == "allow":
            self.shadow_usage.add(shadow.id, shadow_use(shadow))

    def _install(self, snapshot: PolicySnapshot | None, at: datetime) -> None:
        """What the old policy could not see any more is forgotten first, whenever that was last done."""
        if snapshot is None:
            raise ValueError("an `installed` event is applied with its snapshot")
        self.sweep(at)
        known = self.usage.document()
        self._index(snapshot, known.model_copy(update={"questions": tuple(self.questions.values())}))
        self.refused_policy = None

    def _switch(
        self, event: "events.Paused | events.Resumed | events.Demoted | events.PromotedEvent", at: datetime
    ) -> None:
        usage = self.usage
        match event:
            case events.Paused():
                usage.pauses = (*usage.pauses, _pause(event.request, at))
            case events.Resumed():
                scope = (event.request.agent, event.request.repository)
                usage.pauses = tuple(p for p in usage.pauses if (p.agent, p.repository) != scope)
            case events.Demoted():
                usage.demotions = (*usage.demotions, event.demotion)
            case events.PromotedEvent():
                usage.demotions = tuple(d for d in usage.demotions if d.agent != event.request.agent)
        self.shadow_usage.pauses, self.shadow_usage.demotions = usage.pauses, usage.demotions

    def _people(self, event: "events.Asked | events.DeferredEvent | events.Answered") -> None:
        match event:
            case events.Asked():
                self.questions[event.question.approval, event.question.group] = event.question
                self.usage.ask(event.question)
            case events.DeferredEvent():
                if len(self.deferrals) >= MAX_DEFERRALS:
                    del self.deferrals[next(iter(self.deferrals))]
                key = (event.question.approval, event.question.group)
                self.deferrals[key] = Deferral(question=event.question, findings=event.findings)
            case events.Answered():
                self._ended(event)

    def _ended(self, event: events.Answered) -> None:
        answer = event.answer
        self.ended_questions[answer.approval] = EndedQuestion(approval=answer.approval, at=answer.ended_at)
        if answer.state == "rejected":
            rejection = Rejection(
                repository=answer.repository,
                service=answer.service,
                subject=answer.subject,
                lever=answer.lever,
                at=answer.ended_at,
            )
            self.usage.reject(rejection)
            self.shadow_usage.reject(rejection)


def _sorted(values: Iterable[T], *names: str) -> tuple[T, ...]:
    return tuple(sorted(values, key=attrgetter(*names)))


def _keep(kept: dict[K, T], wanted: Callable[[T], bool]) -> None:
    """Drop the rest, in place."""
    for key in [key for key, value in kept.items() if not wanted(value)]:
        del kept[key]


def _pause(request: PauseRequest, at: datetime) -> Pause:
    return Pause(
        by=request.by, reason=request.reason, since=at, agent=request.agent, repository=request.repository
    )


def _files(entry: Entry) -> int:
    return len(entry.intent.difference.files) if entry.intent.difference else 0
