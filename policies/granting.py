"""Granting: one request decided against the book, with the event that makes it so."""

from datetime import datetime

from policies import events
from policies.answers import allowed, crowded, denied, escalated, full, only_paused, used_up
from policies.approvals import objection
from policies.book import Book
from policies.decision import Decision, Denied, Finding, ReserveRequest, Terms, Verdict
from policies.evaluate import Evaluation, evaluate
from policies.explain import effect_words
from policies.intent import Intent
from policies.reservations import LEASE, Entry, ShadowEntry
from policies.retention import MAX_ENTRIES, MAX_FILES, PARKED_ANEW, recordable, run_of, subjects_full
from policies.rules import Autonomy

MAX_LINEAGE = 20
"""More links than any policy may allow."""

Decided = tuple[Decision, events.Event | None]
"""The answer, and what is recorded of it; None when it was recorded before."""


def decide(
    book: Book, request: ReserveRequest, now: datetime, *, unrecorded: Finding | None = None
) -> Decided:
    """The answer to a request, all limits or none. The book is not changed.

    `unrecorded` is why nothing can be recorded now, and so nothing new be granted.
    """
    entry = book.entries.get(request.reservation)
    if entry is not None and entry.open:
        return allowed(entry, request), None
    if entry is not None:
        return Denied(findings=(used_up(entry),), policy_digest=book.snapshot.digest), None
    intent = recordable(_traced(book, Intent.of(request)))
    evaluation = evaluate(book.snapshot, intent, book.usage, now)
    if unrecorded is not None:
        return denied(evaluation, unrecorded), None
    if (finding := _out_of_room(book, intent, now)) is not None:
        return _deny(book, request, intent, evaluation, now, finding)
    if evaluation.verdict is Verdict.ALLOW:
        return _grant(book, request, intent, now)
    if evaluation.verdict is Verdict.ESCALATE and evaluation.terms is not None:
        return _ask_people(book, request, intent, evaluation, evaluation.terms, now=now)
    if evaluation.autonomy is Autonomy.OBSERVE:
        return _observe(book, request, intent, evaluation, now)
    return _deny(book, request, intent, evaluation, now)


def _traced(book: Book, intent: Intent) -> Intent:
    """The lineage as far back as the ledger remembers: whoever asks knows only the run right before."""
    if not intent.lineage:
        return intent
    oldest = intent.lineage[0]
    # All of a run's reservations have its lineage, and theirs was traced when they were granted.
    of_run = (entry.intent.lineage for entry in book.entries.values() if run_of(entry.id) == oldest)
    before = tuple(run for run in next(of_run, ()) if run not in intent.lineage)
    return intent.model_copy(update={"lineage": (*before, *intent.lineage)[-MAX_LINEAGE:]})


def _out_of_room(book: Book, intent: Intent, now: datetime) -> Finding | None:
    kept = max(len(book.entries) - book.overdue, len(book.spent))
    files = book.files + (len(intent.difference.files) if intent.difference else 0)
    if kept >= MAX_ENTRIES:
        return full(f"{kept} reservations remembered", MAX_ENTRIES)
    if files > MAX_FILES:
        return full(f"{files} files listed by reservations", MAX_FILES)
    return crowded(intent.repository) if subjects_full(book.usage, intent, now) else None


def _grant(
    book: Book, request: ReserveRequest, intent: Intent, now: datetime, lifted: tuple[Finding, ...] = ()
) -> Decided:
    entry = Entry(
        id=request.reservation,
        intent=intent,
        words=effect_words(request.effect),
        policy_digest=book.snapshot.digest,
        reserved_at=now,
        lapses_at=now + LEASE,
        lifted=lifted,
    )
    return allowed(entry, request), events.Granted(entry=entry, approval=request.approval if lifted else None)


def _ask_people(
    book: Book,
    request: ReserveRequest,
    intent: Intent,
    evaluation: Evaluation,
    terms: Terms,
    *,
    now: datetime,
) -> Decided:
    more: tuple[Finding, ...] = ()
    if request.approval is not None:
        against = objection(
            request.approval,
            intent,
            evaluation.findings,
            terms,
            policy_digest=evaluation.policy_digest,
            spent=book.spent,
            now=now,
        )
        if against is None:
            return _grant(book, request, intent, now, evaluation.findings)
        more = (against,)
    answer = escalated(evaluation, terms, more)
    return answer, events.EscalatedEvent(
        reservation=request.reservation,
        intent=intent,
        words=effect_words(request.effect),
        findings=answer.findings,
        policy_digest=answer.policy_digest,
    )


def _deny(
    book: Book,
    request: ReserveRequest,
    intent: Intent,
    evaluation: Evaluation,
    now: datetime,
    *more: Finding,
) -> Decided:
    """A parked run that asks again and again is recorded now and then, not every time."""
    paused = not more and only_paused(evaluation)
    answer = denied(evaluation, *more, paused=paused)
    parked = book.parked.get(run_of(request.reservation))
    if paused and parked is not None and parked.asked_at + PARKED_ANEW > now:
        return answer, None
    return answer, events.DeniedEvent(
        reservation=request.reservation,
        intent=intent,
        words=effect_words(request.effect),
        findings=answer.findings,
        policy_digest=answer.policy_digest,
        parked=paused,
    )


def _observe(
    book: Book, request: ReserveRequest, intent: Intent, evaluation: Evaluation, now: datetime
) -> Decided:
    known = book.shadow.get(request.reservation)
    if known is not None:
        return denied(evaluation, would=known.would), None
    again = evaluate(book.snapshot, intent, book.shadow_usage, now, as_if=Autonomy.ACT)
    shadow = ShadowEntry(
        id=request.reservation,
        intent=intent,
        words=effect_words(request.effect),
        at=now,
        would=again.verdict.word,
    )
    return denied(evaluation, would=shadow.would), events.Shadowed(entry=shadow)
