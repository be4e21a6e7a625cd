"""What pulling a lever did, what trains and releases tell of it, and how it can be undone. Pure."""

from dataclasses import dataclass, field
from typing import Literal, assert_never

from leverframe.model.changes import CarLanded, CarOutcome, Change
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import ChangeQuarantine, Effect, FlipFlag, RevertChange, RollBack
from leverframe.model.releases import ReleaseOutcome
from leverframe.model.untrusted import Untrusted


@dataclass
class Mailbox:
    """What trains and releases have told this run."""

    cars: dict[str, CarOutcome] = field(default_factory=dict)
    """By change."""
    releases: dict[str, ReleaseOutcome] = field(default_factory=dict)
    """By landed SHA."""


@dataclass(kw_only=True)
class Pulled:
    """What pulling a lever did."""

    result: Literal["done", "failed"]
    detail: str
    outcome: Outcome | None
    """What the ledger is told; None when it is still under way as far as the run knows."""
    change: str | None = None
    """The change that it opened, however that fared."""
    proven: bool = False
    """The repair is in production and the regression check passed."""


@dataclass(kw_only=True)
class Ride:
    """How a change fared on the train."""

    landed_as: str | None = None
    """The commit; None when the change did not land."""
    detail: str = ""
    """Why it did not land."""
    over: bool = True
    """False when nobody said how it ended: it may land yet."""


def reversibility(effect: Effect) -> str:
    """How an effect can be undone, and how fast, for whoever decides on it."""
    match effect:
        case FlipFlag():
            back = "off" if effect.on else "on"
            return f"Switch {effect.flag} {back} again: it holds within seconds."
        case RollBack():
            return (
                "Land a newer release: it walks the canary again, which takes minutes. "
                "Or `leverframe runs undo` points production forward again."
            )
        case RevertChange():
            return "Until it lands, close the merge request; later, revert it by the train and the canary."
        case ChangeQuarantine():
            return (
                "Until it lands, close the merge request; later, revert it by the train: nothing is released."
            )
        case _:
            assert_never(effect)


def not_landed(change: Change, ride: Ride) -> Pulled:
    """A change that has not landed."""
    outcome = Outcome.FAILED if ride.over else None
    return Pulled(result="failed", detail=ride.detail, outcome=outcome, change=change.id)


def ridden(change: Change, car: CarOutcome) -> Ride:
    """What the train said."""
    if isinstance(car, CarLanded):
        return Ride(landed_as=car.receipt.sha)
    said = Untrusted(car.detail).for_terminal(300)
    return Ride(detail=f"the train took {change.id} off ({car.reason}): {said}")
