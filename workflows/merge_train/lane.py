"""The lane: one snapshot of a train as the planner sees it, and the plan it makes. No git, no clock.

A `Path` is a stack of changes on the target's tip, named by their sequence numbers, lowest first. The last
one is the car under test: `(4, 7)` is change 7 on change 4 on the tip, `(4,)` is 4 on the tip itself. Once
4 has landed, `(4, 7)` is `(7,)`: the same commit, whose base is now the tip.
"""

from typing import Literal

from pydantic import Field

from leverframe.model.changes import Priority
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.trains import FreezeMode

Path = tuple[int, ...]


class Entry(Frozen):
    """A change that is open: in line or under test. The lane holds them in the order they should land."""

    sequence: int = Field(ge=1)
    priority: Priority
    actor: str
    """Whose record predicts it: `person`, `release`, `agent:sentry_spike`."""
    lanes: tuple[str, ...] = ()
    """What it touches; empty means everything. Only used where lanes are composed."""
    enqueued_at: Instant
    solo: bool = False
    """It is tested alone, never as a part of a batch."""
    override: bool = False
    """Two people want it landed with fewer checks: it still needs the tip as its base."""


class Trial(Frozen):
    """One car that is, or was, under test. Only trials whose base is the tip or another trial's car."""

    path: Path = Field(min_length=1)
    state: Literal["running", "passed", "failed", "inconclusive", "conflict"]
    """`conflict`: the change does not even apply to what lies below it."""
    early_red: bool = False
    """While running: a required check has failed already."""
    runs: int = Field(default=1, ge=1)
    """How often its checks have run (a repetition runs only what had not passed)."""
    failed_runs: int = Field(default=0, ge=0)
    inconclusive_runs: int = Field(default=0, ge=0)
    began_at: Instant
    """When the present run began."""
    overtaken: bool = False
    """Others have landed past it: its base is a tip that was. It goes on there, since that base is settled,
    too: a confirmed red is a verdict, a pass only proves it good in itself, and it is tested anew."""


class Snapshot(Frozen):
    """Everything that a plan depends on."""

    entries: tuple[Entry, ...] = ()
    """In the order in which they should land."""
    trials: tuple[Trial, ...] = ()
    passed_before: tuple[Path, ...] = ()
    """Changes that were green on an earlier tip: how `incompatible` is told from `check_failed`."""
    mode: FreezeMode | Literal["open"] = "open"
    builds_left: int | None = None
    """What the budget still allows to start; None without a budget."""
    clamp: int | None = None
    """What AIMD allows at once; None before the first failure."""
    busy: int = 0
    """Runners that have something else than these trials."""
    now: Instant


class Land(Frozen):
    """Every required check is green on exactly this car, and its base is the tip."""

    path: Path
    """One change; more only when a batch lands below the last one, which was tested."""


class Eject(Frozen):
    """A verdict against a change: its base was settled and the red confirmed, or nothing gives a verdict."""

    sequence: int
    path: Path
    """The trial that says so."""
    reason: Literal["check_failed", "incompatible", "check_inconclusive", "conflict"]


class Plan(Frozen):
    """What to do now, all of it at once. Verdicts first: land and eject, then plan again."""

    land: Land | None = None
    ejected: tuple[Eject, ...] = ()
    cancel: tuple[Path, ...] = ()
    """Running trials whose results nobody needs any more."""
    again: tuple[Path, ...] = ()
    """Trials whose failed or silent checks run once more, on the same commit."""
    start: tuple[Path, ...] = ()
    """New trials, the one most likely needed first."""
    waits: dict[int, str] = Field(default_factory=dict)
    """Why an open change is not under test, in a sentence of ours; for `train explain`."""
