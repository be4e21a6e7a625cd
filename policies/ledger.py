"""The ledger: grants effects, each atomically against every limit, and remembers why.

A command decides events, applies them to the book and chains each into an audit record. Nothing here waits
and nothing asks the clock, so whoever gives one command after the other never grants more than the policy
allows, and the same commands at the same times lead to the same records.
"""

from datetime import datetime, timedelta

from leverframe.model.errors import BadInput, Conflict, NotFound
from policies import breaker, events, granting
from policies.answers import (
    audit_full,
    full,
    log_unknown,
    standing,
    used_up,
)
from policies.approvals import in_the_way
from policies.audit import Head, Record, chain
from policies.book import Book
from policies.decision import Decision, Finding, ReserveRequest
from policies.documents import PolicySnapshot
from policies.evaluate import attention
from policies.explain import LOST
from policies.intent import Intent
from policies.layering import applicable
from policies.reservations import (
    AnsweredQuestion,
    Attended,
    AttentionAnswer,
    AttentionRequest,
    CommitAnswer,
    Committed,
    Deferred,
    Entry,
    Installed,
    LedgerState,
    PauseRequest,
    PauseState,
    Phase,
    Promoted,
    PromoteRequest,
    RefusedPolicy,
    Settlement,
    ShadowScore,
    Standing,
    Withdrawn,
    packed,
)
from policies.retention import MAX_CARRIED, MEMORY
from policies.rules import Autonomy
from policies.usage import Asking, Demotion

MAX_ID = 300
MAX_SUBJECT = 200

MAX_UNWRITTEN = 200
"""Past so many records that the store does not have, nothing is granted: what is not recorded is not done."""

BYTES_A_RECORD = 2000
"""A long record counts as one more for each so many bytes."""

MEASURE_AFTER = 50_000
"""Bytes of new records after which a ledger without room measures what it carries again."""

SWEEP_EVERY = timedelta(minutes=1)


