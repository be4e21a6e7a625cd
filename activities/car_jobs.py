"""How checks of cars ended in the sandbox, as attempts of jobs: each test of a commit is another attempt."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from activities.jobs_port import JobAttempts
from activities.left_reports import branch_of
from leverframe.model.changes import CheckResult
from leverframe.model.errors import LeverframeError
from leverframe.model.ids import trial_of
from leverframe.model.jobs import JobAttempt, JobConclusion
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted

_CONCLUSIONS: Mapping[str, JobConclusion] = {"passed": "pass", "failed": "fail"}
"""An inconclusive one says nothing of the commit."""

_log = structlog.get_logger(__name__)


def keep_car_job(
    jobs: JobAttempts, repositories: Mapping[str, Repository], result: CheckResult, *, test: str, at: datetime
) -> None:
    """Keep it, once for each test of a car. The train waits for nothing: what can't be kept is lost.

    Args:
        jobs: where.
        repositories: the declared ones.
        result: what a check said.
        test: the id of the car's test that asked.
        at: when it was over; the same each time that this is done again.
    """
    tested = trial_of(test)
    repository = repositories.get(tested[0]) if tested else None
    conclusion = _CONCLUSIONS.get(result.outcome)
    if tested is None or repository is None or conclusion is None:
        return
    here = {check.name for check in repository.checks if check.runs_on == "sandbox"}
    if result.check not in here:
        # What the forge ran is fetched from there.
        return
    attempt = JobAttempt(
        repository=repository.name,
        source="car",
        id=f"{result.sha}/{result.check}/{tested[1]}",
        run=result.sha,
        job=Untrusted(result.check),
        sha=result.sha,
        branch=Untrusted(branch_of(repository.target)),
        attempt=tested[1],
        conclusion=conclusion,
        began=at - timedelta(seconds=result.seconds),
        ended=at,
    )
    try:
        jobs.keep_jobs([attempt])
    except LeverframeError as error:
        _log.warning("car.job", test=test, check=result.check, why=str(error))
