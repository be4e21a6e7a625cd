"""One rung of the ladder: reserve, ask people if policy says so, commit, pull the lever, report.

No lever is pulled without a `Reservation` that the ledger committed right before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, assert_never

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, is_cancelled_exception
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.ledger import LedgerActivities
    from leverframe.model.ids import approval_id, digest
    from leverframe.model.outcomes import Outcome, StepReport
    from leverframe.model.proposals import FlipFlag, RevertChange, RollBack, Step
    from leverframe.model.untrusted import Untrusted
    from policies.decision import (
        Allowed,
        Approval,
        Decision,
        Denied,
        Escalated,
        Finding,
        Reservation,
        ReserveRequest,
    )
    from policies.explain import effect_words, sentence
    from policies.reservations import Withdrawn
    from workflows import attributes
    from workflows.approval import ApprovalWorkflow
    from workflows.levers import Levers, Pulled, reason_of
    from workflows.messages import ApprovalRequest, Approved, Expired, Rejected
    from workflows.queues import HANDS
    from workflows.run_story import evidence_markdown

Result = Literal["done", "denied", "expired", "rejected", "failed", "skipped"]
Verdict = Literal["allow", "escalate", "deny"]
VERDICTS: tuple[Verdict, ...] = ("allow", "escalate", "deny")
"""From mild to strict."""


@dataclass
class Ledger:
    """The run's reservations at the policy ledger, and which of them it still has to settle."""

    unsettled: list[str] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)

    async def reserve(self, request: ReserveRequest) -> Decision:
        """Ask for one effect; the same request again gets the same answer."""
        if request.reservation not in self.unsettled:
            # Before the answer: a grant whose answer gets lost keeps its place all the same.
            self.unsettled.append(request.reservation)
        decision = await workflow.execute_activity_method(
            LedgerActivities.reserve,
            request,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"ask policy to {effect_words(request.effect)}",
        )
        if not isinstance(decision, Allowed):
            self.unsettled.remove(request.reservation)
        return decision

    async def commit(self, reservation: str) -> tuple[Finding, ...]:
        """Ask the last time; findings mean that the effect must not happen."""
        answer = await workflow.execute_activity_method(
            LedgerActivities.commit,
            reservation,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary="ask policy once more, right before the effect",
        )
        if isinstance(answer, Withdrawn):
            return answer.findings  # one that had lapsed keeps its place until it is settled
        self.committed.add(reservation)
        return ()

    async def settle(self, reservation: str, outcome: Outcome) -> None:
        """Say how an effect ended. What can't be said is logged: the ledger keeps the place, safely.

        Raises ActivityError when the run is cancelled meanwhile; the reservation is still to be settled.
        """
        if reservation not in self.unsettled:
            return
        self.unsettled.remove(reservation)
        try:
            if reservation not in self.committed:
                # If its commit was lost on the way back, this gives nothing back and the outcome counts.
                await workflow.execute_activity_method(
                    LedgerActivities.release,
                    reservation,
                    task_queue=HANDS,
                    start_to_close_timeout=timedelta(seconds=20),
                    schedule_to_close_timeout=timedelta(days=1),
                    summary="give an unused reservation back",
                )
            await workflow.execute_activity_method(
                LedgerActivities.settle,
                args=[reservation, outcome],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=20),
                schedule_to_close_timeout=timedelta(days=1),
                summary=f"tell the ledger: {outcome.value}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                self.unsettled.append(reservation)
                raise
            workflow.logger.warning("could not settle %s: %s", reservation, error.cause)


@dataclass(kw_only=True)
class Rung:
    """What became of one step so far."""

    step: Step
    reservation: str
    started_at: datetime
    verdict: Verdict = "allow"
    findings: tuple[str, ...] = ()
    timings: dict[str, int] = field(default_factory=dict)
    outcome: Outcome = Outcome.FAILED
    proven: bool = False

    def saw(self, decision: Decision) -> None:
        """Remember the strictest verdict, and what the rules said."""
        self.verdict = max(self.verdict, decision.kind, key=VERDICTS.index)
        if decision.findings:
            self.findings = tuple(sentence(finding) for finding in decision.findings)

    def report(self, result: Result, detail: str) -> StepReport:
        """The step's line in the run's report, as of now."""
        return StepReport(
            lever=self.step.effect.lever,
            purpose=self.step.purpose,
            verdict=self.verdict,
            findings=self.findings,
            result=result,
            detail=detail,
            reservation=self.reservation,
            started_at=self.started_at,
            ended_at=workflow.now(),
            timings_ms=self.timings,
        )


