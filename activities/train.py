"""What a merge train does outside: compose and land cars, look at the target, audit it. On the hands queue.

Every method is safe to run again: cars are named by their commit, and a landing answers with the receipt
that it left.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from temporalio import activity

from activities.endings import Endings
from activities.failures import typed_failures
from activities.ports import Changes
from activities.pulse import with_pulse
from activities.track_port import Track
from leverframe.model.changes import (
    Author,
    Car,
    CarEjected,
    CarLanded,
    Change,
    CheckResult,
    Conflicted,
    Receipt,
)
from leverframe.model.errors import Conflict, NotFound, Refused, Unproven
from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.topology import Repository, TrainRules
from leverframe.model.trains import AuditReport, Override

LOOKED_AT = 50
"""How many changes at the front one look asks the forge about; the others are asked about in their turn."""


class PlannedCheck(Frozen):
    """One required check of a car, without what the sandbox alone needs to know."""

    name: Slug
    runs_on: Literal["sandbox", "forge"]
    phase: Literal["fast", "slow"]
    timeout_seconds: int
    tells_of_tests: bool = False


class Rider(Frozen):
    """A change to compose, at exactly this head."""

    sequence: int
    change: str
    head: Sha
    at: Instant
    """When it was enqueued: it dates the commit, so that composing again gives the same SHA."""
    override: Override | None = None


class ComposeCars(Frozen):
    """Stack changes, first on `base`, each on the one before it."""

    repository: Slug
    base: Sha
    riders: tuple[Rider, ...] = Field(min_length=1)


class CarFacts(Frozen):
    """A car as the train knows it: without its paths, of which there can be thousands."""

    sha: Sha
    tree: Sha
    files: int
    required: tuple[PlannedCheck, ...]
    dev_seconds: int | None
    """Dev has to see it before it may land, and may take so long; None where it need not."""
    lanes: tuple[str, ...]
    """Empty means every lane."""
    releases: str | None
    """The service to release once it is in; None when only overlays change."""
    proven: tuple[CheckResult, ...] = ()
    """What is green on exactly this commit already, without logs."""


class Composed(Frozen):
    """What became of one rider. With neither facts nor an end, it does not apply: see `conflict`."""

    sequence: int
    base: Sha
    facts: CarFacts | None = None
    conflict: tuple[str, ...] = ()
    """Paths in conflict; none of them for a change that its base already contains."""
    ended: CarEjected | CarLanded | None = None
    """It can't ride any more, whatever lies below it."""


class DropCars(Frozen):
    """Take the refs of cars away that were composed for changes enqueued before a time."""

    repository: Slug
    keep: tuple[Sha, ...]
    """Cars whose changes are still open, and what receipts point at."""
    before: Instant


class LandingCar(Frozen):
    """One car of a landing."""

    rider: Rider
    base: Sha
    sha: Sha
    author: Author
    checks: tuple[CheckResult, ...]


class Tested(Frozen):
    """The commit that was tested, where another one lands."""

    base: Sha
    sha: Sha


class LandCars(Frozen):
    """Put tested cars onto the target in one push; more than one only for a batch."""

    repository: Slug
    cars: tuple[LandingCar, ...] = Field(min_length=1)
    tested: Tested | None = None
    """The car of the same change that was tested on an earlier tip, past which other lanes have landed."""
    at: Instant


class Waiting(Frozen):
    """A change that is in line, to be looked at."""

    change: str
    head: Sha


class LookRequest(Frozen):
    """Look at the target and at the changes in front."""

    repository: Slug
    waiting: tuple[Waiting, ...] = ()


class LanesOf(Frozen):
    """What a change touches; empty means every lane."""

    change: str
    head: Sha
    lanes: tuple[str, ...]


class Sight(Frozen):
    """What the world is like now."""

    tip: Sha
    rules: TrainRules
    lanes: tuple[LanesOf, ...] = ()
    """Of the changes asked about, where lanes are composed."""
    ended: tuple[CarEjected | CarLanded, ...] = ()
    """Changes that can't ride any more."""
    declared: str = ""
    """Differs when what is required of cars does."""


