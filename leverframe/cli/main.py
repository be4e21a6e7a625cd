"""The command line: one file per noun, put together here."""

from typing import Annotated

import typer

from leverframe.cli import (
    approvals,
    audit,
    changes,
    demo,
    doctor,
    flags,
    flaky,
    infrastructure,
    ledger,
    policy,
    processes,
    release,
    report,
    rollout,
    runs,
    tests,
    train,
    train_trials,
)

app = typer.Typer(
    name="leverframe",
    help="Bounded remediation agents on one merge train and one canary, interlocked by policy.",
    epilog=(
        "Settings come from LEVERFRAME_CONFIG, else ./leverframe.toml, and from LEVERFRAME_* variables. "
        "Exit codes: 0 ok, 1 red or failed, 2 bad input, 3 not found, 4 unavailable, 5 refused."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only for this option

        try:
            typer.echo(version("leverframe"))
        except PackageNotFoundError:
            typer.echo("not installed: run from a source tree")
        raise typer.Exit


@app.callback()
def leverframe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


for group in (
    runs,
    approvals,
    changes,
    flags,
    flaky,
    tests,
    rollout,
    train,
    release,
    infrastructure,
    policy,
    ledger,
    audit,
    report,
):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])

train.app.command("simulate")(train_trials.simulate)
train.app.command("replay")(train_trials.replay)

app.command()(approvals.approve)
app.command()(approvals.deny)
app.command()(ledger.pause)
app.command()(ledger.resume)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(processes.up)
app.command()(processes.worker)
app.command()(processes.gateway)
app.command()(processes.router)
