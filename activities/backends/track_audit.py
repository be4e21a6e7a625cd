"""The landing audit: whether everything on the target is what a receipt, or the forge's queue, says it is.

It trusts no answer of the landing: it reads the target's first-parent line and the receipts again, composes
each change anew, and compares what landed with what the change itself does (see `track_patches`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from activities.backends.git_process import Git, the_sha
from activities.backends.track_cars import recomposed
from activities.backends.track_compose import is_ancestor, tree_of
from activities.backends.track_mirror import Mirror
from activities.backends.track_patches import same_patch, stat_of
from activities.backends.track_proof import same_closure
from activities.backends.track_receipts import numbered, read
from activities.backends.track_refs import has_commit, tip_of
from leverframe.model.changes import Receipt
from leverframe.model.errors import Refused
from leverframe.model.topology import Repository
from leverframe.model.trains import AuditFinding, AuditReport, Method
from leverframe.model.untrusted import Untrusted

MAX_FINDINGS = 50
"""So many are told one by one; the rest is counted."""

METHODS: tuple[Method, ...] = ("merge", "squash", "rebase")


class _Landed(NamedTuple):
    """What is said to have landed: the change at `head`, as `base`..`sha`."""

    change: str
    base: str
    head: str
    sha: str


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Part of the target's first-parent line."""

    start: str
    """The commit below it; empty when the line begins with a first commit."""
    commits: tuple[str, ...]
    """Oldest first."""
    parents: dict[str, list[str]]
    places: dict[str, int] = field(default_factory=dict)
    """1 for the oldest commit, 0 for `start`."""


def audit(git: Git, mirror: Mirror, repository: Repository, *, since: str | None, limit: int) -> AuditReport:
    """Read at most `limit` commits of the target after `since`, oldest first; see the port."""
    tip = tip_of(git, repository.target)
    pairs = numbered(git, repository.target)
    line = _line(git, _begin(git, repository, since, pairs, tip), tip)
    written, findings = _receipts_above(git, repository, pairs, line, tip)
    if since is not None and line.start != since:
        findings.insert(0, _rewound(repository, since, tip))
    end = _end(line, written, limit)
    covered, count = set[int](), 0
    for receipt in written:
        place = line.places.get(receipt.sha)
        if place is None:
            findings.append(_without_commit(receipt, f"{repository.target} does not contain it"))
        elif place <= end:
            count += 1
            covered.update(_covered(git, line, receipt))
            if found := _against_receipt(git, mirror, repository, line, receipt):
                findings.append(found)
    for place, sha in enumerate(line.commits[:end], start=1):
        if place not in covered:
            findings.append(_foreign(git, sha, line.parents[sha]))
    read_to = line.commits[end - 1] if end else line.start or tip
    return _report(repository, read_to, since, commits=end, receipts=count, findings=findings)


def audit_native(
    git: Git, mirror: Mirror, repository: Repository, *, change: str, head: str, sha: str, base: str | None
) -> AuditReport:
    """Whether what the forge's queue landed is the change on `base` (its first parent); see the port."""
    tip = tip_of(git, repository.target)
    findings: list[AuditFinding] = []
    below = base
    if not has_commit(git, the_sha(sha)) or not is_ancestor(git, sha, tip):
        findings.append(
            AuditFinding(
                kind="receipt_without_commit",
                sha=sha,
                change=change,
                detail=f"the forge says that {change} landed as {sha[:12]}, but {repository.target} "
                "does not contain it",
            )
        )
    else:
        below = base or git.run("rev-parse", "--verify", f"{sha}^1").text
        landed = _Landed(change, the_sha(below), head, sha)
        if differs := _against_change(git, mirror, landed, METHODS):
            findings.append(differs)
    count = 0
    if below is not None and not findings:
        count = int(git.run("rev-list", "--count", "--first-parent", f"{below}..{sha}", "--").text)
    return _report(repository, tip, below, commits=count, receipts=0, findings=findings)


def _begin(
    git: Git, repository: Repository, since: str | None, pairs: Sequence[tuple[int, str]], tip: str
) -> str:
    """The commit above which everything needs a receipt: what was there before the first is given."""
    if since is not None and has_commit(git, the_sha(since)):
        return since
    oldest = next((found for _, found in read(git, repository.target, pairs[::-1]) if found), None)
    return oldest.base if oldest and has_commit(git, oldest.base) else tip


