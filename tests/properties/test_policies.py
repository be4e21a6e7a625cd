"""A ledger against an independent bookkeeper."""

from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leverframe.model.errors import Conflict
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Lever
from policies import ledger
from policies.decision import Allowed, Approval, Denied, Escalated, ReserveRequest
from policies.documents import (
    Autonomy,
    Escalation,
    FlagNames,
    FlipFlagRule,
    Layer,
    LeverRule,
    Levers,
    Limit,
    PolicyDocument,
    PolicySnapshot,
    Rules,
)
from policies.reservations import LEASE, Committed, LedgerState, PauseRequest, Withdrawn
from policies.usage import Intent, Use
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask

LAYERS: dict[str, Layer] = {"": "org", "repos": "repo", "agents": "agent"}
AGENTS = ("one", "two")
REPOSITORIES = ("shop", "till")
SUBJECTS = ("A", "B")
EFFECTS = (OFF, ON, REVERT, BACK)

autonomies = st.sampled_from([*Autonomy, Autonomy.ACT, Autonomy.ACT])
"""Tilted towards acting: otherwise hardly anything would be allowed."""

limits = st.builds(
    Limit,
    id=st.just("x"),
    scope=st.sets(st.sampled_from(["agent", "repo", "subject"])).map(lambda s: tuple(sorted(s))),
    levers=st.sets(st.sampled_from(list(Lever)), min_size=1).map(lambda s: tuple(sorted(s))),
    max=st.one_of(st.integers(0, 3), st.just("unlimited")),
    window=st.sampled_from([1, 10, 60, 1440]).map(lambda minutes: timedelta(minutes=minutes)),
    on_exceed=st.sampled_from(["deny", "escalate"]),
) | st.builds(
    Limit,
    id=st.just("x"),
    scope=st.sets(st.sampled_from(["agent", "repo", "subject"])).map(lambda s: tuple(sorted(s))),
    max=st.integers(0, 3),
    hold=st.just("until_settled"),
    on_exceed=st.sampled_from(["deny", "escalate"]),
)

lever_rules = st.none() | st.builds(LeverRule, autonomy=st.none() | autonomies)
flip_rules = st.none() | st.builds(
    FlipFlagRule,
    autonomy=st.none() | autonomies,
    direction=st.dictionaries(st.sampled_from(["to_off", "to_on"]), autonomies),
    flags=st.builds(
        FlagNames,
        allow=st.sampled_from([(), ("*",), ("new-*",), ("old-*",)]),
        deny=st.sampled_from([(), (), ("new-*",)]),
    ),
)
levers = st.builds(Levers, flip_flag=flip_rules, roll_back=lever_rules, open_merge_request=lever_rules)


def numbered(found: list[Limit]) -> tuple[Limit, ...]:
    """The limits with ids of their own."""
    return tuple(limit.model_copy(update={"id": f"l{number}"}) for number, limit in enumerate(found))


@st.composite
def documents(draw: st.DrawFn, file: str) -> PolicyDocument:
    """Any legal content of one file."""
    folder, _, name = file.removesuffix(".yaml").rpartition("/")
    content = Rules(
        version=1,
        layer=LAYERS[folder],
        autonomy=draw(autonomies),
        kill_switch=draw(st.sampled_from([False, False, False, True])),
        levers=draw(levers),
        limits=numbered(draw(st.lists(limits, max_size=3))),
        escalation=draw(
            st.none()
            | st.builds(
                Escalation,
                quorum=st.integers(1, 3),
                expires_after=st.integers(1, 8).map(lambda hours: timedelta(hours=hours)),
            )
        ),
    )
    return PolicyDocument(file=file, about=name if folder else None, rules=content)


law = settings(deadline=None, max_examples=60)
"""A slow machine is no fault."""

ORG, REPO, AGENT = "org.yaml", "repos/shop.yaml", "agents/one.yaml"

requests = st.builds(
    ask,
    effect=st.sampled_from(EFFECTS),
    agent=st.just("one"),
    repository=st.just("shop"),
    subject=st.sampled_from(SUBJECTS),
)
uses = st.lists(
    st.builds(
        lambda effect, agent, repository, subject, minutes, held: Use(
            intent=Intent.of(ask(effect=effect, agent=agent, repository=repository, subject=subject)),
            at=NOON - timedelta(minutes=minutes),
            held=held,
        ),
        st.sampled_from(EFFECTS),
        st.sampled_from(AGENTS),
        st.sampled_from(REPOSITORIES),
        st.sampled_from(SUBJECTS),
        st.integers(0, 90),
        st.booleans(),
    ),
    max_size=8,
)


class Granted(NamedTuple):
    """One line in the bookkeeper's own record."""

    id: str
    request: ReserveRequest
    at: datetime
    lifted: bool


