"""GitLab's webhooks: what is genuine makes the train look once, all else moves nothing."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from leverframe.gateway.counters import Counters
from leverframe.gateway.gitlab import GitlabWebhook, pipeline_run
from leverframe.model.errors import BadConfiguration
from leverframe.model.ids import train_id
from leverframe.settings import Settings
from tests.fakes.gateway import settings_for
from tests.fakes.gitlab import FakeGitlab
from tests.fakes.gitlab_ci import ends, hook, waits
from tests.fakes.gitlab_setup import declared, reports_on
from tests.fakes.gitlab_state import BEGAN
from tests.fakes.look_door import LookDoor

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "a-secret-token"
KEY = bytes(range(32))
SIGNING = "whsec_" + base64.b64encode(KEY).decode()
TRAIN = train_id("shop", "main")

PROJECT = {"id": 15, "path_with_namespace": "Acme/Shop", "default_branch": "main"}
PIPELINE: dict[str, Any] = {
    "object_kind": "pipeline",
    # On a train, too, `ref` is the source branch.
    "object_attributes": {"id": 31, "ref": "work", "sha": "a" * 40, "status": "success", "source": "push"},
    "project": PROJECT,
}
MERGE_REQUEST: dict[str, Any] = {
    "object_kind": "merge_request",
    "object_attributes": {"iid": 1, "target_branch": "main", "state": "closed", "action": "close"},
    "project": PROJECT,
}
PUSH: dict[str, Any] = {
    "object_kind": "push",
    "ref": "refs/heads/main",
    "after": "b" * 40,
    "project": PROJECT,
}


class Door(LookDoor):
    """GitLab's webhook."""

    def __init__(self, settings: Settings, client: Client, train: "WorkflowHandle[Any, Any]") -> None:
        counters = Counters()
        super().__init__(GitlabWebhook(settings, client, counters).routes(), counters, train)

    async def send(
        self, payload: object, kind: str = "Pipeline Hook", *, token: str = SECRET, **headers: str
    ) -> httpx.Response:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"X-Gitlab-Event": kind, "X-Gitlab-Token": token}
        return await self.http.post("/webhooks/gitlab", content=body, headers=sent)


def settings(home: Path, **gateway: Any) -> Settings:
    made = settings_for(home, **({"gitlab_webhook_secret": SECRET} | gateway))
    gitlab = made.changes.gitlab.model_copy(update={"projects": {"shop": "acme/shop"}})
    return made.model_copy(update={"changes": made.changes.model_copy(update={"gitlab": gitlab})})


@pytest_asyncio.fixture(loop_scope="module")
async def train(env: WorkflowEnvironment) -> "AsyncIterator[WorkflowHandle[Any, Any]]":
    handle = await env.client.start_workflow("MergeTrainWorkflow", id=TRAIN, task_queue="nobody")
    yield handle
    await handle.terminate()


@pytest.fixture
def door(env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path) -> Door:
    return Door(settings(tmp_path), env.client, train)


@pytest.fixture
def signed_door(env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path) -> Door:
    return Door(settings(tmp_path, gitlab_signing_token=SIGNING), env.client, train)


def signed(payload: object, identity: str = "one", *, age: int = 0, key: bytes = KEY) -> dict[str, str]:
    timestamp = str(int(datetime.now(UTC).timestamp()) - age)
    body = f"{identity}.{timestamp}.{json.dumps(payload)}".encode()
    digest = base64.b64encode(hmac.new(key, body, sha256).digest()).decode()
    signature = f"v1,{base64.b64encode(b'older').decode()} v1,{digest}"
    return {"webhook_id": identity, "webhook_timestamp": timestamp, "webhook_signature": signature}


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("Pipeline Hook", PIPELINE, "a pipeline has ended"),
        ("Merge Request Hook", MERGE_REQUEST, "a merge request has changed"),
        ("Push Hook", PUSH, "the target has moved"),
    ],
)
async def test_what_concerns_a_train_makes_it_look_and_says_nothing_more(
    door: Door, kind: str, payload: dict[str, Any], said: str
) -> None:
    assert (await door.send(payload, kind)).status_code == 200
    assert await door.looks() == [f"GitLab says that {said}"]


