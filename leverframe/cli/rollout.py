"""`leverframe rollout`: flags on their way from internal users to everybody."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, ValidationError

from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import ANSWER, OfService, Reason, ask, given, load, of_service, query, start_once
from leverframe.login import me
from leverframe.model.errors import BadInput, Conflict

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.topology import Repository, RolloutPlan
    from workflows.flag_rollout.story import RolloutProgress
    from workflows.release.helm import Order

app = typer.Typer(help="Flags on their way from internal users to everybody.", no_args_is_help=True)

DONE = {"pause": "paused", "resume": "going on", "abort": "going off for everybody", "promote": "noted"}

AFlag = Annotated[str, typer.Argument(help="The flag's name.")]
As = Annotated[str, typer.Option("--as", help="Your name, if it is not your login name.")]


class RolloutRow(BaseModel):
    """One rollout, as a list shows it."""

    id: str
    service: str
    flag: str
    outcome: str
    """Empty while it runs."""
    status: str
    started_at: datetime
    ended_at: datetime | None


@app.command()
def start(
    flag: AFlag,
    reason: Reason,
    *,
    service: OfService = "",
    steps: Annotated[
        str, typer.Option(help="Other steps than declared, for example internal,5,50,100.")
    ] = "",
    person: As = "",
    as_json: AsJson = False,
) -> None:
    """Give a flag to internal users, then to ever more of the others, each step judged by what requests do.

    The flag must be off for everybody. Policy is asked before anybody who is not internal gets it.
    """
    from workflows.flag_rollout.story import RolloutStart  # noqa: PLC0415 - loads when it is used

    settings = load()
    repository = of_service(settings, service)
    begun = given(
        RolloutStart,
        repository=repository.name,
        service=repository.service.name,
        flag=flag,
        plan=_plan(repository, steps),
        by=_word(person, reason),
        ui_url=settings.temporal.ui_url,
    )

    async def started(client: "Client") -> str:
        from leverframe.model.ids import rollout_id  # noqa: PLC0415 - loads when it is used

        return await start_once(
            client,
            "FlagRolloutWorkflow",
            begun,
            id_=rollout_id(begun.service, flag),
            summary=f"Roll {flag} out to the users of {begun.service}",
            otherwise=Conflict(f"a rollout of {flag} goes on already: leverframe rollout explain {flag}"),
            repository=begun.repository,
            subject=flag,
        )

    id_ = ask(settings, started)
    if as_json:
        print_json({"id": id_, **begun.model_dump(mode="json", include={"service", "flag", "plan", "by"})})
        return
    way = ", ".join(f"{step.percent} %" for step in begun.plan.steps[1:])
    say(f"{id_}: internal users first, then {way}")


@app.command()
def status(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List rollouts, newest first."""

    async def found(client: "Client") -> list[RolloutRow]:
        from workflows import attributes  # noqa: PLC0415 - the SDK loads when it is used

        return [
            RolloutRow(
                id=one.id,
                service=one.id.split("/")[1],
                flag=one.id.split("/", 2)[2],
                outcome=one.typed_search_attributes.get(attributes.OUTCOME, ""),
                status=one.status.name.lower() if one.status else "unknown",
                started_at=one.start_time,
                ended_at=one.close_time,
            )
            async for one in client.list_workflows("WorkflowType = 'FlagRolloutWorkflow'", limit=limit)
        ]

    rows = ask(load(), found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("FLAG", "SERVICE", "OUTCOME", "STARTED"),
        [(row.flag, row.service, row.outcome or row.status, row.started_at) for row in rows],
        empty="No flag was rolled out yet.",
    )


@app.command()
def explain(flag: AFlag, service: OfService = "", as_json: AsJson = False) -> None:
    """Say where the newest rollout of a flag is and why: each step, what the gate saw, who told it what."""
    settings = load()
    of = of_service(settings, service).service.name

    async def progress(client: "Client") -> "RolloutProgress":
        from leverframe.model.ids import rollout_id  # noqa: PLC0415 - loads when it is used
        from workflows.flag_rollout.story import RolloutProgress  # noqa: PLC0415

        return await query(client, rollout_id(of, flag), "progress", RolloutProgress)

    found = ask(settings, progress)
    if as_json:
        print_json(found)
        return
    _show(found)