class Answer(NamedTuple):
    """What people said, and whether it was used before."""

    reused: bool
    approvers: tuple[str, ...]
    hours: int
    """How long it is still valid."""


MINUTE = timedelta(minutes=1)
QUORUM = 2

anybody = st.builds(
    ask,
    effect=st.sampled_from(EFFECTS),
    agent=st.sampled_from(AGENTS),
    repository=st.sampled_from(REPOSITORIES),
    subject=st.sampled_from(SUBJECTS),
)
answers = st.none() | st.builds(
    Answer,
    st.booleans(),
    st.sampled_from([("ada", "grace"), ("ada",), ("ada", "one"), ("ada", "ada")]),
    st.integers(-1, 8),
)

OPEN_LEVERS = Levers(
    flip_flag=FlipFlagRule(
        direction={"to_off": Autonomy.ACT, "to_on": Autonomy.ACT_WITH_APPROVAL}, flags=FlagNames(allow=("*",))
    ),
    roll_back=LeverRule(),
    open_merge_request=LeverRule(),
)


def open_policy(found: tuple[Limit, ...], *, kill_switch: bool = False) -> PolicySnapshot:
    """These limits for the organisation, and permissive files for both agents."""
    org = Rules(
        version=1,
        layer="org",
        autonomy=Autonomy.ACT,
        kill_switch=kill_switch,
        levers=OPEN_LEVERS,
        limits=found,
        escalation=Escalation(quorum=QUORUM, expires_after=timedelta(hours=8)),
    )
    agent = org.model_copy(update={"layer": "agent", "kill_switch": False, "limits": ()})
    files = [PolicyDocument(file="org.yaml", rules=org)]
    files += [PolicyDocument(file=f"agents/{name}.yaml", about=name, rules=agent) for name in AGENTS]
    return PolicySnapshot.of(files)


