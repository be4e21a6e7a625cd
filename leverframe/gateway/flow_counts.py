"""Flows of real users, counted in memory: for each flow and SHA those whose time is over.

A flow counts at the end of its time, completed or not: counted when they complete, good ones would be ahead
of abandoned ones. It counts for the revision that served the page on which it started, and its id once among
the last `REMEMBERED` of its kind.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from leverframe.model.flows import FlowEvent
from leverframe.model.releases import Count

REMEMBERED = 50_000
"""Ids of one flow of one service, under way or over: some 15 MB."""
KEPT = 20
"""SHAs of one flow whose counts are kept; the one that started counting first is forgotten first."""

Heard = Literal["counted", "duplicate", "unknown_start", "too_many"]


@dataclass(slots=True)
class _Started:
    sha: str
    ends: float
    completed: bool = False


@dataclass(slots=True)
class _Tally:
    abandoned: int = 0
    total: int = 0


class _Flow:
    """One flow of one service. Ids stand in the order of their starts, and so of their ends."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._under_way: OrderedDict[str, _Started] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()
        self._tallies: dict[str, _Tally] = {}

    def knows(self, flow_id: str) -> bool:
        return flow_id in self._under_way or flow_id in self._over

    def start(self, event: FlowEvent, now: float) -> Heard:
        if len(self._under_way) >= REMEMBERED:
            return "too_many"
        self._under_way[event.id] = _Started(event.sha, now + self._seconds)
        self._forget()
        return "counted"

    def complete(self, event: FlowEvent) -> Heard:
        found = self._under_way.get(event.id)
        if found is None:
            return "duplicate" if event.id in self._over else "unknown_start"
        if found.completed:
            return "duplicate"
        found.completed = True
        return "counted"

    def settle(self, now: float) -> None:
        """Count what is over."""
        while self._under_way and next(iter(self._under_way.values())).ends <= now:
            flow_id, started = self._under_way.popitem(last=False)
            self._over[flow_id] = None
            tally = self._tallies.setdefault(started.sha, _Tally())
            tally.total += 1
            tally.abandoned += not started.completed
            if len(self._tallies) > KEPT:
                del self._tallies[next(iter(self._tallies))]
        self._forget()

    def of(self, sha: str) -> Count:
        tally = self._tallies.get(sha, _Tally())
        return Count(bad=tally.abandoned, total=tally.total)

    def _forget(self) -> None:
        while self._over and len(self._under_way) + len(self._over) > REMEMBERED:
            self._over.popitem(last=False)


class _Pace:
    """A token bucket that holds the starts of ten seconds."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._left = 10 * a_second
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        since = 0.0 if self._filled_at is None else now - self._filled_at
        self._filled_at = now
        self._left = min(10 * self._a_second, self._left + since * self._a_second)
        if self._left < 1:
            return False
        self._left -= 1
        return True


class FlowCounts:
    """The declared flows of one service. The clock is the caller's, and never goes back."""

    def __init__(self, declared: Mapping[str, float], *, starts_a_second: float) -> None:
        """`declared`: flow → its time in seconds."""
        self._flows = {name: _Flow(seconds) for name, seconds in declared.items()}
        self._pace = _Pace(starts_a_second)

    def __contains__(self, flow: str) -> bool:
        return flow in self._flows

    def hear(self, event: FlowEvent, now: float) -> Heard:
        """What became of one event of a declared flow.

        Starts alone are paced: what began may always be completed.
        """
        flow = self._flows[event.flow]
        flow.settle(now)
        if event.event == "completed":
            return flow.complete(event)
        if flow.knows(event.id):
            return "duplicate"
        return flow.start(event, now) if self._pace.take(now) else "too_many"

    def of(self, sha: str, now: float) -> dict[str, Count]:
        """Flow → those of this SHA whose time is over, and how many of them were abandoned."""
        for flow in self._flows.values():
            flow.settle(now)
        return {name: flow.of(sha) for name, flow in self._flows.items()}
