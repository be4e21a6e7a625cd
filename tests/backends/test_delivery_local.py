"""The local delivery with real git, real processes and real requests."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from leverframe.delivery.serve import run
from leverframe.model.errors import BadConfiguration, BadInput, Conflict, NotFound, Unavailable
from leverframe.model.releases import Artifact, Count
from tests.fakes.delivery_world import A, B, C, DeliveryWorld, free_ports, until


@pytest.fixture
def world(tmp_path: Path) -> DeliveryWorld:
    return DeliveryWorld(tmp_path)


async def asked(world: DeliveryWorld, count: int, path: str = "/sha") -> Counter[str]:
    """Answers of production by SHA."""
    answers: Counter[str] = Counter()
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(count):
            response = await client.get(f"http://127.0.0.1:{world.ports['production']}{path}")
            answers[response.text if response.status_code == 200 else str(response.status_code)] += 1
    return answers


async def test_nothing_runs_at_first_and_production_says_so(world: DeliveryWorld) -> None:
    async with world.router():
        assert (await world.get("/")).status_code == 503
        state = await world.state("production")
        assert (state.stable, state.canary, state.ready) == (None, None, False)
        with pytest.raises(Unavailable, match="answered 503"):
            await asyncio.to_thread(world.metrics.release_health, "shop")


async def test_a_sha_goes_through_dev_and_becomes_the_first_stable(world: DeliveryWorld) -> None:
    async with world.router():
        await asyncio.to_thread(world.deploy, A)
        world.point(A, "dev")
        await world.runs(A, "dev")
        assert await asyncio.to_thread(
            world.delivery.probe, "shop", "dev", world.repository.service.probes
        ) == []  # fmt: skip
        world.point(A, "production")
        state = await world.runs(A, "production")
        assert (state.wanted, state.stable, state.canary) == (A, A, None)
        assert (await world.get("/sha")).text == A


async def test_the_canary_gets_exactly_its_share_and_is_counted_apart(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(0)
        assert await asked(world, 100) == {A: 100}
        async with httpx.AsyncClient(trust_env=False) as direct:  # a look, which is counted nowhere
            for arm, sha in (("stable", A), ("canary", B)):
                origin = await asyncio.to_thread(world.arms.origin, "shop", arm, sha)
                assert (await direct.get(f"{origin}/sha")).text == sha
        with pytest.raises(NotFound, match="does not run in production"):
            await asyncio.to_thread(world.arms.origin, "shop", "canary", C)
        await asyncio.to_thread(world.delivery.set_weight, "shop", sha=B, percent=5)
        answers = await asked(world, 150, "/sha")
        answers += await asked(world, 50, "/fail")
        assert answers[B] + answers[A] == 150
        document = await asyncio.to_thread(world.metrics.release_health, "shop")
        errors, slow = document.signals["errors"].arms, document.signals["slower than 5000 ms"].arms
        assert (document.stable, document.canary, document.canary_percent) == (A, B, 5)
        assert (errors[A].total, errors[B].total) == (290, 10)
        assert errors[A].bad + errors[B].bad == 50
        assert slow[B] == Count(bad=0, total=10)
        for variant in ("on", "on", "off"):
            answer = await world.get(f"/flagged/new-pricing={variant}")
            assert (answer.text, "Leverframe-Flags" in answer.headers) == ("flagged", False)
        flag = await asyncio.to_thread(world.flag_metrics.flag_health, "shop", "new-pricing")
        assert {each.variant: each.requests for each in flag.variants} == {"on": 2, "off": 1}
        with pytest.raises(Unavailable, match="answered 400"):
            await asyncio.to_thread(world.flag_metrics.flag_health, "shop", "no flag")
        with pytest.raises(NotFound):
            await asyncio.to_thread(world.flag_metrics.flag_health, "nowhere", "new-pricing")


async def test_promotion_makes_the_canary_stable_and_stops_the_old_one(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(100)
        assert await asked(world, 20) == {B: 20}
        state = await asyncio.to_thread(world.delivery.promote, "shop", sha=B)
        assert (state.stable, state.canary, state.canary_percent, state.ready) == (B, None, 0, True)
        assert await asyncio.to_thread(world.delivery.promote, "shop", sha=B) == state
        assert await asked(world, 20) == {B: 20}


async def test_abort_sends_everything_back_and_the_overlay_decides_when_to_try_again(
    world: DeliveryWorld,
) -> None:
    async with world.router():
        await world.canary_at(50)
        state = await asyncio.to_thread(world.delivery.abort, "shop", sha=B)
        assert (state.wanted, state.stable, state.canary, state.canary_percent) == (B, A, None, 0)
        assert await asked(world, 30) == {A: 30}
        assert (await asyncio.to_thread(world.delivery.abort, "shop", sha=B)).canary is None
        with pytest.raises(Conflict, match="no canary"):
            await asyncio.to_thread(world.delivery.set_weight, "shop", sha=B, percent=5)
        world.point(A, "production")
        await until(lambda: world.delivery.state("shop", "production").wanted == A)
        world.point(B, "production")
        assert (await world.runs(B, "production")).canary == B


async def test_the_overlay_put_back_removes_the_canary(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(50)
        world.point(A, "production")
        await until(lambda: world.delivery.state("shop", "production").canary is None)
        assert await asked(world, 30) == {A: 30}


async def test_a_suspended_environment_keeps_what_runs_until_it_is_resumed(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(0)
        await asyncio.to_thread(world.gitops.suspend, "shop", "production", reason="B is bad")
    async with world.router():
        world.point(A, "production")
        await asyncio.to_thread(world.gitops.request, "shop", "production")
        seen = await asyncio.to_thread(world.gitops.reconciliation, "shop", "production")
        assert (seen.settled, seen.automatic, seen.detail) == (False, False, "suspended: B is bad")
        assert (await world.state("production")).canary == B
        await asyncio.to_thread(world.gitops.resume, "shop", "production")
        await asyncio.to_thread(world.gitops.request, "shop", "production")
        assert (await world.state("production")).canary is None
        seen = await asyncio.to_thread(world.gitops.reconciliation, "shop", "production")
        assert (seen.settled, len(seen.revision or "")) == (True, 40)


async def test_going_back_to_a_former_stable_needs_no_canary(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(100)
        await asyncio.to_thread(world.delivery.promote, "shop", sha=B)
        world.point(A, "production")
        await until(lambda: world.delivery.state("shop", "production").stable == A)
        assert await asked(world, 10) == {A: 10}


async def test_requests_are_answered_while_the_versions_change(world: DeliveryWorld) -> None:
    """Nobody sees an error while a canary comes, takes over and the old process stops."""
    async with world.router():
        await world.canary_at(50)
        load = asyncio.create_task(asked(world, 600))
        await asyncio.to_thread(world.delivery.set_weight, "shop", sha=B, percent=100)
        await asyncio.to_thread(world.delivery.promote, "shop", sha=B)
        await asyncio.to_thread(world.deploy, C)
        world.point(C, "production")
        await world.runs(C, "production")
        await asyncio.to_thread(world.delivery.set_weight, "shop", sha=C, percent=50)
        world.point(B, "production")
        await until(lambda: world.delivery.state("shop", "production").canary is None)
        assert set(await load) <= {A, B, C}


async def test_a_killed_instance_is_started_again(world: DeliveryWorld) -> None:
    async with world.router():
        await asyncio.to_thread(world.deploy, A)
        world.point(A, "production")
        await world.runs(A, "production")
        pid = int((await world.get("/environment")).json()["PID"])
        os.kill(pid, signal.SIGKILL)

        def again() -> bool:
            response = httpx.get(f"http://127.0.0.1:{world.ports['production']}/environment", trust_env=False)
            return response.status_code == 200 and int(response.json()["PID"]) != pid

        await until(again)
        assert (await world.runs(A, "production")).stable == A
        restarts = (await asyncio.to_thread(world.metrics.release_health, "shop")).signals["restarts"]
        assert restarts.arms[A].bad == 1


async def test_a_dead_canary_costs_it_errors_and_the_users_nothing(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(100)
        pid = int((await world.get("/environment")).json()["PID"])
        os.killpg(pid, signal.SIGKILL)
        answers: Counter[str] = Counter()
        while A not in answers:
            answers += await asked(world, 1)
        assert set(answers) <= {A, B}
        errors = (await asyncio.to_thread(world.metrics.release_health, "shop")).signals["errors"]
        assert errors.arms[B].bad > 0
        assert errors.arms[A].bad == 0


@pytest.mark.parametrize(("mood", "said"), [("dead", "ended with 7"), ("sick", "is starting")])
async def test_a_canary_that_never_gets_ready_gets_no_share(
    world: DeliveryWorld, mood: str, said: str
) -> None:
    async with world.router():
        await asyncio.to_thread(world.deploy, A)
        await asyncio.to_thread(world.deploy, B, mood)
        world.point(A, "production")
        await world.runs(A, "production")
        world.point(B, "production")
        await until(lambda: said in world.delivery.state("shop", "production").detail)
        assert not (await world.state("production")).ready
        with pytest.raises(Unavailable, match=f"not ready: it {said}"):
            await asyncio.to_thread(world.delivery.set_weight, "shop", sha=B, percent=5)
        assert await asked(world, 20) == {A: 20}


async def test_dev_keeps_the_old_version_while_the_new_one_is_sick(world: DeliveryWorld) -> None:
    async with world.router():
        await asyncio.to_thread(world.deploy, A)
        await asyncio.to_thread(world.deploy, B, "sick")
        world.point(A, "dev")
        await world.runs(A, "dev")
        world.point(B, "dev")
        await until(lambda: world.delivery.state("shop", "dev").wanted == B)
        state = await world.state("dev")
        assert (state.stable, state.ready) == (A, False)
        assert (await world.get("/sha", "dev")).text == A


async def test_a_sha_without_an_artifact_is_named_in_the_state(world: DeliveryWorld) -> None:
    async with world.router():
        world.point(C, "dev")
        await until(lambda: "no artifact of shop" in world.delivery.state("shop", "dev").detail)
        await asyncio.to_thread(world.deploy, C)
        state = await world.runs(C, "dev")
        assert "no artifact" not in state.detail


async def test_a_restarted_router_resumes_with_the_same_stable_and_share(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(25)
        before = await asyncio.to_thread(world.metrics.release_health, "shop")
    async with world.router():
        state = await world.runs(B, "production")
        assert (state.stable, state.canary, state.canary_percent) == (A, B, 25)
        after = await asyncio.to_thread(world.metrics.release_health, "shop")
        assert after.signals["errors"].since > before.signals["errors"].since
        assert sum((await asked(world, 100)).values()) == 100


async def test_an_aborted_canary_stays_aborted_after_a_restart(world: DeliveryWorld) -> None:
    async with world.router():
        await world.canary_at(25)
        await asyncio.to_thread(world.delivery.abort, "shop", sha=B)
    async with world.router():
        await world.runs(A, "production")
        await until(lambda: world.delivery.state("shop", "production").wanted == B)
        state = await world.state("production")
        assert (state.stable, state.canary) == (A, None)


async def test_a_killed_router_leaves_no_process_behind_once_it_is_back(world: DeliveryWorld) -> None:
    """SIGKILL leaves the services running; the next router ends them before it starts its own."""
    config = world.root / "settings.json"
    config.write_text(world.settings.model_dump_json())
    program = (
        "import sys; from pathlib import Path; from leverframe.settings import Settings;"
        "from leverframe.delivery import serve;"
        "serve(Settings.model_validate_json(Path(sys.argv[1]).read_text()))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(config)])  # noqa: ASYNC220 - a quick fork
    try:
        await until(lambda: world.delivery.health().ok)
        await asyncio.to_thread(world.deploy, A)
        world.point(A, "production")
        await world.runs(A, "production")
        left_behind = (await world.get("/environment")).json()
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
    orphan = f"http://127.0.0.1:{left_behind['PORT']}/sha"
    assert (await asyncio.to_thread(httpx.get, orphan, trust_env=False)).text == A
    async with world.router():
        await world.runs(A, "production")
        assert (await world.get("/environment")).json()["PID"] != left_behind["PID"]
        with pytest.raises(httpx.ConnectError):
            await asyncio.to_thread(httpx.get, orphan, trust_env=False)


async def test_a_service_sees_only_its_own_environment(
    world: DeliveryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_TOKEN", "secret")
    async with world.router():
        await asyncio.to_thread(world.deploy, A)
        world.point(A, "dev")
        await world.runs(A, "dev")
        seen = (await world.get("/environment", "dev")).json()
        assert "PLATFORM_TOKEN" not in seen
        assert (seen["SENTRY_RELEASE"], seen["SENTRY_ENVIRONMENT"]) == (A, "dev")
        assert seen["FLAGD_PATH"] == str(world.settings.home / "flags.json")


async def test_requests_pass_through_as_they_are(world: DeliveryWorld) -> None:
    async with world.router():
        await asyncio.to_thread(world.deploy, A)
        world.point(A, "production")
        await world.runs(A, "production")
        url = f"http://127.0.0.1:{world.ports['production']}"
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.post(
                f"{url}/a%2Fb/../c?q=%20x&q=y",
                content=b"\x1f\x8b not really gzip",
                headers={
                    "Content-Encoding": "gzip",
                    "Connection": "X-Secret-Hop",
                    "X-Secret-Hop": "1",
                    "TE": "trailers",
                },
            )
            head = await client.head(f"{url}/sha")
        seen = response.json()
        headers = {name.lower(): value for name, value in seen["headers"]}
        assert (seen["method"], seen["body"]) == ("POST", "\x1f\x8b not really gzip")
        assert seen["path"].endswith("c?q=%20x&q=y")
        assert headers["content-encoding"] == "gzip"
        assert headers["x-forwarded-for"] == "127.0.0.1"
        assert {"x-secret-hop", "te"}.isdisjoint(headers)
        assert "keep-alive" not in response.headers
        assert response.headers["set-cookie"] == "a=b"
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "40", b"")


async def test_a_failed_probe_is_one_sentence(world: DeliveryWorld) -> None:
    async with world.router():
        probes = world.repository.service.probes
        failures = await asyncio.to_thread(world.delivery.probe, "shop", "dev", probes)
        assert failures == ["sha: GET /sha answered 503", "order: POST / answered 503"]
    failures = await asyncio.to_thread(world.delivery.probe, "shop", "dev", probes[:1])
    assert failures == ["sha: GET /sha got no answer (ConnectError)"]


async def test_the_door_answers_bad_calls_with_a_clear_error(world: DeliveryWorld) -> None:
    admin = world.settings.delivery.admin_url
    async with world.router(), httpx.AsyncClient(trust_env=False, base_url=admin) as client:
        for body in (b"", b"{", b"[" * 50_000, b'{"sha": "x", "percent": 5}', b'{"percent": 5}'):
            response = await client.post("/weight/shop", content=body)
            assert (response.status_code, response.json()["type"]) == (400, "BadInput")
        assert (await client.post("/weight/shop", content=b"[" * 100_000)).status_code == 413
        assert (await client.get("/state/shop/moon")).status_code == 404
        assert (await client.post("/abort/other", content=json.dumps({"sha": A}))).status_code == 404
        assert (await client.get("/health/live", headers={"Origin": "http://evil"})).status_code == 403
        assert (await client.get("/health/live", headers={"Host": "evil.example"})).status_code == 403
        assert (await client.get("/health/live")).status_code == 204


async def test_the_backend_raises_the_errors_of_the_port(world: DeliveryWorld) -> None:
    assert not world.delivery.health().ok
    with pytest.raises(Unavailable, match="does not answer"):
        world.delivery.state("shop", "dev")
    with pytest.raises(Unavailable, match="no health document"):
        world.metrics.release_health("shop")
    artifact = Artifact(service="shop", sha=A, digest=f"sha256:{'0' * 64}", path="none.tar")
    async with world.router():
        with pytest.raises(NotFound, match="no artifact"):
            await asyncio.to_thread(world.delivery.deploy_artifact, world.repository, artifact)
        (world.settings.artifacts).mkdir(parents=True)
        (world.settings.artifacts / "none.tar").write_bytes(b"not a tar")
        with pytest.raises(BadInput, match="not what was built"):
            await asyncio.to_thread(world.delivery.deploy_artifact, world.repository, artifact)
        with pytest.raises(NotFound):
            await asyncio.to_thread(world.metrics.release_health, "other")


async def test_a_second_router_fails_before_it_touches_a_process(world: DeliveryWorld) -> None:
    async with world.router():
        with pytest.raises(BadConfiguration, match="can't be opened"):
            await run(world.settings, stop=asyncio.Event())


async def test_the_admin_door_opens_on_loopback_only(world: DeliveryWorld) -> None:
    delivery = world.settings.delivery.model_copy(update={"admin_url": f"http://0.0.0.0:{free_ports(1)[0]}"})
    with pytest.raises(BadConfiguration, match="admin_url"):
        await run(world.settings.model_copy(update={"delivery": delivery}), stop=asyncio.Event())
