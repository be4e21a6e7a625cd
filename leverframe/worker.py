"""`leverframe worker`: the Temporal workers of one process, and their graceful end.

The hands queue runs every workflow and holds the credentials; the sandbox queue runs repository code and
gets no port but the sandbox; the build queue runs build commands and gets no port but their builder. Each can
be a process, or a fleet of processes, of its own.
"""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from functools import partial
from typing import Literal

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from leverframe.builders import builds_apart
from leverframe.client import connect, worker_runtime
from leverframe.crews import Activity, build_activities, hands_activities, sandbox_activities
from leverframe.housekeeping import rhythm_of, tidy
from leverframe.model.errors import LeverframeError, Unavailable
from leverframe.settings import Settings
from workflows.approval import ApprovalWorkflow
from workflows.executions import ExecutionsWorkflow
from workflows.flag_restore import FlagRestoreWorkflow
from workflows.flag_rollout.workflow import FlagRolloutWorkflow
from workflows.housekeeping import HousekeepingWorkflow
from workflows.merge_train.car import CarWorkflow
from workflows.merge_train.workflow import MergeTrainWorkflow
from workflows.policy_ledger import PolicyLedgerWorkflow
from workflows.queues import BUILD, HANDS, SANDBOX
from workflows.release.workflow import ReleaseWorkflow
from workflows.remediation import RemediationWorkflow
from workflows.report_fetch import ReportFetchWorkflow
from workflows.timetable import Chore
from workflows.undo import UndoWorkflow
from workflows.unversioned import UnversionedRunner
from workflows.watch import WatchWorkflow

log = structlog.stdlib.get_logger("leverframe.worker")

Queue = Literal["hands", "sandbox", "build", "all"]

WORKFLOWS: tuple[type, ...] = (
    WatchWorkflow,
    RemediationWorkflow,
    PolicyLedgerWorkflow,
    HousekeepingWorkflow,
    ApprovalWorkflow,
    MergeTrainWorkflow,
    CarWorkflow,
    ReleaseWorkflow,
    FlagRolloutWorkflow,
    FlagRestoreWorkflow,
    ReportFetchWorkflow,
    ExecutionsWorkflow,
    UndoWorkflow,
)

WORKFLOW_FAILURES: tuple[type[BaseException], ...] = (LeverframeError,)
"""Errors that fail a workflow; any other in its code waits for a corrected worker."""

PURE = ("leverframe", "agents", "policies", "activities")
DEPLOYMENT = "leverframe"
DRAIN = timedelta(seconds=10)
"""How long running activities may go on after SIGTERM; then they are cancelled and run again elsewhere."""
STICKY = timedelta(seconds=5)
"""How long a workflow waits for the worker that last held it before any other may take it."""
HANDS_THREADS = 32
BUILD_THREADS = 2
ENGINE_SECONDS = 60
"""How long a starting worker waits for the engine."""


async def run(settings: Settings, queue: Queue) -> None:
    """Work until SIGINT or SIGTERM, then drain.

    Raises:
        BadConfiguration: a backend can't be used as it is set.
        Unavailable: the engine did not answer in time.
    """
    with _stop_on_signals() as stop:
        client = await _engine(settings, stop)
        if client is None:
            return
        async with AsyncExitStack() as stack:
            for worker in _workers(client, settings, queue, stack):
                await stack.enter_async_context(worker)
            if queue in ("hands", "all"):
                await _keep_house(client, settings, stop)
            log.info("the worker is ready", queue=queue)
            await stop.wait()
            log.info("the worker drains", seconds=DRAIN.total_seconds())


async def _engine(settings: Settings, stop: asyncio.Event) -> Client | None:
    """The client, once the engine answers; None when told to stop before."""
    runtime = worker_runtime(settings)
    deadline = asyncio.get_running_loop().time() + ENGINE_SECONDS
    while not stop.is_set():
        try:
            return await connect(settings, runtime=runtime)
        except Unavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)
    return None


async def _keep_house(client: Client, settings: Settings, stop: asyncio.Event) -> None:
    """Start the housekeeping, which puts the policy in force.

    A policy that can't be is no reason not to work: the ledger goes on with what it has, or denies.
    """
    while not stop.is_set():
        try:
            tidied = await tidy(client, settings.organisation, rhythm=rhythm_of(settings))
        except Unavailable as error:
            log.warning("the policy is not looked at yet", why=str(error))
            await asyncio.sleep(0.5)
        else:
            reload = tidied.done[Chore.RELOAD]
            tell = log.warning if reload.failed else log.info
            tell("the policy was looked at", said=reload.said)
            return


def _workers(client: Client, settings: Settings, queue: Queue, stack: AsyncExitStack) -> list[Worker]:
    workers = []
    build = partial(_worker, client, stack, build_id=settings.temporal.build_id)
    if queue in ("hands", "all"):
        activities = hands_activities(settings, client)
        workers.append(build(HANDS, activities=activities, workflows=WORKFLOWS, threads=HANDS_THREADS))
    if queue in ("sandbox", "all"):
        # Each runs a repository's whole test suite: more than the machine has cores only slows them all.
        threads = max(2, os.cpu_count() or 2)
        workers.append(build(SANDBOX, activities=sandbox_activities(settings), workflows=(), threads=threads))
    if queue == "build" or (queue == "all" and builds_apart(settings)):
        apart = build_activities(settings)
        workers.append(build(BUILD, activities=apart, workflows=(), threads=BUILD_THREADS))
    return workers


def _worker(
    client: Client,
    stack: AsyncExitStack,
    queue: str,
    *,
    activities: Sequence[Activity],
    workflows: Sequence[type],
    threads: int,
    build_id: str,
) -> Worker:
    executor = stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix=queue))
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        workflows=workflows,
        activity_executor=executor,
        max_concurrent_activities=threads,
        workflow_runner=workflow_runner(build_id),
        workflow_failure_exception_types=WORKFLOW_FAILURES,
        graceful_shutdown_timeout=DRAIN,
        sticky_queue_schedule_to_start_timeout=STICKY,
        deployment_config=_deployment(build_id),
    )


def workflow_runner(build_id: str) -> SandboxedWorkflowRunner:
    """Temporal's sandbox, which loads the workflows again for each run but not our pure packages."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PURE)
    if build_id:
        return SandboxedWorkflowRunner(restrictions=restrictions)
    return SandboxedWorkflowRunner(restrictions=restrictions, runner_class=UnversionedRunner)


def _deployment(build_id: str) -> WorkerDeploymentConfig | None:
    """Which version this worker is; each workflow declares whether it moves to the next or stays."""
    if not build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.UNSPECIFIED,
    )


@contextmanager
def _stop_on_signals() -> Iterator[asyncio.Event]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
