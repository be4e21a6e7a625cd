"""Proposals: what an agent wants done, with evidence and a ladder of levers, fastest first."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.ids import digest
from leverframe.model.quarantine import MOST_PER_CHANGE, Markers, Quarantined, TestPath
from leverframe.model.untrusted import Untrusted

MAX_REQUESTERS = 20
"""People who can be named as those who must not approve."""


class Lever(StrEnum):
    """The closed world of kinds of action."""

    FLIP_FLAG = "flip_flag"
    ROLL_BACK = "roll_back"
    OPEN_MERGE_REQUEST = "open_merge_request"


class Measurement(Frozen):
    """A signal is real only with a measurement and a threshold."""

    name: str
    observed: int
    threshold: int
    unit: str


class Cost(Frozen):
    """What carrying an effect out costs: an estimate before, the actual figure after."""

    cents: int = Field(default=0, ge=0)
    """Money, in hundredths of the organisation's currency."""
    tokens: int = Field(default=0, ge=0)
    """Of a language model."""


class Affected(Frozen):
    """How much of a whole the trouble touches: 3 of 40 tests, 2 of 9 services."""

    count: int = Field(ge=0)
    of: int = Field(ge=1)


class Suspect(Frozen):
    """A possible cause, with why in words."""

    kind: Literal["flag", "release", "commit"]
    name: str
    """The flag's name, or a SHA."""
    score_ppm: int = Field(ge=0, le=1_000_000)
    why: str


class FlipFlag(Frozen):
    """Switch one flag for everybody."""

    lever: Literal[Lever.FLIP_FLAG] = Lever.FLIP_FLAG
    flag: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    on: bool


class RollBack(Frozen):
    """Put production's overlay back to an earlier SHA."""

    lever: Literal[Lever.ROLL_BACK] = Lever.ROLL_BACK
    service: Slug
    to: Sha


class RevertChange(Frozen):
    """Open a merge request that reverts one landed commit."""

    lever: Literal[Lever.OPEN_MERGE_REQUEST] = Lever.OPEN_MERGE_REQUEST
    repository: Slug
    commit: Sha
    title: str = Field(max_length=120)
    body: str
    """Markdown, already safe: untrusted text in it was opened for Markdown."""


class Entering(Frozen):
    """A test that enters the quarantine, with what policy looks at."""

    entry: Quarantined
    path: TestPath = ""
    markers: Markers = None
    strength: int = Field(ge=0)
    """The evidence that it is flaky: the runs to a false one."""
    unhealed: bool = Field(default=False, exclude_if=lambda unhealed: not unhealed)
    """Its last quarantine ended though it had not healed: it goes on with this one."""


class Amending(Frozen):
    """An entry that stays in the file and says something else, with what policy looks at."""

    was: Quarantined
    """As the file has it; one that says anything else by then is left alone."""
    entry: Quarantined
    """As it is to be."""
    on: date
    """The day on which it is proposed: a renewal lasts from then on."""
    path: TestPath = ""
    markers: Markers = None
    strength: int = Field(ge=0)
    """The least evidence of what it is to hide besides: the runs to a false one."""
    renewed: int = Field(default=0, ge=0)
    """How often it was renewed before, as far as that is known."""

    @property
    def renews(self) -> bool:
        """Whether it is to expire later."""
        return self.entry.expires > self.was.expires

    @property
    def hides(self) -> tuple[str, ...]:
        """The failures that it is to hide besides."""
        return tuple(mask for mask in self.entry.masks if mask not in self.was.masks)

    @property
    def loosens(self) -> bool:
        """Whether failures are to be hidden that would count otherwise."""
        return self.renews or bool(self.hides)

    @model_validator(mode="after")
    def _one_thing(self) -> "Amending":
        kept = [(one.test, one.since, one.owner) for one in (self.was, self.entry)]
        if kept[0] != kept[1]:
            raise ValueError("an entry keeps its test, since when it is quarantined, and its owner")
        if self.was == self.entry:
            raise ValueError("an entry is amended to what it says already")
        if self.renews and self.hides:
            raise ValueError("an entry is renewed, or hides more failures: not both at once")
        return self


