"""Counting: what stands under each limit, by what counts together, kept sorted for one quick question."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from leverframe.model.proposals import Cost, Lever
from policies.documents import PolicyDocument, PolicySnapshot
from policies.layering import Placed, applicable
from policies.rules import Limit
from policies.tally import Key, Tally

ScopeKey = tuple[tuple[str, ...], ...]


class Scoped(Placed, Protocol):
    """Something that limits count: an intent, a use, a question."""

    @property
    def service(self) -> str:
        """The subject's service."""

    @property
    def subject(self) -> str:
        """About what."""

    @property
    def lever(self) -> Lever:
        """By which lever."""


class Effective(Scoped, Protocol):
    """An effect as limits count it."""

    @property
    def at(self) -> datetime:
        """When it was reserved."""

    @property
    def held(self) -> bool:
        """Its outcome is not known yet."""

    @property
    def cost(self) -> Cost:
        """What it costs."""

    @property
    def tests(self) -> int:
        """How many tests enter the quarantine with it."""


class Question(Scoped, Protocol):
    """A question to people as limits count it."""

    @property
    def group(self) -> str:
        """Who was asked."""

    @property
    def at(self) -> datetime:
        """When."""


def scope_key(limit: Limit, scoped: Scoped, group: str = "") -> ScopeKey:
    """What must be equal for two effects, or two questions to a group of people, to count together."""
    return tuple(_part(name, scoped, group) for name in limit.scope)


def _part(scope: str, scoped: Scoped, group: str) -> tuple[str, ...]:
    match scope:
        case "agent":
            return (scoped.agent,)
        case "repo":
            return (scoped.repository,)
        case "subject":
            # The same subject name in another service is another subject.
            return (scoped.service, scoped.subject)
        case "lever":
            return (scoped.lever.value,)
        case _:
            return (group,)


def amount(limit: Limit, cost: Cost, tests: int) -> int:
    """What one effect of that cost, with so many tests, adds up to under the limit, in the limit's unit."""
    match limit.unit:
        case "cents":
            return cost.cents
        case "tokens":
            return cost.tokens
        case "tests":
            return tests
        case _:
            return 1


class Counter:
    """What one limit of one document has seen."""

    __slots__ = ("limit", "tallies")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.tallies: dict[ScopeKey, Tally] = {}

    def add(self, scope: ScopeKey, at: datetime, key: Key, amount: int) -> None:
        """One more, with what counts together with it."""
        self.tallies.setdefault(scope, Tally()).add(at, key, amount)

    def drop(self, scope: ScopeKey, at: datetime, key: Key) -> None:
        """One less. Raises KeyError when it is not there."""
        tally = self.tallies[scope]
        tally.drop(at, key)
        if not len(tally):
            del self.tallies[scope]

    def taken(self, scope: ScopeKey, now: datetime) -> int:
        """How much stands under the limit at `now`, in its unit."""
        tally = self.tallies.get(scope)
        return tally.total(self._after(now)) if tally else 0

    def free_again(self, scope: ScopeKey, excess: int, now: datetime) -> datetime | None:
        """When `excess` of it has left the window if nothing else happens; None: waiting alone won't do."""
        tally = self.tallies.get(scope)
        if self.limit.window is None or tally is None:
            return None
        last = tally.relief(self._after(now), excess)
        return last + self.limit.window if last else None

    def _after(self, now: datetime) -> datetime | None:
        return None if self.limit.window is None else now - self.limit.window


class _Row(NamedTuple):
    """Where one effect or question stands under one limit."""

    counter: Counter
    scope: ScopeKey
    at: datetime
    amount: int


class Counters:
    """Every limit of a snapshot with what stands under it."""

    def __init__(self, snapshot: PolicySnapshot) -> None:
        self._snapshot = snapshot
        self._counters = {
            (document.file, limit.id): Counter(limit)
            for document in snapshot.documents
            for limit in document.rules.limits
        }
        self._rows: dict[Key, tuple[_Row, ...]] = {}

    def of(self, document: PolicyDocument, limit: Limit) -> Counter:
        """What the limit of that document has seen."""
        return self._counters[document.file, limit.id]

    def count_effect(self, key: Key, use: Effective) -> None:
        """Put an effect under its limits, in the place of what had the key before."""
        self._put(
            key,
            tuple(
                _Row(
                    self._counters[file, limit.id],
                    scope_key(limit, use),
                    use.at,
                    amount(limit, use.cost, use.tests),
                )
                for file, limit in self._limits(use)
                if limit.unit != "escalations" and (limit.window is not None or use.held)
            ),
        )

    def count_question(self, key: Key, asking: Question) -> None:
        """Put a question under the limits of people's attention, in the place of what had the key before."""
        self._put(
            key,
            tuple(
                _Row(self._counters[file, limit.id], scope_key(limit, asking, asking.group), asking.at, 1)
                for file, limit in self._limits(asking)
                if limit.unit == "escalations"
            ),
        )

    def drop(self, key: Key) -> None:
        """Take it out everywhere. Raises KeyError when it is not there."""
        for row in self._rows.pop(key):
            row.counter.drop(row.scope, row.at, key)

    def _limits(self, scoped: Scoped) -> Iterator[tuple[str, Limit]]:
        for document in applicable(self._snapshot, scoped):
            for limit in document.rules.limits:
                if scoped.lever in limit.levers:
                    yield document.file, limit

    def _put(self, key: Key, rows: tuple[_Row, ...]) -> None:
        before = self._rows.get(key, ())
        for row in before:
            if row not in rows:
                row.counter.drop(row.scope, row.at, key)
        for row in rows:
            if row not in before:
                row.counter.add(row.scope, row.at, key, row.amount)
        self._rows[key] = rows
