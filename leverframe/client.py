"""Our end of the line to the engine: a client as every process needs it, and the SDK's runtime below it.

The engine itself, and what it must know, are in `leverframe.engine`.
"""

import functools
import logging
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import RPCError

from leverframe.model.errors import Unavailable
from leverframe.settings import Settings, TelemetrySettings

CONNECT_SECONDS = 5


async def connect(settings: Settings, *, runtime: Runtime | None = None, lazy: bool = False) -> Client:
    """A client of the engine, with our payload converter and, when spans are wanted, tracing.

    Args:
        settings: where the engine is.
        runtime: the SDK's runtime, if not the usual one.
        lazy: connect at the first call, so that a process can start while the engine is away.

    Raises:
        Unavailable: nothing answers at `temporal.address`, or it refuses the key.
    """
    temporal = settings.temporal
    try:
        return await Client.connect(
            temporal.address,
            namespace=temporal.namespace,
            api_key=temporal.api_key.get_secret_value() if temporal.api_key else None,
            tls=temporal.tls or None,
            data_converter=pydantic_data_converter,
            plugins=_plugins(settings.telemetry),
            connect_timeout=timedelta(seconds=CONNECT_SECONDS),
            runtime=runtime or _quiet_runtime(),
            lazy=lazy,
        )
    except (RuntimeError, RPCError) as error:
        raise Unavailable(
            f"the Temporal server at {temporal.address} does not answer: start it with `leverframe up`, "
            "or correct temporal.address"
        ) from error


def _plugins(telemetry: TelemetrySettings) -> list[Any]:
    if not telemetry.otlp_endpoint:
        return []
    from temporalio.contrib.opentelemetry import OpenTelemetryPlugin  # noqa: PLC0415 - slow, and rarely wanted

    return [OpenTelemetryPlugin(add_temporal_spans=True)]


def worker_runtime(settings: Settings) -> Runtime | None:
    """The runtime that serves a worker's Prometheus metrics; None when they are off. Once per process."""
    port = settings.telemetry.metrics_port
    if not port:
        return None
    metrics = PrometheusConfig(
        bind_address=f"0.0.0.0:{port}",
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
    )
    return Runtime(telemetry=TelemetryConfig(logging=_forwarded_logs(), metrics=metrics))


@functools.cache
def _quiet_runtime() -> Runtime:
    return Runtime(telemetry=TelemetryConfig(logging=_forwarded_logs()))


def _forwarded_logs() -> LoggingConfig:
    """The SDK's own log lines go where ours go; by default it writes to stdout, which belongs to answers."""
    return LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core")),
    )