class ChangeQuarantine(Frozen):
    """Open a merge request that changes which tests the repository's quarantine file names.

    It carries the difference, not the file: on a target that has moved the same tests enter and leave.
    """

    lever: Literal[Lever.OPEN_MERGE_REQUEST] = Lever.OPEN_MERGE_REQUEST
    change: Literal["quarantine"] = "quarantine"
    repository: Slug
    enter: tuple[Entering, ...] = Field(default=(), max_length=MOST_PER_CHANGE)
    leave: tuple[Untrusted, ...] = Field(default=(), max_length=MOST_PER_CHANGE)
    amend: tuple[Amending, ...] = Field(
        default=(), max_length=MOST_PER_CHANGE, exclude_if=lambda amend: not amend
    )
    """Entries that stay and say something else."""
    staying: int = Field(ge=0)
    """Entries that were in the file and stay. It is refused where more do, since then too many might be."""
    tests: int = Field(ge=0)
    """In the suite."""
    title: str = Field(max_length=120)
    body: str = Field(max_length=60_000)
    """Markdown, already safe: untrusted text in it was opened for Markdown."""

    @property
    def quarantined(self) -> int:
        """Tests that the file names afterwards."""
        return self.staying + len(self.enter)

    @property
    def written(self) -> "tuple[Entering | Amending, ...]":
        """What the file says anew afterwards."""
        return (*self.enter, *self.amend)

    @property
    def renewals(self) -> tuple[Amending, ...]:
        """The entries that are to expire later: then there is nothing else in it."""
        return tuple(one for one in self.amend if one.renews)

    @model_validator(mode="after")
    def _each_once(self) -> "ChangeQuarantine":
        named = [one.entry.test for one in self.written] + list(self.leave)
        if not named:
            raise ValueError("no test enters or leaves, and no entry is amended")
        if len(set(named)) < len(named):
            raise ValueError("a test is named twice")
        if 0 < len(self.renewals) < len(named):
            raise ValueError("renewals are a change of their own")
        return self


def _which(effect: Any) -> str:
    """The lever, and what kind of merge request; those without a kind are reverts."""
    lever, change = (
        (effect.get("lever"), effect.get("change"))
        if isinstance(effect, dict)
        else (getattr(effect, "lever", None), getattr(effect, "change", None))
    )
    return f"{lever}/{change}" if change else str(lever)


Effect = Annotated[
    Annotated[FlipFlag, Tag("flip_flag")]
    | Annotated[RollBack, Tag("roll_back")]
    | Annotated[RevertChange, Tag("open_merge_request")]
    | Annotated[ChangeQuarantine, Tag("open_merge_request/quarantine")],
    Discriminator(_which),
]


class Step(Frozen):
    """One rung of the ladder."""

    purpose: Literal["mitigate", "repair", "restore"]
    """`mitigate`: the first that works is enough. `repair`: done once mitigation was tried.
    `restore`: undoes a mitigation after the repair is proven in production."""
    effect: Effect
    why: str
    cost: Cost = Cost()
    """The estimate; it is reserved before it is spent."""
    restore_after_minutes: int | None = Field(default=None, ge=1)
    """With a flag that is switched to mitigate: so long after it worked, policy is asked to switch it back,
    unless a proven repair let the run do so before."""
    lineage: tuple[str, ...] = Field(default=(), max_length=20)
    """The runs whose effects led to this step, where that is not the proposal's lineage."""
    requesters: tuple[str, ...] = Field(default=(), max_length=MAX_REQUESTERS)
    """People who must not approve this step, besides those who must not approve any."""


class Proposal(Frozen):
    """What an agent wants done about one subject."""

    id: str
    """The run's workflow id: one proposal per run."""
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    summary: str
    title: Untrusted
    evidence: tuple[Measurement, ...] = Field(min_length=1)
    suspects: tuple[Suspect, ...] = ()
    steps: tuple[Step, ...] = Field(min_length=1)
    affected: Affected | None = None
    """How much of a whole the trouble touches, where the agent can tell."""
    lineage: tuple[str, ...] = Field(default=(), max_length=20)
    """The runs whose effects led here, oldest first, as far as the agent can tell; the ledger adds what led
    to the oldest. Empty when no agent's effect is behind the trouble."""
    requesters: tuple[str, ...] = Field(default=(), max_length=MAX_REQUESTERS)
    """People who must not approve any step: git addresses and logins of who is behind the trouble."""
    flag_under_test: str | None = None
    """The flag to force on when the repair is checked against the declared probes."""

    def barred(self, step: Step) -> tuple[str, ...]:
        """Who must not approve the step; whoever must not approve any comes first."""
        return tuple(dict.fromkeys((*self.requesters, *step.requesters)))[:MAX_REQUESTERS]

    def digest(self) -> str:
        """Names the exact content; approvals are bound to it."""
        return digest(self)


class NoAction(Frozen):
    """An agent looked and proposes nothing."""

    why: str
