"""Socket Mode: the same interactions over a connection that we open, so that no public address is needed.

Protocol: https://docs.slack.dev/apis/events-api/using-socket-mode. The SDK's client reconnects by itself, but
an address is good for one connection, and it tries one that failed again and again: a client that stays
without a connection makes room for a new one. An envelope is acknowledged after its click is kept; one that
is not comes again or tells the person that it did not work.
"""

import asyncio
import logging
import re

import structlog
from pydantic import SecretStr
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from leverframe.gateway.counters import Counters
from leverframe.gateway.replies import Refusal
from leverframe.gateway.slack import SlackDoor
from leverframe.model.errors import BadInput, Unavailable

PATIENCE = 12
"""Looks, one a ping, at a client without a connection until it is given up."""

_log = structlog.get_logger("leverframe.slack")

_TICKET = re.compile(r"\bwss?://[^\s'\"]+")


def _without_addresses(record: logging.LogRecord) -> bool:
    """The SDK logs what failed with its address, and whoever has that gets the interactions."""
    record.msg, record.args = _TICKET.sub("the address", record.getMessage()), ()
    record.exc_info = record.exc_text = None
    return True


_sdk_log = logging.getLogger("leverframe.slack.socket")
_sdk_log.addFilter(_without_addresses)


class SlackSocket:
    """One connection; Slack spreads interactions over the connections of an app."""

    def __init__(
        self,
        door: SlackDoor,
        counters: Counters,
        *,
        app_token: SecretStr,
        api_url: str,
        ping_seconds: float = 5.0,
    ) -> None:
        self._door = door
        self._counters = counters
        self._token = app_token
        self._api_url = api_url
        self._ping = ping_seconds

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                await self._one_client()
            except Exception as error:  # a gateway that hears nobody must not stay so
                _log.warning("Socket Mode broke", error=type(error).__name__)
                await asyncio.sleep(self._ping)
            _log.warning("no connection for Socket Mode: beginning anew")

    async def _one_client(self) -> None:
        """Until the client has been without a connection for a while."""
        client = SocketModeClient(
            app_token=self._token.get_secret_value(),
            web_client=AsyncWebClient(base_url=self._api_url),
            ping_interval=self._ping,
            logger=_sdk_log,
        )
        client.socket_mode_request_listeners.append(self._receive)
        connecting = asyncio.create_task(client.connect())  # type: ignore[no-untyped-call]  # the SDK's
        missed = 0
        try:
            while missed < PATIENCE:
                await asyncio.sleep(self._ping)
                missed = 0 if await client.is_connected() else missed + 1
        finally:
            connecting.cancel()
            await client.close()  # type: ignore[no-untyped-call]

    async def _receive(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        """Keep first, acknowledge then. What can't be used is acknowledged: it would not get better."""
        try:
            if request.type == "interactive" and isinstance(request.payload, dict):
                await self._door.take(request.payload)
        except Refusal as error:
            self._counters.refused(error.reason)
        except BadInput:
            self._counters.refused("malformed")
        except Unavailable as error:
            _log.warning("interaction not kept", error=str(error))
            return
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
