"""One test in one run: what its attempts say about it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

PASS, FAIL, ERROR, SKIP = "pass", "fail", "error", "skip"
OUTCOMES = frozenset({PASS, FAIL, ERROR, SKIP})


@dataclass(frozen=True, slots=True)
class Attempts:
    """The executions of one test in one run at one commit; a skip is none."""

    passes: int
    failures: int
    first_failed: bool
    """The first execution failed: the one that a fresh machine and process gave."""
    signatures: tuple[str, ...] = ()
    """Fingerprints of the failures, sorted, each once; `""` is a failure of which nothing is known."""

    @property
    def both(self) -> bool:
        """It failed and passed at one commit."""
        return self.passes > 0 and self.failures > 0

    @property
    def only_failed(self) -> bool:
        return self.failures > 0 and self.passes == 0


PASSED = Attempts(passes=1, failures=0, first_failed=False)


def attempts(outcomes: Mapping[int, tuple[str, str]]) -> Attempts | None:
    """Of (outcome, fingerprint) by attempt number; None if none was executed."""
    executed = [outcomes[number] for number in sorted(outcomes) if outcomes[number][0] != SKIP]
    if not executed:
        return None
    failed = [signature for outcome, signature in executed if outcome != PASS]
    return Attempts(
        passes=len(executed) - len(failed),
        failures=len(failed),
        first_failed=executed[0][0] != PASS,
        signatures=tuple(sorted(set(failed))),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a suite at one commit, after its last row came.

    A test is named by its number on the shelf (see `suite.Shelf`), which stands for its full identity: file,
    whole node id with parameters, and variant; never the name of its last part alone.
    """

    sha: str
    branch: str
    main: bool
    """It ran on the branch that everybody's work is based on."""
    at: datetime
    passed: Collection[int]
    """Tests that passed in their only execution, with a quick `in`."""
    others: Mapping[int, Attempts]
    """Tests with any other history in this run."""
    passed_before: frozenset[int] = frozenset()
    """Those of `others` that passed at this commit in an earlier run."""
    lacks_fix: frozenset[int] = frozenset()
    """Tests whose claimed fix this commit does not contain: what they do here says nothing of the fix."""

    def of(self, test: int) -> Attempts:
        """Of a test that took part."""
        return self.others.get(test, PASSED)
