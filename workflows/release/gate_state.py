"""What the judge is shown, remembers and says. JSON, and of constant size."""

import math
from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.releases import MOST_SIGNALS, Count
from workflows.release.ceiling import Start
from workflows.release.sequential import Evidence, Exposure

Seen = Literal["red", "cleared", "warming_up", "no_control", "thin_data"]
Finding = Literal["blind"] | Seen


class Poll(Frozen):
    """What was seen since the poll before, each event in one poll only."""

    at: Instant
    weight: float = Field(ge=0, le=100)
    """Percent of the traffic that the canary should get; the split is taken from the counts."""
    signals: dict[str, Exposure] = Field(default={}, max_length=MOST_SIGNALS)


class SignalState(Frozen):
    """What one signal has said."""

    share: float = Field(gt=0, le=1)
    """Of the average; those of all signals sum to 1."""
    must_clear: bool
    harm: Evidence
    """Since the rollout began, but for the stretch that is under way."""
    stretch: Evidence = ()
    """Of the stretch that is under way, not capped; empty for nothing yet."""
    expected: float = 0.0
    """The bad events that a tolerated canary would have shown in it."""
    trust: float = 0.0
    """How much of a small harm counts in it, when instances get warm: as known when it began."""
    start: Start = Start()
    """What all polls beside stable tell of how its instances start."""
    cleared: Evidence
    """Since the step began, level by level."""
    faultless: Evidence
    seen: Exposure = Exposure()
    """Since the step began, without the warm-up."""
    control: Count = Count()
    """What stable did in the steps before."""
    matched: tuple[float, float] = (0.0, 0.0)
    """Numerator and denominator of the common ratio over all polls (Mantel & Haenszel 1959)."""

    @property
    def ratio(self) -> float | None:
        """How many times stable's rate it is, compared within each poll; None without bad events."""
        above, below = self.matched
        if not above and not below:
            return None
        return above / below if below else math.inf


class GateState(Frozen):
    """What the judge remembers between polls. JSON, and of constant size."""

    signals: dict[str, SignalState]
    steps: int
    """How many the rollout has, as declared before it began."""
    step: int = 0
    weight: float | None = None
    polls: int = 0
    """At this weight, the warm-up included."""
    opened_at: Instant | None = None
    """The first of them."""
    since: Instant | None = None
    """The first poll of the stretch that is under way; None when none has counted at this weight."""
    stretches: int = 0
    """At this weight, that one included."""
    waiting: float = 1.0
    """The mass of harms that have not begun."""


class Judgement(Frozen):
    """What the judge says after a poll."""

    finding: Finding
    evidence: float
    """E: a good release shows so much for harm by chance in at most one of E rollouts."""
    excluded: float | None
    """The smallest harm that this step has excluded for every signal; None for none yet."""
    explanation: str
