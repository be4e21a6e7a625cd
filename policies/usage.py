"""Usage: what the ledger knows that the rules look at, indexed so that a question costs no scan."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost, Lever
from policies.counting import Counter, Counters
from policies.documents import PolicyDocument, PolicySnapshot
from policies.layering import applicable
from policies.rules import Autonomy, Limit
from policies.tally import Key, Tally

REMEMBERED_OUTCOMES = 100
"""How many of an agent's outcomes a breaker looks at: twice what one can ask for."""

REMEMBERED_HOLDS = 10
"""How many of an agent's newest unsettled effects a breaker looks at: as many as it can let probe."""


class Use(Frozen):
    """One granted effect that was not given back."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    at: Instant
    """When it was reserved: windows count from here."""
    held: bool = True
    """Its outcome is not known yet."""
    cost: Cost = Cost()
    """The estimate until it is settled, then the actual figure."""
    tests: int = 0
    """How many entered the quarantine with it."""
    outcome: Outcome | None = None
    """None while held."""
    ended_at: Instant | None = None
    overrun: bool = False
    """It cost more than was reserved: bad for the breaker, whatever its outcome."""


class Rejection(Frozen):
    """People said no."""

    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    at: Instant


class Sighting(Frozen):
    """A subject asked for an effect, whatever became of it: storms are seen by these."""

    repository: Slug
    service: Slug
    subject: str
    at: Instant
    """The last time."""


class Asking(Frozen):
    """People were asked: their attention is limited, too."""

    approval: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    group: Slug
    at: Instant


class Pause(Frozen):
    """An operator stopped effects without touching a file: all, or one agent's, or one repository's."""

    by: str
    reason: str
    since: Instant
    agent: Slug | None = None
    repository: Slug | None = None

    def stops(self, agent: str, repository: str) -> bool:
        """Whether it is about an effect of that agent in that repository."""
        return self.agent in (None, agent) and self.repository in (None, repository)


class Demotion(Frozen):
    """An agent was lowered by its outcomes. Only a person lifts it."""

    agent: Slug
    to: Autonomy
    since: Instant
    reason: str


class UsageDocument(Frozen):
    """Usage as plain data: what `policy explain --usage` reads, and what the index is built of."""

    uses: tuple[Use, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    questions: tuple[Asking, ...] = ()
    pauses: tuple[Pause, ...] = ()
    demotions: tuple[Demotion, ...] = ()


NOTHING_USED = UsageDocument()


class _Record:
    """What one breaker has to know about one agent."""

    __slots__ = ("ended", "held")

    def __init__(self) -> None:
        self.ended, self.held = Tally(), Tally()


_Subject = tuple[str, str, Lever]
"""Service, subject, lever: what a cooldown is about."""


class Usage:
    """An index over uses, questions, rejections and sightings for one snapshot of the policy.

    Mutable and deterministic: the same calls in any process lead to the same answers. Asking costs a
    bisection for each limit, however many uses there are.
    """

    def __init__(
        self, snapshot: PolicySnapshot, document: UsageDocument = NOTHING_USED, keys: Sequence[str] = ()
    ) -> None:
        self.snapshot = snapshot
        self.pauses = document.pauses
        self.demotions = document.demotions
        self._uses: dict[str, Use] = {}
        self._counters = Counters(snapshot)
        self._records: dict[tuple[str, str], _Record] = {}
        self._by_subject: dict[_Subject, Tally] = {}
        self._rejections: dict[tuple[str, str, str, Lever], Rejection] = {}
        self._refused: dict[_Subject, datetime] = {}
        self._sightings: dict[tuple[str, str, str], Sighting] = {}
        self._seen: dict[str, Tally] = {}
        self._questions: dict[tuple[str, str], Asking] = {}
        for key, use in zip(keys or map(str, range(len(document.uses))), document.uses, strict=True):
            self.add(key, use)
        for rejection in document.rejections:
            self.reject(rejection)
        for sighting in document.sightings:
            self.see(sighting)
        for asking in document.questions:
            self.ask(asking)

    # What happened.

    def add(self, key: str, use: Use) -> None:
        """One use; the same key again replaces it."""
        before = self._uses.get(key)
        self._uses[key] = use
        self._counters.count_effect((key,), use)
        if before is not None:
            self._unlist(key, before)
        self._list(key, use)

    def drop(self, key: str) -> None:
        """A use that was given back, or that no rule can see any more. Raises KeyError when it is unknown."""
        use = self._uses.pop(key)
        self._counters.drop((key,))
        self._unlist(key, use)

    @contextmanager
    def but(self, key: str) -> Iterator[None]:
        """The index without one use, if it is there, for as long as the block runs."""
        use = self._uses.get(key)
        if use is None:
            yield
            return
        self._counters.drop((key,))
        self._unlist(key, use)
        try:
            yield
        finally:
            self._counters.count_effect((key,), use)
            self._list(key, use)

    def see(self, sighting: Sighting) -> None:
        """A subject asked for an effect; only its last time is kept."""
        name = (sighting.repository, sighting.service, sighting.subject)
        before = self._sightings.get(name)
        if before is not None and before.at >= sighting.at:
            return
        self._sightings[name] = sighting
        seen = self._seen.setdefault(sighting.repository, Tally())
        if before is not None:
            seen.drop(before.at, name[1:])
        seen.add(sighting.at, name[1:])

    def ask(self, asking: Asking) -> None:
        """A group was asked; the same question to the same group counts once."""
        name = (asking.approval, asking.group)
        if name not in self._questions:
            self._questions[name] = asking
            self._counters.count_question(name, asking)

    def reject(self, rejection: Rejection) -> None:
        """People said no; only the last time is kept."""
        name = (rejection.repository, rejection.service, rejection.subject, rejection.lever)
        before = self._rejections.get(name, rejection)
        self._rejections[name] = max(before, rejection, key=lambda each: each.at)
        about = name[1:]
        self._refused[about] = max(rejection.at, self._refused.get(about, rejection.at))

    def forget(self, now: datetime) -> None:
        """Drop the sightings, questions and rejections that no rule sees any more. Uses are the caller's."""
        rules = [document.rules for document in self.snapshot.documents]
        storms = [each.storm.window for each in rules if each.storm and each.storm.window]
        for name, sighting in list(self._sightings.items()):
            if not any(sighting.at + window > now for window in storms):
                del self._sightings[name]
                self._seen[name[0]].drop(sighting.at, name[1:])
        windows = [
            limit.window
            for each in rules
            for limit in each.limits
            if limit.unit == "escalations" and limit.window
        ]
        for question, asking in list(self._questions.items()):
            if not any(asking.at + window > now for window in windows):
                del self._questions[question]
                self._counters.drop(question)
        spans = [each.cooldown.after_rejection for each in rules if each.cooldown.after_rejection]
        for refused, rejection in list(self._rejections.items()):
            if not any(rejection.at + span > now for span in spans):
                del self._rejections[refused]
                if self._refused.get(refused[1:]) == rejection.at:
                    del self._refused[refused[1:]]

    # What the rules ask.

    def counter(self, document: PolicyDocument, limit: Limit) -> Counter:
        """What the limit of that document has seen."""
        return self._counters.of(document, limit)

    def history(self, document: PolicyDocument, agent: str) -> tuple[Use, ...]:
        """An agent's latest outcomes, in the order in which they became known, and its newest unsettled
        effects, in the order of their reservation, within what a document with a breaker is about."""
        record = self._records.get((document.file, agent))
        if record is None:
            return ()
        keys = record.ended.last(REMEMBERED_OUTCOMES) + record.held.last(REMEMBERED_HOLDS)
        return tuple(self._uses[key] for (key,) in keys)

    def last_use(self, service: str, subject: str, lever: Lever) -> datetime | None:
        """When the lever was last reserved for the subject, by any agent."""
        tally = self._by_subject.get((service, subject, lever))
        return tally.newest() if tally else None

    def last_rejection(self, service: str, subject: str, lever: Lever) -> datetime | None:
        """When people last said no to the lever for the subject."""
        return self._refused.get((service, subject, lever))

    def subjects(self, repository: str, after: datetime) -> list[tuple[datetime, Key]]:
        """Who asked for an effect later than `after`: last time and (service, subject), oldest first."""
        seen = self._seen.get(repository)
        return seen.keys(after) if seen else []

    def document(self) -> UsageDocument:
        """All of it as plain data. Keys are not part of it."""
        return UsageDocument(
            uses=tuple(self._uses.values()),
            rejections=tuple(self._rejections.values()),
            sightings=tuple(self._sightings.values()),
            questions=tuple(self._questions.values()),
            pauses=self.pauses,
            demotions=self.demotions,
        )

    # The indexes.

    def _list(self, key: str, use: Use) -> None:
        self._by_subject.setdefault((use.service, use.subject, use.lever), Tally()).add(use.at, (key,))
        for record in self._recorded(use):
            _listing(record, use).add(_since(use), (key,))

    def _unlist(self, key: str, use: Use) -> None:
        about = (use.service, use.subject, use.lever)
        self._by_subject[about].drop(use.at, (key,))
        if not len(self._by_subject[about]):
            del self._by_subject[about]
        for record in self._recorded(use):
            _listing(record, use).drop(_since(use), (key,))

    def _recorded(self, use: Use) -> Iterator[_Record]:
        for document in applicable(self.snapshot, use):
            if document.rules.breaker is not None:
                yield self._records.setdefault((document.file, use.agent), _Record())


def _listing(record: _Record, use: Use) -> Tally:
    return record.ended if use.outcome is not None else record.held


def _since(use: Use) -> datetime:
    """What a breaker orders it by: outcomes by when they were known, what is unsettled by its reservation."""
    return use.ended_at or use.at
