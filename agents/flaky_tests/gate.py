"""The infrastructure gate: many tests in trouble at once are not that many flaky tests.

Counts only tests that were calm until now, so a suite with many flaky tests has no higher bar, and asks for
much more than the suite's ordinary run. What a run with trouble shows is no evidence for or against a test,
except that what only fails there does not yet pass.

A part of a run that comes late is judged with all that the run had before it, as if it had come in time: so
trouble that is spread over many small parts is seen with the part that makes it too much.
"""

from dataclasses import dataclass
from statistics import median

_USUAL_OF = 101
"""Runs that show what is ordinary."""
_REMEMBERED = _USUAL_OF + 1
"""One more, so that as many are left beside the run that a late part belongs to."""
_TIMES = 5
_AT_LEAST = 4
_OF_BOTH = 500
"""One in so many tests that both fail and pass is ordinary however calm the suite."""
_OF_FAILING = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """What the gate looks at of a run, or of a part of one."""

    tests: int
    """That were executed."""
    failing: int
    """Calm tests whose first execution failed."""
    both: int
    """Those of them that also passed."""

    def plus(self, more: "Counts") -> "Counts":
        return Counts(self.tests + more.tests, self.failing + more.failing, self.both + more.both)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a run had before a further part of it came late."""

    counts: Counts
    ago: int | None
    """Runs that began to be counted after it; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The ordinary runs of a suite: how many calm tests failed, and how many failed and passed."""

    both: tuple[int, ...] = ()
    failing: tuple[int, ...] = ()

    def judge(self, counts: Counts, earlier: Earlier | None = None) -> tuple[bool, "Gate"]:
        """Whether a run had trouble of its own, and what is ordinary after it.

        With trouble or without: a trouble that stays is ordinary. With `earlier` it is a further part of a
        run: both are judged as one, and stay one of the ordinary runs.
        """
        if earlier is None:
            return self._trips(counts), self._with(len(self.both), counts)
        whole = earlier.counts.plus(counts)
        place = -1 if earlier.ago is None else len(self.both) - 1 - earlier.ago
        if place < 0:
            return self._trips(whole), self
        others = Gate(_without(self.both, place), _without(self.failing, place))
        return others._trips(whole), self._with(place, whole)

    def _trips(self, counts: Counts) -> bool:
        return counts.both > max(
            _TIMES * _usual(self.both), _AT_LEAST, counts.tests // _OF_BOTH
        ) or counts.failing > max(_TIMES * _usual(self.failing), _AT_LEAST, counts.tests // _OF_FAILING)

    def _with(self, place: int, counts: Counts) -> "Gate":
        """With a run at a place, instead of what is there."""
        return Gate(
            both=(*self.both[:place], counts.both, *self.both[place + 1 :])[-_REMEMBERED:],
            failing=(*self.failing[:place], counts.failing, *self.failing[place + 1 :])[-_REMEMBERED:],
        )


def _without(counts: tuple[int, ...], place: int) -> tuple[int, ...]:
    return counts[:place] + counts[place + 1 :]


def _usual(counts: tuple[int, ...]) -> float:
    return median(counts[-_USUAL_OF:]) if counts else 0.0
