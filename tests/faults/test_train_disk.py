"""What a train does when a disk of its own machine is full: it waits, in words, and goes on by itself.

The disk is a small file system in memory, really full; where this machine lets nobody mount one, these are
skipped but for those at the end.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.exceptions import ApplicationError

from activities.artifacts import unpack
from activities.backends.git_process import Finished, Git, MirrorCorrupted
from activities.forge import ForgeActivities
from activities.train import TrainActivities
from leverframe.model.errors import DiskFull, Refused, Unavailable
from tests.fakes.git_world import GitWorld
from tests.fakes.stores import store_at
from tests.fakes.tracks import compose, track_at
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import GitGround, Ground
from tests.fakes.train_referee import Referee
from tests.fakes.train_stage import ended, enqueued, until

CALLS: dict[str, Any] = {
    "look": TrainActivities.look,
    "compose": TrainActivities.compose,
    "land": TrainActivities.land,
    "settle_change": ForgeActivities.settle_change,
}


class Disk:
    """A file system of four megabytes."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def fill(self, *, leaving: int = 0) -> None:
        """Use it up, but for so many bytes."""
        ballast = self.place / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 9, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        os.truncate(ballast, ballast.stat().st_size - leaving)

    def make_room(self) -> None:
        (self.place / "ballast").unlink()

    def left_behind(self) -> list[Path]:
        """What somebody began and did not finish."""
        names = ("**/tmp_*", "**/.*.tmp", "**/*.git/**/*.lock")
        return [path for name in names for path in self.place.glob(name)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield Disk(place)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class TestATrainWhoseDiskIsFull:
    @pytest.fixture
    def engine(self, disk: Disk) -> Engine:
        return store_at(disk.place / "store.db")

    @pytest.fixture
    def ground(self, template: GitWorld, tmp_path: Path, disk: Disk) -> Ground:
        return GitGround(template, tmp_path, home=disk.place)

    @pytest.mark.parametrize("call", CALLS)
    def test_asks_again_until_there_is_room_and_nobody_is_taken_off(
        self, train: Controller, depot: Depot, referee: Referee, disk: Disk, call: str
    ) -> None:
        [work] = enqueued(train, "work")
        if call in ("land", "settle_change"):
            train.run()
            depot.ci.finish(next(iter(depot.ci.runs.values())))
            train.read_mail()
        until(train, call, answered=False)
        assert train.pause is not None
        disk.fill()
        with pytest.raises(ApplicationError, match=r"disk .*is full; make room") as failed:
            depot.do(CALLS[call], *train.pause.arguments)
        assert (failed.value.type, failed.value.non_retryable) == ("DiskFull", False)
        for _ in range(6):
            train.advance()
        assert (train.pause.name, train.outcome(work)) == (call, None)
        assert len(referee.receipts) == (call == "settle_change")
        disk.make_room()
        train.settle_down()
        assert ended(train, work) == "landed"
        assert len(referee.receipts) == 1
        assert disk.left_behind() == []

    @pytest.mark.parametrize("leaving", [0, 8192, 20480])
    def test_begins_no_mirror_that_it_would_use_half_made(
        self, template: GitWorld, disk: Disk, leaving: int
    ) -> None:
        track, shop = track_at(disk.place), template.repository
        disk.fill(leaving=leaving)
        with pytest.raises(DiskFull, match=f"the disk of {disk.place}.* is full"):
            track.tip(shop)
        disk.make_room()
        assert track.tip(shop) == template.git("rev-parse", "main")
        assert (disk.place / "one/mirrors/shop.git/info/attributes").read_text().startswith("* -export")
        assert disk.left_behind() == []

    def test_leaves_no_half_an_artifact_and_builds_the_same_one_later(
        self, template: GitWorld, tmp_path: Path, disk: Disk
    ) -> None:
        track, elsewhere, shop = track_at(disk.place), track_at(tmp_path), template.repository
        sha = track.tip(shop)
        disk.fill(leaving=4096)
        with pytest.raises(DiskFull, match=f"the disk of {disk.place}/one/artifacts/shop is full"):
            track.export(shop, sha)
        assert [path.name for path in disk.place.glob("one/artifacts/shop/*")] == [".lock"]
        disk.make_room()
        assert track.export(shop, sha) == elsewhere.export(shop, sha)
        disk.fill()
        tree = disk.place / "tree"
        tree.mkdir()
        with pytest.raises(DiskFull, match=f"the disk of {tree} is full"):
            unpack(tmp_path / f"one/artifacts/shop/{sha}.tar", tree)

    def test_knows_it_though_git_has_no_room_to_say_so(
        self, template: GitWorld, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        track = track_at(disk.place)
        track.tip(template.repository)
        head = template.commit("big", {"big": os.urandom(20_000).hex()})
        monkeypatch.setattr(tempfile, "tempdir", str(disk.place))
        disk.fill()
        with pytest.raises(DiskFull, match="git fetch: exit status 128"):
            track.tip(template.repository)
        disk.make_room()
        assert compose(track, template, head).paths == ("big",)


class TestWhatGitSaysOfADisk:
    @pytest.mark.parametrize(
        ("said", "kind"),
        [
            ("fatal: write error: No space left on device", DiskFull),
            ("error: unable to create '/m/shop.git/packed-refs.lock': No space left on device", DiskFull),
            ("fatal: unable to write loose object file: Disk quota exceeded", DiskFull),
            ("remote: fatal: write error: No space left on device", Unavailable),
            ("error: unable to create '/m/shop.git/packed-refs.lock': File exists", MirrorCorrupted),
            ("remote: Permission denied: No space left on device", Refused),
        ],
    )
    def test_is_told_apart_from_a_damaged_mirror_and_from_the_remotes_disk(
        self, tmp_path: Path, said: str, kind: type[Exception]
    ) -> None:
        error = Git(tmp_path).failure("fetch", Finished(code=128, out=b"", err=f"{said}\nfatal: it ends\n"))
        assert type(error) is kind
        assert said in str(error)
