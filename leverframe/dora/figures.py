"""The five figures of a time, for each service and for all together. Pure; what can't be said is not zero."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from pydantic import Field

from leverframe.dora.definitions import DEFINITIONS, NOTES, Definition
from leverframe.dora.history import Deployment, Past, Shipped, pasts
from leverframe.dora.measures import Rate, Spans
from leverframe.model.deployments import DeploymentHistory
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Instant

DAY = timedelta(days=1)


class Frequency(Frozen):
    """How often changes became live."""

    deployments: int = Field(ge=0)
    """That became live at 100 %."""
    per_day: Decimal | None = None
    time_between: Spans
    why: str = ""


class LeadTime(Frozen):
    """How long a change took until it was live at 100 % of production."""

    from_commit: Spans
    """Since the oldest of its commits, by its author's clock."""
    from_opened: Spans
    """Since it was opened on the forge."""
    unusable: int = Field(default=0, ge=0)
    """Changes with a commit dated after they were live."""


class FailureRate(Frozen):
    """How many deployments needed somebody, or the gate, to step in."""

    all: Rate
    escaped: Rate
    """Had reached everybody."""
    caught_in_canary: Rate
    """Taken back before they had."""


class RecoveryTime(Frozen):
    """From the first request that could reach a failed deployment until it served none."""

    all: Spans
    escaped: Spans
    caught_in_canary: Spans
    unknown: int = Field(default=0, ge=0)
    """Failed deployments of which no record says when users were well again."""


class ReworkRate(Frozen):
    """How many deployments were unplanned and due to a fault that users met."""

    all: Rate
    hotfix: int = 0
    revert: int = 0
    repair: int = 0


class Week(Frozen):
    """One week, from Monday 00:00 UTC, as far as it lies in the time asked for."""

    begins: date
    deployments: int = 0
    caught: int = 0
    escaped: int = 0
    rework: int = 0


class Figures(Frozen):
    """The figures of one service, or of all together."""

    service: str | None
    """None: all services."""
    known_from: Instant | None
    """When the records begin."""
    deployment_frequency: Frequency
    lead_time: LeadTime
    change_failure_rate: FailureRate
    failed_deployment_recovery_time: RecoveryTime
    rework_rate: ReworkRate
    under_way: int
    superseded: int
    """Releases whose commit came to production with a newer one."""
    stopped_before_production: int
    weeks: tuple[Week, ...]


class Report(Frozen):
    """What the records say of a time: since `since`, before `until`."""

    since: Instant
    until: Instant
    total: Figures
    services: tuple[Figures, ...]
    definitions: tuple[Definition, ...] = DEFINITIONS
    notes: tuple[str, ...] = NOTES


def report(
    history: DeploymentHistory, *, since: datetime, until: datetime, service: str | None = None
) -> Report:
    """Count. `service` leaves the others out.

    Raises:
        BadInput: the time has no length.
    """
    if since >= until:
        raise BadInput(f"the time asked for is empty: it begins at {since} and ends at {until}")
    window = _Window(since, until)
    known = [past for past in pasts(history) if service in (None, past.service)]
    return Report(
        since=since,
        until=until,
        total=window.figures(None, known),
        services=tuple(window.figures(past.service, [past]) for past in known),
    )


