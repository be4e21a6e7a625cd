"""What happened to each deployment, read off the records: when it was live, and whether it failed.

A *deployment* is a release that production's requests could reach. It *failed* when somebody had to step in
at once: it was taken back on its way up, or within a week after it was live production was pointed back,
its change was reverted, or a hotfix followed. Order and repetition of the records don't matter.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

from leverframe.model.deployments import DeploymentHistory, DeploymentRecord, Repointing
from leverframe.model.frozen import Frozen, Instant

IMMEDIATE = timedelta(days=7)
"""An intervention that begins later after a deployment is not counted against it."""


class Failure(Frozen):
    """That a deployment needed somebody to step in."""

    kind: Literal["caught", "escaped"]
    """`caught`: fewer than all of production's requests had reached it."""
    how: Literal["taken_back", "pointed_back", "reverted", "hotfixed", "replaced"]
    """`replaced`: another commit was stable when the next release came, and no record says why."""
    recovered_at: Instant | None = None
    """When users were served by something else; None: nobody recorded it."""


class Deployment(Frozen):
    """One release that reached production and has ended."""

    record: DeploymentRecord
    entered_at: Instant
    ended_at: Instant
    """When it was live at 100 %, or every request was back on stable."""
    failure: Failure | None = None

    @property
    def landed(self) -> bool:
        """Whether it became stable at 100 %."""
        return self.record.outcome == "landed"

    @property
    def recovery(self) -> timedelta | None:
        """From the first request that could reach it until it served none: an upper bound of the time that
        users met the fault, since nobody knows when it began."""
        if self.failure is None or self.failure.recovered_at is None:
            return None
        return max(self.failure.recovered_at - self.entered_at, timedelta(0))


class Shipped(Frozen):
    """One change that came to be live."""

    record: DeploymentRecord
    live_at: Instant


class Past(Frozen):
    """One service's past."""

    service: str
    known_from: Instant
    shas: frozenset[str]
    """Every commit that is on record."""
    deployments: tuple[Deployment, ...]
    """In the order of their end."""
    shipped: tuple[Shipped, ...]
    under_way: int
    superseded: tuple[Instant, ...]
    """When a newer commit took the place of one that had not come to its end."""
    stopped: tuple[Instant, ...]
    """When one failed before production was touched."""


def pasts(history: DeploymentHistory) -> tuple[Past, ...]:
    """The past of each service, by name."""
    records = _distinct(history.deployments)
    services = sorted({record.service for record in records})
    return tuple(
        _past(
            service,
            [record for record in records if record.service == service],
            [moved for moved in history.repointings if moved.service == service],
        )
        for service in services
    )


def _past(service: str, records: Sequence[DeploymentRecord], moves: Sequence[Repointing]) -> Past:
    """`records` in the order of their landing."""
    landed = [(record, record.live_at) for record in records if record.outcome == "landed" and record.live_at]
    failures = _Failures(records, moves).found()
    deployments = [
        deployment
        for record in records
        if (deployment := _deployment(record, failures.get(record.sha))) is not None
    ]
    ended = {
        kind: tuple(
            sorted(
                record.ended_at
                for record in records
                if record.outcome == kind
                and record.ended_at
                and (kind == "superseded" or not record.entered_at)
            )
        )
        for kind in ("superseded", "failed")
    }
    return Past(
        service=service,
        known_from=min(record.began_at for record in records),
        shas=frozenset(record.sha for record in records),
        deployments=tuple(sorted(deployments, key=lambda each: (each.ended_at, each.record.sequence))),
        shipped=tuple(
            Shipped(record=record, live_at=at)
            for record in records
            if (at := _live_at(record, landed, records)) is not None
        ),
        under_way=sum(record.outcome is None for record in records),
        superseded=ended["superseded"],
        stopped=ended["failed"],
    )


def _distinct(records: Iterable[DeploymentRecord]) -> list[DeploymentRecord]:
    """Each release once, as it is known best, in the order of landing."""
    best: dict[tuple[str, str], DeploymentRecord] = {}
    for record in records:
        key = (record.service, record.sha)
        if key not in best or _knows(record) > _knows(best[key]):
            best[key] = record
    return sorted(best.values(), key=lambda record: (record.service, record.sequence, record.sha))


def _knows(record: DeploymentRecord) -> tuple[bool, str]:
    return record.ended_at is not None, record.model_dump_json()


def _deployment(record: DeploymentRecord, failure: Failure | None) -> Deployment | None:
    if record.entered_at is None or record.outcome in (None, "superseded"):
        return None
    if record.outcome == "landed":
        ended_at = record.live_at or record.ended_at
    else:
        ended_at = record.recovered_at or record.ended_at
        reached_all = record.reached_percent == 100
        failure = Failure(
            kind="escaped" if reached_all else "caught", how="taken_back", recovered_at=record.recovered_at
        )
    if ended_at is None:
        return None
    return Deployment(record=record, entered_at=record.entered_at, ended_at=ended_at, failure=failure)


