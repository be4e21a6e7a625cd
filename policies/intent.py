"""Intent: what the rules look at in a request to reserve an effect."""

from pydantic import Field

from leverframe.model.differences import TreeDifference
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.ids import digest
from leverframe.model.proposals import (
    Affected,
    Amending,
    ChangeQuarantine,
    Cost,
    Effect,
    FlipFlag,
    Lever,
    Measurement,
    RevertChange,
    RollBack,
)
from policies.decision import ReserveRequest
from policies.rules import Direction


class QuarantineIntent(Frozen):
    """What the rules look at in a change of a quarantine file."""

    enter: int = Field(ge=0)
    """Tests."""
    leave: int = Field(ge=0)
    standing: int = Field(ge=0)
    """Tests that the file names afterwards."""
    suite: int = Field(ge=0)
    """Tests that there are."""
    days: int = 0
    """After so many days the last of those that enter expires."""
    weakest: int = 0
    """The least evidence of those that enter."""
    paths: tuple[str, ...] = ()
    """The files of those that enter, each once; empty for one that is not known."""
    markers: tuple[str, ...] = ()
    unmarked: int = Field(default=0, ge=0)
    """Tests that enter and whose marks nobody has told."""
    unhealed: int = Field(default=0, ge=0)
    """Tests that enter though their last quarantine ended before they had healed."""
    renew: int = Field(default=0, ge=0)
    """Entries that expire later. `paths`, `markers` and `unmarked` are of these and of those that hide more,
    too."""
    hide: int = Field(default=0, ge=0)
    """Entries that hide more failures."""

    @property
    def loosens(self) -> int:
        """Tests of which more failures are hidden, or for longer: what no rule speaks of is denied."""
        return self.enter + self.renew + self.hide

    @classmethod
    def of(cls, effect: ChangeQuarantine) -> "QuarantineIntent":
        """The same for the same change, in whatever order its tests stand."""
        entries = [one.entry for one in effect.enter]
        of = [one for one in effect.written if not isinstance(one, Amending) or one.loosens]
        hiding = [one for one in effect.amend if one.hides]
        weighed = [one.strength for one in effect.enter] + [one.strength for one in hiding]
        lasting = [(entry.expires - entry.since).days for entry in entries]
        lasting += [(one.entry.expires - one.on).days for one in effect.renewals]
        return cls(
            enter=len(effect.enter),
            leave=len(effect.leave),
            standing=effect.quarantined,
            suite=effect.tests,
            days=max(lasting, default=0),
            weakest=min(weighed, default=0),
            paths=tuple(sorted({one.path for one in of})),
            markers=tuple(sorted({marker for one in of for marker in one.markers or ()})),
            unmarked=sum(one.markers is None for one in of),
            unhealed=sum(one.unhealed for one in effect.enter),
            renew=len(effect.renewals),
            hide=len(hiding),
        )


class Intent(Frozen):
    """What the rules look at in a request."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    request_digest: str
    effect_digest: str
    flag: str | None = None
    direction: Direction | None = None
    commit: Sha | None = None
    """What a revert undoes, or what a rollback goes back to."""
    quarantine: QuarantineIntent | None = None
    difference: TreeDifference | None = None
    cost: Cost | None = None
    evidence: tuple[Measurement, ...] = ()
    affected: Affected | None = None
    lineage: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: ReserveRequest) -> "Intent":
        """The intent of a request. Two requests with equal digests ask for the same thing."""
        effect = request.effect
        flip = effect if isinstance(effect, FlipFlag) else None
        return cls(
            agent=request.agent,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            lever=request.lever,
            request_digest=request.digest,
            effect_digest=digest(effect),
            flag=flip.flag if flip else None,
            direction=("to_on" if flip.on else "to_off") if flip else None,
            commit=_commit(effect),
            quarantine=QuarantineIntent.of(effect) if isinstance(effect, ChangeQuarantine) else None,
            difference=request.difference,
            cost=request.cost,
            evidence=request.evidence,
            affected=request.affected,
            lineage=request.lineage,
            requesters=request.requesters,
        )

    @property
    def tests(self) -> int:
        """How many tests would enter the quarantine."""
        return self.quarantine.enter if self.quarantine else 0

    def effect(self) -> Effect | None:
        """What would be done, without the words around it: enough to look whether it was.

        None for a change of a quarantine, of which the ledger keeps only how large it is.
        """
        if self.quarantine is not None:
            return None
        if self.flag is not None:
            return FlipFlag(flag=self.flag, on=self.direction == "to_on")
        if self.commit is None:
            raise BadInput(f"the intent of {self.agent} on {self.subject} names neither a flag nor a commit")
        if self.lever is Lever.ROLL_BACK:
            return RollBack(service=self.service, to=self.commit)
        return RevertChange(repository=self.repository, commit=self.commit, title="", body="")


def _commit(effect: Effect) -> str | None:
    match effect:
        case RollBack():
            return effect.to
        case RevertChange():
            return effect.commit
        case FlipFlag() | ChangeQuarantine():
            return None
