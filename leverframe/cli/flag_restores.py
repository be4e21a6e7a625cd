"""Flags that are switched back: `flags set --restore-in`, `flags keep` against it, half of `runs undo`."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, print_fields, print_json, say
from leverframe.cli.session import ANSWER, OfService, Reason, ask, given, load, of_service, query, start_once
from leverframe.login import me
from leverframe.model.errors import Conflict

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.settings import Settings
    from workflows.flag_restore import RestoreReport, RestoreRequest
    from workflows.release.helm import Order

As = Annotated[str, typer.Option("--as", help="Your name, if it is not your login name.")]


class Begun(BaseModel):
    """What was begun."""

    id: str
    flag: str
    on: bool
    at: datetime


def keep(
    flag: Annotated[str, typer.Argument(help="The flag's name.")],
    reason: Reason,
    service: OfService = "",
    person: As = "",
    as_json: AsJson = False,
) -> None:
    """Leave a flag as it is that was to be switched back later."""
    from workflows.flag_restore import RestoreReport  # noqa: PLC0415 - loads when it is used

    settings = load()
    of = of_service(settings, service).service.name
    order = word(person, reason)

    async def told(client: "Client") -> RestoreReport:
        from leverframe.model.ids import restore_id  # noqa: PLC0415 - loads when it is used

        handle = client.get_workflow_handle(restore_id(of, flag))
        after: RestoreReport = await handle.execute_update(
            "keep", order, result_type=RestoreReport, rpc_timeout=ANSWER
        )
        return after

    after = ask(settings, told)
    if as_json:
        print_json(after)
    else:
        say(f"{flag} stays as it is")


def restores(
    flag: Annotated[str, typer.Argument(help="The flag's name.")],
    service: OfService = "",
    as_json: AsJson = False,
) -> None:
    """Show whether and when a flag is to be switched back, and how the last time ended."""
    settings = load()
    of = of_service(settings, service).service.name

    async def report(client: "Client") -> "RestoreReport":
        from leverframe.model.ids import restore_id  # noqa: PLC0415 - loads when it is used
        from workflows.flag_restore import RestoreReport  # noqa: PLC0415

        return await query(client, restore_id(of, flag), "report", RestoreReport)

    found = ask(settings, report)
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "flag": found.flag,
            "to be": "on" if found.on else "off",
            "at": found.at,
            "for": found.by,
            "outcome": found.outcome,
            "detail": found.detail,
            "kept": found.kept.words("keeps it as it is") if found.kept else None,
            **{name.replace("_", " "): f"{spent} ms" for name, spent in found.timings_ms.items()},
        }
    )


def begin(settings: "Settings", *, after: timedelta, **fields: object) -> Begun:
    """Start the wait, which no restart ends. Raises Conflict when the flag waits already."""
    from workflows.flag_restore import RestoreRequest  # noqa: PLC0415 - loads when it is used

    at = datetime.now(UTC) + after
    request = given(RestoreRequest, at=at, ui_url=settings.temporal.ui_url, **fields)

    async def started(client: "Client") -> str:
        return await _started(client, request)

    return Begun(id=ask(settings, started), flag=request.flag, on=request.on, at=at)


async def _started(client: "Client", request: "RestoreRequest") -> str:
    from leverframe.model.ids import restore_id  # noqa: PLC0415 - loads when it is used

    return await start_once(
        client,
        "FlagRestoreWorkflow",
        request,
        id_=restore_id(request.service, request.flag),
        summary=f"Switch {request.flag} of {request.service} back",
        otherwise=Conflict(
            f"{request.flag} is to be switched back already: leverframe flags restore-status {request.flag}; "
            "`leverframe flags keep` ends that"
        ),
        repository=request.repository,
        subject=request.flag,
    )


def word(person: str, reason: str) -> "Order":
    """A person's word. Raises BadInput."""
    from workflows.release.helm import Order  # noqa: PLC0415 - loads when it is used

    return given(Order, person=person or me(), reason=reason)


def show(begun: Begun) -> None:
    """When it is to be switched back, in words."""
    say(f"{begun.flag} is to be {'on' if begun.on else 'off'} again from {begun.at:%Y-%m-%d %H:%M:%S} UTC on")
    say(f"follow it: leverframe flags restore-status {begun.flag}")
