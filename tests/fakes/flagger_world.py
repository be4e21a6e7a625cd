"""A cluster with Flux and Flagger, a git that names one commit, and our backends with the gateway's door."""

import asyncio
import hashlib
import ssl
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Engine
from starlette.applications import Starlette

from activities.backends.delivery_flagger import FlaggerDelivery
from activities.backends.gitops_flux import FluxGitops
from activities.backends.kubernetes_api import KubernetesApi
from activities.backends.kubernetes_config import Access
from activities.backends.kubernetes_places import Places
from activities.backends.permits_store import StorePermits
from leverframe.delivery.arms import Arms
from leverframe.gateway.counters import Counters
from leverframe.gateway.flagger import FlaggerDoor
from leverframe.gateway.replies import Refusal, Replies
from leverframe.model.errors import BadInput, Unavailable
from leverframe.model.releases import Artifact, DeliveryState
from tests.fakes.argo_world import plan
from tests.fakes.kubernetes import TOKEN, FakeKubernetes
from tests.fakes.kubernetes_flagger import FakeFlagger, canary, deployment, kind
from tests.fakes.kubernetes_flux import NAMESPACE, FakeFlux
from tests.fakes.kubernetes_http import URL, transport
from tests.fakes.kubernetes_kinds import Json
from tests.fakes.release_world import repository

A, B, C = "a" * 40, "b" * 40, "c" * 40
SECRET = "flaggers-own-secret"


class FlaggerWorld:
    """Production of the shop: A is stable, and Flagger asks a real gateway's door over a real store."""

    def __init__(self, store: Engine, *steps: int, settle_seconds: float = 0) -> None:
        self.cluster = FakeKubernetes()
        access = Access(URL, ssl.create_default_context(), lambda: TOKEN)
        self.api = KubernetesApi(access, transport=transport(self.cluster))
        self.permits = StorePermits(store)
        places = Places(
            namespaces={"production": "production", "dev": "dev"},
            workload="{service}",
            container="{service}",
            origins={"production": "http://127.0.0.1:9", "dev": "http://127.0.0.1:9"},
            services=frozenset({"shop"}),
        )
        self.delivery = FlaggerDelivery(
            self.api,
            self.permits,
            places=places,
            plans={"shop": plan(*steps)},
            deployments=frozenset({"dev"}),
            settle_seconds=settle_seconds,
        )
        counters = Counters()
        door = FlaggerDoor(
            secret=SecretStr(SECRET),
            services=frozenset({"shop"}),
            delivery=self.delivery,
            permits=self.permits,
            counters=counters,
        )
        replies = Replies(counters)
        handlers = {Refusal: replies.refusal, BadInput: replies.bad_input}
        self.app = Starlette(routes=door.routes(), exception_handlers=handlers)
        self.controller = FakeFlagger(self.cluster, self.ask)
        self.tags: dict[str, str] = {"production": A}
        self.cpu = "1"
        self.flux = FakeFlux(
            self.cluster,
            {"shop-production": lambda: self.git("production"), "shop-dev": lambda: self.git("dev")},
        )
        hooks = f"http://flagger:{SECRET}@gateway/flagger/shop"
        self.cluster.store.create(kind("Canary"), "production", canary(*steps, url=hooks))
        self.gitops = FluxGitops(
            self.api,
            namespace=NAMESPACE,
            kustomizations={"production": "{service}-production", "dev": "{service}-dev"},
            services=frozenset({"shop"}),
        )
        for sha in (B, C):
            self.built(sha)
        self.tick()

    def built(self, sha: str) -> None:
        """A release hands the image of a commit over."""
        image = Artifact(service="shop", sha=sha, digest=f"sha256:{'0' * 64}", image="registry.example/shop")
        self.delivery.deploy_artifact(repository(), image)

    def git(self, environment: str) -> tuple[str, list[Json]]:
        """The tip, and what the overlay of an environment makes there; nothing where it names no commit."""
        revision = hashlib.sha1(f"{self.tags} {self.cpu}".encode(), usedforsecurity=False).hexdigest()
        if (tag := self.tags.get(environment)) is None:
            return revision, []
        return revision, [deployment(tag, namespace=environment, cpu=self.cpu)]

    def ask(self, url: str, payload: Json) -> bool:
        return self.post(url, json=payload).status_code == 200

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """One request to the door."""

        async def posted() -> httpx.Response:
            way = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=way, base_url="http://gateway") as client:
                return await client.post(path, **sent)

        return asyncio.run(posted())

    def land(self, tag: str) -> None:
        """An overlay that names a commit. Flux has not looked yet."""
        self.tags["production"] = tag

    def point(self, tag: str, cpu: str = "1") -> None:
        """The same, and Flux has looked and applied it."""
        self.tags["production"], self.cpu = tag, cpu
        self.flux.poll()

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.controller.tick()

    def weigh(self, sha: str, percent: int) -> DeliveryState:
        """Ask again until it is so, as the engine does."""
        for _ in range(6):
            try:
                return self.delivery.set_weight("shop", sha=sha, percent=percent)
            except Unavailable:
                self.tick()
        raise AssertionError(self.controller.asked)

    def promote(self, sha: str) -> DeliveryState:
        for _ in range(8):
            try:
                return self.delivery.promote("shop", sha=sha)
            except Unavailable:
                self.tick()
        raise AssertionError(self.controller.asked)

    def abort(self, sha: str) -> DeliveryState:
        for _ in range(3):
            try:
                return self.delivery.abort("shop", sha=sha)
            except Unavailable:
                self.tick()
        raise AssertionError(self.controller.asked)

    @property
    def state(self) -> DeliveryState:
        return self.delivery.state("shop", "production")

    def arms(self) -> Arms:
        """What production's requests meet."""
        state = self.state
        return Arms(stables=(state.stable,) if state.stable else (), canary=state.canary, percent=self.route)

    @property
    def route(self) -> int:
        """What the traffic router really does."""
        return self.controller.routes.get("shop", 0)


class Intervals:
    """The port Delivery of a world; whenever it is used, one more interval of Flagger is over."""

    def __init__(self, world: FlaggerWorld) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        self._world.tick()
        return getattr(self._world.delivery, name)
