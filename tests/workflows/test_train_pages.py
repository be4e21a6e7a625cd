"""The trains' pages over HTTP, with a real engine behind them: what is told, and when it can't be."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from temporalio.client import Client, Interceptor, OutboundInterceptor, QueryWorkflowInput, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from leverframe.gateway.train_views import TrainViews
from leverframe.model.lengths import lasting
from leverframe.model.trains import AuditFinding
from tests.fakes.gateway import gateway, settings_for
from tests.fakes.staged_train import StagedTrain, StrangeTrain
from tests.fakes.train_day import HOSTILE, busy, ejected, frozen, landed, red_target, rider, view
from tests.fakes.workers import unversioned
from workflows.merge_train.view import TrainView

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "/trains/shop/main"
NO_ENGINE = "127.0.0.1:1"


class Queries(Interceptor):
    """Notes which queries a client sends."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Noting(next, self.queries)


class _Noting(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, queries: list[str]) -> None:
        super().__init__(next)
        self._queries = queries

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        self._queries.append(input.query)
        return await super().query_workflow(input)


class Stage:
    """The gateway, and the train that its pages show."""

    def __init__(self, http: httpx.AsyncClient, train: WorkflowHandle[StagedTrain, None]) -> None:
        self.http = http
        self._train = train

    async def shows(self, shown: TrainView) -> str:
        await self._train.execute_update(StagedTrain.show, shown)
        answer = await self.http.get(PAGE)
        assert answer.status_code == 200
        return answer.text


@pytest_asyncio.fixture(loop_scope="module")
async def stage(env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Stage]:
    queue, repositories = uuid4().hex, settings_for(tmp_path).repositories
    async with Worker(env.client, task_queue=queue, workflows=[StagedTrain], workflow_runner=unversioned()):
        train = await env.client.start_workflow(
            StagedTrain.run, view(), id="train/shop/main", task_queue=queue
        )
        trains = TrainViews(env.client, repositories, fresh=0)
        async with gateway(tmp_path, env.client, trains=trains) as made:
            yield Stage(made.http, train)
        await train.terminate()


def words(page: str) -> str:
    """What a person reads."""
    parted = re.sub(r"</(?:p|h[1-6]|li|t[dh]|d[td]|div|pre|summary)>", " ", page)
    return html.unescape(" ".join(re.sub(r"<[^>]*>", "", parted).split()))


async def test_a_person_reads_who_rides_on_what_how_it_stands_and_how_the_last_rides_ended(
    stage: Stage,
) -> None:
    told = words(await stage.shows(busy()))
    for part in (
        "On the train 6 cars",
        "shop/41 Undo the new discount under test hotfix by sentry_spike (agent)",
        "as 0d0d0d0d0d0d on shop/41, shop/42 ",
        "also as 1f1f1f1f1f1f on shop/41: green",
        "red, to be confirmed",
        "run 2",
        "Its red counts for nothing",
        "Behind the window of 5",
        "3 of 4 busy",
        "lint: green",
        "tests: red",
        "shop/40 Make the basket remember",
        "left: a check failed shop/38",
        "(5c5c composed onto 9f9f): assert 19.0 == 23.8. Push a fix",
    ):
        assert part in told, part


async def test_those_that_are_too_many_to_draw_are_counted(stage: Stage) -> None:
    told = words(await stage.shows(busy().model_copy(update={"queued": 1006})))
    assert "On the train 1006 cars" in told
    assert "… and 1000 more wait behind them." in told


async def test_a_freeze_says_who_why_and_until_when_and_a_red_target_says_so(stage: Stage) -> None:
    held = words(await stage.shows(frozen(busy())))
    assert "The train is frozen Cars are tested, none lands. incident 42" in held
    assert re.search(r"By ada, for \d+ min, until somebody thaws it", held)
    red = words(await stage.shows(red_target(busy())))
    assert "main is red Only hotfixes are tested and land. tests is red on the target itself" in red


async def test_what_an_audit_found_is_shown(stage: Stage) -> None:
    finding = AuditFinding(kind="foreign_commit", sha="c" * 40, detail="pushed by nobody we know")
    told = words(await stage.shows(view(findings=(finding,))))
    assert "no receipt proves foreign commit at cccccccccccc: pushed by nobody we know" in told


async def test_no_text_from_outside_becomes_markup_or_turns_the_line_around(stage: Stage) -> None:
    hostile = rider(
        0, "red", ("tests", "failed"), title=HOSTILE, author=HOSTILE, below=(HOSTILE,), why=HOSTILE
    )
    shown = view(hostile, ended=(ejected(9, HOSTILE, 1, f"{HOSTILE}\n\n```text\n{HOSTILE}\n```"),))
    page = await stage.shows(frozen(shown, owner=HOSTILE[:90], reason=HOSTILE))
    assert page.count("<script") == 1, "our own"
    assert "<img" not in page
    assert "\u202e" not in page
    assert page.count("&lt;img src=x onerror=&quot;document.title=&#x27;owned&#x27;&quot;&gt;") == 9


async def test_every_page_and_file_forbids_foreign_scripts_styles_and_frames(stage: Stage) -> None:
    for path in ("/trains", PAGE, f"{PAGE}/view.json", "/trains/train.js", "/trains/nosuch/main"):
        headers = (await stage.http.get(path)).headers
        if path.endswith("nosuch/main") or path == PAGE:
            assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_nothing_is_loaded_from_elsewhere(stage: Stage) -> None:
    page = await stage.shows(busy())
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {
        each for each in loaded if "//" in each and "/namespaces/default/workflows/car%2F" not in each
    } == set()
    assert " style=" not in page
    for path in re.findall(r'"(/trains/train\.[a-z]+)"', page):
        assert (await stage.http.get(path)).status_code == 200


