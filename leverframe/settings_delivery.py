"""The table `delivery` of `leverframe.toml`: where services run, and what follows git there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from leverframe.model.releases import Environment
from leverframe.settings_section import Section


def _only_service(pattern: str) -> str:
    if "{" in pattern.replace("{service}", ""):
        raise ValueError(f"{pattern!r}: only {{service}} is replaced")
    return pattern


_NAMESPACES: Mapping[Environment, str] = MappingProxyType({"dev": "dev", "production": "production"})
_APPLICATIONS: Mapping[Environment, str] = MappingProxyType(
    {"dev": "{service}-dev", "production": "{service}-production"}
)

Pattern = Annotated[str, Field(min_length=1), AfterValidator(_only_service)]
"""A name with `{service}` in it, or the same for every service."""
Origin = Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_only_service)]


class KubernetesSettings(Section):
    """The cluster that `argo_rollouts` and `flagger` deliver to."""

    kubeconfig: str = ""
    """A file; `{home}` is replaced. Empty: the service account of the pod that the worker runs in."""
    context: str = ""
    """Empty: the file's current one."""
    namespaces: dict[Environment, Pattern] = Field(default_factory=lambda: dict(_NAMESPACES))
    workload: Pattern = "{service}"
    """The name of the Rollout, or of the Canary and its Deployment."""
    container: Pattern = "{service}"
    """The container whose image's tag is the commit; the only one is taken whatever its name is."""
    deployments: tuple[Environment, ...] = ()
    """Environments that run a Deployment of that name, without a canary."""
    origins: dict[Environment, Origin] = Field(default_factory=dict)
    """Where smoke requests are sent."""

    @model_validator(mode="after")
    def _production_has_a_canary(self) -> Self:
        if "production" in self.deployments:
            raise ValueError("deployments: production needs a Rollout, or nothing holds a bad release back")
        return self


class ArgoCdSettings(Section):
    """Argo CD: its Applications are read in the cluster, or by its own API."""

    namespace: str = "argocd"
    """Where its Applications are."""
    applications: dict[Environment, Pattern] = Field(default_factory=lambda: dict(_APPLICATIONS))
    server: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Address of its API server. Empty: through the Kubernetes API."""
    token: SecretStr | None = None
    """With `server`: of an account that may get and update applications."""

    @model_validator(mode="after")
    def _with_a_token(self) -> Self:
        if self.server and self.token is None:
            raise ValueError("server: it needs a token, too")
        return self


class FluxSettings(Section):
    """Flux: its Kustomizations, and the GitRepository that each reads."""

    namespace: str = "flux-system"
    """Where they are."""
    kustomizations: dict[Environment, Pattern] = {  # noqa: RUF012 - pydantic copies it
        "dev": "{service}-dev",
        "production": "{service}-production",
    }


class DeliverySettings(Section):
    """The environments."""

    backend: Literal["local", "argo_rollouts", "flagger"] = "local"
    gitops: Literal["local", "argocd", "flux"] = "local"
    """What applies the overlays: the router, or a controller in the cluster."""
    admin_url: str = "http://127.0.0.1:8410"
    """The router's own door: states, weights, health documents."""
    production_port: int = 8411
    dev_port: int = 8412
    environment: dict[str, str] = Field(default_factory=dict)
    """Extra environment variables of the services that the local delivery starts."""
    kubernetes: KubernetesSettings = KubernetesSettings()
    argocd: ArgoCdSettings = ArgoCdSettings()
    flux: FluxSettings = FluxSettings()

    @model_validator(mode="after")
    def _both_on_one_side(self) -> Self:
        if (self.backend == "local") != (self.gitops == "local"):
            raise ValueError(
                f"backend {self.backend} and gitops {self.gitops} do not go together: the router is both, "
                "and a cluster needs a controller: argocd or flux"
            )
        return self