def _line(git: Git, begin: str, tip: str) -> _Line:
    """The first-parent line of the tip down to what `begin` contains."""
    listed = git.run("rev-list", "--first-parent", "--reverse", "--parents", tip, f"^{begin}", "--").text
    parents = {commit: above for commit, *above in (entry.split() for entry in listed.splitlines())}
    commits = tuple(parents)
    start = next(iter(parents[commits[0]]), "") if commits else tip
    places = {start: 0} | {sha: place for place, sha in enumerate(commits, start=1)}
    return _Line(start=start, commits=commits, parents=parents, places=places)


def _receipts_above(
    git: Git, repository: Repository, pairs: Sequence[tuple[int, str]], line: _Line, tip: str
) -> tuple[list[Receipt], list[AuditFinding]]:
    """The receipts of what landed above the line's start, oldest first, and which numbers lack one."""
    written: list[Receipt] = []
    gaps: list[AuditFinding] = []
    below = pairs[0][0] + 1 if pairs else 1
    for number, receipt in read(git, repository.target, pairs):
        if receipt and not line.places.get(receipt.sha) and _contains(git, line.start, receipt.sha):
            gaps.extend(_gap(tip, number, below))
            return written[::-1], gaps[::-1]
        gaps.extend(_gap(tip, number, below))
        below = number
        if receipt is None:
            detail = f"receipt {number} of {repository.target} is none: somebody else wrote it"
            gaps.append(AuditFinding(kind="receipt_gap", sha=tip, detail=detail))
        else:
            written.append(receipt)
    gaps.extend(_gap(tip, 0, below))
    return written[::-1], gaps[::-1]


def _gap(tip: str, number: int, below: int) -> Iterator[AuditFinding]:
    if number + 1 < below:
        which = f"{number + 1}" if number + 2 == below else f"{number + 1} to {below - 1}"
        detail = f"receipt {which} is missing: receipts are numbered without gaps"
        yield AuditFinding(kind="receipt_gap", sha=tip, detail=detail)


def _contains(git: Git, commit: str, ancestor: str) -> bool:
    return bool(commit) and has_commit(git, ancestor) and is_ancestor(git, ancestor, commit)


def _end(line: _Line, written: Sequence[Receipt], limit: int) -> int:
    """How many commits are read: never only a part of what one receipt covers."""
    end = min(limit, len(line.commits))
    for receipt in written:
        low, high = line.places.get(receipt.base, 0), line.places.get(receipt.sha, 0)
        if receipt.method == "rebase" and low < end < high:
            end = high
    return end


def _covered(git: Git, line: _Line, receipt: Receipt) -> range:
    """The places that a receipt vouches for; none when it is not on the base that it names."""
    high, low = line.places[receipt.sha], line.places.get(receipt.base)
    if low is None and _contains(git, line.start, receipt.base):
        low = 0
    if low is None or low >= high or (receipt.method != "rebase" and low + 1 != high):
        return range(0)
    if any(len(line.parents[sha]) != 1 for sha in line.commits[low:high]) and receipt.method != "merge":
        return range(0)
    return range(low + 1, high + 1)


def _against_receipt(
    git: Git, mirror: Mirror, repository: Repository, line: _Line, receipt: Receipt
) -> AuditFinding | None:
    """The first thing that is not as the receipt says."""
    if not _covered(git, line, receipt):
        told = f"it is not a {receipt.method} on {receipt.base[:12]}, the base that the receipt names"
        return _without_commit(receipt, told)
    if tree_of(git, receipt.sha) != receipt.tree:
        return AuditFinding(
            kind="tree_differs",
            sha=receipt.sha,
            change=receipt.change,
            detail=f"receipt {receipt.sequence} names the tree {receipt.tree[:12]}, which is not that of "
            f"{receipt.sha[:12]}",
        )
    landed = _Landed(receipt.change, receipt.base, receipt.head, receipt.sha)
    return _against_change(git, mirror, landed, (receipt.method,)) or _against_evidence(
        git, repository, line, receipt
    )


