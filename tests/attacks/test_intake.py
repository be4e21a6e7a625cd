"""Whatever is sent to the door: a clear 4xx, a counted reason, no workflow, nothing stored, still alive."""

import gzip
import hmac
import json
import zlib
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # ships no types
import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from tests.fakes.gateway import KEY, WEBHOOK_SECRET, Gateway, envelope, event, gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 100_000
DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest_asyncio.fixture(loop_scope="module")
async def door(env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, env.client, max_body_bytes=LIMIT) as made:
        yield made


async def assert_untouched(door: Gateway, env: WorkflowEnvironment, reason: str) -> None:
    """The refusal was counted, nothing got in, and the next good request would be served."""
    assert door.counters.value("refused_total", reason=reason) == 1
    assert door.counters.value("signals_total", result="acknowledged") == 0
    assert door.store.backlog() == 0
    assert (await env.client.count_workflows()).count == 0
    assert (await door.http.get("/health/live")).status_code == 200


GOOD = envelope(event(1))

BODIES = {
    "empty": b"",
    "not an envelope": b"hello",
    "truncated": GOOD[:-20],
    "truncated in a header": GOOD[:9],
    "invalid JSON in the event": b'{}\n{"type":"event","length":5}\n{"a":',
    "event that is a list": b'{}\n{"type":"event","length":2}\n[]',
    "not UTF-8": b'{}\n{"type":"event","length":8}\n{"a":"\xff"}'.replace(b'length":8', b'length":9'),
    "a key twice in the event": b'{}\n{"type":"event"}\n{"level":"info","level":"error"}',
    "a key twice in the header": b'{"event_id":null,"event_id":null}',
    "10,000 levels in the header": DEEP,
    "10,000 levels in the event": b'{}\n{"type":"event"}\n{"extra":' + DEEP + b"}",
    "10,000 objects deep": b'{}\n{"type":"event"}\n' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "10,000 levels that never close": b'{}\n{"type":"event"}\n' + b"[" * 10_000,
    "two events": envelope(event(1), event(2)),
    "an event id that is a path": envelope(event(1, event_id="../../etc/passwd")),
    "an event id that is a number": envelope(event(1, event_id=5)),
    "frames that are texts": envelope(event(1, exception={"values": [{"stacktrace": {"frames": "x"}}]})),
    "a number with 5,000 digits": b'{}\n{"type":"event"}\n{"a":' + b"1" * 5000 + b"}",
    "not a number": b'{}\n{"type":"event"}\n{"a":Infinity}',
    "quotes without end": b'{}\n{"type":"event"}\n"' + b'\\"' * 40_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_malformed_body_is_a_400(door: Gateway, env: WorkflowEnvironment, body: bytes) -> None:
    reply = await door.send(body)
    assert reply.status_code == 400
    assert reply.json()["detail"]
    await assert_untouched(door, env, "malformed")


BOMB = b" " * (LIMIT * 1000)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("identity", lambda bomb: bomb[: LIMIT + 1]),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", lambda bomb: brotli.compress(bomb, quality=1)),
    ],
)
async def test_a_large_body_and_a_decompression_bomb_are_a_413(
    door: Gateway, env: WorkflowEnvironment, encoding: str, packed: Callable[[bytes], bytes]
) -> None:
    reply = await door.send(packed(BOMB), Content_Encoding=encoding)
    assert reply.status_code == 413
    await assert_untouched(door, env, "too_large")


@pytest.mark.parametrize("announced", ["999999999", "9" * 400])
async def test_an_announced_length_past_the_limit_is_a_413(
    door: Gateway, env: WorkflowEnvironment, announced: str
) -> None:
    reply = await door.send(b"{}", Content_Length=announced)
    assert reply.status_code == 413
    await assert_untouched(door, env, "too_large")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", GOOD),
        ("gzip", gzip.compress(GOOD, mtime=0)[:-9]),
        ("gzip", gzip.compress(GOOD, mtime=0) + b"more"),
        ("deflate", zlib.compress(GOOD)[:-1]),
        ("deflate", b""),
        ("br", brotli.compress(GOOD)[:-1]),
        ("br", b"\xff" * 100),
    ],
)
async def test_broken_compression_is_a_400(
    door: Gateway, env: WorkflowEnvironment, encoding: str, body: bytes
) -> None:
    reply = await door.send(body, Content_Encoding=encoding)
    assert reply.status_code == 400
    await assert_untouched(door, env, "encoding")


async def test_an_unknown_compression_is_a_415(door: Gateway, env: WorkflowEnvironment) -> None:
    reply = await door.send(GOOD, Content_Encoding="gzip, gzip")
    assert reply.status_code == 415
    await assert_untouched(door, env, "encoding")


@pytest.mark.parametrize(
    ("project", "key"), [("1", "0" * 32), ("1", KEY[:-1]), ("1", KEY.upper()), ("1", "é" * 8), ("2", KEY)]
)
async def test_a_wrong_key_and_an_unknown_project_get_the_same_403(
    door: Gateway, env: WorkflowEnvironment, project: str, key: str
) -> None:
    reply = await door.http.post(f"/api/{project}/envelope/", content=GOOD, params={"sentry_key": key})
    assert (reply.status_code, reply.json()["detail"]) == (403, "the key does not open this project")
    await assert_untouched(door, env, "wrong_key")


async def test_no_key_is_a_401(door: Gateway, env: WorkflowEnvironment) -> None:
    reply = await door.http.post("/api/1/envelope/", content=GOOD)
    assert reply.status_code == 401
    await assert_untouched(door, env, "no_key")


