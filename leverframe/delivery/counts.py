"""Counts: what real requests did to each SHA since the router started."""

from bisect import bisect_left
from dataclasses import dataclass, field

from leverframe.model.releases import LATENCY_EDGES_MS, ArmCounts

KEPT = 20
"""SHAs whose counts are kept; the one that started counting first is forgotten first."""


@dataclass
class _Tally:
    requests: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_MS) + 1))


class Counts:
    """Cumulative counters of one service in production, by SHA."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def record(self, sha: str, *, failed: bool, milliseconds: float) -> None:
        """One request ended. Bucket edges are upper bounds, inclusive, as Prometheus' `le`."""
        tally = self._tallies.get(sha)
        if tally is None:
            tally = self._tallies[sha] = _Tally()
            if len(self._tallies) > KEPT:
                del self._tallies[next(iter(self._tallies))]
        tally.requests += 1
        tally.errors += failed
        tally.latency[bisect_left(LATENCY_EDGES_MS, milliseconds)] += 1

    def arms(self) -> tuple[ArmCounts, ...]:
        """The counts of every SHA seen, in the order they were first seen."""
        return tuple(
            ArmCounts(sha=sha, requests=tally.requests, errors=tally.errors, latency=tuple(tally.latency))
            for sha, tally in self._tallies.items()
        )
