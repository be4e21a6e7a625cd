"""The ledger: a pure state machine that grants effects, each atomically against every limit.

Each command takes the state and the time and returns the next state and an answer. Nothing here waits, so
whoever applies one command after the other never grants more than the policy allows.
"""

from datetime import datetime, timedelta

from leverframe.model.errors import BadInput, Conflict, NotFound
from leverframe.model.outcomes import Outcome
from policies.approvals import objection
from policies.decision import Allowed, Decision, Denied, Escalated, Finding, ReserveRequest, Verdict
from policies.documents import PolicySnapshot
from policies.evaluate import Evaluation, Pause, evaluate
from policies.reservations import (
    LEASE,
    CommitAnswer,
    Committed,
    Entry,
    Installed,
    LedgerState,
    PauseRequest,
    Phase,
    SettledBy,
    SpentApproval,
    Standing,
    Withdrawn,
)
from policies.usage import Intent, longest_window

MEMORY = timedelta(days=1)
"""Ended reservations are remembered at least this long, so that a late retry finds them."""

MAX_ENTRIES = 1000
"""Past this the ledger denies: its state must fit into one message to its next run."""

MAX_ID = 300
MAX_SUBJECT = 200


def reserve(state: LedgerState, request: ReserveRequest, now: datetime) -> tuple[LedgerState, Decision]:
    """Take a place under every limit at once, or none. A refusal changes nothing.

    The same request again gets the same reservation; one that has ended is never granted again.

    Raises:
        BadInput: an id or a subject that is empty or too long to keep.
        Conflict: the id stands for another effect.
    """
    check_reserve(state, request)
    current = _tidied(state, now)
    known = current.entry(request.reservation)
    if known is not None:
        return current, _replayed(current, known, request)
    intent = Intent.of(request)
    evaluation = evaluate(current.snapshot, intent, current.uses(), now, pause=current.pause)
    if len(current.entries) >= MAX_ENTRIES or len(current.spent_approvals) >= MAX_ENTRIES:
        return state, _denied(evaluation, _full())
    if evaluation.verdict is Verdict.ALLOW:
        return _grant(current, request, intent, now, lifted=())
    if evaluation.verdict is Verdict.DENY or evaluation.terms is None:
        return state, _denied(evaluation)
    if request.approval is None:
        return state, _escalated(evaluation)
    against = objection(
        request.approval,
        intent,
        evaluation.terms,
        policy_digest=evaluation.policy_digest,
        spent={spent.approval for spent in current.spent_approvals},
        now=now,
    )
    if against is not None:
        return state, _escalated(evaluation, against)
    return _grant(current, request, intent, now, lifted=evaluation.findings)


def check_reserve(state: LedgerState, request: ReserveRequest) -> None:
    """Whether the request can be answered at all. Raises BadInput and Conflict as `reserve` does."""
    if not 0 < len(request.reservation) <= MAX_ID:
        raise BadInput(f"a reservation id has 1 to {MAX_ID} characters")
    if not 0 < len(request.subject) <= MAX_SUBJECT:
        raise BadInput(f"a subject has 1 to {MAX_SUBJECT} characters")
    known = state.entry(request.reservation)
    if known is not None and known.intent != Intent.of(request):
        raise Conflict(f"the reservation {request.reservation} stands for another effect: use a new id")


def commit(state: LedgerState, reservation: str, now: datetime) -> tuple[LedgerState, CommitAnswer]:
    """The last question before the effect: does the policy, as it is now, still allow it?

    The kill switch, a pause and every rule are asked again. Escalations that people lifted stay lifted
    only under the policy that the people saw. A withdrawn reservation is given back.

    Raises:
        NotFound: the ledger does not know the reservation.
    """
    current = _tidied(state, now)
    entry = known(current, reservation)
    if entry.phase is Phase.COMMITTED:
        return current, Committed(reservation=reservation)
    if entry.phase is not Phase.RESERVED:
        return current, _withdrawn(current, entry, _ended(entry))
    others = current.uses(but=reservation)
    evaluation = evaluate(current.snapshot, entry.intent, others, now, pause=current.pause)
    lifts = entry.policy_digest == evaluation.policy_digest
    live = [f for f in evaluation.findings if f.verdict is Verdict.DENY or not lifts]
    if live:
        released = current.with_entry(entry.model_copy(update={"phase": Phase.RELEASED, "lifted": ()}))
        return released, _withdrawn(released, entry, *live)
    committed = current.with_entry(entry.model_copy(update={"phase": Phase.COMMITTED}))
    return committed, Committed(reservation=reservation)


def release(state: LedgerState, reservation: str, now: datetime) -> tuple[LedgerState, Standing]:
    """The effect certainly did not happen: give the place back.

    Only a reservation that is neither committed nor lapsed is given back; any other stays as it is.

    Raises:
        NotFound: the ledger does not know the reservation.
    """
    current = _tidied(state, now)
    entry = known(current, reservation)
    if entry.phase is not Phase.RESERVED:
        return current, _standing(entry)
    released = entry.model_copy(update={"phase": Phase.RELEASED, "lifted": ()})
    return current.with_entry(released), _standing(released)


def settle(
    state: LedgerState,
    reservation: str,
    outcome: Outcome,
    now: datetime,
    settled_by: SettledBy | None = None,
) -> tuple[LedgerState, Standing]:
    """It is known how the effect ended: concurrency is free again, windows still count it.

    The first outcome stands. `settled_by` is the person who says so in the place of the run.

    Raises:
        NotFound: the ledger does not know the reservation.
    """
    current = _tidied(state, now)
    entry = known(current, reservation)
    if not entry.open:
        return current, _standing(entry)
    settled = entry.model_copy(
        update={"phase": Phase.SETTLED, "outcome": outcome, "settled_by": settled_by, "lifted": ()}
    )
    return current.with_entry(settled), _standing(settled)


