"""One agent run, from a detection to an outcome: investigate, propose, climb the ladder, settle.

It carries every agent, so no agent can forget the policy, the train or the canary: agents only propose.
A crash at any point leads to the same end, because every effect is keyed by its reservation, which is
`<run>/<step>`.
"""

import asyncio
import contextlib
from datetime import timedelta
from urllib.parse import quote

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import (
    ActivityError,
    ChildWorkflowError,
    TemporalError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.investigate import InvestigateActivities
    from activities.pulse import heartbeat_timeout
    from agents.contract import RunContext
    from agents.registry import agent
    from leverframe.model.changes import CarOutcome
    from leverframe.model.errors import LeverframeError
    from leverframe.model.facts import Facts
    from leverframe.model.ids import restore_id
    from leverframe.model.outcomes import Outcome, RunReport, StepReport
    from leverframe.model.proposals import FlipFlag, NoAction, Proposal, Step
    from leverframe.model.releases import ReleaseOutcome
    from policies.explain import effect_words
    from workflows import attributes
    from workflows.flag_restore import FlagRestoreWorkflow, RestoreRequest
    from workflows.levers import Levers
    from workflows.messages import RunRequest, RunSettled
    from workflows.pulled import Mailbox
    from workflows.queues import HANDS
    from workflows.release.helm import Order
    from workflows.riding import reason_of
    from workflows.run_ledger import RunLedger
    from workflows.run_story import tell
    from workflows.rungs import Climber, Rung


@workflow.defn(
    name="RemediationWorkflow",
    versioning_behavior=VersioningBehavior.PINNED,
    failure_exception_types=[LeverframeError],
)
class RemediationWorkflow:
    """The thing that a person opens to see what an agent did and why."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._proposal: Proposal | None = None
        self._taken: list[tuple[Rung, StepReport]] = []
        self._mailbox = Mailbox()
        self._ledger = RunLedger()
        self._detail = "looking into it"
        self._outcome: Outcome | None = None

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        """The whole run. It ends with a report, whatever happens on the way."""
        self._now("gathering facts")
        try:
            outcome, detail = await self._carry_out()
        except (ActivityError, ChildWorkflowError, LeverframeError, asyncio.CancelledError) as error:
            outcome = Outcome.FAILED
            detail = "somebody cancelled the run" if is_cancelled_exception(error) else reason_of(error)
        return await self._settle(outcome, detail)

    @workflow.signal(description="A change of this run has left the train")
    def car_settled(self, outcome: CarOutcome) -> None:
        """Keep it for whoever waits; a second word on the same change replaces the first."""
        self._mailbox.cars[outcome.change] = outcome

    @workflow.signal(description="A release of this run has ended")
    def release_settled(self, outcome: ReleaseOutcome) -> None:
        """Keep it for whoever waits."""
        self._mailbox.releases[outcome.sha] = outcome

    @workflow.query(description="What the run has found and done so far")
    def report(self) -> RunReport:
        """The report as of now; its outcome is None while the run goes on."""
        return RunReport(
            run=workflow.info().workflow_id,
            agent=self._request.agent,
            repository=self._request.repository,
            service=self._request.service,
            subject=self._request.subject,
            outcome=self._outcome,
            detail=self._detail,
            detected_at=self._request.detected_at,
            ended_at=workflow.now() if self._outcome else None,
            proposal=self._proposal,
            steps=tuple(report for _, report in self._taken),
        )

    async def _carry_out(self) -> tuple[Outcome, str]:
        """Facts, a proposal, and its ladder."""
        responsible = agent(self._request.agent)
        context = self._context()
        facts: Facts = await workflow.execute_activity_method(
            InvestigateActivities.gather,
            responsible.needs(self._request.due, context),
            task_queue=HANDS,
            start_to_close_timeout=timedelta(minutes=10),
            schedule_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=heartbeat_timeout(InvestigateActivities.gather),
            summary=f"gather facts about {self._request.subject}",
        )
        answer = responsible.propose(self._request.due, facts, context)
        if isinstance(answer, NoAction):
            return Outcome.REJECTED, f"no action: {answer.why}"
        self._proposal = answer
        levers = Levers(request=self._request, proposal=answer, facts=facts, mailbox=self._mailbox)
        climber = Climber(levers=levers, ledger=self._ledger, run_url=context.run_url, tell=self._now)
        return await self._ladder(answer, climber)

    async def _ladder(self, proposal: Proposal, climber: Climber) -> tuple[Outcome, str]:
        """The first mitigation that works, then every repair, then what a proven repair lets restore."""
        mitigation = await self._mitigated(proposal, climber)
        repairs = [await self._take(climber, index, step) for index, step in _of(proposal, "repair")]
        # A subject has one mitigation at a time: this one is over before it may be undone.
        if mitigation is not None:
            await self._ledger.settle(mitigation.reservation, mitigation.outcome)
        restored = False
        if mitigation is not None and repairs and all(rung.proven for rung, _ in repairs):
            for index, step in _of(proposal, "restore"):
                if _undoes(step, mitigation.step):
                    _, report = await self._take(climber, index, step)
                    restored = restored or report.result == "done"
        outcome, detail = _conclusion(self._taken)
        if mitigation is not None and not restored:
            detail += await self._given_an_end(mitigation)
        for rung in _in_vain(self._taken):
            detail += await self._given_back(rung, helped=mitigation)
        return outcome, detail

    async def _mitigated(self, proposal: Proposal, climber: Climber) -> Rung | None:
        """The mitigation after which the signal was healthy: the next one is climbed only while it is not."""
        for index, step in _of(proposal, "mitigate"):
            if self._taken and await climber.levers.healthy():
                self._keep(climber.skip(index, step, "not needed: the errors have ended by themselves"))
                return None
            rung, report = await self._take(climber, index, step)
            if report.result == "done":
                return rung
        return None

    async def _given_an_end(self, mitigation: Rung) -> str:
        """A kill that carries its end: another workflow waits for it, longer than the run lasts."""
        effect, minutes = mitigation.step.effect, mitigation.step.restore_after_minutes
        if minutes is None or not isinstance(effect, FlipFlag):
            return ""
        word = "on" if effect.on else "off"
        after, why = timedelta(minutes=minutes), f"it was to be {word} for {minutes} minutes"
        return await self._switched_back(effect, mitigation, after=after, why=why)

    async def _given_back(self, kill: Rung, *, helped: Rung | None) -> str:
        """A kill that did not help stays while the run lasts, and after it unless another lever helped.

        To switch a suspect on again amid an incident is the riskier error, and would blur what the next lever
        does. Once the signal is healthy by another lever there is no reason left to keep it off.
        """
        effect = kill.step.effect
        if not isinstance(effect, FlipFlag):
            return ""
        if helped is not None:
            why = f"to switch it did not help, to {effect_words(helped.step.effect)} did"
            return await self._switched_back(effect, kill, after=timedelta(0), why=why)
        word = "on" if effect.on else "off"
        said = f"; {effect.flag} stays {word}: `leverframe runs undo` switches it back"
        return await self._given_an_end(kill) or said

    async def _switched_back(self, effect: FlipFlag, switched: Rung, *, after: timedelta, why: str) -> str:
        """Begin what asks policy to switch a flag back, now or later; it outlives the run."""
        request = self._request
        at = workflow.now() + after
        try:
            await workflow.start_child_workflow(
                FlagRestoreWorkflow.run,
                RestoreRequest(
                    repository=request.repository,
                    service=request.service,
                    flag=effect.flag,
                    on=not effect.on,
                    switched_by=switched.reservation,
                    at=at,
                    by=Order(person=request.agent, reason=why),
                    barred=self._proposal.barred(switched.step) if self._proposal else (),
                    run=workflow.info().workflow_id,
                    ui_url=request.ui_url,
                ),
                id=restore_id(request.service, effect.flag),
                task_queue=HANDS,
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=attributes.about(repository=request.repository, subject=effect.flag),
                static_summary=f"Switch {effect.flag} of {request.service} back",
            )
        except WorkflowAlreadyStartedError:
            return f"; {effect.flag} is to be switched back already"
        return f"; policy is asked to switch {effect.flag} back at {at:%Y-%m-%d %H:%M} UTC"

    async def _take(self, climber: Climber, index: int, step: Step) -> tuple[Rung, StepReport]:
        """One step; what is over is settled at once, a standing mitigation later."""
        rung, report = self._keep(await climber.take(index, step))
        if step.purpose != "mitigate" or report.result != "done":
            await self._ledger.settle(rung.reservation, rung.outcome)
        return rung, report

    def _keep(self, taken: tuple[Rung, StepReport]) -> tuple[Rung, StepReport]:
        self._taken.append(taken)
        self._now(taken[1].detail)
        return taken

    async def _settle(self, outcome: Outcome, detail: str) -> RunReport:
        """Give every reservation the end that is known, tell the watch, and write the last page."""
        ends = {rung.reservation: rung.outcome for rung, _ in self._taken}
        while self._ledger.unsettled:
            reservation = self._ledger.unsettled[0]
            # A run is cancelled once at most, and one that ends already settles what it owes.
            with contextlib.suppress(ActivityError):
                await self._ledger.settle(reservation, ends.get(reservation))
        self._outcome = outcome
        self._now(detail)
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome.value)])
        watch = workflow.get_external_workflow_handle(self._request.watch)
        try:
            await watch.signal("run_settled", RunSettled(run=workflow.info().workflow_id, outcome=outcome))
        except TemporalError as error:
            workflow.logger.warning("the watch %s was not told: %s", self._request.watch, error)
        return self.report()

    def _context(self) -> RunContext:
        info = workflow.info()
        where = f"/namespaces/{info.namespace}/workflows/{quote(info.workflow_id, safe='')}"
        return RunContext(
            run=info.workflow_id,
            run_url=self._request.ui_url.rstrip("/") + where,
            repository=self._request.repository,
            service=self._request.service,
            subject=self._request.subject,
            now=workflow.now(),
        )

    def _now(self, detail: str) -> None:
        """Say what is going on, for the query and for the page in the Temporal UI."""
        self._detail = detail
        workflow.set_current_details(tell(self._request, self.report()))


def _of(proposal: Proposal, purpose: str) -> list[tuple[int, Step]]:
    """The steps of one purpose, with their places in the ladder."""
    return [(index, step) for index, step in enumerate(proposal.steps) if step.purpose == purpose]


def _in_vain(taken: list[tuple[Rung, StepReport]]) -> list[Rung]:
    """The flags that were switched to mitigate, and did not."""
    return [rung for rung, report in taken if report.result == "failed" and rung.switched]


def _undoes(restore: Step, mitigation: Step) -> bool:
    """Whether a restore step undoes exactly the mitigation that worked."""
    on, off = restore.effect, mitigation.effect
    return isinstance(on, FlipFlag) and isinstance(off, FlipFlag) and on.flag == off.flag


def _conclusion(taken: list[tuple[Rung, StepReport]]) -> tuple[Outcome, str]:
    """The run's outcome: the repair's if there was one; a mitigation stands in for a repair not allowed."""
    said = "; ".join(report.detail for _, report in taken)
    mitigated = any(report.purpose == "mitigate" and report.result == "done" for _, report in taken)
    rung, report = next((one for one in reversed(taken) if one[1].purpose == "repair"), taken[-1])
    match report.result:
        case "done":
            return Outcome.LANDED, said
        case "failed":
            ended = (Outcome.ROLLED_BACK, Outcome.SUPERSEDED, Outcome.REJECTED)
            return rung.outcome if rung.outcome in ended else Outcome.FAILED, said
        case "expired":
            return Outcome.LANDED if mitigated else Outcome.EXPIRED, said
        case _:
            return Outcome.LANDED if mitigated else Outcome.REJECTED, said
