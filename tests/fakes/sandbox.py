"""A sandbox that says what it is told to say, and remembers what it was asked."""

from collections.abc import Callable
from dataclasses import dataclass, field

from temporalio import activity

from activities.sandbox import CheckRequest
from leverframe.model.changes import CheckResult


@dataclass
class FakeSandbox:
    """Everything passes unless `script` says otherwise."""

    script: list[str] = field(default_factory=list)
    """Outcomes of the next runs, first to last; `crash` is no answer at all."""
    verdict: Callable[[CheckRequest], str | None] = lambda request: None
    """Says how this one goes, whatever the script says, unless it says None."""
    during: Callable[[CheckRequest], None] = lambda request: None
    """Called while a check runs."""
    asked: list[CheckRequest] = field(default_factory=list)

    @activity.defn(name="run_check")
    def run_check(self, request: CheckRequest) -> CheckResult:
        """The next outcome of the script."""
        self.asked.append(request)
        self.during(request)
        outcome = self.verdict(request) or (self.script.pop(0) if self.script else "passed")
        if outcome == "crash":
            raise RuntimeError("the runner is lost")
        return CheckResult.model_validate(
            {
                "check": request.check,
                "sha": request.sha,
                "outcome": outcome,
                "seconds": 1,
                "summary": f"it {outcome}",
                "log": "line one\nline two",
            }
        )
