"""Delivery by Flagger: it asks the gateway before every move, and gets the release's last word."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from activities.backends.store_sql import open_store
from activities.backends.store_tables import permits
from leverframe.model.errors import Conflict, Refused, Unavailable
from leverframe.model.releases import Artifact
from tests.fakes.flagger_world import SECRET, A, B, C, FlaggerWorld
from tests.fakes.kubernetes_flagger import deployment, kind
from tests.fakes.release_world import repository

STEPS = (5, 50)
UNBUILT = "d" * 40


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_store(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")
    yield engine
    engine.dispose()


@pytest.fixture
def flagger(store: Engine) -> FlaggerWorld:
    with store.begin() as connection:
        connection.execute(permits.delete())
    return FlaggerWorld(store, *STEPS)


def test_a_commit_that_no_release_has_built_gets_no_pod(flagger: FlaggerWorld) -> None:
    flagger.point(UNBUILT)
    assert (flagger.state.ready, flagger.state.detail) == (False, "Flagger has not begun with it yet")
    flagger.tick(5)
    state = flagger.state
    assert (state.wanted, state.stable, state.canary, state.canary_percent) == (UNBUILT, A, UNBUILT, 0)
    assert state.detail == "Flagger waits for a release to let it in"
    assert flagger.controller.asked == [("confirm-rollout", "no")] * 5
    assert flagger.route == 0


def test_without_a_decision_nothing_gets_a_request_however_often_flagger_asks(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick(5)
    state = flagger.state
    assert (state.stable, state.canary, state.canary_percent, state.ready) == (A, B, 0, True)
    assert flagger.controller.asked[-1] == ("confirm-traffic-increase", "no")
    assert flagger.route == 0


def test_each_weight_is_reached_and_none_beyond_it(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    state = flagger.weigh(B, 5)
    assert (state.stable, state.canary, state.canary_percent, state.ready) == (A, B, 5, True)
    flagger.tick(4)
    assert flagger.route == flagger.state.canary_percent == 5
    assert flagger.weigh(B, 50).canary_percent == 50
    flagger.tick(4)
    assert flagger.route == flagger.state.canary_percent == 50
    assert flagger.delivery.set_weight("shop", sha=B, percent=50) == flagger.state


def test_a_promotion_ends_when_flagger_has_finished_it(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    flagger.weigh(B, 5)
    flagger.weigh(B, 50)
    state = flagger.promote(B)
    assert (state.wanted, state.stable, state.canary, state.ready) == (B, B, None, True)
    assert ("confirm-promotion", "yes") in flagger.controller.asked
    assert flagger.promote(B) == state
    with pytest.raises(Conflict, match="is stable"):
        flagger.delivery.abort("shop", sha=B)


def test_an_abort_sends_everything_back_at_the_next_interval(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    flagger.weigh(B, 5)
    with pytest.raises(Unavailable, match="not taken back yet"):
        flagger.delivery.abort("shop", sha=B)
    assert flagger.abort(B).canary_percent == 0
    assert flagger.route == 0
    flagger.tick(5)
    state = flagger.state
    assert (state.wanted, state.stable, state.canary, flagger.route) == (B, A, None, 0)
    flagger.point(A)
    flagger.tick(3)
    assert (flagger.state.wanted, flagger.state.stable, flagger.state.ready) == (A, A, True)


def test_a_commit_taken_back_before_it_was_let_in_never_gets_in(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    assert flagger.delivery.abort("shop", sha=B).canary_percent == 0
    flagger.tick(3)
    assert (flagger.state.canary_percent, flagger.route) == (0, 0)
    flagger.point(C)
    flagger.tick(2)
    assert flagger.weigh(C, 5).canary == C


def test_going_back_to_what_was_stable_before_needs_no_release(flagger: FlaggerWorld) -> None:
    for sha in (B, C):
        flagger.point(sha)
        flagger.tick()
        for percent in STEPS:
            flagger.weigh(sha, percent)
        flagger.promote(sha)
    flagger.point(A)  # stable before we ever came; and Flagger knows C as promoted, so A is a canary to it
    flagger.tick(9)
    assert (flagger.state.stable, flagger.state.ready) == (A, True)


def test_another_revision_of_the_same_commit_is_not_let_further_in(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    flagger.weigh(B, 5)
    flagger.point(B, cpu="2")  # the same commit with other resources: Flagger begins anew
    flagger.tick()
    with pytest.raises(Unavailable, match="does not get 50 % yet"):
        flagger.delivery.set_weight("shop", sha=B, percent=50)
    flagger.tick(4)
    assert flagger.route == 0
    assert flagger.controller.asked[-1] == ("confirm-traffic-increase", "no")


def test_while_it_waits_for_promotion_the_weight_is_what_the_routes_say(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    flagger.weigh(B, 5)
    flagger.weigh(B, 50)
    document = flagger.cluster.store.get(kind("Canary"), "production", "shop")
    status = {**document["status"], "phase": "WaitingPromotion", "canaryWeight": 0}
    flagger.cluster.store.set_status(document, status)
    assert (flagger.state.canary_percent, flagger.route) == (50, 50)
    with pytest.raises(Unavailable):
        flagger.delivery.abort("shop", sha=B)
    assert flagger.abort(B).canary_percent == flagger.route == 0


def test_a_canary_that_gets_no_pods_gets_no_weight_and_says_why(flagger: FlaggerWorld) -> None:
    flagger.controller.unready.add(B)
    flagger.point(B)
    flagger.tick()
    with pytest.raises(AssertionError):
        flagger.weigh(B, 5)
    assert flagger.route == 0
    with pytest.raises(Unavailable, match="the pods of the canary are not ready"):
        flagger.delivery.set_weight("shop", sha=B, percent=5)


def test_a_canary_that_gets_requests_without_pods_is_taken_back_by_its_overlay(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    flagger.tick()
    flagger.weigh(B, 5)
    flagger.controller.unready.add(B)
    flagger.cluster.store.settle()
    for _ in range(2):
        with pytest.raises(Refused, match="Flagger asks nothing about a canary whose pods are not ready"):
            flagger.delivery.abort("shop", sha=B)
        flagger.tick()
    assert flagger.route == 5
    flagger.point(A)
    flagger.tick()
    target = flagger.cluster.store.get(kind("Deployment"), "production", "shop")
    assert target["spec"]["template"]["spec"]["containers"][0]["image"].endswith(A), (
        "its share meets A's pods"
    )
    assert (flagger.state.stable, flagger.state.canary) == (A, None)


def test_what_can_not_be_is_refused(flagger: FlaggerWorld) -> None:
    with pytest.raises(Conflict, match="Flagger is Initialized"):
        flagger.delivery.set_weight("shop", sha=B, percent=5)
    flagger.point(B)
    flagger.tick()
    with pytest.raises(Conflict, match="the canary is bbbbbbbbbbbb"):
        flagger.delivery.promote("shop", sha=C)
    with pytest.raises(Refused, match=r"stops at \(5, 50\) %, not at 25 %"):
        flagger.delivery.set_weight("shop", sha=B, percent=25)
    flagger.weigh(B, 5)
    flagger.weigh(B, 50)
    with pytest.raises(Refused, match="does not go down"):
        flagger.delivery.set_weight("shop", sha=B, percent=5)
    tar = Artifact(service="shop", sha=B, digest=f"sha256:{'0' * 64}", path="b.tar")
    with pytest.raises(Refused, match="is no image"):
        flagger.delivery.deploy_artifact(repository(), tar)


QUESTION = {"name": "shop", "namespace": "production", "phase": "Progressing", "checksum": "1"}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("shop/confirm-rollout", {}, 401),
        ("shop/confirm-rollout", {"Authorization": "Bearer wrong"}, 401),
        ("shop/confirm-rollout", {"Authorization": "Basic !!!"}, 401),
        ("shop/confirm-rollout", {"Authorization": f"Bearer {SECRET}"}, 403),
        ("shop/rollback", {"Authorization": f"Bearer {SECRET}"}, 403),
        ("other/confirm-rollout", {"Authorization": f"Bearer {SECRET}"}, 404),
        ("shop/promote-now", {"Authorization": f"Bearer {SECRET}"}, 404),
        ("shop/event", {"Authorization": f"Bearer {SECRET}"}, 200),
    ],
)
def test_the_door_says_no_to_whoever_it_does_not_know(
    flagger: FlaggerWorld, path: str, headers: dict[str, str], status: int
) -> None:
    answer = flagger.post(f"/flagger/{path}", json=QUESTION, headers=headers)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name": 1, "namespace": 2}', b"{" * 99])
def test_what_is_no_question_is_a_bad_request(flagger: FlaggerWorld, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert flagger.post("/flagger/shop/rollback", content=body, headers=headers).status_code == 400


def test_a_cluster_or_a_store_that_does_not_answer_is_no(flagger: FlaggerWorld) -> None:
    flagger.point(B)
    headers = {"Authorization": f"Bearer {SECRET}"}
    flagger.cluster.gone = True
    answer = flagger.post("/flagger/shop/confirm-rollout", json=QUESTION, headers=headers)
    assert (answer.status_code, answer.json()["detail"][:22]) == (503, "no: nobody can say (th")
    flagger.cluster.gone = False
    without = {**QUESTION, "checksum": ""}
    for question, status in ((without, 403), (QUESTION, 200), ({**QUESTION, "checksum": "2"}, 403)):
        answer = flagger.post("/flagger/shop/confirm-rollout", json=question, headers=headers)
        assert answer.status_code == status


def test_the_doctor_sees_a_canary_that_would_move_on_its_own(flagger: FlaggerWorld) -> None:
    assert flagger.delivery.health().ok
    document = flagger.cluster.store.get(kind("Canary"), "production", "shop")
    analysis = document["spec"]["analysis"]

    def with_(**changed: object) -> str:
        patch = {"spec": {"analysis": {**analysis, **changed}}}
        flagger.cluster.store.patch(kind("Canary"), "production", "shop", patch)
        return flagger.delivery.health().detail

    assert "no confirm-promotion hook" in with_(webhooks=analysis["webhooks"][:2])
    assert "steps [5, 20], the plan [5, 50]" in with_(stepWeights=[5, 20])
    assert "looks every 90 seconds, and takes nothing back in between" in with_(interval="1m30s")
    assert "skips its steps" in with_(stepWeights=None, iterations=10)
    flagger.cluster.gone = True
    assert "does not answer" in flagger.delivery.health().detail


def test_dev_runs_a_deployment_without_a_canary(flagger: FlaggerWorld) -> None:
    assert not flagger.delivery.state("shop", "dev").ready
    flagger.cluster.store.create(kind("Deployment"), "dev", deployment(B, namespace="dev"))
    flagger.cluster.store.settle()
    state = flagger.delivery.state("shop", "dev")
    assert (state.wanted, state.stable, state.ready) == (B, B, True)
