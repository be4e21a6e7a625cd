"""What a train knows, and carries into its next run. Everything in it is bounded."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from activities.train import CarFacts, PlannedCheck
from leverframe.model.changes import CarLanded, CarOutcome, CheckResult
from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.topology import TrainRules
from leverframe.model.trains import AuditFinding, Capability, Freeze
from workflows.merge_train.partner import Inquiry
from workflows.merge_train.queue import Queue
from workflows.merge_train.record import Record
from workflows.merge_train.window import Clamp

LOG_SHOWN = 2000
PATHS_KEPT = 50
"""Paths of a receipt that are remembered here; the receipt on the remote has them all."""

MAX_SETTLED = 50
MAX_FINDINGS = 20
MAX_LANDINGS = 200

HEALS_BEFORE_PAGE = 3
"""After so many attempts to put dev back people are told; the attempts go on."""


class Testing(Frozen):
    """One car: a change composed on a base, and what its tests have said so far."""

    sequence: int
    base: Sha
    """The target's tip, or the car below."""
    facts: CarFacts | None = None
    """None for a change that does not apply to this base."""
    conflict: tuple[str, ...] = ()
    """Then: the paths in conflict."""
    override: bool = False
    """Whether it is required to pass only what two people named."""
    trial: int = 0
    """Number of its present or last test; 0 when nobody has tested it."""
    running: bool = False
    early_red: bool = False
    runs: int = 0
    failed_runs: int = 0
    inconclusive_runs: int = 0
    began_at: Instant | None = None
    passed: tuple[CheckResult, ...] = ()
    """The checks that are green on exactly this commit."""
    red: CheckResult | None = None
    """The last one that failed."""
    silent: CheckResult | None = None
    """The last one without a verdict."""
    dev: Literal["waits", "passed"] | None = None
    """Whether dev has seen it; None where it changes no infrastructure."""

    covers: tuple[PlannedCheck, ...] = ()
    """Checks that are required only of cars below, for which this one is tested: the last of a batch."""

    @property
    def required(self) -> tuple[PlannedCheck, ...]:
        """Every check that has to be green here."""
        return (*self.facts.required, *self.covers) if self.facts else ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The required checks that are not green yet."""
        green = {result.check for result in self.passed}
        return tuple(check.name for check in self.required if check.name not in green)

    @property
    def missing_or_dev(self) -> tuple[str, ...]:
        """What a red can be about: a check that is not green yet, or dev."""
        return (*self.missing, "dev") if self.dev == "waits" else self.missing

    @property
    def green(self) -> bool:
        """Whether everything that can be known before dev has seen it is green."""
        return self.facts is not None and not self.missing


class Settled(Frozen):
    """How a ride ended; kept for a while, so that asking again is answered."""

    head: Sha
    requests: tuple[str, ...] = ()
    """Ids of the requests that asked for the ride."""
    outcome: CarOutcome
    title: str = ""
    settled_at: Instant


class Letter(Frozen):
    """An outcome that somebody still has to be told."""

    to: tuple[str, ...]
    outcome: CarOutcome


class Landing(Frozen):
    """One movement of the target by this train: what was tested, what landed, and whom it concerns."""

    change: str
    tested: Sha
    landed: Sha
    before: Sha
    lanes: tuple[str, ...]
    proven: tuple[str, ...] = ()
    """The checks that were green on the landed commit itself."""


class Suspicion(Frozen):
    """Is the target itself red? Asked before a change is blamed for a check that is not proven on the tip."""

    tip: Sha
    check: str
    trial: int
    began_at: Instant
    limit_seconds: int
    outcome: Literal["passed", "failed", "inconclusive"] | None = None
    """None while the tip is being tested."""
    detail: str = ""
    failed_runs: int = 0
    silent_runs: int = 0


class Dev(Frozen):
    """What dev has, or may have, that the target has not. One car at a time holds dev."""

    state: Literal["applying", "shown", "dirty", "healing"]
    """`shown`: applied and healthy, and the car is about to land. `dirty`: it is to be put back."""
    sequence: int
    change: str
    sha: Sha
    trial: int
    """The run that applies the car, or puts dev back."""
    limit_seconds: int
    """What Terraform and the wait for a healthy dev may take."""
    began_at: Instant
    failed_heals: int = 0
    retry_at: Instant | None = None
    """When dev is to be put back again; None for at once."""
    why: str = ""
    """What the last attempt said that did not go well."""
    paged: bool = False
    vouched: bool = False
    """A person has said that dev is well; it counts as put back as soon as nothing is done to it."""

    @property
    def broken(self) -> bool:
        """Whether putting it back has failed so often that infrastructure cars no longer hold up others."""
        return self.failed_heals >= HEALS_BEFORE_PAGE


class TrainState(Frozen):
    """Everything the train knows: the snapshot to plan from."""

    rules: TrainRules | None = None
    """As last read from the declaration; None before the first look."""
    tip: Sha | None = None
    audited: Sha | None = None
    """Up to where the target is proven."""
    unaudited: int = 0
    """How often the target has moved since."""
    queue: Queue = Queue()
    cars: tuple[Testing, ...] = ()
    letters: tuple[Letter, ...] = ()
    settled: tuple[Settled, ...] = ()
    """The newest outcomes, oldest first."""
    freeze: Freeze | None = None
    capability: Capability | None = None
    """What the forge's own queue can do here; None when nobody has asked it."""
    capability_asked_at: Instant | None = None
    next_trial: int = 1
    builds: dict[str, int] = Field(default_factory=dict)
    """Hour → how many tests began in it, for the last 24."""
    clamp: Clamp = Clamp()
    record: Record = Record()
    landings: tuple[Landing, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    """One for each check; of earlier tips none is kept."""
    inquiry: Inquiry | None = None
    """Whom a change does not go together with, while that is looked for."""
    loose: int = 0
    """How many changes have ended since the refs of their cars were last taken away."""
    findings: tuple[AuditFinding, ...] = ()
    dev: Dev | None = None
    """None while dev is what the target says, as far as is known."""
    looked_at: Instant | None = None
    declared: str = ""
    """What was required of cars at the last look; they are composed anew when it changes."""

    def builds_left(self, now: datetime) -> int | None:
        """What the budget of 24 hours still allows; None without one."""
        allowed = self.rules.builds_a_day if self.rules else "unlimited"
        if allowed == "unlimited":
            return None
        return max(0, allowed - sum(_last_day(self.builds, now).values()))

    def with_build(self, now: datetime) -> "TrainState":
        """The state after one more test has begun."""
        recent = _last_day(self.builds, now)
        hour = now.strftime("%Y-%m-%dT%H")
        recent[hour] = recent.get(hour, 0) + 1
        return self.model_copy(update={"builds": recent, "next_trial": self.next_trial + 1})

    def car(self, sequence: int, base: str) -> Testing | None:
        """The car of this change on this base."""
        return next((car for car in self.cars if (car.sequence, car.base) == (sequence, base)), None)

    def kept(self, car: Testing) -> "TrainState":
        """The state with this car in the place of the one of the same change and base."""
        others = tuple(one for one in self.cars if (one.sequence, one.base) != (car.sequence, car.base))
        return self.model_copy(update={"cars": (*others, car)})


def slim(outcome: CarOutcome) -> CarOutcome:
    """The outcome as it is remembered: a receipt with its first paths only."""
    if isinstance(outcome, CarLanded) and len(outcome.receipt.paths) > PATHS_KEPT:
        receipt = outcome.receipt.model_copy(update={"paths": outcome.receipt.paths[:PATHS_KEPT]})
        return outcome.model_copy(update={"receipt": receipt})
    return outcome


def bounded(result: CheckResult) -> CheckResult:
    """The result with only the end of its log: the whole one is in the forge's record."""
    return result.model_copy(update={"log": result.log[-LOG_SHOWN:]})


def _last_day(builds: dict[str, int], now: datetime) -> dict[str, int]:
    first = (now - timedelta(hours=24)).strftime("%Y-%m-%dT%H")
    return {hour: count for hour, count in builds.items() if hour > first}
