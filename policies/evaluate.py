"""One pure evaluation: every rule of every document is asked, and the strictest finding decides."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from leverframe.model.frozen import Frozen, Instant
from policies.decision import Finding, Verdict
from policies.documents import (
    Autonomy,
    FlipFlagRule,
    Limit,
    PolicyDocument,
    PolicySnapshot,
    duration_words,
)
from policies.layering import Terms, applicable, escalation_terms, is_about, missing_files
from policies.usage import Intent, Use, counted, free_again


class Pause(Frozen):
    """An operator stopped every effect, without touching a file."""

    by: str
    reason: str
    since: Instant


class Evaluation(Frozen):
    """What the policy says about one intent."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    """Everything that stands in the way; empty exactly when the verdict is allow."""
    policy_digest: str
    terms: Terms | None
    """How people may lift an escalation; None when nobody can."""


def evaluate(
    snapshot: PolicySnapshot,
    intent: Intent,
    uses: Sequence[Use],
    now: datetime,
    *,
    pause: Pause | None = None,
) -> Evaluation:
    """The verdict on one more effect. Total and pure: same inputs, same answer, in any process."""
    documents = applicable(snapshot, intent)
    terms = escalation_terms(documents)
    findings = [
        *_paused(pause),
        *_missing(missing_files(documents, intent)),
        *(finding for document in documents for finding in _document(document, intent, uses, now)),
    ]
    if terms is None and any(finding.verdict is Verdict.ESCALATE for finding in findings):
        findings.append(_nobody_to_ask(documents))
    return Evaluation(
        verdict=max((finding.verdict for finding in findings), default=Verdict.ALLOW),
        findings=tuple(findings),
        policy_digest=snapshot.digest,
        terms=terms,
    )


def _paused(pause: Pause | None) -> Iterator[Finding]:
    if pause is not None:
        yield Finding(
            rule="ledger.pause",
            verdict=Verdict.DENY,
            observed=f"paused by {pause.by}: {pause.reason}",
            limit="not paused",
            remedy="Resume the ledger when the cause is gone.",
            source="ledger",
        )


def _missing(files: Iterable[str]) -> Iterator[Finding]:
    for file in files:
        yield Finding(
            rule=file.removesuffix(".yaml").replace("/", "."),
            verdict=Verdict.DENY,
            observed="no such policy",
            limit="a policy is installed",
            remedy=f"Write {file} and install it.",
            source=file,
        )


def _nobody_to_ask(documents: Iterable[PolicyDocument]) -> Finding:
    org = next((document for document in documents if document.rules.layer == "org"), None)
    return Finding(
        rule="org.escalation",
        verdict=Verdict.DENY,
        observed="nobody may be asked",
        limit="a quorum and a time to answer",
        remedy="Add `escalation` with `quorum` and `expires_after` to org.yaml.",
        source=org.source() if org else "org.yaml",
    )


def _document(
    document: PolicyDocument, intent: Intent, uses: Sequence[Use], now: datetime
) -> Iterator[Finding]:
    rules = document.rules
    if rules.kill_switch:
        yield Finding(
            rule=f"{document.name}.kill_switch",
            verdict=Verdict.DENY,
            observed="on",
            limit="off",
            remedy="Set `kill_switch: false` when the cause is gone.",
            source=document.source("kill_switch"),
        )
    yield from _autonomy(document, rules.autonomy, "autonomy")
    yield from _lever(document, intent)
    uses = [use for use in uses if is_about(document, use.intent)]
    for position, limit in enumerate(rules.limits):
        if intent.lever in limit.levers:
            yield from _limit(document, position, limit, counted(limit, intent, uses, now))


def _autonomy(document: PolicyDocument, level: Autonomy, *path: str) -> Iterator[Finding]:
    if level.verdict is Verdict.ALLOW:
        return
    escalates = level.verdict is Verdict.ESCALATE
    place = document.source(*path)
    yield Finding(
        rule=".".join((document.name, *path)),
        verdict=level.verdict,
        observed=level.value,
        limit=Autonomy.ACT.value,
        remedy=(
            "Ask a person to approve exactly this effect."
            if escalates
            else f"Let a person do it by hand, or raise the level at {place}."
        ),
        source=place,
    )


def _lever(document: PolicyDocument, intent: Intent) -> Iterator[Finding]:
    rule = document.rules.levers.rule(intent.lever)
    path = ("levers", intent.lever.value)
    if rule is None:
        yield Finding(
            rule=".".join((document.name, *path)),
            verdict=Verdict.DENY,
            observed=f"{intent.lever.value} is not listed",
            limit="listed levers only",
            remedy=f"Add `{intent.lever.value}` to `levers` in {document.file}.",
            source=document.source(*path),
        )
        return
    if rule.autonomy is not None:
        yield from _autonomy(document, rule.autonomy, *path, "autonomy")
    if isinstance(rule, FlipFlagRule):
        if intent.direction is not None:
            level = rule.direction.get(intent.direction, Autonomy.OFF)
            yield from _autonomy(document, level, *path, "direction", intent.direction)
        if intent.flag is not None:
            yield from _flag(document, rule, intent.flag)


def _flag(document: PolicyDocument, rule: FlipFlagRule, flag: str) -> Iterator[Finding]:
    allowed = any(fnmatchcase(flag, pattern) for pattern in rule.flags.allow)
    denied = [pattern for pattern in rule.flags.deny if fnmatchcase(flag, pattern)]
    for key, broken, limit, remedy in (
        (
            "allow",
            not allowed,
            ", ".join(rule.flags.allow) or "no flag",
            "Let a person flip it, or add it to",
        ),
        ("deny", bool(denied), f"not {', '.join(denied)}", "Let a person flip it, or narrow"),
    ):
        if broken:
            place = document.source("levers", "flip_flag", "flags", key)
            yield Finding(
                rule=f"{document.name}.levers.flip_flag.flags.{key}",
                verdict=Verdict.DENY,
                observed=flag,
                limit=limit,
                remedy=f"{remedy} `flags.{key}` at {place}.",
                source=place,
            )


def _limit(
    document: PolicyDocument, position: int, limit: Limit, taken: tuple[Use, ...]
) -> Iterator[Finding]:
    if isinstance(limit.max, str) or len(taken) < limit.max:
        return
    retry_at = free_again(limit, taken, limit.max)
    place = document.source("limits", position)
    if limit.window is not None:
        span = f"in {duration_words(limit.window)}"
        wait = f"Wait until {retry_at:%Y-%m-%d %H:%M:%S %Z}" if retry_at else f"Raise `max` at {place}"
    else:
        span, wait = "unsettled", "Wait until an earlier effect is settled"
    also = ", or ask a person to approve it." if limit.on_exceed == "escalate" else "."
    yield Finding(
        rule=f"{document.name}.limits.{limit.id}",
        verdict=Verdict.ESCALATE if limit.on_exceed == "escalate" else Verdict.DENY,
        observed=f"{len(taken) + 1} {span} with this one",
        limit=f"at most {limit.max} {span}" + (f" per {', '.join(limit.scope)}" if limit.scope else ""),
        retry_at=retry_at,
        remedy=wait + also,
        source=place,
    )
