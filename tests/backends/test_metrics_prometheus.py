"""Health documents from a Prometheus with a memory: sure counts, and blindness for everything else."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from activities.backends.metrics_prometheus import BLOCK_SECONDS, SETTLED_SECONDS, PrometheusMetrics
from activities.backends.prometheus_api import PrometheusApi
from leverframe.model.errors import BadConfiguration, NotFound, Unavailable
from leverframe.model.queries import ServiceQueries, SignalQuery
from leverframe.model.releases import Count, HealthDocument
from leverframe.model.topology import CanaryPlan, CanaryStep, GateRules
from tests.fakes.prometheus import URL, FakePrometheus, Labels, labels
from tests.fakes.release_world import NEW, OLD, FakeEnvironments, World
from workflows.release.canary import Ladder
from workflows.release.exposures import between

START = 1_800_000_000.0 - 1_800_000_000.0 % BLOCK_SECONDS
"""The beginning of a block."""

REQUESTS = 'http_requests_total{service="{service}",revision="{sha}"}'
FAILED = 'http_requests_total{service="{service}",revision="{sha}",code=~"5.."}'
ERRORS = SignalQuery(bad=FAILED, total=REQUESTS, absent="zero")
QUICK = SignalQuery(
    good='latency_bucket{revision="{sha}",le="0.25"}', total='latency_count{revision="{sha}"}'
)


def world() -> World:
    """NEW is in canary at 5 %."""
    made = World.with_stable()
    made.overlays["production"] = NEW
    made.arms["production"] = made.arms["production"].model_copy(update={"canary": NEW, "percent": 5})
    return made


class Gate:
    """The backend beside a Prometheus and a clock that tests turn."""

    def __init__(self, queries: ServiceQueries | None = None, **account: object) -> None:
        self.prometheus = FakePrometheus()
        self.now = START
        self.values: dict[Labels, float | str] = {}
        api = PrometheusApi(url=URL, transport=self.prometheus.transport(), **account)  # type: ignore[arg-type]
        self.metrics = PrometheusMetrics(
            api,
            FakeEnvironments(world()),
            {"shop": queries or ServiceQueries(signals={"errors": ERRORS})},
            clock=lambda: self.now + SETTLED_SECONDS,
        )

    def scrape(self, at: float) -> None:
        self.prometheus.scrape(START + at, self.values)

    def look(self, at: float) -> HealthDocument:
        self.now = START + at
        return self.metrics.release_health("shop")


def requests(sha: str, pod: str, code: str = "200") -> Labels:
    return labels("http_requests_total", service="shop", revision=sha, pod=pod, code=code)


def served(gate: Gate) -> None:
    """Both arms have been there for long."""
    gate.values = {requests(OLD, "a"): 1000.0, requests(NEW, "x"): 50.0, requests(OLD, "a", "500"): 7.0}
    for at in (-600, -300, -15):
        gate.scrape(at)


def test_counts_are_the_growth_of_all_series_of_an_arm_since_the_block_began() -> None:
    gate = Gate()
    served(gate)
    gate.values |= {requests(OLD, "a"): 1090.0, requests(NEW, "x"): 60.0, requests(NEW, "x", "503"): 2.0}
    gate.scrape(15)
    document = gate.look(16)
    assert (document.stable, document.canary, document.canary_percent) == (OLD, NEW, 5)
    assert document.taken_at.timestamp() == START + 16
    errors = document.signals["errors"]
    assert errors.since.timestamp() == START
    assert errors.arms == {OLD: Count(bad=0, total=90), NEW: Count(bad=2, total=12)}
    assert document.blind == {}


def test_pods_that_come_restart_and_go_leave_true_counts_between_any_two_looks() -> None:
    gate = Gate()
    served(gate)
    before = gate.look(0)
    gate.values |= {requests(OLD, "a"): 1100.0, requests(OLD, "b"): 40.0}
    gate.scrape(15)
    gate.values |= {requests(OLD, "a"): 20.0, requests(OLD, "b"): 45.0}  # a has been restarted
    gate.scrape(30)
    del gate.values[requests(OLD, "b")]  # scaled in
    gate.values |= {requests(OLD, "a"): 30.0, requests(NEW, "x"): 58.0}
    gate.scrape(45)
    middle = gate.look(46)
    gate.scrape(60)  # x's pod can't be scraped for once
    del gate.values[requests(NEW, "x")]
    gate.scrape(75)
    gate.values[requests(NEW, "x")] = 70.0
    gate.scrape(90)
    after = gate.look(91)
    grown = between(before, middle, canary=NEW, signals=("errors",)).seen["errors"]
    assert (grown.stable.total, grown.canary.total) == (100 + 40 + 20 + 5 + 10, 8)
    grown = between(middle, after, canary=NEW, signals=("errors",)).seen["errors"]
    assert (grown.stable.total, grown.canary.total) == (0, 12)


def test_counts_begin_anew_with_the_next_block_and_only_then() -> None:
    gate = Gate()
    served(gate)
    gate.values[requests(NEW, "x")] = 60.0
    for at in (200, 400, 600, 890):
        gate.scrape(at)
    inside, end = gate.look(700), gate.look(899)
    gate.values[requests(NEW, "x")] = 65.0
    gate.scrape(905)
    next_one = gate.look(906)
    assert between(inside, end, canary=NEW, signals=("errors",)).anew == ()
    assert between(end, next_one, canary=NEW, signals=("errors",)).anew == ("errors",)
    assert next_one.signals["errors"].arms[NEW] == Count(total=5)


def test_every_query_asks_for_raw_samples_of_one_instant_and_once() -> None:
    gate = Gate(ServiceQueries(signals={"errors": ERRORS, "again": ERRORS}))
    served(gate)
    gate.look(0)
    assert len(gate.prometheus.asked) == 4
    assert {asked["time"] for asked in gate.prometheus.asked} == {f"{START:.3f}"}
    assert all(asked["query"].endswith("}[900s]") for asked in gate.prometheus.asked)
    assert f'revision="{NEW}"' in gate.prometheus.asked[1]["query"]


def test_a_histogram_counts_what_was_not_in_its_bucket() -> None:
    gate = Gate(ServiceQueries(signals={"slower than 250 ms": QUICK}))

    def shown(sha: str, quick: float, all_: float) -> dict[Labels, float | str]:
        return {
            labels("latency_bucket", revision=sha, le="0.25"): quick,
            labels("latency_bucket", revision=sha, le="+Inf"): all_,
            labels("latency_count", revision=sha): all_,
        }

    gate.values = {**shown(OLD, 90, 100), **shown(NEW, 9, 10)}
    gate.scrape(-15)
    gate.values = {**shown(OLD, 180, 200), **shown(NEW, 13, 20)}
    gate.scrape(15)
    arms = gate.look(16).signals["slower than 250 ms"].arms
    assert arms == {OLD: Count(bad=10, total=100), NEW: Count(bad=6, total=10)}


def test_restarts_are_counted_out_of_instance_seconds_by_pod_template_hash() -> None:
    query = SignalQuery(
        bad='kube_pod_container_status_restarts_total{pod=~"shop-{hash}-.*"}',
        seconds='up{pod=~"shop-{hash}-.*"}',
    )
    hashes = 'kube_pod_labels{label_revision="{sha}"}'
    gate = Gate(ServiceQueries(signals={"restarts": query}, hashes=hashes))
    for pod, sha, hashed in (("shop-6d4f-a", OLD, "6d4f"), ("shop-77c9-x", NEW, "77c9")):
        gate.values[labels("up", pod=pod)] = 1.0
        gate.values[labels("kube_pod_container_status_restarts_total", pod=pod)] = 3.0
        mapped = labels("kube_pod_labels", pod=pod, label_revision=sha, label_pod_template_hash=hashed)
        gate.values[mapped] = 1.0
    gate.scrape(-15)
    gate.scrape(0)
    gate.values[labels("kube_pod_container_status_restarts_total", pod="shop-77c9-x")] = 5.0
    gate.scrape(15)
    gate.scrape(30)
    arms = gate.look(31).signals["restarts"].arms
    assert arms == {OLD: Count(total=30), NEW: Count(bad=2, total=30)}


def showing(value: float | str, code: str = "200") -> Callable[[Gate], None]:
    """The canary's counter shows this."""

    def show(gate: Gate) -> None:
        gate.values[requests(NEW, "x", code)] = value
        gate.scrape(300)

    return show


