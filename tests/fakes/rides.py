"""One change on its way, by the train's own activities and without a train."""

from datetime import datetime

from activities.train import (
    CarFacts,
    ComposeCars,
    LandCars,
    LandingCar,
    LookRequest,
    Rider,
    Sight,
    TrainActivities,
    Waiting,
)
from leverframe.model.changes import Change, CheckResult, Receipt


def rider(change: Change, at: datetime) -> Rider:
    """The change as the first in line."""
    return Rider(sequence=1, change=change.id, head=change.head, at=at)


def looked(train: TrainActivities, change: Change) -> Sight:
    """What the train sees of the change before it composes it."""
    waiting = Waiting(change=change.id, head=change.head)
    return train.look(LookRequest(repository=change.repository, waiting=(waiting,)))


def composed(train: TrainActivities, change: Change, at: datetime) -> CarFacts:
    """The change's car on the target's tip."""
    base = looked(train, change).tip
    request = ComposeCars(repository=change.repository, base=base, riders=(rider(change, at),))
    [one] = train.compose(request)
    assert one.facts is not None
    return one.facts


def landed(
    train: TrainActivities, change: Change, car: CarFacts, checks: tuple[CheckResult, ...], at: datetime
) -> Receipt:
    """The receipt of the car, landed on the target's tip."""
    landing = LandingCar(
        rider=rider(change, at),
        base=looked(train, change).tip,
        sha=car.sha,
        author=change.author,
        checks=checks,
    )
    [receipt] = train.land(LandCars(repository=change.repository, cars=(landing,), at=at))
    return receipt
