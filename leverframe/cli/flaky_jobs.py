"""`leverframe flaky jobs`: jobs of CI that failed and passed at one commit, how often, and what that cost."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli.flaky_records import DAYS, opened
from leverframe.cli.output import AsJson, print_json, print_table, say
from leverframe.cli.session import OfRepository, load
from leverframe.model.lengths import lasting

if TYPE_CHECKING:
    from agents.flaky_tests.jobs import FlakyJob, JobCost

_HOW = "docs/how-to/send-test-results.md"


def jobs(
    *,
    repository: OfRepository = "",
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days up to now.")] = DAYS,
    as_json: AsJson = False,
) -> None:
    """List jobs of CI that failed and passed at one commit, those that cost most first."""
    from agents.flaky_tests.jobs import cost_of  # noqa: PLC0415 - loads when it is used

    results, name = opened(repository)
    now = datetime.now(UTC)
    since = now - timedelta(days=days)
    found = results.flaky_jobs(name, since=since, now=now)
    cost = cost_of(found)
    if as_json:
        told = {"repository": name, "since": since, "until": now, "count": len(found)}
        minutes = {"minutes_lost": round(cost.lost_ms / 60_000)}
        print_json(told | minutes | {"jobs": [asdict(job) for job in found]})
        return
    print_table(
        ("JOB", "FROM", "FAILED AND PASSED IN", "AT LEAST", "FAILED IN", "LOST", "UNTIL IT PASSED", "LAST"),
        [_row(job) for job in found],
        empty=_nothing(name, days),
    )
    if found:
        say("")
        say(_which(cost))


def _row(job: "FlakyJob") -> tuple[object, ...]:
    return (
        job.job,
        job.source,
        f"{job.flaky_runs:,} of {job.runs:,} runs",
        f"{job.at_least_ppm / 10_000:.1f} %",
        f"{job.failed_runs:,} runs",
        lasting(timedelta(milliseconds=job.lost_ms)),
        lasting(timedelta(milliseconds=job.waited_ms)),
        job.last.at,
    )


def _which(cost: "JobCost") -> str:
    """Which tests it was is said by their reports alone."""
    silent = cost.flaky_runs - cost.reported_runs
    told = "A job that failed names no test, and quarantines none: reports of its tests do"
    if silent:
        return f"{told}. Of {silent:,} of these {cost.flaky_runs:,} runs none has come: see {_HOW}"
    return f"{told}, and they have come: leverframe flaky list"


def _nothing(repository: str, days: int) -> str:
    if repository in load().gateway.tests.jobs:
        return f"No job of {repository} failed and passed at one commit in {days:,} days."
    only = f"Of {repository} only the train's own checks are looked at, and none did both"
    return f"{only}: gateway.tests.jobs names more, see {_HOW}"
