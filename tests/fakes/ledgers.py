"""Ledgers in a few words, for tests of what they remember and answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost
from policies.decision import Approval, Finding, ReserveRequest, Verdict
from policies.documents import PolicySnapshot
from policies.ledger import Ledger
from policies.reservations import LedgerStart, LedgerState, PauseRequest, Settlement
from tests.fakes.asks import NOON, policy

ONE_UNSETTLED = "{id: one, scope: [subject], max: 1, hold: until_settled}"
ONE_AN_HOUR = "{id: hourly, max: 1, window: 1h}"
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
EVERYTHING = PauseRequest(by="ada", reason="incident")

TO_ON = (
    "agents.sentry_spike.levers.flip_flag.direction.to_on",
    "org.levers.flip_flag.direction.to_on",
)
"""What asks people under `policy()` when a flag is to be switched on."""


def under(snapshot: PolicySnapshot) -> Ledger:
    """An empty ledger with that policy."""
    return Ledger(LedgerState(snapshot=snapshot))


def restarted(ledger: Ledger) -> Ledger:
    """The same ledger in the next run of its workflow."""
    return Ledger(
        LedgerStart.model_validate_json(LedgerStart.of("acme", ledger.state).model_dump_json()).state
    )


def unswept(ledger: Ledger, at: datetime) -> Ledger:
    """The ledger has just swept, so that at that time it still has what is old."""
    ledger.lapse(at - timedelta(seconds=30))
    return ledger


def rules(findings: Sequence[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


def settled(reservation: str, outcome: Outcome = Outcome.LANDED, **actual: int) -> Settlement:
    return Settlement(reservation=reservation, outcome=outcome, actual=Cost(**actual) if actual else None)


def kinds(ledger: Ledger) -> list[str]:
    """What was recorded."""
    return [record.kind for record in ledger.unwritten]


def shown(*names: str, observed: str = "act_with_approval", figure: int | None = None) -> tuple[Finding, ...]:
    """What people saw before they said yes: rules that ask them."""
    return tuple(
        Finding(
            rule=name,
            verdict=Verdict.ESCALATE,
            observed=observed,
            figure=figure,
            limit="less",
            remedy="Ask a person.",
            source="org.yaml:1",
        )
        for name in names
    )


def approved(request: ReserveRequest, **changes: object) -> ReserveRequest:
    """The request with an approval that fits it under `policy()`, or fits it but for the changes."""
    approval = Approval(
        approval="approval/1",
        request_digest=request.digest,
        policy_digest=policy().digest,
        lifts=shown(*TO_ON),
        approvers=("ada",),
        expires_at=NOON + timedelta(minutes=30),
    )
    return request.model_copy(update={"approval": approval.model_copy(update=changes)})
