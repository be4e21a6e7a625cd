"""`leverframe release again`: a release that failed before production is begun once more, by a person."""

from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, print_json, say
from leverframe.cli.release_steering import As, AService
from leverframe.cli.session import ANSWER, Reason, ask, given, load, start_once
from leverframe.login import me
from leverframe.model.errors import NotFound, Refused
from leverframe.model.releases import ReleaseOutcome, ReleaseRequest

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.changes import Receipt
    from leverframe.model.topology import Repository
    from leverframe.settings import Settings

MOST = 1000
"""Receipts that are looked through, newest first."""


class Begun(BaseModel):
    """A release that was begun once more."""

    id: str
    sha: str
    person: str
    reason: str


def again(
    service: AService,
    sha: Annotated[str, typer.Argument(help="The landed commit, all 40 digits.")],
    reason: Reason,
    person: As = "",
    as_json: AsJson = False,
) -> None:
    """Begin a release once more that failed before it reached production: its build, or dev."""
    from workflows.release.helm import Order  # noqa: PLC0415 - loads when it is used

    settings = load()
    repository = settings.repository_of(service)
    order = given(Order, person=person or me(), reason=reason)
    receipt = _receipt(settings, repository, sha)

    async def begun(client: "Client") -> str:
        from leverframe.model.ids import release_id  # noqa: PLC0415 - loads when it is used

        id_ = release_id(service, sha)
        if (why := await _refusal(client, id_)) is not None:
            raise Refused(f"{sha[:12]} can't be released again: {why}")
        return await start_once(
            client,
            "ReleaseWorkflow",
            ReleaseRequest(receipt=receipt),
            id_=id_,
            summary=f"Release {service} {sha[:12]} again ({order.person}: {order.reason})"[:200],
            otherwise=Refused(f"{sha[:12]} can't be released again: it is on its way"),
            repository=repository.name,
        )

    id_ = ask(settings, begun)
    if as_json:
        print_json(Begun(id=id_, sha=sha, person=order.person, reason=order.reason))
        return
    say(f"{sha[:12]}: begun again. See how it goes: leverframe release status {service}")


async def _refusal(client: "Client", id_: str) -> str | None:
    """Why it must not begin again; None where it failed before production, or the engine forgot it."""
    from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError  # noqa: PLC0415
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415

    handle = client.get_workflow_handle(id_, result_type=ReleaseOutcome)
    try:
        if (await handle.describe(rpc_timeout=ANSWER)).status is WorkflowExecutionStatus.RUNNING:
            return "it is on its way"
        outcome: ReleaseOutcome = await handle.result(rpc_timeout=ANSWER)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    except WorkflowFailureError:
        return "it was ended at the engine: see what production runs, and land a new change"
    if outcome.outcome == "failed" and not outcome.reached_percent:
        return None
    how = outcome.outcome.replace("_", " ")
    remedy = "" if outcome.outcome in ("landed", "superseded") else ". Land a change that mends it"
    return f"it has {how if how == 'landed' else f'ended as {how}'}: {outcome.detail}{remedy}"


def _receipt(settings: "Settings", repository: "Repository", sha: str) -> "Receipt":
    """The proof that it landed. Raises NotFound."""
    from leverframe.forges import build_track  # noqa: PLC0415 - loads when it is used

    for receipt in build_track(settings).receipts(repository, limit=MOST):
        if receipt.sha == sha:
            return receipt
    raise NotFound(f"none of the newest {MOST} receipts is about {sha!r}: give all 40 digits of the commit")
