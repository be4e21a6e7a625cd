"""Fresh executions of single tests: what to ask of the sandbox now, and what its answers change. On the hands
queue, which never runs a test; the sandbox gets the order and the commit's tar, and nothing else.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from pydantic import Field
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.allowances import Allowances
from activities.executions_port import Asking
from activities.failures import as_application_error, typed_failures
from activities.pulse import with_pulse
from activities.results_port import Results
from activities.test_results import BOUNDS, WITH_FACTS, ResultActivities
from activities.track_port import Track
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Unavailable
from leverframe.model.executions import Executed, ExecutionOrder
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.ids import executions_id
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository

EXECUTIONS = "ExecutionsWorkflow"
A_ROUND = 24
"""Orders that one round has at most: a few minutes of a sandbox."""

_log = structlog.get_logger(__name__)


class ExecutionsStart(Frozen):
    """Input of the workflow, and what it carries into its next run."""

    repository: Slug
    service: Slug
    rounds: int = Field(default=0, ge=0)
    executed: int = Field(default=0, ge=0)
    """Orders that were answered."""


class Answers(Frozen):
    """What one round came to."""

    repository: Slug
    done: tuple[Executed, ...] = ()
    unfit: tuple[str, ...] = ()
    """Orders whose commit can't be had."""


class AnswersTaken(Frozen):
    """What the answers changed."""

    asked: int = 0
    """Orders that are worth it by now."""
    quarantined: int = 0
    """Tests whose evidence is enough by now."""
    released: int = 0


class ExecutionActivities:
    """Plans, builds for, and takes in fresh executions."""

    def __init__(
        self,
        results: Results,
        folding: ResultActivities,
        track: Track,
        repositories: Mapping[str, Repository],
        *,
        allowances: Allowances,
        client: Client,
    ) -> None:
        self._results = results
        self._folding = folding
        self._track = track
        self._repositories = repositories
        self._allowances = allowances
        self._client = client

    @activity.defn(name="begin_executions")
    async def begin_executions(self) -> int:
        """Start the executions of each repository that has some to make; in how many. One that is at it
        goes on.

        Raises:
            ApplicationError: `Unavailable` when the store or the engine did not answer.
        """
        try:
            names = await asyncio.to_thread(self._with_work)
            for name in names:
                await self._client.start_workflow(
                    EXECUTIONS,
                    ExecutionsStart(repository=name, service=self._repositories[name].service.name),
                    id=executions_id(name),
                    task_queue=activity.info().task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    static_summary=f"Fresh executions of single tests of {name}",
                )
        except LeverframeError as error:
            raise as_application_error(error) from error
        except RPCError as error:
            raise as_application_error(Unavailable(f"the engine did not answer: {error}")) from error
        return len(names)

    @activity.defn(name="plan_executions")
    @with_pulse
    @typed_failures
    def plan_executions(self, repository: str) -> list[ExecutionOrder]:
        """What to execute now: nothing when nothing is worth it, or allowed any more.

        Raises NotFound, Unavailable, BadInput.
        """
        declared, asking = self._declared(repository), self._allowances.of(repository)
        if not self._results.has_work(repository, at=datetime.now(UTC), asking=asking):
            return []
        self._plan_night(declared, asking)
        # What was given up or answered elsewhere is folded first.
        self._results.take_in(repository, (), at=datetime.now(UTC), bounds=BOUNDS, asking=asking)
        return self._results.open_orders(repository, limit=A_ROUND)

    @activity.defn(name="executed_artifact")
    @with_pulse
    @typed_failures
    def executed_artifact(self, repository: str, sha: str) -> Artifact | None:
        """The tar of the commit, as a car's checks get it; None for one that git does not have.

        Raises NotFound (the repository), Unavailable, DiskFull.
        """
        declared = self._declared(repository)
        try:
            return self._track.export(declared, sha)
        except (NotFound, Conflict) as error:
            _log.warning("executions.commit", repository=repository, sha=sha, why=str(error))
            return None

    @activity.defn(name="take_in_executions")
    @with_pulse
    @typed_failures
    def take_in_executions(self, answers: Answers) -> AnswersTaken:
        """Keep the answers, fold what is complete, and the runs that waited for it. The same again changes
        nothing. Raises NotFound, Unavailable, BadInput.
        """
        declared = self._declared(answers.repository)
        took = self._results.take_in(
            declared.name,
            answers.done,
            unfit=answers.unfit,
            at=datetime.now(UTC),
            bounds=BOUNDS,
            asking=self._allowances.of(declared.name),
        )
        folded = self._folding.fold(declared, WITH_FACTS)
        return AnswersTaken(
            asked=took.asked,
            quarantined=took.quarantined + folded.quarantined,
            released=took.released + folded.released,
        )

    def _with_work(self) -> list[str]:
        now, found = datetime.now(UTC), []
        for name in self._repositories:
            asking = self._allowances.of(name)
            if self._results.has_work(name, at=now, asking=asking):
                found.append(name)
        return found

    def _plan_night(self, repository: Repository, asking: Asking) -> None:
        """At the target's tip. While git is away the night waits: it is for any time of the day."""
        if not self._results.night_due(repository.name, at=datetime.now(UTC)):
            return
        try:
            tip = self._track.tip(repository)
        except (NotFound, Unavailable) as error:
            _log.warning("executions.night", repository=repository.name, why=str(error))
            return
        self._results.plan_night(
            repository.name,
            tip=tip,
            at=datetime.now(UTC),
            asking=asking,
            contains=lambda fix, sha: self._folding.contains(repository, fix, sha),
        )

    def _declared(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]