class _Window:
    """What of the past lies in the time asked for."""

    def __init__(self, since: datetime, until: datetime) -> None:
        self._since, self._until = since, until

    def figures(self, service: str | None, known: Sequence[Past]) -> Figures:
        ended = sorted(
            (each for past in known for each in past.deployments if self._holds(each.ended_at)),
            key=lambda each: (each.ended_at, each.record.service, each.record.sequence),
        )
        known_from = min((past.known_from for past in known), default=None)
        shipped = [each for past in known for each in past.shipped if self._holds(each.live_at)]
        rework = [each for each in ended if _is_rework(each, known)]
        return Figures(
            service=service,
            known_from=known_from,
            deployment_frequency=self._frequency(ended, known_from),
            lead_time=_lead_time(shipped),
            change_failure_rate=_failure_rate(ended),
            failed_deployment_recovery_time=_recovery_time(ended),
            rework_rate=_rework_rate(rework, len(ended)),
            under_way=sum(past.under_way for past in known),
            superseded=self._count(at for past in known for at in past.superseded),
            stopped_before_production=self._count(at for past in known for at in past.stopped),
            weeks=self._weeks(ended, rework),
        )

    def _holds(self, at: datetime) -> bool:
        return self._since <= at < self._until

    def _count(self, moments: Iterable[datetime]) -> int:
        return sum(map(self._holds, moments))

    def _frequency(self, ended: Sequence[Deployment], known_from: datetime | None) -> Frequency:
        live = [each.ended_at for each in ended if each.landed]
        between = Spans.of((later - sooner for sooner, later in pairwise(live)), what="two deployments")
        begins = None if known_from is None else max(self._since, known_from)
        if begins is None or begins >= self._until:
            why = "not enough data: no release is on record for this time"
            return Frequency(deployments=len(live), time_between=between, why=why)
        known = self._until - begins
        if known < DAY:
            why = f"not enough data: the records cover {_hours(known)} h, and a rate by the day needs a day"
            return Frequency(deployments=len(live), time_between=between, why=why)
        per_day = Decimal(len(live)) * 86_400_000_000 / (known // timedelta(microseconds=1))
        why = "" if begins == self._since else f"by the days on record, since {begins:%Y-%m-%d %H:%M} UTC"
        return Frequency(
            deployments=len(live), per_day=per_day.quantize(Decimal("0.001")), time_between=between, why=why
        )

    def _weeks(self, ended: Sequence[Deployment], rework: Sequence[Deployment]) -> tuple[Week, ...]:
        weeks = []
        monday = _monday(self._since)
        while datetime(monday.year, monday.month, monday.day, tzinfo=UTC) < self._until:
            here = [each for each in ended if _monday(each.ended_at) == monday]
            kinds = [each.failure.kind for each in here if each.failure]
            weeks.append(
                Week(
                    begins=monday,
                    deployments=sum(each.landed for each in here),
                    caught=kinds.count("caught"),
                    escaped=kinds.count("escaped"),
                    rework=sum(_monday(each.ended_at) == monday for each in rework),
                )
            )
            monday += timedelta(days=7)
        return tuple(weeks)


def _lead_time(shipped: Sequence[Shipped]) -> LeadTime:
    from_commit = [
        each.live_at - each.record.committed_at for each in shipped if each.record.committed_at is not None
    ]
    from_opened = [
        each.live_at - each.record.opened_at for each in shipped if each.record.opened_at is not None
    ]
    nothing = timedelta(0)
    return LeadTime(
        from_commit=Spans.of((span for span in from_commit if span >= nothing), what="change became live"),
        from_opened=Spans.of((span for span in from_opened if span >= nothing), what="change became live"),
        unusable=sum(span < nothing for span in from_commit),
    )


def _failure_rate(ended: Sequence[Deployment]) -> FailureRate:
    kinds = [each.failure.kind for each in ended if each.failure]
    return FailureRate(
        all=Rate.among(len(kinds), len(ended)),
        escaped=Rate.among(kinds.count("escaped"), len(ended)),
        caught_in_canary=Rate.among(kinds.count("caught"), len(ended)),
    )


def _recovery_time(ended: Sequence[Deployment]) -> RecoveryTime:
    spans = {
        kind: [
            each.recovery
            for each in ended
            if each.failure and each.failure.kind == kind and each.recovery is not None
        ]
        for kind in ("escaped", "caught")
    }
    failed = sum(each.failure is not None for each in ended)
    recovered = [*spans["escaped"], *spans["caught"]]
    return RecoveryTime(
        all=Spans.of(recovered, what="failed deployment was recovered from"),
        escaped=Spans.of(spans["escaped"], what="failure that reached everybody was recovered from"),
        caught_in_canary=Spans.of(spans["caught"], what="release was taken back on its way up"),
        unknown=failed - len(recovered),
    )


def _is_rework(deployment: Deployment, known: Sequence[Past]) -> bool:
    """Unplanned, and due to something that users met: what never reached production is no incident there."""
    record = deployment.record
    if record.rework != "revert" or record.reverts is None:
        return record.rework is not None
    past = next(past for past in known if past.service == record.service)
    met = {each.record.sha for each in past.shipped} | {each.record.sha for each in past.deployments}
    return record.reverts in met or record.reverts not in past.shas


def _rework_rate(rework: Sequence[Deployment], of: int) -> ReworkRate:
    kinds = [each.record.rework for each in rework]
    return ReworkRate(
        all=Rate.among(len(kinds), of),
        hotfix=kinds.count("hotfix"),
        revert=kinds.count("revert"),
        repair=kinds.count("repair"),
    )


def _monday(at: datetime) -> date:
    day = at.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def _hours(span: timedelta) -> int:
    return span // timedelta(hours=1)
