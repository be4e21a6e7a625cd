"""A bookkeeper beside the ledger: the rules again, in plain Python, over a record of its own.

It never asks the code of `policies`: what it knows of a policy is the `Wanted` from which the files were
written. It recounts everything from the beginning for each question.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import FlipFlag
from policies.decision import ReserveRequest
from policies.documents import PolicySnapshot, parse

MINUTE = timedelta(minutes=1)
LEASE = 15 * MINUTE
BAD = (Outcome.FAILED, Outcome.ROLLED_BACK)
AGENTS = ("one", "two")
HOLDING = ("reserved", "committed", "lapsed")
PEOPLE = """version: 1
people:
  ada: {name: Ada, logins: [ada], git: [ada@example.com]}
  grace: {name: Grace, logins: [grace], git: [grace@example.com]}
  edsger: {name: Edsger, logins: [edsger]}
  mallory: {name: Mallory, logins: [mallory]}
groups: {oncall: [ada, grace], leads: [edsger, grace], others: [mallory]}
"""
MAY_APPROVE = {
    "ada": ("ada", "ada@example.com"),
    "grace": ("grace", "grace@example.com"),
    "edsger": ("edsger",),
}


@dataclass(frozen=True)
class Cap:
    """A limit."""

    scope: tuple[str, ...]
    levers: tuple[str, ...]
    unit: str
    max: int
    minutes: int | None
    """None: until settled."""
    exceed: str


@dataclass(frozen=True)
class Fuse:
    """A breaker."""

    bad: int
    of_last: int
    open_minutes: int
    probe: int


@dataclass(frozen=True)
class Wanted:
    """A policy, as far as the bookkeeper understands one."""

    caps: tuple[Cap, ...] = ()
    level: str = "act"
    """Of the agent `two`; the agent `one` may act."""
    kill: bool = False
    quorum: int = 1
    cooldown: int | None = None
    silence: int | None = None
    """Minutes after a rejection."""
    fuse: Fuse | None = None
    questions: int | None = None
    """For each group within an hour."""

    def snapshot(self) -> PolicySnapshot:
        """The same as files."""
        levers = (
            "levers: {flip_flag: {direction: {to_off: act, to_on: act_with_approval}, flags: {allow: ['*']}},"
            " roll_back: {}, open_merge_request: {paths: {allow: ['**']},"
            " diff: {max_files: unlimited, max_lines: unlimited}}}\n"
        )
        pauses = {"same_subject": self.cooldown, "after_rejection": self.silence}
        cooldown = ", ".join(f"{name}: {minutes}m" for name, minutes in pauses.items() if minutes)
        limits = [
            f"  - {{id: l{number}, scope: [{', '.join(cap.scope)}], levers: [{', '.join(cap.levers)}],"
            f" unit: {cap.unit}, max: {cap.max}, on_exceed: {cap.exceed},"
            + (f" window: {cap.minutes}m}}" if cap.minutes else " hold: until_settled}")
            for number, cap in enumerate(self.caps)
        ]
        if self.questions is not None:
            few = f"unit: escalations, max: {self.questions}, window: 1h"
            limits.append(f"  - {{id: q, scope: [approver_group], {few}}}")
        org = (
            f"version: 1\nlayer: org\nautonomy: act\nkill_switch: {str(self.kill).lower()}\n{levers}"
            f"escalation: {{approvers: [oncall, leads], quorum: {self.quorum}, expires_after: 8h}}\n"
        )
        if limits:
            org += "limits:\n" + "\n".join(limits) + "\n"
        if cooldown:
            org += f"cooldown: {{{cooldown}}}\n"
        if self.fuse:
            org += (
                f"breaker: {{bad: {self.fuse.bad}, of_last: {self.fuse.of_last},"
                f" open_for: {self.fuse.open_minutes}m, probe: {self.fuse.probe}}}\n"
            )
        agent = "version: 1\nlayer: agent\nautonomy: {level}\nkill_switch: false\n" + levers.replace(
            "{", "{{"
        ).replace("}", "}}")
        return parse(
            {
                "org.yaml": org,
                "people.yaml": PEOPLE,
                "agents/one.yaml": agent.format(level="act"),
                "agents/two.yaml": agent.format(level=self.level),
            }
        )


@dataclass(frozen=True)
class Line:
    """One effect in the record."""

    request: ReserveRequest
    at: datetime
    wanted: Wanted
    """The policy of its time."""
    phase: str = "reserved"
    lifted: frozenset[str] = frozenset()
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    cents: int = 0

    @property
    def id(self) -> str:
        return self.request.reservation

    @property
    def bad(self) -> bool:
        estimate = self.request.cost.cents if self.request.cost else 0
        return self.outcome in BAD or (self.outcome is not None and self.cents > estimate)


@dataclass
class Bookkeeper:
    """The record, and what follows from it."""

    wanted: Wanted = Wanted()
    lines: dict[str, Line] = field(default_factory=dict)
    shadow: dict[str, Line] = field(default_factory=dict)
    """What would have been allowed to an agent that only observes."""
    pauses: set[tuple[str | None, str | None]] = field(default_factory=set)
    demoted: set[str] = field(default_factory=set)
    spent: dict[str, datetime] = field(default_factory=dict)
    """Approvals that lifted something, and until when they would have been good."""
    rejections: list[tuple[ReserveRequest, datetime]] = field(default_factory=list)
    asked: dict[tuple[str, str], tuple[datetime, bool]] = field(default_factory=dict)
    """Question and group → when, and whether it was put to them at once."""

    # What a request would be told.

    def findings(
        self, request: ReserveRequest, at: datetime, *, shadow: bool = False, but: str = ""
    ) -> dict[str, str]:
        """Rule → `deny` or `escalate`."""
        wanted = self.wanted
        lines = [line for line in (self.shadow if shadow else self.lines).values() if line.id != but]
        found: dict[str, str] = {}
        if wanted.kill:
            found["kill"] = "deny"
        if any(
            who in (None, request.agent) and where in (None, request.repository) for who, where in self.pauses
        ):
            found["pause"] = "deny"
        if not shadow:
            found |= self._levels(request)
        for number, cap in enumerate(wanted.caps):
            if request.lever in cap.levers and self.under(cap, request, at, lines) > cap.max:
                found[f"limit {number}"] = cap.exceed
        if self._too_soon(request, at, lines):
            found["cooldown"] = "deny"
        if wanted.fuse:
            found |= self._blown(wanted.fuse, request.agent, at, lines)
        if "escalate" in found.values() and len(self.eligible(request)) < wanted.quorum:
            found["too few"] = "escalate"
        return found

    def verdict(self, request: ReserveRequest, at: datetime, *, shadow: bool = False) -> str:
        """The strictest word."""
        words = set(self.findings(request, at, shadow=shadow).values())
        return "deny" if "deny" in words else "escalate" if words else "allow"

    def eligible(self, request: ReserveRequest) -> set[str]:
        """Who may approve: nobody their own request, however they write their names."""
        asking = {name.casefold() for name in request.requesters}
        return {name for name, known in MAY_APPROVE.items() if not asking.intersection(known)}

    def observes(self, agent: str) -> bool:
        """Whether the agent only observes."""
        return agent == "two" and self.wanted.level == "observe"

    def _levels(self, request: ReserveRequest) -> dict[str, str]:
        found = {}
        level = self.wanted.level if request.agent == "two" else "act"
        if level != "act":
            found["level"] = "escalate" if level == "act_with_approval" else "deny"
        if request.agent in self.demoted:
            found["demotion"] = "escalate"
        if isinstance(request.effect, FlipFlag) and request.effect.on:
            found["direction"] = "escalate"
        return found

    def under(self, cap: Cap, request: ReserveRequest, at: datetime, lines: Iterable[Line]) -> int:
        """What stands under the limit together with the request, as far as it is in `lines` or not."""
        total, own = 0, request.reservation
        for line in [
            *(each for each in lines if each.id != own),
            Line(request, at, self.wanted, cents=_cents(request)),
        ]:
            other = line.request
            same = {
                "agent": other.agent == request.agent,
                "repo": other.repository == request.repository,
                "subject": (other.service, other.subject) == (request.service, request.subject),
                "lever": other.lever == request.lever,
            }
            holds = line.phase in HOLDING if cap.minutes is None else at - cap.minutes * MINUTE < line.at
            counts = line.phase != "released" and other.lever in cap.levers and holds
            if counts and all(same[name] for name in cap.scope):
                total += line.cents if cap.unit == "cents" else 1
        return total

    def _too_soon(self, request: ReserveRequest, at: datetime, lines: Iterable[Line]) -> bool:
        about = (request.service, request.subject, request.lever)
        used = [line.at for line in lines if line.phase != "released" and _about(line.request) == about]
        refused = [when for other, when in self.rejections if _about(other) == about]
        return any(
            minutes is not None and when + minutes * MINUTE > at
            for minutes, times in ((self.wanted.cooldown, used), (self.wanted.silence, refused))
            for when in times
        )

    # The breaker.

    def half_open(self, agent: str, at: datetime, lines: Iterable[Line]) -> bool | None:
        """None: closed. False: open. True: half open."""
        fuse = self.wanted.fuse
        opened, _ = self._opened(fuse, agent, lines) if fuse else (None, False)
        return None if fuse is None or opened is None else at >= opened + fuse.open_minutes * MINUTE

    def _blown(self, fuse: Fuse, agent: str, at: datetime, lines: Iterable[Line]) -> dict[str, str]:
        lines = list(lines)
        state = self.half_open(agent, at, lines)
        if state is None:
            return {}
        probes = sum(line.request.agent == agent and line.phase in HOLDING for line in lines)
        return {"breaker": "escalate" if state and probes < fuse.probe else "deny"}

    def _opened(self, fuse: Fuse, agent: str, lines: Iterable[Line]) -> tuple[datetime | None, bool]:
        """When it opened for the last time, None when it is closed; and whether the newest outcome did it."""
        opened: datetime | None = None
        last: list[bool] = []
        tripped = False
        own = [line for line in lines if line.request.agent == agent and line.ended_at and line.outcome]
        for line in sorted(own, key=lambda line: (line.ended_at, line.at)):
            tripped = False
            if line.bad:
                last = [*last, True][-fuse.of_last :]
                if opened is not None or sum(last) >= fuse.bad:
                    opened, tripped = line.ended_at, True
            elif line.outcome is Outcome.LANDED:
                last = [*last, False][-fuse.of_last :]
                if opened is not None and line.at >= opened + fuse.open_minutes * MINUTE:
                    opened = None
        return opened, tripped

    # What happens.

    def install(self, wanted: Wanted, at: datetime) -> None:
        """Rejections that the policy before could not see any more are forgotten."""
        silence = self.wanted.silence
        self.rejections = [
            (request, when) for request, when in self.rejections if silence and when + silence * MINUTE > at
        ]
        self.wanted = wanted

    def lapse(self, at: datetime) -> None:
        """Nobody committed in time."""
        for name, line in self.lines.items():
            if line.phase == "reserved" and line.at + LEASE <= at:
                self.lines[name] = replace(line, phase="lapsed")

    def change(self, name: str, phase: str) -> None:
        """A reservation goes on."""
        self.lines[name] = replace(self.lines[name], phase=phase)

    def settle(self, name: str, outcome: Outcome, cents: int, at: datetime) -> None:
        """It is known how it ended; it may cost the agent its level."""
        line = self.lines[name]
        self.lines[name] = replace(line, phase="settled", outcome=outcome, cents=cents, ended_at=at)
        fuse, agent = self.wanted.fuse, line.request.agent
        if fuse and self._opened(fuse, agent, self.lines.values())[1]:
            self.demoted.add(agent)


def _about(request: ReserveRequest) -> tuple[str, str, str]:
    return request.service, request.subject, request.lever


def _cents(request: ReserveRequest) -> int:
    return request.cost.cents if request.cost else 0
