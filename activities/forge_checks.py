"""What the forge's own CI says of a car. On the hands queue.

The forge sees the car as a branch of its own, which is taken away when the car's test is over.
"""

from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import typed_failures
from activities.pulse import with_pulse
from activities.track_port import Track
from activities.train_ports import ForgeChecks
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.topology import Repository

POLL = timedelta(seconds=15)
"""How often the forge is asked for the result of a check."""


class ForgeCheckRequest(Frozen):
    """Wait for what the forge's CI says of one commit."""

    repository: Slug
    sha: Sha
    check: Slug
    again: bool = False
    """Ask the forge to run it once more first."""


class ForgeCheckActivities:
    """The forge's checks of the declared repositories; `checks` is None where no forge is configured."""

    def __init__(
        self, track: Track, repositories: Mapping[str, Repository], checks: ForgeChecks | None
    ) -> None:
        self._track = track
        self._repositories = repositories
        self._checks = checks

    @activity.defn(name="offer_car")
    @typed_failures
    @with_pulse
    def offer(self, repository: str, sha: Sha) -> None:
        """Show the car to the forge's CI as a branch of its own. Idempotent."""
        declared = self._repository(repository)
        self._track.offer(declared, sha=sha, branch=car_branch(declared.target, sha))

    @activity.defn(name="retract_car")
    @typed_failures
    @with_pulse
    def retract(self, repository: str, sha: Sha) -> None:
        """Take the car's branch away and stop what the forge still runs on it. Idempotent."""
        declared = self._repository(repository)
        if self._checks is not None:
            self._checks.cancel(declared, sha=sha)
        self._track.retract(declared, branch=car_branch(declared.target, sha))

    @activity.defn(name="forge_check")
    @typed_failures
    def forge_check(self, request: ForgeCheckRequest) -> CheckResult:
        """What the forge's CI says of the commit. Raises `NotFinished`, to be asked again, until it does."""
        repository = self._repository(request.repository)
        check = _named(repository, request.check)
        if self._checks is None:
            raise BadConfiguration(
                f"check {check.name} of {repository.name} runs on the forge, and [changes] names no forge"
            )
        if request.again and activity.info().attempt == 1:
            self._checks.run_again(repository, sha=request.sha, check=check)
        result = self._checks.result(repository, sha=request.sha, check=check)
        if result is None:
            raise ApplicationError(
                f"{check.name} has not finished on {request.sha[:12]}",
                type="NotFinished",
                next_retry_delay=POLL,
            )
        return result

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]


def car_branch(target: str, sha: str) -> str:
    """The branch on which the forge's CI sees a car."""
    return f"train/{target}/{sha[:12]}"


def _named(repository: Repository, name: str) -> Check:
    for check in repository.checks:
        if check.name == name:
            return check
    raise BadConfiguration(f"repository {repository.name!r} declares no check {name!r}")
