"""What a platform team declares about a repository and the service it builds."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from leverframe.model.checks import Build, Check
from leverframe.model.eyes import EyesPlan
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.ids import short_hash
from leverframe.model.paths import all_match, any_match
from leverframe.model.releases import ERRORS, LATENCY_EDGES_MS, MOST_SIGNALS, SignalName
from leverframe.model.trains import Method, Override


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
    """How many cars at the front are tested ahead of their turn, at the most; `speculate` goes by
    `needed_ppm`, and tests as many as twice its runners if they are needed."""
    needed_ppm: int = Field(default=333_333, ge=0, le=1_000_000)
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
    """Past this without being green the step is undecided."""
    excludes: Annotated[float, Field(gt=1, le=10)] | Literal["nothing"] = "nothing"
    """The harm, in multiples of stable's rate, that the evidence must exclude before the step can be green.
    `nothing`: the step is green by time, with `min_requests` and `min_seconds`, unless it is red."""


HARMS = (10.0, 5.0, 3.0, 2.0, 1.5)
"""The harms, in multiples of stable's rate, of which the gate can certify the absence."""


class GateRules(Frozen):
    """What the gate promises, however often it looks."""

    alpha: float = Field(default=0.02, gt=0, lt=1)
    """A release at most `r0` times as bad as stable is taken back with at most this probability."""
    beta: float = Field(default=0.05, gt=0, lt=1)
    """A harm that a step must exclude passes for excluded with at most this probability."""
    r0: float = Field(default=1.0, ge=1, le=10)
    """So many times stable's rate is tolerated."""
    negligible: float = Field(default=0.0005, gt=0, lt=0.5)
    """Harm is excluded, too, when the canary's own rate is surely below this one, whatever stable's is."""
    warm_up: int = Field(default=0, ge=0)
    """Looks that don't count at all after each change of the weight."""
    cold_seconds: float = Field(default=120, ge=0, le=86_400)
    """How long instances get warm after each change of the weight: what they show in that time clears nobody,
    and of harms that a cold start looks like it says nothing, until the rollout has shown that there is none.
    """
    burst_seconds: float = Field(default=60, ge=0, le=86_400)
    """How long one bad moment of a good release may last: such a stretch never decides alone. 0: one look."""
    levels: tuple[Annotated[float, Field(gt=1, le=10)], ...] = Field(default=HARMS, min_length=1)
    """The harms of which each step certifies the absence."""

    at_once: float = Field(default=0.98, gt=0, lt=1)
    """The share of harms that are taken to show from the first request on; the rest begins on later steps."""

    def begins(self, step: int, steps: int, stretch: int) -> float:
        """How likely harm is taken to begin with this stretch of this step; both count from 1.

        Most of it at the very first; the rest evenly over the steps, within a step early rather than late.
        """
        later = (1 - self.at_once) / steps / (stretch * (stretch + 1)) if step <= steps else 0.0
        return self.at_once + later if step == stretch == 1 else later

    def looks(self, poll_seconds: float, steps: int, share: float = 1.0) -> int:
        """Looks, the warm-up included, that a step needs after its first before its own harm can show.

        `share` is that of the signal in the average. A stretch of time never says all that red needs.
        """
        red = -math.log(self.alpha)
        needed = red - math.log(self.begins(2, max(steps, 2), 1)) - math.log(share)
        stretches = math.ceil(needed / red / 0.97)
        burst = max(1, math.ceil(self.burst_seconds / poll_seconds))
        first = math.ceil(self.cold_seconds / poll_seconds) or burst
        return self.warm_up + first + (stretches - 2) * burst + 2


class SignalRules(Frozen):
    """What one signal counts for."""

    weight: float = Field(default=1.0, gt=0, le=1000)
    """Its share in the average of the evidence for harm, beside the other signals' weights."""
    must_clear: bool = True
    """Whether a step with `excludes` waits until harm is excluded for it, too. A signal that is rare by
    nature, such as restarts, never shows so much; without this it can still turn the gate red."""


class CanaryPlan(Frozen):
    """The ladder and the promises of the gate."""

    steps: tuple[CanaryStep, ...] = Field(min_length=1)
    poll_seconds: float = Field(default=15, gt=0)
    gate: GateRules = GateRules()
    signals: dict[SignalName, SignalRules] = Field(
        default={ERRORS: SignalRules()}, min_length=1, max_length=MOST_SIGNALS
    )
    """What the gate watches. A signal that can't be read makes it blind: it holds."""
    undecided: Literal["hold", "roll_back"] = "hold"
    """What an undecided step does: stay, with people paged and red taken back all the same, or go back."""
    hold_seconds: float = Field(default=86_400, gt=0)
    """How long a step stays where it is, undecided or without metrics; then it is taken back by itself."""
    gives_way_after_seconds: Annotated[float, Field(ge=0)] | Literal["never"] = "never"
    """How long a step must have been undecided before a newer release that waits for the canary takes its
    place. `never`: people decide, or `hold_seconds` pass."""

    @property
    def looks(self) -> int:
        """Looks, the warm-up included, that a step needs before harm can show in each signal."""
        weights = [rules.weight for rules in self.signals.values()]
        return self.gate.looks(self.poll_seconds, len(self.steps), min(weights) / math.fsum(weights))

    @model_validator(mode="after")
    def _errors_count_and_steps_can_be_decided(self) -> Self:
        if ERRORS not in self.signals or not self.signals[ERRORS].must_clear:
            raise ValueError("signals: `errors` must be among them, with must_clear")
        for step in self.steps:
            if step.excludes != "nothing" and step.excludes not in self.gate.levels:
                raise ValueError(f"excludes: {step.excludes:g} is none of gate.levels {self.gate.levels}")
            needed = self.looks * self.poll_seconds
            if step.max_seconds < needed:
                raise ValueError(
                    f"max_seconds: {step.max_seconds:g} at {step.percent} % is less than the {needed:g} "
                    "seconds that the gate's looks take"
                )
        return self


