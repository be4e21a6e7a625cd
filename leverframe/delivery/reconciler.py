"""The reconciler: keeps every environment at what its overlay in git names."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import structlog

from leverframe.delivery.artifacts import Trees
from leverframe.delivery.deployment import Deployment
from leverframe.delivery.overlays import Overlays
from leverframe.delivery.state_file import SavedState, StateFile
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.flags import FlagHealthDocument
from leverframe.model.releases import Environment, HealthDocument, Reconciliation, SignalCounts
from leverframe.model.topology import Repository

LOCAL_POLL_SECONDS = 0.5
REMOTE_POLL_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Reconciler:
    """All deployments of all declared services, the loop that reads git, and the state that survives."""

    def __init__(
        self,
        *,
        repositories: tuple[Repository, ...],
        home: Path,
        artifacts: Path,
        variables: Mapping[str, str],
        http: aiohttp.ClientSession,
    ) -> None:
        self.trees = Trees(root=home / "trees", artifacts=artifacts)
        self.started_at = datetime.now(UTC)
        self._repositories = repositories
        self._file = StateFile(home / "state.json")
        self._overlays = Overlays(home / "git")
        self._looking = {repository.name: asyncio.Lock() for repository in repositories}
        saved = self._file.load()
        self._suspended = {service: dict(of_it) for service, of_it in saved.suspended.items()}
        self.deployments: dict[tuple[str, Environment], Deployment] = {
            (repository.service.name, environment): Deployment(
                service=repository.service,
                environment=environment,
                arms=saved.arms(repository.service.name, environment),
                trees=self.trees,
                variables=variables,
                home=home,
                http=http,
                changed=self._save,
            )
            for repository in repositories
            for environment in repository.service.overlays
        }

    def deployment(self, service: str, environment: Environment) -> Deployment:
        """Raises NotFound for a service or environment that is not declared."""
        try:
            return self.deployments[service, environment]
        except KeyError:
            raise NotFound(f"no {environment} environment of a service {service!r} is declared") from None

    async def run(self) -> None:
        """Follow the overlays until cancelled. A repository that can't be read keeps what runs."""
        for deployment in self.deployments.values():
            deployment.follow(None)
        async with asyncio.TaskGroup() as group:
            for repository in self._repositories:
                group.create_task(self._follow(repository))

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        """How far an environment follows its overlay. Raises NotFound."""
        deployment = self.deployment(service, environment)
        reason = self._suspended.get(service, {}).get(environment)
        state = deployment.state()
        repository = next(each for each in self._repositories if each.service.name == service)
        return Reconciliation(
            environment=environment,
            revision=self._overlays.revision(repository),
            pending=False,
            synced=reason is None,
            automatic=reason is None,
            healthy=state.ready,
            detail=state.detail if reason is None else f"suspended: {reason}",
        )

    def suspend(self, service: str, environment: Environment, reason: str) -> None:
        """Keep what runs, also after a restart. Raises NotFound."""
        self.deployment(service, environment)
        self._suspended.setdefault(service, {})[environment] = reason
        self._save()

    def resume(self, service: str, environment: Environment) -> None:
        """Follow the overlay again from the next look on. Raises NotFound."""
        self.deployment(service, environment)
        if self._suspended.get(service, {}).pop(environment, None) is not None:
            self._save()

    async def refresh(self, service: str) -> None:
        """Read the overlays of one service now. Raises NotFound, Unavailable."""
        declared = [each for each in self._repositories if each.service.name == service]
        if not declared:
            raise NotFound(f"no service {service!r} is declared")
        for repository in declared:
            await self._read(repository)

    async def close(self) -> None:
        """Stop every instance, gracefully."""
        await asyncio.gather(*(deployment.close() for deployment in self.deployments.values()))

    def health(self, service: str) -> HealthDocument:
        """What happened on production's SHAs. Raises Unavailable before the first stable."""
        deployment = self.deployment(service, "production")
        if deployment.arms.stable is None:
            raise Unavailable(f"{service} has no stable release yet")
        stable, canary = deployment.arms.stable, deployment.arms.canary
        counted = {sha: deployment.signals(sha) for sha in (stable, canary) if sha is not None}
        return HealthDocument(
            service=service,
            taken_at=datetime.now(UTC),
            stable=stable,
            canary=canary,
            canary_percent=deployment.arms.percent,
            signals={
                name: SignalCounts(
                    since=self.started_at, arms={sha: counts[name] for sha, counts in counted.items()}
                )
                for name in counted[stable]
            },
        )

    def flag_health(self, service: str, flag: str) -> FlagHealthDocument:
        """What production's requests did under each variant of a flag. Raises NotFound."""
        return FlagHealthDocument(
            service=service,
            flag=flag,
            counting_since=self.started_at,
            taken_at=datetime.now(UTC),
            variants=self.deployment(service, "production").route.counts.variants(flag),
        )

    async def _follow(self, repository: Repository) -> None:
        pause = _poll_seconds(repository)
        blind = False
        while True:
            try:
                await self._read(repository)
                blind = False
            except Unavailable as error:
                if not blind:
                    log.warning("overlays.unreadable", repository=repository.name, reason=str(error))
                blind = True
            await asyncio.sleep(pause)

    async def _read(self, repository: Repository) -> None:
        # One look after the other: a look that began earlier must not have the last word.
        async with self._looking[repository.name]:
            suspended = self._suspended.get(repository.service.name, {})
            for environment, named in (await self._overlays.read(repository)).items():
                if environment not in suspended:
                    self.deployments[repository.service.name, environment].follow(named.sha, named.digest)

    def _save(self) -> None:
        services: dict[str, dict[Environment, object]] = {}
        for (service, environment), deployment in self.deployments.items():
            services.setdefault(service, {})[environment] = deployment.arms
        self._file.save(SavedState.model_validate({"services": services, "suspended": self._suspended}))

    def prune(self, service: str) -> None:
        """Remove old trees that no environment of the service needs."""
        in_use: frozenset[str] = frozenset()
        for (name, _), deployment in self.deployments.items():
            if name == service:
                in_use |= deployment.in_use()
        self.trees.prune(service, in_use=in_use)


def _poll_seconds(repository: Repository) -> float:
    """A remote over the network is asked less often."""
    return LOCAL_POLL_SECONDS if Path(repository.url).is_dir() else REMOTE_POLL_SECONDS
