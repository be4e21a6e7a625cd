"""What a car's checks say of their tests is taken in after the train knows the result."""

import asyncio
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.model.changes import CarLanded
from leverframe.model.ids import car_test_id
from tests.fakes.car_reports import leave, telling
from tests.fakes.train_world import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_a_check_that_failed_and_then_passed_on_one_car_is_kept_as_two_attempts_of_a_job(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    yard = await asyncio.to_thread(Yard, env.client, tmp_path)
    yard.sandbox.script = ["failed"]
    async with yard.hands(), yard.jail():
        assert isinstance(await yard.ride(yard.propose("work", {"new.py": "x\n"})), CarLanded)
        await yard.end()
    await yard.close()
    first, second = sorted(yard.reports.jobs.values(), key=lambda one: one.attempt)
    assert (first.conclusion, second.conclusion) == ("fail", "pass")
    assert {first.run, second.run, first.sha, second.sha} == {yard.tip()}
    assert first.job == second.job
    assert first.source == "car"
