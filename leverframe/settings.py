"""The only reader of the environment and of `leverframe.toml`. Read by bootstrap and the shells.

Order: environment (`LEVERFRAME_GATEWAY__PORT=9000`) over the TOML file over the defaults here. The
file is `LEVERFRAME_CONFIG`, else `./leverframe.toml` if it exists.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import TomlConfigSettingsSource as TomlSource

from leverframe.model.errors import BadConfiguration
from leverframe.model.flags import InternalUsers
from leverframe.model.queries import ServiceQueries
from leverframe.model.topology import Repository
from leverframe.settings_delivery import DeliverySettings
from leverframe.settings_gateway import GatewaySettings
from leverframe.settings_section import Section
from leverframe.settings_tests import TestSettings
from policies.protected import covers_folder


class TemporalSettings(Section):
    """Where the engine is."""

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    api_key: SecretStr | None = None
    tls: bool = False
    ui_url: str = "http://127.0.0.1:8233"
    """Base address of the Temporal UI, for links that people open."""
    build_id: str = ""
    """Worker deployment version; empty switches worker versioning off."""


class StoreSettings(Section):
    """Where facts are kept."""

    url: str = "sqlite:///{home}/store.db"
    """A SQLAlchemy URL; `{home}` is replaced. `postgresql+psycopg://…` in production."""


OwnerRepo = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]


class GithubSettings(Section):
    """Where the repositories are on GitHub, and a token or an installation of a GitHub App."""

    owner_repo: dict[str, OwnerRepo] = Field(default_factory=dict)
    """Declared repository → `acme/shop`."""
    token: SecretStr | None = None
    app_id: int | None = None
    installation_id: int | None = None
    private_key_file: Path | None = None
    """PEM file of the App's private key."""
    api_url: str = "https://api.github.com"
    """`https://<host>/api/v3` for GitHub Enterprise Server."""
    land_by: Literal["push", "api"] = "push"
    """`api` moves the target by GitHub's API, where a rule keeps git's pushes from it. Cars are pushed."""

    @property
    def configured(self) -> bool:
        """Whether there is any credential."""
        return self.token is not None or self.app_id is not None


ProjectPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$")]


class GitlabSettings(Section):
    """Where the repositories are on GitLab, and an access token or one of OAuth with the scope `api`."""

    projects: dict[str, ProjectPath] = Field(default_factory=dict)
    """Declared repository → `acme/platform/shop`."""
    token: SecretStr | None = None
    api_url: str = "https://gitlab.com/api/v4"
    """`https://<host>/api/v4` for a GitLab of your own."""

    @property
    def configured(self) -> bool:
        """Whether there is a credential."""
        return self.token is not None


class ChangesSettings(Section):
    """The record of changes."""

    backend: Literal["store", "github", "gitlab"] = "store"
    github: GithubSettings = GithubSettings()
    gitlab: GitlabSettings = GitlabSettings()
    issues: Literal["forge", "none"] = "forge"
    """Where agents track repairs that they leave to people: in the forge's issues, or nowhere."""


class FlagSettings(Section):
    """The flag backend."""

    backend: Literal["flagd"] = "flagd"
    path: str = "{home}/flags.json"
    """The flagd definition file."""
    internal: InternalUsers = InternalUsers()
    """Who gets a flag first when it is rolled out."""
    metrics_url: str = ""
    """Where health documents of flags come from, with `{service}` and `{flag}` in it; empty: the router."""


class PrometheusSettings(Section):
    """Prometheus, or whatever answers its HTTP API: Thanos, Mimir, VictoriaMetrics."""

    url: str = Field(default="", pattern=r"^(https?://[^?#]+)?$")
    """With the path before `/api/v1`, if there is one."""
    token: SecretStr | None = None
    """Sent as a bearer token."""
    username: str = ""
    password: SecretStr | None = None
    ca_file: Path | None = None
    """PEM file of the authority that signed the server's certificate; else those that Python trusts."""
    services: dict[str, ServiceQueries] = Field(default_factory=dict)
    """Service → its signals and what is asked for them."""


class MetricsSettings(Section):
    """What feeds the gate of releases."""

    backends: tuple[Literal["http", "prometheus", "flows"], ...] = Field(default=("http",), min_length=1)
    """Each adds its signals; of a signal that several report the first one's is taken."""
    url: str = ""
    """With `http`: the address of the health document, with `{service}` in it; empty: the router's."""
    prometheus: PrometheusSettings = PrometheusSettings()
    flows_url: str = ""
    """With `flows`: where the gateway's counts of flows are; empty: `gateway.host` and `gateway.port`."""

    @model_validator(mode="after")
    def _some_source_of_errors(self) -> "MetricsSettings":
        if set(self.backends) == {"flows"}:
            raise ValueError("flows tell nothing of `errors`: name http or prometheus, too")
        return self


