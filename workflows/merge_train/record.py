"""The record: what a train has learned of its own past. Frozen and bounded; only pure functions change it."""

from pydantic import Field

from leverframe.model.frozen import Frozen
from workflows.merge_train.lane import Entry

KEPT = 200
"""Kinds of change (a lane and an actor) that are remembered; the one heard of least recently gives way."""

MEMORY = 200.0
"""Outcomes that count at the most: older ones fade, so that a team that mends its ways is believed."""

PRIOR_WEIGHT = 8.0
"""How many outcomes a kind's own record needs before it outweighs everybody's."""


class Odds(Frozen):
    """A decayed Beta posterior: how often something went well and how often it did not."""

    well: float = Field(ge=0)
    ill: float = Field(ge=0)

    @property
    def mean(self) -> float:
        """The chance that it goes well next time."""
        return self.well / (self.well + self.ill)

    def seen(self, *, well: float = 0.0, ill: float = 0.0) -> "Odds":
        """After more outcomes, of which older ones fade once there are many."""
        total = self.well + self.ill
        faded = min(1.0, MEMORY / total)
        return Odds(well=self.well * faded + well, ill=self.ill * faded + ill)


class Kind(Frozen):
    """What is known of one actor's changes in one set of lanes."""

    actor: str
    lanes: tuple[str, ...]
    well: float = Field(default=0.0, ge=0)
    ill: float = Field(default=0.0, ge=0)


class Record(Frozen):
    """What the predictor goes by. It starts neutral: nobody is trusted or mistrusted."""

    passing: Odds = Odds(well=9.0, ill=1.0)
    """Whether a change is good in itself, over everybody."""
    kinds: tuple[Kind, ...] = ()
    """The same by lanes and actor, the one heard of last at the end."""
    together: Odds = Odds(well=299.0, ill=1.0)
    """Whether two good changes that were in line at the same time go together, for each pair."""
    steady: Odds = Odds(well=99.0, ill=1.0)
    """Whether a run of a good car is green: the rest are flakes."""
    minutes: float = Field(default=30.0, gt=0)
    """How long a run takes, as a decayed mean."""
    runs: int = Field(default=0, ge=0)

    def kind(self, actor: str, lanes: tuple[str, ...]) -> Kind:
        """What is known of this kind of change; nothing if it is new."""
        found = (kind for kind in self.kinds if (kind.actor, kind.lanes) == (actor, lanes))
        return next(found, Kind(actor=actor, lanes=lanes))


def decided(
    record: Record, entry: Entry, *, landed: bool, incompatible: bool = False, among: int = 0
) -> Record:
    """The record after a change's fate is known.

    `incompatible`: it was good by itself, and red together with what landed before it. `among`: how many
    open changes it was tested with or behind. Nothing is learned of a change that left without a verdict:
    don't call this for `withdrawn`, `check_inconclusive` and so on.
    """
    good = landed or incompatible
    kind = record.kind(entry.actor, entry.lanes)
    faded = min(1.0, MEMORY / max(1.0, kind.well + kind.ill))
    now = Kind(
        actor=kind.actor, lanes=kind.lanes, well=kind.well * faded + good, ill=kind.ill * faded + (not good)
    )
    others = tuple(known for known in record.kinds if (known.actor, known.lanes) != (kind.actor, kind.lanes))
    together = record.together
    if good and among:
        together = together.seen(well=among - incompatible, ill=float(incompatible))
    return record.model_copy(
        update={
            "passing": record.passing.seen(well=float(good), ill=float(not good)),
            "kinds": (*others, now)[-KEPT:],
            "together": together,
        }
    )


def ran(record: Record, *, minutes: float, flaked: bool | None = None) -> Record:
    """The record after a run ended by itself: how long it took, and whether its red was a flake.

    `flaked` is None when nobody can tell: a red run of a car that is not known to be good.
    """
    weight = 1 / min(record.runs + 1, 50)
    steady = record.steady
    if flaked is not None:
        steady = steady.seen(well=float(not flaked), ill=float(flaked))
    mean = record.minutes + weight * (max(minutes, 1 / 60) - record.minutes)
    return record.model_copy(
        update={"minutes": mean, "runs": min(record.runs + 1, 1_000_000), "steady": steady}
    )
