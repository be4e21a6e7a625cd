"""GitHub's webhooks: what is signed makes the train look once, all else moves nothing.

The payloads are the community's examples, cut down by `tests/fakes/refresh_github.py`.
"""

import hmac
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from leverframe.gateway.counters import Counters
from leverframe.gateway.github import GithubWebhook, group_base, suite_run
from leverframe.model.ids import train_id
from leverframe.settings import Settings
from tests.fakes.gateway import settings_for
from tests.fakes.git_world import GitWorld
from tests.fakes.github_world import GithubWorld
from tests.fakes.look_door import LookDoor

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "It's a Secret to Everybody"
TRAIN = train_id("shop", "main")
APP = 29310
EXAMPLES = Path(__file__).parents[1] / "fakes" / "schemas" / "github_webhooks.json"
EVENTS: dict[str, list[dict[str, Any]]] = json.loads(EXAMPLES.read_text())["events"]
SHA = "a" * 40


def example(event: str, action: str = "", *, base: str = "main", **more: object) -> dict[str, Any]:
    """A published payload, as if it came from the declared repository and went to `base`."""
    found = next(each for each in EVENTS[event] if each.get("action", "") == action or not action)
    payload = json.loads(json.dumps(found)) | {"repository": {"full_name": "Acme/Shop"}} | more
    if event == "pull_request":
        payload["pull_request"]["base"]["ref"] = base
    return dict(payload)


GROUP = example("merge_group", "checks_requested")
DESTROYED = GROUP | {"action": "destroyed", "reason": "invalidated"}
CLOSED = example("pull_request", "closed")
DEQUEUED = CLOSED | {"action": "dequeued", "reason": "A_REASON_OF_NEXT_YEAR"}
PUSH = example("push", ref="refs/heads/main")


class Door(LookDoor):
    """GitHub's webhook."""

    def __init__(self, settings: Settings, client: Client, train: "WorkflowHandle[Any, Any]") -> None:
        counters = Counters()
        super().__init__(GithubWebhook(settings, client, counters).routes(), counters, train)

    async def send(
        self, payload: object, event: str = "push", *, delivery: str = "1", signature: str | None = None
    ) -> httpx.Response:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": signed(body) if signature is None else signature,
        }
        return await self.http.post("/webhooks/github", content=body, headers=headers)


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


def settings(home: Path, **gateway: Any) -> Settings:
    made = settings_for(home, **({"github_webhook_secret": SECRET} | gateway))
    known = {"owner_repo": {"shop": "acme/shop"}, "app_id": APP}
    github = made.changes.github.model_copy(update=known)
    return made.model_copy(update={"changes": made.changes.model_copy(update={"github": github})})


@pytest_asyncio.fixture(loop_scope="module")
async def train(env: WorkflowEnvironment) -> "AsyncIterator[WorkflowHandle[Any, Any]]":
    handle = await env.client.start_workflow("MergeTrainWorkflow", id=TRAIN, task_queue="nobody")
    yield handle
    await handle.terminate()


@pytest.fixture
def door(env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path) -> Door:
    return Door(settings(tmp_path), env.client, train)


@pytest.mark.parametrize(
    ("event", "payload", "said"),
    [
        ("merge_group", GROUP, "a merge group has changed"),
        ("merge_group", DESTROYED, "a merge group has changed"),
        ("pull_request", CLOSED, "a pull request has changed"),
        ("pull_request", example("pull_request", "synchronize"), "a pull request has changed"),
        ("pull_request", example("pull_request", "converted_to_draft"), "a pull request has changed"),
        ("pull_request", CLOSED | {"action": "enqueued"}, "a pull request has changed"),
        ("pull_request", DEQUEUED, "a pull request has changed"),
        ("pull_request", example("pull_request", "closed", base="x") | {"action": "edited"}, "a pull"),
        ("check_run", example("check_run", "completed", check_run={"app": {"id": 1}}), "a check has ended"),
        ("check_suite", example("check_suite", "completed"), "a check has ended"),
        ("status", example("status"), "a commit has a status"),
        ("push", PUSH, "the target has moved"),
    ],
)
async def test_what_concerns_a_train_makes_it_look_and_says_nothing_more(
    door: Door, event: str, payload: dict[str, Any], said: str
) -> None:
    assert (await door.send(payload, event)).status_code == 200
    [reason] = await door.looks()
    assert said in reason


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("ping", {"zen": "Keep it logically awesome."}),
        ("an_event_of_next_year", {}),
        ("merge_group", GROUP | {"merge_group": {"head_ref": f"refs/heads/gh-readonly-queue/x/pr-1-{SHA}"}}),
        ("pull_request", example("pull_request", "closed", base="release-1")),
        ("pull_request", example("pull_request", "labeled")),
        ("check_run", example("check_run", "created")),
        ("check_run", example("check_run", "completed", check_run={"app": {"id": APP}})),
        ("check_suite", example("check_suite", "requested")),
        ("status", example("status", state="pending")),
        ("push", example("push", ref="refs/heads/work")),
        ("push", PUSH | {"repository": {"full_name": "mallory/shop"}}),
        ("push", PUSH | {"repository": None}),
        ("push", {"repository": [{"full_name": 7}]}),
        ("pull_request", PUSH | {"action": ["closed"], "pull_request": "main"}),
        ("merge_group", PUSH | {"merge_group": {"head_ref": {"main": 1}}}),
    ],
)
async def test_what_concerns_no_train_is_let_go_with_204(
    door: Door, event: str, payload: dict[str, Any]
) -> None:
    assert (await door.send(payload, event)).status_code == 204
    assert await door.looks() == []


