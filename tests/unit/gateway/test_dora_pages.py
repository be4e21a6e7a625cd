"""The delivery figures over HTTP: read without scripts, and the same as JSON."""

import html
import json
import re

import httpx
import pytest
from starlette.applications import Starlette

from leverframe.dora import figures
from leverframe.dora.figures import Report
from leverframe.gateway import dora_html
from leverframe.gateway.counters import Counters
from leverframe.gateway.dora_pages import DoraPages
from leverframe.gateway.replies import Refusal, Replies
from leverframe.model.deployments import DeploymentHistory
from leverframe.model.errors import Unavailable
from tests.fakes.deployment_history import HISTORY, MONDAY, at, landed


class Kept:
    """Records in memory; away when told so."""

    def __init__(self, history: DeploymentHistory) -> None:
        self.kept, self.away, self.looks = history, False, 0

    def keep(self, record: object) -> None: ...

    def keep_repointing(self, moved: object) -> None: ...

    def health(self) -> None: ...

    def history(self) -> DeploymentHistory:
        self.looks += 1
        if self.away:
            raise Unavailable("the store did not answer")
        return self.kept


def door(kept: Kept, *, fresh: float = 60) -> httpx.AsyncClient:
    counters = Counters()
    pages, replies = DoraPages(kept, counters, fresh=fresh), Replies(counters)  # type: ignore[arg-type]
    handlers = {Refusal: replies.refusal, Unavailable: replies.unavailable}
    app = Starlette(routes=pages.routes(), exception_handlers=handlers)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


def words(page: str) -> str:
    """What a person reads."""
    parted = re.sub(r"</(?:p|h[1-6]|li|t[dh]|d[td]|div|figcaption|summary|caption)>", " ", page)
    return html.unescape(" ".join(re.sub(r"<[^>]*>", "", parted).split()))


def ten_days() -> Report:
    return figures.report(HISTORY, since=MONDAY, until=at(10))


def test_a_person_reads_the_five_figures_with_what_they_are_made_of() -> None:
    told = words(dora_html.dora(ten_days(), days=30, service=None))
    for part in (
        "shop Live by the week: 6 Failed: 3 Rework: 2",
        "Deployment frequency 0.6 a day 6 live at 100 %, 1 d 0 h between two (median)",
        "Lead time, from the first commit 1 h 20 min (median) 7 changes; too few for a 90th percentile: 7 of",
        "Change failure rate 42.9 % 3 of 7; between 15.8 % and 75.0 %, at 95 %",
        "escaped: everybody met it 28.6 % 2 of 7",
        "caught in canary 14.3 % 1 of 7",
        "Failed-deployment recovery time 55 min (median) 3 failed deployments",
        "Rework rate 28.6 % 2 of 7; between 8.2 % and 64.1 %, at 95 % (hotfix: 1, revert: 1)",
        "Besides: 1 on their way, 1 superseded by a newer one, 1 stopped before production.",
        "The ratio of deployments that are unplanned but happen as a result of an incident in production.",
        "All services",
    ):
        assert part in told, part


def test_the_charts_say_in_words_what_they_show() -> None:
    page = dora_html.dora(ten_days(), days=30, service=None)
    assert 'aria-label="Live by the week: 6 in 2 weeks, at most 5 in one"' in page
    assert "2026-11-09 1 0 1 0" in words(page)
    assert "<script" not in page


def test_an_empty_store_says_that_there_is_not_enough_data() -> None:
    empty = figures.report(DeploymentHistory(), since=MONDAY, until=at(10))
    told = words(dora_html.dora(empty, days=30, service=None))
    assert "Change failure rate not enough data no deployment ended in this time" in told
    assert "0.0 %" not in told


def test_a_hostile_name_stays_a_name() -> None:
    record = landed(1, at(0)).model_copy(update={"service": "<script>alert(1)</script>"})
    found = figures.report(DeploymentHistory(deployments=(record,)), since=MONDAY, until=at(10))
    assert "<script>" not in dora_html.dora(found, days=30, service=None)


async def test_the_page_and_the_json_answer_from_one_look_into_the_store() -> None:
    kept = Kept(HISTORY)
    async with door(kept) as http:
        page = await http.get("/report/dora?days=3660&service=shop")
        found = await http.get("/report/dora.json?days=3660&service=shop")
        style = await http.get("/report/dora/dora.css")
    assert (page.status_code, style.status_code, kept.looks) == (200, 200, 1)
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    report = json.loads(found.text)
    assert [each["service"] for each in report["services"]] == ["shop"]
    assert report["total"]["change_failure_rate"]["caught_in_canary"]["count"] == 1
    assert Report.model_validate_json(found.text).total.deployment_frequency.deployments == 6


async def test_while_the_store_is_away_the_page_says_so_and_then_it_is_back() -> None:
    kept = Kept(HISTORY)
    kept.away = True
    async with door(kept, fresh=0) as http:
        page, found = await http.get("/report/dora"), await http.get("/report/dora.json")
        assert (page.status_code, found.status_code) == (503, 503)
        assert "did not answer" in words(page.text)
        kept.away = False
        assert (await http.get("/report/dora")).status_code == 200


@pytest.mark.parametrize("days", ["0", "-1", "many", "3661", "99999999999", "٣"])
async def test_days_that_are_no_number_of_days_are_refused(days: str) -> None:
    async with door(Kept(HISTORY)) as http:
        assert (await http.get("/report/dora", params={"days": days})).status_code == 400
