"""Which error group an event belongs to, and what is kept of it. Pure: same event, same answer."""

import zlib
from dataclasses import dataclass
from itertools import groupby

from leverframe.gateway.scrubbing import scrub, scrub_text
from leverframe.gateway.sentry_event import SentryEvent, SentryException, SentryFrame
from leverframe.model.error_events import ErrorEvent, ErrorException, ErrorFrame
from leverframe.model.ids import short_hash
from leverframe.model.untrusted import Untrusted

MAX_TITLE = 200
MAX_FRAMES = 50
MAX_CHAIN = 5
MAX_FLAGS = 100
MAX_NAME = 200
MAX_PAYLOAD_BYTES = 65_536
MAX_SUBJECT = 81
"""Characters of `ErrorBatch.subject`."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What the store's columns say of one event."""

    subject: str
    """`SHOP-1A2B3C4D5E6F`, or what `issue_subject` says when the tracker has grouped it already."""
    title: Untrusted
    release: str
    environment: str
    flags: tuple[tuple[str, bool], ...]
    """`(name, value)`, the last evaluation of each."""


def group(event: SentryEvent, service: str, *, issue: str | None = None) -> Grouping:
    """Name the event's group.

    Args:
        event: the event.
        service: the service that its project stands for.
        issue: the tracker's own group, digits only; None to group by exception type and in-app frames.
    """
    return Grouping(
        subject=issue_subject(service, issue) if issue else _subject(service, *_fingerprint(event)),
        title=Untrusted(_title(event)),
        release=_name(event.release),
        environment=_name(event.environment),
        flags=_flags(event),
    )


def issue_subject(service: str, issue: str) -> str:
    """`SHOP-ISSUE-4711`, for the tracker's own group; with a hash for the number where that is too long."""
    subject = f"{service.upper()}-ISSUE-{issue}"
    return subject if len(subject) <= MAX_SUBJECT else _subject(service, "issue", issue)


def keep(event: SentryEvent) -> bytes:
    """The event in our own shape, scrubbed and bounded, as zlib-compressed JSON."""
    chain = [_exception(link) for link in reversed(event.exception[-MAX_CHAIN:])]
    kept = ErrorEvent(
        exceptions=tuple(chain),
        message=Untrusted(scrub_text(_message(event))),
        route=Untrusted(scrub_text(event.transaction or "", MAX_NAME)),
        platform=_name(event.platform),
    )
    document = kept.model_dump_json().encode()
    if len(document) > MAX_PAYLOAD_BYTES:
        document = _without_variables(kept).model_dump_json().encode()
    return zlib.compress(document)


def _subject(service: str, *fingerprint: str) -> str:
    return f"{service.upper()}-{short_hash(*fingerprint).upper()}"


def _fingerprint(event: SentryEvent) -> list[str]:
    """Exception type, then `module:function` per in-app frame; recursion counts once."""
    if not event.exception:
        entry = event.logentry or event.message
        return ["message", event.logger or "", (entry and entry.message) or ""]
    crash = event.exception[-1]
    calls = [
        f"{frame.module or frame.filename or ''}:{frame.function or ''}" for frame in _in_app(_frames(crash))
    ]
    return [crash.type or "", *(call for call, _ in groupby(calls))]


def _frames(exception: SentryException) -> list[SentryFrame]:
    """Oldest call first, the newest `MAX_FRAMES` of them."""
    return exception.stacktrace.frames[-MAX_FRAMES:] if exception.stacktrace else []


def _in_app(frames: list[SentryFrame]) -> list[SentryFrame]:
    return [frame for frame in frames if frame.in_app] or frames


def _title(event: SentryEvent) -> str:
    if not event.exception:
        return scrub_text(_message(event) or "(a message without text)", MAX_TITLE)
    crash = event.exception[-1]
    value = scrub_text((crash.value or "").partition("\n")[0], MAX_TITLE)
    kind = scrub_text(crash.type or "Error", MAX_TITLE)
    return (f"{kind}: {value}" if value else kind)[:MAX_TITLE]


def _message(event: SentryEvent) -> str:
    entry = event.logentry or event.message
    return (entry.formatted or entry.message or "") if entry else ""


def _flags(event: SentryEvent) -> tuple[tuple[str, bool], ...]:
    evaluated = event.contexts.flags.values if event.contexts and event.contexts.flags else []
    last = {_name(flag.flag): flag.result for flag in evaluated if isinstance(flag.result, bool)}
    return tuple(last.items())[-MAX_FLAGS:]


def _name(text: str | None) -> str:
    return (text or "").replace("\0", "")[:MAX_NAME]


def _exception(link: SentryException) -> ErrorException:
    return ErrorException(
        type=Untrusted(scrub_text(link.type or "Error", MAX_NAME)),
        value=Untrusted(scrub_text(link.value or "")),
        frames=tuple(_frame(frame) for frame in reversed(_frames(link))),
    )


def _frame(frame: SentryFrame) -> ErrorFrame:
    scrubbed = scrub(frame.vars or {})
    return ErrorFrame(
        path=scrub_text(frame.filename or frame.abs_path or "", MAX_NAME),
        module=scrub_text(frame.module or "", MAX_NAME),
        function=Untrusted(scrub_text(frame.function or "", MAX_NAME)),
        line=frame.lineno or 0,
        in_app=bool(frame.in_app),
        code=Untrusted(scrub_text(frame.context_line or "", MAX_NAME)),
        variables=scrubbed if isinstance(scrubbed, dict) else {},
    )


def _without_variables(event: ErrorEvent) -> ErrorEvent:
    """Local variables are what makes an event large, and the part that a reader can do without."""
    slim = [
        link.model_copy(
            update={"frames": tuple(frame.model_copy(update={"variables": {}}) for frame in link.frames)}
        )
        for link in event.exceptions
    ]
    return event.model_copy(update={"exceptions": tuple(slim)})
