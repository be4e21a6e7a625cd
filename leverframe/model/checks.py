"""What a platform team declares that a commit must pass, and how its artifact is built."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from leverframe.model.frozen import Frozen, Slug


def _inside(glob: str) -> str:
    if ".." in glob.split("/"):
        raise ValueError(f"{glob} leaves the tree")
    return glob


RESULTS = "{results}"
"""In a check's command: the file that it may write a test report to."""
ResultsGlob = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^/\\\x00][^\\\x00]*$"),
    AfterValidator(_inside),
]
"""Within the tree."""


class Check(Frozen):
    """What must be green on the exact commit before it may land."""

    name: Slug
    runs_on: Literal["sandbox", "forge"] = "sandbox"
    """`sandbox` runs the command; `forge` waits for what the forge's own CI says of the commit."""
    phase: Literal["fast", "slow"] = "slow"
    """Slow checks begin once every fast one is green."""
    command: tuple[str, ...] = ()
    """The argument list, run in the sandbox at the root of the tree. Never taken from the repository."""
    context: str = ""
    """With `forge`: the name of the check run, status or job; the check's own name if it is empty."""
    timeout_seconds: int = Field(default=600, gt=0)
    skip_when_only: tuple[str, ...] = ()
    """Path globs: the check is skipped when every changed path matches one of them."""
    results: tuple[ResultsGlob, ...] = Field(default=(), max_length=10)
    """Globs of the test reports that the command leaves in the tree. `{results}` in the command stands for a
    file that is taken, too. They never change what the check says."""
    selects_tests: bool = False
    """Whether the command runs only the tests that its environment names, as our pytest plugin makes it do:
    then single tests can be executed again in fresh jobs."""

    @property
    def tells_of_tests(self) -> bool:
        """Whether the command leaves reports of tests."""
        return bool(self.results) or any(RESULTS in part for part in self.command)

    @model_validator(mode="after")
    def _one_way_to_run(self) -> Self:
        if self.results and self.runs_on == "forge":
            raise ValueError(
                f"check {self.name}: results are taken from the sandbox only; jobs upload theirs"
            )
        if self.selects_tests and not (self.runs_on == "sandbox" and self.tells_of_tests):
            raise ValueError(
                f"check {self.name}: selects_tests needs a command in the sandbox that leaves results"
            )
        if (self.runs_on == "sandbox") != bool(self.command):
            raise ValueError(
                f'check {self.name}: give a command for the sandbox, or runs_on = "forge" without one'
            )
        return self


_PLACEHOLDERS = frozenset({"{sha}", "{image}", "{context}", "{metadata}"})
"""What stands for something in a build command."""


class Build(Frozen):
    """How the one artifact of a landed commit is made."""

    by: Literal["local", "command", "forge"] = "local"
    """`local`: a tar of the tree; `command`: an image, by a command of the platform team; `forge`: an image,
    by the forge's own pipeline."""
    image: str = Field(
        default="",
        max_length=255,
        pattern=r"^$|^([a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+|localhost)(:[0-9]{1,5})?"
        r"(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+$",
    )
    """The image with its registry, without a tag: `ghcr.io/acme/shop`. Its tag is the commit's SHA."""
    command: tuple[str, ...] = ()
    """With `command`: the argument list, never taken from the repository. In it stand `{sha}`, `{image}`,
    `{context}`, the directory of the tree, and `{metadata}`, the file in which it leaves the digest."""
    context: str = ""
    """With `forge`: the name of the check run, status or job that is green once the image is pushed."""
    timeout_seconds: int = Field(default=1800, gt=0, le=6 * 3600)
    attempts: int = Field(default=3, ge=1, le=10)
    """With `command`: how often it is begun when something else than the commit ends it: a signal, its time
    limit, or a status of `interrupted_by`. Any other failure is the commit's own, and final at once."""
    pause_seconds: float = Field(default=30, gt=0, le=3600)
    """Before the second attempt; twice as long before each further one."""
    interrupted_by: tuple[Annotated[int, Field(ge=1, le=255)], ...] = ()
    """With `command`: exit statuses that tell of the network or the registry, such as curl's 6, 7 and 28."""

    @model_validator(mode="after")
    def _one_way_to_build(self) -> Self:
        wanted = {"local": (), "command": ("image", "command"), "forge": ("image", "context")}[self.by]
        given = tuple(name for name in ("image", "command", "context") if getattr(self, name))
        if set(given) != set(wanted):
            needs = " and ".join(wanted) or "neither image, command nor context"
            raise ValueError(f'build: by = "{self.by}" takes {needs}')
        for word in self.command:
            if unknown := set(re.findall(r"(?<![${])\{[a-z_]+\}", word)) - _PLACEHOLDERS:
                raise ValueError(
                    f"build: {min(unknown)} stands for nothing in a command; there are "
                    + ", ".join(sorted(_PLACEHOLDERS))
                )
        return self
