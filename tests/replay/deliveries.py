"""Scenarios of changes on the train, and of what is released."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from activities.forge_reports import FetchReports, ForgeReportActivities
from leverframe.model.flags import INTERNAL
from leverframe.model.ids import (
    car_test_id,
    executions_id,
    report_fetch_id,
)
from leverframe.worker import workflow_runner
from tests.fakes.car_reports import JUNIT, leave, telling
from tests.fakes.execution_world import ExecutionWorld, by_order
from tests.fakes.git_world import KUSTOMIZATION, OVERLAY
from tests.fakes.github import FakeGithub
from tests.fakes.github_artifacts import zipped
from tests.fakes.github_setup import declared, reports_on
from tests.fakes.release_world import NEW
from tests.fakes.release_world import World as ReleaseWorld
from tests.fakes.releases import Releases
from tests.fakes.remediation_world import BEGAN
from tests.fakes.report_shelf import ReportShelf
from tests.fakes.rollout_world import Rollouts, rollout_policy
from tests.fakes.train_world import Yard
from tests.replay.stage import Histories, folder, history
from workflows.queues import HANDS
from workflows.report_fetch import ReportFetchWorkflow


async def train(client: Client, root: Path) -> Histories:
    """Cars that land, with a release and without; a car that is red twice, one in conflict, a flake."""
    landed = Yard(client, folder(root, "landed"), name="shop")
    async with landed.hands(cached=10), landed.jail():
        await landed.ride(landed.propose("work", {"new.py": "x\n"}))
        tested = client.get_workflow_handle(car_test_id("shop", landed.tip(), 1))
        overlay = KUSTOMIZATION.replace("a" * 40, "b" * 40)
        await landed.ride(landed.propose("overlay", {OVERLAY: overlay}))
        landed.sandbox.script = ["failed", "passed"]
        await landed.ride(landed.propose("flaky", {"flaky.py": "x\n"}))
    ejected = Yard(client, folder(root, "ejected"), name="other")
    async with ejected.hands(cached=10), ejected.jail():
        ejected.sandbox.script = ["failed", "failed"]
        await ejected.ride(ejected.propose("red", {"red.py": "x\n"}))
        conflicting = ejected.propose("conflict", {"app.py": "mine\n"})
        ejected.world.commit("main", {"app.py": "theirs\n"})
        await ejected.ride(conflicting)
    found = {
        "train_landed": await landed.train.fetch_history(),
        "train_ejected": await ejected.train.fetch_history(),
        "car_tested": await tested.fetch_history(),
    }
    for yard in (landed, ejected):
        await yard.close()
    return found


async def reports(client: Client, root: Path) -> Histories:
    """A run of the forge's CI whose reports are fetched, and a car whose check leaves some."""
    github = FakeGithub()
    github.runs.attempt(8841, 1, "a" * 40, began=BEGAN)
    github.runs.upload(8841, "tests", zipped({"junit.xml": JUNIT}), at=BEGAN)
    forge = ForgeReportActivities(reports_on(github, "*"), ReportShelf(), {"shop": declared("shop")})
    with ThreadPoolExecutor(4) as threads:
        async with Worker(
            client,
            task_queue=HANDS,
            workflows=[ReportFetchWorkflow],
            activities=[forge.fetch_reports],
            activity_executor=threads,
            workflow_runner=workflow_runner(build_id=""),
        ):
            id_ = report_fetch_id("shop", "8841.1")
            request = FetchReports(repository="shop", run="8841.1")
            await client.execute_workflow(ReportFetchWorkflow.run, request, id=id_, task_queue=HANDS)
    yard = Yard(client, folder(root, "telling"), name="telling", declare=telling)
    yard.sandbox.during = lambda request: leave(yard.left_reports, request)
    async with yard.hands(cached=10), yard.jail():
        await yard.ride(yard.propose("work", {"new.py": "x\n"}))
        car = client.get_workflow_handle(car_test_id("telling", yard.tip(), 1))
        await car.result()
        await yard.end()
    await yard.close()
    return {"reports_fetched": await history(client, id_), "car_with_reports": await car.fetch_history()}


async def executions(client: Client, root: Path) -> Histories:
    """A recheck that passes, the probes that quarantine the test, and a commit that git does not have."""
    world = ExecutionWorld(client, root, a_day=2_000, name="shop")
    world.sandbox, world.git.forks = by_order, {f"{2:040x}"}
    for run in (1, 2):
        world.told({f"tests/test_a.py::test_{run}": "F"}, run=run)
    world.fold()
    async with world.working():
        await world.executed()
    return {"executions": await history(client, executions_id("shop"))}


async def release(client: Client, root: Path) -> Histories:
    """A release that climbs to the top, and one that is taken back at a quarter of the traffic."""
    worlds = {
        "release_landed": ReleaseWorld.with_stable(),
        "release_rolled_back": ReleaseWorld.with_stable(
            error_ppm=lambda sha, percent: 150_000 if sha == NEW and percent >= 25 else 1000
        ),
    }
    found = {}
    for name, world in worlds.items():
        releases = Releases(world, client)
        async with releases.worker():
            handle = await releases.start()
            await handle.result()
        found[name] = await handle.fetch_history()
    return found


async def release_anew(client: Client, root: Path) -> Histories:
    """A release that takes longer than a history: the first one, and the last, which goes on from it."""
    releases = Releases(ReleaseWorld.with_stable(), client)
    async with releases.worker():
        handle = await releases.start()
        await handle.result()
        first = await history(client, handle.id, handle.first_execution_run_id)
    return {"release_continued": first, "release_carried_on": await history(client, handle.id)}


async def rollout(client: Client, root: Path) -> Histories:
    """A flag that comes to everybody, by people's leave, in several histories; one that harms users."""
    landed = Rollouts(client, folder(root, "landed"), rollout_policy("act_with_approval"))
    async with landed.worker():
        handle = await landed.start(5, 100)
        first = (await handle.describe()).run_id
        await handle.result()
        last = (await client.get_workflow_handle(handle.id).describe()).run_id
    found = {
        "rollout_continued": await history(client, handle.id, first),
        "rollout_landed": await history(client, handle.id, last),
    }
    harmful = Rollouts(client, folder(root, "harmful"))
    harmful.users.error_ppm = lambda variant: 300_000 if variant == INTERNAL else 1000
    async with harmful.worker():
        handle = await harmful.start(5, 100)
        await handle.result()
    return found | {"rollout_rolled_back": await history(client, handle.id)}
