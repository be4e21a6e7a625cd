"""What is remembered of one test: of fixed size, however long the test lives.

A test that only ever passes has none; its runs are a number on the shelf.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from agents.flaky_tests.evidence import NONE, Evidence

MOST_SIGNATURES = 8
MOST_COMMITS = 4
CALM = 200
"""A test without a discordance in so many of its runs is calm."""


class Verdict(StrEnum):
    """What the evidence says of a test now."""

    HEALTHY = "healthy"
    FLAKY = "flaky"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Mask(StrEnum):
    """Whether a quarantine still keeps failures from failing a build."""

    ON = "on"
    STUCK = "stuck"
    """Lifted: it fails in whole runs far more often than its flakiness explains."""
    SHIFTED = "shifted"
    """Lifted: its failure rate rose; a regression may hide in it."""


class Rate(NamedTuple):
    """How often a test shows its flakiness, by units: a run, or one execution in a fresh environment.

    `units` end with the last failure; `clean` came after it. A unit fails when the test failed and passed at
    one commit; where it only failed, the commit may be to blame, and the unit says nothing.
    """

    failures: int = 0
    units: int = 0
    clean: int = 0

    def after(self, units: int, failures: int) -> "Rate":
        """After so many more, in whatever order they came. Counts are halved once there are many."""
        if failures == 0:
            return Rate(self.failures, self.units, self.clean + units)
        bad, total = self.failures + failures, self.units + self.clean + units
        return Rate(bad // 2, total // 2, 0) if bad >= 100 else Rate(bad, total, 0)


class Usual(NamedTuple):
    """How often the first execution of a run fails, and a run has no pass at all, while nothing changes."""

    runs: int = 0
    failed: int = 0
    only_failed: int = 0
    known: int = 0
    """`runs` when the bounds were last learned; they lag, so that a change can't hide itself."""
    most_failed: float = 1.0
    """An upper bound on the share of runs whose first execution fails."""
    most_only_failed: float = 1.0
    shifted: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Shiryaev-Roberts evidence that it fails more often than that, for each of `masking.RATES`."""
    stuck: tuple[float, ...] = (0.0, 0.0)
    """The same that it only fails more often, for each of `masking.STUCK`."""


class Quarantine(NamedTuple):
    """A test that is quarantined, from the evidence until it is healed."""

    at: datetime
    masked: tuple[str, ...]
    """The failures that can't fail a build; any other one does."""
    rate: Rate
    needed: int
    """Clean units in a row that heal it."""
    as_of: int
    """The number of the test's counted runs that all of this holds; passes since then are folded later."""
    evidence: Evidence = NONE
    """That it is flaky, as of `evidence_as_of`: it goes on, for what needs more of it than a quarantine."""
    evidence_as_of: int = 0
    proven: float = 0.0
    """The most that the evidence came to."""
    usual: Usual = Usual()
    mask: Mask = Mask.ON
    lifted_at: datetime | None = None
    passing: int = 0
    """Runs with a pass since it last only failed."""
    fix_claimed: bool = False


class History(NamedTuple):
    """One test that has failed at least once."""

    as_of: int = 0
    """The number of its counted runs that `evidence` holds."""
    evidence: Evidence = NONE
    hits: int = 0
    """Discordant runs and jobs in the present evidence."""
    discordant: int = 0
    """Counted runs in which it failed and passed at one commit, ever."""
    in_trouble: int = 0
    """The same in runs that the infrastructure gate left out."""
    last: int | None = None
    """The number of its counted runs when it was last discordant."""
    alone: bool = False
    """That one counts as noise so far."""
    rate: Rate = Rate()
    """Since the first discordance of the present evidence, without it: what began the count can't count."""
    signatures: tuple[str, ...] = ()
    """Of its discordances, newest last."""
    failed_at: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Commits at which it only failed, with the signatures; newest last."""
    failed_as_of: int = 0
    streak: tuple[tuple[str, str, bool], ...] = ()
    """(commit, branch, main) of what it only failed at since it last passed."""
    streak_began: datetime | None = None
    lone_reds: int = 0
    """Commits of main at which it only failed, though it passed at those around."""
    lone_red_as_of: int = 0
    passed_once: bool = False
    probes: int = 0
    """Fresh jobs that were run since the last discordance."""
    quarantine: Quarantine | None = None
    quarantines: int = 0
    quarantined_at: datetime | None = None
    """Of the last quarantine."""
    released_at: datetime | None = None
    """When the last quarantine ended or was lifted."""

    def calm(self, seen: int) -> bool:
        """Nothing was wrong with it lately; `seen` is the number of its counted runs."""
        return (
            self.quarantine is None
            and len(self.streak) == 0
            and (self.last is None or seen - self.last > CALM)
        )

    @property
    def attentive(self) -> bool:
        """Its passes matter one by one."""
        return self.quarantine is not None or bool(self.failed_at) or bool(self.streak)

    @property
    def broken(self) -> bool:
        """It only failed at two commits or more since it last passed, and not for one branch's own reason."""
        return len(self.streak) >= 2 and (
            not self.passed_once
            or any(main for _, _, main in self.streak)
            or len({branch for _, branch, _ in self.streak}) >= 2
        )
