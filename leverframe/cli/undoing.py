"""`leverframe runs undo`: what a run did taken back, by policy's leave and by the way it was done."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli import flag_restores
from leverframe.cli.flag_restores import As
from leverframe.cli.output import AsJson, print_fields, print_json, say
from leverframe.cli.session import ANSWER, Reason, ask, load, query, span, start_once
from leverframe.model.errors import BadInput, Conflict, NotFound, Refused
from leverframe.model.proposals import ChangeQuarantine, FlipFlag, RollBack

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.outcomes import RunReport, StepReport
    from leverframe.settings import Settings
    from workflows.undo import UndoReport, UndoRequest

LOOK_WITHIN = timedelta(seconds=20)
"""How long a command waits to hear whether something can be undone."""
LOOK_SECONDS = 0.2
"""Between two looks at what an undo has found."""

ARun = Annotated[str, typer.Argument(help="The run's id, as `runs list` prints it.")]
FLIPPED = "detected_to_flipped"


class Undoing(BaseModel):
    """An undo that has begun."""

    id: str
    run: str
    step: int
    doing: str
    """What is to be done, verb first; empty while that is still being looked at."""
    detail: str


def undo(
    run: ARun,
    step: Annotated[
        int | None, typer.Argument(help="Which step, by the number that `runs show` prints.", min=0)
    ] = None,
    *,
    reason: Reason,
    within: Annotated[str, typer.Option("--in", help="A flag not at once but later: 90s, 15m, 2h.")] = "",
    person: As = "",
    as_json: AsJson = False,
) -> None:
    """Undo what a step did, unless somebody has changed the same thing since. Policy is asked, and people.

    A flag is switched back. After a roll-back production is pointed forward again to what it was rolled back
    from. What a merge request landed is reverted; tests that it quarantined leave the quarantine, and are not
    proposed again; entries that it renewed have their earlier day. All but flags go by the train. Without a
    step it is the flag that the run switched last, or, when it switched none, the last change that it opened.
    """
    settings = load()
    found = reported(settings, run)
    place, report = _chosen(found, step)
    effect = found.proposal.steps[place].effect if found.proposal else None
    if isinstance(effect, FlipFlag):
        begun = flag_restores.begin(
            settings,
            repository=found.repository,
            service=found.service,
            flag=effect.flag,
            on=not effect.on,
            switched_by=report.reservation,
            after=span(within) if within else timedelta(0),
            by=flag_restores.word(person, reason),
            run=run,
        )
        if as_json:
            print_json(begun)
        else:
            flag_restores.show(begun)
        return
    if within:
        raise BadInput("--in is for flags: what goes by the train is undone at once")
    undoing = _begin(settings, found, place, report, by=flag_restores.word(person, reason))
    if as_json:
        print_json(undoing)
        return
    say(f"step {place} of {run} is being undone: {undoing.doing or undoing.detail}")
    say(f"follow it: leverframe runs undo-status {run} {place}")


def undo_status(
    run: ARun,
    step: Annotated[int, typer.Argument(help="Which step, by the number that `runs show` prints.", min=0)],
    as_json: AsJson = False,
) -> None:
    """Show how the undo of a step stands or ended last. For a flag: `flags restore-status`."""
    settings = load()
    place, report = _chosen(reported(settings, run), step)
    if report.change is None:
        raise Refused(f"step {place} switched a flag: `leverframe flags restore-status` says where that is")

    async def asked(client: "Client") -> "UndoReport":
        from leverframe.model.ids import undo_id  # noqa: PLC0415 - loads when it is used
        from workflows.undo import UndoReport  # noqa: PLC0415

        return await query(client, undo_id(f"{run}/{place}"), "report", UndoReport)

    found = ask(settings, asked)
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "undoes": found.change,
            "for": found.by,
            "to do": found.doing,
            "outcome": found.outcome,
            "detail": found.detail,
            **{name.replace("_", " "): f"{spent} ms" for name, spent in found.timings_ms.items()},
        }
    )


def reported(settings: "Settings", run: str) -> "RunReport":
    """The report of an agent run. Raises NotFound."""

    async def report(client: "Client") -> "RunReport":
        from leverframe.model.outcomes import RunReport  # noqa: PLC0415 - the models load when they are used

        described = await client.get_workflow_handle(run).describe(rpc_timeout=ANSWER)
        if described.workflow_type != "RemediationWorkflow":
            raise NotFound(f"{run} is not an agent run")
        return await query(client, run, "report", RunReport)

    return ask(settings, report)


def _chosen(found: "RunReport", step: int | None) -> tuple[int, "StepReport"]:
    """The step that is meant, with its place in the ladder. Raises BadInput, Refused."""
    from leverframe.model.ids import step_of  # noqa: PLC0415 - loads when it is used

    taken = {step_of(one.reservation): one for one in found.steps if one.reservation}
    if step is not None:
        ladder = len(found.proposal.steps) if found.proposal else 0
        if step >= ladder:
            raise BadInput(f"{found.run} has no step {step}: `leverframe runs show {found.run}` lists them")
        if step not in taken:
            raise Refused(f"step {step} of {found.run} was never taken: there is nothing to undo")
        if not _did(taken[step]):
            raise Refused(
                f"step {step} of {found.run} changed nothing ({taken[step].result}: {taken[step].detail})"
            )
        return step, taken[step]
    did = [place for place, one in taken.items() if _did(one)]
    if not did:
        raise Refused(f"{found.run} switched no flag and opened no change: there is nothing to undo")
    flips = [place for place in did if FLIPPED in taken[place].timings_ms]
    place = (flips or did)[-1]
    return place, taken[place]


def _did(step: "StepReport") -> bool:
    return step.change is not None or FLIPPED in step.timings_ms


def _begin(
    settings: "Settings", found: "RunReport", place: int, report: "StepReport", **given: object
) -> Undoing:
    """Start the undo, and wait a moment for what it finds. Raises Refused: it can't be undone; Conflict."""
    from workflows.undo import UndoRequest  # noqa: PLC0415 - loads when it is used

    assert found.proposal is not None  # noqa: S101 - it has a step
    step = found.proposal.steps[place]
    request = UndoRequest.model_validate(
        {
            "repository": found.repository,
            "service": found.service,
            "subject": found.subject,
            "run": found.run,
            "change": report.change,
            "back_to": step.effect.to if isinstance(step.effect, RollBack) else None,
            "quarantine": step.effect if isinstance(step.effect, ChangeQuarantine) else None,
            "barred": found.proposal.barred(step),
            "ui_url": settings.temporal.ui_url,
            **given,
        }
    )

    async def begun(client: "Client") -> "tuple[str, UndoReport]":
        return await _looked(client, request, place)

    id_, seen = ask(settings, begun)
    if seen.outcome is not None and not seen.looked:
        raise Refused(seen.detail)
    return Undoing(id=id_, run=found.run, step=place, doing=seen.doing, detail=seen.detail)


async def _looked(client: "Client", request: "UndoRequest", place: int) -> "tuple[str, UndoReport]":
    """Start it, and what it says once it has looked, or as soon as one can't wait for that any longer."""
    from leverframe.model.ids import undo_id  # noqa: PLC0415 - loads when it is used
    from workflows.undo import UndoReport  # noqa: PLC0415

    follow = f"leverframe runs undo-status {request.run} {place}"
    id_ = await start_once(
        client,
        "UndoWorkflow",
        request,
        id_=undo_id(f"{request.run}/{place}"),
        summary=f"Undo {request.change} of {request.service}",
        otherwise=Conflict(f"step {place} of {request.run} is being undone already: {follow}"),
        repository=request.repository,
        subject=request.subject,
    )
    for _ in range(round(LOOK_WITHIN.total_seconds() / LOOK_SECONDS)):
        seen = await query(client, id_, "report", UndoReport)
        if seen.looked or seen.outcome is not None:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return id_, seen