def answering(status: int, **body: object) -> Callable[[Gate], None]:
    """Every query is answered so."""

    def answer(gate: Gate) -> None:
        gate.prometheus.fault = httpx.Response(status, **body)  # type: ignore[arg-type]

    return answer


def raising(error: Exception) -> Callable[[Gate], None]:
    def fail(gate: Gate) -> None:
        gate.prometheus.fault = error

    return fail


def matrix(*result: dict[str, object]) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(result)}}


def warned(gate: Gate) -> None:
    gate.prometheus.warnings = ["No StoreAPIs matched for this query"]


def gone(gate: Gate) -> None:
    for known in (gate.values, gate.prometheus.samples):
        for series in [each for each in known if ("revision", NEW) in each]:
            del known[series]
    gate.scrape(300)


def old(gate: Gate) -> None:
    del gate.values[requests(NEW, "x")]
    gate.scrape(300)


REFUSED = {"status": "error", "errorType": "bad_data", "error": "parse error"}
DISAPPOINTMENTS: dict[str, tuple[Callable[[Gate], None], str]] = {
    "not a number": (showing(float("nan")), "a counter shows nan"),
    "infinite": (showing("+Inf", "500"), "a counter shows inf"),
    "negative": (showing(-3.0), "a counter shows -3"),
    "words": (showing("many"), "a sample is no number"),
    "a warning": (warned, "not sure of its answer: No StoreAPIs"),
    "no series": (gone, "no series of the canary bbbbbbbbbbbb"),
    "old samples": (old, "last sample of the canary bbbbbbbbbbbb is 316 s old"),
    "no connection": (raising(httpx.ConnectError("refused")), "does not answer: ConnectError"),
    "no answer": (raising(httpx.ReadTimeout("slow")), "does not answer: ReadTimeout"),
    "400": (answering(400, json=REFUSED), "answered 400: parse error"),
    "503": (answering(503, json=REFUSED | {"error": "too slow"}), "answered 503: too slow"),
    "a page": (answering(500, text="<html>oops"), "answered 500 with something"),
    "nothing": (answering(200, text=""), "answered 200 with something"),
    "a scalar": (
        answering(200, json={"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}}),
        "answered 200 with something",
    ),
    "a histogram": (
        answering(200, json=matrix({"metric": {}, "values": [], "histograms": [[1, {}]]})),
        "native histogram",
    ),
    "no values": (answering(200, json=matrix({"metric": {}})), "not answered with samples"),
    "an error in a 200": (answering(200, json=REFUSED), "answered 200: parse error"),
    "a redirect": (answering(302, headers={"Location": "http://elsewhere.example/"}), "answered 302"),
}


@pytest.mark.parametrize("name", DISAPPOINTMENTS)
def test_whatever_is_unsure_is_blind(name: str) -> None:
    disappoint, said = DISAPPOINTMENTS[name]
    gate = Gate()
    served(gate)
    disappoint(gate)
    with pytest.raises(Unavailable, match=re.escape(said)):
        gate.look(301)


def test_one_signal_that_is_unsure_leaves_the_others_and_the_gate_says_why() -> None:
    gate = Gate(ServiceQueries(signals={"errors": ERRORS, "slower than 250 ms": QUICK}))
    served(gate)
    document = gate.look(16)
    assert list(document.signals) == ["errors"]
    assert "no series of the stable aaaaaaaaaaaa" in document.blind["slower than 250 ms"]
    steps = (CanaryStep(percent=5, min_requests=1, min_seconds=0, max_seconds=600),)
    signals = {name: CanaryPlan(steps=steps).signals["errors"] for name in ("errors", "slower than 250 ms")}
    plan = CanaryPlan(steps=steps, gate=GateRules(warm_up=0), signals=signals)
    ladder, _ = Ladder.at_the_foot(NEW, plan, document.taken_at).observed(document, document.taken_at)
    later = gate.look(31)
    assert "no series of the stable" in ladder.observed(later, later.taken_at)[1].verdict.reason


def test_bad_counters_that_are_not_there_are_zero_only_where_that_was_declared() -> None:
    gate = Gate(ServiceQueries(signals={"errors": ERRORS.model_copy(update={"absent": "blind"})}))
    served(gate)
    with pytest.raises(Unavailable, match="no series of the canary"):
        gate.look(1)
    gate = Gate()
    served(gate)
    assert gate.look(1).signals["errors"].arms[NEW].bad == 0


def test_more_bad_events_than_events_are_believed_by_nobody() -> None:
    wrong = SignalQuery(bad='all_requests{revision="{sha}"}', total=REQUESTS)
    gate = Gate(ServiceQueries(signals={"errors": wrong}))
    served(gate)
    for sha in (OLD, NEW):
        gate.values[labels("all_requests", revision=sha)] = 5.0
    gate.scrape(15)
    with pytest.raises(Unavailable, match="can't be among 0"):
        gate.look(16)


def test_credentials_are_sent_and_wrong_ones_are_no_zero() -> None:
    bearer = Gate(token=SecretStr("s3cret"))
    bearer.prometheus.token = "s3cret"
    basic = Gate(username="gate", password=SecretStr("s3cret"))
    basic.prometheus.password = "s3cret"
    for gate in (bearer, basic):
        served(gate)
        assert gate.look(1).signals
        assert gate.metrics.health().ok
    bearer.prometheus.token = "another"
    with pytest.raises(Unavailable, match=r"refuses our credentials \(401\)"):
        bearer.look(1)
    assert not bearer.metrics.health().ok


@pytest.mark.parametrize(
    "account",
    [
        {"url": ""},
        {"url": URL, "token": SecretStr("a"), "username": "b", "password": SecretStr("c")},
        {"url": URL, "username": "b"},
        {"url": URL, "ca_file": Path("/nowhere.pem")},
    ],
)
def test_an_account_that_can_not_work_is_refused_at_the_start(account: dict[str, object]) -> None:
    with pytest.raises(BadConfiguration, match=r"metrics\.prometheus"):
        PrometheusApi(**account)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "selector",
    [
        'sum(http_requests_total{revision="{sha}"})',
        'rate(http_requests_total{revision="{sha}"}[5m])',
        "http_requests_total",
        'http_requests_total{revision="{sha}"} or vector(0)',
        'http_requests_total{revision="{sha}"}[5m]',
        'http_requests_total{service="shop"}',
        'http_requests_total{revision="{sha}",code=~"5.."}\nor up{a="b"}',
    ],
)
def test_a_query_that_is_no_selector_of_one_arm_is_refused(selector: str) -> None:
    with pytest.raises(ValidationError):
        SignalQuery(bad=selector, total=REQUESTS)


@pytest.mark.parametrize(
    "given",
    [
        {"total": REQUESTS},
        {"bad": FAILED},
        {"bad": FAILED, "good": FAILED, "total": REQUESTS},
        {"bad": FAILED, "total": REQUESTS, "seconds": REQUESTS},
        {"good": FAILED, "seconds": REQUESTS},
        {"good": FAILED, "total": REQUESTS, "absent": "zero"},
    ],
)
def test_a_signal_is_bad_or_good_out_of_one_exposure(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SignalQuery(**given)  # type: ignore[arg-type]


def test_hashes_must_be_declared_and_found() -> None:
    hashed = SignalQuery(bad='restarts{pod=~"{hash}-.*"}', seconds='up{pod=~"{hash}-.*"}')
    with pytest.raises(ValidationError, match="needs `hashes`"):
        ServiceQueries(signals={"restarts": hashed})
    gate = Gate(
        ServiceQueries(signals={"restarts": hashed}, hashes='kube_pod_labels{label_revision="{sha}"}')
    )
    with pytest.raises(Unavailable, match="has a label_pod_template_hash"):
        gate.look(1)
    gate.values[labels("kube_pod_labels", label_revision=OLD, label_pod_template_hash='a"} or up{')] = 1.0
    gate.scrape(0)
    with pytest.raises(Unavailable, match="no pod template hashes"):
        gate.look(1)


def test_a_service_without_queries_is_not_found() -> None:
    with pytest.raises(NotFound):
        Gate().metrics.release_health("other")
