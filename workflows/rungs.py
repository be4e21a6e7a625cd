"""One rung of the ladder: preview, reserve, ask people if policy says so, commit, pull the lever, report.

No lever is pulled without a `Reservation` that the ledger committed right before.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, assert_never

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from leverframe.model.ids import approval_id, reservation_id
    from leverframe.model.outcomes import Outcome, StepReport
    from leverframe.model.proposals import ChangeQuarantine, FlipFlag, RevertChange, RollBack, Step
    from leverframe.model.untrusted import Untrusted
    from policies.answers import PAUSE
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
    from workflows import attributes
    from workflows.asking import ask_people
    from workflows.levers import FLIPPED, Levers
    from workflows.messages import (
        ApprovalRequest,
        ApprovalResult,
        Approved,
        Expired,
        Rejected,
        Supersede,
        Superseded,
    )
    from workflows.proposing import show_proposal
    from workflows.pulled import Pulled, reversibility
    from workflows.quarantining import about_to_ask, change_quarantine, turned_down
    from workflows.riding import reason_of
    from workflows.run_ledger import PARKED_AT_MOST, RunLedger, parked_wait

Result = Literal["done", "denied", "expired", "rejected", "failed", "skipped"]
Verdict = Literal["allow", "escalate", "deny"]
VERDICTS: tuple[Verdict, ...] = ("allow", "escalate", "deny")
"""From mild to strict."""

MAX_ASKINGS = 4
"""People are asked once, and again three times when no answer covers what would be done by then."""


@dataclass(kw_only=True)
class Rung:
    """What became of one step so far."""

    step: Step
    reservation: str
    """The one it asked for last."""
    started_at: datetime
    approval: Approval | None = None
    """What people said yes to last."""
    askings: int = 0
    """How often people were asked."""
    verdict: Verdict = "allow"
    findings: tuple[str, ...] = ()
    timings: dict[str, int] = field(default_factory=dict)
    outcome: Outcome | None = None
    """How its effect ended; None while the run does not know."""
    proven: bool = False
    change: str | None = None
    """The change that its lever opened."""

    @property
    def switched(self) -> bool:
        """Whether a flag was written to mitigate."""
        return self.step.purpose == "mitigate" and FLIPPED in self.timings

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
            change=self.change,
            started_at=self.started_at,
            ended_at=workflow.now(),
            timings_ms=self.timings,
        )


@dataclass(kw_only=True)
class Climber:
    """Takes the steps of one proposal, one at a time."""

    levers: Levers
    ledger: RunLedger
    run_url: str
    """Where people open the run."""
    tell: Callable[[str], None]
    """Says in words what is going on."""
    strictest: Verdict | None = None
    """Of all steps so far: it makes the run findable."""
    parked: timedelta = timedelta(0)
    """How long the run has waited for pauses to end."""

    async def take(self, index: int, step: Step) -> tuple[Rung, StepReport]:
        """One step from its reservation to its report. Its reservation stays unsettled if it was used."""
        reservation = reservation_id(self.levers.proposal.id, index)
        rung = Rung(step=step, reservation=reservation, started_at=workflow.now())
        try:
            return rung, await self._climb(rung, index)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return rung, rung.report("failed", reason_of(error))
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise
            return rung, rung.report("failed", f"the question to people failed: {reason_of(error)}")

    def skip(self, index: int, step: Step, why: str) -> tuple[Rung, StepReport]:
        """One step that is not taken; nothing was asked or done."""
        reservation = reservation_id(self.levers.proposal.id, index)
        rung = Rung(step=step, reservation=reservation, started_at=workflow.now())
        return rung, rung.report("skipped", why)

    async def _climb(self, rung: Rung, index: int) -> StepReport:
        grant = 1
        while isinstance(granted := await self._granted(rung, index), Allowed):
            rung.timings["detected_to_reserved"] = self.levers.since_detected(workflow.now())
            withdrawn = await self.ledger.commit(rung.reservation)
            if not withdrawn:
                self.tell(f"doing it: {effect_words(rung.step.effect)}")
                pulled = await self._pull(granted.reservation, rung.timings)
                rung.outcome, rung.proven, rung.change = pulled.outcome, pulled.proven, pulled.change
                return rung.report(pulled.result, pulled.detail)
            rung.verdict, rung.findings = "deny", tuple(sentence(finding) for finding in withdrawn)
            if any(finding.rule != PAUSE for finding in withdrawn) or not await self._park(withdrawn):
                return rung.report("denied", "policy changed its mind right before the effect")
            # The place was given back at the pause, and a reservation is used once.
            await self.ledger.settle(rung.reservation, None)
            grant += 1
            rung.reservation = reservation_id(self.levers.proposal.id, index, grant)
        return granted

    async def _granted(self, rung: Rung, index: int) -> Allowed | StepReport:
        """A place under every limit, by people's leave where policy wants it; or how the step ended."""
        words = effect_words(rung.step.effect)
        self.tell(f"asking policy whether to {words}")
        while True:
            asked, decision = await self._decided(rung)
            if isinstance(decision, Allowed):
                return decision
            if not isinstance(decision, Escalated) or rung.askings == MAX_ASKINGS:
                await show_proposal(decision, asked, rung.step, self.run_url)
                return rung.report("denied", _why_denied(decision))
            rung.askings += 1
            self.tell(f"waiting for people to decide whether to {words}")
            question = approval_id(asked.run, index, rung.askings)
            if isinstance(asked.effect, ChangeQuarantine):
                await about_to_ask(rung.reservation, asked.effect)
            answer = await self._ask_people(rung, asked, decision, question)
            match answer:
                case Approved(approval=approval):
                    rung.approval = approval
                case Superseded():
                    rung.approval = None
                case _:
                    if isinstance(answer, Rejected) and isinstance(asked.effect, ChangeQuarantine):
                        await turned_down(asked.reservation, asked.effect)
                    return rung.report(*_unlifted(answer, decision))

    async def _decided(self, rung: Rung) -> tuple[ReserveRequest, Decision]:
        """Policy's answer to what would be done by now. While nothing but a pause says no, the run parks."""
        while True:
            asked = await self._asked(rung)
            if rung.approval is not None and rung.approval.request_digest == asked.digest:
                asked = asked.model_copy(update={"approval": rung.approval})
            decision = await self.ledger.reserve(asked)
            self._saw(rung, decision)
            if not isinstance(decision, Denied) or not decision.paused:
                return asked, decision
            if not await self._park(decision.findings):
                return asked, decision

    async def _park(self, findings: Iterable[Finding]) -> bool:
        """Wait before asking again whether the pause is over; False: the run has waited long enough."""
        wait = parked_wait(self.parked)
        if wait is None:
            return False
        self.tell(_parked(findings))
        await workflow.sleep(wait, summary="parked by a pause: ask again")
        self.parked += wait
        return True

    async def _asked(self, rung: Rung) -> ReserveRequest:
        """What the ledger is asked for, with what it would change in the repository by now."""
        request, proposal, step = self.levers.request, self.levers.proposal, rung.step
        return ReserveRequest(
            reservation=rung.reservation,
            agent=request.agent,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            effect=step.effect,
            difference=await self.levers.preview(step.effect),
            cost=step.cost,
            evidence=proposal.evidence,
            affected=proposal.affected,
            lineage=step.lineage or proposal.lineage,
            requesters=proposal.barred(step),
        )

    async def _ask_people(
        self, rung: Rung, asked: ReserveRequest, escalated: Escalated, approval: str
    ) -> ApprovalResult:
        """How the question to people ended."""
        proposal = self.levers.proposal
        title = effect_words(asked.effect)
        question = ApprovalRequest(
            title=title[0].upper() + title[1:],
            agent=asked.agent,
            repository=asked.repository,
            service=asked.service,
            subject=asked.subject,
            run=proposal.id,
            run_url=self.run_url,
            effect=asked.effect,
            difference=asked.difference,
            request_digest=asked.digest,
            policy_digest=escalated.policy_digest,
            why=rung.step.why,
            reversibility=reversibility(asked.effect),
            findings=escalated.findings,
            error=proposal.title,
            evidence=proposal.evidence,
            terms=escalated.terms,
            requesters=asked.requesters,
        )

        async def moved() -> Supersede | None:
            try:
                now = await self._asked(rung)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                if not isinstance(error.cause, ApplicationError) or not error.cause.non_retryable:
                    return None  # it can't be seen now: no reason to bother people
                return Supersede(request_digest="", why=reason_of(error))
            if now.digest == asked.digest:
                return None
            return Supersede(
                request_digest=now.digest, why="the target has moved, and with it what would change"
            )

        changes_files = not isinstance(asked.effect, FlipFlag)
        return await ask_people(question, approval=approval, moved=moved if changes_files else None)

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
            case ChangeQuarantine():
                return await change_quarantine(self.levers, reservation, effect, timings)
            case _:
                assert_never(effect)

    def _saw(self, rung: Rung, decision: Decision) -> None:
        rung.saw(decision)
        if self.strictest is None or VERDICTS.index(rung.verdict) > VERDICTS.index(self.strictest):
            self.strictest = rung.verdict
            workflow.upsert_search_attributes([attributes.VERDICT.value_set(rung.verdict)])


