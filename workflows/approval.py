"""An approval: one question to people about exactly one effect. Silence is no.

People answer through one door, the Update `decide`, whichever way they come. One no rejects; the quorum's
last yes approves. What they approve is bound to the digests of the effect and of the policy.
"""

import asyncio
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities, CloseApproval, PostApproval
    from leverframe.model.errors import BadInput, Conflict, LeverframeError, Refused
    from leverframe.model.frozen import Frozen, Instant
    from leverframe.model.untrusted import Untrusted
    from policies.decision import Approval
    from policies.explain import effect_words, sentence
    from workflows import attributes
    from workflows.messages import ApprovalRequest, ApprovalResult, Approved, Expired, Rejected, Vote
    from workflows.queues import HANDS

State = Literal["open", "approved", "rejected", "expired", "withdrawn"]


class Question(Frozen):
    """What was asked, and how it stands."""

    approval: str
    request: ApprovalRequest
    asked_at: Instant
    expires_at: Instant
    state: State
    votes: tuple[Vote, ...] = ()
    """In the order they came."""


@workflow.defn(
    name="ApprovalWorkflow",
    versioning_behavior=VersioningBehavior.PINNED,
    failure_exception_types=[LeverframeError],
)
class ApprovalWorkflow:
    """Asks, counts votes, and answers `Approved`, `Rejected` or `Expired`."""

    @workflow.init
    def __init__(self, request: ApprovalRequest) -> None:
        started = workflow.info().start_time
        self._question = Question(
            approval=workflow.info().workflow_id,
            request=request,
            asked_at=started,
            expires_at=started + timedelta(seconds=request.expires_after_seconds),
            state="open",
        )

    @workflow.run
    async def run(self, request: ApprovalRequest) -> ApprovalResult:
        """Post the question and wait for the quorum, one no, or the end of the time."""
        self._become(self._question)
        workflow.upsert_search_attributes(
            [
                attributes.AGENT.value_set(request.agent),
                attributes.REPOSITORY.value_set(request.repository),
                attributes.SUBJECT.value_set(request.subject),
                attributes.VERDICT.value_set("escalate"),
            ]
        )
        posting = asyncio.create_task(self._post())
        try:
            await workflow.wait_condition(
                lambda: self._question.state != "open",
                timeout=max(self._question.expires_at - workflow.now(), timedelta(0)),
                timeout_summary="the question expires",
            )
        except TimeoutError:
            self._become(self._question.model_copy(update={"state": "expired"}))
        except asyncio.CancelledError:
            self._become(self._question.model_copy(update={"state": "withdrawn"}))
            await self._close(posting)
            raise
        await self._close(posting)
        return self._result()

    @workflow.update(description="Say yes or no to exactly the effect that was shown.")
    def decide(self, vote: Vote) -> str:
        """Count a vote; returns in words what it did."""
        votes = self._question.votes
        if self._earlier_vote(vote.voter) is None:
            votes = (*votes, vote)
        state: State = "open"
        if any(not known.approve for known in votes):
            state = "rejected"
        elif len(votes) >= self._question.request.quorum:
            state = "approved"
        self._become(self._question.model_copy(update={"votes": votes, "state": state}))
        return self._standing()

    @decide.validator
    def _admit(self, vote: Vote) -> None:
        question = self._question
        if question.state != "open" or workflow.now() >= question.expires_at:
            raise Refused(f"the question is closed: {self._standing()}")
        if vote.effect_digest != question.request.effect_digest:
            raise Conflict("the vote is for another effect than the one in question: look again")
        if not is_person(vote.voter, agent=question.request.agent):
            raise BadInput("a vote needs the name of a person; agents and bots have no vote")
        earlier = self._earlier_vote(vote.voter)
        if earlier is not None and earlier.approve != vote.approve:
            raise Refused(f"{vote.voter} has voted {'yes' if earlier.approve else 'no'} already")

    @workflow.query(description="What was asked, and how it stands.")
    def question(self) -> Question:
        return self._question

    def _earlier_vote(self, voter: str) -> Vote | None:
        """What the person said before. `Ada` and `ada ` are one person: a quorum counts people."""
        name = _folded(voter)
        return next((vote for vote in self._question.votes if _folded(vote.voter) == name), None)

    async def _post(self) -> None:
        """Show the question. It can be answered by the command line and the UI even if this fails."""
        question = self._question
        post = PostApproval(
            approval=question.approval,
            title=question.request.title,
            body=_body(question),
            expires_at=question.expires_at,
        )
        try:
            await workflow.execute_activity_method(
                ChatActivities.post_approval,
                post,
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(seconds=question.request.expires_after_seconds),
                summary="ask people",
            )
        except ActivityError as error:
            workflow.logger.warning("the question could not be posted: %s", error.cause)

    async def _close(self, posting: "asyncio.Task[None]") -> None:
        """Say how it ended where it was asked. The answer does not wait for a chat that is down."""
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(self._question.state)])
        try:
            await workflow.execute_activity_method(
                ChatActivities.close_approval,
                CloseApproval(approval=self._question.approval, text=self._standing()),
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=10),
                schedule_to_close_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary="say how the question ended",
            )
        except ActivityError as error:
            workflow.logger.warning("the question could not be closed: %s", error.cause)

    def _result(self) -> ApprovalResult:
        question = self._question
        match question.state:
            case "approved":
                approval = Approval(
                    approval=question.approval,
                    effect_digest=question.request.effect_digest,
                    policy_digest=question.request.policy_digest,
                    approvers=tuple(vote.voter for vote in question.votes),
                    expires_at=question.expires_at,
                )
                return Approved(approval=approval)
            case "rejected":
                no = next(vote for vote in question.votes if not vote.approve)
                return Rejected(by=no.voter, reason=no.reason)
            case _:
                return Expired()

    def _standing(self) -> str:
        """One sentence: how it stands, and who said what."""
        question = self._question
        yes = [vote.voter for vote in question.votes if vote.approve]
        match question.state:
            case "approved":
                return f"approved by {', '.join(yes)}"
            case "rejected":
                no = next(vote for vote in question.votes if not vote.approve)
                return f"rejected by {no.voter}" + (f": {no.reason}" if no.reason else "")
            case "expired":
                return "expired without an answer, which means no"
            case "withdrawn":
                return "withdrawn: the run that asked has ended"
            case "open":
                return f"{len(yes)} of {question.request.quorum} approvals so far"

    def _become(self, question: Question) -> None:
        self._question = question
        standing = Untrusted(self._standing()).for_markdown(600)
        workflow.set_current_details(f"**{question.state}**: {standing}\n\n{_body(question)}")


def is_person(voter: str, *, agent: str) -> bool:
    """Whether the name can be a person's: not blank, not the asking agent, not a bot or Leverframe."""
    name = _folded(voter)
    return bool(name) and name != agent and "leverframe" not in name and not name.endswith(("[bot]", "-bot"))


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _body(question: Question) -> str:
    """Markdown: what would happen, why people are asked, the exact effect, and how to answer."""
    request = question.request
    findings = "\n".join(
        f"- {Untrusted(sentence(finding)).for_markdown(600)}" for finding in request.findings
    )
    effect = Untrusted(request.effect.model_dump_json(indent=2)).for_markdown_block(8000)
    return "\n\n".join(
        (
            f"# {Untrusted(request.title).for_markdown()}",
            f"If {request.quorum} of you approve, Leverframe will "
            f"{Untrusted(effect_words(request.effect)).for_markdown()}.",
            f"Open until {question.expires_at:%Y-%m-%d %H:%M:%S %Z}; silence means no.",
            f"## Why you are asked\n\n{findings}",
            request.body,
            f"## The exact effect\n\n{effect}\n\nDigest `{request.effect_digest}`.",
        )
    )
