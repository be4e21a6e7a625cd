"""The eyes-on check as an activity: pictures of the declared pages on stable and canary, compared.

Runs on the sandbox queue, which holds no credential: what the browser shows is code under release. Stable is
looked at twice, so that what differs by itself is told from what the release changed.
"""

from collections.abc import Mapping
from pathlib import Path

from temporalio import activity

from activities.eyes_port import ArmAddresses, Eyes
from activities.failures import typed_failures
from activities.pictures import compare
from activities.pulse import with_pulse
from leverframe.model.errors import BadConfiguration, BadInput, NotFound, Unavailable
from leverframe.model.eyes import EyesPlan, EyesReport, EyesRequest, Mask, PageLook, Viewport
from leverframe.model.ids import short_hash
from leverframe.model.topology import Repository


class EyesActivities:
    """Looks at the declared pages. Pictures are kept below `pictures`, by service and commit."""

    def __init__(
        self, eyes: Eyes, arms: ArmAddresses, repositories: Mapping[str, Repository], pictures: Path
    ) -> None:
        self._eyes = eyes
        self._arms = arms
        self._repositories = repositories
        self._pictures = pictures

    @activity.defn(name="look_at_pages")
    @typed_failures
    @with_pulse
    def look(self, request: EyesRequest) -> EyesReport:
        """Look at each page in each window. A page that can't be seen is told as such.

        Looking again writes the same files anew.
        """
        repository = self._repositories.get(request.repository)
        if repository is None:
            raise BadConfiguration(f"repository {request.repository!r} is not declared on this worker")
        plan = repository.service.eyes
        if plan is None:
            return EyesReport(why="the service declares no pages")
        if not self._eyes.on:
            return EyesReport(why="no browser is configured: eyes.backend is none")
        try:
            name = repository.service.name
            origins = (
                self._arms.origin(name, "stable", request.stable),
                self._arms.origin(name, "canary", request.canary),
            )
        except (NotFound, Unavailable) as error:
            return EyesReport(why=str(error))
        folder = self._pictures / name / request.canary
        return EyesReport(
            looks=tuple(
                self._one(plan, page, viewport, origins, folder)
                for page in plan.pages
                for viewport in plan.viewports
            )
        )

    def _one(
        self, plan: EyesPlan, page: str, viewport: Viewport, origins: tuple[str, str], folder: Path
    ) -> PageLook:
        stable, canary = origins
        masks: list[Mask] = [mask for mask in plan.masks if mask.page in (None, page)]
        look = PageLook(page=page, viewport=viewport, finding="unseen")
        try:
            before = self._eyes.picture(stable, page, viewport)
            again = self._eyes.picture(stable, page, viewport)
            after = self._eyes.picture(canary, page, viewport)
            noise, found = compare(before, again, masks), compare(before, after, masks)
        except (Unavailable, BadInput) as error:
            return look.model_copy(update={"detail": str(error)})
        finding = "differs" if found.ppm > plan.tolerated_ppm else "same"
        if noise.ppm > plan.tolerated_ppm:
            finding = "unstable"
        named = f"{short_hash(page)}-{viewport.width}x{viewport.height}"
        files = {"stable": before, "canary": after, "difference": found.picture}
        kept = () if finding == "same" else _kept(folder, named, files)
        seen = {"finding": finding, "differing_ppm": found.ppm, "noise_ppm": noise.ppm, "pictures": kept}
        return look.model_copy(update=seen)


def _kept(folder: Path, named: str, pictures: Mapping[str, bytes]) -> tuple[str, ...]:
    """Where each of them is now."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{named}-{what}.png": content for what, content in pictures.items()}
    for path, content in paths.items():
        path.write_bytes(content)
    return tuple(map(str, paths))
