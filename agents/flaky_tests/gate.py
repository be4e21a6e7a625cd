"""The infrastructure gate: many tests in trouble at once are not that many flaky tests.

Counts only tests that were calm until now, so a suite with many flaky tests has no higher bar, and asks for
much more than the suite's ordinary run. What a run with trouble shows is no evidence for or against a test,
except that what only fails there does not yet pass.
"""

from dataclasses import dataclass
from statistics import median

_REMEMBERED = 101
_TIMES = 5
_AT_LEAST = 4
_OF_BOTH = 500
"""One in so many tests that both fail and pass is ordinary however calm the suite."""
_OF_FAILING = 50


@dataclass(frozen=True, slots=True)
class Gate:
    """The ordinary runs of a suite: how many calm tests failed, and how many failed and passed."""

    both: tuple[int, ...] = ()
    failing: tuple[int, ...] = ()

    def trips(self, *, tests: int, failing: int, both: int) -> bool:
        """Whether a run of so many tests had trouble of its own.

        `failing`: calm tests whose first execution failed; `both`: those of them that also passed.
        """
        return both > max(_TIMES * _usual(self.both), _AT_LEAST, tests // _OF_BOTH) or failing > max(
            _TIMES * _usual(self.failing), _AT_LEAST, tests // _OF_FAILING
        )

    def after(self, *, failing: int, both: int) -> "Gate":
        """What is ordinary after one more run, with trouble or without: a trouble that stays is ordinary."""
        return Gate(
            both=(*self.both, both)[-_REMEMBERED:],
            failing=(*self.failing, failing)[-_REMEMBERED:],
        )


def _usual(counts: tuple[int, ...]) -> float:
    return median(counts) if counts else 0.0
