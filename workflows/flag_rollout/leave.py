"""What policy and people are asked before a flag is given to users who are not internal."""

from collections.abc import Callable
from urllib.parse import quote

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.proposals import Cost, FlipFlag, Measurement
    from leverframe.model.untrusted import Untrusted
    from policies.decision import Escalated, ReserveRequest
    from workflows.flag_rollout.story import RolloutRequest
    from workflows.messages import ApprovalRequest
    from workflows.permit import Permit
    from workflows.run_ledger import RunLedger

AGENT = "flag_rollout"
"""As policy knows rollouts: `agents/flag_rollout.yaml` says what they may do."""


def leave(
    request: RolloutRequest,
    key: str,
    ledger: RunLedger,
    evidence: tuple[Measurement, ...],
    tell: Callable[[str], None],
) -> Permit:
    """The permit of one rollout. `evidence`: what internal users' requests did."""
    wanted = ReserveRequest(
        reservation=key,
        agent=AGENT,
        repository=request.repository,
        service=request.service,
        subject=request.flag,
        effect=FlipFlag(flag=request.flag, on=True),
        cost=Cost(),
        evidence=evidence,
        requesters=(request.by.person,),
    )

    def question(asked: ReserveRequest, escalated: Escalated) -> ApprovalRequest:
        info = workflow.info()
        where = f"/namespaces/{info.namespace}/workflows/{quote(info.workflow_id, safe='')}"
        percents = ", ".join(f"{step.percent} %" for step in request.plan.steps[1:])
        return ApprovalRequest(
            title=f"Give {request.flag} to users who are not internal",
            agent=AGENT,
            repository=request.repository,
            service=request.service,
            subject=request.flag,
            run=info.workflow_id,
            run_url=request.ui_url.rstrip("/") + where,
            effect=asked.effect,
            request_digest=asked.digest,
            policy_digest=escalated.policy_digest,
            why=f"step by step, {percents}, each judged; {request.by.words('started it')}",
            reversibility=f"Abort the rollout: {request.flag} is off for everybody within seconds.",
            findings=escalated.findings,
            error=Untrusted(f"rollout of {request.flag}"),
            evidence=evidence,
            terms=escalated.terms,
            requesters=asked.requesters,
        )

    return Permit(wanted=wanted, ledger=ledger, question=question, tell=tell)
