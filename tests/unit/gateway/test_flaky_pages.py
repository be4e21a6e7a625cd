"""The page of flaky tests: read without scripts, the same as JSON, and no name of a test means anything."""

import asyncio
import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from activities.backends.results_store import ResultsStore
from activities.records_port import CauseCount, ExecutionTotals, QuarantineSeen, SuiteFigures
from agents.flaky_tests.causes import Cause
from leverframe.gateway.counters import Counters
from leverframe.gateway.flaky_html import flaky
from leverframe.gateway.flaky_pages import FlakyPages
from leverframe.gateway.flaky_report import flaky_report
from leverframe.gateway.replies import Refusal, Replies
from leverframe.model.errors import Unavailable
from tests.fakes.flaky_suite import BROKEN, FLAKY, HOSTILE, ISSUE, RUNS, suite_in
from tests.fakes.job_attempts import HOSTILE as HOSTILE_JOB
from tests.fakes.job_attempts import UNIT, executed
from tests.fakes.result_reports import SIGNATURE
from tests.fakes.stores import store_at

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultsStore:
    return suite_in(tmp_path_factory.mktemp("store") / "store.db", NOW)


class Away:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: object, **__: object) -> None:
            raise Unavailable("the store did not answer")

        return refuse


def door(records: Any) -> httpx.AsyncClient:
    counters = Counters()
    pages, replies = FlakyPages(records, ["shop", "till"], counters), Replies(counters)
    handlers = {Refusal: replies.refusal, Unavailable: replies.unavailable}
    app = Starlette(routes=pages.routes(), exception_handlers=handlers)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


def words(page: str) -> str:
    """What a person reads."""
    parted = re.sub(r"</(?:p|h[1-6]|li|t[dh]|d[td]|div|figcaption|caption)>", " ", page)
    return html.unescape(" ".join(re.sub(r"<[^>]*>", "", parted).split()))


def test_a_person_reads_what_is_quarantined_whose_it_is_and_what_flakiness_costs(store: ResultsStore) -> None:
    page = flaky(flaky_report(store, "shop", days=30, now=NOW), days=30)
    told = words(page)
    for part in (
        "Runs with a flaky test 14 of 14",
        "Lost in 30 days 4 s of",
        f"{FLAKY} @acme/payments 2026-01-23 (40 days) 2026-03-07 (in 3 days) flaky {SIGNATURE} issue",
        f"{BROKEN} @acme/payments 2026-03-02 (2 days) 2026-04-03 (in 30 days) broken {SIGNATURE} –",
        "not in the file flaky",
        f"{FLAKY} 7 of {RUNS} runs failed and passed on the same commit in 7 of {RUNS} runs",
        "2026-03-02 14 14 of 14",
        f"{SIGNATURE} 23 3",
        f"{BROKEN} 6 times 1 s",
        "The file as it was read at 2026-03-04 11:00 UTC.",
    ):
        assert part in told, part
    assert f'<a href="{ISSUE}" rel="noreferrer">' in page
    assert told.index(f"{FLAKY} @acme") < told.index(f"{BROKEN} @acme")


def test_an_entry_that_has_expired_says_that_its_failures_count_again(store: ResultsStore) -> None:
    later = flaky_report(store, "shop", days=30, now=NOW + timedelta(days=3))
    assert "2026-03-07: its failures count again" in words(flaky(later, days=30))


def test_a_hostile_name_stays_a_name(store: ResultsStore) -> None:
    page = flaky(flaky_report(store, "shop", days=30, now=NOW), days=30)
    assert "<script" not in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert "test_&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;[bold]" in page


