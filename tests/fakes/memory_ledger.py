"""The policy ledger in memory, for runs whose clock skips time."""

from dataclasses import dataclass, field

from temporalio import activity

from policies.decision import Decision, ReserveRequest
from policies.ledger import Ledger
from policies.reservations import (
    AnsweredQuestion,
    AttentionAnswer,
    AttentionRequest,
    CommitAnswer,
    LedgerState,
    Settlement,
    Standing,
)


@dataclass
class MemoryLedger:
    """The real rules of the ledger, without its workflow: under time skipping that one's leases run out.

    Its clock is the run's, which is ahead of ours when time is skipped.
    """

    book: Ledger = field(default_factory=lambda: Ledger(LedgerState()))
    requests: list[ReserveRequest] = field(default_factory=list)
    answers: list[AnsweredQuestion] = field(default_factory=list)

    @activity.defn
    async def reserve(self, request: ReserveRequest) -> Decision:
        self.requests.append(request)
        return self.book.reserve(request, activity.info().scheduled_time)

    @activity.defn
    async def commit(self, reservation: str) -> CommitAnswer:
        return self.book.commit(reservation, activity.info().scheduled_time)

    @activity.defn
    async def release(self, reservation: str) -> Standing:
        return self.book.release(reservation, activity.info().scheduled_time)

    @activity.defn
    async def settle(self, settlement: Settlement) -> Standing:
        return self.book.settle(settlement, activity.info().scheduled_time)

    @activity.defn
    async def attend(self, request: AttentionRequest) -> AttentionAnswer:
        return self.book.attend(request, activity.info().scheduled_time)

    @activity.defn
    async def answered(self, answer: AnsweredQuestion) -> None:
        self.answers.append(answer)
        self.book.answered(answer, activity.info().scheduled_time)
