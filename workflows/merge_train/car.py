"""One car under test: a run of its own, which outlives the train's history and reports back to the train.

It runs what is not green yet on exactly this commit, fast checks first, and says at once when one is red.
Whether a red is repeated, and who is blamed, is for the train to decide.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from pydantic import Field
from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, FailureError, TimeoutError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.car_reports import CarReportActivities
    from activities.forge import ForgeActivities
    from activities.forge_checks import ForgeCheckActivities, ForgeCheckRequest
    from activities.infrastructure import InfrastructureActivities, InfrastructureRequest
    from activities.left_reports import LeftReports
    from activities.pulse import MISSED_AFTER
    from activities.sandbox import CheckRequest, SandboxActivities
    from activities.train import PlannedCheck
    from leverframe.model.changes import CheckResult
    from leverframe.model.frozen import Frozen, Sha, Slug
    from leverframe.model.releases import Artifact
    from leverframe.model.untrusted import Untrusted
    from workflows.merge_train import words
    from workflows.merge_train.words import cause_of
    from workflows.queues import HANDS, SANDBOX

DEV = "dev"
"""The name of the check that is dev itself."""

PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
_POLLED = RetryPolicy(
    initial_interval=timedelta(seconds=15), backoff_coefficient=1.0, maximum_interval=timedelta(seconds=15)
)
_CHECK_SLACK = timedelta(minutes=2)
"""On top of a check's own limit, which the sandbox keeps: starting the jail, sending the result."""
SHORT = timedelta(minutes=1)
LONG = timedelta(minutes=10)
DEV_MARGIN = timedelta(minutes=5)
"""On top of what dev may take: waiting for a lock, stopping Terraform in peace, sending the result."""
DEV_ATTEMPTS = 3
"""So often an apply is begun again whose worker was lost, or whose dev did not answer."""


class CarTest(Frozen):
    """What to test, and whom to tell."""

    train: str
    """Workflow id of the train."""
    trial: int = Field(ge=1)
    repository: Slug
    change: str
    """`main` itself has the name of the target's branch here."""
    sha: Sha
    kind: Literal["checks", "dev", "heal"] = "checks"
    """`dev` applies the infrastructure; `heal` puts dev back to this commit."""
    checks: tuple[PlannedCheck, ...] = ()
    again: bool = False
    """Whether these checks have run on this commit before."""
    dev_seconds: int = 0
    """What an apply and the wait for a healthy dev may take."""


class CarReport(Frozen):
    """What the test found out, without logs but for the last lines of a red one."""

    trial: int
    results: tuple[CheckResult, ...] = ()
    finished: bool = True
    """False for the early word that a check is red while others still run."""


