"""One repository with its train: real git, a real store, people who push, and a scripted sandbox."""

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError
from temporalio.worker import Interceptor, Worker

from activities.backends.changes_store import ChangesStore
from activities.backends.track_git import GitTrack
from activities.car_reports import CarReportActivities
from activities.forge import ForgeActivities
from activities.infrastructure import InfrastructureActivities
from activities.native import NativeActivities
from activities.sandbox import CheckRequest
from activities.train import TrainActivities
from leverframe.model.changes import Author, CarOutcome, Change, ChangeSpec, Enqueue, Priority
from leverframe.model.ids import train_id
from leverframe.model.topology import Repository
from tests.fakes.dev_world import FakeDev
from tests.fakes.forge_queue import ForgeQueue
from tests.fakes.git_world import GitWorld
from tests.fakes.receivers import CarReceiver, InstantRelease
from tests.fakes.report_shelf import ReportShelf
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.stores import store_at
from tests.fakes.workers import unversioned
from workflows.merge_train.car import CarWorkflow
from workflows.merge_train.messages import QueuePlace, TrainStart
from workflows.merge_train.state import TrainState
from workflows.merge_train.workflow import MergeTrainWorkflow
from workflows.queues import HANDS, SANDBOX

ADA = Author(kind="person", name="ada")


class Yard:
    """One repository with its train, its people and its sandbox."""

    def __init__(
        self,
        client: Client,
        root: Path,
        track: type[GitTrack] = GitTrack,
        *,
        name: str = "",
        declare: Callable[[Repository], Repository] = lambda repository: repository,
    ) -> None:
        """`declare` says what the platform team declares beside what every repository has."""
        self.client = client
        self.name = name or f"shop-{uuid4().hex[:6]}"
        self.world = GitWorld(root, name=self.name)
        self.repository = declare(self.world.repository)
        self.dev = FakeDev()
        self.queue = ForgeQueue(self.world)
        self.state = TrainState()
        """What the train knows when it begins."""
        self.engine = store_at(root / "store.db")
        self.changes = ChangesStore(self.engine)
        self.artifacts = root / "artifacts"
        self.track = track(mirrors=root / "mirrors", artifacts=self.artifacts)
        self.sandbox = FakeSandbox()
        self.reports, self.left_reports = ReportShelf(), root / "reports"
        self.told: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(8)

    @property
    def train(self) -> WorkflowHandle[MergeTrainWorkflow, None]:
        return self.client.get_workflow_handle_for(MergeTrainWorkflow.run, train_id(self.name, "main"))

    @asynccontextmanager
    async def hands(
        self, *, cached: int = 0, interceptors: Sequence[Interceptor] = ()
    ) -> AsyncIterator[None]:
        """The worker that holds the train. With nothing cached, every step replays what came before."""
        repositories = {self.name: self.repository}
        forge = ForgeActivities(self.changes, self.track, repositories, jobs=self.reports)
        train = TrainActivities(self.changes, self.track, repositories)
        native = NativeActivities(self.changes, self.track, repositories, queue=self.queue)
        reports = CarReportActivities(self.reports, repositories, self.left_reports)
        dev = InfrastructureActivities(
            self.dev,
            self.dev,  # type: ignore[arg-type]  # dev alone, which is all that they ask of a delivery
            self.track,
            repositories,
            self.artifacts,
            poll_seconds=0.01,
        )
        async with Worker(
            self.client,
            task_queue=HANDS,
            workflows=[MergeTrainWorkflow, CarWorkflow, CarReceiver, InstantRelease],
            activities=[
                forge.describe, forge.export, forge.record_check, forge.settle_change, train.look,
                train.compose, train.land, train.audit, train.drop_cars, native.capability,
                dev.apply_to_dev, dev.heal_dev, native.enqueue, native.dequeue, native.look, native.receive,
                reports.take_in_reports, self.tell,
            ],
            activity_executor=self._threads,
            workflow_runner=unversioned(),
            max_cached_workflows=cached,
            interceptors=interceptors,
        ):  # fmt: skip
            yield

    @asynccontextmanager
    async def jail(self) -> AsyncIterator[None]:
        """The worker of the sandbox."""
        async with Worker(
            self.client,
            task_queue=SANDBOX,
            activities=[self.sandbox.run_check],
            activity_executor=self._threads,
        ):
            yield

    @activity.defn(name="tell")
    def tell(self, key: str, text: str) -> None:
        """What people are told."""
        self.told.setdefault(key, text)

    def propose(self, branch: str, files: dict[str, str | None], author: Author = ADA) -> Change:
        """Push a branch and open its change."""
        head = self.world.commit(branch, files)
        return self.changes.open_change(
            ChangeSpec(repository=self.name, branch=branch, head=head, title=f"Do {branch}", author=author)
        )

    async def enqueue(
        self,
        change: Change,
        *,
        priority: Priority = Priority.NORMAL,
        notify: tuple[str, ...] = (),
        request: str | None = None,
    ) -> QueuePlace:
        """Ask the train, starting it when there is none."""
        start = WithStartWorkflowOperation(
            MergeTrainWorkflow.run,
            TrainStart(repository=self.name, state=self.state),
            id=self.train.id,
            task_queue=HANDS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        asked = Enqueue(
            change=change.id, head=change.head, priority=priority, author=change.author, notify=notify
        )
        return await self.client.execute_update_with_start_workflow(
            MergeTrainWorkflow.enqueue, asked, id=request or uuid4().hex, start_workflow_operation=start
        )

    async def receiver(self) -> WorkflowHandle[CarReceiver, CarOutcome]:
        """Somebody who waits for a car."""
        return await self.client.start_workflow(
            CarReceiver.run, id=f"receiver/{uuid4().hex}", task_queue=HANDS
        )

    async def ride(self, change: Change) -> CarOutcome:
        """Enqueue a change and wait for its end."""
        receiver = await self.receiver()
        await self.enqueue(change, notify=(receiver.id,))
        return await receiver.result()

    def red_with(self, *names: str) -> None:
        """Every commit that has all of these files is red from now on."""

        def verdict(request: CheckRequest) -> str | None:
            files = self.world.git("ls-tree", "-r", "--name-only", request.sha).splitlines()
            return "failed" if set(names) <= set(files) else None

        self.sandbox.verdict = verdict

    def tip(self) -> str:
        return self.world.git("rev-parse", "main")

    def sequences(self) -> list[int]:
        """The numbers of the receipts that the remote has, newest first."""
        refs = "refs/train/main/landed/"
        landed = self.world.git("for-each-ref", "--format=%(refname)", refs).split()
        return sorted((int(ref.removeprefix(refs)) for ref in landed), reverse=True)

    async def end(self) -> None:
        """No train any more. On a server that skips time it has to end before its workers do: with nobody
        at work its timers come due without a pause, so that workers never have nothing left to do."""
        with suppress(RPCError):  # A test that started no train has none.
            await self.train.terminate()

    async def close(self) -> None:
        await self.end()
        self._threads.shutdown()
        self.engine.dispose()
