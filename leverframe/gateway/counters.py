"""What the gateway counts, for Prometheus. Labels come from our own code, never from a request."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Counters:
    """The gateway's metrics, in a registry of their own so that one process can hold several apps."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = Counter(
            "leverframe_gateway_events_accepted", "Events answered with 200", registry=self.registry
        )
        self._duplicates = Counter(
            "leverframe_gateway_events_duplicate", "Events that were known already", registry=self.registry
        )
        self._ignored = Counter(
            "leverframe_gateway_ignored",
            "Well-formed items and deliveries that start nothing",
            ["kind"],
            registry=self.registry,
        )
        self._refused = Counter(
            "leverframe_gateway_refused", "Requests answered with 4xx", ["reason"], registry=self.registry
        )
        self._unavailable = Counter(
            "leverframe_gateway_unavailable", "Requests answered with 503", registry=self.registry
        )
        self._batches = Counter("leverframe_gateway_batches", "Batches stored", registry=self.registry)
        self._flow_events = Counter(
            "leverframe_gateway_flow_events",
            "What became of events of users' flows",
            ["outcome"],
            registry=self.registry,
        )
        self._reports = Counter(
            "leverframe_gateway_test_reports",
            "Test reports answered with 202",
            ["kind"],
            registry=self.registry,
        )
        self._attempts = Counter(
            "leverframe_gateway_test_attempts", "Attempts in new test reports", registry=self.registry
        )
        self._complaints = Counter(
            "leverframe_gateway_test_complaints",
            "What of new test reports could not be used",
            registry=self.registry,
        )
        self._unannounced = Gauge(
            "leverframe_gateway_test_reports_unannounced",
            "Test reports that the engine may not know of, up to the number that is looked at once",
            registry=self.registry,
        )
        self._signals = Counter(
            "leverframe_gateway_signals", "Signals to the engine", ["result"], registry=self.registry
        )
        self._backlog = Gauge(
            "leverframe_gateway_backlog_events",
            "Stored events that the engine may not have",
            registry=self.registry,
        )

    def accepted(self) -> None:
        self._accepted.inc()

    def duplicate(self) -> None:
        self._duplicates.inc()

    def ignored(self, kind: str, count: int = 1) -> None:
        self._ignored.labels(kind).inc(count)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def unavailable(self) -> None:
        self._unavailable.inc()

    def batches(self, count: int) -> None:
        self._batches.inc(count)

    def flow_events(self, outcome: str, count: int) -> None:
        self._flow_events.labels(outcome).inc(count)

    def report(self, *, new: bool, attempts: int, complaints: int) -> None:
        self._reports.labels("new" if new else "known").inc()
        if new:
            self._attempts.inc(attempts)
            self._complaints.inc(complaints)

    def unannounced(self, reports: int) -> None:
        self._unannounced.set(reports)

    def signal(self, *, acknowledged: bool) -> None:
        self._signals.labels("acknowledged" if acknowledged else "failed").inc()

    def backlog(self, events: int) -> None:
        self._backlog.set(events)

    def value(self, name: str, **labels: str) -> float:
        """The present value of one series, 0 if it was never touched."""
        return self.registry.get_sample_value(f"leverframe_gateway_{name}", labels) or 0.0

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
