"""A small history made by hand: eight changes of a shop, and one of a till. Times count from Monday."""

from datetime import UTC, datetime, timedelta

from leverframe.model.changes import Author
from leverframe.model.deployments import DeploymentHistory, DeploymentRecord, Repointing

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
ADA = Author(kind="person", name="ada")
SPIKE = Author(kind="agent", name="sentry_spike")


def at(day: int, minute: int = 0) -> datetime:
    """So many days and minutes after Monday, 00:00 UTC."""
    return MONDAY + timedelta(days=day, minutes=minute)


def sha(number: int) -> str:
    """The commit of the change with that number."""
    return f"{number:040x}"


def release(number: int, begun: datetime, **given: object) -> DeploymentRecord:
    """A change that was written an hour before its release began, and opened half an hour before."""
    fields: dict[str, object] = {
        "repository": "shop",
        "service": "shop",
        "sha": sha(number),
        "sequence": number,
        "change": f"shop/{number}",
        "author": ADA,
        "committed_at": begun - timedelta(minutes=60),
        "opened_at": begun - timedelta(minutes=30),
        "landed_at": begun,
        "began_at": begun,
    }
    return DeploymentRecord.model_validate(fields | given)


def landed(number: int, begun: datetime, minutes: int = 20, **given: object) -> DeploymentRecord:
    """Live at 100 % after so many minutes; its first request came five minutes after it began."""
    return release(
        number,
        begun,
        entered_at=begun + timedelta(minutes=5),
        live_at=begun + timedelta(minutes=minutes),
        ended_at=begun + timedelta(minutes=minutes + 1),
        outcome="landed",
        reached_percent=100,
        **given,
    )


def taken_back(number: int, begun: datetime, percent: int = 5, **given: object) -> DeploymentRecord:
    """Every request was back ten minutes after the first one had come."""
    return release(
        number,
        begun,
        entered_at=begun + timedelta(minutes=5),
        recovered_at=begun + timedelta(minutes=15),
        ended_at=begun + timedelta(minutes=25),
        outcome="rolled_back",
        reached_percent=percent,
        **given,
    )


def superseded(number: int, begun: datetime) -> DeploymentRecord:
    """A newer one was in production first."""
    return release(number, begun, ended_at=begun + timedelta(minutes=2), outcome="superseded")


def pointed(number: int, to: int, moment: datetime) -> Repointing:
    """An agent pointed production at the commit of another change."""
    return Repointing(
        service="shop",
        landed_as=f"{number:039x}f",
        named=sha(to),
        change=f"shop/{number}",
        author=SPIKE,
        landed_at=moment,
    )


SHOP = (
    landed(1, at(0)),
    superseded(2, at(1)),
    landed(3, at(1, 1), 40),
    taken_back(4, at(2)),
    landed(5, at(3), rework="revert", reverts=sha(4)),
    landed(6, at(4)),
    landed(7, at(4, 100), rework="hotfix"),
    landed(8, at(8)),
    release(9, at(9), outcome="failed", ended_at=at(9, 3)),
    release(10, at(9, 30)),
)
TILL = landed(1, at(2), service="till", repository="till", change="till/1")

HISTORY = DeploymentHistory(deployments=(*SHOP, TILL), repointings=(pointed(80, 7, at(8, 60)),))
