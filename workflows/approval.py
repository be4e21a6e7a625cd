"""An approval: one question to people about exactly one effect. Silence is no.

People answer through one door, the Update `decide`, whichever way they come. One no rejects; the quorum's
last yes approves. What they approve is bound to the digests of the request and of the policy.
"""

import asyncio
from datetime import timedelta
from typing import Literal, cast

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities, Reminder, Shown
    from activities.ledger import LedgerActivities
    from leverframe.model.errors import LeverframeError
    from leverframe.model.untrusted import Untrusted
    from policies.decision import Approval, Verdict
    from policies.people import Group
    from policies.question import Ending, Question, QuestionState
    from policies.reservations import AnsweredQuestion, AttentionRequest, Deferred
    from workflows import attributes
    from workflows.approval_page import page
    from workflows.ballot import Ballot
    from workflows.messages import (
        ApprovalRequest,
        ApprovalResult,
        Approved,
        Expired,
        QuestionStanding,
        Rejected,
        Supersede,
        Superseded,
        Vote,
        VoteRefusal,
    )
    from workflows.queues import HANDS

Ended = Literal["approved", "rejected", "expired", "withdrawn", "superseded"]
MAX_REMINDERS = 8
"""Whoever did not hear that many will not hear more."""
CHAT_RETRIES = RetryPolicy(maximum_interval=timedelta(seconds=30))


