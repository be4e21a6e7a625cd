"""Levers: which flags may be flipped, and the evidence that a lever takes."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.rules import FlipFlagRule, LeverRule


def findings(document: PolicyDocument, intent: Intent) -> Iterator[Finding]:
    """What one file's rule of the lever says about the flag and the evidence."""
    rule = document.rules.levers.rule(intent.lever)
    if rule is None:
        return
    if isinstance(rule, FlipFlagRule):
        yield from _flag(document, rule, intent.flag)
    yield from _evidence(document, rule, intent)


def _flag(document: PolicyDocument, rule: FlipFlagRule, flag: str | None) -> Iterator[Finding]:
    """A flag must match `allow` letter by letter, and `deny` in no case of its letters. No flag matches
    nothing."""
    name = flag or "no flag is named"
    if flag is None or not any(fnmatchcase(flag, pattern) for pattern in rule.flags.allow):
        yield _wrong_flag(document, "allow", name, ", ".join(rule.flags.allow) or "no flag", "add it to")
    denied = [pattern for pattern in rule.flags.deny if flag is not None and _is_denied(flag, pattern)]
    if denied:
        yield _wrong_flag(document, "deny", name, f"not {', '.join(denied)}", "narrow")


def _is_denied(flag: str, pattern: str) -> bool:
    """As it is written, too: a class that excludes letters, `[!A-Z]`, excludes more without case."""
    return fnmatchcase(flag, pattern) or fnmatchcase(flag.casefold(), pattern.casefold())


def _wrong_flag(document: PolicyDocument, key: str, observed: str, limit: str, remedy: str) -> Finding:
    place = document.source("levers", "flip_flag", "flags", key)
    return Finding(
        rule=f"{document.name}.levers.flip_flag.flags.{key}",
        verdict=Verdict.DENY,
        observed=observed,
        limit=limit,
        remedy=f"Let a person flip it, or {remedy} `flags.{key}` at {place}.",
        source=place,
    )


def _evidence(document: PolicyDocument, rule: LeverRule, intent: Intent) -> Iterator[Finding]:
    """Each named measurement must have observed enough. One taken twice counts with its smaller figure."""
    for name, least in rule.min_evidence.items():
        measured = [each for each in intent.evidence if each.name == name]
        observed = min(measured, key=lambda each: each.observed, default=None)
        if observed is None or observed.observed < least:
            path = ("levers", intent.lever.value, "min_evidence", name)
            place = document.source(*path)
            yield Finding(
                rule=".".join((document.name, *path)),
                verdict=Verdict.DENY,
                observed=f"{observed.observed} {observed.unit}" if observed else "not measured",
                limit=f"at least {least}",
                remedy=f"Wait for more evidence, or lower `min_evidence` at {place}.",
                source=place,
            )
