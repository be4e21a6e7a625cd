"""`leverframe release`: landed commits on their way to 100 %."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli import release_again, release_notes, release_steering, release_trials
from leverframe.cli.output import AsJson, print_fields, print_json, print_table
from leverframe.cli.session import OfRepository, ask, chosen, load, query

if TYPE_CHECKING:
    from temporalio.client import Client

    from workflows.release.story import Progress

app = typer.Typer(help="Landed commits on their way to 100 %.", no_args_is_help=True)

ONE_EACH = "WorkflowType = 'ReleaseWorkflow' AND ExecutionStatus != 'ContinuedAsNew'"
"""A release that took long has several histories: the last one tells of it."""


class ReleaseRow(BaseModel):
    """One release, as a list shows it."""

    id: str
    sha: str
    outcome: str
    """Empty while it runs."""
    status: str
    started_at: datetime
    ended_at: datetime | None


@app.command("list")
def list_releases(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List releases, newest first."""

    async def found(client: "Client") -> list[ReleaseRow]:
        from workflows import attributes  # noqa: PLC0415 - the SDK loads when it is used

        return [
            ReleaseRow(
                id=release.id,
                sha=release.id.rpartition("/")[2],
                outcome=release.typed_search_attributes.get(attributes.OUTCOME, ""),
                status=release.status.name.lower() if release.status else "unknown",
                started_at=release.start_time,
                ended_at=release.close_time,
            )
            async for release in client.list_workflows(ONE_EACH, limit=limit)
        ]

    rows = ask(load(), found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("RELEASE", "OUTCOME", "STARTED"),
        [(row.id, row.outcome or row.status, row.started_at) for row in rows],
        empty="Nothing was released yet.",
    )


@app.command("show")
def show_release(
    sha: Annotated[str, typer.Argument(help="The landed commit, all 40 digits.")],
    repository: OfRepository = "",
    as_json: AsJson = False,
) -> None:
    """Show one release: each step, and what the gate saw."""
    settings = load()
    service = chosen(settings, repository).service.name

    async def progress(client: "Client") -> "Progress":
        from leverframe.model.ids import release_id  # noqa: PLC0415 - load when they are used
        from workflows.release.story import Progress  # noqa: PLC0415

        return await query(client, release_id(service, sha), "progress", Progress)

    found = ask(settings, progress)
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "service": found.service,
            "commit": found.sha,
            "traffic": f"{found.percent} %",
            "outcome": found.outcome,
        }
    )
    print_table(
        ("STEP", "STATE", "WHAT HAPPENED"),
        [(row.step, row.state, row.text) for row in found.rows],
        empty="It has not begun.",
    )


for steering in ("status", "explain", "pause", "resume", "promote", "abort"):
    app.command(steering)(getattr(release_steering, steering))
app.command()(release_again.again)
app.command()(release_notes.notes)
app.command()(release_trials.plan)
app.command()(release_trials.replay)
