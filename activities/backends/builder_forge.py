"""An image by the forge's own pipeline: its named check is green, and the registry says what it pushed."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from activities.backends.oci_registry import Registries
from activities.ports import Backend, Health
from activities.train_ports import ForgeChecks
from leverframe.model.checks import Check
from leverframe.model.errors import BadConfiguration, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository

POLL = timedelta(seconds=15)
"""How often the forge and the registry are asked."""


class ForgeBuilder:
    """The `Builder` port over a forge's CI and a registry."""

    def __init__(
        self, checks: ForgeChecks | None, registries: Registries, *, repositories: Sequence[Repository] = ()
    ) -> None:
        """Raises BadConfiguration: there is no forge."""
        if checks is None:
            raise BadConfiguration('build.by = "forge" needs a forge: set changes.backend')
        self._checks = checks
        self._registries = registries
        self._hosts = tuple(
            dict.fromkeys(
                each.build.image.partition("/")[0] for each in repositories if each.build.by == "forge"
            )
        )

    def build(self, repository: Repository, source: Artifact, *, heartbeat: Callable[[], None]) -> Artifact:
        """What the pipeline of exactly this commit has pushed.

        Raises:
            Refused: the pipeline is red, or was cancelled.
            Unavailable: it has not finished, or its image is not in the registry yet.
        """
        build, sha = repository.build, source.sha
        check = Check(name="image", runs_on="forge", context=build.context)
        result = self._checks.result(repository, sha=sha, check=check)
        if result is None:
            raise Unavailable(f"{build.context} has not finished on {sha[:12]}", wait=POLL)
        if result.outcome != "passed":
            raise Refused(f"{build.context} is {result.outcome} on {sha[:12]}: {result.summary}")
        try:
            digest = self._registries.digest(build.image, sha)
        except NotFound as error:
            raise Unavailable(
                f"{build.context} is green, but {build.image}:{sha[:12]}… is not in the registry", wait=POLL
            ) from error
        return Artifact(service=source.service, sha=sha, digest=digest, image=build.image)

    def health(self) -> Health:
        """Whether the registries answer; the forge's checks have a line of their own."""
        try:
            for host in self._hosts:
                self._registries.answers(host)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check build.image and builder.registries")
        return Health(ok=True, detail=f"the forge's pipeline builds; answering: {', '.join(self._hosts)}")


BACKEND = Backend(
    kind="builder",
    name="forge",
    scopes=("read the commit's checks", "pull from the image's repository"),
    build=ForgeBuilder,
)
