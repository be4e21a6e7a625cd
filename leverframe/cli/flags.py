"""`leverframe flags`: look at flags, and switch one as a person."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import BaseModel

from leverframe.cli import flag_restores
from leverframe.cli.output import AsJson, print_json, print_table, say
from leverframe.cli.session import OfService, Reason, load, of_service, span
from leverframe.login import me
from leverframe.model.flags import Part

if TYPE_CHECKING:
    from leverframe.model.facts import FlagState

app = typer.Typer(help="Feature flags, as the flag backend has them.", no_args_is_help=True)


class Switched(BaseModel):
    """What a switch did."""

    flag: str
    on: bool
    changed: bool
    restore_at: datetime | None = None
    """From when on it is to be switched back."""


@app.command("list")
def list_flags(as_json: AsJson = False) -> None:
    """List every flag and whether it is on."""
    from leverframe.bootstrap import build_flags  # noqa: PLC0415 - backends load when they are used

    states = build_flags(load()).list()
    if as_json:
        print_json(states)
        return
    print_table(
        ("FLAG", "STATE", "SAFE TO KILL"),
        [(state.flag, _standing(state), "yes" if state.kill else "no") for state in states],
        empty="The flag backend knows no flag.",
    )


def _standing(state: "FlagState") -> str:
    if state.percent is not None:
        return Part(percent=state.percent).words()
    return "on" if state.on else "off"


@app.command("set")
def set_flag(
    flag: Annotated[str, typer.Argument(help="The flag's name.")],
    state: Annotated[Literal["on", "off"], typer.Argument(help="What it should be, for everybody.")],
    reason: Reason,
    *,
    restore_in: Annotated[
        str,
        typer.Option(help="Switch it back after 15m, 2h …, unless somebody changes it; policy is asked."),
    ] = "",
    service: OfService = "",
    as_json: AsJson = False,
) -> None:
    """Switch a flag for everybody. A person's own act: no policy is asked."""
    from leverframe.bootstrap import build_flags  # noqa: PLC0415 - backends load when they are used

    on = state == "on"
    key = f"{me()}/{datetime.now(UTC).isoformat()}"
    settings, after = load(), span(restore_in) if restore_in else None
    declared = of_service(settings, service) if after else None
    changed = build_flags(settings).set(flag, on, key=key, reason=reason)
    back = None
    if after and declared and changed:
        back = flag_restores.begin(
            settings,
            repository=declared.name,
            service=declared.service.name,
            flag=flag,
            on=not on,
            switched_by=key,
            after=after,
            by=flag_restores.word("", reason),
        )
    if as_json:
        print_json(Switched(flag=flag, on=on, changed=changed, restore_at=back.at if back else None))
        return
    say(f"{flag} is {state}" + ("" if changed else ", as it was"))
    if back:
        flag_restores.show(back)


app.command("restore-status")(flag_restores.restores)
app.command("keep")(flag_restores.keep)
