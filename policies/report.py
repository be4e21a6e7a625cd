"""The report on agents: what they were allowed, how it turned out, what people thought of it.

It suggests levels in words and changes none: outcomes demote by themselves, only people promote.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from statistics import median

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.outcomes import Outcome
from policies import events
from policies.audit import Record
from policies.reservations import Entry, Phase
from policies.retention import use_of

ENOUGH_ANSWERS = 50
"""Fewer answers say nothing about an agent."""
NEARLY_ALWAYS = 95
"""Percent of yes from which on asking people is a formality."""
MOSTLY_NO = 50
"""Percent of yes below which the agent asks for the wrong things."""
ENOUGH_FOR_DOUBT = 10
REFLEX = timedelta(seconds=5)
"""Nobody reads a question faster."""
ENOUGH_OBSERVED = 20
GOOD_OBSERVER = 90
"""Percent of observed requests that people then did themselves."""
ENOUGH_LANDED = 10
"""Good effects after a demotion, without a bad one."""


class AgentReport(Frozen):
    """One agent within the time of the report."""

    agent: str
    allowed: int
    """Without people."""
    asked: int
    denied: int
    observed: int
    approved: int
    rejected: int
    expired: int
    median_answer_seconds: int | None
    """From the question to people's yes or no."""
    outcomes: dict[str, int]
    overruns: int
    """Effects that cost more than was reserved."""
    shadow_scored: int
    shadow_matched: int
    demotions: int
    demoted: bool
    """It is lowered now."""
    suggestions: tuple[str, ...]

    @property
    def approve_percent(self) -> int | None:
        """How often people said yes; None when they were never asked or never answered."""
        answered = self.approved + self.rejected
        return self.approved * 100 // answered if answered else None

    def fields(self) -> dict[str, object]:
        """Names and values for a table; what says nothing is empty."""
        said = f"{self.approved} yes, {self.rejected} no, {self.expired} unanswered" if self.asked else ""
        return {
            "agent": self.agent,
            "requests": f"{self.allowed} allowed, {self.asked} asked people, {self.denied} denied",
            "people said": said,
            "answered within": (
                "" if self.median_answer_seconds is None else f"{self.median_answer_seconds} s (median)"
            ),
            "outcomes": ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items())),
            "cost more": self.overruns or "",
            "observed": (
                f"{self.observed}; people did the same in {self.shadow_matched} of {self.shadow_scored}"
                if self.observed or self.shadow_scored
                else ""
            ),
            "demoted": ("yes" if self.demoted else f"{self.demotions} times") if self.demotions else "",
        }


class Report(Frozen):
    """All agents that asked for something, by name."""

    since: Instant
    until: Instant
    agents: tuple[AgentReport, ...]


def report(records: Iterable[Record], *, since: datetime, now: datetime) -> Report:
    """What the audit log says about each agent since then. Demotions in force count whenever they began."""
    past = _Past(since)
    for record in records:
        past.live_through(events.event_of(record), record.at)
    return Report(
        since=since,
        until=now,
        agents=tuple(tally.report(agent) for agent, tally in sorted(past.tallies.items())),
    )


