"""Reading what landed: the first-parent line, blame, and the artifact of a commit."""

import hashlib
import itertools
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from activities.artifacts import asked_for
from activities.backends.git_process import Git
from activities.backends.track_compose import entry, tree_of
from activities.backends.track_receipts import receipts
from activities.disk_space import writing_to
from leverframe.model.changes import Receipt
from leverframe.model.errors import Conflict, NotFound
from leverframe.model.facts import MAX_AUTHORS, LandedCommit
from leverframe.model.releases import Artifact
from leverframe.model.untrusted import Untrusted

MOST_BETWEEN = 1000
"""Commits of the target's line between two releases that are read."""

MAX_PATHS_SHOWN = 200
"""Paths listed of one commit; the rest would only swell a workflow's messages."""

_MAX_NAME = 300
_MAX_BROUGHT = 200
"""Commits of one change whose authors are read."""


class _Brought(NamedTuple):
    """One commit that a landed change consists of."""

    sha: str
    author: str
    run: str
    """What its trailer says, whoever wrote it."""


_TRAILER = "%(trailers:key=Leverframe-Run,valueonly)"
_WITH = "%(trailers:key=Co-authored-by,valueonly)"
_FIXES = re.compile(r"^Fixes-flaky: +(\S(?:[^\n]*\S)?)[ \t\r]*$", re.MULTILINE)
_MOST_FIXED = 100
"""Tests of one commit."""
_FIELDS = ("%H", "%P", "%ct", "%s", "%ae", _TRAILER, _WITH)


def commits(git: Git, target: str, limit: int) -> list[LandedCommit]:
    """The newest commits of the target's first-parent line.

    Who did it is what the receipt says; a commit without one is an agent's if its trailer says so. Which
    run did it is told only of an agent's receipt: anybody can write a trailer. Each commit of a rebased
    change has the receipt of the change.
    """
    log = git.run(
        "log", "-z", "--first-parent", f"--max-count={limit}", f"--format={'%x00'.join(_FIELDS)}",
        f"refs/heads/{target}", "--",
    ).fields  # fmt: skip
    known: dict[str, Receipt] = {}
    for written in itertools.islice(receipts(git, target), limit):
        known.setdefault(written.sha, written)
    landed, rebased = [], None
    for at in range(0, len(log), len(_FIELDS)):
        sha, told, seconds, subject, author, trailer, others = log[at : at + len(_FIELDS)]
        if rebased is not None and rebased.base == sha:
            rebased = None
        receipt, parents = known.get(sha, rebased), told.split()
        if receipt is not None and receipt.method == "rebase":
            rebased = receipt
        brought = _brought(git, parents) or _held(receipt, sha, author, trailer, others)
        landed.append(
            LandedCommit(
                sha=sha,
                subject=Untrusted(subject),
                landed_at=receipt.landed_at if receipt else datetime.fromtimestamp(int(seconds), UTC),
                paths=_paths(git, sha, parents[:1]),
                change=receipt.change if receipt else None,
                by_agent=receipt.author.kind == "agent" if receipt else bool(trailer.strip()),
                first=not parents,
                run=_run(receipt, brought[0]),
                author=brought[0].author,
                authors=_authors(receipt, brought),
            )
        )
    return landed


def _brought(git: Git, parents: list[str]) -> list[_Brought]:
    """The commits that a merge brought, its head first."""
    if len(parents) < 2:
        return []
    fields = git.run(
        "log", "-z", "--topo-order", f"--max-count={_MAX_BROUGHT}", f"--format=%H%x00%ae%x00{_TRAILER}",
        *parents[1:], f"^{parents[0]}", "--",
    ).fields  # fmt: skip
    return [
        _Brought(fields[at], _line(fields[at + 1]).lower(), _line(fields[at + 2]))
        for at in range(0, len(fields), 3)
    ]


def _held(receipt: Receipt | None, sha: str, author: str, trailer: str, others: str) -> list[_Brought]:
    """What a commit with one parent consists of: a squash of ours names everybody, and its head's run."""
    head, run = sha, _line(trailer)
    people = [author]
    if receipt is not None and receipt.method == "squash":
        head, people = receipt.head, re.findall(r"<([^<>\n]+)>$", others, re.MULTILINE) or people
    elif receipt is not None and receipt.method == "rebase" and receipt.sha == sha:
        head = receipt.head
    return [_Brought(head, _line(person).lower(), run) for person in people]


def _run(receipt: Receipt | None, head: _Brought) -> str | None:
    """The run behind a change that an agent landed: what the head that its receipt names says.

    Of a rebased change it is told of the last commit, which is its head again.
    """
    if receipt is None or receipt.author.kind != "agent" or receipt.head != head.sha:
        return None
    return head.run or None


def _authors(receipt: Receipt | None, brought: list[_Brought]) -> tuple[str, ...]:
    opened_by = [receipt.author.name] if receipt and receipt.author.kind == "person" else []
    everybody = dict.fromkeys([*opened_by, *(commit.author for commit in brought)])
    return tuple(everybody)[:MAX_AUTHORS]


