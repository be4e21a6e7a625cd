"""`leverframe train`: what waits to land, what is being tested, and the levers that steer it."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click
import typer
from pydantic import BaseModel

from leverframe.cli import train_doctor
from leverframe.cli.changes import enqueue_change
from leverframe.cli.exits import Exit
from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import (
    ANSWER,
    OfRepository,
    Reason,
    ask,
    chosen,
    given,
    instant,
    load,
    query,
    span,
)
from leverframe.login import me
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.untrusted import Untrusted

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.topology import Repository
    from leverframe.settings import Settings
    from workflows.merge_train.view import CarView, EndedView, TrainView

app = typer.Typer(help="The merge train of a repository.", no_args_is_help=True)
app.command("doctor")(train_doctor.doctor)

SEEN = 8
"""Rides that have ended, on a screen that is watched."""

AChange = Annotated[str, typer.Argument(help="The change's id, for example shop/7.")]
As = Annotated[str, typer.Option("--as", help="Your name, if it is not your login name.")]


@app.command("status")
def status(repository: OfRepository = "", as_json: AsJson = False) -> None:
    """Show the train: the cars under test, who waits and why, and how the last rides ended."""
    settings = load()
    shown = _view(settings, chosen(settings, repository))
    if as_json:
        print_json(shown)
    else:
        _print(shown)


@app.command("watch")
def watch(
    repository: OfRepository = "",
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Show the train again and again, until Ctrl-C."""
    settings = load()
    declared = chosen(settings, repository)
    shown = _view(settings, declared)
    with suppress(KeyboardInterrupt):
        while True:
            click.clear()
            say(f"{datetime.now(UTC):%H:%M:%S} UTC, Ctrl-C ends this")
            _print(shown, rides=SEEN)
            time.sleep(every)
            try:
                shown = _view(settings, declared)
            except Unavailable as error:  # It may come back; what was known stays in sight meanwhile.
                say(f"not up to date: {error}")
                time.sleep(every)


@app.command("explain")
def explain(change: AChange, as_json: AsJson = False) -> None:
    """Say where a change is, what it waits for, and how its rides ended. Exits 3 for an unknown one."""
    from workflows.merge_train.view import Explanation  # noqa: PLC0415 - loads when it is used

    settings = load()
    declared = _of(settings, change)

    async def told(client: "Client") -> Explanation:
        handle = client.get_workflow_handle(_train(declared))
        answer: Explanation = await handle.query(
            "explain", change, result_type=Explanation, rpc_timeout=ANSWER
        )
        return answer

    found = ask(settings, told)
    if as_json:
        print_json(found)
    else:
        print_fields({"change": found.change, "state": found.state, "what": _plain(found.words)})
        _print_ended(found.ended, "it has had no ride yet")
    if found.state == "unknown":
        raise typer.Exit(Exit.NOT_FOUND)


