"""The parts of a Sentry event that we read, typed strictly: a wrong type anywhere in them is `BadInput`.

Protocol: https://develop.sentry.dev/sdk/data-model/event-payloads/.
"""

import re
import uuid
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from leverframe.model.errors import BadInput

_EVENT_ID = re.compile(r"[0-9a-f]{32}")


class _Part(BaseModel):
    """Unknown fields are the protocol's future and are left alone; known ones must have their type."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def _values(value: object) -> object:
    """The protocol allows `{"values": […]}`, a bare list and a single object, with nulls between."""
    if isinstance(value, dict):
        value = value.get("values", [value])
    if isinstance(value, list):
        return [item for item in value if item is not None]
    return [] if value is None else value


class SentryFrame(_Part):
    """One frame; the protocol lists them oldest call first."""

    filename: str | None = None
    abs_path: str | None = None
    module: str | None = None
    function: str | None = None
    lineno: int | None = Field(default=None, ge=0, le=10_000_000)
    in_app: bool | None = None
    context_line: str | None = None
    vars: dict[str, object] | None = None


class SentryStacktrace(_Part):
    """Frames of one exception."""

    frames: Annotated[list[SentryFrame], BeforeValidator(_values), Field(max_length=1000)] = []


class SentryException(_Part):
    """One exception; the protocol lists causes first."""

    type: str | None = None
    value: str | None = None
    module: str | None = None
    stacktrace: SentryStacktrace | None = None


class SentryFlag(_Part):
    """One evaluated flag. A result that is not true or false is a variant, which is no kill switch."""

    flag: str
    result: object = None


class SentryFlags(_Part):
    """The flags that were evaluated before the event, oldest first."""

    values: Annotated[list[SentryFlag], BeforeValidator(_values), Field(max_length=1000)] = []


class SentryContexts(_Part):
    """The contexts that we read."""

    flags: SentryFlags | None = None


class SentryLogEntry(_Part):
    """A logged message: its template and what it says."""

    message: str | None = None
    formatted: str | None = None


def _log_entry(value: object) -> object:
    """`message` is the older form of `logentry`: a text."""
    return {"message": value} if isinstance(value, str) else value


class SentryEvent(_Part):
    """One event."""

    event_id: str | None = None
    level: str | None = None
    platform: str | None = None
    release: str | None = None
    environment: str | None = None
    transaction: str | None = None
    logger: str | None = None
    exception: Annotated[list[SentryException], BeforeValidator(_values), Field(max_length=50)] = []
    logentry: Annotated[SentryLogEntry | None, BeforeValidator(_log_entry)] = None
    message: Annotated[SentryLogEntry | None, BeforeValidator(_log_entry)] = None
    contexts: SentryContexts | None = None

    @property
    def is_error(self) -> bool:
        """Whether the sender calls it an error; the protocol's default level is `error`."""
        return self.level in (None, "error", "fatal")


def read_event(raw: dict[str, object]) -> SentryEvent:
    """The typed event. Raises BadInput with the place of the first wrong value."""
    try:
        return SentryEvent.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"the event is not usable: {place}: {first['msg']}") from error


def canonical_event_id(sent: str | None) -> str:
    """32 lower-case hex digits; a new id when the sender gave none. Raises BadInput."""
    if sent is None:
        return uuid.uuid4().hex
    plain = sent.replace("-", "").lower()
    if not _EVENT_ID.fullmatch(plain):
        raise BadInput("event_id is not a UUID")
    return plain
