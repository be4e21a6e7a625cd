"""Terms: who may lift an escalation, how many of them it takes, and how long they have."""

from collections.abc import Iterable, Iterator, Sequence

from policies.decision import Finding, Terms, Verdict
from policies.documents import People, PolicyDocument
from policies.intent import Intent
from policies.people import Group, Person, Principal
from policies.rules import Escalation


def terms(documents: Sequence[PolicyDocument], people: People, intent: Intent) -> Terms | None:
    """The largest quorum, the shortest times, and the people whom every file that names approvers allows.

    None when the organisation's file does not say that people are asked, and whom. Only that file can open
    the door: otherwise adding a file could loosen a policy. Its groups are asked in its order, also those
    that nobody is in yet: a question that nobody may answer expires, which is no.
    """
    said = list(_escalations(documents))
    org = next((rule for document, rule in said if document.rules.layer == "org"), None)
    if org is None or not org.approvers:
        return None
    chain = _chain(org, [rule for _, rule in said if rule.approvers], people)
    quorum = max(rule.quorum for _, rule in said)
    if any(intent.lever in rule.two_person_levers for _, rule in said):
        quorum = max(quorum, 2)
    return Terms(
        chain=chain,
        quorum=quorum,
        remind_after=min(rule.remind_after for _, rule in said),
        escalate_after=min(rule.escalate_after for _, rule in said),
        expires_after=min(rule.expires_after for _, rule in said),
    )


def voters(chain: Iterable[Group], requesters: Iterable[str]) -> frozenset[Principal]:
    """Who in the chain may vote: everybody but those who asked for it or caused it."""
    barred = tuple(requesters)
    return frozenset(
        person.principal for group in chain for person in group.members if not person.is_among(barred)
    )


def two_people(documents: Sequence[PolicyDocument], intent: Intent) -> Iterator[Finding]:
    """Some levers take two people, whatever the level."""
    for document, rule in _escalations(documents):
        if intent.lever in rule.two_person_levers:
            yield Finding(
                rule=f"{document.name}.escalation.two_person_levers",
                verdict=Verdict.ESCALATE,
                observed="nobody has approved it",
                limit="two people approve it",
                remedy="Ask two people to approve exactly this effect.",
                source=document.source("escalation", "two_person_levers"),
            )


def unanswerable(
    documents: Sequence[PolicyDocument], lifting: Terms | None, intent: Intent
) -> Iterator[Finding]:
    """Why people can't lift an escalation: nobody is named, or too few of them may answer."""
    org = next((document for document in documents if document.rules.layer == "org"), None)
    source = org.source("escalation") if org else "org.yaml"
    if lifting is None:
        yield Finding(
            rule="org.escalation",
            verdict=Verdict.DENY,
            observed="nobody is named who may be asked",
            limit="`approvers` in org.yaml",
            remedy="Add `escalation` with `approvers`, `quorum` and `expires_after` to org.yaml.",
            source=source,
        )
        return
    able = len(voters(lifting.chain, (*intent.requesters, intent.agent)))
    if able < lifting.quorum:
        yield Finding(
            rule="org.escalation.approvers",
            verdict=Verdict.ESCALATE,
            observed=f"{able} may answer",
            limit=f"{lifting.quorum}, without those who caused it",
            remedy="Name more people in the groups of `escalation.approvers` that all files agree on.",
            source=source,
        )


def _escalations(documents: Iterable[PolicyDocument]) -> Iterator[tuple[PolicyDocument, Escalation]]:
    for document in documents:
        if document.rules.escalation is not None:
            yield document, document.rules.escalation


def _chain(org: Escalation, naming: Sequence[Escalation], people: People) -> tuple[Group, ...]:
    """The organisation's groups in its order, with those members whom every naming file allows."""
    allowed = [
        {person.principal for name in rule.approvers for person in _members(people, name)} for rule in naming
    ]
    groups = (
        Group(
            name=name,
            members=tuple(
                person
                for person in _members(people, name)
                if all(person.principal in each for each in allowed)
            ),
        )
        for name in org.approvers
    )
    return tuple(groups)


def _members(people: People, name: str) -> tuple[Person, ...]:
    group = people.group(name)
    return group.members if group else ()