async def test_the_view_is_told_as_json_once_and_again_only_when_it_has_changed(stage: Stage) -> None:
    page = await stage.shows(busy())
    answer = await stage.http.get(f"{PAGE}/view.json")
    assert TrainView.model_validate_json(answer.content) == busy()
    assert answer.headers["Content-Type"] == "application/json"
    assert f"data-version={answer.headers['ETag']}" in page, "the page knows what it shows"
    known = {"If-None-Match": answer.headers["ETag"]}
    same = await stage.http.get(f"{PAGE}/view.json", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    await stage.shows(frozen(busy()))
    assert (await stage.http.get(f"{PAGE}/view.json", headers=known)).status_code == 200


@pytest.mark.parametrize("path", ["/trains/nosuch/main", "/trains/shop/nosuch", "/trains/shop/main/nosuch"])
async def test_an_unknown_train_is_told_in_words_and_as_json(stage: Stage, path: str) -> None:
    page = await stage.http.get(path)
    assert page.status_code == 404
    assert "No repository with this name and target branch is declared" in words(page.text)
    answer = await stage.http.get(f"{path}/view.json")
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


async def test_the_list_names_every_train_and_links_to_its_page(stage: Stage) -> None:
    await stage.shows(busy())
    page = (await stage.http.get("/trains")).text
    assert f'<a href="{PAGE}">shop</a>' in page
    assert re.search(r"shop main open 6 3 shop/40 landed, \d+ min ago", words(page))


async def test_a_train_that_has_not_begun_is_empty(env: WorkflowEnvironment, tmp_path: Path) -> None:
    [shop] = settings_for(tmp_path).repositories
    till = shop.model_copy(update={"name": "till", "target": "release/1.2"})
    async with gateway(tmp_path, env.client, trains=TrainViews(env.client, (till,))) as made:
        page = await made.http.get("/trains/till/release/1.2")
    assert page.status_code == 200
    assert "Nothing rides and nothing waits." in page.text


async def test_without_an_engine_the_page_says_so_and_looks_again_by_itself(tmp_path: Path) -> None:
    away = await Client.connect(NO_ENGINE, lazy=True)
    async with gateway(tmp_path, away) as made:
        page, answer, index = await asyncio.gather(
            *(made.http.get(path) for path in (PAGE, f"{PAGE}/view.json", "/trains"))
        )
        assert made.counters.value("unavailable_total") == 2
    assert (page.status_code, answer.status_code, index.status_code) == (503, 503, 200)
    assert "The train does not answer" in words(page.text)
    assert f'data-view="{PAGE}/view.json"' in page.text
    assert "can't be reached" in answer.json()["detail"]
    assert "does not answer: the engine can&#x27;t be reached" in index.text


async def test_a_train_whose_worker_is_away_is_not_waited_for_and_asked_once_for_all(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    train = await env.client.start_workflow(
        StagedTrain.run, view(), id="train/shop/main", task_queue=uuid4().hex
    )
    asked = Queries()
    client = Client(**(env.client.config() | {"interceptors": [asked]}))
    trains = TrainViews(client, settings_for(tmp_path).repositories, fresh=3600, answer=0.2)
    async with gateway(tmp_path, env.client, trains=trains) as made:
        first, second = await asyncio.gather(made.http.get(PAGE), made.http.get(PAGE))
        third = await made.http.get(PAGE)
    await train.terminate()
    assert [each.status_code for each in (first, second, third)] == [503, 503, 503]
    assert first.text == second.text == third.text
    assert "did not answer within 0.2 s" in words(first.text)
    assert asked.queries == ["view"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7500, "2 h 5 min"), (90_000, "1 d 1 h")],
)
async def test_a_length_of_time_is_told_in_units_that_fit(seconds: int, said: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == said


async def test_a_train_of_another_version_is_told_in_words(env: WorkflowEnvironment, tmp_path: Path) -> None:
    queue, trains = uuid4().hex, TrainViews(env.client, settings_for(tmp_path).repositories)
    async with (
        Worker(env.client, task_queue=queue, workflows=[StrangeTrain], workflow_runner=unversioned()),
        gateway(tmp_path, env.client, trains=trains) as made,
    ):
        train = await env.client.start_workflow(StrangeTrain.run, id="train/shop/main", task_queue=queue)
        page = await made.http.get(PAGE)
        await train.terminate()
    assert page.status_code == 503
    assert "has another version than this gateway" in page.text


async def test_many_who_look_share_one_answer(env: WorkflowEnvironment, tmp_path: Path) -> None:
    queue = uuid4().hex
    async with Worker(env.client, task_queue=queue, workflows=[StagedTrain], workflow_runner=unversioned()):
        train = await env.client.start_workflow(
            StagedTrain.run, view(), id="train/shop/main", task_queue=queue
        )
        trains = TrainViews(env.client, settings_for(tmp_path).repositories, fresh=60)
        shop = trains.declared["shop", "main"]
        before = await trains.of(shop)
        await train.execute_update(StagedTrain.show, view(ended=(landed(1, "One", 1),)))
        assert await trains.of(shop) is before
        await train.terminate()
