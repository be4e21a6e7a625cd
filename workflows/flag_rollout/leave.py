"""The leave to give a flag to users who are not internal: policy's, and people's where policy wants it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.ids import approval_id
    from leverframe.model.proposals import Cost, FlipFlag, Measurement
    from leverframe.model.untrusted import Untrusted
    from policies.answers import PAUSE
    from policies.decision import Allowed, Approval, Denied, Escalated, Finding, ReserveRequest
    from policies.explain import sentence
    from workflows.asking import ask_people
    from workflows.flag_rollout.story import RolloutRequest
    from workflows.messages import ApprovalRequest, Approved, Rejected, Superseded
    from workflows.run_ledger import PARKED_AT_MOST, RunLedger, parked_wait

AGENT = "flag_rollout"
"""As policy knows rollouts: `agents/flag_rollout.yaml` says what they may do."""
MAX_ASKINGS = 4


@dataclass(kw_only=True)
class Leave:
    """Asks for one rollout, once; what it got is committed at the ledger until the rollout settles it."""

    request: RolloutRequest
    key: str
    """Its reservations begin so."""
    ledger: RunLedger
    evidence: tuple[Measurement, ...]
    """What internal users' requests did."""
    tell: Callable[[str], None]
    reservation: str | None = None
    """The committed one, once it is given."""

    async def refused(self) -> str | None:
        """Why nobody else may have the flag; None: they may."""
        approval: Approval | None = None
        grant, askings, parked = 1, 0, timedelta(0)
        while True:
            asked = self._asked(grant, approval)
            decision = await self.ledger.reserve(asked)
            findings: tuple[Finding, ...] = decision.findings
            if isinstance(decision, Allowed):
                findings = await self.ledger.commit(asked.reservation)
                if not findings:
                    self.reservation = asked.reservation
                    return None
                await self.ledger.settle(asked.reservation, None)
                grant += 1
            elif isinstance(decision, Escalated) and askings < MAX_ASKINGS:
                askings += 1
                answer = await self._people(asked, decision, askings)
                if isinstance(answer, str):
                    return answer
                approval = answer
                continue
            paused = isinstance(decision, Denied) and decision.paused
            if not paused and any(each.rule != PAUSE for each in findings):
                return f"policy says no: {'; '.join(sentence(each) for each in findings)}"
            if (wait := parked_wait(parked)) is None:
                return f"effects were paused for {PARKED_AT_MOST}"
            self.tell("effects are paused: waiting for the end of it")
            await workflow.sleep(wait, summary="parked by a pause: ask again")
            parked += wait

    async def _people(
        self, asked: ReserveRequest, escalated: Escalated, asking: int
    ) -> Approval | str | None:
        """Their yes, None when what was asked about has moved, or in words that they did not say yes."""
        self.tell("waiting for people to decide whether users who are not internal may have it")
        question = approval_id(self.key, 0, asking)
        match await ask_people(self._question(asked, escalated), approval=question, moved=None):
            case Approved(approval=approval):
                return approval
            case Superseded():
                return None
            case Rejected(by=by, reason=why):
                said = f": {Untrusted(why).for_terminal(300)}" if why else ""
                return f"{Untrusted(by).for_terminal(100)} said no{said}"
            case _:
                return f"nobody answered in {escalated.terms.expires_after}"

    def _asked(self, grant: int, approval: Approval | None) -> ReserveRequest:
        request = self.request
        asked = ReserveRequest(
            reservation=self.key + (f".{grant}" if grant > 1 else ""),
            agent=AGENT,
            repository=request.repository,
            service=request.service,
            subject=request.flag,
            effect=FlipFlag(flag=request.flag, on=True),
            cost=Cost(),
            evidence=self.evidence,
            requesters=(request.by.person,),
        )
        fits = approval is not None and approval.request_digest == asked.digest
        return asked.model_copy(update={"approval": approval}) if fits else asked

    def _question(self, asked: ReserveRequest, escalated: Escalated) -> ApprovalRequest:
        request, info = self.request, workflow.info()
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
            evidence=self.evidence,
            terms=escalated.terms,
            requesters=asked.requesters,
        )
