"""The delivery's activities: waiting for an environment, and for the canary slot."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import delivery as subject
from activities.delivery import DeliveryActivities, SlotRequest, WaitRequest
from activities.ports import Health
from leverframe.model.errors import Unavailable
from leverframe.model.releases import (
    Artifact,
    Count,
    DeliveryState,
    Environment,
    HealthDocument,
    Reconciliation,
    SignalCounts,
)
from leverframe.model.topology import Probe, Repository
from tests.fakes.release_world import repository

A, B, C = "a" * 40, "b" * 40, "c" * 40


class Script:
    """The port Delivery: answers with the scripted states, one a look, then with the last for ever."""

    def __init__(self, *states: DeliveryState) -> None:
        self._last = states[-1]
        self._states: Iterator[DeliveryState] = iter(states)

    def state(self, service: str, environment: Environment) -> DeliveryState:
        return next(self._states, self._last)

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        return self._last

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        return self._last

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        return next(self._states, self._last)

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None: ...

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        return [f"{probe.name} failed" for probe in probes]

    def health(self) -> Health:
        return Health(ok=True, detail="scripted")


class Told:
    """The port Metrics with one document."""

    def __init__(self, document: HealthDocument) -> None:
        self._document = document

    def release_health(self, service: str) -> HealthDocument:
        return self._document

    def health(self) -> Health:
        return Health(ok=True, detail="told")


class Behind:
    """The port Gitops: it was asked to look at git, and has done so after a number of questions."""

    def __init__(self, questions: int) -> None:
        self._left = questions
        self.resumed = False

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        self._left -= 1
        return Reconciliation(environment=environment, revision=None, pending=self._left > 0, synced=True,
                              automatic=True, healthy=True)  # fmt: skip

    def request(self, service: str, environment: Environment) -> None:
        assert self.resumed

    def suspend(self, service: str, environment: Environment, *, reason: str) -> None: ...

    def resume(self, service: str, environment: Environment) -> None:
        self.resumed = True

    def health(self) -> Health:
        return Health(ok=True, detail="behind")


class Blind:
    """The port Metrics without an answer."""

    def release_health(self, service: str) -> HealthDocument:
        raise Unavailable("no document")

    def health(self) -> Health:
        return Health(ok=False, detail="blind")


def seen(
    wanted: str | None = B,
    stable: str | None = A,
    canary: str | None = None,
    *,
    ready: bool = True,
    percent: int = 0,
    detail: str = "",
) -> DeliveryState:
    """Production, as a reconciler reports it."""
    return DeliveryState(
        environment="production",
        wanted=wanted,
        stable=stable,
        canary=canary,
        canary_percent=percent,
        ready=ready,
        detail=detail,
    )


def activities(
    *states: DeliveryState, behind: int = 1, gitops: Behind | None = None, git: str | None = C
) -> DeliveryActivities:
    return DeliveryActivities(
        Script(*states),
        gitops or Behind(behind),
        Blind(),
        {"shop": repository()},
        overlay_sha=lambda _repository, _environment: git,
    )


def waited(*states: DeliveryState, limit: float = 60, behind: int = 1) -> tuple[DeliveryState, list[object]]:
    """What `wait_reconciled` says, and its heartbeats."""
    environment, beats = ActivityEnvironment(), []
    environment.on_heartbeat = lambda *details: beats.append(details)
    request = WaitRequest(repository="shop", environment="production", sha=B, limit_seconds=limit)
    return environment.run(activities(*states, behind=behind).wait_reconciled, request), beats


def kind_of(error: pytest.ExceptionInfo[ApplicationError]) -> tuple[str | None, bool]:
    """The error's type and whether the engine asks again."""
    return error.value.type, not error.value.non_retryable


def test_waiting_ends_when_the_sha_runs_and_beats_until_then() -> None:
    state, beats = waited(seen(A), seen(B, ready=False), seen(B, canary=B), behind=9)
    assert state.canary == B
    assert len(beats) == 2


def test_an_environment_that_does_not_get_ready_is_refused_with_its_reason() -> None:
    with pytest.raises(ApplicationError, match="it has a fever") as error:
        waited(seen(B, canary=B, ready=False, detail="it has a fever"), limit=0.1)
    assert kind_of(error) == ("Refused", False)


def test_an_overlay_that_moved_on_ends_the_wait() -> None:
    with pytest.raises(ApplicationError, match="names cccccccccccc") as error:
        waited(seen(B, ready=False), seen(C))
    assert kind_of(error) == ("Conflict", False)


def test_an_overlay_that_was_not_noticed_yet_does_not_end_the_wait() -> None:
    state, _ = waited(seen(A), seen(A), seen(B, canary=B), behind=9)
    assert state.canary == B


