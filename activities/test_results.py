"""Results of tests: runs that have settled are folded in, and what is old is forgotten. On the hands queue.

Both are safe to run again and beside themselves: each run is folded once, in one transaction of the store.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.allowances import Allowances
from activities.artifact_keeping import ArtifactKeeping
from activities.executions_port import NOTHING
from activities.failures import typed_failures
from activities.issues_port import Issues
from activities.pulse import with_pulse
from activities.records_port import QuarantineSeen
from activities.repair_tracking import catch_up
from activities.results_port import Results
from activities.track_port import Track
from agents.flaky_tests.bounds import BY_A_PERSON, Bounds
from agents.flaky_tests.quarantine_file import read
from leverframe.model.errors import BadInput, LeverframeError, NotFound, Unavailable
from leverframe.model.frozen import Frozen
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.topology import Repository
from leverframe_pytest.quarantine import LARGEST, PLACE

BOUNDS = Bounds(runs_to_false_quarantine=BY_A_PERSON)
"""Enough to ask a person; what lands by itself needs more, and the proposal says how much there is."""
AT_MOST = timedelta(seconds=60)
"""Of one call; the rest is for the next one."""
MOST_CLAIMS = 100
"""Commits that claim a fix, of one look."""
WITH_FACTS = timedelta(seconds=10)
"""The same where somebody waits."""

_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long results wait, and how long they are kept."""

    settle: timedelta = timedelta(minutes=10)
    """A run is folded when its newest report is so old."""
    detail: timedelta = timedelta(days=90)
    """Single attempts, and what reports there were."""
    rollup: timedelta = timedelta(days=400)
    """Counts by day, runs, and when tests were quarantined."""


class FoldSummary(Frozen):
    """What one call did."""

    runs: int = 0
    in_trouble: int = 0
    """Runs that the infrastructure gate left out."""
    quarantined: int = 0
    """Tests whose evidence is now enough."""
    released: int = 0
    left: bool = False
    """More runs have settled than this call had time for."""


