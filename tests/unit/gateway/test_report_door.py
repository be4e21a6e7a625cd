"""Jobs send reports to the gateway: kept once, answered with what is wrong, and told to the watch."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from leverframe.gateway.counters import Counters
from leverframe.gateway.replies import Refusal, Replies
from leverframe.gateway.report_announcing import Announcer
from leverframe.gateway.report_door import ReportDoor
from leverframe.model.errors import BadInput, Unavailable
from leverframe.model.signals import ReportArrived
from leverframe.settings_gateway import ReportsSettings
from tests.fakes.gateway import settings_for
from tests.fakes.report_shelf import ReportShelf

TOKEN = "0123456789abcdef"
RUN = {"run": "77", "sha": "a" * 40, "branch": "main", "job": "unit"}
JUNIT = b'<testsuite name="s"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'


class Doorway:
    """The door, its store, and a watch that notes what it is told."""

    def __init__(self, home: Path) -> None:
        self.counters, self.shelf = Counters(), ReportShelf()
        self.told: list[ReportArrived] = []
        self.engine_away = False
        self.announcer = Announcer(settings_for(home), self.shelf, self.tell, self.counters)
        settings = ReportsSettings.model_validate(
            {"tokens": {"shop": TOKEN, "blog": TOKEN[::-1]}, "max_bytes": 4096}
        )
        door = ReportDoor(settings, self.shelf, self.counters, self.announcer.wake)
        replies = Replies(self.counters)
        app = Starlette(
            routes=door.routes(),
            exception_handlers={
                Refusal: replies.refusal,
                BadInput: replies.bad_input,
                Unavailable: replies.unavailable,
            },
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    async def tell(self, signal: ReportArrived) -> None:
        if self.engine_away:
            raise Unavailable("the engine is away")
        self.told.append(signal)

    async def send(
        self, body: bytes = JUNIT, *, repository: str = "shop", token: str = TOKEN, **headers: str
    ) -> httpx.Response:
        sent = {
            "Authorization": f"Bearer {token}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self.http.post(f"/tests/{repository}", content=body, params=RUN, headers=sent)


@pytest.fixture
async def doorway(tmp_path: Path) -> AsyncIterator[Doorway]:
    made = Doorway(tmp_path)
    async with made.http:
        yield made


async def test_a_report_is_kept_once_and_the_answer_says_so(doorway: Doorway) -> None:
    first = await doorway.send(JUNIT + b"<junk", content_encoding="identity")
    again = await doorway.send(gzip.compress(JUNIT + b"<junk"), content_encoding="gzip")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["attempts"] == 2
    assert [first.json()["new"], again.json()["new"]] == [True, False]
    assert first.json()["report"] == again.json()["report"]
    assert first.json()["complaints"][0].endswith("the 2 test cases that end before it are kept")
    (report,) = doorway.shelf.reports.values()
    assert (report.repository, report.source, report.run, report.sha) == ("shop", "upload", "77", "a" * 40)
    assert doorway.counters.value("test_reports_total", kind="new") == 1
    assert doorway.counters.value("test_attempts_total") == 2


async def test_the_run_may_stand_in_headers(doorway: Doorway) -> None:
    answer = await doorway.http.post(
        "/tests/shop",
        content=JUNIT,
        headers={"Authorization": f"Bearer {TOKEN}", "Leverframe-Run": "78", "Leverframe-Sha": "b" * 40},
    )
    assert answer.status_code == 202
    assert next(iter(doorway.shelf.reports.values())).run == "78"


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"token": "wrong"}, 403, "does not open"),
        ({"token": TOKEN[::-1]}, 403, "does not open"),
        ({"repository": "unknown"}, 403, "does not open"),
        ({"token": ""}, 401, "Authorization"),
        ({"body": b"<html/>"}, 400, "no JUnit report"),
        ({"body": b"<!DOCTYPE a><testsuite/>"}, 400, "document type"),
        ({"body": b"x" * 5000}, 413, "larger than"),
        ({"body": gzip.compress(b"<" + b" " * 5000)}, 400, "more than 4096 bytes"),
        ({"body": gzip.compress(b"<" + b" " * 5000), "content_encoding": "gzip"}, 413, "larger than"),
        ({"content_type": "multipart/form-data; boundary=x"}, 415, "--data-binary"),
    ],
)
async def test_what_can_not_be_taken_is_refused_in_words(
    doorway: Doorway, asked: dict[str, Any], status: int, told: str
) -> None:
    answer = await doorway.send(**asked)
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text
    assert doorway.shelf.reports == {}


async def test_a_store_that_is_away_asks_to_send_again(doorway: Doorway) -> None:
    doorway.shelf.away = True
    answer = await doorway.send()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_reports_that_wait_together_are_one_signal_that_names_the_newest(doorway: Doorway) -> None:
    ids = [(await doorway.send(JUNIT + b" " * number + b"<")).json()["report"] for number in range(3)]
    await doorway.announcer.announce()
    await doorway.announcer.announce()
    (signal,) = doorway.told
    assert (signal.id, signal.repository, signal.service) == (ids[-1], "shop", "shop")
    assert doorway.shelf.announced == {*ids}


async def test_what_the_engine_did_not_take_is_told_when_it_is_back(doorway: Doorway) -> None:
    doorway.engine_away = True
    await doorway.send()
    with pytest.raises(Unavailable):
        await doorway.announcer.announce()
    assert doorway.counters.value("test_reports_unannounced") == 1
    doorway.engine_away = False
    await doorway.announcer.announce()
    assert len(doorway.told) == 1
    assert doorway.counters.value("test_reports_unannounced") == 0


async def test_reports_of_a_repository_that_is_not_declared_hold_up_nobody(doorway: Doorway) -> None:
    await doorway.send(repository="blog", token=TOKEN[::-1])
    await doorway.send()
    await doorway.announcer.announce()
    assert [signal.repository for signal in doorway.told] == ["shop"]
    assert len(doorway.shelf.announced) == 2


async def test_the_loop_looks_at_once_and_after_each_arrival_and_outlives_a_store_that_is_away(
    doorway: Doorway, tmp_path: Path
) -> None:
    told = asyncio.Event()

    async def tell(signal: ReportArrived) -> None:
        told.set()

    announcer = Announcer(settings_for(tmp_path), doorway.shelf, tell, doorway.counters, coalesce=0, again=0)
    doorway.shelf.away = True
    loop = asyncio.create_task(announcer.run())
    await asyncio.sleep(0)
    doorway.shelf.away = False
    await doorway.send()
    await told.wait()
    assert not loop.done()
    loop.cancel()
