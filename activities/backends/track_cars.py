"""Cars: a change composed onto a base by one of three methods. Same inputs, same SHA.

- `merge`: one commit with two parents, the base and the change's head.
- `squash`: one commit on the base with everything in it; it names the authors of what it holds.
- `rebase`: each commit of the change again, on the base, with its own author and message.

A base is any commit that the mirror has: the target's tip, or the car of another change below this one.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from activities.backends.git_process import IDENTITY, Git, readable, the_sha
from activities.backends.track_compose import changed_paths, commit_tree, merge, three_way, tree_of
from activities.backends.track_mirror import Mirror
from activities.backends.track_refs import check_ref, rejected, tip_or_none
from leverframe.model.changes import Car, Change, Conflicted
from leverframe.model.errors import Refused
from leverframe.model.facts import MAX_AUTHORS
from leverframe.model.ids import short_hash
from leverframe.model.trains import Method
from leverframe.model.untrusted import Untrusted

MAX_COMMITS = 100
"""A change with more commits can't be rebased, as on the forges."""

_MAX_READ = 200
"""Commits of one change that are read for a squash's message."""

_MAX_BODY = 8000
_MAX_REVERTS = 20
"""Commits that a squash's message says it reverts."""

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)

_AUTHOR_LINE = re.compile(rb"author [^<>\n\0]*<[^<>\n\0]*> \d{1,12} [+-]\d{4}")
_REVERTS = re.compile(r"This reverts commit [0-9a-f]{40}")


class _Own(NamedTuple):
    """One commit that a change brings."""

    name: str
    email: str
    run: str
    message: str


def composed(git: Git, change: Change, *, base: str, at: datetime, method: Method) -> Car | Conflicted:
    """The change at its head on `base`, both in the mirror; `at` dates what is made.

    Raises:
        Refused: no commit in common, too many paths, or commits that can't be rebased.
    """
    match method:
        case "merge":
            made = _joined(git, change, base, at, parents=(base, change.head), message=_title(change))
        case "squash":
            said = _squashed_message(change, _own(git, base, change.head))
            made = _joined(git, change, base, at, parents=(base,), message=said)
        case "rebase":
            made = _rebased(git, base, change.head, at)
    if isinstance(made, tuple):
        return Conflicted(change=change.id, base=base, paths=made)
    return Car(
        change=change.id,
        sha=made,
        base=base,
        tree=tree_of(git, made),
        head=change.head,
        paths=changed_paths(git, base, made),
        method=method,
    )


def recomposed(git: Git, *, base: str, head: str, method: Method) -> str | tuple[str, ...]:
    """The tree that the change gives on `base`, or the paths in conflict. Raises as `composed`."""
    if method != "rebase":
        return merge(git, base, head)
    made = _rebased(git, base, head, _ANY_TIME)
    return made if isinstance(made, tuple) else tree_of(git, made)


def stack(
    git: Git, changes: Sequence[tuple[Change, datetime]], *, base: str, method: Method
) -> list[Car | Conflicted]:
    """A car for each change, each on the one before it, up to the first that does not apply.

    A car that changes nothing carries no other: the next is built on what lies below it. A change that is
    refused ends the list before it.

    Raises:
        Refused: the first change can't be composed at all.
    """
    cars: list[Car | Conflicted] = []
    for change, at in changes:
        try:
            made = composed(git, change, base=base, at=at, method=method)
        except Refused:
            if not cars:
                raise
            break
        cars.append(made)
        if isinstance(made, Conflicted):
            break
        if made.paths:
            base = made.sha
    return cars


