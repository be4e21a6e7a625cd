"""The eyes-on check: what is looked at, and what was seen on stable and on the canary."""

from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Sha, Slug

PagePath = Annotated[str, Field(pattern=r"^/[^\s\\]{0,499}$")]
"""A page of the service, from the slash on."""


class Viewport(Frozen):
    """The size of the window, in pixels."""

    width: int = Field(ge=200, le=2560)
    height: int = Field(ge=200, le=2560)


class Mask(Frozen):
    """A rectangle of the window that is not compared: a clock, an advertisement. The page can't move it."""

    page: PagePath | None = None
    """None: on every page."""
    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class EyesPlan(Frozen):
    """The pages that must look the same on the canary as on stable."""

    pages: tuple[PagePath, ...] = Field(min_length=1, max_length=20)
    viewports: tuple[Viewport, ...] = Field(
        default=(Viewport(width=1280, height=800),), min_length=1, max_length=4
    )
    masks: tuple[Mask, ...] = Field(default=(), max_length=50)
    tolerated_ppm: int = Field(default=1000, ge=0, le=1_000_000)
    """The share of the pixels that may differ; 1000 is 0.1 %."""
    on_difference: Literal["hold", "red"] = "hold"
    """`hold`: the release stays on its first step until people have looked. `red`: it is taken back."""


class PageLook(Frozen):
    """One page in one window."""

    page: PagePath
    viewport: Viewport
    finding: Literal["same", "differs", "unstable", "unseen"]
    """`unstable`: stable differs from itself by as much, so the page says nothing. `unseen`: no picture."""
    differing_ppm: int = Field(default=0, ge=0, le=1_000_000)
    """Between stable and canary."""
    noise_ppm: int = Field(default=0, ge=0, le=1_000_000)
    """Between two looks at stable."""
    detail: str = ""
    pictures: tuple[str, ...] = ()
    """Files of stable, canary and difference, on the machine that looked."""


class EyesRequest(Frozen):
    """Look at the declared pages of two commits that run side by side."""

    repository: Slug
    stable: Sha
    canary: Sha


class EyesReport(Frozen):
    """What was seen."""

    looks: tuple[PageLook, ...] = ()
    why: str = ""
    """Why nothing was looked at."""

    @property
    def differing(self) -> tuple[PageLook, ...]:
        """The pages that look different."""
        return tuple(look for look in self.looks if look.finding == "differs")

    def words(self) -> str:
        """One sentence; the pages' names are ours."""
        if not self.looks:
            return f"no page was looked at: {self.why}"
        told = [_told(look) for look in self.looks if look.finding != "same"]
        same = sum(look.finding == "same" for look in self.looks)
        return "; ".join([f"{same} of {len(self.looks)} pages look the same", *told])


def _told(look: PageLook) -> str:
    size = f"{look.viewport.width}×{look.viewport.height}"
    match look.finding:
        case "differs":
            return f"{look.page} at {size} differs in {look.differing_ppm / 10_000:.2f} % of its pixels"
        case "unstable":
            return f"{look.page} at {size} differs from itself and says nothing"
        case _:
            return f"{look.page} at {size} was not seen: {look.detail}"
