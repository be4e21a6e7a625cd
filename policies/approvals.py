"""What an approval is worth: it lifts escalations of exactly one effect as people were shown them, once, and
never a denial.

It is worth that when a place is taken, and again at the commit.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from policies.book import Book
from policies.decision import Approval, Finding, Terms, Verdict
from policies.evaluate import evaluate
from policies.intent import Intent
from policies.layering import applicable
from policies.reservations import Entry
from policies.terms import voters


def objection(
    approval: Approval,
    intent: Intent,
    findings: Iterable[Finding],
    terms: Terms,
    *,
    policy_digest: str,
    spent: Collection[str],
    now: datetime,
) -> Finding | None:
    """Why the approval does not lift these escalations, or None when it does.

    Whoever asked for the approval counted the votes; here they are counted again, by the policy in force.
    """
    if approval.request_digest != intent.request_digest:
        return _finding("for another effect", "for exactly this effect")
    if approval.policy_digest != policy_digest:
        return _finding("given under another policy", "given under the policy in force")
    if approval.approval in spent:
        return _finding("used before", "used once")
    if approval.expires_at <= now:
        return _finding(f"expired at {approval.expires_at:%Y-%m-%d %H:%M:%S %Z}", "not expired")
    if approval.expires_at > now + terms.expires_after:
        return _finding("valid for longer than the policy lets an answer live", "expires in time")
    asking = [finding for finding in findings if finding.verdict is Verdict.ESCALATE]
    shown = {finding.rule for finding in approval.lifts}
    if unseen := sorted({finding.rule for finding in asking} - shown):
        return _finding(f"nobody was asked about {', '.join(unseen)}", "lifts every rule that asks people")
    worse = [finding for finding in asking if not any(seen.covers(finding) for seen in approval.lifts)]
    if worse:
        return _finding(
            f"people were shown less of {', '.join(sorted(finding.rule for finding in worse))}",
            "as people were shown it, or better",
        )
    counted = voters(terms.chain, (*intent.requesters, intent.agent)).intersection(approval.approvers)
    if len(counted) < terms.quorum:
        return _finding(
            f"{len(counted)} of the people who may approve said yes", f"{terms.quorum} different people"
        )
    return None


def in_the_way(book: Book, entry: Entry, now: datetime) -> tuple[Finding, ...]:
    """The findings that stop a commit: every denial, and what asks people and was not lifted by them.

    What people lifted stays lifted only under the policy that they saw. Under the policy of its reservation
    an effect also has its place under every limit: one that is full since then is full by what people let
    in after it.
    """
    with book.usage.but(entry.id):
        evaluation = evaluate(book.snapshot, entry.intent, book.usage, now)
    lifted: set[str] = set()
    if entry.policy_digest == evaluation.policy_digest:
        lifted = {finding.rule for finding in entry.lifted}
        for document in applicable(book.snapshot, entry.intent):
            lifted |= {f"{document.name}.limits.{limit.id}" for limit in document.rules.limits}
    return tuple(
        finding
        for finding in evaluation.findings
        if finding.verdict is Verdict.DENY or finding.rule not in lifted
    )


def _finding(observed: str, limit: str) -> Finding:
    return Finding(
        rule="ledger.approval",
        verdict=Verdict.ESCALATE,
        observed=observed,
        limit=limit,
        remedy="Ask people again.",
        source="ledger",
    )
