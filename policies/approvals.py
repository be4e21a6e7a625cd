"""What an approval is worth: it lifts escalations of exactly one effect, once, and never a denial."""

from collections.abc import Collection
from datetime import datetime

from policies.decision import Approval, Finding, Verdict
from policies.layering import Terms
from policies.usage import Intent


def objection(
    approval: Approval,
    intent: Intent,
    terms: Terms,
    *,
    policy_digest: str,
    spent: Collection[str],
    now: datetime,
) -> Finding | None:
    """Why the approval does not lift the escalation, or None when it does."""
    approvers = {name for name in approval.approvers if name != intent.agent}
    if approval.effect_digest != intent.effect_digest:
        return _finding("for another effect", "for exactly this effect")
    if approval.policy_digest != policy_digest:
        return _finding("given under another policy", "given under the policy in force")
    if approval.approval in spent:
        return _finding("used before", "used once")
    if approval.expires_at <= now:
        return _finding(f"expired at {approval.expires_at:%Y-%m-%d %H:%M:%S %Z}", "not expired")
    if approval.expires_at > now + terms.expires_after:
        return _finding("valid for longer than the policy lets an answer live", "expires in time")
    if len(approvers) < terms.quorum:
        return _finding(f"{len(approvers)} people said yes", f"{terms.quorum} people said yes")
    return None


def _finding(observed: str, limit: str) -> Finding:
    return Finding(
        rule="ledger.approval",
        verdict=Verdict.ESCALATE,
        observed=observed,
        limit=limit,
        remedy="Ask people again.",
        source="ledger",
    )