def keep(mirror: Mirror, git: Git, target: str, cars: Sequence[Car | Conflicted]) -> None:
    """Put cars on the remote under hidden refs, in one push, so that another machine can build and land them.

    A ref is made once and names its commit, so it never changes. Cars that are in are taken away in the
    same push; a ref that can't be taken away stays until the next time.
    """
    folder = _folder(target)
    wanted = {
        f"{folder}{short_hash(car.change)}/{car.sha}": car.sha
        for car in cars
        if isinstance(car, Car) and car.paths
    }
    listed = set(git.run("for-each-ref", "--format=%(refname)", folder).text.splitlines())
    new = {ref: sha for ref, sha in wanted.items() if ref not in listed}
    if not new:
        return
    landed = git.run("for-each-ref", f"--merged=refs/heads/{target}", "--format=%(refname)", folder).text
    over = sorted(set(landed.splitlines()) - set(wanted))
    push = mirror.push(
        git,
        [*(f"{sha}:{ref}" for ref, sha in new.items()), *(f":{ref}" for ref in over)],
        expected=dict.fromkeys(new, ""),
    )
    for ref, sha in new.items():
        # `!` on a ref whose name holds its commit: another machine was first, with the same commit.
        if push.answers.get(ref, "!")[0] not in "*=" and not _is_there(push.answers.get(ref, "")):
            raise rejected(f"the car {sha[:12]}", push.told)


def drop(mirror: Mirror, git: Git, target: str, *, keep: Sequence[str], before: datetime) -> list[str]:
    """Take away the refs of cars dated before then, but for those of `keep`; returns whose.

    What a kept car is built on stays with it: it is an ancestor. A ref that moved meanwhile stays.
    """
    kept, over = {the_sha(sha) for sha in keep}, dict[str, str]()
    listed = git.run(
        "for-each-ref", "--format=%(refname) %(objectname) %(committerdate:unix)", _folder(target)
    )
    for line in listed.text.splitlines():
        ref, sha, seconds = line.split()
        if sha not in kept and int(seconds) < before.timestamp():
            over[ref] = sha
    if not over:
        return []
    push = mirror.push(git, [f":{ref}" for ref in over], expected=over)
    return sorted(sha for ref, sha in over.items() if push.answers.get(ref, "!")[0] == "-")


def offer(mirror: Mirror, git: Git, sha: str, branch: str) -> None:
    """Push the car as a branch of its own, whose name no other commit gets."""
    ref = f"refs/heads/{branch}"
    check_ref(git, ref)
    push = mirror.push(git, [f"{sha}:{ref}"], expected={ref: ""})
    if not push.ok and tip_or_none(git, ref) != sha:
        raise rejected(f"the branch {branch}", push.told)


def retract(mirror: Mirror, git: Git, branch: str) -> None:
    """Delete the branch of a car; nothing to delete is a success."""
    ref = f"refs/heads/{branch}"
    check_ref(git, ref)
    if tip_or_none(git, ref) is not None:
        mirror.push(git, [f":{ref}"], expected={})


def _folder(target: str) -> str:
    return f"refs/train/{target}/cars/"


def _is_there(words: str) -> bool:
    return re.search(r"stale info|already exists", words) is not None


def _joined(
    git: Git, change: Change, base: str, at: datetime, *, parents: tuple[str, ...], message: str
) -> str | tuple[str, ...]:
    tree = merge(git, base, change.head)
    if isinstance(tree, tuple):
        return tree
    return commit_tree(git, tree, *parents, message=message, author=change.author, at=at)


def _title(change: Change) -> str:
    return f"{Untrusted(change.title).for_terminal(200)}\n\nLeverframe-Change: {change.id}\n"


def _squashed_message(change: Change, own: Sequence[_Own]) -> str:
    """Title, body and what would be lost: what it reverts, an agent's run, and everybody who wrote it.

    The last paragraph is ours alone, so that a body can't add a trailer.
    """
    body = Untrusted(change.body).for_model(_MAX_BODY).strip()
    reverts = dict.fromkeys(said for commit in own for said in _REVERTS.findall(commit.message))
    missing = [f"{said}." for said in list(reverts)[:_MAX_REVERTS] if said not in body]
    trailers = (
        [f"Leverframe-Run: {own[0].run}"] if own and own[0].run and change.author.kind == "agent" else []
    )
    people = dict[str, str]()
    for commit in own:
        if commit.email:
            people.setdefault(commit.email.lower(), f"Co-authored-by: {commit.name} <{commit.email}>")
    trailers += list(people.values())[:MAX_AUTHORS]
    trailers.append(f"Leverframe-Change: {change.id}")
    title = Untrusted(change.title).for_terminal(200)
    return "\n\n".join(part for part in (title, body, "\n".join(missing), "\n".join(trailers)) if part) + "\n"


