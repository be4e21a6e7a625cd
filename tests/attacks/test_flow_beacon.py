"""Anybody can send to the beacon: what is not declared, not running or too much moves and keeps nothing."""

import gzip
import json
from typing import Any

import pytest

from leverframe.gateway import flow_counts
from leverframe.gateway.flow_door import MAX_BYTES
from leverframe.model.flows import MOST_EVENTS
from leverframe.settings_gateway import FlowsSettings
from tests.fakes.flow_pages import CANARY, ORIGIN, SECONDS, STABLE, Pages, completed, started

MALFORMED: dict[str, Any] = {
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe",
    "no list": started(1),
    "no event": [],
    "a text": "[1]",
    "deep": "[" * 5000,
    "a key twice": '[{"id": "1", "id": "2"}]',
    "NaN": "[NaN]",
    "too many": [started(number) for number in range(MOST_EVENTS + 1)],
    "a field more": [started(1, passwd="1")],
    "a field less": [{"flow": "checkout"}],
    "no such event": [started(1) | {"event": "abandoned"}],
    "a short id": [started(1) | {"id": "1"}],
    "an id that is a path": [started(1) | {"id": "../../../../../etc/passwd"}],
    "a long id": [started(1) | {"id": "1" * 65}],
    "a number as id": [started(1) | {"id": 1234567890123456}],
    "a line in the flow": [started(1) | {"flow": "checkout\nx"}],
    "a short revision": [started(1, "abc")],
    "markup": [started(1) | {"flow": "<script>alert(1)</script>"}],
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_message_is_refused_whole_and_not_echoed(body: Any) -> None:
    pages = Pages()
    answer = await pages.send(body)
    assert answer.status_code == 400
    assert not any(word in answer.text for word in ("script", "passwd", "abc"))
    pages.now = SECONDS
    assert await pages.counts() == {STABLE: (0, 0), CANARY: (0, 0)}


async def test_a_developer_is_told_which_field_of_which_event_is_wrong() -> None:
    told = await Pages().send([started(0), started(1, "abc")])
    assert "events.1.sha: String should match pattern" in told.text


async def test_what_nobody_declared_or_runs_is_refused_and_leaves_no_name_behind() -> None:
    pages = Pages()
    unknown = [
        started(number) | {"flow": f"flow-{number}", "sha": f"{number:040x}"} for number in range(MOST_EVENTS)
    ]
    answer = await pages.send(unknown)
    assert (answer.status_code, "unknown_flow (50)" in answer.text) == (422, True)
    answer = await pages.send([started(1, "c" * 40), completed(2), started(3)])
    assert answer.json() == {"counted": 1, "refused": {"unknown_revision": 1, "unknown_start": 1}}
    assert (await pages.send([started(1)], service="nobody")).status_code == 404
    exposition = pages.counters.exposition().decode()
    assert not any(word in exposition for word in ("flow-", "c" * 40, "nobody", f"{3:016d}"))
    assert pages.counters.value("flow_events_total", outcome="unknown_flow") == 50
    pages.now = SECONDS
    assert await pages.counts() == {STABLE: (1, 1), CANARY: (0, 0)}


async def test_other_sites_can_not_send_by_their_visitors() -> None:
    pages = Pages()
    for origin in ("https://evil.example", "null", ORIGIN + ".evil.example", ""):
        answer = await pages.send([started(1)], Origin=origin)
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (403, False)
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    evil = await pages.http.options("/rum/shop", headers={"Origin": "https://evil.example", **asks})
    assert (evil.status_code, "access-control-allow-origin" in evil.headers) == (400, False)
    good = await pages.http.options("/rum/shop", headers={"Origin": ORIGIN, **asks})
    assert (good.status_code, good.headers["access-control-allow-origin"]) == (200, ORIGIN)
    # Without it, the preflight of a beacon with JSON would stop the beacon. No cookie is read or set.
    assert good.headers["access-control-allow-credentials"] == "true"
    told = await pages.send([started(1)], Content_Type="application/json", Cookie="session=1")
    assert (told.headers["access-control-allow-origin"], "set-cookie" in told.headers) == (ORIGIN, False)
    form = await pages.send([started(2)], Content_Type="application/x-www-form-urlencoded")
    assert form.status_code == 415


async def test_large_messages_and_bombs_are_refused() -> None:
    pages = Pages()
    assert (await pages.send(b" " * (MAX_BYTES + 1))).status_code == 413
    assert (await pages.send(b"no gzip", Content_Encoding="gzip")).status_code == 400
    bomb = gzip.compress(b" " * (MAX_BYTES + 1))
    assert len(bomb) < MAX_BYTES
    assert (await pages.send(bomb, Content_Encoding="gzip")).status_code == 413
    assert (await pages.send(b"[]", Content_Encoding="zstd")).status_code == 415


async def test_a_flood_of_one_service_takes_nothing_from_another_nor_from_what_began() -> None:
    pages = Pages(starts_a_second=1)
    assert (await pages.send([started(0)])).json()["counted"] == 1
    flood = await pages.send([started(number, CANARY) for number in range(1, 41)])
    assert flood.json() == {"counted": 9, "refused": {"too_many": 31}}
    more = await pages.send([started(50)])
    assert (more.status_code, "too_many (1)" in more.text) == (429, True)
    # The message of a known flow costs nothing, so no replay can use up the pace.
    assert (await pages.send([completed(0), started(0)])).json() == {"counted": 1, "refused": {}}
    other = started(1) | {"flow": "comment"}
    assert (await pages.send([other], service="blog")).json()["counted"] == 1
    pages.now = 1.0
    assert (await pages.send([started(60)])).json()["counted"] == 1
    pages.now = 2.0 * SECONDS
    assert await pages.counts() == {STABLE: (1, 2), CANARY: (9, 9)}


async def test_memory_is_bounded_and_a_full_one_keeps_what_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_counts, "REMEMBERED", 3)
    pages = Pages()
    answer = await pages.send([*(started(number) for number in range(5)), completed(0)])
    assert answer.json() == {"counted": 4, "refused": {"too_many": 2}}
    pages.now = SECONDS
    assert (await pages.counts())[STABLE] == (2, 3)
    await pages.send([started(number) for number in (7, 8)])
    # What is long over is forgotten first; its id would be a new one.
    pages.now = 2.0 * SECONDS
    assert (await pages.counts())[STABLE] == (4, 5)
    assert (await pages.send([started(7)])).json() == {"counted": 0, "refused": {}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"declared": {"shop": {"checkout": 60}}},
        {"declared": {"shop": {"check out": 60}}, "origins": [ORIGIN]},
        {"declared": {"shop": {"checkout": 0}}, "origins": [ORIGIN]},
        {"origins": ["*"]},
        {"origins": [ORIGIN + "/"]},
        {"secret": "short"},
    ],
    ids=json.dumps,
)
def test_settings_that_would_open_the_door_too_far_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"flow|origin|character|match|greater"):
        FlowsSettings.model_validate(wrong)