class SandboxSettings(Section):
    """Limits of one command in the jail."""

    backend: Literal["auto", "bubblewrap", "unshare"] = "auto"
    memory_mb: int = 1024
    processes: int = 256
    output_bytes: int = 1_000_000
    disk_mb: int = 256


class EyesSettings(Section):
    """The browser of the eyes-on check, where the sandbox worker runs."""

    backend: Literal["none", "chromium"] = "none"
    chromium: str = "/usr/bin/chromium"
    """The program."""
    browser_sandbox: bool = True
    """Chromium's own sandbox, which root can't have."""
    seconds: int = Field(default=15, ge=1, le=120)
    """How long a page may take."""
    stable_url: str = ""
    """Where stable answers, `{service}` replaced; empty asks the router."""
    canary_url: str = ""


def _not_ours(name: str) -> str:
    if name.startswith(("LEVERFRAME_", "TF_CLI_", "TF_REATTACH_")):
        raise ValueError(f"{name} is not for other programs: it holds our secrets, or changes what runs")
    return name


VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_not_ours)]


class ReleaseSettings(Section):
    """What a release leaves behind at 100 %."""

    signing_key_file: Path | None = None
    """An SSH key without a passphrase that signs markers; without it they are not signed."""
    forge_page: bool = False
    """Whether the forge gets a page of each release, with its notes, by the marker's name."""


class RegistryLogin(Section):
    """Who we are to one registry."""

    username: str
    password: SecretStr


class BuilderSettings(Section):
    """What the builders of images need beside a repository's own `build`."""

    pass_environment: tuple[VariableName, ...] = ()
    """With `command`: names of the variables that the command gets, such as where its login is."""
    registries: dict[str, RegistryLogin] = Field(default_factory=dict)
    """With `forge`: host of a registry → a login that may pull. Without one it is asked anonymously."""
    plain_http: tuple[str, ...] = ()
    """With `forge`: hosts of registries without TLS."""


class TerraformCloudSettings(Section):
    """Terraform Cloud (HCP Terraform) or Terraform Enterprise."""

    url: str = Field(default="https://app.terraform.io", pattern=r"^https?://[^/]+/?$")
    organisation: str = ""
    token: SecretStr | None = None
    """A team's or a user's token with permission to apply runs; an organisation's can't."""


class TerraformSettings(Section):
    """What applies infrastructure to dev."""

    backend: Literal["none", "command", "cloud"] = "none"
    binary: str = ""
    """With `command`: the program; empty takes `terraform`, else `tofu`, from PATH."""
    providers: tuple[str, ...] = ()
    """The providers that a tree may use: `hashicorp/aws`. What is built into Terraform always may be."""
    modules: tuple[str, ...] = ()
    """Sources of modules outside the tree that a tree may use, exactly as it writes them."""
    state_backend: str = ""
    """With `command`: the type of state backend that a tree must declare; empty takes any."""
    backend_config: dict[str, str] = Field(default_factory=dict)
    """With `command`: values of the state backend, over those of the tree; `{home}` is replaced."""
    pass_environment: tuple[VariableName, ...] = ()
    """With `command`: names of the variables that Terraform gets: dev's credentials."""
    lock_seconds: int = Field(default=60, ge=0)
    """With `command`: how long to wait for a state lock that somebody holds."""
    stop_seconds: int = Field(default=60, ge=1, le=240)
    """How long Terraform may take to write its state when it is stopped."""
    cloud: TerraformCloudSettings = TerraformCloudSettings()


class PolicySettings(Section):
    """Where policies come from."""

    backend: Literal["directory", "git"] = "directory"
    directory: str = "{app}/policies/defaults"
    """`{app}` is the directory of this installation."""
    repository: str = ""
    """With `git`: the declared repository whose target branch holds the policies."""
    folder: str = "policies"
    """With `git`: the folder in that repository; one that no agent can change."""
    reload_seconds: int = Field(default=60, ge=1)
    """How often the housekeeping looks whether the policy has changed."""

    @model_validator(mode="after")
    def _out_of_reach(self) -> "PolicySettings":
        if self.backend == "git" and not covers_folder(self.folder):
            raise ValueError(
                f"agents could change the policies in the folder {self.folder!r}: put them into one named"
                " `policies`, at any depth, such as `platform/policies`"
            )
        return self


