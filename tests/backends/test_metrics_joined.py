"""Several sources of metrics feed one gate, and each fails on its own."""

import pytest

from activities.backends.metrics_joined import JoinedMetrics
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.queries import ServiceQueries
from tests.backends.test_metrics_prometheus import ERRORS, QUICK, START, Gate, served
from tests.fakes.gateway import StillMetrics


def test_sources_add_up_and_each_fails_on_its_own() -> None:
    gate = Gate(ServiceQueries(signals={"slower than 250 ms": QUICK}))
    still = StillMetrics()
    joined = JoinedMetrics(
        {"http": still, "prometheus": gate.metrics}, {"shop": ("errors", "slower than 250 ms")}
    )
    document = joined.release_health("shop")
    assert list(document.signals) == ["errors"]
    assert "prometheus: slower than 250 ms: there is no series" in document.blind["slower than 250 ms"]
    still.blind = True
    with pytest.raises(Unavailable, match=r"http: .*; prometheus: "):
        joined.release_health("shop")
    assert not joined.health().ok
    assert joined.health().detail.startswith("http: ")
    with pytest.raises(NotFound):
        JoinedMetrics({"prometheus": gate.metrics}, {}).release_health("other")


def test_sources_that_see_other_commits_are_blind_for_their_signals() -> None:
    errors, slow = Gate(), Gate(ServiceQueries(signals={"more errors": ERRORS}))
    for gate in (errors, slow):
        served(gate)
    both = JoinedMetrics({"one": errors.metrics, "other": slow.metrics}, {"shop": ("errors", "more errors")})
    errors.now = slow.now = START + 1
    assert set(both.release_health("shop").signals) == {"errors", "more errors"}
    elsewhere = StillMetrics()
    mixed = JoinedMetrics({"one": errors.metrics, "still": elsewhere}, {"shop": ("errors",)})
    assert set(mixed.release_health("shop").signals) == {"errors"}
