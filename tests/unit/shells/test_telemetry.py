"""Logs hide secrets and can't steer a terminal; our own errors leave without a payload."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
import structlog
from pydantic import BaseModel, SecretStr
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sentry_sdk.utils import event_from_exception

from leverframe import telemetry
from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.settings import Settings, TelemetrySettings
from leverframe.settings_gateway import GatewaySettings

SECRET = "correct-horse-battery"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        gateway=GatewaySettings(sentry_keys={"1": SecretStr(SECRET)}),
        telemetry=TelemetrySettings(log_format="json"),
    )


@pytest.fixture
def lines(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What was logged, with the logging of the test runner put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stream)
    telemetry.start_logs(settings, process="test")
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_log_line_is_json_with_process_level_and_time(lines: io.StringIO) -> None:
    structlog.stdlib.get_logger("spine").info("a car landed", change="shop/7")
    line = json.loads(lines.getvalue())
    assert line["event"] == "a car landed"
    assert (line["process"], line["level"], line["logger"]) == ("test", "info", "spine")
    assert line["timestamp"].endswith("Z")


def test_libraries_log_through_the_same_format(lines: io.StringIO) -> None:
    logging.getLogger("temporalio.worker").warning("slow %s", "poll")
    assert json.loads(lines.getvalue())["event"] == "slow poll"


def test_a_secret_is_hidden_by_its_key_and_by_its_value_wherever_it_stands(lines: io.StringIO) -> None:
    log = structlog.stdlib.get_logger()
    log.info(
        f"key {SECRET} was used",
        authorization="Bearer abc",
        nested={"api_key": "k", "note": f"x{SECRET}x", "list": [SECRET]},
        url="postgresql://me:hunter2@host/base",
    )
    written = lines.getvalue()
    assert SECRET not in written
    assert "hunter2" not in written
    line = json.loads(written)
    assert line["authorization"] == line["nested"]["api_key"] == telemetry.HIDDEN
    assert line["nested"]["note"] == f"x{telemetry.HIDDEN}x"


def test_a_secret_in_a_traceback_is_hidden(lines: io.StringIO) -> None:
    try:
        raise ValueError(f"bad key {SECRET}")
    except ValueError:
        structlog.stdlib.get_logger().exception("it broke")
    line = json.loads(lines.getvalue())
    assert SECRET not in lines.getvalue()
    assert "ValueError: bad key" in line["exception"]


def test_a_pretty_log_line_is_inert_in_a_terminal(
    settings: Settings, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretty = settings.model_copy(update={"telemetry": TelemetrySettings(log_format="pretty")})
    telemetry.start_logs(pretty, process="test")
    structlog.stdlib.get_logger().info("title \x1b]0;owned\x07 seen", text="a\x1b[31mred\x9b0m")
    assert "\x1b" not in lines.getvalue()
    assert "\x9b" not in lines.getvalue()


def test_every_secret_of_the_settings_is_known_however_deep() -> None:
    class Inner(BaseModel):
        keys: dict[str, SecretStr] = {"1": SecretStr("deep-secret")}

    class Outer(BaseModel):
        inner: Inner = Inner()
        own: SecretStr = SecretStr("own-secret")
        short: SecretStr = SecretStr("abc")
        unset: SecretStr | None = None

    assert telemetry.secrets_of(Outer()) == {"deep-secret", "own-secret"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_dsn_of_our_own_gateway_is_refused_under_any_of_its_names(host: str) -> None:
    with pytest.raises(BadConfiguration, match="our own gateway"):
        telemetry.refuse_own_gateway(f"http://key@{host}:8400/1", GatewaySettings(port=8400))


@pytest.mark.parametrize("dsn", ["https://key@sentry.example/1", "http://key@127.0.0.1:9000/1"])
def test_a_dsn_of_another_sentry_is_taken(dsn: str) -> None:
    telemetry.refuse_own_gateway(dsn, GatewaySettings(port=8400))


def test_a_dsn_that_is_none_is_a_configuration_error(settings: Settings) -> None:
    broken = settings.model_copy(update={"telemetry": TelemetrySettings(sentry_dsn=SecretStr("no dsn"))})
    with pytest.raises(BadConfiguration, match="not a DSN"):
        telemetry.start(broken, process="test")


class Kept(Transport):
    """A transport that keeps what would have left."""

    def __init__(self) -> None:
        super().__init__({})
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


def _broken_by_a_payload() -> NotFound:
    try:
        try:
            raise ValueError("PAYLOAD in a message")
        except ValueError as error:
            raise NotFound("there is no change shop/9") from error
    except NotFound as error:
        return error


def test_our_own_error_leaves_with_its_stack_and_our_sentence_and_nothing_we_were_sent() -> None:
    kept = Kept()
    client = sentry_sdk.Client(
        dsn="https://key@sentry.example/1",
        before_send=telemetry.without_payload,
        transport=kept,
        default_integrations=False,
        **telemetry.SENTRY_OPTIONS,
    )
    scope = sentry_sdk.Scope()
    scope.set_extra("body", "PAYLOAD")
    event, hint = event_from_exception(_broken_by_a_payload(), client_options=client.options)
    client.capture_event(event, hint, scope)

    [sent] = kept.events
    assert "PAYLOAD" not in repr(sent)
    values = sent["exception"]["values"]
    assert "there is no change shop/9" in [value["value"] for value in values]
    assert all(value["stacktrace"]["frames"] for value in values)
