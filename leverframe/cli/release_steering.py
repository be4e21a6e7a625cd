"""`leverframe release status`, `explain`, and the levers `pause`, `resume`, `promote` and `abort`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import ANSWER, Reason, ask, given, load, query
from leverframe.login import me
from leverframe.model.errors import BadInput, NotFound

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.settings import Settings
    from workflows.release.helm import Order
    from workflows.release.story import Progress

DONE = {"pause": "paused", "resume": "going on", "abort": "going back", "promote": "noted"}

MOST = 50
"""Releases of one service that are looked at, newest first."""

AService = Annotated[str, typer.Argument(help="The service's name, as declared.")]
OfCommit = Annotated[str, typer.Option("--sha", help="The landed commit, when several are on their way.")]
As = Annotated[str, typer.Option("--as", help="Your name, if it is not your login name.")]


class Standing(BaseModel):
    """Where the releases of one service are."""

    service: str
    releases: list[dict[str, Any]]
    """Those on their way, the one in the canary first."""


def status(service: AService, as_json: AsJson = False) -> None:
    """Show what is on its way to production, and how far it is."""
    found = _running(load(), service)
    if as_json:
        rows = [one.model_dump(mode="json") for one in found]
        print_json(Standing(service=service, releases=rows))
        return
    print_table(
        ("COMMIT", "TRAFFIC", "PAUSED BY", "STANDS STILL", "WHAT HAPPENS"),
        [
            (
                one.sha[:12],
                f"{one.percent} %",
                one.helm.paused.person if one.helm.paused else "",
                one.standstill.words() if one.standstill else "",
                one.rows[-1].text if one.rows else "it has not begun",
            )
            for one in found
        ],
        empty=f"Nothing of {service} is on its way.",
    )


def explain(service: AService, sha: OfCommit = "", as_json: AsJson = False) -> None:
    """Say why a release is where it is: each step, what the gate saw, and who told it what."""
    one = _chosen(_running(load(), service), service, sha)
    if as_json:
        print_json(one)
        return
    helm = one.helm
    print_fields(
        {
            "commit": one.sha,
            "traffic": f"{one.percent} %",
            "gate": one.verdict.colour if one.verdict else None,
            "because": one.verdict.reason if one.verdict else None,
            "evidence for harm": f"{one.verdict.evidence:g}" if one.verdict else None,
            "stands still": one.standstill.words() if one.standstill else None,
            "paused": helm.paused.words("has paused it") if helm.paused else None,
            "wants to leave the step": ", ".join(order.person for order in helm.leaving),
        }
    )
    rows = [(row.step, row.state, row.text) for row in one.rows]
    print_table(("STEP", "STATE", "WHAT HAPPENED"), rows, empty="It has not begun.")


def pause(
    service: AService, reason: Reason, sha: OfCommit = "", person: As = "", as_json: AsJson = False
) -> None:
    """Keep a release on its step, or out of production. Red is taken back all the same."""
    _order("pause", service, sha, _word(person, reason), as_json=as_json)


def resume(
    service: AService, reason: Reason, sha: OfCommit = "", person: As = "", as_json: AsJson = False
) -> None:
    """Let a paused release go on."""
    _order("resume", service, sha, _word(person, reason), as_json=as_json)


def abort(
    service: AService, reason: Reason, sha: OfCommit = "", person: As = "", as_json: AsJson = False
) -> None:
    """Take a release back: all requests to stable at once, then the overlay."""
    _order("abort", service, sha, _word(person, reason), as_json=as_json)


def promote(
    service: AService, reason: Reason, sha: OfCommit = "", person: As = "", as_json: AsJson = False
) -> None:
    """Have a step left ahead of the evidence: two people, neither the author, and never while it is red."""
    _order("promote", service, sha, _word(person, reason), as_json=as_json)


def _order(update: str, service: str, sha: str, order: "Order", *, as_json: bool) -> None:
    from workflows.release.story import Progress  # noqa: PLC0415 - loads when it is used

    settings = load()
    one = _chosen(_running(settings, service), service, sha)

    async def told(client: "Client") -> Progress:
        from leverframe.model.ids import release_id  # noqa: PLC0415 - loads when it is used

        handle = client.get_workflow_handle(release_id(service, one.sha))
        after: Progress = await handle.execute_update(update, order, result_type=Progress, rpc_timeout=ANSWER)
        return after

    after = ask(settings, told)
    if as_json:
        print_json(after)
        return
    waits = update == "promote" and not after.helm.leaves
    say(f"{one.sha[:12]}: {DONE[update]}" + ("; a second person has to want it, too" if waits else ""))


def _word(person: str, reason: str) -> "Order":
    from workflows.release.helm import Order  # noqa: PLC0415 - loads when it is used

    return given(Order, person=person or me(), reason=reason)


def _running(settings: "Settings", service: str) -> "list[Progress]":
    """The releases on their way, the one that gets requests first. Raises NotFound for no such service."""
    known = sorted(repository.service.name for repository in settings.repositories)
    if service not in known:
        raise NotFound(f"no declared repository builds {service!r}; there are: {', '.join(known) or 'none'}")

    async def found(client: "Client") -> "list[Progress]":
        from leverframe.model.ids import release_id  # noqa: PLC0415 - load when they are used
        from workflows.release.story import Progress  # noqa: PLC0415

        prefix = release_id(service, "")
        wanted = "WorkflowType = 'ReleaseWorkflow' AND ExecutionStatus = 'Running'"
        ids = [
            one.id
            async for one in client.list_workflows(wanted, limit=10 * MOST)
            if one.id.startswith(prefix)
        ]
        return [await query(client, one, "progress", Progress) for one in ids[:MOST]]

    return sorted(ask(settings, found), key=lambda one: -one.percent)


def _chosen(found: "list[Progress]", service: str, sha: str) -> "Progress":
    """The one that is meant. Raises NotFound, BadInput."""
    named = [one for one in found if one.sha.startswith(sha)] if sha else found
    if not named:
        which = f"the commit {sha!r} is not" if sha else f"nothing of {service} is"
        raise NotFound(f"{which} on its way")
    serving = [one for one in named if one.percent]
    if len(named) > 1 and len(serving) != 1:
        several = ", ".join(one.sha[:12] for one in named)
        raise BadInput(f"several are on their way: say --sha with one of {several}")
    return serving[0] if serving else named[0]
