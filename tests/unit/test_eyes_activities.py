"""The eyes-on check over a browser in memory: what is told of each page, and which pictures are kept."""

from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.backends.arms_urls import UrlArms
from activities.backends.eyes_chromium import build as build_chromium
from activities.backends.eyes_none import NoEyes
from activities.eyes import EyesActivities
from leverframe.model.errors import BadConfiguration
from leverframe.model.eyes import EyesPlan, EyesReport, EyesRequest, Viewport
from leverframe.model.topology import Repository
from tests.fakes.pages import Arms, Browser
from tests.fakes.release_world import NEW, OLD, repository

WINDOW = Viewport(width=200, height=200)
REQUEST = EyesRequest(repository="shop", stable=OLD, canary=NEW)


def declared(**plan: Any) -> Repository:
    eyes = EyesPlan.model_validate({"pages": ("/", "/cart"), "viewports": (WINDOW,)} | plan)
    shop = repository()
    return shop.model_copy(update={"service": shop.service.model_copy(update={"eyes": eyes})})


def looked(browser: Browser, root: Path, *, arms: Arms | None = None, **plan: Any) -> EyesReport:
    known = {"shop": declared(**plan)}
    return EyesActivities(browser, arms or Arms(), known, root).look(REQUEST)


def test_pages_that_look_the_same_leave_no_picture(tmp_path: Path) -> None:
    browser = Browser()
    found = looked(browser, tmp_path)
    assert [look.finding for look in found.looks] == ["same", "same"]
    assert browser.looks == [
        f"http://{arm}{page}" for page in ("/", "/cart") for arm in ("stable", "stable", "canary")
    ]
    assert found.words() == "2 of 2 pages look the same"
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_the_release_changed_differs_and_its_three_pictures_are_kept(tmp_path: Path) -> None:
    browser = Browser(shows=lambda address, look: 100 if address == "http://canary/cart" else 0)
    found = looked(browser, tmp_path)
    [differs] = found.differing
    assert (differs.page, differs.differing_ppm, differs.noise_ppm) == ("/cart", 500_000, 0)
    assert [Path(path).name.rpartition("-")[2] for path in differs.pictures] == [
        "stable.png", "canary.png", "difference.png",
    ]  # fmt: skip
    assert all(Path(path).is_file() and NEW in path for path in differs.pictures)
    assert found.words() == "1 of 2 pages look the same; /cart at 200×200 differs in 50.00 % of its pixels"


def test_a_page_that_differs_from_itself_says_nothing(tmp_path: Path) -> None:
    browser = Browser(shows=lambda address, look: 10 * look if address.endswith("/cart") else 0)
    found = looked(browser, tmp_path)
    assert [look.finding for look in found.looks] == ["same", "unstable"]
    assert found.differing == ()
    assert "differs from itself and says nothing" in found.words()


def test_what_is_tolerated_and_what_is_masked_is_the_same(tmp_path: Path) -> None:
    browser = Browser(shows=lambda address, look: 2 if "canary" in address else 0)
    assert looked(browser, tmp_path, tolerated_ppm=10_000).differing == ()
    assert len(looked(browser, tmp_path, tolerated_ppm=9_999).differing) == 2
    masks = ({"page": "/cart", "x": 0, "y": 0, "width": 2, "height": 200},)
    assert [look.page for look in looked(browser, tmp_path, masks=masks).differing] == ["/"]


def test_a_page_that_can_not_be_seen_is_told_and_hides_no_other(tmp_path: Path) -> None:
    browser = Browser(broken={"http://canary/": "it was answered 500"})
    found = looked(browser, tmp_path)
    assert [look.finding for look in found.looks] == ["unseen", "same"]
    assert "/ at 200×200 was not seen: it was answered 500" in found.words()


def test_without_browser_arms_or_pages_it_says_why_it_did_not_look(tmp_path: Path) -> None:
    known = {"shop": declared()}
    assert (
        EyesActivities(NoEyes(), Arms(), known, tmp_path)
        .look(REQUEST)
        .why.startswith("no browser is configured")
    )
    assert "does not run" in looked(Browser(), tmp_path, arms=Arms(running=False)).why
    blank = {"shop": repository()}
    assert (
        EyesActivities(Browser(), Arms(), blank, tmp_path).look(REQUEST).why
        == "the service declares no pages"
    )
    with pytest.raises(ApplicationError, match="not declared"):
        EyesActivities(Browser(), Arms(), {}, tmp_path).look(REQUEST)


def test_the_health_of_the_browser_says_what_is_missing(tmp_path: Path) -> None:
    assert NoEyes(declared=["shop"]).health().detail == "off, although shop declares pages: set eyes.backend"
    eyes = build_chromium(program=str(tmp_path / "nosuch"), sandbox=True, seconds=5)
    assert not eyes.health().ok
    with pytest.raises(BadConfiguration, match=r"needs eyes\.chromium"):
        build_chromium(program="", sandbox=True, seconds=5)


def test_arms_on_a_cluster_have_an_address_each() -> None:
    arms = UrlArms(stable_url="http://{service}-stable/", canary_url="http://{service}-canary")
    assert arms.origin("shop", "stable", OLD) == "http://shop-stable"
    assert arms.origin("shop", "canary", NEW) == "http://shop-canary"
    with pytest.raises(BadConfiguration, match="together, or neither"):
        UrlArms(stable_url="http://x", canary_url="")
