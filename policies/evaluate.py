"""One pure evaluation: every rule of every document is asked, and the strictest finding decides."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from leverframe.model.frozen import Frozen
from policies import breaker, calendar, levels, levers, limits, pacing, paths, quarantine
from policies.decision import Finding, Terms, Verdict
from policies.documents import PolicyDocument, PolicySnapshot
from policies.intent import Intent
from policies.layering import applicable, missing_files
from policies.rules import Autonomy
from policies.terms import terms, two_people, unanswerable
from policies.usage import Asking, Usage


class Evaluation(Frozen):
    """What the policy says about one intent."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    """Everything that stands in the way; empty exactly when the verdict is allow."""
    policy_digest: str
    terms: Terms | None
    """How people may lift an escalation; None when nobody can."""
    autonomy: Autonomy
    """How far the agent may go with this: the lowest level of all files and demotions."""


def evaluate(
    snapshot: PolicySnapshot,
    intent: Intent,
    usage: Usage,
    now: datetime,
    *,
    as_if: Autonomy | None = None,
) -> Evaluation:
    """The verdict on one more effect. Total and pure: same inputs, same answer, in any process.

    `as_if` reads every level as that one and leaves demotions aside: what an agent in observe mode would be
    told. A usage that is indexed for another snapshot is indexed again, which is slow and right.
    """
    if usage.snapshot.digest != snapshot.digest:
        usage = Usage(snapshot, usage.document())
    documents = applicable(snapshot, intent)
    lifting = terms(documents, snapshot.people, intent)
    missing = missing_files(documents, intent.agent)
    findings = [
        *_missing(missing),
        *levels.stops(documents, intent, usage),
        *levels.findings(documents, intent, usage, as_if),
        *paths.protected(intent),
        *paths.unspecified(documents, intent),
        *quarantine.unspecified(documents, intent),
        *(finding for document in documents for finding in _document(document, intent, usage, now)),
        *pacing.lineage(documents, intent),
        *two_people(documents, intent),
    ]
    if any(finding.verdict is Verdict.ESCALATE for finding in findings):
        findings.extend(unanswerable(documents, lifting, intent))
    return Evaluation(
        verdict=max((finding.verdict for finding in findings), default=Verdict.ALLOW),
        findings=tuple(findings),
        policy_digest=snapshot.digest,
        terms=lifting,
        autonomy=Autonomy.OFF if missing else levels.autonomy(documents, intent, usage),
    )


def attention(snapshot: PolicySnapshot, asking: Asking, usage: Usage, now: datetime) -> tuple[Finding, ...]:
    """The limits on people's attention that one more question to the group would exceed; none: ask now."""
    if usage.snapshot.digest != snapshot.digest:
        usage = Usage(snapshot, usage.document())
    return tuple(
        finding
        for document in applicable(snapshot, asking)
        for finding in limits.attention(document, asking, usage, now)
    )


def _document(document: PolicyDocument, intent: Intent, usage: Usage, now: datetime) -> Iterator[Finding]:
    """What one file says on its own, apart from its levels."""
    yield from levers.findings(document, intent)
    yield from paths.findings(document, intent)
    yield from quarantine.findings(document, intent)
    yield from limits.findings(document, intent, usage, now)
    yield from pacing.storm(document, intent, usage, now)
    yield from pacing.cooldown(document, intent, usage, now)
    yield from calendar.findings(document, intent, now)
    yield from breaker.findings(document, intent, usage.history(document, intent.agent), now)


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
