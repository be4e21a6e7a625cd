"""`leverframe train doctor`: which track carries a repository's changes, why, and what it still needs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import BaseModel

from leverframe.cli.doctor import Finding
from leverframe.cli.exits import Exit
from leverframe.cli.output import AsJson, print_fields, print_json, print_table
from leverframe.cli.session import load
from leverframe.model.errors import LeverframeError, NotFound, Refused
from leverframe.model.topology import Repository
from leverframe.model.trains import Capability, Rehearsal
from leverframe.settings import Settings

if TYPE_CHECKING:
    from activities.track_port import Track
    from activities.train_ports import NativeQueue

ANY_PATH = "any/path-at-all"
"""A check that is skipped for this is skipped for everything."""


class TrainReport(BaseModel):
    """What the doctor says of one repository's train."""

    repository: str
    target: str
    track: Literal["built_in", "native"]
    why: str
    facts: dict[str, str]
    """What the forge told of its queue and of the target."""
    findings: list[Finding]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found out about one repository; an error where it could not be."""

    has_forge: bool
    """Whether changes are kept at a forge, which may have CI and a queue of its own."""
    capability: Capability | LeverframeError | None
    """None where there is no forge to ask."""
    rehearsal: Rehearsal | LeverframeError


def doctor(
    repository: Annotated[str, typer.Option("--repository", help="Only this declared repository.")] = "",
    push: Annotated[
        bool, typer.Option("--push", help="Push refs below refs/train and take them away again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say for each repository which track its train uses and why. Exits 1 when something is red.

    Without --push nothing is changed anywhere, so rules and hooks of the remote are not asked.
    """
    settings = load()
    asked = (settings.repository(repository),) if repository else settings.repositories
    reports = [examine(each, seen) for each, seen in _look(settings, asked, push=push)]
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            _print(report)
        if not reports:
            print_table((), (), empty="No repository is declared.")
    if any(finding.colour == "red" for report in reports for finding in report.findings):
        raise typer.Exit(Exit.FAILED)


def examine(repository: Repository, seen: Seen) -> TrainReport:
    """The report on one repository, from what was seen. Pure."""
    from workflows.merge_train.view import track_of  # noqa: PLC0415 - loads when it is used

    told = seen.capability if isinstance(seen.capability, Capability) else None
    track, why = track_of(repository.train, told)
    return TrainReport(
        repository=repository.name,
        target=repository.target,
        track=track,
        why=why,
        facts=told.facts if told else {},
        findings=[
            _track(repository, seen, track=track, why=why),
            _landing(repository, seen.rehearsal),
            _protection(repository, seen, told),
            *_checks(repository, seen, native=track == "native"),
        ],
    )


def _look(
    settings: Settings, asked: tuple[Repository, ...], *, push: bool
) -> Iterator[tuple[Repository, Seen]]:
    from leverframe.forges import build_queue, build_track  # noqa: PLC0415 - load when they are used

    track, queue = build_track(settings), build_queue(settings)
    for each in asked:
        yield (
            each,
            Seen(
                has_forge=queue is not None,
                capability=_capability(queue, each) if queue else None,
                rehearsal=_rehearsal(track, each, push=push),
            ),
        )


def _capability(queue: "NativeQueue", repository: Repository) -> Capability | LeverframeError:
    from activities.native import kept_by_the_forge  # noqa: PLC0415 - loads when it is used

    try:
        return kept_by_the_forge(repository, queue.capability(repository))
    except LeverframeError as error:
        return error


def _rehearsal(track: "Track", repository: Repository, *, push: bool) -> Rehearsal | LeverframeError:
    try:
        return track.rehearse(repository, push=push)
    except LeverframeError as error:
        return error


def _track(repository: Repository, seen: Seen, *, track: str, why: str) -> Finding:
    """Whether what the rules say can be done."""
    wanted = repository.train.track
    if wanted == "built_in":
        return Finding(part="track", colour="green", detail=why)
    if isinstance(seen.capability, LeverframeError):
        return Finding(
            part="track",
            colour="red" if wanted == "native" else "yellow",
            detail=f"the forge does not say whether its queue can be used: {seen.capability}",
            remedy="see `leverframe doctor`; until it answers, auto means built_in",
        )
    if wanted == "native" and (seen.capability is None or not seen.capability.native):
        missing = seen.capability.why if seen.capability else "changes.backend names no forge with a queue"
        remedy = 'mend that, or set train.track = "auto"'
        return Finding(part="track", colour="red", detail=f"native can't be: {missing}", remedy=remedy)
    name = "the forge's own queue" if track == "native" else "our own train"
    return Finding(part="track", colour="green", detail=f"{name}: {why}")