@workflow.defn(name="CarWorkflow", versioning_behavior=VersioningBehavior.PINNED)
class CarWorkflow:
    """Tests one car once."""

    @workflow.init
    def __init__(self, test: CarTest) -> None:
        self._test = test
        self._results: tuple[CheckResult, ...] = ()
        self._told_red = False
        self._left: list[LeftReports] = []
        """What checks may have left in the sandbox's directory."""

    @workflow.run
    async def run(self, test: CarTest) -> CarReport:
        """Run what is missing, report, and return the same report."""
        self._show()
        try:
            match test.kind:
                case "checks":
                    await self._checks()
                case "dev":
                    await self._dev()
                case "heal":
                    await self._heal()
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._add(_silent(test.checks[0].name if test.checks else DEV, test.sha, cause_of(error)[1]))
        finally:
            if any(check.runs_on == "forge" for check in test.checks):
                await asyncio.shield(self._retracted())
        report = CarReport(trial=test.trial, results=self._results)
        await self._report(report)
        await asyncio.gather(*(self._taken_in(left) for left in self._left))
        return report

    async def _checks(self) -> None:
        artifact = None
        if any(check.runs_on == "sandbox" for check in self._test.checks):
            artifact = await self._exported()
        if any(check.runs_on == "forge" for check in self._test.checks):
            await self._by_hand(f"Show {self._test.sha[:12]} to the forge's CI", ForgeCheckActivities.offer)
        for phase in ("fast", "slow"):
            due = [check for check in self._test.checks if check.phase == phase]
            await asyncio.gather(*(self._check(check, artifact) for check in due))
            if any(result.outcome != "passed" for result in self._results):
                return

    async def _check(self, check: PlannedCheck, artifact: Artifact | None) -> None:
        """Run one check and keep what it said; red is told at once."""
        try:
            result = await (self._forge(check) if check.runs_on == "forge" else self._jail(check, artifact))
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            said = "it had not finished in time" if isinstance(error.cause, TimeoutError) else message
            result = _silent(check.name, self._test.sha, said or kind)
        await self._recorded(result)
        self._add(result)
        if result.outcome == "failed" and not self._told_red:
            self._told_red = True
            await self._report(CarReport(trial=self._test.trial, results=(_brief(result),), finished=False))

    async def _recorded(self, result: CheckResult) -> None:
        """Show the result at the forge."""
        await workflow.execute_activity_method(
            ForgeActivities.record_check,
            args=[self._test.change, result],
            task_queue=HANDS,
            start_to_close_timeout=LONG,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=PATIENT,
            summary=f"Record {result.check} of {self._test.sha[:12]}: {result.outcome}",
        )

    async def _jail(self, check: PlannedCheck, artifact: Artifact | None) -> CheckResult:
        if artifact is None:
            raise AssertionError("a check of the sandbox has its artifact by now")
        request = CheckRequest(
            repository=self._test.repository, sha=self._test.sha, check=check.name, artifact=artifact
        )
        if check.tells_of_tests:
            request = request.model_copy(update={"trial": self._test.trial})
            self._left.append(
                LeftReports(
                    repository=self._test.repository,
                    sha=self._test.sha,
                    check=check.name,
                    trial=self._test.trial,
                )
            )
        return await workflow.execute_activity_method(
            SandboxActivities.run_check,
            request,
            task_queue=SANDBOX,
            start_to_close_timeout=timedelta(seconds=check.timeout_seconds) + _CHECK_SLACK,
            heartbeat_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary=f"Run {check.name} on {self._test.sha[:12]}",
        )

    async def _taken_in(self, left: LeftReports) -> None:
        """Keep what the check said of its tests. The train knows the result by now, and waits for nothing."""
        try:
            await workflow.execute_activity_method(
                CarReportActivities.take_in_reports,
                left,
                task_queue=HANDS,
                start_to_close_timeout=LONG,
                retry_policy=RetryPolicy(maximum_attempts=5),
                summary=f"Take in the test reports of {left.check}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("test reports of %s are lost: %s", left.check, cause_of(error)[1])

    async def _forge(self, check: PlannedCheck) -> CheckResult:
        """Ask the forge until it knows: retries are the polling, so that waiting writes no history."""
        return await workflow.execute_activity_method(
            ForgeCheckActivities.forge_check,
            ForgeCheckRequest(
                repository=self._test.repository, sha=self._test.sha, check=check.name, again=self._test.again
            ),
            task_queue=HANDS,
            start_to_close_timeout=SHORT,
            schedule_to_close_timeout=timedelta(seconds=check.timeout_seconds),
            retry_policy=_POLLED,
            summary=f"Wait for {check.name} on {self._test.sha[:12]}",
        )

    async def _dev(self) -> None:
        """Apply the car to dev and see it healthy."""
        artifact = await self._exported()
        request = InfrastructureRequest(
            repository=self._test.repository, sha=self._test.sha, artifact=artifact
        )
        result = await self._on_dev("Apply to dev", InfrastructureActivities.apply_to_dev, request)
        await self._recorded(result)
        self._add(result)

    async def _heal(self) -> None:
        """Put dev back to this commit of the target."""
        self._add(
            await self._on_dev(
                "Put dev back to", InfrastructureActivities.heal_dev, self._test.repository, self._test.sha
            )
        )

    async def _on_dev(self, what: str, method: Callable[..., CheckResult], *arguments: object) -> CheckResult:
        said: CheckResult = await workflow.execute_activity_method(
            method,
            args=arguments,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=self._test.dev_seconds) + DEV_MARGIN,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=RetryPolicy(maximum_attempts=DEV_ATTEMPTS),
            summary=f"{what} {self._test.sha[:12]}",
        )
        return said

    async def _exported(self) -> Artifact:
        return await workflow.execute_activity_method(
            ForgeActivities.export,
            args=[self._test.repository, self._test.sha],
            task_queue=HANDS,
            start_to_close_timeout=LONG,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=PATIENT,
            summary=f"Build the artifact of {self._test.sha[:12]}",
        )

    async def _retracted(self) -> None:
        try:
            await self._by_hand(
                f"Take the branch of {self._test.sha[:12]} away", ForgeCheckActivities.retract
            )
        except ActivityError as error:
            workflow.logger.warning("the car's branch stays: %s", cause_of(error)[1])

    async def _by_hand(self, summary: str, method: Callable[[ForgeCheckActivities, str, str], None]) -> None:
        await workflow.execute_activity_method(
            method,
            args=[self._test.repository, self._test.sha],
            task_queue=HANDS,
            start_to_close_timeout=LONG,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=PATIENT,
            summary=summary,
        )

    async def _report(self, report: CarReport) -> None:
        """Tell the train; one that is gone will look again when it is back."""
        try:
            await workflow.get_external_workflow_handle(self._test.train).signal("car_tested", report)
        except FailureError as error:
            workflow.logger.info("%s is not there to be told: %s", self._test.train, error)

    def _add(self, result: CheckResult) -> None:
        self._results = (*self._results, _brief(result))
        self._show()

    def _show(self) -> None:
        names = [check.name for check in self._test.checks] or [DEV]
        workflow.set_current_details(words.trial(self._test.change, self._test.sha, names, self._results))


def _brief(result: CheckResult) -> CheckResult:
    """The result for the train: only what is not green keeps the end of its log."""
    return result.model_copy(update={"log": "" if result.outcome == "passed" else result.log[-2000:]})


def _silent(check: str, sha: str, why: str) -> CheckResult:
    summary = Untrusted(f"there was no answer: {why}").for_terminal()
    return CheckResult(check=check, sha=sha, outcome="inconclusive", seconds=0, summary=summary)
