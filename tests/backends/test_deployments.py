"""The book of deployments: what is kept of a release, over a real store and real git."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from temporalio.exceptions import ApplicationError

from activities.backends.changes_store import ChangesStore
from activities.backends.deployments_store import DeploymentsStore
from activities.backends.store_tables import deployments
from activities.backends.track_git import GitTrack
from activities.deployments import DeploymentActivities, rework
from activities.forge import ForgeActivities
from leverframe.model.changes import Author, Car, CarLanded, ChangeSpec, Priority, Receipt
from leverframe.model.deployments import (
    ChangeOrigin,
    DeploymentHistory,
    DeploymentRecord,
    Moments,
    ReleaseEntry,
    Repointing,
)
from leverframe.model.errors import Conflict
from tests.fakes.git_world import AT, FIRST_SHA, OVERLAY, GitWorld
from tests.fakes.tracks import land

ADA = Author(kind="person", name="ada")
SPIKE = Author(kind="agent", name="sentry_spike")
NEW_SHA = "b" * 40


def a_record(sha: str = NEW_SHA, **given: object) -> DeploymentRecord:
    fields: dict[str, object] = {
        "repository": "shop",
        "service": "shop",
        "sha": sha,
        "sequence": 1,
        "change": "shop/1",
        "author": ADA,
        "landed_at": AT,
        "began_at": AT,
    }
    return DeploymentRecord.model_validate(fields | given)


def test_a_release_is_kept_from_its_beginning_to_its_end_and_stays_as_it_ended(engine: Engine) -> None:
    book = DeploymentsStore(engine)
    assert book.history() == DeploymentHistory()
    begun = a_record(committed_at=AT - timedelta(days=1), opened_at=AT, rework="hotfix")
    ended = begun.model_copy(
        update={
            "replaced": FIRST_SHA,
            "entered_at": AT + timedelta(minutes=1),
            "live_at": AT + timedelta(minutes=9, microseconds=1),
            "ended_at": AT + timedelta(minutes=10),
            "outcome": "landed",
            "reached_percent": 100,
            "detail": "at 100 % and marked",
        }
    )
    for told in (begun, ended, ended, begun):
        book.keep(told)
    assert book.history().deployments == (ended,)


def test_a_failed_release_that_was_begun_again_is_kept_as_it_goes_then(engine: Engine) -> None:
    book = DeploymentsStore(engine)
    failed = a_record(ended_at=AT + timedelta(minutes=1), outcome="failed", detail="the registry was away")
    again = a_record(began_at=AT + timedelta(hours=1))
    landed = again.model_copy(update={"ended_at": AT + timedelta(hours=2), "outcome": "landed"})
    for told, kept in ((failed, failed), (again, again), (landed, landed), (again, landed)):
        book.keep(told)
        assert book.history().deployments == (kept,)


def test_the_same_commit_of_two_services_is_kept_twice_and_no_text_breaks_the_store(engine: Engine) -> None:
    book = DeploymentsStore(engine)
    book.keep(a_record(detail="a\0b \u202e", ended_at=AT))
    book.keep(a_record(service="till"))
    kept = sorted(book.history().deployments, key=lambda record: record.service)
    assert [(record.service, record.detail) for record in kept] == [("shop", "ab \u202e"), ("till", "")]


def test_a_hand_that_moved_the_overlay_is_kept_once(engine: Engine) -> None:
    book = DeploymentsStore(engine)
    moved = Repointing(
        service="shop", landed_as=NEW_SHA, named=FIRST_SHA, change="shop/2", author=SPIKE, landed_at=AT
    )
    book.keep_repointing(moved)
    book.keep_repointing(moved)
    assert book.history().repointings == (moved,)


def test_a_row_that_somebody_changed_is_no_figure(engine: Engine) -> None:
    book = DeploymentsStore(engine)
    book.keep(a_record())
    with engine.begin() as connection:
        connection.execute(update(deployments).values(outcome="splendid"))
    with pytest.raises(Conflict, match="somebody changed it"):
        book.history()


class Kept:
    """The activities over a store and a repository, and what they keep."""

    def __init__(self, engine: Engine, world: GitWorld, track: GitTrack) -> None:
        self.world, self.track = world, track
        self.changes, self.book = ChangesStore(engine), DeploymentsStore(engine)
        known = {"shop": world.repository}
        self.acts = DeploymentActivities(self.book, self.changes, track, known)
        self.forge = ForgeActivities(self.changes, track, known, book=self.book)

    def landed(self, branch: str, *, author: Author = ADA, priority: Priority = Priority.NORMAL) -> Receipt:
        """A change on that branch, from its opening to its landing as the train settles it."""
        spec = ChangeSpec(
            repository="shop",
            branch=branch,
            head=self.world.git("rev-parse", branch),
            title="Do it",
            author=author,
            priority=priority,
        )
        change = self.changes.open_change(spec)
        shop = self.world.repository
        car = self.track.compose(shop, change=change, base=self.track.tip(shop), at=AT)
        assert isinstance(car, Car)
        receipt = land(self.track, shop, car, author)
        self.forge.settle_change(CarLanded(change=change.id, receipt=receipt))
        return receipt

    def record(self, receipt: Receipt) -> DeploymentRecord:
        """What is kept of its release."""
        self.acts.record(ReleaseEntry(receipt=receipt, moments=Moments(began_at=AT)))
        return next(kept for kept in self.book.history().deployments if kept.sha == receipt.sha)


@pytest.fixture
def kept(engine: Engine, world: GitWorld, track: GitTrack) -> Kept:
    return Kept(engine, world, track)


def test_a_change_begins_with_the_oldest_of_its_own_commits(kept: Kept) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    kept.world.commit("work", {"a.py": "1\n"}, message="First")
    kept.world.commit("work", {"a.py": "2\n"}, message="Second")
    first = int(kept.world.git("log", "-1", "--skip=1", "--format=%at", "work"))
    record = kept.record(kept.landed("work"))
    assert record.committed_at == datetime.fromtimestamp(first, UTC)
    assert record.opened_at is not None
    assert record.opened_at >= before
    assert (record.rework, record.reverts, record.sequence, record.outcome) == (None, None, 1, None)


def test_a_change_that_the_forge_no_longer_knows_is_kept_with_what_git_says(kept: Kept) -> None:
    kept.world.commit("work", {"a.py": "1\n"}, message="First")
    lost = kept.landed("work").model_copy(update={"change": "shop/404", "head": "f" * 40})
    record = kept.record(lost)
    assert record.committed_at is not None
    assert record.opened_at is None


def test_a_revert_names_what_it_undoes(kept: Kept) -> None:
    kept.world.commit("bad", {"bad.py": "x\n"})
    bad = kept.landed("bad")
    kept.world.commit("undo", {"bad.py": None}, message=f"Undo it\n\nThis reverts commit {bad.sha}.")
    record = kept.record(kept.landed("undo", priority=Priority.HOTFIX))
    assert (record.rework, record.reverts) == ("revert", bad.sha)


def test_what_is_unplanned_says_so_by_its_priority_or_by_the_agent_that_made_it(kept: Kept) -> None:
    for branch, author, priority in (
        ("hot", ADA, Priority.HOTFIX),
        ("mend", SPIKE, Priority.NORMAL),
        ("plan", ADA, Priority.NORMAL),
    ):
        kept.world.commit(branch, {f"{branch}.py": "x\n"})
        kept.record(kept.landed(branch, author=author, priority=priority))
    found = {record.change: record.rework for record in kept.book.history().deployments}
    assert found == {"shop/1": "hotfix", "shop/2": "repair", "shop/3": None}
    assert rework(Author(kind="agent", name="long_gone"), None, ChangeOrigin()) is None


def test_only_hands_other_than_the_release_machinery_are_kept_as_moving_production(kept: Kept) -> None:
    content = kept.world.git("show", f"main:{OVERLAY}")
    machinery = Author(kind="release", name="leverframe")
    kept.world.commit("back", {OVERLAY: content.replace("a" * 40, "c" * 40)})
    receipt = kept.landed("back", author=SPIKE, priority=Priority.HOTFIX)
    kept.world.commit("forth", {OVERLAY: content.replace("a" * 40, "d" * 40)})
    kept.landed("forth", author=machinery, priority=Priority.PROMOTION)
    kept.world.commit("code", {"a.py": "1\n"})
    kept.landed("code")
    [moved] = kept.book.history().repointings
    assert (moved.named, moved.author, moved.landed_as) == ("c" * 40, SPIKE, receipt.sha)
    assert moved.landed_at == receipt.landed_at


def test_a_release_of_an_unknown_repository_is_not_kept(kept: Kept, tmp_path: Path) -> None:
    kept.world.commit("work", {"a.py": "1\n"})
    foreign = kept.landed("work").model_copy(update={"repository": "till"})
    with pytest.raises(ApplicationError, match="'till' is not declared"):
        kept.acts.record(ReleaseEntry(receipt=foreign, moments=Moments()))


def test_the_moments_of_a_release_are_kept_the_first_time_that_they_come() -> None:
    moments, at = Moments(), {}
    for minute, (percent, promoted) in enumerate(
        [(0, False), (1, False), (25, False), (0, False), (0, False)]
    ):
        moments = moments.at_share(percent, promoted=promoted, now=AT + timedelta(minutes=minute))
        at[minute] = moments
    assert at[0] == Moments()
    assert at[2] == Moments(entered_at=AT + timedelta(minutes=1))
    assert at[4] == Moments(entered_at=AT + timedelta(minutes=1), recovered_at=AT + timedelta(minutes=3))
    top = Moments().at_share(100, promoted=False, now=AT)
    assert (top.entered_at, top.live_at) == (AT, None), "the last step is not yet the end"
    assert top.at_share(100, promoted=True, now=AT + timedelta(minutes=1)).live_at == AT + timedelta(
        minutes=1
    )