def lapse(state: LedgerState, now: datetime) -> LedgerState:
    """Reservations that nobody committed in time: their outcome is unknown, so they keep their place."""
    entries = tuple(
        entry.model_copy(update={"phase": Phase.LAPSED})
        if entry.phase is Phase.RESERVED and entry.lapses_at <= now
        else entry
        for entry in state.entries
    )
    return state.model_copy(update={"entries": entries})


def pause(state: LedgerState, request: PauseRequest, now: datetime) -> LedgerState:
    """Stop every reserve and commit until `resume`. A second pause keeps the first."""
    if state.pause is not None:
        return state
    return state.model_copy(update={"pause": Pause(by=request.by, reason=request.reason, since=now)})


def resume(state: LedgerState) -> LedgerState:
    """Let the policy decide again."""
    return state.model_copy(update={"pause": None})


def install(state: LedgerState, snapshot: PolicySnapshot) -> tuple[LedgerState, Installed]:
    """Put a policy in force. What is reserved stays so; its commit asks the new policy."""
    changed = snapshot.digest != state.snapshot.digest
    answer = Installed(policy_digest=snapshot.digest, changed=changed)
    return state.model_copy(update={"snapshot": snapshot}), answer


def _tidied(state: LedgerState, now: datetime) -> LedgerState:
    """The state with lapsed reservations marked and what no limit can see any more forgotten."""
    lapsed = lapse(state, now)
    limits = (limit for document in state.snapshot.documents for limit in document.rules.limits)
    horizon = now - max(MEMORY, longest_window(limits))
    return lapsed.model_copy(
        update={
            "entries": tuple(entry for entry in lapsed.entries if entry.open or entry.reserved_at > horizon),
            "spent_approvals": tuple(spent for spent in lapsed.spent_approvals if spent.expires_at > now),
        }
    )


def _grant(
    state: LedgerState, request: ReserveRequest, intent: Intent, now: datetime, *, lifted: tuple[Finding, ...]
) -> tuple[LedgerState, Allowed]:
    entry = Entry(
        id=request.reservation,
        intent=intent,
        policy_digest=state.snapshot.digest,
        reserved_at=now,
        lapses_at=now + LEASE,
        lifted=lifted,
    )
    spent = state.spent_approvals
    if lifted and request.approval is not None:
        used = SpentApproval(approval=request.approval.approval, expires_at=request.approval.expires_at)
        spent = (*spent, used)
    granted = state.model_copy(update={"entries": (*state.entries, entry), "spent_approvals": spent})
    return granted, _allowed(entry, request)


def _allowed(entry: Entry, request: ReserveRequest) -> Allowed:
    return Allowed.grant(
        request,
        policy_digest=entry.policy_digest,
        now=entry.reserved_at,
        lapses_at=entry.lapses_at,
        findings=entry.lifted,
    )


def _replayed(state: LedgerState, entry: Entry, request: ReserveRequest) -> Decision:
    if entry.open:
        return _allowed(entry, request)
    return Denied(findings=(_ended(entry),), policy_digest=state.snapshot.digest)


def _denied(evaluation: Evaluation, *more: Finding) -> Denied:
    findings = (*evaluation.findings, *more)
    waits = [finding.retry_at for finding in findings if finding.verdict is Verdict.DENY]
    known = [wait for wait in waits if wait is not None]
    return Denied(
        findings=findings,
        policy_digest=evaluation.policy_digest,
        retry_at=max(known) if len(known) == len(waits) else None,
    )


def _escalated(evaluation: Evaluation, *more: Finding) -> Decision:
    if evaluation.terms is None:
        return _denied(evaluation, *more)
    return Escalated(
        findings=(*evaluation.findings, *more),
        policy_digest=evaluation.policy_digest,
        quorum=evaluation.terms.quorum,
        expires_after_seconds=int(evaluation.terms.expires_after.total_seconds()),
    )


def _withdrawn(state: LedgerState, entry: Entry, *findings: Finding) -> Withdrawn:
    return Withdrawn(reservation=entry.id, findings=findings, policy_digest=state.snapshot.digest)


def _standing(entry: Entry) -> Standing:
    return Standing(
        reservation=entry.id, phase=entry.phase, outcome=entry.outcome, settled_by=entry.settled_by
    )


def known(state: LedgerState, reservation: str) -> Entry:
    """The reservation of that id. Raises NotFound when the ledger does not know it."""
    entry = state.entry(reservation)
    if entry is None:
        raise NotFound(f"the ledger does not know the reservation {reservation}")
    return entry


def _ended(entry: Entry) -> Finding:
    return Finding(
        rule="ledger.reservation",
        verdict=Verdict.DENY,
        observed=f"the reservation is {entry.phase.value}",
        limit="a reservation is used once, before it lapses",
        remedy="Settle it if it is open, and reserve again under a new id.",
        source="ledger",
    )


def _full() -> Finding:
    return Finding(
        rule="ledger.capacity",
        verdict=Verdict.DENY,
        observed=f"{MAX_ENTRIES} reservations remembered",
        limit=f"fewer than {MAX_ENTRIES}",
        remedy="Settle what is open, or shorten the longest window in the policies.",
        source="ledger",
    )
