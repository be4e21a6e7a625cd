"""`leverframe ledger`, `pause` and `resume`: what holds a place, and the switch that stops every agent."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import Reason, ask, given, load, query
from leverframe.login import me
from leverframe.model.errors import Conflict
from leverframe.model.outcomes import Outcome

if TYPE_CHECKING:
    from temporalio.client import Client

    from activities.ledger import LedgerDoor
    from policies.overview import LedgerOverview
    from policies.reservations import PauseRequest, PauseState, Standing
    from policies.usage import Pause

    Act = Callable[[LedgerDoor, PauseRequest], Awaitable[PauseState]]

T = TypeVar("T")

app = typer.Typer(help="What the ledger has granted.", no_args_is_help=True)

Reservation = Annotated[str, typer.Argument(help="The reservation's id, as `ledger show` prints it.")]
OfAgent = Annotated[str, typer.Option("--agent", help="Only this agent.")]
OfRepo = Annotated[str, typer.Option("--repo", help="Only in this repository.")]
Ended = Annotated[Outcome, typer.Argument(help="How its effect ended.")]


@app.command("show")
def show_ledger(as_json: AsJson = False) -> None:
    """Show the room left under each limit, what holds a place, and whether the agents are paused."""
    found = standing()
    if as_json:
        print_json(found)
        return
    print_standing(found)


@app.command("settle")
def settle(reservation: Reservation, outcome: Ended, reason: Reason, as_json: AsJson = False) -> None:
    """Say how an effect ended whose run can't say it any more, so that its place is free again.

    A run settles what it reserved. Settle in its place only when it was terminated, and when you have seen
    how the effect ended. The first outcome stands.
    """
    from policies.reservations import SettledBy, Settlement  # noqa: PLC0415 - the policy loads when it is used

    person = given(SettledBy, by=me(), reason=reason)
    settlement = given(Settlement, reservation=reservation, outcome=outcome, settled_by=person)
    found: Standing = through_door(lambda door: door.settle(settlement))
    if found.outcome is not outcome:
        ended = f"settled as {found.outcome}" if found.outcome else f"{found.phase}"
        raise Conflict(f"{reservation} was {ended} before, and the first word stands")
    if as_json:
        print_json(found)
    else:
        say(f"{reservation} is settled as {outcome}: it holds no place any more.")


def pause(reason: Reason, agent: OfAgent = "", repo: OfRepo = "", as_json: AsJson = False) -> None:
    """Stop the agents: nothing is reserved or committed until `resume`; what is on its way ends."""
    _switch(lambda door, request: door.pause(request), reason, agent, repo, as_json=as_json)


def resume(reason: Reason, agent: OfAgent = "", repo: OfRepo = "", as_json: AsJson = False) -> None:
    """Let the policy decide again. Lifts the pause of the same scope, and no other."""
    _switch(lambda door, request: door.resume(request), reason, agent, repo, as_json=as_json)


def standing() -> "LedgerOverview":
    """The ledger as of now."""
    settings = load()

    async def overview(client: "Client") -> "LedgerOverview":
        from leverframe.model.ids import ledger_id  # noqa: PLC0415 - load when they are used
        from policies.overview import LedgerOverview  # noqa: PLC0415

        return await query(client, ledger_id(settings.organisation), "overview", LedgerOverview)

    return ask(settings, overview)


def print_standing(found: "LedgerOverview") -> None:
    """The pauses, the limits and the open reservations, for a person."""
    from policies.explain import LOST  # noqa: PLC0415 - the policy loads when it is used

    now = datetime.now(UTC)
    if found.began_anew is not None:
        say(f"began anew: at {found.began_anew:%Y-%m-%d %H:%M:%S} UTC; {LOST}")
    print_fields({"paused": "; ".join(_pause_words(pause) for pause in found.pauses) or "no"})
    for demotion in found.demotions:
        say(f"demoted: {demotion.agent} to {demotion.to}, {demotion.reason}")
    if found.refused_policy is not None:
        say(f"refused: the policy of {found.refused_policy.revision} can't be installed; this one stays")
    if found.parked:
        print_table(
            ("PARKED RUN", "WANTS TO", "SINCE"),
            [(run.run, run.words, run.since) for run in found.parked],
            empty="",
        )
    print_table(
        ("LIMIT", "SCOPE", "USED", "MAX", "WITHIN"),
        [(row.rule, row.scope, row.used, row.max, row.span) for row in found.headroom],
        empty="The policy in force has no limits.",
    )
    print_table(
        ("RESERVATION", "LEVER", "STATE", "SINCE", "AGE"),
        [
            (entry.id, entry.lever, entry.phase, entry.reserved_at, _whole_seconds(now - entry.reserved_at))
            for entry in found.open
        ],
        empty="Nothing holds a place.",
    )


def _whole_seconds(age: timedelta) -> timedelta:
    """Clocks differ: nothing is younger than now."""
    return max(timedelta(0), timedelta(seconds=round(age.total_seconds())))


def _switch(act: "Act", reason: str, agent: str, repo: str, *, as_json: bool) -> None:
    from policies.reservations import PauseRequest  # noqa: PLC0415 - the policy loads when it is used

    request = given(PauseRequest, by=me(), reason=reason, agent=agent or None, repository=repo or None)
    state: PauseState = through_door(lambda door: act(door, request))
    if as_json:
        print_json(state)
        return
    for pause in state.pauses:
        say(f"Paused {_pause_words(pause)}.")
    if not state.pauses:
        say("Nothing is paused: the policy decides.")


def _pause_words(pause: "Pause") -> str:
    """`everything by ada: a bad day`."""
    parts = [
        f"the agent {pause.agent}" if pause.agent else "",
        f"in {pause.repository}" if pause.repository else "",
    ]
    scope = " ".join(part for part in parts if part) or "everything"
    return f"{scope} by {pause.by}: {pause.reason}"


def through_door(act: "Callable[[LedgerDoor], Awaitable[T]]") -> T:
    """Ask the ledger as the engine's client. Raises as `LedgerDoor` does."""
    settings = load()

    async def acted(client: "Client") -> T:
        from activities.ledger import LedgerDoor  # noqa: PLC0415 - the SDK loads when it is used
        from workflows.queues import HANDS  # noqa: PLC0415

        return await act(LedgerDoor(client, settings.organisation, task_queue=HANDS))

    return ask(settings, acted)
