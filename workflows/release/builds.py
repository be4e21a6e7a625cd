"""The one artifact of a release: recorded, or built now, and handed to the environments."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.build import BuildActivities, BuildApartActivities
    from activities.delivery import DeliveryActivities
    from activities.forge import ForgeActivities
    from leverframe.model.releases import Artifact
    from leverframe.model.topology import Repository
    from workflows.queues import BUILD as BUILDERS
    from workflows.release.asking import ANSWER, HEARTBEAT, PATIENCE, Asking
    from workflows.release.book import Book
    from workflows.release.reasons import is_a, reason
    from workflows.release.stop import Stop

BUILD = timedelta(minutes=10)


class Builds(Asking):
    """What a release asks for until its artifact is in the environments."""

    def __init__(self, book: Book, *, repository: str, sha: str, stop: Stop) -> None:
        super().__init__(repository=repository, sha=sha, stop=stop)
        self._book = book

    async def artifact(self, declared: Repository) -> Artifact:
        """The one artifact of the commit, handed to the environments. Raises ActivityError."""
        artifact = await self._built(declared)
        await self._ask(
            DeliveryActivities.deploy_artifact,
            self._repository,
            artifact,
            attempt=BUILD,
            patience=PATIENCE,
            summary=f"Hand the artifact {artifact.digest[:19]} to the environments",
        )
        return artifact

    async def _built(self, declared: Repository) -> Artifact:
        if declared.build.by == "command":
            return await self._built_apart(declared)
        return await self._ask(
            BuildActivities.build,
            self._repository,
            self._sha,
            attempt=BUILD,
            patience=max(PATIENCE, timedelta(seconds=declared.build.timeout_seconds)),
            summary=f"Build {self._short} once",
        )

    async def _built_apart(self, declared: Repository) -> Artifact:
        """The hands look it up, export the tree and record the result; a build worker runs the command."""
        recorded = await self._ask(
            BuildActivities.recorded_build,
            self._repository,
            self._sha,
            patience=PATIENCE,
            summary=f"Was {self._short} built already?",
        )
        if recorded is not None:
            return recorded
        source = await self._ask(
            ForgeActivities.export,
            self._repository,
            self._sha,
            attempt=BUILD,
            patience=PATIENCE,
            summary=f"Export the tree of {self._short}",
        )
        made = await self._commanded(declared, source)
        return await self._ask(
            BuildActivities.record_build,
            self._repository,
            made,
            patience=PATIENCE,
            summary=f"Record {self._short} as {made.digest[:19]}",
        )

    async def _commanded(self, declared: Repository, source: Artifact) -> Artifact:
        """Begun again, a bounded number of times, when something else than the commit has ended it."""
        build = declared.build
        pause = timedelta(seconds=build.pause_seconds)
        for attempt in range(2, build.attempts + 1):
            try:
                return await self._once(declared, source)
            except ActivityError as error:
                if not is_a(error, "Interrupted"):
                    raise
                why = f"{reason(error)}. Attempt {attempt} of {build.attempts}"
            self._book.tell("build", "now", f"{why} begins in {pause.total_seconds():g} seconds")
            await self._stop.wait(lambda: False, pause)
            self._book.tell("build", "now", why)
            pause *= 2
        return await self._once(declared, source)

    async def _once(self, declared: Repository, source: Artifact) -> Artifact:
        return await self._ask(
            BuildApartActivities.build_apart,
            self._repository,
            source,
            queue=BUILDERS,
            attempt=timedelta(seconds=declared.build.timeout_seconds) + ANSWER,
            patience=timedelta(seconds=2 * declared.build.timeout_seconds) + PATIENCE,
            silence=HEARTBEAT,
            summary=f"Build {self._short} once",
        )