async def test_a_delivery_that_comes_again_counts_once_under_whatever_id(door: Door) -> None:
    for delivery in ("1", "1", "made-up"):
        assert (await door.send(PUSH, delivery=delivery)).status_code == 200
    assert len(await door.looks()) == 1


async def test_deliveries_in_any_order_say_the_same(door: Door) -> None:
    told = [(DEQUEUED, "pull_request"), (DESTROYED, "merge_group"), (GROUP, "merge_group")]
    for payload, event in told:
        await door.send(payload, event)
    assert len(await door.looks()) == len(told)


@pytest.mark.parametrize(
    "forge",
    [
        lambda body: "",
        lambda body: signed(body, "another secret"),
        lambda body: signed(body + b" "),
        lambda body: signed(body).removeprefix("sha256="),
        lambda body: signed(body).upper(),
        lambda body: "sha1=" + hmac.new(SECRET.encode(), body, sha1).hexdigest(),
        lambda body: "sha256=" + hmac.new(SECRET.encode(), body, sha1).hexdigest(),
    ],
)
async def test_a_forged_signature_is_a_401(door: Door, forge: Callable[[bytes], str]) -> None:
    body = json.dumps(PUSH).encode()
    assert (await door.send(body, signature=forge(body))).status_code == 401
    assert await door.looks() == []


async def test_a_signature_that_is_not_ascii_is_a_401(door: Door) -> None:
    headers = [(b"x-github-event", b"push"), (b"x-hub-signature-256", "sha256=ä".encode("latin-1"))]
    answer = await door.http.post("/webhooks/github", content=b"{}", headers=headers)
    assert answer.status_code == 401


