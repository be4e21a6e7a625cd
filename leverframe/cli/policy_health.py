"""What the doctor says of the policy: what the files say, what the ledger runs, and who could approve."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from leverframe.bootstrap import build_audit, load_policy
from leverframe.cli.doctor import Finding
from leverframe.cli.session import engine_errors, query
from leverframe.model.errors import LeverframeError
from leverframe.model.ids import housekeeping_id, ledger_id
from leverframe.model.proposals import Lever
from leverframe.settings import Settings
from policies.audit import Head
from policies.documents import PolicySnapshot
from policies.explain import LOST
from policies.intent import Intent
from policies.layering import applicable, missing_files
from policies.overview import LedgerOverview
from policies.terms import terms, unanswerable
from workflows.housekeeping import Tidied
from workflows.timetable import Chore

MOST_UNWRITTEN = 200
"""Audit records that may wait for the store; with more, the ledger grants nothing."""

NEWS_FOR = timedelta(days=7)
"""A ledger that began anew is red for so long: there is nothing to correct, only something to look at."""

RELOAD = "run `leverframe policy reload`"
START = "run `leverframe worker --queue hands`"


async def in_force(client: Client, settings: Settings) -> tuple[LedgerOverview | None, list[Finding]]:
    """What the ledger says of itself, and what is wrong with it or with the housekeeping."""
    standing: LedgerOverview | None = None
    findings = []
    try:
        async with engine_errors():
            standing = await query(client, ledger_id(settings.organisation), "overview", LedgerOverview)
    except LeverframeError as error:
        findings.append(Finding(part="ledger", colour="red", detail=str(error), remedy=START))
    else:
        findings.append(memory(standing, datetime.now(UTC)))
    try:
        async with engine_errors():
            tidied = await query(client, housekeeping_id(settings.organisation), "standing", Tidied)
        findings.append(housekeeping(tidied))
    except LeverframeError as error:
        findings.append(Finding(part="housekeeping", colour="red", detail=str(error), remedy=START))
    return standing, findings


def memory(standing: LedgerOverview, now: datetime) -> Finding:
    """Red for a while after the ledger began anew: people have to look at what it does not know."""
    if standing.began_anew is None:
        detail = f"remembers {standing.remembered} reservations, {standing.holding} of them open"
        return Finding(part="ledger", colour="green", detail=detail)
    detail = f"began anew at {standing.began_anew:%Y-%m-%d %H:%M} UTC: {LOST}"
    if now - standing.began_anew >= NEWS_FOR:
        return Finding(part="ledger", colour="green", detail=detail)
    remedy = (
        "look in `leverframe audit export` at what comes before the last `began`: "
        "finish by hand what was open, and pause again what was paused"
    )
    return Finding(part="ledger", colour="red", detail=detail, remedy=remedy)


def housekeeping(tidied: Tidied) -> Finding:
    """Red while a chore fails. That of the policy is a finding of its own."""
    failed = [
        f"{chore}: {done.said}"
        for chore, done in tidied.done.items()
        if done.failed and chore != Chore.RELOAD
    ]
    if failed:
        return Finding(
            part="housekeeping", colour="red", detail="; ".join(failed), remedy="correct what it names"
        )
    reload = tidied.done.get(Chore.RELOAD)
    when = f"; looked at the policy at {reload.at:%Y-%m-%d %H:%M:%S} UTC" if reload else ""
    return Finding(part="housekeeping", colour="green", detail=f"runs{when}")


def policy_findings(settings: Settings, standing: LedgerOverview | None) -> Iterator[Finding]:
    """The files against the ledger, then the people in the files."""
    try:
        snapshot = load_policy(settings)
    except LeverframeError as error:
        kept = f"; the ledger keeps {standing.policy_digest[:12]}" if standing else ""
        yield Finding(
            part="policy", colour="red", detail=f"{error}{kept}", remedy="correct the files it names"
        )
        return
    yield files_against_ledger(snapshot, standing)
    yield approvers(snapshot, settings)


def files_against_ledger(snapshot: PolicySnapshot, standing: LedgerOverview | None) -> Finding:
    """Green when what the files say is what the ledger runs, or when no ledger can be asked."""
    files = f"{snapshot.digest[:12]}: {', '.join(document.file for document in snapshot.documents)}"
    if standing is None:
        return Finding(part="policy", colour="green", detail=files)
    refused = standing.refused_policy
    if refused is not None:
        problems = "; ".join(refused.problems)
        detail = (
            f"the ledger keeps {standing.policy_digest[:12]}: since {refused.since:%Y-%m-%d %H:%M} UTC the "
            f"policy at {refused.revision} can't be put in force: {problems}"
        )
        return Finding(part="policy", colour="red", detail=detail, remedy=f"correct the files, then {RELOAD}")
    if standing.policy_digest != snapshot.digest:
        detail = f"the ledger runs {standing.policy_digest[:12]}, and the files say {files}"
        return Finding(part="policy", colour="red", detail=detail, remedy=RELOAD)
    return Finding(part="policy", colour="green", detail=f"in force, {files}")


def approvers(snapshot: PolicySnapshot, settings: Settings) -> Finding:
    """Red when an agent may ask people who are not there: each such question would expire."""
    repositories = [declared.name for declared in settings.repositories] or ["any"]
    lacking = []
    for agent in settings.agents:
        for repository in repositories:
            placed = _intent(agent, repository, Lever.FLIP_FLAG)
            documents = applicable(snapshot, placed)
            if missing_files(documents, agent):
                continue
            asked = {lever: _intent(agent, repository, lever) for lever in Lever}
            levers = [
                lever.value
                for lever, intent in asked.items()
                if any(unanswerable(documents, terms(documents, snapshot.people, intent), intent))
            ]
            if levers:
                lacking.append(f"{agent} in {repository}: {', '.join(levers)}")
    if lacking:
        return Finding(
            part="approvers",
            colour="red",
            detail=f"too few people may approve for {'; '.join(lacking)}",
            remedy="name people and their accounts in people.yaml, in the groups of `escalation.approvers`",
        )
    groups = [f"{len(group.members)} in {group.name}" for group in snapshot.people.groups if group.members]
    return Finding(part="approvers", colour="green", detail=", ".join(groups) or "no agent may ask people")


def end_of_log(settings: Settings) -> Head | Finding:
    """Where the store's log ends, or why that can't be said."""
    try:
        return build_audit(settings).head(settings.organisation)
    except LeverframeError as error:
        return Finding(part="audit log", colour="red", detail=str(error))


def audit_finding(before: Head | Finding, standing: LedgerOverview, after: Head | Finding) -> Finding:
    """The store's log against the ledger's, which goes on writing while one looks.

    `before` and `after` are the ends of the store's log around the moment of `standing`: the store may be
    behind by what is on its way, and is never ahead.
    """
    if isinstance(before, Finding):
        return before
    if isinstance(after, Finding):
        return after
    ledger = standing.audit_head
    written = ledger.sequence - standing.unwritten
    wrong = ""
    if before.sequence > ledger.sequence:
        wrong = f"the store has {before.sequence} records, and the ledger wrote only {ledger.sequence}"
    elif after.sequence < written:
        wrong = f"the ledger wrote {written} records, and the store has only {after.sequence}"
    elif any(head.sequence == ledger.sequence and head.hash != ledger.hash for head in (before, after)):
        wrong = f"record {ledger.sequence} is not the one that the ledger wrote"
    elif standing.unwritten >= MOST_UNWRITTEN:
        wrong = f"{standing.unwritten} records wait for the store: nothing more is granted"
    if wrong:
        remedy = "run `leverframe audit verify`, and restore the store from its last good copy"
        return Finding(part="audit log", colour="red", detail=wrong, remedy=remedy)
    waiting = f", {standing.unwritten} on their way" if standing.unwritten else ""
    return Finding(part="audit log", colour="green", detail=f"{after.sequence} records{waiting}")


def _intent(agent: str, repository: str, lever: Lever) -> Intent:
    """Enough of an intent to see which files and people are concerned."""
    return Intent(
        agent=agent,
        repository=repository,
        service=repository,
        subject="doctor",
        lever=lever,
        request_digest="",
        effect_digest="",
    )
