"""`leverframe runs`: what the agents did."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli import undoing
from leverframe.cli.output import AsJson, print_fields, print_json, print_table
from leverframe.cli.session import ask, load

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecution


app = typer.Typer(help="What the agents did.", no_args_is_help=True)


class RunRow(BaseModel):
    """One run, as a list shows it."""

    id: str
    agent: str
    repository: str
    subject: str
    verdict: str
    outcome: str
    """Empty while it runs."""
    status: str
    started_at: datetime
    ended_at: datetime | None


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 30,
    outcome: Annotated[str, typer.Option(help="Only runs that ended so, for example rolled_back.")] = "",
    agent: Annotated[str, typer.Option(help="Only runs of this agent.")] = "",
    as_json: AsJson = False,
) -> None:
    """List agent runs, newest first."""
    from leverframe.model.errors import BadInput  # noqa: PLC0415 - beside its use
    from workflows import attributes  # noqa: PLC0415 - the SDK loads when it is used

    wanted_runs = "WorkflowType = 'RemediationWorkflow'"
    for key, wanted in ((attributes.OUTCOME, outcome), (attributes.AGENT, agent)):
        if wanted and not wanted.replace("_", "").replace("-", "").isalnum():
            raise BadInput(f"{wanted!r} is not a name")
        if wanted:
            wanted_runs += f" AND {key.name} = '{wanted}'"

    async def found(client: "Client") -> list[RunRow]:
        return [_row(run) async for run in client.list_workflows(wanted_runs, limit=limit)]

    rows = ask(load(), found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("RUN", "VERDICT", "OUTCOME", "STARTED"),
        [(row.id, row.verdict, row.outcome or row.status, row.started_at) for row in rows],
        empty="No agent has run yet.",
    )


def _row(run: "WorkflowExecution") -> RunRow:
    from workflows import attributes  # noqa: PLC0415 - the SDK loads when it is used

    known = run.typed_search_attributes
    return RunRow(
        id=run.id,
        agent=known.get(attributes.AGENT, ""),
        repository=known.get(attributes.REPOSITORY, ""),
        subject=known.get(attributes.SUBJECT, ""),
        verdict=known.get(attributes.VERDICT, ""),
        outcome=known.get(attributes.OUTCOME, ""),
        status=run.status.name.lower() if run.status else "unknown",
        started_at=run.start_time,
        ended_at=run.close_time,
    )


@app.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="The run's id, as `runs list` prints it.")],
    as_json: AsJson = False,
) -> None:
    """Show one run: its proposal, each step with its findings, and how it ended."""
    from leverframe.model.ids import step_of  # noqa: PLC0415 - loads when it is used

    found = undoing.reported(load(), run)
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "run": found.run,
            "outcome": found.outcome,
            "detail": found.detail,
            "about": found.proposal.title if found.proposal else found.subject,
            "summary": found.proposal.summary if found.proposal else "",
            "detected": found.detected_at,
            "ended": found.ended_at,
        }
    )
    if found.proposal:
        for suspect in found.proposal.suspects:
            share = f"{suspect.score_ppm // 10_000} %"
            print_fields({f"  {suspect.kind}": f"{suspect.name}  {share}  {suspect.why}"})
    for step in found.steps:
        place = f"{step_of(step.reservation)} " if step.reservation else ""
        print_fields({f"{place}{step.purpose} {step.lever}": f"{step.result}: {step.detail}"})
        for finding in step.findings:
            print_fields({"  finding": finding})
        for name, spent in step.timings_ms.items():
            print_fields({f"  {name}": f"{spent} ms"})


app.command()(undoing.undo)
app.command("undo-status")(undoing.undo_status)
