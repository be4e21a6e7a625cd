"""Fresh executions of single tests of one repository: plan, execute in the sandbox, fold, and plan again.

One run at a time for each repository, which ends when nothing is worth it; then the watch of its tests looks
at what came of it. What is asked and answered is in the store: a run that dies, or finds no sandbox, loses
nothing, and the next one goes on.
"""

import asyncio
from collections import Counter
from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, VersioningBehavior
from temporalio.exceptions import (
    ActivityError,
    TemporalError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities.executing import (
        EXECUTIONS,
        Answers,
        AnswersTaken,
        ExecutionActivities,
        ExecutionsStart,
    )
    from activities.pulse import MISSED_AFTER
    from activities.sandbox import SandboxActivities
    from agents.registry import agent, registered
    from leverframe.model.executions import Executed, ExecutionOrder
    from leverframe.model.ids import watch_id
    from leverframe.model.releases import Artifact
    from leverframe.model.signals import SUITE, ReportArrived
    from leverframe.model.untrusted import Untrusted
    from workflows import attributes
    from workflows.queues import SANDBOX

AT_ONCE = 4
"""Orders that are in the sandbox at a time: cars' checks need it, too."""
LATEST = timedelta(minutes=10)
"""An order that no sandbox has begun by then waits for the next run of this workflow."""
LONGEST = timedelta(hours=2)
"""Of one order; the sandbox bounds it by the check's own time."""
ROUNDS = 8
"""Then it continues in a fresh run, so that history stays short."""
_SHOWN = 40

_HANDS_TRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=8)
_HANDS_TIMEOUT = timedelta(minutes=10)
_TRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
_LAST = Priority(priority_key=5)
"""Whatever else waits for the sandbox goes first."""


