"""Counts: what real requests did since the router started, by SHA and by the variant of each flag."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from leverframe.model.flags import VariantCounts
from leverframe.model.releases import ERRORS, LATENCY_EDGES_MS, Count, slower_than

KEPT = 20
"""SHAs whose counts are kept; the one that started counting first is forgotten first."""

FLAGS_HEADER = "Leverframe-Flags"
"""A response says in it which flags were evaluated on its way: `new-pricing=on, gift-wrap=off`.

It is a Dictionary Structured Field (RFC 9651) whose members are tokens, names and variants as they are.
"""
MAX_HEADER = 4096
MAX_FLAGS_A_REQUEST = 20
MAX_FLAGS = 100
MAX_VARIANTS = 10
"""Of one flag; a further one is not counted."""

_EVALUATED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,99})=([A-Za-z0-9][A-Za-z0-9_.-]{0,49})$")


@dataclass
class _Tally:
    requests: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_MS) + 1))

    def add(self, *, failed: bool, milliseconds: float) -> None:
        """One request ended. Bucket edges are upper bounds, inclusive, as Prometheus' `le`."""
        self.requests += 1
        self.errors += failed
        self.latency[bisect_left(LATENCY_EDGES_MS, milliseconds)] += 1

    def signals(self) -> dict[str, Count]:
        """Errors, and the requests slower than each edge."""
        counts = {ERRORS: Count(bad=self.errors, total=self.requests)}
        for number, edge in enumerate(LATENCY_EDGES_MS, start=1):
            counts[slower_than(edge)] = Count(bad=sum(self.latency[number:]), total=self.requests)
        return counts


class Counts:
    """Cumulative counters of one service in production, by SHA and by flag."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._flags: dict[str, dict[str, _Tally]] = {}

    def record(self, sha: str, *, failed: bool, milliseconds: float, flags: str = "") -> None:
        """One request ended. `flags` is what the response said of them."""
        tally = self._tallies.get(sha)
        if tally is None:
            tally = self._tallies[sha] = _Tally()
            if len(self._tallies) > KEPT:
                del self._tallies[next(iter(self._tallies))]
        tally.add(failed=failed, milliseconds=milliseconds)
        for flag, variant in evaluated(flags):
            if (counted := self._variant(flag, variant)) is not None:
                counted.add(failed=failed, milliseconds=milliseconds)

    def signals(self, sha: str) -> dict[str, Count]:
        """Every signal of one SHA; zeros for one that no request has met."""
        return self._tallies.get(sha, _Tally()).signals()

    def variants(self, flag: str) -> tuple[VariantCounts, ...]:
        """The counts of every variant of a flag that was seen, in the order they were first seen."""
        return tuple(
            VariantCounts(
                variant=variant, requests=tally.requests, errors=tally.errors, latency=tuple(tally.latency)
            )
            for variant, tally in self._flags.get(flag, {}).items()
        )

    def _variant(self, flag: str, variant: str) -> _Tally | None:
        """The flag that was first seen longest ago is forgotten for a new one; its counts begin anew."""
        if flag not in self._flags:
            self._flags[flag] = {}
            if len(self._flags) > MAX_FLAGS:
                del self._flags[next(iter(self._flags))]
        variants = self._flags[flag]
        if variant not in variants and len(variants) == MAX_VARIANTS:
            return None
        return variants.setdefault(variant, _Tally())


def evaluated(header: str) -> Iterator[tuple[str, str]]:
    """Flag and variant of each evaluation that the header tells, the last word on each; junk is left out."""
    if len(header) > MAX_HEADER:
        return
    members = (_EVALUATED.match(member.strip()) for member in header.split(","))
    yield from list({found[1]: found[2] for found in members if found}.items())[:MAX_FLAGS_A_REQUEST]
