"""Ways to a ledger, for the state machine: the pure core here, the real workflow in its own tests."""

from datetime import datetime, timedelta
from typing import Protocol

from policies.audit import Head, Record
from policies.decision import Decision, ReserveRequest
from policies.documents import PolicySnapshot
from policies.ledger import Ledger
from policies.reservations import (
    AnsweredQuestion,
    AttentionAnswer,
    AttentionRequest,
    CommitAnswer,
    LedgerStart,
    LedgerState,
    PauseRequest,
    PauseState,
    Promoted,
    PromoteRequest,
    Settlement,
    ShadowScore,
    Standing,
)
from tests.fakes.asks import NOON


class Driver(Protocol):
    """A ledger, however it runs."""

    def begin(self) -> datetime: ...
    def tick(self, span: timedelta) -> None: ...
    def restart(self) -> None: ...
    def lose(self) -> None: ...
    def end(self) -> None: ...
    def state(self) -> LedgerState: ...
    def records(self) -> list[Record]: ...
    def reserve(self, request: ReserveRequest) -> Decision: ...
    def commit(self, reservation: str) -> CommitAnswer: ...
    def release(self, reservation: str) -> Standing: ...
    def settle(self, settlement: Settlement) -> Standing: ...
    def pause(self, request: PauseRequest) -> PauseState: ...
    def resume(self, request: PauseRequest) -> PauseState: ...
    def promote(self, request: PromoteRequest) -> Promoted: ...
    def install(self, snapshot: PolicySnapshot) -> None: ...
    def attend(self, request: AttentionRequest) -> AttentionAnswer: ...
    def answered(self, answer: AnsweredQuestion) -> None: ...
    def score(self, score: ShadowScore) -> None: ...


class CoreDriver:
    """The pure core, with a clock that stands still between ticks."""

    def __init__(self) -> None:
        self._now = NOON
        self._ledger = Ledger(LedgerState())
        self._written: list[Record] = []

    def begin(self) -> datetime:
        return self._now

    def tick(self, span: timedelta) -> None:
        self._now += span
        self._ledger.lapse(self._now)

    def restart(self) -> None:
        """Through a message, as from one workflow run to the next."""
        packed = LedgerStart.of("acme", self._ledger.state).model_dump_json()
        before = self._ledger.state
        self._ledger = Ledger(LedgerStart.model_validate_json(packed).state)
        assert self._ledger.state == before

    def lose(self) -> None:
        """Another ledger begins, and learns of what the store has."""
        self._write()
        self._ledger = Ledger(LedgerState())
        self._write()

    def end(self) -> None:
        pass

    def state(self) -> LedgerState:
        return self._ledger.state

    def records(self) -> list[Record]:
        """All, as the store would have them."""
        self._write()
        return self._written

    def _write(self) -> None:
        self._ledger.follow(self._written[-1].as_head() if self._written else Head(), self._now)
        self._written += self._ledger.unwritten
        self._ledger.written(self._ledger.head.sequence)

    def reserve(self, request: ReserveRequest) -> Decision:
        return self._ledger.reserve(request, self._now)

    def commit(self, reservation: str) -> CommitAnswer:
        return self._ledger.commit(reservation, self._now)

    def release(self, reservation: str) -> Standing:
        return self._ledger.release(reservation, self._now)

    def settle(self, settlement: Settlement) -> Standing:
        return self._ledger.settle(settlement, self._now)

    def pause(self, request: PauseRequest) -> PauseState:
        return self._ledger.pause(request, self._now)

    def resume(self, request: PauseRequest) -> PauseState:
        return self._ledger.resume(request, self._now)

    def promote(self, request: PromoteRequest) -> Promoted:
        return self._ledger.promote(request, self._now)

    def install(self, snapshot: PolicySnapshot) -> None:
        self._ledger.install(snapshot, self._now)

    def attend(self, request: AttentionRequest) -> AttentionAnswer:
        return self._ledger.attend(request, self._now)

    def answered(self, answer: AnsweredQuestion) -> None:
        self._ledger.answered(answer, self._now)

    def score(self, score: ShadowScore) -> None:
        self._ledger.score(score, self._now)
