"""A track on a `GitWorld`, and a car's way with it in one line."""

from datetime import datetime, timedelta
from pathlib import Path

from activities.backends.track_git import GitTrack
from leverframe.model.changes import Author, Car, Receipt
from leverframe.model.topology import Repository
from leverframe.model.trains import Method
from tests.fakes.git_world import AT, GitWorld, passed

ADA = Author(kind="person", name="ada")
NEW_SHA = "b" * 40


def track_at(root: Path, home: str = "one", seconds: float = 30) -> GitTrack:
    """A track with mirrors and artifacts of its own below `root/home`."""
    limit = timedelta(seconds=seconds)
    return GitTrack(mirrors=root / home / "mirrors", artifacts=root / home / "artifacts", timeout=limit)


def compose(
    track: GitTrack, world: GitWorld, head: str, *, method: Method = "merge", **about: str | int
) -> Car:
    """The car of a change with that head, on the target's tip."""
    shop = world.repository
    change = world.change(head, **about)  # type: ignore[arg-type]  # names match `change`'s
    car = track.compose(shop, change=change, base=track.tip(shop), at=AT, method=method)
    assert isinstance(car, Car)
    return car


def land(track: GitTrack, shop: Repository, car: Car, author: Author = ADA, *, at: datetime = AT) -> Receipt:
    """Land it with its one check passed."""
    return track.land(shop, car=car, checks=[passed(car.sha)], author=author, at=at)
