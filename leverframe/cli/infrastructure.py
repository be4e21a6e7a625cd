"""`leverframe infrastructure`: whether dev is what the target branch says."""

import typer

from leverframe.cli.exits import Exit
from leverframe.cli.output import AsJson, print_json, print_table, say
from leverframe.cli.session import OfRepository, chosen, load

app = typer.Typer(help="Infrastructure of dev, as Terraform sees it.", no_args_is_help=True)


@app.callback()
def infrastructure() -> None:
    """Keeps `drift` a command of its own although it is the only one."""


@app.command("drift")
def drift(repository: OfRepository = "", as_json: AsJson = False) -> None:
    """Compare dev with the target's tip. Changes nothing. Exits 1 when something differs."""
    from leverframe.crews import build_infrastructure  # noqa: PLC0415 - backends load when they are used

    settings = load()
    report = build_infrastructure(settings).drift_of(chosen(settings, repository).name)
    if as_json:
        print_json(report)
    elif report.none:
        say(f"{report.workspace} is what {report.sha[:12]} says")
    else:
        print_table((f"DIFFERS FROM {report.sha[:12]}",), [(each,) for each in report.addresses], empty="")
    if not report.none:
        raise typer.Exit(Exit.FAILED)