class RolloutStep(Frozen):
    """One rung of a flag's rollout: who has it, and the evidence needed to give it to more."""

    percent: int = Field(ge=0, le=100)
    """Of the users who are not internal; 0: internal users alone."""
    min_requests: int = Field(default=100, ge=0)
    """Requests with the flag on that must have been seen at this step."""
    min_seconds: float = Field(default=900, ge=0)
    page_after_seconds: float = Field(default=86_400, gt=0)
    """A step that is not decided by then holds on, and people are told."""
    excludes: Annotated[float, Field(gt=1, le=10)] | Literal["nothing"] = "nothing"
    """As for the canary, in multiples of the rate without the flag."""


class RolloutPlan(Frozen):
    """How a flag comes to everybody: internal users first, then ever more of the others."""

    steps: tuple[RolloutStep, ...] = (
        RolloutStep(percent=0, min_requests=20),
        RolloutStep(percent=1),
        RolloutStep(percent=5, excludes=10.0),
        RolloutStep(percent=25, excludes=5.0),
        RolloutStep(percent=50, excludes=3.0),
        RolloutStep(percent=100),
    )
    poll_seconds: float = Field(default=15, gt=0)
    gate: GateRules = GateRules()
    """Half of `alpha` is for the step of the internal users, half for all the others together."""
    internal_r0: float = Field(default=3, ge=1, le=10)
    """What `gate.r0` is for internal users: they are not picked by chance, and differ without any flag."""
    latency_ms: tuple[int, ...] = ()
    """Edges of the latency histogram; each makes a signal, "slower than", beside the errors."""

    @model_validator(mode="after")
    def _internal_first_then_more_and_more(self) -> Self:
        percents = [step.percent for step in self.steps]
        if not percents or percents[0] != 0:
            raise ValueError("steps: the first one is for internal users alone: percent = 0")
        if percents[-1] != 100 or sorted(set(percents)) != percents:
            raise ValueError(f"steps: percents must grow up to 100, and these do not: {percents}")
        if unknown := sorted(set(self.latency_ms) - set(LATENCY_EDGES_MS)):
            raise ValueError(f"latency_ms: {unknown[0]} is no bucket edge; there are {LATENCY_EDGES_MS}")
        for step in self.steps:
            if step.excludes != "nothing" and step.excludes not in self.gate.levels:
                raise ValueError(f"excludes: {step.excludes:g} is none of gate.levels {self.gate.levels}")
        return self

    def with_percents(self, percents: tuple[int, ...]) -> "RolloutPlan":
        """The same plan with these steps, each as demanding as the plan's nearest one that is not smaller.

        Raises ValidationError.
        """
        chosen = [
            next((step for step in self.steps if step.percent >= percent), self.steps[-1]).model_copy(
                update={"percent": percent}
            )
            for percent in percents
        ]
        return RolloutPlan.model_validate(self.model_dump() | {"steps": [s.model_dump() for s in chosen]})


class Service(Frozen):
    """What a repository delivers."""

    name: Slug
    command: tuple[str, ...] = Field(min_length=1)
    """Starts one instance; `{port}` becomes the port it must listen on, `{python}` our interpreter."""
    health_path: str = Field(default="/health", pattern=r"^/")
    ready_within_seconds: float = Field(default=120, gt=0, le=3600)
    """How long an environment may take to run a commit after its overlay has landed: sync, pull, start."""
    overlays: dict[Literal["dev", "production"], str]
    """Environment → path of the `kustomization.yaml` in the repository."""
    image: str
    """The image name in the overlay whose `newTag` is the live SHA."""
    probes: tuple[Probe, ...] = ()
    canary: CanaryPlan
    flag_rollout: RolloutPlan = RolloutPlan()
    eyes: EyesPlan | None = None
    """The pages that are looked at before a canary gets its first request."""


class Repository(Frozen):
    """One repository on one forge, with one protected target branch."""

    name: Slug
    url: str
    """A git remote: a path of a bare repository, or an address git can push to."""
    target: str = "main"
    checks: tuple[Check, ...] = Field(min_length=1)
    train: TrainRules = TrainRules()
    build: Build = Build()
    not_delivered: tuple[str, ...] = (".leverframe/**",)
    """Globs of files that are no part of what is built: a commit that changes only these is not released."""
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

    def required_checks(self, paths: tuple[str, ...], override: Override | None = None) -> tuple[Check, ...]:
        """The checks that a commit with these changed paths must pass: all that are not skipped.

        With an override those that two people named, whatever the paths are.
        """
        if override is not None:
            return tuple(check for check in self.checks if check.name in override.checks)
        return tuple(check for check in self.checks if not all_match(paths, check.skip_when_only))

    @property
    def requirements(self) -> str:
        """What is required of cars, as a word that differs when it does."""
        infrastructure = self.infrastructure.model_dump_json() if self.infrastructure else ""
        # Where a check leaves its reports, and what else can be done with it, is no requirement.
        checks = (check.model_dump_json(exclude={"results", "selects_tests"}) for check in self.checks)
        return short_hash(*checks, infrastructure)

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

    def delivers_nothing(self, paths: tuple[str, ...]) -> bool:
        """Whether the paths change nothing but the service's overlays and what is not delivered."""
        overlays = set(self.service.overlays.values())
        return bool(paths) and all(
            path in overlays or any_match((path,), self.not_delivered) for path in paths
        )