def _line(text: str) -> str:
    return Untrusted(text.strip()).for_terminal(_MAX_NAME)


def reverted_in(git: Git, target: str, commit: str, since: datetime) -> str | None:
    """The newest commit that came to the target since then and says, as `git revert` does, what it undoes.

    It came with a commit of the first-parent line, whose time counts: what was written earlier and landed
    later came later.
    """
    ref = f"refs/heads/{target}"
    before = f"--before=@{int(since.timestamp()) - 1}"
    older = git.run("rev-list", "--first-parent", "--max-count=1", before, ref, "--").text
    told = git.run(
        "log", "--max-count=1", "--format=%H", "--fixed-strings", f"--grep=This reverts commit {commit}",
        *([f"{older}..{ref}"] if older else [ref]), "--",
    )  # fmt: skip
    return told.text or None


def landed_between(git: Git, target: str, *, after: str | None, upto: str) -> list[tuple[Receipt, str]]:
    """The receipts of the target's first-parent line in `after..upto`, newest first, with their subjects."""
    span = [upto, *([f"^{after}"] if after else [])]
    log = git.run(
        "log", "-z", "--first-parent", f"--max-count={MOST_BETWEEN}", "--format=%H%x00%s", *span, "--"
    ).fields  # fmt: skip
    subjects = dict(zip(log[::2], log[1::2], strict=True))
    found: list[tuple[Receipt, str]] = []
    for receipt in itertools.islice(receipts(git, target), 10 * MOST_BETWEEN):
        if receipt.sha in subjects:
            found.append((receipt, subjects.pop(receipt.sha)))
        elif found and not subjects:
            break
    return found


def fix_claims(git: Git, *, after: str, upto: str, limit: int) -> list[tuple[str, str]]:
    """(commit, test) of commits that came in between and say so on a line of their own, oldest first.

    Any line counts, not only git's trailers: a squash keeps the messages of its commits in its body.
    """
    log = git.run(
        "log", "-z", f"--max-count={limit}", "--grep=^Fixes-flaky: ", "--format=%H%x00%B",
        upto, f"^{after}", "--",
    ).fields  # fmt: skip
    claims = [
        (sha, test)
        for sha, body in zip(log[::2], log[1::2], strict=True)
        for test in _FIXES.findall(body)[:_MOST_FIXED]
    ]
    return claims[::-1]


def blame(git: Git, sha: str, path: str, line: int) -> str | None:
    """The first-parent commit that last changed a line; None when the commit has no such line."""
    try:
        entry(git, sha, path)
    except NotFound:
        return None
    told = git.run(
        "blame", "--first-parent", "--porcelain", "-L", f"{line},{line}", sha, "--", path, allow=(0, 128)
    )
    found = re.match(r"[0-9a-f]{40}", told.text)
    return found.group() if found else None


def export(git: Git, sha: str, service: str, artifacts: Path) -> Artifact:
    """Write `<artifacts>/<service>/<sha>.tar`, or find it; its digest is beside it in `sha256sum`'s format.

    The tar depends on the commit only: git's own order, the commit's time, no owner, no attributes.

    Raises:
        Conflict: the file is not the one that was built.
        DiskFull: there is no space left for it.
    """
    folder = artifacts / service
    tar, note = folder / f"{sha}.tar", folder / f"{sha}.tar.sha256"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with asked_for(tar):
            if not tar.exists():
                _build(git, sha, tar, note)
            digest, noted = _digest(tar), note.read_text()
    if noted != f"{digest}  {tar.name}\n":
        raise Conflict(f"the artifact {tar} is not what was built: remove it and {note.name} to build again")
    return Artifact(service=service, sha=sha, digest=f"sha256:{digest}", path=f"{service}/{tar.name}")


def _build(git: Git, sha: str, tar: Path, note: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=tar.parent, prefix=".", suffix=".tmp", delete=False) as made:
        building = Path(made.name)
        try:
            git.run("archive", "--format=tar", sha, into=made)
            made.flush()
            os.fsync(made.fileno())
            # The note first: a tar that can be seen can be verified. Two builders write the same bytes.
            _write_note(note, f"{_digest(building)}  {tar.name}\n")
            building.chmod(0o644)
            building.replace(tar)
        finally:
            building.unlink(missing_ok=True)


def _write_note(note: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=note.parent, prefix=".", suffix=".tmp", delete=False) as made:
        writing = Path(made.name)
        try:
            made.write(text)
            made.flush()
            os.fsync(made.fileno())
            writing.chmod(0o644)
            writing.replace(note)
        finally:
            writing.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _paths(git: Git, sha: str, parents: list[str]) -> tuple[str, ...]:
    before = parents[0] if parents else git.run("hash-object", "-t", "tree", os.devnull).text
    listed = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, tree_of(git, sha))
    return tuple(listed.fields[:MAX_PATHS_SHOWN])
