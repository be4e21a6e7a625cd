"""What a landing needs of git and of the remote, tried without a landing."""

import os
import re
from pathlib import Path
from typing import Literal
from uuid import uuid4

from activities.backends.git_process import Git
from activities.backends.track_mirror import Mirror
from activities.backends.track_refs import rejected, tip_of
from leverframe.model.errors import LeverframeError, Refused
from leverframe.model.trains import Rehearsal

_OLDEST = (2, 39)
"""`merge-tree --write-tree` and `patch-id --verbatim`."""


def version(git: Git) -> str:
    """git's version, as it tells it. Raises Refused when it is too old."""
    told = git.run("version").text
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        raise Refused(f"{told} is too old: install git {'.'.join(map(str, _OLDEST))} or newer")
    return told


def rehearse(mirror: Mirror, git: Git, target: str, *, push: bool) -> Rehearsal:
    """See `Track.rehearse`."""
    told, tip = version(git), tip_of(git, target)
    ref = f"refs/train/{target}/rehearsals/{uuid4().hex}"
    done = mirror.push(
        git,
        [f"{tip}:refs/heads/{target}", f"{tip}:{ref}"],
        expected={f"refs/heads/{target}": tip, ref: ""},
        atomic=True,
        rehearsed=True,
    )
    if not done.ok:
        raise rejected(f"a landing on {target}", done.told)
    if push:
        _push(mirror, git, tip, ref)
    return Rehearsal(git=told, tip=tip, pushed=push, rewinds=_rewinds(mirror.url, target))


def _push(mirror: Mirror, git: Git, tip: str, ref: str) -> None:
    """Two refs of ours in one atomic push, and in another one away again."""
    both = (f"{ref}/one", f"{ref}/two")
    wanted = [f"{tip}:{each}" for each in both]
    done = mirror.push(git, wanted, expected=dict.fromkeys(both, ""), atomic=True)
    if not done.ok:
        raise rejected("refs below refs/train", done.told)
    away = mirror.push(git, [f":{each}" for each in both], expected=dict.fromkeys(both, tip), atomic=True)
    if not away.ok:
        raise rejected(f"that {ref} goes away again", away.told)


def _rewinds(url: str, target: str) -> Literal["refused", "taken", "unknown"]:
    """What a repository on this disk does by its configuration; a hook of it may refuse more."""
    place = Path(url)
    if not place.is_absolute() or not place.is_dir():
        return "unknown"
    git = Git(place)
    try:
        forced = _is_set(git, "receive.denyNonFastForwards")
        deleted = _is_set(git, "receive.denyDeletes") or _is_current(git, target)
    except LeverframeError:
        return "unknown"
    if forced and deleted:
        return "refused"
    hooked = any(os.access(place / "hooks" / name, os.X_OK) for name in ("update", "pre-receive"))
    return "unknown" if hooked else "taken"


def _is_set(git: Git, name: str) -> bool:
    return git.run("config", "--type=bool", "--get", name, allow=(0, 1)).text == "true"


def _is_current(git: Git, target: str) -> bool:
    """Whether git keeps the branch because HEAD names it, as it does unless told otherwise."""
    head = git.run("symbolic-ref", "--quiet", "HEAD", allow=(0, 1)).text
    told = git.run("config", "--get", "receive.denyDeleteCurrent", allow=(0, 1)).text
    return head == f"refs/heads/{target}" and told in ("", "refuse", "true")
