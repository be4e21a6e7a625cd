"""With which of several landed changes a change does not go together: found by halving. Pure.

The change was green before all of them and is red after all of them, so there is a first one after which
it is red. Only what landed is asked about: every prefix is a tip that the target had.
"""

from typing import Literal

from leverframe.model.frozen import Frozen, Instant, Sha

MOST_PROBES = 5
"""So many tests at the most look for a partner: enough among 32; of more, those that are left are named."""


class Landed(Frozen):
    """A change that landed, and the tip that it made."""

    change: str
    tip: Sha


class Inquiry(Frozen):
    """The search for one change's partner."""

    sequence: int
    check: str
    """The check that is red."""
    among: tuple[Landed, ...]
    """What landed since the change was green, oldest first."""
    green: int = 0
    """After so many of them it is green."""
    red: int
    """After so many of them it is red."""
    probes: int = 0
    trial: int = 0
    """The test that runs now; 0 for none."""
    sha: Sha | None = None
    began_at: Instant | None = None
    given_up: bool = False
    """Nobody can tell any further: a test without a verdict, a conflict, or no runner that was idle."""

    @property
    def over(self) -> bool:
        """Whether nothing more is to be tested."""
        return self.given_up or self.red - self.green <= 1 or self.probes >= MOST_PROBES

    @property
    def base(self) -> Sha:
        """The tip on which the change is to be tested next: half of what is left had landed."""
        return self.among[(self.green + self.red) // 2 - 1].tip

    @property
    def partners(self) -> tuple[str, ...]:
        """The changes that are left, one when it is found."""
        return tuple(dict.fromkeys(landed.change for landed in self.among[self.green : self.red]))

    def answered(self, outcome: Literal["passed", "failed", "inconclusive"]) -> "Inquiry":
        """After the test on `base` has ended."""
        half = (self.green + self.red) // 2
        done: dict[str, object] = {"trial": 0, "sha": None}
        match outcome:
            case "passed":
                done["green"] = half
            case "failed":
                done["red"] = half
            case "inconclusive":
                done["given_up"] = True
        return self.model_copy(update=done)
