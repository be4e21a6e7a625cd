"""Infrastructure cars: applied to dev as one of their checks. On the hands queue, with dev's credentials.

Infrastructure can't be canaried, so dev is its canary: a car is green once its tree is applied there and dev
answers healthy. Every method may run again: the same commit plans no change, and one that was interrupted
is planned anew and goes on from the state that is there.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from temporalio import activity

from activities.artifacts import located, unpack
from activities.delivery_ports import Delivery
from activities.failures import typed_failures
from activities.pulse import with_pulse
from activities.track_port import Track
from activities.train_ports import Terraform
from leverframe.model.changes import CheckResult
from leverframe.model.errors import BadConfiguration, Conflict, Unavailable
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.releases import Artifact
from leverframe.model.topology import Infrastructure, Repository
from leverframe.model.untrusted import Untrusted

CHECK = "dev"
"""The name of the check in a receipt."""

LOOKS = 2
"""So many looks at dev in a row must be healthy."""

Health = Literal["well", "unwell", "unknown"]


class InfrastructureRequest(Frozen):
    """Apply one built commit to dev, and see dev healthy."""

    repository: Slug
    sha: Sha
    artifact: Artifact


class DriftReport(Frozen):
    """What in dev differs from the target's tip."""

    repository: Slug
    sha: Sha
    """The tip that dev was compared with."""
    workspace: str
    addresses: tuple[str, ...] = ()
    """Resources in Terraform's notation; data from outside."""

    @property
    def none(self) -> bool:
        """Whether dev is what the tip says."""
        return not self.addresses


class InfrastructureActivities:
    """Applies, heals and compares dev of the declared repositories."""

    def __init__(
        self,
        terraform: Terraform,
        delivery: Delivery,
        track: Track,
        repositories: Mapping[str, Repository],
        artifacts: Path,
        *,
        poll_seconds: float = 1.0,
    ) -> None:
        self._terraform = terraform
        self._delivery = delivery
        self._track = track
        self._repositories = repositories
        self._artifacts = artifacts
        self._poll_seconds = poll_seconds

    @activity.defn(name="apply_to_dev")
    @typed_failures
    @with_pulse
    def apply_to_dev(self, request: InfrastructureRequest) -> CheckResult:
        """The check `dev` of one car: passed only when it is applied and dev is healthy.

        `failed` needs a proof against the change: Terraform refused it, or dev was healthy before and is not
        after. Everything else is `inconclusive`.

        Raises:
            BadConfiguration: the repository declares no infrastructure, or there is no Terraform.
            NotFound, Refused: the artifact is not there, or not where artifacts are.
            Conflict: the artifact is another commit's, or is not what was built.
            Unavailable: Terraform Cloud does not answer, or this worker stops; asked again.
        """
        return self._applied(request)

    @activity.defn(name="heal_dev")
    @typed_failures
    @with_pulse
    def heal_dev(self, repository: str, sha: str) -> CheckResult:
        """Apply a landed commit to dev again, after a car that had been applied was taken off.

        Raises: as `apply_to_dev`; NotFound: the remote does not have the commit.
        """
        artifact = self._track.export(self._declared(repository)[0], sha)
        return self._applied(InfrastructureRequest(repository=repository, sha=sha, artifact=artifact))

    @activity.defn(name="drift")
    @typed_failures
    @with_pulse
    def drift(self, repository: str) -> DriftReport:
        """What in dev differs from the target's tip. Changes nothing.

        Raises: as `apply_to_dev`; Refused: Terraform can't plan the tip.
        """
        return self.drift_of(repository)

    def drift_of(self, repository: str) -> DriftReport:
        """The same for a command, which runs outside the engine and gets our own errors."""
        declared, infrastructure = self._declared(repository)
        sha = self._track.tip(declared)
        with self._tree(self._track.export(declared, sha), sha) as tree:
            addresses = self._terraform.drift(infrastructure, tree=tree, sha=sha, heartbeat=_beat)
        return DriftReport(
            repository=repository, sha=sha, workspace=infrastructure.workspace, addresses=addresses
        )

    def _applied(self, request: InfrastructureRequest) -> CheckResult:
        repository, infrastructure = self._declared(request.repository)
        began = time.monotonic()
        with self._tree(request.artifact, request.sha) as tree:
            before, _ = self._look(repository)
            applied = self._terraform.apply(infrastructure, tree=tree, sha=request.sha, heartbeat=_beat)
        if applied.outcome == "passed":
            applied = self._healthy(repository, infrastructure, applied, before)
        return applied.model_copy(update={"check": CHECK, "seconds": round(time.monotonic() - began, 3)})

    def _healthy(
        self, repository: Repository, infrastructure: Infrastructure, applied: CheckResult, before: Health
    ) -> CheckResult:
        """The result once dev is healthy, or once it has had its time to become so."""
        limit = infrastructure.healthy_within_seconds
        deadline = time.monotonic() + limit
        in_a_row = 0
        while True:
            health, why = self._look(repository)
            in_a_row = in_a_row + 1 if health == "well" else 0
            if in_a_row >= LOOKS:
                return applied.model_copy(update={"summary": f"{applied.summary}; dev is healthy"})
            if health != "well" and time.monotonic() >= deadline:
                break
            self._pause(why)
        blamed = health == "unwell" and before == "well"
        summary = f"{applied.summary}; dev was not healthy within {limit} s: {why}"
        if health == "unwell" and not blamed:
            summary += " (nor was it seen healthy before)"
        outcome = "failed" if blamed else "inconclusive"
        return applied.model_copy(update={"outcome": outcome, "summary": summary})

    def _look(self, repository: Repository) -> tuple[Health, str]:
        """How dev is at this moment, and a sentence when it is not well."""
        service = repository.service
        try:
            state = self._delivery.state(service.name, "dev")
            if not state.ready or state.stable is None:
                why = Untrusted(state.detail).for_terminal() or "it runs no commit"
                return "unwell", f"dev is not ready: {why}"
            failed = self._delivery.probe(service.name, "dev", service.probes)
        except Unavailable as error:
            return "unknown", str(error)
        return ("unwell", "; ".join(failed)[:500]) if failed else ("well", "")

    def _pause(self, why: str) -> None:
        activity.heartbeat(why)
        activity.wait_for_worker_shutdown_sync(self._poll_seconds)
        if activity.is_worker_shutdown():
            raise Unavailable("this worker is stopping; the wait for dev goes on elsewhere")

    def _declared(self, name: str) -> tuple[Repository, Infrastructure]:
        if name not in self._repositories:
            raise BadConfiguration(f"repository {name!r} is not declared")
        repository = self._repositories[name]
        if repository.infrastructure is None:
            raise BadConfiguration(
                f"repository {name!r} declares no infrastructure: add [repositories.infrastructure]"
            )
        return repository, repository.infrastructure

    @contextmanager
    def _tree(self, artifact: Artifact, sha: str) -> Iterator[Path]:
        """The commit's tree in a directory of its own, for as long as the block lasts."""
        if artifact.sha != sha:
            raise Conflict(f"the artifact is of {artifact.sha[:12]}, the request is about {sha[:12]}")
        tar = located(artifact, self._artifacts)
        with tempfile.TemporaryDirectory(prefix="leverframe-dev-", ignore_cleanup_errors=True) as directory:
            tree = Path(directory, "tree")
            tree.mkdir()
            unpack(tar, tree)
            yield tree


def _beat() -> None:
    """A heartbeat; nothing for a command, which runs outside the engine."""
    if activity.in_activity():
        activity.heartbeat()
