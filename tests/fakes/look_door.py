"""A forge's webhook over a real engine, in which a train that nobody works on keeps its signals."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Route
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from leverframe.gateway.counters import Counters
from leverframe.gateway.replies import Refusal, Replies
from leverframe.model.errors import BadInput, Unavailable


class LookDoor:
    """Answers requests by the routes of one webhook, and tells what the train was asked."""

    def __init__(
        self, routes: Sequence[Route], counters: Counters, train: "WorkflowHandle[Any, Any]"
    ) -> None:
        self.counters = counters
        self.train = train
        replies = Replies(counters)
        app = Starlette(
            routes=routes,
            exception_handlers={
                Refusal: replies.refusal,
                BadInput: replies.bad_input,
                Unavailable: replies.unavailable,
            },
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://gateway")

    async def looks(self) -> list[str]:
        """The reason of each signal that the train has."""
        history = await self.train.fetch_history()
        signals = [
            event.workflow_execution_signaled_event_attributes
            for event in history.events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        ]
        assert all(signal.signal_name == "look" for signal in signals)
        return [json.loads(signal.input.payloads[0].data)["reason"] for signal in signals]