class ResultActivities:
    """Folds and forgets."""

    def __init__(
        self,
        results: Results,
        track: Track,
        repositories: Mapping[str, Repository],
        keeping: Keeping | None = None,
        allowances: Allowances | None = None,
        *,
        issues: Issues | None = None,
        artifacts: ArtifactKeeping | None = None,
    ) -> None:
        """Without `allowances` nothing is executed again, without `issues` no repair is tracked.

        Without `artifacts` the trees of executed commits stay.
        """
        self._results = results
        self._track = track
        self._repositories = repositories
        self._keeping = keeping or Keeping()
        self._allowances = allowances
        self._issues = issues
        self._artifacts = artifacts

    @activity.defn(name="fold_reports")
    @with_pulse
    @typed_failures
    def fold_reports(self, repository: str) -> FoldSummary:
        """Fold what has settled, the oldest run first. Raises NotFound, Unavailable, BadInput."""
        if repository not in self._repositories:
            raise NotFound(f"repository {repository!r} is not declared")
        return self.fold(self._repositories[repository], AT_MOST)

    @activity.defn(name="tend_results")
    @with_pulse
    @typed_failures
    def tend_results(self) -> str:
        """Fold what nobody has asked for, and forget what is too old, artifacts too; says what came of it.

        Each time another repository is the first: there may not be time for all.
        """
        now, runs = datetime.now(UTC), 0
        began, names = time.monotonic(), list(self._repositories)
        first = int(now.timestamp()) // 60 % max(len(names), 1)
        for name in (*names[first:], *names[:first]):
            left = WITH_FACTS - timedelta(seconds=time.monotonic() - began)
            if left > timedelta(0):
                runs += self.fold(self._repositories[name], left).runs
                self._see_tip(self._repositories[name])
        pruned = self._results.prune(
            attempts_before=now - self._keeping.detail, days_before=now - self._keeping.rollup
        )
        attempts = pruned.attempts + pruned.jobs
        return (
            f"{runs:,} runs folded; {pruned.reports:,} reports, {attempts:,} attempts and "
            f"{pruned.runs:,} runs were too old to keep{self._tidied(now)}"
        )

    def _tidied(self, now: datetime) -> str:
        try:
            removed = self._artifacts.tidy(now) if self._artifacts else 0
        except (LeverframeError, OSError) as error:
            activity.logger.warning("old artifacts are not removed: %s", error)
            return ""
        return f", and {removed:,} artifacts that nobody asks for" if removed else ""

    def fold(self, repository: Repository, at_most: timedelta) -> FoldSummary:
        """Fold what has settled until the time is over, but one run at least."""
        began, summary = time.monotonic(), FoldSummary()
        asking = self._allowances.of(repository.name) if self._allowances else NOTHING
        contained: dict[tuple[str, str], bool] = {}

        def contains(fix: str, sha: str) -> bool:
            if (fix, sha) not in contained:
                contained[fix, sha] = self.contains(repository, fix, sha)
            return contained[fix, sha]

        while True:
            now = datetime.now(UTC)
            one = self._results.fold_next(
                repository.name,
                target=repository.target,
                settled_before=now - self._keeping.settle,
                at=now,
                bounds=BOUNDS,
                contains=contains,
                asking=asking,
            )
            if one is None:
                return summary
            summary = FoldSummary(
                runs=summary.runs + 1,
                in_trouble=summary.in_trouble + one.in_trouble,
                quarantined=summary.quarantined + one.quarantined,
                released=summary.released + one.released,
            )
            if time.monotonic() - began > at_most.total_seconds():
                return summary.model_copy(update={"left": True})

    def _see_tip(self, repository: Repository) -> None:
        """What new commits say of flaky tests, and the tip's quarantine file.

        While git is away, or the file is none, what was seen before stays with its time.
        """
        if not self._results.suite(repository.name).runs:
            return
        try:
            tip = self._track.tip(repository)
            self._see_fixes(repository, tip)
            content = self._content(repository, tip)
        except (Unavailable, BadInput, NotFound) as error:
            activity.logger.warning("the quarantine file of %s can't be read: %s", repository.name, error)
            return
        # For pages and commands: who serves them may not reach git.
        seen = QuarantineSeen(sha=tip, content=content, read_at=datetime.now(UTC))
        self._results.see_quarantine(repository.name, seen)
        try:
            file = read(content) if content else QuarantineFile()
        except BadInput as error:
            activity.logger.warning("the quarantine file of %s is none: %s", repository.name, error)
            return
        self._results.note_named(repository.name, [test.stored() for test in file.tests()], seen.read_at)
        if self._issues is not None:
            self._catch_up(self._issues, repository, file)

    def _catch_up(self, issues: Issues, repository: Repository, file: QuarantineFile) -> None:
        """Open the issues that the forge did not take when a change landed."""
        try:
            caught = catch_up(issues, self._results, repository.name, file)
        except LeverframeError as error:
            activity.logger.warning("repairs in %s are not tracked yet: %s", repository.name, error)
            return
        if caught:
            activity.logger.info("repairs in %s are tracked now", repository.name)

    def _see_fixes(self, repository: Repository, tip: str) -> None:
        """Commits that came to the target since the last look, and say which flaky test they fix.

        What they name is data: only a test that is quarantined now, and has exactly this name, is meant.
        """
        after = self._results.read_to(repository.name)
        if after == tip:
            return
        quarantined = {known.test for known in self._results.known(repository.name, ())} if after else set()
        for sha, test in self._claims(repository, after, tip) if quarantined else ():
            if test in quarantined:
                self._results.claim_fix(repository.name, test, sha)
        self._results.note_read_to(repository.name, tip)

    def _claims(self, repository: Repository, after: str, tip: str) -> list[tuple[str, str]]:
        """Messages that are too much to read claim nothing: they must not be read again and again."""
        try:
            return self._track.fix_claims(repository, after=after, upto=tip, limit=MOST_CLAIMS)
        except BadInput as error:
            activity.logger.warning("claims of fixes in %s can't be read: %s", repository.name, error)
            return []

    def _content(self, repository: Repository, sha: str) -> str:
        """As PostgreSQL can keep it: a file with NUL is none anyway, and whoever reads it finds out."""
        try:
            content = self._track.read_text(repository, sha=sha, path=PLACE, most=LARGEST)
        except NotFound:
            return ""
        return content.replace("\0", "\ufffd")

    def contains(self, repository: Repository, fix: str, sha: str) -> bool:
        """Whether a commit that somebody named has the fix. One that git does not know does not."""
        if not (_SHA.fullmatch(fix) and _SHA.fullmatch(sha)):
            return False
        try:
            return self._track.is_ancestor(repository, ancestor=fix, descendant=sha)
        except NotFound:
            return False