async def test_a_delivery_that_comes_again_counts_once(door: Door) -> None:
    for _ in range(3):
        await door.send(PIPELINE, Idempotency_Key="f5e5f430")
        await door.send(PUSH, "Push Hook", X_Gitlab_Event_UUID="13792a34")
    # One cause may have several deliveries, which share its id.
    await door.send(PIPELINE, X_Gitlab_Event_UUID="13792a34")
    await door.send(PIPELINE, Idempotency_Key="another")
    assert len(await door.looks()) == 4


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("Pipeline Hook", PIPELINE | {"object_attributes": {"status": "running"}}),
        ("Merge Request Hook", MERGE_REQUEST | {"object_attributes": {"target_branch": "main\n"}}),
        ("Push Hook", PUSH | {"ref": "refs/heads/main/../main"}),
        ("Job Hook", PIPELINE),
        ("System Hook", PIPELINE),
        ("Pipeline Hook", PIPELINE | {"project": {"path_with_namespace": "acme/shop/../../mallory/shop"}}),
        ("Pipeline Hook", PIPELINE | {"project": {"path_with_namespace": "mallory/shop"}}),
    ],
)
async def test_what_concerns_no_train_is_let_go(door: Door, kind: str, payload: dict[str, Any]) -> None:
    assert (await door.send(payload, kind)).status_code == 200
    assert await door.looks() == []


async def test_the_reports_of_a_pipeline_are_fetched_where_they_are_wanted_and_the_train_looks(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path
) -> None:
    door = Door(settings(tmp_path, tests={"fetch": {"shop": []}}), env.client, train)
    for _ in range(2):
        assert (await door.send(PIPELINE)).status_code == 200
    handle = env.client.get_workflow_handle("reports/shop/31")
    first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert json.loads(first.input.payloads[0].data) == {"repository": "shop", "run": "31"}
    assert len(await door.looks()) == 1
    await handle.terminate()


@pytest.mark.parametrize(
    "token", ["", "a-secret-toke", "a-secret-token ", "A-SECRET-TOKEN", "wrong", SIGNING]
)
async def test_a_wrong_token_is_a_401(door: Door, token: str) -> None:
    assert (await door.send(PIPELINE, token=token)).status_code == 401
    assert (await door.looks(), door.counters.value("refused_total", reason="wrong_signature")) == ([], 1)


async def test_no_token_is_a_401(door: Door) -> None:
    answer = await door.http.post("/webhooks/gitlab", json=PIPELINE, headers={"X-Gitlab-Event": "Push Hook"})
    assert answer.status_code == 401
    assert await door.looks() == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"project": {}}', b'{"project": []}', b'{"project": {"path_with_namespace": 7}}',
        b'{"project": {"path_with_namespace": "acme/shop"}, "ref": {}}', b"\xff", b"[" * 10_000,
    ],
)  # fmt: skip
async def test_a_malformed_body_is_a_400(door: Door, body: bytes) -> None:
    assert (await door.send(body)).status_code == 400
    assert await door.looks() == []


async def test_without_a_train_there_is_nothing_to_look_at(env: WorkflowEnvironment, tmp_path: Path) -> None:
    nowhere = env.client.get_workflow_handle("train/shop/none")
    declared = settings(tmp_path)
    elsewhere = declared.repositories[0].model_copy(update={"target": "none"})
    door = Door(declared.model_copy(update={"repositories": (elsewhere,)}), env.client, nowhere)
    assert (await door.send(PIPELINE)).status_code == 200


async def test_an_engine_that_is_away_is_a_503_so_that_gitlab_sends_it_again(
    tmp_path: Path, train: "WorkflowHandle[Any, Any]"
) -> None:
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    assert (await Door(settings(tmp_path), away, train).send(PIPELINE)).status_code == 503


async def test_a_signed_delivery_is_taken_once(signed_door: Door) -> None:
    for _ in range(2):
        answer = await signed_door.send(PIPELINE, token="", **signed(PIPELINE))
        assert answer.status_code == 200
    assert len(await signed_door.looks()) == 1


async def test_a_token_is_not_enough_where_deliveries_are_signed(signed_door: Door) -> None:
    assert (await signed_door.send(PIPELINE)).status_code == 401
    assert await signed_door.looks() == []


