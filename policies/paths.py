"""Rules on the final difference between two trees: what is protected everywhere, and what each file allows.

A path is looked at as it is written and in its normal form: case, width and ligatures undone as file systems
and readers undo them. It must be allowed in every form and denied in none.
"""

from collections.abc import Iterable, Iterator, Sequence

from leverframe.model.differences import FileDelta, TreeDifference
from leverframe.model.paths import matches
from leverframe.model.proposals import Lever
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.layering import required
from policies.protected import PROTECTED, forms
from policies.rules import DiffCap, OpenMergeRequestRule

SHOWN = 3
"""A finding names so many paths, and how many more there are."""

_LEVER = ("levers", Lever.OPEN_MERGE_REQUEST.value)


def protected(intent: Intent) -> Iterator[Finding]:
    """What no policy file can allow, for any lever whose effect changes files."""
    if intent.difference is None:
        return
    for protection in PROTECTED:
        caught = [file.path for file in intent.difference.files if protection.covers(file)]
        if caught:
            yield _built_in(protection.name, named(caught), protection.limit, protection.remedy)
    if intent.difference.omitted:
        yield _built_in(
            "unseen",
            f"{intent.difference.omitted} more files than are looked at",
            "every file of the difference is looked at",
            "Split the change.",
        )


def unspecified(documents: Sequence[PolicyDocument], intent: Intent) -> Iterator[Finding]:
    """What a merge request can't go without: its difference, and a required file that bounds it."""
    if intent.lever is not Lever.OPEN_MERGE_REQUEST:
        return
    if intent.difference is None:
        yield _built_in(
            "difference",
            "not known what would change",
            "the difference between two trees",
            "Ask again with the difference that the merge request would make.",
        )
    listed = [rule for rules in required(documents) if (rule := rules.levers.open_merge_request)]
    if all(rule.paths.allow is None for rule in listed):
        yield _missing(documents, "no file says which paths are allowed", "paths", "allow")
    if all(rule.diff is None for rule in listed):
        yield _missing(documents, "no file says how large a change may be", "diff")


def findings(document: PolicyDocument, intent: Intent) -> Iterator[Finding]:
    """What one file says about the paths and the size of a merge request's difference."""
    rule = document.rules.levers.open_merge_request
    difference = intent.difference
    if intent.lever is not Lever.OPEN_MERGE_REQUEST or rule is None or difference is None:
        return
    yield from _allowed(document, rule, difference.files)
    yield from _denied(document, rule, difference.files)
    if rule.diff is not None:
        yield from _size(document, rule.diff, difference)


def named(paths: Sequence[str]) -> str:
    """The first few paths, safe to print, and how many more there are."""
    shown = ", ".join(Untrusted(path).for_terminal(80) or "(nothing visible)" for path in paths[:SHOWN])
    more = len(paths) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _allowed(
    document: PolicyDocument, rule: OpenMergeRequestRule, files: Iterable[FileDelta]
) -> Iterator[Finding]:
    globs = rule.paths.allow
    if globs is None:
        return
    outside = [file.path for file in files if not _is_allowed(file.path, globs)]
    if outside:
        place = document.source(*_LEVER, "paths", "allow")
        yield Finding(
            rule=_rule(document, "paths", "allow"),
            verdict=Verdict.DENY,
            observed=named(outside),
            limit=f"only {', '.join(globs)}" if globs else "no path",
            remedy=f"Let a person change these files, or add them to `paths.allow` at {place}.",
            source=place,
        )


def _denied(
    document: PolicyDocument, rule: OpenMergeRequestRule, files: Iterable[FileDelta]
) -> Iterator[Finding]:
    caught = [file.path for file in files if is_denied(file.path, rule.paths.deny)]
    if caught:
        place = document.source(*_LEVER, "paths", "deny")
        yield Finding(
            rule=_rule(document, "paths", "deny"),
            verdict=Verdict.DENY,
            observed=named(caught),
            limit=f"not {', '.join(rule.paths.deny)}",
            remedy=f"Let a person change these files, or narrow `paths.deny` at {place}.",
            source=place,
        )


def _size(document: PolicyDocument, cap: DiffCap, difference: TreeDifference) -> Iterator[Finding]:
    """Files and lines, each against its cap. A binary file has no lines to count, so only `unlimited` lets
    it pass."""
    verdict = Verdict.ESCALATE if cap.on_exceed == "escalate" else Verdict.DENY
    binary = sum(file.binary for file in difference.files)
    lines = f"{difference.total_lines} lines" + (f" and {binary} binary files" if binary else "")
    for key, most, exceeded, observed, noun in (
        (
            "max_files",
            cap.max_files,
            _exceeds(difference.total_files, cap.max_files),
            f"{difference.total_files} files",
            "files",
        ),
        (
            "max_lines",
            cap.max_lines,
            _exceeds(difference.total_lines, cap.max_lines) or (binary > 0 and cap.max_lines != "unlimited"),
            lines,
            "lines of text",
        ),
    ):
        if exceeded:
            place = document.source(*_LEVER, "diff", key)
            also = ", or ask a person to approve it." if verdict is Verdict.ESCALATE else "."
            yield Finding(
                rule=_rule(document, "diff", key),
                verdict=verdict,
                observed=observed,
                limit=f"at most {most} {noun}",
                remedy=f"Split the change, or raise `{key}` at {place}{also}",
                source=place,
            )


def _exceeds(amount: int, most: int | str) -> bool:
    return isinstance(most, int) and amount > most


def _is_allowed(path: str, globs: Sequence[str]) -> bool:
    raw, normal, _ = forms(path)
    return all(any(matches(form, glob) for glob in globs) for form in {raw, normal})


def is_denied(path: str, globs: Sequence[str]) -> bool:
    """Whether a path matches one of the globs in any of its forms, without regard to case."""
    raw, normal, folded = forms(path)
    pairs = {(form, glob) for glob in globs for form in (raw, normal)}
    pairs |= {(folded, forms(glob)[2]) for glob in globs}
    return any(matches(form, glob) for form, glob in pairs)


def _rule(document: PolicyDocument, *path: str) -> str:
    return ".".join((document.name, *_LEVER, *path))


def _missing(documents: Sequence[PolicyDocument], observed: str, *path: str) -> Finding:
    org = next((document for document in documents if document.rules.layer == "org"), None)
    key = ".".join(path)
    return Finding(
        rule=".".join(("org", *_LEVER, *path)),
        verdict=Verdict.DENY,
        observed=observed,
        limit=f"`{key}` of `{Lever.OPEN_MERGE_REQUEST.value}` in org.yaml or in the agent's file",
        remedy=f"Add `{key}` to the lever in org.yaml.",
        source=org.source(*_LEVER, *path) if org else "org.yaml",
    )


def _built_in(what: str, observed: str, limit: str, remedy: str) -> Finding:
    return Finding(
        rule=f"protected.{what}",
        verdict=Verdict.DENY,
        observed=observed,
        limit=limit,
        remedy=remedy,
        source="built in",
    )
