"""The record: what a train has learned of its own past. Frozen and bounded; only pure functions change it."""

from pydantic import Field

from leverframe.model.frozen import Frozen
from workflows.merge_train.lane import Entry

KEPT = 200
"""Kinds of change (a lane and an actor) that are remembered; the one heard of least recently gives way."""

MEMORY = 200.0
"""Outcomes that count at the most: older ones fade, so that a team that mends its ways is believed."""

PAIRS = 40
"""With so many others a change may clash at the most; further ones are taken as told apart by time."""

PAIRS_MEMORY = 8_000.0
"""Outcomes of pairs that count at the most: every change is in many pairs."""

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

    def seen(self, *, well: float = 0.0, ill: float = 0.0, memory: float = MEMORY) -> "Odds":
        """After more outcomes, of which older ones fade once there are more than `memory`."""
        total = self.well + self.ill
        faded = min(1.0, memory / total)
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
    open changes it was tested with or behind. A change that was red and never green by itself may be bad or
    may clash with one of those: the blame is shared out by what was likelier before (one step of expectation
    maximisation). Nothing is learned of a change that left without a verdict: don't call this for
    `withdrawn`, `check_inconclusive` and so on.
    """
    others = min(among, PAIRS)
    clashing = 1 - record.together.mean**others
    bad = 1 - record.passing.mean
    ill = 0.0 if landed or incompatible else bad / (bad + (1 - bad) * clashing)
    clashed = 0.0 if landed else 1 - ill
    kind = record.kind(entry.actor, entry.lanes)
    faded = min(1.0, MEMORY / max(1.0, kind.well + kind.ill))
    now = Kind(
        actor=kind.actor, lanes=kind.lanes, well=kind.well * faded + 1 - ill, ill=kind.ill * faded + ill
    )
    kinds = tuple(known for known in record.kinds if (known.actor, known.lanes) != (kind.actor, kind.lanes))
    together = record.together
    if others:
        well = max(0.0, (1 - ill) * others - clashed)
        together = together.seen(well=well, ill=clashed, memory=PAIRS_MEMORY)
    return record.model_copy(
        update={
            "passing": record.passing.seen(well=1 - ill, ill=ill),
            "kinds": (*kinds, now)[-KEPT:],
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