def test_what_is_synced_between_two_looks_is_no_other_overlay() -> None:
    state, _ = waited(seen(A), seen(B, ready=False), seen(B, canary=B))
    assert state.canary == B


def test_another_overlay_is_believed_once_the_reconciler_has_looked() -> None:
    with pytest.raises(ApplicationError, match="names aaaaaaaaaaaa") as error:
        waited(seen(A), behind=3)
    assert kind_of(error) == ("Conflict", False)


def test_what_was_put_back_has_to_be_stable_alone() -> None:
    environment = ActivityEnvironment()
    request = WaitRequest(repository="shop", environment="production", sha=A)
    states = (seen(B, A), seen(A, A, B), seen(A, A))
    assert environment.run(activities(*states, behind=9).wait_back, request) == states[-1]


def test_a_worker_that_stops_hands_the_wait_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "POLL_SECONDS", 30)
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: environment.worker_shutdown()
    request = WaitRequest(repository="shop", environment="production", sha=B)
    with pytest.raises(ApplicationError, match="goes on elsewhere") as error:
        environment.run(activities(seen(B, ready=False)).wait_reconciled, request)
    assert kind_of(error) == ("Unavailable", True)


@pytest.mark.parametrize(
    ("state", "named"),
    [
        pytest.param(seen(A), A, id="only stable runs"),
        pytest.param(seen(None, None), None, id="nothing runs"),
        pytest.param(seen(B, A, B), B, id="it is in canary itself"),
        pytest.param(seen(C, A, C, percent=5), A, id="the overlay has moved since"),
    ],
)
def test_the_slot_is_given(state: DeliveryState, named: str | None) -> None:
    request = SlotRequest(repository="shop", sha=B, named=named)
    assert ActivityEnvironment().run(activities(state).canary_slot, request) == state


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(seen(C, A, C, percent=5), id="another is in canary"),
        pytest.param(seen(C, A), id="another was aborted and its overlay is not back yet"),
    ],
)
def test_the_slot_is_busy_and_asked_for_again(state: DeliveryState) -> None:
    request = SlotRequest(repository="shop", sha=B, named=C)
    with pytest.raises(ApplicationError, match="cccccccccccc") as error:
        ActivityEnvironment().run(activities(state).canary_slot, request)
    assert kind_of(error) == ("CanaryBusy", True)


@pytest.mark.parametrize(("git", "resumed"), [(C, False), (A, True)])
def test_a_reconciler_that_an_abort_has_suspended_follows_git_once_that_names_something_else(
    git: str, resumed: bool
) -> None:
    """A person has put back what the train could not: nobody else would tell the reconciler."""
    gitops = Behind(1)
    request = SlotRequest(repository="shop", sha=B, named=C)
    with pytest.raises(ApplicationError, match="is not stable yet"):
        ActivityEnvironment().run(activities(seen(C, A), gitops=gitops, git=git).canary_slot, request)
    assert gitops.resumed is resumed


def test_an_abort_that_left_the_canary_its_share_is_asked_for_again() -> None:
    with pytest.raises(ApplicationError, match="still gets 25 %") as error:
        ActivityEnvironment().run(activities(seen(B, A, B, percent=25)).abort, "shop", B)
    assert kind_of(error) == ("Unavailable", True)
    assert ActivityEnvironment().run(activities(seen(B, A)).abort, "shop", B).canary is None


def test_the_declared_smoke_requests_are_sent() -> None:
    assert ActivityEnvironment().run(activities(seen()).probe, "shop", "dev") == ["home failed"]
    with pytest.raises(ApplicationError, match="not declared"):
        ActivityEnvironment().run(activities(seen()).probe, "other", "dev")


def test_a_missing_health_document_is_worth_asking_again() -> None:
    with pytest.raises(ApplicationError) as error:
        ActivityEnvironment().run(activities(seen()).release_health, "shop")
    assert kind_of(error) == ("Unavailable", True)


def test_the_gate_gets_the_signals_that_are_declared_and_no_others() -> None:
    count = SignalCounts(since=datetime(2026, 1, 1, tzinfo=UTC), arms={A: Count(bad=1, total=9)})
    document = HealthDocument(
        service="shop",
        taken_at=count.since,
        stable=A,
        canary=None,
        canary_percent=0,
        signals={"errors": count, "restarts": count},
        blind={"flows": "no beacon"},
    )
    told = ActivityEnvironment().run(
        DeliveryActivities(
            Script(seen()), Behind(1), Told(document), {"shop": repository()}, overlay_sha=lambda *_: C
        ).release_health,
        "shop",
    )
    assert (told.signals, told.blind) == ({"errors": count}, {})
