"""Looking at the world: whether an effect happened, when nobody is left who could say so.

Reads only. The reconciler settles reservations by it whose run has ended without a word, and agents in
observe mode are scored by it: did people do the same?
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import typed_failures
from activities.ports import Changes, Flags
from activities.pulse import with_pulse
from activities.track_port import Track
from leverframe.model.changes import Change
from leverframe.model.errors import NotFound
from leverframe.model.facts import FlagState, LandedCommit
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import overlay_branch, quarantine_branch, revert_branch
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import ChangeQuarantine, Effect, FlipFlag, RevertChange, RollBack
from leverframe.model.topology import Repository

RECENT_CHANGES = 200
"""How far back a change of ours is looked for."""

RELEASE_ENDS_WITHIN = timedelta(hours=24)
"""A release that has not ended by then is not waited for: as the run does that waits for one itself."""

OVERLAYS_BACK = 50
"""How many commits that production has named are looked through."""

_PATIENCE = timedelta(seconds=10)

RunState = Literal["running", "closed", "unknown"]


class Look(Frozen):
    """Which effect to look for."""

    repository: Slug
    effect: Effect | None
    """None: a change of a quarantine file, which only its reservation's branch tells of."""
    reservation: str | None = None
    """Whose; None for one that was only thought of, in observe mode."""
    since: Instant
    """When it was reserved, or thought of."""


class Sighted(Frozen):
    """What the world says."""

    happened: Literal["yes", "no", "unknown"]
    """`yes`: the world is, or was since, as the effect wants it. `unknown`: look again later."""
    by_reservation: bool
    """It was this reservation that did it, not somebody else."""
    outcome: Outcome | None
    """How the reservation ended; None while unknown."""
    detail: str
    """One sentence."""


