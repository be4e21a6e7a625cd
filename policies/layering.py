"""Layers: every document that is about an intent must agree. The most restrictive wins, always.

There is no override: a repository's or an agent's file can only tighten what the organisation allows, so
the order of the documents says nothing, and loosening is an edit to the one file that imposes the rule.
"""

from collections.abc import Iterable
from datetime import timedelta

from leverframe.model.frozen import Frozen
from policies.documents import PolicyDocument, PolicySnapshot
from policies.usage import Intent


class Terms(Frozen):
    """What lifting an escalation takes."""

    quorum: int
    expires_after: timedelta


def is_about(document: PolicyDocument, intent: Intent) -> bool:
    """Whether the document has a say on the intent."""
    match document.rules.layer:
        case "org":
            return True
        case "repo":
            return document.about == intent.repository
        case "agent":
            return document.about == intent.agent


def applicable(snapshot: PolicySnapshot, intent: Intent) -> tuple[PolicyDocument, ...]:
    """Every document that has a say on the intent."""
    return tuple(document for document in snapshot.documents if is_about(document, intent))


def missing_files(documents: Iterable[PolicyDocument], intent: Intent) -> tuple[str, ...]:
    """The files without which nothing is allowed: the organisation's and the agent's own."""
    present = {document.file for document in documents}
    needed = ("org.yaml", f"agents/{intent.agent}.yaml")
    return tuple(file for file in needed if file not in present)


def escalation_terms(documents: Iterable[PolicyDocument]) -> Terms | None:
    """The largest quorum and the shortest time; None unless the organisation says that people are asked.

    Only the organisation's file can open that door: otherwise adding a file could loosen a policy.
    """
    named = [
        (document.rules.layer, document.rules.escalation)
        for document in documents
        if document.rules.escalation is not None
    ]
    if not any(layer == "org" for layer, _ in named):
        return None
    return Terms(
        quorum=max(escalation.quorum for _, escalation in named),
        expires_after=min(escalation.expires_after for _, escalation in named),
    )