@dataclass(kw_only=True)
class Climber:
    """Takes the steps of one proposal, one at a time."""

    levers: Levers
    ledger: Ledger
    tell: Callable[[str], None]
    """Says in words what is going on."""
    strictest: Verdict | None = None
    """Of all steps so far: it makes the run findable."""

    async def take(self, index: int, step: Step) -> tuple[Rung, StepReport]:
        """One step from its reservation to its report. Its reservation stays unsettled if it was used."""
        request = self.levers.request
        reservation = f"{self.levers.proposal.id}/{index}"
        rung = Rung(step=step, reservation=reservation, started_at=workflow.now())
        asked = ReserveRequest(
            reservation=reservation,
            agent=request.agent,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            effect=step.effect,
        )
        try:
            return rung, await self._climb(rung, asked, index)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return rung, rung.report("failed", reason_of(error))

    async def _climb(self, rung: Rung, asked: ReserveRequest, index: int) -> StepReport:
        words = effect_words(rung.step.effect)
        self.tell(f"asking policy whether to {words}")
        decision = await self.ledger.reserve(asked)
        self._saw(rung, decision)
        if isinstance(decision, Escalated):
            self.tell(f"waiting for people to decide whether to {words}")
            answer = await self._ask_people(decision, rung.step, index)
            if not isinstance(answer, Approval):
                return rung.report(*answer)
            decision = await self.ledger.reserve(asked.model_copy(update={"approval": answer}))
            self._saw(rung, decision)
        if not isinstance(decision, Allowed):
            return rung.report("denied", _why_denied(decision))
        rung.timings["detected_to_reserved"] = self.levers.since_detected(workflow.now())
        withdrawn = await self.ledger.commit(rung.reservation)
        if withdrawn:
            rung.verdict, rung.findings = "deny", tuple(sentence(finding) for finding in withdrawn)
            return rung.report("denied", "policy changed its mind right before the effect")
        self.tell(f"doing it: {words}")
        pulled = await self._pull(decision.reservation, rung.timings)
        rung.outcome, rung.proven = pulled.outcome, pulled.proven
        return rung.report(pulled.result, pulled.detail)

    async def _ask_people(
        self, escalated: Escalated, step: Step, index: int
    ) -> Approval | tuple[Literal["rejected", "expired", "failed"], str]:
        """The people's approval, or how the question ended instead."""
        request, proposal = self.levers.request, self.levers.proposal
        title = effect_words(step.effect)
        question = ApprovalRequest(
            title=title[0].upper() + title[1:],
            body=evidence_markdown(proposal, step.why),
            agent=request.agent,
            repository=request.repository,
            subject=request.subject,
            run=proposal.id,
            effect=step.effect,
            effect_digest=digest(step.effect),
            policy_digest=escalated.policy_digest,
            findings=escalated.findings,
            quorum=escalated.quorum,
            expires_after_seconds=escalated.expires_after_seconds,
        )
        try:
            answer = await workflow.execute_child_workflow(
                ApprovalWorkflow.run,
                question,
                id=approval_id(proposal.id, index),
                task_queue=HANDS,
                # The question closes itself where it was asked when its run ends early.
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
                static_summary=f"{question.title}? asked by {request.agent} on {request.subject}",
            )
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise
            return "failed", f"the question to people failed: {Untrusted(str(error.cause)).for_terminal(300)}"
        match answer:
            case Approved(approval=approval):
                return approval
            case Rejected(by=by, reason=reason):
                said = f": {Untrusted(reason).for_terminal(300)}" if reason else ""
                return "rejected", f"{Untrusted(by).for_terminal(100)} said no{said}"
            case Expired():
                return "expired", f"nobody answered in {timedelta(seconds=escalated.expires_after_seconds)}"

    async def _pull(self, reservation: Reservation, timings: dict[str, int]) -> Pulled:
        """The effect that was reserved, and no other."""
        effect = reservation.effect
        match effect:
            case FlipFlag():
                return await self.levers.flip(reservation, effect, timings)
            case RollBack():
                return await self.levers.roll_back(reservation, effect, timings)
            case RevertChange():
                return await self.levers.revert(reservation, effect, timings)
            case _:
                assert_never(effect)

    def _saw(self, rung: Rung, decision: Decision) -> None:
        rung.saw(decision)
        if self.strictest is None or VERDICTS.index(rung.verdict) > VERDICTS.index(self.strictest):
            self.strictest = rung.verdict
            workflow.upsert_search_attributes([attributes.VERDICT.value_set(rung.verdict)])


def _why_denied(decision: Denied | Escalated) -> str:
    """In short; the findings say the rest."""
    if isinstance(decision, Escalated):
        return "the approval did not cover it: policy asks people again"
    retry = f"; it may pass from {decision.retry_at:%Y-%m-%d %H:%M} UTC on" if decision.retry_at else ""
    rules = ", ".join(finding.rule for finding in decision.findings)
    return f"denied by {rules}{retry}"
