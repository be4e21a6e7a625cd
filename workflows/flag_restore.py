"""A flag switched back: at once because a person wants an effect undone, or when the time of a kill is over.

Whoever has changed the flag in the meantime has decided; then it stays as it is.
"""

import asyncio
import contextlib
from datetime import timedelta
from urllib.parse import quote

from pydantic import Field
from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities.flag_rollout import FlagRolloutActivities
    from activities.flags import FlagActivities
    from leverframe.model.errors import LeverframeError
    from leverframe.model.flags import FlagName, FlagReading, Whole
    from leverframe.model.frozen import Frozen, Instant, Slug
    from leverframe.model.outcomes import Outcome
    from leverframe.model.proposals import MAX_REQUESTERS, Cost, FlipFlag, Measurement
    from leverframe.model.untrusted import Untrusted
    from policies.decision import Escalated, Reservation, ReserveRequest
    from policies.explain import effect_words
    from workflows import attributes
    from workflows.messages import ApprovalRequest
    from workflows.permit import Permit
    from workflows.pulled import reversibility
    from workflows.queues import HANDS
    from workflows.release.helm import Order
    from workflows.release.reasons import reason
    from workflows.run_ledger import RunLedger
    from workflows.telling import tell_the_end

AGENT = "flag_restore"
"""As policy knows it: `agents/flag_restore.yaml` says what may be switched back, and who is asked."""
LOOK_EVERY = timedelta(hours=1)
"""How often it is looked whether somebody has changed the flag, while the time is not over."""


class RestoreRequest(Frozen):
    """A flag that should be as it was."""

    repository: Slug
    service: Slug
    flag: FlagName
    on: bool
    """What it should be again."""
    switched_by: str
    """The key that it was switched with: only while nobody has changed it since is it switched back."""
    at: Instant
    """Not before."""
    by: Order
    """Who wants it back, and why."""
    run: str = ""
    """The agent run whose effect it was; empty for a person's."""
    barred: tuple[str, ...] = ()
    """Who must not approve besides: git addresses and logins of who is behind the trouble."""
    ui_url: str = ""


class RestoreReport(Frozen):
    """How a restore stands: the answer of the query `report`, and its end."""

    flag: FlagName
    on: bool
    at: Instant
    by: str
    outcome: Outcome | None = None
    detail: str
    kept: Order | None = None
    """Who wants it to stay as it is."""
    timings_ms: dict[str, int] = Field(default={})
    """`due_to_effect`, and `applied_to_effect`: from the switch to an evaluation that sees it."""


