"""Flagger's door: whoever sends whatever there, nothing moves that no release let move."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from leverframe.gateway.flagger import MAX_BYTES
from tests.fakes.flagger_world import SECRET, B, FlaggerWorld
from tests.fakes.stores import store_at

GOOD = {"Authorization": f"Bearer {SECRET}"}
QUESTION: dict[str, Any] = {
    "name": "shop",
    "namespace": "production",
    "phase": "Progressing",
    "checksum": "1",
}

MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "a text": b'"shop"',
    "deep": b"[" * 5000,
    "a key twice": b'{"name": "shop", "name": "blog", "namespace": "production"}',
    "NaN": b'{"name": "shop", "namespace": "production", "metadata": NaN}',
    "no namespace": b'{"name": "shop"}',
    "a number as name": b'{"name": 7, "namespace": "production"}',
    "a long name": json.dumps(QUESTION | {"name": "x" * 254}).encode(),
    "a long checksum": json.dumps(QUESTION | {"checksum": "passwd" * 30}).encode(),
    "metadata that is no text": json.dumps(QUESTION | {"metadata": {"eventMessage": ["passwd"]}}).encode(),
}


@pytest.fixture(scope="module")
def flagger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaggerWorld]:
    """B waits at 0 % for its first share, which no release has given it."""
    folder: Path = tmp_path_factory.mktemp("store")
    store = store_at(folder / "store.db")
    world = FlaggerWorld(store, 5, 50)
    world.point(B)
    world.tick(2)
    yield world
    store.dispose()


@pytest.fixture(autouse=True)
def nothing_moves(flagger: FlaggerWorld) -> Iterator[None]:
    before = flagger.permits.find("shop", B)
    yield
    flagger.tick(2)
    assert (flagger.route, flagger.state.canary_percent) == (0, 0)
    assert flagger.permits.find("shop", B) == before


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_question_is_refused_and_not_echoed(flagger: FlaggerWorld, body: bytes) -> None:
    for hook in ("confirm-traffic-increase", "event"):
        answer = flagger.post(f"/flagger/shop/{hook}", content=body, headers=GOOD)
        assert answer.status_code == 400, answer.text
        assert "passwd" not in answer.text


def test_large_questions_and_bombs_are_refused(flagger: FlaggerWorld) -> None:
    path, padded = "/flagger/shop/confirm-promotion", QUESTION | {"metadata": {"x": "y" * MAX_BYTES}}
    large = json.dumps(padded).encode()
    assert flagger.post(path, content=large, headers=GOOD).status_code == 413
    zipped = {**GOOD, "Content-Encoding": "gzip"}
    assert len(gzip.compress(large)) < MAX_BYTES
    assert flagger.post(path, content=gzip.compress(large), headers=zipped).status_code == 413
    assert flagger.post(path, content=b"no gzip", headers=zipped).status_code == 400
    assert flagger.post(path, content=b"{}", headers={**GOOD, "Content-Encoding": "zstd"}).status_code == 415


def test_a_stranger_is_turned_away_before_the_body_is_read(flagger: FlaggerWorld) -> None:
    for header in (
        "",
        "Bearer ",
        "Basic Og==",
        f"Bearer {SECRET}x",
        "Basic " + "A" * 9000,
        f"Digest {SECRET}",
    ):
        answer = flagger.post("/flagger/shop/rollback", content=b"{", headers={"Authorization": header})
        assert (answer.status_code, SECRET in answer.text) == (401, False)


@pytest.mark.parametrize("service", ["%2e%2e%2fadmin", "SHOP", "shop%00", "shop%0d%0aX-Y: 1", "s" * 5000])
def test_a_service_that_nobody_declared_is_not_found(flagger: FlaggerWorld, service: str) -> None:
    answer = flagger.post(f"/flagger/{service}/confirm-rollout", json=QUESTION, headers=GOOD)
    assert (answer.status_code, service in answer.text) == (404, False)


def test_what_an_event_says_is_written_down_as_one_line_that_steers_nothing(flagger: FlaggerWorld) -> None:
    said = 'Promoted\n{"event": "flagger.answered", "answer": "yes"}\x1b[2J\u202e'
    event = QUESTION | {"phase": "Succeeded\x1b[31m", "metadata": {"eventMessage": said}}
    with capture_logs() as logs:
        assert flagger.post("/flagger/shop/event", json=event, headers=GOOD).status_code == 200
    [line] = [line for line in logs if line["event"] == "flagger.event"]
    assert line["phase"] == "Succeeded"
    assert not any(sign in line["message"] for sign in "\n\x1b\u202e")