def _unlifted(answer: Rejected | Expired, escalated: Escalated) -> tuple[Literal["rejected", "expired"], str]:
    """What it means when people did not say yes."""
    if isinstance(answer, Rejected):
        said = f": {Untrusted(answer.reason).for_terminal(300)}" if answer.reason else ""
        return "rejected", f"{Untrusted(answer.by).for_terminal(100)} said no{said}"
    return "expired", f"nobody answered in {escalated.terms.expires_after}"


def _why_denied(decision: Denied | Escalated) -> str:
    """In short; the findings say the rest."""
    if isinstance(decision, Escalated):
        return f"people were asked {MAX_ASKINGS} times, and no answer covers what would be done now"
    if decision.would is not None:
        would = {"allow": "allowed it", "escalate": "asked people", "deny": "denied it"}[decision.would]
        return f"observed only: policy would have {would}"
    if decision.paused:
        return f"{_parked(decision.findings)}; that lasted {PARKED_AT_MOST}"
    retry = f"; it may pass from {decision.retry_at:%Y-%m-%d %H:%M} UTC on" if decision.retry_at else ""
    rules = ", ".join(finding.rule for finding in decision.findings)
    return f"denied by {rules}{retry}"


def _parked(findings: Iterable[Finding]) -> str:
    """Which pauses stand in the way, whose, and why."""
    pauses = (finding.observed for finding in findings if finding.rule == PAUSE)
    return f"parked: {Untrusted('; '.join(pauses)).for_terminal(400)}"
