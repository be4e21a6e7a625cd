"""`leverframe policy`: check policy files, ask them, try them on the past, and see what is in force."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import BaseModel

from leverframe.cli.exits import Exit
from leverframe.cli.ledger import print_standing, standing, through_door
from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import Reason, ask, given, instant, load, span, text_of
from leverframe.login import me

if TYPE_CHECKING:
    from policies.audit import Record
    from policies.decision import Finding
    from policies.documents import PolicySnapshot, Problem
    from policies.reservations import Promoted

app = typer.Typer(help="What the agents may do.", no_args_is_help=True)

Directory = Annotated[Path, typer.Option("--policy", help="A policy directory.")]
Since = Annotated[str, typer.Option("--since", help="How far back: 24h, 30d.")]
Log = Annotated[
    Path | None, typer.Option("--audit", help="An exported audit log, in the place of the store's.")
]


class FindingRow(BaseModel):
    """One rule's verdict, as scripts read it."""

    rule: str
    verdict: Literal["allow", "escalate", "deny"]
    observed: str
    limit: str
    retry_at: datetime | None
    remedy: str
    source: str


class Explained(BaseModel):
    """What a policy says about one proposal."""

    verdict: Literal["allow", "escalate", "deny"]
    findings: list[FindingRow]
    policy_digest: str


@app.command("check")
def check_policy(
    paths: Annotated[list[Path], typer.Argument(help="Policy directories, or single files in them.")],
    as_json: AsJson = False,
) -> None:
    """Check policies before they are installed. Exits 2 when one can't be; warnings don't count."""
    found = [problem for path in paths for problem in _checked(path)]
    if as_json:
        print_json([problem.model_dump() for problem in found])
    else:
        for problem in found:
            say(f"{problem.file}:{problem.line}: {problem.severity}: {problem.message}")
        if not found:
            say("Nothing to remark.")
    if any(problem.severity == "error" for problem in found):
        raise typer.Exit(Exit.BAD_INPUT)