class SlackSettings(Section):
    """The workspace in which people are asked."""

    bot_token: SecretStr | None = None
    """`xoxb-…`"""
    signing_secret: SecretStr | None = None
    """Verifies what Slack sends to the gateway by HTTP."""
    app_token: SecretStr | None = None
    """`xapp-…`; with it the gateway uses Socket Mode and needs no public address."""
    team: str = ""
    """The workspace's id, `T…`; clicks from any other are refused."""
    mode: Literal["notify", "act"] = "notify"
    """`notify` shows where to answer; `act` has buttons: whoever can click as an approver can approve."""
    channels: dict[str, str] = Field(default_factory=dict)
    """Group of people.yaml → channel id, `C…`."""
    notices: str = ""
    """Channel id for notices and for groups without a channel."""
    batch_seconds: int = Field(default=300, ge=0)
    """Like questions within this time share one message."""
    api_url: str = "https://slack.com/api/"


class ChatSettings(Section):
    """Where people are asked, first choice first; the next one is used while one is down."""

    backends: tuple[Literal["slack", "terminal"], ...] = ("terminal",)
    digest_hour: int = Field(default=8, ge=0, le=23)
    """Hour of the day, UTC, of the digest of questions beyond people's attention."""
    slack: SlackSettings = SlackSettings()


class TelemetrySettings(Section):
    """How we watch ourselves."""

    log_format: Literal["auto", "json", "pretty"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    sentry_dsn: SecretStr | None = None
    """Our own errors, never a payload. Refused when it points at our own gateway."""
    otlp_endpoint: str = ""
    metrics_port: int = 0
    """Prometheus port of a worker; 0 is off. The gateway serves /metrics itself."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="LEVERFRAME_",
        env_nested_delimiter="__",
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    organisation: str = "acme"
    home: Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())] = Path("var")
    """Where the embedded parts keep their files."""
    repositories: tuple[Repository, ...] = ()
    agents: dict[str, dict[str, int]] = {"sentry_spike": {}}
    """Enabled agents and their tuning."""
    temporal: TemporalSettings = TemporalSettings()
    store: StoreSettings = StoreSettings()
    gateway: GatewaySettings = GatewaySettings()
    changes: ChangesSettings = ChangesSettings()
    flags: FlagSettings = FlagSettings()
    delivery: DeliverySettings = DeliverySettings()
    metrics: MetricsSettings = MetricsSettings()
    sandbox: SandboxSettings = SandboxSettings()
    release: ReleaseSettings = ReleaseSettings()
    eyes: EyesSettings = EyesSettings()
    builder: BuilderSettings = BuilderSettings()
    terraform: TerraformSettings = TerraformSettings()
    policies: PolicySettings = PolicySettings()
    tests: TestSettings = TestSettings()
    chat: ChatSettings = ChatSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments (tests), then the environment, then the file."""
        return init_settings, env_settings, TomlSource(settings_cls, config_file())

    def place(self, template: str) -> str:
        """A setting with `{home}` and `{app}` filled in."""
        app = Path(__file__).resolve().parent.parent
        return template.replace("{home}", str(self.home)).replace("{app}", str(app))

    @property
    def artifacts(self) -> Path:
        """Where built artifacts lie: written by hands, read by sandbox and delivery."""
        return self.home / "artifacts"

    @property
    def left_reports(self) -> Path:
        """Where test reports of cars lie: written by the sandbox, taken in by the hands."""
        return self.home / "reports"

    def repository(self, name: str) -> Repository:
        """Raises BadConfiguration for a repository that is not declared."""
        for repository in self.repositories:
            if repository.name == name:
                return repository
        known = ", ".join(repository.name for repository in self.repositories) or "none"
        raise BadConfiguration(f"repository {name!r} is not declared; declared: {known}")

    def repository_of(self, service: str) -> Repository:
        """The repository that builds a service. Raises BadConfiguration."""
        for repository in self.repositories:
            if repository.service.name == service:
                return repository
        raise BadConfiguration(f"no declared repository builds the service {service!r}")


def config_file() -> Path | None:
    """The TOML file in force, if any. Raises BadConfiguration when the named one is missing."""
    named = os.environ.get("LEVERFRAME_CONFIG")
    if named:
        path = Path(named)
        if not path.is_file():
            raise BadConfiguration(f"LEVERFRAME_CONFIG names {named}, which is not a file")
        return path
    default = Path("leverframe.toml")
    return default if default.is_file() else None


def load() -> Settings:
    """Read the settings. Raises BadConfiguration with one line for each wrong value."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise BadConfiguration("the settings are wrong:\n  " + "\n  ".join(lines)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{config_file()} is not TOML: {error}") from error
