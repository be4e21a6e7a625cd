"""Running repository code: checks of a car, and probes of a commit. Holds no credential."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from temporalio import activity

from activities.artifacts import located
from activities.failures import typed_failures
from activities.fresh_executions import executed
from activities.left_reports import LeftReports
from activities.ports import ReportsPlace, Sandbox
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.errors import BadConfiguration, Conflict
from leverframe.model.executions import Executed, ExecutionOrder
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.releases import Artifact
from leverframe.model.topology import Probe, Repository


class CheckRequest(Frozen):
    """Run one declared check on one built commit."""

    repository: Slug
    sha: Sha
    check: Slug
    """The check's name; its command comes from our own declaration of the repository."""
    artifact: Artifact
    trial: int = Field(default=0, ge=0)
    """Names the run within the train; with it the check's test reports are kept."""


class ProbeRequest(Frozen):
    """Send declared requests to one built commit, with these flag values."""

    repository: Slug
    sha: Sha
    artifact: Artifact
    flags: dict[str, bool] = Field(default_factory=dict)
    probes: tuple[Slug, ...] = ()
    """Names of declared probes; empty means all of them."""


class ProbeOutcome(Frozen):
    """What one declared request did inside the sandbox."""

    probe: Slug
    status: int = Field(ge=0, le=599)
    """HTTP status, or 0 when no response came."""
    detail: str

    @property
    def ok(self) -> bool:
        """A success or a redirect: what a smoke test expects."""
        return 200 <= self.status < 400


class SandboxActivities:
    """The activities of the sandbox queue."""

    def __init__(
        self, sandbox: Sandbox, repositories: Mapping[str, Repository], artifacts: Path, reports: Path
    ) -> None:
        """`reports`: the directory where test reports are left for the hands."""
        self._sandbox = sandbox
        self._repositories = repositories
        self._artifacts = artifacts
        self._reports = reports

    @activity.defn(name="run_check")
    @typed_failures
    def run_check(self, request: CheckRequest) -> CheckResult:
        """Raises BadConfiguration, NotFound (the artifact), Conflict (it is another commit's) or Refused."""
        check = self._check(request.repository, request.check)
        return self._sandbox.run_check(
            check,
            artifact=self._located(request.artifact, request.sha),
            sha=request.sha,
            heartbeat=activity.heartbeat,
            reports=self._place(request, check),
        )

    @activity.defn(name="execute_test")
    @typed_failures
    def execute_test(self, order: ExecutionOrder, artifact: Artifact) -> Executed:
        """Each execution in a jail of its own, within the check's time limit.

        Raises BadConfiguration (also for a check that can't select tests), NotFound (the artifact), Conflict
        (it is another commit's) or Refused.
        """
        check = self._check(order.repository, order.check)
        if not check.selects_tests:
            raise BadConfiguration(f"check {check.name!r} of {order.repository!r} does not say selects_tests")
        located = self._located(artifact, order.sha)

        def run_once(place: ReportsPlace) -> CheckResult:
            return self._sandbox.run_check(
                check, artifact=located, sha=order.sha, heartbeat=activity.heartbeat, reports=place
            )

        return executed(order, self._repository(order.repository).target, run_once)

    def _place(self, request: CheckRequest, check: Check) -> ReportsPlace | None:
        if not (request.trial and check.tells_of_tests):
            return None
        left = LeftReports(
            repository=request.repository, sha=request.sha, check=check.name, trial=request.trial
        )
        target = self._repository(request.repository).target
        return ReportsPlace(into=left.place(self._reports), environment=left.environment(target))

    @activity.defn(name="run_probes")
    @typed_failures
    def run_probes(self, request: ProbeRequest) -> list[ProbeOutcome]:
        """Raises BadConfiguration, NotFound (the artifact), Conflict (it is another commit's) or Refused."""
        repository = self._repository(request.repository)
        results = self._sandbox.run_probes(
            repository,
            self._probes(repository, request.probes),
            artifact=self._located(request.artifact, request.sha),
            sha=request.sha,
            flags=request.flags,
            heartbeat=activity.heartbeat,
        )
        return [ProbeOutcome(probe=one.probe, status=one.status, detail=one.detail) for one in results]

    def _repository(self, name: str) -> Repository:
        try:
            return self._repositories[name]
        except KeyError:
            raise BadConfiguration(f"repository {name!r} is not declared on this sandbox worker") from None

    def _check(self, repository: str, name: str) -> Check:
        for check in self._repository(repository).checks:
            if check.name == name:
                return check
        raise BadConfiguration(f"repository {repository!r} declares no check {name!r}")

    @staticmethod
    def _probes(repository: Repository, names: tuple[str, ...]) -> list[Probe]:
        declared = {probe.name: probe for probe in repository.service.probes}
        if unknown := sorted(set(names) - declared.keys()):
            raise BadConfiguration(f"repository {repository.name!r} declares no probe {', '.join(unknown)}")
        return [declared[name] for name in names or declared]

    def _located(self, artifact: Artifact, sha: str) -> Path:
        """The artifact's file, once it is shown to be the commit's and unchanged since it was built."""
        if artifact.sha != sha:
            raise Conflict(f"the artifact is of {artifact.sha[:12]}, the request is about {sha[:12]}")
        return located(artifact, self._artifacts)
