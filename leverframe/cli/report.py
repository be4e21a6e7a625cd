"""`leverframe report`: what the records say of a time."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli.output import AsJson, print_json, print_table, say
from leverframe.cli.session import instant, load
from leverframe.model.errors import BadInput, NotFound
from leverframe.settings import Settings

if TYPE_CHECKING:
    from leverframe.dora.figures import Figures, Report

app = typer.Typer(help="What the records say of a time.", no_args_is_help=True)

DAYS = 30


@app.callback()
def report() -> None:
    """Options of every report."""


@app.command("dora")
def dora(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days up to the end.")] = DAYS,
    since: Annotated[str, typer.Option("--since", help="Begin here instead: 2026-11-01T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option("--until", help="End before this time instead of now.")] = "",
    service: Annotated[str, typer.Option("--service", help="Only this service.")] = "",
    as_json: AsJson = False,
) -> None:
    """Count DORA's five delivery figures from the record of releases."""
    end = instant(until) if until else datetime.now(UTC)
    begin = instant(since) if since else end - timedelta(days=days)
    found = _found(load(), begin, end, service)
    if as_json:
        print_json(found)
        return
    _print(found)


def _found(settings: Settings, since: datetime, until: datetime, service: str) -> "Report":
    from leverframe.bootstrap import build_deployments  # noqa: PLC0415 - the store loads when it is used
    from leverframe.dora.figures import report as counted  # noqa: PLC0415

    if since >= until:
        raise BadInput(f"nothing lies between {since.isoformat()} and {until.isoformat()}")
    found = counted(build_deployments(settings).history(), since=since, until=until, service=service or None)
    declared = {repository.service.name for repository in settings.repositories}
    if service and not found.services and service not in declared:
        known = ", ".join(sorted(declared)) or "none"
        raise NotFound(f"no service {service!r} is declared or on record; declared: {known}")
    return found


def _print(found: "Report") -> None:
    say(f"From {_day(found.since)} to {_day(found.until)} UTC.")
    for figures in found.services:
        _print_one(f"\n{figures.service}", figures)
    if len(found.services) != 1:
        _print_one("\nall services" if found.services else "", found.total)
    say("")
    for note in found.notes:
        say(note)
    say(f"The definitions are DORA's ({found.definitions[0].source}); `--json` quotes them beside ours.")


def _print_one(title: str, figures: "Figures") -> None:
    from leverframe.dora.words import besides, lines  # noqa: PLC0415 - loads when it is used

    for line in title.splitlines():
        say(line)
    rows = [
        (f"  {line.name}" if line.part else line.name, line.value, line.detail) for line in lines(figures)
    ]
    print_table(("FIGURE", "VALUE", "OF WHAT"), rows, empty="")
    if figures.known_from is not None:
        say(f"{besides(figures)} On record since {_day(figures.known_from)} UTC.")


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