async def test_a_project_without_a_configured_key_is_closed_to_the_empty_key(
    door: Gateway, env: WorkflowEnvironment
) -> None:
    reply = await door.http.post("/api/7/envelope/?sentry_key=", content=GOOD)
    assert reply.status_code == 401
    await assert_untouched(door, env, "no_key")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/api/1/envelope/", 405), ("POST", "/wp", 404)]
)
async def test_unknown_paths_and_methods_are_counted(
    door: Gateway, env: WorkflowEnvironment, method: str, path: str, status: int
) -> None:
    reply = await door.http.request(method, path)
    assert reply.status_code == status
    assert reply.json()["detail"]
    await assert_untouched(door, env, "route")


async def test_item_types_that_we_do_not_know_are_accepted_counted_and_let_go(
    door: Gateway, env: WorkflowEnvironment
) -> None:
    body = b'{"event_id":"%032d"}\n{"type":"session"}\n{}\n{"type":"<!channel>","length":3}\n\xff\x00{\n' % 1
    reply = await door.send(body)
    assert (reply.status_code, reply.json()) == (200, {"id": "0" * 31 + "1"})
    assert door.counters.value("ignored_total", kind="item") == 2
    assert (await env.client.count_workflows()).count == 0


async def test_events_below_error_are_accepted_counted_and_let_go(
    door: Gateway, env: WorkflowEnvironment
) -> None:
    reply = await door.send(envelope(event(1, level="info")))
    assert reply.status_code == 200
    assert door.counters.value("ignored_total", kind="level") == 1
    assert (await env.client.count_workflows()).count == 0


async def test_the_older_store_path_refuses_alike(door: Gateway, env: WorkflowEnvironment) -> None:
    reply = await door.http.post(f"/api/1/store/?sentry_key={KEY}", content=b"{" * 10_000)
    assert reply.status_code == 400
    await assert_untouched(door, env, "malformed")


def signed(payload: object, secret: str = WEBHOOK_SECRET) -> tuple[bytes, str]:
    body = json.dumps(payload).encode()
    return body, hmac.new(secret.encode(), body, sha256).hexdigest()


async def webhook(door: Gateway, body: bytes, signature: str, resource: str = "event_alert") -> int:
    headers = {"Sentry-Hook-Resource": resource, "Sentry-Hook-Signature": signature}
    return (await door.http.post("/webhooks/sentry", content=body, headers=headers)).status_code


ALERT = {"action": "triggered", "data": {"event": {**event(1), "project": 1}}}


async def test_a_webhook_signed_with_another_secret_is_a_401(door: Gateway, env: WorkflowEnvironment) -> None:
    assert await webhook(door, *signed(ALERT, "another")) == 401
    await assert_untouched(door, env, "wrong_signature")


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "x" * 9000])
async def test_a_webhook_with_a_made_up_signature_is_a_401(
    door: Gateway, env: WorkflowEnvironment, signature: str
) -> None:
    headers = [(b"Sentry-Hook-Signature", signature.encode("latin-1"))]
    reply = await door.http.post("/webhooks/sentry", content=signed(ALERT)[0], headers=headers)
    assert reply.status_code == 401
    await assert_untouched(door, env, "wrong_signature")


async def test_a_webhook_whose_body_was_altered_is_a_401(door: Gateway, env: WorkflowEnvironment) -> None:
    body, signature = signed(ALERT)
    assert await webhook(door, body.replace(b"KeyError", b"KeyErrox"), signature) == 401
    await assert_untouched(door, env, "wrong_signature")


async def test_the_signature_is_checked_before_the_body_is_read_as_json(
    door: Gateway, env: WorkflowEnvironment
) -> None:
    assert await webhook(door, DEEP, "0" * 64) == 401
    await assert_untouched(door, env, "wrong_signature")


@pytest.mark.parametrize(
    ("resource", "payload"),
    [
        ("event_alert", []),
        ("event_alert", {"data": 7}),
        ("event_alert", {"data": {}}),
        ("event_alert", {"data": {"event": {"event_id": "x", "project": 1}}}),
        ("error", {"data": {"error": {**event(1), "project": "one"}}}),
        ("error", {"data": {"error": {**event(1), "project": 1, "issue_id": "../x"}}}),
        ("issue", {"action": "unresolved", "data": {"issue": {"id": "1"}}}),
    ],
)
async def test_a_signed_webhook_that_is_not_what_it_says_is_a_400(
    door: Gateway, env: WorkflowEnvironment, resource: str, payload: object
) -> None:
    assert await webhook(door, *signed(payload), resource) == 400
    await assert_untouched(door, env, "malformed")


@pytest.mark.parametrize(
    ("resource", "payload", "kind"),
    [
        ("installation", {"action": "created", "data": {}}, "resource"),
        ("issue", {"action": "resolved", "data": {"issue": {}}}, "resource"),
        ("event_alert", {"data": {"event": {**event(1), "project": 99}}}, "project"),
        (
            "issue",
            {
                "action": "unresolved",
                "data": {
                    "issue": {"id": "5", "title": "t", "project": {"id": "1"}, "substatus": "regressed"}
                },
            },
            "issue",
        ),
    ],
)
async def test_signed_webhooks_that_nothing_watches_are_accepted_and_counted(
    door: Gateway, env: WorkflowEnvironment, resource: str, payload: object, kind: str
) -> None:
    assert await webhook(door, *signed(payload), resource) == 200
    assert door.counters.value("ignored_total", kind=kind) == 1
    assert (await env.client.count_workflows()).count == 0


async def test_without_a_secret_the_webhook_is_off(env: WorkflowEnvironment, tmp_path: Path) -> None:
    async with gateway(tmp_path, env.client, sentry_webhook_secret=None) as door:
        assert await webhook(door, *signed(ALERT, "")) == 404
        await assert_untouched(door, env, "webhook_off")