@pytest.mark.parametrize(
    "how", ["late", "early", "altered", "another key", "another id", "no time", "not ascii"]
)
async def test_a_delivery_that_is_forged_or_kept_is_a_401(signed_door: Door, how: str) -> None:
    age = {"late": 301, "early": -301}.get(how, 0)
    headers = signed(PIPELINE, age=age, key=b"x" * 32 if how == "another key" else KEY)
    payload = PIPELINE | {"extra": 1} if how == "altered" else PIPELINE
    if how == "another id":
        headers["webhook_id"] = "two"
    if how == "no time":
        headers["webhook_timestamp"] = "soon"
    if how == "not ascii":
        headers["webhook_signature"] = "v1,\u00e9".encode().decode("latin-1")
    body = json.dumps(payload).encode()
    sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    sent += [(b"x-gitlab-event", b"Pipeline Hook"), (b"x-gitlab-token", SECRET.encode())]
    answer = await signed_door.http.post("/webhooks/gitlab", content=body, headers=sent)
    assert answer.status_code == 401
    assert await signed_door.looks() == []


async def test_without_a_secret_the_webhook_is_off(
    env: WorkflowEnvironment, tmp_path: Path, train: "WorkflowHandle[Any, Any]"
) -> None:
    off = Door(settings(tmp_path, gitlab_webhook_secret=None), env.client, train)
    assert (await off.send(PIPELINE)).status_code == 404


@pytest.mark.parametrize("token", ["", "whsec_", "whsec_!!", "sec_" + "A" * 44, "whsec_c2hvcnQ="])
async def test_a_signing_token_that_is_none_is_a_wrong_setting(
    env: WorkflowEnvironment, tmp_path: Path, token: str
) -> None:
    with pytest.raises(BadConfiguration, match="gitlab_signing_token"):
        GitlabWebhook(settings(tmp_path, gitlab_signing_token=token), env.client, Counters())


async def test_a_pipeline_that_goes_on_and_ends_again_is_fetched_again_under_the_name_that_the_api_gives_it(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path
) -> None:
    gitlab = FakeGitlab()
    gitlab.push("work", "a" * 40)
    gitlab.shop.job_names = ("unit", "lint")
    pipeline = gitlab.shop.pipeline("a" * 40, "work")
    for job, seconds in zip(pipeline.jobs, (90.9, 90.1), strict=True):
        ended = BEGAN + timedelta(seconds=seconds)
        ends(gitlab, pipeline, job, "success", began=BEGAN, ended=ended)
    slow = waits(gitlab, pipeline, "slow")
    door = Door(settings(tmp_path, tests={"jobs": {"shop": ["*"]}}), env.client, train)
    forge = reports_on(gitlab, jobs=("*",), reports=False)
    names = []
    for _ in range(2):
        assert (await door.send(hook(pipeline))).status_code == 200
        names += forge.ended(declared("shop"), BEGAN)
        handle = env.client.get_workflow_handle(f"reports/shop/{names[-1]}")
        assert (await handle.describe()).workflow_type == "ReportFetchWorkflow"
        await handle.terminate()
        ends(gitlab, pipeline, slow, "failed", began=BEGAN, ended=BEGAN + timedelta(hours=1))
    assert names == [f"{pipeline.id}+{pipeline.jobs[1].id}", f"{pipeline.id}+{slow.id}"]


async def test_a_pipeline_that_waits_for_a_person_is_fetched_and_moves_no_train(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path
) -> None:
    door = Door(settings(tmp_path, tests={"jobs": {"shop": ["*"]}}), env.client, train)
    payload = PIPELINE | {"object_attributes": PIPELINE["object_attributes"] | {"id": 41, "status": "manual"}}
    assert (await door.send(payload)).status_code == 200
    handle = env.client.get_workflow_handle("reports/shop/41")
    assert (await handle.describe()).workflow_type == "ReportFetchWorkflow"
    await handle.terminate()
    assert await door.looks() == []


@pytest.mark.parametrize(
    "builds",
    [
        None,
        "x",
        {"id": 1},
        [None, 7, "x", [], {}],
        [{"id": 7}, {"id": 7, "finished_at": 5, "started_at": 5}],
        [{"id": "7", "finished_at": "2026-03-01 12:00:00 UTC", "started_at": "x"}],
        [{"id": True, "finished_at": "2026-03-01 12:00:00 UTC", "started_at": "x"}],
        [{"id": 10**30, "finished_at": "2026-03-01 12:00:00 UTC", "started_at": "x"}],
        [{"id": 7, "finished_at": "2026-03-01 12:00:00 UTC", "started_at": None}],
    ],
)
async def test_builds_that_say_nothing_leave_the_pipeline_its_number(builds: object) -> None:
    assert pipeline_run(31, {"builds": builds}) == "31"
    many = [{"id": n, "finished_at": "2026-03-01 12:00:00 UTC", "started_at": "x"} for n in range(1, 5_000)]
    assert pipeline_run(31, {"builds": many}) == "31+4999"
