"""The few fields of GitHub's check runs, commit statuses and workflow runs, and the verdict they make."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from leverframe.model.changes import CheckResult
from leverframe.model.frozen import Instant
from leverframe.model.untrusted import Untrusted

Conclusion = Literal["passed", "failed", "inconclusive"]

_CONCLUSIONS: Mapping[str, Conclusion] = {"success": "passed", "failure": "failed"}
"""Only these two say something of the commit. Neutral and skipped are not green here, as they are on GitHub;
cancelled, timed_out, stale, startup_failure, action_required, and what GitHub may add, prove nothing."""

_LOG = 20_000


class _App(BaseModel):
    id: int


class _Suite(BaseModel):
    id: int


class _Output(BaseModel):
    title: str | None = None
    summary: str | None = None
    text: str | None = None


class Run(BaseModel):
    """A check run. Ids grow at GitHub, while its times are its App's: newer is what has the higher id."""

    id: int
    name: str
    status: str = ""
    conclusion: str | None = None
    started_at: Instant | None = None
    completed_at: Instant | None = None
    app: _App | None = None
    suite: _Suite | None = Field(default=None, alias="check_suite")
    output: _Output | None = None

    @property
    def app_id(self) -> int:
        """0 for a run whose App is gone."""
        return self.app.id if self.app else 0

    @property
    def suite_id(self) -> int | None:
        return self.suite.id if self.suite else None

    @property
    def finished(self) -> bool:
        return self.status == "completed" or self.conclusion is not None

    @property
    def outcome(self) -> Conclusion:
        return _CONCLUSIONS.get(self.conclusion or "", "inconclusive")

    @property
    def seconds(self) -> float:
        return _between(self.started_at, self.completed_at)

    @property
    def words(self) -> str:
        """In our own words, but for the conclusion."""
        return f"check run {self.id}: {Untrusted(self.conclusion or 'no conclusion').for_terminal(40)}"

    @property
    def log(self) -> str:
        said = self.output or _Output()
        return "\n".join(filter(None, (said.title, said.summary, said.text)))


class RunPage(BaseModel):
    """A page of check runs."""

    runs: list[Run] = Field(alias="check_runs")


class Status(BaseModel):
    """A commit status."""

    id: int
    context: str
    state: str
    description: str | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None

    @property
    def finished(self) -> bool:
        return self.state != "pending"

    @property
    def outcome(self) -> Conclusion:
        """`error` is the sender's own trouble."""
        return _CONCLUSIONS.get(self.state, "inconclusive")

    @property
    def seconds(self) -> float:
        return _between(self.created_at, self.updated_at)

    @property
    def words(self) -> str:
        return f"commit status {self.id}: {Untrusted(self.state).for_terminal(40)}"

    @property
    def log(self) -> str:
        return self.description or ""


class WorkflowRun(BaseModel):
    """A run of a workflow of GitHub Actions."""

    id: int
    status: str | None = None

    @property
    def ended(self) -> bool:
        return self.status == "completed"


class WorkflowRuns(BaseModel):
    """A page of workflow runs."""

    runs: list[WorkflowRun] = Field(alias="workflow_runs")


def verdict(check: str, sha: str, newest: Sequence[Run | Status]) -> CheckResult | None:
    """One result of all that has the check's name: red if any is, else none while any still runs.

    Args:
        check: its name here.
        sha: the commit.
        newest: the newest run of each App, and the newest status.
    """
    finished = [each for each in newest if each.finished]
    failed = [each for each in finished if each.outcome == "failed"]
    if not newest or (len(finished) < len(newest) and not failed):
        return None
    unproven = [each for each in finished if each.outcome == "inconclusive"]
    telling = (failed or unproven or finished)[0]
    return CheckResult(
        check=check,
        sha=sha,
        outcome=telling.outcome,
        seconds=max(each.seconds for each in finished),
        summary=f"GitHub's {telling.words}",
        log=Untrusted(telling.log[-_LOG:]).for_model(_LOG),
    )


def _between(start: Instant | None, end: Instant | None) -> float:
    """Seconds, never less than none: the two times may come from two clocks."""
    return max(0.0, (end - start).total_seconds()) if start and end else 0.0
