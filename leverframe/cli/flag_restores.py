"""Flags that are switched back: `runs undo`, `flags set --restore-in`, and `flags keep` against it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, print_fields, print_json, say
from leverframe.cli.session import ANSWER, OfService, Reason, ask, given, load, of_service, query, span
from leverframe.login import me
from leverframe.model.errors import Conflict, NotFound, Refused

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.outcomes import RunReport
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


def undo(
    run: Annotated[str, typer.Argument(help="The run's id, as `runs list` prints it.")],
    reason: Reason,
    *,
    within: Annotated[str, typer.Option("--in", help="Not at once but later: 90s, 15m, 2h.")] = "",
    person: As = "",
    as_json: AsJson = False,
) -> None:
    """Switch the flag back that a run switched last, if nobody has changed it since. Policy is asked.

    By default somebody else has to approve of switching it on. A roll-back is undone by the next release, a
    revert by reverting it.
    """
    settings = load()

    async def report(client: "Client") -> "RunReport":
        from leverframe.model.outcomes import RunReport  # noqa: PLC0415 - the models load when they are used

        described = await client.get_workflow_handle(run).describe(rpc_timeout=ANSWER)
        if described.workflow_type != "RemediationWorkflow":
            raise NotFound(f"{run} is not an agent run")
        return await query(client, run, "report", RunReport)

    found = ask(settings, report)
    flag, was_on, key = _flipped(found)
    begun = begin(
        settings,
        repository=found.repository,
        service=found.service,
        flag=flag,
        on=not was_on,
        switched_by=key,
        after=span(within) if within else timedelta(0),
        by=word(person, reason),
        run=run,
    )
    if as_json:
        print_json(begun)
    else:
        show(begun)


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
    from temporalio.common import WorkflowIDConflictPolicy  # noqa: PLC0415 - loads when it is used
    from temporalio.exceptions import WorkflowAlreadyStartedError  # noqa: PLC0415

    from leverframe.model.ids import restore_id  # noqa: PLC0415
    from workflows import attributes  # noqa: PLC0415
    from workflows.queues import HANDS  # noqa: PLC0415

    id_ = restore_id(request.service, request.flag)
    try:
        await client.start_workflow(
            "FlagRestoreWorkflow",
            request,
            id=id_,
            task_queue=HANDS,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            search_attributes=attributes.about(repository=request.repository, subject=request.flag),
            static_summary=f"Switch {request.flag} of {request.service} back",
            rpc_timeout=ANSWER,
        )
    except WorkflowAlreadyStartedError as error:
        raise Conflict(
            f"{request.flag} is to be switched back already: leverframe flags restore-status {request.flag}; "
            "`leverframe flags keep` ends that"
        ) from error
    return id_


def _flipped(found: "RunReport") -> tuple[str, bool, str]:
    """The flag that the run switched last, to what, and its reservation. Raises Refused."""
    from leverframe.model.proposals import FlipFlag  # noqa: PLC0415 - loads when it is used

    steps = found.proposal.steps if found.proposal else ()
    for step in reversed(found.steps):
        if step.reservation is None or "detected_to_flipped" not in step.timings_ms:
            continue
        place = step.reservation.rpartition("/")[2].partition(".")[0]
        effect = steps[int(place)].effect
        if isinstance(effect, FlipFlag):
            return effect.flag, effect.on, step.reservation
    raise Refused(
        f"{found.run} switched no flag; a roll-back is undone by the next release, a revert by reverting it"
    )


def word(person: str, reason: str) -> "Order":
    """A person's word. Raises BadInput."""
    from workflows.release.helm import Order  # noqa: PLC0415 - loads when it is used

    return given(Order, person=person or me(), reason=reason)


def show(begun: Begun) -> None:
    """When it is to be switched back, in words."""
    say(f"{begun.flag} is to be {'on' if begun.on else 'off'} again from {begun.at:%Y-%m-%d %H:%M:%S} UTC on")
    say(f"follow it: leverframe flags restore-status {begun.flag}")
