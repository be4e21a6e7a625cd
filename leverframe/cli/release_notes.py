"""`leverframe release notes`: what a release brought, from what was kept or from git and its receipts."""

from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, on_a_terminal, print_json, say
from leverframe.cli.release_steering import AService
from leverframe.cli.session import load
from leverframe.model.errors import NotFound
from leverframe.model.release_notes import ReleaseNotes

if TYPE_CHECKING:
    from leverframe.settings import Settings


class NotesAnswer(BaseModel):
    """The notes of one release."""

    service: str
    sha: str
    marker: str | None
    """None where the release never reached 100 %, or that is not kept."""
    signed: bool | None
    kept: bool
    """False: made again from git and its receipts, without times and verdicts."""
    notes: ReleaseNotes
    markdown: str


def notes(
    service: AService,
    sha: Annotated[str, typer.Argument(help="The landed commit, all 40 digits; else the newest.")] = "",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown on a terminal, too, as a file or a pipe gets it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the notes of a release: what landed, what the canary saw, how long it took."""
    answer = _answer(load(), service, sha)
    if as_json:
        print_json(answer)
        return
    plainly = on_a_terminal() and not markdown
    for line in (answer.notes.plain() if plainly else answer.markdown).splitlines():
        say(line)
    say("")
    if answer.marker:
        say(f"Marker: {answer.marker} ({'signed' if answer.signed else 'not signed'})")
    else:
        say("Made again from git and its receipts: times and verdicts are not known here.")


def _answer(settings: "Settings", service: str, sha: str) -> NotesAnswer:
    from activities.marking import made_again  # noqa: PLC0415 - load when they are used
    from leverframe.bootstrap import build_builds, build_notes  # noqa: PLC0415
    from leverframe.forges import build_track  # noqa: PLC0415

    repository = settings.repository_of(service)
    marked = build_notes(settings).find(service, sha or None)
    if marked is not None:
        found, name, signed = marked.notes, marked.name, marked.signed
        return NotesAnswer(
            service=service, sha=found.sha, marker=name, signed=signed, kept=True, notes=found,
            markdown=found.markdown(),
        )  # fmt: skip
    if not sha:
        raise NotFound(f"no release of {service} has reached 100 %")
    again = made_again(build_track(settings), build_builds(settings), repository, sha)
    return NotesAnswer(
        service=service, sha=sha, marker=None, signed=None, kept=False, notes=again,
        markdown=again.markdown(),
    )  # fmt: skip