def _own(git: Git, base: str, head: str) -> list[_Own]:
    """The commits that the change brings, its head first."""
    fields = git.run(
        "log", "-z", "--topo-order", f"--max-count={_MAX_READ}",
        "--format=%an%x00%ae%x00%(trailers:key=Leverframe-Run,valueonly)%x00%B", head, f"^{base}", "--",
    ).fields  # fmt: skip
    return [
        _Own(_word(fields[at]), _word(fields[at + 1]), _word(fields[at + 2]), fields[at + 3])
        for at in range(0, len(fields) - 3, 4)
    ]


def _word(text: str) -> str:
    return re.sub(r"[<>]", "", Untrusted(text.strip()).for_terminal(200)).strip()


def _rebased(git: Git, base: str, head: str, at: datetime) -> str | tuple[str, ...]:
    """Each commit of the change again on `base`; one that changes nothing there is left out.

    As `git rebase` does, it leaves out a commit whose patch is on the base already: what followed it there
    may have changed the same lines.
    """
    onto, line = base, _line(git, base, head)
    new = set(git.run("rev-list", "--cherry-pick", "--right-only", f"{base}...{head}", "--").text.split())
    for commit, parent in line:
        if commit not in new:
            continue
        now, before, after = _trees(git, onto, parent, commit)
        tree = after if now == before else three_way(git, base=before, ours=now, theirs=after)
        if isinstance(tree, tuple):
            return tree
        if tree != now:
            onto = _again(git, commit, tree, onto, at)
    return onto


def _line(git: Git, base: str, head: str) -> list[tuple[str, str]]:
    """The change's own commits with their parents, oldest first: a line without merges.

    Raises:
        Refused: a merge, a first commit, or too many.
    """
    listed = git.run(
        "rev-list", "--reverse", "--topo-order", "--parents", head, f"^{base}", "--"
    ).text.splitlines()
    if len(listed) > MAX_COMMITS:
        raise Refused(
            f"the change has {len(listed)} commits, more than the {MAX_COMMITS} that are rebased: squash it"
        )
    line = []
    for commit, *parents in (entry.split() for entry in listed):
        if not parents:
            raise Refused(f"refusing to rebase unrelated histories: {commit[:12]} is a first commit")
        if len(parents) > 1:
            raise Refused(
                f"{commit[:12]} is a merge, and a merge can't be rebased: "
                "rebase the branch onto the target and push it, without a merge commit"
            )
        line.append((commit, parents[0]))
    return line


def _trees(git: Git, *commits: str) -> list[str]:
    return git.run("rev-parse", *(f"{commit}^{{tree}}" for commit in commits)).text.split()


def _again(git: Git, commit: str, tree: str, parent: str, at: datetime) -> str:
    """The same author and message, byte for byte, on another tree and parent.

    Raises:
        Refused: the commit's author is none that git would write.
    """
    head, _, message = git.run("cat-file", "commit", commit).out.partition(b"\n\n")
    lines = head.split(b"\n")
    author = next((line for line in lines if line.startswith(b"author ")), b"")
    if not _AUTHOR_LINE.fullmatch(author):
        told = Untrusted(readable(author)).for_terminal(100)
        raise Refused(f"{commit[:12]} has an author that git does not take ({told}): write the commit again")
    encoding = [line for line in lines if line.startswith(b"encoding ")][:1]
    name, email = IDENTITY
    written = [
        f"tree {tree}".encode(),
        f"parent {parent}".encode(),
        author,
        f"committer {name} <{email}> {int(at.timestamp())} +0000".encode(),
        *encoding,
    ]
    content = b"\n".join(written) + b"\n\n" + message
    return git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=content).text
