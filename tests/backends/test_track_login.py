"""The track on a remote that wants a token: git gets it, and nobody who looks at git does."""

import logging
import os
import shutil
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.backends.git_process import HttpsLogin
from activities.backends.track_git import GitTrack
from leverframe.model.changes import Author, Car
from leverframe.model.errors import Refused
from leverframe.model.topology import Repository
from tests.fakes.git_http import served
from tests.fakes.git_world import AT, GitWorld, passed

TOKEN = "ghs_secret_of_the_train"
BASIC = b64encode(f"x-access-token:{TOKEN}".encode()).decode()


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    made = GitWorld(tmp_path)
    made.git("config", "http.receivepack", "true")
    return made


@pytest.fixture
def forge(tmp_path: Path, world: GitWorld) -> Iterator[tuple[str, list[str]]]:
    with served(tmp_path, TOKEN) as address:
        yield address


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with every argument of every git that runs, those that git starts itself too."""
    seen, real = tmp_path / "arguments", shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {seen}\nGIT_TRACE={seen} exec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    return seen


def at(world: GitWorld, address: str) -> Repository:
    return world.repository.model_copy(update={"url": f"{address}shop.git"})


def track(tmp_path: Path, login: HttpsLogin | None) -> GitTrack:
    return GitTrack(mirrors=tmp_path / "mirrors", artifacts=tmp_path / "artifacts", login=login)


def test_a_car_lands_with_the_token_and_the_token_is_in_no_argument_file_or_log(
    tmp_path: Path,
    world: GitWorld,
    forge: tuple[str, list[str]],
    arguments: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = at(world, forge[0])
    with_login = track(tmp_path, HttpsLogin(address=forge[0], token=lambda: TOKEN))
    change = world.change(world.commit("work", {"new.py": "x\n"}))
    car = with_login.compose(shop, change=change, base=with_login.tip(shop), at=AT)
    assert isinstance(car, Car)
    author = Author(kind="person", name="ada")
    receipt = with_login.land(shop, car=car, checks=[passed(car.sha)], author=author, at=AT)
    assert world.git("rev-parse", "main") == receipt.sha
    told = arguments.read_text() + caplog.text
    told += "".join(
        path.read_text(errors="replace") for path in (tmp_path / "mirrors").rglob("*") if path.is_file()
    )
    assert "git-remote-http" in told or "remote-http" in told
    assert TOKEN not in told
    assert BASIC not in told


def test_a_token_that_is_not_accepted_is_refused_without_showing_it(
    tmp_path: Path, world: GitWorld, forge: tuple[str, list[str]]
) -> None:
    wrong = track(tmp_path, HttpsLogin(address=forge[0], token=lambda: "ghs_expired"))
    with pytest.raises(Refused) as caught:
        wrong.tip(at(world, forge[0]))
    shown = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "ghs_expired" not in shown
    assert b64encode(b"x-access-token:ghs_expired").decode() not in shown


@pytest.mark.parametrize("address", ["https://github.com/", "http://127.0.0.1/"])
def test_a_remote_elsewhere_never_sees_the_token(
    tmp_path: Path, world: GitWorld, forge: tuple[str, list[str]], address: str
) -> None:
    elsewhere = track(tmp_path, HttpsLogin(address=address, token=lambda: TOKEN))
    with pytest.raises(Refused):
        elsewhere.tip(at(world, forge[0]))
    assert set(forge[1]) == {""}


def test_a_login_does_not_show_its_token() -> None:
    assert TOKEN not in repr(HttpsLogin(address="https://github.com/", token=lambda: TOKEN))
