"""A landing rehearsed: what git, push rights and the remote's rules say before anything has to land."""

import re
from pathlib import Path

import pytest

from activities.backends.git_process import HttpsLogin
from activities.backends.track_git import GitTrack
from leverframe.model.errors import NotFound, Refused
from leverframe.model.topology import Repository
from tests.fakes.git_http import served
from tests.fakes.git_world import GitWorld


def refs(world: GitWorld) -> str:
    return world.git("for-each-ref")


def test_a_rehearsal_tells_what_is_there_and_changes_nothing(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    before = refs(world)
    found = track.rehearse(shop)
    assert (found.tip, found.pushed, found.rewinds) == (world.git("rev-parse", "main"), False, "taken")
    assert re.match(r"git version 2\.\d+", found.git)
    assert refs(world) == before


def test_a_rehearsal_that_pushes_leaves_nothing_behind(
    world: GitWorld, track: GitTrack, shop: Repository, tmp_path: Path
) -> None:
    before, log = refs(world), tmp_path / "pushed"
    world.hook("update", f'echo "$1" >> {log}')
    assert track.rehearse(shop, push=True).pushed
    assert len(log.read_text().splitlines()) == 4, "two refs came and went"
    assert refs(world) == before


def test_what_rules_of_the_remote_refuse_is_seen_only_when_it_pushes(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    world.hook("update", "echo 'no refs below refs/train' >&2; exit 1")
    track.rehearse(shop)
    with pytest.raises(Refused, match="no refs below refs/train"):
        track.rehearse(shop, push=True)


def test_a_remote_without_atomic_pushes_is_refused(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    world.git("config", "receive.advertiseAtomic", "false")
    with pytest.raises(Refused, match="--atomic"):
        track.rehearse(shop)


def test_whoever_may_read_and_not_push_is_refused(world: GitWorld, shop: Repository, tmp_path: Path) -> None:
    world.git("config", "http.receivepack", "false")
    with served(tmp_path, "token") as (address, _):
        login = HttpsLogin(address=address, token=lambda: "token")
        track = GitTrack(mirrors=tmp_path / "mirrors", artifacts=tmp_path, login=login)
        with pytest.raises(Refused, match="403"):
            track.rehearse(shop.model_copy(update={"url": f"{address}shop.git"}))


def test_a_target_that_is_not_there_is_not_found(track: GitTrack, shop: Repository) -> None:
    with pytest.raises(NotFound, match="no branch trunk"):
        track.rehearse(shop.model_copy(update={"target": "trunk"}))


def test_a_repository_on_this_disk_tells_whether_it_can_be_rewound(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    assert track.rehearse(shop).rewinds == "taken"
    world.git("config", "receive.denyNonFastForwards", "yes")
    assert track.rehearse(shop).rewinds == "refused", "git keeps the branch that HEAD names"
    world.git("config", "receive.denyDeleteCurrent", "ignore")
    assert track.rehearse(shop).rewinds == "taken"
    world.git("config", "receive.denyDeletes", "true")
    assert track.rehearse(shop).rewinds == "refused"


def test_a_hook_that_may_refuse_a_rewind_makes_it_unknown(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    world.hook("update", "exit 0")
    assert track.rehearse(shop).rewinds == "unknown"


def test_a_git_that_is_too_old_is_refused_with_the_version_it_needs(
    track: GitTrack, shop: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track.rehearse(shop)
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\ncase "$*" in *version) echo git version 2.38.1;; esac\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    with pytest.raises(Refused, match=r"2\.38\.1 is too old: install git 2\.39"):
        track.rehearse(shop)