def test_an_entry_is_known_to_be_broken_however_many_tests_are(
    store: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leverframe.gateway.flaky_report.MOST", 0)
    report = flaky_report(store, "shop", days=30, now=NOW)
    assert report.broken == ()
    assert [one.line.verdict for one in report.quarantined if one.line] == ["flaky", "broken", "flaky"]


def test_a_file_that_can_not_be_read_is_told_and_forgives_nothing(tmp_path: Path) -> None:
    store = ResultsStore(store_at(tmp_path / "store.db"))
    store.see_quarantine("shop", QuarantineSeen(sha="a", content="tests: <b>", read_at=NOW))
    report = flaky_report(store, "shop", days=30, now=NOW)
    assert report.quarantined == ()
    assert "does not begin with" in report.file_problem


def test_a_repository_without_reports_says_how_they_are_sent(store: ResultsStore) -> None:
    told = words(flaky(flaky_report(store, "till", days=30, now=NOW), days=30))
    assert "Jobs send their reports as docs/how-to/send-test-results.md says." in told
    assert "0 of 0" not in told


async def test_the_page_is_found_from_the_list_and_has_a_twin_in_json(tmp_path: Path) -> None:
    store = suite_in(tmp_path / "store.db", datetime.now(UTC))
    async with door(store) as http:
        listed = await http.get("/report/flaky")
        page = await http.get("/report/flaky/shop?days=7")
        found = (await http.get("/report/flaky/shop/report.json?days=7")).json()
        others = [await http.get(f"/report/flaky/{name}") for name in ("nosuch", "nosuch/report.json")]
    assert 'href="/report/flaky/till"' in listed.text
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert 'href="/report/flaky/shop/report.json?days=7"' in page.text
    assert found["figures"]["verdicts"] == {"healthy": 1, "flaky": 2, "broken": 1, "unknown": 0}
    assert [one["test"] for one in found["quarantined"]] == [FLAKY, BROKEN, HOSTILE]
    assert found["quarantined"][0]["entry"]["link"] == ISSUE
    assert [one.status_code for one in others] == [404, 404]


async def test_while_the_store_is_away_the_page_says_so() -> None:
    async with door(Away()) as http:
        page, found = await http.get("/report/flaky/shop"), await http.get("/report/flaky/shop/report.json")
        refused = await http.get("/report/flaky/shop?days=0")
    assert (page.status_code, found.status_code, refused.status_code) == (503, 503, 400)
    assert "did not answer" in words(page.text)


async def test_many_who_ask_at_once_share_one_look_into_the_store(
    store: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, whole = list[str](), store.figures

    def counted(repository: str, *, since: datetime, now: datetime) -> SuiteFigures:
        looks.append(repository)
        return whole(repository, since=since, now=now)

    monkeypatch.setattr(store, "figures", counted)
    async with door(store) as http:
        addresses = ("/report/flaky/shop", "/report/flaky/shop/report.json", "/report/flaky/shop")
        found = await asyncio.gather(*map(http.get, addresses))
    assert [one.status_code for one in found] == [200, 200, 200]
    assert looks == ["shop"]


def test_fresh_executions_and_likely_causes_are_told_where_there_are_some(store: ResultsStore) -> None:
    report = flaky_report(store, "shop", days=30, now=NOW)
    assert "Likely causes" not in words(flaky(report, days=30))
    fresh = ExecutionTotals(purpose="probe", jobs=8, passes=20, failures=4, silent=0, milliseconds=900)
    figures = replace(report.figures, fresh=(fresh,), causes=(CauseCount(cause=Cause.ORDER, tests=3),))
    told = words(flaky(replace(report, figures=figures), days=30))
    assert "Executed again probe: 20 passed and 4 failed, in 8 jobs" in told
    assert "Likely causes the order of tests, or what others leave behind: 3" in told


def test_jobs_that_failed_and_passed_are_shown_with_how_often_and_no_name_means_anything(
    tmp_path: Path,
) -> None:
    store = ResultsStore(store_at(tmp_path / "store.db"))
    for run in range(1, 11):
        store.keep_jobs(executed(run, *(("fail", "pass") if run == 3 else ("pass",)), began=NOW - DAY))
    report = flaky_report(store, "shop", days=30, now=NOW)
    told = words(flaky(report, days=30))
    assert f"{UNIT} github 1 of 10 runs 1.0 % 2 min 10 min 2026-03-03 12:12" in told
    assert "They came of 0 of these 1 runs: docs/how-to/send-test-results.md says how" in told
    assert report.shape()["jobs"][0]["flaky_runs"] == 1
    store.keep_jobs(executed(1, "fail", "pass", job=HOSTILE_JOB, began=NOW - DAY))
    page = flaky(flaky_report(store, "shop", days=30, now=NOW), days=30)
    assert "<script" not in page
    assert not {"\x1b", "\u202e"} & set(page)


def test_where_no_job_is_flaky_the_page_says_which_are_looked_at(store: ResultsStore) -> None:
    told = words(flaky(flaky_report(store, "shop", days=30, now=NOW), days=30))
    assert "None. Besides the train's checks, those are looked at that gateway.tests.jobs names." in told
