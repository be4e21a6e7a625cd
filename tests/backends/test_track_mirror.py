"""A git that outlives its worker keeps others from the mirror that it still writes, for a bounded time."""

import fcntl
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends.track_mirror import Mirror
from leverframe.demo.shop_repository import shop_repository
from leverframe.model.errors import BadConfiguration, Unavailable
from tests.fakes.git_world import GitWorld

TIMEOUT = shutil.which("timeout") or ""

WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
from activities.backends import git_process
from activities.backends.track_mirror import Mirror
from leverframe.demo.shop_repository import shop_repository

git_process.GRACE = timedelta(0)
home, url, seconds = sys.argv[1:]
with Mirror(Path(home), shop_repository(url), timeout=timedelta(seconds=int(seconds))).synced():
    raise SystemExit("the remote never answers")
"""


@contextmanager
def silent_remote() -> Iterator[tuple[str, socket.socket]]:
    """A remote that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield f"http://127.0.0.1:{server.getsockname()[1]}/shop.git", server


def lock_of(home: Path) -> Path:
    return home / f"{shop_repository('').name}.lock"


@pytest.mark.parametrize(("seconds", "answers"), [(600, True), (3, False)])
def test_the_lock_lasts_as_long_as_a_fetch_whose_worker_was_killed_and_that_ends(
    tmp_path: Path, seconds: int, answers: bool
) -> None:
    with silent_remote() as (url, server):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), url, str(seconds)])
        asked, _ = server.accept()
        with asked, lock_of(tmp_path).open("ab") as lock:
            worker.kill()
            assert worker.wait() == -signal.SIGKILL
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if answers:
                asked.close()
                server.close()
            # Else git is ended by itself: nobody is left to do it.
            fcntl.flock(lock, fcntl.LOCK_EX)


def test_without_git_or_timeout_it_says_what_to_install(
    tmp_path: Path, world: GitWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit("main", {"a": "1"})
    mirror = Mirror(tmp_path / "mirrors", world.repository, timeout=timedelta(seconds=60))
    with mirror.synced() as git:
        assert git.run("rev-parse", "refs/heads/main").code == 0
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(BadConfiguration, match="`timeout` of coreutils is not installed"), mirror.synced():
        pass
    (programs / "timeout").symlink_to(TIMEOUT)
    with pytest.raises(BadConfiguration, match="git is not installed"), mirror.synced():
        pass


def test_whoever_gives_up_on_a_fetch_lets_go_of_the_lock(tmp_path: Path) -> None:
    with silent_remote() as (url, _):
        mirror = Mirror(tmp_path, shop_repository(url), timeout=timedelta(seconds=1))
        with pytest.raises(Unavailable, match="git fetch took longer than 1 s"), mirror.synced():
            pass
        with lock_of(tmp_path).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