class TrainActivities:
    """Cars, landings and audits of the declared repositories."""

    def __init__(
        self,
        changes: Changes,
        track: Track,
        repositories: Mapping[str, Repository],
    ) -> None:
        self._changes = changes
        self._track = track
        self._repositories = repositories
        self._endings = Endings(track)

    @activity.defn(name="look_at_target")
    @typed_failures
    @with_pulse
    def look(self, request: LookRequest) -> Sight:
        """The tip, the rules in force, and the changes in front that can't ride any more."""
        repository = self._repository(request.repository)
        asked = [(one, self._changes.change(one.change)) for one in request.waiting[:LOOKED_AT]]
        tips = self._track.tips(repository, {repository.target, *(change.branch for _, change in asked)})
        if repository.target not in tips:
            raise NotFound(f"there is no branch {repository.target}")
        tip = tips[repository.target]
        ended: list[CarEjected | CarLanded] = []
        lanes: list[LanesOf] = []
        for waiting, change in asked:
            if end := self._endings.of(repository, change, waiting.head, tips):
                ended.append(end)
            elif repository.train.lane_mode == "composed":
                lanes.append(self._lanes(repository, change, waiting, tip))
        return Sight(
            tip=tip,
            rules=repository.train,
            ended=tuple(ended),
            lanes=tuple(lanes),
            declared=repository.requirements,
        )

    @activity.defn(name="compose_cars")
    @typed_failures
    @with_pulse
    def compose(self, request: ComposeCars) -> list[Composed]:
        """One answer per rider, up to the first that makes no car. Same inputs, same SHAs."""
        repository, composed, base = self._repository(request.repository), list[Composed](), request.base
        stack = [(self._at_head(rider), rider.at) for rider in request.riders]
        try:
            cars = self._track.compose_stack(
                repository, changes=stack, base=base, method=repository.train.method
            )
        except Refused as error:
            return [_uncomposable(request.riders[0], base, error)]
        for rider, car in zip(request.riders, cars, strict=False):
            if isinstance(car, Conflicted) or not car.paths:
                paths = car.paths if isinstance(car, Conflicted) else ()
                return [*composed, self._not_composed(repository, rider, base, paths)]
            facts = self._facts(repository, car, rider.override)
            composed.append(Composed(sequence=rider.sequence, base=base, facts=facts))
            base = car.sha
        return composed

    @activity.defn(name="land_cars")
    @typed_failures
    @with_pulse
    def land(self, request: LandCars) -> list[Receipt]:
        """Compare-and-swap the target to the last car's commit, one receipt per car.

        Raises:
            TargetMoved: compose and test again.
            Unproven: a check is required that was not when the car was tested.
            Conflict: a change is at another head, or closed.
            Refused: not proven, or the remote says no for good.
        """
        repository = self._repository(request.repository)
        changes = [self._changes.change(landing.rider.change) for landing in request.cars]
        tips = self._track.tips(repository, {change.branch for change in changes})
        sources = dict[str, str]()
        for landing, change in zip(request.cars, changes, strict=True):
            ended = self._endings.of(repository, change, landing.rider.head, tips)
            if isinstance(ended, CarEjected):
                raise Conflict(ended.detail)
            if ended is None:
                sources[change.branch] = landing.rider.head
        wanted = [(one.rider, one.sha) for one in request.cars]
        cars = self._cars(repository, request.cars[0].base, wanted)
        self._all_proven(repository, request, cars)
        if len(cars) > 1:
            return self._track.land_batch(
                repository,
                cars=[(car, landing.author) for car, landing in zip(cars, request.cars, strict=True)],
                checks=request.cars[-1].checks,
                at=request.at,
                sources=sources,
            )
        landing, tested = request.cars[0], None
        if on := request.tested:
            (tested,) = self._cars(repository, on.base, [(landing.rider, on.sha)])
        return [
            self._track.land(
                repository,
                car=cars[0],
                checks=landing.checks,
                author=landing.author,
                at=request.at,
                override=landing.rider.override,
                tested=tested,
                sources=sources,
            )
        ]

    @activity.defn(name="drop_cars")
    @typed_failures
    @with_pulse
    def drop_cars(self, request: DropCars) -> int:
        """Take the refs of terminal cars off the remote; how many. Idempotent."""
        repository = self._repository(request.repository)
        return len(self._track.drop_cars(repository, keep=request.keep, before=request.before))

    @activity.defn(name="audit_target")
    @typed_failures
    @with_pulse
    def audit(self, repository: str, since: Sha | None) -> AuditReport:
        """Whether everything on the target since that commit is what a receipt says."""
        return self._track.audit(self._repository(repository), since=since)

    def _lanes(self, repository: Repository, change: Change, waiting: Waiting, tip: str) -> LanesOf:
        """The lanes of what the change does to the target; all of them where that can't be seen."""
        at_head = change.model_copy(update={"head": waiting.head})
        car = self._track.compose(
            repository, change=at_head, base=tip, at=change.opened_at, method=repository.train.method
        )
        found = repository.lanes_of(car.paths) if isinstance(car, Car) else ()
        return LanesOf(change=change.id, head=waiting.head, lanes=found)

    def _at_head(self, rider: Rider) -> Change:
        return self._changes.change(rider.change).model_copy(update={"head": rider.head})

    def _facts(self, repository: Repository, car: Car, override: Override | None) -> CarFacts:
        required = repository.required_checks(car.paths, override)
        proven = {
            result.check: result.model_copy(update={"log": ""})
            for result in self._changes.checks(car.sha)
            if result.outcome == "passed"
        }
        return CarFacts(
            sha=car.sha,
            tree=car.tree,
            files=len(car.paths),
            required=tuple(
                PlannedCheck(
                    name=check.name,
                    runs_on=check.runs_on,
                    phase=check.phase,
                    timeout_seconds=check.timeout_seconds,
                    tells_of_tests=check.tells_of_tests,
                )
                for check in required
            ),
            dev_seconds=repository.dev_seconds(car.paths),
            lanes=repository.lanes_of(car.paths),
            releases=None if repository.delivers_nothing(car.paths) else repository.service.name,
            proven=tuple(proven[check.name] for check in required if check.name in proven),
        )

    def _all_proven(self, repository: Repository, request: LandCars, cars: list[Car]) -> None:
        """What is declared may have changed since the cars were composed; the declaration of now counts."""
        top = request.cars[-1]
        paths = tuple(path for car in cars for path in car.paths)
        required = repository.required_checks(paths, top.rider.override)
        proven = {result.check for result in top.checks}
        if missing := [check.name for check in required if check.name not in proven]:
            raise Unproven(f"{', '.join(missing)} is required of {top.sha[:12]} by now: test it, too")

    def _not_composed(
        self, repository: Repository, rider: Rider, base: str, conflict: tuple[str, ...]
    ) -> Composed:
        """A change that makes no car: in conflict, or in its base already; of a landing the receipt knows."""
        landed = None if conflict else self._endings.landed(repository, rider.change, rider.head)
        return Composed(sequence=rider.sequence, base=base, conflict=conflict, ended=landed)

    def _cars(self, repository: Repository, base: str, wanted: Sequence[tuple[Rider, str]]) -> list[Car]:
        """Stacked cars with their paths: composed again, which gives the same commits, or they are others."""
        made = self._track.compose_stack(
            repository,
            changes=[(self._at_head(rider), rider.at) for rider, _ in wanted],
            base=base,
            method=repository.train.method,
        )
        cars = [car for car in made if isinstance(car, Car)]
        for at, (rider, sha) in enumerate(wanted):
            if at >= len(cars) or cars[at].sha != sha:
                raise Refused(f"composing {rider.change} again does not give {sha[:12]}")
        return cars

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]


def _uncomposable(rider: Rider, base: str, error: Refused) -> Composed:
    detail = f"The change can't be composed: {error}. Mend that and enqueue it again."
    ended = CarEjected(change=rider.change, reason="refused", detail=detail)
    return Composed(sequence=rider.sequence, base=base, ended=ended)