def _against_change(
    git: Git, mirror: Mirror, landed: _Landed, methods: Sequence[Method]
) -> AuditFinding | None:
    """Compare what landed with what the change itself does, and with the change composed anew."""
    change, base, head, sha = landed
    if not mirror.obtain(git, the_sha(head)):
        return AuditFinding(
            kind="patch_differs",
            sha=sha,
            change=change,
            detail=f"{head[:12]}, the head of {change}, is nowhere any more: "
            "what landed can't be compared with it",
        )
    trees, tree = _expected(git, base, head, methods), tree_of(git, sha)
    same = same_patch(git, base=base, sha=sha, head=head)
    if same and tree in trees:
        return None
    difference = stat_of(git, trees[0], tree) if trees else stat_of(git, base, sha)
    if not same:
        return AuditFinding(
            kind="patch_differs",
            sha=sha,
            change=change,
            detail=f"what {sha[:12]} changes on {base[:12]} is not what {change} changes at {head[:12]}: "
            "lines were added or taken away that the change leaves alone",
            difference=difference,
        )
    expected = f"the tree {trees[0][:12]}" if trees else "a conflict, or nothing that can be composed"
    return AuditFinding(
        kind="tree_differs",
        sha=sha,
        change=change,
        detail=f"{change} at {head[:12]} composed anew on {base[:12]} gives {expected}, but "
        f"{sha[:12]} has {tree[:12]}",
        difference=difference,
    )


def _expected(git: Git, base: str, head: str, methods: Sequence[Method]) -> list[str]:
    """The trees that the change gives on `base`, one for each method that can compose it."""
    trees = dict[str, None]()
    for method in methods:
        try:
            tree = recomposed(git, base=base, head=head, method=method)
        except Refused:
            continue
        if isinstance(tree, str):
            trees[tree] = None
    return list(trees)


def _against_evidence(git: Git, repository: Repository, line: _Line, receipt: Receipt) -> AuditFinding | None:
    """Another commit that was tested in its place must still vouch for it, if it is still there to see."""
    other = receipt.covered_by
    if receipt.evidence == "covered" and (
        other is None or line.places.get(other, 0) <= line.places[receipt.sha]
    ):
        told = "none" if other is None else other[:12]
        return _without_commit(receipt, f"the commit that covers it ({told}) did not land above it")
    if receipt.evidence == "composed" and other is not None and has_commit(git, other):
        lanes = repository.lanes_of(receipt.paths)
        if not same_closure(git, repository, tested=other, landed=receipt.sha, lanes=lanes):
            return AuditFinding(
                kind="tree_differs",
                sha=receipt.sha,
                change=receipt.change,
                detail=f"its lanes build from something else than {other[:12]}, which was tested",
                difference=stat_of(git, other, receipt.sha),
            )
    return None


def _without_commit(receipt: Receipt, why: str) -> AuditFinding:
    return AuditFinding(
        kind="receipt_without_commit",
        sha=receipt.sha,
        change=receipt.change,
        detail=f"receipt {receipt.sequence} says that {receipt.change} landed as {receipt.sha[:12]}, "
        f"but {why}",
    )


def _rewound(repository: Repository, since: str, tip: str) -> AuditFinding:
    return AuditFinding(
        kind="rewound",
        sha=since,
        detail=f"{since[:12]} was on {repository.target}, and its first-parent line up to {tip[:12]} "
        "does not have it any more",
    )


def _foreign(git: Git, sha: str, parents: Sequence[str]) -> AuditFinding:
    told = git.run("log", "--max-count=1", "--format=%an <%ae>%x00%B", sha, "--").text
    who, _, message = told.partition("\0")
    return AuditFinding(
        kind="foreign_commit",
        sha=sha,
        detail=f"no receipt knows {sha[:12]} by {Untrusted(who).for_terminal(200)}, which says: "
        f"{Untrusted(message.strip()).for_terminal(500)}",
        difference=stat_of(git, parents[0], sha) if parents else "",
    )


def _report(
    repository: Repository,
    tip: str,
    since: str | None,
    *,
    commits: int,
    receipts: int,
    findings: Sequence[AuditFinding],
) -> AuditReport:
    told = list(findings[:MAX_FINDINGS])
    if len(findings) > MAX_FINDINGS:
        first = findings[MAX_FINDINGS]
        more = f"and {len(findings) - MAX_FINDINGS} more findings, of which this is the first: {first.detail}"
        told.append(first.model_copy(update={"detail": more}))
    return AuditReport(
        repository=repository.name,
        target=repository.target,
        tip=tip,
        since=since,
        commits=commits,
        receipts=receipts,
        findings=tuple(told),
    )
