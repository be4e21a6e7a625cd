"""The agent contract, and the registry that the workflows look agents up in."""

from datetime import datetime
from typing import Literal, Protocol, TypeVar

from pydantic import Field

from leverframe.model.errors import BadInput
from leverframe.model.facts import Facts, FactsRequest
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.proposals import Lever, Measurement, NoAction, Proposal
from leverframe.model.signals import ErrorBatch, ReportArrived, Signal


class Due(Frozen):
    """The agent has seen enough: a run should start now."""

    kind: Literal["due"] = "due"
    reason: str
    """One sentence of ours with the numbers in it."""
    evidence: tuple[Measurement, ...] = Field(min_length=1)
    since: Instant
    """When the thing began, as far as the signals tell."""


class Wait(Frozen):
    """Look again at `until`, or when the next signal comes."""

    kind: Literal["wait"] = "wait"
    until: Instant


class Nothing(Frozen):
    """Nothing to do until the next signal comes."""

    kind: Literal["nothing"] = "nothing"


class RunContext(Frozen):
    """What `needs` and `propose` know of the run besides facts."""

    run: str
    """The run's workflow id; it becomes the proposal's id."""
    run_url: str
    """Where a person opens the run; ours, so it may stand in Markdown."""
    repository: str
    service: str
    subject: str
    now: Instant


StateT = TypeVar("StateT", bound=Frozen)
KindT = TypeVar("KindT", bound=Frozen)


def of_kind(value: Frozen, kind: type[KindT]) -> KindT:
    """A signal or facts as the kind that the agent watches or has asked for. Raises BadInput."""
    if not isinstance(value, kind):
        raise BadInput(f"it takes {kind.__name__}, not {type(value).__name__}")
    return value


class Agent(Protocol[StateT]):
    """Watches one kind of signal. Every method is a pure function of its arguments."""

    name: str
    may_propose: frozenset[Lever]
    state_type: type[StateT]

    @property
    def watches(self) -> type[ErrorBatch] | type[ReportArrived]:
        """The one kind of signal that it is given."""
        ...

    def initial(self, tuning: dict[str, int]) -> StateT:
        """The state of a subject never seen before. `tuning` holds the agent's settings, all integers."""
        ...

    def observe(self, state: StateT, signal: Signal) -> StateT:
        """Fold one signal in. The state stays bounded however many come."""
        ...

    def decide(self, state: StateT, now: datetime) -> tuple[StateT, Due | Wait | Nothing]:
        """What the state says at `now`; the returned state has advanced to it."""
        ...

    def settled(self, state: StateT, now: datetime) -> StateT:
        """A run for this subject has ended: what the state is from here on."""
        ...

    def needs(self, due: Due, context: RunContext) -> FactsRequest:
        """The facts to gather before `propose`."""
        ...

    def propose(self, due: Due, facts: Facts, context: RunContext) -> Proposal | NoAction:
        """A proposal within `may_propose`, or why nothing should be done."""
        ...