@workflow.defn(name=EXECUTIONS, versioning_behavior=VersioningBehavior.PINNED)
class ExecutionsWorkflow:
    """Makes what is asked for, in rounds."""

    @workflow.init
    def __init__(self, start: ExecutionsStart) -> None:
        self._start = start
        self._repository = start.repository
        self._rounds = start.rounds
        self._executed = start.executed
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._no_sandbox = False

    @workflow.run
    async def run(self, start: ExecutionsStart) -> str:
        """What it did, in a sentence."""
        workflow.upsert_search_attributes([attributes.REPOSITORY.value_set(self._repository)])
        while orders := await self._plan():
            if self._rounds - start.rounds >= ROUNDS:
                workflow.continue_as_new(
                    start.model_copy(update={"rounds": self._rounds, "executed": self._executed})
                )
            answers = await self._execute(orders)
            answered = len(answers.done) + len(answers.unfit)
            self._rounds, self._executed = self._rounds + 1, self._executed + answered
            took = await self._take_in(answers)
            workflow.set_current_details(_details(orders, answers, took, self._rounds))
            if answered < len(orders):
                why = f"no sandbox began {len(orders) - answered} more in time; they wait"
                break
        else:
            why = "nothing more is worth an execution, or allowed today"
        if self._executed:
            await self._tell_watches()
        return f"{self._executed:,} orders in {self._rounds:,} rounds; {why}"

    async def _plan(self) -> list[ExecutionOrder]:
        return await workflow.execute_activity_method(
            ExecutionActivities.plan_executions,
            self._repository,
            start_to_close_timeout=_HANDS_TIMEOUT,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=_HANDS_TRIES,
            summary="Ask what is worth an execution",
        )

    async def _execute(self, orders: list[ExecutionOrder]) -> Answers:
        """All orders of a round; those that no sandbox began have no answer."""
        commits = list(dict.fromkeys(order.sha for order in orders))
        artifacts = {sha: await self._artifact(sha) for sha in commits}
        made = [(order, artifact) for order in orders if (artifact := artifacts[order.sha]) is not None]
        done = await asyncio.gather(*(self._made(order, artifact) for order, artifact in made))
        return Answers(
            repository=self._repository,
            done=tuple(one for one in done if one is not None),
            unfit=tuple(order.id for order in orders if artifacts[order.sha] is None),
        )

    async def _artifact(self, sha: str) -> Artifact | None:
        return await workflow.execute_activity_method(
            ExecutionActivities.executed_artifact,
            args=[self._repository, sha],
            start_to_close_timeout=_HANDS_TIMEOUT,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=_HANDS_TRIES,
            summary=f"Get the tree of {sha[:12]}",
        )

    async def _made(self, order: ExecutionOrder, artifact: Artifact) -> Executed | None:
        """What came of one order; None when no sandbox began it in time."""
        async with self._slots:
            if self._no_sandbox:
                return None
            try:
                made = await workflow.execute_activity_method(
                    SandboxActivities.execute_test,
                    args=[order, artifact],
                    task_queue=SANDBOX,
                    schedule_to_start_timeout=LATEST,
                    start_to_close_timeout=LONGEST,
                    heartbeat_timeout=timedelta(minutes=1),
                    retry_policy=_TRIES,
                    priority=_LAST,
                    summary=f"Execute {order.test.for_terminal(80)} {_words(order)} on {order.sha[:12]}",
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                failed = _failed(order, error)
                self._no_sandbox = self._no_sandbox or failed is None
                return failed
            return _believed(order, made)

    async def _take_in(self, answers: Answers) -> AnswersTaken:
        return await workflow.execute_activity_method(
            ExecutionActivities.take_in_executions,
            answers,
            start_to_close_timeout=_HANDS_TIMEOUT,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=_HANDS_TRIES,
            summary=f"Fold what {len(answers.done)} orders came to",
        )

    async def _tell_watches(self) -> None:
        """What came of it is worth a look even if no report comes for days. Always told, since what an answer
        changed is not known when its worker was killed right after; one look too many costs little.
        """
        info = workflow.info()
        arrived = ReportArrived(
            id=f"executions/{info.first_execution_run_id}",
            repository=self._repository,
            service=self._start.service,
            title=Untrusted(f"fresh executions of tests of {self._repository}: {self._executed} jobs"),
            received_at=workflow.now(),
        )
        for name in (one for one in registered() if agent(one).watches is ReportArrived):
            watch = workflow.get_external_workflow_handle(watch_id(name, self._start.service, SUITE))
            try:
                await watch.signal("observe", arrived)
            except TemporalError as error:
                workflow.logger.info("the watch of %s was not told: %s", name, error)


def _believed(order: ExecutionOrder, made: Executed) -> Executed:
    """Of this order, and no more than was asked for: a command may run what failed again by itself.

    Its failures stay, since each began as an execution of its own.
    """
    if order.until_pass:
        kept = {"passes": min(made.passes, 1), "failures": made.failures}
    else:
        failures = min(made.failures, order.executions)
        kept = {"passes": min(made.passes, order.executions - failures), "failures": failures}
    return made.model_copy(update={"order": order.id, **kept})


def _failed(order: ExecutionOrder, error: ActivityError) -> Executed | None:
    """A job that no sandbox could make says nothing, and is not asked for again."""
    cause = error.cause
    if isinstance(cause, TimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START:
        return None
    kind = getattr(cause, "type", None) or type(cause).__name__
    return Executed(order=order.id, why=f"the sandbox could not make it: {kind!s:.100}")


def _words(order: ExecutionOrder) -> str:
    times = "once" if order.executions == 1 else f"{order.executions} times"
    return f"{times} {order.kind.how}"


def _details(orders: list[ExecutionOrder], answers: Answers, took: AnswersTaken, rounds: int) -> str:
    """Markdown for the Temporal UI: the round that was folded last."""
    done = {one.order: one for one in answers.done}
    unfit = set(answers.unfit)
    lines: Counter[tuple[str, str, str, str]] = Counter()
    for order in orders:
        one = done.get(order.id)
        if one is not None and (one.passes or one.failures):
            said = f"{one.passes} passed, {one.failures} failed"
        elif one is not None:
            said = "said nothing"
        else:
            said = "git does not have the commit" if order.id in unfit else "no sandbox began it"
        lines[order.test.for_markdown(120), _words(order), order.sha[:12], said] += 1
    rows = [
        f"| {test} | {how} | {sha} | {said}{f' ({count} jobs)' if count > 1 else ''} |"
        for (test, how, sha, said), count in lines.most_common(_SHOWN)
    ]
    return "\n".join(
        [
            f"Round {rounds}: {took.quarantined} tests have evidence enough for a quarantine, "
            f"{took.released} have healed, {took.asked} more jobs are worth it.",
            "",
            "| test | how | commit | what came of it |",
            "|---|---|---|---|",
            *rows,
        ]
    )
