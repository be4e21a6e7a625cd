"""The train's page as a person meets it: in Chromium, over a real gateway, while the train goes on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from leverframe.model.trains import AuditFinding
from tests.browser.conftest import NewPage, Stage, picture
from tests.fakes.train_day import HOSTILE, busy, ejected, frozen, landed, red_target, rider, view
from workflows.merge_train.view import TrainView

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser, pytest.mark.timeout(120)]

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const shine = (colour) => {
    const [r, g, b] = colour.map((part) => part / 255).map(
      (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgb(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), parent = walker.currentNode.parentElement;
    if (!text || !parent.checkVisibility()) continue;
    const on = shine(ground(parent)), of = shine(rgb(getComputedStyle(parent).color));
    found.push([(Math.max(on, of) + 0.05) / (Math.min(on, of) + 0.05), text]);
  }
  return found;
}"""
"""The contrast (WCAG 2.2, 1.4.3) of every visible text with what it stands on."""


BEYOND = """() => [...document.querySelectorAll("main *")]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.outerHTML)"""
"""What goes over the right edge."""


@pytest_asyncio.fixture(loop_scope="module")
async def at_work(stage: Stage) -> AsyncIterator[Stage]:
    """The stage with the train's worker."""
    async with stage.worker():
        yield stage


async def order(page: Any) -> list[str]:
    return list(await page.locator(".car .change").all_inner_texts())


async def until(page: Any, selector: str, *, count: int) -> None:
    """Wait until the page has so many of them."""
    from playwright.async_api import expect

    await expect(page.locator(selector)).to_have_count(count, timeout=15_000)


def everything() -> TrainView:
    """Each colour and each box that there is."""
    finding = AuditFinding(kind="foreign_commit", sha="c" * 40, detail="pushed by nobody we know")
    full = frozen(busy()).model_copy(update={"findings": (finding,)})
    states = ("no_verdict", "conflict", "in_forge_queue", "leaving")
    more = [rider(6 + at, state, ("tests", "inconclusive")) for at, state in enumerate(states)]
    return full.model_copy(update={"cars": (*full.cars, *more)})


async def test_cars_move_up_and_land_before_a_persons_eyes(at_work: Stage, new_page: NewPage) -> None:
    first = rider(0, "testing", ("tests", "missing"), title="First")
    second = rider(1, "testing", ("tests", "missing"), title="Second", below=("shop/41",))
    await at_work.shows(view(first, second))
    async with new_page() as page:
        await page.goto(at_work.address)
        assert await order(page) == ["shop/41", "shop/42"]
        await page.evaluate("window.sameDocument = true")
        await at_work.shows(
            view(second.model_copy(update={"position": 0, "below": ()}), ended=(landed(41, "First", 0),))
        )
        await until(page, ".car", count=1)
        assert await order(page) == ["shop/42"]
        assert "shop/41 First" in await page.locator(".ended").inner_text()
        assert await page.evaluate("window.sameDocument"), "it was not loaded anew"
        assert await page.locator("#pulse").inner_text() == "Up to date."


async def test_a_hostile_title_is_shown_and_not_executed(at_work: Stage, new_page: NewPage) -> None:
    bad = rider(0, "red", ("tests", "failed"), title=HOSTILE, author=HOSTILE, why=HOSTILE, lanes=(HOSTILE,))
    hostile = view(bad, ended=(ejected(9, HOSTILE, 1, f"{HOSTILE}\n\n```text\n{HOSTILE}\n```"),))
    async with new_page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(at_work.address)
        await at_work.shows(frozen(hostile, reason=HOSTILE))
        await page.locator("#freeze").wait_for()
        assert (
            "<script>document.title='owned'</script>gnp.exe" in await page.locator(".car .title").inner_text()
        )
        assert await page.title() == "shop main: frozen: holds landings · Leverframe"
        assert await page.locator("script, img").count() == 1, "our own script"
        origin = at_work.address.removesuffix("/trains/shop/main")
        assert [url for url in asked if not url.startswith(f"{origin}/trains/")] == []


async def test_a_freeze_comes_and_goes_and_a_red_target_is_named(at_work: Stage, new_page: NewPage) -> None:
    await at_work.shows(busy())
    async with new_page() as page:
        await page.goto(at_work.address)
        assert await page.locator("#freeze").count() == 0
        await at_work.shows(red_target(busy()))
        await page.locator("#freeze h2").wait_for()
        assert await page.locator("#freeze h2").inner_text() == "main is red"
        assert "Only hotfixes are tested and land." in await page.locator("#freeze").inner_text()
        await picture(page, "red-target")
        await at_work.shows(busy())
        await until(page, "#freeze", count=0)


