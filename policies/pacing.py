"""Pacing: storms, cooldowns and lineage. Too much at once, too soon again, or a reaction to ourselves."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from leverframe.model.proposals import Affected
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.layering import required
from policies.rules import Storm, duration_words
from policies.usage import Usage


def storm(document: PolicyDocument, intent: Intent, usage: Usage, now: datetime) -> Iterator[Finding]:
    """Too many subjects of one repository at once, or too much of a whole affected, is an outage."""
    rule = document.rules.storm
    if rule is None:
        return
    yield from _subjects(document, rule, intent, usage, now)
    yield from _affected(document, rule, intent.affected)


def _subjects(
    document: PolicyDocument, rule: Storm, intent: Intent, usage: Usage, now: datetime
) -> Iterator[Finding]:
    """The subject that asks counts beside the others, whether it was seen before or not."""
    if rule.window is None or not isinstance(rule.max_subjects, int):
        return
    own, seen = (intent.service, intent.subject), usage.subjects(intent.repository, now - rule.window)
    others = [at for at, subject in seen if subject != own]
    together = len(others) + 1
    excess = together - rule.max_subjects
    if excess > 0:
        span = duration_words(rule.window)
        yield _stormy(
            document,
            rule,
            "max_subjects",
            observed=f"{together} subjects of {intent.repository} in {span} with this one",
            figure=together,
            limit=f"at most {rule.max_subjects} in {span}",
            retry_at=others[excess - 1] + rule.window if excess < together else None,
        )


def _affected(document: PolicyDocument, rule: Storm, affected: Affected | None) -> Iterator[Finding]:
    """More than so many percent of the whole, in whole numbers: 4 of 10 are not more than 40 percent."""
    percent = rule.max_affected_percent
    if percent is None:
        return
    if affected is None:
        observed = "not known how much is affected"
    elif affected.count >= rule.min_affected and affected.count * 100 > percent * affected.of:
        observed = f"{affected.count} of {affected.of} affected"
    else:
        return
    yield _stormy(
        document, rule, "max_affected_percent", observed=observed, limit=f"at most {percent} percent"
    )


def _stormy(
    document: PolicyDocument,
    rule: Storm,
    key: str,
    *,
    observed: str,
    limit: str,
    figure: int | None = None,
    retry_at: datetime | None = None,
) -> Finding:
    escalates = rule.on_exceed == "escalate"
    return Finding(
        rule=f"{document.name}.storm.{key}",
        verdict=Verdict.ESCALATE if escalates else Verdict.DENY,
        observed=observed,
        figure=figure,
        limit=limit,
        retry_at=retry_at,
        remedy=(
            "Look for one cause behind all of it, and approve exactly this effect if it helps."
            if escalates
            else "Look for one cause behind all of it, and let a person act by hand."
        ),
        source=document.source("storm", key),
    )


def cooldown(document: PolicyDocument, intent: Intent, usage: Usage, now: datetime) -> Iterator[Finding]:
    """A subject is left alone for a while after an effect by the same lever, and after people said no.

    The first counts from when the effect was reserved, as windows do: how long it took says nothing.
    """
    rule = document.rules.cooldown
    about = (intent.service, intent.subject, intent.lever)
    for key, span, last, event in (
        ("same_subject", rule.same_subject, usage.last_use(*about), "used"),
        ("after_rejection", rule.after_rejection, usage.last_rejection(*about), "rejected by people"),
    ):
        if span is None or last is None or last + span <= now:
            continue
        yield Finding(
            rule=f"{document.name}.cooldown.{key}",
            verdict=Verdict.DENY,
            observed=f"{intent.lever.value} was {event} for {intent.subject} at {last:%Y-%m-%d %H:%M:%S %Z}",
            limit=f"not again within {duration_words(span)}",
            retry_at=last + span,
            remedy=f"Wait until {last + span:%Y-%m-%d %H:%M:%S %Z}, or let a person do it by hand.",
            source=document.source("cooldown", key),
        )


def lineage(documents: Sequence[PolicyDocument], intent: Intent) -> Iterator[Finding]:
    """How far an agent may react to what agents did; not at all unless the organisation's or the agent's own
    file says so."""
    depth = len(intent.lineage)
    for document in documents:
        rule = document.rules.lineage
        if rule is not None and depth > rule.max_depth:
            yield _too_deep(f"{document.name}.lineage.max_depth", depth, rule.max_depth, document)
    if depth and all(rules.lineage is None for rules in required(documents)):
        org = next((document for document in documents if document.rules.layer == "org"), None)
        yield _too_deep("org.lineage", depth, 0, org)


def _too_deep(rule: str, depth: int, most: int, document: PolicyDocument | None) -> Finding:
    return Finding(
        rule=rule,
        verdict=Verdict.DENY,
        observed=f"{depth} effects of agents led here",
        limit=f"at most {most}",
        remedy="Let a person look at why an agent reacts to agents.",
        source=document.source("lineage", "max_depth") if document else "org.yaml",
    )
