"""The permit for one effect that no agent run carries: policy's, and people's where policy asks for them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.ids import approval_id
    from leverframe.model.untrusted import Untrusted
    from policies.answers import PAUSE
    from policies.decision import Allowed, Approval, Denied, Escalated, Finding, Reservation, ReserveRequest
    from policies.explain import sentence
    from workflows.asking import ask_people
    from workflows.messages import ApprovalRequest, Approved, Rejected, Superseded
    from workflows.run_ledger import PARKED_AT_MOST, RunLedger, parked_wait

MAX_ASKINGS = 4
"""People are asked once, and again three times when no answer covers what would be done by then."""


@dataclass(kw_only=True)
class Permit:
    """Asks for one effect; what is granted is committed, and the caller settles it."""

    wanted: ReserveRequest
    """Its reservation's id names the permit; approvals and later grants are numbered after it."""
    ledger: RunLedger
    question: Callable[[ReserveRequest, Escalated], ApprovalRequest]
    """What people are asked when policy asks for them."""
    tell: Callable[[str], None]
    """Says in words what is going on."""
    granted: Reservation | None = None
    """The committed one, once it is given."""

    async def refused(self) -> str | None:
        """Why it must not be done; None: it may be done now."""
        approval: Approval | None = None
        grant, askings, parked = 1, 0, timedelta(0)
        while True:
            asked = self._asked(grant, approval)
            decision = await self.ledger.reserve(asked)
            findings: tuple[Finding, ...] = decision.findings
            if isinstance(decision, Allowed):
                findings = await self.ledger.commit(asked.reservation)
                if not findings:
                    self.granted = decision.reservation
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
        question = self.question(asked, escalated)
        self.tell(f"waiting for people to decide: {question.title}?")
        name = approval_id(self.wanted.reservation, 0, asking)
        match await ask_people(question, approval=name, moved=None):
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
        name = self.wanted.reservation + (f".{grant}" if grant > 1 else "")
        asked = self.wanted.model_copy(update={"reservation": name})
        fits = approval is not None and approval.request_digest == asked.digest
        return asked.model_copy(update={"approval": approval}) if fits else asked
