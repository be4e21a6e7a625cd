"""Feature flags through OpenFeature: a flagd definition file, or everything off.

Which flags were evaluated for a request, and to what, is told in a header of the response, also of one that
failed: so whoever watches from outside can tell what each flag does to users.
"""

from collections.abc import Mapping
from contextvars import ContextVar

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider.in_memory_provider import InMemoryProvider
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "Leverframe-Flags"
CUSTOMER = "X-Customer"

_POLL_MS = 50

_customer: ContextVar[str] = ContextVar("customer", default="anonymous")
_evaluated: ContextVar[dict[str, str]] = ContextVar("evaluated")


def start(environment: Mapping[str, str]) -> None:
    """Read `SHOP_FLAGS`, or the file that flagd's own variable names; without either all flags are off."""
    path = environment.get("SHOP_FLAGS") or environment.get("FLAGD_OFFLINE_FLAG_SOURCE_PATH")
    if path:
        api.set_provider_and_wait(
            FlagdProvider(
                resolver_type=ResolverType.FILE,
                offline_flag_source_path=path,
                deadline_ms=_POLL_MS,  # the provider's name for how often it looks at the file
            )
        )
    else:
        api.set_provider_and_wait(InMemoryProvider({}))


def on(flag: str) -> bool:
    """Whether the flag is on for this request's customer; off when in doubt."""
    details = api.get_client().get_boolean_details(flag, False, EvaluationContext(_customer.get()))
    if details.variant is not None and (evaluated := _evaluated.get(None)) is not None:
        evaluated[flag] = details.variant
    return details.value


class Told:
    """Outermost: knows the customer by a header, and tells in another which flags the answer depends on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        evaluated: dict[str, str] = {}
        _evaluated.set(evaluated)
        _customer.set(Headers(scope=scope).get(CUSTOMER) or "anonymous")

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and evaluated:
                said = ", ".join(f"{flag}={variant}" for flag, variant in evaluated.items())
                MutableHeaders(scope=message)[HEADER] = said
            await send(message)

        await self._app(scope, receive, telling)