@app.command()
def pause(
    flag: AFlag, reason: Reason, service: OfService = "", person: As = "", as_json: AsJson = False
) -> None:
    """Keep a rollout on its step. Red is taken back all the same."""
    _order("pause", flag, service, _word(person, reason), as_json=as_json)


@app.command()
def resume(
    flag: AFlag, reason: Reason, service: OfService = "", person: As = "", as_json: AsJson = False
) -> None:
    """Let a paused rollout go on."""
    _order("resume", flag, service, _word(person, reason), as_json=as_json)


@app.command()
def promote(
    flag: AFlag, reason: Reason, service: OfService = "", person: As = "", as_json: AsJson = False
) -> None:
    """Have a step left ahead of the evidence: two people, neither the starter, and never while it is red."""
    _order("promote", flag, service, _word(person, reason), as_json=as_json)


@app.command()
def abort(
    flag: AFlag, reason: Reason, service: OfService = "", person: As = "", as_json: AsJson = False
) -> None:
    """Take a rollout back: the flag is off for everybody at once."""
    _order("abort", flag, service, _word(person, reason), as_json=as_json)


def _show(found: "RolloutProgress") -> None:
    helm = found.helm
    print_fields(
        {
            "flag": found.flag,
            "service": found.service,
            "started by": found.started_by,
            "now": found.audience.words(),
            "outcome": found.outcome,
            "detail": found.detail,
            "gate": found.verdict.colour if found.verdict else None,
            "because": found.verdict.reason if found.verdict else None,
            "evidence for harm": f"{found.verdict.evidence:g}" if found.verdict else None,
            "paused": helm.paused.words("has paused it") if helm.paused else None,
            "wants to leave the step": ", ".join(order.person for order in helm.leaving),
            **{name.replace("_", " "): f"{spent} ms" for name, spent in found.timings_ms.items()},
        }
    )
    rows = [(row.step, row.state, row.text) for row in found.rows]
    print_table(("STEP", "STATE", "WHAT HAPPENED"), rows, empty="It has not begun.")


def _order(update: str, flag: str, service: str, order: "Order", *, as_json: bool) -> None:
    from workflows.flag_rollout.story import RolloutProgress  # noqa: PLC0415 - loads when it is used

    settings = load()
    of = of_service(settings, service).service.name

    async def told(client: "Client") -> RolloutProgress:
        from leverframe.model.ids import rollout_id  # noqa: PLC0415 - loads when it is used

        handle = client.get_workflow_handle(rollout_id(of, flag))
        after: RolloutProgress = await handle.execute_update(
            update, order, result_type=RolloutProgress, rpc_timeout=ANSWER
        )
        return after

    after = ask(settings, told)
    if as_json:
        print_json(after)
        return
    waits = update == "promote" and not after.helm.leaves
    say(f"{flag}: {DONE[update]}" + ("; a second person has to want it, too" if waits else ""))


def _word(person: str, reason: str) -> "Order":
    from workflows.release.helm import Order  # noqa: PLC0415 - loads when it is used

    return given(Order, person=person or me(), reason=reason)


def _plan(repository: "Repository", steps: str) -> "RolloutPlan":
    """The declared plan, or one with other steps. Raises BadInput."""
    plan = repository.service.flag_rollout
    if not steps:
        return plan
    words = [word.strip().removesuffix("%").strip() for word in steps.split(",")]
    if words[0] != "internal" or not all(word.isdecimal() and len(word) <= 3 for word in words[1:]):
        raise BadInput(
            f"--steps {steps!r}: internal users first, then percents, for example internal,5,50,100"
        )
    try:
        return plan.with_percents((0, *map(int, words[1:])))
    except ValidationError as error:
        raise BadInput(f"--steps {steps!r}: {'; '.join(one['msg'] for one in error.errors())}") from error
