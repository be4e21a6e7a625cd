"""A question to people, and everything around it in memory: people, chats that can be down, a ledger."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.chat import ChatActivities
from activities.ports import Chat, Health
from leverframe.model.errors import LeverframeError, NotFound
from leverframe.model.proposals import Measurement
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Terms, Verdict
from policies.people import Group, Person, SlackAccount
from policies.question import Ending, Question
from policies.reservations import AnsweredQuestion, Attended, AttentionAnswer, AttentionRequest, Deferred
from tests.fakes.asks import ON
from tests.fakes.workers import unversioned
from workflows.approval import ApprovalWorkflow
from workflows.messages import ApprovalRequest, ApprovalResult, Vote, VoteRefusal
from workflows.queues import HANDS

Handle = WorkflowHandle[ApprovalWorkflow, ApprovalResult]

DIGEST = "d" * 64


def person(principal: str, **more: Any) -> Person:
    """A person with a login of the same name."""
    return Person(principal=principal, name=principal.title(), logins=(principal,), **more)


ADA = person("ada", slack=(SlackAccount(team="T0ACME", user="U0ADA"),), git=("ada@example.com",))
GRACE = person("grace", slack=(SlackAccount(team="T0ACME", user="U0GRACE"),))
LINUS = person("linus", git=("linus@example.com",))
ONCALL = Group(name="sre-oncall", members=(ADA, GRACE))
PLATFORM = Group(name="platform", members=(LINUS, GRACE))

ASKS = Finding(
    rule="org.levers.flip_flag.direction.to_on",
    verdict=Verdict.ESCALATE,
    observed="act_with_approval",
    limit="act",
    remedy="Ask a person.",
    source="org.yaml:11",
)
ENOUGH = Finding(
    rule="org.limits.attention",
    verdict=Verdict.DENY,
    observed="6 in 1h with this one",
    limit="5 in 1h",
    remedy="Wait for the digest.",
    source="org.yaml:30",
)


def question(
    *, quorum: int = 1, requesters: Sequence[str] = (), chain: Sequence[Group] = (ONCALL, PLATFORM)
) -> ApprovalRequest:
    """An hour to answer, a reminder every quarter of it, the next group before the second one.

    Not with it: a server that skips time may skip past a timer that comes due while a run is at work.
    """
    return ApprovalRequest(
        title="Switch the flag new-checkout on for everybody",
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject="SHOP-1",
        run="run/1",
        run_url="http://ui/run",
        effect=ON,
        request_digest=DIGEST,
        policy_digest="p" * 64,
        why="The error is gone.",
        reversibility="Switching it back takes a second.",
        findings=(ASKS,),
        error=Untrusted("TypeError"),
        evidence=(Measurement(name="errors", observed=38, threshold=6, unit="errors"),),
        terms=Terms(
            chain=tuple(chain),
            quorum=quorum,
            remind_after=timedelta(minutes=15),
            escalate_after=timedelta(minutes=25),
            expires_after=timedelta(hours=1),
        ),
        requesters=tuple(requesters),
    )


def vote(account: str = "login:ada", *, approve: bool = True, digest: str = DIGEST, reason: str = "") -> Vote:
    """One person's answer in the terminal."""
    return Vote(account=account, approve=approve, request_digest=digest, reason=reason, via="cli")


@dataclass
class NotedChat:
    """A chat that remembers what it was asked to show; `failure` makes it fail."""

    failure: LeverframeError | None = None
    shown: Event = field(default_factory=Event)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Approval and group, as often as they were asked for."""
    holding: Event = field(default_factory=Event)
    hold_on: Event | None = None
    """What keeping a question waits for."""
    held: list[tuple[str, str]] = field(default_factory=list)
    reminded: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Group, and the principals that are missing."""
    closed: dict[str, Ending] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    """Notices by their key, each as it was told first."""
    tries: int = 0

    def ask(self, question: Question, group: str) -> str:
        self._try()
        if (question.approval, group) not in self.asked:
            self.asked.append((question.approval, group))
        self.shown.set()
        return f"#{group}"

    def remind(self, approval: str, group: str, *, missing: Sequence[Person], text: str) -> None:
        self._try()
        if (approval, group) not in self.asked:
            raise NotFound("it was never shown here")
        self.reminded.append((group, tuple(each.principal for each in missing)))

    def close(self, approval: str, ending: Ending) -> None:
        self._try()
        self.closed.setdefault(approval, ending)

    def hold(self, question: Question, group: str) -> None:
        self._try()
        self.holding.set()
        if self.hold_on is not None:
            assert self.hold_on.wait(30)
        self.held.append((question.approval, group))

    def digest(self, day: str) -> int:
        self._try()
        return len(self.held)

    def tell(self, key: str, *, text: str) -> None:
        self._try()
        self.told.setdefault(key, text)

    def health(self) -> Health:
        return Health(ok=self.failure is None, detail="noted")

    def groups(self) -> list[str]:
        """Who was asked, in order."""
        return [group for _, group in self.asked]

    def _try(self) -> None:
        self.tries += 1
        if self.failure is not None:
            raise self.failure


@dataclass
class NotedLedger:
    """The ledger's part in a question: whether people may be asked now, and how it ended."""

    tired: tuple[str, ...] = ()
    """Groups that have been asked enough."""
    mute: bool = False
    """It does not say whether people may be asked."""
    answers: list[AnsweredQuestion] = field(default_factory=list)
    away: int = 0
    """How often it does not take an answer before it does."""

    @activity.defn
    async def attend(self, request: AttentionRequest) -> AttentionAnswer:
        if self.mute:
            raise ApplicationError("the ledger is away", type="Refused", non_retryable=True)
        return Deferred(findings=(ENOUGH,)) if request.group in self.tired else Attended()

    @activity.defn
    async def answered(self, answer: AnsweredQuestion) -> None:
        if self.away > 0:
            self.away -= 1
            raise ApplicationError("the ledger is away", type="Unavailable")
        self.answers.append(answer)


@asynccontextmanager
async def asking(
    env: WorkflowEnvironment,
    request: ApprovalRequest,
    *chats: Chat,
    ledger: NotedLedger | None = None,
) -> AsyncIterator[Handle]:
    """A worker, and one question that waits for votes."""
    book = ledger or NotedLedger()
    shown = chats or (NotedChat(),)
    activities = ChatActivities({f"chat-{number}": chat for number, chat in enumerate(shown)})
    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            env.client,
            task_queue=HANDS,
            workflows=[ApprovalWorkflow],
            activities=[
                *(activities.ask, activities.remind, activities.hold, activities.close),
                *(book.attend, book.answered),
            ],
            activity_executor=threads,
            workflow_runner=unversioned(),
        ):
            handle = await env.client.start_workflow(
                ApprovalWorkflow.run, request, id=f"approval/{uuid4().hex}", task_queue=HANDS
            )
            try:
                yield handle
            finally:
                await _leave_nothing(handle)


async def _leave_nothing(handle: Handle) -> None:
    """The queue is shared: a question that a failed test leaves open must not reach the next worker."""
    if (await handle.describe()).close_time is None:
        await handle.terminate("the test is over")


async def refusal(handle: Handle, refused: Vote) -> VoteRefusal | None:
    """Why a vote is refused."""
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(ApprovalWorkflow.decide, refused)
    assert isinstance(caught.value.cause, ApplicationError)
    return VoteRefusal.of(caught.value.cause)
