"""The page of flaky tests in Chromium: readable in both schemes, on a phone, whatever tests are called."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from tests.browser.conftest import NewPage, picture
from tests.browser.test_train_page import BEYOND, CONTRAST
from tests.fakes.flaky_suite import FLAKY, ISSUE, suite_in
from tests.fakes.gateway import gateway, served

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser, pytest.mark.timeout(120)]


@pytest_asyncio.fixture(loop_scope="module")
async def address(engine: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[str]:
    """A gateway over a store with flaky tests."""
    suite_in(tmp_path / "store.db", datetime.now(UTC))
    async with gateway(tmp_path, engine.client) as made, served(made.app) as at:
        yield at


async def test_a_person_finds_the_page_and_reads_whose_a_quarantined_test_is(
    address: str, new_page: NewPage
) -> None:
    async with new_page() as page:
        await page.goto(f"{address}/trains")
        await page.get_by_role("link", name="Flaky tests").click()
        await page.get_by_role("link", name="shop").click()
        row = page.locator("section", has_text="Quarantined").first.locator("tr", has_text=FLAKY)
        assert "@acme/payments" in await row.inner_text()
        assert await row.get_by_role("link", name="issue").get_attribute("href") == ISSUE
        await picture(page, "flaky")


async def test_a_hostile_name_runs_nothing(address: str, new_page: NewPage) -> None:
    said: list[str] = []
    async with new_page() as page:
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("console", lambda message: said.append(message.text))
        await page.goto(f"{address}/report/flaky/shop")
        assert await page.locator("script").count() == 0
        assert "<script>alert(1)</script>" in await page.locator("main").inner_text()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_is_readable_in_both_schemes_and_on_a_phone(
    address: str, new_page: NewPage, scheme: str
) -> None:
    async with new_page(color_scheme=scheme, viewport={"width": 360, "height": 800}) as page:
        await page.goto(f"{address}/report/flaky/shop")
        assert [text for contrast, text in await page.evaluate(CONTRAST) if contrast < 4.5] == []
        assert await page.evaluate(BEYOND) == []
        await picture(page, f"flaky-phone-{scheme}")