async def test_only_a_signature_by_sha256_counts(door: Door) -> None:
    body = json.dumps(PUSH).encode()
    old = "sha1=" + hmac.new(SECRET.encode(), body, sha1).hexdigest()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature": old}
    assert (await door.http.post("/webhooks/github", content=body, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"a":' * 100, b'{"ref":"a","ref":"b"}', b"NaN"]
)
async def test_a_malformed_body_is_a_400(door: Door, body: bytes) -> None:
    assert (await door.send(body)).status_code == 400
    assert await door.looks() == []


async def test_a_body_past_the_limit_is_a_413(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path
) -> None:
    door = Door(settings(tmp_path, max_body_bytes=1000), env.client, train)
    assert (await door.send(PUSH | {"padding": "x" * 1000})).status_code == 413


async def test_without_a_train_there_is_nothing_to_look_at(env: WorkflowEnvironment, tmp_path: Path) -> None:
    nowhere = env.client.get_workflow_handle("train/shop/none")
    declared = settings(tmp_path)
    elsewhere = declared.repositories[0].model_copy(update={"target": "none"})
    door = Door(declared.model_copy(update={"repositories": (elsewhere,)}), env.client, nowhere)
    assert (await door.send(PUSH | {"ref": "refs/heads/none"})).status_code == 200


async def test_an_engine_that_is_away_is_a_503(tmp_path: Path, train: "WorkflowHandle[Any, Any]") -> None:
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    assert (await Door(settings(tmp_path), away, train).send(PUSH)).status_code == 503


RUN = example("workflow_run", "completed") | {"repository": {"full_name": "acme/shop"}}
WANTED = {"tests": {"fetch": {"shop": ["tests-*"]}}}


async def test_the_reports_of_a_run_are_fetched_once_and_only_its_number_is_believed(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path
) -> None:
    door = Door(settings(tmp_path, **WANTED), env.client, train)
    payload = RUN | {"workflow_run": {"id": 8841, "run_attempt": 2, "head_branch": "main", "head_sha": SHA}}
    for _ in range(2):
        assert (await door.send(payload, "workflow_run")).status_code == 200
    handle = env.client.get_workflow_handle("reports/shop/8841.2")
    first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert json.loads(first.input.payloads[0].data) == {"repository": "shop", "run": "8841.2"}
    assert await door.looks() == []
    await handle.terminate()


@pytest.mark.parametrize(
    ("payload", "gateway"),
    [
        (RUN, {}),
        (RUN | {"action": "requested"}, WANTED),
        (RUN | {"workflow_run": {"id": "../../x", "run_attempt": 1}}, WANTED),
        (RUN | {"workflow_run": {"id": True, "run_attempt": 1}}, WANTED),
        (RUN | {"workflow_run": {"id": 10**30, "run_attempt": 1}}, WANTED),
        (RUN | {"workflow_run": None}, WANTED),
        (RUN | {"repository": {"full_name": "mallory/shop"}}, WANTED),
    ],
)
async def test_a_run_that_nobody_wants_or_that_is_none_is_let_go(
    env: WorkflowEnvironment,
    train: "WorkflowHandle[Any, Any]",
    tmp_path: Path,
    payload: dict[str, Any],
    gateway: dict[str, Any],
) -> None:
    door = Door(settings(tmp_path, **gateway), env.client, train)
    assert (await door.send(payload, "workflow_run")).status_code == 204
    assert await door.looks() == []


WANTED_JOBS = {"tests": {"jobs": {"shop": ["*"]}}}
SUITE = {
    "id": 55,
    "head_branch": "work",
    "updated_at": "2026-03-01T12:00:00Z",
    "app": {"id": 1, "slug": "circleci-checks"},
}


def ended_suite(**more: object) -> dict[str, Any]:
    return example("check_suite", "completed", check_suite=SUITE | more)


async def test_a_suite_of_another_app_is_fetched_once_for_each_time_it_ends_and_the_train_looks(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path
) -> None:
    door = Door(settings(tmp_path, **WANTED_JOBS), env.client, train)
    for at in ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"):
        assert (await door.send(ended_suite(updated_at=at), "check_suite")).status_code == 200
    began = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
    for name in (f"suite-55.{began}", f"suite-55.{began + 3600}"):
        handle = env.client.get_workflow_handle(f"reports/shop/{name}")
        first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
        assert json.loads(first.input.payloads[0].data) == {"repository": "shop", "run": name}
        await handle.terminate()
    assert len(await door.looks()) == 2


@pytest.mark.parametrize(
    "payload",
    [
        ended_suite(head_branch=None),
        ended_suite(app={"id": 1, "slug": "github-actions"}),
        ended_suite(app={"id": APP, "slug": "leverframe"}),
        ended_suite(app=None),
        ended_suite(id="../../x"),
        ended_suite(id=True),
        ended_suite(id=10**30),
        ended_suite(updated_at=None),
        ended_suite(updated_at="yesterday"),
        ended_suite(updated_at="0001-01-01T00:00:00+23:59"),
        ended_suite() | {"check_suite": ["x"]},
        [],
    ],
)
async def test_a_suite_of_ours_of_a_fork_or_with_a_hostile_payload_is_no_run(payload: object) -> None:
    assert suite_run(payload, APP) is None


async def test_a_suite_is_named_as_the_api_names_it() -> None:
    assert suite_run(ended_suite(), APP) == "suite-55.1772366400"
    assert suite_run(ended_suite(), None) == "suite-55.1772366400"


@pytest.mark.parametrize("secret", [None, ""])
async def test_without_a_secret_the_webhook_is_off(
    env: WorkflowEnvironment, train: "WorkflowHandle[Any, Any]", tmp_path: Path, secret: str | None
) -> None:
    door = Door(settings(tmp_path, github_webhook_secret=secret), env.client, train)
    assert (await door.send(PUSH, signature=signed(json.dumps(PUSH).encode(), ""))).status_code == 404


async def test_all_that_a_ride_through_the_queue_sends_makes_the_train_look(
    door: Door, tmp_path: Path
) -> None:
    github = GithubWorld(GitWorld(tmp_path))
    github.opened("work", {"new.py": "x\n"})
    github.queue.add(1)
    github.queue.reports(1, green=True)
    github.queue.merge()
    for event, payload in github.queue.deliveries:
        assert (await door.send(payload, event)).status_code == 200
    assert [event for event, _ in github.queue.deliveries] == ["pull_request", "merge_group", "pull_request"]
    assert len(await door.looks()) == len(github.queue.deliveries)


@pytest.mark.parametrize(
    ("ref", "base"),
    [
        (f"refs/heads/gh-readonly-queue/main/pr-104-{SHA}", "main"),
        (f"refs/heads/gh-readonly-queue/release/1.x/pr-7-{SHA}", "release/1.x"),
        (f"refs/heads/gh-readonly-queue/a/pr-1-{SHA}/pr-2-{SHA}", f"a/pr-1-{SHA}"),
        (f"refs/heads/gh-readonly-queue/main/pr-7-{SHA}0", None),
        (f"refs/heads/gh-readonly-queue/main/pr-7-{SHA}\n", None),
        (f"refs/heads/main/pr-7-{SHA}", None),
        ("", None),
    ],
)
async def test_the_branch_of_a_merge_group_is_what_stands_before_the_last_number(
    ref: str, base: str | None
) -> None:
    assert group_base(ref) == base
