"""`leverframe policy`: check policy files, and see the ledger that enforces them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli.exits import Exit
from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import ask, load, query

if TYPE_CHECKING:
    from temporalio.client import Client

    from policies.overview import LedgerOverview

app = typer.Typer(help="What the agents may do.", no_args_is_help=True)


@app.command("check")
def check_policy(
    paths: Annotated[list[Path], typer.Argument(help="Policy directories.")], as_json: AsJson = False
) -> None:
    """Check policy directories before they are installed. Exits 1 when one can't be."""
    from activities.policy_files import read_policies  # noqa: PLC0415 - YAML loads when it is used
    from policies.check import check  # noqa: PLC0415

    found = [(path, problem) for path in paths for problem in check(read_policies(path))]
    if as_json:
        print_json([{"directory": str(path), **problem.model_dump()} for path, problem in found])
    else:
        for path, problem in found:
            say(f"{problem.severity}: {path / problem.file}:{problem.line}: {problem.message}")
        if not found:
            say("Nothing to remark.")
    if any(problem.severity == "error" for _, problem in found):
        raise typer.Exit(Exit.FAILED)


@app.command("show")
def show_policy(as_json: AsJson = False) -> None:
    """Show the policy in force: the room left under each limit, and what holds a place."""
    settings = load()

    async def overview(client: "Client") -> "LedgerOverview":
        from leverframe.model.ids import ledger_id  # noqa: PLC0415 - load when they are used
        from policies.overview import LedgerOverview  # noqa: PLC0415

        return await query(client, ledger_id(settings.organisation), "overview", LedgerOverview)

    found = ask(settings, overview)
    if as_json:
        print_json(found)
        return
    paused = f"by {found.pause.by}: {found.pause.reason}" if found.pause else "no"
    print_fields({"organisation": found.organisation, "policy": found.policy_digest[:12], "paused": paused})
    print_table(
        ("LIMIT", "SCOPE", "USED", "MAX", "WITHIN"),
        [(row.rule, row.scope, row.used, row.max, row.span) for row in found.headroom],
        empty="The policy in force has no limits.",
    )
    print_table(
        ("RESERVATION", "LEVER", "PHASE", "SINCE"),
        [(entry.id, entry.lever, entry.phase, entry.reserved_at) for entry in found.open],
        empty="Nothing holds a place.",
    )