@pytest.mark.parametrize("width", [390, 320])
async def test_a_phone_shows_all_of_it_without_scrolling_sideways(
    at_work: Stage, new_page: NewPage, width: int
) -> None:
    long = rider(
        9, "green", ("a-check-with-a-very-long-name" * 2, "passed"), title="W" * 100, author="x" * 100
    )
    shown = everything()
    await at_work.shows(shown.model_copy(update={"cars": (*shown.cars, long)}))
    async with new_page(viewport={"width": width, "height": 844}, is_mobile=True, has_touch=True) as page:
        await page.goto(at_work.address)
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert await page.evaluate(wide)
        assert await page.evaluate(BEYOND) == []
        await picture(page, f"phone-{width}")


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_every_text_has_enough_contrast(at_work: Stage, new_page: NewPage, scheme: str) -> None:
    await at_work.shows(everything())
    async with new_page(color_scheme=scheme, viewport={"width": 1100, "height": 900}) as page:
        await page.goto(at_work.address)
        ratios = await page.evaluate(CONTRAST)
        assert len(ratios) > 60
        assert [each for each in ratios if each[0] < 4.5] == []
        await picture(page, f"everything-{scheme}")


async def test_the_keyboard_alone_reaches_the_train_pauses_it_and_lets_it_go_on(
    at_work: Stage, new_page: NewPage
) -> None:
    await at_work.shows(view())
    async with new_page() as page:
        await page.goto(at_work.address)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the train"
        await page.keyboard.press("Enter")
        await until(page, "main:focus", count=1)
        await page.locator("#pause").focus()
        await page.keyboard.press("Enter")
        assert await page.locator("#pause").get_attribute("aria-pressed") == "true"
        assert (await page.locator("#pulse").inner_text()).startswith("Paused at ")
        await at_work.shows(busy())
        async with page.expect_response("**/view.json"):
            await page.keyboard.press("Enter")
        await until(page, ".car", count=6)


async def test_what_a_person_has_opened_and_focused_stays_so_when_the_train_goes_on(
    at_work: Stage, new_page: NewPage
) -> None:
    await at_work.shows(busy())
    async with new_page() as page:
        await page.goto(at_work.address)
        await page.locator("summary").click()
        assert "<b>AssertionError</b>" in await page.locator("pre").inner_text()
        await at_work.shows(frozen(busy()))
        await page.locator("#freeze").wait_for()
        assert await page.locator("pre").is_visible()
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"


async def test_without_scripts_it_shows_the_same_and_says_how_to_see_more(
    at_work: Stage, new_page: NewPage
) -> None:
    await at_work.shows(busy())
    async with new_page(java_script_enabled=False) as page:
        await page.goto(at_work.address)
        assert len(await order(page)) == 6
        assert await page.locator("#pulse").inner_text() == "This page does not change by itself: reload it."
        assert not await page.locator("#pause").is_visible()


async def test_a_page_that_began_without_the_worker_fills_itself_and_says_when_it_is_old(
    stage: Stage, new_page: NewPage
) -> None:
    async with new_page() as page:
        answer = await page.goto(stage.address)
        assert answer.status == 503
        assert await page.locator("h1").inner_text() == "The train does not answer"
        async with stage.worker():
            await stage.shows(busy())
            await until(page, ".car", count=6)
        await page.get_by_text("Not up to date since ").wait_for()
        assert len(await order(page)) == 6, "what was known stays"
        await picture(page, "stale")


async def test_the_list_of_trains_leads_to_each(at_work: Stage, new_page: NewPage) -> None:
    await at_work.shows(busy())
    async with new_page(viewport={"width": 390, "height": 844}) as page:
        await page.goto(at_work.address.removesuffix("/shop/main"))
        await picture(page, "trains")
        link = page.get_by_role("link", name="shop")
        lines = "(each) => each.getClientRects().length"
        assert [await each.evaluate(lines) for each in (link, page.locator(".pill"))] == [1, 1]
        await link.click()
        await page.locator(".car").first.wait_for()


async def test_the_picture_in_the_documentation_can_be_taken_again(at_work: Stage, new_page: NewPage) -> None:
    await at_work.shows(busy())
    async with new_page(viewport={"width": 960, "height": 1280}, device_scale_factor=1.25) as page:
        await page.goto(at_work.address)
        await page.locator(".car").first.wait_for()
        assert len(await order(page)) == 6
        below = "(each) => each.getBoundingClientRect().bottom <= innerHeight"
        assert all([await each.evaluate(below) for each in await page.locator(".car").all()]), "it shows all"
        await picture(page, "train-page", whole=False)
