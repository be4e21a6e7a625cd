"""Fresh executions with the real store, fold and workflow: git is in memory, and the sandbox is scripted."""

import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.allowances import Allowances
from activities.backends.results_store import ResultsStore
from activities.executing import Answers, AnswersTaken, ExecutionActivities, ExecutionsStart
from activities.ports import PolicyFiles, PolicySource
from activities.sandbox import SandboxActivities
from activities.test_results import Keeping, ResultActivities
from activities.track_port import Track
from leverframe.model.checks import Check
from leverframe.model.errors import LeverframeError, NotFound
from leverframe.model.executions import Executed, ExecutionOrder, Kind
from leverframe.model.ids import executions_id, watch_id
from leverframe.model.releases import Artifact
from leverframe.model.signals import SUITE
from leverframe.model.topology import Repository
from tests.fakes.github_setup import declared
from tests.fakes.quarantines import RULE, policy_files
from tests.fakes.result_reports import SIGNATURE, report
from tests.fakes.stores import store_at
from tests.fakes.workers import unversioned
from workflows.executions import ExecutionsWorkflow
from workflows.messages import WatchStart
from workflows.queues import SANDBOX
from workflows.watch import WatchWorkflow

TIP = "a" * 40
CHECK = Check(name="unit", command=("run", "{results}"), selects_tests=True)

WatchHandle = WorkflowHandle[WatchWorkflow, None]
Sandbox = Callable[[ExecutionOrder], Executed]


def passing(order: ExecutionOrder) -> Executed:
    passes = 1 if order.until_pass else order.executions
    return Executed(order=order.id, passes=passes, milliseconds=10 * passes)


def failing(order: ExecutionOrder, failures: int | None = None) -> Executed:
    """With so many failures; all of them by default."""
    failures = order.executions if failures is None else failures
    return Executed(
        order=order.id,
        passes=order.executions - failures,
        failures=failures,
        fingerprints=(SIGNATURE,),
        milliseconds=10 * order.executions,
    )


def by_order(order: ExecutionOrder) -> Executed:
    """A test that fails in another order, in one of its executions."""
    return failing(order, 1) if order.kind is Kind.SHUFFLED else passing(order)


class _Git:
    """The part of a track that is asked; it has every commit but those of a fork."""

    def __init__(self) -> None:
        self.forks = set[str]()
        self.exported = list[str]()

    def tip(self, repository: Repository, branch: str | None = None) -> str:
        return TIP

    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool:
        return True

    def export(self, repository: Repository, sha: str) -> Artifact:
        if sha in self.forks:
            raise NotFound(f"the remote does not have {sha}")
        self.exported.append(sha)
        return Artifact(service=repository.name, sha=sha, digest=f"sha256:{'0' * 64}", path=f"{sha}.tar")


class ExecutionWorld:
    """One repository, whose policy allows so many executions a day."""

    def __init__(
        self,
        client: Client,
        root: Path,
        *,
        a_day: int = 500,
        name: str = "",
        real: tuple[Repository, Track, SandboxActivities] | None = None,
    ) -> None:
        """`real`: git and a sandbox that are no fakes, and the repository that they know."""
        self.client, self.name = client, name or f"r-{uuid4().hex[:8]}"
        self.queue = f"hands-{self.name}"
        self.git, self.engine = _Git(), store_at(root / "store.db")
        self.results = ResultsStore(self.engine)
        self.sandbox: Sandbox = passing
        self.orders = list[ExecutionOrder]()
        """As they came to the sandbox."""
        self.dies_after_taking_in = 0
        """So often the worker is killed once its transaction is committed."""
        repository = declared(self.name).model_copy(update={"checks": (CHECK,)})
        track = cast(Track, self.git)
        if real is not None:
            repository, track, jail = real
            self.sandbox = lambda order: jail.execute_test(order, track.export(repository, order.sha))
        self.repositories = {self.name: repository}
        rule = RULE.replace("20000", "900000")
        self.files = policy_files(agent=f"{rule}, max_executions_a_day: {a_day}")
        allowances = Allowances(cast(PolicySource, self), self.repositories)
        self.folding = ResultActivities(
            self.results, track, self.repositories, Keeping(settle=timedelta(0)), allowances
        )
        self.executing = ExecutionActivities(
            self.results,
            self.folding,
            track,
            self.repositories,
            allowances=allowances,
            client=client,
        )
        self._lock = threading.Lock()

    def read(self) -> PolicyFiles:
        return PolicyFiles(revision="1", files=self.files)

    def told(self, signs: dict[str, str], *, run: int, sha: str = "") -> None:
        """A run of CI that has settled, beside thirty tests that pass; see `result_reports`."""
        at = datetime.now(UTC) - timedelta(minutes=1)
        bulk = {f"tests/bulk.py::test_{number}": "." for number in range(30)}
        one = report(
            {**bulk, **signs},
            run=str(run),
            sha=sha or f"{run:040x}",
            repository=self.name,
            job="unit",
            at=at,
        )
        self.results.keep(one, at=at)

    def fold(self) -> int:
        """Runs that could be folded."""
        return self.folding.fold(self.repositories[self.name], timedelta(seconds=10)).runs

    @property
    def service(self) -> str:
        return self.repositories[self.name].service.name

    async def watched(self) -> WatchHandle:
        """The watch of the repository's tests; it has been told nothing yet."""
        return await self.client.start_workflow(
            WatchWorkflow.run,
            WatchStart(agent="flaky_tests", repository=self.name, service=self.service, subject=SUITE),
            id=watch_id("flaky_tests", self.service, SUITE),
            task_queue=self.queue,
        )

    async def executed(self) -> str:
        """What the workflow says at its end."""
        said: str = await self.client.execute_workflow(
            ExecutionsWorkflow.run,
            ExecutionsStart(repository=self.name, service=self.service),
            id=executions_id(self.name),
            task_queue=self.queue,
        )
        return said

    @activity.defn(name="execute_test")
    def execute_test(self, order: ExecutionOrder, artifact: Artifact) -> Executed:
        assert artifact.sha == order.sha
        with self._lock:
            self.orders.append(order)
        return self.sandbox(order)

    @activity.defn(name="take_in_executions")
    def take_in(self, answers: Answers) -> AnswersTaken:
        took = self.executing.take_in_executions(answers)
        if self.dies_after_taking_in:
            self.dies_after_taking_in -= 1
            raise ApplicationError("the worker was killed before it could say so")
        return took

    @asynccontextmanager
    async def working(self, *, sandbox: bool = True) -> AsyncIterator[None]:
        """The hands, and the sandbox if there is one."""
        async with AsyncExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(8))
            hands = Worker(
                self.client,
                task_queue=self.queue,
                workflows=[ExecutionsWorkflow, WatchWorkflow],
                activities=[
                    self.executing.begin_executions,
                    self.executing.plan_executions,
                    self.executing.executed_artifact,
                    self.take_in,
                ],
                activity_executor=threads,
                workflow_runner=unversioned(),
                workflow_failure_exception_types=[LeverframeError],
            )
            await stack.enter_async_context(hands)
            if sandbox:
                jail = Worker(
                    self.client,
                    task_queue=SANDBOX,
                    activities=[self.execute_test],
                    activity_executor=threads,
                )
                await stack.enter_async_context(jail)
            yield
        self.engine.dispose()
