"""`leverframe policy`: check policy files, and see the ledger that enforces them."""

from pathlib import Path
from typing import Annotated

import typer

from leverframe.cli.exits import Exit
from leverframe.cli.ledger import print_standing, standing
from leverframe.cli.output import AsJson, print_fields, print_json, say

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
    found = standing()
    if as_json:
        print_json(found)
        return
    print_fields({"organisation": found.organisation, "policy": found.policy_digest[:12]})
    print_standing(found)