def _landing(repository: Repository, rehearsal: Rehearsal | LeverframeError) -> Finding:
    """Whether git and the remote would take what a landing, or a receipt, pushes."""
    if isinstance(rehearsal, NotFound):
        remedy = "declare the repository's url and target as they are"
    elif isinstance(rehearsal, Refused):
        remedy = f"have git 2.39, and push rights with --atomic on {repository.target} and refs/train/*"
    else:
        remedy = "see whether the remote answers, and ask again"
    if isinstance(rehearsal, LeverframeError):
        return Finding(part="landing", colour="red", detail=str(rehearsal), remedy=remedy)
    how = (
        "the remote took an atomic push below refs/train"
        if rehearsal.pushed
        else "a dry run of the atomic push is let through; --push asks rules and hooks, too"
    )
    at = f"{repository.target} is at {rehearsal.tip[:12]}"
    return Finding(part="landing", colour="green", detail=f"{rehearsal.git}; {at}; {how}")


def _protection(repository: Repository, seen: Seen, told: Capability | None) -> Finding:
    """Whether somebody could rewind the target, and with it what receipts say."""
    known = seen.rehearsal.rewinds if isinstance(seen.rehearsal, Rehearsal) else "unknown"
    if known == "refused" or (told and told.facts.get("rewinds") == "refused"):
        return Finding(part="protection", colour="green", detail="forced pushes and deletion are refused")
    if known == "taken":
        return Finding(
            part="protection",
            colour="yellow",
            detail=f"{repository.target} can be moved or deleted by force",
            remedy=f"refuse that in an update hook of {repository.url}, or, for all of its branches, "
            "by receive.denyNonFastForwards and receive.denyDeletes",
        )
    why = told.facts.get("rewinds", "") if told else ""
    return Finding(
        part="protection",
        colour="yellow",
        detail=f"it can't be seen that {repository.target} is protected" + (f" ({why})" if why else ""),
        remedy="refuse forced pushes and deletion there, and every push but the train's",
    )


def _checks(repository: Repository, seen: Seen, *, native: bool) -> Iterator[Finding]:
    """Whether every change is tested, by what this track can use."""
    by_forge = [check.name for check in repository.checks if check.runs_on == "forge"]
    by_us = [check.name for check in repository.checks if check.runs_on == "sandbox"]
    if by_forge and not seen.has_forge:
        yield Finding(
            part="checks",
            colour="red",
            detail=f"{', '.join(by_forge)}: no forge is there to run them, so no change would ever land",
            remedy="name the forge in changes.backend, or give them a command",
        )
    elif not repository.required_checks((ANY_PATH,)):
        yield Finding(
            part="checks",
            colour="yellow",
            detail="every check is skipped whatever changes, so everything lands untested",
            remedy="narrow skip_when_only",
        )
    else:
        told = [f"{check.name} ({check.runs_on})" for check in repository.checks]
        yield Finding(part="checks", colour="green", detail=", ".join(told))
    if native and by_us:
        yield Finding(
            part="checks",
            colour="yellow",
            detail=f"the forge's own queue does not run {', '.join(by_us)}, which the sandbox runs",
            remedy='have the forge\'s CI run and require them, or set train.track = "built_in"',
        )
    if native and repository.infrastructure is not None:
        yield Finding(
            part="infrastructure",
            colour="yellow",
            detail="the forge's own queue applies nothing to dev before it lands",
            remedy='set train.track = "built_in"',
        )


def _print(report: TrainReport) -> None:
    print_fields({"train": f"{report.repository} {report.target}", "track": f"{report.track}: {report.why}"})
    print_table(
        ("PART", "", "WHAT IS THERE", "WHAT TO DO"),
        [(each.part, each.colour, each.detail, each.remedy) for each in report.findings],
        empty="",
    )
