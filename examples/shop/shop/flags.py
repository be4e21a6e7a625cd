"""Feature flags through OpenFeature: a flagd definition file, or everything off."""

from collections.abc import Mapping

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider.in_memory_provider import InMemoryProvider

_POLL_MS = 50


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


def on(flag: str, customer: str = "anonymous") -> bool:
    """Whether the flag is on; off when in doubt."""
    return api.get_client().get_boolean_value(flag, False, EvaluationContext(customer))
