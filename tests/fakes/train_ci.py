"""A CI that somebody else controls: which run ends when, how, and when the train hears of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from leverframe.model.changes import CheckResult
from workflows.merge_train.car import DEV, CarReport, CarTest

How = Literal["truth", "flake", "silent"]


@dataclass
class Run:
    """One test that goes on."""

    test: CarTest
    told_red: bool = False


@dataclass(frozen=True)
class Said:
    """What one check said once."""

    sha: str
    check: str
    outcome: Literal["passed", "failed", "inconclusive"]
    flake: bool


@dataclass
class Ci:
    """Runs, what they said, and the mail that the train has not read yet."""

    red: Callable[[str, str], bool]
    """The truth: whether a check is red on a commit."""
    record: Callable[[str, CheckResult], None]
    """Keeps a result in the forge's record."""
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    mail: list[CarReport] = field(default_factory=list)
    begun: int = 0
    dev: str | None = None
    """What dev shows now."""

    def start(self, test: CarTest) -> None:
        """Begin; the same test again is the same run."""
        self.begun += (test.sha, test.trial) not in self.runs
        self.runs.setdefault((test.sha, test.trial), Run(test))

    def cancel(self, sha: str, trial: int) -> None:
        """Stop; what has ended meanwhile is a success."""
        self.runs.pop((sha, trial), None)

    def lose(self, run: Run) -> None:
        """The runner dies, and nobody ever hears of it."""
        self.cancel(run.test.sha, run.test.trial)

    def tell_red(self, run: Run) -> None:
        """The early word that something is red, while the others still run."""
        red = next((check.name for check in run.test.checks if self.red(run.test.sha, check.name)), None)
        if red is not None and not run.told_red:
            run.told_red = True
            result = self.result(run.test.sha, red, "failed")
            self.mail.append(CarReport(trial=run.test.trial, results=(result,), finished=False))

    def finish(self, run: Run, how: How = "truth") -> None:
        """End it: fast checks first, the slow ones only once those are green. The report is in the mail."""
        self.lose(run)
        results: list[CheckResult] = []
        names = [
            [check.name for check in run.test.checks if check.phase == phase] for phase in ("fast", "slow")
        ]
        for phase in names if run.test.checks else [[DEV]]:
            results += [self._ended(run.test, name, how) for name in phase]
            if any(result.outcome != "passed" for result in results):
                break
        self.mail.append(CarReport(trial=run.test.trial, results=tuple(results)))

    def _ended(self, test: CarTest, check: str, how: How) -> CheckResult:
        red = test.kind != "heal" and self.red(test.sha, check)
        outcome: Literal["passed", "failed", "inconclusive"] = "failed" if red else "passed"
        if how != "truth":
            outcome = "failed" if how == "flake" else "inconclusive"
        self.said.append(Said(test.sha, check, outcome, flake=how == "flake" and not red))
        result = self.result(test.sha, check, outcome)
        if check == DEV:
            self.dev = test.sha
        else:
            self.record(test.change, result)
        return result

    def result(self, sha: str, check: str, outcome: str) -> CheckResult:
        return CheckResult.model_validate(
            {"check": check, "sha": sha, "outcome": outcome, "seconds": 60, "summary": f"it {outcome}"}
        )

    def passed(self, sha: str, check: str) -> bool:
        """Whether the check was ever green on exactly this commit."""
        return any((one.sha, one.check, one.outcome) == (sha, check, "passed") for one in self.said)

    def failures(self, sha: str, check: str) -> list[Said]:
        """The times that it was red there."""
        return [one for one in self.said if (one.sha, one.check, one.outcome) == (sha, check, "failed")]
