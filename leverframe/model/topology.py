"""What a platform team declares about a repository and the service it builds."""

from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Slug
from leverframe.model.paths import all_match


class Check(Frozen):
    """A command that must succeed on the exact commit before it may land."""

    name: Slug
    command: tuple[str, ...] = Field(min_length=1)
    """The argument list, run in the sandbox at the root of the tree. Never taken from the repository."""
    timeout_seconds: int = Field(default=600, gt=0)
    skip_when_only: tuple[str, ...] = ()
    """Path globs: the check is skipped when every changed path matches one of them."""


class Probe(Frozen):
    """One request that a person declared as a smoke test of the service."""

    name: Slug
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str = Field(pattern=r"^/")
    body: str = ""
    """A JSON document, or nothing."""


class CanaryStep(Frozen):
    """One rung: the share of real traffic and the evidence needed to leave it."""

    percent: int = Field(ge=1, le=100)
    min_requests: int = Field(ge=0)
    """Canary requests that must have been seen at this step before it can be green."""
    min_seconds: float = Field(ge=0)
    max_seconds: float = Field(gt=0)
    """Past this with too few requests the step holds and then the release is taken back."""


class CanaryPlan(Frozen):
    """The ladder and the thresholds of the gate."""

    steps: tuple[CanaryStep, ...] = Field(min_length=1)
    poll_seconds: float = Field(default=15, gt=0)
    max_error_ppm_over_stable: int = Field(default=10_000, ge=0)
    """Red when the canary's error rate exceeds stable's by more than this (10 000 ppm = 1 %) …"""
    max_error_ratio: int = Field(default=2, ge=1)
    """… and is more than this many times stable's …"""
    min_errors: int = Field(default=3, ge=1)
    """… and at least this many canary errors were seen: one failed request is not a verdict."""


class Service(Frozen):
    """What a repository delivers."""

    name: Slug
    command: tuple[str, ...] = Field(min_length=1)
    """Starts one instance; `{port}` becomes the port it must listen on, `{python}` our interpreter."""
    health_path: str = Field(default="/health", pattern=r"^/")
    overlays: dict[Literal["dev", "production"], str]
    """Environment → path of the `kustomization.yaml` in the repository."""
    image: str
    """The image name in the overlay whose `newTag` is the live SHA."""
    probes: tuple[Probe, ...] = ()
    canary: CanaryPlan


class Repository(Frozen):
    """One repository on one forge, with one protected target branch."""

    name: Slug
    url: str
    """A git remote: a path of a bare repository, or an address git can push to."""
    target: str = "main"
    checks: tuple[Check, ...] = Field(min_length=1)
    service: Service

    def required_checks(self, paths: tuple[str, ...]) -> tuple[Check, ...]:
        """The checks that a commit with these changed paths must pass: all that are not skipped."""
        return tuple(check for check in self.checks if not all_match(paths, check.skip_when_only))

    def only_overlays(self, paths: tuple[str, ...]) -> bool:
        """Whether the paths change nothing but the service's overlays: nothing new to build."""
        return bool(paths) and set(paths) <= set(self.service.overlays.values())