class LedgerLife(RuleBasedStateMachine):
    """Any order of commands. The bookkeeper keeps its own record and never asks the ledger's rules."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.state = LedgerState()
        self.found: tuple[Limit, ...] = ()
        self.killed = False
        self.paused = False
        self.granted: dict[str, Granted] = {}
        self.phase: dict[str, str] = {}
        self.spent: dict[str, str] = {}
        self.number = 0

    @initialize(found=st.lists(limits, max_size=4).map(numbered))
    def start(self, found: tuple[Limit, ...]) -> None:
        self.found = found
        self.state, _ = ledger.install(self.state, open_policy(found))

    # What the bookkeeper knows.

    def counts(self, limit: Limit, at: datetime, request: ReserveRequest) -> int:
        """How many granted effects stand beside the request under the limit at that time."""
        total = 0
        for entry in self.granted.values():
            if self.phase[entry.id] == "released" or entry.request.lever not in limit.levers:
                continue
            pairs = {
                "agent": (entry.request.agent, request.agent),
                "repo": (entry.request.repository, request.repository),
                "subject": (
                    (entry.request.service, entry.request.subject),
                    (request.service, request.subject),
                ),
            }
            if any(left != right for left, right in (pairs[name] for name in limit.scope)):
                continue
            if limit.window is None:
                total += self.phase[entry.id] in ("reserved", "committed", "lapsed")
            else:
                total += at - limit.window < entry.at <= at
        return total

    def expected(self, request: ReserveRequest) -> str:
        """The verdict, recomputed from the record alone."""
        if self.paused or self.killed:
            return "deny"
        verdicts = ["escalate"] if request.effect == ON else []
        for limit in self.found:
            if request.lever not in limit.levers or isinstance(limit.max, str):
                continue
            if self.counts(limit, self.now, request) >= limit.max:
                verdicts.append(limit.on_exceed)
        return "deny" if "deny" in verdicts else "escalate" if verdicts else "allow"

    def lapse_record(self) -> None:
        for entry in self.granted.values():
            if self.phase[entry.id] == "reserved" and entry.at + LEASE <= self.now:
                self.phase[entry.id] = "lapsed"

    # Commands.

    @rule(wanted=anybody, answer=answers)
    def reserve(self, wanted: ReserveRequest, answer: Answer | None) -> None:
        self.number += 1
        request = wanted.model_copy(update={"reservation": f"run/{self.number}"})
        good, name = False, ""
        if answer is not None:
            name = next(iter(self.spent), "approval/0") if answer.reused else f"approval/{self.number}"
            good = answer.hours > 0 and name not in self.spent
            good = good and len({*answer.approvers} - {request.agent}) >= QUORUM
            approval = Approval(
                approval=name,
                effect_digest=Intent.of(request).effect_digest,
                policy_digest=self.state.snapshot.digest,
                approvers=answer.approvers,
                expires_at=self.now + timedelta(hours=answer.hours),
            )
            request = request.model_copy(update={"approval": approval})
        expected = self.expected(request)
        before = self.state
        self.state, decision = ledger.reserve(self.state, request, self.now)
        if expected == "allow" or (expected == "escalate" and good):
            assert isinstance(decision, Allowed)
            assert bool(decision.findings) == (expected == "escalate")
            assert ledger.reserve(self.state, request, self.now) == (self.state, decision)
            self.granted[request.reservation] = Granted(
                request.reservation, request, self.now, expected == "escalate"
            )
            self.phase[request.reservation] = "reserved"
            if expected == "escalate":
                self.spent[name] = request.reservation
        else:
            assert isinstance(decision, Denied if expected == "deny" else Escalated)
            assert self.state == before, "a refusal changes nothing"

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def tamper(self, data: st.DataObject) -> None:
        entry = self.pick(data)
        other = entry.request.model_copy(update={"effect": ON if entry.request.effect == OFF else OFF})
        with pytest.raises(Conflict):
            ledger.reserve(self.state, other, self.now)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        entry = self.pick(data)
        self.lapse_record()
        phase = self.phase[entry.id]
        if phase == "reserved":
            self.phase[entry.id] = "released"
            expected = self.expected(entry.request)
            self.phase[entry.id] = "reserved"
        self.state, answer = ledger.commit(self.state, entry.id, self.now)
        if phase != "reserved":
            assert isinstance(answer, Committed) == (phase == "committed")
        elif expected == "allow" or (expected == "escalate" and self.same_policy(entry)):
            assert isinstance(answer, Committed)
            self.phase[entry.id] = "committed"
        else:
            assert isinstance(answer, Withdrawn)
            self.phase[entry.id] = "released"

    def same_policy(self, entry: Granted) -> bool:
        known = self.state.entry(entry.id)
        assert known is not None
        return known.policy_digest == self.state.snapshot.digest

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        entry = self.pick(data)
        self.lapse_record()
        if self.phase[entry.id] == "reserved":
            self.phase[entry.id] = "released"
        self.state, standing = ledger.release(self.state, entry.id, self.now)
        assert standing.phase.value == self.phase[entry.id]

    @precondition(lambda self: self.granted)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)))
    def settle(self, data: st.DataObject, outcome: Outcome) -> None:
        entry = self.pick(data)
        if self.phase[entry.id] in ("reserved", "committed", "lapsed"):
            self.phase[entry.id] = "settled"
        self.state, standing = ledger.settle(self.state, entry.id, outcome, self.now)
        assert standing.phase.value == self.phase[entry.id]

    @rule(minutes=st.sampled_from([1, 5, 15, 30, 61]))
    def tick(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        self.lapse_record()
        self.state = ledger.lapse(self.state, self.now)

    @rule(found=st.lists(limits, max_size=4).map(numbered), kill=st.sampled_from([False, False, True]))
    def install(self, found: tuple[Limit, ...], kill: bool) -> None:
        self.found, self.killed = found, kill
        self.state, _ = ledger.install(self.state, open_policy(found, kill_switch=kill))

    @rule()
    def pause(self) -> None:
        self.paused = True
        self.state = ledger.pause(self.state, PauseRequest(by="ada", reason="incident"), self.now)

    @rule()
    def resume(self) -> None:
        self.paused = False
        self.state = ledger.resume(self.state)

    @rule()
    def continue_as_new(self) -> None:
        self.state = LedgerState.model_validate_json(self.state.model_dump_json())

    def pick(self, data: st.DataObject) -> Granted:
        return data.draw(st.sampled_from(sorted(self.granted.values(), key=lambda entry: entry.id)))

    # What always holds.

    @invariant()
    def the_ledger_and_the_record_agree_on_every_phase(self) -> None:
        known = {entry.id: entry.phase.value for entry in self.state.entries}
        assert known == {name: self.phase[name] for name in known}
        held = {name for name, phase in self.phase.items() if phase in ("reserved", "committed", "lapsed")}
        assert held <= set(known), "what holds a place is never forgotten"

    @invariant()
    def an_approval_lifts_at_most_one_effect(self) -> None:
        lifted = [entry for entry in self.granted.values() if entry.lifted]
        assert len(lifted) == len(self.spent)

    def teardown(self) -> None:
        """Liveness: settle what is open, wait past every window, and an allowed effect is allowed again."""
        for entry in self.state.entries:
            if entry.open:
                self.state, _ = ledger.settle(self.state, entry.id, Outcome.FAILED, self.now)
        self.now += timedelta(days=2)
        one = numbered(
            [Limit(id="x", max=1, window=timedelta(days=1)), Limit(id="x", max=1, hold="until_settled")]
        )
        state, _ = ledger.install(ledger.resume(self.state), open_policy(one))
        _, decision = ledger.reserve(state, ask("last", agent="one"), self.now)
        assert isinstance(decision, Allowed)


TestLedgerLife = LedgerLife.TestCase
TestLedgerLife.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
