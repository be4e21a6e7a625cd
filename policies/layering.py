"""Layers: every document that is about an effect must agree. The most restrictive wins, always.

There is no override: a repository's or an agent's file can only tighten what the organisation allows, so
the order of the documents says nothing, and loosening is an edit to the one file that imposes the rule.
"""

from collections.abc import Iterable
from typing import Protocol

from policies.documents import PolicyDocument, PolicySnapshot
from policies.rules import Rules


class Placed(Protocol):
    """Something that an agent does in a repository: an intent, a use, a question."""

    @property
    def agent(self) -> str:
        """Who."""

    @property
    def repository(self) -> str:
        """Where."""


def is_about(document: PolicyDocument, placed: Placed) -> bool:
    """Whether the document has a say on it."""
    match document.rules.layer:
        case "org":
            return True
        case "repo":
            return document.about == placed.repository
        case "agent":
            return document.about == placed.agent


def applicable(snapshot: PolicySnapshot, placed: Placed) -> tuple[PolicyDocument, ...]:
    """Every document that has a say on it."""
    return tuple(document for document in snapshot.documents if is_about(document, placed))


def missing_files(documents: Iterable[PolicyDocument], agent: str) -> tuple[str, ...]:
    """The files without which nothing is allowed: the organisation's and the agent's own."""
    present = {document.file for document in documents}
    needed = ("org.yaml", f"agents/{agent}.yaml")
    return tuple(file for file in needed if file not in present)


def required(documents: Iterable[PolicyDocument]) -> tuple[Rules, ...]:
    """The rules of the two files that must exist.

    What has to be said somewhere has to be said in one of these: if a repository's file could say it,
    adding that file would loosen the policy.
    """
    return tuple(document.rules for document in documents if document.rules.layer != "repo")
