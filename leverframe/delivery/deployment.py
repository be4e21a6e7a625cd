"""A deployment: one service in one environment, with its instances and its route."""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import structlog

from leverframe.delivery import arms as transitions
from leverframe.delivery.arms import Arms, reconcile
from leverframe.delivery.artifacts import Trees
from leverframe.delivery.instances import Instance, InstanceSpec
from leverframe.delivery.lifetimes import Lifetimes
from leverframe.delivery.router import Route
from leverframe.model.errors import Conflict, NotFound, Unavailable
from leverframe.model.releases import RESTARTS, Count, DeliveryState, Environment
from leverframe.model.topology import Service

log = structlog.get_logger(__name__)


class Deployment:
    """Makes processes and weights follow the arms. All methods run on one event loop."""

    def __init__(
        self,
        *,
        service: Service,
        environment: Environment,
        arms: Arms,
        trees: Trees,
        variables: Mapping[str, str],
        home: Path,
        http: aiohttp.ClientSession,
        changed: Callable[[], None],
    ) -> None:
        self.service = service
        self.environment = environment
        self.arms = arms
        self.route = Route(seed=f"{service.name}/{environment}")
        self._wanted: str | None = None
        self._pinned: str | None = None
        """The digest that the overlay names beside it."""
        self._trees = trees
        self._variables = variables
        self._home = home
        self._http = http
        self._changed = changed
        """Called after the arms have changed, before anything acts on them."""
        self._instances: dict[str, Instance] = {}
        self._lifetimes = Lifetimes(time.monotonic)
        self._missing: dict[str, str] = {}
        """SHAs that should run and can't be started, with the reason."""
        self._stopping: set[asyncio.Task[None]] = set()

    def follow(self, wanted: str | None, digest: str | None = None) -> None:
        """Do what the overlay says now. Nothing here waits: processes start and stop on their own.

        With a `digest` nothing of `wanted` is started unless it was built as exactly that.
        """
        self._wanted, self._pinned = wanted, digest
        plan = reconcile(
            self.environment,
            wanted,
            self.arms,
            running=frozenset(self._instances),
            healthy=frozenset(sha for sha, instance in self._instances.items() if instance.healthy),
        )
        self._missing = {}
        for sha in plan.start:
            self._start(sha, digest if sha == wanted else None)
        self._become(plan.arms)
        for sha in plan.stop:
            self._stop(sha)

    def set_weight(self, sha: str, percent: int) -> DeliveryState:
        """Raises Conflict when `sha` is not the canary, Unavailable while it is not healthy."""
        after = transitions.weigh(self.arms, sha, percent)
        instance = self._instances.get(sha)
        if percent and (instance is None or not instance.healthy):
            raise Unavailable(f"the canary {sha[:12]} is not ready: it {self._say(sha)}")
        self._become(after)
        return self.state()

    def promote(self, sha: str) -> DeliveryState:
        """Raises Conflict when `sha` is neither canary nor stable."""
        self._become(transitions.promote(self.arms, sha))
        self.follow(self._wanted, self._pinned)
        return self.state()

    def abort(self, sha: str) -> DeliveryState:
        """Traffic is back on stable when this returns. Raises Conflict when `sha` is stable."""
        self._become(transitions.abort(self.arms, sha))
        self.follow(self._wanted, self._pinned)
        return self.state()

    def state(self) -> DeliveryState:
        """What runs, as of now."""
        needed = [sha for sha in (self.arms.stable, self.arms.canary) if sha is not None]
        coming = self._wanted not in (None, self.arms.aborted, *needed)
        healthy = [sha for sha in needed if sha in self._instances and self._instances[sha].healthy]
        unwell = [sha for sha in needed if sha not in healthy] + (
            [self._wanted] if coming and self._wanted else []
        )
        return DeliveryState(
            environment=self.environment,
            wanted=self._wanted,
            stable=self.arms.stable,
            canary=self.arms.canary,
            canary_percent=self.arms.percent,
            ready=bool(needed) and not unwell,
            detail="; ".join(f"{sha[:12]} {self._say(sha)}" for sha in unwell),
        )

    def signals(self, sha: str) -> dict[str, Count]:
        """What happened on one SHA: its requests, and the seconds in which its process died."""
        return {**self.route.counts.signals(sha), RESTARTS: self._lifetimes.count(sha)}

    def ports(self) -> dict[str, int]:
        """Where each healthy instance answers, whatever share of the requests it gets."""
        return {sha: instance.port for sha, instance in self._instances.items() if instance.healthy}

    def in_use(self) -> frozenset[str]:
        """SHAs whose trees must stay."""
        named = (*self.arms.stables, self.arms.canary, self._wanted)
        return frozenset(self._instances) | {sha for sha in named if sha is not None}

    async def close(self) -> None:
        """Stop every instance."""
        for sha in list(self._instances):
            self._stop(sha)
        await asyncio.gather(*self._stopping)

    def _become(self, after: Arms) -> None:
        if after != self.arms:
            changes = after.model_dump(exclude={"stables"})
            where = {"service": self.service.name, "environment": self.environment}
            log.info("arms.changed", **where, stable=after.stable, **changes)
            self.arms = after
            self._changed()
        self.route.stable = self._instances.get(after.stable or "")
        self.route.canary = self._instances.get(after.canary or "")
        self.route.percent = after.percent

    def _start(self, sha: str, digest: str | None) -> None:
        try:
            tree = self._trees.tree(self.service.name, sha, digest)
        except (NotFound, Conflict) as error:
            self._missing[sha] = f"can't run: {error}"
            return
        spec = InstanceSpec(self.service, self.environment, sha, tree, self._variables, self._home)
        died = functools.partial(self._lifetimes.died, sha)
        instance = self._instances[sha] = Instance(spec, self._http, died)
        self._lifetimes.begin(sha)
        instance.start()

    def _stop(self, sha: str) -> None:
        self._lifetimes.end(sha)
        task = asyncio.create_task(self._instances.pop(sha).stop(), name=f"stop {sha[:12]}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _say(self, sha: str) -> str:
        instance = self._instances.get(sha)
        return instance.detail if instance is not None else self._missing.get(sha, "is not running")
