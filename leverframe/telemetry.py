"""How we watch ourselves: logs by structlog, our own errors to Sentry, spans to OpenTelemetry.

Logs go to stderr, as JSON or pretty for a terminal; secrets are replaced by key and by known value before
anything is written. Sentry and OpenTelemetry are off until they are configured. Metrics are Prometheus:
the gateway serves its own, a worker those of its Temporal runtime (see `leverframe.client`).
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from leverframe.model.errors import BadConfiguration, LeverframeError
from leverframe.model.untrusted import Untrusted
from leverframe.settings import Settings, TelemetrySettings
from leverframe.settings_gateway import GatewaySettings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint
    from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider

HIDDEN = "[hidden]"
FLUSH_SECONDS = 3

_closers: list[Callable[[], None]] = []

SENTRY_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "include_local_variables": False,
        "include_source_context": False,
        "max_request_body_size": "never",
        "max_breadcrumbs": 0,
        "auto_enabling_integrations": False,
    }
)
"""What is never collected; `without_payload` then takes out what is left of what we were sent."""

_SECRET_KEY = re.compile(
    r"secret|token|passw|api_?key|authorization|cookie|credential|(^|_)dsn$|sentry_key|private_?key", re.I
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0"})  # noqa: S104 - compared, not bound
_SHORTEST_SECRET = 6
"""Shorter values are not searched for in texts: they would hide innocent words."""


def start(settings: Settings, *, process: str) -> None:
    """Set up logs, Sentry and OpenTelemetry for one process, named in each of them.

    Raises:
        BadConfiguration: the Sentry DSN is none, or points at our own gateway.
    """
    start_logs(settings, process=process)
    _start_sentry(settings, process)
    _start_tracing(settings.telemetry, process)


def finish() -> None:
    """Send what Sentry and OpenTelemetry still hold, if they were started. Waits a few seconds at most."""
    while _closers:
        _closers.pop()()


def secrets_of(section: BaseModel) -> frozenset[str]:
    """Every secret value in the settings, so that it can be hidden wherever it turns up."""
    found = _secrets(getattr(section, name) for name in type(section).model_fields)
    return frozenset(secret for secret in found if len(secret) >= _SHORTEST_SECRET)


def _secrets(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets_of(value)
        elif isinstance(value, Mapping):
            yield from _secrets(value.values())


class Redactor:
    """A structlog processor: hides values under secret keys, known secrets, and passwords in URLs."""

    def __init__(self, secrets: frozenset[str]) -> None:
        # The longest first, so that a secret that contains another one is hidden whole.
        longest_first = sorted(secrets, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if secrets else None

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        # structlog keeps what it needs itself under names with an underscore, and takes it out later.
        return {
            key: value if key.startswith("_") else self._value(key, value) for key, value in event.items()
        }

    def text(self, text: str) -> str:
        """The text without known secrets and without passwords in URLs."""
        hidden = self._known.sub(HIDDEN, text) if self._known else text
        return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", hidden)

    def _value(self, key: str, value: object) -> object:
        if _SECRET_KEY.search(key):
            return HIDDEN
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(inner): self._value(str(inner), item) for inner, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value("", item) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(repr(value))


def _inert(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Text from outside can't steer the terminal that shows the log; a traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str):
            clean = Untrusted(value).for_model if key == "exception" else Untrusted(value).for_terminal
            event[key] = clean(10_000)
    return event


def start_logs(settings: Settings, *, process: str, level: str = "") -> None:
    """Logs alone, at `level` if it is given: all that a short command needs."""
    telemetry = settings.telemetry
    pretty = telemetry.log_format == "pretty" or (telemetry.log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redactor(secrets_of(settings)),
    ]
    last: list[Processor] = (
        [_inert, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if pretty
        else [_named(process), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel((level or telemetry.log_level).upper())
    for chatty in ("httpx", "httpcore", "alembic", "aiohttp.access", "uvicorn.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _named(process: str) -> Processor:
    def add(logger: WrappedLogger, name: str, event: MutableMapping[str, Any]) -> EventDict:
        return {"process": process, **event}

    return add


def _start_sentry(settings: Settings, process: str) -> None:
    if settings.telemetry.sentry_dsn is None:
        return
    dsn = settings.telemetry.sentry_dsn.get_secret_value()
    refuse_own_gateway(dsn, settings.gateway)
    import sentry_sdk  # noqa: PLC0415 - a second of start-up that most processes don't need
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415

    try:
        sentry_sdk.init(dsn, before_send=without_payload, server_name=process, **SENTRY_OPTIONS)
    except BadDsn as error:
        raise BadConfiguration(f"telemetry.sentry_dsn is not a DSN: {error}") from error
    _closers.append(lambda: sentry_sdk.flush(timeout=FLUSH_SECONDS))


def refuse_own_gateway(dsn: str, gateway: GatewaySettings) -> None:
    """Our errors must not come back to us as signals: each would make the next. Raises BadConfiguration."""
    try:
        target = urlsplit(dsn)
        host, port = target.hostname or "", target.port
    except ValueError as error:
        raise BadConfiguration(f"telemetry.sentry_dsn is not a DSN: {error}") from error
    ours = {gateway.host} | (_LOOPBACK if gateway.host in _LOOPBACK else set())
    if host in ours and port == gateway.port:
        raise BadConfiguration(
            "telemetry.sentry_dsn points at our own gateway, so that each of our errors would make another; "
            "give it the DSN of another Sentry"
        )


def without_payload(event: "Event", hint: "Hint") -> "Event":
    """What may leave: exception types, their stacks, and our own sentences. Nothing that we were sent."""
    for key in ("request", "extra", "breadcrumbs", "user", "contexts", "logentry", "message"):
        event.pop(key, None)  # type: ignore[misc]
    exception = hint.get("exc_info", (None, None, None))[1]
    ours = _own_sentences(exception)
    for value in event.get("exception", {}).get("values", []):
        if value.get("value") not in ours:
            value["value"] = "not sent: it may quote what we were sent"
    return event


def _own_sentences(exception: BaseException | None) -> set[str]:
    sentences = set()
    while exception is not None:
        if isinstance(exception, LeverframeError):
            sentences.add(str(exception))
        exception = exception.__cause__ or exception.__context__
    return sentences


def _start_tracing(telemetry: TelemetrySettings, process: str) -> None:
    if not telemetry.otlp_endpoint:
        return
    from opentelemetry import trace  # noqa: PLC0415 - only when spans are wanted
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from temporalio.contrib.opentelemetry import create_tracer_provider  # noqa: PLC0415

    provider = create_tracer_provider(
        resource=Resource.create({"service.name": "leverframe", "service.instance.id": process})
    )
    endpoint = telemetry.otlp_endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    _closers.append(lambda: _force_flush(provider))


def _force_flush(provider: "ReplaySafeTracerProvider") -> None:
    provider.force_flush(FLUSH_SECONDS * 1000)
