"""Errors are reported to Sentry, with the flags that were evaluated on the way."""

from collections.abc import Mapping

import sentry_sdk
from sentry_sdk.integrations.openfeature import OpenFeatureIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration


def start(environment: Mapping[str, str]) -> None:
    """Report to `SENTRY_DSN` as release `SENTRY_RELEASE`; without a DSN do nothing."""
    dsn = environment.get("SENTRY_DSN")
    if not dsn:
        return
    sentry_sdk.init(
        dsn=dsn,
        release=environment.get("SENTRY_RELEASE"),
        integrations=[OpenFeatureIntegration(), StarletteIntegration(transaction_style="url")],
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        shutdown_timeout=1,
    )
