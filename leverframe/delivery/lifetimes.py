"""Lifetimes: the seconds in which a SHA's process died, of those in which it should have run. Pure."""

from collections.abc import Callable

from leverframe.model.releases import Count

KEPT = 20
"""SHAs that are remembered; the one that started first is forgotten first."""


class Lifetime:
    """One SHA's instance-seconds. Times are seconds of one clock that never goes back.

    A second counts as bad when a process died in it, however often: so bad never exceeds the exposure, and a
    process that dies at once, again and again, can't outrun it.
    """

    def __init__(self) -> None:
        self._before = Count()
        """Of the instances that were stopped."""
        self._since: float | None = None
        self._deaths = 0
        self._last_death: int | None = None

    def begin(self, now: float) -> None:
        """An instance is kept alive from now on."""
        self._since, self._deaths, self._last_death = now, 0, None

    def died(self, now: float) -> None:
        """Its process ended although nobody wanted it to."""
        if self._since is None:
            return
        second = int(now - self._since)
        self._deaths += second != self._last_death
        self._last_death = second

    def end(self, now: float) -> None:
        """The instance is not wanted any more: what happens to its process now is no fault."""
        self._before, self._since = self.count(now), None

    def count(self, now: float) -> Count:
        """Bad seconds out of all seconds begun, of all the SHA's instances one after the other."""
        if self._since is None:
            return self._before
        return self._before + Count(bad=self._deaths, total=int(now - self._since) + 1)


class Lifetimes:
    """The lifetimes of one environment's SHAs, by the clock of their process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: dict[str, Lifetime] = {}

    def begin(self, sha: str) -> None:
        """An instance of the SHA starts."""
        if sha not in self._of and len(self._of) == KEPT:
            del self._of[next(iter(self._of))]
        self._of.setdefault(sha, Lifetime()).begin(self._clock())

    def died(self, sha: str) -> None:
        """A process of the SHA died."""
        if sha in self._of:
            self._of[sha].died(self._clock())

    def end(self, sha: str) -> None:
        """The SHA's instance is to stop."""
        if sha in self._of:
            self._of[sha].end(self._clock())

    def count(self, sha: str) -> Count:
        """What is known of the SHA."""
        return self._of[sha].count(self._clock()) if sha in self._of else Count()
