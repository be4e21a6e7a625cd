"""Metrics from Prometheus, or from whatever speaks its HTTP API: raw counters, added up here.

Nothing is kept between two looks, neither here nor in a store. Time is cut into blocks of a quarter of an
hour; a document counts from the beginning of the block that it was taken in, from the raw samples of the
block and of the one before. Two documents of one block begin at the same instant, so their difference is
what happened between them, whoever made them: any worker, the gateway, one that was restarted. At the
beginning of a block the counts begin anew and the gate skips one look, one in sixty at 15 s. What this is
chosen over:

- `rate()` or `increase()` over a window: windows of adjacent looks overlap, so that one burst counts again
  and again, and both extrapolate, so that counts are no counts;
- subtracting the raw sum of the look before: a pod that ends takes its count out of the sum;
- last values in the store: a state that two readers would have to share and that outlives its series.

A series with no sample in the block before was born in this one and counts from zero: a counter of errors
appears with its first error. One whose scrapes fail meanwhile goes on where it was when they succeed again.

Everything unsure is named in `blind`, never counted as zero: no series, none of the last five minutes, NaN, a
warning, an error, a partial answer. The document is Unavailable when no signal can be read.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import httpx

from activities.backends.prometheus_api import PrometheusApi
from activities.backends.prometheus_counts import Series, first_sample, grown, last_sample, present
from activities.delivery_ports import Delivery
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError, NotFound, Unavailable
from leverframe.model.queries import ServiceQueries, SignalQuery, filled
from leverframe.model.releases import Count, HealthDocument, SignalCounts

BLOCK_SECONDS = 900
STALE_SECONDS = 300.0
"""Older samples say nothing of now; Prometheus' own lookback."""
SETTLED_SECONDS = 10.0
"""We look so far into the past: scrapes of that time have been written."""
PATIENCE_SECONDS = 8.0
"""For all queries of one document."""

_HASH = re.compile(r"[a-z0-9]{1,63}", re.ASCII)

Arm = Literal["stable", "canary"]


class PrometheusMetrics:
    """The port `Metrics`. What is stable and what is canary, the delivery says."""

    def __init__(
        self,
        api: PrometheusApi,
        delivery: Delivery,
        services: Mapping[str, ServiceQueries],
        *,
        clock: Callable[[], float] = time.time,
        settled_seconds: float = SETTLED_SECONDS,
    ) -> None:
        self._api = api
        self._delivery = delivery
        self._services = services
        self._clock = clock
        self._settled = settled_seconds

    def release_health(self, service: str) -> HealthDocument:
        """One document, its counts since the beginning of the block.

        Raises:
            NotFound: no query is declared for the service.
            Unavailable: the delivery does not answer, or no signal can be read.
        """
        queries = self._services.get(service)
        if queries is None:
            raise NotFound(f"metrics.prometheus declares no query for {service!r}")
        state = self._delivery.state(service, "production")
        if state.stable is None:
            raise Unavailable(f"{service} has no stable release yet")
        arms: dict[str, Arm] = {state.stable: "stable"}
        if state.canary is not None and state.canary != state.stable:
            arms[state.canary] = "canary"
        now = math.floor(self._clock() - self._settled)
        look = _Look(self._api, queries, service=service, arms=arms, now=now)
        seen, blind = dict[str, SignalCounts](), dict[str, str]()
        for name, query in queries.signals.items():
            try:
                seen[name] = look.signal(query)
            except LeverframeError as error:
                blind[name] = str(error)[:500]
        if not seen:
            raise Unavailable("; ".join(f"{name}: {why}" for name, why in blind.items())[:1000])
        return HealthDocument(
            service=service,
            taken_at=datetime.fromtimestamp(now, UTC),
            stable=state.stable,
            canary=state.canary,
            canary_percent=state.canary_percent,
            signals=seen,
            blind=blind,
        )

    def health(self) -> Health:
        """Whether the server answers a query with these credentials."""
        try:
            self._api.alive()
        except LeverframeError as error:
            remedy = "check metrics.prometheus: url, token or username and password, ca_file"
            return Health(ok=False, detail=str(error), remedy=remedy)
        asked = ", ".join(f"{name} ({len(each.signals)})" for name, each in self._services.items())
        return Health(ok=True, detail=f"Prometheus answers; services with signals: {asked or 'none'}")


