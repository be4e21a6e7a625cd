"""What a car's checks say of their tests is taken in after the train knows the result."""

import asyncio
import io
import tarfile
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.left_reports import LeftReports
from activities.sandbox import CheckRequest
from leverframe.model.changes import CarLanded
from leverframe.model.ids import car_test_id
from leverframe.model.topology import Check, Repository
from tests.fakes.train_world import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

JUNIT = b'<testsuite name="s"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'


def telling(repository: Repository) -> Repository:
    return repository.model_copy(
        update={"checks": (Check(name="unit", command=("true",), results=("*.xml",)),)}
    )


def leave(directory: Path, request: CheckRequest) -> None:
    """What the sandbox does with a report."""
    left = LeftReports(
        repository=request.repository, sha=request.sha, check=request.check, trial=request.trial
    )
    place = left.place(directory)
    place.parent.mkdir(parents=True)
    with tarfile.open(place, "w") as tar:
        member = tarfile.TarInfo("0")
        member.size = len(JUNIT)
        tar.addfile(member, io.BytesIO(JUNIT))


async def test_a_car_lands_while_its_reports_can_not_be_kept_and_they_are_kept_later(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    yard = await asyncio.to_thread(Yard, env.client, tmp_path, declare=telling)
    yard.sandbox.during = lambda request: leave(yard.left_reports, request)
    yard.reports.away = True
    async with yard.hands(), yard.jail():
        assert isinstance(await yard.ride(yard.propose("work", {"new.py": "x\n"})), CarLanded)
        assert yard.reports.reports == {}
        yard.reports.away = False
        await env.client.get_workflow_handle(car_test_id(yard.name, yard.tip(), 1)).result()
        await yard.end()
    await yard.close()
    (report,) = yard.reports.reports.values()
    assert (report.run, report.branch, report.source) == (f"{yard.tip()}/1", "train/main", "car")
    assert [attempt.outcome for attempt in report.attempts] == ["pass", "fail"]
