"""An effect of a run undone because a person wants it: a roll-back, or a change that landed.

Production is pointed forward again, what landed is reverted, or tests leave the quarantine, by policy's and
people's leave and by the same train. Whoever has changed the same thing in the meantime has decided; then it
stays as it is.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from pydantic import Field
from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ChildWorkflowError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.forge import ForgeActivities, RevertRequest, RollBackRequest
    from activities.pulse import heartbeat_timeout
    from activities.undo import Undoable, UndoActivities, UndoLook
    from leverframe.model.changes import CarOutcome, Change, Priority
    from leverframe.model.differences import TreeDifference
    from leverframe.model.errors import LeverframeError
    from leverframe.model.frozen import Frozen, Sha, Slug
    from leverframe.model.outcomes import Outcome
    from leverframe.model.proposals import (
        MAX_REQUESTERS,
        ChangeQuarantine,
        Cost,
        Effect,
        Measurement,
        RevertChange,
        RollBack,
    )
    from leverframe.model.releases import ReleaseOutcome
    from leverframe.model.untrusted import Untrusted
    from policies.decision import Escalated, Reservation, ReserveRequest
    from policies.explain import effect_words
    from workflows import attributes, quarantining
    from workflows.messages import ApprovalRequest
    from workflows.permit import Permit
    from workflows.pulled import Mailbox, reversibility
    from workflows.queues import HANDS
    from workflows.release.helm import Order
    from workflows.release.reasons import reason
    from workflows.riding import Rider, record_effect
    from workflows.run_ledger import RunLedger
    from workflows.telling import tell_the_end

AGENT = "undo"
"""As policy knows it: `agents/undo.yaml` says what may be undone, and who is asked."""


class UndoRequest(Frozen):
    """An effect of a run that should be undone."""

    repository: Slug
    service: Slug
    subject: str
    run: str
    change: str
    """The change that it opened."""
    back_to: Sha | None = None
    """Of a roll-back: what it put production back to."""
    quarantine: ChangeQuarantine | None = None
    """Of a change of the quarantine file: what it did."""
    by: Order
    """Who wants it undone, and why."""
    barred: tuple[str, ...] = ()
    """Who must not approve besides: git addresses and logins of who is behind the trouble."""
    ui_url: str = ""


class UndoReport(Frozen):
    """How an undo stands: the answer of the query `report`, and its end."""

    change: str
    by: str
    looked: bool = False
    """Whether it is known by now what would have to be done."""
    doing: str = ""
    """What is done, verb first."""
    outcome: Outcome | None = None
    detail: str = "looking whether it can be undone"
    timings_ms: dict[str, int] = Field(default={})
    """`asked_to_landed`, `asked_to_effect`, and `applied_to_effect`: from the pull of the lever."""


End = tuple[Outcome | None, str]
"""How it ended, None when nobody knows yet, and a sentence."""


@workflow.defn(
    name="UndoWorkflow",
    versioning_behavior=VersioningBehavior.PINNED,
    failure_exception_types=[LeverframeError],
)
class UndoWorkflow:
    """Looks what undoing comes to, asks policy, does it by the train, and sees that it is done."""

    @workflow.init
    def __init__(self, request: UndoRequest) -> None:
        self._request = request
        info = workflow.info()
        self._key = f"{info.workflow_id}/{info.start_time:%Y%m%dT%H%M%S%f}"
        self._asked_at = info.start_time
        self._ledger = RunLedger()
        self._rider = Rider(repository=request.repository, agent=AGENT, mailbox=Mailbox())
        self._report = UndoReport(change=request.change, by=request.by.person)

    @workflow.run
    async def run(self, request: UndoRequest) -> UndoReport:
        """It ends with a report, whatever happens on the way."""
        try:
            known, detail = await self._carry_out()
        except (ActivityError, ChildWorkflowError) as error:
            known = None if self._ledger.committed else Outcome.FAILED
            detail = "somebody cancelled it" if is_cancelled_exception(error) else reason(error)
        except asyncio.CancelledError:
            known, detail = None if self._ledger.committed else Outcome.REJECTED, "somebody cancelled it"
        for reservation in tuple(self._ledger.unsettled):
            await self._ledger.settle(reservation, known)
        outcome = known or Outcome.FAILED
        self._tell(detail, outcome=outcome)
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome.value)])
        await tell_the_end(self._key, f"The undo of {request.change} for {request.by.person}: {detail}")
        return self._report

    @workflow.signal(description="The change that undoes it has left the train")
    def car_settled(self, outcome: CarOutcome) -> None:
        """Keep it for whoever waits."""
        self._rider.mailbox.cars[outcome.change] = outcome

    @workflow.signal(description="The release of the change that undoes it has ended")
    def release_settled(self, outcome: ReleaseOutcome) -> None:
        """Keep it for whoever waits."""
        self._rider.mailbox.releases[outcome.sha] = outcome

    @workflow.query
    def report(self) -> UndoReport:
        """How it stands."""
        return self._report

    async def _carry_out(self) -> End:
        try:
            effect = self._opposite(await self._look())
            difference = await self._preview(effect)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return Outcome.REJECTED, f"it can't be undone: {reason(error)}"
        words = effect_words(effect)
        self._report = self._report.model_copy(update={"looked": True, "doing": words})
        self._tell(f"asking policy whether to {words}")
        wanted = self._wanted(effect, difference)
        permit = Permit(wanted=wanted, ledger=self._ledger, question=self._question, tell=self._tell)
        if (refused := await permit.refused()) is not None:
            return Outcome.REJECTED, f"{refused}. It stays as it is."
        assert permit.granted is not None  # noqa: S101 - it was not refused
        self._tell(f"doing it: {words}")
        if isinstance(effect, RollBack):
            return await self._point_forward(permit.granted, effect)
        if isinstance(effect, ChangeQuarantine):
            return await self._lift(permit.granted, effect)
        return await self._revert(permit.granted)

    def _opposite(self, found: Undoable) -> RollBack | RevertChange | ChangeQuarantine:
        """What undoes it."""
        if found.forward is not None:
            return found.forward
        request = self._request
        by, why = (Untrusted(text).for_markdown(300) for text in (request.by.person, request.by.reason))
        if request.quarantine is not None:
            return ChangeQuarantine(
                repository=request.repository,
                leave=found.lifted,
                amend=found.restored,
                staying=found.staying,
                tests=request.quarantine.tests,
                title=_undoes(found),
                body=f"{by} wants undone what `{request.run}` quarantined as `{found.landed}`: {why}\n",
            )
        return RevertChange(
            repository=request.repository,
            commit=found.landed,
            title=f"Revert {found.landed[:12]}: undo {request.change}",
            body=f"{by} wants what `{request.run}` landed as `{found.landed}` undone: {why}\n",
        )

    async def _point_forward(self, reservation: Reservation, effect: RollBack) -> End:
        """Production's overlay forward again, as a hotfix on the train; the commit stable at once.

        It has been through the canary before it was rolled back, and a person has said yes.
        """
        applied = workflow.now()
        await self._look()  # people took their time
        why = self._request.by.words("undoes a roll-back")[:400]
        change = await workflow.execute_activity_method(
            ForgeActivities.roll_back,
            args=[reservation, RollBackRequest(at=applied, reason=why)],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"point production at {effect.to[:12]}",
        )
        if change is not None:
            ride = await self._rider.carry(change)
            if ride.landed_as is None:
                return (Outcome.FAILED if ride.over else None), ride.detail
            self._took("asked_to_landed", self._asked_at, workflow.now())
        if (missing := await self._rider.not_forward(effect.to)) is not None:
            return None, f"the overlay names {effect.to[:12]}, but {missing}"
        self._took_effect(effect, applied)
        return Outcome.LANDED, f"production runs {effect.to[:12]} again, alone"

    async def _lift(self, reservation: Reservation, effect: ChangeQuarantine) -> End:
        """The tests out of the quarantine file by the train; nothing of that is released.

        A person has said that they do not belong there: the agent is told, as if the change had been closed.
        """
        assert self._request.quarantine is not None  # noqa: S101 - else it is no such effect
        applied = workflow.now()
        change = await quarantining.open_change(reservation, effect)
        self._tell(f"{change.id} rides the train")
        ride = await self._rider.carry(change, Priority.NORMAL)
        if ride.landed_as is None:
            return (Outcome.FAILED if ride.over else None), ride.detail
        self._took("asked_to_landed", self._asked_at, workflow.now())
        said = f"{change.id} landed as {ride.landed_as[:12]}"
        await quarantining.keep(change.id, effect, "over")
        did = self._request.quarantine
        entered = tuple(one for one in did.enter if one.entry.test in effect.leave)
        restored = {one.entry.test for one in effect.amend}
        amended = tuple(one for one in did.amend if one.entry.test in restored)
        turned_down = did.model_copy(update={"enter": entered, "leave": (), "amend": amended})
        # By a name of its own: the merge request that quarantined them stays what it was, landed.
        await quarantining.keep(self._key, turned_down, "rejected")
        if not await quarantining.holds(effect, ride.landed_as):
            return Outcome.FAILED, f"{said}, but its quarantine file still names some of the tests"
        self._took_effect(effect, applied)
        if not effect.leave:
            return Outcome.LANDED, f"{said}; as before, not to be proposed again: {_tests(effect.amend)}"
        return Outcome.LANDED, f"{said}; out of quarantine, not to be proposed again: {_tests(effect.leave)}"

    async def _revert(self, reservation: Reservation) -> End:
        """The revert, by the train and its release."""
        applied = workflow.now()
        change: Change = await workflow.execute_activity_method(
            ForgeActivities.revert,
            args=[reservation, RevertRequest(at=applied)],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"open a merge request that undoes {self._request.change}",
        )
        self._tell(f"{change.id} rides the train")
        ride = await self._rider.carry(change)
        if ride.landed_as is None:
            return (Outcome.FAILED if ride.over else None), ride.detail
        landed = ride.landed_as
        self._took("asked_to_landed", self._asked_at, workflow.now())
        self._tell(f"{change.id} landed as {landed[:12]}; its release is on its way")
        release = await self._rider.released(landed)
        if release is None:
            return None, f"{change.id} landed as {landed[:12]}; the end of its release is not known"
        said = f"{change.id} landed as {landed[:12]}"
        if release.outcome != "landed":
            return Outcome(release.outcome), f"{said}; its release: {release.outcome}: {release.detail}"
        self._took_effect(reservation.effect, applied)
        return Outcome.LANDED, f"{said} and reached {release.reached_percent} % of production"

    async def _look(self) -> Undoable:
        """What undoing comes to by now. Raises ActivityError: nothing can be undone."""
        request = self._request
        return await workflow.execute_activity_method(
            UndoActivities.undoable,
            UndoLook(
                repository=request.repository,
                change=request.change,
                back_to=request.back_to,
                quarantine=request.quarantine,
            ),
            task_queue=HANDS,
            start_to_close_timeout=timedelta(minutes=2),
            schedule_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=heartbeat_timeout(UndoActivities.undoable),
            summary=f"look whether {request.change} can be undone",
        )

    async def _preview(self, effect: Effect) -> TreeDifference | None:
        return await workflow.execute_activity_method(
            ForgeActivities.preview,
            args=[self._request.repository, effect, workflow.now()],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(minutes=2),
            schedule_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=heartbeat_timeout(ForgeActivities.preview),
            summary=f"what would change: {effect_words(effect)}",
        )

    def _wanted(self, effect: Effect, difference: TreeDifference | None) -> ReserveRequest:
        request = self._request
        return ReserveRequest(
            reservation=self._key,
            agent=AGENT,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            effect=effect,
            difference=difference,
            cost=Cost(),
            requesters=tuple(dict.fromkeys((request.by.person, *request.barred)))[:MAX_REQUESTERS],
        )

    def _question(self, asked: ReserveRequest, escalated: Escalated) -> ApprovalRequest:
        request, info = self._request, workflow.info()
        where = f"/namespaces/{info.namespace}/workflows/{quote(info.workflow_id, safe='')}"
        words = effect_words(asked.effect)
        return ApprovalRequest(
            title=words[0].upper() + words[1:],
            agent=AGENT,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            run=info.workflow_id,
            run_url=request.ui_url.rstrip("/") + where,
            effect=asked.effect,
            difference=asked.difference,
            request_digest=asked.digest,
            policy_digest=escalated.policy_digest,
            why=f"{request.by.words('wants it')}; {request.run} had done the opposite by {request.change}",
            reversibility=reversibility(asked.effect),
            findings=escalated.findings,
            error=Untrusted(f"undo of {request.change}"),
            evidence=(Measurement(name="undo asked for", observed=1, threshold=1, unit="person"),),
            terms=escalated.terms,
            requesters=asked.requesters,
        )

    def _took(self, name: str, since: datetime, until: datetime) -> None:
        spent = max(0, round((until - since) / timedelta(milliseconds=1)))
        timings = {**self._report.timings_ms, name: spent}
        self._report = self._report.model_copy(update={"timings_ms": timings})

    def _took_effect(self, effect: Effect, applied: datetime) -> None:
        """Keep how long it took, from the asking and from the pull, until the effect was seen."""
        now = workflow.now()
        self._took("asked_to_effect", self._asked_at, now)
        self._took("applied_to_effect", applied, now)
        record_effect(effect.lever.value, AGENT, now - applied)

    def _tell(self, detail: str, *, outcome: Outcome | None = None) -> None:
        self._report = self._report.model_copy(update={"detail": detail, "outcome": outcome})
        request = self._request
        standing = outcome.value.replace("_", " ") if outcome else "now"
        workflow.set_current_details(
            f"**Undo of `{request.change}`**, by which `{request.run}` acted on {request.service}, as "
            f"{Untrusted(request.by.words('wants')).for_markdown(300)}\n\n"
            f"**{standing}:** {Untrusted(detail).for_markdown(500)}"
        )


def _undoes(found: Undoable) -> str:
    if not found.lifted:
        return f"Restore the quarantine entries of {_tests(found.restored)}"
    return f"Undo the quarantine of {_tests(found.lifted)}"


def _tests(tests: Sequence[object]) -> str:
    return "1 test" if len(tests) == 1 else f"{len(tests)} tests"
