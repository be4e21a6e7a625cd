"""What most commands begin with: settings, quiet logs, and the engine's client with its errors in words."""

import asyncio
import gzip
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from leverframe import settings as settings_file
from leverframe.model.errors import BadConfiguration, BadInput, LeverframeError, NotFound
from leverframe.model.topology import Repository
from leverframe.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)

_GZIP = b"\x1f\x8b"

ANSWER = timedelta(seconds=10)
"""How long a command waits for one answer of the engine."""

OfRepository = Annotated[
    str, typer.Option("--repository", help="A declared repository; needed when there are several.")
]
OfService = Annotated[
    str, typer.Option("--service", help="A declared service; needed when there are several.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is recorded.")]


def load() -> Settings:
    """The settings, with logs on stderr for errors only. Raises BadConfiguration."""
    from leverframe import telemetry  # noqa: PLC0415 - `--help` does not need it

    settings = settings_file.load()
    telemetry.start_logs(settings, process="cli", level="error")
    return settings


def chosen(settings: Settings, repository: str) -> Repository:
    """The named repository, or the only one. Raises BadConfiguration."""
    if repository:
        return settings.repository(repository)
    if len(settings.repositories) == 1:
        return settings.repositories[0]
    names = ", ".join(declared.name for declared in settings.repositories) or "none is declared"
    raise BadConfiguration(f"which repository? Give --repository; declared: {names}")


def of_service(settings: Settings, service: str) -> Repository:
    """The repository that builds the service, or the only one. Raises NotFound, BadInput."""
    known = {repository.service.name: repository for repository in settings.repositories}
    names = ", ".join(sorted(known)) or "none"
    if service:
        if service not in known:
            raise NotFound(f"no declared repository builds {service!r}; there are: {names}")
        return known[service]
    if len(known) != 1:
        raise BadInput(f"which service? Give --service; declared: {names}")
    return next(iter(known.values()))


def given(model: type[ModelT], **fields: object) -> ModelT:
    """A value made of what a person typed. Raises BadInput with a line for each field that can't be used."""
    try:
        return model(**fields)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise BadInput("; ".join(lines)) from error


def instant(text: str) -> datetime:
    """A time that a person typed. Raises BadInput when it has no time zone or is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is not a time; write it as 2026-11-22T18:00:00Z") from error
    if found.tzinfo is None:
        raise BadInput(f"{text!r} has no time zone; write it as {text}Z, or with an offset such as +01:00")
    return found


def span(text: str) -> timedelta:
    """A length of time that a person typed: `90s`, `15m`, `1h`, `30d`. Raises BadInput."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if match is None:
        raise BadInput(f"{text!r} is not a length of time; write a number and a unit: 90s, 15m, 1h, 30d")
    return timedelta(seconds=int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]])


def text_of(path: Path) -> str:
    """The content of a file that a person named. Raises BadInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} can't be read as UTF-8 text: {error}") from error


def lines_of(
    path: Path, *, longest: int, skipped: Callable[[str], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """The numbered lines of a file that a person named, gzipped or not, of any length in bounded memory.

    A mark of the byte order before the first is none of it. A line of more than `longest` bytes raises
    BadInput with its number, or goes to `skipped` in words. Raises BadInput when the file can't be read, too.
    """
    try:
        # Opened once: a pipe gives what it has only once.
        with path.open("rb") as raw, gzip.open(raw) if raw.peek(2)[:2] == _GZIP else raw as file:
            for number in count(1):
                line = file.readline(longest + 1)
                if len(line) > longest:
                    sentence = f"{path}:{number}: the line is longer than {longest} bytes"
                    if skipped is None:
                        raise BadInput(sentence)
                    skipped(sentence)
                    while line and not line.endswith(b"\n"):
                        line = file.readline(longest)
                    continue
                if not line:
                    return
                if number == 1 and line.startswith(BOM_UTF8):
                    line = line.removeprefix(BOM_UTF8) or b"\n"
                yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} can't be read: {error}") from error


def ask(settings: Settings, question: "Callable[[Client], Awaitable[T]]") -> T:
    """Connect to the engine and ask it something. Raises the LeverframeError that fits the failure."""

    async def connected() -> T:
        from leverframe.client import connect  # noqa: PLC0415 - the SDK loads when it is used

        async with engine_errors():
            return await question(await connect(settings))

    return asyncio.run(connected())


async def query(client: "Client", workflow: str, name: str, answer: type[T]) -> T:
    """A workflow's answer, of the type that it declares."""
    reply: T = await client.get_workflow_handle(workflow).query(name, result_type=answer, rpc_timeout=ANSWER)
    return reply


async def start_once(
    client: "Client",
    workflow: str,
    request: BaseModel,
    *,
    id_: str,
    summary: str,
    otherwise: LeverframeError,
    **about: str,
) -> str:
    """Start a workflow by its name, findable by what it is `about`; returns its id.

    Raises `otherwise` when one of that id goes on already.
    """
    from temporalio.common import WorkflowIDConflictPolicy  # noqa: PLC0415 - the SDK loads when it is used
    from temporalio.exceptions import WorkflowAlreadyStartedError  # noqa: PLC0415

    from workflows import attributes  # noqa: PLC0415
    from workflows.queues import HANDS  # noqa: PLC0415

    try:
        await client.start_workflow(
            workflow,
            request,
            id=id_,
            task_queue=HANDS,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            search_attributes=attributes.about(**about),
            static_summary=summary,
            rpc_timeout=ANSWER,
        )
    except WorkflowAlreadyStartedError as error:
        raise otherwise from error
    return id_


@asynccontextmanager
async def engine_errors() -> AsyncIterator[None]:
    """The engine's errors as ours, in words."""
    from temporalio.client import (  # noqa: PLC0415 - the SDK loads when it is used
        WorkflowQueryFailedError,
        WorkflowUpdateFailedError,
        WorkflowUpdateRPCTimeoutOrCancelledError,
    )
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415

    from leverframe.model.errors import Refused, Unavailable  # noqa: PLC0415

    try:
        yield
    except WorkflowUpdateFailedError as error:
        raise Refused(getattr(error.cause, "message", "") or str(error)) from error
    except WorkflowQueryFailedError as error:
        raise Refused(str(error)) from error
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise Unavailable("no worker answered in time: is `leverframe worker` running?") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFound(f"the engine does not know it, or it has ended: {error.message}") from error
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise NotFound(f"the engine does not accept that id: {error.message}") from error
        raise Unavailable(
            f"the engine did not answer ({error.status.name.lower()}): is `leverframe worker` running?"
        ) from error