class _Look:
    """One look at one service: each selector is asked once."""

    def __init__(
        self, api: PrometheusApi, queries: ServiceQueries, *, service: str, arms: Mapping[str, Arm], now: int
    ) -> None:
        self._api = api
        self._queries = queries
        self._service = service
        self._arms = arms
        self._now = now
        self._block = now - now % BLOCK_SECONDS
        self._answers: dict[str, list[Series]] = {}
        self._values: dict[str, dict[str, str]] = {}
        self._deadline = time.monotonic() + PATIENCE_SECONDS

    def signal(self, query: SignalQuery) -> SignalCounts:
        """The counts of both arms. Raises Unavailable."""
        exposures = {sha: self._exposure(query, sha) for sha in self._arms}
        seen_from = first_sample(series for found in exposures.values() for series in found)
        counts = {sha: self._count(query, sha, found, seen_from) for sha, found in exposures.items()}
        return SignalCounts(since=datetime.fromtimestamp(self._block, UTC), arms=counts)

    def _exposure(self, query: SignalQuery, sha: str) -> list[Series]:
        """What must be there and fresh for each arm: no series is not the same as no event."""
        selector = query.total or query.seconds or ""
        found = self._asked(selector, sha)
        if not found:
            raise self._missing(selector, sha)
        age = self._now - last_sample(found)
        if age > STALE_SECONDS:
            whose = f"{self._arms[sha]} {sha[:12]}"
            raise Unavailable(f"the last sample of the {whose} is {age:.0f} s old: {selector}")
        return found

    def _count(self, query: SignalQuery, sha: str, exposure: list[Series], seen_from: float) -> Count:
        if query.seconds is not None:
            total = present(exposure, self._block)
        else:
            total = grown(exposure, self._block, seen_from)
        events_of = query.bad or query.good or ""
        counted = self._asked(events_of, sha)
        if not counted and query.absent != "zero":
            raise self._missing(events_of, sha)
        events = grown(counted, self._block, seen_from)
        bad = events if query.good is None else total - events
        if not 0 <= bad <= total:
            raise Unavailable(f"{bad:g} bad events can't be among {total:g}: do the selectors fit together?")
        return Count(bad=math.floor(bad), total=math.floor(total))

    def _missing(self, selector: str, sha: str) -> Unavailable:
        return Unavailable(f"there is no series of the {self._arms[sha]} {sha[:12]}: {selector}")

    def _asked(self, selector: str, sha: str) -> list[Series]:
        query = filled(selector, self._placeholders(sha, hashed="{hash}" in selector))
        if query not in self._answers:
            self._in_time()
            seconds = self._now - self._block + BLOCK_SECONDS
            self._answers[query] = self._api.matrix(query, seconds=seconds, until=self._now)
        return self._answers[query]

    def _placeholders(self, sha: str, *, hashed: bool) -> dict[str, str]:
        values = {"service": self._service, "sha": sha, "arm": self._arms[sha]}
        if hashed:
            if sha not in self._values:
                self._in_time()
                self._values[sha] = {"hash": self._hash(filled(self._queries.hashes or "", values))}
            values |= self._values[sha]
        return values

    def _hash(self, selector: str) -> str:
        label = self._queries.hash_label
        series = self._api.labels(selector, at=self._now)
        found = sorted({labels[label] for labels in series if labels.get(label)})
        if not found:
            raise Unavailable(f"no series of {selector} has a {label}")
        if not all(_HASH.fullmatch(value) for value in found) or len(found) > 20:
            raise Unavailable(f"{label} of {selector} holds no pod template hashes")
        return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"

    def _in_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise Unavailable(f"Prometheus took longer than {PATIENCE_SECONDS:g} s for its answers")


def build(
    *,
    delivery: Delivery,
    services: Mapping[str, ServiceQueries],
    transport: httpx.BaseTransport | None = None,
    **account: Any,
) -> PrometheusMetrics:
    """The backend of the settings' table. Raises BadConfiguration."""
    api = PrometheusApi(transport=transport, **account)
    return PrometheusMetrics(api, delivery, services)


BACKEND = Backend(kind="metrics", name="prometheus", scopes=(), build=build)
