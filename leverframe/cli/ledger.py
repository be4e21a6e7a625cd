"""`leverframe pause` and `resume`: the switch that stops every agent at once."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from leverframe.cli.output import AsJson, print_json, say
from leverframe.cli.session import Reason, ask, given, load, me

if TYPE_CHECKING:
    from temporalio.client import Client

    from activities.ledger import LedgerDoor
    from policies.reservations import PauseRequest, PauseState

    Act = Callable[[LedgerDoor, PauseRequest], Awaitable[PauseState]]


def pause(reason: Reason, as_json: AsJson = False) -> None:
    """Stop every agent: nothing is reserved or committed until `resume`."""
    _ask_ledger(lambda door, request: door.pause(request), reason, as_json=as_json)


def resume(reason: Reason, as_json: AsJson = False) -> None:
    """Let the policy decide again."""
    _ask_ledger(lambda door, request: door.resume(request), reason, as_json=as_json)


def _ask_ledger(act: "Act", reason: str, *, as_json: bool) -> None:
    settings = load()
    person = me()

    async def acted(client: "Client") -> "PauseState":
        from activities.ledger import LedgerDoor  # noqa: PLC0415 - the SDK loads when it is used
        from policies.reservations import PauseRequest  # noqa: PLC0415
        from workflows.queues import HANDS  # noqa: PLC0415

        door = LedgerDoor(client, settings.organisation, task_queue=HANDS)
        return await act(door, given(PauseRequest, by=person, reason=reason))

    state = ask(settings, acted)
    if as_json:
        print_json(state)
    elif state.pause:
        say(f"Paused by {state.pause.by}: no effect happens until `leverframe resume`.")
    else:
        say("The policy decides again.")
