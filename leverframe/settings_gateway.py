"""Settings of the gateway and of its doors."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from leverframe.model.flows import FlowName, FlowSeconds
from leverframe.model.frozen import Slug
from leverframe.reports.reading import MAX_BYTES
from leverframe.settings_section import Section

Origin = Annotated[str, StringConstraints(pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$")]
"""As browsers send it: scheme, host and port, in lower case and without a path."""


def _hard_to_guess(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 16:
        raise ValueError("it has fewer than 16 characters: openssl rand -hex 32 makes one")
    return secret


HardToGuess = Annotated[SecretStr, AfterValidator(_hard_to_guess)]


class FlowsSettings(Section):
    """What browsers may tell of the flows of real users. Off without a declared flow."""

    declared: dict[Slug, Annotated[dict[FlowName, FlowSeconds], Field(max_length=20)]] = Field(
        default_factory=dict
    )
    """Service → flow → the seconds after which a flow that was not completed is abandoned."""
    origins: tuple[Origin, ...] = ()
    """Whose pages may send."""
    secret: HardToGuess | None = None
    """With it each start must be signed by the service that served the page."""
    starts_a_second: int = Field(default=50, ge=1, le=10_000)
    """Of each service; more are refused."""

    @model_validator(mode="after")
    def _pages_that_may_send(self) -> "FlowsSettings":
        if self.declared and not self.origins:
            raise ValueError("flows are declared, but no origin whose pages may tell of them")
        return self


class ReportsSettings(Section):
    """Test reports that jobs send. Off without a token."""

    tokens: dict[Slug, HardToGuess] = Field(default_factory=dict)
    """Declared repository → what its jobs show."""
    fetch: dict[Slug, Annotated[tuple[str, ...], Field(max_length=20)]] = Field(default_factory=dict)
    """Declared repository → globs of what holds reports at the forge, fetched when a run ends: of the names
    of artifacts on GitHub; of paths in jobs' artifacts on GitLab, where none takes the pipeline's report."""
    jobs: dict[Slug, Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]] = Field(
        default_factory=dict
    )
    """Declared repository → globs of the names of CI's jobs of which it is kept whether they passed. `*`
    crosses slashes, so `*` alone is all of them."""
    max_bytes: int = Field(default=MAX_BYTES, ge=1_024, le=MAX_BYTES)
    """Larger reports are refused, compressed or decompressed."""

    @property
    def fetched(self) -> frozenset[str]:
        """The repositories of which anything is fetched when a run of the forge's CI has ended."""
        return frozenset({*self.fetch, *self.jobs})


class GatewaySettings(Section):
    """The door for events and webhooks."""

    host: str = "127.0.0.1"
    port: int = 8400
    max_body_bytes: int = 1_048_576
    """Larger bodies are refused, compressed or decompressed."""
    max_pending_events: int = 50_000
    """Accepted events not yet in the engine; past it the gateway answers 503."""
    coalesce_ms: int = 200
    sentry_projects: dict[str, str] = Field(default_factory=dict)
    """Sentry project id → service."""
    sentry_keys: dict[str, SecretStr] = Field(default_factory=dict)
    """Sentry project id → the public key of its DSN."""
    sentry_webhook_secret: SecretStr | None = None
    """Client secret of the Sentry integration; without it the webhook is off."""
    github_webhook_secret: SecretStr | None = None
    """Signs what GitHub's webhooks send; without it they are off."""
    gitlab_webhook_secret: SecretStr | None = None
    """Secret token that GitLab's webhooks send; without it and a signing token they are off."""
    flagger_secret: SecretStr | None = None
    """Flagger sends it with each question; needed with `delivery.backend = "flagger"`."""
    gitlab_signing_token: SecretStr | None = None
    """`whsec_…` of GitLab's webhooks: the key that signs them. With it, a secret token is not enough."""
    flows: FlowsSettings = FlowsSettings()
    tests: ReportsSettings = ReportsSettings()
