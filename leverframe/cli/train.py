"""`leverframe train`: what waits to land, and what is being tested."""

from typing import TYPE_CHECKING

import typer

from leverframe.cli.output import AsJson, print_fields, print_json, print_table
from leverframe.cli.session import OfRepository, ask, chosen, load, query

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.changes import CarOutcome
    from workflows.merge_train.planner import Ride, TrainState

app = typer.Typer(help="The merge train of a repository.", no_args_is_help=True)


@app.command("show")
def show_train(repository: OfRepository = "", as_json: AsJson = False) -> None:
    """Show the train: the car that is tested now, and the queue behind it."""
    settings = load()
    declared = chosen(settings, repository)

    async def board(client: "Client") -> "TrainState":
        from leverframe.model.ids import train_id  # noqa: PLC0415 - load when they are used
        from workflows.merge_train.planner import TrainState  # noqa: PLC0415

        return await query(client, train_id(declared.name, declared.target), "board", TrainState)

    found = ask(settings, board)
    if as_json:
        print_json(found)
        return
    riding = {ride.sequence: ride for ride in found.rides}
    print_fields({"train": f"{declared.name} into {declared.target}"})
    print_table(
        ("CHANGE", "HEAD", "CLASS", "BY", "STATE"),
        [
            (
                item.change,
                item.head[:12],
                item.priority.name.lower(),
                item.author.name,
                _riding(riding[item.sequence]) if item.sequence in riding else "waits",
            )
            for item in found.queue.items
        ],
        empty="Nothing rides and nothing waits.",
    )
    print_table(
        ("LAST RIDES", "HOW THEY ENDED"),
        [(ended.outcome.change, _ended(ended.outcome)) for ended in reversed(found.settled)],
        empty="No ride has ended yet.",
    )


def _riding(ride: "Ride") -> str:
    if ride.car is None:
        return "is composed"
    return f"rides as {ride.car.sha[:12]}, {len(ride.results)} of {len(ride.required)} checks ran"


def _ended(outcome: "CarOutcome") -> str:
    if outcome.kind == "landed":
        return f"landed as {outcome.receipt.sha[:12]}, receipt {outcome.receipt.sequence}"
    return f"left ({outcome.reason}): {outcome.detail}"
