"""Building: one artifact for each landed commit, recorded before anything runs it.

Where the builder runs a command of the platform team, that command runs repository code with the network and
the registry's credentials: it has a worker of its own, which holds nothing else. What it says was built is
recorded by the hands.
"""

from collections.abc import Mapping

from temporalio import activity

from activities.build_ports import Builder, Builds
from activities.failures import typed_failures
from activities.pulse import with_pulse
from activities.track_port import Track
from leverframe.model.errors import BadConfiguration, Conflict, NotFound
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository


class BuildActivities:
    """What the hands do of a build: what needs git, the forge or the store."""

    def __init__(
        self,
        track: Track,
        builds: Builds,
        repositories: Mapping[str, Repository],
        builders: Mapping[str, Builder],
    ) -> None:
        """`builders` are those that run no repository code, by what `Build.by` calls them."""
        self._track = track
        self._builds = builds
        self._repositories = repositories
        self._builders = builders

    @activity.defn(name="build")
    @typed_failures
    @with_pulse
    def build(self, repository: str, sha: str) -> Artifact:
        """The one artifact of a commit: what is recorded, or else what is built now and recorded.

        Raises:
            BadConfiguration: it is built by a command, which is not for the hands.
            Conflict: it is recorded as something else than what was built, or than is declared now.
        """
        if (recorded := self.recorded_build(repository, sha)) is not None:
            return recorded
        declared = _declared(self._repositories, repository)
        builder = _of(self._builders, declared, "hands")
        source = self._track.export(declared, sha)
        return self.record_build(repository, builder.build(declared, source, heartbeat=_beat))

    @activity.defn(name="recorded_build")
    @typed_failures
    def recorded_build(self, repository: str, sha: str) -> Artifact | None:
        """What the commit was built as, if it was. Raises Conflict: not as it is declared now."""
        declared = _declared(self._repositories, repository)
        recorded = self._builds.find(repository, sha)
        if recorded is not None and recorded.image != declared.build.image:
            raise Conflict(
                f"{sha[:12]} was built as {recorded.reference}, and {repository} is declared to be built as"
                f" {declared.build.image or 'a tar'} now: release a newer commit"
            )
        return recorded

    @activity.defn(name="record_build")
    @typed_failures
    def record_build(self, repository: str, artifact: Artifact) -> Artifact:
        """Record what a commit was built as. Raises Conflict when it is recorded as something else."""
        return self._builds.keep(repository, artifact)


class BuildApartActivities:
    """What a build worker does: run the declared build command. It holds no store, forge or git."""

    def __init__(self, repositories: Mapping[str, Repository], builders: Mapping[str, Builder]) -> None:
        self._repositories = repositories
        self._builders = builders

    @activity.defn(name="build_apart")
    @typed_failures
    def build_apart(self, repository: str, source: Artifact) -> Artifact:
        """Build the exported tree. The same commit again is what was built before."""
        declared = _declared(self._repositories, repository)
        return _of(self._builders, declared, "build").build(declared, source, heartbeat=_beat)


def _of(builders: Mapping[str, Builder], repository: Repository, queue: str) -> Builder:
    by = repository.build.by
    if by not in builders:
        raise BadConfiguration(f"{repository.name} is built by {by}, which is not for the {queue} worker")
    return builders[by]


def _declared(repositories: Mapping[str, Repository], name: str) -> Repository:
    if name not in repositories:
        raise NotFound(f"repository {name!r} is not declared")
    return repositories[name]


def _beat() -> None:
    if activity.in_activity():
        activity.heartbeat()
