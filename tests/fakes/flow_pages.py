"""Pages of a service that tell of flows, and the delivery that says which revisions serve them."""

import asyncio
import json
from typing import Any

import httpx
from starlette.applications import Starlette

from leverframe.gateway.counters import Counters
from leverframe.gateway.flow_door import FlowDoor
from leverframe.gateway.replies import Refusal, Replies
from leverframe.model.errors import BadInput, Unavailable
from leverframe.model.flows import FlowEvent, signature_of
from leverframe.model.releases import DeliveryState, Environment
from leverframe.settings_gateway import FlowsSettings

STABLE, CANARY = "a" * 40, "b" * 40
ORIGIN = "https://shop.acme.example"
SECONDS = 60


class Arms:
    """The delivery, as far as the flows ask it."""

    def __init__(self) -> None:
        self.stable: str | None = STABLE
        self.away = False
        self.asked = 0

    def state(self, service: str, environment: Environment) -> DeliveryState:
        self.asked += 1
        if self.away:
            raise Unavailable("the cluster does not answer")
        return DeliveryState(
            environment=environment,
            wanted=CANARY,
            stable=self.stable,
            canary=CANARY,
            canary_percent=5,
            ready=True,
        )


class Pages:
    """The door with its clock, and the messages that pages send to it."""

    def __init__(self, **settings: Any) -> None:
        self.now = 0.0
        self.arms, self.counters = Arms(), Counters()
        declared = {"shop": {"checkout": SECONDS}, "blog": {"comment": SECONDS}}
        told = FlowsSettings.model_validate({"declared": declared, "origins": [ORIGIN], **settings})
        self.door = FlowDoor(told, self.arms, self.counters, clock=lambda: self.now)  # type: ignore[arg-type]
        replies = Replies(self.counters)
        app = Starlette(
            routes=self.door.routes(),
            exception_handlers={
                Refusal: replies.refusal,
                BadInput: replies.bad_input,
                Unavailable: replies.unavailable,
            },
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    async def send(self, body: Any, *, service: str = "shop", **headers: str) -> httpx.Response:
        """POST as `sendBeacon` does; a body that is not text yet is made JSON."""
        sent = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return await self.http.post(f"/rum/{service}", content=content, headers=sent)

    async def counts(self) -> dict[str, tuple[int, int]]:
        """SHA → abandoned checkouts, and all that are over."""
        told = (await self.http.get("/health/flows/shop")).json()
        arms = told["signals"]["abandoned checkout"]["arms"]
        return {sha: (count["bad"], count["total"]) for sha, count in arms.items()}


def started(number: int, sha: str = STABLE, **more: str) -> dict[str, str]:
    """The start of one checkout."""
    return {"flow": "checkout", "event": "started", "id": f"{number:016d}", "sha": sha, **more}


def completed(number: int, sha: str = STABLE, **more: str) -> dict[str, str]:
    """Its completion."""
    return started(number, sha, **more) | {"event": "completed"}


def signed(secret: str, event: dict[str, str], service: str = "shop") -> dict[str, str]:
    """The event as the service has signed it."""
    return event | {"signature": signature_of(secret, service, FlowEvent.model_validate(event))}


async def sendings(*waiting: Any) -> list[httpx.Response]:
    """All at once."""
    return list(await asyncio.gather(*waiting))