class _Tally:
    """Sums for one agent."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.answer_times: list[timedelta] = []
        self.demoted = False
        self.landed_since_demotion = 0
        self.bad_since_demotion = 0

    def report(self, agent: str) -> AgentReport:
        """The sums with what they suggest."""
        seconds = [time.total_seconds() for time in self.answer_times]
        plain = AgentReport(
            agent=agent,
            allowed=self.counts["allowed"],
            asked=self.counts["asked"],
            denied=self.counts["denied"],
            observed=self.counts["observed"],
            approved=self.counts["approved"],
            rejected=self.counts["rejected"],
            expired=self.counts["expired"],
            median_answer_seconds=int(median(seconds)) if seconds else None,
            outcomes=dict(sorted(self.outcomes.items())),
            overruns=self.counts["overruns"],
            shadow_scored=self.counts["scored"],
            shadow_matched=self.counts["matched"],
            demotions=self.counts["demotions"],
            demoted=self.demoted,
            suggestions=(),
        )
        return plain.model_copy(update={"suggestions": tuple(self._suggestions(plain))})

    def _suggestions(self, plain: AgentReport) -> Iterator[str]:
        yield from _on_answers(plain)
        if (
            plain.shadow_scored >= ENOUGH_OBSERVED
            and plain.shadow_matched * 100 >= plain.shadow_scored * GOOD_OBSERVER
        ):
            yield (
                f"People did what {plain.agent} would have done in {plain.shadow_matched} of "
                f"{plain.shadow_scored} cases: consider raising it from `observe`."
            )
        if self.demoted and self.landed_since_demotion >= ENOUGH_LANDED and not self.bad_since_demotion:
            yield (
                f"Since {plain.agent} was lowered, {self.landed_since_demotion} of its effects landed and "
                f"none went badly: consider `leverframe policy promote --agent {plain.agent}`."
            )


def _on_answers(plain: AgentReport) -> Iterator[str]:
    percent, answered = plain.approve_percent, plain.approved + plain.rejected
    if percent is None or answered < ENOUGH_FOR_DOUBT:
        return
    if answered >= ENOUGH_ANSWERS and percent > NEARLY_ALWAYS:
        yield (
            f"People said yes to {percent} % of {answered} questions of {plain.agent}: "
            "consider raising its level where they always agree."
        )
    if percent < MOSTLY_NO:
        yield (
            f"People said yes to only {percent} % of {answered} questions of {plain.agent}: "
            "consider lowering its level or asking for more evidence."
        )
    if plain.median_answer_seconds is not None and plain.median_answer_seconds < REFLEX.total_seconds():
        yield (
            f"Half of the answers to {plain.agent} came within {plain.median_answer_seconds} s: "
            "people may be saying yes without reading."
        )
    if plain.expired > answered:
        yield (
            f"More questions of {plain.agent} ran out ({plain.expired}) than were answered ({answered}): "
            "consider asking other people, or fewer questions."
        )


class _Past:
    """What is older than `since` is only lived through: it says whose effect ends later, who is lowered."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._entries: dict[str, Entry] = {}
        self._shadows: dict[str, str] = {}
        self.tallies: dict[str, _Tally] = {}

    def live_through(self, event: events.Event, at: datetime) -> None:
        """One event."""
        recent = at >= self._since
        match event:
            case events.Granted(entry=entry):
                self._entries[entry.id] = entry
                if not entry.lifted:
                    self._count(entry.intent.agent, "allowed", recent)
            case events.EscalatedEvent():
                self._count(event.intent.agent, "asked", recent)
            case events.DeniedEvent():
                self._count(event.intent.agent, "denied", recent)
            case events.Shadowed(entry=shadow):
                self._shadows[shadow.id] = shadow.intent.agent
                self._count(shadow.intent.agent, "observed", recent)
            case events.Scored(score=score) if score.id in self._shadows:
                self._count(self._shadows[score.id], "scored", recent)
                self._count(self._shadows[score.id], "matched", recent and score.matched)
            case events.Answered(answer=answer):
                self._count(answer.agent, answer.state, recent)
                if recent and answer.state in ("approved", "rejected"):
                    self._of(answer.agent).answer_times.append(answer.ended_at - answer.asked_at)
            case events.Settled():
                self._settled(event, at, recent=recent)
            case events.Demoted() | events.PromotedEvent():
                self._level(event, recent=recent)
            case events.Began():
                self._begin_anew()
            case _:
                pass

    def _begin_anew(self) -> None:
        """The ledger has forgotten what was open, and who was lowered."""
        self._entries.clear()
        self._shadows.clear()
        for tally in self.tallies.values():
            tally.demoted = False

    def _of(self, agent: str) -> _Tally:
        return self.tallies.setdefault(agent, _Tally())

    def _count(self, agent: str, what: str, recent: bool) -> None:
        if recent:
            self._of(agent).counts[what] += 1

    def _settled(self, event: events.Settled, at: datetime, *, recent: bool) -> None:
        said = event.settlement
        entry = self._entries.pop(said.reservation, None)
        if entry is None:
            return
        tally = self._of(entry.intent.agent)
        settled = {"phase": Phase.SETTLED, "outcome": said.outcome, "actual": said.actual, "ended_at": at}
        overrun = use_of(entry.model_copy(update=settled)).overrun
        if said.outcome is Outcome.LANDED and not overrun:
            tally.landed_since_demotion += 1
        elif overrun or said.outcome in (Outcome.FAILED, Outcome.ROLLED_BACK):
            tally.bad_since_demotion += 1
        if recent:
            tally.outcomes[said.outcome.value] += 1
            tally.counts["overruns"] += overrun

    def _level(self, event: "events.Demoted | events.PromotedEvent", *, recent: bool) -> None:
        demoted = isinstance(event, events.Demoted)
        agent = event.demotion.agent if isinstance(event, events.Demoted) else event.request.agent
        tally = self._of(agent)
        tally.demoted = demoted
        tally.landed_since_demotion = tally.bad_since_demotion = 0
        if demoted:
            self._count(agent, "demotions", recent)
