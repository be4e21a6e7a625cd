"""What the ledger answers, and the findings that are its own: no policy file says them."""

from datetime import datetime, timedelta
from typing import Literal

from policies.decision import Allowed, Denied, Escalated, Finding, ReserveRequest, Terms, Verdict
from policies.evaluate import Evaluation
from policies.reservations import Entry, Standing

PAUSE = "ledger.pause"
"""The rule of a finding by a pause."""

SOON = timedelta(seconds=10)
"""When to ask again where only the store has to answer."""

OWN = frozenset({"ledger.approval", "ledger.audit", "ledger.capacity", "ledger.reservation"})
"""Rules of the ledger itself: asking a policy again does not bring them up."""


def allowed(entry: Entry, request: ReserveRequest) -> Allowed:
    """The reservation, however often it is asked for."""
    return Allowed.grant(
        request,
        policy_digest=entry.policy_digest,
        now=entry.reserved_at,
        lapses_at=entry.lapses_at,
        findings=entry.lifted,
    )


def denied(
    evaluation: Evaluation,
    *more: Finding,
    paused: bool = False,
    would: Literal["allow", "escalate", "deny"] | None = None,
) -> Denied:
    """No; when merely waiting helps against every denial, with the time when the last one passes."""
    findings = (*evaluation.findings, *more)
    waits = [finding.retry_at for finding in findings if finding.verdict is Verdict.DENY]
    known = [wait for wait in waits if wait is not None]
    return Denied(
        findings=findings,
        policy_digest=evaluation.policy_digest,
        retry_at=max(known) if known and len(known) == len(waits) else None,
        paused=paused,
        would=would,
    )


def escalated(evaluation: Evaluation, terms: Terms, more: tuple[Finding, ...] = ()) -> Escalated:
    """People may lift it."""
    return Escalated(
        findings=(*evaluation.findings, *more), policy_digest=evaluation.policy_digest, terms=terms
    )


def only_paused(evaluation: Evaluation) -> bool:
    """Whether nothing but pauses denies it: it may pass as soon as they end."""
    return all(finding.rule == PAUSE for finding in evaluation.findings if finding.verdict is Verdict.DENY)


def standing(entry: Entry) -> Standing:
    """Where the reservation is in its life."""
    return Standing(
        reservation=entry.id, phase=entry.phase, outcome=entry.outcome, settled_by=entry.settled_by
    )


def used_up(entry: Entry) -> Finding:
    """A reservation is used once."""
    return _own(
        "reservation",
        f"the reservation is {entry.phase.value}",
        "a reservation is used once, before it lapses",
        "Settle it if it is open, and reserve again under a new id.",
    )


def full(observed: str, limit: int) -> Finding:
    """The ledger keeps no more."""
    return _own(
        "capacity",
        observed,
        f"fewer than {limit}",
        "Settle what is open, or shorten the longest window in the policies.",
    )


def crowded(repository: str) -> Finding:
    """Storms can't be counted any more."""
    return _own(
        "capacity",
        f"too many subjects of {repository} ask for effects",
        "as many as storms are counted by",
        "Let people look at what they have in common.",
    )


def audit_full(limit: int) -> Finding:
    """What can't be recorded is not done."""
    return _own(
        "audit",
        "the audit log is not being written",
        f"fewer than {limit} records wait for the store",
        "Bring the store back; the ledger writes what waits by itself.",
    )


def log_unknown(now: datetime) -> Finding:
    """A ledger before this one may have paused, lowered or granted what this one does not know of."""
    finding = _own(
        "audit",
        "the ledger does not know yet whether the audit log has the records of one before it",
        "known",
        "Wait for the store of the audit log to answer; bring it back when it is down.",
    )
    return finding.model_copy(update={"retry_at": now + SOON})


def _own(rule: str, observed: str, limit: str, remedy: str) -> Finding:
    return Finding(
        rule=f"ledger.{rule}",
        verdict=Verdict.DENY,
        observed=observed,
        limit=limit,
        remedy=remedy,
        source="ledger",
    )
