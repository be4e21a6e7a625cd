"""A state machine that gives a ledger any commands in any order, and asks a bookkeeper what must come out.

The ledger is behind a `Driver`, so that the same machine drives the pure core and the real workflow. Times
are nominal: a driver may run a little late, by less than a minute in a life.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leverframe.model.errors import Conflict
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost
from policies.audit import broken_at
from policies.decision import Allowed, Approval, Decision, Denied, Escalated, ReserveRequest
from policies.documents import NO_POLICY
from policies.ledger import Ledger
from policies.replay import fold
from policies.reservations import (
    AnsweredQuestion,
    Attended,
    AttentionRequest,
    Committed,
    LedgerState,
    PauseRequest,
    PromoteRequest,
    Settlement,
    ShadowScore,
    Withdrawn,
)
from tests.fakes.asks import OFF, ON, ask
from tests.fakes.bookkeeper import AGENTS, HOLDING, MINUTE, Bookkeeper, Cap, Line, Wanted
from tests.fakes.ledger_drivers import CoreDriver, Driver
from tests.fakes.ledger_wishes import Answer, answers, groups, policies, wishes


class LedgerMachine(RuleBasedStateMachine):
    """Commands of several runs in any order. What is expected is recounted by the bookkeeper."""

    driver_type: Callable[[], Driver] = CoreDriver

    def __init__(self) -> None:
        super().__init__()
        self.driver = self.driver_type()
        self.now = self.driver.begin()
        self.book = Bookkeeper()
        self.snapshots = {NO_POLICY.digest: NO_POLICY}
        self.number = 0

    @initialize(wanted=policies)
    def start(self, wanted: Wanted) -> None:
        self.install(wanted)

    # Commands.

    @rule(wish=wishes, answer=st.none() | answers)
    def reserve(self, wish: ReserveRequest, answer: Answer | None) -> None:
        self.number += 1
        request = wish.model_copy(update={"reservation": f"run/{self.number}/0"})
        expected = self.book.verdict(request, self.now)
        decision = self.refused(request)
        if isinstance(decision, Allowed):
            assert expected == "allow"
            self.granted(request, decision, lifted=frozenset())
        elif isinstance(decision, Escalated):
            assert expected == "escalate"
            if answer is not None:
                self.answer(request, decision, answer)
        else:
            assert expected == "deny"
            self.denied(request, decision)

    def refused(self, request: ReserveRequest) -> Decision:
        """S2: a refusal uses nothing up."""
        before = _places(self.driver.state())
        decision = self.driver.reserve(request)
        if not isinstance(decision, Allowed):
            assert _places(self.driver.state()) == before
        return decision

    def answer(self, request: ReserveRequest, asked: Escalated, answer: Answer) -> None:
        """S11: an approval counts once, for its request and policy, in time, by enough people who may."""
        name, expires_at = f"approval/{self.number}", self.now + answer.minutes * MINUTE
        if answer.reused and self.book.spent:
            name, expires_at = min(self.book.spent.items())
        rules = [finding.rule for finding in asked.findings]
        approval = Approval(
            approval=name,
            request_digest="0" * 64 if answer.about == "another" else request.digest,
            policy_digest="0" * 64 if answer.about == "another policy" else asked.policy_digest,
            lifts=asked.findings[1:] if answer.forgets else asked.findings,
            approvers=answer.approvers,
            expires_at=expires_at,
        )
        good = (
            answer.about == "this"
            and not answer.forgets
            and name not in self.book.spent
            and 0 < answer.minutes <= 480
            and len(self.book.eligible(request).intersection(answer.approvers)) >= self.book.wanted.quorum
        )
        decision = self.refused(request.model_copy(update={"approval": approval}))
        assert isinstance(decision, Allowed) == good
        if isinstance(decision, Allowed):
            assert [finding.rule for finding in decision.findings] == rules
            self.book.spent[name] = expires_at
            self.granted(request, decision, lifted=frozenset(self.book.findings(request, self.now)))
        else:
            assert isinstance(decision, Escalated)
            assert decision.findings[-1].rule == "ledger.approval"

    def granted(self, request: ReserveRequest, decision: Allowed, *, lifted: frozenset[str]) -> None:
        lines = list(self.book.lines.values())
        assert not self.book.wanted.kill
        for cap in self.book.wanted.caps:
            if request.lever in cap.levers and cap.exceed == "deny":
                assert self.book.under(cap, request, self.now, lines) <= cap.max, (
                    "S1: usage is within the limit"
                )
        cents = request.cost.cents if request.cost else 0
        line = Line(request, self.now, self.book.wanted, lifted=lifted, cents=cents)
        if self.book.half_open(request.agent, self.now, lines):
            held = sum(
                each.request.agent == request.agent and each.phase in HOLDING for each in [*lines, line]
            )
            assert self.book.wanted.fuse is not None
            assert held <= self.book.wanted.fuse.probe, "S10: half open, only probes"
        self.book.lines[line.id] = line
        before = self.driver.state()
        assert self.driver.reserve(request) == decision, "S3: the same request gets the same answer"
        assert self.driver.state() == before

    def denied(self, request: ReserveRequest, decision: Denied) -> None:
        tags = self.book.findings(request, self.now)
        observed = self.book.observes(request.agent)
        assert decision.paused == (
            not observed and {tag for tag, word in tags.items() if word == "deny"} == {"pause"}
        )
        assert (decision.would is not None) == observed
        if observed:
            assert decision.would == self.book.verdict(request, self.now, shadow=True)
            if decision.would == "allow":
                cents = request.cost.cents if request.cost else 0
                self.book.shadow[request.reservation] = Line(request, self.now, self.book.wanted, cents=cents)

    @precondition(lambda self: self.book.lines)
    @rule(data=st.data())
    def tamper(self, data: st.DataObject) -> None:
        """S3: the id of a reservation can't be had for anything else."""
        line = self.pick(data)
        other = line.request.model_copy(update={"effect": ON if line.request.effect == OFF else OFF})
        before = self.driver.state()
        with pytest.raises(Conflict):
            self.driver.reserve(other)
        assert self.driver.state() == before

    @precondition(lambda self: self.book.lines)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        line = self.pick(data)
        answer = self.driver.commit(line.id)
        if line.phase != "reserved":
            assert isinstance(answer, Committed) == (line.phase == "committed")
            return
        found = self.book.findings(line.request, self.now, but=line.id)
        if line.wanted == self.book.wanted:
            live = {
                t for t, word in found.items() if word == "deny" or not (t in line.lifted or "limit" in t)
            }
        else:
            live = set(found)
        assert isinstance(answer, Withdrawn) == bool(live)
        if isinstance(answer, Committed):
            assert not self.book.wanted.kill, "S7: the kill switch stops commits"
        self.book.change(line.id, "committed" if isinstance(answer, Committed) else "released")

    @precondition(lambda self: self.book.lines)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """S4, S6: only what is neither committed nor lapsed is given back, once."""
        line = self.pick(data)
        if line.phase == "reserved":
            self.book.change(line.id, "released")
        assert self.driver.release(line.id).phase.value == self.book.lines[line.id].phase

    @precondition(lambda self: self.book.lines)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)), extra=st.sampled_from([None, 0, 5, -10]))
    def settle(self, data: st.DataObject, outcome: Outcome, extra: int | None) -> None:
        self.tick(1 / 60)  # No two outcomes at once: which is newer would not be known.
        line = self.pick(data)
        cents = max(0, line.cents + (extra or 0))
        actual = None if extra is None else Cost(cents=cents)
        if line.phase in HOLDING:
            self.book.settle(line.id, outcome, cents, self.now)
        standing = self.driver.settle(Settlement(reservation=line.id, outcome=outcome, actual=actual))
        assert standing.phase.value == self.book.lines[line.id].phase
        assert standing.outcome == self.book.lines[line.id].outcome, "the first outcome stands"

    @rule(minutes=st.sampled_from([1, 5, 15, 30, 61]))
    def tick(self, minutes: float) -> None:
        self.now += minutes * MINUTE
        self.book.lapse(self.now)
        self.driver.tick(minutes * MINUTE)

    @rule(wanted=policies)
    def install(self, wanted: Wanted) -> None:
        snapshot = wanted.snapshot()
        self.snapshots[snapshot.digest] = snapshot
        if wanted != self.book.wanted:
            self.book.install(wanted, self.now)
        self.driver.install(snapshot)

    @rule(agent=st.sampled_from([None, None, *AGENTS]), repository=st.sampled_from([None, "shop"]))
    def pause(self, agent: str | None, repository: str | None) -> None:
        request = PauseRequest(by="ada", reason="an incident", agent=agent, repository=repository)
        self.book.pauses.add((agent, repository))
        state = self.driver.pause(request)
        assert {(pause.agent, pause.repository) for pause in state.pauses} == self.book.pauses

    @precondition(lambda self: self.book.pauses)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        agent, repository = data.draw(st.sampled_from(sorted(self.book.pauses, key=str)))
        request = PauseRequest(by="ada", reason="it is over", agent=agent, repository=repository)
        self.book.pauses.discard((agent, repository))
        state = self.driver.resume(request)
        assert {(pause.agent, pause.repository) for pause in state.pauses} == self.book.pauses

    @rule(agent=st.sampled_from(AGENTS))
    def promote(self, agent: str) -> None:
        self.book.demoted.discard(agent)
        answer = self.driver.promote(PromoteRequest(agent=agent, by="ada", reason="it was the database"))
        assert {demotion.agent for demotion in answer.demotions} == self.book.demoted

    @rule(wish=wishes, group=groups, number=st.integers(1, 3))
    def attend(self, wish: ReserveRequest, group: str, number: int) -> None:
        """A question is put to a group once, and not more often than the group's attention allows."""
        key, most = (f"approval/{number}", group), self.book.wanted.questions
        if key not in self.book.asked:
            recent = [
                when
                for (_, to), (when, at_once) in self.book.asked.items()
                if to == group and at_once and when > self.now - 60 * MINUTE
            ]
            self.book.asked[key] = (self.now, most is None or len(recent) < most)
        elif self.now - self.book.asked[key][0] > 50 * MINUTE:
            return  # What is so old may be forgotten.
        answer = self.driver.attend(
            AttentionRequest(
                approval=key[0],
                agent=wish.agent,
                repository=wish.repository,
                service=wish.service,
                subject=wish.subject,
                lever=wish.lever,
                group=group,
            )
        )
        assert isinstance(answer, Attended) == self.book.asked[key][1]

    @rule(wish=wishes)
    def people_say_no(self, wish: ReserveRequest) -> None:
        self.number += 1
        self.book.rejections.append((wish, self.now))
        self.driver.answered(
            AnsweredQuestion(
                approval=f"approval/{self.number}",
                agent=wish.agent,
                repository=wish.repository,
                service=wish.service,
                subject=wish.subject,
                lever=wish.lever,
                request_digest=wish.digest,
                policy_digest="0" * 64,
                state="rejected",
                votes=(),
                asked_at=self.now,
                ended_at=self.now,
            )
        )

    @precondition(lambda self: self.book.shadow)
    @rule(data=st.data(), matched=st.booleans())
    def score(self, data: st.DataObject, matched: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.book.shadow)))
        if self.now - self.book.shadow[name].at < timedelta(days=2):
            self.book.shadow[name] = replace(self.book.shadow[name], phase="settled")
            self.driver.score(ShadowScore(id=name, matched=matched))

    @rule()
    def restart(self) -> None:
        """S9: continuing as new at any step changes no answer after it."""
        self.driver.restart()

    @rule(wanted=policies)
    def lose(self, wanted: Wanted) -> None:
        """A ledger that began anew, and that people let go on, answers as one that never granted anything."""
        self.driver.lose()
        self.driver.resume(PauseRequest(by="ada", reason="looked at what was open"))
        self.book = Bookkeeper()
        self.install(wanted)

    def pick(self, data: st.DataObject) -> Line:
        """One that the ledger still remembers."""
        recent = sorted(name for name, line in self.book.lines.items() if self.remembered(line))
        return self.book.lines[data.draw(st.sampled_from(recent))]

    def remembered(self, line: Line) -> bool:
        return line.phase in HOLDING or self.now - line.at < timedelta(hours=23)

    # What always holds.

    @invariant()
    def the_ledger_and_the_bookkeeper_agree_on_every_phase(self) -> None:
        """S5: what lapsed keeps its place; what holds a place is never forgotten."""
        known = {entry.id: entry.phase.value for entry in self.driver.state().entries}
        assert known == {name: self.book.lines[name].phase for name in known}
        assert {name for name, line in self.book.lines.items() if line.phase in HOLDING} <= set(known)

    @invariant()
    def outcomes_demote_and_nothing_else_does(self) -> None:
        assert {demotion.agent for demotion in self.driver.state().demotions} == self.book.demoted

    def teardown(self) -> None:
        """The chain holds; its events make the state (S8: so there is one order that explains every answer);
        and S12: when all is settled and every window has passed, an effect is allowed again."""
        try:
            records = self.driver.records()
            assert broken_at(records) is None
            state = self.driver.state()
            again = fold(records, self.snapshots.__getitem__)
            assert swept(again, self.now) == swept(state, self.now)
            self.everything_ends()
        finally:
            self.driver.end()

    def everything_ends(self) -> None:
        for line in [line for line in self.book.lines.values() if line.phase in HOLDING]:
            self.driver.settle(Settlement(reservation=line.id, outcome=Outcome.LANDED))
        for agent, repository in self.book.pauses:
            self.driver.resume(PauseRequest(by="ada", reason="over", agent=agent, repository=repository))
        for agent in AGENTS:
            self.driver.promote(PromoteRequest(agent=agent, by="ada", reason="over"))
        one = Cap((), ("flip_flag", "roll_back", "open_merge_request"), "count", 1, 1440, "deny")
        self.driver.install(Wanted(caps=(one, replace(one, minutes=None))).snapshot())
        self.driver.tick(timedelta(days=2))
        assert isinstance(self.driver.reserve(ask("last/0", agent="one")), Allowed)


def _places(state: LedgerState) -> tuple[object, ...]:
    return state.entries, state.spent_approvals, state.pauses, state.demotions, state.snapshot.digest


def swept(state: LedgerState, now: datetime) -> LedgerState:
    """What a sweep leaves; when the last one was says nothing."""
    ledger = Ledger(state)
    ledger.book.sweep(now)
    return ledger.state.model_copy(update={"unwritten": ()})
