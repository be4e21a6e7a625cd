"""WatchWorkflow: one per agent and subject. Folds signals into the agent's state and starts its runs.

Everything that outlives one run of this entity is in `WatchStart`, with absolute times: a new run decides
first thing and so re-arms its own timers.
"""

from datetime import datetime, timedelta
from urllib.parse import quote

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from agents.contract import Due, Nothing, Wait
    from agents.registry import agent
    from leverframe.model.ids import run_id
    from leverframe.model.signals import Signal
    from workflows import attributes
    from workflows.messages import RunRequest, RunSettled, WatchStart

EVENTS_PER_RUN = 500
"""History events after which the watch continues as new: far below the engine's limit, and a cold replay
stays far below the deadlock detector's two seconds."""

SEEN = 1000
"""Batch ids remembered: more than the gateway sends of one subject in three minutes."""

QUIET = timedelta(days=14)
RUN_LOST = timedelta(days=7)
"""A run that has not settled for so long was terminated by hand: it must not block its subject for ever."""

SHORTEST_WAIT = timedelta(seconds=1)


@workflow.defn(name="WatchWorkflow", versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class WatchWorkflow:
    """Folds signals, decides, starts one run at a time."""

    @workflow.init
    def __init__(self, start: WatchStart) -> None:
        self._start = start
        self._agent = agent(start.agent)
        self._state = (
            self._agent.initial(start.tuning)
            if start.state is None
            else self._agent.state_type.model_validate(start.state)
        )
        self._seen = dict.fromkeys(start.seen)
        self._title = start.title
        self._events = start.events
        self._batches = start.batches
        self._escalations = start.escalations
        self._runs = start.runs
        self._active_run = start.active_run
        self._active_since = start.active_since
        self._quiet_since = start.quiet_since or workflow.now()
        self._due: Due | None = None
        self._awake = True

    @workflow.run
    async def run(self, start: WatchStart) -> None:
        """Watch until the subject has been quiet for long."""
        while True:
            self._awake = False
            wake_at = self._decide()
            if self._due is not None and self._active_run is None:
                await self._start_run(self._due)
            workflow.set_current_details(self._details())
            if self._is_over():
                return
            if self._history_is_long():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self.snapshot())
            await self._sleep(wake_at)

    @workflow.signal(description="What was seen of this subject, as the gateway tells it")
    def observe(self, signal: Signal) -> None:
        """Fold one signal in; the same one again, or one that the agent does not watch, changes nothing."""
        if signal.id in self._seen:
            return
        if not isinstance(signal, self._agent.watches):
            workflow.logger.warning(
                "%s does not watch signals of the kind %s", self._start.agent, signal.kind
            )
            return
        self._seen[signal.id] = None
        if len(self._seen) > SEEN:
            del self._seen[next(iter(self._seen))]
        self._state = self._agent.observe(self._state, signal)
        self._title = signal.title
        self._events += signal.total
        self._batches += 1
        self._escalations += signal.escalating
        self._quiet_since = workflow.now()
        self._awake = True

    @workflow.signal(description="A run of this watch has ended")
    def run_settled(self, settled: RunSettled) -> None:
        """Let the next run start; word of any other run changes nothing."""
        if settled.run == self._active_run:
            self._forget_run()

    @workflow.query(description="Everything the watch knows, as it would carry it on")
    def snapshot(self) -> WatchStart:
        """The input of the next run of this entity, were it to start now."""
        return self._start.model_copy(
            update={
                "state": self._state.model_dump(mode="json"),
                "seen": tuple(self._seen),
                "title": self._title,
                "events": self._events,
                "batches": self._batches,
                "escalations": self._escalations,
                "runs": self._runs,
                "active_run": self._active_run,
                "active_since": self._active_since,
                "quiet_since": self._quiet_since,
            }
        )

    def _decide(self) -> datetime | None:
        """Ask the agent, keep what is due, and return when to look again without a signal."""
        now = workflow.now()
        if self._active_since is not None and now >= self._active_since + RUN_LOST:
            workflow.logger.warning(
                "run %s has not settled in %s; taken for lost", self._active_run, RUN_LOST
            )
            self._forget_run()
        self._state, verdict = self._agent.decide(self._state, now)
        self._due = None
        match verdict:
            case Due():
                self._due = verdict
                return None
            case Wait():
                return max(verdict.until, now + SHORTEST_WAIT)
            case Nothing():
                return None

    async def _start_run(self, due: Due) -> None:
        """Start a run that outlives this one: it is abandoned to itself and tells us when it has settled."""
        begin = self._start
        number = self._runs + 1
        run = run_id(begin.agent, begin.service, begin.subject, number)
        now = workflow.now()
        request = RunRequest(
            agent=begin.agent,
            repository=begin.repository,
            service=begin.service,
            subject=begin.subject,
            due=due,
            detected_at=now,
            watch=workflow.info().workflow_id,
            ui_url=begin.ui_url,
        )
        # Set before the first await: a run may settle before its start is confirmed to us.
        self._runs, self._active_run, self._active_since = number, run, now
        try:
            await workflow.start_child_workflow(
                "RemediationWorkflow",
                request,
                id=run,
                parent_close_policy=ParentClosePolicy.ABANDON,
                static_summary=f"{begin.agent} on {begin.subject}: {self._title.for_markdown(100)}",
                search_attributes=attributes.about(
                    agent=begin.agent, repository=begin.repository, subject=begin.subject
                ),
            )
        except WorkflowAlreadyStartedError:
            # Only after an operator has reset this watch: the run is there already and will settle.
            workflow.logger.info("run %s had been started before", run)

    def _forget_run(self) -> None:
        self._active_run = self._active_since = None
        self._state = self._agent.settled(self._state, workflow.now())
        self._awake = True

    def _is_over(self) -> bool:
        """Quiet for long, with nothing to remember.

        A watch that has started runs stays: their numbers name reservations and branches, and must not
        come again.
        """
        quiet = workflow.now() >= self._quiet_since + QUIET
        return quiet and not self._runs and not self._awake

    def _history_is_long(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= EVENTS_PER_RUN or info.is_continue_as_new_suggested()

    async def _sleep(self, wake_at: datetime | None) -> None:
        """Until a message comes, the agent wants to look again, or a deadline passes."""
        deadlines = [wake_at] if wake_at else []
        if self._active_since is not None:
            deadlines.append(self._active_since + RUN_LOST)
        if not self._runs:
            deadlines.append(self._quiet_since + QUIET)
        timeout = min(deadlines) - workflow.now() if deadlines else None
        if timeout is not None:
            timeout = max(timeout, SHORTEST_WAIT)
        try:
            await workflow.wait_condition(
                lambda: self._awake, timeout=timeout, timeout_summary="look at the subject again"
            )
        except TimeoutError:
            return

    def _details(self) -> str:
        """What a person sees of this watch in the Temporal UI."""
        active = f"[{self._active_run}]({self._link(self._active_run)})" if self._active_run else "none"
        due = self._due.reason if self._due else "nothing is due"
        rows = (
            ("the newest", self._title.for_markdown()),
            (f"{self._agent.watches.noun}s", f"{self._events:,} in {self._batches:,} signals"),
            ("escalations", str(self._escalations)),
            ("last signal", f"{self._quiet_since:%Y-%m-%d %H:%M:%S} UTC"),
            ("the agent says", due),
            ("runs started", str(self._runs)),
            ("active run", active),
        )
        body = "\n".join(f"| {name} | {value} |" for name, value in rows)
        begin = self._start
        return f"### {begin.agent} watches {begin.subject} in {begin.service}\n\n| | |\n|---|---|\n{body}\n"

    def _link(self, run: str) -> str:
        namespace = workflow.info().namespace
        return f"{self._start.ui_url}/namespaces/{namespace}/workflows/{quote(run, safe='')}"
