"""`leverframe doctor`: is everything that is configured there, and what does it not protect?"""

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel

from leverframe.cli.exits import Exit
from leverframe.cli.output import AsJson, print_json, print_table
from leverframe.cli.session import engine_errors, load
from leverframe.model.errors import LeverframeError
from leverframe.settings import Settings

if TYPE_CHECKING:
    from activities.ports import Health
    from policies.overview import LedgerOverview

Colour = Literal["green", "yellow", "red"]
"""Yellow works, and is less safe or less than was wanted: it changes no exit code."""


class Finding(BaseModel):
    """One line of the doctor's report."""

    part: str
    colour: Colour
    detail: str
    remedy: str = ""


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Register search attributes that are missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every configured part. Exits 1 when something is red."""
    settings = load()
    findings = [
        _checked("packages", _packages),
        *_engine_and_policy(settings, fix=fix),
        *_backends(settings),
        _marker(settings),
        *_single_tests(settings),
    ]
    if as_json:
        print_json(findings)
    else:
        print_table(
            ("PART", "", "WHAT IS THERE", "WHAT TO DO"),
            [(each.part, each.colour, each.detail, each.remedy) for each in findings],
            empty="Nothing is configured.",
        )
    if any(each.colour == "red" for each in findings):
        raise typer.Exit(Exit.FAILED)


def _checked(part: str, check: Callable[[], str]) -> Finding:
    """What a check says; an error of ours is red and its sentence is the detail."""
    try:
        return Finding(part=part, colour="green", detail=check())
    except LeverframeError as error:
        return Finding(part=part, colour="red", detail=str(error))


def _packages() -> str:
    from leverframe.bootstrap import TREE, assert_own_roots  # noqa: PLC0415 - load when they are used

    assert_own_roots()
    return f"all root packages come from {TREE}"


def _marker(settings: Settings) -> Finding:
    """Whether the tags that mark releases are signed, and by which key."""
    key = settings.release.signing_key_file
    if key is None:
        return Finding(
            part="marker",
            colour="yellow",
            detail="the tags that mark releases are not signed",
            remedy='ssh-keygen -t ed25519 -N "" -f KEY, and set release.signing_key_file',
        )
    from leverframe.forges import marker_fingerprint  # noqa: PLC0415 - load when it is used

    return _checked("marker", lambda: f"the tags that mark releases are signed by {marker_fingerprint(key)}")


def _single_tests(settings: Settings) -> Iterator[Finding]:
    """What the declared checks say they can, tried where that is possible."""
    from leverframe.bootstrap import build_sandbox  # noqa: PLC0415 - load when they are used
    from leverframe.cli.single_tests import looked, single_tests  # noqa: PLC0415

    yield from single_tests(settings.repositories, lambda: looked(build_sandbox(settings)))


def _engine_and_policy(settings: Settings, *, fix: bool) -> Iterator[Finding]:
    """The engine with what runs in it, then the policy as the files and as the ledger have it."""
    from leverframe.cli.policy_health import (  # noqa: PLC0415 - the policy loads when it is used
        audit_finding,
        end_of_log,
        policy_findings,
    )

    before = end_of_log(settings)
    findings, standing = asyncio.run(_engine(settings, fix=fix))
    yield from findings
    yield from policy_findings(settings, standing)
    if standing is not None:
        yield audit_finding(before, standing, end_of_log(settings))


async def _engine(settings: Settings, *, fix: bool) -> "tuple[list[Finding], LedgerOverview | None]":
    """The engine, its search attributes, who polls our queues, and what our ledger says if it answers."""
    from leverframe.builders import builds_apart  # noqa: PLC0415
    from leverframe.cli.policy_health import in_force  # noqa: PLC0415
    from leverframe.client import connect  # noqa: PLC0415 - the SDK loads when it is used
    from leverframe.engine import (  # noqa: PLC0415
        ensure_search_attributes,
        has_worker,
        missing_search_attributes,
    )
    from workflows.queues import BUILD, HANDS, SANDBOX  # noqa: PLC0415

    findings: list[Finding] = []
    standing = None
    wanted = (HANDS, SANDBOX, BUILD) if builds_apart(settings) else (HANDS, SANDBOX)
    try:
        client = await connect(settings)
        findings.append(
            Finding(part="engine", colour="green", detail=f"answers at {settings.temporal.address}")
        )
        async with engine_errors():
            registered = await ensure_search_attributes(client) if fix else ()
            missing = await missing_search_attributes(client)
            findings.append(_attributes(missing, registered))
            polled = {queue: await has_worker(client, queue) for queue in wanted}
        findings.extend(_queue(queue, polled=there) for queue, there in polled.items())
        if polled[HANDS]:
            standing, running = await in_force(client, settings)
            findings.extend(running)
    except LeverframeError as error:
        findings.append(Finding(part="engine", colour="red", detail=str(error)))
    return findings, standing


def _attributes(missing: tuple[str, ...], registered: tuple[str, ...]) -> Finding:
    if missing:
        return Finding(
            part="search attributes",
            colour="red",
            detail=f"missing: {', '.join(missing)}",
            remedy="run `leverframe doctor --fix`",
        )
    detail = f"registered now: {', '.join(registered)}" if registered else "all are registered"
    return Finding(part="search attributes", colour="green", detail=detail)


def _queue(queue: str, *, polled: bool) -> Finding:
    if polled:
        return Finding(part=queue, colour="green", detail="a worker polls the queue")
    name = queue.rpartition("-")[2]
    return Finding(
        part=queue,
        colour="red",
        detail="no worker polled the queue lately",
        remedy=f"run `leverframe worker --queue {name}`",
    )


def _backends(settings: Settings) -> Iterator[Finding]:
    """The health of every configured backend, and the permissions it needs."""
    from leverframe.bootstrap import (  # noqa: PLC0415 - load when they are used
        build_arms,
        build_eyes,
        chat_builders,
        port_builders,
    )
    from leverframe.builders import builder_builders  # noqa: PLC0415
    from leverframe.forges import (  # noqa: PLC0415
        build_checks,
        build_forge_reports,
        build_issues,
        build_pages,
        build_queue,
    )

    forge: dict[str, Callable[[], Any]] = {
        "checks": functools.partial(build_checks, settings),
        "queue": functools.partial(build_queue, settings),
        "issues": functools.partial(build_issues, settings),
        "pages": functools.partial(build_pages, settings),
        "reports": functools.partial(build_forge_reports, settings),
    }
    builders = {f"builder {name}": build for name, build in builder_builders(settings).items()}
    eyes: dict[str, Callable[[], Any]] = {"eyes": functools.partial(build_eyes, settings)}
    if settings.eyes.backend != "none":
        eyes["arms"] = functools.partial(build_arms, settings)
    chats = {f"chat {name}": build for name, build in chat_builders(settings).items()}
    for kind, build in (port_builders(settings) | forge | builders | eyes | chats).items():
        try:
            port = build()
            if port is None:
                continue
            health: Health = port.health()
        except LeverframeError as error:
            yield Finding(part=kind, colour="red", detail=str(error))
            continue
        colour: Colour = "green" if health.ok else "red"
        yield Finding(part=kind, colour=colour, detail=health.detail, remedy=health.remedy)
