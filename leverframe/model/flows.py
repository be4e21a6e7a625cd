"""Flows of real users, as their browsers tell of them: each is started, and completed in time or not."""

import hmac
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.releases import SignalName

FlowName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,39}$")]
FlowSeconds = Annotated[int, Field(ge=1, le=3600)]

MOST_EVENTS = 50
"""In one message."""


class FlowEvent(Frozen):
    """One thing that a page tells."""

    flow: FlowName
    event: Literal["started", "completed"]
    id: str = Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")
    """Of this one flow, and random: whoever can guess it can complete the flow."""
    sha: Sha
    """The revision that served the page."""
    signature: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Of a start: `signature_of` by the service, where there is a secret."""


FlowEvents = Annotated[tuple[FlowEvent, ...], Field(min_length=1, max_length=MOST_EVENTS)]
"""What one message holds."""


def abandoned(flow: FlowName) -> SignalName:
    """The signal of one flow: those not completed in time, of all whose time is over."""
    return f"abandoned {flow}"


def signature_of(secret: str, service: Slug, event: FlowEvent) -> str:
    """HMAC-SHA256 (RFC 2104) over service, flow, revision and id, joined by line feeds; hexadecimal."""
    signed = "\n".join((service, event.flow, event.sha, event.id))
    return hmac.new(secret.encode(), signed.encode(), sha256).hexdigest()
