"""What a platform team declares about a repository and the service it builds."""

from typing import Literal, Self

from pydantic import Field, model_validator

from leverframe.model.frozen import Frozen, Slug
from leverframe.model.paths import all_match, any_match
from leverframe.model.trains import Method


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

    @model_validator(mode="after")
    def _one_way_to_run(self) -> Self:
        if (self.runs_on == "sandbox") != bool(self.command):
            raise ValueError(
                f'check {self.name}: give a command for the sandbox, or runs_on = "forge" without one'
            )
        return self


class Infrastructure(Frozen):
    """Terraform in the repository. Infrastructure can't be canaried: dev is its canary."""

    paths: tuple[str, ...] = Field(min_length=1)
    """Path globs: a change that touches one is applied to dev before it may land."""
    directory: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}$")
    """The root module of dev, in the repository."""
    workspace: str = "dev"
    """The workspace that dev is; on Terraform Cloud its name there."""
    healthy_within_seconds: int = Field(default=300, gt=0)
    """How long dev may take to answer its probes again."""
    timeout_seconds: int = Field(default=1800, gt=0)

    @property
    def limit_seconds(self) -> int:
        """What an apply and the wait for a healthy dev may take together."""
        return self.timeout_seconds + self.healthy_within_seconds


class Lane(Frozen):
    """Paths that are built and tested together. A change that touches a path of no lane is in every lane."""

    name: Slug
    paths: tuple[str, ...] = Field(min_length=1)


class TrainRules(Frozen):
    """How a repository's train carries changes."""

    track: Literal["auto", "built_in", "native"] = "auto"
    """`auto` takes the forge's own queue when it can keep the promise, else ours."""
    method: Method = "merge"
    strategy: Literal["serial", "window", "aimd", "batch", "speculate"] = "speculate"
    runners: int = Field(default=4, ge=1, le=1000)
    """How many cars are tested at once."""
    window: int = Field(default=20, ge=1, le=1000)
    """How many cars at the front are tested ahead of their turn, at the most."""
    needed_ppm: int = Field(default=200_000, ge=0, le=1_000_000)
    """`speculate` tests a car only when its result is needed with at least this probability (ppm)."""
    builds_a_day: int | Literal["unlimited"] = "unlimited"
    """The budget: how many cars are tested in 24 hours. The first car in line is always tested."""
    batch: int = Field(default=8, ge=1, le=64)
    """How many changes one test may cover when runners are the bottleneck; 1 switches batches off."""
    confirmations: int = Field(default=1, ge=0, le=3)
    """How often failed checks run again on the same commit before somebody is blamed."""
    lane_mode: Literal["chain", "composed"] = "chain"
    """`chain` is one line and exact. `composed` lets lanes land past each other, and receipts say so."""
    lanes: tuple[Lane, ...] = ()
    max_overtaken: int = Field(default=10, ge=0)
    """So many later changes may ride before one; then it keeps its place."""
    max_wait_minutes: int = Field(default=240, gt=0)
    """A change that has waited so long keeps its place, too."""
    foreign_commits: Literal["record", "freeze"] = "record"
    """What an audit does about a commit that somebody pushed past the train. People are told either way."""


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
    train: TrainRules = TrainRules()
    infrastructure: Infrastructure | None = None
    service: Service

    @model_validator(mode="after")
    def _dev_is_one_check(self) -> Self:
        if self.infrastructure is not None and any(check.name == "dev" for check in self.checks):
            raise ValueError(
                f"repository {self.name}: `dev` is the check of its infrastructure; name the other one "
                "differently"
            )
        return self

    def required_checks(self, paths: tuple[str, ...]) -> tuple[Check, ...]:
        """The checks that a commit with these changed paths must pass: all that are not skipped."""
        return tuple(check for check in self.checks if not all_match(paths, check.skip_when_only))

    def dev_seconds(self, paths: tuple[str, ...]) -> int | None:
        """How long dev may take to see these paths before they may land; None where it need not."""
        declared = self.infrastructure
        return declared.limit_seconds if declared and any_match(paths, declared.paths) else None

    def lanes_of(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """The lanes of these paths, sorted; empty means every lane."""
        named = {
            path: [lane.name for lane in self.train.lanes if all_match((path,), lane.paths)] for path in paths
        }
        if not all(named.values()):
            return ()
        return tuple(sorted({name for names in named.values() for name in names}))

    def only_overlays(self, paths: tuple[str, ...]) -> bool:
        """Whether the paths change nothing but the service's overlays: nothing new to build."""
        return bool(paths) and set(paths) <= set(self.service.overlays.values())