def _live_at(
    record: DeploymentRecord,
    landed: Sequence[tuple[DeploymentRecord, Instant]],
    records: Sequence[DeploymentRecord],
) -> Instant | None:
    """When a change first served everybody: with its own release, or with a later one that contains it."""
    if record.author.kind == "release":
        return None
    undone = min((other.sequence for other in records if other.reverts == record.sha), default=None)
    moments = [
        at
        for release, at in landed
        if release.sequence >= record.sequence and (undone is None or release.sequence < undone)
    ]
    return min(moments, default=None)


class _Failures:
    """Walks through one service's past and finds what was undone after it was live."""

    def __init__(self, records: Sequence[DeploymentRecord], moves: Sequence[Repointing]) -> None:
        self._by_sha = {record.sha: record for record in records}
        self._records = records
        self._moves = moves
        self._live: DeploymentRecord | None = None
        self._found: dict[str, Failure] = {}

    def found(self) -> dict[str, Failure]:
        """SHA of each deployment that was live and failed → how."""
        steps: list[tuple[Instant, int, str, DeploymentRecord | Repointing]] = []
        for record in self._records:
            if record.entered_at is not None:
                steps.append((record.entered_at, 0, record.sha, record))
            if record.outcome == "landed" and record.live_at is not None:
                steps.append((record.live_at, 1, record.sha, record))
        steps += [(moved.landed_at, 2, moved.landed_as, moved) for moved in self._moves]
        for at, rank, _, what in sorted(steps, key=lambda step: step[:3]):
            if isinstance(what, Repointing):
                self._pointed(what)
            elif rank == 0:
                self._enters(what)
            else:
                self._steps_in(what, at)
                self._live = what
        for record in self._records:
            if record.entered_at is not None and record.outcome in ("rolled_back", "failed"):
                self._tried(record)
        return self._found

    def _pointed(self, moved: Repointing) -> None:
        """A hand pointed production at a commit: back, unless it landed after what is live."""
        live, named = self._live, self._by_sha.get(moved.named)
        if live is None or moved.named == live.sha:
            return
        if named is None or named.sequence < live.sequence:
            self._fail(live, "pointed_back", moved.landed_at, moved.landed_at)
        self._live = named

    def _enters(self, record: DeploymentRecord) -> None:
        """What a release found stable tells when something was undone without a record."""
        live, stable = self._live, record.replaced
        if live is None or stable is None or live.sha in (stable, record.sha):
            return
        named = self._by_sha.get(stable)
        if named is None or named.sequence < live.sequence:
            self._fail(live, "replaced", record.entered_at, None)
        self._live = named

    def _steps_in(self, record: DeploymentRecord, effective_at: Instant | None) -> None:
        """An unplanned release says that what it mends had failed."""
        if record.rework is None:
            return
        mended = self._mended(record)
        if mended is not None:
            how: Literal["reverted", "hotfixed"] = "reverted" if record.rework == "revert" else "hotfixed"
            self._fail(mended, how, record.opened_at or record.landed_at, effective_at)

    def _tried(self, record: DeploymentRecord) -> None:
        """One that was taken back itself has mended nothing, but somebody had to step in."""
        self._steps_in(record, None)

    def _mended(self, record: DeploymentRecord) -> DeploymentRecord | None:
        """What was live with the fault, if anything was.

        That is what brought the reverted commit. Otherwise it is the newest release that users met before the
        change landed; one that was taken back on its way up has left nothing to mend in what was live.
        """
        before = [other for other in self._records if other.entered_at and other.sequence < record.sequence]
        undone = self._by_sha.get(record.reverts) if record.reverts else None
        if undone is not None:
            brought = [
                other for other in before if other.outcome == "landed" and other.sequence >= undone.sequence
            ]
            return min(brought, key=lambda other: other.sequence, default=None)
        met = [other for other in before if other.entered_at and other.entered_at <= record.landed_at]
        newest = max(met, key=lambda other: other.sequence, default=None)
        return newest if newest is not None and newest.outcome == "landed" else None

    def _fail(
        self,
        record: DeploymentRecord,
        how: Literal["pointed_back", "reverted", "hotfixed", "replaced"],
        began_at: Instant | None,
        recovered_at: Instant | None,
    ) -> None:
        """The first thing that helped is what ended it."""
        live_at = record.live_at
        if live_at is None or began_at is None or began_at - live_at > IMMEDIATE:
            return
        known = self._found.get(record.sha)
        if known is None or (
            recovered_at is not None and (known.recovered_at is None or recovered_at < known.recovered_at)
        ):
            self._found[record.sha] = Failure(kind="escaped", how=how, recovered_at=recovered_at)