@workflow.defn(
    name="ApprovalWorkflow",
    versioning_behavior=VersioningBehavior.PINNED,
    failure_exception_types=[LeverframeError],
)
class ApprovalWorkflow:
    """Asks, counts votes, and answers `Approved`, `Rejected`, `Expired` or `Superseded`."""

    @workflow.init
    def __init__(self, request: ApprovalRequest) -> None:
        self._question = _question(request)
        self._ballot = Ballot(self._question)
        self._state: QuestionState = "open"
        self._moved = ""
        """Why it was superseded."""
        self._asked: list[Group] = []
        """The groups that were shown the question at once; the digest asks the others."""
        self._shown: list[str] = []

    @workflow.run
    async def run(self, request: ApprovalRequest) -> ApprovalResult:
        """Ask one group after the other until the quorum, one no, or the end of the time."""
        self._become(self._state)  # a vote may have come before
        workflow.upsert_search_attributes(
            [
                attributes.AGENT.value_set(request.agent),
                attributes.REPOSITORY.value_set(request.repository),
                attributes.SUBJECT.value_set(request.subject),
                attributes.VERDICT.value_set("escalate"),
            ]
        )
        talking = [
            asyncio.create_task(self._ask(group, after=place * request.terms.escalate_after))
            for place, group in enumerate(request.terms.chain)
        ]
        talking.append(asyncio.create_task(self._remind()))
        try:
            await workflow.wait_condition(
                lambda: self._state != "open",
                timeout=max(self._left(), timedelta(0)),
                timeout_summary="the question expires",
            )
        except TimeoutError:
            self._end("expired")
        except asyncio.CancelledError:
            self._end("withdrawn")
            await self._close(talking)
            raise
        await self._close(talking)
        return self._result()

    @workflow.update(description="Say yes or no to exactly the effect that was shown.")
    def decide(self, vote: Vote) -> str:
        """Count a vote; returns in words what it did."""
        self._ballot.cast(vote, workflow.now())
        self._become(self._ballot.verdict)
        return self._words()

    @decide.validator
    def _admit(self, vote: Vote) -> None:
        if self._state != "open" or self._left() <= timedelta(0):
            raise VoteRefusal.CLOSED.because(f"the question is closed: {self._words()}")
        refused = self._ballot.refusal(vote)
        if refused is not None:
            refusal, words = refused
            raise refusal.because(words)

    @workflow.signal(description="What was asked about is no longer what would be done.")
    def supersede(self, word: Supersede) -> None:
        """Void the question unless it is about that already."""
        if word.request_digest != self._question.request_digest:
            self._moved = self._moved or word.why
            self._end("superseded")

    @workflow.query(description="What was asked, and how it stands.")
    def question(self) -> QuestionStanding:
        return QuestionStanding(
            question=self._question,
            state=self._state,
            standing=self._words(),
            votes=tuple(self._ballot.votes),
            shown=tuple(self._shown),
        )

    async def _ask(self, group: Group, *, after: timedelta) -> None:
        """Show a group the question, or keep it for their digest. It can be answered even if this fails."""
        if after >= self._question.terms.expires_after:
            return
        if after:
            await workflow.sleep(after, summary=f"{group.name} is asked, too")
        question = self._question
        try:
            if await self._is_too_much_for(group):
                await workflow.execute_activity_method(
                    ChatActivities.hold,
                    args=[question, group.name],
                    task_queue=HANDS,
                    start_to_close_timeout=timedelta(seconds=30),
                    schedule_to_close_timeout=self._left(),
                    retry_policy=CHAT_RETRIES,
                    # One that is kept after its end would come with the next digest.
                    cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                    summary=f"keep the question for the digest of {group.name}",
                )
                return
            shown: Shown = await workflow.execute_activity_method(
                ChatActivities.ask,
                args=[question, group.name],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=self._left(),
                retry_policy=CHAT_RETRIES,
                # A question that shows up after its end would look open for ever.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"ask {group.name}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("%s could not be asked: %s", group.name, error.cause)
            return
        self._asked.append(group)
        self._noted(shown)

    async def _is_too_much_for(self, group: Group) -> bool:
        """Whether the group has been asked enough.

        Without the ledger's answer they are asked: once too often is better than never about what is risky.
        """
        question = self._question
        asking = AttentionRequest(
            approval=question.approval,
            agent=question.agent,
            repository=question.repository,
            service=question.service,
            subject=question.subject,
            lever=question.lever,
            group=group.name,
        )
        try:
            answer = await workflow.execute_activity_method(
                LedgerActivities.attend,
                asking,
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=20),
                schedule_to_close_timeout=min(timedelta(minutes=2), self._left()),
                summary=f"may {group.name} be asked now?",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning(
                "asking %s although the ledger does not say whether that is too much: %s",
                group.name,
                error.cause,
            )
            return False
        return isinstance(answer, Deferred)

    async def _remind(self) -> None:
        """Say again and again, but not for ever, that the question waits."""
        for _ in range(MAX_REMINDERS):
            await workflow.sleep(self._question.terms.remind_after, summary="remind people")
            for group in tuple(self._asked):
                missing = self._ballot.missing(group)
                if not missing:
                    continue
                reminder = Reminder(
                    question=self._question,
                    group=group.name,
                    missing=missing,
                    text=f"{self._words()}; open until {self._question.expires_at:%Y-%m-%d %H:%M} UTC, "
                    "then it is a no",
                )
                try:
                    shown: Shown = await workflow.execute_activity_method(
                        ChatActivities.remind,
                        reminder,
                        task_queue=HANDS,
                        start_to_close_timeout=timedelta(seconds=30),
                        schedule_to_close_timeout=min(self._question.terms.remind_after, self._left()),
                        retry_policy=CHAT_RETRIES,
                        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                        summary=f"remind {group.name}",
                    )
                except ActivityError as error:
                    if is_cancelled_exception(error):
                        raise
                    workflow.logger.warning("%s could not be reminded: %s", group.name, error.cause)
                else:
                    self._noted(shown)

    def _noted(self, shown: Shown) -> None:
        where = f"{shown.chat}: {shown.where}"
        if shown.where and where not in self._shown:
            self._shown.append(where)

    async def _close(self, talking: "list[asyncio.Task[None]]") -> None:
        """Say how it ended to the ledger and wherever it was shown; the answer waits a minute for a chat."""
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(self._state)])
        await asyncio.gather(self._tell_the_ledger(), self._tell_people())

    async def _tell_people(self) -> None:
        ending = Ending(
            state=self._state, text=self._words(), votes=self._ballot.lines(), ended_at=workflow.now()
        )
        try:
            await workflow.execute_activity_method(
                ChatActivities.close,
                args=[self._question.approval, ending],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary="say how the question ended",
            )
        except ActivityError as error:
            workflow.logger.warning("the question could not be closed: %s", error.cause)

    async def _tell_the_ledger(self) -> None:
        question = self._question
        answer = AnsweredQuestion(
            approval=question.approval,
            agent=question.agent,
            repository=question.repository,
            service=question.service,
            subject=question.subject,
            lever=question.lever,
            request_digest=question.request_digest,
            policy_digest=question.policy_digest,
            state=cast(Ended, self._state),
            votes=tuple(self._ballot.votes),
            links=tuple(self._shown),
            asked_at=question.asked_at,
            ended_at=workflow.now(),
        )
        try:
            await workflow.execute_activity_method(
                LedgerActivities.answered,
                answer,
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=20),
                # Without an end: an answer that the log does not have is worse than a question that lingers.
                summary="record the answer",
            )
        except ActivityError as error:
            workflow.logger.warning("the answer could not be recorded: %s", error.cause)

    def _result(self) -> ApprovalResult:
        question = self._question
        match self._state:
            case "approved":
                asking = (finding for finding in question.findings if finding.verdict is Verdict.ESCALATE)
                approval = Approval(
                    approval=question.approval,
                    request_digest=question.request_digest,
                    policy_digest=question.policy_digest,
                    lifts=tuple(asking),
                    approvers=tuple(vote.principal for vote in self._ballot.votes),
                    expires_at=question.expires_at,
                )
                return Approved(approval=approval)
            case "rejected":
                no = next(line for line in self._ballot.lines() if not line.approve)
                return Rejected(by=no.name, reason=no.reason)
            case "superseded":
                return Superseded(why=self._moved)
            case _:
                return Expired()

    def _words(self) -> str:
        """One sentence: how it stands, and who said what."""
        match self._state:
            case "expired":
                return "expired without an answer, which means no"
            case "withdrawn":
                return "withdrawn: the run that asked has ended"
            case "superseded":
                return f"superseded: {Untrusted(self._moved).for_terminal(300)}"
            case _:
                return self._ballot.words()

    def _left(self) -> timedelta:
        return self._question.expires_at - workflow.now()

    def _end(self, state: QuestionState) -> None:
        """End without an answer, unless there is one already."""
        if self._state == "open":
            self._become(state)

    def _become(self, state: QuestionState) -> None:
        self._state = state
        workflow.set_current_details(page(self.question()))


def _question(request: ApprovalRequest) -> Question:
    """The request as people see it, from now on."""
    info = workflow.info()
    return Question(
        **dict(request),
        approval=info.workflow_id,
        asked_at=info.start_time,
        expires_at=info.start_time + request.terms.expires_after,
        batch=request.batch,
    )