@workflow.defn(
    name="FlagRestoreWorkflow",
    versioning_behavior=VersioningBehavior.PINNED,
    failure_exception_types=[LeverframeError],
)
class FlagRestoreWorkflow:
    """Waits until it is time, asks policy, switches the flag back, and sees that it is."""

    @workflow.init
    def __init__(self, request: RestoreRequest) -> None:
        self._request = request
        info = workflow.info()
        self._key = f"{info.workflow_id}/{info.start_time:%Y%m%dT%H%M%S%f}"
        self._ledger = RunLedger()
        self._report = RestoreReport(
            flag=request.flag, on=request.on, at=request.at, by=request.by.person, detail="it begins"
        )

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreReport:
        """It ends with a report, whatever happens on the way."""
        try:
            outcome, detail = await self._carry_out()
        except (ActivityError, ChildWorkflowError) as error:
            outcome, detail = Outcome.FAILED, reason(error)
        except asyncio.CancelledError:
            outcome, detail = Outcome.REJECTED, "somebody cancelled it: the flag stays as it is"
        for reservation in tuple(self._ledger.unsettled):
            await self._ledger.settle(reservation, outcome)
        self._tell(detail, outcome=outcome)
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome.value)])
        told = (
            f"The flag {request.flag} of {request.service}, to be {self._word} again for {request.by.person}"
        )
        await tell_the_end(self._key, f"{told}: {detail}")
        return self._report

    @workflow.update
    def keep(self, order: Order) -> RestoreReport:
        """Leave the flag as it is."""
        self._report = self._report.model_copy(update={"kept": order})
        return self._report

    @keep.validator
    def _may_keep(self, order: Order) -> None:
        if self._report.outcome is not None:
            raise ApplicationError(f"it has ended: {self._report.outcome.value}", type="Refused")
        if self._ledger.committed:
            raise ApplicationError("the flag is being switched back already", type="Refused")

    @workflow.query
    def report(self) -> RestoreReport:
        """How it stands."""
        return self._report

    async def _carry_out(self) -> tuple[Outcome, str]:
        first = await self._read()
        if (changed := self._changed(first, first)) is not None:
            return Outcome.SUPERSEDED, changed
        while (left := self._request.at - workflow.now()) > timedelta(0):
            self._tell(f"{self._word} again at {self._request.at:%Y-%m-%d %H:%M:%S} UTC")
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._report.kept is not None,
                    timeout=min(left, LOOK_EVERY),
                    timeout_summary=f"{self._request.flag} waits to be switched back",
                )
            if (stays := await self._stays(first)) is not None:
                return stays
        self._tell(f"asking policy whether to switch it {self._word}")
        permit = Permit(wanted=self._wanted(), ledger=self._ledger, question=self._question, tell=self._tell)
        refused = await permit.refused()
        if refused is not None:
            return Outcome.REJECTED, f"{refused}. The flag stays as it is."
        if (stays := await self._stays(first)) is not None:
            return stays
        assert permit.granted is not None  # noqa: S101 - it was not refused
        return await self._switch(permit.granted)

    async def _stays(self, first: FlagReading) -> tuple[Outcome, str] | None:
        """Why it is not to be switched back any more."""
        if self._report.kept is not None:
            return Outcome.REJECTED, self._report.kept.words("keeps the flag as it is")
        changed = self._changed(first, await self._read())
        return None if changed is None else (Outcome.SUPERSEDED, changed)

    def _changed(self, first: FlagReading, now: FlagReading) -> str | None:
        if now.changed_by != self._request.switched_by:
            return f"somebody has changed it since: it is {now.words()}, last by {now.changed_by or 'hand'}"
        if now.revision != first.revision or now.audience != Whole(on=not self._request.on):
            return f"somebody has changed it by hand since: it is {now.words()}"
        return None

    async def _switch(self, reservation: Reservation) -> tuple[Outcome, str]:
        request = self._request
        flipped = await workflow.execute_activity_method(
            FlagActivities.flip,
            reservation,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=15),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary=f"switch the flag {request.flag} {self._word} again",
        )
        check = await workflow.execute_activity_method(
            FlagActivities.verify_flag,
            args=[request.flag, request.on],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=15),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary=f"evaluate {request.flag} as the service does",
        )
        if not check.ok:
            return (
                Outcome.FAILED,
                f"{request.flag} was written {self._word}, but still evaluates the other way",
            )
        spans = {
            "due_to_effect": check.verified_at - request.at,
            "applied_to_effect": check.verified_at - flipped.written_at,
        }
        timings = {name: max(0, round(span / timedelta(milliseconds=1))) for name, span in spans.items()}
        self._report = self._report.model_copy(update={"timings_ms": timings})
        return Outcome.LANDED, f"{request.flag} is {self._word} again, verified by an evaluation"

    @property
    def _word(self) -> str:
        return "on" if self._request.on else "off"

    async def _read(self) -> FlagReading:
        return await workflow.execute_activity_method(
            FlagRolloutActivities.read_flag,
            self._request.flag,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=15),
            schedule_to_close_timeout=timedelta(hours=1),
            summary=f"see who has {self._request.flag}",
        )

    def _wanted(self) -> ReserveRequest:
        request = self._request
        return ReserveRequest(
            reservation=self._key,
            agent=AGENT,
            repository=request.repository,
            service=request.service,
            subject=request.flag,
            effect=FlipFlag(flag=request.flag, on=request.on),
            cost=Cost(),
            requesters=tuple(dict.fromkeys((request.by.person, *request.barred)))[:MAX_REQUESTERS],
        )

    def _question(self, asked: ReserveRequest, escalated: Escalated) -> ApprovalRequest:
        request, info = self._request, workflow.info()
        where = f"/namespaces/{info.namespace}/workflows/{quote(info.workflow_id, safe='')}"
        words = effect_words(asked.effect)
        switched = f"; {request.run} had switched it" if request.run else ""
        return ApprovalRequest(
            title=words[0].upper() + words[1:],
            agent=AGENT,
            repository=request.repository,
            service=request.service,
            subject=request.flag,
            run=info.workflow_id,
            run_url=request.ui_url.rstrip("/") + where,
            effect=asked.effect,
            request_digest=asked.digest,
            policy_digest=escalated.policy_digest,
            why=request.by.words("wants it as it was") + switched,
            reversibility=reversibility(asked.effect),
            findings=escalated.findings,
            error=Untrusted(f"the flag {request.flag}"),
            evidence=(
                Measurement(
                    name="hours since it was to be switched back",
                    observed=int((workflow.now() - request.at) / timedelta(hours=1)),
                    threshold=0,
                    unit="hours",
                ),
            ),
            terms=escalated.terms,
            requesters=asked.requesters,
        )

    def _tell(self, detail: str, *, outcome: Outcome | None = None) -> None:
        self._report = self._report.model_copy(update={"detail": detail, "outcome": outcome})
        request = self._request
        standing = outcome.value.replace("_", " ") if outcome else "now"
        workflow.set_current_details(
            f"**`{request.flag}`** of {request.service}: {self._word} again, as "
            f"{Untrusted(request.by.words('wants')).for_markdown(300)}\n\n"
            f"**{standing}:** {Untrusted(detail).for_markdown(500)}"
        )
