"""`leverframe changes`: what people and agents want to land."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import ANSWER, OfRepository, ask, chosen, given, load
from leverframe.login import me

if TYPE_CHECKING:
    from temporalio.client import Client, WithStartWorkflowOperation

    from leverframe.model.changes import Author, Change
    from leverframe.model.topology import Repository
    from workflows.merge_train.messages import QueuePlace

app = typer.Typer(help="Changes: merge requests of people and agents.", no_args_is_help=True)


class Submitted(BaseModel):
    """A change that has a place in its train."""

    id: str
    branch: str
    head: str
    state: Literal["waiting", "riding", "settled"]
    ahead: int


@app.command("list")
def list_changes(
    repository: OfRepository = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List changes, newest first."""
    from leverframe.forges import build_changes  # noqa: PLC0415 - backends load when they are used

    settings = load()
    found = build_changes(settings).list_changes(chosen(settings, repository).name, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("CHANGE", "STATE", "TITLE", "AUTHOR", "OPENED"),
        [
            (
                change.id,
                change.state,
                change.title,
                _who(change.author),
                change.opened_at,
            )
            for change in found
        ],
        empty="There is no change yet.",
    )


@app.command("show")
def show_change(
    change: Annotated[str, typer.Argument(help="The change's id, for example shop/7.")],
    as_json: AsJson = False,
) -> None:
    """Show one change with its comments."""
    from leverframe.forges import build_changes  # noqa: PLC0415 - backends load when they are used

    port = build_changes(load())
    found, comments = port.change(change), port.comments(change)
    if as_json:
        print_json({**found.model_dump(mode="json"), "comments": [body for _, body in comments]})
        return
    print_fields(
        {
            "change": found.id,
            "title": found.title,
            "state": found.state,
            "author": _who(found.author),
            "branch": found.branch,
            "head": found.head,
            "landed as": found.landed_as,
            "opened": found.opened_at,
        }
    )
    for text in (found.body, *(body for _, body in comments)):
        say("")
        for line in text.splitlines():
            say(line)


@app.command("submit")
def submit_change(
    branch: Annotated[str, typer.Argument(help="A branch that is pushed already.")],
    *,
    title: Annotated[str, typer.Option(help="Verb and object, in a line.")],
    body: Annotated[str, typer.Option(help="Why, in Markdown.")] = "",
    repository: OfRepository = "",
    author: Annotated[str, typer.Option(help="Your name, if it is not your login name.")] = "",
    priority: Annotated[Literal["normal", "hotfix"], typer.Option(help="A hotfix rides first.")] = "normal",
    as_json: AsJson = False,
) -> None:
    """Open a change for a pushed branch and put it on the train, at exactly its present head."""
    from leverframe.forges import build_changes, build_track  # noqa: PLC0415 - load when they are used
    from leverframe.model.changes import Author, ChangeSpec, Priority  # noqa: PLC0415

    settings = load()
    declared = chosen(settings, repository)
    head = build_track(settings).tip(declared, branch)
    change = build_changes(settings).open_change(
        given(
            ChangeSpec,
            repository=declared.name,
            branch=branch,
            head=head,
            title=title,
            body=body,
            author=given(Author, kind="person", name=author or me()),
            priority=Priority[priority.upper()],
        )
    )
    place = ask(settings, lambda client: enqueue_change(client, declared, change))
    if as_json:
        print_json(Submitted(id=change.id, branch=branch, head=head, state=place.state, ahead=place.ahead))
    elif place.state == "settled":
        say(f"{change.id} had its ride at this head already")
    else:
        say(f"{change.id} is on the train, {place.ahead} ahead of it")


async def enqueue_change(
    client: "Client", repository: "Repository", change: "Change", *, solo: bool = False
) -> "QueuePlace":
    """Ask the train for a place, starting the train when there is none."""
    from leverframe.model.changes import Enqueue  # noqa: PLC0415 - the SDK loads when it is used
    from workflows.merge_train.messages import QueuePlace  # noqa: PLC0415

    request = Enqueue(
        change=change.id,
        head=change.head,
        priority=change.priority,
        author=change.author,
        solo=solo,
        title=change.title,
    )
    place: QueuePlace = await client.execute_update_with_start_workflow(
        "enqueue",
        request,
        start_workflow_operation=train_start(repository),
        result_type=QueuePlace,
        rpc_timeout=ANSWER,
    )
    return place


def train_start(repository: "Repository") -> "WithStartWorkflowOperation[object, object]":
    """Starts the repository's train unless it runs already."""
    from temporalio.client import WithStartWorkflowOperation  # noqa: PLC0415 - the SDK loads when it is used
    from temporalio.common import WorkflowIDConflictPolicy  # noqa: PLC0415

    from leverframe.model.ids import train_id  # noqa: PLC0415
    from workflows.merge_train.messages import TrainStart  # noqa: PLC0415
    from workflows.queues import HANDS  # noqa: PLC0415

    return WithStartWorkflowOperation[object, object](
        "MergeTrainWorkflow",
        TrainStart(repository=repository.name),
        id=train_id(repository.name, repository.target),
        task_queue=HANDS,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"Merge train of {repository.name} into {repository.target}",
    )


def _who(author: "Author") -> str:
    return f"{author.name} ({author.kind})"
