"""`leverframe train`: what waits to land, and what is being tested."""

from typing import TYPE_CHECKING

import typer

from leverframe.cli.output import AsJson, print_fields, print_json
from leverframe.cli.session import OfRepository, ask, chosen, load, query

if TYPE_CHECKING:
    from temporalio.client import Client

    from workflows.merge_train.messages import Board

app = typer.Typer(help="The merge train of a repository.", no_args_is_help=True)


@app.command("show")
def show_train(repository: OfRepository = "", as_json: AsJson = False) -> None:
    """Show the train: the car that is tested now, and the queue behind it."""
    settings = load()
    declared = chosen(settings, repository)

    async def board(client: "Client") -> "Board":
        from leverframe.model.ids import train_id  # noqa: PLC0415 - load when they are used
        from workflows.merge_train.messages import Board  # noqa: PLC0415

        return await query(client, train_id(declared.name, declared.target), "board", Board)

    found = ask(settings, board)
    if as_json:
        print_json(found)
        return
    print_fields({"train": f"{declared.name} into {declared.target}"})