@app.command("enqueue")
def enqueue(
    change: AChange,
    priority: Annotated[Literal["normal", "hotfix"], typer.Option(help="A hotfix rides first.")] = "normal",
    solo: Annotated[bool, typer.Option(help="Never test it as a part of a batch.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put an open change on the train, at exactly its present head."""
    from leverframe.forges import build_changes  # noqa: PLC0415 - backends load when they are used
    from leverframe.model.changes import Priority  # noqa: PLC0415

    settings = load()
    declared = _of(settings, change)
    found = build_changes(settings).change(change)
    wanted = found.model_copy(update={"priority": Priority[priority.upper()]})
    place = ask(settings, lambda client: enqueue_change(client, declared, wanted, solo=solo))
    if as_json:
        print_json(place)
    elif place.state == "settled":
        say(f"{change} had its ride at this head already")
    else:
        say(f"{change} is on the train at {found.head[:12]}, {place.ahead} ahead of it")


@app.command("dequeue")
def dequeue(change: AChange, as_json: AsJson = False) -> None:
    """Take a change off before it lands. A landing that is under way wins."""
    settings = load()
    known: bool = _tell(settings, _of(settings, change), "withdraw", change, bool)
    if as_json:
        print_json({"change": change, "dequeued": known})
    elif known:
        say(f"{change} is being taken off")
    else:
        raise NotFound(f"{change} is not on the train")


@app.command("freeze")
def freeze(
    *,
    reason: Reason,
    mode: Annotated[
        Literal["drain", "hold_landing", "hotfix_only"],
        typer.Option(help="drain: take nothing new. hold_landing: test, land nothing. hotfix_only."),
    ] = "hold_landing",
    until: Annotated[str, typer.Option(help="When it ends by itself: 2026-11-22T18:00:00Z.")] = "",
    lasting: Annotated[str, typer.Option("--for", help="Or after how long: 90s, 15m, 2h, 1d.")] = "",
    owner: As = "",
    repository: OfRepository = "",
    as_json: AsJson = False,
) -> None:
    """Stop the train, in one of three ways."""
    from workflows.merge_train.messages import FreezeRequest  # noqa: PLC0415 - loads when it is used

    settings = load()
    end = datetime.now(UTC) + span(lasting) if lasting else instant(until) if until else None
    asked = given(FreezeRequest, mode=mode, owner=owner or me(), reason=reason, until=end)
    _steer(settings, chosen(settings, repository), "freeze", asked, as_json=as_json)


@app.command("thaw")
def thaw(reason: Reason, owner: As = "", repository: OfRepository = "", as_json: AsJson = False) -> None:
    """Let the train go on; what an audit found counts as seen."""
    from workflows.merge_train.messages import ThawRequest  # noqa: PLC0415 - loads when it is used

    settings = load()
    asked = given(ThawRequest, owner=owner or me(), reason=reason)
    _steer(settings, chosen(settings, repository), "thaw", asked, as_json=as_json)


@app.command("vouch-dev")
def vouch_dev(reason: Reason, owner: As = "", repository: OfRepository = "", as_json: AsJson = False) -> None:
    """Say that dev is what the target says, when the train can't put it back itself."""
    from workflows.merge_train.messages import ThawRequest  # noqa: PLC0415 - loads when it is used

    settings = load()
    asked = given(ThawRequest, owner=owner or me(), reason=reason)
    _steer(settings, chosen(settings, repository), "vouch_for_dev", asked, as_json=as_json)


@app.command("vouch")
def vouch(
    change: AChange,
    reason: Reason,
    check: Annotated[list[str] | None, typer.Option(help="A check that it still has to pass.")] = None,
    person: As = "",
    as_json: AsJson = False,
) -> None:
    """Want a change landed with fewer checks. It takes two people, neither of them its author."""
    from leverframe.forges import build_changes  # noqa: PLC0415 - backends load when they are used
    from workflows.merge_train.messages import Vouch  # noqa: PLC0415

    settings = load()
    head = build_changes(settings).change(change).head
    asked = given(
        Vouch, change=change, head=head, person=person or me(), reason=reason, checks=tuple(check or ())
    )
    state: str = _tell(settings, _of(settings, change), "vouch", asked, str)
    if as_json:
        print_json({"change": change, "state": state})
    else:
        say(
            {"first": "noted; a second person has to vouch, too"}.get(
                state, "both have vouched: it overrides"
            )
        )


@app.command("audit")
def audit(
    repository: OfRepository = "",
    since: Annotated[str, typer.Option(help="A commit that is vouched for; all of it without one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Compare every commit of the target with its receipt. Exit 1 when something is not proven."""
    from leverframe.forges import build_track  # noqa: PLC0415 - backends load when they are used

    settings = load()
    report = build_track(settings).audit(chosen(settings, repository), since=since or None)
    if as_json:
        print_json(report)
    else:
        print_fields(
            {
                "target": f"{report.repository} {report.target} at {report.tip[:12]}",
                "read": f"{report.commits} commits, {report.receipts} receipts",
                "verdict": "whole" if report.whole else f"{len(report.findings)} not proven",
            }
        )
        for finding in report.findings:
            say(f"{finding.kind} at {finding.sha[:12]}: {Untrusted(finding.detail).for_terminal(500)}")
    if not report.whole:
        raise typer.Exit(Exit.FAILED)


def _view(settings: "Settings", declared: "Repository") -> "TrainView":
    from workflows.merge_train.state import TrainState  # noqa: PLC0415 - loads when it is used
    from workflows.merge_train.view import TrainView, view  # noqa: PLC0415

    try:
        return ask(settings, lambda client: query(client, _train(declared), "view", TrainView))
    except NotFound:  # A train begins with its first change.
        return view(declared.name, TrainState(rules=declared.train), datetime.now(UTC))


def _steer(
    settings: "Settings", declared: "Repository", name: str, asked: BaseModel, *, as_json: bool
) -> None:
    """Say something to the train, beginning it if need be, and show what it has become."""
    from workflows.merge_train.view import TrainView  # noqa: PLC0415 - loads when it is used

    shown: TrainView = _tell(settings, declared, name, asked, TrainView)
    if as_json:
        print_json(shown)
    else:
        _print(shown)


def _tell(settings: "Settings", declared: "Repository", name: str, asked: object, answer: Any) -> Any:
    from leverframe.cli.changes import train_start  # noqa: PLC0415 - loads when it is used

    async def told(client: "Client") -> Any:
        return await client.execute_update_with_start_workflow(
            name,
            asked,
            start_workflow_operation=train_start(declared),
            result_type=answer,
            rpc_timeout=ANSWER,
        )

    return ask(settings, told)


def _of(settings: "Settings", change: str) -> "Repository":
    """The repository that a change's id names. Raises BadConfiguration."""
    return settings.repository(change.rpartition("/")[0])


def _train(declared: "Repository") -> str:
    from leverframe.model.ids import train_id  # noqa: PLC0415 - loads when it is used

    return train_id(declared.name, declared.target)


def _print(shown: "TrainView", *, rides: int | None = None) -> None:
    print_fields(
        {
            "train": f"{shown.repository}, {shown.mode}",
            "runners": f"{shown.runners_busy} of {shown.rules.runners} busy",
            "track": f"{shown.track}: {shown.track_why}",
            "frozen": f"{shown.freeze.owner}: {shown.freeze.reason}" if shown.freeze else None,
            "dev": _plain(shown.dev),
            "audit": f"{len(shown.findings)} findings: `leverframe train audit`" if shown.findings else None,
        }
    )
    print_table(
        ("", "CHANGE", "TITLE", "CLASS", "BY", "STATE", "CAR", "CHECKS", "WHY"),
        [_row(car) for car in shown.cars],
        empty="Nothing rides and nothing waits.",
    )
    if more := shown.queued - len(shown.cars):
        say(f"… and {more} more wait behind them.")
    _print_ended(shown.ended[:rides], "No ride has ended yet.")


def _row(car: "CarView") -> tuple[object, ...]:
    from workflows.merge_train.view import STATES  # noqa: PLC0415 - loads when it is used

    checks = ", ".join(f"{check.name} {check.state}" for check in car.checks)
    stands = f" on {', '.join(car.below)}" if car.below else ""
    name = f"{car.car[:12]}{stands}" if car.car else ""
    who = (car.position + 1, car.change, car.title, car.priority, car.author)
    return *who, STATES[car.state], name, checks, _plain(car.why)


def _print_ended(ended: "tuple[EndedView, ...]", empty: str) -> None:
    print_table(
        ("LAST RIDES", "TITLE", "END", "WHY"),
        [(one.change, one.title, one.outcome, f"{one.reason}: {_plain(one.detail)}") for one in ended],
        empty=empty,
    )


def _plain(detail: str) -> str:
    """What a text of the train says, without its Markdown and its log."""
    from workflows.merge_train.words import plain  # noqa: PLC0415 - loads when it is used

    return plain(detail)[0]