class Ledger:
    """One organisation's ledger. Mutable; every command takes the time."""

    def __init__(self, state: LedgerState, *, carried: int | None = None) -> None:
        """`carried`: the bytes of the state when packed, if they are known."""
        self.book = Book(state)
        self._carried = MAX_CARRIED if carried is None else carried
        self._grown = 0
        """At most so many bytes more than were carried when that was last measured."""
        self._measured_at: datetime | None = None
        self.head = state.audit_head
        """The newest audit record."""
        self.unwritten = list(state.unwritten)
        """Audit records that the store does not have yet, oldest first."""
        self._weight = sum(_weight(record) for record in self.unwritten)
        self._swept_at: datetime | None = None
        self.log_known = True
        """Whether it is known where the store's log ends. Until then nothing is granted."""

    @property
    def state(self) -> LedgerState:
        """Everything it knows, as a value. Costs time for each entry: for a new run, a page, a test."""
        return self.book.state().model_copy(
            update={"audit_head": self.head, "unwritten": tuple(self.unwritten)}
        )

    def known(self, reservation: str) -> Entry:
        """The reservation of that id. Raises NotFound when the ledger does not know it."""
        entry = self.book.entries.get(reservation)
        if entry is None:
            raise NotFound(f"the ledger does not know the reservation {reservation}")
        return entry

    def check_reserve(self, request: ReserveRequest) -> None:
        """Whether the request can be answered at all.

        Raises:
            BadInput: an id or a subject that is empty or too long to keep.
            Conflict: the id stands for another effect.
        """
        if not 0 < len(request.reservation) <= MAX_ID:
            raise BadInput(f"a reservation id has 1 to {MAX_ID} characters")
        if not 0 < len(request.subject) <= MAX_SUBJECT:
            raise BadInput(f"a subject has 1 to {MAX_SUBJECT} characters")
        known = self.book.entries.get(request.reservation) or self.book.shadow.get(request.reservation)
        if known is not None and known.intent.request_digest != request.digest:
            raise Conflict(f"the reservation {request.reservation} stands for another effect: use a new id")

    def reserve(self, request: ReserveRequest, now: datetime) -> Decision:
        """Take a place under every limit at once, or none. A refusal uses nothing up.

        The same request again gets the same reservation; one that has ended is never granted again.
        Raises as `check_reserve` does.
        """
        self.check_reserve(request)
        self._advance(now)
        decision, event = granting.decide(self.book, request, now, unrecorded=self._unrecorded(now))
        if event is not None:
            self._record(event, now)
        return decision

    def commit(self, reservation: str, now: datetime) -> CommitAnswer:
        """The last question before the effect: does the policy, as it is now, still allow it?

        The kill switch, a pause and every rule are asked again. What people lifted stays lifted only under
        the policy that they saw. A withdrawn reservation is given back, unless it had lapsed.

        Raises:
            NotFound: the ledger does not know the reservation.
        """
        self._advance(now)
        entry = self.known(reservation)
        match entry.phase:
            case Phase.COMMITTED:
                return Committed(reservation=reservation)
            case Phase.RESERVED:
                live = in_the_way(self.book, entry, now)
            case _:
                live = (used_up(entry),)
        if not live:
            self._record(events.CommittedEvent(reservation=reservation), now)
            return Committed(reservation=reservation)
        digest = self.book.snapshot.digest
        if entry.open:
            gives_back = entry.phase is Phase.RESERVED
            withdrawn = events.WithdrawnEvent(
                reservation=reservation, findings=live, policy_digest=digest, gives_back=gives_back
            )
            self._record(withdrawn, now)
        return Withdrawn(reservation=reservation, findings=live, policy_digest=digest)

    def release(self, reservation: str, now: datetime) -> Standing:
        """The effect certainly did not happen: give the place back.

        Only a reservation that is neither committed nor lapsed is given back; any other stays as it is.

        Raises:
            NotFound: the ledger does not know the reservation.
        """
        self._advance(now)
        if self.known(reservation).phase is Phase.RESERVED:
            self._record(events.Released(reservation=reservation), now)
        return standing(self.known(reservation))

    def settle(self, settlement: Settlement, now: datetime) -> Standing:
        """It is known how the effect ended: concurrency is free again, windows still count it.

        The first outcome stands. An outcome that opens a breaker lowers the agent until a person promotes it.

        Raises:
            NotFound: the ledger does not know the reservation.
        """
        self._advance(now)
        entry = self.known(settlement.reservation)
        if entry.open:
            self._record(events.Settled(settlement=settlement), now)
            self._demote(entry.intent, settlement, now)
        return standing(self.known(settlement.reservation))

    def lapse(self, now: datetime) -> None:
        """Reservations that nobody committed in time: their outcome is unknown, so they keep their place."""
        self._advance(now)
        self.book.sweep(now)

    def next_lapse(self) -> datetime | None:
        """When the next reservation lapses if nobody commits it."""
        return self.book.next_lapse()

    def pause(self, request: PauseRequest, now: datetime) -> PauseState:
        """Stop every reserve and commit within the scope until `resume`. A second pause keeps the first."""
        self._advance(now)
        if not self._paused(request):
            self._record(events.Paused(request=request), now)
        return PauseState(pauses=self.book.usage.pauses)

    def resume(self, request: PauseRequest, now: datetime) -> PauseState:
        """Lift the pause of exactly that scope; any other stays."""
        self._advance(now)
        if self._paused(request):
            self._record(events.Resumed(request=request), now)
        return PauseState(pauses=self.book.usage.pauses)

    def promote(self, request: PromoteRequest, now: datetime) -> Promoted:
        """A person lifts an agent's demotion: the policy files decide again."""
        self._advance(now)
        if self._demoted(request.agent):
            self._record(events.PromotedEvent(request=request), now)
        return Promoted(demotions=self.book.usage.demotions)

    def install(self, snapshot: PolicySnapshot, now: datetime) -> Installed:
        """Put a policy in force. What is reserved stays so; its commit asks the new policy."""
        self._advance(now)
        changed = snapshot.digest != self.book.snapshot.digest
        if changed:
            files = tuple(document.file for document in snapshot.documents)
            self._record(events.InstalledEvent(policy_digest=snapshot.digest, files=files), now, snapshot)
        else:
            self.book.snapshot = snapshot  # the same rules, maybe on other lines
            self.refuse_policy(None, now)
        return Installed(policy_digest=snapshot.digest, changed=changed)

    def refuse_policy(self, refused: RefusedPolicy | None, now: datetime) -> None:
        """A newer policy can't be installed, and the old one stays; None: the trouble is over."""
        self._advance(now)
        before = self.book.refused_policy
        if refused is None and before is None:
            return
        if refused and before and (refused.revision, refused.problems) == (before.revision, before.problems):
            return
        self._record(events.PolicyRefused(refused=refused), now)

    def attend(self, request: AttentionRequest, now: datetime) -> AttentionAnswer:
        """May this question be put to these people now? The same question again gets the same answer."""
        self._advance(now)
        key = (request.approval, request.group)
        deferral = self.book.deferrals.get(key)
        if deferral is not None and deferral.question.at + MEMORY > now:
            return Deferred(findings=deferral.findings)
        question = self.book.questions.get(key)
        if question is not None and question.at + MEMORY > now:
            return Attended()
        asking = Asking(**dict(request), at=now)
        findings = attention(self.book.snapshot, asking, self.book.usage, now)
        if findings:
            self._record(events.DeferredEvent(question=asking, findings=findings), now)
            return Deferred(findings=findings)
        self._record(events.Asked(question=asking), now)
        return Attended()

    def answered(self, answer: AnsweredQuestion, now: datetime) -> None:
        """A question to people has ended; its end is recorded once."""
        self._advance(now)
        before = self.book.ended_questions.get(answer.approval)
        if before is None or before.at + MEMORY <= now:
            self._record(events.Answered(answer=answer), now)

    def score(self, score: ShadowScore, now: datetime) -> None:
        """What people did instead of an agent in observe mode. The first word stands.

        Raises:
            NotFound: nothing of that id was observed, or it is too long ago.
        """
        self._advance(now)
        shadow = self.book.shadow.get(score.id)
        if shadow is None:
            raise NotFound(f"the ledger does not know the observation {score.id}")
        if shadow.matched is None:
            self._record(events.Scored(score=score), now)

    def written(self, sequence: int) -> None:
        """The store has the audit records up to this one."""
        kept = [record for record in self.unwritten if record.sequence > sequence]
        self.unwritten = kept
        self._weight = sum(_weight(record) for record in kept)

    @property
    def unplaced(self) -> bool:
        """Whether the store is not known to have anything that it wrote: its place in the log may change."""
        if not self.unwritten:
            return self.head.sequence == 0
        return self.unwritten[0].sequence == 1 or self.unwritten[0].kind == "began"

    def follow(self, end: Head, now: datetime) -> bool:
        """Go on where the store's log ends; true when that is after records that it knows nothing of.

        Then the records that the store does not have are chained again, after one that says that the ledger
        began anew, and everything is paused until a person has looked at what it does not know. Only a
        ledger that is `unplaced` may move: the records of any other have their numbers.
        The same end again changes nothing, nor does one that is among its own records.
        """
        self.log_known = True
        if not self.unplaced or end == self._follows():
            return False
        if any(record.as_head() == end for record in self.unwritten):
            self.written(end.sequence)
            return False
        moved = [record for record in self.unwritten if record.kind != "began"]
        at = self.unwritten[0].at if self.unwritten else now
        self.head, self.unwritten, self._weight = end, [], 0
        self._append(events.recorded(end, events.Began(after=end), at))
        for record in moved:
            self._append(chain(self.head, record.kind, record.data, record.at))
        self.book.began_anew = at
        self.pause(PauseRequest(by="ledger", reason=f"it began anew: {LOST}"), now)
        return True

    def _follows(self) -> Head:
        """The end of the log that the records which the store does not have were chained to."""
        if not self.unwritten:
            return self.head
        oldest = self.unwritten[0]
        return Head(sequence=oldest.sequence - 1, hash=oldest.previous)

    # How a command is decided.

    def _unrecorded(self, now: datetime) -> Finding | None:
        """Why nothing can be recorded now, and so nothing new be granted."""
        if not self.log_known:
            return log_unknown(now)
        if self._weight >= MAX_UNWRITTEN:
            return audit_full(MAX_UNWRITTEN)
        carried = self._bytes(now)
        return full(f"{carried} bytes to carry on", MAX_CARRIED) if carried >= MAX_CARRIED else None

    def _bytes(self, now: datetime) -> int:
        """What the state needs when packed, or more. It is packed only when that could be too much."""
        if self._carried + self._grown >= MAX_CARRIED:
            waited = self._measured_at is None or now >= self._measured_at + SWEEP_EVERY
            if waited or self._grown >= MEASURE_AFTER:
                self._carried, self._grown, self._measured_at = len(packed(self.state)), 0, now
        return self._carried + self._grown

    def _advance(self, now: datetime) -> None:
        """Let lapse what is due, and forget what no rule can see any more."""
        for reservation in self.book.due(now):
            self._record(events.Lapsed(reservation=reservation), now)
        self.book.forget(now)
        if self._swept_at is None or now >= self._swept_at + SWEEP_EVERY:
            self.book.sweep(now)
            self._swept_at = now

    def _record(self, event: events.Event, now: datetime, snapshot: PolicySnapshot | None = None) -> None:
        self._append(events.recorded(self.head, event, now))
        self.book.apply(event, now, snapshot)

    def _append(self, record: Record) -> None:
        self.head = record.as_head()
        self.unwritten.append(record)
        self._weight += _weight(record)
        self._grown += 2 * len(record.line())  # as a record that waits, and as what the book makes of it

    def _demote(self, intent: Intent, settlement: Settlement, now: datetime) -> None:
        """Outcomes demote by themselves; they never promote."""
        if self._demoted(intent.agent):
            return
        usage = self.book.usage
        for document in applicable(self.book.snapshot, intent):
            settings = document.rules.breaker
            if settings and breaker.tripped(settings, usage.history(document, intent.agent), now):
                demotion = Demotion(
                    agent=intent.agent,
                    to=Autonomy.ACT_WITH_APPROVAL,
                    since=now,
                    reason=(
                        f"{document.name}.breaker opened: {settlement.reservation} "
                        f"ended as {settlement.outcome.value}"
                    ),
                )
                self._record(events.Demoted(demotion=demotion), now)
                return

    def _paused(self, request: PauseRequest) -> bool:
        scope = (request.agent, request.repository)
        return any((pause.agent, pause.repository) == scope for pause in self.book.usage.pauses)

    def _demoted(self, agent: str) -> bool:
        return any(demotion.agent == agent for demotion in self.book.usage.demotions)


def _weight(record: Record) -> int:
    """How many records it counts as while it is unwritten."""
    return 1 + len(record.line()) // BYTES_A_RECORD