class LookActivities:
    """Runs on the hands queue."""

    def __init__(
        self,
        *,
        changes: Changes,
        track: Track,
        flags: Flags,
        repositories: Mapping[str, Repository],
        client: Client,
    ) -> None:
        self._changes = changes
        self._track = track
        self._flags = flags
        self._repositories = repositories
        self._client = client

    @activity.defn(name="look")
    @typed_failures
    @with_pulse
    def look(self, look: Look) -> Sighted:
        """Whether the effect happened, and how its reservation ended. Raises NotFound."""
        match look.effect:
            case FlipFlag() as flip:
                return self._flag(look, flip)
            case RollBack() as back:
                return self._overlay(look, back)
            case RevertChange() as revert:
                return self._revert(look, revert)
            case ChangeQuarantine() | None:
                return self._quarantine(look)

    @activity.defn(name="run_state")
    async def run_state(self, run: str) -> RunState:
        """Whether a run still goes on; `unknown` when the engine does not say."""
        try:
            described = await self._client.get_workflow_handle(run).describe(rpc_timeout=_PATIENCE)
        except RPCError as error:
            # A history that was deleted after its retention can't act any more.
            return "closed" if error.status is RPCStatusCode.NOT_FOUND else "unknown"
        return "running" if described.status is WorkflowExecutionStatus.RUNNING else "closed"

    def _flag(self, look: Look, flip: FlipFlag) -> Sighted:
        state = next((state for state in self._flags.list() if state.flag == flip.flag), None)
        if state is None:
            return _unknown(f"the flag backend does not know {flip.flag}")
        word = "on" if state.on else "off"
        so = state.on == flip.on
        if look.reservation is not None and state.changed_by == look.reservation:
            if so:
                return _done(f"{flip.flag} is {word}, switched by this reservation")
            detail = f"{flip.flag} is {word} again: a hand undid what this reservation switched"
            return _ended(Outcome.ROLLED_BACK, detail)
        return _flag_of_others(look, flip, state)

    def _overlay(self, look: Look, back: RollBack) -> Sighted:
        repository = self._repository(look.repository)
        if look.reservation is not None:
            branch = overlay_branch("production", back.to, look.reservation)
            if (change := self._change(repository, branch)) is not None:
                return self._of(repository, change)
        live = self._track.overlay_sha(repository, "production")
        if live == back.to:
            return _by_others(
                f"production's overlay names {back.to[:12]}, but no change of this reservation did it"
            )
        return _nothing(f"production's overlay names {(live or 'no commit')[:12]}, not {back.to[:12]}")

    def _revert(self, look: Look, revert: RevertChange) -> Sighted:
        repository = self._repository(look.repository)
        if look.reservation is not None:
            branch = revert_branch(revert.commit, look.reservation)
            if (change := self._change(repository, branch)) is not None:
                return self._of(repository, change)
        undone = self._track.reverted_in(repository, commit=revert.commit, since=look.since)
        if undone is not None:
            return _by_others(f"{undone[:12]} on {repository.target} reverts {revert.commit[:12]}")
        return _nothing(f"nothing on {repository.target} reverts {revert.commit[:12]}")

    def _quarantine(self, look: Look) -> Sighted:
        if look.reservation is None:
            # The ledger keeps no name of a test, so that a no would be as untrue as a yes.
            return _unknown("which tests an observing agent would have quarantined is not kept")
        repository = self._repository(look.repository)
        change = self._change(repository, quarantine_branch(look.reservation))
        return (
            self._of(repository, change) if change else _nothing("no change of this reservation was opened")
        )

    def _of(self, repository: Repository, change: Change) -> Sighted:
        """The change that the reservation opened. Only a landed one did something."""
        match change.state:
            case "landed":
                return self._landed(repository, change)
            case "open":
                return _unknown(f"{change.id} is open: it may still land")
            case "closed":
                detail = f"{change.id} was closed without landing"
                return Sighted(happened="no", by_reservation=False, outcome=Outcome.REJECTED, detail=detail)
            case "ejected":
                return _nothing(f"the train took {change.id} off")

    def _landed(self, repository: Repository, change: Change) -> Sighted:
        """A landed change is as good as its release, unless there is nothing of it to release."""
        recent = self._track.commits(repository, limit=RECENT_CHANGES)
        landed = next((commit for commit in recent if commit.sha == change.landed_as), None)
        if landed is None:
            return _unknown(f"{change.id} landed, but not as one of the last {RECENT_CHANGES} commits")
        said = f"{change.id} landed as {landed.sha[:12]}"
        if repository.delivers_nothing(landed.paths):
            return _done(said)
        return self._released(repository, landed, said)

    def _released(self, repository: Repository, landed: LandedCommit, said: str) -> Sighted:
        """How its release ended, by the commits that production's overlay has named.

        While it is in canary the overlay names it, too, so that only time, or a later commit that contains
        it, tells that it stays.
        """
        named = self._track.overlay_history(repository, "production", limit=OVERLAYS_BACK)
        young = datetime.now(UTC) - landed.landed_at < RELEASE_ENDS_WITHIN
        if landed.sha in named:
            since = named[: named.index(landed.sha)]
            back = next((sha for sha in since if not self._contains(repository, sha, landed.sha)), None)
            if back is not None:
                return _ended(Outcome.ROLLED_BACK, f"{said}; production was put back to {back[:12]}")
            if since or not young:
                return _done(f"{said} and stayed in production")
            return _unknown(f"{said} and is in production, but may still be in canary")
        if young:
            return _unknown(f"{said}: it may still reach production")
        if named and self._contains(repository, named[0], landed.sha):
            return _ended(Outcome.SUPERSEDED, f"{said}; {named[0][:12]} took it to production")
        return _ended(Outcome.FAILED, f"{said}, and never reached production")

    def _contains(self, repository: Repository, sha: str, commit: str) -> bool:
        """Whether `sha` comes after the commit; one that the repository does not have does not."""
        try:
            return self._track.is_ancestor(repository, ancestor=commit, descendant=sha)
        except NotFound:
            return False

    def _change(self, repository: Repository, branch: str) -> Change | None:
        recent = self._changes.list_changes(repository.name, limit=RECENT_CHANGES)
        return next((change for change in recent if change.branch == branch), None)

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]


def _flag_of_others(look: Look, flip: FlipFlag, state: FlagState) -> Sighted:
    """A flag that somebody else switched last, or nobody. A hand in the file leaves no time behind."""
    word = "on" if state.on else "off"
    touched = state.changed_at is not None and state.changed_at >= look.since
    if state.on == flip.on:
        return _by_others(f"{flip.flag} is {word}, but this reservation did not switch it last")
    if touched:
        detail = f"{flip.flag} is {word}: somebody else switched it after this was reserved"
        return Sighted(happened="no", by_reservation=False, outcome=Outcome.SUPERSEDED, detail=detail)
    return _nothing(f"{flip.flag} is {word}, and nobody has switched it since")


def _done(detail: str) -> Sighted:
    return _ended(Outcome.LANDED, detail)


def _ended(outcome: Outcome, detail: str) -> Sighted:
    """The reservation did it, and this is what became of that."""
    return Sighted(happened="yes", by_reservation=True, outcome=outcome, detail=detail)


def _by_others(detail: str) -> Sighted:
    return Sighted(happened="yes", by_reservation=False, outcome=Outcome.SUPERSEDED, detail=detail)


def _nothing(detail: str) -> Sighted:
    return Sighted(happened="no", by_reservation=False, outcome=Outcome.FAILED, detail=detail)


def _unknown(detail: str) -> Sighted:
    return Sighted(happened="unknown", by_reservation=False, outcome=None, detail=detail)