@app.command("explain")
def explain_policy(
    policy: Directory,
    proposal: Annotated[Path, typer.Option("--proposal", help="A JSON file: one effect that is asked for.")],
    usage: Annotated[
        Path | None, typer.Option("--usage", help="A JSON file: what the ledger has granted so far.")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="The time in question; now, if left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask a policy about one proposal: every rule that stands in its way, and what would make it pass."""
    from policies.evaluate import evaluate  # noqa: PLC0415 - the policy loads when it is used
    from policies.inputs import read_proposal, read_usage  # noqa: PLC0415
    from policies.intent import Intent  # noqa: PLC0415
    from policies.usage import Usage, UsageDocument  # noqa: PLC0415

    request = read_proposal(text_of(proposal))
    used = read_usage(text_of(usage)) if usage else UsageDocument()
    now = instant(at) if at else datetime.now(UTC)
    snapshot = _snapshot(policy)
    found = evaluate(snapshot, Intent.of(request), Usage(snapshot, used), now)
    explained = Explained(
        verdict=found.verdict.word,
        findings=_rows(found.findings),
        policy_digest=found.policy_digest,
    )
    if as_json:
        print_json(explained)
        return
    say(f"{explained.verdict} under policy {found.policy_digest[:12]}")
    _print_findings(explained.findings)


@app.command("simulate")
def simulate_policy(
    policy: Directory, since: Since = "30d", audit: Log = None, as_json: AsJson = False
) -> None:
    """Try a candidate policy on what agents asked for: the verdicts that would change."""
    from policies.simulate import simulate  # noqa: PLC0415 - the policy loads when it is used

    candidate = _snapshot(policy)
    simulation = simulate(_recorded(audit), candidate, since=datetime.now(UTC) - span(since))
    if as_json:
        print_json(simulation)
        return
    say(
        f"{simulation.requests} requests in {since}; under {candidate.digest[:12]} "
        f"{len(simulation.changed)} of their verdicts change."
    )
    print_table(
        ("AT", "AGENT", "SUBJECT", "WHAT", "WAS", "WOULD BE", "BY"),
        [
            (row.at, row.agent, row.subject, row.words, row.was, row.now, ", ".join(_rules(row.findings)))
            for row in simulation.changed
        ],
        empty="Every verdict stays.",
    )


@app.command("replay")
def replay_decision(
    sequence: Annotated[int, typer.Argument(help="The decision's number in the audit log.")],
    audit: Log = None,
    as_json: AsJson = False,
) -> None:
    """Decide a past request again, under the policy and the usage of its time. Exits 1 if it differs."""
    from policies.replay import replay  # noqa: PLC0415 - the policy loads when it is used

    settings = load()

    def snapshot_of(digest: str) -> "PolicySnapshot":
        from leverframe.bootstrap import build_audit  # noqa: PLC0415

        return build_audit(settings).snapshot(settings.organisation, digest)

    replayed = replay(_recorded(audit), sequence, snapshot_of)
    if as_json:
        print_json(replayed)
    else:
        say(f"{replayed.words}: {replayed.was}, and again {replayed.now} under {replayed.policy_digest[:12]}")
        _print_findings(_rows(replayed.findings))
    if not replayed.same:
        raise typer.Exit(Exit.FAILED)


@app.command("report")
def report_policy(since: Since = "30d", audit: Log = None, as_json: AsJson = False) -> None:
    """What each agent was allowed, how it turned out, and which level that suggests."""
    from policies.report import report  # noqa: PLC0415 - the policy loads when it is used

    found = report(_recorded(audit), since=datetime.now(UTC) - span(since), now=datetime.now(UTC))
    if as_json:
        print_json(found)
        return
    for agent in found.agents:
        print_fields(agent.fields())
        for suggestion in agent.suggestions:
            say(f"  → {suggestion}")
    if not found.agents:
        say("No agent asked for anything.")


@app.command("promote")
def promote(
    agent: Annotated[str, typer.Option("--agent", help="The agent whose demotion is lifted.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Lift an agent's demotion: the policy files decide again. Outcomes demote; only people promote."""
    from policies.reservations import PromoteRequest  # noqa: PLC0415 - the policy loads when it is used

    request = given(PromoteRequest, agent=agent, by=me(), reason=reason)
    found: Promoted = through_door(lambda door: door.promote(request))
    if as_json:
        print_json(found)
    else:
        say(f"{agent} acts as far as the policy files let it.")


@app.command("schema")
def schema(
    of: Annotated[str, typer.Argument(help="policy, people, proposal or usage.")] = "policy",
) -> None:
    """Print a JSON Schema: for editors of policy files, and for what `explain` reads."""
    from policies.schema import schemas  # noqa: PLC0415 - the policy loads when it is used

    known = schemas()
    if of not in known:
        raise typer.BadParameter(f"there is no schema {of!r}; there are: {', '.join(known)}")
    print_json(known[of])


@app.command("show")
def show_policy(as_json: AsJson = False) -> None:
    """Show the policy in force: the room left under each limit, and what holds a place."""
    found = standing()
    if as_json:
        print_json(found)
        return
    print_fields({"organisation": found.organisation, "policy": found.policy_digest[:12]})
    print_standing(found)


@app.command("reload")
def reload_policy(as_json: AsJson = False) -> None:
    """Have the policy read again now, and reservations looked after. Exits 1 when it can't be put in force.

    Nobody needs to: the housekeeping does it by itself.
    """
    from leverframe.housekeeping import tidy  # noqa: PLC0415 - the SDK loads when it is used
    from workflows.timetable import Chore  # noqa: PLC0415

    settings = load()
    tidied = ask(settings, lambda client: tidy(client, settings.organisation))
    reload = tidied.done[Chore.RELOAD]
    if as_json:
        print_json(tidied)
    else:
        for chore, done in tidied.done.items():
            say(f"{chore}: {done.said}")
    if reload.failed:
        raise typer.Exit(Exit.FAILED)


def _checked(path: Path) -> "Iterable[Problem]":
    """The problems of a directory, or of one file seen in its directory; their files as the person wrote."""
    from activities.policy_files import read_policies  # noqa: PLC0415 - YAML loads when it is used
    from policies.check import check  # noqa: PLC0415

    directory = path
    if path.is_file():
        directory = path.parent.parent if path.parent.name in ("repos", "agents") else path.parent
    for problem in check(read_policies(directory)):
        file = directory / problem.file
        if path in (directory, file):
            yield problem.model_copy(update={"file": str(file)})


def _snapshot(directory: Path) -> "PolicySnapshot":
    from activities.policy_files import read_policies  # noqa: PLC0415 - YAML loads when it is used
    from policies.documents import parse  # noqa: PLC0415

    return parse(read_policies(directory))


def _recorded(audit: Path | None) -> "list[Record]":
    """The audit log, of the store or of a file."""
    from leverframe.cli.audit import from_file, from_store  # noqa: PLC0415 - the store loads when it is used

    return list(from_file(audit) if audit else from_store(load()))


def _rows(findings: "Iterable[Finding]") -> list[FindingRow]:
    return [FindingRow(**{**dict(finding), "verdict": finding.verdict.word}) for finding in findings]


def _rules(findings: "Iterable[Finding]") -> list[str]:
    return [finding.rule for finding in findings]


def _print_findings(findings: list[FindingRow]) -> None:
    print_table(
        ("RULE", "", "SEEN", "REQUIRED", "WHAT TO DO", "WHERE"),
        [(row.rule, row.verdict, row.observed, row.limit, row.remedy, row.source) for row in findings],
        empty="Every rule passes.",
    )
